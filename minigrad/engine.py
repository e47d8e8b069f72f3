"""The engine: tensors that remember how they were made, and the walk back that differentiates them.

Three ideas carry it.

1.  A Tensor is a node of the graph. A *leaf* holds data; a *result* also holds the op that made it
    and that op's arguments. There is no tape and no second node class, nothing refers back, and so
    dropping the last result frees its whole graph at once.
2.  An op is a function on arrays and, for each differentiable argument, a *rule*

        rule(g, out, *arguments) -> cotangent

    where `g` is the cotangent of the result `out` (the derivative of the loss by it). A rule is plain
    NumPy. On raw arrays it runs fast; on Tensors, under `create_graph=True`, the same rule records a
    graph of its own, which gives derivatives of every order.
3.  Results are numbered as they are made, so newest first is a topological order. `backward` visits the
    nodes in that order from a heap: a loop, one visit a node, no recursion.
"""

import contextlib
import gc
import inspect
import weakref
from contextvars import ContextVar
from functools import partial, update_wrapper
from heapq import heappop, heappush
from itertools import count

import numpy as np

ndarray, generic, new = np.ndarray, np.generic, object.__new__

# A graph is many small objects and no cycle, yet with Python's default threshold (700 or 2000 new objects)
# the cyclic collector would walk all of it again and again while it is built.
gc.set_threshold(max(gc.get_threshold()[0], 10_000), *gc.get_threshold()[1:])

# GNU's malloc hands a large array back to the system when it is freed, so that the next one costs a page fault every 4 KB. From the
# largest that it sees freed, up to 32 MB, it learns to keep such memory (mallopt(3), M_MMAP_THRESHOLD). This one is never touched.
np.empty(2**25 - 2**13, np.uint8)


recording = ContextVar("recording", default=True)  # False inside no_grad()
scope = ContextVar(
    "scope", default=None
)  # (outer scope, module or name of the function that is running)
tick = count(0, -1).__next__  # creation numbers fall, so that the smallest on a heap is the newest

# What becomes of results: nothing is kept of those of plain data; those of noise and of what has a name are recorded, so that the
# graph is the whole program; those of leaves that want a gradient can be gone back through. Results join the bits of their operands.
PLAIN, RECORDED, GRADIENT = 0, 1, 2


# ------------------------------------------------------------------------------------------- tensors


class Tensor:
    """An n-dimensional array that can remember how it was made.

    `data` is copied; Python floats and lists take the default dtype (float32), arrays keep theirs.
    `requires_grad=True` makes it a leaf that `backward` gives a `.grad` (a Tensor of the same shape and
    dtype, added to by each backward until it is set to None). Gradients need a float dtype.
    `name` is for pictures, reports and error messages; data that have one are an input of the graph: what is
    computed from them is recorded, too.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    # data    the values, an ndarray
    # grad    None or a Tensor
    # op      the Op whose result this is; None for a leaf
    # args    the op's arguments in order, Tensors and constants; () for a leaf, None once freed
    # order   creation number, falling
    # origin  a leaf: its name, or None; a result: the scope it was recorded in
    # track   PLAIN, or why what is computed from it is recorded: RECORDED, GRADIENT or both, as bits
    __slots__ = ("args", "data", "grad", "op", "order", "origin", "track")

    def __init__(self, data, requires_grad=False, *, dtype=None, name=None):
        self.data = as_array(data, dtype)
        self.grad, self.op, self.args, self.order, self.origin = None, None, (), tick(), name
        self.track = PLAIN if name is None else RECORDED
        if requires_grad:
            self.requires_grad = True

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    name = property(lambda self: self.origin if self.is_leaf else None)
    is_leaf = property(lambda self: self.args == ())
    T = property(lambda self: self.transpose())

    @property
    def requires_grad(self):
        """Whether backward passes through here. Can be set on a leaf."""
        return self.track >= GRADIENT

    @requires_grad.setter
    def requires_grad(self, value):
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can be set on a leaf only; this is the result of {self.op.name}. Use t.detach()."
            )
        if value and self.data.dtype.kind != "f":
            raise TypeError(
                f"gradients need a float dtype, got {self.dtype}. Write Tensor([1., 2.]) or x.astype(np.float32)."
            )
        self.track = self.track & RECORDED | (GRADIENT if value else PLAIN)

    # ---- leaving the graph

    def item(self):
        """The only entry as a Python number."""
        if self.size != 1:
            raise ValueError(
                f"item: a tensor of shape {self.shape} has {self.size} entries, not one. Index it, or reduce it with .sum() or .mean()."
            )
        return self.data.item()

    def numpy(self):
        """The values as a NumPy array, without the graph; shares memory."""
        return self.data

    def tolist(self):
        return self.data.tolist()

    def detach(self):
        """The same values (shared memory) as plain data, without the graph."""
        return constant(self.data)

    def __array__(self, dtype=None, copy=None):
        self._leave(
            "np.asarray(t)", "np.f(t) keeps the graph for every f with a rule; t.numpy() leaves it"
        )
        return np.array(self.data, dtype=dtype, copy=copy)

    def __float__(self):
        self._leave("float(t)", "t.item() reads the value")
        return float(self.item())

    def __int__(self):
        self._leave("int(t)", "t.item() reads the value")
        return int(self.item())

    def _leave(self, what, remedy):
        if self.requires_grad:
            made = (
                "a leaf that requires a gradient"
                if self.is_leaf
                else f"the result of {self.op.name}"
            )
            raise TypeError(
                f"{what} would drop the gradient: t, of shape {self.shape}, is {made}. {remedy}."
            )

    def __index__(self):
        return self.data.__index__()

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous. Use np.any(t) or np.all(t)."
            )
        return bool(self.data)

    def __format__(self, spec):
        return format(self.item(), spec) if spec and self.size == 1 else str(self)

    # ---- what looks like a change in place

    def __setitem__(self, index, value):
        raise TypeError(
            f"a tensor of shape {self.shape} cannot be assigned to by item: the graph could not see it. "
            "Build a new one with np.where(mask, new, t), or write to t.data[...] before the forward pass."
        )

    def _in_place(ufunc, symbol):
        def update(self, other):
            if not self.is_leaf or (
                recording.get() and not self.requires_grad and getattr(other, "track", PLAIN)
            ):
                return NotImplemented  # what belongs to a graph is not changed: `t += u` is `t = t + u`
            if recording.get() and self.requires_grad:
                raise RuntimeError(
                    f"w {symbol} ... on a leaf that requires a gradient (shape {self.shape}): it would no longer be a leaf. "
                    "Use optimizer.step(), or do it inside `with no_grad():`."
                )
            try:
                ufunc(self.data, data_of(other), out=self.data, casting="same_kind")
            except (TypeError, ValueError) as error:
                raise _same_kind(
                    error,
                    f"t {symbol} u in place, t of shape {self.shape} and {self.dtype}: {error}",
                ) from error
            mark_changed(self)
            return self

        return update

    __iadd__, __isub__ = _in_place(np.add, "+="), _in_place(np.subtract, "-=")
    __imul__, __itruediv__, __ipow__ = (
        _in_place(np.multiply, "*="),
        _in_place(np.divide, "/="),
        _in_place(np.power, "**="),
    )
    del _in_place

    # ---- NumPy's functions on Tensors

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or kwargs:
            if not any(
                getattr(x, "track", PLAIN) for x in inputs
            ):  # of plain data, as in NumPy: v += t for an array v
                result = getattr(ufunc, method)(*map(data_of, inputs), **kwargs)
                return result if "out" in kwargs or result is None else constant(result)
            used = f"np.{ufunc.__name__}" + (
                f".{method}" if method != "__call__" else f"(..., {', '.join(kwargs)}=)"
            )
            raise TypeError(
                f"{used} is not supported on Tensors: its gradient would be lost. Use np.{ufunc.__name__}(...) alone, for an array `a += t` "
                "as `a = a + t`, or a reduction such as np.sum."
            )
        return _implementation(ufunc)(*inputs)

    def __array_function__(self, function, types, args, kwargs):
        return _implementation(function)(*args, **kwargs)

    # ---- the rest

    def backward(self, gradient=None, retain_graph=None, create_graph=False):
        """Adds to `.grad` of every leaf the derivative of this tensor by it (times `gradient`, this tensor's shape).

        The graph is freed on the way unless `retain_graph` (default: `create_graph`); `create_graph=True` records the
        backward pass itself, for higher derivatives (the `.grad`s then hold the graph: prefer `grad`).
        """
        seeds = _seeds("backward", [self], [gradient], create_graph)
        for tensor, cotangent, owned in list(
            _pull_back(seeds, create_graph, create_graph if retain_graph is None else retain_graph)
        ):
            gradient = _gradient(tensor, cotangent, owned)
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient

    def retain_grad(self):
        """Makes backward keep the gradient of this result, as it does for a leaf."""
        if not self.is_leaf and self.grad is None:
            self.grad = constant(np.zeros_like(self.data))

    def requires_grad_(self, value=True):
        self.requires_grad = value
        return self

    def __reduce__(self):  # how copy and pickle make another one
        if not self.is_leaf:
            raise TypeError(
                f"the result of {self.op.name}, of shape {self.shape}, belongs to a graph and cannot be copied. Use t.detach()."
            )
        return partial(type(self), name=self.name), (self.data, self.requires_grad)

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    __hash__ = object.__hash__  # `==` compares entries; as a key, a tensor is itself

    def __repr__(self):
        values = np.array2string(
            self.data, separator=", ", prefix="Tensor(", threshold=100, edgeitems=3
        )
        notes = (
            [f", dtype={self.dtype}"]
            if self.dtype != default_dtype and self.dtype.kind == "f"
            else []
        )
        if self.op is not None or self.requires_grad:
            notes.append(", requires_grad=True" if self.is_leaf else f", op={self.op.name}")
        return f"{type(self).__name__}({values}{''.join(notes)})"


def constant(array):
    """A Tensor of plain data that shares `array`."""
    out = new(Tensor)
    out.data = array if type(array) is ndarray else np.asarray(array)
    out.grad, out.op, out.args, out.order, out.origin, out.track = (
        None,
        None,
        (),
        tick(),
        None,
        PLAIN,
    )
    return out


last_change, changes = (
    float("inf"),
    {},
)  # when data were last changed in place: any, and by the id of the array that owns the memory


def mark_changed(tensor):
    """Says that the data of a leaf were changed in place: backward through what used their memory before is refused."""
    global last_change
    owner = _owner(tensor.data)
    if (key := id(owner)) not in changes:
        weakref.finalize(owner, changes.pop, key, None)
    changes[key] = last_change = tick()


def changed_since(x, order):
    """Whether the memory of x, a Tensor or an argument of another kind, was changed in place after `order`."""
    return (
        isinstance(array := data_of(x), ndarray) and changes.get(id(_owner(array)), order) < order
    )


def _owner(array):
    while isinstance(array.base, ndarray):
        array = array.base
    return array


def data_of(x):
    return x.data if isinstance(x, Tensor) else x


default_dtype = np.dtype(np.float32)


def set_default_dtype(dtype):
    """The float dtype that Python floats and lists become: float32 unless set."""
    global default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"set_default_dtype: a float dtype, not {np.dtype(dtype)}.")
    default_dtype = np.dtype(dtype)


def as_array(data, dtype=None):
    """A fresh contiguous array of `data`; floats that are not yet an array's take the default dtype."""
    if isinstance(data, Tensor):
        data._leave("Tensor(t)", "t.detach() leaves the graph")
        data = data.data
    try:
        array = np.array(data, dtype=dtype, order="C")
    except ValueError as error:
        raise ValueError(
            f"Tensor: the nested lists do not make a rectangular array ({error})."
        ) from None
    if array.dtype.kind not in "fiubc":
        raise TypeError(
            f"Tensor: numbers are needed, got {type(data).__name__} of dtype {array.dtype}."
        )
    if dtype is None and array.dtype == np.float64 and not isinstance(data, (ndarray, generic)):
        array = array.astype(default_dtype)
    return array


# ----------------------------------------------------------------------------------------------- ops

ops = {}  # name -> Op: every op that has rules
numpy_functions = {}  # NumPy function -> what it does on Tensors


class Op:
    """A function on arrays and, for each argument, the rule that carries a cotangent back to it.

    name      what errors, checks and pictures call it
    forward   the function on arrays
    names     the names of its arguments, in order; the last may stand for any number of them (`variadic`)
    rules     for each name a rule, or None where no gradient flows. The rule of a variadic
              argument is also told which one is asked for: rule(g, out, i, *arguments)
    defaults  {name: value} of the arguments that may be left out
    kind      how pictures and ledgers treat a result: "operation", "loss", "penalty" or "random"
    """

    def __init__(self, name, forward, names, rules, defaults=(), variadic=False, kind="operation"):
        self.name, self.forward, self.names, self.variadic = name, forward, names, variadic
        self.kind = kind
        self.rules = [rules.get(n) for n in names]
        self.declared = [n in rules for n in names]
        self.defaults = dict(defaults)

    def __repr__(self):
        return f"Op({self.name}: {', '.join(self.names)})"

    def rule(self, i):
        """The rule of the i-th argument, as rule(g, out, *arguments)."""
        last = len(self.names) - 1
        if self.variadic and i >= last:
            return lambda g, out, *arguments: self.rules[last](g, out, i - last, *arguments)
        return self.rules[i]

    def argument(self, i):
        """The name of the i-th argument."""
        last = len(self.names) - 1
        return f"{self.names[last]}[{i - last}]" if self.variadic and i >= last else self.names[i]

    def bind(self, args, kwargs):
        """The arguments in order, with defaults filled in."""
        fixed = len(self.names) - self.variadic
        if len(args) > fixed and not self.variadic:
            raise TypeError(
                f"{self.name} takes {fixed} arguments ({', '.join(self.names)}), got {len(args)}."
            )
        for name in kwargs:
            if name not in self.names[len(args) : fixed]:
                raise TypeError(
                    f"{self.name} on Tensors has no argument {name!r}, or got it twice; it has {', '.join(self.names)}."
                )
        values = list(args)
        for name in self.names[len(args) : fixed]:
            if name not in kwargs and name not in self.defaults:
                raise TypeError(f"{self.name} needs the argument {name!r}.")
            values.append(kwargs[name] if name in kwargs else self.defaults[name])
        return tuple(values)

    def failed(self, error, args):
        """The error of a forward, with the op and the shapes it was given."""
        shapes = [str(np.shape(data_of(a))) for a in args if isinstance(a, (Tensor, ndarray))]
        known = any(shape.replace(" ", "") in str(error).replace(" ", "") for shape in shapes)
        return _same_kind(
            error,
            f"{self.name}: {error}" if known else f"{self.name} of {' and '.join(shapes)}: {error}",
        )


def _same_kind(error, message):
    """An error of the built-in kind of `error`, which NumPy's own kinds derive from."""
    return next(
        (kind for kind in (ValueError, IndexError, TypeError) if isinstance(error, kind)),
        RuntimeError,
    )(message)


def op(forward=None, /, *, numpy=None, kind="operation", **rules):
    """Makes an op of a function on arrays. The rules, one a differentiable argument, are keywords:

        exp = op(np.exp, x=lambda g, out, x: g * out)

        @op(x=lambda g, out, x: g * (out > 0))
        def relu(x): ...

    The result records on Tensors, and on arrays just computes. `numpy=np.f` makes np.f(tensor) reach it (a ufunc
    does so by itself). `name=None` for an argument declares that no gradient flows to it.
    """
    if forward is None:
        return partial(op, numpy=numpy, kind=kind, **rules)
    name = forward.__name__
    if isinstance(forward, np.ufunc):
        names, defaults, variadic, numpy = tuple(rules), {}, False, forward
    else:
        arguments = inspect.signature(forward).parameters
        kinds, names = [a.kind for a in arguments.values()], tuple(arguments)
        if {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD} & {*kinds}:
            raise TypeError(
                f"op {name}: its arguments must have places, so no * or ** before the last: {name}{inspect.signature(forward)}."
            )
        variadic = inspect.Parameter.VAR_POSITIONAL in kinds
        defaults = {n: a.default for n, a in arguments.items() if a.default is not a.empty}
    if unknown := set(rules) - set(names):
        raise TypeError(f"op {name}: rules for {sorted(unknown)}, but its arguments are {names}.")
    if name in ops and ops[name].forward.__module__ != forward.__module__:
        raise ValueError(f"op {name} is already defined. Choose another name.")
    this = ops[name] = Op(name, forward, names, rules, defaults, variadic, kind)
    plain = not variadic and not defaults and all(this.rules)
    recorder = (
        _unary
        if plain and names == ("x",)
        else _binary
        if plain and names == ("x", "y")
        else _general
    )
    call, this.pull = recorder(this)
    update_wrapper(call, forward, updated=())
    if isinstance(forward, np.ufunc):
        del call.__wrapped__  # its signature, with out= and where=, is not the op's
    call.op = this
    if numpy is not None:
        numpy_functions[numpy] = call
    return call


def without_gradient(*functions):
    """Declares NumPy functions whose derivative is zero or meaningless: on Tensors they give plain data."""
    for function in functions:
        numpy_functions[function] = partial(_on_data, function)


def _on_data(function, *args, **kwargs):
    try:
        result = function(*map(data_of, args), **{k: data_of(v) for k, v in kwargs.items()})
    except (TypeError, ValueError) as error:
        raise _same_kind(error, f"np.{function.__name__}: {error}") from error
    return constant(result) if isinstance(result, (ndarray, generic)) else result


def implements(function):
    """Makes function(tensor), for a NumPy function, call the decorated composition of ops."""

    def register(composition):
        numpy_functions[function] = composition
        return composition

    return register


def _implementation(function):
    try:
        return numpy_functions[function]
    except KeyError:
        name = f"{getattr(function, '__module__', None) or 'numpy'}.{function.__name__}".replace(
            "numpy", "np", 1
        )
        raise TypeError(
            f"{name} has no gradient rule here. Use t.numpy() to leave the graph, or add a rule with minigrad.engine.op."
        ) from None


# Recording. Each maker returns the op's call on Tensors, and its pull on raw arrays: the pairs (input, cotangent)
# for the inputs that want one. Unary and binary ops, nine nodes in ten, are straight lines of their own,
# with `result` written out: a call less is felt there.


def _unary(op):
    forward, rules = op.forward, op.rules

    def call(x):
        if not isinstance(x, Tensor):
            return forward(x if isinstance(x, (ndarray, generic)) else as_array(x))
        try:
            data = forward(x.data)
        except Exception as error:
            raise op.failed(error, (x,)) from error
        if not x.track or not recording.get():
            return constant(data)
        out = new(Tensor)
        out.data = data if type(data) is ndarray else np.asarray(data)
        out.grad, out.op, out.args, out.order, out.origin, out.track = (
            None,
            op,
            (x,),
            tick(),
            scope.get(),
            x.track,
        )
        return out

    def pull(g, node):
        (x,) = node.args
        return ((x, rules[0](g, node.data, x.data)),)

    return call, pull


def _binary(op):
    forward, rules = op.forward, op.rules

    def call(x, y):
        try:
            a = x.data if (x_is := isinstance(x, Tensor)) else (x := operand(x))
            b = y.data if (y_is := isinstance(y, Tensor)) else (y := operand(y))
            data = forward(a, b)
        except Exception as error:
            raise op.failed(error, (x, y)) from error
        track = (x.track if x_is else PLAIN) | (y.track if y_is else PLAIN)
        if not track or not recording.get():
            return constant(data) if x_is or y_is else data
        out = new(Tensor)
        out.data = data if type(data) is ndarray else np.asarray(data)
        out.grad, out.op, out.args, out.order, out.origin, out.track = (
            None,
            op,
            (x, y),
            tick(),
            scope.get(),
            track,
        )
        return out

    def pull(g, node):
        x, y = node.args
        a = x.data if (x_is := isinstance(x, Tensor)) else x
        b = y.data if (y_is := isinstance(y, Tensor)) else y
        if not (y_is and y.track >= GRADIENT):
            return ((x, rules[0](g, node.data, a, b)),)
        if not (x_is and x.track >= GRADIENT):
            return ((y, rules[1](g, node.data, a, b)),)
        return (x, rules[0](g, node.data, a, b)), (y, rules[1](g, node.data, a, b))

    return call, pull


def _general(op):
    forward, arity = op.forward, len(op.names)
    undeclared = [i for i, declared in enumerate(op.declared) if not declared]

    def call(*args, **kwargs):
        if kwargs or len(args) != arity:
            args = op.bind(args, kwargs)
        arrays, tensors, scalars, track = [], False, False, PLAIN
        for a in args:
            if isinstance(a, Tensor):
                tensors, track, a = True, track | a.track, a.data
            elif isinstance(a, generic):
                scalars = True
            elif isinstance(a, (list, tuple)) and op.rule(i := len(arrays)) is not None:
                a = operand(a)
                args = (*args[:i], a, *args[i + 1 :])
            arrays.append(a)
        if scalars and tensors:
            return call(*(a.item() if isinstance(a, generic) else a for a in args))
        for i in undeclared:
            if i < len(args) and isinstance(args[i], Tensor) and args[i].requires_grad:
                raise TypeError(
                    f"{op.name} has no rule for its argument {op.names[i]}. Use {op.names[i]}.detach() if no gradient is wanted."
                )
        try:
            data = forward(*arrays)
            if tensors and data.dtype.kind == "O":
                raise TypeError("an argument is not a number")
        except Exception as error:
            raise op.failed(error, args) from error
        if track and recording.get():
            return result(op, args, data, track)
        return constant(data) if tensors else data

    return call, partial(_pulled, op)


def _pulled(op, g, node, on_tensors=False):
    """A pull of any op. `on_tensors`: the rules run on Tensors, and so are recorded themselves."""
    args = node.args
    given, pairs = [g, node if on_tensors else node.data], []
    for a in args:
        given.append(a.data if isinstance(a, Tensor) and not on_tensors else a)
    for rule, x in zip(map(op.rule, range(len(args))) if op.variadic else op.rules, args):
        if rule is not None and isinstance(x, Tensor) and x.track >= GRADIENT:
            pairs.append((x, rule(*given)))
    return pairs


def result(op, args, data, track):
    """A recorded Tensor: the node of `op(*args) = data`."""
    out = new(Tensor)
    out.data = data if type(data) is ndarray else np.asarray(data)
    out.grad, out.op, out.args, out.order, out.origin, out.track = (
        None,
        op,
        args,
        tick(),
        scope.get(),
        track,
    )
    return out


def operand(x):
    """A constant operand as a rule may use it: arrays as they are, numbers as Python's, which do not widen a dtype."""
    if isinstance(x, generic):
        return x.item()
    return x if isinstance(x, (float, int, ndarray)) else as_array(x)


# ------------------------------------------------------------------------------------------- backward


def _pull_back(seeds, create_graph, retain_graph, wanted=()):
    """Carries the cotangents of `seeds`, pairs (tensor, cotangent), back through the graph, newest node first.

    Yields (tensor, cotangent, owned), when the cotangent is complete, for each leaf and each result that keeps its
    gradient; or, given `wanted`, for the tensors of these orders, and goes no further than the oldest of them.
    `owned`: the array belongs to this walk alone.
    """
    oldest = max(wanted, default=float("inf"))
    pending, heap = (
        {},
        [],
    )  # order -> [tensor, sum of the cotangents that have arrived, owned]; the orders of those that are results
    op = args = g = None
    arriving = seeds
    while True:
        for x, cotangent in arriving:
            if getattr(cotangent, "shape", None) != x.data.shape:
                cotangent = _unbroadcast(cotangent, x, op, args)
            order = x.order
            if (entry := pending.get(order)) is None:
                if x.op is None:
                    pending[order] = [
                        x,
                        cotangent,
                        not create_graph and op is not None and _is_fresh(cotangent, g, args),
                    ]
                else:
                    pending[order] = [x, cotangent, False]
                    heappush(heap, order)
            elif entry[2]:
                entry[1] += cotangent
            else:
                entry[1:] = entry[1] + cotangent, not create_graph
        if not heap:
            break
        order = heappop(heap)
        node, g, owned = pending.pop(order)
        op, args = node.op, node.args
        if order in wanted if wanted else node.grad is not None:
            yield node, g, owned
        if order >= oldest:
            break
        if args == ():  # a leaf that wanted a gradient when it was used, and no longer does
            arriving = ()
            continue
        if args is None:
            raise RuntimeError(
                f"backward: this graph was already freed (at {op.name}, shape {node.shape}). Run the forward pass again, "
                "or pass retain_graph=True to the first backward to go through it twice."
            )
        if order > last_change:
            _refuse_changed(node)
        try:
            arriving = _pulled(op, g, node, on_tensors=True) if create_graph else op.pull(g, node)
        except Exception as error:
            raise _same_kind(error, f"backward, in a rule of {op.name}: {error}") from error
        if not retain_graph:
            node.args = None
    for x, cotangent, owned in pending.values():
        if x.track >= GRADIENT and (not wanted or x.order in wanted):
            yield x, cotangent, owned


def _refuse_changed(node):
    """Refuses a node whose operands were changed since it was made: its rules would mix old and new values."""
    for i, x in enumerate(node.args):
        if changed_since(x, node.order):
            name = getattr(x, "name", None) or node.op.argument(i)
            raise RuntimeError(
                f"backward: {name!r}, of shape {x.shape}, was changed in place (optimizer.step(), load_state_dict, w -= ...) after {node.op.name} "
                "used it. Run the forward pass again after the change, or change a copy."
            )


def _unbroadcast(g, x, op, args):
    """Sums `g` over the axes along which the input x of op(*args) was broadcast: the transpose of broadcasting."""
    shape = x.shape
    lead = np.ndim(g) - len(shape)
    if (
        not isinstance(g, (ndarray, generic, Tensor))
        or lead < 0
        or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:]))
    ):
        name = op.argument(next(i for i, a in enumerate(args) if a is x))
        raise ValueError(
            f"the rule of {op.name} for {name} returned {_described(g)}; {name} has shape {shape}."
        )
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(shape) if n == 1 != g.shape[lead + i]
    )
    g = g.sum(axis=axes)
    return g if g.shape == shape else g.reshape(shape)


def _described(g):
    return f"shape {g.shape}" if hasattr(g, "shape") else f"{g!r}, no array"


def _is_fresh(cotangent, g, args):
    """Whether a rule made this array anew, and did not pass on what it was given or a part of it."""
    if cotangent is g or cotangent.base is not None:
        return False
    for a in args:  # noqa: SIM110 (any() takes twice as long)
        if cotangent is (a.data if isinstance(a, Tensor) else a):
            return False
    return True


def _seeds(what, outputs, gradients, create_graph):
    """The pairs (tensor, cotangent) with which a walk begins; the cotangents are Tensors if it is to be recorded."""
    if create_graph and not recording.get():
        raise RuntimeError(
            f"{what}: create_graph=True inside no_grad() would record nothing. Call it outside."
        )
    seeds = []
    for y, g in zip(outputs, gradients):
        if not isinstance(y, Tensor) or not y.requires_grad:
            raise RuntimeError(
                f"{what}: this tensor does not depend on any leaf with requires_grad=True (or was made under no_grad())."
            )
        if g is None and y.size != 1:
            raise RuntimeError(
                f"{what}: the tensor has shape {y.shape}, not one entry. Call .mean() or .sum(), or pass a gradient of that shape."
            )
        if g is None:
            g = y.data.copy()  # np.ones_like takes four times as long
            g.fill(1)
        elif np.shape(data_of(g)) != y.shape:
            raise ValueError(
                f"{what}: the gradient has shape {np.shape(data_of(g))}, the tensor {y.shape}."
            )
        if not isinstance(g, Tensor) or not create_graph:
            g = np.asarray(data_of(g), y.dtype)
        seeds.append((y, constant(g) if create_graph and not isinstance(g, Tensor) else g))
    return seeds


def _gradient(tensor, cotangent, owned):
    """A finished cotangent as a Tensor of the same dtype: on an array of its own, or under create_graph recorded."""
    if isinstance(cotangent, Tensor):
        return cotangent.astype(tensor.dtype) if cotangent.dtype != tensor.dtype else +cotangent
    dtype = tensor.data.dtype
    return constant(cotangent if owned and cotangent.dtype == dtype else np.array(cotangent, dtype))


def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, allow_unused=False
):
    """The derivatives of `outputs` (summed, each times its `grad_outputs`) by `inputs`, as a tuple; `.grad` is untouched.

    >>> x = Tensor(2.0, requires_grad=True)
    >>> (first,) = grad(x**3, x, create_graph=True)
    >>> grad(first, x)
    (Tensor(12.),)
    """
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    gradients = _sequence(grad_outputs) if grad_outputs is not None else [None] * len(outputs)
    if len(gradients) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs but {len(gradients)} grad_outputs.")
    seeds = _seeds("grad", outputs, gradients, create_graph)
    if not all(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise RuntimeError("grad: the inputs must be Tensors that require a gradient.")
    walk = _pull_back(
        seeds,
        create_graph,
        create_graph if retain_graph is None else retain_graph,
        {x.order for x in inputs},
    )
    found = {x.order: _gradient(x, *rest) for x, *rest in walk}
    if not allow_unused and (unused := [i for i, x in enumerate(inputs) if x.order not in found]):
        raise RuntimeError(
            f"grad: the outputs do not depend on inputs {unused}. Pass allow_unused=True to get None for them."
        )
    return tuple(found.get(x.order) for x in inputs)


def _sequence(x):
    return [x] if isinstance(x, (Tensor, ndarray)) or not hasattr(x, "__iter__") else list(x)


# ------------------------------------------------------------------------------------ modes and scopes


@contextlib.contextmanager
def no_grad():
    """Inside, nothing is recorded. Also a decorator."""
    token = recording.set(False)
    try:
        yield
    finally:
        recording.reset(token)


class Composition:
    """A named function of several ops, as a scope: one node of a picture, of a `kind` as ops have."""

    __slots__ = ("kind", "name")

    def __init__(self, name, kind="operation"):
        self.name, self.kind = name, kind


def scoped(owner, function, *args, **kwargs):
    """Calls function(*args) in a scope of `owner`, a module or a name: what it records remembers that it was made there."""
    owner = Composition(owner) if isinstance(owner, str) else owner
    token = scope.set((scope.get(), owner))
    try:
        return function(*args, **kwargs)
    finally:
        scope.reset(token)


def path(place, by_kind=False):
    """The dotted name of a scope: `encoder.drop1`. A module is named as the module around it knows it.

    `by_kind`: where that is only a number, by its kind and its count among its kind, `Dropout_0`: layers of other kinds do not move it.
    """
    owners = []
    while place is not None:
        place, owner = place
        owners.append(owner)
    names, around = [], None
    for owner in reversed(owners):
        if isinstance(owner, Composition):
            names.append(owner.name)
            continue
        names.append("" if around is None else around.name_of(owner, by_kind))
        around = owner
    return ".".join(filter(None, names))

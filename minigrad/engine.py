"""The engine: Tensors remember the op that made them, and `backward` computes derivatives.

Read this file first. It has three ideas.

1.  A Tensor is a node of the graph. A *leaf* holds data. A *result* also holds the op that made it
    and the arguments of that op. There is no separate list of ops (no tape), and no argument points
    to a result. So Python frees the whole graph when the program drops the last result.
2.  An op is a function on arrays and one *rule* for each differentiable argument:

        rule(g, out, *arguments) -> cotangent

    Here `out` is the result, and `g` is its cotangent: the derivative of the loss by (with respect
    to) `out`. The rule returns the derivative of the loss by the argument. A rule is plain NumPy.
    On arrays it is fast. On Tensors (`create_graph=True`) the same rule records another graph,
    which gives derivatives of every order.
3.  Each tensor gets a number when it is made, and the numbers rise. A result is newer than its
    arguments. So `backward` visits the newest node first, in a loop, and needs no recursion.

minigrad/__init__.py lists the other files. fast.py replaces `record` and `Op.vjp` by faster code
with the same results. If you edit these two, set MINIGRAD_FAST=0 in the environment: otherwise most
ops ignore your edits.
"""

from heapq import heappop, heappush

import numpy as np

from . import changes, errors
from .array import Array, as_array, as_list, computed, copied, data_of, held, ones_or, operand
from .changes import tick
from .later import Shown
from .modes import recording, scope

# The flags of a tensor say whether the results of an op on it are recorded, and why.
#
#                                      FOREIGN   RECORDED   GRADIENT
#     leaf with requires_grad=True                              x
#     noise                                         x
#     data with a name                              x
#     data of another array library       x
#     result                              the flags of its arguments together
#
# Data without RECORDED and GRADIENT are constants. A result of an op without rules has no GRADIENT.
# A tensor requires a gradient if its flags are at least GRADIENT.
RECORDED, GRADIENT = 2, 4


# ---------------------------------------------------------------------------------------- tensors


class Tensor(Array, metaclass=Shown):  # Shown makes help(Tensor) short
    """An n-dimensional array that can remember how it was made.

    data           Copied. Python floats and lists take the default dtype (float32), arrays keep
                   their dtype.
    requires_grad  If True, `backward` gives this leaf a `.grad`: a Tensor of the same shape and
                   dtype. Each backward adds to `.grad` until you set it to None.
    dtype          Another dtype for the data.
    name           For pictures, reports and errors. Data with a name are an input of the graph:
                   results of ops on them are recorded too.

    Raises TypeError if `data` are not real numbers or are a Tensor that requires a gradient, and
    for requires_grad without a float dtype; ValueError for rows of unequal length; OverflowError
    for a number that the dtype cannot hold.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    # data          the values, an ndarray
    # op, args      a result: the Op that made it and its arguments, Tensors and constants; a leaf:
    #               None and (). Once the graph is freed, args is None
    # scope         a result: the modules and functions that were running; a leaf: None
    # order         a number from the clock `tick`: a newer tensor has a larger number
    # flags         RECORDED, GRADIENT or both, as in the table above
    # grad          None or a Tensor
    # retains_grad  whether backward also gives this result a `.grad`
    # name          None or the name that the user gave
    __slots__ = "args", "data", "flags", "grad", "name", "op", "order", "retains_grad", "scope"

    def __init__(self, data, requires_grad=False, *, dtype=None, name=None) -> None:
        self._fill(as_array(data, dtype), flags=0 if name is None else RECORDED, name=name)
        if requires_grad:
            self.requires_grad = True

    def _fill(self, data, op=None, args=(), flags=0, scope=None, name=None):
        data, flags = (data, flags) if type(data) is np.ndarray else held(data, flags)
        self.data, self.op, self.args, self.scope, self.flags = data, op, args, scope, flags
        self.order, self.name, self.grad, self.retains_grad = tick(), name, None, False
        return self

    is_leaf: bool = property(lambda self: self.op is None, doc="Whether no op made this tensor.")

    @property
    def requires_grad(self) -> bool:
        """Whether backward passes through this tensor. Can be set on a leaf."""
        return self.flags >= GRADIENT

    @requires_grad.setter
    def requires_grad(self, value):
        if not self.is_leaf:
            raise errors.not_a_leaf(self.op)
        if value and self.data.dtype.kind != "f":
            raise errors.not_a_float(self.dtype)
        self.flags = self.flags & ~GRADIENT | (GRADIENT if value else 0)

    def retain_grad(self) -> None:
        """Makes backward give this result a `.grad`, as it does for a leaf."""
        self.retains_grad = not self.is_leaf

    def detach(self) -> "Tensor":
        """A Tensor of the same values without the graph. It shares memory with this tensor."""
        return constant(self.data)

    def backward(self, gradient=None, retain_graph=None, create_graph=False) -> None:
        """Adds to the `.grad` of each leaf the derivative of this tensor by that leaf.

        gradient      An array or Tensor of this tensor's shape that multiplies the derivative. A
                      tensor of one entry needs none.
        retain_graph  Unless True, backward frees the graph. Default: `create_graph`.
        create_graph  Records the backward pass itself, for higher derivatives. Each `.grad` then
                      keeps this graph in memory. The function `minigrad.grad` avoids that.

        Raises RuntimeError if this tensor requires no gradient, if it needs a `gradient` and gets
        none, if the graph was freed, or if an array of the graph was changed in place; ValueError
        for a `gradient` of another shape.
        """
        seeds = seeds_of("backward", [self], [gradient], create_graph)
        # The whole pass comes first: if a rule fails, no .grad has changed.
        for x, cotangent, is_own in list(backward_pass(seeds, retain_graph, create_graph)):
            g = _as_gradient(x, cotangent, is_own)
            x.grad = g if x.grad is None else x.grad + g


def wants_gradient(x):
    """Whether x, an argument of an op, is a Tensor that backward passes through."""
    return isinstance(x, Tensor) and x.flags >= GRADIENT


def constant(array):
    """A Tensor of plain data that shares `array`. Tensor(array) would copy it."""
    return Tensor.__new__(Tensor)._fill(array)


def result(op, args, data, flags):
    """A Tensor of `data`, the result of op(*args)."""
    return Tensor.__new__(Tensor)._fill(data, op, args, flags, scope.get())


# -------------------------------------------------------------------------------------------- ops


class Op:
    """A function on arrays and, for each argument, the rule that carries a cotangent back to it.

    name        as errors, checks and pictures call it
    forward     the function on arrays
    names       the names of its arguments, in order
    rules       for each argument a rule, or None where no gradient flows
    undeclared  the positions of arguments that have neither a rule nor `name=None`
    kind        how pictures and ledgers treat a result: "operation", "loss", "penalty" or "random"
    prox        of a penalty: {name of a coefficient: the proximal operator of its norm}
    """

    def __init__(self, name, forward, names, rules, kind="operation", prox=None):
        self.name, self.forward, self.names = name, forward, names
        self.rules = [rules.get(name) for name in names]
        self.undeclared = [i for i, name in enumerate(names) if name not in rules]
        self.kind, self.prox = kind, prox or {}

    def __repr__(self):
        return f"Op({self.name}: {', '.join(self.names)})"

    def vjp(self, g, node, on_tensors=False):
        """The pairs (argument, cotangent) of the result `node` with cotangent g.

        With `on_tensors` the rules run on Tensors, and so they are recorded themselves.
        """
        given = (node, *node.args) if on_tensors else (node.data, *map(data_of, node.args))
        pairs = zip(node.args, self.rules)
        return [(x, rule(g, *given)) for x, rule in pairs if rule and wants_gradient(x)]


def record(op, args):
    """op(*args). The result remembers op and args if an argument is RECORDED or has a GRADIENT.

    Without a Tensor among the arguments, the op just computes an array.
    """
    tensors = [a for a in args if isinstance(a, Tensor)]
    try:
        args = tuple(operand(a, rule, args) for a, rule in zip(args, op.rules))
        data = computed(op, args, tensors)
    except Exception as error:
        raise errors.in_forward(op, args, error) from error
    flags = 0
    for x in tensors:
        flags |= x.flags
    if flags < RECORDED or not recording.get():
        return constant(data) if tensors else data
    for i in op.undeclared:
        if wants_gradient(args[i]):
            raise errors.no_rule(op, i)
    return result(op, args, data, flags if any(op.rules) else RECORDED)


# --------------------------------------------------------------------------------------- backward


def backward_pass(seeds, retain_graph=None, create_graph=False, wanted=()):
    """Carries the cotangents `seeds`, pairs (tensor, cotangent), back through the graph.

    Yields (tensor, cotangent, is_own) when a cotangent is complete: for each leaf, and for each
    result that retains its gradient. With `wanted`, a set of orders, it yields only the tensors of
    these orders, and stops at the oldest one.

    is_own: nothing else uses the array of the cotangent. Then the next cotangent of this leaf is
    added in place, and the array becomes the `.grad` without a copy. It is False for the array of a
    seed, which belongs to the caller, and for an array that a rule got and returned.
    """
    retain_graph = create_graph if retain_graph is None else retain_graph
    oldest = min(wanted, default=0)
    sums, heap = {}, []  # order -> [tensor, sum of its cotangents, is_own]; -order of each result
    node, g, given, arriving = None, None, {id(g) for _, g in seeds}, seeds
    while True:
        for x, cotangent in arriving:
            if getattr(cotangent, "shape", None) != x.data.shape:
                cotangent = unbroadcast(cotangent, x, node)
            order = x.order
            entry = sums.get(order)
            if entry is None and x.op is not None:
                sums[order] = [x, cotangent, False]
                heappush(heap, -order)
            elif entry is None:
                given = given or {id(g), *map(id, map(data_of, node.args))}
                is_new = hasattr(cotangent, "base") and cotangent.base is None  # not a view
                sums[order] = [x, cotangent, is_new and id(cotangent) not in given]
            elif entry[2]:
                entry[1] += cotangent
            else:
                entry[1:] = entry[1] + cotangent, not create_graph
        if node is not None and not retain_graph:
            node.args = None  # no later step needs them: this frees the graph
        if not heap:
            break
        given = None
        node, g, is_own = sums.pop(-heappop(heap))  # the newest: all its cotangents have arrived
        if (node.order in wanted) if wanted else node.retains_grad:
            yield node, g, is_own
        if node.order <= oldest:
            break
        if node.args is None:
            raise errors.freed(node)
        if changes.latest > node.order:
            changes.require_unchanged(node)
        try:
            arriving = node.op.vjp(g, node, create_graph)
        except Exception as error:
            raise errors.in_rule(node.op, error) from error
    for x, cotangent, is_own in sums.values():
        if x.requires_grad and (not wanted or x.order in wanted):
            yield x, cotangent, is_own


def unbroadcast(g, x, node):
    """Sums g over the axes along which x, an argument of `node`, was broadcast.

    Broadcasting copies entries along an axis. The transpose of copying is summing.
    """
    lead = np.ndim(g) - x.ndim
    fits = lead >= 0 and all(n in (1, m) for n, m in zip(x.shape, np.shape(g)[lead:]))
    if not fits or not hasattr(g, "reshape"):
        raise errors.wrong_cotangent(node.op, node.args, x, g)
    axes = [lead + i for i, n in enumerate(x.shape) if n == 1 != g.shape[lead + i]]
    return g.sum(axis=(*range(lead), *axes)).reshape(x.shape)


def seeds_of(what, outputs, gradients, create_graph):
    """The pairs (tensor, cotangent) that begin a backward pass. `what`: the caller's name."""
    if create_graph and not recording.get():
        raise errors.not_recording(what)
    seeds = []
    for y, g in zip(outputs, gradients):
        if not wants_gradient(y):
            raise errors.not_recorded(what, y)
        is_fit = y.size == 1 if g is None else np.shape(g) == y.shape
        if not is_fit:
            raise errors.wrong_gradient(what, g, y.shape)
        if not create_graph or not isinstance(g, Tensor):
            g = ones_or(data_of(g), like=y.data)
            g = constant(g) if create_graph else g
        seeds.append((y, g))
    return seeds


def _as_gradient(x, cotangent, is_own):
    """A complete cotangent of x as a Tensor in the dtype of x. No other Tensor shares its array."""
    if isinstance(cotangent, Tensor):  # + makes a new Tensor: a rule can return its argument
        return cotangent.astype(x.dtype) if cotangent.dtype != x.dtype else +cotangent
    is_fit = is_own and type(cotangent) is type(x.data) and cotangent.dtype == x.data.dtype
    return constant(cotangent if is_fit else copied(cotangent, x.data))


def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, allow_unused=False
) -> tuple[Tensor, ...]:
    """The derivatives of the sum of `outputs` by each of `inputs`, as a tuple. No `.grad` changes.

    outputs, inputs  A Tensor or a list of Tensors.
    grad_outputs     For each output, an array of its shape that multiplies it.
    retain_graph, create_graph  As for `backward`.
    allow_unused     Gives None for an input that the outputs do not depend on.

    Raises errors as `backward` does; RuntimeError for an input that is not used or requires no
    gradient; ValueError for another number of grad_outputs.

    >>> x = Tensor(2.0, requires_grad=True)
    >>> (first,) = grad(x**3, x, create_graph=True)
    >>> grad(first, x)
    (Tensor(12.),)
    """
    outputs, inputs = as_list(outputs), as_list(inputs)
    gradients = [None] * len(outputs) if grad_outputs is None else as_list(grad_outputs)
    if len(gradients) != len(outputs):
        raise errors.wrong_count(outputs, gradients)
    seeds = seeds_of("grad", outputs, gradients, create_graph)
    if not all(map(wants_gradient, inputs)):
        raise errors.wrong_inputs()
    walk = backward_pass(seeds, retain_graph, create_graph, {x.order for x in inputs})
    gradients = {x.order: _as_gradient(x, g, is_own) for x, g, is_own in walk}
    unused = [i for i, x in enumerate(inputs) if x.order not in gradients]
    if unused and not allow_unused:
        raise errors.unused(unused)
    return tuple(gradients.get(x.order) for x in inputs)

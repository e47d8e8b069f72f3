"""A training step as a program: `step = compile(function)`."""

import inspect
import linecache
import warnings
import weakref

import numpy as np

from .. import array
from ..anomaly import detecting
from ..array import data_of, is_array
from ..changes import tick
from ..engine import Tensor, constant, grad
from ..modes import recording
from ..names import leaf_names, modules_of
from ..noise import Noise, frozen, frozen_noise, sampling_mode
from .surroundings import Surroundings
from .symbols import NAME
from .watching import Watch
from .writing import Writer, tidy

MOST = 32  # the most programs of a step: each costs eager calls
HINT = "A program cannot see what Python decides by values, or what other generators draw."
CHANGES = "the function changes a variable, an attribute or an item"
ARGUMENTS = "compile: an argument is a list or the like, or requires a gradient. Pass arrays, "
ARGUMENTS += "Tensors of data, numbers and tuples, and use parameters without passing them."
RETURN = "compile: the function returns the loss, a Tensor, and does not call backward itself."
MANY = f"what the function reads changes often, and a step has at most {MOST} programs"


class Recorded:
    """The program of one signature.

    signature  modes and the kinds of the arguments, or None for all that have no program
    trials     how many more calls are compared with eager mode
    refusal    None, or why calls are eager
    text       None, or the program

    With a text there are also:

    function      the program as a function
    inputs        the leaves that are read at each call
    leaves        the leaves that get a gradient
    names         of the results, as a warning calls them: the loss, then each gradient
    effects       the changes of state in a run, without their Tensors and arrays
    surroundings  what must stay as it was
    """

    def __init__(self, signature, trials):
        self.signature, self.trials, self.refusal, self.text = signature, trials, None, None

    def write(self, function, loss, inputs, watch):
        """Writes the program of a loss, what `function` made of its arguments `inputs`."""
        writer = Writer("compile", loss, watch, reading=False)
        for node in writer.nodes:
            masks = [a for a in node.args[1:] if isinstance(a, Tensor) and a.dtype == bool]
            if node.op and (node.op.name == "argwhere" or (node.op.name == "getitem" and masks)):
                raise TypeError(f"the shape of {node.op.name} depends on values. Use np.where")
        page, final = writer.page, writer.page.final()
        names = {leaf.order: name for name, leaf in page.inputs.items()}
        arrays, settings = filter(is_array, inputs), [x for x in inputs if not is_array(x)]
        arguments = [names.pop(x.order, f"unused{i}_") for i, x in enumerate(arrays)]
        head = f"def run({', '.join([*arguments, *names.values()])}):"
        returned = f"{writer.symbols[loss.order].name}, [{', '.join(writer.gradients.values())}]"
        lines = [head, *_forgetting(page, returned), f"return {returned}"]
        self.text = final("\n    ".join(lines))
        known = {final(name): value for name, value in page.constants.items()} | {"np": np}
        file = f"<program {id(self)}>"
        linecache.cache[file] = len(self.text), None, self.text.splitlines(True), file
        weakref.finalize(self, linecache.cache.pop, file, None)
        exec(builtin_compile(self.text, file, "exec"), known)
        self.function = np.errstate(all="ignore")(known["run"]) if page.is_quiet else known["run"]
        self.inputs = [x for x in page.inputs.values() if x.order in names]
        # What the trials compare, and what the program takes for granted.
        self.leaves, self.effects = list(writer.gradients), _settings(watch)
        called = leaf_names(writer.nodes)
        self.names = ["loss", *(f"gradient of {called[x.order]}" for x in self.leaves)]
        roots = [function, *settings, *modules_of(writer.nodes)]
        moving = [a for _, _, args in watch.effects for a in args]
        self.surroundings = Surroundings(roots, self.inputs, moving)

    def run(self, arrays):
        """(loss, gradients of the leaves) for the arguments of a step."""
        read = [x.draw() if isinstance(x, Noise) else x.data for x in self.inputs]
        return self.function(*filter(is_array, arrays), *read)

    def fits(self, signature):
        """Whether this is for the signature and all that the program relies on is as before."""
        is_meant = self.signature in (None, signature)
        return is_meant and (self.refusal or self.surroundings.are_same())

    def difference(self, found, loss, watch):
        """The first difference between a run, (loss, gradients), and an eager run, or None."""
        self.trials -= 1
        if _settings(watch) != self.effects:
            return "this run changes other state"
        gradients = grad(loss, self.leaves, retain_graph=True, allow_unused=True)
        pairs = zip(self.names, [found[0], *found[1]], [loss, *gradients])
        wrong = [name for name, a, b in pairs if not np.array_equal(a, b, equal_nan=True)]
        return f"the {wrong[0]} differs. {HINT}" if wrong else None


def _forgetting(page, returned):
    """The lines of a page. Each deletes the values that no later line needs."""
    needed, lines = {*NAME.findall(returned), *page.inputs, *page.constants, None}, []
    for line in reversed(page.lines):
        last = {line.target, *line.names} - needed
        lines.insert(0, "; del ".join([tidy(line.text), *sorted(last)]))
        needed |= last
    return lines


class Step:
    """A training step that runs as a program: see `compile`.

    programs  a list of Recorded
    names     of the arguments
    """

    def __init__(self, function, trials):
        self.function, self.trials, self.programs = function, trials, []
        self.names = list(inspect.signature(function).parameters)

    def __repr__(self):
        texts = [f"# eager: {p.refusal}" if p.refusal else p.text for p in self.programs]
        return "\n\n".join(texts)

    def __reduce__(self):
        return Step, (self.function, self.trials)  # a copy writes its programs anew

    def __call__(self, *args) -> Tensor:
        arrays = [data_of(a) for a in args]
        modes = recording.get(), sampling_mode.get(), frozen.get(), array.default_dtype
        signature = (*modes, *map(_kind, args, arrays))
        p = next((p for p in self.programs if p.fits(signature)), None)
        if detecting.get() or (p and p.refusal):  # detect_anomaly looks at each op
            loss = self.function(*self._tensors(arrays))
            loss.backward()
            return loss.detach()
        if p is None:
            is_full = len(self.programs) == MOST
            p = Recorded(None if is_full else signature, self.trials)
        if p.trials or not p.text:
            return self._watched(p, arrays)
        try:
            loss, gradients = p.run(arrays)
        except Exception:
            with frozen_noise():  # the function tells more, such as which labels are wrong
                self.function(*self._tensors(arrays))
            raise
        for leaf, g in zip(p.leaves, map(constant, gradients)):
            leaf.grad = g if leaf.grad is None else leaf.grad + g
        return constant(loss)

    def _tensors(self, arrays):
        pairs = zip(arrays, self.names + ["x"] * len(arrays))
        return [Tensor(a, name=n) if isinstance(a, np.ndarray) else a for a, n in pairs]

    def _watched(self, p, arrays):
        """An eager step. The program p is written from it, or compared with it."""
        inputs, loss = self._tensors(arrays), None
        try:
            with frozen_noise():
                found = p.text and p.run(arrays)
            with Watch(tick()) as watch:
                loss = self.function(*inputs)
            reason = watch.found or (None if p.signature else MANY)
            if p.text and not reason:
                reason = p.difference(found, loss, watch)
            elif not reason:
                p.write(self.function, loss, inputs, watch)
        except Exception as error:  # some code needs Tensors outside the graph
            reason = repr(error)
            if loss is None:
                loss = self.function(*inputs)
        if not isinstance(loss, Tensor) or loss.args is None:
            raise TypeError(f"{RETURN} This one returned {type(loss).__name__}.")
        loss.backward()  # raises the error of a loss that has no gradient
        p.refusal = reason or (None if p.fits(p.signature) else CHANGES)
        if p.refusal:
            warnings.warn(f"compile: from now on eager: {p.refusal}", stacklevel=3)
        if p not in self.programs:
            self.programs.append(p)
        return loss.detach()


def _settings(watch):
    """The changes of state in a run, without their Tensors and arrays."""
    given = [a for _, function, args in watch.effects for a in (function, *args)]
    return [a for a in given if not is_array(a)]


def _kind(given, a):
    """The kind of an argument and its array. Another kind makes a new program."""
    if isinstance(given, (list, dict, set)) or getattr(given, "requires_grad", False):
        raise TypeError(ARGUMENTS)
    if not is_array(a):
        return _typed(a)
    # A negative label may be an error, or a label to ignore.
    return a.shape, a.dtype, a.dtype.kind == "i" and frozenset(a[a < 0].tolist())


def _typed(a):
    """A setting with its type: 1 is not True, and 0.0 is not -0.0."""
    if isinstance(a, tuple):
        return tuple(map(_typed, a))
    return type(a), repr(a) if isinstance(a, (float, np.generic)) else a


builtin_compile = compile


def compile(function, trials=2) -> Step:
    """A training step as a program: step(*args) does `function(*args).backward()`, but faster.

    function  Takes arrays, as Tensors, and settings. Returns the loss, a Tensor of one entry.
    trials    How many calls of each program after the first are compared with eager mode.

    The first call for new shapes, dtypes and settings runs eagerly, and writes its forward and
    backward pass down as straight-line NumPy (see `write_out`). Later calls run these lines, read
    all Tensors anew and draw noise anew, from the same streams. They give the same bits as eager
    mode; where float32 and float64 mix, the same up to rounding. A change of what the function
    reads beside its arguments makes a new program. A step sees changes of variables and attributes
    that its code names, also of new ones, and of arrays, lists and dicts of up to 1,000 entries. It
    does not see changes of environment variables, of attributes whose names the code computes, and
    of objects that only weak references reach. Pass larger arrays of NumPy as arguments. After 32
    programs, calls with anything new are eager.

    A program cannot see what Python decides by values. So a function stays eager, and a warning
    says why, if it or a rule reads values (`t.item()`, `if t > 0`, `t.data`, `print(t)`), if
    shapes depend on values, if it reads an iterator, a ContextVar or a bytearray, or if it changes
    a variable, an attribute or an item. `t.detach()` and `no_grad()` are fine. The first `trials`
    calls also run eagerly, with the same noise: a step whose loss or gradients differ stays eager.
    Later calls do not check values, such as whether the targets of binary_cross_entropy are in
    [0, 1]. NumPy warns or raises as `np.seterr` says, unless an op of the step ignores overflow, as
    sigmoid does: then the whole program ignores it.

    Returns a Step; `print(step)` shows its programs. A call returns the loss without its graph.
    Raises TypeError if `function` is none, or returns no Tensor, or calls backward, and for an
    argument that requires a gradient or is a list, a dict or a set; also the errors of the function
    and of `backward`.

    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> step = compile(lambda x: np.sum(np.tanh(w * x)))
    >>> for x in np.eye(2, dtype=np.float32):
    ...     w.grad = None
    ...     print(step(x), w.grad)
    Tensor(0.7615942) Tensor([0.41997433, 0.        ])
    Tensor(0.9640276) Tensor([0.        , 0.07065082])
    """
    if not callable(function) or isinstance(function, Tensor):
        raise TypeError(f"compile: give a function that returns the loss, not {function!r:.60}.")
    return Step(function, trials)

"""A training step as a program: `step = compile(function)`."""

import inspect
import linecache
import traceback
import warnings
from operator import is_

import numpy as np

from .. import array
from ..array import data_of
from ..engine import Tensor, constant, grad
from ..errors import same_kind
from ..graph import program
from ..modes import recording
from ..names import modules_of
from ..noise import Noise, effects, frozen, frozen_noise, sampling_mode
from .writing import Writer, tidy

MOST = 32  # programs of a step
HINT = "A program cannot see what Python decides by values, such as `if x.sum() > 0`."


class Recorded:
    """The program of one signature: run(*arrays) -> (loss, gradients of the leaves).

    trials   how many more calls are compared with eager mode
    refusal  None, or why calls are eager
    text     the program
    leaves   the leaves that get a gradient
    """

    inputs = attributes = ()

    def __init__(self, trials):
        self.trials, self.refusal = trials, None

    def write(self, loss, inputs, told):
        """Writes the program of a loss, a function of the Tensors `inputs`, with its effects."""
        writer = Writer("compile", loss, effects=told, reading=False)
        page, final = writer.page, writer.page.final()
        self.leaves = list(writer.gradients)
        arguments = {x.order: f"input{i}_" for i, x in enumerate(inputs)}
        known = {final(name): value for name, value in page.constants.items()}
        known["np"] = np
        reads = []
        for name, leaf in page.inputs.items():
            if leaf.order in arguments:
                arguments[leaf.order] = final(name)
            else:
                known[f"{final(name)}_"] = leaf
                how = "draw()" if isinstance(leaf, Noise) else "data"
                reads.append(f"{final(name)} = {final(name)}_.{how}")
        head = f"def run({', '.join(arguments.values())}):"
        lines = [tidy(final(line.text)) for line in page.lines]
        results = writer.symbols[loss.order], *writer.gradients.values()
        steps = _forgetting(page, lines, results, final)
        self.text = _function(head, [*reads, *steps, _returned(writer, final)], page.errors)
        self.run, self.file = _compiled(self.text, known)
        text = _function(head, [*reads, *lines, "return locals()"], page.errors)
        self.follow, _ = _compiled(text, known)
        # What the trials compare, and what the program takes for granted.
        self.ops = [node.op and node.op.name for node in writer.nodes]
        symbols = [writer.symbols.get(node.order) for node in writer.nodes]
        self.names = [None if x is None else final(x.name) for x in symbols]
        self.gradients = [final(g.name) for g in writer.gradients.values()]
        leaves = [x for x in page.inputs.values() if x.order not in arguments]
        self.inputs = [(x, (x.flags, x.shape, x.dtype)) for x in leaves]
        modules = dict.fromkeys(m for owner in modules_of(writer.nodes) for m in owner.modules())
        self.attributes = [(vars(module), list(vars(module).values())) for module in modules]

    def fits(self):
        """Whether all is still so that the program takes for granted.

        These are the attributes of modules, such as `training`, parameters and rates, and what
        the leaves are like.
        """
        for now, then in self.attributes:
            if len(now) != len(then) or not all(map(is_, now.values(), then)):
                return False
        return all((x.flags, x.data.shape, x.data.dtype) == kind for x, kind in self.inputs)

    def difference(self, values, nodes, gradients):
        """What differs first between a run, {name: value}, and an eager run; None: nothing.

        nodes, gradients  of the eager run: its tensors, and the gradients of self.leaves
        """
        ops = [node.op and node.op.name for node in nodes]
        if ops != self.ops:
            pairs = zip([*ops, "the end"], [*self.ops, "the end"])
            here, there = next((a, b) for a, b in pairs if a != b)
            return f"the graph is another one now: there is {here or 'a leaf'} in place of {there}"
        eager = [(name, node.data) for name, node in zip(self.names, nodes) if node.op]
        for name, right in [*eager, *zip(self.gradients, gradients)]:
            if name not in values:  # it is written within a line
                continue
            found = np.asarray(values[name]).astype(getattr(right, "dtype", None))
            if not np.array_equal(found, right, equal_nan=True):
                lines = enumerate(self.text.splitlines(), 1)
                i, line = next(((i, x) for i, x in lines if f" {name} = " in x), (1, name))
                return f"{name} differs first, line {i} of the program: {line.strip()}"
        return None

    def located(self, error):
        """An error of a run, with the line of the program."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [(f.lineno, f.line) for f in frames if f.filename == self.file]
        where = "in line {} of the program, `{}`".format(*lines[-1]) if lines else ""
        return same_kind(error, f"compile: {error} {where}")


def _forgetting(page, lines, results, final):
    """The lines, each with the deletion of what is not needed after it."""
    needed = {x.name for x in results} | page.inputs.keys() | page.constants.keys() | {None}
    last = {n: i for i, line in enumerate(page.lines) for n in (line.target, *line.names)}
    lines = list(lines)
    for name, i in last.items():
        if name not in needed:
            lines[i] += f"; del {final(name)}"
    return lines


def _returned(writer, final):
    """The line that returns the results. A gradient that shares memory is copied."""
    own = {line.target for line in writer.page.lines if line.is_own}
    names = [g.name for g in writer.gradients.values()]
    gradients = []
    for leaf, g in writer.gradients.items():
        is_own = g.name in own and names.count(g.name) == 1 and g.dtype == leaf.dtype
        text = "{}" if is_own and g.ndim else f"np.array({{}}, np.{leaf.dtype})"
        gradients.append(text.format(final(g.name)))
    loss = final(writer.symbols[writer.nodes[-1].order].name)
    return f"return np.asarray({loss}), [{', '.join(gradients)}]"


def _function(head, lines, errors):
    """The text of a function. errors: how NumPy treats overflow and the like inside."""
    ignored = [f'{k}="{how}"' for k, how in errors.items() if how != np.geterr()[k]]
    if ignored:
        lines = [f"with np.errstate({', '.join(ignored)}):", *(f"    {line}" for line in lines)]
    return "\n    ".join([head, *lines])


def _compiled(text, known):
    """(the function of a text, the name of its file). Tracebacks show its lines."""
    file = f"<program {id(known)}.{len(text)}>"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    space = dict(known)
    exec(builtin_compile(text, file, "exec"), space)
    return space["run"], file


class Step:
    """A training step that runs as a program: see `compile`. `print(step)` shows its programs.

    programs  {signature: [Recorded]}
    """

    def __init__(self, function, trials):
        self.function, self.trials, self.programs = function, trials, {}
        self.names = list(inspect.signature(function).parameters)

    def __repr__(self):
        programs = [p for programs in self.programs.values() for p in programs]
        return "\n\n".join(f"# eager: {p.refusal}" if p.refusal else p.text for p in programs)

    def __call__(self, *args) -> Tensor:
        arrays = [data_of(a) for a in args]
        modes = map(bool, (recording.get(), sampling_mode.get(), frozen.get()))
        programs = self.programs.setdefault((*modes, array.default_dtype, *map(_kind, args)), [])
        p = next((p for p in programs if p.fits()), None)
        if p is None and sum(map(len, self.programs.values())) < MOST:
            return self._record(programs, arrays)
        if p is None or p.refusal:
            loss = self.function(*self._tensors(arrays))
            loss.backward()
            return loss.detach()
        if p.trials:
            return self._try(p, arrays)
        try:
            loss, gradients = p.run(*(a for a in arrays if isinstance(a, np.ndarray)))
        except Exception as error:
            raise p.located(error) from error
        for leaf, g in zip(p.leaves, map(constant, gradients)):
            leaf.grad = g if leaf.grad is None else leaf.grad + g
        return constant(loss)

    def _tensors(self, arrays):
        names = self.names + ["x"] * len(arrays)
        pairs = zip(arrays, names)
        return [Tensor(a, name=n) if isinstance(a, np.ndarray) else a for a, n in pairs]

    def _record(self, programs, arrays):
        """An eager step, of which a program is written."""
        told, inputs = [], self._tensors(arrays)
        token = effects.set(told)
        try:
            loss = self.function(*inputs)
        finally:
            effects.reset(token)
        p = Recorded(self.trials)
        try:
            p.write(loss, [x for x in inputs if isinstance(x, Tensor)], told)
        except Exception as error:  # such as a rule that does not run on Tensors
            p.refusal = f"{type(error).__name__}: {error}"
        loss.backward()  # raises the error of a loss that has no gradient
        programs.append(p)
        if p.refusal:
            warnings.warn(f"compile: no program, so this step is eager: {p.refusal}", stacklevel=3)
        for leaf, _ in p.inputs:
            if isinstance(leaf, Noise):  # what was drawn is not needed any more
                leaf.data = np.broadcast_to(leaf.dtype.type(), leaf.shape)
        return loss.detach()

    def _try(self, p, arrays):
        """An eager step, with which the program is compared."""
        p.trials -= 1
        try:
            with frozen_noise():
                values = p.follow(*(a for a in arrays if isinstance(a, np.ndarray)))
        except Exception as error:
            p.refusal = str(p.located(error))
        loss = self.function(*self._tensors(arrays))
        nodes = program("compile", loss)
        gradients = grad(loss, p.leaves, retain_graph=True, allow_unused=True)
        loss.backward()
        p.refusal = p.refusal or p.difference(values, nodes, list(map(data_of, gradients)))
        if p.refusal:
            warnings.warn(f"compile: from now on eager: {p.refusal}. {HINT}", stacklevel=3)
        return loss.detach()


def _kind(a):
    """What of an argument makes a new program."""
    if isinstance(a, (list, dict, set)):
        raise TypeError(
            f"compile: an argument is a {type(a).__name__}, which is unhashable. Pass arrays, "
            "Tensors, and settings such as numbers and tuples."
        )
    if not isinstance(a, (np.ndarray, Tensor)):
        return a
    if getattr(a, "requires_grad", False):
        raise TypeError(
            "compile: an argument requires a gradient, but arguments are data. Use the Tensor in "
            "the function without passing it."
        )
    a = data_of(a)  # a negative whole number may be an error, or stand for what is ignored
    return a.shape, a.dtype, a.dtype.kind == "i" and frozenset(a[a < 0].tolist())


builtin_compile = compile


def compile(function, trials=2) -> Step:
    """A training step as a program: step(*args) does `function(*args).backward()`, but faster.

    function  Takes arrays, as Tensors, and settings. Returns the loss, a Tensor of one entry.
    trials    How many calls of each program are compared with eager mode, beside the first.

    The first call for new shapes, dtypes and settings runs eagerly, and writes its forward and
    backward pass down as straight-line NumPy (see `write_out`). Later calls run these lines, read
    the parameters anew and draw noise anew, from the same streams: the same bits as eager mode. A
    new mode, parameter or rate of a module makes a new program. After 32 programs calls are eager.

    A program cannot see what Python decides by values. So the first `trials` calls also run
    eagerly, with the same noise. If a result differs, a warning says which, and the step stays
    eager. What changes from step to step must be an argument, an attribute of a module that is set
    anew, or the data of a leaf that has a name or requires a gradient.

    Returns a Step; `print(step)` shows its programs. A call returns the loss without its graph.
    Raises TypeError for an argument that requires a gradient or cannot be hashed, and the errors of
    the function and of `backward`.

    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> step = compile(lambda x: np.sum(np.tanh(w * x)))
    >>> for x in np.eye(2, dtype=np.float32):
    ...     w.grad = None
    ...     print(step(x), w.grad)
    Tensor(0.7615942) Tensor([0.41997433, 0.        ])
    Tensor(0.9640276) Tensor([0.        , 0.07065082])
    """
    return Step(function, trials)

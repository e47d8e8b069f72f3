"""What must hold for every program. Each check takes a `Case` and raises an error if it fails."""

import copy
import gc
import pickle
import random
import re
import warnings
import weakref
from functools import cached_property
from importlib.util import find_spec

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad.array import data_of, numpy_functions
from minigrad.drawing import describe, trace
from minigrad.graph import nodes
from minigrad.registry import ops

from .grammar import NAME, PLAIN, is_small, values, weigh
from .reference import REFUSALS, H, Refused, along, bare, plain, seen

OURS = {"np": np, "F": F, "low": "float64", "weigh": weigh}
MAKE = {  # a leaf of minigrad, by the first letter of its name
    "x": lambda x, name: mg.Tensor(x, requires_grad=True),
    "d": lambda x, name: mg.Tensor(x, name=name),
    "c": lambda x, name: x.copy(),
    "i": lambda x, name: mg.Tensor(x),
    "b": lambda x, name: mg.Tensor(x),
}
CLOSE = 1e-6  # with a smaller gap, rounding may decide
CLEAR = 1e-3  # decisions with this gap stay as they are when numbers move a little
LEAVES_GRAPH = "detach"  # constants of the graph that depend on leaves
FUNCTIONS = {*ops, *(f.__name__ for f in numpy_functions)}


class Wrong(AssertionError):
    """Numbers that should be the same are not."""


def same(what, found, expected, rtol=1e-9, size=1.0):
    """Raises Wrong unless the shapes agree, and the numbers up to rtol of the largest, and size."""
    found, expected = (np.asarray(bare(data_of(x))) for x in (found, expected))
    if found.shape != expected.shape:
        raise Wrong(f"{what}: shape {found.shape}, expected {expected.shape}")
    if not np.allclose(found, expected, rtol, rtol * np.abs(expected).max(initial=size)):
        raise Wrong(f"{what}: {found.tolist()}, expected {expected.tolist()}")


def value(x):
    """The real part of what a complex run gives, in double precision."""
    return np.real(bare(np.asarray(x))).astype(float)


class Case:
    """A program and its runs. Every run begins with the same seed of the noise.

    wide  the leaves in float64        u, w  random directions of the x leaves
    """

    def __init__(self, program):
        self.program, self.text = program, program.text()
        self.code = compile(self.text, "<program>", "exec")
        narrow = {n: x.astype(float) for n, x in program.leaves.items() if x.dtype.kind == "f"}
        self.wide = program.leaves | narrow
        self.sought = [n for n in program.leaves if n[0] == "x"]
        rng = np.random.default_rng(len(self.text))
        self.u, self.w = (
            {n: rng.uniform(-1, 1, self.wide[n].shape) for n in self.sought} for _ in range(2)
        )

    def run(self, world, leaves, times=1, **more):
        """{name: value} of the leaves, the steps and the loss. Each time has its own noise."""
        mg.manual_seed(0)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(times):
                names = world | leaves | more
                exec(self.code, names)
        return {n: v for n, v in names.items() if NAME.fullmatch(n) or n == "loss"}

    def ours(self, leaves=None, **more):
        leaves = self.wide if leaves is None else leaves
        return self.run(OURS, {n: MAKE[n[0]](x, n) for n, x in leaves.items()}, **more)

    def numpys(self, leaves, **more):
        return self.run(PLAIN, {n: plain(x.copy()) for n, x in leaves.items()}, **more)

    def slope(self, leaves, times=1):
        """The run on complex numbers along u. None if NumPy refuses it, if numbers become large, or
        if rounding decides: then a run in double precision gives other numbers.
        """
        try:
            seen.start()
            plainly, ties = self.numpys(leaves, times=times), seen.ties
            seen.start()
            run = self.run(PLAIN, along(leaves, self.u), times)
            for name, x in plainly.items():
                same(name, x, value(run[name]), 1e-10)
        except (Wrong, *REFUSALS):
            return None
        if seen.ties != ties:
            return None
        are_small = all(is_small(run[name]) for name, _ in self.program.steps)
        return run if are_small and seen.gap > CLOSE else None

    @cached_property
    def expected(self):
        run = self.slope(self.wide)
        self.is_smooth, self.jumps = not seen.ties and seen.gap > CLEAR, seen.jumps
        return run

    @cached_property
    def recorded(self):
        """A run in float64 whose graph all checks may read."""
        return self.ours()

    @cached_property
    def gradients(self):
        """{x leaf: array}, zeros where the loss does not depend on the leaf."""
        zeros = {n: np.zeros(self.wide[n].shape) for n in self.sought}
        found = {n: g.data for n, g in self.grad(self.recorded).items() if g is not None}
        return zeros | found

    def grad(self, run, create_graph=False):
        """{x leaf: Tensor or None}; {} if the loss depends on none. The graph stays."""
        if not requires_grad(run):
            return {}
        leaves = [run[n] for n in self.sought]
        found = mg.grad(run["loss"], leaves, None, True, create_graph, allow_unused=True)
        return dict(zip(self.sought, found))


def requires_grad(run):
    return isinstance(run["loss"], mg.Tensor) and run["loss"].requires_grad


def is_recorded(run):
    return isinstance(run["loss"], mg.Tensor) and not run["loss"].is_leaf


# ------------------------------------------------------------------------------------------- checks


def values_and_dtypes_are_numpys(case):
    """In the dtypes as they are. The leaves stay as they were."""
    leaves, low = case.program.leaves, case.program.low
    expected = case.numpys(leaves, low=low)
    found = case.ours(leaves, low=low)
    narrow = "float32" in (low, *(str(x.dtype) for x in leaves.values()))
    if case.is_smooth or not narrow:
        for name in expected:
            same(name, found[name], expected[name], 1e-3 if narrow else 1e-11)
            dtypes = [np.asarray(data_of(run[name])).dtype for run in (found, expected)]
            if dtypes[0] != dtypes[1]:
                raise Wrong(f"{name}: {dtypes[0]}, expected {dtypes[1]}")
    for name in leaves:
        same(f"{name} after the run", found[name], leaves[name], 0)


def derivative_is_the_complex_step(case):
    """Along a random direction. Every value is that of the complex run."""
    for name, x in case.expected.items():
        same(name, case.recorded[name], value(x), 1e-10)
    terms = [np.sum(g * case.u[n]) for n, g in case.gradients.items()]
    slope = value(np.imag(case.expected["loss"]) / H)
    same("the derivative along u", sum(terms), slope, 1e-9, 1 + np.abs(terms).max())


def narrow_gradients_are_near(case):
    """In the dtypes as they are, each gradient has its leaf's dtype and is near that in float64."""
    run = case.ours(case.program.leaves, low=case.program.low)
    size = 1 + sum(np.abs(g).sum() for g in case.gradients.values())
    for name, g in case.grad(run).items():
        if g is not None and g.dtype != run[name].dtype:
            raise Wrong(f"the gradient of {name} is {g.dtype}")
        if g is not None and case.is_smooth and "gaussian" not in case.text:
            same(f"the gradient of {name}", g, case.gradients[name], 0.01, size)


def backward_accumulates(case):
    """backward gives what grad gives, a second one as much again; then the graph is freed."""
    run = case.ours()
    if not requires_grad(run):
        return
    for times in (1, 2):
        run["loss"].backward(retain_graph=times == 1)
        for name in case.sought:
            g = run[name].grad
            g = np.zeros(run[name].shape) if g is None else g
            same(f"{name}.grad after backward {times}", g, times * case.gradients[name], 1e-13)
    if run["loss"].args is not None:
        raise Wrong("the second backward does not free the graph")


def second_derivative_is_a_difference(case):
    """The derivative along w of the derivative along u."""
    if not case.is_smooth or "detach" in case.text:
        return
    first = case.grad(case.recorded, create_graph=True).items()
    pairs = [(g, case.u[n]) for n, g in first if g is not None and g.requires_grad]
    terms = [0.0]
    if pairs:
        outputs, directions = zip(*pairs)
        leaves = [case.recorded[n] for n in case.sought]
        second = mg.grad(outputs, leaves, directions, True, allow_unused=True)
        terms += [np.sum(g.data * case.w[n]) for n, g in zip(case.sought, second) if g is not None]
    step = np.finfo(np.longdouble).eps ** (1 / 3)
    moved = [
        case.wide | {n: case.wide[n] + side * step * w for n, w in case.w.items()}
        for side in (1, -1)
    ]
    runs = [case.slope(leaves) for leaves in moved]
    if all(runs):
        ahead, behind = (np.imag(bare(run["loss"])) / H for run in runs)
        expected = float((ahead - behind) / (2 * step))
        size = 1 + np.abs(terms).max()
        same("the second derivative along u and w", sum(terms), expected, 1e-7, size)


def has_shapes_of(run, other):
    """Whether another run, None if it is not fair, has the same shapes: a graph has fixed shapes.

    A run is not fair if a number is exactly where a result jumps: rounding may put it beside.
    """
    return (
        other
        and not seen.jumps
        and all(np.shape(x) == np.shape(data_of(run[n])) for n, x in other.items())
    )


def replay_is_a_new_run(case):
    """The graph on other numbers gives what the program gives; on the same numbers, the same."""
    run, loss = case.recorded, case.recorded["loss"]
    if not is_recorded(run):
        return
    same("replay of nothing", mg.replay(loss), loss, 0)
    r = random.Random(case.text)
    floats = [n for n, x in case.wide.items() if n[0] in "xd" and x.dtype.kind == "f"]
    other = {n: values(r, case.wide[n].shape, "float64", r.random() < 0.3) for n in floats}
    expected = case.slope(case.wide | other)
    if has_shapes_of(run, expected) and not re.search(LEAVES_GRAPH, case.text):
        known = {x.order for x in nodes(loss)}
        changed = {run[n]: x for n, x in other.items() if run[n].order in known}
        same("replay", mg.replay(loss, changed), value(expected["loss"]), 1e-9)


def resample_draws_the_next_noise(case):
    """Each stream goes on where it was."""
    if "noise" not in case.text or re.search(LEAVES_GRAPH, case.text):
        return
    expected = case.slope(case.wide, times=2)
    run = case.ours()
    if has_shapes_of(run, expected) and is_recorded(run):
        same("resample", mg.resample(run["loss"]), value(expected["loss"]), 1e-9)


def check_graph_agrees(case):
    """The package's own check finds nothing wrong. Where the loss jumps it has no derivative."""
    if requires_grad(case.recorded) and not case.jumps:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = mg.check_graph(case.recorded["loss"])
        if report.first_wrong:
            raise Wrong(f"check_graph: {report}")


def pictures_show_the_graph(case):
    """Each tensor is in a node, and each operand has an arrow that leads on. The numbers of the
    nodes are those of the graph, and `trace` has the bits of backward.
    """
    if not is_recorded(case.recorded):
        return
    loss = case.recorded["loss"]
    found = case.grad(case.recorded).items()
    gradients = {case.recorded[n].order: g.data for n, g in found if g is not None}
    steps = trace(loss) if gradients else []
    totals = {s.input.order: s.total for _, _, sent in steps for s in sent}
    for order, g in gradients.items():
        same("the sum of what trace sends", totals[order], g, 0)
    grads = "run" if gradients else True
    for options in {"depth": None}, {"max_nodes": 5, "depth": "auto"}:
        drawn, edges = describe(loss, grads=grads, noise=True, **options)
        home = {t.order: node.id for node in drawn for t in node.tensors}
        arrows = {(edge.source, edge.target) for edge in edges}
        for t in nodes(loss):
            operands = [a for a in t.args if isinstance(a, mg.Tensor)]
            needed = {(home[a.order], home[t.order]) for a in operands}
            if {(a, b) for a, b in needed if a != b} - arrows:
                raise Wrong(f"no arrow from an operand of {t.op}, drawn with {options}")
        place = {node.id: i for i, node in enumerate(drawn)}
        if any(place[a] >= place[b] for a, b in arrows):
            raise Wrong(f"an arrow leads back, drawn with {options}")
        for node in (node for node in drawn if node.is_leaf and not node.inside):
            pairs = [(node.value, node.last.data)]
            pairs += [(node.gradient, g) for o, g in gradients.items() if o == node.last.order]
            for numbers, array in pairs:
                entries = array[np.isfinite(array)]  # a mask may hold -inf
                if entries.size:
                    same("a mean in the picture", numbers.mean, entries.mean())
                    same("a deviation in the picture", numbers.std, entries.std())


def no_grad_records_nothing(case):
    """And copies of the leaves, in memory or pickled, are such leaves: the same bits come out."""
    run = case.recorded
    with mg.no_grad():
        plainly = case.ours()
    for name, x in plainly.items():
        same(f"{name} in no_grad", x, run[name], 0)
        if name not in case.wide and (getattr(x, "requires_grad", False) or getattr(x, "op", None)):
            raise Wrong(f"{name} is recorded in no_grad")
    for copied in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        again = case.run(OURS, {n: copied(run[n]) for n in case.wide})
        same("the loss of copies", again["loss"], run["loss"], 0)
        if requires_grad(again) != requires_grad(run):
            raise Wrong("copies do not require a gradient")


def memory_is_freed(case):
    """Results die with the loss, and in backward all but the loss. The collector sleeps."""
    gc.disable()
    try:
        for walks in (False, True):
            run = case.ours()
            loss = run.pop("loss")
            if walks and not requires_grad(case.recorded):
                continue
            results = {n: v for n, v in run.items() if n[0] == "v" and isinstance(v, mg.Tensor)}
            alive = {n: weakref.ref(v.data) for n, v in results.items()}
            if walks:
                loss.backward()
            else:
                del loss
            del run, results
            left = [n for n, array in alive.items() if array() is not None]
            if left:
                raise Wrong(f"{', '.join(left)} stay in memory; backward: {walks}")
    finally:
        gc.enable()


def refusal(line, names):
    """The error of a line, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(line, names)
    except REFUSALS as error:
        return error
    return None


def errors_name_the_function(case):
    """What NumPy refuses, minigrad refuses too. The message says the name of the function."""
    line, names = f"wrong = {case.program.wrong}", OURS | case.recorded
    expected, found = refusal(line, PLAIN | case.numpys(case.wide)), refusal(line, names)
    if expected is None or isinstance(expected, (Refused, AttributeError)):
        return
    told = re.match(r"(?:np\.|a )?(\w+)(?::| of | only )", str(found))
    if found and not (told and told[1] in {*FUNCTIONS, *re.findall(r"\w+", line), "tensor"}):
        raise Wrong(f"{line}: the error names no function: {found!r}")
    # Of a number NumPy's sum takes axis 0, and its mean does not: here both do.
    if found is None and any(np.ndim(data_of(names[n])) for n in NAME.findall(line)):
        raise Wrong(f"{line}: NumPy refuses, minigrad gives {names['wrong']}")


def pytorch_agrees(case):
    """Each step alone, on the numbers that it has in the program: its value and its derivatives."""
    from . import pytorch

    run = case.recorded
    for name, text in case.program.steps:
        inputs = {n: data_of(run[n]) for n in NAME.findall(text)}
        weights = np.cos(np.arange(np.size(data_of(run[name]))))
        other = pytorch.step(name, text, inputs, weights)
        if other is None:
            continue
        expected, slopes = other
        same(f"{name} in PyTorch", run[name], expected, 1e-10)
        if slopes and case.is_smooth:
            names = OURS | {n: mg.Tensor(x, requires_grad=n in slopes) for n, x in inputs.items()}
            exec(f"{name} = {text}", names)
            np.sum(names[name] * weights.reshape(expected.shape)).backward()
            for n, slope in slopes.items():
                g = names[n].grad if names[n].grad is not None else np.zeros(slope.shape)
                same(f"the derivative of {name} by {n} in PyTorch", g, slope)


CHECKS = [
    values_and_dtypes_are_numpys,
    derivative_is_the_complex_step,
    narrow_gradients_are_near,
    backward_accumulates,
    second_derivative_is_a_difference,
    replay_is_a_new_run,
    resample_draws_the_next_noise,
    check_graph_agrees,
    pictures_show_the_graph,
    no_grad_records_nothing,
    memory_is_freed,
    errors_name_the_function,
    *([pytorch_agrees] if find_spec("torch") else []),
]


def finding(program, checks=CHECKS):
    """(name of the check, what is wrong) of the first check that fails, or None."""
    case = Case(program)
    if case.expected is None:
        return None
    for check in checks:
        try:
            check(case)
        except Exception as error:
            return check.__name__, f"{type(error).__name__}: {error}"
    return None

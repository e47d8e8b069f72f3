"""What must hold for every program. Each check is a function of a `Case`, and raises `Wrong`."""

import copy
import gc
import pickle
import re
import warnings
import weakref
from importlib.util import find_spec
from functools import cached_property

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad.array import data_of, numpy_functions
from minigrad.registry import ops

from .grammar import NAME, PLAIN, is_small, values, weigh
from .reference import H, along, bare, plain, seen

OURS = {"np": np, "F": F, "mg": mg, "low": "float64", "weigh": weigh}
NOT_REPLAYED = "detach|take_along_axis"  # their indices are constants of the graph
CLEAR = 1e-3  # a decision with this much room stays as it is when its numbers move a little
KNOWN = {*ops, *(f.__name__ for f in numpy_functions), "Tensor", "backward", "getitem", "astype_whole"}


class Wrong(AssertionError):
    """A finding."""


def same(what, found, expected, rtol=1e-9):
    """Raises Wrong unless two arrays have the same shape and the same numbers, up to rounding."""
    found, expected = np.asarray(data_of(found)), np.asarray(expected)
    if found.shape != expected.shape:
        raise Wrong(f"{what}: shape {found.shape}, expected {expected.shape}")
    if not np.allclose(found, expected, rtol, rtol * max(1, np.abs(expected).max(initial=0))):
        raise Wrong(f"{what}: {found.tolist()}, expected {expected.tolist()}")


def tensors(leaves):
    """The leaves as minigrad takes them: see the names in grammar.py."""
    make = {
        "x": lambda x, name: mg.Tensor(x, requires_grad=True),
        "d": lambda x, name: mg.Tensor(x, name=name),
        "c": lambda x, name: x.copy(),
    }
    return {n: make.get(n[0], lambda x, name: mg.Tensor(x))(x, n) for n, x in leaves.items()}


class Case:
    """A program and its runs. Each run draws the same noise."""

    def __init__(self, program, seed=0):
        self.program, self.rng, self.text = program, np.random.default_rng(seed), program.text()
        self.code = compile(self.text, "<program>", "exec")
        self.wide = {n: x.astype(np.float64) if x.dtype == np.float32 else x for n, x in program.leaves.items()}
        self.sought = [n for n in program.leaves if n[0] == "x"]
        self.u, self.w = (
            {n: self.rng.uniform(-1, 1, self.wide[n].shape) for n in self.sought} for _ in range(2)
        )

    def run(self, world, leaves, seed=0, **more):
        """{name: value} after the program; a `seed` of None goes on with the noise."""
        if seed is not None:
            mg.manual_seed(seed)
        names = world | leaves | more
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(self.code, names)
        return {n: v for n, v in names.items() if n in leaves or n == "loss" or re.fullmatch(r"v\d+", n)}

    def ours(self, leaves=None, **more):
        return self.run(OURS, tensors(self.wide if leaves is None else leaves), **more)

    def slope(self, leaves, seed=0):
        """The run on complex numbers along u: the loss and its derivative are its parts."""
        seen.start()
        return self.run(PLAIN, along(leaves, self.u), seed)

    @cached_property
    def expected(self):
        run = self.slope(self.wide)
        self.ties, self.jumps, self.gap = seen.ties, seen.jumps, seen.gap
        return run

    @cached_property
    def other(self):
        """The leaves with other numbers, and the complex run on them; None if it is no fair one."""
        import random
        r = random.Random(int(self.rng.integers(1 << 30)))
        leaves = {n: x if n[0] == "c" or x.dtype.kind != "f" else values(r, x.shape, x.dtype, r.random() < 0.3) for n, x in self.wide.items()}
        try:
            run = self.slope(leaves)
        except Exception:  # a shape that depends on the numbers
            return None
        return (leaves, run) if seen.gap > 1e-6 and all(map(is_small, run.values())) else None

    def gradients(self, run, retain=True):
        """The gradients by the x leaves; zeros where the loss does not depend on one."""
        found = mg.grad(run["loss"], [run[n] for n in self.sought], retain_graph=retain, allow_unused=True)
        return {n: np.zeros(run[n].shape) if g is None else g.data for n, g in zip(self.sought, found)}


def along_u(gradients, directions):
    return sum(float(np.sum(np.asarray(gradients[n], float) * directions[n])) for n in gradients)


def requires_grad(run):
    return getattr(run["loss"], "requires_grad", False)


# ------------------------------------------------------------------------------------------- checks


def values_are_numpys(case):
    """The same text on arrays of NumPy, in the dtypes as they are: shapes, dtypes, numbers."""
    leaves = case.program.leaves
    expected = case.run(PLAIN, {n: plain(x.copy()) for n, x in leaves.items()}, low=case.program.low)
    found = case.ours(leaves, low=case.program.low)
    case.expected
    narrow = "float32" in (case.program.low, *(str(x.dtype) for x in leaves.values()))
    for name in expected if not narrow or case.gap > CLEAR and not case.ties else ():
        x, y = data_of(found[name]), bare(expected[name])
        same(name, x, y, 1e-3 if narrow else 1e-11)
        if np.asarray(x).dtype != np.asarray(y).dtype:
            raise Wrong(f"{name}: {np.asarray(x).dtype}, expected {np.asarray(y).dtype}")
    for name in leaves:
        same(f"{name} after the run", found[name], leaves[name], 0)


def derivative_is_the_complex_step(case):
    """The gradient along a random direction; in the given dtypes it is near, and has its leaf's."""
    run, expected = case.ours(), case.expected
    for name in expected:
        same(name, run[name], np.real(bare(expected[name])).astype(float), 1e-10)
    slope = float(np.imag(bare(np.asarray(expected["loss"])))) / H
    if not requires_grad(run):
        return same("the derivative without a graph", 0.0, slope)
    gradients = case.gradients(run)
    size = sum(np.abs(g * case.u[n]).sum() for n, g in gradients.items())
    same("the derivative along u", along_u(gradients, case.u), slope, 1e-9 * (1 + size))
    given = case.ours(case.program.leaves, low=case.program.low)
    narrow = case.gradients(given)
    for name, g in narrow.items():
        if case.gap > CLEAR and not case.ties and "gaussian" not in case.text:
            same(f"the narrow gradient of {name}", g, gradients[name], 0.01 * (1 + size))
    given["loss"].backward()
    for name in case.sought:
        if given[name].grad is not None and given[name].grad.dtype != given[name].dtype:
            raise Wrong(f"the gradient of {name} is {given[name].grad.dtype}")


def backward_accumulates(case):
    """backward gives what grad gives, and twice as much after a second time; then the graph is gone."""
    run = case.ours()
    if not requires_grad(run):
        return
    once = case.gradients(run)
    for times in (1, 2):
        run["loss"].backward(retain_graph=times == 1)
        for name in case.sought:
            g = run[name].grad
            same(f"{name}.grad after {times} backward", 0 * once[name] if g is None else g, times * once[name], 1e-13)
    if not run["loss"].is_leaf:
        try:
            run["loss"].backward()
        except RuntimeError as error:
            if "freed" not in str(error):
                raise
        else:
            raise Wrong("a third backward goes through a freed graph")


def second_derivative_is_a_difference(case):
    """The derivative of the gradient along u, along w: by the graph of backward, and by difference."""
    case.expected
    if case.ties or case.gap < CLEAR or "detach" in case.text:
        return
    run = case.ours()
    if not requires_grad(run):
        return
    xs = [run[n] for n in case.sought]
    first = mg.grad(run["loss"], xs, create_graph=True, allow_unused=True)
    pairs = [(g, case.u[n]) for n, g in zip(case.sought, first) if g is not None and g.requires_grad]
    found, size = 0.0, 0.0
    if pairs:
        second = mg.grad([g for g, _ in pairs], xs, [u for _, u in pairs], allow_unused=True)
        parts = [g.data * case.w[n] for n, g in zip(case.sought, second) if g is not None]
        found, size = sum(p.sum() for p in parts), sum(np.abs(p).sum() for p in parts)
    step = float(np.finfo(np.longdouble).eps) ** (1 / 3)
    slopes = [
        case.slope({n: x + way * step * case.w[n].astype(np.longdouble) if n in case.w else x for n, x in case.wide.items()})["loss"]
        for way in (1, -1)
    ]
    expected = (np.imag(bare(slopes[0])) - np.imag(bare(slopes[1]))) / H / (2 * step)
    if abs(expected) < 1e6:
        same("the second derivative along u and w", found, float(expected), 1e-7 * (1 + size))


def replay_is_a_new_run(case):
    """The recorded graph on other numbers computes what the program computes on them."""
    run = case.ours()
    if re.search(NOT_REPLAYED, case.text) or case.other is None or not isinstance(run["loss"], mg.Tensor) or run["loss"].is_leaf:
        return
    leaves, expected = case.other
    if any(np.shape(v) != np.shape(data_of(run[n])) for n, v in expected.items()):
        return  # a shape that depends on the numbers
    known = mg.graph.nodes([run["loss"]])
    changed = {run[n]: x for n, x in leaves.items() if n[0] in "xd" and any(run[n] is k for k in known)}
    same("replay", mg.replay(run["loss"], changed), np.real(bare(np.asarray(expected["loss"]))).astype(float), 1e-8)
    same("replay of nothing", mg.replay(run["loss"]), run["loss"].data, 0)


def resample_draws_the_next_noise(case):
    """The noise stays in replay, and is the next of each stream in resample."""
    run = case.ours()
    if "noise" not in case.text or re.search(NOT_REPLAYED, case.text) or not isinstance(run["loss"], mg.Tensor) or run["loss"].is_leaf:
        return
    expected = case.run(PLAIN, along(case.wide, case.u))
    expected = case.run(PLAIN, along(case.wide, case.u), seed=None)
    if not np.isfinite(np.real(bare(np.asarray(expected["loss"])))):
        return
    mg.manual_seed(0)
    run = case.ours()
    same("resample", mg.resample(run["loss"]), np.real(bare(np.asarray(expected["loss"]))).astype(float), 1e-8)


def check_graph_agrees(case):
    """The package's own check finds nothing wrong in a right graph."""
    run = case.ours()
    case.expected
    if not requires_grad(run) or case.jumps:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = mg.check_graph(run["loss"])
    if report.first_wrong or "FAILED" in report.verdict():
        raise Wrong(f"check_graph: {report}")


def nothing_is_recorded_in_no_grad(case):
    recorded = case.ours()
    with mg.no_grad():
        run = case.ours()
    for name, value in run.items():
        same(f"{name} in no_grad", value, data_of(recorded[name]), 0)
        if isinstance(value, mg.Tensor) and name not in case.program.leaves and (value.requires_grad or value.op):
            raise Wrong(f"{name} is recorded in no_grad")


def copies_compute_the_same(case):
    """Leaves that were copied or pickled are leaves of the same values, dtypes and flags."""
    first = case.ours()
    for method in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        leaves = {n: method(first[n]) for n in case.program.leaves}
        run = case.run(OURS, leaves)
        same("the loss of copies", run["loss"], data_of(first["loss"]), 0)
        if requires_grad(run) != requires_grad(first):
            raise Wrong("copies lose requires_grad")


def memory_is_freed(case):
    """After backward, and without it, every result dies with its last name, without the collector."""
    gc.disable()
    try:
        for walks in (True, False):
            run = case.ours()
            loss = run["loss"]
            own = {id(data_of(run[n])) for n in case.program.leaves} | {id(data_of(loss))}
            kept = {n: weakref.ref(data_of(v)) for n, v in run.items() if isinstance(v, mg.Tensor) and id(v.data) not in own}
            if walks and requires_grad(run):
                loss.backward()
            elif not walks:
                loss = None
            else:
                continue
            run = None
            alive = [n for n, ref in kept.items() if ref() is not None]
            if alive:
                raise Wrong(f"{', '.join(alive)} stay in memory (backward: {walks})")
    finally:
        gc.enable()


def errors_name_the_op(case):
    """The last line, which NumPy refuses, is an error that says the op or the function."""
    wrong = case.program.wrong
    if not wrong:
        return
    names = OURS | case.ours()
    try:
        exec(f"wrong = {wrong}", PLAIN | case.run(PLAIN, {n: plain(x) for n, x in case.wide.items()}))
        return
    except (ValueError, TypeError, IndexError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(f"wrong = {wrong}", names)
    except (ValueError, TypeError, IndexError) as error:
        words = set(re.findall(r"[a-z]\w+", str(error)[:60])) & (KNOWN | set(re.findall(r"[a-z]\w+", wrong)) - {"axis", "np"})
        if not words:
            raise Wrong(f"{wrong}: the error does not say the op: {type(error).__name__}: {error}") from error
    else:
        # NumPy's mean refuses axis 0 of a number, its sum does not.
        if any(np.ndim(data_of(names[n])) for n in NAME.findall(wrong)):
            raise Wrong(f"{wrong}: NumPy refuses, minigrad gives {names['wrong']}")


def pytorch_agrees(case):
    """Each step alone, on the numbers that it has in the program: its value and its derivatives."""
    run = case.ours()
    case.expected
    for name, text in case.program.steps:
        weights = np.cos(np.arange(np.size(data_of(run[name]))))
        inputs = {n: data_of(run[n]) for n in NAME.findall(text)}
        other = second_opinion.step(name, text, inputs, weights)
        if other is None:
            continue
        second_opinion.steps += 1
        value, slopes = other
        same(f"{name} in PyTorch", run[name], value, 1e-10)
        if slopes and not case.ties:
            leaves = {n: mg.Tensor(x, requires_grad=n in slopes) for n, x in inputs.items()}
            names = OURS | leaves
            exec(f"{name} = {text}", names)
            np.sum(names[name] * weights.reshape(value.shape)).backward()
            for n, slope in slopes.items():
                g = leaves[n].grad
                same(f"the derivative of {name} by {n} in PyTorch", np.zeros(slope.shape) if g is None else g, slope, 1e-9)


CHECKS = [
    values_are_numpys, derivative_is_the_complex_step, backward_accumulates, second_derivative_is_a_difference,
    replay_is_a_new_run, resample_draws_the_next_noise, check_graph_agrees, nothing_is_recorded_in_no_grad,
    copies_compute_the_same, memory_is_freed, errors_name_the_op,
]  # fmt: skip


if find_spec("torch"):
    from . import second_opinion

    CHECKS.append(pytorch_agrees)


def finding(program, checks=CHECKS):
    """(name of the check, what is wrong) of the first check that fails, or None."""
    try:
        run = Case(program).expected
    except Exception:
        return None  # NumPy refuses it
    if not all(is_small(run[name]) for name, _ in program.steps):
        return None
    for check in checks:
        try:
            check(Case(program))
        except Exception as error:
            return check.__name__, f"{type(error).__name__}: {error}"
    return None

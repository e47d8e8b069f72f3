"""The noise of a stochastic function: is it drawn as its law says, and does it act as promised?

How noise *acts* is checked exactly: the recorded graph runs again with noise of the check's choice.
How noise is *drawn* is compared with its law by bounds that hold for any number n of entries:

law           P(sup |F_n - F| > e) <= 2 exp(-2 n e^2), where F is the cdf of the law and F_n that of
              n independent entries (Massart 1990). It sees mean, variance and shape at once
rate          P(|r - q| > e) <= 2 exp(-n e^2 / (2 q (1 - q) + 2 e / 3)), where r is the rate of
              successes in n independent trials of probability q (Bernstein 1927)
independence  is a rate. Two arrays of noise that drops agree on an entry, dropped or not, at the
              rate p q + (1 - p) (1 - q). Two arrays of any other law rise or fall together, from
              one entry to another, at the rate 1/2 (Kendall 1938; ties are left out)

The trials of a test share no entry, so they are independent. All tests of a report together fail a
right function with probability FALSE_ALARM at most.
"""

import contextlib
import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import array
from ..array import data_of
from ..engine import Tensor
from ..graph import evaluate, program
from ..modes import path
from ..noise import Noise, frozen_noise
from ..tables import aligned
from .reports import table

FALSE_ALARM = 1e-9


def law_bound(n, level):
    """The allowed distance sup |F_n - F|: a larger one has probability 2 exp(-level) at most.

    inf where it is too large to tell laws apart.
    """
    allowed = math.sqrt(level / (2 * n))
    return allowed if allowed < 0.5 else math.inf


def rate_bound(q, n, level):
    """The allowed distance of a rate from q: a larger one has probability 2 exp(-level) at most.

    inf where successes at every trial, or at none, would be allowed.
    """
    third = level / (3 * max(n, 1))
    allowed = third + math.sqrt(third**2 + 2 * q * (1 - q) * level / max(n, 1))
    return allowed if allowed < min(q, 1 - q) or q in (0, 1) else math.inf


# ------------------------------------------------------------------------------------------ report


@dataclass
class NoiseTest:
    """One test: it passes if |measured - expected| <= bound. `hint` says what a failure means.

    The bound is inf if the noise cannot tell, nan if there is nothing to compare with.
    """

    layer: str
    test: str
    measured: float
    expected: float
    bound: float
    hint: str = ""

    @property
    def verdict(self):
        if math.isnan(self.bound):
            return "UNKNOWN"
        close = abs(self.measured - self.expected) <= self.bound
        return "VACUOUS" if self.bound == math.inf else "OK" if close else "FAIL"


@dataclass(repr=False)
class NoiseReport:
    """The result of check_noise: `rows`, a list of NoiseTest. Printed, it is a table.

    True if there are tests, and no FAIL and no VACUOUS among them. Verdicts of rows: OK; FAIL;
    VACUOUS (too little noise to tell, or a law without a cdf); UNKNOWN (no mean to compare with, so
    no test). `problem` says why there are no rows.
    """

    rows: list
    problem: str = ""

    def __bool__(self):
        return {"OK"} <= {row.verdict for row in self.rows} <= {"OK", "UNKNOWN"}

    @property
    def first_wrong(self):
        """The first row that failed, or None. Later failures may be its consequences."""
        return next((row for row in self.rows if row.verdict == "FAIL"), None)

    def verdict(self):
        """One line."""
        vacuous = [row for row in self.rows if row.verdict == "VACUOUS"]
        if row := self.first_wrong:
            numbers = f"{row.measured:.4g}, expected {row.expected:.4g} +- {row.bound:.1g}"
            text = f"FAILED: {row.hint} ({row.layer}, {row.test}: {numbers})"
        elif vacuous:
            text = f"VACUOUS: {vacuous[0].hint} ({vacuous[0].layer}, {vacuous[0].test})"
        else:
            unknown = sum(row.verdict == "UNKNOWN" for row in self.rows)
            text = self.problem or f"passed: {len(self.rows) - unknown} tests"
            text += f", {unknown} more have nothing to compare with" if unknown else ""
        return f"noise check {text}"

    def lines(self):
        """The rows of the table, its head first."""
        numbers = [(f"{r.measured:.5g}", f"{r.expected:.5g}", f"{r.bound:.1e}") for r in self.rows]
        body = [(r.layer, r.test, *n, r.verdict) for r, n in zip(self.rows, numbers)]
        return [("noise", "test", "measured", "expected", "allowed", "verdict"), *body]

    def __repr__(self):
        return "\n".join([*(aligned(self.lines()) if self.rows else []), self.verdict()])

    def _repr_html_(self):
        return table(self.lines(), [self.verdict()])


# ------------------------------------------------------------------------------------------- check


@np.errstate(all="ignore")  # the report says what is not finite
def check_noise(op, shape=(64, 1024), *, p=None, shared=(), mean=None, calls=4, dtype=None):
    """A report on the noise of `op`, a function of one Tensor, or a module in training mode.

    op      takes a Tensor of this `shape` and `dtype` (None: the default one), returns a Tensor
    p       the promised probability of dropping; None: that of the random op that takes the noise.
            If it is given, the output's variance must be p / (1 - p) times its squared mean, as for
            dropout and Gaussian dropout (Srivastava et al. 2014, JMLR 15, section 10)
    shared  the axis or axes along which the noise must be the same. Along others it must differ
    mean    the function without its noise, the promised E[op(x)]; None: x itself, or what a module
            gives in evaluation
    calls   how often `op` is called, at least 2. Calls are compared in pairs

    Each layer's noise is compared with its law, and tested for independence of calls, of neighbours
    along each axis, and of other layers. Mean and variance of the output are exact where each
    output entry is a straight line in one entry of noise, as in a dropout layer. Elsewhere they are
    UNKNOWN: check the layers of a model alone too. At p = 0.5 keep and drop look the same.

    A right function fails with probability below 1e-9. Generators, np.random's state and the module
    stay as they were. Raises ValueError for impossible arguments, TypeError if `op` returns no
    Tensor.

    >>> import minigrad.functional as F
    >>> bool(check_noise(lambda x: F.dropout(x, 0.3, training=True)))
    True
    >>> check_noise(lambda x: F.dropout(x, 0.3, training=False))
    noise check VACUOUS: op records no noise. Is it in evaluation mode, or under no_grad()?
    """
    shape, shared = ((given,) if isinstance(given, int) else given for given in (shape, shared))
    axes_exist = all(-len(shape) <= axis < len(shape) for axis in shared)
    if calls < 2 or math.prod(shape) == 0 or not axes_exist:
        needed = "calls must be >= 2, shape not empty, and shared axes of it"
        raise ValueError(f"check_noise: {needed}; got {calls}, {shape}, {shared}.")
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"check_noise: p is the probability of DROPPING, in [0, 1]; got {p}.")
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape)  # far from 0, of both signs
    x = x.astype(dtype or array.default_dtype)
    with _untouched(op):
        with frozen_noise():
            again = _called(op, x)
        outputs = [_called(op, x) for _ in range(calls)]
        graphs = [program("check_noise", out) for out in outputs]
        drawn = [[node for node in graph if isinstance(node, Noise)] for graph in graphs]
        if problem := _problem(again, outputs, drawn):
            return NoiseReport([], problem)
        layers = _layers(graphs[0], list(zip(*drawn)), p)
        apart = [row for layer in layers for row in _independence(layer)]
        apart += [_of_layers(a, b) for i, b in enumerate(layers) for a in layers[:i]]
        repeats = [row for row in apart if row.measured >= 1]  # first: all other tests suffer
        rows = repeats + [row for layer in layers for row in _law(layer)]
        rows += [row for row in apart if row not in repeats]
        rows += [row for layer in layers for row in _sharing(layer, shared)]
        rows += _output(op, x, outputs, graphs[0], layers, mean, p)
    level = math.log(2 * sum(callable(row.bound) for row in rows) / FALSE_ALARM)
    for row in rows:
        if callable(row.bound):
            row.bound = row.bound(level)
            if row.bound == math.inf:
                row.hint = "too little noise to tell. Use a larger shape or more calls."
    return NoiseReport(rows)


@contextlib.contextmanager
def _untouched(op):
    """At the end, generators, np.random and, of a module, attributes and arrays are as before."""
    is_module = hasattr(op, "put_back")
    arrays, drawn = op.state_dict() if is_module else {}, np.random.get_state()
    try:
        with frozen_noise(), op.put_back() if is_module else contextlib.nullcontext():
            yield
    finally:
        np.random.set_state(drawn)
        if arrays:
            op.load_state_dict(arrays)


def _called(op, x):
    out = op(Tensor(x, True))
    if not isinstance(out, Tensor):
        raise TypeError(f"check_noise: op must return a Tensor, not {type(out).__name__}.")
    return out


def _problem(again, outputs, drawn):
    """Why the noise of these outputs cannot be tested, or ""."""
    if not np.array_equal(again.data, outputs[0].data, equal_nan=True):
        by = "by randomness that minigrad cannot hold fixed"
        return f"STOCHASTIC: op changed between two calls, {by}. Use minigrad's noise, or pass rng."
    if not any(drawn):
        return "VACUOUS: op records no noise. Is it in evaluation mode, or under no_grad()?"
    if len({str([(n.stream, n.shape, n.distribution) for n in leaves]) for leaves in drawn}) > 1:
        return "VACUOUS: layers, shapes or laws of noise change between calls. Check parts of op."
    return ""


class _Layer(NamedTuple):
    name: str
    noise: Noise  # of the first call
    law: object
    uses: list  # the nodes that take the noise
    values: np.ndarray  # of all calls, (calls, *shape)
    p: float | None  # the promised probability of dropping, if there is one


def _layers(graph, leaves, p):
    layers, names = [], []
    for first, *others in leaves:
        uses = [node for node in graph if any(a is first for a in node.args)]
        names.append(first.stream or uses[0].op.name)
        same = names.count(names[-1])
        name = f"{names[-1]} #{same}" if same > 1 else names[-1]
        given = [dict(zip(n.op.names, n.args)).get("p") for n in uses if n.op.kind == "random"]
        promised = given[0] if p is None and given else p
        values = np.stack([first.data, *(n.data for n in others)])
        layers.append(_Layer(name, first, first.distribution, uses, values, promised))
    return layers


# ---- how noise is drawn


def _law(layer):
    """The drop rate of the law against the promised p, and the values against the law."""
    name, _, law, _, values, p = layer
    if law.drop_rate is not None:
        keep, rate = 1 - law.drop_rate, np.mean(values != 0)
        if p is not None:
            rate_is = "p: keep and drop are swapped" if math.isclose(keep, p) else "not 1-p"
            yield NoiseTest(name, "law, 1-p", keep, 1 - p, 1e-12, f"the keep rate is {rate_is}")
        swapped = abs(rate - law.drop_rate) < abs(rate - keep) / 10
        hint = "keep and drop are swapped" if swapped else "the keep rate is not that of the law"
        yield _rate(name, "keep rate", values != 0, keep, f"{hint} in the draw")
    if law.cdf is None:
        hint = f"{law!r} has no cdf to compare its draws with. Define cdf(x)."
        yield NoiseTest(name, "law", math.nan, 0, math.inf, hint)
        return
    mean, variance = values.mean(dtype=float), np.square(values - law.mean, dtype=float).mean()
    ratio = variance / law.variance if law.variance else math.inf
    hint = f"the mean drawn is {mean:.3g}, of its law {law.mean:.3g}; the variance is "
    hint += f"{ratio:.3g} times its law's{_mistake(ratio, _spreads(law.variance))}"
    bound = partial(law_bound, values.size)
    yield NoiseTest(name, "law", _distance(values, law), 0, bound, hint)


def _distance(values, law):
    """sup |F_n - F|, less the part that the rounding of values to their dtype can explain."""
    x, rounding = np.sort(values, axis=None).astype(float), 0.0
    if values.dtype.kind == "f":
        rounding = 4 * np.finfo(values.dtype).eps * (abs(x) + np.nan_to_num(abs(law.mean)))
    rank = np.arange(x.size + 1) / x.size
    above = rank[1:] - law.cdf(x + rounding)
    below = law.cdf(np.nextafter(x - rounding, -np.inf)) - rank[:-1]
    return float(max(above.max(), below.max(), 0))


def _independence(layer):
    """Independence of calls and of neighbours along each axis; whether layers share the noise."""
    name, _, law, uses, values, _ = layer
    first = uses[0].ndim - values.ndim  # axes are numbered as where the noise is taken
    for i, size in enumerate(values.shape):
        pairs = np.moveaxis(values, i, 0)[: size // 2 * 2]
        test, hint = f"neighbours, axis {first + i}", f"noise repeats along axis {first + i}"
        if i == 0:
            test, hint = "calls", "every call draws the same noise"
        if size > 1 and law.variance != 0:
            yield _independent(name, test, pairs[0::2], pairs[1::2], (law, law), hint)
    users = {path(n.scope) if n.scope else n.order for n in uses}  # a module may use it twice
    if len(users) > 1:
        hint = "two layers draw the same noise"
        yield NoiseTest(name, "layers that take it", len(users), 1, 0, hint)


def _of_layers(a, b):
    """Independence of two layers, from the start of each call: equal generators begin alike."""
    n = min(a.noise.size, b.noise.size)
    values = [layer.values.reshape(len(layer.values), -1)[:, :n] for layer in (a, b)]
    hint = "two layers draw the same noise"
    return _independent(f"{a.name}, {b.name}", "independence", *values, (a.law, b.law), hint)


def _independent(name, test, a, b, laws, hint):
    """The rate at which two arrays of noise agree; `hint` if they always agree."""
    p, q = (law.drop_rate for law in laws)
    a, b = a.ravel(), b.ravel()
    if p is None or q is None:
        half = a.size // 2
        a, b = (np.sign(v[:half] - 1.0 * v[::-1][:half]) for v in (a, b))
        agree, rate = (a * b)[a * b != 0] > 0, 0.5
    else:
        agree, rate = (a == 0) == (b == 0), p * q + (1 - p) * (1 - q)
    hint = hint if agree.all() else f"not independent: {hint}, or part of it"
    return _rate(name, test, agree, rate, hint)


def _rate(name, test, trials, q, hint):
    """A rate of successes of probability q."""
    rate = float(trials.mean()) if trials.size else math.nan
    return NoiseTest(name, test, rate, q, partial(rate_bound, q, trials.size), hint)


# ---- how noise acts


def _sharing(layer, shared):
    """The entries of the noise along each axis of the node that takes it: 1 where it is shared."""
    node, noise = layer.uses[0], layer.noise
    own = (1,) * (node.ndim - noise.ndim) + noise.shape
    if len(own) != node.ndim or layer.law.variance == 0:
        return
    for axis, (size, drawn) in enumerate(zip(node.shape, own)):
        test, expected = f"differs along axis {axis}", size
        hint = f"noise is shared along axis {axis}, where it should differ"
        if axis in [a % node.ndim for a in shared]:
            test, expected = f"shared along axis {axis}", 1
            hint = f"noise differs along axis {axis}, which should share it"
        bound = 0 if drawn in (1, size) else math.nan  # else the node does more than broadcast
        if size > 1:
            yield NoiseTest(layer.name, test, drawn, expected, bound, hint)


def _output(op, x, outputs, graph, layers, mean, p):
    """The mean and the variance of the output, exact where each entry is a + b * noise."""
    finite = float(np.mean([np.isfinite(out.data) for out in outputs]))
    yield NoiseTest("output", "finite", finite, 1, 0, "the output is not finite")
    promised, of, at = x, "x", 1
    if mean is not None:
        promised, of = np.asarray(data_of(mean(Tensor(x)))), "the promised mean"
    elif hasattr(op, "put_back"):
        evaluated = _called(op.eval(), x)
        promised, of, at = evaluated.data, "the output in evaluation", 0.5
        count = sum(isinstance(n, Noise) for n in program("check_noise", evaluated))
        hint = "noise is drawn in evaluation too"
        yield NoiseTest("output", "noise in evaluation", count, 0, 0, hint)
    law, rate, line = layers[0].law, layers[0].p, None
    if len(layers) == 1 and promised.shape == outputs[0].shape and not math.isnan(law.mean):
        line = _line(outputs[0], graph, layers[0].noise, at)
    if line is None:
        yield NoiseTest("output", "mean", math.nan, math.nan, math.nan)
        return
    a, b = line
    mean = a + b * law.mean
    rounding = max(64 * float(np.finfo(outputs[0].dtype).eps), 1e-9)
    keep = law.mean if rate is None else 1 - rate
    promised = 0 * promised if rate == 1 else promised  # a rate of 1 drops everything
    mistakes = _scales(keep) if 0 < keep < 1 else {}
    yield _entries("mean", mean, promised, of, rounding, mistakes)
    if p is not None and p < 1:
        odds, variance = p / (1 - p), b**2 * law.variance
        target = odds * mean**2
        yield _entries("variance", variance, target, "p/(1-p) mean^2", rounding, _spreads(odds))


def _entries(test, measured, promised, of, rounding, mistakes):
    """The relative difference, over all entries, of a measured from a promised array.

    `mistakes` may explain the ratio of the two, if all entries have the same.
    """
    size = np.sum(np.square(promised, dtype=float)) or 1.0
    ratio = np.sum(measured * promised) / size
    rest, error = (math.sqrt(np.sum((measured - r * promised) ** 2) / size) for r in (ratio, 1))
    text = f"the {test} is {ratio:.3g} times {of}{_mistake(ratio, mistakes)}"
    if rest > rounding:
        text = f"the {test} is no multiple of {of}: is noise added where it should multiply?"
    return NoiseTest("output", test, error, 0, rounding, text)


def _line(out, graph, noise, at):
    """(a, b) if out = a + b * noise, entry by entry, judged at the noises 0 and `at`; else None.

    at=1 asks for a line through two outcomes of a mask, at=0.5 for one between them too.
    """
    tolerance = 64 * np.finfo(out.dtype).eps
    dtype = noise.dtype if at == 1 else float

    def output(value):
        values = evaluate(graph, {noise.order: np.full(noise.shape, value, dtype)})
        return values[out.order].astype(float)

    with contextlib.suppress(ValueError, TypeError, IndexError):  # masks that must be bools, ...
        a = output(0)
        b = (output(at) - a) / at
        size = tolerance * abs(out.data).max()
        if np.allclose(a + b * noise.data, out.data, rtol=tolerance, atol=size):
            return a, b
    return None


def _scales(keep):
    """{a usual mistake: the factor by which it changes the mean}."""
    return {
        "the scale 1/(1-p) is missing": keep,
        "the scale 1/(1-p) is applied twice, or in evaluation too": 1 / keep,
        "the scale 1/(1-p) is 1/p, or keep and drop are swapped": keep / (1 - keep),
    }


def _spreads(variance):
    """{a usual mistake: the factor by which it changes this variance}."""
    return {
        "the variance is taken for the standard deviation": variance,
        "the standard deviation is taken for the variance": (variance or 1) ** -0.5,
    }


def _mistake(ratio, mistakes):
    """The mistake that explains a ratio, but for chance, as the end of a sentence, or ""."""
    return next((f": {m}" for m, r in mistakes.items() if math.isclose(ratio, r, rel_tol=0.03)), "")

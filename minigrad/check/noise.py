"""The law of the noise of a stochastic function: is what it draws, and what that does to the output, as promised?

Two kinds of tests. What the noise *does* is exact: the recorded graph is run again with noise of the check's own choice, and no
chance is left. What is *drawn* is judged by bounds on probabilities that hold at every size, none by a normal approximation or
a tolerance picked by hand. A row of the report is then always the same: measured, expected, and the distance that is allowed.

    a rate of n independent trials    P(n trials succeed at a rate r or farther from q) <= 2 exp(-n KL(r || q)): Chernoff 1952, Hoeffding 1963
    the mean of Normal noise          P(|mean - m| >= t) <= 2 exp(-n t^2 / (2 s^2)): it is Normal itself
    its variance                      sums of squares stray by more than 2 sqrt(n x) + 2x with probability <= 2 exp(-x): Laurent & Massart 2000, lemma 1
    the mean of noise of another law  a median of means of blocks: Nemirovski & Yudin 1983; Lugosi & Mendelson 2019, theorem 2
    independence                      of two arrays of Bernoulli noise: the rate at which they agree; of any other law: the rate at which both
                                      rise or both fall between two entries, 1/2 whatever the law (Kendall 1938); ties are left out

All trials of a test are of disjoint entries, hence independent, and the level is shared out among the tests of a report (union
bound): a right function fails with probability below 1e-9.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np

from .. import engine
from ..engine import Noise, Tensor, data_of, frozen_noise, path
from ..graph import evaluate, program
from ..ops.stochastic import Bernoulli, Normal

FALSE_ALARM = 1e-9  # the probability that a report on a right function shows any FAIL
BLOCKS = 256  # of a median of means: half of them astray has probability <= exp(-256 KL(1/2 || 1/4)) = 1e-16

NOTHING = "VACUOUS: nothing stochastic was found. Is it in evaluation mode, or is its noise never drawn?"
OUTSIDE = "STOCHASTIC: op changed between two calls, by randomness that minigrad cannot hold fixed. Use minigrad's stochastic ops, or pass rng."
LOST = "VACUOUS: noise is drawn but not recorded. Let it meet x (or a parameter) first: x * Noise(...), not x * (1 + Noise(...)), nor under no_grad()."

# ------------------------------------------------------------------------------------------ bounds
# Each is the distance from what is expected that is exceeded, on either side, with probability <= exp(-x).


def kl(r, q):
    """KL(Bernoulli(r) || Bernoulli(q)): how fast, per trial, success at the rate r becomes improbable when q is the truth."""
    return sum(a * math.log(a / b) if b else math.inf for a, b in ((r, q), (1 - r, 1 - q)) if a)


def rate_above(q, n, x):
    """How far the rate of n trials may lie above their probability q of success."""
    low, high = 0.0, 1 - q
    if n * kl(1, q) <= x:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if n * kl(q + middle, q) <= x else (low, middle)
    return high


def normal_mean(std, n, x):
    """How far the mean of n Normal values may lie from theirs."""
    return std * math.sqrt(2 * x / n)


def normal_variance(variance, n, x):
    """How far the mean square of n Normal values, taken from their known mean, may lie from the variance."""
    return variance * (2 * math.sqrt(x / n) + 2 * x / n)


def median_of_means(variance, n):
    """How far the median of the means of BLOCKS blocks of n values may lie from their mean: two standard errors of a block."""
    return 2 * math.sqrt(variance / (n // BLOCKS)) if n >= BLOCKS else math.inf


# ------------------------------------------------------------------------------------------ report


@dataclass
class Row:
    """One test. `bound` is the allowed distance of `measured` from `expected`, inf where nothing could have failed; `hint` says what a failure means."""

    what: str
    layer: str
    measured: float = math.nan
    expected: float = math.nan
    bound: float = math.nan
    hint: str = ""

    @property
    def verdict(self):
        if math.isnan(self.expected):
            return "UNKNOWN"
        if self.bound == math.inf:
            return "VACUOUS"
        return "OK" if abs(self.measured - self.expected) <= self.bound else "FAIL"


@dataclass
class Report:
    """What check_noise found. True if something was tested and nothing failed; printed, a table.

    Verdicts of rows: OK; FAIL; VACUOUS (too few entries to tell); UNKNOWN (nothing is known to compare with). `problem` says
    why there are no rows.
    """

    rows: list
    problem: str = ""

    def __bool__(self):
        verdicts = [row.verdict for row in self.rows]
        return "OK" in verdicts and "FAIL" not in verdicts

    @property
    def first_wrong(self):
        """The first row that failed, or None. Later ones may be its consequences."""
        return next((row for row in self.rows if row.verdict == "FAIL"), None)

    def verdict(self):
        """One line."""
        if self.problem:
            return f"noise check {self.problem}"
        if wrong := self.first_wrong:
            numbers = f"{wrong.measured:.4g}, expected {wrong.expected:.4g} +- {wrong.bound:.1g}"
            return f"noise check FAILED: {wrong.hint} ({wrong.what} of {wrong.layer}: {numbers})"
        count = [[row.verdict for row in self.rows].count(v) for v in ("OK", "VACUOUS", "UNKNOWN")]
        text = f"{count[0]} tests" + (f", {count[1]} more need more entries" if count[1] else "") + (f", {count[2]} unknown" if count[2] else "")
        return f"noise check passed: {text}" if self else f"noise check VACUOUS: {text}"

    def __str__(self):
        lines = [("noise", "test", "measured", "expected", "allowed", "verdict")]
        lines += [(r.layer, r.what, f"{r.measured:.5g}", f"{r.expected:.5g}", f"{r.bound:.1e}", r.verdict) for r in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines)]
        table = ["  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines if self.rows]
        return "\n".join([*table, self.verdict()])


# ------------------------------------------------------------------------------------------- check


def check_noise(op, shape=(64, 1024), *, p=None, shared=(), mean=None, calls=4, dtype=None):
    """A report on the noise of `op`, a function (or a module in training mode) of one Tensor of this shape, which returns a Tensor.

    p       the probability of dropping that is promised; else the argument named `p` of the node that takes the noise, if it
            has one. Bernoulli noise then keeps with probability 1-p, and the variance of the output is p/(1-p) times its
            squared mean (Srivastava et al. 2014, section 10: Gaussian dropout too)
    shared  the axes along which the noise is promised to be the same; along all others it must differ
    mean    the function without its noise, the promised E[op(x)]; else x itself, or what a module gives in evaluation
    calls   how often `op` is called; two calls are compared with each other, so an even number is best
    dtype   of x, the default float dtype if not given

    The noise of each layer is tested for independence of calls, of neighbours along every axis and of other layers, for its
    mean and variance, and for the axes it acts on. The output's mean and variance are computed, not estimated, where each
    output is a straight line in one noise entry, as for one layer of dropout; of other functions they are UNKNOWN, so check
    the layers of a model alone as well. So are the mean and variance of a law that does not tell them; the variance of any other
    than Bernoulli (whose mean says all) and Normal has no bound.

    All generators, np.random's state and the module are left as they were. ValueError if the arguments make no sense or the
    noise is of other shapes or laws from call to call, TypeError if `op` does not return a Tensor.

    >>> import minigrad.functional as F
    >>> bool(check_noise(lambda x: F.dropout(x, 0.3, training=True)))
    True
    >>> print(check_noise(lambda x: F.dropout(x, 0.3, training=False)))
    noise check VACUOUS: nothing stochastic was found. Is it in evaluation mode, or is its noise never drawn?
    """
    if calls < 2 or math.prod(shape) == 0 or not all(-len(shape) <= a < len(shape) for a in shared):
        raise ValueError(f"check_noise: at least 2 calls, a shape with entries and shared axes of it, not {calls}, {shape}, {shared}.")
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"check_noise: p is the probability of DROPPING, in [0, 1]; got {p}.")
    rng = np.random.default_rng(0)
    data = (rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype or engine.default_dtype)  # far from 0, of both signs
    with _untouched(op):
        with frozen_noise():
            frozen = _called(op, data).data
        outputs = [_called(op, data) for _ in range(calls)]
        if not np.array_equal(frozen, outputs[0].data, equal_nan=True):
            return Report([], OUTSIDE)
        graphs = [program(out, "check_noise") for out in outputs]
        if not any(isinstance(node, Noise) for steps in graphs for node in steps):
            return Report([], NOTHING if np.array_equal(outputs[0].data, outputs[1].data, equal_nan=True) else LOST)
        layers = _layers(graphs, p)
        rows = [row for layer in layers for row in _independence(layer)]
        rows += [_together("other layer", f"{a.name}, {b.name}", a, b, "two layers draw the same noise") for i, b in enumerate(layers) for a in layers[:i]]
        rows += [row for layer in layers for row in (*_moments(layer), *_sharing(layer, shared))]
        rows += _output(op, data, outputs, graphs[0], layers, mean)
    x = math.log(2 * sum(callable(row.bound) for row in rows) / FALSE_ALARM)
    for row in rows:
        row.bound = row.bound(x) if callable(row.bound) else row.bound
    return Report(rows)


@contextlib.contextmanager
def _untouched(op):
    """On leaving, generators, np.random and (of a module) attributes, modes and buffers are put back."""
    modules = {m: dict(vars(m)) for m in op.modules()} if hasattr(op, "modules") else {}
    arrays, drawn = op.state_dict() if modules else None, np.random.get_state()
    try:
        with frozen_noise():
            yield
    finally:
        np.random.set_state(drawn)
        for module, attributes in modules.items():
            vars(module).clear()
            vars(module).update(attributes)
        if modules:
            op.load_state_dict(arrays)


def _called(op, data):
    out = op(Tensor(data, True))
    if not isinstance(out, Tensor):
        raise TypeError(f"check_noise: op must return a Tensor, not {type(out).__name__}.")
    return out


@dataclass
class _Layer:
    name: str
    noise: Noise  # of the first call
    uses: list  # the nodes that take it
    values: np.ndarray  # of all calls, (calls, *shape)
    p: float | None

    law = property(lambda self: self.noise.distribution)
    mean = property(lambda self: getattr(self.law, "mean", math.nan))
    variance = property(lambda self: getattr(self.law, "variance", math.nan))


def _layers(graphs, p):
    """The noise leaves of the first call, each with its values in all calls."""
    drawn = [[n for n in steps if isinstance(n, Noise)] for steps in graphs]
    if len({str([(n.shape, n.stream, n.distribution) for n in call]) for call in drawn}) > 1:
        raise ValueError("check_noise: op draws other noise (shapes, laws or layers) from call to call. Check its parts alone.")
    layers, names = [], set()
    for leaves in zip(*drawn):
        uses = [n for n in graphs[0] if any(a is leaves[0] for a in n.args)]
        rates = [a for n in uses for name, a in zip(n.op.names, n.args) if name == "p"]
        name = leaves[0].stream or uses[0].op.name
        name = next(f"{name}{i}" for i in ("", *range(2, len(names) + 3)) if f"{name}{i}" not in names)
        names.add(name)
        layers.append(_Layer(name, leaves[0], uses, np.stack([n.data for n in leaves]), p if p is not None else (*rates, None)[0]))
    return layers


# ---- what is drawn


def _independence(layer):
    """Of calls, and of neighbours along each axis: calls are one more axis in front."""
    for axis in range(layer.values.ndim):
        if (size := layer.values.shape[axis] // 2 * 2) > 1:
            pairs = np.moveaxis(layer.values, axis, 0)[:size]
            hint = f"noise repeats along axis {axis - 1 + layer.uses[0].ndim - layer.noise.ndim}" if axis else "every call draws the same noise"
            what = hint.replace("noise repeats", "neighbours") if axis else "calls"
            yield _pair_row(what, layer.name, pairs[0::2], pairs[1::2], layer.law, layer.law, hint)
    places = {path(n.origin) if n.origin else n.order for n in layer.uses}  # one module may use its noise again and again
    if len(places) > 1:
        yield Row("layers that take it", layer.name, len(places), 1, 0, "two layers draw the same noise")


def _together(what, name, a, b, hint):
    a_values, b_values = (v.values.reshape(len(v.values), -1) for v in (a, b))
    n = min(a_values.shape[1], b_values.shape[1])
    return _pair_row(what, name, a_values[:, :n], b_values[:, :n], a.law, b.law, hint)


def _pair_row(what, name, a, b, a_law, b_law, hint):
    """Whether two arrays of noise know nothing of each other; all their entries are disjoint."""
    a, b = a.ravel(), b.ravel()
    if isinstance(a_law, Bernoulli) and isinstance(b_law, Bernoulli):
        q = a_law.keep * b_law.keep + (1 - a_law.keep) * (1 - b_law.keep)
        return _rate_row(what, name, a == b, q, hint, worst=1)
    a, b = (np.sign(v[: v.size // 2] * 1.0 - v[::-1][: v.size // 2]) for v in (a, b))
    return _rate_row(what, name, (a * b)[a * b != 0] > 0, 0.5, hint, worst=1)


def _rate_row(what, name, successes, q, hint, worst=None):
    """`worst` is the rate the mistake would have: if even that is allowed, the test says nothing."""
    n = successes.size
    rate = float(successes.mean()) if n else math.nan

    def bound(x):
        if n == 0 or (worst is not None and worst != q and n * kl(worst, q) <= x):
            return math.inf
        return rate_above(q, n, x) if rate > q else rate_above(1 - q, n, x)

    return Row(what, name, rate, q, bound, hint)


def _moments(layer):
    """Mean and variance of the noise against its law, and a rate against p."""
    name, law, n = layer.name, layer.law, layer.values.size
    if isinstance(law, Bernoulli):
        swapped = "the keep rate is p: keep and drop are swapped"
        if layer.p is not None:
            hint = swapped if math.isclose(law.keep, layer.p) else "the keep rate is not 1-p"
            yield Row("1-p", name, law.keep, 1 - layer.p, 1e-12, hint)
        row = _rate_row("keep rate", name, layer.values, law.keep, "the noise is not drawn at its law's keep rate")
        if abs(row.measured - (1 - law.keep)) < 0.1 * abs(1 - 2 * law.keep):
            row.hint = swapped
        yield row
        return
    values = layer.values.astype(np.float64)
    if isinstance(law, Normal):
        rounding = np.finfo(layer.values.dtype).eps * (abs(law.mean) + 4 * law.std)
        hint = "the noise is not drawn with its law's mean"
        yield Row("mean", name, float(values.mean()), law.mean, lambda x: normal_mean(law.std, n, x) + rounding, hint)
        square = float(np.square(values - law.mean).mean())
        hint = _spread_hint(square, law.variance, "the noise is not drawn with its law's variance")
        yield Row("variance", name, square, law.variance, lambda x: normal_variance(law.variance, n, x) + 3 * rounding * (law.std + rounding), hint)
        return
    means = np.resize(values, (BLOCKS, max(1, n // BLOCKS))).mean(1)
    yield Row("mean", name, float(np.median(means)), layer.mean, median_of_means(layer.variance, n), "the noise is not drawn with its law's mean")
    yield Row("variance", name, float(np.square(values - layer.mean).mean()))


def _spread_hint(measured, variance, otherwise):
    if math.isclose(measured, variance**2, rel_tol=0.03):
        return "the variance is taken for the standard deviation"
    if math.isclose(measured, math.sqrt(variance), rel_tol=0.03):
        return "the standard deviation is taken for the variance"
    return otherwise


# ---- what it does


def _sharing(layer, shared):
    """Along which axes the noise acts: the node that takes it is run on ones, with noise that alternates along an axis."""
    if not layer.variance > 0:
        return
    node, leaf = layer.uses[0], layer.noise
    for axis in range(node.ndim):
        if node.shape[axis] == 1:
            continue
        own = axis - node.ndim + leaf.ndim  # that axis of the noise, which may have fewer
        pattern = np.indices(leaf.shape, np.int32)[own] % 2 if own >= 0 else np.ones(leaf.shape)
        args = [pattern.astype(leaf.dtype) if a is leaf else np.ones_like(a.data) if isinstance(a, Tensor) else a for a in node.args]
        differ = float(np.mean(np.diff(node.op.forward(*args), axis=axis) != 0))
        if axis in [a % node.ndim for a in shared]:
            yield Row(f"shared along axis {axis}", layer.name, 1 - differ, 1, 0, f"noise differs along axis {axis}, which should share it")
        else:
            yield Row(f"differs along axis {axis}", layer.name, differ, 1, 0, f"noise is shared along axis {axis}, where it should differ")


def _output(op, data, outputs, steps, layers, mean):
    """Exact mean and variance of the output, where each entry is a + b * noise."""
    finite = float(np.mean([np.isfinite(out.data) for out in outputs]))
    yield Row("finite", "output", finite, 1, 0, "there are infinities or NaNs in the output")
    if mean is None and hasattr(op, "modules"):
        mean = op.eval()
        evaluated = _called(op, data)
        count = sum(isinstance(n, Noise) for n in program(evaluated, "check_noise"))
        yield Row("in evaluation", "output", count, 0, 0, "noise is drawn in evaluation too")
        promised = evaluated.data
    else:
        promised = np.asarray(data_of(mean(Tensor(data)))) if mean else data
    line = _line(outputs[0], steps, layers[0]) if len(layers) == 1 else None
    if line is None or promised.shape != outputs[0].shape:
        yield Row("mean", "output")
        return
    (a, b), (layer,) = line, layers
    if layer.p == 1:
        promised = 0 * promised  # everything is dropped: no scale can give x back
    expected, rounding = a + b * layer.mean, 64 * float(np.finfo(outputs[0].dtype).eps)
    scale = np.sqrt(np.mean(np.square(promised))) or 1.0
    ratio = _farthest(expected, promised, np.where(abs(promised) > scale, promised, scale)) + 1
    straight = np.allclose(expected, ratio * promised, rtol=1e-3)
    yield Row("mean / promised", "output", ratio, 1, rounding, _scale_hint(ratio, layer, "x" if promised is data else "the promised one", straight))
    if layer.p is not None:
        odds = layer.p / (1 - layer.p) if layer.p < 1 else 0.0
        variance, square = b**2 * layer.variance, np.square(promised)
        found = _farthest(variance, odds * square, np.maximum(square, scale**2)) + odds
        hint = "the noise does not grow with x: it is added where it should multiply"
        if np.allclose(variance, found * square, rtol=1e-3):
            hint = _spread_hint(found, odds, f"the variance is {found:.3g} times the squared mean, not p/(1-p) = {odds:.3g}")
        yield Row("variance / mean^2", "output", found, odds, rounding * max(1, odds), hint)


def _line(out, steps, layer):
    """(a, b) if the output is a + b * noise entry by entry, else None."""
    noise = layer.noise
    a, ends = (evaluate(steps, {noise.order: np.full_like(noise.data, value)})[out.order] for value in (0, 1))
    b = ends - a
    with contextlib.suppress(ValueError):  # shapes that do not broadcast
        line = a + b * noise.data
        if line.shape == out.shape and np.allclose(line, out.data, rtol=1e-5, atol=1e-5 * float(abs(out.data).max())):
            return a, b
    return None


def _farthest(found, promised, scale):
    """(found - promised) / scale where it is largest."""
    error = np.broadcast_to((found - promised) / scale, np.shape(promised)).ravel()
    return float(error[np.argmax(abs(error))])


def _scale_hint(ratio, layer, of, straight):
    if not straight:
        return f"the mean is no multiple of {of}: is noise added where it should multiply?"
    keep = 1 - layer.p if layer.p is not None else layer.mean
    known = [(keep, ": the scale 1/(1-p) is missing")]
    if 0 < keep < 1:
        known += [(1 / keep, ": it is scaled by 1/(1-p) twice, or in evaluation too")]
        known += [(keep / (1 - keep), ": the scale is 1/p, not 1/(1-p), or keep and drop are swapped")]
    return f"the mean is {ratio:.3g} times {of}" + next((text for value, text in known if math.isclose(ratio, value, rel_tol=1e-3)), "")

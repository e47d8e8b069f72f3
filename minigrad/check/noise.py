"""The law of the noise of a stochastic function: is it drawn as promised, and does it do what it should?

What noise *does* is exact: the recorded graph is run again with noise of the check's own choice, and no chance is left. How it
is *drawn* is judged by bounds that hold at every size: no normal approximation, no tolerance picked by hand. A test is always
the same: a number measured, the one expected, and the distance allowed between them.

a rate of n trials   P(the rate is r or farther from q) <= 2 exp(-n KL(r || q)) (Chernoff 1952, Hoeffding 1963)
a Normal mean        Normal itself: P(|mean - m| >= t) <= 2 exp(-n t^2 / 2 s^2)
a Normal variance    P(a mean of n squares strays by s^2 (2 sqrt(x/n) + 2x/n)) <= 2 exp(-x) (Laurent & Massart 2000, lemma 1)
independence         is a rate too. Two arrays of Bernoulli noise agree at the rate k l + (1-k)(1-l); two of any law rise or fall
                     together, from one entry to another, at the rate 1/2 (Kendall 1938; ties left out)

The trials of a test share no entry, so they are independent. The tests of a report share the probability of a false alarm.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np

from .. import array
from ..array import data_of
from ..engine import Tensor
from ..graph import evaluate, program
from ..modes import path
from ..noise import Bernoulli, Noise, Normal, frozen_noise
from ..tables import aligned

FALSE_ALARM = 1e-9  # the probability, at most, that a report on a right function shows a FAIL

NOTHING = (
    "VACUOUS: nothing stochastic was found. Is op in evaluation mode, or does it draw no noise?"
)
LOST = "VACUOUS: noise is drawn but not recorded: under no_grad(), or only compared (noise > 0 is plain data)."
SCARCE = "VACUOUS: {} tests have too little noise to tell. Use a larger shape or more calls."
VARIES = "VACUOUS: op draws noise of other layers, shapes or laws from call to call. Check its parts alone."
STOCHASTIC = "STOCHASTIC: op changed between two calls, by randomness that minigrad cannot hold fixed. Use minigrad's stochastic ops, or pass rng."

# ------------------------------------------------------------------------------------------ bounds
# What lies farther off, on one side, has probability exp(-x) at most.


def kl(r, q):
    """KL(Bernoulli(r) || Bernoulli(q)), in nats."""
    return sum(a * math.log(a / b) if b else math.inf for a, b in ((r, q), (1 - r, 1 - q)) if a)


def rate_above(q, n, x):
    """How far the rate of success of n trials may lie above its probability q. Below: that of failure, above 1 - q."""
    low, high = 0.0, 1 - q
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if n * kl(q + middle, q) <= x else (low, middle)
    return high


def normal_mean(std, n, x):
    return std * math.sqrt(2 * x / n)


def normal_variance(variance, n, x):
    return variance * (2 * math.sqrt(x / n) + 2 * x / n)


# ------------------------------------------------------------------------------------------ report


@dataclass
class Row:
    """One test: `bound` is the allowed distance (inf: there is too little noise to tell; nan: none is known), `hint` what a failure means."""

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
        return (
            "VACUOUS"
            if self.bound == math.inf
            else "OK"
            if abs(self.measured - self.expected) <= self.bound
            else "FAIL"
        )


@dataclass
class Report:
    """What check_noise found. True if there were tests and no FAIL or VACUOUS among them; printed, a table.

    Verdicts of rows: OK; FAIL; VACUOUS (too little noise to tell); UNKNOWN (no law or bound to compare with, so no test).
    `problem` says why there are no rows.
    """

    rows: list
    problem: str = ""

    def __bool__(self):
        verdicts = [row.verdict for row in self.rows]
        return "OK" in verdicts and "FAIL" not in verdicts and "VACUOUS" not in verdicts

    @property
    def first_wrong(self):
        """The first row that failed, or None. Later ones may be its consequences."""
        return next((row for row in self.rows if row.verdict == "FAIL"), None)

    def verdict(self):
        """One line."""
        if wrong := self.first_wrong:
            numbers = f"{wrong.measured:.4g}, expected {wrong.expected:.4g} +- {wrong.bound:.1g}"
            return f"noise check FAILED: {wrong.hint} ({wrong.layer}, {wrong.test}: {numbers})"
        counts = [[row.verdict for row in self.rows].count(v) for v in ("OK", "UNKNOWN", "VACUOUS")]
        passed = f"passed: {counts[0]} tests" + (
            f", {counts[1]} more without a law to compare with" if counts[1] else ""
        )
        return f"noise check {self.problem or (passed if self else SCARCE.format(counts[2]))}"

    def __str__(self):
        rows = (
            [("noise", "test", "measured", "expected", "allowed", "verdict")] if self.rows else []
        )
        rows += [
            (r.layer, r.test, f"{r.measured:.5g}", f"{r.expected:.5g}", f"{r.bound:.1e}", r.verdict)
            for r in self.rows
        ]
        return "\n".join([*aligned(rows), self.verdict()])


# ------------------------------------------------------------------------------------------- check


@np.errstate(all="ignore")  # what is not finite is reported
def check_noise(op, shape=(64, 1024), *, p=None, shared=(), mean=None, calls=4, dtype=None):
    """A report on the noise of `op`, a function (or a module in training mode) of one Tensor of this shape, which returns a Tensor.

    p       the probability of dropping that is promised; if not given, the argument named `p` of the node that takes the
            noise, if it has one. Bernoulli noise then keeps at the rate 1-p, and the output's variance is p/(1-p) times its
            squared mean (Srivastava et al. 2014; so for Gaussian dropout, their section 10)
    shared  the axis or axes along which the noise is promised to be the same; along all others it must differ
    mean    the function without its noise, the promised E[op(x)]; if not given, x itself, or what a module gives in evaluation.
            Of alpha dropout, whose mean is neither, it is UNKNOWN otherwise
    calls   how often `op` is called; an even number, as calls are compared in pairs
    dtype   of x; if not given, the default one

    Drawn noise is tested layer by layer: independence of calls, neighbours along each axis and other layers, mean and
    variance (of Bernoulli noise the rate says all; of laws other than these two they are UNKNOWN). The mean and variance of
    the output are exact where each entry is a straight line in one entry of the noise, as for a layer of dropout; else they
    are UNKNOWN: check the layers of a model alone too. At p = 0.5 keep and drop cannot be told apart.

    A right function fails with probability below 1e-9. Generators, np.random's state and the module are left as they were.
    ValueError for impossible arguments; TypeError if `op` returns no Tensor.

    >>> import minigrad.functional as F
    >>> bool(check_noise(lambda x: F.dropout(x, 0.3, training=True)))
    True
    >>> print(check_noise(lambda x: F.dropout(x, 0.3, training=False)))
    noise check VACUOUS: nothing stochastic was found. Is op in evaluation mode, or does it draw no noise?
    """
    shape, shared = ((given,) if isinstance(given, int) else given for given in (shape, shared))
    if (
        calls < 2
        or math.prod(shape) == 0
        or not all(-len(shape) <= axis < len(shape) for axis in shared)
    ):
        raise ValueError(
            f"check_noise: calls must be >= 2, shape not empty, and shared axes of it; got {calls}, {shape}, {shared}."
        )
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"check_noise: p is the probability of DROPPING, in [0, 1]; got {p}.")
    rng = np.random.default_rng(0)
    x = (rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape)).astype(
        dtype or array.default_dtype
    )  # far from 0, of both signs
    with _untouched(op):
        with frozen_noise():
            again = _called(op, x)
        outputs = [_called(op, x) for _ in range(calls)]
        if not np.array_equal(again.data, outputs[0].data, equal_nan=True):
            return Report([], STOCHASTIC)
        graphs = [program("check_noise", out) for out in outputs]
        drawn = [[n for n in steps if isinstance(n, Noise)] for steps in graphs]
        if not any(drawn):
            return Report(
                [],
                NOTHING
                if np.array_equal(outputs[0].data, outputs[1].data, equal_nan=True)
                else LOST,
            )
        if (
            len(
                {
                    str(
                        [
                            (
                                n.stream,
                                n.shape,
                                type(n.distribution),
                                getattr(n.distribution, "mean", None),
                            )
                            for n in noise
                        ]
                    )
                    for noise in drawn
                }
            )
            > 1
        ):
            return Report([], VARIES)
        layers = _layers(graphs[0], zip(*drawn), p)
        apart = [row for layer in layers for row in _apart(layer)] + [
            _other(a, b) for i, b in enumerate(layers) for a in layers[:i]
        ]
        rows = [
            row for row in apart if row.measured >= 1
        ]  # first what repeats: no other trials are then independent
        rows += [
            row for layer in layers for row in _drawn(layer)
        ]  # then the rate, which others depend on
        rows += [row for row in apart if not row.measured >= 1]
        rows += [row for layer in layers for row in _acting(layer, shared)]
        rows += _output(op, x, outputs, graphs[0], layers, mean)
    level = math.log(2 * sum(callable(row.bound) for row in rows) / FALSE_ALARM)
    for row in rows:
        row.bound = row.bound(level) if callable(row.bound) else row.bound
    return Report(rows)


@contextlib.contextmanager
def _untouched(op):
    """On leaving, generators, np.random and, of a module, attributes and arrays are put back."""
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


@dataclass
class _Layer:
    """A noise leaf, the nodes that take it, its values in all calls (calls, *shape), and p, if known."""

    name: str
    noise: Noise
    uses: list
    values: np.ndarray
    p: float | None

    law = property(lambda self: self.noise.distribution)
    mean = property(lambda self: getattr(self.law, "mean", math.nan))
    variance = property(lambda self: getattr(self.law, "variance", math.nan))


def _layers(steps, leaves, p):
    found, names = [], []
    for calls in leaves:
        uses = [n for n in steps if any(a is calls[0] for a in n.args)]
        rates = [
            a
            for n in uses
            for name, a in zip(n.op.names, n.args)
            if name == "p" and isinstance(a, (int, float))
        ]
        names.append(calls[0].stream or uses[0].op.name)
        name = names[-1] + (f" #{names.count(names[-1])}" if names.count(names[-1]) > 1 else "")
        found.append(
            _Layer(
                name,
                calls[0],
                uses,
                np.stack([n.data for n in calls]),
                p if p is not None else (*rates, None)[0],
            )
        )
    return found


# ---- how noise is drawn


def _apart(layer):
    """Independence of calls, one more axis in front, and of neighbours along each axis; and whether layers share the noise."""
    first = (
        layer.uses[0].ndim - layer.values.ndim
    )  # axes have the numbers they have where the noise is taken
    for i, size in enumerate(layer.values.shape):
        pairs = np.moveaxis(layer.values, i, 0)[: size // 2 * 2]
        test, hint = (
            (f"neighbours, axis {first + i}", f"noise repeats along axis {first + i}")
            if i
            else ("calls", "every call draws the same noise")
        )
        if size > 1:
            yield _independent(
                layer.name, test, pairs[0::2], pairs[1::2], [layer.law, layer.law], hint
            )
    places = {
        path(n.scope) if n.scope else n.order for n in layer.uses
    }  # one module may use its noise again and again
    if len(places) > 1:
        yield Row(
            layer.name, "layers that take it", len(places), 1, 0, "two layers draw the same noise"
        )


def _other(a, b):
    """Independence of two layers, from the beginning of each call: so far generators in one state give the same."""
    n = min(a.noise.size, b.noise.size)
    values = [layer.values.reshape(len(layer.values), -1)[:, :n] for layer in (a, b)]
    return _independent(
        f"{a.name}, {b.name}",
        "independence",
        *values,
        [a.law, b.law],
        "two layers draw the same noise",
    )


def _independent(name, test, a, b, laws, hint):
    """The rate at which two arrays of noise agree; `hint` if they always do."""
    a, b = a.ravel(), b.ravel()
    if all(isinstance(law, Bernoulli) for law in laws):
        agree = a == b
        q = laws[0].keep * laws[1].keep + (1 - laws[0].keep) * (1 - laws[1].keep)
    else:
        a, b = (np.sign(v[: v.size // 2] - 1.0 * v[::-1][: v.size // 2]) for v in (a, b))
        agree, q = (a * b)[a * b != 0] > 0, 0.5
    return _rate(
        name,
        test,
        agree,
        q,
        hint if agree.all() else f"not independent: {hint}, or part of it",
        mistaken=1,
    )


def _rate(name, test, trials, q, hint, mistaken=None):
    """A rate of success, against its probability q. Where even the rate of a mistake would be allowed, nothing is tested."""
    n, mistaken = trials.size, float(q < 0.5) if mistaken is None else mistaken
    rate = float(trials.mean()) if n else math.nan

    def bound(x):
        if n * (kl(mistaken, q) or 1) <= x:
            return math.inf
        return rate_above(q, n, x) if rate > q else rate_above(1 - q, n, x)

    return Row(name, test, rate, q, bound, hint)


def _drawn(layer):
    """Mean and variance against the law, and a keep rate against p."""
    name, law, values, n = layer.name, layer.law, layer.values, layer.values.size
    if isinstance(law, Bernoulli):
        rate = float(values.mean())
        if layer.p is not None:
            hint = (
                "the keep rate is p: keep and drop are swapped"
                if math.isclose(law.keep, layer.p)
                else "the keep rate is not 1-p"
            )
            yield Row(name, "law, 1-p", law.keep, 1 - layer.p, 1e-12, hint)
        swapped = abs(rate - (1 - law.keep)) < abs(rate - law.keep) / 10
        yield _rate(
            name,
            "keep rate",
            values,
            law.keep,
            "keep and drop are swapped in the draw"
            if swapped
            else "the keep rate is not its law's",
        )
        return
    values = values.astype(np.float64)
    mean_bound = variance_bound = math.nan
    if isinstance(law, Normal):
        rounding = float(np.finfo(layer.noise.dtype).eps) * (
            abs(law.mean) + 4 * law.std
        )  # of values stored in that dtype
        mean_bound = lambda x: normal_mean(law.std, n, x) + rounding
        variance_bound = lambda x: (
            normal_variance(law.variance, n, x) + 3 * rounding * (law.std + rounding)
        )
    variance = float(np.square(values - layer.mean).mean())
    yield Row(
        name, "mean", float(values.mean()), layer.mean, mean_bound, "the mean is not its law's"
    )
    yield Row(
        name,
        "variance",
        variance,
        layer.variance,
        variance_bound,
        _spread_hint(variance, layer.variance),
    )


# ---- what noise does


def _acting(layer, shared):
    """Along which axes noise differs as it acts: the node that takes it is run on ones, with noise that alternates along one axis."""
    node, noise = layer.uses[0], layer.noise
    for axis, size in enumerate(node.shape):
        if size == 1 or layer.variance == 0:
            continue
        own = axis - node.ndim + noise.ndim  # that axis of the noise, which may have fewer
        pattern = (
            np.indices(noise.shape, np.int32)[own] % 2 if own >= 0 else np.ones(noise.shape)
        ).astype(noise.dtype)
        args = [
            pattern if a is noise else np.ones_like(a.data) if isinstance(a, Tensor) else a
            for a in node.args
        ]
        differing = float(np.mean(np.diff(node.op.forward(*args), axis=axis) != 0))
        if axis in [a % node.ndim for a in shared]:
            yield Row(
                layer.name,
                f"shared along axis {axis}",
                1 - differing,
                1,
                0,
                f"noise differs along axis {axis}, which should share it",
            )
        else:
            yield Row(
                layer.name,
                f"differs along axis {axis}",
                differing,
                1,
                0,
                f"noise is shared along axis {axis}, where it should differ",
            )


def _output(op, x, outputs, steps, layers, mean):
    """Mean and variance of the output, exact where each entry is a + b * noise."""
    yield Row(
        "output",
        "finite",
        float(np.mean([np.isfinite(out.data) for out in outputs])),
        1,
        0,
        "the output is not finite",
    )
    promised, of, between = x, "x", 1
    if mean is not None:
        promised, of = np.asarray(data_of(mean(Tensor(x)))), "what is promised"
    elif hasattr(op, "put_back"):
        evaluated, of, between = _called(op.eval(), x), "the output in evaluation", 0.5
        count, promised = (
            sum(isinstance(n, Noise) for n in program("check_noise", evaluated)),
            evaluated.data,
        )
        yield Row("output", "noise in evaluation", count, 0, 0, "noise is drawn in evaluation too")
    line = (
        _line(outputs[0], steps, layers[0].noise, between)
        if len(layers) == 1 and promised.shape == outputs[0].shape
        else None
    )
    if line is None or math.isnan(layers[0].mean):
        yield Row("output", "mean", math.nan, math.nan, math.nan)
        return
    (a, b), p, centre = line, layers[0].p, layers[0].mean
    mean, exact = (
        a + b * centre,
        max(64 * float(np.finfo(outputs[0].dtype).eps), 1e-9),
    )  # but for rounding
    ratio, rest = _fit(
        mean, promised if p != 1 else 0 * promised
    )  # when all is dropped no scale gives x back
    added = "is noise added where it should multiply, or another mean= promised?"
    yield Row(
        "output", "rest of the mean", rest, 0, exact, f"the mean is no multiple of {of}: {added}"
    )
    yield Row(
        "output",
        "mean / promised",
        ratio,
        1,
        exact,
        f"the mean is {ratio:.3g} times {of}{_scale_hint(ratio, centre if p is None else 1 - p)}",
    )
    if p is not None and p < 1:
        odds = p / (1 - p)
        ratio, rest = _fit(b**2 * layers[0].variance, np.square(mean))
        yield Row(
            "output",
            "rest of the variance",
            rest,
            0,
            exact * max(1, odds),
            f"the variance does not grow with the mean: {added}",
        )
        yield Row(
            "output",
            "variance / mean^2",
            ratio,
            odds,
            exact * max(1, odds),
            _spread_hint(ratio, odds),
        )


def _line(out, steps, noise, at):
    """(a, b) if out = a + b * noise, entry by entry, judged by noise of 0 and of 1; or of 0 and 1/2, that is between outcomes too."""
    tolerance = 64 * np.finfo(out.dtype).eps
    with contextlib.suppress(
        ValueError, TypeError, IndexError
    ):  # shapes that do not broadcast; masks that must be bools
        constant = [
            np.full(noise.shape, value, noise.dtype if at == 1 else np.float64) for value in (0, at)
        ]
        a, end = (
            evaluate(steps, {noise.order: values})[out.order].astype(np.float64)
            for values in constant
        )
        b = (end - a) / at
        line = a + b * noise.data
        if line.shape == out.shape and np.allclose(
            line, out.data, rtol=tolerance, atol=tolerance * abs(out.data).max()
        ):
            return a, b
    return None


def _fit(found, promised):
    """(ratio, rest) of found = ratio * promised + rest by least squares; the root mean square of the rest, relative to the promised."""
    promised = promised.astype(np.float64)
    size = np.sum(promised**2)
    ratio = float(np.sum(found * promised) / size) if size else 1.0
    return ratio, float(np.sqrt(np.sum(np.square(found - ratio * promised)) / (size or 1)))


def _scale_hint(ratio, keep):
    if not 0 < keep < 1:
        return ""
    known = {
        keep: "missing",
        1 / keep: "applied twice, or in evaluation too",
        keep / (1 - keep): "1/p, or keep and drop are swapped",
    }
    return next(
        (
            f": the scale 1/(1-p) is {text}"
            for value, text in known.items()
            if math.isclose(ratio, value, rel_tol=1e-3)
        ),
        "",
    )


def _spread_hint(found, variance):
    if math.isclose(found, variance**2, rel_tol=0.03):
        return "the variance is taken for the standard deviation"
    if math.isclose(found, math.sqrt(variance), rel_tol=0.03):
        return "the standard deviation is taken for the variance"
    return (
        f"the variance is {found / variance if variance else math.inf:.3g} times what it should be"
    )

"""The noise of a stochastic function: is it drawn as its law says, and does it act as promised?

How noise *acts* is checked exactly: the recorded graph runs again with noise of the check's choice.
How noise is *drawn* is tested by rates: the rate r of n independent trials of probability q has

    P(|r - q| > e) <= 2 exp(-n e^2 / (2 q (1 - q) + 2 e / 3)),   for every n (Bernstein 1927)

law           For each value x among n entries, the rate of entries <= x is compared with cdf(x) of
              the law. Each of these n rates has an n-th of the allowed probability. Together they
              see mean, variance and shape.
independence  Each entry of an array is above the mean of the array or not: in a mask of dropout it
              is kept or dropped. The rarer case is called rare. Noise is laid out as a table, whose
              columns must be independent: the calls, the places along an axis, or two layers. The
              check counts the pairs of entries of a row that are both rare, at each distance of
              their columns. So it sees noise that repeats after any number of entries.

In the test of the law the trials are independent. In the tests of independence they are pairs that
share no entry, given how many entries are rare. Then the trials are negatively associated, and the
bound holds for them too (Joag-Dev & Proschan 1983, Annals of Statistics 11(1)). Pairs that share
entries form two sets that do not. By the inequality of Cauchy and Schwarz, the bound holds for
both sets together, if half of the pairs count as trials.
"""

import contextlib
import copy
import math
from typing import NamedTuple

import numpy as np

from .. import array
from ..engine import Tensor
from ..graph import evaluate, noise_leaves, program
from ..modes import path
from ..names import numbered, settings
from ..noise import Noise, frozen_noise
from .reports import Report

FALSE_ALARM = 1e-12  # the highest probability that a test fails a right function: practically never
SAME_NOISE = "two layers draw the same noise, or part of it"
CALLS = 4  # calls of the function, compared in pairs: noise may repeat after up to three calls


def rate_bound(q, n, level):
    """The allowed distance of a rate from q: a larger one has probability 2 exp(-level) at most."""
    third = level / (3 * n)
    return third + np.sqrt(third**2 + 2 * q * (1 - q) * level / n)


# ------------------------------------------------------------------------------------------ report


class NoiseTest(NamedTuple):
    """One test: it passes if |measured - expected| <= bound. `hint` says what a failure means.

    The bound is inf if the noise cannot tell, nan if there is nothing to compare with.
    """

    layer: str
    test: str
    measured: float = math.nan
    expected: float = math.nan
    bound: float = 0.0
    hint: str = ""

    @property
    def verdict(self):
        if math.isfinite(self.bound):
            return "OK" if abs(self.measured - self.expected) <= self.bound else "FAIL"
        return "VACUOUS" if self.bound == math.inf else "UNKNOWN"

    wrong = property(lambda self: self.verdict == "FAIL")
    excess = property(lambda self: abs(self.measured - self.expected) / (self.bound or 1))


class NoiseReport(Report):
    """The result of check_noise: `rows`, a list of NoiseTest. Printed, it is a table.

    True if a test is OK, and none is FAIL or VACUOUS. Verdicts of rows: OK; FAIL;
    VACUOUS (no noise or too little to tell, noise that changes between calls, or a law without a
    cdf); UNKNOWN (no mean to compare with, so no test).
    """

    right = (2, 3, 4)

    def __bool__(self) -> bool:
        return {"OK"} <= {row.verdict for row in self.rows} <= {"OK", "UNKNOWN"}

    def verdict(self) -> str:
        """The outcome in one line."""
        verdicts = [row.verdict for row in self.rows]
        if self:
            tests, unknown = verdicts.count("OK"), verdicts.count("UNKNOWN")
            more = f", {unknown} more have nothing to compare with" * (unknown > 0)
            return f"noise check passed: {tests} tests{more}"
        if row := self.first_wrong:
            numbers = f"{row.measured:.4g}, expected {row.expected:.4g} +- {row.bound:.1g}"
            return f"noise check FAILED: {row.hint} ({row.layer}, {row.test}: {numbers})"
        row = self.rows[verdicts.index("VACUOUS")]
        return f"noise check VACUOUS: {row.hint} ({row.layer}, {row.test})"

    def lines(self):
        """The rows of the table, its head first."""
        head = ("noise", "test", "measured", "expected", "allowed", "verdict")
        rows = [(r.layer, r.test, *(f"{n:.4g}" for n in r[2:5]), r.verdict) for r in self.rows]
        return [head, *rows]

    def notes(self):
        return [self.verdict()]


# ------------------------------------------------------------------------------------------- check


@np.errstate(all="ignore")  # the report says what is not finite
def check_noise(op, shape=(64, 1024), *, p=None, shared=(), mean=None, dtype=None):
    """A report on the noise of `op`, a function of one Tensor, or a module in training mode.

    op      takes a Tensor of this `shape` and `dtype` (None: the default one), returns a Tensor
    p       the promised probability of dropping; None: the p of the random op that takes the noise.
            If it is given, the output's variance must be p / (1 - p) times its squared mean, as for
            dropout and Gaussian dropout (Srivastava et al. 2014, JMLR 15, section 10)
    shared  the axis or axes along which the noise must be the same. Along others it must differ
    mean    the function without its noise, the promised E[op(x)]; None: x itself, or what a module
            gives in evaluation

    Each layer's noise is compared with its law, and tested for independence of calls, of entries at
    any distance along each axis, and of other layers. Mean and variance of the output are exact
    where each output entry is a straight line in one entry of noise, as in a dropout layer.
    Elsewhere they are UNKNOWN: check the layers of a model alone too. Do not use p = 0.5: keep and
    drop then look the same.

    Each test fails a right function with probability below 1e-12. A module is copied, and
    generators stay as they were. Raises TypeError if `op` returns no Tensor, ValueError if `shared`
    is no axis of the result that takes the noise.

    >>> import minigrad.functional as F
    >>> bool(check_noise(lambda x: F.dropout(x, 0.3, training=True)))
    True
    >>> bool(check_noise(lambda x: F.dropout(x, 0.3, training=False)))  # no noise, no proof
    False
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape)  # far from 0, of both signs
    x = x.astype(dtype or array.default_dtype)
    op = copy.deepcopy(op)  # a module, its arrays and its generators stay as they are
    with frozen_noise():
        with frozen_noise():
            again = op(Tensor(x, True))
        outputs = [op(Tensor(x, True)) for _ in range(CALLS)]
        graph, *others = (program("check_noise", out) for out in outputs)
        # The last node is the output: noise alone is no layer.
        drawn = [[n for n in nodes[:-1] if isinstance(n, Noise)] for nodes in (graph, *others)]
        if problem := _problem(again, outputs, drawn):
            return NoiseReport([NoiseTest("op", "noise", bound=math.inf, hint=problem)])
        layers, rows = list(_layers(graph, drawn, p)), []
        for i, layer in enumerate(layers):
            # Repeated noise comes first, the worst first: it spoils all other tests.
            repeats = _places(layer, layers[:i], shared)
            rows += sorted(repeats, key=lambda row: -row.wrong * row.excess)
            rows += _law(layer)
        rows += _output(op, x, outputs, graph, layers, mean, p)
    return NoiseReport(rows)


def _problem(again, outputs, drawn):
    """Why the noise of these outputs cannot be tested, or None."""
    if not np.array_equal(again.data, outputs[0].data, equal_nan=True):
        return "op draws noise that minigrad cannot hold fixed. Use minigrad's noise, or pass rng."
    if not any(noise.size for noise in drawn[0]):
        return "op records no noise. Is it in evaluation mode, or under no_grad()?"
    if len({str([(n.stream, n.shape, n.distribution) for n in leaves]) for leaves in drawn}) > 1:
        return "layers, shapes or laws of noise change between calls. Check parts of op."


class _Layer(NamedTuple):
    """A layer that draws noise."""

    name: str
    noise: Noise  # of the first call
    values: np.ndarray  # of all calls, (calls, *shape). It has size 1 along axes that noise lacks
    uses: list  # the nodes that take the noise
    p: float | None  # the promised probability of dropping, if there is one


def _layers(graph, drawn, p):
    """The layers of a graph that draw noise. `drawn`: the Noise leaves of each call."""
    uses = {n: [node for node in graph if any(a is n for a in node.args)] for n in drawn[0]}
    names = numbered({n: n.stream or uses[n][0].op.name for n in drawn[0]})
    for leaves in zip(*drawn):
        noise, node = leaves[0], uses[leaves[0]][0]
        values = np.stack([np.array(leaf.data, ndmin=node.ndim) for leaf in leaves])
        rates = [p, *(settings(n).get("p") for n in uses[noise] if n.op.kind == "random")]
        promised = next((rate for rate in rates if rate is not None), None)
        yield _Layer(names[noise], noise, values, uses[noise], promised)


# ---- how noise is drawn


def _rate(layer, test, measured, expected, n, possible, hint, tests=1):
    """The row of a rate of n trials. Of several rates, the one with the largest error / bound.

    `possible` is the error that constant or repeated noise makes: bounds must be smaller.
    """
    bounds = rate_bound(expected, n, math.log(2 * tests / FALSE_ALARM))
    measured, expected, bounds = np.broadcast_arrays(measured, expected, bounds)
    i = np.argmax(abs(measured - expected) / bounds)
    bound = np.nan_to_num(bounds.flat[i])  # noise that is nan fails
    if np.any(possible > 0) and np.all(bounds >= possible):
        bound, hint = math.inf, "too little noise to tell. Use a larger shape."
    return NoiseTest(layer, test, measured.flat[i], expected.flat[i], bound, hint)


def _law(layer):
    """The keep rate of a law of zeros and ones against 1 - p, and the values against the law."""
    name, law, values, p = layer.name, layer.noise.distribution, layer.values, layer.p
    if law.cdf is None:
        hint = f"{law!r} has no cdf to compare its draws with. Define cdf(x)."
        yield NoiseTest(name, "law", bound=math.inf, hint=hint)
        return
    mean, variance, keep = _moments(law)
    if p is not None and not math.isnan(keep):
        hint = f"the keep rate is {keep:.3g}, not 1-p{_mistake('rate', keep, 1 - p)}"
        yield NoiseTest(name, "law, 1-p", keep, 1 - p, 1e-12, hint)
    x, counts = np.unique(values, return_counts=True)
    x, n, m, v = x.astype(float), values.size, values.mean(dtype=float), values.var(dtype=float)
    # The values are rounded to their dtype.
    rounding = 4 * np.finfo(np.result_type(values, np.float16)).eps * abs(x)
    upto = np.cumsum(counts) / n
    measured = np.array([upto - counts / n, upto])  # the rates of entries < x and of entries <= x
    least, most = law.cdf(np.nextafter(x - rounding, -np.inf)), law.cdf(x + rounding)
    expected = np.clip(measured, least, most)
    hint = f"the mean drawn is {m:.3g}, of its law {mean:.3g}{_mistake('rate', m, mean)}; "
    hint += f"the variance drawn is {v:.3g}, of its law {variance:.3g}"
    hint += _mistake("variance", v, variance)
    yield _rate(name, "law", measured, expected, n, np.minimum(expected, 1 - expected), hint, n)


def _moments(law):
    """(mean, variance, keep rate) of a law, from its outcomes; nan if it does not list them.

    The keep rate is the probability of 1, if a law has the values 0 and 1 alone, else nan.
    """
    values, weights = law.outcomes(8) if law.outcomes else (math.nan, 1.0)
    mean = np.sum(weights * values)
    keep = mean if np.all(np.isin(values, (0, 1))) else math.nan
    return mean, np.sum(weights * (values - mean) ** 2), keep


def _places(layer, others, shared):
    """Where the noise repeats: in calls, along axes of the node that takes it, in other layers."""
    name, rare, node = layer.name, _rare(layer), layer.uses[0]
    takers = {path(n.scope) if n.scope else n.order for n in layer.uses}
    if len(takers) > 1:  # a module may take it twice
        yield NoiseTest(name, "layers that take it", len(takers), 1, 0, SAME_NOISE)
    hint = "every call draws the same noise, or part of it"
    yield from _pairs(name, "calls", rare.reshape(CALLS, -1).T, hint)
    needed = np.empty(node.shape, bool).any(shared, keepdims=True).shape
    for axis, (size, right, full) in enumerate(zip(rare.shape[1:], needed, node.shape)):
        bound = 0 if size in (1, full) else math.nan  # else the node does more than broadcast
        hint = f"noise has size {size} along axis {axis}, not {right}"
        yield NoiseTest(name, f"size along axis {axis}", size, right, bound, hint)
        columns = np.moveaxis(rare, 1 + axis, -1).reshape(-1, size)
        hint = f"noise repeats along axis {axis}, or part of it"
        yield from _pairs(name, f"repeats, axis {axis}", columns, hint)
    for other in others:
        # Equal generators draw the same numbers first, whatever the shapes. So only the first n
        # entries of each call are compared.
        n = min(layer.values[0].size, other.values[0].size)
        a, b = (_rare(x).reshape(CALLS, -1)[:, :n] for x in (other, layer))
        names, expected = f"{other.name}, {name}", a.mean() * b.mean()
        possible = min(a.mean(), b.mean()) - expected
        yield _rate(names, "independence", np.mean(a & b), expected, a.size, possible, SAME_NOISE)


def _rare(layer):
    """Where the values are on the rarer side of their mean; nowhere, if all are equal."""
    above = layer.values > layer.values.mean()
    return above == (above.mean() < 0.5)


def _pairs(layer, test, columns, hint):
    """The test of how often both entries of a pair in a row are rare, at each distance of columns.

    columns  a table of bools: where its entries are rare
    """
    n, size = columns.shape
    if size > 1 and np.any(columns):
        distances, rate = np.arange(1, size), columns.mean()
        pairs = n * (size - distances)
        trials = np.where(2 * distances < size, pairs / 2, pairs)
        expected = rate * (rate * columns.size - 1) / (columns.size - 1)
        both = _both_rare(columns) / pairs
        yield _rate(layer, test, both, expected, trials, rate - expected, hint, tests=size - 1)


def _both_rare(rows):
    """How many pairs are rare in both entries, at each distance 1, 2, ... along the rows.

    It is the autocorrelation of the rows, added up.
    """
    size = rows.shape[1]
    spectrum = np.fft.rfft(rows, 2 * size)
    return np.fft.irfft(np.sum(abs(spectrum) ** 2, axis=0), 2 * size)[1:size].round()


# ---- how noise acts


def _output(op, x, outputs, graph, layers, mean, p):
    """The mean and the variance of the output, exact where each entry is a + b * noise."""
    out, layer = outputs[0], layers[0]
    finite = np.mean([np.isfinite(out.data) for out in outputs])
    yield NoiseTest("output", "finite", finite, 1, 0, "the output is not finite")
    promised, of, at = x, "x", layer.noise.dtype.type(1)
    if mean is not None:
        promised, of = np.asarray(array.data_of(mean(Tensor(x)))), "the promised mean"
    elif hasattr(op, "eval"):
        evaluated = op.eval()(Tensor(x, True))
        promised, of, at = evaluated.data, "the output in evaluation", 0.5
        hint = "noise is drawn in evaluation too: pass training=self.training"
        yield NoiseTest("output", "noise in evaluation", len(noise_leaves(evaluated)), 0, 0, hint)
    rounding = max(1e-9, *(64 * np.finfo(dtype).eps for dtype in (x.dtype, out.dtype)))
    law_mean, law_variance, keep = _moments(layer.noise.distribution)
    known = len(layers) == 1 and promised.shape == out.shape and not math.isnan(law_mean)
    line = known and _line(out, graph, layer.noise, at, rounding)
    if not line:
        yield NoiseTest("output", "mean", bound=math.nan)
        return
    a, b = line
    mean = a + b * law_mean
    promised = promised * (layer.p != 1)  # a rate of 1 drops everything
    yield _entries("mean", mean, promised, of, keep, rounding)
    if p not in (None, 1):
        odds = p / (1 - p)
        right, of = odds * mean**2, "p/(1-p) mean^2"
        yield _entries("variance", b**2 * law_variance, right, of, odds, rounding)


def _line(out, graph, noise, at, rounding):
    """(a, b) if out = a + b * noise, entry by entry, else None.

    The noises 0 and `at` give a and b, and the drawn noise must give `out`. Any function of a mask
    of 0 and 1 is a line through these two outcomes. So `at` = 0.5 asks for more: a straight line.
    """
    end = np.full(noise.shape, at)
    with contextlib.suppress(ValueError, TypeError, IndexError):  # such as a mask that must be bool
        a, c = (evaluate(graph, {noise.order: n})[out.order] for n in (np.zeros_like(end), end))
        b = (c - a) / at
        if np.max(abs(a + b * noise.data - out.data)) <= rounding * np.max(abs(out.data)):
            return a, b


def _entries(test, measured, right, of, parameter, rounding):
    """The largest relative difference of a measured from the right array.

    If all entries have the same ratio, a usual mistake with this parameter may explain it.
    """
    size = np.max(abs(right)) or 1.0
    ratio = np.sum(measured * right) / np.sum(np.square(right, dtype=float))
    hint = f"the {test} is {ratio:.3g} times {of}{_mistake(test, ratio * parameter, parameter)}"
    if not np.allclose(measured, ratio * right, atol=rounding * size):
        hint = f"the {test} is no multiple of {of}: is noise added where it should multiply?"
    return NoiseTest("output", test, np.max(abs(measured - right)) / size, 0, rounding, hint)


MISTAKES = [  # (in what, what it makes of the right keep rate or variance, a usual mistake)
    ("rate", lambda keep: 1 - keep, "keep and drop are swapped"),
    ("mean", lambda keep: keep**2, "the scale 1/(1-p) is missing"),
    ("mean", lambda keep: 1, "the scale 1/(1-p) is applied twice, or in evaluation too"),
    ("mean", lambda keep: keep**2 / (1 - keep), "the scale is 1/p, or keep and drop are swapped"),
    ("variance", lambda v: v**2, "the variance is taken for the standard deviation"),
    ("variance", lambda v: v**0.5, "the standard deviation is taken for the variance"),
]


def _mistake(what, measured, right):
    """The mistake that explains the measured number, as the end of a sentence, or ""."""
    for of, changed, text in MISTAKES:
        close = np.isclose([measured, right], changed(np.float64(right)), rtol=0.03, atol=0)
        if of == what and close.tolist() == [True, False]:
            return f": {text}"
    return ""

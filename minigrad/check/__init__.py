"""Gradient checks: analytic derivatives, from the rules, against numeric ones, from the forwards alone.

`gradcheck` checks a function, `check_graph` the recorded graph of a loss. Both hold noise fixed, so dropout is checked
like anything else, and both work in float64 whatever the dtype of the model. A numeric derivative is an extrapolated
central difference with an error estimate (Ridders 1982); a disagreement counts only beyond that.

Verdicts: OK; FAIL; KINK (one-sided slopes differ and the analytic value lies between them: a valid subgradient);
VACUOUS (both sides are zero at every entry, so nothing was tested); STOCHASTIC (the function changed between two calls).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ..engine import Tensor, data_of, frozen_noise, grad, path
from ..graph import copy, evaluate, program

RTOL, ATOL = 1e-6, 1e-9
STEPS = [0.02 / 2**k for k in range(13)]
SMALL = 1e-7  # a step so small that a kink within it is rare, though it leaves only half the digits


class GradcheckError(RuntimeError):
    """An analytic derivative is wrong, or could not be checked."""


# --------------------------------------------------------------------------------- numeric derivatives


@dataclass
class Slope:
    """The derivative of f(t) at t = 0, entry by entry."""

    value: np.ndarray  # the two-sided derivative
    error: np.ndarray  # an estimate of its error
    left: np.ndarray  # one-sided slopes
    right: np.ndarray
    kink: np.ndarray  # whether the one-sided slopes differ

    def contracted(self, u):
        """The slope of sum(u * f), for cotangents u that are 0 at all kinks or at all entries but one."""
        left, right = (np.sum(np.where(u == 0, 0, u * side)) for side in (self.left, self.right))
        value, error = np.sum(np.where(u == 0, 0, u * self.value)), np.sum(np.where(u == 0, 0, abs(u) * self.error))
        return Slope(value, error, left, right, np.any(self.kink & (u != 0)))


def slope(f):
    """The derivative at 0 of f(t), an array: central differences at falling steps, extrapolated to step 0, best entry kept.

    Kinks near 0 (of a relu, of |w|) upset the extrapolation, sometimes without a sign of it. So its result must agree with the
    plain difference over a tiny step. If not, that takes its place where f is straight over that step; elsewhere it is the error.
    """
    with np.errstate(all="ignore"):
        middle = np.asarray(f(0.0), np.float64)
        value, error = np.zeros_like(middle), np.full_like(middle, np.inf)
        row = []
        for h in STEPS:
            first, _, _, jump = _differences(f, middle, h)
            previous, row = row, [first]
            for k, older in enumerate(previous):
                row.append(row[k] + (row[k] - older) / (4 ** (k + 1) - 1))
                doubt = np.maximum(abs(row[k + 1] - row[k]), abs(row[k + 1] - older))
                better = doubt < error
                value, error = np.where(better, row[k + 1], value), np.where(better, doubt, error)
        plain, left, right, small_jump = _differences(f, middle, SMALL)
        # steps a hair longer are as good, so what their differences differ by is rounding
        twins = [_differences(f, middle, SMALL * factor)[0] for factor in (1.01, 1.02, 1.03)]
        rounding = 4e-15 * abs(middle) / SMALL + 6 * np.median([abs(twin - plain) for twin in twins], axis=0)
        agree = abs(value - plain) <= 2 * rounding + 1e-5 * abs(plain) + 1e-9
        straight = small_jump <= 1e-3 * (abs(left) + abs(right)) + 2 * rounding
        error = np.where(agree, error + 1e-15 * abs(middle) / STEPS[-1], np.where(straight, rounding + 1e-9 * abs(plain), abs(value - plain)))
        value = np.where(straight & ~agree, plain, value)
        # where f is smooth the jump between the one-sided slopes shrinks with the step; at a kink it stays
        jumps = small_jump > 1e-4 * (abs(left) + abs(right)) + 1e-8 + 2 * rounding
        kink = jumps & ((small_jump > 0.5 * jump) | ~agree)
    return Slope(value, error, left, right, kink)


def _differences(f, middle, h):
    """The two-sided difference over the step h, both one-sided ones, and the jump between these."""
    above, below = f(h), f(-h)
    left, right = (middle - below) / h, (above - middle) / h
    return (above - below) / (2 * h), left, right, abs(right - left)


def verdicts(analytic, numeric, rtol=RTOL, atol=ATOL, scale=0.0):
    """OK, KINK or FAIL for each entry, and the error of each relative to the larger side (and to `scale`, if that is larger)."""
    size = np.maximum(np.maximum(abs(analytic), abs(numeric.value)), scale)
    difference = abs(analytic - numeric.value)
    near = difference <= atol + rtol * size + 5 * numeric.error
    sure = 5 * numeric.error <= atol + 1e-3 * np.maximum(size, 1e-3)  # else the numeric side says nothing
    low, high = np.minimum(numeric.left, numeric.right), np.maximum(numeric.left, numeric.right)
    margin = atol + numeric.error + 1e-3 * (high - low)
    between = (low - margin <= analytic) & (analytic <= high + margin)
    verdict = np.where(numeric.kink, np.where(between, "KINK", "FAIL"), np.where(near & sure, "OK", "FAIL"))
    error = np.where(numeric.kink & between, 0.0, difference / np.where(size > 0, size, 1))
    return verdict, error


# --------------------------------------------------------------------------------------- functions


def gradcheck(func, inputs, *, rtol=RTOL, atol=ATOL, raise_exception=True):
    """True if the gradients of func(*inputs) agree with numeric ones at every entry of every input that requires one.

    `func` may return a Tensor or several, of any shape: they are contracted with random cotangents. Its noise (active
    dropout) is the same in all calls, without a seed. Inputs of lower precision are copied to float64. Else it raises
    GradcheckError, or returns False with raise_exception=False.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: np.log(x) * x, x)
    True
    """
    return _passes(func, inputs, rtol, atol, raise_exception)


def gradgradcheck(func, inputs, *, rtol=RTOL, atol=ATOL, raise_exception=True):
    """As gradcheck, for second derivatives: checks the gradients that create_graph=True records, as functions of inputs and cotangents."""
    inputs, rng = _tuple(inputs), np.random.default_rng(1)
    with frozen_noise():
        cotangents = tuple(Tensor(rng.standard_normal(y.shape), True) for y in _tensors(func(*inputs)) if y.requires_grad)

    def gradients(*arguments):
        own, cotangents = arguments[: len(inputs)], arguments[len(inputs) :]
        outputs = [y for y in _tensors(func(*own)) if y.requires_grad]
        trained = [x for x in own if isinstance(x, Tensor) and x.requires_grad]
        return tuple(g for g in grad(outputs, trained, cotangents, create_graph=True, allow_unused=True) if g is not None)

    return _passes(gradients, inputs + cotangents, rtol, atol, raise_exception, zero_allowed=True)


def _passes(func, inputs, rtol, atol, raise_exception, zero_allowed=False):
    try:
        _check_function(func, inputs, rtol, atol, zero_allowed)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_function(func, inputs, rtol, atol, zero_allowed):
    inputs = _tuple(inputs)
    trained = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not trained:
        raise ValueError("gradcheck: at least one input must be a Tensor with requires_grad=True.")
    if narrow := [i for i in trained if inputs[i].dtype != np.float64]:
        warnings.warn(f"gradcheck: inputs {narrow} were copied to float64 to be checked.", stacklevel=4)
    own = [Tensor(x.data, i in trained, dtype=np.float64 if i in trained else None) if isinstance(x, Tensor) else x for i, x in enumerate(inputs)]
    before = [np.array(data_of(x)) for x in own]
    rng = np.random.default_rng(0)

    def outputs():
        with frozen_noise():
            return [y for y in _tensors(func(*own)) if y.dtype.kind == "f"]

    first, again = outputs(), outputs()
    if changed := [i for i, (x, array) in enumerate(zip(own, before)) if not np.array_equal(data_of(x), array, equal_nan=array.dtype.kind == "f")]:
        raise GradcheckError(f"FAIL: func changes its inputs {changed}.")
    if any(y.shape != z.shape or not np.array_equal(y.data, z.data, equal_nan=True) for y, z in zip(first, again)):
        raise GradcheckError(
            "STOCHASTIC: func changed between two calls, by randomness that minigrad cannot hold fixed. Use minigrad's stochastic ops, or pass rng."
        )
    cotangents = [rng.standard_normal(y.shape) for y in first]
    recorded = [(y, u) for y, u in zip(first, cotangents) if y.requires_grad]  # the others claim a gradient of zero
    if recorded:
        analytic = grad([y for y, _ in recorded], [own[i] for i in trained], [u for _, u in recorded], allow_unused=True)
    else:
        analytic = [None] * len(trained)

    def contracted():
        return sum(np.sum(u * y.data) for u, y in zip(cotangents, outputs()))

    silent = True
    for i, gradient in zip(trained, analytic):
        x = own[i].data
        gradient = np.zeros_like(x) if gradient is None else gradient.data
        for index in np.ndindex(x.shape):
            numeric = _entry_slope(contracted, x, index)
            verdict, error = verdicts(gradient[index], numeric, rtol, atol)
            silent &= not gradient[index] and not numeric.value
            if verdict == "FAIL":
                raise GradcheckError(
                    f"FAIL: input {i}, entry {index}: analytic {gradient[index]:.10g}, numeric {numeric.value:.10g} "
                    f"(its error about {numeric.error:.1g}), relative difference {error:.2g}."
                )
    if silent and not zero_allowed and any(own[i].size for i in trained):
        raise GradcheckError(
            "VACUOUS: both gradients are exactly 0 at every entry, so nothing was tested. Check at a random point, in training mode."
        )


def _entry_slope(f, x, index):
    """The slope of f() in one entry of the array x, which is put back."""
    value = x[index]

    def moved(t):
        x[index] = value + t
        try:
            return f()
        finally:
            x[index] = value

    return slope(moved)


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _tensors(outputs):
    for y in _tuple(outputs):
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck: func must return a Tensor or a tuple of them, not {type(y).__name__}.")
    return _tuple(outputs)


# ------------------------------------------------------------------------------------------- graphs


@dataclass
class Row:
    """One line of a report: a node whose rules were checked, or a leaf whose whole gradient was."""

    name: str
    op: str
    module: str
    shape: tuple
    error: float
    verdict: str
    order: int  # of the Tensor in the checked graph


@dataclass
class Report:
    """What check_graph found. True if nothing failed; printed, a table."""

    rows: list

    def __bool__(self):
        verdicts = [row.verdict for row in self.rows]
        tested = any(row.op == "leaf" and row.verdict in ("OK", "KINK") for row in self.rows)
        return tested and "FAIL" not in verdicts and "AFFECTED" not in verdicts

    @property
    def first_wrong(self):
        """The row of the first node whose own rule is wrong, or None."""
        return next((row for row in self.rows if row.verdict == "FAIL"), None)

    def verdict(self):
        """One line."""
        worst = max((row.error for row in self.rows if np.isfinite(row.error)), default=0.0)
        count = f"{sum(r.op != 'leaf' for r in self.rows)} nodes and {sum(r.op == 'leaf' for r in self.rows)} leaves"
        if wrong := self.first_wrong:
            where = f" in {wrong.module}" if wrong.module else ""
            return f"gradient check FAILED: the first wrong node is {wrong.name} ({wrong.op}){where}, relative error {wrong.error:.2g}"
        if not self:
            return "gradient check VACUOUS: every gradient is exactly 0, so nothing was tested"
        return f"gradient check passed: {count}, largest relative error {worst:.1g}"

    def __str__(self):
        lines = [("node", "op", "module", "shape", "error", "verdict")]
        lines += [(r.name, r.op, r.module, str(r.shape), f"{r.error:.1e}", r.verdict) for r in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines) + "\n" + self.verdict()


def check_graph(loss, seed=0):
    """Checks the recorded graph of `loss`: each node's own rules, and the whole gradient of each leaf, noise as drawn.

    No function is needed, and nothing of the graph changes. Each rule is compared along random directions with random
    cotangents, against the node's forward; each leaf's gradient along random directions, against the loss run again.
    """
    steps = program(loss, "check_graph")
    leaves = [node for node in steps if node.is_leaf and node.requires_grad]
    if not leaves:
        raise RuntimeError("check_graph: no leaf of this graph has requires_grad=True (was it recorded under no_grad()?).")
    copies = copy(steps)
    rng, rows = np.random.default_rng(seed), []
    names = _names(steps)
    for node in steps:
        if node.args and node.requires_grad:
            verdict, error = _check_node(copies[node.order], rng)
            rows.append(Row(names[node.order], node.op.name, path(node.origin), node.shape, error, verdict, node.order))
    wrong = any(row.verdict == "FAIL" for row in rows)
    own, root, u = list(copies.values()), copies[loss.order], rng.standard_normal(loss.shape)
    gradients = grad(root, [copies[leaf.order] for leaf in leaves], u, retain_graph=True, allow_unused=True)
    for leaf, gradient in zip(leaves, gradients):
        gradient = np.zeros(leaf.shape) if gradient is None else gradient.data
        verdict, error = _check_leaf(own, root, u, copies[leaf.order], gradient, rng)
        verdict = "AFFECTED" if wrong and verdict == "FAIL" else verdict
        rows.append(Row(names[leaf.order], "leaf", "", leaf.shape, error, verdict, leaf.order))
    return Report(rows)


DIRECTIONS = 3  # random ones, for each input
KINKS = 8  # outputs at a kink that are looked at, for each direction
ENTRIES = 16  # of a leaf, where a direction meets kinks


def _directions(x, rng):
    """Random directions at x, so short that the largest step of a numeric derivative moves no entry far."""
    return (rng.standard_normal(x.shape) / max(1.0, np.sqrt(x.size) / 8) for _ in range(DIRECTIONS))


def _worst(results):
    """The verdict and error of several comparisons together: a FAIL first, then a KINK; VACUOUS if all were zero."""
    tested = [(verdict, error) for verdict, error, zero in results if not zero]
    if not tested:
        return "VACUOUS", 0.0
    order = {"FAIL": 0, "KINK": 1, "OK": 2}
    return min(tested, key=lambda r: (order[r[0]], -r[1]))


def _compared(gradient, v, numeric):
    """(verdict, error, whether both sides are zero) of a gradient along v; its terms may cancel, so their norm is the scale."""
    analytic = np.sum(gradient * v)
    verdict, error = verdicts(analytic, numeric, scale=np.sqrt(np.sum((gradient * v) ** 2)))
    return str(verdict), float(error), analytic == 0 and not numeric.kink and abs(numeric.value) <= 5 * numeric.error + 1e-300


def _check_node(node, rng):
    """The rules of one node against its forward.

    Where the forward has no kink along a direction, a random cotangent compares all outputs at once; the cotangent is the
    check's own, so outputs at a kink are left out of it, and a few of them are then looked at one by one.
    """
    arrays = [data_of(a) for a in node.args]
    results = []
    for position, x in enumerate(node.args):
        if not (isinstance(x, Tensor) and x.requires_grad) or (rule := node.op.rule(position)) is None:
            continue

        def pulled(u, rule=rule, x=x):
            return _summed_to(rule(u, node.data, *arrays), x.shape)

        for v in _directions(x, rng):

            def along(t, position=position, x=x, v=v):
                return node.op.forward(*arrays[:position], x.data + t * v, *arrays[position + 1 :])

            numeric = slope(along)
            u = rng.standard_normal(node.shape) * ~numeric.kink
            results.append(_compared(pulled(u), v, numeric.contracted(u)))
            for index in np.argwhere(numeric.kink)[:KINKS]:
                u = np.zeros(node.shape)
                u[tuple(index)] = 1
                results.append(_compared(pulled(u), v, numeric.contracted(u)))
    return _worst(results)


def _summed_to(g, shape):
    """g summed over what was broadcast, by NumPy's own rule: the engine's way is not trusted here."""
    if np.shape(g) == shape:
        return g
    lead = np.ndim(g) - len(shape)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1)
    return np.sum(g, axis=axes, keepdims=True).reshape(shape)


def _check_leaf(steps, loss, u, leaf, gradient, rng):
    """The `gradient` of sum(u * loss) by `leaf`, from the engine's backward, against the graph run again.

    At a kink of several ops together the derivative along a random direction need not lie between the one-sided slopes though
    each op's does: there single entries, most of which have no kink, are compared instead.
    """

    def compare(v):
        def along(t):
            return np.sum(u * evaluate(steps, {leaf.order: leaf.data + t * v})[loss.order])

        numeric = slope(along)
        return (*_compared(gradient, v, numeric), bool(numeric.kink))

    results = []
    for v in _directions(leaf, rng):
        *result, kink = compare(v)
        if kink and result[0] == "FAIL":
            for flat in rng.permutation(leaf.size)[:ENTRIES]:
                v = np.zeros(leaf.size)
                v[flat] = 1
                *result, kink = compare(v.reshape(leaf.shape))
                results.append(("KINK", 0.0, False) if kink else result)
        else:
            results.append(result)
    return _worst(results)


def _names(steps):
    """{order: name}: a tensor's own name, `0.weight` for a leaf used as `weight` in module 0, else a number."""
    names = {}
    for node in steps:
        for position, a in enumerate(node.args):
            if isinstance(a, Tensor) and a.is_leaf:
                names.setdefault(a.order, a.name or ".".join(filter(None, [path(node.origin), node.op.argument(position)])))
    return {node.order: names.get(node.order) or f"n{i}" for i, node in enumerate(steps)}

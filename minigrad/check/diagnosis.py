"""What is wrong with a wrong gradient: simple hypotheses, tried one after the other on analytic and numeric derivatives."""

import numpy as np

from ..array import data_of
from .slopes import STEP

SAMPLE = 64  # entries looked at
COTANGENTS = 3


def diagnose(function, rates=(), others=None, step=STEP):
    """The first simple hypothesis that explains the wrong gradients of `function`, in words.

    `rates` are the drop rates in play, `others` ({name: Map}) the other operands.
    """
    return next(_explanations(function, rates, others or {}, step), "no simple pattern")


def rates(steps):
    """The drop rates p of the recorded ops."""
    found = {
        float(data_of(a))
        for node in steps
        for i, a in enumerate(node.args or ())
        if node.op.names[i] == "p" and np.ndim(data_of(a)) == 0
    }
    return sorted(p for p in found if 0 < p < 1)


def _explanations(function, rates, others, step):
    """Those that fit. Each is tried with several random cotangents at once."""
    rng = np.random.default_rng(0)
    entries = (
        np.arange(function.x.size)
        if function.x.size <= SAMPLE
        else np.sort(rng.choice(function.x.size, SAMPLE, replace=False))
    )
    columns, error = _columns(function, entries, step)
    shape = columns.shape[1:]
    cotangents = [
        rng.standard_normal(shape) * np.all(np.isfinite(columns), axis=0) for _ in range(COTANGENTS)
    ]
    columns = np.nan_to_num(columns)

    def numeric(cotangents, columns=columns):
        return np.array([np.tensordot(columns, u, u.ndim) for u in cotangents])

    whole = np.array(
        [np.reshape(function.pull(u.copy()), -1) for u in cotangents]
    )  # whole gradients
    analytic, right = whole[:, entries], numeric(cotangents)
    tolerance = (
        1e-6 * (abs(right).max(initial=0) + abs(analytic[np.isfinite(analytic)]).max(initial=0))
        + 10 * error
    )

    def fits(candidate, at=...):
        return np.all(abs(analytic - candidate)[at] <= tolerance)

    if not np.array_equal(
        whole[0], np.reshape(function.pull(cotangents[0].copy()), -1), equal_nan=True
    ):
        yield "the rule gives something else each time it is called, as if it drew noise of its own"
    if not np.isfinite(analytic).all():
        yield f"not finite at {np.sum(~np.isfinite(analytic[0]))} of {len(entries)} entries"
        return
    if fits(right):  # what is wrong shows elsewhere, or is below the error of the numeric side
        return
    if fits(0):
        yield "zero everywhere: the way back is cut (detach, .data?), or the rule is empty"
    for factor, text in _factors(
        rates, {*shape, *function.x.shape, columns[0].size, function.x.size}
    ):
        if fits(factor * right):
            yield text
    if function.x.ndim == 2:
        turned = np.array([w.reshape(function.x.shape[::-1]).T.reshape(-1)[entries] for w in whole])
        if np.all(abs(turned - right) <= tolerance):
            yield "transposed"
    if fits(numeric([np.ones(shape)])):
        yield "the incoming cotangent is ignored: this is the gradient for a cotangent of ones"
    for axis, n in enumerate(shape):
        for i in {0, n - 1} if n > 1 else ():
            one = np.zeros((n,) + (1,) * (len(shape) - axis - 1))
            one[i] = 1
            if fits(numeric([u * one for u in cotangents])):
                yield f"not summed over axis {axis} of the result, along which this input was broadcast: only index {i} counts"
    silent, live = abs(analytic) <= tolerance, abs(right) > 2 * tolerance
    if np.any(silent & live) and fits(right, ~silent):
        yield f"zero at {np.sum(np.any(silent & live, axis=0))} of {len(entries)} entries where the numeric gradient is not, right elsewhere: a mask too many"
    if np.any(~silent & ~live) and fits(right, live) and np.any(live):
        yield f"right, but for {np.sum(np.any(~silent & ~live, axis=0))} of {len(entries)} entries where it should be zero: a mask is ignored"
    for name, other in others.items():
        if other.x.size == function.x.size and fits(
            numeric(cotangents, np.nan_to_num(_columns(other, entries, step)[0]))
        ):
            yield f"this is the gradient of another operand, {name}: wrong operand"
    factors = analytic[live] / right[live]
    if (
        factors.size > COTANGENTS
        and abs(np.median(factors) - 1) > 1e-4
        and fits(np.median(factors) * right)
    ):
        yield f"{np.median(factors):.6g} times the numeric gradient at every entry"


def _columns(function, entries, step):
    """The numeric derivatives by these entries, one array like the value for each, nan at kinks; and the largest error."""
    columns, errors = [], [0.0]
    for entry in entries:
        v = np.zeros(function.x.size)
        v[entry] = 1.0
        found = function.slope(v.reshape(function.x.shape), step)
        usable = found.finite & ~found.kink & np.isfinite(found.value)
        columns.append(np.where(usable, found.value, np.nan))
        errors.append(np.max(np.where(usable, found.error, 0), initial=0))
    return np.array(columns), max(errors)


def _factors(rates, sizes):
    """(factor, what it means): the usual ones."""
    yield 2, "2 times the numeric gradient"
    yield 0.5, "half the numeric gradient: a factor 2 is lost"
    yield -1, "the sign is wrong"
    for p in rates:
        keep = 1 - p
        yield keep, f"(1 - p) times the numeric gradient, p = {p:g}: the scale 1/(1 - p) is lost"
        yield 1 / keep, f"1/(1 - p) times the numeric gradient, p = {p:g}: scaled once too often"
        yield p, f"p times the numeric gradient, p = {p:g}"
        yield keep / p, f"(1 - p)/p times the numeric gradient, p = {p:g}: p and 1 - p are swapped"
    for n in sorted(sizes - {0, 1}):
        yield (
            n,
            f"{n} times the numeric gradient, and {n} is the size of an axis or of the whole: a sum where a mean belongs",
        )
        yield (
            1 / n,
            f"1/{n} of the numeric gradient, and {n} is the size of an axis or of the whole: a mean where a sum belongs",
        )

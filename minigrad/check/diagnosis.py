"""What is wrong with a wrong gradient: simple hypotheses, tried on both derivatives."""

import numpy as np

from ..array import data_of
from ..engine import Tensor
from .verdict import broadcast_axes, ruled

SAMPLE = 64  # entries looked at
COTANGENTS = 3
EXACT = 1e-9  # of the largest: what differs by less is one number


def diagnose(alone, i):
    """The simple hypotheses that explain the wrong gradient by the i-th argument, in words, or "".

    A hypothesis fits if it fits several random cotangents at once.
    """
    rng, x = np.random.default_rng(0), alone.node.args[i]
    entries = np.sort(rng.choice(x.size, min(x.size, SAMPLE), replace=False))
    columns = _columns(alone, i, entries)
    cotangents = rng.standard_normal((COTANGENTS, *alone.node.shape))
    cotangents *= np.all(np.isfinite(columns), axis=0)
    whole = np.array([np.ravel(ruled(alone.node, i, u.copy())) for u in cotangents])
    analytic, right = whole[:, entries], _contracted(columns, cotangents)
    if not np.isfinite(analytic).all():
        return f"not finite at {np.sum(~np.isfinite(analytic[0]))} of {len(entries)} entries"
    tolerance = EXACT * max(abs(right).max(initial=0), abs(analytic).max(initial=0))
    hypotheses = [
        (0, "zero everywhere: the way back is cut (detach, .data?), or the rule is empty", 0),
        *((1, text, factor * right) for factor, text in _factors(alone.node, x)),
        *_mistaken_axes(alone.node, x, columns, cotangents),
        *_mistaken_entries(analytic, right, tolerance),
        *_mistaken_operands(alone, i, entries, cotangents),
    ]
    if x.ndim == 2:
        back = whole.reshape(COTANGENTS, *x.shape[::-1]).swapaxes(1, 2).reshape(whole.shape)
        hypotheses.append((1, "transposed", analytic - back[:, entries] + right))
    told = abs(right) > 2 * tolerance
    if np.sum(told) > COTANGENTS:
        k = np.median(analytic[told] / right[told])
        hypotheses.append((3, f"{k:.9g} times the numeric gradient at every entry", k * right))

    def fits(candidate):
        return np.all(abs(analytic - candidate) <= tolerance)

    found = [(rank, text) for rank, text, candidate in hypotheses if fits(candidate)]
    wrong = not fits(right)  # else what is wrong shows elsewhere
    return ", or ".join(text for rank, text in found if wrong and rank == min(found)[0])


def _columns(alone, i, entries):
    """The numeric derivatives by these entries, an array like the value for each; nan at kinks."""
    columns = []
    for entry in entries:
        v = np.zeros(alone.node.args[i].shape)
        v.flat[entry] = 1.0
        right, left = alone.push({i: v})[0], -alone.push({i: -v})[0]
        columns.append(np.where(abs(right - left) <= EXACT * abs(right), right, np.nan))
    return np.array(columns)


def _contracted(columns, cotangents):
    """The numeric gradients by these entries, a row for each cotangent."""
    return np.array([np.tensordot(np.nan_to_num(columns), u, u.ndim) for u in cotangents])


def _mistaken_axes(node, x, columns, cotangents):
    """(rank, text, what the gradients would be) where a sum over a broadcast axis is missing."""
    for axis in broadcast_axes(x.shape, node.shape) or ():
        for index in {0, node.shape[axis] - 1}:
            only = np.indices(node.shape)[axis] == index
            text = f"axis {axis} of the result, along which this input was broadcast"
            single = _contracted(columns, cotangents * only)
            yield 1, f"not summed over {text}: only index {index} counts", single


def _mistaken_entries(analytic, right, tolerance):
    """The same where a mask is there for nothing, or is missing."""
    silent, live = abs(analytic) <= tolerance, abs(right) > 2 * tolerance
    lost, added = silent & live, ~silent & ~live
    many, more = (f"{np.sum(np.any(at, axis=0))} of {at.shape[1]} entries" for at in (lost, added))
    if np.any(lost):
        text = f"zero at {many} where the numeric gradient is not, right elsewhere: a mask too many"
        yield 2, text, np.where(lost, 0, right)
    if np.any(added) and np.any(live):
        text = f"right, but for {more} where it should be zero: a mask is ignored"
        yield 2, text, np.where(added, analytic, right)


def _mistaken_operands(alone, i, entries, cotangents):
    """The same where the gradient is right for another operand, or for another one transposed."""
    args, names = alone.node.args, alone.node.op.names
    for j, a in enumerate(args):
        if a is args[i] or not isinstance(a, Tensor) or a.dtype.kind != "f":
            continue
        if a.ndim == 2 and a.shape[0] == a.shape[1] > 1:
            arrays = [data_of(b).T if k == j else data_of(b) for k, b in enumerate(args)]
            turned = _contracted(_columns(alone.on(arrays), i, entries), cotangents)
            yield 1, f"right, if {names[j]} were transposed", turned
        if a.size == args[i].size:
            other = _contracted(_columns(alone, j, entries), cotangents)
            yield 2, f"this is the gradient by another argument, {names[j]}", other


def _factors(node, x):
    """(factor, what it means): the usual ones."""
    numeric = "the numeric gradient"
    yield 2, f"2 times {numeric}"
    yield 0.5, f"half {numeric}: a factor 2 is lost"
    yield -1, "the sign is wrong"
    for p, k in zip(node.op.names, node.args):
        if not isinstance(k, (int, float)) or k in (0, 1, -1):
            continue
        told = f"{numeric}, {p} = {k:g}"
        yield k, f"{p} times {told}: a factor {p} too many"
        yield 1 / k, f"1/{p} of {told}: a factor {p} is lost"
        if 0 < k < 1:  # such as the rate of a dropout
            yield 1 - k, f"(1 - {p}) times {told}: the scale 1/(1 - {p}) is lost"
            yield 1 / (1 - k), f"1/(1 - {p}) times {told}: scaled once too often"
            yield (1 - k) / k, f"(1 - {p})/{p} times {told}: {p} and 1 - {p} are swapped"
    for n in sorted({*node.shape, *x.shape, node.size, x.size} - {0, 1}):
        axis = f"and {n} is the size of an axis or of the whole"
        yield n, f"{n} times {numeric}, {axis}: a sum where a mean belongs"
        yield 1 / n, f"1/{n} of {numeric}, {axis}: a mean where a sum belongs"

"""The likely cause of a wrong gradient, found by trying simple hypotheses."""

import numpy as np

from ..engine import Tensor
from .numeric import largest
from .verdict import ruled

SAMPLE = 64  # entries looked at: the forward runs twice for each
COTANGENTS = 3  # with one alone, a wrong hypothesis may fit by chance
EXACT = 1e-9  # relative to the largest number: a smaller difference is rounding


def diagnose(alone, i):
    """The first hypothesis that explains the wrong gradient by the i-th argument, in words, or "".

    A hypothesis must fit several random cotangents at once.
    """
    return next((text for text, fits in _hypotheses(alone, i) if fits), "")


def _hypotheses(alone, i):
    """Yields hypotheses: (text, whether it fits)."""
    rng, node, x = np.random.default_rng(0), alone.node, alone.node.args[i]
    entries = rng.permutation(x.size)[:SAMPLE]
    smooth = np.all(np.isfinite(_slopes(alone, i, entries)), axis=0)
    cotangents = rng.standard_normal((COTANGENTS, node.size)) * smooth

    def numeric(alone, j):
        return cotangents @ np.nan_to_num(_slopes(alone, j, entries)).T

    def fits(found):
        return np.all(abs(analytic - found) <= tolerance)

    whole = np.array([ruled(node, i, u.reshape(node.shape)) for u in cotangents])
    analytic = whole.reshape(COTANGENTS, -1)[:, entries]
    right = numeric(alone, i)
    tolerance = EXACT * max(largest(right), largest(analytic))
    yield "", fits(right)  # nothing is wrong at these entries
    live = abs(right) > 2 * tolerance
    k = np.median(analytic[live] / right[live]) if np.any(live) else np.nan
    yield _factor(k, node, x), fits(k * right)
    added = ~live & (abs(analytic) > tolerance)
    more = f"{np.sum(np.any(added, axis=0))} of {len(entries)} entries"
    text = f"right, except for {more} where it should be zero: a mask is ignored"
    yield text, fits(np.where(added, analytic, right))
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        turned = np.swapaxes(whole, -1, -2).reshape(COTANGENTS, -1)[:, entries]
        yield "transposed", np.all(abs(turned - right) <= tolerance)
    for j, (a, name) in enumerate(zip(node.args, node.op.names)):
        if a is x or not isinstance(a, Tensor) or a.dtype.kind != "f":
            continue
        if a.ndim == 2 and a.shape[0] == a.shape[1] > 1:
            other = alone.on(lambda array, a=a.data: array.T if array is a else array)
            yield f"it would be right if {name} were transposed", fits(numeric(other, i))
        if a.size == x.size:
            yield f"this is the gradient by another argument, {name}", fits(numeric(alone, j))


def _slopes(alone, i, entries):
    """The numeric derivatives by these entries, a row for each entry; nan at kinks."""
    rows = []
    for entry in entries:
        v = np.zeros(alone.node.args[i].shape)
        v.flat[entry] = 1.0
        right, left = alone.push({i: v})[0], -alone.push({i: -v})[0]
        rows.append(np.where(abs(right - left) <= EXACT * abs(right), right, np.nan).ravel())
    return np.array(rows)


def _factor(k, node, x):
    """What it means if the rule gives k times the numeric gradient."""
    numeric = "the numeric gradient"
    known = {"zero everywhere: the way back is cut (detach, .data?), or the rule is empty": 0}
    known |= {"the sign is wrong": -1, f"half {numeric}: a factor 2 is lost": 1 / 2}
    known[f"2 times {numeric}"] = 2
    for p, value in zip(node.op.names, node.args):
        if isinstance(value, (int, float)) and value not in (0, 1, -1):
            told = f"{numeric}, {p} = {value:g}"
            known[f"{p} times {told}: a factor {p} too many"] = value
            known[f"1/{p} of {told}: a factor {p} is lost"] = 1 / value
            if 0 < value < 1:  # such as the rate of a dropout
                keep = 1 - value
                known[f"(1 - {p}) times {told}: the scale 1/(1 - {p}) is lost"] = keep
                known[f"1/(1 - {p}) times {told}: scaled once too often"] = 1 / keep
                known[f"(1 - {p})/{p} times {told}: {p} and 1 - {p} are swapped"] = keep / value
    for n in {*node.shape, *x.shape, node.size, x.size} - {0, 1}:
        axis = f"and {n} is the size of an axis or of an array"
        known[f"{n} times {numeric}, {axis}: a sum where a mean belongs"] = n
        known[f"1/{n} of {numeric}, {axis}: a mean where a sum belongs"] = 1 / n
    texts = [text for text, factor in known.items() if abs(k - factor) <= EXACT * abs(factor)]
    return ", or ".join(texts) or f"{k:.9g} times {numeric} at every entry"

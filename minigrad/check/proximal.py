"""Whether the proximal operators that a penalty declares are the minimisers they promise to be."""

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..ops.penalties import norms, prox_of_sum
from .verdict import Finding

STEPS = 0.3, 2.0  # sizes t of a proximal step
SIZES = 1e-6, 1e-3, 0.1, 1.0, 5.0  # of the random moves away from the operator's result
MOVES = 20  # of each size
ROUNDING = 1e-11  # relative to the sum that is minimised


def check_prox(node, rng):
    """The Finding on the proximal operators of a recorded penalty node.

    prox(v, t) promises the w with the smallest sum |w - v|^2 / 2 + t * penalty(w). So no random w,
    near or far, may have a smaller sum. For a convex penalty the near ones decide.
    """
    for i, x in enumerate(node.args):
        if i < node.op.first or not isinstance(x, Tensor) or not x.size:
            continue
        operators = norms(node, x)
        if None in operators:
            continue
        for t in STEPS:
            v = rng.standard_normal(x.shape) * rng.choice([0.1, 1, 4], x.shape)
            note = _trouble(node, i, prox_of_sum(operators), v, t, rng)
            if note:
                return Finding("FAIL", np.inf, note, f"{node.op.name} for prox")
    return Finding("OK")


def _trouble(node, i, prox, v, t, rng):
    """What is wrong with prox(v, t) for the i-th argument of a penalty node, or None."""
    arrays = list(map(data_of, node.args))

    def value(w):
        moved = [*arrays[:i], w, *arrays[i + 1 :]]
        return np.sum((w - v) ** 2) / 2 + t * float(node.op.forward(*moved))

    best = np.asarray(prox(v.copy(), t))
    others = [v, np.zeros_like(v)]
    for size in np.repeat(SIZES, MOVES):
        moved = rng.choice([0, 1], v.shape)  # some entries: those at 0 may stay there
        others.append(best + size * moved * rng.standard_normal(v.shape))
    lowest, found = min(map(value, others)), value(best)
    if lowest < found - ROUNDING * (1 + abs(found)):
        return (
            f"its proximal operator is not the minimiser: |w - v|^2 / 2 + t * penalty(w) is "
            f"{found:.9g} at w = prox(v, t) and {lowest:.9g} at another w, for t = {t:g}"
        )
    return None

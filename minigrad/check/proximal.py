"""Whether the proximal operators of a penalty return the minimisers that they promise."""

import numpy as np

from ..array import data_of
from ..ops.penalties import norms, prox_of_sum
from .rules import place
from .verdict import Finding

STEPS = 0.3, 2.0, 20.0  # sizes t of a step: a small one may set few entries to 0, a large one most
SIZES = 1e-6, 1e-3, 0.1, 1.0, 5.0  # of random moves from the result, near and far
MOVES = 20  # of each size: a single move may miss the directions in which the sum falls
ROUNDING = 1e-11  # relative to the minimised sum: a smaller decrease is rounding
NOT_LEAST = (
    "its proximal operator is not the minimiser: |w - v|^2 / 2 + t * penalty(w) is "
    "{:.9g} at w = prox(v, t) and {:.9g} at another w, for t = {:g}"
)


def check_prox(node):
    """A Finding for each wrong proximal operator of a recorded node, if it is a penalty.

    prox(v, t) promises the w with the smallest sum |w - v|^2 / 2 + t * penalty(w). So no random w
    may have a smaller sum. For a convex penalty the near ones decide.
    """
    rng, arrays = np.random.default_rng(0), list(map(data_of, node.args))
    weights = node.args[node.op.first :] if arrays and node.op.kind == "penalty" else ()
    for i, x in enumerate(weights, len(arrays) - len(weights)):
        operators = norms(node, x)
        rule = f"{node.op.name} for prox{''.join(map(place, operators))}"
        for t in () if None in operators or not x.size else STEPS:
            v = rng.standard_normal(x.shape) * rng.choice([0.1, 1, 4], x.shape)
            shapes = {np.shape(operator(v.copy(), t)) for operator in operators} - {v.shape}
            if shapes:
                note = f"its proximal operator returns shape {shapes.pop()} for {v.shape}"
                yield Finding("FAIL", np.inf, note, rule)
                return

            def value(w, i=i, t=t, v=v):
                penalty = node.op.forward(*arrays[:i], w, *arrays[i + 1 :])
                return np.sum((w - v) ** 2) / 2 + t * float(penalty)

            best = np.asarray(prox_of_sum(operators)(v.copy(), t))
            others = [v, np.zeros_like(v)]
            for size in np.repeat(SIZES, MOVES):
                moved = rng.choice([0, 1], v.shape)  # some entries stay: zeros may have to
                others.append(best + size * moved * rng.standard_normal(v.shape))
            lowest, found = min(map(value, others)), value(best)
            if lowest < found - ROUNDING * (1 + abs(found)):
                yield Finding("FAIL", np.inf, NOT_LEAST.format(found, lowest, t), rule)

"""Whether the proximal operators of a penalty return the minimisers that they promise."""

import numpy as np

from ..array import data_of
from ..ops.penalties import norms, prox_of_sum
from .rules import place
from .verdict import Finding

STEPS = 0.01, 1.0, 300.0  # sizes t of a step: for coefficients from 0.001 to 10
SIZES = np.geomspace(1e-6, 1, 100)  # of random moves from the result
ROUNDING = 1e-11  # relative to the minimised sum: a smaller decrease is rounding
NOT_LEAST = (
    "its proximal operator is not the minimiser: |w - v|^2 / 2 + t * penalty(w) is "
    "{:.9g} at w = prox(v, t) and {:.9g} at another w, for t = {:g}"
)


def check_prox(node):
    """A Finding for each wrong proximal operator of a recorded penalty.

    prox(v, t) promises the w with the smallest sum |w - v|^2 / 2 + t * penalty(w). So no random w
    may have a smaller sum. For a convex penalty the near ones decide.
    """
    rng, first = np.random.default_rng(0), node.op.first
    settings = [data_of(setting) for setting in node.args[:first]]
    for weight in node.args[first:]:
        operators = norms(node, weight)
        rule = f"{node.op.name} for prox{''.join(map(place, operators))}"
        for t in () if None in operators else STEPS:
            v = np.array(rng.standard_normal(weight.shape))  # an array, also without axes
            shapes = {np.shape(operator(v, t)) for operator in operators} - {v.shape}
            if shapes:
                note = f"its proximal operator returns shape {shapes.pop()} for {v.shape}"
                yield Finding("FAIL", np.inf, note, rule)
                return

            def value(w, t=t, v=v):
                return np.sum((w - v) ** 2) / 2 + t * float(node.op.forward(*settings, w))

            w = prox_of_sum(operators)(v.copy(), t)
            others = [w + size * rng.standard_normal(v.shape) for size in SIZES]
            others += 5 * [v, 0 * v]  # far ones, for a penalty that is not convex
            some = [np.where(rng.random(v.shape) < rng.random(), other, w) for other in others]
            lowest = min(map(value, some))
            if not value(w) <= lowest + ROUNDING * (1 + abs(value(w))):  # nan fails
                yield Finding("FAIL", np.inf, NOT_LEAST.format(value(w), lowest, t), rule)

"""Exercise 4: layer norm. The one that everybody fears.

    c = x - mean(x)                   centred
    s = 1 / sqrt(mean(c^2) + EPS)     one over the standard deviation (EPS: never divide by 0)
    out = c * s                       a row with mean 0 and variance 1

Each row is normalised alone. A row has n entries, which lie along the last axis, and the mean is
over this axis. Write the rule of x.

Hint: go back step by step, as backward does.

1. From `out` to c: c is used twice, in c * s and inside s. Add the two slopes. The slope of the
   loss by s is the sum of g * c over the row. The slope of s by c_i is -s^3 * c_i / n. Then
   simplify: write a mean in place of a sum divided by n, and `out` in place of c * s.
2. From c to x: c is x minus its mean. The rule of this op looks the same: the slope by x is the
   slope by c minus its mean. (Why? If x_i grows by d, then c_i grows by d, and all entries of the
   row fall by d / n.)

`mean` below is over the last axis, and keeps it, so that a mean fits beside x.

    python -m minigrad.check examples/exercises/04_layer_norm.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.registry import op

EPS = 1e-5


def mean(x):
    return np.mean(x, axis=-1, keepdims=True)


def rule(g, out, x):
    c = x - mean(x)
    s = 1 / np.sqrt(mean(c * c) + EPS)
    return ...


@op(x=rule)
def my_layer_norm(x):
    c = x - mean(x)
    return c / np.sqrt(mean(c * c) + EPS)


# ---- What the grader tries. Leave it as it is.

samples = {
    "my_layer_norm": [
        case(my_layer_norm, (4,)),
        case(my_layer_norm, (2, 3)),
        case(my_layer_norm, (2, 2, 3)),
    ],
}

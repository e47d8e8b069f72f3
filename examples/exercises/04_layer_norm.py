"""Exercise 4: layer norm. The one that everybody fears.

    c = x - mean(x)                   centred
    s = 1 / sqrt(mean(c^2) + EPS)     one over the standard deviation (EPS: never divide by 0)
    out = c * s                       a row with mean 0 and variance 1

Each row is normalised alone. A row lies along the last axis, and the mean is over this axis. Write
the rule of x.

Hint: go back step by step, as backward does.

1. From `out` to c: c is used twice, in out = c * s and in s. Add both slopes. The slope of s by c_i
   is -s^3 * c_i / n, and the slope of the loss by s is the sum of g * c over the row. Write the
   result with `out` in place of c * s. It has one factor s, and one mean over the row.
2. From c to x: if x_i grows, then c_i grows, and the mean grows too. So c is x minus its mean, and
   the slope by x is the slope by c minus its mean.

Both means are over the last axis. `mean` below keeps this axis, so that a mean fits beside x.

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

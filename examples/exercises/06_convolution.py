"""Exercise 6: a convolution along one axis.

    out[b, t] = x[b, t] * w[0] + x[b, t + 1] * w[1] + ... + x[b, t + k - 1] * w[k - 1]

x (batch, length) holds signals, w (k,) is a small window of weights that slides along them. `out`
has the shape (batch, length - k + 1). Write both rules.

Hint: `out` is a sum of k products. Product i is w[i] times `part(x, i, k)`, the part of x that
begins at i. So both rules are the product rule, k times.

- By x: the slopes by the part that begins at i are g * w[i]. The parts overlap, so an entry of x is
  used up to k times, and its slopes are added. `padded(a, i, k)` has the shape of x: it is the
  array a at the place of this part, and 0 elsewhere. Python's `sum` adds arrays, too.
- By w: w[i] is used for every row and every t, so its slopes are added too: one number for each i.
  `np.stack(list)` makes an array of a list of numbers.

    python -m minigrad.check examples/exercises/06_convolution.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.registry import op


def part(x, i, k):
    """The part of each signal that w[i] is multiplied by: (batch, length - k + 1)."""
    return x[:, i : x.shape[1] - k + 1 + i]


def padded(a, i, k):
    """The transpose of `part`: a at the place of this part, zeros elsewhere: (batch, length)."""
    return np.pad(a, ((0, 0), (i, k - 1 - i)))


def rule_of_x(g, out, x, w):
    k = len(w)
    return ...


def rule_of_w(g, out, x, w):
    k = len(w)
    return ...


@op(x=rule_of_x, w=rule_of_w)
def my_convolution(x, w):
    k = len(w)
    return sum(w[i] * part(x, i, k) for i in range(k))


# ---- What the grader tries. Leave it as it is.

samples = {
    "my_convolution": [
        case(my_convolution, (1, 4), (1,)),
        case(my_convolution, (1, 4), (2,)),
        case(my_convolution, (2, 5), (3,)),
    ],
}

"""Exercise 8: alpha dropout, which keeps mean and variance.

    out = a * z + b        z is x where the mask is 1, and LOW where the mask is 0

Networks with the activation selu keep the mean 0 and the variance 1 from layer to layer. Dropout
with zeros would change the variance. Alpha dropout puts LOW, the lowest value of selu, in place of
dropped entries, and then moves and scales all entries (Klambauer et al. 2017). The mask is 0 with
probability p.

1. Write a and b, functions of p. If x has mean 0 and variance 1, `out` must have mean 0 and
   variance 1 too. The grader prints the mean and the variance of `out` if they are wrong.
2. Write the rule of x.

Hint: z is x with probability 1 - p, and LOW with probability p. Find the mean m of z. Then find the
mean of z^2 (the mean of x^2 is 1). The variance of z is v = mean of z^2 - m^2. So (z - m) / sqrt(v)
has mean 0 and variance 1. For which a and b is this a * z + b?

    python -m minigrad.check examples/exercises/08_alpha_dropout.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.registry import op

LOW = -1.7580993408473766


def scale_and_shift(p):
    a = ...
    b = ...
    return a, b


def rule(g, out, x, mask, p):
    a, b = scale_and_shift(p)
    return ...


@op(kind="random", mask=None, x=rule)  # None: no slope by the mask
def my_alpha_dropout(x, mask, p):
    a, b = scale_and_shift(p)
    return a * np.where(mask, x, LOW) + b


# ---- What the grader tries. Leave it as it is.


def fixed(x, p):
    return my_alpha_dropout(x, np.array([True, False, True]), p)


def of_mean_0_and_variance_1(x, p):
    ones = np.array([1.0, -1.0])  # mean 0, variance 1
    kept, dropped = (my_alpha_dropout(ones, np.full(2, keep), p) for keep in (True, False))
    mean = np.mean((1 - p) * kept + p * dropped)
    variance = np.mean((1 - p) * kept**2 + p * dropped**2) - mean**2
    if not np.allclose([mean, variance], [0, 1]):
        raise ValueError(f"out has mean {mean:.3f} and variance {variance:.3f}, not 0 and 1")
    return fixed(x, p)


RATES = 0.3, 0.8
samples = {
    "my_alpha_dropout": [
        *[case(of_mean_0_and_variance_1, (3,), p=p) for p in RATES],
        *[case(fixed, (2, 3), p=p) for p in RATES],
    ]
}

"""Exercise 7: dropout, its rule and its noise.

    out = x * mask / (1 - p)

Each entry of the mask is 0 with probability p, and 1 otherwise. So p is the probability that an
entry of x is dropped. The mask has the shape of x, and its entries are drawn independently.

1. Write the rule of x.
2. Write `draw` of the class Mask, the *law* of the noise. It returns a mask of the shape `shape`,
   drawn by the generator `rng`. You may ignore `dtype`. The lines below `draw` describe the law.

Hint: noise is a leaf of the graph (step 7 of examples/from_scratch). For the rule, the mask is an
array like any other. For `draw`: `rng.random(shape)` gives numbers, uniform between 0 and 1. With
which probability is such a number less than p?

    python -m minigrad.check examples/exercises/07_dropout.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.check.samples.dropout import Noisy
from minigrad.noise import Law, Noise
from minigrad.registry import op


@op(kind="random", mask=None, x=lambda g, out, x, mask, p: ...)  # None: no slope by the mask
def my_dropout(x, mask, p):
    return x * mask / (1 - p)


class Mask(Law):
    """1 with probability 1 - p, else 0."""

    def __init__(self, p):
        self.p = p

    def draw(self, rng, shape, dtype):
        return ...

    def cdf(self, x):  # the probability that an entry is at most x
        return np.where(x < 0, 0, np.where(x < 1, self.p, 1))

    def outcomes(self, order=None):  # the values, and their probabilities
        return np.array([0.0, 1.0]), np.array([self.p, 1 - self.p])


# ---- What the grader tries. Leave it as it is.


def my_mask(x, training):
    return my_dropout(x, Noise(Mask(0.3), x.shape, x.dtype), 0.3) if training else x


def with_mask(x):
    rng = np.random.default_rng(0)
    return my_dropout(x, Noise(Mask(0.3), x.shape, x.dtype, rng), 0.3)


samples = {"my_dropout": [case(with_mask, (3, 4))]}
noisy = {"my_mask": [Noisy("p=0.3", my_mask, variance=lambda x: 0.3 / 0.7 * x * x)]}

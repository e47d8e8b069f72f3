"""Stochastic ops: deterministic ops with one more input, the noise they drew.

The noise is a leaf of its own, a stochastic node in the sense of Schulman et al. 2015 (arXiv:1506.05254), so it can
be looked at, held fixed for a gradient check, drawn again, or enumerated. No gradient flows to it.
"""

import math

import numpy as np

from ..engine import op

BLOCK = 2**17  # entries drawn at a time: their bits stay in the cache

# A distribution draws arrays of independent entries, knows their mean and variance, and lists its outcomes: the values an
# entry can take, with their probabilities.


def _bytes(rng, count):
    """Random bytes, faster than rng.bytes."""
    return rng.integers(0, 1 << 64, -(-count // 8), np.uint64).view(np.uint8)[:count]


def _successes(rng, p, count):
    """Where `count` trials of a small probability p succeed: the gaps between successes are geometric."""
    found = [np.array([-1])]
    while p and found[-1][-1] < count:
        gaps = np.minimum(
            rng.geometric(p, int(1.1 * p * count) + 16), count + 1
        )  # no sum overflows
        found.append(found[-1][-1] + np.cumsum(gaps))
    places = np.concatenate(found)
    return places[1 : np.searchsorted(places, count)]


class Bernoulli:
    """True with probability `keep`: exact to double precision, however few random bits an entry takes."""

    def __init__(self, keep):
        self.keep = self.mean = keep
        self.variance = keep * (1 - keep)

    def __repr__(self):
        return f"Bernoulli(keep={self.keep:g})"

    def draw(self, rng, shape, dtype):
        """Compares 8 random bits an entry with `keep`; a few entries drawn anew make up for what 8 bits cannot say. For 1/2 a bit will do."""
        size = math.prod(shape)
        if self.keep == 0.5:
            return np.unpackbits(_bytes(rng, -(-size // 8)), count=size).view(bool).reshape(shape)
        whole, rest = divmod(self.keep * 256, 1)
        up, down = (
            rest / (256 - whole) if rest else 0.0,
            (1 - rest) / (whole + 1),
        )  # from whole/256 up, or from (whole+1)/256 down
        drawn, bound = np.empty(size, bool), int(whole) + (up > down)
        for start in range(0, size, BLOCK):
            part = drawn[start : start + BLOCK]
            np.less(
                _bytes(rng, part.size), bound, out=part
            )  # bits are compared faster with an int than with a float
        drawn[_successes(rng, min(up, down), size)] = up <= down
        return drawn.reshape(shape)

    def outcomes(self, order=None):
        possible = np.array([self.keep < 1, self.keep > 0])
        return np.array([False, True])[possible], np.array([1 - self.keep, self.keep])[possible]


class Normal:
    """Gaussian. Its outcomes are the `order` nodes of Gauss-Hermite quadrature: exact for polynomials of degree 2 order - 1."""

    def __init__(self, mean=0.0, std=1.0):
        self.mean, self.std, self.variance = mean, std, std**2

    def __repr__(self):
        return f"Normal(mean={self.mean:g}, std={self.std:g})"

    def draw(self, rng, shape, dtype):
        kind = dtype if dtype in (np.float32, np.float64) else np.float64
        return (self.mean + self.std * rng.standard_normal(shape, kind)).astype(dtype, copy=False)

    def outcomes(self, order=8):
        nodes, weights = np.polynomial.hermite_e.hermegauss(order)
        return self.mean + self.std * nodes, weights / weights.sum()


def _scale(p, scaling):
    return 1.0 if scaling == "classic" else 0.0 if p == 1 else 1 / (1 - p)


@op(x=lambda g, out, x, noise, p, scaling: dropout(g, noise, p, scaling), noise=None)
def dropout(x, noise, p, scaling="inverted"):
    """x where the noise kept it, else 0; scaled by 1/(1-p) if `scaling` is "inverted".

    Linear in x, so its own rule.
    """
    if (scale := _scale(p, scaling)) == 1:
        return x * noise
    kept = np.multiply(noise, scale, dtype=x.dtype if x.dtype.kind in "fc" else np.float64)
    return (
        np.multiply(x, kept, out=kept)
        if kept.shape == x.shape != () and kept.dtype == x.dtype
        else x * kept
    )

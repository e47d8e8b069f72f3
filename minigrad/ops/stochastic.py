"""Stochastic ops: deterministic ops with one more input, the noise they drew.

The noise is a leaf of its own, a stochastic node in the sense of Schulman et al. 2015 (arXiv:1506.05254), so it can
be looked at, held fixed for a gradient check, drawn again, or enumerated. No gradient flows to it.
"""

import math

import numpy as np

from ..engine import op


class Bernoulli:
    """True with probability `keep`, exact to double precision."""

    def __init__(self, keep):
        self.keep = keep

    def __repr__(self):
        return f"Bernoulli(keep={self.keep:g})"

    def draw(self, rng, shape, dtype):
        """Compares 16 random bits an entry with `keep`; the few that tie are decided by a full double each."""
        whole, rest = divmod(self.keep * 65536, 1)
        count = math.prod(shape)
        bits = rng.integers(0, 1 << 64, -(-count // 4), np.uint64).view(np.uint16)[:count]
        drawn = bits < whole
        if rest:
            ties = np.flatnonzero(bits == whole)
            drawn[ties] = rng.random(len(ties)) < rest
        return drawn.reshape(shape)


def _scale(p, scaling):
    return 1.0 if scaling == "classic" else 0.0 if p == 1 else 1 / (1 - p)


@op(x=lambda g, out, x, noise, p, scaling: dropout(g, noise, p, scaling), noise=None)
def dropout(x, noise, p, scaling="inverted"):
    """x where the noise kept it, else 0; scaled by 1/(1-p) if `scaling` is "inverted".

    Linear in x, so its own rule.
    """
    out = x * noise
    if (scale := _scale(p, scaling)) != 1:
        out *= scale
    return out

"""Stochastic ops: deterministic ops with one more input, the noise they drew.

The noise is a leaf of its own, a stochastic node in the sense of Schulman et al. 2015 (arXiv:1506.05254), so it can
be looked at, held fixed for a gradient check, drawn again, or enumerated. No gradient flows to it.
"""

import numpy as np

from ..registry import op


def _scale(p, scaling):
    return 1.0 if scaling == "classic" else 0.0 if p == 1 else 1 / (1 - p)


@op(kind="random", x=lambda g, out, x, noise, p, scaling: dropout(g, noise, p, scaling), noise=None)
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

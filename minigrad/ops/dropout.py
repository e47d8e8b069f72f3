"""Dropout: a deterministic op with one more input, the noise that was drawn.

The noise is a leaf of the graph, a stochastic node (Schulman et al. 2015, arXiv:1506.05254). So you
can read it, hold it fixed for a gradient check, draw it again, or enumerate it. No gradient flows
to it. All other noise enters ordinary ops: x * noise, x + noise, np.where.
"""

import numpy as np

from ..registry import op


@op(kind="random", x=lambda g, out, x, noise, p, scaling: dropout(g, noise, p, scaling), noise=None)
def dropout(x, noise, p, scaling="inverted"):
    """x * noise / (1 - p) if `scaling` is "inverted", x * noise if it is "classic".

    `noise` is 1 or True where x is kept, else 0 or False, and broadcasts to the shape of x. The op
    is linear in x, so its rule is the op itself (Srivastava et al. 2014, JMLR 15).
    """
    scale = _scale(p, scaling)
    if scale == 1:
        return x * noise
    noise = np.asarray(noise) if isinstance(noise, (int, float)) else noise
    factor = noise.astype(x.dtype if x.dtype.kind in "fc" else np.float64)
    factor *= scale  # a cast first: a product of bools and floats casts in small, slow pieces
    reusable = factor.shape == x.shape != () and factor.dtype == x.dtype
    return np.multiply(x, factor, out=factor if reusable else None)


def _scale(p, scaling):
    return 1.0 if scaling == "classic" else 0.0 if p == 1 else 1 / (1 - p)

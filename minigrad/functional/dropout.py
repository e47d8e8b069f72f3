"""The dropout family. Noise is a leaf of the graph, and ordinary ops use it.

For noise with another law write a function of `x * Noise(law, x.shape, x.dtype)`: see noise.py.
`dropout` explains the arguments of all functions of this file.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .. import ops
from ..array import as_array, data_of, known
from ..engine import Tensor
from ..modes import reads
from ..noise import Bernoulli, Noise, Normal, sampling_mode
from ..registry import composition
from ..types import Axis, Operand, Rng
from .checks import check_axes, check_fits, checked
from .windows import LAYOUTS, for_1d_and_2d

__all__ = ["dropout", "dropout1d", "dropout2d", "drop_path", "drop_connect"]
__all__ += ["alpha_dropout", "gaussian_dropout", "gaussian_noise"]


@composition(is_one_op=True)
def dropout(
    x: Operand,
    p: float,
    training: bool,
    rng: Rng = None,
    scaling="inverted",
    share: Axis = (),
    mask=None,
):
    """Sets each entry of x (any shape) to 0 with probability p (Srivastava et al. 2014, JMLR 15).

    share=1 of x (N, T, features) is the variational dropout of a recurrent net (Gal & Ghahramani
    2016, arXiv:1512.05287).

    p         the probability that an entry is dropped, a number in [0, 1]
    training  True: noise is drawn. False: evaluation, which draws noise only inside `sampling()`
    rng       a np.random.Generator, or the name of one of minigrad's streams, which `manual_seed`
              restarts. None: the stream is named after the module that runs
    scaling   "inverted": training divides the kept entries by 1 - p, and evaluation changes
              nothing. "classic": training keeps them as they are, and evaluation multiplies by
              1 - p
    share     one axis of x or several axes. All entries along them have the same mask
    mask      True or 1 where x is kept, False or 0 where it is dropped: an array that broadcasts to
              x, or a Noise leaf of an earlier call. None: a mask is drawn

    Raises ValueError for a number out of range, a mask with other values, and shapes or axes that
    do not fit x; TypeError for an argument of the wrong type.
    """
    return _dropped(x, p, training, rng, scaling, share, mask)


def _dropout(rank, x, p: float, training: bool, rng: Rng = None, scaling="inverted", mask=None):
    """Drops whole channels of x (Tompson et al. 2015, arXiv:1411.4280).

    x is (N, C, L) for dropout1d and (N, C, H, W) for dropout2d.

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    check_axes(x, LAYOUTS[rank])
    return _dropped(x, p, training, rng, scaling, range(2, 2 + rank), mask)


dropout1d, dropout2d = for_1d_and_2d(_dropout, kind="random")


@composition(kind="random")
def drop_path(x: Operand, p: float, training: bool, rng: Rng = None, scaling="inverted", mask=None):
    """Drops whole samples x[i] of x (N, ...).

    Stochastic depth is x + drop_path(branch(x), ...) (Huang et al. 2016, arXiv:1603.09382).

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    if np.ndim(x) == 0:
        raise ValueError("x must be (N, ...), one sample a row; got one number.")
    return _dropped(x, p, training, rng, scaling, range(1, np.ndim(x)), mask)


@composition(kind="random")
def drop_connect(weight: Operand, p: float, training, rng=None, scaling="inverted", mask=None):
    """Drops entries of a weight (any shape). Each call draws one mask, for the whole batch.

    Wan et al. 2013, ICML.

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    return _dropped(weight, p, training, rng, scaling, (), mask)


@composition(kind="random")
def alpha_dropout(x: Operand, p: float, training: bool, rng: Rng = None, mask=None):
    """Dropout for selu: if the entries of x (any shape) have mean 0 and variance 1, they keep both.

    a (m x + (1 - m) A) + b, where m is the mask, A = selu(-inf), a = ((1 - p) (1 + p A^2))^-1/2 and
    b = -a p A (Klambauer et al. 2017, arXiv:1706.02515). The mean over masks is a (1 - p) x, not x.

    For p, training, rng, mask and the errors see `dropout`.
    """
    if not _draws(training, p):
        return x
    low = -1.7580993408473766
    a = ((1 - p) * (1 + p * low**2)) ** -0.5 if p < 1 else 0.0
    return a * np.where(_mask(x, p, rng, mask), x, low) - a * p * low


@composition(kind="random")
def gaussian_dropout(x: Operand, p: float, training: bool, rng: Rng = None, noise=None):
    """x (any shape) times noise from N(1, p / (1 - p)), with p < 1.

    The noise of `dropout` has the same mean and variance. Srivastava et al. 2014, JMLR 15, section
    10.

    noise  an array that broadcasts to x, or a Noise leaf of an earlier call. None: it is drawn

    For p, training, rng and the errors see `dropout`.
    """
    if not _draws(training, p):
        return x
    if p == 1:
        raise ValueError("p must be below 1, where the variance p / (1 - p) is infinite.")
    return x * noise_for(x, Normal(1.0, math.sqrt(p / (1 - p))), rng, noise)


@composition(kind="random")
def gaussian_noise(x: Operand, std: float, training: bool, rng: Rng = None, noise=None):
    """x (any shape) plus noise from N(0, std^2). On inputs it acts as weight decay (Bishop 1995).

    std    the standard deviation of the noise, a number >= 0
    noise  an array that broadcasts to x, or a Noise leaf of an earlier call. None: it is drawn

    For training, rng and the errors see `dropout`.
    """
    if not _draws(training):
        return x
    return x + noise_for(x, Normal(0.0, std), rng, noise)


def _draws(training, p=0.0, scaling="inverted"):
    """Whether noise is drawn. Checks the settings, in evaluation too."""
    check_settings(p, scaling)
    return training or sampling_mode.get()


def check_settings(p=0.0, scaling="inverted", **others):
    """Raises ValueError for a wrong rate or scaling. Noise refuses other settings when it draws."""
    if not (isinstance(p, (float, int, np.number)) and 0 <= p <= 1):  # also refuses nan
        raise ValueError(f"p is the probability of DROPPING, in [0, 1]; got {p!r}.")
    if scaling not in ("inverted", "classic"):
        raise ValueError(f'scaling is "inverted" or "classic", not {scaling!r}.')


def _dropped(x, p, training, rng, scaling, share, mask):
    if not _draws(training, p, scaling):
        return np.multiply(x, 1 - p) if scaling == "classic" else x
    return ops.dropout.dropout(x, _mask(x, p, rng, mask, share), p, scaling)


@reads
def _mask(x, p, rng, mask, share=()):
    """The given mask of x, or a mask that is drawn, of size 1 along the axes `share`."""
    if mask is None:
        shape = np.shape(x)
        if share != ():
            shared = normalize_axis_tuple(share, len(shape), "share")
            shape = [1 if axis in shared else n for axis, n in enumerate(shape)]
        return Noise(Bernoulli(1 - p), shape, bool, rng, like=x)
    return _given(checked(mask, _check_mask), bool, x)


def _check_mask(values):
    values = np.asarray(values)
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise ValueError("a mask has 1 or True where x is kept and 0 or False where it is dropped.")


def noise_for(x, law, rng=None, noise=None):
    """The given noise, or new noise of this law in the shape of x."""
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    if noise is None:
        return Noise(law, x.shape, dtype, rng, like=x)
    return _given(noise, dtype, x)


def _given(noise, dtype, x):
    """The given noise in this dtype; a Noise leaf as it is. It must broadcast to x."""
    check_fits("noise", np.shape(known(data_of(noise))), x.shape)
    if not isinstance(noise, Tensor):
        return as_array(noise, dtype)
    return noise if noise.dtype == dtype or isinstance(noise, Noise) else noise.astype(dtype)

"""The dropout family. Noise is a leaf of the graph, and ordinary ops use it.

For noise with another law write a function of `x * Noise(law, x.shape, x.dtype)`: see noise.py.
The arguments of all functions of this file are explained at `dropout`. Each message names the
function.
"""

import math
from functools import partial

import numpy as np

from .. import ops
from ..array import as_array, data_of, is_foreign
from ..engine import Tensor
from ..noise import Bernoulli, Noise, Normal, sampling_mode
from ..registry import composition
from ..types import Operand, Rng
from .checks import check_axes, check_fits, checked

__all__ = ["dropout", "dropout1d", "dropout2d", "drop_path", "drop_connect"]
__all__ += ["alpha_dropout", "gaussian_dropout", "gaussian_noise"]


def dropout(x: Operand, p: float, training, rng=None, scaling="inverted", share=(), mask=None):
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
    return _dropped("dropout", x, p, training, rng, scaling, share, mask)


@composition(kind="random")
def dropout1d(x: Operand, p: float, training: bool, rng: Rng = None, scaling="inverted", mask=None):
    """Drops whole channels of x (N, C, L) (Tompson et al. 2015, arXiv:1411.4280).

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    check_axes(x, "(N, C, L)")
    return _dropped("dropout1d", x, p, training, rng, scaling, 2, mask)


@composition(kind="random")
def dropout2d(x: Operand, p: float, training: bool, rng: Rng = None, scaling="inverted", mask=None):
    """Drops whole channels of x (N, C, H, W) (Tompson et al. 2015, arXiv:1411.4280).

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    check_axes(x, "(N, C, H, W)")
    return _dropped("dropout2d", x, p, training, rng, scaling, (2, 3), mask)


@composition(kind="random")
def drop_path(x: Operand, p: float, training: bool, rng: Rng = None, scaling="inverted", mask=None):
    """Drops whole samples x[i] of x (N, ...).

    Stochastic depth is x + drop_path(branch(x), ...) (Huang et al. 2016, arXiv:1603.09382).

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    if np.ndim(x) == 0:
        raise ValueError("x must be (N, ...), one sample a row; got one number.")
    return _dropped("drop_path", x, p, training, rng, scaling, range(1, np.ndim(x)), mask)


@composition(kind="random")
def drop_connect(weight: Operand, p: float, training, rng=None, scaling="inverted", mask=None):
    """Drops entries of a weight (any shape). Each call draws one mask, for the whole batch.

    Wan et al. 2013, ICML.

    For p, training, rng, scaling, mask and the errors see `dropout`.
    """
    return _dropped("drop_connect", weight, p, training, rng, scaling, (), mask)


@composition(kind="random")
def alpha_dropout(x: Operand, p: float, training: bool, rng: Rng = None, mask=None):
    """Dropout for selu: if the entries of x (any shape) have mean 0 and variance 1, they keep both.

    a (m x + (1 - m) A) + b, where m is the mask, A = selu(-inf), a = ((1 - p) (1 + p A^2))^-1/2 and
    b = -a p A (Klambauer et al. 2017, arXiv:1706.02515). The mean over masks is a (1 - p) x, not x.

    For p, training, rng, mask and the errors see `dropout`.
    """
    if not _draws("alpha_dropout", training, p=p, rng=rng):
        return x
    low = -1.7580993408473766
    a = ((1 - p) * (1 + p * low**2)) ** -0.5 if p < 1 else 0.0
    return a * np.where(_mask("alpha_dropout", x, p, rng, (), mask), x, low) - a * p * low


@composition(kind="random")
def gaussian_dropout(x: Operand, p: float, training: bool, rng: Rng = None, noise=None):
    """x (any shape) times N(1, p / (1 - p)), which has the mean and variance of dropout, p < 1.

    Srivastava et al. 2014, JMLR 15, section 10.

    noise  an array that broadcasts to x, or a Noise leaf of an earlier call. None: it is drawn

    For p, training, rng and the errors see `dropout`.
    """
    if not _draws("gaussian_dropout", training, p=p, rng=rng):
        return x
    return x * _gaussian("gaussian_dropout", x, 1.0, math.sqrt(p / (1 - p)), rng, noise)


@composition(kind="random")
def gaussian_noise(x: Operand, std: float, training: bool, rng: Rng = None, noise=None):
    """x (any shape) plus N(0, std^2). On inputs it acts as weight decay (Bishop 1995).

    std    the standard deviation of the noise, a number >= 0
    noise  an array that broadcasts to x, or a Noise leaf of an earlier call. None: it is drawn

    For training, rng and the errors see `dropout`.
    """
    if not _draws("gaussian_noise", training, std=std, rng=rng):
        return x
    return x + _gaussian("gaussian_noise", x, 0.0, std, rng, noise)


def _draws(name, training, **settings):
    """Whether noise is drawn. Checks the settings, in evaluation too."""
    check_settings(name, **settings)
    return training or sampling_mode.get()


def check_settings(name, p=0.0, std=0.0, rng=None, scaling="inverted", share=()):
    """Raises ValueError or TypeError for settings that the function `name` cannot use."""
    for setting, value in ("p", p), ("std", std):
        single = isinstance(value, np.ndarray) and value.ndim == 0
        if not isinstance(value, (float, int, np.number)) and not single:
            raise TypeError(f"{name}: {setting} is a number, not {value!r}.")
    if not 0 <= p <= 1:  # also refuses nan
        hint = f" Did you mean {p / 100:g}?" if 1 < p <= 100 else ""
        raise ValueError(f"{name}: p is the probability of DROPPING, in [0, 1]; got {p}.{hint}")
    if p == 1 and name == "gaussian_dropout":
        limit = "where the variance p/(1-p) of the noise is infinite"
        raise ValueError(f"gaussian_dropout: p must be below 1, {limit}.")
    if not 0 <= std < math.inf:
        needed = "the standard deviation of the noise, a number >= 0"
        raise ValueError(f"{name}: std is {needed}; got {std}.")
    if scaling not in ("inverted", "classic"):
        raise ValueError(f'{name}: scaling is "inverted" or "classic", not {scaling!r}.')
    if rng is not None and not isinstance(rng, (np.random.Generator, str)):
        needed = "a np.random.Generator, such as np.random.default_rng(0), or the name of a stream"
        raise TypeError(f"{name}: rng must be {needed}, not {type(rng).__name__}.")
    if not all(isinstance(axis, int) for axis in _axes(share)):
        raise TypeError(f"{name}: share is an axis or a tuple of axes, not {share!r}.")


def _axes(share):
    return tuple(share) if isinstance(share, (tuple, list, range)) else (share,)


def _dropped(name, x, p, training, rng, scaling, share, mask):
    if not _draws(name, training, p=p, rng=rng, scaling=scaling, share=share):
        return np.multiply(x, 1 - p) if scaling == "classic" else x
    return ops.dropout.dropout(x, _mask(name, x, p, rng, share, mask), p, scaling)


def _mask(name, x, p, rng, share, mask):
    """The given mask of x, or a mask that is drawn, of size 1 along the axes `share`."""
    shape = np.shape(x)
    if mask is None:
        shared = _axes(share)
        for axis in shared:
            if not -len(shape) <= axis < len(shape):
                place = f"to share along in x of shape {shape}"
                raise ValueError(f"{name}: there is no axis {axis} {place}.")
        if shared:
            shared = [axis % len(shape) for axis in shared]
            shape = tuple(1 if axis in shared else n for axis, n in enumerate(shape))
        return Noise(Bernoulli(1 - p), shape, bool, rng, like=x)
    if is_foreign(data_of(mask)):
        mask = checked(mask, partial(_check_mask, name))
    else:
        _check_mask(name, np.asarray(data_of(mask)))
    return _given(name, "mask", mask, bool, shape)


def _check_mask(name, values):
    others = [] if values.dtype == bool else values[~np.isin(values, (0, 1))]
    if len(others):
        needed = "1 or True where x is kept and 0 or False where it is dropped"
        raise ValueError(f"{name}: a mask has {needed}; got {others[0]}.")


def _gaussian(name, x, mean, std, rng, noise):
    """The given noise, or Gaussian noise of the shape of x that is drawn."""
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    if noise is None:
        return Noise(Normal(mean, std), x.shape, dtype, rng, like=x)
    return _given(name, "noise", noise, dtype, x.shape)


def _given(name, what, noise, dtype, shape):
    """A Noise leaf as it is, a Tensor or an array in this dtype."""
    check_fits(name, f"a {what}", np.shape(noise), "x", shape)
    if not isinstance(noise, Tensor):
        return as_array(noise, dtype)
    return noise if noise.dtype == dtype or isinstance(noise, Noise) else noise.astype(dtype)

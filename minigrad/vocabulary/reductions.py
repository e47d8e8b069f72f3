"""Weighted and running sums and means, quantiles, differences, and sorting.

Gradients of sorted entries and of quantiles go to the entries that were picked; for equal entries,
to the one that the sort puts there, as in PyTorch. Functions whose names begin with "nan" leave out
the entries that are nan. A standard deviation of 0 has the gradient 0.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..array import data_of, implements, numpy_functions
from ..functional.arrays import _along, _flat
from ..functional.checks import check_shapes, require_whole
from ..ops.elementwise import floats
from ..ops.indexing import plain
from ..registry import on_data, op
from .calls import accumulate


@implements(np.average)
def average(x, axis=None, weights=None, *, keepdims=False):
    """The weighted mean along `axis`. `weights` has the shape of x, or is a vector along `axis`.

    Raises ValueError if the shapes differ.
    """
    x = floats(x, np.float64)
    weights = np.ones_like(data_of(x)) if weights is None else weights
    if axis is not None and np.ndim(weights) == 1 < x.ndim:
        weights = np.broadcast_to(weights, np.moveaxis(x, axis, -1).shape)
        weights = np.moveaxis(weights, -1, axis)
    check_shapes(x.shape, weights=weights)
    settings = {"axis": axis, "keepdims": keepdims}
    return np.sum(x * weights, **settings) / np.sum(weights, **settings)


@implements(np.cov)
def cov(m, y=None, rowvar=True, bias=False, ddof=None):
    """The covariances of the rows of m, and of y; of the columns with rowvar=False.

    The divisor is n - ddof, by default n - 1, with `bias` n.
    """
    given = [a if rowvar else np.transpose(a) for a in (m, y) if a is not None]
    x = np.concatenate([np.atleast_2d(a) for a in given]).astype(np.float64)
    lost = (0 if bias else 1) if ddof is None else ddof
    centred = x - np.mean(x, axis=1, keepdims=True)
    return np.squeeze(np.einsum("ij,kj->ik", centred, centred) / max(0, x.shape[1] - lost))


@implements(np.corrcoef)
def corrcoef(x, y=None, rowvar=True):
    """The correlations of the rows of x, and of y: covariances over standard deviations."""
    c = np.atleast_2d(np.cov(x, y, rowvar))
    deviations = np.sqrt(np.diagonal(c))
    return np.squeeze(np.clip(c / np.outer(deviations, deviations), -1, 1))


# ------------------------------------------------------------------------------------ without nan


def _filled(function, fill):
    """`function` of x with `fill` for nan. Whole numbers are never nan."""

    def filled(x, *settings, **named):
        x = np.where(np.isnan(x), fill, x) if x.dtype.kind == "f" else x
        return function(x, *settings, **named)

    return filled


def _extreme(function, fill):
    """`function` of the entries that are not nan; nan if there are none."""

    def extreme(x, axis=None, **kept):
        out = _filled(function, fill)(x, axis, **kept)
        is_missing = np.all(np.isnan(x), axis, **kept)
        return np.where(is_missing, np.nan, out) if x.dtype.kind == "f" else out

    return extreme


def _counts(x, axis, keepdims):
    """How many entries are not nan."""
    return np.sum((~np.isnan(x)).astype(x.dtype), axis=axis, keepdims=keepdims)


def nanmean(x, axis=None, keepdims=False):
    """The mean of the entries that are not nan."""
    x = floats(x, np.float64)
    return np.nansum(x, axis=axis, keepdims=keepdims) / _counts(x, axis, keepdims)


def nanvar(x, axis=None, ddof=0, keepdims=False):
    """The variance of the entries that are not nan."""
    x = floats(x, np.float64)
    deviations = np.where(np.isnan(x), 0, x - nanmean(x, axis, True))
    total = np.sum(np.square(deviations), axis=axis, keepdims=keepdims)
    degrees = _counts(x, axis, keepdims) - ddof
    return total / np.where(degrees > 0, degrees, np.nan)


def nanstd(x, axis=None, ddof=0, keepdims=False):
    """The standard deviation of the entries that are not nan."""
    variance = nanvar(x, axis, ddof, keepdims)
    return np.where(variance == 0, 0, np.sqrt(np.where(variance == 0, 1, variance)))


numpy_functions |= {
    np.cumprod: lambda x, axis=None: accumulate(np.multiply, *_flat(x, axis)),
    np.count_nonzero: lambda x, axis=None, **kept: np.sum(np.not_equal(x, 0), axis, **kept),
    np.ptp: lambda x, axis=None, **kept: np.max(x, axis, **kept) - np.min(x, axis, **kept),
    np.nansum: _filled(np.sum, 0),
    np.nanprod: _filled(np.prod, 1),
    np.nancumsum: _filled(np.cumsum, 0),
    np.nancumprod: _filled(np.cumprod, 1),
    np.nanmax: _extreme(np.max, -np.inf),
    np.nanmin: _extreme(np.min, np.inf),
    np.nanargmax: _filled(np.argmax, -np.inf),
    np.nanargmin: _filled(np.argmin, np.inf),
    np.nanmean: nanmean,
    np.nanvar: nanvar,
    np.nanstd: nanstd,
}

# ------------------------------------------------------------------------------ order and quantiles


@op(positions=None)
def places(positions, shape, axis):
    """The flat indices, in an array of `shape`, of the entries at `positions` along `axis`."""
    return np.take_along_axis(np.arange(math.prod(shape)).reshape(shape), positions, axis)


def picked(x, positions, axis):
    """The entries of x at `positions` along `axis`. The graph records the positions too."""
    return np.ravel(x)[places(positions, x.shape, axis)]


@implements(np.sort)
def sort(x, axis=-1, kind=None):
    """x with its entries in rising order along `axis`; without an axis, x flattened."""
    x, axis = _flat(x, axis)
    return picked(x, np.argsort(x, axis=axis, kind=kind), normalize_axis_index(axis, x.ndim))


@op(numpy=np.argpartition, x=None)
def argpartition(x, kth, axis=-1):
    """Positions that put the entry of rank `kth` in its place, smaller ones before it."""
    return np.argpartition(x, kth, axis)


@implements(np.partition)
def partition(x, kth, axis=-1):
    """x with the entry of rank `kth` along `axis` in its place, smaller ones before it."""
    x, axis = _flat(x, axis)
    return picked(x, np.argpartition(x, kth, axis), axis)


@op(numpy=np.searchsorted, x=None, v=None)
def searchsorted(x, v, side="left", sorter=None):
    """Where v would be inserted into a sorted x, so that x stays sorted."""
    return np.asarray(np.searchsorted(x, v, side, sorter))


@implements(np.quantile)
def quantile(x, q, axis=None, *, method="linear", keepdims=False):
    """The quantiles of x along `axis`, at shares q from 0 to 1: (*q.shape, *rest of x.shape).

    `method` is any of NumPy's: each takes a mean of two neighbours among the sorted entries. A
    quantile of entries with nan is nan. Raises ValueError for q out of range and for no entries.
    """
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    n = math.prod(x.shape[a] for a in axes)
    if not n:
        raise ValueError(f"quantile of {x.shape}: there are no entries.")
    x = np.moveaxis(floats(x, np.float64), axes, range(len(axes)))
    rest = x.shape[len(axes) :]
    rows = np.sort(np.reshape(x, (n, *rest)), axis=0)
    places = np.asarray(np.quantile(np.arange(n), plain("the shares q", q), method=method))
    below, above = (rows[f(places).astype(int)] for f in (np.floor, np.ceil))
    share = np.mod(places, 1).astype(x.dtype if places.ndim == 0 else float)
    gap = np.where(np.isinf(below) & (above != -below), 0, above - below)  # no inf - inf
    out = below + gap * np.reshape(share, places.shape + (1,) * len(rest))
    out = np.where(np.any(np.isnan(rows), axis=0), np.nan, out)
    return np.expand_dims(out, [places.ndim + a for a in axes]) if keepdims else out


numpy_functions |= {
    np.percentile: lambda x, q, *settings, **named: np.quantile(
        x, np.asarray(plain("the shares q", q)) / 100, *settings, **named
    ),
    np.median: lambda x, axis=None, keepdims=False: np.quantile(x, 0.5, axis, keepdims=keepdims),
}

# ------------------------------------------------------------------------ differences and integrals


@implements(np.diff)
def diff(x, n=1, axis=-1, prepend=None, append=None):
    """The n-th differences along `axis`, of x with `prepend` before it and `append` after it.

    Raises ValueError unless n is a whole number >= 0.
    """
    require_whole("n", n, 0)
    if n == 0:
        return x
    if prepend is not None or append is not None:
        axis = normalize_axis_index(axis, x.ndim)
        one = *x.shape[:axis], 1, *x.shape[axis + 1 :]
        parts = [a for a in (prepend, x, append) if a is not None]
        x = np.concatenate([a if np.ndim(a) else np.broadcast_to(a, one) for a in parts], axis)
    for _ in range(n):
        after, before = _along(x, axis, slice(1, None), slice(None, -1))
        x = after - before
    return x


@implements(np.trapezoid)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integral of y along `axis` by the trapezoidal rule, with samples at x or `dx` apart."""
    y = np.moveaxis(y, axis, -1)
    if x is not None:
        dx = np.diff(x if np.ndim(x) == 1 else np.moveaxis(x, axis, -1))
    return np.sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


@implements(np.gradient)
def gradient(f, *varargs, axis=None):
    """The derivative of samples along each axis: central differences, at the ends one-sided ones.

    varargs  the spacing: one number, or a number for each axis
    axis     an axis or several; by default all: then the result is a tuple

    Raises ValueError for another number of spacings and for an axis of one entry.
    """
    f = floats(f, np.float64)
    axes = normalize_axis_tuple(range(f.ndim) if axis is None else axis, f.ndim)
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or [1.0] * len(axes)
    if len(spacings) != len(axes) or any(map(np.ndim, spacings)):
        raise ValueError("gradient: one spacing for all axes or one for each, all of them numbers.")
    found = [_gradient(f, axis, float(spacing)) for axis, spacing in zip(axes, spacings)]
    return found[0] if len(found) == 1 else tuple(found)


def _gradient(f, axis, spacing):
    """The derivative along an axis: slopes between neighbours at the ends, central ones between."""
    if f.shape[axis] < 2:
        raise ValueError(f"gradient of {f.shape}: axis {axis} needs two entries.")
    f = np.moveaxis(f, axis, -1)
    slopes, central = np.diff(f) / spacing, (f[..., 2:] - f[..., :-2]) / (2 * spacing)
    slopes = np.concatenate([slopes[..., :1], central, slopes[..., -1:]], axis=-1)
    return np.moveaxis(slopes, -1, axis)


numpy_functions[np.flatnonzero] = lambda x: np.nonzero(np.ravel(x))[0]
on_data(np.array_equiv)

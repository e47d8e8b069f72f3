"""Sums and means of other kinds, running ones, quantiles, differences, and sorting.

Gradients of sorted entries and of quantiles go to the entries that were picked; of equal entries,
to the one that the sort puts there, as in PyTorch. Functions whose names begin with "nan" leave out
the entries that are nan. Where a deviation is 0, so is its gradient.
"""

import numpy as np

from ..array import data_of, implements, numpy_functions
from ..functional.arrays import _along, _axis, _flat
from ..registry import on_data, op
from .calls import accumulate, wider


def merged(x, axis):
    """x with the axes `axis`, an int, a tuple, or None for all, merged into one last axis."""
    if axis is None:
        return np.ravel(x)
    axes = [_axis("quantile", x, a) for a in np.atleast_1d(axis).tolist()]
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    return np.reshape(last, (*last.shape[: x.ndim - len(axes)], -1))


def root(x):
    """sqrt(x), with the derivative 0 where x is 0."""
    return np.where(x == 0, 0, np.sqrt(np.where(x == 0, 1, x)))


# ------------------------------------------------------------------------------------ running ones


@implements(np.cumprod)
def cumprod(x, axis=None):
    """The products of the first 1, 2, ... entries along `axis`; without an axis, of x flattened."""
    return accumulate(np.multiply, *_flat(x, axis))


def _cumulative(function, start):
    def cumulative(x, /, *, axis=None, include_initial=False):
        """The running sum or product; with include_initial, it begins with 0 or 1."""
        if axis is None and x.ndim > 1:
            raise ValueError(f"cumulative sums and products of {x.shape} need an axis.")
        axis = _axis("cumulative", x, axis or 0)
        widths = [(int(include_initial and i == axis), 0) for i in range(x.ndim)]
        return np.pad(function(x, axis), widths, constant_values=start)

    return cumulative


implements(np.cumulative_sum)(_cumulative(np.cumsum, 0))
implements(np.cumulative_prod)(_cumulative(np.cumprod, 1))

# -------------------------------------------------------------------------------- means and moments


@implements(np.average)
def average(x, axis=None, weights=None, returned=False, *, keepdims=False):
    """The weighted mean along `axis`. `weights` has the shape of x, or its size along one axis.

    With `returned`, the tuple (mean, sum of the weights). Raises ValueError if the shapes differ.
    """
    if weights is None:
        weights = np.ones_like(data_of(x))
    elif np.shape(weights) != x.shape:
        if axis is None or np.shape(weights) != (x.shape[_axis("average", x, axis)],):
            raise ValueError(f"average of {x.shape}: weights {np.shape(weights)} do not fit.")
        shape = [n if i == axis % x.ndim else 1 for i, n in enumerate(x.shape)]
        weights = np.broadcast_to(np.reshape(weights, shape), x.shape)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    mean = np.sum(x * weights, axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


@implements(np.ptp)
def ptp(x, axis=None, keepdims=False):
    """The largest entry minus the smallest one."""
    return np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)


@implements(np.cov)
def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None):
    """The covariances of the rows of m, and of y; of the columns with rowvar=False.

    The divisor is n - ddof, by default n - 1, with `bias` n. fweights and aweights weigh the
    observations: how often each was made, how important it is.
    """
    rows = [_as_rows(a, rowvar) for a in (m, y) if a is not None]
    x = np.concatenate(rows, axis=0)
    times = np.ones(x.shape[1]) if fweights is None else np.asarray(data_of(fweights))
    weights = times if aweights is None else times * np.asarray(data_of(aweights))
    ddof = (0 if bias else 1) if ddof is None else ddof
    total = np.sum(weights)
    lost = ddof if aweights is None else ddof * np.sum(weights * data_of(aweights)) / total
    weights = weights.astype(x.dtype)
    centred = x - np.average(x, axis=1, weights=weights, keepdims=True)
    return np.squeeze((centred * weights) @ centred.T / float(total - lost))


def _as_rows(x, rowvar):
    x = np.atleast_2d(x)
    return x if rowvar or len(x) == 1 else x.T


@implements(np.corrcoef)
def corrcoef(x, y=None, rowvar=True):
    """The correlations of the rows of x, and of y: covariances over standard deviations."""
    c = np.cov(x, y, rowvar)
    if c.ndim == 0:
        return c / c
    deviations = np.sqrt(np.diagonal(c))
    return np.clip(c / np.outer(deviations, deviations), -1, 1)


# ------------------------------------------------------------------------------------ without nan


def _filled(function, fill):
    """`function` of x with `fill` for nan."""
    return lambda x, *settings, **named: function(
        np.where(np.isnan(x), fill, x), *settings, **named
    )


def _extreme(function, fill):
    def extreme(x, axis=None, keepdims=False):
        """An extreme of the entries that are not nan; nan where all are."""
        out = _filled(function, fill)(x, axis=axis, keepdims=keepdims)
        return np.where(np.all(np.isnan(x), axis=axis, keepdims=keepdims), np.nan, out)

    return extreme


def _counted(x, axis):
    """How many entries along `axis` are not nan, with axes of size 1, in the dtype of x."""
    return np.sum(np.logical_not(np.isnan(x)).astype(x.dtype), axis=axis, keepdims=True)


def nanmean(x, axis=None, keepdims=False):
    """The mean of the entries that are not nan."""
    out = np.nansum(x, axis=axis, keepdims=True) / _counted(x, axis)
    return out if keepdims else np.squeeze(out, axis)


def nanvar(x, axis=None, ddof=0, keepdims=False):
    """The variance of the entries that are not nan."""
    squares = np.nansum(np.square(x - nanmean(x, axis, True)), axis=axis, keepdims=True)
    out = squares / (_counted(x, axis) - ddof)
    return out if keepdims else np.squeeze(out, axis)


def nanstd(x, axis=None, ddof=0, keepdims=False):
    """The standard deviation of the entries that are not nan."""
    return root(nanvar(x, axis, ddof, keepdims))


numpy_functions |= {
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


def picked(x, positions, axis):
    """The entries of x at `positions` along `axis`, positions that the graph shows."""
    rows, positions = np.moveaxis(x, axis, -1), np.moveaxis(positions, axis, -1)
    starts = np.arange(rows.size).reshape(rows.shape)[..., :1]
    return np.moveaxis(np.ravel(rows)[starts + positions], -1, axis)


@implements(np.sort)
def sort(x, axis=-1, kind=None):
    """x with its entries in rising order along `axis`; without an axis, x flattened."""
    x, axis = _flat(x, axis)
    return picked(x, np.argsort(x, axis=axis, kind=kind), _axis("sort", x, axis))


@op(numpy=np.argpartition, x=None)
def argpartition(x, kth, axis=-1):
    """The positions that put smaller entries before the kth one along `axis`, larger ones after."""
    return np.argpartition(x, kth, axis)


@implements(np.partition)
def partition(x, kth, axis=-1):
    """x with smaller entries before the kth one along `axis`, and larger ones after it."""
    x, axis = _flat(x, axis)
    return picked(x, np.argpartition(x, kth, axis=axis), _axis("partition", x, axis))


@op(numpy=np.searchsorted, x=None, v=None)
def searchsorted(x, v, side="left", sorter=None):
    """Where v would be inserted into a sorted x, so that x stays sorted."""
    return np.asarray(np.searchsorted(x, v, side, sorter))


@op(numpy=np.digitize, x=None, bins=None)
def digitize(x, bins, right=False):
    """The number of the bin of each entry: bins[i - 1] <= x < bins[i]."""
    return np.asarray(np.digitize(x, bins, right))


@implements(np.quantile)
def quantile(x, q, axis=None, *, method="linear", keepdims=False):
    """The quantiles of x along `axis`, at shares q from 0 to 1: (*q.shape, *rest of x.shape).

    `method` is any of NumPy's: each takes one or two neighbours of the sorted entries. A quantile
    of entries with nan is nan. Raises ValueError for q out of range and for no entries.
    """
    *rest, n = merged(x, axis).shape
    if not n:
        raise ValueError(f"quantile of {x.shape}: there are no entries.")
    places = np.asarray(np.quantile(np.arange(n), data_of(q), method=method))
    places = np.reshape(places, places.shape + (1,) * len(rest))
    return _between(x, axis, np.shape(q), places, keepdims, np.any)


@implements(np.percentile)
def percentile(x, q, axis=None, *, method="linear", keepdims=False):
    """As np.quantile, with q from 0 to 100."""
    return np.quantile(x, np.asarray(data_of(q)) / 100, axis, method=method, keepdims=keepdims)


@implements(np.median)
def median(x, axis=None, keepdims=False):
    """The middle of the sorted entries along `axis`, or the mean of the two in the middle."""
    return np.quantile(x, 0.5, axis, keepdims=keepdims)


@implements(np.nanquantile)
def nanquantile(x, q, axis=None, *, method="linear", keepdims=False):
    """The quantiles of the entries that are not nan. `method` must be "linear"."""
    if method != "linear":
        raise ValueError(f'nanquantile: method is "linear", not {method!r}.')
    known = np.logical_not(np.isnan(merged(x, axis)))
    last = np.maximum(np.sum(known.astype(np.float64), axis=-1) - 1, 0)
    places = np.reshape(data_of(q), np.shape(q) + (1,) * last.ndim) * last
    return _between(x, axis, np.shape(q), places, keepdims, np.all)


@implements(np.nanpercentile)
def nanpercentile(x, q, axis=None, *, method="linear", keepdims=False):
    """As np.nanquantile, with q from 0 to 100."""
    return np.nanquantile(x, np.asarray(data_of(q)) / 100, axis, method=method, keepdims=keepdims)


@implements(np.nanmedian)
def nanmedian(x, axis=None, keepdims=False):
    """The median of the entries that are not nan."""
    return np.nanquantile(x, 0.5, axis, keepdims=keepdims)


def _between(x, axis, shape_of_q, places, keepdims, is_nan):
    """The sorted entries at fractional places, (*shape_of_q, *rest of x.shape) or broadcast to it.

    Between two entries it is linear. `is_nan`: np.any or np.all, of the entries that are nan.
    """
    rows = np.sort(merged(x, axis), axis=-1)
    kept = rows.shape[:-1]
    if keepdims:
        axes = range(x.ndim) if axis is None else [a % x.ndim for a in np.atleast_1d(axis)]
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    places = np.reshape(places, (-1, *places.shape[len(shape_of_q) :]))
    places = np.moveaxis(places, 0, -1)
    low = np.floor(places)
    before, after = (picked(rows, at.astype(np.int64), -1) for at in (low, np.ceil(places)))
    out = before + (after - before) * (places - low).astype(x.dtype)
    out = np.where(is_nan(np.isnan(rows), axis=-1, keepdims=True), np.nan, out)
    return np.reshape(np.moveaxis(out, -1, 0), (*shape_of_q, *kept))


# ------------------------------------------------------------------------- differences and integrals


@wider(np.diff)
def diff(x, n=1, axis=-1, prepend=None, append=None):
    """The n-th differences along `axis`, of x with `prepend` before it and `append` after it."""
    axis = _axis("diff", x, axis)
    ends = [n if i != axis else 1 for i, n in enumerate(x.shape)]
    parts = [
        np.broadcast_to(a, ends) if np.ndim(a) == 0 else a for a in (prepend, append) if a is not None
    ]
    first = [] if prepend is None else parts[:1]
    return np.diff(np.concatenate([*first, x, *parts[len(first) :]], axis), n, axis)


@implements(np.trapezoid)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integral of y along `axis` by the trapezoidal rule, with samples at x or `dx` apart."""
    if x is not None:
        dx = np.diff(x, axis=axis if np.ndim(x) > 1 else -1)
        if np.ndim(x) == 1:
            dx = np.reshape(dx, [-1 if i == axis % y.ndim else 1 for i in range(y.ndim)])
    after, before = _along("trapezoid", y, axis, slice(1, None), slice(None, -1))
    return np.sum(dx * (after + before) / 2, axis=axis)


@implements(np.gradient)
def gradient(f, *varargs, axis=None, edge_order=1):
    """The derivative of samples along each axis: central differences, at the ends one-sided ones.

    varargs     the spacing: one number, or for each axis a number or the coordinates
    axis        an axis or several; by default all: then the result is a tuple
    edge_order  1 or 2, the order of accuracy at the ends

    Raises ValueError for another number of spacings and for an axis of too few entries.
    """
    axes = range(f.ndim) if axis is None else np.atleast_1d(axis).tolist()
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or [1.0] * len(axes)
    if len(spacings) != len(axes) or edge_order not in (1, 2):
        raise ValueError("gradient: one spacing for all axes or one for each; edge_order 1 or 2.")
    found = [_gradient(np.moveaxis(f, a, -1), h, edge_order) for a, h in zip(axes, spacings)]
    found = [np.moveaxis(d, -1, a) for a, d in zip(axes, found)]
    return found[0] if len(found) == 1 else tuple(found)


def _gradient(f, spacing, edge_order):
    """The derivative along the last axis. A slope between neighbours counts more if it is nearer."""
    if f.shape[-1] <= edge_order:
        raise ValueError(f"gradient: edge_order={edge_order} needs more than {f.shape[-1]} entries.")
    h = np.diff(data_of(spacing)) if np.ndim(spacing) else np.full(f.shape[-1] - 1, spacing)
    h = h.astype(f.dtype)
    slopes = np.diff(f) / h
    before, after = slopes[..., :-1], slopes[..., 1:]
    inner = (before * h[1:] + after * h[:-1]) / (h[:-1] + h[1:])
    first, last = slopes[..., :1], slopes[..., -1:]
    if edge_order == 2:
        first = first - (slopes[..., 1:2] - first) * h[0] / (h[0] + h[1])
        last = last + (last - slopes[..., -2:-1]) * h[-1] / (h[-1] + h[-2])
    return np.concatenate([first, inner, last], axis=-1)


on_data(np.flatnonzero, np.argwhere, np.array_equiv)


@wider(np.where)
def where(condition):
    """The positions where the condition holds, as np.nonzero gives them."""
    return np.nonzero(condition)

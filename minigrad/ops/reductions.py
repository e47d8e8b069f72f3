"""Reductions over axes: `axis` is an int, negative from the end, a tuple, or None for all."""

import math

import numpy as np

from ..registry import op
from .elementwise import floats


def restored(g, x, axis, keepdims):
    """`g` with the reduced axes back, as size 1, so that it broadcasts against `x`."""
    return g if keepdims or axis is None or x.ndim == 0 else np.expand_dims(g, axis)


def count(x, axis):
    """How many entries go into each result."""
    return math.prod(
        x.shape if axis is None or x.ndim == 0 else (x.shape[a] for a in np.atleast_1d(axis))
    )


@op(
    numpy=np.sum,
    x=lambda g, out, x, axis, keepdims: np.broadcast_to(restored(g, x, axis, keepdims), x.shape),
)
def sum(x, axis=None, keepdims=False):
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


@op(
    numpy=np.mean,
    x=lambda g, out, x, axis, keepdims: np.broadcast_to(
        restored(g / count(x, axis), x, axis, keepdims), x.shape
    ),
)
def mean(x, axis=None, keepdims=False):
    half = x.dtype == np.float16  # whose sums overflow
    out = np.add.reduce(x, axis=axis, keepdims=keepdims, dtype=np.float32 if half else None)
    if out.size and not count(x, axis):
        raise ValueError("the mean of no entries is undefined")
    return (out / count(x, axis)).astype(np.float16) if half else out / count(x, axis)


def _shared_by_ties(g, out, x, axis, keepdims):
    chosen = (x == restored(out, x, axis, keepdims)).astype(x.dtype)
    return chosen * (restored(g, x, axis, keepdims) / np.sum(chosen, axis=axis, keepdims=True))


@op(numpy=np.max, x=_shared_by_ties)
def max(x, axis=None, keepdims=False):
    """The largest entries; ties share the gradient equally."""
    return np.max(x, axis=axis, keepdims=keepdims)


@op(numpy=np.min, x=_shared_by_ties)
def min(x, axis=None, keepdims=False):
    """The smallest entries; ties share the gradient equally."""
    return np.min(x, axis=axis, keepdims=keepdims)


def centred(x, axis):
    return x - np.mean(x, axis=axis, keepdims=True)


def _degrees(x, axis, ddof):
    if count(x, axis) <= ddof:
        raise ValueError(f"{count(x, axis)} entries a result are too few for ddof={ddof}")
    return count(x, axis) - ddof


@op(
    numpy=np.var,
    x=lambda g, out, x, axis, ddof, keepdims: (
        restored(2 * g / _degrees(x, axis, ddof), x, axis, keepdims) * centred(x, axis)
    ),
)
def var(x, axis=None, ddof=0, keepdims=False):
    """The variance: squared deviations over n - ddof."""
    if x.dtype.kind == "c":  # where np.var is no analytic function
        out = np.mean(centred(x, axis) ** 2, axis=axis, keepdims=keepdims)
    else:
        out = np.var(x, axis=axis, ddof=0, keepdims=keepdims)
    return out * (count(x, axis) / _degrees(x, axis, ddof))


@op(
    numpy=np.std,
    x=lambda g, out, x, axis, ddof, keepdims: (
        restored(g / ((out + (out == 0)) * _degrees(x, axis, ddof)), x, axis, keepdims)
        * centred(x, axis)
    ),
)
def std(x, axis=None, ddof=0, keepdims=False):
    """The standard deviation; its gradient is 0 where it is 0."""
    return np.sqrt(var(x, axis, ddof, keepdims))


def _standardize_rule(g, out, x, axis, eps):
    along = g - g.mean(axis=axis, keepdims=True) - out * (g * out).mean(axis=axis, keepdims=True)
    return along / np.sqrt(x.var(axis=axis, keepdims=True) + eps)


@op(x=_standardize_rule)
def standardize(x, axis, eps):
    """(x - mean) / sqrt(variance + eps) over `axis`; the variance over n."""
    out = x - mean(x, axis, keepdims=True)
    out /= np.sqrt(
        mean(out * out, axis, keepdims=True) + eps
    )  # not var, which is no analytic function
    return out


def _product_of_others(x, axis):
    """For each entry the product of the others along `axis`, also where factors are 0."""
    axes = (
        tuple(range(x.ndim))
        if axis is None or not x.ndim
        else tuple(a % x.ndim for a in np.atleast_1d(axis))
    )
    last = tuple(range(x.ndim - len(axes), x.ndim))
    rows = np.moveaxis(x, axes, last)
    flat = np.reshape(rows, (*rows.shape[: x.ndim - len(axes)], -1))
    return np.moveaxis(np.reshape(_others(flat), rows.shape), last, axes)


def _others(rows):
    """By pairs: what the others of an entry give is its twin times what the other pairs give."""
    n = rows.shape[-1]
    if n == 1:
        return np.ones_like(rows)
    pairs = np.reshape(
        np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, n % 2)], constant_values=1),
        (*rows.shape[:-1], -1, 2),
    )
    others = np.expand_dims(_others(pairs[..., 0] * pairs[..., 1]), -1)
    return np.reshape(pairs[..., ::-1] * others, (*rows.shape[:-1], -1))[..., :n]


def _prod_rule(g, out, x, axis, keepdims):
    if np.all(x != 0):
        return restored(g * out, x, axis, keepdims) / x
    return restored(g, x, axis, keepdims) * _product_of_others(x, axis)


@op(numpy=np.prod, x=_prod_rule)
def prod(x, axis=None, keepdims=False):
    return np.prod(x, axis=axis, keepdims=keepdims)


def _top(x, axis):
    """The largest entries, kept finite so that no inf - inf arises."""
    limits = np.finfo(x.dtype)
    return np.minimum(
        np.maximum(np.maximum.reduce(x.real, axis=axis, keepdims=True), limits.min), limits.max
    )


@op(x=lambda g, out, x, axis, keepdims: restored(g, x, axis, keepdims) * softmax(x, axis))
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))), without overflow."""
    x = floats(x)
    top = _top(x, axis)
    with np.errstate(divide="ignore"):  # the log of no probability at all is -inf
        out = np.log(np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


@op(x=lambda g, out, x, axis: out * (g - (g * out).sum(axis=axis, keepdims=True)))
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`, without overflow: the gradient of logsumexp."""
    x = floats(x)
    e = np.exp(x - np.maximum.reduce(x.real, axis=axis, keepdims=True))
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


@op(x=lambda g, out, x, axis: g - np.exp(out) * g.sum(axis=axis, keepdims=True))
def log_softmax(x, axis=-1):
    """log(softmax(x)) along `axis`, without overflow."""
    x = floats(x)
    # A few classes: NumPy reduces down columns several times as fast as along rows.
    if isinstance(axis, int) and -x.ndim <= axis < x.ndim and x.shape[axis] < 200:
        x = x.swapaxes(0, axis).copy().swapaxes(0, axis)
    x = x - np.maximum.reduce(x.real, axis=axis, keepdims=True)
    return x - np.log(np.add.reduce(np.exp(x), axis=axis, keepdims=True))


def _cumsum_rule(g, out, x, axis):
    along = axis or 0  # without an axis g is flat
    return np.reshape(np.flip(np.cumsum(np.flip(g, along), along), along), x.shape)


@op(numpy=np.cumsum, x=_cumsum_rule)
def cumsum(x, axis=None):
    """Sums of the first 1, 2, ... entries along `axis`; without it, of x flattened.

    Its rule is the same from the other end.
    """
    return np.cumsum(x, axis)

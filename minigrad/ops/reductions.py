"""Reductions over axes: `axis` is an int, negative from the end, a tuple, or None for all.

keepdims=True keeps these axes, with size 1.
"""

import math

import numpy as np

from ..registry import op
from ..types import Axis, Operand
from .elementwise import floats, in_float32


def restored(g, x, axis, keepdims):
    """g with the reduced axes back, of size 1, so that it broadcasts to the shape of x."""
    return g if keepdims or axis is None or x.ndim == 0 else np.expand_dims(g, axis)


def count(x, axis):
    """The number of entries that one entry of the result comes from."""
    if axis is None or x.ndim == 0:
        return x.size
    axes = axis if isinstance(axis, tuple) else (axis,)
    return math.prod([x.shape[a] for a in axes])


def _sum_rule(g, out, x, axis, keepdims):
    return np.broadcast_to(restored(g, x, axis, keepdims), x.shape)


@op(numpy=np.sum, x=_sum_rule)
def sum(x, axis: Axis = None, keepdims: bool = False):
    """The sum of the entries."""
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


def _mean_rule(g, out, x, axis, keepdims):
    return _sum_rule(g / count(x, axis), out, x, axis, keepdims)


@op(numpy=np.mean, x=in_float32(_mean_rule))
@in_float32
def mean(x, axis: Axis = None, keepdims: bool = False):
    """The mean of the entries. Raises ValueError if there are none."""
    if x.dtype.kind in "iu":  # a sum may wrap around
        x = x.astype(np.float64)
    out, n = np.add.reduce(x, axis=axis, keepdims=keepdims), count(x, axis)
    if out.size and not n:
        raise ValueError("the mean of no entries is undefined")
    return out / n


def _shared_by_ties(g, out, x, axis, keepdims):
    chosen = (x == restored(out, x, axis, keepdims)).astype(x.dtype)
    return chosen * (restored(g, x, axis, keepdims) / np.sum(chosen, axis=axis, keepdims=True))


@op(numpy=np.max, x=in_float32(_shared_by_ties))
def max(x, axis: Axis = None, keepdims: bool = False):
    """The largest entries; ties share the gradient equally."""
    return np.max(x, axis=axis, keepdims=keepdims)


@op(numpy=np.min, x=in_float32(_shared_by_ties))
def min(x, axis: Axis = None, keepdims: bool = False):
    """The smallest entries; ties share the gradient equally."""
    return np.min(x, axis=axis, keepdims=keepdims)


def _centred(x, axis):
    """x minus its mean."""
    return x - mean(x, axis, keepdims=True)


def _top(x, axis):
    """The largest entries, -inf if there are none. The reduced axes stay, of size 1."""
    return np.maximum.reduce(x, axis=axis, keepdims=True, initial=-math.inf)


def _degrees(x, axis, ddof):
    """The divisor of a variance, n - ddof. Raises ValueError unless it is positive."""
    n = count(x, axis)
    if n <= ddof:
        raise ValueError(f"{n} entries a result are too few for ddof={ddof}")
    return n - ddof


def _var_rule(g, out, x, axis, ddof, keepdims):
    return restored(2 * g / _degrees(x, axis, ddof), x, axis, keepdims) * _centred(x, axis)


@op(numpy=np.var, x=in_float32(_var_rule))
@in_float32
def var(x, axis: Axis = None, ddof: float = 0, keepdims: bool = False):
    """The variance: the sum of squared deviations over n - ddof. Raises ValueError if n <= ddof."""
    squares = np.square(_centred(x, axis))  # np.var of complex numbers is not analytic
    return mean(squares, axis, keepdims) * (count(x, axis) / _degrees(x, axis, ddof))


def _std_rule(g, out, x, axis, ddof, keepdims):
    scaled = g / ((out + (out == 0)) * _degrees(x, axis, ddof))
    return restored(scaled, x, axis, keepdims) * _centred(x, axis)


@op(numpy=np.std, x=in_float32(_std_rule))
@in_float32
def std(x, axis: Axis = None, ddof: float = 0, keepdims: bool = False):
    """The standard deviation, the root of `var`. A deviation of 0 has the gradient 0."""
    return np.sqrt(var(x, axis, ddof, keepdims))


def _standardize_rule(g, out, x, axis, eps):
    along = _centred(g, axis) - out * mean(g * out, axis, keepdims=True)
    return along / np.sqrt(var(x, axis, keepdims=True) + eps)


@op(x=_standardize_rule)
def standardize(x, axis, eps):
    """(x - mean) / sqrt(variance + eps) over `axis`, where variance = mean((x - mean)^2)."""
    out = _centred(x, axis)
    out /= np.sqrt(mean(out * out, axis, keepdims=True) + eps)
    return out


def _product_of_others(x, axis):
    """For each entry the product of the other entries along `axis`, also where factors are 0."""
    axes = tuple(range(x.ndim)) if axis is None or not x.ndim else tuple(np.atleast_1d(axis))
    last = tuple(range(-len(axes), 0))
    rows = np.moveaxis(x, axes, last)
    flat = np.reshape(rows, (*rows.shape[: x.ndim - len(axes)], -1))
    others = _before(flat) * _before(flat[..., ::-1])[..., ::-1]  # the entries before and after
    return np.moveaxis(np.reshape(others, rows.shape), last, axes)


def _before(rows):
    """For each entry the product of the entries before it along the last axis."""
    shifted = np.concatenate([np.ones_like(rows[..., :1]), rows[..., :-1]], -1)
    return np.multiply.accumulate(shifted, axis=-1)


def _prod_rule(g, out, x, axis, keepdims):
    if np.all(x != 0):
        return restored(g * out, x, axis, keepdims) / x
    return restored(g, x, axis, keepdims) * _product_of_others(x, axis)


@op(numpy=np.prod, x=_prod_rule)
def prod(x, axis: Axis = None, keepdims: bool = False):
    """The product of the entries."""
    return np.prod(x, axis=axis, keepdims=keepdims)


@op(x=lambda g, out, x, axis, keepdims: restored(g, x, axis, keepdims) * softmax(x, axis))
@in_float32
def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False):
    """log(sum(exp(x))), without overflow."""
    x = floats(x)
    limits = np.finfo(x.dtype)  # a finite maximum gives no inf - inf
    top = np.clip(_top(x, axis), limits.min, limits.max)
    with np.errstate(divide="ignore"):  # log(0) is -inf
        out = np.log(np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


@op(x=lambda g, out, x, axis: out * (g - (g * out).sum(axis=axis, keepdims=True)))
@in_float32
def softmax(x: Operand, axis: Axis = -1):
    """exp(x) / sum(exp(x)) along `axis`, without overflow: the gradient of logsumexp."""
    x = floats(x)
    e = np.exp(x - _top(x, axis))
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


@op(x=lambda g, out, x, axis: g - np.exp(out) * g.sum(axis=axis, keepdims=True))
@in_float32
def log_softmax(x: Operand, axis: Axis = -1):
    """log(softmax(x)) along `axis`, without overflow."""
    scores = floats(x)
    # For few classes, NumPy reduces along the first axis several times as fast as along the last.
    if isinstance(axis, int) and -x.ndim <= axis < x.ndim and x.shape[axis] < 200:
        scores = scores.swapaxes(0, axis).copy().swapaxes(0, axis)
    if not scores.size:
        return scores
    shifted = scores - _top(scores, axis)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))


def _cumsum_rule(g, out, x, axis):
    along = axis or 0  # without an axis g is flat
    return np.reshape(np.flip(np.cumsum(np.flip(g, along), along), along), x.shape)


@op(numpy=np.cumsum, x=_cumsum_rule)
def cumsum(x, axis: int | None = None):
    """The sums of the first 1, 2, ... entries along `axis`; without an axis, of x flattened."""
    return np.cumsum(x, axis)  # its rule is a cumsum from the other end

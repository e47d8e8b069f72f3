"""Penalties: nodes of the loss over any number of weights, with their coefficients. Sums, never means.

Beside the rule of each stands its proximal operator at step t,

    prox(v) = argmin_w |w - v|^2 / 2 + t * penalty(w)

which a proximal optimizer uses in place of the rule: it lands on exact zeros, where gradient steps only come near
(Parikh & Boyd 2014, "Proximal Algorithms", section 6).
"""

from operator import index

import numpy as np

from ..engine import op
from .elementwise import magnitude


def blocks(arrays, size=32_768):
    """The same entries of equally shaped arrays, in flat pieces that fit the cache. Writing to a piece writes to its array."""
    if arrays[0].size <= size or not all(a.flags.c_contiguous for a in arrays):
        return (arrays,)
    flat = [a.reshape(-1) for a in arrays]
    return ([a[start : start + size] for a in flat] for start in range(0, flat[0].size, size))


def _l1_rule(g, out, i, c, *weights):
    signs = np.sign(weights[i])
    signs *= c * g  # in place on an array; on Tensors a new one
    return signs


@op(kind="penalty", weights=_l1_rule)
def l1_penalty(c, *weights):
    """c * sum |w| (the lasso's penalty); the subgradient at 0 is 0."""
    return c * sum(map(_sum_of_magnitudes, weights))


def _sum_of_magnitudes(w):
    """By a product with ones, twice as fast as a sum."""
    pieces = list(blocks([w]))
    ones = np.ones(pieces[0][0].size, w.real.dtype)
    return sum(magnitude(piece).reshape(-1) @ ones[: piece.size] for (piece,) in pieces)


def soft_threshold(v, t):
    """The proximal operator of t * sum |w|: each entry t closer to 0, and 0 within t."""
    return v - np.clip(v, -t, t)


@op(kind="penalty", weights=lambda g, out, i, c, *weights: 2 * c * g * weights[i])
def l2_penalty(c, *weights):
    """c * sum w^2 (Keras's convention: under plain SGD it equals weight_decay = 2c)."""
    return c * sum(np.dot(w.reshape(-1), w.reshape(-1)) for w in weights)


def shrink(v, t):
    """The proximal operator of t * sum w^2."""
    return v / (1 + 2 * t)


@op(
    kind="penalty",
    weights=lambda g, out, i, l1, l2, *weights: (
        g * (l1 * np.sign(weights[i]) + 2 * l2 * weights[i])
    ),
)
def elastic_net(l1, l2, *weights):
    """l1 * sum |w| + l2 * sum w^2 (Zou & Hastie 2005); prox(v) = shrink(soft_threshold(v, t * l1), t * l2)."""
    return l1_penalty(l1, *weights) + l2_penalty(l2, *weights)


def inside(w, axis):
    """The axes that lie inside a group, as a tuple. `axis` is one, a tuple of them, or a slice of all: slice(1, None) is all but the first."""
    if isinstance(axis, slice):
        return tuple(range(w.ndim)[axis])
    axes = map(index, np.atleast_1d(axis))
    return tuple(
        sorted(a % w.ndim if -w.ndim <= a < w.ndim else a for a in axes)
    )  # NumPy refuses the others


def _group_rule(g, out, i, c, axis, *weights):
    w = weights[i]
    squares = np.sum(w * w, axis=inside(w, axis), keepdims=True)
    zero = (
        squares == 0
    )  # a group of zeros: kept away from the root, whose derivatives at 0 are not finite
    return w * np.where(zero, 0, c * g / np.sqrt(np.where(zero, 1, squares)))


@op(kind="penalty", weights=_group_rule)
def group_l2(c, axis, *weights):
    """c * sum over groups of |w_group|, the root of the sum of squares (Yuan & Lin 2006); the subgradient at 0 is 0."""
    return c * sum(np.sum(np.sqrt(np.sum(w * w, axis=inside(w, axis)))) for w in weights)


def block_soft_threshold(v, t, axis):
    """The proximal operator of t * sum over groups of |w_group|: each group t shorter, and 0 if it is not longer than t."""
    norms = np.sqrt(np.sum(v * v, axis=inside(v, axis), keepdims=True))
    return np.where(norms <= t, 0, v * (1 - t / np.maximum(norms, t or 1)))  # nan stays


PARTS = {
    "l1_penalty": ("l1",),
    "l2_penalty": ("l2",),
    "elastic_net": ("l1", "l2"),
    "group_l2": ("groups", "axis"),
}  # the kinds of terms that each coefficient is of


def parts(node, w):
    """What a penalty node is a sum of on one of its weights: {"l1": c, "l2": c} and, for groups, {the axes inside a group: c}."""
    found = dict(zip(PARTS[node.op.name], node.args))
    if "groups" in found:
        return {
            inside(w, found["axis"]) or "l1": found["groups"]
        }  # a group of one entry has the norm |w|
    return found


def prox(v, t, parts):
    """The proximal operator of the sum of `parts` at step t: soft thresholds, then blocks (Simon et al. 2013), then the shrinking (Yu 2013)."""
    w = soft_threshold(v, t * parts.get("l1", 0))
    for axes in parts.keys() - {"l1", "l2"}:
        w = block_soft_threshold(w, t * parts[axes], axes)
    return shrink(w, t * parts.get("l2", 0))

"""The op nll_loss and its transpose: losses of classification are nll_loss of log_softmax."""

import numpy as np

from ..registry import op
from .elementwise import in_float32
from .reductions import restored


def class_axis(x):
    """The axis of the classes of scores x (N, C, ...) or (C,)."""
    return 1 if x.ndim > 1 else 0


def _chosen(x, target, ignore_index, weight, dtype):
    """(the index of the target classes in x, the targets that count, their weights and the sum).

    The mask of the targets that count is None if all do. A target that does not count gets class 0.
    """
    kept, weights, count, axis = None, 1, np.size(target), class_axis(x)
    if ignore_index is not None:
        kept = np.not_equal(target, ignore_index)
        target, count = kept * target, np.sum(kept, dtype=dtype)
    if weight is not None:
        weights = np.reshape(weight, -1)[target]
        count = np.sum(weights if kept is None else np.where(kept, weights, 0))
    if axis == 1 == np.ndim(target):
        return (np.arange(len(target)), target), kept, weights, count
    grid = list(np.ogrid[tuple(map(slice, np.shape(target)))])
    return (*grid[:axis], target, *grid[axis:]), kept, weights, count


@op(kind="loss", x=lambda g, out, x, *others: put_back(g, x, *others), target=None)
@in_float32
def nll_loss(x, target, reduction, ignore_index=None, smoothing=0.0, weight=None):
    """-x[target] for log-probabilities x (N, C, ...) or (C,) and classes target (N, ...) or ().

    Targets of the class `ignore_index` do not count. The part `smoothing` of each target is spread
    over all classes. `reduction` is "mean", "sum" or "none". `weight` has a factor for each class,
    and broadcasts to x. Then "mean" is a weighted mean.
    """
    index, kept, weights, count = _chosen(x, target, ignore_index, weight, x.dtype)
    picked = x[index] if weight is None else weights * x[index]
    if smoothing:
        weighted = x if weight is None else weight * x
        picked = (1 - smoothing) * picked + smoothing * weighted.mean(axis=class_axis(x))
    if kept is not None:
        picked = np.where(kept, picked, 0)
    if reduction == "none":
        return -picked
    if reduction == "mean" and not picked.size:
        raise ValueError("the mean of no entries is undefined")
    total = -np.add.reduce(picked, axis=None)
    return total / count if reduction == "mean" else total


@op(g=lambda h, out, g, like, *others: nll_loss(h, *others), like=None, target=None)
@in_float32
def put_back(g, like, target, reduction, ignore_index, smoothing, weight=None):
    """The transpose of nll_loss: at each target its share of -g, else 0, in the shape of `like`."""
    index, kept, weights, count = _chosen(like, target, ignore_index, weight, g.dtype)
    divisor = count + (count == 0) if reduction == "mean" else 1  # not 0 if no target counts
    axis = class_axis(like)
    y = np.zeros_like(like, g.dtype)
    y[index] = -weights / divisor
    if smoothing:
        share = smoothing / like.shape[axis] * (1 if weight is None else weight)
        y = (1 - smoothing) * y - share / divisor
    if kept is not None:
        y = np.where(np.expand_dims(kept, axis), y, 0)
    return y * (restored(g, like, axis, False) if reduction == "none" else g)

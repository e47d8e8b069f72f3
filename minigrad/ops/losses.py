"""The score of a class: losses of classification consist of this op and log_softmax."""

import numpy as np

from ..engine import Tensor
from ..registry import op
from .elementwise import in_float32
from .reductions import restored


def class_axis(x):
    """The axis of the classes of scores x (N, C, ...) or (C,)."""
    return min(1, x.ndim - 1)


def _chosen(x, target, ignore_index):
    """(the index of the target classes in x, a mask of the targets that count, their number).

    The mask is None if all count. A target that does not count gets class 0.
    """
    labels, kept, axis = np.asarray(target), None, class_axis(x)
    count = labels.size
    if ignore_index is not None:
        kept = labels != ignore_index
        labels, count = np.where(kept, labels, 0), int(np.count_nonzero(kept))
    if labels.ndim == axis == 1:
        return (np.arange(len(labels)), labels), kept, count
    grid = list(np.ogrid[tuple(map(slice, labels.shape))])
    return (*grid[:axis], labels, *grid[axis:]), kept, count


@in_float32
def _rule(g, out, x, target, reduction, *settings):
    derivative = nll_weights if isinstance(g, Tensor) else nll_weights.op.forward
    weights = derivative(x, target, reduction, *settings)
    return weights * (restored(g, x, class_axis(x), False) if reduction == "none" else g)


@op(x=None, target=None)
def nll_weights(x, target, reduction, ignore_index, smoothing):
    """The derivative of nll_loss by x, for each target."""
    index, kept, count = _chosen(x, target, ignore_index)
    share = 1 / count if reduction == "mean" else 1
    weights = np.empty_like(x)  # zeros in the memory layout of x
    weights.fill(0)
    weights[index] = -share
    if smoothing:
        weights = (1 - smoothing) * weights - smoothing * share / x.shape[class_axis(x)]
    return weights if kept is None else weights * np.expand_dims(kept, class_axis(x))


@op(kind="loss", x=_rule, target=None)
@in_float32
def nll_loss(x, target, reduction, ignore_index=None, smoothing=0.0):
    """-x[target] for log-probabilities x (N, C, ...) or (C,) and classes target (N, ...) or ().

    Targets of the class `ignore_index` do not count. The part `smoothing` of each target is spread
    over all classes.
    """
    index, kept, count = _chosen(x, target, ignore_index)
    picked = x[index]
    if smoothing:
        picked = (1 - smoothing) * picked + smoothing * x.mean(axis=class_axis(x))
    if kept is not None:
        picked = np.where(kept, picked, 0)
    if reduction == "none":
        return -picked
    if reduction == "mean" and not count:
        raise ValueError("the mean of no targets is undefined")
    total = -np.add.reduce(picked, axis=None)
    return total / count if reduction == "mean" else total

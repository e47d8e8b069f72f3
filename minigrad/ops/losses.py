"""The score of a class: losses of classification consist of this op and log_softmax."""

import numpy as np

from ..array import data_of
from ..registry import op
from .reductions import restored


def class_index(target, axis):
    """The index that picks each target class along `axis` of the scores."""
    labels = np.asarray(data_of(target))
    if labels.ndim == axis == 1:
        return np.arange(len(labels)), labels
    grid = list(np.ogrid[tuple(map(slice, labels.shape))])
    return (*grid[:axis], labels, *grid[axis:])


def _rule(g, out, x, target, reduction):
    axis = min(1, x.ndim - 1)
    chosen = np.empty_like(data_of(x))  # zeros in the memory layout of x
    chosen.fill(0)
    chosen[class_index(target, axis)] = -1 / np.size(target) if reduction == "mean" else -1
    return chosen * (restored(g, x, axis, False) if reduction == "none" else g)


@op(kind="loss", x=_rule, target=None)
def nll_loss(x, target, reduction):
    """-x[target] for log-probabilities x (N, C, ...) or (C,) and classes target (N, ...) or ()."""
    picked = x[class_index(target, min(1, x.ndim - 1))]
    if reduction == "none":
        return -picked
    if reduction == "mean" and not picked.size:
        raise ValueError("the mean of no entries is undefined")
    total = -np.add.reduce(picked, axis=None)
    return total / picked.size if reduction == "mean" else total

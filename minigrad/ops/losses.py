"""The score of a class: losses of classification consist of this op and log_softmax."""

import numpy as np

from ..array import data_of
from ..registry import op
from .reductions import restored


def class_index(target, axis):
    """The index that picks each target class along `axis` of the scores."""
    labels = data_of(target)
    if np.ndim(labels) == axis == 1:
        return np.arange(len(labels)), labels
    grid = list(np.ogrid[tuple(map(slice, np.shape(labels)))])
    return (*grid[:axis], labels, *grid[axis:])


@op(
    kind="loss",
    x=lambda g, out, x, target, reduction: put_back(g, x, target, reduction),
    target=None,
)
def nll_loss(x, target, reduction):
    """-x[target] for log-probabilities x (N, C, ...) or (C,) and classes target (N, ...) or ()."""
    picked = x[class_index(target, min(1, x.ndim - 1))]
    if reduction == "none":
        return -picked
    if reduction == "mean" and not picked.size:
        raise ValueError("the mean of no entries is undefined")
    total = -np.add.reduce(picked, axis=None)
    return total / picked.size if reduction == "mean" else total


@op(
    g=lambda h, out, g, x, target, reduction: nll_loss(h, target, reduction),
    x=None,
    target=None,
)
def put_back(g, x, target, reduction):
    """The transpose of nll_loss: zeros like x, and at each target its share of -g."""
    axis = min(1, x.ndim - 1)
    chosen = np.empty_like(x)  # zeros in the memory layout of x
    chosen.fill(0)
    chosen[class_index(target, axis)] = -1 / np.size(target) if reduction == "mean" else -1
    return chosen * (restored(g, x, axis, False) if reduction == "none" else g)

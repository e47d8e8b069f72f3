"""Samples of ops/losses.py."""

from .case import cases

REDUCTIONS = ["mean", "sum", "none"]

samples = {
    "nll_loss": [
        cases("nll_loss(x, np.array([2, 0, 1, 1]), r) | (4, 3)", r=REDUCTIONS),
        cases("nll_loss(x, np.array([[2, 0], [1, 1]]), r) | (2, 3, 2)", r=REDUCTIONS),
        cases("nll_loss(x, 1, r) | (3,)", r=REDUCTIONS),
        "nll_loss(x, np.array([[[1, 0]], [[0, 0]]]), 'mean') | (2, 2, 1, 2)",
        "nll_loss(x.T[::-1], Tensor([0, 0]), 'mean') | (3, 2)",
        "nll_loss(x, np.zeros(2, np.uint8), 'mean') | (2, 1)",
        "nll_loss(x, np.zeros(0, int), 'sum') | (0, 3)",
    ],
}

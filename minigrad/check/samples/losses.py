"""Samples of ops/losses.py."""

from .case import cases

KINDS = ["mean", "sum", "none"]
SMOOTHING = [0.0, 0.3]

samples = [
    cases("nll_loss: nll_loss(x, labels, r); nll_loss(x, labels, r, 2) | (4, 3)", r=KINDS),
    cases("nll_loss(x, grid, r); nll_loss(x, grid, r, 1, 0.1) | (2, 3, 2)", r=KINDS),
    cases("nll_loss(x, 1, r); nll_loss(x, 1, r, 0, 0.5) | (3,)", r=KINDS),
    # ignored targets, and label smoothing
    cases("nll_loss(x, np.array([-9, 0, 1, -9]), r, -9, s) | (4, 3)", r=KINDS, s=SMOOTHING),
    cases("nll_loss(x, labels, r, 2, s, x.dtype.type([2, 1, 3])) | (4, 3)", r=KINDS, s=SMOOTHING),
    "nll_loss(x, grid, 'mean', None, 0.1, x.dtype.type([[2], [1], [3]])) | (2, 3, 2)",
    "nll_loss(x, grid[:, None] % 2, 'mean') | (2, 2, 1, 2)",
    "nll_loss(x.T[::-1], Tensor(np.zeros(2, np.uint8)), 'mean') | (1, 2); (3, 2)",
    "nll_loss(x, np.argmax(x, axis=1), 'sum', 0) | apart(20, 3)",
    "nll_loss(x, np.zeros(0, int), 'sum') | (0, 3)",
    cases("put_back: put_back(x, np.ones((4, 3)), labels, r, 1, s) | ()", r=KINDS[:2], s=SMOOTHING),
    "put_back(x, np.ones((4, 3)), labels, 'none', 1, 0.3) | (4,)",
    "put_back(x, np.ones((4, 3)), labels, 'mean', 1, 0.3, x.dtype.type([2, 1, 3])) | ()",
    "put_back(x, np.ones((2, 3, 2)), grid, 'none', None, 0.0) | (2, 2)",
]

"""Samples of ops/losses.py."""

import numpy as np

from .case import cases

REDUCTIONS = ["mean", "sum", "none"]
# Scores of which only shape and layout count, of a dtype that leaves float32 what it is.
LIKE = {"like": [lambda *shape: np.ones(shape, np.float16)]}

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
    "put_back": [
        cases("put_back(x, like(4, 3), np.array([2, 0, 1, 1]), r) | ()", r=REDUCTIONS[:2], **LIKE),
        cases("put_back(x, like(4, 3), np.array([2, 0, 1, 1]), 'none') | (4,)", **LIKE),
        cases("put_back(x, like(2, 3, 2), np.array([[2, 0], [1, 1]]), 'none') | (2, 2)", **LIKE),
        cases("put_back(x, like(3), 1, 'sum') | ()", **LIKE),
        cases("put_back(x, like(0, 3), np.zeros(0, int), 'none') | (0,)", **LIKE),
    ],
}

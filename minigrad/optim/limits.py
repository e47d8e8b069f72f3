"""Limits on norms: of the gradients before a step, of the weights after a step."""

import math

import numpy as np

from ..array import as_list
from ..changes import mark_changed
from ..engine import constant


def clip_grad_norm_(parameters, max_norm):
    """Scales the gradients so that the norm of all gradients together is at most `max_norm`.

    Call it before a step.

    parameters  a Tensor or several. Parameters without a gradient are ignored
    returns     the norm before, a float

    Raises ValueError unless max_norm > 0. Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063).
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be > 0, got {max_norm}.")
    trained = [w for w in as_list(parameters) if w.grad is not None]
    gradients = [w.grad.data.astype(np.float64, copy=False) for w in trained]
    norm = math.hypot(*(float(np.linalg.norm(g)) for g in gradients))
    if not norm <= max_norm:
        for w in trained:
            w.grad = constant(w.grad.data * (max_norm / norm))
    return norm


def max_norm(weights, limit):
    """Scales each row of the weights with a norm above `limit` to the norm `limit`, in place.

    Call it after a step. A row, w[i], holds the weights that enter one unit: a row of a Linear's
    weight, or one filter of a convolution. weights is a Tensor or several.

    Raises ValueError unless limit > 0. Srebro & Shraibman 2005; Srivastava et al. 2014, section
    5.1.
    """
    if not limit > 0:
        raise ValueError(f"max_norm: the limit must be > 0, got {limit}.")
    for w in as_list(weights):
        rows = w.data.reshape(len(w.data), -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        if (long := norms > limit).any():
            mark_changed(w)
            w.data[long] *= (limit / norms[long]).reshape(-1, *[1] * (w.ndim - 1))

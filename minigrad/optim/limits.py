"""Limits on norms: of the gradients before a step, of the weights after a step."""

import math

import numpy as np

from ..array import as_list, entries_of
from ..changes import mark_changed
from ..engine import Tensor, constant


def clip_grad_norm_(parameters, max_norm: float, *, error_if_nonfinite=True) -> float:
    """Scales the gradients so that the norm of all gradients together is at most `max_norm`.

    Call it before a step.

    parameters          a Tensor or several, such as model.parameters(). Parameters without a
                        gradient are ignored
    error_if_nonfinite  False: a nan or an infinite norm scales all gradients too. All become nan
                        or 0 then (PyTorch's default)
    returns             the norm before, a float

    Raises TypeError for anything but Tensors, ValueError unless max_norm > 0; RuntimeError that
    names the parameter if a gradient has a nan or an infinite norm, and then changes nothing.
    Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063).
    """
    listed = _tensors("clip_grad_norm_", parameters, max_norm)
    trained = [w for w in listed if w.grad is not None]
    gradients = [entries_of(w.grad, "clip_grad_norm_") for w in trained]
    wide = [g.astype(np.float64, copy=False) for g in gradients]
    norms = {id(w): float(np.linalg.norm(g)) for w, g in zip(trained, wide)}
    norm = math.hypot(*norms.values())
    if error_if_nonfinite and not math.isfinite(norm):
        wrong = [i for i, w in enumerate(listed) if not math.isfinite(norms.get(id(w), 0))]
        names = ", ".join(listed[i].name or f"parameter {i}" for i in wrong)
        what = f"the norm is {norm}, in {names}. No gradient was changed"
        raise RuntimeError(f"clip_grad_norm_: {what}.")
    if not norm <= max_norm:
        clipped = [constant(w.grad.data * (max_norm / norm)) for w in trained]
        for w, g in zip(trained, clipped):
            w.grad = g
    return norm


def clip_grad_value_(parameters, clip_value):
    """Limits each entry of the gradients to [-clip_value, clip_value]. Call it before a step.

    parameters  as for clip_grad_norm_

    Raises TypeError for anything but Tensors, ValueError unless clip_value > 0.
    """
    for w in _tensors("clip_grad_value_", parameters, clip_value):
        if w.grad is not None:
            w.grad = constant(w.grad.data.clip(-clip_value, clip_value))


def _tensors(what, given, limit):
    """A Tensor or several as a list. Raises TypeError for others, ValueError for a wrong limit."""
    if not limit > 0:
        raise ValueError(f"{what}: the limit must be > 0, got {limit}.")
    listed = as_list(given)
    for x in listed:
        if not isinstance(x, Tensor):
            kind = type(x).__name__
            raise TypeError(f"{what} takes Tensors, such as model.parameters(), not a {kind}.")
    return listed


def max_norm(weights, limit: float) -> None:
    """Scales each row of the weights with a norm above `limit` to the norm `limit`, in place.

    Call it after a step. A row, w[i], holds the weights that enter one unit: a row of a Linear's
    weight, or one filter of a convolution. weights is a Tensor or several.

    Raises TypeError for anything but Tensors, ValueError unless limit > 0. Srebro & Shraibman 2005;
    Srivastava et al. 2014, section 5.1.
    """
    for w in _tensors("max_norm", weights, limit):
        rows = w.data.reshape(len(w.data), -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        if (long := norms > limit).any():
            mark_changed(w)
            w.data[long] *= (limit / norms[long]).reshape(-1, *[1] * (w.ndim - 1))

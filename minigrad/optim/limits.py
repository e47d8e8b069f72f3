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
    max_norm            a number > 0
    error_if_nonfinite  False (PyTorch's default): if a norm is nan or infinite, all gradients
                        become nan or 0
    returns             the norm before the scaling, a float

    Raises TypeError for anything but Tensors, ValueError unless max_norm > 0; RuntimeError if the
    norm of a gradient is nan or infinite: it names the parameter, and no gradient has changed.
    Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063).
    """
    listed = _tensors("clip_grad_norm_", parameters, max_norm)
    trained = {w: i for i, w in enumerate(listed) if w.grad is not None}
    arrays = [entries_of(w.grad, "clip_grad_norm_") for w in trained]
    norms = [float(np.linalg.norm(g.astype(np.float64, copy=False))) for g in arrays]
    norm = math.hypot(*norms)
    if error_if_nonfinite and not math.isfinite(norm):
        wrong = [w for w, n in zip(trained, norms) if not math.isfinite(n)]
        names = ", ".join(w.name or f"parameter {trained[w]}" for w in wrong)
        what = f"the norm is {norm}, in {names}. No gradient was changed"
        raise RuntimeError(f"clip_grad_norm_: {what}.")
    if not norm <= max_norm:
        for w in trained:
            w.grad = constant(w.grad.data * float(max_norm / norm))  # it keeps its dtype
    return norm


def clip_grad_value_(parameters, clip_value):
    """Limits each entry of the gradients to [-clip_value, clip_value]. Call it before a step.

    parameters  as for clip_grad_norm_
    clip_value  a number > 0

    Raises TypeError for anything but Tensors, ValueError unless clip_value > 0.
    """
    for w in _tensors("clip_grad_value_", parameters, clip_value):
        if w.grad is not None:
            limit = float(clip_value)  # with a number of NumPy the gradient would change its dtype
            w.grad = constant(w.grad.data.clip(-limit, limit))


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
    """Scales rows of the weights, in place, so that no row has a norm above `limit`.

    Call it after a step. A row, w[i], holds the weights that enter one unit: a row of a Linear's
    weight, or one filter of a convolution.

    weights  a Tensor or several
    limit    a number > 0

    Raises TypeError for anything but Tensors, ValueError unless limit > 0. Srebro & Shraibman 2005;
    Srivastava et al. 2014, section 5.1.
    """
    for w in _tensors("max_norm", weights, limit):
        squares = np.square(w.data, dtype=np.float64)
        norms = np.sqrt(squares.sum(axis=tuple(range(1, w.ndim)), keepdims=True))
        if np.any(norms > limit):
            mark_changed(w)
            w.data *= limit / np.fmax(norms, limit)  # 1 where the norm is small enough, or nan

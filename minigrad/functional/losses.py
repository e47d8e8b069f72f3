"""Losses of predictions."""

import numpy as np

from ..array import as_array, data_of
from ..engine import Tensor
from ..ops import log_softmax, losses, softplus
from ..ops.elementwise import floats
from ..registry import composition


def _reduced(entries, reduction):
    if reduction == "mean":
        return entries.mean()
    if reduction == "sum":
        return entries.sum()
    return entries


def _check_reduction(name, reduction):
    if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction is "mean", "sum" or "none", not {reduction!r}.')


def _pair(name, input, target, reduction):
    """The input and the target as floats; refuses them where they would broadcast."""
    _check_reduction(name, reduction)
    if np.shape(input) != np.shape(target):
        try:
            result = f"would broadcast to {np.broadcast_shapes(np.shape(input), np.shape(target))}"
        except ValueError:
            result = "do not match"
        raise ValueError(
            f"{name}: input {np.shape(input)} and target {np.shape(target)} {result}. Reshape one."
        )
    return floats(input), floats(
        target if isinstance(target, (Tensor, np.ndarray)) else as_array(target)
    )


def _classes(name, scores, target, reduction, ignored):
    """Refuses targets that are not one class number for each of the scores (N, C, ...) or (C,). Which are not `ignored`, or None if all."""
    _check_reduction(name, reduction)
    shape, labels = np.shape(scores), np.asarray(data_of(target))
    needed, classes = (shape[:1] + shape[2:], shape[1]) if len(shape) > 1 else ((), (*shape, 0)[0])
    if not shape or labels.shape != needed:
        raise ValueError(
            f"{name}: scores {shape} need one class number each, so a target of shape {needed}, got {labels.shape}."
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: the target holds class numbers, so an integer dtype, not {labels.dtype}."
        )
    unsigned = labels.astype(
        np.uint64
    )  # a negative number becomes a huge one: one comparison for both ends
    outside = labels.size and unsigned.item(unsigned.argmax()) >= classes
    if not outside and ignored < 0:
        return None
    kept = labels != ignored
    if outside and unsigned.max(where=kept, initial=0) >= classes:
        raise ValueError(
            f"{name}: the target has classes {labels[kept].min()}..{labels[kept].max()}, the scores {shape} know 0..{classes - 1}."
        )
    if reduction == "mean" and not kept.any():
        raise ValueError(
            f"{name}: no target is left to take the mean of: all are {ignored}, which is ignored."
        )
    return kept


@composition(kind="loss")
def cross_entropy(input, target, reduction="mean", *, ignore_index=-100, label_smoothing=0.0):
    """-log softmax(input)[target]: scores (N, C, ...) or (C,) before any softmax, target class numbers (N, ...) or ().

    Targets of `ignore_index` do not count. `label_smoothing`: the part of the target that is spread over all classes (Szegedy et al. 2016).
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is in [0, 1], got {label_smoothing}.")
    kept, axis = (
        _classes("cross_entropy", input, target, reduction, ignore_index),
        min(1, input.ndim - 1),
    )
    log_p = log_softmax(input, axis)
    loss = _picked(log_p, target, reduction, kept)
    if not label_smoothing:
        return loss
    uniform = -np.mean(log_p, axis=axis)
    return (1 - label_smoothing) * loss + label_smoothing * _of_kept(uniform, reduction, kept)


def nll_loss(input, target, reduction="mean", *, ignore_index=-100):
    """-input[target]: log-probabilities (N, C, ...) or (C,), target class numbers (N, ...) or (). Those of `ignore_index` do not count."""
    return _picked(
        input, target, reduction, _classes("nll_loss", input, target, reduction, ignore_index)
    )


def _picked(log_p, target, reduction, kept):
    if kept is None:
        return losses.nll_loss(log_p, target, reduction)
    return _of_kept(
        losses.nll_loss(log_p, np.where(kept, data_of(target), 0), "none"), reduction, kept
    )


def _of_kept(entries, reduction, kept):
    if kept is None:
        return _reduced(entries, reduction)
    entries = np.where(kept, entries, 0)
    return entries.sum() / kept.sum() if reduction == "mean" else _reduced(entries, reduction)


@composition(kind="loss")
def mse_loss(input, target, reduction="mean"):
    """(input - target)^2, shapes equal."""
    input, target = _pair("mse_loss", input, target, reduction)
    return _reduced(np.square(input - target), reduction)


@composition(kind="loss")
def l1_loss(input, target, reduction="mean"):
    """|input - target|, shapes equal."""
    input, target = _pair("l1_loss", input, target, reduction)
    return _reduced(np.absolute(input - target), reduction)


@composition(kind="loss")
def huber_loss(input, target, reduction="mean", delta=1.0):
    """d^2/2 where |d| = |input - target| <= delta, else delta (|d| - delta/2); shapes equal (Huber 1964)."""
    input, target = _pair("huber_loss", input, target, reduction)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be > 0, got {delta}.")
    d = input - target
    near = np.clip(d, -delta, delta)
    return _reduced(0.5 * np.square(near) + delta * np.absolute(d - near), reduction)


@composition(kind="loss")
def binary_cross_entropy_with_logits(input, target, reduction="mean"):
    """-t log sigmoid(x) - (1-t) log(1 - sigmoid(x)) of scores x and targets t in [0, 1], shapes equal."""
    input, target = _pair("binary_cross_entropy_with_logits", input, target, reduction)
    t = data_of(target)
    if not getattr(target, "requires_grad", False) and not (
        t.min(initial=0) >= 0 and t.max(initial=1) <= 1
    ):  # learned, a step may leave it
        raise ValueError("binary_cross_entropy_with_logits: the targets must be from 0 to 1.")
    return _reduced(target * softplus(-input) + (1 - target) * softplus(input), reduction)

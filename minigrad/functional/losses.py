"""Losses of predictions. They return one number, unless reduction="none".

reduction  "mean" over all entries, "sum", or "none": a loss for each entry. All losses raise
           ValueError for another reduction, and if the shapes of input and target do not fit.
"""

import math
from functools import partial

import numpy as np

from ..array import as_array, asanyarray, data_of, is_array, is_foreign, is_recorded, known
from ..modes import reads
from ..ops import log_softmax, losses, reductions, relu, softplus
from ..ops.elementwise import floats, in_float32
from ..registry import composition
from ..types import Operand
from .checks import by_channel, check_fits, checked, whole_numbers

__all__ = ["cross_entropy", "nll_loss", "binary_cross_entropy_with_logits", "binary_cross_entropy"]
__all__ += ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "kl_div", "triplet_margin_loss"]
__all__ += ["cosine_similarity", "normalize"]


REDUCTIONS = {"mean": reductions.mean, "sum": reductions.sum, "none": lambda entries: entries}


def _check_reduction(reduction):
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}.')


def _reduced(entries, reduction):
    """The mean of the entries, their sum, or the entries."""
    _check_reduction(reduction)
    return REDUCTIONS[reduction](entries)


def _weighted(what, weight, entries):
    """weight * entries; the entries if there is no weight. `what` names the weight.

    Raises ValueError for a weight that does not broadcast to the entries.
    """
    if weight is None:
        return entries
    check_fits(what, np.shape(weight), entries.shape)
    return weight * entries


# ---------------------------------------------------------------------------------- classification


@reads
def _checked(scores, target, reduction, ignore_index):
    """(target, `ignore_index`, or None if no target has it). Raises an error for wrong targets."""
    _check_reduction(reduction)
    if not isinstance(ignore_index, (int, np.integer)):
        raise TypeError(f"ignore_index is a whole number, not {ignore_index!r}.")
    shape, labels = scores.shape, asanyarray(data_of(target))
    axis = losses.class_axis(scores)
    needed = shape[:axis] + shape[axis + 1 :]
    if not shape or labels.shape != needed:
        raise ValueError(f"scores {shape} need a target of shape {needed}, got {labels.shape}.")
    target = whole_numbers("the target", target)
    all_count = partial(_all_count, shape[axis], ignore_index)
    if is_foreign(labels):
        return checked(target, all_count), ignore_index
    is_needed = not all_count(labels) or is_recorded(target)  # a replay may have other targets
    return target, ignore_index if is_needed else None


def _all_count(classes, ignore_index, labels):
    """Whether no label is `ignore_index`. Raises ValueError if another label is no class."""
    # A negative number is huge as an unsigned number, so one comparison checks both ends.
    unsigned = labels.astype(np.uint64)
    outside = labels.size and unsigned.item(unsigned.argmax()) >= classes
    if not outside and ignore_index < 0:
        return True
    kept = labels != ignore_index
    if outside and unsigned.max(where=kept, initial=0) >= classes:
        given = f"{labels[kept].min()}..{labels[kept].max()}"
        raise ValueError(f"the target has classes {given}, the scores 0..{classes - 1}.")
    return bool(kept.all())


def _class_weights(weight, scores):
    """weight (C,) in the dtype of scores (N, C, ...), and broadcast to them; None stays None."""
    if weight is None:
        return None
    weight = weight if is_array(weight) else np.asarray(weight)
    return by_channel(weight, scores).astype(scores.dtype)


@composition(kind="loss")
def cross_entropy(
    input: Operand,
    target: Operand,
    reduction: str = "mean",
    *,
    weight: Operand | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
):
    """-log softmax(input)[target], for classification.

    input            scores before any softmax, (N, C, ...) or (C,) for C classes
    target           class numbers 0..C-1, (N, ...) or (); or the probabilities p of the classes,
                     floats of the shape of the input: the loss is -sum of p log softmax(input)
    reduction        "mean", "sum" or "none"
    weight           a factor for each class, (C,). With class numbers, "mean" is a weighted mean,
                     and the weight can have no gradient
    ignore_index     targets with this number do not count
    label_smoothing  the part of the target, in [0, 1], that is spread over all classes
                     (Szegedy et al. 2016, arXiv:1512.00567)

    Raises ValueError for other shapes, for classes that the scores do not have, and for settings
    out of range; TypeError for class numbers or an ignore_index that are not whole numbers.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is in [0, 1], got {label_smoothing}.")
    axis = losses.class_axis(input)
    given = target if is_array(target) else np.asarray(target)
    log_p = log_softmax(input, axis)
    if given.dtype.kind == "f" and given.shape == np.shape(input) != ():
        p = (1 - label_smoothing) * given + label_smoothing / given.shape[axis]
        p = p if weight is None else p * _class_weights(weight, log_p)
        return _reduced(-np.sum(p * log_p, axis=axis), reduction)
    return _nll(log_p, target, reduction, weight, ignore_index, label_smoothing)


@composition(kind="loss")
def nll_loss(input: Operand, target: Operand, reduction="mean", *, weight=None, ignore_index=-100):
    """-input[target], where input holds log-probabilities, as log_softmax returns them.

    input is (N, C, ...) or (C,). target has class numbers. For reduction, weight, ignore_index and
    errors see cross_entropy.
    """
    return _nll(floats(input), target, reduction, weight, ignore_index)


def _nll(log_p, target, reduction, weight, ignore_index, smoothing=0.0):
    """The op nll_loss, of arguments that are checked."""
    target, ignored = _checked(log_p, target, reduction, ignore_index)
    weight = _class_weights(weight, log_p)
    return losses.nll_loss(log_p, target, reduction, ignored, smoothing, weight)


# -------------------------------------------------------------------------- losses of equal shapes


@reads
def _equal_shapes(input, target):
    """The input and the target as floats. Raises ValueError if their shapes differ."""
    a, b = (np.shape(known(data_of(x))) for x in (input, target))
    if a != b:
        raise ValueError(f"input {a} and target {b} must have the same shape. Reshape one.")
    if not is_array(target):
        target = as_array(target)
    return floats(input), floats(target)


@composition(kind="loss")
def mse_loss(input: Operand, target: Operand, reduction="mean"):
    """(input - target)^2 of two arrays of the same shape. Raises ValueError if their shapes differ.

    reduction  "mean", "sum" or "none"
    """
    input, target = _equal_shapes(input, target)
    return _reduced(np.square(input - target), reduction)


@composition(kind="loss")
def l1_loss(input: Operand, target: Operand, reduction="mean"):
    """|input - target| of two arrays of the same shape. Raises ValueError if their shapes differ.

    reduction  "mean", "sum" or "none"
    """
    input, target = _equal_shapes(input, target)
    return _reduced(np.absolute(input - target), reduction)


@composition(kind="loss")
def huber_loss(input: Operand, target: Operand, reduction="mean", delta=1.0):
    """d^2/2 where |d| <= delta, else delta (|d| - delta/2), with d = input - target.

    input, target  arrays of the same shape
    reduction      "mean", "sum" or "none"
    delta          a number > 0. For larger |d| the loss is linear

    Raises ValueError if the shapes differ or delta is not positive. Huber 1964.
    """
    input, target = _equal_shapes(input, target)
    if not delta > 0:
        raise ValueError(f"delta must be > 0, got {delta}.")
    d = input - target
    # d^2/2 overflows beyond this limit, so a larger delta changes nothing; inf * 0 would be nan.
    delta = min(delta, 2 * math.sqrt(np.finfo(d.dtype).max / 2))
    near = np.clip(d, -delta, delta)
    return _reduced(0.5 * near * near + delta * np.absolute(d - near), reduction)


@composition(kind="loss")
def smooth_l1_loss(input: Operand, target: Operand, reduction="mean", beta=1.0):
    """huber_loss with delta = beta, divided by beta (Girshick 2015). See huber_loss."""
    return huber_loss(input, target, reduction, beta) / beta


def _probabilities(what, p):
    """p. Raises ValueError for a number outside [0, 1]."""

    def check(values):
        if not (values.min(initial=0) >= 0 and values.max(initial=1) <= 1):
            raise ValueError(f"the {what} must be from 0 to 1.")

    return checked(p, check)


@composition(kind="loss")
def binary_cross_entropy_with_logits(
    input: Operand, target: Operand, reduction="mean", *, weight=None, pos_weight=None
):
    """-t log sigmoid(x) - (1-t) log(1 - sigmoid(x)) of scores x = input and targets t = target.

    input       scores of any shape
    target      numbers in [0, 1], of the same shape
    reduction   "mean", "sum" or "none"
    weight      a factor for each entry, which broadcasts to the input
    pos_weight  a factor for the first term, which broadcasts: above 1 it favours recall

    Raises ValueError if the shapes differ or a target is outside [0, 1]. A target that requires a
    gradient is not checked, since a step of an optimizer may leave [0, 1].
    """
    input, target = _equal_shapes(input, target)
    if not getattr(target, "requires_grad", False):
        target = _probabilities("targets", target)
    positive = _weighted("pos_weight", pos_weight, target)
    entries = positive * softplus(-input) + (1 - target) * softplus(input)
    return _reduced(_weighted("weight", weight, entries), reduction)


def _log(p):
    """log p, at least -100 as in PyTorch. Where it is -100, the gradient is 0."""
    return np.maximum(np.where(p <= 0, -100, np.log(np.where(p <= 0, 1, p))), -100)


@composition(kind="loss")
def binary_cross_entropy(input: Operand, target: Operand, reduction="mean", *, weight=None):
    """-t log p - (1-t) log(1-p) of probabilities p = input and targets t = target; logs >= -100.

    For scores use binary_cross_entropy_with_logits, which is more precise and explains the
    arguments. Raises ValueError if the shapes differ or an entry is outside [0, 1].
    """
    input, target = _equal_shapes(input, target)
    target = _probabilities("targets", target)
    input = _probabilities("probabilities", input)
    entries = -target * _log(input) - (1 - target) * _log(1 - input)
    return _reduced(_weighted("weight", weight, entries), reduction)


@composition(kind="loss")
def kl_div(input: Operand, target: Operand, reduction="mean"):
    """target * (log target - input) of log-probabilities `input` and probabilities `target`.

    reduction  "mean" over all entries, "sum", "none", or "batchmean": the sum divided by
               len(input), which is the mean of the Kullback-Leibler divergences

    Raises ValueError if the shapes differ.
    """
    summed = "sum" if reduction == "batchmean" else reduction
    input, target = _equal_shapes(input, target)
    entropy = target * np.log(np.where(target > 0, target, 1))
    out = _reduced(entropy - target * input, summed)
    return out / len(input) if reduction == "batchmean" else out


# ------------------------------------------------------------------------------- lengths and angles


@composition
@in_float32
def normalize(x: Operand, p=2.0, dim=1, eps=1e-12):
    """x divided by its p-norm along `dim`, or by eps where the norm is smaller."""
    return x / np.maximum(np.linalg.norm(x, p, axis=dim, keepdims=True), eps)


@composition
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along `dim`. A norm below eps counts as eps."""
    if x1.shape != getattr(x2, "shape", None):
        shape = np.broadcast_shapes(np.shape(x1), np.shape(x2))
        x1, x2 = (np.broadcast_to(x, shape) for x in (x1, x2))
    return np.sum(normalize(x1, 2, dim, eps) * normalize(x2, 2, dim, eps), axis=dim)


@composition(kind="loss")
def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, *, reduction="mean"
):
    """max(0, margin + |anchor - positive| - |anchor - negative|), with norms along the last axis.

    Balntas et al. 2016, BMVC.

    p          the order of the norm
    eps        is added to each difference, since a norm has no derivative at 0
    reduction  "mean", "sum" or "none"
    """
    anchor = floats(anchor)
    near, far = (np.linalg.norm(anchor - x + eps, p, axis=-1) for x in (positive, negative))
    return _reduced(relu(margin + near - far), reduction)

"""Normalisation: (x - mean) / sqrt(variance + eps) over some axes of x.

The result is multiplied by `weight`, then `bias` is added, unless they are None. `rms_norm`
subtracts no mean.

eps       keeps the divisor away from 0
momentum  the step of running statistics towards the statistics of a batch: usually from 0 to 1

For x in float16 they compute in float32 and return float16: squares of numbers above 255 would
overflow. All functions raise ValueError for other shapes. batch_norm (in training), group_norm and
instance_norm also raise ValueError for means of a single entry.
"""

import math

import numpy as np

from ..array import is_foreign
from ..noise import effect
from ..ops import reductions, standardize
from ..ops.elementwise import floats, in_float32
from ..registry import composition
from ..types import Ints, Operand
from .checks import by_channel, check_channels, check_divides, check_shapes

__all__ = ["batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm"]


@composition
def batch_norm(
    x, running_mean, running_var, weight=None, bias=None, *, training, momentum=0.1, eps=1e-5
):
    """Normalises each channel of x (N, C, ...) over all samples.

    Ioffe & Szegedy 2015 (arXiv:1502.03167).

    running_mean, running_var  arrays (C,) or None
    weight, bias               (C,) or None: the result is multiplied by weight, then bias is added
    training                   True: uses the mean and variance of the batch. The running statistics
                               move in place towards them. The running variance is over n - 1.
                               False: uses the running statistics
    momentum                   the step of the running statistics
    eps                        is added to the variance

    Inside `frozen_noise()`, and so in every check, running statistics do not move. Raises
    ValueError for other shapes, in training for channels of one entry, and in evaluation without
    running statistics; TypeError for running statistics that are not arrays of floats.
    """
    check_channels(x)
    is_half = x.dtype == np.float16
    x = x.astype(np.float32) if is_half else x  # not in_float32: the running statistics move
    mean, variance = running_mean, running_var
    if training:
        axes = (0, *range(2, x.ndim))
        n = _entries(x, axes)
        mean, variance = reductions.mean(x, axes), reductions.var(x, axes)
        if running_mean is not None or running_var is not None:
            check_shapes(mean.shape, running_mean=running_mean, running_var=running_var)
            effect(
                move_statistics, running_mean, running_var, mean, variance, n / (n - 1), momentum
            )
    elif mean is None or variance is None:
        needed = "running_mean and running_var; else training=True"
        raise ValueError(f"evaluation needs {needed}.")
    # The mean goes first: x * scale would lose digits if the mean is large.
    centred = x - by_channel(mean, x)
    scale = (1 if weight is None else weight) / np.sqrt(np.add(variance, eps))
    out = _affine_by_channel(centred, scale, bias)
    return out.astype(np.float16) if is_half else out


def move_statistics(running_mean, running_var, mean, variance, factor, momentum):
    """Moves running statistics, arrays or None, towards mean and factor * variance."""
    if is_foreign(mean):
        remedy = "Give none to functional.batch_norm, or use LayerNorm"
        raise TypeError(f"batch_norm: running statistics move with NumPy arrays alone. {remedy}.")
    for running, batch in (running_mean, mean), (running_var, factor * variance):
        if running is not None:
            running[...] += momentum * (batch - running)


def as_shape(sizes):
    """A number or a sequence of numbers as a tuple."""
    return tuple(np.atleast_1d(sizes).tolist())


@composition
@in_float32
def layer_norm(x: Operand, normalized_shape: Ints, weight=None, bias=None, eps=1e-5):
    """Normalises each sample of x (..., *normalized_shape) over its last axes.

    Ba, Kiros & Hinton 2016 (arXiv:1607.06450).

    normalized_shape  the sizes of the last axes, a number or a tuple
    weight, bias      of shape normalized_shape, or None
    eps               is added to the variance

    Raises ValueError for other shapes.
    """
    axes = _last_axes(x, normalized_shape, weight=weight, bias=bias)
    return _affine(standardize(x, axes, eps), weight, bias)


@composition
@in_float32
def rms_norm(x: Operand, normalized_shape: Ints, weight=None, eps=None):
    """Divides each sample of x (..., *normalized_shape) by its root of the mean square.

    Zhang & Sennrich 2019 (arXiv:1910.07467). eps is added to the mean square; by default it is the
    machine epsilon of the dtype, for float16 of float32. For other arguments and errors see
    layer_norm.
    """
    x = floats(x)
    eps = np.finfo(x.dtype).eps if eps is None else eps
    axes = _last_axes(x, normalized_shape, weight=weight)
    square = np.mean(np.square(x), axis=axes, keepdims=True)
    return _affine(x / np.sqrt(square + float(eps)), weight, None)


@composition
@in_float32
def group_norm(x: Operand, num_groups: int, weight=None, bias=None, eps=1e-5):
    """Normalises each group of C / num_groups channels of each sample of x (N, C, ...).

    weight and bias are (C,) or None; eps is added to the variance. Raises ValueError for other
    shapes, if num_groups does not divide the channels, and for groups of one entry. Wu & He 2018
    (arXiv:1803.08494).
    """
    check_channels(x)
    n, channels, *space = x.shape
    check_divides("num_groups", num_groups, channels=channels)
    grouped = np.reshape(x, (n, num_groups, channels // num_groups, *space))  # a view in any layout
    out = np.reshape(_standardized(grouped, eps), x.shape)
    return _affine_by_channel(out, weight, bias)


@composition
@in_float32
def instance_norm(x: Operand, *, weight=None, bias=None, eps=1e-5):
    """Normalises each channel of each sample of x (N, C, ...).

    weight and bias are (C,) or None; eps is added to the variance. Raises ValueError for other
    shapes and for channels of one entry. Ulyanov et al. 2016 (arXiv:1607.08022).
    """
    check_channels(x)
    return _affine_by_channel(_standardized(x, eps), weight, bias)


def _standardized(x, eps):
    """`standardize` over all axes but the first two. Raises ValueError for a single entry."""
    axes = tuple(range(2, x.ndim))
    _entries(x, axes)
    return standardize(x, axes, eps)


def _entries(x, axes):
    """How many entries a mean has. Raises ValueError for a single entry: the result would be 0."""
    n = math.prod(x.shape[a] for a in axes)
    if n < 2:
        remedy = " Train on two rows or more, or use evaluation mode." if 0 in axes else ""
        raise ValueError(f"the axes {axes} of x {x.shape} have one entry or none.{remedy}")
    return n


def _affine(x, weight, bias):
    """x * weight + bias; either may be None."""
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _affine_by_channel(x, weight, bias):
    """`_affine` with weight and bias (C,), for x (N, C, ...)."""
    weight, bias = (None if a is None else by_channel(a, x) for a in (weight, bias))
    return _affine(x, weight, bias)


def _last_axes(x, sizes, **arrays):
    """The last axes of x. Raises ValueError unless they have these sizes."""
    shape = as_shape(sizes)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"x {x.shape} does not end in normalized_shape {shape}.")
    check_shapes(shape, **arrays)
    return tuple(range(-len(shape), 0))

"""Normalisation."""

import math

import numpy as np

from ..array import data_of
from ..noise import state
from ..ops import standardize
from ..registry import composition

# (x - mean) / sqrt(variance + eps) over some axes of x, then times `weight` and plus `bias` where they are given.


@composition
def batch_norm(
    x, running_mean, running_var, weight=None, bias=None, *, training, momentum=0.1, eps=1e-5
):
    """Normalises each channel of x (N, C, ...) over all samples (Ioffe & Szegedy 2015, arXiv:1502.03167). The other arrays are (C,).

    In training by the statistics of the batch. The arrays running_mean and running_var, unless None, then move in place by the
    share `momentum` of the way towards them, running_var towards the variance over n - 1. In evaluation by the running
    statistics. Inside `frozen_noise()`, and so in every check, these stay as they are.
    """
    _check_channels(
        "batch_norm",
        x,
        eps,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if training:
        axes = (0, *range(2, x.ndim))
        out = _standardized("batch_norm", x, axes, eps)
        if statistics_move() and (running_mean is not None or running_var is not None):
            mean = np.mean(data_of(x), axis=axes, keepdims=True)
            var = np.var(data_of(x), axis=axes, ddof=1, mean=mean)
            _move(running_mean, mean.ravel(), momentum)
            _move(running_var, var, momentum)
        return _affine_by_channel(out, weight, bias)
    if running_mean is None or running_var is None:
        raise ValueError(
            "batch_norm: evaluation needs running_mean and running_var. Without them use training=True."
        )
    centred = _affine_by_channel(
        x, None, -np.asarray(running_mean)
    )  # the mean first: of a large one, x * scale would cost the digits
    return _affine_by_channel(
        centred, (1 if weight is None else weight) / np.sqrt(np.asarray(running_var) + eps), bias
    )


def _move(running, batch, momentum):
    """Moves an array of running statistics, if there is one, towards those of a batch."""
    if running is None:
        return
    running = data_of(running)
    if not isinstance(running, np.ndarray) or running.dtype.kind != "f":
        raise TypeError(
            "batch_norm: running_mean and running_var must be arrays of floats, since training changes them in place."
        )
    if momentum is None or not 0 <= momentum <= 1:
        raise ValueError(
            f"batch_norm: momentum is how far running statistics move to those of a batch, from 0 to 1, not {momentum}."
        )
    running += momentum * (batch - running)


def statistics_move():
    """Whether running statistics follow the batches: not inside `frozen_noise()`."""
    return state.drawn is None


@composition
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalises x (..., *normalized_shape) over its last axes, each sample by itself (Ba, Kiros & Hinton 2016, arXiv:1607.06450).

    `normalized_shape`, a number or a tuple, is the shape of weight and bias too.
    """
    shape = tuple(np.atleast_1d(normalized_shape).tolist())
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: x {x.shape} does not end in normalized_shape {shape}.")
    _check_sizes("layer_norm", x, shape, eps, weight=weight, bias=bias)
    return _affine(standardize(x, tuple(range(-len(shape), 0)), eps), weight, bias)


@composition
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises each group of C / num_groups channels of each sample of x (N, C, ...); weight and bias (C,) (Wu & He 2018, arXiv:1803.08494)."""
    _check_channels("group_norm", x, eps, weight=weight, bias=bias)
    n, channels, *places = x.shape
    check_groups("group_norm", num_groups, channels)
    grouped = np.reshape(
        x, (n, num_groups, channels // num_groups, *places)
    )  # a view, in whatever order x lies in memory
    out = _standardized("group_norm", grouped, tuple(range(2, grouped.ndim)), eps)
    return _affine_by_channel(np.reshape(out, x.shape), weight, bias)


@composition
def instance_norm(x, *, weight=None, bias=None, eps=1e-5):
    """Normalises each channel of each sample of x (N, C, ...); weight and bias (C,) (Ulyanov et al. 2016, arXiv:1607.08022)."""
    _check_channels("instance_norm", x, eps, weight=weight, bias=bias)
    return _affine_by_channel(
        _standardized("instance_norm", x, tuple(range(2, x.ndim)), eps), weight, bias
    )


def _standardized(name, x, axes, eps):
    """`standardize`, refusing means of a single entry, which leave nothing of it."""
    if math.prod(x.shape[a] for a in axes) < 2:
        remedy = " Train on two rows or more, or use evaluation mode." if 0 in axes else ""
        raise ValueError(
            f"{name}: there is not more than one entry to normalise over in x {x.shape}, along the axes {axes}.{remedy}"
        )
    return standardize(x, axes, eps)


def _affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _affine_by_channel(x, weight, bias):
    """`_affine` with weight and bias (C,), for x (N, C, ...)."""
    shape = (-1,) + (1,) * (x.ndim - 2)
    return _affine(
        x, *(a if a is None or x.ndim == 2 else np.reshape(a, shape) for a in (weight, bias))
    )


def check_groups(name, num_groups, channels):
    """Refuses channels that do not split evenly."""
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"{name}: {channels} channels cannot be split into {num_groups} equal groups."
        )


def _check_channels(name, x, eps, **arrays):
    if x.ndim < 2:
        raise ValueError(
            f"{name}: x must be (N, C, ...), got shape {x.shape}. For one sample write x[None]."
        )
    _check_sizes(name, x, x.shape[1:2], eps, **arrays)


def _check_sizes(name, x, shape, eps, **arrays):
    if not eps >= 0:
        raise ValueError(f"{name}: eps must be >= 0, got {eps}.")
    for what, a in arrays.items():
        if a is not None and np.shape(a) != shape:
            raise ValueError(
                f"{name}: for x {x.shape} the shape of {what} must be {shape}, not {np.shape(a)}."
            )

"""Convolution and pooling."""

import math
import numbers

import numpy as np

from ..ops import windows
from ..registry import composition
from .common import check_axes, each

# x is (N, C, L) for the 1d and (N, C, H, W) for the 2d functions. Sizes of windows, strides, paddings and dilations are a number
# or one number an axis. A window fits (n + 2 padding - dilation (size - 1) - 1) // stride + 1 times.


@composition
def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Filters weight (M, C / groups, K) slid over x (N, C, L), not flipped; bias (M,). `padding`: zeros at both ends, or "same"."""
    return _conv("conv1d", "(N, C, L)", x, weight, bias, stride, padding, dilation, groups)


@composition
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Filters weight (M, C / groups, KH, KW) slid over x (N, C, H, W), not flipped; bias (M,). `padding`: zeros around, or "same"."""
    return _conv("conv2d", "(N, C, H, W)", x, weight, bias, stride, padding, dilation, groups)


@composition
def conv_transpose1d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The transpose of conv1d, as a linear map: x (N, M, L), weight (M, C / groups, K), bias (C,)."""
    return _conv_transpose(
        "conv_transpose1d",
        "(N, M, L)",
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@composition
def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The transpose of conv2d, as a linear map: x (N, M, H, W), weight (M, C / groups, KH, KW), bias (C,)."""
    return _conv_transpose(
        "conv_transpose2d",
        "(N, M, H, W)",
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@composition
def max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1):
    """The largest entry of each window; `stride` is kernel_size unless given. Padding never wins; ties share the gradient equally."""
    return _max_pool("max_pool1d", "(N, C, L)", x, kernel_size, stride, padding, dilation)


@composition
def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1):
    """The largest entry of each window; `stride` is kernel_size unless given. Padding never wins; ties share the gradient equally."""
    return _max_pool("max_pool2d", "(N, C, H, W)", x, kernel_size, stride, padding, dilation)


@composition
def avg_pool1d(x, kernel_size, stride=None, padding=0, *, count_include_pad=True):
    """The mean of each window; `stride` is kernel_size unless given. The zeros of the padding count, unless count_include_pad=False."""
    return _avg_pool("avg_pool1d", "(N, C, L)", x, kernel_size, stride, padding, count_include_pad)


@composition
def avg_pool2d(x, kernel_size, stride=None, padding=0, *, count_include_pad=True):
    """The mean of each window; `stride` is kernel_size unless given. The zeros of the padding count, unless count_include_pad=False."""
    return _avg_pool(
        "avg_pool2d", "(N, C, H, W)", x, kernel_size, stride, padding, count_include_pad
    )


@composition
def adaptive_avg_pool1d(x, output_size):
    """x (N, C, L) as means over `output_size` stretches; stretch i is from floor(i L / output_size) to ceil((i + 1) L / output_size)."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", "(N, C, L)", x, output_size)


@composition
def adaptive_avg_pool2d(x, output_size):
    """x (N, C, H, W) as means over a grid of `output_size` rectangles, a number or (rows, columns); None leaves an axis as it is."""
    return _adaptive_avg_pool("adaptive_avg_pool2d", "(N, C, H, W)", x, output_size)


@composition
def interpolate(x, size=None, scale_factor=None, mode="nearest"):
    """x (N, C, *space) made larger or smaller, to `size` or by `scale_factor`: entry i of an axis is entry floor(i / scale) of x."""
    space = np.shape(x)[2:]
    if mode != "nearest":
        raise ValueError(f'interpolate: mode {mode!r} is not there, "nearest" is.')
    if not space or (size is None) == (scale_factor is None):
        raise ValueError(
            f"interpolate: x must be (N, C, ...), got shape {np.shape(x)}; give size or scale_factor, and not both."
        )
    if size is None:
        scales = each("interpolate", "scale_factor", scale_factor, len(space), 0, numbers.Real)
        size = [int(n * scale) for n, scale in zip(space, scales)]
        sources = [
            np.minimum(np.arange(m) / scale, n - 1).astype(int)
            for m, n, scale in zip(size, space, scales)
        ]
    else:
        size = each("interpolate", "size", size, len(space), 1)
        sources = [np.arange(m) * n // m for m, n in zip(size, space)]
    if min(size) < 1:
        raise ValueError(
            f"interpolate: nothing would be left of x {np.shape(x)} at scale_factor={scale_factor}."
        )
    for axis, source in enumerate(sources, start=2):
        x = np.take(x, source, axis)
    return x


@composition
def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """All windows of x (N, C, *space) as columns: (N, C * prod(kernel_size), places)."""
    rank = np.ndim(x) - 2
    if rank < 1:
        raise ValueError(f"unfold: x must be (N, C, ...), got shape {np.shape(x)}.")
    y = _unfolded("unfold", x, *_window("unfold", rank, kernel_size, stride, padding, dilation))
    y = np.moveaxis(y, range(-rank, 0), range(2, 2 + rank))
    return np.reshape(y, (len(y), math.prod(y.shape[1 : 2 + rank]), math.prod(y.shape[2 + rank :])))


@composition
def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns (N, C * prod(kernel_size), places) added up where unfold found them, in (N, C, *output_size): its transpose."""
    rank = len(output_size) if isinstance(output_size, (tuple, list)) else 2
    output_size = each("fold", "output_size", output_size, rank, 1)
    size, stride, padding, dilation = _window("fold", rank, kernel_size, stride, padding, dilation)
    space = [n + before + after for n, (before, after) in zip(output_size, padding)]
    out = windows.places(space, size, stride, dilation)
    if (
        np.ndim(x) != 3
        or min(out) < 1
        or x.shape[1] % math.prod(size)
        or x.shape[2] != math.prod(out)
    ):
        wanted = f"(N, C * {math.prod(size)}, {math.prod(out) if min(out) > 0 else 0})"
        raise ValueError(
            f"fold: windows {size} into {output_size} need x {wanted}, got shape {np.shape(x)}."
        )
    y = np.moveaxis(
        np.reshape(x, (x.shape[0], x.shape[1] // math.prod(size), *size, *out)),
        range(2, 2 + rank),
        range(-rank, 0),
    )
    return _cropped(windows.fold(y, tuple(space), stride, dilation), padding)


def _window(name, rank, size, stride, padding, dilation):
    """(size, stride, padding, dilation), for each axis a number, the padding as (before, after)."""
    size, dilation = (
        each(name, "kernel_size", size, rank, 1),
        each(name, "dilation", dilation, rank, 1),
    )
    stride = size if stride is None else each(name, "stride", stride, rank, 1)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f'{name}: padding="same" is for stride 1, not {stride}.')
        total = [d * (k - 1) for k, d in zip(size, dilation)]
        return size, stride, [(t // 2, t - t // 2) for t in total], dilation
    padding = each(name, "padding", 0 if padding == "valid" else padding, rank, 0)
    return size, stride, [(p, p) for p in padding], dilation


def _padded(x, padding, value=0):
    return (
        np.pad(x, [(0, 0), (0, 0), *padding], constant_values=value)
        if any(map(any, padding))
        else x
    )


def _cropped(x, padding):
    return (
        x[(..., *(slice(before, n - after) for n, (before, after) in zip(x.shape[2:], padding)))]
        if any(map(any, padding))
        else x
    )


def _check_fit(name, x, size, padding, dilation):
    for n, k, (before, after), d in zip(x.shape[2:], size, padding, dilation):
        if (room := n + before + after) < (span := d * (k - 1) + 1):
            raise ValueError(
                f"{name}: a window of {span} does not fit into an axis of {room}, padding included; x {x.shape}."
            )


def _unfolded(name, x, size, stride, padding, dilation, value=0):
    _check_fit(name, x, size, padding, dilation)
    return windows.unfold(_padded(x, padding, value), size, stride, dilation)


def _check_filters(name, x, weight, bias, groups, transposed=False):
    """Refuses filters that do not fit the channels of x; `bias` has one entry an output channel."""
    if np.ndim(weight) != x.ndim:
        raise ValueError(f"{name}: weight must have {x.ndim} axes, got shape {np.shape(weight)}.")
    channels, filters = weight.shape[1] * groups, len(weight)
    taken, outputs = (filters, channels) if transposed else (channels, filters)
    if groups < 1 or len(weight) % groups:
        raise ValueError(
            f"{name}: groups={groups} does not divide the {len(weight)} filters of weight {weight.shape}."
        )
    if x.shape[1] != taken:
        raise ValueError(
            f"{name}: x {x.shape} has {x.shape[1]} channels, weight {weight.shape} with groups={groups} takes {taken}."
        )
    if bias is not None and np.shape(bias) != (outputs,):
        raise ValueError(
            f"{name}: bias must have shape ({outputs},), one entry a channel of the result; got {np.shape(bias)}."
        )


def _conv(name, axes, x, weight, bias, stride, padding, dilation, groups):
    check_axes(name, x, axes)
    rank = x.ndim - 2
    _check_filters(name, x, weight, bias, groups)
    size, stride, padding, dilation = _window(
        name, rank, weight.shape[2:], stride, padding, dilation
    )
    _check_fit(name, x, size, padding, dilation)
    return windows.convolve(_padded(x, padding), weight, bias, stride, dilation, groups)


def _conv_transpose(name, axes, x, weight, bias, stride, padding, output_padding, groups, dilation):
    check_axes(name, x, axes)
    rank = x.ndim - 2
    _check_filters(name, x, weight, bias, groups, transposed=True)
    size, stride, padding, dilation = _window(
        name, rank, weight.shape[2:], stride, padding, dilation
    )
    extra = each(name, "output_padding", output_padding, rank, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"{name}: output_padding {extra} must be smaller than the stride {stride} or the dilation {dilation}: "
            "it says which of the sizes that give x is meant."
        )
    space = [
        s * (n - 1) + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(x.shape[2:], size, stride, dilation, extra)
    ]
    if any(n <= before + after for n, (before, after) in zip(space, padding)):
        raise ValueError(
            f"{name}: nothing is left of {tuple(space)} without the padding {[p for p, _ in padding]}; x {x.shape}."
        )
    out = _cropped(
        windows.convolve_input(x, weight, tuple(space), stride, dilation, groups), padding
    )
    return out if bias is None else out + np.reshape(bias, (-1, *[1] * rank))


def _max_pool(name, axes, x, kernel_size, stride, padding, dilation):
    check_axes(name, x, axes)
    rank = x.ndim - 2
    size, stride, padding, dilation = _window(name, rank, kernel_size, stride, padding, dilation)
    _check_padding(name, x, size, stride, padding, dilation)
    return np.max(
        _unfolded(name, x, size, stride, padding, dilation, -math.inf), axis=tuple(range(-rank, 0))
    )


def _check_padding(name, x, size, stride, padding, dilation):
    """Refuses windows with nothing of x in them."""
    for n, k, s, (before, after), d in zip(x.shape[2:], size, stride, padding, dilation):
        at = np.arange(-before, n + after - d * (k - 1), s)[:, None] + d * np.arange(k)
        if before and not np.all(np.any((at >= 0) & (at < n), axis=1)):
            raise ValueError(
                f"{name}: padding {[p for p, _ in padding]} must be at most half of kernel_size {size}, and dilation {dilation} at most "
                f"the size of x {x.shape}, or a window has padding alone."
            )


def _avg_pool(name, axes, x, kernel_size, stride, padding, count_include_pad):
    check_axes(name, x, axes)
    rank = x.ndim - 2
    window = _window(name, rank, kernel_size, stride, padding, 1)
    _check_padding(name, x, *window)
    mean = np.mean(_unfolded(name, x, *window), axis=tuple(range(-rank, 0)))
    if count_include_pad or not any(map(any, window[2])):
        return mean
    return mean / np.mean(
        _unfolded(name, np.ones((1, 1, *x.shape[2:]), x.dtype), *window),
        axis=tuple(range(-rank, 0)),
    )


def _adaptive_avg_pool(name, axes, x, output_size):
    check_axes(name, x, axes)
    space = x.shape[2:]
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * len(space)
    sizes = each(
        name,
        "output_size",
        [n if m is None else m for m, n in zip(sizes, space)]
        if len(sizes) == len(space)
        else sizes,
        len(space),
        1,
    )
    for axis, (m, n) in enumerate(zip(sizes, space), start=2):
        i, j = np.arange(m), np.arange(n)[:, None]
        inside = (j >= i * n // m) & (j < -(-(i + 1) * n // m))
        shares = (inside / inside.sum(axis=0)).astype(
            np.result_type(x.dtype, np.float16)
        )  # floats, also of integers
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ shares, -1, axis)
    return x

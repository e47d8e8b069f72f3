"""Convolution and pooling: functions of windows that slide over the space of x.

x is (N, C, L) for the functions in 1d and (N, C, H, W) for the functions in 2d. Their arguments:

kernel_size  the size of a window
stride       the distance from one window to the next
padding      the number of zeros at both ends of each axis. Convolutions also take "same", which
             keeps the size (stride 1 only), and "valid", which is 0
dilation     the distance from one entry of a window to the next: 2 takes every other entry of x
groups       the number of groups of channels, each with its own filters

Sizes, strides, paddings and dilations are a whole number, or one for each axis. An axis of n
entries has (n + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1 windows; ceil_mode=True
of the pools rounds the quotient up. Pools compute whole numbers in float64.

All functions raise ValueError for x, weights or biases of other shapes, for settings out of range,
and for a window larger than x.
"""

import math
import numbers
from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate

import numpy as np

from ..engine import Tensor
from ..ops import windows
from ..ops.elementwise import floats
from ..registry import composition
from ..types import Ints, Operand, P
from .checks import by_channel, check_axes, check_channels, check_divides, check_shapes, each

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "unfold", "fold"]
__all__ += ["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"]
__all__ += ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d"]
__all__ += ["adaptive_max_pool2d", "interpolate"]

LAYOUTS = {1: "(N, C, L)", 2: "(N, C, H, W)"}
Both = tuple[Callable[P, Tensor], Callable[P, Tensor]]


def for_1d_and_2d(function: Callable[Concatenate[int, P], Any], kind: str = "operation") -> Both[P]:
    """The compositions of x (N, C, L), function(1, x, ...), and of x (N, C, H, W)."""
    made = []
    for rank in LAYOUTS:
        of_rank = partial(function, rank)
        of_rank.__module__, of_rank.__doc__ = __name__, function.__doc__
        of_rank.__name__ = of_rank.__qualname__ = f"{function.__name__.strip('_')}{rank}d"
        made.append(composition(of_rank, kind=kind))
    return tuple(made)


def _conv(
    rank,
    x,
    weight,
    bias=None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups=1,
):
    """Filters slid over x, without flipping them: (N, M, *windows).

    x         (N, C, L) in 1d, (N, C, H, W) in 2d
    weight    (M, C / groups, *kernel_size), one filter an output channel
    bias      (M,) or None
    stride    the step between windows
    padding   the number of zeros on all sides, "same" or "valid"
    dilation  the step inside a window
    groups    the number of groups of channels, each with M / groups filters

    In 2d, stride, padding and dilation are a number or a pair (vertical, horizontal). Raises
    ValueError for shapes and settings that do not fit.
    """
    window = _filters(rank, x, weight, bias, stride, padding, dilation, groups)
    x = _padded(x, window.padding)
    return windows.convolve(x, weight, bias, window.stride, window.dilation, groups)


def _conv_transpose(
    rank,
    x,
    weight,
    bias=None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups=1,
    dilation: Ints = 1,
):
    """The transpose of conv1d or conv2d as a linear map: x (N, M, *space) gives (N, C, *larger).

    weight (M, C / groups, *kernel_size), bias (C,) or None. stride, padding, groups and dilation
    are the arguments of the convolution. A convolution with a stride maps inputs of several sizes
    to one size. output_padding chooses between these sizes: it is added to the size of the result,
    and must be less than the stride. Raises ValueError for shapes and settings that do not fit.
    """
    window = _filters(rank, x, weight, bias, stride, padding, dilation, groups, transposed=True)
    stride, dilation = window.stride, window.dilation
    extra = each("output_padding", output_padding, rank, 0)
    if any(e >= s for e, s in zip(extra, stride)):
        raise ValueError(f"output_padding {extra} must be smaller than the stride {stride}.")
    out = each("each axis of x", x.shape[2:], rank, 1)
    covered = windows.covered(out, window.size, stride, dilation)
    space = tuple(map(sum, zip(covered, extra)))
    if any(n <= before + after for n, (before, after) in zip(space, window.padding)):
        raise ValueError(f"without the padding, nothing is left of {space}; x {x.shape}.")
    out = windows.convolve_input(x, weight, space, stride, dilation, groups)
    out = _cropped(out, window.padding)
    return out if bias is None else out + by_channel(bias, out)


def _max_pool(
    rank,
    x: Operand,
    kernel_size: Ints,
    stride=None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode=False,
):
    """The largest entry of each window of x. Ties share the gradient equally.

    x is (N, C, L) in 1d and (N, C, H, W) in 2d. stride is kernel_size unless given. padding adds
    entries of -inf; each window needs an entry of x. dilation is the step inside a window. In 2d,
    each is a number or a pair (vertical, horizontal). ceil_mode=True adds a window at the end where
    entries are left over. Raises ValueError for shapes and settings that do not fit.
    """
    settings = kernel_size, stride, padding, dilation
    return _pooled(rank, x, np.max, -math.inf, settings, ceil_mode)[0]


def _avg_pool(
    rank,
    x: Operand,
    kernel_size: Ints,
    stride=None,
    padding: Ints = 0,
    ceil_mode=False,
    count_include_pad=True,
):
    """The mean of each window of x.

    x is (N, C, L) in 1d and (N, C, H, W) in 2d. stride is kernel_size unless given. padding adds
    zeros, which count in the mean unless count_include_pad=False; each window needs an entry of x.
    In 2d, each is a number or a pair (vertical, horizontal). ceil_mode=True adds a window at the
    end where entries are left over; its entries beyond the padding do not count. Raises ValueError
    for shapes and settings that do not fit.
    """
    settings = kernel_size, stride, padding, 1
    means, shares = _pooled(rank, x, np.mean, 0, settings, ceil_mode, count_include_pad)
    return means if shares is None else means / shares


def _adaptive_avg_pool(rank, x: Operand, output_size):
    """The means of `output_size` sections of x along each axis.

    x (N, C, L) gives (N, C, output_size). x (N, C, H, W) gives (N, C, rows, columns), where
    output_size is a number or (rows, columns).

    Section i of an axis of n goes from floor(i n / output_size) to ceil((i + 1) n / output_size).
    A nan or infinity in x reaches all sections of its row and column. Raises ValueError for another
    x or output_size.
    """
    for axis, inside in _sections(rank, x, output_size):
        x = _mixed(x, axis, inside / inside.sum(axis=0))
    return x


def _adaptive_max_pool(rank, x: Operand, output_size):
    """The largest entries of `output_size` sections of x along each axis.

    Arguments, sections and errors: see adaptive_avg_pool1d and adaptive_avg_pool2d. Ties share the
    gradient equally; in 2d first the ties inside a column, then the ties between columns.
    """
    for axis, inside in _sections(rank, x, output_size):
        rows = np.expand_dims(np.moveaxis(x, axis, -1), -2)
        x = np.moveaxis(np.max(np.where(inside.T, rows, -math.inf), axis=-1), -1, axis)
    return x


conv1d, conv2d = for_1d_and_2d(_conv)
conv_transpose1d, conv_transpose2d = for_1d_and_2d(_conv_transpose)
max_pool1d, max_pool2d = for_1d_and_2d(_max_pool)
avg_pool1d, avg_pool2d = for_1d_and_2d(_avg_pool)
adaptive_avg_pool1d, adaptive_avg_pool2d = for_1d_and_2d(_adaptive_avg_pool)
adaptive_max_pool1d, adaptive_max_pool2d = for_1d_and_2d(_adaptive_max_pool)


@composition
def interpolate(x: Operand, size=None, scale_factor=None, mode="nearest", align_corners=False):
    """x (N, C, *space) made larger or smaller.

    size           the new sizes, a number, or one number for each axis
    scale_factor   the new sizes divided by the old sizes, in place of `size`
    mode           "nearest": entry i of an axis is entry floor(i / scale) of x; "linear" for one
                   axis and "bilinear" for two: between the two nearest entries it is linear
    align_corners  for the linear modes. True: the first and last entries of the result are the
                   first and last entries of x. False: the result covers x from edge to edge, half
                   an entry further at each end. A nan or infinity in x reaches its row and column

    Raises ValueError for another mode, if not exactly one of size and scale_factor is given, and if
    an axis would have size 0.
    """
    rank = check_channels(x, 3)
    space = each("each axis of x", x.shape[2:], rank, 1)
    linear = {1: "linear", 2: "bilinear"}.get(rank, "nearest")
    if mode not in ("nearest", linear):
        raise ValueError(f'mode of x {x.shape} must be "nearest" or "{linear}", got {mode!r}.')
    if (size is None) == (scale_factor is None):
        raise ValueError("give size or scale_factor, and not both.")
    scales = size is None and each("scale_factor", scale_factor, rank, 0, numbers.Real)
    size = [int(n * scale) for n, scale in zip(space, scales)] if scales else size
    size = each("the new size", size, rank, 1)
    scales = scales or [m / n for m, n in zip(size, space)]
    for axis, (m, n, scale) in enumerate(zip(size, space, scales), start=2):
        if mode == "nearest":
            places = np.round(np.arange(m) / scale, 9)  # 33 / 1.1 is 29.999...
            x = np.take(x, np.minimum(places, n - 1).astype(int), axis)
            continue
        places = np.linspace(0, n - 1, m) if align_corners else (np.arange(m) + 0.5) / scale - 0.5
        apart = np.absolute(np.arange(n)[:, None] - np.clip(places, 0, n - 1))
        x = _mixed(x, axis, np.maximum(1 - apart, 0))
    return x


@composition
def unfold(x: Operand, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1):
    """All windows of x (N, C, *space) as columns: (N, C * prod(kernel_size), number of windows).

    kernel_size  the size of a window
    dilation     the step inside a window
    padding      the number of zeros on all sides
    stride       the step between windows

    Raises ValueError for shapes and settings that do not fit.
    """
    rank = check_channels(x, 3)
    window = Window(rank, kernel_size, stride, padding, dilation)
    y = np.moveaxis(window.unfold(_padded(x, window.padding)), range(-rank, 0), range(2, 2 + rank))
    column, out = y.shape[1 : 2 + rank], y.shape[2 + rank :]
    return np.reshape(y, (len(y), math.prod(column), math.prod(out)))


@composition
def fold(
    x: Operand, output_size, kernel_size, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
):
    """The transpose of unfold: adds the columns of x to zeros (N, C, *output_size), as windows.

    x is (N, C * prod(kernel_size), number of windows). For all other arguments see unfold. Raises
    ValueError if output_size has another number of windows.
    """
    rank = len(output_size) if isinstance(output_size, (tuple, list)) else 2
    output_size = each("output_size", output_size, rank, 1)
    window = Window(rank, kernel_size, stride, padding, dilation)
    space = window.padded(output_size)
    out = windows.places(space, window.size, window.stride, window.dilation)
    entries, columns = math.prod(window.size), math.prod(out)
    if np.ndim(x) != 3 or x.shape[1] % entries or x.shape[2] != columns:
        needed = f"(N, C * {entries}, {columns})"
        raise ValueError(f"output_size {output_size} needs x {needed}, got {np.shape(x)}.")
    y = np.reshape(x, (len(x), x.shape[1] // entries, *window.size, *out))
    y = np.moveaxis(y, range(2, 2 + rank), range(-rank, 0))
    return _cropped(windows.fold(y, space, window.stride, window.dilation), window.padding)


class Window:
    """The settings of windows over `rank` axes: a number, or one number for each axis."""

    def __init__(self, rank, size, stride, padding, dilation):
        self.size = each("kernel_size", size, rank, 1)
        self.dilation = each("dilation", dilation, rank, 1)
        self.stride = self.size if stride is None else each("stride", stride, rank, 1)
        self.reach = windows.covered((1,) * rank, self.size, self.stride, self.dilation)
        if padding == "same":
            if max(self.stride) > 1:
                raise ValueError(f'padding="same" is for stride 1, not {self.stride}.')
            self.padding = [((r - 1) // 2, r // 2) for r in self.reach]
        else:
            widths = each("padding", 0 if padding == "valid" else padding, rank, 0)
            self.padding = [(p, p) for p in widths]

    def padded(self, space):
        """The sizes of a space with its padding."""
        return tuple(n + before + after for n, (before, after) in zip(space, self.padding))

    def beyond(self, space):
        """How many entries beyond the padding an incomplete last window needs, for each axis."""
        missing = [(r - n) % s for n, r, s in zip(self.padded(space), self.reach, self.stride)]
        ends = zip(missing, self.reach, self.padding)
        return [m if m + after < r else 0 for m, r, (_, after) in ends]

    def unfold(self, x):
        """All windows of x (N, C, *space), which is padded already: (N, C, *out, *size)."""
        return windows.unfold(x, self.size, self.stride, self.dilation)

    def shares(self, space, padding, dtype):
        """The share of each window that lies in this space, not in this padding."""
        inside = _padded(np.ones((1, 1, *space), dtype), padding)
        return np.mean(self.unfold(inside), axis=tuple(range(-len(space), 0)))


def _padded(x, padding, value=0):
    """x (N, C, *space) with `value` around its space, (before, after) entries for each axis."""
    widths = [(0, 0), (0, 0), *padding]
    return np.pad(x, widths, constant_values=value) if any(map(any, padding)) else x


def _cropped(x, padding):
    """x (N, C, *space) without the padding."""
    if not any(map(any, padding)):
        return x
    ends = zip(x.shape[2:], padding)
    return x[(..., *(slice(before, n - after) for n, (before, after) in ends))]


def _filters(rank, x, weight, bias, stride, padding, dilation, groups, transposed=False):
    """The Window of a convolution. Raises ValueError if weight and bias do not fit x."""
    check_axes(x, LAYOUTS[rank])
    shape = np.shape(weight)
    window = Window(rank, shape[2:], stride, padding, dilation)
    check_divides("groups", groups, filters=shape[0])
    sizes = shape[0], shape[1] * groups
    filters, channels = sizes[::-1] if transposed else sizes
    check_shapes((filters,), bias=bias)
    if x.shape[1] != channels:
        needed = f"weight {shape} with groups={groups} takes {channels} channels"
        raise ValueError(f"{needed}, but axis 1 of x {x.shape} has {x.shape[1]}.")
    return window


def _pooled(rank, x, function, value, settings, ceil_mode, counts_padding=False):
    """(function of each window of x padded with `value`, the share of each window that counts).

    The shares are None if all entries count.
    """
    check_axes(x, LAYOUTS[rank])
    x = floats(x, np.float64)  # whole numbers have no -inf
    window, space, shares = Window(rank, *settings), x.shape[2:], None
    beyond = [(0, n) for n in window.beyond(space)] if ceil_mode else [(0, 0)] * rank
    padding = [(before, after + n) for (before, after), (_, n) in zip(window.padding, beyond)]
    if any(map(any, padding)):
        shares = window.shares(space, padding, x.dtype)
        if not shares.all():
            settings = f"padding {padding} is too large for kernel_size {window.size}"
            raise ValueError(f"{settings}: a window of x {x.shape} has padding alone.")
    if counts_padding:
        is_whole = not any(map(any, beyond))
        shares = None if is_whole else window.shares(window.padded(space), beyond, x.dtype)
    entries = window.unfold(_padded(x, padding, value))
    return function(entries, axis=tuple(range(-rank, 0))), shares


def _sections(rank, x, output_size):
    """Yields (axis, mask) for each axis of the space of x. mask[j, i]: is j in section i?"""
    check_axes(x, LAYOUTS[rank])
    space = each("each axis of x", x.shape[2:], rank, 1)
    sizes = each("output_size", output_size, rank, 1)
    for axis, (m, n) in enumerate(zip(sizes, space), start=2):
        i, j = np.arange(m), np.arange(n)[:, None]
        yield axis, (j >= i * n // m) & (j < -(-(i + 1) * n // m))


def _mixed(x, axis, shares):
    """Mixtures of the entries of x along an axis, by their shares (entries, mixtures)."""
    x = floats(x, np.float64)
    return np.moveaxis(np.moveaxis(x, axis, -1) @ shares.astype(x.dtype), -1, axis)

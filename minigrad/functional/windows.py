"""Convolution and pooling: functions of windows that slide over the space of x.

x is (N, C, L) for the functions in 1d and (N, C, H, W) for the functions in 2d. Their arguments:

kernel_size  the size of a window
stride       the distance from one window to the next
padding      the number of zeros at both ends of each axis. Convolutions also take "same", which
             keeps the size (stride 1 only), and "valid", which is 0
dilation     the distance from one entry of a window to the next: 2 takes every other entry of x
groups       the number of groups of channels, each with its own filters

Sizes, strides, paddings and dilations are whole numbers, or one number for each axis. An axis of n
entries has (n + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1 windows; ceil_mode=True
of the pools rounds the quotient up. All functions raise ValueError for x, weights or biases of
other shapes, for settings out of range, and for a window larger than x.
"""

import math
import numbers

import numpy as np

from ..ops import windows
from ..registry import composition
from ..types import Ints, Operand
from .checks import by_channel, check_axes, check_divides, check_shapes, each

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "unfold", "fold"]
__all__ += ["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"]
__all__ += ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d"]
__all__ += ["adaptive_max_pool2d", "interpolate"]

LAYOUTS = {1: "(N, C, L)", 2: "(N, C, H, W)"}


@composition
def conv1d(x, weight, bias=None, stride=1, padding: int | str = 0, dilation=1, groups=1):
    """Filters slid over x (N, C, L), without flipping them: (N, M, windows).

    weight (M, C / groups, K), one filter an output channel; bias (M,) or None; stride, the step
    between windows; padding, zeros at both ends, or "same"; dilation, the step inside a window;
    groups of channels, each with M / groups filters. Raises ValueError for shapes and settings that
    do not fit.
    """
    return _conv(1, x, weight, bias, stride, padding, dilation, groups)


@composition
def conv2d(
    x, weight, bias=None, stride: Ints = 1, padding: Ints | str = 0, dilation: Ints = 1, groups=1
):
    """Filters slid over x (N, C, H, W), without flipping them: (N, M, rows, columns of windows).

    weight (M, C / groups, KH, KW), one filter an output channel; bias (M,) or None; stride, the
    step between windows; padding, zeros on all sides, or "same"; dilation, the step inside a
    window; groups of channels, each with M / groups filters. stride, padding and dilation are a
    number or a pair (vertical, horizontal). Raises ValueError for shapes and settings that do not
    fit.
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups)


@composition
def conv_transpose1d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The transpose of conv1d as a linear map: x (N, M, L) gives (N, C, longer L).

    weight (M, C / groups, K), bias (C,) or None. stride, padding, groups and dilation are the
    arguments of the conv1d. That conv1d gives L for several lengths: output_padding, less than
    stride or dilation, is added to the length of the result. Raises ValueError for shapes and
    settings that do not fit.
    """
    return _conv_transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


@composition
def conv_transpose2d(
    x,
    weight,
    bias=None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups=1,
    dilation: Ints = 1,
):
    """The transpose of conv2d as a linear map: x (N, M, H, W) gives (N, C, larger H, larger W).

    weight (M, C / groups, KH, KW), bias (C,) or None. All other arguments and the errors: see
    conv_transpose1d; each is a number or a pair (vertical, horizontal).
    """
    return _conv_transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


@composition
def max_pool1d(x: Operand, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The largest entry of each window of x (N, C, L). Ties share the gradient equally.

    stride is kernel_size unless given. padding adds entries of -inf; no window may have padding
    alone. dilation is the step inside a window. ceil_mode=True adds a window at the end where
    entries are left over. Raises ValueError for shapes and settings that do not fit.
    """
    settings = kernel_size, stride, padding, dilation
    return _pooled(1, x, np.max, -math.inf, settings, ceil_mode)[0]


@composition
def max_pool2d(
    x: Operand,
    kernel_size: Ints,
    stride=None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode=False,
):
    """The largest entry of each window of x (N, C, H, W). Ties share the gradient equally.

    Arguments and errors as for max_pool1d; each is a number or a pair (vertical, horizontal).
    """
    settings = kernel_size, stride, padding, dilation
    return _pooled(2, x, np.max, -math.inf, settings, ceil_mode)[0]


@composition
def avg_pool1d(
    x: Operand, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """The mean of each window of x (N, C, L).

    stride is kernel_size unless given. padding adds zeros, which count in the mean unless
    count_include_pad=False; no window may have padding alone. ceil_mode=True adds a window at the
    end where entries are left over; what it has beyond the padding does not count. Raises
    ValueError for shapes and settings that do not fit.
    """
    settings = kernel_size, stride, padding, 1
    return _avg_pool(1, x, settings, ceil_mode, count_include_pad)


@composition
def avg_pool2d(
    x: Operand, kernel_size, stride=None, padding: Ints = 0, ceil_mode=False, count_include_pad=True
):
    """The mean of each window of x (N, C, H, W).

    Arguments and errors as for avg_pool1d; each is a number or a pair (vertical, horizontal).
    """
    settings = kernel_size, stride, padding, 1
    return _avg_pool(2, x, settings, ceil_mode, count_include_pad)


@composition
def adaptive_avg_pool1d(x: Operand, output_size):
    """The means of `output_size` sections of x (N, C, L): (N, C, output_size).

    Section i goes from floor(i L / output_size) to ceil((i + 1) L / output_size). Raises ValueError
    unless output_size is a whole number >= 1.
    """
    return _adaptive_pool("avg", 1, x, output_size)


@composition
def adaptive_avg_pool2d(x: Operand, output_size):
    """The means of a grid of rectangles of x (N, C, H, W): (N, C, rows, columns).

    output_size is a number, or (rows, columns) in which None leaves an axis as it is. Errors as for
    adaptive_avg_pool1d.
    """
    return _adaptive_pool("avg", 2, x, output_size)


@composition
def adaptive_max_pool1d(x: Operand, output_size):
    """The largest entries of `output_size` sections of x (N, C, L): see adaptive_avg_pool1d."""
    return _adaptive_pool("max", 1, x, output_size)


@composition
def adaptive_max_pool2d(x: Operand, output_size):
    """The largest entries of rectangles of x (N, C, H, W): see adaptive_avg_pool2d.

    Ties in a row share the gradient equally, and so do ties of rows.
    """
    return _adaptive_pool("max", 2, x, output_size)


@composition
def interpolate(x: Operand, size=None, scale_factor=None, mode="nearest", align_corners=False):
    """x (N, C, *space) made larger or smaller.

    size           the new sizes, a number, or one number for each axis
    scale_factor   the new sizes divided by the old sizes, in place of `size`
    mode           "nearest": entry i of an axis is entry floor(i / scale) of x; "linear" for one
                   axis and "bilinear" for two: between the two nearest entries it is linear
    align_corners  of the linear modes: True puts the first and the last entries of x at the ends.
                   False puts the edges of x there, half an entry further

    Raises ValueError for another mode, if not exactly one of size and scale_factor is given, and if
    an axis would have size 0.
    """
    rank = _rank(x)
    space = x.shape[2:]
    linear = {1: "linear", 2: "bilinear"}.get(rank)
    if mode not in ("nearest", linear):
        needed = '"nearest"' + (f' or "{linear}"' if linear else "")
        raise ValueError(f"mode of x {x.shape} must be {needed}, got {mode!r}.")
    if (size is None) == (scale_factor is None):
        raise ValueError("give size or scale_factor, and not both.")
    if not min(space):
        raise ValueError(f"x {x.shape} has no entries.")
    if size is None:
        scales = each("scale_factor", scale_factor, rank, 0, numbers.Real)
        size = [int(n * scale) for n, scale in zip(space, scales)]
    else:
        size = each("size", size, rank, 1)
        scales = [m / n for m, n in zip(size, space)]
    if min(size) < 1:
        raise ValueError(f"scale_factor={scale_factor} leaves nothing of x {x.shape}.")
    for axis, (m, n, scale) in enumerate(zip(size, space, scales), start=2):
        if mode == "nearest":
            places = np.round(np.arange(m) / scale, 9)  # 33 / 1.1 = 30
            x = np.take(x, np.minimum(places, n - 1).astype(int), axis)
            continue
        places = np.linspace(0, n - 1, m) if align_corners else (np.arange(m) + 0.5) / scale - 0.5
        apart = np.absolute(np.arange(n)[:, None] - np.clip(places, 0, n - 1))
        x = _mixed(x, axis, np.maximum(1 - apart, 0))
    return x


@composition
def unfold(x: Operand, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1):
    """All windows of x (N, C, *space) as columns: (N, C * prod(kernel_size), number of windows).

    dilation is the step inside a window, padding the zeros on all sides, stride the step between
    windows. Raises ValueError for shapes and settings that do not fit.
    """
    rank = _rank(x)
    window = Window(rank, kernel_size, stride, padding, dilation)
    y = np.moveaxis(window.unfold(x), range(-rank, 0), range(2, 2 + rank))
    column, out = y.shape[1 : 2 + rank], y.shape[2 + rank :]
    return np.reshape(y, (len(y), math.prod(column), math.prod(out)))


@composition
def fold(
    x: Operand, output_size, kernel_size, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
):
    """The transpose of unfold: adds the columns of x to zeros (N, C, *output_size), as windows.

    x is (N, C * prod(kernel_size), number of windows). All other arguments as for unfold. Raises
    ValueError if output_size has another number of windows.
    """
    rank = len(output_size) if isinstance(output_size, (tuple, list)) else 2
    output_size = each("output_size", output_size, rank, 1)
    window = Window(rank, kernel_size, stride, padding, dilation)
    space = window.padded(output_size)
    out = window.places(output_size)
    entries, columns = math.prod(window.size), math.prod(out)
    if np.ndim(x) != 3 or x.shape[1] % entries or x.shape[2] != columns:
        needed = f"(N, C * {entries}, {columns})"
        raise ValueError(f"output_size {output_size} needs x {needed}, got {np.shape(x)}.")
    y = np.reshape(x, (len(x), x.shape[1] // entries, *window.size, *out))
    y = np.moveaxis(y, range(2, 2 + rank), range(-rank, 0))
    return window.crop(windows.fold(y, space, window.stride, window.dilation))


class Window:
    """The settings of windows over `rank` axes: a number, or one number for each axis."""

    def __init__(self, rank, size, stride, padding, dilation):
        self.size = each("kernel_size", size, rank, 1)
        self.dilation = each("dilation", dilation, rank, 1)
        self.stride = self.size if stride is None else each("stride", stride, rank, 1)
        if padding == "same":
            if max(self.stride) > 1:
                raise ValueError(f'padding="same" is for stride 1, not {self.stride}.')
            total = [d * (k - 1) for k, d in zip(self.size, self.dilation)]
            self.pad_by([(t // 2, t - t // 2) for t in total])
        else:
            padding = 0 if padding == "valid" else padding
            self.pad_by([(p, p) for p in each("padding", padding, rank, 0)])

    def pad_by(self, padding):
        """Sets the padding, (before, after) for each axis."""
        self.padding, self.pads = padding, any(map(any, padding))

    def padded(self, space):
        """The sizes of a space with its padding."""
        return tuple(n + before + after for n, (before, after) in zip(space, self.padding))

    def pad(self, x, value=0):
        """x with `value` around it."""
        widths = [(0, 0), (0, 0), *self.padding]
        return np.pad(x, widths, constant_values=value) if self.pads else x

    def crop(self, x):
        """x without its padding."""
        if not self.pads:
            return x
        ends = zip(x.shape[2:], self.padding)
        return x[(..., *(slice(before, n - after) for n, (before, after) in ends))]

    def places(self, space):
        """How many windows fit along each padded axis. Raises ValueError if one is too large."""
        return windows.places(self.padded(space), self.size, self.stride, self.dilation)

    def beyond(self, space):
        """How many entries after the padding complete a window that begins before it, by axis."""
        reach = [d * (k - 1) + 1 for k, d in zip(self.size, self.dilation)]
        missing = [(r - n) % s for n, r, s in zip(self.padded(space), reach, self.stride)]
        ends = zip(missing, reach, self.padding)
        return [m if m + after < r else 0 for m, r, (_, after) in ends]

    def unfold(self, x, value=0):
        """All windows of the padded x (N, C, *space): (N, C, *out, *size)."""
        self.places(x.shape[2:])
        return windows.unfold(self.pad(x, value), self.size, self.stride, self.dilation)

    def shares(self, x):
        """The share of each window that is not padding. Raises ValueError if a share is 0."""
        axes = tuple(range(-len(self.size), 0))
        shares = np.mean(self.unfold(np.ones((1, 1, *x.shape[2:]), x.dtype)), axis=axes)
        if not shares.all():
            settings = f"padding {self.padding} is too large for kernel_size {self.size}"
            raise ValueError(f"{settings}: a window of x {x.shape} has padding alone.")
        return shares


def _rank(x):
    """How many axes of space x (N, C, *space) has."""
    if np.ndim(x) < 3:
        raise ValueError(f"x must be (N, C, ...), got shape {np.shape(x)}.")
    return np.ndim(x) - 2


def _filters(rank, x, weight, bias, stride, padding, dilation, groups, transposed=False):
    """The Window of a convolution. Raises ValueError if weight and bias do not fit x."""
    check_axes(x, LAYOUTS[rank])
    shape = np.shape(weight)
    if len(shape) != x.ndim:
        raise ValueError(f"weight must have {x.ndim} axes, got shape {shape}.")
    check_divides("groups", groups, filters=shape[0])
    channels, outputs = shape[1] * groups, shape[0]
    if transposed:
        channels, outputs = outputs, channels
    if x.shape[1] != channels:
        needed = f"weight {shape} with groups={groups} takes {channels}"
        raise ValueError(f"x {x.shape} has {x.shape[1]} channels, {needed}.")
    check_shapes((outputs,), bias=bias)
    return Window(rank, shape[2:], stride, padding, dilation)


def _conv(rank, x, weight, bias, stride, padding, dilation, groups):
    window = _filters(rank, x, weight, bias, stride, padding, dilation, groups)
    window.places(x.shape[2:])
    return windows.convolve(window.pad(x), weight, bias, window.stride, window.dilation, groups)


def _conv_transpose(rank, x, weight, bias, stride, padding, output_padding, groups, dilation):
    window = _filters(rank, x, weight, bias, stride, padding, dilation, groups, True)
    stride, dilation = window.stride, window.dilation
    extra = each("output_padding", output_padding, rank, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        limits = f"the stride {stride} or the dilation {dilation}"
        raise ValueError(f"output_padding {extra} must be smaller than {limits}.")
    covered = windows.covered(x.shape[2:], window.size, stride, dilation)
    space = tuple(map(sum, zip(covered, extra)))
    if any(n <= before + after for n, (before, after) in zip(space, window.padding)):
        raise ValueError(f"without the padding, nothing is left of {space}; x {x.shape}.")
    out = window.crop(windows.convolve_input(x, weight, space, stride, dilation, groups))
    return out if bias is None else out + by_channel(bias, out)


def _pooled(rank, x, function, value, settings, ceil_mode, counts_padding=False):
    """(function of each window of x padded with `value`, the shares that count, None for 1)."""
    check_axes(x, LAYOUTS[rank])
    window = Window(rank, *settings)
    padding, beyond = window.padding, window.beyond(x.shape[2:]) if ceil_mode else [0] * rank
    window.pad_by([(before, after + n) for (before, after), n in zip(padding, beyond)])
    shares = window.shares(x) if window.pads else None
    if counts_padding:
        window.pad_by(padding)
        x = window.pad(x)
        window.pad_by([(0, n) for n in beyond])
        shares = window.shares(x) if window.pads else None
    return function(window.unfold(x, value), axis=tuple(range(-rank, 0))), shares


def _avg_pool(rank, x, *settings):
    means, shares = _pooled(rank, x, np.mean, 0, *settings)
    return means if shares is None else means / shares


def _adaptive_pool(kind, rank, x, output_size):
    check_axes(x, LAYOUTS[rank])
    space = x.shape[2:]
    if isinstance(output_size, (tuple, list)) and len(output_size) == rank:
        output_size = [n if m is None else m for m, n in zip(output_size, space)]
    elif output_size is None:
        output_size = space
    sizes = each("output_size", output_size, rank, 1)
    for axis, (m, n) in enumerate(zip(sizes, space), start=2):
        i, j = np.arange(m), np.arange(n)[:, None]
        inside = (j >= i * n // m) & (j < -(-(i + 1) * n // m))
        if kind == "max":
            sections = np.where(inside.T, np.expand_dims(np.moveaxis(x, axis, -1), -2), -math.inf)
            x = np.moveaxis(np.max(sections, axis=-1), -1, axis)
        else:
            x = _mixed(x, axis, inside / inside.sum(axis=0))
    return x


def _mixed(x, axis, shares):
    """Mixtures of the entries of x along an axis, by their shares (entries, mixtures)."""
    shares = shares.astype(np.result_type(x.dtype, np.float16))  # whole numbers become floats
    return np.moveaxis(np.moveaxis(x, axis, -1) @ shares, -1, axis)

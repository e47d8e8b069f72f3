"""Windows that slide over the last axes of x, and the convolutions, which are made of them.

The convolutions are the partial derivatives, by y, x and w, of one form that is linear in each:

    T(x, w, y) = sum of x[n, c, stride o + dilation k] w[m, c, k] y[n, m, o]   over n, m, c, o, k

x is the input, w the filters, y what weighs the output; o and k are places along each axis. So the
rules of each are the other two, for derivatives of every order. Each is a matrix product over the
windows of x (Chellapilla et al. 2006), a few samples at a time: all windows together would be
prod(size) times as large as x, a few stay in the cache.
"""

import math

import numpy as np

from ..registry import op

BLOCK = 2**19  # entries of a matrix of windows


def _windows(x, size, stride, dilation):
    """The view (..., *out, *size) of all windows in x (..., *space)."""
    axes = range(x.ndim - len(size), x.ndim)
    span = [d * (k - 1) + 1 for k, d in zip(size, dilation)]
    if any(s > n for s, n in zip(span, x.shape[-len(size) :])):
        raise ValueError(
            f"x {x.shape}: a window of {tuple(span)} does not fit into {x.shape[-len(size) :]}"
        )
    view = np.lib.stride_tricks.sliding_window_view(x, span, tuple(axes))
    return view[
        (..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))
    ]


def places(space, size, stride, dilation):
    """How many windows fit along each axis."""
    return tuple(
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(space, size, stride, dilation)
    )


def _add_windows(x, y, stride, dilation):
    """Adds windows y (..., *out, *size) to x (..., *space) in place: the transpose of taking."""
    rank = len(stride)
    out = y.shape[-2 * rank : -rank]
    for k in np.ndindex(y.shape[-rank:]):
        at = (
            slice(d * i, d * i + s * (n - 1) + 1, s) for i, n, s, d in zip(k, out, stride, dilation)
        )
        x[(..., *at)] += y[(..., *k)]


def _zeros(y, space):
    """Zeros (..., *space), in memory in the order of y (..., *out)."""
    return np.zeros_like(y, shape=(*y.shape[: -len(space)], *space))


@op(x=lambda g, out, x, size, stride, dilation: fold(g, x.shape[-len(size) :], stride, dilation))
def unfold(x, size, stride, dilation):
    """All windows of x (..., *space) as (..., *out, *size).

    In memory they are *size arrays, each of the same place in all windows.
    """
    rank = len(size)
    ends, starts = range(-rank, 0), range(rank)
    return np.moveaxis(
        np.moveaxis(_windows(x, size, stride, dilation), ends, starts).copy(), starts, ends
    )


@op(
    y=lambda g, out, y, space, stride, dilation: unfold(g, y.shape[-len(space) :], stride, dilation)
)
def fold(y, space, stride, dilation):
    """Windows y (..., *out, *size) added up where they lie in (..., *space): unfold's transpose."""
    x = _zeros(y[(..., *(0,) * len(space))], space)
    _add_windows(x, y, stride, dilation)
    return x


# ------------------------------------------------------------------------------------- convolutions
# x (N, C, *space), w (M, C / groups, *size), y (N, M, *out). Results lie in memory as (M, N, *out)
# and (C, N, *space), as the matrix products give them: the next convolution then reads and writes
# whole rows.


@op(
    x=lambda g, out, x, w, bias, stride, dilation, groups: convolve_input(
        g, w, x.shape[2:], stride, dilation, groups
    ),
    w=lambda g, out, x, w, bias, stride, dilation, groups: convolve_weight(
        x, g, w.shape[2:], stride, dilation, groups
    ),
    bias=lambda g, out, x, w, bias, stride, dilation, groups: g.sum(axis=(0, *range(2, g.ndim))),
)
def convolve(x, w, bias, stride, dilation, groups):
    """dT/dy (N, M, *out), plus bias (M,) or None: every filter at every place.

    Filters are not flipped: it is the cross-correlation.
    """
    samples, (filters, _, *size) = len(x), w.shape
    out = places(x.shape[2:], size, stride, dilation)
    dtype = np.result_type(x, w)
    if bias is not None and bias.dtype.kind == "c":
        dtype = bias.dtype
    y = np.empty((filters, samples, *out), dtype)
    for rows, windows in _matrices(x, size, stride, dilation, groups):
        product = np.matmul(w.reshape(groups, filters // groups, -1), windows).reshape(
            filters, -1, *out
        )
        y[:, rows] = product if bias is None else product + bias.reshape(-1, *[1] * (y.ndim - 1))
    return y.swapaxes(0, 1)


@op(
    y=lambda g, out, y, w, space, stride, dilation, groups: convolve(
        _reached(g, y, w, stride, dilation), w, None, stride, dilation, groups
    ),
    w=lambda g, out, y, w, space, stride, dilation, groups: convolve_weight(
        _reached(g, y, w, stride, dilation), y, w.shape[2:], stride, dilation, groups
    ),
)
def convolve_input(y, w, space, stride, dilation, groups):
    """dT/dx (N, C, *space): at every place, the filters times its y. The transposed convolution."""
    (samples, _, *out), (filters, channels, *size) = y.shape, w.shape
    channels, weights = channels * groups, w.reshape(groups, filters // groups, -1).swapaxes(1, 2)
    x = np.zeros((channels, samples, *space), np.result_type(y, w))
    for rows in _blocks(samples, channels * math.prod(size) * math.prod(out)):
        windows = np.matmul(weights, _maps(y[rows], groups)).reshape(channels, *size, -1, *out)
        _add_windows(
            x[:, rows],
            np.moveaxis(windows, range(1, 1 + len(size)), range(-len(size), 0)),
            stride,
            dilation,
        )
    return x.swapaxes(0, 1)


@op(
    x=lambda g, out, x, y, size, stride, dilation, groups: convolve_input(
        y, g, x.shape[2:], stride, dilation, groups
    ),
    y=lambda g, out, x, y, size, stride, dilation, groups: convolve(
        x, g, None, stride, dilation, groups
    ),
)
def convolve_weight(x, y, size, stride, dilation, groups):
    """dT/dw (M, C / groups, *size): the windows of x, weighted by y."""
    filters, channels = y.shape[1], x.shape[1] // groups
    w = np.zeros((groups, filters // groups, channels * math.prod(size)), np.result_type(x, y))
    for rows, windows in _matrices(x, size, stride, dilation, groups):
        w += np.matmul(_maps(y[rows], groups), windows.swapaxes(1, 2))
    return w.reshape(filters, channels, *size)


def _reached(x, y, w, stride, dilation):
    """The part of x (N, C, *space) that the places of y reach: beyond it may be room for more."""
    ends = (
        s * (n - 1) + d * (k - 1) + 1
        for n, k, s, d in zip(y.shape[2:], w.shape[2:], stride, dilation)
    )
    return x[(..., *map(slice, ends))]


def _matrices(x, size, stride, dilation, groups):
    """For a few samples at a time: their slice, and their windows as matrices.

    The matrices have the shape (groups, C / groups * size, n * out).
    """
    rank = len(size)
    windows = np.moveaxis(
        _windows(x, size, stride, dilation), range(-rank, 0), range(2, 2 + rank)
    )  # (N, C, *size, *out)
    for rows in _blocks(len(x), math.prod(windows.shape[1:])):
        part = np.moveaxis(windows[rows], 0, rank + 1)
        yield rows, part.reshape(groups, x.shape[1] // groups * math.prod(size), -1)


def _maps(y, groups):
    """y (n, M, *out) as matrices (groups, M / groups, n * out)."""
    return y.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, -1)


def _blocks(samples, entries):
    """Slices of so many samples, `entries` each, as stay in the cache."""
    step = max(1, BLOCK // max(1, entries))
    return (slice(i, i + step) for i in range(0, samples, step))

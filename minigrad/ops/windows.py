"""Windows that slide over the last axes of x, and convolutions, which use windows.

The three convolutions are the derivatives, by y, x and w, of one form that is linear in each:

    T(x, w, y) = sum of x[n, c, stride o + dilation k] w[m, c, k] y[n, m, o]   over n, m, c, o, k

Here x is the input, w holds the filters, and y weighs the output; o and k are positions along each
axis. So the rules of each convolution are the other two convolutions, for derivatives of every
order. Each convolution is a matrix product over the windows of x (Chellapilla et al. 2006). It
takes a few samples at a time, whose windows stay in the cache: all windows together can be
prod(size) times as large as x.

In the rules, `settings` are the last arguments of the op, such as (stride, dilation, groups).
"""

import math

import numpy as np

from ..registry import op

BLOCK = 2**19  # entries of a matrix of windows


def _windows(x, size, stride, dilation):
    """The view (..., *out, *size) of all windows in x (..., *space)."""
    places(x.shape[-len(size) :], size, stride, dilation)  # or its error
    axes = range(x.ndim - len(size), x.ndim)
    span = covered((1,) * len(size), size, stride, dilation)
    view = np.lib.stride_tricks.sliding_window_view(x, span, tuple(axes))
    return view[(..., *(slice(None, None, step) for step in (*stride, *dilation)))]


def places(space, size, stride, dilation):
    """How many windows fit along each axis. Raises ValueError if a window is too large."""
    spans = covered((1,) * len(size), size, stride, dilation)
    for n, span in zip(space, spans):
        if n < span:
            window = f"a window of {span} does not fit into an axis of {n}"
            raise ValueError(f"{window}, padding included.")
    return tuple((n - span) // step + 1 for n, span, step in zip(space, spans, stride))


def covered(out, size, stride, dilation):
    """How many entries `out` windows cover along each axis."""
    axes = zip(out, size, stride, dilation)
    return tuple(s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in axes)


def _add_windows(x, y, stride, dilation):
    """Adds windows y (..., *out, *size) to x (..., *space) in place: the transpose of _windows."""
    rank = len(stride)
    out = y.shape[-2 * rank : -rank]
    for k in np.ndindex(y.shape[-rank:]):
        axes = zip(k, out, stride, dilation)
        at = (slice(d * i, d * i + s * (n - 1) + 1, s) for i, n, s, d in axes)
        x[(..., *at)] += y[(..., *k)]


@op(x=lambda g, out, x, size, *settings: fold(g, x.shape[-len(size) :], *settings))
def unfold(x, size, stride, dilation):
    """All windows of x (..., *space) as (..., *out, *size).

    In memory, the entries for each position in a window lie together.
    """
    ends, starts = range(-len(size), 0), range(len(size))
    first = np.moveaxis(_windows(x, size, stride, dilation), ends, starts).copy()
    return np.moveaxis(first, starts, ends)


@op(y=lambda g, out, y, space, *settings: unfold(g, y.shape[-len(space) :], *settings))
def fold(y, space, stride, dilation):
    """Windows y (..., *out, *size) added up at their positions in (..., *space).

    It is the transpose of unfold.
    """
    y_0 = y[(..., *(0,) * len(space))]  # zeros_like keeps the order of its axes in memory
    x = np.zeros_like(y_0, shape=(*y_0.shape[: -len(space)], *space))
    _add_windows(x, y, stride, dilation)
    return x


# ------------------------------------------------------------------------------------- convolutions
# x (N, C, *space), w (M, C / groups, *size), y (N, M, *out). The matrix products give results that
# lie in memory as (M, N, *out) and (C, N, *space). So the next convolution reads and writes whole
# rows.


@op(
    x=lambda g, out, x, w, bias, *settings: convolve_input(g, w, x.shape[2:], *settings),
    w=lambda g, out, x, w, bias, *settings: convolve_weight(x, g, w.shape[2:], *settings),
    bias=lambda g, out, x, w, bias, *settings: g.sum(axis=(0, *range(2, g.ndim))),
)
def convolve(x, w, bias, stride, dilation, groups):
    """dT/dy (N, M, *out), plus bias (M,) or None: every filter at every position.

    Filters are not flipped, so this is the cross-correlation.
    """
    samples, (filters, _, *size) = len(x), w.shape
    views = _windows(x, size, stride, dilation)
    out = views.shape[2 : x.ndim]
    dtype = np.result_type(x, w) if bias is None else np.result_type(x, w, bias)
    y = np.empty((filters, samples, *out), dtype)
    weights = w.reshape(groups, filters // groups, -1)
    for rows, windows in _matrices(views, groups):
        product = np.matmul(weights, windows).reshape(filters, -1, *out)
        y[:, rows] = product if bias is None else product + bias.reshape(-1, *[1] * (y.ndim - 1))
    return y.swapaxes(0, 1)


@op(
    y=lambda g, out, y, w, space, *settings: convolve(g, w, None, *settings),
    w=lambda g, out, y, w, space, *settings: convolve_weight(g, y, w.shape[2:], *settings),
)
def convolve_input(y, w, space, stride, dilation, groups):
    """dT/dx (N, C, *space), the transposed convolution: at every position, the filters times y.

    The windows must leave less than a stride of the space uncovered.
    """
    (samples, _, *out), (filters, channels, *size) = y.shape, w.shape
    channels, weights = channels * groups, w.reshape(groups, filters // groups, -1).swapaxes(1, 2)
    x = np.zeros((channels, samples, *space), np.result_type(y, w))
    product = np.multiply if filters == groups else np.matmul  # faster with one filter a group
    for rows in _blocks(samples, channels * math.prod(size) * math.prod(out)):
        windows = product(weights, _maps(y[rows], groups)).reshape(channels, *size, -1, *out)
        windows = np.moveaxis(windows, range(1, 1 + len(size)), range(-len(size), 0))
        _add_windows(x[:, rows], windows, stride, dilation)
    return x.swapaxes(0, 1)


@op(
    x=lambda g, out, x, y, size, *settings: convolve_input(y, g, x.shape[2:], *settings),
    y=lambda g, out, x, y, size, *settings: convolve(x, g, None, *settings),
)
def convolve_weight(x, y, size, stride, dilation, groups):
    """dT/dw (M, C / groups, *size): the windows of x, weighted by y."""
    filters, channels = y.shape[1], x.shape[1] // groups
    w = np.zeros((groups, filters // groups, channels * math.prod(size)), np.result_type(x, y))
    for rows, windows in _matrices(_windows(x, size, stride, dilation), groups):
        w += np.matmul(_maps(y[rows], groups), windows.swapaxes(1, 2))
    return w.reshape(filters, channels, *size)


def _matrices(windows, groups):
    """For a few samples at a time: their slice, and their windows as matrices.

    windows (N, C, *out, *size); the matrices have the shape (groups, C / groups * size, n * out).
    """
    rank = windows.ndim // 2 - 1
    windows = np.moveaxis(windows, range(-rank, 0), range(2, 2 + rank))  # (N, C, *size, *out)
    height = math.prod(windows.shape[1 : 2 + rank]) // groups
    for rows in _blocks(len(windows), math.prod(windows.shape[1:])):
        yield rows, np.moveaxis(windows[rows], 0, rank + 1).reshape(groups, height, -1)


def _maps(y, groups):
    """y (n, M, *out) as matrices (groups, M / groups, n * out)."""
    return y.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, -1)


def _blocks(samples, entries):
    """Slices of the samples, `entries` entries each. The samples of one slice fit the cache."""
    step = max(1, BLOCK // max(1, entries))
    return (slice(i, i + step) for i in range(0, samples, step))

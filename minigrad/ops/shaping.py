"""Linear ops that only move entries. Each one's rule is its transpose: the op that moves them back."""

from itertools import accumulate

import numpy as np

from ..registry import op


@op(numpy=np.reshape, x=lambda g, out, x, shape: np.reshape(g, x.shape))
def reshape(x, shape):
    return np.reshape(x, shape)


@op(
    numpy=np.transpose,
    x=lambda g, out, x, axes: np.transpose(
        g, axes if axes is None else tuple(np.argsort([a % x.ndim for a in axes]))
    ),
)
def transpose(x, axes=None):
    return np.transpose(x, axes)


@op(numpy=np.swapaxes, x=lambda g, out, x, axis1, axis2: np.swapaxes(g, axis1, axis2))
def swapaxes(x, axis1, axis2):
    return np.swapaxes(x, axis1, axis2)


@op(numpy=np.moveaxis, x=lambda g, out, x, source, destination: np.moveaxis(g, destination, source))
def moveaxis(x, source, destination):
    return np.moveaxis(x, source, destination)


@op(numpy=np.expand_dims, x=lambda g, out, x, axis: np.reshape(g, x.shape))
def expand_dims(x, axis):
    return np.expand_dims(x, axis)


@op(numpy=np.squeeze, x=lambda g, out, x, axis: np.reshape(g, x.shape))
def squeeze(x, axis=None):
    return np.squeeze(x, axis)


@op(numpy=np.broadcast_to, x=lambda g, out, x, shape: g)  # the engine sums over what was broadcast
def broadcast_to(x, shape):
    return np.broadcast_to(x, shape)


@op(numpy=np.flip, x=lambda g, out, x, axis: np.flip(g, axis))
def flip(x, axis=None):
    return np.flip(x, axis)


@op(numpy=np.roll, x=lambda g, out, x, shift, axis: np.roll(g, -np.asarray(shift), axis))
def roll(x, shift, axis=None):
    return np.roll(x, shift, axis)


def _inside(x, pad_width):
    """The index of `x` within its padded array."""
    widths = np.broadcast_to(pad_width, (x.ndim, 2))
    return tuple(slice(before, before + n) for (before, _), n in zip(widths.tolist(), x.shape))


@op(numpy=np.pad, x=lambda g, out, x, pad_width, mode, constant_values: g[_inside(x, pad_width)])
def pad(x, pad_width, mode="constant", constant_values=0):
    """x with constant values around it; `pad_width` as in NumPy: n, (before, after) or one such pair an axis."""
    if isinstance(pad_width, dict):
        raise TypeError("pad_width is n, (before, after) or one such pair an axis, not a dict")
    if mode != "constant":
        raise ValueError(f"mode {mode!r} has no rule; only 'constant' has")
    return np.pad(x, pad_width, mode, constant_values=constant_values)


def _parts(g, axis, arrays):
    """The parts of g, one for each array, along the axis on which the arrays were joined."""
    before = (slice(None),) * (axis % g.ndim)
    ends = list(accumulate(a.shape[axis] for a in arrays))
    return [g[(*before, slice(start, end))] for start, end in zip([0, *ends], ends)]


@op(arrays=lambda g, out, axis, *arrays: _parts(g, axis, arrays))
def concatenate(axis, *arrays):
    """The arrays joined along an existing axis."""
    return np.concatenate(arrays, axis)


@op(arrays=lambda g, out, axis, *arrays: np.moveaxis(g, axis, 0))
def stack(axis, *arrays):
    """The arrays, all of one shape, joined along a new axis."""
    return np.stack(arrays, axis)

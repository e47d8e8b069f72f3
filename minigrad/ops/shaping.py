"""Linear ops that move entries. The rule of each is its transpose: the op that moves them back.

Each op takes the arguments of the NumPy function of the same name. An impossible axis or shape
raises NumPy's error with the name of the op.
"""

from itertools import accumulate

import numpy as np

from ..registry import op
from ..types import Axis
from .indexing import scatter


@op(numpy=np.reshape, x=lambda g, out, x, shape: np.reshape(g, x.shape))
def reshape(x, shape):
    """x in another shape with the same number of entries. One size may be -1."""
    return np.reshape(x, shape)


def _transpose_rule(g, out, x, axes):
    back = None if axes is None else tuple(np.argsort([a % x.ndim for a in axes]))
    return np.transpose(g, back)


transpose = op(np.transpose, a=_transpose_rule)
op(np.moveaxis, a=lambda g, out, a, source, to: np.moveaxis(g, to, source))
op(np.expand_dims, a=lambda g, out, a, axis: np.reshape(g, a.shape))
op(np.flip, m=lambda g, out, m, axis: np.flip(g, axis))
op(np.roll, a=lambda g, out, a, shift, axis: np.roll(g, -np.asarray(shift), axis))


@op(numpy=np.swapaxes, x=lambda g, out, x, axis1, axis2: np.swapaxes(g, axis1, axis2))
def swapaxes(x, axis1: int, axis2: int):
    """x with two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


@op(numpy=np.squeeze, x=lambda g, out, x, axis: np.reshape(g, x.shape))
def squeeze(x, axis: Axis = None):
    """x without its axes of size 1. `axis` selects some of these axes."""
    return np.squeeze(x, axis)


@op(numpy=np.broadcast_to, x=lambda g, out, x, shape: g)  # the engine undoes broadcasting
def broadcast_to(x, shape):
    """x broadcast to `shape`."""
    return np.broadcast_to(x, shape)


MODES = "constant", "edge", "reflect", "symmetric", "wrap"


def _pad_rule(g, out, x, pad_width, mode, constant_values):
    if mode == "constant":
        widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
        return g[tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))]
    places = np.pad(np.arange(x.size).reshape(x.shape), pad_width, mode)
    return np.reshape(scatter(np.ravel(g), (x.size,), places.ravel()), x.shape)


@op(numpy=np.pad, x=_pad_rule)
def pad(x, pad_width, mode="constant", constant_values=None):
    """x with `constant_values` around it, by default 0, or with its own entries in another mode.

    pad_width  n, (before, after) or one such pair for each axis. Raises TypeError for a dict.
    mode       One of MODES. Raises ValueError for another one.
    """
    if isinstance(pad_width, dict):
        raise TypeError(
            "pad_width is n, (before, after) or one such pair for each axis, not a dict"
        )
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} has no rule; {', '.join(MODES)} have")
    settings = {} if constant_values is None else {"constant_values": constant_values}
    return np.pad(x, pad_width, mode, **settings)


def _parts(g, axis, arrays):
    """The parts of g, one for each array, along the axis that joined the arrays."""
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

"""NumPy functions that are compositions of ops: np.split(t, 3) takes a Tensor as it takes an array.

The arguments have NumPy's names and meanings. Arguments that are not listed here are not supported.
All functions raise ValueError for an axis that does not exist.
"""

import numbers

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..array import implements
from ..engine import Tensor
from ..ops.indexing import at, plain
from .checks import whole_numbers


def _flat(x, axis):
    """(x, axis); without an axis (x flattened, 0)."""
    return (np.ravel(x), 0) if axis is None else (x, axis)


def _along(x, axis, *indices):
    """x[index] along `axis` for each of the indices: x[:, :, index] for axis 2."""
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    return [at(x, (*before, index)) for index in indices]


def _indices(x, indices, axis):
    n = x.shape[normalize_axis_index(axis, x.ndim)]
    return whole_numbers(f"indices into an axis of {n} entries", indices, -n, n)


@implements(np.split)
def split(x, indices_or_sections, axis=0):
    """The list of parts of x along `axis`: a number of equal parts, or parts cut at indices.

    Raises ValueError for a number of parts that does not divide the axis.
    """
    n = x.shape[normalize_axis_index(axis, x.ndim)]
    parts = plain("the indices", indices_or_sections)
    if not isinstance(parts, numbers.Integral):
        cuts = [slice(cut).indices(n)[1] for cut in parts]  # without negative indices
    elif parts < 1 or n % parts:
        raise ValueError(f"{parts} equal parts do not divide an axis of size {n}.")
    else:
        cuts = [i * n // parts for i in range(1, parts)]
    return _parts(x, cuts, axis)


def _parts(x, cuts, axis):
    """The parts of x between the cuts. Many are cut by halves.

    Backward adds each part to zeros of the shape of the array that was cut. So if all k parts were
    cut from x itself, the time would grow as k * x.size.
    """
    if len(cuts) < 8 or cuts != sorted(cuts):
        return _along(x, axis, *map(slice, [0, *cuts], [*cuts, None]))
    half = len(cuts) // 2
    middle, after = cuts[half], cuts[half + 1 :]
    first, second = _along(x, axis, slice(middle), slice(middle, None))
    return _parts(first, cuts[:half], axis) + _parts(second, [c - middle for c in after], axis)


@implements(np.take)
def take(x, indices, axis=None):
    """The entries of x with these indices along `axis`; without an axis, of x flattened.

    Raises IndexError for an index out of range, TypeError for indices that are not whole numbers.
    """
    x, axis = _flat(x, axis)
    return _along(x, axis, _indices(x, indices, axis))[0]


@implements(np.take_along_axis)
def take_along_axis(x, indices, axis=-1):
    """The entries of x at `indices` along `axis`, such as the indices from np.argsort.

    Raises ValueError unless indices has as many axes as x; for other errors see np.take.
    """
    x, axis = _flat(x, axis)
    if np.ndim(indices) != x.ndim:
        raise ValueError(f"x {x.shape} and indices {np.shape(indices)} need equal numbers of axes.")
    index = list(np.ogrid[tuple(map(slice, x.shape))])
    index[axis] = _indices(x, indices, axis)
    return at(x, tuple(index))


@implements(np.nonzero)
def nonzero(x):
    """The positions of the entries that are not 0: an array of integers for each axis.

    Raises ValueError for a number, which has no axis.
    """
    if x.ndim == 0:
        raise ValueError("a number has no axis. Write x[None].")
    return tuple(np.transpose(np.argwhere(x)))


@implements(np.repeat)
def repeat(x, repeats, axis=None):
    """Each entry of x along `axis`, `repeats` times; without an axis, of x flattened.

    repeats  a number, or a number for each entry

    Raises ValueError for negative numbers, and for a wrong number of repeats.
    """
    x, axis = _flat(x, axis)
    places = np.repeat(np.arange(x.shape[axis]), plain("the repeats", repeats))
    return _along(x, axis, places)[0]


@implements(np.tile)
def tile(x, reps):
    """x as a whole, repeated `reps` times: a number, or a number for each axis."""
    reps = np.atleast_1d(plain("the repeats", reps))
    x = np.reshape(x, (1,) * (len(reps) - np.ndim(x)) + np.shape(x))
    for axis, times in enumerate(reps, x.ndim - len(reps)):
        if times != 1:
            x = _along(x, axis, np.tile(np.arange(x.shape[axis]), times))[0]
    return x


@implements(np.full_like)
def full_like(x, fill_value):
    """An array of the shape and dtype of x with `fill_value` everywhere."""
    fill = fill_value if isinstance(fill_value, Tensor) else Tensor(fill_value, dtype=x.dtype)
    return np.ones_like(x) * np.broadcast_to(fill.astype(x.dtype), np.shape(x))


@implements(np.hstack)
def hstack(arrays):
    """Arrays joined along axis 1, vectors along axis 0. Raises ValueError if shapes differ."""
    arrays = [a if np.ndim(a) else np.reshape(a, 1) for a in arrays]
    return np.concatenate(arrays, axis=min(1, np.ndim(arrays[0]) - 1))


@implements(np.vstack)
def vstack(arrays):
    """Arrays joined along axis 0, vectors as rows. Raises ValueError if shapes differ."""
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (1, -1)) for a in arrays], axis=0)


@implements(np.diagonal)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The entries [i, i + offset] of two axes, in a new last axis.

    Raises ValueError for equal axes.
    """
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    i = np.arange(max(0, -offset), min(rows, columns - offset))
    return x[..., i, i + offset]


@implements(np.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the entries [i, i + offset] of two axes. Raises ValueError for equal axes."""
    return np.sum(np.diagonal(x, offset, axis1, axis2), axis=-1)


@implements(np.tril)
def tril(x, k=0):
    """x with zeros above diagonal k of its last two axes."""
    return np.where(np.tri(*np.shape(x)[-2:], k=k, dtype=bool), x, False)  # False widens no dtype


@implements(np.triu)
def triu(x, k=0):
    """x with zeros below diagonal k of its last two axes."""
    return np.where(np.tri(*np.shape(x)[-2:], k=k - 1, dtype=bool), False, x)


@implements(np.outer)
def outer(x, y):
    """The products of each entry of x and each entry of y: (x.size, y.size)."""
    return np.reshape(x, (-1, 1)) * np.reshape(y, (1, -1))


@implements(np.dot)
def dot(x, y):
    """The sums of products over the last axis of x and the second-last (or only) axis of y."""
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return x * y
    if np.ndim(x) > 2 or np.ndim(y) > 2:
        return np.tensordot(x, y, (-1, max(-2, -np.ndim(y))))
    return x @ y


@implements(np.ravel)
def ravel(x):
    """x as a vector."""
    return np.reshape(x, -1)

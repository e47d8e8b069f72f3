"""NumPy functions that are compositions here."""

import numbers

import numpy as np

from ..array import data_of, implements
from ..engine import Tensor


def _axis(name, x, axis):
    if not isinstance(axis, numbers.Integral) or not -np.ndim(x) <= axis < np.ndim(x):
        raise ValueError(f"{name}: there is no axis {axis} in shape {np.shape(x)}.")
    return axis % np.ndim(x)


def _before(name, x, axis):
    """The slices of the axes before `axis`, in an index."""
    return (slice(None),) * _axis(name, x, axis)


def _whole(name, indices, n):
    """The indices into an axis of size n, as an array."""
    indices = np.asarray(data_of(indices))
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: the indices must be of an integer dtype, not {indices.dtype}. For a mask write x[mask]."
        )
    if indices.size and not -n <= indices.min() <= indices.max() < n:
        raise IndexError(
            f"{name}: the indices {indices.min()}..{indices.max()} are not all among {-n}..{n - 1}, of an axis of size {n}."
        )
    return indices


@implements(np.split)
def split(x, indices_or_sections, axis=0):
    """As np.split: a list of slices, each an indexing node of its own."""
    before, n = _before("split", x, axis), x.shape[axis]
    if isinstance(indices_or_sections, numbers.Integral):
        if indices_or_sections < 1 or n % indices_or_sections:
            raise ValueError(
                f"split: an axis of size {n} cannot be split into {indices_or_sections} equal parts."
            )
        indices_or_sections = [
            i * (n // indices_or_sections) for i in range(1, indices_or_sections)
        ]
    bounds = [0, *indices_or_sections, n]
    return [x[(*before, slice(a, b))] for a, b in zip(bounds, bounds[1:])]


@implements(np.take)
def take(x, indices, axis=None):
    x, axis = (np.ravel(x), 0) if axis is None else (x, axis)
    before = _before("take", x, axis)
    return x[(*before, _whole("take", indices, x.shape[axis]))]


@implements(np.take_along_axis)
def take_along_axis(x, indices, axis=-1):
    x, axis = (np.ravel(x), 0) if axis is None else (x, axis)
    if np.ndim(indices) != x.ndim or not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"take_along_axis: x {x.shape} and indices {np.shape(indices)} must have as many axes, and axis {axis} among them."
        )
    indices = _whole("take_along_axis", indices, x.shape[axis])
    index = list(np.ogrid[tuple(map(slice, x.shape))])
    index[axis] = indices
    return x[tuple(index)]


@implements(np.repeat)
def repeat(x, repeats, axis=None):
    n = np.size(x) if axis is None else np.shape(x)[_axis("repeat", x, axis)]
    if np.size(repeats) not in (1, n) or np.min(repeats, initial=0) < 0:
        raise ValueError(
            f"repeat of {np.shape(x)}: repeats is a number >= 0, or one for each of the {n} entries; got {repeats}."
        )
    return take(x, np.repeat(np.arange(n), repeats), axis)


@implements(np.tile)
def tile(x, reps):
    reps = tuple(np.atleast_1d(reps))
    x = np.reshape(x, (1,) * (len(reps) - np.ndim(x)) + np.shape(x))
    for axis, times in enumerate(reps, x.ndim - len(reps)):
        x = take(x, np.tile(np.arange(x.shape[axis]), times), axis) if times != 1 else x
    return x


@implements(np.hstack)
def hstack(arrays):
    arrays = [a if np.ndim(a) else np.reshape(a, 1) for a in arrays]
    return np.concatenate(arrays, axis=min(1, np.ndim(arrays[0]) - 1))


@implements(np.vstack)
def vstack(arrays):
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (1, -1)) for a in arrays], axis=0)


@implements(np.diff)
def diff(x, n=1, axis=-1):
    before = _before("diff", x, axis)
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


@implements(np.diagonal)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """As np.diagonal: the entries [i, i + offset] of these axes, as a last axis."""
    first, second = _axis("diagonal", x, axis1), _axis("diagonal", x, axis2)
    if first == second:
        raise ValueError(
            f"diagonal of {np.shape(x)}: two axes are needed, got {axis1} and {axis2}."
        )
    x = np.moveaxis(x, (first, second), (-2, -1))
    i, j = np.arange(x.shape[-2]), np.arange(x.shape[-2]) + offset
    inside = (j >= 0) & (j < x.shape[-1])
    return x[..., i[inside], j[inside]]


@implements(np.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    if np.ndim(x) < 2:
        raise ValueError(f"trace: two axes are needed, got shape {np.shape(x)}.")
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    return np.sum(np.where(np.eye(*x.shape[-2:], offset, dtype=bool), x, 0), axis=(-2, -1))


@implements(np.tril)
def tril(x, k=0):
    return np.where(np.tri(*np.shape(x)[-2:], k=k, dtype=bool), x, 0)


@implements(np.triu)
def triu(x, k=0):
    return np.where(np.tri(*np.shape(x)[-2:], k=k - 1, dtype=bool), 0, x)


@implements(np.outer)
def outer(x, y):
    return np.reshape(x, (-1, 1)) * np.reshape(y, (1, -1))


@implements(np.dot)
def dot(x, y):
    """x @ y for vectors and matrices, x * y where one is a scalar."""
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return x * y
    if np.ndim(x) > 2 or np.ndim(y) > 2:
        raise ValueError(
            f"dot of {np.shape(x)} and {np.shape(y)}: use matmul (@) or einsum for more than two axes."
        )
    return x @ y


Tensor.dot = dot


@implements(np.ravel)
def ravel(x):
    return np.reshape(x, -1)

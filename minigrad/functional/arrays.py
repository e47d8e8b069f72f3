"""NumPy functions that are compositions here."""

import numpy as np

from ..engine import Tensor, implements


@implements(np.split)
def split(x, indices_or_sections, axis=0):
    """As np.split: a list of slices, each an indexing node of its own."""
    n = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if n % indices_or_sections:
            raise ValueError(f"split: an axis of size {n} cannot be split into {indices_or_sections} equal parts.")
        indices_or_sections = range(n // indices_or_sections, n, n // indices_or_sections)
    bounds = [0, *indices_or_sections, n]
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(a, b))] for a, b in zip(bounds, bounds[1:])]


@implements(np.take)
def take(x, indices, axis=None):
    if axis is None:
        return np.reshape(x, -1)[indices]
    return x[(slice(None),) * (axis % x.ndim) + (indices,)]


@implements(np.take_along_axis)
def take_along_axis(x, indices, axis=-1):
    if axis is None:
        return np.reshape(x, -1)[indices]
    index = list(np.ogrid[tuple(map(slice, np.shape(indices)))])
    index[axis] = indices
    return x[tuple(index)]


@implements(np.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    return np.sum(x * np.eye(*x.shape[-2:], offset, dtype=x.dtype), axis=(-2, -1))


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
        raise ValueError(f"dot of {np.shape(x)} and {np.shape(y)}: use matmul (@) or einsum for more than two axes.")
    return x @ y


Tensor.dot = dot


@implements(np.ravel)
def ravel(x):
    return np.reshape(x, -1)

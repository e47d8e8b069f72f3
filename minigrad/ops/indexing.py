"""Reading entries by index, and its transpose: adding entries into zeros. Each is the other's rule."""

import numbers

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..registry import op


def _plain(index):
    """An index as NumPy takes it; sequences and Tensors as arrays, which are copies: who changes theirs does not change the graph."""
    return tuple(map(_item, index)) if isinstance(index, tuple) else _item(index)


def _item(i):
    if i is None or i is ... or isinstance(i, (slice, numbers.Integral)):
        return i
    array = np.array(data_of(i))
    return (
        array if array.size or isinstance(i, (np.ndarray, Tensor)) else array.astype(int)
    )  # [] has no floats in it


def at(x, index):
    """x[index] of a Tensor. A Tensor as the index stays one, which graphs show."""
    return getitem(x, index if isinstance(index, Tensor) else _plain(index))


@op(x=lambda g, out, x, index: scatter(g, index, x.shape))
def getitem(x, index):
    """x[index], with any index NumPy takes: integers, slices, None, ..., boolean and integer arrays."""
    return x[index]


@op(x=lambda g, out, x, index, shape: getitem(g, index))
def scatter(x, index, shape):
    """Zeros of `shape` with x added at `index`; an entry named twice gets the sum."""
    out, index = np.zeros(shape, x.dtype), _plain(index)
    items = index if isinstance(index, tuple) else (index,)
    if any(
        isinstance(i, np.ndarray) and i.dtype != bool for i in items
    ):  # only arrays of integers can name an entry twice
        np.add.at(out, index, x)
    else:
        out[index] = x
    return out

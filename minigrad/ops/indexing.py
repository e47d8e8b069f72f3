"""Reading entries by index, and its transpose: adding entries into zeros."""

import numbers

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..registry import op


def _plain(index):
    """An index for NumPy. Index arrays are copied, so that later edits do not change the graph."""
    return tuple(map(_plain_item, index)) if isinstance(index, tuple) else _plain_item(index)


def _plain_item(i):
    if i is None or i is ... or isinstance(i, (slice, numbers.Integral)):
        return i
    array = np.array(data_of(i))
    is_list = not isinstance(i, (np.ndarray, Tensor))
    return array.astype(int) if is_list and not array.size else array  # np.array([]) has floats


def at(x, index):
    """x[index] of a Tensor. If the index is a Tensor, the graph shows it."""
    return getitem(x, index if isinstance(index, Tensor) else _plain(index))


@op(x=lambda g, out, x, index: scatter(g, index, x.shape))
def getitem(x, index):
    """x[index] for every index of NumPy: integers, slices, None, ..., bool and integer arrays."""
    return x[index]


@op(x=lambda g, out, x, index, shape: getitem(g, index))
def scatter(x, index, shape):
    """Zeros of `shape` with x added at `index`. An entry that is named twice gets the sum."""
    out, index = np.zeros(shape, x.dtype), _plain(index)
    items = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, np.ndarray) and i.dtype != bool for i in items):
        np.add.at(out, index, x)  # an array of integers can name an entry twice
    else:
        out[index] = x
    return out

"""Reading entries by index, and its transpose: adding entries into zeros.

An index has one part for each axis, or for several. Parts are operands. So a Tensor in an index is
an argument of the node: a graph that runs again computes its indices again.
"""

import math
import numbers
from copy import copy

import numpy as np

from ..array import entries_of, is_array, is_foreign, is_recorded
from ..engine import Tensor
from ..registry import op

PLAIN = frozenset([int, slice, type(None), type(...)])  # the types of parts that are not arrays


@op(x=lambda g, out, x, *index: scatter(g, x.shape, *index), index=None)
def getitem(x, *index):
    """x[index] for every index of NumPy: integers, slices, None, ..., bool and integer arrays."""
    return x[index]


@op(x=lambda g, out, x, shape, *index: getitem(g, *index), index=None)
def scatter(x, shape, *index):
    """Zeros of `shape` with x added at `index`. An entry that is named twice gets the sum."""
    out = np.zeros(shape, x.dtype)
    if PLAIN.issuperset(map(type, index)) or all(map(_names_once, index)):
        out[index] = x
    elif len(index) > 1 or len(shape) == 1:
        np.add.at(out, index, x)
    else:  # NumPy adds numbers to a vector several times as fast as rows to a matrix
        row = np.arange(math.prod(shape[1:])).reshape(shape[1:])
        places = np.add.outer(np.multiply(index[0], row.size, dtype=np.intp), row)
        np.add.at(out.reshape(-1), places.reshape(-1), np.broadcast_to(x, places.shape).reshape(-1))
    return out


def _names_once(i):
    """Whether a part of an index names no entry twice. An array of integers may name one twice."""
    return type(i) in PLAIN or np.asarray(i).dtype == bool


def at(x, index) -> Tensor:
    """x[index] of a Tensor.

    Raises IndexError for an entry or an axis that x does not have, TypeError for a slice with a
    bound that belongs to a graph.
    """
    if isinstance(index, tuple):
        return getitem(x, *map(_part, index))
    return getitem(x, _part(index))


def _part(i):
    """A part of an index. An array is copied, so that later edits do not change the graph."""
    if type(i) is slice:
        if type(i.start) in PLAIN and type(i.stop) in PLAIN and type(i.step) in PLAIN:
            return i
        bounds = i.start, i.stop, i.step
        return slice(*(copy(plain("bounds of a slice", b)) for b in bounds))
    if type(i) in PLAIN or isinstance(i, (Tensor, numbers.Integral)):
        return i
    is_list = not isinstance(i, np.ndarray)
    if is_list and is_foreign(i):
        return i
    array = np.array(i)
    return array.astype(int) if is_list and not array.size else array  # np.array([]) has floats


def plain(what, value):
    """A setting; a Tensor becomes an array. Raises TypeError for a part of a graph."""
    if is_recorded(value):
        raise TypeError(
            f"{what} belong to a graph, and the op needs plain numbers. Pass t.numpy()."
        )
    return entries_of(value, f"the op, for {what},") if is_array(value) else value

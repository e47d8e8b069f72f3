"""Reading entries by index, and its transpose: adding entries into zeros. Each is the other's rule."""

import numpy as np

from ..engine import data_of, op


def _plain(index):
    """An index as NumPy takes it: Tensors and lists as arrays."""
    if isinstance(index, tuple):
        return tuple(map(_plain, index))
    return np.asarray(data_of(index)) if isinstance(index, list) else data_of(index)


def _repeats(index):
    """Whether an index may name an entry twice: only arrays of integers can."""
    return any(isinstance(i, np.ndarray) and i.dtype != bool for i in (index if isinstance(index, tuple) else (index,)))


@op(x=lambda g, out, x, index: scatter(g, index, x.shape))
def getitem(x, index):
    """x[index], with any index NumPy takes: integers, slices, None, ..., boolean and integer arrays."""
    return x[_plain(index)]


@op(x=lambda g, out, x, index, shape: getitem(g, index))
def scatter(x, index, shape):
    """Zeros of `shape` with x added at `index`; an entry named twice gets the sum."""
    out, index = np.zeros(shape, x.dtype), _plain(index)
    if _repeats(index):
        np.add.at(out, index, x)
    else:
        out[index] = x
    return out

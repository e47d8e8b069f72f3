"""Functions that move, repeat, drop and join entries, or put zeros between them.

NumPy's function gets the numbers 1, 2, ... in place of the entries. Then one index picks the
entries with the resulting numbers. So all arguments, shapes and errors are NumPy's, and the op
`getitem` has the derivatives.
"""

from functools import cache, partial
from inspect import signature
from itertools import accumulate

import numpy as np

from ..array import implements, is_array, numpy_functions
from ..ops.indexing import plain
from .calls import mapped, tensors

arguments = cache(signature)


def moved(function, *operands):
    """A composition of a NumPy function that moves the entries of some of its arguments.

    operands  the names of these arguments, arrays or (nested) lists of them; by default the first
    """

    def composition(*args, **keywords):
        given, arrays = arguments(function).bind(*args, **keywords), []
        for name in operands or [*given.arguments][:1]:
            if name in given.arguments:
                given.arguments[name] = _numbered(given.arguments[name], arrays)
        args, settings = mapped(partial(plain, "the settings"), (given.args, given.kwargs))
        return _picked(arrays, function(*args, **settings))

    return composition


def _numbered(x, arrays):
    """The numbers of the entries of x, from 1. The array x is added to the `arrays` before it."""
    if isinstance(x, (list, tuple)) and tensors(x):
        return type(x)([_numbered(part, arrays) for part in x])
    if not is_array(x):
        is_number = arrays and isinstance(x, (int, float))
        x = np.asarray(x, np.result_type(arrays[0].dtype, x) if is_number else None)
    first = 1 + sum(a.size for a in arrays)
    arrays.append(x)
    return np.arange(first, first + x.size).reshape(x.shape)


def _picked(arrays, numbers):
    """The entries of the arrays with these numbers; 0 for the number 0.

    Of several arrays, a list of numbers has a part for each.
    """
    if isinstance(numbers, (list, tuple)):
        starts = accumulate((a.size for a in arrays), initial=0)
        parts = [([a], n - start) for a, n, start in zip(arrays, numbers, starts)]
        if len(arrays) == 1:
            parts = [(arrays, n) for n in numbers]
        return type(numbers)([_picked(*part) for part in parts])
    if len(arrays) == 1 and np.all(numbers):
        return np.ravel(arrays[0])[numbers - 1]
    entries = [np.ravel(a) for a in arrays]
    return np.concatenate([np.zeros(1, entries[0].dtype), *entries])[numbers]


MOVING = (
    *(np.atleast_1d, np.atleast_2d, np.atleast_3d, np.broadcast_arrays, np.meshgrid, np.copy),
    *(np.diag, np.diagflat, np.rot90, np.flipud, np.fliplr, np.rollaxis, np.matrix_transpose),
    *(np.linalg.matrix_transpose, np.unstack, np.resize, np.delete),
    *(np.block, np.column_stack, np.dstack),
    *(np.array_split, np.hsplit, np.vsplit, np.dsplit),
)
numpy_functions |= {function: moved(function) for function in MOVING}
numpy_functions[np.append] = moved(np.append, "arr", "values")
numpy_functions[np.choose] = moved(np.choose, "choices")


@implements(np.insert)
def insert(arr, obj, values, axis=None):
    """arr with `values`, in the dtype of arr, before the positions obj along `axis`."""
    out = moved(np.insert, "arr", "values")(arr, obj, values, axis)
    return out.astype(arr.dtype) if is_array(arr) and out.dtype != arr.dtype else out


@implements(np.select)
def select(condlist, choicelist, default=0):
    """For each entry the choice of the first condition that holds, else `default`."""
    out = default
    for condition, choice in [*zip(condlist, choicelist, strict=True)][::-1]:
        out = np.where(condition, choice, out)
    return out

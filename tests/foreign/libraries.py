"""The libraries that the tests know: Dask, CuPy where there is a GPU, and a strict one of our own.

The strict library refuses what CuPy refuses: its arrays never become NumPy arrays by themselves, and
none of its functions takes a NumPy array beside them. So it shows, without a GPU, where the package
would rely on Dask alone.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin


class Strict(NDArrayOperatorsMixin):
    """An array of a library that takes no NumPy arrays and becomes none; `get()` copies it to one."""

    def __init__(self, array):
        self._array = np.array(array)

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    T = property(lambda self: Strict(self._array.T))

    def get(self):
        return self._array.copy()

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get().")

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **keywords):
        refuse_numpy(inputs + out)
        result = getattr(ufunc, method)(*map(bare, inputs), **bare(keywords))
        if out:
            out[0]._array[...] = result
        return out[0] if out else Strict(result)

    def __array_function__(self, function, types, args, keywords):
        refuse_numpy([np.empty(0)] if np.ndarray in types else [])
        return wrapped(function(*bare(args), **bare(keywords)))

    def __getitem__(self, index):
        return Strict(self._array[bare(index)])

    def __setitem__(self, index, value):
        refuse_numpy([value])
        self._array[bare(index)] = bare(value)

    def __len__(self):
        return len(self._array)

    def __bool__(self):
        return bool(self._array)


def _method(name):
    def call(self, *args, **keywords):
        refuse_numpy(args)
        return type(self)(getattr(self._array, name)(*bare(args), **bare(keywords)))

    return call


for name in ("astype", "reshape", "sum", "swapaxes", "dot", "copy"):
    setattr(Strict, name, _method(name))


def refuse_numpy(arrays):
    if any(isinstance(a, np.ndarray) for a in arrays):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")


def bare(x):
    """x with the NumPy array of each Strict in it."""
    if isinstance(x, Strict):
        return x._array
    if isinstance(x, dict):
        return {key: bare(part) for key, part in x.items()}
    return type(x)(map(bare, x)) if isinstance(x, (tuple, list)) else x


def wrapped(x):
    """x with a Strict for each NumPy array in it."""
    if isinstance(x, (np.ndarray, np.generic)):
        return Strict(x)
    return type(x)(map(wrapped, x)) if isinstance(x, (tuple, list)) else x


# -------------------------------------------------------------------------------------- libraries


class Computed(Exception):
    """Something was computed that nobody asked for."""


def refuse(*args, **kwargs):
    """A scheduler of Dask that computes nothing."""
    raise Computed("computed")


class Library(NamedTuple):
    """make(ndarray) is an array of the library, read(array) an ndarray.

    Inside quiet() nothing may be computed, inside loud() it may.
    """

    make: Callable
    read: Callable
    quiet: Callable[[], Any] = nullcontext
    loud: Callable[[], Any] = nullcontext


def of_dask():
    dask = pytest.importorskip("dask", reason="Dask is not installed")
    da = pytest.importorskip("dask.array", reason="dask.array is not installed")

    def make(array):
        chunks = tuple(max(1, -(-n // 2)) for n in np.shape(array))  # two along each axis
        return da.from_array(np.asarray(array), chunks=chunks)

    def read(array):
        assert isinstance(array, da.Array)
        return array.compute(scheduler="sync")

    quiet, loud = (partial(dask.config.set, scheduler=s) for s in (refuse, "sync"))
    return Library(make, read, quiet, loud)


def of_cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    if not cupy.is_available():
        pytest.skip("CuPy finds no GPU")
    return Library(cupy.asarray, cupy.ndarray.get)


LIBRARIES = {"Dask": of_dask, "strict": lambda: Library(Strict, Strict.get), "CuPy": of_cupy}

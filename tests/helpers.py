"""What several test files use: leaves of random entries, a comparison of arrays, a registry of one's own."""

import contextlib

import numpy as np

import minigrad as mg
from minigrad import array, registry


def leaf(data, dtype=np.float64):
    """A Tensor of `data` that requires a gradient."""
    return mg.Tensor(data, True, dtype=dtype)


def normal(*shape, seed=0):
    """An array of standard normal entries."""
    return np.random.default_rng(seed).standard_normal(shape)


def normal_leaf(*shape, seed=0, dtype=np.float64):
    """A leaf of standard normal entries."""
    return leaf(normal(*shape, seed=seed), dtype)


def positive_leaf(*shape, seed=0, dtype=np.float64):
    """A leaf of entries from 0.5 to 1.5: away from the kinks and poles at 0."""
    return leaf(np.random.default_rng(seed).uniform(0.5, 1.5, shape), dtype)


def close(found, expected, rtol=1e-12, atol=1e-13):
    """Asserts that two arrays or Tensors are equal up to rounding."""
    __tracebackhide__ = True
    found, expected = array.data_of(found), array.data_of(expected)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@contextlib.contextmanager
def own_registry():
    """On leaving, the ops and NumPy functions that were defined inside are gone."""
    saved = [(table, dict(table)) for table in (registry.ops, array.numpy_functions)]
    try:
        yield
    finally:
        for table, before in saved:
            table.clear()
            table.update(before)

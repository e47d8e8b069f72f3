"""Every sample of every op on Dask arrays: lazy with the same numbers, or refused before work.

    python -m tests.foreign.table

prints the table. Nothing may be computed before the comparison: the scheduler raises an error.
"""

import warnings
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.array import data_of
from minigrad.check.samples import table

dask = pytest.importorskip("dask", reason="other libraries' arrays are tested with Dask")
da = pytest.importorskip("dask.array")

LAZY, REFUSED, WRONG = "lazy and equal", "refused", "wrong"


class Computed(Exception):
    """Something was computed that nobody asked for."""


def refuse(*args, **kwargs):
    raise Computed("computed")


def chunked(array):
    """A Dask array with two chunks along each axis."""
    return da.from_array(array, chunks=tuple(max(1, -(-n // 2)) for n in array.shape))


def entries(x):
    """The entries of an array or a Tensor, computed now."""
    with dask.config.set(scheduler="sync"):
        return np.asarray(data_of(x))


class Outcome(NamedTuple):
    """What came of one sample: dask = pytest.importorskip("dask", reason="other libraries' arrays are tested with Dask")
    da = pytest.importorskip("dask.array")

    LAZY, REFUSED or WRONG, and the error or the difference."""

    kind: str
    note: str = ""


def outcome(sample, inputs):
    """Runs a sample on NumPy and on Dask arrays, and compares results and gradients."""
    inputs = [np.asarray(x, np.float64) for x in inputs]
    expected = values(sample.call, inputs)
    try:
        with dask.config.set(scheduler=refuse):
            found = values(sample.call, [chunked(x) for x in inputs])
    except Exception as error:
        cause = error
        while cause is not None:
            if isinstance(cause, Computed):
                return Outcome(WRONG, f"computed, then {error}")
            cause = cause.__cause__ or cause.__context__
        return Outcome(REFUSED, f"{type(error).__name__}: {error}")
    try:
        computed = [None if a is None else entries(a) for a in found]
    except Exception as error:
        return Outcome(REFUSED, f"when it is computed, {type(error).__name__}: {error}")
    for a, c, b in zip(found, computed, expected):
        if (a is None) != (b is None):
            return Outcome(WRONG, "a gradient is missing")
        if a is None:
            continue
        if isinstance(a, np.ndarray):
            return Outcome(WRONG, "became a NumPy array")
        if not np.allclose(c, b, rtol=1e-12, atol=1e-13, equal_nan=True):
            return Outcome(WRONG, "other numbers")
    return Outcome(LAZY)


def values(call, arrays):
    """The result of call(*Tensors) and its gradients, as arrays."""
    xs = [mg.Tensor(x, True) for x in arrays]
    out = call(*xs)
    if not out.requires_grad:
        return [out.data]
    weights = np.linspace(1, 2, out.size).reshape(out.shape)
    gradients = mg.grad(out, xs, weights, allow_unused=True)
    return [out.data, *(None if g is None else g.data for g in gradients)]


def outcomes():
    """{name of an op: [(sample id, Outcome)]}."""
    found = defaultdict(list)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for id, name, sample, inputs in table():
            found[name].append((id, outcome(sample, inputs)))
    return found


if __name__ == "__main__":
    print(f"{'op':16} {'lazy, equal':>11} {'refused':>8}  the first refusal")
    for name, rows in outcomes().items():
        kinds = [o.kind for _, o in rows]
        note = next((o.note for _, o in rows if o.kind != LAZY), "")
        mark = " WRONG" if WRONG in kinds else ""
        print(f"{name:16} {kinds.count(LAZY):11} {kinds.count(REFUSED):8}  {note[:100]}{mark}")

"""Every sample of every op on arrays of other libraries: equal and still theirs, or refused.

    python -m tests.foreign.table

prints the table, with two columns for each library that is installed. On Dask's arrays "equal" also
says lazy: nothing may be computed before the comparison, since the scheduler raises an error.
"""

import warnings
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.check.samples import table
from tests.foreign.libraries import LIBRARIES, Computed

EQUAL, REFUSED, WRONG = "equal", "refused", "wrong"


class Outcome(NamedTuple):
    """What came of one sample: EQUAL, REFUSED or WRONG, and the error or the difference."""

    kind: str
    note: str = ""


def is_computed(error):
    """Whether Computed is the error or a cause of it."""
    while error is not None and not isinstance(error, Computed):
        error = error.__cause__ or error.__context__
    return error is not None


def outcome(library, sample, inputs):
    """Runs a sample on NumPy arrays and on those of a library: compares results and gradients."""
    inputs = [np.asarray(x, np.float64) for x in inputs]
    expected = values(sample.call, inputs)
    try:
        with library.quiet():
            found = values(sample.call, [library.make(x) for x in inputs])
    except Exception as error:
        note = f"{type(error).__name__}: {error}"
        return (
            Outcome(WRONG, f"computed, then {note}")
            if is_computed(error)
            else Outcome(REFUSED, note)
        )
    if any(isinstance(a, np.ndarray) for a in found):
        return Outcome(WRONG, "became a NumPy array")
    try:
        found = [None if a is None else library.read(a) for a in found]
    except Exception as error:
        return Outcome(REFUSED, f"when it is computed, {type(error).__name__}: {error}")
    for a, b in zip(found, expected, strict=True):
        if (a is None) != (b is None):
            return Outcome(WRONG, "a gradient is missing")
        if a is not None and not np.allclose(a, b, rtol=1e-12, atol=1e-13, equal_nan=True):
            return Outcome(WRONG, "other numbers")
    return Outcome(EQUAL)


def values(call, arrays):
    """The result of call(*Tensors) and its gradients, as arrays."""
    xs = [mg.Tensor(x, True) for x in arrays]
    out = call(*xs)
    if not out.requires_grad:
        return [out.data]
    weights = np.linspace(1, 2, out.size).reshape(out.shape)
    gradients = mg.grad(out, xs, weights, allow_unused=True)
    return [out.data, *(None if g is None else g.data for g in gradients)]


def outcomes(library):
    """{name of an op: [(sample id, Outcome)]}."""
    found = defaultdict(list)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for id, name, sample, inputs in table():
            found[name].append((id, outcome(library, sample, inputs)))
    return found


def installed():
    """{name: Library}. Prints why others are left out."""
    found = {}
    for name, make in LIBRARIES.items():
        try:
            found[name] = make()
        except pytest.skip.Exception as reason:
            print(f"without {name}: {reason}")
    return found


if __name__ == "__main__":
    tables = {name: outcomes(library) for name, library in installed().items()}
    print(" " * 16 + "".join(f"{name:>18}" for name in tables))
    print(f"{'op':16}" + f"{'equal  refused':>18}" * len(tables) + "  the first refusal")
    for op in next(iter(tables.values())):
        line, notes = f"{op:16}", []
        for name, rows in tables.items():
            kinds = [o.kind for _, o in rows[op]]
            line += f"{kinds.count(EQUAL):9}{kinds.count(REFUSED):9}"
            notes += [
                f"{name}: {' '.join(o.note.split()):.100}" for _, o in rows[op] if o.kind != EQUAL
            ][:1]
            notes += [f"{name} WRONG"] * (WRONG in kinds)
        print(line, "", *notes[:1])

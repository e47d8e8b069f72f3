"""Keywords that an op does not have: NumPy's where=, initial=, dtype=, and PyTorch's dim=."""

import numpy as np

from ..engine import record
from ..registry import OTHER_NAMES

# PyTorch's keyword, or a newer one of NumPy -> the setting
SAME = {name: setting for setting, name in OTHER_NAMES.items()}
SAME |= {"dims": "axis", "dim0": "axis1", "dim1": "axis2"}
# op -> (the function of two entries, the entry that changes nothing)
REDUCTIONS = {"sum": (np.add, 0), "prod": (np.multiply, 1), "any": (np.logical_or, False)}
REDUCTIONS |= {"all": (np.logical_and, True), "max": (np.maximum, None), "min": (np.minimum, None)}
CAST = "sum", "prod", "mean", "var", "std", "cumsum"
BY_DIM = {}  # op -> PyTorch's function of the same name, if dim= gives it another meaning


def by_keywords(op, args, others):
    """op(*args) with further keywords, which mean what they mean in NumPy or in PyTorch.

    Raises TypeError for a keyword of neither, and for PyTorch's std and var without their default.
    """
    others = {name: value for name, value in others.items() if value is not None}
    given = dict(zip(op.names, args))
    given |= {SAME.get(name, name): value for name, value in others.items()}
    known = {*op.names} | ({"dtype"} if op.name in CAST else set())
    if op.name in REDUCTIONS:
        known |= {"initial", "where"}
        combine, fill = REDUCTIONS[op.name]
    if unknown := given.keys() - known:
        raise TypeError(f"{op.name}() got an unexpected keyword argument {min(unknown)!r}")
    if "dim" in others or "keepdim" in others:
        if op.name in BY_DIM:
            return BY_DIM[op.name](given["x"], given["axis"], given["keepdims"])
        if "ddof" in given and "correction" not in others:
            raise TypeError(f"{op.name}: say correction=1, PyTorch's default, or 0, NumPy's.")
    if "dtype" in given:
        given["x"] = given["x"].astype(given["dtype"])
    if "where" in given:
        fill = given.get("initial") if fill is None else fill
        if fill is None:
            raise ValueError(f"{op.name}: where= needs initial=, the value of no entries.")
        given["x"] = np.where(given["where"], given["x"], fill)
    out = record(op, tuple(given[name] for name in op.names))
    return combine(out, given["initial"]) if "initial" in given else out

"""Keywords that an op does not have: NumPy's where=, initial=, dtype=, and PyTorch's dim=."""

import numpy as np

from ..engine import record
from ..registry import OTHER_NAMES

# PyTorch's keyword, or a newer one of NumPy -> the setting
SAME = {name: setting for setting, name in OTHER_NAMES.items()} | {"dims": "axis"}
SAME |= {"min": "a_min", "max": "a_max", "dim0": "axis1", "dim1": "axis2"}
# op -> (the function of two entries, the entry that changes nothing)
REDUCTIONS = {"sum": (np.add, 0), "prod": (np.multiply, 1), "any": (np.logical_or, False)}
REDUCTIONS |= {"all": (np.logical_and, True), "max": (np.maximum, None), "min": (np.minimum, None)}
CAST = "sum", "prod", "mean", "var", "std", "cumsum"
BY_DIM = {}  # op -> PyTorch's function of the same name, if dim= gives it another meaning


def by_other_names(op, args, others):
    """op(*args) with settings that are spelled as in PyTorch. They mean what they mean there."""
    given = dict(zip(op.names, args))
    given |= {SAME[name]: value for name, value in others.items() if value is not None}
    if op.name in BY_DIM:
        return BY_DIM[op.name](given["x"], given["axis"], given["keepdims"])
    if "correction" in others and others["correction"] is None:
        raise TypeError(f"{op.name}: say correction=1, PyTorch's default, or 0, NumPy's.")
    return record(op, tuple(given.values()))


def by_numpy(op, args, keywords):
    """op(*args, **keywords) with NumPy's further keywords. NotImplemented if it has others."""
    given = op.defaults | dict(zip(op.names, args))
    given |= {SAME.get(name, name): value for name, value in keywords.items()}
    combine, fill = REDUCTIONS.get(op.name, (None, None))
    allowed = {*op.names} | ({"dtype"} if op.name in CAST else set())
    if given.keys() - allowed - ({"initial", "where"} if combine else set()):
        return NotImplemented
    if given.get("dtype") is not None:
        given["x"] = given["x"].astype(given["dtype"])
    if "where" in given:
        fill = given.get("initial") if fill is None else fill
        if fill is None:
            raise ValueError(f"{op.name}: where= needs initial=, the value of no entries.")
        given["x"] = np.where(given["where"], given["x"], fill)
    out = record(op, tuple(given[name] for name in op.names))
    return out if given.get("initial") is None else combine(out, given["initial"])

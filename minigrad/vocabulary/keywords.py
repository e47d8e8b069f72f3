"""Keywords that an op does not have: NumPy's where=, initial= and dtype=, PyTorch's dim= and kin.

An op whose settings have defaults comes here when it is called with another keyword.
"""

import numpy as np

from .. import errors
from ..engine import record

# PyTorch's keyword, or a newer one of NumPy -> the setting of an op
SAME = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "dim0": "axis1", "dim1": "axis2"}
SAME |= {"min": "a_min", "max": "a_max", "correction": "ddof", "unbiased": "ddof"}
# op -> (the function of two entries, the entry that changes nothing)
REDUCTIONS = {"sum": (np.add, 0), "prod": (np.multiply, 1), "any": (np.logical_or, False)}
REDUCTIONS |= {"all": (np.logical_and, True), "max": (np.maximum, None), "min": (np.minimum, None)}
CAST = "sum", "prod", "mean", "var", "std", "cumsum"
BY_DIM = {}  # op -> PyTorch's function of the same name, if dim= gives it another meaning


def call(op, args, others):
    """op(*args, **others). Raises TypeError for a keyword that is neither NumPy's nor PyTorch's."""
    given = dict(zip(op.names, args))
    given |= {SAME.get(name, name): value for name, value in others.items()}
    if others.keys() & {"dim", "keepdim"}:
        if op.name in BY_DIM:
            return BY_DIM[op.name](given["x"], given["axis"], given["keepdims"])
        if op.name in ("var", "std") and not others.keys() & {"correction", "unbiased"}:
            raise TypeError(f"{op.name}: say correction=1, PyTorch's default, or 0, NumPy's.")
    combine, fill = REDUCTIONS.get(op.name, (None, None))
    allowed = {"dtype"} if op.name in CAST else set()
    allowed |= {"initial", "where"} if combine else set()
    for name in given.keys() - set(op.names) - allowed:
        raise errors.unknown_keyword(op, name)
    if given.get("dtype") is not None:
        given["x"] = given["x"].astype(given["dtype"])
    if "where" in given:
        fill = given.get("initial") if fill is None else fill
        if fill is None:
            raise ValueError(f"{op.name}: where= needs initial=, the value of no entries.")
        given["x"] = np.where(given["where"], given["x"], fill)
    out = record(op, tuple(given[name] for name in op.names))
    return out if given.get("initial") is None else combine(out, given["initial"])

"""Keywords that an op does not have: NumPy's where=, initial= and dtype=, PyTorch's dim= and kin.

An op whose settings have defaults comes here when it is called with another keyword.
"""

import numpy as np

from .. import errors
from ..engine import record

SAME = {  # PyTorch's keyword, or a newer one of NumPy -> the setting of an op
    "dim": "axis",
    "dims": "axis",
    "keepdim": "keepdims",
    "min": "a_min",
    "max": "a_max",
    "dim0": "axis1",
    "dim1": "axis2",
    "correction": "ddof",
    "unbiased": "ddof",
}
REDUCTIONS = {  # op -> (the function of two entries, the entry that changes nothing)
    "sum": (np.add, 0),
    "prod": (np.multiply, 1),
    "any": (np.logical_or, False),
    "all": (np.logical_and, True),
    "max": (np.maximum, None),
    "min": (np.minimum, None),
}
CAST = "sum", "prod", "mean", "var", "std", "cumsum"
BY_DIM = {}  # op -> PyTorch's function of the same name, if dim= gives it another meaning


def call(op, args, others):
    """op(*args, **others). Raises TypeError for a keyword that is neither NumPy's nor PyTorch's."""
    given = dict(zip(op.names, args))
    given |= {SAME.get(name, name): value for name, value in others.items()}
    if op.name in BY_DIM and ("dim" in others or "keepdim" in others):
        return BY_DIM[op.name](given, others)
    if op.name in CAST and given.get("dtype") is not None:
        given["x"] = given["x"].astype(given["dtype"])
    combine, fill = REDUCTIONS.get(op.name, (None, None))
    allowed = {"dtype"} if op.name in CAST else set()
    if combine is not None:
        allowed |= {"initial", "where"}
        fill = given.get("initial") if fill is None else fill
        if "where" in given:
            if fill is None:
                raise ValueError(f"{op.name}: where= needs initial=, the value of no entries.")
            given["x"] = np.where(given["where"], given["x"], fill)
    for name in given.keys() - set(op.names) - allowed:
        raise errors.unknown_keyword(op, name)
    out = record(op, tuple(given[name] for name in op.names))
    return out if given.get("initial") is None else combine(out, given["initial"])

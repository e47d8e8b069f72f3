"""Keywords that an op does not have: PyTorch's dim= and keepdim=, NumPy's dtype= and new names."""

from ..engine import record
from ..registry import OTHER_NAMES

# PyTorch's keyword, or a newer one of NumPy -> the setting
SAME = {name: setting for setting, name in OTHER_NAMES.items()}
SAME |= {"dims": "axis", "dim0": "axis1", "dim1": "axis2"}
CAST = "sum", "prod", "mean", "var", "std", "cumsum"  # the ops with NumPy's dtype=
BY_DIM = {}  # op -> PyTorch's function of the same name, if dim= gives it another meaning


def by_keywords(op, args, others):
    """op(*args) with further keywords, which mean what they mean in NumPy or in PyTorch.

    Raises TypeError for a keyword of neither, and for PyTorch's std and var without their default.
    """
    others = {name: value for name, value in others.items() if value is not None}
    given = dict(zip(op.names, args))
    given |= {SAME.get(name, name): value for name, value in others.items()}
    if "dtype" in given and op.name in CAST:
        given["x"] = given["x"].astype(given.pop("dtype"))
    if unknown := given.keys() - {*op.names}:
        raise TypeError(f"{op.name}() got an unexpected keyword argument {min(unknown)!r}")
    if "dim" in others or "keepdim" in others:
        if op.name in BY_DIM:
            return BY_DIM[op.name](given["x"], given["axis"], given["keepdims"])
        if "ddof" in given and "correction" not in others:
            raise TypeError(f"{op.name}: say correction=1, PyTorch's default, or 0, NumPy's.")
    return record(op, tuple(given[name] for name in op.names))

"""Ops without rules: comparisons, signs, rounding, truth, positions of extremes.

Their derivative is zero or has no meaning, so no gradient flows through them. They are recorded, so
a graph that runs again computes its masks again. NumPy's functions call these ops on Tensors:
np.sign(t), np.floor(t).
"""

import numpy as np

from ..registry import on_data, op
from ..types import Axis

COMPARISONS = np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal
LOGICAL = np.logical_and, np.logical_or, np.logical_xor
BITWISE = np.bitwise_and, np.bitwise_or, np.bitwise_xor
ROUNDING = np.sign, np.signbit, np.floor, np.ceil, np.rint, np.trunc
TRUTH = np.logical_not, np.invert, np.isnan, np.isinf, np.isfinite

for ufunc in (*COMPARISONS, *LOGICAL, *BITWISE, np.floor_divide):
    op(ufunc, x=None, y=None)
for ufunc in (*ROUNDING, *TRUTH):
    op(ufunc, x=None)
op(np.isclose, a=None, b=None)
op(np.argwhere, a=None)
op(np.argsort, a=None)


@op(numpy=np.round, x=None)
def round(x, decimals: int = 0):
    """x rounded to `decimals` digits after the point."""
    return np.round(x, decimals)


@op(numpy=np.argmax, x=None)
def argmax(x, axis: int | None = None, keepdims: bool = False):
    """The positions of the largest entries along `axis`; the first one if there are ties."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@op(numpy=np.argmin, x=None)
def argmin(x, axis: int | None = None, keepdims: bool = False):
    """The positions of the smallest entries along `axis`; the first one if there are ties."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@op(numpy=np.any, x=None)
def any(x, axis: Axis = None, keepdims: bool = False):
    """Whether any entry along `axis` is true."""
    return np.any(x, axis=axis, keepdims=keepdims)


@op(numpy=np.all, x=None)
def all(x, axis: Axis = None, keepdims: bool = False):
    """Whether all entries along `axis` are true."""
    return np.all(x, axis=axis, keepdims=keepdims)


@op(x=None)
def stop_gradient(x):
    """x as a constant."""
    return x


@op(x=None)
def astype_whole(x, dtype):
    """x in a dtype that has no derivative: integers or bools."""
    return x.astype(dtype)


# These functions read shapes, dtypes, memory or text, or return no array.
on_data(np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like, np.empty_like)
on_data(np.may_share_memory, np.shares_memory, np.allclose, np.array_equal)
on_data(np.array2string, np.array_repr, np.array_str)

"""Ops without rules: comparisons, signs, rounding, truth, positions of extremes.

Their derivative is zero or has no meaning, so no gradient flows through them. They are recorded
all the same: a graph that is run again computes its masks again.
"""

import numpy as np

from ..registry import on_data, op

equal = op(np.equal, x=None, y=None)
not_equal = op(np.not_equal, x=None, y=None)
less = op(np.less, x=None, y=None)
less_equal = op(np.less_equal, x=None, y=None)
greater = op(np.greater, x=None, y=None)
greater_equal = op(np.greater_equal, x=None, y=None)

logical_and = op(np.logical_and, x=None, y=None)
logical_or = op(np.logical_or, x=None, y=None)
logical_xor = op(np.logical_xor, x=None, y=None)
logical_not = op(np.logical_not, x=None)
bitwise_and = op(np.bitwise_and, x=None, y=None)
bitwise_or = op(np.bitwise_or, x=None, y=None)
bitwise_xor = op(np.bitwise_xor, x=None, y=None)
invert = op(np.invert, x=None)

sign = op(np.sign, x=None)
signbit = op(np.signbit, x=None)
floor = op(np.floor, x=None)
ceil = op(np.ceil, x=None)
rint = op(np.rint, x=None)
trunc = op(np.trunc, x=None)
floor_divide = op(np.floor_divide, x=None, y=None)
isnan = op(np.isnan, x=None)
isinf = op(np.isinf, x=None)
isfinite = op(np.isfinite, x=None)


@op(numpy=np.round, x=None)
def round(x, decimals=0):
    """x rounded to `decimals` digits after the point."""
    return np.round(x, decimals)


@op(numpy=np.isclose, x=None, y=None)
def isclose(x, y, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |x - y| <= atol + rtol |y|, entry by entry."""
    return np.isclose(x, y, rtol, atol, equal_nan)


@op(numpy=np.argmax, x=None)
def argmax(x, axis=None, keepdims=False):
    """The positions of the largest entries along `axis`; of ties the first."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@op(numpy=np.argmin, x=None)
def argmin(x, axis=None, keepdims=False):
    """The positions of the smallest entries along `axis`; of ties the first."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@op(numpy=np.argsort, x=None)
def argsort(x, axis=-1, kind=None):
    """The positions that sort x along `axis`."""
    return np.argsort(x, axis=axis, kind=kind)


@op(numpy=np.any, x=None)
def any(x, axis=None, keepdims=False):
    """Whether any entry along `axis` is true."""
    return np.any(x, axis=axis, keepdims=keepdims)


@op(numpy=np.all, x=None)
def all(x, axis=None, keepdims=False):
    """Whether all entries along `axis` are true."""
    return np.all(x, axis=axis, keepdims=keepdims)


@op(numpy=np.count_nonzero, x=None)
def count_nonzero(x, axis=None, keepdims=False):
    """How many entries along `axis` are not 0."""
    return np.asarray(np.count_nonzero(x, axis=axis, keepdims=keepdims))


@op(x=None)
def astype_whole(x, dtype):
    """x in a dtype that has no derivative: integers or bools."""
    return x.astype(dtype)


on_data(  # these read shapes, dtypes, memory or text, or give no array
    *(np.shape, np.ndim, np.size, np.result_type, np.may_share_memory, np.shares_memory),
    *(np.zeros_like, np.ones_like, np.full_like, np.empty_like),
    *(np.array_equal, np.allclose, np.nonzero),
    *(np.array2string, np.array_repr, np.array_str),
)

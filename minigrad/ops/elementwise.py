"""Arithmetic and functions of one entry at a time. Inputs broadcast as in NumPy; the engine undoes it.

Kinks: relu'(0) = 0, |x|'(0) = 0, ties of maximum and minimum share the gradient equally, and clip
passes the gradient on at its bounds.
"""

import math

import numpy as np

from .. import array
from ..engine import Tensor
from ..registry import op


def floats(x):
    """x, whole numbers as floats of the default dtype: small whole numbers wrap around, and what is computed of them."""
    return x.astype(array.default_dtype) if x.dtype.kind in "iub" else x


# -------------------------------------------------------------------------------------- arithmetic

add = op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
subtract = op(np.subtract, x=lambda g, out, x, y: g, y=lambda g, out, x, y: -g)
multiply = op(np.multiply, x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: g * x)
divide = op(np.divide, x=lambda g, out, x, y: g / y, y=lambda g, out, x, y: -g * out / y)
remainder = op(
    np.remainder, x=lambda g, out, x, y: g, y=lambda g, out, x, y: -g * np.floor_divide(x, y)
)
negative = op(np.negative, x=lambda g, out, x: -g)
positive = op(np.positive, x=lambda g, out, x: g)


def _less_one(x, y):
    """y - 1, but 0 for x**0, whose slope is 0 everywhere; as a Tensor, which is to be differentiated by y, for 0**0 only."""
    return y - ((x != 0) | (y != 0)) if isinstance(y, Tensor) else y - (y != 0)


def _log_of_base(x):
    """log(x), but 0 where x is 0, since 0**y does not change with y. Numbers stay numbers, which do not widen a dtype."""
    if isinstance(x, (int, float)):
        return math.log(x or 1) if x >= 0 else math.nan
    return np.log(x + (x == 0))


_products = {  # where x is negative, NumPy takes a hundred times as long for these
    0: np.ones_like,
    1: np.positive,
    2: np.square,
    3: lambda x: x * x * x,
    4: lambda x: np.square(x * x),
    -1: np.reciprocal,
    -2: lambda x: np.reciprocal(x * x),
    -3: lambda x: np.reciprocal(x * x * x),
}


def _power(x, y):
    product = _products.get(y) if isinstance(y, (int, float)) and x.dtype.kind in "fc" else None
    return product(x) if product else x**y


@op(
    numpy=np.power,
    x=lambda g, out, x, y: g * y * _power(x, _less_one(x, y)),
    y=lambda g, out, x, y: g * out * _log_of_base(x),
)
def power(x, y):
    """x**y."""
    return _power(x, y)


square = op(np.square, x=lambda g, out, x: 2 * g * x)
reciprocal = op(np.reciprocal, x=lambda g, out, x: -g * out * out)

# ----------------------------------------------------------------------- exponentials and logarithms

exp = op(np.exp, x=lambda g, out, x: g * out)
expm1 = op(np.expm1, x=lambda g, out, x: g * np.exp(x))  # not out + 1, which is 0 below -17
log = op(np.log, x=lambda g, out, x: g / x)
log1p = op(np.log1p, x=lambda g, out, x: g / (1 + x))
log2 = op(np.log2, x=lambda g, out, x: g / (x * math.log(2)))
log10 = op(np.log10, x=lambda g, out, x: g / (x * math.log(10)))
sqrt = op(np.sqrt, x=lambda g, out, x: g / (2 * out))
logaddexp = op(
    np.logaddexp,
    x=lambda g, out, x, y: g * sigmoid(x - y),
    y=lambda g, out, x, y: g * sigmoid(y - x),
)

# ------------------------------------------------------------------------------------ trigonometry

sin = op(np.sin, x=lambda g, out, x: g * np.cos(x))
cos = op(np.cos, x=lambda g, out, x: -g * np.sin(x))
tan = op(np.tan, x=lambda g, out, x: g + g * out * out)
arcsin = op(np.arcsin, x=lambda g, out, x: g / np.sqrt(1 - x * x))
arccos = op(np.arccos, x=lambda g, out, x: -g / np.sqrt(1 - x * x))
arctan = op(np.arctan, x=lambda g, out, x: g / (1 + x * x))
sinh = op(np.sinh, x=lambda g, out, x: g * np.cosh(x))
cosh = op(np.cosh, x=lambda g, out, x: g * np.sinh(x))
tanh = op(np.tanh, x=lambda g, out, x: g - g * out * out)

# ------------------------------------------------------------------------------------- activations


@op(x=lambda g, out, x: g * out * (1 - out))
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # where exp(-x) is infinite, 1 / inf is the 0 it should be
        return 1 / (1 + np.exp(-floats(x)))


@op(x=lambda g, out, x: g * (out > 0))
def relu(x):
    """max(x, 0)."""
    return np.maximum(
        x, np.zeros(x.shape[-1:], x.dtype)
    )  # a row of zeros: twice as fast as the number 0


@op(x=lambda g, out, x: g * sigmoid(x))
def softplus(x):
    """log(1 + exp(x)), a smooth relu, without overflow."""
    x = floats(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))  # np.logaddexp takes 15 times as long


@op(x=lambda g, out, x: g * np.exp(-x * x) * (2 / math.sqrt(math.pi)))
def erf(x):
    """The error function, by the C library's erf entry by entry (so slower than its kin)."""
    return np.asarray(
        np.frompyfunc(math.erf, 1, 1)(x), np.result_type(x.dtype, np.float16)
    )  # of integers: floats


# ---------------------------------------------------------------------------------- kinks and choice

absolute = op(np.absolute, x=lambda g, out, x: g * np.sign(x))
maximum = op(
    np.maximum,
    x=lambda g, out, x, y: g * (x > y) + g * (x == y) / 2,
    y=lambda g, out, x, y: g * (y > x) + g * (x == y) / 2,
)
minimum = op(
    np.minimum,
    x=lambda g, out, x, y: g * (x < y) + g * (x == y) / 2,
    y=lambda g, out, x, y: g * (y < x) + g * (x == y) / 2,
)


@op(
    numpy=np.where,
    condition=None,
    x=lambda g, out, condition, x, y: np.where(condition, g, 0),
    y=lambda g, out, condition, x, y: np.where(condition, 0, g),
)
def where(condition, x, y):
    """x where the condition holds, else y. Both are computed: mask the argument too where one could be nan."""
    chosen = np.where(condition, x, y)
    if chosen.dtype.kind == "O":
        raise TypeError("an argument is not a number")
    return chosen


@op(numpy=np.clip, x=lambda g, out, x, a_min, a_max: g * (out == x))
def clip(x, a_min=None, a_max=None):
    """x held within [a_min, a_max]; the bounds are constants."""
    return x.clip(a_min, a_max)


@op(x=lambda g, out, x, dtype: g.astype(x.dtype))
def astype(x, dtype):
    """x in another float dtype."""
    return x.astype(dtype)

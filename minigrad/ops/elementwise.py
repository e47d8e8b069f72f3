"""Arithmetic and functions of one entry at a time. Inputs broadcast as in NumPy.

The engine undoes the broadcasting. The checks run each forward on complex numbers, for which
check/analytic.py defines NumPy's functions.

Kinks, as in PyTorch: at 0, relu, leaky_relu, elu and selu have the slope of their left side
(0 for relu); |x| has the slope 0; ties of maximum and minimum share the gradient equally, as in max
and min; clip passes the gradient on at its bounds, unless the lower bound is above the upper one.
At a nan, relu, maximum and minimum pass the gradient on. Where their slope is 0, an infinite
cotangent gives nan, as in sqrt(relu(x)) at x = -1: PyTorch gives 0.
"""

import math
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from .. import array
from ..engine import Tensor
from ..registry import op
from ..types import Operand, P


def floats(x, dtype=None):
    """x, with whole numbers as floats, since int8 arithmetic would wrap around.

    dtype  the dtype of these floats; None means the default dtype
    """
    return x.astype(dtype or array.default_dtype) if x.dtype.kind in "iub" else x


def in_float32(function: Callable[P, Any]) -> Callable[P, Any]:
    """Decorates a function of arrays: for float16 it computes in float32 and returns float16.

    In float16 a count, a square, or a sum of many exponentials overflows above 65,504.
    """

    @wraps(function)
    def run(x, *args, **settings):
        if x.dtype.char != "e":  # the character of float16
            return function(x, *args, **settings)
        args = x, *args
        wide = [a.astype(np.float32) if getattr(a, "dtype", None) == "e" else a for a in args]
        return function(*wide, **settings).astype(np.float16)

    return run


# -------------------------------------------------------------------------------------- arithmetic

add = op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
subtract = op(np.subtract, x=lambda g, out, x, y: g, y=lambda g, out, x, y: -g)
multiply = op(np.multiply, x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: g * x)
divide = op(np.divide, x=lambda g, out, x, y: g / y, y=lambda g, out, x, y: -g * out / y)


remainder = op(
    np.remainder,
    x=lambda g, out, x, y: g,
    y=lambda g, out, x, y: -g * np.floor_divide(x, y),
)
negative = op(np.negative, x=lambda g, out, x: -g)
positive = op(np.positive, x=lambda g, out, x: g)


def _less_one(x, y):
    """The exponent of the derivative of x**y: y - 1, but 0 for y = 0, where the derivative is 0.

    For a Tensor y it is 0 for 0**0 only, since y has a derivative too.
    """
    return y - ((x != 0) | (y != 0)) if isinstance(y, Tensor) else y - (y != 0)


def _log_of_base(x):
    """log(x), but 0 where x is 0, since 0**y does not change with y.

    A number gives a number, which does not widen the dtype of the cotangent.
    """
    if isinstance(x, (int, float)):
        return math.log(x or 1) if x >= 0 else math.nan
    return np.log(x + (x == 0))


_products = {  # NumPy takes a hundred times as long for these powers if x is negative
    3: lambda x: x * x * x,
    4: lambda x: np.square(x * x),
    -2: lambda x: np.reciprocal(x * x),
    -3: lambda x: np.reciprocal(x * x * x),
}


def _power(x, y):
    product = _products.get(y) if type(y) in (int, float) and x.dtype.kind in "fc" else None
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

# --------------------------------------------------------------------- exponentials and logarithms

exp = op(np.exp, x=lambda g, out, x: g * out)
expm1 = op(np.expm1, x=lambda g, out, x: g * np.exp(x))  # out + 1 is 0 below -17 in float32
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
def sigmoid(x: Operand):
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # where exp(-x) overflows, 1 / inf is 0, as it should be
        return 1 / (1 + np.exp(-floats(x)))


@op(x=lambda g, out, x: g * (out != 0))  # out is positive, 0 or nan
def relu(x: Operand):
    """max(x, 0)."""
    # With a row of zeros, np.maximum is twice as fast as with the number 0.
    return np.maximum(x, np.zeros(x.shape[-1:], x.dtype))


@op(x=lambda g, out, x: g * sigmoid(x))
def softplus(x: Operand):
    """log(1 + exp(x)), a smooth relu, without overflow."""
    x = floats(x)
    # np.logaddexp takes 15 times as long.
    return np.maximum(x, 0) + np.log1p(np.exp(-np.absolute(x)))


@op(x=lambda g, out, x: g * np.exp(-x * x) * (2 / math.sqrt(math.pi)))
def erf(x: Operand):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, to 1e-16."""
    if x.dtype.kind == "c":  # a complex step: beyond 6 erf still has derivatives
        sign = np.where(x.real < 0, -1, 1)
        return sign * (1 - upper_tail(sign * x))
    return _from_table(_erf_table(), -6, x, 6)  # from 6 on it is 1


STEP = 2.0**-8  # the distance of the points of a table


@cache
def _erf_table():
    """The Taylor coefficients of erf at -6, ..., 6. Its derivative f has f' = -2 x f."""
    x = np.arange(-6, 6 + STEP, STEP)
    table, f, before = [np.vectorize(math.erf)(x)], 2 / math.sqrt(math.pi) * np.exp(-x * x), 0
    for n in range(1, 7):
        table.append(f / n)
        f, before = -2 * (x * f + before) / n, f
    return table


@cache
def _scaled_erfc():
    """The Taylor coefficients of f = exp(x^2) erfc(x) at 0, ..., 26.5.

    Its derivative is 2 x f - 2 / sqrt(pi).
    """
    x = np.arange(0, 26.5 + STEP, STEP)
    f = np.exp(x * x) * np.vectorize(math.erfc)(x)
    table = [f, 2 * x * f - 2 / math.sqrt(math.pi)]
    for n in range(2, 7):
        table.append(2 * (x * table[-1] + table[-2]) / n)
    return table


def upper_tail(x):
    """1 - erf(x) for x >= 0, also where it is small."""
    return np.exp(-x * x) * _from_table(_scaled_erfc(), 0, x, 28)  # from 28 on it is 0


def _from_table(table, low, x, most):
    """A function at x by its Taylor series at the nearest point of a table.

    table      the coefficients at the points low, low + STEP, ...: an array for each power
    low, most  the limits of x
    """
    dtype = np.result_type(x.dtype, np.float16)
    x = np.clip(x.astype(np.result_type(dtype, np.float64)), low, most)
    steps = np.fmax(np.rint((x.real - low) / STEP), 0)  # of nan it is 0
    index = np.minimum(steps, len(table[0]) - 1).astype(np.intp)
    distance = x - (low + index * STEP)
    out = np.zeros_like(distance)
    for coefficients in table[3::-1] if dtype.itemsize <= 4 else table[::-1]:
        out *= distance
        out += coefficients[index]
    return out.astype(dtype)


# -------------------------------------------------------------------------------- kinks and choice


absolute = op(np.absolute, x=lambda g, out, x: g * np.sign(x))


def _chosen(g, out, x, y):
    return g * (out != y) + g * (x == y) / 2  # a nan in out differs from both


for ufunc in (np.maximum, np.minimum):
    op(ufunc, x=_chosen, y=lambda g, out, x, y: _chosen(g, out, y, x))


@op(
    numpy=np.where,
    condition=None,
    x=lambda g, out, condition, x, y: np.where(condition, g, 0),
    y=lambda g, out, condition, x, y: np.where(condition, 0, g),
)
def where(condition, x, y):
    """x where the condition holds, else y.

    Both x and y are computed. So if a masked f(x) could be nan, mask x too.
    """
    return np.where(condition, x, y)


def _is_kept(out, x, a_min, a_max):
    """Where clip passes x on. It does not where a_min > a_max."""
    proper = a_min is None or a_max is None or a_min <= a_max
    return out == x if proper is True else (out == x) & proper


@op(
    numpy=np.clip,
    x=lambda g, out, *given: g * _is_kept(out, *given),
    a_min=lambda g, out, x, a_min, a_max: g * ((out != x) & (out == a_min)),
    a_max=lambda g, out, *given: np.where(_is_kept(out, *given), 0, g * (out == given[-1])),
)
def clip(x, a_min: Operand | None = None, a_max: Operand | None = None):
    """x limited to [a_min, a_max]. None means no bound. If a_min > a_max, the result is a_max."""
    return np.asarray(x).clip(a_min, a_max)


@op(x=lambda g, out, x, dtype: g.astype(x.dtype))
def astype(x, dtype):
    """x in another float dtype."""
    return x.astype(dtype)

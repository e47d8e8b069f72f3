"""Functions of one entry at a time. Arguments broadcast as in NumPy; names and results are NumPy's.

Kinks: hypot and arctan2 have the gradient 0 at 0, ties of fmax and fmin share the gradient equally.
nan_to_num passes no gradient where it replaces an entry.
"""

import math
from functools import partial

import numpy as np

from ..array import implements, numpy_functions
from ..ops import sigmoid
from ..ops.elementwise import floats, upper_tail
from ..registry import op

arcsinh = op(np.arcsinh, x=lambda g, out, x: g / np.sqrt(1 + x * x))
arccosh = op(np.arccosh, x=lambda g, out, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
arctanh = op(np.arctanh, x=lambda g, out, x: g / (1 - x * x))
exp2 = op(np.exp2, x=lambda g, out, x: g * out * math.log(2))
logaddexp2 = op(
    np.logaddexp2,
    x=lambda g, out, x, y: g * sigmoid((x - y) * math.log(2)),
    y=lambda g, out, x, y: g * sigmoid((y - x) * math.log(2)),
)
cbrt = op(np.cbrt, x=lambda g, out, x: g / (3 * out * out))


def _over(x, radius):
    """x / radius, but 0 for the radius 0, where x is 0 too."""
    return x / (radius + (radius == 0))


hypot = op(
    np.hypot,
    x=lambda g, out, x, y: g * _over(x, out),
    y=lambda g, out, x, y: g * _over(y, out),
)
arctan2 = op(  # x^2 + y^2 would leave the range of float32 early
    np.arctan2,
    x=lambda g, out, x, y: g * _over(_over(y, np.hypot(x, y)), np.hypot(x, y)),
    y=lambda g, out, x, y: -g * _over(_over(x, np.hypot(x, y)), np.hypot(x, y)),
)


@op(x=lambda g, out, x: g * np.exp(-x * x) * (-2 / math.sqrt(math.pi)))
def erfc(x):
    """1 - erf(x), the complementary error function, to 1e-15 also where it is small."""
    tail = upper_tail(np.absolute(x.astype(np.float64)))
    return np.where(x < 0, 2 - tail, tail).astype(np.result_type(x.dtype, np.float16))


@implements(np.sinc)
def sinc(x):
    """sin(pi x) / (pi x), and 1 at 0. Near 0 it is a series, right for derivatives of any order."""
    y = math.pi * x
    near = np.absolute(y) < 0.5
    square, series = np.where(near, y * y, 0), 1.0
    for k in range(14, 0, -2):  # 1 - y^2 / (2 3) (1 - y^2 / (4 5) (...
        series = 1 - square * series / (k * (k + 1))
    y = np.where(near, 1, y)
    return np.where(near, series, np.sin(y) / y)


@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """x with numbers for nan and the infinities; by default 0 and the limits of the dtype."""
    if x.dtype.kind != "f":
        return np.copy(x)
    high = np.finfo(x.dtype).max if posinf is None else posinf
    low = np.finfo(x.dtype).min if neginf is None else neginf
    x = np.where(np.isnan(x), nan, x)
    return np.where(x == np.inf, high, np.where(x == -np.inf, low, x))


def _scaled(function, x):
    """function(x) of a function that multiplies x by a number."""
    return x * function(x.dtype.type(1))


def _of_numbers(function):
    """`function` of x and y; where one of them is nan, the other one."""
    return lambda x, y: np.where(np.isnan(x), y, np.where(np.isnan(y), x, function(x, y)))


numpy_functions |= {
    **{f: partial(_scaled, f) for f in (np.deg2rad, np.radians, np.rad2deg, np.degrees)},
    np.fabs: lambda x: np.absolute(floats(x, np.result_type(x.dtype, np.float16))),
    np.fmax: _of_numbers(np.maximum),
    np.fmin: _of_numbers(np.minimum),
    np.around: np.round,
    **dict.fromkeys((np.conjugate, np.real), np.positive),  # from here on x is real
    np.imag: np.zeros_like,
    np.isreal: lambda x: np.isnan(x) | True,
    np.angle: lambda x, deg=False: np.arctan2(0, x) * (180 / math.pi if deg else 1),
}

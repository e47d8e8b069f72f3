"""Functions of one entry at a time. Arguments broadcast as in NumPy; names and results are NumPy's.

Kinks: hypot has the gradient 0 at 0, ties of fmax and fmin share the gradient equally. nan_to_num
passes no gradient where it replaces an entry.
"""

import math

import numpy as np

from ..array import implements, numpy_functions
from ..ops import erf
from ..ops.elementwise import floats, from_table, scaled_erfc
from ..registry import op

arcsinh = op(np.arcsinh, x=lambda g, out, x: g / np.sqrt(1 + x * x))
arccosh = op(np.arccosh, x=lambda g, out, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
arctanh = op(np.arctanh, x=lambda g, out, x: g / (1 - x * x))
cbrt = op(np.cbrt, x=lambda g, out, x: g / (3 * out * out))
hypot = op(
    np.hypot,
    x=lambda g, out, x, y: g * x / (out + (out == 0)),
    y=lambda g, out, x, y: g * y / (out + (out == 0)),
)
arctan2 = op(
    np.arctan2,
    x=lambda g, out, x, y: g * y / (x * x + y * y),
    y=lambda g, out, x, y: -g * x / (x * x + y * y),
)


@op(x=lambda g, out, x: g * np.exp(-x * x) * (-2 / math.sqrt(math.pi)))
def erfc(x):
    """1 - erf(x), the complementary error function, to 1e-15 also where it is small."""
    wide = x.astype(np.float64)
    is_far = wide > 0.46875  # elsewhere nothing cancels
    y = np.where(is_far, wide, 1)
    tail = np.exp(-y * y) * from_table(scaled_erfc(), 0, y, 28)  # erfc(28) is 0
    out = np.where(is_far, tail, 1 - erf(wide))
    return out.astype(np.result_type(x.dtype, np.float16))


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
    high = np.finfo(x.dtype).max if posinf is None else posinf
    low = np.finfo(x.dtype).min if neginf is None else neginf
    x = np.where(np.isnan(x), nan, x)
    return np.where(x == np.inf, high, np.where(x == -np.inf, low, x))


def _of_numbers(function):
    """`function` of x and y; where one of them is nan, the other one."""
    return lambda x, y: np.where(np.isnan(x), y, np.where(np.isnan(y), x, function(x, y)))


numpy_functions |= {
    np.exp2: lambda x: np.power(2.0, x),
    np.logaddexp2: lambda x, y: np.logaddexp(x * math.log(2), y * math.log(2)) / math.log(2),
    **dict.fromkeys((np.deg2rad, np.radians), lambda x: x * (math.pi / 180)),
    **dict.fromkeys((np.rad2deg, np.degrees), lambda x: x * (180 / math.pi)),
    np.fabs: lambda x: np.absolute(floats(x, np.float64)),
    np.fmax: _of_numbers(np.maximum),
    np.fmin: _of_numbers(np.minimum),
    np.around: np.round,
    **dict.fromkeys((np.conjugate, np.real), np.positive),  # from here on x is real
    np.imag: lambda x: 0 * x,
    np.isreal: lambda x: np.isnan(x) | True,
    np.angle: lambda x, deg=False: np.signbit(x).astype(x.dtype) * (180 if deg else math.pi),
}

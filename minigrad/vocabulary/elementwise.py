"""Functions of one entry at a time. Arguments broadcast as in NumPy; names and results are NumPy's.

Kinks: hypot and fabs have the derivative 0 at 0, ties of fmax and fmin share the gradient equally.
nan_to_num passes no gradient where it replaces an entry.
"""

import math

import numpy as np

from ..array import implements, numpy_functions
from ..engine import Tensor, constant
from ..ops import erf
from ..ops.elementwise import _FAR, _MIDDLE, _ratio
from ..registry import op

LOG_2 = math.log(2)


def is_complex(*xs):
    return any(np.iscomplexobj(x) for x in xs)


def of_one(ufunc, formula, rule):
    """The op of a ufunc of one argument that takes no complex numbers. For them: `formula`."""

    def forward(x):
        return formula(x) if is_complex(x) else ufunc(x)

    forward.__name__, forward.__doc__ = ufunc.__name__, f"np.{ufunc.__name__}(x)."
    return op(forward, numpy=ufunc, x=rule)


def of_two(ufunc, formula, *rules):
    """The same for two arguments, x and y."""

    def forward(x, y):
        return formula(x, y) if is_complex(x, y) else ufunc(x, y)

    forward.__name__, forward.__doc__ = ufunc.__name__, f"np.{ufunc.__name__}(x, y)."
    return op(forward, numpy=ufunc, x=rules[0], y=rules[1])


# ----------------------------------------------------------------------------------- smooth functions

arcsinh = op(np.arcsinh, x=lambda g, out, x: g / np.sqrt(1 + x * x))
arccosh = op(np.arccosh, x=lambda g, out, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
arctanh = op(np.arctanh, x=lambda g, out, x: g / (1 - x * x))
exp2 = of_one(np.exp2, lambda x: np.exp(x * LOG_2), lambda g, out, x: g * out * LOG_2)


def _complex_cbrt(x):
    sign = np.where(x.real < 0, -1.0, 1.0)
    return sign * (sign * x) ** (1 / 3)


cbrt = of_one(np.cbrt, _complex_cbrt, lambda g, out, x: g / (3 * out * out))


def _complex_arctan2(x, y):
    """The arctan of a ratio of at most 1, and the quarter turns that np.arctan2 adds to it."""
    steep = abs(np.real(x)) > abs(np.real(y))
    ratio = np.where(steep, -y, x) / np.where(steep, x, y)
    return np.arctan(ratio) + (np.arctan2(np.real(x), np.real(y)) - np.arctan(ratio.real))


arctan2 = of_two(
    np.arctan2,
    _complex_arctan2,
    lambda g, out, x, y: g * y / (x * x + y * y),
    lambda g, out, x, y: -g * x / (x * x + y * y),
)
hypot = of_two(
    np.hypot,
    lambda x, y: np.sqrt(x * x + y * y),
    lambda g, out, x, y: g * x / (out + (out == 0)),
    lambda g, out, x, y: g * y / (out + (out == 0)),
)
fmod = of_two(
    np.fmod,
    lambda x, y: x - np.trunc(np.real(x) / np.real(y)) * y,
    lambda g, out, x, y: g,
    lambda g, out, x, y: -g * np.trunc(x / y),
)


@op(x=lambda g, out, x: g * np.exp(-x * x) * (-2 / math.sqrt(math.pi)))
def erfc(x):
    """1 - erf(x), the complementary error function, to 1e-15 also where it is small (Cody 1969)."""
    wide = x if is_complex(x) else np.asarray(x, np.float64)
    y = np.where(wide.real > 0.46875, wide, 1)  # elsewhere nothing cancels
    with np.errstate(under="ignore"):
        far = np.exp(-y * y) / y * (1 / math.sqrt(math.pi) - _ratio(_FAR, 1 / (y * y)) / (y * y))
        tail = np.where(y.real > 4, far, np.exp(-y * y) * _ratio(_MIDDLE, y))
    out = np.where(wide.real > 0.46875, tail, 1 - erf(wide))
    return out if is_complex(x) else out.astype(np.result_type(x.dtype, np.float16))


@implements(np.sinc)
def sinc(x):
    """sin(pi x) / (pi x), and 1 at 0. Near 0 it is a series, right for derivatives of any order."""
    y = math.pi * x
    near = np.absolute(y) < 0.5
    square = np.where(near, y * y, 0)
    series = 1.0
    for k in range(14, 0, -2):  # 1 - y^2 / (2 3) (1 - y^2 / (4 5) (...
        series = 1 - square * series / (k * (k + 1))
    far = np.where(near, 1, y)
    return np.where(near, series, np.sin(far) / far)


# -------------------------------------------------------------------------------- kinks and choices


@implements(np.fmax)
def fmax(x, y):
    """The larger entry; the other one where an entry is nan."""
    return np.where(np.isnan(x), y, np.where(np.isnan(y), x, np.maximum(x, y)))


@implements(np.fmin)
def fmin(x, y):
    """The smaller entry; the other one where an entry is nan."""
    return np.where(np.isnan(x), y, np.where(np.isnan(y), x, np.minimum(x, y)))


@implements(np.copysign)
def copysign(x, y):
    """|x| with the sign of y, through which no gradient flows."""
    return np.where(np.signbit(y), -np.absolute(x), np.absolute(x))


@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """x with numbers for nan and the infinities; by default 0 and the limits of the dtype."""
    limits = np.finfo(x.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    x = np.where(np.isnan(x), nan, x)
    return np.where(x == np.inf, high, np.where(x == -np.inf, low, x))


COMPOSED = {
    np.logaddexp2: lambda x, y: np.logaddexp(x * LOG_2, y * LOG_2) / LOG_2,
    np.deg2rad: lambda x: x * (math.pi / 180),
    np.rad2deg: lambda x: x * (180 / math.pi),
    np.fabs: lambda x: np.absolute(x),
    np.modf: lambda x: (x - np.trunc(x), np.trunc(x)),
    np.divmod: lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    np.float_power: lambda x, y: np.power(_wide(x), _wide(y)),
    np.fix: lambda x: np.trunc(x),
    np.around: lambda x, decimals=0: np.round(x, decimals),
}
COMPOSED[np.radians], COMPOSED[np.degrees] = COMPOSED[np.deg2rad], COMPOSED[np.rad2deg]
numpy_functions.update(COMPOSED)
OF_REALS = {  # complex data are never recorded: NumPy itself computes on them
    np.conjugate: lambda x: +x,
    np.real: lambda x: +x,
    np.imag: lambda x: 0 * x,
    np.real_if_close: lambda x, tol=100: +x,
    np.isreal: lambda x: np.isnan(x) | True,
    np.iscomplex: lambda x: np.isnan(x) & False,
    np.angle: lambda x, deg=False: np.signbit(x) * (180.0 if deg else math.pi),
}
for function, composition in OF_REALS.items():
    numpy_functions[function] = lambda x, *settings, f=function, of_reals=composition, **named: (
        (constant(f(x.data, *settings, **named)) if is_complex(x.data) else of_reals(x, *settings, **named))
    )


def _wide(x):
    return x.astype(np.float64) if isinstance(x, (Tensor, np.ndarray)) else x

"""Complex arrays on which NumPy's functions for real numbers are continued analytically.

The complex step of a forward is its derivative only if each function in it is analytic. Most of
NumPy's functions are analytic. But np.abs returns the modulus of complex numbers, and np.hypot
takes no complex numbers. On a Lifted array the functions in ANALYTIC have other forms, which equal
NumPy's on real numbers. The real part and the conjugate of a Lifted array are the array itself, as
for real numbers. So forwards are written for real numbers alone.
"""

import numpy as np
from numpy import linalg


class Lifted(np.ndarray):
    """A complex array, which stays Lifted through NumPy's functions."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **settings):
        plain = [np.asarray(x) if isinstance(x, Lifted) else x for x in inputs]
        analytic = ANALYTIC.get(ufunc) if method == "__call__" else None
        found = (analytic or getattr(ufunc, method))(*plain, **settings)
        if out:
            out[0][...] = found
            return out[0]
        return _lifted(found)

    def __array_function__(self, function, types, args, settings):
        if function in ANALYTIC:
            return _lifted(ANALYTIC[function](*args, **settings))
        return _lifted(super().__array_function__(function, types, args, settings))

    real = property(lambda self: self)

    def round(self, *args, **settings):
        return _lifted(np.round(np.asarray(self).real, *args, **settings) + 0j)

    def astype(self, dtype, *args, **settings):
        if np.dtype(dtype).kind in "fc":  # a float type: the array stays complex
            return self.copy()
        return np.asarray(self).real.astype(dtype, *args, **settings)


def _lifted(found):
    """The result `found` of a function, Lifted if it is a complex array."""
    is_array = isinstance(found, (np.ndarray, np.generic)) and np.iscomplexobj(found)
    return np.asarray(found).view(Lifted) if is_array else found


def _absolute(x):
    """x or -x: the one with the larger real part or, if this is 0, the larger imaginary part."""
    return np.maximum(x, -x)


def _sqrt(x):
    """The square root. (i h v)**2 is negative; its root is i h |v|, since sqrt(x * x) is |x|."""
    root = np.sqrt(x)
    return np.where(x.real < 0, root.real + 1j * abs(root.imag), root)


def _arctan2(x, y):
    """The angle of the real parts, plus the small angle that the imaginary parts add."""
    angle, radius = np.arctan2(np.real(x), np.real(y)), np.hypot(np.real(x), np.real(y))
    sine, cosine = np.real(x) / radius, np.real(y) / radius
    return angle + np.arctan((cosine * x - sine * y) / (cosine * y + sine * x))


def _slogdet(a):
    """(sign, log |det|). The step turns the complex sign. The log takes over its small angle."""
    sign, size = linalg.slogdet(np.asarray(a))
    return np.sign(sign.real), size + np.log(_absolute(sign))


ANALYTIC = {
    np.absolute: _absolute,
    np.sign: lambda x: np.sign(x.real),
    np.conjugate: np.positive,
    np.remainder: lambda x, y: x - np.floor(np.real(x) / np.real(y)) * y,
    np.logaddexp: lambda x, y: np.maximum(x, y) + np.log1p(np.exp(-_absolute(x - y))),
    np.logaddexp2: lambda x, y: np.maximum(x, y) + np.log1p(2 ** -_absolute(x - y)) / np.log(2),
    # At x = 0 the slope of x**2.5 is 0, but (i h)**2.5 / h is not quite 0.
    np.power: lambda x, y: np.where((np.real(x) == 0) & (np.real(y) > 1), 0, np.power(x, y)),
    np.sqrt: _sqrt,
    np.cbrt: lambda x: np.sign(x.real) * _absolute(x) ** (1 / 3),
    np.hypot: lambda x, y: _sqrt(x * x + y * y),
    np.arctan2: _arctan2,
    linalg.slogdet: _slogdet,
}
# These take conjugates of complex numbers. A call of None fails, so a plain difference is taken.
ANALYTIC |= dict.fromkeys([linalg.cholesky, linalg.eigh, linalg.svd, linalg.pinv, linalg.qr])

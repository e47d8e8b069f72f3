"""Complex arrays on which NumPy's functions for real numbers are continued analytically.

The complex step of a forward is its derivative only if each function in it is analytic. Most of
NumPy's are. But np.abs takes the modulus of complex numbers, and np.hypot takes no complex numbers
at all. On a Lifted array the functions in ANALYTIC have other forms, which equal NumPy's on real
numbers. The real part and the conjugate of a Lifted array are the array itself, as for real
numbers. So forwards are written for real numbers alone.
"""

import numpy as np


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
        if np.dtype(dtype).kind in "fc":  # another precision
            return self.copy()
        return np.asarray(self).real.astype(dtype, *args, **settings)


def _lifted(found):
    """What a function returned, Lifted if it is a complex array."""
    is_array = isinstance(found, (np.ndarray, np.generic)) and np.iscomplexobj(found)
    return np.asarray(found).view(Lifted) if is_array else found


def _absolute(x):
    """x or -x, by the sign of the real part; where this is 0, of the imaginary part."""
    return np.maximum(x, -x)


def _sqrt(x):
    """The root of a number that the step made negative grows: near 0 the root of x * x is |x|."""
    root = np.sqrt(x)
    return np.where(x.real < 0, root.real + 1j * abs(root.imag), root)


def _arctan2(x, y):
    """The angle of real parts, plus the small rest."""
    angle = np.arctan2(np.real(x), np.real(y))
    sine, cosine = np.sin(angle), np.cos(angle)
    return angle + np.arctan((cosine * x - sine * y) / (cosine * y + sine * x))


def _slogdet(a):
    """The size of the determinant takes the angle of its sign."""
    sign, size = np.linalg.slogdet(np.asarray(a))
    return np.sign(sign.real), size + np.log(_absolute(sign))


ANALYTIC = {
    np.absolute: _absolute,
    np.sign: lambda x: np.sign(x.real),
    np.conjugate: np.positive,
    np.remainder: lambda x, y: x - np.floor(np.real(x) / np.real(y)) * y,
    np.logaddexp: lambda x, y: np.maximum(x, y) + np.log1p(np.exp(-_absolute(x - y))),
    # flat at 0, where the step to the power of 2.5 would leave a rest
    np.power: lambda x, y: np.where((np.real(x) == 0) & (np.real(y) > 1), 0, np.power(x, y)),
    np.sqrt: _sqrt,
    np.cbrt: lambda x: np.sign(x.real) * _absolute(x) ** (1 / 3),
    np.hypot: lambda x, y: _sqrt(x * x + y * y),
    np.arctan2: _arctan2,
    np.linalg.slogdet: _slogdet,
}
# These take conjugates of complex numbers. A call of None fails, so a difference passes their ops.
ANALYTIC |= dict.fromkeys(
    [np.linalg.cholesky, np.linalg.eigh, np.linalg.svd, np.linalg.pinv, np.linalg.qr]
)

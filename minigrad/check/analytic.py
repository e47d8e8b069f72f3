"""Complex arrays on which NumPy's functions are those of real numbers, continued analytically.

The complex step of a forward is its derivative only if each function in it is analytic. Most of
NumPy's are. But np.abs takes the modulus of complex numbers, and np.hypot takes no complex numbers
at all. On a Lifted array the functions in ANALYTIC have other forms, equal to NumPy's on real
numbers, and as of a real number x, its real part and its conjugate are x itself. So forwards are
written for real numbers alone.
"""

import numpy as np


class Lifted(np.ndarray):
    """A complex array, which stays Lifted through NumPy's functions."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **settings):
        plain = [np.asarray(x) if isinstance(x, Lifted) else x for x in inputs]
        if out:
            settings["out"] = tuple(map(np.asarray, out))
        if ufunc in ANALYTIC and any(map(np.iscomplexobj, plain)) and not settings:
            found = ANALYTIC[ufunc](*plain)
        else:
            found = getattr(ufunc, method)(*plain, **settings)
        return out[0] if out else _lifted(found)

    def __array_function__(self, function, types, args, settings):
        if function in REFUSED:
            raise TypeError(f"np.linalg.{function.__name__} takes conjugates of complex numbers.")
        if function in ANALYTIC:
            return _lifted(ANALYTIC[function](*args, **settings))
        return _lifted(super().__array_function__(function, types, args, settings))

    real = property(lambda self: self)
    imag = property(lambda self: np.zeros_like(self))

    def conj(self):
        return self

    conjugate = conj

    def astype(self, dtype, *args, **settings):
        kind = np.dtype(dtype).kind
        if kind == "f":  # another precision
            return self
        array = np.asarray(self)
        return (array if kind == "c" else np.real(array)).astype(dtype, *args, **settings)


def _lifted(found):
    """What a function returned, its complex arrays Lifted."""
    if isinstance(found, (tuple, list)):
        return [*map(_lifted, found)]
    return np.asarray(found).view(Lifted) if np.iscomplexobj(found) else found


def _absolute(x):
    """x or -x, by the sign of the real part; where this is 0, of the imaginary part."""
    return np.maximum(x, -x)


def _sign(x):
    return np.sign(x.real).astype(x.dtype)


def _remainder(x, y):
    """The quotient is constant between jumps."""
    return x - np.floor(np.real(x) / np.real(y)) * y


def _logaddexp(x, y):
    top = np.maximum(x, y)
    return top + np.log1p(np.exp(np.minimum(x, y) - top))


def _sqrt(x):
    """At 0 the root of x * x is |x|. So where the step makes a number negative, its root grows."""
    root = np.sqrt(x)
    return np.where(x.real < 0, root.real + 1j * abs(root.imag), root)


def _cbrt(x):
    return _sign(x) * _absolute(x) ** (1 / 3)


def _arctan2(x, y):
    """The arctangent of a ratio of at most 1, plus a multiple of half a pi."""
    steep = abs(np.real(x)) > abs(np.real(y))
    ratio = np.where(steep, -y, x) / np.where(steep, x, y)
    return np.arctan(ratio) + (np.arctan2(np.real(x), np.real(y)) - np.arctan(ratio.real))


def _slogdet(a):
    """The size of the determinant takes the angle of its sign."""
    sign, size = np.linalg.slogdet(np.asarray(a))
    return _sign(sign), size + np.log(_absolute(sign))


ANALYTIC = {
    np.absolute: _absolute,
    np.fabs: _absolute,
    np.sign: _sign,
    np.conjugate: np.positive,
    np.remainder: _remainder,
    np.logaddexp: _logaddexp,
    np.sqrt: _sqrt,
    np.cbrt: _cbrt,
    np.hypot: lambda x, y: _sqrt(x * x + y * y),
    np.arctan2: _arctan2,
    np.linalg.slogdet: _slogdet,
}
# An op that uses one of these is passed by a difference.
REFUSED = {np.linalg.cholesky, np.linalg.eigh, np.linalg.svd, np.linalg.pinv, np.linalg.qr}

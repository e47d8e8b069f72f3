"""Operators and methods of Tensor. This file attaches them, since engine.py knows no op."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .. import errors, later
from ..array import implementation, implements
from ..engine import Tensor
from ..types import DType, Operand
from . import comparisons, elementwise, indexing, linalg, reductions, shaping


def astype(x, dtype: DType) -> Tensor:
    """x in another dtype. A gradient flows between float dtypes.

    Raises TypeError for a complex dtype.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        raise errors.is_complex()
    cast = elementwise.astype if dtype.kind == "f" else comparisons.astype_whole
    return cast(x, dtype)


def several(args):
    """One tuple for t.reshape(2, 3) and for t.reshape((2, 3))."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


def reshape(x, *shape: Any) -> Tensor:
    """x in another shape: x.reshape(2, 3) or x.reshape((2, 3))."""
    return shaping.reshape(x, several(shape))


def transpose(x, *axes: Any) -> Tensor:
    """x with its axes reversed, or in the order `axes`."""
    return shaping.transpose(x, several(axes) or None)


def flatten(x, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes from start_dim to end_dim as one axis; by default all.

    Raises ValueError if there are no such axes, or if start_dim comes after end_dim.
    """
    if start_dim == 0 and end_dim == -1:
        return shaping.reshape(x, -1)
    shape = x.shape or (1,)
    start, end = normalize_axis_tuple((start_dim, end_dim), len(shape), "flatten", True)
    if start > end:
        raise ValueError(f"flatten of {shape}: axis {start_dim} comes after axis {end_dim}.")
    merged = math.prod(shape[start : end + 1])
    return shaping.reshape(x, (*shape[:start], merged, *shape[end + 1 :]))


def dot(x, y: Operand) -> Tensor:
    """x @ y for vectors and matrices, x * y for a scalar: np.dot(x, y)."""
    return np.dot(x, y)  # a composition of functional/


Unary = Callable[[Any], Tensor]
Binary = Callable[[Any, Operand], Tensor]


def _unary(function: np.ufunc) -> Unary:
    return implementation(function)


def _binary(function: np.ufunc) -> Binary:
    return implementation(function)


def _both(function: np.ufunc) -> tuple[Binary, Binary]:
    """The functions of t + u and of u + t."""
    op = implementation(function)
    return op, lambda x, y: op(y, x)


class Methods:
    """The operators and methods of Tensor, with the signatures of the ops.

    t.sum(...) is np.sum(t, ...). For type checkers this class is a base of Tensor.
    """

    __add__, __radd__ = _both(np.add)
    __sub__, __rsub__ = _both(np.subtract)
    __mul__, __rmul__ = _both(np.multiply)
    __truediv__, __rtruediv__ = _both(np.divide)
    __pow__, __rpow__ = _both(np.power)
    __mod__, __rmod__ = _both(np.remainder)
    __matmul__, __rmatmul__ = _both(np.matmul)
    __floordiv__, __rfloordiv__ = _both(np.floor_divide)
    __and__, __rand__ = _both(np.bitwise_and)
    __or__, __ror__ = _both(np.bitwise_or)
    __xor__, __rxor__ = _both(np.bitwise_xor)
    __neg__, __pos__ = _unary(np.negative), _unary(np.positive)
    __abs__, __invert__ = _unary(np.absolute), _unary(np.invert)
    __eq__: ClassVar[Binary] = _binary(np.equal)  # not the type that `object` gives
    __ne__: ClassVar[Binary] = _binary(np.not_equal)
    __lt__, __le__ = _binary(np.less), _binary(np.less_equal)
    __gt__, __ge__ = _binary(np.greater), _binary(np.greater_equal)
    __getitem__ = indexing.at

    sum, mean, prod, cumsum = reductions.sum, reductions.mean, reductions.prod, reductions.cumsum
    max, min, var, std = reductions.max, reductions.min, reductions.var, reductions.std
    argmax, argmin = comparisons.argmax, comparisons.argmin
    any, all, round = comparisons.any, comparisons.all, comparisons.round
    exp, log, sqrt, tanh = elementwise.exp, elementwise.log, elementwise.sqrt, elementwise.tanh
    abs, clip = elementwise.absolute, elementwise.clip
    relu, sigmoid = elementwise.relu, elementwise.sigmoid
    matmul, dot = linalg.matmul, dot
    astype, reshape, transpose, flatten, ravel = astype, reshape, transpose, flatten, flatten
    swapaxes, squeeze = shaping.swapaxes, shaping.squeeze
    T: Tensor = property(transpose)

    if TYPE_CHECKING:  # PyTorch's names, from the vocabulary
        _UNARY, _BINARY = list[Unary](), list[Binary]()
        _OTHER, _ANY = list[Callable[..., Tensor]](), list[Any]()
        clone, contiguous, cpu, t, det, inverse, float, double, half, long, int, bool = _UNARY
        neg, negative, absolute, sign, square, reciprocal, floor, ceil, trunc, erf = _UNARY
        copy, sin, cos, tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh = _UNARY
        exp2, expm1, log1p, log2, log10, isnan, isinf, isfinite, logical_not = _UNARY
        add, sub, mul, div, pow, remainder, maximum, minimum, atan2, logaddexp, mm, bmm = _BINARY
        mv, outer, eq, ne, lt, le, gt, ge, logical_and, logical_or, view_as, expand_as = _BINARY
        view, permute, unsqueeze, expand, swapdims, movedim, flip, roll, tile, amax, amin = _OTHER
        clamp, norm, masked_fill, gather, index_select, take, argsort, diff, cumprod = _OTHER
        diag, diagonal, trace, tril, triu, softmax, log_softmax, logsumexp, count_nonzero = _OTHER
        zero_, fill_, copy_, normal_, uniform_, add_, sub_, mul_, div_, clamp_ = _OTHER
        mT, numel, dim, equal, topk, sort, chunk, split, unbind = _ANY


NO_METHODS = "__module__", "__doc__", "__dict__", "__weakref__", "__hash__", "__annotations__"
for name, method in vars(Methods).items():
    if name not in NO_METHODS:
        setattr(Tensor, name, method)
for name in later.METHODS:
    setattr(Tensor, name, later.Method(name))

implements(np.amax)(reductions.max)
implements(np.amin)(reductions.min)


@implements(np.concatenate)
def concatenate(arrays, axis=0):
    """The arrays joined along an axis; without an axis, all entries as one vector."""
    if axis is None:
        arrays, axis = [np.ravel(a) for a in arrays], 0
    return shaping.concatenate(axis, *arrays)


@implements(np.stack)
def stack(arrays, axis=0):
    """The arrays, all of one shape, joined along a new axis."""
    return shaping.stack(axis, *arrays)


@implements(np.einsum)
def einsum(subscripts, *operands, optimize=True):
    """The op einsum. It chooses the order of the products itself and ignores `optimize`.

    The labels may be lists: einsum(x, [0, 1], y, [1, 2], [0, 2]).
    """
    if not isinstance(subscripts, str):
        given = subscripts, *operands
        lists = given[1::2] if len(given) % 2 == 0 else (*given[1::2], given[-1])
        texts = ["".join("..." if i is ... else linalg.LETTERS[i] for i in row) for row in lists]
        operands = given[:-1:2]
        inputs, output = texts[: len(operands)], texts[len(operands) :]
        subscripts = "->".join([",".join(inputs), *output])
    return linalg.einsum(subscripts, *operands)

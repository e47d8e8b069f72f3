"""Operators and methods of Tensor. They are attached here, since engine.py knows no op."""

import math

import numpy as np

from .. import errors, later
from ..array import implementation, implements
from ..engine import Tensor
from . import comparisons, elementwise, indexing, linalg, reductions, shaping

BINARY = {  # t + u and u + t, for each of them
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "pow": np.power,
    "mod": np.remainder,
    "matmul": np.matmul,
    "floordiv": np.floor_divide,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
OTHER = {  # -t, t == u
    "neg": np.negative,
    "pos": np.positive,
    "abs": np.absolute,
    "invert": np.invert,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
# t.sum(...) is np.sum(t, ...)
METHODS = ["sum", "mean", "max", "min", "prod", "var", "std", "cumsum", "argmax", "argmin"]
METHODS += ["any", "all", "round", "exp", "log", "sqrt", "abs", "tanh", "clip", "matmul"]
METHODS += ["swapaxes", "squeeze"]

for name, function in BINARY.items():
    op = implementation(function)
    setattr(Tensor, f"__{name}__", op)
    setattr(Tensor, f"__r{name}__", lambda x, y, op=op: op(y, x))
for name, function in OTHER.items():
    setattr(Tensor, f"__{name}__", implementation(function))
for name in METHODS:
    setattr(Tensor, name, implementation(getattr(np, name)))
Tensor.__getitem__ = indexing.at
Tensor.sigmoid = elementwise.sigmoid
Tensor.relu = elementwise.relu
Tensor.dot = lambda x, y: np.dot(x, y)  # a composition, which comes later


def astype(x, dtype):
    """x in another dtype. A gradient flows if both dtypes are float dtypes."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        raise errors.is_complex()
    cast = elementwise.astype if dtype.kind == "f" else comparisons.astype_whole
    return cast(x, dtype)


def _several(args):
    """One tuple for t.reshape(2, 3) and for t.reshape((2, 3))."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


def reshape(x, *shape):
    """x in another shape: x.reshape(2, 3) or x.reshape((2, 3))."""
    return shaping.reshape(x, _several(shape))


def transpose(x, *axes):
    """x with its axes reversed, or in the order `axes`."""
    return shaping.transpose(x, _several(axes) or None)


def flatten(x, start_dim=0, end_dim=-1):
    """x with the axes from start_dim to end_dim as one axis; by default all.

    Raises ValueError if there are no such axes.
    """
    if start_dim == 0 and end_dim == -1:
        return shaping.reshape(x, -1)
    shape = x.shape or (1,)
    rank = len(shape)
    if not (-rank <= start_dim < rank and -rank <= end_dim < rank):
        raise ValueError(f"flatten of {x.shape}: there are no axes from {start_dim} to {end_dim}.")
    start, end = start_dim % rank, end_dim % rank
    merged = math.prod(shape[start : end + 1])
    return shaping.reshape(x, (*shape[:start], merged, *shape[end + 1 :]))


Tensor.astype = astype
Tensor.reshape = reshape
Tensor.transpose = transpose
Tensor.flatten = Tensor.ravel = flatten
Tensor.T = property(transpose)
for name in later.METHODS.split():
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
    """The op einsum. It chooses the order of the products itself and ignores `optimize`."""
    return linalg.einsum(subscripts, *operands)

"""Operators and methods of Tensor. They are attached here, since engine.py knows no op."""

import numpy as np

from ..array import implements
from ..engine import Tensor
from . import comparisons as c
from . import elementwise as e
from . import indexing, linalg, reductions, shaping

BINARY = {  # x + y and y + x, for each of them
    "add": e.add,
    "sub": e.subtract,
    "mul": e.multiply,
    "truediv": e.divide,
    "pow": e.power,
    "mod": e.remainder,
    "matmul": linalg.matmul,
    "floordiv": c.floor_divide,
    "and": c.bitwise_and,
    "or": c.bitwise_or,
    "xor": c.bitwise_xor,
}
METHODS = {
    "__neg__": e.negative,
    "__pos__": e.positive,
    "__abs__": e.absolute,
    "__invert__": c.invert,
    "__eq__": c.equal,
    "__ne__": c.not_equal,
    "__lt__": c.less,
    "__le__": c.less_equal,
    "__gt__": c.greater,
    "__ge__": c.greater_equal,
    "__getitem__": indexing.at,
    "sum": reductions.sum,
    "mean": reductions.mean,
    "max": reductions.max,
    "min": reductions.min,
    "prod": reductions.prod,
    "var": reductions.var,
    "std": reductions.std,
    "cumsum": reductions.cumsum,
    "argmax": c.argmax,
    "argmin": c.argmin,
    "any": c.any,
    "all": c.all,
    "round": c.round,
    "exp": e.exp,
    "log": e.log,
    "sqrt": e.sqrt,
    "abs": e.absolute,
    "tanh": e.tanh,
    "sigmoid": e.sigmoid,
    "relu": e.relu,
    "clip": e.clip,
    "matmul": linalg.matmul,
    "dot": lambda x, y: np.dot(x, y),
    "swapaxes": shaping.swapaxes,
    "squeeze": shaping.squeeze,
}

for name, op in BINARY.items():
    setattr(Tensor, f"__{name}__", op)
    setattr(Tensor, f"__r{name}__", lambda x, y, op=op: op(y, x))
for name, op in METHODS.items():
    setattr(Tensor, name, op)


def astype(x, dtype):
    """x in another dtype. A gradient flows if both dtypes are float dtypes."""
    dtype = np.dtype(dtype)
    return e.astype(x, dtype) if dtype.kind == "f" else c.astype_whole(x, dtype)


def _several(args):
    """The arguments of t.reshape(2, 3) as those of t.reshape((2, 3))."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


def reshape(x, *shape):
    """x in another shape: x.reshape(2, 3) or x.reshape((2, 3))."""
    return shaping.reshape(x, _several(shape))


def transpose(x, *axes):
    """x with its axes reversed, or in the order `axes`."""
    return shaping.transpose(x, _several(axes) or None)


def flatten(x):
    """x with one axis."""
    return shaping.reshape(x, -1)


Tensor.astype = astype
Tensor.reshape = reshape
Tensor.transpose = transpose
Tensor.flatten = Tensor.ravel = flatten
Tensor.T = property(transpose)

implements(np.amax)(reductions.max)
implements(np.amin)(reductions.min)


@implements(np.concatenate)
def concatenate(arrays, axis=0):
    if axis is None:
        arrays, axis = [np.ravel(a) for a in arrays], 0
    return shaping.concatenate(axis, *arrays)


@implements(np.stack)
def stack(arrays, axis=0):
    return shaping.stack(axis, *arrays)


@implements(np.einsum)
def einsum(subscripts, *operands, optimize=True):
    """The op, which chooses a good order itself, whatever `optimize` says."""
    return linalg.einsum(subscripts, *operands)

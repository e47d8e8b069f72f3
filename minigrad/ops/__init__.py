"""The primitives: every function that has gradient rules of its own, a family a file.

Here they also become Tensor's operators and methods, since engine.py knows no op.
"""

import numpy as np

from ..engine import Tensor, implements
from . import dropout, indexing, linalg, losses, penalties, reductions, shaping, windows
from . import elementwise as e

# those that NumPy has no name for
from .elementwise import erf, relu, sigmoid, softplus, tanh
from .indexing import getitem, scatter
from .linalg import linear
from .reductions import log_softmax, logsumexp, softmax, standardize

binary = {
    "add": e.add,
    "sub": e.subtract,
    "mul": e.multiply,
    "truediv": e.divide,
    "pow": e.power,
    "mod": e.remainder,
    "matmul": linalg.matmul,
}
flat_binary = {
    "floordiv": np.floor_divide,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
comparisons = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
methods = {
    "__neg__": e.negative,
    "__pos__": e.positive,
    "__abs__": e.absolute,
    "__getitem__": indexing.at,
    "sum": reductions.sum,
    "mean": reductions.mean,
    "max": reductions.max,
    "min": reductions.min,
    "prod": reductions.prod,
    "var": reductions.var,
    "std": reductions.std,
    "cumsum": reductions.cumsum,
    "exp": e.exp,
    "log": e.log,
    "sqrt": e.sqrt,
    "abs": e.absolute,
    "tanh": e.tanh,
    "sigmoid": e.sigmoid,
    "relu": e.relu,
    "clip": e.clip,
    "matmul": linalg.matmul,
    "swapaxes": shaping.swapaxes,
    "squeeze": shaping.squeeze,
}
numpy_methods = {
    "__invert__": np.invert,
    "argmax": np.argmax,
    "argmin": np.argmin,
    "any": np.any,
    "all": np.all,
    "round": np.round,
}

for name, function in binary.items():
    setattr(Tensor, f"__{name}__", function)
for name, function in {**flat_binary, **comparisons}.items():
    setattr(Tensor, f"__{name}__", lambda x, y, f=function: f(x, y))
for name, function in {**binary, **flat_binary}.items():
    setattr(Tensor, f"__r{name}__", lambda x, y, f=function: f(y, x))
for name, function in methods.items():
    setattr(Tensor, name, function)
for name, function in numpy_methods.items():
    setattr(Tensor, name, lambda x, *args, f=function, **settings: f(x, *args, **settings))


def cast(x, dtype):
    """x in another dtype; what is not a float has no gradient."""
    return (
        e.astype(x, np.dtype(dtype)) if np.dtype(dtype).kind == "f" else Tensor(x.data, dtype=dtype)
    )


def _axes(args):
    """t.reshape(2, 3) and t.reshape((2, 3)) mean the same."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


Tensor.astype = cast
Tensor.reshape = lambda x, *shape: shaping.reshape(x, _axes(shape))
Tensor.transpose = lambda x, *axes: shaping.transpose(x, _axes(axes) or None)
Tensor.flatten = lambda x: shaping.reshape(x, -1)
Tensor.ravel = Tensor.flatten

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
    """The op, which finds a good order by itself, whatever `optimize`."""
    return linalg.einsum(subscripts, *operands)

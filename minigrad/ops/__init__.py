"""The primitives: every function that has gradient rules of its own, a family a file.

Here they also become Tensor's operators and methods, since engine.py knows no op.
"""

import numpy as np

from ..engine import Tensor, implements
from . import elementwise as e
from . import linalg, losses, penalties, reductions, shaping, stochastic
from .elementwise import astype, erf, relu, sigmoid, softplus, where
from .indexing import getitem, scatter
from .linalg import linear, matmul
from .reductions import log_softmax, logsumexp, softmax

__all__ = ["astype", "erf", "getitem", "linear", "log_softmax", "logsumexp", "losses", "matmul", "penalties", "relu", "scatter", "sigmoid", "softmax", "softplus", "stochastic", "where"]

for name, function in {
    **{"add": e.add, "sub": e.subtract, "mul": e.multiply, "truediv": e.divide, "pow": e.power, "matmul": matmul},
    **{"floordiv": np.floor_divide, "mod": np.remainder, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor},
}.items():
    setattr(Tensor, f"__{name}__", lambda x, y, f=function: f(x, y))
    setattr(Tensor, f"__r{name}__", lambda x, y, f=function: f(y, x))

for name, function in {
    **{"__neg__": e.negative, "__pos__": e.positive, "__abs__": e.absolute, "__invert__": np.invert, "__getitem__": getitem},
    **{"__eq__": np.equal, "__ne__": np.not_equal, "__lt__": np.less, "__le__": np.less_equal, "__gt__": np.greater, "__ge__": np.greater_equal},
    **{"sum": reductions.sum, "mean": reductions.mean, "max": reductions.max, "min": reductions.min, "prod": reductions.prod},
    **{"var": reductions.var, "std": reductions.std, "argmax": np.argmax, "argmin": np.argmin, "any": np.any, "all": np.all},
    **{"exp": e.exp, "log": e.log, "sqrt": e.sqrt, "abs": e.absolute, "tanh": e.tanh, "clip": e.clip, "round": np.round},
    **{"sigmoid": sigmoid, "relu": relu, "swapaxes": shaping.swapaxes, "squeeze": shaping.squeeze, "astype": astype, "matmul": matmul},
}.items():
    setattr(Tensor, name, lambda *args, f=function, **kwargs: f(*args, **kwargs))


def _axes(args):
    """t.reshape(2, 3) and t.reshape((2, 3)) mean the same."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


Tensor.reshape = lambda x, *shape: shaping.reshape(x, _axes(shape))
Tensor.transpose = lambda x, *axes: shaping.transpose(x, _axes(axes) or None)
Tensor.flatten = lambda x: shaping.reshape(x, -1)
Tensor.ravel = Tensor.flatten

implements(np.amax)(reductions.max)
implements(np.amin)(reductions.min)


@implements(np.concatenate)
def concatenate(arrays, axis=0):
    return shaping.concatenate(axis, *arrays)


@implements(np.stack)
def stack(arrays, axis=0):
    return shaping.stack(axis, *arrays)

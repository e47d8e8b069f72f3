"""Activations other than the ops relu, sigmoid, tanh and softplus.

x may have any shape; the result has the same shape. All functions raise TypeError if x does not
hold numbers.
"""

import math

import numpy as np

from ..ops import erf, relu, sigmoid, softmax, softplus
from ..ops.elementwise import floats, in_float32
from ..registry import composition
from ..types import Operand
from .checks import by_channel

__all__ = ["leaky_relu", "elu", "selu", "silu", "gelu", "mish", "relu6", "hardtanh", "hardsigmoid"]
__all__ += ["hardswish", "softsign", "logsigmoid", "glu", "prelu", "celu", "softmin", "threshold"]
__all__ += ["hardshrink", "softshrink", "tanhshrink"]


@composition
def leaky_relu(x: Operand, negative_slope=0.01):
    """x where x > 0, else negative_slope * x (Maas et al. 2013)."""
    x = floats(x)
    return negative_slope * x + (1 - negative_slope) * relu(x)


@composition
def elu(x: Operand, alpha=1.0):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016, arXiv:1511.07289)."""
    return relu(x) + alpha * np.expm1(np.clip(floats(x), None, 0))


@composition
def celu(x: Operand, alpha=1.0):
    """x where x > 0, else alpha (exp(x / alpha) - 1) (Barron 2017, arXiv:1704.07483).

    Raises ValueError for alpha = 0.
    """
    if alpha == 0:
        raise ValueError("alpha must not be 0.")
    return relu(x) + alpha * np.expm1(np.clip(floats(x), None, 0) / alpha)


@composition
def selu(x: Operand):
    """The self-normalising elu (Klambauer et al. 2017, arXiv:1706.02515).

    s x where x > 0, else s a (exp(x) - 1), with s = 1.0507 and a = 1.6733.
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@composition
def silu(x: Operand):
    """x * sigmoid(x), also called swish (Elfwing et al. 2018, arXiv:1702.03118)."""
    return x * sigmoid(x)


@composition
@in_float32
def gelu(x: Operand, approximate="none"):
    """x * Phi(x), where Phi is the normal distribution function.

    approximate  "none", or "tanh" for a fast approximation by tanh

    Raises ValueError for another value of approximate. Hendrycks & Gimpel 2016 (arXiv:1606.08415).
    """
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise ValueError(f'approximate is "none" or "tanh", not {approximate!r}.')
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@composition
def mish(x: Operand):
    """x * tanh(softplus(x)) (Misra 2020, arXiv:1908.08681)."""
    return x * np.tanh(softplus(x))


@composition
def hardtanh(x: Operand, min_val=-1.0, max_val=1.0):
    """x limited to [min_val, max_val]. At the limits the slope is 1.

    Raises ValueError if min_val is above max_val.
    """
    if min_val > max_val:
        raise ValueError(f"min_val must be <= max_val, got {min_val} and {max_val}.")
    return np.clip(x, min_val, max_val)


@composition
def relu6(x: Operand):
    """x limited to [0, 6] (Krizhevsky 2010)."""
    return np.clip(relu(x), None, 6)


@composition
def hardsigmoid(x: Operand):
    """x / 6 + 1/2, limited to [0, 1] (Howard et al. 2019, arXiv:1905.02244)."""
    return relu6(floats(x) + 3) / 6


@composition
def hardswish(x: Operand):
    """x * hardsigmoid(x) (Howard et al. 2019, arXiv:1905.02244)."""
    return x * hardsigmoid(x)


@composition
def hardshrink(x: Operand, lambd=0.5):
    """x where |x| > lambd, else 0."""
    return np.where(np.absolute(floats(x)) <= lambd, 0, x)


@composition
def softshrink(x: Operand, lambd=0.5):
    """x moved towards 0 by lambd, and 0 where |x| <= lambd. Raises ValueError for lambd < 0."""
    if lambd < 0:
        raise ValueError(f"lambd must be >= 0, got {lambd}.")
    return x - np.clip(x, -lambd, lambd)


@composition
def tanhshrink(x: Operand):
    """x - tanh(x)."""
    return x - np.tanh(floats(x))


@composition
def threshold(x: Operand, threshold, value):
    """x where x > threshold, else value."""
    return np.where(x <= threshold, value, x)


@composition
def softmin(x: Operand, dim=-1):
    """softmax(-x) along `dim`."""
    return softmax(-floats(x), dim)


@composition
def softsign(x: Operand):
    """x / (1 + |x|) (Bergstra et al. 2009)."""
    return x / (1 + np.absolute(floats(x)))


@composition
def logsigmoid(x: Operand):
    """log sigmoid(x), without overflow."""
    return -softplus(-floats(x))


@composition
def glu(x: Operand, dim=-1):
    """a * sigmoid(b) of the halves a and b of x along `dim`. Raises ValueError for an odd size.

    Dauphin et al. 2017 (arXiv:1612.08083).
    """
    a, b = np.split(x, 2, dim)
    return a * sigmoid(b)


@composition
def prelu(x: Operand, weight: Operand):
    """x where x > 0, else weight * x (He et al. 2015, arXiv:1502.01852).

    weight  (1,), or (C,) for the channels of x (N, C, ...)

    Raises ValueError for another shape.
    """
    weight = weight if np.shape(weight) == (1,) else by_channel(weight, x)
    return leaky_relu(x, weight if x.ndim else weight[0])

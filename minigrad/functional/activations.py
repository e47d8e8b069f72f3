"""Activations other than the ops relu, sigmoid, tanh and softplus.

x may have any shape; the result has the same shape. All functions raise TypeError if x does not
hold numbers.
"""

import math

import numpy as np

from ..ops import erf, relu, sigmoid
from ..registry import composition
from ..types import Operand

__all__ = ["leaky_relu", "elu", "selu", "silu", "gelu"]


@composition
def leaky_relu(x: Operand, negative_slope=0.01):
    """x where x > 0, else negative_slope * x (Maas et al. 2013)."""
    return negative_slope * x + (1 - negative_slope) * relu(x)


@composition
def elu(x: Operand, alpha=1.0):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016, arXiv:1511.07289)."""
    return relu(x) + alpha * np.expm1(np.clip(x, None, 0))


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
def gelu(x: Operand, approximate="none"):
    """x * Phi(x), where Phi is the normal distribution function.

    approximate="tanh" takes a fast approximation by tanh. Raises ValueError for any other value but
    "none". Hendrycks & Gimpel 2016 (arXiv:1606.08415).
    """
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}.')
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))

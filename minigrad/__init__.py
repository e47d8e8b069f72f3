"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at."""

from . import functional, nn, optim
from .check import check_graph, gradcheck, gradgradcheck
from .draw import draw
from .engine import Noise, Tensor, frozen_noise, grad, manual_seed, no_grad, set_default_dtype
from .graph import replay, resample
from .nn import load, save, summary

tensor = Tensor

__all__ = [
    *("Noise", "Tensor", "tensor", "grad", "no_grad", "manual_seed", "set_default_dtype", "frozen_noise"),
    *("check_graph", "draw", "gradcheck", "gradgradcheck", "replay", "resample", "load", "save", "summary"),
    *("functional", "nn", "optim"),
]
__version__ = "0.1.0"

"""Compositions of ops. They need no gradient rule.

Each function records its nodes under its own name, so that pictures and reports show one node. The
data argument is called `x`; losses have `input` and `target`. Where PyTorch has another order of
arguments, they must be given by name.
"""

from importlib import import_module as _module

from .. import later
from ..ops import erf, linear, log_softmax, logsumexp, relu, sigmoid, softmax, softplus, tanh
from ..ops.penalties import elastic_net, group_l2, l1_penalty, l2_penalty
from . import arrays
from .activations import *
from .dropout import *
from .losses import *
from .norms import *
from .sequences import *
from .windows import *

__all__ = ["erf", "linear", "log_softmax", "logsumexp", "relu", "sigmoid", "softmax", "softplus"]
__all__ += ["tanh", "elastic_net", "group_l2", "l1_penalty", "l2_penalty"]
for _name in "activations", "dropout", "losses", "norms", "sequences", "windows":
    __all__ += _module(f".{_name}", __name__).__all__  # F.dropout is the function, not the file

later.offer_names(__name__)

"""The ops: every function that is recorded as one node. Each file has one subject.

An op has gradient rules, or says that no gradient flows (comparisons.py). Importing this
package also gives Tensor its operators and methods (methods.py).
"""

from . import dropout, losses, methods, penalties, windows

# the ops that NumPy has no name for
from .elementwise import erf, relu, sigmoid, softplus, tanh
from .indexing import getitem, scatter
from .linalg import linear
from .reductions import log_softmax, logsumexp, softmax, standardize

__all__ = ["erf", "relu", "sigmoid", "softplus", "tanh", "log_softmax", "logsumexp", "softmax"]
__all__ += ["linear", "standardize", "getitem", "scatter"]

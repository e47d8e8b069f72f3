"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at.

The files, in reading order. Each imports only files above it; check/samples/ also vocabulary/.

engine.py      read this first. modes.py, array.py, changes.py and errors.py are the parts that need
               no graph
types.py       types of arguments, for the signatures that editors read
registry.py    the declaration of ops. fast.py replaces two functions of the engine by faster lines
               with the same results: set MINIGRAD_FAST=0 in the environment when you edit these
               two. tuning.py raises the collector's threshold and lets the allocator keep large
               arrays, for the whole process: MINIGRAD_TUNING=0 prevents it
noise.py       noise leaves, their laws and streams
ops/           the ops, each a forward with its rules; ops/methods.py gives Tensor its operators
functional/    compositions of ops, which need no rules
graph.py       a recorded graph runs again; names.py: the names of its leaves
loss.py        the terms of a loss; anomaly.py: the op that makes the first nan
state.py       the state of a whole training in one file; data.py: batches
nn/, optim/    modules and optimizers with PyTorch's arguments, state_dict keys and update rules;
               penalties; proximal steps
derivatives.py Jacobians and Hessians of functions
check/         the proofs: numeric.py is the complex step, samples/ has calls of every op
program/       a loss written out as NumPy, to read and to run
drawing/       the pictures, and the page that steps through the backward pass
foreign.py     arrays of other libraries, such as Dask's; parallel.py: a loss over chunks of data
vocabulary/    NumPy's and PyTorch's other names, imported when they are first used
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .tuning import tune

tune()  # before graphs are made

from . import functional, later
from .array import set_default_dtype
from .engine import Tensor, grad
from .graph import noise_leaves, replay, resample
from .modes import no_grad
from .noise import Noise, frozen_noise, get_rng_state, manual_seed, sampling, set_rng_state

tensor = Tensor

__version__ = "0.1.0"

# All other names are imported when they are first used.
if TYPE_CHECKING:
    from . import data, foreign, nn, optim, parallel
    from .anomaly import detect_anomaly
    from .check import check_graph, check_noise, expectation, gradcheck, gradgradcheck
    from .derivatives import hessian, hvp, jacobian, jvp, vjp
    from .drawing import draw, to_dot, to_html, to_text
    from .loss import terms
    from .nn import sparsity, summary
    from .program import compile, write_out
    from .state import load, save

_MODULES = {"data", "foreign", "nn", "optim", "parallel"}
_LATER = {
    "anomaly": ["detect_anomaly"],
    "check": ["check_graph", "check_noise", "expectation", "gradcheck", "gradgradcheck"],
    "derivatives": ["hessian", "hvp", "jacobian", "jvp", "vjp"],
    "drawing": ["draw", "to_dot", "to_html", "to_text"],
    "loss": ["terms"],
    "nn": ["sparsity", "summary"],
    "program": ["compile", "write_out"],
    "state": ["load", "save"],
}
_HOME = {name: module for module, names in _LATER.items() for name in names}

__all__ = ["Tensor", "data", "functional", "grad", "nn", "no_grad", "optim", "tensor"]
__all__ += ["foreign", "parallel"]
__all__ += ["Noise", "frozen_noise", "manual_seed", "sampling", "get_rng_state", "set_rng_state"]
__all__ += ["noise_leaves", "replay", "resample", "terms", "sparsity", "summary"]
__all__ += ["detect_anomaly", "load", "save", "set_default_dtype"]
__all__ += ["check_graph", "check_noise", "expectation", "gradcheck", "gradgradcheck"]
__all__ += ["draw", "to_dot", "to_html", "to_text", "compile", "write_out"]
__all__ += ["hessian", "hvp", "jacobian", "jvp", "vjp"]

later.is_complete = True


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        return later.attribute(__name__, name)
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})

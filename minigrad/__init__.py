"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at.

The files, in the order in which to read them. Imports point up this list only.

engine.py      read this first. modes.py, array.py, changes.py and errors.py hold what needs no
               graph; blocks.py ends `with` blocks at whatever moment Ctrl-C comes
registry.py    how an op is declared. fast.py replaces two functions of the engine by faster lines
               with the same results: set MINIGRAD_FAST=0 in the environment when you edit these
               two. tuning.py raises the collector's threshold and lets the allocator keep large
               arrays, for the whole process: MINIGRAD_TUNING=0 prevents it
types.py       types of arguments, for the signatures that editors read
noise.py       noise leaves, their laws and streams
ops/           the ops, each a forward with its rules; ops/methods.py gives Tensor its operators
functional/    compositions of ops. They have no rules, so there are none to get wrong
graph.py       a recorded graph runs again; names.py: what its leaves are called
loss.py        the terms of a loss; anomaly.py: where the first nan arises
nn/, optim/    modules and optimizers with PyTorch's arguments, state_dict keys and update rules;
               penalties; proximal steps
state.py       the state of a whole training in one file; data.py: batches
check/         the proofs: numeric.py is the complex step, samples/ has calls of every op
drawing/       the pictures, and the page that steps through the backward pass
program/       a loss written out as NumPy, to read and to run
vocabulary/    NumPy's and PyTorch's other names, imported when they are first used
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .tuning import tune

tune()  # before graphs are made

from . import data, functional, later, nn, optim
from .anomaly import detect_anomaly
from .array import set_default_dtype
from .engine import Tensor, grad
from .graph import noise_leaves, replay, resample
from .loss import terms
from .modes import no_grad
from .nn import sparsity, summary
from .noise import Noise, frozen_noise, get_rng_state, manual_seed, sampling, set_rng_state
from .state import load, save

tensor = Tensor

__version__ = "0.1.0"

# Training needs neither proofs, pictures nor programs: they are imported when they are first used.
if TYPE_CHECKING:
    from .check import check_graph, check_noise, expectation, gradcheck, gradgradcheck
    from .derivatives import hessian, hvp, jacobian, jvp, vjp
    from .drawing import draw, to_dot, to_html, to_text
    from .program import compile, write_out

_CHECK = ["check_graph", "check_noise", "expectation", "gradcheck", "gradgradcheck"]
_LATER = dict.fromkeys(_CHECK, "check")
_LATER |= dict.fromkeys(["draw", "to_dot", "to_html", "to_text"], "drawing")
_LATER |= dict.fromkeys(["compile", "write_out"], "program")
_LATER |= dict.fromkeys(["hessian", "hvp", "jacobian", "jvp", "vjp"], "derivatives")

__all__ = ["Tensor", "data", "functional", "grad", "nn", "no_grad", "optim", "tensor"]
__all__ += ["Noise", "frozen_noise", "manual_seed", "sampling", "get_rng_state", "set_rng_state"]
__all__ += ["noise_leaves", "replay", "resample", "terms", "sparsity", "summary"]
__all__ += ["detect_anomaly", "load", "save", "set_default_dtype"]
__all__ += ["check_graph", "check_noise", "expectation", "gradcheck", "gradgradcheck"]
__all__ += ["draw", "to_dot", "to_html", "to_text", "compile", "write_out"]
__all__ += ["hessian", "hvp", "jacobian", "jvp", "vjp"]

later.is_complete = True


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        return later.attribute(__name__, name)
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})

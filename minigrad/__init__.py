"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at.

The files, in the order in which to read them. Imports point up this list only.

engine.py      read this first. modes.py, array.py, changes.py and errors.py hold what needs no
               graph; blocks.py ends `with` blocks at whatever moment Ctrl-C comes
registry.py    how an op is declared. fast.py replaces two functions of the engine by faster lines
               with the same results: set MINIGRAD_FAST=0 in the environment when you edit these
               two. tuning.py raises the collector's threshold and lets the allocator keep large
               arrays, for the whole process: MINIGRAD_TUNING=0 prevents it
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
_LATER = {
    "check_graph": "check",
    "check_noise": "check",
    "compile": "program",
    "expectation": "check",
    "gradcheck": "check",
    "gradgradcheck": "check",
    "draw": "drawing",
    "to_dot": "drawing",
    "to_html": "drawing",
    "to_text": "drawing",
    "write_out": "program",
    **dict.fromkeys(("hessian", "hvp", "jacobian", "jvp", "vjp"), "derivatives"),
}
__all__ = [
    "Noise",
    "Tensor",
    "data",
    "detect_anomaly",
    "frozen_noise",
    "functional",
    "get_rng_state",
    "grad",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "noise_leaves",
    "optim",
    "replay",
    "resample",
    "sampling",
    "save",
    "set_default_dtype",
    "set_rng_state",
    "sparsity",
    "summary",
    "tensor",
    "terms",
    *_LATER,
]

later.is_complete = True


def __getattr__(name):
    if name not in _LATER:
        return later.attribute(__name__, name)
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})

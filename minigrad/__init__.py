"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at."""

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

"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at."""

from . import data, functional, nn, optim
from .engine import Tensor, grad, no_grad, set_default_dtype
from .graph import noise_leaves, replay, resample
from .loss import terms
from .nn import sparsity, summary
from .noise import (
    Noise,
    frozen_noise,
    get_rng_state,
    manual_seed,
    sampling,
    set_rng_state,
)
from .state import load, save

tensor = Tensor

# What only proofs and pictures need is imported when first used, so that training alone does not wait for it.
_readers = dict.fromkeys(
    ["check_graph", "check_noise", "expectation", "gradcheck", "gradgradcheck"], "check"
)
_readers |= dict.fromkeys(["draw", "to_dot", "to_html", "to_text"], "drawing")

__all__ = [
    *(
        "Noise",
        "Tensor",
        "tensor",
        "frozen_noise",
        "grad",
        "manual_seed",
        "no_grad",
        "sampling",
        "set_default_dtype",
    ),
    *(
        "data",
        "functional",
        "nn",
        "optim",
        "noise_leaves",
        "replay",
        "resample",
        "sparsity",
        "summary",
        "terms",
    ),
    *("get_rng_state", "load", "save", "set_rng_state"),
    *_readers,
]
__version__ = "0.1.0"


def __getattr__(name):
    if name not in _readers:
        raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_readers[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})

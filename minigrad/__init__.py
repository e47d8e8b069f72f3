"""minigrad: a reverse-mode autodiff engine on NumPy to read, change, prove and look at."""

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

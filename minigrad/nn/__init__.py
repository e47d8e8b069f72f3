"""Modules, layers, initialisers and penalties, with PyTorch's names and state_dict keys."""

from .. import later
from . import dropout, initialisers, layers, module, norms, penalties, reports, sequences
from .dropout import *
from .initialisers import *
from .layers import *
from .module import *
from .norms import *
from .penalties import *
from .reports import *
from .sequences import *

__all__ = layers.__all__ + dropout.__all__ + norms.__all__ + sequences.__all__ + module.__all__
__all__ += initialisers.__all__ + penalties.__all__ + reports.__all__

later.offer_names(__name__)

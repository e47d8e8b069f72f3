"""Modules, layers, initialisers and penalties, with PyTorch's names and state_dict keys."""

from typing import TYPE_CHECKING

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

if not TYPE_CHECKING:  # type checkers must not think that every name exists
    __getattr__ = later.names_of(__name__)

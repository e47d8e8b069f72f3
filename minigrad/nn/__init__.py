"""Modules, layers, initialisers and penalties, with PyTorch's names and state_dict keys."""

from ..later import names_of
from .dropout import *
from .initialisers import *
from .layers import *
from .module import *
from .norms import *
from .penalties import *
from .reports import *
from .sequences import *

__getattr__ = names_of(__name__)

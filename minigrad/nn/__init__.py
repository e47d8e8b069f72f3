"""Modules, layers, initialisers and penalties, with PyTorch's names and state_dict keys."""

from .. import later
from .dropout import *
from .initialisers import *
from .layers import *
from .module import *
from .norms import *
from .penalties import *
from .reports import *
from .sequences import *

__getattr__ = later.names_of(__name__)

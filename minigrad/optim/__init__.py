"""Optimizers as in PyTorch, proximal steps, schedules of the learning rate, and limits on norms."""

from .. import later
from . import lr_scheduler
from .averages import EMA
from .base import Optimizer
from .limits import clip_grad_norm_, clip_grad_value_, max_norm
from .proximal import ProximalSGD, kkt_residual
from .rules import SGD, Adagrad, Adam, AdamW, RMSprop
from .schedules import cosine, exponential, step_decay

__getattr__ = later.names_of(__name__)

"""Optimizers as in PyTorch, proximal steps, schedules of the learning rate, and limits on norms."""

from .. import later
from . import lr_scheduler
from .averages import EMA
from .base import Optimizer
from .lbfgs import LBFGS
from .limits import clip_grad_norm_, clip_grad_value_, max_norm
from .proximal import ProximalSGD, kkt_residual
from .rules import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop
from .schedules import cosine

__all__ = ["SGD", "Adam", "AdamW", "ProximalSGD", "Optimizer", "clip_grad_norm_", "max_norm"]
__all__ += ["cosine", "kkt_residual", "clip_grad_value_"]
__all__ += ["RMSprop", "Adagrad", "NAdam", "LBFGS", "EMA", "lr_scheduler"]

later.offer_names(__name__)

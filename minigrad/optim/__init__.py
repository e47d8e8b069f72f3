"""Optimizers with PyTorch's arguments and update rules, learning-rate schedules, and bounds on norms."""

import math

import numpy as np

from ..changes import mark_changed
from ..engine import Tensor, constant
from .base import Optimizer
from .proximal import ProximalSGD, kkt_residual


class SGD(Optimizer):
    """w -= lr v, where v = momentum v + (grad + weight_decay w); nesterov uses grad + momentum v for v (Sutskever et al. 2013)."""

    def __init__(self, parameters, lr=1e-3, momentum=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )

    def add_param_group(self, group):
        settings = self.defaults | group
        if settings["nesterov"] and not settings["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum > 0.")
        super().add_param_group(group)

    def update(self, trained, lr, settings):
        momentum, decay = settings["momentum"], settings["weight_decay"]
        if not momentum:
            for w, g in trained.pieces():
                w -= lr * (g + decay * w if decay else g)
            return
        for w, g, v in trained.pieces("velocity"):
            if decay:
                g = g + decay * w
            v *= momentum
            v += g
            w -= lr * (g + momentum * v if settings["nesterov"] else v)


class Adam(Optimizer):
    """Kingma & Ba 2015 (arXiv:1412.6980). Its weight_decay is added to the gradient, so it goes through the moments."""

    decoupled = False

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, trained, lr, settings):
        (beta1, beta2), eps, decay = settings["betas"], settings["eps"], settings["weight_decay"]
        correction1, correction2 = 1 - beta1**trained.updates, 1 - beta2**trained.updates
        for w, g, m, v in trained.pieces("mean", "mean of squares"):
            if decay and self.decoupled:
                w *= 1 - lr * decay
            elif decay:
                g = g + decay * w
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            w -= (lr / correction1) * m / (np.sqrt(v) / math.sqrt(correction2) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= lr weight_decay w (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    decoupled = True

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(parameters, lr, betas, eps, weight_decay)


# --------------------------------------------------------------------------- constraints and schedules


def clip_grad_norm_(parameters, max_norm):
    """Scales the gradients, before a step, so that their norm, all together, is at most `max_norm`; returns what it was (Pascanu et al. 2013)."""
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be > 0, got {max_norm}.")
    trained = [
        w
        for w in ([parameters] if isinstance(parameters, Tensor) else parameters)
        if w.grad is not None
    ]
    norm = math.hypot(
        *(float(np.linalg.norm(w.grad.data.astype(np.float64, copy=False))) for w in trained)
    )
    if not norm <= max_norm:
        for w in trained:
            w.grad = constant(w.grad.data * (max_norm / norm))
    return norm


def max_norm(weights, limit):
    """Projects, in place, each unit's incoming weights (a row of a Linear's weight) onto the ball of radius `limit`.

    Call it after each step (Srebro & Shraibman 2005; Srivastava et al. 2014, section 5.1).
    """
    if not limit > 0:
        raise ValueError(f"max_norm: the limit must be > 0, got {limit}.")
    for w in [weights] if isinstance(weights, Tensor) else weights:
        rows = w.data.reshape(len(w.data), -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        if (long := norms > limit).any():
            w.data[long] *= (limit / norms[long]).reshape(-1, *[1] * (w.ndim - 1))
            mark_changed(w)


def exponential(lr, factor):
    """The schedule lr * factor^step."""
    return lambda step: lr * factor**step


def step_decay(lr, every, factor=0.1):
    """The schedule lr * factor^(step // every)."""
    return lambda step: lr * factor ** (step // every)


def cosine(lr, steps, warmup=0, final=0.0):
    """Linear warm-up, then half a cosine from lr to `final` at `steps` (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    def schedule(step):
        if step < warmup:
            return lr * (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return final + (lr - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return schedule

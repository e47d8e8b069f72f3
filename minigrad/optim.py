"""Optimizers with PyTorch's arguments and update rules, learning-rate schedules, and the max-norm projection.

Every update is one pass over pieces that fit the cache, in place.
"""

import math
import numbers

import numpy as np

from .engine import Tensor
from .ops.penalties import blocks


class Optimizer:
    """Holds the parameters and their settings; `step` updates those that have a gradient.

    `parameters`: Tensors that require a gradient, or PyTorch's groups: [{"params": [...], "lr": 0.1}, ...]. `lr` is a number
    or a function of the step number 0, 1, 2, ...
    """

    def __init__(self, parameters, **settings):
        groups = list(parameters) if not isinstance(parameters, Tensor) else [parameters]
        groups = groups if groups and all(isinstance(g, dict) for g in groups) else [{"params": groups}]
        self.steps, self.groups = 0, []
        for group in groups:
            if "params" not in group:
                raise TypeError(f"{type(self).__name__}: a group needs its 'params'; got {sorted(group)}.")
            if unknown := group.keys() - settings.keys() - {"params"}:
                raise TypeError(f"{type(self).__name__} has no setting {sorted(unknown)}; it has {', '.join(settings)}.")
            members = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
            self.groups.append({**settings, **group, "params": [_Trained(p, i) for i, p in enumerate(members)]})
        every = [t.parameter for g in self.groups for t in g["params"]]
        if not every:
            raise ValueError(f"{type(self).__name__} got no parameters.")
        if len({id(p) for p in every}) < len(every):
            raise ValueError(f"{type(self).__name__}: a parameter was passed twice.")
        for g in self.groups:
            for name, value in g.items():
                if name != "params" and not _valid(name, value):
                    raise ValueError(f"{type(self).__name__}: {name}={value!r} is out of range.")

    def zero_grad(self):
        """Forgets the gradients: the next backward starts afresh."""
        for group in self.groups:
            for trained in group["params"]:
                trained.parameter.grad = None

    def step(self):
        """Updates every parameter that has a gradient."""
        updated = False
        for group in self.groups:
            lr = group["lr"](self.steps) if callable(group["lr"]) else group["lr"]
            for trained in group["params"]:
                if trained.parameter.grad is not None:
                    updated = True
                    trained.updates += 1
                    self.update(trained, lr, group)
        if not updated:
            raise RuntimeError(f"{type(self).__name__}.step: no parameter has a gradient. Call loss.backward() first.")
        self.steps += 1

    def update(self, trained, lr, settings):
        raise NotImplementedError

    def decays(self):
        """(parameter, its weight_decay) where that is not 0."""
        return ((t.parameter, g["weight_decay"]) for g in self.groups if g.get("weight_decay") for t in g["params"])


class _Trained:
    """A parameter with what the optimizer keeps for it."""

    def __init__(self, parameter, i):
        if not isinstance(parameter, Tensor):
            raise TypeError(f"optimizer: parameter {i} is a {type(parameter).__name__}, not a Tensor. Pass model.parameters().")
        if not parameter.is_leaf:
            raise ValueError(f"optimizer: parameter {i} is the result of {parameter.op.name}; only leaves can be trained.")
        if not parameter.requires_grad and type(parameter) is Tensor:
            raise ValueError(f"optimizer: parameter {i} (shape {parameter.shape}) does not require a gradient.")
        self.parameter, self.updates, self.buffers = parameter, 0, {}

    def pieces(self, *names):
        """Flat pieces of (data, gradient, buffers...), the buffers made of zeros when first asked for."""
        arrays = [self.parameter.data, self.parameter.grad.data]
        for name in names:
            if name not in self.buffers:
                self.buffers[name] = np.zeros_like(self.parameter.data)
            arrays.append(self.buffers[name])
        return blocks(arrays)


def _valid(name, value):
    if name == "betas":
        return isinstance(value, (tuple, list)) and len(value) == 2 and all(0 <= b < 1 for b in value)
    if name == "nesterov":
        return isinstance(value, bool)
    if name == "lr" and callable(value):
        return True
    return isinstance(value, numbers.Real) and 0 <= value < math.inf


class SGD(Optimizer):
    """w -= lr v, where v = momentum v + (grad + weight_decay w); nesterov uses grad + momentum v for v (Sutskever et al. 2013)."""

    def __init__(self, parameters, lr=1e-3, momentum=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
        if any(g["nesterov"] and not g["momentum"] for g in self.groups):
            raise ValueError("SGD: nesterov needs a momentum > 0.")

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


def max_norm(weights, limit):
    """Projects, in place, each unit's incoming weights (a row of a Linear's weight) onto the ball of radius `limit`.

    Call it after each step (Srebro & Shraibman 2005; Srivastava et al. 2014, section 5.1).
    """
    if not limit > 0:
        raise ValueError(f"max_norm: the limit must be > 0, got {limit}.")
    for w in [weights] if isinstance(weights, Tensor) else weights:
        rows = w.data.reshape(len(w.data), -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        if (long := norms > limit).any():
            w.data[long] *= (limit / norms[long]).reshape(-1, *[1] * (w.ndim - 1))


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

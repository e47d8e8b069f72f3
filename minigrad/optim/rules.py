"""Update rules with PyTorch's arguments and defaults. Each update is one pass over the memory."""

import math

import numpy as np

from ..types import Params, Rate
from .base import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent: w -= lr v, where v = momentum v + grad + weight_decay w.

    `nesterov` takes grad + weight_decay w + momentum v in place of v (Sutskever et al. 2013).
    Raises ValueError for nesterov without a momentum; for other errors see Optimizer.
    """

    def __init__(
        self, parameters: Params, lr: Rate = 1e-3, momentum=0.0, weight_decay=0.0, nesterov=False
    ):
        settings = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(parameters, lr=lr, **settings)

    def valid(self, name, value):
        """`nesterov` is True or False, all other settings are numbers >= 0."""
        return isinstance(value, bool) if name == "nesterov" else super().valid(name, value)

    def check_group(self, group):
        """Raises ValueError for nesterov without a momentum."""
        if group["nesterov"] and not group["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum > 0.")

    def update(self, trained, lr, settings):
        """w -= lr v for one parameter, with v as in the class."""
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
    """w -= lr m / (sqrt(v) + eps), where m and v are running means of grad and of grad^2.

    The means are corrected for their start at 0.

    betas         the parts of the old means of grad and of grad^2 that each update keeps: two
                  numbers in [0, 1)
    eps           keeps the divisor from 0
    weight_decay  added to the gradient as weight_decay w, so it goes through both means

    Kingma & Ba 2015 (arXiv:1412.6980). For errors see Optimizer.
    """

    decoupled = False

    def __init__(
        self, parameters: Params, lr: Rate = 1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def valid(self, name, value):
        """`betas` are two numbers in [0, 1), all other settings are numbers >= 0."""
        if name != "betas":
            return super().valid(name, value)
        is_pair = isinstance(value, (tuple, list)) and len(value) == 2
        return is_pair and all(super(Adam, self).valid(name, b) and b < 1 for b in value)

    def update(self, trained, lr, settings):
        """One update of one parameter, as the class says."""
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
    """Adam with decoupled weight decay, w -= lr weight_decay w before each update.

    Loshchilov & Hutter 2019 (arXiv:1711.05101). For the arguments see Adam, for errors Optimizer.
    """

    decoupled = True

    def __init__(
        self, parameters: Params, lr: Rate = 1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay)

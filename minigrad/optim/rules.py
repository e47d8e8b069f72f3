"""Update rules with PyTorch's arguments and defaults. Each update is one pass over the memory.

All arguments of a constructor except the parameters are settings. So a constructor passes its
locals() to Optimizer.
"""

import math

import numpy as np

from ..types import Params, Rate
from .base import Optimizer


def move(mean, kept, x):
    """Moves a running mean towards x, in place. `kept` is the part of the old mean that stays."""
    mean *= kept
    mean += (1 - kept) * x


class SGD(Optimizer):
    """Stochastic gradient descent: w -= lr v, where v = momentum v + grad + weight_decay w.

    dampening  the part of grad + weight_decay w that does not enter v. The first update, and SGD
               without a momentum, ignore it
    nesterov   takes grad + weight_decay w + momentum v in place of v (Sutskever et al. 2013)
    maximize   True: the loss grows. The gradient changes its sign before the weight decay is added

    Raises ValueError for nesterov without a momentum or with a dampening. For parameters, lr and
    other errors see Optimizer.
    """

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 1e-3,
        momentum=0.0,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=False,
        *,
        maximize=False,
    ):
        Optimizer.__init__(**locals())

    def check_group(self, group):
        """Raises ValueError for nesterov without a momentum or with a dampening."""
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ValueError("SGD: nesterov needs a momentum > 0 and no dampening.")

    def update(self, trained, lr, settings):
        """One update of one parameter, as the class says."""
        momentum, decay = settings["momentum"], settings["weight_decay"]
        if not momentum:
            for w, g in trained.pieces():
                w -= lr * (g + decay * w if decay else g)
            return
        damped = settings["dampening"] if trained.updates > 1 else 0.0
        for w, g, v in trained.pieces("velocity"):
            g = g + decay * w if decay else g
            v *= momentum
            v += (1 - damped) * g if damped else g
            w -= lr * (g + momentum * v if settings["nesterov"] else v)


class Adam(Optimizer):
    """w -= lr m / (sqrt(v) + eps), where m and v are running means of grad and of grad^2.

    Both means start at 0, and a factor corrects them for this start.

    betas         the parts of the old means of grad and of grad^2 that each update keeps: two
                  numbers in [0, 1)
    eps           keeps the divisor away from 0
    weight_decay  weight_decay w is added to the gradient, so it enters both means
    amsgrad       True: the largest v so far in place of v (Reddi et al. 2018, arXiv:1904.09237)
    maximize      as in SGD

    Kingma & Ba 2015 (arXiv:1412.6980). For parameters, lr and errors see Optimizer.
    """

    decoupled = False

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        amsgrad=False,
        *,
        maximize=False,
    ):
        Optimizer.__init__(**locals())

    def update(self, trained, lr, settings):
        """One update of one parameter, as the class says."""
        (beta1, beta2), eps, decay = settings["betas"], settings["eps"], settings["weight_decay"]
        correction1, correction2 = 1 - beta1**trained.updates, 1 - beta2**trained.updates
        largest = ["largest"] if settings["amsgrad"] else []
        for w, g, m, v, *u in trained.pieces("mean", "mean of squares", *largest):
            if decay and self.decoupled:
                w *= 1 - lr * decay
            elif decay:
                g = g + decay * w
            move(m, beta1, g)
            move(v, beta2, g * g)
            if u:
                v = np.maximum(u[0], v, out=u[0])
            w -= (lr / correction1) * m / (np.sqrt(v) / math.sqrt(correction2) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= lr weight_decay w before each update.

    Loshchilov & Hutter 2019 (arXiv:1711.05101). For the arguments see Adam, for errors Optimizer.
    """

    decoupled = True

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.01,
        amsgrad=False,
        *,
        maximize=False,
    ):
        Optimizer.__init__(**locals())


class NAdam(Optimizer):
    """Adam that looks ahead, as Nesterov's momentum does.

    momentum_decay  at update t, beta1 (1 - 0.96^(t momentum_decay) / 2) takes the place of beta1.
                    It rises from about beta1 / 2 to beta1

    Dozat 2016 (ICLR workshop). For the other arguments see Adam, for errors Optimizer.
    """

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        momentum_decay=4e-3,
        *,
        maximize=False,
    ):
        Optimizer.__init__(**locals())

    def update(self, trained, lr, settings):
        """One update of one parameter, as the class says."""
        (beta1, beta2), t, decay = settings["betas"], trained.updates, settings["weight_decay"]
        rise = settings["momentum_decay"]
        now, later = (beta1 * (1 - 0.96 ** (n * rise) / 2) for n in (t, t + 1))
        one = np.ones((), trained.parameter.dtype)
        product = trained.buffers.setdefault("product of momenta", one)
        product *= now
        of_g, of_m = (1 - now) / (1 - product), later / (1 - product * later)
        for w, g, m, v in trained.pieces("mean", "mean of squares"):
            g = g + decay * w if decay else g
            move(m, beta1, g)
            move(v, beta2, g * g)
            w -= lr * (of_g * g + of_m * m) / (np.sqrt(v / (1 - beta2**t)) + settings["eps"])


class RMSprop(Optimizer):
    """w -= lr grad / (sqrt(v) + eps), where v is a running mean of grad^2 (Hinton 2012).

    alpha     the part of the old mean that each update keeps
    momentum  above 0: w -= lr u, where u = momentum u + grad / (sqrt(v) + eps)

    For eps, weight_decay and maximize see Adam, for parameters, lr and errors Optimizer.
    """

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0.0,
        momentum=0.0,
        *,
        maximize=False,
    ):
        Optimizer.__init__(**locals())

    def update(self, trained, lr, settings):
        """One update of one parameter, as the class says."""
        alpha, momentum, decay = settings["alpha"], settings["momentum"], settings["weight_decay"]
        velocity = ["velocity"] if momentum else []
        for w, g, v, *u in trained.pieces("mean of squares", *velocity):
            g = g + decay * w if decay else g
            move(v, alpha, g * g)
            step = g / (np.sqrt(v) + settings["eps"])
            if momentum:
                u[0] *= momentum
                u[0] += step
            w -= lr * (u[0] if momentum else step)


class Adagrad(Optimizer):
    """w -= lr grad / (1 + t lr_decay) / (sqrt(v) + eps), where v is the sum of grad^2.

    t is 0 at the first update. Duchi, Hazan & Singer 2011 (JMLR 12). For eps, weight_decay and
    maximize see Adam, for parameters, lr and errors Optimizer.
    """

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 1e-2,
        lr_decay=0.0,
        weight_decay=0.0,
        *,
        eps=1e-10,
        maximize=False,
    ):
        Optimizer.__init__(**locals())

    def update(self, trained, lr, settings):
        """One update of one parameter, as the class says."""
        lr /= 1 + (trained.updates - 1) * settings["lr_decay"]
        decay = settings["weight_decay"]
        for w, g, v in trained.pieces("sum of squares"):
            g = g + decay * w if decay else g
            v += g * g
            w -= lr * g / (np.sqrt(v) + settings["eps"])

"""Update rules with PyTorch's arguments and defaults. Each update is one pass over the memory."""

import math

import numpy as np

from .base import Optimizer


def slope(w, g, settings):
    """The gradient g, or -g to maximize, plus weight_decay * w."""
    g = -g if settings["maximize"] else g
    return g + settings["weight_decay"] * w if settings["weight_decay"] else g


class SGD(Optimizer):
    """Stochastic gradient descent: w -= lr v, where v = momentum v + grad + weight_decay w.

    dampening  the part of grad + weight_decay w that v does not take, after its first value
    nesterov   takes grad + weight_decay w + momentum v in place of v (Sutskever et al. 2013)
    maximize   takes -grad in place of grad, as for all rules of this file

    Raises ValueError for nesterov without a momentum or with a dampening; for other errors see
    Optimizer.
    """

    def __init__(
        self,
        parameters,
        lr=1e-3,
        momentum=0.0,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=False,
        *,
        maximize=False,
    ):
        settings = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(parameters, lr=lr, **settings, nesterov=nesterov, maximize=maximize)

    def check_group(self, group):
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ValueError("SGD: nesterov needs a momentum > 0 and no dampening.")

    def update(self, trained, lr, settings):
        momentum = settings["momentum"]
        if not momentum:
            for w, g in trained.pieces():
                w -= lr * slope(w, g, settings)
            return
        damped = settings["dampening"] if trained.updates > 1 else 0
        for w, g, v in trained.pieces("velocity"):
            g = slope(w, g, settings)
            v *= momentum
            v += (1 - damped) * g if damped else g
            w -= lr * (g + momentum * v if settings["nesterov"] else v)


class Adam(Optimizer):
    """w -= lr m / (sqrt(v) + eps), where m and v are running means of grad and of grad^2.

    The means are corrected for their start at 0.

    betas         the parts of the old means of grad and of grad^2 that each update keeps: two
                  numbers in [0, 1)
    eps           keeps the divisor from 0
    weight_decay  added to the gradient as weight_decay w, so it goes through both means
    amsgrad       takes the largest v so far (Reddi et al. 2018, arXiv:1904.09237)

    Kingma & Ba 2015 (arXiv:1412.6980). For maximize see SGD, for errors Optimizer.
    """

    decoupled = False

    def __init__(
        self,
        parameters,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        amsgrad=False,
        *,
        maximize=False,
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, lr=lr, **settings, amsgrad=amsgrad, maximize=maximize)

    def update(self, trained, lr, settings):
        (beta1, beta2), eps = settings["betas"], settings["eps"]
        correction1, correction2 = 1 - beta1**trained.updates, 1 - beta2**trained.updates
        buffers = ["mean", "mean of squares"] + ["largest"] * settings["amsgrad"]
        if self.decoupled:
            settings = {**settings, "weight_decay": 0.0, "decay": settings["weight_decay"]}
        for w, g, m, v, *largest in trained.pieces(*buffers):
            if self.decoupled and settings["decay"]:
                w *= 1 - lr * settings["decay"]
            g = slope(w, g, settings)
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            for u in largest:
                v = np.maximum(u, v, out=u)
            w -= (lr / correction1) * m / (np.sqrt(v) / math.sqrt(correction2) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= lr weight_decay w before each update.

    Loshchilov & Hutter 2019 (arXiv:1711.05101). For the arguments see Adam, for errors Optimizer.
    """

    decoupled = True

    def __init__(
        self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, **more
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay, **more)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, at the rate mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2).

    Dozat 2016. For the other arguments see Adam, for errors Optimizer.
    """

    def __init__(
        self,
        parameters,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        momentum_decay=4e-3,
        *,
        maximize=False,
    ):
        settings = {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        settings |= {"momentum_decay": momentum_decay, "maximize": maximize}
        super().__init__(parameters, lr=lr, **settings)

    def update(self, trained, lr, settings):
        (beta1, beta2), t = settings["betas"], trained.updates
        decay = 0.96 ** settings["momentum_decay"]
        mu, following = (beta1 * (1 - 0.5 * decay**n) for n in (t, t + 1))
        correction = math.sqrt(1 - beta2**t)
        # `taken` is 1 - mu_1 mu_2 ... mu_t: what the steps up to t took of the way.
        for w, g, m, v, taken in trained.pieces("mean", "mean of squares", "taken"):
            g = slope(w, g, settings)
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            taken *= mu
            taken += 1 - mu
            step = (1 - mu) / taken * g + following / (1 - following * (1 - taken)) * m
            w -= lr * step / (np.sqrt(v) / correction + settings["eps"])


class RMSprop(Optimizer):
    """w -= lr grad / (sqrt(v) + eps), where v is a running mean of grad^2 (Hinton 2012).

    alpha     the part of the old mean that each update keeps
    momentum  above 0: w -= lr u, where u = momentum u + grad / (sqrt(v) + eps)
    centered  v - m^2 in place of v, where m is the running mean of grad: the variance

    For other arguments see SGD, for errors Optimizer.
    """

    def __init__(
        self,
        parameters,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0.0,
        momentum=0.0,
        centered=False,
        *,
        maximize=False,
    ):
        settings = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(parameters, lr=lr, **settings, centered=centered, maximize=maximize)

    def update(self, trained, lr, settings):
        alpha, momentum, eps = settings["alpha"], settings["momentum"], settings["eps"]
        buffers = {"mean of squares": True, "mean": settings["centered"], "velocity": momentum}
        for w, g, v, *others in trained.pieces(*(name for name in buffers if buffers[name])):
            g = slope(w, g, settings)
            v *= alpha
            v += (1 - alpha) * (g * g)
            if settings["centered"]:
                m = others[0]
                m *= alpha
                m += (1 - alpha) * g
                v = np.maximum(v - m * m, 0)
            step = g / (np.sqrt(v) + eps)
            if momentum:
                u = others[-1]
                u *= momentum
                u += step
                step = u
            w -= lr * step


class Adagrad(Optimizer):
    """w -= lr grad / (1 + t lr_decay) / (sqrt(v) + eps), where v is the sum of grad^2.

    t is 0 at the first update. initial_accumulator_value is added to v. Duchi, Hazan & Singer 2011
    (JMLR 12). For other arguments see SGD, for errors Optimizer.
    """

    def __init__(
        self,
        parameters,
        lr=1e-2,
        lr_decay=0.0,
        weight_decay=0.0,
        initial_accumulator_value=0.0,
        eps=1e-10,
        *,
        maximize=False,
    ):
        settings = {"lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        settings |= {"initial_accumulator_value": initial_accumulator_value, "maximize": maximize}
        super().__init__(parameters, lr=lr, **settings)

    def update(self, trained, lr, settings):
        lr = lr / (1 + (trained.updates - 1) * settings["lr_decay"])
        for w, g, v in trained.pieces("sum of squares"):
            g = slope(w, g, settings)
            v += g * g
            w -= lr * g / (np.sqrt(settings["initial_accumulator_value"] + v) + settings["eps"])

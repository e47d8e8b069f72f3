"""Layers that draw noise: the dropout family."""

from copy import copy

import numpy as np

from .. import functional as F
from ..engine import Tensor
from ..functional.dropout import check_settings
from ..modes import scoped
from .module import Layer, Module


class Stochastic(Layer):
    """A function of `functional` that draws noise, as a module: in training, and inside `sampling()`.

    Its noise comes from the stream of this module's name, so that the masks of a layer do not change when others come or go. A layer
    with only a number, as in Sequential(...) or a list, is known by its kind and its count among its kind there: layers of
    other kinds do not matter, but one of the same kind inserted before it takes its number and its noise. Give such layers
    names, Sequential(drop1=...), or name their streams: Dropout(0.5, rng="drop1").
    """

    def __init__(self, p=0.5, *, rng=None):
        self._set(p=p, rng=rng)

    def _set(self, **settings):
        check_settings(self.function.__name__, **settings)
        vars(self).update(settings)
        self._settings = tuple(settings)

    def forward(self, x):
        return self.function(
            x, training=self.training, **{name: getattr(self, name) for name in self._settings}
        )


class Dropping(Stochastic):
    """What drops has a `scaling`: see `functional.noise`."""

    def __init__(self, p=0.5, *, rng=None, scaling="inverted"):
        self._set(p=p, rng=rng, scaling=scaling)


class Dropout(Dropping):
    """In training sets entries to 0 with probability p; the mask is the same along the axes `share`. See `functional.dropout`."""

    function = staticmethod(F.dropout)

    def __init__(self, p=0.5, *, rng=None, scaling="inverted", share=()):
        self._set(p=p, rng=rng, scaling=scaling, share=share)


class Dropout1d(Dropping):
    """Drops whole channels of (N, C, L)."""

    function = staticmethod(F.dropout1d)


class Dropout2d(Dropping):
    """Drops whole channels of (N, C, H, W)."""

    function = staticmethod(F.dropout2d)


class DropPath(Dropping):
    """Drops whole samples: the last layer of a residual branch, for stochastic depth."""

    function = staticmethod(F.drop_path)


class AlphaDropout(Stochastic):
    """The dropout for SELU: keeps mean 0 and variance 1."""

    function = staticmethod(F.alpha_dropout)


class GaussianDropout(Stochastic):
    """Multiplies by N(1, p/(1-p))."""

    function = staticmethod(F.gaussian_dropout)


class GaussianNoise(Stochastic):
    """Adds N(0, std^2)."""

    function = staticmethod(F.gaussian_noise)

    def __init__(self, std, *, rng=None):
        self._set(std=std, rng=rng)


class DropConnect(Dropping):
    """A module, such as Linear, whose `weight` loses entries in training. Its penalty stays on the whole weight."""

    function = staticmethod(F.drop_connect)

    def __init__(self, module, p=0.5, *, rng=None, scaling="inverted"):
        if not isinstance(getattr(module, "weight", None), Tensor):
            raise TypeError(
                f"DropConnect takes a module with a weight, such as Linear, not {type(module).__name__}."
            )
        super().__init__(p, rng=rng, scaling=scaling)
        self.module = module

    def forward(self, *args, **kwargs):
        return scoped(self.module, self._without, *args, **kwargs)

    def _without(self, *args, **kwargs):
        noisy = copy(
            self.module
        )  # the module itself stays as it is, for whoever calls it meanwhile
        noisy.weight = Stochastic.forward(self, self.module.weight)
        return noisy.forward(*args, **kwargs)


class Residual(Module):
    """shortcut(x) + branch(x) (He et al. 2016, arXiv:1512.03385), without a shortcut x + branch(x).

    In training each sample loses its branch with probability `drop_path`: stochastic depth (Huang et al. 2016, arXiv:1603.09382).
    """

    def __init__(self, branch, shortcut=None, drop_path=0.0, *, rng=None):
        self.branch, self.shortcut = branch, shortcut
        self.drop = DropPath(drop_path, rng=rng) if drop_path else None

    def forward(self, x):
        branch, around = self.branch(x), x if self.shortcut is None else self.shortcut(x)
        if branch.shape != np.shape(around):
            what, remedy = (
                ("the shortcut gives", "")
                if self.shortcut
                else ("x is", " Give a shortcut that changes x alike.")
            )
            raise ValueError(
                f"Residual: the branch gives {branch.shape}, {what} {np.shape(around)}.{remedy}"
            )
        return around + (branch if self.drop is None else self.drop(branch))

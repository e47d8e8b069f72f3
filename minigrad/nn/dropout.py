"""Layers that draw noise: the dropout family, and blocks that use it."""

from copy import copy
from inspect import getdoc, signature

import numpy as np

from .. import functional as F
from ..engine import Tensor
from ..functional.dropout import check_settings, noise_for
from ..modes import scoped
from ..noise import Uniform, sampling_mode
from ..registry import composition
from ..types import Operand, Rng
from .layers import Function, layer_of
from .module import Layer, Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "DropPath", "DropConnect", "AlphaDropout"]
__all__ += ["GaussianDropout", "GaussianNoise", "RReLU", "Residual", "Stochastic"]


class Stochastic(Function):
    """A function of `functional` that draws noise, as a layer: in training, and in `sampling()`.

    The noise comes from the stream of the layer's name, so the masks of a layer do not change when
    other layers come or go. In Sequential(...) or a list, a layer has only a number. Its stream is
    then named after its kind and its number among the layers of its kind. So layers of other kinds
    do not matter. But if you insert a layer of the same kind before it, that layer takes its noise.
    Name such layers, Sequential(drop1=...), or their streams: Dropout(0.5, rng="drop1").
    """

    def __init__(self, p: float = 0.5, *, rng: Rng = None, **settings):
        """Each subclass that `_layer_of` makes has a constructor of its own."""

    def hold(self, **settings):
        """Takes over the settings. Raises ValueError or TypeError for wrong settings."""
        self.checked(check_settings, **settings)
        super().hold(**settings)

    def forward(self, x: Operand) -> Tensor:
        """The function of x; it draws noise in training, and inside `sampling()`."""
        return self.function(x, training=self.training, **self.held())


def _layer_of(function, name) -> type[Stochastic]:
    """The Stochastic layer of a function(x, p, training, rng, ...) of `functional`.

    The constructor takes the settings of the function: p, by default 0.5, and keywords. The mode of
    the layer gives `training`. The layer takes no mask and no noise: each call draws them.
    """
    _, first, *others = signature(function).parameters.values()
    first = first.replace(default=0.5) if first.name == "p" else first
    others = [s for s in others if s.name not in ("training", "mask", "noise")]
    settings = [first, *(s.replace(kind=s.KEYWORD_ONLY) for s in others)]
    mode = "`training` is its mode, and each call draws new noise"
    doc = f"functional.{function.__name__} as a layer: {mode}.\n\n{getdoc(function)}"
    return layer_of(function, name, settings, doc, Stochastic)


Dropout = _layer_of(F.dropout, "Dropout")
Dropout1d = _layer_of(F.dropout1d, "Dropout1d")
Dropout2d = _layer_of(F.dropout2d, "Dropout2d")
DropPath = _layer_of(F.drop_path, "DropPath")
AlphaDropout = _layer_of(F.alpha_dropout, "AlphaDropout")
GaussianDropout = _layer_of(F.gaussian_dropout, "GaussianDropout")
GaussianNoise = _layer_of(F.gaussian_noise, "GaussianNoise")


class DropConnect(_layer_of(F.drop_connect, "DropConnect")):
    """A module, such as Linear, whose `weight` loses entries in training.

    For p, rng and scaling see `functional.drop_connect`. The penalty of the module acts on the
    whole weight. A call raises AttributeError if the module has no weight.
    """

    def __init__(self, module: Module, p=0.5, *, rng: Rng = None, scaling="inverted"):
        super().__init__(p, rng=rng, scaling=scaling)
        self.module = module

    def forward(self, *args, **kwargs) -> Tensor:
        """The module on these arguments, with a weight that has lost entries."""
        return scoped(self.module, self._without, *args, **kwargs)

    def _without(self, *args, **kwargs):
        noisy = copy(self.module)  # another thread may call the module, with its whole weight
        vars(noisy)["weight"] = Stochastic.forward(self, self.module.weight)
        return noisy.forward(*args, **kwargs)


@composition(kind="random")
def rrelu(x, lower, upper, draws):
    """x where x > 0, else x times a slope: a drawn slope, or the mean of the law."""
    law = Uniform(lower, upper)
    slope = noise_for(x, law) if draws else (lower + upper) / 2
    return np.where(np.greater(x, 0), x, slope * x)


class RReLU(Layer):
    """relu with random slopes: x where x > 0, else x times a slope. Each entry has its own slope.

    In training, and inside `sampling()`, each slope is uniform between `lower` and `upper`. In
    evaluation all slopes are (lower + upper) / 2 (Xu et al. 2015, arXiv:1505.00853). A call raises
    ValueError unless lower is below upper.
    """

    def __init__(self, lower=1 / 8, upper=1 / 3):
        self.lower, self.upper = lower, upper

    def forward(self, x: Operand) -> Tensor:
        """x (any shape), with each negative entry times its slope."""
        return rrelu(x, self.lower, self.upper, self.training or sampling_mode.get())


class Residual(Module):
    """shortcut(x) + branch(x), or x + branch(x) without a shortcut.

    In training each sample loses its branch with probability `drop_path`: stochastic depth (Huang
    et al. 2016, arXiv:1603.09382). For `rng` see Dropout. Raises ValueError for drop_path outside
    [0, 1]; a call, if the shapes of branch and shortcut differ. He et al. 2016 (arXiv:1512.03385).
    """

    def __init__(self, branch, shortcut=None, drop_path=0.0, *, rng=None):
        self.branch, self.shortcut = branch, shortcut
        self.drop = DropPath(drop_path, rng=rng) if drop_path else None

    def forward(self, x: Operand) -> Tensor:
        """shortcut(x) + branch(x), or x + branch(x)."""
        branch = self.branch(x)
        around = x if self.shortcut is None else self.shortcut(x)
        if branch.shape != np.shape(around):
            remedy = "Give a shortcut that changes the shape of x too"
            shapes = f"the branch gives {branch.shape}, the shortcut {np.shape(around)}"
            raise ValueError(f"Residual: {shapes}. {remedy}.")
        return around + (branch if self.drop is None else self.drop(branch))

"""Layers that draw noise: the dropout family, and blocks that use it."""

from copy import copy
from inspect import Parameter, Signature, signature

import numpy as np

from .. import functional as F
from ..engine import Tensor
from ..functional.dropout import check_settings, described, summary_of
from ..modes import scoped
from .module import Layer, Module


class Stochastic(Layer):
    """A function of `functional` that draws noise, as a layer: in training, and in `sampling()`.

    Its noise comes from the stream of the layer's name, so that the masks of a layer do not change
    when others come or go. In Sequential(...) or a list, a layer has only a number. Its stream is
    then named after its kind and its count among its kind: layers of other kinds do not matter, but
    one of the same kind inserted before it takes its number and its noise. Name such layers,
    Sequential(drop1=...), or their streams: Dropout(0.5, rng="drop1").
    """

    settings = ()  # the arguments of the function that the layer holds

    def forward(self, x):
        held = {name: getattr(self, name) for name in self.settings}
        return self.function(x, training=self.training, **held)


def _layer_of(function, name):
    """The Stochastic layer of a function(x, p, training, rng, ...) of `functional`.

    The layer is made with the settings of the function: p, which is 0.5 if not given, and keywords.
    Its mode is `training`. A mask or noise belongs to a call, not to a layer, and is always drawn.
    """
    _, first, *others = signature(function).parameters.values()
    first = first.replace(default=0.5) if first.name == "p" else first
    others = [s for s in others if s.name not in ("training", "mask", "noise")]
    settings = (first.name, *(s.name for s in others))
    own = Parameter("self", Parameter.POSITIONAL_ONLY)
    expected = Signature([own, first, *(s.replace(kind=s.KEYWORD_ONLY) for s in others)])

    def init(self, *values, **keywords):
        try:
            bound = expected.bind(self, *values, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}: {error}.") from None
        bound.apply_defaults()
        given = {s: bound.arguments[s] for s in settings}
        check_settings(function.__name__, **given)
        vars(self).update(given)

    init.__signature__ = expected
    summary = f"functional.{function.__name__} as a layer. {summary_of(function)}"
    members = {
        "__init__": init,
        "__doc__": described(summary, settings),
        "__module__": __name__,
        "function": staticmethod(function),
        "settings": settings,
    }
    return type(name, (Stochastic,), members)


Dropout = _layer_of(F.dropout, "Dropout")
Dropout1d = _layer_of(F.dropout1d, "Dropout1d")
Dropout2d = _layer_of(F.dropout2d, "Dropout2d")
DropPath = _layer_of(F.drop_path, "DropPath")
AlphaDropout = _layer_of(F.alpha_dropout, "AlphaDropout")
GaussianDropout = _layer_of(F.gaussian_dropout, "GaussianDropout")
GaussianNoise = _layer_of(F.gaussian_noise, "GaussianNoise")


class DropConnect(_layer_of(F.drop_connect, "DropConnect")):
    """A module, such as Linear, whose `weight` loses entries in training (functional.drop_connect).

    Its penalty stays on the whole weight. Raises TypeError if the module has no weight.
    """

    def __init__(self, module, p=0.5, *, rng=None, scaling="inverted"):
        if not isinstance(getattr(module, "weight", None), Tensor):
            kind = type(module).__name__
            raise TypeError(
                f"DropConnect takes a module with a weight, such as Linear, not {kind}."
            )
        super().__init__(p, rng=rng, scaling=scaling)
        self.module = module

    def forward(self, *args, **kwargs):
        return scoped(self.module, self._without, *args, **kwargs)

    def _without(self, *args, **kwargs):
        noisy = copy(self.module)  # others who call the module meanwhile see its whole weight
        noisy.weight = Stochastic.forward(self, self.module.weight)
        return noisy.forward(*args, **kwargs)


class Residual(Module):
    """shortcut(x) + branch(x), without a shortcut x + branch(x) (He et al. 2016, arXiv:1512.03385).

    In training each sample loses its branch with probability `drop_path`: stochastic depth (Huang
    et al. 2016, arXiv:1603.09382). `rng` as in Dropout. Raises ValueError if the two shapes differ.
    """

    def __init__(self, branch, shortcut=None, drop_path=0.0, *, rng=None):
        self.branch, self.shortcut = branch, shortcut
        self.drop = DropPath(drop_path, rng=rng) if drop_path else None

    def forward(self, x):
        branch = self.branch(x)
        around = x if self.shortcut is None else self.shortcut(x)
        if branch.shape != np.shape(around):
            what, remedy = "the shortcut gives", ""
            if self.shortcut is None:
                what, remedy = "x is", " Give a shortcut that changes x alike."
            raise ValueError(
                f"Residual: the branch gives {branch.shape}, {what} {np.shape(around)}.{remedy}"
            )
        return around + (branch if self.drop is None else self.drop(branch))

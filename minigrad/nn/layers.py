"""Layers. Names, arguments, layouts and state_dict keys are PyTorch's."""

import inspect
import math

import numpy as np

from .. import engine
from .. import functional as F
from ..randomness import stream
from .initialisers import fan_in_uniform
from .module import Module, Parameter, check_sizes, settings_of


class Affine(Module):
    """What Linear and the convolutions share: a weight, whose first axis and the rest say its fans, and a bias.

    `init` and `bias_init` are initialisers of this module; without `rng` they draw from minigrad's own generators.
    `penalty`, such as L2(1e-3), applies to the weight, `bias_penalty` to the bias: add `model.penalty()` to the loss.
    """

    named, usual = (), {}  # the settings that its text always has, and those it has where they are not these

    def __init__(
        self, shape, units, bias=True, *, penalty=None, bias_penalty=None, init=fan_in_uniform, bias_init=fan_in_uniform, rng=None, dtype=None
    ):
        self._penalise(penalty, bias_penalty, bias=bias)
        rng, dtype = stream("init") if rng is None else rng, dtype or engine.default_dtype
        fans = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
        self.weight = Parameter(init(rng, shape, *fans), dtype=dtype)
        self.bias = Parameter(bias_init(rng, (units,), *fans), dtype=dtype) if bias else None

    def extra_repr(self):
        settings = settings_of(self, *self.named, **self.usual)
        bias = "" if self.bias is not None else "bias=False"
        return ", ".join(filter(None, [settings, bias, settings_of(self, weight_penalty=None, bias_penalty=None)]))


class Linear(Affine):
    """x @ weight.T + bias: x (..., in_features), weight (out_features, in_features), bias (out_features,). Settings: see Affine."""

    named = "in_features", "out_features"

    def __init__(self, in_features, out_features, bias=True, **settings):
        check_sizes(self, in_features=in_features, out_features=out_features)
        super().__init__((out_features, in_features), out_features, bias, **settings)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Conv1d(Affine):
    """functional.conv1d of x (N, in_channels, L), weight (out_channels, in_channels / groups, kernel_size). Settings: see Affine."""

    axes, function = 1, staticmethod(F.conv1d)
    named, usual = ("in_channels", "out_channels", "kernel_size"), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, **settings):
        check_sizes(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        shape = _filters(self, in_channels, out_channels, kernel_size, groups)
        super().__init__(shape, out_channels, bias, **settings)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x):
        return self.function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv2d(Conv1d):
    """functional.conv2d of x (N, in_channels, H, W), weight (out_channels, in_channels / groups, KH, KW). Settings: see Affine."""

    axes, function = 2, staticmethod(F.conv2d)


class ConvTranspose1d(Affine):
    """functional.conv_transpose1d of x (N, in_channels, L), weight (in_channels, out_channels / groups, K). Settings: see Affine."""

    axes, function = 1, staticmethod(F.conv_transpose1d)
    named, usual = Conv1d.named, {**Conv1d.usual, "output_padding": 0}

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1, **settings):
        check_sizes(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        shape = _filters(self, out_channels, in_channels, kernel_size, groups)
        super().__init__(shape, out_channels, bias, **settings)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.output_padding, self.groups, self.dilation = stride, padding, output_padding, groups, dilation

    def forward(self, x):
        return self.function(x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation)


class ConvTranspose2d(ConvTranspose1d):
    """functional.conv_transpose2d of x (N, in_channels, H, W), weight (in_channels, out_channels / groups, KH, KW). Settings: see Affine."""

    axes, function = 2, staticmethod(F.conv_transpose2d)


def _filters(layer, channels, filters, kernel_size, groups):
    """The shape of the weight of a convolution from `channels` to `filters`."""
    name = type(layer).__name__
    if channels % groups or filters % groups:
        raise ValueError(f"{name}: groups={groups} must divide the channels, {channels} and {filters}.")
    return filters, channels // groups, *F.each(name, "kernel_size", kernel_size, layer.axes, 1)


class Flatten(Module):
    """(N, ...) to (N, features)."""

    def forward(self, x):
        return np.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


def _module_of(function, name):
    """The Module of a function of `functional`: what the function takes beside x, it takes when made."""

    def init(self, *values, **keywords):
        try:
            bound = inspect.signature(function).bind(None, *values, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}: {error}.") from None
        bound.apply_defaults()
        self.settings = tuple(bound.arguments)[1:]
        vars(self).update(zip(self.settings, bound.args[1:]))

    def forward(self, x):
        return function(x, *[getattr(self, s) for s in self.settings])

    def extra_repr(self):
        return ", ".join(f"{s}={getattr(self, s)!r}" for s in self.settings)

    doc = f"functional.{function.__name__} as a module."
    return type(name, (Module,), {"__init__": init, "forward": forward, "extra_repr": extra_repr, "__doc__": doc, "__module__": __name__})


ReLU = _module_of(F.relu, "ReLU")
Sigmoid = _module_of(F.sigmoid, "Sigmoid")
Tanh = _module_of(F.tanh, "Tanh")
Softplus = _module_of(F.softplus, "Softplus")
SiLU = _module_of(F.silu, "SiLU")
SELU = _module_of(F.selu, "SELU")
GELU = _module_of(F.gelu, "GELU")
ELU = _module_of(F.elu, "ELU")
LeakyReLU = _module_of(F.leaky_relu, "LeakyReLU")
Softmax = _module_of(F.softmax, "Softmax")
LogSoftmax = _module_of(F.log_softmax, "LogSoftmax")

MaxPool1d = _module_of(F.max_pool1d, "MaxPool1d")
MaxPool2d = _module_of(F.max_pool2d, "MaxPool2d")
AvgPool1d = _module_of(F.avg_pool1d, "AvgPool1d")
AvgPool2d = _module_of(F.avg_pool2d, "AvgPool2d")
AdaptiveAvgPool1d = _module_of(F.adaptive_avg_pool1d, "AdaptiveAvgPool1d")
AdaptiveAvgPool2d = _module_of(F.adaptive_avg_pool2d, "AdaptiveAvgPool2d")
Upsample = _module_of(F.interpolate, "Upsample")

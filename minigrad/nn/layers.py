"""Layers. Names, arguments, layouts and state_dict keys are PyTorch's."""

import inspect
import math

import numpy as np

from .. import functional as F
from ..functional.common import each
from .initialisers import fan_in_uniform
from .module import Layer, Module, check_sizes, drawn


class Affine(Layer):
    """What Linear and the convolutions share: a weight, whose first axis and the rest say its fans, and a bias.

    `init` and `bias_init` are initialisers of this module; without `rng` they draw from minigrad's own generators.
    `penalty`, such as L2(1e-3), applies to the weight, `bias_penalty` to the bias: add `model.penalty()` to the loss.
    """

    def __init__(
        self,
        shape,
        units,
        bias=True,
        *,
        penalty=None,
        bias_penalty=None,
        init=fan_in_uniform,
        bias_init=fan_in_uniform,
        rng=None,
        dtype=None,
    ):
        self._penalise(penalty, bias_penalty, bias=bias)
        fans = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
        self.weight = drawn(init, rng, shape, fans, dtype)
        self.bias = drawn(bias_init, rng, (units,), fans, dtype) if bias else None


class Linear(Affine):
    """x @ weight.T + bias: x (..., in_features), weight (out_features, in_features), bias (out_features,). Settings: see Affine."""

    def __init__(self, in_features, out_features, bias=True, **settings):
        check_sizes(self, in_features=in_features, out_features=out_features)
        super().__init__((out_features, in_features), out_features, bias, **settings)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Conv1d(Affine):
    """functional.conv1d of x (N, in_channels, L), weight (out_channels, in_channels / groups, kernel_size). Settings: see Affine."""

    axes, function = 1, staticmethod(F.conv1d)

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        **settings,
    ):
        check_sizes(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        shape = _filters(self, in_channels, out_channels, kernel_size, groups)
        super().__init__(shape, out_channels, bias, **settings)
        self.in_channels, self.out_channels, self.kernel_size = (
            in_channels,
            out_channels,
            kernel_size,
        )
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x):
        return self.function(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv2d(Conv1d):
    """functional.conv2d of x (N, in_channels, H, W), weight (out_channels, in_channels / groups, KH, KW). Settings: see Affine."""

    axes, function = 2, staticmethod(F.conv2d)


class ConvTranspose1d(Affine):
    """functional.conv_transpose1d of x (N, in_channels, L), weight (in_channels, out_channels / groups, K). Settings: see Affine."""

    axes, function = 1, staticmethod(F.conv_transpose1d)

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        **settings,
    ):
        check_sizes(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        shape = _filters(self, out_channels, in_channels, kernel_size, groups)
        super().__init__(shape, out_channels, bias, **settings)
        self.in_channels, self.out_channels, self.kernel_size = (
            in_channels,
            out_channels,
            kernel_size,
        )
        self.stride, self.padding, self.output_padding, self.groups, self.dilation = (
            stride,
            padding,
            output_padding,
            groups,
            dilation,
        )

    def forward(self, x):
        return self.function(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class ConvTranspose2d(ConvTranspose1d):
    """functional.conv_transpose2d of x (N, in_channels, H, W), weight (in_channels, out_channels / groups, KH, KW). Settings: see Affine."""

    axes, function = 2, staticmethod(F.conv_transpose2d)


def _filters(layer, channels, filters, kernel_size, groups):
    """The shape of the weight of a convolution from `channels` to `filters`."""
    name = type(layer).__name__
    if channels % groups or filters % groups:
        raise ValueError(
            f"{name}: groups={groups} must divide the channels, {channels} and {filters}."
        )
    return filters, channels // groups, *each(name, "kernel_size", kernel_size, layer.axes, 1)


class Flatten(Module):
    """(N, ...) to (N, features)."""

    def forward(self, x):
        shape = np.shape(x)
        return np.reshape(x, (*shape[:1], math.prod(shape[1:])))


def _module_of(function, name):
    """The Layer of a function of `functional`: what the function takes besides x, it takes when made."""
    signature = inspect.signature(function)
    settings = list(signature.parameters)[1:]

    def init(self, *values, **keywords):
        try:
            bound = signature.bind(self, *values, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}: {error}.") from None
        bound.apply_defaults()
        vars(self).update((s, bound.arguments[s]) for s in settings)

    def forward(self, x):
        return function(x, **{s: getattr(self, s) for s in settings})

    init.__signature__ = signature
    doc = f"functional.{function.__name__} as a module."
    return type(
        name,
        (Layer,),
        {"__init__": init, "forward": forward, "__doc__": doc, "__module__": __name__},
    )


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

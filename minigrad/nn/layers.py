"""Layers. Names, arguments, layouts and state_dict keys are PyTorch's."""

import inspect
import math

import numpy as np

from .. import functional as F
from ..functional.checks import check_divides, each
from .module import Layer, Module, check_sizes


class Affine(Layer):
    """What Linear and the convolutions share: a weight, and a bias or None.

    shape     of the weight; its first axis is the units, all others are what enters a unit
    units     the length of the bias
    settings  penalty, bias_penalty, init, bias_init, rng, dtype: see Layer
    """

    def __init__(self, shape, units, bias=True, **settings):
        fans = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
        self.add_parameters(fans, {"weight": shape}, {"bias": (units,) if bias else None}, settings)


class Linear(Affine):
    """x @ weight.T + bias: x (..., in_features) gives (..., out_features).

    weight (out_features, in_features), bias (out_features,), or None with bias=False.
    Settings: penalty, bias_penalty, init, bias_init, rng, dtype: see Layer.
    Raises ValueError for sizes that are not whole numbers >= 1, and for x of another width.
    """

    def __init__(self, in_features, out_features, bias=True, **settings):
        check_sizes(self, in_features=in_features, out_features=out_features)
        super().__init__((out_features, in_features), out_features, bias, **settings)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Convolution(Affine):
    """What the convolutions share: filters over `axes` axes, slid over x by `function`.

    `options` are the arguments of the function after x, weight and bias. A `transposed` convolution
    has weight (in_channels, out_channels / groups, *kernel_size), the others (out_channels,
    in_channels / groups, *kernel_size).
    """

    transposed = False

    def __init__(self, in_channels, out_channels, kernel_size, bias, options, settings):
        kind = type(self).__name__
        groups = options["groups"]
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        check_sizes(self, **channels, groups=groups)
        check_divides(kind, "groups", groups, **channels)
        size = each(kind, "kernel_size", kernel_size, self.axes, 1)
        if self.transposed:
            shape = in_channels, out_channels // groups, *size
        else:
            shape = out_channels, in_channels // groups, *size
        super().__init__(shape, out_channels, bias, **settings)
        vars(self).update(channels, kernel_size=kernel_size, **options)
        self._options = tuple(options)

    def forward(self, x):
        options = {name: getattr(self, name) for name in self._options}
        return self.function(x, self.weight, self.bias, **options)


class Conv1d(Convolution):
    """The convolution `functional.conv1d`, which explains stride, padding, dilation and groups.

    x (N, in_channels, L), weight (out_channels, in_channels / groups, kernel_size), bias
    (out_channels,). Settings: penalty, bias_penalty, init, bias_init, rng, dtype: see Layer.
    Raises ValueError for sizes that are not whole numbers >= 1, and groups that do not divide the
    channels.
    """

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
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        super().__init__(in_channels, out_channels, kernel_size, bias, options, settings)


class Conv2d(Conv1d):
    """The convolution `functional.conv2d` of x (N, in_channels, H, W).

    Arguments and errors as for Conv1d. weight (out_channels, in_channels / groups, KH, KW), bias
    (out_channels,). Sizes, strides, paddings and dilations are a number, or a pair (vertical,
    horizontal).
    """

    axes, function = 2, staticmethod(F.conv2d)


class ConvTranspose1d(Convolution):
    """The transposed convolution `functional.conv_transpose1d`, which explains its arguments.

    x (N, in_channels, L), weight (in_channels, out_channels / groups, kernel_size), bias
    (out_channels,). Settings and errors as for Conv1d.
    """

    axes, function, transposed = 1, staticmethod(F.conv_transpose1d), True

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
        options = {"stride": stride, "padding": padding, "output_padding": output_padding}
        options |= {"groups": groups, "dilation": dilation}
        super().__init__(in_channels, out_channels, kernel_size, bias, options, settings)


class ConvTranspose2d(ConvTranspose1d):
    """The transposed convolution `functional.conv_transpose2d` of x (N, in_channels, H, W).

    weight (in_channels, out_channels / groups, KH, KW), bias (out_channels,). Sizes are a number,
    or a pair (vertical, horizontal). Settings and errors as for Conv1d.
    """

    axes, function = 2, staticmethod(F.conv_transpose2d)


class Flatten(Module):
    """x (N, ...) as (N, features): all axes after the first become one."""

    def forward(self, x):
        shape = np.shape(x)
        return np.reshape(x, (*shape[:1], math.prod(shape[1:])))


def _module_of(function, name, doc=None):
    """The Layer class of a function: its constructor takes the function's arguments after x."""
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
    arguments = f"({', '.join(settings)})" if settings else "()"
    doc = f"{doc or inspect.getdoc(function)}\n\nAs a module: {name}{arguments}(x)."
    members = {"__init__": init, "forward": forward, "__doc__": doc, "__module__": __name__}
    return type(name, (Layer,), members)


ReLU = _module_of(F.relu, "ReLU")
Sigmoid = _module_of(F.sigmoid, "Sigmoid")
Tanh = _module_of(F.tanh, "Tanh", "tanh(x).")
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

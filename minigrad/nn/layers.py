"""Layers. Names, arguments, layouts and state_dict keys are PyTorch's."""

import math
from collections.abc import Callable
from inspect import Parameter, Signature, getdoc, signature
from typing import TYPE_CHECKING, Any, Concatenate, Generic

import numpy as np

from .. import functional as F
from ..engine import Tensor
from ..functional.checks import check_divides, each
from ..functional.windows import Window
from ..registry import OTHER_NAMES
from ..types import Ints, Operand, P
from .module import Layer, Module

__all__ = ["Linear", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Flatten"]
__all__ += ["ReLU", "Sigmoid", "Tanh", "Softplus", "SiLU", "SELU", "GELU", "ELU", "LeakyReLU"]
__all__ += ["Mish", "ReLU6", "Hardtanh", "Hardsigmoid", "Hardswish", "Softsign"]
__all__ += ["LogSigmoid", "GLU", "PReLU", "Identity", "CELU", "Softmin", "Threshold"]
__all__ += ["Hardshrink", "Softshrink", "Tanhshrink"]
__all__ += ["Softmax", "LogSoftmax", "MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"]
__all__ += ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d"]
__all__ += ["Upsample", "CosineSimilarity"]
__all__ += ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss"]
__all__ += ["HuberLoss", "SmoothL1Loss", "KLDivLoss", "TripletMarginLoss"]


class Function(Layer):
    """A function(x, ...) as a layer. The layer holds the arguments other than x: its `settings`."""

    settings = ()  # the names

    def hold(self, **settings):
        """Takes over the settings, at construction. A subclass may check them first."""
        vars(self).update(settings)

    def held(self):
        """{name: value} of the settings."""
        return {name: getattr(self, name) for name in self.settings}

    def forward(self, *inputs: Operand) -> Tensor:
        """The function of the inputs, with the settings of the layer."""
        return self.function(*inputs, **self.held())


if TYPE_CHECKING:

    class Made(Function, Generic[P]):
        """A layer whose constructor takes the settings of its function: see `layer_of`."""

        def __init__(self, *args: P.args, **kwargs: P.kwargs): ...


def layer_of(function, name, settings, doc=None, base=Function):
    """A subclass of `base` for a function. Its constructor takes `settings`, inspect.Parameters.

    A call of the layer takes all other arguments of the function: its inputs.
    """
    names = [s.name for s in settings]
    inputs = ", ".join(n for n in signature(function).parameters if n not in names)
    doc = doc or f"{getdoc(function)}\n\nAs a module: {name}({', '.join(names)})({inputs})."
    expected = Signature([Parameter("self", Parameter.POSITIONAL_ONLY), *settings])

    def init(self, *values, **keywords):
        keywords.pop("inplace", None)  # in PyTorch it saves memory and changes no number
        for own, theirs in OTHER_NAMES.items():
            if theirs in keywords and own in expected.parameters:
                keywords[own] = keywords.pop(theirs)
        try:
            bound = expected.bind(self, *values, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}: {error}.") from None
        bound.apply_defaults()
        self.hold(**{name: bound.arguments[name] for name in names})

    init.__signature__ = expected
    members = {"__init__": init, "__doc__": doc, "__module__": base.__module__}
    members |= {"function": staticmethod(function), "settings": names}
    return type(name, (base,), members)


class Linear(Layer):
    """x @ weight.T + bias: x (..., in_features) gives (..., out_features).

    weight (out_features, in_features), bias (out_features,), or None with bias=False.
    Settings: penalty, bias_penalty, init, bias_init, rng, dtype: see Layer.
    Raises ValueError for sizes that are not whole numbers >= 1, and for x of another width.
    """

    def __init__(self, in_features: int, out_features: int, bias=True, **settings: Any):
        self.hold_sizes(in_features=in_features, out_features=out_features)
        biases = {"bias": (out_features,) if bias else None}
        self.add_parameters(None, {"weight": (out_features, in_features)}, biases, settings)

    def forward(self, x: Operand) -> Tensor:
        """x @ weight.T + bias: x (..., in_features) gives (..., out_features)."""
        return F.linear(x, self.weight, self.bias)


class Conv1d(Function):
    """The convolution `functional.conv1d`, which explains stride, padding, dilation and groups.

    x (N, in_channels, L), weight (out_channels, in_channels / groups, kernel_size), bias
    (out_channels,). Settings: penalty, bias_penalty, init, bias_init, rng, dtype: see Layer.
    padding_mode  "zeros", "reflect", "replicate" or "circular": how the padding is filled

    Raises ValueError for sizes that are not whole numbers >= 1, groups that do not divide the
    channels, and for another padding_mode.
    """

    axes, function, transposed = 1, staticmethod(F.conv1d), False
    settings = "stride", "padding", "dilation", "groups"
    paddings = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    padding_mode = "zeros"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        **settings: Any,
    ):
        if padding_mode not in self.paddings:
            modes = ", ".join(self.paddings)
            raise ValueError(f"{type(self).__name__}: padding_mode is one of {modes}.")
        self.padding_mode = padding_mode
        self.hold(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        self.hold_sizes(**channels, groups=groups)
        self.checked(check_divides, "groups", groups, **channels)
        size = self.checked(each, "kernel_size", kernel_size, self.axes, 1)
        first, second = channels.values() if self.transposed else (out_channels, in_channels)
        weights = {"weight": (first, second // groups, *size)}
        biases = {"bias": (out_channels,) if bias else None}
        self.add_parameters(None, weights, biases, settings)

    def forward(self, x: Operand) -> Tensor:
        """The convolution of x (N, in_channels, *space): (N, out_channels, *windows)."""
        settings = self.held()
        if self.padding_mode != "zeros":
            sizes = self.weight.shape[2:], self.stride, self.padding, self.dilation
            widths = [(0, 0), (0, 0), *Window(self.axes, *sizes).padding]
            x, settings["padding"] = np.pad(x, widths, self.paddings[self.padding_mode]), 0
        return self.function(x, self.weight, self.bias, **settings)


class Conv2d(Conv1d):
    """The convolution `functional.conv2d` of x (N, in_channels, H, W).

    Arguments and errors as for Conv1d. weight (out_channels, in_channels / groups, KH, KW), bias
    (out_channels,). Sizes, strides, paddings and dilations are a number, or a pair (vertical,
    horizontal).
    """

    axes, function = 2, staticmethod(F.conv2d)


class ConvTranspose1d(Conv1d):
    """The transposed convolution `functional.conv_transpose1d`, which explains its arguments.

    x (N, in_channels, L), weight (in_channels, out_channels / groups, kernel_size), bias
    (out_channels,). Settings and errors as for Conv1d.
    """

    axes, function, transposed = 1, staticmethod(F.conv_transpose1d), True
    settings = "stride", "padding", "output_padding", "groups", "dilation"
    paddings = {"zeros": "constant"}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        **others: Any,
    ):
        self.output_padding = output_padding
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, **others)


class ConvTranspose2d(ConvTranspose1d):
    """The transposed convolution `functional.conv_transpose2d` of x (N, in_channels, H, W).

    weight (in_channels, out_channels / groups, KH, KW), bias (out_channels,). Sizes are a number,
    or a pair (vertical, horizontal). Settings and errors as for Conv1d.
    """

    axes, function = 2, staticmethod(F.conv_transpose2d)


class Flatten(Module):
    """x (N, ...) as (N, features): all axes after the first become one."""

    def forward(self, x: Operand) -> Tensor:
        """x (N, ...) as (N, features)."""
        shape = np.shape(x)
        return np.reshape(x, (*shape[:1], math.prod(shape[1:])))


class Identity(Module):
    """Returns x. It takes the place of a layer that you leave out, and any arguments."""

    def __init__(self, *args, **kwargs):
        pass

    def forward(self, x: Operand) -> Tensor:
        """x."""
        return x


class PReLU(Layer):
    """`functional.prelu`: x where x > 0, else weight * x, with a weight that is learned.

    num_parameters  1, or the number of channels of x (N, C, ...): the length of the weight
    init            the first value of the weight
    settings        penalty, rng, dtype: see Layer
    """

    def __init__(self, num_parameters=1, init: float = 0.25, **settings):
        self.hold_sizes(num_parameters=num_parameters)
        settings["init"] = lambda rng, shape, *fans: np.full(shape, init)
        self.add_parameters(None, {"weight": (num_parameters,)}, {}, settings)

    def is_weight(self, name, parameter):
        """False: a penalty would only bring the slope to 0, as in relu (He et al. 2015)."""
        return False

    def forward(self, x: Operand) -> Tensor:
        """x where x > 0, else weight * x, of the shape of x."""
        return F.prelu(x, self.weight)


def _layer_of(function: Callable[Concatenate[Any, P], Any], name) -> "type[Made[P]]":
    """The Function layer of a function of one input."""
    _, *settings = signature(function).parameters.values()
    return layer_of(function, name, settings)


def _loss_of(function, name, inputs=2) -> "type[Made[...]]":
    """The Function layer of a loss with this number of inputs.

    The settings that PyTorch's users give by position come first. All other settings are keywords.
    """
    settings = list(signature(function).parameters.values())[inputs:]
    first = [s for s in settings if s.name in ("weight", "margin", "dim")]
    others = [s.replace(kind=s.KEYWORD_ONLY) for s in settings if s not in first]
    first = [s.replace(kind=s.POSITIONAL_OR_KEYWORD) for s in first]
    return layer_of(function, name, first + others)


ReLU = _layer_of(F.relu, "ReLU")
Sigmoid = _layer_of(F.sigmoid, "Sigmoid")
Tanh = _layer_of(F.tanh, "Tanh")
Softplus = _layer_of(F.softplus, "Softplus")
SiLU = _layer_of(F.silu, "SiLU")
SELU = _layer_of(F.selu, "SELU")
GELU = _layer_of(F.gelu, "GELU")
ELU = _layer_of(F.elu, "ELU")
CELU = _layer_of(F.celu, "CELU")
LeakyReLU = _layer_of(F.leaky_relu, "LeakyReLU")
Mish = _layer_of(F.mish, "Mish")
ReLU6 = _layer_of(F.relu6, "ReLU6")
Hardtanh = _layer_of(F.hardtanh, "Hardtanh")
Hardsigmoid = _layer_of(F.hardsigmoid, "Hardsigmoid")
Hardswish = _layer_of(F.hardswish, "Hardswish")
Softsign = _layer_of(F.softsign, "Softsign")
Hardshrink = _layer_of(F.hardshrink, "Hardshrink")
Softshrink = _layer_of(F.softshrink, "Softshrink")
Tanhshrink = _layer_of(F.tanhshrink, "Tanhshrink")
Threshold = _layer_of(F.threshold, "Threshold")
LogSigmoid = _layer_of(F.logsigmoid, "LogSigmoid")
GLU = _layer_of(F.glu, "GLU")
Softmin = _layer_of(F.softmin, "Softmin")
Softmax = _layer_of(F.softmax, "Softmax")
LogSoftmax = _layer_of(F.log_softmax, "LogSoftmax")

MaxPool1d = _layer_of(F.max_pool1d, "MaxPool1d")
MaxPool2d = _layer_of(F.max_pool2d, "MaxPool2d")
AvgPool1d = _layer_of(F.avg_pool1d, "AvgPool1d")
AvgPool2d = _layer_of(F.avg_pool2d, "AvgPool2d")
AdaptiveAvgPool1d = _layer_of(F.adaptive_avg_pool1d, "AdaptiveAvgPool1d")
AdaptiveAvgPool2d = _layer_of(F.adaptive_avg_pool2d, "AdaptiveAvgPool2d")
AdaptiveMaxPool1d = _layer_of(F.adaptive_max_pool1d, "AdaptiveMaxPool1d")
AdaptiveMaxPool2d = _layer_of(F.adaptive_max_pool2d, "AdaptiveMaxPool2d")
Upsample = _layer_of(F.interpolate, "Upsample")

CrossEntropyLoss = _loss_of(F.cross_entropy, "CrossEntropyLoss")
NLLLoss = _loss_of(F.nll_loss, "NLLLoss")
BCELoss = _loss_of(F.binary_cross_entropy, "BCELoss")
BCEWithLogitsLoss = _loss_of(F.binary_cross_entropy_with_logits, "BCEWithLogitsLoss")
MSELoss = _loss_of(F.mse_loss, "MSELoss")
L1Loss = _loss_of(F.l1_loss, "L1Loss")
HuberLoss = _loss_of(F.huber_loss, "HuberLoss")
SmoothL1Loss = _loss_of(F.smooth_l1_loss, "SmoothL1Loss")
KLDivLoss = _loss_of(F.kl_div, "KLDivLoss")
TripletMarginLoss = _loss_of(F.triplet_margin_loss, "TripletMarginLoss", inputs=3)
CosineSimilarity = _loss_of(F.cosine_similarity, "CosineSimilarity")

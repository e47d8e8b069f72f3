"""Layers. Names, arguments, layouts and state_dict keys are PyTorch's."""

import math
from collections.abc import Callable
from inspect import Parameter as Argument
from inspect import Signature, getdoc, signature
from typing import TYPE_CHECKING, Any, Concatenate, Generic

import numpy as np

from .. import array
from .. import functional as F
from ..engine import Tensor
from ..functional.checks import check_divides, each, require_whole
from ..functional.windows import Window
from ..noise import stream
from ..registry import OTHER_NAMES
from ..types import Ints, Operand, P
from .initialisers import fan_in_uniform
from .module import Module, Parameter

__all__ = ["Layer", "Linear", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Flatten"]
__all__ += ["ReLU", "Sigmoid", "Tanh", "Softplus", "SiLU", "SELU", "GELU", "ELU", "LeakyReLU"]
__all__ += ["Mish", "ReLU6", "Hardtanh", "Hardsigmoid", "Hardswish", "Softsign"]
__all__ += ["LogSigmoid", "GLU", "PReLU", "Identity", "CELU", "Softmin", "Threshold"]
__all__ += ["Hardshrink", "Softshrink", "Tanhshrink"]
__all__ += ["Softmax", "LogSoftmax", "MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"]
__all__ += ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d"]
__all__ += ["Upsample", "CosineSimilarity"]
__all__ += ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss"]
__all__ += ["HuberLoss", "SmoothL1Loss", "KLDivLoss", "TripletMarginLoss"]


# The settings that every layer with parameters takes as keywords, with their defaults: see Layer.
SETTINGS = dict.fromkeys(("penalty", "bias_penalty", "rng", "dtype"))
SETTINGS |= {"init": fan_in_uniform, "bias_init": fan_in_uniform}


class Layer(Module):
    """The base of this package's layers. Its repr is the call that makes the layer.

    A layer with parameters takes these settings, all keywords:

    penalty       a penalty of the weights, such as L2(1e-3); add model.penalty() to the loss
    bias_penalty  a penalty of the biases
    init          the initialiser of the weights: a function of `nn`, or your own function
    bias_init     the initialiser of the biases
    rng           the np.random.Generator of the initialisers; by default minigrad's own
    dtype         the dtype of the parameters; by default the default dtype

    A new layer is one class: its __init__(..., **settings) calls `add_parameters`, and its
    `forward` uses the parameters.

    Raises TypeError for unknown settings, a penalty that is no Penalty and an rng that is no
    Generator; ValueError for a penalty of a weight or bias that the layer does not have, and for an
    initialiser that returns another shape.
    """

    def add_parameters(self, fans, weights, biases, settings):
        """Makes the weights and biases, {name: shape}. A shape of None gives an attribute None.

        fans      (fan_in, fan_out) for the initialisers; None: from the shape of each weight, whose
                  first axis counts the units
        settings  {name: value}, as the constructor got them. A layer with its own defaults passes
                  them first: {"init": ones} | settings
        """
        if unknown := settings.keys() - SETTINGS.keys():
            kind = type(self).__name__
            raise TypeError(f"{kind} has no setting {sorted(unknown)}; see nn.Layer for all.")
        settings = SETTINGS | settings
        dtype = settings["dtype"] or array.default_dtype
        rng = stream("init") if settings["rng"] is None else settings["rng"]
        if not isinstance(rng, np.random.Generator):
            remedy = "pass a np.random.Generator, such as np.random.default_rng(0)"
            raise TypeError(f"rng is {rng!r}; {remedy}.")
        by_shape = fans is None
        vars(self).update(dict.fromkeys([*weights, *biases]))
        for what, prefix, shapes in ("weight", "", weights), ("bias", "bias_", biases):
            penalty, init = settings[f"{prefix}penalty"], settings[f"{prefix}init"]
            shapes = {name: shape for name, shape in shapes.items() if shape is not None}
            if penalty is not None and not shapes:
                raise ValueError(f"{prefix}penalty={penalty}, but there is no {what}.")
            setattr(self, f"{what}_penalty", penalty)
            for name, shape in shapes.items():
                if what == "weight" and by_shape:
                    fans = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
                value = Parameter(init(rng, shape, *fans), dtype=dtype)
                if value.shape != tuple(shape):
                    wrong = f"{prefix}init gave {name} the shape {value.shape}"
                    raise ValueError(f"{wrong}, but it needs {tuple(shape)}.")
                setattr(self, name, value)

    def hold(self, **settings):
        """Makes attributes of the settings. A subclass may check them first."""
        vars(self).update(settings)

    def hold_sizes(self, **sizes):
        """Makes attributes of the sizes. Raises ValueError unless they are whole numbers >= 1."""
        for name, size in sizes.items():
            require_whole(name, size, 1)
            setattr(self, name, size)

    def extra_repr(self):
        """The constructor's arguments that differ from their defaults. p is always there."""
        own = vars(self) | {"penalty": self.weight_penalty}
        shown = []
        for name, usual in _arguments(type(self)).items():
            value = own.get(name)
            if isinstance(usual, bool):  # the argument `bias` is a bool, the attribute a Parameter
                value = bool(value) if np.isscalar(value) else value is not None
            is_data = isinstance(value, (Module, Tensor, np.ndarray))
            if name in own and not is_data and (name == "p" or value != usual):
                shown.append(f"{name}={value}")
        return ", ".join(shown)


def _arguments(kind):
    """{name: default} of the arguments of a class's constructor, then of the classes above it."""
    arguments = {}
    for above in kind.__mro__:
        for parameter in signature(above.__init__).parameters.values():
            arguments.setdefault(parameter.name, parameter.default)
    return arguments | {"penalty": None, "bias_penalty": None}


DRAWN = "mask", "noise"  # the arguments of a function that its layer draws anew in each call


class Function(Layer):
    """A function as a layer.

    The inputs of a call are the first arguments of the function. The other arguments are the
    `settings`. The layer has an attribute for each setting, with the name of the setting: a layer
    of F.conv2d has `weight` and `bias`, a layer of F.dropout has `p` and `training`.

    of      the function of a subclass: class Embedding(Function, of=F.embedding)
    inputs  how many inputs the function has
    """

    settings = ()  # the names

    def __init_subclass__(cls, of=None, inputs=1):
        if of is not None:
            cls.function, names = staticmethod(of), [*signature(of).parameters]
            cls.settings = [name for name in names[inputs:] if name not in DRAWN]

    def forward(self, *inputs: Operand, **others: Any) -> Tensor:
        """The function of the inputs. `others` replace settings of the layer in this call."""
        for name in self.settings:
            others.setdefault(name, getattr(self, name))
        return self.function(*inputs, **others)


if TYPE_CHECKING:

    class Made(Function, Generic[P]):
        """A layer whose constructor takes the settings of its function: see `layer_of`."""

        def __init__(self, *args: P.args, **kwargs: P.kwargs): ...


def layer_of(function, name, inputs=1, first=None, base=Function, note="", **defaults):
    """The layer of a function. Its constructor takes the settings of the function.

    inputs    how many of the first arguments of the function are inputs of a call
    first     the settings that may be given by position: they come first. Default: all settings
    base      Function or a subclass
    note      the last sentence of the docstring
    defaults  the default values of settings, in place of the defaults of the function
    """
    arguments = [*signature(function).parameters.values()]
    settings = [s for s in arguments[inputs:] if s.name not in ("training", *DRAWN)]
    settings = [s.replace(default=defaults.get(s.name, s.default)) for s in settings]
    if first is not None:
        kinds = Argument.KEYWORD_ONLY, Argument.POSITIONAL_OR_KEYWORD
        settings = [s.replace(kind=kinds[s.name in first]) for s in settings]
        settings.sort(key=lambda s: s.kind)
    expected = Signature([Argument("self", Argument.POSITIONAL_ONLY), *settings])

    def init(self, *values, **keywords):
        keywords.pop("inplace", None)  # in PyTorch it saves memory and changes no number
        for own, theirs in OTHER_NAMES.items():
            if theirs in keywords and own in expected.parameters:
                keywords[own] = keywords.pop(theirs)
        bound = expected.bind(self, *values, **keywords)
        bound.apply_defaults()
        self.hold(**{s.name: bound.arguments[s.name] for s in settings})

    init.__signature__ = expected
    call = f"{name}({', '.join(s.name for s in settings)})"
    call += f"({', '.join(a.name for a in arguments[:inputs])})"
    members = {"__init__": init, "__module__": base.__module__}
    members["__doc__"] = f"{getdoc(function)}\n\nAs a module: {call}. {note}".rstrip()
    return type(name, (base,), members, of=function, inputs=inputs)


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
        """x (..., in_features) gives (..., out_features)."""
        return F.linear(x, self.weight, self.bias)


class Conv1d(Function, of=F.conv1d):
    """The convolution `functional.conv1d`, which explains stride, padding, dilation and groups.

    x (N, in_channels, L), weight (out_channels, in_channels / groups, kernel_size), bias
    (out_channels,). Settings: penalty, bias_penalty, init, bias_init, rng, dtype: see Layer.
    padding_mode  "zeros", "reflect", "replicate" or "circular": how the padding is filled

    Raises ValueError for sizes that are not whole numbers >= 1, groups that do not divide the
    channels, and for another padding_mode.
    """

    axes, transposed = 1, False
    paddings = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}

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
            raise ValueError(f"padding_mode is one of {', '.join(self.paddings)}.")
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        self.hold_sizes(**channels, groups=groups)
        check_divides("groups", groups, **channels)
        self.hold(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        self.padding_mode = padding_mode
        size = each("kernel_size", kernel_size, self.axes, 1)
        first, second = channels.values() if self.transposed else (out_channels, in_channels)
        biases = {"bias": (out_channels,) if bias else None}
        self.add_parameters(None, {"weight": (first, second // groups, *size)}, biases, settings)

    def forward(self, x: Operand, **others: Any) -> Tensor:
        """The convolution of x (N, in_channels, *space): (N, out_channels, *windows)."""
        if self.padding_mode == "zeros":
            return super().forward(x, **others)
        sizes = self.weight.shape[2:], self.stride, self.padding, self.dilation
        widths = [(0, 0), (0, 0), *Window(self.axes, *sizes).padding]
        filled = np.pad(x, widths, self.paddings[self.padding_mode])
        return super().forward(filled, **others | {"padding": 0})


class Conv2d(Conv1d, of=F.conv2d):
    """The convolution `functional.conv2d` of x (N, in_channels, H, W).

    Arguments and errors as for Conv1d. weight (out_channels, in_channels / groups, KH, KW), bias
    (out_channels,). Sizes, strides, paddings and dilations are a number, or a pair (vertical,
    horizontal).
    """

    axes = 2


class ConvTranspose1d(Conv1d, of=F.conv_transpose1d):
    """The transposed convolution `functional.conv_transpose1d`, which explains its arguments.

    x (N, in_channels, L), weight (in_channels, out_channels / groups, kernel_size), bias
    (out_channels,). Settings and errors as for Conv1d.
    """

    transposed, paddings = True, {"zeros": "constant"}

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


class ConvTranspose2d(ConvTranspose1d, of=F.conv_transpose2d):
    """The transposed convolution `functional.conv_transpose2d` of x (N, in_channels, H, W).

    weight (in_channels, out_channels / groups, KH, KW), bias (out_channels,). Sizes are a number,
    or a pair (vertical, horizontal). Settings and errors as for Conv1d.
    """

    axes = 2


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


class PReLU(Function, of=F.prelu):
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


def _layer_of(function: Callable[Concatenate[Any, P], Any], name) -> "type[Made[P]]":
    """The layer of a function of one input. Editors know its settings."""
    return layer_of(function, name)


def _loss_of(function, name, inputs=2) -> "type[Made[...]]":
    """The layer of a loss. PyTorch's users give some of its settings by position."""
    return layer_of(function, name, inputs, first=("weight", "margin", "dim"))


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

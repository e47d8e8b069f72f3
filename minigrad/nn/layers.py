"""Layers. Names, arguments, layouts and state_dict keys are PyTorch's."""

from .. import engine
from .. import functional as F
from ..engine import stream
from .initialisers import fan_in_uniform
from .module import Module, Parameter


class Linear(Module):
    """x @ weight.T + bias: x (..., in_features), weight (out_features, in_features), bias (out_features,).

    `init` and `bias_init` are initialisers of this module; without `rng` they draw from minigrad's own generators.
    `penalty`, such as L2(1e-3), applies to the weight, `bias_penalty` to the bias: add `model.penalty()` to the loss.
    """

    weight_penalty = bias_penalty = None

    def __init__(
        self,
        in_features,
        out_features,
        bias=True,
        *,
        penalty=None,
        bias_penalty=None,
        init=fan_in_uniform,
        bias_init=fan_in_uniform,
        rng=None,
        dtype=None,
    ):
        rng = stream("init") if rng is None else rng
        fans = in_features, out_features
        self.in_features, self.out_features = in_features, out_features
        self.weight_penalty, self.bias_penalty = penalty, bias_penalty
        if bias_penalty is not None and not bias:
            raise ValueError(f"Linear: bias_penalty={bias_penalty}, but there is no bias.")
        self.weight = Parameter(init(rng, (out_features, in_features), *fans), dtype=dtype or engine.default_dtype)
        self.bias = Parameter(bias_init(rng, (out_features,), *fans), dtype=dtype or engine.default_dtype) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        extra = "" if self.bias is not None else ", bias=False"
        extra += f", penalty={self.weight_penalty}" if self.weight_penalty else ""
        extra += f", bias_penalty={self.bias_penalty}" if self.bias_penalty else ""
        return f"in_features={self.in_features}, out_features={self.out_features}{extra}"


class Flatten(Module):
    """(N, ...) to (N, features)."""

    def forward(self, x):
        return x.reshape(x.shape[0], -1)


def _activation(name, function, *settings):
    """The Module of a function of functional.py; its settings become attributes."""

    def init(self, *values, **keywords):
        given = dict(zip((s for s, _ in settings), values)) | keywords
        if len(values) > len(settings) or given.keys() - dict(settings).keys():
            raise TypeError(f"{name} takes {', '.join(s for s, _ in settings) or 'no arguments'}.")
        vars(self).update(dict(settings) | given)

    def forward(self, x):
        return function(x, *[getattr(self, s) for s, _ in settings]) if settings else function(x)

    def extra_repr(self):
        return ", ".join(f"{s}={getattr(self, s)!r}" for s, _ in settings)

    doc = f"functional.{function.__name__} as a module."
    return type(name, (Module,), {"__init__": init, "forward": forward, "extra_repr": extra_repr, "__doc__": doc, "__module__": __name__})


ReLU = _activation("ReLU", F.relu)
Sigmoid = _activation("Sigmoid", F.sigmoid)
Tanh = _activation("Tanh", F.tanh)
Softplus = _activation("Softplus", F.softplus)
SiLU = _activation("SiLU", F.silu)
SELU = _activation("SELU", F.selu)
GELU = _activation("GELU", F.gelu, ("approximate", "none"))
ELU = _activation("ELU", F.elu, ("alpha", 1.0))
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, ("negative_slope", 0.01))
Softmax = _activation("Softmax", F.softmax, ("axis", -1))
LogSoftmax = _activation("LogSoftmax", F.log_softmax, ("axis", -1))

"""Penalties as objects, for the weights of a layer or for any selection of parameters."""

from fnmatch import fnmatchcase

from .. import functional as F
from ..engine import Tensor
from ..ops.penalties import coefficient
from ..types import Axis, Rate

__all__ = ["L1", "L2", "ElasticNet", "GroupL2", "Penalty", "penalty"]


class Penalty:
    """A penalty function with its coefficients. A call with weights gives a node of the loss.

    function   A penalty such as F.l1_penalty, or a penalty that you declared.
    settings   Its coefficients and settings by name. A coefficient is a number >= 0 or a function
               of the step.

    A layer takes a Penalty as `penalty=` for its weight, and as `bias_penalty=` (Keras:
    kernel_regularizer, bias_regularizer); add `model.penalty()` to the loss. `nn.penalty` applies
    a Penalty to a selection of parameters. On activations h, add L1(1e-3)(h) / len(h) to the loss
    (Keras: activity_regularizer).

    Raises ValueError for any other coefficient, TypeError for a function that is no penalty.
    """

    def __init__(self, function, **settings):
        op = getattr(function, "op", None)
        if op is None or op.kind != "penalty":
            name = getattr(function, "__name__", function)
            remedy = "Declare it with minigrad.ops.penalties.penalty"
            raise TypeError(f"Penalty: {name} is no penalty such as F.l1_penalty. {remedy}.")
        for name in op.prox:
            value = settings.get(name)
            if not callable(value):
                needed = "a number >= 0 or a function of the step"
                coefficient(type(self).__name__, name, value, needed)
        self.function, self.settings = function, settings

    def __call__(self, *weights: Tensor, step: int | None = None) -> Tensor:
        """The node of the penalty on the weights.

        step  the argument of coefficients that are functions. Raises TypeError if it is missing
        """
        values = {}
        for name, value in self.settings.items():
            if callable(value) and step is None:
                what = f"the coefficient {name} is a function of the step"
                raise TypeError(f"{self}: {what}. Give the step: penalty(step=t).")
            values[name] = value(step) if callable(value) else value
        return self.function(*weights, **values)

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((self.function, *sorted(self.settings)))

    def __repr__(self):
        is_own = type(self) is not Penalty
        shown = [] if is_own else [self.function.__name__]
        for name, value in self.settings.items():
            is_number = isinstance(value, (int, float))
            text = f"{value:g}" if is_number else getattr(value, "__name__", value)
            if value is not None:
                shown.append(f"{text}" if is_own and name == "c" else f"{name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"


class L1(Penalty):
    """c * sum |w|: see `functional.l1_penalty` (Keras: regularizers.L1(c)).

    Only a proximal optimizer makes weights exactly 0: `optim.ProximalSGD`.
    """

    def __init__(self, c: Rate):
        super().__init__(F.l1_penalty, c=c)


class L2(Penalty):
    """c * sum w^2: see `functional.l2_penalty` (Keras: regularizers.L2(c)).

    With SGD and Adam, L2(c) does the same as weight_decay = 2c. With AdamW it does not.
    """

    def __init__(self, c: Rate):
        super().__init__(F.l2_penalty, c=c)


class ElasticNet(Penalty):
    """l1 * sum |w| + l2 * sum w^2: see `functional.elastic_net` (Keras: regularizers.L1L2)."""

    def __init__(self, l1: Rate, l2: Rate):
        super().__init__(F.elastic_net, l1=l1, l2=l2)


class GroupL2(Penalty):
    """c * sum over groups of |w_group|: see `functional.group_l2`. Whole groups become 0.

    axis  The axis or axes inside a group; default: all but the first.
    """

    def __init__(self, c: Rate, axis: Axis = None):
        axis = tuple(axis) if isinstance(axis, (tuple, list)) else axis
        super().__init__(F.group_l2, c=c, axis=axis)


def require_penalty(what, value):
    """Raises TypeError unless a value is a Penalty. `what` names the argument."""
    if not isinstance(value, Penalty):
        remedy = "A function such as F.l2_penalty becomes one by nn.Penalty(function, c=1e-3)"
        raise TypeError(f"{what} must be e.g. L2(1e-3), not {value!r}. {remedy}.")


def penalty(model, penalty: Penalty, where=None, step: int | None = None) -> Tensor:
    """The node of `penalty`, such as L2(1e-4), over some parameters of a model. Add it to the loss.

    where  Selects parameters: a pattern for their dotted names, such as "encoder.*.weight", or a
           function (name, parameter) -> bool. Default: the weights of all modules except norms and
           PReLU. A parameter is a weight if its name contains `weight`, or if it has two axes or
           more; but not if its name contains `bias`. See `Module.is_weight`.
    step   The argument of coefficients that are functions of the step.

    Modules may share a parameter: it counts once. Raises ValueError if no parameter is selected,
    TypeError for a penalty that is no Penalty.
    """
    require_penalty("penalty: the second argument", penalty)
    named = list(model.named_parameters())
    if where is None:
        held = [(m, name, p) for m in model.modules() for name, p in m.own_parameters()]
        chosen = dict.fromkeys(p for m, name, p in held if m.is_weight(name, p))
    elif callable(where):
        chosen = [p for name, p in named if where(name, p)]
    else:
        chosen = [p for name, p in named if fnmatchcase(name, where)]
    if not chosen:
        wanted = "is a weight" if where is None else f"matches {where!r}"
        names = ", ".join(name for name, _ in named) or "none"
        raise ValueError(f"penalty: no parameter {wanted}. There are: {names}.")
    return penalty(*chosen, step=step)

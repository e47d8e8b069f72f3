"""Penalties as objects, for a layer's weights or for any selection of parameters."""

import numbers
from fnmatch import fnmatchcase

import numpy as np

from .. import functional as F


class Penalty:
    """A penalty with its coefficients, numbers or functions of the step. Called on weights it gives their node of the loss.

    A layer takes one as `penalty=`, for its weight, and as `bias_penalty=` (Keras: kernel_regularizer, bias_regularizer); add
    `model.penalty()` to the loss. `nn.penalty` applies one to a selection of parameters.
    """

    function = None  # of `functional`

    def __init__(self, **settings):
        for name, value in settings.items():
            if (
                name != "axis"
                and not callable(value)
                and not (isinstance(value, numbers.Real) and 0 <= value < np.inf)
            ):
                raise ValueError(
                    f"{type(self).__name__}: the coefficient {name} must be a number >= 0 or a function of the step, got {value!r}."
                )
        vars(self).update(settings)

    def __call__(self, *weights, step=None):
        return type(self).function(
            *weights, **{name: self._at(step, name, value) for name, value in vars(self).items()}
        )

    def _at(self, step, name, value):
        if not callable(value):
            return value
        if step is None:
            raise TypeError(
                f"{self}: the coefficient {name} is a function of the step. Say which: penalty(step=t)."
            )
        return value(step)

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), *vars(self).items()))

    def __repr__(self):
        shown = {
            n: getattr(v, "__name__", v) if callable(v) else f"{v:g}" if n != "axis" else v
            for n, v in vars(self).items()
            if v is not None
        }
        return f"{type(self).__name__}({', '.join(str(v) if n == 'c' else f'{n}={v}' for n, v in shown.items())})"


class L1(Penalty):
    """c * sum |w| (Keras: regularizers.L1(c)). Only a proximal optimizer makes weights exactly 0: `optim.ProximalSGD`."""

    function = F.l1_penalty

    def __init__(self, c):
        super().__init__(c=c)


class L2(Penalty):
    """c * sum w^2 (Keras: regularizers.L2(c)). Under plain SGD and Adam it equals their weight_decay = 2c; not under AdamW."""

    function = F.l2_penalty

    def __init__(self, c):
        super().__init__(c=c)


class ElasticNet(Penalty):
    """l1 * sum |w| + l2 * sum w^2 (Keras: regularizers.L1L2(l1, l2))."""

    function = F.elastic_net

    def __init__(self, l1, l2):
        super().__init__(l1=l1, l2=l2)


class GroupL2(Penalty):
    """c * sum over groups of |w_group|: whole units become 0. `axis`: the axes inside a group, without it all but the first."""

    function = F.group_l2

    def __init__(self, c, axis=None):
        super().__init__(c=c, axis=tuple(axis) if isinstance(axis, (tuple, list)) else axis)


def penalty(model, penalty, where=None, step=None):
    """The node of `penalty`, such as L2(1e-4), over some parameters of a model, to be added to the loss; each parameter once.

    `where` selects: a pattern for the dotted names such as "encoder.*.weight", or a function (name, parameter) -> bool. Without it:
    the weights, that is, all parameters of two or more axes, so no biases. `step` goes to coefficients that are functions of it.
    """
    named = list(model.named_parameters())
    if where is None:
        chosen = [p for _, p in named if p.ndim >= 2]
    elif callable(where):
        chosen = [p for name, p in named if where(name, p)]
    else:
        chosen = [p for name, p in named if fnmatchcase(name, where)]
    if not chosen:
        wanted = "has two axes" if where is None else f"matches {where!r}"
        raise ValueError(
            f"penalty: no parameter {wanted}. There are: {', '.join(name for name, _ in named) or 'none'}."
        )
    return penalty(*chosen, step=step)

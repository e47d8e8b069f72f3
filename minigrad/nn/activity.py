"""Penalties on activations."""

from ..engine import Tensor
from .module import Module
from .penalties import require_penalty

__all__ = ["ActivityPenalty"]


class ActivityPenalty(Module):
    """x as it is, with a penalty on it: ActivityPenalty(L1(1e-3)) after a layer.

    In training, `model.penalty()` after the forward pass contains the penalty of the last x, a sum
    over the whole batch. Keras's activity_regularizer divides this sum by the number of samples.

    Raises TypeError for a penalty that is no Penalty.
    """

    def __init__(self, penalty):
        require_penalty("ActivityPenalty: the penalty", penalty)
        self.activity_penalty, self.seen = penalty, ()

    def forward(self, x):
        self.seen = (x,) if self.training and isinstance(x, Tensor) else ()
        return x

    def own_penalties(self):
        """The pair (penalty, [the last x]), if there is any."""
        if self.seen:
            yield self.activity_penalty, list(self.seen)

    def __getstate__(self):  # a copy or a pickle has no activations
        return vars(self) | {"seen": ()}

    def extra_repr(self):
        return str(self.activity_penalty)

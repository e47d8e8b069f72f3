"""Penalties: n-ary nodes of the loss over weights."""

import math
import numbers

from ..engine import Tensor
from ..ops import penalties


def l1_penalty(*weights, c):
    """c * sum |w| over all entries of the weights: one node of the loss. Subgradient steps give small weights, not zeros."""
    return penalties.l1_penalty(_coefficient("l1_penalty", c, weights), *weights)


def l2_penalty(*weights, c):
    """c * sum w^2 over all entries of the weights: one node of the loss. Under plain SGD it equals weight_decay = 2c."""
    return penalties.l2_penalty(_coefficient("l2_penalty", c, weights), *weights)


def elastic_net(*weights, l1, l2):
    """l1 * sum |w| + l2 * sum w^2 over all entries of the weights: one node of the loss (Zou & Hastie 2005; Keras's L1L2)."""
    c1, c2 = (
        _coefficient("elastic_net", l1, weights, "l1"),
        _coefficient("elastic_net", l2, weights, "l2"),
    )
    return penalties.elastic_net(c1, c2, *weights)


def group_l2(*weights, c, axis=None):
    """c * sum over groups of |w_group|, the Euclidean norm and not its square: one node of the loss (the group lasso, Yuan & Lin 2006).

    `axis`, a number or a tuple, says which axes lie inside a group. Without it, all but the first: a group is what enters one
    unit, a row of a Linear's weight, or one filter. axis=0 makes a group of what leaves one input.
    """
    return penalties.group_l2(
        _coefficient("group_l2", c, weights), slice(1, None) if axis is None else axis, *weights
    )


def _coefficient(name, c, weights, called="c"):
    if not weights or not all(isinstance(w, Tensor) for w in weights):
        raise TypeError(f"{name}: pass the weights as Tensors, {name}(w1, w2, {called}=1e-3).")
    if callable(c):
        raise TypeError(
            f"{name}: the coefficient {called} must be a number. The penalties of nn take functions of the step."
        )
    if not isinstance(c, (numbers.Real, Tensor)) or not 0 <= c < math.inf:
        raise ValueError(f"{name}: the coefficient {called} must be a number >= 0, got {c!r}.")
    return float(c)

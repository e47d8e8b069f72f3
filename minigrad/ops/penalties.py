"""Penalties: nodes of the loss over any number of weights. They are sums, not means.

One declaration gives the function that users call, its node in ledgers and pictures, the check of
its coefficients, and the step of a proximal optimizer.

    @penalty(prox={"c": soft_threshold}, weights=rule)
    def l1_penalty(c, *weights): ...

A penalty is a sum of coefficients times norms. `prox` has, for the name of each coefficient, the
proximal operator of its norm at step t,

    prox(v, t) = argmin_w |w - v|^2 / 2 + t * norm(w)

A proximal optimizer uses the operator in place of the rule. It reaches exact zeros; gradient steps
only come near (Parikh & Boyd 2014, "Proximal Algorithms", section 6).

Penalties of one norm on a weight are added up. Norms are the same if their operators are equal. So
a penalty with settings must return equal operators for equal settings: a NamedTuple with __call__,
such as BlockSoftThreshold, and not a new function each time.
"""

import math
import numbers
from collections.abc import Callable
from functools import update_wrapper
from inspect import Parameter, signature
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..engine import Tensor
from ..registry import Each, op
from .elementwise import floats

__all__ = ["penalty", "l1_penalty", "l2_penalty", "elastic_net", "group_l2"]
__all__ += ["BlockSoftThreshold", "soft_threshold", "shrink"]


def penalty(*, prox, **rules) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """Decorates the forward of a penalty, forward(*coefficients, *settings, *weights).

    prox   {name of a coefficient: the proximal operator of its norm, as prox(v, t)}. The value is
           None if the operator has no closed form. If the penalty also has settings, the value is a
           function (w, *settings) that returns the operator for w.
    rules  The gradient rule of the weights. It returns a sequence, one cotangent for each weight,
           such as an `Each`.

    Returns the function for users: weights first, coefficients and settings by name, such as
    l1_penalty(w1, w2, c=1e-3). It raises TypeError if the weights are not Tensors, ValueError if a
    coefficient is not a number >= 0.
    """

    def declare(forward):
        *settings, weights = signature(forward).parameters.values()
        name, names = forward.__name__, [s.name for s in settings]
        defaults = {s.name: s.default for s in settings if s.default is not s.empty}
        record = op(forward, kind="penalty", prox=prox, **rules)

        def call(*weights, **given):
            values = defaults | given
            are_tensors = weights and all(isinstance(w, Tensor) for w in weights)
            if not are_tensors or values.keys() != {*names}:
                needed = "the weights as Tensors, all else by name"
                raise TypeError(f"{name}{call.__signature__}: pass {needed}.")
            values |= {n: coefficient(name, n, values[n]) for n in prox}
            return record(*[values[n] for n in names], *map(floats, weights))

        update_wrapper(call, forward, updated=())
        by_name = [s.replace(kind=Parameter.KEYWORD_ONLY) for s in settings]
        call.__signature__ = signature(forward).replace(parameters=[weights, *by_name])
        call.op = record.op
        return call

    return declare


def coefficient(penalty, name, value, needed="a number >= 0"):
    """A coefficient as a float. Raises ValueError unless it is a number >= 0."""
    if isinstance(value, (float, numbers.Real, Tensor)) and 0 <= value < math.inf:
        return float(value)
    raise ValueError(f"{penalty}: the coefficient {name} must be {needed}, got {value!r}.")


def blocks(arrays, size=32_768):
    """Flat pieces of arrays of one shape, as lists of views. The pieces fit the cache."""
    if arrays[0].size <= size or not all(a.flags.c_contiguous for a in arrays):
        return (arrays,)
    flat = [a.reshape(-1) for a in arrays]
    return ([a[start : start + size] for a in flat] for start in range(0, flat[0].size, size))


# --------------------------------------------------------------------------- proximal operators


def soft_threshold(v, t):
    """The proximal operator of sum |w|: each entry comes closer to 0 by t, and is 0 within t."""
    return v - np.clip(v, -t, t)


def shrink(v, t):
    """The proximal operator of sum w^2."""
    return v / (1 + 2 * t)


class BlockSoftThreshold(NamedTuple):
    """The proximal operator of the sum of |w_group| over groups, whose entries lie along `axes`.

    Each group becomes shorter by t. A group that is not longer than t becomes 0.
    """

    axes: tuple

    def __call__(self, v, t):
        norms = np.sqrt(np.sum(v * v, axis=self.axes, keepdims=True))
        return np.where(norms <= t, 0, v * (1 - t / np.maximum(norms, t or 1)))  # nan stays nan


def norms(node, w):
    """{proximal operator: coefficient} of the norms of the weight w in a penalty node."""
    op, values = node.op, dict(zip(node.op.names, node.args))
    settings = [values[n] for n in op.family.names[:-1] if n not in op.prox]
    sums = {}
    for name, prox in op.prox.items():
        operator = prox(w, *settings) if settings and prox else prox
        sums[operator] = sums.get(operator, 0.0) + values[name]
    return sums


def prox_of_sum(operators):
    """The proximal operator (v, t) of a sum of norms, {proximal operator: coefficient}.

    Soft thresholds come first, then blocks (Simon et al. 2013), then the shrinking (Yu 2013).
    Raises ValueError for other sums, whose operator has no closed form.
    """
    rank = {soft_threshold: 0, shrink: 2}
    in_order = sorted(operators, key=lambda o: rank.get(o, 1))
    others = [o for o in operators if o not in rank]
    if len(operators) > 1 and [*map(type, others)] not in ([], [BlockSoftThreshold]):
        names = " and ".join(getattr(o, "__name__", str(o)) for o in operators)
        raise ValueError(
            f"the penalties together have no known proximal operator: {names}. "
            "It is known for L1, L2 and groups along one choice of axes."
        )

    def prox(v, t):
        for operator in in_order:
            moved = operator(v, t * operators[operator])
            if np.shape(moved) != v.shape:
                what = f"the proximal operator {getattr(operator, '__name__', operator)}"
                wrong = f"returns shape {np.shape(moved)} for a weight of shape {v.shape}"
                raise ValueError(f"{what} {wrong}.")
            v = moved
        return v

    return prox


# --------------------------------------------------------------------------------------- penalties


def _signs(w, factor):
    """factor * sign(w)."""
    signs = np.sign(w)
    signs *= factor.astype(w.dtype)  # in place for an array; for a Tensor it makes a new one
    return signs


def _sum_of_magnitudes(w):
    """sum |w|, by a product with ones: twice as fast as a sum."""
    pieces = [piece.reshape(-1) for (piece,) in blocks([w])]
    ones = np.ones(pieces[0].size, w.dtype)
    return sum(np.abs(piece) @ ones[: piece.size] for piece in pieces)


def _sum_of_squares(w):
    """sum w^2."""
    return np.dot(w.reshape(-1), w.reshape(-1))


@penalty(
    prox={"c": soft_threshold},
    weights=lambda g, out, c, *ws: Each(lambda w: _signs(w, c * g), ws),
)
def l1_penalty(c, *weights):
    """c * sum |w| over all entries of the weights: one node of the loss (the lasso's penalty).

    The subgradient at 0 is 0. Subgradient steps give small weights, not zeros; `optim.ProximalSGD`
    gives zeros. Keras's convention: a sum, not a mean.

    weights  One Tensor or more, of any shapes.
    c        The coefficient, a number >= 0.

    Raises TypeError if the weights are not Tensors, ValueError if c is not a number >= 0.
    """
    return c * sum(map(_sum_of_magnitudes, weights))


@penalty(prox={"c": shrink}, weights=lambda g, out, c, *ws: Each(lambda w: 2 * c * g * w, ws))
def l2_penalty(c, *weights):
    """c * sum w^2 over all entries of the weights: one node of the loss (Keras's convention).

    Under plain SGD it equals weight_decay = 2c.

    weights  One Tensor or more, of any shapes.
    c        The coefficient, a number >= 0.

    Raises TypeError if the weights are not Tensors, ValueError if c is not a number >= 0.
    """
    return c * sum(map(_sum_of_squares, weights))


@penalty(
    prox={"l1": soft_threshold, "l2": shrink},
    weights=lambda g, out, l1, l2, *ws: Each(lambda w: g * (l1 * np.sign(w) + 2 * l2 * w), ws),
)
def elastic_net(l1, l2, *weights):
    """l1 * sum |w| + l2 * sum w^2 over all entries of the weights: one node of the loss.

    Zou & Hastie 2005; Keras's L1L2. The subgradient of |w| at 0 is 0.

    weights  One Tensor or more, of any shapes.
    l1, l2   The coefficients, numbers >= 0.

    Raises TypeError if the weights are not Tensors, ValueError if l1 or l2 is not a number >= 0.
    """
    return l1 * sum(map(_sum_of_magnitudes, weights)) + l2 * sum(map(_sum_of_squares, weights))


def axes_inside(w, axis):
    """The axes of w that lie inside a group, as a tuple; for None all but the first."""
    if axis is None:
        return tuple(range(1, w.ndim))
    return tuple(sorted(normalize_axis_tuple(axis, w.ndim)))


def _group_prox(w, axis):
    axes = axes_inside(w, axis)
    return BlockSoftThreshold(axes) if axes else soft_threshold


def _group_cotangent(g, c, axis, w):
    squares = np.sum(w * w, axis=axes_inside(w, axis), keepdims=True)
    is_zero = squares == 0  # the square root has no finite derivative at 0
    return w * np.where(is_zero, 0, c * g / np.sqrt(np.where(is_zero, 1, squares)))


@penalty(
    prox={"c": _group_prox},
    weights=lambda g, out, c, axis, *ws: Each(lambda w: _group_cotangent(g, c, axis, w), ws),
)
def group_l2(c, axis=None, *weights):
    """c * sum over groups of |w_group|: one node of the loss (the group lasso, Yuan & Lin 2006).

    |w_group| is the Euclidean norm of a group, not its square. The subgradient at 0 is 0.

    weights  One Tensor or more.
    c        The coefficient, a number >= 0.
    axis     The axis or axes that lie inside a group. Default: all but the first, so a group has
             all weights that enter one unit: a row of a Linear's weight, or one filter. axis=0
             makes a group of all weights that leave one input.

    Raises TypeError if the weights are not Tensors, ValueError if c is not a number >= 0 or if a
    weight has no such axis.
    """
    return c * sum(np.sum(np.sqrt(np.sum(w * w, axis=axes_inside(w, axis)))) for w in weights)

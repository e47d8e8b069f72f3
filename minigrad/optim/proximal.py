"""Proximal steps: penalties that have kinks give exact zeros."""

import math

import numpy as np

from ..array import as_list
from ..changes import mark_changed
from ..engine import Tensor
from ..graph import nodes
from ..loss import split
from ..types import Params, Rate
from .base import Optimizer


class ProximalSGD(Optimizer):
    """w = prox(w - lr * gradient of the smooth part of the loss), which gives exact zeros.

    parameters   Tensors or groups, as for every optimizer.
    lr           The step size, a number or a function of the step number; at most 1 / L, where L
                 is the largest curvature of the smooth part.
    accelerated  FISTA (Beck & Teboulle 2009), for losses without noise. The closure then sees an
                 extrapolated point; between the steps the parameters are at the proximal point.
    restart      Drops the momentum when it points uphill (O'Donoghue & Candes 2015).

    `step(closure)` calls closure(), which returns the recorded loss with its penalties and does
    not call backward. The loss is a sum of terms. L1, elastic-net and group-L2 penalties, and other
    penalties with a proximal operator, act by this operator alone. All other terms, penalties with
    `prox=None` too, act by their gradient, which gives no exact zeros.

    Raises ValueError for restart without accelerated; for other errors see Optimizer.

    >>> w = Tensor([3.0, 0.2], requires_grad=True)
    >>> optimizer = ProximalSGD([w], lr=0.5)
    >>> from minigrad.functional import l1_penalty
    >>> def loss():
    ...     return 0.5 * ((w - [2.0, 0.3]) ** 2).sum() + l1_penalty(w, c=0.5)
    >>> for _ in range(50):
    ...     value = optimizer.step(loss)
    >>> w
    Tensor([1.5, 0. ], requires_grad=True)
    """

    counters = ("steps", "t", "momentum")

    def __init__(self, parameters: Params, lr: Rate = 1e-3, accelerated=False, restart=False):
        super().__init__(parameters, lr=lr)
        if restart and not accelerated:
            raise ValueError("ProximalSGD: restart is for accelerated=True.")
        self.accelerated, self.restart = accelerated, restart
        self.t, self.momentum = 1.0, 0.0

    def step(self, closure=None) -> Tensor:
        """One step. closure() returns the recorded loss, which `step` returns too.

        Raises TypeError without a closure or a recorded loss; RuntimeError if backward was called,
        or if the loss depends on none of the parameters; ValueError for penalties that have no
        proximal step, for an operator that returns another shape, and for a parameter whose shape
        has changed. The parameters then stay as they were.
        """
        if not callable(closure):
            needed = "a function that returns the recorded loss, without backward"
            raise TypeError(f"ProximalSGD.step takes {needed}: step(lambda: loss_of(model)).")
        rates = [(group, self.rate(group)) for group in self.param_groups]
        trained = [(self.state[w], lr) for g, lr in rates for w in g["params"] if w.requires_grad]
        for t, _ in trained:
            t.check_data("ProximalSGD.step")
        parameters = [t.parameter for t, _ in trained]
        before = [w.data.copy() if self.accelerated else w.data for w in parameters]
        points, uphill = [], 0.0
        try:
            if self.momentum:
                for (t, _), x in zip(trained, before):
                    mark_changed(t.parameter)
                    t.parameter.data += self.momentum * (x - t.buffers.get("before", x))
            loss = closure()
            if any(w.grad is not None for w in parameters):
                raise RuntimeError(
                    "ProximalSGD.step: a parameter has a .grad, so backward() was called, and it "
                    "added the subgradients of the penalties. A penalty acts once, here by its "
                    "proximal operator: leave out backward(), and call zero_grad() once."
                )
            gradients, operators = split(loss, parameters, "ProximalSGD.step")
            # All new points come first: if an operator fails, nothing has changed.
            for (t, lr), x, gradient, prox in zip(trained, before, gradients, operators):
                w = t.parameter.data
                new = x if gradient is None and not prox else moved(w, gradient, prox, lr)
                if self.accelerated and lr:
                    uphill += float(np.sum((w - new) * (new - x))) / lr
                points.append(new)
        except BaseException:
            for w, x in zip(parameters, before):
                w.data[...] = x
            raise
        for (t, lr), x, new in zip(trained, before, points):
            if self.accelerated and lr:
                t.buffers["before"] = x
            mark_changed(t.parameter)  # first: an interrupt may stop the step halfway
            t.parameter.data[...] = new
        if self.accelerated:
            last, self.t = self.t, (1 + math.sqrt(1 + 4 * self.t**2)) / 2
            self.momentum = (last - 1) / self.t
            if self.restart and uphill > 0:
                self.t, self.momentum = 1.0, 0.0
        self.steps += 1
        return loss


def moved(w, gradient, prox, lr):
    """prox(w - lr * gradient). gradient and prox may be None."""
    new = w - lr * (0 if gradient is None else gradient)  # a copy: prox may write to it
    return prox(new, lr) if prox else new


def kkt_residual(loss: Tensor, parameters=None) -> float:
    """How far a recorded loss is from its optimality conditions, a number >= 0.

    It is the largest entry of |w - prox(w - gradient of the smooth part)|, a step with lr = 1. For
    a convex loss it is 0 if and only if the parameters are optimal, zeros included. The conditions
    of the lasso: gradient = -c sign(w) where w is not 0, and |gradient| <= c where w is 0.

    loss        A recorded Tensor of one entry, before backward. Nothing is changed.
    parameters  A Tensor or several; default: all parameters on which the loss depends.

    For errors see `ProximalSGD.step`.
    """
    if parameters is None and isinstance(loss, Tensor):
        parameters = [n for n in nodes(loss) if n.is_leaf and n.requires_grad]
    parameters = [] if parameters is None else as_list(parameters)
    gradients, operators = split(loss, parameters, "kkt_residual", retain_graph=True)
    terms = zip(parameters, gradients, operators)
    moves = [p.data - moved(p.data, gradient, prox, 1.0) for p, gradient, prox in terms]
    largest = [np.max(np.abs(move), initial=0.0) for move in moves]
    return float(np.max(largest, initial=0.0))  # np.max returns nan if one move is nan

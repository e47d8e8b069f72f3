"""Proximal gradient steps: penalties that are not smooth act by their proximal operators, and give exact zeros."""

import math

import numpy as np

from ..engine import Tensor, grad, mark_changed
from ..graph import nodes, program
from ..loss import name_of, penalised, summands
from ..ops.penalties import PARTS, prox
from .base import Optimizer

NONSMOOTH = PARTS.keys() - {
    "l2_penalty"
}  # the penalties that a proximal optimizer takes over; l2 has a gradient everywhere


class ProximalSGD(Optimizer):
    """w = prox(w - lr * gradient of the smooth part of the loss): L1, elastic-net and group-L2 penalties give exact zeros.

    `step(closure)`: closure() returns the recorded loss, penalties included, without backward; `step` returns it too. The loss is
    read as a sum: those penalties on parameters act by their proximal operators alone, all other terms by their gradient.

    >>> w = Tensor([3.0, 0.2], requires_grad=True)
    >>> optimizer = ProximalSGD([w], lr=0.5)
    >>> from minigrad.functional import l1_penalty
    >>> for _ in range(50):
    ...     loss = optimizer.step(lambda: 0.5 * ((w - [2.0, 0.3]) ** 2).sum() + l1_penalty(w, c=0.5))
    >>> w
    Tensor([1.5, 0. ], requires_grad=True)

    `accelerated`: FISTA (Beck & Teboulle 2009), for losses without noise. The closure then sees an extrapolated point, between
    the steps the parameters are at the proximal point, zeros and all. `restart`: drop the momentum when it points uphill
    (O'Donoghue & Candes 2015). lr at most 1 / L, L the largest curvature of the smooth part.
    """

    counters = ("steps", "t", "momentum")

    def __init__(self, parameters, lr=1e-3, accelerated=False, restart=False):
        super().__init__(parameters, lr=lr)
        if restart and not accelerated:
            raise ValueError("ProximalSGD: restart is for accelerated=True.")
        self.accelerated, self.restart, self.t, self.momentum = accelerated, restart, 1.0, 0.0

    def step(self, closure=None):
        """One step. `closure()` returns the recorded loss, which is returned; backward must not have been called."""
        if not callable(closure):
            raise TypeError(
                "ProximalSGD.step takes a function that returns the recorded loss, without backward: step(lambda: loss_of(model))."
            )
        rates = [(g, self.rate(g)) for g in self.param_groups]
        trained = [(self.state[w], lr) for g, lr in rates for w in g["params"] if w.requires_grad]
        before = [
            t.parameter.data.copy() if self.accelerated else t.parameter.data for t, _ in trained
        ]
        try:
            if self.momentum:
                for (t, _), x in zip(trained, before):
                    t.parameter.data += self.momentum * (x - t.buffers.get("before", x))
            loss = closure()
            _check_loss(loss, "ProximalSGD.step")
            _refuse_gradients([t.parameter for t, _ in trained])
            gradients, parts = _smooth_gradients(
                loss, [t.parameter for t, _ in trained], "ProximalSGD.step"
            )
        except BaseException:
            for (t, _), x in zip(trained, before):
                t.parameter.data[...] = x
            raise
        uphill = 0.0
        for (t, lr), x, gradient, part in zip(trained, before, gradients, parts):
            w = t.parameter.data
            new = (
                x
                if gradient is None and not part
                else prox(w - lr * (0 if gradient is None else gradient), lr, part)
            )
            if self.accelerated and lr:
                uphill += float(np.sum((w - new) * (new - x))) / lr
                t.buffers["before"] = x
            w[...] = new
            mark_changed(t.parameter)
        if self.accelerated:
            last, self.t = self.t, (1 + math.sqrt(1 + 4 * self.t**2)) / 2
            self.momentum = (last - 1) / self.t
            if self.restart and uphill > 0:
                self.t, self.momentum = 1.0, 0.0
        self.steps += 1
        return loss


def kkt_residual(loss, parameters=None):
    """How far a recorded loss is from its optimality conditions: the largest entry of |w - prox(w - gradient of the smooth part)| at step 1.

    0 if and only if `parameters` (default: all that the loss depends on) are optimal, zeros included, given a convex loss. For the
    lasso: gradient = -c sign(w) where w is not 0, |gradient| <= c where it is. Nothing is changed; use it before backward.
    """
    _check_loss(loss, "kkt_residual")
    if parameters is None:
        parameters = [n for n in nodes(loss) if n.is_leaf and n.requires_grad]
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients, parts = _smooth_gradients(loss, parameters, "kkt_residual", retain_graph=True)
    moves = [
        p.data - prox(p.data - (0 if g is None else g), 1.0, part)
        for p, g, part in zip(parameters, gradients, parts)
    ]
    return float(np.max([np.max(np.abs(move), initial=0.0) for move in moves], initial=0.0))


def _smooth_gradients(loss, parameters, what, retain_graph=False):
    """For each parameter the gradient (an array or None) of the loss without its nonsmooth penalties, and the parts ({kind: c}) of those."""
    taken, smooth = [], []
    for summand in summands(loss):
        if summand.node is not None and summand.node.requires_grad:
            (taken if summand.node.op.name in NONSMOOTH else smooth).append(summand)
    _refuse(taken, smooth, what)
    parts = {id(p): {} for p in parameters}
    for summand, leaf, coefficients in penalised(taken):
        own = parts.get(id(leaf), {})  # of a parameter that is not asked for: nothing comes of it
        for kind, c in coefficients.items():
            own[kind] = own.get(kind, 0.0) + summand.factor * c
        if len(own.keys() - {"l1", "l2"}) > 1:
            raise ValueError(
                f"{what}: groups along different axes of a parameter of shape {leaf.shape} overlap. Their proximal operator has no closed form."
            )
    gradients = [None] * len(parameters)
    if smooth:
        factors = [np.full(s.node.shape, s.factor) for s in smooth]
        gradients = grad(
            [s.node for s in smooth],
            parameters,
            factors,
            retain_graph=retain_graph,
            allow_unused=True,
        )
    if all(g is None and not parts[id(p)] for p, g in zip(parameters, gradients)):
        raise RuntimeError(f"{what}: the loss does not depend on any of the parameters.")
    return [g if g is None else g.data for g in gradients], [parts[id(p)] for p in parameters]


def _check_loss(loss, what):
    if not isinstance(loss, Tensor) or not loss.requires_grad or loss.size != 1:
        raise TypeError(
            f"{what} needs the recorded loss, a Tensor of one entry that depends on the parameters; got {loss!r}."
        )


def _refuse(taken, smooth, what):
    """Refuses penalties that no proximal step stands for, and a graph that was freed."""
    for summand in taken:
        program(what, summand.node)
        if summand.factor < 0:
            raise ValueError(
                f"{what}: the loss has {name_of(summand)}. A penalty that is subtracted has no proximal step."
            )
        if (
            result := next(
                (w for w in summand.node.args if isinstance(w, Tensor) and not w.is_leaf), None
            )
        ) is not None:
            raise ValueError(
                f"{what}: {name_of(summand)} is on the result of {result.op.name}, and a proximal step needs a parameter. "
                "Penalise the parameter itself; for activations write the penalty out, c * np.sum(np.abs(h))."
            )
    inside = program(what, *(s.node for s in smooth))
    if (
        hidden := next((n for n in inside if n.op is not None and n.op.name in NONSMOOTH), None)
    ) is not None:
        raise ValueError(
            f"{what}: {hidden.op.name} stands inside another term of the loss. A proximal step needs it as a term of its own: add it."
        )


def _refuse_gradients(parameters):
    for p in parameters:
        if p.grad is not None:
            raise RuntimeError(
                f"ProximalSGD.step: a parameter of shape {p.shape} has a .grad, so backward() was called, and put the subgradients of the penalties "
                "there. A penalty acts once, here by its proximal operator: leave out backward(), and zero_grad() what is left from before."
            )

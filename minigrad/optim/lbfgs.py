"""A quasi-Newton method: few, long steps, for losses without noise."""

import math

import numpy as np

from ..array import data_of
from ..changes import mark_changed
from ..functional.checks import require_whole
from ..types import Params, Rate
from .base import Optimizer


class LBFGS(Optimizer):
    """w -= lr H grad. H estimates the inverse of the Hessian from the last moves.

    lr                the factor of each move: 1, or less if the loss grows
    max_iter          the largest number of moves in one `step`
    tolerance_grad    a step ends when no entry of the gradient is larger
    tolerance_change  a step ends when no weight changes by more, or when the loss changes by less
    history_size      how many moves H remembers

    It moves as PyTorch's LBFGS moves without a line search. Liu & Nocedal 1989 (Math. Programming
    45).

    Raises ValueError for several groups, and unless max_iter and history_size are whole numbers
    >= 1; for other errors see Optimizer.
    """

    counters = "steps", "last", "pairs"

    def __init__(
        self,
        parameters: Params,
        lr: Rate = 1.0,
        max_iter=20,
        *,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
    ):
        self.last = []  # the gradient and the move of the last update
        self.pairs = []  # [change of the gradient, move] of the updates before
        Optimizer.__init__(**locals())

    def check_group(self, group):
        """Raises ValueError for a second group, and for counts that are no whole numbers >= 1."""
        if self.param_groups:
            raise ValueError("LBFGS takes one group of parameters.")
        for name in "max_iter", "history_size":
            require_whole(f"LBFGS: {name}", group[name], 1)

    def step(self, closure=None):
        """Makes up to `max_iter` moves. Returns the loss before the first move.

        closure  a function that sets the gradients to None, calls backward and returns the loss

        Raises TypeError without a closure; for other errors see `Optimizer.step`.
        """
        if not callable(closure):
            raise TypeError("LBFGS.step takes a function that calls backward and returns the loss.")
        (settings,) = self.param_groups
        lr, tolerance = self.rate(settings), settings["tolerance_change"]
        losses, before = [], math.inf
        for _ in range(settings["max_iter"]):
            losses.append(closure())
            self.check_gradients()
            g = np.concatenate([_gradient(w) for w in self.state])
            loss = float(data_of(losses[-1]))
            is_flat = np.max(np.abs(g)) <= settings["tolerance_grad"]
            if is_flat or abs(loss - before) < tolerance:
                break
            d = self.direction(g, settings["history_size"])
            move = lr * d if self.last else lr * min(1.0, 1 / np.sum(np.abs(g))) * d
            self.last, before = [g, move], loss
            if g @ d > -tolerance:
                break
            ends = np.cumsum([w.size for w in self.state])
            for w, part in zip(self.state, np.split(move, ends)):
                mark_changed(w)  # first: an interrupt may stop the step halfway
                w.data += part.reshape(w.shape)
            if np.max(np.abs(move)) <= tolerance:
                break
        self.steps += 1
        return losses[0]

    def direction(self, g, history_size):
        """Returns -H g, by two loops over the pairs (Nocedal & Wright 2006, algorithm 7.4)."""
        if self.last:
            y, s = g - self.last[0], self.last[1]
            if y @ s > 1e-10:
                self.pairs = [*self.pairs, [y, s]][-history_size:]
        d, shares = -g, []
        for y, s in reversed(self.pairs):
            shares.append(s @ d / (y @ s))
            d = d - shares[-1] * y
        for y, s in self.pairs[-1:]:
            d = d * (y @ s / (y @ y))
        for (y, s), share in zip(self.pairs, reversed(shares)):
            d = d + (share - y @ d / (y @ s)) * s
        return d


def _gradient(w):
    """The gradient of a parameter as a vector. No gradient counts as zeros."""
    return np.zeros(w.size, w.dtype) if w.grad is None else w.grad.data.ravel()

"""A quasi-Newton method: few, long steps, for losses without noise."""

import math
from dataclasses import field

import numpy as np

from ..array import data_of
from ..changes import mark_changed
from ..types import Rate
from .base import Declared


class LBFGS(Declared):
    """w -= lr H grad. H estimates the inverse of the Hessian from the last moves.

    lr                the factor of a move: 1, or less if the loss grows
    max_iter          the largest number of moves in one `step`
    tolerance_grad    a step ends when no entry of the gradient is larger
    tolerance_change  a step ends when no weight changes by more, or when the loss does not
    history_size      how many moves H remembers

    It moves as PyTorch's LBFGS does without a line search. Liu & Nocedal 1989 (Math. Programming
    45).

    Raises ValueError for several groups; for other errors see Optimizer.
    """

    counters = "steps", "last", "pairs"

    lr: Rate = 1.0
    max_iter: int = 20
    tolerance_grad: float = field(default=1e-7, kw_only=True)
    tolerance_change: float = field(default=1e-9, kw_only=True)
    history_size: int = field(default=100, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        self.last = []  # the gradient and the move of the last update
        self.pairs = []  # [change of the gradient, move] of the updates before

    def check_group(self, group):
        """Raises ValueError for a second group."""
        if self.param_groups:
            raise ValueError("LBFGS takes one group of parameters.")

    def step(self, closure=None):
        """Up to `max_iter` moves. Returns the loss before them.

        closure  a function that sets the gradients to None, calls backward and returns the loss

        Raises TypeError without a closure, and the errors of the other optimizers.
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
                mark_changed(w)  # before it is written to, in case the step is interrupted
                w.data += part.reshape(w.shape)
            if np.max(np.abs(move)) <= tolerance:
                break
        self.steps += 1
        return losses[0]

    def direction(self, g, history_size):
        """-H g, by two loops over the pairs (Nocedal & Wright 2006, algorithm 7.4)."""
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
    """The gradient of a parameter as a vector: zeros, if the loss does not depend on it."""
    return np.zeros(w.size, w.dtype) if w.grad is None else w.grad.data.ravel()

"""PyTorch's schedulers: objects that set the learning rates of an optimizer once an epoch.

A scheduler is made after the optimizer. Call scheduler.step() at the end of each epoch; of
ReduceLROnPlateau, scheduler.step(validation_loss). A function of the step as `lr` needs none of
them: see minigrad.optim.schedules.
"""

import math
from bisect import bisect_right

from ..state import require_same


class Scheduler:
    """The base: sets lr = self.rate(lr of the constructor, epoch) in each group.

    A new scheduler is a subclass with a method `rate`. Raises TypeError if a group has a function
    as its lr.
    """

    def __init__(self, optimizer):
        if any(callable(group["lr"]) for group in optimizer.param_groups):
            kind = type(self).__name__
            raise TypeError(f"{kind}: the optimizer has a function as lr. Use one of the two.")
        self.optimizer, self.epoch = optimizer, 0
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self._set()

    def rate(self, lr, epoch):
        """The learning rate in an epoch 0, 1, ... of a group that began with lr."""
        raise NotImplementedError(f"{type(self).__name__} has no method rate.")

    def _set(self):
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = self.rate(lr, self.epoch)

    def step(self):
        """Ends an epoch: sets the learning rates of the next one."""
        self.epoch += 1
        self._set()

    def get_last_lr(self):
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        """The numbers that change."""
        return {n: v for n, v in vars(self).items() if isinstance(v, (int, float, str, list))}

    def load_state_dict(self, state_dict):
        """Takes over a state_dict. The optimizer has the learning rates in its own state.

        Raises TypeError if it is no dict, ValueError if it comes from another kind of scheduler.
        """
        own = self.state_dict()
        require_same(type(self).__name__, own, state_dict, free=own)
        vars(self).update(state_dict)


class LambdaLR(Scheduler):
    """lr * lr_lambda(epoch)."""

    def __init__(self, optimizer, lr_lambda):
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, lr, epoch):
        return lr * self.lr_lambda(epoch)


class MultiStepLR(Scheduler):
    """lr * gamma^k, where k of the milestones, epochs, have passed."""

    def __init__(self, optimizer, milestones, gamma=0.1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, lr, epoch):
        return lr * self.gamma ** bisect_right(self.milestones, epoch)


class StepLR(Scheduler):
    """lr * gamma^(epoch // step_size)."""

    def __init__(self, optimizer, step_size, gamma=0.1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, lr, epoch):
        return lr * self.gamma ** (epoch // self.step_size)


class ExponentialLR(StepLR):
    """lr * gamma^epoch."""

    def __init__(self, optimizer, gamma):
        super().__init__(optimizer, 1, gamma)


class CosineAnnealingLR(Scheduler):
    """From lr to eta_min along half a cosine in T_max epochs (Loshchilov & Hutter 2017)."""

    def __init__(self, optimizer, T_max, eta_min=0.0):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, lr, epoch):
        share = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (lr - self.eta_min) * share


class ReduceLROnPlateau(Scheduler):
    """lr * factor after more than `patience` epochs without a better value: step(value).

    mode       "min": smaller values are better; "max": larger ones
    threshold  a value is better if it is so by this part of the best one; with
               threshold_mode="abs", by this much
    cooldown   epochs after a reduction that do not count
    min_lr     the smallest learning rate

    Raises ValueError for another mode.
    """

    def __init__(
        self,
        optimizer,
        mode="min",
        factor=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0.0,
    ):
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                'ReduceLROnPlateau: mode is "min" or "max", threshold_mode "rel" or "abs".'
            )
        self.sign = 1 if mode == "min" else -1
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.best, self.bad, self.cooling, self.reductions = math.inf, 0, 0, 0
        super().__init__(optimizer)

    def rate(self, lr, epoch):
        return max(self.min_lr, lr * self.factor**self.reductions)

    def step(self, metrics):
        """Ends an epoch with this value of what is watched."""
        value = self.sign * float(metrics)
        margin = self.threshold
        if self.threshold_mode == "rel":
            margin *= self.sign * self.best if math.isfinite(self.best) else 0.0
        if value < self.best - margin:
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad > self.patience:
            self.reductions += 1
            self.cooling, self.bad = self.cooldown, 0
        super().step()

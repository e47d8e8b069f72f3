"""PyTorch's schedulers: objects that set the learning rates of an optimizer once an epoch.

Call scheduler.step() at the end of each epoch, or scheduler.step(loss) for ReduceLROnPlateau. An
optimizer whose lr is a function of the step needs no scheduler: see minigrad.optim.schedules.
"""

import math

from .. import later
from ..functional.checks import require_whole
from ..state import require_same

later.offer_names(__name__)


class Scheduler:
    """Sets the lr of each group to rate(lr, base, epoch), for the epochs 0, 1, ...

    lr is the present learning rate of the group. base is the learning rate that the group had when
    the scheduler first saw it. So several schedulers of one optimizer act together. The scheduler
    (LambdaLR excepted) goes on from an lr that you set by hand. It also schedules a group that you
    add later.

    Raises TypeError for an optimizer whose lr is a function.
    """

    counters = "epoch", "base_lrs"  # the attributes that change, which a state holds

    def __init__(self, optimizer, rate):
        self.optimizer, self.rate, self.epoch, self.base_lrs = optimizer, rate, -1, []
        Scheduler.step(self)  # epoch 0

    def step(self):
        """Ends an epoch: sets the learning rates of the next one."""
        rates = self.get_last_lr()
        if any(map(callable, rates)):
            raise TypeError("lr_scheduler: the lr of the optimizer is a function. Use one of both.")
        bases = [*self.base_lrs, *rates[len(self.base_lrs) :]]
        # All rates come first: if a function of the user fails, nothing has changed.
        rates = [float(self.rate(*pair, self.epoch + 1)) for pair in zip(rates, bases)]
        self.epoch, self.base_lrs = self.epoch + 1, bases
        for group, lr in zip(self.optimizer.param_groups, rates):
            group["lr"] = lr

    def get_last_lr(self):
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        """The counters of the scheduler. The settings are not in it: the constructor gets them."""
        return {name: getattr(self, name) for name in self.counters}

    def load_state_dict(self, state_dict):
        """Takes over a state_dict. The learning rates come with the state of the optimizer.

        Raises ValueError for the state of another kind of scheduler, for counts that are no whole
        numbers >= 0, and for a best value that is no number. The scheduler is then unchanged.
        """
        require_same(type(self).__name__, self.state_dict(), state_dict, counters=self.counters)
        vars(self).update(state_dict)


def LambdaLR(optimizer, lr_lambda):
    """The Scheduler that sets the lr to base * lr_lambda(epoch). It ignores the present lr."""
    return Scheduler(optimizer, lambda lr, base, epoch: base * lr_lambda(epoch))


def StepLR(optimizer, step_size, gamma=0.1):
    """The Scheduler that multiplies the lr by gamma every `step_size` epochs.

    Raises ValueError unless step_size is a whole number >= 1.
    """
    require_whole("StepLR: step_size", step_size, 1)

    def rate(lr, base, epoch):
        return lr * gamma if epoch and epoch % step_size == 0 else lr

    return Scheduler(optimizer, rate)


def MultiStepLR(optimizer, milestones, gamma=0.1):
    """The Scheduler that multiplies the lr by gamma at each of the milestones, which are epochs."""
    milestones = list(milestones)
    return Scheduler(optimizer, lambda lr, base, epoch: lr * gamma ** milestones.count(epoch))


def ExponentialLR(optimizer, gamma):
    """The Scheduler that multiplies the lr by gamma every epoch."""
    return StepLR(optimizer, 1, gamma)


def CosineAnnealingLR(optimizer, T_max, eta_min=0.0):
    """The Scheduler that moves the lr to eta_min along half a cosine, in T_max epochs, then back.

    Each epoch multiplies lr - eta_min by the ratio of two values of 1 + cos. After the value 0 the
    epoch adds (base - eta_min) (1 + cos) / 2 to the lr. Loshchilov & Hutter 2017
    (arXiv:1608.03983).

    Raises ValueError unless T_max is a whole number >= 1.
    """
    require_whole("CosineAnnealingLR: T_max", T_max, 1)

    def rate(lr, base, epoch):
        last, now = (1 + math.cos(math.pi * n / T_max) for n in (max(0, epoch - 1), epoch))
        if last == 0:
            return lr + (base - eta_min) * now / 2
        return eta_min + now / last * (lr - eta_min)

    return Scheduler(optimizer, rate)


class ReduceLROnPlateau(Scheduler):
    """Multiplies the lr by `factor` after more than `patience` epochs without a better value.

    mode       "min": smaller values are better; "max": larger values are better
    threshold  how much better a value must be, as a part of the best value
    cooldown   the number of epochs after a reduction that do not count
    min_lr     no learning rate is reduced below this number

    Raises ValueError for another mode, for a patience or a cooldown that is no whole number >= 0,
    and unless 0 <= factor < 1.
    """

    counters = *Scheduler.counters, "best", "bad", "resting"

    def __init__(
        self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, cooldown=0, min_lr=0.0
    ):
        if mode not in ("min", "max"):
            raise ValueError(f'ReduceLROnPlateau: mode is "min" or "max", not {mode!r}.')
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be in [0, 1), got {factor!r}.")
        require_whole("ReduceLROnPlateau: patience", patience, 0)
        require_whole("ReduceLROnPlateau: cooldown", cooldown, 0)
        self.sign, self.patience, self.cooldown = 1 if mode == "min" else -1, patience, cooldown
        self.threshold, self.factor, self.min_lr = threshold, factor, min_lr
        self.best, self.bad, self.resting = math.inf, 0, 0
        super().__init__(optimizer, self.reduced)

    def reduced(self, lr, base, epoch):
        """The next learning rate of a group whose rate is lr."""
        return min(lr, max(self.min_lr, lr * self.factor)) if self.bad > self.patience else lr

    def step(self, metrics):
        """Ends an epoch. `metrics` is the value that should get better, such as the loss."""
        value = self.sign * float(metrics)
        is_better = value < self.best * (1 - self.sign * self.threshold)
        self.best, self.bad = (value, 0) if is_better else (self.best, self.bad + 1)
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        super().step()
        if self.bad > self.patience:
            self.resting, self.bad = self.cooldown, 0

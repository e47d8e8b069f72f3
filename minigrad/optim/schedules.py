"""Schedules: functions of the step number 0, 1, 2, ... that optimizers take as `lr`."""

import math


def exponential(lr, factor):
    """The schedule lr * factor^step."""
    return lambda step: lr * factor**step


def step_decay(lr, every, factor=0.1):
    """The schedule lr * factor^(step // every)."""
    return lambda step: lr * factor ** (step // every)


def cosine(lr, steps, warmup=0, final=0.0):
    """Linear warm-up, then half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983).

    lr      the largest rate, reached after `warmup` steps
    steps   the step, warm-up included, from which on the rate is `final`
    """

    def schedule(step):
        if step < warmup:
            return lr * (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return final + (lr - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return schedule

"""Schedules: functions of the step number 0, 1, 2, ... that optimizers take as `lr`.

Any function of the step is a schedule, such as `lambda step: 0.1 * 0.5 ** (step // 30)`. A `cosine`
is an object, so you can print, compare and pickle it.
"""

import math
from typing import NamedTuple


class cosine(NamedTuple):
    """Linear warm-up, then half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983).

    lr      the largest rate, at the end of the warm-up
    steps   the number of steps, warm-up included, after which the rate is `final`
    warmup  the number of steps of the warm-up
    final   the last rate
    """

    lr: float
    steps: int
    warmup: int = 0
    final: float = 0.0

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.final + (self.lr - self.final) * 0.5 * (1 + math.cos(math.pi * progress))

"""Running averages of the weights."""

import numbers
from copy import deepcopy

from ..nn.module import Module


class EMA:
    """Holds `module`, a copy of a model with running means of its weights (Polyak 1992).

    model  the Module that is trained
    decay  the part of the old mean that each update keeps, in [0, 1]

    Call `update()` after each step of the optimizer. The first update copies the weights. Every
    update copies the buffers, as in PyTorch's AveragedModel. `ema(x)` is `ema.module(x)`.

    Raises TypeError for a model that is no Module, ValueError for a decay outside [0, 1].
    """

    def __init__(self, model, decay=0.999):
        if not isinstance(model, Module):
            raise TypeError(f"EMA takes a Module, not a {type(model).__name__}.")
        if not (isinstance(decay, numbers.Real) and 0 <= decay <= 1):
            raise ValueError(f"EMA: decay must be a number in [0, 1], got {decay!r}.")
        self.model, self.decay, self.updates = model, decay, 0
        self.module = deepcopy(model).requires_grad_(False)

    def __call__(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def update(self):
        """Moves the means towards the present weights of the model."""
        now, means = self.model.state_dict(), self.module.state_dict()
        buffers = {name for name, _ in self.model.named_buffers()}
        for name in now.keys() - buffers if self.updates else ():
            now[name] = means[name] + (1 - self.decay) * (now[name] - means[name])
        self.module.load_state_dict(now)
        self.updates += 1

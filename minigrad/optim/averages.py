"""Running averages of the weights."""

from copy import deepcopy


class EMA:
    """`module`, a copy of a model whose weights are running means of the weights (Polyak 1992).

    decay  the part of the old mean that each update keeps

    Call `update()` after each step of the optimizer; the first one copies the weights, and each one
    copies the buffers, as in PyTorch's AveragedModel. `ema(x)` is `ema.module(x)`.
    """

    def __init__(self, model, decay=0.999):
        self.model, self.decay, self.updates = model, decay, 0
        self.module = deepcopy(model).requires_grad_(False)

    def __call__(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def update(self):
        """Moves the means towards the weights of the model."""
        now, means = self.model.state_dict(), self.module.state_dict()
        buffers = {name for name, _ in self.model.named_buffers()}
        for name in now.keys() - buffers if self.updates else ():
            now[name] = means[name] + (1 - self.decay) * (now[name] - means[name])
        self.module.load_state_dict(now)
        self.updates += 1

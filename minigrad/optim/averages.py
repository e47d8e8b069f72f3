"""Running averages of the weights."""

from copy import deepcopy

from ..changes import mark_changed


class EMA:
    """A copy of a model whose weights are running means of the weights: `ema(x)` uses it.

    decay  the part of the old mean that each update keeps, from 0 to 1

    Call `update()` after each step of the optimizer. The first update copies the weights, and every
    update copies the buffers, as in PyTorch's AveragedModel. Polyak & Juditsky 1992. Raises
    ValueError for a decay out of range.
    """

    def __init__(self, model, decay=0.999):
        if not 0 <= decay <= 1:
            raise ValueError(f"EMA: decay is from 0 to 1, got {decay!r}.")
        self.model, self.decay, self.updates = model, decay, 0
        self.module = deepcopy(model).requires_grad_(False)

    def __call__(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def update(self):
        """Moves the means towards the weights of the model."""
        share = 1 - self.decay if self.updates else 1.0
        for mean, w in zip(self.module.parameters(), self.model.parameters(), strict=True):
            mark_changed(mean)
            mean.data[...] += share * (w.data - mean.data)
        own = dict(self.module.named_buffers())
        for name, buffer in self.model.named_buffers():
            own[name][...] = buffer
        self.updates += 1

    def state_dict(self):
        """The number of updates, and the state of the averaged module."""
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state_dict):
        """Takes over a state_dict. Raises as Module.load_state_dict does."""
        self.module.load_state_dict(state_dict["module"])
        self.updates = state_dict["updates"]

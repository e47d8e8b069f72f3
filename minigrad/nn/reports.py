"""Tables of the layers of a model, and of the zeros in its parameters."""

from functools import partial

import numpy as np

from ..engine import Tensor
from ..modes import no_grad
from ..noise import frozen_noise
from ..tables import ruled
from .module import Module

__all__ = ["sparsity", "summary"]


def summary(model, input_shape, dtype: type = np.float32):
    """A table of the layers: output shape (None stands for the batch), parameters, penalty.

    input_shape  the shape of the input without the batch, a number or a tuple
    dtype        of the input: int for a model that begins with an Embedding

    The model runs once on zeros in evaluation mode; its modes, gradients and noise stay as they
    are. Errors of the model pass through.
    """
    shapes = {}  # module -> the shape of its result, or the class of the result if it is no Tensor

    def noted(module, forward, *args, **kwargs):
        out = forward(*args, **kwargs)
        shapes[module] = (None, *out.shape[1:]) if isinstance(out, Tensor) else type(out).__name__
        return out

    with model.put_back(), no_grad(), frozen_noise():
        for module in model.eval().modules():
            module.forward = partial(noted, module, module.forward)
        samples = 2  # a batch norm may need two samples
        model(Tensor(np.zeros((samples, *np.atleast_1d(input_shape).tolist()), dtype)))
    rows = [("layer", "output shape", "parameters", "penalty")]
    for name, module in model.named_modules():
        children = [child for _, child in module.named_children()]
        inside = {id(p) for child in children for p in child.parameters()}
        count = sum(p.size for p in module.parameters() if id(p) not in inside)
        if count or not children:
            penalties = (module.weight_penalty, ""), (module.bias_penalty, " on the bias")
            penalty = ", ".join(f"{p}{where}" for p, where in penalties if p)
            label = f"{name} ({type(module).__name__})" if name else type(module).__name__
            rows.append((label, str(shapes.get(module, "not called")), f"{count:,}", penalty))
    total = sum(p.size for p in model.parameters())
    trained = sum(p.size for p in model.parameters() if p.requires_grad)
    return f"{ruled(rows, right=(2,))}\n{total:,} parameters, {trained:,} of them trained"


class Sparsity:
    """The numbers of exact zeros and of small entries in each parameter. Printed, it is a table.

    entries, zeros, small  {name: count}; `small` counts entries that are not 0, but below `near`
    """

    def __init__(self, named, near):
        arrays = {name: np.abs(p.data) for name, p in named}
        self.near = near
        self.entries = {name: a.size for name, a in arrays.items()}
        self.zeros = {name: int(np.sum(a == 0)) for name, a in arrays.items()}
        self.small = {name: int(np.sum((a > 0) & (a < near))) for name, a in arrays.items()}

    def __str__(self):
        counts = self.entries, self.zeros, self.small
        totals = [sum(count.values()) for count in counts]
        _, zeros, small = totals
        named = [(name, *(count[name] for count in counts)) for name in self.entries]
        rows = [("parameter", "entries", "exact zeros", f"below {self.near:g}")]
        for name, n, *parts in [*named, ("all", *totals)]:
            shares = [f"{part:,} ({part / n:.0%})" if n else "0" for part in parts]
            rows.append((name, f"{n:,}", *shares))
        text = ruled(rows, right=(1, 2, 3))
        text += f"\n{zeros:,} exact zeros, {small:,} more below {self.near:g}."
        if small and not zeros:
            text += " Subgradient steps do not reach 0; use optim.ProximalSGD."
        return text

    __repr__ = __str__


def sparsity(model, near=1e-3):
    """Counts the exact zeros in a model's parameters, or in {name: Tensor}, as a Sparsity.

    near  entries with a smaller magnitude count as small

    SGD and Adam with L1 penalties give small entries, but no exact zeros. Raises TypeError for
    anything but a module or a dict.
    """
    if isinstance(model, dict):
        return Sparsity(model.items(), near)
    if not isinstance(model, Module):
        raise TypeError(f"sparsity: a module or {{name: Tensor}}, not {model!r:.60}.")
    return Sparsity(model.named_parameters(), near)

"""Tables of the layers of a model, and of the zeros in its parameters."""

from functools import partial

import numpy as np

from ..engine import Tensor
from ..modes import no_grad
from ..noise import frozen_noise
from ..tables import Table
from .module import Module

__all__ = ["sparsity", "summary"]


class Summary(Table):
    """The layers of a model.

    rows                 (name, class, output shape, number of parameters, penalties) of each layer
    parameters, trained  how many numbers the model has in its parameters, and how many are trained
    """

    right = (2,)

    def __init__(self, rows, parameters, trained):
        self.rows, self.parameters, self.trained = rows, parameters, trained

    def lines(self):
        rows = [("layer", "output shape", "parameters", "penalty")]
        for name, kind, shape, count, penalty in self.rows:
            rows.append((f"{name} ({kind})" if name else kind, shape, f"{count:,}", penalty))
        return rows

    def notes(self):
        return [f"{self.parameters:,} parameters, {self.trained:,} of them trained"]


def summary(model, input_shape, dtype=np.float32):
    """The layers of a model as a Summary: output shape (the batch is None), parameters, penalty.

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
    rows = []
    for name, module in model.named_modules():
        children = [child for _, child in module.named_children()]
        inside = {id(p) for child in children for p in child.parameters()}
        count = sum(p.size for p in module.parameters() if id(p) not in inside)
        if count or not children:
            penalties = (module.weight_penalty, ""), (module.bias_penalty, " on the bias")
            penalty = ", ".join(f"{p}{where}" for p, where in penalties if p)
            shape = str(shapes.get(module, "not called"))
            rows.append((name, type(module).__name__, shape, count, penalty))
    total = sum(p.size for p in model.parameters())
    trained = sum(p.size for p in model.parameters() if p.requires_grad)
    return Summary(rows, total, trained)


class Sparsity(Table):
    """The numbers of exact zeros and of small entries in each parameter. Printed, it is a table.

    entries, zeros, small  {name: count}; `small` counts entries that are not 0, but below `near`
    """

    right, sums = (1, 2, 3), 1

    def __init__(self, named, near):
        arrays = {name: np.abs(p.data) for name, p in named}
        self.near = near
        self.entries = {name: a.size for name, a in arrays.items()}
        self.zeros = {name: int(np.sum(a == 0)) for name, a in arrays.items()}
        self.small = {name: int(np.sum((a > 0) & (a < near))) for name, a in arrays.items()}

    def totals(self):
        """The numbers of entries, of zeros and of small entries in all parameters."""
        return [sum(count.values()) for count in (self.entries, self.zeros, self.small)]

    def lines(self):
        named = [(n, self.entries[n], self.zeros[n], self.small[n]) for n in self.entries]
        rows = [("parameter", "entries", "exact zeros", f"below {self.near:g}")]
        for name, n, *parts in [*named, ("all", *self.totals())]:
            shares = [f"{part:,} ({part / n:.0%})" if n else "0" for part in parts]
            rows.append((name, f"{n:,}", *shares))
        return rows

    def notes(self):
        _, zeros, small = self.totals()
        text = f"{zeros:,} exact zeros, {small:,} more below {self.near:g}."
        if small and not zeros:
            text += " Subgradient steps do not reach 0; use optim.ProximalSGD."
        return [text]


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

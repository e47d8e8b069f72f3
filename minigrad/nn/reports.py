"""What a model consists of: tables of its layers and of its zeros."""

import numpy as np

from ..engine import Tensor
from ..modes import no_grad
from ..noise import frozen_noise
from ..tables import ruled


def summary(model, input_shape, dtype=np.float32):
    """A table of the layers: output shape (None stands for the batch), parameters, penalty; `input_shape` without the batch.

    The model runs once on zeros of this dtype (int where it starts with an Embedding), in evaluation mode; its modes, gradients
    and noise stay as they are.
    """
    shapes = {}

    def noting(module, forward):
        def call(*args, **kwargs):
            out = forward(*args, **kwargs)
            shapes[module] = (
                (None, *out.shape[1:]) if isinstance(out, Tensor) else type(out).__name__
            )
            return out

        return call

    with model.put_back(), no_grad(), frozen_noise():
        for module in model.eval().modules():
            module.forward = noting(module, module.forward)
        model(
            Tensor(np.zeros((2, *np.atleast_1d(input_shape).tolist()), dtype))
        )  # two, since a batch norm may need them
    rows = [("layer", "output shape", "parameters", "penalty")]
    for name, module in model.named_modules():
        inside = {id(p) for _, child in module.named_children() for p in child.parameters()}
        count = sum(p.size for p in module.parameters() if id(p) not in inside)
        if count or not any(True for _ in module.named_children()):
            penalties = (module.weight_penalty, ""), (module.bias_penalty, " on the bias")
            penalty = ", ".join(f"{p}{of}" for p, of in penalties if p)
            label = f"{name} ({type(module).__name__})" if name else type(module).__name__
            rows.append((label, str(shapes.get(module, "not called")), f"{count:,}", penalty))
    return ruled(rows, right=(2,)) + "\n" + _totals(model)


class Sparsity:
    """How many entries of each parameter are exactly 0, and how many are merely small; printed, a table.

    zeros, small, entries  {name: count}; `small` counts the entries that are not 0 but within `near` of it
    """

    def __init__(self, named, near):
        arrays = {name: p.data for name, p in named}
        self.near = near
        self.entries = {name: a.size for name, a in arrays.items()}
        self.zeros = {name: int(np.sum(a == 0)) for name, a in arrays.items()}
        self.small = {
            name: int(np.sum((a != 0) & (np.abs(a) < near))) for name, a in arrays.items()
        }

    def __str__(self):
        zeros, small, entries = (
            sum(counts.values()) for counts in (self.zeros, self.small, self.entries)
        )
        rows = [("parameter", "entries", "exact zeros", f"below {self.near:g}")]
        rows += [
            (name, f"{n:,}", _share(self.zeros[name], n), _share(self.small[name], n))
            for name, n in self.entries.items()
        ]
        rows.append(("all", f"{entries:,}", _share(zeros, entries), _share(small, entries)))
        hint = (
            " Subgradient steps do not reach 0; use optim.ProximalSGD."
            if small and not zeros
            else ""
        )
        return f"{ruled(rows, right=(1, 2, 3))}\n{zeros:,} exact zeros, {small:,} more below {self.near:g}.{hint}"

    __repr__ = __str__


def _share(count, of):
    return f"{count:,} ({count / of:.0%})" if of else "0"


def sparsity(model, near=1e-3):
    """Counts the exact zeros in a model's parameters, or in {name: Tensor}. L1 under SGD or Adam has none: what is small is not 0."""
    return Sparsity(model.items() if isinstance(model, dict) else model.named_parameters(), near)


def _totals(model):
    total = sum(p.size for p in model.parameters())
    trained = sum(p.size for p in model.parameters() if p.requires_grad)
    return f"{total:,} parameters, {trained:,} of them trained"

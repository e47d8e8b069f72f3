"""PyTorch on each step of a program alone: the same text, with PyTorch's functions under NumPy's names."""

import re

import numpy as np
import torch

from .grammar import NAME


def both(f):
    """f of two tensors, also where one is a number."""
    return lambda x, y: f(*(v if torch.is_tensor(v) else torch.tensor(v, dtype=torch.float64) for v in (x, y)))


def extreme(f):
    return lambda x, axis=None, keepdims=False: f(x, () if axis is None else axis, keepdims)


def spread(f):
    return lambda x, axis=None, ddof=0, keepdims=False: f(x, axis, correction=ddof, keepdim=keepdims)


class Names:
    """Attributes of PyTorch's modules, but for those given here."""

    def __init__(self, modules, **others):
        self.modules = modules
        vars(self).update(others)

    def __getattr__(self, name):
        return next(getattr(m, name) for m in self.modules if hasattr(m, name))


def loss(f):
    return lambda x, y, reduction="mean", **more: f(x, y, reduction=reduction, **more)


functional = torch.nn.functional
WORLD = {
    "np": Names(
        [torch],
        max=extreme(torch.amax), min=extreme(torch.amin), var=spread(torch.var), std=spread(torch.std),
        maximum=both(torch.maximum), minimum=both(torch.minimum), split=torch.tensor_split, expand_dims=torch.unsqueeze,
        transpose=torch.permute, power=both(torch.pow), rint=torch.round, cumsum=lambda x, axis: torch.cumsum(x, axis),
        repeat=lambda x, n, axis: torch.repeat_interleave(x, n, axis),
    ),
    "F": Names(
        [functional, torch.special],
        dropout=None, gaussian_noise=None, sigmoid=torch.sigmoid,
        softmax=lambda x, axis: torch.softmax(x, axis), log_softmax=lambda x, axis: torch.log_softmax(x, axis),
        logsumexp=lambda x, axis, keepdims: torch.logsumexp(x, () if axis is None else axis, keepdims),
        **{n: loss(getattr(functional, n)) for n in ("mse_loss", "l1_loss", "huber_loss", "cross_entropy")},
    ),
}  # fmt: skip


OTHER_MEANING = r"\d\.(var|std)\(|axis=\(\)|;"  # divided by n - 1; no axis or all axes; two lines
steps = 0  # that PyTorch knows


def step(name, text, inputs, weights):
    """The value of a step and its derivatives by its inputs, weighted; None if PyTorch has no such step."""
    if re.search(OTHER_MEANING, text):
        return None
    given = {n: torch.tensor(np.array(x)).requires_grad_(x.dtype.kind == "f") for n, x in inputs.items()}
    try:
        names = {n: x * 1 if x.requires_grad else x for n, x in given.items()}
        exec(f"{name} = {text.replace('{v}', name)}", {**WORLD, **names, "low": "float64"}, names)
        value = names[name]
        if not torch.is_tensor(value):
            return None
        if not value.requires_grad:
            return value.numpy(), {}
        (value * torch.tensor(weights).reshape(value.shape)).sum().backward()
    except (TypeError, AttributeError, RuntimeError, StopIteration, IndexError, ValueError):
        return None
    return value.detach().numpy(), {n: x.grad.numpy() for n, x in given.items() if x.grad is not None}

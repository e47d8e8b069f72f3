"""A second opinion: PyTorch runs the text of a step, with its functions under NumPy's names."""

import re

import numpy as np
import torch
from torch.nn import functional

# PyTorch's methods var and std divide by n - 1, and the axis () means all axes
OTHER_MEANING = r"\d\.(var|std)\(|[=(]\(\)|;"
REFUSALS = TypeError, AttributeError, RuntimeError, ValueError, IndexError
answers = 0  # how many steps PyTorch has run


class Module:
    """The functions that are given, and otherwise those of PyTorch's modules."""

    def __init__(self, modules, **functions):
        self.modules = modules
        vars(self).update(functions)

    def __getattr__(self, name):
        return next(getattr(m, name) for m in (*self.modules, torch.Tensor) if hasattr(m, name))


def extreme(f):
    return lambda x, axis=None, keepdims=False: f(x, () if axis is None else axis, keepdims)


def spread(f):
    return lambda x, axis=None, ddof=0, keepdims=False: f(
        x, axis, correction=ddof, keepdim=keepdims
    )


def of_two(f):
    return lambda x, y: f(*(torch.as_tensor(v, dtype=torch.float64) for v in (x, y)))


def loss(f):
    return lambda x, y, reduction="mean", **more: f(x, y, reduction=reduction, **more)


LOSSES = "mse_loss", "l1_loss", "huber_loss", "cross_entropy", "binary_cross_entropy_with_logits"
WORLD = {
    "low": torch.float64,
    "np": Module(
        [torch],
        max=extreme(torch.amax),
        min=extreme(torch.amin),
        var=spread(torch.var),
        std=spread(torch.std),
        maximum=of_two(torch.maximum),
        minimum=of_two(torch.minimum),
        power=of_two(torch.pow),
        cumsum=lambda x, axis: torch.cumsum(torch.atleast_1d(x), axis),
        rint=torch.round,
        split=torch.tensor_split,
        expand_dims=torch.unsqueeze,
        transpose=torch.permute,
        repeat=torch.repeat_interleave,
    ),
    "F": Module(
        [functional, torch.special],
        dropout=None,
        sigmoid=torch.sigmoid,
        softmax=lambda x, axis: torch.softmax(x, axis),
        **{name: loss(getattr(functional, name)) for name in LOSSES},
    ),
}


def step(name, text, inputs, weights):
    """The value of a step, and its derivatives by its inputs {name: array}, weighted. None if
    PyTorch has no such step.
    """
    global answers
    leaves = {n: torch.tensor(np.array(x)) for n, x in inputs.items()}
    names = {n: x.requires_grad_() if x.dtype.is_floating_point else x for n, x in leaves.items()}
    if re.search(OTHER_MEANING, text):
        return None
    try:
        exec(f"{name} = {text}", WORLD, names)
        value = names[name]
        if value.requires_grad:
            (value * torch.tensor(weights).reshape(value.shape)).sum().backward()
    except (*REFUSALS, StopIteration):
        return None
    answers += 1
    slopes = {n: x.grad.numpy() for n, x in leaves.items() if x.grad is not None}
    return value.detach().numpy(), slopes

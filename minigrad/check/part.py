"""What is compared: gradients of a part of a graph, and how.

A part is one node with its rules, or a whole graph with the backward pass of the engine.
"""

from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import result
from .numeric import STEP, along, not_analytic

LOOKS = 16  # times that entries are split, where there are kinks


class Settings(NamedTuple):
    """How comparisons are made."""

    rng: np.random.Generator  # draws cotangents and directions
    step: float = STEP  # of differences
    rtol: float = 0.0  # allowed beside rounding
    atol: float = 0.0
    looks: int = LOOKS


class Part:
    """A part of a recorded graph, `steps` from some tensors to `outputs`, that is compared.

    pull(outputs, cotangents, tensors) gives the gradients {order: array} that are in question.
    `gradients` are those by all steps that want one, and so they are the cotangents on the way.
    """

    def __init__(self, steps, outputs, pull, settings, cotangents=None, plain=None):
        self.steps, self.outputs, self.pull, self.settings = steps, outputs, pull, settings
        if cotangents is None:  # where a value is not finite, there is nothing to compare
            cotangents = [cotangent(settings.rng, y.shape) * np.isfinite(y.data) for y in outputs]
        self.cotangents = cotangents
        self.plain = not_analytic(steps) if plain is None else plain
        self.gradients = pull(outputs, self.cotangents, [n for n in steps if n.requires_grad])

    def again(self, change):
        """The same Part run again from the leaves on, with the data change(node, data, arguments).

        The new tensors keep their orders.
        """
        new = {}
        for node in self.steps:
            args = tuple(new.get(getattr(a, "order", None), a) for a in node.args)
            arrays = list(map(data_of, args))
            data = np.asarray(node.op.forward(*arrays)) if args else node.data
            tensor = result(node.op, args, change(node, data, arrays), node.flags)
            tensor.order = node.order
            new[node.order] = tensor
        outputs = [new[y.order] for y in self.outputs]
        settings, cotangents, plain = self.settings, self.cotangents, self.plain
        return Part([*new.values()], outputs, self.pull, settings, cotangents, plain)

    def walk(self, directions):
        return along(self.steps, directions, self.settings.step, self.plain)

    def terms(self, walk):
        """Cotangent times derivative for each entry of the outputs: their sum is the derivative."""
        terms = []
        for y, u in zip(self.outputs, self.cotangents):
            terms.append((u * walk.tangents.get(y.order, np.zeros(y.shape)))[u != 0])
        return np.concatenate(terms, axis=None)


def cotangent(rng, shape):
    """A random cotangent: no entry is near 0, where rounding hides its part."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)

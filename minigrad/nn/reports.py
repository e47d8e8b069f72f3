"""Tables of the layers of a model, and of the zeros in its parameters."""

from collections import Counter, namedtuple
from functools import partial

import numpy as np

from ..array import as_list, data_of
from ..engine import Tensor
from ..graph import nodes
from ..modes import Block, recording
from ..names import split_scope
from ..noise import frozen_noise
from ..tables import Table
from .module import Module

__all__ = ["sparsity", "summary"]


# The ops of layers that add up products. All other ops of layers cost little.
PRODUCTS = {"matmul", "linear", "einsum", "convolve", "convolve_input"}


Layer = namedtuple("Layer", "name shape parameters mult_adds penalty")


class summary(Table):
    """The layers of a model, their output shapes and their costs. Printed, it is a table.

    model        a Module
    input_shape  the shape of the input without the batch, a number or a tuple
    dtype        the dtype of the input: int for a model that begins with an Embedding

    The model runs once on zeros in evaluation mode; its modes, gradients and noise stay as they
    are. Errors of the model pass through.

    layers               a Layer for each module that has parameters or products, or has no modules
                         inside. Its `name` is the path and the type of the module. `shape` is the
                         shape of the result, with None for the batch, or the type of a result that
                         is no Tensor. `parameters` is a number of entries, `mult_adds` the number
                         of products for one sample
    parameters, trained  how many entries the parameters have, and how many of these are trained
    mult_adds            the sum over all layers, for one sample
    memory               the bytes of the "parameters", and of the "results" that a graph keeps for
                         backward, for one sample in evaluation mode
    """

    right = 2, 3

    def __init__(self, model, input_shape, dtype=np.float32):
        shapes, made = {}, []  # module -> the shape of its result, or its type; all results

        def noted(module, forward, *args, **kwargs):
            out = forward(*args, **kwargs)
            is_one = isinstance(out, Tensor)
            shapes[module] = (None, *out.shape[1:]) if is_one else type(out).__name__
            made.extend(x for x in as_list(out) if isinstance(x, Tensor))
            return out

        samples = 2  # a batch norm may need two samples
        with model.put_back(), Recorded(), frozen_noise():
            for module in model.eval().modules():
                module.forward = partial(noted, module, module.forward)
            shape = samples, *np.atleast_1d(input_shape).tolist()
            model(Tensor(np.zeros(shape, dtype), name="x"))  # with a name, all results are recorded
        results = [node for node in nodes(made) if node.args]
        products = Counter()
        for node in results:
            if modules := split_scope(node.scope)[0]:
                products[modules[-1][1]] += _products(node) // samples
        self.layers = []
        for name, module in model.named_modules():
            count = sum({id(p): p.size for _, p in module.own_parameters()}.values())
            if count or products[module] or not [*module.children()]:
                penalties = (module.weight_penalty, ""), (module.bias_penalty, " on the bias")
                penalty = ", ".join(f"{p}{where}" for p, where in penalties if p)
                kind, shape = type(module).__name__, str(shapes.get(module, "not called"))
                label = f"{name} ({kind})" if name else kind
                self.layers.append(Layer(label, shape, count, products[module], penalty))
        parameters = list(model.parameters())
        self.parameters = sum(p.size for p in parameters)
        self.trained = sum(p.size for p in parameters if p.requires_grad)
        self.mult_adds = sum(layer.mult_adds for layer in self.layers)
        arrays = (node.data if node.data.base is None else node.data.base for node in results)
        kept = sum({id(array): array.nbytes for array in arrays}.values()) // samples
        self.memory = {"parameters": sum(p.data.nbytes for p in parameters), "results": kept}

    def lines(self):
        """The rows of the table, tuples of strings. The first one is its head."""
        numbers = ((*row[:2], f"{row[2]:,}", f"{row[3]:,}", row[4]) for row in self.layers)
        return [("layer", "output shape", "parameters", "mult-adds", "penalty"), *numbers]

    def notes(self):
        """The lines of text below the table."""
        sizes = {name: f"{size / 1000:,.1f} kB" for name, size in self.memory.items()}
        counts = f"{self.parameters:,} parameters ({sizes['parameters']})"
        yield f"{counts}, {self.trained:,} of them trained"
        yield f"one sample: {self.mult_adds:,} mult-adds, {sizes['results']} kept for backward"


class Recorded(Block):
    """Inside this block results are recorded, also inside no_grad."""

    mode, value = recording, True


def _products(node):
    """How many products a result adds up. With operands of ones, this is the sum of the result."""
    if node.op.name not in PRODUCTS:
        return 0
    arguments = []
    for name, rule, a in zip(node.op.names, node.op.rules, node.args):
        ones = np.ones_like(data_of(a)) if rule else a
        arguments.append(None if name == "bias" else ones)
    return int(np.sum(node.op.forward(*arguments), dtype=float))


class sparsity(Table):
    """The numbers of exact zeros and of small entries in each parameter. Printed, it is a table.

    model  a module, or {name: Tensor}
    near   entries with a smaller magnitude count as small

    entries, zeros, small  {name: count}; `small` counts entries that are not 0, but below `near`

    SGD and Adam with L1 penalties give small entries, but no exact zeros. Raises TypeError for
    anything but a module or a dict.
    """

    right = 1, 2, 3

    def __init__(self, model, near=1e-3):
        if not isinstance(model, (Module, dict)):
            raise TypeError(f"sparsity: a module or {{name: Tensor}}, not {model!r:.60}.")
        named = model.items() if isinstance(model, dict) else model.named_parameters()
        arrays = {name: np.abs(p.data) for name, p in named}
        self.near = near
        self.entries = {name: a.size for name, a in arrays.items()}
        self.zeros = {name: int(np.sum(a == 0)) for name, a in arrays.items()}
        self.small = {name: int(np.sum((a > 0) & (a < near))) for name, a in arrays.items()}

    def lines(self):
        """The rows of the table, tuples of strings. The first one is its head."""
        lines = [("parameter", "entries", "exact zeros", f"below {self.near:g}")]
        counts = self.entries, self.zeros, self.small
        sums = [("all", *(sum(count.values()) for count in counts))]
        for name, n, *parts in [(name, *(c[name] for c in counts)) for name in self.entries] + sums:
            shares = [f"{part:,} ({part / n:.0%})" if n else "0" for part in parts]
            lines.append((name, f"{n:,}", *shares))
        return lines

    def notes(self):
        """The lines of text below the table."""
        zeros, small = sum(self.zeros.values()), sum(self.small.values())
        remedy = " Subgradient steps do not reach 0; use optim.ProximalSGD."
        told = f"{zeros:,} exact zeros, {small:,} more below {self.near:g}."
        yield told + remedy * bool(small and not zeros)

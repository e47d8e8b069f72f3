"""How far rounding may set apart two derivatives that are both right.

Both are sums of many terms, and the terms may cancel: then rounding is all that is left. At every
node, cotangent times tangent, summed over entries with signs, is the derivative itself. Summed
without signs it is the size of what was added up there. Where an op loses digits inside, as in
1 - tanh(x)^2 and x - mean, moving every number by one rounding, one way and the other way, shows
what is lost.
"""

import numpy as np

from ..array import data_of
from ..engine import Tensor, constant, result
from .numeric import H, Part

EPS = 2.0**-52  # of float64
ROUNDINGS = 64  # allowed at each node; right graphs were seen to need 20 at most
FINEST = 2.0**-1074 / H  # of what an imaginary part over H is a multiple
HASHES = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # odd, of no pattern


def products(gradients, tangents):
    """Gradient times tangent, for each tensor that has both. 0 times infinity is 0 here."""
    for order in tangents.keys() & gradients.keys():
        gradient, tangent = gradients[order], tangents[order]
        yield np.where((gradient == 0) | (tangent == 0), 0, gradient * tangent)


def without_sign(gradients, tangents):
    return sum(np.sum(abs(product)) for product in products(gradients, tangents))


def of_sums(part, walk):
    """What rounding may make of the sums on the way of a walk."""
    added_up = without_sign(part.gradients, walk.tangents)
    finest = {order: np.full(np.shape(t), FINEST) for order, t in walk.tangents.items()}
    doubts = without_sign(part.gradients, walk.doubts) + without_sign(part.gradients, finest)
    return ROUNDINGS * EPS * added_up + doubts


def inside_ops(part, directions, walk):
    """What rounding inside the ops may do.

    A number beside a larger one loses digits to it: a rounding of all that meets at a node. And
    when every number moves by a rounding, both sides move.
    """
    norm = np.linalg.norm
    beside = [
        norm(np.ravel(part.gradients[node.order])) * norm(np.ravel(walk.tangents[node.order]))
        for node in part.steps
        if node.args and node.order in walk.tangents.keys() & part.gradients.keys()
    ]
    changes = [_change(part, directions, seed) for seed in HASHES]
    changes = [change for change in changes if np.isfinite(change)]
    return ROUNDINGS * (EPS * max(beside, default=0.0) + max(changes, default=0.0))


def _change(part, directions, seed):
    """By how much the terms of both sides differ when every number moves one way, and the other."""
    gradients, terms = [], []
    for way in (1, -1):
        moved = shaken(part.steps, seed, way)
        outputs = [moved[y.order] for y in part.outputs]
        there = Part([*moved.values()], outputs, part.cotangents, part.pull, part.step)
        walk = there.walk({moved[order].order: v for order, v in directions.items()})
        terms.append(there.terms(walk))
        gradients.append({order: there.gradients[moved[order].order] for order in directions})
    up, down = gradients
    rules = without_sign({order: up[order] - down[order] for order in up}, directions)
    return rules + np.sum(abs(np.subtract(*terms)))


def shaken(steps, seed, way):
    """The graph run again, every number moved by a rounding, one `way` (1) or the other (-1).

    Returns {order: new Tensor}. By what the two ways differ, rounding may change a result.
    """
    moved = {}
    for node in steps:
        if node.args:
            args = tuple(moved.get(a.order, a) if isinstance(a, Tensor) else a for a in node.args)
            arrays = list(map(data_of, args))
            data = np.asarray(node.op.forward(*arrays))
            given = np.concatenate([a for a in arrays if isinstance(a, np.ndarray)], axis=None)
            passed_on = np.isin(data, given)  # as by max, whose rule asks for the same number
            data = np.where(passed_on, data, _moved(data, seed, way))
            moved[node.order] = result(node.op, args, data, node.flags)
        else:
            moved[node.order] = leaf = constant(_moved(node.data, seed, way))
            leaf.requires_grad = node.requires_grad and node.dtype.kind == "f"
    return moved


def _moved(data, seed, way):
    """Every number one rounding up or down, as its own bits say: so equal numbers stay equal."""
    if data.dtype != np.float64:
        return data
    bits = np.ascontiguousarray(abs(data)).view(np.uint64)
    up = (bits * np.uint64(seed)) >> np.uint64(63)
    return data * (1 + way * EPS * (1 - 2.0 * up.reshape(data.shape)))

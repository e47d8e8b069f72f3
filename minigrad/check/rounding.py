"""How far rounding may set apart two derivatives that are both right.

Both are sums of many terms, and the terms may cancel: then rounding is all that is left. At every
node the derivative is a sum of products, cotangent times tangent. What rounding may do there grows
with the lengths of the two, however much of their product cancels. Where an op loses digits inside,
as in 1 - tanh(x)^2 and x - mean, the loss is measured: every number moves by one rounding, one way
and the other way, and both sides are computed again.
"""

import numpy as np

from ..array import data_of
from ..engine import constant, result
from .numeric import H

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


def lost(part, directions, walk):
    """How far rounding may set apart the two derivatives of a Part along `directions`."""
    finest, sums = 0.0, []
    for node in part.steps:
        if node.order in walk.tangents.keys() & part.gradients.keys():
            gradient, tangent = part.gradients[node.order], walk.tangents[node.order]
            finest += FINEST * np.sum(abs(gradient))
            if node.args:
                sums.append(EPS * _length(gradient) * _length(tangent))
    changes = [_change(part, directions, seed) for seed in HASHES]
    return ROUNDINGS * (_most(sums) + _most(changes)) + finest


def _most(numbers):
    return max(filter(np.isfinite, numbers), default=0.0)


def _length(array):
    return np.linalg.norm(np.ravel(array))


def _change(part, directions, seed):
    up, down = (part.moved(shaken(part.steps, seed, way)) for way in (1, -1))
    rules = {order: up.gradients[order] - down.gradients[order] for order in directions}
    forwards = up.terms(up.walk(directions)) - down.terms(down.walk(directions))
    return without_sign(rules, directions) + np.sum(abs(forwards))


def shaken(steps, seed, way):
    """{order: the same tensor, but every number is moved by a rounding}, run from the leaves on.

    `way` is 1 or -1. The moved tensors keep the orders of `steps`.
    """
    moved = {}
    for node in steps:
        args = tuple(moved.get(getattr(a, "order", None), a) for a in node.args)
        if args:
            arrays = list(map(data_of, args))
            data = np.asarray(node.op.forward(*arrays))
            given = np.concatenate([a for a in arrays if isinstance(a, np.ndarray)], axis=None)
            passed_on = np.isin(data, given)  # as by max, whose rule asks for the same number
            data = np.where(passed_on, data, _moved(data, seed, way))
            new = result(node.op, args, data, node.flags)
        else:
            new = constant(_moved(node.data, seed, way))
            new.flags = node.flags
        new.order = node.order
        moved[node.order] = new
    return moved


def _moved(data, seed, way):
    """Every number one rounding up or down, as its own bits say: so equal numbers stay equal."""
    if data.dtype != np.float64:
        return data
    bits = np.ascontiguousarray(abs(data)).view(np.uint64)
    up = (bits * np.uint64(seed)) >> np.uint64(63)
    return data * (1 + way * EPS * (1 - 2.0 * up.reshape(data.shape)))

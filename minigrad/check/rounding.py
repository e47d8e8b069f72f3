"""How far rounding may set apart two derivatives that are both right.

Both are sums of many terms, and the terms may cancel: then rounding is all that is left. At every
node the derivative is a sum of products, cotangent times tangent. What rounding may do there grows
with the lengths of the two, however much of their product cancels. Where an op loses digits inside,
as in 1 - tanh(x)^2 and x - mean, the loss is measured: every number moves by one rounding, one way
and the other way, and both sides are computed again.
"""

import numpy as np

from .numeric import H

EPS = 2.0**-52  # of float64
ROUNDINGS = 64  # allowed at each node; right graphs were seen to need 20 at most
FINEST = 2.0**-1074 / H  # of what an imaginary part over H is a multiple
HASH = 0x9E3779B97F4A7C15  # odd, of no pattern


def products(gradients, tangents):
    """Gradient times tangent, for each tensor that has both. 0 times infinity is 0 here."""
    for order in tangents.keys() & gradients.keys():
        gradient, tangent = gradients[order], tangents[order]
        yield np.where((gradient == 0) | (tangent == 0), 0, gradient * tangent)


def without_sign(gradients, tangents):
    return sum(np.sum(abs(product)) for product in products(gradients, tangents))


def of_sums(part, directions, walk):
    """What rounding may make of the sums at the nodes of a Part."""
    finest, at_nodes = 0.0, []
    for node in part.steps:
        if node.order in walk.tangents.keys() & part.gradients.keys():
            gradient, tangent = part.gradients[node.order], walk.tangents[node.order]
            finest += FINEST * np.sum(abs(gradient))
            if node.args:
                lengths = [np.linalg.norm(np.ravel(a)) for a in (gradient, tangent)]
                at_nodes.append(EPS * np.prod(lengths))
    return ROUNDINGS * max(filter(np.isfinite, at_nodes), default=0.0) + finest


def inside_ops(part, directions, walk):
    """What rounding inside the ops may do: how far both sides move where all numbers do."""
    up, down = part.again(moved(1)), part.again(moved(-1))
    rules = {order: up.gradients[order] - down.gradients[order] for order in directions}
    forwards = up.terms(up.walk(directions)) - down.terms(down.walk(directions))
    inside = without_sign(rules, directions) + np.sum(abs(forwards))
    return ROUNDINGS * inside if np.isfinite(inside) else 0.0


def at_most(part, walk):
    """More than what rounding does anywhere in a Part.

    Of a sum that cancels inside an op, as the mean of equal numbers minus each, only this is known.
    """
    gradients, tangents = (
        max(map(np.linalg.norm, map(np.ravel, arrays.values())), default=0.0)
        for arrays in (part.gradients, walk.tangents)
    )
    return ROUNDINGS * EPS * gradients * tangents


def moved(way):
    """A change of numbers for `Part.again`: each moves by one rounding.

    `way` is 1 or -1. Its own bits say whether a number moves up or down: so equal numbers stay
    equal. A number that an op passes on, as max does, has moved already.
    """

    def change(node, data, arguments):
        if data.dtype != np.float64:
            return data
        given = [np.empty(0), *(a for a in arguments if isinstance(a, np.ndarray))]
        bits = np.ascontiguousarray(abs(data)).view(np.uint64).reshape(data.shape)
        up = (bits * np.uint64(HASH)) >> np.uint64(63)
        passed_on = np.isin(data, np.concatenate(given, axis=None))
        return np.where(passed_on, data, data * (1 + way * EPS * (1 - 2.0 * up)))

    return change

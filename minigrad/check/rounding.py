"""How far rounding may set apart two derivatives that are both right.

Both are sums of many terms, and the terms may cancel: then rounding is all that is left. At every
node the derivative is a sum of products, cotangent times tangent. What rounding may do there grows
with the lengths of the two, however much of their product cancels. Where an op loses digits inside,
as in 1 - tanh(x)^2 and x - mean, the loss is measured: every number moves by one rounding, and both
sides are computed again.
"""

import numpy as np

from .numeric import largest

EPS = 2.0**-52  # of float64
ROUNDINGS = 64  # allowed at each node; right graphs were seen to need 20 at most
HASH = 0x9E3779B97F4A7C15  # odd, of no pattern


def products(gradients, tangents):
    """Gradient times tangent, for each tensor that has both. 0 times infinity is 0 here."""
    for order in tangents.keys() & gradients.keys():
        gradient, tangent = gradients[order], tangents[order]
        yield np.where((gradient == 0) | (tangent == 0), 0, gradient * tangent)


def without_sign(gradients, tangents):
    return sum(np.sum(abs(product)) for product in products(gradients, tangents))


def of_sums(part, walk):
    """What rounding may make of the sums at the nodes of a Part."""
    finest, at_nodes = 0.0, [0.0]
    for node in part.steps:
        if node.order in walk.tangents.keys() & part.gradients.keys():
            gradient, tangent = part.gradients[node.order], walk.tangents[node.order]
            finest += np.sum(walk.grains.get(node.order, 0.0) * abs(gradient))
            if node.args:
                at_nodes.append(length(gradient) * length(tangent))
    return ROUNDINGS * EPS * max(filter(np.isfinite, at_nodes)) + finest


def length(array):
    size = largest(array)
    return size * np.sqrt(np.sum(np.square(array / (size or 1.0))))


def inside_ops(part, directions):
    """What rounding inside the ops may do: how far both sides move where all numbers do.

    From one way to the other; where one way leads out of the domain, to the other from where it is.
    """
    rules, forwards = {}, {}
    for ways in ((1, -1), (0, 1), (0, -1)):
        for way in set(ways) - rules.keys():
            there = part.again(moved(way))
            aside = {order: nudged(v, way) for order, v in directions.items()}
            rules[way], forwards[way] = there.gradients, there.terms(there.walk(aside))
        a, b = ways
        apart = {order: rules[a][order] - rules[b][order] for order in directions}
        inside = without_sign(apart, directions) + np.sum(abs(forwards[a] - forwards[b]))
        if np.isfinite(inside):
            return ROUNDINGS * inside
    return 0.0


def moved(way):
    """A change of numbers for `Part.again`. Those that an op passes on, as max does, have moved."""

    def change(data, arguments):
        given = [np.empty(0), *(a for a in arguments if isinstance(a, np.ndarray))]
        if way == 0 or data.dtype != np.float64:
            return nudged(data, way)
        passed_on = np.isin(data, np.concatenate(given, axis=None))
        return np.where(passed_on, data, nudged(data, way))

    return change


def nudged(data, way):
    """The data, each number moved by one rounding for the ways 1 and -1; 0 gives a copy.

    Its own bits say which way is up. So equal numbers stay equal.
    """
    if way == 0 or data.dtype != np.float64:
        return np.array(data)
    bits = np.atleast_1d(np.ascontiguousarray(abs(data))).view(np.uint64).reshape(data.shape)
    up = (bits * np.uint64(HASH)) >> np.uint64(63)
    return data * (1 + way * EPS * (1 - 2.0 * up))


def at_most(part, walk):
    """More than what rounding does anywhere in a Part: of a sum within an op only this is known."""
    gradients, tangents = (map(length, d.values()) for d in (part.gradients, walk.tangents))
    return ROUNDINGS * EPS * max(gradients, default=0.0) * max(tangents, default=0.0)

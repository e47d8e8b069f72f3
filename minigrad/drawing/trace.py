"""The backward pass step by step: the cotangent of each op, and the cotangents it sends on."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..engine import Tensor, backward_pass, seeds_of, unbroadcast, wants_gradient
from ..graph import program


class Sent(NamedTuple):
    """The cotangent that an op sends to one of its arguments.

    input      the argument, a Tensor
    argument   its position among the arguments
    returned   the shape that the rule returned, before broadcasting was undone
    cotangent  the cotangent, of the shape of `input`
    count, of  this is contribution `count` of `of` contributions that `input` gets
    total      the sum of the contributions so far; at the end, the `.grad` of a leaf
    """

    input: Tensor
    argument: int
    returned: tuple
    cotangent: np.ndarray
    count: int
    of: int
    total: np.ndarray


def trace(root, gradient=None):
    """The backward pass from `root` op by op, newest first.

    Yields (node, g, sent): a result, its complete cotangent, and a list with a Sent for each
    argument that gets a cotangent.

    The numbers are the same bits as in `root.backward(gradient)`. The graph, its noise, every
    `.grad` and all generators stay as they are.

    Raises TypeError if `root` is not a Tensor, ValueError if `gradient` has another shape,
    RuntimeError if the graph was freed, if nothing requires a gradient, or if `root` has several
    entries but no `gradient` is given.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> for node, g, sent in trace(x * x + x):
    ...     for s in sent:
    ...         print(node.op.name, g, s.cotangent, f"{s.count} of {s.of}, {s.total} so far")
    add 1.0 1.0 1 of 1, 1.0 so far
    add 1.0 1.0 1 of 3, 1.0 so far
    multiply 1.0 3.0 2 of 3, 4.0 so far
    multiply 1.0 3.0 3 of 3, 7.0 so far
    """
    nodes = [node for node in program("trace", root) if node.requires_grad]
    seeds = seeds_of("trace", [root], [gradient], create_graph=False)
    orders = {node.order for node in nodes}
    whole = {x.order: g for x, g, _ in backward_pass(seeds, retain_graph=True, wanted=orders)}
    visited = [node for node in reversed(nodes) if node.args and node.order in whole]
    of = Counter(x.order for node in visited for _, x in _receivers(node))
    count = Counter()
    totals = {}
    for node in visited:
        g, sent = whole[node.order], []
        for (i, x), (_, cotangent) in zip(_receivers(node), node.op.vjp(g, node)):
            returned = np.shape(cotangent)
            if getattr(cotangent, "shape", None) != x.shape:
                cotangent = unbroadcast(cotangent, x, node)
            count[x.order] += 1
            total = totals[x.order] + cotangent if x.order in totals else cotangent
            if count[x.order] == of[x.order]:
                total = np.asarray(whole[x.order], x.dtype if x.is_leaf else None)
            totals[x.order] = total
            sent.append(Sent(x, i, returned, cotangent, count[x.order], of[x.order], total))
        yield node, g, sent


def _receivers(node):
    """(position, Tensor) of each argument that the rules of the node send a cotangent to."""
    pairs = enumerate(zip(node.args, node.op.rules))
    return [(i, x) for i, (x, rule) in pairs if rule and wants_gradient(x)]

"""The backward pass as it happens: what arrives at each op, what its rules send on, and what has come together there."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..engine import Tensor, _pull_back, _seeds, _sequence, _unbroadcast
from ..graph import program


class Sent(NamedTuple):
    """What an op sends to one of its arguments.

    returned   the shape of what the rule returned; the cotangent has the shape of `input`: broadcasting is undone
    count, of  this is contribution number `count` of all that `input` gets in this backward pass
    total      the sum so far. In a leaf's last contribution it is the leaf's `.grad`
    """

    input: Tensor
    argument: int
    returned: tuple
    cotangent: np.ndarray
    count: int
    of: int
    total: np.ndarray


class Frame(NamedTuple):
    """A step of the backward pass: `node` got the whole cotangent `g`, and its rules send some of it on."""

    node: Tensor
    g: np.ndarray
    sent: list


def trace(root, gradient=None):
    """The backward pass from `root`, a Tensor or a list of them, in the engine's order, newest op first: a Frame for each op.

    It computes what `root.backward(gradient)` computes, bit for bit, on arrays of its own: no `.grad`, no generator and
    no graph is touched, and noise is as it was drawn.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> for node, g, sent in trace(x * x + x):
    ...     print(node.op.name, g, [(float(s.cotangent), f"{s.count} of {s.of}", float(s.total)) for s in sent])
    add 1.0 [(1.0, '1 of 1', 1.0), (1.0, '1 of 3', 1.0)]
    multiply 1.0 [(3.0, '2 of 3', 4.0), (3.0, '3 of 3', 7.0)]
    """
    roots = _sequence(root)
    steps = [node for node in program("trace", *roots) if node.requires_grad]
    seeds = _seeds("trace", roots, [gradient] * len(roots), create_graph=False)
    whole = {
        x.order: g
        for x, g, _ in _pull_back(
            seeds, create_graph=False, retain_graph=True, wanted={node.order for node in steps}
        )
    }
    frames = [node for node in reversed(steps) if node.args and node.order in whole]
    of, count = Counter(x.order for node in frames for _, x in _receivers(node)), Counter()
    totals = {r.order: seed for r, seed in seeds}
    for node in frames:
        g, sent = whole[node.order], []
        for (i, x), (_, cotangent) in zip(_receivers(node), node.op.pull(g, node)):
            returned = np.shape(cotangent)
            if returned != x.shape or not hasattr(cotangent, "shape"):
                cotangent = _unbroadcast(cotangent, x, node.op, node.args)
            count[x.order] += 1
            if count[x.order] == of[x.order]:
                totals[x.order] = np.asarray(whole[x.order], x.dtype if x.is_leaf else None)
            else:
                totals[x.order] = totals[x.order] + cotangent if x.order in totals else cotangent
            sent.append(
                Sent(x, i, returned, cotangent, count[x.order], of[x.order], totals[x.order])
            )
        yield Frame(node, g, sent)


def _receivers(node):
    """(place, tensor) of the arguments that the node's rules send something to."""
    return [
        (i, x)
        for i, x in enumerate(node.args)
        if isinstance(x, Tensor) and x.requires_grad and node.op.rule(i)
    ]

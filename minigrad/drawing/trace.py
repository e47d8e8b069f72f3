"""The backward pass as it happens: what arrives at each op, what its rules send on, and what has come together there."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..engine import Tensor, _is_fresh, _refuse_changed, _seed, _sequence, _unbroadcast
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
    for r in roots:
        if not r.requires_grad:
            raise RuntimeError("trace: this tensor does not depend on any leaf with requires_grad=True (or was made under no_grad()).")
        if gradient is None and r.size != 1:
            raise RuntimeError(f"trace: the tensor has shape {r.shape}, not one entry. Trace its .mean() or .sum(), or pass gradient=.")
    arrived = {r.order: (_seed(r, gradient, False), False) for r in roots}  # order -> (the sum so far, whether it is added to in place)
    reached, of = [], Counter()  # the ops that a cotangent comes to, newest first; order -> how many come
    for node in reversed(program("trace", *roots)):
        if node.args and (node.order in arrived or of[node.order]):
            reached.append(node)
            of.update(x.order for _, x in _receivers(node))
    count = Counter()
    for node in reached:
        g, _ = arrived.pop(node.order)
        _refuse_changed(node)
        sent = []
        for (i, x), (_, cotangent) in zip(_receivers(node), node.op.pull(g, node)):
            returned = np.shape(cotangent)
            if returned != x.shape or not hasattr(cotangent, "shape"):
                cotangent = _unbroadcast(cotangent, x, node.op, node.args)
            if x.order not in arrived:
                total, in_place = cotangent, x.is_leaf and _is_fresh(cotangent, g, node.args)
            else:
                total, in_place = arrived[x.order]
                if in_place:  # as in the engine, where this decides the dtype
                    total = total.copy()
                    total += cotangent
                else:
                    total, in_place = total + cotangent, True
            arrived[x.order] = total, in_place
            count[x.order] += 1
            if x.is_leaf and count[x.order] == of[x.order]:
                total = total.astype(x.dtype, copy=False)
            sent.append(Sent(x, i, returned, cotangent, count[x.order], of[x.order], total))
        yield Frame(node, g, sent)


def _receivers(node):
    """(place, tensor) of the arguments that the node's rules send something to."""
    return [(i, x) for i, x in enumerate(node.args) if isinstance(x, Tensor) and x.requires_grad and node.op.rule(i)]

"""The ledger: what a loss is a sum of. Its data loss and each of its penalties, with value, share and pull on the parameters."""

import math
import warnings
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from .engine import Tensor, data_of, grad
from .graph import leaf_names, nodes, place, program
from .noise import Noise
from .ops.penalties import PARTS, parts
from .tables import ruled


class Summand(NamedTuple):
    """One part of a sum: factor * node, or without a node the number `factor`. `times`: the ways by which the sum reaches it."""

    node: Tensor
    factor: float
    times: int

    value = property(
        lambda self: self.factor * (1.0 if self.node is None else float(self.node.data.item()))
    )


def summands(loss):
    """The parts that a loss of one entry is the sum of, oldest first, numbers last: it goes through sums, and multiples by numbers.

    A composition such as cross_entropy is one part. Pictures, `terms` and proximal optimizers all read a loss with this.
    """
    heap, reached, number, found = [(loss.order, loss)], {loss.order: (1.0, 1)}, 0.0, []
    while heap:
        order, node = heappop(heap)  # the newest: whatever uses it has been seen
        factor, times = reached.pop(order)
        inner = _multiples(node)
        if inner is None:
            found.append(Summand(node, factor, times))
            continue
        for x, scale in inner:
            if not isinstance(x, Tensor):
                number += factor * scale * _number(x)
                continue
            if x.order not in reached:
                heappush(heap, (x.order, x))
            before = reached.get(x.order, (0.0, 0))
            reached[x.order] = before[0] + scale * factor, before[1] + times
    return found[::-1] + [Summand(None, number, 1)] * (number != 0)


SIGNS = {"add": (1.0, 1.0), "subtract": (1.0, -1.0), "negative": (-1.0,), "positive": (1.0,)}


def _multiples(node):
    """The pairs (x, factor) that a result is the sum of factor * x of, or None where it is no such sum."""
    if not node.args or node.size != 1 or place(node.origin)[1]:
        return None
    name, args = node.op.name, node.args
    if name in SIGNS:
        return list(zip(args, SIGNS[name]))
    if name == "multiply" and any(map(_is_number, args)):
        x, scale = args if _is_number(args[1]) else args[::-1]
        return [(x, _number(scale))]
    if name == "divide" and _is_number(args[1]) and _number(args[1]):
        return [(args[0], 1 / _number(args[1]))]
    return None


def _is_number(x):
    return not isinstance(x, Tensor) or not x.track


def _number(x):
    return float(np.asarray(data_of(x)).item())


@dataclass(eq=False)
class Term:
    """A term of a loss.

    name        cross_entropy, or l2_penalty(c=0.001), with the factor that the loss gives it
    value       what it adds to the loss
    share       value / loss
    gradient    the Euclidean norm of its gradient by all parameters
    parameters  the names of the parameters that it depends on
    """

    name: str
    value: float
    share: float
    gradient: float
    parameters: tuple


class Ledger(list):
    """The Terms of a loss; printed, a table."""

    def __str__(self):
        rows = [("term", "value", "share", "|gradient|", "by")]
        rows += [
            (t.name, f"{t.value:.6g}", f"{t.share:.1%}", f"{t.gradient:.3g}", _listed(t.parameters))
            for t in self
        ]
        rows.append(("loss", f"{sum(t.value for t in self):.6g}", "", "", ""))
        return ruled(rows, right=(1, 2, 3), footer=1)

    __repr__ = __str__


def _listed(names, most=4):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def terms(loss, optimizer=None):
    """What a recorded loss is a sum of: its data loss and each of its penalties, as a Ledger. Use it before backward.

    The values add up to the loss. A UserWarning names a parameter that is penalised twice in the same way, and, given the
    optimizer (or several), one that is under an L2 penalty and under its weight_decay too. Nothing is changed.

    >>> import minigrad.functional as F
    >>> w = Tensor([3.0, 4.0], requires_grad=True, name="w")
    >>> terms(F.mse_loss(w, np.zeros(2)) + F.l1_penalty(w, c=0.1))
    term               value  share  |gradient|  by
    -----------------------------------------------
    mse_loss            12.5  94.7%           5  w
    l1_penalty(c=0.1)    0.7   5.3%       0.141  w
    -----------------------------------------------
    loss                13.2
    """
    steps = program("terms", loss)
    if loss.size != 1:
        raise ValueError(
            f"terms: a loss has one entry, not shape {loss.shape}. Call .mean() or .sum()."
        )
    names, found = leaf_names(steps), summands(loss)
    for warning in [*_twice(found, names), *_decayed_twice(found, names, optimizer)]:
        warnings.warn(warning, stacklevel=2)
    return Ledger(_term(part, loss, names) for part in found)


def _term(part, loss, names):
    node, total = part.node, float(loss.data.item())
    leaves = [n for n in nodes(node) if n.order in names] if node is not None else []
    norm = 0.0
    if leaves:
        gradients = grad(
            node, leaves, np.full(node.shape, part.factor), retain_graph=True, allow_unused=True
        )
        norm = math.sqrt(
            sum(
                float(np.sum(np.square(g.data, dtype=np.float64)))
                for g in gradients
                if g is not None
            )
        )
    share = part.value / total if total else math.nan
    return Term(name_of(part), part.value, share, norm, tuple(names[leaf.order] for leaf in leaves))


def name_of(part):
    """The name of a Summand: of the composition or the op that made it, a penalty's with its coefficients, times the factor."""
    node = part.node
    if node is None:
        return "constant"
    if node.is_leaf:
        name = node.name or (
            "noise" if isinstance(node, Noise) else "leaf" if node.requires_grad else "data"
        )
    elif call := place(node.origin)[1]:
        name = call[1].name
    elif node.op.name in PARTS:
        name = f"{node.op.name}({', '.join(f'{n}={_setting(a)}' for n, a in zip(node.op.names[:-1], node.args))})"
    else:
        name = node.op.name
    return name if part.factor == 1 else f"{part.factor:g} * {name}"


def _placed(part, found):
    """Which term of the loss a Summand is."""
    return f"{name_of(part)} as term {[other is part for other in found].index(True) + 1}"


def _setting(x):
    return f"{x:g}" if isinstance(x, float) else f"{x.start}:" if isinstance(x, slice) else str(x)


def penalised(found):
    """(Summand, leaf, parts) for each penalty among Summands, and each parameter it is on."""
    for part in found:
        if part.node is not None and part.node.args and part.node.op.name in PARTS:
            for w in part.node.args:
                if isinstance(w, Tensor) and w.is_leaf and w.requires_grad:
                    yield part, w, parts(part.node, w)


def _twice(found, names):
    """Says which parameter has more of one kind of penalty than any single penalty gives it."""
    kinds = {}  # (parameter, "l1", "l2" or the axes of a group) -> the coefficients that meet there
    for part, leaf, coefficients in penalised(found):
        for kind, c in coefficients.items():
            if c * part.factor > 0:
                kinds.setdefault((leaf.order, kind), []).append((part, c))
    for (order, _), entries in kinds.items():
        total, largest = sum(c * part.factor for part, c in entries), max(c for _, c in entries)
        times = sum(part.times for part, _ in entries)
        if times > 1 and total > largest * (1 + 1e-9):
            places = [
                _placed(part, found) + (f", added {part.times} times" if part.times > 1 else "")
                for part, _ in entries
            ]
            yield f"{names[order]} is penalised {'twice' if times == 2 else f'{times} times'}: {' and '.join(places)}. Keep one."


def _decayed_twice(found, names, optimizers):
    """Says which parameter an optimizer decays while the loss has an L2 penalty on it."""
    for optimizer in (
        optimizers
        if isinstance(optimizers, (list, tuple))
        else [optimizers] * (optimizers is not None)
    ):
        decays = {id(p): decay for p, decay in optimizer.decays()}
        for part, leaf, coefficients in penalised(found):
            if coefficients.get("l2", 0) * part.factor > 0 and id(leaf) in decays:
                decay = f"{type(optimizer).__name__}(weight_decay={decays[id(leaf)]:g})"
                yield f"{names[leaf.order]} is decayed twice: {_placed(part, found)} of the loss and {decay}. Keep one."

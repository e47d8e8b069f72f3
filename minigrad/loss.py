"""The ledger of a loss: the terms that add up to it.

Each term has its value, its share of the loss and the norm of its gradient. Pictures, `terms` and
proximal optimizers all read a loss with `addends`.
"""

import math
import warnings
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from .array import as_list, data_of, is_recorded
from .engine import Tensor, grad
from .graph import nodes, program
from .names import holders, leaf_names, modules_of, settings, split_scope
from .noise import Noise
from .ops.penalties import norms, prox_of_sum, shrink
from .tables import Table


class Addend(NamedTuple):
    """One part of a sum: factor * node.

    times  the number of paths from the sum to the node
    """

    node: Tensor
    factor: float
    times: int = 1

    @property
    def value(self):
        """factor * node, as a number."""
        return self.factor * self.node.data.item()


def is_penalty(node):
    """Whether one op of kind "penalty" made a node."""
    return bool(node.args) and node.op.kind == "penalty"


def addends(loss):
    """The Addends of a loss of one entry, oldest first. Last comes the sum of all plain numbers.

    The walk goes through sums, differences, and products with numbers. A composition such as
    cross_entropy is one Addend.
    """
    heap, reached = [-loss.order], {loss.order: (loss, 1.0, 1)}
    number, parts = 0.0, []
    while heap:
        node, factor, times = reached.pop(-heappop(heap))  # the newest: all paths to it are known
        summands = _summands(node)
        if not summands:
            parts.append(Addend(node, factor, times))
        for i, x in summands:
            own = node.op.rules[i](factor, node.data, *map(data_of, node.args))
            own = np.asarray(own).item()
            if not isinstance(x, Tensor):
                number += own * np.asarray(x).item()
                continue
            if x.order not in reached:
                heappush(heap, -x.order)
            _, before, others = reached.get(x.order, (x, 0.0, 0))
            reached[x.order] = x, before + own, others + times
    parts.reverse()
    if number:
        parts.append(Addend(Tensor(np.float64(number), name="constant"), 1.0))
    return parts


SUMS = {"add", "subtract", "negative", "positive"}


def _summands(node):
    """The pairs (position, argument) that a node adds up, or multiplies by a number, else []."""
    if not node.args or node.size > 1 or split_scope(node.scope)[1]:
        return []
    name, pairs = node.op.name, list(enumerate(node.args))
    if name in SUMS:
        return pairs
    factors = [(i, x) for i, x in pairs if is_recorded(x)]
    is_multiple = name == "multiply" and len(factors) == 1
    is_share = name == "divide" and [i for i, _ in factors] == [0] and data_of(node.args[1]) != 0
    return factors if is_multiple or is_share else []


class Term(NamedTuple):
    """A term of a loss.

    name        cross_entropy, or l2_penalty(c=0.001), with the factor that the loss gives it
    value       the number that it adds to the loss
    share       value / loss
    gradient    the Euclidean norm of its gradient by all parameters
    parameters  the names of the parameters that it depends on
    """

    name: str
    value: float
    share: float
    gradient: float
    parameters: tuple


class Ledger(Table, list[Term]):
    """The Terms of a loss. Printed, it is a table."""

    right, sums = (1, 2, 3), 1

    def lines(self):
        rows = [("term", "value", "share", "|gradient|", "by")]
        for t in self:
            numbers = f"{t.value:.6g}", f"{t.share:.1%}", f"{t.gradient:.3g}"
            rows.append((t.name, *numbers, _listed(t.parameters)))
        return [*rows, ("loss", f"{sum(t.value for t in self):.6g}", "", "", "")]


def _listed(names):
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "")


def terms(loss: Tensor, optimizer=None) -> Ledger:
    """The terms of a recorded loss, its data loss and each of its penalties, as a Ledger.

    loss       A recorded Tensor of one entry, before backward.
    optimizer  The optimizer of its parameters, or several.

    The values add up to the loss, and nothing is changed. A UserWarning names a parameter

    - that has the same kind of penalty twice, or an L2 penalty and the optimizer's weight_decay
    - whose module declares a penalty that the loss does not contain
    - that no optimizer trains, because the parameter is newer than the optimizers

    A UserWarning also names a penalty inside another term, such as the sum of a stack.

    Raises TypeError if the loss is not a Tensor or `optimizer` not an Optimizer, ValueError if the
    loss does not have one entry, RuntimeError if its graph was freed.

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
    graph = program("terms", loss)
    if loss.size != 1:
        shape = f"a loss has one entry, not shape {loss.shape}"
        raise ValueError(f"terms: {shape}. Call .mean() or .sum().")
    names, parts = leaf_names(graph), addends(loss)
    optimizers = [] if optimizer is None else as_list(optimizer)
    if others := [o for o in optimizers if not hasattr(o, "param_groups")]:
        raise TypeError(f"terms: optimizer is a {type(others[0]).__name__}, not an Optimizer.")
    found = [*_penalised_twice(parts, names), *_decayed_twice(parts, names, optimizers)]
    found += _hidden(parts)
    for penalty, weights in left_out(graph, names).items():
        what = f"the loss does not contain the penalty {penalty} of {_listed(weights)}"
        found.append(f"{what}. Add model.penalty() to it.")
    for warning in [*found, *_untrained(graph, names, optimizers)]:
        warnings.warn(warning, stacklevel=2)
    return Ledger(_term(part, loss, names) for part in parts)


def _term(part, loss, names):
    node, total = part.node, float(loss.data.item())
    leaves = [n for n in nodes(node) if n.order in names]
    norm = 0.0
    if leaves and node.requires_grad:
        weight = np.full(node.shape, part.factor)
        gradients = grad(node, leaves, weight, retain_graph=True, allow_unused=True)
        squares = [np.sum(np.square(g.data, dtype=np.float64)) for g in gradients if g is not None]
        norm = math.sqrt(sum(map(float, squares)))
    share = part.value / total if total else math.nan
    return Term(name_of(part), part.value, share, norm, tuple(names[x.order] for x in leaves))


def name_of(part):
    """The name of an Addend: its factor, times the name of its composition, op or leaf.

    A penalty also shows its coefficients and settings.
    """
    node = part.node
    call = split_scope(node.scope)[1]
    if node.is_leaf:
        kind = "noise" if isinstance(node, Noise) else "leaf" if node.requires_grad else "data"
        name = node.name or kind
    elif call:
        name = call[1].name
    elif is_penalty(node):
        given = {n: a for n, a in settings(node).items() if a is not None}
        told = [f"{n}={a:g}" if isinstance(a, float) else f"{n}={a}" for n, a in given.items()]
        name = f"{node.op.name}({', '.join(told)})"
    else:
        name = node.op.name
    return name if part.factor == 1 else f"{part.factor:g} * {name}"


def penalised(parts):
    """(Addend, leaf, norms) for each penalty among Addends and each parameter under it.

    norms  {proximal operator: coefficient}, as in ops/penalties.py
    """
    for part in parts:
        if is_penalty(part.node):
            for w in part.node.args:
                if isinstance(w, Tensor) and w.is_leaf and w.requires_grad:
                    yield part, w, norms(part.node, w)


def _penalised_twice(parts, names):
    """Warnings: penalties of one norm on a parameter add up to more than the largest one."""
    coefficients = {}  # (order of a parameter, norm) -> the penalties and coefficients on it
    for part, leaf, weights in penalised(parts):
        for norm, c in weights.items():
            if c * part.factor > 0:
                coefficients.setdefault((leaf.order, norm), []).append((part, c))
    for (order, _), entries in coefficients.items():
        total = sum(c * part.factor for part, c in entries)
        times = sum(part.times for part, _ in entries)
        if times > 1 and total > max(c for _, c in entries) * (1 + 1e-9):
            penalties = " and ".join(name_of(part) for part, _ in entries)
            yield f"{names[order]} is penalised {times} times: {penalties}. Keep one."


def _decayed_twice(parts, names, optimizers):
    """Warnings: an optimizer decays a parameter that has an L2 penalty in the loss."""
    for optimizer in optimizers:
        for part, leaf, weights in penalised(parts):
            trained = optimizer.state.get(leaf)
            decay = trained and trained.settings.get("weight_decay")
            if decay and weights.get(shrink, 0) * part.factor > 0:
                by_optimizer = f"{type(optimizer).__name__}(weight_decay={decay:g})"
                both = f"{name_of(part)} of the loss and {by_optimizer}"
                yield f"{names[leaf.order]} is decayed twice: {both}. Keep one."


def _hidden(parts):
    """Warnings: a penalty stands inside another term, where it may count more than once."""
    terms = [part.node for part in parts if not is_penalty(part.node)]
    mixed = nodes([term for term in terms if not split_scope(term.scope)[1]])
    for name in dict.fromkeys(node.op.name for node in mixed if is_penalty(node)):
        yield f"{name} stands inside another term of the loss. Add it as a term of its own."


def left_out(graph, names):
    """{penalty: names of parameters} that modules in training declare and a graph does not contain.

    graph  the nodes of the graph
    names  the result of `leaf_names`
    """
    made = filter(is_penalty, graph)
    present = {(getattr(n.op, "family", n.op), id(w)) for n in made for w in n.args}
    missing = {}
    for module in modules_of(graph):
        for penalty, own in module.own_penalties() if module.training else ():
            lost = [w for w in own if (penalty.function.op, id(w)) not in present]
            if lost := [names[w.order] for w in lost if w.order in names]:
                missing.setdefault(penalty, []).extend(lost)
    return missing


def _untrained(graph, names, optimizers):
    """Warnings: a module in the loss has a parameter that is newer than the optimizers."""
    trained = {w.order for optimizer in optimizers for w in optimizer.state}
    is_replaced = trained - {node.order for node in graph}  # the loss no longer depends on these
    made = 0 if is_replaced else max((optimizer.made for optimizer in optimizers), default=math.inf)
    new = [order for order in holders(graph) if order > made and order not in trained]
    if left := [names[order] for order in new if order in names]:
        remedy = "Make the optimizer after the layers, or use optimizer.add_param_group"
        yield f"the loss depends on {_listed(left)}, which no optimizer trains. {remedy}."


# ------------------------------------------------------------- the smooth and the proximal part


def is_proximal(node):
    """Whether a node is a penalty that acts by its proximal operators, not by its gradient.

    l2_penalty has a gradient everywhere, so the optimizer uses that.
    """
    operators = node.op.prox.values() if is_penalty(node) else ()
    return None not in operators and any(o is not shrink for o in operators)


def split(loss, parameters, what, retain_graph=False):
    """A recorded loss as (gradients of its smooth part, proximal operators of the rest).

    Both are lists with an entry for each parameter: the gradient, an array or None; and the
    operator prox(v, t) of its penalties, or None. `what`: the caller's name.

    Raises TypeError if the loss is not a recorded Tensor of one entry; ValueError for a penalty
    that has no proximal step; RuntimeError if the loss depends on none of the parameters.
    """
    if not isinstance(loss, Tensor) or not loss.requires_grad or loss.size != 1:
        raise TypeError(
            f"{what} needs the recorded loss, a Tensor of one entry that depends on the "
            f"parameters; got {loss!r}."
        )
    parts = [p for p in addends(loss) if p.node.requires_grad]
    taken = [p for p in parts if is_proximal(p.node)]
    smooth = [p for p in parts if not is_proximal(p.node)]
    for part in taken:
        _require_proximal(part, what)
    for node in program(what, *(p.node for p in smooth)):
        if is_proximal(node):
            raise ValueError(
                f"{what}: {node.op.name} stands inside another term of the loss. "
                "A proximal step needs it as a term of its own: add it."
            )
    operators = _operators(taken, parameters)
    gradients = [None] * len(parameters)
    if smooth:
        outputs = [p.node for p in smooth]
        weights = [np.full(p.node.shape, p.factor) for p in smooth]
        gradients = grad(outputs, parameters, weights, retain_graph, allow_unused=True)
    if all(g is None and o is None for g, o in zip(gradients, operators)):
        raise RuntimeError(f"{what}: the loss does not depend on any of the parameters.")
    return [g if g is None else g.data for g in gradients], operators


def _operators(taken, parameters):
    """For each parameter the proximal operator of the sum of its penalties, or None."""
    sums = {p: {} for p in parameters}  # parameter -> {proximal operator: coefficient}
    for part, leaf, weights in penalised(taken):
        own = sums.get(leaf, {})
        for norm, c in weights.items():
            own[norm] = own.get(norm, 0.0) + part.factor * c
    return [prox_of_sum(sums[p]) if sums[p] else None for p in parameters]


def _require_proximal(part, what):
    on = [w.op.name for w in part.node.args if isinstance(w, Tensor) and not w.is_leaf]
    if on or part.factor < 0:
        wrong = f"is on the result of {on[0]}" if on else "is subtracted"
        raise ValueError(
            f"{what}: {name_of(part)} {wrong}. A proximal step needs a penalty of parameters that "
            "is added. For activations write the penalty out, c * np.sum(np.abs(h))."
        )

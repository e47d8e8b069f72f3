"""What one can do with a recorded graph: put it in order, run it again, and read what a loss is a sum of.

A graph is a program: ops, arguments and noise are all there. So it can be evaluated at other values of its leaves, with
the noise as it was or with fresh noise. Masks that were computed by comparisons (`x > 0`) are constants of the program.
"""

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import numpy as np

from .engine import Noise, Tensor, as_array, constant, data_of, grad, path, result
from .ops.penalties import PARTS, parts


def nodes(root):
    """Every Tensor that `root` (a Tensor or several) was made from, and itself, oldest first: a topological order."""
    stack = list(root) if isinstance(root, (list, tuple)) else [root]
    found = {}
    while stack:
        node = stack.pop()
        if node.order not in found:
            found[node.order] = node
            stack.extend(a for a in node.args or () if isinstance(a, Tensor))
    return [found[order] for order in sorted(found, reverse=True)]


def evaluate(steps, values, fresh_noise=False):
    """Runs the nodes `steps` (as from `nodes`) again, on arrays of any dtype that the forwards take.

    `values` maps the `order` of a node to the array it shall have instead; returned is that map for all nodes. What does
    not depend on a changed node keeps the value it has.
    """
    values = dict(values)
    for node in steps:
        if node.order in values:
            continue
        if isinstance(node, Noise) and fresh_noise:
            values[node.order] = node.draw()
        elif node.args and any(isinstance(a, Tensor) and a.order in values for a in node.args):
            values[node.order] = node.op.forward(*[values.get(a.order, a.data) if isinstance(a, Tensor) else a for a in node.args])
    return values


def depending(steps, orders):
    """Those of the results among `steps` that depend on the tensors of these orders."""
    known, found = set(orders), []
    for node in steps:
        if node.args and any(isinstance(a, Tensor) and a.order in known for a in node.args):
            known.add(node.order)
            found.append(node)
    return found


def program(root, what):
    """`nodes(root)`, refusing a graph that was freed."""
    found = nodes(root)
    if freed := [n for n in found if n.args is None]:
        raise RuntimeError(f"{what}: the graph was freed by backward() (at {freed[0].op.name}). Do it before, or use backward(retain_graph=True).")
    return found


def noise(root):
    """The Noise leaves that `root` was made from, in the order they were drawn. Each knows its `data`, `distribution` and `stream`.

    >>> import minigrad as mg
    >>> mg.manual_seed(0)
    >>> y = mg.functional.dropout(mg.Tensor([1.0, 2.0]), 0.25, training=True)
    >>> mg.noise(y)[0].distribution
    Bernoulli(keep=0.75)
    """
    return [node for node in program(root, "noise") if isinstance(node, Noise)]


def copy(steps, dtype=np.float64, values=None):
    """The same graph on leaves of its own, floats in `dtype`: {order in `steps`: new Tensor}. Noise keeps its values.

    `values` maps the `order` of a leaf to the array that its copy shall have instead.
    """
    copies, values = {}, values or {}
    for node in steps:
        if node.args:
            args = tuple(copies[a.order] if isinstance(a, Tensor) else dtype if _is_float(a) else a for a in node.args)
            new = result(node.op, args, node.op.forward(*map(data_of, args)))
            new.origin = node.origin
        else:
            data = values.get(node.order, node.data)
            new = Tensor(data, node.requires_grad, dtype=dtype if node.dtype.kind == "f" else None, name=node.origin)
        copies[node.order] = new
    return copies


def _is_float(x):
    return isinstance(x, np.dtype) and x.kind == "f"


def replay(root, values=None, fresh_noise=False):
    """The value of `root` with other `values` ({leaf: array or Tensor}) and the same noise, or fresh noise. Nothing is recorded.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> mg.replay(y, {x: [3.0, 4.0]})
    Tensor(25.)
    """
    steps = program(root, "replay")
    known = {n.order for n in steps}
    replaced = {}
    for leaf, value in (values or {}).items():
        if leaf.order not in known or not leaf.is_leaf:
            raise ValueError(f"replay: a tensor of shape {leaf.shape} is not a leaf of this graph.")
        array = as_array(data_of(value), leaf.dtype)
        if array.shape != leaf.shape:
            raise ValueError(f"replay: a leaf has shape {leaf.shape}, its new value {array.shape}.")
        replaced[leaf.order] = array
    return constant(np.array(evaluate(steps, replaced, fresh_noise).get(root.order, root.data)))


def resample(root):
    """The value of `root` with all its noise drawn afresh: one Monte Carlo sample."""
    return replay(root, fresh_noise=True)


# ------------------------------------------------------------------------------------ names and places


def place(scope):
    """The scope of a result: (modules it lies in, outermost first; the scope of the outermost composition, or None)."""
    modules, call = [], None
    while scope is not None:
        outer, owner = scope
        if isinstance(owner, str):
            call, modules = scope, []  # a composition is one node, whatever modules it calls
        else:
            modules.append(owner)
        scope = outer
    return tuple(reversed(modules)), call


def owner(leaf, scope, held):
    """The innermost module around `scope` that holds the leaf, as (its scope, the leaf's name in it), or None; `held` remembers modules."""
    while scope is not None:
        outer, module = scope
        if not isinstance(module, str):
            if id(module) not in held:
                held[id(module)] = _held(module)
            if (name := held[id(module)].get(id(leaf))) is not None:
                return scope, name
        scope = outer
    return None


def _held(module):
    """{id of a Tensor: its name} of what hangs in the attributes of a module, and in their lists and dicts."""
    held = {}
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            held.setdefault(id(value), name)
        elif isinstance(value, (list, tuple, dict)):
            for k, v in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(v, Tensor):
                    held.setdefault(id(v), f"{name}.{k}")
    return held


def leaf_names(steps):
    """{order: name} of the leaves that want a gradient: a tensor's own name, `fc1.weight` where a module holds it, else its shape."""
    names, held = {n.order: n.name or str(n.shape) for n in steps if n.is_leaf and n.requires_grad}, {}
    for node in steps:
        for a in node.args or ():
            if isinstance(a, Tensor) and a.order in names and a.name is None and (found := owner(a, node.origin, held)):
                names[a.order] = ".".join(filter(None, [path(found[0]), found[1]]))
    alike = Counter(names.values())
    numbers = {name: count(1) for name in alike}
    return {order: f"{name}#{next(numbers[name])}" if alike[name] > 1 else name for order, name in names.items()}


# -------------------------------------------------------------------------- what a loss is a sum of


class Summand(NamedTuple):
    """One part of a sum: factor * node, or without a node the number `factor`. `times`: the ways by which the sum reaches it."""

    node: Tensor
    factor: float
    times: int

    value = property(lambda self: self.factor * (1.0 if self.node is None else float(self.node.data.item())))


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
    return not isinstance(x, Tensor) or x.op is None


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
        lines = [("term", "value", "share", "|gradient|", "by")]
        lines += [(t.name, f"{t.value:.6g}", f"{t.share:.1%}", f"{t.gradient:.3g}", _listed(t.parameters)) for t in self]
        lines.append(("loss", f"{sum(t.value for t in self):.6g}", "", "", ""))
        widths = [max(map(len, column)) for column in zip(*lines)]
        table = ["  ".join(c.rjust(w) if 0 < i < 4 else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip() for line in lines]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([table[0], rule, *table[1:-1], rule, table[-1]])

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
    if loss.size != 1:
        raise ValueError(f"terms: a loss has one entry, not shape {loss.shape}. Call .mean() or .sum().")
    steps = program(loss, "terms")
    names, found = leaf_names(steps), summands(loss)
    for warning in [*_twice(found, names), *_decayed_twice(found, names, optimizer)]:
        warnings.warn(warning, stacklevel=2)
    return Ledger(_term(part, loss, names) for part in found)


def _term(part, loss, names):
    node, total = part.node, float(loss.data.item())
    leaves = [n for n in nodes(node) if n.order in names] if node is not None else []
    norm = 0.0
    if leaves:
        gradients = grad(node, leaves, np.full(node.shape, part.factor), retain_graph=True, allow_unused=True)
        norm = math.sqrt(sum(float(np.sum(np.square(g.data, dtype=np.float64))) for g in gradients if g is not None))
    share = part.value / total if total else math.nan
    return Term(name_of(part), part.value, share, norm, tuple(names[leaf.order] for leaf in leaves))


def name_of(part):
    """The name of a Summand: of the composition or the op that made it, a penalty's with its coefficients, times the factor."""
    node = part.node
    if node is None:
        return "constant"
    if node.is_leaf:
        name = node.name or ("noise" if isinstance(node, Noise) else "leaf" if node.requires_grad else "data")
    elif call := place(node.origin)[1]:
        name = call[1]
    elif node.op.name in PARTS:
        name = f"{node.op.name}({', '.join(f'{n}={_setting(a)}' for n, a in zip(node.op.names[:-1], node.args))})"
    else:
        name = node.op.name
    return name if part.factor == 1 else f"{part.factor:g} * {name}"


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
            places = [name_of(part) + (f", added {part.times} times" if part.times > 1 else "") for part, _ in entries]
            yield f"{names[order]} is penalised {'twice' if times == 2 else f'{times} times'}: {' and '.join(places)}. Keep one."


def _decayed_twice(found, names, optimizers):
    """Says which parameter an optimizer decays while the loss has an L2 penalty on it."""
    for optimizer in optimizers if isinstance(optimizers, (list, tuple)) else [optimizers] * (optimizers is not None):
        decays = {id(p): decay for p, decay in optimizer.decays()}
        for part, leaf, coefficients in penalised(found):
            if coefficients.get("l2", 0) * part.factor > 0 and id(leaf) in decays:
                decay = f"{type(optimizer).__name__}(weight_decay={decays[id(leaf)]:g})"
                yield f"{names[leaf.order]} is decayed twice: {name_of(part)} in the loss and {decay}. Keep one."

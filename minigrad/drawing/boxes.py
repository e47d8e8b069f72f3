"""From the tensors of a graph to the boxes of its picture: what becomes one node, and what it is called."""

import re
from dataclasses import dataclass, field
from inspect import signature
from typing import NamedTuple

import numpy as np

from ..engine import Tensor
from ..modes import Composition
from ..names import holders, role, split_scope
from ..noise import Noise
from .dot import Group, short
from .words import argument, is_number


class Call(NamedTuple):
    """A call of a module."""

    module: object
    group: Group


class Use(NamedTuple):
    """That a box needs the value of another: `value` is argument `place` of the result `by`."""

    source: object  # key of the other box
    home: object  # its key before anything is folded
    by: Tensor
    place: int
    value: object

    of_result = property(lambda self: bool(getattr(self.value, "args", ())))


@dataclass
class Box:
    """What becomes one node: a leaf, a result, all that one call of a composition recorded, or several boxes folded into one."""

    key: object
    members: list  # oldest first; the last gives the shape, the value and the gradient
    call: Composition = None
    uses: list = field(default_factory=list)
    random: bool = False
    name: str = None
    calls: tuple = ()  # the Calls of modules it lies in, outermost first
    prefix: str = ""  # the name of the module that is this one node
    inside: list = field(default_factory=list)  # the boxes folded into it, oldest first
    owner: object = None  # the module that is folded
    title: str = ""  # of what is folded
    note: str = ""
    part: Group = None  # FORWARD or BACKWARD, where both are drawn
    leaf: str = ""  # the name of the leaf whose gradient it is, in the backward pass

    last = property(lambda self: self.members[-1])
    parts = property(lambda self: self.inside or [self])  # what it was before anything was folded
    scope = property(
        lambda self: (self.part,) * bool(self.part) + tuple(call.group for call in self.calls)
    )
    is_leaf = property(lambda self: not isinstance(self.last, Tensor) or self.last.is_leaf)

    @property
    def kind(self):
        if self.inside:
            kinds = {box.kind for box in self.inside}
            return (
                "module"
                if self.owner is not None or len(kinds) > 1 or kinds == {"operation"}
                else kinds.pop()
            )
        x = self.last
        if self.leaf:
            return "derivative"
        if not isinstance(x, Tensor):
            return "data" if isinstance(x, np.ndarray) else "constant"
        if self.is_leaf:
            if x.requires_grad:
                return "parameter"
            return (
                "frozen"
                if type(x).__name__ == "Parameter"
                else "noise"
                if isinstance(x, Noise)
                else "data"
            )
        kind = self.call.kind if self.call else x.op.kind
        return "random" if self.random and kind == "operation" else kind

    @property
    def word(self):
        """What it is called, whatever its name."""
        return "gradient" if self.leaf else self.call.name if self.call else self.last.op.name

    @property
    def label(self):
        """What it is called, if it is not folded."""
        if not isinstance(self.last, (Tensor, np.ndarray)):
            return argument(self.last)
        if self.leaf or self.is_leaf:
            return short(f"∂ {self.leaf}" if self.leaf else self.name or self.kind)
        made = (
            self.word.replace("_", " ")
            if self.call or self.kind in ("loss", "penalty")
            else self.last.op.name
        )
        return f"{short(self.name)} = {made}" if self.name else short(made)

    def path(self, below=0):
        """Where it lies and what it is called, as in `encoder.fc1.weight`; without the outermost modules `below`."""
        return ".".join(
            filter(
                None, [*(call.group.name for call in self.calls[below:]), self.prefix, self.label]
            )
        )


# --------------------------------------------------------------------------------- from tensors to boxes


def boxes_of(graph, roots, names, constants=False, noise=False):
    """({key: Box}, {order of a tensor: key of its box}), oldest first. `roots`: orders."""
    known = {}
    newest = {}  # call of a composition -> its newest result, whose order becomes the key of the box
    split = {t.order: split_scope(t.scope) for t in graph if not t.is_leaf}
    for order, (_, call) in split.items():
        newest[id(call)] = order
    home = {t.order: t.order for t in graph}
    home |= {order: newest[id(call)] for order, (_, call) in split.items() if call}
    boxes, calls = (
        {},
        {},
    )  # a box takes its place when its newest member comes: after all its inputs
    for t in graph:
        modules, call = split.get(t.order, ((), None))
        key = home[t.order]
        box = calls.setdefault(key, Box(key, [], call and call[1], calls=_calls(modules, known)))
        box.members.append(t)
        for source, i, x in _inputs(t, home, constants):
            if isinstance(x, Noise):
                box.random = True
                if not noise:
                    continue
            if source != key:
                if source not in home:
                    boxes.setdefault(source, Box(source, [x]))
                box.uses.append(Use(source, source, t, i, x))
        hidden = isinstance(t, Noise) and not noise and t.order not in roots
        if key == t.order and not hidden:
            boxes[key] = box
    _name(boxes, graph, names, known)
    return boxes, home


def _calls(scopes, known):
    """The Calls of these scopes, outermost first. `known`: {id of a scope: its Call, (outer Group, id of a module): its Group}."""
    calls = ()
    for _, module in scopes:
        outer = calls[-1] if calls else None
        nested = outer and outer.group, id(module)
        if nested not in known:
            size = sum(p.size for p in module.parameters())
            known[nested] = Group(
                short(outer.module.name_of(module)) if outer else "",
                short(module_text(module), 60),
                size,
            )
        calls += (known.setdefault(id(scopes[len(calls)]), Call(module, known[nested])),)
    return calls


def _inputs(t, home, constants):
    """(key, place, value) of the arguments of a result that are nodes: Tensors, arrays, and numbers if `constants`."""
    for i, given in enumerate(t.args or ()):
        index = isinstance(given, tuple)
        for x in given if index else (given,):
            if isinstance(x, Tensor):
                yield home[x.order], i, x
            elif isinstance(x, np.ndarray) and x.ndim and not (index and _counts(x)):
                yield ("array", id(x)), i, x
            elif constants and not index and is_number(x) and t.op.rules[i]:
                yield ("constant", t.order, i), i, x.item() if isinstance(x, np.ndarray) else x


def _counts(index):
    """Whether an index only counts 0, 1, 2, ...: the rows beside the labels of a loss."""
    return index.ndim == 1 and np.array_equal(index, np.arange(len(index)))


# ---------------------------------------------------------------------------------- names and places


def _name(boxes, graph, names, known):
    """Names boxes: as the user does, else a leaf by its own name, the module attribute, or the argument it is. Leaves get a place, too."""
    for given, x in names.items():
        if isinstance(x, (Tensor, np.ndarray)):
            key = x.order if isinstance(x, Tensor) else ("array", id(x))
            if key in boxes and boxes[key].name is None:
                boxes[key].name = str(given)
    held = holders(graph)
    for box in boxes.values():
        if box.is_leaf:
            box.name = box.name or getattr(box.last, "name", None)
        if box.key in held:
            scope, attribute = held[box.key]
            box.calls, box.name = _calls(split_scope(scope)[0], known), box.name or attribute
    for box in boxes.values():
        for use in box.uses:
            leaf = boxes[use.source]
            if leaf.kind in ("noise", "constant"):
                leaf.calls = box.calls
            elif leaf.is_leaf and leaf.name is None:
                is_target = box.kind == "loss" and use.place > 0 and leaf.kind == "data"
                leaf.name = "target" if is_target else role(use.by.op, use.place)


def module_text(module):
    """Type and arguments of a module in short, without what is as by default: Linear(64, 128)."""
    text = repr(module)
    if "\n" in text:
        return type(module).__name__
    for p in signature(type(module)).parameters.values():
        text = (
            text.replace(f"{p.name}=", "")
            if p.default is p.empty
            else re.sub(f", {p.name}={re.escape(repr(p.default))}(?=[,)])", "", text)
        )
    return text.removesuffix("()")

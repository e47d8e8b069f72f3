"""From the tensors of a graph to the boxes of its picture: what becomes one node, what it is called, what is folded into it."""

import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..engine import Noise, Tensor, data_of
from ..graph import holders, place
from ..ops.penalties import PARTS
from .dot import Group, short

LIMIT = 400  # boxes drawn at most, whatever is asked for
ABREAST = 8  # boxes side by side at most, if modules can be folded instead
PERIOD = 64  # boxes in the longest step of a loop that is found
REPEATS = 3  # steps of a loop, at least, and leaves that are alike, to be folded


class Use(NamedTuple):
    """That a box needs the value of another: `value` is argument `place` of the result `by`."""

    source: object  # key of the other box
    home: object  # its key before anything is folded
    by: Tensor
    place: int
    value: object


@dataclass
class Box:
    """What becomes one node: a leaf, a result, all that one call of a composition recorded, or several boxes folded into one."""

    key: object
    members: list  # oldest first; the last gives the shape, the value and the gradient
    call: str = None  # the name of the composition
    uses: list = field(default_factory=list)
    random: bool = False
    name: str = None
    calls: tuple = ()  # the scopes of the module calls it lies in, outermost first
    prefix: str = ""  # the name of the module that is this one node
    inside: list = field(default_factory=list)  # the boxes folded into it, oldest first
    owner: object = None  # the module that is folded
    title: str = ""  # of what is folded
    note: str = ""
    part: Group = None  # FORWARD or BACKWARD, where both are drawn

    last = property(lambda self: self.members[-1])
    modules = property(lambda self: tuple(module for _, module in self.calls))
    is_leaf = property(lambda self: not isinstance(self.last, Tensor) or self.last.is_leaf)

    @property
    def kind(self):
        if self.inside:
            kinds = {box.kind for box in self.inside}
            return "module" if self.owner is not None or len(kinds) > 1 or kinds == {"operation"} else kinds.pop()
        x = self.last
        if not isinstance(x, Tensor):
            return "data" if isinstance(x, np.ndarray) else "constant"
        if self.is_leaf:
            if x.requires_grad:
                return "parameter"
            return "frozen" if type(x).__name__ == "Parameter" else "noise" if isinstance(x, Noise) else "data"
        word = self.word
        if word in PARTS or word.endswith("_penalty"):
            return "penalty"
        if word.endswith("loss") or "cross_entropy" in word:
            return "loss"
        return "random" if self.random else "operation"

    @property
    def word(self):
        """What it is called, whatever its name."""
        return self.call or self.last.op.name


# --------------------------------------------------------------------------------- from tensors to boxes


def boxes_of(graph, roots, constants=False, noise=False):
    """({key: Box}, {order of a tensor: key of its box}), oldest first. `roots`: orders."""
    newest = {}  # call of a composition -> its newest result, whose order becomes the key of the box
    split = {t.order: place(t.origin) for t in graph if not t.is_leaf}
    for order, (_, call) in split.items():
        newest[id(call)] = order
    home = {t.order: t.order for t in graph}
    home |= {order: newest[id(call)] for order, (_, call) in split.items() if call}
    boxes, calls = {}, {}  # a box takes its place when its newest member comes: after all its inputs
    for t in graph:
        modules, call = split.get(t.order, ((), None))
        key = home[t.order]
        box = calls.setdefault(key, Box(key, [], call and call[1], calls=modules))
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
        box.random |= t.op is not None and "noise" in t.op.names
        hidden = isinstance(t, Noise) and not noise and t.order not in roots
        if key == t.order and not hidden:
            boxes[key] = box
    return boxes, home


def _inputs(t, home, constants):
    """(key, place, value) of the arguments of a result that are nodes: Tensors, arrays, and numbers if `constants`."""
    for i, argument in enumerate(t.args or ()):
        index = isinstance(argument, tuple)
        for x in argument if index else (argument,):
            if isinstance(x, Tensor):
                yield home.get(x.order, x.order), i, x
            elif isinstance(x, np.ndarray) and x.ndim and not (index and _counts(x)):
                yield ("array", id(x)), i, x
            elif constants and not index and is_number(x) and t.op.rule(i):
                yield ("constant", t.order, i), i, x.item() if isinstance(x, np.ndarray) else x


def _counts(index):
    """Whether an index only counts 0, 1, 2, ...: the rows beside the labels of a loss."""
    return index.ndim == 1 and np.array_equal(index, np.arange(len(index)))


def is_number(x):
    return isinstance(x, (int, float, np.generic)) or (isinstance(x, np.ndarray) and x.ndim == 0)


# ---------------------------------------------------------------------------------- names and places


def name(boxes, graph, names):
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
            box.calls, box.name = place(scope)[0], box.name or attribute
    for box in boxes.values():
        for use in box.uses:
            if (leaf := boxes[use.source]).is_leaf and leaf.name is None:
                is_target = box.kind == "loss" and use.place > 0 and leaf.kind == "data"
                leaf.name = "target" if is_target else use.by.op.argument(use.place)
            if leaf.kind == "noise":
                leaf.calls = box.calls


def module_text(module):
    """Type and arguments of a module in short: Linear(64, 128)."""
    text = repr(module)
    if "\n" in text:
        return type(module).__name__
    for word in ("in_features", "out_features", "in_channels", "out_channels"):
        text = text.replace(f"{word}=", "")
    return text.removesuffix("()")


# ------------------------------------------------------------------------------------------- folding


def fold(boxes, depth, most, alone, name_of):
    """(the boxes to draw, how deep modules are opened or None for all of them).

    depth    levels of modules to open; "auto": the deepest at which at most `most` boxes are left; None: fold no module and no loop
    alone    keys of boxes that no loop takes in: roots, and what failed
    name_of  (outer module, inner) -> name
    """
    boxes = _unwrapped(boxes, name_of)
    deepest = max((len(box.calls) for box in boxes.values()), default=0)
    if depth is None:
        return _without_the_oldest(boxes, LIMIT), None
    for level in range(deepest, -1, -1) if depth == "auto" else [depth]:
        found = _cards(boxes, level, name_of)
        if level < deepest:
            found = _rolled_up(found, alone, lambda step: any(box.kind != "operation" for box in step))
        if len(found) > most:
            found = _rolled_up(found, alone)
        if len(found) <= most and (level == 0 or _width(found) <= ABREAST):
            break
    return _without_the_oldest(found, most if depth == "auto" else LIMIT), level if level < deepest else None


def _width(boxes):
    """How many results stand side by side at most."""
    ranks = {}
    for key, box in boxes.items():
        if not box.is_leaf:
            ranks[key] = 1 + max((ranks.get(use.source, 0) for use in box.uses), default=0)
    return max(Counter(ranks.values()).values(), default=0)


def _unwrapped(boxes, name_of):
    """The boxes, those that are all there is of a call of a module without parameters outside of it, with its name before their own."""
    inside, boxes = Counter(call for box in boxes.values() for call in map(id, box.calls)), dict(boxes)
    for key, box in boxes.items():
        while box.calls and inside[id(box.calls[-1])] == 1 and not any(True for _ in box.modules[-1].parameters()):
            names = name_of(*(None, *box.modules)[-2:]), box.prefix
            boxes[key] = box = replace(box, calls=box.calls[:-1], prefix=".".join(filter(None, names)))
    return boxes


def _cards(boxes, depth, name_of):
    """The boxes with each call of a module at this depth in one box."""
    calls = {}
    for key, box in boxes.items():
        if len(box.calls) > depth:
            calls.setdefault(id(box.calls[depth]), []).append(key)
    parts = []
    for keys in calls.values():
        *around, (_, module) = outer = boxes[keys[0]].calls[: depth + 1]
        prefix = name_of(*(None, *(m for _, m in outer))[-2:])
        parts.append((keys, Box(None, [], calls=tuple(around), prefix=prefix, owner=module, title=short(module_text(module), 60)), keys[-1]))
    return _merged(boxes, parts)


def _rolled_up(boxes, alone, worth=lambda step: True):
    """The boxes with the steps of each loop in one: steps are equal stretches, one after the other in the order of computing.

    Steps that use each other are a loop over time or layers, steps that do not stand side by side. What is one circle in a step
    becomes one box: of h = cell(x, h); y = out(h) these are two, `Cell x20` and `Linear x20`.
    """
    keys, numbers = [key for key, box in boxes.items() if not box.is_leaf], {}
    words = [boxes[key] for key in keys]
    words = [box.key if box.name or any(b.key in alone for b in [box, *box.inside]) else _signature(box) for box in words]
    words = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    parts = []
    for start, period, end in _stretches(words):
        if worth([boxes[key] for key in keys[start : start + period]]):
            for steps, note in _loops(boxes, keys[start:end], period):
                parts += [(found, box, steps[-1][-1]) for found, box in _roles(boxes, steps, note)]
    return _with_alike_leaves(_merged(boxes, parts))


def _signature(box):
    """Equal for boxes that do the same at the same place."""
    does = tuple((b.word, np.shape(b.last.data)) for b in box.inside or [box] if not b.is_leaf)
    return box.part, *map(id, box.modules), repr(box.owner), does


def _stretches(words):
    """(start, period, end) of what repeats itself REPEATS times or more, without gaps: from each start the longest, of these that of the shortest period."""
    size = len(words)
    longest, periods = np.zeros(size, int), np.zeros(size, int)
    for period in range(1, min(PERIOD, size // REPEATS) + 1):
        starts = np.arange(size - period)
        breaks = np.append(np.flatnonzero(words[period:] != words[:-period]), size - period)
        times = (breaks[np.searchsorted(breaks, starts)] - starts) // period + 1
        better = starts[(times >= REPEATS) & (times * period > longest[:-period])]
        longest[better], periods[better] = times[better] * period, period
    start = 0
    while start < size:
        if longest[start]:
            yield start, int(periods[start]), start + int(longest[start])
        start += max(longest[start], 1)


def _loops(boxes, keys, period):
    """(steps as lists of keys, a note): the loops that a stretch of equal steps is. Several side by side, if computed in turn, have longer steps."""
    index = {key: i for i, key in enumerate(keys)}
    for size in range(period, min(PERIOD, len(keys) // REPEATS) + 1, period):
        steps = [keys[i : i + size] for i in range(0, len(keys) - size + 1, size)]
        uses = [(index[key] // size, index[use.source] // size) for key in keys for use in boxes[key].uses if use.source in index]
        if linked := {step for step, source in uses if source == step - 1}:
            cuts = [0, *(i for i in range(1, len(steps)) if i not in linked), len(steps)]
            return [(steps[a:b], "") for a, b in pairwise(cuts) if b - a >= REPEATS]
    return [([keys[i : i + period] for i in range(0, len(keys), period)], "side by side")]


def _roles(boxes, steps, note):
    """(keys, Box) for each circle in the steps of a loop, sources first."""
    size = len(steps[0])
    role = {key: i for step in steps for i, key in enumerate(step)}
    reaches = np.eye(size, dtype=bool)
    for key in role:
        for use in boxes[key].uses:
            if use.source in role:
                reaches[role[use.source], role[key]] = True
    for _ in range(size.bit_length()):
        reaches = reaches @ reaches
    circles = {}
    for i in sorted(range(size), key=lambda i: reaches[:, i].sum()):
        circles.setdefault(tuple(reaches[i] & reaches[:, i]), []).append(i)
    for roles in circles.values():
        keys = [step[i] for step in steps for i in roles]
        first = [boxes[steps[0][i]] for i in roles]
        words = textwrap.shorten(", ".join(box.title or box.word.replace("_", " ") for box in first), 45, placeholder=" ...")
        yield keys, _repeated(boxes, keys, first[0].calls[: _common([box.calls for box in first])], f"{words} x{len(steps):,}", note)


def _common(calls):
    """How many of the outermost are the same in all."""
    return sum(len(set(map(id, same))) == 1 for same in zip(*calls))


def _repeated(boxes, keys, calls, words, note=""):
    """A Box for what is there `words` times, with its name before it, or a note with the first and the last name."""
    names = [boxes[key].prefix for key in keys]
    if len(set(names)) == 1:
        return Box(None, [], calls=calls, prefix=names[0], title=words, note=note)
    names = list(filter(None, names))
    return Box(None, [], calls=calls, title=words, note=", ".join(filter(None, [" to ".join(dict.fromkeys((names[0], names[-1]))), note])))


def _with_alike_leaves(boxes):
    """The boxes with leaves that are alike, and that the same folded boxes use, in one: the weights of layers, the inputs of time steps."""
    users, alike = {}, {}
    for key, box in boxes.items():
        for use in box.uses:
            users.setdefault(use.source, set()).add(key)
    for key, box in boxes.items():
        if box.is_leaf and not box.inside and any(boxes[user].inside for user in users.get(key, ())):
            name = re.sub(r"\d+", "#", box.name)
            alike.setdefault((box.kind, np.shape(data_of(box.last)), name, tuple(map(id, box.calls)), frozenset(users[key])), []).append(key)
    found = [(keys, _repeated(boxes, keys, boxes[keys[0]].calls, f"{boxes[keys[0]].name} x{len(keys):,}"), keys[-1]) for keys in alike.values()]
    return _merged(boxes, [part for part in found if len(part[0]) >= REPEATS])


def _without_the_oldest(boxes, most):
    """The boxes with the oldest in one, if there are more than `most`."""
    if len(boxes) <= most:
        return boxes
    age = {}
    for i, (key, box) in enumerate(boxes.items()):
        age[key] = i
        age |= {use.source: i + 0.5 for use in box.uses if boxes[use.source].is_leaf}  # a leaf goes with what uses it last
    oldest = set(sorted(boxes, key=age.get)[: len(boxes) - most + 1])
    keys = [key for key in boxes if key in oldest]
    inside = [b for key in keys for b in boxes[key].inside or [boxes[key]]]
    words = [word.replace("_", " ") for word, _ in Counter(b.word for b in inside if not b.is_leaf).most_common(3)]
    return _merged(boxes, [(keys, Box(None, [], title=f"{len(inside):,} older nodes: {short(', '.join(words))}, ..."), keys[-1])])


def _merged(boxes, parts):
    """The boxes with those of each part, (keys, the Box they go to, the key of the one at whose place it comes), in one."""
    into = {key: box for keys, box, _ in parts for key in keys}
    ends = {}
    for keys, box, end in parts:
        box.key = keys[-1]
        ends.setdefault(end, []).append(box)
    merged = {}
    for key, box in boxes.items():
        uses = [use._replace(source=into[use.source].key) if use.source in into else use for use in box.uses]
        if card := into.get(key):
            card.inside += box.inside or [box]
            card.members += box.members
            card.uses += [use for use in uses if use.source != card.key]
        else:
            merged[key] = replace(box, uses=uses) if uses else box
        merged |= {card.key: card for card in ends.get(key, ())}
    return merged

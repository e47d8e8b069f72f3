"""From the tensors of a graph to the boxes of its picture: what becomes one node, what it is called, what is folded into it."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..engine import Noise, Tensor
from ..graph import owner, place
from ..ops.penalties import PARTS
from .dot import Group

PERIOD = 8  # boxes in the longest pattern whose repetitions are folded
REPEATS = 3  # of a pattern, at least, to be folded
CHAIN = 8  # boxes, at least, of a chain without a pattern to be folded


class Use(NamedTuple):
    """That a box needs the value of another: `value` is argument `place` of the result `by`."""

    source: object  # key of the other box
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
    times: int = 1  # repetitions of what is folded
    pattern: tuple = ()  # the words of what is repeated
    labels: tuple = ()  # the names of the modules that are repeated
    part: Group = None  # FORWARD or BACKWARD, where both are drawn

    last = property(lambda self: self.members[-1])
    modules = property(lambda self: tuple(module for _, module in self.calls))
    is_leaf = property(lambda self: not self.inside and (not isinstance(self.last, Tensor) or self.last.is_leaf))

    @property
    def kind(self):
        x = self.last
        if self.inside:
            return "module"
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
                box.uses.append(Use(source, t, i, x))
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


def name(boxes, names):
    """Names boxes: as the user does, else after the module attribute, the tensor's own name or, for data, the argument it is."""
    for given, x in names.items():
        if isinstance(x, (Tensor, np.ndarray)):
            key = x.order if isinstance(x, Tensor) else ("array", id(x))
            if key in boxes and boxes[key].name is None:
                boxes[key].name = str(given)
    held = {}  # module -> what it holds
    for box in boxes.values():
        for use in box.uses:
            leaf_box = boxes[use.source]
            if isinstance(leaf_box.last, Noise):
                leaf_box.calls = box.calls
            elif leaf_box.is_leaf and not leaf_box.calls and isinstance(leaf_box.last, Tensor):
                _own(leaf_box, box, use.by, held)
    for box in boxes.values():
        if box.is_leaf and box.name is None:
            box.name = getattr(box.last, "name", None)
    for box in boxes.values():
        for use in box.uses:
            if (leaf_box := boxes[use.source]).is_leaf and leaf_box.name is None:
                is_target = box.kind == "loss" and use.place > 0 and leaf_box.kind == "data"
                leaf_box.name = "target" if is_target else use.by.op.argument(use.place)


def _own(leaf_box, box, t, held):
    """Finds the module around `t` that holds the leaf: the leaf is drawn in its box, under its attribute's name."""
    if found := owner(leaf_box.last, t.origin, held):
        call, name = found
        depth = next((i + 1 for i, outer in enumerate(box.calls) if outer is call), len(box.calls))
        leaf_box.calls = box.calls[:depth]
        leaf_box.name = leaf_box.name or name


# ------------------------------------------------------------------------------------------- folding


def fold(boxes, depth, most, alone, name_of):
    """(the boxes to draw, how deep modules are opened or None for all of them).

    depth    levels of modules to open; "auto": the deepest at which at most `most` boxes are left; None: fold nothing
    alone    keys of boxes whose like are not folded into runs: roots, and what failed
    name_of  (outer module, inner) -> name
    """
    if depth is None:
        return boxes, None
    deepest = max((len(box.calls) for box in boxes.values()), default=0)
    levels = range(deepest, -1, -1) if depth == "auto" else [depth]
    for level in levels:
        found = _cards(boxes, level, name_of)
        if level < deepest:
            found = _runs(found, alone, lambda box: box.owner is not None)
        if len(found) > most:
            found = _runs(found, alone)
        if len(found) <= most:
            break
    else:
        found = _chains_as_cards(found, alone)
    return found, level if level < deepest else None


def _cards(boxes, depth, name_of):
    """The boxes with each call of a module at this depth in one box."""
    calls = {}
    for key, box in boxes.items():
        if len(box.calls) > depth:
            calls.setdefault(id(box.calls[depth]), []).append(key)
    parts, boxes = [], dict(boxes)
    for keys in calls.values():
        call = boxes[keys[0]].calls[: depth + 1]
        module, around = call[-1][1], call[-2][1] if depth else None
        label = name_of(around, module)
        if len(keys) > 1 or any(True for _ in module.parameters()):
            parts.append((keys, Box(None, [], calls=call[:-1], prefix=label, owner=module)))
        else:  # a module that is one node stays that node
            boxes[keys[0]] = replace(boxes[keys[0]], calls=call[:-1], prefix=label)
    return _merge(boxes, parts)


def _runs(boxes, alone, foldable=lambda box: True):
    """The boxes with each run of equal neighbours, or of an equal pattern of neighbours, in one box."""
    parts = []
    for chain in _chains(boxes, alone, foldable):
        words = [_signature(boxes[key]) for key in chain]
        start = 0
        while start < len(words):
            period, times = max(((p, _repeats(words, start, p)) for p in range(1, PERIOD + 1)), key=lambda found: (found[0] * found[1], -found[0]))
            if times < REPEATS:
                start += 1
                continue
            keys = chain[start : start + period * times]
            pattern = tuple(_called(boxes[key]) for key in keys[:period])
            labels = tuple(filter(None, (boxes[key].prefix for key in keys)))
            parts.append((keys, Box(None, [], calls=boxes[keys[0]].calls, times=times, pattern=pattern, labels=labels)))
            start += period * times
    return _merge(boxes, _with_own_leaves(boxes, parts))


def _repeats(words, start, period):
    """How often the `period` words from `start` on stand there one after the other; 0 for less than REPEATS times."""
    end = start + period
    while end < len(words) and words[end] == words[end - period]:
        end += 1
    times = (end - start) // period
    return times if times >= REPEATS else 0


def _chains_as_cards(boxes, alone):
    """The boxes with each long chain of operations in one box, pattern or not."""
    parts = []
    for chain in _chains(boxes, alone, lambda box: box.owner is None):
        if len(chain) >= CHAIN:
            inside = [b for key in chain for b in boxes[key].inside or [boxes[key]] if not b.is_leaf]
            words = [word for word, _ in Counter(map(_called, inside)).most_common(3)]
            parts.append((chain, Box(None, [], calls=boxes[chain[0]].calls, pattern=(*words, "..."))))
    return _merge(boxes, _with_own_leaves(boxes, parts))


def _with_own_leaves(boxes, parts):
    """The parts, with the leaves that only one box in them uses, penalties apart. A single one of data stays: it is the input."""
    users = {}
    for key, box in boxes.items():
        for use in box.uses if box.kind != "penalty" else ():
            users.setdefault(use.source, set()).add(key)
    own = {}
    for source, keys in users.items():
        if boxes[source].is_leaf and len(keys) == 1:
            own.setdefault(next(iter(keys)), []).append(source)
    found = []
    for keys, box in parts:
        leaves = [leaf for key in keys for leaf in own.get(key, ())]
        data = [leaf for leaf in leaves if boxes[leaf].kind not in ("parameter", "frozen")]
        found.append(([leaf for leaf in leaves if len(data) > 1 or leaf not in data] + keys, box))
    return found


def _chains(boxes, alone, foldable):
    """Lists of keys, one after the other: each of these boxes has one result as input, the one before, which only it uses."""
    users, before = {}, {}
    for key, box in boxes.items():
        sources = {use.source: None for use in box.uses if isinstance(use.value, Tensor) and not use.value.is_leaf}
        for source in sources:
            users.setdefault(source, []).append(key)
        before[key] = next(iter(sources)) if len(sources) == 1 else None
    chains = {}  # key of the newest box -> chain
    for key, box in boxes.items():
        if box.kind not in ("operation", "random", "module") or box.name is not None or key in alone or any(b.key in alone for b in box.inside):
            continue
        if not foldable(box):
            continue
        source = before[key]
        same_place = source in chains and _place(boxes[source]) == _place(box)
        chain = chains.pop(source) if same_place and len(users[source]) == 1 else []
        chain.append(key)
        chains[key] = chain
    return list(chains.values())


def _place(box):
    return box.part, *map(id, box.modules)


def _signature(box):
    """Equal for boxes that do the same."""
    if box.pattern:
        return box.key
    if not box.inside:
        return box.word
    # two calls of one module are alike, though parameters are drawn in the first
    return repr(box.owner), tuple((b.word, np.shape(b.last.data)) for b in box.inside if not b.is_leaf)


def _called(box):
    return module_text(box.owner) if box.owner is not None else box.word.replace("_", " ")


def module_text(module):
    """Type and arguments of a module in short: Linear(64, 128)."""
    text = repr(module)
    if "\n" in text:
        return type(module).__name__
    for word in ("in_features", "out_features", "in_channels", "out_channels"):
        text = text.replace(f"{word}=", "")
    return text.removesuffix("()")


def _merge(boxes, parts):
    """The boxes with those of each part, (keys, the Box they go to), in one, which takes the place of their newest."""
    into = {}
    for keys, box in parts:
        into |= dict.fromkeys(keys, keys[-1])
        box.key = keys[-1]
    merged, cards = {}, {box.key: box for _, box in parts}
    for key, box in boxes.items():
        uses = [use._replace(source=into[use.source]) if use.source in into else use for use in box.uses]
        if key not in into:
            merged[key] = replace(box, uses=uses) if uses else box
            continue
        card = cards[into[key]]
        card.inside += box.inside or [box]
        card.members += [] if box.is_leaf else box.members
        card.uses += [use for use in uses if use.source != card.key]
        if key == card.key:
            merged[key] = card
    return merged

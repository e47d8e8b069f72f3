"""What folds into one box, so that a picture stays small: calls of modules, the steps of loops, and leaves that are alike."""

import re
import textwrap
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..array import data_of
from .boxes import Box
from .dot import short
from .words import span

LIMIT = 400  # boxes drawn at most, whatever is asked for
TALL, ABREAST = 30, 8  # boxes on a path and side by side at most, if modules can be folded instead
PERIOD = 250  # boxes in the longest step of a loop that is found
REPEATS = 3  # steps of a loop, at least, and leaves that are alike and that something folded uses, to be folded
CROWD = 16  # leaves that are alike, whatever uses them, if more


def fold(boxes, depth, most, alone):
    """(the boxes to draw, how deep modules are opened or None for all of them).

    depth    levels of modules to open; "auto": the deepest at which at most `most` boxes are left; None: fold no module and no loop
    alone    keys of boxes that no loop takes in: roots, and what failed
    """
    boxes = _unwrapped(boxes)
    deepest = max((len(box.calls) for box in boxes.values()), default=0)
    if depth is None:
        return _without_the_oldest(boxes, LIMIT), None
    times = Counter(use.source for box in boxes.values() for use in box.uses)
    again = {
        key for key, box in boxes.items() if box.is_leaf and box.calls and times[key] >= REPEATS
    }  # weights that a module uses again

    def worth(step, following):
        """Whether modules are folded, or one recurs: its steps use the same weights, and each the one before."""
        before, taken = (
            {box.key for box in step},
            {use.source for box in following for use in box.uses},
        )
        return any(box.kind == "module" for box in step) or (taken & before and taken & again)

    for level in range(deepest, -1, -1) if depth == "auto" else [depth]:
        found = _rolled_up(_cards(boxes, level), alone, worth)
        if len(found) > most:
            found = _rolled_up(found, alone)
        found = _with_alike_leaves(found)
        if len(found) <= most and (level == 0 or _fits(found)):
            break
    whole = depth != "auto" or any(
        box.part for box in boxes.values()
    )  # without its oldest part, a backward pass hangs in the air
    return _without_the_oldest(found, LIMIT if whole else most), level if level < deepest else None


def _fits(boxes):
    """Whether no path is too long, and not too much stands side by side."""
    ranks = {}
    for key, box in boxes.items():
        if not box.is_leaf:
            ranks[key] = 1 + max((ranks.get(use.source, 0) for use in box.uses), default=0)
    abreast = Counter(ranks.values())
    return len(abreast) <= TALL and max(abreast.values(), default=0) <= ABREAST


def _unwrapped(boxes):
    """The boxes, those that are all there is of a call of a module without parameters outside of it, with its name before their own."""
    inside, boxes = (
        Counter(call for box in boxes.values() for call in map(id, box.calls)),
        dict(boxes),
    )
    for key, box in boxes.items():
        while box.calls and inside[id(box.calls[-1])] == 1 and not box.calls[-1].group.parameters:
            prefix = ".".join(filter(None, [box.calls[-1].group.name, box.prefix]))
            boxes[key] = box = replace(box, calls=box.calls[:-1], prefix=prefix)
    return boxes


def _cards(boxes, depth):
    """The boxes with each call of a module at this depth in one box."""
    calls = {}
    for key, box in boxes.items():
        if len(box.calls) > depth:
            calls.setdefault(id(box.calls[depth]), []).append(key)
    parts = []
    for keys in calls.values():
        first = boxes[keys[0]]
        module, group = first.calls[depth]
        card = Box(
            None, [], calls=first.calls[:depth], prefix=group.name, owner=module, title=group.type
        )
        parts.append((keys, card, keys[-1]))
    return _merged(boxes, parts)


def _rolled_up(boxes, alone, worth=lambda step, following: True):
    """The boxes with the steps of each loop in one: steps are equal stretches, one after the other in the order of computing.

    Steps that use each other are a loop over time or layers, steps that do not stand side by side. What is one circle in a step
    becomes one box: of h = cell(x, h); y = out(h) these are two, `Cell x20` and `Linear x20`.
    """
    keys, numbers = [key for key, box in boxes.items() if not box.is_leaf], {}
    words = [boxes[key] for key in keys]
    words = [
        box.key if box.name or any(b.key in alone for b in [box, *box.inside]) else _signature(box)
        for box in words
    ]
    words = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    parts = []
    for start, period, end in _stretches(words):
        if worth(*([boxes[key] for key in keys[i : i + period]] for i in (start, start + period))):
            for steps in _loops(boxes, keys[start:end], period):
                parts += [(found, box, steps[-1][-1]) for found, box in _roles(boxes, steps)]
    return _with_alike_leaves(_merged(boxes, parts))


def _signature(box):
    """Equal for boxes that do the same at the same place."""
    does = tuple(
        (b.word, np.shape(b.last.data), _pattern(b.leaf)) for b in box.parts if not b.is_leaf
    )
    return *box.scope, repr(box.owner), does


def _pattern(name):
    """Equal for names that only numbers tell apart."""
    return re.sub(r"\d+", "#", name)


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
    """The loops that a stretch of equal steps is, each as a list of steps, lists of keys. Loops that are computed in turn have longer steps."""
    index = {key: i for i, key in enumerate(keys)}
    uses = [
        (index[key], index[use.source])
        for key in keys
        for use in boxes[key].uses
        if use.of_result and use.source in index
    ]
    for size in range(period, min(PERIOD, len(keys) // REPEATS) + 1, period):
        if linked := {i // size for i, source in uses if source // size == i // size - 1}:
            cuts = [
                0,
                *(i for i in range(1, len(keys) // size) if i not in linked),
                len(keys) // size,
            ]
            return [
                [keys[i * size : (i + 1) * size] for i in range(a, b)]
                for a, b in pairwise(cuts)
                if b - a >= REPEATS
            ]
    return [[keys[i : i + period] for i in range(0, len(keys), period)]]


def _roles(boxes, steps):
    """(keys, Box) for each circle in the steps of a loop, sources first."""
    size, again = len(steps[0]), set()
    role = {key: i for step in steps for i, key in enumerate(step)}
    reaches = np.eye(size, dtype=bool)
    for key in role:
        for use in boxes[key].uses:
            if use.of_result and use.source in role:
                reaches[role[use.source], role[key]] = True
                again |= {role[key]} & {role[use.source]}
    for _ in range(size.bit_length()):
        reaches = reaches @ reaches
    circles = {}
    for i in sorted(range(size), key=lambda i: reaches[:, i].sum()):
        circles.setdefault(tuple(reaches[i] & reaches[:, i]), []).append(i)
    for roles in circles.values():
        keys = [step[i] for step in steps for i in roles]
        first = [boxes[steps[0][i]] for i in roles]
        words = textwrap.shorten(
            ", ".join(box.title or box.word.replace("_", " ") for box in first),
            45,
            placeholder=" ...",
        )
        yield (
            keys,
            _repeated(
                boxes,
                keys,
                f"{words} x{len(steps):,}",
                "" if roles[1:] or roles[0] in again else "side by side",
            ),
        )


def _repeated(boxes, keys, words, note=""):
    """A Box for what is there several times, in the modules they have in common, with the first name and the last."""
    depth = sum(
        len({call.group for call in calls}) == 1
        for calls in zip(*(boxes[key].calls for key in keys))
    )
    calls, names = boxes[keys[0]].calls[:depth], [boxes[key].prefix for key in keys]
    leaves = [boxes[key].leaf for key in keys if boxes[key].leaf]
    note = ", ".join(filter(None, [span(leaves) if leaves else "", note]))
    return Box(
        None, [], calls=calls, prefix=span(names) if all(names) else "", title=words, note=note
    )


def _with_alike_leaves(boxes):
    """The boxes with leaves that are alike, and that the same boxes use, in one: the weights of folded layers, the inputs of time steps, a crowd."""
    users, alike = {}, {}
    for key, box in boxes.items():
        for use in box.uses:
            users.setdefault(use.source, set()).add(key)
    for key, box in boxes.items():
        if box.is_leaf and not box.inside and key in users:
            what = (
                box.kind,
                np.shape(data_of(box.last)),
                _pattern(box.label),
                tuple(map(id, box.calls)),
                frozenset(users[key]),
            )
            alike.setdefault(what, []).append(key)
    parts = []
    for (*_, used_by), keys in alike.items():
        if len(keys) > CROWD or (
            len(keys) >= REPEATS and any(boxes[user].inside for user in used_by)
        ):
            parts.append(
                (
                    keys,
                    _repeated(
                        boxes, keys, f"{span([boxes[key].label for key in keys])} x{len(keys):,}"
                    ),
                    keys[-1],
                )
            )
    return _merged(boxes, parts)


def _without_the_oldest(boxes, most):
    """The boxes with the oldest in one, if there are more than `most`."""
    if len(boxes) <= most:
        return boxes
    age = {}
    for i, (key, box) in enumerate(boxes.items()):
        age[key] = np.inf if box.is_leaf else i
        age |= {
            use.source: i + 0.5 for use in box.uses if boxes[use.source].is_leaf
        }  # a leaf goes with what uses it last
    oldest = set(sorted(boxes, key=age.get)[: len(boxes) - most + 1])
    keys = [key for key in boxes if key in oldest]
    inside = [b for key in keys for b in boxes[key].parts]
    words = [
        word.replace("_", " ")
        for word, _ in Counter(b.word for b in inside if not b.is_leaf).most_common(3)
    ]
    return _merged(
        boxes,
        [
            (
                keys,
                Box(None, [], title=f"{len(inside):,} older nodes: {short(', '.join(words))}, ..."),
                keys[-1],
            )
        ],
    )


def _merged(boxes, parts):
    """The boxes with those of each part, (keys, the Box they go to, the key of the one at whose place it comes), in one."""
    into = {key: box for keys, box, _ in parts for key in keys}
    ends = {}
    for keys, box, end in parts:
        box.key = keys[-1]
        ends.setdefault(end, []).append(box)
    merged = {}
    for key, box in boxes.items():
        uses = [
            use._replace(source=into[use.source].key) if use.source in into else use
            for use in box.uses
        ]
        if card := into.get(key):
            card.inside += box.parts
            card.part = box.part
            card.members += box.members
            card.uses += [use for use in uses if use.source != card.key]
        else:
            merged[key] = replace(box, uses=uses) if uses else box
        merged |= {card.key: card for card in ends.get(key, ())}
    return merged

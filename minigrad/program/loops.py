"""Repeated lines of a program as loops: the blocks of a network, the steps of a recurrent net.

Lines repeat if they differ only in names and counters. In a loop, a value that belongs to one block
is an attribute of an object `blocks[i]`. There the backward pass finds it. A loop of the forward
pass:

    for b in blocks:
        b.h = np.tanh(h @ b.weight.T)
        h = b.h
"""

import re
from copy import copy
from typing import NamedTuple

import numpy as np

from .symbols import NAME

# A name of the page, or a whole number. In quotes: a number before a dot, or at the end: "w_3"
TOKEN = re.compile(rf'{NAME.pattern}|(?<![\w.])\d+(?![\w.])|(?<=[".])\d+(?=\.)|\d+(?=")')
LEAST = 6  # lines that a loop must save
MULTIPLES = 6  # how many lengths of the parts of a run are tried: parts of two lines, of four, ...


class Blocks(NamedTuple):
    """A list of blocks. Its name, and the variable of its loops, are names on the page."""

    name: str
    variable: str
    size: int


class Place(NamedTuple):
    """Where a value of a block is kept: `blocks[index].attribute`."""

    blocks: Blocks
    index: int
    attribute: str


class Match(NamedTuple):
    """Steps that make a loop.

    kinds    {the texts of a token, one for each step: its kind}. The kinds are
             "same": all steps have the same text
             "last": a value that the step before made
             a number d: a value of blocks[i + d], where i is the index of the step's block
             (factor, offset): the number factor * i + offset
    blocks   the Blocks of an earlier loop, or None
    indices  of the blocks, one for each step
    """

    steps: list
    kinds: dict
    blocks: Blocks | None
    indices: list

    carried = property(lambda self: [v for v, kind in self.kinds.items() if kind == "last"])


class Loops:
    """Writes loops in place of repeated lines of a page, if they repeat in both passes.

    places  {name: Place} of the values that belong to blocks
    last    {name: the variable that has this value after a loop}
    alone   {Blocks: the first target of its loop} while no loop of the backward pass uses them
    """

    def __init__(self, page):
        self.page, self.refused = page, set()  # the first targets of loops that stayed alone
        passes = [[x for x in page.lines if x.part == part] for part in ("forward", "backward")]
        while True:
            self.places, self.last, self.alone = {}, {}, {}
            page.lines = [line for lines in passes for line in self.fold(lines)]
            if not self.alone:
                break
            self.refused |= {*self.alone.values()}

    def fold(self, lines):
        """These lines with loops. Only the forward pass makes blocks; other loops run over them."""
        for starts, length, times in _runs([TOKEN.split(line.text) for line in lines]):
            matches = {}
            for start in starts:
                steps = range(start, start + length * times, length)
                match = self._match([lines[i : i + length] for i in steps])
                if match:
                    matches[start] = match
            if matches:  # the best start carries the fewest values from step to step
                start = min(matches, key=lambda start: len(matches[start].carried))
                loop = self._loop(matches[start])  # first: it gives places to values
                return self.fold(lines[:start]) + loop + self.fold(lines[start + length * times :])
        return lines

    def outside(self, text):
        """A text with `blocks[index].attribute` in place of the values of blocks."""
        known = {name: f"{p[0].name}[{p.index}].{p.attribute}" for name, p in self.places.items()}
        known |= self.last
        return NAME.sub(lambda match: known.get(match[0], match[0]), text)

    def _match(self, steps):
        """The Match of these steps, or None."""
        made = {x.target: (t, j) for t, lines in enumerate(steps) for j, x in enumerate(lines)}
        made.pop(None, None)
        kinds = {v: _kind(v, [*map(made.get, v)]) for row in _columns(steps) for v in row}
        places = {v: [*map(self.places.get, v)] for v, kind in kinds.items() if kind == 0}
        known = {v: row for v, row in places.items() if any(row)}
        new = [name for v in places.keys() - known.keys() for name in v]
        blocks = {place and place.blocks for row in known.values() for place in row}
        first = steps[0][0]
        # Only a loop of the forward pass makes blocks. A loop of the backward pass runs over them
        # and may give them attributes. Loops that load data or fill `gradients` give none.
        is_known = len(blocks) == 1 and None not in blocks
        is_fit = not blocks if first.part == "forward" else is_known
        may_be_new = len({*new}) == len(new) if first.part else not new
        if first.target in self.refused or not is_fit or not may_be_new:
            return None
        indices = range(len(steps))
        if known:  # a step may also use the block before it; its own block has the largest index
            indices = max([place.index for place in row] for row in known.values())
        if {*np.diff(indices)} not in ({1}, {-1}):
            return None
        for v, row in known.items():
            ways = {(place.index - i, place.attribute) for place, i in zip(row, indices)}
            kinds[v] = ways.pop()[0] if len(ways) == 1 else None
        for v in kinds:
            if kinds[v] == "counter":
                kinds[v] = _counter(v, indices)
            # += changes an array under all its names, but it makes a new number: no loop then.
            if kinds[v] == "last" and steps[0][made[v[1]][1]].shape == ():
                kinds[v] = None
        known = blocks.pop() if blocks else None
        return None if None in kinds.values() else Match(steps, kinds, known, indices)

    def _loop(self, match):
        """The lines of a loop."""
        page, (steps, kinds, blocks, indices), first = self.page, match, match.steps[0][0]
        if blocks is None:
            has_data = any(values[0] in page.inputs for values in kinds)
            name = "blocks" if has_data else "steps"
            blocks = Blocks(page.name(name), page.name(name[0]), len(steps))
            self.alone[blocks] = first.target
        elif first.part == "backward":
            self.alone.pop(blocks, None)
        block = blocks.variable
        wish = "h" if first.part == "forward" else "g"
        carried = {values[1]: page.name(wish) for values in match.carried}
        texts = {}
        for values, kind in kinds.items():
            name = values[0]
            if isinstance(kind, int):
                if name not in self.places:
                    wish = _without_index(page.wishes[name], page.wishes[values[1]])
                    attribute = carried.get(name) or page.name(wish)
                    self.places |= {x: Place(blocks, i, attribute) for i, x in zip(indices, values)}
                owner = f"{blocks.name}[{block}.i{kind:+}]" if kind else block
                texts[values] = f"{owner}.{self.places[name].attribute}"
                self.last |= {values[-1]: carried[name]} if name in carried else {}
            elif isinstance(kind, tuple):
                texts[values] = _sum(kind[0], f"{block}.i", kind[1])
            else:
                texts[values] = carried[values[1]] if kind == "last" else name
        low, high = min(indices), max(indices) + 1
        part = f"[{low or ''}:{high if high < blocks.size else ''}]".replace("[:]", "")
        members = blocks.name + part if indices[0] == low else f"reversed({blocks.name}{part})"
        before = [f"{texts[values]} = {values[0]}" for values in match.carried]
        lines = [_line(first, text, []) for text in [*before, f"for {block} in {members}:"]]
        for rows, tokens in zip(zip(*steps), _columns(steps)):
            shown = [texts[values] for values in tokens]
            pieces = TOKEN.split(rows[0].text)
            is_quoted = '"' in rows[0].text  # a key, such as data["weight_0"]
            if is_quoted:
                shown = [text.replace("(", "{").replace(")", "}") for text in shown]
                pieces = [piece.replace("{", "{{").replace("}", "}}") for piece in pieces]
            text = "".join(a + b for a, b in zip(pieces, [*shown, ""]))
            text = "    " + text.replace('"', 'f"', is_quoted)
            line = _line(rows[0], text, rows[0].around + rows[1].around)
            line.owners = set().union(*(row.owners for row in rows))
            line.shape = rows[0].shape if len({row.shape for row in rows}) == 1 else None
            lines.append(line)
        made = {values[0]: text for values, text in texts.items() if kinds[values] != "last"}
        after = [f"    {name} = {made[value]}" for value, name in carried.items()]
        return lines + [_line(first, text, None) for text in after]


def _kind(values, made):
    """The kind of a token with these values in the steps, or "counter".

    made  (step, line) of each value, or None if it comes from outside
    """
    line = made[-1] and made[-1][1]
    steps = [(step, line) for step in range(len(made))]
    if len({*values}) == 1:
        return None if made[0] else "same"
    if any(value.isdigit() for value in values):
        return "counter" if all(value.isdigit() for value in values) else None
    if made == steps or (not any(made) and len({*values}) == len(values)):
        return 0
    return "last" if made == [None, *steps[:-1]] else None


def _counter(values, indices):
    """(factor, offset) of numbers that are factor * index + offset, or None."""
    numbers = [*map(int, values)]
    factor = (numbers[1] - numbers[0]) * (indices[1] - indices[0])
    offsets = {number - factor * i for number, i in zip(numbers, indices)}
    return (factor, offsets.pop()) if len(offsets) == 1 else None


def _sum(factor, name, offset):
    """The text of factor * name + offset."""
    text = {1: "", -1: "-"}.get(factor, f"{factor} * ") + name
    return f"({text} {'-' if offset < 0 else '+'} {abs(offset)})".replace(" + 0)", ")")


def _columns(steps):
    """For each line of a step its tokens, each with its texts in all steps."""
    found = [[TOKEN.findall(line.text) for line in lines] for lines in steps]
    return [[*zip(*rows)] for rows in zip(*found)]


def _runs(items):
    """(starts, length, times) of runs of equal parts, those that save most lines first."""
    known, runs = {}, {}
    codes = np.array([known.setdefault(tuple(item), len(known)) for item in items])
    for length in range(1, len(items) // 2 + 1):
        other = np.flatnonzero(codes[length:] != codes[:-length])
        edges = np.concatenate([[-1], other, [len(codes) - length]])
        # Between two edges all items equal the item `length` further on.
        for i in np.flatnonzero(np.diff(edges) > max(length, LEAST)):
            runs.setdefault((edges[i] + 1, edges[i + 1] + length), []).append(length)
    found = []
    for (start, stop), lengths in runs.items():
        for length in lengths[:MULTIPLES]:
            times = (stop - start) // length
            for n in times, times - 1:  # one part fewer: the first or the last may use other names
                if length * (n - 1) >= LEAST:
                    found.append((range(start, stop - length * n + 1), length, n))
    return sorted(found, key=lambda run: (run[1] * (1 - run[2]), run[1]))


def _without_index(one, other):
    """A name without the index of a block: norm1 for blocks0_norm1 and blocks1_norm1."""
    for a, b in zip(re.finditer(r"\d+", one), re.finditer(r"\d+", other)):
        if a[0] != b[0]:
            head, tail = one[: a.start()], one[a.end() :]
            if re.match("_[a-zA-Z]", tail):
                return re.sub("[a-zA-Z]+$", "", head) + tail[1:]
            return head.rstrip("_") + tail
    return one


def _line(like, text, around):
    """A line `text` of a loop, in the pass of the line `like`. For `around` see Line."""
    line = copy(like)
    line.expression, line.target, line.shape, line.around = text, None, None, around
    return line

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


class Loop(NamedTuple):
    """Steps that make a loop.

    columns  for each line of a step its tokens, each with its texts in all steps
    texts    {the texts of a token: its text in the loop}
    carried  {the texts of a token: the variable}, if each step uses what the step before made
    indices  of the blocks, one for each step
    new      {name: Place} of the values that get a place by this loop
    """

    steps: list
    columns: list
    texts: dict
    carried: dict
    blocks: Blocks
    indices: list
    new: dict

    def uses(self):
        """How many values of the step before a step uses, and how often."""
        used = [values for row in self.columns for values in row if values in self.carried]
        return len(self.carried), len(used)


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
        for starts, length, times in _runs([TOKEN.sub("_", line.text) for line in lines]):
            loops = {}
            for start in starts:
                steps = range(start, start + length * times, length)
                loop = self._loop([lines[i : i + length] for i in steps])
                if loop:
                    loops[start] = loop
            if loops:  # in the best one, a step uses the fewest values of the step before
                start = min(loops, key=lambda start: loops[start].uses())
                written = self._written(loops[start])  # first: it gives places to values
                before, after = lines[:start], lines[start + length * times :]
                return self.fold(before) + written + self.fold(after)
        return lines

    def outside(self, text):
        """A text with `blocks[index].attribute` in place of the values of blocks."""
        known = {name: f"{p[0].name}[{p.index}].{p.attribute}" for name, p in self.places.items()}
        known |= self.last
        return NAME.sub(lambda match: known.get(match[0], match[0]), text)

    def _loop(self, steps):
        """The Loop of these steps, or None."""
        page, first = self.page, steps[0][0]
        found = [[TOKEN.findall(line.text) for line in lines] for lines in steps]
        columns = [[*zip(*rows)] for rows in zip(*found)]
        tokens = dict.fromkeys(values for row in columns for values in row)
        # Only a loop of the forward pass makes blocks. A loop of the backward pass runs over them
        # and may give them attributes. Loops that load data or fill `gradients` give none.
        known = [[self.places[x] for x in v] for v in tokens if self.places.keys() >= {*v}]
        homes = {place.blocks for row in known for place in row}
        if first.target in self.refused or len(homes) != (first.part != "forward"):
            return None
        blocks = homes.pop() if homes else Blocks(page.name("blocks"), page.name("b"), len(steps))
        # A step may also use the block before it. Its own block has the largest index.
        indices = [max(p.index for p in places) for places in zip(*known)] or range(len(steps))
        if {*np.diff(indices)} not in ({1}, {-1}):
            return None
        rows = [lines for lines in zip(*steps) if lines[0].target]
        made = [tuple(line.target for line in lines) for lines in rows]
        new = {}
        for v in [*made, *tokens]:
            is_free = not any(x in new or x in self.places or x.isdigit() for x in v)
            if is_free and len({*v}) > 1:
                attribute = page.name(_without_index(page.wishes[v[0]], page.wishes[v[1]]))
                new |= {x: Place(blocks, i, attribute) for x, i in zip(v, indices)}
        texts, carried = {}, {}
        arrays = {lines[0].target for lines in rows if lines[0].shape != ()}
        for v in tokens:
            shown = [self._shown(x, i, blocks, new) for x, i in zip(v, indices)]
            if len({*shown}) == 1:
                texts[v] = shown[0]
            elif all(map(str.isdigit, v)):
                texts[v] = _progression(v, indices, f"{blocks.variable}.i")
            # += changes an array under all its names, but it makes a new number: no loop then.
            elif len({*shown[1:]}) == 1 and v[1] in arrays:
                texts[v] = carried[v] = new[v[1]].attribute
            else:
                return None
        is_fit = len({*carried.values()}) == len(carried) and (first.part or not new)
        if None in texts.values() or not is_fit:
            return None
        return Loop(steps, columns, texts, carried, blocks, indices, new)

    def _shown(self, name, i, blocks, new):
        """The text of a value in the step of the block i."""
        place = new.get(name) or self.places.get(name)
        if place is None or place.blocks != blocks:
            return name
        step = place.index - i
        owner = f"{blocks.name}[{blocks.variable}.i{step:+}]" if step else blocks.variable
        return f"{owner}.{place.attribute}"

    def _written(self, loop):
        """The lines of a loop."""
        page, (steps, columns, texts, carried, blocks, indices, new) = self.page, loop
        first, block, variables = steps[0][0], blocks.variable, carried.values()
        if first.part == "forward":
            self.alone[blocks] = first.target
        elif first.part == "backward":
            self.alone.pop(blocks, None)
        page.wishes |= dict.fromkeys(variables, "h" if first.part == "forward" else "g")
        self.places |= new
        for name, place in new.items():
            if place.index == indices[-1] and place.attribute in variables:
                self.last[name] = place.attribute
        low, high = min(indices), max(indices) + 1
        part = f"[{low or ''}:{high if high < blocks.size else ''}]".replace("[:]", "")
        members = blocks.name + part if indices[0] == low else f"reversed({blocks.name}{part})"
        before = [f"{variable} = {values[0]}" for values, variable in carried.items()]
        lines = [_line(first, text, []) for text in [*before, f"for {block} in {members}:"]]
        for rows, tokens in zip(zip(*steps), columns):
            shown, text = [*map(texts.get, tokens)], rows[0].text
            if '"' in text:  # a key, such as data["weight_0"]
                text = text.replace("{", "{{").replace("}", "}}").replace('"', 'f"', 1)
                shown = [text.replace("(", "{").replace(")", "}") for text in shown]
            text = "".join(a + b for a, b in zip(TOKEN.split(text), [*shown, ""]))
            line = _line(rows[0], f"    {text}", rows[0].around + rows[1].around)
            line.owners = set().union(*(row.owners for row in rows))
            line.shape = rows[0].shape if len({row.shape for row in rows}) == 1 else None
            lines.append(line)
        after = [f"    {name} = {block}.{name}" for name in variables]
        return lines + [_line(first, text, None) for text in after]


def _progression(values, indices, name):
    """The text of numbers that are factor * index + offset, where `name` is the index, or None."""
    numbers = [*map(int, values)]
    factor = (numbers[1] - numbers[0]) * (indices[1] - indices[0])
    offsets = {number - factor * i for number, i in zip(numbers, indices)}
    if len(offsets) > 1:
        return None
    text = {1: "", -1: "-"}.get(factor, f"{factor} * ") + name
    return f"({text}{offsets.pop():+})".replace("+0)", ")")


def _runs(items):
    """(starts, length, times) of runs of equal parts, those that save most lines first."""
    known, runs = {}, {}
    codes = np.array([known.setdefault(item, len(known)) for item in items])
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

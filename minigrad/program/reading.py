"""A program to read: `print(write_out(loss))` is a whole file of Python."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..modes import path
from ..names import leaf_names, split_scope
from .loops import Loops
from .sources import sources
from .symbols import Line
from .writing import WIDTH, Writer, tidy

RULE, FEWEST = 80, 3  # the width of a line of dashes; the fewest lines under a heading
PRINTING = """\
print("loss", {})
for name, gradient in gradients.items():
    print(name, gradient, sep="\\n")"""
PATH = "from pathlib import Path\n"
NAMESPACE = "from types import SimpleNamespace\n"


class Program:
    """A loss and its gradients as a file of Python that needs nothing but NumPy.

    text   the file; `print(program)` shows it
    data   {name: array}: the parameters, inputs and noise, which the file loads
    lines  (text, "forward" or "backward", the results to which it belongs) of both passes
    """

    def __init__(self, loss, names, file):
        writer = Writer("write_out", loss, names=names)
        self.page, self.loops = page, loops = writer.page, Loops(writer.page)
        known = sources(filter(callable, page.constants.values()))
        self.final = page.final(known, loops.places)
        self.lines = [(self._shown(line), line.part, line.owners - {None}) for line in page.lines]
        names, page.part, page.owner = leaf_names(writer.nodes), "", None
        keys = {x: json.dumps(names[x.order], ensure_ascii=False) for x in writer.gradients}
        gradients = [Line(page, f"gradients[{keys[x]}] = {g}") for x, g in writer.gradients.items()]
        results = sum(bool(node.args) for node in writer.nodes)
        parts = [
            f"# A loss of {results} operations and its gradient, written out by minigrad.",
            f"{PATH}{NAMESPACE if loops.places else ''}\nimport numpy as np",
            *sorted(known.values(), key=lambda text: not text.startswith(("import ", "from "))),
            self._text(self._loads(file)),
            *(self._section(part) for part in ("forward", "backward")),
            self._text([Line(page, "gradients = {}"), *loops.fold(gradients)]),
            PRINTING.format(self._shown(Line(page, writer.symbols[loss.order].name))),
        ]
        self.text = "\n\n".join(parts)

    def __repr__(self):
        return self.text

    def _loads(self, file):
        """The lines that load the data: first all that belongs to no blocks."""
        page, places, self.data = self.page, self.loops.places, {}
        arrays = page.inputs | {n: a for n, a in page.constants.items() if not callable(a)}
        lines = [Line(page, f'data = np.load(Path(__file__).with_name("{file}"))')]
        belongs = {name: places[name].blocks if name in places else None for name in arrays}
        for blocks in dict.fromkeys([None, *(place.blocks for place in places.values())]):
            own = [name for name in arrays if belongs[name] == blocks]
            if blocks:
                own.sort(key=lambda name: places[name].index)
                made = f"[SimpleNamespace(i=i) for i in range({blocks.size})]"
                lines.append(Line(page, f"{blocks.name} = {made}", shape="in a heading, * is i"))
            for name in own:
                a, key = arrays[name], self.final(self.loops.outside(name))
                key = re.sub(r"\[(\d+)\]", r".\1", key)  # a dot: no other array has this name
                self.data[key] = data_of(a)
                shape = f"{a.shape} {getattr(a, 'distribution', '')}"
                lines.append(Line(page, f'{name} = data["{key}"]', shape=shape))
        return self.loops.fold(lines)

    def _shown(self, line):
        """The text of a line. Keys keep their quotes."""
        text = self.final(self.loops.outside(line.text))
        indent = " " * (len(text) - len(text.lstrip()))
        return text if text.endswith(":") or '"' in text else indent + tidy(text.strip())

    def _text(self, lines):
        return _commented([(self._shown(line), str(line.shape or "")) for line in lines])

    def _section(self, part):
        """The lines of a pass, with a heading for each module of several lines."""
        lines = [line for line in self.page.lines if line.part == part]
        around = [_headings(line.around or []) for line in lines]
        counts = Counter(heading for headings in around for heading in headings)
        rows, last = [(f"# {f' {part}':->{RULE}}", "")], ""
        for line, headings in zip(lines, around):
            heading = next((h for h in headings if counts[h] >= FEWEST), "")
            heading = last if line.around is None else heading
            text, before = self._shown(line), rows[-1][0]
            if heading != last:
                indent = re.match(" *", text)[0] if heading else ""
                rows.append(("\n" * (heading > "" and before[-1:] != ":") + indent + heading, ""))
            last = heading
            rows.append((text, str(line.shape or "")))
        return _commented(rows)


def _headings(owners):
    """The names and classes of the modules around, without the outermost, the innermost first.

    In a loop, a line has the owners of two steps, and a * stands for the index of the block.
    """
    found = []
    for owner in owners:
        calls, _ = split_scope(getattr(owner, "scope", None))
        found.append([f"# {path(call)}: {type(call[1]).__name__}" for call in reversed(calls[1:])])
    return ["".join(map(_or_star, *(re.split(r"(\d+)", x) for x in both))) for both in zip(*found)]


def _or_star(text, *other):
    """The text, or * if another step has another text."""
    return text if {text} >= {*other} else "*"


def _commented(rows):
    """Rows, (text, comment), as lines with aligned comments."""
    wide = min(max((len(text) for text, comment in rows if comment), default=0), WIDTH)
    rows = [f"{text:{wide}}  # {comment.strip()}" if comment else text for text, comment in rows]
    return "\n".join(rows)


def write_out(loss: Tensor, *, names=None, to_file=None) -> Program:
    """The forward and the backward pass of a recorded loss as a file of Python, to read and to run.

    loss     a recorded Tensor of one entry
    names    {name: Tensor}, such as locals(): names for tensors of the graph
    to_file  also writes the file to this path, and the arrays that it loads beside it, as .npz

    Returns a Program. The graph and all `.grad` stay as they are. The file needs nothing but NumPy
    and gives the same bits. The results are equal only up to rounding if a rule mixes float32 and
    float64, or if data are a view with gaps or in reversed order. Equal blocks of a network and
    equal steps become a loop if this saves six lines or more in both passes. The first and the last
    of them may stay outside the loop.

    Raises TypeError if `loss` is no Tensor, if a rule needs an array of NumPy, or if an op cannot
    be written as lines and its source is not at hand. Raises RuntimeError if the graph was freed,
    if the loss has more than one entry or depends on nothing that requires a gradient.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> print(write_out(np.sum(np.tanh(w) * w)))  # doctest: +ELLIPSIS
    # A loss of 3 operations and its gradient, written out by minigrad.
    <BLANKLINE>
    from pathlib import Path
    <BLANKLINE>
    import numpy as np
    <BLANKLINE>
    data = np.load(Path(__file__).with_name("program.npz"))
    w = data["w"]  # (2,)
    <BLANKLINE>
    # ------------------------------------------------------------------------ forward
    tanh = np.tanh(w)  # (2,)
    loss = (tanh * w).sum()
    <BLANKLINE>
    # ----------------------------------------------------------------------- backward
    g_w = tanh + (w - w * tanh * tanh)  # (2,)
    ...
    """
    file = Path(to_file or "program.py").with_suffix(".npz")
    program = Program(loss, names, file.name)
    if to_file:
        Path(to_file).write_text(f"{program}\n", encoding="utf-8")
        np.savez(file, **program.data)
    return program

"""A program to read: `print(write_out(loss))` is a whole file of Python."""

from collections import Counter
from pathlib import Path

import numpy as np

from ..engine import Tensor
from ..modes import name_in
from ..names import leaf_names, split_scope
from ..noise import Noise
from .sources import sources
from .writing import WIDTH, Writer, tidy

RULE, FEWEST = 80, 3  # the width of a rule; how many lines a heading needs
PRINTING = """\
print("loss", {})
for name, gradient in gradients.items():
    print(name, gradient, sep="\\n")"""


class Program:
    """A loss and its gradients as a file of Python that needs nothing but NumPy.

    text   the file; `print(program)` shows it
    data   {name: array}: the parameters, inputs and noise, which the file loads
    lines  (text, "forward" or "backward", the results to which it belongs) of both passes
    """

    def __init__(self, loss, names, file):
        writer = Writer("write_out", loss, names=names)
        page = writer.page
        used = {name for line in page.lines for name in line.names}
        constants = {name: value for name, value in page.constants.items() if name in used}
        known = sources([value for value in constants.values() if callable(value)])
        self.final = page.final(known)
        leaves = {self.final(name): leaf for name, leaf in page.inputs.items()}
        arrays = {self.final(n): a for n, a in constants.items() if not callable(a)}
        self.data = {name: leaf.data for name, leaf in leaves.items()} | arrays
        laws = {name: str(x.distribution) for name, x in leaves.items() if isinstance(x, Noise)}
        loads = [(f'{n} = data["{n}"]', a.shape, laws.get(n, "")) for n, a in self.data.items()]
        results = sum(bool(node.args) for node in writer.nodes)
        self.lines = [
            (tidy(self.final(line.text)), line.part, line.owners - {None}) for line in page.lines
        ]
        parts = [
            f"# A loss of {results} operations and its gradient, written out by minigrad.",
            "import numpy as np",
            *sorted(known.values(), key=lambda text: not text.startswith(("import ", "from "))),
            "\n".join([f'data = np.load("{file}")', *_commented(loads)]),
            *(self._section(part, page.lines) for part in ("forward", "backward")),
            self._results(writer),
            PRINTING.format(self.final(writer.symbols[loss.order].name)),
        ]
        self.text = "\n\n".join(parts)

    def __repr__(self):
        return self.text

    def _section(self, part, lines):
        """The lines of a pass, with a heading for each module of several lines."""
        lines = [line for line in lines if line.part == part]
        around = [_modules_around(line.owner) for line in lines]
        counts = Counter(modules[:n] for modules in around for n in range(len(modules) + 1))
        rows, heading = [], ()
        for line, modules in zip(lines, around):
            while modules and counts[modules] < FEWEST:
                modules = modules[:-1]
            if modules != heading:
                dotted = ".".join(name for name, _ in modules)
                rows += ["", f"# {dotted}: {modules[-1][1]}"] if modules else [""]
            heading = modules
            rows.append((tidy(self.final(line.text)), line.shape, ""))
        return "\n".join([f"# {f' {part}':->{RULE}}", *_commented(rows)])

    def _results(self, writer):
        pairs, names = [], leaf_names(writer.nodes)
        for leaf, g in writer.gradients.items():
            pairs.append(f'    "{names[leaf.order]}": {self.final(g)},')
        return "\n".join(["gradients = {", *pairs, "}"])


def _modules_around(node):
    """The (name, class) of the modules around a node, without the outermost one."""
    calls = split_scope(node.scope)[0] if node is not None else ()
    pairs = zip(calls, calls[1:])
    return tuple((name_in(outer, inner), type(inner).__name__) for outer, (_, inner, _) in pairs)


def _commented(rows):
    """Texts, and rows (text, shape or None, words), as lines with aligned comments."""
    rows = [(row, None, "") if isinstance(row, str) else row for row in rows]
    comments = [f"{shape or ''} {words}".strip() for _, shape, words in rows]
    wide = max((len(text) for (text, *_), c in zip(rows, comments) if c), default=0)
    wide = min(wide, WIDTH)
    return [f"{text:{wide}}  # {c}" if c else text for (text, *_), c in zip(rows, comments)]


def write_out(loss: Tensor, *, names=None, to_file=None) -> Program:
    """The forward and the backward pass of a recorded loss as a file of Python, to read and to run.

    loss     a recorded Tensor of one entry
    names    {name: Tensor}, such as locals(): names for tensors of the graph
    to_file  also writes the file to this path, and the arrays that it loads beside it, as .npz

    Returns a Program. The graph and all `.grad` stay as they are. The file needs nothing but NumPy
    and gives the same bits; where a rule mixes float32 and float64, the same up to rounding.

    Raises TypeError if `loss` is no Tensor or if an op, whose source is not at hand, cannot be
    written as lines; RuntimeError if the graph was freed, if the loss has more than one entry or
    depends on nothing that requires a gradient.

    >>> import minigrad as mg
    >>> w = mg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> print(write_out(np.sum(np.tanh(w) * w)))  # doctest: +ELLIPSIS
    # A loss of 3 operations and its gradient, written out by minigrad.
    <BLANKLINE>
    import numpy as np
    <BLANKLINE>
    data = np.load("program.npz")
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

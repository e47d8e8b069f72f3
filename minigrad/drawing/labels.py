"""The texts of a node: its rows. Functions for shorter texts come first."""

import inspect
import linecache
import math
import re
import textwrap
from collections import Counter
from typing import NamedTuple

import numpy as np

from ..array import data_of, is_foreign
from ..check.reports import shown
from ..engine import Tensor
from ..names import is_operand, settings
from ..noise import Noise
from ..program.symbols import UFUNCS

LONGEST = 40  # letters of a name or an attribute; longer ones are cut
MOST_REASONS = 6  # lines that say why a gradient check failed
COMMUTE = {"add", "multiply", "maximum", "minimum", "fmax", "fmin", "hypot", "logaddexp"}
# The settings of windows that a composition shows, with their defaults in `functional`.
WINDOWS = {"size": None, "stride": 1, "dilation": 1, "groups": 1, "bias": None}


class Row(NamedTuple):
    """A line of text in a node. `role` is a key of STYLES in dot.py."""

    text: str
    role: str


# ---------------------------------------------------------------------------------- short texts


def short(text, longest=LONGEST):
    """One printable line of at most `longest` letters."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return line if len(line) <= longest else line[: longest - 3] + "..."


def joined(separator, *texts):
    """The texts that are not empty, with separators between them."""
    return separator.join(filter(None, texts))


def count(n, what):
    return f"{n:,} {what}" + "s" * (n != 1)


def times(n):
    return f" x{n:,}" if n > 1 else ""


def percent(share):
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def number(x, digits=3):
    """A number, rounded: 2.76, 1234, 1.2e-8."""
    if not isinstance(x, (float, np.floating)):
        return str(x)
    text = f"{x + 0.0:.{digits}g}"  # -0 becomes 0
    if "e" in text and 1 <= abs(x) < 1e5:
        return f"{x:.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text)


# --------------------------------------------------------------------------------------- arrays


class Numbers:
    """The statistics of the finite entries of arrays; `bad` counts the other entries.

    `min` and `max` are in the dtype of the arrays.
    """

    mean = std = min = max = math.nan
    bad = 0

    def __init__(self, *arrays):
        array = np.concatenate(arrays, axis=None) if arrays[1:] else arrays[0]
        self.dtype, self.size = array.dtype, array.size
        self.chunks = getattr(array, "chunksize", ()) if is_foreign(array) else None
        if self.size == 0 or self.dtype.kind == "c" or self.chunks is not None:
            return
        entries = array[np.isfinite(array)]
        self.bad = array.size - entries.size
        some = entries if entries.size else array
        self.min, self.max = some.min(), some.max()
        if self.min == self.max:  # a sum would only give a rounded mean
            self.mean, self.std = float(self.min), 0.0
        elif entries.size:
            # powers of two keep every bit, and no square is too large or too small
            exponent = np.frexp(max(abs(float(self.min)), abs(float(self.max))))[1]
            scaled = np.ldexp(entries.astype(float), -exponent)
            self.mean, self.std = np.ldexp([scaled.mean(), scaled.std()], exponent).tolist()

    def __str__(self):
        """`= 2.76`, `-0.03 ± 0.32` (mean and standard deviation), `all 0`, `int 0..3`."""
        if self.chunks is not None:
            return f"chunks {self.chunks}"
        if self.size == 0 or self.dtype.kind == "c":
            return "empty" if self.size == 0 else "complex"
        if self.size == 1:
            return f"= {number(self.min.item())}"
        if self.bad:
            return f"{self.bad:,} nan/inf"
        if self.dtype.kind == "b":
            return f"{self.mean:.0%} true"
        if self.dtype.kind in "iu":
            return f"int {self.min}..{self.max}"
        return f"all {number(self.min)}" if self.min == self.max else _spread(self.mean, self.std)


def _spread(mean, std):
    """`mean ± std`, both rounded at the second digit of std, if std has a usual size."""
    if 1e-3 <= std < 1e4 > abs(mean):
        digits = max(0, 1 - math.floor(math.log10(std)))
        return f"{round(mean, digits) + 0.0:.{digits}f} ± {std:.{digits}f}"
    digits = 2 + len(f"{abs(mean) / max(std, 1e-300):.0f}")
    return f"{number(mean, min(digits, 8))} ± {number(std, 2)}"


def parameters(nodes):
    """`53 parameters`: how many numbers are in the parameters among these nodes, or ""."""
    sizes = [node.last.size for node in nodes if node.is_parameter]
    return count(sum(sizes), "parameter") if sizes else ""


# ------------------------------------------------------------------------------------ arguments


def argument(x):
    """An argument in short: 0.5, inverted, (1:3, ...)."""
    if isinstance(x, (Tensor, np.ndarray)):
        return argument(data_of(x).item()) if x.ndim == 0 else "array"
    if isinstance(x, slice):
        parts = [x.start, x.stop] + [x.step] * (x.step is not None)
        return ":".join("" if part is None else argument(part) for part in parts)
    if isinstance(x, (tuple, list)):
        return f"({', '.join(map(argument, x[:LONGEST]))}{',' * (len(x) == 1)})"
    return short("..." if x is ... else number(getattr(x, "__name__", x), 4))


def law(noise):
    """The law that noise was drawn from: Bernoulli(keep=0.5)."""
    return short(repr(noise.distribution))


def attributes(node):
    """The settings of a node, in one line.

    An op shows its numbers, and its settings that differ from their default. A composition shows
    the settings of its windows, and the names of its ops. A node that takes noise shows how the
    noise is drawn.
    """
    results = [t for t in node.tensors if t.args]
    random = [t for t in results if t.op.kind == "random"]
    noise = [a for t in node.tensors for a in (t, *(t.args or ())) if isinstance(a, Noise)]
    if noise and not random:
        words = map(law, noise)
    elif random or len(results) == 1:
        words = map(_numbers, random or results)
    else:
        words = [*(_unusual(t, {*WINDOWS}) for t in results), *(t.op.name for t in results)]
    return short(joined(", ", *dict.fromkeys(words)))


def _numbers(t):
    """The numbers and settings among the arguments of a result."""
    if t.op.name in UFUNCS and not all(map(is_operand, t.args)):
        return UFUNCS[t.op.name].format(*("x" if is_operand(a) else argument(a) for a in t.args))
    return _unusual(t, {*settings(t)})


def _unusual(t, names):
    """`name=value` of the settings with these names that differ from their default."""
    usual, given = WINDOWS | t.op.defaults, settings(t).items()
    told = {n: a for n, a in given if n in names and not (n in usual and _same(a, usual[n]))}
    return ", ".join(f"{name}={argument(a)}" for name, a in told.items())


def _same(value, default):
    values = value if isinstance(value, tuple) and value else (value,)
    return all(repr(x) == repr(default) for x in values)


# ---------------------------------------------------------------------------------------- rules


def rule_source(op, i):
    """The rule for the i-th argument of an op: (its lines, the module and line where it stands)."""
    rule = inspect.unwrap(op.rules[i])
    code = getattr(rule, "__code__", None)
    lines = linecache.getlines(code.co_filename) if code else []
    if not lines:
        return f"{getattr(rule, '__name__', type(rule).__name__)}: its source is not at hand", ""
    last = max(line for *_, line in code.co_lines() if line)
    source = textwrap.dedent("".join(lines[code.co_firstlineno - 1 : last]))
    return source.strip(), f"{rule.__module__}, line {code.co_firstlineno}"


# ----------------------------------------------------------------------------------------- rows


def rows(node):
    """The Rows of a node, from top to bottom. A new row also needs a style in dot.py."""
    shown, shape = node.graph.options, str(node.last.shape or "")
    if node.inside and shape:
        shapes = {part.last.shape for part in node.inside}
        each = f"each {shape}" if len(shapes) == 1 else ""
        shape = each if node.is_leaf else f"out {shape}"
    rows = [
        *contents(node),
        Row(shape, "shape"),
        Row("" if node.inside else attributes(node), "attribute"),
        Row("freed: use backward(retain_graph=True)" * (node.last.args is None), "note"),
        *measured(node),
        *(row for row in node.told if shown.values or row.role != "term"),
        *alarms(node.inside),
        *verdicts(node),
    ]
    return [row for row in rows if row.text]


def contents(node):
    """Rows with the contents of a card."""
    if node.inside:
        size = count(len(node.inside), "node") if node.kind == "module" else ""
        random = Counter(f"{p.label} {attributes(p)}" for p in node.inside if p.kind == "random")
        yield Row(joined(", ", size, parameters(node.inside)), "attribute")
        yield from (Row(short(line + times(n), 60), "attribute") for line, n in random.items())


def measured(node):
    """The value and the gradient of a node, if they are shown."""
    shown, x, g = node.graph.options, node.value, node.gradient
    if shown.values:
        is_bad = x.bad and node.last.requires_grad  # else it may hold -inf, as a mask does
        yield Row(str(x), "band" if is_bad else "number" if x.size == 1 else "value")
    if shown.grads and g:
        role = "band" if g.bad else "alarm" if g.min == g.max == 0 else "gradient"
        yield Row(f"∂ {g}".replace("= ", ""), role)
    elif shown.grads and node.kind == "parameter" and node.graph.gradients:
        yield Row("∂ not computed", "note")  # without any gradient, the heading says so


def alarms(nodes):
    """Rows that say what is wrong or missing, and at which of these nodes: `nan/inf: fc1.weight`.

    Each Row names at most two nodes. Red bands come first.
    """
    names = {}
    for node in nodes:
        for text, role in (*measured(node), *verdicts(node)):
            if role in ("band", "alarm", "note"):
                kind = re.sub(r"= \S+|[\d,]+ nan/inf", "nan/inf", text), role
                names.setdefault(kind, []).append(node.path())
    for (text, role), paths in sorted(names.items(), key=lambda item: item[0][1] != "band"):
        more = f" and {len(paths) - 2} more" if paths[2:] else ""
        yield Row(f"{text}: {short(', '.join(paths[:2]))}{more}", role)


def verdicts(node):
    """The gravest verdict of check_graph on a node. For a card, how many of its nodes are right."""
    if node.inside:
        passed = sum(check.passed for check in node.checks)
        return [Row(f"grad ok: {passed:,} of {len(node.checks):,}", "ok")] if passed else []
    return [row for check in node.checks for row in _verdict(check)]


def _verdict(check):
    if check.passed:
        kink = ", at a kink" if check.verdict == "KINK" else ""
        return [Row(f"grad ok {shown(check.error)}{kink}", "ok")]
    role = {"AFFECTED": "alarm", "VACUOUS": "note"}.get(check.verdict, "band")
    return [Row(f"grad check {check.verdict}", role), *(_reasons(check) if check.wrong else [])]


def _reasons(check):
    note = re.sub(r"-?\d+\.\d{3,}(e[-+]?\d+)?", lambda x: f"{float(x[0]):.3g}", check.note)
    lines = [line for part in note.split("Diagnosis: ") for line in textwrap.wrap(part, 44)]
    return [Row(line, "reason") for line in lines[:MOST_REASONS]]

"""What is said in short: of arrays, arguments, rules, and verdicts of gradient checks."""

import ast
import linecache
import math
import re
import textwrap
from functools import cache
from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..noise import Bernoulli, Noise, Normal
from .dot import WIDEST, Row, short

SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}
WINDOWS = {
    "size": None,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "bias": None,
}  # settings of windows, and what their functions take if none is given
REASONS = 6  # lines of what is wrong


def count(n, what):
    return f"{n:,} {what}" + "s" * (n != 1)


def times(n):
    return f" x{n:,}" * (n > 1)


def span(words):
    """`first to last`."""
    return " to ".join(dict.fromkeys((words[0], words[-1])))


def percent(share):
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def number(x, digits=3):
    """A number to so many digits: 2.76, 1.80, 1234, 1.2e-8; if fewer are all there is to it, without zeros: 1.8, 0."""
    if not isinstance(x, (float, np.floating)):
        return str(x)
    text = f"{x + 0.0:.{digits}g}"  # -0 is 0
    if not math.isclose(float(text), x, rel_tol=1e-6):
        text = f"{x:#.{digits}g}".rstrip(".")
    return f"{x:.0f}" if "e" in text and 1 <= abs(x) < 1e5 else _plain(text)


def _plain(text):
    """Without zeros and plus in the exponent."""
    return re.sub(r"e\+?(-?)0*", r"e\1", text)


# --------------------------------------------------------------------------------------- of arrays


class Numbers(NamedTuple):
    """The statistics of an array: of those entries that are finite."""

    shape: tuple
    dtype: np.dtype
    bad: int = 0  # entries that are not finite
    mean: float = math.nan
    std: float = math.nan
    low: float = math.nan  # in the array's own dtype
    high: float = math.nan
    zeros: int = 0

    size = property(lambda self: math.prod(self.shape))
    rms = property(lambda self: math.nan if self.bad else math.hypot(self.mean, self.std))
    all_zero = property(lambda self: self.zeros == self.size > 0)

    def __str__(self):
        """An array in a line: `= 2.76`, `-0.03 ± 0.32` (mean and standard deviation), `all 0`, `int 0..3`."""
        if self.size == 0 or self.dtype.kind == "c":
            return "empty" if self.size == 0 else "complex"
        if self.size == 1:
            return f"= {number(self.low.item())}"
        if self.bad:
            return f"{self.bad:,} nan/inf"
        if self.dtype.kind == "b":
            return f"{self.mean:.0%} true"
        if self.dtype.kind in "iu":
            return f"int {self.low}..{self.high}"
        return f"all {number(self.low)}" if self.low == self.high else _spread(self.mean, self.std)

    def in_full(self):
        if self.size <= 1 or self.dtype.kind == "c":
            return f"{self.mean:.9g}" if self.size == 1 and not self.bad else str(self)
        bad = f"{self.bad:,} of {self.size:,} are nan/inf, " * bool(self.bad)
        return f"{bad}mean {self.mean:.6g}, std {self.std:.6g}, min {self.low:.6g}, max {self.high:.6g}, {self.zeros / self.size:.0%} zero"


@np.errstate(all="ignore")
def numbers(x):
    """The statistics of a Tensor or an array."""
    array = np.asarray(data_of(x))
    if array.size == 0 or array.dtype.kind == "c":
        return Numbers(array.shape, array.dtype)
    finite = (
        array[np.isfinite(array)]
        if array.dtype.kind == "f" and not np.isfinite(array).all()
        else array
    )
    if finite.size == 0:
        return Numbers(array.shape, array.dtype, array.size, low=array.flat[0])
    low, high = finite.min(), finite.max()
    mean, std = (
        (np.mean(finite, dtype=float), np.std(finite, dtype=float)) if low < high else (low, 0.0)
    )
    zeros = finite.size - np.count_nonzero(finite)
    return Numbers(
        array.shape,
        array.dtype,
        array.size - finite.size,
        float(mean),
        float(std),
        low,
        high,
        zeros,
    )


def _spread(mean, std):
    """`mean ± std`, both to the second digit of the std."""
    if not 0 < std < math.inf:
        return f"{number(mean)} ± {number(std, 2)}"
    power, size = (math.floor(math.log10(float(f"{x:.1e}"))) for x in (std, max(abs(mean), std)))
    if size - power > 5:
        return _plain(f"{mean:.8g} ± {std:.2g}")
    scale = 0 if size > -4 and power < 4 else size
    digits = max(0, 1 - power + scale)
    mean, std = round(mean / 10**scale, digits) + 0.0, std / 10**scale
    return (
        f"({mean:.{digits}f} ± {std:.{digits}f})e{scale}"
        if scale
        else f"{mean:.{digits}f} ± {std:.{digits}f}"
    )


# ------------------------------------------------------------------------------------ of arguments


def is_number(x):
    return isinstance(x, (int, float, np.generic)) or (isinstance(x, np.ndarray) and x.ndim == 0)


def is_operand(x):
    """Whether an argument is a node of the graph, or an array: no number and no setting."""
    return isinstance(x, (Tensor, np.ndarray)) and not is_number(x)


def argument(x):
    """An argument in short: 0.5, inverted, (1:3, ...)."""
    if isinstance(x, (Tensor, np.ndarray)):
        return argument(data_of(x).item()) if x.ndim == 0 else "array"
    if isinstance(x, (float, np.floating)):
        return _plain(f"{x:.4g}")
    if isinstance(x, slice):
        parts = [x.start, x.stop] + [x.step] * (x.step is not None)
        return ":".join("" if part is None else argument(part) for part in parts)
    if isinstance(x, (tuple, list)):
        return f"({', '.join(map(argument, x[:WIDEST]))}{',' * (len(x) == 1)})"
    return short("..." if x is ... else getattr(x, "__name__", x))


def settings(box, constants=False):
    """What is to be known of a box besides its inputs: what differs from the default, numbers; of a composition windows and ops, or what is random."""
    if box.kind == "noise":
        return law(box.last)
    if box.is_leaf or not box.last.args:
        return ""
    random = [word for t in box.members for word in _random(t)]
    if len(box.members) > 1 or random:
        windows = [
            f"{name}={argument(a)}"
            for t in box.members
            for name, a in _settings(t)
            if name in WINDOWS
        ]
        return short(", ".join(dict.fromkeys(random or windows + [t.op.name for t in box.members])))
    return short(_given(box.last, constants))


def _random(t):
    """What a result tells of the noise it takes: dropout its own settings, other ops the law."""
    noise = [a for a in t.args or () if isinstance(a, Noise)]
    return (
        [_given(t)]
        if "noise" in t.op.names
        else [word for a in noise for word in (_rate(a), law(a)) if word]
    )


def _given(t, constants=False):
    """The arguments of a result that are no nodes: settings that differ from the default, and numbers."""
    op, args = t.op, t.args
    if op.name in SYMBOLS and any(map(is_number, args)):
        return (
            ""
            if constants
            else f" {SYMBOLS[op.name]} ".join(argument(a) if is_number(a) else "x" for a in args)
        )
    drawn = {op.names[i] for i, a in enumerate(args) if constants and is_number(a) and op.rules[i]}
    return ", ".join(f"{name}={argument(a)}" for name, a in _settings(t) if name not in drawn)


def _settings(t):
    """(name, value) of the arguments of a result that are no nodes and differ from the default."""
    usual = WINDOWS | t.op.defaults
    given = [(t.op.names[i], a) for i, a in enumerate(t.args or ()) if not is_operand(a)]
    return [(name, a) for name, a in given if name not in usual or not _same(a, usual[name])]


def _same(value, default):
    if isinstance(value, tuple) and value:
        return all(_same(x, default) for x in value)
    return value is default or (
        type(value) is type(default)
        and isinstance(default, (bool, int, float, str))
        and value == default
    )


def law(noise):
    """The law that noise was drawn from."""
    law = noise.distribution
    return short(
        type(law).__name__ if type(law).__repr__ is object.__repr__ else law
    )  # a bare repr holds an address


def _rate(noise):
    """The p of dropout with such noise. Of Gaussian dropout, too, it is variance / (mean^2 + variance)."""
    law = noise.distribution
    return (
        f"p={law.variance / (law.mean**2 + law.variance):.4g}"
        if isinstance(law, (Bernoulli, Normal)) and law.mean
        else ""
    )


# ----------------------------------------------------------------------------------------- of rules


def rule_source(op, i):
    """The text of the rule of the i-th argument, of a lambda the lambda alone, and where it stands."""
    last = len(op.names) - 1  # which may stand for any number of arguments
    rule = op.rules[min(i, last)]
    code = getattr(rule, "__code__", None)
    text = "".join(linecache.getlines(code.co_filename)) if code else ""
    found = [(node, name) for node, name in _functions(text) if code.co_firstlineno == node.lineno]
    found = [node for node, name in found if name == op.names[min(i, last)]] or [
        node for node, _ in found
    ]
    if not found:
        return f"{getattr(rule, '__name__', type(rule).__name__)}: its source is not at hand", ""
    source = (
        ast.get_source_segment(text, found[0], padded=True)
        if len(found) == 1
        else linecache.getline(code.co_filename, code.co_firstlineno)
    )
    return textwrap.dedent(source).strip(), f"{rule.__module__}, line {code.co_firstlineno}"


@cache
def _functions(text):
    """(node, name) of all functions in a Python file; a lambda is named by the keyword it is passed as."""
    try:
        tree = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return []
    keywords = {n.value: n.arg for n in tree if isinstance(n, ast.keyword)}
    return [(n, keywords.get(n)) for n in tree if isinstance(n, (ast.Lambda, ast.FunctionDef))]


# ----------------------------------------------------------------------------------------- of checks

VERDICTS = {  # gravest first
    "NONFINITE": ("GRAD CHECK NOT FINITE", "band"),
    "STOCHASTIC": ("GRAD CHECK STOCHASTIC", "band"),
    "FAIL": ("GRAD CHECK FAILED", "band"),
    "AFFECTED": ("AFFECTED by a wrong node", "alarm"),
    "KINK": ("grad ok, at a KINK", "ok"),
    "OK": ("grad ok", "ok"),
    "VACUOUS": ("grad not tested (VACUOUS)", "missing"),
}


def verdict_rows(rows):
    """What check_graph found of one node, gravest first; none if it did not look."""
    if not rows:
        return []
    row, (words, role) = rows[0], VERDICTS[rows[0].verdict]
    if row.verdict == "OK":
        words += f" {row.error:.1e}" if row.error else ", exact"
    return [Row(words, role), *(_reasons(row) if row.wrong else [])]


def _reasons(row):
    error = [f"relative error {row.error:.2g}"] * math.isfinite(row.error)
    note = re.sub(r" \(its error about [^)]*\)", "", row.note)
    note = re.sub(r"-?\d+\.\d{3,}(e[-+]?\d+)?", lambda number: f"{float(number[0]):.3g}", note)
    lines = [line for part in note.split("Diagnosis: ") for line in textwrap.wrap(part, 38)]
    return [Row(line, "reason") for line in error + lines[:REASONS]]

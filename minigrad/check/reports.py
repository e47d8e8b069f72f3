"""What checks show: reports as text and as tables in notebooks, and progress."""

import sys
import time
from collections import Counter
from dataclasses import dataclass
from html import escape

import numpy as np

from ..tables import aligned
from .verdict import FAILING, SEVERITY

PATIENCE = 2.0  # seconds without a word
COLOURS = {"OK": "#1a7f37", "KINK": "#1a7f37", "VACUOUS": "#9a6700", "UNKNOWN": "#9a6700"}
RED = "#cf222e"  # every other verdict


@dataclass(repr=False)
class Row:
    """One line of a report: a node whose rules were checked, or a leaf whose whole gradient was."""

    name: str  # as in a picture; equal names are numbered
    op: str
    module: str
    shape: tuple
    error: float
    verdict: str
    order: int  # of the Tensor in the checked graph
    note: str = ""  # what was seen, where it is not simply right
    rule: str = ""  # which rule is wrong, with file and line

    severity = property(lambda self: SEVERITY.index(self.verdict))  # 0 is worst
    wrong = property(lambda self: self.verdict in FAILING)
    passed = property(lambda self: self.verdict in ("OK", "KINK"))

    def __repr__(self):
        return f"Row({self.name} {self.shape}: {self.verdict})"


class Report:
    """What check_graph found. True if nothing failed; printed, a table."""

    def __init__(self, rows):
        self.rows = rows

    def __bool__(self):
        tested = any(row.op == "leaf" and row.passed for row in self.rows)
        return tested and not any(row.wrong or row.verdict == "AFFECTED" for row in self.rows)

    @property
    def first_wrong(self):
        """The first row that failed, or None. Later failures may be its consequences."""
        return next((row for row in self.rows if row.wrong), None)

    def verdict(self):
        """One line."""
        if wrong := self.first_wrong:
            how = f", relative error {wrong.error:.2g}" if np.isfinite(wrong.error) else ""
            return f"gradient check FAILED: the first wrong node is {wrong.name}{how}"
        if not self:
            return "gradient check VACUOUS: every gradient is 0, or rounding: nothing was tested"
        tested = Counter(row.op == "leaf" for row in self.rows if row.passed)
        words = f"{tested[False]} nodes and {tested[True]} leaves"
        if silent := len(self.rows) - tested.total():
            words += f", {silent} VACUOUS"
        error = shown(max(row.error for row in self.rows))
        return f"gradient check passed: {words}, largest relative error {error}"

    def lines(self):
        """The rows of the table, its head first."""
        head = ("node or leaf", "shape", "error", "verdict")
        return [head, *((r.name, str(r.shape), shown(r.error), r.verdict) for r in self.rows)]

    def notes(self):
        """The lines below the table."""
        for row in self.rows:
            if row.rule:
                yield f"{row.name}: the rule of {row.rule} is wrong."
            if row.note:
                yield f"{row.name}: {row.note}"
        yield self.verdict()

    def __repr__(self):
        return "\n".join([*(aligned(self.lines()) if self.rows else ()), *self.notes()])

    def _repr_html_(self):
        """The same for notebooks: the head is first, the last column is coloured."""
        (head, *rows), cell = self.lines(), "<td style='text-align:left'>"
        body = ["<table><tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr>"]
        for *cells, verdict in rows:
            colour = COLOURS.get(verdict, RED)
            cells = "".join(f"{cell}{escape(c)}</td>" for c in cells)
            body.append(
                f"<tr>{cells}{cell}<b style='color:{colour}'>{escape(verdict)}</b></td></tr>"
            )
        return "".join([*body, "</table>", *(f"<p>{escape(note)}</p>" for note in self.notes())])


def shown(error):
    """An error as reports print it: below 1e-15 it differs from one processor to another."""
    return f"{error:.1e}" if not 0 < error < 1e-15 else "< 1e-15"


def progress(items, what, units):
    """Goes through a list, and after two seconds says now and then how far it is."""
    begin, told = time.monotonic(), 0.0
    for i, item in enumerate(items):
        passed = time.monotonic() - begin
        if passed > max(PATIENCE, 2 * told):
            told = passed
            print(f"{what}: {i} of {len(items)} {units}, {passed:.0f} s", file=sys.stderr)
        yield item

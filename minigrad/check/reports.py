"""What checks show: the report of a graph, and progress."""

import sys
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..tables import Table
from .verdict import FAILING, SEVERITY

PATIENCE = 2.0  # seconds before the first message: short runs print nothing


@dataclass
class Row:
    """One line of a report: a node whose rules were checked, or a leaf whose whole gradient was."""

    name: str  # as in a picture; equal names are numbered
    op: str
    shape: tuple
    order: int  # of the Tensor in the checked graph
    verdict: str
    error: float  # relative; nan for AFFECTED
    note: str = ""  # what was seen, unless all is right
    rule: str = ""  # which rule is wrong, with file and line

    severity = property(lambda self: SEVERITY.index(self.verdict), doc="0 is worst.")
    wrong = property(lambda self: self.verdict in FAILING, doc="Whether the verdict is a failure.")
    passed = property(lambda self: self.verdict in ("OK", "KINK"), doc="Whether it is right.")


class Report(Table):
    """What check_graph found. Printed, it is a table.

    True if a leaf is right, and nothing is wrong.
    """

    right = (2,)

    def __init__(self, rows):
        self.rows = rows

    def __bool__(self) -> bool:
        return any(row.op == "leaf" and row.passed for row in self.rows) and not self.first_wrong

    @property
    def first_wrong(self) -> "Row | None":
        """The first row that failed, or None. Later failures may be its consequences."""
        return next((row for row in self.rows if row.wrong), None)

    def verdict(self) -> str:
        """The outcome in one line."""
        if wrong := self.first_wrong:
            how = f", relative error {wrong.error:.2g}" if np.isfinite(wrong.error) else ""
            return f"gradient check FAILED: the first wrong node is {wrong.name}{how}"
        if not self:
            return "gradient check VACUOUS: every gradient is 0, or rounding: nothing was tested"
        tested = Counter(row.op == "leaf" for row in self.rows if row.passed)
        leaves = "1 leaf" if tested[True] == 1 else f"{tested[True]} leaves"
        words = f"{tested[False]} node{'s' * (tested[False] != 1)} and {leaves}"
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


def shown(error):
    """An error as text. Below 1e-15 it differs between processors, so no digits are shown."""
    if np.isnan(error):  # AFFECTED, or not tested
        return "-"
    return "< 1e-15" if error < 1e-15 else f"{error:.1e}"


def progress(items, what, units):
    """Yields the items. After two seconds it prints now and then how far it is."""
    begin, due = time.monotonic(), PATIENCE
    for i, item in enumerate(items):
        passed = time.monotonic() - begin
        if passed > due:
            due = 2 * passed
            print(f"{what}: {i} of {len(items)} {units}, {passed:.0f} s", file=sys.stderr)
        yield item

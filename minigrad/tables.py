"""Tables: how reports, ledgers and summaries print, and how a notebook shows them."""

from html import escape

GREEN, YELLOW, RED = "#1a7f37", "#9a6700", "#cf222e"
COLOURS = {"OK": GREEN, "KINK": GREEN, "VACUOUS": YELLOW, "UNKNOWN": YELLOW}
COLOURS |= dict.fromkeys(["FAIL", "AFFECTED", "NONFINITE", "STOCHASTIC"], RED)


class Table:
    """A table, shown as text, and in a notebook as HTML. A subclass has

    lines()  the rows, tuples of strings, their head first
    notes()  the lines of text below the table
    right    the columns that hold numbers
    sums     how many rows at the end are sums of the others
    """

    right, sums = (), 0

    def notes(self):
        return []

    def __str__(self):
        rows = self.lines()
        return "\n".join([*(ruled(rows, self.right, self.sums) if rows[1:] else []), *self.notes()])

    __repr__ = __str__

    def _repr_html_(self):
        head, *rows = self.lines()
        body = [self._row("th", head), *(self._row("td", row) for row in rows)]
        if self.sums:
            body[-self.sums] = body[-self.sums].replace("style='", "style='border-top:1px solid;")
        notes = [f"<p>{escape(note)}</p>" for note in self.notes()]
        return "".join([*(["<table>", *body, "</table>"] if rows else []), *notes])

    def _row(self, tag, texts):
        cells = []
        for i, text in enumerate(texts):
            side, shown = "right" if i in self.right else "left", escape(text)
            if text in COLOURS:
                shown = f"<b style='color:{COLOURS[text]}'>{shown}</b>"
            cells.append(f"<{tag} style='text-align:{side}'>{shown}</{tag}>")
        return f"<tr>{''.join(cells)}</tr>"


def ruled(rows, right=(), sums=0):
    """The lines of a table as text, with a rule below the head, below the rows and above sums."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = zip(row, widths)
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(cells)]
        lines.append("  ".join(padded).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    end = len(rows) - sums
    return [lines[0], rule, *lines[1:end], rule, *lines[end:]]


class Listing(str):
    """A text that a notebook shows as `print` does."""

    __repr__ = str.__str__

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
        return "\n".join([*self._text(), *self.notes()])

    __repr__ = __str__

    def _text(self):
        """The lines of the table, with a rule below the head, below the rows and above sums."""
        rows = self.lines()
        widths = [max(map(len, column)) for column in zip(*rows)]
        sides = [">" if i in self.right else "<" for i in range(len(widths))]
        cells = [f"{{:{side}{width}}}" for side, width in zip(sides, widths)]  # such as "{:>12}"
        head, *lines = ["  ".join(cells).format(*row).rstrip() for row in rows]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        end = len(lines) - self.sums
        return [head, rule, *lines[:end], rule, *lines[end:]] if lines else []

    def _repr_html_(self):
        rows, html = self.lines(), ""
        for number, row in enumerate(rows):
            tag = "td" if number else "th"
            border = "border-top:1px solid;" if number == len(rows) - self.sums else ""
            html += "<tr>"
            for i, text in enumerate(row):
                side, shown = "right" if i in self.right else "left", escape(text)
                if text in COLOURS:
                    shown = f"<b style='color:{COLOURS[text]}'>{shown}</b>"
                html += f"<{tag} style='{border}text-align:{side}'>{shown}</{tag}>"
            html += "</tr>"
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return (f"<table>{html}</table>" if rows[1:] else "") + notes


class Listing(str):
    """A text that a notebook shows as `print` does."""

    __repr__ = str.__str__

"""Tables of text, as reports print them, and of HTML, as notebooks show them."""

from html import escape


def aligned(rows, right=()):
    """Rows of strings as lines with aligned columns: to the right those with numbers in `right`."""
    widths = _widths(rows)
    lines = []
    for row in rows:
        cells = zip(row, widths)
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(cells)]
        lines.append("  ".join(padded).rstrip())
    return lines


def ruled(rows, right=(), footer=0):
    """The same as one text, with a rule below the first row and above the last `footer` rows."""
    lines = aligned(rows, right)
    rule = "-" * (sum(_widths(rows)) + 2 * (len(rows[0]) - 1))
    end = len(rows) - footer
    return "\n".join([lines[0], rule, *lines[1:end], rule, *lines[end:]])


class Table:
    """A result that prints as a table, and that a notebook shows as one. A subclass has:

    lines()  rows of strings, the head first
    notes()  lines below the table
    right    the columns of numbers
    """

    right = ()

    def __str__(self):
        return "\n".join([ruled(self.lines(), self.right), *self.notes()])

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        rows = []
        for row in self.lines():
            aligned = ["right" if i in self.right else "left" for i in range(len(row))]
            cells = (f"<td style='text-align:{a}'>{escape(c)}</td>" for a, c in zip(aligned, row))
            rows.append(f"<tr>{''.join(cells)}</tr>")
        head = rows[0].replace("td", "th")
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return f"<table>{head}{''.join(rows[1:])}</table>{notes}"


def _widths(rows):
    return [max(map(len, column)) for column in zip(*rows)]

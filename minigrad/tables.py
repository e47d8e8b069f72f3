"""Tables: how reports, ledgers and summaries print, also in a notebook."""


class Table:
    """What shows as a table. A subclass has

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
        return "\n".join([*(self._ruled(rows) if rows[1:] else []), *self.notes()])

    __repr__ = __str__

    def _ruled(self, rows):
        """The rows as text, with a rule below the head, below the rows and above the sums."""
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = []
        for row in rows:
            cells = enumerate(zip(row, widths))
            padded = [c.rjust(w) if i in self.right else c.ljust(w) for i, (c, w) in cells]
            lines.append("  ".join(padded).rstrip())
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        end = len(rows) - self.sums
        return [lines[0], rule, *lines[1:end], rule, *lines[end:]]


class Listing(str):
    """A text that a cell of a notebook shows as it prints."""

    __repr__ = str.__str__

"""Tables of text, as reports print them."""


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


def _widths(rows):
    return [max(map(len, column)) for column in zip(*rows)]

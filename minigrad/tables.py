"""Tables of text, as reports print them."""


def aligned(rows, right=()):
    """Rows of strings as lines with aligned columns; the columns `right` end alike, the others begin alike."""
    widths = _widths(rows)
    return [
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def ruled(rows, right=(), footer=0):
    """The same as one text, with a rule below the first row and one above the last `footer` rows."""
    lines, rule, end = (
        aligned(rows, right),
        "-" * (sum(_widths(rows)) + 2 * (len(rows[0]) - 1)),
        len(rows) - footer,
    )
    return "\n".join([lines[0], rule, *lines[1:end], rule, *lines[end:]])


def _widths(rows):
    return [max(map(len, column)) for column in zip(*rows)]

"""What reports and long checks show: errors, tables in notebooks, progress."""

import sys
import time
from html import escape

PATIENCE = 2.0  # seconds without a word
COLOURS = {"OK": "#1a7f37", "KINK": "#1a7f37", "VACUOUS": "#9a6700", "UNKNOWN": "#9a6700"}
RED = "#cf222e"  # every other verdict


def shown(error):
    """An error as reports print it: below 1e-15 it differs from one processor to another."""
    return f"{error:.1e}" if not 0 < error < 1e-15 else "< 1e-15"


def table(lines, notes):
    """Rows of strings as an HTML table: the head is first, the last column is coloured."""
    (head, *rows), cell = lines, "<td style='text-align:left'>"
    body = ["<table><tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr>"]
    for row in rows:
        colour = COLOURS.get(row[-1], RED)
        cells = "".join(f"{cell}{escape(c)}</td>" for c in row[:-1])
        body.append(f"<tr>{cells}{cell}<b style='color:{colour}'>{escape(row[-1])}</b></td></tr>")
    return "".join([*body, "</table>", *(f"<p>{escape(note)}</p>" for note in notes)])


def progress(items, what, units):
    """Goes through a list, and after two seconds shows how far it is.

    Where tqdm is installed it is a bar, else a line now and then.
    """
    begin, told, bar = time.monotonic(), 0.0, None
    for i, item in enumerate(items):
        passed = time.monotonic() - begin
        if bar is None and passed > max(PATIENCE, 2 * told):
            try:
                from tqdm import tqdm
            except ImportError:
                told = passed
                print(f"{what}: {i} of {len(items)} {units}, {passed:.0f} s", file=sys.stderr)
            else:
                bar = tqdm(total=len(items), initial=i, desc=what, unit=f" {units}", leave=False)
        yield item
        if bar is not None:
            bar.update()
    if bar is not None:
        bar.close()

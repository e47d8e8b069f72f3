"""A picture reads the same without colours: kinds differ in shape or border, verdicts in words.

contrast    WCAG 2.1: (lighter + 0.05) / (darker + 0.05) of relative luminances, at least 4.5 for
            text (success criterion 1.4.3)
vision      Machado, Oliveira & Fernandes 2009, "A Physiologically-based Model for Simulation of
            Color Vision Deficiency", severity 1
"""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest

from minigrad.check import reports
from minigrad.check.verdict import SEVERITY
from minigrad.drawing import dot
from minigrad.drawing.dot import EDGES, LOOKS, STYLES
from minigrad.drawing.labels import Row, verdicts
from minigrad.drawing.node import Edge

VISION = {
    "all colours": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
    "grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}


def linear(colour):
    """The linear RGB of #RRGGBB (IEC 61966-2-1)."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b, vision="all colours"):
    dark, light = sorted(
        float(np.clip(VISION[vision] @ linear(c), 0, 1) @ [0.2126, 0.7152, 0.0722]) for c in (a, b)
    )
    return (light + 0.05) / (dark + 0.05)


def node(kind, *rows):
    facts = {"id": "n0", "title": "title", "tooltip": "", "is_root": kind == "root"}
    return dot.node_line(SimpleNamespace(kind=kind, rows=list(rows), **facts))


def painted(text, fill):
    """(ink, the fill behind it) of the texts of an HTML-like label."""
    for name, value in re.findall(r'<TD|(BGCOLOR|COLOR)="(#\w{6})"', text):
        if not name:
            cell = fill
        elif name == "BGCOLOR":
            cell = value
        else:
            yield value, cell


def test_the_formulas():
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21) and contrast(
        "#777777", "#FFFFFF"
    ) == pytest.approx(4.48, abs=0.01)
    for matrix in VISION.values():
        assert np.allclose(matrix.sum(axis=1), 1, atol=2e-6)  # greys are seen as they are
    seen = [VISION["deuteranopia"] @ linear(c) for c in ("#FF0000", "#00FF00", "#0000FF")]
    assert (
        abs(seen[0] - seen[1])[:2].max() < 0.5 < abs(seen[0] - seen[2]).max()
    )  # red and green come close, blue stays apart


def test_kinds_of_nodes_and_edges_differ_without_colours():
    def bare(line):
        return re.sub(r"#\w{6}", "", line)

    for kinds, line in (
        (LOOKS, node),
        (EDGES, lambda style: dot.edge_line(Edge("a", "b", style=style), False)),
    ):
        for a, b in itertools.combinations(kinds, 2):
            assert bare(line(a)) != bare(line(b)), (a, b)


def test_verdicts_and_alarms_differ_in_words_and_borders():
    def words(verdict):
        check = reports.Row("x", "sin", (), 1, verdict, 0.5)
        return verdicts(SimpleNamespace(inside=[], checks=[check]))[0]

    told = {verdict: words(verdict).text for verdict in SEVERITY}
    assert len(set(told.values())) == len(told) == 7
    assert all(("ok" in text) == (v in ("OK", "KINK")) for v, text in told.items())
    widths = [
        re.findall(r"penwidth=([\d.]+)", node("operation", Row("text", role)))
        for role in ("value", "alarm", "band")
    ]
    assert widths == [[], ["2.0"], ["3.5"]]


@pytest.mark.parametrize("vision", VISION)
def test_text_stands_out_on_every_fill(vision):
    least = {}
    for kind, look in LOOKS.items():
        for role in STYLES:
            for ink, behind in painted(node(kind, Row("text", role)).split("label=")[1], look.fill):
                least[kind, role, ink, behind] = contrast(ink, behind, vision)
    fills = {look.fill for look in LOOKS.values()}
    assert {behind for *_, behind in least} == {*fills, dot.RED}
    for tint in (
        dot.WHITE,
        *dot.MODULE_TINTS,
    ):  # behind the names of modules, and the labels of edges
        least |= {(ink, tint): contrast(ink, tint, vision) for ink in (dot.DIM, "#000000")}
    notes = [style.colour for style in STYLES.values() if style.meaning and style.colour]
    for ink in [*notes, *(colour for _, _, colour in EDGES.values())]:
        least[ink, dot.WHITE] = contrast(ink, dot.WHITE, vision)
    worst = min(least, key=least.get)
    assert least[worst] >= 4.5, (worst, least[worst])


@pytest.mark.parametrize("vision", VISION)
def test_lines_stand_out_on_every_module(vision):
    """WCAG 2.1, success criterion 1.4.11: graphical objects 3:1."""
    inks = [ink for style, *_ in EDGES.values() for ink in re.findall(r"#\w{6}", style)] + [
        "#39424B",
        dot.RED,
    ]
    assert (
        min(contrast(ink, tint, vision) for ink in inks for tint in (dot.WHITE, *dot.MODULE_TINTS))
        >= 3
    )
    borders = [look.line for kind, look in LOOKS.items() if kind != "root"]
    assert min(contrast(line, dot.WHITE, vision) for line in borders) >= 3

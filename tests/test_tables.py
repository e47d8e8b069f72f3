"""Reports, ledgers and summaries: one way to print them, and to show them in a notebook."""

import xml.etree.ElementTree as ET

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad.tables import RED, Listing, Table


class Bill(Table):
    right, sums = (1,), 1

    def lines(self):
        return [("what", "costs"), ("a < b & c", "7"), ("FAIL", "30"), ("all", "37")]

    def notes(self):
        return ["<paid>"]


def test_a_table_as_text():
    assert (
        repr(Bill())
        == str(Bill())
        == (
            "what       costs\n"
            "----------------\n"
            "a < b & c      7\n"
            "FAIL          30\n"
            "----------------\n"
            "all           37\n"
            "<paid>"
        )
    )


def test_a_table_in_a_notebook_has_the_same_texts_and_sides_and_a_rule_above_sums():
    page = ET.fromstring(f"<body>{Bill()._repr_html_()}</body>")
    rows = page.findall("table/tr")
    texts = [tuple("".join(cell.itertext()) for cell in row) for row in rows]
    assert texts == Bill().lines() and page.find("p").text == "<paid>"
    assert [cell.tag for cell in rows[0]] == ["th", "th"]
    for row in rows:
        assert ["right" in cell.get("style") for cell in row] == [False, True]
    assert ["border-top" in row[0].get("style") for row in rows] == [False, False, False, True]
    assert [bold.get("style") for bold in page.iter("b")] == [f"color:{RED}"]


def test_a_table_without_rows_is_its_notes():
    class Empty(Bill):
        def lines(self):
            return [("what", "costs")]

    assert str(Empty()) == "<paid>" and Empty()._repr_html_() == "<p>&lt;paid&gt;</p>"


def test_an_expectation_names_its_gradients():
    w = mg.Tensor([3.0, 1.0], requires_grad=True, dtype=float, name="w")
    expected = mg.expectation((5 - F.dropout(w, 0.2, training=True).sum()) ** 2)
    # (5 - 4)^2 + 0.2/0.8 (3^2 + 1^2), and by w 2 (4 - 5) + 2 * 0.2/0.8 w
    assert str(expected).splitlines() == [
        "the mean of    shape  is",
        "---------------------------------",
        "loss           ()     3.5",
        "gradient by w  (2,)   [-0.5 -1.5]",
        "---------------------------------",
        "over 4 outcomes of the noise",
    ]
    (leaf,) = expected.gradients
    assert leaf is w and np.allclose(expected.gradients[w].data, [-0.5, -1.5])


def test_a_listing_is_a_string_that_shows_its_lines():
    x = mg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    for text in (mg.to_text(x * x), mg.to_dot(x * x)):
        assert isinstance(text, Listing) and repr(text) == str(text) and "\n" in repr(text)

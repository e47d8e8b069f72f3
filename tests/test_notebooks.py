"""Each percent file of examples/ is a notebook: its cells run, and what they display is readable."""

import ast
import re
from collections import namedtuple

import pytest
from notebooks import EXAMPLES, FILES, cells, read, run

from minigrad.drawing.render import renderers
from minigrad.tables import Table

percent_files = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_the_percent_files_are_known():
    assert EXAMPLES / "tour.py" in FILES and len(FILES) >= 9


@percent_files
def test_a_percent_file_is_a_notebook(path):
    found = cells(path)
    assert found[0][0] == found[-1][0] == "markdown" and found[0][1].startswith("# # ")
    assert max(map(len, read(path).splitlines())) <= 100
    for kind, source in found:
        assert source, "an empty cell"
        if kind == "markdown":
            assert all(line.startswith("# ") or line == "#" for line in source.splitlines())
        else:  # each cell is whole Python
            assert any(isinstance(node, ast.stmt) for node in ast.parse(source).body)


def is_readable(thing):
    """Whether a notebook, and a terminal, show more of a thing than its class and its fields."""
    text = repr(thing)
    named = re.match(r"\w+\(\w+=|{|'.*\\n", text) or " object at 0x" in text
    return not named and max(map(len, text.splitlines())) <= 240


def test_the_tour_displays_what_can_be_read(monkeypatch, capsys, own_registry):
    pytest.importorskip("matplotlib")
    if not renderers():
        pytest.skip("no Graphviz program: pip install graphviz-pure")
    names, shown = run(EXAMPLES / "tour.py", monkeypatch)
    others = [thing for thing in shown if type(thing).__name__ != "Figure"]
    assert len(others) == len(shown) - 1 >= 12  # one figure: the curve
    for thing in others:
        assert is_readable(thing), repr(thing)
    tables = [thing._repr_html_() for thing in others if isinstance(thing, Table)]
    assert len(tables) >= 9 and all(html.startswith("<table>") for html in tables)
    assert names["points"][-1][2] > 0.85
    assert "the gradients have the same bits" in capsys.readouterr().out


def test_what_is_not_readable():
    assert not is_readable(object()) and not is_readable({"a": 1}) and not is_readable("a\nb")
    assert not is_readable(namedtuple("Report", "rows")([1])) and is_readable("a")


def test_the_cells_of_the_last_step_run_as_a_notebook_does(monkeypatch, capsys):
    run(EXAMPLES / "from_scratch" / "8_again.py", monkeypatch)
    assert "equal to minigrad's" in capsys.readouterr().out


@percent_files
def test_jupyter_executes_a_percent_file(path, monkeypatch):
    """As `jupytext --to ipynb FILE` and `jupyter nbconvert --execute --to html` do."""
    remedy = "no Jupyter: pip install -e '.[notebooks]'"
    jupytext = pytest.importorskip("jupytext", reason=remedy)
    nbclient = pytest.importorskip("nbclient", reason=remedy)
    nbconvert = pytest.importorskip("nbconvert", reason=remedy)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    notebook = jupytext.read(path)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert page.count("<h1") == 1

"""The percent files of examples/: scripts that Jupytext and VS Code open as notebooks."""

import ast
import re
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def read(path):
    return path.read_text(encoding="utf-8")


FILES = sorted(path for path in EXAMPLES.rglob("*.py") if read(path).startswith("# %%"))


def cells(path):
    """[(kind, source)] of the cells of a file: kind is "code" or "markdown"."""
    found = []
    for line in read(path).splitlines():
        if marker := re.fullmatch(r"# %%( \[markdown\])?", line):
            found.append(("markdown" if marker[1] else "code", []))
        else:
            assert found, f"a line before the first cell: {line!r}"
            assert not line.startswith("# %%"), f"no cell begins like this: {line!r}"
            found[-1][1].append(line)
    return [(kind, "\n".join(lines).strip()) for kind, lines in found]


def run(path, monkeypatch):
    """Runs the cells one after the other in one namespace, without __file__, in the file's folder.

    Returns (the names that they define, all that they displayed).
    """
    shown = []

    def display(thing, display_id=None):
        shown.append(thing)

    monkeypatch.chdir(path.parent)
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", ["ipykernel", "--quick"])
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = {"__name__": "__main__", "display": display}
    for kind, source in cells(path):
        if kind == "code":
            *_, last = statements = ast.parse(source).body
            if isinstance(last, ast.Expr):
                last.value = ast.Call(ast.Name("display", ast.Load()), [last.value], [])
            tree = ast.fix_missing_locations(ast.Module(statements, []))
            exec(compile(tree, str(path), "exec"), names)
    return names, [thing for thing in shown if thing is not None]

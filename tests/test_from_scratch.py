"""The eight steps of examples/from_scratch/: they run, fail as they tell, and stay small."""

import ast
import re
import runpy
import sys
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from notebooks import cells
from numpy.random import PCG64, Generator

import minigrad as mg

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "from_scratch"
FILES = sorted(path.name for path in FOLDER.glob("*.py"))
MOST = dict.fromkeys(FILES, 120) | {"8_again.py": 207}  # lines, with prose

# What the failures print, by step. Each number is worked out on paper, beside it.
FAILURES = {
    "1_slopes.py": [r"with h = 1e-16 the slope is 0\.0, not 3\.756\."],  # e (sin 1 + cos 1)
    "2_scalars.py": [r"the slope by a is 12\.0 by hand, and 3\.0 in truth\."],  # 3 * 4, and 3
    "3_order.py": [
        r"the slope of x \* x at 3 is 3\.0, not 6\.0: .*",
        r"x = x \+ x, 16 times, makes 17 tensors, but backward makes 131,071 visits\.",  # 2^17 - 1
        r"a sum of 10,000 terms ends in a RecursionError\.",
    ],
    "4_rules.py": [
        r"printed, its rule is 'TensorOfStep3\.exp\.<locals>\.<lambda>'\. .*",
        r"the loss was dropped\. Is it freed\? False\.",
    ],
    "5_arrays.py": [r"the row has shape \(3,\), but its gradient has \(2, 3\)\."],
    "6_proof.py": [r"a wrong rule, but the loss falls: ([\d.]+) to ([\d.]+)\."],
    "7_noise.py": [
        r"by the right rules (\S+), by the complex step (\S+)\.",
        r"gradient steps give \[.*\]: 0 zeros\.",
    ],
    "8_again.py": [
        r"the slope of x\^3 at 2 is 12\.0\. The slope of the slope: .* no attribute 'backward'\."
    ],
}


class Step(NamedTuple):
    """One run of a step."""

    names: dict  # what it defines
    printed: str

    failures = property(lambda self: re.findall(r"^FAILURE: (.*)$", self.printed, re.M))


@cache
def step(name):
    """Runs a step, the last one with --quick. Its story has the seeds that are written in it."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(sys, "argv", [name, "--quick"])
        patch.setattr(np.random, "default_rng", lambda seed: Generator(PCG64(seed)))
        names = runpy.run_path(str(FOLDER / name))
    return Step(names, printed.getvalue())


def test_there_are_eight_steps():
    assert [int(name.split("_")[0]) for name in FILES] == list(range(1, 9))


@pytest.mark.parametrize("name", FILES)
def test_a_step_runs_and_fails_as_it_tells(name):
    failures = step(name).failures
    assert len(failures) == len(FAILURES[name])
    for failure, told in zip(failures, FAILURES[name]):
        assert re.fullmatch(told, failure), failure


@pytest.mark.parametrize("name", FILES)
def test_a_step_is_small_complete_and_plain(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST[name]
    modules = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    assert modules <= sys.stdlib_module_names | {"numpy", "minigrad"}


@pytest.mark.parametrize("name", FILES)
def test_a_step_has_its_title_and_its_two_headings(name):
    found = cells(FOLDER / name)
    assert found[0][1].startswith(f"# # Step {name[0]} of 8: ")
    headings = "\n".join(source for kind, source in found if kind == "markdown")
    assert "# ## It fails" in headings and "# ## The idea" in headings


@pytest.mark.parametrize("name", FILES)
def test_a_step_fails_before_its_idea_and_ends_with_the_question_of_the_next(name):
    found = cells(FOLDER / name)
    text = "\n".join(source for _, source in found)
    assert text.index("FAILURE") < text.index("# ## The idea")
    asserts = [
        kind == "code" and re.search(r"^\s*(assert |np.testing)", s, re.M) for kind, s in found
    ]
    assert asserts[-2], "the last code compares with minigrad"
    if name != FILES[-1]:
        following = FILES[FILES.index(name) + 1]
        assert re.search(
            r"\*\*[^*]*\?\*\*", found[-1][1].replace("x * x", "x x").replace("\n# ", " ")
        )
        assert following in found[-1][1]


# ---------------------------------------------------------------------------------- what they claim


def test_the_bug_of_step_2_is_mended_by_the_order_of_step_3():
    names = step("3_order.py").names
    Tensor, backward = names["Tensor"], names["backward"]
    x = Tensor(3.0)
    assert backward(x * x) == 2 and x.grad == 6.0
    x = Tensor(1.0)
    assert backward(names["doubled"](x, 60)) == 61 and x.grad == 2.0**60
    x = Tensor(0.5)
    y = x.exp() * x
    backward(y * y.exp() + y)  # d/dx (y e^y + y), y = x e^x
    value = 0.5 * np.exp(0.5)
    right = (np.exp(value) * (1 + value) + 1) * np.exp(0.5) * 1.5
    assert abs(x.grad / right - 1) < 1e-14


def test_step_4_mends_what_failed_and_prints_the_graph():
    printed = step("4_rules.py").printed
    assert "A loss was dropped. Is it freed? True." in printed
    program = re.findall(r"^t\d = (\w+)\(?([t\d, ]*)\)? ", printed, re.M)
    ops = [("leaf", ""), ("leaf", ""), ("multiply", "t0, t1"), ("exp", "t2"), ("add", "t2, t3")]
    assert [(op, args.strip()) for op, args in program] == ops
    arrows = re.search(r"digraph \{ (.*) \}", printed)[1].split("; ")
    told = [f"{x} -> t{i}" for i, (_, args) in enumerate(ops) for x in args.split(", ") if x]
    assert arrows == told


def test_the_check_of_step_6_finds_each_rule_that_is_broken():
    names = step("6_proof.py").names
    assert re.search(r"^tanh .* FAIL$", step("6_proof.py").printed, re.M)
    loss = names["loss_of"](**names["tensors"])
    ops = {node.op.name: node.op for node in loss.backward() if node.op}
    assert sorted(ops) == ["add", "matmul", "multiply", "subtract", "sum", "tanh"]
    for name, op in ops.items():
        for i, rule in enumerate(op.rules):
            op.rules[i] = lambda *given, rule=rule: rule(*given) * (1 + 1e-6)
            wrong = {(row[0], row[1]) for row in names["check"](loss) if not row[-1]}
            assert wrong == {(name, i)}
            op.rules[i] = rule
    assert all(row[-1] for row in names["check"](loss))


def test_dropout_and_the_lasso_of_step_7_have_their_closed_forms():
    done = step("7_noise.py")
    by_rules, numeric = map(float, re.search(FAILURES["7_noise.py"][0], done.failures[0]).groups())
    assert abs(by_rules - numeric) > 1e-3
    right, frozen = map(
        float, re.search(r"by the rules (\S+), by the complex step (\S+)\.", done.printed).groups()
    )
    assert abs(right - frozen) < 2e-6
    w = np.array([1.0, -2.0, 3.0, 0.5])
    ridge = w.sum() ** 2 + 0.3 / 0.7 * np.sum(w * w)
    np.testing.assert_allclose(done.names["expected"], ridge, rtol=1e-13)
    # argmin_w |w - t|^2 + |w| moves each t by 1/2 towards 0
    np.testing.assert_allclose(done.names["b"].data, [1.5, -0.5, 0, 0], atol=1e-9)
    assert np.all(done.names["b"].data[2:] == 0) and np.all(done.names["a"].data != 0)


def test_the_engine_of_step_8_has_at_most_150_lines():
    (engine,) = [
        source
        for kind, source in cells(FOLDER / "8_again.py")
        if kind == "code" and "class Tensor" in source
    ]
    assert len(engine.splitlines()) <= 150


def test_the_engine_of_step_8_gives_second_derivatives_of_every_op():
    names = step("8_again.py").names
    Tensor, rng = names["Tensor"], np.random.default_rng(0)
    x, w, b = rng.uniform(0.5, 1.5, (4, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    mask = np.array([[1, 0], [1, 1], [0, 1], [1, 1]])

    def here(x, w, b):
        h = names["dropout"](names["relu"](x @ w + b), Tensor(mask), 0.3)
        h = names["log"](names["exp"](h) + 1) / (x @ w - 7) * names["tanh"](w.T @ x.T).T
        return names["sum"](names["sum"](h, 1) * h) + names["l2_penalty"](w, 0.1)

    def there(x, w, b):
        F = mg.functional
        h = F.dropout(F.relu(x @ w + b), 0.3, training=True, mask=mask)
        h = np.log(np.exp(h) + 1) / (x @ w - 7) * np.tanh(w.T @ x.T).T
        return np.sum(np.sum(h, axis=1, keepdims=True) * h) + F.l2_penalty(w, c=0.1)

    leaves = [Tensor(a) for a in (x, w, b)]
    here(*leaves).backward(create_graph=True)
    first = [leaf.grad for leaf in leaves]
    size = sum(names["sum"](g * g) for g in first)  # its gradient is 2 * Hessian * gradient
    size.backward()
    theirs = [mg.Tensor(a, requires_grad=True) for a in (x, w, b)]
    their_first = mg.grad(there(*theirs), theirs, create_graph=True)
    their_second = mg.grad(sum(np.sum(g * g) for g in their_first), theirs)
    for mine, same in zip([*first, *leaves], [*their_first, *their_second]):
        mine = mine.data if mine in first else mine.grad
        np.testing.assert_allclose(mine, same.data, rtol=1e-9, atol=1e-12)


def test_the_main_job_in_step_8_is_that_of_the_page_of_examples():
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    text = (FOLDER / "8_again.py").read_text(encoding="utf-8")
    for method, line in ("none", "without regularization"), ("dropout \\+ l2", "dropout \\+ L2"):
        mean, spread = re.search(rf"^{method} .*?%\s+([\d.]+) ± ([\d.]+)%", page, re.M).groups()
        told = re.search(rf"{line} .* ([\d.]+)% ± ([\d.]+)%", text).groups()
        assert told == (f"{float(mean):.1f}", f"{float(spread):.1f}")


def test_the_table_of_step_8_names_files_that_exist_and_names_that_it_defines():
    text = (FOLDER / "8_again.py").read_text(encoding="utf-8")
    rows = re.findall(r"^# \| (.*?) \| (.*?) \| (.*?) \|$", text, re.M)[2:]
    assert len(rows) >= 10
    names = {name for file in FILES for name in step(file).names} | {"vjp", "__call__", "prox"}
    for here, there, _ in rows:
        files = re.findall(r"`([\w/.]+)`", there)
        first = files[0].rpartition("/")[0]
        for file in files:
            paths = [ROOT / "minigrad" / file, ROOT / "minigrad" / first / file]
            assert any(path.exists() for path in paths), file
        for name in re.findall(r"`(\w+)`", here):
            assert name in names, name


def test_the_page_of_the_steps_names_each_in_order_and_is_small():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+\.py)` \|", page, re.M) == FILES
    assert len(page.splitlines()) <= 25
    for other in (ROOT / "README.md", ROOT / "examples" / "README.md"):
        assert "from_scratch/README.md" in other.read_text(encoding="utf-8")

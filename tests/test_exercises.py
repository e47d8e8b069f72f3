"""The twelve exercises: solvable, never right while blank, and wrong answers are called wrong."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from minigrad.check.__main__ import blanks, main

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "exercises"
FILES = {path.stem: path for path in sorted(FOLDER.glob("[0-9]*.py"))}

END = '\n"""\n'  # of a docstring

SUMS = "s * (g - mean(g) - out * mean(g * out))"
BY_X = "sum(padded(g * w[i], i, len(w)) for i in range(len(w)))"
BY_W = "np.stack([np.sum(g * part(x, i, len(w))) for i in range(len(w))])"
SCALE = "((1 - p) * (1 + p * LOW * LOW)) ** -0.5"
SHIFT = "-a * p * LOW"
L1 = "np.sign(v) * np.maximum(np.abs(v) - t, 0)"
GROUP = "g * c * w / lengths(w)"
BLOCK = "v * np.maximum(1 - t / lengths(v), 0)"

# For each blank of a file, in order, the code that belongs there.
SOLUTIONS = {
    "01_product": ["g * y", "g * x"],
    "02_tanh": ["g * (1 - out * out)"],
    "03_softmax": ["out * (g - np.sum(g * out, axis=axis, keepdims=True))"],
    "04_layer_norm": [SUMS],
    "05_matmul": ["g @ np.swapaxes(y, -1, -2)", "np.swapaxes(x, -1, -2) @ g"],
    "06_convolution": [BY_X, BY_W],
    "07_dropout": ["g * mask / (1 - p)", "rng.random(shape) >= self.p"],
    "08_alpha_dropout": [SCALE, SHIFT, "a * g * mask"],
    "09_lasso": [L1, GROUP, BLOCK],
}
# Bug hunts: what is wrong, and what belongs there.
REPAIRS = {
    "10_engine": ("+= slope", "= slopes[x.order] + slope"),
    "11_attention": ("= self.query(x), self.query(x)", "= self.query(x), self.key(x)"),
    "12_checker": ("np.ones(out.shape)", "rng.normal(size=out.shape)"),
}

# Answers that people give: {number of the blank: code}, and what the grader says.
WRONG = [
    ("01_product", {0: "g * x", 1: "g * y"}, "by another argument, y"),
    ("01_product", {0: "y"}, "ignores the incoming cotangent"),
    ("01_product", {1: "-g * x"}, "the sign is wrong"),
    ("01_product", {0: "2 * g * y"}, "2 times"),
    ("01_product", {0: "(g * y).sum()"}, "returned shape ()"),
    ("02_tanh", {0: "1 - out * out"}, "ignores the incoming cotangent"),
    ("02_tanh", {0: "g * (1 - out)"}, ""),
    ("02_tanh", {0: "g * (1 - x * x)"}, ""),
    ("02_tanh", {0: "g * (out * out - 1)"}, "the sign is wrong"),
    ("03_softmax", {0: "g * out * (1 - out)"}, ""),
    ("03_softmax", {0: "out * (g - np.sum(g * out))"}, ""),
    ("03_softmax", {0: "out * (g - np.sum(g * out, axis=axis))"}, "could not be broadcast"),
    ("03_softmax", {0: "out * (np.sum(g * out, axis=axis, keepdims=True) - g)"}, "sign is wrong"),
    ("03_softmax", {0: "out * (g - np.sum(g * out, axis=-1, keepdims=True))"}, ""),
    ("04_layer_norm", {0: "s * g"}, ""),
    ("04_layer_norm", {0: "s * (g - mean(g))"}, ""),
    ("04_layer_norm", {0: "s * (g - out * mean(g * out))"}, ""),
    ("04_layer_norm", {0: "s * (g - mean(g) - c * mean(g * out))"}, ""),
    ("04_layer_norm", {0: "g - mean(g) - out * mean(g * out)"}, "times the numeric"),
    ("05_matmul", {0: "g @ y.T", 1: "x.T @ g"}, ""),
    ("05_matmul", {0: "g @ y"}, "it would be right if y were transposed"),
    ("05_matmul", {0: "np.swapaxes(g @ np.swapaxes(y, -1, -2), -1, -2)"}, "transposed"),
    ("05_matmul", {1: "g @ np.swapaxes(x, -1, -2)"}, ""),
    ("06_convolution", {0: "sum(padded(g * w[-1 - i], i, len(w)) for i in range(len(w)))"}, ""),
    ("06_convolution", {0: "padded(g * w[0], 0, len(w))"}, ""),
    ("06_convolution", {1: "np.stack([np.sum(g * part(x, i, len(w)), 1) for i in range(3)])"}, ""),
    ("06_convolution", {1: "np.array([np.sum(g * part(x, i, len(w))) for i in range(len(w))])"},
     "second derivatives: FAIL"),
    ("06_convolution", {1: "np.stack([np.mean(g * part(x, i, len(w))) for i in range(len(w))])"},
     "a mean where a sum belongs"),
    ("07_dropout", {0: "g * mask"}, "the scale 1/(1 - p) is lost"),
    ("07_dropout", {0: "g / (1 - p)"}, "a mask is ignored"),
    ("07_dropout", {0: "g * mask / p"}, "p and 1 - p are swapped"),
    ("07_dropout", {1: "rng.random(shape) < self.p"}, "keep and drop are swapped"),
    ("07_dropout", {1: "rng.random(shape) >= p"}, "NameError: name 'p' is not defined"),
    ("07_dropout", {1: "np.full(shape, rng.random() >= self.p)"}, "FAILED"),
    ("07_dropout", {1: "np.repeat(rng.random(shape)[::2], 2, 0)[: shape[0]] >= self.p"}, "noise repeats"),
    ("07_dropout", {1: "np.random.default_rng(0).random(shape) >= self.p"}, "the same noise"),
    ("08_alpha_dropout", {0: "1.0", 1: "0.0"}, "not 0 and 1"),
    ("08_alpha_dropout", {1: "a * p * LOW"}, "not 0 and 1"),
    ("08_alpha_dropout", {0: f"({SCALE.replace('p', '0.3')})", 1: "-a * 0.3 * LOW"}, "not 0 and 1"),
    ("08_alpha_dropout", {0: "(1 - p + p * LOW * LOW) ** -0.5"}, "not 0 and 1"),
    ("08_alpha_dropout", {2: "g * mask"}, "times the numeric gradient"),
    ("08_alpha_dropout", {2: "a * g"}, "a mask is ignored"),
    ("09_lasso", {0: "v - t * np.sign(v)"}, "not the minimiser"),
    ("09_lasso", {0: "np.where(np.abs(v) <= t, 0, v)"}, "not the minimiser"),
    ("09_lasso", {1: "g * c * w / np.sqrt(np.sum(w * w, axis=-1, keepdims=True))"}, "analytic nan"),
    ("09_lasso", {1: "c * w / lengths(w)"}, "ignores the incoming"),
    ("09_lasso", {1: "g * c * np.sign(w)"}, ""),
    ("09_lasso", {2: L1}, "not the minimiser"),
    ("09_lasso", {2: "v * (1 - t / lengths(v))"}, "not the minimiser"),
]  # fmt: skip
# Right answers that look different from ours.
OTHERS = [
    ("02_tanh", ["g / np.cosh(x) ** 2"]),
    ("03_softmax", ["out * g - out * (out * g).sum(axis=axis, keepdims=True)"]),
    ("05_matmul", ["np.einsum('...nm,...km->...nk', g, y)", "np.moveaxis(x, -1, -2) @ g"]),
    ("07_dropout", ["np.where(mask, g / (1 - p), 0)", "rng.binomial(1, 1 - self.p, shape)"]),
    ("09_lasso", ["v - np.clip(v, -t, t)", GROUP, "v / lengths(v) * l1_prox(lengths(v), t)"]),
]
WRONG_REPAIRS = [
    ("10_engine", "+= slope", "= slope", "cube, shared"),
    ("10_engine", "nodes[-heappop(heap)]", "nodes[-heap.pop()]", "cube"),
    ("11_attention", "= self.query(x), self.query", "= self.query(x), self.value", "my_attention"),
    ("11_attention", "keys.T / np.sqrt(x.shape[-1])", "keys.T / x.shape[-1]", "my_attention"),
    ("12_checker", "np.ones(out.shape)", "out", "my_checker"),
    ("12_checker", "np.ones(out.shape)", "v", "my_checker"),
    ("12_checker", "bool(abs(by_rule - numeric)", "bool((by_rule - numeric)", "my_checker"),
]


@pytest.fixture
def graded(own_registry, monkeypatch, capsys):
    """A function of files and options that runs the grader: (exit status, what it printed)."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def grade(*arguments):
        return int(main(list(map(str, arguments)))), capsys.readouterr().out

    yield grade
    sys.modules.pop("03_softmax", None)


@pytest.fixture
def written(tmp_path):
    """A function that writes a file of this name: its path."""

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return tmp_path / f"{name}.py"

    return write


def filled(name, answers):
    """The text of an exercise with answers in place of its first blanks."""
    docstring, code = FILES[name].read_text(encoding="utf-8").split(END, 1)
    parts = code.split("...")
    assert len(parts) == 1 + len(SOLUTIONS[name])
    answers = [*answers, *["..."] * (len(parts) - 1 - len(answers)), ""]
    return docstring + END + "".join(map("".join, zip(parts, answers)))


def repaired(name, wrong, right):
    text = FILES[name].read_text(encoding="utf-8")
    assert text.count(wrong) == 1
    return text.replace(wrong, right)


def solved(name):
    return filled(name, SOLUTIONS[name]) if name in SOLUTIONS else repaired(name, *REPAIRS[name])


@pytest.mark.parametrize("name", FILES)
def test_an_exercise_can_be_solved(name, graded, written):
    status, printed = graded(written(name, solved(name)))
    assert status == 0 and "FAIL" not in printed, printed


@pytest.mark.parametrize("name, answers", OTHERS)
def test_another_right_answer_is_right(name, answers, graded, written):
    status, printed = graded(written(name, filled(name, answers)))
    assert status == 0 and "FAIL" not in printed, printed


@pytest.mark.parametrize("name, given, told", WRONG)
def test_a_wrong_answer_is_called_wrong(name, given, told, graded, written):
    answers = [given.get(i, answer) for i, answer in enumerate(SOLUTIONS[name])]
    status, printed = graded(written(name, filled(name, answers)))
    assert status == 1 and re.search(r"^FAILED: my_", printed, re.M) and told in printed, printed


@pytest.mark.parametrize("name, wrong, given, told", WRONG_REPAIRS)
def test_a_wrong_repair_is_called_wrong(name, wrong, given, told, graded, written):
    status, printed = graded(written(name, repaired(name, wrong, given)))
    assert status == 1 and f"\nFAILED: {told}" in printed, printed
    assert "a mean where a sum belongs" not in printed  # 3 uses of an input with 3 entries


@pytest.mark.parametrize(
    "name, right, wrong, line",
    [
        ("11_attention", "keys.T / np", "keys / np", "scores = questions @ keys"),
        ("02_tanh", "return np.tanh(x)", "return np.tanh(x, 1)", "return np.tanh(x, 1)"),
        ("09_lasso", L1, f"np.sum({L1})", "def l1_prox"),
        ("09_lasso", BLOCK, BLOCK.replace("lengths(v)", "lengths(v)[0, :]"), "def group_prox"),
        ("09_lasso", BLOCK, f"{BLOCK} @ v", f"return {BLOCK} @ v"),
    ],
)
def test_an_error_names_the_line_of_the_student(name, right, wrong, line, graded, written):
    path = written(name, solved(name).replace(right, wrong))
    _, printed = graded(path)
    number = re.search(rf"FAIL, .*{name}.py:(\d+)", printed)
    assert number, printed
    assert line in path.read_text(encoding="utf-8").splitlines()[int(number[1]) - 1], printed


def test_a_failure_calls_the_inputs_by_no_other_name_than_the_op(graded, written):
    _, printed = graded(written("06_convolution", filled("06_convolution", [BY_X, f"2 * {BY_W}"])))
    assert "\n      my_convolution(*xs) | (1, 4), (1,): FAIL, my_convolution for w" in printed


def test_wrong_answers_of_each_exercise_are_tried():
    tried = {name for name, *_ in [*WRONG, *WRONG_REPAIRS]}
    assert tried == {*SOLUTIONS, *REPAIRS} == set(FILES) and len(FILES) == 12


# ------------------------------------------------------------------------------------- the grader


@pytest.mark.parametrize("name", SOLUTIONS)
def test_an_exercise_with_a_blank_is_not_right_yet(name, graded, written):
    for known in range(len(SOLUTIONS[name])):
        path = written(name, filled(name, SOLUTIONS[name][:known]))
        lines = path.read_text(encoding="utf-8").splitlines()
        status, printed = graded(path)
        told = list(map(int, re.search(r"^not yet: .* line ([\d, ]+)\n$", printed)[1].split(", ")))
        assert status == 1 and "proved" not in printed
        assert told and all("..." in lines[line - 1] for line in told)
        assert len(told) == len(SOLUTIONS[name]) - known


@pytest.mark.parametrize("name", REPAIRS)
def test_a_bug_that_is_planted_is_found(name, graded):
    status, printed = graded(FILES[name])
    assert status == 1 and "\nFAILED: " in printed
    assert name != "12_checker" or "wrong rule (g is left out), RULES[1]" in printed


@pytest.mark.parametrize(
    "code, lines",
    [
        ("rule = lambda g, out, x: g[..., 0] * x[..., None, :2]", []),
        ("def rule(g):\n    return (g *\n        ...)", [3]),
        ("def rule(g):\n    ...", [2]),
        ("f = op(g, x=..., y=...)\nclass A:\n    a: int = ...", [1, 3]),
        ("'...'  # ...", []),
    ],
)
def test_a_blank_is_an_ellipsis_in_place_of_code(code, lines, written):
    assert blanks(written("code", code)) == lines


def test_the_verdicts_are_also_written_as_json(graded, written, tmp_path):
    right, blank = written("02_tanh", solved("02_tanh")), FILES["03_softmax"]
    wrong, told = written("01_product", filled("01_product", ["g", "g"])), tmp_path / "told.json"
    status, printed = graded("--json", told, right, blank, wrong)
    assert status == 1 and "\n1 of 2 proved" in printed and "\nnot yet: " in printed
    waiting = {str(blank): blanks(blank)}
    expected = {"proved": ["my_tanh"], "failed": ["my_product"], "not yet": waiting}
    assert json.loads(told.read_text(encoding="utf-8")) == expected


def test_a_file_that_python_cannot_read_is_refused_with_its_line(graded, written, capsys):
    path = written("02_tanh", filled("02_tanh", ["g * (1 - out"]))
    with pytest.raises(SystemExit) as refused:
        graded(path)
    assert (
        refused.value.code == 2
        and f"02_tanh.py, line {blanks(FILES['02_tanh'])[0]})" in capsys.readouterr().err
    )


def test_a_row_of_samples_without_samples_proves_nothing(graded, written):
    status, printed = graded(written("own", "samples = {'my_layer': []}"))
    assert status == 1 and "NO SAMPLES" in printed and "\nFAILED: my_layer" in printed


# --------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("name", FILES)
def test_an_exercise_is_short_says_its_command_and_gives_nothing_away(name):
    text = FILES[name].read_text(encoding="utf-8")
    docstring, code = text.split(END, 1)
    assert docstring.startswith(f'"""Exercise {int(name[:2])}: ')
    assert f"\n    python -m minigrad.check examples/exercises/{name}.py\n" in docstring + "\n"
    assert len(text.splitlines()) <= (90 if name == "10_engine" else 75)
    assert "\n# ---- " in code and "Leave it as it is.\n" in code
    solution = SOLUTIONS.get(name) or [REPAIRS[name][1]]
    assert not any(answer in text for answer in solution if len(answer) > len("a * g"))


def test_the_ledger_shows_the_bug_of_the_layer_and_the_gradient_check_passes(capsys, written):
    def weights_behind_the_data_loss(path):
        runpy.run_path(str(path), run_name="__main__")
        printed = capsys.readouterr().out
        assert "gradient check passed" in printed
        return re.search(r"^mse_loss  .*  (.*)", printed, re.M)[1]

    assert weights_behind_the_data_loss(FILES["11_attention"]) == "A, C"
    mended = written("11_attention", solved("11_attention"))
    assert weights_behind_the_data_loss(mended) == "A, B, C"


def test_minigrad_finds_what_the_checker_passes(capsys):
    names = runpy.run_path(str(FILES["12_checker"]), run_name="__main__")
    told = re.findall(r"^RULES\[\d\]: gradient check (\w+)", capsys.readouterr().out, re.M)
    assert told == ["FAILED" if bug else "passed" for *_, bug in names["RULES"]]


def test_the_page_names_each_exercise_in_order_and_what_the_grader_prints(graded):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\d\d_\w+)\.py` \|", page, re.M) == list(FILES)
    assert f"{graded(FILES['03_softmax'])[1].split('.py')[1].strip()}`" in page
    assert f'"not yet": {{"anna/04_layer_norm.py": {blanks(FILES["04_layer_norm"])}}}' in page
    for other in (ROOT / "README.md", ROOT / "examples" / "README.md"):
        assert "exercises/README.md" in other.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "answer, forward, told",
    [
        (*SOLUTIONS["03_softmax"], "return e / np", "1 of 1 proved"),
        ("out * (g - np.sum(g * out))", "return e / np", "FAILED: my_softmax"),
        ("...", "return e / np", "FAILED: my_softmax"),
        ("2 * g", "return 2 * x  # np", "another function now"),
    ],
)
def test_the_hidden_tests_of_the_page_grade_what_is_handed_in(
    answer, forward, told, graded, written
):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (hidden,) = re.findall(r"```python\n# hidden_softmax.py\n(.*?)```", page, re.S)
    written("03_softmax", filled("03_softmax", [answer]).replace("return e / np", forward))
    status, printed = graded(written("hidden_softmax", hidden))  # the two lie side by side
    assert status == ("proved" not in told) and told in printed, printed

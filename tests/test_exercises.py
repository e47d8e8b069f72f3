"""The twelve exercises: solvable, never right while blank, and wrong answers are called wrong."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.check.__main__ import blanks, main
from minigrad.registry import ops

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "exercises"
FILES = {path.stem: path for path in sorted(FOLDER.glob("[0-9]*.py"))}

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
    "10_engine": [("+= slope", "= slopes[x.order] + slope")],
    "11_attention": [
        ("self.query(x), self.query(x), self", "self.query(x), self.key(x), self"),
    ],
    "12_checker": [("np.ones(out.shape)", "rng.normal(size=out.shape)")],
}

# Answers that people give: {number of the blank: code}, and what the grader says.
WRONG = [
    ("01_product", {0: "g * x", 1: "g * y"}, "wrong operand"),
    ("01_product", {0: "y"}, "ignores the incoming cotangent"),
    ("01_product", {1: "-g * x"}, "the sign is wrong"),
    ("01_product", {0: "2 * g * y"}, "2 times"),
    ("01_product", {0: "(g * y).sum()"}, "it returned shape ()"),
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
    ("05_matmul", {0: "g @ y"}, "right, if y were transposed"),
    ("05_matmul", {0: "np.swapaxes(g @ np.swapaxes(y, -1, -2), -1, -2)"}, "transposed"),
    ("05_matmul", {1: "g @ np.swapaxes(x, -1, -2)"}, ""),
    ("06_convolution", {0: "sum(padded(g * w[-1 - i], i, len(w)) for i in range(len(w)))"}, ""),
    ("06_convolution", {0: "padded(g * w[0], 0, len(w))"}, ""),
    ("06_convolution", {1: "np.stack([np.sum(g * part(x, i, len(w)), 1) for i in range(3)])"}, ""),
    ("06_convolution", {1: "np.stack([np.mean(g * part(x, i, len(w))) for i in range(len(w))])"},
     "a mean where a sum belongs"),
    ("07_dropout", {0: "g * mask"}, "the scale 1/(1 - p) is lost"),
    ("07_dropout", {0: "g / (1 - p)"}, "a mask is ignored"),
    ("07_dropout", {0: "g * mask / p"}, "p and 1 - p are swapped"),
    ("07_dropout", {1: "rng.random(shape) < self.p"}, "keep and drop are swapped"),
    ("07_dropout", {1: "np.broadcast_to(rng.random(shape[:1])[0] >= self.p, shape)"}, "noise repeats"),
    ("07_dropout", {1: "np.random.default_rng(0).random(shape) >= self.p"}, "the same noise"),
    ("08_alpha_dropout", {0: "1.0", 1: "0.0"}, "not 0 and 1"),
    ("08_alpha_dropout", {1: "a * p * LOW"}, "not 0 and 1"),
    ("08_alpha_dropout", {0: "(1 - p + p * LOW * LOW) ** -0.5"}, "not 0 and 1"),
    ("08_alpha_dropout", {2: "g * mask"}, "times the numeric gradient"),
    ("08_alpha_dropout", {2: "a * g"}, "a mask is ignored"),
    ("09_lasso", {0: "v - t * np.sign(v)"}, "not the minimiser"),
    ("09_lasso", {0: "np.where(np.abs(v) <= t, 0, v)"}, "not the minimiser"),
    ("09_lasso", {1: "g * c * w / np.sqrt(np.sum(w * w, axis=-1, keepdims=True))"}, "not finite"),
    ("09_lasso", {1: "c * w / lengths(w)"}, "ignores the incoming"),
    ("09_lasso", {1: "g * c * np.sign(w)"}, ""),
    ("09_lasso", {2: L1}, "not the minimiser"),
]  # fmt: skip
WRONG_REPAIRS = [
    ("10_engine", "+= slope", "= slope", ""),
    ("11_attention", "query(x), self.query(x), self", "query(x), self.value(x), self", "differ"),
    ("12_checker", "np.ones(out.shape)", "out", "rule"),
]


@pytest.fixture
def graded(tmp_path, monkeypatch, capsys):
    """A function of (name of an exercise, text of the file) that gives (exit status, printed)."""
    before = dict(ops)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def grade(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        return int(main([str(path)])), capsys.readouterr().out

    yield grade
    ops.clear()
    ops.update(before)


def filled(name, answers):
    """The text of an exercise with answers in place of its first blanks."""
    docstring, code = FILES[name].read_text(encoding="utf-8").split('\n"""\n', 1)
    parts = code.split("...")
    assert len(parts) == 1 + len(SOLUTIONS[name])
    answers = [*answers, *["..."] * (len(parts) - 1 - len(answers)), ""]
    return docstring + '\n"""\n' + "".join(map("".join, zip(parts, answers)))


def solved(name):
    text = FILES[name].read_text(encoding="utf-8")
    for wrong, right in REPAIRS.get(name, ()):
        assert text.count(wrong) == 1
        text = text.replace(wrong, right)
    return filled(name, SOLUTIONS[name]) if name in SOLUTIONS else text


@pytest.mark.parametrize("name", FILES)
def test_an_exercise_can_be_solved(name, graded):
    status, printed = graded(name, solved(name))
    assert status == 0 and "FAIL" not in printed, printed


@pytest.mark.parametrize("name, given, told", WRONG)
def test_a_wrong_answer_is_called_wrong(name, given, told, graded):
    answers = [given.get(i, answer) for i, answer in enumerate(SOLUTIONS[name])]
    status, printed = graded(name, filled(name, answers))
    print(printed)
    assert status == 1 and "FAILED" in printed and told in printed, printed

"""What the README shows is what its code does, and the example data are what they claim."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
digits = runpy.run_path(str(ROOT / "examples" / "digits.py"))


def code_blocks():
    return re.findall(r"```python\n(.*?)```\n", README, re.S)


def run(code, folder):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_errors(text):
    """The output with the sizes of numeric errors and times taken out: they depend on the machine."""
    return re.sub(r"\d(\.\d+)?e[-+]\d\d|\d+\.\d$|\d+ s$", "~", text, flags=re.M)


def test_the_example_prints_what_the_readme_shows_and_draws(tmp_path):
    pytest.importorskip("graphviz")
    from minigrad.render import renderers

    if not renderers():
        pytest.skip("no Graphviz program: pip install graphviz-pure")
    code = code_blocks()[0]
    shown = README.split(code)[1].split("```")[2]
    assert without_errors(run(code, tmp_path)).strip() == without_errors(shown).strip()
    assert (tmp_path / "loss.svg").stat().st_size > 10_000
    example = (ROOT / "examples" / "readme.py").read_text(encoding="utf-8")
    assert example.endswith(code)


@pytest.mark.parametrize("block", [2, 3], ids=["checks", "penalties"])
def test_the_code_of_the_readme_prints_what_it_shows(block, tmp_path):
    code = code_blocks()[block]
    shown = README.split(code)[1].split("```")[2]
    assert without_errors(run(code, tmp_path)).strip() == without_errors(shown).strip()


def test_the_checks_of_the_readme_are_an_example():
    assert (ROOT / "examples" / "checks.py").read_text(encoding="utf-8").endswith(code_blocks()[2])


def test_the_command_of_the_readme_prints_what_it_shows(capsys):
    from minigrad.check.__main__ import main

    command, shown = re.search(r"\$ python -m minigrad.check (.*?)\n(.*?)```", README, re.S).groups()
    assert main(command.split()) == 0
    assert without_errors(capsys.readouterr().out).strip() == without_errors(shown).strip()


def test_the_zoo_of_the_readme_is_the_zoo():
    from zoo import BUGS

    assert f"a zoo of {len(BUGS)} bugs" in README and f"{len(BUGS)} bugs, " in README
    lines = README.split("(`python tests/zoo.py`):")[1].split("```")[1].splitlines()
    for line in lines[2:-1]:
        assert line == "..." or any(line.startswith(f"{bug.name:42} {bug.killer.__name__:22}") and line.rstrip().endswith(bug.seen) for bug in BUGS)


def test_the_op_of_the_readme_passes_its_checks(tmp_path):
    code = code_blocks()[1]
    assert run(code, tmp_path) == "True True\n"
    assert len(re.findall(r"^.*\S.*$", code, re.M)) < 15


def test_the_commands_of_the_readme_are_one_line_each_and_ci_runs_the_tests():
    commands = re.findall(r"^python3 -m venv .*$", README, re.M)
    assert len(commands) == 2
    assert commands[0].endswith("examples/regularization.py") and commands[1].endswith("pytest")


def test_the_digits_are_whole():
    images, labels = digits["load"]()
    assert images.shape == (1797, 64) and images.dtype == np.float32 and images.min() == 0 and images.max() == 1
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_fifth_of_the_training_labels_is_wrong_and_no_other():
    images, labels = digits["load"]()
    truth = {image.tobytes(): label for image, label in zip(images, labels)}
    parts = digits["noisy_split"](3)
    wrong = [sum(truth[x.tobytes()] != y for x, y in zip(*part)) for part in parts]
    assert [len(part[1]) for part in parts] == [500, 200, 1097]
    assert wrong == [100, 0, 0]

"""fast.py saves time and changes nothing else."""

import os
import shutil

from processes import ROOT, TESTS, python


def test_without_fast_py_everything_is_the_same(tmp_path):
    """The tests of the engine and of detect_anomaly, but not those of size and time, pass in a copy
    of the package in which the file cannot be imported.
    """
    copied = tmp_path / "minigrad"
    shutil.copytree(ROOT / "minigrad", copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "fast.py").write_text("raise ImportError")
    program = "from minigrad import registry as r; print(r.__file__, r.speed_up)"
    shown = python("-c", program, folder=tmp_path, PYTHONPATH=str(tmp_path)).stdout
    assert shown.decode().split() == [str(copied / "registry.py"), "None"]
    names = ["engine", "array", "changes", "modes", "registry", "anomaly"]
    files = [str(TESTS / f"test_{name}.py") for name in names]
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={TESTS}"]
    options += ["-k", "not million and not long_chain and not linear_in_the_number"]
    python("-m", "pytest", *options, *files, folder=tmp_path, PYTHONPATH=str(tmp_path))


def test_the_user_can_switch_it_off():
    program = "from minigrad import registry as r; print(r.speed_up is None)"
    for value, off in (("0", b"True"), ("1", b"False")):
        assert python("-c", program, MINIGRAD_FAST=value).stdout.strip() == off

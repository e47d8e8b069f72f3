"""fast.py saves time and changes nothing else."""

import os
import shutil

from processes import ROOT, TESTS, python


def test_without_fast_py_everything_is_the_same(tmp_path):
    """The tests of the engine, but those of size and time, pass where the file is missing."""
    copied = tmp_path / "minigrad"
    ignored = shutil.ignore_patterns("__pycache__", "fast.py")
    shutil.copytree(ROOT / "minigrad", copied, ignore=ignored)
    names = ["engine", "array", "changes", "modes", "registry"]
    files = [str(TESTS / f"test_{name}.py") for name in names]
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={TESTS}"]
    options += ["-k", "not million and not long_chain and not linear_in_the_number"]
    python("-m", "pytest", *options, *files, folder=tmp_path, PYTHONPATH=str(tmp_path))
    check = f"import minigrad; assert minigrad.__file__ == {str(copied / '__init__.py')!r}"
    python("-c", check, folder=tmp_path, PYTHONPATH=str(tmp_path))

"""fast.py saves time and changes nothing else."""

import os

from processes import TESTS, python


def test_without_fast_py_everything_is_the_same():
    """The tests of the engine and of detect_anomaly, but not those of size and time, pass."""
    names = ["engine", "array", "changes", "modes", "registry", "anomaly"]
    files = [str(TESTS / f"test_{name}.py") for name in names]
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={TESTS}"]
    options += ["-k", "not million and not long_chain and not linear_in_the_number"]
    python("-m", "pytest", *options, *files, MINIGRAD_FAST="0")


def test_the_user_can_switch_it_off():
    program = "import sys, minigrad; print('minigrad.fast' not in sys.modules)"
    for value, off in (("0", b"True"), ("1", b"False")):
        assert python("-c", program, MINIGRAD_FAST=value).stdout.strip() == off

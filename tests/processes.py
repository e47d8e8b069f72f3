"""What tests run in processes and threads of their own."""

import os
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
FOLDERS = [ROOT, TESTS, *(folder for folder in TESTS.iterdir() if folder.is_dir())]


def python(*arguments, folder=None, check=True, **variables):
    """Runs Python in a process that can import minigrad and the tests.

    folder     the working directory
    check      whether a status other than 0 is an error, which shows what the process printed
    variables  of the environment; None takes a variable away

    Returns a subprocess.CompletedProcess; stdout and stderr are bytes.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, FOLDERS))} | variables
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
    )
    if check:
        assert done.returncode == 0, (done.stdout[-2000:] + done.stderr).decode()
    return done


def output(program, hash_seed):
    """The bytes that a Python program prints when strings are hashed with this seed."""
    return python("-c", program, PYTHONHASHSEED=hash_seed).stdout


def in_thread(function):
    """The result of function() in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]

"""What tests run in processes and threads of their own."""

import os
import subprocess
import sys
import threading
from pathlib import Path

FOLDERS = [
    str(Path(__file__).parent),
    str(Path(__file__).parent.parent),
    os.environ.get("PYTHONPATH", ""),
]


def output(program, hash_seed):
    """What a Python program prints, as bytes, when strings are hashed with this seed."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(FOLDERS),
    }
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    ).stdout


def in_thread(function):
    """What function() returns in a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]

"""Runs random programs, and prints each finding as the shortest script that shows it.

python -m tests.fuzz --programs 20000 --seed 1
"""

import argparse
import sys
import time
import warnings
from collections import Counter

from .checks import CHECKS, finding
from .grammar import random_program
from .shrinking import script, shrunk


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--programs", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first; they count up")
    parser.add_argument("--findings", type=int, default=10, help="stop after so many")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    start, found, steps = time.monotonic(), Counter(), 0
    for n in range(options.programs):
        seed = options.seed + n
        program = random_program(seed)
        steps += len(program.steps)
        wrong = finding(program)
        if wrong:
            found[wrong[0]] += 1
            print(f"\n# Program {seed}: {found.total()} findings", flush=True)
            print(script(*shrunk(program, wrong)), flush=True)
            if found.total() == options.findings:
                break
        if (n + 1) % 500 == 0:
            print(
                f"{n + 1} programs, {time.monotonic() - start:.0f} s, {found.total()} findings",
                flush=True,
            )
    print(
        f"{n + 1} programs of {steps / (n + 1):.0f} steps, {len(CHECKS)} checks each: "
        f"{dict(found) or 'no finding'}"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

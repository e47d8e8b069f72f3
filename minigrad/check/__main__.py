"""Proves ops: first and second derivatives of every sample call against numeric ones.

    python -m minigrad.check                 every op, and every function that draws noise
    python -m minigrad.check tanh dropout    these
    python -m minigrad.check my_ops.py       the ops of this file; it has a table `samples` or
                                             `noisy`, as in minigrad/check/samples

For a function that draws noise it proves the gradient with the noise held fixed (first column),
mean and variance over all outcomes of the noise (second column), and the law of the noise. The line
for `dropout` proves the op and the function. A failure names the sample and the rule, with file and
line. An op that is wrong only because it uses a wrong op is AFFECTED. A file with blanks, `...` in
place of code, is not run: it is `not yet` proved. The exit status is 1 if anything fails or is left
blank.
"""

import argparse
import ast
import json
import os
import runpy
import sys
import time
import traceback
import warnings
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import wants_gradient
from ..registry import ops
from .proofs import graph
from .reports import shown
from .rules import where
from .samples import noisy, samples
from .samples.case import flat
from .verdict import FAILING, Finding, worst

# Folders end in a slash: minigrad_more/ is another folder than minigrad/.
PACKAGE = Path(__file__).parents[1]
OPS = tuple(f"{PACKAGE / part}{os.sep}" for part in ("ops", "functional", "nn", "vocabulary"))
LIBRARIES = PACKAGE, Path(os.__file__).parent, Path(np.__file__).parent
NOT_YOURS = "<", *(f"{folder}{os.sep}" for folder in LIBRARIES)
UNTESTED = Finding("VACUOUS", np.nan)
NO_SAMPLES = """      NO SAMPLES: give the file a table,
          from minigrad.check.samples.case import binary, unary
          samples = {{"{0}": unary({0})}}  # or binary, of two arguments"""


class Proof(NamedTuple):
    """What the two proofs of all samples of an op found."""

    verdict: str
    errors: list  # of the gravest finding of each proof
    wrong: dict  # {this op, or another one whose rule is wrong: the failures, as text}


def prove(name, rows):
    """The Proof of the op `name` on these samples. A sample that fails one proof skips the next.

    The verdict is VACUOUS if all samples are, or if they leave a rule untried.
    """
    op, left, gravest, wrong = ops.get(name), [*rows], [], defaultdict(list)
    if not rows:
        wrong[name].append(NO_SAMPLES.format(name))
    for order, proof in enumerate(("first", "second")):
        found = {sample: _examined(getattr(sample, proof), op) for sample in left}
        gravest.append(worst([*found.values()] or [UNTESTED]))
        for sample, (verdict, _, note, rule, *_) in found.items():
            if verdict in FAILING or gravest[-1].verdict == "VACUOUS":  # then all are VACUOUS
                left.remove(sample)
                used = rule.split(" ")[0]
                what = sample.label * order + ", ".join(filter(None, [verdict, rule]))
                text = f"      {sample}: {what}\n          {note}"
                wrong[used if used in ops else name].append(text)
    if op and not wrong and (idle := _untried(op, rows)):
        gravest = [UNTESTED, UNTESTED]
        wrong[name].append(f"      {name}: no sample needs the rule for {', '.join(idle)}")
    verdict = "AFFECTED" if wrong and name not in wrong else worst(gravest).verdict
    return Proof(verdict, [finding.error for finding in gravest], wrong)


def _untried(op, rows):
    """The names of the arguments of an op whose rules no sample needs."""
    tried = set()
    for node in (node for sample in rows for node in graph(sample)):
        if node.args and node.op.name == op.name:
            tried |= {i for i, x in enumerate(node.args) if wants_gradient(x)}
    return [name for i, name in enumerate(op.names) if op.rules[i] and i not in tried]


def _examined(proof, op):
    """The Finding of a proof. An error in the proof gives a Finding with its text and its line.

    A FAIL that names no rule gets the names of all rules of the op.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about single inputs with zero gradients
            found = proof()
    except Exception as error:  # then this op fails, and the proofs go on
        found = Finding("FAIL", np.inf, f"{type(error).__name__}: {error}", _line_of(error))
    rules = [i for i, rule in enumerate(op.rules) if rule] if op else []
    return found._replace(rule=found.rule or where(op, rules)) if found.verdict == "FAIL" else found


def _line_of(error):
    """The last line of your code before an error, or else the last one in an op of minigrad."""
    frames = []
    while error:
        frames += traceback.extract_tb(error.__traceback__)
        error = error.__cause__
    in_ops = [frame for frame in frames if frame.filename.startswith(OPS)]
    yours = [frame for frame in frames if not frame.filename.startswith(NOT_YOURS)]
    for frame in [*in_ops, *yours][-1:]:
        return f"{os.path.relpath(frame.filename)}:{frame.lineno}, in {frame.name}"
    return ""


def prove_table(table):
    """Prints a line for each op, and its failures.

    Returns the names of the proved ops, and {name of a wrong op: its failures, as text}.
    """
    begin, right, failed, width = time.perf_counter(), [], {}, max(map(len, [*table, "op"]))
    print(f"{'op':{width + 8}} cases  first order  second order  verdict     seconds")
    for number, (name, rows) in enumerate(table.items(), 1):
        print(f"{number:3}/{len(table):<3} {name:{width}} {len(rows):5}", end="  ", flush=True)
        start = time.perf_counter()
        verdict, errors, wrong = prove(name, rows)
        first, second, seconds = *map(shown, errors), time.perf_counter() - start
        print(f"{first:>11}  {second:>12}  {verdict:10} {seconds:8.1f}", flush=True)
        for used, failures in wrong.items():
            others = f"      {len(failures)} samples fail with {used}, whose rule is wrong"
            print("\n".join(failures if used == name else [others]))
        failed |= wrong
        right += [] if wrong else [name]
    print(f"{len(right)} of {len(table)} proved, {time.perf_counter() - begin:.0f} s")
    return right, failed


# ---- the command


def blanks(path):
    """The lines of a file that have `...` in place of code. In an index, `...` is no blank."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            node.slice = ast.Constant(None)
    return sorted({n.lineno for n in ast.walk(tree) if getattr(n, "value", None) is ...})


def joined(samples, noisy):
    """One table of both: {name: its samples and its Noisy}."""
    names = {**samples, **noisy}
    return {name: flat([samples.get(name, []), noisy.get(name, [])]) for name in names}


def load(path):
    """The table of the ops and samples that a file defines."""
    before = set(ops)
    sys.path.insert(0, str(path.parent))
    own = runpy.run_path(str(path), run_name=path.stem)
    new = {name: [] for name in ops if name not in before}
    return new | joined(own.get("samples", {}), own.get("noisy", {}))


def chosen(what, refuse):
    """The table of the names on the command line, and {file: lines with blanks}."""
    table, waiting, package = {}, {}, joined(samples, noisy)
    for name in what or package:
        if name in package:
            table[name] = package[name]
            continue
        if not name.endswith(".py"):
            refuse(f"{name} is no op. The ops: {', '.join(sorted(package))}.")
        try:
            lines = blanks(Path(name))
        except (OSError, SyntaxError) as error:
            refuse(str(error))
        if lines:
            waiting[name] = lines
        elif own := load(Path(name).resolve()):
            table |= own
        else:
            refuse(f"{name} has no op and no table `samples` or `noisy`.")
    return table, waiting


def main(arguments=None):
    """Runs the command. Returns whether anything failed or is left blank."""
    style = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("python -m minigrad.check", **style)
    parser.add_argument("what", nargs="*", metavar="op or file.py", help="default: all")
    parser.add_argument("--json", metavar="FILE", help="also write the verdicts to this file")
    given = parser.parse_args(arguments)
    table, waiting = chosen(given.what, parser.error)
    right, failed = prove_table(table) if table else ([], {})
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    for name, lines in waiting.items():
        print(f"not yet: {name} has a blank (...) in line {', '.join(map(str, lines))}")
    if given.json:
        verdicts = {"proved": sorted({*right} - failed.keys()), "failed": [*failed]}
        Path(given.json).write_text(json.dumps(verdicts | {"not yet": waiting}), encoding="utf-8")
    return bool(failed or waiting)


if __name__ == "__main__":
    sys.exit(main())

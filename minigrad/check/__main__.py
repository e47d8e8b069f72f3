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
import math
import os
import runpy
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import Tensor, grad, wants_gradient
from ..graph import nodes
from ..registry import ops
from .expectations import expectation
from .functions import examine, examine_second
from .noise import check_noise
from .proximal import check_prox
from .reports import shown
from .rules import where
from .samples import noisy, samples, tensors
from .samples.case import Sample, flat
from .samples.dropout import Noisy
from .verdict import FAILING, Finding, worst

PACKAGE = Path(__file__).parents[1]
LIBRARIES = [Path(module.__file__).parent for module in (os, np)]
NO_SAMPLES = """      NO SAMPLES: give the file a table,
          from minigrad.check.samples.case import binary, unary
          samples = {{"{0}": unary({0})}}  # or binary, of two arguments"""


# ---- two tests for each kind of sample. Each test gives a Finding


def first(sample):
    """The Finding on first derivatives, and on the proximal operators of penalties."""
    inputs = tuple(tensors(sample.inputs()))
    found = [examine(sample.call, inputs)]
    for node in nodes(sample.call(*inputs)):
        if node.args and node.op.kind == "penalty":
            found += check_prox(node)
    is_empty = not any(x.size for x in inputs)  # then a right result proves nothing
    return worst(finding for finding in found if finding.verdict in FAILING or not is_empty)


def second(sample):
    """The Finding on second derivatives of sin(op): sin gives them to linear ops too."""
    return examine_second(lambda *xs: np.sin(sample.call(*xs)), tensors(sample.inputs()))


def pathwise(noisy):
    """The Finding on the gradient of a function that draws noise. The noise is held fixed."""
    x = np.random.default_rng(0).standard_normal((100, *noisy.small[1:]))  # some drop, some stay
    found = examine(lambda x: np.tanh(noisy.call(x)) * x, Tensor(x, True))
    return found if found.verdict == "OK" else found._replace(verdict="FAIL")


def drawn(noisy):
    """The Finding on the law of the noise, and on the mean and the variance of the results.

    The exact expectation of a random sum of the results and their squares is compared with the
    formulas, and so is its gradient.
    """
    report = check_noise(noisy.call, noisy.large, shared=noisy.shared, mean=noisy.mean)
    if not report:
        return Finding("FAIL", math.nan, report.verdict(), "law of the noise")
    rng, shape = np.random.default_rng(0), noisy.small
    x, v, w = Tensor(rng.standard_normal(shape), True), *rng.standard_normal((2, *shape))
    y, mean = noisy.call(x), noisy.mean(x)
    found = expectation(np.sum(v * y + w * y * y), order=4)
    terms = v * mean + w * (mean * mean + noisy.variance(x))
    value, (slope,) = np.sum(terms), grad(np.sum(terms), [x])
    apart = abs(found.value.data - value.data) / np.sum(abs(terms.data))
    turned = np.max(abs(found.gradients[x].data - slope.data)) / np.max(abs(slope.data))
    error = float(np.max([apart, turned]))
    if error <= 1e-12:  # rounding, of a sum over all outcomes
        return Finding("OK", error)
    note = f"a sum of means and variances is {found.value.item():.6g}, not {value.item():.6g}"
    return Finding("FAIL", error, f"{note}: mean or variance differ", "expectation")


TESTS = {Sample: (first, second), Noisy: (pathwise, drawn)}


class Proof(NamedTuple):
    """What the tests of all samples of an op found."""

    verdict: str
    errors: list  # the largest error of each test
    wrong: dict  # {this op, or another one whose rule is wrong: the failures, as text}


def prove(name, rows):
    """The Proof of the op `name` on these samples. A sample that fails one test skips the next.

    The verdict is VACUOUS if all samples are, or if they leave a rule untried.
    """
    op, gravest, given = ops.get(name), [], rows
    wrong = {} if rows else {name: [NO_SAMPLES.format(name)]}
    for order in 0, 1:
        found = {sample: _examined(TESTS[type(sample)][order], sample, op) for sample in rows}
        gravest.append(worst([*found.values()] or [Finding("VACUOUS", math.nan)]))
        failing = [*FAILING, "VACUOUS"] if gravest[-1].verdict == "VACUOUS" else FAILING
        for sample, (verdict, _, note, rule, *_) in found.items():
            if verdict in failing:
                which = "second derivatives: " * (order and isinstance(sample, Sample))
                what = ", ".join(filter(None, [verdict, rule]))
                text = f"      {sample.name}: {which}{what}\n          {note}"
                used = rule.split(" ")[0]
                wrong.setdefault(used if used in ops else name, []).append(text)
        rows = [sample for sample, finding in found.items() if finding.verdict not in failing]
    if op and not wrong and (idle := _untried(op, given)):
        gravest = [Finding("VACUOUS", math.nan)] * 2
        wrong[name] = [f"      {name}: no sample needs the rule for {', '.join(idle)}"]
    verdict = "AFFECTED" if wrong and name not in wrong else worst(gravest).verdict
    return Proof(verdict, [finding.error for finding in gravest], wrong)


def _untried(op, rows):
    """The names of the arguments of an op whose rules no sample needs."""
    last, tried = len(op.names) - 1, set()
    for sample in (row for row in rows if isinstance(row, Sample)):
        for node in nodes(sample.call(*tensors(sample.inputs()))):
            if node.args and op in (node.op, getattr(node.op, "family", None)):
                tried |= {min(i, last) for i, x in enumerate(node.args) if wants_gradient(x)}
    return [name for i, name in enumerate(op.names) if op.rules[i] and i not in tried]


def _examined(test, sample, op):
    """The Finding of a test. An error in the test gives a Finding with its text and its line.

    A FAIL that names no rule gets the names of all rules of the op.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about single inputs with zero gradients
            found = test(sample)
    except Exception as error:  # then this op fails, and the proofs go on
        found = Finding("FAIL", math.inf, f"{type(error).__name__}: {error}", _line_of(error))
    rules = [i for i, rule in enumerate(op.rules) if rule] if op else []
    return found._replace(rule=found.rule or where(op, rules)) if found.verdict == "FAIL" else found


def _line_of(error):
    """The last line of your code before an error, or else the last one in an op of minigrad."""
    frames = []
    while error:
        frames += traceback.extract_tb(error.__traceback__)
        error = error.__cause__
    for own in [PACKAGE], [PACKAGE / "check"]:
        for frame in reversed(frames):
            path = Path(frame.filename)
            known = path.parent == PACKAGE or {*own, *LIBRARIES} & {*path.parents}
            if path.is_file() and not known:
                return f"{os.path.relpath(path)}:{frame.lineno}, in {frame.name}"
    return ""


def prove_table(table):
    """Prints a line for each op, and its failures. Returns what is proved, and what is wrong."""
    begin, right, failed, width = time.perf_counter(), [], {}, max(map(len, [*table, "op"]))
    print(f"{'op':{width + 8}} cases  first order  second order  verdict     seconds")
    for number, (name, rows) in enumerate(table.items(), 1):
        print(f"{number:3}/{len(table):<3} {name:{width}} ", end="", flush=True)
        start, (verdict, errors, wrong) = time.perf_counter(), prove(name, rows)
        seconds = time.perf_counter() - start
        errors = "{:>11}  {:>12}".format(*map(shown, errors))
        print(f"{len(rows):5}  {errors}  {verdict:10} {seconds:8.1f}", flush=True)
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
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    known = {id(node) for index in indices for node in ast.walk(index)}
    dots = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value is ...]
    return sorted({node.lineno for node in dots if id(node) not in known})


def joined(samples, noisy):
    """One table of both: {name: its samples and its Noisy}."""
    return {name: [*samples.get(name, ()), *noisy.get(name, ())] for name in {**samples, **noisy}}


def load(path):
    """The table of the ops and samples that a file defines."""
    before = set(ops)
    sys.path.insert(0, str(path.parent))
    own = runpy.run_path(str(path), run_name=path.stem)
    new = {name: [] for name in ops if name not in before}
    given = {name: flat(rows) for name, rows in own.get("samples", {}).items()}
    return joined(new | given, own.get("noisy", {}))


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

"""Proves ops: first and second derivatives of every sample call against numeric ones.

    python -m minigrad.check                 every op, and every function that draws noise
    python -m minigrad.check tanh dropout    these
    python -m minigrad.check my_ops.py       the ops of this file; it may have tables `samples` and
                                             `noisy`, as in minigrad/check/samples

A failure names the sample and the rule, with file and line. An op that is wrong only because it
uses a wrong op is AFFECTED. Ctrl-C shows what was proved so far. Exit status 1 if anything fails.
"""

import argparse
import importlib.util
import math
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import Op, Tensor, grad
from ..registry import Family, ops
from .expectations import expectation
from .functions import examine, examine_second
from .noise import check_noise
from .reports import shown
from .samples import noisy, samples, tensors
from .samples.case import binary, unary
from .verdict import FAILING, Finding, worst


class Failure(NamedTuple):
    sample: str
    order: str  # "first" or "second"
    finding: Finding
    where: str  # file and line of the wrong rule, of the error, or of all rules

    @property
    def broken(self):
        """The op whose rule is wrong, if the finding names it."""
        return self.finding.rule.split(" ")[0]

    def __str__(self):
        place = f", {self.where}" if self.where else ""
        verdict = f"{self.order} derivatives: {self.finding.verdict}{place}"
        return f"      {self.sample}: {verdict}\n          {self.finding.note}"


class Proof(NamedTuple):
    """The result of all samples of an op."""

    cases: int
    first: Finding  # the gravest, of first derivatives
    second: Finding
    failures: list  # of the op's own rules; those of first derivatives first
    uses: Counter  # {another op whose rule is wrong: the number of samples that fail with it}

    @property
    def verdict(self):
        if self.failures:
            return self.failures[0].finding.verdict
        return "AFFECTED" if self.uses else worst([self.first, self.second]).verdict


def prove(name, rows):
    """The Proof of the op `name` on these samples. No second derivatives where first ones fail.

    Second derivatives are those of sin(op), to which linear ops contribute too.
    """
    findings, failures, silent = {"first": [], "second": []}, [], []
    for sample in rows:
        for order in findings:
            finding, place = _examined(sample, order)
            findings[order].append(finding)
            if finding.verdict == "VACUOUS":
                silent.append(Failure(sample.name, order, finding, ""))
                break
            if finding.verdict in FAILING:
                where = finding.rule or place
                if finding.verdict == "FAIL":
                    where = where or _rules(ops[name])
                failures.append(Failure(sample.name, order, finding, where))
                break
    first, second = findings.values()
    tested = any(f.verdict != "VACUOUS" for f, sample in zip(first, rows) if not sample.zero)
    uses = Counter(f.broken for f in failures if f.broken not in ("", name))
    failures = [f for f in failures if f.broken not in uses] + ([] if tested else silent)
    failures.sort(key=lambda failure: failure.order)
    return Proof(len(rows), worst(first), worst(second), failures, uses)


def _examined(sample, order):
    """(the Finding of a sample, file and line of the error that it raises, or "")."""

    def bent(*xs):
        return np.sin(sample.call(*xs))

    inputs = tuple(tensors(sample.inputs()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of single silent inputs
            if order == "first":
                return examine(sample.call, inputs, zero_allowed=sample.zero), ""
            return examine_second(bent, inputs), ""
    except Exception as error:  # of an op that cannot even be called: a line, not the end
        return Finding("FAIL", np.inf, f"{type(error).__name__}: {error}"), _line_of(error)


def _rules(op):
    """File and line of the rules of an op."""
    codes = {n: getattr(r, "__code__", None) for n, r in zip(op.names, op.rules)}
    lines = {n: f"{_short(c.co_filename)}:{c.co_firstlineno}" for n, c in codes.items() if c}
    return ", ".join(f"{op.name} for {name} ({line})" for name, line in lines.items())


def _line_of(error):
    """File and line where an error was first raised, outside NumPy, the engine and the checks."""
    package = Path(__file__).parents[1]
    while error.__cause__:
        error = error.__cause__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        own = path.parent == package or package / "check" in path.parents
        if not own and "numpy" not in path.parts:
            return f"{_short(path)}:{frame.lineno}, in {frame.name}"
    return ""


def _short(filename):
    path, here = Path(filename), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


# ---- noise


def prove_noise(noisy):
    """The proofs of a function that draws noise: (pathwise Finding, relative error, report).

    The error is that of the expectations of the result and of its square, and of their gradients.
    The report is that of check_noise.
    """
    rng, call = np.random.default_rng(0), noisy.call
    row = math.prod(n for axis, n in enumerate(noisy.small) if axis and axis not in noisy.shared)
    many = (-(-100 // row), *noisy.small[1:])  # 100 drops and more, so that not all are dropped
    pathwise = examine(lambda x: np.tanh(call(x)) * x, (Tensor(rng.standard_normal(many), True),))
    errors = []
    for power in (1, 2):
        x, w = Tensor(rng.standard_normal(noisy.small), True), rng.standard_normal(noisy.small)
        found = expectation(np.sum(w * call(x) ** power), order=4)
        terms = w * (noisy.mean(x) ** power + (noisy.variance(x) if power == 2 else 0))
        calm = np.sum(terms)
        (gradient,) = grad(calm, [x], retain_graph=True)
        size = np.sum(abs(terms.data))  # the terms may cancel
        errors.append(abs(found.value.data - calm.data) / size)
        difference = found.gradients[x].data - gradient.data
        errors.append(np.max(abs(difference)) / np.max(abs(gradient.data)))
    report = check_noise(call, noisy.large, shared=noisy.shared, mean=noisy.mean)
    return pathwise, float(max(errors)), report


# ---- the command


def guessed(op, call):
    """Samples for an op of one or two arguments that nobody gave samples for, or None."""
    trained = [name for name, rule in zip(op.names, op.rules) if rule is not None]
    needed = [name for name in op.names if name not in op.defaults]
    if call is None or isinstance(op, Family) or trained != needed or len(needed) > 2:
        return None
    return (unary if len(needed) == 1 else binary)(call)


def load(path):
    """What a file defines: ({op: samples, or None}, {function that draws noise: list of Noisy})."""
    before = set(ops)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    own = vars(module)
    given = own.get("samples", {})
    calls = {f.op.name: f for f in own.values() if isinstance(getattr(f, "op", None), Op)}
    new = [name for name in ops if name not in before or name in given]
    rows = {name: given.get(name) or guessed(ops[name], calls.get(name)) for name in new}
    return rows, own.get("noisy", {})


def chosen(what, refuse):
    """({op: samples}, [(name, Noisy)]) of the names and files on the command line."""
    table, drawing = {}, []
    for name in what or dict.fromkeys([*samples, *noisy]):
        rows = {name: samples[name]} if name in samples else {}
        proofs = {name: noisy[name]} if name in noisy else {}
        if name.endswith(".py"):
            if not Path(name).is_file():
                refuse(f"there is no file {name}.")
            rows, proofs = load(Path(name).resolve())
            if not rows and not proofs:
                refuse(f"{name} defines no ops, and no table `noisy`.")
        elif not rows and not proofs:
            refuse(f"there is no op {name!r}. The ops: {', '.join(sorted({*samples, *noisy}))}.")
        table |= rows
        drawing += [(name, proof) for name, several in proofs.items() for proof in several]
    return table, drawing


NO_SAMPLES = """
      NO SAMPLES: give the file a table,
          from minigrad.check.samples.case import case
          samples = {{"{0}": [case(lambda x: {0}(x, ...), (2, 3))]}}"""


def prove_table(table, proved, failed):
    """Prints a line for each op, and its failures. Adds the names to the sets."""
    width = max(map(len, [*table, "op"]))
    print(f"{'op':{width + 6}} cases  first order  second order  verdict     seconds")
    for number, (name, rows) in enumerate(table.items(), 1):
        print(f"{number:2}/{len(table):<2} {name:{width}} ", end="", flush=True)
        start = time.perf_counter()
        if rows is None:
            failed[name] = None
            print(NO_SAMPLES.format(name))
            continue
        proof = prove(name, rows)
        errors = f"{proof.cases:5}  {shown(proof.first.error):>11}  {shown(proof.second.error):>12}"
        print(f"{errors}  {proof.verdict:10} {time.perf_counter() - start:8.1f}", flush=True)
        for used, count in proof.uses.items():
            print(f"      {count} samples fail with {used}, whose rule is wrong")
        for failure in proof.failures:
            print(failure)
        wrong = [*([name] if proof.failures else []), *proof.uses]
        failed |= dict.fromkeys(wrong)
        if not wrong:
            proved[name] = None


def prove_drawing(drawing, proved, failed):
    """The same for functions that draw noise."""
    print(f"\n{'function that draws noise':30}  pathwise  expectation  law of the noise")
    for name, proof in drawing:
        print(f"{f'{name} {proof.settings}':30}", end="  ", flush=True)
        pathwise, error, report = prove_noise(proof)
        law = report.verdict().removeprefix("noise check ")
        print(f"{pathwise.verdict:8}  {shown(error):11}  {law}", flush=True)
        right = pathwise.verdict == "OK" and error <= 1e-12 and report
        (proved if right else failed)[name] = None
    print()


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    help = "what to prove (default: all)"
    parser.add_argument("what", nargs="*", metavar="op or file.py", help=help)
    table, drawing = chosen(parser.parse_args(arguments).what, parser.error)
    begin, proved, failed, interrupted = time.perf_counter(), {}, {}, False
    try:
        if table:
            prove_table(table, proved, failed)
        if drawing:
            prove_drawing(drawing, proved, failed)
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted; so far:")
    everything = {*table, *(name for name, _ in drawing)}
    count = len(proved.keys() - failed.keys())
    print(f"{count} of {len(everything)} ops proved, {time.perf_counter() - begin:.0f} s")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return bool(failed) or interrupted


if __name__ == "__main__":
    sys.exit(main())

"""Proves ops: first and second derivatives of every sample call against numeric ones.

    python -m minigrad.check                 every op, and every function that draws noise
    python -m minigrad.check tanh dropout    these
    python -m minigrad.check my_ops.py       the ops of this file; it may have tables `samples` and
                                             `noisy`, as in minigrad/check/samples

A failure names the sample and the rule, with file and line. An op that is wrong only because it
uses a wrong op is AFFECTED. A file with blanks, `...` in place of code, is not run: not yet. Ctrl-C
shows what was proved so far. Exit status 1 if anything fails, or is left blank.
"""

import argparse
import ast
import itertools
import json
import math
import os
import runpy
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import Op, Tensor, grad
from ..graph import nodes
from ..registry import FILE, Family, ops
from .expectations import expectation
from .functions import examine, examine_second
from .noise import check_noise
from .proximal import check_prox
from .reports import shown
from .rules import where
from .samples import noisy, samples, tensors
from .samples.case import at_zero, binary, flat, unary
from .verdict import FAILING, Finding, worst

LOCATION = Path(__file__).parents[1]
NO_SAMPLES = """
      NO SAMPLES: give the file a table,
          from minigrad.check.samples.case import case
          samples = {{"{0}": [case(lambda x: {0}(x, ...), (2, 3))]}}"""


# ---- derivatives


class Proof(NamedTuple):
    """The result of all samples of an op."""

    verdict: str
    first: Finding  # the gravest, of first derivatives
    second: Finding  # of error nan if no sample got so far
    failures: list  # of the op's own rules, as text; those of first derivatives first
    uses: Counter  # {another op whose rule is wrong: the number of samples that fail with it}


def prove(name, rows):
    """The Proof of the op `name` on these samples. No second derivatives where first ones fail."""
    first = [(sample, _examined(sample, "first")) for sample in rows]
    right = [sample for sample, finding in first if finding.verdict not in FAILING]
    second = [(sample, _examined(sample, "second")) for sample in right]
    uses, failures = Counter(), []
    for order, found in (("", first), ("second derivatives: ", second)):
        for sample, finding in found:
            used = finding.rule.split(" ")[0]
            if finding.verdict in FAILING and used in ops and used != name:
                uses[used] += 1
            elif finding.verdict in FAILING:
                failures.append(_failure(sample, order, finding, name))
    gravest = worst(finding for _, finding in first)
    last = worst(finding for _, finding in second) if second else Finding("VACUOUS", math.nan)
    verdict = worst([gravest, last]).verdict
    told = [finding for sample, finding in first if not sample.zero]
    if told and worst(told).verdict == "VACUOUS":
        verdict = "VACUOUS"
        failures.insert(0, _failure(rows[0], "", worst(told), name))
    return Proof("AFFECTED" if uses and not failures else verdict, gravest, last, failures, uses)


def _examined(sample, order):
    """The Finding of a sample. Second derivatives are those of sin(op), which linear ops have too.

    Of an error it has the text, and in place of a rule the file and line where it was raised.
    """
    inputs = tuple(tensors(sample.inputs()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of single silent inputs
            if order == "second":
                return examine_second(lambda *xs: np.sin(sample.call(*xs)), inputs)
            found = [examine(sample.call, inputs, zero_allowed=sample.zero)]
            for node in nodes(sample.call(*inputs)):
                found += check_prox(node)
            return worst(found)
    except Exception as error:  # of an op that cannot even be called: a line, not the end
        return _raised(error)


def _raised(error):
    return Finding("FAIL", math.inf, f"{type(error).__name__}: {error}", _line_of(error))


def _line_of(error):
    """File and line where an error was first raised, outside NumPy, the engine and the checks."""
    while error.__cause__:
        error = error.__cause__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        own = path.parent == LOCATION or LOCATION / "check" in path.parents or path.name == FILE
        if not own and "numpy" not in path.parts:
            return f"{os.path.relpath(path)}:{frame.lineno}, in {frame.name}"
    return ""


def _failure(sample, order, finding, name):
    """A failure as text. Where no rule is known to be wrong, it names all of the op."""
    op = ops.get(name)  # None: a function of several ops
    rules = [i for i, rule in enumerate(op.rules) if rule] if op else []
    place = finding.rule or (where(op, rules) if op and finding.verdict == "FAIL" else "")
    return f"      {sample.name}: {order}{_text(finding._replace(rule=place))}"


def _text(finding):
    return f"{', '.join(filter(None, [finding.verdict, finding.rule]))}\n          {finding.note}"


def prove_table(table):
    """Prints a line for each op, and its failures. Yields (name, the ops whose rules are wrong)."""
    width = max(map(len, [*table, "op"]))
    print(f"{'op':{width + 6}} cases  first order  second order  verdict     seconds")
    for number, (name, rows) in enumerate(table.items(), 1):
        print(f"{number:2}/{len(table):<2} {name:{width}} ", end="", flush=True)
        if rows is None:
            print(NO_SAMPLES.format(name))
            yield name, [name]
            continue
        start = time.perf_counter()
        proof = prove(name, rows)
        errors = f"{shown(proof.first.error):>11}  {shown(proof.second.error):>12}"
        seconds = time.perf_counter() - start
        print(f"{len(rows):5}  {errors}  {proof.verdict:10} {seconds:8.1f}", flush=True)
        for used, n in proof.uses.items():
            print(f"      {n} samples fail with {used}, whose rule is wrong")
        print("".join(f"{text}\n" for text in proof.failures), end="")
        yield name, [name] * bool(proof.failures) + [*proof.uses]


# ---- noise


def prove_noise(noisy):
    """The proofs of a function that draws noise: (pathwise Finding, relative error, report).

    The error is that of the expectation of a random sum of the results and their squares, and of
    its gradient. The report is that of check_noise.
    """
    rng, small = np.random.default_rng(0), noisy.small
    row = math.prod(n for axis, n in enumerate(small) if axis and axis not in noisy.shared)
    many = Tensor(rng.standard_normal((-(-100 // row), *small[1:])), True)  # 100 drops and more
    pathwise = examine(lambda x: np.tanh(noisy.call(x)) * x, (many,))
    x, v, w = Tensor(rng.standard_normal(small), True), *rng.standard_normal((2, *small))
    y, mean = noisy.call(x), noisy.mean(x)
    found = expectation(np.sum(v * y + w * y * y), order=4)
    terms = v * mean + w * (mean * mean + noisy.variance(x))
    (gradient,) = grad(np.sum(terms), [x])
    value = abs(found.value.data - np.sum(terms.data)) / np.sum(abs(terms.data))
    slope = np.max(abs(found.gradients[x].data - gradient.data)) / np.max(abs(gradient.data))
    report = check_noise(noisy.call, noisy.large, shared=noisy.shared, mean=noisy.mean)
    return pathwise, float(max(value, slope)), report


def prove_drawing(drawing):
    """As prove_table, for functions that draw noise."""
    print(f"\n{'function that draws noise':30}  pathwise  expectation  law of the noise")
    for name, proof in drawing:
        print(f"{f'{name} {proof.settings}':30}", end="  ", flush=True)
        try:
            pathwise, error, report = prove_noise(proof)
        except Exception as error:  # as in _examined
            print(_text(_raised(error)))
            yield name, [name]
            continue
        law = report.verdict().removeprefix("noise check ")
        print(f"{pathwise.verdict:8}  {shown(error):11}  {law}", flush=True)
        yield name, [] if pathwise.verdict == "OK" and error <= 1e-12 and report else [name]
    print()


# ---- the command


def guessed(op, call):
    """Samples for an op of one or two arguments that nobody gave samples for, or None.

    At 0 itself an op need not have a derivative: log has none, and |x| has two.
    """
    if call is None or isinstance(op, Family):
        return None
    trained = [name for name, rule in zip(op.names, op.rules) if rule is not None]
    needed = [name for name in op.names if name not in op.defaults]
    if trained != needed or len(needed) > 2:
        return None
    rows = unary(call) if len(needed) == 1 else binary(call)
    for sample in at_zero(call, len(needed)):
        verdicts = {_examined(sample, order).verdict for order in ("first", "second")}
        rows += [] if verdicts & {"NONFINITE", "KINK"} else [sample]
    return rows


def blanks(path):
    """The lines of a file that have `...` in place of code. In an index, `...` is no blank."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    known = {id(node) for index in indices for node in ast.walk(index)}
    dots = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value is ...]
    return sorted({node.lineno for node in dots if id(node) not in known})


def load(path):
    """What a file defines: ({op: samples, or None}, {function that draws noise: list of Noisy})."""
    before = set(ops)
    sys.path.insert(0, str(path.parent))
    own = runpy.run_path(str(path), run_name=path.stem)
    given = {name: flat(rows) for name, rows in own.get("samples", {}).items()}
    calls = {f.op.name: f for f in own.values() if isinstance(getattr(f, "op", None), Op)}
    new = dict.fromkeys([*(name for name in ops if name not in before), *given])
    rows = {name: given.get(name) or guessed(ops.get(name), calls.get(name)) for name in new}
    return rows, own.get("noisy", {})


def chosen(what, refuse):
    """({op: samples}, [(name, Noisy)], {file: blank lines}) of the names on the command line."""
    table, drawing, waiting = {}, [], {}
    everything = dict.fromkeys([*samples, *noisy])
    for name in what or everything:
        if not name.endswith(".py"):
            rows, proofs = ({n: t[n] for n in t if n == name} for t in (samples, noisy))
            problem = f"there is no op {name!r}. The ops: {', '.join(sorted(everything))}."
        elif not Path(name).is_file():
            refuse(f"there is no file {name}.")
        else:
            try:
                lines = blanks(Path(name))
            except SyntaxError as error:
                refuse(f"{name}, line {error.lineno}: {error.msg}.")
            if lines:
                waiting[name] = lines
                continue
            rows, proofs = load(Path(name).resolve())
            problem = f"{name} defines no ops, and no table `noisy`."
        if not rows and not proofs:
            refuse(problem)
        table |= rows
        drawing += [(name, proof) for name, several in proofs.items() for proof in several]
    return table, drawing, waiting


def main(arguments=None):
    style = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("python -m minigrad.check", **style)
    parser.add_argument("what", nargs="*", metavar="op or file.py", help="default: all")
    parser.add_argument("--json", metavar="FILE", help="also write the verdicts to this file")
    given = parser.parse_args(arguments)
    table, drawing, waiting = chosen(given.what, parser.error)
    begin, proved, failed, interrupted = time.perf_counter(), set(), {}, False
    proofs = [prove_table(table)] * bool(table) + [prove_drawing(drawing)] * bool(drawing)
    try:
        for name, wrong in itertools.chain(*proofs):
            failed |= dict.fromkeys(wrong)
            proved |= {name}
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted; so far:")
    seconds, right = time.perf_counter() - begin, proved - failed.keys()
    kinds = (table, "ops"), (dict(drawing), "functions that draw noise")
    told = [f"{len(right & names.keys())} of {len(names)} {kind}" for names, kind in kinds if names]
    if told:
        print(f"{' and '.join(told)} proved, {seconds:.0f} s")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    for name, lines in waiting.items():
        print(f"not yet: {name} has a blank (...) in line {', '.join(map(str, lines))}")
    if given.json:
        verdicts = {"proved": sorted(right), "failed": [*failed]}
        Path(given.json).write_text(json.dumps(verdicts | {"not yet": waiting}), encoding="utf-8")
    return bool(failed or waiting) or interrupted


if __name__ == "__main__":
    sys.exit(main())

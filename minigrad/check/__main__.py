"""Proves ops: first and second derivatives of every sample call against numeric ones.

    python -m minigrad.check                 every op, and every function that draws noise
    python -m minigrad.check tanh dropout    these
    python -m minigrad.check my_ops.py       the ops of this file; it may have tables `samples` and
                                             `noisy`, as in minigrad/check/samples

A failure names the sample and the rule, with file and line. An op that is wrong only because it
uses a broken op is AFFECTED. Ctrl-C shows what was proved so far. Exit status 1 if anything fails.
"""

import argparse
import importlib.util
import math
import sys
import time
import traceback
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import Op, Tensor, grad, ops
from ..graph import nodes
from .expectations import expectation
from .functions import differently_recorded, examine, gradient_function
from .noise import check_noise
from .samples import noisy, samples, tensors
from .samples.case import binary, unary
from .slopes import FAILING, Finding, worst


class Failure(NamedTuple):
    sample: str
    order: str  # "first" or "second"
    finding: Finding
    uses: tuple  # broken ops that the sample uses besides the proved one: the cause
    where: str  # file and line of the rule, or of the error in the forward

    def __str__(self):
        place = f", {self.where}" if self.where else ""
        verdict = f"{self.order} derivatives: {self.finding.verdict}{place}"
        return f"      {self.sample}: {verdict}\n          {self.finding.note}"


class Proof(NamedTuple):
    """The result of all samples of an op."""

    cases: int
    first: Finding  # the gravest, of first derivatives
    second: Finding
    failures: list  # those of first derivatives before those of second ones

    @property
    def verdict(self):
        own = [failure for failure in self.failures if not failure.uses]
        if own:
            return own[0].finding.verdict
        return "AFFECTED" if self.failures else worst([self.first, self.second]).verdict


def prove(name, rows):
    """The Proof of the op `name` on these samples. No second derivatives where first ones fail.

    Second derivatives are those of sin(op), to which linear ops contribute too.
    """
    findings, failures, silent = {"first": [], "second": []}, [], []
    for sample in rows:
        for order in findings:
            finding, error = _examined(sample, order)
            findings[order].append(finding)
            if finding.verdict in (*FAILING, "VACUOUS"):
                uses, where = (), _line_of(error)
                if finding.verdict == "FAIL":
                    uses = _broken_ops(name, rows, sample, order)
                    where = where or _rules(name, sample, order)
                failure = Failure(sample.name, order, finding, uses, where)
                (silent if finding.verdict == "VACUOUS" else failures).append(failure)
                break
    first, second = findings.values()
    tested = any(f.verdict != "VACUOUS" for f, sample in zip(first, rows) if not sample.zero)
    failures = sorted(failures if tested else failures + silent, key=lambda f: f.order)
    return Proof(len(rows), worst(first), worst(second), failures)


def _examined(sample, order, wanted=None):
    """(the Finding of a sample, the error that it raised or None).

    `wanted` is the number of the only input that requires a gradient; None: all do.
    """
    inputs = tuple(
        x.requires_grad_(wanted in (None, i)) for i, x in enumerate(tensors(sample.inputs()))
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of single silent inputs
            if order == "first":
                return examine(sample.call, inputs, zero_allowed=sample.zero), None
            call = _bent(sample)
            gradients, cotangents = gradient_function(call, inputs)
            finding = differently_recorded(call, inputs, cotangents)
            return finding or examine(gradients, inputs + cotangents, zero_allowed=True), None
    except Exception as error:  # of an op that cannot even be called: a line, not the end
        return Finding("FAIL", np.inf, f"{type(error).__name__}: {error}"), error


def _bent(sample):
    return lambda *xs: np.sin(sample.call(*xs))


# ---- the cause of a failure


def _ops_of(sample, order="first"):
    """The names of the ops in the graph of a sample, or of its gradients."""
    inputs = tensors(sample.inputs())
    try:
        roots = [sample.call(*inputs)]
        if order == "second":
            out = np.sum(_bent(sample)(*inputs))
            roots = grad(out, inputs, create_graph=True, allow_unused=True)
            roots = [g for g in roots if g is not None]
    except Exception:  # the failure that is explained
        return set()
    return {node.op.name for node in nodes(roots) if node.op}


@cache
def _is_broken(name, rows):
    """Whether first derivatives of an op fail on one of these samples that uses no other op."""
    alone = [sample for sample in rows if _ops_of(sample) == {name}]
    return any(_examined(sample, "first")[0].verdict == "FAIL" for sample in alone)


def _broken_ops(name, rows, sample, order):
    """The broken ops that a failing sample uses, unless the op itself is broken."""
    if _is_broken(name, tuple(rows)):
        return ()
    others = sorted(_ops_of(sample, order) - {name})
    return tuple(other for other in others if _is_broken(other, tuple(samples.get(other, ()))))


def _rules(name, sample, order):
    """File and line of the rules of the op for the inputs whose gradients fail alone, or of all."""
    op, failing, passing = ops[name], set(), set()
    for i in range(len(sample.draws)):
        inputs = tensors(sample.inputs())
        try:
            reached = _arguments(nodes(sample.call(*inputs)), inputs[i], name)
        except Exception:
            return ""
        fails = _examined(sample, order, i)[0].verdict in FAILING
        (failing if fails else passing).update(reached)
    named = (failing - passing) or failing or set(op.names)
    lines = {}
    for argument, rule in zip(op.names, op.rules):
        if argument in named and (code := getattr(rule, "__code__", None)):
            lines.setdefault(f"{_short(code.co_filename)}:{code.co_firstlineno}", []).append(
                argument
            )
    return ", ".join(f"{line}, rule for {' and '.join(names)}" for line, names in lines.items())


def _arguments(graph, x, name):
    """The names of the op's arguments that depend on x."""
    known, found = {x.order}, set()
    for node in graph:
        for i, a in enumerate(node.args):
            if isinstance(a, Tensor) and a.order in known:
                known.add(node.order)
                if node.op.name == name:
                    found.add(node.op.names[min(i, len(node.op.names) - 1)])
    return found


def _line_of(error):
    """File and line of an error, outside NumPy, the engine and the checks; "" without an error."""
    while getattr(error, "__cause__", None):
        error = error.__cause__
    for frame in reversed(traceback.extract_tb(error.__traceback__) if error else []):
        if not any(
            part in frame.filename for part in ("numpy", "minigrad/engine", "minigrad/check")
        ):
            return f"{_short(frame.filename)}:{frame.lineno}, in {frame.name}"
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
    if call is None or op.variadic or trained != needed or len(needed) > 2:
        return None
    return (unary if len(needed) == 1 else binary)(call)


def load(path):
    """What a file defines: ({op: list of samples, or None}, {function with noise: list of Noisy})."""
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
        cases, first, second, failures = proof = prove(name, rows)
        errors = f"{cases:5}  {first.error:11.1e}  {second.error:12.1e}"
        print(f"{errors}  {proof.verdict:10} {time.perf_counter() - start:8.1f}", flush=True)
        for used, count in Counter(failure.uses for failure in failures).items():
            failed |= dict.fromkeys(used or [name])
            if used:
                print(
                    f"      {count} samples fail with {' and '.join(used)}, which fails by itself"
                )
        for failure in failures:
            if not failure.uses:
                print(failure)
        if not failures:
            proved[name] = None


def prove_drawing(drawing, proved, failed):
    """The same for functions that draw noise."""
    print(f"\n{'function that draws noise':30}  pathwise  expectation  law of the noise")
    for name, proof in drawing:
        print(f"{f'{name} {proof.settings}':30}", end="  ", flush=True)
        pathwise, error, report = prove_noise(proof)
        law = report.verdict().removeprefix("noise check ")
        print(f"{pathwise.verdict:8}  {f'{error:.1e}':11}  {law}", flush=True)
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
    _is_broken.cache_clear()
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

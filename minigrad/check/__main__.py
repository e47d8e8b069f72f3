"""Proves ops: first and second derivatives of every sample call against numeric ones.

    python -m minigrad.check                 every op, and every stochastic function
    python -m minigrad.check tanh dropout    these
    python -m minigrad.check my_ops.py       the ops that this file defines, and its `samples`, if it has any

Exit status 1 if anything fails.
"""

import argparse
import importlib.util
import math
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import Op, Tensor, grad, ops
from .expectations import expectation
from .functions import differently_recorded, examine, gradient_function
from .noise import check_noise
from .samples import binary, noisy, samples, seed_of, tensors, unary
from .verdict import FAILING, Finding, worst


class Proof(NamedTuple):
    """What the sample calls of an op showed."""

    cases: int
    first: Finding  # the gravest, of first derivatives
    second: Finding
    failures: list  # (sample, order, Finding)

    @property
    def verdict(self):
        return (
            self.failures[0][2].verdict
            if self.failures
            else worst([self.first, self.second]).verdict
        )


def prove(name, calls):
    """Checks all sample calls of the op `name`. Second derivatives are those of sin(op), to which linear ops contribute too."""
    first, second, failures, silent = [], [], [], []
    for i, sample in enumerate(calls):
        inputs = tuple(tensors(sample.inputs(seed_of(name, i))))
        for order, found, examination in (
            ("first", first, _examine_first),
            ("second", second, _examine_second),
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of single silent inputs
                    finding = examination(sample, inputs)
            except Exception as error:  # of an op that cannot even be called: to be shown in its line, not to end the table
                finding = Finding("FAIL", np.inf, f"{type(error).__name__}: {error}")
            found.append(finding)
            if finding.verdict in (*FAILING, "VACUOUS"):
                (silent if finding.verdict == "VACUOUS" else failures).append((i, order, finding))
                break
    tested = any(f.verdict != "VACUOUS" for f, sample in zip(first, calls) if not sample.zero)
    return Proof(len(calls), worst(first), worst(second), failures if tested else silent)


def _examine_first(sample, inputs):
    return examine(sample.call, inputs, zero_allowed=sample.zero)


def _examine_second(sample, inputs):
    def bent(*xs):
        return np.sin(sample.call(*xs))

    gradients, cotangents = gradient_function(bent, inputs)
    return differently_recorded(bent, inputs, cotangents) or examine(
        gradients, inputs + cotangents, zero_allowed=True
    )


def prove_noise(noisy):
    """The three proofs of a stochastic function: (pathwise Finding, relative error of the expectations, report on the law).

    The expectations are those of the result and of its square, and of their gradients.
    """
    rng, call = np.random.default_rng(0), noisy.call
    row = math.prod(n for axis, n in enumerate(noisy.small) if axis and axis not in noisy.shared)
    many = (-(-100 // row), *noisy.small[1:])  # 100 drops and more, so that not all are dropped
    pathwise = examine(lambda x: np.tanh(call(x)) * x, (Tensor(rng.standard_normal(many), True),))
    errors = []
    for power in (1, 2):
        x, w = Tensor(rng.standard_normal(noisy.small), True), rng.standard_normal(noisy.small)
        found = expectation(np.sum(w * call(x) ** power))
        terms = w * (noisy.mean(x) ** power + (noisy.variance(x) if power == 2 else 0))
        (gradient,) = grad(calm := np.sum(terms), [x], retain_graph=True)
        value_error = abs(found.value.data - calm.data) / np.sum(
            abs(terms.data)
        )  # the terms may cancel
        gradient_error = np.max(abs(found.gradients[x].data - gradient.data)) / np.max(
            abs(gradient.data)
        )
        errors += [float(value_error), float(gradient_error)]
    return (
        pathwise,
        max(errors),
        check_noise(call, noisy.large, shared=noisy.shared, mean=noisy.mean),
    )


def guessed(op, call):
    """Sample calls for an op of one or two arguments that nobody gave samples for, or None."""
    wanted = [name for name, rule in zip(op.names, op.rules) if rule is not None]
    needed = [name for name in op.names if name not in op.defaults]
    if (
        call is None
        or op.variadic
        or len(needed) > 2
        or needed != wanted[: len(needed)]
        or len(wanted) != len(needed)
    ):
        return None
    return (unary if len(wanted) == 1 else binary)(call)


def load(path):
    """The ops a file defines, with its samples: {name: sample calls or None}."""
    before = set(ops)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    given = getattr(module, "samples", {})
    calls = {f.op.name: f for f in vars(module).values() if isinstance(getattr(f, "op", None), Op)}
    return {
        name: given.get(name) or guessed(ops[name], calls.get(name))
        for name in ops
        if name not in before or name in given
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", nargs="*", metavar="op or file.py", help="what to prove (default: all)"
    )
    what = parser.parse_args(arguments).what
    table, stochastic = {}, []
    for name in what or dict.fromkeys([*samples, *noisy]):
        if name.endswith(".py"):
            if not Path(name).is_file():
                parser.error(f"there is no file {name}.")
            table |= (found := load(Path(name).resolve()))
            if not found:
                parser.error(f"{name} defines no ops.")
        elif name in samples or name in noisy:
            table |= {name: samples[name]} if name in samples else {}
            stochastic += [(name, proof) for proof in noisy.get(name, [])]
        else:
            parser.error(
                f"there is no op {name!r}. The ops: {', '.join(sorted({*samples, *noisy}))}."
            )
    width = max(map(len, [*table, "op"]))
    if table:
        print(f"{'op':{width + 6}} cases  first order  second order  verdict     seconds")
    begin, failed = time.perf_counter(), []
    for number, (name, calls) in enumerate(table.items(), 1):
        print(f"{number:2}/{len(table):<2} {name:{width}} ", end="", flush=True)
        start = time.perf_counter()
        if calls is None:
            failed.append(name)
            print(
                f"\n      NO SAMPLES: give the file a table, samples = {{{name!r}: [s(lambda x: {name}(x, ...), normal(2, 3))]}}, from minigrad.check.samples"
            )
            continue
        proof = prove(name, calls)
        seconds = time.perf_counter() - start
        print(
            f"{proof.cases:5}  {proof.first.error:11.1e}  {proof.second.error:12.1e}  {proof.verdict:10} {seconds:8.1f}",
            flush=True,
        )
        for i, order, finding in proof.failures[:3]:
            print(f"      sample {i}, {order} derivatives: {finding.verdict}: {finding.note}")
        if proof.failures:
            failed.append(name)
    if stochastic:
        print(f"\n{'stochastic op':30}  pathwise  expectation  law of the noise")
        for name, proof in stochastic:
            print(f"{f'{name} {proof.settings}':30}", end="  ", flush=True)
            pathwise, error, law = prove_noise(proof)
            print(
                f"{pathwise.verdict:8}  {f'{error:.1e}':11}  {law.verdict().removeprefix('noise check ')}",
                flush=True,
            )
            if pathwise.verdict != "OK" or error > 1e-12 or not law:
                failed.append(name)
        print()
    failed, everything = list(dict.fromkeys(failed)), {*table, *(name for name, _ in stochastic)}
    print(
        f"{len(everything) - len(failed)} of {len(everything)} ops proved, {time.perf_counter() - begin:.0f} s"
    )
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

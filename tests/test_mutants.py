"""The mutation gate: every rule of every op, broken on purpose in each of several ways, must fail a check of its samples.

A check that cannot fail proves nothing.
"""

import numpy as np
import pytest

from minigrad.check import GradcheckError, gradcheck
from minigrad.check.samples import samples
from minigrad.engine import Tensor, ops


def scaled(rule):
    return lambda g, *rest: 1.01 * rule(g, *rest)


def zeroed(rule):
    return lambda g, *rest: 0 * rule(g, *rest)


def sign_flipped(rule):
    return lambda g, *rest: -rule(g, *rest)


def cotangent_ignored(rule):
    return lambda g, *rest: rule(np.ones_like(g), *rest)


def one_entry_wrong(rule):
    def wrong(g, *rest):
        out = np.array(rule(g, *rest))
        if out.size:
            out.flat[out.size // 2] += 0.5
        return out

    return wrong


def reversed_entries(rule):
    return lambda g, *rest: np.flip(rule(g, *rest))


MUTATIONS = [scaled, zeroed, sign_flipped, cotangent_ignored, one_entry_wrong, reversed_entries]
MUTANTS = [(name, i, mutation) for name, op in ops.items() for i, rule in enumerate(op.rules) if rule is not None for mutation in MUTATIONS]


def killed(name):
    """Whether some sample of the op fails its first-order check."""
    for number, sample in enumerate(samples[name]):
        try:
            gradcheck(sample.call, [Tensor(x, True) for x in sample.inputs(number)])
        except GradcheckError as error:  # VACUOUS is what a sample with zero gradients is meant to give
            if "FAIL" in str(error):
                return True
    return False


@pytest.mark.parametrize(("name", "i", "mutation"), MUTANTS, ids=[f"{n}-{ops[n].names[i]}-{m.__name__}" for n, i, m in MUTANTS])
def test_a_broken_rule_is_caught(name, i, mutation):
    op = ops[name]
    rules = list(op.rules)
    try:
        op.rules[i] = mutation(rules[i])
        was_killed = killed(name)
    finally:
        op.rules[:] = rules
    assert was_killed


@pytest.mark.parametrize("name", ops)
def test_an_unbroken_op_passes(name):
    assert not killed(name)

"""Proximal operators of penalties: wrong ones are found, also where a penalty is not convex."""

import numpy as np
import pytest
from helpers import positive_leaf

from minigrad.check.proximal import check_prox
from minigrad.ops.penalties import BlockSoftThreshold, penalty, soft_threshold

pytestmark = pytest.mark.usefixtures("own_registry")

NORMS = {
    "l1": lambda w: np.sum(abs(w)),
    "l2": lambda w: np.sum(w * w),
    "group": lambda w: np.sqrt(np.sum(w * w)),
    "count": np.count_nonzero,  # not convex
}
RIGHT = {
    "l1": soft_threshold,
    "l2": lambda v, t: np.divide(v, 1 + 2 * t, out=v),  # in place
    "group": BlockSoftThreshold(None),
    "count": lambda v, t: np.where(v * v / 2 <= t, 0, v),
}
WRONG = [
    ("l1", "identity", lambda v, t: v),
    ("l1", "zero", lambda v, t: 0 * v),
    ("l1", "half a step", lambda v, t: soft_threshold(v, t / 2)),
    ("l1", "one per cent", lambda v, t: soft_threshold(v, 1.01 * t)),
    ("l1", "a hard threshold", lambda v, t: np.where(abs(v) <= t, 0, v)),
    ("l1", "no threshold", lambda v, t: v - t * np.sign(v)),
    ("l1", "positive entries only", lambda v, t: np.maximum(v - t, 0)),
    ("l1", "one entry", lambda v, t: soft_threshold(v, t) + np.eye(*v.shape, k=2) / 9),
    ("l1", "in place", lambda v, t: np.multiply(v, 0.5, out=v)),
    ("l1", "nan", lambda v, t: np.where(v > 0, np.nan, soft_threshold(v, t))),
    ("l1", "another shape", lambda v, t: np.sum(v)),
    ("l2", "t for 2 t", lambda v, t: v / (1 + t)),
    ("group", "each entry alone", soft_threshold),
    ("count", "identity", lambda v, t: v),
    ("count", "zero", lambda v, t: 0 * v),
    ("count", "a soft threshold", soft_threshold),
]


def findings(norm, prox, shape, c=0.3):
    @penalty(prox={"c": prox}, weights=lambda g, out, c, *ws: [g * w for w in ws])
    def own(c, *weights):
        return sum(c * norm(w) for w in weights)

    return [*check_prox(own(*3 * [positive_leaf(*shape)], c=c))]


@pytest.mark.parametrize("shape", [(2, 3), (4,), (), (0, 2)])
@pytest.mark.parametrize("name", RIGHT)
def test_right_operators_pass(name, shape):
    assert not findings(NORMS[name], RIGHT[name], shape)


def test_a_penalty_without_an_operator_has_nothing_to_prove():
    assert not findings(NORMS["l1"], None, (2, 3))


@pytest.mark.parametrize("c", [0.1, 0.3])
@pytest.mark.parametrize("norm, how, prox", WRONG)
def test_wrong_operators_are_found(norm, how, prox, c):
    found = findings(NORMS[norm], prox, (3, 5), c)
    assert found and {finding.verdict for finding in found} == {"FAIL"}


def no_threshold(v, t):
    return v - t * np.sign(v)


def zero(v, t):
    return 0 * v


def twice_at_medium_steps(v, t):
    return soft_threshold(v, 2 * t if 0.1 < t < 10 else t)


@pytest.mark.parametrize(
    "prox, size, c", [(no_threshold, 30, 0.001), (zero, 100, 10), (twice_at_medium_steps, 15, 1)]
)
def test_operators_that_are_wrong_at_some_steps_only(prox, size, c):
    """Of many weights: only moves of some of them show it, since most are right at 0."""
    assert findings(NORMS["l1"], prox, (size,), c)

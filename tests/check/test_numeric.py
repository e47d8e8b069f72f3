"""The complex step: exact for smooth functions and on both sides of kinks, for every op of the
package. Ops that take no complex numbers are passed by differences.
"""

import math
from functools import partial

import numpy as np
import pytest
from helpers import leaf, normal_leaf, positive_leaf
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import functional as F
from minigrad.check import numeric
from minigrad.check.samples import samples, tensors
from minigrad.check.verdict import MIX, Alone, Settings, moved
from minigrad.engine import Tensor
from minigrad.graph import nodes
from minigrad.registry import op
from minigrad.registry import ops as registry

pytestmark = pytest.mark.usefixtures("own_registry")


def slopes(f, x, v=1.0):
    """(left, right) of f at x along v: the derivatives of the nodes that f records, one by one."""
    x = mg.Tensor(np.asarray(x, np.float64), True)
    y = f(x)

    def slope(v):
        tangents = {x.order: v * np.ones(x.shape)}
        for node in nodes(y):
            given = {
                i: tangents[a.order]
                for i, a in enumerate(node.args)
                if isinstance(a, Tensor) and a.order in tangents
            }
            if given:
                tangents[node.order] = numeric.tangent(node, given)[0]
        return tangents[y.order]

    return -slope(-np.asarray(v)), slope(v)


SMOOTH = {  # name: (f, its derivative, points)
    "exp": (np.exp, np.exp, (-3.0, 0.0, 0.7, 5.0, 300.0)),
    "sin": (np.sin, np.cos, (0.0, 1.0, 3.0, 100.0, 1e6)),
    "1/x": (lambda x: 1 / x, lambda x: -1 / x**2, (0.2, 1.0, -7.0, 1e-8, 1e8)),
    "tanh(1000 x)": (
        lambda x: np.tanh(1e3 * x),
        lambda x: 1e3 / np.cosh(1e3 * x) ** 2,
        (0.0, 5e-4, -1e-3),
    ),
    "x^7": (lambda x: x**7, lambda x: 7 * x**6, (-1.0, 0.5, 2.0)),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), (0.05, 1.0, 9.0, 1e-20)),
    "log(x - 5)": (lambda x: np.log(x - 5), lambda x: 1 / (x - 5), (5.001, 5.0000001)),
    "arcsin": (np.arcsin, lambda x: 1 / np.sqrt((1 - x) * (1 + x)), (0.9999, -0.9999999)),
    "log(1 - p)": (lambda p: np.log(1 - p), lambda p: -1 / (1 - p), (0.9999,)),
    "sigmoid": (
        F.sigmoid,
        lambda x: math.exp(-abs(x)) / (1 + math.exp(-abs(x))) ** 2,
        (-200.0, 40.0),
    ),
    "erf": (F.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x), (0.3, -2.0, 5.0, 0.46875)),
}
POINTS = [
    pytest.param(f, d, x, id=f"{name} at {x:g}")
    for name, (f, d, points) in SMOOTH.items()
    for x in points
]


@pytest.mark.parametrize("f, derivative, x", POINTS)
def test_the_derivative_of_a_smooth_function_is_exact_to_rounding(f, derivative, x):
    for found in slopes(f, x):
        assert abs(found - derivative(x)) <= 4e-15 * abs(derivative(x))


LINKS = {  # name: (f, its derivative)
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "arctan": (np.arctan, lambda x: 1 / (1 + x * x)),
    "sinh": (np.sinh, np.cosh),
    "x^2": (lambda x: x * x, lambda x: 2 * x),
    "3 x - 1": (lambda x: 3 * x - 1, lambda x: 3.0),
    "1/(1 + x^2)": (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "log(2 + sin)": (lambda x: np.log(2 + np.sin(x)), lambda x: np.cos(x) / (2 + np.sin(x))),
    "exp(x/2)": (lambda x: np.exp(x / 2), lambda x: np.exp(x / 2) / 2),
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(LINKS)), min_size=1, max_size=6), st.floats(-2, 2))
def test_the_derivative_of_any_smooth_composition(links, x):
    value, derivative = np.float64(x), 1.0
    with np.errstate(all="ignore"):
        for link in links:
            f, d = LINKS[link]
            value, derivative = f(value), derivative * d(value)
    if not (abs(value) < 1e8 and 1e-100 < abs(derivative) < 1e8):
        return

    def composed(x):
        for link in links:
            x = LINKS[link][0](x)
        return x

    for found in slopes(composed, x):
        assert abs(found - derivative) <= 1e-12 * abs(derivative)


KINKS = {  # name: (f, x, direction, left, right)
    "|x|": (np.abs, 0.0, 1, -1, 1),
    "|x| along -2": (np.abs, 0.0, -2, -2, 2),
    "relu": (F.relu, 0.0, 1, 0, 1),
    "relu beside its kink": (F.relu, 1e-300, 1, 1, 1),
    "minimum": (lambda x: np.minimum(2 + x, 2.0), 0.0, 1, 1, 0),
    "maximum of two": (lambda x: np.maximum(1 + x, 1 - 2 * x), 0.0, 1, -2, 1),
    "leaky relu": (F.leaky_relu, 0.0, 1, 0.01, 1),
    "exp(|x|)": (lambda x: np.exp(np.abs(x)), 0.0, 1, -1, 1),
    "small slopes": (lambda x: 1e-30 * np.abs(x), 0.0, 1, -1e-30, 1e-30),
    "relu(x) - relu(-x)": (lambda x: F.relu(x) - F.relu(-x), 0.0, 1, 1, 1),
    "clip at a bound": (lambda x: np.clip(x, 0, 1), 1.0, 1, 1, 0),
    "max of a tie": (np.max, [3.0, 3.0, 1.0], [1.0, -1.0, 5.0], -1, 1),
    "min of a tie": (np.min, [1.0, 1.0], [2.0, 3.0], 3, 2),
    "the norm at 0": (lambda x: F.group_l2(x, c=1.0, axis=0), [0.0, 0.0], [3.0, 4.0], -5, 5),
    "the norm at 0, backwards": (lambda x: F.group_l2(x, c=1.0, axis=0), [0, 0], [-3, -4], -5, 5),
    "the deviation of equal numbers": (np.std, [2.0, 2.0], [1.0, -1.0], -1, 1),
    "l1 penalty": (lambda x: F.l1_penalty(x, c=0.5), [0.0, 2.0], [1.0, 1.0], 0, 1),
}


@pytest.mark.parametrize("name", KINKS)
def test_at_a_kink_both_slopes_are_exact(name):
    f, x, v, left, right = KINKS[name]
    assert slopes(f, x, np.asarray(v, float)) == pytest.approx((left, right), rel=1e-15)


# LAPACK takes conjugates of complex matrices, so these refuse them.
PASSED_BY_A_DIFFERENCE = {"lower_cholesky", "pinv", "eigh_in_one", "svd_in_one", "qr_in_one"}


def test_every_op_takes_complex_numbers_as_the_analytic_function_that_it_is():
    """For all samples: no op needs a difference, and the complex step agrees with one."""
    tried = set()
    for name, calls in samples.items():
        if name in PASSED_BY_A_DIFFERENCE:
            continue
        for i, sample in enumerate(calls):
            rng = np.random.default_rng(i)
            for node in nodes(sample.call(*tensors(sample.inputs()))):
                if node.args and node.requires_grad and node.size:
                    tried.add(node.op.name)
                    directions = {
                        k: numeric.cotangent(rng, a.shape)
                        for k, a in enumerate(node.args)
                        if isinstance(a, Tensor) and a.requires_grad
                    }
                    where = f"{name}, sample {i}: {node.op.name}"
                    assert not np.any(numeric.tangent(node, directions)[1]), where
                    with np.errstate(all="ignore"):
                        assert numeric.is_analytic(node), where
    assert tried >= set(registry) - PASSED_BY_A_DIFFERENCE


@pytest.mark.parametrize("error", [1e-6, 1e-4, 1e-2])
def test_a_node_passed_by_a_difference_is_told_to_a_part_in_a_million(error):
    """Near pi / 2, where the derivative is a small part of what it could be."""

    def bare_sin(x):
        return np.floor(0 * x) + np.sin(x)

    wrong = op(bare_sin, x=lambda g, out, x: g * np.cos(x) * (1 + error))
    x = leaf(np.array([1.44102101, 0.73566178, 1.26647106, 1.38788384]))
    assert not mg.gradcheck(wrong, x, raise_exception=False)


# Functions that are not analytic for complex numbers, but for real ones: (f, its derivative).
def squared_in_place(x):
    out = np.empty_like(x)
    np.multiply(np.abs(x, out=out), x, out=out)
    return out


OF_REAL_NUMBERS = {
    "into an array": (squared_in_place, lambda x: 2 * x),
    "an outer product": (
        lambda x: np.power.outer(x, [2.0, 3.0])[:, 0],
        lambda x: 2 * x,
    ),
    "a sign": (lambda x: np.sign(x) * x * x, lambda x: 2 * x),
    "x conj(x)": (lambda x: x * np.conj(x), lambda x: 2 * x),
    "x x.conj()": (lambda x: x * x.conj(), lambda x: 2 * x),
    "Re(x) x": (lambda x: np.real(x) * x, lambda x: 2 * x),
    "x + 1e-6 Re(x)": (lambda x: x + 1e-6 * x.real, lambda x: 1 + 1e-6 + 0 * x),
    "np.round": (lambda x: x * x + 0 * np.round(x), lambda x: 2 * x),
    "x.round()": (lambda x: x * x + 0 * x.round(1), lambda x: 2 * x),
    "|x| x": (lambda x: np.abs(x) * x, lambda x: 2 * x),
    "cast": (lambda x: np.sin(x).astype(float), np.cos),
}
BARE = {  # functions that leave the arrays of the checks, and then are not analytic
    "x conj(x)": (lambda x: x * np.conj(np.asarray(x)), lambda x: 2 * x),
    "Re(x) x": (lambda x: np.real(np.array(x)) * x, lambda x: 2 * x),
    "x + 1e-6 Re(x)": (lambda x: x + 1e-6 * np.asarray(x).real, lambda x: 1 + 1e-6 + 0 * x),
    "|x| x": (lambda x: np.abs(np.asarray(x)) * x, lambda x: 2 * x),
    "no complex numbers": (lambda x: np.floor(0 * x) + np.sin(x), np.cos),
    "cast": (lambda x: np.asarray(np.sin(x), np.float64), np.cos),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [*OF_REAL_NUMBERS, *(f"bare {name}" for name in BARE)])
def test_functions_of_real_numbers_are_analytic_and_others_are_passed_by_a_difference(name):
    is_bare = name.startswith("bare ")
    f, derivative = BARE[name.removeprefix("bare ")] if is_bare else OF_REAL_NUMBERS[name]
    right = op(lambda x: f(x), x=lambda g, out, x: g * derivative(x))
    wrong = op(lambda x: f(x), x=lambda g, out, x: g * derivative(x) * (1 + 1e-6))
    x = positive_leaf(4)
    report = mg.check_graph(np.sum(np.sin(right(np.exp(x)))))
    assert report and ("takes no complex numbers" in str(report)) == is_bare
    assert mg.gradcheck(right, x)
    assert mg.check_graph(np.sum(np.sin(wrong(np.exp(x))))).first_wrong.op == "<lambda>"
    assert not mg.gradcheck(wrong, x, raise_exception=False)


@pytest.mark.parametrize(
    "live", [np.ones(3, bool), np.arange(20) == 3], ids=["at zeros", "one entry of 20"]
)
def test_a_function_without_imaginary_part_is_passed_by_a_difference(live):
    doubled = op(lambda x: 2 * live * np.asarray(x).real, x=lambda g, out, x: 2 * live * g)
    x = mg.Tensor(np.where(live, 0.0, 1.0), True)
    report = mg.check_graph(doubled(x))
    assert report and "takes no complex numbers" in str(report)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_deviation_of_equal_numbers_is_analytic(size):
    """The difference of such a variance is nothing but rounding: at no draw it tells more."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        equal = mg.Tensor(np.full((2, size), rng.uniform(0.5, 2, (2, 1))), True)
        assert numeric.is_analytic(np.var(equal, axis=1))


def huber(x):
    return np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5)


def soft_threshold(x):
    return np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)


def softsign(x):
    size = abs(x)
    size += 1
    return x / size


@pytest.mark.parametrize(
    "forward, right, wrong",
    [
        (huber, lambda x: np.clip(x, -1, 1), lambda x: np.where(np.abs(x) < 1, x, 0)),
        (soft_threshold, lambda x: np.abs(x) > 0.5, lambda x: np.abs(x) > 0),
        (softsign, lambda x: 1 / (1 + np.abs(x)) ** 2, lambda x: 1 / (1 + np.abs(x))),
    ],
)
def test_absolute_values_and_signs_in_an_op_of_a_user_are_those_of_real_numbers(
    forward, right, wrong
):
    rules = {"right": lambda g, out, x: g * right(x), "wrong": lambda g, out, x: g * wrong(x)}
    for seed in range(10):
        x = normal_leaf(5, 4, seed=seed)
        x.data[:2] = 0  # there the sizes of complex numbers tell nothing
        x.data[2] = [0.3, 1.5, -0.7, -1.5]
        assert mg.gradcheck(op(lambda x: forward(x), x=rules["right"]), x)
        assert not mg.gradcheck(
            op(lambda x: forward(x), x=rules["wrong"]), x, raise_exception=False
        )


def test_a_kink_that_upsets_one_difference_is_no_reason_for_differences():
    kinked = op(lambda x: np.maximum(x - 1, 0), x=lambda g, out, x: g * (x > 1))
    x = mg.Tensor(np.append(1 - 1e-12 * np.arange(1, 5), np.linspace(2, 3, 50)), True)
    report = mg.check_graph(np.sum(kinked(x)))
    assert {row.verdict for row in report.rows} == {"OK"}
    assert "takes no complex numbers" not in str(report)


def test_a_difference_has_two_sides_too():
    def distance(x):
        return np.sqrt(np.floor(x * 0) + x * x)  # floor takes no complex numbers

    right = op(distance, x=lambda g, out, x: g * np.sign(x))
    wrong = op(distance, x=lambda g, out, x: g * np.where(x == 0, 2, np.sign(x)))
    x = mg.Tensor(np.array([0.0, 0.5, -1.0]), True)
    assert mg.gradcheck(right, x) and not mg.gradcheck(wrong, x, raise_exception=False)


def test_a_difference_at_zeros_takes_a_step_too():
    f, derivative = BARE["no complex numbers"]
    right = op(lambda x: f(x), x=lambda g, out, x: g * derivative(x))
    wrong = op(lambda x: f(x), x=lambda g, out, x: g * derivative(x) * 1.001)
    x = mg.Tensor(np.zeros(3), True)
    assert mg.gradcheck(right, x) and not mg.gradcheck(wrong, x, raise_exception=False)


def test_where_a_complex_number_overflows_a_difference_is_taken():
    x = mg.Tensor(np.array([-800.0, 3.0, 1.0, 2.0]), True)
    assert mg.gradcheck(F.sigmoid, x)
    assert np.isfinite(slopes(F.sigmoid, [-800.0, 3.0])).all()
    far = mg.Tensor(np.array([-2000.0, 3.0]), True)
    assert [row.verdict for row in mg.check_graph(np.sum(F.sigmoid(far))).rows] == ["OK"] * 3
    steep = op(lambda x: 1 / (1 + np.exp(-x) ** 2), x=lambda g, out, x: 2 * g * out * (1 - out))
    assert mg.gradcheck(steep, x)
    least = op(lambda x: np.minimum(np.exp(x), 5), x=lambda g, out, x: g * out * (out < 5))
    assert mg.gradcheck(least, mg.Tensor(np.array([800.0, 0.5, 1.0, -2.0]), True))


def test_moving_numbers_by_a_rounding_leaves_equal_numbers_equal():
    x = mg.Tensor(np.array([0.3, 0.7, 0.7, 0.0, -0.3]), True)
    alone = Alone(np.max(x), Settings(np.random.default_rng(0)))
    moves = set()
    mixes = [0, *np.random.default_rng(1).uniform(MIX, 2 * MIX, 8)]
    same, *others = [alone.on(partial(moved, mix=mix, still=())).node for mix in mixes]
    assert np.array_equal(same.args[0].data, x.data)
    for other in others:
        a = other.args[0].data
        assert a[1] == a[2] and a[3] == 0 and a[4] == -a[0]
        assert 0 < np.max(abs(a - x.data)) < 64 * 2.3e-16
        assert other.data == a[1]  # max passes it on
        moves |= {tuple(a - x.data)}
    assert len(moves) == len(others)


def test_a_root_of_a_square_has_a_kink_at_0():
    size = op(lambda x: np.sqrt(x * x), x=lambda g, out, x: g * np.sign(x))
    wrong = op(lambda x: np.sqrt(x * x), x=lambda g, out, x: g * np.where(x == 0, 1.5, np.sign(x)))
    for point in ([0.0], [0.0, 0.0, 0.0], [0.5, 0.0, -1.0]):
        x = mg.Tensor(np.array(point), True)
        assert [row.verdict for row in mg.check_graph(np.sum(size(x))).rows] == [
            "KINK",
            "OK",
            "KINK",
        ]
        assert mg.check_graph(np.sum(wrong(x))).first_wrong.op == "<lambda>"


@pytest.mark.parametrize("p", [1.01, 1.5, 2.5, 3.0])
def test_a_power_is_flat_at_0(p):
    wrong = op(lambda x: x**p, x=lambda g, out, x: g * np.where(x == 0, 1e-9, p * x ** (p - 1)))
    x, y = (mg.Tensor(np.array(point), True) for point in ([0.0, 0.6], [p, 1.0]))
    assert mg.check_graph(np.sum(x**y)) and mg.check_graph(np.sum(x**p))
    assert not mg.check_graph(np.sum(wrong(x)))


def test_the_complex_step_of_erf_at_0_goes_both_ways():
    (node,) = nodes(F.erf(mg.Tensor(np.array([0.0, 0.6]), True)))[1:]
    slope = 2 / math.sqrt(math.pi)
    for v in (1.0, -1.0):
        assert numeric.tangent(node, {0: np.array([v, 0.0])})[0] == pytest.approx([v * slope, 0])


def test_an_op_is_ours_by_its_rules_whenever_it_was_declared():
    assert all(numeric.is_ours(known) for known in registry.values())
    assert not numeric.is_ours(op(lambda x: np.sin(x), x=lambda g, out, x: g * np.cos(x)).op)

"""Penalties as functions: values, subgradients, coefficients, and errors."""

import math

import numpy as np
import pytest
from helpers import gradient, leaf, normal, normal_leaf, pulled

import minigrad as mg
from minigrad import functional as F
from minigrad.check import gradcheck, gradgradcheck
from minigrad.engine import Tensor

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


def rows(w):
    """The norm of each row of w, of what lies behind its first axis."""
    return np.sqrt(np.sum(w * w, axis=tuple(range(1, w.ndim)), keepdims=True))


penalties = {
    "l1_penalty": (F.l1_penalty, lambda w: np.abs(w).sum(), np.sign),
    "l2_penalty": (F.l2_penalty, lambda w: (w**2).sum(), lambda w: 2 * w),
    "elastic_net": (
        lambda *ws, c: F.elastic_net(*ws, l1=c, l2=2 * c),
        lambda w: np.abs(w).sum() + 2 * (w**2).sum(),
        lambda w: np.sign(w) + 4 * w,
    ),
    "group_l2": (F.group_l2, lambda w: rows(w).sum(), lambda w: w / np.maximum(rows(w), 1e-300)),
}
every_penalty = pytest.mark.parametrize("name", penalties)


@pytest.mark.parametrize("c", [0, 1, 1e-3, 0.5, np.float32(0.25)])
@every_penalty
def test_a_penalty_is_a_sum_over_all_entries_of_all_weights(name, c):
    f, value, slope = penalties[name]
    ws = [normal(3, 2), normal(4, seed=1), normal(seed=2), normal(2, 1, 2, seed=3)]
    found, gradients = pulled(lambda *ws: f(*ws, c=c), *ws)
    assert found.shape == ()
    assert found == pytest.approx(c * sum(map(value, ws)), rel=1e-13)
    for g, w in zip(gradients, ws):
        np.testing.assert_allclose(g, c * slope(w), rtol=1e-14)


@every_penalty
def test_a_penalty_is_one_node_with_its_coefficient(name):
    ws = [leaf(normal(2)), leaf(normal(3))]
    node = penalties[name][0](*ws, c=0.1)
    assert node.op.name == name
    assert node.args == (
        *{"elastic_net": (0.1, 0.2), "group_l2": (0.1, None)}.get(name, (0.1,)),
        *ws,
    )


@every_penalty
def test_a_penalty_passes_both_gradient_checks(name):
    f = penalties[name][0]
    ws = (leaf(normal(2, 3)), leaf(normal(2, seed=1)))
    assert gradcheck(lambda *ws: f(*ws, c=0.3), ws)
    assert gradgradcheck(lambda *ws: f(*ws, c=0.3), ws)
    assert gradgradcheck(lambda *ws: np.exp(f(*ws, c=0.3)), ws)


@every_penalty
def test_the_subgradient_at_zero_is_zero(name):
    _, (g,) = pulled(lambda w: penalties[name][0](w, c=2.0), np.array([0.0, -0.0, 3.0]))
    assert g.tolist() == [
        0,
        0,
        {"l1_penalty": 2, "l2_penalty": 12, "elastic_net": 26, "group_l2": 2}[name],
    ]


@every_penalty
def test_a_penalty_of_the_same_weight_twice_counts_twice(name):
    f, value, slope = penalties[name]
    w = normal(3)
    found, (g,) = pulled(lambda w: f(w, w, c=0.5), w)
    assert found == pytest.approx(value(w))
    np.testing.assert_allclose(g, slope(w))


@every_penalty
def test_a_penalty_adds_to_the_gradient_of_the_loss(name):
    f, _, slope = penalties[name]
    w, x = leaf([1.0, -2.0]), np.array([3.0, 4.0])
    (w @ x + f(w, c=0.1)).backward()
    np.testing.assert_allclose(w.grad.data, x + 0.1 * slope(w.data))


@every_penalty
def test_a_penalty_of_large_and_of_transposed_weights(name):
    f, value, slope = penalties[name]
    for w in (normal(300, 300), normal(40_000)):  # more than one block of the sum
        found, (g,) = pulled(lambda w: f(w, c=1.0), w)
        assert found == pytest.approx(value(w), rel=1e-12)
        np.testing.assert_allclose(g, slope(w))
        assert f(leaf(w).T, c=1.0).item() == pytest.approx(value(w.T), rel=1e-12)


@every_penalty
def test_a_penalty_keeps_float32(name):
    w = Tensor([1.0, -2.0], requires_grad=True)
    node = penalties[name][0](w, c=0.1)
    node.backward()
    assert (node.dtype, w.grad.dtype) == (np.float32, np.float32)


@every_penalty
def test_the_penalty_of_plain_data_is_plain_data(name):
    assert not penalties[name][0](Tensor([1.0, 2.0]), c=1.0).requires_grad


@pytest.mark.parametrize("c", [-1, -1e-9, math.inf, math.nan])
@every_penalty
def test_negative_and_infinite_coefficients_are_refused(name, c):
    with pytest.raises(
        ValueError, match=f"{name}: the coefficient (c|l1) must be a number >= 0, got {c}"
    ):
        penalties[name][0](leaf([1.0]), c=c)


@every_penalty
def test_a_penalty_names_what_it_needs(name):
    f = penalties[name][0]
    for weights in ((), (np.ones(2),), ([leaf([1.0])],), (leaf([1.0]), 0.1)):
        with pytest.raises(
            TypeError,
            match=rf"{name}\(\*weights, .*\): pass the weights as Tensors, all else by name",
        ):
            f(*weights, c=0.1)
    with pytest.raises(TypeError):
        f(leaf([1.0]))
    with pytest.raises(TypeError, match="would drop the gradient"):
        f(leaf([1.0]), c=leaf(0.1))


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.huber_loss])
def test_weights_in_the_place_of_the_reduction_are_refused(loss):
    with pytest.raises(ValueError, match="reduction is"):
        loss(leaf([1.0, 2.0]), leaf([1.0, 2.0]), leaf([1.0, 2.0]))


def test_the_elastic_net_is_l1_plus_l2():
    v, w = normal_leaf(2, 3), normal_leaf(4, seed=1)
    apart = F.l1_penalty(v, w, c=0.3) + F.l2_penalty(v, w, c=0.2)
    assert F.elastic_net(v, w, l1=0.3, l2=0.2).item() == pytest.approx(apart.item(), rel=1e-15)
    for a, b in zip(gradient(F.elastic_net(v, w, l1=0.3, l2=0.2), v, w), gradient(apart, v, w)):
        np.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize(
    "shape, axis, groups",  # the groups as lists of flat indices
    [
        ((2, 3), None, [[0, 1, 2], [3, 4, 5]]),
        ((2, 3), 1, [[0, 1, 2], [3, 4, 5]]),
        ((2, 3), 0, [[0, 3], [1, 4], [2, 5]]),
        ((2, 3), -2, [[0, 3], [1, 4], [2, 5]]),
        ((2, 3), (0, 1), [[0, 1, 2, 3, 4, 5]]),
        ((2, 3), (-1, 0), [[0, 1, 2, 3, 4, 5]]),
        ((2, 3), (), [[i] for i in range(6)]),
        ((2, 2, 2), None, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ((2, 2, 2), (0, 2), [[0, 1, 4, 5], [2, 3, 6, 7]]),
        ((3,), None, [[0], [1], [2]]),
        ((3,), 0, [[0, 1, 2]]),
        ((), None, [[0]]),
    ],
)
def test_a_group_norm_is_over_the_axes_inside_a_group(shape, axis, groups):
    w = normal_leaf(*shape)
    node = F.group_l2(w, c=0.7, axis=axis)
    norms = [np.linalg.norm(w.data.ravel()[g]) for g in groups]
    assert node.item() == pytest.approx(0.7 * sum(norms), rel=1e-14)
    expected = np.zeros(w.size)
    for g, norm in zip(groups, norms):
        expected[g] = 0.7 * w.data.ravel()[g] / norm
    np.testing.assert_allclose(gradient(node, w).ravel(), expected, rtol=1e-13)


def test_a_group_of_zeros_has_the_subgradient_zero_and_no_nan_in_any_derivative():
    w = Tensor(np.array([[0.0, 0.0], [0.6, -0.8]]), True)
    with np.errstate(all="raise"):
        assert mg.gradcheck(lambda w: F.group_l2(w, c=0.3), w)  # inside the slopes of its cone
        (first,) = mg.grad(F.group_l2(w, c=0.3), w, create_graph=True)
        assert first.data[0].tolist() == [0, 0]
        (second,) = mg.grad(np.sum(first * [[1.0, 2.0], [3.0, 4.0]]), w, create_graph=True)
        assert second.data[0].tolist() == [0, 0] and np.isfinite(second.data).all()
        (third,) = mg.grad(np.sum(second * second), w)
        assert third.data[0].tolist() == [0, 0] and np.isfinite(third.data).all()
        for shape in ((3, 0), (0, 3)):
            empty = Tensor(np.zeros(shape), True)
            assert gradient(F.group_l2(empty, c=1.0), empty).shape == shape


def test_norms_and_squared_norms_have_names_of_their_own():
    w = Tensor(np.array([[3.0, 4.0]]), True)
    assert F.group_l2(w, c=1.0).item() == 5 and F.l2_penalty(w, c=1.0).item() == 25


@pytest.mark.parametrize(
    "axis, error",
    [(2, "axis 2 is out of bounds"), ((0, 0), "repeated"), ("x", "integer"), (1.5, "not iterable")],
)
def test_axes_that_are_none_are_refused(axis, error):
    with pytest.raises((ValueError, TypeError), match=rf"group_l2.*{error}"):
        F.group_l2(normal_leaf(2, 2), c=1.0, axis=axis)


def test_penalties_take_tensors_and_numbers_not_functions():
    w = normal_leaf(2)
    for f, coefficients in (
        (F.l2_penalty, {"c": 1.0}),
        (F.elastic_net, {"l1": 1.0, "l2": 1.0}),
        (F.group_l2, {"c": 1.0}),
    ):
        with pytest.raises(TypeError, match="pass the weights as Tensors"):
            f(lambda: w, **coefficients)
        with pytest.raises(ValueError, match="must be a number >= 0, got <function"):
            f(w, **dict.fromkeys(coefficients, lambda step: 1.0))


def test_both_coefficients_of_the_elastic_net_are_checked():
    for wrong in ({"l1": -1.0, "l2": 1.0}, {"l1": 1.0, "l2": math.nan}):
        with pytest.raises(ValueError, match="elastic_net: the coefficient l[12] must be"):
            F.elastic_net(normal_leaf(2), **wrong)

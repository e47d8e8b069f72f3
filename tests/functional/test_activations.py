"""Activations, the softmax family, and linear: closed forms, PyTorch, extreme inputs."""

import math

import numpy as np
import pytest
from helpers import leaf, normal, pulled

import minigrad as mg
from minigrad import Tensor
from minigrad import functional as F
from minigrad.check import gradcheck, gradgradcheck
from minigrad.functional.activations import __all__ as every_activation

# -------------------------------------------------------------------------------------- activations


erf = np.vectorize(math.erf, otypes=[float])
pdf = lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
cdf = lambda x: (1 + erf(x / math.sqrt(2))) / 2
s = lambda x: 1 / (1 + np.exp(-x))
LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772  # selu's, from its paper
k = math.sqrt(2 / math.pi)
inner = lambda x: np.tanh(k * (x + 0.044715 * x**3))
activations = {  # name: (function, value, slope, PyTorch's name and settings)
    "relu": (F.relu, lambda x: np.where(x > 0, x, 0), lambda x: 1.0 * (x > 0), ("relu", {})),
    "sigmoid": (F.sigmoid, s, lambda x: s(x) * s(-x), ("sigmoid", {})),
    "tanh": (F.tanh, lambda x: 2 * s(2 * x) - 1, lambda x: 4 * s(2 * x) * s(-2 * x), ("tanh", {})),
    "softplus": (F.softplus, lambda x: np.log(1 + np.exp(x)), s, ("softplus", {"threshold": 700})),
    "erf": (F.erf, erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x), None),
    "leaky_relu": (
        F.leaky_relu,
        lambda x: np.where(x > 0, x, 0.01 * x),
        lambda x: np.where(x > 0, 1, 0.01),
        ("leaky_relu", {}),
    ),
    "leaky_relu 0.3": (
        lambda x: F.leaky_relu(x, 0.3),
        lambda x: np.where(x > 0, x, 0.3 * x),
        lambda x: np.where(x > 0, 1, 0.3),
        ("leaky_relu", {"negative_slope": 0.3}),
    ),
    "elu": (
        F.elu,
        lambda x: np.where(x > 0, x, np.exp(x) - 1),
        lambda x: np.where(x > 0, 1, np.exp(x)),
        ("elu", {}),
    ),
    "elu 0.5": (
        lambda x: F.elu(x, alpha=0.5),
        lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)),
        lambda x: np.where(x > 0, 1, 0.5 * np.exp(x)),
        ("elu", {"alpha": 0.5}),
    ),
    "selu": (
        F.selu,
        lambda x: LAMBDA * np.where(x > 0, x, ALPHA * (np.exp(x) - 1)),
        lambda x: LAMBDA * np.where(x > 0, 1, ALPHA * np.exp(x)),
        ("selu", {}),
    ),
    "silu": (F.silu, lambda x: x * s(x), lambda x: s(x) + x * s(x) * s(-x), ("silu", {})),
    "gelu": (F.gelu, lambda x: x * cdf(x), lambda x: cdf(x) + x * pdf(x), ("gelu", {})),
    "gelu tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: x * (1 + inner(x)) / 2,
        lambda x: (1 + inner(x)) / 2 + x / 2 * (1 - inner(x) ** 2) * k * (1 + 3 * 0.044715 * x**2),
        ("gelu", {"approximate": "tanh"}),
    ),
}
grid = np.concatenate([np.linspace(-4, -0.05, 14), np.linspace(0.05, 4, 14)]).reshape(4, 7)


@pytest.mark.parametrize("name", activations)
def test_an_activation_and_its_slope_are_the_closed_form(name):
    f, value, slope, _ = activations[name]
    found, (gradient,) = pulled(f, grid)
    np.testing.assert_allclose(found, value(grid), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, slope(grid), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
@pytest.mark.parametrize("name", [*every_activation, "sigmoid", "softplus"])
def test_whole_numbers_are_computed_as_floats(name, dtype):
    x = np.array([[-128, -3, 0, 1], [5, 100, 125, 127]]).astype(dtype)
    settings = {"threshold": [2, 1], "prelu": [np.full(1, 3)], "leaky_relu": [3]}.get(name, [])
    found, right = (getattr(F, name)(Tensor(a), *settings) for a in (x, x.astype(np.float32)))
    np.testing.assert_allclose(found.data, right.data, rtol=1e-5)


@pytest.mark.parametrize("name", activations)
def test_an_activation_passes_both_gradient_checks(name):
    x = leaf(np.random.default_rng(1).permutation(grid.ravel())[:8])
    assert gradcheck(activations[name][0], x)
    assert gradgradcheck(activations[name][0], x)


@pytest.mark.parametrize("name", [name for name in activations if activations[name][3]])
def test_an_activation_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    f, _, _, (there, settings) = activations[name]
    twin = torch.tensor(grid, requires_grad=True)
    expected = getattr(torch.nn.functional, there)(twin, **settings)
    expected.sum().backward()
    found, (gradient,) = pulled(f, grid)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, twin.grad.numpy(), rtol=1e-12, atol=1e-15)


extremes = {  # name: (left, right) limits of the value relative to x, and of the slope
    "relu": ((0, 1), (0, 1)),
    "leaky_relu": ((0.01, 1), (0.01, 1)),
    "elu": ((0, 1), (0, 1)),
    "selu": ((0, LAMBDA), (0, LAMBDA)),
    "silu": ((0, 1), (0, 1)),
    "gelu": ((0, 1), (0, 1)),
    "gelu tanh": ((0, 1), (0, 1)),
    "softplus": ((0, 1), (0, 1)),
    "sigmoid": ((0, 0), (0, 0)),
    "tanh": ((0, 0), (0, 0)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", extremes)
def test_an_activation_is_right_at_plus_and_minus_1e4(name, dtype):
    values, slopes = extremes[name]
    x = leaf([-1e4, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        out = activations[name][0](x)
        out.backward(np.ones(2))
    assert out.dtype == dtype
    np.testing.assert_allclose(out.data / np.array([-1e4, 1e4]), values, rtol=1e-6, atol=2e-4)
    np.testing.assert_allclose(x.grad.data, slopes, rtol=1e-6, atol=1e-12)


def test_slopes_at_zero():
    for name, expected in (
        ("relu", 0),
        ("leaky_relu", 0.01),
        ("elu", 1),
        ("silu", 0.5),
        ("gelu", 0.5),
        ("softplus", 0.5),
        ("sigmoid", 0.25),
        ("tanh", 1),
    ):
        _, (gradient,) = pulled(activations[name][0], np.zeros(1))
        assert gradient.item() == pytest.approx(expected, abs=1e-15), name


def test_nan_stays_nan():
    x = Tensor(np.array([-2.0, math.nan, 0.5, 1.0]))
    for name in every_activation:
        settings = {"threshold": [0.5, 9], "prelu": [np.full(1, 0.5)], "glu": [0]}.get(name, [])
        found = getattr(F, name)(np.stack([x, x]), *settings)
        assert np.all(np.isnan(found.data[..., 1])), name
    assert F.hardshrink(x).tolist()[::3] == [-2, 1]
    assert F.threshold(x, 0.5, 9).tolist()[2:] == [9, 1]


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match="celu: alpha must not be 0"):
        F.celu(leaf([1.0, -1.0]), 0.0)
    with pytest.raises(ValueError, match="hardtanh: min_val must be <= max_val, got 1.0 and -1.0"):
        F.hardtanh(leaf([0.5]), 1.0, -1.0)


def test_prelu_of_a_number_is_a_number():
    x, weight = leaf(-2.0), leaf([0.25])
    assert F.prelu(x, weight).tolist() == -0.5
    gradients = [g.tolist() for g in mg.grad(F.prelu(x, weight), [x, weight])]
    assert gradients == [0.25, [-2]]


def test_gelu_knows_two_forms():
    with pytest.raises(ValueError, match='gelu: approximate is "none" or "tanh", not \'fast\''):
        F.gelu(leaf([1.0]), approximate="fast")


# ------------------------------------------------------------------------------ softmax and its kin


def soft_reference(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax_slope(x, u, axis):
    return u - soft_reference(x, axis) * u.sum(axis=axis, keepdims=True)


def softmax_slope(x, u, axis):
    p = soft_reference(x, axis)
    return p * (u - (p * u).sum(axis=axis, keepdims=True))


soft = {
    "softmax": (F.softmax, soft_reference, softmax_slope),
    "log_softmax": (
        F.log_softmax,
        lambda x, axis: np.log(soft_reference(x, axis)),
        log_softmax_slope,
    ),
    "logsumexp": (
        lambda x, axis: F.logsumexp(x, axis=axis, keepdims=True),
        lambda x, axis: np.log(np.exp(x).sum(axis=axis, keepdims=True)),
        lambda x, u, axis: u * soft_reference(x, axis),
    ),
}


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", soft)
def test_the_softmax_family_equals_the_closed_forms(name, axis):
    f, value, slope = soft[name]
    x = normal(3, 4, 2)
    expected = value(x, axis)
    u = normal(*expected.shape, seed=1)
    found, (gradient,) = pulled(lambda x: f(x, axis), x, cotangent=u)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)  # a logsumexp may be near 0
    np.testing.assert_allclose(gradient, slope(x, u, axis), rtol=1e-12, atol=1e-15)
    assert gradcheck(lambda x: f(x, axis), leaf(x[:2]))
    assert gradgradcheck(lambda x: f(x, axis), leaf(x[:2]))


def test_the_default_axis_is_the_last():
    x = normal(2, 3)
    assert np.allclose(F.softmax(leaf(x)).data.sum(axis=1), 1)
    assert np.allclose(np.exp(F.log_softmax(leaf(x)).data).sum(axis=1), 1)
    assert F.logsumexp(leaf(x)).shape == ()


@pytest.mark.parametrize("shift", [1e4, -1e4, 1e8])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_shift_of_all_scores_changes_nothing(name, shift):
    x = np.array([[0.0, 1.0, -2.0], [3.0, 3.0, 3.0]])
    found, (gradient,) = pulled(lambda x: soft[name][0](x, 1), x + shift, cotangent=normal(2, 3))
    expected, (slope,) = pulled(lambda x: soft[name][0](x, 1), x, cotangent=normal(2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_softmax_family_of_scores_far_apart(dtype):
    x = leaf([[1e4, -1e4, 0.0]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert F.softmax(x).tolist() == [[1, 0, 0]]
        assert F.log_softmax(x).tolist() == [[0, -2e4, -1e4]]
        assert F.logsumexp(x).item() == 1e4
        F.log_softmax(x).backward(np.ones((1, 3)))
    assert x.grad.tolist() == [[-2, 1, 1]]


def test_a_score_of_minus_infinity_is_a_class_ruled_out():
    x = leaf([-np.inf, 0.0, 1.0])
    e = math.e
    with np.errstate(invalid="raise"):
        assert F.logsumexp(x).item() == pytest.approx(math.log(1 + e))
        np.testing.assert_allclose(F.softmax(x).data, [0, 1 / (1 + e), e / (1 + e)])
        assert F.log_softmax(x).tolist()[0] == -np.inf
        F.cross_entropy(x, 1).backward()
    np.testing.assert_allclose(x.grad.data, [0, 1 / (1 + e) - 1, e / (1 + e)], atol=1e-15)
    with np.errstate(divide="ignore"):
        assert F.logsumexp(leaf([-np.inf, -np.inf])).item() == -np.inf
    assert F.logsumexp(leaf([np.inf, 0.0])).item() == np.inf


def test_linear_is_pytorchs_layer():
    x, w, b = normal(2, 3, 4), normal(5, 4, seed=1), normal(5, seed=2)
    u = normal(2, 3, 5, seed=3)
    value, (gx, gw, gb) = pulled(F.linear, x, w, b, cotangent=u)
    np.testing.assert_allclose(value, x @ w.T + b)
    np.testing.assert_allclose(gx, u @ w)
    np.testing.assert_allclose(gw, np.einsum("abo,abi->oi", u, x))
    np.testing.assert_allclose(gb, u.sum(axis=(0, 1)))

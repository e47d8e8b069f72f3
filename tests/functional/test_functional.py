"""The functions of minigrad.functional: closed forms, PyTorch, extremes, the law of dropout, penalties, and what is refused."""

import inspect
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import test_windows
from helpers import leaf, normal

import minigrad as mg
from minigrad import functional as F
from minigrad import nn
from minigrad import noise as randomness
from minigrad.check import gradcheck, gradgradcheck
from minigrad.check.samples import noisy
from minigrad.engine import Tensor
from minigrad.graph import nodes
from minigrad.noise import Bernoulli, Noise
from minigrad.ops import dropout as stochastic


def pulled(f, *arrays, u=None):
    """The value of f(*arrays) and its gradients, as arrays."""
    inputs = [leaf(a) for a in arrays]
    out = f(*inputs)
    return out.data, [g.data for g in mg.grad(out, inputs, np.ones(out.shape) if u is None else u)]


# --------------------------------------------------------------------------------------- activations

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


def test_gelu_knows_two_forms():
    with pytest.raises(ValueError, match='gelu: approximate is "none" or "tanh", not \'fast\''):
        F.gelu(leaf([1.0]), approximate="fast")


def test_every_public_name_is_tested_here():
    tested = {name.split()[0] for name in [*activations, *soft, *losses]} | {"linear", *penalties}
    elsewhere = {
        *noisy,
        *test_windows.CASES,
        "batch_norm",
        "layer_norm",
        "group_norm",
        "instance_norm",
    }  # test_dropout, test_windows, test_norms
    elsewhere |= {"embedding", "scaled_dot_product_attention"}  # in test_sequences.py
    public = {name for name, value in vars(F).items() if callable(value)}
    missing = public - tested - elsewhere
    assert not missing, (
        f"not tested: {missing}. Add a penalty to `penalties`, a loss to `losses`, an activation to "
        "`activations` in this file, a function with noise to `noisy` in minigrad/check/samples/"
    )
    assert tested | elsewhere == public


def test_what_pytorch_has_at_another_place_is_given_by_name():
    x = np.ones((1, 2, 4, 4))
    for by_place in (
        lambda: F.instance_norm(x, np.ones(2), np.ones(2)),
        lambda: F.avg_pool1d(x[0], 2, 2, 0, True),
        lambda: F.avg_pool2d(x, 2, 2, 0, True),
    ):
        with pytest.raises(TypeError, match="positional argument"):
            by_place()
    with pytest.raises(TypeError, match="AvgPool2d: too many positional arguments"):
        nn.AvgPool2d(2, 2, 0, True)


def test_the_data_is_x_but_a_loss_compares_input_and_target():
    for name, function in vars(F).items():
        if (
            callable(function)
            and "penalty" not in name
            and name
            not in ("elastic_net", "group_l2", "drop_connect", "scaled_dot_product_attention")
        ):
            names = list(inspect.signature(function).parameters)
            assert names[:2] == ["input", "target"] or names[0] == "x" and "input" not in names, (
                name
            )


# ---------------------------------------------------------------------------------- softmax and its kin


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
def test_softmax_and_its_kin_are_the_closed_form(name, axis):
    f, value, slope = soft[name]
    x = normal(3, 4, 2)
    expected = value(x, axis)
    u = normal(*expected.shape, seed=1)
    found, (gradient,) = pulled(lambda x: f(x, axis), x, u=u)
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
    found, (gradient,) = pulled(lambda x: soft[name][0](x, 1), x + shift, u=normal(2, 3))
    expected, (slope,) = pulled(lambda x: soft[name][0](x, 1), x, u=normal(2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_its_kin_far_apart(dtype):
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
    value, (gx, gw, gb) = pulled(F.linear, x, w, b, u=u)
    np.testing.assert_allclose(value, x @ w.T + b)
    np.testing.assert_allclose(gx, u @ w)
    np.testing.assert_allclose(gw, np.einsum("abo,abi->oi", u, x))
    np.testing.assert_allclose(gb, u.sum(axis=(0, 1)))


# --------------------------------------------------------------------------------------------- losses

x_, t_ = normal(4, 3), normal(4, 3, seed=1)
chance = np.random.default_rng(2).uniform(0, 1, (4, 3))
labels = np.array([2, 0, 1, 1])
scores3, labels3 = normal(2, 3, 4), np.random.default_rng(3).integers(0, 3, (2, 4))


def nll_entries(logp, target):
    """-logp[n, target[n, d], d] by loops; the class axis is the second, or the only one."""
    if logp.ndim == 1:
        return -logp[target]
    out = np.zeros(target.shape)
    for index in np.ndindex(target.shape):
        out[index] = -logp[(index[0], target[index], *index[1:])]
    return out


def one_hot(shape, target):
    out = np.zeros(shape)
    if len(shape) == 1:
        out[target] = 1
    else:
        for index in np.ndindex(target.shape):
            out[(index[0], target[index], *index[1:])] = 1
    return out


def class_axis(x):
    return min(1, x.ndim - 1)


def ce_entries(x, t):
    return nll_entries(np.log(soft_reference(x, class_axis(x))), t)


def huber(x, t, delta):
    d = abs(x - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def ce_slope(x, t):
    return soft_reference(x, class_axis(x)) - one_hot(x.shape, t)


losses = {  # name: (function of input and target, input, target, losses an entry, their slope by the input, PyTorch's name and settings)
    "mse_loss": (
        F.mse_loss,
        x_,
        t_,
        lambda x, t: (x - t) ** 2,
        lambda x, t: 2 * (x - t),
        ("mse_loss", {}),
    ),
    "l1_loss": (
        F.l1_loss,
        x_,
        t_,
        lambda x, t: abs(x - t),
        lambda x, t: np.sign(x - t),
        ("l1_loss", {}),
    ),
    "huber_loss": (
        F.huber_loss,
        x_,
        t_,
        lambda x, t: huber(x, t, 1),
        lambda x, t: np.clip(x - t, -1, 1),
        ("huber_loss", {}),
    ),
    "huber_loss 0.4": (
        lambda x, t, reduction="mean": F.huber_loss(x, t, reduction, delta=0.4),
        x_,
        t_,
        lambda x, t: huber(x, t, 0.4),
        lambda x, t: np.clip(x - t, -0.4, 0.4),
        ("huber_loss", {"delta": 0.4}),
    ),
    "binary_cross_entropy_with_logits": (
        F.binary_cross_entropy_with_logits,
        x_,
        chance,
        lambda x, t: -t * np.log(s(x)) - (1 - t) * np.log(s(-x)),
        lambda x, t: s(x) - t,
        ("binary_cross_entropy_with_logits", {}),
    ),
    "cross_entropy": (F.cross_entropy, x_, labels, ce_entries, ce_slope, ("cross_entropy", {})),
    "cross_entropy of (N, C, d)": (
        F.cross_entropy,
        scores3,
        labels3,
        ce_entries,
        ce_slope,
        ("cross_entropy", {}),
    ),
    "cross_entropy of (N, C, d, e)": (
        F.cross_entropy,
        normal(2, 3, 2, 2),
        labels3.reshape(2, 2, 2),
        ce_entries,
        ce_slope,
        ("cross_entropy", {}),
    ),
    "cross_entropy of (C,)": (
        F.cross_entropy,
        normal(3),
        np.array(2),
        ce_entries,
        ce_slope,
        ("cross_entropy", {}),
    ),
    "nll_loss": (
        F.nll_loss,
        x_,
        labels,
        nll_entries,
        lambda x, t: -one_hot(x.shape, t),
        ("nll_loss", {}),
    ),
    "nll_loss of (N, C, d)": (
        F.nll_loss,
        scores3,
        labels3,
        nll_entries,
        lambda x, t: -one_hot(x.shape, t),
        ("nll_loss", {}),
    ),
    "nll_loss of (C,)": (
        F.nll_loss,
        normal(3),
        np.array(2),
        nll_entries,
        lambda x, t: -one_hot(x.shape, t),
        ("nll_loss", {}),
    ),
}
every_loss = pytest.mark.parametrize("name", losses)
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@every_reduction
@every_loss
def test_a_loss_and_its_gradient_are_the_closed_form(name, reduction):
    f, x, t, entries, slope, _ = losses[name]
    value, gradient = entries(x, t), slope(x, t)
    n = value.size
    u = np.asarray(normal(*value.shape, seed=5) if reduction == "none" else 0.7)
    expected = {"mean": np.sum(value) / n, "sum": np.sum(value), "none": value}[reduction]
    weight = np.expand_dims(u, class_axis(x)) if reduction == "none" and u.ndim < x.ndim else u
    found, (g,) = pulled(lambda x: f(x, t, reduction=reduction), x, u=u)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        g, gradient * weight / (n if reduction == "mean" else 1), rtol=1e-12, atol=1e-14
    )


@every_reduction
@every_loss
def test_a_loss_is_pytorchs(name, reduction):
    torch = pytest.importorskip("torch")
    f, x, t, _, _, (there, settings) = losses[name]
    twin = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn.functional, there)(
        twin, torch.tensor(t), reduction=reduction, **settings
    )
    expected.sum().backward()
    found, (g,) = pulled(lambda x: f(x, t, reduction=reduction), x)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(g, twin.grad.numpy(), rtol=1e-12, atol=1e-14)


@every_reduction
@every_loss
def test_a_loss_passes_both_gradient_checks(name, reduction):
    f, x, t, *_ = losses[name]
    assert gradcheck(lambda x: f(x, t, reduction=reduction), leaf(x))
    assert gradgradcheck(lambda x: f(x, t, reduction=reduction), leaf(x))


@every_loss
def test_the_default_reduction_is_the_mean(name):
    f, x, t, *_ = losses[name]
    assert f(leaf(x), t).item() == f(leaf(x), t, reduction="mean").item()


@every_loss
def test_a_target_may_be_a_tensor(name):
    f, x, t, *_ = losses[name]
    value, (g,) = pulled(lambda x: f(x, t), x)
    found, (h,) = pulled(lambda x: f(x, Tensor(t)), x)
    assert value == found
    assert np.array_equal(g, h)


@every_loss
def test_a_loss_keeps_float32(name):
    f, x, t, *_ = losses[name]
    x, t = leaf(x, np.float32), np.asarray(t, np.float32 if t.dtype.kind == "f" else None)
    for reduction in ("mean", "sum", "none"):
        out = f(x, t, reduction=reduction)
        out.backward(np.ones(out.shape))
        assert (out.dtype, x.grad.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits"]
)
def test_a_target_that_is_learned_gets_its_gradient(name):
    f = losses[name][0]
    x, t = leaf(x_), leaf(chance)
    assert gradcheck(f, (x, t))
    assert gradgradcheck(f, (x, t))


@every_loss
def test_a_loss_is_recorded_under_its_name(name):
    f, x, t, *_ = losses[name]
    loss = f(leaf(x), t)
    assert mg.modes.path(loss.scope) == name.split()[0] or loss.op.name == name.split()[0]


def test_the_gradient_of_l1_is_zero_where_input_and_target_agree():
    _, (g,) = pulled(lambda x: F.l1_loss(x, np.zeros(3), "sum"), np.array([0.0, -2.0, 2.0]))
    assert g.tolist() == [0, -1, 1]


def test_huber_joins_smoothly():
    for delta in (0.5, 1.0, 3.0):
        value, (g,) = pulled(
            lambda x, delta=delta: F.huber_loss(x, np.zeros(3), "none", delta),
            np.array([-delta, delta, 2 * delta]),
        )
        np.testing.assert_allclose(value, [delta**2 / 2, delta**2 / 2, 1.5 * delta**2])
        np.testing.assert_allclose(g, [-delta, delta, delta])


def test_huber_of_the_residuals_0_and_infinity():
    x = leaf([0.0, 0.5, -2.0, math.inf, -math.inf])
    loss = F.huber_loss(x, np.zeros(5), "none")
    assert loss.tolist() == [0, 0.125, 1.5, math.inf, math.inf]
    (first,) = mg.grad(loss, x, np.ones(5), create_graph=True)
    assert first.tolist() == [0, 0.5, -1, 1, -1]
    assert mg.grad(first, x, np.ones(5))[0].tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("t", [0.0, 1.0, 0.3])
def test_binary_cross_entropy_keeps_its_digits(t, dtype):
    x = np.array([-80, -37, -12, -1, 0, 1, 12, 37, 80], dtype)
    log_sigmoid = [
        x - math.log1p(math.exp(x)) if x < 0 else -math.log1p(math.exp(-x)) for x in x.tolist()
    ]
    log_rest = [
        -math.log1p(math.exp(x)) if x < 0 else -x - math.log1p(math.exp(-x)) for x in x.tolist()
    ]
    expected = -dtype(t) * np.array(log_sigmoid) - (1 - dtype(t)) * np.array(log_rest)
    loss = F.binary_cross_entropy_with_logits(leaf(x, dtype), np.full(9, t, dtype), "none")
    np.testing.assert_allclose(loss.data, expected, rtol=8 * np.finfo(dtype).eps)


def test_binary_cross_entropy_of_an_infinite_score():
    assert F.binary_cross_entropy_with_logits(
        leaf([math.inf, -math.inf]), [0, 1], "none"
    ).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan])
def test_binary_cross_entropy_refuses_what_is_no_probability(t):
    with pytest.raises(
        ValueError, match="binary_cross_entropy_with_logits: the targets must be from 0 to 1"
    ):
        F.binary_cross_entropy_with_logits(leaf([1.0, 2.0]), [0.5, t])


@pytest.mark.parametrize(
    "loss",
    [F.mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool])
def test_losses_of_whole_numbers_are_those_of_floats(loss, dtype):
    x, t = np.array([[0, 1, 1, 0], [0, 0, 1, 1]], dtype)
    assert (
        loss(Tensor(x), t).item() == loss(Tensor(x.astype(np.float32)), t.astype(np.float32)).item()
    )


def test_a_tuple_or_a_number_is_data():
    assert F.mse_loss((1.0, 2.0), (0.0, 0.0)) == 2.5
    assert F.gelu((0.0, 2.0)).tolist() == F.gelu(np.float32([0, 2])).tolist()
    assert F.silu(0) == 0


def test_what_is_no_number_is_refused_by_the_name_of_the_function():
    for f in (
        F.gelu,
        F.silu,
        lambda x: F.mse_loss(x, 0.0),
        lambda x: F.layer_norm(x, 2),
        lambda x: F.conv1d(x, x),
    ):
        with pytest.raises(
            TypeError,
            match="(gelu|silu|mse_loss|layer_norm|conv1d): .*numbers are needed, got NoneType",
        ):
            f(None)


@pytest.mark.parametrize("f", [F.elu, F.selu, np.expm1], ids=lambda f: f.__name__)
def test_the_slope_of_elu_keeps_its_digits(f):
    x = leaf([-18.0, -30.0], np.float32)
    f(x).backward(np.ones(2))
    np.testing.assert_allclose(x.grad.data[0] / x.grad.data[1], math.exp(12), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_at_1e4(dtype):
    x = leaf([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = F.cross_entropy(x, np.array([0, 0]), reduction="none")
        loss.backward(np.ones(2))
    assert loss.tolist() == [0, 2e4]
    assert x.grad.tolist() == [[0, 0, 0], [-1, 1, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_at_1e4(dtype):
    x = leaf([1e4, 1e4, -1e4, -1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = F.binary_cross_entropy_with_logits(
            x, np.array([1, 0, 1, 0], dtype), reduction="none"
        )
        loss.backward(np.ones(4))
    assert loss.tolist() == [0, 1e4, 1e4, 0]
    assert x.grad.tolist() == [0, 1, -1, 0]


def test_huber_and_l1_at_1e4():
    for f in (F.huber_loss, F.l1_loss):
        _, (g,) = pulled(lambda x, f=f: f(x, np.zeros(2), "sum"), np.array([-1e4, 1e4]))
        assert g.tolist() == [-1, 1]


def test_class_numbers_of_every_integer_dtype_and_byte_order():
    expected = F.cross_entropy(leaf(x_), labels).item()
    for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">i4", ">u4", ">i8"):
        assert F.cross_entropy(leaf(x_), labels.astype(dtype)).item() == expected, dtype
    assert F.cross_entropy(leaf(x_), labels.tolist()).item() == expected
    assert F.cross_entropy(leaf(x_), np.repeat(labels, 2)[::2]).item() == expected


shapes = [
    ((32, 1), (32,)),
    ((32,), (32, 1)),
    ((2, 3), (3,)),
    ((3,), ()),
    ((2, 3), (2, 1)),
    ((4,), (5,)),
]


@pytest.mark.parametrize("a, b", shapes, ids=str)
@pytest.mark.parametrize(
    "f",
    [F.mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits],
    ids=lambda f: f.__name__,
)
def test_shapes_that_would_broadcast_are_refused(f, a, b):
    with pytest.raises(ValueError) as error:
        f(leaf(np.zeros(a)), np.zeros(b))
    shapes = f"input {a} and target {b} must have the same shape"
    assert str(error.value) == f"{f.__name__}: {shapes}. Reshape one."


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "scores, target, error, message",
    [
        (
            (32, 10),
            np.zeros((32, 1), int),
            ValueError,
            r"scores \(32, 10\) need a target of shape \(32,\), got \(32, 1\)",
        ),
        ((32, 10), np.zeros(31, int), ValueError, r"target of shape \(32,\), got \(31,\)"),
        ((2, 3, 4), np.zeros((2, 3), int), ValueError, r"target of shape \(2, 4\), got \(2, 3\)"),
        ((3,), np.zeros(3, int), ValueError, r"target of shape \(\), got \(3,\)"),
        ((), np.array(0), ValueError, r"scores \(\) need a target of shape \(\)"),
        (
            (2, 3),
            np.array([0, 3]),
            ValueError,
            r"the target has classes 0\.\.3, the scores 0\.\.2",
        ),
        (
            (2, 3),
            np.array([-1, 0]),
            ValueError,
            r"the target has classes -1\.\.0, the scores 0\.\.2",
        ),
        ((2, 3), np.array([255, 0], np.uint8), ValueError, r"the target has classes 0\.\.255"),
        ((3,), -1, ValueError, r"the target has classes -1\.\.-1, the scores 0\.\.2"),
        (
            (2, 3),
            np.array([0.0, 1.0]),
            TypeError,
            "the target must be of an integer dtype, not float64",
        ),
        ((2, 3), np.array([True, False]), TypeError, "an integer dtype, not bool"),
        ((2, 3), np.zeros((2, 3)), ValueError, r"target of shape \(2,\), got \(2, 3\)"),
    ],
)
def test_targets_that_are_no_classes_are_refused(f, scores, target, error, message):
    with pytest.raises(error, match=f"{f.__name__}: .*{message}"):
        f(leaf(np.zeros(scores)), target)


@every_loss
@pytest.mark.parametrize("reduction", ["average", None, "Mean", "batchmean"])
def test_an_unknown_reduction_is_refused(name, reduction):
    f, x, t, *_ = losses[name]
    with pytest.raises(
        ValueError, match=f'reduction is "mean", "sum" or "none", not {reduction!r}'
    ):
        f(leaf(x), t, reduction=reduction)


@pytest.mark.parametrize("delta", [0, -1, float("nan")])
def test_hubers_delta_is_positive(delta):
    with pytest.raises(ValueError, match=f"huber_loss: delta must be > 0, got {delta}"):
        F.huber_loss(leaf([1.0]), np.zeros(1), delta=delta)


@pytest.mark.parametrize(
    "f, target",
    [
        (F.mse_loss, np.zeros((0, 3))),
        (F.cross_entropy, np.zeros(0, int)),
        (F.nll_loss, np.zeros(0, int)),
    ],
)
def test_the_mean_over_an_empty_batch_is_refused_and_the_sum_is_zero(f, target):
    with pytest.raises(ValueError, match="mean"):
        f(leaf(np.zeros((0, 3))), target)
    assert f(leaf(np.zeros((0, 3))), target, reduction="sum").item() == 0


# -------------------------------------------------------------------------------------------- dropout

entries = np.array([0.5, -1.0, 2.0, 3.0, -0.25, 1.5])
masks = [np.array(m, bool) for m in itertools.product([False, True], repeat=6)]


def chance_of(mask, p):
    return math.prod((1 - p) if kept else p for kept in mask)


def the_noise(t):
    (noise,) = [n for n in nodes(t) if isinstance(n, Noise)]
    return noise


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_the_exact_expectation_over_all_masks_is_the_evaluation(p, scaling):
    x = leaf(entries)
    y = F.dropout(x, p, training=True, scaling=scaling)
    noise = the_noise(y)
    mean = sum(chance_of(m, p) * mg.replay(y, {noise: m}).data for m in masks)
    np.testing.assert_allclose(
        mean, F.dropout(x, p, training=False, scaling=scaling).data, rtol=1e-14
    )
    np.testing.assert_allclose(mean, entries * (1 if scaling == "inverted" else 1 - p), rtol=1e-14)


@pytest.mark.parametrize("p", [0.3, 0.9])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_the_exact_expectation_of_the_gradient_is_the_gradient_of_the_expectation(p, scaling):
    keep, scale = 1 - p, 1 / (1 - p) if scaling == "inverted" else 1
    value, gradient = 0, np.zeros(6)
    for m in masks:
        x = leaf(entries)
        loss = np.sum(stochastic.dropout(x, Tensor(m), p, scaling)) ** 2
        loss.backward()
        value += chance_of(m, p) * loss.item()
        gradient += chance_of(m, p) * x.grad.data
    total = entries.sum()  # E (sum m x)^2 = keep^2 (sum x)^2 + keep (1 - keep) sum x^2
    assert value == pytest.approx(
        scale**2 * (keep**2 * total**2 + keep * p * np.sum(entries**2)), rel=1e-13
    )
    np.testing.assert_allclose(
        gradient, scale**2 * (2 * keep**2 * total + 2 * keep * p * entries), rtol=1e-12, atol=1e-13
    )


def test_the_mask_of_the_forward_pass_is_the_mask_of_the_backward_pass():
    mg.manual_seed(0)
    x = leaf(np.ones(1000))
    y = F.dropout(x, 0.3, training=True)
    kept = the_noise(y)
    y.backward(np.full(1000, 2.0))
    assert 0 < kept.data.sum() < 1000
    assert np.array_equal(y.data, kept.data / 0.7)
    assert np.array_equal(x.grad.data, 2 * kept.data / 0.7)


def test_two_passes_use_two_masks():
    mg.manual_seed(0)
    x = leaf(np.ones(200))
    first, second = (F.dropout(x, 0.5, training=True).data for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("p", [0, 0.3, 1])
def test_evaluation_is_the_identity_or_the_factor(p):
    x = leaf(entries)
    assert F.dropout(x, p, training=False) is x
    value, (g,) = pulled(lambda x: F.dropout(x, p, training=False, scaling="classic"), entries)
    np.testing.assert_allclose(value, entries * (1 - p), rtol=1e-15)
    np.testing.assert_allclose(g, np.full(6, 1 - p), rtol=1e-15)


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("p, factor", [(0, 1), (0.0, 1), (1, 0), (1.0, 0), (np.float64(1), 0)])
def test_nothing_and_everything_dropped(p, factor, scaling):
    with np.errstate(all="raise"):
        value, (g,) = pulled(lambda x: F.dropout(x, p, training=True, scaling=scaling), entries)
    assert np.array_equal(value, factor * entries)
    assert np.array_equal(g, np.full(6, factor))


@pytest.mark.parametrize("scaling, factor", [("inverted", 1 / 0.7), ("classic", 1.0)])
def test_what_is_kept_is_scaled_by_the_mode(scaling, factor):
    mg.manual_seed(1)
    out = F.dropout(leaf(np.ones(100)), 0.3, training=True, scaling=scaling)
    assert set(out.tolist()) == {0.0, factor}


def test_dropout_passes_both_gradient_checks():
    for scaling in ("inverted", "classic"):
        for training in (True, False):
            f = lambda x, scaling=scaling, training=training: np.sin(
                F.dropout(x, 0.3, training, scaling=scaling)
            )
            assert gradcheck(f, leaf(entries))
            assert gradgradcheck(f, leaf(entries))


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 3), (7,), (2, 1, 5)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_keeps_shape_and_dtype(shape, dtype):
    x = leaf(np.ones(shape), dtype)
    out = F.dropout(x, 0.4, training=True)
    out.backward(np.ones(shape))
    assert (out.shape, out.dtype, x.grad.dtype) == (shape, dtype, dtype)


def test_a_generator_of_ones_own_decides_the_mask():
    a, b, c = (
        F.dropout(leaf(np.ones(64)), 0.5, True, rng=np.random.default_rng(seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert a == b != c


@pytest.mark.parametrize(
    "p, hint",
    [
        (float("nan"), ""),
        (-0.1, ""),
        (30, r" Did you mean 0\.3\?"),
        (1.5, r" Did you mean 0\.015\?"),
        (100, r" Did you mean 1\?"),
        (101, ""),
        (math.inf, ""),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_what_is_no_probability_is_refused(p, hint, training):
    with pytest.raises(
        ValueError,
        match=rf"^dropout: p is the probability of DROPPING, in \[0, 1\]; got {p}\.{hint}$",
    ):
        F.dropout(leaf(entries), p, training)


def test_unknown_scalings_and_generators_are_refused():
    with pytest.raises(
        ValueError, match='dropout: scaling is "inverted" or "classic", not \'both\''
    ):
        F.dropout(leaf(entries), 0.3, True, scaling="both")
    for rng in (0, np.random.RandomState(0), np.random):
        with pytest.raises(TypeError, match=r"dropout: rng must be a np\.random\.Generator"):
            F.dropout(leaf(entries), 0.3, True, rng=rng)


def test_training_has_no_default():
    with pytest.raises(TypeError):
        F.dropout(leaf(entries), 0.3)


def hoeffding(n, false_alarm=1e-9):
    """The mean of n independent numbers in [0, 1] is further than this from its expectation with a chance below `false_alarm`.

    Hoeffding 1963: P(|mean - expectation| >= t) <= 2 exp(-2 n t^2).
    """
    return math.sqrt(math.log(2 / false_alarm) / (2 * n))


N = 1_000_000


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.999, 1e-3, 2**-17, 1 - 2**-20])
def test_the_rate_of_keeping(keep):
    drawn = Bernoulli(keep).draw(np.random.default_rng(7), (N,), bool)
    assert abs(drawn.mean() - keep) < hoeffding(N)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 1000])
def test_neighbours_are_independent(lag):
    keep = 0.3
    drawn = Bernoulli(keep).draw(np.random.default_rng(8), (N,), bool)
    pairs = drawn[:-lag] & drawn[lag:]
    block = (
        np.arange(N - lag) // lag % 2
    )  # the pairs (i, i + lag) of one half have no entry in common
    for half in (0, 1):
        chosen = pairs[block == half]
        assert abs(chosen.mean() - keep**2) < hoeffding(len(chosen))


def test_every_position_of_a_small_mask_has_the_rate():
    keep, draws = 0.3, 20_000
    rng = np.random.default_rng(9)
    mean = np.mean([Bernoulli(keep).draw(rng, (7,), bool) for _ in range(draws)], axis=0)
    assert np.all(abs(mean - keep) < hoeffding(draws, 1e-9 / 7))


class Exhaustive:
    """In place of a generator: all 256 values of 8 bits once, and the gaps that it is given."""

    def __init__(self, gap):
        self.gap, self.p = gap, 0.0

    def integers(self, low, high, count, dtype):
        assert (low, high, dtype) == (0, 1 << 64, np.uint64)
        return np.arange(256, dtype=np.uint8).view(np.uint64)[:count]

    def geometric(self, p, size):
        self.p = p
        return np.full(size, self.gap)


@pytest.mark.parametrize(
    "keep", [0.3, 0.7, 0.1, 1 / 3, 1 - 1 / 3, 0.5, 0.25, 1e-6, 1 - 1e-6, 2**-16, 1 - 2**-53, 1e-300]
)
def test_the_rate_is_exact(keep):
    """Of the 256 equally likely draws of 8 bits so many are kept; then each is kept or dropped, whatever it was, with probability p."""
    if keep == 0.5:  # takes a bit an entry
        assert Bernoulli(keep).draw(Exhaustive(1), (8 * 256,), bool).sum() == 8 * 128
        return
    never, always = Exhaustive(257), Exhaustive(1)
    bits = int(Bernoulli(keep).draw(never, (256,), bool).sum())
    all_alike = Bernoulli(keep).draw(always, (256,), bool)
    p, rate = Fraction(never.p), Fraction(bits, 256)
    if p:
        assert p <= Fraction(1, 129) and np.all(all_alike == all_alike[0])
        rate += p * (1 - rate) if all_alike[0] else -p * rate
    assert abs(rate - Fraction(keep)) <= Fraction(2) ** -53 * Fraction(keep)


@pytest.mark.parametrize(
    "p, count", [(0.004, 100_000), (0.3, 50_000), (1e-300, 10), (0.5, 1), (0.0, 5), (0.01, 0)]
)
def test_successes_are_a_bernoulli_process(p, count):
    """The number of successes, and of those in each half: each within a distance that has probability below 1e-10 (Bernstein)."""
    rng = np.random.default_rng(3)
    places = randomness._successes(rng, p, count)
    assert np.all(np.diff(places) > 0) and (
        len(places) == 0 or (places[0] >= 0 and places[-1] < count)
    )
    for n, found in (
        (count, len(places)),
        (count // 2, np.sum(places < count // 2)),
        (count // 2, np.sum(places % 2 == 1)),
    ):
        assert abs(found - n * p) <= np.sqrt(2 * 24 * n * p * (1 - p)) + 16


def test_keeping_never_and_always():
    for keep in (0, 1, 0.0, 1.0):
        drawn = Bernoulli(keep).draw(np.random.default_rng(0), (100, 100), bool)
        assert drawn.dtype == bool
        assert np.all(drawn == bool(keep))


# ------------------------------------------------------------------------------------------ penalties


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
def test_coefficients_that_are_no_weight_are_refused(name, c):
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
            match=rf"{name}: pass the weights as Tensors, {name}\(w1, w2, (c=1e-3|l1=1e-3, l2=1e-3)\)",
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


# ------------------------------------------------------------------------------ picking and splitting


@pytest.mark.parametrize(
    "f, indices, settings",
    [
        (np.take, (0, 0), {"axis": 0}),
        (np.take, [[1, 0], [1, 1]], {"axis": -1}),
        (np.take, (5, 0, 0), {}),
        (np.take_along_axis, np.array([[1], [0], [1]]), {"axis": 1}),
        (np.take_along_axis, np.array([[2, 2]]), {"axis": 0}),
        (np.take_along_axis, np.array([[2]]), {"axis": 0}),  # broadcasts over the columns
        (np.take_along_axis, np.array([5, 5, 1]), {"axis": None}),
    ],
)
def test_picking_is_numpys(f, indices, settings):
    x, numbered = normal(3, 2), np.arange(6).reshape(3, 2)
    chosen = f(numbered, indices, **settings)
    y = f(leaf(x), indices, **settings)
    np.testing.assert_array_equal(y.data, x.ravel()[chosen])
    _, (gradient,) = pulled(lambda x: f(x, indices, **settings), x, u=np.ones(y.shape))
    np.testing.assert_array_equal(gradient, np.bincount(chosen.ravel(), minlength=6).reshape(3, 2))


@pytest.mark.parametrize(
    "error, text, call",
    [
        (ValueError, "take: there is no axis 2", lambda x: np.take(x, [0], axis=2)),
        (ValueError, "take: there is no axis 0", lambda x: np.take(x[0, 0], [0], axis=0)),
        (
            TypeError,
            "take: indices into an axis of 6 entries must be of an integer dtype, not bool",
            lambda x: np.take(x, [True, False]),
        ),
        (
            TypeError,
            "take_along_axis: indices into an axis of 3 entries must be of an integer dtype",
            lambda x: np.take_along_axis(x, np.ones((3, 2)), 0),
        ),
        (
            ValueError,
            "take_along_axis: x .* as many axes",
            lambda x: np.take_along_axis(x, np.array([0]), 0),
        ),
        (
            ValueError,
            "take_along_axis: x .* axis 2",
            lambda x: np.take_along_axis(x, np.array([[0]]), 2),
        ),
        (ValueError, "split: there is no axis -3", lambda x: np.split(x, 1, axis=-3)),
        (
            ValueError,
            "split: 0 equal parts do not divide an axis of size 3",
            lambda x: np.split(x, 0),
        ),
        (
            ValueError,
            "split: -1 equal parts do not divide an axis of size 3",
            lambda x: np.split(x, -1),
        ),
    ],
)
def test_picking_and_splitting_refuse_what_does_not_fit(error, text, call):
    with pytest.raises(error, match=text):
        call(leaf(normal(3, 2)))


@pytest.mark.parametrize(
    "shape, parts",
    [((0, 2), 2), ((4,), np.int64(2)), ((4,), [1, 3]), ((4,), np.array([2, 9]))],
    ids=str,
)
def test_splitting_is_numpys(shape, parts):
    x = normal(*shape)
    for ours, numpys in zip(np.split(leaf(x), parts), np.split(x, parts), strict=True):
        np.testing.assert_array_equal(ours.data, numpys)


@pytest.mark.parametrize("values", [[1, 2, 3], [True, False, True]])
def test_whole_numbers_are_computed_as_floats(values):
    x = np.array(values)
    np.testing.assert_array_equal(
        F.dropout(mg.Tensor(x), 0.5, True, mask=[1, 0, 1]).data, 2.0 * x * [1, 0, 1]
    )
    np.testing.assert_allclose(
        F.logsumexp(mg.Tensor(x.astype(int)), 0).data, np.log(np.sum(np.exp(1.0 * x)))
    )


def test_a_linear_map_takes_the_widest_dtype():
    x, weight, bias = np.ones((1, 2), int), np.ones((3, 2), int), np.array([0.5, 1.5, 2.5])
    for a, w, b in ((x, weight, bias), (x.astype(np.float32), weight.astype(np.float32), bias)):
        out = F.linear(mg.Tensor(a), w, b)
        assert out.dtype == np.float64 and out.tolist() == [[2.5, 3.5, 4.5]]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("ignored", [-100, 2, 7])
@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3), (4,)])
def test_ignored_targets_and_smoothed_ones_follow_pytorch(reduction, smoothing, ignored, shape):
    torch = pytest.importorskip("torch")
    scores, rng = normal(*shape), np.random.default_rng(1)
    target = rng.integers(0, 4, (*shape[:1], *shape[2:]) if len(shape) > 1 else ())
    if target.ndim:
        target.flat[::2] = ignored
        target.flat[1] = 1
    ours, theirs = leaf(scores), torch.tensor(scores, requires_grad=True)
    kept = target != ignored
    if reduction == "mean" and not np.any(kept):
        with pytest.raises(ValueError, match="no target is left to take the mean of"):
            F.cross_entropy(ours, target, ignore_index=ignored)
        return
    settings = {"reduction": reduction, "ignore_index": ignored, "label_smoothing": smoothing}
    found, expected = (
        F.cross_entropy(ours, target, **settings),
        torch.nn.functional.cross_entropy(theirs, torch.tensor(target), **settings),
    )
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.sum(found).backward()
    expected.sum().backward()
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-12, atol=1e-14)
    if not smoothing:
        np.testing.assert_allclose(
            F.nll_loss(
                F.log_softmax(scores, 1 if len(shape) > 1 else 0),
                target,
                reduction,
                ignore_index=ignored,
            ),
            found.data,
        )


def test_what_is_ignored_must_be_the_only_stranger():
    with pytest.raises(
        ValueError,
        match=r"cross_entropy: the target has classes 0\.\.9, the scores 0\.\.3",
    ):
        F.cross_entropy(normal(3, 4), np.array([0, -100, 9]))
    with pytest.raises(ValueError, match=r"label_smoothing is in \[0, 1\], got 1.5"):
        F.cross_entropy(normal(3, 4), np.array([0, 1, 2]), label_smoothing=1.5)
    assert gradcheck(
        lambda x: F.cross_entropy(x, np.array([0, -100, 2]), label_smoothing=0.2),
        leaf(normal(3, 4)),
    )


@pytest.mark.parametrize("parts", [1, 8, 9, 17, 64, 500])
def test_a_split_into_many_parts_is_cut_by_halves(parts):
    """All slices together, and so backward, take parts * log(parts) entries, not parts^2."""
    x = leaf(normal(2, 3 * parts))
    pieces = np.split(x, parts, axis=1)
    for mine, theirs in zip(pieces, np.split(x.data, parts, axis=1), strict=True):
        np.testing.assert_array_equal(mine.data, theirs)
    (gradient,) = mg.grad(sum(i * np.sum(p) for i, p in enumerate(pieces)), x, retain_graph=True)
    np.testing.assert_array_equal(gradient.data[1], np.repeat(np.arange(parts), 3))
    slices = [node for node in nodes(pieces) if node.args]
    given = sum(node.args[0].size for node in slices)  # what backward fills with zeros
    assert given <= x.size * (8 + 2 * math.log2(parts))

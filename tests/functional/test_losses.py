"""Losses: closed forms, PyTorch, extreme inputs, and errors."""

import math

import numpy as np
import pytest
from helpers import leaf, normal, pulled
from test_activations import s, soft_reference

import minigrad as mg
from minigrad import functional as F
from minigrad.check import gradcheck, gradgradcheck
from minigrad.engine import Tensor

# ------------------------------------------------------------------------------------------- losses


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


# name: (function of input and target, input, target, losses of the entries, their slopes by the
# input, PyTorch's name and settings)
losses = {
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
    found, (g,) = pulled(lambda x: f(x, t, reduction=reduction), x, cotangent=u)
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_an_infinite_delta_all_residuals_are_near(dtype):
    x = mg.Tensor([1.0, 2.0], True, dtype=dtype)
    loss = F.huber_loss(x, np.zeros(2, dtype), delta=math.inf)
    assert (loss.item(), loss.dtype) == (1.25, dtype)
    assert mg.grad(loss, x)[0].tolist() == [0.5, 1]
    assert F.smooth_l1_loss(x, np.zeros(2), beta=math.inf).item() == 0


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
def test_binary_cross_entropy_refuses_targets_that_are_no_probabilities(t):
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
def test_losses_of_whole_numbers_equal_losses_of_floats(loss, dtype):
    x, t = np.array([[0, 1, 1, 0], [0, 0, 1, 1]], dtype)
    assert (
        loss(Tensor(x), t).item() == loss(Tensor(x.astype(np.float32)), t.astype(np.float32)).item()
    )


@pytest.mark.parametrize(
    "a, b, dim",
    [((2, 3), (2, 1), 1), ((2, 3), (3,), 0), ((2, 3), (), -1), ((3, 1, 2), (4, 2), 1)],
)
def test_the_cosine_is_of_vectors_that_were_broadcast(a, b, dim):
    x, y = normal(*a), normal(*b, seed=1)
    wide_x, wide_y = np.broadcast_arrays(x, y)
    lengths = [np.sqrt(np.sum(v * v, axis=dim)) for v in (wide_x, wide_y)]
    right = np.sum(x * y, axis=dim) / (lengths[0] * lengths[1])
    np.testing.assert_allclose(F.cosine_similarity(leaf(x), y, dim).data, right, rtol=1e-12)
    np.testing.assert_allclose(F.cosine_similarity(x, leaf(y), dim).data, right, rtol=1e-12)
    assert gradcheck(lambda x, y: F.cosine_similarity(x, y, dim), [leaf(x), leaf(y)])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize("f", [
    F.normalize,
    lambda x: F.normalize(x, 1),
    lambda x: F.normalize(x, math.inf, dim=0),
    lambda x: F.cosine_similarity(x, x[:1]),
    lambda x: F.nll_loss(x, [1, 2], "none"),
    lambda x: F.cross_entropy(x, [1, 2], weight=x[0]),
    lambda x: F.triplet_margin_loss(x, x[::-1], x[:1], reduction="none"),
    lambda x: F.rms_norm(x, 3, eps=1e-3),
    lambda x: F.l1_penalty(x, c=1.0),
    lambda x: F.l2_penalty(x, c=1.0),
    lambda x: F.elastic_net(x, l1=1.0, l2=1.0),
    lambda x: F.group_l2(x, c=1.0),
])  # fmt: skip
def test_small_whole_numbers_do_not_wrap_around(f, dtype):
    x = np.array([[100, 120, 3], [0, 127, -128]]).astype(dtype)
    found, right = (f(Tensor(a)) for a in (x, x.astype(np.float64)))
    assert found.dtype.kind == "f"
    np.testing.assert_allclose(found.data, right.data, rtol=1e-6)


def test_a_tuple_or_a_number_is_data():
    assert F.mse_loss((1.0, 2.0), (0.0, 0.0)) == 2.5
    assert F.gelu((0.0, 2.0)).tolist() == F.gelu(np.float32([0, 2])).tolist()
    assert F.silu(0) == 0


def test_an_error_about_a_non_number_names_the_function():
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
        ((2, 3), np.zeros((2, 3), int), ValueError, r"target of shape \(2,\), got \(2, 3\)"),
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


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_of_ignored_targets_alone_the_mean_is_nan_and_the_gradient_0(smoothing):
    x = leaf(normal(2, 3))
    loss = F.cross_entropy(x, [-100, -100], label_smoothing=smoothing)
    loss.backward()
    assert math.isnan(loss.item())
    assert np.all(x.grad.data == 0)


def test_all_targets_but_the_ignored_one_must_be_classes():
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


# --------------------------------------------------------------------------------- weights of losses


@pytest.mark.parametrize("absent", [math.inf, math.nan, 1.0])
@pytest.mark.parametrize("ignored", [-100, 1])
def test_the_weight_of_a_class_that_no_target_has_changes_nothing(absent, ignored):
    w, target = np.array([2.0, 0.5, absent, 3.0]), np.array([0, 1, 3, 1, 0])
    x, kept = leaf(normal(5, 4)), target != ignored
    for reduction in "mean", "sum", "none":
        loss = F.cross_entropy(x, target, reduction, weight=w, ignore_index=ignored)
        logs = np.log(soft_reference(x.data, 1))
        entries = np.where(kept, -w[target] * logs[np.arange(5), target], 0)
        right = {
            "none": entries,
            "sum": entries.sum(),
            "mean": entries.sum() / w[target[kept]].sum(),
        }
        np.testing.assert_allclose(loss.data, right[reduction], rtol=1e-12)
        (g,) = mg.grad(loss.sum(), x)
        factor = kept * w[target] / (w[target[kept]].sum() if reduction == "mean" else 1)
        slope = soft_reference(x.data, 1) - one_hot(x.shape, target)
        np.testing.assert_allclose(g.data, factor[:, None] * slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_targets_that_are_all_ignored_give_no_gradient(weight, smoothing):
    x = leaf(normal(2, 3))
    settings = {"weight": weight, "label_smoothing": smoothing}
    with np.errstate(invalid="ignore"):
        loss = F.cross_entropy(x, np.full(2, -100), **settings)
    assert np.isnan(loss.item()) and not mg.grad(loss, x)[0].data.any()


def test_weights_of_classes_do_not_change_the_dtype():
    x = leaf(normal(2, 3), np.float32)
    assert F.cross_entropy(x, [0, 2], weight=np.arange(3.0)).dtype == np.float32
    with pytest.raises(
        TypeError, match="cross_entropy: nll_loss has no rule for its argument weight"
    ):
        F.cross_entropy(x, [0, 2], weight=leaf(np.ones(3)))


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
def test_a_weight_that_would_make_the_loss_larger_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} of shape \(3, 1\) does not broadcast to \(3,\)"):
        F.binary_cross_entropy_with_logits(normal(3), np.ones(3), **{name: np.ones((3, 1))})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_huber_with_a_delta_of_infinity_is_half_the_square(dtype):
    x = leaf([0.5, -3.0, 200.0, 350.0], dtype)
    loss = F.huber_loss(x, np.zeros(4, dtype), "none", math.inf)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(loss.data, x.data.astype(float) ** 2 / 2, rtol=1e-3)
    loss.backward(np.full(4, 3, dtype))
    np.testing.assert_allclose(x.grad.data, 3 * x.data, rtol=1e-3)

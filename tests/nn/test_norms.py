"""Normalisation: closed forms, PyTorch, invariances, running statistics, and what leaves them
alone.
"""

import copy
import itertools

import numpy as np
import pytest
from helpers import close, leaf, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.check.numeric import is_analytic
from minigrad.ops import standardize


def composed(x, axis, eps):
    """standardize of other ops, each with its own proven rule."""
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return centred * (np.mean(np.square(centred), axis=axis, keepdims=True) + eps) ** -0.5


# every functional form: on x, weight and bias of these shapes, over these axes of x
FORMS = {
    "batch_norm (N, C)": (
        lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, training=True, eps=eps),
        (4, 3),
        (1, 3),
        0,
    ),
    "batch_norm (N, C, L)": (
        lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, training=True, eps=eps),
        (3, 2, 2),
        (1, 2, 1),
        (0, 2),
    ),
    "batch_norm (N, C, H, W)": (
        lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, training=True, eps=eps),
        (2, 3, 2, 2),
        (1, 3, 1, 1),
        (0, 2, 3),
    ),
    "layer_norm": (lambda x, w, b, eps: F.layer_norm(x, 3, w, b, eps), (2, 2, 3), (3,), -1),
    "layer_norm, two axes": (
        lambda x, w, b, eps: F.layer_norm(x, (3, 2), w, b, eps),
        (2, 3, 2),
        (3, 2),
        (1, 2),
    ),
    "instance_norm (N, C, L)": (
        lambda x, w, b, eps: F.instance_norm(x, weight=w, bias=b, eps=eps),
        (2, 2, 3),
        (1, 2, 1),
        2,
    ),
    "instance_norm (N, C, H, W)": (
        lambda x, w, b, eps: F.instance_norm(x, weight=w, bias=b, eps=eps),
        (1, 2, 2, 3),
        (1, 2, 1, 1),
        (2, 3),
    ),
    "group_norm, one group": (
        lambda x, w, b, eps: F.group_norm(x, 1, w, b, eps),
        (3, 4),
        (1, 4),
        1,
    ),
    "group_norm, a group a channel": (
        lambda x, w, b, eps: F.group_norm(x, 2, w, b, eps),
        (2, 2, 3),
        (1, 2, 1),
        2,
    ),
}
each_form = pytest.mark.parametrize("name", FORMS)


def drawn(name):
    """(function of x, weight, bias and eps; these three arrays, weight and bias as the function
    takes them).
    """
    form, shape, broadcast, _ = FORMS[name]
    own = broadcast if name.startswith("layer") else (max(broadcast),)
    return form, normal(*shape), 1 + normal(*own, seed=1) / 2, normal(*own, seed=2)


# ------------------------------------------------------------------------------------- closed forms


def test_small_numbers_by_hand():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    close(standardize(x, 0, 0.0), np.array([-3, -1, 1, 3]) / np.sqrt(5))
    close(standardize(x, 0, 0.75), np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(2))  # variance 1.25
    close(
        F.batch_norm(np.array([[7.0, -2.0], [5.0, 6.0]]), None, None, training=True, eps=0.0),
        [[1, -1], [-1, 1]],
    )
    close(
        F.layer_norm(
            np.array([[1.0, 3.0], [8.0, 0.0]]),
            2,
            np.array([2.0, 3.0]),
            np.array([10.0, 0.0]),
            eps=0.0,
        ),
        [[8, 3], [12, -3]],
    )
    close(
        F.batch_norm(
            np.array([[5.0]]),
            np.array([1.0]),
            np.array([4.0]),
            np.array([3.0]),
            np.array([0.5]),
            training=False,
            eps=0.0,
        ),
        [[6.5]],
    )


@each_form
def test_a_form_and_its_two_derivatives_equal_a_composition_of_other_ops(name):
    form, *arrays = drawn(name)
    broadcast, axis = FORMS[name][2:]

    def reference(x, w, b, eps):
        return composed(x, axis, eps) * np.reshape(w, broadcast) + np.reshape(b, broadcast)

    u, v, found = normal(*arrays[0].shape, seed=3), normal(*arrays[0].shape, seed=4), []
    for function in (form, reference):
        inputs = [leaf(a) for a in arrays]
        out = function(*inputs, 1e-3)
        first = mg.grad(np.sum(np.sin(out) * u), inputs, create_graph=True)
        found.append([out, *first, *mg.grad(np.sum(first[0] * v), inputs, allow_unused=True)])
    for ours, theirs in zip(*found):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            close(ours, theirs, 1e-11)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_norm_normalises_each_group_of_each_sample(groups):
    x, w, b = normal(2, 6, 2, 3), normal(6, seed=1), normal(6, seed=2)
    expected = np.empty_like(x)
    for n, k in itertools.product(range(2), range(groups)):
        own = slice(k * 6 // groups, (k + 1) * 6 // groups)
        expected[n, own] = (x[n, own] - x[n, own].mean()) / np.sqrt(x[n, own].var() + 1e-5)
    close(F.group_norm(x, groups), expected)
    close(
        F.group_norm(leaf(x), groups, leaf(w), leaf(b)),
        expected * w[:, None, None] + b[:, None, None],
    )


@each_form
def test_a_form_passes_both_gradient_checks(name):
    form, *arrays = drawn(name)
    inputs = [leaf(a) for a in arrays]
    assert mg.gradcheck(lambda *given: form(*given, 1e-2), inputs)
    assert mg.gradgradcheck(lambda *given: form(*given, 1e-2), inputs)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4)])
def test_batch_norm_in_evaluation_is_affine_and_passes_both_checks(shape):
    mean, var = normal(3, seed=5), np.exp(normal(3, seed=6))
    inputs = [leaf(normal(*shape)), leaf(normal(3, seed=1)), leaf(normal(3, seed=2))]

    def f(x, w, b):
        return F.batch_norm(x, mean, var, w, b, training=False)

    x, w, b = (t.data for t in inputs)
    columns = [np.reshape(a, (3,) + (1,) * (len(shape) - 2)) for a in (mean, var, w, b)]
    close(f(*inputs), (x - columns[0]) / np.sqrt(columns[1] + 1e-5) * columns[2] + columns[3])
    close(F.batch_norm(x, mean, var, training=False), (x - columns[0]) / np.sqrt(columns[1] + 1e-5))
    assert mg.gradcheck(f, inputs) and mg.gradgradcheck(f, inputs)


def test_the_op_is_analytic():
    for axis in (0, 1, (0, 2), None):
        assert is_analytic(standardize(leaf(normal(3, 2, 4)), axis, 1e-5))


# -------------------------------------------------------------------------------------- invariances

numbers = st.floats(-3, 3)
positive = st.floats(0.1, 10)
shapes = st.sampled_from([(4, 3), (3, 2, 3), (2, 3, 2, 2)])


@st.composite
def batches(draw):
    """x (N, C, ...), of a standard deviation above 0.1 in each channel of each sample."""
    shape = draw(shapes)
    ramp = np.arange(np.prod(shape)) % 5 + np.arange(np.prod(shape)) / 7
    x = ramp.reshape(shape) + draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 0.25)))
    return (
        x,
        draw(hnp.arrays(np.float64, shape[1], elements=positive)),
        draw(hnp.arrays(np.float64, shape[1], elements=numbers)),
    )


def by_channel(a, x):
    return a.reshape((-1,) + (1,) * (x.ndim - 2))


def train(x):
    return F.batch_norm(x, None, None, training=True, eps=0.0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(batches())
def test_scale_and_shift_of_a_channel_change_nothing(batch):
    x, scale, shift = batch
    y = by_channel(scale, x) * x + by_channel(shift, x)
    close(train(y), train(x), 1e-10)
    close(train(-y), -train(x), 1e-10)
    if x.ndim > 2:
        close(F.instance_norm(y, eps=0.0), F.instance_norm(x, eps=0.0), 1e-9)
        sample = np.arange(1.0, len(x) + 1).reshape(
            (-1,) + (1,) * (x.ndim - 1)
        )  # each sample by itself: its own scale and shift
        close(F.instance_norm(sample * y - sample, eps=0.0), F.instance_norm(x, eps=0.0), 1e-9)
        close(
            F.layer_norm(sample * x - sample, x.shape[1:], eps=0.0),
            F.layer_norm(x, x.shape[1:], eps=0.0),
            1e-10,
        )
        close(
            F.group_norm(sample * x - sample, 1, eps=0.0),
            F.layer_norm(x, x.shape[1:], eps=0.0),
            1e-10,
        )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(batches(), st.randoms(use_true_random=False))
def test_mean_zero_variance_one_and_no_slope_along_shift_and_scale(batch, random):
    x, scale, _ = batch
    axes = (0, *range(2, x.ndim))
    out = train(x)
    close(out.mean(axis=axes), np.zeros(x.shape[1]), 1e-12)
    close(out.var(axis=axes), np.ones(x.shape[1]), 1e-12)
    order = random.sample(range(len(x)), len(x))
    close(train(x[order]), out[order], 1e-11)  # no sample has a place of its own
    t = leaf(x)
    (g,) = mg.grad(np.sum(train(t) * by_channel(scale, x) * np.cos(x)), t)
    close(
        g.data.sum(axis=axes), np.zeros(x.shape[1]), 1e-9
    )  # no slope along a shift of the channel
    close((g.data * x).sum(axis=axes), np.zeros(x.shape[1]), 1e-9)  # nor along its scale


# ------------------------------------------------------------------------ float32, memory, extremes


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (1, 0, 2, 3), (0, 2, 3, 1)], ids=["NCHW", "CNHW", "NHWC"]
)
def test_float32_stays_and_so_does_the_order_in_memory(order):
    """Convolutions give views of other orders in memory: no form copies them, forward or backward."""
    back = np.argsort(order)
    data = np.ascontiguousarray(normal(4, 6, 5, 3).astype(np.float32).transpose(order)).transpose(
        back
    )
    for layer in (
        nn.BatchNorm2d(6),
        nn.BatchNorm2d(6).eval(),
        nn.GroupNorm(3, 6),
        nn.InstanceNorm2d(6, affine=True),
    ):
        x = mg.Tensor(data, True)
        x.data = data  # Tensor() copies
        out = layer(x)
        for array in (out.data, mg.grad(out, x, data, retain_graph=True)[0].data):
            assert array.dtype == np.float32 and array.transpose(order).flags.c_contiguous, layer
        out.backward(data)
        assert all(p.grad.dtype == np.float32 for p in (x, layer.weight, layer.bias))
    assert all(
        value.dtype in (np.float32, np.int64) for value in nn.BatchNorm2d(6).state_dict().values()
    )


def test_a_mean_far_from_zero_costs_no_more_digits_than_x_has_lost():
    z = normal(64, 3)
    x = (z + 1000).astype(np.float32)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(0)) / exact.std(0)
    bound = 64 * 1000 * np.finfo(np.float32).eps  # of the rounding of a sum of 64 numbers near 1000
    assert np.max(np.abs(F.batch_norm(x, None, None, training=True, eps=0.0) - exact)) < bound
    assert np.max(np.abs(F.layer_norm(x.T, 64, eps=0.0).T - exact)) < bound


def test_a_constant_channel_gives_the_bias_and_finite_gradients():
    x, w, b = leaf(np.full((4, 2), 3.0)), leaf([2.0, 3.0]), leaf([0.5, -1.0])
    out = F.batch_norm(x, None, None, w, b, training=True)
    close(out, np.tile([0.5, -1.0], (4, 1)))
    out.backward(normal(4, 2))
    assert all(np.all(np.isfinite(t.grad.data)) for t in (x, w, b))


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.BatchNorm1d(3).eval()],
    ids=lambda layer: type(layer).__name__,
)
def test_no_samples_give_no_results(layer):
    x = mg.Tensor(np.zeros((0, 3), np.float32), True)
    out = layer(x)
    out.sum().backward()
    assert out.shape == x.grad.shape == (0, 3) and not np.any(layer.weight.grad.data)


# ------------------------------------------------------------------------------------------ PyTorch

LAYERS = {  # our layer and PyTorch's arguments of it, and the shape of x
    "BatchNorm1d (N, C)": (nn.BatchNorm1d, (3,), {}, (5, 3)),
    "BatchNorm1d (N, C, L)": (nn.BatchNorm1d, (3, 1e-3, 0.3), {}, (5, 3, 4)),
    "BatchNorm1d, cumulative": (nn.BatchNorm1d, (3,), {"momentum": None}, (5, 3)),
    "BatchNorm1d, no weights": (nn.BatchNorm1d, (3,), {"affine": False}, (5, 3)),
    "BatchNorm2d": (nn.BatchNorm2d, (3,), {}, (2, 3, 4, 2)),
    "LayerNorm": (nn.LayerNorm, (4,), {}, (2, 3, 4)),
    "LayerNorm, two axes": (nn.LayerNorm, ((3, 4), 1e-3), {}, (2, 3, 4)),
    "LayerNorm, no bias": (nn.LayerNorm, ([4],), {"bias": False}, (2, 4)),
    "LayerNorm, no weights": (nn.LayerNorm, (4,), {"elementwise_affine": False}, (2, 4)),
    "GroupNorm": (nn.GroupNorm, (2, 6), {}, (2, 6, 3, 2)),
    "GroupNorm (N, C)": (nn.GroupNorm, (2, 6, 1e-3, False), {}, (3, 6)),
    "InstanceNorm1d": (nn.InstanceNorm1d, (3,), {}, (2, 3, 4)),
    "InstanceNorm2d": (nn.InstanceNorm2d, (3,), {"affine": True}, (2, 3, 4, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_pytorchs_in_training_and_evaluation(name):
    torch = pytest.importorskip("torch")
    kind, args, kwargs, shape = LAYERS[name]
    layer, twin = (
        kind(*args, **kwargs, dtype=np.float64),
        getattr(torch.nn, kind.__name__)(*args, **kwargs, dtype=torch.float64),
    )
    assert list(layer.state_dict()) == list(twin.state_dict())
    rng = np.random.default_rng(1)
    for parameter in twin.parameters():
        parameter.data += torch.tensor(rng.standard_normal(parameter.shape) / 3)
    layer.load_state_dict(twin.state_dict())
    for step, training in enumerate([True, True, True, False, True, False]):
        data, u = 2 + rng.standard_normal(shape) * (step + 1), rng.standard_normal(shape)
        layer.train(training), twin.train(training)
        x, there = leaf(data), torch.tensor(data, requires_grad=True)
        layer.zero_grad(), twin.zero_grad()
        out, expected = layer(x), twin(there)
        out.backward(u), expected.backward(torch.tensor(u))
        close(out, expected.detach().numpy(), 1e-10)
        close(x.grad, there.grad.numpy(), 1e-10)
        for ours, theirs in zip(layer.parameters(), twin.parameters()):
            close(ours.grad, theirs.grad.numpy(), 1e-10)
            ours.data -= 0.1 * ours.grad.data
            theirs.data -= 0.1 * theirs.grad
        for key, value in twin.state_dict().items():
            close(layer.state_dict()[key], value.numpy(), 1e-10)
    twin.load_state_dict({key: torch.tensor(value) for key, value in layer.state_dict().items()})


def test_the_functions_are_pytorchs():
    torch = pytest.importorskip("torch")
    there = torch.nn.functional
    x, w, b = normal(3, 4, 5), normal(4, seed=1), normal(4, seed=2)
    mean, var = normal(4, seed=3), np.exp(normal(4, seed=4))
    running = [torch.tensor(mean), torch.tensor(var)]
    for training in (True, False, True):
        expected = there.batch_norm(
            torch.tensor(x),
            *running,
            torch.tensor(w),
            torch.tensor(b),
            training=training,
            momentum=0.3,
            eps=1e-3,
        )
        close(
            F.batch_norm(x, mean, var, w, b, training=training, momentum=0.3, eps=1e-3),
            expected.numpy(),
            1e-10,
        )
        close(mean, running[0].numpy(), 1e-10)
        close(var, running[1].numpy(), 1e-10)
    close(F.layer_norm(x, (4, 5)), there.layer_norm(torch.tensor(x), (4, 5)).numpy(), 1e-10)
    close(
        F.group_norm(x, 2, w, b, 0.1),
        there.group_norm(torch.tensor(x), 2, torch.tensor(w), torch.tensor(b), 0.1).numpy(),
        1e-10,
    )
    close(
        F.instance_norm(x, weight=w, bias=b),
        there.instance_norm(torch.tensor(x), None, None, torch.tensor(w), torch.tensor(b)).numpy(),
        1e-10,
    )


# ------------------------------------------------------------------------------- running statistics


def test_running_statistics_are_the_weighted_mean_over_the_batches():
    x = normal(5, 8, 3)  # five batches
    means, variances = x.mean(axis=1), x.var(axis=1, ddof=1)
    layer, average = (
        nn.BatchNorm1d(3, momentum=0.25, dtype=np.float64),
        nn.BatchNorm1d(3, momentum=None, dtype=np.float64),
    )
    for batch in x:
        layer(batch), average(batch)
    weights = 0.25 * 0.75 ** np.arange(5)[::-1]
    close(layer.running_mean, weights @ means)
    close(layer.running_var, 0.75**5 + weights @ variances)
    close(average.running_mean, means.mean(axis=0))
    close(average.running_var, variances.mean(axis=0))
    assert layer.num_batches_tracked == average.num_batches_tracked == 5
    data = x.reshape(-1, 3)
    close(
        average.eval()(data), (data - means.mean(axis=0)) / np.sqrt(variances.mean(axis=0) + 1e-5)
    )


def test_the_running_arrays_are_changed_in_place_each_by_itself():
    x, mean, var = normal(4, 2), np.zeros(2), mg.Tensor([1.0, 1.0], dtype=np.float64)
    F.batch_norm(x, mean, None, training=True, momentum=1.0)
    F.batch_norm(x, None, var, training=True, momentum=1.0)
    close(mean, x.mean(axis=0))
    close(var, x.var(axis=0, ddof=1))


def noisy_model():
    """A model of everything: penalties, batch norm in training, dropout; and its input and labels."""
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6, penalty=nn.L2(0.01), dtype=np.float64),
        nn.BatchNorm1d(6, penalty=nn.L1(0.02), bias_penalty=nn.L2(0.1), dtype=np.float64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(6, 3, penalty=nn.L1(0.001), dtype=np.float64),
    )
    model[1].bias.data[...] = normal(6, seed=1)
    return model, normal(8, 4), np.arange(8) % 3


def loss_of(model, x, labels):
    return F.cross_entropy(model(x), labels) + model.penalty()


def same_state(model, before):
    return all(np.array_equal(value, before[key]) for key, value in model.state_dict().items())


def test_checks_and_pictures_of_a_model_in_training_do_not_move_its_statistics():
    model, x, labels = noisy_model()
    loss = loss_of(model, x, labels)
    state, value = model.state_dict(), loss.item()
    assert state["1.num_batches_tracked"] == 1 and np.any(state["1.running_mean"])
    report = mg.check_graph(loss)
    assert report and {row.verdict for row in report.rows} == {"OK"}
    assert (
        mg.replay(loss).item()
        == value
        == mg.replay(loss, {model[0].weight: model[0].weight}).item()
    )
    assert len({mg.resample(loss).item() for _ in range(3)}) == 3
    assert mg.gradcheck(lambda t: loss_of(model, t, labels), leaf(x))
    mg.check_noise(model, (16, 4))
    penalties = "L1(0.02), L2(0.1) on the bias"
    assert mg.summary(model, 4).layers[1] == ("1 (BatchNorm1d)", "(None, 6)", 12, 0, penalties)
    needs_two_rows = nn.Sequential(
        nn.Linear(3, 3), lambda x: F.batch_norm(x, None, None, training=True)
    )
    assert "0 (Linear)  (None, 3)" in str(mg.summary(needs_two_rows, 3))
    assert mg.terms(loss) and mg.to_text(loss)
    with mg.frozen_noise():
        first = model(x).data
    with mg.frozen_noise():
        np.testing.assert_array_equal(model(x).data, first)
    assert same_state(model, state) and all(m.training for m in model.modules())


def test_a_replay_is_the_model_at_other_values():
    model, x, labels = noisy_model()
    with mg.frozen_noise():
        loss = loss_of(model, x, labels)
    weight = model[0].weight
    other = weight.data + 0.1
    replayed = mg.replay(loss, {weight: other})
    weight.data[...] = other
    with mg.frozen_noise():
        assert abs(loss_of(model, x, labels).item() - replayed.item()) < 1e-14


def test_sampling_draws_masks_and_keeps_the_statistics_of_evaluation():
    model, x, _ = noisy_model()
    for _ in range(3):
        model(x)
    state = model.eval().state_dict()
    once = model[1](model[0](x)).data
    with mg.sampling():
        np.testing.assert_array_equal(model[1](model[0](x)).data, once)
        assert not np.array_equal(model(x).data, model(x).data)
        close(model[:2](x[:1]), once[:1])  # of one sample: no statistics of a batch
    assert same_state(model, state)


def test_training_does_not_reach_into_a_graph_recorded_in_evaluation():
    layer, x = nn.BatchNorm1d(3, dtype=np.float64), normal(4, 3)
    layer(x)
    loss = np.sum(layer.eval()(x) ** 2)
    (before,) = mg.grad(loss, layer.weight, retain_graph=True)
    layer.train()(x + 5)
    close(mg.grad(loss, layer.weight, retain_graph=True)[0], before, 0)
    assert mg.check_graph(loss)


def test_a_model_with_batch_norm_trains_and_evaluates():
    model, x, labels = noisy_model()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(model, x, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    single = np.concatenate([model.eval()(x[i : i + 1]).data for i in range(8)])
    close(model(x), single)  # in evaluation a sample does not depend on its batch


# ------------------------------------------------------------------------------------------ modules


def test_the_default_selection_of_penalties_leaves_norms_alone():
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.Linear(6, 2)
    )
    node = nn.penalty(model, nn.L2(0.5))
    weights = [model[i].weight for i in (0, 4)]
    assert node.args[1:] == tuple(weights)
    close(node, 0.5 * sum(np.sum(w.data**2) for w in weights), 1e-6)


def test_the_penalties_of_a_norm_count():
    layer = nn.LayerNorm(3, penalty=nn.L1(0.5), bias_penalty=nn.L2(2.0))
    layer.weight.data[...], layer.bias.data[...] = [1, -2, 3], [1, 0, -2]
    assert layer.penalty().item() == 0.5 * 6 + 2 * 5
    assert repr(layer) == "LayerNorm(normalized_shape=(3,), penalty=L1(0.5), bias_penalty=L2(2))"


def test_reprs_and_parameters_of_norms():
    assert repr(nn.BatchNorm2d(8)) == "BatchNorm2d(num_features=8)"
    assert repr(nn.GroupNorm(2, 8)) == "GroupNorm(num_groups=2, num_channels=8)"
    assert repr(nn.InstanceNorm1d(8)) == "InstanceNorm1d(num_features=8)"
    assert repr(nn.InstanceNorm1d(8, affine=True)) == "InstanceNorm1d(num_features=8, affine=True)"
    assert repr(nn.LayerNorm(8, bias=False)) == "LayerNorm(normalized_shape=(8,), bias=False)"
    assert (
        repr(nn.BatchNorm1d(8, momentum=None, affine=False))
        == "BatchNorm1d(num_features=8, momentum=None, affine=False)"
    )
    layer = nn.BatchNorm1d(2)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    state = {key: value.tolist() for key, value in layer.state_dict().items()}
    assert state == {
        "weight": [1, 1],
        "bias": [0, 0],
        "running_mean": [0, 0],
        "running_var": [1, 1],
        "num_batches_tracked": 0,
    }
    assert (
        not nn.InstanceNorm2d(2).state_dict()
        and list(nn.BatchNorm1d(2, affine=False).parameters()) == []
    )


def test_statistics_are_saved_copied_and_loaded(tmp_path):
    model, x, _ = noisy_model()
    model(x)
    mg.save(model, tmp_path / "model.npz")
    other = noisy_model()[0]
    other.load_state_dict(mg.load(tmp_path / "model.npz"))
    twin = copy.deepcopy(model)
    state = model.state_dict()
    model(x + 1)
    assert same_state(other, state) and same_state(twin, state) and not same_state(model, state)
    np.testing.assert_array_equal(twin.eval()(x).data, other.eval()(x).data)


def test_batch_norm_in_half_precision_is_rounded_at_its_end_only():
    """The squares of its numbers overflow."""
    x = leaf((300 * normal(64, 3, 7) + 300).astype(np.float16), np.float16)
    exact = leaf(x.data.astype(np.float64), np.float64)
    running, cotangent = np.zeros(3), normal(64, 3, 7, seed=1)
    for t in (x, exact):
        out = F.batch_norm(t, None, running, training=True, momentum=1.0)
        assert out.dtype == t.dtype
        np.testing.assert_allclose(running, exact.data.var(axis=(0, 2), ddof=1), rtol=1e-6)
        out.backward(cotangent.astype(t.dtype))
    np.testing.assert_allclose(x.grad.data, exact.grad.data, rtol=2e-3, atol=1e-5)


def test_a_norm_is_one_node_of_the_picture():
    model, x, labels = noisy_model()
    text = mg.to_text(loss_of(model, x, labels))
    assert "1.batch norm (8, 6)" in text and "mean, var, subtract" in text


# ------------------------------------------------------------------------------------------- errors

X = np.zeros((4, 3), np.float32)
MISTAKES = [
    (
        lambda: nn.BatchNorm1d(3)(X[:1]),
        r"batch_norm: the axes \(0,\) of x \(1, 3\) have one entry or none\. Train on two rows or more",
    ),
    (lambda: nn.BatchNorm1d(3)(X[:0]), r"of x \(0, 3\) have one entry or none"),
    (lambda: nn.BatchNorm2d(3)(X.reshape(1, 3, 4, 1)[:, :, :1]), r"x \(1, 3, 1, 1\)"),
    (
        lambda: nn.BatchNorm1d(5)(X),
        r"BatchNorm1d: x must be \(N, C\) or \(N, C, L\) with C = 5, got shape \(4, 3\)\.$",
    ),
    (lambda: nn.BatchNorm1d(3)(X[0]), r"got shape \(3,\)\. For one sample write x\[None\]\."),
    (
        lambda: nn.BatchNorm2d(3)(X),
        r"BatchNorm2d: x must be \(N, C, H, W\) with C = 3, got shape \(4, 3\)\.$",
    ),
    (
        lambda: nn.BatchNorm2d(3)(X.reshape(3, 2, 2)),
        r"\(3, 2, 2\)\. For one sample write x\[None\]\.",
    ),
    (lambda: nn.InstanceNorm1d(3)(X), r"InstanceNorm1d: x must be \(N, C, L\)"),
    (
        lambda: nn.InstanceNorm1d(3)(X[:, :, None]),
        r"instance_norm: the axes \(2,\) of x \(4, 3, 1\) have one entry or none\.$",
    ),
    (lambda: F.instance_norm(X), r"instance_norm: .* x \(4, 3\)"),
    (lambda: F.group_norm(X, 3), r"group_norm: .* x \(4, 3, 1\)"),
    (lambda: F.group_norm(X, 2), "group_norm: num_groups=2 does not divide channels=3"),
    (lambda: F.group_norm(X, 0), "group_norm: num_groups=0 does not divide channels=3"),
    (lambda: nn.GroupNorm(2, 3), "GroupNorm: num_groups=2 does not divide num_channels=3"),
    (lambda: F.layer_norm(X, 4), r"layer_norm: x \(4, 3\) does not end in normalized_shape \(4,\)"),
    (
        lambda: F.layer_norm(X, (2, 4, 3)),
        r"layer_norm: x \(4, 3\) does not end in normalized_shape \(2, 4, 3\)",
    ),
    (lambda: F.layer_norm(X, ()), r"normalized_shape \(\)"),
    (
        lambda: F.layer_norm(X, 3, bias=np.zeros(4)),
        r"layer_norm: bias must have shape \(3,\), got \(4,\)",
    ),
    (
        lambda: F.batch_norm(X, np.zeros(4), None, training=True),
        r"batch_norm: running_mean must have shape \(3,\), got \(4,\)",
    ),
    (
        lambda: F.batch_norm(X, np.zeros(3), np.ones((4, 3)), training=True),
        r"batch_norm: running_var must have shape \(3,\), got \(4, 3\)",
    ),
    (
        lambda: F.batch_norm(X, None, None, training=False),
        "batch_norm: evaluation needs running_mean and running_var",
    ),
    (
        lambda: F.batch_norm(X[0], None, None, training=True),
        r"batch_norm: x must be \(N, C, \.\.\.\), got shape \(3,\)",
    ),
    (
        lambda: nn.BatchNorm1d(3, affine=False, penalty=nn.L2(1.0)),
        r"BatchNorm1d: penalty=L2\(1\), but there is no weight",
    ),
    (
        lambda: nn.LayerNorm(3, bias=False, bias_penalty=nn.L1(1.0)),
        r"LayerNorm: bias_penalty=L1\(1\), but there is no bias",
    ),
    (
        lambda: standardize(leaf(normal(3, 0)), 1, 0.1),
        r"standardize: mean of \(3, 0\): the mean of no entries is undefined",
    ),
    (lambda: standardize(leaf(normal(3, 2)), 2, 0.1), r"axis 2 is out of bounds"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_mistake_is_named(number):
    call, message = MISTAKES[number]
    with pytest.raises(ValueError, match=message):
        call()


def test_mistakes_of_type_are_named():
    with pytest.raises(TypeError, match="training"):
        F.batch_norm(X, None, None)
    for running in ([0.0, 0.0, 0.0], np.zeros(3, int)):
        with pytest.raises(TypeError, match="^batch_norm: "):
            F.batch_norm(X, running, None, training=True)


def test_running_statistics_that_are_tensors_are_part_of_the_graph():
    mean, var = leaf([0.0, 1.0, 2.0]), leaf([1.0, 4.0, 9.0])
    F.batch_norm(X, mean, var, training=False, eps=0.0).sum().backward()
    centred = X - mean.data
    np.testing.assert_allclose(mean.grad.data, -len(X) / np.sqrt(var.data))
    np.testing.assert_allclose(var.grad.data, -centred.sum(axis=0) / 2 * var.data**-1.5)


def test_a_refused_batch_leaves_the_statistics():
    layer = nn.BatchNorm1d(3)
    before = layer.state_dict()
    with pytest.raises(ValueError, match="one entry or none"):
        layer(X[:1] + 1)
    assert same_state(layer, before)


def test_in_evaluation_a_mean_far_from_zero_costs_no_more_digits_than_x_has_lost():
    x = np.float32(1e4) + normal(50, 2).astype(np.float32)
    mean, var, w, b = (
        np.full(2, 1e4, np.float32),
        np.float32([1, 4]),
        np.float32([0.3, 2]),
        np.float32([0.1, -1]),
    )
    exact = (x.astype(float) - 1e4) / np.sqrt(var.astype(float) + 1e-5) * w + b
    np.testing.assert_allclose(
        F.batch_norm(mg.Tensor(x), mean, var, w, b, training=False).data,
        exact,
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_float16_is_float16_in_both_modes(training):
    layer, x = nn.BatchNorm1d(3).train(training), (9 * normal(8, 3)).astype(np.float16)
    layer.running_mean[:] = 2
    out = layer(leaf(x, np.float16))
    assert out.dtype == np.float16 and layer.running_mean.dtype == np.float32
    wide = x.astype(float)
    mean, var = (wide.mean(0), wide.var(0)) if training else (2, 1)
    close(out.data, (wide - mean) / np.sqrt(var + 1e-5), rtol=2e-3, atol=2e-3)

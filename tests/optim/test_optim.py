"""Optimizers against PyTorch and against recurrences in this file; limits; schedules."""

import math

import numpy as np
import pytest
from helpers import leaf

import minigrad as mg
from minigrad import functional as F
from minigrad import nn, optim

STEPS = 30


def problem(seed=0):
    """Two starting points and a matrix: the loss below is a quadratic with a nonlinear part."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((3, 2)), rng.standard_normal(2), rng.standard_normal((4, 3))


def loss_of(w, b, matrix):
    """Works on Tensors of minigrad and of PyTorch."""
    h = (matrix @ w + b).tanh()
    return ((h - 0.3) * (h - 0.3)).sum() + 0.1 * (w * w).sum() + (b * b * b * b).sum()


def gradients_of(w, b, matrix):
    """The same gradients, written out."""
    h = np.tanh(matrix @ w + b)
    inner = 2 * (h - 0.3) * (1 - h * h)
    return [matrix.T @ inner + 0.2 * w, inner.sum(axis=0) + 4 * b**3]


def trajectory(make, steps=STEPS, loss=loss_of):
    w, b, matrix = problem()
    w, b = leaf(w), leaf(b)
    optimizer, matrix, points = make([w, b]), mg.Tensor(matrix), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss(w, b, matrix).backward()
        optimizer.step()
        points.append(np.concatenate([w.data.ravel(), b.data]))
    return np.array(points)


def torch_trajectory(make):
    torch = pytest.importorskip("torch")
    w, b, matrix = map(torch.tensor, problem())
    w.requires_grad_(), b.requires_grad_()
    optimizer, points = make(torch.optim, [w, b]), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(w, b, matrix).backward()
        optimizer.step()
        points.append(np.concatenate([w.detach().numpy().ravel(), b.detach().numpy()]))
    return np.array(points)


def written_out(step):
    """The trajectory of step(w, g, memory, t) -> new w, on NumPy arrays; t counts from 1."""
    w, b, matrix = problem()
    memories, points = [{}, {}], []
    for t in range(1, STEPS + 1):
        gradients = gradients_of(w, b, matrix)
        w, b = (step(p, g, memory, t) for p, g, memory in zip((w, b), gradients, memories))
        points.append(np.concatenate([w.ravel(), b]))
    return np.array(points)


def sgd(lr, momentum=0.0, weight_decay=0.0, nesterov=False):
    def step(w, g, memory, t):
        g = g + weight_decay * w
        v = memory["v"] = momentum * memory.get("v", 0) + g
        return w - lr * (g + momentum * v if nesterov else v)

    return step


def adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    def step(w, g, memory, t):
        if decoupled:
            w = w - lr * weight_decay * w
        else:
            g = g + weight_decay * w
        m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
        v = memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g**2
        return w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return step


CASES = {  # name: (class, settings)
    "SGD": ("SGD", {"lr": 0.05}),
    "SGD, decay": ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    "SGD, momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "SGD, momentum and decay": ("SGD", {"lr": 0.02, "momentum": 0.7, "weight_decay": 0.1}),
    "SGD, nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "SGD, nesterov and decay": (
        "SGD",
        {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
    ),
    "Adam": ("Adam", {}),
    "Adam, large steps": ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "Adam, decay": ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    "Adam, beta1 of 0": (
        "Adam",
        {"lr": 0.001, "betas": (0.0, 0.9), "eps": 1e-2},
    ),  # a smaller eps multiplies rounding errors where a gradient passes 0
    "AdamW": ("AdamW", {"lr": 0.05}),
    "AdamW, decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.5}),
    "AdamW, no decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.0}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_the_gradients_written_out_here_are_right():
    w, b, matrix = problem()
    expected = gradients_of(w, b, matrix)
    w, b = leaf(w), leaf(b)
    for found, g in zip(mg.grad(loss_of(w, b, mg.Tensor(matrix)), [w, b]), expected):
        np.testing.assert_allclose(found.data, g, rtol=1e-12, atol=1e-14)


def test_the_trajectory_is_pytorchs(case):
    name, settings = case
    expected = torch_trajectory(lambda torch_optim, p: getattr(torch_optim, name)(p, **settings))
    np.testing.assert_allclose(
        trajectory(lambda p: getattr(optim, name)(p, **settings)), expected, rtol=1e-12, atol=1e-12
    )


def test_the_trajectory_is_the_recurrences(case):
    name, settings = case
    if name == "SGD":
        step = sgd(**settings)
    else:
        step = adam(
            **{"weight_decay": 0.01, **settings} if name == "AdamW" else settings,
            decoupled=name == "AdamW",
        )
    found = trajectory(lambda p: getattr(optim, name)(p, **settings))
    np.testing.assert_allclose(found, written_out(step), rtol=1e-12, atol=1e-12)
    assert np.abs(found[-1] - found[0]).max() > 1e-6  # it moved


def test_defaults_are_pytorchs():
    torch = pytest.importorskip("torch")
    for name in ("SGD", "Adam", "AdamW"):
        theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
        (ours,) = getattr(optim, name)([leaf([0.0])]).param_groups
        assert {k: theirs[k] for k in ours if k != "params"} == {
            k: v for k, v in ours.items() if k != "params"
        }


def test_float32_parameters_stay_float32():
    for make in (
        lambda p: optim.SGD(p, momentum=0.9, weight_decay=0.1),
        lambda p: optim.Adam(p, weight_decay=0.1),
        optim.AdamW,
    ):
        w = leaf([1.0, 2.0], np.float32)
        np.sum(w * w).backward()
        data, optimizer = w.data, make([w])
        optimizer.step()
        assert w.data is data and w.dtype == np.float32 and w.data[0] < 1


# ------------------------------------------------------------------------------------ groups and lr


def test_each_group_has_its_own_settings():
    def make(p):
        return optim.SGD(
            [{"params": [p[0]], "lr": 0.01, "momentum": 0.9}, {"params": p[1]}],
            lr=0.05,
            weight_decay=0.1,
        )

    w = trajectory(lambda p: optim.SGD(p, lr=0.05, weight_decay=0.1), steps=1)
    both = trajectory(make, steps=1)
    start_w, start_b, matrix = problem()
    g_w, g_b = gradients_of(start_w, start_b, matrix)
    np.testing.assert_allclose(
        both[0, :6], (start_w - 0.01 * (g_w + 0.1 * start_w)).ravel(), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(both[0, 6:], w[0, 6:], rtol=1e-12, atol=1e-14)


def test_groups_follow_pytorch():
    def make(module, p):
        return module.Adam(
            [
                {"params": [p[0]], "lr": 0.01, "betas": (0.5, 0.9)},
                {"params": [p[1]], "weight_decay": 0.1},
            ],
            lr=0.05,
        )

    np.testing.assert_allclose(
        trajectory(lambda p: make(optim, p)), torch_trajectory(make), rtol=1e-12, atol=1e-12
    )


def test_parameters_may_come_from_a_generator_or_alone():
    model = nn.Linear(2, 1)
    found = optim.SGD(model.parameters()).param_groups[0]["params"]
    assert len(found) == 2 and found[0] is model.weight and found[1] is model.bias
    assert optim.SGD(model.weight).param_groups[0]["params"][0] is model.weight


def test_settings_are_read_and_changed_and_parameters_added_as_in_pytorch():
    """A change of lr, clipped gradients, and a layer that is trained from the second step on."""

    def make(module, p):
        optimizer = module.SGD([p[0]], lr=0.1, momentum=0.9)
        step = optimizer.step

        def steps():
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
                for w in group["params"]:
                    w.grad *= 0.25
            step()
            if len(optimizer.param_groups) == 1:
                optimizer.add_param_group({"params": [p[1]], "lr": 0.3})

        optimizer.step = steps
        return optimizer

    found = trajectory(lambda p: make(optim, p))
    assert np.array_equal(found[0, 6:], problem()[1]) and not np.any(found[1, 6:] == problem()[1])
    np.testing.assert_allclose(found, torch_trajectory(make), rtol=1e-12, atol=1e-12)


def _reshape(w):
    w.data = w.data.reshape(3, 2)
    w.grad = mg.Tensor(np.ones((3, 2)))


def _set(name, value):
    return lambda w: setattr(w, name, value)


UNFIT = {  # what is done to the second parameter: what the error says
    _set("data", mg.Tensor([3.0])): "the .data of a parameter is a Tensor, not an array",
    _set("data", np.broadcast_to(1.0, (2, 3))): "the .data of a parameter is read-only",
    _reshape: r"the .data of a parameter has shape \(3, 2\), its .* \(2, 3\)",
    _set("grad", mg.Tensor(np.ones((2, 3), bool))): "not a Tensor of floats of this shape",
    _set("grad", mg.Tensor(np.ones((2, 3), int))): "not a Tensor of floats of this shape",
    _set("grad", mg.Tensor(np.ones((3, 2)))): "not a Tensor of floats of this shape",
    _set("grad", np.ones((2, 3))): "is a ndarray of shape",
}
KINDS = [kind for kind in map(vars(optim).get, optim.__all__) if isinstance(kind, type)]
KINDS = {kind for kind in KINDS if issubclass(kind, optim.Optimizer)}
KINDS = sorted(KINDS - {optim.Optimizer, optim.ProximalSGD}, key=str)  # these take gradients


@pytest.mark.parametrize("spoil", UNFIT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_that_no_step_can_change_is_refused_and_nothing_changes(kind, spoil):
    first, second = leaf([1.0, 2.0]), leaf(np.ones((2, 3)))
    optimizer = kind([first, second], **{"momentum": 0.9} if kind is optim.SGD else {})
    is_lbfgs = kind is optim.LBFGS  # its closure leaves the gradients as they are
    if is_lbfgs and spoil is _reshape:
        return  # its vectors know the sizes alone
    for _ in range(2):
        first.grad, second.grad = mg.Tensor(np.ones(2)), mg.Tensor(np.ones((2, 3)))
        optimizer.step(*[lambda: 1.0] * is_lbfgs)
    values, state = first.tolist(), optimizer.state_dict()
    spoil(second)
    with pytest.raises((TypeError, ValueError), match=rf"{kind.__name__}.step: .*{UNFIT[spoil]}"):
        optimizer.step(*[lambda: 1.0] * is_lbfgs)
    second.data = np.ones((2, 3))  # which state_dict tells of
    np.testing.assert_equal(optimizer.state_dict(), state)
    assert first.tolist() == values


@pytest.mark.parametrize("data", [np.ones(3), mg.Tensor([1.0]), np.broadcast_to(1.0, 1)])
def test_data_that_no_proximal_step_can_change_are_refused(data):
    first, second = leaf([1.0, 2.0]), leaf([3.0])
    optimizer = optim.ProximalSGD([first, second], accelerated=True)

    def loss():
        return (first * first).sum() + second.sum()

    for _ in range(3):
        optimizer.step(loss)
    values, state = first.tolist(), optimizer.state_dict()
    second.data = data
    with pytest.raises((TypeError, ValueError), match="ProximalSGD.step: the .data of a parameter"):
        optimizer.step(loss)
    second.data = np.ones(1)
    np.testing.assert_equal(optimizer.state_dict(), state)
    assert first.tolist() == values


def test_a_group_that_is_refused_changes_nothing():
    w, b = leaf([1.0]), leaf([2.0])
    optimizer = optim.SGD([w])
    for group in (
        {"params": [b], "nesterov": True},
        {"params": [w]},
        {"params": [b, b]},
        {"params": [b], "lr": -1},
        {"params": [b], "betas": 1},
        {"lr": 1},
        {"params": [b * 1]},
    ):
        with pytest.raises((TypeError, ValueError), match="SGD|optimizer"):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1 and list(optimizer.state) == [w]


def test_lr_can_be_a_function_of_the_step():
    asked, w = [], leaf([0.0])
    optimizer = optim.SGD([w], lr=lambda step: (asked.append(step), 10.0**-step)[1])
    for _ in range(3):
        w.grad = mg.Tensor(np.ones(1))
        optimizer.step()
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(w.data, [-1.11])


def test_each_group_can_have_a_schedule():
    u, v = leaf([0.0]), leaf([0.0])
    optimizer = optim.SGD(
        [{"params": [u], "lr": lambda step: 1.0 * 0.5**step}, {"params": [v]}], lr=0.1
    )
    for _ in range(2):
        u.grad, v.grad = mg.Tensor(np.ones(1)), mg.Tensor(np.ones(1))
        optimizer.step()
    np.testing.assert_allclose([u.data[0], v.data[0]], [-1.5, -0.2])


# ---------------------------------------------------------------------------------- step, zero_grad


def test_zero_grad_forgets_and_without_it_gradients_add_up():
    w = leaf([3.0])
    optimizer = optim.SGD([w], lr=1.0)
    np.sum(2 * w).backward()
    np.sum(2 * w).backward()
    assert w.grad.tolist() == [4.0]
    optimizer.zero_grad()
    assert w.grad is None


def test_step_keeps_the_gradient():
    w = leaf([3.0])
    np.sum(2 * w).backward()
    optim.SGD([w], lr=1.0).step()
    assert w.grad.tolist() == [2.0] and w.data.tolist() == [1.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, momentum=0.9, weight_decay=0.1),
        lambda p: optim.AdamW(p, weight_decay=0.1),
    ],
    ids=["SGD", "AdamW"],
)
def test_a_parameter_without_a_gradient_is_left_alone(make):
    w, idle = leaf([3.0]), leaf([5.0])
    optimizer = make([w, idle])
    np.sum(w * w).backward()
    optimizer.step()
    assert idle.data.tolist() == [5.0] and w.data[0] != 3.0


def test_adam_corrects_its_bias_by_the_updates_of_each_parameter():
    late = leaf([0.0])
    other = leaf([0.0])
    optimizer = optim.Adam([late, other], lr=0.1)
    for step in range(5):
        other.grad = mg.Tensor(np.ones(1))
        late.grad = mg.Tensor(np.ones(1)) if step == 4 else None
        optimizer.step()
    np.testing.assert_allclose(
        late.data, [-0.1], rtol=1e-6
    )  # a first step of Adam has the length lr


def test_step_without_any_gradient_is_an_error_with_a_remedy():
    w = leaf([1.0])
    optimizer = optim.Adam([w])
    with pytest.raises(
        RuntimeError, match=r"Adam.step: no parameter has a gradient. Call loss.backward\(\) first"
    ):
        optimizer.step()
    assert w.data.tolist() == [1.0] and optimizer.steps == 0


def test_a_frozen_parameter_of_a_model_is_left_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].weight.requires_grad = False
    before = model.state_dict()
    optimizer = optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    np.sum(model(mg.Tensor(np.ones((1, 2), np.float32)))).backward()
    optimizer.step()
    changed = [
        key for key, values in model.state_dict().items() if not np.array_equal(values, before[key])
    ]
    assert changed == ["0.bias", "1.weight", "1.bias"]


# ------------------------------------------------------------------------------------ memory layout

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.1),
}


def run(make, values, gradients, layout=lambda a: a):
    w = leaf(values)
    w.data = layout(values.copy())
    optimizer = make([w])
    for g in gradients:
        w.grad = mg.engine.constant(layout(g.copy()))
        optimizer.step()
    return w.data


def strided(a):
    out = np.zeros((2 * a.shape[0], a.shape[1]))[::2]
    out[...] = a
    return out


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    "layout",
    [np.asfortranarray, strided, lambda a: a[::-1].copy()[::-1]],
    ids=["Fortran", "strided", "reversed"],
)
def test_any_memory_layout_is_updated_alike(name, layout):
    rng = np.random.default_rng(0)
    values, gradients = rng.standard_normal((5, 4)), rng.standard_normal((3, 5, 4))
    assert not layout(values).flags.c_contiguous
    expected = run(OPTIMIZERS[name], values, gradients)
    np.testing.assert_allclose(
        run(OPTIMIZERS[name], values, gradients, layout), expected, rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("layout", [np.asfortranarray, strided], ids=["Fortran", "strided"])
def test_large_arrays_that_are_not_contiguous_are_updated_alike(name, layout):
    rng = np.random.default_rng(0)
    values, gradients = rng.standard_normal((200, 300)), rng.standard_normal((2, 200, 300))
    expected = run(OPTIMIZERS[name], values, gradients)
    found = run(OPTIMIZERS[name], values, gradients, layout)
    assert not found.flags.c_contiguous and not np.array_equal(found, values)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_that_is_not_contiguous_is_used_right(name):
    rng = np.random.default_rng(0)
    values, g = rng.standard_normal((5, 4)), rng.standard_normal((4, 5))
    w, twin = leaf(values), leaf(values)
    w.grad, twin.grad = mg.engine.constant(g.T), mg.engine.constant(g.T.copy())
    OPTIMIZERS[name]([w]).step()
    OPTIMIZERS[name]([twin]).step()
    np.testing.assert_allclose(w.data, twin.data, rtol=1e-14, atol=1e-14)
    assert w.data.flags.c_contiguous and not np.array_equal(w.data, values)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("shape", [(40_000,), (32_768,), (32_769,), (200, 400)])
def test_arrays_of_several_blocks_are_covered_exactly(name, shape):
    rng = np.random.default_rng(0)
    values, gradients = rng.standard_normal(shape), rng.standard_normal((2, *shape))
    whole = run(OPTIMIZERS[name], values, gradients).ravel()
    parts = [range(i, i + 997) for i in range(0, whole.size, 997)][
        ::7
    ]  # some parts, each small enough for one block
    for part in [*parts, range(whole.size - 3, whole.size)]:
        part = slice(part.start, min(part.stop, whole.size))
        alone = run(OPTIMIZERS[name], values.ravel()[part], [g.ravel()[part] for g in gradients])
        assert np.array_equal(whole[part], alone)


def test_a_number_is_a_parameter_too():
    for make in OPTIMIZERS.values():
        w, vector = leaf(2.0), leaf([2.0])
        w.grad, vector.grad = mg.Tensor(np.array(3.0)), mg.Tensor(np.array([3.0]))
        make([w]).step(), make([vector]).step()
        assert w.shape == () and w.data == vector.data[0] != 2.0


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda w: optim.SGD([{"params": [w], "rate": 1}]),
            TypeError,
            r"SGD has no setting \['rate'\]; it has lr, momentum",
        ),
        (lambda w: optim.SGD([{"params": [w], "betas": (0.9, 0.9)}]), TypeError, "betas"),
        (lambda w: optim.SGD([w], learning_rate=0.1), TypeError, "learning_rate"),
        (lambda w: optim.SGD([w.data]), TypeError, "parameter 0 is a ndarray, not a Tensor"),
        (lambda w: optim.SGD([w, "w"]), TypeError, "parameter 1 is a str, not a Tensor"),
        (
            lambda w: optim.SGD([w * 2]),
            ValueError,
            "parameter 0 Tensor.*op=multiply.* cannot be trained: only leaves",
        ),
        (
            lambda w: optim.SGD([mg.Tensor([1.0, 2.0])]),
            ValueError,
            r"parameter 0 Tensor\(.* cannot be trained: only leaves that require",
        ),
        (lambda w: optim.SGD([]), ValueError, "SGD got no parameters"),
        (lambda w: optim.Adam([{"params": []}]), ValueError, "Adam got no parameters"),
        (lambda w: optim.SGD([w, w]), ValueError, "a parameter was passed twice"),
        (
            lambda w: optim.SGD([{"params": [w]}, {"params": [w], "lr": 1}]),
            ValueError,
            "a parameter was passed twice",
        ),
        (lambda w: optim.SGD([w], lr=-0.1), ValueError, "SGD: lr=-0.1 is out of range"),
        (lambda w: optim.SGD([w], lr=math.nan), ValueError, "lr=nan is out of range"),
        (lambda w: optim.SGD([w], lr=math.inf), ValueError, "lr=inf is out of range"),
        (lambda w: optim.SGD([{"params": [w], "lr": -1}]), ValueError, "lr=-1 is out of range"),
        (lambda w: optim.SGD([w], momentum=-0.5), ValueError, "momentum=-0.5 is out of range"),
        (
            lambda w: optim.AdamW([w], weight_decay=-1),
            ValueError,
            "AdamW: weight_decay=-1 is out of range",
        ),
        (lambda w: optim.Adam([w], eps=-1e-8), ValueError, "eps=-1e-08 is out of range"),
        (
            lambda w: optim.Adam([w], betas=(0.9, 1.0)),
            ValueError,
            r"Adam: betas=\(0.9, 1.0\) is out of range",
        ),
        (lambda w: optim.Adam([w], betas=(-0.1, 0.9)), ValueError, "betas=.* is out of range"),
        (lambda w: optim.Adam([w], betas=(0.9,)), ValueError, "betas=.* is out of range"),
        (lambda w: optim.SGD([w], nesterov=True), ValueError, "nesterov needs a momentum > 0"),
        (
            lambda w: optim.SGD([w], momentum=0.9, nesterov="yes"),
            ValueError,
            "nesterov='yes' is out of range",
        ),
    ],
)
def test_misuse_is_an_error_that_names_it(make, error, message):
    with pytest.raises(error, match=message):
        make(leaf([1.0, 2.0]))


# ---------------------------------------------------------------------------------------- penalties


def with_l2(c):
    def loss(w, b, matrix):
        return loss_of(w, b, matrix) + F.l2_penalty(w, b, c=c)

    return loss


def test_an_l2_node_under_sgd_is_weight_decay_of_twice_its_coefficient():
    c = 0.07
    node = trajectory(lambda p: optim.SGD(p, lr=0.05), loss=with_l2(c))
    decay = trajectory(lambda p: optim.SGD(p, lr=0.05, weight_decay=2 * c))
    np.testing.assert_allclose(node, decay, rtol=1e-12, atol=1e-12)
    assert (
        np.abs(node - trajectory(lambda p: optim.SGD(p, lr=0.05))).max() > 1e-6
    )  # it does something


def test_an_l2_node_under_adam_is_its_weight_decay_too():
    node = trajectory(lambda p: optim.Adam(p, lr=0.05), loss=with_l2(0.07))
    np.testing.assert_allclose(
        node,
        trajectory(lambda p: optim.Adam(p, lr=0.05, weight_decay=0.14)),
        rtol=1e-10,
        atol=1e-10,
    )


def test_an_l2_node_is_not_the_weight_decay_of_adamw():
    node = trajectory(lambda p: optim.AdamW(p, lr=0.05, weight_decay=0), loss=with_l2(0.07))
    decay = trajectory(lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.14))
    assert np.abs(node - decay).max() > 1e-6


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, lr=0.02), lambda p: optim.Adam(p, lr=0.02)], ids=["SGD", "Adam"]
)
def test_an_l1_node_gives_small_weights_but_no_exact_zeros(make):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 8))
    target = x[:, :2] @ [2.0, -3.0]  # six of the eight weights are useless
    w = leaf(rng.standard_normal(8))
    optimizer = make([w])
    for _ in range(800):
        optimizer.zero_grad()
        (np.mean(np.square(mg.Tensor(x) @ w - target)) + F.l1_penalty(w, c=0.5)).backward()
        optimizer.step()
    assert np.abs(w.data[2:]).max() < 0.05 and np.abs(w.data[:2]).min() > 1
    assert np.count_nonzero(w.data) == 8


# ----------------------------------------------------------------------------------------- max_norm


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipped_gradients_have_one_norm_together_as_in_pytorch(dtype):
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    gradients = [
        rng.standard_normal(shape).astype(dtype) for shape in ((4, 3), (), (2, 1, 5), (0,))
    ]
    for limit in (0.5, 1e3, math.inf):
        ours, theirs = [leaf(np.zeros(g.shape), dtype) for g in [*gradients, np.zeros(2)]], []
        for w, g in zip(ours, gradients):
            w.grad = mg.Tensor(g.T.copy().T)
            theirs.append(torch.zeros(g.shape, dtype=torch.tensor(g).dtype))
            theirs[-1].grad = torch.tensor(g)
        norm = optim.clip_grad_norm_((w for w in ours), limit)
        assert (
            norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, limit).item(), rel=1e-6)
            and ours[-1].grad is None
        )
        for w, v, g in zip(ours, theirs, gradients):
            assert w.grad.dtype == dtype and (limit < 1 or np.array_equal(w.grad.data, g))
            np.testing.assert_allclose(
                w.grad.data, v.grad.numpy(), rtol=1e-5
            )  # they divide by norm + 1e-6
    assert optim.clip_grad_norm_(ours[-1], 1.0) == 0
    with pytest.raises(ValueError, match=r"clip_grad_norm_: the limit must be > 0, got 0"):
        optim.clip_grad_norm_(ours, 0)


def test_max_norm_shortens_the_long_rows_and_leaves_the_others_bit_for_bit():
    w = leaf(np.random.default_rng(0).standard_normal((50, 6)), np.float32)
    before, data = w.data.copy(), w.data
    norms = np.linalg.norm(before.astype(np.float64), axis=1)
    limit = float(np.median(norms)) + 1e-3
    optim.max_norm([w], limit)
    long = norms > limit
    assert w.data is data and 10 < long.sum() < 40
    assert np.array_equal(w.data[~long], before[~long])
    np.testing.assert_allclose(np.linalg.norm(w.data[long], axis=1), limit, rtol=1e-6)
    np.testing.assert_allclose(
        w.data[long] / limit, before[long] / norms[long, None], rtol=1e-5, atol=1e-6
    )  # the direction stays


def test_max_norm_of_a_convolution_takes_all_weights_into_a_unit_together():
    w = leaf(10 * np.random.default_rng(0).standard_normal((4, 3, 2, 2)))
    w.data[0] *= 0.001
    before = w.data.copy()
    optim.max_norm([w], 1.5)
    norms = np.sqrt(np.sum(w.data**2, axis=(1, 2, 3)))
    np.testing.assert_allclose(norms[1:], 1.5, rtol=1e-14)
    assert np.array_equal(w.data[0], before[0])


def test_max_norm_takes_several_weights_also_strided_ones():
    a, b = leaf(np.full((2, 2), 3.0)), leaf(np.zeros((2, 2)))
    b.data = np.asfortranarray(np.full((2, 3), 4.0))
    optim.max_norm((w for w in (a, b)), 1.0)
    np.testing.assert_allclose(np.linalg.norm(a.data, axis=1), 1.0)
    np.testing.assert_allclose(np.linalg.norm(b.data, axis=1), 1.0)


@pytest.mark.parametrize("kind", [int, float, np.float64, np.float32, np.int64, np.array])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("limit", [optim.clip_grad_norm_, optim.clip_grad_value_, optim.max_norm])
def test_limits_keep_the_dtype(limit, dtype, kind):
    w = leaf([3.0, 4.0], dtype)
    w.grad = mg.Tensor(w.data)
    limit(w, kind(2))
    assert w.data.dtype == w.grad.dtype == dtype and type(w.grad.data) is np.ndarray
    expected = [[1.2, 1.6], [2.0, 2.0]][limit is optim.clip_grad_value_]
    found = w.data if limit is optim.max_norm else w.grad.data
    np.testing.assert_allclose(found, [2, 2] if limit is optim.max_norm else expected, rtol=1e-3)


def _trained(kind, settings):
    """The weights, of float32, after a few steps, and the state, which a file has held."""
    w = leaf(np.random.default_rng(0).standard_normal(50), np.float32)
    optimizer = kind([w], **settings)
    for n in range(3):
        w.grad = None if kind is optim.ProximalSGD else mg.Tensor(w.data * (n + 1))
        takes_closure = kind in (optim.ProximalSGD, optim.LBFGS)
        optimizer.step(*[lambda: (w * w).sum()] * takes_closure)
    return w.tolist(), optimizer


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("kind", [*KINDS, optim.ProximalSGD])
def test_settings_of_numpy_are_python_numbers(kind, number, tmp_path):
    """They give the same bits, and a file holds them."""
    given = {n: v for n, v in kind(leaf()).defaults.items() if type(v) is float}
    settings = {name: number(value or 0.01) for name, value in given.items()}
    expected, _ = _trained(kind, {name: float(value) for name, value in settings.items()})
    found, optimizer = _trained(kind, settings)
    assert found == expected
    mg.save(optimizer, tmp_path / "c")
    optimizer.load_state_dict(mg.load(tmp_path / "c"))
    rate = settings.pop("lr")
    assert _trained(kind, settings | {"lr": lambda step: rate})[0] == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (0, 3), (3, 0), (2, 3), (3, 1, 2)])
def test_max_norm_of_any_shape_is_a_loop_over_rows(shape, dtype):
    values = np.asarray(3 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    w, expected = leaf(values, dtype), values.copy()
    for row in expected.reshape(len(expected) if shape else 1, math.prod(shape[1:])):
        norm = math.sqrt(sum(float(x) ** 2 for x in row))
        row *= min(1.0, 0.5 / (norm or 1.0))
    optim.max_norm(w, 0.5)
    assert w.data.dtype == dtype
    np.testing.assert_allclose(w.data, expected, rtol=2 * np.finfo(dtype).eps)


def test_max_norm_of_zero_rows_is_finite():
    w = leaf(np.zeros((2, 3)))
    optim.max_norm([w], 1.0)
    assert np.array_equal(w.data, np.zeros((2, 3)))


@pytest.mark.parametrize("limit", [0, -1.0, math.nan])
def test_max_norm_needs_a_positive_limit(limit):
    with pytest.raises(ValueError, match="max_norm: the limit must be > 0"):
        optim.max_norm([leaf(np.ones((2, 2)))], limit)


def test_max_norm_of_one_weight_alone_does_not_clip_its_entries():
    w = leaf(np.full((2, 4), 3.0))
    try:
        optim.max_norm(w, 1.0)
    except TypeError as error:
        assert "list" in str(error) and w.data[0, 0] == 3.0  # refused: fine
    else:
        np.testing.assert_allclose(np.linalg.norm(w.data, axis=1), 1.0)


# ---------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    "schedule, points",
    [
        (
            optim.cosine(0.2, 100),
            {
                0: 0.2,
                25: 0.1 * (1 + math.sqrt(0.5)),
                50: 0.1,
                75: 0.1 * (1 - math.sqrt(0.5)),
                100: 0,
                500: 0,
            },
        ),
        (optim.cosine(1.0, 60, final=0.2), {0: 1.0, 20: 0.8, 30: 0.6, 40: 0.4, 60: 0.2, 61: 0.2}),
        (
            optim.cosine(1.0, 14, warmup=4),
            {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 1.0, 9: 0.5, 14: 0.0},
        ),
        (optim.cosine(1.0, 5, warmup=5), {0: 0.2, 4: 1.0, 5: 1.0, 6: 0.0}),
    ],
)
def test_schedules_at_points_computed_by_hand(schedule, points):
    for step, lr in points.items():
        assert schedule(step) == pytest.approx(lr, rel=1e-12, abs=1e-15), step


@pytest.mark.parametrize(
    "grad",
    [mg.Tensor([1.0]), mg.Tensor([[1.0, 1.0]]), np.ones(2), 1.0],
    ids=["(1,)", "(1, 2)", "array", "number"],
)
def test_a_gradient_of_another_shape_or_kind_is_refused_and_nothing_is_updated(grad):
    v, w = mg.Tensor([1.0, 2.0], True), mg.Tensor([1.0, 2.0], True)
    v.grad, w.grad = mg.Tensor([1.0, 1.0]), grad
    with pytest.raises(
        ValueError, match=r"SGD.step: the .grad of a parameter of shape \(2,\) is a"
    ):
        optim.SGD([v, w], lr=0.1).step()
    assert v.tolist() == w.tolist() == [1, 2]


@pytest.mark.parametrize(
    "model", [nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1)), nn.Linear(2, 1).parameters, 3]
)
def test_a_model_in_the_place_of_its_parameters_is_refused(model):
    with pytest.raises(TypeError, match=r"is a \w+, not a Tensor. Pass model.parameters\(\)"):
        optim.SGD(model)


def test_max_norm_of_rows_whose_squares_overflow():
    for dtype, entry, limit, left in (
        (np.float16, 200, 400, 200),
        (np.float32, 3e19, 3, 3 / math.sqrt(3)),
    ):
        w = leaf(np.full((2, 3), entry, dtype))
        optim.max_norm(w, limit)
        np.testing.assert_allclose(w.data, left, rtol=1e-6)


@pytest.mark.parametrize("rate", [-1.0, math.nan, None, "a"])
def test_a_schedule_that_returns_no_learning_rate_is_refused(rate):
    w = leaf(np.ones(2))
    optimizer, w.grad = optim.SGD([w], lr=lambda step: rate), mg.Tensor(np.ones(2))
    with pytest.raises(ValueError, match=f"SGD: the schedule of lr gave {rate!r} at step 0"):
        optimizer.step()
    assert w.tolist() == [1, 1] and optimizer.steps == 0


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf, None, "a", np.ones(2)])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.LBFGS, optim.ProximalSGD])
def test_an_lr_that_was_set_is_checked_where_it_is_used(kind, rate):
    w, u = leaf(np.ones(2)), leaf(np.ones(2))
    optimizer = kind([w])
    if kind is not optim.LBFGS:
        optimizer.add_param_group({"params": [u]})
    w.grad, u.grad = mg.Tensor(np.ones(2)), mg.Tensor(np.ones(2))
    optimizer.param_groups[-1]["lr"] = rate
    with pytest.raises(ValueError, match=f"{kind.__name__}: lr is .* at step 0, not a number >= 0"):
        optimizer.step(*[lambda: w.sum()] * (kind in (optim.LBFGS, optim.ProximalSGD)))
    assert w.tolist() == u.tolist() == [1, 1] and optimizer.steps == 0


@pytest.mark.parametrize("gamma", [-1.0, math.nan, math.inf])
def test_a_scheduler_cannot_make_the_weights_wrong(gamma):
    w = leaf(np.ones(2))
    optimizer, w.grad = optim.SGD([w], lr=0.1), mg.Tensor(np.ones(2))
    optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: gamma)
    with pytest.raises(ValueError, match="SGD: lr is .* at step 0"):
        optimizer.step()
    optimizer = optim.SGD([w], lr=0.1)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    optimizer.step()
    scheduler.step()
    with pytest.raises(ValueError, match="SGD: lr is .* at step 1"):
        optimizer.step()
    assert w.tolist() == [0.9, 0.9]


# -------------------------------------------------------------------------- optimizers of one's own


class Lion(optim.Optimizer):
    """w -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay w) (Chen et al. 2023,
    arXiv:2302.06675).
    """

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0, cautious=False):
        super().__init__(
            parameters, lr=lr, betas=betas, weight_decay=weight_decay, cautious=cautious
        )

    def valid(self, name, value):
        if name == "cautious":
            return isinstance(value, bool)
        return len(value) == 2 if name == "betas" else super().valid(name, value)

    def update(self, trained, lr, settings):
        beta1, beta2 = settings["betas"]
        for w, g, m in trained.pieces("mean"):
            direction = np.sign(beta1 * m + (1 - beta1) * g)
            if settings["cautious"]:
                direction *= direction * g > 0
            m *= beta2
            m += (1 - beta2) * g
            w -= lr * (direction + settings["weight_decay"] * w)


def lion(lr, betas, weight_decay):
    def step(w, g, memory, t):
        m = memory.get("m", 0)
        memory["m"] = betas[1] * m + (1 - betas[1]) * g
        return w - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * w)

    return step


def test_an_optimizer_is_one_class():
    """It has its rule, settings, groups, schedules, states and errors, and `terms` knows its decay."""
    settings = {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}
    found = trajectory(lambda p: Lion(p, **settings))
    np.testing.assert_allclose(found, written_out(lion(**settings)), rtol=1e-12, atol=1e-12)
    scheduled = trajectory(
        lambda p: Lion(p, lr=lambda step: 0.01, betas=(0.8, 0.9), weight_decay=0.1)
    )
    assert np.array_equal(scheduled, found)

    w, b = leaf(np.ones(3)), leaf(np.ones(2))
    optimizer = Lion(
        [{"params": [w], "cautious": True}, {"params": [b], "lr": 0.1}], weight_decay=0.1
    )
    loss = np.sum(w * w) + np.sum(b * b) + F.l2_penalty(w, c=0.1)
    with pytest.warns(UserWarning, match=r"is decayed twice: .* and Lion\(weight_decay=0.1\)"):
        mg.terms(loss, optimizer)
    loss.backward()
    optimizer.step()
    other = Lion([{"params": [w]}, {"params": [b]}])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups == optimizer.param_groups and other.steps == 1
    for wrong, message in (
        ({"cautious": 1}, "Lion: cautious=1 is out of range"),
        ({"betas": (0.9,)}, "Lion: betas=.* is out of range"),
        ({"momentum": 1}, "momentum"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            Lion([w], **wrong)


def test_a_class_without_an_update_is_an_error():
    class Idle(optim.Optimizer):
        pass

    w = leaf(np.ones(2))
    w.grad = mg.Tensor(np.ones(2))
    with pytest.raises(NotImplementedError, match="Idle has no update method"):
        Idle([w], lr=0.1).step()


def test_a_step_that_fails_half_way_still_marks_the_parameter_as_changed():
    class Failing(optim.Optimizer):
        def update(self, trained, lr, settings):
            for w, g in trained.pieces():
                w -= lr * g
                raise KeyboardInterrupt

    w = leaf(np.ones(2))
    w.grad, later = mg.Tensor(np.ones(2)), np.sum(w * w)
    with pytest.raises(KeyboardInterrupt):
        Failing([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="was changed in place"):
        later.backward()


# -------------------------------------------------------------------------- gradients without sense


def two_layers(seed=0):
    mg.manual_seed(seed)
    return nn.Sequential(first=nn.Linear(2, 2), second=nn.Linear(2, 1))


def backward(model):
    np.sum(model(mg.Tensor(np.ones((1, 2), np.float32)))).backward()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_named_before_it_spoils_the_others(value):
    model = two_layers()
    model.first.weight.name = "wide"
    backward(model)
    for w in model.first.weight, model.second.weight:
        w.grad.data[0, 1] = value
    before = [p.grad.data.copy() for p in model.parameters()]
    told = "clip_grad_norm_: the norm is (nan|inf), in wide, parameter 2. No gradient was changed"
    with pytest.raises(RuntimeError, match=told):
        optim.clip_grad_norm_(model.parameters(), 1.0)
    assert all(np.array_equal(p.grad.data, b, True) for p, b in zip(model.parameters(), before))
    with np.errstate(invalid="ignore"):
        norm = optim.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=False)
    spoilt = np.nan if np.isnan(value) else 0.0
    assert not np.isfinite(norm)
    assert np.array_equal(model.first.bias.grad.data, np.full(2, spoilt, np.float32), True)


def test_pytorch_clips_gradients_that_are_not_finite_alike():
    torch = pytest.importorskip("torch")
    for value in np.nan, np.inf:
        ours, theirs = leaf([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.float64)
        ours.grad, theirs.grad = (
            mg.Tensor(np.array([value, 1.0])),
            torch.tensor([value, 1.0]).double(),
        )
        with np.errstate(invalid="ignore"):
            norm = optim.clip_grad_norm_(ours, 1.0, error_if_nonfinite=False)
        expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0).item()
        assert np.array_equal(norm, expected, True)
        assert np.array_equal(ours.grad.data, theirs.grad.numpy(), True)
        with pytest.raises(RuntimeError):
            torch.nn.utils.clip_grad_norm_(theirs, 1.0, error_if_nonfinite=True)


# ------------------------------------------------------------ optimizers that do not fit their model


def test_an_optimizer_of_another_model_says_so():
    model, optimizer = two_layers(), optim.SGD(two_layers().parameters())
    backward(model)
    with pytest.raises(
        RuntimeError, match="If you did, .*: the optimizer belongs to another model"
    ):
        optimizer.step()


# ------------------------------------------------------------------------------------- interruptions


def marked_in_time(monkeypatch, *modules):
    """Makes `mark_changed` of these modules note the data that it sees: [(data, copy), ...]."""
    seen = []

    def noted(tensor):
        seen.append((tensor.data, tensor.data.copy()))
        mark_changed(tensor)

    mark_changed = mg.changes.mark_changed
    for module in modules:
        monkeypatch.setattr(module, "mark_changed", noted)
    return seen


PROXIMAL = {"plain": {}, "accelerated": {"accelerated": True}}
CHANGES = {  # name: what changes the data of two weights with gradients
    **{name: lambda ws, make=make: make(ws).step() for name, make in OPTIMIZERS.items()},
    "SGD, plain": lambda ws: optim.SGD(ws).step(),
    "max_norm": lambda ws: optim.max_norm(ws, 0.1),
    **{
        f"ProximalSGD, {name}": lambda ws, settings=settings: proximal(ws, settings)
        for name, settings in PROXIMAL.items()
    },
    "load_state_dict": lambda ws: loaded(ws),
}


def proximal(ws, settings):
    for w in ws:
        w.grad = None
    optimizer = optim.ProximalSGD(ws, lr=0.1, **settings)
    for _ in range(3):
        optimizer.step(lambda: sum((w * w).sum() + F.l1_penalty(w, c=0.1) for w in ws))


def loaded(ws):
    model = nn.Module()
    model.a, model.b = ws
    model.load_state_dict({"a": np.full((2, 3), 5.0), "b": np.full((2, 3), 6.0)})


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_marked_before_the_first_entry_changes(name, monkeypatch):
    ws = [nn.Parameter(np.full((2, 3), float(i))) for i in (1, 2)]
    start = [w.data.copy() for w in ws]
    for w in ws:
        w.grad = mg.Tensor(np.ones((2, 3)))
    modules = optim.base, optim.limits, optim.proximal, nn.module
    seen = marked_in_time(monkeypatch, *modules)
    CHANGES[name](ws)
    for w, values in zip(ws, start):
        first = next(copy for data, copy in seen if data is w.data)
        assert np.array_equal(first, values) and not np.array_equal(w.data, values)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("pieces", [1, 2], ids=["after a parameter", "within a parameter"])
def test_backward_after_an_interrupted_step_mixes_no_values(name, pieces, monkeypatch):
    """Ctrl-C comes when one piece of the first parameter has been written."""
    ws = [leaf(np.full((2, 3), float(i))) for i in (1, 2)]
    y = (ws[0] * ws[1]).sum()
    for w in ws:
        w.grad = mg.Tensor(np.ones((2, 3)))

    def interrupted(arrays):
        yield from [[a[i] for a in arrays] for i in range(2)] if pieces == 2 else [arrays]
        raise KeyboardInterrupt

    monkeypatch.setattr(optim.base, "blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        OPTIMIZERS[name](ws).step()
    assert not np.array_equal(ws[0].data, np.full((2, 3), 1.0))
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_an_optimizer_is_shown_with_its_settings():
    model = two_layers()
    groups = [{"params": model.first.parameters()}, {"params": model.second.bias, "lr": 0.5}]
    assert repr(optim.SGD(groups, lr=optim.cosine(0.1, 9))) == (
        "SGD(lr=cosine(lr=0.1, steps=9, warmup=0, final=0.0), momentum=0.0, dampening=0.0, weight_decay=0.0, "
        "nesterov=False, maximize=False, params=2; lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0, "
        "nesterov=False, maximize=False, params=1)"
    )


@pytest.mark.parametrize(
    "call, error, told",
    [
        (
            lambda m: optim.SGD(m).add_param_group(3),
            TypeError,
            "SGD: a group is a dict .*got 3",
        ),
        (
            lambda m: optim.Adam(m).add_param_group(m),
            TypeError,
            r"a group is a dict .*got \[Tensor",
        ),
        (lambda m: optim.Adam(m, betas=("a", 0.9)), ValueError, "betas=.* is out of range"),
        (
            lambda m: optim.clip_grad_norm_(3, 1.0),
            TypeError,
            "clip_grad_norm_ takes Tensors, .* int",
        ),
        (lambda m: optim.clip_grad_norm_(two_layers(), 1.0), TypeError, "not a Linear"),
        (lambda m: optim.max_norm([np.ones((2, 2))], 1.0), TypeError, "max_norm takes .* ndarray"),
        (
            lambda m: mg.terms(m[0].sum(), 3),
            TypeError,
            "terms: optimizer is a int, not an Optimizer",
        ),
    ],
)
def test_wrong_calls_say_what_is_needed(call, error, told):
    with pytest.raises(error, match=told):
        call([leaf([1.0, 2.0])])

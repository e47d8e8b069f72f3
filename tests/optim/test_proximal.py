"""Proximal steps: closed forms, optimality conditions, scikit-learn on real data, and errors."""

import math

import numpy as np
import pytest
from helpers import leaf, normal_leaf

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.engine import Tensor
from minigrad.loss import addends, penalised
from minigrad.ops.penalties import BlockSoftThreshold, penalty, prox_of_sum, soft_threshold
from minigrad.optim import ProximalSGD, kkt_residual


def solved(closure, parameters, lr, steps=20_000, tolerance=1e-9, **settings):
    """The optimizer after as many steps as a KKT residual below the tolerance takes."""
    settings = settings or {"accelerated": True, "restart": True}
    optimizer = ProximalSGD(parameters, lr=lr, **settings)
    while kkt_residual(closure()) > tolerance:
        for _ in range(20):
            optimizer.step(closure)
        assert optimizer.steps < steps, (
            f"after {steps} steps the KKT residual is {kkt_residual(closure())}"
        )
    return optimizer


# ------------------------------------------------------------------------------- proximal operators

PENALTIES = {
    "l1": lambda w: F.l1_penalty(w, c=0.7),
    "l2": lambda w: F.l2_penalty(w, c=0.7),
    "elastic net": lambda w: F.elastic_net(w, l1=0.7, l2=0.4),
    "rows": lambda w: F.group_l2(w, c=0.7),
    "columns": lambda w: F.group_l2(w, c=0.7, axis=0),
    "one group": lambda w: F.group_l2(w, c=0.7, axis=(0, 1)),
    "l1 and rows": lambda w: F.l1_penalty(w, c=0.4) + F.group_l2(w, c=0.7),
    "elastic net and rows": lambda w: F.elastic_net(w, l1=0.4, l2=0.3) + F.group_l2(w, c=0.7),
}


def operator_of(penalty, shape):
    """The proximal operator that the penalties declare for a weight of this shape."""
    sums = {}
    for _, _, weights in penalised(addends(penalty(normal_leaf(*shape)))):
        for norm, c in weights.items():
            sums[norm] = sums.get(norm, 0.0) + c
    return prox_of_sum(sums)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_proximal_operator_minimises_the_function_that_defines_it(name):
    """No point near prox(v) has a smaller |w - v|^2 / 2 + t * penalty(w). The function is convex,
    so no other point has.
    """
    penalty = PENALTIES[name]
    prox = operator_of(penalty, (3, 4))
    rng = np.random.default_rng(0)
    for t in (0.0, 0.3, 1.0, 2.5):
        for _ in range(20):
            v = rng.standard_normal((3, 4)) * rng.choice([0.2, 1, 3], (3, 1))
            w = prox(v, t)

            def objective(w, v=v, t=t):
                return 0.5 * np.sum((w - v) ** 2) + t * penalty(Tensor(w)).item()

            best = objective(w)
            for size in (1e-6, 1e-3, 0.1):
                steps = rng.standard_normal((20, 3, 4)) * size * rng.choice([0, 1], (20, 3, 4))
                assert all(objective(w + step) >= best - 1e-14 for step in steps)


def test_soft_thresholds_by_hand():
    v = np.array([2.0, 0.5, 0.49, 0.0, -0.0, -0.5, -3.0])
    assert soft_threshold(v, 0.5).tolist() == [1.5, 0, 0, 0, 0, 0, -2.5]
    assert not np.signbit(soft_threshold(v, 0.5)[1:6]).any()  # plain zeros
    assert soft_threshold(v, 0.0).tolist() == v.tolist()
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    np.testing.assert_allclose(
        BlockSoftThreshold((1,))(rows, 0.5), [[2.7, 3.6], [0, 0], [0, 0]], rtol=1e-15
    )
    assert BlockSoftThreshold((1,))(rows, 0.5)[1:].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_allclose(BlockSoftThreshold((1,))(rows, 0.0), rows)
    assert (
        BlockSoftThreshold((1,))(np.float32(rows), 0.5).dtype
        == soft_threshold(np.float32(v), 0.5).dtype
        == np.float32
    )
    rows_and_entries = prox_of_sum({soft_threshold: 1.0, BlockSoftThreshold((1,)): 1.0})
    for shape in ((0, 3), (3, 0)):
        assert rows_and_entries(np.zeros(shape), 1.0).shape == shape


# --------------------------------------------------------------- closed forms on orthogonal designs


def orthogonal(n=30):
    """X with X'X = n I, targets, and the least-squares weights (2, 6). The second row and the first
    columns are small enough to become 0.
    """
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((n, 6)))
    size = np.array([[0.02, 0.1, 1, 1, 1, 1], [0.02, 0.02, 0.02, 0.02, 0.02, 0.1]])
    x, true = (
        math.sqrt(n) * q,
        size * rng.uniform(1, 1.5, size.shape) * rng.choice([-1, 1], size.shape),
    )
    y = x @ true.T + 0.1 * rng.standard_normal((n, 2))
    return x, y, y.T @ x / n


def soft(v, t):
    return np.sign(v) * np.maximum(abs(v) - t, 0)


def blocked(v, t, axis):
    norms = np.linalg.norm(v, axis=axis, keepdims=True)
    return np.where(norms > t, v * (1 - t / np.maximum(norms, t)), 0)


# The minimiser of the loss |y - Xw'|^2 / (2n) + penalty, from the least-squares weights b.
CLOSED_FORMS = {
    "ridge": (lambda w: F.l2_penalty(w, c=0.2), lambda b: b / 1.4),
    "lasso": (lambda w: F.l1_penalty(w, c=0.2), lambda b: soft(b, 0.2)),
    "elastic net": (lambda w: F.elastic_net(w, l1=0.2, l2=0.3), lambda b: soft(b, 0.2) / 1.6),
    "lasso and ridge": (
        lambda w: F.l1_penalty(w, c=0.2) + F.l2_penalty(w, c=0.3),
        lambda b: soft(b, 0.2) / 1.6,
    ),
    "half of twice": (
        lambda w: (F.l1_penalty(w, c=0.1) + F.l1_penalty(w, c=0.3)) / 2,
        lambda b: soft(b, 0.2),
    ),
    "group lasso, outputs": (lambda w: F.group_l2(w, c=0.9), lambda b: blocked(b, 0.9, 1)),
    "group lasso, inputs": (lambda w: F.group_l2(w, c=0.3, axis=0), lambda b: blocked(b, 0.3, 0)),
    "sparse group lasso": (
        lambda w: F.l1_penalty(w, c=0.1) + F.group_l2(w, c=0.3, axis=0),
        lambda b: blocked(soft(b, 0.1), 0.3, 0),
    ),
    "all three": (
        lambda w: F.elastic_net(w, l1=0.1, l2=0.3) + F.group_l2(w, c=0.3, axis=0),
        lambda b: blocked(soft(b, 0.1), 0.3, 0) / 1.6,
    ),
}


@pytest.mark.parametrize(
    "settings",
    [{}, {"accelerated": True}, {"accelerated": True, "restart": True}],
    ids=["plain", "FISTA", "restart"],
)
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms_on_orthogonal_designs(name, settings):
    penalty, formula = CLOSED_FORMS[name]
    x, y, least_squares = orthogonal()
    w, expected = leaf(np.ones_like(least_squares)), formula(least_squares)
    assert name == "ridge" or 0 < np.sum(expected == 0) < expected.size

    def closure():
        return np.sum((x @ w.T - y) ** 2) / (2 * len(x)) + penalty(w)

    solved(closure, [w], lr=0.5, tolerance=1e-13, **settings)
    np.testing.assert_allclose(w.data, expected, rtol=0, atol=1e-10)
    assert np.array_equal(w.data == 0, expected == 0)


# ------------------------------------------------------------------------ scikit-learn on real data


def diabetes():
    x, y = pytest.importorskip("sklearn.datasets").load_diabetes(return_X_y=True)
    return x / x.std(axis=0), y / y.std()


def cancer():
    x, y = pytest.importorskip("sklearn.datasets").load_breast_cancer(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y.astype(float)


def linear_model(name, a, r=None):
    """scikit-learn's model, its loss (mean squared error), and (l1, l2) by the conversion table."""
    linear = pytest.importorskip("sklearn.linear_model")
    n = len(diabetes()[0])
    tight = {"tol": 1e-14, "max_iter": 100_000}
    return {
        "Ridge": lambda: (linear.Ridge(a, solver="cholesky"), (0.0, a / n)),
        "Lasso": lambda: (linear.Lasso(a, **tight), (2 * a, 0.0)),
        "ElasticNet": lambda: (linear.ElasticNet(a, l1_ratio=r, **tight), (2 * a * r, a * (1 - r))),
    }[name]()


@pytest.mark.parametrize(
    "name, a, r",
    [
        ("Ridge", 1.0, None),
        ("Ridge", 100.0, None),
        ("Lasso", 0.01, None),
        ("Lasso", 0.1, None),
        ("ElasticNet", 0.05, 0.5),
        ("ElasticNet", 0.2, 0.9),
    ],
)
def test_scikit_learns_linear_models(name, a, r):
    x, y = diabetes()
    theirs, (l1, l2) = linear_model(name, a, r)
    theirs.fit(x, y)
    w, b = leaf(np.zeros(x.shape[1])), leaf(0.0)

    def closure():
        return F.mse_loss(x @ w + b, y) + F.elastic_net(w, l1=l1, l2=l2)

    design = np.c_[x, np.ones(len(x))]
    solved(closure, [w, b], lr=0.5 / np.linalg.eigvalsh(design.T @ design / len(x))[-1])
    ours = closure().item()
    assert kkt_residual(closure()) < 1e-6
    assert np.array_equal(w.data == 0, theirs.coef_ == 0) and (
        name == "Ridge" or np.any(w.data == 0)
    )
    w.data[...], b.data[...] = theirs.coef_, theirs.intercept_
    assert closure().item() == pytest.approx(ours, rel=1e-6)
    assert (
        kkt_residual(closure()) < 1e-6
    )  # theirs is optimal for our loss, so the conversion is right


@pytest.mark.parametrize("c, r", [(0.1, 1.0), (0.3, 1.0), (0.1, 0.0), (0.05, 0.5)])
def test_scikit_learns_logistic_regression(c, r):
    pytest.importorskip("sklearn", minversion="1.8")  # before, l1_ratio needed penalty="elasticnet"
    from sklearn import linear_model as linear

    x, y = cancer()
    theirs = linear.LogisticRegression(
        C=c, l1_ratio=r, solver="saga" if r else "lbfgs", tol=1e-9, max_iter=50_000, random_state=0
    ).fit(x, y)
    w, b, n = leaf(np.zeros(x.shape[1])), leaf(0.0), len(x)

    def closure():
        return F.binary_cross_entropy_with_logits(x @ w + b, y) + F.elastic_net(
            w, l1=r / (c * n), l2=(1 - r) / (2 * c * n)
        )

    design = np.c_[x, np.ones(n)]
    solved(closure, [w, b], lr=4 / np.linalg.eigvalsh(design.T @ design / n)[-1], tolerance=1e-8)
    ours = closure().item()
    assert np.array_equal(w.data == 0, theirs.coef_[0] == 0) and np.any(w.data == 0) == (r > 0)
    w.data[...], b.data[...] = theirs.coef_[0], theirs.intercept_[0]
    assert closure().item() == pytest.approx(ours, rel=1e-6)
    assert kkt_residual(closure()) < 1e-5


def test_the_group_lasso_meets_its_optimality_conditions():
    """On real data: -gradient = c w_g / |w_g| for a group that is not 0, |gradient_g| <= c for a
    group that is 0.
    """
    x, y = cancer()
    targets = np.stack([1 - y, y], axis=1)[:, ::-1] * [[1.0, -0.5]] + x[:, :1] * [[0.3, 0.1]]
    w, c, n = leaf(np.zeros((2, x.shape[1]))), 0.12, len(x)

    def smooth():
        return np.sum((x @ w.T - targets) ** 2) / (2 * n)

    def closure():
        return smooth() + F.group_l2(w, c=c, axis=0)

    solved(closure, [w], lr=1 / np.linalg.eigvalsh(x.T @ x / n)[-1], tolerance=1e-10)
    (g,) = mg.grad(smooth(), w)
    norms = np.linalg.norm(w.data, axis=0)
    zero = norms == 0
    assert 0 < zero.sum() < zero.size and np.array_equal(
        np.any(w.data == 0, axis=0), zero
    )  # whole groups
    np.testing.assert_allclose(g.data[:, ~zero], -c * w.data[:, ~zero] / norms[~zero], atol=1e-8)
    assert np.all(np.linalg.norm(g.data[:, zero], axis=0) <= c + 1e-9)


# ----------------------------------------------------------------------------- zeros that are zeros


def sparse_problem():
    """20 weights, 3 of which matter."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 20))
    return x, x[:, :3] @ [2.0, -3.0, 1.5] + 0.1 * rng.standard_normal(100)


def test_subgradient_steps_give_no_zeros_and_proximal_steps_give_them_all():
    x, y = sparse_problem()
    zeros = {}
    for name, make in {
        "SGD": lambda w: optim.SGD([w], lr=0.05),
        "Adam": lambda w: optim.Adam([w], lr=0.01),
        "proximal": None,
    }.items():
        w = normal_leaf(20)

        def closure(w=w):
            return F.mse_loss(x @ w, y) + F.l1_penalty(w, c=0.2)

        optimizer = make(w) if make else ProximalSGD([w], lr=0.05)
        for _ in range(1000):
            if make:
                optimizer.zero_grad()
                closure().backward()
                optimizer.step()
            else:
                optimizer.step(closure)
        zeros[name] = np.flatnonzero(w.data == 0).tolist()
        assert np.all(abs(w.data[:3]) > 1)
    assert zeros == {"SGD": [], "Adam": [], "proximal": list(range(3, 20))}


def test_a_network_loses_whole_units():
    """The group lasso on the weights into each hidden unit makes most of 30 units 0, also with
    noise in the loss.
    """
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    y = (x[:, :1] * x[:, 1:2] > 0).astype(int).ravel()
    model = nn.Sequential(
        nn.Linear(5, 30, penalty=nn.GroupL2(0.02), dtype=np.float64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(30, 2, dtype=np.float64),
    )
    optimizer = ProximalSGD(model.parameters(), lr=0.2)
    first = optimizer.step(lambda: F.cross_entropy(model(Tensor(x)), y) + model.penalty())
    for _ in range(400):
        last = optimizer.step(lambda: F.cross_entropy(model(Tensor(x)), y) + model.penalty())
    off = np.all(model[0].weight.data == 0, axis=1)
    assert 5 < off.sum() < 30 and np.array_equal(off, np.any(model[0].weight.data == 0, axis=1))
    assert (
        last.item() < 0.8 * first.item()
        and np.mean(np.argmax(model.eval()(Tensor(x)).data, axis=1) == y) > 0.9
    )


# ----------------------------------------------------------------------------------- what a step is


def test_one_step_is_a_gradient_step_and_a_threshold():
    x, y = sparse_problem()
    w = normal_leaf(20)
    before = w.data.copy()
    gradient = 2 * x.T @ (x @ before - y) / len(x) + 2 * 0.1 * before
    c = (
        float(np.median(abs(before - 0.03 * gradient))) / 0.03
    )  # so that half of the weights land on 0
    value = np.mean((x @ before - y) ** 2) + 0.1 * np.sum(before**2) + c * np.sum(abs(before))
    loss = ProximalSGD([w], lr=0.03).step(
        lambda: F.mse_loss(x @ w, y) + F.l2_penalty(w, c=0.1) + F.l1_penalty(w, c=c)
    )
    assert loss.item() == pytest.approx(value, rel=1e-12)  # the whole loss, penalties included
    np.testing.assert_allclose(
        w.data, soft(before - 0.03 * gradient, 0.03 * c), rtol=1e-12, atol=1e-15
    )
    assert w.grad is None and np.sum(w.data == 0) == 10


def test_without_a_penalty_that_it_takes_over_it_is_plain_sgd():
    ours, theirs = normal_leaf(4), normal_leaf(4)
    a, b = ProximalSGD([ours], lr=0.1), optim.SGD([theirs], lr=0.1)
    for _ in range(10):
        a.step(lambda: np.sum(np.tanh(ours) ** 2) + F.l2_penalty(ours, c=0.3))
        b.zero_grad()
        (np.sum(np.tanh(theirs) ** 2) + F.l2_penalty(theirs, c=0.3)).backward()
        b.step()
    assert np.array_equal(ours.data, theirs.data)


def test_fista_is_the_algorithm_of_the_paper():
    """Beck & Teboulle 2009, (4.1)-(4.3), written out."""
    x, y = sparse_problem()
    w, lr, c = normal_leaf(20), 0.02, 0.2
    optimizer = ProximalSGD([w], lr=lr, accelerated=True)
    point = old = ahead = w.data.copy()
    t = 1.0
    for _ in range(30):
        old, point = point, soft(ahead - lr * 2 * x.T @ (x @ ahead - y) / len(x), lr * c)
        t, last = (1 + math.sqrt(1 + 4 * t * t)) / 2, t
        ahead = point + (last - 1) / t * (point - old)
        optimizer.step(lambda: F.mse_loss(x @ w, y) + F.l1_penalty(w, c=c))
        np.testing.assert_allclose(w.data, point, rtol=1e-10, atol=1e-14)
        assert np.array_equal(w.data == 0, point == 0)


def test_fista_needs_far_fewer_steps_and_restarts_fewer_still():
    x, y = diabetes()
    design = np.c_[x, np.ones(len(x))]
    steps = []
    for settings in (
        {"accelerated": False},
        {"accelerated": True},
        {"accelerated": True, "restart": True},
    ):
        w, b = leaf(np.zeros(x.shape[1])), leaf(0.0)
        lr = 0.05 / np.linalg.eigvalsh(design.T @ design / len(x))[-1]
        steps.append(
            solved(
                lambda w=w, b=b: F.mse_loss(x @ w + b, y) + F.l1_penalty(w, c=0.02),
                [w, b],
                lr,
                tolerance=1e-6,
                **settings,
            ).steps
        )
    assert steps[0] > 2 * steps[1] and steps[1] > 1.2 * steps[2]


def test_groups_of_parameters_have_their_own_lr_and_lr_can_be_a_schedule():
    v, w = leaf([1.0, 0.05]), leaf([1.0, 0.05])
    optimizer = ProximalSGD(
        [{"params": [v], "lr": 0.1}, {"params": [w], "lr": lambda step: 0.5 / (step + 1)}]
    )
    for lr in (0.5, 0.25):
        expected = soft(v.data, 0.1), soft(w.data, lr)
        optimizer.step(lambda: F.l1_penalty(v, w, c=1.0) + 0.0 * np.sum(v))
        assert np.array_equal(v.data, expected[0]) and np.array_equal(w.data, expected[1])


def test_coefficients_can_follow_the_steps():
    model = nn.Sequential(nn.Linear(2, 2, penalty=nn.L1(lambda step: 0.1 * step), dtype=np.float64))
    model[0].weight.data[...] = [[1.0, 0.15], [-1.0, 0.35]]
    optimizer = ProximalSGD([model[0].weight], lr=1.0)
    for expected in (
        [[1, 0.15], [-1, 0.35]],
        [[0.9, 0.05], [-0.9, 0.25]],
        [[0.7, 0], [-0.7, 0.05]],
    ):
        optimizer.step(lambda: model.penalty(step=optimizer.steps))
        np.testing.assert_allclose(model[0].weight.data, expected, atol=1e-15)


def test_a_shared_parameter_is_thresholded_once():
    layer = nn.Linear(2, 2, bias=False, penalty=nn.L1(0.3), dtype=np.float64)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    x, before = Tensor(np.ones((1, 2))), layer.weight.data.copy()
    (g,) = mg.grad(np.sum(model(x)), layer.weight)
    ProximalSGD(model.parameters(), lr=0.1).step(lambda: np.sum(model(x)) + model.penalty())
    np.testing.assert_allclose(
        layer.weight.data, soft(before - 0.1 * g.data, 0.03), rtol=1e-12, atol=1e-14
    )


def test_a_penalty_that_stands_there_twice_acts_twice():
    w = leaf([1.0, 0.3])
    reg = F.l1_penalty(w, c=0.1)
    ProximalSGD([w], lr=1.0).step(lambda: reg + 2 * reg + F.l1_penalty(w, w, c=0.05))
    np.testing.assert_allclose(w.data, [0.6, 0.0], atol=1e-15)


def test_parameters_that_are_frozen_or_foreign_or_not_in_the_loss_stay():
    model = nn.Sequential(nn.Linear(2, 2, dtype=np.float64))
    frozen, absent, other = (
        nn.Parameter(np.ones(2), requires_grad=False),
        leaf([1.0, 2.0]),
        leaf([1.0, 2.0]),
    )
    optimizer = ProximalSGD([*model.parameters(), frozen, absent], lr=0.1, accelerated=True)
    for _ in range(3):
        optimizer.step(
            lambda: (
                np.sum(model(Tensor(np.ones((1, 2)))) * frozen)
                + F.l1_penalty(model[0].weight, frozen, other, c=0.1)
            )
        )
    assert frozen.data.tolist() == [1, 1] and absent.data.tolist() == other.data.tolist() == [1, 2]


def test_float32_stays_float32():
    w = leaf([1.0, 0.01], np.float32)
    optimizer = ProximalSGD([w], lr=0.1, accelerated=True)
    for _ in range(3):
        loss = optimizer.step(
            lambda: np.sum(w * w) + F.elastic_net(w, l1=0.5, l2=0.1) + F.group_l2(w, c=0.1, axis=0)
        )
    assert w.dtype == loss.dtype == np.float32 and w.data[1] == 0 and w.data[0] > 0


def test_a_step_frees_the_graph_as_backward_does():
    w = leaf([1.0, 0.3], name="w")
    loss = ProximalSGD([w], lr=0.1).step(lambda: np.sum(w * w) + F.l1_penalty(w, c=0.1))
    with pytest.raises(RuntimeError, match="freed"):  # the smooth part was walked
        mg.terms(loss)


# ------------------------------------------------------------------------------------- KKT residual


def test_the_kkt_residual_is_zero_at_the_minimum_and_only_there():
    x, y, b = orthogonal()
    penalty, formula = CLOSED_FORMS["lasso"]
    w = leaf(formula(b))

    def loss():
        return np.sum((x @ w.T - y) ** 2) / (2 * len(x)) + penalty(w)

    assert kkt_residual(loss()) < 1e-14
    i = np.unravel_index(np.argmax(w.data), w.shape)
    w.data[i] += 1e-3
    assert kkt_residual(loss()) == pytest.approx(1e-3)
    w.data[i] -= 1e-3
    zero = np.unravel_index(np.argmax(w.data == 0), w.shape)
    w.data[zero] = 1e-3
    assert kkt_residual(loss()) > 1e-4
    w.data[...] = 0
    assert kkt_residual(loss()) == pytest.approx(np.max(np.abs(soft(b, 0.2))), rel=1e-9)


def test_the_kkt_residual_of_chosen_parameters_and_of_a_smooth_loss():
    v, w = leaf([1.0, -2.0]), leaf([0.0, 3.0])
    loss = np.sum(v * v) + np.sum(w * w) / 2
    assert kkt_residual(loss) == 4 and kkt_residual(loss, w) == 3 and kkt_residual(loss, [v]) == 4
    v.grad = Tensor(np.ones(2))  # from elsewhere: no concern of it
    assert kkt_residual(loss) == 4
    loss.backward()
    with pytest.raises(RuntimeError, match="kkt_residual: the graph was freed"):
        kkt_residual(loss)


# ----------------------------------------------------------------------------------------- refusals


def test_never_the_subgradient_and_the_threshold_both():
    w = leaf([1.0, 0.3])

    def with_backward(**settings):
        def closure():
            loss = np.sum(w * w) + F.l1_penalty(w, c=0.1)
            loss.backward(**settings)
            return loss

        return closure

    for closure in (with_backward(), with_backward(retain_graph=True)):
        optimizer, w.grad = ProximalSGD([w], lr=0.1), None
        with pytest.raises(
            RuntimeError,
            match=r"a parameter has a .grad, so backward\(\) was called.*A penalty acts once",
        ):
            optimizer.step(closure)
        assert w.data.tolist() == [1, 0.3] and optimizer.steps == 0
    optimizer.zero_grad()
    optimizer.step(lambda: np.sum(w * w) + F.l1_penalty(w, c=0.1))
    assert w.data.tolist() != [1, 0.3]


@pytest.mark.parametrize(
    "closure, error",
    [
        (lambda w: np.exp(F.l1_penalty(w, c=0.1)), "l1_penalty stands inside another term"),
        (
            lambda w: np.sum(w) + F.l1_penalty(w, c=0.1) + F.l1_penalty(w, c=0.1) ** 2,
            "l1_penalty stands inside another term",
        ),
        (
            lambda w: np.sum(w) - F.group_l2(w, c=0.1),
            r"-1 \* group_l2\(c=0.1\) is subtracted",
        ),
        (
            lambda w: F.l1_penalty(w.T, c=0.1),
            "on the result of transpose. A proximal step needs",
        ),
        (lambda w: F.elastic_net(w, np.tanh(w), l1=0.1, l2=0.1), "on the result of tanh"),
        (
            lambda w: F.group_l2(w, c=0.1) + F.group_l2(w, c=0.1, axis=0),
            r"the penalties together have no known proximal operator: "
            r"BlockSoftThreshold\(axes=\(1,\)\) and BlockSoftThreshold\(axes=\(0,\)\)",
        ),
        (lambda w: np.sum(normal_leaf(2)), "does not depend on any of the parameters"),
        (lambda w: w * w, "a Tensor of one entry"),
        (lambda w: None, "needs the recorded loss.*got None"),
        (lambda w: 3.0, "needs the recorded loss.*got 3.0"),
        (lambda w: np.sum(w).detach(), "needs the recorded loss"),
    ],
)
def test_a_penalty_without_a_proximal_step_is_refused_and_nothing_moves(closure, error):
    w = normal_leaf(2, 2)
    optimizer = ProximalSGD([w], lr=0.1, accelerated=True)
    for _ in range(3):
        optimizer.step(lambda: np.sum(w * w))  # so that there is a momentum
    before = w.data.copy()
    with pytest.raises((TypeError, ValueError, RuntimeError), match=error):
        optimizer.step(lambda: closure(w))
    assert np.array_equal(w.data, before) and optimizer.steps == 3 and w.grad is None


def test_groups_that_are_the_same_or_of_single_entries_do_not_overlap():
    w = normal_leaf(2, 2)
    before = w.data.copy()
    ProximalSGD([w], lr=1.0).step(
        lambda: (
            F.group_l2(w, c=0.1) + F.group_l2(w, c=0.1, axis=-1) + F.group_l2(w, c=0.05, axis=())
        )
    )
    np.testing.assert_allclose(w.data, blocked(soft(before, 0.05), 0.2, 1), rtol=1e-12, atol=1e-14)


def test_an_error_in_the_closure_leaves_the_parameters_where_they_were():
    w = normal_leaf(3)
    optimizer = ProximalSGD([w], lr=0.1, accelerated=True)
    for _ in range(3):
        optimizer.step(lambda: np.sum(w * w))
    before, seen = w.data.copy(), []

    def closure():
        seen.append(w.data.copy())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert np.array_equal(w.data, before) and not np.array_equal(seen[0], before)


def test_settings_are_checked():
    w = normal_leaf(2)
    with pytest.raises(TypeError, match=r"step\(lambda: loss_of\(model\)\)"):
        ProximalSGD([w]).step(np.sum(w))
    with pytest.raises(TypeError, match="takes a function that returns the recorded loss"):
        ProximalSGD([w]).step()
    for nothing in (None, 3.0, np.sum(w).detach(), w * w):
        with pytest.raises(TypeError, match="kkt_residual needs the recorded loss"):
            kkt_residual(nothing)
    with pytest.raises(ValueError, match="restart is for accelerated=True"):
        ProximalSGD([w], restart=True)
    with pytest.raises(ValueError, match="lr=-1 is out of range"):
        ProximalSGD([w], lr=-1)


def test_nan_does_not_look_like_sparsity():
    w = leaf(np.ones((2, 3)))
    ProximalSGD([w], lr=0.1).step(lambda: (w * np.nan).sum() + F.group_l2(w, c=0.1))
    assert np.isnan(w.data).all()
    v = leaf(np.ones((2, 3)))
    for pair in ([v, w], [w, v]):
        assert math.isnan(kkt_residual((v * v).sum() + w.sum() + F.group_l2(w, c=0.1), pair))


@pytest.mark.usefixtures("own_registry")
def test_two_coefficients_of_one_norm_add_up_and_an_operator_may_write_to_its_argument():
    def in_place(v, t):
        v -= np.clip(v, -t, t)
        return v

    @penalty(
        prox={"a": in_place, "b": in_place},
        weights=lambda g, out, a, b, *ws: [g * (a + b) * np.sign(w) for w in ws],
    )
    def twice(a, b, *weights):
        return sum((a + b) * np.sum(np.abs(w)) for w in weights)

    w = leaf([3.0])
    assert kkt_residual(twice(w, a=1.0, b=0.5)) == 1.5 and w.item() == 3
    ProximalSGD([w], lr=1.0).step(lambda: twice(w, a=1.0, b=0.5))
    assert w.item() == 1.5


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("accelerated", [False, True])
def test_an_operator_that_fails_at_the_second_parameter_moves_none(accelerated):
    def fails(v, t):
        if np.any(v < 0):
            raise ZeroDivisionError("on purpose")
        return v - t

    @penalty(
        prox={"c": fails}, weights=lambda g, out, c, *ws: [c * g * np.ones_like(w) for w in ws]
    )
    def own(c, *weights):
        return c * sum(np.sum(w) for w in weights)

    v, w = leaf([2.0, 3.0]), leaf([4.0])
    optimizer = ProximalSGD([v, w], lr=0.1, accelerated=accelerated)
    for _ in range(3):  # so that the momentum is not 0
        optimizer.step(lambda: own(v, w, c=1.0))
    w.data[...] = -4.0
    before = v.data.copy(), w.data.copy(), optimizer.state_dict()
    y = (v * w[0]).sum()
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: own(v, w, c=1.0))
    assert np.array_equal(v.data, before[0]) and np.array_equal(w.data, before[1])
    np.testing.assert_equal(optimizer.state_dict(), before[2])
    if not accelerated:
        y.backward()
        assert v.grad.tolist() == [-4.0, -4.0]


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("returned", [lambda v: v[:1], lambda v: v.sum(), lambda v: None])
def test_an_operator_that_returns_another_shape_is_named(returned):
    def wrong(v, t):
        return returned(v)

    @penalty(prox={"c": wrong}, weights=lambda g, out, c, *ws: [c * g * w for w in ws])
    def own(c, *weights):
        return c * sum(np.sum(w) for w in weights)

    w = leaf([2.0, 3.0])
    told = r"the proximal operator wrong returns shape \((1,)?\) for a weight of shape \(2,\)"
    with pytest.raises(ValueError, match=told):
        ProximalSGD([w], lr=0.1).step(lambda: own(w, c=1.0))
    with pytest.raises(ValueError, match=told):
        kkt_residual(own(w, c=1.0))
    assert w.tolist() == [2, 3]


def test_a_smooth_term_with_the_value_of_a_penalty_counts():
    """(w/2).sum() and |w|/2 are both 1 at w = 2: the step is -lr/2 by the gradient, -lr/2 by prox."""
    w = leaf([2.0])
    ProximalSGD([w], lr=0.1).step(lambda: np.sum(w * 0.5) + F.l1_penalty(w, c=0.5))
    np.testing.assert_allclose(w.data, [1.9], rtol=1e-12)

"""Exact expectations over every outcome of the noise, against closed forms and enumerations in
NumPy.
"""

import itertools
import math

import numpy as np
import pytest
from helpers import close, cpu_time, positive_leaf

import minigrad as mg
from minigrad import functional as F
from minigrad import nn, registry
from minigrad import noise as randomness
from minigrad.check import expectations
from minigrad.check.samples import samples, tensors
from minigrad.graph import nodes
from minigrad.noise import Bernoulli, Law, Noise, Normal

RATES = [0.1, 0.3, 0.5, 0.8]


def noises(root):
    return [n for n in nodes(root) if isinstance(n, Noise)]


def masks(p, *shapes):
    """(probability, a 0/1 mask of each shape) for every outcome of dropout at rate p."""
    sizes = [math.prod(shape) for shape in shapes]
    for bits in itertools.product([0.0, 1.0], repeat=sum(sizes)):
        parts = np.split(np.array(bits), np.cumsum(sizes)[:-1])
        yield (
            math.prod(1 - p if bit else p for bit in bits),
            *(part.reshape(shape) for part, shape in zip(parts, shapes)),
        )


def brute_force(loss_of, inputs, p, *shapes):
    """The expected value, and the expected gradients by `inputs`, of loss_of(*masks), a graph
    without noise.
    """
    value, gradients = 0.0, [0.0 for _ in inputs]
    for probability, *kept in masks(p, *shapes):
        loss = loss_of(*kept)
        value += probability * loss.item()
        gradients = [a + probability * g.data for a, g in zip(gradients, mg.grad(loss, inputs))]
    return value, gradients


# ------------------------------------------------------------------------ dropout on a linear model


@pytest.fixture
def regression():
    rng = np.random.default_rng(3)
    return (
        mg.Tensor(rng.standard_normal((3, 4)), True),
        mg.Tensor(rng.standard_normal(4), True),
        rng.standard_normal(3),
    )


@pytest.mark.parametrize("p", RATES)
def test_dropout_on_a_linear_model_is_ridge(regression, p):
    X, w, y = regression
    expected = mg.expectation(np.sum((y - F.dropout(X, p, training=True) @ w) ** 2))
    residual, size = X.data @ w.data - y, np.sum(X.data**2, axis=0)
    assert expected.outcomes == 2**12
    close(expected.value, np.sum(residual**2) + p / (1 - p) * np.sum(w.data**2 * size))
    close(expected.gradients[w], 2 * X.data.T @ residual + 2 * p / (1 - p) * w.data * size)
    close(
        expected.gradients[X], 2 * np.outer(residual, w.data) + 2 * p / (1 - p) * w.data**2 * X.data
    )


@pytest.mark.parametrize("p", RATES)
def test_classic_dropout_is_ridge_about_the_shrunken_model(regression, p):
    X, w, y = regression
    expected = mg.expectation(
        np.sum((y - F.dropout(X, p, training=True, scaling="classic") @ w) ** 2)
    )
    residual, size = (1 - p) * X.data @ w.data - y, np.sum(X.data**2, axis=0)
    close(expected.value, np.sum(residual**2) + p * (1 - p) * np.sum(w.data**2 * size))
    close(
        expected.gradients[w], 2 * (1 - p) * X.data.T @ residual + 2 * p * (1 - p) * w.data * size
    )


@pytest.mark.parametrize("p", RATES)
def test_an_enumeration_in_plain_numpy_agrees(p):
    X, w, y = positive_leaf(2, 4), positive_leaf(4, seed=1), np.array([0.5, 2.0])
    expected = mg.expectation(np.sum((y - F.dropout(X, p, training=True) @ w) ** 2))
    value, slope = 0.0, 0.0
    for probability, kept in masks(p, (2, 4)):
        rows = X.data * kept / (1 - p)
        residual = rows @ w.data - y
        value += probability * residual @ residual
        slope += probability * 2 * rows.T @ residual
    close(expected.value, value)
    close(expected.gradients[w], slope)


@pytest.mark.parametrize("p", RATES)
def test_a_mask_shared_by_the_columns(p):
    X, w, y = positive_leaf(3, 2), positive_leaf(2, seed=1), np.array([0.5, 2.0, 1.0])
    kept = Noise(Bernoulli(1 - p), (3, 1), bool)
    expected = mg.expectation(np.sum((y - (X * kept / (1 - p)) @ w) ** 2))
    fit = X.data @ w.data  # whole rows are dropped, so the variance is that of the fit
    assert expected.outcomes == 2**3
    close(expected.value, np.sum((y - fit) ** 2) + p / (1 - p) * np.sum(fit**2))
    close(expected.gradients[w], 2 * X.data.T @ (fit - y) + 2 * p / (1 - p) * X.data.T @ fit)


@pytest.mark.parametrize("p", RATES)
def test_dropped_weights(p):
    X, w, y = positive_leaf(3, 4), positive_leaf(4, seed=1), np.array([0.5, 2.0, 1.0])
    expected = mg.expectation(np.sum((y - X @ F.dropout(w, p, training=True)) ** 2))
    residual, size = X.data @ w.data - y, np.sum(X.data**2, axis=0)
    close(expected.value, np.sum(residual**2) + p / (1 - p) * np.sum(w.data**2 * size))
    close(expected.gradients[w], 2 * X.data.T @ residual + 2 * p / (1 - p) * w.data * size)


# ------------------------------------------------------------------------------------- other models


@pytest.mark.parametrize("p", RATES)
def test_two_dropouts_about_a_nonlinearity(p):
    x, w, v = positive_leaf(3), positive_leaf(3, 2, seed=1), positive_leaf(2, seed=2)

    def model(drop_x, drop_h):
        return (
            np.tanh(0.1 * drop_h(np.tanh(0.1 * drop_x(x) @ w)) @ v) ** 2
        )  # far from where tanh is flat and 1 - tanh^2 has no digits

    drop = [lambda a: F.dropout(a, p, training=True)] * 2
    loss = model(*drop)
    expected = mg.expectation(loss)
    value, slopes = brute_force(
        lambda m, n: model(lambda a: a * m / (1 - p), lambda a: a * n / (1 - p)),
        [x, w, v],
        p,
        (3,),
        (2,),
    )
    close(expected.value, value)
    for t, slope in zip([x, w, v], slopes):
        close(expected.gradients[t], slope)
    first, second = noises(loss)
    replayed = sum(
        q * mg.replay(loss, {first: m.astype(bool), second: n.astype(bool)}).item()
        for q, m, n in masks(p, (3,), (2,))
    )
    close(expected.value, replayed)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("p", [0.3, 0.8])
def test_a_classifier(p, reduction):
    x, w, b, labels = (
        positive_leaf(2, 3),
        positive_leaf(3, 3, seed=1),
        positive_leaf(3, seed=2),
        np.array([2, 0]),
    )
    expected = mg.expectation(
        F.cross_entropy(F.linear(F.dropout(x, p, training=True), w, b), labels, reduction)
    )
    value, slope = 0.0, 0.0
    for probability, kept in masks(p, (2, 3)):
        rows = x.data * kept / (1 - p)
        odds = np.exp(rows @ w.data.T + b.data)
        chances = odds / odds.sum(axis=1, keepdims=True)
        value -= probability * np.log(chances[[0, 1], labels]).sum()
        slope += probability * (chances - np.eye(3)[labels]).T @ rows
    n = 2 if reduction == "mean" else 1
    close(expected.value, value / n)
    close(expected.gradients[w], slope / n)


def test_a_module_used_twice_draws_two_masks():
    drop, x = nn.Dropout(0.3), positive_leaf(2)
    expected = mg.expectation(np.sum(drop(x) * drop(x) ** 2))
    assert expected.outcomes == 2**4
    close(
        expected.value, np.sum(x.data**3) / 0.7
    )  # E[m] E[m^2], where the same mask twice would give E[m^3]
    same = drop(x)
    close(mg.expectation(np.sum(same * same**2)).value, np.sum(x.data**3) / 0.7**2)


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_the_gradient_is_the_slope_of_the_expected_value(p):
    values = np.array([0.4, -0.8, 1.3])

    def expected(values):
        x = mg.Tensor(values, True)
        result = mg.expectation(
            np.sum(np.sin(F.dropout(x, p, training=True)) * x) ** 2 + F.l1_penalty(x, c=0.3)
        )
        return result.value.item(), result.gradients[x].data

    for direction in np.eye(3):
        coarse, fine = (
            (expected(values + h * direction)[0] - expected(values - h * direction)[0]) / (2 * h)
            for h in (2e-3, 1e-3)
        )
        close(expected(values)[1] @ direction, fine + (fine - coarse) / 3, 1e-9)


def test_a_loss_of_several_entries_has_an_expected_value_only():
    x = positive_leaf(2, 3)
    expected = mg.expectation(F.dropout(x, 0.3, training=True))
    assert expected.value.shape == (2, 3) and expected.gradients is None and expected.outcomes == 64
    close(expected.value, x.data)


# ----------------------------------------------------------------------------------- Gaussian noise


def moment(k, s):
    """E[e^k] of e ~ N(1, s^2)."""
    return sum(math.comb(k, j) * s**j * math.prod(range(1, j, 2)) for j in range(0, k + 1, 2))


@pytest.mark.parametrize("s", [0.3, 1.0])
@pytest.mark.parametrize("k", range(16))
def test_polynomials_of_gaussian_noise_up_to_degree_15_are_exact(k, s):
    x = positive_leaf()
    expected = mg.expectation((x * Noise(Normal(1, s), (), np.float64)) ** k)
    assert expected.outcomes == 8
    close(expected.value, x.data**k * moment(k, s))
    close(expected.gradients[x], k * x.data ** (k - 1) * moment(k, s))


def test_beyond_that_degree_the_order_is_too_low_by_a_known_term():
    x = mg.Tensor(1.0, True)
    loss = (x * Noise(Normal(1, 1), (), np.float64)) ** 16
    close(
        moment(16, 1) - mg.expectation(loss).value.item(), math.factorial(8), 1e-6
    )  # Gauss's remainder
    close(mg.expectation(loss, order=9).value, moment(16, 1))


def test_the_exponential_of_gaussian_noise():
    x = mg.Tensor(1.0, True, dtype=np.float64)
    expected = mg.expectation(np.exp(x * Noise(Normal(0.4, 0.5), (), np.float64)), order=12)
    close(expected.value, math.exp(0.4 + 0.5**2 / 2), 1e-10)
    close(expected.gradients[x], (0.4 + 0.5**2) * math.exp(0.4 + 0.5**2 / 2), 1e-10)


def test_gaussian_dropout_on_a_linear_model_is_ridge_too(regression):
    _, w, y = regression
    x = positive_leaf(4)
    expected = mg.expectation(
        (y[0] - (x * Noise(Normal(1, 0.6), (4,), np.float64)) @ w) ** 2, order=2
    )
    assert expected.outcomes == 2**4
    close(expected.value, (y[0] - x.data @ w.data) ** 2 + 0.36 * np.sum((w.data * x.data) ** 2))


def test_dropout_and_gaussian_noise_together():
    x = positive_leaf(2)
    expected = mg.expectation(
        np.sum(F.dropout(x, 0.3, training=True) * Noise(Normal(1, 0.5), (2,), np.float64)) ** 2,
        order=3,
    )
    assert expected.outcomes == 2**2 * 3**2
    close(expected.value, np.sum(x.data) ** 2 + (1.25 / 0.7 - 1) * np.sum(x.data**2))


# -------------------------------------------------------------------------------------------- edges


def test_a_rate_of_0_or_1_has_one_outcome_for_any_size():
    x = positive_leaf(1000)
    kept = mg.expectation(np.sum(F.dropout(x, 0, training=True) ** 2))
    dropped = mg.expectation(np.sum(F.dropout(x, 1, training=True) ** 2))
    assert kept.outcomes == dropped.outcomes == 1
    close(kept.value, np.sum(x.data**2))
    close(kept.gradients[x], 2 * x.data)
    assert dropped.value.item() == 0 and not dropped.gradients[x].data.any()


def test_a_single_node_of_quadrature_is_the_mean_and_not_what_was_drawn():
    x = positive_leaf()
    assert (
        mg.expectation(x * Noise(Normal(3, 1), (), np.float64), order=1).value.item()
        == 3 * x.item()
    )


def test_without_noise_it_is_the_value_and_its_gradient():
    x, w = positive_leaf(3), positive_leaf(3, seed=1)
    loss = np.sum(np.sin(x) * w)
    expected = mg.expectation(loss)
    assert expected.outcomes == 1 and expected.value.item() == loss.item()
    assert expected.gradients.keys() == {x, w}
    assert np.array_equal(expected.gradients[x].data, np.cos(x.data) * w.data)


def test_noise_that_the_loss_does_not_use_does_not_count():
    x = positive_leaf(3)
    F.dropout(x, 0.3, training=True)
    assert mg.expectation(np.sum(x)).outcomes == 1


def test_a_loss_that_is_a_leaf():
    x = positive_leaf()
    assert mg.expectation(x).gradients[x].item() == 1
    plain = mg.expectation(mg.Tensor(2.0))
    assert plain.value.item() == 2 and plain.gradients == {} and plain.outcomes == 1


def test_noise_of_no_entries():
    x = positive_leaf(0, 2)
    expected = mg.expectation(np.sum(F.dropout(x, 0.3, training=True)) + 1.0)
    assert (
        expected.value.item() == 1
        and expected.gradients[x].shape == (0, 2)
        and expected.outcomes == 1
    )


def test_a_leaf_that_no_gradient_reaches_gets_zeros():
    x, condition = positive_leaf(3), positive_leaf(3, seed=1)
    expected = mg.expectation(np.sum(np.where(condition, F.dropout(x, 0.3, training=True), 0)))
    assert expected.gradients[condition].data.tolist() == [0, 0, 0]
    close(expected.gradients[x], np.ones(3))


def test_noise_gets_no_gradient_even_if_it_requires_one():
    noise, w = Noise(Normal(0.5, 2.0), (2,), np.float64).requires_grad_(), positive_leaf(2)
    alone = mg.expectation(np.sum(np.square(noise)))
    assert alone.gradients == {}
    close(alone.value, 2 * (0.5**2 + 2.0**2))
    weighted = mg.expectation(np.sum(np.square(noise) * w))
    assert weighted.gradients.keys() == {w}
    close(weighted.gradients[w], np.full(2, 0.5**2 + 2.0**2))


def test_plain_data_gets_no_gradient():
    x, data = positive_leaf(3), mg.Tensor([1.0, 2.0, 3.0])
    assert mg.expectation(np.sum(F.dropout(x, 0.3, training=True) * data)).gradients.keys() == {x}


def test_a_float32_model_is_computed_in_float64():
    x, w = positive_leaf(4, dtype=np.float32), positive_leaf(4, seed=1, dtype=np.float32)
    expected = mg.expectation((3 - F.dropout(x, 0.3, training=True) @ w) ** 2)
    a, b = x.data.astype(np.float64), w.data.astype(np.float64)
    assert expected.value.dtype == expected.gradients[w].dtype == np.float64
    close(expected.value, (3 - a @ b) ** 2 + 3 / 7 * np.sum((a * b) ** 2))
    close(expected.gradients[w], 2 * a * (a @ b - 3) + 6 / 7 * a * a * b)


def test_inside_no_grad():
    x = positive_leaf(2, 3)
    loss = np.sum((F.dropout(x, 0.3, training=True) @ positive_leaf(3, seed=1)) ** 2)
    with mg.no_grad():
        inside = mg.expectation(loss)
    assert np.array_equal(inside.gradients[x].data, mg.expectation(loss).gradients[x].data)


# ----------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("shape", "distribution", "count"),
    [
        ((17,), Bernoulli(0.7), r"2\^17 outcomes"),
        ((1000, 1000), Bernoulli(0.7), r"2\^1,000,000 outcomes"),
        ((6,), Normal(), r"2\^18 outcomes"),
        ((20,), Normal(), r"2\^60 outcomes"),
    ],
    ids=lambda value: None,
)
def test_too_many_outcomes_are_refused_at_once(shape, distribution, count, monkeypatch):
    loss = np.sum(positive_leaf(*shape) * Noise(distribution, shape, np.float64))
    monkeypatch.setattr(loss.op, "forward", None)  # no outcome is computed
    with pytest.raises(
        ValueError,
        match=rf"expectation: at least {count}, but at most 65,536 .*smaller batch.*resample",
    ):
        mg.expectation(loss)


def test_up_to_65536_outcomes_are_enumerated(monkeypatch):
    assert expectations.MOST_OUTCOMES == 65_536
    monkeypatch.setattr(expectations, "MOST_OUTCOMES", 2**12)  # as many would take seconds
    x = positive_leaf(12)
    expected = mg.expectation(np.sum(F.dropout(x, 0.3, training=True)) ** 2)
    assert expected.outcomes == 4096
    close(expected.value, np.sum(x.data) ** 2 + 3 / 7 * np.sum(x.data**2))
    close(expected.gradients[x], 2 * np.sum(x.data) + 6 / 7 * x.data)
    with pytest.raises(ValueError, match=r"2\^13 outcomes, but at most 4,096"):
        mg.expectation(np.sum(F.dropout(positive_leaf(13), 0.3, training=True)) ** 2)


def test_noise_that_cannot_list_its_outcomes():
    class Uniform(Law):
        def draw(self, rng, shape, dtype):
            return rng.random(shape, dtype)

    with pytest.raises(
        TypeError,
        match=r"expectation: Uniform\(\) noise cannot list its outcomes\. Give its law a method outcomes\(order\)",
    ):
        mg.expectation(np.sum(positive_leaf(2) * Noise(Uniform(), (2,), np.float64)))


def test_a_freed_graph_is_refused_and_a_retained_one_is_not():
    x = positive_leaf(2)
    loss = np.sum(F.dropout(x, 0.3, training=True) ** 2)
    loss.backward(retain_graph=True)
    mg.expectation(loss)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"expectation: the graph was freed by backward\(\)"):
        mg.expectation(loss)


def test_a_freed_graph_of_value_0_is_refused_too():
    loss = np.sum(F.dropout(positive_leaf(2), 1, training=True))
    loss.backward()
    with pytest.raises(RuntimeError, match=r"expectation: the graph was freed by backward\(\)"):
        mg.expectation(loss)


# ----------------------------------------------------------------------------- what it leaves alone


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_graph_and_the_generators_stay_as_they_are(monkeypatch, interrupted):
    mg.manual_seed(0)
    x, rng = positive_leaf(4), np.random.default_rng(1)
    h = F.dropout(np.tanh(F.dropout(x, 0.3, training=True)), 0.4, training=True, rng=rng)
    loss = np.sum(h)
    loss.backward(retain_graph=True)
    generators = [*randomness.main.streams.values(), rng]
    states = [str(g.bit_generator.state) for g in generators], str(np.random.get_state())
    before = [(n, n.data, n.data.copy(), n.grad, n.args, n.op) for n in nodes(loss)]
    gradient = x.grad.data.copy()
    if interrupted:
        ran, dropout = [], registry.ops["dropout"].forward

        def interrupting(x, *settings):
            ran.append(x)
            if len(ran) == 5:
                raise KeyboardInterrupt
            return dropout(x, *settings)

        with monkeypatch.context() as patch:
            patch.setattr(registry.ops["dropout"], "forward", interrupting)
            with pytest.raises(KeyboardInterrupt):
                mg.expectation(loss)
    else:
        mg.expectation(loss)
    assert states == ([str(g.bit_generator.state) for g in generators], str(np.random.get_state()))
    assert len(nodes(loss)) == len(before)
    for n, data, values, grad, args, op in before:
        assert (
            n.data is data
            and np.array_equal(data, values)
            and n.grad is grad
            and n.args is args
            and n.op is op
        )
    assert np.array_equal(x.grad.data, gradient)


# -------------------------------------------------------------------------- wrong dropouts are seen

WRONG = {
    "no scale": (lambda x, m, p: x * m, lambda p: 1 - p),
    "scale 1/p": (lambda x, m, p: x * m / p, lambda p: 1 - p),
    "keep and drop swapped": (lambda x, m, p: x * m / (1 - p), lambda p: p),
    "scaled twice": (lambda x, m, p: x * m / (1 - p) ** 2, lambda p: 1 - p),
}


def is_unbiased(name, p):
    apply, keep = WRONG[name]
    x = positive_leaf(3)
    return np.allclose(
        mg.expectation(apply(x, Noise(Bernoulli(keep(p)), (3,), bool), p)).value.data,
        x.data,
        rtol=1e-12,
    )


@pytest.mark.parametrize("p", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_dropouts_are_seen(name, p):
    assert not is_unbiased(name, p)


def test_at_a_rate_of_a_half_two_of_the_wrong_dropouts_are_right():
    assert {name for name in WRONG if is_unbiased(name, 0.5)} == {
        "scale 1/p",
        "keep and drop swapped",
    }


# ---------------------------------------------------------------------------------- what runs again


@pytest.mark.parametrize("name", samples)
def test_every_op_runs_again_as_replay_runs_it(name):
    """On a sample of the op, with noise on all its inputs."""
    sample = samples[name][0]
    inputs = tensors(sample.inputs())
    noise = [Noise(Normal(1, 0.01), (), np.float64) for _ in inputs]
    out = sample.call(*[x * e for x, e in zip(inputs, noise)])
    loss = np.sum(out * np.cos(np.arange(out.size)).reshape(out.shape))
    expected, value = mg.expectation(loss, order=2), 0.0
    slopes = [np.zeros(x.shape) for x in inputs]
    for outcome in itertools.product([0.99, 1.01], repeat=len(inputs)):
        value += mg.replay(loss, dict(zip(noise, outcome))).item() / 2 ** len(inputs)
        again = sample.call(*[x * e for x, e in zip(inputs, outcome)])
        weights = np.cos(np.arange(out.size)).reshape(out.shape)
        for slope, g in zip(slopes, mg.grad(again, inputs, weights, allow_unused=True)):
            slope += 0 if g is None else g.data / 2 ** len(inputs)
    assert expected.outcomes == 2 ** len(inputs)
    close(expected.value, value, atol=1e-12)
    for x, slope in zip(inputs, slopes):
        close(expected.gradients[x], slope, atol=1e-12)


def test_a_mask_made_by_a_comparison_is_made_again():
    x = positive_leaf(4)

    def expected(f):
        return mg.expectation(np.sum(f(F.dropout(x, 0.3, training=True) - 0.9)))

    by_hand, relu = expected(lambda h: h * (h > 0)), expected(F.relu)
    close(by_hand.value, relu.value)
    close(by_hand.gradients[x], relu.gradients[x])


def test_only_nodes_that_depend_on_noise_run_again(monkeypatch):
    x = positive_leaf(3)
    loss = np.sum(F.dropout(np.exp(np.sin(x)), 0.3, training=True)[:] * np.cos(x))
    ran = []
    for op in {node.op for node in nodes(loss)} - {None}:
        monkeypatch.setattr(
            op, "forward", lambda *args, f=op.forward, name=op.name: (ran.append(name), f(*args))[1]
        )
    mg.expectation(loss)
    assert ran.count("sin") == ran.count("exp") == ran.count("cos") == 1
    assert ran.count("dropout") == ran.count("getitem") == 1 + 8  # once for the copy


def test_an_outcome_costs_little_more_than_a_replay_and_a_gradient():
    def loss():
        h = F.dropout(positive_leaf(9), 0.3, training=True)
        for _ in range(5):
            h = np.tanh(h * 1.5)
        return np.sum(h)

    def replays():
        root = loss()
        return lambda: [mg.replay(root) for _ in range(512)]

    def expectation():
        root = loss()
        return lambda: mg.expectation(root)

    assert cpu_time(expectation) < 20 * cpu_time(
        replays
    )  # it computes gradients too: about 5 times


@pytest.mark.parametrize("dtype", ["float32", np.float16])
def test_a_cast_in_the_graph_costs_no_digits(dtype):
    x = mg.Tensor(np.array([0.1, 0.7]), True)
    dropped = mg.functional.dropout(x, 0.3, training=True)
    found = mg.expectation(np.sum(dropped.astype(dtype) * np.array([1.1, 0.3])))
    assert found.value.data == pytest.approx(0.1 * 1.1 + 0.7 * 0.3, rel=1e-14)
    assert found.gradients[x].data == pytest.approx(np.array([1.1, 0.3]), rel=1e-14)

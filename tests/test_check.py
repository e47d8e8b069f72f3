"""The gradient checks, checked: planted wrong rules must be found and named, right ones must pass, nothing may pass untested."""

import warnings
from itertools import cycle

import numpy as np
import pytest

import minigrad as mg
from minigrad import engine, nn
from minigrad import functional as F
from minigrad.check import GradcheckError, slope
from minigrad.engine import data_of, op
from minigrad.graph import nodes


@pytest.fixture(autouse=True)
def own_registry():
    """Ops that a test defines are gone after it."""
    before, functions = dict(engine.ops), dict(engine.numpy_functions)
    yield
    for registry, saved in ((engine.ops, before), (engine.numpy_functions, functions)):
        registry.clear()
        registry.update(saved)


@pytest.fixture
def break_rule():
    """break_rule("tanh", rule) replaces a rule of a real op for the time of the test."""
    undo = []

    def replace(name, rule, i=0):
        rules = engine.ops[name].rules
        undo.append((rules, i, rules[i]))
        rules[i] = rule

    yield replace
    for rules, i, rule in reversed(undo):
        rules[i] = rule


def leaf(*shape, seed=0, dtype=np.float64):
    return mg.Tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), True, dtype=dtype)


def rows_of(report, verdict):
    return [(row.name, row.op) for row in report.rows if row.verdict == verdict]


def all_random_states():
    """Everything random that a check could move, in a form that compares."""
    return {name: str(rng.bit_generator.state) for name, rng in engine.state.streams.items()}, str(np.random.get_state())


# ------------------------------------------------------------------------------------------- slope

SMOOTH = {  # name: (f, its derivative, points)
    "exp": (np.exp, np.exp, (-3.0, 0.0, 0.7, 5.0)),
    "sin": (np.sin, np.cos, (0.0, 1.0, 3.0, 100.0)),
    "1/x": (lambda x: 1 / x, lambda x: -1 / x**2, (0.2, 1.0, -7.0)),
    "tanh(1000 x)": (lambda x: np.tanh(1e3 * x), lambda x: 1e3 / np.cosh(1e3 * x) ** 2, (0.0, 5e-4, -1e-3)),
    "x^3 - 2 x": (lambda x: x**3 - 2 * x, lambda x: 3 * x**2 - 2, (-2.0, 0.0, 0.5, 10.0)),
    "x^7": (lambda x: x**7, lambda x: 7 * x**6, (-1.0, 0.5, 2.0)),
    "5 x + 3": (lambda x: 5 * x + 3, lambda x: 5.0, (-1.0, 0.0, 4.0)),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), (0.05, 1.0, 9.0)),
}
POINTS = [pytest.param(f, d, x, id=f"{name} at {x:g}") for name, (f, d, points) in SMOOTH.items() for x in points]


@pytest.mark.parametrize("f, derivative, x", POINTS)
def test_slope_is_exact_to_1e_10(f, derivative, x):
    found = slope(lambda t: f(x + t))
    assert abs(found.value - derivative(x)) <= 1e-10 * abs(derivative(x))


@pytest.mark.parametrize("f, derivative, x", POINTS)
def test_the_error_of_a_slope_is_honest_and_small(f, derivative, x):
    found = slope(lambda t: f(x + t))
    assert abs(found.value - derivative(x)) <= 5 * found.error  # verdicts allow 5 errors
    assert found.error <= 1e-6 * max(1.0, abs(derivative(x)))


@pytest.mark.parametrize("f, derivative, x", POINTS)
def test_what_is_smooth_is_no_kink_however_steep(f, derivative, x):
    assert not slope(lambda t: f(x + t)).kink


def test_the_error_of_a_slope_grows_with_the_noise_of_f():
    rng = np.random.default_rng(0)
    found = slope(lambda t: np.sin(1 + t) + 1e-7 * rng.standard_normal())
    assert 1e-7 < abs(found.value - np.cos(1)) <= 5 * found.error


def test_the_error_of_a_slope_knows_the_rounding_of_large_values():
    found = slope(lambda t: 1e8 + np.sin(1 + t))
    assert abs(found.value - np.cos(1)) <= 5 * found.error < 1
    assert not found.kink


@pytest.mark.parametrize(
    "f, left, right",
    [
        pytest.param(abs, -1, 1, id="|t|"),
        pytest.param(lambda t: max(t, 0.0), 0, 1, id="relu"),
        pytest.param(lambda t: min(2 + t, 2.0), 1, 0, id="tie of a minimum"),
        pytest.param(lambda t: max(1 + t, 1 - 2 * t), -2, 1, id="tie of a maximum"),
        pytest.param(lambda t: max(t, 0.01 * t), 0.01, 1, id="leaky relu"),
        pytest.param(lambda t: np.exp(abs(t)), -1, 1, id="exp(|t|)"),
        pytest.param(lambda t: 1e4 * abs(t), -1e4, 1e4, id="large slopes"),
        pytest.param(lambda t: 1e-3 * abs(t), -1e-3, 1e-3, id="small slopes"),
    ],
)
def test_a_kink_is_seen_with_its_two_slopes(f, left, right):
    found = slope(f)
    assert found.kink
    np.testing.assert_allclose([found.left, found.right], [left, right], rtol=1e-4, atol=1e-4 * abs(right - left))


def test_a_kink_nearby_is_no_kink_here():
    found = slope(lambda t: abs(t - 1e-3) + t * t)
    assert not found.kink and abs(found.value + 1) < 1e-9


def test_slope_works_entry_by_entry():
    found = slope(lambda t: np.array([np.exp(t), abs(t), 3 * t]))
    np.testing.assert_allclose(found.value, [1, 0, 3], atol=1e-10)
    assert found.kink.tolist() == [False, True, False]


# --------------------------------------------------------------------------- gradcheck: what is right

RIGHT = {
    "sum": (lambda x: x.sum(), [(3, 2)]),
    "product": (lambda x, y: x * y, [(3, 1), (4,)]),
    "matmul": (lambda x, y: x @ y, [(2, 3), (3, 4)]),
    "chain": (lambda x: np.exp(np.sin(x) / x), [(5,)]),
    "softmax": (lambda x: F.softmax(x), [(3, 4)]),
    "diamond": (lambda x: (lambda y: y * y + np.tanh(y) * x)(x * x), [(3,)]),
    "0-d": (lambda x, y: x**y, [(), ()]),
    "several outputs": (lambda x, y: (x * y, np.sum(x), np.log(y)), [(2, 2), (2, 2)]),
    "a list of outputs": (lambda x: [x * x, x[0]], [(3,)]),
    "unused input": (lambda x, y: x * x, [(2,), (2,)]),
    "one empty input": (lambda x, y: (1 + np.sum(x)) * y * y, [(0, 3), (2,)]),
    "empty": (lambda x: x * x, [(0, 3)]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_gradcheck_is_true_on_right_functions(name):
    func, shapes = RIGHT[name]
    inputs = tuple(leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert mg.gradcheck(func, inputs) is True


@pytest.mark.parametrize("name", RIGHT)
def test_gradgradcheck_is_true_on_right_functions(name):
    func, shapes = RIGHT[name]
    inputs = tuple(leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert mg.gradgradcheck(func, inputs) is True


def test_a_single_input_needs_no_tuple():
    assert mg.gradcheck(np.exp, leaf(3)) is True


def test_inputs_that_need_no_gradient_and_are_no_tensors_pass_through():
    assert mg.gradcheck(lambda x, c, n, s: (x * c) ** n + len(s), (leaf(3), mg.Tensor(np.arange(3.0)), 2, "s")) is True


def test_no_input_with_a_gradient_is_an_error():
    with pytest.raises(ValueError, match="requires_grad=True"):
        mg.gradcheck(np.exp, mg.Tensor([1.0]))


def test_float32_inputs_are_copied_to_float64_with_a_warning():
    x = leaf(3, dtype=np.float32)
    seen = []
    with pytest.warns(UserWarning, match=r"inputs \[0\] were copied to float64"):
        assert mg.gradcheck(lambda x: (seen.append(x.dtype), np.exp(np.sin(x)))[1], x)
    assert set(seen) == {np.dtype(np.float64)} and x.dtype == np.float32


def test_float64_inputs_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mg.gradcheck(np.exp, leaf(3))


# --------------------------------------------------------------------------- gradcheck: planted bugs


def cube(x):
    return x * x * x


def product(x, y):
    return x * y


def affine(x, y):  # y broadcasts over the rows of x
    return x * x + y


def matrices(x, y):
    return x @ y


def one_off(x):
    wrong = np.ones_like(data_of(x))
    wrong.flat[-1] = 1.01
    return wrong


right_x = {"x": lambda g, out, x, y: g * y}
right_affine = {"x": lambda g, out, x, y: 2 * g * x}

PLANTED = {  # name: (forward, shapes, rules, (input, an entry) that gradcheck must name)
    "scaled by 1.001": (cube, [(3, 2)], {"x": lambda g, out, x: 1.001 * 3 * g * x * x}, (0, (0, 0))),
    "scaled by 1.00001": (cube, [(3, 2)], {"x": lambda g, out, x: 1.00001 * 3 * g * x * x}, (0, (0, 0))),
    "zero": (cube, [(3, 2)], {"x": lambda g, out, x: 0 * g}, (0, (0, 0))),
    "sign flipped": (cube, [(3, 2)], {"x": lambda g, out, x: -3 * g * x * x}, (0, (0, 0))),
    "factor lost": (cube, [(3, 2)], {"x": lambda g, out, x: g * x * x}, (0, (0, 0))),
    "ignores g": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * x * x}, (0, (0, 0))),
    "squares g": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * g * g * x * x}, (0, (0, 0))),
    "a constant added": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * g * x * x + 1e-4}, (0, (0, 0))),
    "nan": (cube, [(3, 2)], {"x": lambda g, out, x: g * np.nan}, (0, (0, 0))),
    "one entry wrong": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * g * x * x * one_off(x)}, (0, (2, 1))),
    "entries shifted by one": (cube, [(3, 2)], {"x": lambda g, out, x: np.roll(3 * g * x * x, 1)}, (0, (0, 0))),
    "second operand": (product, [(3, 2), (3, 2)], {**right_x, "y": lambda g, out, x, y: g * y}, (1, (0, 0))),
    "second operand zero": (product, [(3, 2), (3, 2)], {**right_x, "y": lambda g, out, x, y: 0 * g}, (1, (0, 0))),
    "broadcast axis not summed": (affine, [(3, 2), (2,)], {**right_affine, "y": lambda g, out, x, y: g[0]}, (1, (0,))),
    "broadcast axis averaged": (affine, [(3, 2), (2,)], {**right_affine, "y": lambda g, out, x, y: np.mean(g, axis=0)}, (1, (0,))),
    "wrong axis summed": (affine, [(2, 2), (2,)], {**right_affine, "y": lambda g, out, x, y: np.sum(g, axis=1)}, (1, (0,))),
    "transposed": (matrices, [(3, 3), (3, 3)], {"x": lambda g, out, x, y: g @ y, "y": lambda g, out, x, y: x.T @ g}, (0, (0, 0))),
    "result transposed": (matrices, [(3, 3), (3, 3)], {"x": lambda g, out, x, y: g @ y.T, "y": lambda g, out, x, y: (x.T @ g).T}, (1, (0, 1))),
}


@pytest.fixture(params=PLANTED)
def planted(request):
    """(op with a wrong rule, inputs, (input, entry))."""
    forward, shapes, rules, where = PLANTED[request.param]
    return op(forward, **rules), tuple(leaf(*shape, seed=i) for i, shape in enumerate(shapes)), where


def test_gradcheck_names_input_and_entry_of_a_wrong_rule(planted):
    wrong, inputs, (i, entry) = planted
    with pytest.raises(GradcheckError) as error:
        mg.gradcheck(wrong, inputs)
    assert str(error.value).startswith(f"FAIL: input {i}, entry {entry}: analytic ")


def test_gradcheck_finds_a_wrong_rule_inside_a_chain(planted):
    wrong, inputs, _ = planted
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(lambda *inputs: np.sin(wrong(*(np.tanh(x) for x in inputs))), inputs)


def test_gradcheck_can_return_false_instead(planted):
    wrong, inputs, _ = planted
    assert mg.gradcheck(wrong, inputs, raise_exception=False) is False


def test_check_graph_names_the_one_wrong_node(planted):
    wrong, inputs, _ = planted
    loss = np.sum(np.sin(wrong(*(np.tanh(x) for x in inputs))))
    report = mg.check_graph(loss)
    nodes_failed = [row.op for row in report.rows if row.op != "leaf" and row.verdict == "FAIL"]
    assert not report
    assert report.first_wrong.op == wrong.op.name
    assert nodes_failed == [wrong.op.name]
    assert report.first_wrong.name in report.verdict() and wrong.op.name in report.verdict()


@pytest.mark.parametrize("name", ["cube", "product", "affine", "matrices"])
def test_the_same_ops_with_right_rules_pass(name):
    forward, shapes, rules = {
        "cube": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * g * x * x}),
        "product": (product, [(3, 2), (3, 2)], {**right_x, "y": lambda g, out, x, y: g * x}),
        "affine": (affine, [(3, 2), (2,)], {**right_affine, "y": lambda g, out, x, y: g}),
        "matrices": (matrices, [(3, 3), (3, 3)], {"x": lambda g, out, x, y: g @ y.T, "y": lambda g, out, x, y: x.T @ g}),
    }[name]
    right, inputs = op(forward, **rules), tuple(leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert mg.gradcheck(right, inputs) and mg.gradgradcheck(right, inputs)
    assert mg.check_graph(np.sum(np.sin(right(*(np.tanh(x) for x in inputs)))))


def test_a_rule_of_the_wrong_shape_is_an_error_that_names_the_op():
    turned = op(cube, x=lambda g, out, x: (3 * g * x * x).T)
    with pytest.raises(ValueError, match=r"rule of cube for x returned shape \(2, 3\); x has shape \(3, 2\)"):
        mg.gradcheck(turned, leaf(3, 2))
    with pytest.raises(ValueError, match=r"rule of cube for x returned shape \(2, 3\); x has shape \(3, 2\)"):
        mg.check_graph(np.sum(turned(leaf(3, 2))))


def test_a_rule_that_changes_g_in_place_is_found():
    @op(x=lambda g, out, x: np.multiply(g, 3 * x * x, out=g))
    def overwriting(x):
        return x * x * x

    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(overwriting, leaf(3))
    assert mg.check_graph(np.sum(np.sin(overwriting(leaf(3))))).first_wrong.op == "overwriting"


def test_a_softmax_rule_of_zero_is_found_although_its_outputs_sum_to_one():
    @op(x=lambda g, out, x: 0 * g)
    def broken_softmax(x):
        return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)

    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(broken_softmax, leaf(2, 3))
    assert mg.check_graph(np.sum(broken_softmax(leaf(2, 3)))).first_wrong.op == "broken_softmax"


def test_a_small_derivative_is_not_excused_by_an_absolute_tolerance():
    tiny = op(lambda x: 1e-6 * x * x, x=lambda g, out, x: 0 * g)
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(tiny, leaf(3))


def test_what_rounding_hides_does_not_pass():
    wrong = op(cube, x=lambda g, out, x: g * x)
    with pytest.raises(GradcheckError, match="FAIL"):  # beside 1e13 the numeric derivative says nothing
        mg.gradcheck(lambda x: np.sum(wrong(x)) + 1e13, leaf(3))


# --------------------------------------------------------------------- gradcheck: what cannot be checked


OWN_RNG, SIZES = np.random.default_rng(0), cycle([1, 2])


@pytest.mark.parametrize(
    "noisy",
    [
        pytest.param(lambda x: x * np.random.standard_normal(), id="np.random"),
        pytest.param(lambda x: x * OWN_RNG.random(x.shape), id="a generator of its own"),
        pytest.param(lambda x: x[: next(SIZES)], id="a shape that varies"),
    ],
)
def test_randomness_of_its_own_is_stochastic(noisy):
    saved = np.random.get_state()
    try:
        with pytest.raises(GradcheckError, match="STOCHASTIC.*rng"):
            mg.gradcheck(noisy, leaf(3))
    finally:
        np.random.set_state(saved)


@pytest.mark.parametrize(
    "silent",
    [
        pytest.param(lambda x: F.dropout(x, 1.0, training=True), id="dropout of everything"),
        pytest.param(lambda x: x * 0, id="times zero"),
        pytest.param(lambda x: F.relu(-x), id="dead relu"),
        pytest.param(lambda x: np.sign(x) + 0 * x, id="a step"),
        pytest.param(lambda x: mg.Tensor(np.ones(3)), id="does not use x"),
    ],
)
def test_a_check_that_tests_nothing_does_not_pass(silent):
    with pytest.raises(GradcheckError, match="VACUOUS"):
        mg.gradcheck(silent, leaf(3))
    assert mg.gradcheck(silent, leaf(3), raise_exception=False) is False


@pytest.mark.parametrize("func", [lambda x: x.data * 2.0, lambda x: 2.0], ids=["array", "number"])
def test_a_function_that_returns_no_tensor_is_an_error_that_says_so(func):
    with pytest.raises((GradcheckError, TypeError), match="Tensor"):
        mg.gradcheck(func, leaf(3))


@pytest.mark.parametrize(
    "func",
    [
        pytest.param(lambda x: x * x.detach(), id="detach"),
        pytest.param(lambda x: x * x.data, id="data"),
        pytest.param(lambda x: x * mg.Tensor(np.exp(x.numpy())), id="numpy"),
        pytest.param(lambda x: np.sum(x) * x.data.sum(), id="a detached factor"),
        pytest.param(lambda x: x.detach() * 2, id="all of it"),
        pytest.param(lambda x: (x * x, x.detach() * 2), id="one output of two"),
    ],
)
def test_a_detached_path_fails(func):
    with pytest.raises(GradcheckError, match="FAIL: input 0, entry"):
        mg.gradcheck(func, leaf(3))


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(lambda x: np.multiply(x.data, 1.5, out=x.data), id="again at each call"),
        pytest.param(lambda x: np.minimum(x.data, 1.0, out=x.data), id="only the first time"),
        pytest.param(lambda x: np.put(x.data, -1, 2.0), id="one entry"),
    ],
)
def test_a_function_that_changes_its_input_is_reported(mutate):
    x = mg.Tensor(np.array([0.7, 1.3, 1.4]), True)
    before = x.data.copy()
    with pytest.raises(GradcheckError):
        mg.gradcheck(lambda x: (mutate(x), x * x)[1], x)
    assert np.array_equal(x.data, before)


def test_a_function_that_changes_an_input_without_gradient_is_reported():
    def func(x, c):
        c.data[...] = 2
        return x * c

    c = mg.Tensor(np.ones(3))
    with pytest.raises(GradcheckError):
        mg.gradcheck(func, (leaf(3), c))
    assert c.tolist() == [1, 1, 1]


# ------------------------------------------------------------------------------ gradcheck: kinks

KINKS = {  # name: (function, point): the rule's value is a valid subgradient
    "relu at 0": (F.relu, [0.0, 1.0, -1.0]),
    "abs at 0": (abs, [0.0, 2.0]),
    "maximum of a tie": (lambda x: np.maximum(x, 0.5), [0.5, 1.0]),
    "max with a tie": (lambda x: x.max(), [3.0, 3.0, 1.0]),
    "clip at its bounds": (lambda x: np.clip(x, 0, 1), [0.0, 1.0, 0.3]),
    "leaky relu at 0": (F.leaky_relu, [0.0, 1.0]),
    "l1 penalty at 0": (lambda x: F.l1_penalty(x, c=0.3), [0.0, 0.5]),
    "all entries at the kink": (F.relu, [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_valid_subgradient_at_a_kink_passes(name):
    func, point = KINKS[name]
    assert mg.gradcheck(func, mg.Tensor(np.array(point), True)) is True


def test_a_wrong_subgradient_at_a_kink_fails():
    wrong = op(lambda x: np.abs(x), x=lambda g, out, x: g * np.where(x == 0, 2.0, np.sign(x)))
    assert mg.gradcheck(wrong, mg.Tensor(np.array([0.5, -1.0]), True))
    with pytest.raises(GradcheckError, match=r"FAIL: input 0, entry \(1,\)"):
        mg.gradcheck(wrong, mg.Tensor(np.array([0.5, 0.0]), True))


def test_a_kink_does_not_hide_a_wrong_entry_elsewhere():
    wrong = op(lambda x: np.abs(x), x=lambda g, out, x: 1.01 * g * np.sign(x))
    with pytest.raises(GradcheckError, match=r"entry \(1,\)"):
        mg.gradcheck(wrong, mg.Tensor(np.array([0.0, 0.7]), True))


# ------------------------------------------------------------------- gradcheck: leaves all as it was


def active(x):
    return F.dropout(np.sin(x), 0.4, training=True) * x


def test_active_dropout_passes_without_a_seed():
    assert mg.gradcheck(active, leaf(60)) and mg.gradgradcheck(active, leaf(60))  # all dropped: once in 10^23 runs


def test_active_dropout_with_a_generator_passes():
    rng = np.random.default_rng(5)
    before = str(rng.bit_generator.state)
    assert mg.gradcheck(lambda x: F.dropout(x, 0.4, True, rng=rng) * x, leaf(60))
    assert str(rng.bit_generator.state) == before


def test_a_dropout_with_a_wrong_scale_in_its_rule_fails(break_rule):
    break_rule("dropout", lambda g, out, x, noise, p, scaling: g * noise)
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(active, leaf(60))


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
@pytest.mark.parametrize("fails", [False, True])
def test_generators_are_bit_identical_afterwards(check, fails):
    wrong = op(cube, x=lambda g, out, x: 2.0 * g * np.sin(x))
    mg.manual_seed(3)
    active(leaf(2))  # the stream exists
    before = all_random_states()
    passed = check(lambda x: active(wrong(x) if fails else x), leaf(4), raise_exception=False)
    assert passed is not fails
    assert all_random_states() == before


def test_generators_are_bit_identical_after_an_error_in_func():
    mg.manual_seed(3)
    active(leaf(2))
    before = all_random_states()

    def func(x):
        active(x)
        raise KeyError("in func")

    with pytest.raises(KeyError, match="in func"):
        mg.gradcheck(func, leaf(4))
    assert all_random_states() == before


@pytest.mark.parametrize("fails", [False, True])
def test_inputs_and_their_grads_are_untouched(fails):
    wrong = op(cube, x=lambda g, out, x: g)
    x, y = leaf(3), leaf(3, seed=1)
    (x * y).sum().backward()
    before = [(t, t.data, t.data.copy(), t.grad, t.grad.data.copy()) for t in (x, y)]
    mg.gradcheck(lambda x, y: (wrong(x) if fails else x) * y, (x, y), raise_exception=False)
    for t, data, values, grad, gradient in before:
        assert t.data is data and np.array_equal(data, values)
        assert t.grad is grad and np.array_equal(grad.data, gradient)


def test_a_leaf_in_the_closure_keeps_its_grad_and_data():
    w = leaf(3, seed=2)
    before = w.data.copy()
    assert mg.gradcheck(lambda x: x * w * w, leaf(3))
    assert w.grad is None and np.array_equal(w.data, before)


# --------------------------------------------------------------------------------- gradgradcheck


@pytest.mark.parametrize(
    "linear",
    [
        pytest.param(lambda x: 3 * x, id="3 x"),
        pytest.param(lambda x: x.sum(axis=0), id="sum"),
        pytest.param(lambda x: np.ones((2, 3)) @ x, id="matmul by a constant"),
        pytest.param(lambda x: F.relu(x), id="relu"),
        pytest.param(lambda x: F.dropout(x, 0.5, training=True), id="dropout"),
    ],
)
def test_gradgradcheck_passes_linear_functions(linear):
    assert mg.gradgradcheck(linear, leaf(3, 2)) is True


def test_gradgradcheck_of_dropout_inside_a_nonlinear_function():
    assert mg.gradgradcheck(lambda x: np.tanh(F.dropout(x, 0.5, training=True)) ** 2, leaf(6))


DETACHED = {  # right first derivatives of x^3 that lose part or all of the second
    "part of x": lambda g, out, x: 3 * g * x * data_of(x),
    "all of x": lambda g, out, x: 3 * g * data_of(x) * data_of(x),
    "out": lambda g, out, x: 3 * g * data_of(out) / x,
    "g": lambda g, out, x: 3 * data_of(g) * x * x,
}


@pytest.mark.parametrize("what", DETACHED)
def test_a_rule_that_detaches_passes_gradcheck_and_fails_gradgradcheck(what):
    wrong = op(cube, x=DETACHED[what])
    assert mg.gradcheck(wrong, leaf(3))
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(wrong, leaf(3))


@pytest.mark.parametrize("what", DETACHED)
def test_gradgradcheck_finds_a_detaching_rule_inside_a_chain(what):
    wrong = op(cube, x=DETACHED[what])
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(lambda x: np.sin(wrong(np.tanh(x))), leaf(3))
    assert mg.gradgradcheck(lambda x: np.sin(wrong(np.tanh(x))), leaf(3), raise_exception=False) is False


def test_gradgradcheck_finds_a_wrong_rule_in_the_backward_graph(break_rule):
    break_rule("cos", lambda g, out, x: g * np.sin(x))  # the sign is lost; sin's own rule uses cos
    assert mg.gradcheck(np.sin, leaf(3))
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(np.sin, leaf(3))


# ----------------------------------------------------------------------------- check_graph: whole models


def small_model():
    mg.manual_seed(0)
    return nn.Sequential(
        first=nn.Linear(5, 8, penalty=nn.L2(1e-2)),
        act=nn.Tanh(),
        drop=nn.Dropout(0.5),
        last=nn.Linear(8, 3, penalty=nn.L1(1e-2)),
    )


def loss_of(model, n=7):
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((n, 5)).astype(np.float32), rng.integers(0, 3, n)
    return F.cross_entropy(model(mg.Tensor(x)), mg.Tensor(target)) + model.penalty()


def test_check_graph_passes_a_float32_model_with_dropout_and_penalties():
    model = small_model()
    loss = loss_of(model)
    report = mg.check_graph(loss)
    assert loss.dtype == np.float32
    assert report and report.first_wrong is None
    assert {row.verdict for row in report.rows} == {"OK"}
    assert max(row.error for row in report.rows) < 1e-6
    assert {"linear", "tanh", "dropout", "l1_penalty", "l2_penalty", "leaf"} <= {row.op for row in report.rows}


def test_check_graph_has_a_row_for_each_recorded_node_and_leaf():
    loss = loss_of(small_model())
    rows = mg.check_graph(loss).rows
    assert sorted(row.order for row in rows) == sorted(n.order for n in nodes(loss) if n.requires_grad)
    names = [row.name for row in rows if row.op == "leaf"]
    assert names == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert {row.op: row.module for row in rows}["dropout"] == "drop"


def test_check_graph_prints_as_a_table():
    lines = str(mg.check_graph(loss_of(small_model()))).splitlines()
    assert lines[0].split() == ["node", "op", "module", "shape", "error", "verdict"]
    assert lines[-1].startswith("gradient check passed: ") and "4 leaves" in lines[-1]
    (drop,) = [line for line in lines if " dropout " in line]
    assert drop.split()[2] == "drop" and "(7, 8)" in drop and drop.split()[-1] == "OK"


@pytest.mark.parametrize(
    "name, rule",
    [
        ("tanh", lambda g, out, x: g - 0.99 * g * out * out),
        ("dropout", lambda g, out, x, noise, p, scaling: g * noise),
        ("l2_penalty", lambda g, out, i, c, *weights: c * g * weights[i]),
        ("l1_penalty", lambda g, out, i, c, *weights: c * np.sign(weights[i])),
    ],
)
def test_check_graph_names_the_real_op_that_was_broken(break_rule, name, rule):
    i = len(engine.ops[name].names) - 1 if engine.ops[name].variadic else 0
    loss = loss_of(small_model())
    assert mg.check_graph(loss)
    break_rule(name, rule, i)
    report = mg.check_graph(loss)
    assert not report and report.first_wrong.op == name
    assert [row.op for row in report.rows if row.verdict == "FAIL"] == [name]
    assert f"({name})" in str(report).splitlines()[-1] and "FAILED" in str(report).splitlines()[-1]


def test_leaves_behind_a_wrong_node_are_affected_and_others_are_not(break_rule):
    break_rule("tanh", lambda g, out, x: 1.1 * (g - g * out * out))
    report = mg.check_graph(loss_of(small_model()))
    leaves = {row.name: row.verdict for row in report.rows if row.op == "leaf"}
    assert leaves == {"first.weight": "AFFECTED", "first.bias": "AFFECTED", "last.weight": "OK", "last.bias": "OK"}


def test_the_first_of_two_wrong_nodes_is_named(break_rule):
    break_rule("tanh", lambda g, out, x: g)
    break_rule("sin", lambda g, out, x: g)
    report = mg.check_graph(np.sum(np.tanh(np.exp(np.sin(leaf(3))))))
    assert report.first_wrong.op == "sin"
    assert [op for _, op in rows_of(report, "FAIL")] == ["sin", "tanh"]


def test_a_bug_of_the_engine_shows_in_the_leaf_when_every_rule_is_right(monkeypatch):
    right = engine._unbroadcast
    monkeypatch.setattr(engine, "_unbroadcast", lambda *args: right(*args) / 2)
    report = mg.check_graph(np.sum(np.sin(leaf(4, 3) + leaf(3, seed=1))))
    assert not report and report.first_wrong.op == "leaf"
    assert [(row.op, row.shape) for row in report.rows if row.verdict == "FAIL"] == [("leaf", (3,))]


# ---------------------------------------------------------------------- check_graph: the corner cases


def test_check_graph_of_a_loss_that_is_not_a_scalar():
    assert mg.check_graph(np.sin(leaf(3, 2)) * leaf(2, seed=1))


def test_check_graph_with_shared_nodes_and_a_leaf_used_twice_in_one_op():
    x = leaf(4)
    y = x * x
    assert mg.check_graph(np.sum(y * y + np.exp(y) * x))


def test_check_graph_with_constants_indices_and_integers():
    x = leaf(4, 3)
    picked = x[np.array([0, 0, 2]), mg.Tensor(np.array([1, 1, 0]))]
    assert mg.check_graph(np.sum(picked * np.arange(3) ** 2 + np.where(picked > 1, picked, 2 * picked)))


def test_check_graph_passes_a_cast_to_float32():
    assert mg.check_graph(np.sum(np.sin(leaf(5).astype(np.float32))))


def test_check_graph_at_a_kink_of_one_entry():
    report = mg.check_graph(F.relu(mg.Tensor(0.0, True)) * 2)
    assert report and ("n1", "relu") in rows_of(report, "KINK")


@pytest.mark.parametrize(
    "func",
    [
        pytest.param(F.relu, id="relu"),
        pytest.param(lambda x: np.clip(x, 0, 1), id="clip"),
        pytest.param(lambda x: F.l1_penalty(x, c=0.1), id="l1"),
        pytest.param(lambda x: np.maximum(x, 0), id="maximum"),
    ],
)
def test_check_graph_with_many_entries_at_a_kink(func):
    x = np.random.default_rng(0).standard_normal(12)
    x[::2] = 0
    report = mg.check_graph(np.sum(func(mg.Tensor(x, True))))
    assert report, str(report)
    assert rows_of(report, "KINK")


def test_check_graph_with_relu_after_dropout():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))
    report = mg.check_graph(np.mean(model(mg.Tensor(np.random.default_rng(0).standard_normal((5, 4))))))
    assert report, str(report)


def test_check_graph_finds_a_wrong_subgradient(break_rule):
    break_rule("absolute", lambda g, out, x: g * np.where(x == 0, 2.0, np.sign(x)))
    assert mg.check_graph(abs(mg.Tensor(0.0, True)) * 2).first_wrong.op == "absolute"


def test_a_dead_unit_gives_vacuous_rows_that_do_not_pass():
    dead = mg.Tensor(-np.ones(3), True)
    report = mg.check_graph(np.sum(F.relu(dead)))
    assert [op for _, op in rows_of(report, "VACUOUS")] == ["relu", "leaf"]
    assert not report  # no gradient of any leaf was tested
    assert "passed" not in report.verdict()


def test_one_dead_unit_beside_a_live_one_is_shown_and_does_not_fail():
    report = mg.check_graph(np.sum(F.relu(mg.Tensor(-np.ones(3), True))) + np.sum(np.exp(leaf(3))))
    assert report
    assert [op for _, op in rows_of(report, "VACUOUS")] == ["relu", "leaf"]
    assert "VACUOUS" in str(report)


def test_check_graph_of_a_loss_without_leaves_does_not_pass():
    with pytest.raises(RuntimeError, match="requires_grad"):
        mg.check_graph(np.sum(mg.Tensor([1.0, 2.0])))


def test_check_graph_of_a_freed_graph_says_what_to_do():
    loss = loss_of(small_model())
    loss.backward()
    with pytest.raises(RuntimeError, match=r"check_graph: the graph was freed.*retain_graph=True"):
        mg.check_graph(loss)


def test_check_graph_after_backward_with_the_graph_retained():
    loss = loss_of(small_model())
    loss.backward(retain_graph=True)
    assert mg.check_graph(loss)
    loss.backward()  # still there


@pytest.mark.parametrize("fails", [False, True])
def test_check_graph_leaves_everything_as_it_was(fails, break_rule):
    model = small_model()
    loss_of(model).backward()
    model.eval()
    model.train()
    loss = loss_of(model)
    steps = nodes(loss)
    before = [(n, n.data, n.data.copy(), n.dtype, n.grad, None if n.grad is None else n.grad.data.copy(), n.args, n.order, n.op) for n in steps]
    states = all_random_states()
    if fails:
        break_rule("tanh", lambda g, out, x: g)
    assert bool(mg.check_graph(loss)) is not fails
    for n, data, values, dtype, grad, gradient, args, order, made in before:
        assert n.data is data and n.dtype == dtype and np.array_equal(data, values)
        assert n.grad is grad and (grad is None or np.array_equal(grad.data, gradient))
        assert n.args is args and n.order == order and n.op is made
    assert all_random_states() == states
    assert all(m.training for m in model.modules())


def test_check_graph_gives_the_same_report_twice():
    loss = loss_of(small_model())
    assert mg.check_graph(loss).rows == mg.check_graph(loss).rows


def test_check_graph_of_a_long_chain_with_one_leaf_used_at_every_link():
    x = y = leaf(2)
    for _ in range(50):
        y = np.sin(y) + x
    report = mg.check_graph(np.sum(y))
    assert report and len(report.rows) == 102

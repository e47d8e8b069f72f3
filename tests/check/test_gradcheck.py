"""gradcheck and gradgradcheck: planted wrong rules are found and named, right rules pass, and
nothing passes without a test.
"""

import inspect
import math
import re
import warnings
from itertools import count, cycle

import numpy as np
import pytest
from helpers import (
    OWN_RNG,
    affine,
    all_random_states,
    cube,
    matrices,
    one_off,
    positive_leaf,
    product,
    right_affine,
    right_x,
)

import minigrad as mg
from minigrad import functional as F
from minigrad import modes, nn
from minigrad import noise as randomness
from minigrad.array import data_of
from minigrad.check import GradcheckError, functions
from minigrad.check.verdict import FAILING
from minigrad.graph import nodes
from minigrad.noise import Law, Noise
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("own_registry")


# ------------------------------------------------------------------------- gradcheck: what is right

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
    "one empty input": (lambda x, y: (1 + np.sum(x)) * y * y, [(0, 3), (2,)]),
    "empty": (lambda x: x * x, [(0, 3)]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_gradcheck_is_true_on_right_functions(name):
    func, shapes = RIGHT[name]
    inputs = tuple(positive_leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert mg.gradcheck(func, inputs) is True


@pytest.mark.parametrize("name", RIGHT)
def test_gradgradcheck_is_true_on_right_functions(name):
    func, shapes = RIGHT[name]
    inputs = tuple(positive_leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert mg.gradgradcheck(func, inputs) is True


def test_a_single_input_needs_no_tuple():
    assert mg.gradcheck(np.exp, positive_leaf(3)) is True


def test_inputs_without_a_gradient_and_other_objects_are_passed_on():
    assert (
        mg.gradcheck(
            lambda x, c, n, s: (x * c) ** n + len(s),
            (positive_leaf(3), mg.Tensor(np.arange(3.0)), 2, "s"),
        )
        is True
    )
    assert mg.gradcheck(lambda x, i: x[i] ** 2, (positive_leaf(3), mg.Tensor([0, 2])))


def test_no_input_with_a_gradient_is_an_error():
    with pytest.raises(ValueError, match="requires_grad=True"):
        mg.gradcheck(np.exp, mg.Tensor([1.0]))


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
def test_float32_inputs_are_copied_to_float64(check):
    x = positive_leaf(3, dtype=np.float32)
    seen = []
    assert check(lambda x: (seen.append(x.dtype), np.exp(np.sin(x)))[1], x)
    assert np.dtype(np.float64) in seen and x.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_graph_in_low_precision_is_checked_in_float64(dtype):
    x, w = positive_leaf(3, 4, dtype=dtype), positive_leaf(4, 2, seed=1, dtype=dtype)
    loss = np.mean(np.tanh(x @ w - 4)) + F.l2_penalty(w, c=dtype(0.1))
    report = mg.check_graph(loss)
    assert loss.dtype == dtype and report
    assert max(row.error for row in report.rows) < 1e-9
    assert mg.gradcheck(lambda x, w: np.tanh(x @ w - 4), (x, w))


# ------------------------------------------------------------------- gradcheck: called as PyTorch's


def test_the_keywords_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    for ours, theirs in (
        (mg.gradcheck, torch.autograd.gradcheck),
        (mg.gradgradcheck, torch.autograd.gradgradcheck),
    ):
        mine, other = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
        assert set(mine) - {"settings"} <= set(other)  # gradgradcheck passes gradcheck's on
        assert (
            list(mine)[: 2 + (ours is mg.gradgradcheck)]
            == list(other)[: 2 + (ours is mg.gradgradcheck)]
        )  # those given by position


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("second", [False, True], ids=["gradcheck", "gradgradcheck"])
def test_the_usual_call_gives_what_it_gives_in_pytorch(wrong, fast_mode, second):
    torch = pytest.importorskip("torch")
    factor = 2.9 if wrong else 3.0

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            return factor * g * ctx.saved_tensors[0] ** 2

    ours = op(cube, x=lambda g, out, x: factor * g * x * x)
    x = positive_leaf(4)
    here = mg.gradgradcheck if second else mg.gradcheck
    there = torch.autograd.gradgradcheck if second else torch.autograd.gradcheck
    for check, f, inputs in (
        (here, ours, (x,)),
        (there, Cube.apply, (torch.tensor(x.data, requires_grad=True),)),
    ):
        if wrong and not second:  # a wrong first derivative may well have the right second one
            with pytest.raises(RuntimeError):
                check(f, inputs, eps=1e-6, atol=1e-4, fast_mode=fast_mode)
            assert (
                check(f, inputs, eps=1e-6, atol=1e-4, fast_mode=fast_mode, raise_exception=False)
                is False
            )
        else:
            assert check(f, inputs, eps=1e-6, atol=1e-4, fast_mode=fast_mode) is True


def off_by(absolute, relative):
    return op(cube, x=lambda g, out, x: g * (3 * x * x * (1 + relative) + absolute))


@pytest.mark.parametrize(
    "settings, passes",
    [
        ({}, False),
        ({"rtol": 1e-3}, True),
        ({"rtol": 1e-5}, False),
        ({"atol": 1e-2}, True),
        ({"atol": 1e-6}, False),
        ({"rtol": 0, "atol": 1e-2}, True),
    ],
    ids=str,
)
def test_the_tolerances_count(settings, passes):
    assert (
        mg.gradcheck(off_by(0, 3e-4), positive_leaf(4), raise_exception=False, **settings) is passes
    )


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_the_absolute_tolerance_is_for_each_entry_however_many_there_are(size):
    x = mg.Tensor(np.linspace(0.5, 1, size), requires_grad=True)
    assert mg.gradcheck(off_by(1e-3, 0), x, atol=2e-3)
    assert not mg.gradcheck(off_by(1e-3, 0), x, atol=4e-4, raise_exception=False)


def test_nondet_tol_allows_a_function_to_change_a_little():
    ticks = count()

    def trembling(x):
        return np.exp(x) + 1e-13 * (next(ticks) % 2)

    with pytest.raises(GradcheckError, match="STOCHASTIC"):
        mg.gradcheck(trembling, positive_leaf(3))
    assert mg.gradcheck(trembling, positive_leaf(3), nondet_tol=1e-9, rtol=1e-4)


def test_eps_changes_nothing():
    """PyTorch's setting. No verdict depends on it: the complex step is exact at any size."""
    wrong = op(cube, x=lambda g, out, x: 3 * g * x * x * one_off(x))
    for eps in (1e-3, 1e-9):
        assert mg.gradcheck(np.tanh, positive_leaf(300), eps=eps)
        with pytest.raises(GradcheckError, match="FAIL: cube for x"):
            mg.gradcheck(wrong, positive_leaf(300), eps=eps)


def test_a_wrong_subgradient_at_one_kink_of_many_is_found():
    one = np.where(np.arange(300) == 77, 1.5, 0)
    wrong = op(lambda x: np.maximum(x, 0), x=lambda g, out, x: g * ((x > 0) + one * (x == 0)))
    with pytest.raises(GradcheckError, match=r"entry \(77,\)"):
        mg.gradcheck(wrong, mg.Tensor(np.zeros(300), True))


def test_fast_mode_asks_less_and_still_finds_one_wrong_entry():
    calls = []

    @op(x=lambda g, out, x: g * (x > 0))
    def counted(x):
        calls.append(1)
        return np.maximum(x, 0)

    at_kinks = mg.Tensor(np.zeros(300), True)
    assert mg.gradcheck(counted, at_kinks)
    whole, calls[:] = len(calls), []
    assert mg.gradcheck(counted, at_kinks, fast_mode=True)
    assert len(calls) < whole / 3
    wrong = op(cube, x=lambda g, out, x: 3 * g * x * x * one_off(x))
    assert mg.gradcheck(wrong, positive_leaf(300), fast_mode=True, raise_exception=False) is False


def test_fast_mode_of_several_inputs_outputs_and_of_second_derivatives():
    inputs = positive_leaf(3, 2), positive_leaf(2, 4, seed=1)
    assert mg.gradcheck(lambda x, y: (np.tanh(x @ y), np.exp(x)), inputs, fast_mode=True)
    assert mg.gradgradcheck(lambda x, y: (np.tanh(x @ y), np.exp(x)), inputs, fast_mode=True)


# -------------------------------------------------------------------------- gradcheck: large inputs


def test_a_large_input_is_checked_at_every_entry_for_the_price_of_a_few_runs():
    runs = []

    @op(x=lambda g, out, x: 3 * g * x * x)
    def counted(x):
        runs.append(1)
        return x * x * x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mg.gradcheck(lambda x: np.tanh(counted(x)) * x, positive_leaf(50_000))
    assert len(runs) < 40


@pytest.mark.parametrize("entry", [0, 1_234, 9_999])
def test_one_wrong_entry_among_10000_is_found_and_named(entry):
    def scale(x):
        wrong = np.ones(x.shape)
        wrong.flat[entry] = 1 + 1e-7
        return wrong

    wrong = op(cube, x=lambda g, out, x: 3 * g * x * x * scale(x))
    index = re.escape(str(divmod(entry, 100)))
    with pytest.raises(GradcheckError, match=rf"FAIL: cube for x \(.*\): By x, entry {index}"):
        mg.gradcheck(wrong, positive_leaf(100, 100))
    assert mg.check_graph(np.sum(wrong(positive_leaf(100, 100)))).first_wrong.op == "cube"


# -------------------------------------------------------------------------- gradcheck: planted bugs


PLANTED = {  # name: (forward, shapes, rules, (input, an entry) that gradcheck must name)
    # without an entry: the rule is no linear function of the cotangent
    "scaled by 1.001": (
        cube,
        [(3, 2)],
        {"x": lambda g, out, x: 1.001 * 3 * g * x * x},
        (0, (0, 0)),
    ),
    "scaled by 1.00001": (
        cube,
        [(3, 2)],
        {"x": lambda g, out, x: 1.00001 * 3 * g * x * x},
        (0, (0, 0)),
    ),
    "zero": (cube, [(3, 2)], {"x": lambda g, out, x: 0 * g}, (0, (0, 0))),
    "sign flipped": (cube, [(3, 2)], {"x": lambda g, out, x: -3 * g * x * x}, (0, (0, 0))),
    "factor lost": (cube, [(3, 2)], {"x": lambda g, out, x: g * x * x}, (0, (0, 0))),
    "ignores g": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * x * x}, (0, None)),
    "squares g": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * g * g * x * x}, (0, None)),
    "a constant added": (
        cube,
        [(3, 2)],
        {"x": lambda g, out, x: 3 * g * x * x + 1e-4},
        (0, None),
    ),
    "nan": (cube, [(3, 2)], {"x": lambda g, out, x: g * np.nan}, (0, (0, 0))),
    "one entry wrong": (
        cube,
        [(3, 2)],
        {"x": lambda g, out, x: 3 * g * x * x * one_off(x)},
        (0, (2, 1)),
    ),
    "entries shifted by one": (
        cube,
        [(3, 2)],
        {"x": lambda g, out, x: np.roll(3 * g * x * x, 1)},
        (0, (0, 0)),
    ),
    "second operand": (
        product,
        [(3, 2), (3, 2)],
        {**right_x, "y": lambda g, out, x, y: g * y},
        (1, (0, 0)),
    ),
    "second operand zero": (
        product,
        [(3, 2), (3, 2)],
        {**right_x, "y": lambda g, out, x, y: 0 * g},
        (1, (0, 0)),
    ),
    "broadcast axis not summed": (
        affine,
        [(3, 2), (2,)],
        {**right_affine, "y": lambda g, out, x, y: g[0]},
        (1, (0,)),
    ),
    "broadcast axis averaged": (
        affine,
        [(3, 2), (2,)],
        {**right_affine, "y": lambda g, out, x, y: np.mean(g, axis=0)},
        (1, (0,)),
    ),
    "wrong axis summed": (
        affine,
        [(2, 2), (2,)],
        {**right_affine, "y": lambda g, out, x, y: np.sum(g, axis=1)},
        (1, (0,)),
    ),
    "transposed": (
        matrices,
        [(3, 3), (3, 3)],
        {"x": lambda g, out, x, y: g @ y, "y": lambda g, out, x, y: x.T @ g},
        (0, (0, 0)),
    ),
    "result transposed": (
        matrices,
        [(3, 3), (3, 3)],
        {"x": lambda g, out, x, y: g @ y.T, "y": lambda g, out, x, y: (x.T @ g).T},
        (1, (0, 1)),
    ),
}


@pytest.fixture(params=PLANTED)
def planted(request):
    """(op with a wrong rule, inputs, (input, entry))."""
    forward, shapes, rules, where = PLANTED[request.param]
    return (
        op(forward, **rules),
        tuple(positive_leaf(*shape, seed=i) for i, shape in enumerate(shapes)),
        where,
    )


def test_gradcheck_names_rule_argument_and_entry_of_a_wrong_rule(planted):
    wrong, inputs, (i, entry) = planted
    name, place = wrong.op.names[i], r"\(tests/check/test_gradcheck.py:\d+\)"
    told = rf"By {name}, entry {re.escape(str(entry))}: analytic " if entry else "The rule for x "
    with pytest.raises(GradcheckError, match=rf"^FAIL: {wrong.op.name} for {name} {place}: {told}"):
        mg.gradcheck(wrong, inputs)


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
    assert not report
    assert report.first_wrong.op == wrong.op.name
    assert [row.op for row in report.rows if row.verdict in FAILING] == [wrong.op.name]
    assert "AFFECTED" in {row.verdict for row in report.rows if row.op == "leaf"}
    assert report.first_wrong.name in report.verdict() and wrong.op.name in report.verdict()


@pytest.mark.parametrize("name", ["cube", "product", "affine", "matrices"])
def test_the_same_ops_with_right_rules_pass(name):
    forward, shapes, rules = {
        "cube": (cube, [(3, 2)], {"x": lambda g, out, x: 3 * g * x * x}),
        "product": (product, [(3, 2), (3, 2)], {**right_x, "y": lambda g, out, x, y: g * x}),
        "affine": (affine, [(3, 2), (2,)], {**right_affine, "y": lambda g, out, x, y: g}),
        "matrices": (
            matrices,
            [(3, 3), (3, 3)],
            {"x": lambda g, out, x, y: g @ y.T, "y": lambda g, out, x, y: x.T @ g},
        ),
    }[name]
    right, inputs = (
        op(forward, **rules),
        tuple(positive_leaf(*shape, seed=i) for i, shape in enumerate(shapes)),
    )
    assert mg.gradcheck(right, inputs) and mg.gradgradcheck(right, inputs)
    assert mg.check_graph(np.sum(np.sin(right(*(np.tanh(x) for x in inputs)))))


def test_a_rule_of_the_wrong_shape_is_an_error_that_names_the_op():
    turned = op(cube, x=lambda g, out, x: (3 * g * x * x).T)
    with pytest.raises(GradcheckError, match=r"cube for x .* returned shape \(2, 3\); x has"):
        mg.gradcheck(turned, positive_leaf(3, 2))
    wrong = mg.check_graph(np.sum(turned(positive_leaf(3, 2)))).first_wrong
    assert (
        wrong.op == "cube"
        and "the rule of cube for x returned shape (2, 3); x has shape (3, 2)" in wrong.note
    )


IN_PLACE = {  # what a rule of tanh overwrites: the values are right, the first time
    "g": lambda g, out, x: np.multiply(g, 1 - out * out, out=g),
    "out": lambda g, out, x: g * (1 - np.multiply(out, out, out=out)),
    "x": lambda g, out, x: g / np.cosh(np.abs(x, out=x)) ** 2,
}


@pytest.mark.parametrize("what", IN_PLACE)
def test_a_rule_that_changes_what_it_is_given_is_found_and_named(what):
    @op(x=IN_PLACE[what])
    def overwriting(x):
        return np.tanh(x)

    x = mg.Tensor(np.array([-0.5, 1.0, 2.0]), True)
    row = mg.check_graph(np.sum(np.sin(overwriting(np.negative(x))))).first_wrong
    assert (row.op, row.verdict, row.note) == (
        "overwriting",
        "FAIL",
        "The rule for x: ValueError: output array is read-only",
    )
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(overwriting, x)
    assert x.data.tolist() == [-0.5, 1.0, 2.0]


def test_a_rule_that_changes_a_constant_is_found_and_the_constant_stays():
    @op(x=lambda g, out, x, c: g * 2 + 0 * c.put(0, 7.0))
    def doubled(x, c):
        return 2 * x

    constant = np.ones(3)
    with pytest.raises(GradcheckError, match="The rule for x: ValueError: .*read-only"):
        mg.gradcheck(lambda x: doubled(x, constant), positive_leaf(3))
    assert constant.tolist() == [1, 1, 1] and constant.flags.writeable


def test_a_forward_that_changes_what_it_is_given_is_an_error_that_names_the_op():
    @op(x=lambda g, out, x: g)
    def overwriting(x):
        x += 1
        return x * 1

    loss = np.sum(overwriting(np.negative(positive_leaf(3))))
    with pytest.raises(ValueError, match="overwriting.*output array is read-only"):
        mg.check_graph(loss)


def test_a_softmax_rule_of_zero_is_found_although_its_outputs_sum_to_one():
    @op(x=lambda g, out, x: 0 * g)
    def broken_softmax(x):
        return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)

    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(broken_softmax, positive_leaf(2, 3))
    assert (
        mg.check_graph(np.sum(broken_softmax(positive_leaf(2, 3)))).first_wrong.op
        == "broken_softmax"
    )


def test_a_small_derivative_is_not_excused_by_an_absolute_tolerance():
    tiny = op(lambda x: 1e-6 * x * x, x=lambda g, out, x: 0 * g)
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(tiny, positive_leaf(3))


@pytest.mark.parametrize("factor", [2.0**20, 2.0**-20, 2.0**-30])
def test_the_verdict_does_not_depend_on_the_scale_of_the_function(factor):
    """As long as rounding hides nothing: numbers near 1 inside the function hide gradients below
    1e-13.
    """
    wrong, hundredth_off = (
        op(cube, x=lambda g, out, x: g * x),
        op(lambda x: x**4, x=lambda g, out, x: 4.04 * g * x**3),
    )
    corner = positive_leaf(3).data
    verdicts = {
        "OK": [np.exp, lambda x: 1 + x * x, lambda x: np.stack([np.sin(x), 0 * x])],
        "KINK": [lambda x: F.relu(x - corner), lambda x: np.abs(np.sin(x - corner)) + x, np.max],
        "FAIL": [wrong, hundredth_off],
        "VACUOUS": [lambda x: 0 * x, lambda x: F.relu(x - corner - 1)],
        "NONFINITE": [lambda x: np.log(x - corner)],
    }
    for verdict, those in verdicts.items():
        for f in those:
            found = functions.examine(
                lambda x, f=f: factor * f(x),
                mg.Tensor(corner if f is not np.max else np.ones(3), True),
            )
            assert found.verdict == verdict, found


def test_a_function_that_uses_its_own_leaves_and_not_its_inputs_is_refused():
    model, x = nn.Linear(3, 2), positive_leaf(4, 3)
    with pytest.raises(
        GradcheckError,
        match=r"VACUOUS: the gradients are 0 .* func depends on Tensors of its own.*check_graph",
    ):
        mg.gradcheck(lambda *parameters: model(x.data).sum(), tuple(model.parameters()))
    with pytest.raises(GradcheckError, match="VACUOUS: the gradients are 0"):
        mg.gradcheck(lambda x: model(0 * x).sum(), x)


def test_a_function_that_computes_in_few_digits_is_checked_in_float64(break_rule):
    assert mg.gradcheck(lambda x: np.exp(x.astype(np.float16)), positive_leaf(3))
    break_rule("exp", lambda g, out, x: g * out * (1 + 1e-9))
    assert not mg.gradcheck(
        lambda x: np.exp(x.astype(np.float16)), positive_leaf(3), raise_exception=False
    )


@pytest.mark.parametrize(
    ("constant", "scale"), [(1e13, 1), (1e4, 1e-8), (1e6, 1e-4), (100, 1e-9), (1e8, 0.01)]
)
def test_an_error_hidden_by_rounding_is_no_failure_and_no_pass(constant, scale):
    """Beside a large constant the numeric derivative has few digits. Then the verdict is VACUOUS;
    otherwise the wrong rule fails and the right rule passes.
    """
    wrong = op(cube, x=lambda g, out, x: 9 * g * x * x)
    beside = {
        f: functions.examine(lambda x, f=f: constant + scale * np.sum(f(x)), positive_leaf(3))
        for f in (cube, wrong)
    }
    assert beside[cube].verdict in ("OK", "VACUOUS") and beside[wrong].verdict in (
        "FAIL",
        "VACUOUS",
    )
    if beside[wrong].verdict == "VACUOUS":
        with pytest.raises(GradcheckError, match="VACUOUS: "):
            mg.gradcheck(lambda x: constant + scale * np.sum(wrong(x)), positive_leaf(3))
    assert (
        mg.check_graph(constant + scale * np.sum(wrong(positive_leaf(3)))).first_wrong.op == "cube"
    )  # alone, it is as wrong as ever


# ---------------------------------------------------------------- gradcheck: what cannot be checked


SIZES = cycle([2, 3])


@pytest.mark.parametrize(
    "noisy",
    [
        pytest.param(lambda x: x * np.random.standard_normal(), id="np.random"),
        pytest.param(lambda x: x * OWN_RNG.random(x.shape), id="a generator of its own"),
        pytest.param(lambda x: x[: next(SIZES)], id="a shape that varies"),
    ],
)
def test_randomness_inside_a_function_is_stochastic(noisy):
    saved = np.random.get_state()
    try:
        with pytest.raises(GradcheckError, match="STOCHASTIC.*rng"):
            mg.gradcheck(noisy, positive_leaf(3))
    finally:
        np.random.set_state(saved)


def test_a_function_that_is_nan_the_second_time_is_stochastic():
    calls = count()
    with pytest.raises(GradcheckError, match="^STOCHASTIC: func changed between two calls"):
        mg.gradcheck(lambda x: x * (np.nan if next(calls) else 1.0), positive_leaf(3))


@pytest.fixture
def shaky():
    """An op whose forward draws random numbers."""

    @op(x=lambda g, out, x: g)
    def shaky(x):
        return x + OWN_RNG.random(x.shape)

    return shaky


class Layer(nn.Module):
    def __init__(self, function):
        self.function = function

    def forward(self, x):
        return self.function(x)


class Stubborn(Law):
    """A law that ignores the generator it is given."""

    def draw(self, rng, shape, dtype):
        return OWN_RNG.random(shape)

    def __repr__(self):
        return "Stubborn()"


SOURCES = {  # name: (a random function made of a shaky op, what the message says of the source)
    "np.random": (
        lambda shaky: lambda x: x * OWN_RNG.random(),
        r"func changed between two calls, by randomness that minigrad cannot hold fixed \(np.random inside func\?\)",
    ),
    "an op": (
        lambda shaky: shaky,
        "shaky: Its forward draws by itself: give it its noise as an input, a Noise leaf",
    ),
    "an op in a chain": (
        lambda shaky: lambda x: np.exp(shaky(np.sin(x))),
        "shaky: Its forward draws by itself",
    ),
    "an op in a module": (
        lambda shaky: nn.Sequential(nn.Tanh(), noisy=Layer(shaky)),
        "noisy.shaky: Its forward draws by itself",
    ),
    "an op before dropout": (
        lambda shaky: lambda x: F.dropout(shaky(x), 0.1, training=True),
        "shaky: Its forward draws by itself",
    ),
    "the second output": (
        lambda shaky: lambda x: (x * x, shaky(x)),
        "shaky: Its forward draws by itself",
    ),
    "a distribution": (
        lambda shaky: lambda x: x * Noise(Stubborn(), x.shape, x.dtype),
        r"func changed between two calls, by randomness that minigrad cannot hold fixed \(np.random inside func\?\)",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_of_randomness_is_named(name, shaky):
    make, source = SOURCES[name]
    func = make(shaky)
    with pytest.raises(GradcheckError, match="^STOCHASTIC: " + source):
        mg.gradcheck(func, positive_leaf(8))

    def curved(x):
        outputs = func(x)
        return np.exp(outputs[-1] if isinstance(outputs, tuple) else outputs)

    with pytest.raises(
        GradcheckError, match="^STOCHASTIC: (.*shaky: Its forward draws|func changed)"
    ):
        mg.gradgradcheck(curved, positive_leaf(8))


def test_check_graph_names_an_op_that_draws_by_itself(shaky):
    report = mg.check_graph(
        np.sum(np.sin(nn.Sequential(nn.Tanh(), noisy=Layer(shaky))(positive_leaf(8))))
    )
    assert not report
    assert [row.name for row in report.rows if row.verdict in FAILING] == ["noisy.shaky"]
    assert (
        report.first_wrong.verdict == "STOCHASTIC"
        and "Its forward draws by itself" in report.first_wrong.note
    )
    assert str(report).endswith("the first wrong node is noisy.shaky")


NONFINITE = {  # name: (function, point, the message)
    "log of 0": (np.log, [1.0, 0.0], "output 0 is not finite"),
    "1/0": (lambda x: (x, 1 / x), [1.0, 0.0], "output 1 is not finite"),
    "nan": (lambda x: x * np.nan, [[1.0]], "output 0 is not finite"),
    "sqrt at 0": (
        np.sqrt,
        [1.0, 0.0],
        r"sqrt: By x, entry \(1,\): the derivative is not finite: analytic -?inf",
    ),
}


@pytest.mark.parametrize("name", NONFINITE)
def test_values_that_are_not_finite_are_named(name):
    func, point, message = NONFINITE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once, not also by NumPy
        with pytest.raises(GradcheckError, match="^NONFINITE: " + message):
            mg.gradcheck(func, mg.Tensor(np.array(point), True))


def test_check_graph_of_a_loss_that_is_not_finite():
    x = mg.Tensor(np.array([1.0, 0.0]), True)
    with np.errstate(divide="ignore"):
        loss = np.sum(np.log(np.exp(x) - 1))
    report = mg.check_graph(loss)
    assert not report
    assert (report.first_wrong.op, report.first_wrong.verdict) == ("log", "NONFINITE")


def masked_attention(x, w, seen):
    scores = np.where(seen, x @ w @ x.T, -np.inf)  # no position looks ahead
    return F.softmax(scores) @ x


def test_scores_masked_by_minus_infinity_are_no_reason_to_fail():
    x, w, seen = positive_leaf(4, 3), positive_leaf(3, 3, seed=1), np.tril(np.ones((4, 4), bool))
    assert mg.gradcheck(lambda x, w: masked_attention(x, w, seen), (x, w))
    report = mg.check_graph(np.sum(np.sin(masked_attention(x, w, seen))))
    assert {row.verdict for row in report.rows} == {"OK"}
    assert mg.check_graph(F.cross_entropy(np.where(seen, x @ w @ x.T, -np.inf), np.arange(4)))


@pytest.mark.parametrize(
    "name, rule, i",
    [
        ("softmax", lambda g, out, x, axis: out * (g - np.sum(g, axis=axis, keepdims=True)), 0),
        ("where", lambda g, out, condition, x, y: g * (condition + 0.1), 1),
        ("matmul", lambda g, out, x, y: 1.01 * g @ np.swapaxes(y, -1, -2), 0),
    ],
)
def test_scores_masked_by_minus_infinity_do_not_hide_a_wrong_rule(break_rule, name, rule, i):
    x, w, seen = positive_leaf(4, 3), positive_leaf(3, 3, seed=1), np.tril(np.ones((4, 4), bool))
    break_rule(name, rule, i)
    assert (
        mg.gradcheck(lambda x, w: masked_attention(x, w, seen), (x, w), raise_exception=False)
        is False
    )
    report = mg.check_graph(np.sum(np.sin(masked_attention(x, w, seen))))
    assert {row.op for row in report.rows if row.verdict in FAILING} == {name}


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
        mg.gradcheck(silent, positive_leaf(3))
    assert mg.gradcheck(silent, positive_leaf(3), raise_exception=False) is False


def test_an_input_without_influence_beside_one_with_some_is_warned_of():
    with pytest.warns(
        UserWarning, match=r"VACUOUS for input 1, input 3: the gradients are 0 at every entry"
    ):
        assert mg.gradcheck(
            lambda x, y, z, w: x * z + F.relu(-y),
            (
                positive_leaf(2),
                positive_leaf(2, seed=1),
                positive_leaf(2, seed=2),
                positive_leaf(3),
            ),
        )


@pytest.mark.parametrize(
    "func",
    [
        pytest.param(lambda x: x.data * 2.0, id="array"),
        pytest.param(lambda x: 2.0, id="number"),
        pytest.param(lambda x: (x * x, 2.0), id="a number beside a Tensor"),
    ],
)
def test_a_function_that_returns_no_tensor_is_an_error(func):
    with pytest.raises(TypeError, match="func must return Tensors of floats, not "):
        mg.gradcheck(func, positive_leaf(3))


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
    with pytest.raises(
        GradcheckError, match="FAIL: input 0: func depends on it in a way that is not"
    ):
        mg.gradcheck(func, positive_leaf(3))


def test_an_input_is_called_by_its_name_or_its_position():
    x, y = mg.Tensor(np.ones(3), True, name="width"), positive_leaf(3)
    for func, name in (
        (lambda c, x, y: x.data * y, "width"),
        (lambda c, x, y: x * y.data, "input 2"),
    ):
        with pytest.raises(GradcheckError, match=f"^FAIL: {name}: func depends on it"):
            mg.gradcheck(func, (2.0, x, y))


def test_a_detached_path_fails_at_zero():
    with pytest.raises(GradcheckError, match="FAIL: input 0: func depends on it in a way"):
        mg.gradcheck(lambda x: np.sin(x) + x.detach(), mg.Tensor(np.zeros(3), True))


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
    with pytest.raises(ValueError, match="read-only"):
        mg.gradcheck(lambda x: (mutate(x), x * x)[1], x)
    assert np.array_equal(x.data, before)


def test_a_function_that_changes_an_input_without_gradient_is_reported():
    def func(x, c):
        c.data[...] = 2
        return x * c

    c = mg.Tensor(np.ones(3))
    with pytest.raises(ValueError, match="read-only"):
        mg.gradcheck(func, (positive_leaf(3), c))
    assert c.tolist() == [1, 1, 1]


# --------------------------------------------------------------------------------- gradcheck: kinks

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
    with pytest.raises(GradcheckError, match=r"FAIL: .* for x .*: By x, entry \(1,\)"):
        mg.gradcheck(wrong, mg.Tensor(np.array([0.5, 0.0]), True))


@pytest.mark.parametrize(
    "slope_at_0, valid",
    [
        (-1, True),
        (-0.5, True),
        (0, True),
        (1, True),
        (1.01, False),
        (-1.5, False),
        (2, False),
        (np.nan, False),
    ],
)
def test_between_the_one_sided_slopes_a_value_is_valid(slope_at_0, valid):
    chosen = op(
        lambda x: np.abs(x), x=lambda g, out, x: g * np.where(x == 0, slope_at_0, np.sign(x))
    )
    x = mg.Tensor(np.array([0.5, 0.0, -2.0]), True)
    assert mg.gradcheck(chosen, x, raise_exception=False) is valid
    report = mg.check_graph(np.sum(chosen(mg.Tensor(0.0, True))))
    assert bool(report) is valid and report.rows[0].verdict == ("KINK" if valid else "FAIL")


@pytest.mark.parametrize(
    "subgradient, valid", [(0.0, True), (0.7, True), (1.0, True), (-0.2, False), (1.3, False)]
)
def test_outputs_that_are_all_at_a_kink_are_compared_one_by_one(break_rule, subgradient, valid):
    """Several outputs have a kink at the same x, with slopes of both signs. In a sum the kinks
    would hide each other.
    """
    w = np.random.default_rng(0).standard_normal((5, 4))
    break_rule("relu", lambda g, out, x: g * np.where(x == 0, subgradient, x > 0))
    x = mg.Tensor(np.zeros((3, 5)), True)
    assert mg.gradcheck(lambda x: F.relu(x @ w), x, raise_exception=False) is valid
    assert mg.gradcheck(lambda x: (F.relu(x @ w), np.exp(x)), x, raise_exception=False) is valid


def test_a_kink_does_not_hide_a_wrong_entry_elsewhere():
    wrong = op(lambda x: np.abs(x), x=lambda g, out, x: 1.01 * g * np.sign(x))
    with pytest.raises(GradcheckError, match=r"entry \(1,\)"):
        mg.gradcheck(wrong, mg.Tensor(np.array([0.0, 0.7]), True))


# ------------------------------------------------------------------ gradcheck: leaves all as it was


def active(x):
    return F.dropout(np.sin(x), 0.4, training=True) * x


def test_active_dropout_passes_without_a_seed():
    assert mg.gradcheck(active, positive_leaf(60)) and mg.gradgradcheck(
        active, positive_leaf(60)
    )  # all dropped: once in 10^23 runs


def test_active_dropout_with_a_generator_passes():
    rng = np.random.default_rng(5)
    before = str(rng.bit_generator.state)
    assert mg.gradcheck(lambda x: F.dropout(x, 0.4, True, rng=rng) * x, positive_leaf(60))
    assert str(rng.bit_generator.state) == before


def test_a_dropout_with_a_wrong_scale_in_its_rule_fails(break_rule):
    break_rule("dropout", lambda g, out, x, noise, p, scaling: g * noise)
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(active, positive_leaf(60))


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
@pytest.mark.parametrize("fails", [False, True])
def test_generators_are_bit_identical_afterwards(check, fails):
    wrong = op(cube, x=lambda g, out, x: 2.0 * g * np.sin(x))
    mg.manual_seed(3)
    active(positive_leaf(2))  # the stream exists
    before = all_random_states()
    passed = check(
        lambda x: active(wrong(x) if fails else x), positive_leaf(40), raise_exception=False
    )
    assert passed is not fails
    assert all_random_states() == before


def test_generators_are_bit_identical_after_an_error_in_func():
    mg.manual_seed(3)
    active(positive_leaf(2))
    before = all_random_states()

    def func(x):
        active(x)
        raise KeyError("in func")

    with pytest.raises(KeyError, match="in func"):
        mg.gradcheck(func, positive_leaf(4))
    assert all_random_states() == before


@pytest.mark.parametrize("fails", [False, True])
def test_inputs_and_their_grads_are_untouched(fails):
    wrong = op(cube, x=lambda g, out, x: g)
    x, y = positive_leaf(3), positive_leaf(3, seed=1)
    (x * y).sum().backward()
    before = [(t, t.data, t.data.copy(), t.grad, t.grad.data.copy()) for t in (x, y)]
    mg.gradcheck(lambda x, y: (wrong(x) if fails else x) * y, (x, y), raise_exception=False)
    for t, data, values, grad, gradient in before:
        assert t.data is data and np.array_equal(data, values)
        assert t.grad is grad and np.array_equal(grad.data, gradient)


def test_a_leaf_in_the_closure_keeps_its_grad_and_data():
    w = positive_leaf(3, seed=2)
    before = w.data.copy()
    assert mg.gradcheck(lambda x: x * w * w, positive_leaf(3))
    assert w.grad is None and np.array_equal(w.data, before)


class Interruption:
    """When armed, raises KeyboardInterrupt at the k-th call."""

    def __init__(self):
        self.left = math.inf

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def everything(model, *tensors):
    """All state that a check could change, in a form that compares."""
    kept = [
        (id(t.data), t.data.tobytes(), t.dtype, id(t.grad), id(t.args), t.op, t.requires_grad)
        for t in tensors
    ]
    gradients = [t.grad.tolist() for t in tensors if t.grad is not None]
    settings = modes.recording.get(), modes.scope.get(), randomness.frozen.get(), str(np.geterr())
    layers = [
        (m.training, str(m.rng.bit_generator.state) if getattr(m, "rng", None) else None)
        for m in model.modules()
    ]
    return kept, gradients, settings, layers, all_random_states()


CHECKS = {  # name: how it is called on func, an input and a loss recorded from both
    "gradcheck": lambda func, x, loss: mg.gradcheck(func, x),
    "gradgradcheck": lambda func, x, loss: mg.gradgradcheck(func, x),
    "check_graph": lambda func, x, loss: mg.check_graph(loss),
}


INTERRUPTED = [  # (check, where, at which calls)
    ("gradcheck", "func", (1, 2, 3, 4, 5)),
    ("gradcheck", "forward", (1, 2, 3, 4, 9)),
    ("gradcheck", "rule", (1, 2, 3, 7)),
    ("gradgradcheck", "func", (1, 2, 3, 4, 6)),
    ("gradgradcheck", "forward", (1, 2, 3, 5, 9)),
    ("gradgradcheck", "rule", (1, 2, 3, 5, 9)),
    ("check_graph", "forward", (1, 2, 3, 4, 6)),
    ("check_graph", "rule", (1, 2, 3, 4, 5)),
]


@pytest.mark.parametrize(
    "check, where, k", [(check, where, k) for check, where, calls in INTERRUPTED for k in calls]
)
def test_a_check_that_is_interrupted_leaves_everything_as_it_was(check, where, k):
    interruption = Interruption()

    def at(place):
        if place == where:
            interruption()

    @op(x=lambda g, out, x: (at("rule"), g * np.cos(x))[1])
    def slow(x):
        at("forward")
        return np.sin(x)

    mg.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.3, rng=np.random.default_rng(4)))
    w, x = positive_leaf(60, seed=1), positive_leaf(60)  # so many that not all are dropped

    def func(x):
        y = model(slow(x * w)) * w
        at("func")
        return y * y

    np.sum(func(x)).backward()
    loss = np.sum(func(x))
    before = everything(model, *nodes(loss))
    interruption.left = k
    with pytest.raises(KeyboardInterrupt):
        CHECKS[check](func, x, loss)
    interruption.left = math.inf
    assert everything(model, *nodes(loss)) == before
    assert mg.check_graph(loss)  # the graph is usable,
    loss.backward()  # still


# ------------------------------------------------------------------------------------ gradgradcheck


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
    assert mg.gradgradcheck(linear, positive_leaf(3, 2)) is True


def test_gradgradcheck_of_a_function_without_gradients_proves_nothing():
    with pytest.raises(GradcheckError, match="VACUOUS"):
        mg.gradgradcheck(lambda x: x.detach() * 2, positive_leaf(3))


def test_gradgradcheck_of_dropout_inside_a_nonlinear_function():
    assert mg.gradgradcheck(
        lambda x: np.tanh(F.dropout(x, 0.5, training=True)) ** 2, positive_leaf(6)
    )


DETACHED = {  # right first derivatives of x^3 that lose part or all of the second
    "part of x": lambda g, out, x: 3 * g * x * data_of(x),
    "all of x": lambda g, out, x: 3 * g * data_of(x) * data_of(x),
    "out": lambda g, out, x: 3 * g * data_of(out) / x,
    "g": lambda g, out, x: 3 * data_of(g) * x * x,
}


@pytest.mark.parametrize("what", DETACHED)
def test_a_rule_that_detaches_passes_gradcheck_and_fails_gradgradcheck(what):
    wrong = op(cube, x=DETACHED[what])
    assert mg.gradcheck(wrong, positive_leaf(3))
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(wrong, positive_leaf(3))


def test_gradgradcheck_calls_cotangents_so():
    with pytest.raises(GradcheckError, match="^FAIL: cotangent: func depends on it in a way"):
        mg.gradgradcheck(op(cube, x=DETACHED["g"]), positive_leaf(3))


@pytest.mark.parametrize("what", DETACHED)
def test_gradgradcheck_finds_a_detaching_rule_inside_a_chain(what):
    wrong = op(cube, x=DETACHED[what])
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(lambda x: np.sin(wrong(np.tanh(x))), positive_leaf(3))
    assert (
        mg.gradgradcheck(
            lambda x: np.sin(wrong(np.tanh(x))), positive_leaf(3), raise_exception=False
        )
        is False
    )


def test_grad_outputs_are_the_cotangents_at_which_second_derivatives_are_checked():
    @op(x=lambda g, out, x: 3 * g * x * data_of(x) if np.any(data_of(g) > 5) else 3 * g * x * x)
    def wrong_for_large_cotangents(x):
        return x * x * x

    x, small = positive_leaf(3), np.full(3, 0.5)
    assert mg.gradgradcheck(wrong_for_large_cotangents, x, small)
    assert mg.gradgradcheck(
        wrong_for_large_cotangents, (x,), (mg.Tensor(small, True),)
    )  # as PyTorch is called
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(wrong_for_large_cotangents, x, 20 * small)


def test_grad_outputs_of_several_outputs():
    def func(x):
        return np.sin(x), 2 * x.detach(), np.sum(np.exp(x))

    x = positive_leaf(3)
    assert mg.gradgradcheck(
        func, x, (positive_leaf(3, seed=1), positive_leaf(seed=2))
    )  # one for each output that requires a gradient
    with pytest.raises(ValueError, match="2 outputs but 1 grad_outputs"):
        mg.gradgradcheck(func, x, (positive_leaf(3, seed=1),))
    with pytest.raises(ValueError, match="shape"):
        mg.gradgradcheck(func, x, (positive_leaf(2, seed=1), positive_leaf(seed=2)))


def test_gradgradcheck_finds_a_wrong_rule_in_the_backward_graph(break_rule):
    break_rule("cos", lambda g, out, x: g * np.sin(x))  # the sign is lost; sin's own rule uses cos
    assert mg.gradcheck(np.sin, positive_leaf(3))
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradgradcheck(np.sin, positive_leaf(3))


def test_a_constant_of_the_data_that_changes_nothing_but_rounding_is_allowed():
    def stabilised(x):
        middle = -1.37 * x.data.mean()
        return np.sin((x - middle) + middle)

    assert mg.gradcheck(stabilised, mg.Tensor(np.array([10000.3, 9999.4, 10001.1]), True))

    def logsumexp(x):
        top = x.data.max()
        return top + np.log(np.sum(np.exp(x - top)))

    assert mg.gradcheck(logsumexp, positive_leaf(5))

    def shifted(x):
        mean = x.data.mean()
        return np.tanh((x - mean) + mean), x / mean * mean

    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = mg.Tensor(rng.standard_normal(rng.integers(1, 60)) * 10.0 ** rng.uniform(-3, 4), True)
        for f in (logsumexp, shifted):
            assert functions.examine(f, x).verdict != "FAIL"

    def leaks(x):
        return 1e3 * np.sin(x), 1e-6 * x * x.data

    assert not mg.gradcheck(leaks, positive_leaf(3), raise_exception=False)

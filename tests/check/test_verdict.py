"""Verdicts near kinks, at ties and where rounding hides the truth: right gradients pass, wrong ones
fail.
"""

import re
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import cube, positive_leaf, product

import minigrad as mg
from minigrad import derivatives, nn
from minigrad import functional as F
from minigrad.check import GradcheckError, functions
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("own_registry")


def test_a_small_part_beside_a_large_one_is_checked():
    def loss(f):
        return lambda x, y: np.sum(1e-12 * f(x) + 100 * np.exp(y))

    wrong = op(cube, x=lambda g, out, x: 3.001 * g * x * x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mg.gradcheck(loss(np.sin), (positive_leaf(3), positive_leaf(3, seed=1)))
    assert not mg.gradcheck(
        loss(wrong), (positive_leaf(3), positive_leaf(3, seed=1)), raise_exception=False
    )


def near_kinks(scale, seed):
    """A loss and its 3000 entries. All lie within `scale` of a kink, the first half exactly that
    far from it.
    """
    rng = np.random.default_rng(seed)
    x = scale * rng.uniform(-1, 1, 3000)
    x[0] = scale / 2
    weights = rng.standard_normal(3000)
    return lambda x: np.sum(F.relu(np.sin(3 * x)) * weights), mg.Tensor(x, True)


NEAR = pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-9, 1e-15])


@NEAR
def test_kinks_nearby_are_no_mistakes(scale):
    for seed in range(2):  # comparing along whole directions alone fails for some of these
        f, x = near_kinks(scale, seed)
        report = mg.check_graph(f(x), seed)
        assert report, report
        assert {row.verdict for row in report.rows} == {"OK"}
        assert mg.gradcheck(f, x)


@NEAR
def test_weights_that_an_l1_penalty_has_brought_near_zero_are_no_mistakes(scale):
    rng = np.random.default_rng(0)
    w, a, y = (
        mg.Tensor(scale * rng.standard_normal((50, 80)), True),
        rng.standard_normal((5, 80)),
        rng.standard_normal((5, 50)),
    )
    report = mg.check_graph(F.mse_loss(F.linear(mg.Tensor(a), w), y) + F.l1_penalty(w, c=1e-3))
    assert report, report


@pytest.mark.parametrize(
    "f, x",
    [
        (F.relu, [1.5e-7]),
        (lambda x: F.l1_penalty(x, c=0.1), 3e-5 * np.cos(np.arange(200)) ** 9),
        (np.log, [1e-8, 0.5]),
        (lambda x: 1 / x, [1e-8]),
    ],
)
def test_right_gradients_beside_kinks_and_edges_pass(f, x):
    assert mg.gradcheck(f, mg.Tensor(np.array(x), True))
    assert mg.check_graph(np.sum(f(mg.Tensor(np.array(x), True))))


def test_a_cross_entropy_written_out_passes_where_the_model_is_sure():
    assert mg.check_graph(-np.log(F.softmax(mg.Tensor(np.array([[0.0, 18.0]]), True)))[0, 0])


@pytest.mark.parametrize("size", [1e5, 1e6, 1e7])
def test_right_gradients_of_large_losses_pass(size):
    a, y = positive_leaf(50, 5).data, size * (1 + abs(positive_leaf(50, seed=1).data))

    def loss(w):
        return F.mse_loss(np.matmul(a, w), y)

    assert mg.gradcheck(loss, mg.Tensor(np.zeros(5), True))
    report = mg.check_graph(loss(mg.Tensor(np.zeros(5), True)))
    assert report, report


@pytest.mark.parametrize("number", [1, 2, -1])
def test_a_rule_that_is_wrong_at_a_whole_number_alone_is_not_taken_for_rounding(number):
    wrong = op(
        lambda x: np.tanh(x),
        x=lambda g, out, x: g * (1 - out * out) * np.where(x == number, 1.5, 1),
    )
    right = op(lambda x: np.tanh(x), x=lambda g, out, x: g * (1 - out * out))
    for point in ([number], [0.3, number], [40.0, number, number]):
        x = mg.Tensor(np.array(point, float), True)
        assert mg.check_graph(np.sum(wrong(x))).first_wrong.op == "<lambda>"
        assert mg.check_graph(np.sum(right(x)))


@pytest.mark.parametrize("point", [[1.0, 1.0, 0.0], [0.7, 0.7, 0.1]])
def test_a_gradient_that_every_tie_of_a_maximum_gets_whole_is_wrong(break_rule, point):
    x = mg.Tensor(np.array(point), True)
    assert mg.gradcheck(np.max, x) and mg.check_graph(np.max(x))
    break_rule("max", lambda g, out, x, axis, keepdims: g * (x == out))
    assert not mg.gradcheck(np.max, x, raise_exception=False)
    assert mg.check_graph(np.max(x)).first_wrong.op == "max"


@pytest.mark.parametrize(
    "shape", [(3, 4), (4,), (10, 10)]
)  # as both sides, broadcast, more entries than are looked at alone
def test_a_gradient_that_both_sides_of_a_tie_get_whole_is_wrong(break_rule, shape):
    x = positive_leaf(*(shape if len(shape) > 1 else (3, 4)))
    y = mg.Tensor(x.data.copy() if len(shape) > 1 else x.data[0], True)
    y.data[..., ::2] += 1

    def verdicts():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of projections
            yield mg.gradcheck(np.maximum, (x, y), raise_exception=False)
        yield bool(mg.check_graph(np.sum(np.maximum(x, y))))

    assert [*verdicts()] == [True, True]
    break_rule("maximum", lambda g, out, x, y: g * (x >= y))
    break_rule("maximum", lambda g, out, x, y: g * (y >= x), i=1)
    assert [*verdicts()] == [False, False]


def test_where_a_function_jumps_no_slope_is_right():
    jump = op(lambda x: np.where(x > 1, 5 * x, x), x=lambda g, out, x: g * np.where(x > 1, 5, 1))
    with pytest.raises(GradcheckError, match="NONFINITE"):
        mg.gradcheck(jump, mg.Tensor(np.array([1.0, 2.5]), True))
    assert mg.gradcheck(jump, mg.Tensor(np.array([1 + 1e-9, 1 - 1e-9, 2.5]), True))


def test_a_node_with_entries_at_kinks_is_compared_at_all_others(break_rule):
    x = positive_leaf(40, 50).data
    x[::2, ::7] = 0
    loss = np.sum(F.relu(mg.Tensor(x, True)) * np.cos(x))
    report = mg.check_graph(loss)
    assert {report.rows[0].verdict, report.rows[-1].verdict} == {"KINK"}
    note = report.rows[0].note
    assert "on the two sides of a kink" in note
    assert "160 entries" not in note and "only compared together" in note
    wrong = np.zeros(x.shape)
    wrong[7, 3] = 1e-7
    break_rule("relu", lambda g, out, x: g * (out > 0) * (1 + wrong))
    assert mg.check_graph(loss).first_wrong.op == "relu"


@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-15])
def test_mistakes_are_found_among_kinks(scale, monkeypatch):
    """Mistakes of the engine, since a mistake of a rule is found at its node."""
    right = derivatives.grad

    def changed(change):
        def gradients(*args, **options):
            found = right(*args, **options)
            return [
                mg.Tensor(change(g.data)) if g is not None and g.size == 3000 else g for g in found
            ]

        monkeypatch.setattr(derivatives, "grad", gradients)

    for seed in range(2):
        f, x = near_kinks(scale, seed)
        changed(lambda g: g * 1.0001)
        assert mg.check_graph(f(x), seed).first_wrong.op == "leaf"
        changed(lambda g: g * (1 + 0.01 * (np.arange(3000) == 0)))
        assert mg.check_graph(f(x), seed).first_wrong.op == "leaf"


# ------------------------------------------------------------------------------ what rounding hides


@pytest.mark.parametrize("distance", [1e-6, 1e-7, 2.5e-8, 1e-8, 3e-9, 1e-9, 1e-10])
def test_a_kink_at_any_distance_is_no_jump(distance):
    assert mg.gradcheck(lambda x: np.abs(x - 1), mg.Tensor(np.array([1 + distance]), True))
    assert mg.check_graph(
        F.l1_loss(mg.Tensor(1 + distance * np.array([1, -0.5, 0.3, 2]), True), np.ones(4))
    )


@pytest.mark.parametrize("margin", range(10, 51, 4))
def test_a_confident_prediction_is_right_or_says_nothing(margin):
    scores = mg.Tensor(np.array([[margin, 0, 0], [0, margin + 1.0, 0]]), True)
    labels = np.array([0, 1])
    for loss in (
        lambda z: F.cross_entropy(z, labels),
        lambda z: F.binary_cross_entropy_with_logits(2 * z - margin, np.eye(3)[labels]),
    ):
        assert functions.examine(loss, scores).verdict in ("OK", "VACUOUS")
        assert {row.verdict for row in mg.check_graph(loss(scores)).rows} <= {"OK", "VACUOUS"}


@pytest.mark.parametrize("residual", [1e-6, 1e-10, 1e-14, 1e-16, 0])
def test_a_fit_that_has_converged_is_no_mistake(residual):
    target = np.array([0.1, 0.2, 300.0])
    w = mg.Tensor(target * (1 + residual * np.array([1, 3, -2])), True)
    for loss in (lambda w: np.sum((w - target) ** 2), lambda w: F.mse_loss(w, target)):
        assert functions.examine(loss, w).verdict in ("OK", "VACUOUS")
        assert {row.verdict for row in mg.check_graph(loss(w)).rows} <= {"OK", "VACUOUS"}


@pytest.mark.parametrize(
    "f, x",
    [
        (np.max, [1.0, 1e8]),
        (F.logsumexp, [0.0, 3e7]),
        (lambda x: 1e12 * x * x, [1e-8, 1.0, 1e8]),
        (lambda x: x**20, [1e4]),
    ],
)
def test_large_values_beside_small_ones_are_no_mistakes(f, x):
    assert mg.gradcheck(f, mg.Tensor(np.array(x), True))


def test_a_gradient_of_nothing_but_rounding_has_no_error():
    for f in (lambda x: F.layer_norm(x, (5,)), F.softmax):  # their sums are constant
        report = mg.check_graph(np.sum(f(positive_leaf(5))))
        assert report.first_wrong is None and max(row.error for row in report.rows) < 1e-9


# --------------------------------------------------------------------- rules that are no derivative


def test_a_rule_that_is_another_one_on_tensors_is_found():
    two_faced = op(
        lambda x: np.sinh(x), x=lambda g, out, x: g * (np.cosh(x) if type(x) is np.ndarray else out)
    )
    assert mg.gradcheck(two_faced, positive_leaf(3))
    with pytest.raises(GradcheckError, match="FAIL: gradient 0 differs under create_graph=True"):
        mg.gradgradcheck(two_faced, positive_leaf(3))


def test_a_rule_that_is_not_linear_in_the_cotangent_is_found():
    clipped = op(cube, x=lambda g, out, x: 3 * np.clip(g, -5, 5) * x * x)
    with pytest.raises(
        GradcheckError, match="FAIL: cube for x .*The rule for x is not linear in g"
    ):
        mg.gradcheck(clipped, positive_leaf(3))
    wrong = mg.check_graph(np.sum(np.exp(clipped(positive_leaf(3))))).first_wrong
    assert wrong.op == "cube" and "The rule for x is not linear in g" in wrong.note


def test_a_rule_that_is_declared_missing_is_named_where_one_is_needed():
    scale = op(product, x=lambda g, out, x, y: g * y, y=None)
    x, y, z = positive_leaf(3), positive_leaf(3, seed=1), positive_leaf(3, seed=2)
    report = mg.check_graph(np.sum(scale(x, y) * z))
    assert (
        report.first_wrong.op == "product"
        and "By y, entry (0,): analytic 0" in report.first_wrong.note
    )
    leaves = [row.verdict for row in report.rows if row.op == "leaf"]
    assert leaves == ["AFFECTED", "AFFECTED", "OK"]


@pytest.mark.parametrize(
    "returned, told",
    [
        (lambda g, x: g, r"shape \(\)"),
        (lambda g, x: None, "None"),
        (lambda g, x: np.ones((3, 2)), r"shape \(3, 2\)"),
    ],
)
def test_a_rule_that_returns_no_gradient_is_named(returned, told):
    total = op(lambda x: np.sum(x), x=lambda g, out, x: returned(g, x))
    report = mg.check_graph(np.sin(total(np.exp(positive_leaf(2, 3)))))
    assert report.first_wrong.op == "<lambda>" and [row.verdict for row in report.rows] == [
        "OK",
        "FAIL",
        "OK",
        "AFFECTED",
    ]
    assert re.search(
        f"The rule for x: ValueError: the rule of .* for x returned {told}.*; x has shape \\(2, 3\\)",
        str(report),
    )


def test_a_check_of_unrecorded_or_whole_numbers_is_refused():
    with mg.no_grad(), pytest.raises(GradcheckError, match=r"not recorded: .*no_grad\(\)"):
        mg.gradcheck(np.exp, positive_leaf(3))
    for func in (lambda x: x > 0, lambda x: ()):
        with pytest.raises(TypeError, match="func must return Tensors of floats"):
            mg.gradcheck(func, positive_leaf(3))


def test_results_that_are_not_finite_do_not_count():
    x = mg.Tensor(np.random.default_rng(0).standard_normal((3, 4)), True)
    masked = np.where(np.tri(3, 4, dtype=bool), x, -np.inf)
    report = mg.check_graph(np.sum(F.softmax(masked * 0.5) * np.arange(4.0)))
    assert {row.verdict for row in report.rows} == {"OK"}, report


# -------------------------------------------------------------------------------------------- zeros


@pytest.mark.parametrize("factor", [100, 1 + 1e-6])
def test_a_wrong_entry_is_found_among_weights_that_are_exactly_0(break_rule, factor):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        w = rng.standard_normal(100)
        w[rng.permutation(100)[:25]] = 0
        entry = np.flatnonzero(w)[seed]
        wrong = np.where(np.arange(100) == entry, factor, 1)
        x = mg.Tensor(w, True)
        assert mg.check_graph(F.l1_penalty(x, c=0.1)) and mg.gradcheck(
            partial(F.l1_penalty, c=0.1), x
        )
        break_rule("l1_penalty", lambda g, out, c, w, k=wrong: [c * g * np.sign(w) * k], 1)
        assert mg.check_graph(F.l1_penalty(x, c=0.1), seed).first_wrong.op == "l1_penalty"
        with pytest.raises(GradcheckError, match=rf"entry \({entry},\)"):
            mg.gradcheck(partial(F.l1_penalty, c=0.1), x)
        break_rule("l1_penalty", lambda g, out, c, w: [c * g * np.sign(w)], 1)


def test_a_wrong_entry_is_found_among_thousands_with_a_few_zeros():
    def forward(x):
        return np.maximum(x, 0)

    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal(2500)
        x[100:112] = 0
        wrong = np.where(np.arange(2500) == 7, 1 + 1e-6, 1)
        x[7] = 1.5
        right = op(forward, x=lambda g, out, x: g * (x > 0))
        assert mg.gradcheck(right, mg.Tensor(x, True))
        broken = op(forward, x=lambda g, out, x, k=wrong: g * (x > 0) * k)
        with pytest.raises(GradcheckError, match=r"entry \(7,\)"):
            mg.gradcheck(broken, mg.Tensor(x, True))


# ------------------------------------------------------------------------------- edges and rounding


@pytest.mark.parametrize(
    "f, x",
    [
        (lambda x: np.log(x - 5), 5.001),
        (lambda x: np.log(x - 5), 5 + 1e-9),
        (np.arcsin, 0.9999),
        (np.arccos, -0.99999999),
        (np.arcsin, 1 - 5e-15),
        (np.arctanh, 1 - 1e-13),
        (np.arctanh, 1 - 1e-15),
        (lambda p: np.log(1 - p), 0.9999),
        (np.sqrt, 1e-30),
        (np.exp, 700.0),
    ],
)
def test_at_the_edge_of_a_domain_right_gradients_pass(f, x):
    assert mg.gradcheck(f, mg.Tensor(np.array([x]), True))
    assert mg.check_graph(np.sum(f(mg.Tensor(np.array([x]), True))))


@pytest.mark.parametrize("size", [1e-71, 5e-16, 1.0])
def test_a_forward_that_loses_tiny_complex_numbers_takes_a_difference(size):
    """NumPy's log1p does so near 0, and the complex step gives nan."""
    right = op(lambda x: np.log1p(x), x=lambda g, out, x: g / (1 + x))
    wrong = op(lambda x: np.log1p(x), x=lambda g, out, x: 1.01 * g / (1 + x))
    x = mg.Tensor(size * np.array([2.3, 1.5, 1.2]), True)
    assert mg.gradcheck(right, x)
    with pytest.raises(GradcheckError, match="FAIL"):
        mg.gradcheck(wrong, x)


def strict_arcsin(x):
    if np.any(abs(np.real(x)) > 1):
        raise ValueError("arcsin: a number is larger than 1")
    return np.arcsin(x)


@pytest.mark.parametrize("arcsin", [lambda x: np.arcsin(x), strict_arcsin], ids=["nan", "error"])
def test_numbers_that_a_step_or_a_rounding_moves_out_of_a_domain_tell_nothing(arcsin):
    right = op(arcsin, x=lambda g, out, x: g / np.cos(out))
    wrong = op(arcsin, x=lambda g, out, x: 1.5 * g / np.cos(out))
    for seed in range(5):
        for distance in 3e-15, 1e-12:
            x = mg.Tensor(np.array([1 - distance, 0.5]), True)
            assert mg.check_graph(np.sum(right(x)), seed)
        assert not mg.check_graph(np.sum(wrong(x)), seed)


@pytest.mark.parametrize("offset", [1e2, 1e5, 1e7])
def test_batch_norm_of_data_far_from_0_is_right(offset):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 5)) + offset, rng.standard_normal((16, 2))
    report = mg.check_graph(F.mse_loss(model(mg.Tensor(x)), y))
    assert report, report


def test_the_bias_before_batch_norm_has_no_error_and_a_wrong_one_is_found(break_rule):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())
    x = np.random.default_rng(0).normal(size=(5, 3))

    def verdicts():
        report = mg.check_graph(np.sum(model(x) ** 2))
        return {row.name: row.verdict for row in report.rows}

    assert set(verdicts().values()) == {"OK"}  # its gradient is rounding alone
    break_rule("linear", lambda g, out, x, weight, bias: 1e-8 * g.sum(axis=0), 2)
    assert verdicts()["0.linear"] == "FAIL"


@pytest.mark.parametrize("seed", range(4))
def test_the_bias_of_filters_before_a_norm_has_no_error(seed):
    """Its gradient is rounding alone, so backward and the plain walk must round alike."""
    mg.manual_seed(seed)
    norm = (nn.BatchNorm2d(4), nn.GroupNorm(2, 4))[seed % 2]
    model = nn.Sequential(nn.Conv2d(2, 4, 1 + seed % 3), norm, nn.Tanh(), nn.Flatten())
    scores = model(np.random.default_rng(seed).standard_normal((2, 2, 6, 5)))
    report = mg.check_graph(F.cross_entropy(scores, np.array([0, 1])), seed)
    assert report, report


@pytest.mark.parametrize("x", [40.0, 700.0, -40.0, -800.0])
def test_a_saturated_gate_is_no_mistake(x):
    for gate in (F.sigmoid, np.tanh, F.erf, F.softplus):
        loss = np.sum(gate(mg.Tensor(np.array([x, x + 1]), True)))
        assert {row.verdict for row in mg.check_graph(loss).rows} <= {"OK", "VACUOUS"}


@pytest.mark.parametrize("x", [5.0, 14.0, 21.0, 22.0, 26.0, 27.0, 30.0])
def test_a_derivative_below_the_smallest_numbers_is_no_mistake(x):
    report = mg.check_graph(np.sum(F.erf(mg.Tensor(np.array([x, -x - 0.1]), True))))
    assert {row.verdict for row in report.rows} <= {"OK", "VACUOUS"}, report


@pytest.mark.parametrize("power", range(-16, 17, 4))
def test_scales_make_no_kinks_and_hide_nothing(power):
    size = 10.0**power
    x = mg.Tensor(size * np.array([[-1.0, 0.7], [0.3, -2.0]]), True)
    for f in (F.relu, np.abs, np.sin, lambda x: x * x, lambda x: F.l1_penalty(x, c=1.0)):
        for factor in (1e-14, 1.0, 1e14):
            report = mg.check_graph(np.sum(factor * f(x)))
            if f is np.sin and power > 8:
                continue  # its argument has no digits left
            assert {row.verdict for row in report.rows} == {"OK"}, report
    wrong = op(cube, x=lambda g, out, x: 3 * g * x * x * (1 + 1e-9))
    assert not mg.check_graph(np.sum(wrong(x)))


# ---------------------------------------------------------------------------------- kinks that meet

MEETING = {  # functions of a point where kinks of two ops meet
    "max of minimum": (lambda v: np.max(np.minimum(0.0, v), axis=0), [[0.0, -1.0], [0.0, -2.0]]),
    "relu of max": (lambda v: F.relu(np.max(v, axis=0)), [[0.0, -1.0], [0.0, 0.0]]),
    "relu minus relu": (lambda v: F.relu(v) - F.relu(-v), [[0.0, 1.0]]),
    "pool over minimum": (
        lambda v: F.max_pool2d(np.minimum(0, v), 2),
        np.zeros((1, 1, 4, 4)).tolist(),
    ),
}


@pytest.mark.parametrize("name", MEETING)
def test_where_kinks_meet_valid_subgradients_are_no_failure(name):
    f, point = MEETING[name]
    x = mg.Tensor(np.array(point), True)
    for seed in range(5):
        report = mg.check_graph(
            np.sum(f(x) * np.cos(np.arange(f(x).size)).reshape(f(x).shape)), seed
        )
        assert report, report
    assert "composition need" in str(report) or report.rows[-1].verdict == "KINK"
    assert mg.gradcheck(f, x)


def test_where_kinks_meet_a_wrong_rule_is_found(break_rule):
    f, point = MEETING["relu minus relu"]
    break_rule("relu", lambda g, out, x: g * np.where(x == 0, 1.5, x > 0))
    x = mg.Tensor(np.array(point), True)
    assert mg.check_graph(np.sum(f(x))).first_wrong.op == "relu"
    assert not mg.gradcheck(f, x, raise_exception=False)


# -------------------------------------------------------------------------- linear in the cotangent

NOT_LINEAR = {
    "negative cotangents are lost": lambda g: np.maximum(g, 0),
    "large ones": lambda g: np.where(abs(g) > 100, 0, g),
    "small ones": lambda g: np.where(abs(g) < 1e-2, 0, g),
    "a constant": lambda g: g + 1e-6,
    "a bend": lambda g: g + 1e-9 * g * abs(g),
}


@pytest.mark.parametrize("name", NOT_LINEAR)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_rule_is_linear_in_cotangents_of_all_signs_and_sizes(name, shape):
    wrong = op(np_sin, x=lambda g, out, x: NOT_LINEAR[name](g) * np.cos(x))
    for seed in range(5):
        x = positive_leaf(*shape, seed=seed)
        assert not mg.gradcheck(wrong, x, raise_exception=False)
        assert not mg.gradcheck(lambda x: 2 + np.exp(wrong(x)), x, raise_exception=False)
        assert mg.check_graph(np.sum(np.exp(wrong(x))), seed).first_wrong.op == "np_sin"


def np_sin(x):
    return np.sin(x)


# ----------------------------------------------------------------------- each part of a direction counts


def test_an_entry_of_small_gradient_counts_as_much_as_others():
    x = np.linspace(1, 2, 2000)
    x[77] = 1e-2
    wrong = np.where(np.arange(2000) == 77, 1 + 1e-8, 1)  # of 3e-4, beside gradients of 3 to 12
    broken = op(cube, x=lambda g, out, x: 3 * g * x * x * wrong)
    assert mg.check_graph(np.sum(broken(mg.Tensor(x, True)))).first_wrong.op == "cube"


@pytest.mark.parametrize("at", range(6))
def test_a_gradient_counts_however_small_it_is_beside_others(at):
    x, i = mg.Tensor(np.array([-60.0, -7.0, 2e-5, 1.0, 12.0, 80.0]), True), np.arange(6)
    wrong = op(lambda x: np.exp(x), x=lambda g, out, x: g * out * (1 + 1e-9 * (i == at)))
    assert not mg.check_graph(np.sum(wrong(x)))


def test_an_entry_whose_gradient_is_rounding_does_not_hide_others(break_rule):
    x = mg.Tensor(np.array([17.0, 0.5]), True)  # 1 - tanh(17)^2 has no digit left
    assert {row.verdict for row in mg.check_graph(np.sum(np.tanh(x))).rows} == {"OK"}
    break_rule("tanh", lambda g, out, x: (g - g * out * out) * (1 + 1e-7))
    assert mg.check_graph(np.sum(np.tanh(x))).first_wrong.op == "tanh"


def test_many_entries_whose_gradients_lose_digits_do_not_hide_one_that_is_wrong():
    for seed in range(3):
        x = 5 * np.random.default_rng(seed).standard_normal(2000)
        x[77] = 0.5
        wrong = np.where(np.arange(2000) == 77, 1 + 1e-7, 1)
        broken = op(lambda x: np.tanh(x), x=lambda g, out, x, k=wrong: (g - g * out * out) * k)
        assert mg.check_graph(np.sum(np.tanh(mg.Tensor(x, True))), seed)
        assert not mg.check_graph(np.sum(broken(mg.Tensor(x, True))), seed)


def test_a_leaf_that_rounding_nearly_hides_does_not_hide_others(monkeypatch):
    a, b = positive_leaf(3), positive_leaf(2, seed=1)

    def loss():
        return np.sum(np.sin(a)) + np.sum(1e6 * b) - np.sum((1e6 - 1e-4) * b)

    assert mg.check_graph(loss())
    right = derivatives.grad

    def gradients(*args, **options):
        found = right(*args, **options)
        inputs = args[1]
        return [
            mg.Tensor(g.data * (1 + 1e-5)) if g is not None and x.is_leaf and x.shape == (3,) else g
            for x, g in zip(inputs, found)
        ]

    monkeypatch.setattr(derivatives, "grad", gradients)
    assert mg.check_graph(loss()).first_wrong.shape == (3,)


def test_an_entry_beside_zeros_in_value_is_compared_apart_from_them():
    x = np.random.default_rng(0).standard_normal(2000)
    x[::2] = 0
    nearest = np.argmin(np.where(x == 0, np.inf, abs(x)))
    wrong = np.where(np.arange(2000) == nearest, 1 + 1e-6, 1)
    assert mg.check_graph(F.l1_penalty(mg.Tensor(x, True), c=1.0))
    broken = op(lambda x: np.maximum(x, -x), x=lambda g, out, x: g * np.sign(x) * wrong)
    assert mg.check_graph(np.sum(broken(mg.Tensor(x, True)))).first_wrong is not None


# ----------------------------------------------------------------------------- extreme magnitudes


def exp_root(x):
    return np.sqrt(np.exp(-x))


EXTREME = {  # name: (f, points)
    "log of softmax": (
        lambda x: np.log(F.softmax(x)),
        [[0.0, -gap, -1.0] for gap in (264, 270, 300, 500, 690)],
    ),
    "one log of softmax": (lambda x: np.log(F.softmax(x))[1], [[0.0, -270.0], [0.0, -690.0]]),
    "log of sigmoid": (lambda x: np.log(F.sigmoid(x)), [[-300.0, 1.0], [-700.0]]),
    "root": (np.sqrt, [[1e-120, 2.0], [1e-150], [1e-300, 1e-200, 1.0]]),
    "root of exp": (exp_root, [[300.0, 1.0], [700.0]]),
    "log": (np.log, [[1e-120], [1e-300, 1.0]]),
    "inverse": (lambda x: 1 / x, [[1e-120, 1.0], [1e-150], [1e120]]),
    "ratio": (lambda x: x / x[::-1], [[1e-150, -2e-150, 3e-150]]),
    "deviation": (np.std, [[1e-120, -1e-120, 2e-120], [0.0, 2.5e-150, 0.0, 0.0]]),
    "norm": (lambda x: F.group_l2(x, c=1.0, axis=0), [[1e-130, -1e-130, 2e-130]]),
    "product": (np.prod, [[1e-200, 2.0, 3.0], [1e-100, 0.0, 3.0]]),
    "a small factor": (lambda x: 1e-280 * np.sin(x), [[1.0, 2.0]]),
    "a large factor": (lambda x: 1e280 * np.sin(x), [[1.0, 2.0]]),
    "a large number": (lambda x: np.tanh(x / 1e300), [[1e300, 2e300]]),
    "an angle": (lambda x: np.arctan2(x[::2], x[1::2]), [[1e6, 3e-19], [-2e6, 1e-300], [3.0, 4.0]]),
}


@pytest.mark.parametrize("name", EXTREME)
def test_no_number_is_small_or_large_enough_for_a_false_alarm(name):
    f, points = EXTREME[name]
    for point in points:
        with np.errstate(all="ignore"):
            report = mg.check_graph(np.sum(f(mg.Tensor(np.array(point), True))))
        assert {row.verdict for row in report.rows} <= {"OK", "VACUOUS"}, report


@pytest.mark.parametrize(
    "f, point",
    [
        (lambda x: np.log(F.softmax(x)), [0.0, -400.0, -1.0]),
        (lambda x: np.log(F.sigmoid(x)), [-300.0, 1.0]),
        (lambda x: np.sqrt(np.exp(-x)), [300.0, 1.0]),
        (np.sqrt, [1e-300, 1e-200, 1.0]),
        (np.log, [1e-150, 1e-100, 1.0]),
    ],
)
def test_tiny_numbers_are_checked_too(f, point):
    x = mg.Tensor(np.array(point), True)
    assert mg.check_graph(np.sum(f(x))) and mg.gradcheck(f, x)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-150, 1e-120, 1e-100, 1e200])
def test_wrong_rules_of_tiny_and_large_numbers_are_found(size):
    wrong = op(lambda x: np.sqrt(x), x=lambda g, out, x: g / (2 * out) * (1 + 1e-8))
    for point in ([size], [size, 1.0]):
        assert not mg.check_graph(np.sum(wrong(mg.Tensor(np.array(point), True))))


def test_numbers_that_have_lost_digits_are_no_mistakes():
    for f in (np.sqrt, np.log, lambda x: 1 / x):
        with np.errstate(all="ignore"):
            report = mg.check_graph(np.sum(f(mg.Tensor(np.array([1e-310]), True))))
        assert "FAIL" not in {row.verdict for row in report.rows}


def test_the_deviation_of_equal_numbers_is_no_mistake_where_their_mean_is_rounded():
    equal = [a for a in np.random.default_rng(0).uniform(1, 2, 200) if np.std([a, a, a]) > 0]
    assert len(equal) > 5
    for a in equal:
        report = mg.check_graph(
            np.sum(np.std(mg.Tensor(np.array([[a, a, a], [1, 2, 4]]), True), 1))
        )
        assert report.first_wrong is None, report


@pytest.mark.parametrize("size", [1e-150, 1e-130, 1e-100, 1.0])
@pytest.mark.parametrize("n", [7, 11, 30])
def test_the_deviation_of_many_equal_numbers_is_no_mistake(n, size):
    for seed, a in enumerate(size * np.random.default_rng(n).uniform(1, 10, 10)):
        for f in (np.std, np.var):
            report = mg.check_graph(f(mg.Tensor(np.full(n, a), True)), seed)
            assert report.first_wrong is None, report


@pytest.mark.parametrize("seed", range(10))
def test_what_cancels_inside_an_op_is_no_mistake(seed):
    x = mg.Tensor(np.array([[0.1952932, 17.64012561 + seed]]), True)  # their sum is constant
    report = mg.check_graph(np.sum(-1.3013 * F.layer_norm(x, (2,))), seed)
    assert {row.verdict for row in report.rows} <= {"OK", "VACUOUS"}, report

"""Diagnoses: each planted pattern must be named, and no other pattern."""

import numpy as np
import pytest
from helpers import OWN_RNG, cube, matrices, positive_leaf, product

import minigrad as mg
from minigrad import functional as F
from minigrad import nn
from minigrad.check import GradcheckError
from minigrad.check.diagnosis import diagnose
from minigrad.check.verdict import FAILING, Alone, Settings
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("own_registry")


# ---------------------------------------------------------------------------------------- diagnosis


def squared(x):
    return x * x


def batch_mean(x):
    return np.mean(x * x, axis=0)


def batch_sum(x):
    return np.sum(x * x, axis=0)


SOME = np.array([[True, False], [True, True], [False, True]])


def masked(x):
    return np.where(SOME, x * x, 0)


def drawing(g, out, x):
    return 2 * g * x * (OWN_RNG.random(np.shape(x)) < 0.7)


DIAGNOSED = {  # name: (forward, shapes, rules, the first hypothesis)
    "factor 2": (
        squared,
        [(3, 2)],
        {"x": lambda g, out, x: 4 * g * x},
        "2 times the numeric gradient",
    ),
    "half": (squared, [(3, 2)], {"x": lambda g, out, x: g * x}, "half the numeric gradient"),
    "sign": (squared, [(3, 2)], {"x": lambda g, out, x: -2 * g * x}, "the sign is wrong"),
    "tiny": (
        squared,
        [(3, 2)],
        {"x": lambda g, out, x: 1e-30 * g * x},
        "5e-31 times the numeric gradient at every entry",
    ),
    "zero": (
        squared,
        [(3, 2)],
        {"x": lambda g, out, x: 0 * g},
        "zero everywhere: the way back is cut",
    ),
    "constant factor": (
        squared,
        [(3, 2)],
        {"x": lambda g, out, x: 1.01 * 2 * g * x},
        "1.01 times the numeric gradient at every entry",
    ),
    "sum for mean": (
        batch_mean,
        [(7, 2)],
        {"x": lambda g, out, x: 2 * g * x},
        "7 times the numeric gradient, and 7 is the size of an axis",
    ),
    "mean for sum": (
        batch_sum,
        [(7, 2)],
        {"x": lambda g, out, x: 2 * g * x / 7},
        "1/7 of the numeric gradient, and 7 is the size of an axis",
    ),
    "transposed, square": (
        matrices,
        [(3, 3), (3, 3)],
        {"x": lambda g, out, x, y: (g @ y.T).T, "y": lambda g, out, x, y: x.T @ g},
        "transposed",
    ),
    "cotangent ignored": (
        squared,
        [(3, 2)],
        {"x": lambda g, out, x: 2 * x},
        "ignores g",
    ),
    "mask ignored": (
        masked,
        [(3, 2)],
        {"x": lambda g, out, x: 2 * g * x},
        "right, except for 2 of 6 entries where it should be zero: a mask is ignored",
    ),
    "another argument": (
        *(product, [(3, 2), (3, 2)]),
        *(
            {"x": lambda g, out, x, y: g * x, "y": lambda g, out, x, y: g * x},
            "this is the gradient by another argument, ",
        ),
    ),
    "noise drawn again": (squared, [(5, 8)], {"x": drawing}, "as if it drew noise of its own"),
    "not a number": (
        squared,
        [(3, 2)],
        {"x": lambda g, out, x: g * np.where(SOME, 2 * x, np.nan)},
        "entry (0, 1): analytic nan",
    ),
}


@pytest.fixture(params=DIAGNOSED)
def diagnosed(request):
    """(op with a wrong rule, inputs, the diagnosis)."""
    forward, shapes, rules, text = DIAGNOSED[request.param]
    return (
        op(forward, **rules),
        tuple(positive_leaf(*shape, seed=i) for i, shape in enumerate(shapes)),
        text,
    )


def test_gradcheck_says_what_is_wrong(diagnosed):
    wrong, inputs, text = diagnosed
    with pytest.raises(GradcheckError) as error:
        mg.gradcheck(wrong, inputs)
    assert text in str(error.value)


def test_check_graph_says_what_is_wrong(diagnosed):
    wrong, inputs, text = diagnosed
    report = mg.check_graph(np.sum(np.sin(wrong(*(np.exp(x) for x in inputs)))))
    assert [row.op for row in report.rows if row.verdict in FAILING] == [wrong.op.name]
    assert text in report.first_wrong.note


DROPOUTS = {  # wrong rules of dropout at p = 0.3: (rule, the first hypothesis)
    "scale lost": (
        lambda g, noise, p: g * noise,
        "(1 - p) times the numeric gradient, p = 0.3: the scale 1/(1 - p) is lost",
    ),
    "scaled twice": (
        lambda g, noise, p: g * noise / (1 - p) ** 2,
        "1/(1 - p) times the numeric gradient, p = 0.3: scaled once too often",
    ),
    "p and 1 - p swapped": (
        lambda g, noise, p: g * noise / p,
        "(1 - p)/p times the numeric gradient, p = 0.3: p and 1 - p are swapped",
    ),
    "p times": (
        lambda g, noise, p: g * noise * p / (1 - p),
        "p times the numeric gradient, p = 0.3",
    ),
    "mask ignored": (lambda g, noise, p: g / (1 - p), "a mask is ignored"),
    "kept and dropped swapped": (lambda g, noise, p: g * ~noise / (1 - p), ""),
    "mask drawn again": (
        lambda g, noise, p: g * (OWN_RNG.random(noise.shape) > p) / (1 - p),
        "as if it drew noise of its own",
    ),
    "cut": (lambda g, noise, p: 0 * g, "zero everywhere"),
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_a_wrong_dropout_is_diagnosed(break_rule, name):
    rule, text = DROPOUTS[name]
    break_rule("dropout", lambda g, out, x, noise, p, scaling: rule(g, noise, p))
    with pytest.raises(GradcheckError) as error:
        mg.gradcheck(lambda x: F.dropout(np.exp(x), 0.3, training=True), positive_leaf(5, 8))
    assert text in str(error.value) and (text or "Diagnosis" not in str(error.value))
    report = mg.check_graph(
        np.sum(np.sin(nn.Sequential(nn.Tanh(), drop=nn.Dropout(0.3))(positive_leaf(5, 8))))
    )
    assert [row.name for row in report.rows if row.verdict in FAILING] == ["drop.dropout"]
    assert text in report.first_wrong.note


def random_error(rng, right):
    """A wrong gradient without a simple pattern."""
    size = 10 ** rng.uniform(-5, 1)
    noise = rng.standard_normal(right.shape)
    return [
        lambda: right + size * noise,
        lambda: right * (1 + size * noise),
        lambda: right + size * (rng.permutation(right.size).reshape(right.shape) == 0),  # one entry
        lambda: (
            right * (1 + size * rng.permutation(np.arange(right.size) % 2).reshape(right.shape))
        ),  # half of them
        lambda: right + size * np.sin(7 * right),
        lambda: np.roll(right, 1) + size * noise,
        lambda: abs(noise),
    ][rng.integers(7)]()


@pytest.mark.parametrize("seed", range(200))
def test_a_random_error_has_no_simple_pattern(seed):
    x = np.random.default_rng([seed, 0]).uniform(0.5, 1.5, (2, 5))
    wrong = op(cube, x=lambda g, out, x: g * random_error(np.random.default_rng(seed), 3 * x * x))
    with pytest.raises(GradcheckError) as error:
        mg.gradcheck(wrong, mg.Tensor(x, True))
    assert "relative difference" in str(error.value) and "Diagnosis" not in str(error.value)
    note = mg.check_graph(np.sum(np.sin(wrong(mg.Tensor(x, True))))).first_wrong.note
    assert "relative difference" in note and "Diagnosis" not in note


@pytest.mark.parametrize("rows, seed", [(n, s) for n in (1, 3) for s in range(5)])
def test_an_error_too_small_for_a_pattern_has_none(rows, seed):
    tiny = op(
        cube,
        x=lambda g, out, x: (
            3 * g * x * x * (1 + 3e-7 * np.random.default_rng(seed).uniform(-1, 1, x.shape))
        ),
    )
    with pytest.raises(GradcheckError, match="relative difference") as error:
        mg.gradcheck(tiny, positive_leaf(rows, 4, seed=seed))
    assert "Diagnosis" not in str(error.value)


RIGHT = {  # nodes of two operands
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "matmul": np.matmul,
    "where": lambda x, y: np.where(SOME[:, :1], x, y),
    "concatenate": lambda x, y: np.concatenate([x, y]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_is_never_diagnosed(name):
    node = RIGHT[name](positive_leaf(3, 3), positive_leaf(3, 3, seed=1))
    alone = Alone(node, Settings(np.random.default_rng(0)))
    assert len(alone.gradients) == 2
    for i in alone.gradients:
        assert diagnose(alone, i) == ""


def diagnosis_of(forward, shapes, rules):
    wrong = op(forward, **rules)
    inputs = tuple(positive_leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    return mg.check_graph(np.sum(np.sin(wrong(*inputs)))).first_wrong.note.partition("Diagnosis: ")[
        2
    ]


def test_two_hypotheses_that_fit_are_both_named():
    text = diagnosis_of(batch_sum, [(2, 3)], {"x": lambda g, out, x: g * x})
    assert "half the numeric gradient: a factor 2 is lost" in text
    assert ", or 1/2 of the numeric gradient, and 2 is the size of an axis" in text


@pytest.mark.parametrize("i", [0, 1])
def test_an_operand_of_a_product_that_is_not_transposed_is_named(i):
    rules = {"x": lambda g, out, x, y: g @ y.T, "y": lambda g, out, x, y: x.T @ g}
    rules |= {"x": lambda g, out, x, y: g @ y} if i == 0 else {"y": lambda g, out, x, y: x @ g}
    text = diagnosis_of(matrices, [(3, 3), (3, 3)], rules)
    assert text == f"it would be right if {'yx'[i]} were transposed."

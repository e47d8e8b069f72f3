"""The rules of one node: linear in the cotangent, each wrong one named, what lost factors are called."""

import re

import numpy as np
import pytest
from helpers import positive_leaf, product

import minigrad as mg
from minigrad.array import data_of
from minigrad.check import GradcheckError
from minigrad.check.__main__ import main
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("own_registry")


def np_sin(x):
    return np.sin(x)


NOT_ADDITIVE = {  # rules that scale as they should
    "signs of sums": lambda g: g * np.sign(np.sum(g)) * np.sign(np.ravel(g)[0]),
    "sizes of pairs": lambda g: np.sign(g) * np.sqrt(abs(g * g[::-1])),
    "the largest": lambda g: np.where(abs(g) == np.max(abs(g)), g, 0.5 * g),
}


@pytest.mark.parametrize("name", NOT_ADDITIVE)
def test_a_rule_gives_for_a_sum_of_cotangents_the_sum(name):
    wrong = op(np_sin, x=lambda g, out, x: NOT_ADDITIVE[name](g) * np.cos(x))
    wrongs = []
    for seed in range(8):  # a pair of cotangents may tell nothing of signs: four in a row, seldom
        report = mg.check_graph(np.sum(wrong(positive_leaf(6, seed=seed))), seed)
        wrongs += [row.note for row in report.rows if row.wrong]
    assert any("for a sum it gives something else than for the parts" in note for note in wrongs)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("factor", [lambda g: g * g / g, lambda g: np.where(g == 0, 1, g)])
def test_a_rule_is_right_where_its_cotangent_is_0(factor):
    wrong = op(np_sin, x=lambda g, out, x: factor(g) * np.cos(x))
    first = mg.check_graph(np.sum(wrong(positive_leaf(60)))).first_wrong
    assert first.op == "np_sin" and "for a sum it gives something else" in first.note


@pytest.mark.parametrize("error", [1e-6, 1e-10])
def test_a_rule_does_not_depend_on_where_its_cotangent_lies_in_memory(error):
    wrong = op(np_sin, x=lambda g, out, x: g * np.cos(x) * (1 + error * (not g.flags.contiguous)))
    first = mg.check_graph(np.sum(wrong(positive_leaf(3)))).first_wrong
    assert first.op == "np_sin" and "gives something else each time it is called" in first.note


@pytest.mark.parametrize("seed", range(5))
def test_a_rule_whose_parts_cancel_is_linear_up_to_their_rounding(seed):
    @op(x=lambda g, out, x, c: g * (c + x) - g * c, c=None)
    def half_square(x, c):
        return x * x / 2 + 0 * c

    large = mg.Tensor(np.full(8, 1e6))
    assert mg.check_graph(np.sum(half_square(positive_leaf(8, seed=seed), large)), seed)


@pytest.mark.parametrize("error", [1e-2, 1e-9])
def test_a_rule_that_is_wrong_for_another_layout_of_its_argument_is_found(error):
    def rule(g, out, x):
        is_plain = data_of(x).flags.contiguous
        return g * np.cos(x) * (1 if is_plain else 1 + error)

    wrong = op(np_sin, x=rule)
    x = positive_leaf(3, 4)
    assert mg.check_graph(np.sum(wrong(x)))
    assert mg.check_graph(np.sum(wrong(x[:, ::2]))).first_wrong.op == "np_sin"
    assert not mg.gradcheck(lambda x: wrong(x[:, ::2]), x, raise_exception=False)


NO_GRADIENTS = {  # what a report tells of a rule that returns no gradient
    "ndarray of complex128": lambda g, out, x: g * np.cos(x) + 0j,
    "ndarray of object": lambda g, out, x: (g * np.cos(x)).astype(object),
    "MaskedArray of float64": lambda g, out, x: np.ma.array(g * np.cos(x)),
    "ValueError: the rule of np_sin for x returned None": lambda g, out, x: None,
    "ValueError: the rule of np_sin for x returned [[": lambda g, out, x: g.tolist(),
    "ZeroDivisionError": lambda g, out, x: g / (1 // 0),
    "ValueError: output array is read-only": lambda g, out, x: np.multiply(g, np.cos(x), out=g),
}


@pytest.mark.parametrize("told", NO_GRADIENTS)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_what_is_no_gradient_is_refused_by_name(told):
    wrong, x = op(np_sin, x=NO_GRADIENTS[told]), positive_leaf(2, 2)
    first = mg.check_graph(np.sum(wrong(x))).first_wrong
    assert first.op == "np_sin" and told in first.note and "test_rules.py" in first.rule
    with pytest.raises(GradcheckError, match=re.escape(told)):
        mg.gradcheck(wrong, x)


def test_each_wrong_rule_of_a_node_is_named():
    wrong = op(product, x=lambda g, out, x, y: 2 * g * y, y=lambda g, out, x, y: -g * x)
    first = mg.check_graph(np.sum(wrong(positive_leaf(3), positive_leaf(3, seed=1)))).first_wrong
    assert "product for x (" in first.rule and "product for y (" in first.rule
    assert re.search("By x, .* Diagnosis: 2 times .* By y, .* Diagnosis: the sign", first.note)
    blind = op(product, x=lambda g, out, x, y: y, y=lambda g, out, x, y: x)
    first = mg.check_graph(np.sum(blind(positive_leaf(3), positive_leaf(3, seed=1)))).first_wrong
    assert first.note.count("ignores g") == 2


def test_a_lost_factor_is_called_by_the_name_of_the_setting():
    def bent(x, slope):
        return np.sin(slope * x)

    lost = op(bent, x=lambda g, out, x, slope: g * np.cos(slope * x), slope=None)
    twice = op(bent, x=lambda g, out, x, slope: slope**2 * g * np.cos(slope * x), slope=None)
    for f, text in ((lost, "a factor slope is lost"), (twice, "a factor slope too many")):
        report = mg.check_graph(np.sum(f(positive_leaf(3), 0.3)))
        assert f"slope = 0.3: {text}" in report.first_wrong.note


ZERO = """
import numpy as np
from minigrad.check.samples.case import binary, unary
from minigrad.registry import op

@op(x=lambda g, out, x: 3 * g * x * x + (x == 0) * g)
def cubed(x):
    return x * x * x

@op(x=lambda g, out, x, y: 2 * g * x * y, y=lambda g, out, x, y: g * x * x * (y != 0))
def mixed(x, y):
    return x * x * y

@op(x=lambda g, out, x: 2 * g / x)
def logarithm(x):
    return np.log(x * x)

@op(x=lambda g, out, x: g * np.sign(x))
def size(x):
    return np.maximum(x, -x)


samples = {f.__name__: unary(f) for f in (cubed, size)}
samples |= {"mixed": binary(mixed)}
samples |= {"logarithm": unary(logarithm, "positive")}
"""


def test_samples_as_the_command_asks_for_are_0_at_some_entries(tmp_path, capsys):
    file = tmp_path / "zero_ops.py"
    file.write_text(ZERO)
    assert main([str(file)])
    printed = capsys.readouterr().out
    assert "cubed(x) | (2, 3): FAIL" in printed
    assert re.search(r"mixed\(x, y\) \| .*: FAIL", printed)
    assert "FAILED: cubed, mixed\n" in printed

"""Ops that a user adds: how they are declared and called, and how errors name them."""

import functools
import inspect
import math

import numpy as np
import pytest
from helpers import leaf

import minigrad as mg
from minigrad import functional as F
from minigrad import registry
from minigrad.check import GradcheckError, gradcheck, gradgradcheck
from minigrad.engine import Tensor, constant, grad
from minigrad.graph import nodes
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("as_before")


def test_an_op_in_a_few_lines():
    @op(x=lambda g, out, x: g * out * (1 + np.log(x)))
    def self_power(x):
        """x to the x."""
        return x**x

    x = leaf([0.5, 1.0, 2.0])
    y = self_power(x)
    assert y.op.name == "self_power"
    assert self_power.__doc__ == "x to the x."
    assert gradcheck(self_power, x)
    assert gradgradcheck(self_power, x)
    assert isinstance(self_power(np.array([2.0])), np.ndarray)
    assert not self_power(Tensor([2.0])).requires_grad


def test_an_op_for_a_numpy_function_and_one_for_a_ufunc():
    @op(numpy=np.diff, x=lambda g, out, x: np.pad(-g, (0, 1)) + np.pad(g, (1, 0)))
    def diff(x):
        return np.diff(x)

    op(
        np.float_power,
        x=lambda g, out, x, y: g * y * x ** (y - 1),
        y=lambda g, out, x, y: g * out * np.log(x),
    )
    x = leaf([0.5, 1.0, 3.0])
    assert np.diff(x).op.name == "diff"
    assert gradcheck(np.diff, x)
    assert np.float_power(x, 2.0).op.name == "float_power"
    assert gradcheck(np.float_power, (x, leaf([[1.0], [2.0]])))
    assert gradgradcheck(np.float_power, (x, leaf([[1.0], [2.0]])))


def test_an_op_with_settings_by_name_and_by_default():
    @op(x=lambda g, out, x, factor, power: g * factor * power * x ** (power - 1))
    def scaled(x, factor, power=2):
        return factor * x**power

    x = leaf([2.0])
    assert [
        f.item()
        for f in (scaled(x, 3), scaled(x, factor=3), scaled(x, 3, 3), scaled(x, power=1, factor=3))
    ] == [12, 12, 24, 6]
    assert gradcheck(lambda x: scaled(x, 3, power=3), x)
    for call, message in (
        (lambda: scaled(x), r"scaled\(\) missing 1 required positional argument: 'factor'"),
        (
            lambda: scaled(x, 1, 2, 3),
            r"scaled\(\) takes from 2 to 3 positional arguments but 4 were given",
        ),
        (
            lambda: scaled(x, 1, axis=0),
            r"scaled\(\) got an unexpected keyword argument 'axis'",
        ),
        (lambda: scaled(x, leaf(1.0)), "scaled has no rule for its argument factor"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_wrong_rule_is_caught_by_gradcheck():
    @op(x=lambda g, out, x: g * 2 * x)
    def cube(x):
        return x**3

    with pytest.raises(GradcheckError, match=r"FAIL: .* By x, entry \(0,\): analytic .*, numeric"):
        gradcheck(cube, leaf([1.5, 2.0]))
    assert not gradcheck(cube, leaf([1.5]), raise_exception=False)


def test_rules_must_belong_to_arguments():
    with pytest.raises(TypeError, match="op double: its arguments are x, its rules are for x, y"):

        @op(x=lambda g, out, x: 2 * g, y=None)
        def double(x):
            return 2 * x

    assert "double" not in registry.ops


def test_a_name_that_another_module_has_taken_is_refused():
    def relu(x):
        return x

    with pytest.raises(
        ValueError, match=r"op relu is already defined in minigrad\.ops\.\w+\. Choose"
    ):
        op(relu, x=lambda g, out, x: g)
    assert registry.ops["relu"].forward is not relu


def test_an_op_can_be_defined_again_where_it_was():
    for factor in (2, 3):

        @op(x=lambda g, out, x, k=factor: k * g)
        def multiple(x, k=factor):
            return k * x

    assert registry.ops["multiple"].defaults == {"k": 3}


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("shape", [(3, 2), (4,), ()], ids=str)
def test_a_rule_of_the_wrong_shape_is_named(shape, recorded):
    @op(
        x=lambda g, out, x, y: g,
        y=lambda g, out, x, y: constant(np.ones(shape)) if recorded else np.ones(shape),
    )
    def crooked(x, y):
        return x + y

    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    with pytest.raises(
        ValueError, match=r"the rule of crooked for y returned shape .*; y has shape \(2, 3\)"
    ):
        grad(crooked(x, y).sum(), [x, y], create_graph=recorded)


@pytest.mark.parametrize("returned", [None, 1.0, "text"], ids=repr)
def test_a_rule_that_returns_no_array_is_named(returned):
    @op(x=lambda g, out, x: returned)
    def hollow(x):
        return +x

    with pytest.raises((TypeError, ValueError, RuntimeError), match="hollow"):
        hollow(leaf([1.0, 2.0])).sum().backward()


def test_an_error_in_a_rule_names_the_op():
    @op(x=lambda g, out, x: g @ np.ones((5, 5)))
    def broken(x):
        return +x

    with pytest.raises(ValueError, match=r"in a rule of broken, called as rule\(g, out, x\): "):
        broken(leaf([1.0, 2.0])).sum().backward()

    @op(x=lambda g, out: g, y=None)
    def unaware(x, y):
        return +x

    with pytest.raises(TypeError, match=r"unaware, called as rule\(g, out, x, y\): "):
        unaware(leaf([1.0]), 2).sum().backward()


def test_an_error_in_a_forward_names_the_op_and_the_shapes():
    @op(x=lambda g, out, x, y: g, y=None)
    def joined(x, y):
        return np.hstack([x, y])

    with pytest.raises(ValueError, match=r"joined.*\(2, 2\) and \(3,\)"):
        joined(leaf(np.ones((2, 2))), np.ones(3))


def test_an_error_class_of_numpy_becomes_a_built_in_one():
    with pytest.raises(TypeError, match=r"less of \(1,\): "):
        leaf([1.0]) < "a"  # noqa: B015


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: x.sum(0, axis=1), r"sum\(\) .*multiple values for argument 'axis'"),
        (lambda x: F.softmax(x, 0, axis=1), r"softmax\(\) .*multiple values for argument 'axis'"),
        (
            lambda x: F.linear(x, x, None, bias=x),
            r"linear\(\) .*multiple values for argument 'bias'",
        ),
        (lambda x: x + "a", "add of .*numbers are needed, got str"),
        (lambda x: None / x, r"divide of \(2, 2\): .*'NoneType'"),
        (
            lambda x: np.ones((2, 2)).__iadd__(x),
            r"np.add\(..., out=\) .* `a \+= t` write `a = a \+ t`",
        ),
    ],
)
def test_wrong_calls_of_ops(call, message):
    with pytest.raises(TypeError, match=message):
        call(leaf(np.ones((2, 2))))


def test_a_keyword_only_argument_of_an_op_cannot_be_passed():
    @op(x=lambda g, out, x: 2 * g)
    def scaled(x, *, factor=2.0):
        return x * factor

    assert scaled(leaf([1.0])).tolist() == [2.0]
    with pytest.raises(TypeError, match="scaled.* got an unexpected keyword argument 'factor'"):
        scaled(leaf([1.0]), factor=3.0)


@pytest.mark.parametrize("forward", [len, math.hypot, functools.partial(np.add, 1.0)])
def test_an_op_of_what_is_no_python_function_is_refused(forward):
    with pytest.raises(AttributeError, match="has no attribute '__code__'"):
        registry.op(forward, x=lambda g, out, x: g)


def test_the_signature_of_an_op_is_known_before_its_first_call():
    @op(x=lambda g, out, x, k: g)
    def stretched(x, k=2.0):
        return k * x

    inverse = op(np.reciprocal, x=lambda g, out, x: -g * out * out)
    for _ in range(2):  # before and after the first call
        assert str(inspect.signature(stretched)) == "(x, k=2.0)"
        assert str(inspect.signature(inverse)) == "(x)"
        assert stretched(leaf([1.0])).item() == 2 and inverse(x=leaf([0.5])).item() == 2


def test_an_op_can_be_called_by_the_names_of_its_arguments():
    @op(
        pred=lambda g, out, pred, target: g * (pred - target),
        target=lambda g, out, pred, target: g * (target - pred),
    )
    def half_square(pred, target):
        return 0.5 * (pred - target) ** 2

    x = leaf([3.0])
    y = half_square(x, target=np.array([1.0]))
    assert [n.op.name for n in nodes(y) if n.args] == ["half_square"] and y.item() == 2
    assert half_square(target=x, pred=x).item() == 0
    with pytest.raises(
        TypeError, match=r"half_square\(\) missing 1 required positional argument: 'target'"
    ):
        half_square(x)


def test_an_op_needs_arguments_that_it_can_name():
    for forward in (lambda: np.ones(2), lambda _x: _x, lambda x_: x_):
        with pytest.raises(TypeError, match="no name of an argument begins or ends with '_'"):
            op(forward)


def test_a_fixed_argument_of_a_family_may_have_a_rule():
    @op(
        scale=lambda g, out, scale, *xs: g * sum(xs),
        xs=lambda g, out, scale, *xs: [g * scale for _ in xs],
    )
    def scaled_sum(scale, *xs):
        return scale * sum(xs)

    s, x, y = leaf([2.0, 3.0]), leaf([1.0, -1.0]), leaf([0.5, 4.0])
    assert gradcheck(scaled_sum, (s, x, y)) and gradgradcheck(scaled_sum, (s, x, y))
    assert mg.check_graph(scaled_sum(s, x, y, x).sum())


def test_an_op_may_have_any_other_names_for_its_arguments():
    @op(op=lambda g, out, op, flags, data: g * flags, flags=None, data=None)
    def odd(op, flags, data=1.0):
        return op * flags

    x = leaf([1.0, 2.0])
    assert grad(odd(op=x, flags=np.array([3.0, 4.0])).sum(), x)[0].tolist() == [3, 4]


def test_a_rule_may_give_one_array_for_several_operands():
    @op(xs=lambda g, out, *xs: [g * 1.0] * len(xs))
    def total(*xs):
        return sum(xs)

    x, y = leaf(np.ones(3)), leaf(np.ones(3))
    total(x, x, y).sum().backward()
    assert x.grad.tolist() == [2, 2, 2] and y.grad.tolist() == [1, 1, 1]
    x.grad = y.grad = None
    total(x, y).sum().backward()
    assert not np.shares_memory(x.grad.data, y.grad.data)


def test_a_changed_rule_of_a_family_is_used_for_every_number_of_operands():
    @op(c=lambda g, out, c, *ws: g * sum(map(np.sum, ws)), ws=lambda g, out, c, *ws: ws)
    def scaled(c, *ws):
        return c * sum(map(np.sum, ws))

    c, w = leaf(2.0), leaf(np.ones(3))
    assert grad(scaled(c, w), c)[0].item() == 3
    registry.ops["scaled"].rules[0] = lambda g, out, c, *ws: 100 * g
    assert grad(scaled(c, w), c)[0].item() == grad(scaled(c, w, w), c)[0].item() == 100


def test_python_numbers_keep_their_digits_beside_arrays():
    x = leaf([0.7, 0.2])
    (g,) = grad(np.einsum("i,->", x, 0.1), x)
    assert g.tolist() == [0.1, 0.1]


def test_a_reduction_of_a_comparison_loses_no_gradient():
    x = leaf([-1.0, 2.0])
    assert np.logical_and.reduce(x > -2).item() is True and np.add.reduce(x > 0).item() == 1
    count = np.zeros(())
    count += (x > 0).sum()
    assert count == 1

"""Every op of the registry: values, rules of first and second order, shapes, dtypes, kinks, and the
ways to call it.
"""

import math
import operator
from array import array as buffer
from collections import defaultdict
from functools import partial

import numpy as np
import pytest
from helpers import cpu_time, leaf, normal, pulled
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import array, ops, registry
from minigrad import functional as F
from minigrad.array import data_of
from minigrad.check import GradcheckError, gradcheck, gradgradcheck
from minigrad.check.samples import samples, table, tensors
from minigrad.check.samples.case import flat
from minigrad.engine import Tensor, constant
from minigrad.graph import nodes
from minigrad.ops import linalg

pytestmark = pytest.mark.filterwarnings(
    "ignore:gradcheck. VACUOUS for "
)  # some samples have a silent input


def each_sample(wanted=lambda name: True):
    """A test of one sample becomes a test of each op, on all its samples. An error names the sample.

    As tests of their own, most samples would cost less than what surrounds them.
    """
    rows = defaultdict(list)
    for title, name, sample, inputs in table():
        if wanted(name):
            rows[name].append((title, sample, inputs))

    def decorate(test):
        def of_an_op(name):
            for title, sample, inputs in rows[name]:
                try:
                    test(name, sample, inputs)
                except (Exception, pytest.fail.Exception) as error:
                    raise AssertionError(title) from error

        of_an_op.__name__ = test.__name__
        return pytest.mark.parametrize("name", rows)(of_an_op)

    return decorate


every_sample = each_sample()


# ----------------------------------------------------------------------------------------- every op


def test_the_table_has_every_op_and_nothing_else():
    missing = set(registry.ops) - set(samples)
    assert not missing, f"ops without samples: {missing}. Add rows in minigrad/check/samples/"
    assert set(samples) == set(registry.ops) and all(samples.values())


def test_the_names_of_samples_are_different_and_their_inputs_the_same_at_each_call():
    names = [row[0] for row in table()]
    assert len(names) == len(set(names)) > 900
    for (_, _, _, first), (_, _, _, again) in zip(table(), table()):
        assert all(np.array_equal(a, b) for a, b in zip(first, again))


@every_sample
def test_a_sample_reaches_its_op(name, sample, inputs):
    assert name in {node.op.name for node in nodes(sample.call(*tensors(inputs))) if node.op}


# The samples whose gradients are 0 by intention. All others have another gradient somewhere, unless
# their inputs or their results are empty.
ZERO = """
    power: x**0 | [0.0, 0.0, 0.0, -1.5]
    clip: np.clip(x, 5, 6) | (2, 3)
    var: np.var(x) | ()
    var: np.var(x) | (1,)
    softmax: softmax(x) | (3, 1)
    log_softmax: log_softmax(x) | (3, 1)
    standardize: standardize(x, None, 0.1) | ()
    standardize: standardize(x, 1, 0.1) | (3, 1)
    l1_penalty: l1_penalty(x, c=0) | (3, 2)
    l2_penalty: l2_penalty(x, c=0) | (3, 2)
    elastic_net: elastic_net(x, l1=0, l2=0) | (3, 2)
    group_l2: group_l2(x, c=0) | (3, 2)
    dropout: dropout(x, Tensor(np.zeros_like(mask)), *s) | (2, 3) | s=(1, 'inverted')
    dropout: dropout(x, Tensor(np.zeros_like(mask)), *s) | (2, 3) | s=(1, 'classic')
    dropout: dropout(x, Tensor(np.zeros_like(mask)), *s) | (2, 3) | s=(0.2,)
"""
ZERO = {line.strip() for line in ZERO.strip().splitlines()}


def test_each_sample_whose_gradients_are_0_is_in_the_table():
    assert not ZERO - {row[0] for row in table()}


@every_sample
def test_first_derivatives(name, sample, inputs):
    out, gradients = pulled(sample.call, *inputs)
    is_empty = not out.size or not any(x.size for x in inputs)
    if is_empty or f"{name}: {sample.name}" in ZERO:
        assert all(g.shape == x.shape and not g.any() for g, x in zip(gradients, inputs))
        if any(x.size for x in inputs):
            with pytest.raises(GradcheckError, match="VACUOUS"):
                gradcheck(sample.call, tensors(inputs))
    else:
        assert gradcheck(sample.call, tensors(inputs))


@every_sample
def test_second_derivatives(name, sample, inputs):
    def curved(*xs):
        return np.sin(
            sample.call(*xs)
        )  # so that a linear op, too, is met with a cotangent that depends on the inputs

    assert gradgradcheck(curved, tensors(inputs))


@every_sample
def test_recorded_and_plain_backward_agree(name, sample, inputs):
    xs = tensors(inputs)
    out = sample.call(*xs)
    u = np.cos(np.arange(out.size)).reshape(out.shape)
    plain = mg.grad(out, xs, u, retain_graph=True, allow_unused=True)
    recorded = mg.grad(out, xs, u, create_graph=True, allow_unused=True)
    for a, b in zip(plain, recorded):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-15)


def strided(x):
    """The values of `x`, backwards and with gaps in memory."""
    wide = np.full(tuple(2 * n for n in x.shape), np.nan)
    view = wide[(*(slice(None, None, -2) for _ in x.shape), ...)]
    view[...] = x
    return view


@every_sample
def test_the_layout_in_memory_changes_nothing(name, sample, inputs):
    value, gradients = pulled(sample.call, *inputs)
    for layout in (partial(np.array, order="F"), strided):
        xs = [constant(layout(x)).requires_grad_() for x in inputs]
        out = sample.call(*xs)
        np.testing.assert_allclose(out.data, value, rtol=1e-12, atol=1e-14)
        found = mg.grad(out, xs, np.ones(out.shape), allow_unused=True)
        for g, expected in zip(found, gradients):
            np.testing.assert_allclose(
                expected * 0 if g is None else g.data, expected, rtol=1e-12, atol=1e-14
            )


@every_sample
def test_the_inputs_and_the_cotangent_are_not_changed(name, sample, inputs):
    xs = tensors(inputs)
    out = sample.call(*xs)
    u = np.full(out.shape, 0.5)
    before = out.data.copy()
    mg.grad(out, xs, u, allow_unused=True)
    assert all(np.array_equal(x.data, original) for x, original in zip(xs, inputs))
    assert np.all(u == 0.5)
    assert np.array_equal(out.data, before)


# Ops that NumPy reaches by a composition, and those that it has no function for: casts among them.
composed = {"getitem", "concatenate", "stack", "einsum"}
reached = {call.op.name for call in array.numpy_functions.values() if hasattr(call, "op")}
own = set(registry.ops) - reached - composed  # their values are tested by hand


@each_sample(lambda name: name not in own)
def test_values_are_equal_to_numpys(name, sample, inputs):
    expected, found = sample.call(*inputs), sample.call(*tensors(inputs))
    assert not isinstance(expected, Tensor)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.data, expected, rtol=1e-14, atol=1e-15)


@each_sample(lambda name: name != "astype")
def test_float32_stays_float32_and_gives_the_gradients_of_float64(name, sample, inputs):
    xs = tensors(inputs, np.float32)
    out = sample.call(*xs)
    assert out.dtype == np.float32
    u, largest = (
        np.cos(np.arange(out.size)).reshape(out.shape),
        max((abs(x).max(initial=0) for x in inputs), default=0),
    )
    exact = tensors([x.data for x in xs])
    expected = mg.grad(sample.call(*exact), exact, u, allow_unused=True)
    for recorded in (False, True):
        found = mg.grad(out, xs, u, create_graph=recorded, retain_graph=True, allow_unused=True)
        for g, wide in zip(found, expected):
            assert g is None or g.dtype == np.float32
            if g is not None:
                np.testing.assert_allclose(
                    g.data,
                    wide.data,
                    rtol=1e-4,
                    atol=1e-4 * abs(wide.data).max(initial=0) + 1e-7 * largest,
                )
    out.backward(u)
    assert all(x.grad is None or x.grad.dtype == np.float32 for x in xs)


closed_forms = {
    "sigmoid": (ops.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "relu": (ops.relu, lambda x: np.where(x > 0, x, 0)),
    "softplus": (ops.softplus, lambda x: np.log(1 + np.exp(x))),
    "erf": (ops.erf, lambda x: np.vectorize(math.erf, otypes=[float])(x)),
    "logsumexp": (ops.logsumexp, lambda x: np.log(np.sum(np.exp(x)))),
    "softmax": (ops.softmax, lambda x: np.exp(x) / np.sum(np.exp(x), -1, keepdims=True)),
    "log_softmax": (
        ops.log_softmax,
        lambda x: np.log(np.exp(x) / np.sum(np.exp(x), -1, keepdims=True)),
    ),
}


@pytest.mark.parametrize("name", closed_forms)
@pytest.mark.parametrize("shape", [(2, 3), (4,), (1, 1), (2, 1, 3)], ids=str)
def test_values_of_ops_that_numpy_lacks(name, shape):
    f, reference = closed_forms[name]
    x = normal(*shape)
    np.testing.assert_allclose(f(leaf(x)).data, reference(x), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        f(x), reference(x), rtol=1e-13, atol=1e-15
    )  # on arrays an op just computes


@pytest.mark.parametrize("x", [(3,), (2, 3), (2, 2, 3)], ids=str)
def test_linear_is_x_times_the_transposed_weight_plus_bias(x):
    x, w, b = normal(*x), normal(4, 3, seed=1), normal(4, seed=2)
    np.testing.assert_allclose(
        ops.linear(leaf(x), w, b).data, np.einsum("...i,oi->...o", x, w) + b, rtol=1e-13, atol=1e-14
    )
    np.testing.assert_allclose(
        ops.linear(leaf(x), w).data, np.einsum("...i,oi->...o", x, w), rtol=1e-13, atol=1e-14
    )


@pytest.mark.parametrize(
    "weight, bias",
    [
        ((3, 2), None),
        ((3,), None),
        ((3, 4), (4,)),
        ((3, 4), (2, 3)),
        ((3, 4), (1, 3)),
    ],
    ids=str,
)
def test_linear_names_the_shapes_it_refuses(weight, bias):
    with pytest.raises(ValueError, match=r"linear: .*\(.*\) (and weight |needs a bias )?\("):
        ops.linear(leaf(normal(2, 4)), normal(*weight), None if bias is None else normal(*bias))


def test_scatter_adds_entries_of_equal_indices():
    assert ops.scatter(leaf([1.0, 2.0, 4.0]), (4,), [0, 0, 2]).tolist() == [3, 0, 4, 0]
    assert ops.scatter(leaf([1.0, 2.0]), (4,), slice(1, 3)).tolist() == [0, 1, 2, 0]


def test_a_cast_carries_the_gradient_in_the_dtype_of_each_side():
    x = leaf([1.0, 2.0], np.float32)
    y = x.astype(np.float64)
    y.retain_grad()
    (y * y).sum().backward()
    assert (y.dtype, y.grad.dtype, x.grad.dtype) == (np.float64, np.float64, np.float32)
    assert x.grad.tolist() == [2, 4]
    assert not x.astype(np.int64).requires_grad


def test_a_product_of_float32_and_float64_gives_each_leaf_its_own_dtype():
    x, y = leaf([1.0], np.float32), leaf([2.0], np.float64)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)


# ------------------------------------------------------------------------------ ways to reach an op

binary = {
    "add": (operator.add, np.add),
    "subtract": (operator.sub, np.subtract),
    "multiply": (operator.mul, np.multiply),
    "divide": (operator.truediv, np.divide),
    "power": (operator.pow, np.power),
    "matmul": (operator.matmul, np.matmul),
}
square = np.array([[1.5, 0.5], [0.25, 2.0]])


@pytest.mark.parametrize("name", binary)
def test_a_binary_operator_and_its_numpy_function_are_the_same_op(name):
    symbol, function = binary[name]
    x, y = leaf(square), leaf(square + 1)
    expected = symbol(square, square + 1)
    for f in (symbol, function):
        for out in (
            f(x, y),
            f(x, square + 1),
            f(square, y),
        ):  # an array on the left must not take over
            assert isinstance(out, Tensor)
            assert out.op.name == name
            np.testing.assert_allclose(out.data, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in binary if name != "matmul"])
@pytest.mark.parametrize(
    "number",
    [2, 2.5, np.float64(2.5), np.float32(2.5), np.int64(2), True],
    ids=lambda n: type(n).__name__,
)
def test_an_operator_takes_numbers_on_both_sides(name, number):
    symbol, function = binary[name]
    x = leaf(square)
    for f in (symbol, function):
        left, right = f(number, x), f(x, number)
        assert (left.op.name, right.op.name) == (name, name)
        np.testing.assert_allclose(left.data, function(number, square))
        np.testing.assert_allclose(right.data, function(square, number))


@pytest.mark.parametrize("name", [name for name in binary if name != "matmul"])
def test_python_numbers_leave_float32_alone(name):
    x = leaf(square, np.float32)
    for number in (2, 2.5, True):
        assert binary[name][0](x, number).dtype == np.float32
        assert binary[name][0](number, x).dtype == np.float32


@pytest.mark.parametrize(
    "f",
    [
        F.relu,
        F.sigmoid,
        F.gelu,
        F.silu,
        partial(F.cross_entropy, target=[1, 0]),
        partial(F.nll_loss, target=[1, 0]),
    ],
)
def test_a_list_is_computed_like_an_array(f):
    np.testing.assert_array_equal(
        f([[1.0, -1.0], [0.5, 2.0]]),
        f(np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)),
        strict=True,
    )


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_sequence_beside_a_tensor_is_an_operand(kind):
    x = leaf([1.0, 2.0], np.float32)
    for out in (
        np.concatenate([kind((1.0, 2.0)), x]),
        np.where([True, False], x, kind((1.0, 2.0))),
    ):
        assert out.dtype == np.float32
        out.sum().backward()
    assert x.grad.tolist() == [2, 1]


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2)])
def test_einsum_takes_numbers(number):
    x = leaf([1.0, -2.0])
    for out in (np.einsum("i,->i", x, number), np.einsum(",i", number, x)):
        assert mg.grad(out.sum(), x)[0].tolist() == [2, 2]


@pytest.mark.parametrize(
    "subscripts, shapes, out",
    [
        ("...i,...i->...", [(0, 4), (3, 1, 1)], (3, 0)),
        ("ij,jk->ik", [(3, 0), (0, 2)], (3, 2)),
        ("ii->i", [(0, 0)], (0,)),
        ("i,j->ij", [(0,), (2,)], (0, 2)),
    ],
)
def test_an_einsum_of_no_entries_never_reaches_numpy(subscripts, shapes, out, monkeypatch):
    """np.einsum (NumPy 2.4) writes beyond the end of an empty result."""
    monkeypatch.setattr(linalg.np, "einsum", None)
    xs = [leaf(np.ones(shape, np.float32), np.float32) for shape in shapes]
    result = linalg.einsum(subscripts, *xs)
    assert result.shape == out and result.dtype == np.float32 and not result.data.any()
    for x, g in zip(xs, mg.grad(result.sum(), xs)):
        assert g.shape == x.shape and not g.data.any()
    with pytest.raises(ValueError, match="label 'j' has the sizes 0 and 5"):
        linalg.einsum("ij,jk->ik", leaf(np.ones((3, 0))), leaf(np.ones((5, 2))))


@pytest.mark.parametrize(
    "subscripts",
    ["ij,jk,kl->il", "ij,kl->jl", "ij,kl->", "ii,kl->kl", "i...,j...->...", "ij,jk->ik"],
)
def test_einsum_of_large_operands_takes_no_loop_over_all_labels(subscripts):
    """Compares with sums and products by hand; a loop over all labels would take minutes."""
    x, y, z = (normal(400, 400, seed=i) / 25 for i in range(3))
    u = normal(400, 400, seed=3)
    ones = np.ones((400, 400))
    by_hand = {
        "ij,jk,kl->il": (x @ y @ z, [u @ (y @ z).T, x.T @ u @ z.T, (x @ y).T @ u]),
        "ij,kl->jl": (np.outer(x.sum(0), y.sum(0)), [ones * (u @ y.sum(0)), ones * (x.sum(0) @ u)]),
        "ij,kl->": (x.sum() * y.sum(), [ones * y.sum(), ones * x.sum()]),
        "ii,kl->kl": (np.trace(x) * y, [np.eye(400) * np.sum(u * y), np.trace(x) * u]),
        "i...,j...->...": (x.sum(0) * y.sum(0), [ones * u[0] * y.sum(0), ones * u[0] * x.sum(0)]),
        "ij,jk->ik": (x @ y, [u @ y.T, x.T @ u]),
    }
    value, gradients = by_hand[subscripts]
    u = 1.0 if np.ndim(value) == 0 else u[0] if np.ndim(value) == 1 else u
    found, pulls = pulled(
        lambda *xs: np.einsum(subscripts, *xs, optimize=True),
        *(x, y, z)[: len(gradients)],
        cotangent=u,
    )
    np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-10 * abs(value).max())
    for g, expected in zip(pulls, gradients, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-10, atol=1e-10 * abs(expected).max())


@pytest.mark.parametrize("name", binary)
def test_a_list_is_an_operand(name):
    x = leaf(square)
    out = binary[name][0](x, [[1.0, 2.0], [2.0, 1.0]])
    assert out.op.name == name
    np.testing.assert_allclose(out.data, binary[name][1](square, [[1.0, 2.0], [2.0, 1.0]]))


unary = {
    "negative": (operator.neg, np.negative),
    "positive": (operator.pos, np.positive),
    "absolute": (abs, np.absolute, np.abs, Tensor.abs),
    "exp": (np.exp, Tensor.exp),
    "log": (np.log, Tensor.log),
    "sqrt": (np.sqrt, Tensor.sqrt),
    "tanh": (np.tanh, Tensor.tanh),
    "sum": (np.sum, Tensor.sum),
    "mean": (np.mean, Tensor.mean),
    "max": (np.max, np.amax, Tensor.max),
    "min": (np.min, np.amin, Tensor.min),
    "prod": (np.prod, Tensor.prod),
    "var": (np.var, Tensor.var),
    "std": (np.std, Tensor.std),
    "transpose": (np.transpose, Tensor.transpose, lambda x: x.T),
    "squeeze": (np.squeeze, Tensor.squeeze),
    "sigmoid": (ops.sigmoid, Tensor.sigmoid),
    "relu": (ops.relu, Tensor.relu),
}


with_arguments = {
    "reshape": [
        lambda x: np.reshape(x, (4, 1)),
        lambda x: x.reshape(4, 1),
        lambda x: x.reshape((4, 1)),
        lambda x: x.reshape(-1, 1),
    ],
    "transpose": [
        lambda x: np.transpose(x, (1, 0)),
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((1, 0)),
    ],
    "swapaxes": [lambda x: np.swapaxes(x, 0, 1), lambda x: x.swapaxes(0, 1)],
    "sum": [
        lambda x: np.sum(x, axis=0),
        lambda x: x.sum(0),
        lambda x: x.sum(axis=0),
        lambda x: np.sum(x, 0, keepdims=False),
    ],
    "clip": [
        lambda x: np.clip(x, 0, 1),
        lambda x: x.clip(0, 1),
        lambda x: x.clip(a_min=0, a_max=1),
    ],
    "var": [lambda x: np.var(x, 0, ddof=1), lambda x: x.var(0, 1), lambda x: x.var(axis=0, ddof=1)],
    "matmul": [
        lambda x: x @ x,
        lambda x: x.matmul(x),
        lambda x: np.matmul(x, x),
        lambda x: np.dot(x, x),
    ],
}


@pytest.mark.parametrize(("name", "forms"), [*unary.items(), *with_arguments.items()])
def test_operator_function_and_method_are_the_same_op(name, forms):
    outs = [f(leaf(square)) for f in forms]
    assert {out.op.name for out in outs} == {name}
    assert all(np.array_equal(out.data, outs[0].data) for out in outs)


compositions = flat(
    [
        "np.dot(x, y) | (3,), (3,); (2, 3), (3, 2); (), (3,)",
        "np.outer(x, y) | (2,), (3,); (2, 2), (3,)",
        "np.trace(x); np.trace(x, offset=1) | (3, 3); (2, 3)",
        "np.trace(x, axis1=1, axis2=2) | (2, 3, 3)",
        "np.tril(x); np.tril(x, 1); np.triu(x, -1) | (3,); (3, 2); (2, 3, 2)",
        "np.take(x, [0, 0, 4]); np.take(x, [0, 0, 2], axis=1); np.take(x, 1, axis=-1) | (2, 3)",
        "np.take_along_axis(x, np.array([[0], [2]]), axis=1) | (2, 3)",
        "np.take_along_axis(x, np.array([[0, 1, 1]]), axis=-2) | (2, 3)",
        "np.concatenate(np.split(x, 2, axis=1)) | (2, 4)",
        "np.concatenate(np.split(x, [1, 3])[::-1]) | (4, 2)",
        "np.repeat(x, 2); np.repeat(x, [2, 0, 1], axis=-1); np.tile(x, (2, 1, 3)) | (2, 3)",
        "np.tile(x, 2); np.tile(x, (3,)) | (2, 3); (2, 2, 2)",
        "np.hstack(xs) | (2, 3), (2, 1); (3,), (), (2,)",
        "np.vstack(xs) | (3,), (2, 3), (3,)",
        "np.diff(x); np.diff(x, n=2, axis=0) | (4, 2)",
        "np.diagonal(x); np.sum(np.diagonal(x, 5)) + np.sum(x) | (3, 4)",
        "np.diagonal(x, -1, axis1=2, axis2=0) | (3, 2, 4)",
        "np.ravel(x); x.flatten() | (2, 3)",
    ]
)


@pytest.mark.parametrize("sample", compositions, ids=repr)
def test_numpy_functions_made_of_ops(sample):
    arrays = sample.inputs()
    out, expected = sample.call(*tensors(arrays)), sample.call(*arrays)
    assert out.shape == np.shape(expected)
    np.testing.assert_allclose(out.data, expected, rtol=1e-14, atol=1e-14)
    assert gradcheck(sample.call, tensors(arrays))
    assert gradgradcheck(lambda *xs: np.sin(sample.call(*xs)), tensors(arrays))


without_gradient = {
    "equal": (np.equal, operator.eq),
    "not_equal": (np.not_equal, operator.ne),
    "less": (np.less, operator.lt),
    "less_equal": (np.less_equal, operator.le),
    "greater": (np.greater, operator.gt),
    "greater_equal": (np.greater_equal, operator.ge),
    "floor_divide": (np.floor_divide, operator.floordiv),
}


@pytest.mark.parametrize("name", without_gradient)
def test_functions_without_a_gradient_give_plain_data(name):
    x = leaf([[1.0, 2.5], [-3.0, 4.0]])
    for f in without_gradient[name]:
        for other in (2.0, np.array([2.0, 2.5]), leaf([2.0, 2.5])):
            for a, b in ((x, other), (other, x)):
                out = f(a, b)
                assert isinstance(out, Tensor)
                assert not out.requires_grad
                assert np.array_equal(out.data, f(data_of(a), data_of(b)))


@pytest.mark.parametrize(
    "f",
    [
        np.sign,
        np.floor,
        np.ceil,
        np.rint,
        np.round,
        np.isnan,
        np.argmax,
        np.argsort,
        np.any,
        np.zeros_like,
    ],
    ids=lambda f: f.__name__,
)
def test_flat_and_discrete_functions_give_plain_data(f):
    out = f(leaf([0.4, -1.6]))
    assert not out.requires_grad
    assert np.array_equal(out.data, f(np.array([0.4, -1.6])))


# -------------------------------------------------------------------------------------------- kinks

nan = float("nan")
kinks = {
    "relu is flat at 0": (ops.relu, [-1.0, 0.0, 2.0], [0, 0, 1]),
    "abs is flat at 0": (np.absolute, [-1.0, 0.0, 2.0], [-1, 0, 1]),
    "max shares among ties": (np.max, [3.0, 1.0, 3.0, 3.0], [1 / 3, 0, 1 / 3, 1 / 3]),
    "max shares along an axis": (
        lambda x: np.max(x, axis=1),
        [[2.0, 2.0], [1.0, 0.0]],
        [[0.5, 0.5], [1, 0]],
    ),
    "max shares over several axes": (
        lambda x: np.max(x, axis=(0, 2)),
        [[[5.0, 5.0]], [[5.0, 1.0]]],
        [[[1 / 3, 1 / 3]], [[1 / 3, 0]]],
    ),
    "min shares among ties": (np.min, [-3.0, 1.0, -3.0], [0.5, 0, 0.5]),
    "maximum halves a tie": (lambda x: np.maximum(x, 1.0), [0.0, 1.0, 2.0], [0, 0.5, 1]),
    "maximum halves a tie on the right": (
        lambda x: np.maximum(1.0, x),
        [0.0, 1.0, 2.0],
        [0, 0.5, 1],
    ),
    "maximum of x and x is x": (lambda x: np.maximum(x, x), [0.0, 1.0], [1, 1]),
    "minimum halves a tie": (lambda x: np.minimum(x, 1.0), [0.0, 1.0, 2.0], [1, 0.5, 0]),
    "minimum of x and x is x": (lambda x: np.minimum(x, x), [0.0, 1.0], [1, 1]),
    "clip lets through at its bounds": (
        lambda x: np.clip(x, -1, 1),
        [-2.0, -1.0, 0.0, 1.0, 2.0],
        [0, 1, 1, 1, 0],
    ),
    "std is flat at 0": (np.std, [2.0, 2.0, 2.0], [0, 0, 0]),
    "std is flat at 0 along an axis": (
        lambda x: np.std(x, axis=1),
        [[2.0, 2.0], [1.0, 3.0]],
        [[0, 0], [-0.5, 0.5]],
    ),
    "x**0 is flat at 0": (lambda x: x**0, [0.0, 2.0], [0, 0]),
    "x**1 has slope 1 at 0": (lambda x: x**1, [0.0, -2.0], [1, 1]),
    "x**2 is flat at 0": (lambda x: x**2, [0.0, -2.0], [0, -4]),
    "prod with one zero": (np.prod, [2.0, 0.0, 3.0], [0, 6, 0]),
    "prod with two zeros": (np.prod, [2.0, 0.0, 0.0], [0, 0, 0]),
    "0**y is flat for y > 0": (lambda y: np.power(0.0, y), [1.0, 2.0], [0, 0]),
    "where does not leak the branch not taken": (
        lambda x: np.where(x > 0, x, 0.0),
        [-1.0, nan, 2.0],
        [0, 0, 1],
    ),
}


@pytest.mark.parametrize("name", kinks)
def test_the_slope_at_a_kink(name):
    f, x, expected = kinks[name]
    with np.errstate(all="raise"):
        _, (gradient,) = pulled(f, x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-15)


def test_both_sides_of_a_tie_share():
    for f in (np.maximum, np.minimum):
        _, (gx, gy) = pulled(f, [1.0, 2.0], [1.0, 2.0])
        assert gx.tolist() == gy.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "f",
    [ops.sigmoid, np.tanh, ops.softplus, ops.softmax, ops.log_softmax, ops.logsumexp, ops.erf],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_neither_overflow_nor_give_nan(f, dtype):
    x = leaf([-1e4, -90.0, 0.0, 90.0, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        out = f(x)
        out.backward(np.ones(out.shape))
    assert np.isfinite(out.data).all()
    assert np.isfinite(x.grad.data).all()


# --------------------------------------------------------------------------------------- properties


@st.composite
def broadcastable(draw):
    """Two shapes up to rank 3 that broadcast, and a seed."""
    full = draw(st.lists(st.integers(0, 3), max_size=3))

    def part():
        kept = full[draw(st.integers(0, len(full))) :]
        return tuple(1 if draw(st.booleans()) else n for n in kept)

    return part(), part(), draw(st.integers(0, 2**32 - 1))


def summed_to(g, shape):
    """g, summed over broadcast axes: it adds entry after entry at its index and uses no reduction."""
    out = np.zeros(shape)
    for index in np.ndindex(g.shape):
        tail = index[len(index) - len(shape) :]
        out[tuple(0 if n == 1 else i for i, n in zip(tail, shape))] += g[index]
    return out


slopes = {
    "add": (np.add, lambda x, y: (1 + 0 * x * y, 1 + 0 * x * y)),
    "subtract": (np.subtract, lambda x, y: (1 + 0 * x * y, -1 + 0 * x * y)),
    "multiply": (np.multiply, lambda x, y: (y + 0 * x, x + 0 * y)),
    "divide": (np.divide, lambda x, y: (1 / y + 0 * x, -x / y**2)),
    "power": (np.power, lambda x, y: (y * x ** (y - 1), x**y * np.log(x))),
    "maximum": (np.maximum, lambda x, y: (1.0 * (x > y), 1.0 * (y > x))),
    "logaddexp": (np.logaddexp, lambda x, y: (1 / (1 + np.exp(y - x)), 1 / (1 + np.exp(x - y)))),
    "where": (lambda x, y: np.where(x > y, x, y), lambda x, y: (1.0 * (x > y), 1.0 * (x <= y))),
}


@pytest.mark.parametrize("name", slopes)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(broadcastable())
def test_broadcasting_is_undone(name, drawn):
    f, derivatives = slopes[name]
    shape_x, shape_y, seed = drawn
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.5, 2, shape_x), rng.uniform(0.5, 2, shape_y)
    w = rng.standard_normal(np.broadcast_shapes(shape_x, shape_y))
    _, (gx, gy) = pulled(lambda x, y: np.sum(w * f(x, y)), x, y)
    dx, dy = derivatives(x, y)
    np.testing.assert_allclose(gx, summed_to(w * dx, shape_x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gy, summed_to(w * dy, shape_y), rtol=1e-12, atol=1e-14)


@st.composite
def indexed(draw):
    """A shape, a valid index into it, and a seed."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    length = draw(st.integers(1, 3))  # of every index array, so that they broadcast
    index = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(-n - 1, n + 1)
        index.append(
            draw(
                st.integers(-n, n - 1)
                | st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1, -2]))
                | st.lists(st.integers(-n, n - 1), min_size=length, max_size=length)
            )
        )
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), None)
    if len([i for i in index if i is not None]) == len(shape) or draw(st.booleans()):
        index.append(...)
    return shape, tuple(index), draw(st.integers(0, 2**32 - 1))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(indexed())
def test_the_gradient_of_an_index_adds_at_it(drawn):
    shape, index, seed = drawn
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    w = rng.standard_normal(x[index].shape)
    out, (gradient,) = pulled(lambda x: np.sum(w * x[index]), x)
    expected = np.zeros(shape)
    np.add.at(expected, index, w)
    np.testing.assert_allclose(out, np.sum(w * x[index]), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-14)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 99))
def test_repeated_rows_get_the_sum_of_their_cotangents(rows, seed):
    x, w = normal(5, 2, seed=seed), normal(len(rows), 2, seed=seed + 1)
    for index in (
        rows,
        np.array(rows),
        constant(np.array(rows)),
        np.array(rows, np.uint8),
        [r - 5 for r in rows],
    ):
        _, (gradient,) = pulled(lambda x, index=index: x[index], x, cotangent=w)
        expected = np.array(
            [sum((w[k] for k, r in enumerate(rows) if r == row), np.zeros(2)) for row in range(5)]
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "index",
    [
        ((0, 0, 1),),
        (((0, 0), (1, 0)), 1),
        ([(0, 0), (0, 1)],),
        (buffer("i", [1, 1]),),
        buffer("i", [1, 1]),
        [],
        ([], 1),
    ],
    ids=str,
)
def test_any_sequence_is_an_index_as_in_numpy(index):
    x = normal(3, 2)
    w = normal(*x[index].shape, seed=1)
    out, (gradient,) = pulled(lambda x: x[index], x, cotangent=w)
    expected = np.zeros(x.shape)
    np.add.at(expected, index, w)
    np.testing.assert_array_equal(out, x[index])
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
@pytest.mark.parametrize("shape", [(90, 64), (90, 3, 4), (3, 0)])
def test_rows_are_added_in_the_order_in_which_they_come(shape, dtype):
    """To the last bit, for each dtype of indices: 89 * 64 is no number of 8 bits."""
    rows = np.array([[2, 1, 2], [0, 2, 1]] if shape[0] == 3 else [[89, 1, 89], [7, 89, 1]], dtype)
    x = normal(*rows.shape, *shape[1:]).astype(np.float32)
    expected = np.zeros(shape, np.float32)
    for row, cotangent in zip(rows.reshape(-1), x.reshape(6, *shape[1:])):
        expected[row] += cotangent
    np.testing.assert_array_equal(ops.scatter(x, shape, rows), expected)


def test_scatter_refuses_rows_of_another_length():
    for wrong in (normal(2, 2), normal(3, 2), normal(2, 6)):
        with pytest.raises(ValueError, match="scatter"):
            ops.scatter(wrong, (5, 3), [0, 1])
    assert ops.scatter(normal(1, 3), (5, 3), [0, 1]).shape == (5, 3)  # one row for both


BOUNDS = {
    "start": lambda x, t: x[t:],
    "stop": lambda x, t: x[:t],
    "step": lambda x, t: x[::t],
    "both": lambda x, t: x[t : t + 3],
    "second axis": lambda x, t: x[0, t:],
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_slice_from_a_number_of_a_graph_is_refused(name):
    """A graph that runs again would not compute it again."""
    x, function = leaf(normal(4, 4)), BOUNDS[name]
    with pytest.raises(TypeError, match=r"bounds of a slice belong to a graph.*t.numpy\(\)"):
        function(x, np.argmax(x[0, :3]) + 1)
    with pytest.raises(TypeError, match="bounds of a slice"):
        function(x, Tensor(1, name="t"))


@pytest.mark.parametrize("name", BOUNDS)
def test_a_slice_from_a_constant_takes_its_value_at_once(name):
    x, function, t = leaf(normal(4, 4)), BOUNDS[name], np.array(1)
    out, as_tensor = function(x, t), function(x, constant(np.array(1)))
    np.testing.assert_array_equal(out.data, function(x.data, 1))
    np.testing.assert_array_equal(out.data, as_tensor.data)
    expected = mg.grad(np.sum(as_tensor), x)[0].data
    t[...] = 2
    np.testing.assert_array_equal(mg.grad(np.sum(out), x)[0].data, expected)


def test_an_index_that_is_changed_after_the_forward_does_not_change_the_gradient():
    x, i = leaf([1.0, 2.0, 3.0]), np.array([0, 0, 1])
    y = x[i].sum()
    i[:] = 2
    y.backward()
    assert x.grad.tolist() == [2, 1, 0]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64])
@pytest.mark.parametrize("axis", [0, 1, (0, 1), None])
def test_statistics_of_whole_numbers_are_those_of_numpy(axis, dtype):
    x = (np.arange(600).reshape(300, 2) % 127).astype(dtype)
    for f in (np.var, np.std):
        out = f(Tensor(x, dtype=dtype), axis=axis)
        assert out.dtype == np.float64
        np.testing.assert_allclose(out.data, f(x, axis=axis), rtol=1e-14)
    mean, var = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True)
    out = ops.standardize(Tensor(x, dtype=dtype), axis, 0.1)
    np.testing.assert_allclose(out.data, (x - mean) / np.sqrt(var + 0.1), rtol=1e-13)


def test_erf_and_its_derivative_are_right_between_the_points_of_its_table():
    x = np.concatenate([np.linspace(-7, 7, 20_001), [1e-300, 1e-8, np.inf, -np.inf, np.nan]])
    exact = np.vectorize(math.erf)(x)
    np.testing.assert_allclose(ops.erf(x), exact, rtol=2.3e-16, atol=0)
    single = ops.erf(x.astype(np.float32)).astype(np.float64)
    expected = np.vectorize(math.erf)(x.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(single, expected, rtol=1.2e-7, atol=1e-45)  # and subnormal numbers
    inside = x[abs(x) < 5.9]
    slope = ops.erf(inside + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(slope, 2 / math.sqrt(math.pi) * np.exp(-(inside**2)), rtol=1e-12)


def test_erf_of_whole_numbers_is_not_a_whole_number():
    assert ops.erf(Tensor([0, 1])).tolist() == pytest.approx([0, math.erf(1)], rel=1e-15)


# ---------------------------------------------------------------------------------- against PyTorch


def torch_pairs():
    """{name: (here, there, shapes, lowest entry)}. `there` gets torch as an argument, so that the
    file runs without it.
    """
    return {
        "exp(sin)": (lambda x: np.exp(np.sin(x)), lambda t, x: t.exp(t.sin(x)), [(3, 4)], -2),
        "log, sqrt": (
            lambda x: np.log(x) * np.sqrt(x),
            lambda t, x: t.log(x) * t.sqrt(x),
            [(3, 4)],
            0.2,
        ),
        "tanh": (np.tanh, lambda t, x: t.tanh(x), [(3, 4)], -2),
        "sigmoid": (ops.sigmoid, lambda t, x: t.sigmoid(x), [(3, 4)], -2),
        "softplus": (ops.softplus, lambda t, x: t.nn.functional.softplus(x), [(3, 4)], -2),
        "erf": (ops.erf, lambda t, x: t.erf(x), [(3, 4)], -2),
        "softmax": (lambda x: ops.softmax(x, 0), lambda t, x: t.softmax(x, 0), [(3, 4)], -2),
        "log_softmax": (
            lambda x: ops.log_softmax(x, 1),
            lambda t, x: t.log_softmax(x, 1),
            [(3, 4, 2)],
            -2,
        ),
        "logsumexp": (lambda x: ops.logsumexp(x, 1), lambda t, x: t.logsumexp(x, 1), [(3, 4)], -2),
        "broadcast": (
            lambda x, y: x * y + x / y,
            lambda t, x, y: x * y + x / y,
            [(3, 1, 4), (2, 1)],
            0.2,
        ),
        "power": (lambda x, y: x**y, lambda t, x, y: x**y, [(3, 4), (4,)], 0.2),
        "matmul": (np.matmul, lambda t, x, y: x @ y, [(2, 1, 3, 4), (5, 4, 2)], -2),
        "linear": (
            ops.linear,
            lambda t, *a: t.nn.functional.linear(*a),
            [(2, 3, 4), (5, 4), (5,)],
            -2,
        ),
        "einsum": (
            lambda *a: np.einsum("bij,bjk,k->bi", *a),
            lambda t, *a: t.einsum("bij,bjk,k->bi", *a),
            [(2, 3, 4), (2, 4, 2), (2,)],
            -2,
        ),
        "einsum diagonal": (
            lambda x: np.einsum("bii->i", x),
            lambda t, x: t.einsum("bii->i", x),
            [(2, 3, 3)],
            -2,
        ),
        "var": (lambda x: np.var(x, 1, ddof=1), lambda t, x: t.var(x, 1), [(3, 4)], -2),
        "std": (
            lambda x: np.std(x, (0, 2)),
            lambda t, x: t.std(x, (0, 2), correction=0),
            [(3, 4, 2)],
            -2,
        ),
        "prod": (lambda x: np.prod(x, 1), lambda t, x: t.prod(x, 1), [(3, 4)], -2),
        "cumsum": (lambda x: np.cumsum(x, 1), lambda t, x: t.cumsum(x, 1), [(2, 3, 2)], -2),
        "max": (lambda x: np.max(x, axis=(0, 1)), lambda t, x: t.amax(x, (0, 1)), [(3, 4)], -2),
        "index": (
            lambda x: x[:, [0, 0, 2], None, ::2],
            lambda t, x: x[:, [0, 0, 2], None, ::2],
            [(2, 3, 4)],
            -2,
        ),
        "pad": (
            lambda x: np.pad(x, ((1, 0), (2, 1))),
            lambda t, x: t.nn.functional.pad(x, (2, 1, 1, 0)),
            [(3, 4)],
            -2,
        ),
        "roll, flip": (
            lambda x: np.flip(np.roll(x, 2, 1), 0),
            lambda t, x: t.flip(t.roll(x, 2, 1), (0,)),
            [(3, 4)],
            -2,
        ),
        "concatenate": (
            lambda x, y: np.concatenate([x, y, x], 1),
            lambda t, x, y: t.cat([x, y, x], 1),
            [(2, 3), (2, 1)],
            -2,
        ),
    }


@pytest.mark.parametrize("name", torch_pairs())
def test_values_and_gradients_are_equal_to_pytorchs(name):
    torch = pytest.importorskip("torch")
    here, there, shapes, low = torch_pairs()[name]
    rng = np.random.default_rng(len(name))
    arrays = [rng.uniform(low, 2, shape) for shape in shapes]
    twins = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = there(torch, *twins)
    u = rng.standard_normal(tuple(expected.shape))
    value, gradients = pulled(here, *arrays, cotangent=u)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12, atol=1e-13)
    for g, t in zip(gradients, torch.autograd.grad(expected, twins, torch.tensor(u))):
        np.testing.assert_allclose(g, t.numpy(), rtol=1e-12, atol=1e-12)


# ----------------------------------------------------------------------------------------- refusals

refused = {
    "np.fft": lambda t: np.fft.fft(t),
    "np.linalg.eig": lambda t: np.linalg.eig(t),
    "np.interp": lambda t: np.interp(t, [0, 1], [0, 1]),
    "np.unique": lambda t: np.unique(t),
    "np.copyto": lambda t: np.copyto(np.zeros((2, 2)), t),
    "np.fill_diagonal .* np.where": lambda t: np.fill_diagonal(t, 0),
    "np.heaviside": lambda t: np.heaviside(t, 0.5),
    "np.add.at": lambda t: np.add.at(np.zeros((2, 2)), [0, 0], t),
    "np.add.reduceat": lambda t: np.add.reduceat(t, [0, 1]),
    "np.subtract.accumulate": lambda t: np.subtract.accumulate(t),
    r"np.add\(.*out=": lambda t: np.add(t, 1, out=np.zeros((2, 2))),
    r"np.exp\(.*where=": lambda t: np.exp(t, where=np.ones((2, 2), bool)),
    r"np.multiply\(.*dtype=": lambda t: np.multiply(t, 2, dtype=np.float32),
    "sum": lambda t: np.sum(t, out=np.zeros(())),
    "concatenate": lambda t: np.concatenate([t, t], out=np.zeros((4, 2))),
    "einsum": lambda t: np.einsum("ij->i", t, dtype=np.float64),
}


@pytest.mark.parametrize("named", refused)
def test_functions_without_a_rule_are_refused_by_name(named):
    with pytest.raises(TypeError, match=named):
        refused[named](leaf(square))


@pytest.mark.filterwarnings("ignore:.where. used without .out.")  # by NumPy
@pytest.mark.parametrize("named", refused)
def test_on_plain_data_they_are_numpys(named):
    tensor, array = Tensor(square), np.array(square)
    found, expected = refused[named](tensor), refused[named](array)
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for a, b in zip((*found, tensor), (*expected, array), strict=True):
        np.testing.assert_array_equal(data_of(a), b)


def test_an_array_changed_in_place_by_a_tensor_is_refused():
    array = np.ones(2)
    with pytest.raises(TypeError, match=r"np\.add\(.*out="):
        array += leaf([1.0, 2.0])
    assert array.tolist() == [1, 1]


def test_settings_cannot_want_a_gradient():
    with pytest.raises(
        TypeError, match=r"pad has no rule for its argument constant_values.*detach"
    ):
        np.pad(leaf([1.0]), 1, constant_values=leaf(2.0))


def test_einsum_takes_lists_of_axes():
    x = leaf(square)
    out = np.einsum(x, [0, 1], square, [1, 2], [2, 0])
    np.testing.assert_array_equal(out.data, (square @ square).T)
    assert out.requires_grad


def test_the_coefficient_of_a_penalty_op_cannot_want_a_gradient():
    with pytest.raises(TypeError, match="would drop the gradient"):
        F.l1_penalty(leaf([1.0]), c=leaf(2.0))


wrong = {
    r"matmul: \(3, 4\) @ \(5, 2\): inner sizes 4 and 5 differ": lambda: (
        leaf(normal(3, 4)) @ leaf(normal(5, 2))
    ),
    r"matmul: \(2, 3, 4\) @ \(3, 4, 2\): .* could not be broadcast": lambda: (
        leaf(normal(2, 3, 4)) @ normal(3, 4, 2)
    ),
    r"matmul: \(2,\) @ \(\): a scalar has no inner axis": lambda: leaf(normal(2)) @ 3.0,
    r"add.*\(2,\).*\(3,\)": lambda: leaf(normal(2)) + leaf(normal(3)),
    r"sum of \(2,\).*axis 1 is out of bounds": lambda: np.sum(leaf(normal(2)), axis=1),
    r"reshape.*size 6.*\(4,\)": lambda: leaf(normal(2, 3)).reshape(4),
    r"getitem.*index 5 is out of bounds": lambda: leaf(normal(2))[5],
    r"take: indices into an axis of 2 entries must be from -2 to 1, got 1..5": lambda: np.take(
        leaf(normal(2)), [1, 5]
    ),
    r"take_along_axis: indices into an axis of 2 entries must be from -2 to 1, got -3..0": lambda: (
        np.take_along_axis(leaf(normal(2, 3)), np.array([[0, -3, 0]]), 0)
    ),
    "trace: .*axis 1 is out of bounds": lambda: np.trace(leaf(normal(2))),
    r"mean.*the mean of no entries": lambda: np.mean(leaf(normal(0))),
    r"var.*too few for ddof=2": lambda: np.var(leaf(normal(2)), ddof=2),
    r"pad.*'median' has no rule": lambda: np.pad(leaf(normal(2)), 1, mode="median"),
    r"einsum of \(2, 2\) and \(2, 2\): .*operands": lambda: np.einsum(
        "ij", leaf(normal(2, 2)), leaf(normal(2, 2))
    ),
    r"split: 2 equal parts do not divide an axis of size 3": lambda: np.split(leaf(normal(3)), 2),
    r"tensordot of \(2, 2, 2\) and \(3,\): axes -1 and -1 differ": lambda: np.dot(
        leaf(normal(2, 2, 2)), leaf(normal(3))
    ),
}


@pytest.mark.parametrize("message", wrong)
def test_an_error_names_the_op_and_the_shapes(message):
    with pytest.raises((ValueError, IndexError, np.exceptions.AxisError), match=message):
        wrong[message]()


@pytest.mark.parametrize(
    "f",
    [ops.sigmoid, ops.softplus, ops.softmax, ops.log_softmax, ops.logsumexp, F.gelu, F.silu],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, bool])
def test_whole_numbers_do_not_wrap_around(f, dtype):
    x = np.array([0, 1, 3, 100], dtype)
    found = f(Tensor(x))
    assert found.dtype == np.float32 or f in (F.gelu, F.silu)
    np.testing.assert_allclose(found.data, f(x.astype(float)), rtol=1e-6, atol=1e-30)


def test_the_slope_of_expm1_keeps_its_digits():
    x = np.array([-80, -18, -1, 1e-8, 3], np.float32)
    np.testing.assert_allclose(
        mg.grad(np.sum(np.expm1(t := leaf(x, np.float32))), t)[0].data,
        np.exp(x.astype(float)),
        rtol=1e-6,
    )


@pytest.mark.parametrize("x", [-30.0, -1.0, 0.0, 1.0, 20.0, 39.9, 40.1, 1e30, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_softplus_to_the_last_digits(x, dtype):
    x = dtype(np.clip(x, -8, 6e4) if dtype is np.float16 else x)
    expected = math.log1p(math.exp(x)) if x < 30 else float(x) + math.exp(-x)
    np.testing.assert_allclose(
        ops.softplus(leaf(x, dtype)).data, expected, rtol=4 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("n", [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, -2.0, 3.0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_to_the_last_digits(n, dtype):
    x = np.array([1e-3, 0.7, 1.1, 30], dtype) * (1 if n == 0.5 else np.array([1, -1, 1, -1], dtype))
    exact = x.astype(np.longdouble)
    value, slope = leaf(x, dtype) ** n, mg.grad(np.sum((t := leaf(x, dtype)) ** n), t)[0]
    assert value.dtype == slope.dtype == dtype
    np.testing.assert_allclose(value.data, exact**n, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(slope.data, n * exact ** (n - 1), rtol=6 * np.finfo(dtype).eps)


def test_a_cube_takes_about_as_long_as_products():
    x = np.linspace(-2, 2, 100_000, dtype=np.float32)
    cube, products = (lambda: Tensor(x) ** 3), (lambda: Tensor(x) * x * x)
    took, expected = (cpu_time(lambda f=f: f, times=7) for f in (cube, products))
    assert took < 20 * expected  # NumPy's own power takes over a hundred times as long


@pytest.mark.parametrize("base", [0.0, 1e-310, math.nan, -2.0, math.inf])
def test_the_slope_of_a_constant_power_is_0(base):
    x = leaf([base, 2.0])
    assert mg.grad(np.sum(x ** np.array([0.0, 1.0])), x)[0].tolist() == [0, 1]


def test_the_product_of_many_with_one_zero():
    x = 1 + normal(200_001) / 500
    x[7] = 0
    _, (gradient,) = pulled(np.prod, x)
    expected = np.zeros(len(x))
    expected[7] = math.exp(math.fsum(np.log(np.delete(x, 7))))
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)


def test_logsumexp_of_nothing_at_all_is_quiet():
    with np.errstate(all="raise"):
        assert ops.logsumexp(Tensor([-np.inf, -np.inf])).item() == -np.inf


def test_the_trace_uses_the_diagonal_alone():
    x = leaf([[1.0, np.inf], [np.nan, 2.0]])
    assert np.trace(x).item() == 3
    assert mg.grad(np.trace(x), x)[0].tolist() == [[1, 0], [0, 1]]


def test_the_mean_of_half_precision_does_not_overflow():
    x = np.full(1000, 100, np.float16)
    half = leaf(x, np.float16)
    assert half.mean().item() == np.mean(x) == 100
    assert half.mean().dtype == np.float16
    assert half.mean(0, keepdims=True).tolist() == [100]


def test_a_dict_of_pads_is_refused():
    with pytest.raises(TypeError, match="pad of .*not a dict"):
        np.pad(leaf([1.0]), {0: 1})


def test_reductions_of_a_number_and_along_an_axis_that_is_not_there():
    x = leaf(3.0)
    assert x.mean(0).item() == 3
    assert ops.log_softmax(x).item() == 0
    for f in (ops.softmax, ops.log_softmax):
        with pytest.raises(ValueError, match=f"{f.__name__} of .2, 3.: axis 9 is out of bounds"):
            f(leaf(normal(2, 3)), 9)

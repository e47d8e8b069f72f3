"""What an op gives at the edges of its domain and of its dtype: counts above the largest float16,
axes of no entries, bounds in the wrong order, kinks, nan, and operands that are no numbers.
"""

import warnings

import numpy as np
import pytest
from helpers import assert_linear, leaf, normal

import minigrad as mg
from minigrad import Tensor
from minigrad import functional as F
from minigrad.graph import nodes
from minigrad.registry import composition

MANY = 70_000  # entries: float16 ends at 65,504

# ------------------------------------------------------------------------------------------ float16

halves = np.tile(np.array([0.0, 1.0]), MANY // 2)
labels = np.arange(MANY) % 3


def columns(*factors):
    return lambda x: x[:, None] * np.array(factors, x.dtype)


two, three = columns(1, 0.5), columns(1, 0.5, 0.25)
COUNTS = {
    "mean": lambda x: np.mean(x),
    "mean of squares": lambda x: F.mse_loss(x, np.full(MANY, 0.25, x.dtype)),
    "l1": lambda x: F.l1_loss(x, np.full(MANY, 0.25, x.dtype)),
    "ties of max": lambda x: np.max(x),
    "ties of min": lambda x: np.min(x),
    "var": lambda x: np.var(x, ddof=1),
    "std": lambda x: np.std(x),
    "mean of an axis": lambda x: np.mean(np.reshape(x, (1, -1)), axis=1)[0],
    "logsumexp": lambda x: F.logsumexp(x),
    "average pooling": lambda x: F.avg_pool1d(np.reshape(x, (1, 1, -1)), MANY)[0, 0, 0],
    "cross entropy": lambda x: F.cross_entropy(two(x), labels % 2),
    "some targets": lambda x: F.cross_entropy(three(x), labels, ignore_index=2),
    "smooth targets": lambda x: F.cross_entropy(two(x), labels % 2, label_smoothing=0.2),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_above_the_largest_float16_leaves_the_gradient_right(name):
    x, wide = leaf(halves, np.float16), leaf(halves, np.float64)
    value, exact = COUNTS[name](x), COUNTS[name](wide)
    assert value.dtype == np.float16
    np.testing.assert_allclose(value.data, exact.data, rtol=2e-3)
    value.backward(np.float16(1000))
    exact.backward(np.float64(1000))
    assert x.grad.dtype == np.float16
    np.testing.assert_allclose(x.grad.data, wide.grad.data, rtol=4e-3, atol=2e-7)
    assert np.any(x.grad.data != 0)


def test_float16_is_normalised_and_summed_over_many_entries():
    x = Tensor(halves.astype(np.float16))
    np.testing.assert_allclose(F.layer_norm(x, MANY).data, 2 * halves - 1, rtol=1e-3)
    np.testing.assert_allclose(F.softmax(x).data, F.softmax(Tensor(halves)).data, rtol=5e-3)
    np.testing.assert_allclose(F.log_softmax(x).data, F.log_softmax(Tensor(halves)).data, rtol=1e-3)


def test_second_derivatives_of_float16_are_right_too():
    x = leaf(halves, np.float16)
    (first,) = mg.grad(np.var(x), x, np.float16(1000), create_graph=True)
    (second,) = mg.grad(first[0], x)
    assert first.dtype == second.dtype == np.float16
    assert second.data[0] == pytest.approx(2000 / MANY, rel=1e-2)


# ---------------------------------------------------------------------------------------- no entries


def test_softmax_over_no_entries_is_numpys_and_pytorchs_empty_result():
    x = leaf(np.zeros((2, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert F.softmax(x).shape == F.log_softmax(x).shape == F.log_softmax(x, 0).shape == (2, 0)
        assert F.logsumexp(x, -1).tolist() == [-np.inf, -np.inf]
        assert F.logsumexp(x).item() == -np.inf and F.logsumexp(x, 1, True).shape == (2, 1)
        F.log_softmax(x).sum().backward()
    assert x.grad.shape == (2, 0)


# --------------------------------------------------------------------------------------------- kinks


def slope(f, at):
    x = leaf([at])
    f(x).sum().backward()
    return x.grad.item()


KINKS = {  # (function, where): PyTorch's derivative there, of torch 2.13
    "relu": (F.relu, 0.0, 0.0),
    "leaky_relu": (F.leaky_relu, 0.0, 0.01),
    "elu": (F.elu, 0.0, 1.0),
    "elu of alpha 2": (lambda x: F.elu(x, 2.0), 0.0, 2.0),
    "selu": (F.selu, 0.0, 1.0507009873554805 * 1.6732632423543772),
    "absolute": (np.absolute, 0.0, 0.0),
    "maximum": (lambda x: np.maximum(x, 0.0), 0.0, 0.5),
    "minimum": (lambda x: np.minimum(0.0, x), 0.0, 0.5),
    "lower bound": (lambda x: np.clip(x, 0.0, 1.0), 0.0, 1.0),
    "upper bound": (lambda x: np.clip(x, 0.0, 1.0), 1.0, 1.0),
    "bounds in the wrong order": (lambda x: np.clip(x, 2.0, 1.0), 1.0, 0.0),
    "and between them": (lambda x: np.clip(x, 2.0, 1.0), 1.5, 0.0),
    "relu of nan": (F.relu, np.nan, 1.0),
    "maximum of nan": (lambda x: np.maximum(x, 0.0), np.nan, 1.0),
    "maximum beside nan": (lambda x: np.maximum(x, np.nan), 1.0, 1.0),
    "minimum of nan": (lambda x: np.minimum(x, 0.0), np.nan, 1.0),
    "minimum beside nan": (lambda x: np.minimum(np.nan, x), 1.0, 1.0),
    "clip of nan": (lambda x: np.clip(x, 0.0, 1.0), np.nan, 0.0),
}


@pytest.mark.parametrize("name", KINKS)
def test_the_slope_at_a_kink_and_at_nan_is_pytorchs(name):
    f, at, expected = KINKS[name]
    assert slope(f, at) == pytest.approx(expected, rel=1e-12)


def test_bounds_may_be_arrays_and_in_any_order():
    x = leaf([0.5, 1.0, 3.0])
    y = np.clip(x, np.array([0.0, 2.0, 4.0]), np.array([1.0, 1.0, 5.0]))
    y.sum().backward()
    assert y.tolist() == [0.5, 1, 4] and x.grad.tolist() == [1, 0, 0]


# ----------------------------------------------------------------------------- numbers of NumPy, dtypes


def test_a_number_of_numpy_does_not_widen_floats_and_widens_whole_numbers():
    floats, whole = Tensor(np.ones(2, np.float32)), Tensor(np.array([1], np.uint8))
    for number in (2.0, np.float64(2), np.int64(2), True, np.bool_(True)):
        for y in (floats * number, number * floats, np.maximum(floats, number), floats**number):
            assert y.dtype == np.float32
    assert (floats * np.array(2.0)).dtype == np.float64  # an array keeps its dtype
    for number in (np.int64(300), np.int16(300), np.float32(0.5), np.float64(0.5)):
        expected = whole.data + number
        for y in (whole + number, number + whole):
            assert y.dtype == expected.dtype and y.tolist() == expected.tolist()
    with pytest.raises(OverflowError, match=r"add of \(1,\): Python integer 300 out of bounds"):
        whole + 300


@pytest.mark.parametrize("convolve, rank", [(F.conv1d, 1), (F.conv_transpose1d, 1), (F.conv2d, 2)])
def test_the_dtype_of_a_convolution_is_that_of_its_widest_argument(convolve, rank):
    x, w = np.ones((1, 1, *[3] * rank), np.float32), np.ones((1, 1, *[2] * rank), np.float32)
    for bias in (None, np.ones(1, np.float32), np.ones(1)):
        given = [np.float32] if bias is None else [np.float32, bias.dtype]
        assert convolve(Tensor(x), w, bias).dtype == np.result_type(*given)


def test_no_python_object_gets_into_an_array():
    x, none = leaf(np.zeros(0)), np.array([None])
    for wrong in (
        lambda: np.stack([leaf(1.0), None]),
        lambda: np.concatenate([leaf([1.0]), none]),
        lambda: x + None,
        lambda: None * x,
        lambda: np.maximum(x, None),
        lambda: leaf([1.0]) * np.array([2], object),
        lambda: np.where([True], leaf([1.0]), None),
        lambda: Tensor([None], dtype=np.float32),
        lambda: F.gaussian_noise(leaf([1.0]), 1.0, True, noise=[None]),
    ):
        with pytest.raises(TypeError, match="(is not a number|numbers are needed)"):
            wrong()


def test_a_rule_runs_for_the_operands_that_need_a_cotangent():
    x, frozen = leaf([[1.0, -2.0]]), Tensor(np.array([[True, False]]))
    for penalty, slopes in ((F.l1_penalty, [1, -1]), (F.l2_penalty, [2, -4])):
        (g,) = mg.grad(penalty(x, frozen, c=1.0), x)
        assert g.tolist() == [slopes]
    (g,) = mg.grad(F.elastic_net(frozen, x, l1=1.0, l2=0.0), x)
    assert g.tolist() == [[1, -1]]
    (g,) = mg.grad(F.group_l2(x, frozen, c=5**0.5), x)
    np.testing.assert_allclose(g.data, x.data)
    (g,) = mg.grad(np.concatenate([frozen, x]).sum(), x)
    assert g.tolist() == [[1, 1]]


# ------------------------------------------------------------------------------------------- indices


def test_tensors_in_an_index_are_part_of_the_graph():
    x = mg.Tensor(normal(4, 3), requires_grad=True, name="x")
    best = np.argmax(x, axis=1)
    loss = (x[np.arange(4), best] ** 2).sum()
    assert any(node is best for node in nodes(loss))
    other = normal(3, 4).T
    assert mg.replay(loss, {x: other}).item() == pytest.approx(np.sum(np.max(other, axis=1) ** 2))
    (first,) = mg.grad(loss, x, create_graph=True)
    at_other = mg.replay(first, {x: other}).data
    np.testing.assert_array_equal(at_other, 2 * other * (other == other.max(1, keepdims=True)))
    assert mg.check_graph(loss)


def test_an_index_that_a_graph_computes_may_leave_the_array():
    i = mg.Tensor([0, 1], name="i")
    y = leaf([1.0, 2.0])[i]
    with pytest.raises(IndexError, match=r"getitem of \(2,\) and \(2,\): index 2 is out of bounds"):
        mg.replay(y, {i: [0, 2]})


@pytest.mark.parametrize(
    "parts",
    [
        lambda x, n: np.split(x, n),
        lambda x, n: np.split(x, list(range(1, n))),
        lambda x, n: list(x),
    ],
    ids=["equal parts", "indices", "rows"],
)
def test_backward_of_many_parts_takes_linear_time(parts):
    def backward(n):
        return np.concatenate(parts(leaf(np.ones((n, 8))), n)).sum().backward

    assert_linear(backward, 250, times=5)


@pytest.mark.parametrize(
    "cuts", [[3, 1], [-2, 20, 5], [0, 0, 11, 11], list(range(12)), [-1, 2] * 6]
)
def test_parts_at_any_indices_are_numpys(cuts):
    x = normal(11, 2)
    for mine, theirs in zip(np.split(leaf(x), cuts), np.split(x, cuts), strict=True):
        np.testing.assert_array_equal(mine.data, theirs)


@pytest.mark.parametrize("call", [
    lambda n: np.split(Tensor(np.ones(4)), n[None]),
    lambda n: np.repeat(Tensor(np.ones(4)), n),
    lambda n: np.tile(Tensor(np.ones(4)), n),
])  # fmt: skip
def test_what_decides_a_shape_is_no_part_of_a_graph(call):
    n = Tensor(2, name="n")
    with pytest.raises(TypeError, match=r"belong to a graph.*Pass t\.numpy\(\)"):
        call(n)
    call(n.detach())


def test_the_number_of_differences_is_not_negative():
    x = leaf([1.0, 3.0])
    assert np.diff(x, 0).tolist() == [1, 3] and np.diff(x, 2).shape == (0,)
    for n in (-1, 1.5, None):
        with pytest.raises(ValueError, match="diff: n must be a whole number >= 0, got"):
            np.diff(x, n)


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x: np.dot(x, x), ValueError, r"^dot: matmul: \(2, 3\) @ \(2, 3\): inner sizes"),
        (lambda x: np.hstack([x, x.T]), ValueError, "^hstack: concatenate of "),
        (lambda x: np.vstack([x, x.T]), ValueError, "^vstack: concatenate of "),
        (lambda x: np.trace(x, 0, 0, 5), ValueError, "^trace: .*axis 5 is out of bounds"),
        (lambda x: np.tile(x, -1), ValueError, "^tile: negative dimensions"),
        (lambda x: np.amax(x, axis=3), ValueError, "^amax: max of .*axis 3"),
        (lambda x: np.concatenate([x, x.T]), ValueError, "^concatenate of "),
        (lambda x: F.silu(None), TypeError, "^silu: .*numbers are needed, got NoneType"),
        (lambda x: F.elu(x, np.ones(2)), ValueError, "^elu: multiply: "),
        (lambda x: F.gelu(x, x), TypeError, "^gelu: "),
        (lambda x: F.softshrink(x, -0.5), ValueError, "^softshrink: lambd must be >= 0, got -0.5"),
        (lambda x: F.linear(None, x), TypeError, "^linear of .*'NoneType' object has no attribute"),
        (lambda x: F.linear(x, 2), TypeError, "^linear of .*'int' object has no attribute"),
        (lambda x: F.cross_entropy(x, [0, 1], ignore_index=1.5), TypeError, "^cross_entropy: ignore"),
        (lambda x: F.nll_loss(x, [0, 1], ignore_index=None), TypeError, "^nll_loss: ignore_index is"),
    ],
)  # fmt: skip
def test_an_error_names_the_function_that_was_called(call, error, text):
    with pytest.raises(error, match=text):
        call(leaf(normal(2, 3)))


def test_an_update_that_fails_counts_as_a_change():
    for wrong in (np.ones(3), "a", np.ones(2, complex)):
        x, y = leaf([1.0, 2.0]), Tensor([1.0, 2.0])
        loss = (x * y).sum()
        with pytest.raises((TypeError, ValueError)):
            y += wrong
        with pytest.raises(RuntimeError, match="was changed in place"):
            loss.backward()
    powers, exponents = Tensor([2, 3]), np.array([2, -1])
    loss = (leaf([1.0, 2.0]) * powers).sum()
    with pytest.raises(ValueError, match="negative integer powers"):
        powers **= exponents  # NumPy finds the second exponent when the first power is written
    with pytest.raises(RuntimeError, match="was changed in place"):
        loss.backward()


def test_an_error_of_a_class_of_its_own_passes_through_a_composition():
    class Unwanted(ValueError):
        pass

    @composition
    def refuses(x):
        raise Unwanted("this one")

    with pytest.raises(Unwanted, match="^this one"):
        refuses(leaf([1.0]))

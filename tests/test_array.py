"""Tensors as arrays: values in and out, dtypes, text, and the ways out of the graph."""

import copy
import pickle

import numpy as np
import pytest
from helpers import leaf

import minigrad as mg
import minigrad.functional as F
from minigrad.engine import Tensor

pytestmark = pytest.mark.usefixtures("as_before")


# ----------------------------------------------------------------------------------------- a tensor


@pytest.mark.parametrize(
    "data, dtype",
    [
        (1.5, np.float32),
        ([1.5, 2.0], np.float32),
        ([[1.0], [2]], np.float32),
        ((1.0, 2.0), np.float32),
        (np.array([1.5]), np.float64),
        (np.array([1.5], np.float32), np.float32),
        (np.array([1.5], np.float16), np.float16),
        (np.float64(1.5), np.float64),
        ([1, 2], np.int64),
        (3, np.int64),
        (np.array([1], np.int8), np.int8),
        ([True, False], np.bool_),
        ([], np.float32),
    ],
    ids=repr,
)
def test_lists_and_floats_take_the_default_dtype_and_arrays_keep_theirs(data, dtype):
    assert Tensor(data).dtype == dtype


@pytest.mark.parametrize("act", [
    lambda x, t: Tensor(x),
    lambda x, t: t + x,
    lambda x, t: np.where(x > 1, t, 0),
    lambda x, t: np.concatenate([t, x]),
    lambda x, t: t.detach().__iadd__(x),
    lambda x, t: t.backward(x),
    lambda x, t: F.mse_loss(t, x),
    lambda x, t: F.cross_entropy(np.stack([t, t, t]), x.astype(int)),
    lambda x, t: mg.data.Batches(x),
    lambda x, t: mg.save({"x": x}, "never_written.npz"),
])  # fmt: skip
def test_a_masked_array_is_refused(act):
    x = np.ma.array([1.0, 2.0, 0.0], mask=[False, True, False])
    with pytest.raises(TypeError, match="a masked array would lose its mask"):
        act(x, +leaf([1.0, 2.0, 3.0]))


def test_the_default_dtype_can_be_set():
    mg.set_default_dtype(np.float64)
    assert Tensor([1.5]).dtype == np.float64
    assert Tensor(np.array([1.5], np.float32)).dtype == np.float32
    mg.set_default_dtype("float32")
    assert Tensor(1.5).dtype == np.float32


@pytest.mark.parametrize("dtype", [int, bool, "complex128"])
def test_the_default_dtype_is_a_float(dtype):
    with pytest.raises(TypeError, match="set_default_dtype: a float dtype"):
        mg.set_default_dtype(dtype)


def test_a_dtype_can_be_asked_for():
    assert Tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert Tensor(np.ones(2), dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("data", [[1, 2], 3, [True], np.arange(3)], ids=repr)
def test_integers_cannot_require_a_gradient(data):
    with pytest.raises(
        TypeError,
        match=r"gradients need a float dtype, got (int64|bool)\. Write Tensor\(\[1\., 2\.\]\)",
    ):
        Tensor(data, requires_grad=True)
    with pytest.raises(TypeError, match="gradients need a float dtype"):
        Tensor(data).requires_grad_()


@pytest.mark.parametrize(
    "data, error",
    [
        ("text", TypeError),
        ([None], TypeError),
        ({1: 2}, TypeError),
        ([[1.0], [1.0, 2.0]], ValueError),
    ],
    ids=repr,
)
def test_data_that_are_no_array_of_numbers_are_refused(data, error):
    with pytest.raises(error, match="Tensor: "):
        Tensor(data)


@pytest.mark.parametrize("data, dtype", [(300, np.int8), ([[1, -1]], np.uint8), (np.nan, int)])
def test_a_number_that_the_dtype_cannot_hold_is_refused(data, dtype):
    with pytest.raises((OverflowError, ValueError), match="^Tensor: "):
        Tensor(data, dtype=dtype)


def test_data_is_copied_and_contiguous():
    array = np.arange(6.0).reshape(2, 3)
    t = Tensor(array.T)
    array[:] = 0
    assert t.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert t.data.flags.c_contiguous


def test_shape_ndim_size_dtype_length_and_transpose():
    t = Tensor(np.zeros((2, 3)))
    assert (t.shape, t.ndim, t.size, t.dtype, len(t), t.T.shape) == (
        (2, 3),
        2,
        6,
        np.float64,
        2,
        (3, 2),
    )


@pytest.mark.parametrize("use", [len, list, lambda t: [*t]])
def test_a_number_has_no_length_and_no_items(use):
    with pytest.raises(TypeError, match=r"a tensor of shape \(\) has no len\(\).* t.item\(\)"):
        use(leaf(3.0))


def test_leaves_results_and_plain_data_differ():
    x, c = leaf([1.0]), Tensor([1.0])
    y = x * c
    assert (x.is_leaf, c.is_leaf, y.is_leaf) == (True, True, False)
    assert (x.requires_grad, c.requires_grad, y.requires_grad) == (True, False, True)
    assert not (c * c).requires_grad
    assert Tensor([1.0], name="w").name == "w"
    assert y.name is None


def test_requires_grad_can_be_set_on_a_leaf_only():
    x = Tensor([1.0])
    assert x.requires_grad_() is x
    assert x.requires_grad
    y = x * 2
    with pytest.raises(
        RuntimeError, match=r"on a leaf only; this is the result of multiply\. Use t\.detach\(\)"
    ):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_detach_shares_memory_and_leaves_the_graph():
    x = leaf([1.0, 2.0])
    y = x * 2
    assert not y.detach().requires_grad
    assert np.shares_memory(y.detach().data, y.data)
    (y.detach() * x).sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_a_leaf_can_be_copied_and_pickled_and_a_result_cannot():
    x = Tensor([1.0, 2.0], requires_grad=True, name="w")
    for twin in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert (twin.tolist(), twin.requires_grad, twin.name) == ([1, 2], True, "w")
        assert twin.order != x.order
        assert not np.shares_memory(twin.data, x.data)
    with pytest.raises(
        TypeError,
        match=r"the result of multiply, of shape \(2\), belongs to a graph|the result of multiply, of shape \(2,\)",
    ):
        copy.deepcopy(x * 2)


# -------------------------------------------------------------------------------- leaving the graph


@pytest.mark.parametrize(
    "leave",
    [float, int, np.asarray, np.array, Tensor, lambda t: np.zeros(1) + np.asarray(t)],
    ids=["float", "int", "asarray", "array", "Tensor", "sum"],
)
def test_leaving_the_graph_silently_is_refused(leave):
    x = leaf([2.0])
    with pytest.raises(
        TypeError,
        match=r"would drop the gradient: t, of shape \(1,\), is the result of exp\. .*t\.(item|numpy|detach)\(\)",
    ):
        leave(np.exp(x))
    with pytest.raises(
        TypeError,
        match=r"would drop the gradient: t, of shape \(1,\), is a leaf that requires a gradient",
    ):
        leave(x)


def test_plain_data_leaves_freely():
    t = Tensor([2.5])
    assert (float(t), int(t), t.item(), np.asarray(t).tolist()) == (2.5, 2, 2.5, [2.5])
    assert float(leaf(2.5).detach()) == 2.5


def test_item_and_numpy_leave_explicitly():
    y = leaf([[2.5]]) * 2
    assert y.item() == 5
    assert isinstance(y.item(), float)
    assert y.numpy() is y.data
    with pytest.raises(
        ValueError,
        match=r"a tensor of shape \(2,\) has 2 entries, and one is needed.*\.sum\(\), \.mean\(\)",
    ):
        leaf([1.0, 2.0]).item()


def test_truth():
    assert bool(Tensor([3.0]))
    assert not Tensor(0)
    assert leaf(1.0) > 0
    with pytest.raises(
        ValueError,
        match=r"a tensor of shape \(2,\) has 2 entries, and one is needed.*np\.any or np\.all",
    ):
        bool(Tensor([1.0, 2.0]))


def test_iteration_keeps_the_graph():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]
    with pytest.raises(TypeError):
        len(leaf(1.0))
    with pytest.raises(TypeError):
        list(leaf(1.0))


def test_an_integer_tensor_is_an_index():
    assert [5, 6, 7][Tensor(1)] == 6
    assert list(range(Tensor(2))) == [0, 1]
    with pytest.raises(TypeError):
        [5, 6][Tensor(1.0)]


def test_format():
    assert f"{leaf(1.23456):.2f}" == "1.23"
    assert f"{leaf([2.0]):6.1f}" == "   2.0"
    assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    with pytest.raises(
        ValueError, match=r"a tensor of shape \(2,\) has 2 entries, and one is needed"
    ):
        format(Tensor([1.0, 2.0]), ".2f")


@pytest.mark.parametrize(
    "make, shown",
    [
        (lambda: Tensor([1.0, 2.5]), "Tensor([1. , 2.5])"),
        (lambda: Tensor(1.0, True), "Tensor(1., requires_grad=True)"),
        (lambda: Tensor([1.0], True) * 2, "Tensor([2.], op=multiply)"),
        (lambda: Tensor(np.array([1.0])), "Tensor([1.], dtype=float64)"),
        (lambda: Tensor([1, 2]), "Tensor([1, 2])"),
        (lambda: Tensor([True]), "Tensor([ True])"),
        (lambda: Tensor([[1.0], [2.0]]), "Tensor([[1.],\n        [2.]])"),
    ],
)
def test_repr(make, shown):
    assert repr(make()) == shown


def test_a_long_tensor_is_shown_in_short():
    assert len(repr(Tensor(np.zeros(10**6)))) < 100


def test_equality_is_by_entry_and_keys_are_by_identity():
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 3.0])
    assert (x == y).tolist() == [True, False]
    assert {x: "x", y: "y"}[x] == "x"


def test_ufuncs_of_plain_data_do_all_that_numpy_does():
    v, t = np.ones(2), Tensor([1.0, 2.0], dtype=np.float64)
    same = v
    v += t
    v -= 0.5 * t
    assert v is same and v.tolist() == [1.5, 2.0]
    assert np.add.reduce(t).item() == 3 and np.subtract.outer(t, [1.0]).shape == (2, 1)
    np.add.at(v, [0, 0], t)
    assert v.tolist() == [4.5, 2.0]
    with pytest.raises(TypeError, match="its gradient would be lost"):
        np.add.at(v, [0], leaf([1.0]))


@pytest.mark.parametrize(
    "f",
    [
        lambda t, c: np.where(t > 0, t, c),
        lambda t, c: np.clip(t, c, None),
        lambda t, c: t * c,
        lambda t, c: np.maximum(c, t),
    ],
)
def test_numbers_of_numpy_do_not_widen_a_dtype(f):
    t = leaf([1.0, 2.0], np.float32)
    out = f(t, np.float64(0.5))
    np.sum(out).backward()
    assert out.dtype == t.grad.dtype == np.float32

"""The engine: what a tensor is, what backward does and when it refuses, memory, modes, higher derivatives, ops of one's own."""

import ast
import contextlib
import copy
import gc
import inspect
import io
import math
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import tokenize
import weakref
from pathlib import Path

import numpy as np
import pytest
from programs import in_thread

import minigrad as mg
from minigrad import array, engine, registry
from minigrad import changes as clock
from minigrad import functional as F
from minigrad import noise as randomness
from minigrad.check import GradcheckError, gradcheck, gradgradcheck
from minigrad.engine import Tensor, constant, grad
from minigrad.graph import nodes
from minigrad.modes import no_grad
from minigrad.registry import op


@pytest.fixture(autouse=True)
def as_before():
    """Ops, the default dtype and the generators of this thread are after a test what they were before."""
    before, functions, dtype = dict(registry.ops), dict(array.numpy_functions), array.default_dtype
    entropy, streams = randomness.state.entropy, randomness.state.streams
    yield
    for table, saved in ((registry.ops, before), (array.numpy_functions, functions)):
        table.clear()
        table.update(saved)
    mg.set_default_dtype(dtype)
    randomness.state.entropy, randomness.state.streams = entropy, streams


@pytest.fixture
def no_collector():
    """What dies in the test dies by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(data, dtype=np.float64):
    return Tensor(data, True, dtype=dtype)


def counting_op():
    """An op `counted`, the identity, and the list its rule appends to at each call."""
    calls = []

    def rule(g, out, x):
        calls.append(1)
        return g

    @op(x=rule)
    def counted(x):
        return +x

    return counted, calls


# ------------------------------------------------------------------------------------------- a tensor


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
        ([[1.0], [1.0, 2.0]], ValueError),
        ("text", TypeError),
        ([None], TypeError),
        ({1: 2}, TypeError),
    ],
    ids=repr,
)
def test_what_is_no_array_of_numbers_is_refused(data, error):
    with pytest.raises(error, match="Tensor: "):
        Tensor(data)


def test_data_is_copied_and_contiguous():
    array = np.arange(6.0).reshape(2, 3)
    t = Tensor(array.T)
    array[:] = 0
    assert t.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert t.data.flags.c_contiguous


def test_shape_and_its_kin():
    t = Tensor(np.zeros((2, 3)))
    assert (t.shape, t.ndim, t.size, t.dtype, len(t), t.T.shape) == (
        (2, 3),
        2,
        6,
        np.float64,
        2,
        (3, 2),
    )


def test_leaves_results_and_plain_data_are_told_apart():
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


# ------------------------------------------------------------------------------------ leaving the graph


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
        match=r"item: a tensor of shape \(2,\) has 2 entries, not one.*\.sum\(\) or \.mean\(\)",
    ):
        leaf([1.0, 2.0]).item()


def test_truth():
    assert bool(Tensor([3.0]))
    assert not Tensor(0)
    assert leaf(1.0) > 0
    with pytest.raises(
        ValueError,
        match=r"the truth of a tensor of shape \(2,\) is ambiguous\. Use np\.any\(t\) or np\.all\(t\)",
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


# ------------------------------------------------------------------------------------- in-place mistakes


@pytest.mark.parametrize("symbol", ["+=", "-=", "*=", "/="])
def test_a_leaf_cannot_be_changed_in_place_while_recording(symbol):
    w = leaf([1.0, 2.0])
    with pytest.raises(
        RuntimeError,
        match=rf"w \{symbol[0]}= \.\.\. on a leaf .*shape \(2,\).*optimizer\.step\(\).*no_grad\(\)",
    ):
        exec(f"w {symbol} 2", {"w": w})
    assert w.tolist() == [1, 2]


@pytest.mark.parametrize(
    "symbol, expected", [("+=", [3, 4]), ("-=", [-1, 0]), ("*=", [2, 4]), ("/=", [0.5, 1])]
)
def test_a_leaf_changes_in_place_under_no_grad(symbol, expected):
    w = leaf([1.0, 2.0])
    space = {"w": w}
    array = w.data
    with no_grad():
        exec(f"w {symbol} 2", space)
    assert space["w"] is w
    assert w.data is array
    assert w.tolist() == expected
    assert w.is_leaf
    assert w.requires_grad


def test_a_tensor_takes_part_in_a_change_in_place():
    w = leaf([1.0, 2.0])
    (w * w).sum().backward()
    with no_grad():
        w -= 0.5 * w.grad
    assert w.tolist() == [0, 0]


def test_a_change_in_place_does_not_change_the_dtype_or_the_shape():
    w = Tensor([1.0, 2.0], requires_grad=True)
    with no_grad():
        w += np.array([1.0, 1.0])
        assert w.dtype == np.float32
        with pytest.raises(ValueError):
            w += np.ones((3, 2))


def test_adding_onto_a_result_or_plain_data_makes_a_new_tensor():
    x = leaf([1.0])
    for start in (x * 2, Tensor([2.0])):
        before = total = start
        total += x
        assert total is not before
        assert before.tolist() == [2]
        assert total.op.name == "add"


def test_plain_data_changes_in_place_under_no_grad():
    teacher, student = mg.nn.Linear(2, 1), mg.nn.Linear(2, 1)
    teacher.weight.requires_grad = False
    before, x = teacher.weight.data.copy(), leaf([[1.0, 2.0]])
    y = teacher(x).sum()
    with no_grad():
        weight = teacher.weight
        weight *= 0.5
        weight += 0.5 * student.weight
    assert weight is teacher.weight
    np.testing.assert_allclose(weight.data, (before + student.weight.data) / 2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_items_cannot_be_assigned():
    for t in (leaf([1.0, 2.0]), Tensor([1.0, 2.0]), leaf([1.0, 2.0]) * 2):
        with pytest.raises(
            TypeError, match=r"a tensor of shape \(2,\) cannot be assigned to by item.*np\.where"
        ):
            t[0] = 1


# -------------------------------------------------------------------------------------------- backward


def test_backward_fills_the_grad_of_every_leaf():
    x, y, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), Tensor([5.0, 6.0])
    result = (x * y * c).sum()
    assert result.backward() is None
    assert x.grad.tolist() == [15, 24]
    assert y.grad.tolist() == [5, 12]
    assert c.grad is None
    assert result.grad is None
    assert isinstance(x.grad, Tensor)
    assert not x.grad.requires_grad


def test_a_tensor_used_twice_gets_both_parts():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.item() == 6


def test_a_diamond_waits_for_both_sides():
    x = leaf(0.7)
    a = np.sin(x)
    b, c = np.exp(a), a * a * a
    (b * c).backward()
    s = math.sin(0.7)
    assert x.grad.item() == pytest.approx(
        (math.exp(s) * s**3 + math.exp(s) * 3 * s * s) * math.cos(0.7), rel=1e-14
    )


def test_a_diamond_with_sides_of_unequal_length():
    x = leaf(0.5)
    short = x * 2
    long = x
    for _ in range(10):
        long = long * 1.5
    late = short + long  # the node of `short` is older than all of `long`
    (late * short).backward()
    k = 1.5**10
    assert x.grad.item() == pytest.approx(2 * 2 * 0.5 * (2 + k), rel=1e-14)


def test_backward_twice_is_an_error():
    for make in (
        lambda x: (x * x).sum(),
        lambda x: (x + x).sum(),
        lambda x: np.exp(x),
        lambda x: x + 1,
    ):  # also where no value is needed
        x = leaf([2.0])
        y = make(x)
        y.backward()
        first = x.grad.tolist()
        with pytest.raises(
            RuntimeError,
            match=r"this graph was already freed \(at \w+, shape \(1?,?\)\)\. Run the forward pass again, or pass retain_graph=True",
        ):
            y.backward()
        assert x.grad.tolist() == first


def test_a_graph_that_shares_a_freed_part_is_an_error_and_changes_no_grad():
    x, z = leaf([2.0]), leaf([3.0])
    shared = np.exp(x)
    (shared * 2).sum().backward()
    before = x.grad.tolist()
    with pytest.raises(RuntimeError, match=r"already freed \(at exp, shape \(1,\)\)"):
        (shared * z).sum().backward()
    assert x.grad.tolist() == before
    assert z.grad is None


def test_retain_graph_allows_another_backward():
    x = leaf([2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8]
    with pytest.raises(RuntimeError, match="already freed"):
        y.backward()


def subtract_in_place(w):
    with no_grad():
        w -= 1


def load(w):
    holder = mg.nn.Module()
    holder.w = w
    holder.load_state_dict({"w": np.zeros(w.shape)})


def step_of(make):
    def step(w):
        optimizer = make([w])
        w.grad = Tensor(np.ones(w.shape))
        optimizer.step()
        w.grad = None

    return step


changes = {
    "-=": subtract_in_place,
    "load_state_dict": load,
    "max_norm": lambda w: mg.optim.max_norm(w, 0.1),
    "SGD": step_of(mg.optim.SGD),
    "AdamW": step_of(mg.optim.AdamW),
    "ProximalSGD": lambda w: mg.optim.ProximalSGD([w]).step(lambda: (w**2).sum()),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("change", changes.values(), ids=changes)
def test_backward_through_a_leaf_that_was_changed_since_is_an_error(change, create_graph):
    w, x = Tensor(np.ones((2, 3)), requires_grad=True, name="w"), leaf([1.0, 2.0, 3.0])
    older = ((w * x) ** 2).sum()
    change(w)
    newer = ((w * x) ** 2).sum()
    w_by_newer, x_by_newer = (2 * w.data * x.data * other.data for other in (x, w))
    newer.backward(retain_graph=True)
    np.testing.assert_array_equal(w.grad.data, w_by_newer)
    for loss in (older, newer + older):
        with pytest.raises(
            RuntimeError,
            match=r"'w', of shape \(2, 3\), was changed in place .* after multiply used it",
        ):
            loss.backward(retain_graph=True, create_graph=create_graph)
    w.requires_grad = False
    with pytest.raises(RuntimeError, match="changed in place"):  # of x, by the values of w
        older.backward(retain_graph=True, create_graph=create_graph)
    np.testing.assert_array_equal(w.grad.data, w_by_newer)
    np.testing.assert_array_equal(x.grad.data, x_by_newer.sum(axis=0))


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.T,
        lambda t: t[:1],
        lambda t: np.reshape(t, (4,)),
        Tensor.detach,
        lambda t: t.data[0],
    ],
)
@pytest.mark.parametrize("kind", ["plain data", "frozen", "a parameter's detach()"])
def test_backward_through_a_view_of_what_was_changed_since_is_an_error(view, kind):
    x, w = leaf(2.0), Tensor(np.eye(2), kind != "plain data")
    if kind == "frozen":
        w.requires_grad = False
    y = np.sum(x * view(w.detach() if kind == "a parameter's detach()" else w))
    with no_grad():
        w *= 10.0
    with pytest.raises(
        RuntimeError, match="'y', of shape .* was changed in place .* after multiply used it"
    ):
        y.backward()
    assert x.grad is None
    np.sum(x * view(w.detach())).backward()
    assert x.grad.item() == np.sum(view(Tensor(10 * np.eye(2))).__array__())


def test_what_was_changed_is_forgotten_with_its_memory(no_collector):
    before = len(clock.changes)
    w = Tensor(np.ones(3))
    w += 1
    view = w[:2]
    assert len(clock.changes) == before + 1
    del w
    assert len(clock.changes) == before + 1  # the view holds the memory
    del view
    assert len(clock.changes) == before


def test_plain_data_change_in_place_as_in_numpy_and_pytorch():
    t = same = Tensor([1.0, 2.0])
    t += [1.0, 1.0]
    t *= Tensor([2.0, 3.0])
    assert t is same and t.tolist() == [4, 9]
    w = leaf([1.0, 1.0])
    (w * w).sum().backward()
    g = w.grad
    g *= 0.5
    assert w.grad.tolist() == [1, 1]
    t += w  # belongs to a graph: a new Tensor
    assert t is not same and t.requires_grad and same.tolist() == [4, 9]
    for change, message in (
        (lambda: same.__iadd__(np.ones((3, 2))), r"t \+= u in place, t of shape \(2,\)"),
        (lambda: Tensor([1]).__imul__(0.5), "int64"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            change()


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
        np.add.reduce(leaf([1.0]))


def test_gradients_accumulate_until_set_to_none():
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * 3).sum().backward()
        assert x.grad.tolist() == [3 * times] * 2
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_an_earlier_grad_is_not_changed_by_a_later_backward():
    x = leaf([1.0])
    (x * 3).sum().backward()
    held = x.grad
    (x * 3).sum().backward()
    assert held.tolist() == [3]


def aliases():
    def both(a, b, u):
        (a + b).backward(u)

    def root(a, b, u):
        a.backward(u)
        b.backward(u)

    def through_views(a, b, u):
        np.reshape(a.T, (2,)).backward(u)
        np.flip(np.flip(b)).backward(u)

    def positive(a, b, u):
        (+a + (+b)).backward(u)

    def scalars(a, b, u):
        (a.sum() + b.sum()).backward()

    def stacked(a, b, u):
        np.sum(np.concatenate([a, b])).backward()

    def twice(a, b, u):
        (a + b).backward(u)
        (a + b).backward(u)

    def linear_bias(a, b, u):
        F.linear(Tensor(np.ones((1, 2))), Tensor(np.eye(2)), a).sum().backward()
        (b * 1).sum().backward()

    return [both, root, through_views, positive, scalars, stacked, twice, linear_bias]


@pytest.mark.parametrize("way", aliases(), ids=lambda f: f.__name__)
def test_a_grad_never_shares_memory(way):
    a, b, u = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.array([5.0, 6.0])
    way(a, b, u)
    arrays = [a.data, b.data, a.grad.data, b.grad.data, u]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(arrays) for y in arrays[:i])
    assert all(g.flags.writeable for g in (a.grad.data, b.grad.data))
    assert u.tolist() == [5, 6]


def test_a_rule_that_returns_an_array_it_was_given_does_not_get_it_changed():
    @op(x=lambda g, out, x, y: y if g == 1 else g * y, y=None)
    def inner(x, y):
        return np.sum(x * y)

    x, y = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    (inner(x, y) + inner(x, y)).backward()
    assert x.grad.tolist() == [6, 8]
    assert y.tolist() == [3, 4]
    x.grad = None
    inner(x, y).backward()
    assert not np.shares_memory(x.grad.data, y)


def test_the_grad_has_the_dtype_of_its_leaf():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * np.array([1.0, 2.0])).sum().backward()
    assert x.grad.dtype == np.float32
    (x * np.array([1.0, 2.0])).sum().backward()
    assert x.grad.dtype == np.float32
    x.grad = None
    x.backward(np.ones(2))
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_that_comes_in_another_dtype_takes_that_of_its_leaf(create_graph):
    x = Tensor([1.0], requires_grad=True)
    for _ in range(2):
        (x * np.array([2.0])).sum().backward(create_graph=create_graph)
    assert (
        x.grad.dtype
        == grad((x * np.array([2.0])).sum(), x, create_graph=create_graph)[0].dtype
        == np.float32
    )


def test_backward_of_what_is_no_scalar_needs_a_gradient():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(
        RuntimeError,
        match=r"shape \(2,\), not one entry\. Call \.mean\(\) or \.sum\(\), or pass a gradient of that shape",
    ):
        y.backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), the tensor \(2,\)"):
        y.backward(np.ones(3))
    with pytest.raises(ValueError, match=r"gradient has shape \(\), the tensor \(2,\)"):
        y.backward(1.0)


@pytest.mark.parametrize(
    "u",
    [np.array([1.0, 10.0]), [1.0, 10.0], Tensor([1.0, 10.0]), np.array([1, 10])],
    ids=["array", "list", "Tensor", "integers"],
)
def test_backward_takes_a_gradient(u):
    x = leaf([1.0, 2.0])
    (x * x).backward(u)
    assert x.grad.tolist() == [2, 40]


def test_backward_of_one_entry_of_any_rank():
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * x).backward()
        assert x.grad.shape == shape
        assert x.grad.item() == 6


def test_backward_without_a_leaf_is_an_error():
    with no_grad():
        unrecorded = leaf([1.0]) * 2
    for t in (Tensor([1.0]), Tensor([1.0]) * 2, leaf([1.0]).detach(), unrecorded):
        with pytest.raises(
            RuntimeError, match="does not depend on any leaf with requires_grad=True"
        ):
            t.backward()


def test_a_result_keeps_its_gradient_when_asked():
    x = leaf([1.0, 2.0])
    y = x * 3
    z = y * y
    y.retain_grad()
    z.sum().backward()
    assert y.grad.tolist() == [6, 12]
    assert x.grad.tolist() == [18, 36]
    assert z.grad is None


def test_a_retained_gradient_is_the_whole_one():
    x = leaf([1.0])
    y = x * 3
    y.retain_grad()
    (y * y + np.exp(y) + y).sum().backward()
    assert y.grad.item() == pytest.approx(6 + math.exp(3) + 1)
    assert not np.shares_memory(y.grad.data, x.grad.data)


@pytest.mark.parametrize(
    "func",
    [lambda x, y: x * y, lambda x, y: np.sin(x) + y, lambda x, y: np.where([True, False], x, y)],
    ids=["*", "sin", "where"],
)
def test_a_leaf_that_no_longer_wants_a_gradient_gets_none(func):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    out = np.sum(func(x, y) * 2)
    x.requires_grad = False
    out.backward()
    assert x.grad is None and y.grad is not None


# ---------------------------------------------------------------------------------- size, time, memory


def test_sixty_doublings_are_two_to_the_sixty_and_sixty_rule_calls():
    counted, calls = counting_op()
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = counted(y)
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60
    assert len(calls) == 60


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_each_node_is_visited_once_however_the_graph_is_linked(n):
    counted, calls = counting_op()
    x = leaf(0.5)
    made = [counted(x)]
    for i in range(1, n):  # each from several earlier ones
        made.append(counted(0.5 * made[i // 2] + 0.3 * made[i - 1] + 0.1 * made[max(0, i - 7)]))
    made[-1].backward()
    assert len(calls) == n


def test_only_what_the_loss_depends_on_is_visited():
    counted, calls = counting_op()
    x = leaf(0.5)
    y = counted(x)
    for _ in range(5):
        counted(y)
    counted(y).backward()
    assert len(calls) == 2


def test_a_chain_of_a_million_ops(no_collector):
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1e-6
    middle = weakref.ref(y.args[0].args[0].data)
    y.backward()
    assert x.grad.item() == 1
    assert y.item() == pytest.approx(2)
    assert middle() is None


def test_a_chain_of_a_million_ops_dies_without_recursion(no_collector):
    y = leaf(1.0)
    x = weakref.ref(y.data)
    for _ in range(1_000_000):
        y = -y
    del y
    assert x() is None


def test_a_long_chain_of_second_order_dies_without_recursion(no_collector):
    x = leaf(0.5)
    y = x
    for _ in range(20_000):
        y = y * 1.0001
    (first,) = grad(y * y, x, create_graph=True)
    (second,) = grad(first, x)
    assert second.item() == pytest.approx(2 * 1.0001**40_000)
    held = weakref.ref(y.data)
    del first, second, y
    assert held() is None


def test_a_graph_dies_with_its_last_result(no_collector):
    x = leaf([1.0, 2.0])
    a = np.exp(x)
    b = a * a
    loss = (b @ b) + np.einsum("i,i->", a, b) + F.softmax(b)[0] + np.concatenate([a, b]).sum()
    held = [weakref.ref(t.data) for t in nodes(loss) if not t.is_leaf]
    assert len(held) > 8
    del a, b, loss
    assert [r for r in held if r() is not None] == []


def test_a_graph_dies_with_its_last_result_after_backward(no_collector):
    x = leaf([1.0, 2.0])
    for options in ({}, {"retain_graph": True}):
        loss = np.sum(np.exp(x) * x)
        held = [weakref.ref(t.data) for t in nodes(loss) if not t.is_leaf]
        loss.backward(**options)
        del loss
        assert [r for r in held if r() is not None] == []


def test_backward_frees_the_graph_though_the_loss_lives(no_collector):
    loss = np.sum(np.exp(leaf([1.0, 2.0])))
    inner = weakref.ref(loss.args[0].data)
    loss.backward()
    assert inner() is None


def test_memory_is_freed_on_the_way(no_collector):
    alive = []

    def rule(g, out, x):
        alive.append(sum(r() is not None for r in newer))
        return g

    @op(x=rule)
    def probe(x):
        return +x

    y = probe(leaf([1.0, 2.0]))
    newer = []
    for _ in range(10):
        y = np.exp(-y)
        newer += [weakref.ref(y.data), weakref.ref(y.args[0].data)]
    loss = y.sum()
    del y
    assert sum(r() is not None for r in newer) == 20
    loss.backward()
    assert alive[0] <= 1  # at most the node the probe's cotangent came from


def test_an_error_in_a_forward_leaves_no_cycle(no_collector):
    x = leaf(np.ones(3))
    held = weakref.ref(x.data)
    with contextlib.suppress(ValueError):
        x @ np.ones(4)
    del x
    assert held() is None


def test_only_rules_of_inputs_that_need_a_gradient_run():
    def fail(*args):
        raise AssertionError("this rule is not needed")

    @op(x=lambda g, out, x, y: g, y=fail)
    def two(x, y):
        return x + y

    @op(x=fail, y=lambda g, out, x, y, z: g, z=fail)
    def three(x, y, z=None):
        return x + y

    class Lazy:
        def __init__(self, g):
            self.g = g

        def __getitem__(self, i):
            return self.g if i == 1 else fail()

    @op(xs=lambda g, out, *xs: Lazy(g))
    def many(*xs):
        return xs[0] + xs[1]

    for constant_ in (Tensor([1.0]), np.ones(1), 1.0):
        for f in (
            lambda x, c: two(x, c),
            lambda x, c: three(c, x),
            lambda x, c: three(c, x, c),
            lambda x, c: many(c, x),
        ):
            for recorded in (False, True):
                x = leaf([1.0])
                assert grad(f(x, constant_), x, create_graph=recorded)[0].tolist() == [1]


# --------------------------------------------------------------------------------------------- no_grad


def test_no_grad_records_nothing():
    x = leaf([1.0])
    with no_grad():
        y = np.exp(x) * x
        z = F.softmax(x) @ x
        made = leaf([1.0])
    assert not y.requires_grad
    assert y.args == ()
    assert not z.requires_grad
    assert made.requires_grad
    assert (x * made).requires_grad


def test_no_grad_nests_and_ends_on_an_error():
    x = leaf([1.0])
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_is_a_decorator():
    @no_grad()
    def double(x):
        """Twice x."""
        return x * 2

    x = leaf([1.0])
    for _ in range(2):
        assert not double(x).requires_grad
    assert (x * 2).requires_grad
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice x."


def test_no_grad_holds_in_its_own_thread_only():
    x, inside, done = leaf([1.0]), threading.Event(), threading.Event()

    def other():
        with no_grad():
            inside.set()
            done.wait(10)
            seen.append((x * 2).requires_grad)

    seen = []
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    here = (x * 2).requires_grad
    done.set()
    thread.join()
    assert here
    assert seen == [False]
    with no_grad():
        assert in_thread(lambda: (x * 2).requires_grad)


def test_backward_under_no_grad_works():
    x = leaf([2.0])
    y = (x * x).sum()
    with no_grad():
        y.backward()
    assert x.grad.tolist() == [4]


# ---------------------------------------------------------------------------------- higher derivatives


def test_a_hessian():
    a, x = np.array([[2.0, 1.0], [0.0, 3.0]]), leaf([0.5, -1.0])

    def f(x):
        return x @ (a @ x) + np.sum(x**3) + np.exp(x[0] * x[1])

    (first,) = grad(f(x), x, create_graph=True)
    hessian = np.array([grad(entry, x, retain_graph=True)[0].data for entry in first])
    p, q = x.data
    e = math.exp(p * q)
    expected = (
        a + a.T + np.diag([6 * p, 6 * q]) + e * np.array([[q * q, 1 + p * q], [1 + p * q, p * p]])
    )
    np.testing.assert_allclose(hessian, expected, rtol=1e-14)


def test_derivatives_of_any_order():
    x = leaf(0.3)
    y = np.sin(x) * np.exp(x)  # the n-th derivative is 2^(n/2) exp(x) sin(x + n pi/4)
    for n in range(1, 7):
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(
            2 ** (n / 2) * math.exp(0.3) * math.sin(0.3 + n * math.pi / 4), rel=1e-12
        )


@pytest.mark.parametrize("outer", ["grad", "backward"])
@pytest.mark.parametrize("inner", ["grad", "backward"])
def test_second_derivatives_by_every_mixture_of_grad_and_backward(inner, outer):
    x = leaf([0.5, 2.0])
    y = np.sum(x**3)
    if inner == "grad":
        (first,) = grad(y, x, create_graph=True)
    else:
        y.backward(create_graph=True)
        first, x.grad = x.grad, None
    assert first.requires_grad
    np.testing.assert_allclose(first.data, 3 * x.data**2)
    penalty = np.sum(first * first)
    if outer == "grad":
        (second,) = grad(penalty, x)
    else:
        penalty.backward()
        second = x.grad
    np.testing.assert_allclose(second.data, 36 * x.data**3)


def test_a_gradient_penalty_added_to_the_loss():
    x, w = leaf([1.0, 2.0]), leaf([0.5, -0.3])
    y = np.tanh(x @ w)
    (gx,) = grad(y, x, create_graph=True)
    (y + np.sum(gx * gx)).backward()
    t = math.tanh(0.5 - 0.6)
    s = 1 - t * t
    expected = s * x.data + 2 * s * s * w.data + np.sum(w.data**2) * 2 * s * (-2 * t * s) * x.data
    np.testing.assert_allclose(w.grad.data, expected, rtol=1e-13)


def test_a_directional_derivative_by_two_backward_passes():
    x = leaf([0.5, -1.0, 2.0])
    v = np.array([1.0, 2.0, -1.0])
    u = Tensor(np.ones(3), requires_grad=True)
    (pulled,) = grad(np.sin(x) * x[::-1], x, u, create_graph=True)
    (pushed,) = grad(pulled, u, v)
    p = x.data
    np.testing.assert_allclose(
        pushed.data, np.cos(p) * v * p[::-1] + np.sin(p) * v[::-1], rtol=1e-14
    )


def test_backward_accumulates_recorded_gradients_too():
    x = leaf(2.0)
    for _ in range(2):
        (x**3).backward(create_graph=True)
    assert x.grad.item() == 24
    assert grad(x.grad, x)[0].item() == 24


def test_without_create_graph_gradients_are_plain_data():
    x = leaf(2.0)
    (g,) = grad(x**3, x)
    assert not g.requires_grad


def test_create_graph_keeps_the_graph():
    x = leaf(2.0)
    y = x**3
    grad(y, x, create_graph=True)
    assert grad(y, x)[0].item() == 12
    with pytest.raises(RuntimeError, match="already freed"):
        grad(y, x)


# ------------------------------------------------------------------------------------------------ grad


def test_grad_leaves_every_grad_untouched():
    x, w = leaf([2.0]), leaf([3.0])
    (x * w).sum().backward()
    before = x.grad
    for recorded in (False, True):
        assert grad((x * x * w).sum(), x, create_graph=recorded)[0].tolist() == [12]
        assert x.grad is before
        assert before.tolist() == [3]
        assert w.grad.tolist() == [2]


def test_grad_returns_a_tuple_in_the_order_asked():
    x, y = leaf(2.0), leaf(3.0)
    assert [g.item() for g in grad(x * x * y, [y, x])] == [4, 12]
    assert [g.item() for g in grad(x * x * y, (x, x))] == [12, 12]
    assert isinstance(grad(x * y, x), tuple)


def test_grad_by_a_result():
    x = leaf(2.0)
    y = x * x
    z = np.sin(y)
    assert grad(z, [y, x])[0].item() == pytest.approx(math.cos(4))
    w = x * x
    assert grad(w, w)[0].item() == 1


def test_grad_by_a_result_does_not_run_what_lies_before_it():
    counted, calls = counting_op()
    x = leaf(2.0)
    y = counted(x)
    z = counted(y)
    assert grad(z * z, y)[0].item() == 4
    assert len(calls) == 1


def test_grad_sums_over_outputs():
    x = leaf([1.0, 2.0])
    (g,) = grad([x.sum(), x * x], x, [None, np.array([1.0, 10.0])])
    assert g.tolist() == [3, 41]
    y = x.sum()
    assert grad([y, y], x)[0].tolist() == [2, 2]


def test_unused_inputs_are_an_error_unless_allowed():
    x, unused = leaf(2.0), leaf(1.0)
    with pytest.raises(
        RuntimeError, match=r"do not depend on inputs \[1\]\. Pass allow_unused=True"
    ):
        grad(x * x, [x, unused])
    g, none = grad(x * x, [x, unused], allow_unused=True)
    assert g.item() == 4
    assert none is None


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: grad(Tensor(1.0), x),
            "grad: this tensor does not depend on any leaf with requires_grad=True",
        ),
        (
            lambda x: grad(x.sum(), Tensor(1.0)),
            "the inputs must be Tensors that require a gradient",
        ),
        (lambda x: grad(x.sum(), 1.0), "the inputs must be Tensors that require a gradient"),
        (
            lambda x: grad(x * 2, x),
            r"grad: the tensor has shape \(2,\), not one entry\. Call \.mean\(\) .* or pass a gradient of that shape",
        ),
        (lambda x: grad(x.sum(), x, [None, None]), "1 outputs but 2 grad_outputs"),
        (
            lambda x: grad(x * 2, x, np.ones(3)),
            r"grad: the gradient has shape \(3,\), the tensor \(2,\)",
        ),
    ],
)
def test_wrong_calls_of_grad(call, message):
    with pytest.raises((RuntimeError, ValueError), match=message):
        call(leaf([1.0, 2.0]))


def test_gradients_of_grad_share_no_memory():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    u = np.ones(2)
    gx, gy = grad(x + y, [x, y], u)
    assert not np.shares_memory(gx.data, gy.data)
    assert not np.shares_memory(gx.data, u)


# ---------------------------------------------------------------------------------------- ops of one's own


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

    op(np.hypot, x=lambda g, out, x, y: g * x / out, y=lambda g, out, x, y: g * y / out)
    x = leaf([0.5, 1.0, 3.0])
    assert np.diff(x).op.name == "diff"
    assert gradcheck(np.diff, x)
    assert np.hypot(x, 2.0).op.name == "hypot"
    assert gradcheck(np.hypot, (x, leaf([[1.0], [2.0]])))
    assert gradgradcheck(np.hypot, (x, leaf([[1.0], [2.0]])))


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

    with pytest.raises(GradcheckError, match=r"FAIL: input 0, entry \(0,\): analytic .*, numeric"):
        gradcheck(cube, leaf([1.5, 2.0]))
    assert not gradcheck(cube, leaf([1.5]), raise_exception=False)


def test_rules_must_belong_to_arguments():
    with pytest.raises(TypeError, match=r"op double: rules for \['y'\], but its arguments are x\."):

        @op(x=lambda g, out, x: 2 * g, y=None)
        def double(x):
            return 2 * x

    assert "double" not in registry.ops


def test_a_name_that_another_module_has_taken_is_refused():
    def relu(x):
        return x

    with pytest.raises(ValueError, match=r"op relu is already defined\. Choose another name"):
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

    with pytest.raises(ValueError, match="in a rule of broken"):
        broken(leaf([1.0, 2.0])).sum().backward()


def test_an_error_in_a_forward_names_the_op_and_the_shapes():
    @op(x=lambda g, out, x, y: g, y=None)
    def joined(x, y):
        return np.hstack([x, y])

    with pytest.raises(ValueError, match=r"joined.*\(2, 2\) and \(3,\)"):
        joined(leaf(np.ones((2, 2))), np.ones(3))


def test_an_error_of_numpys_own_kind_is_told_as_a_built_in_one():
    with pytest.raises(TypeError, match=r"less of \(1,\): "):
        leaf([1.0]) < "a"  # noqa: B015


# ------------------------------------------------------------------------- what is recorded without a gradient


def test_named_data_are_an_input_of_the_graph():
    x, w = Tensor([1.0, 2.0], name="x"), leaf([3.0, 4.0])
    y = np.sum((x - 1) / 2 * w)
    assert [n.op.name for n in nodes(y) if n.args] == ["subtract", "divide", "multiply", "sum"]
    assert mg.replay(y, {x: [3.0, 5.0]}).item() == 3 + 8
    assert not (x - 1).requires_grad and not x.requires_grad
    with mg.no_grad():
        assert (x * 2).is_leaf
    assert mg.check_graph(y)
    y.backward()
    assert x.grad is None and w.grad.tolist() == [0, 0.5]
    with pytest.raises(RuntimeError, match="does not depend on any leaf"):
        np.sum(x * 2).backward()
    assert (Tensor([1.0]) * 2).is_leaf  # and without a name, plain data


def test_a_frozen_leaf_with_a_name_stays_an_input():
    x = Tensor([1.0], True, name="x")
    x.requires_grad = False
    assert not (y := x * 2).requires_grad and not y.is_leaf
    x.requires_grad = True
    assert (x * 2).requires_grad


def test_named_data_change_in_place_under_no_grad():
    x = x_before = Tensor([1.0], name="x")
    with mg.no_grad():
        x += 1
    assert x is x_before and x.data[0] == 2


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


def test_an_op_whose_arguments_have_no_places_is_refused():
    def scaled(x, *, factor=2.0):
        return x * factor

    with pytest.raises(
        TypeError,
        match=r"op scaled: keyword-only arguments and \*\* are not supported",
    ):
        registry.op(scaled, x=lambda g, out, x: g)
    assert "scaled" not in registry.ops


@pytest.mark.parametrize(
    "call", [lambda y, x: y.backward(create_graph=True), lambda y, x: grad(y, x, create_graph=True)]
)
def test_create_graph_inside_no_grad_is_refused(call):
    x = leaf(2.0)
    y = x * x
    with (
        mg.no_grad(),
        pytest.raises(
            RuntimeError, match=r"create_graph=True inside no_grad\(\) would record nothing"
        ),
    ):
        call(y, x)
    assert x.grad is None


def test_an_op_is_called_by_its_own_names():
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


def test_grad_takes_the_parameters_of_a_model():
    model = mg.nn.Linear(2, 1)
    found = grad(np.sum(model(np.ones((3, 2)))), model.parameters())
    assert [g.tolist() for g in found] == [[[3, 3]], [3]]


# ------------------------------------------------------------------ what the engine promises about itself


def test_without_fast_py_everything_is_the_same(tmp_path):
    """These tests pass in a copy of the package in which the file cannot be imported."""
    copied = tmp_path / "minigrad"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(mg.__file__).parent, copied, ignore=ignored)
    (copied / "fast.py").write_text("raise ImportError")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", "from minigrad import registry as r; print(r.__file__, r.speed_up)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert told.stdout.split() == [str(copied / "registry.py"), "None"]
    name = test_without_fast_py_everything_is_the_same.__name__
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, f"--rootdir={Path(__file__).parent}", __file__, "-k", f"not {name}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_engine_is_one_page():
    code = [line for line in inspect.getsource(engine).splitlines() if line.strip()]
    assert max(map(len, code)) <= 100
    assert len(code_lines(engine)) <= 160


def code_lines(module):
    """The numbers of the lines of a module without blanks, comments and docstrings."""
    text = inspect.getsource(module)
    docs = set()
    for node in ast.walk(ast.parse(text)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node):
            docs |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {t.start[0] for t in tokens if t.type not in skipped and t.type != tokenize.ENDMARKER}
    return lines - docs


@pytest.mark.parametrize(
    "given, collected", [("0", "unchanged"), ("1", "raised"), (None, "raised")]
)
def test_the_process_is_tuned_unless_the_user_says_no(given, collected):
    program = "import gc; before = gc.get_threshold()[0]; import minigrad\n"
    program += "print('unchanged' if gc.get_threshold()[0] == before else 'raised')"
    environment = {n: v for n, v in os.environ.items() if n != "MINIGRAD_TUNING"}
    environment["PYTHONPATH"] = str(Path(mg.__file__).parents[1])
    if given is not None:
        environment["MINIGRAD_TUNING"] = given
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert done.stdout.decode().strip() == collected


@pytest.mark.parametrize(
    "join",
    [
        lambda parts: np.concatenate(parts).sum(),
        lambda parts: np.stack(parts).sum(),
        lambda parts: F.l1_penalty(*parts, c=1.0),
        lambda parts: F.l2_penalty(*parts, c=1.0),
        lambda parts: F.group_l2(*parts, c=1.0, axis=0),
    ],
    ids=["concatenate", "stack", "l1_penalty", "l2_penalty", "group_l2"],
)
def test_backward_is_linear_in_the_number_of_operands(join):
    """Eight times as many operands cost about eight times as much, and by no means 64 times."""

    def cost(n):
        parts = [leaf([1.0, 2.0]) for _ in range(n)]
        best = math.inf
        for _ in range(5):
            loss = join(parts)
            start = time.process_time()
            loss.backward()
            best = min(best, time.process_time() - start)
        return best

    assert cost(4000) < 24 * cost(500)


def test_a_retained_gradient_is_none_before_backward_and_off_the_path():
    x = leaf([1.0, 2.0])
    y, aside = x * x, x * 3
    for t in (y, aside):
        t.retain_grad()
        assert t.grad is None and t.retains_grad
    (y * 2).sum().backward()
    assert y.grad.tolist() == [2, 2] and aside.grad is None
    x.retain_grad()  # a leaf keeps its gradient anyway
    assert not x.retains_grad


def test_comparisons_are_recorded_without_a_gradient():
    x = leaf([-1.0, 2.0])
    for y in (x > 0, np.sign(x), np.floor(x), np.argmax(x), x == x, np.any(x > 0), x.astype(int)):
        assert y.op is not None and not y.requires_grad and x in nodes(y)
    loss = np.where(x > 0, x * x, -x).sum()
    assert mg.replay(loss, {x: [3.0, -2.0]}).item() == 11
    (g,) = grad(loss, x)
    assert g.tolist() == [-1, 4]
    with no_grad():
        assert (x > 0).op is None
    assert (Tensor([1.0]) > 0).op is None


def test_an_op_needs_arguments_that_it_can_name():
    for forward in (lambda: np.ones(2), lambda _x: _x, lambda x_: x_):
        with pytest.raises(TypeError, match="whose names do not begin or end with '_'"):
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

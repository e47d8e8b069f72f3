"""Changes in place: which are refused, which are made, and the errors of backward after them."""

import numpy as np
import pytest
from helpers import leaf

import minigrad as mg
from minigrad import changes as clock
from minigrad.engine import Tensor
from minigrad.modes import no_grad

pytestmark = pytest.mark.usefixtures("as_before")


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
            TypeError, match=r"t of shape \(2,\), would change a tensor in place.*np\.where"
        ):
            t[0] = 1


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
def test_backward_through_a_changed_leaf_is_an_error(change, create_graph):
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
def test_backward_through_a_view_of_changed_data_is_an_error(view, kind):
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


def test_a_change_is_forgotten_with_its_memory(no_collector):
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
        (lambda: same.__iadd__(np.ones((3, 2))), r"shape \(2,\) .*\(3,2\)"),
        (lambda: Tensor([1]).__imul__(0.5), "int64"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            change()


def test_named_data_change_in_place_under_no_grad():
    x = x_before = Tensor([1.0], name="x")
    with mg.no_grad():
        x += 1
    assert x is x_before and x.data[0] == 2

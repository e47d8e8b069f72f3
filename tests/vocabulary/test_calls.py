"""NumPy on data that are not recorded, complex numbers, keywords, and when the names are imported."""

import numpy as np
import pytest
from helpers import close, gradient, leaf, normal
from processes import python

import minigrad as mg
from minigrad import ops
from minigrad.array import data_of
from minigrad.engine import Tensor
from minigrad.registry import op

square = np.array([[1.5, 0.5], [0.25, 2.0]])
PLAIN = {
    "np.linalg.norm": lambda t: np.linalg.norm(t),
    "np.linalg.eig": lambda t: np.linalg.eig(t),
    "np.linalg.lstsq": lambda t: np.linalg.lstsq(t, t, rcond=None),
    "np.fft.fft": lambda t: np.fft.fft(t),
    "np.unique": lambda t: np.unique(t, return_counts=True),
    "np.histogram": lambda t: np.histogram(t, bins=3),
    "np.interp": lambda t: np.interp(t, [0, 1, 2], [0, 1, 4]),
    "np.apply_along_axis": lambda t: np.apply_along_axis(np.sum, 0, t),
    "np.heaviside": lambda t: np.heaviside(t - 1, 0.5),
    "np.frexp": lambda t: np.frexp(t),
    "np.sum": lambda t: np.sum(t, out=np.zeros(())),
    "np.concatenate": lambda t: np.concatenate([t, t], dtype=np.float64, casting="unsafe"),
    "np.exp": lambda t: np.exp(t, where=square > 1, out=np.zeros((2, 2))),
    "np.add.reduceat": lambda t: np.add.reduceat(t, [0, 1]),
    "np.svd": lambda t: np.linalg.svd(t[:1], full_matrices=False),
}


@pytest.mark.parametrize("name", PLAIN)
def test_on_plain_data_every_function_is_numpys(name):
    def arrays(value):
        return list(map(data_of, value)) if isinstance(value, tuple) else [data_of(value)]

    expected = PLAIN[name](square)
    with mg.no_grad():
        found = [PLAIN[name](t) for t in (Tensor(square), leaf(square))]
    found.append(PLAIN[name](Tensor(square)))
    for value in found:
        assert type(value) is type(expected) or isinstance(value, Tensor)
        for a, b in zip(arrays(value), arrays(expected), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_gradient_is_plain_data():
    x = leaf(square)
    np.sum(x**2).backward()
    assert np.linalg.norm(x.grad).item() == np.linalg.norm(2 * square)
    assert np.median(x.grad).item() == np.median(2 * square) and isinstance(np.ptp(x.grad), Tensor)


@pytest.mark.parametrize(
    "error, text, call",
    [
        (ValueError, r"np\.eigvals: .*square", lambda t: np.linalg.eigvals(t[:1])),
        (TypeError, r"sum: .*integer", lambda t: np.sum(t, axis="a")),
        (ValueError, r"np\.reduceat: ", lambda t: np.add.reduceat(t, [0], axis=7)),
    ],
)
def test_an_error_of_numpy_names_the_function(error, text, call):
    with pytest.raises(error, match=text):
        call(Tensor(square))


def test_data_that_numpy_changes_in_place_are_not_used_with_their_old_values():
    t, x = Tensor(square), leaf(square)
    y = np.sum(x * t)
    np.fill_diagonal(t, 0)
    assert t.tolist() == [[0, 0.5], [0.25, 0]]
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    y = np.sum(x * t)
    np.add(t, 1.0, out=t)
    assert t.tolist() == [[1, 1.5], [1.25, 1]]
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    y = np.sum(x * t)
    np.add.at(t, (0, 0), 1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


# --------------------------------------------------------------------------------- complex numbers

ENTERING = {
    "multiply": lambda x: np.abs(x * 1j),
    "add": lambda x: np.real(np.array([1j, 2.0]) + x),
    "power": lambda x: x**1j,
    "matmul": lambda x: x @ np.array([1j, 2.0]),
    "einsum": lambda x: np.einsum("i,i", x, np.array([1j, 2.0])),
    "concatenate": lambda x: np.concatenate([x, np.array([1j])]),
    "where": lambda x: np.where([True, False], x, np.array([1j, 2.0])),
    "linear": lambda x: ops.linear(x, np.array([[1j, 2.0]])),
    "clip": lambda x: np.clip(x, np.array([1j, 2.0]), None),
    "subtract": lambda x: x.astype(np.float32) - np.array([1j, 2.0], np.complex64),
    "": lambda x: x.astype(complex),
}


@pytest.mark.parametrize("name", ENTERING)
def test_nothing_complex_enters_a_graph(name):
    with pytest.raises(
        TypeError, match=f"^{name}.*(real numbers, and the|real numbers are needed)"
    ):
        ENTERING[name](leaf([1.0, 2.0]))


@pytest.mark.parametrize("name", ENTERING)
def test_of_plain_data_and_complex_numbers_no_tensor_is_made(name):
    try:
        assert type(ENTERING[name](Tensor([1.0, 2.0]))) in (np.ndarray, np.complex128)
    except TypeError as error:
        assert "real numbers" in str(error)


@pytest.mark.parametrize("data, dtype", [(1j, None), ([1, 2j], None), (np.ones(2), complex)])
def test_a_tensor_is_not_made_of_complex_numbers(data, dtype):
    with pytest.raises(TypeError, match="real numbers are needed"):
        Tensor(data, dtype=dtype)


def test_complex_results_on_plain_data_and_of_arrays_are_numpys_arrays():
    z = np.array([1j, 2.0])
    close(ops.softmax(z), np.exp(z) / np.sum(np.exp(z)))
    found = np.fft.fft(Tensor([1.0, 2.0]))
    assert type(found) is np.ndarray and found.tolist() == [3, -1]


# ------------------------------------------------------------------------------- ufuncs and keywords


def test_the_methods_of_ufuncs_record():
    x, y = leaf([2.0, 3.0, 0.5]), leaf([1.0, -1.0])
    assert gradient(np.multiply.reduce(x), x).tolist() == [1.5, 1, 6]
    assert gradient(np.add.accumulate(x).sum(), x).tolist() == [3, 2, 1]
    assert gradient(np.multiply.outer(x, y).sum(), y).tolist() == [5.5, 5.5]
    assert np.logical_and.reduce(x > 0).item() and not np.logical_or.accumulate(x > 5).data.any()


@pytest.mark.parametrize("call", [Tensor.sum, ops.softmax, Tensor.clip, ops.linear, Tensor.round])
def test_a_keyword_that_nobody_knows_is_refused_in_pythons_words(call):
    text = rf"^{call.op.name}\(\) got an unexpected keyword argument 'wrong'$"
    with pytest.raises(TypeError, match=text):
        call(leaf(normal(2)), *[normal(2, 2)] * (call is ops.linear), wrong=1)


@pytest.mark.usefixtures("own_registry")
def test_settings_of_a_users_op_have_pytorchs_names_too_unless_it_has_them_itself():
    @op(x=lambda g, out, x, axis: g + 0 * x)
    def totals(x, axis=None):
        return np.sum(x, axis)

    @op(x=lambda g, out, x, axis, dim: g)
    def own_dim(x, axis=0, dim=5):
        return x + dim

    assert totals(leaf(normal(2, 3)), dim=0).shape == (3,)
    assert own_dim(leaf([1.0]), dim=2).item() == 3


# ------------------------------------------------------------------------- when the names are there

TRAINING = """
import sys
import minigrad as mg, numpy as np
from minigrad import nn, optim
layer = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
step = optim.Adam(layer.parameters())
loss = mg.functional.cross_entropy(layer(mg.Tensor(np.ones((5, 3)))), np.zeros(5, int))
loss.backward()
step.step()
print(*[name for name in sys.modules if "vocabulary" in name])
"""


def test_training_does_not_import_the_vocabulary_and_the_first_new_name_does():
    assert python("-c", TRAINING).stdout.split() == []
    found = python("-c", TRAINING + "print(np.median(loss), 'vocabulary' in str(sys.modules))")
    assert b"True" in found.stdout


def test_an_op_of_a_user_takes_over_from_the_vocabulary_and_cannot_take_its_name():
    own = """
import numpy as np, minigrad as mg
from minigrad.registry import op
@op(numpy=np.median, x=lambda g, out, x: g * 7 * np.ones_like(x))
def my_median(x):
    return np.median(x)
x = mg.Tensor([1.0], True)
print(mg.grad(np.median(x), x)[0].tolist())
try:
    @op(x=lambda g, out, x: g)
    def hypot(x):
        return x
except ValueError as error:
    print(error)
"""
    shown = python("-c", own).stdout.decode()
    assert "[7.0]" in shown and "op hypot is already defined" in shown


@pytest.mark.parametrize(
    "call",
    [
        lambda x, q: np.quantile(x, q),
        lambda x, q: np.percentile(x, q),
        lambda x, q: np.gradient(x, q[0]),
        lambda x, q: np.delete(x, q),
    ],
)
def test_settings_do_not_lose_a_gradient(call):
    with pytest.raises(TypeError, match=r"would drop the gradient|belong to a graph.*t\.numpy\(\)"):
        call(leaf([1.0, 2.0, 4.0]), leaf([0.1, 0.2, 0.7]))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.sum(t, where=t.data > 1),
        lambda t: np.max(t, initial=9.0),
        lambda t: np.mean(t, where=t.data > 1),
        lambda t: np.add.reduce(t, where=t.data > 1),
        lambda t: t.sum(where=t.data > 1),
        lambda t: t.argmax(dtype=np.float32),
        lambda t: np.reshape(t, (2, 1), order="F"),
    ],
)
def test_a_keyword_that_an_op_does_not_have_is_named(call):
    for t in leaf([1.0, 2.0]), Tensor([1.0, 2.0], name="t"):
        with pytest.raises(
            TypeError, match="got an unexpected keyword argument '(where|initial|dtype|order)'"
        ):
            call(t)
    assert np.sum(Tensor([1.0, 2.0]), where=[True, False]).item() == 1


@pytest.mark.parametrize(
    "call", [np.add.reduce, np.multiply.accumulate, lambda t: np.add.outer(t, t)]
)
def test_a_method_of_a_ufunc_is_recorded_for_data_with_a_name_too(call):
    t = Tensor([1.0, 2.0], name="t")
    again = mg.replay(call(t), {t: np.array([3.0, 5.0])})
    assert np.array_equal(again, call(np.array([3.0, 5.0])))


def test_settings_do_not_lose_an_input():  # a graph that runs again could not change them
    with pytest.raises(TypeError, match="belong to a graph"):
        np.delete(leaf([1.0, 2.0, 4.0]), Tensor([1], name="i"))
    assert np.delete(leaf([1.0, 2.0, 4.0]), Tensor([1])).tolist() == [1, 4]


def test_select_records_its_conditions():
    x = mg.Tensor([-1.0, 2.0], name="x")
    y = np.select([x > 0, x < -5], [x, 2 * x], 9.0)
    assert mg.replay(y, {x: np.array([3.0, -6.0])}).tolist() == [3, -12]

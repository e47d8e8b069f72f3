"""Dask arrays as data of Tensors: lazy and right, or refused by name."""

import re

import numpy as np
import pytest

pytest.importorskip("dask.array", reason="other libraries' arrays are tested with Dask")

import dask
import dask.array as da

import minigrad as mg
import minigrad.functional as F
from minigrad import foreign, nn, optim
from minigrad.foreign import NUMPY_ONLY
from tests.foreign.table import LAZY, WRONG, Computed, entries, outcomes, refuse
from tests.helpers import close


@pytest.fixture(autouse=True)
def nothing_is_computed():
    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture(scope="module")
def table():
    return outcomes()


def test_no_sample_of_any_op_is_silently_computed_or_wrong(table):
    wrong = [(id, o.note) for rows in table.values() for id, o in rows if o.kind == WRONG]
    assert not wrong


def test_only_these_ops_need_numpy(table):
    never = {name for name, rows in table.items() if all(o.kind != LAZY for _, o in rows)}
    assert never <= NUMPY_ONLY
    assert not {name for name in NUMPY_ONLY & table.keys() if name not in never}


def test_a_refusal_names_the_op(table):
    for rows in table.values():
        for id, o in rows:
            named = r"\w+ of \(|rule of \w+|\w+: |when it is computed"
            assert o.kind == LAZY or re.search(named, o.note.partition(": ")[2] + o.note), (id, o)


def data(rows=20, columns=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, columns)), rng.integers(0, 3, rows)


def net():
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(0.5),
        nn.Linear(8, 3, penalty=nn.ElasticNet(1e-3, 1e-3)),
    )  # fmt: skip


def test_a_net_with_dropout_and_penalties_equals_numpy_with_the_same_mask():
    x, y = data()
    model = net()
    loss = F.cross_entropy(model(mg.Tensor(da.from_array(x, chunks=(7, 5)))), y) + model.penalty()
    (noise,) = mg.noise_leaves(loss)
    loss.backward()
    gradients = [w.grad for w in model.parameters()]
    with dask.config.set(scheduler="sync"):
        mask = noise.data.compute()
        foreign.compute(loss, *gradients)
    hidden = model[2](model[1](model[0](mg.Tensor(x))))
    hidden = F.dropout(hidden, 0.5, training=True, mask=mask)
    expected = F.cross_entropy(model[4](hidden), y) + model.penalty()
    close(loss, expected, rtol=1e-14)
    for g, e in zip(gradients, mg.grad(expected, list(model.parameters()))):
        assert type(g.data) is np.ndarray and g.dtype == e.dtype
        close(g, e, rtol=1e-6, atol=1e-7)  # the parameters are float32


def test_the_noise_depends_on_the_chunks_and_not_on_who_draws_it():
    x = mg.Tensor(da.zeros((20, 6), chunks=(7, 3)) + 1.0)
    draws = []
    for scheduler in "sync", "threads":
        mg.manual_seed(3)
        y = F.gaussian_noise(F.dropout(x, 0.3, training=True), 0.1, training=True)
        with dask.config.set(scheduler=scheduler, num_workers=3):
            draws.append(np.asarray(y.data))
    assert np.array_equal(*draws)
    first, second = np.asarray(draws[0][:7]), np.asarray(draws[0][7:14])
    assert not np.array_equal(first, second)


def test_second_derivatives():
    x, _ = data()
    found, expected = [], []
    for array, second in (da.from_array(x, chunks=(7, 5)), found), (x, expected):
        t = mg.Tensor(array, True)
        (g,) = mg.grad((np.tanh(t) ** 3).sum(), t, create_graph=True)
        second += mg.grad((g * g).sum(), t)
    assert not isinstance(found[0].data, np.ndarray)
    close(entries(found[0]), expected[0], rtol=1e-12)


def test_replay_and_resample_stay_lazy():
    x = mg.Tensor(da.ones((8, 2), chunks=(3, 2)), True)
    y = F.dropout(x, 0.5, training=True).sum()
    assert not isinstance(mg.resample(y).data, np.ndarray)
    assert entries(mg.replay(y)) == entries(y)


@pytest.mark.parametrize(
    "act",
    [
        lambda t: float(t.sum()),
        lambda t: t.sum().item(),
        lambda t: t.numpy(),
        lambda t: t.tolist(),
        lambda t: np.asarray(t),
        lambda t: bool(t.sum() > 0),
        lambda t: mg.terms(t.sum()),
        lambda t: mg.check_graph(t.sum()),
        lambda t: mg.gradcheck(np.tanh, t),
        lambda t: np.linalg.inv(t),
        lambda t: F.gelu(t),
        lambda t: np.median(t),
        lambda t: t[t > 0],
        lambda t: mg.Tensor(t.data[t.data > 0]),
        lambda t: F.batch_norm(t, np.zeros(4), np.ones(4), training=True),
        lambda t: t[[1, 1]].sum().backward(),
    ],
)
def test_what_needs_entries_is_refused_before_anything_is_computed(act):
    t = mg.Tensor(da.from_array(np.eye(4), chunks=2), True)
    with pytest.raises((TypeError, ValueError, RuntimeError)) as told:
        act(t)
    assert not isinstance(told.value.__cause__, Computed) and len(str(told.value)) > 30


def test_text_and_pictures_show_shapes_and_compute_nothing():
    t = mg.Tensor(da.ones((4, 6), chunks=(2, 3)), True, name="t")
    loss = np.tanh(t).sum()
    assert "chunksize=(2, 3)" in repr(t)
    assert "(4, 6)" in mg.to_text(loss)
    assert "(4, 6)" in mg.to_dot(loss)


def test_labels_are_checked_when_they_are_computed():
    x, y = data()
    scores = mg.Tensor(da.from_array(x[:, :3], chunks=(7, 3)), True)
    loss = F.cross_entropy(scores, da.from_array(y, chunks=7))
    close(entries(loss), F.cross_entropy(x[:, :3], y), rtol=1e-14)
    loss = F.cross_entropy(scores, da.from_array(y + 1, chunks=7))
    with dask.config.set(scheduler="sync"), pytest.raises(ValueError, match="classes 1..3"):
        foreign.compute(loss)


def test_an_op_of_a_user_that_leaves_the_library_is_refused(own_registry):
    from minigrad.registry import op

    @op(x=lambda g, out, x: g)
    def left_the_library(x):
        return np.array([1.0, 2.0])

    with pytest.raises(TypeError, match="left_the_library.*dask.*NumPy array"):
        left_the_library(mg.Tensor(da.ones(2, chunks=1), True))


def test_an_optimizer_asks_for_computed_gradients():
    w = mg.Tensor(np.ones(5), True)
    (mg.Tensor(da.ones((4, 5), chunks=2)) @ w).sum().backward()
    sgd = optim.SGD([w], lr=0.1)
    with pytest.raises(TypeError, match="foreign.compute"):
        sgd.step()
    with dask.config.set(scheduler="sync"):
        foreign.compute(w.grad)
    sgd.step()
    close(w, np.full(5, 1 - 0.4))


def test_compute_takes_tensors_and_leaves_numpy_arrays():
    with pytest.raises(TypeError, match="compute: pass Tensors, not a ndarray"):
        foreign.compute(np.ones(2))
    t = mg.Tensor([1.0])
    foreign.compute(t)
    assert t.data == [1]

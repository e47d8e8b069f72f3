"""What is lazy: chunks, shapes that are not known, checks that wait, and Dask's schedulers."""

import numpy as np
import pytest

pytest.importorskip("dask.array", reason="dask.array is not installed")

import dask
import dask.array as da
from dask.callbacks import Callback

import minigrad as mg
import minigrad.functional as F
from minigrad import foreign, nn
from tests.foreign.libraries import refuse
from tests.foreign.table import is_computed
from tests.helpers import close, normal


@pytest.fixture(autouse=True)
def nothing_is_computed():
    with dask.config.set(scheduler=refuse):
        yield


def lazy(array, chunks=2):
    return da.from_array(np.asarray(array), chunks=chunks)


def computed(x):
    with dask.config.set(scheduler="sync"):
        return np.asarray(x.data)


# ------------------------------------------------------------------------------------------- noise


def test_the_noise_depends_on_the_chunks_and_not_on_who_draws_it():
    x = mg.Tensor(da.zeros((20, 6), chunks=(7, 3)) + 1.0)
    draws = []
    for scheduler in "sync", "threads":
        mg.manual_seed(3)
        y = F.gaussian_noise(F.dropout(x, 0.3, training=True), 0.1, training=True)
        with dask.config.set(scheduler=scheduler, num_workers=3):
            draws.append(np.asarray(y.data))
    assert np.array_equal(*draws)
    assert not np.array_equal(draws[0][:7], draws[0][7:14])


def test_a_lazy_mask_is_given_again():
    x = mg.Tensor(lazy(normal(6, 4)))
    y = F.dropout(x, 0.5, training=True)
    (noise,) = mg.noise_leaves(y)
    again = F.dropout(x, 0.5, training=True, mask=noise)
    assert np.array_equal(computed(y), computed(again))


# ---------------------------------------------------------------------------------- text, pictures


def test_text_and_pictures_show_shapes_and_chunks_and_compute_nothing(tmp_path):
    tasks = []
    with Callback(pretask=lambda key, *_: tasks.append(key)):
        t = mg.Tensor(da.ones((4, 6), chunks=(2, 3)), True, name="t")
        loss = np.tanh(t).sum()
        assert "shape=(4, 6)" in repr(t) and "chunksize=(2, 3)" in repr(t)
        penalty = F.l2_penalty(mg.Tensor(np.ones(2), True), c=0.1)
        assert "nan" not in mg.to_text(loss + penalty)  # no share of an unknown loss
        for shown in mg.to_text(loss), mg.to_dot(loss, values=True, grads=True):
            assert "(4, 6)" in shown and "chunks (2, 3)" in shown
        mg.draw(loss, to_file=tmp_path / "lazy.dot")
        assert "chunks (2, 3)" in (tmp_path / "lazy.dot").read_text()
        assert not tasks
        computed(loss)  # the callback does count
        assert tasks


# -------------------------------------------------------------------------------------- computing


def test_compute_takes_one_go_for_the_loss_and_all_gradients():
    runs = []

    def counted(*args, **keywords):
        runs.append(1)
        return dask.local.get_sync(*args, **keywords)

    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    loss = (model(mg.Tensor(lazy(normal(6, 3)))) ** 2).mean()
    loss.backward()
    gradients = [w.grad for w in model.parameters()]
    with dask.config.set(scheduler=counted):
        foreign.compute(loss, *gradients, gradients[0])
    assert len(runs) == 1
    assert all(type(t.data) is np.ndarray for t in (loss, *gradients))
    assert loss.item() > 0


def test_compute_takes_tensors_and_leaves_numpy_arrays():
    with pytest.raises(TypeError, match="compute: pass Tensors, not a ndarray"):
        foreign.compute(np.ones(2))
    t = mg.Tensor([1.0])
    data = t.data
    foreign.compute(t)
    assert t.data is data


@pytest.mark.parametrize("scheduler", ["distributed", "nowhere"])
def test_a_scheduler_that_is_not_there_is_named_and_nothing_changes(scheduler):
    t = mg.Tensor(lazy(np.ones(4)), True)
    missing = pytest.raises((RuntimeError, ValueError), match="no Client active|Expected one of")
    with dask.config.set(scheduler=scheduler), missing:
        foreign.compute(t)
    assert computed(t).sum() == 4


# ------------------------------------------------------------------------------- checks that wait


def test_labels_are_checked_when_they_are_computed():
    x, y = normal(20, 3), np.arange(20) % 3
    scores = mg.Tensor(lazy(x, (7, 3)))
    loss = F.cross_entropy(scores, lazy(y, 7))
    close(computed(loss), F.cross_entropy(x, y), rtol=1e-14)
    loss = F.cross_entropy(scores, lazy(y + 1, 7))
    with (
        dask.config.set(scheduler="sync"),
        pytest.raises(ValueError, match="cross_entropy: the target has classes 1..3, the scores"),
    ):
        foreign.compute(loss)
    assert not isinstance(loss.data, np.ndarray)


def test_what_is_checked_keeps_its_graph():
    p = np.array([0.3, 0.6])
    found, expected = mg.Tensor(lazy(p), True), mg.Tensor(p, True)
    for t in found, expected:
        F.binary_cross_entropy(t, np.array([0.0, 1.0])).backward()
    close(computed(found.grad), expected.grad)


@pytest.mark.parametrize(
    "act, told",
    [
        (lambda x: F.nll_loss(x, lazy([0, 1, 2, 4])), "nll_loss: the target has classes"),
        (lambda x: F.binary_cross_entropy(x, x), "binary_cross_entropy: the probabilities must be"),
        (lambda x: F.embedding(lazy([0, 4]), x), "embedding: each row in x must be from 0 to 3"),
        (lambda x: np.take(x, lazy([0, 4]), 0), "indices into an axis of 4"),
        (lambda x: F.dropout(x, 0.5, True, mask=lazy(np.full((4, 4), 2))), "a mask has 1"),
    ],
)
def test_other_entries_that_are_wrong_are_found_when_they_are_computed(act, told):
    t = act(mg.Tensor(lazy(np.eye(4) - 1), True))
    with dask.config.set(scheduler="sync"), pytest.raises((ValueError, IndexError), match=told):
        foreign.compute(t)


# ------------------------------------------------------------------------ arguments that are lazy


@pytest.mark.parametrize(
    "act",
    [
        lambda t, w: F.embedding(lazy([0, 1, 3]), w),
        lambda t, w: t[lazy([0, 1])],
        lambda t, w: t[: mg.Tensor(da.ones((), int))],
        lambda t, w: F.scaled_dot_product_attention(t, t, t, lazy(np.eye(4) > 0)),
        lambda t, w: F.dropout(w, 0.5, training=True, mask=lazy(np.eye(4) > 0)),
        lambda t, w: np.where(lazy(np.eye(4)) > 0, w, 0.0),
        lambda t, w: w.masked_fill(lazy(np.eye(4) > 0), 0.0),
        lambda t, w: F.cross_entropy(w, lazy([0, 1, 2, 3])),
        lambda t, w: t.reshape(mg.Tensor(lazy([2, 8]))),
        lambda t, w: np.repeat(t, lazy([1, 2, 1, 1]), axis=0),
        lambda t, w: np.tile(t, lazy([1, 2])),
        lambda t, w: np.split(t, lazy([1, 2])),
        lambda t, w: np.array_split(t, lazy([1, 2])),
        lambda t, w: np.take(t, lazy([0, 1]), axis=0),
        lambda t, w: np.delete(t, lazy([0]), 0),
        lambda t, w: np.insert(t, 1, lazy(3.0)),
        lambda t, w: np.quantile(w, lazy([0.5])),
        lambda t, w: np.percentile(w, lazy([0.5])),
        lambda t, w: np.searchsorted(t[0], lazy([1.0])),
        lambda t, w: np.array_equal(t, w),
        lambda t, w: np.unique(t.detach()),
        lambda t, w: np.interp(t[0].detach(), np.arange(4), np.arange(4.0)),
        lambda t, w: np.linalg.matrix_rank(t.detach()),
        lambda t, w: np.median(t),
        lambda t, w: t @ np.ones((3, 2)),
        lambda t, w: F.linear(t, np.eye(4), np.ones(1)),
        lambda t, w: mg.full((2, 2), lazy(3.0)),
        lambda t, w: (2 * w).backward(lazy(np.eye(4))),
        lambda t, w: mg.grad(2 * w, w, lazy(np.eye(4))),
    ],
)
def test_lazy_arguments_stay_lazy_or_are_refused(act):
    t, w = mg.Tensor(lazy(np.eye(4)), True), mg.Tensor(np.eye(4), True)
    try:
        act(t, w)
    except (TypeError, ValueError) as error:
        assert not is_computed(error)


def test_a_lazy_gradient_of_the_caller_stays_lazy():
    w = mg.Tensor(np.eye(4), True)
    (w * w).backward(lazy(np.full((4, 4), 3.0)))
    close(computed(w.grad), 6 * np.eye(4))


# ------------------------------------------------------------------------ shapes that are not known


@pytest.mark.parametrize(
    "act",
    [
        lambda t, some: t * some,
        lambda t, some: t[t > 0],
        lambda t, some: np.concatenate([t, some]),
        lambda t, some: F.mse_loss(t, some),
        lambda t, some: F.cross_entropy(t[None] * np.ones((4, 1)), some.astype(int)),
        lambda t, some: mg.Tensor(some),
    ],
)
def test_an_array_of_unknown_shape_is_refused_and_the_remedy_is_named(act):
    t, some = mg.Tensor(lazy(np.ones(4)), True), lazy(np.ones(4))
    with pytest.raises(ValueError, match=r"shape \(nan,\) is not known .* compute_chunk_sizes\(\)"):
        act(t, some[some > 0])


def test_a_mask_of_unknown_shape_is_refused():
    some = lazy(np.ones(4) > 0)
    with pytest.raises(ValueError, match="dropout: .*shape"):
        F.dropout(mg.Tensor(np.ones(4)), 0.5, training=True, mask=some[some])

"""Data-parallel steps: the same bits for any pool of processes, also when a process dies."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim, parallel
from tests.helpers import close

X = np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 64)
CHUNKS = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 64, 16)]


def net():
    mg.manual_seed(0)
    dropped = nn.Dropout(0.5)
    return nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.ReLU(), dropped, nn.Linear(8, 3))


def loss_of(model, chunk):
    x, y = chunk
    return F.cross_entropy(model(mg.Tensor(x)), y, reduction="sum") / len(X)


def trained(map, loss_of=loss_of, steps=3):
    """The losses and the parameters after a few steps."""
    model, losses = net(), []
    sgd = optim.SGD(model.parameters(), lr=0.1)
    for step in range(steps):
        sgd.zero_grad()
        losses.append(parallel.backward(loss_of, model, CHUNKS, (7, step), map))
        sgd.step()
    return losses, [w.data for w in model.parameters()], model


def require_same_bits(found, expected):
    assert found[0] == expected[0]
    assert all(np.array_equal(a, b) for a, b in zip(found[1], expected[1]))


def test_two_processes_give_the_bits_of_one():
    expected = trained(map)
    with ProcessPoolExecutor(2) as pool:
        require_same_bits(trained(pool.map), expected)
    assert expected[0][0] != expected[0][1]
    assert expected[2][1].num_batches_tracked == 0


def test_the_gradient_is_that_of_the_whole_loss_and_is_added():
    model = net().eval()
    whole = F.cross_entropy(model(mg.Tensor(X)), Y)
    expected = mg.grad(whole, list(model.parameters()))
    for times in 1, 2:
        loss = parallel.backward(loss_of, model, CHUNKS, 0)
        assert loss == pytest.approx(whole.item(), rel=1e-6)
        for w, e in zip(model.parameters(), expected):
            close(w.grad, times * e.data, rtol=1e-4, atol=1e-6)


def test_chunks_draw_other_masks_and_the_noise_of_the_caller_goes_on():
    masks = []

    def keeps_masks(model, chunk):
        loss = loss_of(model, chunk)
        masks.extend(leaf.data for leaf in mg.noise_leaves(loss))
        return loss

    mg.manual_seed(5)
    expected = mg.noise.stream("mine").random(2)
    model = net()
    mg.manual_seed(5)
    first = mg.noise.stream("mine").random(1)
    parallel.backward(keeps_masks, model, CHUNKS, (1, 2))
    assert [*first, *mg.noise.stream("mine").random(1)] == list(expected)
    assert len({mask.tobytes() for mask in masks}) == len(CHUNKS)


def dies_once(model, chunk, path):
    """The loss. The first process that makes it kills itself."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return loss_of(model, chunk)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_of_dask_that_dies_changes_no_bit(tmp_path):
    distributed = pytest.importorskip("distributed", reason="workers that die are tested with Dask")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        pool = client.get_executor()
        dying = partial(dies_once, path=str(tmp_path / "died"))
        require_same_bits(trained(pool.map, dying), trained(map))
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("seed", [-1, (), (1, -2), 1.5, (1, True), "a"])
def test_seeds_that_are_no_whole_numbers_are_refused(seed):
    with pytest.raises(ValueError, match="a whole number >= 0"):
        mg.manual_seed(seed)


@pytest.mark.fixed_seeds
def test_different_seeds_give_different_noise():
    """For np.random.SeedSequence (5, 0) is 5, and (5, 1) is 2**32 + 5."""
    seeds = [0, 1, 5, (5, 0), (0, 5), (5, 0, 0), (5, 1), 2**32 + 5, 2**32, (0, 1), (0, 0), (51,)]
    seeds += [51, (5, 1, 0, 0, 0), (5, 1, 0, 0, 0, 0), (2**32, 5), (2**64 + 5, 1), 2**96 + 5]
    drawn = {}
    for seed in seeds:
        mg.manual_seed(seed)
        drawn[seed] = mg.noise.stream("a").random()
    assert drawn.pop((51,)) == drawn[51]
    assert len({*drawn.values()}) == len(drawn) == len(seeds) - 1


def test_a_seed_of_several_numbers_is_restored():
    mg.manual_seed((3, 1, 4))
    state = mg.get_rng_state()
    first = mg.noise.stream("a").random(3)
    mg.set_rng_state(state)
    assert np.array_equal(mg.noise.stream("a").random(3), first)
    mg.manual_seed((3, 1, 5))
    assert not np.array_equal(mg.noise.stream("a").random(3), first)

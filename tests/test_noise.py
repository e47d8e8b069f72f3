"""Randomness: seeds and streams, noise leaves, frozen noise, noise on plain data."""

import copy
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import leaf
from processes import in_thread

import minigrad as mg
from minigrad import functional as F
from minigrad import modes, registry
from minigrad import noise as randomness
from minigrad.engine import Tensor, grad
from minigrad.graph import nodes
from minigrad.modes import no_grad
from minigrad.noise import Bernoulli, Noise, Normal

pytestmark = pytest.mark.usefixtures("as_before")


def drawn(name="", n=64):
    """Noise from the stream `name`."""
    return (
        modes.scoped(name, lambda: Noise(Bernoulli(0.5), (n,), bool)).data
        if name
        else Noise(Bernoulli(0.5), (n,), bool).data
    )


def test_a_seed_repeats_the_noise():
    mg.manual_seed(3)
    first = [drawn(), drawn(), drawn("a")]
    mg.manual_seed(3)
    again = [drawn(), drawn(), drawn("a")]
    assert all(np.array_equal(x, y) for x, y in zip(first, again))
    mg.manual_seed(4)
    assert not np.array_equal(first[0], drawn())
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])


def test_streams_are_independent():
    mg.manual_seed(0)
    expected = [drawn("b"), drawn("b")]
    mg.manual_seed(0)
    drawn("a")
    first = drawn("b")
    drawn("a", 1000)
    drawn("")
    drawn("aa")
    assert np.array_equal(expected[0], first)
    assert np.array_equal(expected[1], drawn("b"))


def test_streams_of_similar_names_differ():
    mg.manual_seed(0)
    names = ["", "a", "b", "aa", "ab", "ba", "a.b", "drop1", "drop10", "é"]
    values = [randomness.stream(name).random(2).tolist() for name in names]
    assert len({tuple(v) for v in values}) == len(names)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="manual_seed: a whole number >= 0"):
        mg.manual_seed(seed)


def test_a_seed_may_be_large_or_numpys():
    for a, b in ((2**200, 2**200), (np.int64(5), 5)):
        mg.manual_seed(a)
        first = drawn()
        mg.manual_seed(b)
        assert np.array_equal(first, drawn())


def test_without_a_seed_two_threads_differ():
    assert not np.array_equal(in_thread(drawn), in_thread(drawn))


def test_threads_share_no_generator():
    mg.manual_seed(0)
    mine = randomness.stream("a")
    before = mine.bit_generator.state

    def other():
        theirs = randomness.stream("a")
        mg.manual_seed(0)
        return theirs is not mine, drawn("a")

    apart, values = in_thread(other)
    assert apart
    assert mine.bit_generator.state == before
    assert np.array_equal(values, drawn("a"))  # but a seed means the same in every thread


def test_numpys_own_generator_is_neither_used_nor_moved():
    np.random.seed(0)
    before = str(np.random.get_state())
    mg.manual_seed(1)
    first = drawn()
    F.dropout(leaf(np.ones(9)), 0.5, True)
    assert str(np.random.get_state()) == before
    np.random.seed(9)
    mg.manual_seed(1)
    assert np.array_equal(first, drawn())


def test_noise_is_a_leaf_that_knows_where_it_came_from():
    mg.manual_seed(0)
    noise = modes.scoped("drop", lambda: Noise(Bernoulli(0.3), (2, 3), bool))
    assert noise.is_leaf
    assert not noise.requires_grad
    assert noise.stream == "drop"
    assert noise.rng is randomness.stream("drop")
    assert (noise.shape, noise.dtype) == ((2, 3), bool)
    assert noise.draw().shape == (2, 3)


def test_noise_from_a_generator_of_ones_own():
    mg.manual_seed(0)
    before = drawn()
    mg.manual_seed(0)
    a = Noise(Bernoulli(0.5), (64,), bool, np.random.default_rng(5)).data
    b = Noise(Bernoulli(0.5), (64,), bool, np.random.default_rng(5)).data
    assert np.array_equal(a, b)
    assert np.array_equal(before, drawn())  # minigrad's own was not moved


def test_two_frozen_blocks_draw_the_same_and_different_noise_inside():
    mg.manual_seed(0)
    blocks = []
    for _ in range(2):
        with mg.frozen_noise():
            blocks.append([drawn(), drawn(), drawn("a")])
    assert all(np.array_equal(x, y) for x, y in zip(*blocks))
    assert not np.array_equal(blocks[0][0], blocks[0][1])


def test_frozen_noise_puts_generators_back_also_after_an_error():
    mg.manual_seed(0)
    rng = np.random.default_rng(1)
    drawn()
    before = [str(g.bit_generator.state) for g in (randomness.stream(""), rng)]
    with pytest.raises(KeyError), mg.frozen_noise():
        drawn()
        Noise(Bernoulli(0.5), (5,), bool, rng)
        raise KeyError
    assert [str(g.bit_generator.state) for g in (randomness.stream(""), rng)] == before
    assert not randomness.frozen.get()


def test_a_stream_first_used_in_a_frozen_block_starts_anew_in_the_next():
    mg.manual_seed(0)
    with mg.frozen_noise():
        first = drawn("new")
    assert np.array_equal(first, drawn("new"))


def test_frozen_blocks_nest():
    mg.manual_seed(0)
    for _ in range(2):
        with mg.frozen_noise():
            a = drawn()
            with mg.frozen_noise():
                b = drawn()
            c = drawn()
    assert np.array_equal(b, c)
    assert not np.array_equal(a, b)
    assert np.array_equal(a, drawn())


# ------------------------------------------------------------------------------ threads and processes


def test_a_seed_reaches_threads_which_draw_noise_of_their_own():
    def work():
        return [drawn(), drawn("a"), mg.nn.Linear(3, 3).weight.data]

    def run(seed):
        mg.manual_seed(seed)
        return [in_thread(work), in_thread(work), work()]

    first, again, other = run(3), run(3), run(4)
    assert str(first) == str(again)
    masks = [str(values) for values in (*first, *other)]
    assert len(set(masks)) == 6


def test_a_seed_of_the_main_thread_reaches_a_thread_that_runs_already():
    def work():
        drawn()
        seeded.wait(10)
        return drawn()

    def run():
        seeded.clear()
        with ThreadPoolExecutor(1) as pool:
            later = pool.submit(work)
            mg.manual_seed(5)
            seeded.set()
            return later.result()

    seeded = threading.Event()
    assert np.array_equal(run(), run())


def test_a_seed_of_another_thread_is_for_that_thread_alone():
    mg.manual_seed(0)
    here, there = drawn(), in_thread(drawn)

    def work():
        mg.manual_seed(7)
        return drawn()

    mg.manual_seed(0)
    own = in_thread(work)
    assert np.array_equal(here, drawn()) and np.array_equal(there, in_thread(drawn))
    mg.manual_seed(7)
    assert np.array_equal(own, drawn())


def test_a_saved_state_counts_the_threads_that_have_drawn():
    mg.manual_seed(0)
    in_thread(drawn)
    saved = mg.get_rng_state()
    expected = in_thread(drawn)
    mg.set_rng_state(saved)
    assert np.array_equal(expected, in_thread(drawn))
    del saved["children"]  # as a state of an older version
    mg.set_rng_state(saved)
    mg.manual_seed(0)
    assert not np.array_equal(expected, in_thread(drawn))


needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system does not fork processes"
)


def in_fork(function):
    """The bytes of the array function() in a process that is forked here."""
    reader, writer = os.pipe()
    if (process := os.fork()) == 0:
        try:
            os.write(writer, np.packbits(function()).tobytes())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        found = file.read()
    os.waitpid(process, 0)
    assert found
    return found


@needs_fork
def test_forked_processes_draw_noise_of_their_own_and_repeat_it_after_a_seed():
    def run():
        mg.manual_seed(0)
        loss = F.dropout(leaf(np.ones(64)), 0.5, training=True)
        again = lambda: mg.resample(loss).data > 0
        found = [in_fork(drawn), in_fork(drawn), in_fork(again), in_fork(again)]
        return [*found, np.packbits(drawn()).tobytes(), np.packbits(again()).tobytes()]

    first = run()
    assert len(set(first)) == 6 and first == run()


@needs_fork
def test_a_process_forked_in_a_thread_can_seed_itself():
    def seeded():
        mg.manual_seed(1)
        in_thread(drawn)  # no lock is held for ever
        return drawn()

    mg.manual_seed(1)
    expected = np.packbits(drawn()).tobytes()
    assert in_thread(lambda: in_fork(seeded)) == expected == in_fork(seeded)


def test_a_leaf_draws_from_the_stream_of_that_name_here_and_now():
    mg.manual_seed(0)
    loss = F.dropout(leaf(np.ones(64)), 0.5, training=True)
    first = mg.resample(loss).tolist()
    for _ in range(2):
        mg.manual_seed(1)
        again = mg.resample(loss).tolist()
        (noise,) = mg.noise_leaves(loss)
        assert noise.rng is randomness.stream(noise.stream)
    mg.manual_seed(1)
    assert mg.resample(loss).tolist() == again != first
    before = str(mg.get_rng_state()["streams"])
    in_thread(lambda: mg.resample(loss))
    assert str(mg.get_rng_state()["streams"]) == before


# ------------------------------------------------------------------------------ noise on plain data


def on_data(x=None):
    """A loss with dropout of plain data, through ops of one, two and more operands."""
    mg.manual_seed(0)
    x = Tensor(np.linspace(1, 2, 40)) if x is None else x
    return np.sum(
        np.exp(0.5 * F.dropout(x, 0.5, training=True) + 1).reshape(4, 10) * leaf(np.ones(10))
    )


def test_noise_on_plain_data_is_recorded_and_wants_no_gradient():
    recorded = {n.op.name: n.requires_grad for n in nodes(on_data()) if n.op and not n.is_leaf}
    assert recorded == {
        "dropout": False,
        "multiply": True,
        "add": False,
        "exp": False,
        "reshape": False,
        "sum": True,
    }
    first = next(n for n in nodes(on_data()) if n.op and n.op.name == "multiply")
    assert not first.requires_grad
    assert np.asarray(first).shape == (40,)  # leaves the graph without losing a gradient
    with pytest.raises(RuntimeError, match="does not depend on any leaf"):
        np.sum(first).backward()


def test_noise_on_plain_data_is_drawn_again():
    loss = on_data()
    assert len({mg.resample(loss).item() for _ in range(20)}) > 10
    assert mg.replay(loss).item() == loss.item()


@pytest.mark.parametrize("create_graph", [False, True])
def test_no_rule_runs_on_the_way_to_plain_data(monkeypatch, create_graph):
    loss = on_data()
    for name in ("dropout", "add", "exp", "reshape"):
        monkeypatch.setattr(registry.ops[name], "rules", None)  # any use is an error
    w = next(n for n in nodes(loss) if n.requires_grad and n.is_leaf)
    factor = next(n for n in nodes(loss) if n.op and n.op.name == "reshape").data
    (gradient,) = grad(loss, w, create_graph=create_graph)
    np.testing.assert_allclose(gradient.data, factor.sum(axis=0), rtol=1e-12, atol=1e-14)


def test_noise_is_recorded_also_where_it_is_compared_but_not_under_no_grad():
    noise = Noise(Bernoulli(0.5), (3,), bool)
    assert (noise == 1).op.name == "equal" and not (noise == 1).requires_grad
    with no_grad():
        assert (noise * 2).op is None
    assert not noise.requires_grad and (noise * 2).op is not None
    assert copy.copy(noise).op is None
    real = Noise(Normal(), (3,), np.float64)
    real.requires_grad = True
    assert grad(np.sum(real * real), real)[0].tolist() == (2 * real.data).tolist()
    real.requires_grad = False
    assert not real.requires_grad and (real * 2).op is not None


# ------------------------------------------------------------------------------------- wrong calls


@pytest.mark.parametrize("rng", [3, np.random, np.random.RandomState(0)])
def test_a_generator_of_another_kind_is_refused(rng):
    with pytest.raises(TypeError, match="Noise: rng is a np.random.Generator or a name, not "):
        Noise(Normal(), (2,), float, rng)


def test_laws_that_are_none_are_refused():
    for keep in -0.1, 1.5, np.nan:
        with pytest.raises(ValueError, match=r"Bernoulli: keep is a probability, in \[0, 1\]; got"):
            Bernoulli(keep)
    for std in -1, np.nan:
        with pytest.raises(ValueError, match="Normal: std is a number >= 0; got"):
            Normal(0, std)

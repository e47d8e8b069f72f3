"""Batches: every row once an epoch, in orders that are uniform, and the same orders after a load."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.data import Batches


def rows(batches, count=None):
    """The rows of the next `count` batches (all of an epoch), batch by batch."""
    return [x.tolist() for x, *_ in itertools.islice(batches, count)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 8), st.booleans(), st.booleans())
def test_an_epoch_has_every_row_once(n, size, shuffle, drop_last):
    if drop_last and n < size:
        return
    x, y = np.arange(n), np.arange(n) * 10
    batches = Batches(x, y, batch_size=size, shuffle=shuffle, rng=0, drop_last=drop_last)
    for epoch in range(2):
        assert (batches.epoch, batches.batch) == (epoch, 0)
        given = list(batches)
        sizes = [len(a) for a, _ in given]
        assert len(given) == len(batches) and sizes == [size] * (n // size) + [n % size] * bool(
            n % size and not drop_last
        )
        assert all(np.array_equal(b, 10 * a) for a, b in given)
        seen = [i for a, _ in given for i in a.tolist()]
        assert len(set(seen)) == len(seen) and set(seen) <= set(range(n))
        if not shuffle:
            assert seen == list(range(len(seen)))


def test_each_epoch_has_another_order_and_a_seed_repeats_them():
    one, two, other = (Batches(np.arange(50), batch_size=7, rng=seed) for seed in (1, 1, 2))
    first, second = rows(one), rows(one)
    assert first != second and [first, second] == [rows(two), rows(two)] and first != rows(other)


def test_all_orders_are_equally_likely():
    batches, counts = Batches(np.arange(3), batch_size=3, rng=0), {}
    for _ in range(6000):
        (order,) = rows(batches)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    deviation = math.sqrt(6000 * 1 / 6 * 5 / 6)
    assert len(counts) == 6 and all(
        abs(count - 1000) < 7 * deviation for count in counts.values()
    )  # a false alarm once in 10^10


def test_without_a_generator_minigrads_own_decides():
    x, found = np.arange(30), []
    for seed in (3, 3, 4):
        mg.manual_seed(seed)
        found.append([rows(Batches(x)), rows(Batches(x))])
    assert found[0] == found[1] != found[2] and found[0][0] != found[0][1]


def test_a_generator_gives_a_seed_and_is_not_used_again():
    rng = np.random.default_rng(5)
    one, two = Batches(np.arange(30), rng=rng), Batches(np.arange(30), rng=rng)
    assert rows(one) != rows(two)
    state = rng.bit_generator.state
    rows(one)
    assert rng.bit_generator.state == state


def test_tensors_and_lists_are_taken_and_batches_are_copies():
    x = np.arange(6.0).reshape(3, 2)
    ((a, b, c),) = Batches(x, mg.Tensor(x, True), [1, 2, 3], batch_size=3, shuffle=False)
    assert (
        type(a) is type(b) is type(c) is np.ndarray
        and a.dtype == b.dtype == x.dtype
        and c.tolist() == [1, 2, 3]
    )
    a[...] = 7
    assert x[0, 1] == 1


# ------------------------------------------------------------------------------- position and state


@pytest.mark.parametrize(
    "name, value", [("batch", -1), ("batch", 1.5), ("epoch", -1), ("seed", 0.5)]
)
def test_a_position_that_is_none_changes_nothing(name, value):
    batches = Batches(np.arange(5), batch_size=2)
    before = batches.state_dict()
    with pytest.raises(
        ValueError, match=f"Batches: .* {name}: {value} in the state cannot replace"
    ):
        batches.load_state_dict({**before, name: value})
    assert batches.state_dict() == before
    batches.load_state_dict({**before, "batch": 3, "epoch": np.int64(2)})
    assert (batches.epoch, batches.batch, type(batches.epoch)) == (2, 3, int)


def test_a_loop_begins_where_the_last_one_was_left():
    batches, whole = (Batches(np.arange(10), batch_size=3, rng=0) for _ in range(2))
    expected = rows(whole)
    for (x,) in batches:
        assert x.tolist() == expected[0]
        break
    assert (batches.epoch, batches.batch) == (0, 1)
    assert rows(batches) == expected[1:] and (batches.epoch, batches.batch) == (1, 0)
    assert rows(batches) == rows(whole)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.booleans(), st.integers(0, 30))
def test_a_load_goes_on_in_the_middle_of_an_epoch(n, size, shuffle, before):
    def make(seed):
        return Batches(np.arange(n), batch_size=size, shuffle=shuffle, rng=seed)

    def take(batches, count):
        found = []
        while len(found) < count:
            found += rows(batches, count - len(found))
        return found

    whole, one, other = make(1), make(1), make(2)
    take(one, before)
    take(other, 2)
    other.load_state_dict(one.state_dict())
    assert take(whole, before + 10)[before:] == take(other, 10)


def test_a_loop_inside_a_loop_ends_the_epoch_for_both():
    batches, seen = Batches(np.arange(6), batch_size=2, shuffle=False), []
    for (outer,) in batches:
        seen.append(outer.tolist())
        seen.extend(inner.tolist() for (inner,) in batches)
    assert seen == [[0, 1], [2, 3], [4, 5]] and (batches.epoch, batches.batch) == (1, 0)


def test_a_load_inside_a_loop_counts_at_once():
    batches = Batches(np.arange(8), batch_size=2, rng=0)
    rows(batches, 1)
    state, expected, given = batches.state_dict(), rows(batches), []
    for (x,) in batches:
        given.append(x.tolist())
        if len(given) == 2:
            batches.load_state_dict(state)
    assert given[2:] == expected


def test_the_state_is_plain_and_goes_through_a_file(tmp_path):
    batches = Batches(np.arange(8), batch_size=2, rng=0)
    rows(batches)
    rows(batches, 3)
    mg.save(batches, tmp_path / "c")
    state = mg.load(tmp_path / "c")
    assert state == batches.state_dict()
    assert state == {
        "rows": 8,
        "batch_size": 2,
        "shuffle": True,
        "drop_last": False,
        "seed": batches.seed,
        "epoch": 1,
        "batch": 3,
    }


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rows": 9}, "rows: 9 here, 10 in the state."),
        ({"batch_size": 4}, "batch_size: 4 here, 3 in the state."),
        (
            {"shuffle": False, "drop_last": True},
            "shuffle: False here, True in the state; drop_last: True here, False in the state.",
        ),
    ],
)
def test_a_state_of_other_batches_is_refused_and_changes_nothing(settings, message):
    state = Batches(np.arange(10), batch_size=3).state_dict()
    batches = Batches(np.arange(settings.pop("rows", 10)), **{"batch_size": 3} | settings)
    before = batches.state_dict()
    with pytest.raises(
        ValueError, match=f"load_state_dict into Batches: nothing was changed. {message}"
    ):
        batches.load_state_dict(state)
    assert batches.state_dict() == before


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "arrays, settings, message",
    [
        ([], {}, "takes arrays with equally many rows"),
        (
            [np.zeros((3, 2)), np.zeros(2)],
            {},
            r"takes arrays with equally many rows, not of shapes \[\(3, 2\), \(2,\)\]",
        ),
        ([np.zeros(3), np.float64(1)], {}, r"not of shapes \[\(3,\), \(\)\]"),
        (
            [np.zeros(3)],
            {"batch_size": 0},
            "Batches: batch_size must be a whole number >= 1, got 0",
        ),
        ([np.zeros(3)], {"batch_size": 2.0}, ">= 1, got 2.0"),
        ([np.zeros(3)], {"rng": -1}, "non-negative"),
    ],
)
def test_bad_arguments_are_named(arrays, settings, message):
    with pytest.raises(ValueError, match=message):
        Batches(*arrays, **settings)


# ------------------------------------------------------------------------------------- wrong calls


def test_the_repr_says_the_settings_and_the_position():
    batches = Batches(np.arange(5), batch_size=2, shuffle=False, drop_last=True)
    next(iter(batches))
    text = "Batches(5 rows, batch_size=2, shuffle=False, drop_last=True: epoch 0, batch 1 of 2)"
    assert repr(batches) == repr(pickle.loads(pickle.dumps(batches))) == text


@pytest.mark.parametrize("rng", ["a", -1, np.random])
def test_an_rng_that_is_none(rng):
    with pytest.raises((TypeError, ValueError), match="expect"):  # NumPy's own words
        Batches(np.arange(3), rng=rng)


def test_other_wrong_calls():
    with pytest.raises(ValueError, match="batch_size must be a whole number >= 1, got True"):
        Batches(np.arange(3), batch_size=True)
    with pytest.raises(ValueError, match="inhomogeneous"):
        Batches([[1, 2], [3]])

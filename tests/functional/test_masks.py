"""The masks of dropout: exact expectations, the law of the draws, and errors."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from helpers import leaf, pulled

import minigrad as mg
from minigrad import functional as F
from minigrad import noise as randomness
from minigrad.check import gradcheck, gradgradcheck
from minigrad.engine import Tensor
from minigrad.graph import nodes
from minigrad.noise import Bernoulli, Noise
from minigrad.ops import dropout as stochastic

entries = np.array([0.5, -1.0, 2.0, 3.0, -0.25, 1.5])
masks = [np.array(m, bool) for m in itertools.product([False, True], repeat=6)]


def chance_of(mask, p):
    return math.prod((1 - p) if kept else p for kept in mask)


def the_noise(t):
    (noise,) = [n for n in nodes(t) if isinstance(n, Noise)]
    return noise


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_the_exact_expectation_over_all_masks_is_the_evaluation(p, scaling):
    x = leaf(entries)
    y = F.dropout(x, p, training=True, scaling=scaling)
    noise = the_noise(y)
    mean = sum(chance_of(m, p) * mg.replay(y, {noise: m}).data for m in masks)
    np.testing.assert_allclose(
        mean, F.dropout(x, p, training=False, scaling=scaling).data, rtol=1e-14
    )
    np.testing.assert_allclose(mean, entries * (1 if scaling == "inverted" else 1 - p), rtol=1e-14)


@pytest.mark.parametrize("p", [0.3, 0.9])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_the_exact_expectation_of_the_gradient_is_the_gradient_of_the_expectation(p, scaling):
    keep, scale = 1 - p, 1 / (1 - p) if scaling == "inverted" else 1
    value, gradient = 0, np.zeros(6)
    for m in masks:
        x = leaf(entries)
        loss = np.sum(stochastic.dropout(x, Tensor(m), p, scaling)) ** 2
        loss.backward()
        value += chance_of(m, p) * loss.item()
        gradient += chance_of(m, p) * x.grad.data
    total = entries.sum()  # E (sum m x)^2 = keep^2 (sum x)^2 + keep (1 - keep) sum x^2
    assert value == pytest.approx(
        scale**2 * (keep**2 * total**2 + keep * p * np.sum(entries**2)), rel=1e-13
    )
    np.testing.assert_allclose(
        gradient, scale**2 * (2 * keep**2 * total + 2 * keep * p * entries), rtol=1e-12, atol=1e-13
    )


def test_the_mask_of_the_forward_pass_is_the_mask_of_the_backward_pass():
    mg.manual_seed(0)
    x = leaf(np.ones(1000))
    y = F.dropout(x, 0.3, training=True)
    kept = the_noise(y)
    y.backward(np.full(1000, 2.0))
    assert 0 < kept.data.sum() < 1000
    assert np.array_equal(y.data, kept.data / 0.7)
    assert np.array_equal(x.grad.data, 2 * kept.data / 0.7)


def test_two_passes_use_two_masks():
    mg.manual_seed(0)
    x = leaf(np.ones(200))
    first, second = (F.dropout(x, 0.5, training=True).data for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("p", [0, 0.3, 1])
def test_evaluation_is_the_identity_or_the_factor(p):
    x = leaf(entries)
    assert F.dropout(x, p, training=False) is x
    value, (g,) = pulled(lambda x: F.dropout(x, p, training=False, scaling="classic"), entries)
    np.testing.assert_allclose(value, entries * (1 - p), rtol=1e-15)
    np.testing.assert_allclose(g, np.full(6, 1 - p), rtol=1e-15)


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("p, factor", [(0, 1), (0.0, 1), (1, 0), (1.0, 0), (np.float64(1), 0)])
def test_nothing_and_everything_dropped(p, factor, scaling):
    with np.errstate(all="raise"):
        value, (g,) = pulled(lambda x: F.dropout(x, p, training=True, scaling=scaling), entries)
    assert np.array_equal(value, factor * entries)
    assert np.array_equal(g, np.full(6, factor))


@pytest.mark.parametrize("scaling, factor", [("inverted", 1 / 0.7), ("classic", 1.0)])
def test_kept_entries_are_scaled_as_the_mode_says(scaling, factor):
    mg.manual_seed(1)
    out = F.dropout(leaf(np.ones(100)), 0.3, training=True, scaling=scaling)
    assert set(out.tolist()) == {0.0, factor}


def test_dropout_passes_both_gradient_checks():
    for scaling in ("inverted", "classic"):
        for training in (True, False):
            f = lambda x, scaling=scaling, training=training: np.sin(
                F.dropout(x, 0.3, training, scaling=scaling)
            )
            assert gradcheck(f, leaf(entries))
            assert gradgradcheck(f, leaf(entries))


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 3), (7,), (2, 1, 5)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_keeps_shape_and_dtype(shape, dtype):
    x = leaf(np.ones(shape), dtype)
    out = F.dropout(x, 0.4, training=True)
    out.backward(np.ones(shape))
    assert (out.shape, out.dtype, x.grad.dtype) == (shape, dtype, dtype)


def test_a_generator_of_ones_own_decides_the_mask():
    a, b, c = (
        F.dropout(leaf(np.ones(64)), 0.5, True, rng=np.random.default_rng(seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert a == b != c


@pytest.mark.parametrize("p", [float("nan"), -0.1, 30, 1.5, 100, 101, math.inf])
@pytest.mark.parametrize("training", [True, False])
def test_a_rate_outside_0_to_1_is_refused(p, training):
    with pytest.raises(
        ValueError, match=rf"^dropout: p is the probability of DROPPING, in \[0, 1\]; got {p}\.$"
    ):
        F.dropout(leaf(entries), p, training)


def test_unknown_scalings_and_generators_are_refused():
    with pytest.raises(
        ValueError, match='dropout: scaling is "inverted" or "classic", not \'both\''
    ):
        F.dropout(leaf(entries), 0.3, True, scaling="both")
    for rng in (0, np.random.RandomState(0), np.random):
        with pytest.raises(TypeError, match=r"dropout: Noise: rng is a np\.random\.Generator"):
            F.dropout(leaf(entries), 0.3, True, rng=rng)


def test_training_has_no_default():
    with pytest.raises(TypeError):
        F.dropout(leaf(entries), 0.3)


def hoeffding(n, false_alarm=1e-9):
    """The mean of n independent numbers in [0, 1] is further than this from its expectation with a chance below `false_alarm`.

    Hoeffding 1963: P(|mean - expectation| >= t) <= 2 exp(-2 n t^2).
    """
    return math.sqrt(math.log(2 / false_alarm) / (2 * n))


N = 1_000_000


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.999, 1e-3, 2**-17, 1 - 2**-20])
def test_the_rate_of_keeping(keep):
    drawn = Bernoulli(keep).draw(np.random.default_rng(7), (N,), bool)
    assert abs(drawn.mean() - keep) < hoeffding(N)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 1000])
def test_neighbours_are_independent(lag):
    keep = 0.3
    drawn = Bernoulli(keep).draw(np.random.default_rng(8), (N,), bool)
    pairs = drawn[:-lag] & drawn[lag:]
    block = (
        np.arange(N - lag) // lag % 2
    )  # the pairs (i, i + lag) of one half have no entry in common
    for half in (0, 1):
        chosen = pairs[block == half]
        assert abs(chosen.mean() - keep**2) < hoeffding(len(chosen))


def test_every_position_of_a_small_mask_has_the_rate():
    keep, draws = 0.3, 20_000
    rng = np.random.default_rng(9)
    mean = np.mean([Bernoulli(keep).draw(rng, (7,), bool) for _ in range(draws)], axis=0)
    assert np.all(abs(mean - keep) < hoeffding(draws, 1e-9 / 7))


class Exhaustive:
    """In place of a generator: all 256 values of 8 bits once, and the gaps that it is given."""

    def __init__(self, gap):
        self.gap, self.p = gap, 0.0

    def integers(self, low, high, count, dtype):
        assert (low, high, dtype) == (0, 1 << 64, np.uint64)
        return np.arange(256, dtype=np.uint8).view(np.uint64)[:count]

    def geometric(self, p, size):
        self.p = p
        return np.full(size, self.gap)


@pytest.mark.parametrize(
    "keep", [0.3, 0.7, 0.1, 1 / 3, 1 - 1 / 3, 0.5, 0.25, 1e-6, 1 - 1e-6, 2**-16, 1 - 2**-53, 1e-300]
)
def test_the_rate_is_exact(keep):
    """Of the 256 equally likely draws of 8 bits so many are kept; then each is kept or dropped,
    whatever it was, with probability p.
    """
    if keep == 0.5:  # takes a bit an entry
        assert Bernoulli(keep).draw(Exhaustive(1), (8 * 256,), bool).sum() == 8 * 128
        return
    never, always = Exhaustive(257), Exhaustive(1)
    bits = int(Bernoulli(keep).draw(never, (256,), bool).sum())
    all_alike = Bernoulli(keep).draw(always, (256,), bool)
    p, rate = Fraction(never.p), Fraction(bits, 256)
    if p:
        assert p <= Fraction(1, 129) and np.all(all_alike == all_alike[0])
        rate += p * (1 - rate) if all_alike[0] else -p * rate
    assert abs(rate - Fraction(keep)) <= Fraction(2) ** -53 * Fraction(keep)


@pytest.mark.parametrize(
    "p, count", [(0.004, 100_000), (0.3, 50_000), (1e-300, 10), (0.5, 1), (0.0, 5), (0.01, 0)]
)
def test_successes_are_a_bernoulli_process(p, count):
    """The number of successes, and of those in each half: each within a distance that has
    probability below 1e-10 (Bernstein).
    """
    rng = np.random.default_rng(3)
    places = randomness._successes(rng, p, count)
    assert np.all(np.diff(places) > 0) and (
        len(places) == 0 or (places[0] >= 0 and places[-1] < count)
    )
    for n, found in (
        (count, len(places)),
        (count // 2, np.sum(places < count // 2)),
        (count // 2, np.sum(places % 2 == 1)),
    ):
        assert abs(found - n * p) <= np.sqrt(2 * 24 * n * p * (1 - p)) + 16


def test_keeping_never_and_always():
    for keep in (0, 1, 0.0, 1.0):
        drawn = Bernoulli(keep).draw(np.random.default_rng(0), (100, 100), bool)
        assert drawn.dtype == bool
        assert np.all(drawn == bool(keep))

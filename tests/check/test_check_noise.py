"""check_noise: right noise passes, each planted bug is caught and named, and the bounds hold."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, registry
from minigrad.check import noise
from minigrad.check.noise import check_noise, rate_bound
from minigrad.engine import Tensor
from minigrad.noise import Bernoulli, Law, Noise, Normal, frozen, stream
from minigrad.ops import dropout as stochastic

P = 0.3
SMALL = (16, 32)


pytestmark = pytest.mark.usefixtures("seeded")


def kept(x, keep=1 - P, shape=None, rng=None, law=Bernoulli):
    """x * mask, not scaled."""
    return x * Noise(law(keep), x.shape if shape is None else shape, bool, rng)


class Periodic(Law):
    """Entries that repeat after `period` entries along an axis."""

    def __init__(self, law, period, axis):
        self.law, self.period, self.axis, self.cdf = law, period, axis, law.cdf

    def draw(self, rng, shape, dtype):
        short = [*shape]
        short[self.axis] = self.period
        again = np.arange(shape[self.axis]) % self.period
        return np.take(self.law.draw(rng, tuple(short), dtype), again, self.axis)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("period", [1, 2, 3, 16, 31, 32, 50])
def test_noise_that_repeats_is_seen_whatever_its_period(period, axis):
    for law in (Bernoulli(0.7), Bernoulli(0.9), Normal(1.0, 0.5)):
        drawn = Periodic(law, period, axis)
        report = check_noise(lambda x, law=drawn: x * Noise(law, x.shape, x.dtype))
        failing = [row for row in report.rows if row.test == f"repeats, axis {axis}" and row.wrong]
        assert not report and failing, report
        assert failing[0].hint == f"noise repeats along axis {axis}, or part of it"


@pytest.mark.parametrize("size", [24, 32, 64])
def test_repeats_of_the_last_entry_alone_are_seen(size):
    """No entry is in two pairs at the largest distance, so each of the 480 pairs is a trial."""
    law = Periodic(Normal(1.0, 0.5), size - 1, axis=0)
    report = check_noise(lambda x: x * Noise(law, x.shape, x.dtype), (size, 120))
    assert "noise repeats along axis 0" in report.verdict(), report


def dropped(x, shape=None, keep=1 - P, law=Bernoulli, rng=None):
    return stochastic.dropout(
        x, Noise(law(keep), x.shape if shape is None else shape, bool, rng), P
    )


def gaussian(x, std=0.5, mean=1.0, law=Normal):
    return x * Noise(law(mean, std), x.shape, x.dtype)


# -------------------------------------------------------------------------------------- right noise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.0, 0.001, 0.1, 0.3, 0.499, 0.5, 0.50001, 0.8, 0.999, 1.0])
def test_right_dropout_passes(p, dtype):
    inverted = check_noise(lambda x: F.dropout(x, p, training=True), dtype=dtype)
    classic = check_noise(
        lambda x: F.dropout(x, p, training=True, scaling="classic"),
        mean=lambda x: (1 - p) * x,
        dtype=dtype,
    )
    promised = check_noise(lambda x: F.dropout(x, p, training=True), p=p, dtype=dtype)
    for report in (inverted, classic, promised):
        assert report, report
        assert {row.verdict for row in report.rows} == {"OK"}
        assert "passed" in str(report)


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_module_is_compared_with_itself_in_evaluation(p, scaling):
    report = check_noise(nn.Dropout(p, scaling=scaling))
    assert report, report
    assert {row.verdict for row in report.rows} == {"OK"}
    assert any(row.test == "noise in evaluation" for row in report.rows)


def test_a_model_is_checked_layer_by_layer():
    model = nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 30), nn.Tanh(), nn.Dropout(0.5)
    )
    report = check_noise(model, (128, 20))
    assert report, report
    assert {row.layer for row in report.rows} == {
        "Dropout_0",
        "Dropout_1",
        "Dropout_0, Dropout_1",
        "output",
    }
    assert [row.test for row in report.rows if row.verdict == "UNKNOWN"] == ["mean"]


def test_layers_of_one_name_are_told_apart():
    report = check_noise(lambda x: F.dropout(F.dropout(x, 0.3, training=True), 0.4, training=True))
    assert report, report
    assert {row.layer for row in report.rows} == {
        "dropout#1",
        "dropout#2",
        "dropout#1, dropout#2",
        "output",
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_gaussian_noise_passes(dtype):
    for p in (None, 0.2):  # std^2 = 1/4 = p/(1-p)
        report = check_noise(gaussian, p=p, dtype=dtype)
        assert report and {row.verdict for row in report.rows} == {"OK"}, report


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_noise_of_little_spread_is_not_blamed_for_the_rounding_of_its_dtype(dtype):
    for std in (1e-3, 1e-5, 1e-7):
        assert check_noise(lambda x, std=std: gaussian(x, std), dtype=dtype)


def test_the_mean_of_a_law_of_large_spread_is_rounded():
    for std in (1e3, 3e4):
        report = check_noise(lambda x, std=std: gaussian(x, std), dtype=np.float64)
        assert report and report.rows[-1].verdict == "OK", report


def test_half_floats_do_not_overflow_in_the_ratio_of_the_means():
    report = check_noise(kept, (400, 400), dtype=np.float16)
    assert "the mean is 0.7 times x: the scale 1/(1-p) is missing" in report.verdict()


def test_constant_noise_says_nothing_of_repeats():
    report = check_noise(lambda x: F.dropout(x, 0.0, training=True))
    assert not {"calls", "repeats, axis 0", "repeats, axis 1"} & {row.test for row in report.rows}


def test_what_cannot_be_compared_is_unknown():
    weight = np.ones((32, 5))
    halves = lambda x: Noise(Bernoulli(1 - P), (len(x), x.shape[1] // 2), bool)
    join = lambda x: x * np.concatenate([halves(x), halves(x)], axis=1)
    mask = lambda x: Noise(Bernoulli(P), x.shape, bool)

    class Inverted(nn.Module):
        """Only bools can be inverted, so the graph cannot run between 0 and 1."""

        def forward(self, x):
            return np.where(~mask(x), x / (1 - P), 0.0) if self.training else x

    for op, mean, tests in (
        (lambda x: F.dropout(x, P, training=True) @ weight, None, ["mean"]),
        (lambda x: F.dropout(x, P, training=True), lambda x: 1.0, ["mean"]),
        (Inverted(), None, ["mean"]),
        (join, None, ["size along axis 1", "size along axis 1", "mean"]),
    ):
        report = check_noise(op, (160, 32), mean=mean)
        assert report and [r.test for r in report.rows if r.verdict == "UNKNOWN"] == tests, report


def test_the_p_of_an_op_that_drops_nothing_is_no_rate():
    @registry.op
    def raised(x, noise, p):
        return x * noise**p

    mask = lambda x: Noise(Bernoulli(1 - P), x.shape, x.dtype)
    report = check_noise(lambda x: raised(x.detach(), mask(x), 2), mean=lambda x: (1 - P) * x)
    assert report and "law, 1-p" not in {row.test for row in report.rows}, report


def test_rounding_is_of_the_coarsest_dtype():
    """The weights are float32, so the output is too; the noise acts on float16."""
    model = nn.Residual(nn.Linear(8, 8), nn.Dropout(P))
    assert check_noise(model, (4096, 8), dtype=np.float16)


def test_one_shared_axis_needs_no_tuple():
    assert check_noise(lambda x: dropped(x, (len(x), 1)), (160, 32), shared=1)


@pytest.mark.parametrize("shared", [(2, 3), (-1, -2), (2, -1)])
def test_channel_noise_passes(shared):
    report = check_noise(lambda x: dropped(x, (*x.shape[:2], 1, 1)), (32, 64, 5, 4), shared=shared)
    assert report, report


def test_noise_of_fewer_axes_is_shared_along_the_first():
    assert check_noise(lambda x: dropped(x, x.shape[1:]), (8, 64, 32), shared=(0,))
    assert (
        "size 1 along axis 0, not 8"
        in check_noise(lambda x: dropped(x, x.shape[1:]), (8, 64, 32)).verdict()
    )


def test_a_recurrent_layer_may_use_its_noise_again_but_two_layers_may_not():
    class Use(nn.Module):
        def forward(self, x, noise):
            return stochastic.dropout(x, noise, P)

    class Recurrent(nn.Module):
        def __init__(self, *cells):
            self.cells = list(cells)

        def forward(self, x):
            noise = Noise(Bernoulli(1 - P), x.shape, bool) if self.training else 1.0
            for cell in self.cells:
                x = np.tanh(cell(x, noise))
            return x

    cell = Use()
    assert check_noise(Recurrent(cell, cell))
    assert "two layers draw the same noise" in check_noise(Recurrent(cell, Use())).verdict()


def test_noise_that_acts_on_a_part_of_the_output_is_right():
    """Entries without noise have no variance, so the output has another variance than p/(1-p)
    mean^2.
    """
    report = check_noise(nn.Residual(nn.Linear(8, 8), drop_path=P), (4096, 8), shared=1)
    assert report and {row.verdict for row in report.rows} == {"OK"}, report


def test_evaluation_is_not_the_mean_where_noise_goes_through_a_nonlinear_function():
    report = check_noise(nn.Sequential(nn.Dropout(P), nn.Sigmoid()))
    assert report and report.rows[-1].verdict == "UNKNOWN", report
    assert (
        "no multiple of x"
        in check_noise(lambda x: np.tanh(F.dropout(x, P, training=True))).verdict()
    )


def test_any_entrywise_use_of_a_mask_has_an_exact_mean():
    report = check_noise(lambda x: np.exp(kept(x)), mean=lambda x: 0.7 * np.exp(x) + 0.3)
    assert report and {row.verdict for row in report.rows} == {"OK"}, report
    report = check_noise(
        lambda x: np.where(Noise(Bernoulli(0.7), x.shape, bool), x / 0.7, 0.0), p=P
    )
    assert report and {row.verdict for row in report.rows} == {"OK"}, report


def test_no_false_alarm_over_seeds():
    for seed in range(200):
        mg.manual_seed(seed)
        report = check_noise(lambda x: F.dropout(x, 0.3, training=True), SMALL)
        assert report, report
        report = check_noise(gaussian, SMALL, p=0.2)
        assert report, report


def test_false_alarms_are_as_rare_as_asked_for(monkeypatch):
    """At a level of 0.1 for each test, 300 reports of 9 tests have at most 0.9 of them each by
    chance; at 0.9 one report in twenty has one. The test fails by chance once in 1e9 runs.
    """

    def alarms(level, reports):
        monkeypatch.setattr(noise, "FALSE_ALARM", level)
        for seed in range(reports):
            mg.manual_seed(seed)
            report = check_noise(
                lambda x: gaussian(F.dropout(x, 0.3, training=True)),
                (8, 11),
            )
            names = [row.test.split()[0] for row in report.rows]
            assert sum(name in ("law", "calls", "repeats,", "independence") for name in names) == 9
            yield not report

    assert sum(alarms(0.1, 300)) / 300 <= 0.9 + rate_bound(0.9, 300, math.log(2e9))
    assert any(alarms(0.9, 2000))


# ------------------------------------------------------------------------------------- planted bugs


class Swapped(Bernoulli):
    def draw(self, rng, shape, dtype):
        return ~super().draw(rng, shape, dtype)


class Repeated(Bernoulli):
    def draw(self, rng, shape, dtype):
        return np.broadcast_to(super().draw(rng, (*shape[:-1], 1), dtype), shape)


class OtherOutcomes(Bernoulli):
    def outcomes(self, order=None):
        return super().outcomes()[0], [self.keep, 1 - self.keep]


class Pairs(Normal):
    def draw(self, rng, shape, dtype):
        return np.repeat(super().draw(rng, (shape[0] // 2, *shape[1:]), dtype), 2, axis=0)


class Rare(Bernoulli):
    def draw(self, rng, shape, dtype):
        return rng.random(shape) < 0.98 * self.keep


class VarianceForStd(Normal):
    def draw(self, rng, shape, dtype):
        return Normal(self.mean, self.std**2).draw(rng, shape, dtype)


class StdForVariance(Normal):
    def draw(self, rng, shape, dtype):
        return Normal(self.mean, math.sqrt(self.std)).draw(rng, shape, dtype)


class Shifted(Normal):
    def draw(self, rng, shape, dtype):
        return 1.02 * super().draw(rng, shape, dtype)


class Uniform(Law):
    """A law of the test; a subclass may draw from another law."""

    low, high = 0.5, 1.5

    def draw(self, rng, shape, dtype):
        return rng.uniform(self.low, self.high, shape)

    def cdf(self, x):
        return np.clip(x - 0.5, 0, 1)

    def outcomes(self, order=8):
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return 1 + nodes / 2, weights / 2


class HalfUniform(Uniform):
    high = 1.0


class SameMoments(Uniform):
    """It has the mean and the variance of Uniform and another shape."""

    def draw(self, rng, shape, dtype):
        return rng.normal(1.0, math.sqrt(1 / 12), shape)


class Die(Law):
    """The values 1/7 to 6/7, of which one is twice as likely; float32 rounds the values."""

    weights = np.array([1, 1, 2, 1, 1, 1]) / 7

    def draw(self, rng, shape, dtype):
        return (rng.choice(6, shape, p=self.weights) + 1) / 7

    def cdf(self, x):
        return np.append(0, np.cumsum(self.weights))[
            np.searchsorted((np.arange(6) + 1) / 7, x, "right")
        ]


class FairDie(Die):
    def draw(self, rng, shape, dtype):
        return (rng.integers(6, size=shape) + 1) / 7


def seeded_generator():
    return np.random.default_rng(7)


def two_layers(first, second):
    return lambda x: second(np.tanh(first(x)))


def one_mask_twice(x):
    mask = Noise(Bernoulli(1 - P), x.shape, bool)
    return stochastic.dropout(np.tanh(stochastic.dropout(x, mask, P)), mask, P)


class IgnoresMode(nn.Dropout):
    def forward(self, x):
        return F.dropout(x, self.p, True)


class ScaledInBothModes(nn.Dropout):
    def forward(self, x):
        return F.dropout(x, self.p, self.training) if self.training else x * (1 - self.p)


class KeepsItsMask(nn.Dropout):
    mask = None

    def forward(self, x):
        self.mask = Noise(Bernoulli(1 - self.p), x.shape, bool) if self.mask is None else self.mask
        return stochastic.dropout(x, self.mask, self.p) if self.training else x


CHANNELS = {"shape": (32, 64, 5, 4), "shared": (2, 3)}
MASK = np.random.default_rng(3)
BUGS = {
    "the rate is p": (
        lambda x: dropped(x, keep=P),
        {},
        "the keep rate is 0.3, not 1-p: keep and drop are swapped",
    ),
    "drawn the wrong way round": (
        lambda x: dropped(x, law=Swapped),
        {},
        ", of its law 0.7: keep and drop are swapped; the variance",
    ),
    "mask for drop, by hand": (lambda x: kept(x, P) / (1 - P), {}, "keep and drop are swapped"),
    "outcomes with other probabilities": (
        lambda x: dropped(x, law=OtherOutcomes),
        {},
        "the keep rate is 0.3, not 1-p: keep and drop are swapped",
    ),
    "another rate than promised": (
        lambda x: F.dropout(x, 0.31, training=True),
        {"p": 0.3},
        "the keep rate is 0.69, not 1-p",
    ),
    "no scale": (kept, {}, "the mean is 0.7 times x: the scale 1/(1-p) is missing"),
    "scale 1/p": (lambda x: kept(x) / P, {"p": P}, "the scale is 1/p"),
    "scaled twice": (
        lambda x: dropped(x) / (1 - P),
        {},
        "the mean is 1.43 times x: the scale 1/(1-p) is applied twice",
    ),
    "scaled in both modes": (ScaledInBothModes(P), {}, "applied twice, or in evaluation too"),
    "2% too large": (lambda x: 1.02 * dropped(x), {}, "the mean is 1.02 times x"),
    "kept 2% too rarely": (
        lambda x: dropped(x, law=Rare),
        {},
        ", of its law 0.7; the variance drawn is 0.2",
    ),
    "one seed for all calls": (
        lambda x: dropped(x, rng=seeded_generator()),
        {},
        "every call draws the same noise",
    ),
    "one seed, Normal noise": (
        lambda x: x * Noise(Normal(1, 0.5), x.shape, x.dtype, seeded_generator()),
        {},
        "every call draws the same noise",
    ),
    "one seed, rate 0.999": (
        lambda x: F.dropout(x, 0.999, True, seeded_generator()),
        {},
        "every call draws the same noise",
    ),
    "the mask is kept": (KeepsItsMask(P), {}, "every call draws the same noise"),
    "one mask, two layers": (one_mask_twice, {}, "two layers draw the same noise"),
    "one generator state, two rates": (
        nn.Sequential(
            nn.Dropout(0.2, rng=np.random.default_rng(1)),
            nn.Tanh(),
            nn.Dropout(0.4, rng=np.random.default_rng(1)),
        ),
        {},
        "two layers draw the same noise, or part of it",
    ),
    "one generator state, two widths": (
        nn.Sequential(
            nn.Dropout(P, rng=np.random.default_rng(1)),
            nn.Linear(1024, 500),
            nn.Dropout(P, rng=np.random.default_rng(1)),
        ),
        {},
        "two layers draw the same noise",
    ),
    "drawn once along an axis": (
        lambda x: dropped(x, law=Repeated),
        {},
        "noise repeats along axis 1",
    ),
    "drawn in pairs": (lambda x: gaussian(x, law=Pairs), {}, "noise repeats along axis 0"),
    "one mask for all rows": (
        lambda x: dropped(x, x.shape[1:]),
        {},
        "noise has size 1 along axis 0, not 64",
    ),
    "one mask for all columns": (
        lambda x: dropped(x, (x.shape[0], 1)),
        {},
        "noise has size 1 along axis 1, not 1024",
    ),
    "entries for channels": (
        dropped,
        CHANNELS,
        "noise has size 5 along axis 2, not 1",
    ),
    "channels for entries": (
        lambda x: dropped(x, (*x.shape[:2], 1, 1)),
        {"shape": (32, 64, 5, 4)},
        "noise has size 1 along axis 2, not 5",
    ),
    "the wrong axis": (
        lambda x: dropped(x, (x.shape[0], 1, *x.shape[2:])),
        CHANNELS,
        "noise has size 1 along axis 1, not 64",
    ),
    "half of a uniform law": (
        lambda x: x * Noise(HalfUniform(), x.shape, x.dtype),
        {},
        "the mean drawn is 0.7",
    ),
    "another shape": (
        lambda x: x * Noise(SameMoments(), x.shape, x.dtype),
        {},
        "(multiply, law: ",
    ),
    "a fair die": (
        lambda x: x * Noise(FairDie(), x.shape, x.dtype),
        {},
        "(multiply, law: ",
    ),
    "variance for std": (
        lambda x: gaussian(x, law=VarianceForStd),
        {},
        "the variance is taken for the standard deviation",
    ),
    "std for variance": (
        lambda x: gaussian(x, law=StdForVariance),
        {},
        "the standard deviation is taken for the variance",
    ),
    "alpha for std": (
        lambda x: gaussian(x, std=0.25),
        {"p": 0.2},
        "the variance is taken for the standard deviation",
    ),
    "added, mean 1": (
        lambda x: x + Noise(Normal(1, 0.5), x.shape, x.dtype),
        {},
        "no multiple of x: is noise added where it should multiply",
    ),
    "added, mean 0": (
        lambda x: x + Noise(Normal(0, 0.5), x.shape, x.dtype),
        {"p": 0.2},
        "the variance is no multiple of p/(1-p) mean^2: is noise added where it should multiply?",
    ),
    "mean 1.02, promised": (lambda x: gaussian(x, mean=1.02), {}, "the mean is 1.02 times x ("),
    "mean 1.02, drawn": (
        lambda x: gaussian(x, law=Shifted),
        {},
        "the mean drawn is 1.02, of its law 1",
    ),
    "evaluation is noisy": (IgnoresMode(P), {}, "noise is drawn in evaluation too"),
    "nan where all is dropped": (
        lambda x: x * Noise(Bernoulli(0.0), x.shape, bool) / np.float32(0),
        {"p": 1.0},
        "not finite",
    ),
}


@pytest.mark.parametrize("name", BUGS)
@pytest.mark.filterwarnings("error")
def test_a_bug_is_caught_and_named(name):
    op, arguments, words = BUGS[name]
    report = check_noise(op, **arguments)
    assert not report
    assert report.first_wrong is not None
    assert report.verdict().startswith("noise check FAILED: ")
    assert words in report.verdict(), report
    assert str(report).endswith(report.verdict())


def test_the_same_noise_in_two_layers_is_found_for_every_law():
    first = lambda x: x * Noise(Normal(1, 0.5), x.shape, x.dtype, seeded_generator())
    report = check_noise(two_layers(first, first))
    assert "two layers draw the same noise, or part of it" in [
        row.hint for row in report.rows if row.verdict == "FAIL"
    ]


# ------------------------------------------------------------------- nothing was, or can be, tested


def test_a_model_without_noise_does_not_pass():
    for op in (lambda x: F.dropout(x, P, training=False), nn.Dropout(P).eval(), lambda x: x):
        report = check_noise(op)
        assert not report and report.first_wrong is None
        assert "VACUOUS: op records no noise. Is it in evaluation mode" in str(report)


def test_noise_from_another_generator_is_named_with_the_remedy():
    own = np.random.default_rng(0)
    for op in (
        lambda x: x * (np.random.rand(*x.shape) < 0.7),
        lambda x: dropped(x) * own.random(x.shape),
    ):
        report = check_noise(op)
        assert not report
        assert "cannot hold fixed" in str(report) and "Use minigrad's noise, or pass rng" in str(
            report
        )


def test_noise_that_no_op_takes_is_no_layer():
    report = check_noise(lambda x: Noise(Bernoulli(0.7), x.shape, bool))
    assert not report and "VACUOUS: op records no noise" in report.verdict()


def test_noise_outside_the_graph_is_named():
    report = check_noise(mg.no_grad()(lambda x: F.dropout(x, P, training=True)))
    assert not report and "op records no noise. Is it" in str(report)
    assert "under no_grad()?" in str(report)


def test_noise_that_differs_between_calls_is_named():
    rates = iter([0.1, 0.1, 0.2, 0.3, 0.4])
    assert "between calls" in str(check_noise(lambda x: F.dropout(x, next(rates), training=True)))


def test_a_law_of_ones_own_passes_with_every_test_told():
    for law, mean in ((Uniform(), 1.0), (Die(), 3.5 / 7)):
        for dtype in (np.float32, np.float64):
            report = check_noise(
                lambda x, law=law: x * Noise(law, x.shape, x.dtype),
                dtype=dtype,
                mean=lambda x, mean=mean: x * mean,
            )
            unknown = [row.test for row in report.rows if row.verdict == "UNKNOWN"]
            assert report and unknown == ([] if law.outcomes else ["mean"]), report
            assert {(r.layer, r.test): r.verdict for r in report.rows}["multiply", "law"] == "OK"
    report = check_noise(lambda x: x * Noise(Uniform(), x.shape, x.dtype, seeded_generator()))
    assert "every call draws the same noise" in report.verdict()


def test_a_law_of_ones_own_is_enumerated_replayed_drawn_again_and_shown():
    """One class and a function of two lines: everything else follows."""

    def uniform_noise(x, training):
        return x * Noise(Uniform(), x.shape, x.dtype) if training else x

    x = Tensor([1.0, -2.0], True, dtype=np.float64)
    loss = np.sum(uniform_noise(x, training=True) ** 2)
    found = mg.expectation(loss, order=2)
    np.testing.assert_allclose(found.value.data, 5 * (1 + 1 / 12), rtol=1e-13)
    np.testing.assert_allclose(found.gradients[x].data, 2 * x.data * (1 + 1 / 12), rtol=1e-13)
    (noise,) = mg.noise_leaves(loss)
    assert mg.replay(loss, {noise: np.ones(2)}).item() == 5
    assert len({mg.resample(loss).item() for _ in range(9)}) == 9
    assert mg.gradcheck(lambda x: uniform_noise(x, True), x)
    assert "Uniform()" in mg.draw(loss, noise=True).source


def test_a_law_without_a_cdf_is_never_passed():
    class Silent(Law):
        def draw(self, rng, shape, dtype):
            return rng.uniform(0.5, 1.5, shape)

    report = check_noise(lambda x: x * Noise(Silent(), x.shape, x.dtype), p=P)
    assert not report and report.first_wrong is None
    assert report.verdict() == (
        "noise check VACUOUS: Silent() has no cdf to compare its draws with. Define cdf(x). "
        "(multiply, law)"
    )
    report = check_noise(lambda x: x * Noise(Silent(), x.shape, x.dtype, seeded_generator()))
    assert "every call draws the same noise" in report.verdict()


def test_other_objects_than_laws_and_draws_of_another_shape_are_refused():
    class Flat(Law):
        def draw(self, rng, shape, dtype):
            return rng.random(4)

    with pytest.raises(TypeError, match=r"Noise: 0\.5 is no Law, such as Bernoulli\(0\.5\)"):
        Noise(0.5, (2,), bool)
    with pytest.raises(ValueError, match=r"Noise: Flat\(\) drew shape \(4,\), not \(2, 2\)\."):
        Noise(Flat(), (2, 2), np.float32)
    with pytest.raises(AttributeError, match="'Law' object has no attribute 'draw'"):
        Noise(Law(), (2,), bool)


def test_noise_has_the_dtype_that_the_caller_wants():
    assert Noise(Uniform(), (3,), np.float32).dtype == np.float32
    assert Noise(Bernoulli(0.5), (3,), np.float64).dtype == np.float64


def test_too_little_noise_tells_nothing_and_says_so():
    report = check_noise(lambda x: F.dropout(x, P, training=True), (2, 3))
    verdicts = {row.test: row.verdict for row in report.rows}
    assert not report
    assert verdicts["calls"] == verdicts["repeats, axis 1"] == verdicts["law"] == "VACUOUS"
    assert "VACUOUS: too little noise to tell. Use a larger shape" in report.verdict(), report
    assert check_noise(lambda x: F.dropout(x, P, training=True), (40, 30))
    nothing = check_noise(lambda x: F.dropout(x, P, training=True), (0, 3))
    assert "VACUOUS: op records no noise" in nothing.verdict()


def test_arguments_that_make_no_sense():
    drop = lambda x: F.dropout(x, P, training=True)
    for wrong in ((2,), (-3,), 2):
        with pytest.raises(ValueError, match="out of bounds"):
            check_noise(drop, shared=wrong)
    for wrong in (drop, gaussian):
        assert not check_noise(wrong, p=30)
    with pytest.raises(
        TypeError, match="pass the Tensor that a forward pass returned, .* not a float"
    ):
        check_noise(lambda x: 1.0)


# ----------------------------------------------------------------------- everything stays as it was


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_left_as_it_was(fails):
    class Busy(nn.Module):
        def __init__(self):
            self.drop, self.linear = nn.Dropout(P, rng=np.random.default_rng(5)), nn.Linear(32, 32)
            self.count, self.buffer = 0, np.zeros(3)

        def forward(self, x):
            self.count += 1
            self.buffer += 1
            if fails and self.count == 3:
                raise KeyError("in op")
            return F.dropout(self.drop(self.linear(x)), P, training=self.training)

    model = Busy()
    model.linear.weight.grad = Tensor(np.ones((32, 32)))
    weight, gradient = model.linear.weight.data.copy(), model.linear.weight.grad
    named = stream("")
    generators = [named, model.drop.rng]
    named.random()
    before = [g.bit_generator.state for g in generators]
    attributes = [dict(vars(m)) for m in model.modules()]
    if fails:
        with pytest.raises(KeyError, match="in op"):
            check_noise(model, SMALL)
    else:
        assert check_noise(model, SMALL)
    assert [g.bit_generator.state for g in generators] == before
    assert not frozen.get()
    assert [vars(m) for m in model.modules()] == attributes
    assert not model.buffer.any() and model.count == 0
    assert (
        np.array_equal(model.linear.weight.data, weight)
        and model.linear.weight.grad is gradient
        and (gradient.data == 1).all()
    )


def test_the_last_line_of_a_notebook_cell_is_a_table():
    report = check_noise(nn.Dropout(P))
    assert repr(report) == str(report) and report.verdict() in str(report)
    html = report._repr_html_()
    assert html.startswith("<table>") and html.count("OK</b>") == len(report.rows)
    assert "no noise" in check_noise(lambda x: x)._repr_html_()


def test_a_second_check_gives_the_same_report():
    op = lambda x: F.dropout(x, P, training=True)
    assert str(check_noise(op)) == str(check_noise(op))


# --------------------------------------------------------------------------------------- the bounds


def tail(n, q, at_least):
    """P(at least so many of n trials succeed), exactly, by binomial coefficients."""
    return math.fsum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(at_least, n + 1))


@pytest.mark.parametrize("q", [0.0, 0.1, 0.3, 0.5, 0.58, 0.9, 0.99, 1.0])
def test_a_rate_beyond_its_bound_is_as_improbable_as_claimed(q):
    tested = 0
    for n in (1, 2, 3, 7, 20, 41, 60, 300, 1000):
        for x in (0.1, 0.7, 2.0, 5.0, 12.0, 25.0):
            allowed = rate_bound(q, n, x)
            beyond = [k for k in range(n + 1) if k / n - q > allowed]
            tested += bool(beyond)
            if beyond:
                assert tail(n, q, beyond[0]) <= math.exp(-x) * (1 + 1e-9)
            assert allowed == pytest.approx(rate_bound(1 - q, n, x))  # so the same holds below
    assert tested > 5 or q == 1


def test_the_bound_holds_for_pairs_of_two_arrays_given_how_often_each_is_rare():
    """Exactly, by the hypergeometric law of how often both are: in one direction and the other."""
    tested = 0
    for n in (10, 40, 120):
        for first in range(1, n + 1, 3):
            for second in range(1, n + 1, 3):
                rate = first * second / n**2
                for x in (0.1, 0.7, 2.0, 5.0, 12.0):
                    allowed = rate_bound(rate, n, x)
                    chance = [0.0, 0.0]
                    for both in range(max(0, first + second - n), min(first, second) + 1):
                        apart = both / n - rate
                        ways = math.comb(second, both) * math.comb(n - second, first - both)
                        chance[apart > 0] += bool(abs(apart) > allowed) * ways / math.comb(n, first)
                    assert max(chance) <= math.exp(-x)
                    tested += max(chance) > 0
    assert tested > 100


def test_the_bound_holds_for_pairs_of_one_array_at_each_distance():
    """Exactly, over all places where so many of its entries can be rare."""
    tested, n = 0, 14
    for count in range(1, n + 1):
        places = np.array(list(itertools.combinations(range(n), count)))
        rows = np.zeros((len(places), n), bool)
        rows[np.arange(len(places))[:, None], places] = True
        expected = count / n * (count - 1) / (n - 1)
        for distance in range(1, n):
            both = np.sum(rows[:, distance:] & rows[:, :-distance], axis=1)
            assert np.all(
                both[:9] == [noise._both_rare(row[None])[distance - 1] for row in rows[:9]]
            )
            pairs = n - distance
            assert np.mean(both) / pairs == pytest.approx(expected)
            trials = pairs if 2 * distance >= n else pairs / 2
            for x in (0.1, 0.7, 2.0, 3.5):
                apart = both / pairs - expected
                chance = max(
                    np.mean(sign * apart > rate_bound(expected, trials, x)) for sign in (1, -1)
                )
                assert chance <= math.exp(-x)
                tested += chance > 0
    assert tested > 20


def test_the_bound_of_a_rate_is_no_wider_than_it_must_be():
    n, q, x = 200_000, 0.7, 25.0
    assert rate_bound(q, n, x) == pytest.approx(math.sqrt(2 * x * q * (1 - q) / n), rel=0.02)


def test_no_verdict_is_given_where_a_constant_would_pass():
    def bound(q, n):
        return noise._rate("", "", q, q, n, min(q, 1 - q), "").bound

    assert bound(0.999, 1000) == bound(0.5, 60) == math.inf
    assert bound(0.999, 10**6) < 0.001 and bound(0.5, 100) < 0.5
    assert bound(0.0, 1000) == bound(1.0, 1000) < 0.02  # nothing is left to chance


def test_a_report_uses_the_bounds_of_disjoint_trials():
    for seed in range(4):
        mg.manual_seed(seed)
        report = check_noise(lambda x: F.dropout(x, 0.3, training=True))
        level = math.log(2 / 1e-12)
        rows = {row.test: row for row in report.rows}
        for test, size in (("calls", 4), ("repeats, axis 0", 64), ("repeats, axis 1", 1024)):
            assert rows[test].expected == pytest.approx(0.09, abs=0.005)
            pairs = 2**18 // size * np.arange(1, size)  # the last distance has the fewest pairs
            trials = np.where(pairs <= 2**17, pairs, pairs / 2)  # pairs of far entries share none
            bounds = rate_bound(rows[test].expected, trials, level + math.log(size - 1))
            assert np.min(abs(bounds - rows[test].bound)) < 1e-15
        bound = rate_bound(0.3, 2**18, level + math.log(2**18))
        assert rows["law"].expected == pytest.approx(0.3)
        assert rows["law"].bound == pytest.approx(bound, rel=1e-9)


def test_a_law_fails_by_chance_as_rarely_as_claimed():
    """Exactly: the sum over i of P(i of n uniform entries lie where their rate is beyond the bound)."""
    for n in (20, 100, 300):
        for x in (0.5, 3.0, 20.0):
            chance = 0.0
            for i in range(1, n + 1):
                low, high = 0.0, i / n  # the largest u with i / n - u beyond the bound
                for _ in range(50):
                    u = (low + high) / 2
                    beyond = i / n - u > rate_bound(u, n, x + math.log(n))
                    low, high = (u, high) if beyond else (low, u)
                chance += tail(n, low, i) if low else 0.0
            assert chance <= math.exp(-x)
            assert chance > 0 or x == 20.0 or n == 20


def row_of(values, law):
    """The row in which these values are compared with a law."""
    with np.errstate(all="ignore"):
        drawn = SimpleNamespace(distribution=law)
        *_, row = noise._law(noise._Layer("", drawn, np.asarray(values), [], None))
    return row


def test_a_law_is_compared_on_either_side_of_a_jump():
    def apart(values, law):
        row = row_of(values, law)
        return row.measured - row.expected

    values = [0.0, 0.25, 0.25, 1.0]
    assert apart(values, Normal(9.0, 0.0)) == 1.0
    assert apart(values, Uniform()) == pytest.approx(0.75)  # at 0.25: 3/4 against 0
    assert apart([2.0, 2.0], Uniform()) == -1.0  # below 2: 0 against 1
    assert apart([True, True, False, True], Bernoulli(0.75)) == 0
    assert abs(apart([True, True, False, False], Bernoulli(0.75))) == 0.25
    drawn = np.random.default_rng(0).standard_normal(200)
    grid = np.sort(np.concatenate([np.linspace(-5, 5, 100_001), drawn, drawn - 1e-9]))
    counted, f = np.searchsorted(np.sort(drawn), grid, "right") / 200, Normal().cdf(grid)
    ratios = abs(counted - f) / rate_bound(f, 200, math.log(2e12 * 200))
    row = row_of(drawn, Normal())
    assert abs(row.measured - row.expected) / row.bound == pytest.approx(np.max(ratios), abs=1e-4)


def test_noise_that_is_nan_fails():
    for values in ([0.1, np.nan], [np.nan, np.nan]):
        assert row_of(values, Normal()).verdict == "FAIL"


def test_rare_values_are_counted_as_closely_as_their_rate_allows():
    """A rate of 1/1000 is told from twice as much, where the largest distance of two cdfs is not."""
    rng = np.random.default_rng(0)
    assert row_of(rng.random(2**18) < 0.001, Bernoulli(0.001)).verdict == "OK"
    assert row_of(rng.random(2**18) < 0.002, Bernoulli(0.001)).verdict == "FAIL"
    assert row_of(rng.random(2**18) < 0.998, Bernoulli(0.999)).verdict == "FAIL"


@pytest.mark.parametrize(
    "law",
    [
        Bernoulli(0.3),
        Bernoulli(0.0),
        Bernoulli(1.0),
        Normal(0.5, 2.0),
        Uniform(),
        mg.noise.Uniform(-1.0, 2.0),
    ],
)
def test_cdf_and_outcomes_of_a_law_are_of_one_law(law):
    """By integrals of the cdf F: the mean is the integral of 1 - F above 0 minus the integral of F
    below 0.
    """
    x = np.linspace(-40, 40, 800_001)
    f = law.cdf(x)
    assert np.all(np.diff(f) >= -1e-15) and f[0] < 1e-12 and f[-1] == 1
    step, positive = x[1] - x[0], x >= 0
    mean = step * (np.sum((1 - f)[positive]) - np.sum(f[~positive]))
    square = 2 * step * (np.sum((x * (1 - f))[positive]) - np.sum((x * f)[~positive]))
    values, probabilities = law.outcomes(8)
    assert np.sum(probabilities) == pytest.approx(1, abs=1e-15)
    assert probabilities @ values == pytest.approx(mean, abs=2e-4)
    assert probabilities @ (values - mean) ** 2 == pytest.approx(square - mean**2, abs=1e-3)


def test_entries_that_agree_by_chance_are_counted_right_for_every_law():
    """Three laws in one report, one of them with ties: the rate of independent noise is expected."""
    op = lambda x: gaussian(F.dropout(x, 0.3, training=True) * Noise(Uniform(), x.shape, x.dtype))
    report = check_noise(op)
    assert report, report
    assert len([row for row in report.rows if row.test == "independence"]) == 3


class Signs(Law):
    """1 with probability 1 - p, else -1."""

    def __init__(self, p):
        self.p = p

    def draw(self, rng, shape, dtype):
        return np.where(rng.random(shape) < self.p, -1, 1)

    def cdf(self, x):
        return self.p * (x >= -1) + (1 - self.p) * (x >= 1)

    def outcomes(self, order):
        return np.array([-1.0, 1.0]), np.array([self.p, 1 - self.p])


def test_noise_that_is_no_mask_is_not_explained_by_the_mistakes_of_masks():
    report = check_noise(lambda x: x * Noise(Signs(0.2), x.shape, x.dtype))
    assert report.verdict().startswith("noise check FAILED: the mean is 0.6 times x (output, mean:")
    assert check_noise(lambda x: x * Noise(Signs(0.2), x.shape, x.dtype), mean=lambda x: 0.6 * x)

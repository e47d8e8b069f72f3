"""check_noise: right noise passes, each planted bug is caught and named, and the bounds hold."""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.check import noise
from minigrad.check.noise import check_noise, kl, normal_mean, normal_variance, rate_above
from minigrad.engine import Tensor
from minigrad.noise import Bernoulli, Noise, Normal, state, stream
from minigrad.ops import dropout as stochastic

P = 0.3
SMALL = (16, 32)


@pytest.fixture(autouse=True)
def seeded():
    mg.manual_seed(0)


def kept(x, keep=1 - P, shape=None, rng=None, law=Bernoulli):
    """x * mask, not scaled."""
    return x * Noise(law(keep), x.shape if shape is None else shape, bool, rng)


def dropped(x, shape=None, keep=1 - P, law=Bernoulli, rng=None):
    return stochastic.dropout(
        x, Noise(law(keep), x.shape if shape is None else shape, bool, rng), P
    )


def gaussian(x, std=0.5, mean=1.0, law=Normal):
    return x * Noise(law(mean, std), x.shape, x.dtype)


# ------------------------------------------------------------------------------------- right noise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.0, 0.001, 0.1, 0.3, 0.499, 0.5, 0.50001, 0.8, 0.999, 1.0])
def test_right_dropout_passes(p, dtype):
    inverted = check_noise(lambda x: F.dropout(x, p, training=True), dtype=dtype)
    classic = check_noise(
        lambda x: F.dropout(x, p, training=True, scaling="classic"),
        mean=lambda x: (1 - p) * x,
        dtype=dtype,
    )
    for report in (inverted, classic):
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
        "dropout",
        "dropout #2",
        "dropout, dropout #2",
        "output",
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_gaussian_noise_passes(dtype):
    for p in (None, 0.2):  # std^2 = 1/4 = p/(1-p)
        report = check_noise(gaussian, p=p, dtype=dtype)
        assert report and {row.verdict for row in report.rows} == {"OK"}, report


def test_noise_of_little_spread_is_not_blamed_for_the_rounding_of_its_dtype():
    for std in (1e-3, 1e-5, 1e-7):
        assert check_noise(lambda x, std=std: gaussian(x, std))


def test_one_shared_axis_needs_no_tuple():
    assert check_noise(lambda x: dropped(x, (len(x), 1)), (64, 32), shared=1)


@pytest.mark.parametrize("shared", [(2, 3), (-1, -2), (2, -1)])
def test_channel_noise_passes(shared):
    report = check_noise(lambda x: dropped(x, (*x.shape[:2], 1, 1)), (32, 64, 5, 4), shared=shared)
    assert report, report


def test_noise_of_fewer_axes_is_shared_along_the_first():
    assert check_noise(lambda x: dropped(x, x.shape[1:]), (8, 64, 32), shared=(0,))
    assert (
        "shared along axis 0"
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


def test_of_a_module_that_bends_its_noise_evaluation_is_no_mean():
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
    """At a level where they can be seen: of 300 reports at most the share of 0.2 asked for (but for a chance of 1e-9)."""
    monkeypatch.setattr(noise, "FALSE_ALARM", 0.2)

    def both(x):
        return gaussian(F.dropout(x, 0.3, training=True))

    alarms = 0
    for seed in range(300):
        mg.manual_seed(seed)
        alarms += not check_noise(both, (8, 10))
    assert 0 < alarms / 300 <= 0.2 + rate_above(0.2, 300, math.log(1e9))


# ------------------------------------------------------------------------------------ planted bugs


class Swapped(Bernoulli):
    def draw(self, rng, shape, dtype):
        return ~super().draw(rng, shape, dtype)


class Repeated(Bernoulli):
    def draw(self, rng, shape, dtype):
        return np.broadcast_to(super().draw(rng, (*shape[:-1], 1), dtype), shape)


class Pairs(Normal):
    def draw(self, rng, shape, dtype):
        return np.repeat(super().draw(rng, (shape[0] // 2, *shape[1:]), dtype), 2, axis=0)


class Rare(Bernoulli):
    def draw(self, rng, shape, dtype):
        return rng.random(shape) < 0.98 * self.keep


class VarianceForStd(Normal):
    def draw(self, rng, shape, dtype):
        return Normal(self.mean, self.variance).draw(rng, shape, dtype)


class StdForVariance(Normal):
    def draw(self, rng, shape, dtype):
        return Normal(self.mean, math.sqrt(self.std)).draw(rng, shape, dtype)


class Shifted(Normal):
    def draw(self, rng, shape, dtype):
        return 1.02 * super().draw(rng, shape, dtype)


class Uniform:
    """A law the check does not know."""

    mean, variance = 1.0, 1 / 12

    def draw(self, rng, shape, dtype):
        return rng.uniform(0.5, 1.5, shape).astype(dtype)


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
        "the keep rate is p: keep and drop are swapped",
    ),
    "drawn the wrong way round": (
        lambda x: dropped(x, law=Swapped),
        {},
        "keep and drop are swapped in the draw",
    ),
    "mask for drop, by hand": (lambda x: kept(x, P) / (1 - P), {}, "keep and drop are swapped"),
    "another rate than promised": (
        lambda x: F.dropout(x, 0.31, training=True),
        {"p": 0.3},
        "the keep rate is not 1-p",
    ),
    "no scale": (kept, {}, "the mean is 0.7 times x: the scale 1/(1-p) is missing"),
    "scale 1/p": (lambda x: kept(x) / P, {"p": P}, "the scale 1/(1-p) is 1/p"),
    "scaled twice": (
        lambda x: dropped(x) / (1 - P),
        {},
        "the mean is 1.43 times x: the scale 1/(1-p) is applied twice",
    ),
    "scaled in both modes": (ScaledInBothModes(P), {}, "applied twice, or in evaluation too"),
    "2% too large": (lambda x: 1.02 * dropped(x), {}, "the mean is 1.02 times x"),
    "kept 2% too rarely": (lambda x: dropped(x, law=Rare), {}, "the keep rate is not its law's"),
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
        "noise is shared along axis 0, where it should differ",
    ),
    "one mask for all columns": (
        lambda x: dropped(x, (x.shape[0], 1)),
        {},
        "noise is shared along axis 1, where it should differ",
    ),
    "entries for channels": (
        dropped,
        CHANNELS,
        "noise differs along axis 2, which should share it",
    ),
    "channels for entries": (
        lambda x: dropped(x, (*x.shape[:2], 1, 1)),
        {"shape": (32, 64, 5, 4)},
        "noise is shared along axis 2",
    ),
    "the wrong axis": (
        lambda x: dropped(x, (x.shape[0], 1, *x.shape[2:])),
        CHANNELS,
        "noise is shared along axis 1",
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
        "does not grow with the mean",
    ),
    "mean 1.02, promised": (lambda x: gaussian(x, mean=1.02), {}, "the mean is 1.02 times x"),
    "mean 1.02, drawn": (lambda x: gaussian(x, law=Shifted), {}, "the mean is not its law's"),
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
    assert "two layers draw the same noise" in [
        row.hint for row in report.rows if row.verdict == "FAIL"
    ]


# --------------------------------------------------------------------------- nothing was, or can be, tested


def test_no_noise_is_no_pass():
    for op in (lambda x: F.dropout(x, P, training=False), nn.Dropout(P).eval(), lambda x: x):
        report = check_noise(op)
        assert not report and not report.rows and report.first_wrong is None
        assert "nothing stochastic was found" in str(report)


def test_noise_from_elsewhere_is_told_with_the_remedy():
    own = np.random.default_rng(0)
    for op in (
        lambda x: x * (np.random.rand(*x.shape) < 0.7),
        lambda x: dropped(x) * own.random(x.shape),
    ):
        report = check_noise(op)
        assert not report
        assert "STOCHASTIC" in str(report) and "Use minigrad's stochastic ops, or pass rng" in str(
            report
        )


def test_noise_that_the_graph_does_not_hold_is_told():
    assert "not recorded" in str(
        check_noise(lambda x: x * (Noise(Normal(0, 0.5), x.shape, x.dtype) > 0))
    )
    assert "not recorded" in str(
        check_noise(mg.no_grad()(lambda x: F.dropout(x, P, training=True)))
    )


def test_other_noise_in_every_call_is_told():
    rates = iter([0.1, 0.1, 0.2, 0.3, 0.4])
    assert "from call to call" in str(
        check_noise(lambda x: F.dropout(x, next(rates), training=True))
    )


def test_of_a_law_it_does_not_know_independence_is_tested_and_moments_are_unknown():
    report = check_noise(lambda x: x * Noise(Uniform(), x.shape, x.dtype))
    assert report, report
    verdicts = {(row.layer, row.test): row.verdict for row in report.rows}
    assert verdicts["multiply", "mean"] == verdicts["multiply", "variance"] == "UNKNOWN"
    assert verdicts["multiply", "calls"] == verdicts["output", "mean / promised"] == "OK"
    report = check_noise(lambda x: x * Noise(Uniform(), x.shape, x.dtype, seeded_generator()))
    assert "every call draws the same noise" in report.verdict()


def test_a_law_that_tells_no_moments_is_no_error():
    class Silent:
        def draw(self, rng, shape, dtype):
            return rng.uniform(0.5, 1.5, shape).astype(dtype)

    report = check_noise(lambda x: x * Noise(Silent(), x.shape, x.dtype), p=P)
    assert report, report
    assert report.rows[-1].verdict == "UNKNOWN"


def test_too_little_noise_tells_nothing_and_says_so():
    report = check_noise(lambda x: F.dropout(x, P, training=True), (2, 3))
    verdicts = {row.test: row.verdict for row in report.rows}
    assert not report
    assert verdicts["calls"] == verdicts["neighbours, axis 1"] == "VACUOUS"
    assert "VACUOUS: 3 tests have too little noise to tell" in report.verdict(), report
    assert check_noise(lambda x: F.dropout(x, P, training=True), (2, 3), calls=200)


def test_arguments_that_make_no_sense():
    drop = lambda x: F.dropout(x, P, training=True)
    for wrong in ({"calls": 1}, {"shape": (0, 3)}, {"shared": (2,)}, {"shared": (-3,)}):
        with pytest.raises(ValueError, match="calls must be >= 2"):
            check_noise(drop, **wrong)
    with pytest.raises(ValueError, match="p is the probability of DROPPING"):
        check_noise(drop, p=30)
    with pytest.raises(TypeError, match="must return a Tensor, not float"):
        check_noise(lambda x: 1.0)


# ----------------------------------------------------------------------------- everything stays as it was


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_left_as_it_was(fails):
    class Busy(nn.Module):
        def __init__(self):
            self.drop, self.linear = nn.Dropout(P, rng=np.random.default_rng(5)), nn.Linear(32, 32)
            self.count, self.buffer = 0, np.zeros(3)

        def forward(self, x):
            self.count += 1
            self.buffer += 1
            np.random.rand()
            if fails and self.count == 3:
                raise KeyError("in op")
            return F.dropout(self.drop(self.linear(x)), P, training=self.training)

    model = Busy()
    model.linear.weight.grad = Tensor(np.ones((32, 32)))
    weight, gradient = model.linear.weight.data.copy(), model.linear.weight.grad
    named = stream("")
    generators = [named, model.drop.rng]
    named.random(), np.random.rand()
    before = [g.bit_generator.state for g in generators]
    world = np.random.get_state()
    attributes = [dict(vars(m)) for m in model.modules()]
    if fails:
        with pytest.raises(KeyError, match="in op"):
            check_noise(model, SMALL)
    else:
        assert check_noise(model, SMALL)
    assert [g.bit_generator.state for g in generators] == before
    assert state.drawn is None
    assert all(np.array_equal(a, b) for a, b in zip(world, np.random.get_state()))
    assert [vars(m) for m in model.modules()] == attributes
    assert not model.buffer.any() and model.count == 0
    assert (
        np.array_equal(model.linear.weight.data, weight)
        and model.linear.weight.grad is gradient
        and (gradient.data == 1).all()
    )


def test_it_says_the_same_again():
    op = lambda x: F.dropout(x, P, training=True)
    assert str(check_noise(op)) == str(check_noise(op))


# ---------------------------------------------------------------------------------------- the bounds


def tail(n, q, at_least):
    """P(at least so many of n trials succeed), exactly, by binomial coefficients."""
    return math.fsum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(at_least, n + 1))


@pytest.mark.parametrize("q", [0.0, 0.001, 0.1, 0.3, 0.5, 0.58, 0.9, 0.999, 1.0])
def test_a_rate_beyond_its_bound_is_as_improbable_as_claimed(q):
    for n in (1, 2, 3, 7, 20, 41, 60):
        for x in (0.1, 0.7, 2.0, 5.0, 12.0, 25.0):
            allowed = rate_above(q, n, x)
            beyond = [k for k in range(n + 1) if k / n - q > allowed]
            if beyond:
                assert tail(n, q, beyond[0]) <= math.exp(-x) * (1 + 1e-9)


def test_the_bound_of_a_rate_is_no_wider_than_it_must_be():
    n, q, x = 200_000, 0.7, 25.0
    assert n * kl(q + rate_above(q, n, x), q) == pytest.approx(x, rel=1e-6)
    assert rate_above(q, n, x) == pytest.approx(math.sqrt(2 * x * q * (1 - q) / n), rel=0.02)


def test_a_report_uses_the_bounds_of_disjoint_trials_and_shares_the_level_among_its_tests():
    for seed in range(4):
        mg.manual_seed(seed)
        report = check_noise(lambda x: F.dropout(x, 0.3, training=True))
        level = math.log(2 * 4 / 1e-9)  # calls, two axes, and the rate
        rows = {row.test: row for row in report.rows}
        for test, q, n in [
            ("calls", 0.58, 2**17),
            ("neighbours, axis 0", 0.58, 2**17),
            ("neighbours, axis 1", 0.58, 2**17),
            ("keep rate", 0.7, 2**18),
        ]:
            side = q if rows[test].measured > q else 1 - q
            assert rows[test].bound == pytest.approx(rate_above(side, n, level), rel=1e-9)


def test_normal_bounds_dominate_the_true_tails():
    scipy = pytest.importorskip("scipy.stats")
    for n in (1, 2, 5, 30, 1000, 10**6):
        for x in (0.1, 1.0, 5.0, 25.0):
            assert scipy.norm.sf(normal_mean(2.0, n, x), scale=2.0 / math.sqrt(n)) <= math.exp(-x)
            away = normal_variance(4.0, n, x)
            assert scipy.chi2.sf(n * (4.0 + away) / 4.0, n) <= math.exp(-x)
            assert scipy.chi2.cdf(n * (4.0 - away) / 4.0, n) <= math.exp(-x)


def test_entries_that_agree_by_chance_are_counted_right_for_every_law():
    """Mixed laws, ties among them: the rate of independent noise lies where the test expects it."""
    op = lambda x: gaussian(F.dropout(x, 0.3, training=True) * Noise(Uniform(), x.shape, x.dtype))
    report = check_noise(op)
    assert report, report
    assert len([row for row in report.rows if row.test == "independence"]) == 3

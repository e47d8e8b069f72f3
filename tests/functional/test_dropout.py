"""The dropout family: exact statements, noise that is shared, given, read and drawn again, and
errors.
"""

import asyncio
import inspect
import itertools
import math
import re
import threading

import numpy as np
import pytest
from helpers import close, positive_leaf

import minigrad as mg
import minigrad.functional as F
from minigrad import modes, nn
from minigrad import noise as randomness
from minigrad.check.__main__ import prove
from minigrad.check.samples import noisy
from minigrad.engine import Tensor
from minigrad.noise import Bernoulli, Noise, stream

P = 0.3
LOW = -1.0507009873554805 * 1.6732632423543772  # selu(-inf)

SHAPES = {"dropout2d": (2, 3, 2, 2), "drop_path": (5, 2, 2)}  # larger than in the table of samples


def member(name):
    """(the function, a shape of x, the shape of its noise)."""
    row = noisy[name][0]
    shape = row.small if len(row.small) > 1 else (row.small[0] // 2, 2)
    shape = SHAPES.get(name, shape)
    own = min(row.shared, default=len(shape))  # all axes from here on share their noise
    return getattr(F, name), shape, shape[:own] + (1,) * len(shape[own:])


def setting_of(name):
    """The name of the argument behind x: p or std."""
    return list(inspect.signature(getattr(F, name)).parameters)[1]


FAMILY = {name: member(name) for name in noisy}
MASKED = [name for name in FAMILY if "mask" in inspect.signature(getattr(F, name)).parameters]
LAYERS = {
    layer.function.__name__: layer
    for layer in vars(nn).values()
    if isinstance(layer, type)
    and issubclass(layer, nn.Stochastic)
    and layer not in (nn.Stochastic, nn.DropConnect)
}
members = pytest.mark.parametrize("name", FAMILY)
masked = pytest.mark.parametrize("name", MASKED)


@pytest.fixture(autouse=True)
def numpys_generator_stays(seeded):
    before = str(np.random.get_state())
    yield
    assert str(np.random.get_state()) == before


def called(name, training=True, x=None, p=P, **settings):
    function, shape, _ = FAMILY[name]
    x = positive_leaf(*shape) if x is None else x
    return x, function(x, p, training, **settings)


# --------------------------------------------------------------------------------- the whole family


def test_every_function_that_draws_is_proved():
    drawing = {
        name
        for name, f in vars(F).items()
        if callable(f) and "training" in inspect.signature(f).parameters
    }
    drawing -= {"batch_norm", "scaled_dot_product_attention"}  # in test_norms and test_sequences
    unproved = drawing - set(noisy)
    assert not unproved, (
        f"not proved: {unproved}. Add rows to `noisy` in minigrad/check/samples/dropout.py"
    )
    assert drawing == set(noisy)
    bare = drawing - set(LAYERS) - {"drop_connect"}
    assert not bare, f"without a layer: {bare}. Make one with _layer_of in minigrad/nn/dropout.py"


def explained(text):
    """The arguments that a docstring explains, and those that it says `dropout` explains."""
    own = [line.split()[0] for line in text.splitlines() if re.match(r" *\w+  +\S", line)]
    referred = re.findall(r"For ([^.]*) and the errors see `dropout`", text)
    return own, referred[0].split(", ") if referred else []


@members
def test_help_explains_each_argument_and_each_error(name):
    text = FAMILY[name][0].__doc__
    own, referred = explained(text)
    assert set(referred) <= set(explained(F.dropout.__doc__)[0])
    names = list(inspect.signature(FAMILY[name][0]).parameters)
    assert sorted(own + referred) == sorted(names[1:])
    assert referred or ("Raises ValueError" in text and "TypeError" in text)
    assert re.search(r"(19|20)\d\d", text), f"{name} names no source: an author and a year"


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_the_arguments_of_its_function(name):
    layer = LAYERS[name]
    made, called = (inspect.signature(f).parameters for f in (layer, FAMILY[name][0]))
    assert list(made) == [n for n in called if n not in ("x", "training", "mask", "noise")]
    kinds = [parameter.kind.name for parameter in made.values()]
    assert kinds == ["POSITIONAL_OR_KEYWORD"] + ["KEYWORD_ONLY"] * (len(made) - 1)
    own, referred = explained(layer.__doc__)
    assert set(made) <= {*own, *referred} and "`training` is its mode" in layer.__doc__
    with pytest.raises(TypeError, match=f"^{layer.__name__}: got an unexpected keyword argument"):
        layer(0.1, beta=1)
    with pytest.raises(TypeError, match=f"^{layer.__name__}: too many positional arguments"):
        layer(0.1, None)


@pytest.mark.parametrize("name", sorted(set(noisy) - {"dropout"}))
def test_the_three_proofs(name):
    found = prove(name, noisy[name])
    assert found.verdict == "OK" and max(found.errors) < 1e-13, found
    for f in noisy[name]:
        law = mg.check_noise(f.call, f.large, shared=f.shared, mean=f.mean)
        assert law and "UNKNOWN" not in [row.verdict for row in law.rows], law


@members
def test_arguments_have_the_same_names_and_order_and_training_no_default(name):
    parameters = inspect.signature(inspect.unwrap(FAMILY[name][0])).parameters
    order = ["x", "weight", "p", "std", "training", "rng", "scaling", "share", "mask", "noise"]
    assert list(parameters) == [n for n in order if n in parameters]
    assert parameters["training"].default is inspect.Parameter.empty
    with pytest.raises(TypeError, match="training"):
        FAMILY[name][0](positive_leaf(*FAMILY[name][1]), P)


@members
def test_both_gradient_checks(name):
    function, shape, _ = FAMILY[name]
    assert mg.gradcheck(lambda x: np.sin(function(x, 0.2, True)) * x, positive_leaf(*shape))
    assert mg.gradgradcheck(lambda x: np.sin(function(x, 0.2, True)) * x, positive_leaf(*shape))


@members
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype_stay_and_noise_has_the_shape_it_should(name, dtype):
    x, y = called(name, x=positive_leaf(*FAMILY[name][1], dtype=dtype))
    y.backward(np.ones(y.shape))
    assert (y.shape, y.dtype, x.grad.dtype) == (x.shape, dtype, dtype)
    _, y = called(name)
    (noise,) = mg.noise_leaves(y)
    assert noise.shape == FAMILY[name][2]


@members
def test_evaluation_is_the_identity_and_draws_nothing(name):
    randomness.main.streams.clear()
    x, y = called(name, training=False)
    assert y is x and not randomness.main.streams


@members
def test_the_node_has_the_name_of_the_function_and_arrays_are_taken(name):
    x, y = called(name)
    assert modes.path(y.scope) == ("" if name == "dropout" else name)
    mg.manual_seed(0)
    close(called(name, x=x.data)[1].data, y.data)


@members
def test_frozen_noise_repeats_and_otherwise_no_two_calls_agree(name):
    def draw():
        return called(
            name, x=positive_leaf(*(8 * n for n in FAMILY[name][1][:1]), *FAMILY[name][1][1:])
        )[1].data

    results = []
    for _ in range(2):
        with mg.frozen_noise():
            results.append(draw())
    assert np.array_equal(*results)
    assert np.array_equal(results[0], draw()) and not np.array_equal(results[0], draw())


@members
def test_noise_can_be_read_replaced_and_drawn_again(name):
    x, y = called(name)
    (noise,) = mg.noise_leaves(y)
    assert noise.stream == ("" if name == "dropout" else name)
    assert isinstance(noise.distribution, Bernoulli) == (name in MASKED)
    given = {"mask" if name in MASKED else "noise": noise.data}
    close(called(name, **given)[1].data, y.data)
    other = ~noise.data if name in MASKED else noise.data + 1
    given = {"mask" if name in MASKED else "noise": other}
    close(mg.replay(y, {noise: other}).data, called(name, **given)[1].data)
    assert len({mg.resample(y).data.tobytes() for _ in range(20)}) > 5
    assert np.array_equal(mg.replay(y).data, y.data)


@members
def test_noise_of_an_earlier_call_can_be_given_and_stays_one_leaf(name):
    x, first = called(name)
    (noise,) = mg.noise_leaves(first)
    _, second = called(name, x=x, **{"mask" if name in MASKED else "noise": noise})
    close(first.data, second.data)
    assert mg.noise_leaves(np.sum(first) + np.sum(second)) == [noise]


def test_noise_is_listed_in_the_order_of_drawing_and_a_freed_graph_is_an_error():
    x = positive_leaf(3)
    y = np.sum(F.gaussian_noise(F.dropout(x, P, True), 0.1, True) * F.alpha_dropout(x, P, True))
    assert [n.stream for n in mg.noise_leaves(y)] == ["", "gaussian_noise", "alpha_dropout"]
    assert mg.noise_leaves(np.sum(x)) == []
    y.backward()
    with pytest.raises(RuntimeError, match="noise_leaves: the graph was freed"):
        mg.noise_leaves(y)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_equals_its_function(name):
    layer, (function, shape, _) = LAYERS[name](0.3), FAMILY[name]
    x = positive_leaf(*shape)
    y = layer(x)
    (noise,) = mg.noise_leaves(y)
    close(
        y.data, function(x, 0.3, True, **{"mask" if name in MASKED else "noise": noise.data}).data
    )
    assert layer.eval()(x) is x
    assert repr(layer) == f"{type(layer).__name__}({setting_of(name)}=0.3)"
    with pytest.raises(ValueError, match="p is the probability of DROPPING|std is a number"):
        LAYERS[name](-0.1)(x)
    with pytest.raises(TypeError, match=f"^{name}: Noise: rng"):
        LAYERS[name](0.1, rng=3)(x)


def test_a_repr_shows_settings_other_than_the_defaults():
    assert (
        repr(nn.Dropout(0.25, scaling="classic", share=1, rng="a"))
        == "Dropout(p=0.25, rng=a, scaling=classic, share=1)"
    )
    assert (
        repr(nn.DropConnect(nn.Linear(2, 3), 0.1))
        == "DropConnect(\n  p=0.1\n  (module): Linear(in_features=2, out_features=3)\n)"
    )


# --------------------------------------------------------------------------------- exact statements


@masked
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_edge_rates(name, p):
    x, y = called(name, p=p)
    close(y.data, (1 - p) * x.data)
    close(mg.grad(np.sum(y), x)[0].data, np.full(x.shape, 1 - p))


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "drop_path", "drop_connect"])
@pytest.mark.parametrize("p", [0.2, 0.7])
def test_both_scalings_have_the_mean_of_evaluation(name, p):
    for scaling, factor in (("inverted", 1), ("classic", 1 - p)):
        x, y = called(
            name, x=positive_leaf(*(min(n, 2) for n in FAMILY[name][1])), p=p, scaling=scaling
        )
        close(mg.expectation(y).value.data, factor * x.data)
        close(called(name, False, x, p, scaling=scaling)[1].data, factor * x.data)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_alpha_dropout_keeps_mean_0_and_variance_1(p):
    """For standard normal entries, exactly: by Gauss-Hermite quadrature and by both masks of an
    entry.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights /= weights.sum()
    outcomes = [
        F.alpha_dropout(Tensor(nodes), p, True, mask=np.array(kept)).data for kept in (True, False)
    ]
    mean, square = (
        (1 - p) * weights @ outcomes[0] ** k + p * weights @ outcomes[1] ** k for k in (1, 2)
    )
    close((mean, square), (0, 1))


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_alpha_dropout_is_the_formula_of_the_paper(p):
    q, mask = 1 - p, np.array([True, False, True])
    a = (q + LOW**2 * q * (1 - q)) ** -0.5
    x = positive_leaf(3)
    close(
        F.alpha_dropout(x, p, True, mask=mask).data,
        a * np.where(mask, x.data, LOW) - a * (1 - q) * LOW,
    )
    close(mg.expectation(F.alpha_dropout(x, p, True)).value.data, a * q * x.data)


@pytest.mark.parametrize(
    "layer",
    [
        nn.GaussianDropout(P),
        nn.GaussianNoise(0.4),
        nn.Dropout(P, share=1),
        nn.DropPath(P),
        nn.AlphaDropout(P),
    ],
    ids=repr,
)
def test_the_law_of_layers(layer):
    """Alpha dropout keeps moments over all entries, not those of one entry. So its evaluation is
    not the mean of an entry.
    """
    shared = (1,) if isinstance(layer, nn.DropPath) or getattr(layer, "share", ()) else ()
    report = mg.check_noise(layer, (4096, 16), shared=shared)
    assert report, report
    if isinstance(layer, nn.AlphaDropout):
        assert report.rows[-1].verdict == "UNKNOWN"
        a = ((1 - P) * (1 + P * LOW**2)) ** -0.5
        report = mg.check_noise(layer, (4096, 16), mean=lambda x: a * (1 - P) * x)
    assert report and report.rows[-1].verdict == "OK", report


def test_gaussian_dropout_on_a_linear_model_is_the_same_ridge_as_dropout():
    X, w, y = positive_leaf(3, 2).detach(), positive_leaf(2, seed=1), np.arange(3.0)
    penalty = P / (1 - P) * np.sum(X.data**2, axis=0)
    for function in (F.dropout, F.gaussian_dropout):
        residual = function(X, P, training=True) @ w - y
        found = mg.expectation(np.sum(residual * residual), order=2)
        close(found.value.data, np.sum((X.data @ w.data - y) ** 2) + penalty @ w.data**2)
        close(found.gradients[w].data, 2 * X.data.T @ (X.data @ w.data - y) + 2 * penalty * w.data)


def test_gaussian_noise_on_inputs_is_weight_decay():
    """E|(x + e) W|^2 = |x W|^2 + n std^2 |W|^2 (Bishop 1995)."""
    x, w = positive_leaf(2, 2).detach(), positive_leaf(2, seed=1)
    found = mg.expectation(np.sum((F.gaussian_noise(x, 0.4, training=True) @ w) ** 2), order=2)
    close(found.value.data, np.sum((x.data @ w.data) ** 2) + 2 * 0.16 * np.sum(w.data**2))
    close(found.gradients[w].data, 2 * x.data.T @ x.data @ w.data + 4 * 0.16 * w.data)


def test_drop_connect_averages_to_its_layer():
    layer = nn.DropConnect(nn.Linear(3, 2, dtype=np.float64), P)
    x, y, weight = positive_leaf(4, 3), np.ones((4, 2)), layer.module.weight
    found = mg.expectation(np.sum((layer(x) - y) ** 2))
    calm = np.sum((layer.eval()(x) - y) ** 2) + P / (1 - P) * np.sum((x * x) @ np.square(weight).T)
    close(found.value.data, calm.data)
    for t, g in zip((weight, x), mg.grad(calm, (weight, x))):
        close(found.gradients[t].data, g.data)


def test_drop_connect_leaves_its_module_as_it_is():
    inner = nn.Linear(3, 2, penalty=nn.L2(0.1))
    layer = nn.DropConnect(inner, P)
    before = inner.weight
    layer(positive_leaf(4, 3, dtype=np.float32))
    assert inner.weight is before and list(layer.state_dict()) == ["module.weight", "module.bias"]
    close(layer.penalty().data, F.l2_penalty(before, c=0.1).data)
    with pytest.raises(ValueError):
        layer(positive_leaf(4, 5, dtype=np.float32))
    assert inner.weight is before


def test_weight_scaling_is_the_geometric_mean_of_softmax_regression_and_not_the_arithmetic_one():
    """Exactly, over all masks (Srivastava et al. 2014, section 7.5; Baldi & Sadowski 2013)."""
    x, w = np.linspace(-1, 1, 5), np.cos(np.arange(15)).reshape(5, 3)
    geometric, arithmetic = np.zeros(3), np.zeros(3)
    for kept in itertools.product([False, True], repeat=5):
        probability = math.prod(1 - P if k else P for k in kept)
        y = F.softmax(
            F.dropout(Tensor(x), P, True, scaling="classic", mask=np.array(kept)) @ w
        ).data
        geometric += probability * np.log(y)
        arithmetic += probability * y
    geometric = np.exp(geometric) / np.exp(geometric).sum()
    scaled = F.softmax(F.dropout(Tensor(x), P, False, scaling="classic") @ w).data
    close(geometric, scaled)
    assert np.max(abs(arithmetic - scaled)) > 0.01


# ------------------------------------------------------------------------------- sharing and giving


def test_one_mask_for_all_time_steps():
    x = positive_leaf(4, 6, 50)
    y = F.dropout(x, P, True, share=1).data
    kept = y != 0
    assert np.array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape)) and 0 < kept.mean() < 1
    close(y[kept], x.data[kept] / (1 - P))


@pytest.mark.parametrize(
    "share, shape",
    [
        ((), (2, 3, 4)),
        (1, (2, 1, 4)),
        (-1, (2, 3, 1)),
        ((0, -1), (1, 3, 1)),
        ([0, 1, 2], (1, 1, 1)),
    ],
)
def test_share_names_axes(share, shape):
    (noise,) = mg.noise_leaves(nn.Dropout(P, share=share)(positive_leaf(2, 3, 4)))
    assert noise.shape == shape


def test_a_recurrent_net_may_use_the_noise_of_its_first_step():
    steps = [positive_leaf(3, 8, seed=i) for i in range(4)]
    outs = [F.dropout(steps[0], P, True)]
    (mask,) = mg.noise_leaves(outs[0])
    outs += [F.dropout(x, P, True, mask=mask) for x in steps[1:]]
    assert mg.noise_leaves(sum(np.sum(y) for y in outs)) == [mask]
    assert all(np.array_equal(y.data != 0, mask.data) for y in outs)


@masked
def test_a_mask_is_taken_as_bools_or_as_ones_and_zeros(name):
    _, shape, noise_shape = FAMILY[name]
    kept = np.random.default_rng(1).random(noise_shape) < 0.5
    randomness.main.streams.clear()
    results = [
        called(name, mask=m)[1]
        for m in (kept, kept.astype(int), kept.astype(np.float32), kept.tolist(), Tensor(kept))
    ]
    assert all(np.array_equal(y.data, results[0].data) and y.dtype == np.float64 for y in results)
    assert not randomness.main.streams and not mg.noise_leaves(results[0])  # nothing is drawn
    assert called(name, False, mask=kept)[1].data.tolist() == positive_leaf(*shape).data.tolist()
    with pytest.raises(
        ValueError,
        match=rf"^{name}: a mask has 1 or True where x is kept and 0 or False where it is dropped\.$",
    ):
        called(name, mask=np.full(noise_shape, 0.5))
    with pytest.raises(
        ValueError,
        match=rf"^{name}: (noise|shape mismatch)",
    ):
        called(name, mask=np.ones((7, 7), bool))


def test_a_mask_larger_than_x_is_refused():
    with pytest.raises(
        ValueError, match=r"^dropout: noise of shape \(2, 3\) does not broadcast to \(3,\)"
    ):
        F.dropout(positive_leaf(3), P, True, mask=np.ones((2, 3), bool))
    with pytest.raises(
        ValueError,
        match=r"^gaussian_noise: noise of shape \(2, 3\) does not broadcast to \(3,\)",
    ):
        F.gaussian_noise(positive_leaf(3), 0.1, True, noise=np.ones((2, 3)))


# ----------------------------------------------------------------------------------------- sampling


class Counting(nn.Module):
    """Counts its calls in training, as batch norm changes its statistics."""

    def __init__(self):
        self.calls = np.zeros(())

    def forward(self, x):
        self.calls += self.training
        return x


@members
def test_sampling_draws_in_evaluation(name):
    with mg.sampling():
        x, y = called(name, training=False)
        assert len(mg.noise_leaves(y)) == 1
    assert called(name, training=False, x=x)[1] is x


def test_sampling_changes_no_mode_and_ends():
    model = nn.Sequential(nn.Dropout(P), Counting()).eval()
    x = positive_leaf(50)
    with pytest.raises(KeyError), mg.sampling():
        with mg.sampling():
            assert np.any(model(x).data == 0)
        assert np.any(model(x).data == 0)
        assert not any(m.training for m in model.modules()) and model[1].calls == 0
        nn.Dropout(0.4)  # making a layer draws nothing
        raise KeyError
    assert np.array_equal(model(x).data, x.data)


def test_sampling_is_a_matter_of_one_thread_and_one_coroutine():
    x, found = positive_leaf(100), {}

    def elsewhere():
        found["thread"] = F.dropout(x, P, False)

    async def sampled():
        with mg.sampling():
            await asyncio.sleep(0.01)
            found["inside"] = F.dropout(x, P, False)

    async def plain():
        await asyncio.sleep(0.005)
        found["outside"] = F.dropout(x, P, False)

    async def both():
        await asyncio.gather(sampled(), plain())

    with mg.sampling():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    asyncio.run(both())
    assert found["thread"] is x and found["outside"] is x and found["inside"] is not x


def test_monte_carlo_dropout_averages_to_the_expectation():
    """By Hoeffding: entries lie in [0, x/(1-p)], so the mean of n samples is further than t from x
    with a probability of at most 2 exp(-2 n (t(1-p)/x)^2).
    """
    model, x, n = nn.Sequential(nn.Dropout(P)).eval(), Tensor(np.ones(10)), 2000
    with mg.sampling():
        mean = np.mean([model(x).data for _ in range(n)], axis=0)
    assert np.all(abs(mean - 1) < math.sqrt(math.log(2 * 10 / 1e-9) / (2 * n)) / (1 - P))


# ------------------------------------------------------------------------------------------ streams


def masks(model, shape=(64,)):
    """{stream: noise} of one run after a seed."""
    mg.manual_seed(5)
    return {n.stream: n.data for n in mg.noise_leaves(model(positive_leaf(*shape)))}


def same(a, b):
    return np.array_equal(a, b)


def test_layers_of_other_kinds_come_and_go_and_masks_stay():
    before = masks(nn.Sequential(nn.Dropout(P), nn.Tanh(), nn.Dropout(P)))
    added = nn.Sequential(
        nn.GaussianNoise(0.1),
        nn.Linear(64, 64, dtype=np.float64),
        nn.Dropout(P),
        nn.AlphaDropout(P),
        nn.Dropout(P),
        nn.Tanh(),
    )
    after = masks(added)
    removed = masks(nn.Sequential(nn.Dropout(P), nn.Dropout(P)))
    for name in ("Dropout_0", "Dropout_1"):
        assert same(before[name], after[name]) and same(before[name], removed[name])
    assert not same(before["Dropout_0"], before["Dropout_1"])


def test_a_layer_of_the_same_kind_behind_changes_nothing_and_one_in_front_takes_the_number():
    one, two = (
        masks(nn.Sequential(nn.Dropout(P))),
        masks(nn.Sequential(nn.Dropout(P), nn.Dropout(P))),
    )
    assert same(one["Dropout_0"], two["Dropout_0"]) and list(two) == ["Dropout_0", "Dropout_1"]


@pytest.mark.parametrize("named", ["by keyword", "by rng"])
def test_named_layers_keep_their_noise_when_others_are_inserted(named):
    def model(*names):
        if named == "by keyword":
            return nn.Sequential(**{name: nn.Dropout(P) for name in names})
        return nn.Sequential(*(nn.Dropout(P, rng=name) for name in names))

    before, after = masks(model("a", "b")), masks(model("new", "a", "other", "b"))
    assert (
        same(before["a"], after["a"])
        and same(before["b"], after["b"])
        and not same(after["a"], after["new"])
    )


def test_lists_dicts_blocks_and_other_kinds_have_streams_of_their_own():
    class Mine(nn.Dropout):
        pass

    class Net(nn.Module):
        def __init__(self):
            self.blocks = [
                nn.Sequential(nn.Tanh(), nn.Dropout(P)),
                nn.Tanh(),
                nn.Sequential(nn.Dropout(P), Mine(P)),
            ]
            self.named = {"last": nn.Dropout(P)}

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return F.dropout(self.named["last"](x), P, self.training)

    found = masks(Net())
    streams = [
        "blocks.Sequential_0.Dropout_0",
        "blocks.Sequential_1.Dropout_0",
        "blocks.Sequential_1.Mine_0",
        "named.last",
        "",
    ]
    assert list(found) == streams
    assert not any(same(a, b) for a, b in itertools.combinations(found.values(), 2))


def test_one_layer_in_two_places_draws_twice_and_counts_once():
    drop = nn.Dropout(P)
    mg.manual_seed(5)
    noise = mg.noise_leaves(nn.Sequential(drop, nn.Tanh(), drop, nn.Dropout(P))(positive_leaf(64)))
    assert [n.stream for n in noise] == ["Dropout_0", "Dropout_0", "Dropout_1"]
    assert not same(noise[0].data, noise[1].data)
    assert same(noise[2].data, masks(nn.Sequential(drop, nn.Dropout(P)))["Dropout_1"])


def test_two_models_built_alike_agree_after_the_same_seed():
    build = lambda: nn.Sequential(
        nn.Dropout(P), nn.GaussianDropout(P), nn.DropConnect(nn.Linear(64, 3, dtype=np.float64), P)
    )
    first, second = masks(build(), (2, 64)), masks(build(), (2, 64))
    assert all(same(first[name], second[name]) for name in first) and len(first) == 3


def test_functions_of_different_names_draw_from_streams_of_their_own():
    def run(more):
        mg.manual_seed(1)
        x = positive_leaf(64)
        if more:
            F.gaussian_noise(x, 1.0, True)
        return F.alpha_dropout(x, P, True).data

    assert same(run(False), run(True))


def test_a_named_stream_follows_the_seed_and_a_generator_does_not():
    for rng, follows in (("mine", True), (np.random.default_rng(3), False)):
        drawn = []
        for _ in range(2):
            mg.manual_seed(2)
            drawn.append(F.dropout(positive_leaf(64), P, True, rng=rng).data)
        assert same(*drawn) == follows
    mg.manual_seed(2)
    (noise,) = mg.noise_leaves(F.dropout(positive_leaf(64), P, True, rng="mine"))
    assert noise.stream == "mine" and noise.rng is stream("mine")


def test_threads_draw_the_same_after_the_same_seed_and_do_not_disturb_each_other():
    model, found = (
        nn.Sequential(nn.Dropout(P), nn.DropConnect(nn.Linear(8, 8, dtype=np.float64), P)),
        {},
    )
    start = threading.Barrier(4)

    def run(i):
        mg.manual_seed(7)
        start.wait()
        found[i] = [model(positive_leaf(5, 8)).data for _ in range(100)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    before = model[1].module.weight
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[0], found[i]) for i in range(1, 4))
    assert model[1].module.weight is before


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", [*MASKED, "gaussian_dropout"])
@pytest.mark.parametrize("p", [float("nan"), -0.1, 30, "0.5", None, np.array([0.1, 0.2]), [0.5]])
def test_a_rate_outside_0_to_1_is_refused(name, p):
    for training in (True, False):
        with pytest.raises(
            ValueError,
            match=rf"^{name}: p is the probability of DROPPING, in \[0, 1\]; got ",
        ):
            called(name, training, p=p)


def test_gaussian_dropout_cannot_drop_all_and_std_is_a_number():
    for make in (
        lambda: called("gaussian_dropout", p=1),
        lambda: nn.GaussianDropout(1.0)(positive_leaf(2)),
    ):
        with pytest.raises(ValueError, match="^gaussian_dropout: p must be below 1"):
            make()
    for std in (-1, math.nan, "0.5", None, np.array([0.1, 0.2]), [0.5]):
        with pytest.raises((ValueError, TypeError), match="^gaussian_noise: "):
            F.gaussian_noise(positive_leaf(2), std, True)


@members
def test_rng_is_a_generator_or_a_name(name):
    for rng in (0, np.random.RandomState(0), np.random):
        with pytest.raises(
            TypeError,
            match=rf"^{name}: Noise: rng is a np\.random\.Generator or a name, not ",
        ):
            called(name, rng=rng)


@pytest.mark.parametrize(
    "function, shape, message",
    [
        (
            F.dropout1d,
            (3, 4),
            r"dropout1d: x must be \(N, C, L\), got shape \(3, 4\)\. For one sample write x\[None\]\.",
        ),
        (
            F.dropout1d,
            (2, 3, 4, 5),
            r"dropout1d: x must be \(N, C, L\), got shape \(2, 3, 4, 5\)\.",
        ),
        (
            F.dropout2d,
            (2, 3, 4),
            r"dropout2d: x must be \(N, C, H, W\), got shape \(2, 3, 4\)\. For one sample write x\[None\]\.",
        ),
        (F.dropout2d, (2,), r"dropout2d: x must be \(N, C, H, W\), got shape \(2,\)\."),
        (
            F.drop_path,
            (),
            r"drop_path: x must be \(N, \.\.\.\), one sample a row; got one number\.",
        ),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_inputs_of_other_ranks_are_refused(function, shape, message, training):
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(positive_leaf(*shape), P, training)


def test_axes_to_share_along_must_be_there():
    with pytest.raises(
        ValueError, match=r"^dropout: share: axis 2 is out of bounds for array of dimension 2$"
    ):
        F.dropout(positive_leaf(3, 4), P, True, share=(0, 2))
    for share in ("1", 1.0, (0, None)):
        with pytest.raises(TypeError, match="^dropout: "):
            nn.Dropout(P, share=share)(positive_leaf(3, 4))


# ------------------------------------------------------------------------------------------ PyTorch


def test_pytorch_agrees_on_alpha_dropout():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x = torch.linspace(-1.5, 2, 400, dtype=torch.float64)
    for p in (0.1, 0.3, 0.8):
        theirs = torch.nn.functional.alpha_dropout(x, p, training=True).numpy()
        mask = ~np.isclose(
            theirs, theirs.min(), rtol=0, atol=1e-9
        )  # what is dropped, and is now below all that is kept
        close(F.alpha_dropout(Tensor(x.numpy()), p, True, mask=mask).data, theirs, 1e-9)


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d"])
def test_pytorch_agrees_where_the_mask_is_its(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    data = positive_leaf(*FAMILY[name][1]).data
    x = torch.tensor(data, requires_grad=True)
    theirs = getattr(torch.nn.functional, name)(x, P, training=True)
    (theirs**2).sum().backward()
    mine = Tensor(data, True)
    y = FAMILY[name][0](mine, P, True, mask=theirs.detach().numpy() != 0)
    np.sum(y**2).backward()
    close(y.data, theirs.detach().numpy())
    close(mine.grad.data, x.grad.numpy())


def test_noise_of_a_law_of_ones_own_can_be_given():
    noise = Noise(Bernoulli(0.9), (4, 1), bool)
    y = F.dropout(positive_leaf(4, 3), 0.1, True, mask=noise)
    assert mg.noise_leaves(y) == [noise]
    close(mg.expectation(y).value.data, positive_leaf(4, 3).data)

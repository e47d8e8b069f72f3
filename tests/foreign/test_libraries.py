"""Arrays of other libraries as data of Tensors: equal and still theirs, or refused by name."""

import re

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import foreign, nn, optim
from minigrad.array import data_of
from minigrad.foreign import NUMPY_ONLY
from minigrad.registry import op
from tests.foreign.libraries import LIBRARIES, Strict
from tests.foreign.table import EQUAL, WRONG, outcomes
from tests.helpers import close, normal


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param]()


@pytest.fixture(autouse=True)
def nothing_is_computed(library):
    with library.quiet():
        yield


@pytest.fixture(scope="module")
def table(library):
    return outcomes(library)


def test_no_sample_of_any_op_is_silently_computed_or_wrong(table):
    assert not [(id, o.note) for rows in table.values() for id, o in rows if o.kind == WRONG]


def test_only_these_ops_need_numpy(table):
    never = {name for name, rows in table.items() if all(o.kind != EQUAL for _, o in rows)}
    assert never == NUMPY_ONLY & table.keys()


def test_a_refusal_names_the_op(table):
    for rows in table.values():
        for id, o in rows:
            named = r"\w+ of \(|rule of \w+|\w+: |when it is computed"
            assert o.kind == EQUAL or re.search(named, o.note.partition(": ")[2] + o.note), (id, o)


def of_library(library, model):
    """A model whose parameters are arrays of the library."""
    for module in model.modules():
        for name, w in [*module.named_members()]:
            if isinstance(w, nn.Parameter):
                setattr(module, name, nn.Parameter(library.make(w.data)))
    return model


@pytest.mark.parametrize("lazily", ["the data", "all"])
def test_a_net_with_dropout_and_penalties_equals_numpy_with_the_same_mask(library, lazily):
    if lazily == "the data" and library.make is Strict:
        pytest.skip("strict arrays do not mix with the NumPy arrays of parameters")
    x, y = normal(20, 5), np.arange(20) % 3
    mg.manual_seed(0)
    parts = nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU(), nn.Dropout(0.5)
    model = nn.Sequential(*parts, nn.Linear(8, 3, penalty=nn.ElasticNet(1e-3, 1e-3)))
    own = [w.data for w in model.parameters()]
    if lazily == "all":
        of_library(library, model)
    given = [nn.Parameter(w) for w in own]
    loss = F.cross_entropy(model(mg.Tensor(library.make(x))), library.make(y)) + model.penalty()
    (noise,) = mg.noise_leaves(loss)
    loss.backward()
    mask = library.read(noise.data)
    w1, b1, scale, shift, w2, b2 = given
    hidden = F.relu(F.layer_norm(F.linear(mg.Tensor(x), w1, b1), 8, scale, shift))
    scores = F.linear(F.dropout(hidden, 0.5, True, mask=mask), w2, b2)
    expected = F.cross_entropy(scores, y) + F.elastic_net(w2, l1=1e-3, l2=1e-3)
    close(library.read(loss.data), expected, rtol=1e-6)
    for w, e in zip(model.parameters(), mg.grad(expected, given), strict=True):
        close(library.read(w.grad.data), e, rtol=1e-5, atol=1e-6)  # the parameters are float32


def test_chunks_of_one_batch_norm_are_normalised_together(library):
    x, u = normal(12, 3), normal(12, 3, seed=1)
    found, expected = [], []
    for make, results in (library.make, found), (np.asarray, expected):
        t = mg.Tensor(make(x), True)
        out = F.batch_norm(t, None, None, training=True)
        results += [out, *mg.grad((out * make(u)).sum(), t)]
    for f, e in zip(found, expected):
        close(library.read(f.data), e, rtol=1e-11)


def test_second_derivatives(library):
    found, expected = [], []
    for make, second in (library.make, found), (np.asarray, expected):
        t = mg.Tensor(make(normal(6, 5)), True)
        (g,) = mg.grad((np.tanh(t) ** 3).sum(), t, create_graph=True)
        second += mg.grad((g * g).sum(), t)
    close(library.read(found[0].data), expected[0], rtol=1e-12)


def test_noise_replays_and_is_drawn_anew(library):
    x = mg.Tensor(library.make(np.ones((40, 2))), True)
    y = F.gaussian_noise(F.dropout(x, 0.5, training=True), 0.1, training=True).sum()
    first, again, other = (library.read(t.data) for t in (y, mg.replay(y), mg.resample(y)))
    assert first == again != other


def test_a_leaf_takes_a_step_and_stays_in_its_library(library):
    w, u = library.make(np.full((4, 2), 3.0)), library.make(np.ones(2))
    with mg.no_grad():
        t = mg.Tensor(w)
        t -= 0.5 * mg.Tensor(u)
        close(library.read(t.data), np.full((4, 2), 2.5))
        with pytest.raises(ValueError):
            mg.Tensor(u).__isub__(mg.Tensor(w))
    close(library.read(w), np.full((4, 2), 3.0))


def test_an_optimizer_asks_for_computed_gradients(library):
    w = mg.Tensor(np.ones(5), True)
    w.grad = mg.Tensor(library.make(np.full(5, 4.0)))
    sgd = optim.SGD([w], lr=0.1)
    with pytest.raises(TypeError, match="SGD.step.*foreign.compute"):
        sgd.step()
    with library.loud():
        foreign.compute(w.grad)
    sgd.step()
    close(w, np.full(5, 1 - 0.4))


def test_an_op_of_a_user_that_leaves_the_library_is_refused(library, own_registry):
    @op(x=lambda g, out, x: g)
    def left_the_library(x):
        return np.array([1.0, 2.0])

    with pytest.raises(TypeError, match="left_the_library.* into a NumPy array"):
        left_the_library(mg.Tensor(library.make(np.ones(2)), True))


def test_a_graph_is_proved_after_its_leaves_are_computed(library):
    t, u = (mg.Tensor(library.make(normal(3, 4, seed=seed)), True) for seed in (0, 1))
    with pytest.raises(
        TypeError, match="check_graph needs a NumPy array.* for leaves, before the for"
    ):
        mg.check_graph(np.tanh(t * u).sum())
    with library.loud():
        foreign.compute(t, u)
    assert mg.check_graph(np.tanh(t * u).sum())


class Elsewhere(Strict):
    """An array of yet another library."""


Elsewhere.__module__ = "elsewhere.arrays"


@pytest.mark.parametrize(
    "act",
    [
        lambda t, u: t * u,
        lambda t, u: u @ t,
        lambda t, u: t + data_of(u),
        lambda t, u: np.concatenate([t, u]),
        lambda t, u: np.where(t > 0, u, t),
        lambda t, u: F.linear(t, u),
        lambda t, u: F.mse_loss(t, u),
        lambda t, u: F.dropout(t, 0.5, training=True, mask=data_of(u)),
    ],
)
def test_libraries_do_not_mix(library, act):
    t, u = mg.Tensor(library.make(np.eye(4)), True), mg.Tensor(Elsewhere(np.eye(4)), True)
    both = (
        r"\w+( of .*)?: arrays of (\w+ and elsewhere|elsewhere and \w+) meet here. Convert them to"
    )
    with pytest.raises(TypeError, match=both):
        act(t, u)


def test_a_library_that_takes_no_numpy_arrays_says_how_to_mix_them():
    t = mg.Tensor(Strict(np.eye(4)), True)
    with pytest.raises(
        TypeError, match=r"matmul of .* numpy and tests meet here.*np.asarray\(x, l"
    ):
        t @ np.eye(4)
    close((t @ np.asarray(np.eye(4), like=t.data)).data.get(), np.eye(4))


@pytest.mark.parametrize(
    "act",
    [
        lambda t: float(t.detach().sum()),
        lambda t: t.sum().item(),
        lambda t: t.numpy(),
        lambda t: t.tolist(),
        lambda t: np.asarray(t.detach()),
        lambda t: bool(t.sum() > 0),
        lambda t: mg.terms(t.sum()),
        lambda t: mg.check_graph(t.sum()),
        lambda t: mg.expectation(t.sum()),
        lambda t: mg.gradcheck(np.tanh, t),
        lambda t: optim.clip_grad_norm_(with_gradient(t), 1.0),
        lambda t: in_place(np.ones((4, 4)), t),
        lambda t: mg.Tensor(np.ones((4, 4))).copy_(t.detach()),
        lambda t: mg.data.Batches(t.detach()),
        lambda t: mg.save({"t": t}, "t.npz"),
        lambda t: nn.Linear(4, 4).load_state_dict({"weight": t.data, "bias": np.zeros(4)}),
        lambda t: anomalies(t),
        lambda t: np.linalg.inv(t),
        lambda t: np.linalg.cholesky(t),
        lambda t: F.gelu(t),
        lambda t: F.conv1d(t[None], np.ones((1, 4, 1))),
        lambda t: F.batch_norm(t, np.zeros(4), np.ones(4), training=True),
        lambda t: t[[1, 1]].sum().backward(),
    ],
)
def test_what_needs_entries_is_refused_and_says_so(library, act):
    t = mg.Tensor(library.make(np.eye(4)), True)
    with pytest.raises(
        (TypeError, ValueError), match="NumPy array|numpy|holds dicts and lists of arr"
    ):
        act(t)
    assert not isinstance(t.data, np.ndarray)


def with_gradient(t):
    (t * t).sum().backward()
    return t


@mg.no_grad()
def in_place(x, u):
    t = mg.Tensor(x)
    t -= u
    return t


def anomalies(t):
    with mg.detect_anomaly():
        np.tanh(t)

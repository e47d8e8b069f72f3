"""Compiled steps: the same bits as eager steps, or eager steps and a warning."""

import gc
import tracemalloc
import warnings

import numpy as np
import pytest
from helpers import all_random_states, leaf, normal, normal_leaf
from programs import DTYPES, NETWORKS, batch, random_loss

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.program import compiling
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("seeded", "as_before")


def recorded(step):
    """All programs of a step."""
    return [p for programs in step.programs.values() for p in programs]


def named(arrays):
    return [mg.Tensor(a, name="x") if isinstance(a, np.ndarray) else a for a in arrays]


def trained(make, batches, is_compiled, optimizer=optim.Adam):
    """What is left after a step of training for each batch: losses, state, generators, the step."""
    mg.manual_seed(0)
    parameters, function, state = make()
    step = mg.compile(function)
    rule, losses = optimizer(parameters, lr=0.05), []
    for arrays in batches:
        rule.zero_grad()
        if is_compiled:
            loss = step(*arrays)
        else:
            loss = function(*named(arrays))
            loss.backward()
        losses.append(loss.data)
        rule.step()
    return losses, state(), all_random_states(), step


def assert_same(make, batches):
    """Asserts that eager and compiled training are equal to the last bit. Returns the step."""
    __tracebackhide__ = True
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        *eager, _ = trained(make, batches, False)
        *compiled, step = trained(make, batches, True)
    for found, right in zip(compiled[:2], eager[:2]):
        pairs = [
            (k, found[k], right[k])
            for k in (right if isinstance(right, dict) else range(len(right)))
        ]
        for name, a, b in pairs:
            np.testing.assert_array_equal(a, b, err_msg=str(name))
            assert a.dtype == b.dtype
    assert compiled[2] == eager[2]
    return step


def of_network(network):
    """Parameters, function and state of a new network."""

    def make():
        model, function = network()
        return list(model.parameters()), function, model.state_dict

    return make


def of_leaves(function, *leaves):
    """The same for a function of one's own, whose leaves begin anew."""
    start = [x.data.copy() for x in leaves]

    def make():
        for x, data in zip(leaves, start):
            x.data, x.grad = data.copy(), None
        return list(leaves), function, lambda: {i: x.data.copy() for i, x in enumerate(leaves)}

    return make


# ----------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_a_compiled_network_trains_to_the_same_bits(network):
    step = assert_same(of_network(network), [batch(i) for i in range(20)])
    (p,) = recorded(step)
    assert not p.refusal and not p.trials


@pytest.mark.parametrize("seed", range(20))
def test_a_random_loss_trains_to_the_same_bits(seed):
    def make():
        parameters, function = random_loss(seed, DTYPES[seed % 2])
        return parameters, function, lambda: {i: p.data for i, p in enumerate(parameters)}

    batches = [(np.random.default_rng(i).normal(size=(3, 4)),) for i in range(20)]
    step = assert_same(make, batches)
    assert [p.refusal for p in recorded(step)] == [None]


def test_comparisons_masks_and_indices_are_computed_again():
    w = normal_leaf(4, dtype=np.float32)

    def function(x):
        y = x * w
        picked = w[np.argmax(y, axis=1)] * x[:, 0] + w[np.argsort(w)[:3]]
        return np.sum(np.where(y > x.mean(), y, -0.1 * y)) + np.sum(np.sign(y) * y) + picked.sum()

    batches = [(normal(3, 4, seed=i).astype(np.float32),) for i in range(8)]
    assert_same(of_leaves(function, w), batches)


def test_ignored_targets_and_padding_are_found_again():
    weight, table = normal_leaf(3, 2, dtype=np.float32), normal_leaf(5, 2, dtype=np.float32)
    table.data[0] = 0

    def function(x, y):
        scores = F.linear(F.embedding(x, table, padding_idx=0), weight)
        return F.cross_entropy(scores, y, label_smoothing=0.2) + F.nll_loss(scores, y, "sum")

    batches = []
    for i in range(8):
        rng = np.random.default_rng(i)
        x, y = rng.integers(0, 5, 6), rng.integers(0, 3, 6)
        x[i % 6], y[0] = 0, 1
        y[1] = -100 if i % 2 else 0
        batches.append((x, y))
    step = assert_same(of_leaves(function, weight, table), batches)
    assert len(recorded(step)) == 2  # with a negative target, and without
    x, y = batches[1]
    y[2] = -1
    with pytest.raises(ValueError, match=r"the target has classes -1\.\."):
        step(x, y)


def test_numbers_give_the_bits_of_arrays():
    w = normal_leaf(3)

    def function(x):  # ** of numbers has another last bit in 5 of 100 results
        y = np.mean(np.square(w * x))
        return sum(k**y for k in np.linspace(0.5, 1.5, 20))

    batches = [(np.array(0.1 + i / 40),) for i in range(8)]
    step = assert_same(of_leaves(function, w), batches)
    assert [p.refusal for p in recorded(step)] == [None]


def test_gradients_are_added_and_have_memory_of_their_own():
    w, v = normal_leaf(3), normal_leaf(3, seed=1)
    step = mg.compile(lambda x: np.sum(w + v) + np.sum(x))
    for n in range(1, 6):
        step(np.ones(2))
        np.testing.assert_array_equal(w.grad.data, n * np.ones(3))
        np.testing.assert_array_equal(v.grad.data, n * np.ones(3))
    w.grad = v.grad = None
    step(np.ones(2))
    w.grad.data[...] = 7
    assert v.grad.data.tolist() == [1, 1, 1]
    step(np.ones(2))
    assert w.grad.data.tolist() == [8, 8, 8] and w.grad.is_leaf


def test_parameters_are_read_anew():
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(w * x))
    for _ in range(3):
        step(np.ones(2))
    w.data[...] = 3
    assert step(np.ones(2)).item() == 6
    w.data = np.array([5.0, 5.0])
    assert step(np.ones(2)).item() == 10


def test_the_result_is_the_loss_without_a_graph():
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(w * x))
    for _ in range(4):
        loss = step(np.ones(2))
        assert type(loss) is mg.Tensor and loss.is_leaf and loss.item() == 3


def test_state_of_a_forward_moves_once_a_step_and_not_while_noise_is_frozen():
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.5), nn.Linear(3, 1))
    step, twin = mg.compile(lambda x: np.mean(model(x))), nn.BatchNorm1d(3, momentum=0.5)
    for i in range(6):
        x = normal(4, 3, seed=i).astype(np.float32)
        with mg.frozen_noise():
            step(x)
        step(x)
        twin(x)
        np.testing.assert_array_equal(model[0].running_mean, twin.running_mean)
        np.testing.assert_array_equal(model[0].running_var, twin.running_var)
        assert model[0].num_batches_tracked == i + 1
    assert all(not p.refusal for p in recorded(step))


def test_noise_follows_a_new_seed_and_goes_on_as_in_eager_mode():
    model = nn.Dropout(0.5)
    w = leaf(np.ones(64))
    step = mg.compile(lambda: np.sum(model(w)))
    losses = []
    for _ in range(2):
        mg.manual_seed(3)
        losses.append([step().item() for _ in range(5)])
    mg.manual_seed(3)
    assert losses[0] == losses[1] == [np.sum(model(w)).item() for _ in range(5)]
    assert len(set(losses[0])) > 1
    own = np.random.default_rng(0)
    step = mg.compile(lambda: np.sum(F.dropout(w, 0.5, training=True, rng=own)))
    found, again = [step().item() for _ in range(6)], np.random.default_rng(0)
    assert found == [np.sum(F.dropout(w, 0.5, training=True, rng=again)).item() for _ in range(6)]


# ------------------------------------------------------------------------------- new programs


def test_shapes_dtypes_modes_and_settings_make_new_programs():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    step = mg.compile(lambda x, power=2: np.mean(model(x) ** power))
    x = normal(5, 3).astype(np.float32)
    calls = [lambda: step(x), lambda: step(x[:2]), lambda: step(x.astype(np.float64))]
    calls += [lambda: step(x, 4), lambda: step(x, power) if (power := 3) else None]
    for n, call in enumerate(calls, 1):
        for _ in range(4):
            call()
        assert len(recorded(step)) == n
    changes = [
        lambda: model.eval(),
        lambda: model.train(),
        lambda: setattr(model[1], "p", 0.25),
        lambda: setattr(model[0], "bias", nn.Parameter(np.ones(4, np.float32))),
        lambda: model[2].weight.requires_grad_(False),
    ]
    for change in changes:
        change()
        for _ in range(4):
            model.zero_grad()
            loss = step(x)
            assert (model[2].weight.grad is None) == (not model[2].weight.requires_grad)
        if not model.training:
            assert loss.item() == np.mean(model(x) ** 2).item()
    assert len(recorded(step)) == len(calls) + len(changes)
    assert not any(p.refusal for p in recorded(step))
    with mg.sampling():
        step(x)
    assert len(recorded(step)) == len(calls) + len(changes) + 1


def test_after_many_programs_steps_are_eager(monkeypatch):
    monkeypatch.setattr(compiling, "MOST", 3)
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda c: np.sum(w * c))
    for c in range(1, 7):
        w.grad = None
        assert step(c).item() == 3 * c and w.grad.tolist() == [c, c]
    assert len(recorded(step)) == 3


# ------------------------------------------------------------------------------------- refusals


def refused(function, batches, w):
    """The warning about a step, whose results are those of eager mode all the same."""
    step, found = mg.compile(function), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for arrays in batches:
            w.grad = None
            found.append((step(*arrays).item(), w.grad.tolist()))
    for (loss, gradient), arrays in zip(found, batches):
        w.grad = None
        right = function(*named(arrays))
        right.backward()
        assert (loss, gradient) == (right.item(), w.grad.tolist())
    assert "# eager" in str(step) and recorded(step)[0].refusal
    (warning,) = caught
    assert warning.filename == __file__
    return str(warning.message)


SIGNS = [(np.array([s, 1.0]),) for s in (1.0, -3.0, 2.0, -4.0)]


def test_python_that_decides_by_values_is_refused():
    w = leaf([1.0, 2.0])

    def branches(x):
        return np.sum(np.exp(w) * x) if x.sum() > 0 else np.sum(np.tanh(w) * x)

    assert "there is tanh in place of exp" in refused(branches, SIGNS, w)

    def reads(x):
        return np.sum(np.exp(w)) * x.numpy().sum().item()

    message = refused(reads, SIGNS, w)
    assert "loss differs first, line" in message and "of the program: loss = " in message
    assert "if x.sum() > 0" in message


def test_noise_that_minigrad_does_not_draw_is_refused():
    w, rng = leaf([1.0, 2.0]), np.random.default_rng(0)
    values = iter(rng.normal(size=(20, 2)))
    kept = []

    def function(x):
        kept.append(next(values))
        return np.sum(np.exp(w * mg.Tensor(kept[-1], name="noise")) * x)

    step = mg.compile(function)
    with pytest.warns(UserWarning, match="differs first"):
        for arrays in SIGNS:
            w.grad = None
            loss = step(*arrays)
            assert loss.item() == np.sum(np.exp(w.data * kept[-1]) * arrays[0])


def test_an_op_that_gives_other_bits_as_a_program_is_refused():
    @op(x=lambda g, out, x: g * calls[0])
    def counted(x):
        calls[0] += 1
        return x * calls[0]

    calls, w = [0], leaf([1.0])
    step = mg.compile(lambda: np.sum(counted(w)))
    with pytest.warns(UserWarning, match="compile: from now on eager"):
        for _ in range(3):
            step()


def test_a_rule_that_does_not_run_on_tensors_is_refused():
    @op(x=lambda g, out, x: np.asarray(g, float) * 3)
    def tripled(x):
        return 3 * x

    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(tripled(w) * x))
    with pytest.warns(UserWarning, match="this step is eager: TypeError: .* returned no Tensor"):
        step(np.ones(2))
    w.grad = None
    assert step(np.ones(2)).item() == 9 and w.grad.tolist() == [3, 3]
    assert "# eager" in str(step)


def test_arguments_that_are_no_data_are_refused():
    step = mg.compile(lambda x: np.sum(x))
    with pytest.raises(TypeError, match="an argument requires a gradient"):
        step(leaf([1.0]))
    with pytest.raises(TypeError, match="an argument is a list, which is unhashable"):
        step([1.0, 2.0])
    w = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="has shape"):
        mg.compile(lambda: w * 2)()
    step = mg.compile(lambda: np.sum(w))
    with mg.no_grad(), pytest.raises(RuntimeError, match="made under no_grad"):
        step()


def test_an_error_names_the_line_of_the_program():
    w = normal_leaf(4, 3)
    step = mg.compile(lambda x: np.sum(np.exp(w[x])))
    for i in range(4):
        step(np.array([i, 0]))
    before = w.grad.data.copy()
    with pytest.raises(
        IndexError, match=r"compile: index 9 .* in line \d+ of the program, `exp = np.exp"
    ):
        step(np.array([9, 0]))
    np.testing.assert_array_equal(w.grad.data, before)


def test_an_error_of_the_function_loses_no_gradient():
    w = leaf([1.0, 2.0])

    def function(x):
        if x[0] > 1:
            raise ZeroDivisionError("too large")
        return np.sum(w * x)

    step = mg.compile(function)
    step(np.ones(2))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="too large"):
            step(np.full(2, 5.0))
        assert w.grad.tolist() == [1, 1]


# --------------------------------------------------------------------------------- text, memory


def test_a_step_shows_its_programs():
    model = nn.Sequential(fc=nn.Linear(3, 2))
    step = mg.compile(lambda x, y: F.cross_entropy(model(x), y))
    x, y = normal(4, 3).astype(np.float32), np.zeros(4, int)
    step(x, y)
    text = str(step)
    assert text.startswith("def run(x, y):\n    fc_weight = fc_weight_.data\n")
    assert "(x @ fc_weight.T + fc_bias)" in text and "; del " in text


def peak(step, times=3):
    """The most memory that `step` needs beyond what there is before it."""
    for _ in range(4):
        step()
    gc.collect()
    tracemalloc.start()
    for _ in range(times):
        step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_a_compiled_step_needs_no_more_memory_than_an_eager_step(network):
    model, function = network()
    x, y = batch(0, rows=600)
    step = mg.compile(function)

    def compiled():
        model.zero_grad()
        step(x, y)

    def eager():
        model.zero_grad()
        function(mg.Tensor(x, name="x"), mg.Tensor(y, name="y")).backward()

    assert peak(compiled) <= 1.02 * peak(eager)


def test_what_was_recorded_is_freed():
    w = leaf(np.ones(1000))
    step = mg.compile(lambda x: np.sum(F.dropout(np.exp(w * x), 0.5, training=True)))
    step(np.ones(1000))
    (p,) = recorded(step)
    gc.collect()
    arrays = [x for x in gc.get_objects() if isinstance(x, mg.Tensor) and x.shape == (1000,)]
    assert {id(x) for x in arrays} == {id(x) for x, _ in p.inputs} | {id(w.grad)}
    assert all(x.data.strides == (0,) for x, _ in p.inputs if isinstance(x, mg.Noise))

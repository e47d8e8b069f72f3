"""Compiled steps: the same bits as eager steps, or eager steps and a warning."""

import builtins
import contextvars
import copy
import gc
import linecache
import operator
import pickle
import sys
import threading
import traceback
import tracemalloc
import types
import warnings

import numpy as np
import pytest
from helpers import all_random_states, leaf, normal, normal_leaf
from programs import DTYPES, NETWORKS, batch, random_loss

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.functional import losses
from minigrad.program import compiling
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("seeded", "as_before")


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
    (p,) = step.programs
    assert not p.refusal and not p.trials


@pytest.mark.parametrize("seed", range(20))
def test_a_random_loss_trains_to_the_same_bits(seed):
    def make():
        parameters, function = random_loss(seed, DTYPES[seed % 2])
        return parameters, function, lambda: {i: p.data for i, p in enumerate(parameters)}

    batches = [(np.random.default_rng(i).normal(size=(3, 4)),) for i in range(20)]
    step = assert_same(make, batches)
    assert [p.refusal for p in step.programs] == [None]


LABELS = "cross_entropy", "nll_loss"


@pytest.mark.parametrize("name", losses.__all__)
def test_every_loss_trains_to_the_same_bits(name):
    w, f = normal_leaf(4, 3, dtype=np.float32), getattr(F, name)

    def function(x, *target):
        return np.sum(f(F.sigmoid(w * x), *target))

    def batch(seed):
        rng = np.random.default_rng(seed)
        x, t, u = rng.uniform(size=(3, 4, 3)).astype(np.float32)
        others = {"normalize": [], "triplet_margin_loss": [t, u]}
        return x, *([t.argmax(1)] if name in LABELS else others.get(name, [t]))

    step = assert_same(of_leaves(function, w), [batch(i) for i in range(8)])
    assert [p.refusal for p in step.programs] == [None]
    x, *target = batch(0)
    x[0] = np.nan
    assert np.isnan(step(x, *target).item())


def test_the_right_step_is_kept_where_numbers_have_no_axes():
    w, data = normal_leaf(3, dtype=np.float32), normal(4, 3).astype(np.float32)

    def function(x):
        y = (data * x) @ w
        return F.elastic_net(y[y.argmax(0)], y[0], l1=0.5, l2=0.25) * x.sum()

    step = assert_same(of_leaves(function, w), [(np.float32([1 + i / 8]),) for i in range(8)])
    assert [p.refusal for p in step.programs] == [None]


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
    assert len(step.programs) == 2  # with a negative target, and without
    x, y = batches[1]
    y[2] = -1
    with pytest.raises(ValueError, match=r"the target has classes -1\.\."):
        step(x, y)


def of_layout(w, y):
    z = np.moveaxis(y, 1, 0) + np.sum(w * w)
    return np.sum(np.exp(np.tanh(z[0]))) + np.sum(np.std(z, axis=1))


def of_number(w, y):
    s = np.mean(w)
    return np.sum(s[None] * np.exp(y[0])) + np.exp(s) * 3


def of_part(w, y):
    z = np.exp(y) * w[0, :, 0]
    return np.sum(np.exp(z[1:3] * np.linspace(0, 1, 5))) + np.sum(np.exp(z * 2))


MASK = np.array([True, False, True, True])
IN_PLACE = {
    "layout": of_layout,
    "number": of_number,
    "part": of_part,
    "mask": lambda w, y: np.sum(np.exp(y[MASK][1]) + y[MASK][1:][0]) + np.sum(y[1:][:2][1] ** 2),
    "rows": lambda w, y: sum(np.exp(row).sum() for row in w[1:][::-1]) + np.sum(w[-1] * w[0:][2]),
    "shared": lambda w, y: (
        np.sum(w + np.moveaxis(y, 1, 2)) + np.sum(w) + np.sum(np.exp(w) * (w + 1))
    ),
    "repeated": lambda w, y: np.sum(w[[0, 0, 2]] * np.exp(w[:3])) + np.sum(w[[1, 1]][0]),
}


@pytest.mark.parametrize("how", IN_PLACE)
def test_sums_in_place_are_those_of_eager_mode(how):
    w = normal_leaf(4, 5, 4, dtype=np.float32)
    function = IN_PLACE[how]
    batches = [(normal(4, 5, 4, seed=i).astype(np.float32),) for i in range(10)]
    step = assert_same(of_leaves(lambda x: function(w, np.moveaxis(w * 1.0 + x, 1, 2)), w), batches)
    assert [p.refusal for p in step.programs] == [None]


def test_penalties_give_the_same_bits_where_dtypes_mix():
    w, v = normal_leaf(3, 2, dtype=np.float32), normal_leaf(3, 2, dtype=np.float32, seed=1)

    def function(x):
        penalty = F.l1_penalty(w, v, c=0.3)
        return np.mean(np.tanh(penalty * x)) + F.l2_penalty(w, c=0.1) + np.sum(w * v)

    step = assert_same(of_leaves(function, w, v), [(normal(4, seed=i),) for i in range(20)])
    assert [p.refusal for p in step.programs] == [None]


def test_numbers_give_the_bits_of_arrays():
    w = normal_leaf(3)

    def function(x):  # ** of numbers has another last bit in 5 of 100 results
        y = np.mean(np.square(w * x))
        return sum(k**y for k in np.linspace(0.5, 1.5, 20))

    batches = [(np.array(0.1 + i / 40),) for i in range(8)]
    step = assert_same(of_leaves(function, w), batches)
    assert [p.refusal for p in step.programs] == [None]


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


EQUAL = {  # functions whose derivatives by w and v are equal, or parts of them
    "one sum": lambda w, v, x: np.exp(2 * (w + v)),
    "one grows": lambda w, v, x: w * w + np.exp(x) * (v * x) + np.exp(x) * (w * x),
    "one expression": lambda w, v, x: np.exp(x) * w + np.exp(x) * v,
}


@pytest.mark.parametrize("how", EQUAL)
def test_equal_gradients_have_memory_of_their_own(how):
    w, v = normal_leaf(3), normal_leaf(3, seed=1)
    step = mg.compile(lambda x: np.sum(EQUAL[how](w, v, x)))
    for _ in range(4):
        w.grad = v.grad = None
        step(np.ones(3))
    before = v.grad.data.copy()
    assert [p.refusal for p in step.programs] == [None]
    w.grad.data[...] = 7
    np.testing.assert_array_equal(v.grad.data, before)


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
    assert all(not p.refusal for p in step.programs)


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
        assert len(step.programs) == n
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
    assert len(step.programs) == len(calls) + len(changes)
    assert not any(p.refusal for p in step.programs)
    with mg.sampling():
        step(x)
    assert len(step.programs) == len(calls) + len(changes) + 1


def test_after_many_programs_steps_are_eager(monkeypatch):
    monkeypatch.setattr(compiling, "MOST", 3)
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda c: np.sum(w * c))
    with pytest.warns(UserWarning, match="what the function reads changes often"):
        for c in range(1, 7):
            w.grad = None
            assert step(c).item() == 3 * c and w.grad.tolist() == [c, c]
    assert [p.refusal is None for p in step.programs] == [True] * 3 + [False]


def test_noise_that_no_result_uses_is_drawn_all_the_same():
    w = normal_leaf(3)

    def function(x):
        F.dropout(w, 0.5, training=True, rng="one stream")
        return np.sum(F.dropout(w * x, 0.5, training=True, rng="one stream"))

    assert_same(of_leaves(function, w), [(np.array(float(i)),) for i in range(8)])


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
    assert "# eager" in str(step) and step.programs[0].refusal
    (warning,) = caught
    assert warning.filename == __file__
    return str(warning.message)


# Effects of values on Python that show up after the trials only.
LATER = [(np.array([s, 1.0]),) for s in (1.0, 2.0, 0.5, 3.0, -3.0, 2.0, -4.0)]


def mean_of_rows(w, x):
    with mg.no_grad():
        return (w * x).item() if w.size == 1 else float(np.max(w.data * x.data))


READING = {
    "bool": lambda w, x: np.exp(w) if x.sum() > 0 else np.tanh(w),
    "item": lambda w, x: w * max(x[0].item(), 0),
    "float": lambda w, x: w * max(float(x[0]), 0),
    "int": lambda w, x: w * max(int(x[0]), 0),
    "index": lambda w, x: w * [5, 6, 7][np.argmin(x)],
    "data": lambda w, x: w * np.maximum(x.data, 0),
    "numpy": lambda w, x: w * np.maximum(x.numpy(), 0),
    "tolist": lambda w, x: w * max(x.tolist()),
    "asarray": lambda w, x: w * np.maximum(np.asarray(x), 0),
    "Tensor": lambda w, x: w * np.maximum(mg.Tensor(x), 0),
    "repr": lambda w, x: w * (2 if "-" in repr(x) else 3),
    "format": lambda w, x: w * (2 if "-" in f"{x[0]:.1f}" else 3),
    "allclose": lambda w, x: w * (2 if np.allclose(x, np.abs(x)) else 3),
    "array_equal": lambda w, x: w * (2 if np.array_equal(x, np.abs(x)) else 3),
    "grad": lambda w, x: w * (2 if w.grad is None else 3),
    "derivative": lambda w, x: w * mg.grad(np.sum(np.abs(w * x)), w)[0],
    "result": lambda w, x: w * np.maximum((w * x).data, 0),
    "in place": lambda w, x: w * np.add(x, 1, out=x),
    "in a list": lambda w, x: w * [x[0], x[1]],
    "in a list of arrays": lambda w, x: np.stack([w, [x[0], x[1]]]),
    "in a condition": lambda w, x: w * np.where([x[0] > 0, x[1] > 0], 2, 3),
    "in a call": lambda w, x: np.einsum("i,i->i", w, [x[0], x[1]]),
    "shift": lambda w, x: np.roll(w, int(x[0] > 0)),
    "unique": lambda w, x: w * len(np.unique(np.sign(x).numpy())),
    "mask": lambda w, x: np.exp(w[x > 0]) / w[x > 0].size,
    "argwhere": lambda w, x: np.exp(w[np.argwhere(x > 0)[:, 0]]) / len(np.argwhere(x > 0)),
}


@pytest.mark.parametrize("how", READING)
def test_values_that_leave_the_graph_are_refused(how):
    w = leaf([1.0, 2.0])
    message = refused(lambda x: np.sum(READING[how](w, x) * x.sum()), LATER, w)
    if "argwhere" not in how and "mask" not in how:
        assert f"{__file__}:" in message and f'"{how}": lambda w, x' in message


def test_the_warning_names_the_line_that_reads_first():
    w = leaf([1.0, 2.0])

    def function(x):
        first = x[0].item()
        return np.sum(w * x) * first * x[1].item()

    assert "first = x[0].item()" in refused(function, LATER, w)


def test_a_gradient_that_is_reset_inside_the_function_is_refused():
    w = leaf([1.0, 2.0])

    def function(x):
        w.grad = None
        return np.sum(w * x)

    step = mg.compile(function)
    with pytest.warns(UserWarning, match="`w.grad = None`"):
        for (x,) in LATER:
            step(x)
            assert w.grad.tolist() == x.tolist()


def no_gradient(w, x):
    with mg.no_grad():
        h = np.abs(w * x) + x
    return h * w


CUT = {
    "detach": lambda w, x: w * np.maximum(x * w.detach(), 0),
    "no_grad": no_gradient,
    "decorated": lambda w, x: w * mg.no_grad()(np.maximum)(x, w),
    "scale": lambda w, x: (w * x) / np.max(np.abs(w * x).detach()),
    "made inside": lambda w, x: w * x * mg.Tensor([2.0, 3.0]).numpy(),
    "constant": lambda w, x: w * (PLAIN * x + np.sqrt(PLAIN)),
    "like": lambda w, x: w * (np.ones_like(w) + np.zeros_like(x)),
}
PLAIN = mg.Tensor([2.0, 3.0], dtype=np.float64)


@pytest.mark.parametrize("how", CUT)
def test_what_has_no_gradient_is_computed_again(how):
    w = normal_leaf(2)

    def function(x):
        PLAIN.data[...] = np.abs(x.data) if isinstance(x, str) else PLAIN.data
        return np.sum(CUT[how](w, x))

    step = assert_same(of_leaves(lambda x: np.sum(CUT[how](w, x)), w), LATER)
    assert [p.refusal for p in step.programs] == [None]


def test_a_leaf_of_another_kind_makes_a_new_program():
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(w * x) * len(w) * w.dtype.itemsize)
    kinds = np.ones(3), np.ones(3, np.float32), np.ones((3, 1), np.float32)
    for n, data in enumerate(kinds, 1):
        w.data = data
        for _ in range(4):
            w.grad = None
            assert step(np.ones(1)).item() == 9 * data.dtype.itemsize
            assert w.grad.shape == w.shape and w.grad.dtype == w.dtype
        assert len(step.programs) == n


def test_tensors_without_a_name_are_read_anew():
    w, rate = leaf([1.0, 2.0]), mg.Tensor(1.0, dtype=np.float64)
    step = mg.compile(lambda x: np.sum(w * x) * (rate + 1))
    for n in range(6):
        assert step(np.ones(2)).item() == 3 * (n + 2)
        rate += 1
    assert len(step.programs) == 1


class Schedule:
    def __init__(self):
        self.rates, self.state, self.table = [1.0], {"power": 1}, np.ones(2)
        self.scale = 1.0

    def loss(self, x):
        return (
            np.sum((w_of_schedule * x) ** self.state["power"] * self.table)
            * self.scale
            * self.rates[0]
            * factor
        )


w_of_schedule, factor = leaf([1.0, 2.0]), 1.0


def test_what_python_reads_beside_the_arguments_makes_a_new_program():
    global factor
    schedule, near = Schedule(), 1.0

    def change_near():
        nonlocal near
        near = 5.0

    def change_factor():
        global factor
        factor = 3.0

    def nothing():
        pass

    def in_place():
        schedule.table *= 2

    step = mg.compile(lambda x: schedule.loss(x) * near)
    changes = [nothing, change_near, change_factor, in_place]
    changes += [lambda: schedule.rates.__setitem__(0, 2.0), lambda: schedule.state.update(power=2)]
    changes += [lambda: setattr(schedule, "scale", 0.5)]
    for n, change in enumerate(changes, 1):
        change()
        for (x,) in LATER:
            w_of_schedule.grad = None
            loss, gradient = step(x).item(), w_of_schedule.grad.tolist()
            w_of_schedule.grad = None
            right = schedule.loss(mg.Tensor(x, name="x")) * near
            right.backward()
            assert (loss, gradient) == (right.item(), w_of_schedule.grad.tolist())
        assert len(step.programs) == n
    factor = 1.0


class Scaled(nn.Module):
    def __init__(self):
        self.w, self.drop = nn.Parameter(np.ones(2)), nn.Dropout(1.0)

    def forward(self, x):
        return np.sum(self.drop(self.w) * x) * factor


def test_what_a_module_reads_makes_a_new_program_however_it_is_found():
    global factor
    holder = type("Holder", (), {})()
    holder.model = Scaled()
    step = mg.compile(lambda x: getattr(holder, "mod" + "el")(x))
    for factor, is_training in (1.0, True), (1.0, False), (4.0, False):
        holder.model.train(is_training)
        for _ in range(4):
            assert step(np.ones(2)).item() == (0 if is_training else 2 * factor)
    assert [p.refusal for p in step.programs] == [None] * 3
    factor = 1.0


def test_a_change_of_a_default_makes_a_new_program():
    w, rates = leaf([1.0, 2.0]), [1.0]

    def function(x, rates=rates, *, scale=1.0):
        return np.sum(w * x) * rates[0] * scale

    step = mg.compile(function)
    for n in range(1, 4):
        rates[0], function.__kwdefaults__["scale"] = float(n // 2), float(n)
        for _ in range(4):
            assert step(np.ones(2)).item() == 3 * (n // 2) * n
        assert len(step.programs) == n


class Plain:
    def __init__(self):
        self.scale = 1.0


class Slotted:
    __slots__ = ("scale",)


class WithDict(Slotted):
    pass


class ByItem(Plain):
    def __getitem__(self, key):
        return vars(self)[key]


class ByAttribute(Plain):
    def __getattr__(self, name):
        if name != "rate":
            raise AttributeError(name)
        return self.scale


def config(name):
    """A module of the user's, with a number and a function that reads it."""
    module = types.ModuleType(name)
    exec("scale = 1.0\ndef scaled(x): return x * scale", vars(module))
    return module


def scale_of(held):
    return held.scale


HOLDERS = {  # what holds a number `scale`: (it, how a function reads the number)
    "a module": (config("cfg"), lambda c: c.scale),
    "a function of a module": (config("cfg"), lambda c: c.scaled(1.0)),
    "getattr": (Plain(), lambda c: getattr(c, "scale")),  # noqa: B009
    "vars": (Plain(), lambda c: vars(c)["scale"]),
    "attrgetter": (Plain(), lambda c: operator.attrgetter("scale")(c)),
    "__getitem__": (ByItem(), lambda c: c["scale"]),
    "__getattr__": (ByAttribute(), lambda c: c.rate),
    "slots of a base": (WithDict(), lambda c: c.scale),
    "an attribute of a function": (scale_of, lambda c: c.scale),
    "a class": (type("Own", (), {"scale": 1.0}), lambda c: c.scale),
}


@pytest.mark.parametrize("held, read", HOLDERS.values(), ids=HOLDERS)
def test_a_number_makes_a_new_program_wherever_it_is_held(held, read):
    for how in ("around", "argument"):
        held.scale, w = 1.0, leaf([1.0, 2.0])
        around = mg.compile(lambda x, w=w: np.sum(w * x) * read(held))
        given = mg.compile(lambda x, held, w=w: np.sum(w * x) * read(held))
        for scale in (1.0, 3.0):
            held.scale = scale
            for _ in range(4):
                loss = around(np.ones(2)) if how == "around" else given(np.ones(2), held)
                assert loss.item() == 3 * scale
        assert [p.refusal for p in (around if how == "around" else given).programs] == [None] * 2


class WithRate:
    rate = 1.0


class Penalised(nn.Module):
    def __init__(self):
        self.w = nn.Parameter(np.ones(2))

    def forward(self, x):
        return np.sum(self.w * x) + self.penalty()

    def own_penalties(self):  # minigrad calls it
        yield nn.L1(factor), [self.w]


class Missing(dict):
    def __missing__(self, key):  # Python calls it
        return factor


class Descriptor:
    def __get__(self, holder, kind):
        return factor


class WithDescriptor:
    rate = Descriptor()


class Entered:
    def __enter__(self):
        return factor

    def __exit__(self, *error):
        pass


def by_entering(plain):
    with plain.entered as rate:
        return rate


class Made:
    def __init__(self):
        self.rate = factor


class Long(list):
    def rate(self):
        return factor


def by_import(plain):
    from its_own_module import scale

    return scale


def by_name(plain):
    try:
        return new_name
    except NameError:
        return 1.0


def one(plain):
    return 1.0


def set_global(**names):
    return lambda p, patch: [patch.setitem(globals(), *named) for named in names.items()]


NEW = {  # what changes: (how a function of a Plain reads 1, how a later change makes it 3)
    "a new attribute": (
        lambda p: getattr(p, "late", 1.0),
        lambda p, patch: vars(p).update(late=3.0),
    ),
    "the attribute of a class": (lambda p: p.at.rate, lambda p, patch: vars(p.at).update(rate=3.0)),
    "a new attribute of a class": (
        lambda p: getattr(p.at, "late", 1.0),
        lambda p, patch: patch.setattr(WithRate, "late", 3.0, raising=False),
    ),
    "the first item": (lambda p: 1.0 + sum(p.items), lambda p, patch: p.items.append(2.0)),
    "a new global": (by_name, set_global(new_name=3.0)),
    "a name of Python": (lambda p: abs(1.0), set_global(abs=lambda x: 3.0)),
    "an import": (by_import, lambda p, patch: setattr(p.module, "scale", 3.0)),
    "a method of a module": (lambda p: p.model(np.zeros(2)) / 2, set_global(factor=3.0)),
    "a function without a module": (
        lambda p: p.function(),
        lambda p, patch: p.function.__globals__.update(scale=3.0),
    ),
    "a function inside": (lambda p: (lambda: factor)(), set_global(factor=3.0)),
    "a descriptor": (lambda p: p.described.rate, set_global(factor=3.0)),
    "a block": (by_entering, set_global(factor=3.0)),
    "an object that is made": (lambda p: Made().rate, set_global(factor=3.0)),
    "a method of a long list": (lambda p: p.long.rate(), set_global(factor=3.0)),
    "a method of a dict": (lambda p: p.missing["rate"], set_global(factor=3.0)),
    "the code of a function": (
        one,
        lambda p, patch: patch.setattr(one, "__code__", (lambda p: 3.0).__code__),
    ),
}


@pytest.mark.parametrize("what", NEW)
def test_what_was_not_there_makes_a_new_program(what, monkeypatch):
    plain, w, (read, change) = Plain(), leaf([1.0, 2.0]), NEW[what]
    plain.at, plain.items, plain.missing, plain.model = WithRate(), [], Missing(), Penalised()
    plain.module, plain.long = config("its_own_module"), Long(range(2000))
    monkeypatch.setitem(sys.modules, "its_own_module", plain.module)
    plain.described, plain.entered = WithDescriptor(), Entered()
    exec("def function(): return scale", space := {"scale": 1.0})
    plain.function = space["function"]
    step = mg.compile(lambda x: np.sum(w * x) * read(plain))
    for right in 3.0, 9.0:
        assert [step(np.ones(2)).item() for _ in range(4)] == [right] * 4
        change(plain, monkeypatch)
    assert [p.refusal for p in step.programs] == [None] * 2


def test_numbers_that_are_equal_and_differ_make_new_programs():
    w, near = leaf([1.0, 2.0]), 0.0
    step = mg.compile(lambda x, s: np.sum(w * x * (1.0 if s is True else 2.0)))
    around = mg.compile(lambda x: np.sum(x / np.float64(near) * w))
    given = mg.compile(lambda x, s: np.sum(x / np.float64(s[0]) * w))
    with np.errstate(divide="ignore"):
        for setting, near in ((1, 0.0), (True, -0.0)):
            for _ in range(4):
                assert step(np.ones(2), setting).item() == (3 if setting is True else 6)
                assert around(np.ones(2)).item() == given(np.ones(2), (near,)).item()
                assert given(np.ones(2), (near,)).item() == np.copysign(np.inf, near)
                assert given(np.ones(2), (np.float32(near),)).item() == np.copysign(np.inf, near)


def test_a_small_array_of_another_shape_makes_a_new_program():
    w, table = leaf([[1.0], [2.0]]), np.arange(6.0).reshape(2, 3)
    step = mg.compile(lambda x: np.sum(w[: len(table)] * x) + table[0].sum())
    for shape, right in (((2, 3), 6), ((1, 6), 16)):
        table.shape = shape
        assert [step(np.ones((1, 1))).item() for _ in range(4)] == [right] * 4


def test_what_only_plain_tensors_can_do_is_refused():
    w, counts = leaf([1.0, 2.0]), mg.Tensor(np.array([1, 2]))
    step = mg.compile(lambda x: np.sum(np.repeat(w * x, counts)))
    with pytest.warns(UserWarning, match="eager: TypeError.*repeat: the repeats belong to a graph"):
        assert [step(np.ones(2)).item() for _ in range(4)] == [5.0] * 4


def test_a_function_that_reads_hidden_state_is_refused():
    w, rate, data = leaf([1.0, 2.0]), contextvars.ContextVar("rate", default=1.0), bytearray(b"a")
    for read in (lambda: rate.get(), lambda: data[0]):
        step = mg.compile(lambda x, read=read: np.sum(w * x) * read())
        with pytest.warns(UserWarning, match="eager: TypeError.*an iterator or the like"):
            for n in range(1, 5):
                data[0] = n
                rate.set(n)
                assert step(np.ones(2)).item() == 3 * n


def test_a_function_that_reads_an_iterator_is_refused():
    w, rates = leaf([1.0, 2.0]), iter(range(1, 9))
    step = mg.compile(lambda x: np.sum(w * x) * next(rates))
    with pytest.warns(UserWarning, match="eager: TypeError.*the function reads an iterator"):
        assert [step(np.ones(2)).item() for _ in range(8)] == [3 * n for n in range(1, 9)]


def test_what_the_function_does_not_read_may_change(monkeypatch):
    class Trainer:
        def __init__(self):
            self.history, self.steps, self.rate = [], 0, 2.0
            self.module, self.default = config("cfg"), object()
            self.module.steps = 0
            self.model = nn.Linear(2, 1)
            self.step = mg.compile(self.loss)

        def loss(self, x):
            return self.scaled(np.sum(self.model(x)))

        def scaled(self, loss):
            rate = getattr(self, "other_rate", self.default)
            return loss * (self.rate if rate is self.default else rate) * self.module.scale

        def train(self, x):
            self.steps += 1
            self.module.steps = self.steps
            monkeypatch.setattr(builtins, "_", self.steps, raising=False)  # as in a console
            self.history.append(self.step(x).item())

    trainer = Trainer()
    for rate in (2.0, 3.0):
        trainer.rate = rate
        for _ in range(6):
            trainer.train(np.ones((3, 2), np.float32))
    (first, *_), (second, *_) = trainer.history[:6], trainer.history[6:]
    assert second == pytest.approx(1.5 * first) and len(trainer.step.programs) == 2
    assert [p.refusal for p in trainer.step.programs] == [None, None]


def test_arrays_and_lists_of_more_than_1000_entries_are_data():
    for size, count in ((1000, 3), (1001, 1)):
        w, table, numbers = leaf([1.0, 2.0]), np.ones(size), [1.0] * size

        def function(x, n=numbers, t=table, w=w):
            return np.sum(w * x) * float(t[0]) * n[0]

        step = mg.compile(function, trials=0)
        for data in table, numbers, []:
            step(np.ones(2))
            data[:1] = [3.0]
        assert len(step.programs) == count


def test_a_step_within_a_function_is_refused():
    w = leaf([1.0, 2.0])
    inner = mg.compile(lambda x: np.sum(w * x))
    message = refused(lambda x: np.sum(w * w) * inner(x).item() + np.sum(w), LATER[:1], w)
    assert "inner(x).item()" in message


def test_tensors_are_as_before_when_a_function_was_watched():
    usual = {name: vars(mg.Tensor)[name] for name in ("data", "grad", "flags", "detach")}
    found, w = [], leaf([1.0, 2.0])

    def function(x):
        if x.ndim == 2:
            raise ZeroDivisionError
        assert vars(mg.Tensor)["data"] is not usual["data"]
        thread = threading.Thread(target=lambda: found.append(w.detach().data.sum()))
        thread.start()
        thread.join()
        return np.sum(w * x)

    step = mg.compile(function)
    step(np.ones(2))
    with pytest.raises(ZeroDivisionError):
        step(np.ones((2, 2)))
    assert found == [3] and [p.refusal for p in step.programs] == [None]
    assert all(vars(mg.Tensor)[name] is value for name, value in usual.items())
    assert mg.no_grad.value is False


def test_side_effects_are_refused():
    w, log, counts = leaf([1.0, 2.0]), [], {"steps": 0}
    model = nn.Linear(2, 1)

    def appends(x):
        log.append("a step")
        return np.sum(w * x)

    def counts_up(x):
        counts["steps"] += 1
        return np.sum(w * x)

    def sets(x):
        model.last = x * 2
        return np.sum(w * x)

    for function in (appends, counts_up, sets):
        step = mg.compile(function)
        with pytest.warns(UserWarning, match="changes a variable, an attribute or an item"):
            for (x,) in LATER:
                w.grad = None
                assert step(x).item() == np.sum(w.data * x)
    assert len(log) == counts["steps"] == len(LATER) and model.last.tolist() == [-8, 2]


def test_running_statistics_are_those_of_eager_mode():
    model, twin = (nn.BatchNorm1d(3, momentum=None) for _ in range(2))
    step = mg.compile(lambda x: np.mean(model(x)))
    with pytest.warns(UserWarning, match="changes other state"):
        for i in range(6):
            x = normal(4, 3, seed=i).astype(np.float32)
            step(x)
            twin(x)
            np.testing.assert_array_equal(model.running_mean, twin.running_mean)


def test_running_statistics_that_moved_make_a_new_program():
    model = nn.BatchNorm1d(3)
    step = mg.compile(lambda x: np.mean(np.square(model(x))))
    for i in range(8):
        x = normal(4, 3, seed=i).astype(np.float32)
        model.train(i >= 4 and i % 2 == 0)
        loss = step(x).item()
        if not model.training:
            assert loss == np.mean(np.square(model(x))).item()


def test_noise_that_minigrad_does_not_draw_is_refused():
    w, kept = leaf([1.0, 2.0]), {}
    rng = np.random.default_rng(0)

    def function(x):
        noise = mg.Tensor(rng.normal(size=2), name="noise")
        kept["noise"] = noise if x.ndim == 3 else None
        return np.sum(np.exp(w * noise) * x)

    step = mg.compile(function)
    with pytest.warns(UserWarning, match="from now on eager: the loss differs. A program cannot"):
        for arrays in LATER:
            step(*arrays)


FACTOR = 2.0


def test_own_ops_become_programs(own_registry, monkeypatch):
    def times(k):
        @op(x=lambda g, out, x: FACTOR * k * g)
        def scaled(x):
            return FACTOR * k * x if x.tolist() else x

        return scaled

    w, ops = leaf([1.0, 2.0]), [times(3.0), times(5.0), op(lambda x: 1 * x, x=lambda g, *xs: g)]
    step = mg.compile(lambda: sum(np.sum(np.sin(f(w))) for f in ops))
    for factor in 2.0, 0.5:
        monkeypatch.setitem(globals(), "FACTOR", factor)
        for _ in range(5):
            w.grad = None
            loss, gradient = step(), w.grad
            w.grad = None
            eager = step.function()
            eager.backward()
            np.testing.assert_array_equal(loss, eager.detach())
            np.testing.assert_array_equal(gradient, w.grad)
    assert [p.refusal for p in step.programs] == [None, None]


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


def test_a_rule_that_makes_arrays_of_numpy_is_refused():
    @op(x=lambda g, out, x: np.asarray(g, float) * 3)
    def tripled(x):
        return 3 * x

    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(tripled(w) * x))
    with pytest.warns(UserWarning, match="TypeError.* a rule has `@op.*np.asarray"):
        step(np.ones(2))
    w.grad = None
    assert step(np.ones(2)).item() == 9 and w.grad.tolist() == [3, 3]
    assert "# eager" in str(step)


def test_a_rule_that_reads_values_is_refused():
    @op(x=lambda g, out, x: g * (2 if np.max(x) > 0 else 3))
    def kept(x):
        return x + 0.0

    w = leaf([1.0, 2.0])
    message = refused(lambda x: np.sum(kept(w * x.sum())), LATER, w)
    assert "a rule has `@op(x=lambda g, out, x: g * (2 if np.max(x) > 0 else 3))`" in message


def test_a_rule_of_minigrad_that_reads_values_is_refused():
    names = {"__name__": "minigrad.own", "np": np}
    exec("rule = lambda g, out, x: g * (2 if np.max(x) > 0 else 3)", names)
    kept, w = op(lambda x: x + 0.0, x=names["rule"]), leaf([1.0, 2.0])
    assert "a rule has " in refused(lambda x: np.sum(kept(w * x.sum())), LATER, w)


def test_arguments_that_are_no_data_are_refused():
    step = mg.compile(lambda x: np.sum(x))
    with pytest.raises(TypeError, match="or requires a gradient"):
        step(leaf([1.0]))
    with pytest.raises(TypeError, match="an argument is a list"):
        step([1.0, 2.0])
    w = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="has shape"):
        mg.compile(lambda: w * 2)()
    step = mg.compile(lambda: np.sum(w))
    with mg.no_grad(), pytest.raises(RuntimeError, match="made under no_grad"):
        step()


def test_a_function_that_is_no_loss_is_refused():
    w = leaf([1.0, 2.0])

    def calls_backward(x):
        loss = np.sum(w * x)
        loss.backward()
        return loss

    for function in (calls_backward, lambda x: (np.sum(w * x), x), lambda x: None):
        with pytest.raises(TypeError, match="the function returns the loss"):
            mg.compile(function)(np.ones(2))
    with pytest.raises(TypeError, match="give a function that returns the loss, not Tensor"):
        mg.compile(np.sum(w))
    step = mg.compile(lambda x: np.sum(w * x))
    with pytest.raises(RuntimeError, match="a compiled step, which has called backward itself"):
        step(np.ones(2)).backward()


def test_the_traceback_of_an_error_shows_the_line_of_the_program():
    w = normal_leaf(4, 3)
    step = mg.compile(lambda x: np.sum(np.exp(w[x])))
    for i in range(4):
        step(np.array([i, 0]))
    before = w.grad.data.copy()
    with pytest.raises(IndexError, match="index 9 ") as caught:
        step(np.array([9, 0]))
    assert " exp = np.exp(" in "".join(traceback.format_exception(caught.value))
    np.testing.assert_array_equal(w.grad.data, before)


def test_wrong_arguments_give_the_error_of_the_function():
    model = nn.Linear(2, 3)
    step = mg.compile(lambda x, y: F.cross_entropy(model(x), y))
    x = normal(4, 2).astype(np.float32)
    for _ in range(4):
        step(x, np.array([0, 1, 2, 0]))
    with pytest.raises(ValueError, match=r"cross_entropy: the target has classes 0\.\.3"):
        step(x, np.array([0, 1, 2, 3]))
    assert [p.refusal for p in step.programs] == [None]


def test_detect_anomaly_looks_at_a_compiled_step_too():
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(np.log(w * x)))
    for _ in range(4):
        step(np.ones(2))
    error = pytest.raises(RuntimeError, match="log")
    with np.errstate(invalid="ignore"), error, mg.detect_anomaly():
        step(-np.ones(2))


def test_an_error_of_the_arguments_is_no_refusal():
    w = normal_leaf(4, 3)
    step = mg.compile(lambda x: np.sum(np.exp(w[x])))
    step(np.array([0, 0]))
    with pytest.raises(IndexError, match="index 9 "):
        step(np.array([9, 0]))
    for i in range(3):
        step(np.array([i, 0]))
    assert [(p.refusal, p.trials) for p in step.programs] == [(None, 0)]


def test_overflow_raises_if_numpy_is_set_to_raise():
    w = leaf([1.0, 2.0])
    step = mg.compile(lambda x: np.sum(w * np.exp(x)))
    with np.errstate(over="raise"):
        for _ in range(4):
            step(np.ones(2))
        assert "# eager" not in str(step)
        with pytest.raises(FloatingPointError, match="overflow encountered in exp"):
            step(np.full(2, 1000.0))


def test_an_op_that_ignores_overflow_ignores_it_in_a_program_too():
    w = leaf([-1.0, 1.0])
    step = mg.compile(lambda x: np.sum(F.sigmoid(w * x)))
    with np.errstate(over="raise"):
        for _ in range(4):
            step(np.ones(2))
        assert step(np.full(2, 1000.0)).item() == 1 and "# eager" not in str(step)


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
    assert text.startswith("def run(x, y, fc_weight, fc_bias):\n    scores = ")
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
    (p,) = step.programs
    gc.collect()
    arrays = [x for x in gc.get_objects() if isinstance(x, mg.Tensor) and x.shape == (1000,)]
    assert {id(x) for x in arrays} == {id(x) for x in p.inputs} | {id(w.grad)}
    files = [name for name in linecache.cache if name.startswith("<program ")]
    (file,) = [name for name in files if "".join(linecache.getlines(name)) == p.text]
    del step, p
    gc.collect()
    assert file not in linecache.cache


def of_no_argument():
    return np.sum(mg.Tensor([1.0], True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_a_step_writes_its_programs_anew(copied):
    step = mg.compile(of_no_argument, trials=7)
    step()
    other = copied(step)
    assert (other.function, other.trials, other.programs) == (of_no_argument, 7, [])
    assert other().item() == 1 and len(step.programs) == len(other.programs) == 1

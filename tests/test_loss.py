"""A loss and its terms: the ledger, and warnings of a weight that is penalised twice."""

import math
import warnings

import numpy as np
import pytest
from helpers import normal_leaf
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.drawing import describe
from minigrad.engine import Tensor
from minigrad.loss import addends
from minigrad.noise import Normal

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


# ------------------------------------------------------------------------------------------- ledger


def model_and_loss(dtype=np.float64):
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 5, penalty=nn.L2(0.01), dtype=dtype),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Linear(5, 3, penalty=nn.L1(0.02), dtype=dtype),
    )
    x = Tensor(np.random.default_rng(0).standard_normal((6, 4)).astype(dtype))
    return model, F.cross_entropy(model(x), np.array([0, 1, 2, 0, 1, 2])) + model.penalty()


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_the_ledger_names_each_term_with_its_value_gradient_and_parameters(dtype, rtol):
    model, loss = model_and_loss(dtype)
    data, l2, l1 = mg.terms(loss)
    assert [t.name for t in (data, l2, l1)] == [
        "cross_entropy",
        "l2_penalty(c=0.01)",
        "l1_penalty(c=0.02)",
    ]
    assert (
        data.parameters == ("0.weight", "0.bias", "3.weight", "3.bias")
        and l2.parameters == ("0.weight",)
        and l1.parameters == ("3.weight",)
    )
    w, v = model[0].weight.data, model[3].weight.data
    assert l2.value == pytest.approx(
        0.01 * np.sum(w**2), rel=rtol
    ) and l2.gradient == pytest.approx(0.02 * np.linalg.norm(w), rel=rtol)
    assert l1.value == pytest.approx(
        0.02 * np.sum(abs(v)), rel=rtol
    ) and l1.gradient == pytest.approx(0.02 * math.sqrt(v.size), rel=rtol)
    assert sum(t.value for t in (data, l2, l1)) == pytest.approx(loss.item(), rel=rtol)
    assert sum(t.share for t in (data, l2, l1)) == pytest.approx(1, rel=rtol)
    assert l1.share == l1.value / loss.item()


def test_the_ledger_changes_nothing():
    model, loss = model_and_loss()
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    plain = mg.grad(loss, list(model.parameters()), retain_graph=True)
    mg.terms(loss, optim.SGD(model.parameters()))
    assert all(
        p.grad is None and np.array_equal(p.data, before[name])
        for name, p in model.named_parameters()
    )
    loss.backward()
    assert all(np.array_equal(p.grad.data, g.data) for p, g in zip(model.parameters(), plain))
    with pytest.raises(RuntimeError, match="terms: the graph was freed by backward"):
        mg.terms(loss)
    assert all(p.grad is not None for p in model.parameters())


def test_the_ledger_as_a_table():
    w, x = (
        Tensor(np.array([1.0, -2.0]), True, name="w"),
        Tensor(np.array([3.0, -2.0]), True, name="x"),
    )
    lines = str(mg.terms(F.mse_loss(w, x) + 0.5 * F.group_l2(w, c=0.1, axis=0) + 5)).splitlines()
    assert [line.split() for line in lines[:1] + lines[2:5] + lines[6:]] == [
        ["term", "value", "share", "|gradient|", "by"],
        ["mse_loss", "2", "28.1%", "2.83", "w,", "x"],
        ["0.5", "*", "group_l2(c=0.1,", "axis=0)", "0.111803", "1.6%", "0.05", "w"],
        ["constant", "5", "70.3%", "0"],
        ["loss", "7.1118"],
    ]
    many = sum(np.sum(normal_leaf(2, name=f"p{i}")) for i in range(2)) + np.sum(
        np.concatenate([normal_leaf(1, name=f"q{i}") for i in range(7)])
    )
    assert "q0, q1, q2, q3 and 3 more" in str(mg.terms(many))


def test_terms_are_read_through_sums_signs_and_multiples_and_no_further():
    w = Tensor(np.array([1.0, -2.0]), True, name="w")
    data, penalty = F.mse_loss(w, np.zeros(2)), F.l2_penalty(w, c=0.1)  # 2.5 and 0.5
    scale = Tensor(np.array(3.0))
    loss = (
        -(-(2 * (data + penalty / 4) - scale * penalty) / np.float64(0.5))
        + +data
        - 1
        + np.array(4.0)
    )
    found = {t.name: t.value for t in mg.terms(loss)}
    assert found == pytest.approx(
        {"5 * mse_loss": 12.5, "-5 * l2_penalty(c=0.1)": -2.5, "constant": 3.0}
    )
    assert loss.item() == pytest.approx(13)
    for inner in (
        penalty * penalty,
        penalty / data,
        1 / penalty,
        np.exp(penalty),
        penalty**1,
    ):
        with pytest.warns(UserWarning, match="l2_penalty stands inside another term of the loss"):
            assert [t.name for t in mg.terms(data + inner)] == ["mse_loss", inner.op.name]
    assert [t.name for t in mg.terms(data + 0 * penalty)] == ["mse_loss", "0 * l2_penalty(c=0.1)"]


def test_what_an_array_is_made_of_is_one_term():
    w = Tensor(np.array([1.0, -2.0, 0.5]), True, name="w")
    e, p = (w - np.arange(3.0)) ** 2, F.l2_penalty(w, c=0.1)
    with pytest.warns(UserWarning, match="l2_penalty stands inside another term of the loss"):
        found = mg.terms((e + p).mean() / 2 + p)
    assert [t.name for t in found] == ["l2_penalty(c=0.1)", "0.5 * mean"]
    assert (
        warned(np.stack([e.sum(), p, p]).sum())
        == warned((e + p).sum())
        == ["l2_penalty stands inside another term of the loss. Add it as a term of its own."]
    )


def test_terms_that_are_leaves_or_data_or_noise():
    a = Tensor(np.array(2.0), True, name="a")
    noise = mg.Noise(Normal(1.0, 0.1), (), np.dtype(float))
    found = mg.terms(3 * a + Tensor(np.array(1.0)) + noise + np.sum(a * np.ones(2)))
    assert [t.name for t in found] == ["3 * a", "noise", "data", "sum"]
    assert [t.gradient for t in found] == [3, 0, 0, 2] and [t.parameters for t in found] == [
        ("a",),
        (),
        (),
        ("a",),
    ]
    assert [t.name for t in mg.terms(a)] == ["a"]
    (row,) = mg.terms((a * a).reshape(1, 1))
    assert row.value == 4


def test_the_ledger_does_not_depend_on_the_order_of_the_sum():
    w = normal_leaf(2, 2, name="w")
    parts = [F.mse_loss(w, np.zeros((2, 2))), F.l1_penalty(w, c=0.1), F.l2_penalty(w, c=0.2)]
    rows = [
        [(t.name, t.value, t.gradient) for t in mg.terms(loss)]
        for loss in (sum(parts), sum(parts[::-1]), parts[1] + (parts[2] + parts[0]))
    ]
    assert rows[0] == rows[1] == rows[2]


COMBINATIONS = [
    lambda x, y, k: x + y,
    lambda x, y, k: x - y,
    lambda x, y, k: -x,
    lambda x, y, k: +x,
    lambda x, y, k: k * x,
    lambda x, y, k: x / k,
    lambda x, y, k: k + x,
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_sums_add_up(data):
    """Sums, differences, signs and multiples of terms, nested in any way: the ledger adds up, and
    so do the gradients.
    """
    w = normal_leaf(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = [
            np.sum(np.tanh(w) ** 2),
            F.l1_penalty(w, c=0.1),
            F.l2_penalty(w, c=0.2),
            F.group_l2(w, c=0.3),
            F.mse_loss(w, np.ones((2, 3))),
        ]
        for _ in range(data.draw(st.integers(1, 8))):
            x, y = data.draw(st.sampled_from(pool)), data.draw(st.sampled_from(pool))
            k = data.draw(st.floats(-3, 3).filter(lambda k: abs(k) > 1e-3))
            pool.append(data.draw(st.sampled_from(COMBINATIONS))(x, y, k))
        loss = pool[-1]
        found = mg.terms(loss)
        size = sum(abs(t.value) for t in found)
        assert sum(t.value for t in found) == pytest.approx(loss.item(), abs=1e-12 * max(size, 1))
        parts = [p for p in addends(loss) if p.node.requires_grad]
        (together,) = mg.grad(
            [p.node for p in parts], w, [np.array(p.factor) for p in parts], retain_graph=True
        )
        (whole,) = mg.grad(loss, w)
        np.testing.assert_allclose(
            together.data,
            whole.data,
            rtol=0,
            atol=1e-11 * max(1, max(abs(p.factor) for p in parts)),
        )


def test_sixty_doublings_are_read_at_once():
    y = F.l2_penalty(normal_leaf(2), c=0.1)
    for _ in range(60):
        y = y + y
    (part,) = addends(y)
    assert part.factor == 2.0**60 == part.times


def test_a_parameter_is_named_after_itself_its_module_or_the_argument_it_is():
    layer = nn.Linear(2, 2, dtype=np.float64)
    named, a, b, c = normal_leaf(2, name="mine"), normal_leaf(2), normal_leaf(2), normal_leaf(3)
    (t,) = mg.terms(np.sum(layer(Tensor(np.ones((1, 2))))) * np.sum(named * a * b) * np.sum(c))
    assert set(t.parameters) == {"weight", "bias", "mine", "parameter#1", "parameter#2", "x"}


def test_a_loss_has_one_entry():
    with pytest.raises(ValueError, match=r"terms: a loss has one entry, not shape \(2,\)"):
        mg.terms(normal_leaf(2) * 2)


def test_the_picture_shows_what_the_ledger_says():
    w = Tensor(np.array([1.0, -2.0]), True)
    loss = (F.mse_loss(w, np.array([3.0, -2.0])) + F.elastic_net(w, l1=0.1, l2=0.1)) / 2 - -(
        F.group_l2(w, c=0.4, axis=0) * 0.5
    )
    drawn, _ = describe(loss)
    root = next(n for n in drawn if n.is_root)
    told = {
        t.name.split("* ")[-1].split("(")[0].replace("_", " "): f"{t.share:.0%}"
        for t in mg.terms(loss)
    }
    shown = [row.text for row in root.rows if "%" in row.text]
    assert sorted(told) == ["elastic net", "group l2", "mse loss"] and len(shown) == 3
    assert all(
        any(line.startswith(name) and line.endswith(f"({share})") for line in shown)
        for name, share in told.items()
    )
    penalties = [n for n in drawn if n.kind == "penalty"]
    assert [n.title for n in penalties] == ["elastic net", "group l2"]
    assert all(
        any(row.text == f"{told[n.title]} of the loss" for row in n.rows) for n in penalties
    )  # half of each stands in the loss


# ----------------------------------------------------------------------------------------- warnings


def warned(loss, optimizer=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mg.terms(loss, optimizer)
    assert all(w.category is UserWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_the_same_penalty_twice_on_a_parameter_is_a_warning():
    w, data = normal_leaf(2, 2, name="w"), np.sum(normal_leaf(2))
    reg = F.l2_penalty(w, c=0.1)
    assert warned(data + reg + F.l2_penalty(w, c=0.3)) == [
        "w is penalised 2 times: l2_penalty(c=0.1) and l2_penalty(c=0.3). Keep one."
    ]
    assert warned(data + reg + reg) == ["w is penalised 2 times: 2 * l2_penalty(c=0.1). Keep one."]
    assert warned(data + reg + F.elastic_net(w, l1=1.0, l2=0.2) + F.l2_penalty(w, c=0.1)) == [
        "w is penalised 3 times: l2_penalty(c=0.1) and elastic_net(l1=1, l2=0.2) and "
        "l2_penalty(c=0.1). Keep one."
    ]
    assert "2 times" in warned(F.l1_penalty(w, w, c=0.1))[0]
    assert "2 times" in warned(F.group_l2(w, c=0.1) + F.group_l2(w, c=0.1, axis=-1))[0]


def test_penalties_that_do_not_meet_are_no_cause_for_a_warning():
    v, w, data = (
        normal_leaf(2, 2, name="v"),
        normal_leaf(2, 2, name="w"),
        [np.sum(normal_leaf(2)), np.sum(normal_leaf(2, seed=1))],
    )
    assert not warned(data[0] + F.l2_penalty(v, c=0.1) + F.l2_penalty(w, c=0.1))  # two parameters
    assert not warned(
        F.l1_penalty(w, c=0.1)
        + F.l2_penalty(w, c=0.1)
        + F.group_l2(w, c=0.1)
        + F.group_l2(w, c=0.1, axis=0)
    )  # of different kinds
    assert not warned(
        F.elastic_net(w, l1=0.0, l2=0.1) + F.l1_penalty(w, c=0.1) + F.l2_penalty(w, c=0.0)
    )  # coefficients of 0
    assert not warned(F.l2_penalty(w, c=0.1) - F.l2_penalty(w, c=0.05))
    assert not warned(3 * (data[0] + F.l2_penalty(w, c=0.1)))
    assert not warned(
        (data[0] + F.l2_penalty(w, c=0.1)) / 2 + (data[1] + F.l2_penalty(w, c=0.1)) / 2
    )  # a mean of two losses
    reg = F.l2_penalty(w, c=0.1)
    assert not warned(0.3 * (data[0] + reg) + 0.7 * (data[1] + reg))


OPTIMIZERS = {"SGD": (optim.SGD, {}), "Adam": (optim.Adam, {}), "AdamW": (optim.AdamW, {})}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_l2_in_the_loss_and_decay_in_the_optimizer_is_a_warning(name):
    make, settings = OPTIMIZERS[name]
    model, loss = model_and_loss()
    optimizer = make(model.parameters(), weight_decay=0.01, **settings)
    said = [
        f"0.weight is decayed twice: l2_penalty(c=0.01) of the loss and {name}(weight_decay=0.01). Keep one."
    ]
    assert (
        warned(loss, optimizer) == said
        and warned(loss, [optim.SGD(model.parameters()), optimizer]) == said
    )
    assert warned(loss) == []
    w = model[3].weight
    assert (
        "3.weight is decayed twice: elastic_net(l1=0.1, l2=0.2) of the loss"
        in warned(loss + F.elastic_net(w, l1=0.1, l2=0.2), optimizer)[-1]
    )


def test_decay_without_l2_and_l2_without_decay_are_no_cause_for_a_warning():
    model, loss = model_and_loss()
    model.eval()  # in training, terms also says which penalties a loss lacks
    decaying = optim.SGD(model.parameters(), weight_decay=0.01)  # alive, but not the one in use
    assert not warned(loss, optim.SGD(model.parameters())) and not warned(
        loss, optim.Adam(model.parameters(), weight_decay=0.0)
    )
    assert not warned(loss, optim.ProximalSGD(model.parameters()))
    decayed_elsewhere = [
        {"params": [model[0].weight], "weight_decay": 0.0},
        {"params": [model[3].weight, model[0].bias]},
    ]
    assert not warned(loss, optim.SGD(decayed_elsewhere, weight_decay=0.1))
    x = Tensor(np.ones((2, 4)))
    assert not warned(
        np.sum(model(x))
        + F.elastic_net(model[0].weight, l1=0.1, l2=0.0)
        + F.l1_penalty(model[3].weight, c=0.1),
        decaying,
    )
    assert not warned(
        np.sum(model(x)) + F.l2_penalty(np.tanh(model[0].weight), c=0.1), decaying
    )  # of activations


def test_a_term_without_a_gradient_pulls_at_nothing():
    w = normal_leaf(3)
    data, count = mg.terms((w * w).sum() + 0.1 * (w != 0).sum())
    assert data.gradient > 0 and count.gradient == 0 and count.value == pytest.approx(0.3)


def test_a_declared_penalty_that_the_loss_lacks_is_a_warning():
    mg.manual_seed(0)
    model = nn.Sequential(
        first=nn.Linear(2, 3, penalty=nn.L2(0.1), bias_penalty=nn.L1(lambda step: 0.1)),
        second=nn.Linear(3, 1, penalty=nn.L2(0.1)),
    )
    x = ones(4, 2)
    said = [
        "the loss does not contain the penalty L2(0.1) of first.weight, second.weight. "
        "Add model.penalty() to it.",
        "the loss does not contain the penalty L1(<lambda>) of first.bias. "
        "Add model.penalty() to it.",
    ]
    assert warned(np.mean(model(x) ** 2)) == said
    assert warned(np.mean(model(x) ** 2) + model.penalty(step=0)) == []
    assert warned(np.mean(model(x) ** 2) + 0.5 * nn.L2(0.1)(model.first.weight)) == [
        said[1],
        said[0].replace("first.weight, ", ""),
    ]
    assert warned(np.mean(model.first(x) ** 2))[0].endswith("of weight. Add model.penalty() to it.")
    picture = mg.to_text(np.mean(model(x) ** 2))
    assert "without L2(0.1) of first.weight, second.weight" in picture
    assert "without L1(<lambda>) of first.bias" in picture
    for loss in np.mean(model(x) ** 2) + model.penalty(step=0), model(x), model.eval()(x).mean():
        assert "without" not in mg.to_text(loss)


def ones(*shape):
    return Tensor(np.ones(shape, np.float32))


@pytest.mark.parametrize("name", ["replaced", "added", "made before", "another model"])
def test_a_layer_that_no_optimizer_trains_is_a_warning(name):
    model, late = nn.Sequential(a=nn.Linear(2, 2), b=nn.Linear(2, 2)), nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters())
    names = ["b.weight, b.bias"]
    if name == "replaced":
        model.b = nn.Linear(2, 2)
    elif name == "added":
        model = nn.Sequential(a=model.a, b2=model.b, b=nn.Linear(2, 2))
    elif name == "made before":
        model.b = late
    else:
        optimizer = optim.SGD(late.parameters())
        names = ["a.weight, a.bias, b.weight, b.bias"]
    loss = model(ones(1, 2)).sum()
    assert warned(loss, optimizer) == [
        f"the loss depends on {names[0]}, which no optimizer trains. Make the optimizer after the "
        "layers, or use optimizer.add_param_group."
    ]
    optimizer.add_param_group(
        {"params": [p for p in model.parameters() if p not in optimizer.state]}
    )
    assert warned(loss, optimizer) == []


def test_what_is_left_to_no_optimizer_on_purpose_is_no_cause_for_a_warning():
    model = nn.Sequential(a=nn.Linear(2, 2), b=nn.Linear(2, 2))
    head = optim.SGD(model.b.parameters())
    x = Tensor(np.ones((1, 2), np.float32), True)  # an input, newer than the optimizer
    assert warned(model(x).sum(), head) == [] == warned(model(x).sum())
    both = [head, optim.Adam(model.a.parameters())]
    assert warned(model(x).sum(), both) == []

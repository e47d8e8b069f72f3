"""Penalties: the nodes, the objects of nn, what optimizers make of them, and the ledger of a loss."""

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
from minigrad.graph import nodes
from minigrad.loss import addends
from minigrad.noise import Normal


def gradient(y, *xs):
    found = mg.grad(y, list(xs))
    return found[0].data if len(xs) == 1 else [g.data for g in found]


@pytest.fixture(autouse=True)
def warnings_are_errors():
    """No warning comes that a test does not ask for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


# --------------------------------------------------------------------------------------------- nodes


def test_the_elastic_net_is_l1_plus_l2():
    v, w = normal_leaf(2, 3), normal_leaf(4, seed=1)
    apart = F.l1_penalty(v, w, c=0.3) + F.l2_penalty(v, w, c=0.2)
    assert F.elastic_net(v, w, l1=0.3, l2=0.2).item() == pytest.approx(apart.item(), rel=1e-15)
    for a, b in zip(gradient(F.elastic_net(v, w, l1=0.3, l2=0.2), v, w), gradient(apart, v, w)):
        np.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize(
    "shape, axis, groups",  # the groups as lists of flat indices
    [
        ((2, 3), None, [[0, 1, 2], [3, 4, 5]]),
        ((2, 3), 1, [[0, 1, 2], [3, 4, 5]]),
        ((2, 3), 0, [[0, 3], [1, 4], [2, 5]]),
        ((2, 3), -2, [[0, 3], [1, 4], [2, 5]]),
        ((2, 3), (0, 1), [[0, 1, 2, 3, 4, 5]]),
        ((2, 3), (-1, 0), [[0, 1, 2, 3, 4, 5]]),
        ((2, 3), (), [[i] for i in range(6)]),
        ((2, 2, 2), None, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ((2, 2, 2), (0, 2), [[0, 1, 4, 5], [2, 3, 6, 7]]),
        ((3,), None, [[0], [1], [2]]),
        ((3,), 0, [[0, 1, 2]]),
        ((), None, [[0]]),
    ],
)
def test_a_group_norm_is_over_the_axes_inside_a_group(shape, axis, groups):
    w = normal_leaf(*shape)
    node = F.group_l2(w, c=0.7, axis=axis)
    norms = [np.linalg.norm(w.data.ravel()[g]) for g in groups]
    assert node.item() == pytest.approx(0.7 * sum(norms), rel=1e-14)
    expected = np.zeros(w.size)
    for g, norm in zip(groups, norms):
        expected[g] = 0.7 * w.data.ravel()[g] / norm
    np.testing.assert_allclose(gradient(node, w).ravel(), expected, rtol=1e-13)


def test_a_group_of_zeros_has_the_subgradient_zero_and_no_nan_in_any_derivative():
    w = Tensor(np.array([[0.0, 0.0], [0.6, -0.8]]), True)
    with np.errstate(all="raise"):
        assert mg.gradcheck(lambda w: F.group_l2(w, c=0.3), w)  # inside the slopes of its cone
        (first,) = mg.grad(F.group_l2(w, c=0.3), w, create_graph=True)
        assert first.data[0].tolist() == [0, 0]
        (second,) = mg.grad(np.sum(first * [[1.0, 2.0], [3.0, 4.0]]), w, create_graph=True)
        assert second.data[0].tolist() == [0, 0] and np.isfinite(second.data).all()
        (third,) = mg.grad(np.sum(second * second), w)
        assert third.data[0].tolist() == [0, 0] and np.isfinite(third.data).all()
        for shape in ((3, 0), (0, 3)):
            empty = Tensor(np.zeros(shape), True)
            assert gradient(F.group_l2(empty, c=1.0), empty).shape == shape


def test_norms_and_squared_norms_have_names_of_their_own():
    w = Tensor(np.array([[3.0, 4.0]]), True)
    assert F.group_l2(w, c=1.0).item() == 5 and F.l2_penalty(w, c=1.0).item() == 25


@pytest.mark.parametrize(
    "axis, error",
    [(2, "axis 2 is out of bounds"), ((0, 0), "duplicate"), ("x", "integer"), (1.5, "integer")],
)
def test_axes_that_are_none_are_refused(axis, error):
    with pytest.raises((ValueError, TypeError), match=rf"group_l2.*{error}"):
        F.group_l2(normal_leaf(2, 2), c=1.0, axis=axis)


def test_penalties_take_tensors_and_numbers_not_functions():
    w = normal_leaf(2)
    for f, coefficients in (
        (F.l2_penalty, {"c": 1.0}),
        (F.elastic_net, {"l1": 1.0, "l2": 1.0}),
        (F.group_l2, {"c": 1.0}),
    ):
        with pytest.raises(TypeError, match="pass the weights as Tensors"):
            f(lambda: w, **coefficients)
        with pytest.raises(
            TypeError, match="must be a number. The penalties of nn take functions of the step"
        ):
            f(w, **dict.fromkeys(coefficients, lambda step: 1.0))


def test_both_coefficients_of_the_elastic_net_are_checked():
    for wrong in ({"l1": -1.0, "l2": 1.0}, {"l1": 1.0, "l2": math.nan}):
        with pytest.raises(ValueError, match="elastic_net: the coefficient l[12] must be"):
            F.elastic_net(normal_leaf(2), **wrong)


# ------------------------------------------------------------------------------------------- objects

OBJECTS = [
    nn.L1(0.5),
    nn.L2(0.5),
    nn.ElasticNet(0.5, 0.25),
    nn.GroupL2(0.5),
    nn.GroupL2(0.5, axis=0),
    nn.GroupL2(0.5, (0, 1)),
]


def test_objects_are_functions_of_weights_and_equal_if_they_do_the_same():
    v, w = normal_leaf(2, 3), normal_leaf(3, 2, seed=1)
    expected = [
        F.l1_penalty(v, w, c=0.5),
        F.l2_penalty(v, w, c=0.5),
        F.elastic_net(v, w, l1=0.5, l2=0.25),
        F.group_l2(v, w, c=0.5),
        F.group_l2(v, w, c=0.5, axis=0),
        F.group_l2(v, w, c=0.5, axis=(0, 1)),
    ]
    assert [p(v, w).item() for p in OBJECTS] == [e.item() for e in expected]
    again = [
        nn.L1(0.5),
        nn.L2(0.5),
        nn.ElasticNet(l1=0.5, l2=0.25),
        nn.GroupL2(c=0.5),
        nn.GroupL2(0.5, 0),
        nn.GroupL2(0.5, [0, 1]),
    ]
    assert again == OBJECTS and len({*again, *OBJECTS}) == len(OBJECTS)
    assert all(a != b for i, a in enumerate(OBJECTS) for b in OBJECTS[:i])


def test_objects_are_shown_as_they_are_made():
    shown = [
        "L1(0.5)",
        "L2(0.5)",
        "ElasticNet(l1=0.5, l2=0.25)",
        "GroupL2(0.5)",
        "GroupL2(0.5, axis=0)",
        "GroupL2(0.5, axis=(0, 1))",
    ]
    assert [repr(p) for p in OBJECTS] == shown
    assert [eval(text, vars(nn)) for text in shown] == OBJECTS

    def warmed_up(step):
        return min(1.0, step / 10)

    assert (
        repr(nn.L1(warmed_up)) == "L1(warmed_up)"
        and repr(nn.ElasticNet(warmed_up, 0.1)) == "ElasticNet(l1=warmed_up, l2=0.1)"
    )
    assert nn.L1(warmed_up) == nn.L1(warmed_up) != nn.L1(lambda step: 1.0)


@pytest.mark.parametrize("c", [-1, math.nan, math.inf])
def test_objects_refuse_coefficients_that_are_none_when_they_are_made(c):
    for make in (
        nn.L1,
        nn.L2,
        nn.GroupL2,
        lambda c: nn.ElasticNet(c, 1.0),
        lambda c: nn.ElasticNet(1.0, c),
    ):
        with pytest.raises(
            ValueError,
            match=f"the coefficient (c|l1|l2) must be a number >= 0 or a function of the step, got {c}",
        ):
            make(c)


def test_layers_take_any_penalty_for_the_weight_and_for_the_bias_if_named():
    for penalty in OBJECTS:
        model = nn.Sequential(nn.Linear(3, 2, penalty=penalty), nn.Linear(2, 2))
        assert model.penalty().item() == penalty(model[0].weight).item()
        named = nn.Sequential(nn.Linear(3, 2, bias_penalty=nn.L2(0.5)), nn.Linear(2, 2))
        assert named.penalty().item() == nn.L2(0.5)(named[0].bias).item()
    both = nn.Linear(3, 2, penalty=nn.L1(0.1), bias_penalty=nn.L2(0.2))
    assert (
        repr(both) == "Linear(in_features=3, out_features=2, penalty=L1(0.1), bias_penalty=L2(0.2))"
    )
    assert "L1(0.1), L2(0.2) on the bias" in mg.summary(both, 3)
    with pytest.raises(ValueError, match=r"bias_penalty=L2\(0.2\), but there is no bias"):
        nn.Linear(3, 2, bias=False, bias_penalty=nn.L2(0.2))


def test_any_module_with_a_weight_can_have_a_penalty():
    class Scale(nn.Module):
        def __init__(self):
            self.weight, self.weight_penalty = nn.Parameter(np.ones((2, 2))), nn.GroupL2(1.0)

    assert nn.Sequential(Scale(), nn.ReLU()).penalty().item() == pytest.approx(2 * math.sqrt(2))


def test_one_penalty_of_weight_and_bias_is_one_node_and_a_shared_weight_is_in_it_once():
    a = nn.Linear(3, 3, penalty=nn.L2(0.5), bias_penalty=nn.L2(0.5), dtype=np.float64)
    b = nn.Linear(3, 3, penalty=nn.L2(0.5), dtype=np.float64)
    b.weight = a.weight
    model = nn.Sequential(a, b, a)
    node = model.penalty()
    assert node.op.name == "l2_penalty" and node.args[1:] == (a.weight, a.bias)
    mg.terms(node)  # does not warn


def test_a_selection_of_parameters():
    model = nn.Sequential(
        encoder=nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4)), out=nn.Linear(4, 2)
    )
    names = dict(model.named_parameters())

    def chosen(**settings):
        of = {id(p): name for name, p in names.items()}
        return [of[id(w)] for w in nn.penalty(model, nn.L2(1e-4), **settings).args[1:]]

    assert chosen() == ["encoder.0.weight", "encoder.2.weight", "out.weight"]
    assert chosen(where="encoder.*") == [
        "encoder.0.weight",
        "encoder.0.bias",
        "encoder.2.weight",
        "encoder.2.bias",
    ]
    assert chosen(where="*.bias") == ["encoder.0.bias", "encoder.2.bias", "out.bias"]
    assert chosen(where="encoder.?.weight") == ["encoder.0.weight", "encoder.2.weight"]
    assert chosen(where=lambda name, p: p.size == 8) == ["out.weight"]
    for where, said in (("*.kernel", "matches '*.kernel'"), ("Encoder.*", "matches 'Encoder.*'")):
        with pytest.raises(ValueError) as error:
            nn.penalty(model, nn.L2(1.0), where=where)
        assert said in str(error.value) and "encoder.0.weight, encoder.0.bias" in str(error.value)
    with pytest.raises(ValueError, match="no parameter has two axes. There are: none"):
        nn.penalty(nn.ReLU(), nn.L2(1.0))


def test_a_selection_takes_a_shared_weight_once():
    a = nn.Linear(3, 3, dtype=np.float64)
    model = nn.Sequential(a, nn.ReLU(), a)
    assert nn.penalty(model, nn.L1(1.0)).args[1:] == (a.weight,)


def test_coefficients_can_be_functions_of_the_step():
    model = nn.Sequential(
        nn.Linear(3, 2, penalty=nn.L2(optim.exponential(0.1, 0.5)), dtype=np.float64),
        nn.Linear(2, 2, penalty=nn.L1(0.3)),
    )
    squares = np.sum(model[0].weight.data ** 2)
    for step in (0, 1, 5):
        node = next(
            n
            for n in nodes(model.penalty(step=step))
            if not n.is_leaf and n.op.name == "l2_penalty"
        )
        assert node.args[0] == 0.1 * 0.5**step and node.item() == pytest.approx(
            0.1 * 0.5**step * squares
        )
        both = nn.penalty(
            model, nn.ElasticNet(lambda t: t, lambda t: 2 * t), where="0.weight", step=step
        )
        assert both.args[:2] == (step, 2 * step)
    with pytest.raises(
        TypeError,
        match=r"L2\(<lambda>\): the coefficient c is a function of the step. Say which: penalty\(step=t\)",
    ):
        model.penalty()
    with pytest.raises(TypeError, match="Say which"):
        nn.penalty(model, nn.ElasticNet(1.0, lambda t: t))
    with pytest.raises(ValueError, match="must be a number >= 0, got -1"):
        nn.penalty(model, nn.L1(lambda t: -1.0), step=0)


def test_penalties_of_a_loop_each_keep_their_own_layer():
    layers = [nn.Linear(2, 2, penalty=nn.L2(0.1 * (i + 1)), dtype=np.float64) for i in range(3)]
    expected = sum(0.1 * (i + 1) * np.sum(layer.weight.data**2) for i, layer in enumerate(layers))
    assert nn.Sequential(*layers).penalty().item() == pytest.approx(expected)


def test_sparsity_counts_what_is_zero_and_what_is_only_small():
    model = nn.Sequential(nn.Linear(4, 2, dtype=np.float64))
    model[0].weight.data[...] = [[0.0, -0.0, 1e-4, -1e-4], [1e-3, 1.0, -1.0, 0.0]]
    model[0].bias.data[...] = [1.0, 5e-4]
    found = mg.sparsity(model)
    assert (
        found.zeros == {"0.weight": 3, "0.bias": 0}
        and found.small == {"0.weight": 2, "0.bias": 1}
        and found.entries == {"0.weight": 8, "0.bias": 2}
    )
    assert str(found).splitlines()[2].split() == ["0.weight", "8", "3", "(38%)", "2", "(25%)"]
    assert "3 exact zeros, 3 more below 0.001." in str(found) and "ProximalSGD" not in str(found)
    assert str(mg.sparsity({"w": Tensor([0.5, 1e-4])})).endswith(
        "0 exact zeros, 1 more below 0.001. Subgradient steps do not reach 0; use optim.ProximalSGD."
    )
    assert mg.sparsity({"none": Tensor(np.zeros((0, 2)))}).zeros == {"none": 0}


# ------------------------------------------------------- a penalty in the loss, and the optimizers' weight decay


def run(optimizer, c=0.0, steps=20, **settings):
    """Weights after some steps on a nonlinear loss, with an L2 penalty of c."""
    w, x = normal_leaf(3, 2), np.random.default_rng(1).standard_normal((5, 3))
    optimizer = optimizer([w], **settings)
    for _ in range(steps):
        optimizer.zero_grad()
        (np.sum(np.tanh(x @ w) ** 2) + (F.l2_penalty(w, c=c) if c else 0.0)).backward()
        optimizer.step()
    return w.data


SETTINGS = {
    "SGD": (optim.SGD, {"lr": 0.05}),
    "SGD, momentum": (optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    "SGD, nesterov": (optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "Adam": (optim.Adam, {"lr": 0.05}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_l2_penalty_of_c_is_weight_decay_of_2c(name):
    optimizer, settings = SETTINGS[name]
    penalised, decayed = (
        run(optimizer, c=0.03, **settings),
        run(optimizer, weight_decay=0.06, **settings),
    )
    np.testing.assert_allclose(penalised, decayed, rtol=0, atol=3e-15)
    assert np.max(abs(penalised - run(optimizer, weight_decay=0.03, **settings))) > 1e-7


def test_adamw_is_something_else():
    assert (
        np.max(abs(run(optim.Adam, c=0.03, lr=0.05) - run(optim.AdamW, lr=0.05, weight_decay=0.06)))
        > 1e-6
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_an_l2_penalty_of_c_is_pytorchs_weight_decay_of_2c(name):
    torch = pytest.importorskip("torch")
    optimizer, settings = SETTINGS[name]
    w = torch.tensor(normal_leaf(3, 2).data, requires_grad=True)
    x = torch.tensor(np.random.default_rng(1).standard_normal((5, 3)))
    theirs = getattr(torch.optim, optimizer.__name__)([w], weight_decay=0.06, **settings)
    for _ in range(20):
        theirs.zero_grad()
        (torch.tanh(x @ w) ** 2).sum().backward()
        theirs.step()
    np.testing.assert_allclose(
        run(optimizer, c=0.03, **settings), w.detach().numpy(), rtol=0, atol=1e-14
    )


def test_keras_convention_in_closed_form():
    """Keras's l1(c), l2(c) and L1L2 add c * sum |w| and c * sum w^2: no half, no mean."""
    w = Tensor(np.array([[1.0, -2.0], [0.0, 3.0]]), True)
    assert nn.L1(0.1)(w).item() == pytest.approx(0.6) and nn.L2(0.1)(w).item() == pytest.approx(1.4)
    assert nn.ElasticNet(0.1, 0.2)(w).item() == pytest.approx(0.6 + 2.8)
    np.testing.assert_allclose(gradient(nn.L2(0.1)(w), w), 0.2 * w.data)


# -------------------------------------------------------------------------------------------- ledger


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
        np.sum(penalty),
    ):
        assert [t.name for t in mg.terms(data + inner)] == ["mse_loss", inner.op.name]
    assert [t.name for t in mg.terms(data + 0 * penalty)] == ["mse_loss", "0 * l2_penalty(c=0.1)"]


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
    """Sums, differences, signs and multiples of terms, in any nesting: the ledger adds up, and so do the gradients."""
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
        parts = [p for p in addends(loss) if p.node is not None]
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
        any(row.text.endswith(f"({told[n.title]}) of the loss") for row in n.rows)
        for n in penalties
    )  # half of each stands in the loss


# ------------------------------------------------------------------------------------------ warnings


def warned(loss, optimizer=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mg.terms(loss, optimizer)
    assert all(w.category is UserWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_the_same_penalty_twice_on_a_parameter_is_told():
    w, data = normal_leaf(2, 2, name="w"), np.sum(normal_leaf(2))
    reg = F.l2_penalty(w, c=0.1)
    assert warned(data + reg + F.l2_penalty(w, c=0.3)) == [
        "w is penalised twice: l2_penalty(c=0.1) as term 2 and l2_penalty(c=0.3) as term 3. Keep one."
    ]
    assert warned(data + reg + reg) == [
        "w is penalised twice: 2 * l2_penalty(c=0.1) as term 2, added 2 times. Keep one."
    ]
    assert warned(data + reg + F.elastic_net(w, l1=1.0, l2=0.2) + F.l2_penalty(w, c=0.1)) == [
        "w is penalised 3 times: l2_penalty(c=0.1) as term 2 and elastic_net(l1=1, l2=0.2) as term 3 and l2_penalty(c=0.1) as term 4. Keep one."
    ]
    assert "twice" in warned(F.l1_penalty(w, w, c=0.1))[0]
    assert "twice" in warned(F.group_l2(w, c=0.1) + F.group_l2(w, c=0.1, axis=-1))[0]


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
def test_l2_in_the_loss_and_decay_in_the_optimizer_is_told(name):
    make, settings = OPTIMIZERS[name]
    model, loss = model_and_loss()
    optimizer = make(model.parameters(), weight_decay=0.01, **settings)
    said = [
        f"0.weight is decayed twice: l2_penalty(c=0.01) as term 2 of the loss and {name}(weight_decay=0.01). Keep one."
    ]
    assert (
        warned(loss, optimizer) == said
        and warned(loss, [optim.SGD(model.parameters()), optimizer]) == said
    )
    assert warned(loss) == []
    w = model[3].weight
    assert (
        "3.weight is decayed twice: elastic_net(l1=0.1, l2=0.2) as term 4 of the loss"
        in warned(loss + F.elastic_net(w, l1=0.1, l2=0.2), optimizer)[-1]
    )


def test_decay_without_l2_and_l2_without_decay_are_no_cause_for_a_warning():
    model, loss = model_and_loss()
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

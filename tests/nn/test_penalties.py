"""Penalties as objects: of layers, of chosen parameters, and their effect in optimizers."""

import math

import numpy as np
import pytest
from helpers import gradient, normal_leaf

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.engine import Tensor
from minigrad.graph import nodes

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


# ------------------------------------------------------------------------------------------ objects


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
    assert repr(nn.Penalty(F.l1_penalty, c=0.2)) == "Penalty(l1_penalty, c=0.2)"


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
    assert "L1(0.1), L2(0.2) on the bias" in str(mg.summary(both, 3))
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
    with pytest.raises(ValueError, match="no parameter is a weight. There are: none"):
        nn.penalty(nn.ReLU(), nn.L2(1.0))


def test_the_weights_of_a_selection_are_told_by_their_role():
    """Biases and norms of two axes are none, a weight of one axis is one."""

    class Net(nn.Module):
        def __init__(self):
            self.linear, self.norm = nn.Linear(3, 2), nn.LayerNorm((2, 3))
            self.attention, self.cell = nn.MultiheadAttention(4, 2), nn.GRU(2, 3)
            self.channels = nn.BatchNorm2d(4)
            self.out_bias, self.kernel = (
                nn.Parameter(np.ones((1, 5))),
                nn.Parameter(np.ones((2, 2))),
            )
            self.weight, self.gain = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))

    model = Net()
    names = {id(p): name for name, p in model.named_parameters()}
    chosen = {names[id(w)] for w in nn.penalty(model, nn.L2(1.0)).args[1:]}
    assert chosen == {
        *("linear.weight", "weight", "kernel", "cell.weight_ih_l0", "cell.weight_hh_l0"),
        *("attention.in_proj_weight", "attention.out_proj.weight"),
    }


def test_a_selection_takes_a_shared_weight_once():
    a = nn.Linear(3, 3, dtype=np.float64)
    model = nn.Sequential(a, nn.ReLU(), a)
    assert nn.penalty(model, nn.L1(1.0)).args[1:] == (a.weight,)


def test_coefficients_can_be_functions_of_the_step():
    model = nn.Sequential(
        nn.Linear(3, 2, penalty=nn.L2(lambda step: 0.1 * 0.5**step), dtype=np.float64),
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
        match=r"L2\(<lambda>\): the coefficient c is a function of the step. Give the step: penalty\(step=t\)",
    ):
        model.penalty()
    with pytest.raises(TypeError, match="Give the step"):
        nn.penalty(model, nn.ElasticNet(1.0, lambda t: t))
    with pytest.raises(ValueError, match="must be a number >= 0, got -1"):
        nn.penalty(model, nn.L1(lambda t: -1.0), step=0)


def test_penalties_of_a_loop_each_keep_their_own_layer():
    layers = [nn.Linear(2, 2, penalty=nn.L2(0.1 * (i + 1)), dtype=np.float64) for i in range(3)]
    expected = sum(0.1 * (i + 1) * np.sum(layer.weight.data**2) for i, layer in enumerate(layers))
    assert nn.Sequential(*layers).penalty().item() == pytest.approx(expected)


def test_sparsity_counts_zeros_and_small_entries():
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


# ------------------------------------------ a penalty in the loss, and the optimizers' weight decay


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


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: nn.Penalty(np.sum, c=1.0), "Penalty: sum is no penalty such as F.l1"),
        (lambda: nn.Penalty(F.relu, c=1.0), "Penalty: relu is no penalty"),
    ],
)
def test_a_penalty_of_another_function_is_refused(make, told):
    with pytest.raises(TypeError, match=told):
        make()

"""Pictures: the records, the DOT text, and that every picture can be rendered."""

import os
import re
import runpy
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from helpers import leaf
from processes import ROOT, output, python

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad import noise as randomness
from minigrad.check import check_graph
from minigrad.drawing import describe, draw, to_dot, to_text
from minigrad.drawing import render as module
from minigrad.drawing.api import OPTIONS, read
from minigrad.drawing.dot import LOOKS, STYLES, node_line
from minigrad.drawing.labels import LONGEST, Numbers
from minigrad.drawing.node import Node
from minigrad.drawing.render import renderers
from minigrad.engine import Tensor, grad
from minigrad.noise import Noise, frozen_noise, manual_seed, stream
from minigrad.registry import composition

needs_renderer = pytest.mark.skipif(
    not renderers(), reason="no Graphviz program: pip install graphviz-pure"
)


class MLP(nn.Module):
    def __init__(self):
        self.fc1, self.drop, self.fc2 = nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3)
        self.fc2.bias.requires_grad = False

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))


def training_step():
    """The first drawn loss that depends on a hidden unit: relu and dropout may set all units to 0."""
    manual_seed(0)
    while True:
        model = MLP()
        x = Tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6))
        weights = model.fc1.weight, model.fc2.weight
        data_loss = F.cross_entropy(model(x), np.array([0, 2, 1, 1]))
        if grad(data_loss, model.fc1.bias, retain_graph=True)[0].data.any():
            return data_loss + F.l1_penalty(*weights, c=1e-2) + F.l2_penalty(*weights, c=1e-1)


def texts(node):
    return [node.title, *(row.text for row in node.rows)]


def only(nodes, **wanted):
    found = [n for n in nodes if all(getattr(n, k) == v for k, v in wanted.items())]
    assert len(found) == 1, (
        f"{wanted}: {[n.title for n in found]} among {[(n.kind, n.title) for n in nodes]}"
    )
    return found[0]


def dot_line(source, id):
    return next(line for line in source.splitlines() if line.startswith(f"{id} ["))


# -------------------------------------------------------------------------------------------- nodes


@pytest.mark.parametrize(
    "kind, title, shape",
    [
        ("data", "x", "note"),
        ("parameter", "bias", "cylinder"),
        ("frozen", "bias", "cylinder"),
        ("operation", "relu", "box"),
        ("random", "drop: dropout", "hexagon"),
        ("loss", "cross entropy", "box"),
        ("penalty", "l2 penalty", "octagon"),
        ("root", "loss", "box"),
    ],
)
def test_each_kind_has_its_shape_and_fill(kind, title, shape):
    loss = training_step()
    nodes, _ = describe(loss)
    line = dot_line(draw(loss).source, only(nodes, kind=kind, title=title).id)
    assert f"shape={shape} " in line and f'fillcolor="{LOOKS[kind].fill}"' in line
    assert (
        ("dashed" in line) == (kind == "frozen")
        and ("diagonals" in line) == (kind == "loss")
        and ("peripheries=2" in line) == (kind == "root")
    )


def test_a_kind_of_node_is_added_in_one_place(monkeypatch):
    """An op or a composition declares its kind; a row in LOOKS says how the kind looks."""

    @composition(kind="attention")
    def attend(x):
        return F.softmax(x) @ x

    loss = attend(leaf(np.ones((2, 2)))).sum()
    node = only(describe(loss)[0], kind="attention", title="attend")
    before = to_dot(loss, legend=True)
    assert "shape=box" in dot_line(before, node.id) and ">attention<" not in before
    look = LOOKS["penalty"]._replace(shape="trapezium", fill="#B8E0B0", meaning="attention")
    monkeypatch.setitem(LOOKS, "attention", look)
    source = to_dot(loss, legend=True)
    assert 'shape=trapezium style="filled,solid" fillcolor="#B8E0B0"' in dot_line(source, node.id)
    assert "shape=trapezium" in source and ">attention (trapezium)<" in source


def test_kinds_are_declared_and_not_guessed_from_names():
    @composition(kind="loss")
    def margin(x, target):
        return np.mean(np.maximum(1 - x * target, 0.0))

    @composition
    def no_loss(x):
        return np.sin(np.cos(x))

    nodes, _ = describe(2 * margin(leaf([0.5, 2.0]), np.array([1.0, -1.0])))
    assert only(nodes, title="margin").kind == "loss"
    assert only(nodes, title="target").kind == "data"
    assert only(describe(2 * no_loss(leaf()))[0], title="no loss").kind == "operation"


def test_a_frozen_parameter_is_one_that_a_module_calls_its_parameter():
    class Scaled(nn.Module):
        def __init__(self):
            self.scale, self.shift = nn.Parameter(2.0, requires_grad=False), Tensor(1.0)

        def forward(self, x):
            return self.scale * x + self.shift

    kinds = {n.title: n.kind for n in describe(Scaled()(leaf(name="x")))[0]}
    assert kinds == {
        "scale": "frozen",
        "shift": "data",
        "x": "parameter",
        "multiply": "operation",
        "add": "root",
    }


def test_nodes_without_a_gradient_look_like_data():
    mask = np.exp(Tensor([1.0, 2.0], name="x"))  # recorded, because the input has a name
    nodes, edges = describe(np.sum(leaf([3.0, 4.0]) * mask))
    assert only(nodes, title="exp").kind == "quiet"
    assert only(nodes, title="multiply").kind == "operation"
    assert {e.style for e in edges if e.source == only(nodes, title="exp").id} == {"none"}
    assert 'fillcolor="#F0F0F0"' in node_line(only(nodes, title="exp"))


def test_comparisons_and_argmax_are_as_quiet_as_data():
    x = leaf([1.0, -2.0, 3.0], name="x")
    nodes, edges = describe(np.sum(x * (x > 0)) + x[np.argmax(x)] + np.sum(x * np.sign(x)))
    ids = {n.title: n.id for n in nodes if n.kind == "quiet"}
    assert ids.keys() == {"greater", "argmax", "sign"}
    quiet = {*ids.values()}
    assert {e.style for e in edges if quiet & {e.source, e.target}} == {"none"}
    assert all("dashed" in node_line(n) for n in nodes if n.kind == "quiet")


def test_two_results_of_one_call_are_both_roots():
    @composition
    def both(x):
        return x * 2.0, x * 3.0

    nodes, _ = describe(list(both(leaf(name="x"))), grads="run")
    assert [n.kind for n in nodes] == ["parameter", "root"]
    assert texts(nodes[0])[-1] == "∂ 5"


def test_small_errors_are_not_printed_since_they_differ_between_processors():
    loss = np.sum(leaf([1.0, 2.0]) * 3)
    report = check_graph(loss)
    for row in report.rows:
        row.error = {"leaf": 2e-13, "sum": 0.0}.get(row.op, 3e-16)
    words = [texts(n)[-1] for n in describe(loss, checks=report)[0]]
    assert words == ["grad ok 2.0e-13", "grad ok < 1e-15", "grad ok < 1e-15"]


def test_no_two_kinds_look_alike():
    assert len({look[:3] for look in LOOKS.values()}) == len(LOOKS)


def test_rows_are_shape_attributes_value_gradient():
    x = leaf([[1.0, 2.0, 3.0]])
    y = x.sum(axis=1, keepdims=True)
    y.backward(retain_graph=True)
    nodes, _ = describe(y)
    assert texts(only(nodes, kind="parameter")) == ["x", "(1, 3)", "2.00 ± 0.82", "∂ all 1"]
    assert texts(only(nodes, kind="root")) == ["sum", "(1, 1)", "axis=1, keepdims=True", "= 6"]
    bare, _ = describe(y, values=False, grads=False)
    assert texts(only(bare, kind="parameter")) == ["x", "(1, 3)"]


@pytest.mark.parametrize(
    "array, text",
    [
        (np.float32(2.7583), "= 2.76"),
        (np.float32(1.7996), "= 1.8"),
        (np.float32(1.8), "= 1.8"),
        (1.00248, "= 1"),
        (999.9, "= 1000"),
        (1234.5, "= 1234"),
        (123456.0, "= 1.23e5"),
        (1e-8, "= 1e-8"),
        (1.0004e-8, "= 1e-8"),
        (-0.0, "= 0"),
        (np.full(3, -0.0), "all 0"),
        (np.zeros(3), "all 0"),
        (np.full(3, 0.5), "all 0.5"),
        (np.array([3, 0, 2]), "int 0..3"),
        (np.array([True, False]), "50% true"),
        (np.array([-0.35, 0.29]), "-0.03 ± 0.32"),
        (np.array([-4.6e-4, 7.0e-4]), "0.00012 ± 0.00058"),
        (np.array([0.1, 0.1005]), "0.10025 ± 0.00025"),
        (np.array([2.9e-5, 3.1e-5]), "3e-5 ± 1e-6"),
        (np.array([1, 1 + 2e-8]), "1 ± 1e-8"),
        (np.array([4e6, 6e6]), "5e6 ± 1e6"),
        (np.array([1e7 - 1, 1e7 + 1]), "10000000 ± 1"),
        (np.array([1.0, np.nan, np.inf]), "2 nan/inf"),
        (np.array(np.nan), "= nan"),
        (np.array([-np.inf]), "= -inf"),
        (np.zeros((0, 3)), "empty"),
    ],
)
def test_arrays_in_a_line(array, text):
    nodes, _ = describe(Tensor(array))
    assert text in texts(nodes[0])


def test_a_gradient_before_backward_is_not_computed_rather_than_zero():
    x, y = leaf(), leaf(3.0)
    loss = x * y
    assert not any("∂" in line for n in describe(loss)[0] for line in texts(n))
    heading = "3 nodes, 2 parameters, gradients not computed"
    assert to_text(loss).splitlines()[0] == heading
    assert "gradients" not in to_text(loss, grads=False)
    x.grad = Tensor(3.0)  # as after another backward: y alone has none
    assert [texts(n)[-1] for n in describe(loss)[0] if n.kind == "parameter"] == [
        *("∂ 3", "∂ not computed")
    ]
    x.grad = None
    loss.backward(retain_graph=True)
    assert to_text(loss).splitlines()[0] == "3 nodes, 2 parameters"
    assert [texts(n)[-1] for n in describe(loss)[0] if n.kind == "parameter"] == ["∂ 3", "∂ 2"]
    assert (
        to_text(1000 * x * y).splitlines()[0].endswith("gradients not computed")
    )  # of another loss


def test_a_gradient_of_zeros_is_an_alarm():
    x = leaf([-1.0, -2.0])
    loss = F.relu(x).sum()
    loss.backward(retain_graph=True)
    assert ("∂ all 0", "alarm") in only(describe(loss)[0], kind="parameter").rows


def test_a_gradient_of_a_result_is_shown_when_kept():
    x = leaf()
    y = np.exp(x)
    z = 3 * y
    y.retain_grad()
    z.backward(retain_graph=True)
    assert "∂ 3" in texts(only(describe(z)[0], title="exp"))
    assert not any(row.role == "gradient" for row in only(describe(z)[0], kind="root").rows)


def test_the_picture_of_a_freed_graph_says_that_it_is_freed():
    x = leaf()
    y = (x * x).sum()
    y.backward()
    nodes, edges = describe(y)
    assert len(nodes) == 1 and not edges
    assert to_text(y).splitlines()[0] == "1 node"  # its gradients were computed
    assert "freed: use backward(retain_graph=True)" in texts(nodes[0])


def test_the_only_one_of_any_number_of_operands_has_no_number():
    def named(root):
        return [n.title for n in describe(root)[0] if n.is_leaf]

    x, y = leaf(), leaf()
    assert named(nn.Embedding(5, 2)(np.array([1, 2])).sum()) == ["weight", "index"]
    assert named(np.stack([x]).sum()) == ["arrays"]
    assert named(np.stack([x, y]).sum()) == ["arrays[0]", "arrays[1]"]


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 4e307], ids=str)
def test_statistics_at_any_scale(scale):
    values = [scale * x for x in (1.0, -2.0, 4.0)]
    found = Numbers(np.array(values))
    assert found.mean == pytest.approx(statistics.mean(values), rel=1e-12, abs=0)
    assert found.std == pytest.approx(statistics.pstdev(values), rel=1e-12, abs=0)


def test_numbers_are_text():
    y = 2 * leaf(3.0) ** 2
    nodes, edges = describe(y)
    assert "2 * x" in texts(only(nodes, kind="root")) and len(edges) == 2
    assert "x ** 2" in texts(only(nodes, title="power"))
    assert "y=0.5" in texts(only(describe(np.maximum(leaf(), 0.5))[0], title="maximum"))
    assert "x >= 0.5" in texts(only(describe(leaf() >= 0.5)[0], title="greater equal"))
    assert "x != 2" in texts(only(describe(leaf() != 2)[0], title="not equal"))


def test_raw_arrays_are_data():
    a = np.arange(3.0)
    y = leaf([1.0, 2.0, 3.0]) * a + a
    nodes, edges = describe(y)
    data = only(nodes, kind="data")
    assert [e.style for e in edges if e.source == data.id] == ["none", "none"]


def test_arguments_are_short():
    y = leaf(np.ones((4, 5)))[1:3, None, ..., 0]
    assert "index=(1:3, None, ..., 0)" in texts(only(describe(y)[0], kind="root"))

    @composition
    def last_two(x):
        return np.exp(x[1:][1:])

    assert "getitem, exp" in texts(
        only(describe(last_two(mg.Tensor(np.ones(4), True)))[0], kind="root")
    )


@pytest.mark.parametrize(
    "function, told",
    [
        (lambda x: F.conv2d(x, np.ones((2, 1, 3, 3))), []),
        (lambda x: F.conv2d(x, np.ones((2, 1, 3, 3)), stride=2), ["stride=(2, 2)"]),
        (
            lambda x: F.conv2d(x, np.ones((2, 1, 3, 3)), stride=2, padding=1),
            ["stride=(2, 2), pad, convolve"],
        ),
        (lambda x: F.max_pool2d(x, 3, stride=2), ["size=(3, 3), stride=(2, 2), unfold, max"]),
        (lambda x: F.interpolate(x, scale_factor=2), ["getitem"]),  # not its indices
        (lambda x: np.sum(x, axis=()), ["axis=()"]),
        (np.sum, []),
    ],
)
def test_settings_are_shown_if_they_differ_from_the_default(function, told):
    nodes, _ = describe(function(leaf(np.ones((2, 1, 6, 6)))))
    assert [row.text for row in only(nodes, is_root=True).rows if row.role == "attribute"] == told


# -------------------------------------------------------------------------------------------- edges


def test_x_times_x_is_one_edge_that_counts_two():
    x = leaf()
    _, edges = describe(x * x)
    assert [(e.source, e.target, e.label) for e in edges] == [("n0", "n1", "twice")]


def test_a_diamond_shares_its_tip():
    x = leaf()
    nodes, edges = describe(np.sin(x) + np.cos(x))
    assert [n.title for n in nodes] == ["x", "sin", "cos", "add"] and len(edges) == 4
    y = x
    for _ in range(40):
        y = y + y
    assert len(describe(y)[0]) == 41


def test_edges_name_arguments_where_order_matters_and_broadcasts():
    a, b = leaf(np.ones((2, 3)), name="left"), leaf(np.ones(3), name="right")
    assert [e.label for e in describe(a - b)[1]] == ["x", "y, broadcast"]
    assert [e.label for e in describe(a @ b)[1]] == ["x", "y"]
    assert [e.label for e in describe(a + b)[1]] == ["", "broadcast"]


def test_edges_without_gradient_are_dotted_and_into_penalties_dashed():
    nodes, edges = describe(training_step())
    kinds = {n.id: n.kind for n in nodes}
    for edge in edges:
        expected = (
            "none"
            if kinds[edge.source] in ("data", "frozen")
            else "penalty"
            if kinds[edge.target] == "penalty"
            else "gradient"
        )
        assert edge.style == expected


# ---------------------------------------------------------------------------- compositions, modules


def test_a_composition_is_one_node():
    x = leaf([1.0, 2.0])
    nodes, edges = describe(F.silu(F.silu(x)))
    assert [n.title for n in nodes] == ["x", "silu", "silu"] and [e.label for e in edges] == [
        "",
        "",
    ]


def test_losses_show_their_target():
    scores = leaf(np.eye(3))
    for target in (np.array([2, 0, 1]), Tensor(np.array([2, 0, 1]))):
        nodes, _ = describe(2 * F.cross_entropy(scores, target))
        assert (
            only(nodes, title="cross entropy").kind == "loss"
            and only(nodes, title="target").kind == "data"
        )
    assert only(describe(F.mse_loss(scores, np.zeros((3, 3))))[0], title="target").kind == "data"


def test_modules_are_nested_boxes_that_hold_their_parameters():
    nodes, _ = describe(training_step())
    weights = [n for n in nodes if n.title == "weight"]
    assert [[g.name or g.type for g in n.scope] for n in weights] == [
        ["MLP", "fc1"],
        ["MLP", "fc2"],
    ]
    assert [g.type for g in weights[0].scope] == ["MLP", "Linear(6, 5)"] and weights[0].scope[
        1
    ].parameters == 35
    assert [g.name or g.type for g in only(nodes, title="relu").scope] == ["MLP"]
    source = draw(training_step(), legend=False).source
    assert source.count("subgraph cluster_") == 3  # MLP, fc1, fc2: each opened once
    assert source.count("{") == source.count("}")


def test_a_module_used_twice_is_one_box():
    layer = nn.Linear(2, 2)
    x = np.ones((1, 2), np.float32)
    nodes, _ = describe(layer(layer(x)))
    assert {n.scope for n in nodes if n.kind != "data"} == {nodes[-1].scope} and len(
        [n for n in nodes if n.kind == "parameter"]
    ) == 2


def test_parameters_in_lists_are_named():
    class Ensemble(nn.Module):
        def __init__(self):
            self.scales = [nn.Parameter(1.0), nn.Parameter(2.0)]

        def forward(self, x):
            return self.scales[0] * x + self.scales[1] * x

    nodes, _ = describe(Ensemble()(np.ones(2)))
    assert [n.title for n in nodes if n.kind == "parameter"] == ["scales.0", "scales.1"]


def test_names():
    a, b, c = leaf(name="a"), leaf(3.0, name="own"), leaf(4.0)
    h = a * b
    h.name = "h"
    nodes, _ = describe(h + c)
    assert [n.title for n in nodes] == ["a", "own", "h = multiply", "parameter", "add"]


def test_unnamed_leaves_are_not_named_after_the_letters_of_operators():
    a, b = leaf(), leaf(3.0)
    nodes, edges = describe((a * b - a / b) ** 2)
    assert [n.title for n in nodes if n.kind == "parameter"] == ["parameter", "parameter"]
    assert [e.label for e in edges if e.target == only(nodes, title="divide").id] == ["x", "y"]
    manual_seed(0)
    for y in (
        F.gaussian_dropout(leaf(np.ones(3)), 0.2, training=True),
        F.dropout(leaf(np.ones(3)), 0.2, training=True),
    ):
        assert only(describe(y, noise=True)[0], kind="noise").title == "noise"


def test_dropout_is_a_hexagon_and_its_noise_an_ellipse_on_demand():
    manual_seed(0)
    y = F.dropout(leaf(np.ones((3, 4))), 0.25, training=True)
    nodes, edges = describe(y)
    assert len(nodes) == 2 and len(edges) == 1 and "p=0.25" in texts(only(nodes, kind="random"))
    nodes, edges = describe(y, noise=True)
    assert "Bernoulli(keep=0.75)" in texts(only(nodes, kind="noise")) and len(edges) == 2
    assert "noise" not in draw(y).text and "noise (3, 4) | Bernoulli(keep=0.75)" in to_text(y)
    nodes, _ = describe(nn.Dropout(0.5)(leaf(np.ones(3))), noise=True)
    assert {n.scope[0].type for n in nodes if n.kind != "parameter"} == {"Dropout(p=0.5)"}
    alone, _ = describe(Noise(randomness.Bernoulli(0.5), (3,), bool))
    assert [n.kind for n in alone] == ["noise"]


def test_penalties_show_coefficient_value_and_share():
    w = leaf([1.0, -2.0])
    loss = F.mse_loss(w, np.array([3.0, -2.0])) + 0.5 * F.l2_penalty(w, c=0.1)
    nodes, _ = describe(loss)  # 2 + 0.5 * 0.5
    assert texts(only(nodes, kind="penalty")) == [
        "l2 penalty",
        "c=0.1",
        "= 0.5",
        "11% of the loss",
    ]
    assert texts(only(nodes, kind="root")) == [
        "loss",
        "= 2.25",
        "mse loss 2  (89%)",
        "l2 penalty 0.25  (11%)",
    ]


def test_terms_of_one_name_are_one_row():
    w = leaf([1.0, -2.0], name="w")

    def terms(n):
        root = only(
            describe(sum(F.mse_loss(w, np.full(2, float(i))) for i in range(n)))[0], is_root=True
        )
        return [row.text for row in root.rows if row.role == "term"]

    assert terms(9)[0].startswith("mse loss x9 ") and len(terms(9)) == 1


def test_a_term_of_zero_keeps_its_name_and_its_node():
    w = leaf([0.0, 0.0], name="w")
    nodes, _ = describe(F.mse_loss(w, np.ones(2)) + F.l2_penalty(w, c=0.1))
    assert texts(only(nodes, kind="root"))[2:] == ["mse loss 1  (100%)", "l2 penalty 0  (0%)"]
    assert "0% of the loss" in texts(only(nodes, kind="penalty"))
    nodes, _ = describe(F.mse_loss(w, np.zeros(2)) + F.l2_penalty(w, c=0.1))
    rows = ["= 0", "mse loss 0  (nan%)", "l2 penalty 0  (nan%)"]  # a loss of zero has no shares
    assert texts(only(nodes, kind="root"))[1:] == rows


def test_the_title_of_an_op_is_whole_behind_a_given_name():
    w = leaf([1.0, -2.0])
    loss = F.binary_cross_entropy_with_logits(w, np.ones(2))
    loss.name = "loss_G"
    assert (
        only(describe(loss)[0], is_root=True).title == "loss_G = binary cross entropy with logits"
    )


def test_shares_are_of_the_whole_loss_as_in_the_ledger():
    w = leaf([1.0, -2.0])
    nodes, _ = describe(F.mse_loss(w, np.zeros(2)) + F.l2_penalty(w, c=0.5) + 5.0)
    assert "25% of the loss" in texts(only(nodes, kind="penalty"))
    nodes, _ = describe(F.l2_penalty(w, c=0.5) + w.sum())
    assert texts(only(nodes, kind="root")) == [
        *("loss", "= 1.5", "l2 penalty 2.5  (167%)", "sum -1  (-67%)")
    ]
    assert describe(F.l2_penalty(w, c=0.5) + Noise(randomness.Bernoulli(0.5), (), bool))


# --------------------------------------------------------------------------- roots, size, stability


def test_a_lone_leaf():
    for x, kind in ((leaf(), "parameter"), (Tensor([1.0]), "data")):
        nodes, edges = describe(x)
        assert [(n.kind, n.is_root) for n in nodes] == [(kind, True)] and not edges
        assert "peripheries=2" in draw(x).source


def test_two_roots():
    x = leaf()
    nodes, _ = describe([np.sin(x), np.cos(x)])
    assert [n.kind for n in nodes] == ["parameter", "root", "root"]


def test_a_parameter_that_is_a_root_too_stands_in_the_box_of_its_module():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    loss = model(np.ones((1, 2), np.float32)).sum()
    node = only(describe([loss, model[0].weight])[0], kind="parameter", is_root=True)
    assert node.path() == "0.weight" and [group.name for group in node.scope] == ["", "0"]


def test_unfolded_the_oldest_of_more_than_four_hundred_nodes_are_one_card():
    x = leaf(1.0)
    for _ in range(10_000):
        x = x + 1.0
    source = draw(x, depth=None, legend=False).source
    assert ">9,602 older nodes" in source and source.count("shape=") == 400


@pytest.mark.fixed_seeds
def test_the_same_program_gives_the_same_dot():
    program = "import test_draw as t; print(t.to_dot(t.training_step()))"
    first, second = (output(program, hash_seed).decode() for hash_seed in "12")
    here = to_dot(training_step())
    assert first == second == here + "\n" and here.startswith("digraph")


def test_drawing_changes_nothing():
    loss = training_step()
    generator = stream("drop")
    x = leaf()
    y = x * x
    before = generator.bit_generator.state, np.random.get_state()[1].tolist(), sys.getrefcount(x)
    drawing = draw([loss, y], checks=check_graph(y), grads="run", depth=0)
    assert (
        generator.bit_generator.state,
        np.random.get_state()[1].tolist(),
        sys.getrefcount(x),
    ) == before
    assert x.grad is None and y.args[0] is x and drawing.source
    with frozen_noise():
        assert draw(loss).source == draw(loss).source


# ---------------------------------------------------------------------------------------- rendering

HOSTILE = ["<b>&\"\\{|}", "two\nlines", "<script>alert(1)</script>", "張量の勾配", "n" * 200, "",
           "\x00\x1b", "\ud800", "]]>", "-->", "\\N\\G", "\\", "\\\\T\\l", "&amp;"]  # fmt: skip


@needs_renderer
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_render(name):
    class Hostile(nn.Module):
        _name = name

        def __init__(self):
            self.w = leaf(1.0)

        def forward(self, x):
            return np.sin(self.w * x)

        def extra_repr(self):
            return name

    x = leaf(2.0, name=name)
    y = Hostile()(x)
    y.name = name
    svg = draw(y, title=name).pipe("svg")
    texts = [e.text for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert b"<script" not in svg
    if name.isprintable() and 0 < len(name) <= LONGEST:
        assert texts.count(name) == 2  # the title, and x
        assert {f"{name} = sin", f"Hostile({name})"} <= {*texts}


@needs_renderer
@pytest.mark.parametrize("direction", ["TB", "LR", "BT", "RL"])
def test_every_direction_renders(direction):
    assert b"cross entropy" in draw(
        training_step(), direction=direction, noise=True, title="a step"
    ).pipe("svg")


@needs_renderer
@pytest.mark.parametrize(
    "suffix, start",
    [
        (".svg", b"<?xml"),
        (".PNG", b"\x89PNG"),
        (".gv", b"digraph"),
        (".dot", b"digraph"),
    ],
)
def test_to_file(tmp_path, suffix, start):
    path = tmp_path / f"graph{suffix}"
    draw(leaf() * 2, to_file=path)
    assert path.read_bytes().startswith(start) and list(tmp_path.iterdir()) == [path]


SYSTEM_DOT = shutil.which("dot")


@pytest.mark.skipif(not SYSTEM_DOT, reason="no system dot (Debian: apt-get install graphviz)")
@pytest.mark.parametrize(
    "options",
    [{}, {"depth": 0}, {"direction": "LR", "noise": True}],
    ids=str,
)
def test_a_system_dot_draws_the_same(monkeypatch, options):
    drawing = draw(training_step(), title="a step", **options)
    monkeypatch.setattr(module, "renderers", lambda: [SYSTEM_DOT])
    svg = ET.fromstring(drawing.pipe("svg"))
    ids = {g[0].text for g in svg.iter() if g.get("class") == "node"}
    assert ids >= {
        line.split()[0] for line in drawing.text.splitlines()[2:]
    } and "cross entropy" in "".join(svg.itertext()).replace("\u00a0", " ")
    assert drawing.pipe("png").startswith(b"\x89PNG")


@pytest.mark.skipif(
    not SYSTEM_DOT, reason="only a system dot writes PDF (Debian: apt-get install graphviz)"
)
def test_pdf_comes_from_a_system_dot(tmp_path):
    """graphviz-pure cannot write PDF, so the next program in the list writes it."""
    draw(training_step(), to_file=tmp_path / "step.pdf")
    assert (tmp_path / "step.pdf").read_bytes().startswith(b"%PDF") and len(
        list(tmp_path.iterdir())
    ) == 1


@needs_renderer
def test_without_a_system_dot_a_pdf_is_refused_and_the_dot_text_kept(tmp_path, monkeypatch):
    own = [program for program in renderers() if program != SYSTEM_DOT]
    if not own:
        pytest.skip("no graphviz-pure: pip install graphviz-pure")
    monkeypatch.setattr(module, "renderers", lambda: own)
    with pytest.raises(RuntimeError, match="no Graphviz program could write pdf"):
        draw(leaf() * 2, to_file=tmp_path / "graph.pdf")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.gv"]
    with pytest.raises(RuntimeError, match="no Graphviz program could write html"):
        draw(leaf() * 2, to_file=tmp_path / "graph.html")


@needs_renderer
def test_render_writes_a_file_and_pipe_gives_bytes(tmp_path):
    drawing = draw(leaf() * 2)
    assert repr(drawing) == drawing.text == to_text(leaf() * 2)
    assert drawing.render(tmp_path / "other.svg") == str(tmp_path / "other.svg")
    assert (tmp_path / "other.svg").read_bytes() == drawing.pipe() == drawing.pipe("svg")
    assert drawing.pipe("png").startswith(b"\x89PNG")
    drawing.source = drawing.source.replace("}\n", "n1 -> mine\n}\n")
    assert b">mine<" in drawing.pipe()


def test_after_a_step_the_picture_says_that_values_changed_and_mixes_no_gradients():
    """After a step the leaves have new values and the results have old ones."""
    model = nn.Linear(3, 2)
    loss = np.mean(np.tanh(model(np.ones((4, 3)))))
    loss.backward(retain_graph=True)
    assert "changed" not in mg.to_text(loss)
    mg.optim.SGD(model.parameters(), lr=0.1).step()
    assert mg.to_text(loss).splitlines()[0].endswith(", 2 tensors changed since the forward pass")
    for drawn in (lambda: mg.to_text(loss, grads="run"), lambda: mg.to_html(loss)):
        with pytest.raises(
            RuntimeError, match=r"'weight', of shape \(2, 3\), was changed in place"
        ):
            drawn()
    assert "changed" not in mg.to_text(np.mean(model(np.ones((4, 3)))), grads="run")


def test_the_heading_counts_the_checks_of_nodes_in_the_picture():
    x = leaf(2.0, name="x")
    part = np.sin(x)
    whole = part + np.exp(x) + F.relu(-x)
    report = mg.check_graph(whole)
    assert "gradient check: 2 of 2 passed\n" in mg.to_text(part, checks=report)
    assert "gradient check: 6 of 7 passed, 1 VACUOUS\n" in mg.to_text(whole, checks=report)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="direction is"):
        draw(leaf(), direction="up")
    with pytest.raises(ValueError, match="grads is one of True, False, run, not 'all'"):
        draw(leaf(), grads="all")
    with pytest.raises(
        TypeError, match="the Tensor that a forward pass returned, or a list of them, not a float"
    ):
        draw(2.0)
    for function in (draw, mg.to_dot, mg.to_text):
        with pytest.raises(TypeError, match="draw has no option dept. There are .*depth"):
            function(leaf(), dept=2)


def test_without_a_renderer_the_dot_is_kept_and_the_message_says_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "renderers", list)
    with pytest.raises(RuntimeError) as caught:
        draw(leaf() * 2, to_file=tmp_path / "graph.png")
    message = str(caught.value)
    assert (
        len(message.splitlines()) == 3
        and "pip install graphviz-pure" in message
        and str(tmp_path / "graph.gv") in message
    )
    assert (tmp_path / "graph.gv").read_text().startswith("digraph") and not (
        tmp_path / "graph.png"
    ).exists()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in renderers are shell scripts")
def test_a_failing_renderer_is_followed_by_the_next(tmp_path, monkeypatch):
    for name, body in (
        ("bad", "echo no such format >&2; exit 1"),
        ("good", "cat >/dev/null; echo drawn"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    bad, good, missing = str(tmp_path / "bad"), str(tmp_path / "good"), str(tmp_path / "note")
    monkeypatch.setattr(module, "renderers", lambda: [missing, bad, good])
    assert draw(leaf()).pipe("png") == b"drawn\n"
    monkeypatch.setattr(module, "renderers", lambda: [bad])
    with pytest.raises(RuntimeError, match=r"could write pdf.*bad: no such format"):
        draw(leaf()).pipe("pdf")


@needs_renderer
def test_a_png_is_no_larger_than_viewers_open():
    y = leaf()
    for i in range(200):
        y = (np.tanh, np.sin, np.exp)[i % 3](y)
    picture = draw(y, depth=None).pipe("png")
    assert 8_000 < int.from_bytes(picture[20:24], "big") <= 16_000


def test_a_slow_renderer_is_stopped(tmp_path, monkeypatch):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setattr(module, "renderers", lambda: [str(slow)])
    monkeypatch.setattr(module, "SECONDS", 0.1)
    with pytest.raises(RuntimeError, match="timed out"):
        draw(leaf()).pipe("svg")


@needs_renderer
def test_a_notebook_gets_svg():
    bundle = draw(training_step())._repr_mimebundle_()
    assert (
        list(bundle) == ["image/svg+xml", "text/plain"]
        and "cross entropy" in bundle["text/plain"]
        and ET.fromstring(bundle["image/svg+xml"].encode()) is not None
    )


@pytest.mark.parametrize("trouble", [[], ["/nowhere/dot"], None])
def test_a_notebook_never_gets_an_exception(monkeypatch, trouble):
    monkeypatch.setattr(module, "renderers", lambda: trouble)  # None: even a bug
    bundle = draw(leaf() * 2)._repr_mimebundle_()
    assert list(bundle) == ["text/plain"] and "n1 multiply <- n0" in bundle["text/plain"]


def test_drawing_is_imported_when_first_used():
    program = """
import sys, minigrad
assert {"draw", "to_dot", "to_html", "to_text"} < {*dir(minigrad)} and not any(name.startswith("minigrad.drawing") for name in sys.modules)
from minigrad.drawing import trace
from minigrad import *
assert minigrad.draw is draw and callable(draw) and minigrad.drawing.trace is trace and "minigrad.check" in sys.modules
"""
    python("-c", program)


# ----------------------------------------------------------------------------------- folded modules


class Block(nn.Module):
    def __init__(self, n, p=0.1):
        self.fc1, self.drop, self.fc2 = nn.Linear(n, n), nn.Dropout(p), nn.Linear(n, n)

    def forward(self, x):
        return x + self.fc2(self.drop(F.gelu(self.fc1(x))))


class Residual(nn.Module):
    def __init__(self, sizes=(4, 4, 4, 4), p=0.1):
        self.stem, self.blocks, self.head = (
            nn.Linear(3, 4),
            nn.Sequential(*[Block(n, p) for n in sizes]),
            nn.Linear(4, 2),
        )

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.stem(x))))


def residual_loss(blocks=4, p=0.1):
    manual_seed(0)
    model = Residual((4,) * blocks, p)
    x = Tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3), name="x")
    weights = [w for name, w in model.named_parameters() if name.endswith("weight")]
    return F.cross_entropy(model(x), np.array([0, 1, 1, 0, 1])) + F.l2_penalty(*weights, c=1e-2)


def cards(loss, **options):
    nodes, _ = describe(loss, **options)
    return [n for n in nodes if n.kind == "module"]


def test_depth_opens_modules_level_by_level():
    loss = training_step()
    assert [n.title for n in cards(loss, depth=0)] == ["MLP"]
    assert [n.title for n in cards(loss, depth=1)] == ["fc1: Linear(6, 5)", "fc2: Linear(5, 3)"]
    assert not cards(loss, depth=2) and not cards(loss, depth=None)
    nodes, edges = describe(loss, depth=1)
    ids = {n.title: n.id for n in nodes}
    assert [n.scope[0].type for n in nodes if n.kind == "random"] == ["MLP"]
    assert {(e.source, e.target) for e in edges} >= {
        (ids["fc1: Linear(6, 5)"], ids["relu"]),
        (ids["drop: dropout"], ids["fc2: Linear(5, 3)"]),
    }
    assert {e.style for e in edges if e.target == ids["l2 penalty"]} == {"penalty"}


def test_folding_makes_no_cycles():
    layer = nn.Linear(4, 4)
    inner = nn.Sequential(layer, nn.ReLU(), layer)
    twice = nn.Sequential(inner, nn.Tanh(), inner)
    x = np.ones((2, 4), np.float32)
    hidden = layer(x)
    shared = F.mse_loss(twice(hidden) @ layer.weight, x) + F.l1_penalty(layer.weight, c=0.1)
    for loss in (shared, [shared, hidden], training_step(), residual_loss(5)):
        for depth in (None, "auto", 0, 1, 2, 3):
            for most in (5, 60):
                nodes, edges = describe(loss, depth=depth, max_nodes=most, noise=True)
                places = {n.id: i for i, n in enumerate(nodes)}
                assert all(places[e.source] < places[e.target] for e in edges), (depth, most)


def test_a_card_says_what_is_inside():
    loss = training_step()
    _, *first, value = texts(cards(loss, depth=0)[0])
    assert first == ["8 nodes, 53 parameters", "dropout p=0.5", "out (4, 3)"] and " ± " in value
    loss.backward(retain_graph=True)
    (card,) = cards(loss, depth=0)
    leaves = [t for t in mg.graph.nodes(loss) if t.is_leaf and t.requires_grad]
    every = np.concatenate([t.grad.data.ravel() for t in leaves])
    mean, std = map(float, texts(card)[-1].removeprefix("∂ ").split(" ± "))
    assert abs(mean - every.mean()) < 0.06 * every.std() and std == pytest.approx(every.std(), 0.06)


def test_auto_opens_as_much_as_fits():
    loss = training_step()
    everything = len(describe(loss)[0])
    for most, titles in (
        (everything, []),
        (everything - 1, ["fc1: Linear(6, 5)", "fc2: Linear(5, 3)"]),
        (10, ["MLP"]),
    ):
        assert [n.title for n in cards(loss, depth="auto", max_nodes=most)] == titles
    heading = to_text(loss, max_nodes=everything - 1, noise=False).splitlines()[0]
    words = f"{everything} nodes, 53 parameters"
    assert heading == f"{words}, modules opened to depth 1, gradients not computed"
    assert to_dot(loss, depth=0).count(f">{words}, modules folded, gradients not computed<") == 1


def test_equal_neighbours_fold_into_one():
    loss = residual_loss()
    (card,) = cards(loss, depth=2)
    assert card.title == "0 to 3: Block x4" and texts(card)[1:3] == [
        "36 nodes, 160 parameters",
        "dropout p=0.1 x4",
    ]
    assert len(cards(loss, depth=4)) == 0
    sizes = Residual((4, 4, 4), 0.1)
    sizes.blocks[1].drop.p = 0.5  # another argument
    assert [n.title for n in cards(sizes(np.ones((1, 3), np.float32)), depth=2)] == [
        "0: Block",
        "1: Block",
        "2: Block",
    ]


def test_patterns_of_modules_fold_when_there_are_too_many():
    manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(30) for layer in (nn.Linear(3, 3), nn.ReLU())])
    nodes, _ = describe(model(np.ones((1, 3), np.float32)).sum(), depth="auto", max_nodes=20)
    assert "0 to 59: Linear(3, 3), relu x30" in [n.title for n in nodes] and len(nodes) == 3


def test_a_module_called_again_shares_its_parameters():
    layer = nn.Linear(2, 2)
    nodes, edges = describe(layer(np.tanh(layer(np.ones((1, 2), np.float32)))), depth=0)
    first, second = (n for n in nodes if n.kind == "module")
    assert "6 parameters" in texts(first)[1] and texts(second)[1] == "1 node"
    assert not any((e.source, e.target) == (first.id, second.id) for e in edges)


def test_a_long_chain_without_a_pattern_folds_at_last():
    rng, y = np.random.default_rng(0), leaf(1.0)
    for i in rng.integers(0, 4, 3000):
        y = (np.tanh, np.sin, np.cos, np.exp)[i](y * 0.1)
    nodes, _ = describe(y, depth="auto")
    assert len(nodes) == 50 and re.match(r"5,[5-9]\d\d older nodes", nodes[0].title)


# ---------------------------------------------------------------------------------- gradient checks


def failing(
    loss,
    title="dropout",
    verdict="FAIL",
    note="By x: analytic 1.2345, numeric 2.4690. Diagnosis: half the numeric gradient: a factor 2 is lost.",
):
    report = check_graph(loss)
    row = next(r for r in report.rows if r.op == title)
    row.verdict, row.error, row.note = verdict, 0.5, note
    return report


def test_verdicts_are_words():
    loss = training_step()
    nodes, _ = describe(loss, checks=check_graph(loss))
    assert all(
        re.search(r"grad ok( < 1e-15| \d\.\de[-+]\d\d)?$", " ".join(texts(n)))
        for n in nodes
        if n.kind not in ("data", "frozen")
    )
    assert not any("grad" in " ".join(texts(n)) for n in nodes if n.kind in ("data", "frozen"))
    for verdict, role, words in (
        ("FAIL", "band", "grad check FAIL"),
        ("NONFINITE", "band", "grad check NONFINITE"),
        ("STOCHASTIC", "band", "grad check STOCHASTIC"),
        ("AFFECTED", "alarm", "grad check AFFECTED"),
        ("VACUOUS", "note", "grad check VACUOUS"),
        ("KINK", "ok", "grad ok 5.0e-01, at a kink"),
    ):
        nodes, _ = describe(loss, checks=failing(loss, verdict=verdict))
        assert (words, role) in only(nodes, kind="random").rows


def test_a_failed_check_is_unmistakable():
    loss = training_step()
    report = failing(loss)
    nodes, _ = describe(loss, checks=report)
    node = only(nodes, kind="random")
    assert texts(node)[-4:] == [
        *("grad check FAIL", "By x: analytic 1.23, numeric 2.47."),
        *("half the numeric gradient: a factor 2 is", "lost."),
    ]
    source = to_dot(loss, checks=report)
    line = dot_line(source, node.id)
    assert 'color="#C1121F" penwidth=3.5' in line and line.count('BGCOLOR="#C1121F"') == 1
    assert (
        source.count("penwidth=3.5") == 1
        and "12 of 13 passed, grad check FAIL: drop.dropout" in source
    )
    assert STYLES["band"].outline > STYLES["alarm"].outline


def test_a_failed_check_inside_a_card_is_named_on_it():
    loss = training_step()
    (card,) = cards(loss, depth=0, checks=failing(loss))
    assert texts(card)[-2:] == ["grad check FAIL: drop.dropout", "grad ok: 6 of 7"]
    assert "penwidth=3.5" in dot_line(to_dot(loss, depth=0, checks=failing(loss)), card.id)


def test_equal_names_on_a_card_are_all_there():
    class Twice(nn.Module):
        def forward(self, x):
            return F.relu(F.relu(np.sin(x)) + 1.0)

    loss = np.sum(Twice()(leaf(np.ones(2))))
    report = check_graph(loss)
    for row in report.rows:
        row.verdict = "FAIL" if row.op == "relu" else row.verdict
    assert "grad check FAIL: relu, relu" in texts(cards(loss, depth=0, checks=report)[0])


def test_a_failed_block_is_not_folded_with_its_equals():
    loss = residual_loss(8)
    report = check_graph(loss)
    row = next(r for r in report.rows if r.name == "blocks.3.fc2.linear")
    row.verdict = "FAIL"
    assert [n.title for n in cards(loss, depth=2, checks=report)] == [
        "0 to 2: Block x3",
        "3: Block",
        "4 to 7: Block x4",
    ]


def test_checks_are_of_this_graph():
    with pytest.raises(ValueError, match="another graph"):
        draw(training_step(), checks=check_graph(training_step()))
    layer = nn.Linear(2, 2)
    again = layer(np.ones((1, 2), np.float32)).sum()  # another graph on the same leaves
    with pytest.raises(ValueError, match="another graph"):
        draw(layer(np.ones((1, 2), np.float32)).sum(), checks=check_graph(again))
    x = leaf()
    assert "1 of 1 passed" in to_text(x, checks=check_graph(x))
    with pytest.raises(TypeError, match=r"check_graph\(loss\) returns, not bool"):
        draw(training_step(), checks=True)


def test_nan_and_zero_gradients_are_alarms():
    w, v = leaf([1.0, np.nan], name="w"), leaf([0.0, 0.0], name="v")
    loss = (w * v).sum()
    loss.backward(retain_graph=True)
    source = to_dot(loss)
    nodes, _ = describe(loss)
    assert ("1 nan/inf", "band") in only(nodes, title="w").rows and ("∂ 1 nan/inf", "band") in only(
        nodes, title="v"
    ).rows
    assert all("penwidth=3.5" in dot_line(source, n.id) for n in nodes)


def test_alarms_inside_a_card():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.data[...] = -1
    model[0].bias.data[...] = np.nan
    loss = model(np.ones((1, 2), np.float32)).sum()
    loss.backward(retain_graph=True)
    words = texts(cards(loss, depth=0)[0])
    (heading,) = read(loss, depth=0).heading
    assert heading.role == "alarm"
    assert "modules folded, nan/inf: 0.bias, 0.linear and 3 more" in heading.text
    assert "nan/inf: 0.bias, 0.linear and 2 more" in words and any(
        word.startswith(("∂ nan/inf: ", "∂ all 0: ")) for word in words
    )


# --------------------------------------------------------- tooltips, legend, gradients on the edges


def test_tooltips_tell_the_path_and_the_dtype():
    loss = training_step()
    nodes, _ = describe(loss)
    assert only(nodes, title="relu").tooltip == "relu\n(4, 5) float32"
    weight = next(n for n in nodes if n.title == "weight")
    assert weight.tooltip == "fc1.weight\n(5, 6) float32"


@needs_renderer
@pytest.mark.parametrize(
    "name",
    ['<b>&"\\{|}', "</title><script>alert(1)</script>", "\\N\\G\\n", "&amp;&eacute;", "張量"],
    ids=ascii,
)
def test_tooltips_survive_hostile_names(name):
    svg = ET.fromstring(draw(np.sin(leaf(name=name))).pipe("svg"))
    shown = [e.get("{http://www.w3.org/1999/xlink}title") for e in svg.iter()]
    assert any(text == f"{name}\n() float64" for text in shown)


def test_the_legend_shows_the_kinds_that_are_there():
    loss = training_step()
    source = to_dot(loss)
    kinds = {n.kind for n in describe(loss)[0]}
    assert len(kinds) == 8
    for kind, look in ((kind, look) for kind, look in LOOKS.items() if look.meaning):
        assert (f">{look.meaning} ({look.shape})<" in source) == (kind in kinds), kind
    assert "dotted line: no gradient" in source and "∂: the gradient" not in source
    assert (
        "legend" not in to_dot(loss, legend=False)
        and "legend" not in to_dot(leaf() * 2)
        and "legend" in to_dot(leaf() * 2, legend=True)
    )


def test_every_gradient_on_demand():
    loss = training_step()
    nodes, edges = describe(loss, grads="run")
    assert all(
        any(row.role in ("gradient", "alarm") for row in n.rows)
        for n in nodes
        if n.kind not in ("data", "frozen")
    )
    assert all(t.grad is None for t in mg.graph.nodes(loss)) and loss.args is not None
    told = {
        n.title: [r.text for r in n.rows if r.role == "gradient"] for n in nodes if not n.scope[1:]
    }
    assert told["loss"] == ["∂ 1"] and told["relu"] != told["cross entropy"] == ["∂ 1"]
    loss.backward(retain_graph=True)
    for kept, run in zip(*(describe(loss, grads=grads)[0] for grads in (True, "run"))):
        assert kept.kind != "parameter" or kept.rows == run.rows


def test_two_roots_get_their_gradients_together():
    x = leaf(3.0, name="x")
    y = x * x
    nodes, _ = describe([y * 2.0, y], grads="run")
    assert (
        texts(only(nodes, title="x"))[-1] == "∂ 18"
        and texts(only(nodes, title="multiply", is_root=True, kind="root", id="n1"))[-1] == "∂ 3"
    )
    assert texts(describe(x, grads="run")[0][0])[-1] == "∂ 1"


@pytest.mark.parametrize(
    "draw_noise, shown",
    [
        (lambda x: F.dropout(x, 0.3, training=True), "p=0.3"),
        (lambda x: F.dropout(x, 0.3, training=True, scaling="classic"), "p=0.3, scaling=classic"),
        (lambda x: F.dropout1d(x, 0.3, training=True), "p=0.3"),
        (lambda x: F.drop_path(x, 0.3, training=True), "p=0.3"),
        (lambda x: F.drop_connect(x, 0.3, training=True), "p=0.3"),
        (lambda x: F.alpha_dropout(x, 0.3, training=True), "Bernoulli(keep=0.7)"),
        (lambda x: F.gaussian_dropout(x, 0.2, training=True), "Normal(mean=1, std=0.5)"),
        (lambda x: F.gaussian_noise(x, 0.5, training=True), "Normal(mean=0, std=0.5)"),
    ],
)
def test_every_random_operation_shows_its_rate(draw_noise, shown):
    manual_seed(0)
    (node,) = [n for n in describe(draw_noise(leaf(np.ones((2, 3, 4)))))[0] if n.kind == "random"]
    assert ("attribute", shown) in [(row.role, row.text) for row in node.rows]


def test_under_no_grad_there_is_only_data():
    with mg.no_grad():
        y = leaf([1.0, 2.0]) * 3
    nodes, edges = describe(y)
    assert [(n.kind, n.is_root) for n in nodes] == [("data", True)] and not edges
    nodes, edges = describe(y * leaf(2.0))
    assert [n.kind for n in nodes] == ["data", "parameter", "root"] and [
        e.style for e in edges
    ] == ["none", "gradient"]


# -------------------------------------------------------------------------------- text, other names


def test_text_is_a_line_a_node():
    x = leaf([1.0, 2.0], name="x")
    loss = F.relu(x * x).sum()
    loss.backward(retain_graph=True)
    assert to_text(loss, title="squares").splitlines() == [
        *("squares", "4 nodes, 2 parameters", "n0 x (2,) | 1.50 ± 0.50 | ∂ 3.0 ± 1.0"),
        *(
            "n1 multiply (2,) <- n0 (twice) | 2.5 ± 1.5",
            "n2 relu (2,) <- n1 | 2.5 ± 1.5",
            "n3 sum <- n2 | = 5",
        ),
    ]
    assert "0.weight (2, 2)" in to_text(nn.Sequential(nn.Linear(2, 2))(np.ones((1, 2), np.float32)))


def test_a_report_names_nodes_as_the_text_and_the_picture_do():
    loss = residual_loss(2)
    names = {
        row.name.split("#")[0]
        for row in check_graph(loss).rows
        if not {"_", "gelu", "add"} & {*re.findall(r"[a-z]+|_", row.name)}
    }
    assert {"stem.linear", "blocks.0.drop.dropout", "blocks.1.fc2.weight"} < names
    assert names <= {line.split()[1] for line in to_text(loss, depth=None).splitlines()}
    assert "grad check FAIL: blocks.0.drop.dropout\n" in to_text(loss, checks=failing(loss))


def test_no_picture_needs_a_package_of_python():
    program = (
        "import sys; sys.modules['graphviz'] = None; from minigrad import *; "
        "y = 2 * Tensor([1.0], True); assert draw(y).source == to_dot(y) and to_html(y.sum())"
    )
    python("-c", program)


def test_all_ways_to_draw_draw_the_same():
    loss = training_step()
    assert to_dot(loss, depth=1, title="a") == draw(loss, depth=1, title="a").source
    assert mg.draw is draw and mg.to_dot is to_dot and mg.to_text is to_text


def test_the_docstring_has_every_option():
    told = re.findall(r"^    (\w+)  +\S", draw.__doc__, flags=re.M)
    assert sorted(told) == sorted([*OPTIONS, "to_file"])
    wrong = {"depth": [-1], "legend": ["tiny"], "max_nodes": [0, 2.5, None, "many"]}
    for name, value in [(name, value) for name, values in wrong.items() for value in values]:
        with pytest.raises(ValueError, match=f"draw: {name} (is|must be)"):
            draw(leaf(), **{name: value})


def test_rows_can_be_left_out():
    loss = training_step()
    bare = to_text(loss, values=False, grads=False)
    assert not re.search(r"±| = |∂", bare) and "p=0.5" in bare


# -------------------------------------------------------------------- the picture as it is laid out


def outlines(node):
    """Polygons around a node of an SVG, as lists of points."""
    for e in node.iter():
        if e.tag.endswith("polygon") or e.tag.endswith("polyline"):
            yield [tuple(map(float, p.split(","))) for p in e.get("points").split()]
        elif e.tag.endswith("path"):
            points = [
                tuple(map(float, p)) for p in re.findall(r"(-?[\d.]+),(-?[\d.]+)", e.get("d"))
            ]
            (left, top), (right, bottom) = map(min, zip(*points)), map(max, zip(*points))
            yield [(left, top), (right, top), (right, bottom), (left, bottom)]
        elif e.tag.endswith("ellipse"):
            cx, cy, rx, ry = (float(e.get(k)) for k in ("cx", "cy", "rx", "ry"))
            yield [
                (cx + rx * np.cos(a), cy + ry * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 60)
            ]


def span(polygon, y):
    """The interval in which the horizontal line at y lies inside a convex polygon."""
    found = []
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1]):
        if min(y1, y2) <= y <= max(y1, y2) and y1 != y2:
            found.append(x1 + (x2 - x1) * (y - y1) / (y2 - y1))
    return (min(found), max(found)) if found else (0, 0)


@needs_renderer
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"depth": 1},
        {"depth": 0},
        {"grads": "run", "noise": True, "direction": "LR"},
    ],
    ids=str,
)
def test_text_fits_its_node(options):
    loss = training_step()
    loss.backward(retain_graph=True)
    svg = ET.fromstring(draw(loss, checks=failing(loss), **options).pipe("svg"))
    count = 0
    for node in (g for g in svg.iter() if g.get("class") == "node"):
        shapes = sorted(outlines(node), key=lambda points: -np.ptp(points, axis=0).prod())
        for e in node.iter():
            if e.tag.endswith("text") and shapes:
                size, left, y = (float(e.get(k)) for k in ("font-size", "x", "y"))
                right = left + float(e.get("textLength"))
                for height in (0, 0.6 * size):
                    low, high = span(shapes[0], y - height)
                    assert low - 1 <= left and right <= high + 1, (e.text, left, right, low, high)
                count += 1
    assert count > 20


def places(drawing):
    """{id of a node: (x, y) of its middle in the SVG, y downwards}."""
    boxes = {
        g[0].text: np.array(sum(outlines(g), []))
        for g in ET.fromstring(drawing.pipe("svg")).iter()
        if g.get("class") == "node"
    }
    return {
        id: tuple((points.min(axis=0) + points.max(axis=0)) / 2)
        for id, points in boxes.items()
        if len(points)
    }


@needs_renderer
@pytest.mark.parametrize("options", [{}, {"noise": True}], ids=str)
def test_text_keeps_off_slanted_and_round_outlines(options):
    class Noisy(nn.Module):
        def __init__(self):
            self.a_dropout_with_a_long_name, self.noise = nn.Dropout(0.5), nn.GaussianDropout(0.2)
            self.fc = nn.Linear(3, 3, penalty=nn.ElasticNet(1e-3, 1e-3))

        def forward(self, x):
            return self.noise(self.a_dropout_with_a_long_name(self.fc(x)))

    manual_seed(0)
    model = Noisy()
    loss = np.mean(model(np.ones((2, 3)))) + model.penalty()
    drawing = draw(loss, checks=check_graph(loss), **options)
    kinds = {n.id: n.kind for n in read(loss, checks=check_graph(loss), **options).nodes}
    for node in (g for g in ET.fromstring(drawing.pipe("svg")).iter() if g.get("class") == "node"):
        if kinds.get(node[0].text) in ("random", "penalty", "noise"):
            (outline,) = outlines(node)
            for e in (e for e in node.iter() if e.tag.endswith("text")):
                left, y, size = (float(e.get(k)) for k in ("x", "y", "font-size"))
                right = left + float(e.get("textLength"))
                for low, high in (span(outline, y), span(outline, y - 0.7 * size)):
                    assert low + 2 < left and right < high - 2, (e.text, low, left, right, high)


@needs_renderer
def test_lines_of_text_stand_evenly():
    loss = training_step()
    for node in (
        g
        for g in ET.fromstring(draw(loss, checks=check_graph(loss)).pipe("svg")).iter()
        if g.get("class") == "node"
    ):
        lines = sorted(
            float(e.get("y"))
            for e in node.iter()
            if e.tag.endswith("text") and e.get("font-size") in ("9.00", "10.00")
        )
        assert all(12 < step < 15 for step in np.diff(lines)), np.diff(lines)


@needs_renderer
def test_edges_run_downwards_when_a_module_is_called_again_on_its_own_result():
    manual_seed(0)
    f, g = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    x = Tensor(np.ones((2, 3), np.float32), name="x")
    for y in (
        np.tanh(f(np.tanh(f(x)))).sum(),
        g(np.tanh(f(g(np.tanh(f(x)))))).sum(),
        (f(np.sin(f(x)))[0] @ f.weight).sum() + F.l2_penalty(f.weight, c=0.1),
    ):
        drawing, (nodes, edges, *_) = draw(y), read(y)
        at, kinds = places(drawing), {n.id: n.kind for n in nodes}
        assert all(
            at[e.source][1] < at[e.target][1]
            for e in edges
            if kinds[e.source] not in ("parameter", "data")
        )


@needs_renderer
def test_a_shared_weight_stands_on_the_right_where_its_lines_are_out_of_the_way():
    class Tied(nn.Module):
        def __init__(self):
            self.enc = nn.Linear(6, 6)

        def forward(self, x):
            return np.tanh(self.enc(np.tanh(self.enc(x)))) @ self.enc.weight.T

    tied = Tied()
    drawing = draw(np.mean(tied(np.ones((3, 6), np.float32)) ** 2) + nn.penalty(tied, nn.L2(1e-2)))
    at, ids = (
        places(drawing),
        {line.split()[1]: line.split()[0] for line in drawing.text.splitlines()},
    )
    assert at[ids["enc.bias"]][0] < at[ids["enc.weight"]][0]


@needs_renderer
def test_text_in_an_svg_has_the_width_it_was_laid_out_for():
    svg = draw(leaf(name="weight") * leaf(name="張量")).pipe("svg").decode()
    width = float(re.search(r'<text textLength="([\d.]+)"[^>]*>weight</text>', svg)[1])
    letters = {"w": 778, "e": 556, "i": 278, "g": 611, "h": 611, "t": 333}  # of Arial Bold
    assert width == pytest.approx(11 * sum(letters[c] for c in "weight") / 1000, abs=0.2)
    assert not re.search(r"<text [^>]*textLength[^>]*>張量<", svg)
    assert "font-family=\"Arial, Helvetica, 'Liberation Sans'" in svg
    heading = draw(training_step(), title="A heading that is wider than its picture" * 2).pipe(
        "svg"
    )
    texts = [e for e in ET.fromstring(heading).iter() if e.tag.endswith("text")]
    assert len(texts) > 60 and all(float(e.get("textLength")) > 0 for e in texts)
    assert max(float(e.get("x")) + float(e.get("textLength")) for e in texts) <= float(
        ET.fromstring(heading).get("width").removesuffix("pt")
    )
    assert "%3" not in svg and "%0" not in svg


@needs_renderer
def test_an_svg_of_windows_and_one_without_xdot_are_finished_too():
    drawing = draw(training_step())
    (program, *_), plain = renderers(), drawing.pipe()
    output = subprocess.run(
        [program, "-Tsvg", "-Txdot"], input=drawing.source.encode(), capture_output=True
    ).stdout.decode()
    assert module._finished(output.replace("\n", "\r\n")).encode() == plain
    alone = module._finished(output[: output.index("</svg>\n") + len("</svg>\n")])
    assert "textLength" not in alone and len(list(ET.fromstring(alone).iter())) > 100


@needs_renderer
def test_titles_of_boxes_lie_above_the_arrows():
    """Arrows would strike through them."""
    svg = re.sub(r'xlink:title="[^"]*"', "", draw(training_step()).pipe("svg").decode())
    titles = svg[svg.index('<g paint-order="stroke"') :]
    told = [">fc1<", "Linear(6, 5)", "35 parameters"]
    assert all(svg.count(text) == titles.count(text) == 1 for text in told)
    assert "<path" not in titles and "<polygon" not in titles


@pytest.mark.skipif(os.name != "posix", reason="the stand-in renderers are shell scripts")
def test_programs_that_hang_fail_or_write_nothing_are_passed_over(tmp_path, monkeypatch):
    for name, body in (
        ("own", "exec sleep 30"),
        ("empty", "exit 0"),
        ("bad", "exit 1"),
        ("good", "cat >/dev/null; echo drawn"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(module, "SECONDS", 2)  # enough for a shell on a busy machine
    programs = [str(tmp_path / name) for name in ("own", "empty", "bad", "good")]
    monkeypatch.setattr(module, "renderers", lambda: programs)
    assert draw(leaf()).pipe("png") == b"drawn\n"
    del programs[0]
    assert draw(leaf()).pipe("svg").startswith(b"drawn\n")


@needs_renderer
def test_a_virtual_environment_need_not_be_on_the_path():
    program = "from minigrad import Tensor, draw; assert draw(Tensor(1.0)).pipe('svg').startswith(b'<?xml')"
    python("-c", program, PATH="")


# ---------------------------------------------------------------------------------- golden pictures


GOLDEN = Path(__file__).parent / "golden"
PICTURES = ROOT / "examples" / "pictures"


def golden():
    """{name: DOT text}."""
    step, deep = training_step(), residual_loss(p=0.0)
    deep.backward(retain_graph=True)
    return {
        "mlp": to_dot(step, values=False, checks=check_graph(step), title="MLP"),
        "mlp_depth_1": to_dot(step, values=False, depth=1, legend=False),
        "residual": to_dot(deep, title="A residual net"),
        "residual_depth_2": to_dot(deep, depth=2, direction="LR"),
    }


def stable(dot):
    """The text without tooltips, which hold numbers in full, and without the sizes of numeric
    errors.
    """
    return re.sub(
        r"grad ok( < 1e-15| &lt; 1e-15| \d\.\de[-+]\d\d)",
        "grad ok",
        re.sub(r' tooltip="(\\.|[^"\\])*"', "", dot),
    )


@pytest.mark.fixed_seeds
@pytest.mark.parametrize("name", ["mlp", "mlp_depth_1", "residual", "residual_depth_2"])
def test_golden_dot_texts(name, request):
    file, text = GOLDEN / f"{name}.gv", stable(golden()[name])
    if request.config.getoption("golden"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), "pytest --golden writes it anew"


@pytest.mark.fixed_seeds
@pytest.mark.parametrize("name", ["main", "readme", "failed"])
def test_the_committed_pictures_are_what_the_code_draws(name, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.syspath_prepend(PICTURES.parent)
    drawings = runpy.run_path(str(PICTURES.parent / "pictures.py"))["drawings"]()
    assert stable(drawings[name].source) == stable(
        (PICTURES / f"{name}.gv").read_text(encoding="utf-8")
    ), "python examples/pictures.py draws them anew"
    assert (PICTURES / f"{name}.svg").exists()


def test_the_photograph_of_the_page_is_there():
    """Its pixels depend on the browser and its fonts; test_page.py tests the page itself."""
    picture = (PICTURES / "stepper.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and [
        int.from_bytes(picture[i : i + 4], "big") for i in (16, 20)
    ] == [1280, 860]


def test_a_mask_of_minus_infinity_is_no_trouble():
    mask, scores = np.triu(np.full((3, 3), -np.inf), 1), Tensor(np.zeros((3, 3)), True)
    loss = np.sum(
        F.softmax(scores)
        * F.scaled_dot_product_attention(scores, scores, scores, mask, training=False)
    )
    assert "nan/inf" not in mg.to_text(loss).splitlines()[0]
    assert "nan/inf: add" in mg.to_text(np.sum(scores + mask)).splitlines()[0]
    nodes, _ = describe(loss)
    assert {r.role for n in nodes for r in n.rows if r.text == "3 nan/inf"} == {"value"}


def test_the_work_for_the_edges_of_a_wide_op_grows_with_its_operands(monkeypatch):
    read = []
    label = Node.label.fget
    monkeypatch.setattr(Node, "label", property(lambda self: read.append(self) or label(self)))

    def reads(n):
        read.clear()
        describe(np.stack([mg.Tensor([1.0], requires_grad=True) * i for i in range(n)]))
        return len(read)

    assert reads(80) < 2.5 * reads(40)

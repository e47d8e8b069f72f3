"""What a picture folds: modules, loops over layers and over time, branches side by side.

No node gets lost, and no picture has a cycle.
"""

import numpy as np
import pytest
from helpers import assert_linear, leaf
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad.functional as F
from minigrad import nn
from minigrad.drawing import describe, to_dot
from minigrad.drawing.node import module_text
from minigrad.engine import Tensor
from minigrad.graph import nodes as nodes_of
from minigrad.noise import Noise, manual_seed


def data(*shape, name="x"):
    return Tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32), name=name)


class Block(nn.Module):
    def __init__(self, n):
        self.fc1, self.fc2, self.drop = nn.Linear(n, 2 * n), nn.Linear(2 * n, n), nn.Dropout(0.1)

    def forward(self, x):
        return x + self.drop(self.fc2(F.gelu(self.fc1(x))))


class Residual(nn.Module):
    def __init__(self, blocks):
        self.stem, self.blocks, self.head = (
            nn.Linear(6, 4),
            [Block(4) for _ in range(blocks)],
            nn.Linear(4, 3),
        )

    def forward(self, x):
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Cell(nn.Module):
    def __init__(self, n, hidden):
        self.ih, self.hh = nn.Linear(n, hidden), nn.Linear(hidden, hidden, bias=False)

    def forward(self, x, h):
        return np.tanh(self.ih(x) + self.hh(h))


class Recurrent(nn.Module):
    """One cell for all steps. If `every`, each step has an output."""

    def __init__(self, every):
        self.cell, self.out, self.every = Cell(6, 5), nn.Linear(5, 3), every

    def forward(self, x):
        h, found = Tensor(np.zeros((len(x), 5), np.float32), name="h0"), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            found += [self.out(h)] if self.every else []
        return np.stack(found, axis=1) if self.every else self.out(h)


class Branches(nn.Module):
    """Four blocks left and four right, computed branch after branch or in turn."""

    def __init__(self, in_turn):
        self.left, self.right, self.mix = (
            [Block(4) for _ in range(4)],
            [Block(4) for _ in range(4)],
            nn.Linear(8, 3),
        )
        self.in_turn = in_turn

    def forward(self, x):
        a = b = x
        steps = (
            zip(self.left, self.right)
            if self.in_turn
            else [*((f, None) for f in self.left), *((None, f) for f in self.right)]
        )
        for f, g in steps:
            a, b = f(a) if f else a, g(b) if g else b
        return self.mix(np.concatenate([a, b], axis=1))


class Heads(nn.Module):
    def __init__(self, heads):
        self.heads, self.out = (
            [nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 2)) for _ in range(heads)],
            nn.Linear(2 * heads, 3),
        )

    def forward(self, x):
        return self.out(np.concatenate([head(x) for head in self.heads], axis=1))


def drawn(root, **options):
    """(titles, {(source, target)} of titles) of all nodes but data."""
    nodes, edges = describe(root, **({"depth": "auto"} | options))
    titles = {n.id: n.title for n in nodes if n.kind != "data"}
    return list(titles.values()), {
        (titles[e.source], titles[e.target]) for e in edges if e.source in titles
    }


def test_residual_blocks_are_one_card():
    titles, edges = drawn(Residual(10)(data(8, 6)))
    assert (
        titles
        == ["stem: Linear(6, 4)", "relu", "blocks.0 to blocks.9: Block x10", "head: Linear(4, 3)"]
        and len(edges) == 3
    )


def test_steps_in_time_are_one_card_of_the_module_that_is_called_again():
    x = data(4, 20, 6, name=None)
    titles, edges = drawn(Recurrent(every=False)(x), depth=1)
    assert titles == ["cell: Cell x20", "out: Linear(5, 3)"] and edges == {tuple(titles)}
    titles, edges = drawn(Recurrent(every=True)(x), depth=1)
    assert titles == ["cell: Cell, out: Linear(5, 3) x20", "stack"] and edges == {tuple(titles)}
    (step,) = [n for n in describe(Recurrent(every=True)(x), depth=1)[0] if n.kind == "module"]
    assert step.rows[0].text == "105 nodes, 78 parameters"
    (inputs,) = [n for n in describe(Recurrent(every=True)(x), depth=1)[0] if n.title == "x x20"]
    assert inputs.kind == "data" and [row.text for row in inputs.rows][0] == "each (4, 6)"


def test_a_cell_that_is_open_shows_its_weights_beside_its_steps():
    """The automatic depth opens the cell. Its 20 steps are one card."""
    titles, edges = drawn(Recurrent(every=False)(data(4, 20, 6, name=None)))
    assert sorted(titles) == sorted(
        [
            "weight",
            "bias",
            "weight",
            "weight",
            "bias",
            "linear, linear, add, tanh x20",
            "linear",
        ]
    )
    assert ("linear, linear, add, tanh x20", "linear") in edges


def test_the_steps_cut_from_a_named_input_are_part_of_the_loop():
    titles, edges = drawn(Recurrent(every=False)(data(4, 20, 6)), depth=1)
    assert titles == ["getitem, cell: Cell x20", "out: Linear(5, 3)"] and edges == {tuple(titles)}


@pytest.mark.parametrize(
    "layer, cell", [(nn.RNN, "rnn cell"), (nn.GRU, "gru cell"), (nn.LSTM, "lstm cell")]
)
def test_layers_over_time(layer, cell):
    titles, edges = drawn(layer(6, 5)(data(80, 2, 6))[0].sum())
    assert f"linear, {cell} x80" in titles and len(titles) <= 9
    assert (f"linear, {cell} x80", "stack") in edges
    titles, _ = drawn(layer(6, 5)(data(4, 2, 6))[0].sum())  # a few steps fit, so they are shown
    assert titles.count(cell) == 4


def test_a_module_called_again_and_again_is_folded_if_its_calls_do_not_fit():
    layer = nn.Linear(3, 3)
    for times in (1, 2, 4, 13, 30):
        y = data(2, 3)
        for _ in range(times):
            y = np.tanh(layer(y))
        assert (f"linear, tanh x{times}" in drawn(y.sum())[0]) == (times > 15)
        assert len(drawn(y.sum(), depth=None)[0]) == 3 + 2 * times
    attention = nn.MultiheadAttention(
        4, 2, batch_first=True
    )  # takes slices of a weight, side by side
    x = data(1, 3, 4)
    assert drawn(attention(x, x, x, need_weights=False)[0].sum())[0].count("getitem") == 6
    h, x = leaf(1.0, name="h"), leaf(2.0, name="x")
    for _ in range(4):  # no module: a loop that fits stays as it is
        h = np.tanh(h * x)
    assert len(drawn(h)[0]) == 10


def test_transformer_blocks_are_one_card():
    class Attending(nn.Module):
        def __init__(self):
            self.norm, self.attention, self.drop = (
                nn.LayerNorm(8),
                nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True),
                nn.Dropout(0.2),
            )

        def forward(self, x):
            y = self.norm(x)
            return x + self.drop(self.attention(y, y, y, is_causal=True, need_weights=False)[0])

    nodes, _ = describe(
        nn.Sequential(*[Attending() for _ in range(12)])(data(2, 5, 8)).sum(), depth="auto"
    )
    (card,) = [n for n in nodes if n.kind == "module"]
    lines = [row.text for row in card.rows if row.role == "attribute"]
    assert (
        card.title == "0 to 11: Attending x12"
        and len(nodes) <= 5
        and lines[1:] == ["scaled dot product attention p=0.1 x12", "dropout p=0.2 x12"]
    )


def test_modules_in_short():
    nested = nn.Sequential(nn.ReLU())
    modules = (
        nn.Linear(3, 4),
        nn.Linear(3, 4, bias=False, penalty=nn.L2(0.1)),
        nn.LayerNorm(4),
        nn.BatchNorm2d(8, eps=0.1),
        nn.Dropout(0.5),
        nn.ReLU(),
    )
    words = [
        "Linear(3, 4)",
        "Linear(3, 4, bias=False, penalty=L2(0.1))",
        "LayerNorm((4,))",
        "BatchNorm2d(8, eps=0.1)",
        "Dropout(p=0.5)",
        "ReLU",
    ]
    assert (
        list(map(module_text, modules, map(repr, modules))) == words
        and module_text(nested, repr(nested)) == "Sequential"
    )


def test_a_loop_without_modules():
    W, U, b = (
        leaf(np.ones((6, 5)), name="W"),
        leaf(np.ones((5, 5)), name="U"),
        leaf(np.ones(5), name="b"),
    )
    h = Tensor(np.zeros((2, 5)), name="h0")
    for x in np.random.default_rng(0).normal(size=(20, 2, 6)):
        h = np.tanh(x @ W + h @ U + b)
    titles, edges = drawn(h.sum())
    step = "matmul, matmul, add, add, tanh x20"
    assert titles == ["W", "U", "b", step, "sum"]
    assert edges == {("W", step), ("U", step), ("b", step), (step, "sum")}


def test_a_depth_also_folds_the_steps_that_repeat():
    y = data(2, 3)
    for _ in range(450):
        y = np.tanh(y)
    assert drawn(y, depth=1)[0] == ["tanh x449", "tanh"]  # the root stands alone
    assert len(drawn(y, depth="auto", max_nodes=460)[0]) == 450
    titles, _ = drawn(y, depth=None)
    assert len(titles) == 400 and titles[0] == "52 older nodes"  # x is one of them


def test_weights_of_layers_without_modules_are_one_node():
    h, weights = data(2, 4), [leaf(np.full((4, 4), 0.1 * i), name=f"w{i}") for i in range(1, 31)]
    for w in weights:
        h = F.relu(h @ w)
    loss = F.l2_penalty(*weights, c=0.1) + h.sum()
    nodes, edges = describe(loss, depth="auto")
    (card,) = [n for n in nodes if n.kind == "parameter"]
    assert card.title == "w1 to w30 x30" and [row.text for row in card.rows][:2] == [
        "480 parameters",
        "each (4, 4)",
    ]
    assert {n.title for n in nodes if (card.id, n.id) in {(e.source, e.target) for e in edges}} == {
        "matmul, relu x30",
        "l2 penalty",
    }


def test_branches_stay_apart_unless_they_are_computed_in_turn():
    left, right, end = "left.0 to left.3: Block x4", "right.0 to right.3: Block x4", "concatenate"
    titles, edges = drawn(Branches(in_turn=False)(data(4, 4)), depth=1)
    assert titles[:3] == [left, right, end] and {(left, end), (right, end)} < edges
    titles, _ = drawn(Branches(in_turn=True)(data(4, 4)), depth=1)
    assert titles == ["left.0: Block, right.0: Block x4", "concatenate", "mix: Linear(8, 3)"]


def test_many_heads_side_by_side():
    nodes, _ = describe(Heads(16)(data(5, 4)), depth="auto")
    assert [n.title for n in nodes if n.kind != "data"] == [
        "heads.0 to heads.15: Sequential x16 side by side",
        "concatenate",
        "out: Linear(32, 3)",
    ]
    titles, _ = drawn(Heads(3)(data(5, 4)))  # three fit
    assert titles.count("1: tanh") == 3


def test_one_module_on_several_inputs():
    twin = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    nodes, _ = describe(np.stack([twin(data(3, 4)) for _ in range(4)]).sum(), depth=0)
    titles = {n.title: [row.text for row in n.rows if row.role == "attribute"] for n in nodes}
    assert (
        titles["Sequential x4 side by side"] == ["16 nodes, 30 parameters"] and titles["x x4"] == []
    )


def test_losses_of_steps_and_penalties_of_layers_are_terms_of_the_root():
    model, loss = (
        nn.Sequential(*[layer for _ in range(20) for layer in (nn.Linear(3, 3), nn.ReLU())]),
        0.0,
    )
    for _ in range(3):
        loss = loss + F.cross_entropy(model(data(4, 3)), np.arange(4) % 3)
    for w in model.parameters():
        loss = loss + F.l2_penalty(w, c=1e-3)
    nodes, _ = describe(loss, depth="auto")
    titles = [n.title for n in nodes]
    assert "add, l2 penalty x40" in titles and len(nodes) < 20
    (root,) = [n for n in nodes if n.is_root]
    terms = [row.text for row in root.rows if row.role == "term"]
    assert [t.split(" ")[:3] for t in terms] == [
        ["cross", "entropy", "x3"],
        ["l2", "penalty", "x40"],
    ]


def test_a_parameter_that_is_used_before_its_module_is_called_stays_outside_the_card():
    layer = nn.Linear(3, 3)
    gain = np.sum(np.tanh(layer.weight))
    nodes, edges = describe(layer(np.ones((2, 3), np.float32) * gain).sum(), depth=0)
    place = {n.id: i for i, n in enumerate(nodes)}
    assert all(place[e.source] < place[e.target] for e in edges)
    (card,) = [n for n in nodes if n.kind == "module"]
    assert [n.title for n in nodes if n.kind == "parameter"] == ["weight"]
    assert card.rows[0].text == "2 nodes, 3 parameters"


def test_a_pattern_of_two_branches_and_a_join():
    """A decoder with attention: its step is one card."""
    keys, h, out = leaf(np.ones((5, 4))), leaf(np.ones(4)), []
    W, V = leaf(np.ones((8, 4)), name="W"), leaf(np.ones((4, 2)), name="V")
    for _ in range(12):
        context = F.softmax(keys @ h) @ keys
        h = np.tanh(np.concatenate([h, context]) @ W)
        out.append(h @ V)
    titles, edges = drawn(np.stack(out).sum())
    step = "matmul, softmax, matmul, concatenate,... x12"
    assert titles[2:] == ["W", "V", step, "stack", "sum"] and (step, "stack") in edges


def test_named_and_wrong_nodes_stay_out_of_loops():
    x, steps = leaf(name="x"), [leaf(name="h")]
    for _ in range(80):
        steps.append(np.sin(steps[-1] * x))
    steps[41].name = "kept"
    titles, _ = drawn(steps[-1])
    assert titles == [
        "h",
        "x",
        "multiply, sin x40",
        "multiply",
        "kept = sin",
        "multiply, sin x38",
        "multiply",
        "sin",
    ]


# ---------------------------------------------------------------------------------------- any graph


@st.composite
def programs(draw):
    """The root of a random program with loops and a module that is called again."""
    manual_seed(0)
    layer, made = (
        nn.Linear(3, 3, dtype=np.float64),
        [leaf(np.ones((3, 3))), Tensor(np.full((3, 3), 2.0)), leaf(np.full((3, 3), 0.5))],
    )
    functions = [
        np.add,
        np.multiply,
        np.sin,
        np.tanh,
        layer,
        F.silu,
        lambda x: F.dropout(x, 0.5, training=True),
        lambda x: F.l2_penalty(x, c=0.1) * x,
    ]
    for _ in range(draw(st.integers(1, 4))):
        step = draw(
            st.lists(
                st.tuples(st.sampled_from(functions), st.integers(1, 8), st.integers(1, 8)),
                min_size=1,
                max_size=5,
            )
        )
        for _ in range(draw(st.integers(1, 6))):
            for f, i, j in step:
                a, b = made[-min(i, len(made))], made[-min(j, len(made))]
                made.append(f(a, b) if f in (np.add, np.multiply) else f(a))
    return made[-1].sum()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # random programs may overflow
@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    programs(), st.sampled_from(["auto", None, 0, 1]), st.sampled_from([3, 8, 60]), st.booleans()
)
def test_nothing_gets_lost_and_nothing_runs_in_a_circle(root, depth, most, noise):
    nodes, edges = describe(root, depth=depth, max_nodes=most, noise=noise)
    place, home = (
        {n.id: i for i, n in enumerate(nodes)},
        {t.order: n.id for n in nodes for t in n.tensors},
    )
    assert all(place[e.source] < place[e.target] for e in edges)
    assert len(home) == sum(len(n.tensors) for n in nodes)
    assert depth != "auto" or len(nodes) <= most
    wanted = [t for t in nodes_of(root) if noise or not isinstance(t, Noise)]
    assert {t.order for t in wanted} <= home.keys()
    joined = {(e.source, e.target) for e in edges}
    for t in wanted:
        for a in t.args:
            if isinstance(a, Tensor) and a.order in home and home[a.order] != home[t.order]:
                again = type(a) is nn.Parameter and any(
                    n.kind == "module" for n in nodes
                )  # drawn in the first call of its module
                assert again or (home[a.order], home[t.order]) in joined


# -------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize("options", [{}, {"depth": None}, {"grads": "run"}], ids=str)
def test_the_cost_of_a_picture_grows_with_the_nodes_and_not_with_their_square(options):
    def picture(blocks):
        deep = Residual(blocks)(data(8, 6)).sum()
        return lambda: to_dot(deep, **options)

    assert_linear(picture, 15)  # of 120 blocks, more than 1,400 nodes


def test_a_crowd_of_leaves_of_different_shapes_is_one_box_without_a_shape():
    """Their values and gradients are told together."""
    leaves = [Tensor(np.full(i + 1, 2.0), True, name=f"w{i}") for i in range(60)]
    loss = np.sum(np.concatenate(leaves) * 3.0)
    loss.backward(retain_graph=True)
    nodes, _ = describe(loss, depth="auto")
    texts = [row.text for row in nodes[0].rows]
    assert len(nodes) == 50 and nodes[0].title == "14 older nodes"
    assert texts == ["105 parameters", "all 2", "∂ all 3"]


def test_a_card_of_the_oldest_nodes_shows_the_value_of_its_newest_result():
    """The newest of these nodes is the leaf c."""
    y = np.tanh(2.0 * np.cos(2.0 * np.sin(1.0)))
    x, a, b, c, d = (leaf(value, name=n) for n, value in zip("xabcd", (1.0, 2.0, 2.0, 2.0, 2.0)))
    root = np.exp(np.tanh(np.cos(np.sin(x) * a) * b) * c) * d
    card, *others = describe(root, depth="auto", max_nodes=5)[0]
    assert [node.title for node in others] == ["multiply", "exp", "d", "multiply"]
    assert [row.text for row in card.rows] == ["9 nodes, 4 parameters", f"= {y:.3g}"]


def test_steps_of_other_shapes_do_not_fold():
    y = leaf(np.ones(100), name="x")
    for _ in range(30):
        y = np.tanh(y)[:-1]
    titles, _ = drawn(y, max_nodes=40)
    assert titles[:2] == ["22 older nodes", "getitem"]


def chain(length):
    y = leaf(1.0, name="x")
    for _ in range(length):
        y = np.tanh(y) * 1.01 + 0.1
    return 3 * (y * y)


def test_a_long_chain_is_one_card():
    titles, _ = drawn(chain(2000))
    assert titles == ["x", "tanh, multiply, add x2,000", "multiply", "multiply"]


def test_the_cost_of_a_card_grows_with_its_nodes_and_not_with_their_square():
    def picture(length):
        loss = chain(length)
        return lambda: drawn(loss)

    assert_linear(picture, 250)


@pytest.mark.parametrize(("count", "drawn"), [(47, 50), (48, 4), (60, 4)])
def test_a_crowd_of_leaves_that_are_alike_is_one_box(count, drawn):
    leaves = [Tensor(np.full(3, i + 1.0), True, name=f"w{i}") for i in range(count)]
    other = Tensor(np.ones(2), True, name="w")
    loss = np.sum(np.stack(leaves) ** 2)
    loss.backward(retain_graph=True)
    nodes, _ = describe(loss, depth="auto")
    assert len(nodes) == drawn
    every = 2.0 * np.arange(1, count + 1)  # the gradient of a leaf is 2 w
    if count > 47:
        assert (
            nodes[0].title == f"w0 to w{count - 1} x{count}"
            and (f"{every.mean() / 2:.0f} ± {every.std() / 2:.0f}", "value") in nodes[0].rows
            and (f"∂ {count + 1} ± {every.std():.0f}", "gradient") in nodes[0].rows
        )
    assert (
        len(describe(loss + np.sum(np.concatenate([*leaves, other])), depth="auto")[0]) == 8
    )  # another shape stays apart
    assert len(describe(loss)[0]) == count + 3  # and with depth=None all do

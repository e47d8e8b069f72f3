"""Pictures: what the records and the DOT text hold, and that every picture can be rendered."""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import minigrad.functional as F
from minigrad import nn
from minigrad.draw import LOOKS, describe, draw
from minigrad.engine import Noise, Tensor, frozen_noise, manual_seed, stream
from minigrad.ops import stochastic

graphviz = pytest.importorskip("graphviz")

from minigrad import render as module  # noqa: E402 - needs graphviz
from minigrad.render import renderers  # noqa: E402

needs_renderer = pytest.mark.skipif(not renderers(), reason="no Graphviz program: pip install graphviz-pure")


class MLP(nn.Module):
    def __init__(self):
        self.fc1, self.drop, self.fc2 = nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3)
        self.fc2.bias.requires_grad = False

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))


def training_step():
    manual_seed(0)
    model = MLP()
    x = Tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6))
    weights = model.fc1.weight, model.fc2.weight
    data_loss = F.cross_entropy(model(x), np.array([0, 2, 1, 1]))
    return data_loss + F.l1_penalty(*weights, c=1e-2) + F.l2_penalty(*weights, c=1e-1)


def leaf(value=2.0, **kwargs):
    return Tensor(value, requires_grad=True, **kwargs)


def texts(node):
    return [node.title, *(row.text for row in node.rows)]


def only(nodes, **wanted):
    found = [n for n in nodes if all(getattr(n, k) == v for k, v in wanted.items())]
    assert len(found) == 1, f"{wanted}: {[n.title for n in found]} among {[(n.kind, n.title) for n in nodes]}"
    return found[0]


def dot_line(source, id):
    return next(line for line in source.splitlines() if line.startswith(f"{id} ["))


def renderable(drawing):
    return ET.fromstring(drawing.pipe("svg"))


# ------------------------------------------------------------------------------------------- nodes


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
    assert ("dashed" in line) == (kind == "frozen") and ("diagonals" in line) == (kind == "loss") and ("peripheries=2" in line) == (kind == "root")


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
        (np.zeros(3), "all 0"),
        (np.full(3, 0.5), "all 0.5"),
        (np.array([3, 0, 2]), "int 0..3"),
        (np.array([True, False]), "50% true"),
        (np.array([-0.35, 0.29]), "-0.03 ± 0.32"),
        (np.array([-4.6e-4, 7.0e-4]), "(1.2 ± 5.8)e-4"),
        (np.array([1.0, np.nan, np.inf]), "2 nan/inf"),
        (np.zeros((0, 3)), "empty"),
    ],
)
def test_arrays_in_a_line(array, text):
    nodes, _ = describe(Tensor(array))
    assert text in texts(nodes[0])


def test_a_gradient_before_backward_is_not_computed_rather_than_zero():
    x, y = leaf(), leaf(3.0)
    loss = x * y
    assert all("∂ not computed" in texts(n) for n in describe(loss)[0] if n.kind == "parameter")
    loss.backward(retain_graph=True)
    assert [texts(n)[-1] for n in describe(loss)[0] if n.kind == "parameter"] == ["∂ 3", "∂ 2"]


def test_a_gradient_of_zeros_is_an_alarm():
    x = leaf([-1.0, -2.0])
    loss = F.relu(x).sum()
    loss.backward(retain_graph=True)
    assert ("∂ all zero", "alarm") in only(describe(loss)[0], kind="parameter").rows


def test_a_gradient_of_a_result_is_shown_when_kept():
    x = leaf()
    y = np.exp(x)
    z = 3 * y
    y.retain_grad()
    z.backward(retain_graph=True)
    assert "∂ 3" in texts(only(describe(z)[0], title="exp"))
    assert not any(row.role == "gradient" for row in only(describe(z)[0], kind="root").rows)


def test_a_freed_graph_says_so():
    x = leaf()
    y = (x * x).sum()
    y.backward()
    nodes, edges = describe(y)
    assert len(nodes) == 1 and not edges
    assert "graph freed by backward(): draw before it, or use backward(retain_graph=True)" in " ".join(texts(nodes[0]))


def test_numbers_are_text_or_nodes():
    y = 2 * leaf(3.0) ** 2
    nodes, _ = describe(y)
    assert "2 * x" in texts(only(nodes, kind="root")) and "x ** 2" in texts(only(nodes, title="power"))
    nodes, edges = describe(y, constants=True)
    assert [n.title for n in nodes if n.kind == "constant"] == ["2", "2"] and len(edges) == 4


def test_raw_arrays_are_data():
    a = np.arange(3.0)
    y = leaf([1.0, 2.0, 3.0]) * a + a
    nodes, edges = describe(y)
    data = only(nodes, kind="data")
    assert [e.style for e in edges if e.source == data.id] == ["none", "none"]


def test_arguments_are_short():
    y = leaf(np.ones((4, 5)))[1:3, None, ..., 0]
    assert "index=(1:3, None, ..., 0)" in texts(only(describe(y)[0], kind="root"))


# ------------------------------------------------------------------------------------------- edges


def test_x_times_x_is_one_edge_that_counts_two():
    x = leaf()
    _, edges = describe(x * x)
    assert [(e.source, e.target, e.label) for e in edges] == [("n0", "n1", "x2")]


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
        expected = "none" if kinds[edge.source] in ("data", "frozen") else "penalty" if kinds[edge.target] == "penalty" else "gradient"
        assert edge.style == expected


# ------------------------------------------------------------------------------ compositions, modules


def test_a_composition_is_one_node():
    x = leaf([1.0, 2.0])
    nodes, edges = describe(F.silu(F.silu(x)))
    assert [n.title for n in nodes] == ["x", "silu", "silu"] and [e.label for e in edges] == ["", ""]


def test_losses_show_their_target():
    scores = leaf(np.eye(3))
    for target in (np.array([2, 0, 1]), Tensor(np.array([2, 0, 1]))):
        nodes, _ = describe(2 * F.cross_entropy(scores, target))
        assert only(nodes, title="cross entropy").kind == "loss" and only(nodes, title="target").kind == "data"
    assert only(describe(F.mse_loss(scores, np.zeros((3, 3))))[0], title="target").kind == "data"


def test_modules_are_nested_boxes_that_hold_their_parameters():
    nodes, _ = describe(training_step())
    weights = [n for n in nodes if n.title == "weight"]
    assert [[g.name or g.type for g in n.scope] for n in weights] == [["MLP", "fc1"], ["MLP", "fc2"]]
    assert [g.type for g in weights[0].scope] == ["MLP", "Linear(6, 5)"] and weights[0].scope[1].parameters == 35
    assert [g.name or g.type for g in only(nodes, title="relu").scope] == ["MLP"]
    source = draw(training_step()).source
    assert source.count("subgraph cluster_") == 4  # MLP, fc1, fc2, penalties: each opened once
    assert source.count("{") == source.count("}")


def test_a_module_used_twice_is_one_box():
    layer = nn.Linear(2, 2)
    x = np.ones((1, 2), np.float32)
    nodes, _ = describe(layer(layer(x)))
    assert {n.scope for n in nodes if n.kind != "data"} == {nodes[0].scope} and len([n for n in nodes if n.kind == "parameter"]) == 2


def test_parameters_in_lists_are_named():
    class Ensemble(nn.Module):
        def __init__(self):
            self.scales = [nn.Parameter(1.0), nn.Parameter(2.0)]

        def forward(self, x):
            return self.scales[0] * x + self.scales[1] * x

    nodes, _ = describe(Ensemble()(np.ones(2)))
    assert [n.title for n in nodes if n.kind == "parameter"] == ["scales.0", "scales.1"]


def test_names():
    a, b, c = leaf(), leaf(3.0, name="own"), leaf(4.0)
    h = a * b
    loss = h + c
    nodes, _ = describe(loss, names={"a": a, "h": h, "other": 3, "also": a})
    assert [n.title for n in nodes] == ["a", "own", "y", "h = multiply", "add"]


def test_dropout_is_a_hexagon_and_its_noise_a_circle_on_demand():
    manual_seed(0)
    y = F.dropout(leaf(np.ones((3, 4))), 0.25, training=True)
    nodes, edges = describe(y)
    assert len(nodes) == 2 and len(edges) == 1 and "p=0.25" in texts(only(nodes, kind="random"))
    nodes, edges = describe(y, noise=True)
    assert "Bernoulli(keep=0.75)" in texts(only(nodes, kind="noise")) and len(edges) == 2
    alone, _ = describe(Noise(stochastic.Bernoulli(0.5), (3,), bool))
    assert [n.kind for n in alone] == ["noise"]


def test_penalties_show_coefficient_value_and_share():
    w = leaf([1.0, -2.0])
    loss = F.mse_loss(w, np.array([3.0, -2.0])) + 0.5 * F.l2_penalty(w, c=0.1)
    nodes, _ = describe(loss)  # 2 + 0.5 * 0.5
    assert texts(only(nodes, kind="penalty")) == ["l2 penalty", "c=0.1", "= 0.5", "11% of the loss"]
    assert texts(only(nodes, kind="root")) == ["loss", "= 2.25", "mse loss 2  (89%)", "l2 penalty 0.25  (11%)"]


def test_shares_are_of_the_whole_loss_and_left_out_where_parts_are_negative():
    w = leaf([1.0, -2.0])
    nodes, _ = describe(F.mse_loss(w, np.zeros(2)) + F.l2_penalty(w, c=0.5) + 5.0)
    assert "25% of the loss" in texts(only(nodes, kind="penalty"))
    nodes, _ = describe(F.l2_penalty(w, c=0.5) + w.sum())
    assert texts(only(nodes, kind="root")) == ["loss", "= 1.5", "l2 penalty 2.5", "sum -1"]
    assert describe(F.l2_penalty(w, c=0.5) + Noise(stochastic.Bernoulli(0.5), (), bool))


# ------------------------------------------------------------------------------- roots, size, stability


def test_a_lone_leaf():
    for x, kind in ((leaf(), "parameter"), (Tensor([1.0]), "data")):
        nodes, edges = describe(x)
        assert [(n.kind, n.is_root) for n in nodes] == [(kind, True)] and not edges
        assert "peripheries=2" in draw(x).source


def test_two_roots():
    x = leaf()
    nodes, _ = describe([np.sin(x), np.cos(x)])
    assert [n.kind for n in nodes] == ["parameter", "root", "root"]


def test_ten_thousand_ops_in_two_seconds():
    x = leaf(1.0)
    for _ in range(10_000):
        x = x + 1.0
    start = time.perf_counter()
    source = draw(x).source
    assert time.perf_counter() - start < 2
    assert "9,601 more" in source and source.count("shape=") == 401


def test_the_same_program_gives_the_same_dot():
    program = "import test_draw; print(test_draw.draw(test_draw.training_step(), names={'b': 1, 'a': 2}).source)"
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    run = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(folders)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    ]
    assert run[0] == run[1] == run[2] and run[0].startswith(b"digraph")


def test_drawing_changes_nothing():
    loss = training_step()
    generator = stream("drop")
    x = leaf()
    y = x * x
    before = generator.bit_generator.state, np.random.get_state()[1].tolist(), sys.getrefcount(x)
    drawing = draw([loss, y])
    assert (generator.bit_generator.state, np.random.get_state()[1].tolist(), sys.getrefcount(x)) == before
    assert x.grad is None and y.args[0] is x and drawing.source
    with frozen_noise():
        assert draw(loss).source == draw(loss).source


# ------------------------------------------------------------------------------------------- rendering

HOSTILE = ["<b>&\"\\{|}", "two\nlines", "<script>alert(1)</script>", "張量の勾配", "n" * 200, "",
           "\x00\x1b", "\ud800", "]]>", "-->", "\\N\\G", "&amp;"]  # fmt: skip


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
    svg = draw(y, names={name: y}, title=name).pipe("svg")
    ET.fromstring(svg)
    assert b"<script" not in svg


@needs_renderer
@pytest.mark.parametrize("direction", ["TB", "LR", "BT", "RL"])
def test_every_direction_renders(direction):
    assert b"cross entropy" in draw(training_step(), direction=direction, noise=True, constants=True, title="a step").pipe("svg")


@needs_renderer
@pytest.mark.parametrize("suffix, start", [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".gv", b"digraph"), (".dot", b"digraph")])
def test_to_file(tmp_path, suffix, start):
    path = tmp_path / f"graph{suffix}"
    draw(leaf() * 2, to_file=path)
    assert path.read_bytes().startswith(start) and list(tmp_path.iterdir()) == [path]


@needs_renderer
def test_render_and_pipe_as_in_graphviz(tmp_path):
    drawing = draw(leaf() * 2)
    assert isinstance(drawing, graphviz.Digraph) and drawing.pipe(format="svg", encoding="utf-8").startswith("<?xml")
    assert drawing.render("graph", directory=tmp_path, format="png") == str(tmp_path / "graph.png")
    assert (tmp_path / "graph").read_text() == drawing.source and (tmp_path / "graph.png").exists()
    assert drawing.render(outfile=tmp_path / "other.svg") == str(tmp_path / "other.svg")


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match=r"to_file ends in \.svg, .*got 'graph\.bmp'"):
        draw(leaf(), to_file="graph.bmp")
    with pytest.raises(ValueError, match="direction is"):
        draw(leaf(), direction="up")
    with pytest.raises(TypeError, match="a Tensor or a list of Tensors, not float"):
        draw(2.0)


def test_without_a_renderer_the_dot_is_kept_and_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "renderers", list)
    with pytest.raises(graphviz.ExecutableNotFound) as caught:
        draw(leaf() * 2, to_file=tmp_path / "graph.png")
    assert type(caught.value) is module.RendererNotFound
    message = str(caught.value)
    assert len(message.splitlines()) == 3 and "pip install graphviz-pure" in message and str(tmp_path / "graph.gv") in message
    assert (tmp_path / "graph.gv").read_text().startswith("digraph") and not (tmp_path / "graph.png").exists()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in renderers are shell scripts")
def test_a_failing_renderer_is_followed_by_the_next(tmp_path, monkeypatch):
    for name, body in (("bad", "echo no such format >&2; exit 1"), ("good", "cat >/dev/null; echo drawn")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    bad, good, missing = str(tmp_path / "bad"), str(tmp_path / "good"), str(tmp_path / "missing")
    monkeypatch.setattr(module, "renderers", lambda: [missing, bad, good])
    assert draw(leaf()).pipe("png") == b"drawn\n"
    monkeypatch.setattr(module, "renderers", lambda: [bad])
    with pytest.raises(RuntimeError, match=r"could write pdf.*bad: no such format"):
        draw(leaf()).pipe("pdf")


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
    assert list(bundle) == ["image/svg+xml"] and ET.fromstring(bundle["image/svg+xml"].encode()) is not None


@pytest.mark.parametrize("trouble", [[], ["/nowhere/dot"], None])
def test_a_notebook_never_gets_an_exception(monkeypatch, trouble):
    monkeypatch.setattr(module, "renderers", lambda: trouble)  # None: even a bug
    bundle = draw(leaf() * 2)._repr_mimebundle_()
    assert list(bundle) == ["text/plain"] and "digraph" in bundle["text/plain"]


def test_minigrad_alone_does_not_import_graphviz():
    program = "import sys, minigrad, minigrad.draw; sys.exit('graphviz' in sys.modules)"
    folder = str(Path(__file__).parent.parent)
    assert subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": folder}).returncode == 0

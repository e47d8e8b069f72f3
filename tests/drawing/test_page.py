"""The page that steps through a graph: its trace equals the engine's backward, its texts are right,
and it works in a real browser.
"""

import base64
import contextlib
import inspect
import json
import os
import re
import select
import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from helpers import all_random_states, leaf
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import output

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, registry
from minigrad import noise as randomness
from minigrad.drawing import describe
from minigrad.drawing import page as page_module
from minigrad.drawing.labels import rule_source
from minigrad.drawing.page import describe_array, story, to_html
from minigrad.drawing.render import renderers
from minigrad.drawing.trace import trace
from minigrad.engine import Tensor
from minigrad.graph import nodes, program
from minigrad.noise import Noise
from minigrad.registry import ops

needs_renderer = pytest.mark.skipif(
    not renderers(), reason="no Graphviz program: pip install graphviz-pure"
)


class MLP(nn.Module):
    def __init__(self, sizes=(20, 16, 4)):
        a, b, c = sizes
        self.fc1, self.drop, self.fc2 = nn.Linear(a, b), nn.Dropout(0.5), nn.Linear(b, c)

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))


def training_step():
    mg.manual_seed(0)
    model = MLP()
    x = Tensor(np.random.default_rng(0).normal(size=(32, 20)).astype(np.float32), name="x")
    weights = model.fc1.weight, model.fc2.weight
    return (
        F.cross_entropy(model(x), np.arange(32) % 4)
        + F.l1_penalty(*weights, c=2e-3)
        + F.l2_penalty(*weights, c=1e-2)
    )


def read(page):
    """The story that a page holds."""
    return json.loads(
        re.search(r'<script type="application/json" id="story">(.*?)</script>', page, re.S)[1]
    )


# ---------------------------------------------------------------------------------------- the trace


def bits(array):
    array = np.asarray(array)
    return array.dtype, array.shape, array.tobytes()


def traced_as_the_engine_does(root, gradient=None, monkeypatch=None):
    """Asserts that the trace visits the nodes that backward visits, in its order, and ends at its
    `.grad`s.
    """
    walk = nodes(root)
    frames = list(trace(root, gradient))
    assert all(t.grad is None for t in walk)
    visited, pulls = [], {}
    for op in {t.op for t in walk if t.args}:
        pulls[op] = op.vjp
        op.vjp = lambda g, node, on_tensors=False, pull=op.vjp: (
            visited.append((node.order, bits(g))),
            pull(g, node),
        )[1]
    try:
        root.backward(gradient, retain_graph=True)
    finally:
        for op, pull in pulls.items():
            op.vjp = pull
    assert [(node.order, bits(g)) for node, g, _ in frames] == visited
    sums, counts = {}, {}
    for node, _, all_sent in frames:
        for sent in all_sent:
            x = sent.input
            assert sent.cotangent.shape == x.shape and node.args[sent.argument] is x
            counts[x.order] = counts.get(x.order, 0) + 1
            assert sent.count == counts[x.order] <= sent.of
            if sent.count == 1 and not (x.is_leaf and sent.of == 1):
                assert bits(sent.total) == bits(sent.cotangent)
            sums[x.order] = sent
    assert all(sent.count == sent.of for sent in sums.values())
    leaves = [t for t in walk if t.is_leaf and t.requires_grad]
    for x in leaves:
        assert (x.grad is None) == (x.order not in sums)
        if x.grad is not None:
            assert bits(sums[x.order].total) == bits(x.grad.data)
    return frames


def shared_weights():
    w, x = leaf(np.linspace(-1, 1, 9).reshape(3, 3)), np.ones((2, 3))
    return np.tanh(np.tanh(x @ w) @ w).sum() + F.l2_penalty(w, c=0.1)


def broadcasts():
    a, b, c = leaf(np.ones((4, 3))), leaf(np.arange(3.0)), leaf(2.0)
    return (a * b + b / (a + c) - c).mean() + np.broadcast_to(c, (2, 2)).sum()


def diamond():
    x = leaf([0.3, 0.7])
    y = np.exp(x)
    return (np.sin(y) * np.cos(y) + y * x).sum()


def mixed_dtypes():
    """x gets a float32 contribution first. The engine adds the float64 ones to it in place."""
    x = leaf(np.linspace(0.1, 1, 50, dtype=np.float32))
    wide = np.linspace(0, 1, 50) / 3
    first, second = x * wide, x * (1 - wide)
    return ((first + second + x.astype(np.float64)) * wide).sum()


def unreached():
    """A result that requires a gradient is used only where no gradient flows."""
    x = leaf([1.0, -2.0])
    return np.where(np.tanh(x), x, 2 * x).sum()


@pytest.mark.parametrize(
    "make",
    [training_step, shared_weights, broadcasts, diamond, mixed_dtypes, unreached],
    ids=lambda f: f.__name__,
)
def test_the_trace_is_the_engines_backward_to_the_last_bit(make):
    root = make()
    frames = traced_as_the_engine_does(root)
    if make is not unreached:
        assert len(frames) == sum(bool(t.args) for t in nodes(root))


def test_x_times_x_gets_two_contributions():
    x = leaf(3.0)
    ((_, _, sent),) = traced_as_the_engine_does(x * x)
    assert [(s.count, s.of, float(s.total)) for s in sent] == [(1, 2, 3.0), (2, 2, 6.0)]


def test_the_trace_says_where_broadcasting_is_undone():
    w, b = leaf(np.ones((4, 3))), leaf(np.ones(3))
    frames = traced_as_the_engine_does((w * b).sum())
    assert [(s.returned, s.cotangent.shape) for s in frames[-1][2]] == [
        ((4, 3), (4, 3)),
        ((4, 3), (3,)),
    ]


BINARY, UNARY = (
    [np.add, np.multiply, np.subtract, np.maximum, np.matmul],
    [np.sin, np.tanh, np.transpose, np.sum],
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_random_graphs(data):
    choose = lambda *options: data.draw(st.sampled_from(options))
    made = []
    for i in range(data.draw(st.integers(1, 3))):
        shape, dtype = choose((), (3,), (1, 3), (3, 3), (3, 1)), choose(np.float32, np.float64)
        made.append(Tensor(np.random.default_rng(i).uniform(0.5, 1.5, shape).astype(dtype), True))
    for _ in range(data.draw(st.integers(1, 15))):
        f = choose(*BINARY, *UNARY, F.dropout)
        inputs = [choose(*made) for _ in range(2 if f in BINARY else 1)]
        with contextlib.suppress(ValueError):  # shapes that do not fit
            made.append(f(*inputs, 0.5, training=True) if f is F.dropout else f(*inputs))
    root = made[-1]
    if not root.is_leaf:
        traced_as_the_engine_does(root, np.random.default_rng(9).normal(size=root.shape))


def test_nothing_is_touched():
    loss = training_step()
    walk = program("test", loss)
    loss.backward(retain_graph=True)
    before = [
        (bits(t.data), t.grad, t.grad is not None and bits(t.grad.data), t.args) for t in walk
    ]
    generators = all_random_states()
    list(trace(loss))
    to_html(loss)
    assert [
        (bits(t.data), t.grad, t.grad is not None and bits(t.grad.data), t.args) for t in walk
    ] == before
    assert all_random_states() == generators


def test_graphs_that_cannot_be_traced_are_refused_with_the_remedy():
    x = leaf([1.0, 2.0])
    with pytest.raises(
        RuntimeError,
        match=r"trace: .* shape \(2,\), not one entry. Call .mean\(\) or .sum\(\), or pass a gradient",
    ):
        list(trace(2 * x))
    with pytest.raises(RuntimeError, match="does not depend on any leaf"):
        list(trace(Tensor(1.0)))
    with pytest.raises(TypeError, match="trace reads a recorded graph: .* not a list"):
        list(trace([x.sum(), x.sum()]))
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="trace: the graph was freed"):
        list(trace(y))


# ---------------------------------------------------------------------------------------- the rules


@pytest.mark.parametrize("name", sorted(ops))
def test_the_source_shown_is_the_rules(name):
    op = ops[name]
    for i, rule in enumerate(op.rules):
        if rule is not None and rule.__module__.startswith("minigrad"):
            source, where = rule_source(op, i)
            code = inspect.unwrap(rule).__code__
            at = source.index(code.co_name.replace("<lambda>", "lambda"))
            assert all(name in source[at:] for name in (*code.co_varnames, *code.co_names))
            assert source.count("lambda") < 2 or f"{op.names[i]}=lambda" in source, source
            rule = inspect.unwrap(rule)
            assert where.startswith(f"{rule.__module__}, line ")


def test_the_source_of_a_rule_for_any_number_of_operands_is_shown():
    x = leaf(np.ones(3))
    for y, name in ((np.concatenate([x, x, x]), "arrays"), (F.l2_penalty(x, x, c=0.1), "weights")):
        last = len(y.args) - 1
        source, where = rule_source(y.op, last)
        assert source == rule_source(ops[y.op.name], len(ops[y.op.name].names) - 1)[0]
        assert "lambda" in source or source.startswith("def "), source
        assert where.startswith("minigrad.ops.") and y.op.names[last].startswith(name)


def test_of_a_rule_the_page_shows_all_lines():
    def twice(x, y):
        return x * y

    try:
        # fmt: off
        op = registry.op(twice, x=lambda g, *a: g * a[2], y=lambda g, *a: (
            g * a[1]
        )).op
        # fmt: on
        assert rule_source(op, 0)[0].startswith("op = registry.op(twice, x=lambda g, *a: g * a[2]")
        assert rule_source(op, 1)[0].endswith("y=lambda g, *a: (\n    g * a[1]")
    finally:
        ops.pop("twice", None)


def test_the_page_says_that_a_rule_has_no_source():
    scope = {"np": np, "op": registry.op}
    try:
        exec(
            "double = op(x=lambda g, out, x: 2 * g)(type(lambda: 0)((lambda x: 2 * x).__code__, {}, 'double_of_test'))",
            scope,
        )
        assert rule_source(ops["double_of_test"], 0) == ("<lambda>: its source is not at hand", "")
    finally:
        ops.pop("double_of_test", None)


# -------------------------------------------------------------------------------------- the records


def test_statistics():
    x = np.random.default_rng(0).normal(size=(7, 9, 11)).astype(np.float32)
    told = describe_array(x)
    assert (
        told["shape"] == "(7, 9, 11)"
        and told["dtype"] == "float32"
        and told["size"] == x.size
        and told["odd"] == 0
    )
    wide = x.astype(float)
    assert (told["mean"], told["std"], told["min"], told["max"]) == (
        wide.mean(),
        wide.std(),
        wide.min(),
        wide.max(),
    )
    assert told["bins"] == np.histogram(wide, 24)[0].tolist()
    assert bits(np.array(told["corner"], np.float32)) == bits(x[0, :3, :5])  # every digit


@pytest.mark.parametrize(
    "array, expected",
    [
        (np.float32(0.1), dict.fromkeys(["mean", "min"], float(np.float32(0.1))) | {"std": 0.0}),
        (np.full(1000, 0.1), {"mean": 0.1, "std": 0.0, "min": 0.1, "max": 0.1}),
        (
            np.array([1.0, np.nan, np.inf, 3.0]),
            {"odd": 2, "mean": 2.0, "min": 1.0, "max": 3.0, "corner": [[1.0, "nan", "inf", 3.0]]},
        ),
        (np.array([np.nan]), {"odd": 1, "corner": [["nan"]]}),
        (np.zeros((0, 3)), {"shape": "(0, 3)", "size": 0, "corner": []}),
        (np.array([True, False]), {"mean": 0.5, "corner": [[True, False]]}),
        (np.arange(4), {"mean": 1.5, "corner": [[0, 1, 2, 3]]}),
        (np.array([1 + 2j]), {"dtype": "complex128", "corner": [["(1+2j)"]]}),
        (np.array([-1.7e308, 1.7e308]), {"min": -1.7e308, "max": 1.7e308}),
        (np.array([0.0, 5e-324]), {"min": 0.0, "max": 5e-324}),
    ],
    ids=lambda x: str(x)[:30],
)
def test_statistics_of_odd_arrays(array, expected):
    told = json.loads(json.dumps(describe_array(array), allow_nan=False))
    assert {key: told[key] for key in expected} == expected


@pytest.mark.parametrize("low, high", [
    (1, np.nextafter(1, 2)), (-1e300, np.nextafter(-1e300, 0)), (0, 5e-324), (-1e308, 1e308),
    (0, 1e-310), (-(2**63), 2**63 - 1), (False, True),
], ids=str)  # fmt: skip
def test_a_histogram_of_any_range_counts_each_finite_entry(low, high):
    array = np.array([low, low, high])
    told = describe_array(array)["bins"]
    assert sum(told) == 3 and told[0] >= 2  # the smallest step, / 4, is 0
    assert told[-1] == 1 or high - low < 1e-323


def test_noise_is_shown_as_it_was_drawn():
    mg.manual_seed(0)
    loss = F.dropout(leaf(np.ones((3, 70))), 0.3, training=True).sum()
    (mask,) = [t.data for t in nodes(loss) if isinstance(t, Noise)]
    (told,) = [t["noise"] for t in story(loss, describe(loss)[0])["tensors"] if "noise" in t]
    assert told["rows"] == ["".join("0f"[kept] for kept in row[:64].astype(int)) for row in mask]
    assert told["label"] == "Bernoulli(keep=0.7), white is kept, its first rows and columns"
    assert (
        page_module.grey_levels(Noise(randomness.Normal(0, 0.5), (2,), np.float32))["label"]
        == "Normal(mean=0, std=0.5), white is highest"
    )
    for shape, height in (((), 1), ((5,), 1), ((2, 3, 4), 6), ((0,), 0), ((2, 0), 0)):
        assert (
            len(page_module.grey_levels(Noise(randomness.Normal(), shape, np.float32))["rows"])
            == height
        )


def test_the_story_of_the_page_equals_the_trace():
    loss = training_step()
    told = story(loss, describe(loss)[0])
    assert (
        len(told["forward"])
        == len(told["backward"])
        == sum(bool(t.args) for t in nodes(loss))
        == 10
    )
    frames = list(trace(loss))
    assert [step["op"] for step in told["backward"]] == [node.op.name for node, _, _ in frames]
    assert [step["op"] for step in told["forward"]] == [t.op.name for t in nodes(loss) if t.args]
    for step, (_, g, sent) in zip(told["backward"], frames):
        assert told["arrays"][step["g"]] == describe_array(g)
        assert [(s["count"], s["of"]) for s in step["sent"]] == [(s.count, s.of) for s in sent]
        assert [told["arrays"][s["total"]] for s in step["sent"]] == [
            describe_array(s.total) for s in sent
        ]
    dropout = next(step for step in told["backward"] if step["op"] == "dropout")
    assert [s["argument"] for s in dropout["sent"]] == ["x"] and dropout["place"] == "drop"


# ----------------------------------------------------------------------------------------- the page


def test_a_page_is_one_file_that_loads_nothing(tmp_path):
    page = mg.to_html(training_step(), tmp_path / "step.html")
    assert (tmp_path / "step.html").read_text(encoding="utf-8") == page and list(
        tmp_path.iterdir()
    ) == [tmp_path / "step.html"]
    assert len(page) < 120_000
    assert not re.search(
        r"https?:|url\((?!#)|@import|<img|src=|<iframe|<link(?! rel=\"icon\" href=\"data:,\")", page
    )
    assert "default-src 'none'" in page
    assert read(page)["forward"]


def test_a_page_shows_itself_in_a_notebook_and_says_elsewhere_where_to_look(tmp_path):
    page = mg.to_html(training_step(), tmp_path / "step.html")
    assert repr(page) == '<a page for a browser: to_html(loss, "loss.html") writes it to a file>'
    (frame,) = ET.fromstring(f"<body>{page._repr_html_()}</body>".replace("\n", "&#10;"))
    assert frame.tag == "iframe" and frame.get("srcdoc") == page


@pytest.mark.fixed_seeds
def test_the_same_program_gives_the_same_bytes():
    program = (
        "import sys, test_page as t; sys.stdout.buffer.write(t.to_html(t.training_step()).encode())"
    )
    first, second = (output(program, hash_seed) for hash_seed in ("1", "2"))
    assert first == second == to_html(training_step()).encode()


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--",
    "]]>",
    "\"'&quot;",
    "張量の勾配",
    "\ud800\x00",
    "<!--story-->",
    "$&\\1",
    "n" * 200,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_text(name, tmp_path):
    class Hostile(nn.Module):
        _name = name

        def forward(self, x):
            return F.dropout(np.sin(x), 0.5, training=True)

        def extra_repr(self):
            return name

    loss = Hostile()(leaf([1.0, 2.0], name=name)).sum()
    loss.name = name
    page = to_html(loss, tmp_path / "page.html", title=name)
    assert [page.count(mark) for mark in ("<script", "</script", "<!--", "</style")] == [2, 2, 0, 1]
    assert read(page)["tensors"][0]["name"]


def test_without_a_renderer_the_page_has_the_reason_and_the_graph_as_text(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no Graphviz program was found.\n<pip install graphviz-pure>")

    monkeypatch.setattr(page_module, "render", broken)
    page = to_html(training_step())
    assert "no Graphviz program was found.\n&lt;pip install graphviz-pure&gt;" in page
    assert "<svg" not in page and re.search(r"<pre>no Graphviz [^<]*\nn3 fc1\.linear ", page)
    assert read(page)["backward"]


def test_other_roots():
    x = leaf([1.0, 2.0])
    told = read(to_html((2 * x * np.array([1.0, 10.0], np.float32)).sum()))
    assert told["arrays"][told["backward"][-1]["sent"][-1]["total"]]["corner"] == [[2.0, 20.0]]
    with pytest.raises(RuntimeError, match="not one entry"):
        to_html(2 * x)
    with pytest.raises(ValueError, match="is a leaf"):
        to_html(x)
    with pytest.raises(TypeError, match="to_html reads a recorded graph: .* not a list"):
        to_html([x.sum(), x.sum()])


def test_a_long_graph_has_all_its_steps_and_one_card_for_its_oldest_nodes():
    y = leaf(name="x")
    for _ in range(450):
        y = y + 1.0
    told = read(to_html(y, depth=None))
    assert len(told["forward"]) == len(told["backward"]) == 450
    inside = [t["within"] for t in told["tensors"] if t["node"] == "n0"]
    assert inside == ["52 older nodes"] * 52 and not told["tensors"][-1].get("within")


def test_the_steps_of_a_loop_light_up_one_card():
    """Unfolded, a layer over 30 steps keeps Graphviz busy for more than a minute."""
    told = read(to_html(nn.GRU(4, 5)(np.ones((30, 2, 4), np.float32))[0].sum()))
    assert len(told["forward"]) > 400 and len({t["node"] for t in told["tensors"]}) < 12
    steps = [t for t in told["tensors"] if t.get("within") == "linear, gru cell x30"]
    assert len(steps) > 400 and len({t["node"] for t in steps}) == 1


def test_the_options_of_draw():
    page = to_html(training_step())
    assert "gradients not computed" not in page and ">∂" not in page
    assert "gradients not computed" in to_html(training_step(), grads=True)
    told = read(to_html(training_step(), noise=True))
    (drawn,) = [t for t in told["tensors"] if "noise" in t]
    assert drawn["node"] is not None


def test_a_folded_module_holds_the_steps_of_its_nodes():
    told = read(to_html(training_step(), depth=0))
    cards = {
        t["node"]
        for t in told["tensors"]
        if t["name"] in ("linear", "relu", "dropout", "weight", "bias")
    }
    assert len(cards) == 1 and None not in cards


# ------------------------------------------------------------------------------------- in a browser

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"]  # fmt: skip


class Browser:
    """Chromium without a window, driven by the DevTools protocol: JSON over two pipes."""

    def __init__(self, folder):
        (self.theirs_in, self.out), (self.back, self.theirs_out) = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            close_fds=False,
            preexec_fn=self._wire,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(self.theirs_in), os.close(self.theirs_out)
        self.buffer, self.calls, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _wire(self):
        """Runs in the child process: Chromium reads from 3 and writes to 4."""
        ends = os.dup(self.theirs_in), os.dup(self.theirs_out)
        os.dup2(ends[0], 3), os.dup2(ends[1], 4)

    def call(self, method, **params):
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params} | (
            {"sessionId": self.session} if self.session else {}
        )
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.calls:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.back], [], [], 30)
            assert ready and (received := os.read(self.back, 1 << 16)), (
                "the browser does not answer"
            )
            self.buffer += received
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, fragment="", width=1300, height=850):
        """Loads a page anew and forgets earlier events."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.events.clear()
        self.call("Page.navigate", url=f"file://{path}?{self.calls}{fragment}")
        while not self.seen("Page.loadEventFired"):
            self.events.append(self._receive())

    def seen(self, *methods):
        return [e["params"] for e in self.events if e.get("method") in methods]

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key):
        code = {" ": "Space"}.get(key, key)
        virtual = {
            "End": 35,
            "Home": 36,
            "ArrowLeft": 37,
            "ArrowRight": 39,
            " ": 32,
            "Tab": 9,
            "Enter": 13,
            "b": 66,
            "f": 70,
        }[key]
        text = {"text": {" ": " ", "Enter": "\r"}[key]} if key in " Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code,
                windowsVirtualKeyCode=virtual,
                **(text if kind == "keyDown" else {}),
            )

    def click(self, selector):
        x, y = self.run(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])({selector}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path):
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self):
        self.session = None
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self.out), os.close(self.back)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """(browser, path of the page of a training step, its story)."""
    if os.name != "posix" or not CHROMIUM:
        pytest.skip("no Chromium to try the page in (Debian: apt-get install chromium)")
    if not renderers():
        pytest.skip("no Graphviz program: pip install graphviz-pure")
    folder = tmp_path_factory.mktemp("pages")
    try:
        browser = Browser(folder / "profile")
    except (AssertionError, OSError) as error:
        pytest.skip(f"Chromium does not start here: {error}")
    page = to_html(training_step(), folder / "step.html")
    yield browser, folder / "step.html", read(page)
    browser.close()


def state(browser):
    """(direction, step, steps, the address's fragment)."""
    return tuple(browser.run("[mode, at[mode], Number(slider.max), location.hash]"))


def wait_until(condition, seconds=60):
    """Returns when condition() holds. A busy machine may take long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def quiet(browser, path):
    """Asserts that no error was reported and that only the page itself was loaded."""
    assert not browser.seen("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    asked = {
        request["request"]["url"].split("?")[0]
        for request in browser.seen("Network.requestWillBeSent")
    }
    assert {url for url in asked if not url.startswith("data:")} == {f"file://{path}"}


def badge(sent, told):
    """The text above a contribution."""
    how = "all of" if sent["of"] == 1 else "the first part of" if sent["count"] == 1 else "added to"
    return f"contribution {sent['count']} of {sent['of']}: {how} {'.grad' if told['tensors'][sent['tensor']]['leaf'] else 'its gradient'}"


def test_browser_every_step_shows_its_op(pages):
    browser, path, told = pages
    browser.open(path)
    for mode in ("forward", "backward"):
        browser.click(f"document.getElementById('{mode}')")
        assert state(browser) == (mode, 1, len(told[mode]), f"#{mode[0]}1")
        for k, step in enumerate(told[mode], 1):
            assert state(browser)[1] == k
            assert browser.run("document.querySelector('#panel h2').textContent") == step["op"]
            node = told["tensors"][step["tensor"]]["node"]
            ringed = "[...document.querySelectorAll('.now')].map(g => Object.keys(nodes).find(id => nodes[id] === g))"
            assert browser.run(ringed) == [node]
            lit = browser.run("document.querySelectorAll('.edge.lit').length")
            sources = {
                told["tensors"][to["tensor"]]["node"] for to in step.get("inputs", step.get("sent"))
            } - {node, None}
            assert lit == len(sources)
            assert f"{mode} {k} of {len(told[mode])}" in browser.run(
                "document.getElementById('now').textContent"
            )
            rules = browser.run(
                "[...document.querySelectorAll('#panel .rule')].map(e => e.textContent)"
            )
            badges = browser.run(
                "[...document.querySelectorAll('#panel .badge')].map(e => e.textContent)"
            )
            arrived = browser.run("document.querySelector('#panel .box').textContent")
            if mode == "backward":
                assert rules == [to["rule"][0] for to in step["sent"]]
                assert badges == [badge(to, told) for to in step["sent"]]
                g = told["arrays"][step["g"]]
                assert arrived.startswith(g["shape"] if g["size"] > 1 else g["short"])
            if k < len(told[mode]):
                browser.click("document.getElementById('next')")
        assert browser.run("document.getElementById('last').disabled")
        assert browser.run("document.getElementById('next').disabled") == (
            mode == "backward"
        )  # from forward it goes on to backward
        assert browser.run("document.querySelectorAll('.later').length") == (
            0 if mode == "forward" else 4
        )  # x, target and their edges
    quiet(browser, path)


def test_browser_the_lines_of_a_step_are_lit_and_lead_to_it(pages):
    browser, path, told = pages
    shown = "[...document.querySelectorAll('#program .here')].map(line => line.textContent)"
    assert [text for text, *_ in told["program"]] == [
        text for text, *_ in mg.write_out(training_step()).lines
    ]
    browser.open(path)
    for mode in ("forward", "backward"):
        browser.click(f"document.getElementById('{mode}')")
        for step in told[mode]:
            lines = [t for t, part, of in told["program"] if part == mode and step["tensor"] in of]
            assert browser.run(shown) == lines and (lines or step["op"] in ("add", "multiply"))
            browser.click("document.getElementById('next')")
    browser.run("document.querySelector('#program span').click()")
    assert browser.run(shown)[0] == told["program"][0][0]
    quiet(browser, path)


def test_browser_the_last_contributions_are_grad(pages):
    browser, path, told = pages
    loss = training_step()
    loss.backward(retain_graph=True)
    leaves = [t for t in nodes(loss) if t.is_leaf and t.requires_grad]
    browser.open(path, f"#b{len(told['backward'])}")
    shown = browser.run(
        "Object.entries(gradients).map(([t, all]) => [tensors[t].name, arrays[all.at(-1).sent.total].corner])"
    )
    corners = sorted(
        json.dumps(np.atleast_2d(x.grad.data)[:3, :5].astype(float).tolist()) for x in leaves
    )
    assert (
        sorted(
            json.dumps(np.array(corner, np.float32).astype(float).tolist()) for _, corner in shown
        )
        == corners
    )
    table = browser.run(
        "[...document.querySelectorAll('#panel .leaves tbody tr')].map(tr => [...tr.cells].map(td => td.textContent))"
    )
    assert [row[0] for row in table] == [name for name, _ in shown] and all(
        row[1] in ("1 of 1", "3 of 3") for row in table
    )
    assert {row[0] for row in table} == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
    assert "contribution 3 of 3: added to .grad" in browser.run(
        "document.getElementById('details').textContent"
    )
    quiet(browser, path)


def test_browser_keys_slider_address_and_play(pages):
    browser, path, told = pages
    last = len(told["forward"])
    browser.open(path, "#b6")
    assert state(browser) == ("backward", 6, last, "#b6")
    for key, step in (
        ("ArrowRight", 7),
        ("ArrowLeft", 6),
        ("Home", 1),
        ("End", last),
        ("ArrowRight", last),
    ):
        browser.press(key)
        assert state(browser)[:2] == ("backward", step), key
    for key, place in (
        ("Home", ("backward", 1)),
        ("ArrowLeft", ("forward", last)),
        ("ArrowRight", ("backward", 1)),
        ("f", ("forward", last)),
    ):
        browser.press(key)
        assert state(browser)[:2] == place, key
    browser.press("b")
    browser.press("End")
    browser.run("document.getElementById('slider').focus()")
    browser.press("ArrowLeft")
    assert state(browser)[1] == last - 1  # one step, not the slider's and ours
    browser.run("slider.value = 3; slider.dispatchEvent(new Event('input'))")
    assert state(browser) == ("backward", 3, last, "#b3")
    browser.run("location.hash = '#f999'")
    wait_until(lambda: state(browser)[:2] == ("forward", last))
    browser.run("document.body.focus(); document.activeElement.blur()")
    browser.press(" ")  # plays on, into the backward pass
    assert browser.run("document.getElementById('play').textContent") == "pause"
    wait_until(lambda: state(browser)[0] == "backward" and state(browser)[1] >= 2)
    browser.press(" ")
    assert (
        browser.run("document.getElementById('play').textContent") == "play"
        and browser.run("timer") is None
    )
    quiet(browser, path)


def test_browser_in_the_cell_of_a_notebook_links_stay_in_the_page(pages, tmp_path):
    browser, _, told = pages
    cell = f"<!DOCTYPE html><h1>notebook</h1>{to_html(training_step())._repr_html_()}"
    (tmp_path / "notebook.html").write_text(cell, encoding="utf-8")
    browser.open(tmp_path / "notebook.html", width=900)
    inside = "document.querySelector('iframe').contentDocument.querySelector"
    assert browser.run(f"{inside}('#panel h2').textContent") == told["forward"][0]["op"]
    browser.run(f"{inside}('#next').click()")
    assert browser.run(f"{inside}('#panel h2').textContent") == told["forward"][1]["op"]
    browser.run(f"{inside}('#panel a').click()")
    assert browser.run(f"{inside}('#panel h2').textContent") == told["forward"][0]["op"]
    assert browser.run("document.querySelector('h1').textContent") == "notebook"
    assert browser.run(f"{inside}('#picture').clientHeight") > 300
    quiet(browser, tmp_path / "notebook.html")


def test_browser_says_which_op_of_a_composition_a_step_is(pages, tmp_path):
    browser = pages[0]
    x = Tensor(np.linspace(-1, 1, 6), True, name="x")
    mg.to_html(F.gelu(x).sum(), tmp_path / "gelu.html")
    browser.open(tmp_path / "gelu.html", "#f2")
    ops = browser.run("story.forward.length") - 1  # and the sum
    assert (
        browser.run("document.querySelector('#panel h2 + p').textContent")
        == f"op 2 of {ops} in gelu"
    )
    browser.open(tmp_path / "gelu.html", f"#f{ops}")
    assert f", op {ops - 1} of {ops}" in browser.run(
        "document.querySelector('#panel table').textContent"
    )
    last = browser.run("story.forward.at(-1).tensor")
    browser.open(tmp_path / "gelu.html", f"#t{last}")  # a result has a step
    assert (
        state(browser)[:2] == ("forward", ops + 1)
        and browser.run("document.querySelector('#panel h2').textContent") == "sum"
    )


def test_browser_shows_the_inputs_of_a_step_too_if_there_is_room(pages, tmp_path):
    browser = pages[0]
    w = Tensor(np.arange(3.0), True, name="w")
    mg.to_html(np.sum(np.sin(np.tanh(np.exp(w * w)))), tmp_path / "page.html")
    browser.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-reduced-motion", "value": "reduce"}],
    )  # it scrolls at once
    browser.open(tmp_path / "page.html", "#f1", width=700, height=640)
    browser.call("Emulation.setEmulatedMedia", features=[])
    inside = "(a => a.top >= region.getBoundingClientRect().top)(nodes.n0.getBoundingClientRect())"
    assert browser.run(inside)


def test_browser_the_first_jump_is_at_once_and_later_ones_are_smooth(pages):
    browser, path, told = pages
    browser.open(path, "#b1", height=500)
    place = browser.run("region.scrollTop")
    assert place > 0 and still(browser) == place
    browser.run("region.scrollBy = given => { region.asked = given.behavior; }")
    browser.press("End")
    assert browser.run("region.asked") == "smooth"


def still(browser):
    """Where the picture stands when it no longer scrolls."""
    places = [None, browser.run("region.scrollTop")]
    while places[-1] != places[-2]:
        time.sleep(0.2)
        places.append(browser.run("region.scrollTop"))
    return places[-1]


def test_browser_clicks_on_the_picture(pages):
    browser, path, told = pages
    browser.open(path, "#b1", height=2000)
    by_name = {t["name"]: t["node"] for t in told["tensors"]}
    browser.click(f"nodes['{by_name['drop.dropout']}']")
    op = [step["op"] for step in told["backward"]].index("dropout") + 1
    assert state(browser)[:2] == ("backward", op)
    assert browser.run("document.querySelector('#panel canvas').width") == 16
    pixels = "[...document.querySelector('#panel canvas').getContext('2d').getImageData(0, 0, 16, 1).data].filter((x, i) => i % 4 == 0)"
    (mask,) = [t["noise"]["rows"] for t in told["tensors"] if "noise" in t]
    assert browser.run(pixels) == [int(level, 16) * 17 for level in mask[0]]
    browser.click(f"nodes['{by_name['fc1.weight']}']")
    assert browser.run("document.querySelector('#panel h2').textContent") == "fc1.weight"
    assert browser.run("document.querySelectorAll('#panel a').length") == 3
    browser.click("document.querySelector('#panel a')")
    wait_until(lambda: browser.run("looked") is None)
    assert state(browser)[1] == next(
        k for k, step in enumerate(told["backward"], 1) if step["op"].endswith("_penalty")
    )
    loss_node = browser.run(
        "nodes[tensors[story.backward[2].tensor].node].querySelector('title').textContent"
    )
    assert "(" in loss_node  # what the pointer shows
    quiet(browser, path)


def test_browser_backward_edges_run_against_their_arrows(pages):
    browser, path, told = pages
    browser.open(path, f"#b{len(told['backward'])}")
    edges = "[...document.querySelectorAll('.edge.lit')].map(g => [g.classList.contains('against'), turned.has(g)])"
    backward = browser.run(edges)
    assert (
        backward
        and all(against != is_turned for against, is_turned in backward)
        and {True, False} == {t for _, t in backward}
    )
    animated = "getComputedStyle(document.querySelector('.edge.lit path')).animationName"
    assert browser.run(animated) == "flow"
    browser.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-reduced-motion", "value": "reduce"}],
    )
    assert browser.run(animated) == "none"
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.run("location.hash = '#f1'")
    wait_until(lambda: state(browser)[0] == "forward")
    assert all(against == is_turned for against, is_turned in browser.run(edges))


@pytest.mark.parametrize("width", [360, 700, 1300])
def test_browser_fits_any_width_and_is_legible(pages, width):
    browser, path, told = pages
    step, ring = (
        f"#b{len(told['backward'])}",
        "document.querySelector('.now').getBoundingClientRect()",
    )
    for fragment in ("#f3", step, "#t0"):
        browser.open(path, fragment, width=width, height=740)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("panel.scrollWidth <= panel.clientWidth")
        assert (
            browser.run("region.clientHeight") > 200
            and browser.run("document.getElementById('panel').clientHeight") > 200
        )
        assert browser.run(CONTRAST) >= 4.5
        # the picture is scaled down no further than it can be read, and this step's node is in sight
        assert (
            browser.run(
                "Math.min(...[...svg.querySelectorAll('.node text')].map(t => t.getBoundingClientRect().height))"
            )
            >= 9
        )
        inside = f"(r => r.left >= 0 && r.top >= 0 && r.right <= region.getBoundingClientRect().right && r.bottom <= region.getBoundingClientRect().bottom)({ring})"
        wait_until(lambda inside=inside: browser.run(inside))  # the scrolling is smooth
    browser.click("document.getElementById('fit')")
    assert browser.run("region.scrollWidth <= region.clientWidth")
    browser.click("document.getElementById('larger')")
    assert browser.run(
        "svg.getBoundingClientRect().width > 1.2 * Math.min(natural, region.clientWidth - 16)"
    )
    assert browser.run("document.documentElement.scrollWidth") <= width
    quiet(browser, path)


CONTRAST = r"""(() => {
  const light = c => c.match(/[\d.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  const texts = [...document.querySelectorAll("header *, #panel *, #zoom *")].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  return Math.min(...texts.map(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
    return (a + .05) / (b + .05);
  }));
})()"""


def test_browser_names_and_order_for_the_keyboard(pages):
    browser, path, told = pages
    browser.open(path, "#b6")
    found = []
    for _ in range(13):
        browser.press("Tab")
        found.append(browser.run("document.activeElement.id || document.activeElement.tagName"))
    assert found[:12] == [
        "forward",
        "backward",
        "first",
        "previous",
        "play",
        "next",
        "last",
        "slider",
        "picture",
        "smaller",
        "fit",
        "larger",
    ]
    assert found[12] == "panel"
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        n["role"]["value"]: n.get("name", {}).get("value", "")
        for n in tree
        if n["role"]["value"] in ("button", "slider", "link", "image", "img")
    }
    assert all(named.values()), named
    live = browser.run("document.querySelector('[aria-live]').textContent")
    assert re.fullmatch(
        r"backward 6 of 10: log_softmax sends to fc2\.linear, contribution 1 of 1: all of its gradient",
        live,
    )


@pytest.mark.parametrize(
    "name",
    ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "張量の勾配 \"'&amp;"],
    ids=ascii,
)
def test_browser_hostile_names_are_text(pages, tmp_path, name):
    browser, _, _ = pages
    to_html((leaf([1.0, 2.0], name=name) * 3).sum(), tmp_path / "page.html", title=name)
    browser.open(tmp_path / "page.html", "#t0")
    assert browser.run("document.querySelector('#panel h2').textContent") == name
    assert (
        browser.run("document.title")
        == browser.run("document.querySelector('h1').textContent")
        == name
    )
    assert (
        browser.run("document.scripts.length") == 2 and browser.run("document.images.length") == 0
    )
    quiet(browser, tmp_path / "page.html")


def test_browser_the_page_without_a_picture(pages, tmp_path, monkeypatch):
    browser, _, _ = pages

    def broken(*_, **__):
        raise RuntimeError("no Graphviz program was found.")

    monkeypatch.setattr(page_module, "render", broken)
    to_html(training_step(), tmp_path / "page.html")
    browser.open(tmp_path / "page.html", "#b2")
    assert "no Graphviz program was found." in browser.run("region.textContent")
    browser.press("End")
    assert browser.run("document.querySelector('#panel h2').textContent") == "linear"
    quiet(browser, tmp_path / "page.html")

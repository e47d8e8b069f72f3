"""check_graph: it names the node or leaf that is wrong, in whole models and in corner cases."""

import re

import numpy as np
import pytest
from helpers import all_random_states, positive_leaf, rows_of

import minigrad as mg
from minigrad import derivatives, engine, nn, registry
from minigrad import functional as F
from minigrad.check import GradcheckError, graphs, reports
from minigrad.graph import nodes
from minigrad.registry import op
from minigrad.tables import RED

pytestmark = pytest.mark.usefixtures("own_registry")


# ------------------------------------------------------------------------ check_graph: whole models


def small_model():
    mg.manual_seed(0)
    return nn.Sequential(
        first=nn.Linear(5, 8, penalty=nn.L2(1e-2)),
        act=nn.Tanh(),
        drop=nn.Dropout(0.5),
        last=nn.Linear(8, 3, penalty=nn.L1(1e-2)),
    )


def loss_of(model, n=7):
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((n, 5)).astype(np.float32), rng.integers(0, 3, n)
    return F.cross_entropy(model(mg.Tensor(x)), mg.Tensor(target)) + model.penalty()


def test_check_graph_passes_a_float32_model_with_dropout_and_penalties():
    model = small_model()
    loss = loss_of(model)
    report = mg.check_graph(loss)
    assert loss.dtype == np.float32
    assert report and report.first_wrong is None
    assert {row.verdict for row in report.rows} == {"OK"}
    assert max(row.error for row in report.rows) < 1e-6
    assert {"linear", "tanh", "dropout", "l1_penalty", "l2_penalty", "leaf"} <= {
        row.op for row in report.rows
    }


def test_check_graph_has_a_row_for_each_recorded_node_and_leaf():
    loss = loss_of(small_model())
    rows = mg.check_graph(loss).rows
    assert sorted(row.order for row in rows) == sorted(
        n.order for n in nodes(loss) if n.requires_grad
    )
    names = [row.name for row in rows if row.op == "leaf"]
    assert names == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert {row.op: row.name for row in rows}["dropout"] == "drop.dropout"


def test_check_graph_prints_as_a_table():
    lines = str(mg.check_graph(loss_of(small_model()))).splitlines()
    assert lines[0].split() == ["node", "or", "leaf", "shape", "error", "verdict"]
    assert lines[-1].startswith("gradient check passed: ") and "4 leaves" in lines[-1]
    (drop,) = [line for line in lines if line.startswith("drop.dropout ")]
    assert "(7, 8)" in drop and drop.split()[-1] == "OK"


def test_check_graph_names_nodes_as_pictures_do_and_numbers_equal_names():
    loss = loss_of(small_model())
    rows = mg.check_graph(loss).rows
    assert [row.name for row in rows if row.op in ("linear", "dropout", "tanh")] == [
        "first.linear",
        "act.tanh",
        "drop.dropout",
        "last.linear",
    ]
    x = positive_leaf()
    assert [row.name for row in mg.check_graph(np.sin(np.sin(x) * x)).rows] == [
        "sin#1",
        "multiply",
        "sin#2",
        "x",
    ]


def test_the_last_line_counts_what_was_tested():
    x, dead = positive_leaf(3), mg.Tensor(-np.ones(3), True, name="dead")
    report = mg.check_graph(np.sum(np.tanh(x)) + np.sum(F.relu(dead)))
    assert [row.name for row in report.rows if not row.passed] == ["relu", "dead"]
    assert "passed: 4 nodes and 1 leaf, 2 VACUOUS, largest" in report.verdict()


@pytest.mark.parametrize(
    "name, rule",
    [
        ("tanh", lambda g, out, x: g - 0.99 * g * out * out),
        ("dropout", lambda g, out, x, noise, p, scaling: g * noise),
        ("l2_penalty", lambda g, out, c, *weights: [c * g * w for w in weights]),
        ("l1_penalty", lambda g, out, c, *weights: [g * np.sign(w) for w in weights]),
    ],
)
def test_check_graph_names_the_real_op_that_was_broken(break_rule, name, rule):
    i = len(registry.ops[name].names) - 1 if isinstance(registry.ops[name], registry.Family) else 0
    loss = loss_of(small_model())
    assert mg.check_graph(loss)
    break_rule(name, rule, i)
    report = mg.check_graph(loss)
    assert not report and report.first_wrong.op == name
    assert [row.op for row in report.rows if row.verdict == "FAIL"] == [name]
    assert (
        f"{name}, relative error" in str(report).splitlines()[-1]
        and "FAILED" in str(report).splitlines()[-1]
    )


def test_leaves_behind_a_wrong_node_are_affected_and_others_are_not(break_rule):
    break_rule("tanh", lambda g, out, x: 1.1 * (g - g * out * out))
    report = mg.check_graph(loss_of(small_model()))
    leaves = {row.name: row.verdict for row in report.rows if row.op == "leaf"}
    assert leaves == {
        "first.weight": "AFFECTED",
        "first.bias": "AFFECTED",
        "last.weight": "OK",
        "last.bias": "OK",
    }


def test_the_first_of_two_wrong_nodes_is_named(break_rule):
    break_rule("tanh", lambda g, out, x: g)
    break_rule("sin", lambda g, out, x: g)
    report = mg.check_graph(np.sum(np.tanh(np.exp(np.sin(positive_leaf(3))))))
    assert report.first_wrong.op == "sin"
    assert [op for _, op in rows_of(report, "FAIL")] == ["sin", "tanh"]


def test_a_bug_of_the_engine_shows_in_the_leaf_when_every_rule_is_right(monkeypatch):
    right = engine.unbroadcast
    monkeypatch.setattr(engine, "unbroadcast", lambda *args: right(*args) / 2)
    report = mg.check_graph(np.sum(np.sin(positive_leaf(4, 3) + positive_leaf(3, seed=1))))
    assert not report and report.first_wrong.op == "leaf"
    assert [(row.op, row.shape) for row in report.rows if row.verdict == "FAIL"] == [("leaf", (3,))]


@pytest.mark.parametrize(
    "change",
    [lambda g: 1.0001 * g, lambda g: g + 1e-9, lambda g: g[::-1], lambda g: g * (g != g.max())],
)
def test_what_backward_adds_up_is_compared_at_every_entry(monkeypatch, change):
    right = derivatives.grad
    monkeypatch.setattr(
        derivatives,
        "grad",
        lambda *args, **kw: [mg.Tensor(change(g.data)) for g in right(*args, **kw)],
    )
    x = positive_leaf(5)
    report = mg.check_graph(np.sum(np.sin(x) * x))
    assert [row.op for row in report.rows if row.wrong] == ["leaf"]
    assert "backward gave " in report.first_wrong.note
    with pytest.raises(GradcheckError, match="FAIL: input 0: Every rule on the way is right"):
        mg.gradcheck(lambda x: np.sin(x) * x, x)


def test_the_error_of_a_leaf_is_relative(monkeypatch):
    right = derivatives.grad
    doubled = lambda *args, **kw: [mg.Tensor(2 * g.data) for g in right(*args, **kw)]  # noqa: E731
    monkeypatch.setattr(derivatives, "grad", doubled)
    report = mg.check_graph(1e6 * np.sum(np.sin(positive_leaf(5))))
    assert report.first_wrong.op == "leaf" and report.first_wrong.error == 1


def test_a_way_that_backward_does_not_take_is_missed(monkeypatch):
    """The walk by hand does not ask the engine which tensors want a gradient."""
    a, b = positive_leaf(3), positive_leaf(3, seed=1)
    twice = 2 * a
    loss = np.sum(twice * b)
    right = graphs.copy

    def forgetful(steps):
        copies = right(steps)
        copies[twice.order].flags = 0
        return copies

    monkeypatch.setattr(graphs, "copy", forgetful)
    report = mg.check_graph(loss)
    assert [row.verdict for row in report.rows if row.op == "leaf"] == ["FAIL", "OK"]


@pytest.mark.parametrize("seed", range(3))
def test_a_gradient_that_is_nothing_but_rounding_is_right(seed):
    """Its bits depend on how arrays lie in memory, so no zeros may be added on the way: a node
    without rules, as the comparison, adds none.
    """
    rng = np.random.default_rng(seed)
    b, (x, c, d) = mg.Tensor(np.zeros(3), True), rng.standard_normal((3, 100, 3))
    h = x + b
    loss = np.sum((np.asfortranarray(c) * (h - np.mean(h, axis=0))).T)
    assert mg.check_graph(loss + np.sum(np.where(h > 100, 1.0, 0.0) * d))


def test_a_rule_that_no_gradient_needs_is_not_called():
    @op(x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: 1 // 0)
    def times(x, y):
        return x * y

    assert mg.check_graph(np.sum(times(positive_leaf(3), mg.Tensor(np.ones(3)))))


def test_a_gradient_that_is_not_finite_is_no_pass_although_each_rule_is_right():
    x = mg.Tensor(np.array([1e-300, 1e-290]), True)
    report = mg.check_graph(np.sum(x * 1e200 * 1e200))
    assert [row.verdict for row in report.rows] == ["OK", "OK", "OK", "NONFINITE"]
    with pytest.raises(GradcheckError, match="NONFINITE: input 0: its gradient is not finite"):
        mg.gradcheck(lambda x: x * 1e200 * 1e200, x)


def test_a_leaf_behind_a_node_that_cannot_be_told_says_nothing():
    x, y = mg.Tensor(np.array([1e-320]), True), positive_leaf(2)
    report = mg.check_graph(np.sum(np.sqrt(x)) + np.sum(np.sin(y)))
    assert [row.verdict for row in report.rows if row.op == "leaf"] == ["VACUOUS", "OK"]


# -------------------------------------------------------------------- check_graph: the corner cases


def test_check_graph_of_a_loss_that_is_not_a_scalar():
    assert mg.check_graph(np.sin(positive_leaf(3, 2)) * positive_leaf(2, seed=1))


def test_check_graph_with_shared_nodes_and_a_leaf_used_twice_in_one_op():
    x = positive_leaf(4)
    y = x * x
    assert mg.check_graph(np.sum(y * y + np.exp(y) * x))


def test_check_graph_with_constants_indices_and_integers():
    x = positive_leaf(4, 3)
    picked = x[np.array([0, 0, 2]), mg.Tensor(np.array([1, 1, 0]))]
    assert mg.check_graph(
        np.sum(picked * np.arange(3) ** 2 + np.where(picked > 1, picked, 2 * picked))
    )


def test_check_graph_passes_a_cast_to_float32():
    assert mg.check_graph(np.sum(np.sin(positive_leaf(5).astype(np.float32))))


def test_check_graph_at_a_kink_of_one_entry():
    report = mg.check_graph(F.relu(mg.Tensor(0.0, True)) * 2)
    assert report and ("relu", "relu") in rows_of(report, "KINK")


@pytest.mark.parametrize(
    "func",
    [
        pytest.param(F.relu, id="relu"),
        pytest.param(lambda x: np.clip(x, 0, 1), id="clip"),
        pytest.param(lambda x: F.l1_penalty(x, c=0.1), id="l1"),
        pytest.param(lambda x: np.maximum(x, 0), id="maximum"),
    ],
)
def test_check_graph_with_many_entries_at_a_kink(func):
    x = np.random.default_rng(0).standard_normal(12)
    x[::2] = 0
    report = mg.check_graph(np.sum(func(mg.Tensor(x, True))))
    assert report, str(report)
    assert rows_of(report, "KINK")


def test_check_graph_with_relu_after_dropout():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))
    report = mg.check_graph(
        np.mean(model(mg.Tensor(np.random.default_rng(0).standard_normal((5, 4)))))
    )
    assert report, str(report)


def test_check_graph_finds_a_wrong_subgradient(break_rule):
    break_rule("absolute", lambda g, out, x: g * np.where(x == 0, 2.0, np.sign(x)))
    assert mg.check_graph(abs(mg.Tensor(0.0, True)) * 2).first_wrong.op == "absolute"


def test_a_dead_unit_gives_vacuous_rows_that_do_not_pass():
    dead = mg.Tensor(-np.ones(3), True)
    report = mg.check_graph(np.sum(F.relu(dead)))
    assert [op for _, op in rows_of(report, "VACUOUS")] == ["relu", "leaf"]
    assert not report  # no gradient of any leaf was tested
    assert "passed" not in report.verdict()


def test_one_dead_unit_beside_a_live_one_is_shown_and_does_not_fail():
    report = mg.check_graph(
        np.sum(F.relu(mg.Tensor(-np.ones(3), True))) + np.sum(np.exp(positive_leaf(3)))
    )
    assert report
    assert [op for _, op in rows_of(report, "VACUOUS")] == ["relu", "leaf"]
    assert "VACUOUS" in str(report)


def test_check_graph_of_a_loss_without_leaves_does_not_pass():
    with pytest.raises(RuntimeError, match="requires_grad"):
        mg.check_graph(np.sum(mg.Tensor([1.0, 2.0])))


def test_check_graph_of_a_freed_graph_says_what_to_do():
    loss = loss_of(small_model())
    loss.backward()
    with pytest.raises(RuntimeError, match=r"check_graph: the graph was freed.*retain_graph=True"):
        mg.check_graph(loss)


def test_check_graph_after_backward_with_the_graph_retained():
    loss = loss_of(small_model())
    loss.backward(retain_graph=True)
    assert mg.check_graph(loss)
    loss.backward()  # still there


@pytest.mark.parametrize("fails", [False, True])
def test_check_graph_leaves_everything_as_it_was(fails, break_rule):
    model = small_model()
    loss_of(model).backward()
    model.eval()
    model.train()
    loss = loss_of(model)
    steps = nodes(loss)
    before = [
        (
            n,
            n.data,
            n.data.copy(),
            n.dtype,
            n.grad,
            None if n.grad is None else n.grad.data.copy(),
            n.args,
            n.order,
            n.op,
        )
        for n in steps
    ]
    states = all_random_states()
    if fails:
        break_rule("tanh", lambda g, out, x: g)
    assert bool(mg.check_graph(loss)) is not fails
    for n, data, values, dtype, grad, gradient, args, order, made in before:
        assert n.data is data and n.dtype == dtype and np.array_equal(data, values)
        assert n.grad is grad and (grad is None or np.array_equal(grad.data, gradient))
        assert n.args is args and n.order == order and n.op is made
    assert all_random_states() == states
    assert all(m.training for m in model.modules())


def test_check_graph_gives_the_same_report_twice():
    loss = loss_of(small_model())
    first, second = mg.check_graph(loss), mg.check_graph(loss)
    assert str(first) == str(second)  # errors below 1e-15 may depend on where arrays lie in memory


def test_check_graph_of_a_long_chain_with_one_leaf_used_at_every_link():
    x = y = positive_leaf(2)
    for _ in range(50):
        y = np.sin(y) + x
    report = mg.check_graph(np.sum(y))
    assert report and len(report.rows) == 102


# ------------------------------------------------------------------------- whatever can be recorded

PROGRAMS = {  # name: (function, shape)
    "a slice and a list": (lambda x: x[:, [0, 2]] * 2, (3, 4)),
    "a list and a slice": (lambda x: np.sin(x[[0, 0, 1], 1:]), (3, 4)),
    "take along an axis": (lambda x: x[:, np.array([1, 1, 0])] * x[:, [0, 1, 2]], (2, 3)),
    "two to a sum": (lambda x: 2.0 ** x.sum(), (3,)),
    "a power of a mean": (lambda x: np.mean(x) ** 3 * np.max(x), (2, 2)),
    "an index of a Tensor": (lambda x: x[mg.Tensor(np.array([0, 2]))], (3, 2)),
    "interpolated": (lambda x: F.interpolate(x, scale_factor=2), (1, 1, 2, 3)),
    "an empty slice beside": (lambda x: np.concatenate([x[:0], x * x]), (3,)),
    "an empty index": (lambda x: x[[]].sum() + np.prod(x), (3,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_reader_of_a_graph_takes_any_index_and_any_scalar(name):
    f, shape = PROGRAMS[name]
    x = positive_leaf(*shape)
    y = f(x)
    assert mg.check_graph(np.sum(y * y))
    assert mg.gradcheck(f, x) and mg.gradgradcheck(f, x)
    assert np.array_equal(mg.replay(y).data, y.data) and mg.replay(y).shape == y.shape
    assert np.array_equal(mg.resample(y).data, y.data)
    assert mg.replay(y, {x: x.data + 1}).data == pytest.approx(f(mg.Tensor(x.data + 1)).data)


# ------------------------------------------------------------------------------------ what is shown


def test_a_report_names_the_rule_with_its_file_and_line(break_rule):
    rule = lambda g, out, x: 1.1 * g * (1 - out * out)  # noqa: E731
    break_rule("tanh", rule)
    report = mg.check_graph(loss_of(small_model()))
    place = f"tests/check/test_check_graph.py:{rule.__code__.co_firstlineno}"
    assert f"act.tanh: the rule of tanh for x ({place}) is wrong." in str(report)
    assert report.first_wrong.rule == f"tanh for x ({place})"
    with pytest.raises(
        GradcheckError, match=re.escape(f"FAIL: tanh for x ({place}): By x, entry (0,): ")
    ):
        mg.gradcheck(np.tanh, positive_leaf(3))


def test_a_report_is_its_table_and_in_a_notebook_a_coloured_one(break_rule):
    report = mg.check_graph(loss_of(small_model()))
    assert repr(report) == str(report) and "< 1e-15" in str(report)
    html = report._repr_html_()
    assert html.count("<tr>") == len(report.rows) + 1 and "OK" in html and RED not in html
    break_rule("tanh", lambda g, out, x: g)
    html = mg.check_graph(loss_of(small_model()))._repr_html_()
    assert RED in html and "&lt;" in html and "<b style" in html


def test_a_long_check_says_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(reports, "PATIENCE", 0.0)
    assert mg.check_graph(loss_of(small_model()))
    assert re.search(r"check_graph: \d of \d+ nodes, \d+ s\n", capsys.readouterr().err)
    monkeypatch.setattr(reports, "PATIENCE", 60.0)
    assert mg.check_graph(loss_of(small_model()))
    assert capsys.readouterr().err == ""


def test_the_cost_of_a_check_grows_with_nodes_and_not_with_their_square():
    def forwards(n):
        calls = []

        @op(x=lambda g, out, x: g * np.cos(x))
        def counted(x):
            calls.append(1)
            return np.sin(x)

        y = positive_leaf(3)
        for seed in range(n):
            y = counted(y * positive_leaf(3, seed=seed))
        loss = np.sum(y)
        calls.clear()
        assert mg.check_graph(loss)
        return len(calls)

    assert forwards(40) < 2.2 * forwards(20)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("factor", [1.0, 1.02, -1.0, 0.0])
def test_a_forward_that_loses_digits_is_not_passed(dtype, factor):
    @op(x=lambda g, out, x: factor * g * x / out)
    def cast(x):
        return np.sqrt(1 + x * x).astype(dtype)

    x = positive_leaf(2, 3)
    report = mg.check_graph(np.sum(cast(x)))
    assert report.first_wrong.op == "cast" and "too few digits" in report.first_wrong.note
    with pytest.raises(GradcheckError, match="too few digits"):
        mg.gradcheck(cast, x)
    single = mg.Tensor(np.ones(3, np.float32), True)  # of float32 arguments it loses nothing
    assert mg.gradcheck(lambda x: np.sqrt(1 + x * x), single)

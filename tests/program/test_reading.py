"""Programs to read: they are whole files, they give minigrad's numbers, and they read well."""

import ast
import inspect
import re
import runpy
from functools import wraps

import numpy as np
import pytest
from fuzz.checks import Case
from fuzz.grammar import random_program
from helpers import leaf, normal_leaf
from processes import ROOT, python
from programs import DTYPES, NETWORKS, batch, random_loss

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.graph import nodes
from minigrad.names import leaf_names
from minigrad.program.symbols import Page
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("seeded", "as_before")

README = (ROOT / "README.md").read_text(encoding="utf-8")

# A process that cannot import minigrad runs the file and saves what it computed.
RUN = """
import runpy, sys, numpy as np
sys.modules["minigrad"] = None
for file in sys.argv[1:]:
    names = runpy.run_path(file)
    np.savez(file + ".result.npz", loss=names["loss"], **names["gradients"])
"""


def numbers_of(folder):
    """{name of a file: its loss and gradients}, which the files compute without minigrad."""
    files = sorted(folder.glob("*.py"))
    python("-c", RUN, *map(str, files), folder=folder.parent, PYTHONPATH=None)
    return {file.stem: dict(np.load(f"{file}.result.npz")) for file in files}


def expected(loss):
    """{name: array} of a loss and its gradients, by minigrad."""
    names = leaf_names(nodes(loss))
    leaves = [node for node in nodes(loss) if node.order in names]
    found = zip(leaves, mg.grad(loss, leaves, retain_graph=True, allow_unused=True))
    gradients = {names[x.order]: g.data for x, g in found if g is not None}
    return {"loss": loss.data} | gradients


def assert_equal(found, loss):
    """Asserts that both are equal to the last bit."""
    __tracebackhide__ = True
    right = expected(loss)
    assert found.keys() == right.keys()
    for name, array in right.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def body(program):
    """The lines of both passes, without comments."""
    text = str(program).split(" forward\n")[1].split("\ngradients = ")[0]
    lines = (line.partition("  #")[0].rstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


KNOWN, added = frozenset([1.0]), np.add


def negated(function):
    @wraps(function)
    def call(x, n):
        return -function(x, n)

    return call


@negated
def many(x, n):
    total = np.zeros_like(x)
    for _ in range(n):
        total = added(total * 0.5, x)
    return total


# Each has a function complete_loss.
EXAMPLES = {"regularization": [], "lenet": [], "resnet": [], "seq_gru": []}
EXAMPLES["char_transformer"] = [None]


def test_written_losses_give_the_same_bits_without_minigrad(tmp_path, monkeypatch):
    losses = {}
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    for name, arguments in EXAMPLES.items():
        complete_loss = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["complete_loss"]
        losses[name] = complete_loss(*arguments)
        mg.write_out(losses[name], to_file=tmp_path / f"{name}.py")
    x, y = batch(0)
    for network in NETWORKS:
        model, function = network()
        loss = losses[network.__name__] = function(mg.Tensor(x, name="x"), mg.Tensor(y, name="y"))
        mg.write_out(loss, to_file=tmp_path / f"{network.__name__}.py")
        assert all(p.grad is None for p in model.parameters())
    w = leaf([1.0, 0.0, 2.0], name="w")  # erf and prod read values
    losses["reads"] = np.sum(np.cumsum(F.gelu(w)) * np.prod(w + 1))
    narrow = normal_leaf(7, 8, dtype=np.float32, name="narrow")
    wide = F.linear(np.concatenate([np.exp(w), np.sin(w + 1), np.tanh(w[:2] + 1)]), narrow)
    losses["arrays"] = np.sum(np.square(wide)) + np.ones(3) @ w + np.sum(w)[w[0] > 0].sum() ** 1.5
    mg.write_out(losses["arrays"], to_file=tmp_path / "arrays.py")
    mg.write_out(losses["reads"], to_file=tmp_path / "reads.py")
    assert "def erf(x):" in (tmp_path / "reads.py").read_text(encoding="utf-8")
    w = leaf(np.eye(3), dtype=np.float16, name="w")
    y = mg.Tensor([0, -100, 2], name="y")
    losses["half"] = F.cross_entropy(w, y, label_smoothing=0.1) + np.var(w)
    mg.write_out(losses["half"], to_file=tmp_path / "half.py")
    found = numbers_of(tmp_path)
    for name, loss in losses.items():
        assert_equal(found[name], loss)
        loss.backward()  # the graph is whole


@pytest.mark.parametrize("seed", range(20))
def test_a_random_loss_gives_the_same_bits(seed, tmp_path, monkeypatch, capsys):
    _, function = random_loss(seed, DTYPES[seed % 3])
    loss = function(mg.Tensor(np.random.default_rng(seed).normal(size=(3, 4)), name="x"))
    mg.write_out(loss, to_file=tmp_path / "random.py")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path("random.py")
    assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)
    assert capsys.readouterr().out.startswith(f"loss {loss.data!s}\n")


@pytest.mark.parametrize("start", range(0, 60, 10))
def test_a_program_of_the_fuzzer_gives_the_same_bits(start, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in range(start, start + 10):
        loss = Case(random_program(seed)).recorded["loss"]
        if isinstance(loss, mg.Tensor) and loss.requires_grad:
            mg.write_out(loss, to_file="random.py")
            with np.errstate(all="ignore"):
                names = runpy.run_path("random.py")
            assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)


def test_the_program_of_a_layer_reads_as_if_written_by_hand():
    fc1, fc2 = nn.Linear(3, 4), nn.Linear(4, 2)
    model = nn.Sequential(fc1=fc1, act=nn.ReLU(), fc2=fc2)
    x = mg.Tensor(np.ones((5, 3), np.float32), name="x")
    program = mg.write_out(np.sum(np.square(model(x))))
    assert body(program) == [
        "act = np.maximum(x @ fc1_weight.T + fc1_bias, 0)",
        "fc2 = act @ fc2_weight.T + fc2_bias",
        "loss = np.square(fc2).sum()",
        "g_fc2 = 2 * fc2",
        "g_fc2_weight = g_fc2.T @ act",
        "g_fc2_bias = g_fc2.sum(axis=0)",
        "g_fc1 = g_fc2 @ fc2_weight * (act != 0)",
        "g_fc1_weight = g_fc1.T @ x",
        "g_fc1_bias = g_fc1.sum(axis=0)",
    ]


def test_sums_over_broadcast_axes_and_sums_of_cotangents_are_seen():
    x, b = normal_leaf(3, 4, name="x"), normal_leaf(4, name="b")
    assert body(mg.write_out(np.sum(np.exp(x + b) * b))) == [
        "exp = np.exp(x + b)",
        "loss = (exp * b).sum()",
        "g_x = np.broadcast_to(b, (3, 4)) * exp",
        "g_b = exp.sum(axis=0) + g_x.sum(axis=0)",
    ]


def test_slices_are_added_where_they_lie():
    x = normal_leaf(6, name="x")
    lines = body(mg.write_out(np.sum(np.exp(x[:3]) * x[3:])))
    assert [line for line in lines if line.startswith("g_x")] == [
        "g_x = np.zeros(6, np.float64)",
        "g_x[3:6] = exp",
        "g_x[:3] += x[3:6] * exp",
    ]


def test_a_part_of_zeros_is_added_to_an_array_that_broadcasts():
    page = Page()
    x = page.input("x", np.array([1.0, 2.0]))
    total = x + page.scatter(x, (3, 2), 1)
    assert total.value.tolist() == [[1, 2], [2, 4], [1, 2]]


def test_names_are_those_of_the_user_the_model_and_the_law():
    drop = nn.Dropout(0.25)
    model = nn.Sequential(first=nn.Linear(2, 3), drop=drop, last=nn.Linear(3, 1))
    hidden = model.first(mg.Tensor(np.ones((4, 2), np.float32), name="data of today"))
    loss = np.mean(model.last(model.drop(np.tanh(hidden))))
    program = mg.write_out(loss, names=locals())
    assert "hidden = data_of_today @ weight.T + bias" in str(program)
    loss = np.mean(model(np.ones((4, 2), np.float32)))
    text = str(mg.write_out(loss))
    assert re.search(r'mask_drop = data\["mask_drop"\] *# \(4, 3\) Bernoulli\(keep=0.75\)', text)
    assert "first_weight = " in text and 'gradients["first.weight"] = g_first_weight' in text


def test_no_name_is_one_of_python_or_of_the_program():
    names = ["lambda", "np", "data", "sum", "1st", "a-b", "loss"]
    xs = [leaf(2.0, name=name) for name in names]
    program = mg.write_out(sum(x * x for x in xs))
    tree = ast.parse(str(program))
    assigned = [
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]
    assert not {"np", "sum"} & {*assigned} and assigned.count("data") == 1
    assert len({*program.data}) == len(names)


def test_the_last_value_of_a_line_gets_its_name():
    x = leaf(np.eye(4), name="x")
    lines = body(mg.write_out(np.sum(nn.LayerNorm(4)(x) * x)))
    assert any(line.startswith("sqrt = np.sqrt(") for line in lines)
    assert any(line.startswith("along = ") and "g_standardize - " in line for line in lines)


def test_headings_name_the_modules_of_several_lines():
    class Net(nn.Module):
        def __init__(self):
            self.blocks = [nn.LayerNorm(4), nn.LayerNorm(4)]

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return np.sum(x * x)

    text = str(mg.write_out(Net()(leaf(np.eye(4), name="x"))))
    headings = re.findall(r"^# (\S+: \S+)$", text, re.M)
    assert headings == [f"blocks.{i}: LayerNorm" for i in (0, 1, 1, 0)]


def test_an_own_op_is_written_as_lines_or_as_a_call(tmp_path, own_registry, monkeypatch, capsys):
    called = op(many, x=lambda g, out, x, n: -g * (2 - 0.5 ** (n - 1)))
    monkeypatch.chdir(tmp_path)
    for n in 1, 40:
        loss = np.sum(called(leaf([1.0, 2.0], name="x"), n))
        program = mg.write_out(loss, to_file="own.py")
        assert ("@negated\ndef many" in str(program)) == (n > 12)
        names = runpy.run_path("own.py")
        assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)


def test_an_own_op_with_types_is_written_without_them(tmp_path, own_registry, monkeypatch, capsys):
    @op(x=lambda g, out, x, k: g * k)
    def signed(x: mg.Tensor | np.ndarray, k: float = 2.0) -> mg.Tensor:
        """k x."""
        return k * x if x.max() > 0 else x * k

    monkeypatch.chdir(tmp_path)
    loss = np.sum(signed(leaf([1.0, 2.0], name="x"), 3.0))
    assert "def signed(x, k=2.0):" in str(mg.write_out(loss, to_file="own.py"))
    names = runpy.run_path("own.py")
    assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)


def test_an_array_that_others_use_is_not_filled(tmp_path, own_registry, monkeypatch, capsys):
    @op(x=lambda g, out, x: g * (x > 0) * np.exp(x))
    def cut(x):
        out = np.exp(x)  # computed before
        out[x < 0] = 0
        return out

    @op(x=lambda g, out, x: 3 * g)
    def filled(x):
        out = np.zeros_like(x)
        out.reshape(-1)[:1] = x[0]
        return 3 * x + (out - out)

    @op(x=lambda g, out, x: g)
    def raised(x):
        out = x + 0.0  # a copy, which a program to read leaves out
        np.add.at(out, [0], 1.0)
        return out

    @op(x=lambda g, out, x: 0 * g)
    def constant(x):
        out = x + 0.0
        out.fill(3)
        return out

    monkeypatch.chdir(tmp_path)
    x = leaf([-1.0, 2.0], name="x")
    others = np.sum(np.exp(raised(x))), np.sum(constant(x) * x)
    for loss in np.sum(np.exp(x) + cut(x)), np.sum(filled(x)), *others:
        mg.write_out(loss, to_file="own.py")
        names = runpy.run_path("own.py")
        assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)


def test_a_rule_that_fills_an_array_is_refused(own_registry):
    def fills_another(g, out, x):
        total = np.empty_like(x)
        np.multiply(g, 2 * x, out=total)
        return total

    def fills_its_own(g, out, x):
        total = g * x
        np.multiply(total, x, out=total)
        return total

    def fills_a_view(g, out, x):
        total = g * x
        np.multiply(total[:1], x[:1], out=total[:1])
        return total

    for i, rule in enumerate((fills_another, fills_its_own, fills_a_view)):

        def squared(x):
            return x * x

        squared.__name__ += str(i)
        with pytest.raises(TypeError, match="out=total.*which reads or changes values"):
            mg.write_out(np.sum(op(x=rule)(squared)(leaf([1.0, 2.0], name="x"))))


def test_a_rule_may_use_the_operators_in_place(own_registry):
    def rule(g, out, x):
        total = 1 * g  # an array: the loss is a sum
        total *= x
        total *= 3
        total -= g * x
        return total

    @op(x=rule)
    def squared(x):
        return x * x

    lines = body(mg.write_out(np.sum(squared(leaf([1.0, 2.0], name="x")))))
    names = {"np": np, "x": np.array([1.0, 2.0])}
    exec("\n".join(line for line in lines if "data" not in line), names)
    np.testing.assert_array_equal(names["g_x"], [2.0, 4.0])


def test_variables_of_a_function_are_not_those_of_its_module(own_registry):
    @op(KNOWN=lambda g, out, KNOWN: g)
    def shifted(KNOWN):
        return KNOWN + (1 if KNOWN.tolist()[0] > 0 else 2)

    text = str(mg.write_out(np.sum(shifted(leaf([1.0], name="x")))))
    assert "def shifted(KNOWN):" in text and "KNOWN = " not in text


def test_an_op_whose_constants_cannot_be_written_is_refused(own_registry):
    @op(x=lambda g, out, x: g)
    def known(x):
        return x + (1 if x.tolist()[0] in KNOWN else 2)

    with pytest.raises(TypeError, match="write_out: KNOWN is a frozenset, which cannot be written"):
        mg.write_out(np.sum(known(leaf([1.0]))))


class Setting:
    """An object whose repr is no expression."""


def test_a_setting_is_written_as_an_expression_or_refused(
    tmp_path, own_registry, monkeypatch, capsys
):
    @op(x=lambda g, out, x, k: 2 * g)
    def double(x, k):
        return 2 * x if x.tolist()[0] > 0 else x + x

    monkeypatch.chdir(tmp_path)
    x = leaf([1.0, 2.0], name="x")
    for k in {"k": np.ones(2), 1: np.inf}, np.mean, np.dtype("f4"), float, slice(0, 2), b"k", ...:
        loss = np.sum(np.sin(double(x, k)))
        mg.write_out(loss, to_file="own.py")
        names = runpy.run_path("own.py")
        assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)
    for k in Setting(), Setting, np.random.default_rng(0):
        with pytest.raises(TypeError, match="write_out: .* is a .*, which cannot be written"):
            mg.write_out(np.sum(double(x, k)))
        step = mg.compile(lambda: np.sum(np.sin(double(x, k))))  # noqa: B023 (it is called here)
        assert step().item() == step().item() and step.programs[0].refusal is None


half = lambda x: x / 2  # noqa: E731


def test_an_op_with_a_helper_that_is_a_lambda_is_refused(own_registry):
    @op(x=lambda g, out, x: g / 2)
    def halved(x):
        return half(x) if x.tolist()[0] > 0 else half(x)

    with pytest.raises(TypeError, match="the source of <lambda> is not at hand"):
        mg.write_out(np.sum(halved(leaf([1.0]))))


def test_lambdas_are_refused_wherever_they_stand(own_registry):
    either = op(lambda x: x * x if x[0] > 0 else x, x=lambda g, out, x: g)

    @op(x=lambda g, out, x: g)
    def pieces(x):
        return np.piecewise(x, [x > 1], [lambda v: 2 * v, 0.0])

    x = leaf([1.0, 2.0])
    for loss in np.sum(either(x)), np.sum(either(x) + np.sin(either(x))), np.sum(pieces(x)):
        with pytest.raises(TypeError, match="the source of <lambda> is not at hand. Define it by"):
            mg.write_out(loss)


def test_a_rule_may_read_constants_and_no_values(tmp_path, own_registry, monkeypatch, capsys):
    @op(x=lambda g, out, x, k: g * np.sum(np.sort(k)).item())
    def scaled(x, k):
        return x * np.sum(k)

    @op(x=lambda g, out, x, k: g + 0 * np.sum(k * x).item())
    def shown(x, k):
        return x

    monkeypatch.chdir(tmp_path)
    x, k = leaf(np.eye(2), name="x"), np.array([[1, 2], [3, 5]])
    loss = np.sum(np.sin(np.pad(x, k)) ** 2) + np.sum(scaled(x, k) ** 2)
    mg.write_out(loss, to_file="constants.py")
    names = runpy.run_path("constants.py")
    assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)
    with pytest.raises(TypeError, match="reads or changes values of a Tensor"):
        mg.write_out(np.sum(shown(x, k)))


def times(k):
    @op(x=lambda g, out, x: g * k)
    def scaled(x):
        return k * x if x.tolist()[0] > 0 else x * k

    return scaled


def test_a_variable_around_an_op_is_written_too(tmp_path, own_registry, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    loss = np.sum(times(3.0)(leaf([1.0, 2.0], name="x")))
    mg.write_out(loss, to_file="own.py")
    names = runpy.run_path("own.py")
    assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)


def test_two_ops_of_one_name_are_refused(own_registry):
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="write_out: two things are called k"):
        mg.write_out(np.sum(times(3.0)(x)) + np.sum(times(5.0)(x)))


def test_a_helper_of_another_library_is_refused(own_registry):
    @op(x=lambda g, out, x: g)
    def same(x):
        return x if x.tolist()[0] > 0 else pytest.approx(x)

    with pytest.raises(TypeError, match="write_out: pytest is a module, which cannot be written"):
        mg.write_out(np.sum(same(leaf([1.0]))))


def test_an_op_without_a_source_is_refused_by_its_name(own_registry):
    names = {"np": np, "op": op}
    exec("def hidden(x):\n    return x + 1 if x[0] > 0 else x", names)
    hidden = op(names["hidden"], x=lambda g, out, x: g)
    with pytest.raises(TypeError, match="the source of hidden is not at hand"):
        mg.write_out(np.sum(hidden(leaf([1.0]))))


def test_what_cannot_be_written_is_refused():
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="write_out reads a recorded graph"):
        mg.write_out(3.0)
    with pytest.raises(RuntimeError, match="write_out: the tensor has shape"):
        mg.write_out(x * x)
    with pytest.raises(RuntimeError, match="write_out: this tensor does not depend"):
        mg.write_out(mg.Tensor(1.0, name="x") * 2)
    loss = np.sum(x)
    loss.backward()
    with pytest.raises(RuntimeError, match="write_out: the graph was freed"):
        mg.write_out(loss)
    loss = np.sum(np.exp(x))
    with mg.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="was changed in place .* after exp used it"):
        mg.write_out(loss)
    assert inspect.signature(mg.write_out).parameters.keys() == {"loss", "names", "to_file"}


def test_the_readme_shows_the_program_of_its_example(capsys):
    example, shown = re.findall(r"```python\n(.*?)```", README, re.S)[:2]
    names = {}
    exec(example.split("\nreport =")[0], names)
    text = str(mg.write_out(names["loss"]))
    assert (
        shown.strip()
        == text[text.index("# " + 71 * "-" + " backward") : text.index("gradients = {")].strip()
    )

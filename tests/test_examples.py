"""The code of README and examples prints what they show, and the data of the examples are whole."""

import gzip
import itertools
import os
import re
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, python

import minigrad as mg
from minigrad import nn
from minigrad.check.__main__ import main as check_command

PATH = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
digits = runpy.run_path(str(ROOT / "examples" / "digits.py"))
SCRIPTS = {  # the pictures that each writes
    "regularization": ["learning_curves.png"],
    "keras_regularization": ["keras_history.png"],
    "dropout_is_ridge": ["dropout_is_ridge.png"],
    "lasso_path": ["lasso_path.png"],
    "mc_dropout": ["mc_dropout.png"],
    "lenet": ["lenet.png"],
    "resnet": ["resnet.png"],
    "variance_shift": ["variance_shift.png"],
    "char_transformer": ["char_transformer.png"],
    "seq_gru": ["seq_gru.png"],
    "saliency": ["saliency.png"],
    "hessian": ["hessian.png"],
}
# Fewer steps than --quick takes, where steps and points of learning curves cost more than the rest.
FEWER = {"regularization": 20, "char_transformer": 2, "variance_shift": 20, "lasso_path": 200}
FEWER |= {"dropout_is_ridge": 100, "lenet": 1, "resnet": 1, "seq_gru": 2, "mc_dropout": 100}


@pytest.fixture
def script(monkeypatch):
    """A function that returns the names that an example defines."""
    pytest.importorskip("tqdm")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return lambda name: runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


def code_blocks():
    return re.findall(r"```python\n(.*?)```\n", README, re.S)


def run(code, folder):
    return python("-W", "ignore", "-c", code, folder=folder).stdout.decode()


def usage_error(script, *options):
    """What an example says of its options when it refuses them."""
    done = python(ROOT / "examples" / f"{script}.py", *options, check=False)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    return done.stderr.decode()


def without_errors(text):
    """The output without the sizes of numeric errors and times, which depend on the machine."""
    numbers = r" *((< )?\d(\.\d+)?e[-+]\d\d|\d+\.\d$|\d+ s$|\((\S*checks.py|<string>):\d+\))"
    return re.sub(numbers, " ~", text, flags=re.M)


def test_the_example_prints_what_the_readme_shows_and_draws(tmp_path):
    from minigrad.drawing.render import renderers

    if not renderers():
        pytest.skip("no Graphviz program: pip install graphviz-pure")
    code = code_blocks()[0]
    shown = README.split(code)[1].split("```")[2]
    assert without_errors(run(code, tmp_path)).strip() == without_errors(shown).strip()
    assert (tmp_path / "loss.svg").stat().st_size > 10_000
    example = (ROOT / "examples" / "readme.py").read_text(encoding="utf-8")
    assert example.endswith(code)


@pytest.mark.parametrize("name", ["checks", "penalties", "resume"])
def test_an_example_prints_what_the_page_of_examples_shows(name, tmp_path):
    printed = run((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"), tmp_path)
    shown = re.search(rf"`{name}\.py` prints\s+(?:```\n(.*?)```|`(.*?)`)", EXAMPLES, re.S)
    assert without_errors(printed).strip() == without_errors(shown[1] or shown[2]).strip()


def test_the_command_of_the_page_of_examples_prints_what_it_shows(capsys):
    command, shown = re.search(
        r"\$ python -m minigrad.check (.*?)\n(.*?)```", EXAMPLES, re.S
    ).groups()
    assert check_command(command.split()) == 0
    assert without_errors(capsys.readouterr().out).strip() == without_errors(shown).strip()


def test_the_bugs_of_the_readme_are_those_that_are_planted():
    from planted_bugs import BUGS

    assert f"And {len(BUGS)} bugs" in README and f"{len(BUGS)} bugs, " in EXAMPLES
    lines = EXAMPLES.split("`python tests/planted_bugs.py` plants")[1].split("```")[1].splitlines()
    for line in lines[2:-1]:
        assert line == "..." or any(
            line.startswith(f"{bug.name:42} {bug.killer.__name__:22}")
            and line.rstrip().endswith(bug.seen)
            for bug in BUGS
        )


def adding():
    """The code blocks of the README's section on adding things."""
    section = README[README.index("## Adding") : README.index("## Coming from elsewhere")]
    return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.mark.parametrize("file", ["my_ops.py", "my_penalties.py", "examples/my_noise.py"])
def test_what_the_readme_adds_is_one_file_and_is_proved(file, tmp_path):
    folder = ROOT
    if "/" not in file:
        folder = tmp_path
        (code,) = [block for block in adding() if block.startswith(f"# {file}\n")]
        (tmp_path / file).write_text(code, encoding="utf-8")
    command = re.search(rf"`python (-m minigrad.check {file})`", README)[1]
    assert b"\n1 of 1 " in python(*command.split(), folder=folder).stdout


def test_the_penalty_of_the_readme_goes_everywhere(tmp_path):
    (code,) = [block for block in adding() if block.startswith("# my_penalties.py\n")]
    code += """
import minigrad as mg
from minigrad import nn, optim

layer = nn.Linear(1, 2, bias=False, penalty=nn.Penalty(huber_penalty, c=0.5), dtype=np.float64)
layer.weight.data[:, 0] = 3.0, 0.6


def loss():
    return 0.5 * ((layer.weight - np.array([[2.0], [0.3]])) ** 2).sum() + layer.penalty()


print(layer, mg.terms(loss())[1].name, "octagon" in mg.to_dot(loss()))
optimizer = optim.ProximalSGD(layer.parameters(), lr=0.5)
for _ in range(100):
    optimizer.step(loss)
print(layer.weight.numpy().ravel().round(12), optim.kkt_residual(loss()) < 1e-12)
"""
    # the minimum of (w - b)^2 / 2 + c huber(w): b - c where it is above 1, else b / (1 + c)
    printed = run(code, tmp_path).splitlines()
    assert printed[0].endswith(") huber_penalty(c=0.5) True")
    assert "penalty=Penalty(huber_penalty, c=0.5)" in printed[0]
    assert printed[1] == "[1.5 0.2] True"


@pytest.mark.parametrize(
    "right, wrong, told",
    [
        ("v - t * np.sign(v))", "v - 2 * t * np.sign(v))", "is not the minimiser"),
        ("v / (1 + t), v", "v, v", "is not the minimiser"),
        ("    return np.where", "    return np.sum(v) + 0 * np.where", "is not the minimiser"),
        ("v - t * np.sign(v))", "v - t * np.sign(v))[:1]", r"returns shape \(1, 3\)"),
    ],
)
def test_a_wrong_proximal_operator_of_a_penalty_is_not_proved(
    right, wrong, told, tmp_path, capsys, own_registry
):
    (code,) = [block for block in adding() if block.startswith("# my_penalties.py\n")]
    assert right in code
    (tmp_path / "my_penalties.py").write_text(code.replace(right, wrong), encoding="utf-8")
    assert check_command([str(tmp_path / "my_penalties.py")]) == 1
    assert re.search(told, capsys.readouterr().out)


def test_a_layer_an_optimizer_and_a_kind_of_node_are_one_file(tmp_path):
    assert "`examples/my_parts.py`" in README
    printed = run((ROOT / "examples" / "my_parts.py").read_text(encoding="utf-8"), tmp_path)
    assert printed == "Scale(features=3, penalty=L1(0.01)) [0.9 0.9 0.9] True\n"


def test_the_commands_of_the_readme_are_one_line_each_and_ci_runs_the_tests():
    commands = re.findall(r"^python3 -m venv .*$", README, re.M)
    assert len(commands) == 2
    assert commands[0].endswith("examples/regularization.py") and commands[1].endswith(
        "pytest -n 2"
    )


PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("README.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_of_a_page_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text)
    for path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            names = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in names, anchor


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 280


def test_the_digits_are_whole():
    images, labels = digits["load"]()
    assert (
        images.shape == (1797, 64)
        and images.dtype == np.float32
        and images.min() == 0
        and images.max() == 1
    )
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_fifth_of_the_training_labels_is_wrong_and_no_other():
    images, labels = digits["load"]()
    truth = {image.tobytes(): label for image, label in zip(images, labels)}
    parts = digits["noisy_split"](3)
    wrong = [sum(truth[x.tobytes()] != y for x, y in zip(*part)) for part in parts]
    assert [len(part[1]) for part in parts] == [500, 200, 1097]
    assert wrong == [100, 0, 0]


STUDIES = """
import runpy
import sys

for name, *options in {commands}:
    print("#### script:", name)
    sys.argv = [name, *options]
    try:
        runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""


def test_every_script_runs_and_writes_its_pictures(tmp_path):
    for package in "matplotlib", "tqdm":
        pytest.importorskip(package)
    commands = []
    for name in SCRIPTS:
        options = ["--quick", "--out", str(tmp_path / name)]
        options += ["--steps", str(FEWER[name])] if name in FEWER else []
        commands.append([str(ROOT / "examples" / f"{name}.py"), *options])
    # in one process, since the import of Matplotlib takes longer than most of the scripts
    program = STUDIES.format(commands=commands)
    shown = python("-c", program, folder=tmp_path, PYTHONPATH=PATH, MPLBACKEND="Agg").stdout
    for name, printed in zip(SCRIPTS, shown.decode().split("#### script: ")[1:], strict=True):
        for picture in SCRIPTS[name]:
            assert f"wrote {tmp_path / name / picture}" in printed
            assert (tmp_path / name / picture).stat().st_size > 20_000


@pytest.mark.parametrize("option", ["--plan", "--quick"])
def test_the_example_of_large_data_runs(option, tmp_path):
    if option == "--quick":
        pytest.importorskip("distributed", reason="larger_than_memory.py needs Dask")
    file = ROOT / "examples" / "larger_than_memory.py"
    done = python(file, option, "--kill", folder=tmp_path, MPLBACKEND="Agg")
    if option == "--plan":
        assert b"40 chunks of 25.6 MB on 2 workers" in done.stdout
        printed = done.stdout.decode()
        moved = re.findall(r"^ +[\d,]+ +[\d,]+ +([\d,]+) +([\d,]+)", printed, re.M)
        times = re.findall(r"([\d,.]+) \| +([\d,.]+)", printed)
        assert len(moved) == 4 and len(times) == 20
        for pairs, error in (moved, 0.03), (times, 0.3):  # a chunk may take 1.5 times as long
            numbers = np.array([[float(n.replace(",", "")) for n in pair] for pair in pairs])
            assert np.all(abs(numbers[:, 0] / numbers[:, 1] - 1) < error)
    else:
        assert b"Restarting worker" in done.stderr and b"larger_than_memory.png" in done.stdout


def test_the_table_of_examples_names_every_study():
    section = EXAMPLES[: EXAMPLES.index("## What regularization does")]
    rows = re.findall(r"^\| `(\w+)\.py` \|", section, re.M)
    assert sorted(rows) == sorted([*SCRIPTS, "larger_than_memory"])


def test_every_method_of_the_main_job_is_in_its_table(script):
    assert all(
        re.search(rf"^{re.escape(method)} +\d", EXAMPLES, re.M)
        for method in script("regularization")["METHODS"]
    )


# -------------------------------------------------------------------------- what the examples share


def test_the_options_of_an_example(script, capsys):
    parser = script("study")["parser"](
        "What for?", least=2, seeds=(5, 2, "runs"), steps=(3000, 300, "updates a run")
    )
    options = parser.parse_args([])
    assert (options.seeds, options.steps, options.quick, options.out) == (
        5,
        3000,
        False,
        Path("out"),
    )
    options = parser.parse_args(["--quick", "--seeds", "3"])
    assert (options.seeds, options.steps, options.quick) == (3, 300, True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--steps", "1"])
    assert "--steps: must be at least 2" in capsys.readouterr().err


def test_every_row_is_in_one_batch_of_an_epoch_but_the_last_incomplete_batch(script):
    batches = list(itertools.islice(script("study")["shuffled"](10, 0, batch=3), 6))
    assert all(len(np.unique(np.concatenate(batches[i : i + 3]))) == 9 for i in (0, 3))
    assert not np.array_equal(batches[:3], batches[3:])
    with pytest.raises(ValueError, match="9 rows make no batch of 10"):
        next(script("study")["shuffled"](9, 0, batch=10))


def test_the_curve_of_a_short_run_has_several_points_too(script):
    is_on_curve = script("study")["is_on_curve"]

    def points(steps, **every):
        return [step for step in range(1, steps + 1) if is_on_curve(step, steps, **every)]

    assert points(210) == [50, 100, 150, 200, 210]
    assert points(120, every=25) == [25, 50, 75, 100, 120] and points(20) == [5, 10, 15, 20]
    assert points(10) == [2, 4, 6, 8, 10] and points(1) == [1] and points(3) == [1, 2, 3]


def test_the_table_of_methods(script, capsys):
    # step, accuracy in training and test, loss in validation and test, and a number of the method
    results = {
        "none": [
            [(1, 50, 60, 0.2, 0.9, 7), (2, 100, 40, 0.8, 0.9, 7)],
            [(1, 50, 70, 0.1, 0.9, 7), (2, 90, 50, 0.9, 0.9, 8)],
        ],
        "dropout": [
            [(1, 50, 60, 0.9, 0.9, 1), (2, 70, 80, 0.3, 0.9, 1)],
            [(1, 50, 60, 0.9, 0.9, 1), (2, 72, 84, 0.2, 0.9, 2)],
        ],
    }
    script("study")["table"](results, ["none"], {"own": "{:.1f}"})
    rows = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [
        ["", "train acc", "test acc", "minus none", "stopped early", "own"],
        ["none", "95.0%", "45.00 ± 7.07%", "65.00%", "7.5"],
        ["dropout", "71.0%", "82.00 ± 2.83%", "+37.00 ± 4.24", "82.00%", "1.5"],
    ]


def test_a_loss_that_cannot_be_drawn_is_checked_all_the_same(script, tmp_path, monkeypatch, capsys):

    def no_program(loss, **settings):
        raise RuntimeError("no Graphviz program")

    monkeypatch.setattr(mg, "draw", no_program)
    w = mg.Tensor([1.0, 2.0], requires_grad=True)
    passed, drawn = script("study")["check"](
        np.sum(w * w), "squares", tmp_path / "new" / "loss.svg"
    )
    assert passed and drawn == [tmp_path / "new" / "loss.gv"]
    assert re.search(
        "squares: gradient check passed.*\nno Graphviz program", capsys.readouterr().out
    )


# ------------------------------------------------------------------- diabetes, and dropout as ridge


def test_the_diabetes_data_are_whole(script):
    features, target = script("diabetes")["load"]()
    assert (
        features.shape == (442, 10)
        and target.shape == (442,)
        and features.dtype == target.dtype == np.float64
    )
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(features.std(axis=0), 1)


def test_the_diabetes_data_are_scikit_learns(script):
    datasets = pytest.importorskip("sklearn.datasets")
    theirs, target = datasets.load_diabetes(return_X_y=True)
    np.testing.assert_allclose(script("diabetes")["load"]()[0] / np.sqrt(442), theirs, atol=1e-14)
    np.testing.assert_allclose(script("diabetes")["load"]()[1], target - target.mean(), atol=1e-12)


def test_damaged_data_are_refused(script, tmp_path):
    diabetes = script("diabetes")
    np.savez(tmp_path / "other.npz", features=np.zeros((442, 10)), target=np.zeros(442))
    diabetes["load"].__globals__["FILE"] = tmp_path / "other.npz"
    with pytest.raises(ValueError, match="other.npz: features are not the diabetes data"):
        diabetes["load"]()


@pytest.mark.parametrize("r", [0.2, 0.7])
def test_dropout_on_a_linear_model_is_ridge(script, r):
    ridge = script("dropout_is_ridge")
    x, y = script("diabetes")["load"]()
    x, w = x[:, :6], np.random.default_rng(0).normal(size=6) * 20
    value, gradient = ridge["enumerated"](x, y, r, w)
    assert abs(value / ridge["penalised"](x, y, r, w) - 1) < 1e-12
    slope = 2 * x.T @ (x @ w - y) + 2 * r / (1 - r) * np.sum(x**2, axis=0) * w
    np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-12 * np.abs(slope).max())
    exact, counted = ridge["closed_form"](x, y, r), ridge["by_enumeration"](x, y, r)
    assert np.linalg.norm(counted - exact) < 1e-12 * np.linalg.norm(exact)


def test_sgd_with_dropout_comes_near_ridge(script):
    ridge = script("dropout_is_ridge")
    x, y = script("diabetes")["load"]()
    exact, found = ridge["closed_form"](x, y, 0.5), ridge["by_sgd"](x, y, 0.5, 1000, seed=0)
    assert np.max(np.abs(found - exact)) < 0.05 * np.max(
        np.abs(exact)
    )  # least squares is farther by 20 times


# ---------------------------------------------------------------------------------------- the lasso


def test_proximal_steps_find_the_zeros_of_the_lasso_and_gradient_steps_none(script):
    lasso = script("lasso_path")
    x, y = script("diabetes")["load"]()
    c = lasso["LAMBDA"]
    best, residual = lasso["solve"](x, y, c)
    assert residual < 1e-6 and np.flatnonzero(best == 0).tolist() == [0, 1, 4, 5, 7, 9]
    slopes = 2 * x.T @ (x @ best - y) / len(y)  # optimality, by hand
    np.testing.assert_allclose(slopes[best != 0], -c * np.sign(best[best != 0]), rtol=1e-7)
    assert np.all(np.abs(slopes[best == 0]) < c)
    for method in ("proximal", "proximal, accelerated"):
        last = lasso["run"](method, x, y, c, 300)[-1]
        np.testing.assert_array_equal(last == 0, best == 0)
    for method in ("subgradient SGD", "subgradient SGD, lr to 0", "Adam", "Adam, lr to 0"):
        last = lasso["run"](method, x, y, c, 300)[-1]
        assert not np.any(last == 0)
        assert lasso["judge"](x, y, c, last)[1] > 1e-3


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_the_lassos_path_is_scikit_learns(script, share):
    models = pytest.importorskip("sklearn.linear_model")
    lasso = script("lasso_path")
    x, y = script("diabetes")["load"]()
    c = share * lasso["largest"](x, y)
    ours, theirs = (
        lasso["solve"](x, y, c)[0],
        models.Lasso(c / 2, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y).coef_,
    )
    np.testing.assert_array_equal(ours == 0, theirs == 0)
    assert lasso["judge"](x, y, c, ours)[0] <= lasso["judge"](x, y, c, theirs)[0] * (1 + 1e-9)


def test_at_the_largest_lambda_all_coefficients_are_zero(script):
    lasso = script("lasso_path")
    x, y = script("diabetes")["load"]()
    assert not np.any(lasso["solve"](x, y, 1.001 * lasso["largest"](x, y))[0])
    assert np.sum(lasso["solve"](x, y, 0.999 * lasso["largest"](x, y))[0] != 0) == 1


# --------------------------------------------------------------------------------------- MC dropout


def test_scaled_weights_are_the_geometric_mean_of_softmax_regression_and_not_the_arithmetic(script):
    mc = script("mc_dropout")
    model, x = mc["softmax_regression"](steps=1000, rate=0.3, side=2)
    scaled, arithmetic, geometric = mc["means"](model, x)
    np.testing.assert_allclose(scaled, geometric, rtol=1e-12)
    np.testing.assert_allclose(arithmetic.sum(axis=1), 1)
    assert np.max(np.abs(scaled - arithmetic)) > 0.01
    draws = mc["sampled"](model, x, 4000).mean(axis=0)  # here the mask is one for all images
    assert np.max(np.abs(draws - arithmetic)) < 5 * 0.5 / np.sqrt(4000)


def test_sampling_leaves_the_mode_and_differs_from_scaling(script):
    mc = script("mc_dropout")
    images, _ = digits["load"]()
    model = mc["network"](0.5, seed=0).eval()
    draws, once = mc["sampled"](model, images[:4], 50), mc["scaled"](model, images[:4])
    assert not model.training and np.array_equal(mc["scaled"](model, images[:4]), once)
    assert np.all(draws.std(axis=0) > 0) and np.max(np.abs(draws.mean(axis=0) - once)) > 1e-3
    assert np.all(
        mc["entropy"](draws.mean(axis=0)) >= mc["entropy"](draws).mean(axis=0)
    )  # the masks' disagreement is not negative


def test_the_area_under_the_curve(script):
    auroc = script("mc_dropout")["auroc"]
    a, b = np.array([1.0, 2, 2, 5]), np.array([0.0, 2, 3])
    assert auroc(a, b) == np.mean([(i > j) + 0.5 * (i == j) for i in a for j in b])


def test_the_class_left_out_is_in_no_other_set(script):
    (_, labels), sets = script("mc_dropout")["test_sets"](3)
    assert 3 not in labels and all(
        (3 in y) == (name == "unseen class") for name, (_, y) in sets.items()
    )


# --------------------------------------------------------------------------------- LeNet and ResNet


def test_lenet_has_the_sizes_of_the_original_on_large_images(script):
    make = script("lenet")["LeNet"]
    shapes = [p.shape for p in make(28).parameters() if p.ndim > 1]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
    for side in (8, 28):
        assert make(side)(np.zeros((2, 1, side, side), np.float32)).shape == (2, 10)


STUDY = """
import os

import resnet

squares = resnet.study.squares
resnet.study.squares = lambda *args: [(x[:64], y[:64]) for x, y in squares(*args)]
step, steps = resnet.optim.SGD.step, iter(range({fatal}))


def deadly(optimizer):
    if next(steps, None) is None:  # amid an update, between two checkpoints
        os.kill(os.getpid(), 9)
    step(optimizer)


resnet.optim.SGD.step = deadly
for file in {files}:
    resnet.train(resnet.opened(file, seeds=1, steps=6), every=2, file=file)
"""


def test_a_killed_resnet_goes_on_to_the_same_bits(tmp_path):
    def run(fatal, *files):
        """Whether the studies got to their ends."""
        program = STUDY.format(files=[str(tmp_path / file) for file in files], fatal=fatal)
        return python("-c", program, check=False, PYTHONPATH=PATH).returncode == 0

    for fatal in 5, 10:  # in the first run, and in the third
        assert not run(fatal, "killed")
    assert (tmp_path / "killed").is_file() and mg.load(tmp_path / "killed")["under way"][
        "optimizer"
    ]["steps"] == 2
    assert run(99, "whole", "killed")
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()


# -------------------------------------------------- the variance shift of dropout before batch norm


@pytest.mark.parametrize("between", [True, False], ids=["a layer before", "right before"])
def test_the_variance_that_dropout_adds_equals_the_variance_over_all_masks(script, between):
    shift, p, h = script("variance_shift"), 0.3, np.random.default_rng(0).normal(1, 1, (4, 3))
    layers = [nn.Dropout(p)] + [nn.Linear(3, 2, dtype=np.float64)] * between
    masks = np.array(list(itertools.product([False, True], repeat=12))).reshape(-1, 4, 3)
    chance = np.prod(np.where(masks, 1 - p, p), axis=(1, 2))
    arriving = masks * h / (1 - p)
    if between:
        arriving = arriving @ layers[1].weight.data.T + layers[1].bias.data
    exact = chance @ arriving.var(axis=1, ddof=1)
    model = nn.Sequential(*layers, nn.BatchNorm1d(len(exact)))
    np.testing.assert_allclose(
        shift["predicted"](model, h, seed=0, count=1, batch=4), [exact], rtol=1e-12
    )
    assert np.all(model[-1].running_var == 1)


def test_running_variances_follow_the_formula_and_evaluation_has_others(script):
    shift = script("variance_shift")
    (evaluation, running, formula), _ = shift["train"](("right before", 0.5), 0, 150, 0.0)
    assert running.shape == (3, 128) and np.all(
        np.abs(np.mean(running, axis=1) / np.mean(formula, axis=1) - 1) < 0.1
    )
    assert np.all(np.mean(evaluation, axis=1) < 0.6 * np.mean(running, axis=1))
    images, model = digits["load"]()[0][:200], shift["network"]("a layer before", 0.5, 0)
    shift["measure_anew"](model, images)
    np.testing.assert_allclose(
        shift["in_evaluation"](model, images),
        [norm.running_var for norm in shift["norms"](model)],
        rtol=0.02,
    )  # 199/200


# ---------------------------------------------------------------------------------------- sequences


def test_guesses_from_counts_are_witten_and_bells(script):
    by_counts = script("char_transformer")["by_counts"]
    train, validation = (
        np.array([0, 1, 0, 0, 1]),
        np.array([0, 1, 1]),
    )  # aba ab; then a b b, of 3 letters
    first = {
        0: (3 + 2 / 3) / 7,
        1: (2 + 2 / 3) / 7,
    }  # 5 letters were seen, 2 different ones; 1/3 each without any
    assert (
        abs(by_counts(train, validation, 3, 1) + np.mean([np.log2(first[c]) for c in validation]))
        < 1e-12
    )
    after_b, after_a = (
        {0: (1 + first[0]) / 2, 1: first[1] / 2},
        {1: (2 + 2 * first[1]) / 5},
    )  # after b: a; after a: b, a, b
    second = [after_b[0], after_a[1], after_b[1]]
    assert abs(by_counts(train, validation, 3, 2) + np.mean(np.log2(second))) < 1e-12


def test_every_validation_character_is_predicted_once_from_earlier_ones_but_a_last_piece(
    script,
):
    job = script("char_transformer")
    context, codes = job["CONTEXT"], np.arange(1000)

    class Next:
        """A model that is sure of the right character: the last one plus 1."""

        eval = train = lambda self: None

        def __call__(self, x):
            return mg.Tensor(40.0 * np.eye(1001)[x + 1])

    evaluate = job["evaluate"]
    assert evaluate(Next(), codes) < 1e-9
    x, y = job["windows"](codes, range(0, len(codes) - context, context // 2))
    predicted = y[:, context // 2 :].ravel()
    assert np.array_equal(
        predicted, np.arange(context // 2 + 1, predicted[-1] + 1)
    ) and np.array_equal(x + 1, y)
    assert predicted[-1] > 1000 - context // 2 - 1


def test_the_transformer_sees_nothing_that_comes_later(script):
    model = script("char_transformer")["Transformer"](9, rng=np.random.default_rng(0)).eval()
    x = np.random.default_rng(1).integers(0, 9, (1, 20))
    other = np.where(np.arange(20) < 12, x, (x + 1) % 9)
    with mg.no_grad():
        here, there = model(x).data[0], model(other).data[0]
    np.testing.assert_allclose(here[:12], there[:12], atol=1e-6)
    assert np.abs(here[12:] - there[12:]).max(axis=1).min() > 1e-4


def test_a_text_that_will_not_do_is_refused_by_name(script, tmp_path):
    job = script("char_transformer")
    assert len(job["manual"]()) == 20_000
    (tmp_path / "short.txt").write_text("too short", encoding="utf-8")
    with pytest.raises(ValueError, match="short.txt: 9 characters are too few .* 2000 are needed"):
        job["read"](tmp_path / "short.txt")
    assert "none.txt" in usage_error("char_transformer", "--text", tmp_path / "none.txt")


def test_the_gru_reads_rows_and_has_its_masks_at_the_right_places(script):
    job = script("seq_gru")
    shapes = {}
    for method, settings in job["METHODS"].items():
        mg.manual_seed(0)
        noise = mg.noise_leaves(job["Reader"](**settings)(np.zeros((5, 64), np.float32)))
        shapes[method] = sorted(n.shape for n in noise if n.distribution.keep < 1)
    up, state = (
        {"new": [(5, 8, 64), (8, 5, 64)], "same": [(1, 5, 64), (5, 1, 64)]},
        [(5, 64), (5, 64)],
    )
    assert shapes == {
        "none": [],
        "dropout": up["new"],
        "variational": up["same"],
        "recurrent": state,
        "variational + recurrent": sorted(up["same"] + state),
    }


# ------------------------------------------------------------------ gradients, and their gradients


def test_the_gradient_of_a_relu_network_is_the_product_of_its_weights_that_are_on(script):
    saliency = script("saliency")
    x = np.random.default_rng(0).random((40, 64)).astype(np.float32)
    model = saliency["fit"](x, np.arange(40) % 10, 3, seed=0)
    best, gradients = saliency["saliency"](model, x)
    np.testing.assert_array_equal(best, model(x).argmax(axis=1))
    right = saliency["in_closed_form"](model, x, best)
    np.testing.assert_allclose(gradients, right, atol=1e-6 * np.abs(right).max())
    # a step that passes no kink moves the score along the gradient
    step = 1e-3 * np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    near = saliency["in_closed_form"](model, x + step, best)
    same = np.all(near == right, axis=1)
    moved = (model(x + step).numpy() - model(x).numpy())[np.arange(40), best]
    assert same.any()
    np.testing.assert_allclose(moved[same], np.sum(right * step, axis=1)[same], atol=1e-6)


def test_pixels_are_blanked_in_their_order(script):
    saliency = script("saliency")
    x, mean = np.ones((2, 64)), np.zeros(64)
    score = lambda x: np.stack([1 - x[:, 3], x[:, 3]], axis=1)  # class 1 while pixel 3 is there
    orders = np.array([[3, *range(4, 64)], [*range(4, 64), 3]])
    right = saliency["blanked"](score, x, np.ones(2, int), orders, mean)
    assert right == [100] + 32 * [50] and np.all(x == 1)


def test_the_hessian_is_that_of_differences_and_of_a_sum_of_squares(script):
    hessian = script("hessian")
    w = np.random.default_rng(3).standard_normal(7)
    value, g, h = hessian["derivatives"](w)
    assert abs(value - hessian["in_numpy"](w)) < 1e-14
    apart = h - hessian["hessian_without_rules"](w)
    assert np.abs(apart).max() < 1e-6 * np.abs(h).max()
    np.testing.assert_allclose(h, h.T, atol=1e-13)
    # by the last bias d, the loss is the mean of (d + ...)^2, and 0.01 d^2
    assert abs(h[-1, -1] - 2.02) < 1e-13


@pytest.mark.fixed_seeds
def test_descent_shrinks_and_newton_squares_the_distance_to_the_minimum(script):
    hessian = script("hessian")
    start = np.random.default_rng(0).standard_normal(7)
    path = hessian["descent"](start, 0.1, 1000)
    minimum = hessian["newton"](path[-1], 8)[-1]
    curvatures, directions = np.linalg.eigh(hessian["derivatives"](minimum)[2])
    assert curvatures[0] > 0 and hessian["slope"](minimum) < 1e-14
    for i in (0, -1):
        near = minimum + 1e-6 * directions[:, i]
        after = hessian["descent"](near, 0.1, 1)[-1] - minimum
        shrunk = 1e-6 * (1 - 0.1 * curvatures[i]) * directions[:, i]
        np.testing.assert_allclose(after, shrunk, atol=1e-10)
    near = minimum + 1e-3 * directions[:, 0]
    distances = np.linalg.norm(hessian["newton"](near, 2) - minimum, axis=1)
    assert distances[1] < 100 * distances[0] ** 2 and distances[2] < 100 * distances[1] ** 2
    saddle = hessian["newton"](path[100], 8)[-1]  # it goes to any point without slope
    assert hessian["slope"](saddle) < 1e-12
    assert np.linalg.eigvalsh(hessian["derivatives"](saddle)[2])[0] < -0.1
    assert hessian["in_numpy"](saddle) > hessian["in_numpy"](path[100])


# -------------------------------------------------------------------------------------------- Keras


def test_the_keras_model_has_the_layers_and_penalties_of_its_lines(script):
    keras = script("keras_regularization")
    model = keras["build"](0)
    assert [str(m.weight_penalty) for m in model if hasattr(m, "weight")] == [
        "L2(0.001)",
        "L2(0.001)",
        "None",
    ]
    assert [m.p for m in model if hasattr(m, "p")] == [0.5, 0.5]
    for layer, (fan_out, fan_in) in zip(
        [model[0], model[3], model[6]], [(128, 64), (64, 128), (10, 64)]
    ):
        bound = np.sqrt(6 / (fan_in + fan_out))
        assert layer.weight.shape == (fan_out, fan_in) and not np.any(layer.bias.data)
        assert 0.95 * bound < np.max(np.abs(layer.weight.data)) <= bound
    squares = sum(np.sum(layer.weight.data**2) for layer in (model[0], model[3]))
    assert abs(model.penalty().item() / (0.001 * squares) - 1) < 1e-5


# ---------------------------------------------------------------------------------------- idx files


def idx_file(path, array, magic=None, cut=0):
    raw = (
        struct.pack(
            f">I{array.ndim}I", 0x800 + array.ndim if magic is None else magic, *array.shape
        )
        + array.tobytes()
    )
    raw = raw[: len(raw) - cut]
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, n, ending in (("train", 6, ""), ("t10k", 4, ".gz")):
        idx_file(
            tmp_path / f"{part}-images-idx3-ubyte{ending}",
            rng.integers(0, 256, (n, 3, 2), np.uint8),
        )
        idx_file(tmp_path / f"{part}-labels-idx1-ubyte{ending}", np.arange(n, dtype=np.uint8))
    return tmp_path


def test_idx_files_plain_and_gz(script, idx_folder):
    (images, labels), (test_images, test_labels) = script("idx")["load"](idx_folder)
    expected = np.random.default_rng(0).integers(0, 256, (6, 3, 2), np.uint8)
    assert np.array_equal(images, expected) and labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert test_images.shape == (4, 3, 2) and test_labels.tolist() == [0, 1, 2, 3]


IMAGES, LABELS = np.zeros((6, 3, 2), np.uint8), np.zeros(6, np.uint8)


@pytest.mark.parametrize(
    "file, array, magic, cut, message",
    [
        (
            "train-images-idx3-ubyte",
            IMAGES,
            0x00000D03,
            0,
            "images-idx3-ubyte: not an idx file of images: it begins with 0x00000d03, not with 0x00000803",
        ),
        (
            "train-images-idx3-ubyte",
            LABELS,
            None,
            0,
            "not an idx file of images: it begins with 0x00000801",
        ),
        (
            "train-images-idx3-ubyte",
            IMAGES,
            None,
            5,
            r"truncated: its header promises 36 bytes, shape \(6, 3, 2\); there are 31",
        ),
        (
            "train-images-idx3-ubyte",
            IMAGES,
            None,
            40,
            "truncated: 12 bytes, and the header alone has 16",
        ),
        ("train-images-idx3-ubyte", IMAGES, None, 50, "it has 2 bytes"),
        (
            "train-labels-idx1-ubyte",
            np.zeros(5, np.uint8),
            None,
            0,
            "6 images, .*train-labels-idx1-ubyte has 5 labels",
        ),
        (
            "train-labels-idx1-ubyte",
            LABELS + np.uint8(10),
            None,
            0,
            "label 10; 10 classes are 0..9",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            np.zeros((4, 2, 2), np.uint8),
            None,
            0,
            r"the training images are \(3, 2\), the test images \(2, 2\)",
        ),
        ("t10k-labels-idx1-ubyte.gz", LABELS[:4], None, 1, "t10k-labels-idx1-ubyte.gz: truncated"),
    ],
)
def test_wrong_idx_files_are_named(script, idx_folder, file, array, magic, cut, message):
    idx_file(idx_folder / file, array, magic, cut)
    with pytest.raises(ValueError, match=message):
        script("idx")["load"](idx_folder)


def test_other_damage_of_idx_files(script, idx_folder):
    load, path = script("idx")["load"], idx_folder / "t10k-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-6])
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte.gz: damaged gzip file"):
        load(idx_folder)
    path.write_bytes(gzip.compress(gzip.decompress(whole) + b"more"))
    with pytest.raises(ValueError, match="too long"):
        load(idx_folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="there is no t10k-labels-idx1-ubyte"):
        load(idx_folder)


def test_the_main_job_says_what_is_wrong_with_a_folder(tmp_path):
    told = usage_error("regularization", "--data", tmp_path, "--out", tmp_path)
    assert "there is no train-images-idx3-ubyte" in told


def test_the_main_job_trains_on_idx_files(script, tmp_path):
    images, labels = digits["load"]()
    images = np.round(255 * images).astype(np.uint8).reshape(-1, 8, 8)
    for part, rows in (("train", slice(0, 800)), ("t10k", slice(800, 900))):
        idx_file(tmp_path / f"{part}-images-idx3-ubyte.gz", images[rows])
        idx_file(tmp_path / f"{part}-labels-idx1-ubyte", labels[rows].astype(np.uint8))
    training, validation, test = script("study")["split"](0, tmp_path)
    assert [part[0].shape for part in (training, validation, test)] == [
        (500, 64),
        (200, 64),
        (100, 64),
    ]
    curve = script("regularization")["train"]("group l2, proximal", 0, 100, tmp_path)
    assert len(curve) == 2 and curve[-1][2] > 50


def test_only_the_proximal_optimizer_gives_units_at_zero(script):
    train = script("regularization")["train"]
    assert train("group l2", 0, 600)[-1][-1] == 0
    assert train("group l2, proximal", 0, 1000)[-1][-1] > 10

"""What do L1, L2, dropout and their family do for a network that could learn its training set by heart?

A 64-128-64-10 classifier is trained on 500 digits of which a fifth carry a wrong label, and tested on a thousand clean ones.
Without regularization it learns all the wrong labels too. Before training, the gradient of the complete loss (cross-entropy,
dropout, L1 and L2 nodes) is checked on its own recorded graph. Written to out/: learning curves and the picture of that graph.

    python examples/regularization.py [--seeds 5] [--steps 3000] [--quick] [--data DIR] [--out out]

`--data DIR`: a folder with the idx files of MNIST or Fashion-MNIST, plain or .gz. 500 of their training images are used.
"""

import os

for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):  # matrices this small gain nothing from threads
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import idx
import numpy as np
from digits import noisy_split
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

METHODS = {  # the settings of each line of the table
    "none": {},
    "l1": {"penalty": nn.L1(5e-4)},
    "l2": {"penalty": nn.L2(3e-3)},
    "dropout": {"p": 0.5},
    "dropout + l2": {"p": 0.5, "penalty": nn.L2(3e-3)},
    "dropout + max-norm": {"p": 0.5, "limit": 1.0},
    "gaussian dropout": {"p": 0.5, "noise": nn.GaussianDropout},
    "dropconnect": {"connect": 0.5},
    "group l2": {"penalty": nn.GroupL2(1e-2)},
    "group l2, proximal": {"penalty": nn.GroupL2(1e-2), "proximal": 0.1},
}
BATCH = 32
CURVE_EVERY = 50  # steps between points of a learning curve
TRAINING, MOST_TEST = 700, 2000  # images of idx files that are trained and validated on, and tested on


class Classifier(nn.Module):
    """features-128-64-10 with relu. `penalty` and `connect` (DropConnect) act on the two hidden kernels, `noise(p)` after each hidden layer."""

    def __init__(self, p=0.0, penalty=None, noise=nn.Dropout, connect=0.0, features=64, rng=None):
        settings = {"init": nn.glorot_uniform, "bias_init": nn.zeros, "rng": rng}
        self.fc1 = nn.Linear(features, 128, penalty=penalty, **settings)
        self.drop1 = noise(p)
        self.fc2 = nn.Linear(128, 64, penalty=penalty, **settings)
        self.drop2 = noise(p)
        self.out = nn.Linear(64, 10, **settings)
        if connect:
            self.fc1, self.fc2 = nn.DropConnect(self.fc1, connect), nn.DropConnect(self.fc2, connect)

    def forward(self, x):
        x = self.drop1(F.relu(self.fc1(x)))
        x = self.drop2(F.relu(self.fc2(x)))
        return self.out(x)

    @property
    def kernels(self):
        """The weights of the two hidden layers."""
        return [w for w in self.parameters() if w.ndim == 2][:2]


@cache
def files(folder):
    """[train, test] of the idx files in a folder, read once a process."""
    parts = idx.load(folder)
    if len(parts[0][1]) < TRAINING or not len(parts[1][1]):
        raise ValueError(
            f"{folder}: {TRAINING} training images are needed and some test images; there are {len(parts[0][1])} and {len(parts[1][1])}."
        )
    return parts


def split(seed, folder=None):
    """(train, validation, test), each (images, labels): of the digits, or of the idx files in `folder`."""
    if folder is None:
        return noisy_split(seed)
    parts, rng = [], np.random.default_rng(seed)
    for (images, labels), most in zip(files(folder), (TRAINING, MOST_TEST)):
        rows = rng.permutation(len(labels))[:most]
        parts.append(((images[rows].reshape(len(rows), -1) / 255).astype(np.float32), labels[rows].astype(np.int64)))
    training, test = parts
    return *noisy_split(seed, data=training)[:2], test


def evaluate(model, images, labels):
    """(cross-entropy, accuracy in per cent) in evaluation mode."""
    model.eval()
    with mg.no_grad():
        scores = model(images)
        loss = F.cross_entropy(scores, labels).item()
    model.train()
    return loss, 100 * np.mean(scores.data.argmax(axis=1) == labels)


def train(job, steps, folder=None):
    """One run: (method, seed) -> its numbers at the end and its learning curve."""
    method, seed = job
    settings = dict(METHODS[method])
    limit, proximal = settings.pop("limit", None), settings.pop("proximal", None)
    (images, labels), validation, test = split(seed, folder)
    mg.manual_seed(seed)
    model = Classifier(**settings, features=images.shape[1], rng=np.random.default_rng(seed))  # the same start for every method
    optimizer = optim.ProximalSGD(model.parameters(), lr=proximal) if proximal else optim.Adam(model.parameters(), lr=1e-3)
    order = np.random.default_rng(seed)
    curve, rows = [], np.array([], int)
    for step in range(steps):
        if len(rows) < BATCH:
            rows = order.permutation(len(labels))
        batch, rows = rows[:BATCH], rows[BATCH:]

        def loss(batch=batch):
            return F.cross_entropy(model(images[batch]), labels[batch]) + model.penalty()

        if proximal:
            optimizer.step(loss)
        else:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        if limit:
            optim.max_norm(model.kernels, limit)
        if step % CURVE_EVERY == CURVE_EVERY - 1 or step == steps - 1:
            curve.append((step + 1, evaluate(model, images, labels)[1], *evaluate(model, *test), evaluate(model, *validation)[0]))
    kernels = np.concatenate([w.data.ravel() for w in model.kernels])
    units = np.concatenate([np.all(w.data == 0, axis=1) for w in model.kernels])
    _, train_accuracy, test_loss, test_accuracy, _ = curve[-1]
    stopped = min(curve, key=lambda point: point[4])[3]  # where the validation loss was lowest
    small = 100 * np.mean(np.abs(kernels) < 1e-3)
    numbers = train_accuracy, test_accuracy, stopped, test_loss, np.sum(kernels**2), small, np.sum(units)
    return job, numbers, curve


def complete_loss(folder=None):
    """The training loss with dropout, L2 and L1 nodes, on one batch."""
    (images, labels), _, _ = split(0, folder)
    mg.manual_seed(0)
    model = Classifier(p=0.5, penalty=nn.L2(3e-3), features=images.shape[1], rng=np.random.default_rng(0))
    x = mg.Tensor(images[:BATCH], name="images")
    return F.cross_entropy(model(x), labels[:BATCH]) + model.penalty() + F.l1_penalty(model.fc1.weight, c=5e-4)


def check(out, folder=None):
    """Checks the complete training loss on its own graph, draws it, and prints the verdict."""
    loss = complete_loss(folder)
    report = mg.check_graph(loss)
    print("cross-entropy + dropout + L2 + L1:", report.verdict())
    loss.backward(retain_graph=True)
    try:
        mg.draw(loss, title="The complete training loss", to_file=out / "loss_graph.svg")
        mg.draw(loss, title="The complete training loss", to_file=out / "loss_graph.png")
        drawn = [out / "loss_graph.svg", out / "loss_graph.png"]
    except RuntimeError as error:  # no program to lay it out: the text of the graph is there
        print(error)
        drawn = [out / "loss_graph.gv"]
    return bool(report), drawn


def table(results, seeds):
    """The results of all runs, a line a method."""
    print(
        f"\n{'':20}{'train acc':>10}{'test acc':>17}{'minus none':>17}{'stopped early':>15}{'test loss':>11}{'sum w^2':>9}{'|w|<1e-3':>10}{'units at 0':>12}"
    )
    baseline = np.array([results["none", seed][0][1] for seed in seeds])
    spread = 1 if len(seeds) > 1 else 0  # the sample standard deviation
    for method in METHODS:
        runs = np.array([results[method, seed][0] for seed in seeds])
        train_accuracy, test_accuracy, stopped, test_loss, squares, small, units = runs.mean(axis=0)
        deviation, gain = runs[:, 1].std(ddof=spread), runs[:, 1] - baseline
        paired = f"{gain.mean():+.2f} ± {gain.std(ddof=spread):.2f}" if method != "none" else ""
        accuracy = f"{test_accuracy:.2f} ± {deviation:.2f}"
        line = (
            f"{method:20}{train_accuracy:9.1f}%{accuracy:>16}%{paired:>17}{stopped:14.2f}%{test_loss:11.3f}{squares:9.1f}{small:9.1f}%{units:12.1f}"
        )
        print(line)
    print(f"\nMeans over {len(seeds)} seeds; ± is the standard deviation. Accuracies in per cent; 'minus none' is paired by seed, in points.")
    print("The training labels are wrong for one image in five, so 100% on them is learning by heart.")
    print("'stopped early': the test accuracy at the step with the lowest validation loss. Stopping in time is a regularizer too, and the cheapest.")
    print("Of the 192 hidden units only a proximal optimizer can put some at exactly 0. Its steps are SGD's, lr 0.1; the other methods use Adam.")


def plot(results, seeds, path):
    """Learning curves of six methods, means over the seeds, and what each method gains."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = ["none", "l1", "l2", "dropout", "dropout + l2", "dropout + max-norm"]
    colours = ["#4D4D4D", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7"]  # told apart by colour-blind readers too
    looks = dict(zip(shown, zip(colours, ["-", "--", "-.", "-", "-", "--"], "osD^vP")))
    figure, panels = plt.subplots(1, 3, figsize=(14.5, 4.6), layout="constrained", width_ratios=[1, 1, 0.85])
    for axis, column in zip(panels, [1, 3]):
        for method, (colour, style, marker) in looks.items():
            curves = np.array([results[method, seed][1] for seed in seeds])
            line = curves[0, :, 0], curves[:, :, column].mean(axis=0)
            axis.plot(*line, style, color=colour, label=method, linewidth=1.8, marker=marker, markersize=5, markevery=0.12)
        axis.set(xlabel="step", ylabel="accuracy, per cent")
    means = {method: np.mean([results[method, seed][0][:2] for seed in seeds], axis=0) for method in METHODS}
    best = max(METHODS, key=lambda method: means[method][1])
    panels[0].set_title(f"'none' learns {means['none'][0]:.0f}% of the labels, a fifth of them wrong")
    panels[0].axhline(80, color="#999999", linewidth=1, linestyle=":")
    panels[0].annotate("share of right labels", (1, 79.5), xycoords=("axes fraction", "data"), ha="right", va="top", fontsize=8, color="#666666")
    panels[1].set_title(f"New images: 'none' {means['none'][1]:.0f}% right, {best} {means[best][1]:.0f}%")
    tops = [np.max(results[method, seed][1], axis=0)[3] for method in shown for seed in seeds]
    panels[1].set_ylim(bottom=max(tops) - 22)
    panels[1].legend(loc="lower center", frameon=False, fontsize=9, ncols=2)

    baseline = np.array([results["none", seed][0][1] for seed in seeds])
    methods = [method for method in METHODS if method != "none"]
    for place, method in enumerate(methods):
        gains = np.array([results[method, seed][0][1] for seed in seeds]) - baseline
        colour, _, marker = looks.get(method, ("#56B4E9", "-", "X"))
        panels[2].plot(gains, np.full(len(gains), place), "|", color="#777777", markersize=9)
        panels[2].plot(gains.mean(), place, marker, color=colour, markersize=8)
    panels[2].axvline(0, color="#4D4D4D", linewidth=1)
    panels[2].set_yticks(range(len(methods)), methods)
    panels[2].invert_yaxis()
    panels[2].set(title="What each gains over none", xlabel="points of test accuracy; a stroke is a seed")
    for axis in panels:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method (default 5)")
    parser.add_argument("--steps", type=int, default=3000, help="updates a run (default 3000)")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 300 steps: does everything work?")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with MNIST's or Fashion-MNIST's idx files (default: the digits)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default out)")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps = 2, 300
    if options.seeds < 1 or options.steps < 1:
        parser.error("--seeds and --steps must be at least 1")
    if options.data:
        try:
            files(options.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)

    passed, written = check(options.out, options.data)
    seeds = range(options.seeds)
    jobs = [(method, seed) for seed in seeds for method in METHODS]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        runs = list(tqdm(pool.map(partial(train, steps=options.steps, folder=options.data), jobs), total=len(jobs), desc="training", unit="run"))
    results = {job: (numbers, curve) for job, numbers, curve in runs}
    table(results, seeds)
    plot(results, seeds, options.out / "learning_curves.png")
    for path in [options.out / "learning_curves.png", *written]:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

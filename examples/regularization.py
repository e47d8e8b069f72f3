"""What do L1, L2, dropout and max-norm do for a network that could learn its training set by heart?

A 64-128-64-10 classifier is trained on 500 digits of which a fifth carry a wrong label, and tested on a thousand clean ones.
Without regularization it learns all the wrong labels too. Before training, the gradient of the complete loss (cross-entropy,
dropout, L1 and L2 nodes) is checked on its own recorded graph. Written to out/: learning curves and the picture of that graph.

    python examples/regularization.py [--seeds 5] [--steps 3000] [--quick] [--out out]
"""

import os

for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):  # matrices this small gain nothing from threads
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

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
}
BATCH = 32
CURVE_EVERY = 50  # steps between points of a learning curve


class Classifier(nn.Module):
    """64-128-64-10 with relu; dropout after each hidden layer, the penalty on the two hidden kernels."""

    def __init__(self, p=0.0, penalty=None, rng=None):
        settings = {"init": nn.glorot_uniform, "bias_init": nn.zeros, "rng": rng}
        self.fc1 = nn.Linear(64, 128, penalty=penalty, **settings)
        self.drop1 = nn.Dropout(p)
        self.fc2 = nn.Linear(128, 64, penalty=penalty, **settings)
        self.drop2 = nn.Dropout(p)
        self.out = nn.Linear(64, 10, **settings)

    def forward(self, x):
        x = self.drop1(F.relu(self.fc1(x)))
        x = self.drop2(F.relu(self.fc2(x)))
        return self.out(x)


def evaluate(model, images, labels):
    """(cross-entropy, accuracy in per cent) in evaluation mode."""
    model.eval()
    with mg.no_grad():
        scores = model(images)
        loss = F.cross_entropy(scores, labels).item()
    model.train()
    return loss, 100 * np.mean(scores.data.argmax(axis=1) == labels)


def train(job, steps):
    """One run: (method, seed) -> its numbers at the end and its learning curve."""
    method, seed = job
    settings = dict(METHODS[method])
    limit = settings.pop("limit", None)
    (images, labels), _, test = noisy_split(seed)
    mg.manual_seed(seed)
    model = Classifier(**settings, rng=np.random.default_rng(seed))  # the same start for every method
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    order = np.random.default_rng(seed)
    curve, rows = [], np.array([], int)
    for step in range(steps):
        if len(rows) < BATCH:
            rows = order.permutation(len(labels))
        batch, rows = rows[:BATCH], rows[BATCH:]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images[batch]), labels[batch]) + model.penalty()
        loss.backward()
        optimizer.step()
        if limit:
            optim.max_norm([model.fc1.weight, model.fc2.weight], limit)
        if step % CURVE_EVERY == CURVE_EVERY - 1 or step == steps - 1:
            curve.append((step + 1, evaluate(model, images, labels)[1], *evaluate(model, *test)))
    kernels = np.concatenate([model.fc1.weight.data.ravel(), model.fc2.weight.data.ravel()])
    _, train_accuracy, test_loss, test_accuracy = curve[-1]
    numbers = train_accuracy, test_accuracy, test_loss, np.sum(kernels**2), 100 * np.mean(np.abs(kernels) < 1e-3)
    return job, numbers, curve


def check(out):
    """Checks the complete training loss on its own graph, draws it, and prints the verdict."""
    (images, labels), _, _ = noisy_split(0)
    mg.manual_seed(0)
    model = Classifier(p=0.5, penalty=nn.L2(3e-3), rng=np.random.default_rng(0))
    x = mg.Tensor(images[:BATCH], name="images")
    loss = F.cross_entropy(model(x), labels[:BATCH]) + model.penalty() + F.l1_penalty(model.fc1.weight, c=5e-4)
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
    print(f"\n{'':20}{'train acc':>10}{'test acc':>17}{'test loss':>11}{'sum w^2':>9}{'|w|<1e-3':>10}{'minus none':>17}")
    baseline = np.array([results["none", seed][0][1] for seed in seeds])
    spread = 1 if len(seeds) > 1 else 0  # the sample standard deviation
    for method in METHODS:
        runs = np.array([results[method, seed][0] for seed in seeds])
        train_accuracy, test_accuracy, test_loss, squares, small = runs.mean(axis=0)
        deviation, gain = runs[:, 1].std(ddof=spread), runs[:, 1] - baseline
        paired = f"{gain.mean():+.2f} ± {gain.std(ddof=spread):.2f}" if method != "none" else ""
        accuracy = f"{test_accuracy:.2f} ± {deviation:.2f}"
        line = f"{method:20}{train_accuracy:9.1f}%{accuracy:>16}%{test_loss:11.3f}{squares:9.1f}{small:9.1f}%{paired:>17}"
        print(line.rstrip())
    print(f"\nMeans over {len(seeds)} seeds; ± is the standard deviation. Accuracies in per cent; 'minus none' is paired by seed, in points.")
    print("The training labels are wrong for one image in five, so 100% on them is learning by heart.")


def plot(results, seeds, path):
    """Learning curves: mean accuracy over the seeds, on the training labels and on the test images."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = ["#4D4D4D", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7"]  # told apart by colour-blind readers too
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), sharex=True, layout="constrained")
    for column, (axis, title) in enumerate(zip(panels, ["training accuracy (a fifth of the labels are wrong)", "test accuracy (clean labels)"])):
        for (method, colour), style in zip(zip(METHODS, colours), ["-", "--", "-.", "-", "-", "--"]):
            curves = np.array([results[method, seed][1] for seed in seeds])
            axis.plot(curves[0, :, 0], curves[:, :, 1 if column == 0 else 3].mean(axis=0), style, color=colour, label=method, linewidth=1.8)
        axis.set(title=title, xlabel="step", ylabel="per cent")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].axhline(80, color="#999999", linewidth=1, linestyle=":")
    panels[0].annotate("share of right labels", (1, 79.5), xycoords=("axes fraction", "data"), ha="right", va="top", fontsize=8, color="#666666")
    panels[1].set_ylim(bottom=75)
    panels[1].legend(loc="lower center", frameon=False, fontsize=9, ncols=2)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method (default 5)")
    parser.add_argument("--steps", type=int, default=3000, help="updates a run (default 3000)")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 300 steps: does everything work?")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default out)")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps = 2, 300
    if options.seeds < 1 or options.steps < 1:
        parser.error("--seeds and --steps must be at least 1")
    options.out.mkdir(parents=True, exist_ok=True)

    passed, written = check(options.out)
    seeds = range(options.seeds)
    jobs = [(method, seed) for seed in seeds for method in METHODS]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        runs = list(tqdm(pool.map(partial(train, steps=options.steps), jobs), total=len(jobs), desc="training", unit="run"))
    results = {job: (numbers, curve) for job, numbers, curve in runs}
    table(results, seeds)
    plot(results, seeds, options.out / "learning_curves.png")
    for path in [options.out / "learning_curves.png", *written]:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

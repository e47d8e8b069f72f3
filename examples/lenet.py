"""Which regularizers help a convolutional network, and can a group penalty do without some of its filters?

LeNet-5 (LeCun et al. 1998) is trained on 500 images of which a fifth carry a wrong label, and tested on clean ones. It has relu and
max pooling where the original has tanh and trained averages. On the digits, 8 x 8, the filters are 16 and 32 of 3 x 3; on the 28 x 28
images of `--data` they are the original's 6 and 16 of 5 x 5. Dropout acts on the fully connected layers, dropout2d on whole channels,
L2 on every kernel, group L2 on the filters of both convolutions, a filter being a group.

Before training, the gradient of the complete loss is checked on its own recorded graph. Written to out/: learning curves and the
picture of that graph, with the modules folded to cards.

    python examples/lenet.py [--seeds 5] [--steps 1500] [--quick] [--data DIR] [--out out]

`--data DIR`: a folder with the idx files of MNIST or Fashion-MNIST, plain or .gz.
"""

import os

for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):  # matrices this small gain nothing from threads
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
from regularization import evaluate, files, split
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.data import Batches

METHODS = {  # the settings of each line of the table
    "none": {},
    "none, sgd": {"sgd": 0.1},
    "l2": {"penalty": nn.L2(1e-2)},
    "group l2": {"filter_penalty": nn.GroupL2(4e-2)},
    "group l2, proximal": {"filter_penalty": nn.GroupL2(4e-2), "sgd": 0.1},
    "dropout": {"p": 0.5},
    "dropout2d": {"p2d": 0.2},
    "both dropouts": {"p": 0.5, "p2d": 0.2},
    "both dropouts + l2": {"p": 0.5, "p2d": 0.2, "penalty": nn.L2(1e-3)},
}
CURVE_EVERY = 50  # steps between points of a learning curve


class LeNet(nn.Module):
    """Two convolutions, each with relu, dropout2d and max pooling, and three fully connected layers, for images (N, 1, side, side)."""

    def __init__(self, side=8, p=0.0, p2d=0.0, penalty=None, filter_penalty=None, rng=None):
        settings = {"init": nn.he_uniform, "bias_init": nn.zeros, "rng": rng}
        (first, second), size, paddings = ((6, 16), 5, (2, 0)) if side > 16 else ((16, 32), 3, (1, 1))
        self.conv1 = nn.Conv2d(1, first, size, padding=paddings[0], penalty=filter_penalty or penalty, **settings)
        self.drop1 = nn.Dropout2d(p2d)
        self.conv2 = nn.Conv2d(first, second, size, padding=paddings[1], penalty=filter_penalty or penalty, **settings)
        self.drop2 = nn.Dropout2d(p2d)
        self.pool = nn.MaxPool2d(2)
        side = (side // 2 + 2 * paddings[1] - size + 1) // 2
        self.fc1 = nn.Linear(second * side * side, 120, penalty=penalty, **settings)
        self.drop3 = nn.Dropout(p)
        self.fc2 = nn.Linear(120, 84, penalty=penalty, **settings)
        self.drop4 = nn.Dropout(p)
        self.out = nn.Linear(84, 10, penalty=penalty, **settings)

    def forward(self, x):
        x = self.pool(self.drop1(F.relu(self.conv1(x))))
        x = self.pool(self.drop2(F.relu(self.conv2(x))))
        x = x.reshape(len(x), -1)
        x = self.drop3(F.relu(self.fc1(x)))
        x = self.drop4(F.relu(self.fc2(x)))
        return self.out(x)

    def filters_at_zero(self):
        return sum(int(np.sum(~layer.weight.data.any(axis=(1, 2, 3)))) for layer in (self.conv1, self.conv2))


def images_of(seed, folder=None):
    """(train, validation, test), each (images (n, 1, side, side), labels); a fifth of the 500 training labels are wrong."""
    parts = split(seed, folder)
    side = round(parts[0][0].shape[1] ** 0.5)
    return [(images.reshape(-1, 1, side, side), labels) for images, labels in parts]


def train(job, steps, folder=None):
    """One run: (method, seed) -> its numbers at the end and its learning curve, rows of (step, train and test accuracy, validation loss)."""
    method, seed = job
    settings = dict(METHODS[method])
    lr = settings.pop("sgd", None)
    (images, labels), validation, test = images_of(seed, folder)
    mg.manual_seed(seed)
    model = LeNet(images.shape[-1], **settings, rng=np.random.default_rng(seed))  # the same start for every method
    parameters = list(model.parameters())
    optimizer = optim.ProximalSGD(parameters, lr=optim.cosine(lr, steps)) if lr else optim.Adam(parameters, lr=1e-3)
    batches, curve = chain.from_iterable(repeat(Batches(images, labels, rng=seed))), []
    for step, (x, y) in enumerate(islice(batches, steps), start=1):

        def loss(x=x, y=y):
            return F.cross_entropy(model(x), y) + model.penalty()

        if lr:
            optimizer.step(loss)  # without a penalty to take over it is SGD
        else:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        if step % CURVE_EVERY == 0 or step == steps:
            curve.append((step, evaluate(model, images, labels)[1], evaluate(model, *test)[1], evaluate(model, *validation)[0]))
    stopped = min(curve, key=lambda point: point[3])[2]  # where the validation loss was lowest
    return job, (*curve[-1][1:3], stopped, evaluate(model, *test)[0], model.filters_at_zero()), curve


def check(out, folder=None):
    """Checks the complete training loss on its own graph, draws it folded, and prints the verdict."""
    (images, labels), _, _ = images_of(0, folder)
    mg.manual_seed(0)
    settings = {"p": 0.5, "p2d": 0.2, "penalty": nn.L2(1e-3), "filter_penalty": nn.GroupL2(1e-2)}
    model = LeNet(images.shape[-1], **settings, rng=np.random.default_rng(0))
    loss = F.cross_entropy(model(images[:4]), labels[:4]) + model.penalty()
    report = mg.check_graph(loss)
    print("cross-entropy + both dropouts + L2 + group L2:", report.verdict())
    loss.backward(retain_graph=True)
    path = out / "lenet_graph.png"
    try:
        mg.draw(loss, title="LeNet's training loss", depth=1, checks=report, to_file=path)
    except RuntimeError as error:  # no program to lay it out: the text of the graph is there
        print(error)
        path = out / "lenet_graph.gv"
    return bool(report), path


def table(results, seeds):
    """The results of all runs, a line a method."""
    print(f"\n{'':20}{'train acc':>10}{'test acc':>17}{'minus none':>17}{'stopped early':>15}{'test loss':>11}{'filters at 0':>14}")
    baseline = np.array([results["none", seed][0][1] for seed in seeds])
    spread = 1 if len(seeds) > 1 else 0  # the sample standard deviation
    for method in METHODS:
        runs = np.array([results[method, seed][0] for seed in seeds])
        train_accuracy, test_accuracy, stopped, test_loss, zeros = runs.mean(axis=0)
        gain = runs[:, 1] - baseline
        paired = f"{gain.mean():+.2f} ± {gain.std(ddof=spread):.2f}" if method != "none" else ""
        accuracy = f"{test_accuracy:.2f} ± {runs[:, 1].std(ddof=spread):.2f}"
        print(f"{method:20}{train_accuracy:9.1f}%{accuracy:>16}%{paired:>17}{stopped:14.2f}%{test_loss:11.3f}{zeros:14.1f}")
    print(f"\nMeans over {len(seeds)} seeds; ± is the standard deviation. Accuracies in per cent; 'minus none' is paired by seed, in points.")
    print("The training labels are wrong for one image in five, so 100% on them is learning by heart.")
    print("'stopped early': the test accuracy at the step with the lowest validation loss.")
    print("Only a proximal optimizer puts filters at exactly 0. Compare it with 'none, sgd', which takes the same steps without a penalty, lr from")
    print("0.1 to 0; the other methods use Adam.")


def plot(results, seeds, path):
    """Learning curves of four methods, means over the seeds, and what each method gains."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = {  # colours that colour-blind readers tell apart too
        "none": ("#4D4D4D", "-", "o"),
        "l2": ("#E69F00", "-.", "D"),
        "dropout": ("#0072B2", "--", "^"),
        "both dropouts": ("#009E73", "-", "v"),
    }
    figure, panels = plt.subplots(1, 3, figsize=(14.5, 4.6), layout="constrained", width_ratios=[1, 1, 0.9])
    for axis, column, title in zip(panels, (1, 2), ("On the training images, a fifth of them mislabelled", "On new images")):
        for method, (colour, style, marker) in shown.items():
            curves = np.array([results[method, seed][1] for seed in seeds])
            steps, mean = curves[0, :, 0], curves[:, :, column].mean(axis=0)
            axis.plot(steps, mean, style, color=colour, label=method, linewidth=1.8, marker=marker, markersize=5, markevery=0.12)
        axis.set(xlabel="step", ylabel="accuracy, per cent", title=title)
    panels[0].axhline(80, color="#777777", linewidth=1, linestyle=":", label="share of right labels")
    for axis in panels[:2]:
        axis.legend(loc="lower right", frameon=False)
    tops = [np.max(results[method, seed][1], axis=0)[2] for method in shown for seed in seeds]
    panels[1].set_ylim(bottom=max(tops) - 22)
    baseline = np.array([results["none", seed][0][1] for seed in seeds])
    methods = [method for method in METHODS if method != "none"]
    for place, method in enumerate(methods):
        gains = np.array([results[method, seed][0][1] for seed in seeds]) - baseline
        colour, _, marker = shown.get(method, ("#D55E00", "-", "X"))
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
    parser.add_argument("--steps", type=int, default=1500, help="updates a run (default 1500)")
    parser.add_argument("--quick", action="store_true", help="1 seed, 20 steps: does everything work?")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with MNIST's or Fashion-MNIST's idx files (default: the digits)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default out)")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps = 1, 20
    if options.seeds < 1 or options.steps < 1:
        parser.error("--seeds and --steps must be at least 1")
    if options.data:
        try:
            files(options.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)

    passed, drawn = check(options.out, options.data)
    seeds = range(options.seeds)
    jobs = [(method, seed) for seed in seeds for method in METHODS]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        runs = list(tqdm(pool.map(partial(train, steps=options.steps, folder=options.data), jobs), total=len(jobs), desc="training", unit="run"))
    results = {job: (numbers, curve) for job, numbers, curve in runs}
    table(results, seeds)
    plot(results, seeds, options.out / "lenet.png")
    for path in [options.out / "lenet.png", drawn]:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

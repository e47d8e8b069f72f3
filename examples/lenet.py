"""Which regularizers help a convolutional network, and can a group penalty do without some of its filters?

LeNet-5 (LeCun et al. 1998) is trained on 500 images of which a fifth carry a wrong label, and tested on clean ones. It has relu, max
pooling and a softmax where the original has tanh, trained averages and radial basis functions, and all its channels are connected. On the
digits, 8 x 8, the filters are 16 and 32 of 3 x 3; on the 28 x 28 images of `--data` they are the original's 6 and 16 of 5 x 5. Dropout acts
on the fully connected layers, dropout2d on whole channels, L2 on every kernel, group L2 on the filters of both convolutions, a filter
being a group.

Before training, the gradient of the complete loss is checked on its own recorded graph. Written to out/: learning curves and the
picture of that graph, with the modules folded to cards.

    python examples/lenet.py [--seeds 5] [--steps 1500] [--quick] [--data DIR] [--out out]

`--data DIR`: a folder with the idx files of MNIST or Fashion-MNIST, plain or .gz.
"""

import os

for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):  # matrices this small gain nothing from threads
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, islice, product, repeat
from pathlib import Path

import numpy as np
from regularization import evaluate, split
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
    side = math.isqrt(pixels := parts[0][0].shape[1])
    if side * side != pixels:
        raise ValueError(f"{folder}: square images are needed; these have {pixels} pixels.")
    return [(images.reshape(-1, 1, side, side), labels) for images, labels in parts]


def train(job, steps, folder=None):
    """One run: (method, seed) -> its learning curve, rows of (step, train and test accuracy, validation loss), and its filters at 0."""
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
    return curve, model.filters_at_zero()


def check(loss, title, path):
    """Checks the complete training loss on its own graph, draws it folded, and prints the verdict. Returns it, and the file drawn."""
    report = mg.check_graph(loss)
    print(f"{title}: {report.verdict()}")
    loss.backward(retain_graph=True)
    try:
        mg.draw(loss, title=title, depth=1, checks=report, to_file=path)
    except RuntimeError as error:  # no program to lay it out: the text of the graph is there
        print(error)
        path = path.with_suffix(".gv")
    return bool(report), path


def complete_loss(folder=None):
    """The loss with everything that any method has, on four images."""
    (images, labels), _, _ = images_of(0, folder)
    mg.manual_seed(0)
    settings = {"p": 0.5, "p2d": 0.2, "penalty": nn.L2(1e-3), "filter_penalty": nn.GroupL2(4e-2)}
    model = LeNet(images.shape[-1], **settings, rng=np.random.default_rng(0))
    return F.cross_entropy(model(images[:4]), labels[:4]) + model.penalty()


def table(curves, **columns):
    """Prints a line a method. `curves`: {method: (seeds, points, 4)}, the first is compared with; `columns`: {name: {method: number}}."""
    baseline, *_ = curves
    print(
        f"\n{'':20}{'train acc':>10}{'test acc':>17}{f'minus {baseline}':>17}{'stopped early':>15}",
        *(f"{name.replace('_', ' '):>13}" for name in columns),
    )
    for method, runs in curves.items():
        train, test = runs[:, -1, 1], runs[:, -1, 2]
        stopped = np.take_along_axis(runs[:, :, 2], runs[:, :, 3].argmin(axis=1)[:, None], axis=1)  # where the validation loss was lowest
        paired = spread(test - curves[baseline][:, -1, 2], "+") if method != baseline else ""
        extra = (f"{column[method]:13.1f}" for column in columns.values())
        print(f"{method:20}{train.mean():9.1f}%{spread(test):>16}%{paired:>17}{stopped.mean():14.2f}%", *extra)
    seeds = len(curves[baseline])
    print(f"\nMeans over {seeds} seeds; ± is the standard deviation. Accuracies in per cent; 'minus {baseline}' is paired by seed, in points.")
    print("The training labels are wrong for one image in five, so 100% on them is learning by heart.")
    print("'stopped early': the test accuracy at the step with the lowest validation loss.")


def spread(values, sign=""):
    """The mean, and of more than one value the sample standard deviation."""
    return f"{values.mean():{sign}.2f}" + (f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else "")


def plot(curves, shown, path):
    """Learning curves of the methods `shown`, means over the seeds, and what each method gains over the first."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # colours that colour-blind readers tell apart too
    looks = dict(zip(shown, [("#4D4D4D", "-", "o"), ("#E69F00", "-.", "D"), ("#0072B2", "--", "^"), ("#009E73", "-", "v")]))
    figure, panels = plt.subplots(1, 3, figsize=(14.5, 4.6), layout="constrained", width_ratios=[1, 1, 0.9])
    for axis, column, title in zip(panels, (1, 2), ("On the training images, a fifth of them mislabelled", "On new images")):
        for method, (colour, style, marker) in looks.items():
            steps, mean = curves[method][0, :, 0], curves[method][:, :, column].mean(axis=0)
            axis.plot(steps, mean, style, color=colour, label=method, linewidth=1.8, marker=marker, markersize=5, markevery=0.12)
        axis.set(xlabel="step", ylabel="accuracy, per cent", title=title)
    panels[0].axhline(80, color="#777777", linewidth=1, linestyle=":", label="share of right labels")
    for axis in panels[:2]:
        axis.legend(loc="lower right", frameon=False)
    panels[1].set_ylim(bottom=max(curves[method][:, :, 2].max() for method in shown) - 22)
    baseline, *others = curves
    for place, method in enumerate(others):
        gains = curves[method][:, -1, 2] - curves[baseline][:, -1, 2]
        colour, _, marker = looks.get(method, ("#D55E00", "-", "X"))
        panels[2].plot(gains, np.full(len(gains), place), "|", color="#777777", markersize=9)
        panels[2].plot(gains.mean(), place, marker, color=colour, markersize=8)
    panels[2].axvline(0, color="#4D4D4D", linewidth=1)
    panels[2].set_yticks(range(len(others)), others)
    panels[2].invert_yaxis()
    panels[2].set(title=f"What each gains over {baseline}", xlabel="points of test accuracy; a stroke is a seed")
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
            images_of(0, options.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)

    passed, drawn = check(complete_loss(options.data), "LeNet's loss: cross-entropy, both dropouts, L2, group L2", options.out / "lenet_graph.png")
    jobs = list(product(METHODS, range(options.seeds)))
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        runs = list(tqdm(pool.map(partial(train, steps=options.steps, folder=options.data), jobs), total=len(jobs), desc="training", unit="run"))
    results = dict(zip(jobs, runs))
    curves = {method: np.array([results[method, seed][0] for seed in range(options.seeds)]) for method in METHODS}
    table(curves, filters_at_0={method: np.mean([results[method, seed][1] for seed in range(options.seeds)]) for method in METHODS})
    print("Only a proximal optimizer puts filters at exactly 0. Compare it with 'none, sgd', which takes the same steps without a penalty, lr from")
    print("0.1 to 0; the other methods use Adam.")
    plot(curves, ["none", "l2", "dropout", "both dropouts"], options.out / "lenet.png")
    for path in [options.out / "lenet.png", drawn]:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

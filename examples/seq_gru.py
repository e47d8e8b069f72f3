"""Which dropout for a recurrent network: a new mask at each time step, or one mask for the whole sequence?

A GRU of two layers reads digits as sequences, 8 rows of 8 pixels, from 500 images of which a fifth carry a wrong label. Gal & Ghahramani
(2016, arXiv:1512.05287) argue for one mask a sequence ("variational"), and for dropping the state where it goes back into the network,
too. Before training, the gradient of the complete loss is checked on its own graph, with all masks active.

    python examples/seq_gru.py [--seeds 5] [--steps 1500] [--quick] [--out out]

Written to out/: learning curves, what each method gains seed by seed, and the picture of the graph.
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
    "dropout": {"p": 0.5},
    "variational": {"p": 0.5, "variational": True},
    "recurrent": {"recurrent": 0.5},
    "variational + recurrent": {"p": 0.5, "variational": True, "recurrent": 0.5},
}
BATCH, HIDDEN = 32, 64
CURVE_EVERY = 50  # steps between points of a learning curve


class Reader(nn.Module):
    """Images (N, 64), read row by row, to scores (N, 10): the outputs of all steps are averaged.

    `p` drops what goes up, from layer to layer and out, `recurrent` the states that go on in time. `variational`: the masks of what
    goes up are the same at all steps, as those of states are.
    """

    def __init__(self, p=0.0, variational=False, recurrent=0.0, penalty=None, rng=None):
        noise = {"dropout": p, "variational": variational, "recurrent_dropout": recurrent}
        self.gru = nn.GRU(8, HIDDEN, num_layers=2, batch_first=True, penalty=penalty, rng=rng, **noise)
        self.drop = nn.Dropout(p, share=1 if variational else ())
        self.out = nn.Linear(HIDDEN, 10, rng=rng)

    def forward(self, x):
        outputs, _ = self.gru(x.reshape(-1, 8, 8))
        return self.out(self.drop(outputs).mean(axis=1))


def evaluate(model, images, labels):
    """(cross-entropy, accuracy in per cent) in evaluation mode."""
    model.eval()
    with mg.no_grad():
        scores = model(images)
        loss = F.cross_entropy(scores, labels).item()
    model.train()
    return loss, 100 * np.mean(scores.data.argmax(axis=1) == labels)


def train(job, steps):
    """One run: (method, seed) -> its learning curve, (step, training, test and validation accuracy, validation loss)."""
    method, seed = job
    (images, labels), validation, test = noisy_split(seed)
    mg.manual_seed(seed)
    model = Reader(**METHODS[method], rng=np.random.default_rng(seed))  # the same start for every method
    optimizer, order = optim.Adam(model.parameters(), lr=2e-3), np.random.default_rng(seed)
    curve, rows = [], np.array([], int)
    for step in range(steps):
        if len(rows) < BATCH:
            rows = order.permutation(len(labels))
        batch, rows = rows[:BATCH], rows[BATCH:]
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        if step % CURVE_EVERY == CURVE_EVERY - 1 or step == steps - 1:
            curve.append((step + 1, evaluate(model, images, labels)[1], evaluate(model, *test)[1], evaluate(model, *validation)[0]))
    return job, np.array(curve)


def check(out):
    """Checks the complete loss on its own graph, with all masks and a penalty, draws it, and prints the verdict."""
    (images, labels), _, _ = noisy_split(0)
    mg.manual_seed(0)
    model = Reader(p=0.5, variational=True, recurrent=0.5, penalty=nn.L2(1e-4), rng=np.random.default_rng(0))
    loss = F.cross_entropy(model(mg.Tensor(images[:4], name="images")), labels[:4]) + model.penalty()
    report = mg.check_graph(loss)
    print("cross-entropy + variational and recurrent dropout + L2:", report.verdict())
    drawn = [out / "seq_gru_graph.svg", out / "seq_gru_graph.png"]
    try:
        for path in drawn:
            mg.draw(loss, depth=1, checks=report, title="A GRU's training loss, with noise in three places", to_file=path)
    except RuntimeError as error:  # no program to lay it out: the text of the graph is there
        print(error)
        drawn = [out / "seq_gru_graph.gv"]
    return bool(report), drawn


# ---- report


def finals(results, seeds):
    """{method: test accuracy of each seed}."""
    return {method: np.array([results[method, seed][-1, 2] for seed in seeds]) for method in METHODS}


def verdict(change):
    """A mean difference with its standard error, and whether it is more than two of them from 0."""
    mean, error = change.mean(), change.std(ddof=1) / np.sqrt(len(change))
    return f"{mean:+.2f} ± {error:.2f}: {'no difference that shows' if abs(mean) < 2 * error else 'a gain' if mean > 0 else 'a loss'}"


def table(results, seeds):
    print(f"\n{'':24}{'train acc':>10}{'test acc':>17}{'minus none':>17}{'minus dropout':>17}{'stopped early':>15}")
    accuracy = finals(results, seeds)
    for method in METHODS:
        curves = np.array([results[method, seed] for seed in seeds])
        stopped = curves[range(len(seeds)), curves[:, :, 3].argmin(axis=1), 2].mean()  # where the validation loss was lowest
        line = f"{method:24}{curves[:, -1, 1].mean():9.1f}%{accuracy[method].mean():9.2f} ± {accuracy[method].std(ddof=1):4.2f}%"
        for other in "none", "dropout":
            gain = accuracy[method] - accuracy[other]
            line += f"{'' if method == other else f'{gain.mean():+.2f} ± {gain.std(ddof=1):.2f}':>17}"
        print(f"{line}{stopped:14.2f}%")
    print(f"\nMeans over {len(seeds)} seeds; ± is the standard deviation; differences are paired by seed, in points.")
    print("A fifth of the training labels are wrong, so 100% on them is learning by heart. 'stopped early': at the lowest validation loss.")
    print("\nDifferences, ± standard error:")
    for what, a, b in [
        ("one mask a sequence in place of a new one each step", "variational", "dropout"),
        ("dropping states in time in place of outputs going up", "recurrent", "variational"),
        ("dropping outputs too where states are dropped", "variational + recurrent", "recurrent"),
    ]:
        print(f"{what:54} {verdict(accuracy[a] - accuracy[b])}")


def plot(results, seeds, path):
    """Learning curves, means over the seeds, and the test accuracy of each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = ["#4D4D4D", "#D55E00", "#0072B2", "#CC79A7", "#009E73"]  # told apart by colour-blind readers too
    looks = dict(zip(METHODS, zip(colours, ["-", "--", "-", "-.", "--"], "osDv^")))
    figure, panels = plt.subplots(1, 3, figsize=(14.5, 4.6), layout="constrained", width_ratios=[1, 1, 0.85])
    for axis, column, title in zip(panels, [1, 2], ["The 500 images it was trained on", "New images"]):
        for method, (colour, style, marker) in looks.items():
            curve = np.mean([results[method, seed] for seed in seeds], axis=0)
            axis.plot(curve[:, 0], curve[:, column], style, color=colour, marker=marker, markersize=5, markevery=0.12, linewidth=1.8, label=method)
        axis.set(title=title, xlabel="step", ylabel="accuracy, per cent")
    panels[0].axhline(80, color="#999999", linewidth=1, linestyle=":")
    panels[0].annotate("share of right labels", (0.02, 80.5), xycoords=("axes fraction", "data"), fontsize=8, color="#666666")
    panels[1].legend(frameon=False, loc="lower right", fontsize=9)
    accuracy = finals(results, seeds)
    for seed in seeds:
        panels[2].plot([accuracy[method][seed] for method in METHODS], range(len(METHODS)), "-", color="#CCCCCC", linewidth=1, zorder=1)
    for place, method in enumerate(METHODS):
        colour, _, marker = looks[method]
        panels[2].plot(accuracy[method], np.full(len(seeds), place), "|", color="#777777", markersize=9)
        panels[2].plot(accuracy[method].mean(), place, marker, color=colour, markersize=9)
    panels[2].set_yticks(range(len(METHODS)), METHODS)
    panels[2].invert_yaxis()
    panels[2].set(title="New images, at the end", xlabel="accuracy, per cent; a line is a seed")
    for axis in panels:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method (default 5)")
    parser.add_argument("--steps", type=int, default=1500, help="updates a run (default 1500)")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 20 steps: does everything work?")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default out)")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps = 2, 20
    if options.seeds < 2 or options.steps < 1:
        parser.error("--seeds must be at least 2, --steps at least 1")
    options.out.mkdir(parents=True, exist_ok=True)

    passed, written = check(options.out)
    seeds = range(options.seeds)
    jobs = [(method, seed) for seed in seeds for method in METHODS]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        results = dict(tqdm(pool.map(partial(train, steps=options.steps), jobs), total=len(jobs), desc="training", unit="run"))
    table(results, seeds)
    plot(results, seeds, options.out / "seq_gru.png")
    for path in [options.out / "seq_gru.png", *written]:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

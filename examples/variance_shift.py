"""Why does dropout right before batch norm hurt?

Because batch norm learns in training a variance that evaluation never shows it (Li, Chen, Hu & Yang 2018, arXiv:1801.05134). Say h
arrives at a dropout of rate p, and W h, or h itself, at the batch norm behind it. The entries of a mask are independent, with mean 1
and variance p/(1-p), so in training they add to the variance of each unit, exactly,

    Var[W (mask * h)] = Var[W h] + p/(1-p) sum_i W_i^2 E[h_i^2]        (W = 1 if there is no layer between)

In evaluation the last term is gone, but the running variance that is divided by still has it. Classifiers of digits with three batch
norms show it: the ratio of the two variances at each, for three places of dropout and three rates, and what the shift alone costs. For
that, the running statistics are measured anew without dropout, and all weights left as they are.

    python examples/variance_shift.py [--seeds 5] [--steps 1000] [--noise 0] [--quick] [--out out]

`--noise 0.2`: a fifth of the training labels are wrong, as in regularization.py.
"""

from functools import partial

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from digits import noisy_split

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

PLACES = ["right before", "a layer before", "after the last"]  # of dropout, seen from a batch norm
RATES = [0.3, 0.5, 0.7]
WIDTHS = [64, 128, 128, 128]


def network(place, p, seed):
    """Three blocks of Linear, batch norm and relu, with dropout of rate p at its place, and the output layer."""
    linear = partial(
        nn.Linear, init=nn.glorot_uniform, bias_init=nn.zeros, rng=np.random.default_rng(seed)
    )
    layers = []
    for fan_in, fan_out in zip(WIDTHS, WIDTHS[1:]):
        layers.append(linear(fan_in, fan_out))
        if place == "right before":
            layers.append(nn.Dropout(p))
        layers += [nn.BatchNorm1d(fan_out), nn.ReLU()]
        if place == "a layer before":
            layers.append(nn.Dropout(p))
    if place == "after the last":
        layers.append(nn.Dropout(p))
    return nn.Sequential(*layers, linear(WIDTHS[-1], 10))


def predicted(model, images, seed, count=60, batch=32):
    """The variance of each unit at each batch norm in training, by the formula, from what arrives at the dropout: means over batches."""
    total = 0.0
    model.train()
    with mg.no_grad(), mg.frozen_noise():  # frozen: the running statistics stay as they are
        for _, rows in zip(range(count), study.shuffled(len(images), seed, batch)):
            x = unmasked = mg.Tensor(images[rows])
            added, found = (
                np.zeros(x.shape[1]),
                [],
            )  # what the mask adds to the variance of the entries of `unmasked`
            for layer in model:
                if isinstance(layer, nn.Dropout):
                    unmasked, added = x, layer.p / (1 - layer.p) * np.mean(x.data**2, axis=0)
                elif isinstance(layer, nn.Linear):
                    unmasked, added = layer(unmasked), added @ np.square(layer.weight.data).T
                elif isinstance(layer, nn.BatchNorm1d):
                    found.append(unmasked.data.var(axis=0, ddof=1) + added)
                x = layer(x)
                if isinstance(layer, (nn.BatchNorm1d, nn.ReLU)):
                    unmasked, added = x, np.zeros(x.shape[1])
            total = total + np.array(found)
    return total / count


def in_evaluation(model, images):
    """The variance of each unit at each batch norm in evaluation."""
    found, x = [], mg.Tensor(images)
    model.eval()
    with mg.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm1d):
                found.append(x.data.var(axis=0, ddof=1))
            x = layer(x)
    return np.array(found)


def norms(model):
    return [layer for layer in model if isinstance(layer, nn.BatchNorm1d)]


def measure_anew(model, images):
    """Sets the running statistics to those of all images at once, without dropout."""
    model.eval()
    for norm in norms(model):
        norm.momentum = 1.0
        norm.train()
    with mg.no_grad():
        model(images)


def train(setting, seed, steps, noise):
    """One run: the variances (in evaluation, running, predicted) at each batch norm, and the accuracies (train, test, test without shift)."""
    (images, labels), _, test = noisy_split(seed, noise=noise)
    mg.manual_seed(seed)
    model = network(*setting, seed)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _, rows in zip(range(steps), study.shuffled(len(labels), seed)):
        optimizer.zero_grad()
        F.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
    running = [norm.running_var.copy() for norm in norms(model)]
    variances = np.array([in_evaluation(model, images), running, predicted(model, images, seed)])
    accuracies = [study.evaluate(model, *part)[1] for part in ((images, labels), test)]
    measure_anew(model, images)
    return variances, [*accuracies, study.evaluate(model, *test)[1]]


def table(results):
    """A line a place and rate: the ratios of variances, the accuracies, and what the shift costs."""
    print(f"\n{'':22}{'variance in evaluation / in training':^39}")
    print(
        f"{'dropout':16}{'rate':>6}{'norm 1':>13}{'norm 2':>13}{'norm 3':>13}{'train':>9}{'test':>9}{'minus none':>16}{'without shift':>16}"
    )
    baseline = np.array([accuracies[1] for _, accuracies in results["none", 0.0]])
    for (place, p), runs in results.items():
        evaluation, running, formula = np.mean(
            [variances for variances, _ in runs], axis=(0, 3)
        )  # over seeds and units
        ratios = "".join(
            f"{m:6.2f} ({f:.2f})" for m, f in zip(evaluation / running, evaluation / formula)
        )
        trained, test, anew = np.array([accuracies for _, accuracies in runs]).T
        paired = [
            f"{np.mean(gain):+.2f} ± {study.error(gain):.2f}"
            for gain in (test - baseline, anew - test)
        ]
        print(
            f"{place:16}{p:6.1f} {ratios}{trained.mean():8.2f}%{test.mean():8.2f}%{paired[0] if p else '':>16}{paired[1]:>16}"
        )
    print(
        f"\nMeans over {study.count(len(runs), 'seed')}; ± is the standard error of a difference that is paired by seed, in points of test accuracy."
    )
    print(
        "variance: of what arrives at each batch norm; in training as in its running_var (and in brackets as the formula says), over all units."
    )
    print(
        "Without dropout too it is not quite 1: a batch of 32, divided by its own deviation, looks a little wider to the next norm."
    )
    print(
        "without shift: what test accuracy gains when the running statistics are measured anew without dropout and the weights stay."
    )
    p = max(p for _, p in results)
    _, test, anew = np.mean([accuracies for _, accuracies in results["right before", p]], axis=0)
    print(
        f"Right before a norm, at rate {p}, dropout changes test accuracy by {test - baseline.mean():+.1f} points, of which {test - anew:+.1f} are the shift's."
    )
    print(
        "The rest stays without any shift: it is in the weights that training under this noise finds."
    )


def plot(results, path):
    """Each unit's variance in training and in evaluation against the formula; test accuracy against the rate."""
    figure, (left, right) = study.figure(15, 5, 1, 1)
    shown = 0.5
    evaluation, running, formula = (
        variance.ravel() for variance in results["right before", shown][0][0]
    )
    ends = [0.8 * min(evaluation.min(), running.min()), 1.2 * formula.max()]
    left.plot(ends, ends, color="#777777", linewidth=1, zorder=0)
    left.plot(
        formula, running, "o", color="#0072B2", markersize=4, label="in training (running_var)"
    )
    left.plot(formula, evaluation, "x", color="#D55E00", markersize=4, label="in evaluation")
    left.set(
        title=f"Dropout {shown} right before batch norm: the {len(formula)} units of one network",
        xlabel="variance in training, by the formula",
        ylabel="variance that arrives at the norm",
        xscale="log",
        yscale="log",
    )
    left.legend(frameon=False)

    accuracies = {
        setting: np.array([accuracies for _, accuracies in runs])
        for setting, runs in results.items()
    }
    right.axhline(
        accuracies["none", 0.0][:, 1].mean(),
        color="#4D4D4D",
        linewidth=1,
        linestyle=":",
        label="no dropout",
    )
    rates = sorted({p for _, p in results if p})
    for place, colour, marker in zip(PLACES, ["#D55E00", "#E69F00", "#009E73"], "osD"):
        _, test, anew = np.array([accuracies[place, p] for p in rates]).T  # each (seeds, rates)
        right.errorbar(
            rates,
            test.mean(axis=0),
            study.error(test),
            color=colour,
            marker=marker,
            capsize=3,
            label=f"dropout {place}",
        )
        right.plot(
            rates, anew.mean(axis=0), "--", color=colour, marker=marker, markerfacecolor="#FFFFFF"
        )
    right.plot(
        [],
        [],
        "--",
        color="#777777",
        marker="o",
        markerfacecolor="#FFFFFF",
        label="statistics measured\nanew without dropout",
    )
    right.set_xticks(rates)
    right.set(
        title="What it costs, with the shift and without it",
        xlabel="dropout rate",
        ylabel="test accuracy, per cent",
    )
    right.legend(
        frameon=False, loc="upper left", bbox_to_anchor=(1, 1)
    )  # beside the panel: there it covers nothing
    study.save(figure, path)


def main():
    parser = study.parser(
        __doc__, least=2, seeds=(5, 2, "runs of each setting"), steps=(1000, 200, "updates a run")
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        help="share of the training labels that are wrong (default 0)",
    )
    options = parser.parse_args()
    if not 0 <= options.noise <= 1:
        parser.error("--noise must be in [0, 1]")

    settings = [
        ("none", 0.0),
        *((place, p) for place in PLACES for p in ([0.5] if options.quick else RATES)),
    ]
    results = study.runs(train, settings, options.seeds, steps=options.steps, noise=options.noise)
    table(results)
    plot(results, options.out / "variance_shift.png")


if __name__ == "__main__":
    main()

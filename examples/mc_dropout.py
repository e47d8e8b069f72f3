"""Does averaging over dropout masks at test time (MC dropout, Gal & Ghahramani 2016) tell a network when it does not know?

A 64-128-64-10 classifier with dropout is trained on clean digits without one class: seed s leaves out digit s. It is tested on new
images of the nine classes, clean, with noise, and on their side, and on the class it has never seen. Three ways to predict:

plain      a network trained without dropout
scaled     with dropout, one pass in evaluation mode: the weight-scaling rule
sampled    the same network, the mean of softmax over many passes with masks: `with mg.sampling()`

Scaled and sampled differ because they estimate different means over the masks: sampling the arithmetic mean of the probabilities,
scaling their normalised geometric mean. For softmax regression the second is exact, which `mg.expectation` proves here by going
through all 2^16 masks of a 16-pixel image (with --quick, all 2^4 of 4 pixels).

    python examples/mc_dropout.py [--seeds 10] [--steps 2000] [--samples 100] [--quick] [--out out]
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from digits import load

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

RATE, BATCH, TRAINING = 0.5, 32, 800
SETS = {
    "clean": "new images",
    "noisy": "with noise",
    "on their side": "turned by 90 degrees",
    "unseen class": "the class left out",
}
WAYS = "plain", "scaled", "sampled"


def fit(model, x, y, steps, seed, lr=1e-3):
    """Trains in place: Adam, mean cross-entropy, batches of 32."""
    optimizer, rng = optim.Adam(model.parameters(), lr=lr), np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.integers(len(y), size=BATCH)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


def network(p, seed):
    settings = {"init": nn.he_uniform, "bias_init": nn.zeros, "rng": np.random.default_rng(seed)}
    return nn.Sequential(
        nn.Linear(64, 128, **settings),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(128, 64, **settings),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(64, 10, **settings),
    )


def scaled(model, x):
    """Probabilities (n, 10) of one pass in evaluation mode."""
    with mg.no_grad():
        return F.softmax(model(x)).numpy()


def sampled(model, x, samples):
    """Probabilities (samples, n, 10), each with masks of its own; the model stays in evaluation mode."""
    with mg.no_grad(), mg.sampling():
        return np.array([F.softmax(model(x)).numpy() for _ in range(samples)])


def entropy(p):
    """In nats: 0 for a certain prediction, log 10 = 2.30 for a clueless one."""
    return -np.sum(p * np.log(np.maximum(p, 1e-30)), axis=-1)


def auroc(outside, inside):
    """The probability that a value of `outside` is larger than one of `inside`; a tie counts half."""
    below, upto = (np.searchsorted(np.sort(inside), outside, side) for side in ("left", "right"))
    return np.mean(below + upto) / 2 / len(inside)


def test_sets(seed):
    """(x, y) to train on and {name: (x, y)} to test on. Digit `seed` modulo 10 is left out of training and of the first three sets."""
    images, labels = load()
    rng = np.random.default_rng(seed)
    seen = rng.permutation(np.flatnonzero(labels != seed % 10))
    train, test = seen[:TRAINING], seen[TRAINING:]
    x, y, unseen = images[test], labels[test], labels == seed % 10
    noisy = np.clip(x + rng.normal(0, 0.3, x.shape), 0, 1).astype(np.float32)
    turned = np.rot90(x.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
    return (images[train], labels[train]), dict(
        zip(SETS, [(x, y), (noisy, y), (turned, y), (images[unseen], labels[unseen])])
    )


def run(seed, steps, samples):
    """One seed: {(set, way): (accuracy, cross-entropy, mean entropy, AUROC against the clean set)}, and what the picture needs."""
    (x, y), sets = test_sets(seed)
    mg.manual_seed(seed)
    plain, dropped = (fit(network(p, seed), x, y, steps, seed) for p in (0.0, RATE))
    numbers, entropies, spreads = {}, {}, {}
    for name, (images, labels) in sets.items():
        draws = sampled(dropped, images, samples)
        for way, p in zip(
            WAYS, [scaled(plain, images), scaled(dropped, images), draws.mean(axis=0)]
        ):
            right = p[np.arange(len(labels)), labels]
            entropies[name, way] = entropy(p)
            rank = auroc(entropies[name, way], entropies["clean", way])
            loss = -np.mean(np.log(np.maximum(right, 1e-30)))
            numbers[name, way] = (
                100 * np.mean(p.argmax(axis=1) == labels),
                loss,
                entropies[name, way].mean(),
                rank,
            )
        spreads[name] = entropies[name, "sampled"] - entropy(draws).mean(
            axis=0
        )  # the part of the entropy that the masks disagree about
    disagreement = auroc(spreads["unseen class"], spreads["clean"])
    images = sets["unseen class"][0]
    gap = entropies["unseen class", "sampled"] - entropies["unseen class", "scaled"]
    shown = images[
        np.argsort(gap)[int(0.9 * len(gap))]
    ]  # one at which they differ, though not the most
    example = shown, scaled(dropped, shown[None])[0], sampled(dropped, shown[None], samples)[:, 0]
    return seed, numbers, entropies, disagreement, example


# ---- why they differ: softmax regression, where all masks can be counted


def softmax_regression(steps=1500, rate=RATE, seed=0, side=4):
    """Softmax regression with dropout on side x side pixels (means of the 8 x 8), and 5 images it was not trained on, all float64."""
    images, labels = load()
    x = images.reshape(-1, side, 8 // side, side, 8 // side).mean(axis=(2, 4))
    x = x.reshape(len(x), -1).astype(np.float64)
    order = np.random.default_rng(seed).permutation(len(labels))
    mg.manual_seed(seed)
    model = nn.Sequential(
        nn.Dropout(rate, share=0),
        nn.Linear(side * side, 10, dtype=np.float64, rng=np.random.default_rng(seed)),
    )
    fit(model, x[order[:TRAINING]], labels[order[:TRAINING]], steps, seed, lr=1e-2)
    return model, x[order[-5:]]


def means(model, x):
    """(scaled, arithmetic mean, normalised geometric mean), each (n, 10), over all masks of the inputs. `share=0`: one mask for all images."""
    with mg.sampling():
        scores = model(x)
    both = np.stack([F.softmax(scores), F.log_softmax(scores)])
    arithmetic, logarithmic = mg.expectation(both).value.numpy()
    geometric = np.exp(logarithmic)
    return scaled(model, x), arithmetic, geometric / geometric.sum(axis=1, keepdims=True)


def report_means(samples, side):
    model, x = softmax_regression(side=side)
    weights, arithmetic, geometric = means(model, x)
    draws = sampled(model, x, samples).mean(axis=0)
    print(
        f"\nSoftmax regression with dropout on its {side * side} inputs; over all {2 ** (side * side):,} masks, the largest difference in a probability of 5 images:"
    )
    print(
        f"  scaled weights - geometric mean, normalised {np.max(np.abs(weights - geometric)):10.1e}    the same, but for rounding"
    )
    print(
        f"  scaled weights - arithmetic mean            {np.max(np.abs(weights - arithmetic)):10.1e}    another mean: more samples do not close this gap"
    )
    print(
        f"  {samples:5} samples  - arithmetic mean            {np.max(np.abs(draws - arithmetic)):10.1e}    the error of sampling, which falls as 1/sqrt(samples)"
    )
    return weights, arithmetic, geometric


# ---- report

COMPARED = [  # label, set, column of the numbers
    ("accuracy, clean", "clean", 0),
    ("accuracy, noise", "noisy", 0),
    ("cross-entropy, clean", "clean", 1),
    ("cross-entropy, noise", "noisy", 1),
    ("cross-entropy, turned", "on their side", 1),
    ("AUROC, noise", "noisy", 3),
    ("AUROC, turned", "on their side", 3),
    ("AUROC, unseen class", "unseen class", 3),
]


def table(runs):
    seeds = len(runs)
    print(f"\n{'':28}{'accuracy':>10}{'cross-entropy':>15}{'entropy':>9}{'AUROC':>8}")
    for name, what in SETS.items():
        for way in WAYS:
            accuracy, loss, spread, rank = np.mean(
                [numbers[name, way] for _, numbers, *_ in runs], axis=0
            )
            first = f"{what if way == WAYS[0] else '':20} {way:7}"
            known = (
                f"{accuracy:9.2f}%{loss:15.3f}" if name != "unseen class" else f"{'-':>10}{'-':>15}"
            )
            print(f"{first}{known}{spread:9.3f}" + (f"{rank:8.3f}" if name != "clean" else ""))
    print(
        f"\nMeans over {study.count(seeds, 'seed')}, each with another digit left out. Entropy in nats, at most 2.303."
    )
    print(
        "AUROC: the probability that such an image has a higher entropy than a clean one of a class the network knows; 0.5 is chance."
    )

    print(
        f"\n{'paired by seed, ± standard error':36}{'sampled - scaled':>18}{'':20}{'scaled - plain':>16}"
    )
    for label, name, column in COMPARED:
        line = f"{label:32}"
        for a, b in [("sampled", "scaled"), ("scaled", "plain")]:
            line += f"{verdict(np.array([numbers[name, a][column] - numbers[name, b][column] for _, numbers, *_ in runs]), column):40}"
        print(line.rstrip())
    change = np.array(
        [
            disagreement - numbers["unseen class", "sampled"][3]
            for _, numbers, _, disagreement, _ in runs
        ]
    )
    print(
        f"AUROC, unseen class, by the disagreement of the masks (mutual information) in place of the entropy: {verdict(change, 3).strip()}"
    )


def verdict(change, column):
    """A mean difference in a line, with a word: it helps or hurts if it is at least two standard errors from 0."""
    mean, error = change.mean(), study.error(change)
    word = (
        "no difference"
        if abs(mean) < 2 * error
        else "helps"
        if (mean > 0) == (column in (0, 3))
        else "hurts"
    )
    return f"{mean:+10.3f} ± {error:.3f}  {word}"


def plot(runs, regression, path):
    """One unseen digit, the AUROC of each seed, and the two means."""
    figure, panels = study.figure(14.5, 4.9, 1.35, 1, 1)
    digit, _, _, _, (image, weights, draws) = runs[0]
    axis = panels[0]
    rng = np.random.default_rng(0)
    for k in range(10):
        jitter = k + rng.uniform(-0.28, 0.28, len(draws))
        axis.plot(
            jitter,
            draws[:, k],
            ".",
            color="#9A9A9A",
            markersize=4,
            alpha=0.6,
            label="one mask" if k == 0 else None,
        )
    axis.plot(
        range(10),
        draws.mean(axis=0),
        "o",
        color="#D55E00",
        markersize=9,
        label=f"sampled: mean of {len(draws)}",
    )
    axis.plot(
        range(10),
        weights,
        "D",
        color="#0072B2",
        markersize=8,
        markerfacecolor="none",
        markeredgewidth=2,
        label="scaled: one pass",
    )
    axis.set_xticks(range(10))
    axis.set(
        title=f"A {digit % 10}, the class it never saw: the masks disagree",
        xlabel="class",
        ylabel="probability",
    )
    axis.legend(frameon=False, loc="upper left", fontsize=9)
    inset = axis.inset_axes([0.1, 0.3, 0.2, 0.32])
    inset.imshow(image.reshape(8, 8), cmap="gray_r")
    inset.set(xticks=[], yticks=[])

    axis = panels[1]
    looks = {"plain": ("#4D4D4D", "s"), "scaled": ("#0072B2", "D"), "sampled": ("#D55E00", "o")}
    values = np.array(
        [[numbers["unseen class", way][3] for way in WAYS] for _, numbers, *_ in runs]
    )
    for row in values:
        axis.plot(range(3), row, "-", color="#BBBBBB", linewidth=1, zorder=1)
    for i, (colour, marker) in enumerate(looks.values()):
        axis.plot(
            np.full(len(values), i), values[:, i], marker, color=colour, markersize=6, zorder=2
        )
        axis.plot(
            [i - 0.22, i + 0.22],
            [values[:, i].mean()] * 2,
            "-",
            color=colour,
            linewidth=3,
            zorder=3,
        )
        axis.annotate(
            f"{values[:, i].mean():.3f}", (i + 0.25, values[:, i].mean()), va="center", fontsize=10
        )
    axis.set_xticks(
        range(3), ["plain\n(no dropout)", "scaled\n(one pass)", "sampled\n(MC dropout)"]
    )
    gain = (values[:, 2] - values[:, 1]).mean()
    axis.set(
        title=f"Finding the unseen class: sampling adds {gain:+.3f}",
        ylabel="AUROC of the entropy, unseen against known",
        xlim=(-0.4, 2.65),
    )

    axis = panels[2]
    weights, arithmetic, geometric = regression
    axis.plot([1e-3, 1], [1e-3, 1], "-", color="#777777", linewidth=1)
    axis.plot(
        weights.ravel(),
        arithmetic.ravel(),
        "o",
        color="#D55E00",
        markersize=6,
        label="arithmetic mean (what sampling estimates)",
    )
    axis.plot(
        weights.ravel(),
        geometric.ravel(),
        "D",
        color="#0072B2",
        markersize=7,
        markerfacecolor="none",
        label="geometric mean, normalised",
    )
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(1e-3, 1.3),
        ylim=(1e-3, 1.3),
        xlabel="probability with scaled weights, softmax regression",
        ylabel="mean over all masks",
    )
    axis.set_title("Scaling is the geometric mean of the masks")
    axis.legend(frameon=False, loc="lower right", fontsize=9)
    study.save(figure, path)


def main():
    numbers = {
        "seeds": (10, 2, "networks, each without another digit"),
        "steps": (2000, 300, "updates of each"),
    }
    options = study.parser(
        __doc__, least=2, **numbers, samples=(100, 20, "passes with masks")
    ).parse_args()
    runs = study.parallel(
        run,
        [(seed,) for seed in range(options.seeds)],
        steps=options.steps,
        samples=options.samples,
    )
    table(runs)
    regression = report_means(options.samples, side=2 if options.quick else 4)
    plot(runs, regression, options.out / "mc_dropout.png")


if __name__ == "__main__":
    main()

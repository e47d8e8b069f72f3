"""Which pixels decide what a network sees? The gradient of a score by the input (Simonyan et al. 2013, arXiv:1312.6034).

A 64-64-64-10 network with relu learns 800 digits. Between the kinks of relu it is linear, so the gradient of a score by the pixels is
known in closed form: a row of the product of the weight matrices, without the units that are off. The script compares the two.

Then pixels of new digits are blanked, set to their mean in training, one after the other in four orders: at random, the unusual
pixels first (far from their mean), those with a large gradient first, and those with a large gradient * (pixel - mean) first. The last
product is what blanking changes in the score, to first order. A good order makes the network wrong early.

    python examples/saliency.py [--seeds 5] [--steps 1000] [--quick] [--out out]      (4 CPU seconds)
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from digits import load

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

TRAINING, MOST = 800, 32  # images, and pixels to blank
ORDERS = "at random", "unusual pixels first", "|gradient|", "|gradient * (pixel - mean)|"


def fit(x, y, steps, seed):
    mg.manual_seed(seed)
    layers = nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    model = nn.Sequential(*layers)
    optimizer, batches = optim.Adam(model.parameters()), study.shuffled(len(y), seed)
    for _ in range(steps):
        rows = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model


def saliency(model, x):
    """(classes, gradients): the best class of each image, and the gradient of its score by the pixels."""
    pixels = mg.Tensor(x, requires_grad=True)
    scores = model(pixels)
    best = scores.numpy().argmax(axis=1)
    (gradients,) = mg.grad(scores[np.arange(len(x)), best].sum(), [pixels])
    return best, gradients.numpy()


def in_closed_form(model, x, best):
    """The same gradients without autodiff: each layer is its weight matrix, without the rows of units that are off."""
    slopes = np.eye(64)[None]
    for i in (0, 2, 4):
        weight, bias = model[i].weight.numpy(), model[i].bias.numpy()
        x = x @ weight.T + bias
        on = x > 0 if i < 4 else np.ones_like(x)
        slopes, x = on[:, :, None] * (weight @ slopes), on * x
    return slopes[np.arange(len(x)), best]


def blanked(model, x, y, orders, mean):
    """The share of right answers, in per cent, after 0, 1, ... MOST pixels of each image were blanked in its order."""
    x, rows, right = x.copy(), np.arange(len(x)), []
    for pixels in orders[:, : MOST + 1].T:
        right.append(100 * np.mean(model(x).argmax(axis=1) == y))
        x[rows, pixels] = mean[pixels]
    return right


def run(seed, steps):
    """(model, images, distance from the closed form, a curve for each order)."""
    images, labels = load()
    rows = np.random.default_rng(seed).permutation(len(labels))
    images, labels = images[rows], labels[rows]
    model = fit(images[:TRAINING], labels[:TRAINING], steps, seed)
    x, y, mean = images[TRAINING:], labels[TRAINING:], images[:TRAINING].mean(axis=0)
    best, gradients = saliency(model, x)
    right = in_closed_form(model, x, best)
    apart = np.abs(gradients - right).max() / np.abs(right).max()
    chance = np.random.default_rng(seed).random(x.shape)
    sizes = chance, abs(x - mean), abs(gradients), abs(gradients * (x - mean))
    with mg.no_grad():
        curves = [blanked(model, x, y, np.argsort(-size, axis=1), mean) for size in sizes]
    return model, x, apart, curves


def plot(model, x, curves, file):
    from matplotlib.figure import Figure

    picture = Figure((13, 3.8), layout="constrained")
    left, right = picture.subfigures(1, 2, width_ratios=(1.3, 1))
    best, gradients = saliency(model, x)
    rows = [np.argmax(best == digit) for digit in range(6)]  # the first of each class
    left.suptitle("New digits. Red: more ink raises the score of the class that the network sees")
    for i, (top, bottom) in zip(rows, left.subplots(2, 6).T):
        most = abs(gradients[i]).max()
        top.imshow(x[i].reshape(8, 8), cmap="gray_r")
        bottom.imshow(gradients[i].reshape(8, 8), cmap="RdBu_r", vmin=-most, vmax=most)
        top.set_title(f"sees {best[i]}", fontsize=10)
        top.set_axis_off()
        bottom.set_axis_off()
    axis = right.subplots()
    for order, curve, (colour, style, _) in zip(ORDERS, curves, study.LOOKS):
        axis.plot(curve, style, color=colour, label=order, linewidth=1.8)
    axis.set(xlabel="blanked pixels, of 64", ylabel="right answers, per cent", ylim=(0, 100))
    axis.legend(loc="center right", frameon=False)
    study.save(picture, file)


def main():
    numbers = {"seeds": (5, 2, "networks"), "steps": (1000, 100, "updates a network")}
    options = study.parser(__doc__, **numbers).parse_args()
    runs = study.parallel(run, [(seed,) for seed in range(options.seeds)], steps=options.steps)
    model, x, *_ = runs[0]
    apart = max(apart for _, _, apart, _ in runs)
    print(f"the gradients differ from the closed form by {apart:.0e} of the largest one at most")
    curves = np.array([curves for *_, curves in runs])  # (seeds, orders, blanked pixels)
    print(
        f"\n{'right after blanking':30}{'none':>9}{'4 pixels':>15}{'8 pixels':>15}{'16 pixels':>15}"
    )
    for i, order in enumerate(ORDERS):
        cells = [f"{study.spread(curves[:, i, k], '.1f'):>13}%" for k in (4, 8, 16)]
        print(f"{order:30}{curves[:, i, 0].mean():8.1f}% " + " ".join(cells))
    plot(model, x, curves.mean(axis=0), options.out / "saliency.png")


if __name__ == "__main__":
    main()

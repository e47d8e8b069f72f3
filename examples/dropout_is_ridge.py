"""What does dropout do to a linear model? On average over its masks it is ridge regression, exactly.

With drop rate r on the inputs, E |y - (M*X) w|^2 = |y - X w|^2 + r/(1-r) sum_j w_j^2 |X_j|^2 (Srivastava et al. 2014, section 9.1;
Wager, Wang & Liang 2013). The diabetes data shows it in three ways, which must give the same coefficients:

closed form    the ridge solution
enumeration    `mg.expectation` of a recorded loss: its mean and gradient over all 2^10 masks, none left to chance
SGD            plain gradient steps with `nn.Dropout`, a fresh mask for each row and step, their weights averaged

Dropout draws a mask for each row: 2^4420 outcomes. The expected squared error is a sum over rows, and to each row only its own
mask matters, so one mask that all rows share has the same expectation and only 2^10 outcomes: `share=0`. --quick takes only six
of the ten features.

    python examples/dropout_is_ridge.py [--seeds 5] [--steps 4000] [--quick] [--out out]
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from diabetes import NAMES, folds, load
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

RATES = [0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9]


def closed_form(x, y, r):
    """The minimiser of |y - x w|^2 + r/(1-r) sum_j w_j^2 |x_j|^2."""
    gram = x.T @ x
    return np.linalg.solve(gram + r / (1 - r) * np.diag(np.diag(gram)), x.T @ y)


def penalised(x, y, r, w):
    """The value of what `closed_form` minimises."""
    return np.sum((y - x @ w) ** 2) + r / (1 - r) * np.sum(w**2 * np.sum(x**2, axis=0))


def enumerated(x, y, r, w):
    """(value, gradient by w) of the squared error, averaged over all masks of its features."""
    w = mg.Tensor(w, requires_grad=True)
    loss = F.mse_loss(
        F.dropout(mg.Tensor(x), r, training=True, share=0) @ w, mg.Tensor(y), reduction="sum"
    )
    expected = mg.expectation(loss)
    return expected.value.item(), expected.gradients[w].numpy()


def by_enumeration(x, y, r):
    """The minimiser of the enumerated expectation. Its gradient is linear, H w - b: gradients at zero and at each unit vector give H and b."""
    zero, *units = np.eye(x.shape[1] + 1, x.shape[1], k=-1)
    at_zero = enumerated(x, y, r, zero)[1]
    hessian = np.array([enumerated(x, y, r, e)[1] - at_zero for e in units]).T
    return np.linalg.solve(hessian, -at_zero)


def by_sgd(x, y, r, steps, seed):
    """Gradient steps with dropout from zero; the weights of the second half of the steps, averaged."""
    mg.manual_seed(seed)
    model = nn.Sequential(
        nn.Dropout(r), nn.Linear(x.shape[1], 1, bias=False, init=nn.zeros, dtype=np.float64)
    )
    optimizer = optim.SGD(
        model.parameters(), lr=0.1 * (1 - r)
    )  # the expected loss is 1/(1-r) times as steep at most
    average = np.zeros(x.shape[1])
    for step in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(x)[:, 0], y).backward()
        optimizer.step()
        if step >= steps // 2:
            average += model[1].weight.data[0] / (steps - steps // 2)
    return average


def validated(x, y, r, parts):
    """The mean squared error of each fold under cross-validation, for dropout in closed form."""
    return np.array(
        [
            np.mean((y[test] - x[test] @ closed_form(x[train], y[train], r)) ** 2)
            for train, test in parts
        ]
    )


def table(x, y, found):
    """How far the three are apart, a line a rate, and whether it predicts any better."""
    parts = folds()
    without = validated(x, y, 0.0, parts)
    print(
        f"\n{'rate':>5}{'r/(1-r)':>9}{'E[loss]: enumerated/closed - 1':>32}{'w: enumerated':>15}{'w: SGD':>16}{'|w|':>7}{'error, 10 folds':>24}"
    )
    for r, (exact, counted, runs) in found.items():
        value = enumerated(x, y, r, exact)[0] / penalised(x, y, r, exact) - 1
        apart = np.linalg.norm(counted - exact) / np.linalg.norm(exact)
        mean, error = runs.mean(axis=0), study.error(runs)
        sgd = f"{np.max(np.abs(mean - exact)):.2f} ± {np.max(error):.2f}"
        gain = validated(x, y, r, parts) - without
        change = f"{gain.mean():+8.0f} ± {study.error(gain):.0f}"
        print(
            f"{r:5.2f}{r / (1 - r):9.3f}{value:32.1e}{apart:15.1e}{sgd:>16}{np.linalg.norm(exact):7.1f}{change:>24}"
        )
    print(
        "\nw, enumerated: the distance of the coefficients from the closed form, relative to their length: rounding errors."
    )
    print(
        "w, SGD: the largest difference in any coefficient, of the mean over the seeds, ± the largest standard error."
    )
    print(
        f"error: the change in mean squared error against least squares ({without.mean():.0f}) on patients not trained on, ± its standard error."
    )
    print(
        f"Dropout does not help to predict here: 442 patients are many for {x.shape[1]} coefficients, and a high rate only shrinks them."
    )


def plot(x, y, found, path):
    """The coefficients against the rate: the three ways on top of each other."""
    grid = 0.95 * np.linspace(0, 1, 200) ** 2
    lines = np.array([closed_form(x, y, r) for r in grid])
    figure, axis = study.figure(9.5, 6, 1)
    axis.plot(grid, lines, color="#56B4E9", linewidth=2.2, zorder=1)
    axis.axhline(0, color="#777777", linewidth=0.8, zorder=0)
    rates = list(found)
    counted = np.array([found[r][1] for r in rates])
    sgd = np.array([found[r][2].mean(axis=0) for r in rates])
    axis.plot(
        rates, counted, "o", color="#FFFFFF", markeredgecolor="#111111", markersize=9, zorder=2
    )
    axis.plot(rates, sgd, "x", color="#D55E00", markersize=6, markeredgewidth=1.8, zorder=3)
    places = study.apart(lines[0], 3.2)
    for name, value, place in zip(NAMES, lines[0], places):
        axis.annotate(
            name,
            (0, value),
            (-0.035, place),
            ha="right",
            va="center",
            fontsize=10,
            arrowprops={"arrowstyle": "-", "color": "#999999"},
        )
    handles = [
        axis.plot([], [], "-", color="#56B4E9", linewidth=2.2)[0],
        axis.plot([], [], "o", color="#FFFFFF", markeredgecolor="#111111", markersize=9)[0],
        axis.plot([], [], "x", color="#D55E00", markersize=6, markeredgewidth=1.8, linestyle="")[0],
    ]
    axis.legend(
        handles,
        [
            "ridge, in closed form",
            f"all {2 ** x.shape[1]:,} masks, enumerated",
            "SGD with dropout, averaged",
        ],
        frameon=False,
        loc="lower right",
    )
    axis.set(
        title="On a linear model dropout is ridge regression: three ways, the same coefficients",
        xlabel="dropout rate r   (ridge strength r/(1-r))",
        ylabel="coefficient, units of disease progression per standard deviation",
        xlim=(-0.13, 0.97),
    )
    axis.set_xticks(
        np.arange(0, 1, 0.1), [f"{r:.1f}\n({r / (1 - r):.2g})" for r in np.arange(0, 1, 0.1)]
    )
    study.save(figure, path)


def main():
    options = study.parser(
        __doc__,
        least=2,
        seeds=(5, 2, "runs of SGD for each rate"),
        steps=(4000, 1000, "steps a run"),
    ).parse_args()
    x, y = load()
    rates = RATES
    if options.quick:  # the masks of six features are a sixteenth of the masks of ten
        x, rates = x[:, :6], [0.2, 0.5, 0.8]
    found = {}
    with tqdm(total=len(rates) * (1 + options.seeds), desc="rates", unit="run") as bar:
        for r in rates:
            counted, runs = by_enumeration(x, y, r), []
            bar.update()
            for seed in range(options.seeds):
                runs.append(by_sgd(x, y, r, options.steps, seed))
                bar.update()
            found[r] = closed_form(x, y, r), counted, np.array(runs)
    table(x, y, found)
    plot(x, y, found, options.out / "dropout_is_ridge.png")


if __name__ == "__main__":
    main()

"""Does an L1 penalty give exact zeros? The minimiser has them; gradient steps never reach them, proximal steps do.

The lasso on the diabetes data, mean (y - x w)^2 + lambda sum |w|, full batches. Where lambda |w| has its kink, a subgradient step
jumps across it and back for ever; the proximal step (a soft threshold) lands on it.

Two parts: the path of the coefficients against lambda by `optim.ProximalSGD(accelerated=True)` (FISTA); and, at one lambda,
the same number of steps of subgradient SGD, Adam and proximal steps, judged by exact zeros, by the objective and by
`optim.kkt_residual`, which is 0 at the minimum alone.

    python examples/lasso_path.py [--points 60] [--steps 3000] [--seeds 5] [--quick] [--out out]
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from diabetes import NAMES, folds, load
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import optim

LAMBDA = 15.0  # of the comparison: the minimiser has 6 coefficients at 0
BATCH = 32


def objective(x, y, w, c):
    """The recorded loss. scikit-learn's Lasso(a) minimises half of it for c = 2a."""
    return F.mse_loss(x @ w, y) + F.l1_penalty(w, c=c)


def curvature(x):
    """The largest curvature of the mean squared error: 1 / that is the step of proximal methods."""
    return 2 * np.linalg.eigvalsh(x.T @ x / len(x))[-1]


def solve(x, y, c, start=None, tolerance=1e-9):
    """(minimiser, KKT residual): FISTA from `start`, to that residual relative to the gradient at 0."""
    w = mg.Tensor(np.zeros(x.shape[1]) if start is None else start, requires_grad=True)
    optimizer = optim.ProximalSGD([w], lr=1 / curvature(x), accelerated=True, restart=True)
    goal = tolerance * largest(x, y)
    for step in range(20_000):
        optimizer.step(lambda: objective(x, y, w, c))
        if step % 20 == 19 and (residual := optim.kkt_residual(objective(x, y, w, c))) <= goal:
            return w.data.copy(), residual
    raise RuntimeError(f"FISTA did not reach a residual of {goal:.1g} at lambda {c:g}.")


def largest(x, y):
    """The smallest lambda at which all coefficients are 0: the largest entry of the gradient at 0."""
    return np.max(np.abs(2 * x.T @ y / len(y)))


def path(x, y, lambdas):
    """The coefficients (lambda, feature), each from the one before."""
    found, start = [], None
    for c in lambdas:
        start, _ = solve(x, y, c, start)
        found.append(start)
    return np.array(found)


# ---- one lambda, one number of steps, seven ways

METHODS = {  # (optimizer, learning rate as a multiple of 1 / curvature or None for Adam's own, rate falling to 0, batches)
    "subgradient SGD": (optim.SGD, 1.0, False, False),
    "subgradient SGD, lr to 0": (optim.SGD, 1.0, True, False),
    "Adam": (optim.Adam, None, False, False),
    "Adam, lr to 0": (optim.Adam, None, True, False),
    "proximal": (optim.ProximalSGD, 1.0, False, False),
    "proximal, accelerated": (optim.ProximalSGD, 1.0, False, False),
    "subgradient, batches of 32": (optim.SGD, 0.1, True, True),
    "proximal, batches of 32": (optim.ProximalSGD, 0.1, True, True),
}


def run(method, x, y, c, steps, seed=0):
    """The coefficients after every step (steps, feature), from zeros."""
    kind, factor, falling, batches = METHODS[method]
    lr = 0.1 if factor is None else factor / curvature(x)
    w = mg.Tensor(np.zeros(x.shape[1]), requires_grad=True)
    settings = {"accelerated": True} if "accelerated" in method else {}
    optimizer = kind([w], lr=optim.cosine(lr, steps) if falling else lr, **settings)
    rng, history = np.random.default_rng(seed), np.empty((steps, x.shape[1]))
    for step in range(steps):
        rows = rng.integers(len(y), size=BATCH) if batches else slice(None)

        def loss(rows=rows):
            return objective(x[rows], y[rows], w, c)

        if kind is optim.ProximalSGD:
            optimizer.step(loss)
        else:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        history[step] = w.data
    return history


def judge(x, y, c, w):
    """(objective, KKT residual, exact zeros)."""
    w = mg.Tensor(w, requires_grad=True)
    loss = objective(x, y, w, c)
    return loss.item(), optim.kkt_residual(loss), int(np.sum(w.data == 0))


def compare(x, y, c, steps, seeds):
    """{method: the histories of its runs}: one, or one a seed where batches are drawn."""
    found = {}
    for method in tqdm(METHODS, desc="methods", unit="method"):
        batches = METHODS[method][3]
        found[method] = [
            run(method, x, y, c, steps, seed) for seed in range(seeds if batches else 1)
        ]
    return found


def table(x, y, c, found, best):
    """What the steps reached, a line a method."""
    zero, least = best == 0, judge(x, y, c, best)
    names = ", ".join(name for name, z in zip(NAMES, zero) if z)
    print(
        f"\nlambda {c:g}: the minimiser has {zero.sum()} exact zeros ({names}); objective {least[0]:.3f}, KKT residual {least[1]:.0e}"
    )
    print(
        f"\n{'':28}{'exact zeros':>12}{'of them right':>15}{'|w| where 0 is right':>22}{'objective - minimum':>21}{'KKT residual':>14}"
    )
    for method, runs in found.items():
        last = [history[-1] for history in runs]
        values, residuals, zeros = np.mean([judge(x, y, c, w) for w in last], axis=0)
        right = np.mean([np.sum((w == 0) & zero) for w in last])
        size = np.mean([np.max(np.abs(w[zero]), initial=0) for w in last])
        print(
            f"{method:28}{zeros:12g}{right:15g}{size:22.1e}{max(values - least[0], 0):21.1e}{residuals:14.1e}"
        )
    print(
        f"\nAfter {len(runs[0])} steps; '|w| where 0 is right': the largest. Batches: means over {study.count(len(runs), 'seed')}."
    )
    print(
        "Proximal steps do not help with small batches: here the noise of the gradient is larger than lambda, so it carries a coefficient off zero"
    )
    print("at almost every step.")


def validated(x, y, lambdas):
    """The mean squared error (fold, lambda) on the rows that were not trained on; and least squares', (fold,)."""
    errors, plain = [], []
    for train, test in tqdm(folds(), desc="cross-validation", unit="fold"):
        errors.append(
            [np.mean((y[test] - x[test] @ w) ** 2) for w in path(x[train], y[train], lambdas)]
        )
        plain.append(np.mean((y[test] - x[test] @ np.linalg.lstsq(x[train], y[train])[0]) ** 2))
    return np.array(errors), np.array(plain)


def report(x, y, lambdas):
    """Whether the lasso predicts any better than least squares."""
    lambdas = np.sort(np.append(lambdas, LAMBDA))[::-1]
    errors, plain = validated(x, y, lambdas)
    best = int(np.argmin(errors.mean(axis=0)))
    print(
        f"\nPrediction: mean squared error on patients not trained on, 10 folds. Least squares {plain.mean():.0f}."
    )
    for i, which in [(best, "the best"), (list(lambdas).index(LAMBDA), "the one above")]:
        change = errors[:, i] - plain
        count = int(np.sum(solve(x, y, lambdas[i])[0] != 0))
        print(
            f"lambda {lambdas[i]:<5.3g}({which}): {change.mean():+.0f} ± {study.error(change):.0f}, with {count} features of 10"
        )
    print(
        "So the lasso does not predict better here: what it gives is a shorter list. (The best was chosen by these folds, which flatters it.)"
    )


def plot(lambdas, coefficients, found, best, file):
    """The path, and how the methods approach a zero."""
    figure, (left, right) = study.figure(13.5, 5.6, 1.15, 1)
    palette = ["#0072B2", "#D55E00", "#009E73", "#4D4D4D", "#CC79A7"]
    end = coefficients[-1]
    order = np.argsort(end)
    places = study.apart(end, 2.6)
    for rank, i in enumerate(order):
        style = ["-", "--"][rank // 5 % 2]
        alive = (
            np.convolve(coefficients[:, i] != 0, [1, 1, 1], "same") > 0
        )  # and the zeros next to it
        alive = np.where(alive, coefficients[:, i], np.nan)
        left.plot(lambdas, alive, style, color=palette[rank % 5], linewidth=2)
        entered = max(np.flatnonzero(coefficients[:, i])[0] - 1, 0)
        left.plot(lambdas[entered], 0, "o", color=palette[rank % 5], markersize=6)
        left.annotate(
            NAMES[i],
            (lambdas[-1], end[i]),
            (lambdas[-1] * 0.72, places[i]),
            ha="right",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "#BBBBBB"},
        )
    left.axhline(0, color="#777777", linewidth=0.8)
    left.axvline(LAMBDA, color="#777777", linewidth=1, linestyle=":")
    left.annotate(
        " the lambda\n of the right panel",
        (LAMBDA, 0.02),
        xycoords=("data", "axes fraction"),
        fontsize=9,
        color="#555555",
    )
    left.set(
        xscale="log",
        xlim=(lambdas[-1] * 0.4, lambdas[0] * 1.3),
        xlabel="lambda, the coefficient of sum |w|",
        ylabel="coefficient, disease progression per standard deviation",
        title="The lasso's path: a dot is where a coefficient leaves exact zero",
    )
    zero = best == 0
    looks = {
        "subgradient SGD": "#D55E00",
        "Adam": "#CC79A7",
        "Adam, lr to 0": "#0072B2",
        "proximal": "#111111",
    }
    for (method, colour), style, width in zip(
        looks.items(), ["-", "-", "--", "-"], [1, 1, 1.6, 2.5]
    ):
        size = np.max(np.abs(found[method][0][:, zero]), axis=1)
        steps = np.arange(1, len(size) + 1)
        right.plot(
            steps,
            np.where(size > 0, size, np.nan),
            style,
            color=colour,
            linewidth=width,
            label=method,
        )
        if method == "proximal" and size[-1] == 0:
            last = np.flatnonzero(size)[-1]
            right.plot(steps[last], size[last], "o", color=colour, markersize=8)
            right.annotate(
                f"proximal: exactly 0\nfrom step {last + 2} on",
                (steps[last], size[last]),
                (14, -4),
                textcoords="offset points",
                fontsize=10,
                va="top",
            )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="step",
        ylabel=f"largest |w| among the {zero.sum()} that should be 0",
        title="Gradient steps hover near zero; proximal steps are there",
    )
    right.legend(frameon=False, loc="lower left")
    study.save(figure, file)


def main():
    numbers = {
        "points": (60, 20, "values of lambda on the path"),
        "steps": (3000, 1000, "steps of each method"),
    }
    options = study.parser(
        __doc__, least=2, **numbers, seeds=(5, 2, "runs of the methods that draw batches")
    ).parse_args()

    x, y = load()
    lambdas = largest(x, y) * np.geomspace(1.1, 1e-3, options.points)
    coefficients = path(x, y, tqdm(lambdas, desc="path", unit="lambda"))
    best, _ = solve(x, y, LAMBDA)
    found = compare(x, y, LAMBDA, options.steps, options.seeds)
    table(x, y, LAMBDA, found, best)
    if not options.quick:
        report(x, y, lambdas[1::3])
    plot(lambdas, coefficients, found, best, options.out / "lasso_path.png")


if __name__ == "__main__":
    main()

"""What the training examples share: options, data, many runs at a time, the check of a loss, the table, the pictures.

Import it before NumPy, which it keeps to one thread: matrices this small gain nothing from more.
"""

import os

for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import product
from pathlib import Path

import idx
import numpy as np
from digits import noisy_split
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F

TRAINING, MOST_TEST = (
    700,
    2000,
)  # images of idx files that are trained and validated on, and tested on
LOOKS = [  # told apart by colour-blind readers too, and in grey
    ("#4D4D4D", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#E69F00", "-.", "D"),
    ("#0072B2", "-", "^"),
    ("#009E73", "-", "v"),
    ("#CC79A7", "--", "P"),
]


# ---- options


def parser(doc, least=1, data=None, **numbers):
    """The options of an example whose docstring is `doc`: its numbers, --quick and --out.

    `numbers`: name=(default, with --quick, what it counts), each at least `least`. `data(seed, folder)`, which reads a folder of idx
    files, adds --data; what is wrong with the folder becomes a usage error.
    """

    class Quick(argparse.Action):
        def __call__(self, parser, options, *_):
            vars(options).update(self.const)
            print("--quick: a short run, to see that everything works. Its numbers mean nothing.")

    found = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, (default, _, what) in numbers.items():
        found.add_argument(
            f"--{name}", type=at_least(least), default=default, help=f"{what} (default {default})"
        )
    small = {name: number for name, (_, number, _) in numbers.items()}
    what = ", ".join(f"{number} {name}" for name, number in small.items())
    found.add_argument(
        "--quick",
        action=Quick,
        nargs=0,
        default=False,
        const=small | {"quick": True},
        help=f"{what}: does everything work?",
    )
    if data:
        what = "a folder with MNIST's or Fashion-MNIST's idx files (default: the digits)"
        found.add_argument("--data", type=readable(partial(data, 0)), metavar="DIR", help=what)
    found.add_argument(
        "--out", type=Path, default=Path("out"), help="folder for the pictures (default out)"
    )
    return found


def at_least(least):
    """The type of an option: a whole number, `least` or more."""

    def number(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return int(text)

    return number


def readable(read):
    """The type of an option: the path of something that `read` can read."""

    def path(text):
        try:
            read(Path(text))
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(error) from None
        return Path(text)

    return path


# ---- data


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
    """(train, validation, test), each (images (n, pixels), labels): of the digits, or of the idx files in `folder`.

    A fifth of the 500 training labels are wrong.
    """
    if folder is None:
        return noisy_split(seed)
    parts, rng = [], np.random.default_rng(seed)
    for (images, labels), most in zip(files(folder), (TRAINING, MOST_TEST)):
        rows = rng.permutation(len(labels))[:most]
        parts.append(
            (
                (images[rows].reshape(len(rows), -1) / 255).astype(np.float32),
                labels[rows].astype(np.int64),
            )
        )
    training, test = parts
    return *noisy_split(seed, data=training)[:2], test


def squares(seed, folder=None):
    """As `split`, with images (n, 1, side, side)."""
    parts = split(seed, folder)
    side = math.isqrt(pixels := parts[0][0].shape[1])
    if side * side != pixels:
        raise ValueError(f"{folder}: square images are needed; these have {pixels} pixels.")
    return [(images.reshape(-1, 1, side, side), labels) for images, labels in parts]


def shuffled(rows, seed, batch=32):
    """The numbers of `rows` rows, a batch at a time, in a new order each time round, without end. What makes no full batch is left out."""
    if rows < batch:
        raise ValueError(f"shuffled: {rows} rows make no batch of {batch}.")
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(rows)
        yield from (order[i : i + batch] for i in range(0, rows - batch + 1, batch))


# ---- runs


def parallel(function, jobs, **settings):
    """[function(*job, **settings) for each job], in as many processes as there are cores, but no more than 8."""
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        return list(
            tqdm(
                pool.map(partial(function, **settings), *zip(*jobs)),
                total=len(jobs),
                desc="training",
                unit="run",
            )
        )


def runs(train, methods, seeds, **settings):
    """{method: [train(method, seed, **settings) for each seed]}."""
    found = iter(parallel(train, list(product(methods, range(seeds))), **settings))
    return {method: [next(found) for _ in range(seeds)] for method in methods}


def is_on_curve(step, steps, every=50):
    """Whether a learning curve has a point after this step: every so many steps, at least at four, and at the last."""
    return step % max(1, min(every, steps // 4)) == 0 or step == steps


def evaluate(model, images, labels):
    """(cross-entropy, accuracy in per cent) in evaluation mode."""
    model.eval()
    with mg.no_grad():
        scores = model(images)
        loss = F.cross_entropy(scores, labels).item()
    model.train()
    return loss, 100 * np.mean(scores.data.argmax(axis=1) == labels)


def point(model, train, validation, test):
    """A point of a learning curve: the training and test accuracy, and the validation and test loss."""
    (_, trained), (held_out, _), (loss, tested) = (
        evaluate(model, *part) for part in (train, validation, test)
    )
    return trained, tested, held_out, loss


# ---- the loss


def check(loss, title, *files, depth="auto"):
    """Checks the gradient of a loss on its own recorded graph, prints the verdict, and draws the graph to `files`: (passed, what was drawn)."""
    report = mg.check_graph(loss)
    print(f"{title}: {report.verdict()}")
    loss.backward(retain_graph=True)
    files[0].parent.mkdir(parents=True, exist_ok=True)
    try:
        for file in files:
            mg.draw(loss, title=title, checks=report, depth=depth, to_file=file)
    except RuntimeError as error:  # no program to lay it out: the text of the graph is there
        print(error)
        files = [files[0].with_suffix(".gv")]
    return bool(report), files


# ---- tables


def count(number, what):
    """`1 seed` or `2 seeds`."""
    return f"{number:,} {what}" + "s" * (number != 1)


def spread(values, form=".2f"):
    """The mean, and of more than one value the sample standard deviation."""
    return f"{np.mean(values):{form}}" + (
        f" ± {np.std(values, ddof=1):{form.lstrip('+')}}" if len(values) > 1 else ""
    )


def error(values):
    """The standard error of the mean over seeds, the first axis."""
    return np.std(values, axis=0, ddof=1) / np.sqrt(len(values))


def table(results, against, more=()):
    """Prints a line a method. `results`: {method: a learning curve for each seed}, whose rows are the step, a `point`, and more numbers.

    `against`: the methods that all are compared with. `more`: {name: format} of the last numbers of the last row.
    """
    results, more = {method: np.array(curves) for method, curves in results.items()}, dict(more)
    widths = {
        "train acc": 10,
        "test acc": 17,
        **{f"minus {other}": 17 for other in against},
        "stopped early": 15,
    }
    widths |= {name: len(name) + 2 for name in more}
    first = max(20, 1 + max(map(len, results)))
    print("\n" + " " * first + "".join(f"{name:>{width}}" for name, width in widths.items()))
    for method, curves in results.items():
        last, test = curves[:, -1].mean(axis=0), curves[:, -1, 2]
        paired = [
            "" if method == other else spread(test - results[other][:, -1, 2], "+.2f")
            for other in against
        ]
        stopped = np.mean(
            [curve[curve[:, 3].argmin(), 2] for curve in curves]
        )  # where the validation loss was lowest
        cells = [f"{last[1]:.1f}%", f"{spread(test)}%", *paired, f"{stopped:.2f}%"]
        cells += [
            form.format(number)
            for form, number in zip(more.values(), last[len(last) - len(more) :])
        ]
        print(
            f"{method:{first}}"
            + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths.values()))
        )


# ---- pictures


def figure(width, height, *panels, **options):
    """A figure and its panels, side by side, of these relative widths."""
    from matplotlib.figure import Figure  # here, since the runs need none

    figure = Figure((width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # inches beside each panel
    return figure, figure.subplots(1, len(panels), width_ratios=panels, **options)


def apart(values, gap):
    """Places for labels: as the values, in their order, but at least `gap` apart."""
    order, places = np.argsort(values), np.array(values, float)
    for _ in range(200):
        for low, high in zip(order, order[1:]):
            overlap = max(0, gap - (places[high] - places[low])) / 2
            places[low], places[high] = places[low] - overlap, places[high] + overlap
    return places


def save(figure, file):
    for axis in figure.axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    print("wrote", file)


def draw_curves(axis, curves, column):
    """Learning curves of up to six methods, {method: a curve for each seed}, means over the seeds."""
    for (method, runs), (colour, style, marker) in zip(curves.items(), LOOKS):
        mean = np.mean(runs, axis=0)
        every = -(-len(mean) // 8)
        axis.plot(
            mean[:, 0],
            mean[:, column],
            style,
            color=colour,
            marker=marker,
            markersize=5,
            markevery=every,
            linewidth=1.8,
            label=method,
        )
    axis.set(xlabel="step")
    axis.xaxis.get_major_locator().set_params(integer=True)


def plot(results, shown, file):
    """Learning curves of the methods `shown`, the first of which is the baseline, and what each method gains over it."""
    picture, (left, middle, right) = figure(14.5, 5, 1, 1, 0.85)
    results = {method: np.array(curves) for method, curves in results.items()}
    curves, baseline = {method: results[method] for method in shown}, shown[0]
    ends = {method: runs[:, -1].mean(axis=0) for method, runs in results.items()}
    best = max(ends, key=lambda method: ends[method][2])
    draw_curves(left, curves, 1)
    left.set(
        title=f"'{baseline}' learns {ends[baseline][1]:.0f}% of the labels;\na fifth are wrong",
        ylabel="accuracy, per cent",
    )
    left.axhline(80, color="#999999", linestyle=":", label="share of right labels")
    draw_curves(middle, curves, 2)
    middle.set(
        title=f"New images: '{baseline}' {ends[baseline][2]:.0f}% right,\nat best {ends[best][2]:.0f}% ({best})",
        ylabel="accuracy, per cent",
    )
    middle.set_ylim(bottom=max(runs[:, :, 2].max() for runs in curves.values()) - 22)
    picture.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower left",
        ncols=len(shown) + 1,
        frameon=False,
    )

    others = [method for method in results if method != baseline]
    looks = dict(zip(shown, LOOKS))
    for place, method in enumerate(others):
        gains = results[method][:, -1, 2] - results[baseline][:, -1, 2]
        colour, _, marker = looks.get(method, ("#56B4E9", "-", "X"))
        right.plot(gains, np.full(len(gains), place), "|", color="#777777", markersize=9)
        right.plot(gains.mean(), place, marker, color=colour, markersize=8)
    right.axvline(0, color="#4D4D4D", linewidth=1)
    right.set_yticks(range(len(others)), others)
    right.invert_yaxis()
    right.set(
        title=f"What each gains over {baseline}",
        xlabel="points of test accuracy; a stroke is a seed",
    )
    save(picture, file)

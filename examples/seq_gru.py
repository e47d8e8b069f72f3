"""Which dropout for a recurrent network: a new mask at each time step, or one mask for the whole sequence?

A GRU of two layers reads digits as sequences, 8 rows of 8 pixels, from 500 images of which a fifth carry a wrong label. Gal & Ghahramani
(2016, arXiv:1512.05287) argue for one mask a sequence ("variational"), and for dropping the state where it goes back into the network,
too. Before training, the gradient of the complete loss is checked on its own graph, with all masks active.

    python examples/seq_gru.py [--seeds 5] [--steps 1500] [--quick] [--out out]

Written to out/: learning curves, what each method gains seed by seed, and the picture of the graph.
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np

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
HIDDEN = 64


class Reader(nn.Module):
    """Images (N, 64), read row by row, to scores (N, 10): the outputs of all steps are averaged.

    `p` drops what goes up, from layer to layer and out, `recurrent` the states that go on in time. `variational`: the masks of what
    goes up are the same at all steps, as those of states are.
    """

    def __init__(self, p=0.0, variational=False, recurrent=0.0, penalty=None, rng=None):
        noise = {"dropout": p, "variational": variational, "recurrent_dropout": recurrent}
        self.gru = nn.GRU(
            8, HIDDEN, num_layers=2, batch_first=True, penalty=penalty, rng=rng, **noise
        )
        self.drop = nn.Dropout(p, share=1 if variational else ())
        self.out = nn.Linear(HIDDEN, 10, rng=rng)

    def forward(self, x):
        outputs, _ = self.gru(x.reshape(-1, 8, 8))
        return self.out(self.drop(outputs).mean(axis=1))


def train(method, seed, steps):
    """One run: its learning curve, rows of the step and `study.point`."""
    parts = study.split(seed)
    images, labels = parts[0]
    mg.manual_seed(seed)
    model = Reader(
        **METHODS[method], rng=np.random.default_rng(seed)
    )  # the same start for every method
    optimizer, curve = optim.Adam(model.parameters(), lr=2e-3), []
    for step, batch in zip(range(1, steps + 1), study.shuffled(len(labels), seed)):
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        if study.is_on_curve(step, steps):
            curve.append((step, *study.point(model, *parts)))
    return curve


def complete_loss():
    """The loss with all masks and a penalty, on four images."""
    (images, labels), _, _ = study.split(0)
    mg.manual_seed(0)
    model = Reader(
        p=0.5, variational=True, recurrent=0.5, penalty=nn.L2(1e-4), rng=np.random.default_rng(0)
    )
    return (
        F.cross_entropy(model(mg.Tensor(images[:4], name="images")), labels[:4]) + model.penalty()
    )


def verdict(change):
    """A mean difference with its standard error, and whether it is more than two of them from 0."""
    mean, error = change.mean(), study.error(change)
    return f"{mean:+.2f} ± {error:.2f}: {'no difference that shows' if abs(mean) < 2 * error else 'a gain' if mean > 0 else 'a loss'}"


def main():
    numbers = {"seeds": (5, 2, "runs of each method"), "steps": (1500, 20, "updates a run")}
    options = study.parser(__doc__, least=2, **numbers).parse_args()
    out = options.out

    title = "cross-entropy + variational and recurrent dropout + L2"
    passed, drawn = study.check(
        complete_loss(), title, out / "seq_gru_graph.svg", out / "seq_gru_graph.png"
    )
    results = study.runs(train, METHODS, options.seeds, steps=options.steps)
    study.table(results, ["none", "dropout"])
    print(
        f"\nMeans over {study.count(options.seeds, 'seed')}; ± is the standard deviation; differences are paired by seed, in points."
    )
    print(
        "A fifth of the training labels are wrong, so 100% on them is learning by heart. 'stopped early': at the lowest validation loss."
    )
    print("\nDifferences, ± standard error:")
    accuracy = {method: np.array(curves)[:, -1, 2] for method, curves in results.items()}
    for what, a, b in [
        ("one mask a sequence in place of a new one each step", "variational", "dropout"),
        ("dropping states in time in place of outputs going up", "recurrent", "variational"),
        ("dropping outputs too where states are dropped", "variational + recurrent", "recurrent"),
    ]:
        print(f"{what:54} {verdict(accuracy[a] - accuracy[b])}")
    study.plot(results, list(METHODS), out / "seq_gru.png")
    for path in drawn:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

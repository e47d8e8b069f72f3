"""What do L1, L2, dropout and their family do for a network that could learn its training set by heart?

A 64-128-64-10 classifier is trained on 500 digits of which a fifth carry a wrong label, and tested on a thousand clean ones.
Without regularization it learns all the wrong labels too. Before training, the gradient of the complete loss (cross-entropy,
dropout, L1 and L2 nodes) is checked on its own recorded graph. Written to out/: learning curves and the picture of that graph.

    python examples/regularization.py [--seeds 5] [--steps 3000] [--quick] [--data DIR] [--out out]

`--data DIR`: a folder with the idx files of MNIST or Fashion-MNIST, plain or .gz. 500 of their training images are used.
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
from functools import partial

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

METHODS = {  # the settings of each line of the table
    "none": {},
    "l1": {"penalty": nn.L1(5e-4)},
    "l2": {"penalty": nn.L2(3e-3)},
    "dropout": {"p": 0.5},
    "dropout + l2": {"p": 0.5, "penalty": nn.L2(3e-3)},
    "dropout + max-norm": {"p": 0.5, "limit": 1.0},
    "gaussian dropout": {"p": 0.5, "noise": nn.GaussianDropout},
    "dropconnect": {"connect": 0.5},
    "group l2": {"penalty": nn.GroupL2(1e-2)},
    "group l2, proximal": {"penalty": nn.GroupL2(1e-2), "proximal": 0.1},
}
CURVE_EVERY = 50  # steps between points of a learning curve


class Classifier(nn.Module):
    """features-128-64-10 with relu. `penalty` and `connect` (DropConnect) act on the two hidden kernels, `noise(p)` after each hidden layer."""

    def __init__(self, p=0.0, penalty=None, noise=nn.Dropout, connect=0.0, features=64, rng=None):
        settings = {"init": nn.glorot_uniform, "bias_init": nn.zeros, "rng": rng}
        self.fc1 = nn.Linear(features, 128, penalty=penalty, **settings)
        self.drop1 = noise(p)
        self.fc2 = nn.Linear(128, 64, penalty=penalty, **settings)
        self.drop2 = noise(p)
        self.out = nn.Linear(64, 10, **settings)
        if connect:
            self.fc1, self.fc2 = (
                nn.DropConnect(self.fc1, connect),
                nn.DropConnect(self.fc2, connect),
            )

    def forward(self, x):
        x = self.drop1(F.relu(self.fc1(x)))
        x = self.drop2(F.relu(self.fc2(x)))
        return self.out(x)

    @property
    def kernels(self):
        """The weights of the two hidden layers."""
        return [w for w in self.parameters() if w.ndim == 2][:2]


def train(method, seed, steps, folder=None):
    """One run: its learning curve, rows of the step, `study.point`, and what the kernels are like."""
    settings = dict(METHODS[method])
    limit, proximal = settings.pop("limit", None), settings.pop("proximal", None)
    parts = study.split(seed, folder)
    images, labels = parts[0]
    mg.manual_seed(seed)
    model = Classifier(
        **settings, features=images.shape[1], rng=np.random.default_rng(seed)
    )  # the same start for every method
    optimizer = (
        optim.ProximalSGD(model.parameters(), lr=proximal)
        if proximal
        else optim.Adam(model.parameters(), lr=1e-3)
    )
    curve = []

    def loss(x, y):
        return F.cross_entropy(model(x), y) + model.penalty()

    backward = mg.compile(loss)  # the same numbers as loss(x, y).backward(), in less time
    for step, batch in zip(range(1, steps + 1), study.shuffled(len(labels), seed)):
        x, y = images[batch], labels[batch]
        if proximal:
            optimizer.step(partial(loss, x, y))
        else:
            optimizer.zero_grad()
            backward(x, y)
            optimizer.step()
        if limit:
            optim.max_norm(model.kernels, limit)
        if step % CURVE_EVERY == 0 or step == steps:
            curve.append((step, *study.point(model, *parts), *state_of(model.kernels)))
    return curve


def state_of(kernels):
    """The sum of squares, the share of tiny weights in per cent, and the units without any weight."""
    weights = np.concatenate([w.data.ravel() for w in kernels])
    return (
        np.sum(weights**2),
        100 * np.mean(np.abs(weights) < 1e-3),
        sum(np.sum(np.all(w.data == 0, axis=1)) for w in kernels),
    )


def complete_loss(folder=None):
    """The training loss with dropout, L2 and L1 nodes, on one batch."""
    (images, labels), _, _ = study.split(0, folder)
    mg.manual_seed(0)
    model = Classifier(
        p=0.5, penalty=nn.L2(3e-3), features=images.shape[1], rng=np.random.default_rng(0)
    )
    x = mg.Tensor(images[:32], name="images")
    return (
        F.cross_entropy(model(x), labels[:32])
        + model.penalty()
        + F.l1_penalty(model.fc1.weight, c=5e-4)
    )


def main():
    numbers = {"seeds": (5, 2, "runs of each method"), "steps": (3000, 300, "updates a run")}
    options = study.parser(__doc__, data=study.split, **numbers).parse_args()
    out = options.out

    loss = complete_loss(options.data)
    passed, drawn = study.check(
        loss, "cross-entropy + dropout + L2 + L1", out / "loss_graph.svg", out / "loss_graph.png"
    )
    results = study.runs(train, METHODS, options.seeds, steps=options.steps, folder=options.data)
    study.table(
        results,
        ["none"],
        {"test loss": "{:.3f}", "sum w^2": "{:.1f}", "|w|<1e-3": "{:.1f}%", "units at 0": "{:.1f}"},
    )
    print(
        f"\nMeans over {study.count(options.seeds, 'seed')}; ± is the standard deviation. Accuracies in per cent; 'minus none' is paired by seed, in points."
    )
    print(
        "The training labels are wrong for one image in five, so 100% on them is learning by heart."
    )
    print(
        "'stopped early': the test accuracy at the step with the lowest validation loss. Stopping in time is a regularizer too, and the cheapest."
    )
    print(
        "Of the 192 hidden units only a proximal optimizer can put some at exactly 0. Its steps are SGD's, lr 0.1; the other methods use Adam."
    )
    study.plot(
        results,
        ["none", "l1", "l2", "dropout", "dropout + l2", "dropout + max-norm"],
        out / "learning_curves.png",
    )
    for path in drawn:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

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

from itertools import chain, islice, repeat

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np

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


class LeNet(nn.Module):
    """Two convolutions, each with relu, dropout2d and max pooling, and three fully connected layers, for images (N, 1, side, side)."""

    def __init__(self, side=8, p=0.0, p2d=0.0, penalty=None, filter_penalty=None, rng=None):
        settings = {"init": nn.he_uniform, "bias_init": nn.zeros, "rng": rng}
        (first, second), size, paddings = (
            ((6, 16), 5, (2, 0)) if side > 16 else ((16, 32), 3, (1, 1))
        )
        self.conv1 = nn.Conv2d(
            1, first, size, padding=paddings[0], penalty=filter_penalty or penalty, **settings
        )
        self.drop1 = nn.Dropout2d(p2d)
        self.conv2 = nn.Conv2d(
            first, second, size, padding=paddings[1], penalty=filter_penalty or penalty, **settings
        )
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
        return sum(
            int(np.sum(~layer.weight.data.any(axis=(1, 2, 3))))
            for layer in (self.conv1, self.conv2)
        )


def train(method, seed, steps, folder=None):
    """One run: its learning curve, rows of the step, `study.point`, and the filters at 0."""
    settings = dict(METHODS[method])
    lr = settings.pop("sgd", None)
    parts = study.squares(seed, folder)
    mg.manual_seed(seed)
    model = LeNet(
        parts[0][0].shape[-1], **settings, rng=np.random.default_rng(seed)
    )  # the same start for every method
    parameters = list(model.parameters())
    optimizer = (
        optim.ProximalSGD(parameters, lr=optim.cosine(lr, steps))
        if lr
        else optim.Adam(parameters, lr=1e-3)
    )
    batches, curve = chain.from_iterable(repeat(Batches(*parts[0], rng=seed))), []
    for step, (x, y) in enumerate(islice(batches, steps), start=1):

        def loss(x=x, y=y):
            return F.cross_entropy(model(x), y) + model.penalty()

        if lr:
            optimizer.step(loss)  # without a penalty to take over it is SGD
        else:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        if study.is_on_curve(step, steps):
            curve.append((step, *study.point(model, *parts), model.filters_at_zero()))
    return curve


def complete_loss(folder=None):
    """The loss with everything that any method has, on four images."""
    (images, labels), _, _ = study.squares(0, folder)
    mg.manual_seed(0)
    settings = {"p": 0.5, "p2d": 0.2, "penalty": nn.L2(1e-3), "filter_penalty": nn.GroupL2(4e-2)}
    model = LeNet(images.shape[-1], **settings, rng=np.random.default_rng(0))
    return F.cross_entropy(model(images[:4]), labels[:4]) + model.penalty()


def main():
    numbers = {"seeds": (5, 1, "runs of each method"), "steps": (1500, 20, "updates a run")}
    options = study.parser(__doc__, data=study.squares, **numbers).parse_args()

    title = "LeNet's loss: cross-entropy, both dropouts, L2, group L2"
    passed, drawn = study.check(
        complete_loss(options.data), title, options.out / "lenet_graph.png", depth=1
    )
    results = study.runs(train, METHODS, options.seeds, steps=options.steps, folder=options.data)
    study.table(results, ["none"], {"filters at 0": "{:.1f}"})
    print(
        f"\nMeans over {study.count(options.seeds, 'seed')}; ± is the standard deviation. Accuracies in per cent; 'minus none' is paired by seed, in points."
    )
    print(
        "The training labels are wrong for one image in five, so 100% on them is learning by heart."
    )
    print("'stopped early': the test accuracy at the step with the lowest validation loss.")
    print(
        "Only a proximal optimizer puts filters at exactly 0. Compare it with 'none, sgd', which takes the same steps without a penalty, lr from"
    )
    print("0.1 to 0; the other methods use Adam.")
    study.plot(results, ["none", "l2", "dropout", "both dropouts"], options.out / "lenet.png")
    for path in drawn:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

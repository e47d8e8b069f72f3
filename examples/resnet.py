"""What do stochastic depth, dropout and L2 add to a residual network with batch norm? And how does a training go on after a crash?

A small ResNet (He et al. 2016) is trained on 500 images of which a fifth carry a wrong label, and tested on clean ones. Theirs had
batch norm and a weight decay of 1e-4 (here: L2 of 5e-5), and no dropout. Added here: stochastic depth, which drops the branch of a residual
block for a whole image, the later the block the more often (Huang et al. 2016), and dropout before the classifier. Batch norm undoes the
scale of the kernels before it, so on those L2 does not limit what the network can compute, only how far a step turns them (van
Laarhoven 2017, arXiv:1706.05350).

With `--checkpoint FILE` all that changes is written to FILE every so many steps: finished runs, and of the one under way the weights,
running statistics, the optimizer, the random state and the place in the data. After Ctrl-C, a kill or a power failure the same command
goes on from there, and ends with the same weights, bit by bit, as if nothing had happened.

    python examples/resnet.py [--seeds 3] [--steps 500] [--checkpoint FILE] [--every 100] [--quick] [--data DIR] [--out out]

`--data DIR`: a folder with the idx files of MNIST or Fashion-MNIST, plain or .gz. Without it, the digits.
"""

from itertools import islice, product
from pathlib import Path

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.data import Batches

METHODS = {  # the settings of each line of the table
    "none": {},
    "l2": {"penalty": nn.L2(1e-2)},
    "drop path": {"path": 0.5},
    "dropout": {"p": 0.5},
    "drop path + dropout": {"path": 0.5, "p": 0.5},
    "all three": {"path": 0.5, "p": 0.5, "penalty": nn.L2(1e-2)},
}
WIDTHS = 8, 16, 32  # channels of the stages; each but the first halves the image


def block(channels, width, stride, path, **settings):
    """relu(shortcut(x) + branch(x)). The branch is dropped with probability `path`, for each image by itself."""

    def convolution(channels, size, stride=1):
        return [
            nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False, **settings),
            nn.BatchNorm2d(width),
        ]

    branch = nn.Sequential(*convolution(channels, 3, stride), nn.ReLU(), *convolution(width, 3))
    changes = stride > 1 or channels != width
    return nn.Sequential(
        nn.Residual(
            branch, nn.Sequential(*convolution(channels, 1, stride)) if changes else None, path
        ),
        nn.ReLU(),
    )


class ResNet(nn.Module):
    """A convolution, which halves large images, a block a stage, the mean over the image, and a classifier, for images (N, 1, side, side)."""

    def __init__(self, side=8, path=0.0, p=0.0, penalty=None, rng=None):
        settings = {"init": nn.he_normal, "penalty": penalty, "rng": rng}
        self.conv = nn.Conv2d(1, WIDTHS[0], 3, 1 + (side > 16), padding=1, bias=False, **settings)
        self.norm = nn.BatchNorm2d(WIDTHS[0])
        self.blocks, channels = [], WIDTHS[0]
        for i, width in enumerate(WIDTHS, start=1):  # the last block has the rate `path`
            self.blocks.append(
                block(channels, width, 1 + (i > 1), path * i / len(WIDTHS), **settings)
            )
            channels = width
        self.drop = nn.Dropout(p)
        self.out = nn.Linear(WIDTHS[-1], 10, bias_init=nn.zeros, **settings)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        for stage in self.blocks:
            x = stage(x)
        return self.out(self.drop(x.mean(axis=(2, 3))))


class Training:
    """A run of a method. Its state_dict is all that another process needs to go on with it."""

    def __init__(self, method, seed, steps, folder=None):
        self.parts = study.squares(seed, folder)
        mg.manual_seed(seed)
        self.steps, self.curve = steps, []  # rows of the step and `study.point`
        self.model = ResNet(
            self.parts[0][0].shape[-1], **METHODS[method], rng=np.random.default_rng(seed)
        )  # the same start for every method
        self.optimizer = optim.SGD(
            self.model.parameters(),
            lr=optim.cosine(0.1, steps, warmup=20),
            momentum=0.9,
            nesterov=True,
        )
        self.batches = Batches(*self.parts[0], rng=seed)

    def run(self, until):
        """Trains until so many steps are done."""
        while (done := self.optimizer.steps) < until:
            for x, y in islice(self.batches, until - done):
                self.optimizer.zero_grad()
                (F.cross_entropy(self.model(x), y) + self.model.penalty()).backward()
                self.optimizer.step()
                if study.is_on_curve(step := self.optimizer.steps, self.steps, every=25):
                    self.curve.append([step, *study.point(self.model, *self.parts)])

    def state_dict(self):
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "batches": self.batches,
            "curve": self.curve,
            "rng": mg.get_rng_state(),
        }

    def load_state_dict(self, state):
        for name in ("model", "optimizer", "batches"):
            getattr(self, name).load_state_dict(state[name])
        self.curve = state["curve"]
        mg.set_rng_state(state["rng"])


def opened(file, seeds, steps, folder=None):
    """The study that the checkpoint `file` holds, or, if there is none, one that is yet to begin."""
    settings = {"seeds": seeds, "steps": steps, "data": folder and str(folder)}
    if file is None or not Path(file).exists():
        return {"settings": settings, "finished": {}, "under way": None}
    saved = mg.load(file)
    if saved.get("settings") != settings:
        raise ValueError(
            f"{file} is of another study: {saved.get('settings')}, not {settings}. Name another file."
        )
    return saved


def train(saved, every=100, file=None):
    """Trains what is not finished, one run after the other: {"method, seed 0": {"curve", "model"}}. Saved to `file` every so many steps."""
    settings, finished, state = saved["settings"], saved["finished"], saved["under way"]
    steps, runs = settings["steps"], list(product(METHODS, range(settings["seeds"])))
    with tqdm(total=len(runs) * steps, desc="training", unit="step") as bar:
        for method, seed in runs:
            if (name := f"{method}, seed {seed}") in finished:
                bar.update(steps)
                continue
            training = Training(method, seed, steps, settings["data"])
            if state is not None:  # it is of the first run that is not finished
                training.load_state_dict(state)
                state = None
            bar.update(training.optimizer.steps)
            while (done := training.optimizer.steps) < steps:
                until = min(done + every, steps)
                training.run(until)
                bar.update(until - done)
                if file:
                    mg.save(
                        {"settings": settings, "finished": finished, "under way": training}, file
                    )
            finished[name] = {"curve": training.curve, "model": training.model.state_dict()}
    if file:
        mg.save({"settings": settings, "finished": finished, "under way": None}, file)
    return finished


def complete_loss(folder=None):
    """The loss with everything that any method has, on four images."""
    (images, labels), _, _ = study.squares(0, folder)
    mg.manual_seed(0)
    model = ResNet(images.shape[-1], **METHODS["all three"], rng=np.random.default_rng(0))
    return F.cross_entropy(model(images[:4]), labels[:4]) + model.penalty()


def main():
    numbers = {
        "seeds": (3, 1, "runs of each method"),
        "steps": (500, 10, "updates a run"),
        "every": (100, 5, "steps between checkpoints"),
    }
    parser = study.parser(__doc__, data=study.squares, **numbers)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="where the training is saved, and goes on from if the file is there",
    )
    options = parser.parse_args()
    try:
        saved = opened(options.checkpoint, options.seeds, options.steps, options.data)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    title = "ResNet's loss: cross-entropy, drop path, dropout, L2"
    passed, drawn = study.check(
        complete_loss(options.data), title, options.out / "resnet_graph.png", depth=1
    )
    try:
        runs = train(saved, options.every, options.checkpoint)
    except KeyboardInterrupt:
        print(
            f"\nInterrupted. The same command goes on from {options.checkpoint}."
            if options.checkpoint
            else "\nInterrupted."
        )
        return 130
    results = {
        method: [runs[f"{method}, seed {seed}"]["curve"] for seed in range(options.seeds)]
        for method in METHODS
    }
    study.table(results, ["none"])
    print(
        f"\nMeans over {study.count(options.seeds, 'seed')}; ± is the standard deviation. Accuracies in per cent; 'minus none' is paired by seed, in points."
    )
    print(
        "The training labels are wrong for one image in five, so 100% on them is learning by heart."
    )
    print("'stopped early': the test accuracy at the step with the lowest validation loss.")
    study.plot(
        results, ["none", "drop path", "dropout", "drop path + dropout"], options.out / "resnet.png"
    )
    for path in drawn:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

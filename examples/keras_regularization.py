"""How is the classic regularized Keras model written in minigrad, line for line, and what do its two regularizers buy?

Dense, L2, dropout, Adam and categorical cross-entropy, trained on the digits. Each line of Keras stands as a comment above the one
of minigrad that does the same. Three things look different:

- the softmax is part of `F.cross_entropy`, which takes scores and class numbers (Keras: probabilities and one-hot rows);
- penalties are nodes that one adds to the loss, `+ model.penalty()` (Keras adds them unseen, to the validation loss as well);
- `fit` is a loop that one can read.

    python examples/keras_regularization.py [--seeds 5] [--epochs 40] [--quick] [--out out]
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np
from digits import noisy_split
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

TRAINING, VALIDATION = 1000, 300
EQUIVALENTS = [  # Keras, minigrad, what both compute
    ("Dense(128)", "nn.Linear(features, 128)", "x W.T + b; Keras keeps the transpose, (in, out)"),
    (
        'kernel_initializer="glorot_uniform"',
        "init=nn.glorot_uniform",
        "U(-a, a), a = sqrt(6 / (fan_in + fan_out)): Keras's default",
    ),
    ('bias_initializer="zeros"', "bias_init=nn.zeros", "0: Keras's default"),
    (
        "kernel_regularizer=l2(0.001)",
        "penalty=nn.L2(0.001)",
        "0.001 * sum w^2, a sum and no mean (PyTorch: weight_decay=0.002)",
    ),
    ("bias_regularizer=None", "bias_penalty=None", "biases are not penalised: the default of both"),
    ('activation="relu"', "nn.ReLU()", "max(x, 0)"),
    (
        "Dropout(0.5)",
        "nn.Dropout(0.5)",
        "drops with probability 0.5, scales the rest by 2; nothing in evaluation",
    ),
    (
        'Dense(10, activation="softmax")',
        "nn.Linear(hidden, 10)",
        "scores; the softmax is in the loss, where it is stable",
    ),
    (
        'loss="categorical_crossentropy"',
        "F.cross_entropy(scores, classes)",
        "the mean of -log softmax(scores)[class]",
    ),
    ("(added unseen)", "+ model.penalty()", "the penalties, as nodes of the loss"),
    (
        'optimizer="adam"',
        "optim.Adam(..., lr=1e-3, eps=1e-7)",
        "Keras's epsilon; minigrad's and PyTorch's is 1e-8",
    ),
    (
        "fit(..., validation_data=...)",
        "the loop in fit()",
        "training numbers are means over the batches, with dropout on",
    ),
]


def build(seed, c=0.001, p=0.5):
    rng = np.random.default_rng(seed)
    keras = {"init": nn.glorot_uniform, "bias_init": nn.zeros, "rng": rng}
    # model = keras.Sequential([keras.Input((64,)),
    return nn.Sequential(
        #     layers.Dense(128, activation="relu", kernel_regularizer=regularizers.l2(0.001)),
        dense1=nn.Linear(64, 128, penalty=nn.L2(c), **keras),
        relu1=nn.ReLU(),
        #     layers.Dropout(0.5),
        drop1=nn.Dropout(p),
        #     layers.Dense(64, activation="relu", kernel_regularizer=regularizers.l2(0.001)),
        dense2=nn.Linear(128, 64, penalty=nn.L2(c), **keras),
        relu2=nn.ReLU(),
        #     layers.Dropout(0.5),
        drop2=nn.Dropout(p),
        #     layers.Dense(10, activation="softmax")])
        dense3=nn.Linear(64, 10, **keras),
    )


# model.evaluate(x, y)
def evaluate(model, x, y):
    """(loss with penalties, accuracy, cross-entropy alone), without dropout."""
    model.eval()
    with mg.no_grad():
        scores = model(x)
        entropy = F.cross_entropy(scores, y)
        loss = entropy + model.penalty()
    model.train()
    return loss.item(), np.mean(scores.data.argmax(axis=1) == y), entropy.item()


# model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
# history = model.fit(x, y, epochs=40, batch_size=32, validation_data=validation)
def fit(model, x, y, validation, epochs, seed, batch_size=32):
    """{name: a number an epoch}, with Keras's names, and `clean accuracy`: on the training images without dropout."""
    optimizer = optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)  # Keras's epsilon
    rng, history = (
        np.random.default_rng(seed),
        {"loss": [], "accuracy": [], "val_loss": [], "val_accuracy": [], "clean accuracy": []},
    )
    for _ in range(epochs):
        losses, right, order = 0.0, 0, rng.permutation(len(y))
        for start in range(0, len(y), batch_size):
            rows = order[start : start + batch_size]
            optimizer.zero_grad()
            scores = model(x[rows])
            loss = F.cross_entropy(scores, y[rows]) + model.penalty()
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(rows)
            right += np.sum(scores.data.argmax(axis=1) == y[rows])
        val_loss, val_accuracy, _ = evaluate(model, *validation)
        for name, value in zip(
            history,
            [losses / len(y), right / len(y), val_loss, val_accuracy, evaluate(model, x, y)[1]],
        ):
            history[name].append(value)
    return history


def train(seeds, epochs):
    """{(c, p): [(test accuracy, test cross-entropy, training accuracy) a seed]}, and the model, history and data of seed 0 with both."""
    results, first = {}, None
    settings = [(0.0, 0.0), (0.001, 0.0), (0.0, 0.5), (0.001, 0.5)]
    with tqdm(total=len(settings) * seeds, desc="training", unit="run") as bar:
        for c, p in settings:
            for seed in range(seeds):
                (x, y), validation, test = noisy_split(seed, TRAINING, VALIDATION, noise=0)
                mg.manual_seed(seed)
                model = build(seed, c, p)
                history = fit(model, x, y, validation, epochs, seed)
                _, accuracy, entropy = evaluate(model, *test)
                results.setdefault((c, p), []).append(
                    (100 * accuracy, entropy, 100 * history["clean accuracy"][-1])
                )
                if (c, p, seed) == (0.001, 0.5, 0):
                    first = model, history, (x, y)
                bar.update()
    return results, first


def tables(results, model, data):
    x, y = data
    width = max(len(k) for k, _, _ in EQUIVALENTS), max(len(m) for _, m, _ in EQUIVALENTS)
    print(f"\n{'Keras':{width[0]}}  {'minigrad':{width[1]}}  what both compute")
    for keras, mini, meaning in EQUIVALENTS:
        print(f"{keras:{width[0]}}  {mini:{width[1]}}  {meaning}")
    print("\nmodel.summary()  ->  mg.summary(model, 64)")
    print(mg.summary(model, 64))
    model.train()
    loss = F.cross_entropy(model(x[:32]), y[:32]) + model.penalty()
    print(
        "\nWhat the loss of the last model is a sum of, on 32 training images, dropout on: mg.terms(loss)"
    )
    print(mg.terms(loss))

    names = {
        (0.0, 0.0): "none",
        (0.001, 0.0): "l2(0.001)",
        (0.0, 0.5): "Dropout(0.5)",
        (0.001, 0.5): "both: the classic model",
    }
    base = np.array(results[0.0, 0.0])
    count = len(base)
    print(
        f"\n{'':26}{'train acc':>10}{'test acc':>10}{'minus none':>16}{'test cross-entropy':>20}{'minus none':>18}"
    )
    for key, name in names.items():
        runs = np.array(results[key])
        accuracy, entropy, train = runs.mean(axis=0)
        change, error = (runs - base).mean(axis=0), study.error(runs - base)
        paired = [
            f"{change[i]:+.{d}f} ± {error[i]:.{d}f}" if key != (0.0, 0.0) else ""
            for i, d in ((0, 2), (1, 3))
        ]
        print(
            f"{name:26}{train:9.2f}%{accuracy:9.2f}%{paired[0]:>16}{entropy:20.3f}{paired[1]:>18}".rstrip()
        )
    print(
        f"\nMeans over {study.count(count, 'seed')}, differences paired by seed, ± standard error. Training accuracy without dropout."
    )
    print(
        "With clean labels and a task this easy neither buys anything. For what both do where labels are wrong, see regularization.py."
    )


def plot(history, path):
    """Loss and accuracy against the epoch, training and validation, as everybody plots a Keras history."""
    figure, (left, right) = study.figure(12, 4.6, 1, 1)
    epochs = np.arange(1, len(history["loss"]) + 1)
    for axis, name, factor in ((left, "loss", 1), (right, "accuracy", 100)):
        axis.plot(
            epochs,
            factor * np.array(history[name]),
            "-",
            color="#D55E00",
            linewidth=2,
            label="training, dropout on",
        )
        axis.plot(
            epochs,
            factor * np.array(history[f"val_{name}"]),
            "--",
            color="#0072B2",
            linewidth=2,
            label="validation, dropout off",
        )
        axis.set(xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    right.plot(
        epochs,
        100 * np.array(history["clean accuracy"]),
        ":",
        color="#111111",
        linewidth=2,
        label="training images, dropout off",
    )
    left.set(
        title="Validation below training: dropout is on only in training",
        ylabel="cross-entropy + L2 penalties",
        ylim=(0, None),
    )
    right.set(
        title="Without dropout the training images come out on top again",
        ylabel="accuracy, per cent",
        ylim=(None, 101),
    )
    left.legend(frameon=False)
    right.legend(frameon=False, loc="lower right")
    study.save(figure, path)


def main():
    options = study.parser(
        __doc__, least=2, seeds=(5, 2, "runs of each setting"), epochs=(40, 5, "epochs a run")
    ).parse_args()
    results, (model, history, data) = train(options.seeds, options.epochs)
    tables(results, model, data)
    plot(history, options.out / "keras_history.png")


if __name__ == "__main__":
    main()

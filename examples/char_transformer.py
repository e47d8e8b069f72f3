"""What do dropout and L2 do for a small transformer that could learn its text by heart?

Two blocks (pre-norm, causal attention, four heads) predict the next character of a text, by default of the first 20,000 characters of
the manual that comes with Python (another version of Python has another text, and other numbers). Before training, the gradient of the
complete loss (cross-entropy, dropout on attention weights and branches, an L2 node) is checked on its own recorded graph. Tables of
counts, trained on the same text, say what the numbers are worth. At the end passages are written.

    python examples/char_transformer.py [--text FILE] [--seeds 2] [--steps 1000] [--quick] [--out out]

Written to out/: learning curves and the picture of the graph, folded to its blocks.
"""

from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

METHODS = {  # the settings of each line of the table
    "none": {},
    "l2": {"c": 3e-4},
    "dropout": {"p": 0.1},
    "dropout + l2": {"p": 0.1, "c": 3e-4},
}
CONTEXT, WIDTH, HEADS, BLOCKS, BATCH = 64, 64, 4, 2, 16
SHORTEST, MANUAL, MOST_VALIDATION = 2_000, 20_000, 20_000  # characters
BASELINES = {"letters": 1, "bigrams": 2, "4-grams": 4}


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), with dropout at the end of each branch."""

    def __init__(self, width, heads, p, rng):
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=p, batch_first=True, rng=rng)
        self.drop1 = nn.Dropout(p)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, rng=rng)
        self.down = nn.Linear(4 * width, width, rng=rng)
        self.drop2 = nn.Dropout(p)

    def forward(self, x):
        y = self.norm1(x)
        attended, _ = self.attention(y, y, y, is_causal=True, need_weights=False)
        x = x + self.drop1(attended)
        return x + self.drop2(self.down(F.gelu(self.up(self.norm2(x)), "tanh")))


class Transformer(nn.Module):
    """Characters (N, T) to the scores of those that follow, (N, T, letters)."""

    def __init__(self, letters, p=0.0, width=WIDTH, rng=None):
        rng = np.random.default_rng() if rng is None else rng
        self.characters = nn.Embedding(letters, width, init=small, rng=rng)
        self.positions = nn.Embedding(CONTEXT, width, init=small, rng=rng)
        self.blocks = [Block(width, HEADS, p, rng) for _ in range(BLOCKS)]
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, letters, rng=rng)

    def forward(self, x):
        x = self.characters(x) + self.positions(np.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


def small(rng, shape, fan_in, fan_out):
    """N(0, 0.02^2), as of GPT-2."""
    return rng.normal(0, 0.02, shape)


# ---- the text


def manual():
    """The beginning of Python's manual as `help` prints it, topic after topic, which comes with every Python."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))[:MANUAL]


@cache
def read(file=None):
    """(all characters, train, validation) of a text, or of the manual; the last two as numbers of characters. Validation is the last tenth."""
    text = Path(file).read_text(encoding="utf-8") if file else manual()
    if len(text) < SHORTEST:
        raise ValueError(
            f"{file}: {len(text)} characters are too few to train on and to validate; {SHORTEST} are needed."
        )
    letters = sorted(set(text))
    number = {letter: i for i, letter in enumerate(letters)}
    codes = np.array([number[letter] for letter in text])
    held_out = min(len(codes) // 10, MOST_VALIDATION)
    return "".join(letters), codes[:-held_out], codes[-held_out:]


def by_counts(train, validation, letters, order):
    """Bits a character if the next is guessed from counts of what followed the last `order` - 1: Witten & Bell's (1991) mixture of all orders."""
    followed = defaultdict(Counter)  # what came before -> what came next
    train, text = (
        train.tolist(),
        np.concatenate([train[len(train) - order + 1 :], validation]).tolist(),
    )
    for k in range(order):
        for i in range(k, len(train)):
            followed[tuple(train[i - k : i])][train[i]] += 1
    bits = 0.0
    for i in range(order - 1, len(text)):
        p = 1 / letters
        for k in range(order):
            if seen := followed.get(tuple(text[i - k : i])):
                p = (seen[text[i]] + len(seen) * p) / (seen.total() + len(seen))
        bits -= np.log2(p)
    return bits / len(validation)


# ---- training


def windows(codes, starts):
    """Characters (N, CONTEXT), and those that follow."""
    rows = codes[np.asarray(starts)[:, None] + np.arange(CONTEXT + 1)]
    return rows[:, :-1], rows[:, 1:]


def evaluate(model, codes):
    """Bits a character in evaluation mode, each predicted from half a context or more; the last few, less than half a context, are left out."""
    model.eval()
    half, losses = CONTEXT // 2, []
    x, y = windows(codes, range(0, len(codes) - CONTEXT, half))
    with mg.no_grad():
        for start in range(0, len(x), 64):
            scores = model(x[start : start + 64])[:, half:]
            losses.append(
                F.cross_entropy(
                    np.moveaxis(scores, -1, 1), y[start : start + 64, half:], reduction="none"
                ).data
            )
    model.train()
    return np.concatenate(losses).mean() / np.log(2)


def loss_of(model, x, y, c=0.0):
    scores = model(x)
    loss = F.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.ravel())
    return loss + nn.penalty(model, nn.L2(c)) if c else loss


def train(method, seed, file, steps):
    """One run: its learning curve, (step, bits in training, bits in validation), and the model's state."""
    settings = dict(METHODS[method])
    c = settings.pop("c", 0.0)
    letters, codes, validation = read(file)
    validation = np.concatenate(
        [codes[-CONTEXT // 2 :], validation]
    )  # what comes before it, as context
    mg.manual_seed(seed)
    model = Transformer(
        len(letters), **settings, rng=np.random.default_rng(seed)
    )  # the same start for every method
    optimizer = optim.Adam(
        model.parameters(), lr=optim.cosine(5e-3, steps, warmup=min(50, steps // 10))
    )
    rng, curve = np.random.default_rng(seed), []
    for step in range(steps):
        x, y = windows(codes, rng.integers(0, len(codes) - CONTEXT, BATCH))
        optimizer.zero_grad()
        loss_of(model, x, y, c).backward()
        optimizer.step()
        if study.is_on_curve(step + 1, steps):
            curve.append(
                (step + 1, evaluate(model, codes[: len(validation)]), evaluate(model, validation))
            )
    return np.array(curve), model.state_dict()


def write(model, letters, start, count, temperature=0.8, seed=0):
    """`count` characters that the model draws one after the other, each from all it has (at most CONTEXT)."""
    rng, codes = np.random.default_rng(seed), [letters.index(letter) for letter in start]
    model.eval()
    with mg.no_grad():
        for _ in range(count):
            scores = model(np.array([codes[-CONTEXT:]]))[0, -1]
            codes.append(
                int(
                    rng.choice(
                        len(letters), p=F.softmax(scores.astype(np.float64) / temperature).data
                    )
                )
            )
    return "".join(letters[code] for code in codes[len(start) :])


def complete_loss(file):
    """The training loss with noise and penalty, of a narrower network on two pieces of the text."""
    letters, codes, _ = read(file)
    mg.manual_seed(0)
    model = Transformer(len(letters), p=0.1, width=16, rng=np.random.default_rng(0))
    x, y = windows(codes, [0, CONTEXT])
    return loss_of(model, x[:, :8], y[:, :8], c=3e-4)


# ---- report


def table(curves, baselines):
    """`curves`: {method: (seeds, points, 3)}."""
    print(
        f"\n{'bits a character':20}{'training':>10}{'validation':>17}{'minus none':>17}{'lowest':>9}{'at step':>9}"
    )
    for name, bits in baselines.items():
        print(f"{name:20}{'':10}{bits:>17.3f}")
    for method, runs in curves.items():
        last = runs[:, -1]
        paired = (
            study.spread(last[:, 2] - curves["none"][:, -1, 2], "+.3f") if method != "none" else ""
        )
        best, step = np.mean([run[run[:, 2].argmin(), [2, 0]] for run in runs], axis=0)
        print(
            f"{method:20}{last[:, 1].mean():10.3f}{study.spread(last[:, 2], '.3f'):>17}{paired:>17}{best:9.3f}{step:9.0f}"
        )
    print(
        f"\nMeans over {study.count(len(runs), 'seed')}; ± is the standard deviation. Less is better; 'minus none' is paired by seed."
    )
    print(
        "letters, bigrams, 4-grams: guesses from counts of the training text, mixed with those of shorter contexts (Witten & Bell 1991)."
    )
    print(
        "'lowest': the validation at its lowest point, as if one had stopped there. Far above it at the end, and far above training: learned by heart."
    )


def plot(curves, baselines, path):
    """Bits a character in training and in validation, means over the seeds."""
    figure, panels = study.figure(11, 4.6, 1, 1, sharey=True)
    for axis, column, name in zip(
        panels, (1, 2), ("The text it was trained on", "The text it was not trained on")
    ):
        study.draw_curves(axis, curves, column)
        axis.set(title=name)
    for name in list(baselines)[1:]:
        panels[1].axhline(baselines[name], color="#999999", linewidth=1, linestyle=":")
        panels[1].annotate(
            name,
            (1.01, baselines[name]),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color="#666666",
        )
    panels[0].set_ylabel("bits a character")
    panels[0].legend(frameon=False, loc="lower left")
    study.save(figure, path)


def main():
    parser = study.parser(
        __doc__, seeds=(2, 1, "runs of each method"), steps=(1000, 20, "updates a run")
    )
    parser.add_argument(
        "--text",
        type=study.readable(read),
        metavar="FILE",
        help="a text in UTF-8 (default: the beginning of Python's manual)",
    )
    options = parser.parse_args()
    letters, codes, validation = read(options.text)
    source = options.text or "Python's manual"
    print(
        f"{source}: {len(codes):,} characters to train on, {len(validation):,} to validate, {len(letters)} different ones"
    )

    title, graph = (
        "cross-entropy + dropout + L2, two blocks of width 16",
        options.out / "char_transformer_graph",
    )
    passed, drawn = study.check(
        complete_loss(options.text),
        title,
        graph.with_suffix(".svg"),
        graph.with_suffix(".png"),
        depth=1,
    )
    baselines = {
        name: by_counts(codes, validation, len(letters), order) for name, order in BASELINES.items()
    }
    results = study.runs(train, METHODS, options.seeds, file=options.text, steps=options.steps)
    curves = {method: np.array([curve for curve, _ in runs]) for method, runs in results.items()}
    table(curves, baselines)

    best = min(METHODS, key=lambda method: np.mean(curves[method][:, -1, 2]))
    start, model = "".join(letters[code] for code in codes[-CONTEXT:]), Transformer(len(letters))
    for method in dict.fromkeys(["none", best]):
        model.load_state_dict(results[method][0][1])
        print(
            f"\n'{method}' writes on, {curves[method][0, -1, 2]:.2f} bits a character from the text it was not trained on:\n"
        )
        print(write(model, letters, start, 60 if options.quick else 300))
    print()
    plot(curves, baselines, options.out / "char_transformer.png")
    for path in drawn:
        print("wrote", path)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

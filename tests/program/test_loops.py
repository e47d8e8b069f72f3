"""Repeated lines of programs are loops, which give the same bits."""

import re
import runpy

import numpy as np
import pytest
from helpers import leaf
from test_reading import assert_equal, body

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

pytestmark = pytest.mark.usefixtures("seeded", "as_before")


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    """A function that writes a loss out, asserts that the file gives the same bits, returns it."""
    monkeypatch.chdir(tmp_path)

    def write(loss):
        program = mg.write_out(loss, to_file="program.py")
        names = runpy.run_path("program.py")
        capsys.readouterr()
        assert_equal({"loss": np.asarray(names["loss"])} | names["gradients"], loss)
        return program

    return write


class Block(nn.Module):
    def __init__(self, size, heads):
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, heads)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        n = self.norm1(x)
        x = x + self.attention(n, n, n, is_causal=True)[0]
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


def transformer(depth):
    tokens, blocks = nn.Embedding(11, 8), nn.Sequential(*[Block(8, 2) for _ in range(depth)])
    model = nn.Sequential(tokens=tokens, blocks=blocks, norm=nn.LayerNorm(8), head=nn.Linear(8, 11))
    x = np.arange(12).reshape(2, 6) % 11
    return F.cross_entropy(np.reshape(model(x), (12, 11)), x.ravel())


def test_the_program_of_a_transformer_does_not_grow_with_its_depth(written):
    two, five = (str(written(transformer(depth))) for depth in (2, 5))
    for deep, size in (two, 2), (five, 5):
        assert deep.count("for b in blocks:\n") == 2  # the data and the forward pass
        assert deep.count("for b in reversed(blocks):\n") == 2  # the backward pass, the gradients
        assert f"blocks = [SimpleNamespace(i=i) for i in range({size})]" in deep
    without = [re.sub(r"\d+", "0", text) for text in (two, five)]
    assert without[0] == without[1]
    assert "    # blocks.*.up: Linear\n" in two and "    # blocks.*.norm1: LayerNorm\n" in two
    assert 'gradients[f"blocks.{b.i}.norm1.weight"] = b.g_norm1_weight' in two
    assert re.search(r"b.up_weight = data\[f\"blocks.{b.i}.up_weight\"\] +# \(16, 8\)\n", two)
    assert re.search(r"b.mask_drop = .* # \(2, 6, 8\) Bernoulli\(keep=0.9\)\n", two)


def test_the_program_of_a_deep_network_reads_as_if_written_by_hand(written):
    layers = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(9)]
    model = nn.Sequential(*layers)
    x = mg.Tensor(np.ones((4, 8), np.float32), name="x")
    program = written(np.sum(model(x)))
    assert body(program) == [
        "h = x",
        "for b in blocks:",
        "    b.h = np.tanh(h @ b.layer_0_weight.T + b.layer_0_bias)",
        "    h = b.h",
        "loss = h.sum()",
        "g_layer8_0 = 1 - h * h",
        "g = g_layer8_0",
        "for b in reversed(blocks[1:]):",
        "    b.g_layer_1 = g @ b.layer_0_weight",
        "    b.g_layer_0_weight = g.T @ blocks[b.i - 1].h",
        "    b.g_layer_0_bias = g.sum(axis=0)",
        "    b.g = b.g_layer_1 - b.g_layer_1 * blocks[b.i - 1].h * blocks[b.i - 1].h",
        "    g = b.g",
        "g_layer0_0_weight = g.T @ x",
        "g_layer0_0_bias = g.sum(axis=0)",
    ]


def test_the_steps_of_a_recurrent_net_are_a_loop(written):
    w, u = leaf(np.eye(3) / 2, name="w"), leaf(np.eye(3), name="u")
    x, h = leaf(np.linspace(-1, 1, 36).reshape(12, 3), name="x"), mg.Tensor(np.zeros(3))
    for i in range(12):
        h = np.tanh(x[i] @ u + h @ w)
    lines = body(written(h @ h))
    assert "    b.h = np.tanh(x[b.i + 1] @ u + h @ w)" in lines
    assert any(line.startswith("    g_w += ") and "blocks[b.i - 1].h" in line for line in lines)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_layers_give_the_same_bits(kind, layers, written):
    model, x = kind(4, 3, num_layers=layers), np.linspace(-1, 1, 80).reshape(10, 2, 4)
    out, _ = model(x.astype(np.float32))
    assert str(written(np.sum(out * out))).count("\nfor b") >= 2


STEPS = [
    np.tanh,
    lambda h, a, w, s: h * a,
    lambda h, a, w, s: h @ w,
    lambda h, a, w, s: h + np.sum(h * a),
    lambda h, a, w, s: np.maximum(h, a),
    lambda h, a, w, s: np.where(h > 0, h, a * h),
    lambda h, a, w, s: F.dropout(h, 0.2, training=True),
    lambda h, a, w, s: np.concatenate([h[2:] * a[:2], h[:2]]),
    lambda h, a, w, s: h[[0, 2, 1, 1]],
    lambda h, a, w, s: F.layer_norm(h + s, 4),
    lambda h, a, w, s: h / np.sqrt(1 + np.sum(h * h)),
]
STEPS[0] = lambda h, a, w, s: np.tanh(h)


@pytest.mark.parametrize("seed", range(40))
def test_random_steps_give_the_same_bits(seed, written):
    """The steps share parameters or have their own, and hand on a vector, and a number too."""
    rng = np.random.default_rng(seed)
    count, which = rng.integers(3, 9), rng.choice(len(STEPS), rng.integers(1, 6))
    is_shared, has_number, adds_up, skips = rng.random(4) < 0.4

    def parameters():
        return [leaf(rng.uniform(-1, 1, shape)) for shape in ((4,), (4, 4), ())]

    own = [parameters() for _ in range(count)]
    x, number, total = leaf(rng.uniform(-1, 1, (count, 4))), leaf(0.5), 0
    h = x[0]
    for i in range(count):
        a, w, s = own[0] if is_shared else own[i]
        before, h = h, h + x[i]
        for k in which:
            h = STEPS[k](h, a, w, s)
        h = h + before if skips else h
        if has_number:
            number = number * np.tanh(s) + np.mean(h)
            h = h + number
        total = total + np.sum(h * h) if adds_up else total
    written(np.sum(h * h) + number + total)


def test_lines_that_repeat_in_one_pass_alone_are_no_loop(written):
    parts = [leaf(np.ones(n), name=f"part{n}") for n in range(2, 12)]  # broadcast to their shapes
    text = str(written(np.sum(np.stack([np.sum(np.exp(part)) for part in parts]) ** 2)))
    assert "for b in" not in text and "SimpleNamespace" not in text


def test_a_first_step_that_takes_two_values_is_outside_the_loop(written):
    x, y = leaf(np.full(3, 0.3), name="x"), leaf(np.full(3, -0.7), name="y")
    h, *others = np.tanh(x * leaf(np.ones(3)) + y), *[leaf(np.full(3, n / 9)) for n in range(8)]
    for w in others:
        h = np.tanh(h * w + h)
    assert "tanh = np.tanh(x * parameter + y)" in body(written(np.sum(h)))


def test_names_with_quotes_and_braces_are_keys(written):
    parts = [leaf(np.ones(3), name=f'p{{x}} "{n}"') for n in range(8)]
    h = mg.Tensor(np.ones(3))
    for part in parts:
        h = np.tanh(h * part)
    assert 'p{x} \\"0\\"' in str(written(np.sum(h)))


def test_arrays_with_names_like_keys_keep_their_values(written):
    parts = [leaf(np.full(3, n + 1.0), name=f"w{n}") for n in range(8)]
    others = [leaf(np.full(3, -n - 1.0), name=f"w_{n}") for n in range(8)]
    h = np.sum(np.stack(others), axis=0)
    for part in parts:
        h = np.tanh(h * part)
    assert 'b.w = data[f"blocks.{b.i}.w"]' in str(written(np.sum(h)))


def test_gradients_have_the_names_of_their_leaves(written):
    two = [leaf(np.full(3, n), name="w") for n in (1.0, 2.0)]
    lines = body(written(np.sum(np.exp(two[0]) * np.sin(two[1]))))
    assert "g_w = sin * exp" in lines and lines[0] == "exp = np.exp(w)"


def test_products_with_the_gradient_of_a_sum_give_the_same_bits(written):
    rng = np.random.default_rng(0)
    for _ in range(20):
        written(np.sum(leaf(rng.normal(size=4)) @ leaf(rng.normal(size=(4, 4)))))

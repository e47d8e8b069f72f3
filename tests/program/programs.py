"""Random losses, and networks, for the tests of programs."""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

DTYPES = np.float32, np.float64, np.float16
SHAPES = (3, 4), (4,), (3, 1), (1,), (), (2, 3, 4)
UNARY = [np.tanh, np.sin, np.square, np.exp, F.relu, F.sigmoid, F.softplus, F.softmax]
UNARY += [np.cumsum, np.abs, F.gelu, lambda x: x**3, lambda x: 0.5 - x, lambda x: x / 3, F.elu]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.hypot, np.logaddexp]
BINARY[5] = lambda x, y: np.where(x > y, x, 0.3 * y)  # a comparison of values
BINARY += [lambda x, y: x / (1 + y * y), lambda x, y: np.stack([x + y, x - y])]
REDUCTIONS = [np.sum, np.mean, np.max, np.var, np.std, F.logsumexp]


def _moved(rng, x):
    """x read by an index, in another shape, in parts, or with some entries dropped."""
    kind = rng.integers(7)
    if kind == 0:
        return F.dropout(x, 0.3, training=True)
    if x.ndim == 0:
        return F.gaussian_noise(x, 0.1, training=True)
    n = len(x)
    if kind == 1:
        return x[rng.integers(0, n, 5)]  # an entry may be read twice
    if kind == 2:
        return np.concatenate([x[: n // 2], x[::-1], x[-1:]])
    if kind == 3:
        return np.reshape(x, -1)
    if kind == 4:
        return x.T
    if kind == 5:
        return x[..., None] + x[0]
    return x[np.argsort(x, axis=0)[0]] if x.ndim == 1 else np.swapaxes(x, 0, -1)[0]


def random_loss(seed, dtype):
    """(parameters, loss): a random function of an array (3, 4) with 12 steps.

    It broadcasts, uses results and parameters several times, reads entries and draws noise.
    """
    rng = np.random.default_rng(seed)
    parameters = [mg.Tensor(rng.normal(size=s), True, dtype=dtype) for s in SHAPES]
    choices = rng.integers(0, 2**31, 12)

    def loss(x):
        known, terms = [x, *parameters], []
        for choice in choices:
            rng = np.random.default_rng(choice)
            a, b = (known[i] for i in rng.integers(0, len(known), 2))
            kind = rng.integers(4)
            try:
                if kind == 0:
                    new = UNARY[rng.integers(len(UNARY))](a)
                elif kind == 1:
                    new = BINARY[rng.integers(len(BINARY))](a, b)
                elif kind == 2 and a.ndim:
                    axis = int(rng.integers(a.ndim))
                    keepdims = bool(rng.integers(2))
                    reduce = REDUCTIONS[rng.integers(len(REDUCTIONS))]
                    new = reduce(a, axis=axis, keepdims=keepdims)
                else:
                    new = _moved(rng, a)
            except ValueError:  # the shapes do not fit
                new = a * 2 - a
            if new.size > 5000:
                new = np.mean(new, axis=0)
            known.append(np.tanh(new))
            terms.append(np.mean(known[-1]))
        return sum(terms) + sum(np.mean(p * p) for p in parameters)

    return parameters, loss


def mlp():
    model = nn.Sequential(
        nn.Linear(6, 8, penalty=nn.L2(0.01)),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(8, 3, penalty=nn.L1(0.001)),
    )
    return model, lambda x, y: F.cross_entropy(model(x), y) + model.penalty()


def conv():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.Linear(3, 3),
    )
    return model, lambda x, y: F.cross_entropy(model(np.reshape(x, (-1, 1, 2, 3))), y)


class _Sequence(nn.Module):
    def __init__(self, layer):
        self.layer, self.out = layer, nn.Linear(4, 3)

    def forward(self, x):
        out = self.layer(np.reshape(x, (3, -1, 2)))[0]
        return self.out(out[-1])


def lstm():
    model = _Sequence(nn.LSTM(2, 4, num_layers=2, dropout=0.2, variational=True))
    return model, lambda x, y: F.cross_entropy(model(x), y)


def gru():
    model = _Sequence(nn.GRU(2, 2, bidirectional=True, recurrent_dropout=0.2))
    return model, lambda x, y: F.cross_entropy(model(x), y)


class _Attention(nn.Module):
    def __init__(self):
        self.up, self.norm = nn.Linear(2, 4), nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True)
        self.out = nn.Linear(12, 3)

    def forward(self, x):
        x = self.up(np.reshape(x, (-1, 3, 2)))
        y = self.norm(x)
        x = x + self.attention(y, y, y, is_causal=True, need_weights=False)[0]
        return self.out(F.gelu(np.reshape(x, (-1, 12)), "tanh"))


def attention():
    model = _Attention()
    return model, lambda x, y: F.cross_entropy(model(x), y, label_smoothing=0.1)


NETWORKS = [mlp, conv, lstm, gru, attention]


def batch(seed, rows=5):
    """x (rows, 6) and classes (rows,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 6)).astype(np.float32), rng.integers(0, 3, rows)

"""Every module of minigrad.nn, in training and in evaluation: compiled, written out, copied, saved.

A new module belongs into MODULES.
"""

import copy
import pickle
import runpy
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import normal

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.graph import nodes
from minigrad.names import leaf_names

pytestmark = pytest.mark.usefixtures("seeded", "as_before")

ROWS, SIGNALS, IMAGES, SEQUENCES = (4, 6), (4, 6, 5), (4, 6, 5, 4), (2, 3, 5)
PLAIN = "ReLU Sigmoid Tanh Softplus SiLU SELU GELU ELU CELU LeakyReLU Mish ReLU6 Hardtanh GLU PReLU"
PLAIN += " Hardsigmoid Hardswish Softsign LogSigmoid Hardshrink Softshrink Tanhshrink Identity"
PLAIN += " Flatten Softmin Softmax LogSoftmax Dropout DropPath AlphaDropout GaussianDropout RReLU"
POOLS = "MaxPool AvgPool AdaptiveAvgPool AdaptiveMaxPool"
LOSSES = "MSELoss L1Loss HuberLoss SmoothL1Loss KLDivLoss BCEWithLogitsLoss CosineSimilarity"
shares, labels = np.exp(-np.abs(normal(*ROWS, seed=1))).astype(np.float32), np.array([2, 0, 5, 2])


class Held(nn.Module):
    """Modules in a list or a dict."""

    def __init__(self, parts):
        self.parts = parts

    def forward(self, x):
        for part in self.parts.values() if isinstance(self.parts, dict) else self.parts:
            x = part(x)
        return x


class On(nn.Module):
    """A module that gets other arguments than x alone."""

    def __init__(self, inner, call):
        self.inner, self.call = inner, call

    def forward(self, x):
        return self.call(self.inner, x)


def to_itself(attention, x):
    return attention(x, x, x, is_causal=True)


def with_target(target, loss, x):
    return loss(x, target)


def with_two_targets(loss, x):
    return loss(x, shares, shares[::-1])


def flat(outputs):
    """All Tensors in nested tuples."""
    return [y for x in outputs for y in flat(x)] if isinstance(outputs, tuple) else [outputs]


# name, and some words to tell modules apart: (how it is made, the shape of x)
MODULES = {name: (getattr(nn, name), ROWS) for name in PLAIN.split()}
MODULES |= {f"{name}1d": (partial(getattr(nn, f"{name}1d"), 3), SIGNALS) for name in POOLS.split()}
MODULES |= {f"{name}2d": (partial(getattr(nn, f"{name}2d"), 3), IMAGES) for name in POOLS.split()}
for kind in "Conv", "ConvTranspose":
    for rank, shape in (1, SIGNALS), (2, IMAGES):
        make = partial(getattr(nn, f"{kind}{rank}d"), 6, 4, 3, stride=2, padding=1, groups=2)
        MODULES[f"{kind}{rank}d"] = make, shape
for kind in nn.RNN, nn.LSTM, nn.GRU:
    rates = {"dropout": 0.3, "recurrent_dropout": 0.2, "weight_dropout": 0.3, "variational": True}
    name, cell = kind.__name__, getattr(nn, f"{kind.__name__}Cell")
    MODULES[name] = partial(kind, 5, 3, bidirectional=True), SEQUENCES
    MODULES[f"{name} with noise"] = partial(kind, 5, 3, 2, batch_first=True, **rates), SEQUENCES
    MODULES[f"{name}Cell"] = partial(cell, 6, 3), ROWS
for name in LOSSES.split():
    call = partial(with_target, shares)
    MODULES[name] = (lambda name=name, call=call: On(getattr(nn, name)(), call)), ROWS
MODULES |= {
    "Threshold": (partial(nn.Threshold, 0.1, 0.2), ROWS),
    "GaussianNoise": (partial(nn.GaussianNoise, 0.2), ROWS),
    "Dropout1d": (nn.Dropout1d, SIGNALS),
    "Dropout2d": (nn.Dropout2d, IMAGES),
    "DropConnect": (lambda: nn.DropConnect(nn.Linear(6, 3)), ROWS),
    "Residual": (lambda: nn.Residual(nn.Linear(6, 6), drop_path=0.3), ROWS),
    "Linear": (partial(nn.Linear, 6, 3), ROWS),
    "Conv1d circular": (partial(nn.Conv1d, 6, 2, 3, 1, 1, padding_mode="circular"), SIGNALS),
    "MaxPool2d ceil": (partial(nn.MaxPool2d, 3, 2, 1, ceil_mode=True), IMAGES),
    "AvgPool2d ceil": (partial(nn.AvgPool2d, 3, 2, 1, ceil_mode=True), IMAGES),
    "Upsample": (partial(nn.Upsample, scale_factor=2, mode="linear"), SIGNALS),
    "BatchNorm1d": (partial(nn.BatchNorm1d, 6), ROWS),
    "BatchNorm2d": (partial(nn.BatchNorm2d, 6), IMAGES),
    "LayerNorm": (partial(nn.LayerNorm, (6, 5)), SIGNALS),
    "RMSNorm": (partial(nn.RMSNorm, 6), ROWS),
    "GroupNorm": (partial(nn.GroupNorm, 2, 6), SIGNALS),
    "InstanceNorm1d": (partial(nn.InstanceNorm1d, 6), SIGNALS),
    "InstanceNorm2d": (partial(nn.InstanceNorm2d, 6, affine=True), IMAGES),
    "MultiheadAttention": (
        lambda: On(nn.MultiheadAttention(5, 1, dropout=0.3, weight_dropout=0.2), to_itself),
        SIGNALS,
    ),
    "TransformerEncoderLayer": (partial(nn.TransformerEncoderLayer, 5, 1, 8), SIGNALS),
    "Embedding": (lambda: Held([np.argmax, nn.Embedding(24, 3, padding_idx=0)]), ROWS),
    "CrossEntropyLoss": (
        lambda: On(nn.CrossEntropyLoss(shares[0]), partial(with_target, labels)),
        ROWS,
    ),
    "NLLLoss": (lambda: On(nn.NLLLoss(ignore_index=2), partial(with_target, labels)), ROWS),
    "BCELoss": (lambda: Held([F.sigmoid, On(nn.BCELoss(), partial(with_target, shares))]), ROWS),
    "TripletMarginLoss": (
        lambda: On(nn.TripletMarginLoss(), with_two_targets),
        ROWS,
    ),
    "Sequential": (lambda: nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Dropout()), ROWS),
    "ModuleList": (lambda: Held(nn.ModuleList([nn.Linear(6, 4), nn.Dropout()])), ROWS),
    "ModuleDict": (lambda: Held(nn.ModuleDict({"a": nn.Linear(6, 4), "b": nn.Tanh()})), ROWS),
    "Sequential shared": (lambda: nn.Sequential(*[nn.Linear(6, 6), nn.Dropout()] * 2), ROWS),
}
BASES = {"Layer", "Module", "Stochastic", "ParameterList"}


def test_every_module_is_in_the_table():
    modules = {n for n, v in vars(nn).items() if isinstance(v, type) and issubclass(v, nn.Module)}
    assert modules - BASES == {name.split()[0] for name in MODULES}


def batch(name, seed):
    return normal(*MODULES[name][1], seed=seed).astype(np.float32)


def made(name, training):
    """(the module, a loss of all its outputs, which also has a parameter before the module)."""
    mg.manual_seed(1)
    module = MODULES[name][0]().train(training)
    scale = nn.Parameter(np.float32([1.5]), name="scale")
    module.scale = scale

    def loss(x):
        outputs = flat(module(scale * x))
        return sum(np.sum(y * np.cos(np.arange(y.size)).reshape(y.shape)) for y in outputs)

    return module, loss


@pytest.mark.parametrize("name", MODULES)
def test_a_compiled_module_trains_to_the_same_bits_in_both_modes(name):
    states = []
    for compiled in False, True:
        module, loss = made(name, True)
        step, rule = mg.compile(loss), optim.SGD(module.parameters(), lr=0.1)
        numbers = []
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for seed in range(5):
                module.train(seed < 3)
                rule.zero_grad()
                x = batch(name, seed)
                value = step(x) if compiled else loss(mg.Tensor(x, name="x"))
                if not compiled and value.requires_grad:
                    value.backward()
                numbers.append(value.item())
                if any(p.grad is not None for p in module.parameters()):
                    rule.step()
        states.append((numbers, module.state_dict()))
    np.testing.assert_equal(*states)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_is_written_out_gives_the_same_bits(name, tmp_path):
    _, loss = made(name, True)
    value = loss(mg.Tensor(batch(name, 0), name="x"))
    mg.write_out(value, to_file=tmp_path / "program.py")
    names, found = leaf_names(nodes(value)), runpy.run_path(str(tmp_path / "program.py"))
    leaves = {names[x.order]: x for x in nodes(value) if x.order in names}
    gradients = mg.grad(value, [*leaves.values()], allow_unused=True)
    right = {n: g.data for n, g in zip(leaves, gradients) if g is not None}
    np.testing.assert_equal([found["loss"], found["gradients"]], [value.data, right])


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", MODULES)
def test_a_copy_of_a_module_and_a_module_with_its_state_give_the_same_bits(name, training):
    module, _ = made(name, training)
    other, _ = made(name, training)
    for parameter in other.parameters():
        parameter.data += 1
    x = batch(name, 0)
    module(x)  # running statistics move
    other.load_state_dict(module.state_dict())
    results = []
    for twin in module, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), other:
        mg.manual_seed(2)
        results.append([y.data for y in flat(twin(mg.Tensor(x)))])
    for found in results[1:]:
        np.testing.assert_equal(found, results[0])

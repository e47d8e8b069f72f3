"""The same text in minigrad and in PyTorch gives the same numbers and the same gradients.

PyTorch's numbers are in same.json, so that the tests need no PyTorch. Where it is installed, it is
compared with the file. It writes the file anew:

    python tests/functional/test_same.py
"""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

FILE = Path(__file__).with_name("same.json")

# Each text is an expression of m, F, nn, the tensors x (4, 3), y (4, 3), s (2, 3, 7), i (2, 3, 7, 6),
# p and q (4, 3), which are positive with rows that sum to 1, labels (4,), w (3,); `filled(module)`
# has parameters that are a known sequence.
FUNCTIONS = [
    *("F.mish(x)", "F.relu6(4 * x)", "F.hardtanh(x, -0.5, 0.7)", "F.hardsigmoid(3 * x)"),
    *(
        "F.hardswish(3 * x)",
        "F.softsign(x)",
        "F.logsigmoid(9 * x)",
        "F.glu(i)",
        "F.glu(i[:, :, :6], dim=2)",
    ),
    *("F.celu(x, 0.3)", "F.celu(x, -2.0)", "F.hardshrink(x)", "F.softshrink(x, 0.3)"),
    *("F.tanhshrink(x)", "F.threshold(x, 0.2, -1.5)", "F.softmin(x, dim=0)"),
    "F.max_pool1d(s, 2, 2, ceil_mode=True)",
    "F.max_pool2d(i, (3, 2), 2, 1, ceil_mode=True)",
    "F.max_pool2d(i, 2, 3, 1, 2, ceil_mode=True)",
    "F.avg_pool1d(s, 3, 2, 1, True)",
    "F.avg_pool2d(i, (4, 3), (3, 2), (2, 1), ceil_mode=True)",
    "F.avg_pool2d(i, 3, 2, 1, True, False)",
    "F.avg_pool2d(i, 9, 4, 2, True)",
    *("F.prelu(x, w)", "F.prelu(i, w[:1])", "F.prelu(s, w)", "F.normalize(x)"),
    *("F.normalize(x, p=1.0, dim=0)", "F.normalize(0 * x + 1e-20)", "F.cosine_similarity(x, y)"),
    *("F.cosine_similarity(x, y, dim=0)", "F.rms_norm(x, (3,))", "F.rms_norm(s, (3, 7), eps=0.1)"),
    "F.rms_norm(x, [3], weight=w)",
    "F.adaptive_max_pool1d(s, 3)",
    "F.adaptive_max_pool2d(i, (3, 4))",
    "F.adaptive_max_pool2d(i, (7, 2))",
    "F.interpolate(s, size=11, mode='linear')",
    "F.interpolate(s, scale_factor=0.6, mode='linear')",
    "F.interpolate(i, scale_factor=2.0, mode='bilinear')",
    "F.interpolate(i, size=(5, 9), mode='bilinear', align_corners=True)",
    "F.interpolate(i, size=(1, 3), mode='bilinear', align_corners=True)",
    "F.interpolate(i, scale_factor=(1.5, 2.0), mode='nearest')",
]
LOSSES = [
    "F.cross_entropy(x, labels, weight=w)",
    "F.cross_entropy(x, labels, weight=w, label_smoothing=0.3)",
    "F.cross_entropy(x, labels, weight=w, ignore_index=1, label_smoothing=0.2)",
    "F.cross_entropy(x, p)",
    "F.cross_entropy(x, p, label_smoothing=0.3)",
    "F.cross_entropy(x, p, weight=w, label_smoothing=0.1)",
    "F.cross_entropy(s, m.argmax(s, dim=1), weight=w)",
    "F.cross_entropy(s, F.softmax(2 * s, 1), weight=w)",
    "F.cross_entropy(x[0], labels[0], weight=w)",
    "F.cross_entropy(x[0], p[0])",
    "F.nll_loss(F.log_softmax(x, 1), labels, weight=w)",
    "F.nll_loss(x, labels, weight=w, ignore_index=2)",
    "F.binary_cross_entropy(p, q)",
    "F.binary_cross_entropy(p, q, weight=w)",
    "F.binary_cross_entropy_with_logits(x, q, weight=w)",
    "F.binary_cross_entropy_with_logits(x, q, pos_weight=w)",
    "F.smooth_l1_loss(x, y)",
    "F.smooth_l1_loss(x, y, beta=0.3)",
    "F.kl_div(F.log_softmax(x, 1), p)",
    "F.triplet_margin_loss(x, y, p)",
    "F.triplet_margin_loss(x, y, p, margin=0.2, p=1.0)",
]
LOSSES = [t[:-1] + f", reduction={r!r})" for t in LOSSES for r in ("mean", "sum", "none")]
LOSSES += ["F.kl_div(F.log_softmax(x, 1), p, reduction='batchmean')"]
LOSSES += ["F.kl_div(x, m.clamp(p - 0.3, min=0.0), reduction='none')"]
MODULES = [
    *("nn.Identity(5, some=1)(x)", "nn.Mish()(x)", "nn.ReLU6()(x)", "nn.Hardtanh(-0.2, 0.3)(x)"),
    *("nn.Hardsigmoid()(x)", "nn.Hardswish()(x)", "nn.Softsign()(x)", "nn.LogSigmoid()(x)"),
    *("nn.GLU(0)(i)", "nn.ReLU(inplace=True)(1 * x)", "filled(nn.PReLU())(x)"),
    *("nn.PReLU(3, init=0.1)(s)", "filled(nn.RMSNorm(3))(x)", "nn.RMSNorm((3, 7), eps=0.2)(s)"),
    *("nn.AdaptiveMaxPool1d(2)(s)", "nn.AdaptiveMaxPool2d((2, 3))(i)"),
    *("nn.CELU(0.4)(x)", "nn.Hardshrink(0.2)(x)", "nn.Softshrink()(x)", "nn.Tanhshrink()(x)"),
    *("nn.Threshold(0.1, 0.2)(x)", "nn.Softmin(dim=1)(x)", "nn.MaxPool2d(2, ceil_mode=True)(i)"),
    "nn.AvgPool1d(2, 2, 1, True)(s)",
    "filled(nn.Conv1d(3, 2, 3, padding=2, padding_mode='reflect'))(s)",
    "filled(nn.Conv1d(3, 6, 4, padding='same', groups=3, padding_mode='replicate'))(s)",
    "filled(nn.Conv2d(3, 2, (3, 2), 2, (2, 1), padding_mode='circular'))(i)",
    "filled(nn.Conv2d(3, 2, 3, 1, 'same', 2, 1, False, 'replicate'))(i)",
    "filled(nn.Conv2d(3, 2, 3, padding=(1, 0), padding_mode='zeros'))(i)",
    "filled(nn.MultiheadAttention(6, 2, kdim=7, vdim=5))(i[0, :, :3], s, i[:, :, 0, :5])[0]",
    "filled(nn.MultiheadAttention(7, 1, 0.0, False, vdim=6, batch_first=True))(s, s, i[:, :, 0])[1]",
    "filled(nn.MultiheadAttention(7, 7, 0.0, True, kdim=6, batch_first=True))(s, i[:, :, 0], s)[0]",
    "filled(nn.TransformerEncoderLayer(6, 2, 5, 0.0))(i[0])",
    "filled(nn.TransformerEncoderLayer(6, 3, 4, 0.0, F.gelu, 0.1, True, True))(i[0])",
    "filled(nn.TransformerEncoderLayer(6, 2, 5, 0.0, 'gelu', bias=False))(i[0], y[:3] > 0.5)",
    "filled(nn.TransformerEncoderLayer(7, 1, 5, 0.0, batch_first=True))(s, None, y[:2] < -0.5)",
    "nn.Upsample(scale_factor=2, mode='bilinear')(i)",
    "nn.Upsample(size=5, mode='linear', align_corners=True)(s)",
    "nn.CosineSimilarity(0)(x, y)",
    "nn.CrossEntropyLoss()(x, labels)",
    "nn.CrossEntropyLoss(w, reduction='sum', label_smoothing=0.1)(x, labels)",
    "nn.CrossEntropyLoss(weight=w, ignore_index=1)(x, labels)",
    "nn.NLLLoss(w)(x, labels)",
    "nn.BCELoss(reduction='none')(p, q)",
    "nn.BCEWithLogitsLoss(pos_weight=w)(x, q)",
    "nn.MSELoss()(x, y)",
    "nn.L1Loss(reduction='sum')(x, y)",
    "nn.HuberLoss(delta=0.5)(x, y)",
    "nn.SmoothL1Loss(beta=0.5)(x, y)",
    "nn.KLDivLoss(reduction='batchmean')(x, p)",
    "nn.TripletMarginLoss(0.3, p=1.0)(x, y, p)",
    "filled(nn.RNNCell(3, 2))(x)",
    "filled(nn.GRUCell(3, 2))(x, x[:, :2])",
    "filled(nn.GRUCell(3, 3, bias=False))(x, y)",
    "filled(nn.LSTMCell(3, 2))(x, (x[:, :2], y[:, 1:]))[1]",
    "filled(nn.LSTMCell(3, 2))(x)[0]",
]
TEXTS = FUNCTIONS + LOSSES + MODULES


def sequence(shape, step=1.0):
    """Numbers between -1 and 1 that look random, with no two of them equal."""
    return np.sin(step * np.arange(1, 1 + math.prod(shape)) ** 1.5).reshape(shape)


def shares(step):
    a = np.exp(sequence((4, 3), step))
    return a / a.sum(axis=1, keepdims=True)


ARRAYS = {"x": sequence((4, 3)), "y": sequence((4, 3), 0.7), "p": shares(0.4), "q": shares(1.3)}
ARRAYS |= {"s": sequence((2, 3, 7)), "i": sequence((2, 3, 7, 6), 0.9)}
CONSTANTS = {"labels": np.array([2, 0, 1, 0]), "w": np.array([0.5, 2.0, 1.25])}


def filled(module):
    """The module with numbers in its parameters that both programs know."""
    for n, parameter in enumerate(module.parameters()):
        values, data = sequence(tuple(parameter.shape), 0.3 + 0.1 * n), parameter.data
        data[...] = data.new_tensor(values) if hasattr(data, "new_tensor") else values
    return module


def results(text, m, F, nn, tensor):
    """[value, gradient by each of x, y, p, q, s, i or None] of a text, as flat lists."""
    given = {name: tensor(a, True) for name, a in ARRAYS.items()}
    given |= {name: tensor(a, False) for name, a in CONSTANTS.items()}
    value = eval(text, {"m": m, "F": F, "nn": nn, "filled": filled, **given})
    u = np.cos(np.arange(math.prod(value.shape))).reshape(tuple(value.shape)) + 0.1
    (value * tensor(u, False)).sum().backward()
    found = [value.detach(), *(given[name].grad for name in ARRAYS)]
    return [None if t is None else np.asarray(t.numpy()).ravel().tolist() for t in found]


def in_minigrad(text):
    before = mg.array.default_dtype
    mg.set_default_dtype(np.float64)
    try:
        return results(text, mg, F, nn, mg.Tensor)
    finally:
        mg.set_default_dtype(before)


def in_pytorch(text):
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:

        def tensor(a, grad):
            return torch.tensor(a, requires_grad=grad)

        return results(text, torch, torch.nn.functional, torch.nn, tensor)
    finally:
        torch.set_default_dtype(before)


def compare(text, found, expected):
    # The derivatives of PyTorch's hardsigmoid and celu have a 1/6 and a 1/alpha of float32.
    rtol = 1e-7 if "ardsigmoid" in text or "celu" in text.lower() else 1e-9
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)


known = json.loads(FILE.read_text()) if FILE.exists() else {}


@pytest.mark.parametrize("text", TEXTS)
def test_the_numbers_and_gradients_are_pytorchs(text):
    compare(text, in_minigrad(text), known[text])


@pytest.mark.parametrize("text", TEXTS)
def test_the_file_has_pytorchs_numbers(text):
    pytest.importorskip("torch")
    compare(text, in_pytorch(text), known[text])


SMALL = [
    t for t in TEXTS if not t.startswith("nn.") and not {"s", "i"} & set(re.findall(r"\w+", t))
]


@pytest.mark.parametrize("text", [t for t in SMALL if "0 * x" not in t])
def test_second_derivatives_are_right(text):
    """gradgradcheck proves them: no PyTorch is needed."""
    settings = {"m": mg, "F": F, "nn": nn, "filled": filled, **CONSTANTS}
    names = [name for name in ARRAYS if re.search(rf"\b{name}\b", text)]
    constants = {name: mg.Tensor(ARRAYS[name]) for name in names[1:]}
    x = mg.Tensor(ARRAYS[names[0]], True)
    assert mg.gradgradcheck(lambda x: eval(text, settings | constants | {names[0]: x}), x)


if __name__ == "__main__":

    def rounded(values):
        return [v and [float(f"{number:.12g}") for number in v] for v in values]

    lines = [f"{json.dumps(text)}: {json.dumps(rounded(in_pytorch(text)))}" for text in TEXTS]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")

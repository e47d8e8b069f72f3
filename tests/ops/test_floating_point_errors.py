"""np.errstate(all="raise"): an op raises where its results are not finite, and nowhere else."""

import numpy as np
import pytest
from helpers import leaf

import minigrad as mg
from minigrad import functional as F
from minigrad import ops
from minigrad.check.samples import table, tensors
from minigrad.engine import Tensor, record

EXTREMES = [1e-30, 1e-3, 1.0, 30.0, 90.0, 100.0, 720.0, 745.0, 1e4]  # and 0, of both signs
EXTREMES = [-x for x in EXTREMES] + [0.0] + EXTREMES


def two(x):
    return np.stack([x, -x], axis=-1)


FUNCTIONS = {
    "sigmoid": ops.sigmoid,
    "softplus": ops.softplus,
    "tanh": np.tanh,
    "erf": ops.erf,
    "arctan": np.arctan,
    "expm1": lambda x: np.expm1(np.minimum(x, 0)),
    "logaddexp": lambda x: np.logaddexp(x, -x),
    "softmax": lambda x: ops.softmax(two(x)),
    "log_softmax": lambda x: ops.log_softmax(two(x)),
    "logsumexp": lambda x: ops.logsumexp(two(x), -1),
    "elu": F.elu,
    "selu": F.selu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu, tanh": lambda x: F.gelu(x, "tanh"),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(
        x, np.ones(x.shape)
    ),
    "cross_entropy": lambda x: F.cross_entropy(two(x), np.zeros(x.shape, int)),
    "huber_loss": lambda x: F.huber_loss(x, np.zeros(x.shape)),
}


def both_passes(function, inputs, errors, create_graph=False):
    """The values and the gradients of a function, with this treatment of floating-point errors."""
    with np.errstate(all=errors):
        out = function(*inputs)
        if not out.requires_grad:
            return [out.data]
        seed = np.full(out.shape, 0.7, out.dtype)
        found = mg.grad(out, inputs, seed, create_graph=create_graph, allow_unused=True)
    return [out.data, *(g.data for g in found if g is not None)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_only_arises_on_the_way_is_no_error(name, create_graph, dtype):
    for entry in EXTREMES:
        inputs = [leaf([entry], dtype)]
        expected = both_passes(FUNCTIONS[name], inputs, "ignore", create_graph)
        assert all(np.isfinite(values).all() for values in expected)
        found = both_passes(FUNCTIONS[name], inputs, "raise", create_graph)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_samples(dtype):
    finite = 0
    for name, _, sample, arrays in table():
        inputs = tensors(arrays, dtype)
        expected = both_passes(sample.call, inputs, "ignore")
        if all(np.isfinite(values).all() for values in expected):
            found = both_passes(sample.call, inputs, "raise")
            assert all(np.array_equal(a, b) for a, b in zip(found, expected)), name
            finite += 1
    assert finite > 800


def test_without_fast_lines():
    x = leaf([800.0, -800.0])
    with np.errstate(all="raise"):
        y = record(ops.sigmoid.op, (x,))
        assert y.op is ops.sigmoid.op and y.tolist() == ops.sigmoid(x).tolist()
        assert record(ops.sigmoid.op, (x.data,)).tolist() == y.tolist()
        with pytest.raises(FloatingPointError, match=r"^log of \(1,\): divide by zero"):
            record(np.log(leaf([1.0])).op, (leaf([0.0]),))


def test_a_result_that_is_not_finite_raises_and_names_the_op():
    with np.errstate(all="raise"):
        with pytest.raises(FloatingPointError, match=r"^exp of \(1,\): overflow"):
            np.exp(leaf([1000.0]))
        with pytest.raises(FloatingPointError, match=r"^log of \(2,\): divide by zero"):
            np.log(Tensor([0.0, 1.0]))
        for create_graph in False, True:
            x = leaf([0.0])
            with pytest.raises(FloatingPointError, match="^backward, in a rule of sqrt for x"):
                mg.grad(np.sqrt(x), x, np.ones(1), create_graph=create_graph)


def test_other_errors_pass_at_once():
    calls = []

    @mg.registry.op(x=lambda g, out, x: g)
    def failing(x):
        calls.append(1)
        raise ZeroDivisionError("no")

    try:
        with pytest.raises(RuntimeError, match="failing of .*: no"):
            failing(leaf([1.0]))
    finally:
        del mg.registry.ops["failing"]
    assert len(calls) == 1

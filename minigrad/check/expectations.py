"""Exact expectations: a recorded loss and its gradients averaged over every outcome of their noise, none left to chance."""

import math
from functools import reduce
from operator import or_
from typing import NamedTuple

import numpy as np

from ..engine import PLAIN, Tensor, constant, data_of, grad, ops, result
from ..graph import copy, depending, program
from ..noise import Noise

MOST_OUTCOMES = 2**16  # that `expectation` enumerates
STACK = 2**16  # entries of all nodes together in one stack of outcomes: what stays in the cache


class Expectation(NamedTuple):
    """What `expectation` returns. Everything is float64."""

    value: Tensor  # of the shape of the loss
    gradients: (
        dict | None
    )  # {leaf: gradient} for each leaf that requires one; None if the loss has several entries
    outcomes: int  # how many there are


def expectation(loss, order=8):
    """The exact expected value of a recorded `loss` (any shape), and the expected gradient by every leaf (if it has one entry).

    Each entry of each noise leaf is independent and takes each of its outcomes in turn: 2 for dropout, so 2^n for n entries.
    A Gaussian entry takes the `order` nodes of Gauss-Hermite quadrature: exact where the loss is a polynomial in it of degree
    2 order - 1 at most, and close where it is smooth. The gradients are made by the recorded rules, in float64. The graph, its
    noise, every `.grad` and all generators stay as they are.

    Masks made by comparisons are constants, as for `replay`.

    Raises ValueError beyond 65,536 outcomes, RuntimeError for a freed graph, TypeError for noise that cannot list its outcomes.

    On a linear model dropout is a ridge penalty, exactly: E|y - (M*X)w|^2 = |y - Xw|^2 + p/(1-p) sum_j w_j^2 |X_j|^2 (Srivastava
    et al. 2014, JMLR 15, section 9.1; for other models Wager, Wang & Liang 2013, arXiv:1307.1493).

    >>> import minigrad as mg
    >>> x, w = mg.Tensor([1.0, 2.0], requires_grad=True), mg.Tensor([3.0, 1.0], requires_grad=True)
    >>> loss = (5 - mg.functional.dropout(x, 0.2, training=True) @ w) ** 2
    >>> expected = mg.expectation(loss)  # (5 - 5)^2 + 0.2/0.8 (3^2 1^2 + 1^2 2^2)
    >>> round(expected.value.item(), 12), expected.gradients[w].numpy().round(12).tolist(), expected.outcomes
    (3.25, [1.5, 2.0], 4)
    """
    steps = program("expectation", loss)
    laws = _laws(steps, order)
    copies = copy(
        steps,
        values={
            noise.order: np.full(noise.shape, values[0]) for noise, (values, _) in laws.items()
        },
    )
    drawn, weights = _enumerated(
        {copies[n.order]: law for n, law in laws.items() if len(law[0]) > 1}
    )
    root = copies[loss.order]

    # Only the nodes that depend on noise, `random`, run for each outcome. Leaves stand in for the others that they take.
    random = depending(copies.values(), drawn)
    known = {*drawn, *(node.order for node in random)}
    fixed = (
        [a for node in random for a in node.args if isinstance(a, Tensor) and a.order not in known]
        if random
        else [root]
    )
    fixed = list({a.order: a for a in fixed}.values())
    leaves = {a.order: Tensor(a.data, a.requires_grad) for a in fixed}
    wanted = [a for a in fixed if a.requires_grad] if loss.size == 1 else []
    stacked = all(_stackable(node, known) for node in random)
    at_once = (
        max(1, min(1024, STACK // (1 + sum(t.size for t in (*random, *fixed))))) if stacked else 1
    )

    def total(start, stop):
        """What these outcomes contribute to the value and to the cotangents of `wanted`; in halves, so that rounding errors stay small."""
        if stop - start > at_once:
            middle = (start + stop) // 2
            return [a + b for a, b in zip(total(start, middle), total(middle, stop))]
        made, weight = dict(leaves), weights[start:stop]
        for noise, values in drawn.items():
            made[noise] = constant(values[start:stop] if stacked else values[start])
        for node in random:
            args = [made[a.order] if isinstance(a, Tensor) else a for a in node.args]
            made[node.order] = (
                _stacked.get(node.op.name, _entrywise)(node, *args)
                if stacked
                else _run(node.op, *args)
            )
        out = made[root.order]
        value = weight @ out.data.reshape(len(weight), -1)
        return [
            value,
            *(
                _grad(out, [leaves[a.order] for a in wanted], weight.reshape(out.shape))
                if wanted
                else []
            ),
        ]

    value, *cotangents = total(0, len(weights))
    gradients = None
    if loss.size == 1:
        inputs = [n for n in steps if n.is_leaf and n.requires_grad and n not in laws]
        gradients = dict(zip(inputs, _grad(wanted, [copies[n.order] for n in inputs], cotangents)))
    return Expectation(constant(value.reshape(loss.shape)), gradients, len(weights))


def _grad(outputs, inputs, cotangents):
    """As `grad`, with zeros for inputs that no cotangent reaches."""
    found = grad(outputs, inputs, cotangents, allow_unused=True)
    return [constant(np.zeros(x.shape)) if g is None else g for x, g in zip(inputs, found)]


def _laws(steps, order):
    """{noise leaf: (values, probabilities) of one entry}; refuses what cannot be enumerated."""
    laws, bits = {}, {}
    for noise in steps:
        if isinstance(noise, Noise):
            if not hasattr(noise.distribution, "outcomes"):
                raise TypeError(
                    f"expectation: {type(noise.distribution).__name__} noise cannot list its outcomes. Give it outcomes(order) -> (values, probabilities)."
                )
            values, probabilities = noise.distribution.outcomes(order)
            laws[noise] = (
                np.asarray(values, np.float64 if noise.dtype.kind == "f" else noise.dtype),
                np.asarray(probabilities),
            )
            bits[noise] = noise.size * math.log2(len(values))
    if sum(bits.values()) > math.log2(MOST_OUTCOMES):
        largest = sorted(bits, key=bits.get, reverse=True)
        parts = [
            f"{n.distribution!r} of shape {n.shape}{f' in {n.stream!r}' * bool(n.stream)} has {_readable(bits[n])}"
            for n in largest[:3]
        ]
        more = [f"{len(largest) - 3} more"] if len(largest) > 3 else []
        raise ValueError(
            f"expectation: {_readable(sum(bits.values()))} outcomes, but at most {MOST_OUTCOMES:,} are enumerated: {', '.join(parts + more)}. "
            "Use a smaller batch, or average many resample(loss)."
        )
    return laws


def _readable(bits):
    """2^bits for a reader."""
    return f"{2**bits:,.0f}" if bits < 30 else f"2^{bits:,.0f}"


def _enumerated(laws):
    """({order of noise: its values (outcomes, *shape)}, probability of each outcome)."""
    count = math.prod(len(values) ** noise.size for noise, (values, _) in laws.items())
    drawn, weights, stride = {}, np.ones(count), 1
    for noise, (values, probabilities) in laws.items():
        strides = stride * len(values) ** np.arange(noise.size)
        chosen = (
            np.arange(count)[:, None] // strides % len(values)
        )  # the digits of each outcome's number
        drawn[noise.order] = values[chosen].reshape(count, *noise.shape)
        weights *= probabilities[chosen].prod(axis=1)
        stride *= len(values) ** noise.size
    return drawn, weights


def _run(op, *args):
    """op(*args), recorded whatever the mode."""
    data, track = (
        op.forward(*map(data_of, args)),
        reduce(or_, (a.track for a in args if isinstance(a, Tensor)), PLAIN),
    )
    return result(op, args, data, track) if track else constant(data)


# Many outcomes run as one stack: an axis in front of every operand that depends on noise. `_stacked` is the table of the ops that
# can do so, and of how their other arguments change. The op itself runs, so it is its own rule that runs backward.


def _stackable(node, known):
    """Whether a node can run on a stack; `known` has the orders of what depends on noise."""
    if node.op.name == "linear":
        return not any(isinstance(a, Tensor) and a.order in known for a in node.args[1:])
    return (
        node.op.name in _stacked
        or isinstance(node.op.forward, np.ufunc)
        and node.op.forward.signature is None
    )


def _in_line(x, old, ndim, shape):
    """A stacked operand as (outcomes, 1, ..., *shape), so that it broadcasts as one outcome of rank `ndim` did; others as they are."""
    if not isinstance(old, Tensor) or x.ndim == old.ndim or ndim == old.ndim:
        return x
    return _run(ops["reshape"], x, (len(x), *(1,) * (ndim - len(shape)), *shape))


def _entrywise(node, *args):
    return _run(
        node.op, *[_in_line(x, old, node.ndim, np.shape(old)) for x, old in zip(args, node.args)]
    )


def _matmul(node, x, y):
    a, b = node.args
    ndim = max(2, a.ndim, b.ndim)
    x = _in_line(x, a, ndim, (1, *a.shape) if a.ndim == 1 else a.shape)
    y = _in_line(y, b, ndim, (*b.shape, 1) if b.ndim == 1 else b.shape)
    product = _run(node.op, x, y)
    return _run(ops["reshape"], product, (len(product), *node.shape))


def _nll_loss(node, x, target, reduction):
    rows = _run(ops["reshape"], x, (len(x) * x.shape[1], *x.shape[2:])) if x.ndim > 2 else x
    labels = np.broadcast_to(data_of(target), (len(x), *np.shape(target))).reshape(
        rows.shape[:1] + rows.shape[2:]
    )
    entries = _run(ops["reshape"], _run(node.op, rows, labels, "none"), (len(x), *np.shape(target)))
    return (
        entries
        if reduction == "none"
        else _run(ops[reduction], entries, tuple(range(1, entries.ndim)), False)
    )


def _behind(axes, x):
    """Axes of one outcome (None: all) as axes of a stack."""
    own = range(1, x.ndim)
    return (
        tuple(own)
        if axes is None or not own
        else tuple(own[a] for a in np.atleast_1d(axes).tolist())
    )


_stacked = {
    **dict.fromkeys(
        ["absolute", "astype", "clip", "dropout", "erf", "logaddexp", "power", "relu"]
        + ["remainder", "sigmoid", "softplus", "where"],
        _entrywise,
    ),  # and every ufunc
    **dict.fromkeys(
        [
            "flip",
            "log_softmax",
            "logsumexp",
            "max",
            "mean",
            "min",
            "prod",
            "softmax",
            "std",
            "sum",
            "var",
        ],
        lambda node, x, axis, *rest: _run(node.op, x, _behind(axis, x), *rest),
    ),
    "linear": lambda node, *args: _run(node.op, *args),
    "matmul": _matmul,
    "moveaxis": lambda node, x, a, b: _run(node.op, x, _behind(a, x), _behind(b, x)),
    "nll_loss": _nll_loss,
    "reshape": lambda node, x, shape: _run(node.op, x, (len(x), *node.shape)),
    "swapaxes": lambda node, x, a, b: _run(node.op, x, *_behind((a, b), x)),
    "transpose": lambda node, x, axes: _run(
        node.op, x, (0, *(_behind(axes, x) if axes is not None else _behind(None, x)[::-1]))
    ),
}

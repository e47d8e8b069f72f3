"""Exact expectations of a recorded loss and its gradients, over every outcome of its noise."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ..derivatives import pulled
from ..engine import Tensor, constant
from ..graph import copy, depending, program
from ..names import leaf_names
from ..noise import Noise
from ..tables import Table
from .reports import progress

MOST_OUTCOMES = 2**16  # which take some seconds


@dataclass(repr=False, eq=False)
class Expectation(Table):
    """The result of `expectation`. All arrays are float64."""

    value: Tensor  # of the shape of the loss
    gradients: dict | None  # {leaf: gradient} of a loss with one entry, None for other losses
    outcomes: int
    names: dict  # {order of a leaf: its name}

    def lines(self):
        """The rows of the table, its head first."""
        means = {"loss": self.value}
        for leaf, g in (self.gradients or {}).items():
            means[f"gradient by {self.names.get(leaf.order, 'the loss')}"] = g
        head = ("the mean of", "shape", "is")
        return [head, *((name, str(x.shape), _in_one_line(x.data)) for name, x in means.items())]

    def notes(self):
        """How many outcomes there were."""
        return [f"over {self.outcomes:,} outcomes of the noise"]


def _in_one_line(array):
    ends = 2 if array.ndim < 2 else 1
    return " ".join(np.array2string(array, precision=6, threshold=6, edgeitems=ends).split())


def expectation(loss: Tensor, order=8) -> Expectation:
    """The exact expected value of a recorded `loss`, and of its gradients by every leaf.

    loss   a recorded Tensor of any shape. It has gradients if it has one entry
    order  how many outcomes stand for an entry of continuous noise

    Entries of noise are independent, and each takes each of its outcomes in turn. An entry of
    dropout has 2 outcomes, so n entries have 2^n. A Gaussian entry takes the `order` nodes of
    Gauss-Hermite quadrature: exact where the loss is a polynomial in this entry of degree
    2 order - 1 at most, close where the loss is smooth. All runs in float64, even where the graph
    casts to another float dtype. The graph, its noise, every `.grad` and all generators stay as
    they are.

    Raises ValueError beyond 65,536 outcomes, RuntimeError for a freed graph, TypeError if `loss` is
    not a Tensor or a law has no outcomes.

    On a linear model dropout is a ridge penalty, exactly: E|y - (M*X)w|^2 = |y - Xw|^2 +
    p/(1-p) sum_j w_j^2 |X_j|^2 (Srivastava et al. 2014, JMLR 15, section 9.1; for other models
    Wager, Wang & Liang 2013, arXiv:1307.1493).

    >>> import minigrad as mg
    >>> x, w = mg.Tensor([1.0, 2.0], requires_grad=True), mg.Tensor([3.0, 1.0], requires_grad=True)
    >>> loss = (5 - mg.functional.dropout(x, 0.2, training=True) @ w) ** 2
    >>> expected = mg.expectation(loss)  # (5 - 5)^2 + 0.2/0.8 (3^2 1^2 + 1^2 2^2)
    >>> round(expected.value.item(), 12), expected.gradients[w].numpy().round(12).tolist()
    (3.25, [1.5, 2.0])
    >>> expected.outcomes
    4
    """
    nodes = program("expectation", loss)
    noises = [node for node in nodes if isinstance(node, Noise)]
    leaves = [n for n in nodes if n.is_leaf and n.requires_grad and not isinstance(n, Noise)]
    leaves = leaves if loss.size == 1 else []
    drawn, probabilities = _outcomes(noises, order)
    known = copy(nodes)  # in float64
    random = [*noises, *depending(nodes, drawn)]  # runs for each outcome
    totals = [0.0] * (1 + len(leaves))
    for i, probability in enumerate(progress(probabilities, "expectation", "outcomes")):
        values = {number: arrays[..., i] for number, arrays in drawn.items()}
        copies = copy(random, values=values, known=known)
        out = copies[loss.order]
        parts = [out, *pulled(out, None, [copies[leaf.order] for leaf in leaves])]
        totals = [total + probability * part.data for total, part in zip(totals, parts)]
    value, *gradients = map(constant, totals)
    found = dict(zip(leaves, gradients)) if loss.size == 1 else None
    return Expectation(value, found, len(probabilities), leaf_names(nodes))


def _outcomes(noises, order):
    """({order of a noise: its arrays in all outcomes, along the last axis}, the probabilities)."""
    entries = []  # of all noise: the pairs [value, probability] of each
    for noise in noises:
        law = noise.distribution
        if law.outcomes is None:
            remedy = "Give its law a method outcomes(order) -> (values, probabilities)."
            raise TypeError(f"expectation: {law!r} noise cannot list its outcomes. {remedy}")
        entries += noise.size * [np.transpose(law.outcomes(order)).tolist()]
    bits = sum(math.log2(len(pairs)) for pairs in entries)
    if bits > math.log2(MOST_OUTCOMES):
        counts = f"at least 2^{bits:,.0f} outcomes, but at most {MOST_OUTCOMES:,} are enumerated"
        remedy = "Use a smaller batch, or average many resample(loss)."
        raise ValueError(f"expectation: {counts}. {remedy}")
    every = [*itertools.product(*entries)]
    values, probabilities = np.array(every).reshape(len(every), len(entries), 2).T
    parts = np.split(values, np.cumsum([noise.size for noise in noises]))
    drawn = {n.order: part.reshape(*n.shape, len(every)) for n, part in zip(noises, parts)}
    return drawn, np.prod(probabilities, axis=0)

"""Embedding and attention."""

import numpy as np

from ..array import is_recorded
from ..ops import softmax
from ..ops.comparisons import stop_gradient
from ..ops.indexing import at
from ..registry import composition
from ..types import Operand, Rng
from .checks import check_fits, mask_values, whole_numbers
from .dropout import check_settings, dropout

__all__ = ["embedding", "scaled_dot_product_attention"]


@composition
def embedding(x: Operand, weight: Operand, padding_idx: int | None = None):
    """A row of weight (num_embeddings, embedding_dim) for each whole number in x (...).

    The result is (..., embedding_dim).

    padding_idx  the row that stands for no token. It gets no gradient

    Raises ValueError unless the weight has two axes, TypeError unless x has whole numbers,
    IndexError for a row that the weight does not have.
    """
    if np.ndim(weight) != 2:
        shape = np.shape(weight)
        raise ValueError(f"weight must be (num_embeddings, embedding_dim), got {shape}.")
    rows = len(weight)
    x = whole_numbers("each row in x", x, 0, rows)
    if padding_idx is None:
        return at(weight, x)
    padding = padding_row(padding_idx, rows)
    is_padding = np.expand_dims(x == padding, -1)
    return np.where(is_padding, stop_gradient(at(weight, padding)), at(weight, x))


def padding_row(padding_idx, rows):
    """The row of padding_idx, which may count from the end. Raises IndexError for any other."""
    return int(whole_numbers("padding_idx", padding_idx, -rows, rows).item()) % rows


@composition
def scaled_dot_product_attention(
    query: Operand,
    key: Operand,
    value: Operand,
    attn_mask: Operand | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    training: bool | None = None,
    rng: Rng = None,
    need_weights: bool = False,
):
    """softmax(query @ key.T * scale) @ value (Vaswani et al. 2017, arXiv:1706.03762).

    query (..., L, E), key (..., S, E) and value (..., S, D) give (..., L, D).

    attn_mask     broadcasts to the scores (..., L, S): True where a query may attend to a key, or
                  floats, which are added to the scores
    dropout_p     the rate of dropout for the weights
    is_causal     True: query i attends to the keys 0..i only, and only where the mask allows it
    scale         the factor of the scores, by default 1 / sqrt(E)
    training      whether dropout draws noise. Needed unless dropout_p is 0
    rng           for the dropout: see functional.dropout
    need_weights  True: returns (result, weights (..., L, S)), the weights after dropout

    If a query may attend to no key, its weights and its result are 0, not nan. Raises ValueError
    for other shapes and rates, TypeError for a mask of another dtype or a missing `training`.
    """
    check_settings(dropout_p)
    if dropout_p and training is None:
        raise TypeError(f"dropout_p={dropout_p} needs training=True or training=False.")
    shapes = q, k, v = np.shape(query), np.shape(key), np.shape(value)
    if min(map(len, shapes)) < 2 or not 0 < q[-1] == k[-1] or k[-2] != v[-2]:
        needed = "(..., L, E), (..., S, E) and (..., S, D) with E > 0"
        raise ValueError(f"query {q}, key {k} and value {v} must be {needed}.")
    scores = (query * (q[-1] ** -0.5 if scale is None else scale)) @ np.swapaxes(key, -1, -2)
    some = None  # which queries may attend to any key
    if attn_mask is not None or is_causal:
        added = _added(attn_mask, is_causal, scores)
        some = (added != -np.inf).any(axis=-1, keepdims=True)
        scores = scores + np.where(some, added, 0)
    weights = softmax(scores)
    if some is not None and (is_recorded(some) or not some.all()):
        weights = np.where(some, weights, 0)
    if dropout_p:
        weights = dropout(weights, dropout_p, training, rng)
    return (weights @ value, weights) if need_weights else weights @ value


def _added(mask, is_causal, scores):
    """The masks as numbers to add to the scores: -inf where a query may not attend."""
    added = 0
    if mask is not None:
        mask = mask_values("attn_mask", mask, "True where a query may attend")
        check_fits("attn_mask", mask.shape, scores.shape)
        added = np.where(mask, 0, -np.inf) if mask.dtype == bool else mask
    if is_causal:
        added = np.where(np.tri(*scores.shape[-2:], dtype=bool), added, -np.inf)
    with np.errstate(over="ignore"):  # many use -1e9, which is -inf in float16
        return added.astype(scores.dtype)

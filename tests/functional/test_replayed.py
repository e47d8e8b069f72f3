"""Masks, indices and targets are part of the graph: a graph that runs again on other ones gives what
the function gives for them. So do padding rows, running statistics and whatever an op computes from
its arguments.
"""

import inspect

import numpy as np
import pytest
from helpers import normal

import minigrad as mg
from minigrad import functional as F
from minigrad import nn, ops
from minigrad.array import numpy_functions
from minigrad.functional import arrays

x, y = normal(3, 4), normal(4, 3).T.copy()
q, w = normal(2, 3, 4), normal(5, 2)
numbers = np.arange(12).reshape(3, 4)
keep, other = numbers % 3 > 0, numbers % 2 == 0
pair = np.array([True, False])[:, None, None]
floats = np.where(keep[:, :3], 0.0, -np.inf)
closed = np.array([[True, False, True], [False] * 3, [False, True, True]])  # row 1 sees nothing
labels = np.array([1, 0, 3])
attention = nn.MultiheadAttention(4, 2, dtype=np.float64)

# the function, how it is called with an array or a Tensor, and two arrays
CALLS = [
    (F.dropout, lambda m: F.dropout(x, 0.25, True, mask=m), keep, other),
    (F.dropout, lambda m: F.dropout(x, 0.25, True, mask=m), keep * 1.0, other * 1.0),
    (F.dropout1d, lambda m: F.dropout1d(q, 0.25, True, mask=m), keep[:2, :3, None], other[:2, :3, None]),
    (F.dropout2d, lambda m: F.dropout2d(q[None], 0.2, True, mask=m), pair, ~pair),
    (F.drop_path, lambda m: F.drop_path(x, 0.2, True, mask=m), keep[:, :1], other[:, 1:2]),
    (F.drop_connect, lambda m: F.drop_connect(x, 0.2, True, mask=m), keep, other),
    (F.alpha_dropout, lambda m: F.alpha_dropout(x, 0.2, True, mask=m), keep, other),
    (F.gaussian_dropout, lambda m: F.gaussian_dropout(x, 0.2, True, noise=m), x, y),
    (F.gaussian_noise, lambda m: F.gaussian_noise(x, 0.2, True, noise=m), x, y),
    (F.cross_entropy, lambda t: F.cross_entropy(x, t), labels, labels[::-1].copy()),
    (F.cross_entropy, lambda t: F.cross_entropy(x, t), labels, np.array([2, -100, 3])),
    (F.cross_entropy, lambda t: F.cross_entropy(x, t, "none", ignore_index=3, label_smoothing=0.1), labels, np.array([3, 2, 1])),
    (F.nll_loss, lambda t: F.nll_loss(x, t, ignore_index=0), labels, np.array([0, 0, 1])),
    (F.nll_loss, lambda t: F.nll_loss(x, t, "sum"), labels, np.array([2, -100, -100])),
    (F.mse_loss, lambda t: F.mse_loss(x, t), x + 1, y),
    (F.l1_loss, lambda t: F.l1_loss(x, t), x + 1, y),
    (F.huber_loss, lambda t: F.huber_loss(x, t), x + 1, 3 * y),
    (F.smooth_l1_loss, lambda t: F.smooth_l1_loss(x, t), x + 1, 3 * y),
    (F.kl_div, lambda t: F.kl_div(x, t), x * x, x * x + 1),
    (F.cross_entropy, lambda t: F.cross_entropy(x, t, weight=np.arange(1.0, 5)), labels, labels[::-1].copy()),
    (F.cross_entropy, lambda p: F.cross_entropy(x, p), x * x, y * y),
    (F.binary_cross_entropy, lambda t: F.binary_cross_entropy(np.full((3, 4), 0.3), t), keep * 1.0, other * 1.0),
    (F.binary_cross_entropy_with_logits, lambda t: F.binary_cross_entropy_with_logits(x, t), keep * 1.0, other * 1.0),
    (F.embedding, lambda i: F.embedding(i, w), labels, labels[::-1].copy()),
    (F.embedding, lambda i: F.embedding(i, w, padding_idx=-2), labels, np.array([3, 3, 0])),
    (F.embedding, lambda v: F.embedding(labels, v, padding_idx=1), w, w + 1),
    (F.scaled_dot_product_attention, lambda m: F.scaled_dot_product_attention(q, q, q, m), keep[:, :3], closed),
    (F.scaled_dot_product_attention, lambda m: F.scaled_dot_product_attention(q, q, q, m, is_causal=True), keep[:, :3], closed),
    (F.scaled_dot_product_attention, lambda m: F.scaled_dot_product_attention(q, q, q, m), floats, np.where(closed, 0.5, -np.inf)),
    (F.batch_norm, lambda m: F.batch_norm(q, m, np.ones(3), training=False), np.zeros(3), np.arange(3.0)),
    (F.batch_norm, lambda v: F.batch_norm(q, np.ones(3), v, training=False), np.ones(3), np.arange(1.0, 4)),
    (nn.MultiheadAttention, lambda m: attention(q, q, q, key_padding_mask=m, need_weights=False)[0], closed[:, :2] & False, closed[:, :2]),
    (np.full_like, lambda v: np.full_like(mg.Tensor(x), v), np.array(2.0), np.array(3.0)),
    (np.take, lambda i: np.take(mg.Tensor(x), i, axis=1), labels, labels - 2),
    (np.take_along_axis, lambda i: np.take_along_axis(mg.Tensor(x), i, 1), labels[:, None], labels[::-1, None].copy()),
    (np.nonzero, lambda m: mg.Tensor(x)[np.nonzero(m)].sum(), keep, other),
    (np.nonzero, lambda m: np.nonzero(m)[0].sum(), x, keep),
    (np.argwhere, lambda m: np.argwhere(m).sum(axis=0), x, keep * 1.0),
    (np.where, lambda m: np.where(m, x, y), keep, other),
    (np.clip, lambda a: np.clip(mg.Tensor(x), a, 0.5), np.array(-0.5), np.array(0.25)),
    (ops.getitem, lambda i: mg.Tensor(x)[i], labels - 1, labels - 2),
    (ops.getitem, lambda i: mg.Tensor(x)[:, i], labels, labels[::-1].copy()),
    (ops.getitem, lambda i: mg.Tensor(x)[np.arange(3), i], labels, labels - 2),
    (ops.getitem, lambda i: mg.Tensor(x)[None, ..., i], np.array(2), np.array(-1)),
    (ops.getitem, lambda m: mg.Tensor(x)[m].sum(), keep, other),
    (ops.getitem, lambda m: mg.Tensor(x)[:, m].sum(), keep[0], keep[1]),
    (ops.scatter, lambda i: ops.scatter(x, (4, 4), i), labels, np.array([2, 2, 2])),
]  # fmt: skip


@pytest.mark.parametrize("function, call, first, second", CALLS)
def test_a_graph_runs_again_on_other_masks_indices_and_targets(function, call, first, second):
    assert second.dtype == first.dtype or function in (np.nonzero, np.argwhere)
    given = mg.Tensor(first, name="given")
    replayed = mg.replay(call(given), {given: second.astype(first.dtype)})
    expected = call(mg.Tensor(second.astype(first.dtype)))
    assert np.any(expected.data != call(mg.Tensor(first)).data)
    np.testing.assert_array_equal(replayed.data, expected.data)
    assert replayed.dtype == expected.dtype


def test_every_function_that_takes_a_mask_an_index_or_a_target_is_in_the_table():
    taken = {"mask", "attn_mask", "noise", "target", "indices", "padding_idx", "running_mean"}
    functions = {f for f in vars(F).values() if inspect.isfunction(f)}
    functions |= {f for f, call in numpy_functions.items() if call.__module__ == arrays.__name__}
    needed = {f for f in functions if taken & set(inspect.signature(f).parameters)}
    assert len(needed) >= 16 and needed <= {row[0] for row in CALLS}

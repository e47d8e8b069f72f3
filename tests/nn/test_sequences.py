"""Embedding, attention and recurrent layers, against loops in this file and against PyTorch: masks,
noise, penalties.
"""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import close, normal, normal_leaf
from hypothesis import given, settings

import minigrad as mg
from minigrad import functional as F
from minigrad import nn
from minigrad.engine import Tensor
from minigrad.graph import nodes
from minigrad.nn.sequences import WEIGHT_NAMES, gru_cell, lstm_cell, rnn_cell

pytestmark = [
    pytest.mark.usefixtures("seeded"),
    # some entries are behind a mask, and some states are not used
    pytest.mark.filterwarnings("ignore:gradcheck. VACUOUS for inputs"),
]
KINDS = ["RNN", "LSTM", "GRU"]
kinds = pytest.mark.parametrize("kind", KINDS)


def streams(out):
    return [noise.stream for noise in mg.noise_leaves(out)]


# ---------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize(
    "index", [3, [0, 2, 2], [[1, 1], [4, 0]], np.zeros((2, 0), int), np.uint8([4, 4])], ids=str
)
def test_an_embedding_is_the_rows_that_are_named_and_their_gradients_add_up(index):
    weight, index = normal_leaf(5, 3), np.asarray(index, None if np.size(index) else int)
    out = F.embedding(index, weight)
    u = normal(*out.shape, seed=1)
    (gradient,) = mg.grad(out, weight, u)
    expected = np.zeros((5, 3))
    for place in np.ndindex(index.shape):
        np.testing.assert_array_equal(out.data[place], weight.data[index[place]])
        expected[index[place]] += u[place]
    close(gradient, expected)


def test_an_embedding_passes_both_gradient_checks():
    index = Tensor([[0, 2], [2, 1]])
    assert mg.gradcheck(lambda w: np.tanh(F.embedding(index, w)), normal_leaf(3, 2))
    assert mg.gradgradcheck(lambda w: np.tanh(F.embedding(index, w)), normal_leaf(3, 2))


@pytest.mark.parametrize("padding", [1, -2])
def test_the_padding_row_is_read_and_gets_no_gradient(padding):
    weight, index = normal_leaf(3, 2), np.array([[0, 1], [1, 2]])
    out = F.embedding(index, weight, padding)
    np.testing.assert_array_equal(out.data, weight.data[index])
    (gradient,) = mg.grad(out, weight, np.ones(out.shape), retain_graph=True)
    np.testing.assert_array_equal(gradient.data, [[1, 1], [0, 0], [1, 1]])
    assert mg.check_graph(np.sum(np.sin(out)))


@pytest.mark.parametrize(
    "input, error, message",
    [
        (
            [0.0, 1.0],
            TypeError,
            "embedding: each row in x must be of an integer dtype, not float32",
        ),
        ([True], TypeError, "not bool"),
        ([0, 3], IndexError, r"embedding: each row in x must be from 0 to 2, got 0\.\.3"),
        ([[-1]], IndexError, r"must be from 0 to 2, got -1"),
    ],
)
def test_an_index_that_has_no_row_is_refused(input, error, message):
    with pytest.raises(error, match=message):
        F.embedding(input, normal_leaf(3, 2))


def test_a_wrong_table_and_a_wrong_padding_row_are_refused():
    with pytest.raises(
        ValueError,
        match=r"embedding: weight must be \(num_embeddings, embedding_dim\), got \(3,\)",
    ):
        F.embedding([0], normal_leaf(3))
    for function in (
        lambda i: F.embedding([0], normal_leaf(3, 2), i),
        lambda i: nn.Embedding(3, 2, padding_idx=i),
    ):
        for padding in (3, -4):
            with pytest.raises(
                IndexError, match=rf"padding_idx must be from -3 to 2, got {padding}"
            ):
                function(padding)


def test_the_layer_begins_as_standard_normal_with_a_padding_row_of_zeros():
    layer = nn.Embedding(200, 100, padding_idx=-1, penalty=nn.L2(0.1))
    weight = layer.weight.data
    assert (
        weight.dtype == np.float32
        and not weight[199].any()
        and list(layer.state_dict()) == ["weight"]
    )
    n = weight[:199].size
    assert abs(weight[:199].mean()) < 6.5 / math.sqrt(n) and abs(
        np.mean(weight[:199].astype(float) ** 2) - 1
    ) < 6.5 * math.sqrt(2 / n)
    close(layer.penalty().item(), 0.1 * np.sum(weight.astype(float) ** 2), rtol=1e-5)
    assert (
        repr(layer)
        == "Embedding(num_embeddings=200, embedding_dim=100, padding_idx=-1, penalty=L2(0.1))"
    )
    assert np.all(nn.Embedding(2, 3, init=nn.zeros).weight.data == 0)


def test_the_embedding_is_pytorchs():
    torch = pytest.importorskip("torch")
    index = np.array([[1, 0, 2], [2, 2, 0]])
    theirs = torch.nn.Embedding(3, 4, padding_idx=0, dtype=torch.float64)
    ours = nn.Embedding(3, 4, padding_idx=0, dtype=np.float64)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    theirs(torch.tensor(index)).sin().sum().backward()
    np.sum(np.sin(ours(index))).backward()
    close(ours.weight.grad, theirs.weight.grad.numpy())


# ---------------------------------------------------------------------------------------- attention


def attention_by_loops(q, k, v, allowed=None, added=None, scale=None):
    """(result, weights), one query at a time, with exponentials of the allowed scores only."""
    batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (q, k, v))
    shape = *batch, q.shape[-2], k.shape[-2]
    allowed = np.broadcast_to(True if allowed is None else allowed, shape)
    added = np.broadcast_to(0.0 if added is None else added, shape)
    weights, out = np.zeros(shape), np.zeros((*shape[:-1], v.shape[-1]))
    for place in np.ndindex(shape[:-1]):
        keys = np.flatnonzero(allowed[place])
        scores = [
            q[place] @ k[place[:-1]][j] * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
            + added[(*place, j)]
            for j in keys
        ]
        e = [math.exp(s - max(scores)) for s in scores]
        for j, w in zip(keys, e):
            weights[(*place, j)] = w / sum(e)
        out[place] = sum(
            (weights[(*place, j)] * v[place[:-1]][j] for j in keys), np.zeros(v.shape[-1])
        )
    return out, weights


attended = st.tuples(
    st.sampled_from(
        [
            ((), (), ()),
            ((2,), (2,), (2,)),
            ((2, 1), (1, 3), (2, 3)),
            ((3,), (), (3,)),
            ((), (2,), ()),
        ]
    ),
    *(st.integers(1, 4) for _ in range(4)),
    st.sampled_from(["none", "boolean", "added", "both"]),
    st.booleans(),
    st.sampled_from([None, 0.3, 2.0]),
    st.integers(0, 2**32 - 1),
)


@given(attended)
@settings(max_examples=60, deadline=None)
def test_attention_equals_loops_for_all_shapes_and_masks(drawn):
    (a, b, c), length, size, e, d, kind, causal, scale, seed = drawn
    rng = np.random.default_rng(seed)
    q, k, v = (
        rng.standard_normal(shape) for shape in ((*a, length, e), (*b, size, e), (*c, size, d))
    )
    allowed, added = rng.random((length, size)) < 0.6, rng.standard_normal((length, size))
    mask = {
        "none": None,
        "boolean": allowed,
        "added": added,
        "both": np.where(allowed, added, -np.inf),
    }[kind]
    wanted = np.ones((length, size), bool) if kind in ("none", "added") else allowed
    wanted = wanted & (np.arange(size) <= np.arange(length)[:, None]) if causal else wanted
    found, weights = F.scaled_dot_product_attention(
        q, k, v, mask, is_causal=causal, scale=scale, need_weights=True
    )
    expected = attention_by_loops(
        q, k, v, wanted, added if kind in ("added", "both") else None, scale
    )
    close(found, expected[0])
    close(
        weights, expected[1][(0,) * (expected[1].ndim - weights.ndim)]
    )  # values alone can have more axes


MASKS = {
    "none": None,
    "boolean": np.array([[True, False, True], [True, True, False]]),
    "nothing allowed": np.array([[True, True, True], [False, False, False]]),
    "added": np.array([[0.3, -1.0, 0.0], [-np.inf, 0.2, 2.0]]),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"dropout_p": 0.4, "training": True}, {"is_causal": True}],
    ids=["plain", "dropout", "causal"],
)
def test_attention_passes_both_gradient_checks_with_its_noise(mask, settings):
    inputs, settings = (
        (normal_leaf(2, 2), normal_leaf(3, 2, seed=1), normal_leaf(3, 1, seed=2)),
        {**settings, "rng": np.random.Generator(np.random.PCG64(0))},
    )

    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, MASKS[mask], **settings)

    assert mg.gradcheck(attend, inputs)
    assert mg.gradgradcheck(attend, inputs)
    assert mg.check_graph(np.sum(np.sin(attend(*inputs))))


def test_a_mask_that_is_learned_gets_its_gradient():
    mask = Tensor(MASKS["added"], True)
    q, k, v = normal(2, 3), normal(3, 3, seed=1), normal(3, 2, seed=2)
    (gradient,) = mg.grad(F.scaled_dot_product_attention(q, k, v, mask).sum(), mask)
    assert gradient.data[1, 0] == 0 and np.all(np.delete(gradient.data, 3) != 0)
    free = Tensor(np.where(np.isinf(mask.data), 0, mask.data), True)
    assert mg.gradcheck(lambda m: F.scaled_dot_product_attention(q, k, v, m), free)


def test_a_query_that_may_attend_to_nothing_gets_zeros_and_sends_none():
    inputs = normal_leaf(2, 3), normal_leaf(3, 3, seed=1), normal_leaf(3, 2, seed=2)
    for mask in (MASKS["nothing allowed"], np.where(MASKS["nothing allowed"], 0.0, -np.inf)):
        out, weights = F.scaled_dot_product_attention(*inputs, mask, need_weights=True)
        assert not out.data[1].any() and not weights.data[1].any()
        gradients = mg.grad(out, inputs, normal(2, 2))
        assert all(np.isfinite(g.data).all() for g in gradients) and not gradients[0].data[1].any()


def test_a_causal_query_sees_nothing_that_comes_later():
    x = normal_leaf(5, 2)
    out = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    for i in range(5):
        (gradient,) = mg.grad(out[i].sum(), x, retain_graph=True)
        assert not gradient.data[i + 1 :].any() and gradient.data[: i + 1].any(axis=1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention_keeps_its_dtype_and_does_not_overflow(dtype):
    q = np.array([[1e4, 0.0]], dtype)
    out = F.scaled_dot_product_attention(
        Tensor(q, True),
        Tensor(np.array([[1, 0], [-1, 0], [9, 9]], dtype)),
        np.eye(3, dtype=dtype),
        [[0.0, 0.0, -np.inf]],
    )
    assert out.dtype == dtype
    close(out, [[1, 0, 0]])


def test_the_mean_over_all_masks_of_attention_is_its_evaluation():
    inputs = normal_leaf(2, 3), normal_leaf(3, 3, seed=1), normal_leaf(3, 2, seed=2)
    expected = mg.expectation(
        F.scaled_dot_product_attention(*inputs, MASKS["boolean"], 0.3, training=True)
    )
    assert expected.outcomes == 2**6
    close(
        expected.value,
        F.scaled_dot_product_attention(*inputs, MASKS["boolean"], 0.3, training=False),
    )
    report = mg.check_noise(
        lambda x: F.scaled_dot_product_attention(x, x, x, None, 0.3, training=True), (60, 60)
    )
    assert report and {
        "law, 1-p",
        "calls",
        "size along axis 0",
        "size along axis 1",
    } <= {r.test for r in report.rows}


def test_dropout_of_attention_asks_for_training_and_is_named_after_the_layer():
    x = normal_leaf(3, 2)
    with pytest.raises(
        TypeError,
        match="dropout_p=0.2 needs training=True or training=False",
    ):
        F.scaled_dot_product_attention(x, x, x, dropout_p=0.2)
    assert (
        mg.noise_leaves(F.scaled_dot_product_attention(x, x, x, dropout_p=0.2, training=False))
        == []
    )
    with mg.sampling():
        assert streams(F.scaled_dot_product_attention(x, x, x, dropout_p=0.2, training=False)) == [
            "scaled_dot_product_attention"
        ]
    (noise,) = mg.noise_leaves(
        F.scaled_dot_product_attention(x, x, x, dropout_p=0.2, training=True, rng="mine")
    )
    assert noise.stream == "mine"


@pytest.mark.parametrize(
    "shapes, mask, error, message",
    [
        (
            [(3, 2), (4, 5), (4, 2)],
            None,
            ValueError,
            r"query \(3, 2\), key \(4, 5\) and value \(4, 2\) must be \(..., L, E\)",
        ),
        ([(3, 2), (4, 2), (5, 2)], None, ValueError, r"value \(5, 2\) must be"),
        ([(2,), (4, 2), (4, 2)], None, ValueError, r"query \(2,\)"),
        ([(3, 0), (4, 0), (4, 2)], None, ValueError, r"query \(3, 0\), .* with E > 0"),
        (
            [(3, 2), (4, 2), (4, 2)],
            np.ones((4, 3), bool),
            ValueError,
            r"attention: .* arg 0 with shape \(4, 3\) and arg 1 with shape \(3, 4\)",
        ),
        (
            [(3, 2), (4, 2), (4, 2)],
            np.ones((3, 4), int),
            TypeError,
            "attn_mask must be boolean, True where a query may attend, .* not int64",
        ),
    ],
)
def test_attention_names_shapes_that_do_not_fit(shapes, mask, error, message):
    with pytest.raises(error, match=message):
        F.scaled_dot_product_attention(*(normal_leaf(*shape) for shape in shapes), mask)


@pytest.mark.parametrize("mask, causal", [*((mask, False) for mask in MASKS), ("none", True)])
def test_attention_is_pytorchs(mask, causal):
    torch = pytest.importorskip("torch")
    arrays = normal(2, 2, 3), normal(2, 3, 3, seed=1), normal(2, 3, 4, seed=2)
    ours, theirs = (
        [Tensor(a, True) for a in arrays],
        [torch.tensor(a, requires_grad=True) for a in arrays],
    )
    out = F.scaled_dot_product_attention(*ours, MASKS[mask], is_causal=causal)
    twin = torch.nn.functional.scaled_dot_product_attention(
        *theirs,
        attn_mask=None if MASKS[mask] is None else torch.tensor(MASKS[mask]),
        is_causal=causal,
    )
    close(out, twin.detach().numpy())
    u = normal(*out.shape, seed=3)
    twin.backward(torch.tensor(u))
    for gradient, other in zip(mg.grad(out, ours, u), theirs):
        close(gradient, other.grad.numpy())


# ----------------------------------------------------------------------------- multi-head attention


def test_several_heads_are_several_attentions_side_by_side():
    layer = nn.MultiheadAttention(6, 3, batch_first=True, bias_init=nn.normal, dtype=np.float64)
    query, key, value = normal(2, 4, 6), normal(2, 5, 6, seed=1), normal(2, 5, 6, seed=2)
    out, weights = layer(query, key, value, average_attn_weights=False)
    w, b = layer.in_proj_weight.data, layer.in_proj_bias.data
    parts = [x @ w[i : i + 6].T + b[i : i + 6] for x, i in zip((query, key, value), (0, 6, 12))]
    heads = [attention_by_loops(*(x[:, :, i : i + 2] for x in parts)) for i in (0, 2, 4)]
    close(weights, np.stack([w for _, w in heads], axis=1))
    close(
        out,
        np.concatenate([o for o, _ in heads], axis=-1) @ layer.out_proj.weight.data.T
        + layer.out_proj.bias.data,
    )
    close(layer(query, key, value)[1], np.mean(weights.data, axis=1))
    assert layer(query, key, value, need_weights=False)[1] is None


def attention_pairs():
    """(settings of the layers, arguments of the calls)."""
    padding, some = (
        np.array([[False, False, True], [False, True, False]]),
        np.array([[False, False, True], [True, False, False]]),
    )
    each = np.random.default_rng(0).random((4, 2, 3)) < 0.5
    each[..., 1] = False
    return [
        ({}, {}),
        ({"bias": False, "batch_first": True}, {"need_weights": False}),
        (
            {"batch_first": True},
            {
                "key_padding_mask": padding,
                "attn_mask": np.float64([[0.1, -2, 0.3], [0, 0, -np.inf]]),
            },
        ),
        ({}, {"key_padding_mask": padding, "average_attn_weights": False}),
        ({}, {"attn_mask": some}),
        (
            {"batch_first": True},
            {"attn_mask": each, "key_padding_mask": np.float64([[0, 1, 2], [3, 2, 1]])},
        ),
    ]


@pytest.mark.parametrize("made, called", attention_pairs(), ids=range(6))
@pytest.mark.filterwarnings("ignore")  # PyTorch's, of masks of two kinds
def test_multihead_attention_is_pytorchs(made, called):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(4, 2, dtype=torch.float64, **made)
    ours = nn.MultiheadAttention(4, 2, dtype=np.float64, **made)
    same_weights(torch, ours, theirs)
    arrays = [
        normal(2, n, 4, seed=i) if made.get("batch_first") else normal(n, 2, 4, seed=i)
        for i, n in enumerate((2, 3, 3))
    ]
    mine, twins = (
        [Tensor(a, True) for a in arrays],
        [torch.tensor(a, requires_grad=True) for a in arrays],
    )
    out, weights = ours(*mine, **called)
    expected, their_weights = theirs(
        *twins,
        **{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in called.items()},
    )
    close(out, expected.detach().numpy())
    assert (weights is None) == (their_weights is None)
    if weights is not None:
        close(weights, their_weights.detach().numpy())
    same_gradients(out, expected, [*mine], [*twins], ours, theirs)


def same_weights(torch, ours, theirs):
    """Gives both layers the same random weights, also where they begin as 0."""
    state = {
        key: normal(*value.shape, seed=i) / 2
        for i, (key, value) in enumerate(ours.state_dict().items())
    }
    assert list(state) == list(theirs.state_dict())
    ours.load_state_dict(state)
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state.items()})


def same_gradients(out, expected, mine, twins, ours, theirs):
    u = normal(*out.shape, seed=9)
    out.backward(u)
    expected.backward(expected.new_tensor(u))
    named, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    for a, b in [*zip(mine, twins), *((named[name], other) for name, other in others.items())]:
        close(a.grad, b.grad.numpy(), rtol=1e-10)


def test_a_causal_layer_needs_no_mask_and_joins_it_with_others():
    layer = nn.MultiheadAttention(4, 2, dtype=np.float64)
    x, later = normal(3, 2, 4), np.triu(np.ones((3, 3), bool), 1)
    padding = np.array(
        [[False, True, False], [True, False, False]]
    )  # the first query of the second sequence is left with nothing
    for extra in ({}, {"key_padding_mask": padding}):
        one, two = layer(x, x, x, is_causal=True, **extra), layer(x, x, x, attn_mask=later, **extra)
        close(one[0], two[0])
        close(one[1], two[1])
    assert not two[1].data[1, 0].any() and np.isfinite(two[0].data).all()


def test_masks_of_both_kinds_may_be_mixed():
    layer = nn.MultiheadAttention(4, 2, dtype=np.float64)
    x, mask = normal(3, 2, 4), np.array([[False, False, True], [False, True, False]])
    close(layer(x, x, x, mask, attn_mask=np.zeros((3, 3)))[0], layer(x, x, x, mask)[0])
    close(
        layer(x, x, x, np.where(mask, -np.inf, 0), attn_mask=np.zeros((3, 3), bool))[0],
        layer(x, x, x, mask)[0],
    )


def test_attention_takes_lists():
    x = np.round(8 * normal(3, 3, 4)) / 8  # exact in float32, which lists become
    mask = np.triu(np.ones((3, 3), bool), 1)
    for batch_first in True, False:
        layer = nn.MultiheadAttention(4, 2, batch_first=batch_first, dtype=np.float64)
        of_lists = layer(*[x.tolist()] * 3, attn_mask=mask.tolist())
        for a, b in zip(layer(x, x, x, attn_mask=mask), of_lists):
            close(a, b)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda a: a(normal(3, 4), normal(3, 4), normal(3, 4)),
            ValueError,
            r"query \(3, 4\).*must be \(L, N, 4\)",
        ),
        (
            lambda a: a(normal(3, 1, 4), normal(2, 1, 4), normal(3, 1, 4)),
            ValueError,
            r"key \(2, 1, 4\), value \(3, 1, 4\) must be \(L, N, 4\), \(S, N, 4\), \(S, N, 4\)",
        ),
        (lambda a: a(*[normal(3, 1, 5)] * 3), ValueError, r"must be \(L, N, 4\)"),
        (
            lambda a: a(*[normal(3, 1, 4)] * 3, np.zeros((3, 1), bool)),
            ValueError,
            r"key_padding_mask \(3, 1\) must be \(1, 3\)",
        ),
        (
            lambda a: a(*[normal(3, 1, 4)] * 3, attn_mask=np.zeros((3, 2))),
            ValueError,
            r"attn_mask \(3, 2\) must be \(3, 3\) or \(2, 3, 3\)",
        ),
        (
            lambda a: a(*[normal(3, 1, 4)] * 3, np.zeros((1, 3), int)),
            TypeError,
            "key_padding_mask must be boolean, True where a key is NOT attended to",
        ),
        (
            lambda a: nn.MultiheadAttention(4, 3),
            ValueError,
            "num_heads=3 does not divide embed_dim=4",
        ),
        (
            lambda a: nn.MultiheadAttention(4, 2, dropout=50),
            ValueError,
            "MultiheadAttention: p is the probability of DROPPING",
        ),
    ],
)
def test_multihead_attention_names_shapes_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.MultiheadAttention(4, 2))


def test_weights_of_attention_begin_as_pytorchs():
    layer = nn.MultiheadAttention(64, 4, penalty=nn.L2(0.5), bias_penalty=nn.L1(2.0))
    bound = math.sqrt(6 / (64 + 192))
    assert (
        0.99 * bound < np.abs(layer.in_proj_weight.data).max() <= bound
        and np.abs(layer.out_proj.weight.data).max() <= 1 / 8
    )
    assert not layer.in_proj_bias.data.any() and not layer.out_proj.bias.data.any()
    assert (
        repr(layer).splitlines()[1]
        == "  embed_dim=64, num_heads=4, penalty=L2(0.5), bias_penalty=L1(2)"
    )
    assert (
        repr(nn.MultiheadAttention(4, 2, bias=False)).splitlines()[1]
        == "  embed_dim=4, num_heads=2, bias=False"
    )


# --------------------------------------------------------------------------------------- recurrence

sigmoid = lambda x: 1 / (1 + np.exp(-x))


def by_hand(kind, x, states, w_ih, w_hh, b_ih, b_hh, act=np.tanh):
    """One layer in one direction, step by step, from the equations of PyTorch's manual: (outputs,
    last states).
    """
    h, *c = states
    hidden, outputs = h.shape[-1], []
    for x_t in x:
        a, b = x_t @ w_ih.T + b_ih, h @ w_hh.T + b_hh
        part = [slice(i * hidden, (i + 1) * hidden) for i in range(4)]
        if kind == "RNN":
            h = act(a + b)
        elif kind == "LSTM":
            i, f, o = (sigmoid((a + b)[:, part[k]]) for k in (0, 1, 3))
            c = [f * c[0] + i * np.tanh((a + b)[:, part[2]])]
            h = o * np.tanh(c[0])
        else:
            r, z = (sigmoid((a + b)[:, part[k]]) for k in (0, 1))
            h = (1 - z) * np.tanh(a[:, part[2]] + r * b[:, part[2]]) + z * h
        outputs.append(h)
    return np.stack(outputs), [h, *c]


def layer_of(kind, *sizes, **settings):
    return getattr(nn, kind)(*sizes, dtype=np.float64, **settings)


def arrays_of(layer, place="l0"):
    return [getattr(layer, f"{name}_{place}").data for name in WEIGHT_NAMES]


def states_of(kind, *shape, seed=5):
    found = tuple(normal_leaf(*shape, seed=seed + i) for i in range(2 if kind == "LSTM" else 1))
    return found if kind == "LSTM" else found[0]


def each(states):
    return states if isinstance(states, tuple) else (states,)


@pytest.mark.parametrize("kind", [*KINDS, "relu"])
def test_a_layer_is_its_equations(kind):
    settings = {"nonlinearity": "relu"} if kind == "relu" else {}
    kind, act = ("RNN", lambda x: np.maximum(x, 0)) if settings else (kind, np.tanh)
    layer, x = layer_of(kind, 3, 4, **settings), normal(5, 2, 3)
    for start in (None, states_of(kind, 1, 2, 4)):
        begin = (
            [np.zeros((2, 4))] * layer.states if start is None else [s.data[0] for s in each(start)]
        )
        expected, last = by_hand(kind, x, begin, *arrays_of(layer), act)
        out, found = layer(x, start)
        close(out, expected)
        for a, b in zip(each(found), last):
            close(a, b[None])


@kinds
def test_a_bidirectional_layer_is_one_layer_forward_and_one_backward(kind):
    layer, x = layer_of(kind, 3, 4, bidirectional=True, batch_first=True), normal(2, 5, 3)
    out, last = layer(x)
    forward, _ = by_hand(kind, x.swapaxes(0, 1), [np.zeros((2, 4))] * 2, *arrays_of(layer))
    backward, state = by_hand(
        kind, x.swapaxes(0, 1)[::-1], [np.zeros((2, 4))] * 2, *arrays_of(layer, "l0_reverse")
    )
    close(out, np.concatenate([forward, backward[::-1]], axis=-1).swapaxes(0, 1))
    close(each(last)[0].data[1], state[0])


@kinds
@pytest.mark.parametrize(
    "settings", [{"bidirectional": True, "batch_first": True}, {"bias": False}], ids=str
)
def test_a_stack_of_layers_is_pytorchs(kind, settings):
    torch = pytest.importorskip("torch")
    theirs, ours = (
        getattr(torch.nn, kind)(3, 4, 2, dtype=torch.float64, **settings),
        layer_of(kind, 3, 4, 2, **settings),
    )
    same_weights(torch, ours, theirs)
    x, given = (
        normal_leaf(2, 5, 3),
        states_of(
            kind,
            4 if "bidirectional" in settings else 2,
            *((2, 4) if settings.get("batch_first") else (5, 4)),
        ),
    )
    twin, states = (
        torch.tensor(x.data, requires_grad=True),
        [torch.tensor(s.data, requires_grad=True) for s in each(given)],
    )
    (out, last), (expected, their_last) = (
        ours(x, given),
        theirs(twin, tuple(states) if kind == "LSTM" else states[0]),
    )
    close(out, expected.detach().numpy())
    for a, b in zip(each(last), each(their_last)):
        close(a, b.detach().numpy())
    whole = np.concatenate([out.ravel(), *(s.ravel() for s in each(last))])
    their_whole = torch.cat([expected.ravel(), *(s.ravel() for s in each(their_last))])
    same_gradients(whole, their_whole, [x, *each(given)], [twin, *states], ours, theirs)


CELLS = {"rnn": (rnn_cell, 1, 1), "lstm": (lstm_cell, 4, 2), "gru": (gru_cell, 3, 1)}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_passes_both_gradient_checks(name):
    cell, gates, states = CELLS[name]
    inputs = [
        normal_leaf(2, 2 * gates),
        normal_leaf(2, 2 * gates, seed=1),
        *(normal_leaf(2, 2, seed=2 + i) for i in range(states)),
    ]
    assert mg.gradcheck(cell, inputs)
    assert mg.gradgradcheck(cell, inputs)


@kinds
def test_a_layer_passes_first_and_second_order_checks_with_its_noise(kind):
    layer, x = layer_of(kind, 1, 2, recurrent_dropout=0.3), normal_leaf(2, 2, 1)
    gradients = mg.grad(np.sum(np.sin(layer(x)[0])), [x, *layer.parameters()], create_graph=True)
    loss = sum(np.sum(np.sin(g)) for g in gradients)
    assert len(mg.noise_leaves(loss)) == 1 and mg.check_graph(loss)


@kinds
def test_a_cell_takes_one_sample_without_a_batch(kind):
    cell, x = layer_of(f"{kind}Cell", 3, 4), normal(3)
    for state in (None, states_of(kind, 4)):
        batch = None if state is None else tuple(s.reshape(1, 4) for s in each(state))
        for one, many in zip(each(cell(x, state)), each(cell(x[None], batch))):
            assert one.shape == (4,)
            close(one, many[0])


@kinds
def test_a_sequence_in_two_parts_is_the_whole_if_the_state_is_passed_on(kind):
    layer, x = layer_of(kind, 3, 4, 2), normal(7, 2, 3)
    out, last = layer(x)
    first, state = layer(x[:3])
    second, end = layer(x[3:], state)
    close(np.concatenate([first, second]), out)
    for a, b in zip(each(end), each(last)):
        close(a, b)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
def test_the_steps_of_a_sequence_are_its_entries_and_cost_little_more_than_it(n):
    x = normal_leaf(n, 2, 3)
    found = list(x)
    np.testing.assert_array_equal([s.data for s in found], x.data)
    out = np.stack(found[::-1])
    u = normal(n, 2, 3, seed=1)
    np.testing.assert_array_equal(mg.grad(out, x, u, retain_graph=True)[0].data, u[::-1])
    sliced = sum(
        node.args[0].size
        for node in nodes(out)
        if node.op is not None and node.op.name == "getitem"
    )
    assert sliced <= x.size * 2 * (math.log2(n) + 1.5)  # one by one, n times its size


@kinds
def test_weights_begin_as_pytorchs(kind):
    layer = getattr(nn, kind)(3, 16, 2, bidirectional=True)
    assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float32)}
    assert 0.99 / 4 < max(np.abs(p.data).max() for p in layer.parameters()) <= 1 / 4
    assert not layer_of(kind, 3, 4, bias_init=nn.zeros).bias_hh_l0.data.any()


# -------------------------------------------------------------------- noise and penalties in layers


def between(out):
    """The noise between layers (T or 1, N, features) and the noise of states, by their streams."""
    return {
        noise.stream.rpartition(".")[2] or noise.stream: noise for noise in mg.noise_leaves(out)
    }


@kinds
def test_dropout_between_layers_is_new_each_step_or_the_same_for_all(kind):
    x = normal(6, 50, 3)
    for variational in (False, True):
        noise = between(layer_of(kind, 3, 4, 3, dropout=0.5, variational=variational)(x)[0])
        assert list(noise) == ["dropout_l0", "dropout_l1"] and {
            n.shape for n in noise.values()
        } == {(1 if variational else 6, 50, 4)}
    assert between(layer_of(kind, 3, 4, 2, bidirectional=True, dropout=0.5)(x)[0])[
        "dropout_l0"
    ].shape == (6, 50, 8)


@kinds
def test_recurrent_dropout_drops_the_same_of_the_state_at_each_step(kind):
    layer, x = layer_of(kind, 3, 4, recurrent_dropout=0.5), normal(5, 2, 3)
    given = states_of(kind, 1, 2, 4)
    out, _ = layer(x, given)
    kept = between(out)["recurrent_dropout_l0"].data * 2.0
    assert kept.shape == (2, 4)
    w_ih, w_hh, b_ih, b_hh = arrays_of(layer)
    for n in range(
        2
    ):  # to drop entries of the state is to drop columns of the weight, those of each sequence on their own
        expected, _ = by_hand(
            kind,
            x[:, n : n + 1],
            [s.data[0, n : n + 1] for s in each(given)],
            w_ih,
            w_hh * kept[n],
            b_ih,
            b_hh,
        )
        close(out.data[:, n : n + 1], expected)


def test_variational_dropout_between_layers_drops_columns_of_the_next_weight():
    layer, x = layer_of("GRU", 3, 4, 2, dropout=0.5, variational=True), normal(5, 1, 3)
    out, _ = layer(x)
    kept = between(out)["dropout_l0"].data[0, 0] * 2.0
    first, _ = by_hand("GRU", x, [np.zeros((1, 4))], *arrays_of(layer))
    w_ih, *others = arrays_of(layer, "l1")
    close(out, by_hand("GRU", first, [np.zeros((1, 4))], w_ih * kept, *others)[0])


def test_the_masks_of_variational_dropout_can_all_be_counted():
    for variational, outcomes in ((True, 2**4), (False, 2**8)):
        layer = layer_of("RNN", 2, 2, 2, dropout=0.3, variational=variational)
        expected = mg.expectation(layer(normal(2, 2, 2))[0].sum())
        assert expected.outcomes == outcomes
    assert (
        mg.expectation(
            layer_of("RNN", 2, 2, recurrent_dropout=0.3)(normal(5, 2, 2))[0].sum()
        ).outcomes
        == 2**4
    )


@kinds
def test_evaluation_draws_nothing_and_sampling_draws(kind):
    layer, x = layer_of(kind, 3, 4, 2, dropout=0.5, recurrent_dropout=0.5).eval(), normal(3, 2, 3)
    plain = layer_of(kind, 3, 4, 2)
    plain.load_state_dict(layer.state_dict())
    assert mg.noise_leaves(layer(x)[0]) == [] and np.array_equal(layer(x)[0].data, plain(x)[0].data)
    with mg.sampling():
        assert sorted(between(layer(x)[0])) == [
            "dropout_l0",
            "recurrent_dropout_l0",
            "recurrent_dropout_l1",
        ]


class Tagger(nn.Module):
    """One model with everything that this file tests."""

    def __init__(self, layers=2, **settings):
        self.embed = nn.Embedding(7, 4, padding_idx=0, **settings)
        noise = {"dropout": 0.3, "recurrent_dropout": 0.2, "variational": True}
        self.rnn = nn.LSTM(
            4,
            3,
            layers,
            bidirectional=True,
            batch_first=True,
            penalty=nn.L2(0.01),
            bias_penalty=nn.L1(0.02),
            **noise,
            **settings,
        )
        self.attention = nn.MultiheadAttention(
            6, 2, 0.2, batch_first=True, penalty=nn.ElasticNet(0.01, 0.02), **settings
        )
        self.out = nn.Linear(6, 3, **settings)

    def forward(self, tokens):
        x, _ = self.rnn(self.embed(tokens))
        attended, _ = self.attention(x, x, x, key_padding_mask=tokens == 0, need_weights=False)
        return self.out(x + attended)


TOKENS = np.array([[1, 2], [5, 0]])
TAGS = np.array([[0, 1], [1, 2]])


def tagger_loss(model):
    return F.cross_entropy(model(TOKENS).reshape(-1, 3), TAGS.ravel()) + model.penalty()


def test_a_whole_model_in_training_passes_the_check_of_its_graph():
    loss = tagger_loss(Tagger())
    report = mg.check_graph(loss)
    assert report, report
    assert (
        len(mg.noise_leaves(loss)) == 6
        and sum(row.op == "leaf" for row in report.rows) == 1 + 16 + 4 + 2
    )


def test_one_seed_reproduces_the_noise_and_a_further_layer_does_not_change_it():
    def noise(layers):
        mg.manual_seed(3)
        return {
            n.stream: n.data
            for n in mg.noise_leaves(tagger_loss(Tagger(layers, rng=np.random.default_rng(0))))
        }

    one, two, more = noise(2), noise(2), noise(3)
    assert list(one) == [
        "rnn.recurrent_dropout_l0",
        "rnn.recurrent_dropout_l0_reverse",
        "rnn.dropout_l0",
        "rnn.recurrent_dropout_l1",
        "rnn.recurrent_dropout_l1_reverse",
        "attention.scaled_dot_product_attention",
    ]
    assert len(more) == 9 and all(
        np.array_equal(two[name], one[name]) and np.array_equal(more[name], one[name])
        for name in one
    )


def test_penalties_reach_all_weights_and_all_biases():
    model = Tagger(dtype=np.float64)
    state = model.state_dict()
    rnn = {k: v for k, v in state.items() if k.startswith("rnn.")}
    expected = 0.01 * sum(np.sum(v**2) for k, v in rnn.items() if "weight" in k) + 0.02 * sum(
        np.sum(abs(v)) for k, v in rnn.items() if "bias" in k
    )
    attention = [state["attention.in_proj_weight"], state["attention.out_proj.weight"]]
    expected += sum(0.01 * np.sum(abs(v)) + 0.02 * np.sum(v**2) for v in attention)
    close(model.penalty().item(), expected)
    (hidden,) = [nn.penalty(model, nn.L2(0.5), where="rnn.weight_hh_*")]
    close(hidden.item(), 0.5 * sum(np.sum(v**2) for k, v in rnn.items() if "weight_hh" in k))
    with pytest.raises(ValueError, match="GRU: bias_penalty=L1.1., but there is no bias"):
        nn.GRU(2, 3, bias=False, bias_penalty=nn.L1(1))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: nn.GRU(3, 4)(normal(5, 3)),
            ValueError,
            r"GRU: x \(5, 3\) must be \(T, N, 3\)",
        ),
        (
            lambda: nn.LSTM(3, 4, batch_first=True)(normal(5, 3)),
            ValueError,
            r"must be \(N, T, 3\)",
        ),
        (lambda: nn.RNN(3, 4)(normal(5, 2, 4)), ValueError, r"RNN: x \(5, 2, 4\)"),
        (
            lambda: nn.RNN(3, 4)(normal(0, 2, 3)),
            ValueError,
            r"x \(0, 2, 3\) must be \(T, N, 3\), T >= 1",
        ),
        (
            lambda: nn.GRU(3, 4, 2)(normal(5, 2, 3), normal(1, 2, 4)),
            ValueError,
            r"GRU: the state must be h of shape \(2, 2, 4\)",
        ),
        (
            lambda: nn.LSTM(3, 4)(normal(5, 2, 3), normal(1, 2, 4)),
            ValueError,
            r"LSTM: the state must be \(h, c\), each of shape \(1, 2, 4\)",
        ),
        (
            lambda: nn.RNN(3, 4, nonlinearity="gelu"),
            ValueError,
            'nonlinearity is "tanh" or "relu", not \'gelu\'',
        ),
        (lambda: nn.LSTM(3, 0), ValueError, "LSTM: hidden_size must be a whole number >= 1, got 0"),
        (
            lambda: nn.LSTM(3, 4, recurrent_dropout=1.5),
            ValueError,
            "LSTM: p is the probability of DROPPING",
        ),
    ],
)
def test_a_recurrent_layer_names_shapes_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_dropout_between_the_layers_of_one_is_a_warning():
    with pytest.warns(
        UserWarning,
        match="GRU: dropout=0.5 acts between layers, and there is one. Put a Dropout after it",
    ):
        nn.GRU(3, 4, dropout=0.5)


def test_reprs_give_the_settings_that_are_not_the_plain_ones():
    assert repr(nn.RNN(3, 4)) == "RNN(input_size=3, hidden_size=4)"
    assert (
        repr(nn.RNN(3, 4, 2, "relu"))
        == "RNN(input_size=3, hidden_size=4, num_layers=2, nonlinearity=relu)"
    )
    layer = nn.GRU(
        3, 4, 2, False, True, 0.5, True, variational=True, recurrent_dropout=0.2, penalty=nn.L1(0.1)
    )
    assert repr(layer) == (
        "GRU(input_size=3, hidden_size=4, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, variational=True, "
        "recurrent_dropout=0.2, penalty=L1(0.1))"
    )


def test_a_float_mask_that_is_minus_infinity_in_float16_hides():
    q = Tensor(np.ones((2, 4), np.float16), True)
    out = F.scaled_dot_product_attention(q, q, q, np.array([[0, 0], [-1e9, -1e9]]))
    (gradient,) = mg.grad(out.sum(), q)
    assert out.tolist() == [[1] * 4, [0] * 4] and np.isfinite(gradient.data).all()

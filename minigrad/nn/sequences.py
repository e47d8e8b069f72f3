"""Layers for sequences: embeddings, recurrent networks, attention. Names, arguments, layouts and state_dict keys are PyTorch's."""

import warnings
from functools import reduce
from itertools import product

import numpy as np

from .. import functional as F
from ..array import data_of
from ..engine import Tensor
from ..functional.dropout import check_settings
from ..functional.sequences import padding_row
from ..modes import scoped
from ..registry import composition
from .initialisers import fan_in_uniform, glorot_uniform, normal, zeros
from .layers import Linear
from .module import Layer, check_sizes, drawn


class Embedding(Layer):
    """Row i of weight (num_embeddings, embedding_dim) for each whole number i of x (...): (..., embedding_dim).

    The row `padding_idx`, which stands for no token, begins as zeros and stays: it gets no gradient.
    """

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        padding_idx=None,
        *,
        penalty=None,
        init=normal,
        rng=None,
        dtype=None,
    ):
        check_sizes(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim, self.padding_idx = (
            num_embeddings,
            embedding_dim,
            padding_idx,
        )
        self._penalise(penalty, None)
        shape = num_embeddings, embedding_dim
        self.weight = drawn(init, rng, shape, shape, dtype)
        if padding_idx is not None:
            self.weight.data[padding_row(padding_idx, num_embeddings)] = 0

    def forward(self, x):
        return F.embedding(x, self.weight, self.padding_idx)


# ------------------------------------------------------------------------------ recurrent networks
# A cell is one step: of x = W_ih x_t + b_ih and y = W_hh h + b_hh, both (N, gates * H), and the state, one or more (N, H), it makes the
# next state, a tuple whose first is the output.


@composition
def rnn_cell(x, y, h, nonlinearity=F.tanh):
    """h' = tanh(x + y) (Elman 1990)."""
    return (nonlinearity(x + y),)


@composition
def lstm_cell(x, y, h, c):
    """c' = f c + i g and h' = o tanh(c'): sigmoid gates i, f, o and g = tanh, of x + y (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
    i, f, g, o = np.split(x + y, 4, axis=-1)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


@composition
def gru_cell(x, y, h):
    """h' = (1-z) n + z h: gates r, z = sigmoid(x + y) and n = tanh(x + r y) (Cho et al. 2014, arXiv:1406.1078, but with r after the product)."""
    gates = 2 * h.shape[-1]
    r, z = np.split(F.sigmoid(x[:, :gates] + y[:, :gates]), 2, axis=-1)
    n = F.tanh(x[:, gates:] + r * y[:, gates:])
    return (n + z * (h - n),)


@composition
def steps(x):
    """The entries of x along its first axis. By halves: the gradients of n slices of the whole would take n^2 time."""
    half = len(x) // 2
    return steps(x[:half]) + steps(x[half:]) if half else [x[0]]


PARAMETERS = (
    "weight_ih",
    "weight_hh",
    "bias_ih",
    "bias_hh",
)  # what a cell has, for its input (i) and its state (h)


class Recurrent(Layer):
    """What RNN, LSTM and GRU share: layers of cells, one way or both, over a sequence.

    x (T, N, input_size), or (N, T, input_size) if `batch_first`, gives the output of the last layer, (T, N, H) or (N, T, H), and the
    last state of each layer, (num_layers, N, H). `bidirectional`: a second cell a layer reads backward; the output has 2 H features,
    and the states are those of layer 0 forward, layer 0 backward, layer 1 forward, ... The first state is 0 if not given.

    dropout            of the outputs of each layer but the last, in training
    variational        that dropout keeps its mask for all time steps of a sequence (Gal & Ghahramani 2016, arXiv:1512.05287)
    recurrent_dropout  of the state where it goes back into the cell's product; also with one mask for all time steps
    penalty, bias_penalty, init, bias_init, rng, dtype
                       for all weights and all biases, as in Linear; initialisers are given hidden_size for both fans, PyTorch's way
    """

    gates = states = 1  # how many (N, H) a cell computes, and how many its state has

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        variational=False,
        recurrent_dropout=0.0,
        penalty=None,
        bias_penalty=None,
        init=fan_in_uniform,
        bias_init=fan_in_uniform,
        rng=None,
        dtype=None,
    ):
        kind = type(self).__name__
        for p in dropout, recurrent_dropout:
            check_settings(kind, p=p)
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if dropout and num_layers == 1:
            warnings.warn(
                f"{kind}: dropout={dropout} acts between layers, and there is one. Put a Dropout after it.",
                stacklevel=2,
            )
        self.input_size, self.hidden_size, self.num_layers, self.bias, self.batch_first = (
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
        )
        self.dropout, self.bidirectional, self.variational, self.recurrent_dropout = (
            dropout,
            bidirectional,
            variational,
            recurrent_dropout,
        )
        self._penalise(penalty, bias_penalty, bias=bias)
        self.directions = ("", "_reverse") if bidirectional else ("",)
        rows, fans = self.gates * hidden_size, (hidden_size, hidden_size)
        for layer, direction in product(range(num_layers), self.directions):
            columns = len(self.directions) * hidden_size if layer else input_size
            for name, shape in zip(
                PARAMETERS[: 4 if bias else 2],
                [(rows, columns), (rows, hidden_size), (rows,), (rows,)],
            ):
                parameter = drawn(init if len(shape) == 2 else bias_init, rng, shape, fans, dtype)
                setattr(self, f"{name}_l{layer}{direction}", parameter)

    def forward(self, x, h0=None):
        x = self._time_first(x)
        first, last = iter(self._first_states(h0, np.shape(x)[1])), []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                share = 0 if self.variational else ()
                x = scoped(
                    f"dropout_l{layer - 1}", F.dropout, x, self.dropout, self.training, share=share
                )
            outputs = []
            for direction in self.directions:
                output, state = self._run(f"l{layer}{direction}", x, next(first))
                outputs.append(output)
                last.append(state)
            x = np.concatenate(outputs, axis=-1) if self.bidirectional else outputs[0]
        last = tuple(map(np.stack, zip(*last)))
        return np.swapaxes(x, 0, 1) if self.batch_first else x, last if self.states > 1 else last[0]

    def _run(self, place, x, state):
        """One layer one way: x (T, N, features) and the first state give (outputs (T, N, H), the last state)."""
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(self, f"{name}_{place}", None) for name in PARAMETERS
        )
        inputs, outputs, turn = (
            steps(F.linear(x, weight_ih, bias_ih)),
            [],
            slice(None, None, -1 if place.endswith("_reverse") else 1),
        )
        if p := self.recurrent_dropout:
            ones = Tensor(np.ones(state[0].shape, weight_hh.dtype), name="ones")
            kept = scoped(f"recurrent_dropout_{place}", F.dropout, ones, p, self.training)
        for step in inputs[turn]:
            h = state[0] * kept if p else state[0]
            state = self.cell(step, F.linear(h, weight_hh, bias_hh), *state)
            outputs.append(state[0])
        return np.stack(outputs[turn]), state

    def _time_first(self, x):
        shape, axes = (
            np.shape(x),
            "(N, T, input_size)" if self.batch_first else "(T, N, input_size)",
        )
        if (
            len(shape) != 3
            or shape[2] != self.input_size
            or not shape[1 if self.batch_first else 0]
        ):
            remedy = (
                f" For one sequence write x[{'None' if self.batch_first else ':, None'}]."
                if len(shape) == 2
                else ""
            )
            raise ValueError(
                f"{type(self).__name__}: x {shape} must be {axes} with input_size={self.input_size} and one step or more.{remedy}"
            )
        return np.swapaxes(x, 0, 1) if self.batch_first else x

    def _first_states(self, given, batch):
        """For each layer and direction its first state, a tuple of (N, H)."""
        shape = self.num_layers * len(self.directions), batch, self.hidden_size
        if given is None:
            nothing = np.zeros(shape[1:], self.weight_hh_l0.dtype)
            return [
                tuple(Tensor(nothing, name=name) for name in ("h0", "c0")[: self.states])
            ] * shape[0]
        given = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        if [np.shape(s) for s in given] != [shape] * self.states:
            wanted = "a state (h0, c0), each" if self.states > 1 else "a state h0"
            raise ValueError(
                f"{type(self).__name__}: {wanted} of shape {shape} is needed, got {', '.join(str(np.shape(s)) for s in given)}."
            )
        return list(zip(*given))


class RNN(Recurrent):
    """The plain recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu. `rnn(x, h0) -> output, h_n`. See Recurrent."""

    def __init__(
        self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", *args, **settings
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'RNN: nonlinearity is "tanh" or "relu", not {nonlinearity!r}.')
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, *args, **settings)

    def cell(self, x, y, h):
        return rnn_cell(x, y, h, getattr(F, self.nonlinearity))


class LSTM(Recurrent):
    """Long short-term memory. `lstm(x, (h0, c0)) -> output, (h_n, c_n)`; rows of the weights: gates i, f, g, o. See Recurrent, lstm_cell."""

    gates, states = 4, 2
    cell = staticmethod(lstm_cell)


class GRU(Recurrent):
    """Gated recurrent units. `gru(x, h0) -> output, h_n`; rows of the weights: gates r, z, n. See Recurrent, gru_cell."""

    gates = 3
    cell = staticmethod(gru_cell)


# ----------------------------------------------------------------------------------------- attention


class MultiheadAttention(Layer):
    """Attention in `num_heads` parts of embed_dim / num_heads features each (Vaswani et al. 2017, arXiv:1706.03762).

    query (L, N, embed_dim), key and value (S, N, embed_dim), or batch first, give (output like query, weights (N, L, S): the mean over
    heads). `dropout` is of the weights. `penalty` and `bias_penalty` apply to all weights and biases, `init` and `bias_init` to those of
    the way in; out_proj is a Linear.

    The masks are PyTorch's, and so contrary to those of F.scaled_dot_product_attention: True where a key is NOT attended to.

    key_padding_mask  (N, S): keys no query attends to
    attn_mask         (L, S), or (N * num_heads, L, S): keys that single queries do not attend to
    is_causal         query i attends to the keys 0..i only; needs no attn_mask

    Either can be of floats that are added to the scores. `need_weights=False` returns None for the weights, but computes them all the
    same; `average_attn_weights=False` returns those of each head, (N, num_heads, L, S).
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        *,
        batch_first=False,
        penalty=None,
        bias_penalty=None,
        init=glorot_uniform,
        bias_init=zeros,
        rng=None,
        dtype=None,
    ):
        check_settings("MultiheadAttention", p=dropout)
        check_sizes(self, embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim={embed_dim} cannot be split into num_heads={num_heads} equal parts."
            )
        self.embed_dim, self.num_heads, self.dropout, self.bias, self.batch_first = (
            embed_dim,
            num_heads,
            dropout,
            bias,
            batch_first,
        )
        self._penalise(penalty, bias_penalty, bias=bias)
        fans = embed_dim, 3 * embed_dim
        self.in_proj_weight = drawn(init, rng, fans[::-1], fans, dtype)
        self.in_proj_bias = drawn(bias_init, rng, fans[1:], fans, dtype) if bias else None
        self.out_proj = Linear(
            embed_dim,
            embed_dim,
            bias,
            penalty=penalty,
            bias_penalty=bias_penalty,
            bias_init=zeros,
            rng=rng,
            dtype=dtype,
        )

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ):
        inputs = self._batch_first(query, key, value)
        biases = [None] * 3 if self.in_proj_bias is None else np.split(self.in_proj_bias, 3)
        inside = [
            self._heads(F.linear(x, w, b))
            for x, w, b in zip(inputs, np.split(self.in_proj_weight, 3), biases)
        ]
        mask = self._mask(key_padding_mask, attn_mask, *(x.shape[:2] for x in inputs[:2]))
        settings = {"training": self.training, "need_weights": True}
        attended, weights = F.scaled_dot_product_attention(
            *inside, mask, self.dropout, is_causal, **settings
        )  # (N, heads, L, features)
        n, _, length, _ = attended.shape
        out = self.out_proj(np.reshape(np.swapaxes(attended, 1, 2), (n, length, self.embed_dim)))
        if need_weights and average_attn_weights:
            weights = np.mean(weights, axis=1)
        return out if self.batch_first else np.swapaxes(
            out, 0, 1
        ), weights if need_weights else None

    def _batch_first(self, *inputs):
        shapes = q, k, v = [np.shape(x) for x in inputs]
        batch, time = (0, 1) if self.batch_first else (1, 0)
        if (
            any(len(s) != 3 or s[2] != self.embed_dim for s in shapes)
            or not q[batch] == k[batch] == v[batch]
            or k[time] != v[time]
        ):
            axes = (
                "(N, L, E), (N, S, E), (N, S, E)"
                if self.batch_first
                else "(L, N, E), (S, N, E), (S, N, E)"
            )
            remedy = (
                f" For one sequence write x[{'None' if self.batch_first else ':, None'}]."
                if len(q) == 2
                else ""
            )
            raise ValueError(
                f"MultiheadAttention: query {q}, key {k} and value {v} must be {axes} with E={self.embed_dim}.{remedy}"
            )
        return inputs if self.batch_first else [np.swapaxes(x, 0, 1) for x in inputs]

    def _heads(self, x):
        """(N, T, embed_dim) as (N, heads, T, features)."""
        return np.swapaxes(
            np.reshape(x, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)), 1, 2
        )

    def _mask(self, padding, attention, query, key):
        """Both masks as one, in the sense of scaled_dot_product_attention; None without any."""
        n, length, size = *query, key[1]
        masks = []
        for name, mask, allowed in [
            ("key_padding_mask", padding, {(n, size): (n, 1, 1, size)}),
            (
                "attn_mask",
                attention,
                {
                    (length, size): (length, size),
                    (n * self.num_heads, length, size): (n, self.num_heads, length, size),
                },
            ),
        ]:
            if mask is not None:
                if np.asarray(data_of(mask)).dtype.kind not in "bf":
                    raise TypeError(
                        f"MultiheadAttention: {name} is boolean, True where a key is NOT attended to, or of floats that are added to the scores."
                    )
                if np.shape(mask) not in allowed:
                    raise ValueError(
                        f"MultiheadAttention: {name} {np.shape(mask)} must be {' or '.join(map(str, allowed))}."
                    )
                masks.append(np.reshape(mask, allowed[np.shape(mask)]))
        if all(data_of(m).dtype == bool for m in masks):
            return ~reduce(np.logical_or, map(data_of, masks)) if masks else None
        return reduce(
            np.add, [np.where(m, -np.inf, 0.0) if data_of(m).dtype == bool else m for m in masks]
        )

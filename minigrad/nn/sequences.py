"""Layers for sequences: embeddings, recurrent networks, attention, as in PyTorch."""

import warnings
from itertools import product

import numpy as np

from .. import functional as F
from ..engine import Tensor
from ..functional.checks import check_divides, mask_values
from ..functional.dropout import check_settings
from ..functional.sequences import padding_row
from ..modes import scoped
from ..registry import composition
from ..types import Operand
from .dropout import Dropout
from .initialisers import glorot_uniform, normal, zeros
from .layers import Linear
from .module import Layer, Module
from .norms import LayerNorm

__all__ = ["Embedding", "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"]
__all__ += ["MultiheadAttention", "TransformerEncoderLayer"]


class Embedding(Layer):
    """A row of weight (num_embeddings, embedding_dim) for each whole number in x (...).

    The result is (..., embedding_dim).

    padding_idx  the row that stands for no token: it begins as zeros and gets no gradient
    settings     penalty, init, rng, dtype: see Layer

    Raises ValueError for sizes that are not whole numbers >= 1, IndexError for a row that does not
    exist, TypeError unless x has whole numbers.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx=None, **settings):
        self.hold_sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.padding_idx = padding_idx
        shape = num_embeddings, embedding_dim
        self.add_parameters(shape, {"weight": shape}, {}, {"init": normal} | settings)
        if padding_idx is not None:
            self.weight.data[self.checked(padding_row, padding_idx, num_embeddings)] = 0

    def forward(self, x: Operand) -> Tensor:
        """The rows of weight for the whole numbers x (...): (..., embedding_dim)."""
        return F.embedding(x, self.weight, self.padding_idx)


# ------------------------------------------------------------------------------ recurrent networks
# A cell makes one time step. It takes x = W_ih x_t + b_ih and y = W_hh h + b_hh, both of shape
# (N, gates * H), and the arrays of the state, each of shape (N, H). It returns the next state, a
# tuple. The first array of the state is the output.


@composition
def rnn_cell(x, y, h, nonlinearity=F.tanh):
    """h' = tanh(x + y) (Elman 1990)."""
    return (nonlinearity(x + y),)


@composition
def lstm_cell(x, y, h, c):
    """c' = f c + i g and h' = o tanh(c'), with the gates i, f, g, o from the four parts of x + y.

    i, f, o = sigmoid(part), g = tanh(part). Hochreiter & Schmidhuber 1997; the forget gate f: Gers
    et al. 2000.
    """
    i, f, g, o = np.split(x + y, 4, axis=-1)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


@composition
def gru_cell(x, y, h):
    """h' = (1-z) n + z h, with the gates r, z, n from the three parts of x and y.

    r, z = sigmoid(x + y), n = tanh(x + r y). Cho et al. 2014 (arXiv:1406.1078), but r acts after
    the product with W_hh, as in PyTorch.
    """
    gates = 2 * h.shape[-1]
    r, z = np.split(F.sigmoid(x[..., :gates] + y[..., :gates]), 2, axis=-1)
    n = F.tanh(x[..., gates:] + r * y[..., gates:])
    return (n + z * (h - n),)


WEIGHT_NAMES = "weight_ih", "weight_hh", "bias_ih", "bias_hh"  # ih: of the input, hh: of the state


class Gated(Layer):
    """The base of the recurrent networks and of their cells."""

    gates = states = 1  # how many arrays (N, H) a cell computes, and how many are in its state

    def add_cell(self, suffix, columns, bias, settings):
        """Makes the parameters of a cell. Their names end with `suffix`."""
        rows, fans = self.gates * self.hidden_size, (self.hidden_size, self.hidden_size)
        names = [name + suffix for name in WEIGHT_NAMES]
        weights = dict(zip(names, [(rows, columns), (rows, self.hidden_size)]))
        biases = dict.fromkeys(names[2:], (rows,) if bias else None)
        self.add_parameters(fans, weights, biases, settings)

    def first_state(self, given, shape, like):
        """The state as a tuple of arrays of this shape: the given arrays, or zeros.

        Raises ValueError for given arrays of other shapes.
        """
        if given is None:
            return (np.zeros(shape, like.dtype),) * self.states
        given = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        if [np.shape(s) for s in given] != [shape] * self.states:
            needed = f"{'(h, c), each' if self.states > 1 else 'h'} of shape {shape}"
            raise ValueError(f"{type(self).__name__}: the state must be {needed}.")
        return given


class Recurrent(Gated):
    """The base of RNN, LSTM and GRU: layers of cells over a sequence, in one direction or both.

    x is (T, N, input_size). The result is a pair: the output of the last layer, (T, N, H), and the
    last state of each layer, (num_layers, N, H), where H is hidden_size. The first states have the
    same shape. Their default is 0.

    num_layers         the number of layers: each reads the output of the layer below
    batch_first        True: x is (N, T, input_size), and the output is (N, T, H)
    bias               False: no biases
    bidirectional      True: a second cell in each layer reads backward. The output then has 2 H
                       features, and the states come in the order layer 0 forward, layer 0 backward,
                       layer 1 forward, ...
    dropout            the rate for the outputs of all layers but the last, in training
    variational        True: this dropout has one mask for all time steps of a sequence
                       (Gal & Ghahramani 2016, arXiv:1512.05287)
    recurrent_dropout  the rate for the state before the cell multiplies it by W_hh, in training,
                       with one mask for all time steps
    weight_dropout     the rate for the entries of W_hh, in training, with one mask for all time
                       steps and samples (AWD-LSTM, Merity et al. 2018, arXiv:1708.02182)
    settings           penalty, bias_penalty, init, bias_init, rng, dtype: see Layer. As in PyTorch,
                       initialisers get hidden_size for both fans

    Raises ValueError for sizes that are not whole numbers >= 1, rates outside [0, 1], and x or
    states of other shapes.
    """

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
        weight_dropout=0.0,
        **settings,
    ):
        for p in dropout, recurrent_dropout, weight_dropout:
            self.checked(check_settings, p)
        self.hold_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if dropout and num_layers == 1:
            one = f"{type(self).__name__}: dropout={dropout} acts between layers, and there is one."
            warnings.warn(f"{one} Put a Dropout after it.", stacklevel=3)
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.variational, self.weight_dropout = variational, weight_dropout
        self.directions = ("", "_reverse") if bidirectional else ("",)
        for layer, direction in product(range(num_layers), self.directions):
            columns = len(self.directions) * hidden_size if layer else input_size
            self.add_cell(f"_l{layer}{direction}", columns, bias, settings)

    def forward(self, x: Operand, h0=None) -> tuple:
        """(the output of the last layer, the last state of each layer) for x and h0."""
        x = self._time_first(x)
        shape = self.num_layers * len(self.directions), np.shape(x)[1], self.hidden_size
        first = zip(*self.first_state(h0, shape, self.weight_hh_l0))
        last = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                share = 0 if self.variational else ()
                name = f"dropout_l{layer - 1}"
                x = scoped(name, F.dropout, x, self.dropout, self.training, share=share)
            runs = [self._run(f"l{layer}{d}", x, next(first)) for d in self.directions]
            outputs, states = zip(*runs)
            last += states
            x = np.concatenate(outputs, axis=-1) if self.bidirectional else outputs[0]
        last = tuple(map(np.stack, zip(*last)))
        x = np.swapaxes(x, 0, 1) if self.batch_first else x
        return x, last if self.states > 1 else last[0]

    def _run(self, cell, x, state):
        """Runs one cell over x (T, N, features): (outputs (T, N, H), last state)."""
        w_ih, w_hh, b_ih, b_hh = (getattr(self, f"{name}_{cell}") for name in WEIGHT_NAMES)
        order = slice(None, None, -1 if cell.endswith("_reverse") else 1)
        if p := self.weight_dropout:
            w_hh = scoped(f"weight_dropout_{cell}", F.drop_connect, w_hh, p, self.training)
        inputs = scoped("unstack", list, F.linear(x, w_ih, b_ih))  # pictures show one node
        outputs = []
        if p := self.recurrent_dropout:
            ones = np.ones(state[0].shape, w_hh.dtype)
            kept = scoped(f"recurrent_dropout_{cell}", F.dropout, ones, p, self.training)
        for x_t in inputs[order]:
            h = state[0] * kept if p else state[0]
            state = self.cell(x_t, F.linear(h, w_hh, b_hh), *state)
            outputs.append(state[0])
        return np.stack(outputs[order]), state

    def _time_first(self, x):
        """x as (T, N, input_size). Raises ValueError for other shapes."""
        shape = np.shape(x)
        time = 1 if self.batch_first else 0
        if len(shape) != 3 or shape[2] != self.input_size or not shape[time]:
            axes = f"({'N, T' if self.batch_first else 'T, N'}, {self.input_size})"
            raise ValueError(f"{type(self).__name__}: x {shape} must be {axes}, T >= 1.")
        return np.swapaxes(x, 0, 1) if self.batch_first else x


class RNN(Recurrent):
    """The plain recurrent network: `rnn(x, h0) -> output, h_n`.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990). nonlinearity="relu" takes relu in place
    of tanh; any other one raises ValueError. Other arguments, shapes and errors: see Recurrent.
    """

    def __init__(self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", *args, **others):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'RNN: nonlinearity is "tanh" or "relu", not {nonlinearity!r}.')
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, *args, **others)

    def cell(self, x, y, h):
        """The next state, a tuple of one array."""
        return rnn_cell(x, y, h, getattr(F, self.nonlinearity))


class LSTM(Recurrent):
    """Long short-term memory: `lstm(x, (h0, c0)) -> output, (h_n, c_n)`. See also lstm_cell.

    The rows of the weights are the gates i, f, g, o, hidden_size rows for each. Arguments, shapes
    and errors: see Recurrent.
    """

    gates, states = 4, 2
    cell = staticmethod(lstm_cell)


class GRU(Recurrent):
    """Gated recurrent units: `gru(x, h0) -> output, h_n`. See also gru_cell.

    The rows of the weights are the gates r, z, n, hidden_size rows for each. Arguments, shapes and
    errors: see Recurrent.
    """

    gates = 3
    cell = staticmethod(gru_cell)


class Cell(Gated):
    """The base of RNNCell, LSTMCell and GRUCell: one time step.

    x (N, input_size) and the state, one or two arrays (N, hidden_size), give the next state. The
    state begins as 0. Parameters: weight_ih, weight_hh, bias_ih, bias_hh; settings: see Recurrent.
    Raises ValueError for other shapes.
    """

    def __init__(self, input_size, hidden_size, bias=True, **settings):
        self.hold_sizes(input_size=input_size, hidden_size=hidden_size)
        self.bias = bias
        self.add_cell("", input_size, bias, settings)

    def forward(self, x, state=None):
        """The next state for x (N, input_size), or (input_size,), and the state before."""
        shape = *np.shape(x)[:-1], self.hidden_size
        state = self.first_state(state, shape, self.weight_hh)
        x = F.linear(x, self.weight_ih, self.bias_ih)
        state = self.cell(x, F.linear(state[0], self.weight_hh, self.bias_hh), *state)
        return state if self.states > 1 else state[0]


class RNNCell(Cell):
    """One step of an RNN with tanh: `cell(x, h) -> h`. Arguments: see Cell."""

    cell = staticmethod(rnn_cell)


class LSTMCell(Cell):
    """One step of an LSTM: `cell(x, (h, c)) -> h, c`. Arguments: see Cell."""

    gates, states, cell = 4, 2, staticmethod(lstm_cell)


class GRUCell(Cell):
    """One step of a GRU: `cell(x, h) -> h`. Arguments: see Cell."""

    gates, cell = 3, staticmethod(gru_cell)


# --------------------------------------------------------------------------------------- attention

MATRICES = "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"


class MultiheadAttention(Layer):
    """Attention with `num_heads` heads of embed_dim / num_heads features each.

    Vaswani et al. 2017 (arXiv:1706.03762).

    It takes query (L, N, embed_dim), key (S, N, kdim) and value (S, N, vdim); with batch_first=True
    N comes first. It returns the pair (output, weights): the output has the shape of the query, and
    the weights (N, L, S) are means over the heads.

    dropout         the rate for the weights of attention, in training
    bias            False: no biases
    kdim, vdim      the features of key and value, by default embed_dim
    weight_dropout  the rate for the entries of the matrices that make the heads, in training, with
                    one mask for the batch (AWD-LSTM, Merity et al. 2018, arXiv:1708.02182)
    settings        penalty, bias_penalty, init, bias_init, rng, dtype: see Layer. The penalties act
                    on all weights and biases. The initialisers act on in_proj_bias and on
                    in_proj_weight (with kdim or vdim: q_proj_weight, k_proj_weight, v_proj_weight).
                    out_proj begins as a Linear with a bias of 0

    The masks are PyTorch's: True where a query must NOT attend to a key. In the mask of
    F.scaled_dot_product_attention, True means the opposite. A mask can also hold floats, which are
    added to the scores.

    key_padding_mask      (N, S): keys to which no query attends
    attn_mask             (L, S), or (N * num_heads, L, S): for each query, keys to which it does
                          not attend
    is_causal             True: query i attends to the keys 0..i only. It needs no attn_mask
    need_weights          False: returns None in place of the weights. It saves no time
    average_attn_weights  False: returns the weights of each head, (N, num_heads, L, S)

    Raises ValueError if num_heads does not divide embed_dim and for other shapes, TypeError for
    masks of another dtype.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        *,
        kdim=None,
        vdim=None,
        batch_first=False,
        weight_dropout=0.0,
        **settings,
    ):
        for p in dropout, weight_dropout:
            self.checked(check_settings, p)
        given = {name: n for name, n in (("kdim", kdim), ("vdim", vdim)) if n is not None}
        self.hold_sizes(embed_dim=embed_dim, num_heads=num_heads, **given)
        self.widths = embed_dim, *(given.get(name, embed_dim) for name in ("kdim", "vdim"))
        self.checked(check_divides, "num_heads", num_heads, embed_dim=embed_dim)
        self.dropout, self.bias, self.batch_first = dropout, bias, batch_first
        self.weight_dropout = weight_dropout
        weights = dict(zip(MATRICES, [None] + [(embed_dim, n) for n in self.widths]))
        if len({*self.widths}) == 1:
            weights = dict.fromkeys(MATRICES) | {"in_proj_weight": (3 * embed_dim, embed_dim)}
        biases = {"in_proj_bias": (3 * embed_dim,) if bias else None}
        usual = {"init": glorot_uniform, "bias_init": zeros}
        self.add_parameters(None, weights, biases, usual | settings)
        shared = {n: v for n, v in settings.items() if n not in ("init", "bias_init")}
        self.out_proj = Linear(embed_dim, embed_dim, bias, bias_init=zeros, **shared)

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
    ) -> tuple[Tensor, Tensor | None]:
        """The pair (output, weights): see the class."""
        inputs = self._batch_first(query, key, value)
        matrices = [w for name in MATRICES if (w := getattr(self, name)) is not None]
        if self.weight_dropout:
            settings = self.weight_dropout, self.training
            matrices = [scoped("weight_dropout", F.drop_connect, w, *settings) for w in matrices]
        matrices = matrices if len(matrices) == 3 else np.split(*matrices, 3)
        biases = [None] * 3 if self.in_proj_bias is None else np.split(self.in_proj_bias, 3)
        given = zip(("query", "key", "value"), inputs, matrices, biases)
        heads = [scoped(name, self._heads, *arguments) for name, *arguments in given]
        mask = self._mask(key_padding_mask, attn_mask, *heads[:2])
        settings = {"is_causal": is_causal, "training": self.training, "need_weights": True}
        attended, weights = F.scaled_dot_product_attention(*heads, mask, self.dropout, **settings)
        out = self.out_proj(np.reshape(np.swapaxes(attended, 1, 2), np.shape(inputs[0])))
        out = out if self.batch_first else np.swapaxes(out, 0, 1)
        if not need_weights:
            return out, None
        return out, np.mean(weights, axis=1) if average_attn_weights else weights

    def _batch_first(self, *inputs):
        """Query, key and value as (N, time, features). Raises ValueError for other shapes."""
        shapes = q, k, v = [np.shape(x) for x in inputs]
        batch, time = (0, 1) if self.batch_first else (1, 0)
        right = all(len(s) == 3 and s[2] == n for s, n in zip(shapes, self.widths))
        if not right or not q[batch] == k[batch] == v[batch] or k[time] != v[time]:
            axes = ("N, L", "N, S", "N, S") if self.batch_first else ("L, N", "S, N", "S, N")
            needed = ", ".join(f"({pair}, {n})" for pair, n in zip(axes, self.widths))
            raise ValueError(f"MultiheadAttention: query {q}, key {k}, value {v} must be {needed}")
        return inputs if self.batch_first else [np.swapaxes(x, 0, 1) for x in inputs]

    def _heads(self, x, matrix, bias):
        """The linear map of x (N, T, embed_dim), as (N, heads, T, features)."""
        split = *np.shape(x)[:2], self.num_heads, self.embed_dim // self.num_heads
        return np.swapaxes(np.reshape(F.linear(x, matrix, bias), split), 1, 2)

    def _mask(self, padding, attention, query, key):
        """Both masks as numbers to add to the scores (N, heads, L, S). None without masks."""
        (n, heads, length, _), size, added = query.shape, key.shape[2], None
        of_keys = {(n, size): (n, 1, 1, size)}  # allowed shape: shape for the scores
        of_queries = {(length, size): (length, size)}
        of_queries |= {(n * heads, length, size): (n, heads, length, size)}
        given = ("key_padding_mask", padding, of_keys), ("attn_mask", attention, of_queries)
        for name, mask, shapes in given:
            if mask is None:
                continue
            mask = self.checked(mask_values, name, mask, "True where a key is NOT attended to")
            if mask.shape not in shapes:
                needed = " or ".join(map(str, shapes))
                raise ValueError(f"MultiheadAttention: {name} {mask.shape} must be {needed}.")
            mask = np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask
            mask = np.reshape(mask, shapes[mask.shape])
            added = mask if added is None else added + mask
        return added


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, then two Linear layers. Both parts have a shortcut.

    src is (T, N, d_model), with batch_first=True (N, T, d_model). The result has the same shape.

    nhead            the number of heads of the MultiheadAttention
    dim_feedforward  the features between the two Linear layers
    dropout          the rate for the weights of attention, for the result of attention, and after
                     each Linear
    activation       between the Linear layers: a function, or its name in `functional`
    layer_norm_eps   eps of both LayerNorms
    norm_first       True: each part is x + part(norm(x)); False: norm(x + part(x))
    bias             False: no biases
    settings         penalty, init, dtype ... of the attention and the Linear layers: see Layer

    Vaswani et al. 2017 (arXiv:1706.03762); norm_first: Xiong et al. 2020 (arXiv:2002.04745). For
    errors see MultiheadAttention.
    """

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation=F.relu,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        **settings,
    ):
        shared = settings | {"batch_first": batch_first}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **shared)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **settings)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **settings)
        of_norm = {"eps": layer_norm_eps, "bias": bias, "dtype": settings.get("dtype")}
        self.norm1, self.norm2 = (LayerNorm(d_model, **of_norm) for _ in range(2))
        self.dropout, self.dropout1, self.dropout2 = (Dropout(dropout) for _ in range(3))
        self.activation = activation if callable(activation) else getattr(F, activation)
        self.norm_first = norm_first

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        """The result for src. The masks are attn_mask and key_padding_mask of the attention."""

        def attended(x):
            settings = src_key_padding_mask, False, src_mask, True, is_causal
            return self.dropout1(self.self_attn(x, x, x, *settings)[0])

        def transformed(x):
            hidden = self.dropout(self.activation(self.linear1(x)))
            return self.dropout2(self.linear2(hidden))

        x = src
        for branch, norm in (attended, self.norm1), (transformed, self.norm2):
            x = x + branch(norm(x)) if self.norm_first else norm(x + branch(x))
        return x

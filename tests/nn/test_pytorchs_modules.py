"""Containers and the methods of Module that PyTorch's users know: closed forms and PyTorch's keys."""

import copy
import pickle

import numpy as np
import pytest
from helpers import close, leaf, normal

import minigrad as mg
import minigrad.functional as F
from minigrad import modes, nn, optim
from minigrad.check import check_graph
from minigrad.graph import nodes
from minigrad.names import leaf_names


class Net(nn.Module):
    def __init__(self, nn=nn):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 3)])
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 1), "b": nn.PReLU()})
        self.norm = nn.RMSNorm(3)
        self.cell = nn.LSTMCell(3, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.heads["b"](self.heads["a"](self.norm(x)))


KEYS = [
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.weight",
    "layers.1.bias",
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.weight",
    "norm.weight",
    "cell.weight_ih",
    "cell.weight_hh",
    "cell.bias_ih",
    "cell.bias_hh",
]


def test_keys_are_pytorchs():
    assert [*Net().state_dict()] == KEYS
    torch = pytest.importorskip("torch")
    theirs = type("Net", (torch.nn.Module,), {})()
    torch.nn.Module.__init__(theirs)
    theirs.layers = torch.nn.ModuleList([torch.nn.Linear(2, 3), torch.nn.Linear(3, 3)])
    theirs.heads = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 1), "b": torch.nn.PReLU()})
    theirs.norm, theirs.cell = torch.nn.RMSNorm(3), torch.nn.LSTMCell(3, 2)
    assert [*theirs.state_dict()] == KEYS


def test_a_container_is_a_list_or_a_dict_and_a_module():
    net = Net()
    layers, heads = net.layers, net.heads
    layers.append(nn.Linear(3, 3))
    layers.insert(0, nn.Linear(2, 2))
    layers[1] = nn.Linear(2, 3)
    assert len(layers) == 4 and layers[1:3][0] is layers[1] and [*heads] == ["a", "b"]
    assert len(list(layers.parameters())) == 8 == len(layers.state_dict())
    assert isinstance(layers, nn.Module) and heads["a"] in set(net.modules())
    heads.update(c=nn.Linear(1, 1))
    assert "heads.c.bias" in net.state_dict() and "c.bias" in heads.state_dict()
    optim.SGD(layers.parameters(), lr=0.1)
    for twin in copy.deepcopy(layers), pickle.loads(pickle.dumps(layers)):
        assert type(twin) is nn.ModuleList and twin[0] is not layers[0] and len(twin) == 4
        close(twin[3].weight, layers[3].weight)
    assert {layers: 1}[layers] == 1 and layers != nn.ModuleList(layers)
    layers.eval()
    assert not layers[2].training


class Stack(nn.ModuleList):
    """A list of modules with a parameter, a buffer, a module and a forward of its own."""

    def __init__(self, n):
        super().__init__(nn.Linear(2, 2) for _ in range(n))
        self.scale, self.shift = nn.Parameter([2.0, 3.0]), np.ones(2, np.float32)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        for layer in self:
            x = layer(x)
        return F.dropout(self.drop(x), 0.5, self.training) * self.scale + self.shift


def test_what_a_subclass_of_a_container_holds_itself_is_trained_saved_and_evaluated():
    net, x = nn.Module(), leaf(np.ones((3, 2)), np.float32)
    net.stack = Stack(2)
    keys = ["stack.scale", *(f"stack.{i}.{name}" for i in range(2) for name in ("weight", "bias"))]
    assert [name for name, _ in net.named_parameters()] == keys
    assert [*net.state_dict()] == ["stack.scale", "stack.shift", *keys[1:]]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "stack",
        "stack.drop",
        "stack.0",
        "stack.1",
    ]
    streams = [noise.stream for noise in mg.noise_leaves(modes.scoped(net, net.stack, x))]
    assert streams == ["stack.drop", "stack"]
    net.eval()
    assert mg.noise_leaves(net.stack(x)) == [] and not net.stack.training
    assert repr(net).splitlines()[1:3] == ["  (stack): Stack(", "    (drop): Dropout(p=0.5)"]


def test_what_a_list_gets_later_is_found_by_the_module_around_it():
    net = nn.Module()
    net.layers = nn.ModuleList([nn.Linear(2, 2)])
    net.layers.scale, net.layers.drop = nn.Parameter([2.0]), nn.Dropout()
    keys = "layers.scale", "layers.0.weight", "layers.0.bias"
    assert tuple(name for name, _ in net.named_parameters()) == keys
    assert not net.eval().layers.drop.training and not net.layers.training
    for twin in copy.deepcopy(net), pickle.loads(pickle.dumps(net)):
        assert tuple(twin.state_dict()) == keys


def test_a_list_of_parameters():
    weights = nn.ParameterList([nn.Parameter(np.ones(2)), leaf([3.0])])
    net = nn.Module()
    net.weights = weights
    assert [name for name, _ in net.named_parameters()] == ["weights.0", "weights.1"]
    assert all(type(w) is nn.Parameter for w in weights.parameters())
    net.forward = lambda x: x * weights[1]
    assert [*leaf_names(nodes(net(np.ones(1)))).values()] == ["weights.1"]


def test_sequential_grows():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    first, last = net
    assert net.append(nn.Linear(3, 1)) is net and net.insert(1, nn.ReLU()) is net
    net[3] = nn.Linear(3, 5)
    net.insert(-1, F.relu)
    kinds = [getattr(m, "__name__", type(m).__name__) for m in net]
    assert kinds == ["Linear", "ReLU", "Tanh", "relu", "Linear"] and net[0] is first
    assert [*net.state_dict()] == ["0.weight", "0.bias", "4.weight", "4.bias"] and net[2] is last
    assert net(normal(4, 2)).shape == (4, 5) and len(nn.Sequential().append(nn.Tanh())) == 1
    named = nn.Sequential(a=nn.Tanh()).append(nn.ReLU())
    assert [name for name, _ in named.named_children()] == ["a", "1"]
    with pytest.raises(ValueError, match=r"Sequential.insert: modules after 0 have names"):
        named.insert(0, nn.ReLU())
    with pytest.raises(TypeError, match="must be a module or a function"):
        net.append(3)
    with pytest.raises(TypeError, match="must be a module or a function"):
        net[0] = nn.Linear
    assert len(net) == 5
    delattr(net, "1")
    assert len(net) == 4 and [*net] == [net[0], net[1], net[2], net[3]]
    assert net(normal(4, 2)).shape == (4, 5)


def test_apply_children_and_requires_grad():
    net, seen = Net(), []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen[-1] == "Net" and seen.count("Linear") == 3 and len(seen) == 7
    assert len(list(net.children())) == 6  # the modules of a list or dict are children
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


def test_buffers():
    class Scaled(nn.Module):
        def __init__(self):
            self.register_buffer("scale", np.full(2, 3.0))
            self.register_buffer("mask", mg.Tensor([1.0, 0.0]), persistent=False)
            self.register_buffer("none", None)

        def forward(self, x):
            return x * self.scale * self.mask

    net = nn.Sequential(Scaled(), nn.BatchNorm1d(2))
    running = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert [name for name, _ in net.named_buffers()] == ["0.scale", "0.mask", *running]
    assert len(list(net.buffers())) == 5
    assert [*net.state_dict()] == ["0.scale", "1.weight", "1.bias", *running]
    net.load_state_dict(net.state_dict())
    net[0].register_buffer("late", np.zeros(1))
    net[0].register_buffer("later", np.zeros(1), persistent=False)
    assert "0.late" in net.state_dict() and "0.later" not in copy.deepcopy(net).state_dict()
    assert net[0](np.ones(2)).tolist() == [3, 0]
    with pytest.raises(TypeError, match="register_buffer: w is a Parameter, not an array"):
        net[0].register_buffer("w", nn.Parameter([1.0]))


def test_forward_hooks():
    layer, seen = nn.Linear(2, 2), []
    x = leaf(normal(3, 2), np.float32)
    plain = layer(x).data
    watch = layer.register_forward_hook(lambda m, args, out: seen.append((m, args, out.shape)))
    double = layer.register_forward_hook(lambda m, args, out: 2 * out)
    close(layer(x), 2 * plain)
    assert seen[0][0] is layer and seen[0][1] == (x,) and seen[0][2] == (3, 2)
    watch.remove()
    close(layer(x), 2 * plain)
    double.remove()
    close(layer(x), plain)
    assert len(seen) == 1 and copy.deepcopy(layer)(x).shape == (3, 2)

    def doubled(m, args, out):
        return 2 * out

    first, _ = (layer.register_forward_hook(doubled) for _ in range(2))
    close(layer(x), 4 * plain)
    first.remove()
    close(layer(x), 2 * plain)


# ------------------------------------------------------------------------------------- noise, terms


@pytest.mark.parametrize("kind, gates", [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)])
def test_weight_dropout_is_the_layer_without_some_weights(kind, gates):
    layer = kind(3, 4, weight_dropout=0.4, bidirectional=True, dtype=np.float64)
    x = leaf(normal(5, 2, 3))
    out = layer(x)[0]
    masks = [n.data for n in mg.noise_leaves(out)]
    assert [m.shape for m in masks] == [(gates * 4, 4)] * 2 and 0 < masks[0].mean() < 1
    plain = kind(3, 4, bidirectional=True, dtype=np.float64)
    plain.load_state_dict(layer.state_dict())
    for weight, mask in zip((plain.weight_hh_l0, plain.weight_hh_l0_reverse), masks):
        weight.data *= mask / 0.6
    close(out, plain(x)[0], rtol=1e-12)
    assert check_graph((out**2).sum())
    weight = layer.weight_hh_l0
    (g,) = mg.grad((out**2).sum(), weight)
    assert not g.data[~masks[0]].any() and g.data[masks[0]].all()
    close(layer.eval()(x)[0], layer(x)[0])


@pytest.mark.parametrize("sizes", [{}, {"kdim": 3, "vdim": 2}])
def test_weight_dropout_of_attention_is_the_layer_without_some_weights(sizes):
    layer = nn.MultiheadAttention(4, 2, weight_dropout=0.4, dtype=np.float64, **sizes)
    q, k, v = (leaf(normal(5, 2, n, seed=n)) for n in layer.widths)
    out = layer(q, k, v)[0]
    masks = [n.data for n in mg.noise_leaves(out)]
    assert [m.shape for m in masks] == ([(4, 4), (4, 3), (4, 2)] if sizes else [(12, 4)])
    plain = nn.MultiheadAttention(4, 2, dtype=np.float64, **sizes)
    plain.load_state_dict(layer.state_dict())
    matrices = [w for name, w in plain.named_parameters() if name.endswith("_proj_weight")]
    for weight, mask in zip(matrices, masks, strict=True):
        weight.data *= mask / 0.6
    close(out, plain(q, k, v)[0], rtol=1e-12)
    assert check_graph((out**2).sum())
    close(layer.eval()(q, k, v)[0], layer(q, k, v)[0])
    with pytest.raises(ValueError, match=r"MultiheadAttention: p is the probability .* got 1.5"):
        nn.MultiheadAttention(4, 2, weight_dropout=1.5)


def test_attention_of_other_widths_begins_as_pytorchs():
    layer = nn.MultiheadAttention(64, 4, kdim=8, vdim=512)
    for weight, n in (
        (layer.q_proj_weight, 64),
        (layer.k_proj_weight, 8),
        (layer.v_proj_weight, 512),
    ):
        bound = np.sqrt(6 / (64 + n))  # each matrix has its own
        assert 0.98 * bound < np.abs(weight.data).max() <= bound
    assert layer.in_proj_weight is None and "kdim=8, vdim=512" in repr(layer)
    with pytest.raises(ValueError, match="kdim must be a whole number >= 1, got 0"):
        nn.MultiheadAttention(4, 2, kdim=0)
    with pytest.raises(
        ValueError, match=r"key \(5, 2, 4\).*must be \(L, N, 4\), \(S, N, 3\), \(S, N, 4\)"
    ):
        nn.MultiheadAttention(4, 2, kdim=3)(*[normal(5, 2, 4)] * 3)


def test_a_transformer_layer_has_pytorchs_keys_noise_and_penalties():
    layer = nn.TransformerEncoderLayer(4, 2, 6, penalty=nn.L2(0.1), dtype=np.float64)
    attention = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    keys = [f"self_attn.{name}" for name in attention]
    keys += [f"{name}.{kind}" for name in ("linear1", "linear2") for kind in ("weight", "bias")]
    keys += [f"{name}.{kind}" for name in ("norm1", "norm2") for kind in ("weight", "bias")]
    assert [*layer.state_dict()] == keys and {w.dtype for w in layer.parameters()} == {
        layer.norm1.weight.dtype
    }
    assert layer.norm1.weight.dtype == np.float64
    weights = layer.self_attn.in_proj_weight, layer.self_attn.out_proj.weight
    weights += layer.linear1.weight, layer.linear2.weight
    close(layer.penalty(), 0.1 * sum(np.sum(w.data**2) for w in weights))
    x = leaf(normal(3, 2, 4))
    out = layer(x)
    assert len(mg.noise_leaves(out)) == 4 and out.shape == x.shape and check_graph((out**3).sum())
    assert mg.noise_leaves(layer.eval()(x)) == []
    causal = layer(x, is_causal=True)
    close(causal, layer(x, ~np.tri(3, dtype=bool)))
    close(causal[0], layer(x[:1])[0])
    named = nn.TransformerEncoderLayer(4, 2, 6, activation="gelu")
    assert named.activation is F.gelu


def test_a_transformer_layer_without_noise_is_written_out():
    """The norms stand after the sums, or in the branches: closed forms of both."""

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    x = normal(3, 2, 4)
    for first in (False, True):
        layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, norm_first=first, dtype=np.float64)

        def attended(x, layer=layer):
            return layer.self_attn(x, x, x)[0].data

        def transformed(x, layer=layer):
            h = np.maximum(x @ layer.linear1.weight.data.T + layer.linear1.bias.data, 0)
            return h @ layer.linear2.weight.data.T + layer.linear2.bias.data

        if first:
            y = x + attended(norm(x))
            y = y + transformed(norm(y))
        else:
            y = norm(x + attended(x))
            y = norm(y + transformed(y))
        close(layer(x), y, rtol=1e-10)


@pytest.mark.parametrize(
    "make, shapes",
    [
        (lambda nn: nn.TransformerEncoderLayer(4, 2, 6), [(5, 3, 4)]),
        (lambda nn: nn.TransformerEncoderLayer(4, 2, 6, norm_first=True), [(5, 3, 4)]),
        (lambda nn: nn.TransformerEncoderLayer(4, 1, 6, 0.1, "gelu", bias=False), [(5, 3, 4)]),
        (lambda nn: nn.MultiheadAttention(4, 2, kdim=3, vdim=2), [(5, 3, 4), (6, 3, 3), (6, 3, 2)]),
        (lambda nn: nn.Conv2d(2, 4, 3, padding="same", padding_mode="circular"), [(2, 2, 5, 4)]),
        (lambda nn: nn.Conv1d(2, 4, 2, padding=1, padding_mode="reflect"), [(2, 2, 5)]),
    ],
)
def test_a_state_goes_to_pytorch_and_back(make, shapes):
    torch = pytest.importorskip("torch")
    theirs, ours = make(torch.nn).eval(), make(nn).eval()
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert [*state] == [*ours.state_dict()]
    ours.load_state_dict(state)
    xs = [normal(*shape).astype(np.float32) for shape in shapes]
    found, expected = ours(*xs), theirs(*map(torch.tensor, xs))
    if isinstance(found, tuple):
        found, expected = found[0], expected[0]
    close(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    theirs.load_state_dict({key: torch.tensor(a) for key, a in ours.state_dict().items()})


def test_padding_modes_fill_the_padding():
    x = np.arange(5.0).reshape(1, 1, 5)
    for mode, ends in {
        "zeros": (0, 0),
        "reflect": (1, 3),
        "replicate": (0, 4),
        "circular": (4, 0),
    }.items():
        layer = nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode, bias=False, dtype=np.float64)
        padded = np.concatenate([[ends[0]], x[0, 0], [ends[1]]])
        close(layer(x)[0, 0], np.correlate(padded, layer.weight.data[0, 0]))
    assert "padding_mode=circular" in repr(layer)
    with pytest.raises(
        ValueError, match="Conv2d: padding_mode is one of zeros, reflect, replicate"
    ):
        nn.Conv2d(1, 1, 3, padding_mode="same")
    with pytest.raises(ValueError, match="ConvTranspose1d: padding_mode is one of zeros."):
        nn.ConvTranspose1d(1, 1, 3, padding_mode="reflect")


def test_a_penalty_on_activations_is_a_term_of_the_loss():
    layer, x = nn.Linear(2, 3), normal(5, 2).astype(np.float32)
    h = F.relu(layer(x))
    loss = F.mse_loss(h, np.ones((5, 3), np.float32)) + nn.L1(0.3)(h) / len(h)
    names = [term.name for term in mg.terms(loss)]
    assert names == ["mse_loss", "0.2 * l1_penalty(c=0.3)"]
    close(loss.item(), np.mean((h.data - 1) ** 2) + 0.3 * h.data.sum() / 5, rtol=1e-6)


def test_losses_are_one_node_in_reports_and_pictures():
    x, t = leaf(normal(4, 3)), np.array([0, 2, 1, 1])
    loss = nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0])(x, t) + 0.1 * nn.L1Loss()(x, normal(4, 3))
    assert [term.name for term in mg.terms(loss)] == ["cross_entropy", "0.1 * l1_loss"]
    text = mg.to_text(loss)
    assert "cross entropy" in text and check_graph(loss)
    weighted = nn.CrossEntropyLoss(weight=np.ones(3))
    assert [*weighted.state_dict()] == ["weight"]  # as in PyTorch
    assert repr(nn.CrossEntropyLoss(label_smoothing=0.1)) == "CrossEntropyLoss(label_smoothing=0.1)"


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: F.cross_entropy(x, [0, 1], weight=[1.0, 2.0]),
            r"cross_entropy: weight or bias \(2,\): x \(2, 3\) needs one",
        ),
        (
            lambda x: F.prelu(x, np.ones(2)),
            r"prelu: weight or bias \(2,\): x \(2, 3\) needs one for each entry of axis 1",
        ),
        (lambda x: F.glu(x), "glu: .*do not divide an axis of size 3"),
        (lambda x: F.rms_norm(x, 2), r"rms_norm: x \(2, 3\) does not end in"),
        (lambda x: F.binary_cross_entropy(x, x * 0), "probabilities must be from 0 to 1"),
        (lambda x: F.binary_cross_entropy(x * 0, x + 3), "targets must be from 0 to 1"),
        (lambda x: F.kl_div(x, x[:1]), "must have the same shape"),
        (lambda x: nn.CrossEntropyLoss(reduction="all")(x, [0, 1]), "reduction is"),
        (
            lambda x: nn.LSTMCell(3, 2)(x, (x, x)),
            r"LSTMCell: the state must be \(h, c\), each of shape \(2, 2\)",
        ),
        (lambda x: nn.LSTMCell(3, 2)(x, x[:, :2]), r"LSTMCell: the state must be \(h, c\), each"),
        (
            lambda x: nn.LSTMCell(3, 2)(x, (x[:, :2], x[:, :1])),
            r"LSTMCell: the state must be \(h, c\), each of shape \(2, 2\)",
        ),
        (lambda x: nn.GRUCell(3, 0), "hidden_size must be a whole number >= 1"),
        (lambda x: nn.PReLU(0), "num_parameters must be a whole number >= 1"),
    ],
)
def test_errors_name_the_function(call, message):
    with pytest.raises(ValueError, match=message):
        call(leaf([[0.5, -2.0, 3.0], [1.0, 2.0, 0.1]]))


def test_layers_take_dim_for_axis():
    x = normal(2, 3)
    for layer, other in (
        (nn.Softmax(dim=0), nn.Softmax(0)),
        (nn.LogSoftmax(dim=1), nn.LogSoftmax(1)),
    ):
        assert np.array_equal(layer(x), other(x)) and repr(layer) == repr(other)
    with pytest.raises(TypeError, match="Softmax: "):
        nn.Softmax(dims=1)


def test_rrelu_draws_slopes_whose_mean_it_uses_in_evaluation():
    x = mg.Tensor(np.array([-2.0, -0.5, 0.0, 3.0]), requires_grad=True)
    layer = nn.RReLU(0.1, 0.5)
    still = nn.LeakyReLU(0.3)(x)
    np.testing.assert_allclose(layer.eval()(x).data, still.data, rtol=1e-15)
    drawn = layer.train()(x)
    assert np.all(drawn.data[:2] / x.data[:2] >= 0.1) and np.all(drawn.data[:2] / x.data[:2] < 0.5)
    assert np.array_equal(drawn.data[2:], x.data[2:])
    (slope,) = mg.noise_leaves(drawn)
    g = np.array([1.0, -2.0, 3.0, 4.0])
    drawn.backward(g)
    np.testing.assert_allclose(x.grad.data, g * np.where(x.data > 0, 1, slope.data), rtol=1e-15)
    weights = mg.Tensor(g)
    mean = mg.expectation(np.sum(weights * layer(x))).value.item()
    square = mg.expectation(np.sum(np.square(layer(x) - still))).value.item()
    assert mean == pytest.approx(np.sum(g * still.data), rel=1e-14)
    assert square == pytest.approx((0.5 - 0.1) ** 2 / 12 * 4.25, rel=1e-14)  # of -2 and -0.5
    assert mg.check_noise(layer, mean=lambda x: nn.LeakyReLU(0.3)(x))
    whole = layer(np.array([-4, 4]))  # slopes of whole numbers are no whole numbers
    assert -2 <= whole.data[0] <= -0.4 and whole.data[1] == 4
    assert layer([-1.0]).item() < 0
    with pytest.raises(ValueError, match="rrelu: .*low is a number below high; got 0.5 and 0.1"):
        nn.RReLU(0.5, 0.1)(x)

"""Modules: names, modes, saving, layers, penalties, summaries, scopes and streams of noise."""

import contextlib
import copy
import inspect
import math
import os
import pathlib
import pickle
import stat
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers import all_random_states

import minigrad as mg
from minigrad import array, modes, nn
from minigrad import functional as F
from minigrad.graph import nodes
from minigrad.modes import path


class Block(nn.Module):
    def __init__(self, n):
        self.inner = nn.Linear(n, n)
        self.scale = nn.Parameter(np.ones(n, np.float32))
        self.act = nn.Tanh()

    def forward(self, x):
        return self.act(self.inner(x)) * self.scale


class Net(nn.Module):
    """Everything at once: nesting, a list, a dict, a shared module, a tied weight, a buffer."""

    def __init__(self):
        self.first = nn.Linear(4, 3)
        self.blocks = [Block(3), Block(3)]
        self.heads = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 1, bias=False)}
        self.again = self.first
        self.gain = nn.Parameter([1.0])
        self.seen = np.zeros(2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](self.drop(x)) * self.gain + self.heads["b"](x)


def torch_net():
    torch = pytest.importorskip("torch")

    class TorchBlock(torch.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.inner = torch.nn.Linear(n, n)
            self.scale = torch.nn.Parameter(torch.ones(n))
            self.act = torch.nn.Tanh()

    class TorchNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(4, 3)
            self.blocks = torch.nn.ModuleList([TorchBlock(3), TorchBlock(3)])
            self.heads = torch.nn.ModuleDict(
                {"a": torch.nn.Linear(3, 2), "b": torch.nn.Linear(3, 1, bias=False)}
            )
            self.again = self.first
            self.gain = torch.nn.Parameter(torch.ones(1))
            self.register_buffer("seen", torch.zeros(2))
            self.drop = torch.nn.Dropout(0.5)

    return TorchNet()


def ones(*shape):
    return mg.Tensor(np.ones(shape, np.float32))


# ----------------------------------------------------------------------------------- what is inside

NET_PARAMETERS = ["gain", "first.weight", "first.bias"]
NET_PARAMETERS += [
    f"blocks.{i}.{name}" for i in range(2) for name in ("scale", "inner.weight", "inner.bias")
]
NET_PARAMETERS += ["heads.a.weight", "heads.a.bias", "heads.b.weight"]


def test_named_parameters_are_dotted_outer_first_and_each_once():
    assert [name for name, _ in Net().named_parameters()] == NET_PARAMETERS


def test_named_modules_are_dotted_in_depth_first_order_and_each_once():
    inside = [f"blocks.{i}{name}" for i in range(2) for name in ("", ".inner", ".act")]
    assert [name for name, _ in Net().named_modules()] == [
        "",
        "first",
        *inside,
        "heads.a",
        "heads.b",
        "drop",
    ]


def test_names_and_orders_are_pytorchs():
    theirs, ours = torch_net(), Net()
    containers = {"blocks", "heads"}  # modules of their own there, a list and a dict here
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_modules()] == [
        n for n, _ in theirs.named_modules() if n not in containers
    ]
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }


def test_pytorchs_weights_load():
    theirs, ours = torch_net(), Net()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    for key, value in theirs.state_dict().items():
        assert np.array_equal(ours.state_dict()[key], value.numpy())


def test_parameters_are_the_ones_that_are_trained_and_are_live():
    model = Net()
    parameters = list(model.parameters())
    assert (
        parameters[0] is model.gain
        and parameters[1] is model.first.weight
        and len(parameters) == len(NET_PARAMETERS)
    )
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in parameters)


def test_a_parameter_used_in_two_places_comes_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert set(model.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_a_frozen_parameter_is_still_a_parameter():
    model = nn.Linear(2, 2)
    model.weight.requires_grad = False
    assert [name for name, _ in model.named_parameters()] == ["weight", "bias"]


def test_a_leaf_that_is_a_plain_tensor_is_trained_too():
    class Scale(nn.Module):
        def __init__(self):
            self.by = mg.Tensor([2.0], requires_grad=True)

    assert [name for name, _ in Scale().named_parameters()] == ["by"]


def test_parameters_inside_lists_of_lists_are_found():
    class Grid(nn.Module):
        def __init__(self):
            self.cells = [[nn.Linear(1, 1, bias=False)], {"a": (nn.Linear(1, 1, bias=False),)}]

    assert [name for name, _ in Grid().named_parameters()] == [
        "cells.0.0.weight",
        "cells.1.a.0.weight",
    ]


def test_parameters_appended_to_a_list_later_are_found():
    model = Net()
    model.blocks.append(nn.Linear(3, 3))
    assert "blocks.2.weight" in dict(model.named_parameters())


def test_zero_grad_of_a_module_forgets_all_gradients():
    model = Net()
    np.sum(model(ones(2, 4))).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_subclasses_need_no_super_init():
    class Bare(nn.Module):
        def __init__(self, n):
            self.layer = nn.Linear(n, 1)

        def forward(self, x):
            return self.layer(x)

    model = Bare(3)
    assert model.training and model(ones(2, 3)).shape == (2, 1)
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]
    assert "Bare(" in repr(model)


def test_a_deep_copy_of_a_model_trains_alone():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    twin = copy.deepcopy(model)
    np.sum(twin(ones(2, 3)) + 0 * model(ones(2, 3))).backward()
    assert all(p.grad is not None and np.any(p.grad.data) for p in twin.parameters())
    assert not any(np.any(p.grad.data) for p in model.parameters())
    twin[0].weight.data[...] = 0
    assert np.any(model[0].weight.data)


# -------------------------------------------------------------------------------------------- modes


def test_train_and_eval_reach_everything_and_return_the_module():
    model = Net()
    assert model.eval() is model and not any(m.training for m in model.modules())
    assert model.train() is model and all(m.training for m in model.modules())
    model.blocks[0].eval()
    assert not model.blocks[0].inner.training and model.training and model.blocks[1].training


def test_modes_do_not_leak_into_other_modules():
    one, other = Net(), Net()
    one.eval()
    assert other.training and nn.Dropout().training


# -------------------------------------------------------------------------------------- state dicts


def test_a_state_dict_has_parameters_and_buffers_as_copies():
    model = Net()
    state = model.state_dict()
    assert set(NET_PARAMETERS) < set(state) and "seen" in state and "again.weight" in state
    assert all(type(v) is np.ndarray for v in state.values())
    for values in state.values():
        values[...] = 77
    assert not any(np.any(v == 77) for v in model.state_dict().values())


def test_load_state_dict_copies_the_values_in_place():
    model, other = Net(), Net()
    other.seen[...] = 5
    kept, state = model.first.weight.data, other.state_dict()
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    assert not np.array_equal(model.eval()(x).data, other.eval()(x).data)
    model.load_state_dict(state)
    assert model.first.weight.data is kept and model.seen.tolist() == [5, 5]
    assert np.array_equal(model(x).data, other(x).data)
    state["first.weight"][...] = 0
    assert np.any(model.first.weight.data)


def test_load_state_dict_keeps_the_models_dtype_and_takes_tensors():
    model = nn.Linear(2, 1)
    model.load_state_dict({"weight": mg.Tensor(np.ones((1, 2), np.float64)), "bias": np.zeros(1)})
    assert model.weight.dtype == np.float32 and model.weight.tolist() == [[1.0, 1.0]]


def without(state, *keys):
    return {k: v for k, v in state.items() if k not in keys}


WRONG_STATES = {  # name: (change of a right state, what the error must name)
    "missing": (
        lambda s: without(s, "0.bias", "1.weight"),
        ["0.bias: missing in the state; 1.weight: missing in the state."],
    ),
    "unexpected": (
        lambda s: {**s, "extra": np.ones(1), "2.weight": np.ones(1)},
        ["extra: only in the state; 2.weight: only in the state."],
    ),
    "misshapen": (
        lambda s: {**s, "1.weight": np.ones((2, 1))},
        ["1.weight: shape (1, 2) here, (2, 1) in the state."],
    ),
    "would broadcast": (
        lambda s: {**s, "0.bias": np.ones(1)},
        ["0.bias: shape (2,) here, (1,) in the state."],
    ),
    "all": (
        lambda s: {**without(s, "0.bias"), "extra": np.ones(1), "1.bias": np.ones(3)},
        [
            "0.bias: missing in the state",
            "extra: only in the state",
            "1.bias: shape (1,) here, (3,) in the state",
        ],
    ),
    "no numbers": (
        lambda s: {**s, "1.bias": np.array(["a"])},
        ["1.bias: dtype float32 here, <U1 in the state."],
    ),
}


@pytest.mark.parametrize("name", WRONG_STATES)
def test_a_wrong_state_is_an_error_that_names_each_and_changes_nothing(name):
    change, named = WRONG_STATES[name]
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = model.state_dict()
    with pytest.raises(ValueError) as error:
        model.load_state_dict(change({k: v + 1 for k, v in before.items()}))
    assert all(text in str(error.value) for text in named)
    assert all(np.array_equal(v, before[k]) for k, v in model.state_dict().items())


def test_without_strict_missing_and_unexpected_entries_are_passed_over():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    bias = model[0].bias.data.copy()
    model.load_state_dict({"0.weight": np.ones((2, 3)), "extra": np.ones(9)}, strict=False)
    assert model[0].weight.tolist() == [[1.0] * 3] * 2 and np.array_equal(model[0].bias.data, bias)


def test_without_strict_a_misshapen_entry_is_still_an_error():
    model = nn.Linear(3, 2)
    before = model.state_dict()
    with pytest.raises(
        ValueError, match=r"into Linear: nothing was changed. bias: shape \(2,\) here, \(3,\) in"
    ):
        model.load_state_dict({"weight": np.ones((2, 3)), "bias": np.ones(3)}, strict=False)
    assert np.array_equal(model.weight.data, before["weight"])


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: nn.Linear(0, 5), "Linear: in_features must be a whole number >= 1, got 0"),
        (lambda: nn.Linear(2, 5.0), "Linear: out_features must be a whole number >= 1, got 5.0"),
        (lambda: nn.Conv2d(0, 2, 3), "Conv2d: in_channels must be a whole number >= 1, got 0"),
        (
            lambda: nn.ConvTranspose1d(2, "a", 3),
            "ConvTranspose1d: out_channels must be a whole number >= 1, got 'a'",
        ),
        (
            lambda: nn.Embedding(-1, 3),
            "Embedding: num_embeddings must be a whole number >= 1, got -1",
        ),
        (lambda: nn.GRU(2.0, 3), "GRU: input_size must be a whole number >= 1, got 2.0"),
        (
            lambda: nn.MultiheadAttention(4.0, 2),
            "MultiheadAttention: embed_dim must be a whole number >= 1, got 4.0",
        ),
        (lambda: nn.Dropout("a"), "Dropout: p is the probability of DROPPING, .* got 'a'"),
        (lambda: nn.Dropout(None), "Dropout: p is the probability of DROPPING, .* got None"),
        (
            lambda: nn.L1("a"),
            "L1: the coefficient c must be a number >= 0 or a function of the step, got 'a'",
        ),
        (
            lambda: F.l1_penalty(nn.Parameter([1.0]), c="a"),
            "l1_penalty: the coefficient c must be a number >= 0, got 'a'",
        ),
    ],
)
def test_settings_that_make_no_sense_are_named(make, told):
    with pytest.raises((TypeError, ValueError), match=told):
        make()


@pytest.mark.parametrize(
    "state", ["model.npz", nn.Linear(3, 2), None, [1, 2]], ids=lambda state: type(state).__name__
)
def test_a_wrong_state_is_refused(state):
    model = nn.Linear(3, 2)
    for target in (model, mg.optim.SGD(model.parameters())):
        with pytest.raises(
            TypeError,
            match=f"into {type(target).__name__}: a dict is needed, .*, not a {type(state).__name__}",
        ):
            target.load_state_dict(state)


def test_the_repr_of_a_module_that_refers_to_one_around_it_ends():
    model, inner = nn.Sequential(nn.Linear(3, 2)), nn.Module()
    model.inner, inner.around = inner, model
    assert (
        repr(model)
        == "Sequential(\n  (0): Linear(in_features=3, out_features=2)\n  (inner): Module(\n    (around): (...)\n  )\n)"
    )


class Keeper(nn.Module):
    """Has buffers, and keeps its input and its activations."""

    def __init__(self, table, start):
        self.layer = nn.Linear(2, 2)
        self.table = self.again = table
        self.start, self.last, self.seen = start, np.zeros((1, 2)), []

    def forward(self, x):
        self.x, self.last = x, x
        self.seen.append(x)
        self.h = self.layer(x)
        return self.h


KEPT = ["table", "again", "start", "last", "layer.weight", "layer.bias"]


@pytest.mark.parametrize(
    "x",
    [
        np.ones((1, 2), np.float32),
        mg.Tensor(np.ones((1, 2), np.float32)),
        mg.Tensor(np.ones((1, 2), np.float32), True),
    ],
    ids=["array", "data", "leaf"],
)
def test_what_a_forward_keeps_is_neither_saved_nor_trained_nor_written_to(x):
    table, start = np.arange(3.0), mg.Tensor([1.0, 2.0], name="start")
    model = Keeper(table, start)
    assert list(model.state_dict()) == KEPT
    model(x)
    wanted = [key for key in KEPT if key != "last" or not getattr(x, "requires_grad", False)]
    assert list(model.state_dict()) == wanted and model.x is x
    assert [name for name, _ in model.named_parameters()] == ["layer.weight", "layer.bias"]
    model.load_state_dict({key: value * 0 + 7 for key, value in model.state_dict().items()})
    assert np.all(mg.array.data_of(x) == 1) and np.all(model.layer.weight.data == 7)
    assert table.tolist() == [0, 1, 2] and start.tolist() == [1, 2]  # the user's own
    assert model.table.tolist() == [7, 7, 7] and model.table is model.again
    assert model.start.tolist() == [7, 7] and model.start.name == "start"


def test_buffers_are_the_modules_own_arrays():
    table, mask = np.arange(3.0), np.ones(2)
    model = Keeper(table, mask)
    table[0], mask[0] = 9, 9
    assert model.table[0] == 0 and model.start[0] == 1
    model.start = mask
    mask[1] = 9
    assert model.start.tolist() == [9, 1]
    twin = copy.deepcopy(model)
    twin.load_state_dict({**twin.state_dict(), "table": np.full(3, 5.0)})
    assert list(twin.state_dict()) == KEPT and model.table.tolist() == [0, 1, 2]


def test_a_plain_leaf_of_the_constructor_is_a_parameter_also_in_a_list_and_once_frozen():
    leaves = [mg.Tensor([float(i)], True) for i in range(2)]

    class Own(nn.Module):
        def __init__(self):
            self.w, self.more = leaves[0], {"a": [leaves[1]]}

    model = Own()
    assert [p for _, p in model.named_parameters()] == leaves
    leaves[0].requires_grad = False
    assert [name for name, _ in model.named_parameters()] == ["w", "more.a.0"]
    assert list(model.state_dict()) == ["w", "more.a.0"]


def test_a_frozen_parameter_and_a_result_of_the_constructor_are_no_buffers():
    class Own(nn.Module):
        def __init__(self):
            self.w = nn.Parameter([1.0], requires_grad=False)
            self.tied, self.start = [self.w], np.exp(mg.Tensor([0.0], name="zero"))

    model = Own()
    assert model.w is model.tied[0] and model.start.op is not None
    assert [*model.state_dict()] == ["w", "tied.0"] and [*model.buffers()] == []


def test_a_leaf_that_is_assigned_later_is_a_parameter_unless_a_forward_does_so():
    class Keeps(nn.Module):
        def __init__(self):
            self.early = mg.Tensor([1.0], True)
            self.trained = list(self.parameters())

        def forward(self, x):
            self.x = x
            self.inner = nn.Module()
            self.inner.w = mg.Tensor([2.0], True)
            return x

    model, x = Keeps(), mg.Tensor([3.0], True)
    model.late = mg.Tensor([4.0], True)
    nn.Sequential(model)(x)
    assert model.trained == [model.early] and type(x) is mg.Tensor
    assert [name for name, _ in model.named_parameters()] == ["early", "late", "inner.w"]


def test_backward_through_a_buffer_that_was_loaded_is_refused():
    class Scale(nn.Module):
        def __init__(self):
            self.by = np.ones(2)

        def forward(self, x):
            return x * self.by

    model, x = Scale(), mg.Tensor([1.0, 2.0], True)
    y = model(x).sum()
    model.load_state_dict({"by": np.array([1.0, 3.0])})
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_modules_mix_with_abstract_classes_and_keep_their_signatures():
    import abc

    class Base(nn.Module, abc.ABC):
        @abc.abstractmethod
        def forward(self, x): ...

    with pytest.raises(TypeError, match="abstract"):
        Base()
    expected = "(in_features: int, out_features: int, bias=True, **settings: Any)"
    assert str(inspect.signature(nn.Linear)) == expected
    assert str(inspect.signature(nn.Dropout)).startswith("(p: float = 0.5, *, ")
    assert str(inspect.signature(nn.ModuleDict)) == "(entries=())"


@pytest.mark.parametrize(
    "name", ["modules", "train", "parameters", "state_dict", "_held", "put_back"]
)
def test_the_names_of_methods_are_refused(name):
    class Net(nn.Module):
        def __init__(self):
            setattr(self, name, [])

    with pytest.raises(ValueError, match=f"Net.{name} is a method of every Module: choose another"):
        Net()


def test_a_forward_of_one_module_is_a_function():
    layer = nn.ReLU()
    with pytest.raises(ValueError, match="ReLU.forward is a method"):
        layer.forward = 3
    layer.forward = lambda x: -x
    assert layer(2.0) == -2


# -------------------------------------------------------------------------------------------- files


def test_save_and_load_round_trip(tmp_path):
    model, file = Net(), tmp_path / "model.npz"
    mg.save(model, file)
    state = mg.load(file)
    assert state.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert state[key].dtype == value.dtype and np.array_equal(state[key], value)
    other = Net()
    other.load_state_dict(state)
    assert np.array_equal(other.eval()(ones(1, 4)).data, model.eval()(ones(1, 4)).data)


@pytest.mark.parametrize(
    "state", [{"w": np.arange(3)}, {"w": mg.Tensor([0.0, 1.0, 2.0], True)}], ids=["array", "tensor"]
)
@pytest.mark.parametrize("name", ["w.npz", "w", "w.model"])
def test_the_file_has_exactly_the_name_that_was_given(tmp_path, monkeypatch, state, name):
    monkeypatch.chdir(tmp_path)
    mg.save(state, name)
    assert os.listdir(tmp_path) == [name]
    assert mg.load(name)["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("key", ["file", "allow_pickle", "args", "arr_0", "a.b/c"])
def test_any_key_can_be_saved(tmp_path, key):
    mg.save({key: np.arange(3)}, tmp_path / "w.npz")
    assert {k: v.tolist() for k, v in mg.load(tmp_path / "w.npz").items()} == {key: [0, 1, 2]}


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError):
        mg.save({"w": np.array([{}, None], dtype=object)}, tmp_path / "bad.npz")
    assert os.listdir(tmp_path) == []
    np.savez(tmp_path / "evil.npz", w=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        mg.load(tmp_path / "evil.npz")


@pytest.mark.parametrize(
    "failure", [OSError("disk full"), KeyboardInterrupt()], ids=["OSError", "interrupt"]
)
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    file = tmp_path / "model.npz"
    mg.save({"w": np.arange(3)}, file)
    before = file.read_bytes()

    def half_written(target, *args, **kwargs):
        target.write(b"half") if hasattr(target, "write") else pathlib.Path(target).write_bytes(
            b"half"
        )
        raise failure

    monkeypatch.setattr(np.lib.format, "write_array", half_written)
    with pytest.raises(type(failure)):
        mg.save({"w": np.zeros(100)}, file)
    assert file.read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


def test_saving_again_replaces_the_file(tmp_path):
    mg.save({"w": np.zeros(3), "v": np.ones(1)}, tmp_path / "m.npz")
    mg.save({"w": np.ones(2)}, tmp_path / "m.npz")
    assert {k: v.tolist() for k, v in mg.load(tmp_path / "m.npz").items()} == {"w": [1.0, 1.0]}
    assert os.listdir(tmp_path) == ["m.npz"]


@pytest.mark.skipif(os.name != "posix", reason="needs file modes, which POSIX systems have")
def test_a_saved_file_has_the_permissions_of_other_new_files(tmp_path):
    (tmp_path / "plain").write_text("")
    mg.save({"w": np.zeros(3)}, tmp_path / "m.npz")
    assert stat.S_IMODE(os.stat(tmp_path / "m.npz").st_mode) == stat.S_IMODE(
        os.stat(tmp_path / "plain").st_mode
    )


# --------------------------------------------------------------------------------------------- repr


def test_the_repr_reads_like_pytorchs():
    model = nn.Sequential(
        nn.Linear(4, 3, penalty=nn.L2(1e-3)),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Sequential(out=nn.Linear(3, 1, bias=False), act=nn.ELU(0.5)),
    )
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=4, out_features=3, penalty=L2(0.001))\n"
        "  (1): ReLU()\n"
        "  (2): Dropout(p=0.2)\n"
        "  (3): Sequential(\n"
        "    (out): Linear(in_features=3, out_features=1, bias=False)\n"
        "    (act): ELU(alpha=0.5)\n"
        "  )\n"
        ")"
    )


@pytest.mark.parametrize(
    "module, text",
    [
        (nn.Dropout(0.25, scaling="classic"), "Dropout(p=0.25, scaling=classic)"),
        (nn.Dropout(), "Dropout(p=0.5)"),
        (nn.GELU("tanh"), "GELU(approximate=tanh)"),
        (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2)"),
        (nn.MaxPool2d(2, padding=(1, 0)), "MaxPool2d(kernel_size=2, padding=(1, 0))"),
        (
            nn.Conv2d(1, 2, 3, 2, bias=False),
            "Conv2d(in_channels=1, out_channels=2, kernel_size=3, stride=2, bias=False)",
        ),
        (
            nn.ConvTranspose1d(1, 2, 3, 2, 0, 1),
            "ConvTranspose1d(in_channels=1, out_channels=2, kernel_size=3, stride=2, output_padding=1)",
        ),
        (nn.Softmax(axis=0), "Softmax(axis=0)"),
        (nn.Flatten(), "Flatten()"),
        (nn.L1(1e-4), "L1(0.0001)"),
        (
            nn.Linear(1, 1, penalty=nn.L1(0.5)),
            "Linear(in_features=1, out_features=1, penalty=L1(0.5))",
        ),
    ],
)
def test_reprs_of_layers(module, text):
    assert repr(module) == text


def test_the_repr_of_a_subclass_of_a_layer_shows_the_settings_it_inherits():
    class Masked(nn.Linear):
        def __init__(self, mask, width=3, depth=1):
            super().__init__(len(mask), 2, bias=False)
            self.mask, self.depth = mask, depth

    assert (
        repr(Masked(np.eye(4), depth=2))
        == "Masked(depth=2, in_features=4, out_features=2, bias=False)"
    )


def test_the_repr_of_a_subclass_of_module_guesses_no_settings():
    class Block(nn.Module):
        def __init__(self, width, place=0):
            self.width, self.place = width, place

    assert repr(Block(3, place=1)) == "Block()"


# -------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    "layer, x",
    [
        (nn.Flatten(), [[[1.0, 2.0]]]),
        (nn.Linear(2, 1), [[1.0, 2.0]]),
        (nn.BatchNorm1d(2), [[1.0, 2.0], [3.0, 5.0]]),
        (nn.InstanceNorm1d(1), [[[1.0, 2.0]]]),
        (nn.Dropout(0.5, scaling="classic").eval(), [1.0, 2.0]),
        (nn.Residual(nn.Linear(2, 2)), [[1.0, 2.0]]),
        (nn.GRU(2, 3), [[[1.0, 2.0]]]),
        (nn.GRU(2, 3, batch_first=True), [[[1.0, 2.0]]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_take_lists(layer, x):
    of_list, of_tensor = (
        (out if isinstance(out, tuple) else (out,)) for out in (layer(x), layer(mg.Tensor(x)))
    )
    for a, b in zip(of_list, of_tensor):
        np.testing.assert_allclose(array.data_of(a), b.data, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------- Linear


@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_affine_map(shape, bias):
    layer = nn.Linear(4, 3, bias=bias, dtype=np.float64)
    x, u = (
        np.random.default_rng(0).standard_normal(shape),
        np.random.default_rng(1).standard_normal((*shape[:-1], 3)),
    )
    t = mg.Tensor(x, True)
    out = layer(t)
    expected = x @ layer.weight.data.T + (layer.bias.data if bias else 0)
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-14)
    out.backward(u)
    rows, cotangents = x.reshape(-1, 4), u.reshape(-1, 3)
    np.testing.assert_allclose(t.grad.data, u @ layer.weight.data, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.weight.grad.data, cotangents.T @ rows, rtol=1e-12, atol=1e-14)
    if bias:
        np.testing.assert_allclose(
            layer.bias.grad.data, cotangents.sum(axis=0), rtol=1e-12, atol=1e-14
        )
    else:
        assert layer.bias is None


@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 3, 4)])
def test_linear_equals_pytorchs(shape):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(4, 3).double(), nn.Linear(4, 3, dtype=np.float64)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, u = (
        np.random.default_rng(0).standard_normal(shape),
        np.random.default_rng(1).standard_normal((*shape[:-1], 3)),
    )
    t, s = mg.Tensor(x, True), torch.tensor(x, requires_grad=True)
    ours(t).backward(u), theirs(s).backward(torch.tensor(u))
    np.testing.assert_allclose(ours(t).data, theirs(s).detach().numpy(), rtol=1e-12, atol=1e-12)
    for mine, other in [(t, s), (ours.weight, theirs.weight), (ours.bias, theirs.bias)]:
        np.testing.assert_allclose(mine.grad.data, other.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_linear_is_float32_unless_told():
    layer = nn.Linear(3, 2)
    assert layer.weight.dtype == layer.bias.dtype == layer(ones(1, 3)).dtype == np.float32
    assert layer.weight.shape == (2, 3) and layer.bias.shape == (2,)
    assert nn.Linear(3, 2, dtype=np.float64).weight.dtype == np.float64


def test_linear_follows_the_default_dtype():
    mg.set_default_dtype(np.float64)
    try:
        assert nn.Linear(3, 2).weight.dtype == nn.Linear(3, 2).bias.dtype == np.float64
    finally:
        mg.set_default_dtype(np.float32)


def test_linear_of_the_wrong_width_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(2, 5\).*\(3, 4\)"):
        nn.Linear(4, 3)(ones(2, 5))


# -------------------------------------------------------------------------- dropout and activations


def test_dropout_drops_in_training_and_is_the_identity_in_evaluation():
    mg.manual_seed(0)
    layer, x = nn.Dropout(0.25), ones(400)
    assert set(np.unique(layer(x).data)) == {np.float32(0), np.float32(1 / 0.75)}
    assert layer.eval()(x) is x or np.array_equal(layer(x).data, x.data)


def test_classic_dropout_scales_in_evaluation_instead():
    mg.manual_seed(0)
    layer, x = nn.Dropout(0.25, scaling="classic"), ones(400)
    assert set(np.unique(layer(x).data)) == {0, 1}
    assert np.array_equal(layer.eval()(x).data, np.full(400, 0.75, np.float32))


def test_dropout_draws_a_new_mask_at_each_call_and_the_same_one_after_the_same_seed():
    layer, x = nn.Dropout(0.5), ones(100)
    mg.manual_seed(7)
    first, second = layer(x).data, layer(x).data
    mg.manual_seed(7)
    assert not np.array_equal(first, second)
    assert np.array_equal(layer(x).data, first) and np.array_equal(layer(x).data, second)


def test_dropout_uses_the_generator_it_was_given():
    x = ones(100)
    layer, twin = (nn.Dropout(0.5, rng=np.random.default_rng(1)) for _ in range(2))
    mg.manual_seed(1)
    first = layer(x).data
    mg.manual_seed(2)
    assert np.array_equal(first, twin(x).data)


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"p": 30}, ValueError),
        ({"p": -0.1}, ValueError),
        ({"p": 0.5, "scaling": "x"}, ValueError),
    ],
)
def test_wrong_settings_of_dropout_are_refused_when_it_is_made(arguments, error):
    with pytest.raises(error, match="Dropout: "):
        nn.Dropout(**arguments)


@pytest.mark.parametrize(
    "module, function",
    [
        (nn.ReLU(), F.relu),
        (nn.Sigmoid(), F.sigmoid),
        (nn.Tanh(), F.tanh),
        (nn.Softplus(), F.softplus),
        (nn.SiLU(), F.silu),
        (nn.SELU(), F.selu),
        (nn.GELU(), F.gelu),
        (nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")),
        (nn.ELU(), F.elu),
        (nn.ELU(alpha=0.3), lambda x: F.elu(x, 0.3)),
        (nn.LeakyReLU(), F.leaky_relu),
        (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
        (nn.Softmax(), F.softmax),
        (nn.Softmax(0), lambda x: F.softmax(x, 0)),
        (nn.LogSoftmax(axis=0), lambda x: F.log_softmax(x, 0)),
        (nn.Flatten(), lambda x: np.reshape(x, (3, 4))),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else "",
)
def test_activation_modules_are_their_functions(module, function):
    values = np.random.default_rng(0).standard_normal(
        (3, 2, 2) if isinstance(module, nn.Flatten) else (3, 4)
    )
    x, y = mg.Tensor(values, True), mg.Tensor(values, True)
    mine, other = module(x), function(y)
    assert np.array_equal(mine.data, other.data) and mine.op is other.op
    u = np.random.default_rng(1).standard_normal(mine.shape)
    mine.backward(u), other.backward(u)
    assert np.array_equal(x.grad.data, y.grad.data) and np.any(x.grad.data)


def test_activations_and_their_defaults_are_pytorchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((5, 4)) * 2
    for name in ("ReLU", "Sigmoid", "Tanh", "Softplus", "SiLU", "SELU", "GELU", "ELU", "LeakyReLU"):
        theirs = getattr(torch.nn, name)()(torch.tensor(x)).numpy()
        np.testing.assert_allclose(
            getattr(nn, name)()(mg.Tensor(x)).data, theirs, rtol=1e-12, atol=1e-14, err_msg=name
        )


@pytest.mark.parametrize(
    "make", [lambda: nn.ReLU(1), lambda: nn.ELU(beta=1), lambda: nn.LeakyReLU(0.1, 0.2)]
)
def test_activations_refuse_settings_they_do_not_have(make):
    with pytest.raises(
        TypeError,
        match=r"^(ReLU|LeakyReLU): too many|^ELU: got an unexpected keyword argument 'beta'",
    ):
        make()


# ----------------------------------------------------------------------------------------- Residual


def test_a_residual_block_adds_its_branch_and_drops_it_by_samples():
    mg.manual_seed(0)
    x, branch, shortcut = (
        mg.Tensor(np.random.default_rng(0).standard_normal((200, 3))),
        nn.Linear(3, 3),
        nn.Linear(3, 3),
    )
    assert np.array_equal(nn.Residual(branch)(x).data, (x + branch(x)).data)
    assert np.array_equal(nn.Residual(branch, shortcut)(x).data, (shortcut(x) + branch(x)).data)
    block = nn.Residual(branch, drop_path=0.4)
    left = block(x).data - x.data  # rows of zeros, and rows of the branch over 0.6
    dropped = ~left.any(axis=1)
    np.testing.assert_allclose(left[~dropped], branch(x).data[~dropped] / 0.6, rtol=1e-5, atol=1e-6)
    assert 30 < dropped.sum() < 130  # 80 are expected; outside with a probability below 1e-12
    assert np.array_equal(block.eval()(x).data, (x + branch(x)).data)
    assert list(block.state_dict()) == ["branch.weight", "branch.bias"]


def test_a_residual_block_refuses_shapes_that_would_broadcast():
    x = np.ones((5, 3), np.float32)
    with pytest.raises(
        ValueError,
        match=r"the branch gives \(5, 1\), the shortcut \(5, 3\). Give a shortcut that changes the shape of x",
    ):
        nn.Residual(nn.Linear(3, 1))(x)
    with pytest.raises(ValueError, match=r"the branch gives \(5, 1\), the shortcut \(5, 2\)"):
        nn.Residual(nn.Linear(3, 1), nn.Linear(3, 2))(x)


# --------------------------------------------------------------------------------------- Sequential


def test_sequential_applies_in_order_and_takes_functions():
    x = mg.Tensor(np.array([[-1.0, 2.0]]))
    assert np.array_equal(
        nn.Sequential(nn.ReLU(), np.exp, lambda t: t * 2)(x).data, 2 * np.exp([[0.0, 2.0]])
    )
    assert nn.Sequential()(x) is x


def test_sequential_with_names():
    model = nn.Sequential(nn.Linear(3, 2), act=nn.Tanh(), out=nn.Linear(2, 1))
    assert [name for name, _ in model.named_parameters()] == [
        "0.weight",
        "0.bias",
        "out.weight",
        "out.bias",
    ]
    assert (
        len(model) == 3
        and model[1] is model.act
        and model[2] is model.out
        and model[-1] is model.out
    )
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh", "Linear"]


def test_a_replaced_part_of_a_sequential_is_used():
    model = nn.Sequential(first=nn.ReLU(), second=nn.ReLU())
    model.second = nn.Tanh()
    assert np.array_equal(model(ones(2)).data, np.tanh(np.ones(2, np.float32)))


@pytest.mark.parametrize(
    "wrong", [3, None, "relu", np.ones(2), [nn.ReLU()]], ids=["int", "None", "str", "array", "list"]
)
def test_sequential_refuses_what_cannot_be_called(wrong):
    with pytest.raises(TypeError) as caught:
        nn.Sequential(nn.ReLU(), wrong)
    told = "Sequential: 1 must be a module or a function, not a class; got"
    assert str(caught.value) == f"{told} {wrong!r}."


def test_a_module_without_forward_is_an_error():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward method"):
        Empty()(ones(2))


# ---------------------------------------------------------------------------------------- penalties


def test_a_model_without_penalties_adds_zero():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    assert model.penalty() == 0.0
    loss = np.sum(model(ones(1, 3)))
    assert (loss + model.penalty()).item() == loss.item()
    (loss + model.penalty()).backward()


def test_penalties_are_one_node_each_over_the_layers_that_have_them():
    model = nn.Sequential(
        nn.Linear(3, 4, penalty=nn.L2(0.1), dtype=np.float64),
        nn.Linear(4, 4, penalty=nn.L1(0.1), dtype=np.float64),
        nn.Linear(4, 4, penalty=nn.L2(0.1), dtype=np.float64),
        nn.Linear(4, 4, penalty=nn.L2(0.3), dtype=np.float64),
        nn.Linear(4, 1, dtype=np.float64),
    )
    w = [layer.weight.data for layer in model]
    penalty = model.penalty()
    penalties = [n for n in nodes(penalty) if n.op is not None and n.op.name.endswith("_penalty")]
    assert sorted((n.op.name, n.args[0], len(n.args) - 1) for n in penalties) == [
        ("l1_penalty", 0.1, 1),
        ("l2_penalty", 0.1, 2),
        ("l2_penalty", 0.3, 1),
    ]
    expected = (
        0.1 * (np.sum(w[0] ** 2) + np.sum(w[2] ** 2))
        + 0.1 * np.sum(abs(w[1]))
        + 0.3 * np.sum(w[3] ** 2)
    )
    np.testing.assert_allclose(penalty.item(), expected, rtol=1e-14)
    penalty.backward()
    for layer, gradient in zip(model, [0.2 * w[0], 0.1 * np.sign(w[1]), 0.2 * w[2], 0.6 * w[3]]):
        np.testing.assert_allclose(layer.weight.grad.data, gradient, rtol=1e-14)
        assert layer.bias.grad is None
    assert model[4].weight.grad is None


def test_a_shared_weight_is_penalised_once():
    shared = nn.Linear(3, 3, penalty=nn.L2(0.5), dtype=np.float64)
    tied = nn.Linear(3, 3, penalty=nn.L2(0.5), dtype=np.float64)
    tied.weight = shared.weight
    model = nn.Sequential(shared, nn.ReLU(), shared, tied)
    np.testing.assert_allclose(
        model.penalty().item(), 0.5 * np.sum(shared.weight.data**2), rtol=1e-14
    )


def test_a_penalty_does_not_depend_on_the_mode_or_on_how_often_the_layer_ran():
    model = nn.Sequential(nn.Linear(3, 3, penalty=nn.L1(0.1)))
    value = model.penalty().item()
    model(ones(2, 3)), model(ones(2, 3))
    assert model.penalty().item() == model.eval().penalty().item() == value


def test_l1_and_l2_are_functions_of_weights_too():
    a, b = mg.Tensor(np.array([1.0, -2.0]), True), mg.Tensor(np.array([[3.0]]), True)
    assert nn.L1(0.5)(a, b).item() == 3.0 and nn.L2(0.5)(a, b).item() == 7.0
    assert nn.L1(0.5) == nn.L1(0.5) != nn.L2(0.5)


# ------------------------------------------------------------------------------------------ summary


def summed_model():
    return nn.Sequential(
        encoder=nn.Sequential(nn.Linear(784, 100, penalty=nn.L2(1e-3)), nn.ReLU()),
        drop=nn.Dropout(0.5),
        out=nn.Linear(100, 10, bias=False, penalty=nn.L1(1e-4)),
    )


def test_the_summary_is_a_table_of_the_layers():
    model = summed_model()
    model.out.weight.requires_grad = False
    summary = mg.summary(model, 784)
    assert str(summary) == (
        "layer               output shape  parameters  mult-adds  penalty\n"
        "-------------------------------------------------------------------\n"
        "encoder.0 (Linear)  (None, 100)       78,500     78,400  L2(0.001)\n"
        "encoder.1 (ReLU)    (None, 100)            0          0\n"
        "drop (Dropout)      (None, 100)            0          0\n"
        "out (Linear)        (None, 10)         1,000      1,000  L1(0.0001)\n"
        "-------------------------------------------------------------------\n"
        "79,500 parameters (318.0 kB), 78,500 of them trained\n"
        "one sample: 79,400 mult-adds, 0.8 kB kept for backward"
    )
    assert (summary.parameters, summary.trained, summary.mult_adds) == (79_500, 78_500, 79_400)
    assert summary.memory == {"parameters": 4 * 79_500, "results": 4 * (100 + 100 + 10)}
    assert summary.layers[3] == ("out (Linear)", "(None, 10)", 1000, 1000, "L1(0.0001)")


def test_a_notebook_shows_the_summary_and_the_sparsity_as_tables():
    class Odd(nn.Linear):
        pass

    Odd.__name__ = "<b>"
    model = Odd(3, 2)
    for report, rows in ((mg.summary(model, 3), 2), (mg.sparsity(model), 4)):
        table, *notes = ET.fromstring(f"<div>{report._repr_html_()}</div>")
        assert [e.tag for e in notes] == ["p"] * len(notes) and len(table) == rows
        told = ["  ".join(cell.text or "" for cell in row) for row in table]
        lines = [line.split() for line in str(report).splitlines() if not line.startswith("--")]
        assert [row.split() for row in told] + [note.text.split() for note in notes] == lines
        styles = {cell.get("style") for row in table for cell in row[2:3]}
        assert styles == {"text-align:right"}


@pytest.mark.parametrize(
    "layer, shape, products",
    [
        (lambda: nn.Linear(5, 3), (7, 5), 7 * 5 * 3),
        (lambda: nn.Conv2d(4, 6, 3, stride=2, groups=2), (4, 9, 9), 6 * 4 * 4 * 2 * 9),
        (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 4, 4), 3 * 8 * 8 * 2),
        (lambda: nn.MultiheadAttention(8, 2, batch_first=True), (5, 8), 4 * 5 * 64 + 2 * 5 * 5 * 8),
        (lambda: nn.GRU(6, 5, batch_first=True), (4, 6), 4 * 3 * 5 * (6 + 5)),
        (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()), 3, 0),
    ],
)
@pytest.mark.parametrize("recorded", [True, False])
def test_the_summary_counts_the_products_of_one_sample(layer, shape, products, recorded):
    class Model(nn.Module):
        def __init__(self):
            self.layer = layer()

        def forward(self, x):
            attends = isinstance(self.layer, nn.MultiheadAttention)
            return self.layer(x, x, x) if attends else self.layer(x)

    with contextlib.nullcontext() if recorded else mg.no_grad():
        summary = mg.summary(Model(), shape)
    assert summary.mult_adds == sum(row.mult_adds for row in summary.layers) == products
    assert summary.memory["results"] > 0 and modes.recording.get()


def test_the_summary_of_a_single_layer_and_of_a_shape_with_several_axes():
    assert "\nLinear  (None, 2)              8          6\n" in str(mg.summary(nn.Linear(3, 2), 3))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    assert "0 (Flatten)  (None, 12)" in str(mg.summary(model, (3, 4)))


def test_the_summary_of_a_model_that_takes_whole_numbers():
    model = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(12, 1))
    assert "0 (Embedding)  (None, 4, 3)          21" in str(mg.summary(model, 4, dtype=int))
    with pytest.raises(TypeError, match="integer dtype"):
        mg.summary(model, 4)


def test_the_summary_shows_a_layer_that_is_not_called():
    class Idle(nn.Module):
        def __init__(self):
            self.used, self.idle = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    (row,) = [row for row in mg.summary(Idle(), 2).layers if row.name.startswith("idle")]
    assert row == ("idle (Linear)", "not called", 6, 0, "")


class Raising(nn.Module):
    def forward(self, x):
        raise KeyError("inside")


class Sampling(nn.Module):
    """Monte Carlo dropout: active in evaluation too."""

    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


@pytest.mark.parametrize("fails", [False, True])
def test_the_summary_leaves_everything_as_it_was(fails):
    mg.manual_seed(0)
    model = summed_model()
    if fails:
        model.act = Raising()
        model._order = (*model._order, "act")
    model.encoder.eval()
    before, attributes = (
        [m.training for m in model.modules()],
        [set(vars(m)) - {"training"} for m in model.modules()],
    )
    model.zero_grad()
    values, generators = model.state_dict(), all_random_states()
    if fails:
        with pytest.raises(KeyError, match="inside"):
            mg.summary(model, 784)
    else:
        mg.summary(model, 784)
    assert [m.training for m in model.modules()] == before
    assert [set(vars(m)) - {"training"} for m in model.modules()] == attributes
    assert all(p.grad is None for p in model.parameters())
    assert all(np.array_equal(v, values[k]) for k, v in model.state_dict().items())
    assert all_random_states() == generators
    assert modes.recording.get() and modes.scope.get() is None


def test_the_summary_moves_no_noise_even_of_layers_that_always_sample():
    model = nn.Sequential(Sampling(), drop=Sampling())
    mg.manual_seed(0)
    expected = model(ones(20)).data
    mg.manual_seed(0)
    mg.summary(model, 20)
    assert np.array_equal(model(ones(20)).data, expected)


def test_the_summary_keeps_a_forward_that_was_put_on_the_instance():
    model = nn.Sequential(nn.ReLU())
    model[0].forward = lambda x: x * 3
    mg.summary(model, 2)
    assert np.array_equal(model(ones(2)).data, [3, 3])


# ------------------------------------------------------------------------------------- initialisers

OUT, IN = 200, 300
UNIFORM = {  # name: the bound of |w|
    "fan_in_uniform": 1 / math.sqrt(IN),
    "glorot_uniform": math.sqrt(6 / (IN + OUT)),
    "he_uniform": math.sqrt(6 / IN),
}
NORMAL = {"glorot_normal": 2 / (IN + OUT), "he_normal": 2 / IN}  # name: variance


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_initialisers_fill_their_interval(name):
    layer = nn.Linear(
        IN, OUT, init=getattr(nn, name), rng=np.random.default_rng(0), dtype=np.float64
    )
    w, bound = layer.weight.data, UNIFORM[name]
    assert w.shape == (OUT, IN)
    assert bound * 0.999 < np.abs(w).max() <= bound  # all 60,000 below 0.999: chance e^-60
    assert abs(np.mean(w)) < 6.2 * bound / math.sqrt(
        3 * w.size
    )  # six sigma and more: less than 1e-9
    assert abs(np.var(w) * 3 / bound**2 - 1) < 6.2 * math.sqrt(
        0.8 / w.size
    )  # var of u^2, u uniform: 0.8 of its mean squared


@pytest.mark.parametrize("name", NORMAL)
def test_normal_initialisers_have_their_variance(name):
    layer = nn.Linear(
        IN, OUT, init=getattr(nn, name), rng=np.random.default_rng(0), dtype=np.float64
    )
    w, variance = layer.weight.data, NORMAL[name]
    assert abs(np.mean(w)) < 6.2 * math.sqrt(variance / w.size)
    assert abs(np.var(w) / variance - 1) < 6.2 * math.sqrt(2 / w.size)
    assert abs(np.mean(w**4) / variance**2 - 3) < 6.2 * math.sqrt(
        96 / w.size
    )  # a normal's fourth moment


def test_the_default_initialisation_is_pytorchs_for_weight_and_bias():
    layer = nn.Linear(16, 4000, rng=np.random.default_rng(0))
    assert 0.2499 < np.abs(layer.weight.data).max() <= 0.25
    assert 0.249 < np.abs(layer.bias.data).max() <= 0.25  # the bias's bound is by the fan in, too


def test_zeros_and_a_function_of_ones_own():
    def halves(rng, shape, fan_in, fan_out):
        assert (fan_in, fan_out) == (3, 2)
        return np.full(shape, 0.5)

    layer = nn.Linear(3, 2, init=halves, bias_init=nn.zeros)
    assert layer.weight.tolist() == [[0.5] * 3] * 2 and layer.bias.tolist() == [0.0, 0.0]


def test_initialisation_follows_manual_seed_and_leaves_numpys_generator():
    before = str(np.random.get_state())
    mg.manual_seed(3)
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    mg.manual_seed(3)
    again = nn.Linear(3, 2)
    assert np.array_equal(first.weight.data, again.weight.data) and np.array_equal(
        first.bias.data, again.bias.data
    )
    assert not np.array_equal(first.weight.data, second.weight.data)
    assert str(np.random.get_state()) == before


# ---------------------------------------------------------------------------- scopes, noise streams


def test_recorded_nodes_know_the_module_they_were_made_in():
    loss = np.sum(Net()(ones(2, 4)))
    made = [(n.op.name, path(n.scope)) for n in nodes(loss) if n.args]
    assert (
        ("linear", "blocks.1.inner") in made
        and ("tanh", "blocks.0.act") in made
        and ("multiply", "blocks.1") in made
    )
    assert ("linear", "heads.b") in made and ("dropout", "drop") in made and ("sum", "") in made


def test_compositions_are_scopes_inside_modules():
    model = nn.Sequential(inner=nn.Sequential(act=nn.SiLU()))
    x = mg.Tensor([1.0], True)
    assert {path(n.scope) for n in nodes(model(x)) if n.args} == {"inner.act.silu"}


def test_the_scope_is_left_when_a_module_raises():
    with pytest.raises(KeyError):
        nn.Sequential(Raising())(ones(1))
    assert modes.scope.get() is None


def test_layers_appended_to_a_list_have_scopes_of_their_own():
    class Stack(nn.Module):
        def __init__(self):
            self.drops = []
            for _ in range(3):
                self.drops.append(nn.Dropout(0.5))

        def forward(self, x):
            for drop in self.drops:
                x = drop(x)
            return x

    y = Stack()(mg.Tensor(np.ones(4), True))
    assert [path(n.scope) for n in nodes(y) if n.args] == ["drops.0", "drops.1", "drops.2"]
    assert [n.stream for n in mg.noise_leaves(y)] == [
        "drops.Dropout_0",
        "drops.Dropout_1",
        "drops.Dropout_2",
    ]


class Dropping(nn.Module):
    """drop1, perhaps something between, drop2; gives drop2's mask."""

    def __init__(self, *between):
        self.drop1 = nn.Dropout(0.5)
        for name, module in between:
            setattr(self, name, module)
        self.between = [name for name, _ in between]
        self.drop2 = nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop1(x)
        for name in self.between:
            x = getattr(self, name)(x)
        return self.drop2(x * 0 + 1)


def test_a_layer_inserted_before_does_not_change_the_mask_of_a_named_dropout():
    before = str(np.random.get_state())
    masks = []
    for between in [
        (),
        (("extra", nn.Dropout(0.5)),),
        (("lin", nn.Linear(64, 64)), ("act", nn.Tanh()), ("more", nn.Dropout(0.1))),
    ]:
        mg.manual_seed(11)
        masks.append(Dropping(*between)(ones(2, 64)).data)
    assert np.array_equal(masks[0], masks[1]) and np.array_equal(masks[0], masks[2])
    assert 0 < np.count_nonzero(masks[0]) < 128
    assert str(np.random.get_state()) == before


def test_dropouts_of_different_names_draw_different_masks():
    mg.manual_seed(11)
    model = nn.Sequential(a=nn.Dropout(0.5), b=nn.Dropout(0.5))
    x = ones(64)
    assert not np.array_equal(
        modes.scoped(model, model.a, x).data, modes.scoped(model, model.b, x).data
    )


def test_all_masks_are_the_same_after_the_same_seed():
    model, x = Net(), ones(3, 4)
    mg.manual_seed(1)
    first = model(x).data
    mg.manual_seed(1)
    again = model(x).data
    assert np.array_equal(first, again) and not np.array_equal(model(x).data, first)


@pytest.mark.parametrize(
    "name", ["forward", "training", "train", "penalty", "weight_penalty", "_order"]
)
def test_a_sequential_refuses_the_names_of_its_own_attributes(name):
    with pytest.raises(ValueError, match=f"Sequential: the name '{name}' is taken"):
        nn.Sequential(**{name: nn.Tanh()})


def test_a_slice_of_a_sequential_keeps_the_names_as_in_pytorch():
    model = nn.Sequential(first=nn.Linear(2, 3), act=nn.Tanh(), last=nn.Linear(3, 1))
    assert list(model[1:].state_dict()) == ["last.weight", "last.bias"]
    assert model[1:][0] is model[1]
    assert list(nn.Sequential(nn.Tanh(), nn.Linear(3, 1))[1:].state_dict()) == [
        "1.weight",
        "1.bias",
    ]


def test_a_batch_of_no_samples_is_flattened_and_attended_to():
    assert nn.Flatten()(mg.Tensor(np.zeros((0, 2, 3)))).shape == (0, 6)
    x = mg.Tensor(np.zeros((0, 5, 4), np.float32))
    assert nn.MultiheadAttention(4, 2, batch_first=True)(x, x, x)[0].shape == (0, 5, 4)


@pytest.mark.parametrize("penalty", [0.001, nn.L2, F.l2_penalty, lambda *w, step: w[0].sum()])
def test_a_penalty_that_is_none_is_refused(penalty):
    remedy = r"must be e.g. L2\(1e-3\), not .* becomes one by nn.Penalty\(function, c=1e-3\)"
    with pytest.raises(TypeError, match=f"Linear: weight_penalty {remedy}"):
        nn.Linear(2, 1, penalty=penalty)
    layer = nn.Linear(2, 1)
    with pytest.raises(TypeError, match=f"Linear: bias_penalty {remedy}"):
        layer.bias_penalty = penalty


def test_a_penalty_that_is_set_later_counts():
    layer = nn.Linear(2, 1, bias=False)
    with pytest.raises(ValueError, match="Linear.penalty is a method .*: set weight_penalty"):
        layer.penalty = nn.L2(1.0)
    layer.weight_penalty = nn.L2(1.0)
    assert layer.penalty().item() == pytest.approx(np.sum(layer.weight.data**2))
    layer.bias_penalty = nn.L1(1.0)
    with pytest.raises(ValueError, match=r"Linear: no parameter for the penalty L1\(1\)"):
        layer.penalty()


def test_parameters_in_nested_lists_have_one_name_everywhere():
    class Nested(nn.Module):
        def __init__(self):
            self.ws = [[nn.Parameter([2.0])], {"a": [nn.Parameter([3.0])]}]

        def forward(self, x):
            return x * self.ws[0][0] * self.ws[1]["a"][0]

    model = Nested()
    loss = np.sum(model(mg.Tensor([1.0])))
    names = [name for name, _ in model.named_parameters()]
    assert names == ["ws.0.0", "ws.1.a.0"]
    assert [row.name for row in mg.check_graph(loss).rows if row.op == "leaf"] == names
    assert all(name in mg.to_text(loss) for name in names)


@pytest.mark.parametrize("value", [mg.Tensor([[1.0, 2.0]]), np.ones((1, 2))])
def test_a_parameter_is_not_lost_to_plain_data(value):
    layer = nn.Linear(2, 1)
    weight = layer.weight
    with pytest.raises(
        TypeError,
        match=r"Linear.weight is a Parameter; a .* would not be trained. Assign nn.Parameter",
    ):
        layer.weight = value
    assert layer.weight is weight
    layer.weight = nn.Parameter(value)
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


@pytest.mark.parametrize(
    "made", [lambda w: w * np.ones(2), lambda w: mg.Tensor(w.data, True), lambda w: 0.5]
)
def test_a_parameter_is_replaced_by_a_parameter_or_none_alone(made):
    layer = nn.Linear(2, 1)
    weight = layer.weight
    with pytest.raises(TypeError, match=r"Linear.weight is a Parameter; a (Tensor|float) would"):
        layer.weight = made(layer.weight)
    assert layer.weight is weight
    with mg.no_grad():
        layer.weight *= [[0.0, 1.0]]  # the remedy for a mask
    assert layer.weight is weight and weight.data[0, 0] == 0 != weight.data[0, 1]
    with pytest.raises(RuntimeError, match=r"w \*= ... on a leaf that requires a gradient"):
        layer.weight *= 2.0
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"] and layer(ones(1, 2)).shape == (1, 1)
    del layer.weight  # for a network that makes weights
    layer.weight = 2 * weight
    assert [name for name, _ in layer.named_parameters()] == []
    layer(ones(1, 2)).sum().backward()
    assert weight.grad.tolist() == [[2.0, 2.0]]


# ------------------------------------------------------------------------------ layers of one's own


class Bilinear(nn.Layer):
    """x (N, size) gives sum_jk x_j weight_ijk x_k + bias_i, (N, units)."""

    def __init__(self, size, units, bias=True, **settings):
        self.size, self.units = size, units
        biases = {"bias": (units,) if bias else None}
        usual = {"init": nn.glorot_normal, "bias_init": nn.ones}
        self.add_parameters(
            (size, units), {"weight": (units, size, size)}, biases, usual | settings
        )

    def forward(self, x):
        out = np.einsum("nj,ijk,nk->ni", x, self.weight, x)
        return out if self.bias is None else out + self.bias


def test_a_layer_is_one_class():
    """Initialisers, dtype, penalties, state, repr, name in summaries: all follow from its
    constructor.
    """
    settings = {"penalty": nn.L1(0.1), "bias_penalty": nn.L2(0.2), "dtype": np.float64}
    layer = Bilinear(3, 2, rng=np.random.default_rng(0), **settings)
    weight = np.random.default_rng(0).normal(0, math.sqrt(2 / 5), (2, 3, 3))
    assert np.array_equal(layer.weight.data, weight) and layer.bias.tolist() == [1, 1]
    assert repr(layer) == "Bilinear(size=3, units=2, penalty=L1(0.1), bias_penalty=L2(0.2))"
    assert list(layer.state_dict()) == ["weight", "bias"]
    np.testing.assert_allclose(layer.penalty().item(), 0.1 * np.sum(abs(weight)) + 0.4, rtol=1e-12)
    x = mg.Tensor(np.random.default_rng(1).standard_normal((4, 3)), True)
    assert mg.check_graph(np.sum(np.sin(layer(x))))
    assert mg.summary(layer, 3).layers[0].penalty == "L1(0.1), L2(0.2) on the bias"
    assert Bilinear(3, 2, bias=False, init=nn.zeros).weight.tolist() == np.zeros((2, 3, 3)).tolist()


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Bilinear(3, 2, momentum=1), TypeError, r"Bilinear has no setting \['momentum'\]"),
        (lambda: nn.Conv1d(3, 2, 1, momentum=1), TypeError, "Conv1d has no setting"),
        (
            lambda: Bilinear(3, 2, bias=False, bias_penalty=nn.L1(1)),
            ValueError,
            r"Bilinear: bias_penalty=L1\(1\), but there is no bias",
        ),
        (lambda: Bilinear(3, 2, bias_penalty=nn.L1), TypeError, "bias_penalty must be e.g. L2"),
        (lambda: nn.Embedding(3, 2, bias_penalty=nn.L1(1)), ValueError, "there is no bias"),
    ],
)
def test_settings_of_layers_that_make_no_sense_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_penalties_of_a_module_act_on_its_parameters_by_their_names():
    class Plain(nn.Module):
        """Parameters with `weight` and `bias` in their names, as in PyTorch."""

        def __init__(self):
            self.weight_a, self.inner_bias = nn.Parameter([2.0]), nn.Parameter([3.0])
            self.other = nn.Parameter([5.0])
            self.weight_penalty, self.bias_penalty = nn.L2(1.0), nn.L1(1.0)

    assert Plain().penalty().item() == 2.0**2 + 3.0
    assert nn.penalty(Plain(), nn.L2(1.0), where="other").item() == 5.0**2


@pytest.mark.parametrize("container", ["Sequential", "list", "inside one that is not called"])
def test_names_are_looked_up_in_one_pass_over_the_siblings(container, monkeypatch):
    class Listed(nn.Module):
        def __init__(self, n):
            self.drops = [nn.Dropout(0.5) for _ in range(n)]
            if container != "list":
                self.drops = nn.Sequential(*self.drops)

        def forward(self, x):
            for drop in self.drops:
                x = drop(x)
            return x

    def steps(n):
        count = 0

        def counted(*args):
            nonlocal count
            for member in members(*args):
                count += 1
                yield member

        model = Listed(n).drops if container == "Sequential" else Listed(n)
        scale = nn.Parameter([1.0])
        model.scale = scale
        monkeypatch.setattr(nn.module, "_members", counted)
        y = (model(ones(1)) * scale).sum()
        read = mg.terms(y), mg.to_text(y), mg.noise_leaves(y)
        monkeypatch.setattr(nn.module, "_members", members)
        prefix = "" if container == "Sequential" else "drops."
        names = [leaf.stream for leaf in read[2]]
        assert names == [f"{prefix}Dropout_{i}" for i in range(n)]
        return count

    members = nn.module._members
    assert steps(64) < 2.5 * steps(32)


def test_a_module_that_changes_between_two_calls_is_named_anew():
    drops = [nn.Dropout(0.5) for _ in range(3)]
    model = nn.Module()
    model.drops = drops
    model.forward = lambda x: drops[-1](x)
    assert mg.noise_leaves(model(ones(1)))[0].stream == "drops.Dropout_2"
    drops[0] = nn.ReLU()
    assert mg.noise_leaves(model(ones(1)))[0].stream == "drops.Dropout_1"


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_keeps_the_gradient(twin):
    for create_graph in False, True:
        w = nn.Parameter([1.0, 2.0], name="w")
        (w**3).sum().backward(create_graph=create_graph)
        other = twin(w)
        assert other.grad.tolist() == [3.0, 12.0] and other.name == "w" and other.requires_grad
        assert other.grad.is_leaf and not np.shares_memory(other.grad.data, w.grad.data)
        assert not np.shares_memory(other.data, w.data)
    assert twin(nn.Parameter([1.0])).grad is None


def test_a_copy_keeps_the_gradient_as_a_tensor_of_pytorch_does():
    torch = pytest.importorskip("torch")
    theirs = torch.ones(2, requires_grad=True)
    theirs.sum().backward()
    ours = mg.Tensor([1.0, 1.0], requires_grad=True)
    ours.sum().backward()
    assert copy.deepcopy(theirs).grad.tolist() == copy.deepcopy(ours).grad.tolist() == [1.0, 1.0]


SAMPLES = {  # one of each kind of object that nn and optim make
    "Linear": lambda: nn.Linear(2, 3, bias=False, penalty=nn.L2(0.1)),
    "Conv2d": lambda: nn.Conv2d(1, 2, 3, groups=1),
    "Upsample": lambda: nn.Upsample(scale_factor=2),
    "BatchNorm1d": lambda: nn.BatchNorm1d(3),
    "LSTM": lambda: nn.LSTM(2, 3, 2),
    "MultiheadAttention": lambda: nn.MultiheadAttention(4, 2),
    "DropConnect": lambda: nn.DropConnect(nn.Linear(2, 2)),
    "Residual": lambda: nn.Residual(nn.Linear(2, 2), drop_path=0.1),
    "Sequential": lambda: nn.Sequential(nn.Linear(2, 2), F.relu, last=nn.Dropout(0.1)),
    "Penalty": lambda: nn.Penalty(F.group_l2, c=0.1, axis=0),
    "scheduled": lambda: nn.L1(mg.optim.cosine(0.1, 10)),
    "SGD": lambda: mg.optim.SGD(nn.Linear(2, 3).parameters(), lr=mg.optim.cosine(0.1, 5)),
    "AdamW": lambda: mg.optim.AdamW(
        [{"params": nn.Linear(2, 3).weight}, {"params": nn.Linear(2, 3).bias}]
    ),
    "ProximalSGD": lambda: mg.optim.ProximalSGD(nn.Linear(2, 3).weight),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_object_has_a_repr_and_can_be_copied_and_pickled(name):
    made = SAMPLES[name]()
    assert "object at" not in repr(made)
    for twin in copy.deepcopy(made), pickle.loads(pickle.dumps(made)):
        assert repr(twin) == repr(made) and type(twin) is type(made)
        if hasattr(made, "state_dict"):
            np.testing.assert_equal(twin.state_dict(), made.state_dict())


def test_functions_are_in_the_repr_of_a_sequential():
    model = nn.Sequential(nn.ReLU(), F.relu, end=np.tanh)
    assert repr(model) == "Sequential(\n  (0): ReLU()\n  (1): relu\n  (end): tanh\n)"
    assert str(inspect.signature(nn.Flatten)) == "()" == str(inspect.signature(nn.Tanh))


@pytest.mark.parametrize(
    "make, error, told",
    [
        (
            lambda: nn.Linear(3, 2, init=lambda rng, shape, *fans: np.zeros(5)),
            ValueError,
            r"Linear: init gave weight the shape \(5,\), but it needs \(2, 3\)",
        ),
        (
            lambda: nn.Linear(3, 2, bias_init=lambda rng, shape, *fans: 0.0),
            ValueError,
            r"Linear: bias_init gave bias the shape \(\), but it needs \(2,\)",
        ),
        (lambda: nn.Linear(3, 2, rng=3), TypeError, "Linear: rng is 3; pass a np.random.Generator"),
        (lambda: nn.BatchNorm1d(0), ValueError, "BatchNorm1d: each size must be a whole number"),
        (lambda: nn.LayerNorm((2, -1)), ValueError, "LayerNorm: each size .* >= 1, got -1"),
        (lambda: nn.LayerNorm("a"), ValueError, "LayerNorm: each size .* got 'a'"),
        (lambda: nn.InstanceNorm1d(2.5), ValueError, "InstanceNorm1d: each size .* got 2.5"),
        (lambda: nn.GroupNorm(2.0, 4), ValueError, "GroupNorm: num_groups must be a whole number"),
        (
            lambda: nn.penalty(nn.Linear(2, 2), F.l2_penalty),
            TypeError,
            "penalty: the second argument",
        ),
        (lambda: nn.penalty(nn.Linear(2, 2), None), TypeError, "penalty: the second argument"),
    ],
)
def test_more_settings_that_make_no_sense_are_named(make, error, told):
    with pytest.raises(error, match=told):
        make()


@pytest.mark.parametrize("rank", [1, 2])
def test_a_transposed_convolution_is_its_function_with_all_settings(rank):
    settings = {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2, "dilation": 2}
    layer = getattr(nn, f"ConvTranspose{rank}d")(4, 6, 3, **settings)
    x = np.random.default_rng(0).standard_normal((2, 4, *[5] * rank)).astype(np.float32)
    function = getattr(F, f"conv_transpose{rank}d")
    expected = function(x, layer.weight, layer.bias, **settings)
    assert np.array_equal(layer(x).data, expected.data)

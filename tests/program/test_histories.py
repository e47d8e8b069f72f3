"""A model changes between training steps, and its compiled step follows, to the last bit."""

import collections
import functools
import random
import types

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.noise import get_rng_state, set_rng_state

pytestmark = pytest.mark.usefixtures("seeded", "as_before")


class Config:
    rate = 1.0

    def __init__(self):
        self.more = []

    def shift(self):
        return getattr(self, "extra", 0.0) + sum(self.more)


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Linear(6, 8, penalty=nn.L2(1e-2))
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.3)
        self.inner = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.last, self.other = nn.Linear(8, 3), nn.Linear(8, 3)
        self.scale, self.skips, self.act, self.head = 1.5, True, F.relu, "last"
        self.settings = {"factor": 2.0, "shifts": [1.0, 2.0]}
        self.weights, self.smoothing = np.array([1, 2, 1], np.float32), 0.1
        self.config = Config()

    def forward(self, x):
        h = self.act(self.norm(self.first(x))) * self.scale
        h = h + self.drop(h) if self.skips else self.drop(h)
        for layer in self.inner:
            h = np.tanh(layer(h))
        h = h * self.settings["factor"] + self.settings["shifts"][0]
        return getattr(self, self.head)(h) * self.config.rate + self.config.shift()

    def loss(self, x, y):
        settings = {"weight": self.weights, "label_smoothing": self.smoothing}
        return F.cross_entropy(self(x), y, **settings) + self.penalty()


def set_item(holder, key, value):
    holder[key] = value


CHANGES = [  # of a Net, by a number from 0.5 to 1.5
    lambda net, v: setattr(net, "scale", v),
    lambda net, v: setattr(net, "skips", not net.skips),
    lambda net, v: setattr(net, "act", np.sin if net.act is F.relu else F.relu),
    lambda net, v: setattr(net, "head", "other" if net.head == "last" else "last"),
    lambda net, v: setattr(net, "smoothing", v / 4),
    lambda net, v: set_item(net.settings, "factor", v),
    lambda net, v: set_item(net.settings["shifts"], 0, v),
    lambda net, v: set_item(net.weights, 1, v),
    lambda net, v: net.train(not net.training),
    lambda net, v: setattr(net.drop, "p", v / 2),
    lambda net, v: setattr(net, "drop", nn.Dropout(v / 3)),
    lambda net, v: setattr(net.norm, "momentum", v / 2),
    lambda net, v: setattr(net.norm, "eps", v / 1000),
    lambda net, v: set_item(net.norm.running_mean, ..., v),
    lambda net, v: net.inner.append(nn.Linear(8, 8)),
    lambda net, v: set_item(net.inner, 0, nn.Linear(8, 8, bias=v > 1)),
    lambda net, v: setattr(net.inner[0], "weight", net.inner[1].weight),
    lambda net, v: setattr(net.last, "weight", nn.Parameter(np.full((3, 8), v, np.float32))),
    lambda net, v: net.first.weight.requires_grad_(not net.first.weight.requires_grad),
    lambda net, v: set_item(net.first.weight.data, 0, v),
    lambda net, v: setattr(net.last.weight, "data", np.asfortranarray(net.last.weight.data)),
    lambda net, v: net.load_state_dict(
        {n: a[::-1] if a.ndim else a for n, a in net.state_dict().items()}
    ),
    lambda net, v: net.first.register_forward_hook(lambda module, args, out: out * v),
    lambda net, v: mg.manual_seed(int(100 * v)),
    lambda net, v: setattr(net.config, "rate", v),
    lambda net, v: setattr(net.config, "extra", v),
    lambda net, v: net.config.more.append(v),
    lambda net, v: net.config.more.clear(),
]


@pytest.mark.parametrize("seed", range(8))
def test_a_compiled_step_follows_every_change(seed):
    rng, state = np.random.default_rng(seed), get_rng_state()
    worlds = []
    for is_compiled in (False, True):
        set_rng_state(state)
        net = Net()
        step = mg.compile(net.loss) if is_compiled else net.loss
        worlds.append([net, step, get_rng_state()])
    for _ in range(24):
        x = rng.standard_normal((rng.choice([5, 7]), 6)).astype(np.float32)
        y = rng.integers(0, 3, len(x))
        y[0] = rng.choice([y[0], -100], p=[0.9, 0.1])
        changes = [(CHANGES[rng.integers(len(CHANGES))], rng.uniform(0.5, 1.5))] * rng.integers(2)
        found = []
        for world in worlds:
            net, step, state = world
            set_rng_state(state)
            for change, number in changes:
                change(net, number)
            net.zero_grad()
            loss = step(x, y)
            if step == net.loss:
                loss.backward()
            gradients = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
            optimizer = optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.01)
            optimizer.step()
            gradients = {f"gradient of {name}": g.numpy() for name, g in gradients.items()}
            found.append({"loss": loss.numpy(), **gradients, **net.state_dict()})
            world[2] = get_rng_state()
        assert found[0].keys() == found[1].keys()
        for name, right in found[0].items():
            np.testing.assert_array_equal(found[1][name], right, err_msg=name)
    assert sum(p.refusal is None for p in worlds[1][1].programs) > 3


class Plain:
    pass


class Slots:
    __slots__ = ("inner",)


class SlotsAndMore(Slots):
    pass


class Items(list):
    pass


class Holder(nn.Module):
    def __init__(self, inner=None):
        self.inner = inner


def has_inner(make):
    """What holds a value as an attribute: (make, read, change)."""

    def held(value):
        holder = make()
        holder.inner = value
        return holder

    return held, lambda holder: holder.inner, lambda holder, new: setattr(holder, "inner", new)


def has_items(make, key):
    """What holds a value as an item: (make, read, change)."""
    return make, lambda holder: holder[key], lambda holder, new: holder.__setitem__(key, new)


def closure(value):
    return lambda: value


def default(value):
    def get(x=value):
        return x

    return get


def with_class(value):
    return type("Own", (), {"inner": [value]})()  # a function in a class would be a method


def of_exec(value):
    space = {"value": value}
    exec("def get(): return value", space)
    return space["get"]


HOLDERS = [  # (make one of a value, read the value, change it)
    *map(has_inner, (Plain, Slots, SlotsAndMore, Holder, types.SimpleNamespace)),
    has_inner(lambda: type("Own", (), {})),
    has_inner(lambda: types.ModuleType("own")),
    has_inner(lambda: functools.partial(len)),
    has_items(lambda value: [0, value], 1),
    has_items(lambda value: Items([0, value]), 1),
    has_items(lambda value: {"key": value}, "key"),
    has_items(lambda value: collections.OrderedDict(key=value), "key"),
    has_items(lambda value: collections.ChainMap({}, {"key": value}), "key"),
    has_items(lambda value: collections.defaultdict(lambda: value), "key"),
    ((lambda value: [value]), (lambda x: x[-1]), (lambda x, new: x.append(new))),
    ((lambda value: collections.deque([value])), (lambda x: x[0]), (lambda x, n: x.appendleft(n))),
    ((lambda value: {"a": value}), (lambda x: x.get("b", x["a"])), (lambda x, n: x.update(b=n))),
    ((lambda value: {"a": value}), (lambda x: [*x.values()][-1]), (lambda x, n: x.update(b=n))),
    (closure, (lambda f: f()), (lambda f, n: setattr(f.__closure__[0], "cell_contents", n))),
    (default, (lambda f: f()), (lambda f, n: setattr(f, "__defaults__", (n,)))),
    (of_exec, (lambda f: f()), (lambda f, n: f.__globals__.update(value=n))),
    (with_class, (lambda x: x.inner[0]), (lambda x, n: setattr(x, "inner", [n]))),
    (
        with_class,
        (lambda x: getattr(x, "late", x.inner)[0]),
        (lambda x, n: setattr(x, "late", [n])),
    ),
    (with_class, (lambda x: x.inner[0]), (lambda x, n: setattr(type(x), "inner", [n]))),
]


@pytest.mark.parametrize("seed", range(40))
def test_a_compiled_step_follows_a_change_at_any_depth(seed):
    rng, w = random.Random(seed), mg.Tensor([1.0, 2.0], requires_grad=True)
    chain = rng.choices(HOLDERS, k=rng.randint(1, 4))
    depth = rng.randrange(len(chain))

    def wrapped(value, holders):
        for make, _, _ in reversed(holders):
            value = make(value)
        return value

    def read(value, holders):
        for _, get, _ in holders:
            value = get(value)
        return value

    outer = wrapped(1.0, chain)
    step = mg.compile(lambda x: np.sum(w * x) * read(outer, chain))
    for number in (1.0, 3.0, 5.0):
        assert [step(np.ones(2)).item() for _ in range(4)] == [3 * read(outer, chain)] * 4
        change = chain[depth][2]
        change(read(outer, chain[:depth]), wrapped(number, chain[depth + 1 :]))
    assert len(step.programs) > 1 and not any(p.refusal for p in step.programs)

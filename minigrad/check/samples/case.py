"""What sample tables are written with: cases, ways to draw inputs, and sweeps over shapes."""

import types
import zlib

import numpy as np

from ... import functional as F
from ... import ops
from ...engine import Tensor

LETTERS = "xyzw"


class Sample:
    """A call in text, such as "np.roll(x, k)", with inputs x, y, z, w and settings, here k.

    `xs` are all inputs. The text knows np, F, Tensor, every op by its name, and the settings. The
    name of the sample is its text, inputs and settings. Failures print it; it seeds random inputs.
    """

    def __init__(self, text, draws, zero=False, **settings):
        self.text, self.zero, self.settings = text, zero, settings
        self.draws = [normal(*draw) if isinstance(draw, tuple) else draw for draw in draws]
        self.code = compile(text, "<sample>", "eval")

    @property
    def name(self):
        """np.roll(x, k), x (2, 3), k=1"""
        shown = [f"{letter} {_shown(draw)}" for letter, draw in zip(LETTERS, self.draws)]
        shown += [f"{k}={v}" for k, v in self.settings.items() if not callable(v)]
        return ", ".join([self.text, *shown])

    def inputs(self):
        """The float64 arrays, the same at each call."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode())])
        return [np.array(d(rng) if callable(d) else d, np.float64) for d in self.draws]

    def call(self, *xs):
        """The value for these inputs: Tensors or, where NumPy has the function, arrays."""
        return eval(self.code, NAMES | self.settings | dict(zip(LETTERS, xs)) | {"xs": xs})

    def __repr__(self):
        return self.name


def _shown(draw):
    return draw.__name__ if callable(draw) else str(np.asarray(draw).tolist())


# ---- rows of a table. An input is a shape (its entries are normal), values, or a draw


def case(text, *inputs, zero=False, **settings):
    """A Sample. For an op of your own file, `text` may be a function of inputs and settings."""
    if callable(text):
        arguments = [*LETTERS[: len(inputs)], *(f"{name}={name}" for name in settings)]
        text, named = _of(text, ", ".join(arguments))
        settings |= named
    return Sample(text, inputs, zero, **settings)


def zero(text, *inputs, **settings):
    """A Sample whose gradients are exactly 0, or empty, by intention."""
    return case(text, *inputs, zero=True, **settings)


def on(x, *texts, zero=False):
    """Samples of one input: on((3,), "x + x", "x * x")."""
    return [case(text, x, zero=zero) for text in texts]


def each(text, *inputs, zero=False, **values):
    """A Sample for each value of a setting: each("np.roll(x, k)", (3,), k=[1, -2])."""
    ((name, options),) = values.items()
    return [case(text, *inputs, zero=zero, **{name: option}) for option in options]


def over(text, *shapes, zero=False):
    """A Sample for each tuple of shapes: over("x @ y", ((3,), (3,)), ((2, 3), (3,)))."""
    return [case(text, *inputs, zero=zero) for inputs in shapes]


def _of(f, arguments):
    """(text, settings) of f(arguments), where f is the text of a function, or a function."""
    if isinstance(f, str):
        return f"{f}({arguments})", {}
    name = f.__name__ if f.__name__.isidentifier() else "f"
    return f"{name}({arguments})", {name: f}


# ---- how inputs are drawn


def _draw(kind, function, shape):
    """A draw, function(rng) -> array. Samples show its shape and, unless it is normal, its kind."""

    def draw(rng):
        return function(rng).reshape(shape)

    draw.__name__ = f"{kind} {shape}".strip()
    return draw


def normal(*shape):
    """Standard normal entries."""
    return _draw("", lambda rng: rng.standard_normal(shape), shape)


def within(low, high):
    """within(low, high)(*shape) draws uniformly."""
    return lambda *s: _draw(f"in [{low}, {high}]", lambda rng: rng.uniform(low, high, s), s)


def apart(*shape):
    """Entries at least 0.2 from each other and 0.1 from 0."""
    n = int(np.prod(shape))
    return _draw("apart", lambda rng: 0.2 * (rng.permutation(n) - n // 2 + 0.5), shape)


def shifted(*shape):
    """Entries at least 0.05 from 0 and from all entries of `apart`."""
    return _draw("shifted", lambda rng: apart(*shape)(rng) + 0.05, shape)


near = np.array([1e-3, -2e-3, 3e-3, -0.7])  # to 0, to each other: some rules err close to a kink
positive = within(0.3, 2.0)
small = within(-0.9, 0.9)
mask = np.array([[True, False, True], [False, True, True]])
whole = np.array([[1, 2], [3, 4]], np.int8)  # of a dtype that leaves float32 what it is

NAMES = {"np": np, "F": F, "Tensor": Tensor, "mask": mask, "whole": whole}
for module in filter(lambda m: isinstance(m, types.ModuleType), vars(ops).values()):
    NAMES |= {name: f for name, f in vars(module).items() if hasattr(f, "op")}

# ---- the shapes that go wrong. f is the text of a function, or a function


def unary(f, draw=normal):
    """Samples of a function of one array."""
    view = "x.T[::-1, ::2]"  # keeps more than half the entries, so of `apart` both signs
    return [
        *_each_call(f, ["x"], draw(2, 3), draw(), draw(1), draw(2, 1, 2)),
        *_each_call(f, ["x"], draw(0, 3), zero=True),
        *_each_call(f, [view], draw(5, 2)),
        *_each_call(f, ["np.broadcast_to(x, (2, 3))"], draw(3)),
    ]


PAIRS = [
    *[((2, 3), (2, 3)), ((), ()), ((2, 3), ()), ((), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3))],
    *[((2, 1), (1, 3)), ((1, 1), (3,)), ((2, 1, 2), (3, 1)), ((1,), (2, 1, 1)), ((1, 2), (1, 2))],
]
EMPTY = [((0,), (0,)), ((0, 3), (3,)), ((1,), (0,))]


def binary(f, x=normal, y=normal, number=1.5):
    """Samples of a function of two arrays that broadcasts."""
    return [
        *_each_call(f, ["x, y"], *[(x(*a), y(*b)) for a, b in PAIRS]),
        *_each_call(f, ["x, y"], *[(x(*a), y(*b)) for a, b in EMPTY], zero=True),
        *_each_call(f, ["x.T[::-1], y[::2]"], (x(2, 3), y(4))),
        *_each_call(f, [f"x, {number}"], x(2, 2)),
        *_each_call(f, [f"{number}, x"], y(2, 2)),
    ]


def reduction(f, draw=normal):
    """Every axis and keepdims, of more than one entry; see `single`."""
    three = ["x, axis=(0, 2)", "x, axis=(-1, 0), keepdims=True"]
    two = ["x", "x, axis=0", "x, axis=-1", "x, axis=1, keepdims=True", "x, keepdims=True"]
    return [
        *_each_call(f, two, draw(2, 3)),
        *_each_call(f, three, draw(2, 3, 2)),
        *_each_call(f, ["x, axis=(0, 1, 2)"], draw(2, 1, 2)),
        *_each_call(f, ["x, axis=1"], draw(2, 2, 2)),
        *_each_call(f, ["x.T[::-1], axis=0"], draw(3, 2)),
    ]


def single(f, draw=normal, zero=False):
    """A number, an array of one entry, and one of none."""
    return [
        *_each_call(f, ["x"], draw(), draw(1), zero=zero),
        *_each_call(f, ["x, axis=1"], draw(0, 2), zero=True),
    ]


def along(f, draw=normal):
    """As `reduction`, for functions along one axis that keep the shape."""
    return [
        *_each_call(f, ["x", "x, axis=0"], draw(2, 3)),
        *_each_call(f, ["x, axis=1", "x, axis=-2"], draw(2, 3, 2)),
        *_each_call(f, ["x"], draw(3)),
        *_each_call(f, ["x.T[::-1]"], draw(3, 2)),
        *_each_call(f, ["x"], draw(0, 3), zero=True),
    ]


def _each_call(f, arguments, *inputs, zero=False):
    """A Sample of f(...) for each of these arguments in text, and each input or tuple of them."""
    calls = [_of(f, text) for text in arguments]
    groups = [each if isinstance(each, tuple) else (each,) for each in inputs]
    return [Sample(text, draws, zero, **named) for text, named in calls for draws in groups]

"""What sample tables are written with: cases, ways to draw inputs, and sweeps over shapes."""

import itertools
import math
import types
import zlib
from functools import partial
from inspect import Parameter, signature

import numpy as np

from ... import functional as F
from ... import ops
from ...engine import Tensor

LETTERS = "xyzw"
POSITIONAL = Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD


class Sample:
    """A call in text, such as "np.roll(x, k)", with inputs x, y, z, w and settings, here k.

    An input is a shape (its entries are normal), values, or a draw. The text knows `xs`, all
    inputs, np, F, Tensor, every op by its name, and the settings. For an op of your own file it may
    be a function of inputs and settings; then the inputs have the names of its arguments. The name
    of the sample is its text, inputs and settings. Failures print it; it seeds random inputs.

    zero  whether its gradients are exactly 0, or empty, by intention. None: if an input is empty
    """

    def __init__(self, text, *inputs, zero=None, **settings):
        self.letters, self.settings = LETTERS[: len(inputs)], settings
        if callable(text):
            given = {} if isinstance(text, np.ufunc) else signature(text).parameters
            own = [name for name, argument in given.items() if argument.kind in POSITIONAL]
            self.letters = own[: len(inputs)] if len(own) >= len(inputs) else self.letters
            arguments = [*self.letters, *(f"{name}={name}" for name in settings)]
            name, known = _named(text)
            text, self.settings = f"{name}({', '.join(arguments)})", settings | known
        self.text, self.code = text, compile(text, "<sample>", "eval")
        self.draws = [normal(*draw) if isinstance(draw, tuple) else draw for draw in inputs]
        shown = [f"{letter} {_shown(draw)}" for letter, draw in zip(self.letters, self.draws)]
        shown += [f"{k}={v}" for k, v in settings.items() if not callable(v)]
        self.name = ", ".join([text, *shown])  # np.roll(x, k), x (2, 3), k=1
        self.zero = any(x.size == 0 for x in self.inputs()) if zero is None else zero

    def inputs(self):
        """The float64 arrays, the same at each call."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode())])
        return [np.array(d(rng) if callable(d) else d, np.float64) for d in self.draws]

    def call(self, *xs):
        """The value for these inputs: Tensors or, where NumPy has the function, arrays."""
        return eval(self.code, NAMES | self.settings | dict(zip(self.letters, xs)) | {"xs": xs})

    def __repr__(self):
        return self.name


def _shown(draw):
    return draw.__name__ if callable(draw) else str(np.asarray(draw).tolist())


def _named(f):
    """(name, settings) of f, the text of a function, or a function."""
    if isinstance(f, str):
        return f, {}
    name = f.__name__ if f.__name__.isidentifier() else "f"
    return name, {name: f}


# ---- rows of a table

case = Sample


def cases(row, draws=(), zero=None, **settings):
    """The samples of a text: a call or several, and its inputs or several of them.

    With settings, each value of each. A third part of the text is `zero`. Examples:

        cases("x @ y | (2, 3), (3,); (3,), (3,)")     cases("x**2; x**3 | [0.0, 1.0]")
        cases("np.roll(x, k) | (3,)", k=[1, -2])      cases("x - x | (3,) | zero")

    draws  for each input the way to draw its shapes, if it is not `normal`
    """
    calls, inputs, *rest = row.split(" | ")
    draws, groups = [*draws, *[normal] * len(LETTERS)], []
    for group in inputs.split("; "):
        pairs = zip(draws, eval(f"[{group}]", globals()))
        groups.append([draw(*x) if isinstance(x, tuple) else x for draw, x in pairs])
    zero = rest == ["zero"] if rest else zero
    every = itertools.product(calls.split("; "), groups, *settings.values())
    return [case(call, *group, zero=zero, **dict(zip(settings, v))) for call, group, *v in every]


def flat(rows):
    """The samples of a list of rows: samples, lists of rows, and texts as for `cases`."""
    samples = []
    for row in rows:
        row = cases(row) if isinstance(row, str) else row
        samples += flat(row) if isinstance(row, list) else [row]
    return samples


# ---- how inputs are drawn


def drawn(kind, function):
    """A way to draw inputs: way(*shape) is a function of a generator. Samples show its `kind`."""

    def of_shape(*shape):
        def draw(rng):
            return np.reshape(function(rng, shape), shape)

        draw.__name__ = f"{kind} {shape}".strip()
        return draw

    return of_shape


def within(low, high):
    """within(low, high)(*shape) draws uniformly."""
    return drawn(f"in [{low}, {high}]", lambda rng, shape: rng.uniform(low, high, shape))


def _spread(rng, shape):
    n = math.prod(shape)
    return 0.2 * (rng.permutation(n) - n // 2 + 0.5)


normal = drawn("", lambda rng, shape: rng.standard_normal(shape))
apart = drawn("apart", _spread)  # at least 0.2 from each other and 0.1 from 0
shifted = drawn("shifted", lambda *of: _spread(*of) + 0.05)  # 0.05 from 0 and all of `apart`
regular = drawn("regular", lambda rng, shape: rng.standard_normal(shape) + 3 * np.eye(*shape[-2:]))
positive = within(0.3, 2.0)
small = within(-0.9, 0.9)

near = np.array([1e-3, -2e-3, 3e-3, -0.7])  # to 0, to each other: some rules err close to a kink
large = np.array([[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]])
offsets = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])
mask = np.array([[True, False, True], [False, True, True]])
whole = np.array([[1, 2], [3, 4]], np.int8)  # of a dtype that leaves float32 what it is
labels, grid = np.array([2, 0, 1, 1]), np.array([[2, 0], [1, 1]])

NAMES = {"np": np, "F": F, "Tensor": Tensor}
NAMES |= {"mask": mask, "whole": whole, "labels": labels, "grid": grid}
for module in filter(lambda m: isinstance(m, types.ModuleType), vars(ops).values()):
    NAMES |= {name: f for name, f in vars(module).items() if hasattr(f, "op")}

# ---- the shapes that go wrong, in rows of a function f

UNARY = [
    "f(x) | (2, 3); (); (1,); (2, 1, 2); (0, 3)",
    "f(x.T[::-1, ::2]) | (5, 2)",  # keeps more than half the entries, so of `apart` both signs
    "f(np.broadcast_to(x, (2, 3))) | (3,)",
]
BINARY = [
    "f(x, y) | (2, 3), (2, 3); (), (); (2, 3), (); (), (2, 3); (2, 3), (3,); (3,), (2, 3)",
    "f(x, y) | (2, 1), (1, 3); (1, 1), (3,); (2, 1, 2), (3, 1); (1,), (2, 1, 1); (1, 2), (1, 2)",
    "f(x, y) | (0,), (0,); (0, 3), (3,); (1,), (0,)",
    "f(x.T[::-1], y[::2]) | (2, 3), (4,)",
]
REDUCTION = [
    "f(x); f(x, axis=0); f(x, axis=-1); f(x, axis=1, keepdims=True); f(x, keepdims=True) | (2, 3)",
    "f(x, axis=(0, 2)); f(x, axis=(-1, 0), keepdims=True) | (2, 3, 2)",
    "f(x, axis=(0, 1, 2)) | (2, 1, 2)",
    "f(x, axis=1) | (2, 2, 2)",
    "f(x.T[::-1], axis=0) | (3, 2)",
]
SINGLE = ["f(x) | (); (1,)", "f(x, axis=1) | (0, 2)"]
ALONG = [
    "f(x); f(x, axis=0) | (2, 3)",
    "f(x, axis=1); f(x, axis=-2) | (2, 3, 2)",
    "f(x) | (3,); (0, 3)",
    "f(x.T[::-1]) | (3, 2)",
]


def _swept(rows, f, *draws, zero=None):
    """The samples of these rows for f, the text of a function, or a function."""
    name, known = _named(f)
    known = {name: [f] for name, f in known.items()}
    return flat([cases(row.replace("f(", f"{name}("), draws, zero, **known) for row in rows])


def binary(f, x=normal, y=normal, number=3.1):
    """Samples of a function of two arrays that broadcasts."""
    return _swept([*BINARY, f"f(x, {number}); f({number}, x) | (2, 2)"], f, x, y)


# Of a function, or its text, and a way to draw its input:
unary = partial(_swept, UNARY)  # a function of one array
reduction = partial(_swept, REDUCTION)  # every axis and keepdims, of more than one entry
single = partial(_swept, SINGLE)  # a number, an array of one entry, and one of none
along = partial(_swept, ALONG)  # along one axis, the shape stays

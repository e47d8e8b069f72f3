"""What sample tables are written with: cases, ways to draw inputs, and sweeps over shapes."""

import itertools
import math
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

    def __init__(self, text, draws, zero, settings):
        self.text, self.settings = text, settings
        self.draws = [normal(*draw) if isinstance(draw, tuple) else draw for draw in draws]
        self.code = compile(text, "<sample>", "eval")
        shown = [f"{letter} {_shown(draw)}" for letter, draw in zip(LETTERS, self.draws)]
        shown += [f"{k}={v}" for k, v in settings.items() if not callable(v)]
        self.name = ", ".join([text, *shown])  # np.roll(x, k), x (2, 3), k=1
        self.zero = any(x.size == 0 for x in self.inputs()) if zero is None else zero

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


def case(text, *inputs, zero=None, **settings):
    """A Sample. For an op of your own file, `text` may be a function of inputs and settings.

    zero  whether its gradients are exactly 0, or empty, by intention. None: if an input is empty
    """
    if callable(text):
        arguments = [*LETTERS[: len(inputs)], *(f"{name}={name}" for name in settings)]
        name, known = _named(text)
        text, settings = f"{name}({', '.join(arguments)})", settings | known
    return Sample(text, inputs, zero, settings)


def cases(texts, *inputs, zero=None, **settings):
    """A Sample for each text, each of the inputs, and each value of each setting.

    Of a call with several inputs, they are a tuple:

        cases("x @ y", ((3,), (3,)), ((2, 3), (3,)))    cases("np.roll(x, k)", (3,), k=[1, -2])
    """
    texts = [texts] if isinstance(texts, str) else texts
    groups = [x if isinstance(x, tuple) and x and type(x[0]) is not int else (x,) for x in inputs]
    chosen = [dict(zip(settings, values)) for values in itertools.product(*settings.values())]
    return [case(t, *g, zero=zero, **c) for t in texts for g in groups for c in chosen]


def flat(rows):
    """The samples of a list of rows: samples, lists of rows, and texts.

    A text is a call or several, and its inputs or several of them. A third part is `zero`:

        "x @ y | (2, 3), (3,); (3,), (3,)"    "x**2; x**3 | [0.0, 1.0]"    "x - x | (3,) | zero"
    """
    samples = []
    for row in rows:
        if isinstance(row, str):
            calls, inputs, *zero = row.split(" | ")
            groups = [tuple(eval(f"[{group}]", globals())) for group in inputs.split("; ")]
            row = cases(calls.split("; "), *groups, zero=zero == ["zero"] if zero else None)
        samples += flat(row) if isinstance(row, list) else [row]
    return samples


def _named(f):
    """(name, settings) of f, the text of a function, or a function."""
    if isinstance(f, str):
        return f, {}
    name = f.__name__ if f.__name__.isidentifier() else "f"
    return name, {name: f}


def _calls(f, arguments, *inputs, zero=None):
    """`cases` of f(...), for each of these arguments in text."""
    name, known = _named(f)
    texts = [f"{name}({text})" for text in arguments]
    return cases(texts, *inputs, zero=zero, **{name: [f] for name in known})


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
positive = within(0.3, 2.0)
small = within(-0.9, 0.9)
near = np.array([1e-3, -2e-3, 3e-3, -0.7])  # to 0, to each other: some rules err close to a kink
mask = np.array([[True, False, True], [False, True, True]])
large = np.array([[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]])
offsets = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])
whole = np.array([[1, 2], [3, 4]], np.int8)  # of a dtype that leaves float32 what it is

NAMES = {"np": np, "F": F, "Tensor": Tensor, "mask": mask, "whole": whole}
for module in filter(lambda m: isinstance(m, types.ModuleType), vars(ops).values()):
    NAMES |= {name: f for name, f in vars(module).items() if hasattr(f, "op")}

# ---- the shapes that go wrong. f is the text of a function, or a function

# The view keeps more than half the entries, so of `apart` both signs.
VIEWS = {"x.T[::-1, ::2]": (5, 2), "np.broadcast_to(x, (2, 3))": (3,)}
PAIRS = [
    *[((2, 3), (2, 3)), ((), ()), ((2, 3), ()), ((), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3))],
    *[((2, 1), (1, 3)), ((1, 1), (3,)), ((2, 1, 2), (3, 1)), ((1,), (2, 1, 1)), ((1, 2), (1, 2))],
    *[((0,), (0,)), ((0, 3), (3,)), ((1,), (0,))],
]


def unary(f, draw=normal):
    """Samples of a function of one array."""
    plain = _calls(f, ["x"], draw(2, 3), draw(), draw(1), draw(2, 1, 2), draw(0, 3))
    return flat([plain, *(_calls(f, [view], draw(*shape)) for view, shape in VIEWS.items())])


def binary(f, x=normal, y=normal, number=1.5):
    """Samples of a function of two arrays that broadcasts."""
    pairs = _calls(f, ["x, y"], *[(x(*a), y(*b)) for a, b in PAIRS])
    views = _calls(f, ["x.T[::-1], y[::2]"], (x(2, 3), y(4)))
    numbers = [_calls(f, [f"x, {number}"], x(2, 2)), _calls(f, [f"{number}, x"], y(2, 2))]
    return flat([pairs, views, *numbers])


def reduction(f, draw=normal):
    """Every axis and keepdims, of more than one entry; see `single`."""
    two = ["x", "x, axis=0", "x, axis=-1", "x, axis=1, keepdims=True", "x, keepdims=True"]
    return flat(
        [
            _calls(f, two, draw(2, 3)),
            _calls(f, ["x, axis=(0, 2)", "x, axis=(-1, 0), keepdims=True"], draw(2, 3, 2)),
            _calls(f, ["x, axis=(0, 1, 2)"], draw(2, 1, 2)),
            _calls(f, ["x, axis=1"], draw(2, 2, 2)),
            _calls(f, ["x.T[::-1], axis=0"], draw(3, 2)),
        ]
    )


def single(f, draw=normal, zero=None):
    """A number, an array of one entry, and one of none."""
    return _calls(f, ["x"], draw(), draw(1), zero=zero) + _calls(f, ["x, axis=1"], draw(0, 2))


def along(f, draw=normal):
    """As `reduction`, for functions along one axis that keep the shape."""
    return flat(
        [
            _calls(f, ["x", "x, axis=0"], draw(2, 3)),
            _calls(f, ["x, axis=1", "x, axis=-2"], draw(2, 3, 2)),
            _calls(f, ["x"], draw(3), draw(0, 3)),
            _calls(f, ["x.T[::-1]"], draw(3, 2)),
        ]
    )

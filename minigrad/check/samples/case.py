"""What sample tables are written with: cases, ways to draw inputs, and sweeps over shapes."""

import ast
import itertools
import re
import zlib
from functools import partial
from inspect import ismodule, signature

import numpy as np

from ... import functional as F
from ... import ops, vocabulary
from ...engine import Tensor

LETTERS = "xyzw"
WHOLE = 0.0, 1.0, 1.0  # entries of inputs: at 0, at 1 and where entries tie rules may branch


class Sample:
    """A call in text, such as "np.roll(x, k)", with inputs x, y, z, w and settings, here k.

    An input is a shape (its entries are normal), values, or a text that uses `ways` to draw, such
    as "apart(2, 3)". The call knows `xs`, all inputs, np, F, Tensor, every op by its name, and the
    settings. For an op of your own file it may be a function of inputs and settings; then the
    inputs have the names of its arguments. The name of the sample is its text, inputs and settings.
    Failures print it; it seeds random inputs.

    zero  whether its gradients are exactly 0, or empty, by intention. None: if an input is empty
    op    the name of its op. None: the op of the sample before it in the table
    """

    op = None

    def __init__(self, text, *inputs, zero=None, **settings):
        self.letters, self.settings = LETTERS[: len(inputs)], settings
        if callable(text):
            given = () if isinstance(text, np.ufunc) else signature(text).parameters
            own = [name for name in given if name not in settings]
            self.letters = own[: len(inputs)] if len(own) >= len(inputs) else self.letters
            arguments = [*self.letters, *(f"{name}={name}" for name in settings)]
            self.settings = settings | {_name(text): text}
            text = f"{_name(text)}({', '.join(arguments)})"
        self.text, self.code = text, compile(text, "<sample>", "eval")
        self.given = [x.tolist() if isinstance(x, np.ndarray) else x for x in inputs]
        shown = [f"{letter} {given}" for letter, given in zip(self.letters, self.given)]
        shown += [f"{k}={v}" for k, v in settings.items() if not callable(v)]
        self.name = ", ".join([text, *shown])  # np.roll(x, k), x (2, 3), k=1
        self.zero = any(x.size == 0 for x in self.inputs()) if zero is None else zero

    def inputs(self):
        """The float64 arrays, the same at each call."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode())])
        known = globals() | ways(rng)
        values = [eval(x, known) if isinstance(x, str) else x for x in self.given]
        return [known["normal"](*v) if isinstance(v, tuple) else np.float64(v) for v in values]

    def call(self, *xs):
        """The value for these inputs: Tensors or, where NumPy has the function, arrays."""
        known = globals() | OPS | self.settings | {"xs": xs}
        return eval(self.code, known | dict(zip(self.letters, xs)))

    def __repr__(self):
        return self.name


def _name(f):
    return f.__name__ if f.__name__.isidentifier() else "f"


# ---- how inputs are drawn


def ways(rng):
    """The functions in the text of inputs that draw: {name: function of a shape}."""

    def partly_whole(x, low=-np.inf, high=np.inf):
        x, whole = np.array(x), [n for n in WHOLE if low <= n <= high]
        whole = rng.permutation(whole)[: 2 * x.size // 3]
        places, others = np.split(rng.permutation(x.size), [len(whole)])
        x.flat[places] = whole
        if low < 0:  # both signs, so that no op with a kink is 0 at all entries
            x.flat[others] = np.abs(x.flat[others]) * np.resize([1, -1], len(others))
        return x

    def normal(*shape):
        return partly_whole(rng.standard_normal(shape))

    def within(low, high):
        return lambda *shape: partly_whole(rng.uniform(low, high, shape), low, high)

    def apart(*shape):  # at least 0.2 from each other and 0.1 from 0
        n = np.empty(shape).size
        return 0.2 * (rng.permutation(n) - n // 2 + 0.5).reshape(shape)

    def regular(*shape):
        return normal(*shape) + 3 * np.eye(*shape[-2:])

    return locals() | {"positive": within(0.3, 2.0), "small": within(-0.9, 0.9)}


# Names in the text of inputs:
near = np.array([1e-3, -2e-3, 3e-3, -0.7])  # to 0 and to each other: some rules err near a kink
large = np.array([[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]])
offsets = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])
# Names in the text of calls, beside the ops:
mask = np.array([[True, False, True], [False, True, True]])
whole = np.array([[1, 2], [3, 4]], np.int8)  # float32 stays float32 beside this dtype
labels, grid = np.array([2, 0, 1, 1]), np.array([[2, 0], [1, 1]])
ones = np.ones((4, 3))
OPS = {"F": F, "Tensor": Tensor}
for module in filter(ismodule, [*vars(ops).values(), *vars(vocabulary).values()]):
    OPS |= {name: f for name, f in vars(module).items() if hasattr(f, "op")}

# ---- rows of a table

case = Sample


def cases(row, *draws, zero=None, **settings):
    """The samples of a text: a call or several, and its inputs or several of them.

    With settings, there is a sample for each combination of their values. The text may begin with
    the name of its op, and may end with `zero`: see Sample. Examples:

        cases("x @ y | (2, 3), (3,); (3,), (3,)")     cases("power: x**2; x**3 | [0.0, 1.0]")
        cases("np.roll(x, k) | (3,)", k=[1, -2])      cases("x - x | (3,) | zero")

    draws  for each input the way to draw its shapes, such as "apart"; else entries are normal
    """
    op, calls, inputs, rest = re.fullmatch(ROW, row).groups()
    zero = rest == "zero" if rest else zero
    groups = []
    for group in inputs.split("; "):
        parts = ast.parse(f"[{group}]", mode="eval").body.elts
        pairs = itertools.zip_longest(parts, draws[: len(parts)], fillvalue="")
        groups.append([isinstance(x, ast.Tuple) * way + ast.unparse(x) for x, way in pairs])
    every = itertools.product(calls.split("; "), groups, *settings.values())
    found = [case(call, *group, zero=zero, **dict(zip(settings, v))) for call, group, *v in every]
    found[0].op = op
    return found


ROW = r"(?:(\w+): )?(.*?) \| (.*?)(?: \| (zero|not zero))?"


def flat(rows):
    """The samples of a list of rows: samples, lists of rows, and texts as for `cases`."""
    if isinstance(rows, list):
        return [sample for row in rows for sample in flat(row)]
    return cases(rows) if isinstance(rows, str) else [rows]


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
SEVERAL = [
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
    name, known = (f, {}) if isinstance(f, str) else (_name(f), {_name(f): [f]})
    rows = [f"{name.split('.')[-1]}: {row.replace('f(', f'{name}(')}" for row in rows]
    return flat([cases(row, *draws, zero=zero, **known) for row in rows])


def binary(f, x="", y="", number=3.1):
    """Samples of a function of two arrays that broadcasts."""
    return _swept([*BINARY, f"f(x, {number}); f({number}, x) | (2, 2)"], f, x, y)


# Of a function, or its text, and a way to draw its input:
unary = partial(_swept, UNARY)  # a function of one array
several = partial(_swept, SEVERAL)  # a reduction: every axis and keepdims, of more than one entry
single = partial(_swept, SINGLE)  # a reduction of one entry, or of none
reduction = partial(_swept, [*SEVERAL, *SINGLE])
along = partial(_swept, ALONG)  # along one axis, the shape stays

"""What sample tables are written with: rows, ways to draw inputs, and sweeps over shapes."""

import itertools
import math
import re
import zlib
from functools import partial
from inspect import ismodule

import numpy as np

from ... import functional as F
from ... import ops, vocabulary
from ...engine import Tensor
from ..proofs import first_derivatives, second_derivatives

WHOLE = 0.0, 1.0, 1.0  # entries of drawn inputs: rules may branch at 0, at 1 and at equal entries


class Sample:
    """A call in text, such as "np.roll(x, k)", with inputs x, y, z, w and settings, here k.

    The inputs are a text too, such as "(2, 3), [1.0]". An input is a shape (its entries are
    normal), values, or uses `ways` to draw, such as "apart(2, 3)". The call knows `xs`, all inputs,
    np, F, Tensor, every op by its name, and the settings. The name of the sample is its row in the
    table: "np.roll(x, k) | (2, 3) | k=1". Failures print it; it seeds random inputs.

    op     the name of its op. None: the op of the sample before it in the table
    label  what failures call the second proof
    """

    op, label = None, "second derivatives: "
    first, second = first_derivatives, second_derivatives  # the two proofs

    def __init__(self, call, given, **settings):
        self.code, self.given, self.settings = compile(call, "<sample>", "eval"), given, settings
        shown = [f"{name}={value}" for name, value in settings.items() if not callable(value)]
        self.name = " | ".join([call, given, *shown])

    def inputs(self):
        """The float64 arrays, the same at each call."""
        known = globals() | ways(np.random.default_rng([zlib.crc32(self.name.encode())]))
        values = eval(f"[{self.given}]", known)
        return [known["normal"](*v) if isinstance(v, tuple) else np.float64(v) for v in values]

    def call(self, *xs):
        """The value for these inputs: Tensors or, where NumPy has the function, arrays."""
        return eval(self.code, globals() | OPS | self.settings | dict(zip("xyzw", xs), xs=xs))

    def __repr__(self):
        return self.name


# ---- how inputs are drawn


def ways(rng):
    """The functions that draw inputs: {name in the text of inputs: function of a shape}."""

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
        n = math.prod(shape)
        return 0.2 * (rng.permutation(n) - n // 2 + 0.5).reshape(shape)

    def regular(*shape):
        return normal(*shape) + 5 * np.eye(*shape[-2:])

    return locals() | {"positive": within(0.3, 2.0), "small": within(-0.9, 0.9)}


# Names in the text of inputs:
near = np.array([1e-3, -2e-3, 3e-3, -0.7])  # near 0 and each other: some rules err there
far = np.array([-60.0, -7.0, -1e-5, 2e-5, 12.0, 80.0])  # large and tiny: rules may branch there
large = np.array([[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]])
offsets = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])
# Names in the text of calls, beside the ops:
mask = np.array([[True, False, True], [False, True, True]])
whole = np.array([[1, 2], [3, 4]], np.int8)  # float32 stays float32 beside this dtype
labels, grid = np.array([2, 0, 1, 1]), np.array([[2, 0], [1, 1]])
OPS = {"F": F, "Tensor": Tensor}
for module in filter(ismodule, [*vars(ops).values(), *vars(vocabulary).values()]):
    OPS |= {name: f for name, f in vars(module).items() if hasattr(f, "op")}

# ---- rows of a table


def case(f, *inputs, **settings):
    """The sample of f, a call in text or a function, with these inputs and settings.

    An input is a shape, values, or a text that draws. A function takes the settings by name.
    """
    name, known = _named(f)
    if known:
        name += f"({', '.join(['*xs', *(f'{setting}={setting}' for setting in settings)])})"
    given = [str(x.tolist() if isinstance(x, np.ndarray) else x) for x in inputs]
    return Sample(name, ", ".join(given), **settings, **known)


def cases(row, **settings):
    """The samples of a text: one or more calls, and one or more groups of inputs.

    With settings, there is a sample for each combination of their values. The text may begin with
    the name of its op. Examples:

        cases("x @ y | (2, 3), (3,); (3,), (3,)")     cases("power: x**2; x**3 | [0.0, 1.0]")
        cases("np.roll(x, k) | (3,)", k=[1, -2])
    """
    op, calls, inputs = re.fullmatch(r"(?:(\w+): )?(.*) \| (.*)", row).groups()
    every = itertools.product(calls.split("; "), inputs.split("; "), *settings.values())
    found = [Sample(call, given, **dict(zip(settings, v))) for call, given, *v in every]
    found[0].op = op
    return found


def flat(rows):
    """The samples of a list of rows: samples, lists of rows, and texts as for `cases`."""
    if isinstance(rows, list):
        return [sample for row in rows for sample in flat(row)]
    return cases(rows) if isinstance(rows, str) else [rows]


# ---- the shapes that go wrong, in rows of a function {f} whose inputs are drawn by {x} and {y}

UNARY = [
    "{op}: {f}(x) | {x}(2, 3); {x}(); {x}(1,); {x}(2, 1, 2); {x}(0, 3)",
    "{f}(x.T[::-1, ::2]) | {x}(5, 2)",  # keeps more than half the entries, so both signs
    "{f}(np.broadcast_to(x, (2, 3))) | {x}(3,)",
]
BINARY = [
    "{op}: {f}(x, y) | {x}(2, 3), {y}(2, 3); {x}(), {y}(); {x}(2, 3), {y}(); {x}(), {y}(2, 3)",
    "{f}(x, y) | {x}(2, 3), {y}(3,); {x}(3,), {y}(2, 3); {x}(2, 1), {y}(1, 3); {x}(1, 1), {y}(3,)",
    "{f}(x, y) | {x}(2, 1, 2), {y}(3, 1); {x}(1,), {y}(2, 1, 1); {x}(1, 2), {y}(1, 2)",
    "{f}(x, y) | {x}(0,), {y}(0,); {x}(0, 3), {y}(3,); {x}(1,), {y}(0,)",
    "{f}(x.T[::-1], y[::2]) | {x}(2, 3), {y}(4,)",
    "{f}(x, {number}); {f}({number}, x) | {x}(2, 2)",
]
SEVERAL = [
    "{op}: {f}(x); {f}(x, axis=0); {f}(x, axis=-1); {f}(x, keepdims=True) | {x}(2, 3)",
    "{f}(x, axis=1, keepdims=True) | {x}(2, 3); {x}(2, 2); {x}(2, 2, 2)",
    "{f}(x, axis=(0, 2)); {f}(x, axis=(-1, 0), keepdims=True) | {x}(2, 3, 2)",
    "{f}(x, axis=(0, 1, 2)) | {x}(2, 1, 2)",
    "{f}(x, axis=1) | {x}(2, 2, 2); {x}(2, 2, 1, 4)",
    "{f}(x.T[::-1], axis=0) | {x}(3, 2)",
]
SINGLE = ["{f}(x) | {x}(); {x}(1,)", "{f}(x, axis=1) | {x}(0, 2)"]
ALONG = [
    "{op}: {f}(x); {f}(x, axis=0) | {x}(2, 3); {x}(2, 2, 2)",
    "{f}(x, axis=1); {f}(x, axis=-2) | {x}(2, 3, 2); {x}(2, 2, 2, 1)",
    "{f}(x) | {x}(3,); {x}(0, 3)",
    "{f}(x.T[::-1]) | {x}(3, 2)",
]


def _swept(rows, f, x="", y="", number=3.1):
    """The samples of these rows for f, the text of a function, or a function."""
    name, known = _named(f)
    known = {name: [function] for name, function in known.items()}
    given = {"op": name.split(".")[-1], "f": name, "x": x, "y": y, "number": number}
    return flat([cases(row.format(**given), **known) for row in rows])


def _named(f):
    """(the name of a function in the text of a call, {name: function}); of a text (text, {})."""
    if isinstance(f, str):
        return f, {}
    name = f.__name__ if f.__name__.isidentifier() else "f"
    return name, {name: f}


# Each takes a function, or its text, and a way to draw its input; `binary` two ways and a number:
unary = partial(_swept, UNARY)  # a function of one array
binary = partial(_swept, BINARY)  # a function of two arrays that broadcasts
several = partial(_swept, SEVERAL)  # a reduction: every axis and keepdims, of more than one entry
reduction = partial(_swept, [*SEVERAL, *SINGLE])  # of one entry, or of none, too
along = partial(_swept, ALONG)  # along one axis, the shape stays

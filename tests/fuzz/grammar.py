"""Programs for the fuzzer: lines of text, written at random from a table of the vocabulary.

A program has leaves, {name: array}, and steps, [(name, text)]. The first letter of a name tells:

    v  the result of a step              d  data with a name
    x  a leaf that requires a gradient   c  an array of NumPy, no Tensor
    i  a Tensor of whole numbers         b  a Tensor of truth values

A line of the table has holes, which an `Author` fills:

    {a} {a:3}  a variable of floats; with 3 axes     {axis}    an axis of {a}
    {b}        another one, which mostly broadcasts  {axes}    one, several or all axes
    {same}     another one of the shape of {a}       {index}   an index of {a}
    {any}      a variable of any dtype               {mask}    a comparison with {a}
    {whole}    whole numbers or truth values         {n}       a number
    {ids}      two whole numbers                     {keep}    True or False
    {w:shape}  a leaf of this shape                  {stream}  a stream of noise
    `code`     its value, where s is the shape of {a} and r random
"""

import math
import random
import re
from typing import NamedTuple

import numpy as np

import minigrad as mg

from .reference import REFUSALS, F, H, Refused, along, plain, seen

NAME = re.compile(r"\b[vxdcib]\d+\b")
HOLE = re.compile(r"\{(\w+)(?::([^}]*))?\}|`([^`]*)`")
LARGEST, STEEPEST = 100, 1000  # of values and derivatives, so that rounding stays small


def each(template, names):
    """The template once for each of the names, in the place of `%`."""
    return [template.replace("%", name) for name in names.split()]


REDUCTIONS = "sum mean max min prod var std"
GRAMMAR = {
    "arithmetic": [
        *each("{a} % {b}", "+ - *"), *each("{a} % {any}", "+ *"), *each("{n} % {a}", "+ - *"),
        *each("np.%({a}, {b})", "add subtract multiply"), "-{a}", "+{a}", "{a} / {n}",
        "{a} + {a} * {b}", "{a} / (np.abs({b}) + 0.5)", "np.divide({a}, np.square({b}) + 1.0)",
        "{n} / (1.5 + np.cos({a}))", *each("{a} ** %", "0 1 2 3"), "(np.abs({a}) + 0.5) ** {n}",
        "np.power(np.abs({a}) + 0.5, {b})", "1.5 ** {a}", "np.square({a})", "np.positive({a})",
        "np.reciprocal({a} * {a} + 0.5)", "{a} % 0.75", "np.remainder({a}, np.abs({b}) + 0.5)",
    ],
    "functions": [
        *each("np.%({a})", "sin cos tanh arctan sinh cosh exp expm1"), "np.log1p({a} * {a})",
        *each("np.%(np.abs({a}) + 0.25)", "log log2 log10 sqrt"), "np.logaddexp({a}, {b})",
        *each("{a}.%()", "exp tanh sigmoid"), *each("(np.abs({a}) + 0.25).%()", "log sqrt"),
        *each("np.%(0.9 * np.tanh({a}))", "tan arcsin arccos"),
        *each("F.%({a})", "sigmoid softplus silu gelu erf"),
    ],
    "kinks": [
        "np.maximum({a}, {b})", "np.minimum({a}, {b})", "np.maximum({a}, {n})",
        "np.minimum({n}, {a})", "np.abs({a})", "abs({a})", "{a}.abs()", "{a}.relu()",
        *each("F.%({a})", "relu leaky_relu"), *each("F.%({a} + 0.3)", "elu selu"),
        "np.clip({a}, -0.5, 1.0)", "{a}.clip(-0.5, 0.5)", "np.where({mask}, {a}, {b})",
        "np.where({mask}, {n}, {a})", "{a} * {mask}", "{mask} + {a}", "{a} * np.sign({b})",
        *each("np.%({a}) * {b}", "floor ceil rint trunc"), "({a} // 0.7) * {b}",
        "np.where({a} > 0.0, np.sqrt(np.abs({a}) + 0.1), 0.0)",
    ],
    "reductions": [
        *each("np.%({a}, axis={axis})", REDUCTIONS), *each("np.%({a})", REDUCTIONS),
        *each("np.%({a}, axis={axes}, keepdims={keep})", REDUCTIONS),
        *each("{a}.%({axis})", REDUCTIONS), *each("{a}.%({axes}, keepdims={keep})", REDUCTIONS),
        *each("np.%({a} + {b}, axis={axis}, ddof=1, keepdims={keep})", "var std"),
        "np.cumsum({a}, axis={axis})", "{a}.cumsum()", "{a} - {a}.max({axis}, keepdims=True)",
        "F.logsumexp({a}, axis={axes}, keepdims={keep})", "{a}.mean({axis}) * {a}.sum({axis})",
        "F.softmax({a}, axis={axis})", "F.log_softmax({a}, {axis})",
    ],
    "decisions": [
        "{mask}", *each("np.%({a}, axis={axis})", "argmax argmin"), "({mask}).sum({axis})",
        'np.argsort({a}, {axis}, "stable")', *each("np.%({mask}, axis={axis})", "any all"),
        "np.count_nonzero({mask})", "{a}.astype(int)", "{a} + {a}.argmax({axis}).sum()",
    ],
    "products": [
        "{a} @ {w:s[-1], 3}", "{a} @ {w:s[-1],}", "{w:2, s[-2]} @ {a}", "{a} @ {b}",
        "np.matmul({a}, {w:s[-1], 2})", "np.matmul({a}, np.swapaxes({a}, -1, -2))", "{a}.dot({b})",
        "np.dot({a}, {w:s[-1:]})", "np.outer({a}, {b})", "{a}.matmul({w:s[-1], 2})",
        'np.einsum("...i,...i->...", {a}, {b})', 'np.einsum("...i,ij->...j", {a}, {w:s[-1], 2})',
        'np.einsum("i...->...", {a})', 'np.einsum("...i,...j->...ij", {a}, {a})',
        'np.einsum("...ii->...i", {a})', 'np.einsum("ij,kj->ik", {a:2}, {b})',
        'np.einsum("ij,j->", {a:2}, {w:s[-1],})', "np.trace({a})",
        "np.diagonal({a}, `r.randint(-1, 1)`)",
    ],
    "indexing": [
        *["{a}[{index}]"] * 3, "{a}[{index}][{index}]", "np.take(np.stack([{a}, {a}]), [0, -1, 0], axis=0)",
        "np.take({a}, [1, 0])", 'np.take_along_axis({a}, np.argsort({a}, {axis}, "stable"), -1)',
        "{a}[{a}.argmax(0)]", "np.sum({a}[{a} > {n}])", "np.sum({a}[{mask}])", "{a}[{whole}]",
        "np.stack([*{a}, {a}[0]])", "{a}[..., None] * {b}", "{a}[::-1] + {a}",
    ],
    "shapes": [
        "{a}.reshape(-1)", "{a}.reshape(`shape(r, s)`)", "np.reshape({a}, `shape(r, s)`)", "{a}.T",
        *each("{a}.%()", "ravel flatten squeeze"),
        "{a}.transpose(`r.sample(range(len(s)), len(s))`)",
        "np.transpose({a}, `r.sample(range(len(s)), len(s))`)", "np.squeeze({a})", "np.ravel({a})",
        *each("np.%({a}, {axis}, {axis})", "swapaxes moveaxis"), "np.expand_dims({a}, {axis})",
        "np.broadcast_to({a}, `(2, *s)`)",
        "np.broadcast_to({a}, `tuple(3 if n == 1 else n for n in s)`)",
        "np.flip({a}, {axis})", "np.roll({a}, `r.randint(-3, 3)`, {axis})", "np.roll({a}, 1)",
        "np.pad({a}, 1)", "np.pad({a}, `[(r.randint(0, 2), r.randint(0, 1)) for n in s]`)",
        "np.concatenate([{a}, {b}], axis={axis})", "np.concatenate([{a}, {a}, {b}])",
        "np.stack([{a}, {same}], axis={axis})", *each("np.%([{a}, {b}])", "hstack vstack"),
        "np.split({a}, `max(1, s[-1])`, axis=-1)[-1]",
        "np.split({a}, [1], {axis})[`r.randint(0, 1)`]",
        "np.repeat({a}, 2, axis={axis})", "np.tile({a}, `[r.randint(1, 2) for _ in range(3)]`)",
        "np.tril({a})", "np.triu({a}, `r.randint(-1, 1)`)", "np.diff({a}, axis={axis})",
        "np.diff({a}, 2)",
    ],
    "other functions of entries": [
        *each("np.%({a})", "arcsinh exp2 sinc fabs deg2rad degrees rad2deg radians copy"),
        *each("np.%({a}, {b})", "fmax fmin logaddexp2"), "np.arccosh(np.abs({a}) + 1.25)",
        "np.arctanh(0.9 * np.tanh({a}))", "np.cbrt(np.abs({a}) + 0.25)", "np.nan_to_num({a})",
        *each("np.%({a}, np.abs({b}) + 0.5)", "arctan2 hypot"), "np.isreal({a}) * {b}",
        *each("{a} * np.%({b})", "isnan isinf signbit"),
        "np.select([{mask}, {mask}], [{a}, {b}], {n})", "np.choose(np.arange(`s[-1]`) % 2, [{a}, {same}])",
    ],
    "other reductions": [
        *each("np.%({a}, axis={axis})", "ptp amax amin nansum nanprod nanmean nanmax nanmin average"),
        *each("np.%({a}, axis={axis})", "cumprod nancumsum nancumprod gradient trapezoid"),
        *each("np.%({a})", "ptp nansum nanmean average cumprod gradient trapezoid"),
        "np.average({a}, axis={axes}, weights=np.abs({same}) + 0.5)", "np.add.reduce({a}, {axes})",
        "np.multiply.reduce({a}, {axis})",
        "np.trapezoid({a}, dx=0.5, axis={axis})", "np.gradient({a}, {n}, axis={axis})",
        'np.sort({a}, axis={axis}, kind="stable")', "np.diff({a}, 1, {axis}, prepend={n})", "np.diff({a}, append=0.5)",
        "{a} + np.nanargmax({a}, axis={axis}).sum()",
    ],
    "other products": [
        *each("np.%({a}, {b})", "inner kron"), "np.tensordot({a}, {b}, `r.randint(0, 2)`)",
        "np.tensordot({a}, {w:s[-1], 2}, (-1, 0))", "np.multiply.outer({a}, {b})",
        "np.cross({w:2, 3}, {w:3,})", "np.cross({w:3, 2}, {w:3, 1}, axis=0)",
        "np.einsum({a:2}, [0, 1], {w:s[-1], 2}, [1, 2], [2, 0])",
        *each("np.linalg.%({w:2, 2} + 3.0 * np.eye(2))", "inv det"),
        "np.linalg.matrix_power({w:2, 2}, `r.randint(0, 3)`)",
        "np.linalg.solve({w:2, 2} + 3.0 * np.eye(2), {w:2, 3})", "np.linalg.det({a})",
    ],
    "other moves": [
        *each("np.%({a})", "flipud fliplr rot90 matrix_transpose diag diagflat"),
        *each("np.%({a})", "atleast_1d atleast_2d atleast_3d"), "np.diag({a}, `r.randint(-1, 1)`)",
        "np.rot90({a}, `r.randint(-1, 2)`, ({axis}, {axis}))", "np.rollaxis({a}, {axis})",
        *each("np.%({a}, {b})[`r.randint(0, 1)`]", "broadcast_arrays atleast_2d meshgrid"),
        *each("np.%([{a}, {b}])", "column_stack dstack block"), "np.block([[{a}, {b}], [{b}, {a}]])",
        "np.append({a}, {b})", "np.append({a}, {same}, {axis})", "np.delete({a}, 0, {axis})",
        "np.insert({a}, 0, {n}, {axis})", "np.resize({a}, (2, 3))", "np.stack([*np.unstack({a}), {a}[0]])",
        *each('np.pad({a}, 1, "%")', "edge reflect symmetric wrap"),
        "np.array_split({a}, 2, {axis})[0]", *each("np.%({a}, [1])[1]", "hsplit vsplit dsplit"),
    ],
    "layers": [
        "F.linear({a}, {w:3, s[-1]}, {w:3,})", "F.linear({a}, {w:2, s[-1]})",
        "F.embedding({ids}, {w:3, 2})",
        "F.layer_norm({a}, `s[-2:]`, {w:s[-2:]}, {w:s[-2:]})", "F.embedding({ids}, {a:3}[0])",
        "F.group_norm({a}, `r.choice([1, s[1]])`, {w:s[1],}, {w:s[1],})",
        "F.scaled_dot_product_attention({a}, {w:s}, {b}, is_causal={keep})",
        "F.conv1d({a:3}, {w:2, s[1], 2}, {w:2,}, padding=`r.randint(0, 1)`)",
        "F.conv1d({a:3}, {w:s[1], 1, 2}, stride=2, groups=`s[1]`)",
        "F.conv1d({a:3}, {w:2, s[1], 2}, None, 1, `r.randint(0, 2)`, 2)",
        "F.conv2d({a:4}, {w:2, s[1], 2, 1}, {w:2,}, padding=1)",
        "F.conv2d({a:4}, {w:1, s[1], 2, 2}, stride=`r.randint(1, 2)`)",
        "F.max_pool1d({a:3}, 2, 1, `r.randint(0, 1)`)", "F.max_pool2d({a:4}, 2)",
        "F.avg_pool1d({a:3}, 2, `r.randint(1, 2)`, `r.randint(0, 1)`)", "F.avg_pool2d({a:4}, 2, 1)",
    ],
    "losses": [
        *each('F.%_loss({a}, {same}, "`r.choice(REDUCED)`")', "mse l1 huber"),
        "F.mse_loss({a}, {w:s})",
        "F.huber_loss({a}, {w:s}, delta=0.5)",
        "F.cross_entropy({a:2}[:2], {ids}, label_smoothing=0.25)",
        'F.cross_entropy({a:3}[0], np.arange(`s[1]`) % `s[2]`, "`r.choice(REDUCED)`")',
        'F.binary_cross_entropy_with_logits({a}, np.full_like({a}, 0.3), "`r.choice(REDUCED)`")',
        "F.l1_penalty({a}, {w:s}, c=0.5)", "F.l2_penalty({a}, c=0.25)",
        "F.group_l2({a} + 0.3, c=0.5)",
        "F.group_l2({a} + 0.3, c=0.5, axis={axis})", "F.elastic_net({a}, {a}, l1=0.5, l2=0.25)",
    ],
    "noise": [
        'F.dropout({a}, 0.3, True, "{stream}")',
        'F.dropout({a}, 0.3, True, "{stream}", share={axis})',
        'F.dropout({a}, 0.6, True, "{stream}", "classic")',
        'F.gaussian_noise({a}, 0.5, True, "{stream}")',
    ],
    "memory": [
        "{a} * 1.0; {v} += {n}", "+{a}; {v} *= {n}", "{a} - {b}; {v} -= 0.5", "{a}.astype(low)",
        "{a} + {a}.detach()", "{a}.T * 1.0; {v} /= 2.0", "{a}.detach() * {b}", "{a} * {a} + {a}",
    ],
}  # fmt: skip
MASKS = [
    "({a} > {b})", "({a} <= {n})", "np.less({a}, {b})", "({a} == {b})", "~({a} > {n})",
    "({a} != {n})",
    "(({a} > 0.0) & ({b} < 1.0))", "np.isfinite({a})", "np.logical_or({a} >= {b}, {a} < {n})",
]  # fmt: skip
REDUCED = ["mean", "sum", "none"]


class Program(NamedTuple):
    """`wrong` is a line after the last that NumPy refuses, or None; `low` the dtype of astype."""

    leaves: dict
    steps: list
    low: str = "float64"
    wrong: str | None = None

    def text(self):
        """The steps, and the loss: the sum of all results that no other step uses."""
        lines = [f"{name} = {text}" for name, text in self.steps]
        used = set(NAME.findall(" ".join(text for _, text in self.steps)))
        ends = [name for name, _ in self.steps if name not in used] or ["x0"]
        return "\n".join([*lines, "loss = " + " + ".join(f"weigh({name})" for name in ends)])


def weigh(v):
    """The sum of the entries of v, each with a weight of its own; 0 for whole numbers."""
    if v.dtype.kind not in "fc":
        return 0.0
    return np.sum(v * np.cos(np.arange(v.size)).reshape(v.shape).astype(v.dtype))


PLAIN = {"np": np, "F": F, "low": "float64", "weigh": weigh}


def is_small(x):
    """Whether x and its derivative are finite and so small that rounding does not matter."""
    small = np.all(np.abs(np.real(x)) < LARGEST) and np.all(np.abs(np.imag(x)) < STEEPEST * H)
    return small and np.size(x) <= 300


def shape(r, s):
    """A random shape with as many entries as `s`."""
    sizes, k = r.sample(s, len(s)), r.randint(0, len(s))
    return (math.prod(sizes[:k]), *sizes[k:])


def values(r, size, dtype, tied):
    """Random entries: halves, which tie, or numbers that do not. They are exact in float32."""
    wholes = {"int64": (0, 2, 1), "bool": (0, 1, 1)}
    low, high, step = wholes.get(dtype, (-4, 4, 2) if tied else (-8192, 8192, 4096))
    entries = [r.randint(low, high) / step for _ in range(math.prod(size))]
    return np.array(entries).reshape(size).astype(dtype)


def index(r, s):
    """A random index for the shape s."""
    if r.random() < 0.1 and s:
        return f"np.array({[r.random() < 0.6 for _ in range(s[0])]})"
    items = []
    for n in s[: r.randint(0, len(s))]:
        one, two = (r.randint(-n, n - 1) if n else 0 for _ in range(2))
        column = f"np.array([[{abs(one) % max(n, 1)}], [0]])"
        slices = ":", "1:", ":-1", ":2", "::-1", "::2", "None, :"
        items.append(str(r.choice([one, [one, two], [0, -1, 0], column, *slices, *slices[:3]])))
    return ", ".join([*items, *r.choice([[], [], ["..."], ["None"]])]) or "..."


class Author:
    """Writes a program. It runs each step on complex arrays and keeps what stays small."""

    def __init__(self, seed):
        self.r = r = random.Random(seed)
        self.tied, self.made, self.wrong = r.random() < 0.4, 0, (None, {})
        self.dtypes = r.choice([["float64"], ["float64"], ["float32"], ["float32", "float64"]])
        self.leaves, self.steps, self.world = {}, [], dict(PLAIN)
        base = [r.choice([0] + [1, 2, 3, 4, 5] * 6) for _ in range(r.choice([1, 2, 2, 3, 3, 4]))]
        for kind in "xxd" if r.random() < 0.5 else "xxxdcib":
            kept = base[r.choice([0, 0, 0, 1, 1, 2, 9]) :]
            self.leaf(tuple(1 if r.random() < 0.15 else n for n in kept), kind)

    def leaf(self, size, kind):
        dtype = {"i": "int64", "b": "bool"}.get(kind) or self.r.choice(self.dtypes)
        kind = "d" if kind == "c" and not size else kind  # NumPy's numbers do not widen Tensors
        name, self.made = f"{kind}{self.made}", self.made + 1
        x = self.leaves[name] = values(self.r, size, dtype, self.tied)
        direction = np.array([self.r.uniform(-1, 1) for _ in range(x.size)]).reshape(x.shape)
        self.world |= along({name: x}, {name: direction} if kind == "x" else {})
        return name

    def variable(self, dtypes="fc", letters="vxdcib", fits=lambda s: True):
        known = [n for n in (*self.leaves, *(n for n, _ in self.steps)) if n[0] in letters]
        known = [n for n in known if self.world[n].dtype.kind in dtypes]
        found = [n for n in known if fits(self.world[n].shape)]
        return self.r.choice(found[-5:] if self.r.random() < 0.4 else found)

    def write(self, template):
        """The text of a step: the template with its holes filled. IndexError if nothing fits."""
        r, rank = self.r, re.search(r"\{a:(\d)\}", template)
        a = self.variable(letters="vxd", fits=lambda s: not rank or len(s) == int(rank[1]))
        s = self.world[a].shape
        here = {"s": s, "r": r, "shape": shape, "REDUCED": REDUCED}

        def broadcasts(other):
            pairs = zip(s[::-1], other[::-1])
            return r.random() < 0.1 or all(m == n or 1 in (m, n) for m, n in pairs)

        def leaf(size, kind):
            known = [n for n, x in self.leaves.items() if n[0] in kind and x.shape == size]
            return self.leaf(size, r.choice(kind)) if r.random() < 0.5 or not known else known[-1]

        def axis():
            rank = len(s) if r.random() < 0.97 else 3
            return r.randint(-rank, max(0, rank - 1))

        def axes():
            some = sorted(r.sample(range(len(s)), r.randint(0, len(s))))
            return r.choice([None, tuple(some), *some])

        fill = {
            "a": lambda: a,
            "b": lambda: self.variable(fits=broadcasts),
            "same": lambda: self.variable(fits=lambda other: other == s),
            "any": lambda: self.variable("fcib"),
            "whole": lambda: self.variable("ib", letters="vib"),
            "ids": lambda: leaf((2,), "i"),
            "axis": axis,
            "axes": axes,
            "index": lambda: index(r, s),
            "mask": lambda: HOLE.sub(filled, r.choice(MASKS)),
            "n": lambda: r.choice([-1.5, -0.5, 0.5, 1.0, 1.25, 2.0]),
            "keep": lambda: r.random() < 0.5,
            "stream": lambda: f"noise{len(self.steps)}",
            "v": lambda: f"v{len(self.steps)}",
        }

        def filled(hole):
            if hole[1] == "w":
                return leaf(tuple(eval(f"({hole[2]})", here)), "xxxd")
            return str(eval(hole[3], here) if hole[3] else fill[hole[1]]())

        return HOLE.sub(filled, template)

    def step(self):
        """Tries to write one more step."""
        before, seen.gap = (dict(self.leaves), dict(self.world)), math.inf
        name, text = f"v{len(self.steps)}", ""
        try:
            text = self.write(self.r.choice(GRAMMAR[self.r.choice([*GRAMMAR])]))
            with np.errstate(all="ignore"):
                exec(f"{name} = {text}", self.world)
            if is_small(self.world[name]) and seen.gap > 1e-6:
                self.world[name] = plain(self.world[name])
                self.steps.append((name, text))
                return
        except REFUSALS as error:
            if text and "F." not in text and not isinstance(error, (AttributeError, Refused)):
                self.wrong = text.split(";")[0], self.leaves
        self.leaves, self.world = before


def random_program(seed, least=5, most=40):
    """The program of a seed, of `least` to `most` steps."""
    mg.manual_seed(0)
    author = Author(seed)
    wanted = author.r.randint(least, most)
    for _ in range(4 * wanted):
        if len(author.steps) < wanted:
            author.step()
    wrong, leaves = author.wrong
    return Program(leaves | author.leaves, author.steps, author.r.choice(author.dtypes), wrong)

"""Programs for the fuzzer: lines of text, written at random from a table of the vocabulary.

A program has leaves, {name: array}, and steps, [(name, text)]. The first letter of a name tells:

    v  the result of a step              d  data with a name, which `replay` may change
    x  a leaf that requires a gradient   c  an array of NumPy, no Tensor
    i  a Tensor of whole numbers         b  a Tensor of truth values

A line of the table has holes, which `Author` fills:

    {a}        a variable of floats            {axis} {axes}   one axis of {a}; one, several or None
    {b} {same} one that fits, of its shape     {keep}          True or False
    {any}      a variable of any dtype         {n}             a number
    {a:3}      one that has 3 axes             {ids}           two whole numbers
    {w:shape}  a leaf of this shape            {mask}          truth values that fit {a}
    {index}    an index of {a}                 `expression`    its value; s is the shape of {a}, r random
"""

import math
import random
import re
from typing import NamedTuple

import numpy as np

from .reference import H, F, along, plain, seen

NAME = re.compile(r"\b[vxdcib]\d+\b")


def each(template, names):
    """The template once for each of the names, in the place of `%`."""
    return [template.replace("%", name) for name in names.split()]


REDUCTIONS = "sum mean max min prod var std"
GRAMMAR = {
    "arithmetic": [
        *each("{a} % {b}", "+ - *"), *each("{a} % {any}", "+ *"), *each("{n} % {a}", "+ - *"),
        *each("np.%({a}, {b})", "add subtract multiply"), "-{a}", "+{a}", "{a} / {n}", "{a} + {a} * {b}",
        "{a} / (np.abs({b}) + 0.5)", "np.divide({a}, np.square({b}) + 1.0)", "{n} / (1.5 + np.cos({a}))",
        *each("{a} ** %", "2 3 0 1"), "(np.abs({a}) + 0.5) ** {n}", "np.power(np.abs({a}) + 0.5, {b})",
        "1.5 ** {a}", "np.square({a})", "np.reciprocal({a} * {a} + 0.5)", "np.positive({a})",
        "{a} % 0.75", "np.remainder({a}, np.abs({b}) + 0.5)", "np.negative({a})",
    ],
    "functions": [
        *each("np.%({a})", "sin cos tanh arctan sinh cosh exp expm1"), "np.log1p({a} * {a})",
        *each("np.%(np.abs({a}) + 0.25)", "log log2 log10 sqrt"), *each("{a}.%()", "exp tanh sigmoid"),
        *each("(np.abs({a}) + 0.25).%()", "log sqrt"), *each("np.%(0.9 * np.tanh({a}))", "tan arcsin arccos"),
        *each("F.%({a})", "sigmoid softplus silu gelu erf"), "np.logaddexp({a}, {b})",
    ],
    "kinks": [
        "np.maximum({a}, {b})", "np.minimum({a}, {b})", "np.maximum({a}, {n})", "np.minimum({n}, {a})",
        "np.abs({a})", "abs({a})", "{a}.abs()", "{a}.relu()", *each("F.%({a})", "relu leaky_relu"),
        "F.elu({a} + 0.3)", "F.selu({a} + 0.3)", "np.clip({a}, -0.5, 1.0)", "{a}.clip(-0.5, 0.5)",
        "np.where({mask}, {a}, {b})", "np.where({mask}, {n}, {a})", "{a} * {mask}", "{mask} + {a}",
        "{a} * np.sign({b})", *each("np.%({a}) * {b}", "floor ceil rint trunc"), "({a} // 0.7) * {b}",
        "np.where({a} > 0.0, np.sqrt(np.abs({a}) + 0.1), 0.0)",
    ],
    "reductions": [
        *each("np.%({a}, axis={axis})", REDUCTIONS), *each("np.%({a})", REDUCTIONS),
        *each("{a}.%({axis})", REDUCTIONS), *each("{a}.%(axis={axes}, keepdims={keep})", REDUCTIONS),
        *each("np.%({a}, axis={axes}, keepdims={keep})", REDUCTIONS), "np.var({a}, axis={axis}, ddof=1)",
        "np.std({a} + {b}, axis={axes}, ddof=1, keepdims={keep})", "np.cumsum({a}, axis={axis})",
        "{a}.cumsum()", "F.logsumexp({a}, axis={axes}, keepdims={keep})", "{a} - {a}.max({axis}, keepdims=True)",
        "F.softmax({a}, axis={axis})", "F.log_softmax({a}, {axis})", "{a}.mean({axis}) * {a}.sum({axis})",
    ],
    "decisions": [
        *each("np.%({a}, axis={axis})", "argmax argmin"), 'np.argsort({a}, {axis}, "stable")', "{mask}", "({mask}).sum({axis})",
        *each("np.%({mask}, axis={axis})", "any all"), "np.count_nonzero({mask})", "{a}.astype(int)",
        "{a} * np.count_nonzero({mask})", "{a} + {a}.argmax({axis}).sum()",
    ],
    "products": [
        "{a} @ {w:s[-1], 3}", "{a} @ {w:s[-1],}", "{w:2, s[-2]} @ {a}", "np.matmul({a}, {w:s[-1], 2})",
        "{a} @ {b}", "np.matmul({a}, np.swapaxes({a}, -1, -2))", "np.dot({a}, {w:s[-1:]})", "np.outer({a}, {b})",
        'np.einsum("...i,...i->...", {a}, {b})', 'np.einsum("...i,ij->...j", {a}, {w:s[-1], 2})',
        'np.einsum("i...->...", {a})', 'np.einsum("...i,...j->...ij", {a}, {a})', "{a}.dot({b})",
        'np.einsum("...ii->...i", {a})', 'np.einsum("ij,kj->ik", {a}, {b})', 'np.einsum("ij,j->", {a}, {w:s[-1],})',
        "np.trace({a})", "np.diagonal({a}, `r.randint(-1, 1)`)", "{a}.matmul({w:s[-1], 2})",
    ],
    "indexing": [
        "{a}[{index}]", "{a}[{index}]", "{a}[{index}][{index}]", "np.take({a}, [0, -1, 0], axis={axis})",
        "np.take({a}, [1, 0])", 'np.take_along_axis({a}, np.argsort({a}, {axis}, "stable"), axis=-1)',
        "{a}[{a}.argmax(0)]", "np.sum({a}[{a} > {n}])", "np.sum({a}[{mask}])", "{a}[{whole}]",
        "np.stack([*{a}])", "{a}[..., None] * {b}", "{a}[::-1] + {a}",
    ],
    "shapes": [
        "{a}.reshape(-1)", "{a}.reshape(`shape(r, s)`)", "np.reshape({a}, `shape(r, s)`)", "{a}.T", "{a}.ravel()",
        "np.transpose({a}, `r.sample(range(len(s)), len(s))`)", "{a}.transpose(`r.sample(range(len(s)), len(s))`)",
        "np.swapaxes({a}, {axis}, {axis})", "np.moveaxis({a}, {axis}, {axis})", "np.expand_dims({a}, {axis})",
        "np.squeeze({a})", "{a}.squeeze({axis})", "np.broadcast_to({a}, `(2, *s)`)", "np.flip({a}, {axis})",
        "np.broadcast_to({a}, `tuple(3 if n == 1 else n for n in s)`)", "np.roll({a}, `r.randint(-3, 3)`, {axis})",
        "np.pad({a}, 1)", "np.pad({a}, `[(r.randint(0, 2), r.randint(0, 1)) for n in s]`)", "np.roll({a}, 1)",
        "np.concatenate([{a}, {b}], axis={axis})", "np.concatenate([{a}, {a}, {b}])", "np.stack([{a}, {b}])",
        "np.stack([{a}, {a}], axis={axis})", "np.hstack([{a}, {b}])", "np.vstack([{a}, {b}])",
        "np.split({a}, `max(1, s[-1])`, axis=-1)[-1]", "np.split({a}, [1], axis={axis})[`r.randint(0, 1)`]",
        "np.repeat({a}, 2, axis={axis})", "np.tile({a}, `[r.randint(1, 2) for _ in range(3)]`)", "np.tril({a})",
        "np.triu({a}, `r.randint(-1, 1)`)", "np.diff({a}, axis={axis})", "np.diff({a}, 2)", "np.ravel({a})",
    ],
    "layers": [
        "F.linear({a}, {w:3, s[-1]}, {w:3,})", "F.linear({a}, {w:2, s[-1]})", "F.layer_norm({a}, `s[-1:]`, {w:s[-1:]}, {w:s[-1:]})",
        "F.layer_norm({a}, `s[-2:]`, {w:s[-2:]}, {w:s[-2:]})", "F.group_norm({a}, `r.choice([1, s[1]])`, {w:s[1],}, {w:s[1],})",
        "F.batch_norm({a}, None, None, {w:s[1],}, {w:s[1],}, training=True)", "F.embedding({ids}, {a}[0])",
        "F.scaled_dot_product_attention({a}, {w:s}, {b}, is_causal={keep})", "F.embedding({ids}, {w:3, 2}) * {n}",
        "F.conv1d({a:3}, {w:2, s[1], 2}, {w:2,}, padding=`r.randint(0, 1)`)", "F.conv1d({a:3}, {w:s[1], 1, 2}, stride=2, groups=`s[1]`)",
        "F.conv1d({a:3}, {w:2, s[1], 2}, None, 1, `r.randint(0, 2)`, 2)", "F.conv2d({a:4}, {w:2, s[1], 2, 1}, {w:2,}, padding=1)",
        "F.conv2d({a:4}, {w:1, s[1], 2, 2}, stride=`r.randint(1, 2)`)", "F.max_pool1d({a:3}, 2, 1, `r.randint(0, 1)`)",
        "F.max_pool2d({a:4}, 2)", "F.avg_pool1d({a:3}, 2, `r.randint(1, 2)`, `r.randint(0, 1)`)", "F.avg_pool2d({a:4}, 2, 1)",
    ],
    "losses": [
        *each('F.%_loss({a}, {same}, "`r.choice(REDUCED)`")', "mse l1 huber"), "F.mse_loss({a}, {w:s})",
        'F.cross_entropy({a}, `np.arange(math.prod(s[:1] + s[2:])).reshape(s[:1] + s[2:])` % `s[1]`, "`r.choice(REDUCED)`")',
        "F.cross_entropy({a:2}[:2], {ids}, label_smoothing=0.25)", "F.huber_loss({a}, {w:s}, delta=0.5)",
        'F.binary_cross_entropy_with_logits({a}, F.sigmoid({same}), "`r.choice(REDUCED)`")',
        "F.l1_penalty({a}, {w:s}, c=0.5)", "F.l2_penalty({a}, c=0.25)", "F.group_l2({a} + 0.3, c=0.5, axis={axis})",
        "F.elastic_net({a}, {a}, l1=0.5, l2=0.25)", "F.group_l2({a} + 0.3, c=0.5)",
    ],
    "noise": [
        'F.dropout({a}, 0.3, True, "{stream}")', 'F.dropout({a}, 0.3, True, "{stream}", share={axis})',
        'F.dropout({a}, 0.6, True, "{stream}", "classic")', 'F.gaussian_noise({a}, 0.5, True, "{stream}")',
    ],
    "memory": [
        "{a} * 1.0; {v} += {n}", "+{a}; {v} *= {n}", "{a} - {b}; {v} -= 0.5", "{a}.astype(low)", "{a} + {a}.detach()",
        "{a}.T * 1.0; {v} /= 2.0", "{a} * {a} + {a}", "{a}.detach() * {b}", "({a}.astype(low) + {b}) * {a}",
    ],
}  # fmt: skip
REDUCED = ["mean", "sum", "none"]
LARGEST, STEEPEST = 100, 1000  # of the values, and of their derivatives: rounding stays small


class Program(NamedTuple):
    """Leaves {name: array}, steps [(name, text)], and a last line that NumPy refuses, or None."""

    leaves: dict
    steps: list
    low: str = "float64"  # the dtype to which `astype(low)` goes
    wrong: str | None = None

    def text(self):
        """The steps, and the loss: the sum of all results that no other step uses."""
        lines = [f"{name} = {text.replace('{v}', name)}" for name, text in self.steps]
        used = set(NAME.findall(" ".join(text for _, text in self.steps)))
        ends = [name for name, _ in self.steps if name not in used] or list(self.leaves)[:1]
        return "\n".join([*lines, "loss = " + " + ".join(f"weigh({name})" for name in ends)])

    def with_steps(self, steps):
        """The same program with these steps and the leaves that they need."""
        used = set(NAME.findall(" ".join([*(text for _, text in steps), self.wrong or ""])))
        leaves = {n: x for n, x in self.leaves.items() if n in used or n == "x0"}
        return self._replace(leaves=leaves, steps=steps)


def weigh(v):
    """The sum of the entries of v, each with a weight of its own; 0 for whole numbers."""
    if v.dtype.kind not in "fc":
        return 0.0
    weights = np.cos(np.arange(v.size)).reshape(v.shape)
    return np.sum(v * weights.astype(v.dtype if v.dtype.kind == "f" else v.real.dtype))


def is_small(x):
    """Whether x and its derivative are finite and so small that rounding does not matter."""
    return np.all(np.abs(np.real(x)) < LARGEST) and np.all(np.abs(np.imag(x)) < STEEPEST * H)


PLAIN = {"np": np, "F": F, "low": "float64", "weigh": weigh}


def shape(r, s):
    """A random shape with as many entries as `s`."""
    sizes = [n for n in (*s, 1) if n]
    r.shuffle(sizes)
    k = r.randint(0, len(sizes))
    return (math.prod(sizes[:k]), *sizes[k:]) if math.prod(s) else tuple(s)


def values(r, size, dtype, tied):
    """Random entries: halves, which tie, or numbers that do not. They are exact in float32."""
    if dtype in ("int64", "bool"):
        return np.array([r.randint(0, 2) for _ in range(math.prod(size))]).reshape(size).astype(dtype)
    step, most = (2, 4) if tied else (4096, 8192)
    return (np.array([r.randint(-most, most) for _ in range(math.prod(size))], dtype) / step).reshape(size).astype(dtype)


class Author:
    """Writes one program. It runs each step on complex arrays, and keeps the steps that stay small."""

    def __init__(self, seed):
        self.r = r = random.Random(seed)
        self.tied = r.random() < 0.4
        self.dtypes = r.choice([["float64"], ["float64"], ["float32"], ["float32", "float64"]])
        self.base = [r.choice([0] + [1, 2, 3, 4, 5] * 6) for _ in range(r.choice([1, 2, 2, 3, 3, 4]))]
        self.leaves, self.steps, self.world, self.wrong, self.made = {}, [], dict(PLAIN), None, 0
        for kind in "xxd" if r.random() < 0.5 else "xxxdcib":
            self.leaf(self.suffix(), kind)

    def suffix(self):
        r = self.r
        kept = self.base[r.choice([0, 0, 0, 1, 1, 2, 9]) :]
        return tuple(1 if r.random() < 0.15 else n for n in kept)

    def leaf(self, size, kind=None):
        kind = kind or self.r.choice("xxxd")
        dtype = {"i": "int64", "b": "bool"}.get(kind) or self.r.choice(self.dtypes)
        name, self.made = f"{kind}{self.made}", self.made + 1
        x = self.leaves[name] = values(self.r, size, dtype, self.tied)
        signs = np.array([self.r.uniform(-1, 1) for _ in range(x.size)]).reshape(x.shape)
        self.world |= along({name: x}, {name: signs} if kind == "x" else {})
        return name

    def variable(self, wanted, kinds="vxdcib"):
        known = [*self.leaves, *(n for n, _ in self.steps)]
        names = [n for n in known if n[0] in kinds and wanted(self.world[n])]
        return self.r.choice(names[-5:] if self.r.random() < 0.4 else names)

    def write(self, template):
        """The text of a step: the template with its holes filled."""
        r, found = self.r, {}
        floats = lambda x: x.dtype.kind in "fc"

        def fits(x):
            try:
                np.broadcast_shapes(x.shape, self.world[found["a"]].shape)
            except ValueError:
                return False
            return floats(x) and (x.ndim or r.random() < 0.3)

        def fill(hole):
            name, spec = hole[1], hole[2]
            s = self.world[found["a"]].shape if "a" in found else ()
            here = {"s": s, "r": r, "np": np, "math": math, "shape": shape, "REDUCED": REDUCED}
            if hole[3]:
                return re.sub(r"array\((.*)\)", r"np.array(\1)", repr(eval(hole[3], here)), flags=re.S).strip("'")
            if name == "a":
                return found["a"]
            if name == "b":
                return self.variable(fits if r.random() < 0.9 else floats)
            if name == "same":
                return self.variable(lambda x: floats(x) and x.shape == s)
            if name == "any":
                return self.variable(lambda x: True)
            if name in ("w", "ids"):
                size = (2,) if name == "ids" else tuple(eval(f"({spec})", here))
                known = [n for n, x in self.leaves.items() if n[0] in "xdi" and x.shape == size and x.dtype.kind == "fi"[name == "ids"]]
                return r.choice(known) if known and r.random() < 0.5 else self.leaf(size, "i" if name == "ids" else None)
            if name == "axis":
                return str(r.randint(-len(s), len(s) - 1) if s and r.random() < 0.97 else r.randint(-3, 3))
            if name == "axes":
                some = tuple(sorted(r.sample(range(len(s)), r.randint(0, len(s)))))
                return r.choice(["None", str(some), str(r.randint(0, max(0, len(s) - 1)))])
            if name == "mask":
                return HOLE.sub(fill, r.choice(MASKS))
            if name == "whole":
                return self.variable(lambda x: x.dtype.kind in "ib")
            return {
                "keep": lambda: str(r.random() < 0.5),
                "n": lambda: str(r.choice([-1.5, -0.5, 0.5, 1.0, 1.25, 2.0])),
                "index": lambda: index(r, s),
                "stream": lambda: f"noise{len(self.steps)}",
                "v": lambda: "{v}",
            }[name]()

        rank = re.search(r"\{a:(\d)\}", template)
        found["a"] = self.variable(lambda x: floats(x) and (not rank or x.ndim == int(rank[1])), "vxd")
        return HOLE.sub(fill, template)

    def step(self):
        """Tries to write one more step."""
        before = dict(self.leaves), dict(self.world)
        try:
            text = self.write(self.r.choice(GRAMMAR[self.r.choice([*GRAMMAR])]))
        except (IndexError, ValueError):  # {a} has too few axes for this template
            self.leaves, self.world = before
            return
        name = f"v{len(self.steps)}"
        ties, seen.gap = seen.ties, math.inf
        try:
            with np.errstate(all="ignore"):
                exec(f"{name} = {text.replace('{v}', name)}", self.world)
        except Exception as error:
            if "F." not in text and not isinstance(error, AttributeError):
                self.wrong = text.split(";")[0], self.leaves
            self.leaves, self.world = before
            return
        x = np.asarray(self.world[name])
        if not is_small(x) or seen.gap < 1e-6 or x.size > 300:
            self.leaves, self.world = before
            seen.ties = ties
            return
        self.world[name] = plain(x)
        self.steps.append((name, text))


MASKS = [
    "({a} > {b})", "({a} <= {n})", "np.less({a}, {b})", "({a} == {b})", "~({a} > {n})", "({a} != {n})",
    "(({a} > 0.0) & ({b} < 1.0))", "np.isfinite({a})", "np.logical_or({a} >= {b}, {a} < {n})",
]  # fmt: skip
HOLE = re.compile(r"\{(\w+)(?::([^}]*))?\}|`([^`]*)`")


def index(r, s):
    """A random index for the shape s."""
    if r.random() < 0.1 and s:
        return f"np.array({[r.random() < 0.6 for _ in range(s[0])]})"
    items = []
    for n in s[: r.randint(1, len(s))] if s else ():
        items.append(r.choice([
            str(r.randint(-n, n - 1)) if n else ":", ":", f"{r.randint(0, 1)}:", f":{r.randint(-1, 3)}", "::-1", "::2",
            str([r.randint(-n, n - 1) for _ in range(2)]) if n else ":", str([0, -1, 0]),
            f"np.array({[[r.randint(0, max(0, n - 1))] for _ in range(2)]})", "None, :",
        ]))  # fmt: skip
    if r.random() < 0.2:
        items.insert(r.randint(0, len(items)), r.choice(["None", "..."]))
    return ", ".join(items) or "..."


def random_program(seed, low=5, high=40):
    """The program of a seed, of `low` to `high` steps; sometimes with a last line that is wrong."""
    author = Author(seed)
    wanted = author.r.randint(low, high)
    for _ in range(4 * wanted):
        if len(author.steps) < wanted:
            author.step()
    wrong, leaves = author.wrong or (None, {})
    return Program(leaves | author.leaves, author.steps, author.r.choice(author.dtypes), wrong)

"""The rules of one node, alone, against its forward."""

import inspect
import os

import numpy as np

from ..engine import Tensor, wants_gradient
from ..graph import evaluate
from .diagnosis import diagnose
from .numeric import cotangent, largest
from .verdict import FAILING, Alone, Finding, judge, look, ruled, worst

# (a, b, text): rule(a * u + b * v) must be a * rule(u) + b * rule(v), also for small, large and
# negative factors. Products with powers of two are not rounded.
SUMS = [
    (1, 0, " gives something else each time it is called, as if it drew noise of its own"),
    (2.0**-10, 0, " is not linear in g: it does not grow in proportion to g"),
    (-(2.0**20), 0, " is not linear in g: it does not grow in proportion to g"),
    (-1, 4, " is not linear in g: for a sum it gives something else than for the parts"),
]
LINEAR = 1e-9  # relative to results and cotangents: where parts cancel, much rounding is left
ALIKE = 1e-11  # relative to the largest entry: 1e5 roundings, enough for sums of many entries
SMALLEST = 1e-290  # smaller results count as this large: below 2e-308 numbers lose digits


def check_node(node, settings):
    """The Finding on the rules of one recorded node."""
    again = evaluate([node], {a.order: a.data for a in node.args if isinstance(a, Tensor)})
    if not np.array_equal(again[node.order], node.data, equal_nan=True):
        note = "Its forward draws by itself: give it its noise as an input, a Noise leaf."
        return Finding("STOCHASTIC", np.inf, note)
    if node.dtype.itemsize < 8:
        note = f"Its forward makes {node.dtype} of float64, too few digits: keep the dtype."
        return Finding("FAIL", np.inf, note)
    names, inputs = node.op.names, [i for i, a in enumerate(node.args) if wants_gradient(a)]
    if notes := {i: note for i in inputs if (note := unsound(node, i, settings.rng))}:
        text = ". ".join(f"The rule for {names[i]}{note}" for i, note in notes.items())
        return Finding("FAIL", np.inf, text, where(node.op, notes))
    alone = Alone(node, settings)
    found = {i: look(alone, i) for i in inputs}
    gravest = worst(found.values())
    if gravest.verdict == "KINK":  # if all entries move alike, equal entries stay equal
        together = judge(alone, {i: np.ones(node.args[i].shape) for i in inputs})
        if together.verdict == "FAIL":
            note = f"By {' and '.join(names[i] for i in inputs)}, moved alike: {together.note}."
            return together._replace(note=note, rule=where(node.op, inputs))
    if gravest.verdict not in ("OK", "KINK") and not np.all(np.isfinite(node.data)):
        return Finding("NONFINITE", np.inf, "the value is not finite")
    failing = [i for i in inputs if found[i].verdict in FAILING]
    note = " ".join(described(alone, i, found[i]) for i in failing)
    wrong = [i for i in failing if found[i].verdict == "FAIL"]
    return gravest._replace(note=note or gravest.note, rule=where(node.op, wrong))


def described(alone, i, found):
    """A failed Finding on the gradient by the i-th argument as text, with the likely cause."""
    entry = np.unravel_index(found.entry, alone.node.args[i].shape)
    note = f"By {alone.node.op.names[i]}, entry {tuple(map(int, entry))}: {found.note}, "
    note += f"relative difference {found.error:.2g}."
    cause = diagnose(alone, i)
    return f"{note} Diagnosis: {cause}." if cause else note


def unsound(node, i, rng):
    """Why the i-th rule of a node is no valid rule, as the end of a sentence, or None."""
    u = np.broadcast_to(cotangent(rng, node.shape), node.shape)  # read-only
    v = cotangent(rng, u.shape) * (rng.random(u.shape) < 0.5)  # rules may be wrong where g is 0
    try:
        once, other = ruled(node, i, u), ruled(node, i, v)
    except Exception as error:
        return f": {type(error).__name__}: {error}"
    if type(once) not in (np.ndarray, once.dtype.type) or once.dtype.kind not in "fiub":
        kind = f"{type(once).__name__} of {once.dtype}"
        return f" must return an array of real numbers, not this type: {kind}"
    for a, b, told in SUMS if np.all(np.isfinite(once)) else []:  # else the verdict will say so
        spaced = np.stack([a * u + b * v] * 2, axis=-1)[..., 0]  # not contiguous in memory
        whole, parts = ruled(node, i, spaced), a * once + b * other if b else a * once
        allowed = max(largest(parts), largest(b * v), SMALLEST) * (LINEAR if b else ALIKE)
        if not np.all((abs(whole - parts) <= allowed) | np.isinf(parts)):
            return " ignores g, the cotangent of the result" if alike(once, whole) else told
    return None


def alike(a, b):
    """Whether two arrays are equal up to rounding."""
    return np.allclose(a, b, rtol=ALIKE, atol=ALIKE * largest(a), equal_nan=True)


def where(op, positions):
    """The names of some rules of an op, each with its file and line."""
    return " and ".join(f"{op.name} for {op.names[i]}{place(op.rules[i])}" for i in positions)


def place(function):
    """The file and line of a function in parentheses, or "" if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f" ({os.path.relpath(code.co_filename)}:{code.co_firstlineno})" if code else ""

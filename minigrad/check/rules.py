"""The rules of one node, alone, against its forward."""

import os
from functools import partial

import numpy as np

from ..array import data_of
from ..engine import Tensor, constant, result
from .diagnosis import Map, diagnose
from .numeric import STEP, Part, along, has_no_rule
from .rounding import HASHES, ROUNDINGS, shaken
from .verdict import FAILING, Finding, cotangent, judge, look, worst

SIZES = (1e-3, -1.0, 1e3, -1e6)  # times a cotangent: a rule is linear at all sizes, of both signs
LINEAR = 1e-11  # relative to the largest entry: some 1e5 roundings, for sums of many entries
SMALLEST = 1e-290  # what is smaller may have lost digits, as numbers below 2e-308 have


def alone(node):
    """The same node on leaves of its own. It shares its data with `node`."""
    args = []
    for a in node.args:
        if isinstance(a, Tensor):
            leaf = constant(a.data)
            leaf.requires_grad = a.requires_grad and a.dtype.kind == "f"
            a = leaf
        args.append(a)
    return result(node.op, tuple(args), node.data, node.flags)


def ruled_nodes(steps):
    """The nodes among `steps` whose rules are to be checked."""
    return [node for node in steps if node.args and node.requires_grad and not has_no_rule(node)]


def by_rules(outputs, cotangents, tensors):
    """The gradients that the rules of one node give, as `ruled`."""
    ((node,), (u,)), wanted = (outputs, cotangents), {x.order for x in tensors}
    gradients = {node.order: u}
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor) and a.order in wanted:
            gradients[a.order] = ruled(node, i, u)
    return gradients


def ruled(node, i, u):
    """What the rule for the i-th argument makes of a cotangent u, summed over what was broadcast.

    By NumPy's own sum: the engine's way is not trusted here.
    """
    x, rule = node.args[i], node.op.rules[i]
    if rule is None:  # none: it claims that nothing comes of x
        return np.zeros(x.shape)
    g = rule(u, node.data, *map(data_of, node.args))
    if np.shape(g) == x.shape:
        return np.asarray(g)
    lead = np.ndim(g) - x.ndim
    fits = isinstance(g, (np.ndarray, np.generic)) and lead >= 0
    if not fits or any(n not in (1, m) for n, m in zip(x.shape, g.shape[lead:])):
        given = f"shape {g.shape}" if hasattr(g, "shape") else repr(g)
        raise ValueError(f"it returned {given}, the argument has shape {x.shape}")
    ones = tuple(i + lead for i, n in enumerate(x.shape) if n == 1)
    return np.sum(g, axis=(*range(lead), *ones), keepdims=True).reshape(x.shape)


def unsound(node, i, rng):
    """What makes the i-th rule of a node no rule, as the end of a sentence, or None."""
    u, w = cotangent(rng, node.shape), cotangent(rng, node.shape)
    given = [u, node.data, *(a for a in map(data_of, node.args) if isinstance(a, np.ndarray))]
    saved = [np.array(a) for a in given]
    try:
        by_u, by_w = np.array(ruled(node, i, u)), np.array(ruled(node, i, w))
    except Exception as error:
        return f": {type(error).__name__}: {error}"
    changed = [
        (a, b) for a, b in zip(given, saved) if not np.array_equal(a, b, a.dtype.kind == "f")
    ]
    for a, before in changed:
        np.copyto(a, before)
    if changed:
        return " changes what it is given, in place."
    if np.any(by_u) and np.array_equal(by_u, by_w):
        return " ignores the incoming cotangent: it gives the gradient for a cotangent of ones."
    if not alike(by_u, ruled(node, i, u)):
        return " gives something else each time it is called, as if it drew noise of its own."
    for size in SIZES:
        expected, scale = size * (by_w - by_u), abs(size) * (abs(by_w) + abs(by_u))
        found = ruled(node, i, size * (w - u))
        if not alike(expected, found, scale):
            steps = [*(a for a in node.args if isinstance(a, Tensor)), node]
            up, down = (shaken(steps, HASHES[0], way)[node.order] for way in (1, -1))
            lost = ROUNDINGS / LINEAR * abs(size) * abs(ruled(up, i, u) - ruled(down, i, u))
            if not alike(expected, found, lost):
                return (
                    f" is not linear in the cotangent: {size:g} times as much gives something else."
                )
    return None


def alike(a, b, scale=None):
    """Whether two arrays are equal to rounding."""
    scale = abs(a) if scale is None else scale
    allowed = LINEAR * np.max(scale, initial=SMALLEST, where=np.isfinite(scale))
    return np.allclose(a, b, rtol=LINEAR, atol=allowed, equal_nan=True)


def where(op, i):
    """Which rule that is, and where it is written."""
    code = getattr(op.rules[min(i, len(op.rules) - 1)], "__code__", None)
    place = f" ({os.path.relpath(code.co_filename)}:{code.co_firstlineno})" if code else ""
    return f"{op.name} for {op.names[i]}{place}"


def check_node(node, rng, rates=(), step=STEP, rtol=0.0, atol=0.0):
    """The Finding on the rules of one recorded node."""
    node = alone(node)
    if not np.array_equal(node.op.forward(*map(data_of, node.args)), node.data, equal_nan=True):
        note = "Its forward draws by itself. Give the op its noise as an input, a Noise leaf."
        return Finding("STOCHASTIC", np.inf, note)
    if not np.any(np.isfinite(node.data)) and node.size:
        return Finding("NONFINITE", np.inf, "the value is not finite")
    tensors = [(i, a) for i, a in enumerate(node.args) if isinstance(a, Tensor)]
    inputs = {i: a for i, a in tensors if a.requires_grad}
    for i in inputs:
        if trouble := unsound(node, i, rng):
            note = f"The rule for {node.op.names[i]}{trouble}"
            return Finding("FAIL", np.inf, note, where(node.op, i))
    u = np.where(np.isfinite(node.data), cotangent(rng, node.shape), 0)
    steps = [*(a for _, a in tensors), node]
    part = Part(steps, [node], [u], by_rules, step)
    findings = {i: look(part, [x], rng, rtol, atol)[x.order] for i, x in inputs.items()}
    found = worst(findings.values())
    if found.verdict == "KINK":  # entries that tie go on tying where all move alike
        alike_moved = {x.order: np.ones(x.shape) for x in inputs.values()}
        together = judge(part, alike_moved, rtol, atol)
        if together.verdict == "FAIL" and np.all(u != 0):
            names = " and ".join(node.op.names[i] for i in inputs)
            note = f"By {names}, moved alike: {together.note}."
            return together._replace(note=note, rule=where(node.op, next(iter(inputs))))
    if found.verdict not in FAILING:
        return found
    if not np.all(np.isfinite(node.data)):
        return Finding("NONFINITE", np.inf, "the value is not finite at some entries")
    i = next(i for i, finding in findings.items() if finding is found)
    note = f"By {node.op.names[i]}: {found.note}."
    if found.verdict == "FAIL":
        note += f" Diagnosis: {_diagnosed(node, i, rates)}."
    return found._replace(note=note, rule=where(node.op, i))


def _diagnosed(node, i, rates):
    """The diagnosis of the wrong i-th rule of a node that stands alone."""

    def map_by(k, node=node):
        """The Map by the k-th argument."""
        x = node.args[k]

        def push(v):
            return along([x, node], {x.order: v}).tangents.get(node.order, np.zeros(node.shape))

        return Map(x.data, push, partial(ruled, node, k))

    function, others, turned = map_by(i), {}, {}
    for k, a in enumerate(node.args):
        if k != i and isinstance(a, Tensor) and a.dtype.kind == "f":
            name = node.op.names[k]
            others[name] = map_by(k)
            if a.ndim == 2 and a.shape[0] == a.shape[1] > 1:
                args = (*node.args[:k], constant(a.data.T), *node.args[k + 1 :])
                data = node.op.forward(*map(data_of, args))
                turned[name] = map_by(i, result(node.op, args, data, node.flags)).push
    lead = (1,) * (node.ndim - function.x.ndim) + function.x.shape
    broadcast = len(lead) == node.ndim and all(n in (1, m) for n, m in zip(lead, node.shape))
    axes = [a for a, (n, m) in enumerate(zip(lead, node.shape)) if n != m] if broadcast else []
    return diagnose(function, rates, others, turned, axes)

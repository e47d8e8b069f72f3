"""The rules of one node, alone, against its forward."""

import os
from functools import partial

import numpy as np

from ..array import data_of
from ..engine import Tensor, constant, result
from .diagnosis import Map, diagnose
from .numeric import STEP, Part, along, shaken
from .verdict import FAILING, ROUNDINGS, Finding, cotangent, judge, look, worst

SIZES = (1e-3, -1.0, 1e3, -1e6)  # times a cotangent: a rule is linear at all sizes, of both signs
LINEAR = 1e-11  # relative to the largest entry: some 1e5 roundings, for sums of many entries


def alone(node):
    """The same node on leaves of its own. It shares its data with `node`."""
    args = []
    for a in node.args:
        if isinstance(a, Tensor):
            leaf = constant(a.data)
            leaf.requires_grad = a.requires_grad
            a = leaf
        args.append(a)
    return result(node.op, tuple(args), node.data, node.flags)


def by_rules(outputs, cotangents, tensors):
    """The gradients that the rules of one node give, summed over what was broadcast: the engine's way is not trusted here."""
    ((node,), (u,)) = outputs, cotangents
    wanted = {x.order for x in tensors}
    return {node.order: u} | {
        a.order: ruled(node, i, u)
        for i, a in enumerate(node.args)
        if isinstance(a, Tensor) and a.order in wanted
    }


def ruled(node, i, u):
    """What the rule for the i-th argument makes of a cotangent u."""
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


def unsound(node, rng):
    """A Finding if a rule of `node` is none: it raises, changes what it is given, draws, or is not linear in the cotangent."""
    for i, x in enumerate(node.args):
        if isinstance(x, Tensor) and x.requires_grad:
            trouble = _unsound(node, i, cotangent(rng, node.shape), cotangent(rng, node.shape))
            if trouble:
                note = f"The rule for {node.op.names[i]}{trouble}"
                return Finding("FAIL", np.inf, note, where(node.op, i))
    return None


def _unsound(node, i, u, w):
    """What is wrong with the i-th rule, as the end of a sentence."""
    given = [u, node.data, *(a for a in map(data_of, node.args) if isinstance(a, np.ndarray))]
    saved = [np.array(a) for a in given]
    try:
        by_u, by_w = ruled(node, i, u), ruled(node, i, w)
    except Exception as error:
        return f": {type(error).__name__}: {error}"
    changed = False
    for a, before in zip(given, saved):
        if not np.array_equal(a, before, equal_nan=a.dtype.kind == "f"):
            np.copyto(a, before)
            changed = True
    if changed:
        return " changes what it is given, in place."
    if np.any(by_u) and np.array_equal(by_u, by_w):
        return " ignores the incoming cotangent: it gives the gradient for a cotangent of ones."

    def lost():
        """What rounding inside the rule may change, as a scale for `alike`."""
        steps = [*(a for a in node.args if isinstance(a, Tensor)), node]
        up, down = (ruled(shaken(steps, 0, way)[node.order], i, u) for way in (1, -1))
        return ROUNDINGS / LINEAR * np.max(abs(up - down), initial=0)

    if not alike(by_u, ruled(node, i, u)):
        return " gives something else each time it is called, as if it drew noise of its own."
    for size in SIZES:
        expected, scale = size * (by_w - by_u), abs(size) * (abs(by_w) + abs(by_u))
        given = ruled(node, i, size * (w - u))
        if not alike(expected, given, scale) and not alike(expected, given, abs(size) * lost()):
            return f" is not linear in the cotangent: {size:g} times as much of it gives something else."
    return None


def alike(a, b, scale=None):
    """Whether two arrays are equal to rounding."""
    scale = abs(a) if scale is None else scale
    allowed = LINEAR * np.max(scale, initial=0, where=np.isfinite(scale))
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
    if finding := unsound(node, rng):
        return finding
    inputs = {i: a for i, a in enumerate(node.args) if isinstance(a, Tensor) and a.requires_grad}
    u = np.where(np.isfinite(node.data), cotangent(rng, node.shape), 0)
    steps = [*(a for a in node.args if isinstance(a, Tensor)), node]
    part = Part(steps, [node], [u], by_rules, step)
    findings = {i: look(part, [x], rng, rtol, atol)[x.order] for i, x in inputs.items()}
    found = worst(findings.values())
    if found.verdict == "KINK":  # entries that tie go on tying where all move alike
        alike = judge(part, {x.order: np.ones(x.shape) for x in inputs.values()}, rtol, atol)
        if alike.verdict == "FAIL" and np.all(u != 0):
            note = (
                f"By {' and '.join(node.op.names[i] for i in inputs)}, moved alike: {alike.note}."
            )
            return alike._replace(note=note, rule=where(node.op, next(iter(inputs))))
    if found.verdict not in FAILING:
        return found
    if not np.all(np.isfinite(node.data)):
        return Finding("NONFINITE", np.inf, "the value is not finite at some entries")
    i = next(i for i, finding in findings.items() if finding == found)
    note = f"By {node.op.names[i]}: {found.note}."
    if found.verdict == "FAIL":
        note += f" Diagnosis: {_diagnosed(node, i, rates)}."
    return found._replace(note=note, rule=where(node.op, i))


def _diagnosed(node, i, rates):
    """The diagnosis of the wrong i-th rule of a node that stands alone."""
    maps, turned = {}, {}
    for k, a in enumerate(node.args):
        if isinstance(a, Tensor) and a.dtype.kind == "f":
            name = node.op.names[k]
            maps[name] = Map(a.data, _push(node, a), partial(ruled, node, k))
            if k != i and a.ndim == 2 and a.shape[0] == a.shape[1] > 1:
                turned[name] = _push(_with(node, k, a.data.T), node.args[i])
    function, shape = maps.pop(node.op.names[i]), node.args[i].shape
    lead = (1,) * (node.ndim - len(shape)) + shape
    broadcast = len(lead) == node.ndim and all(n in (1, m) for n, m in zip(lead, node.shape))
    axes = [a for a, (n, m) in enumerate(zip(lead, node.shape)) if n != m] if broadcast else []
    return diagnose(function, rates, maps, turned, axes)


def _push(node, x):
    def push(v):
        return along([x, node], {x.order: v}).tangents.get(node.order, np.zeros(node.shape))

    return push


def _with(node, k, array):
    """The node with another array as its k-th argument."""
    args = (*node.args[:k], constant(array), *node.args[k + 1 :])
    return result(node.op, args, node.op.forward(*map(data_of, args)), node.flags)

"""The rules of one node, alone, against its forward."""

import inspect
import os

import numpy as np

from ..array import data_of
from ..engine import Tensor, constant, result, wants_gradient
from ..modes import path
from ..noise import Noise
from .diagnosis import broadcast_axes, diagnose, function_of
from .numeric import has_no_rule, is_array, largest
from .part import Part, cotangent
from .verdict import FAILING, Finding, gravity, judge, look

# Times a cotangent: a rule is linear at all sizes and signs. Powers of 2 scale without rounding.
SIZES = -1.0, 2.0**-10, 2.0**10, -(2.0**20)
ALIKE = 1e-11  # relative to the largest entry: some 1e5 roundings, for sums of many entries
ADDITIVE = 1e-9  # relative to results and cotangents: of results that cancel, rounding is left
SMALLEST = 1e-290  # what is smaller may have lost digits, as numbers below 2e-308 have

PAST = "By a plain difference: its forward takes no complex numbers here."


def check_node(node, rates, settings):
    """The Finding on the rules of one recorded node. `rates`: the drop rates in play."""
    node = alone(node)
    if drawn := source(node):
        return Finding("STOCHASTIC", np.inf, f"It changes when it is computed again, {drawn}.")
    if node.dtype.kind == "f" and node.dtype.itemsize < 8:
        note = f"Its forward makes {node.dtype} of float64: too few digits for a check."
        return Finding("FAIL", np.inf, f"{note} Keep the dtype of the arguments.")
    tensors = [a for a in node.args if isinstance(a, Tensor)]
    inputs = {i: a for i, a in enumerate(node.args) if wants_gradient(a)}
    if notes := {i: note for i in inputs if (note := unsound(node, i, settings.rng))}:
        text = ". ".join(f"The rule for {node.op.names[i]}{note}" for i, note in notes.items())
        return Finding("FAIL", np.inf, text, where(node.op, notes))
    part = Part([*tensors, node], [node], by_rules, settings)
    findings = look(part, [*inputs.values()])
    found = {i: findings[x.order] for i, x in inputs.items()}
    worst = min(found.values(), key=gravity)
    finite, wrong = np.all(np.isfinite(node.data)), [i for i in found if failed(found[i])]
    if worst.verdict == "KINK" and finite:  # entries that tie tie on where all move alike
        together = judge(part, {x.order: np.ones(x.shape) for x in inputs.values()})
        if together.verdict == "FAIL":
            names = " and ".join(node.op.names[i] for i in inputs)
            note = f"By {names}, moved alike: {together.note}."
            return together._replace(note=note, rule=where(node.op, inputs))
    if not finite and worst.verdict not in ("OK", "KINK"):
        return Finding("NONFINITE", np.inf, "the value is not finite")
    if not failed(worst):
        return worst._replace(note=worst.note + (PAST if part.plain else ""))
    notes = [f"By {node.op.names[i]}: {found[i].note}." for i in wrong]
    wrong = [i for i in wrong if found[i].verdict == "FAIL"]
    for i in wrong:
        which = f" for {node.op.names[i]}" if len(wrong) > 1 else ""
        notes.append(f"Diagnosis{which}: {_diagnosed(part, i, rates)}.")
    rule = where(node.op, wrong) if worst.verdict == "FAIL" else ""
    return worst._replace(note=" ".join(notes), rule=rule)


def failed(finding):
    return finding.verdict in FAILING


def alone(node):
    """The same node on leaves of its own. It shares its data with `node`."""
    args = tuple(constant(a.data) if isinstance(a, Tensor) else a for a in node.args)
    for leaf, a in zip(args, node.args):
        if wants_gradient(a):
            leaf.requires_grad = True
    return result(node.op, args, node.data, node.flags)


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
    axes = broadcast_axes(x.shape, np.shape(g)) if is_array(g) else None
    if axes is None:
        given = f"shape {g.shape}" if hasattr(g, "shape") else repr(g)
        raise ValueError(f"it returned {given}, the argument has shape {x.shape}")
    return np.sum(g, axis=axes).reshape(x.shape) if axes else np.asarray(g)


def source(node):
    """How a node draws by itself, so that it is another one when it is computed again, or None."""
    if isinstance(node, Noise):
        law, rngs = node.distribution, [np.random.default_rng(0) for _ in range(2)]
        if not same(*(law.draw(rng, node.shape, node.dtype) for rng in rngs)):
            return f"at the noise {law!r}, which does not draw from the generator it is given"
    elif node.args and not same(node.op.forward(*map(data_of, node.args)), node.data):
        place = f" in {path(node.scope)}" if node.scope else ""
        remedy = "Give the op its noise as an input, a Noise leaf"
        return f"at {node.op.name}{place}: its forward draws by itself. {remedy}"
    return None


def unsound(node, i, rng):
    """What makes the i-th rule of a node no rule, as the end of a sentence, or None."""
    u = cotangent(rng, node.shape)
    given = [u, node.data, *(a for a in map(data_of, node.args) if isinstance(a, np.ndarray))]
    saved = [np.array(a) for a in given]
    try:
        once = np.array(ruled(node, i, u))
        again = np.array(ruled(node, i, np.array(saved[0])))
    except Exception as error:
        return f": {type(error).__name__}: {error}"
    changed = [(a, before) for a, before in zip(given, saved) if not same(a, before)]
    for a, before in changed:
        np.copyto(a, before)
    if changed:
        return " changes what it is given, in place."
    if not alike(once, again):
        return " gives something else each time it is called, as if it drew noise of its own."
    if not np.all(np.isfinite(once)):
        return None  # there is nothing to compare, and the verdict will say so
    if not alike(0 * once, once) and alike(once, ruled(node, i, 2 * u)):
        return " ignores the incoming cotangent: it gives the gradient for a cotangent of ones."
    for size in SIZES:
        if not alike(size * once, ruled(node, i, size * u)):
            times = f"{size:g} times as much gives something else"
            return f" is not linear in the cotangent: {times}."
    others = [4 * cotangent(rng, u.shape) for _ in range(2)]
    others += [-2 * u * (rng.random(u.shape) < 0.5) for _ in range(2)]
    for w in others:
        parts = once + ruled(node, i, w)
        if largest(ruled(node, i, u + w) - parts) > ADDITIVE * max(largest(parts), largest(w)):
            return " is not linear in the cotangent: a sum gives something else than the parts."
    return None


def same(a, b):
    """Whether two values are equal, entry by entry; nan equals nan."""
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


def alike(a, b):
    """Whether two arrays are equal to rounding."""
    allowed = ALIKE * np.max(abs(a), initial=SMALLEST, where=np.isfinite(a))
    return same(a, b) or np.allclose(a, b, rtol=ALIKE, atol=allowed, equal_nan=True)


def where(op, positions):
    """Which rules those are, and where they are written."""
    found = []
    for i in positions:
        code = getattr(inspect.unwrap(op.rules[i]), "__code__", None) if op.rules[i] else None
        place = f" ({os.path.relpath(code.co_filename)}:{code.co_firstlineno})" if code else ""
        found.append(f"{op.name} for {op.names[i]}{place}")
    return " and of ".join(found)


def _diagnosed(part, i, rates):
    """The diagnosis of the wrong i-th rule of a node that stands alone."""
    (node,), others, turned = part.outputs, {}, {}
    x = node.args[i]
    for a, name in zip(node.args, node.op.names):
        if a is not x and isinstance(a, Tensor) and a.dtype.kind == "f":
            others[name] = function_of(part, a)
            if a.ndim == 2 and a.shape[0] == a.shape[1] > 1:
                there = part.again(lambda node, data, _, a=a: data.T if node is a else data)
                turned[name] = function_of(there, x).push
    pairs = zip(node.op.names, node.args)
    settings = {k: a for k, a in pairs if isinstance(a, (int, float)) and not isinstance(a, bool)}
    return diagnose(function_of(part, x), rates, others, turned, settings)

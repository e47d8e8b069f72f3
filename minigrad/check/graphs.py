"""The gradient check of a recorded graph. It needs no function, and noise stays as drawn.

Each node is checked alone. Then `compared` checks the gradients that backward adds up.
"""

import numpy as np

from ..derivatives import pulled
from ..engine import Tensor
from ..graph import copy, depending, program
from ..modes import path
from ..names import leaf_names, numbered
from .numeric import cotangent, largest
from .reports import Report, Row, progress
from .rules import alike, check_node
from .verdict import FAILING, TOO_SMALL, Finding, Settings, ruled, worst

COMPOSED = "A kink is on the way. Each rule gives a valid subgradient; together they may not."
UNTOLD = "A node on the way is too small to tell from rounding."
ENGINE = "Every rule on the way is right, so the engine's own work is wrong: sums or broadcasts."


def check(what, steps, outputs, leaves, settings):
    """{order: Finding} of the nodes and the leaves of a graph. The graph does not change.

    A copy in float64 is checked, with the noise as it was drawn. `what`: who asks.
    """
    copies, findings = copy(steps), {}
    for x in copies.values():
        x.data.flags.writeable = False  # no rule may change what it is given
        x.args = tuple(map(read_only, x.args))
    wanted = [node for node in steps if node.args and node.requires_grad]
    for node in progress(wanted, what, "nodes"):
        findings[node.order] = check_node(copies[node.order], settings)
    ends, own = ([copies[x.order] for x in tensors] for tensors in (outputs, leaves))
    seeds = [cotangent(settings.rng, y.shape) for y in ends]
    for order, finding in findings.items():
        if finding.verdict in FAILING:  # it becomes a leaf, so that no wrong rule stops backward
            copies[order].op, copies[order].args = None, ()
    by_engine = pulled(ends, seeds, own)
    right = by_rules([*copies.values()], zip(ends, seeds), own)
    for leaf, given, sums in zip(leaves, by_engine, right):
        on_way = [findings.get(node.order) for node in depending(steps, [leaf.order])]
        findings[leaf.order] = compared(given.data, sums, [*filter(None, on_way)])
    return findings


def read_only(x):
    return np.broadcast_to(x, x.shape) if isinstance(x, np.ndarray) else x


def by_rules(steps, seeds, leaves):
    """The gradients that the rules give, added up one by one.

    No sum begins with zeros, so that arrays have the same layout in memory as in backward. In
    another layout NumPy rounds sums in another way, and some gradients are nothing but rounding.
    """
    wanted = [leaf.order for leaf in leaves]
    reached, gradients = {*wanted, *(node.order for node in depending(steps, wanted))}, {}

    def add(x, g):
        gradients[x.order] = gradients[x.order] + g if x.order in gradients else g

    for y, u in seeds:
        add(y, u)
    for node in (node for node in reversed(steps) if node.order in gradients):
        for i, a in enumerate(node.args):
            if isinstance(a, Tensor) and a.order in reached and node.op.rules[i]:
                add(a, ruled(node, i, gradients[node.order]))
    return [gradients.get(leaf.order, np.zeros(leaf.shape)) for leaf in leaves]


def compared(given, right, on_way):
    """The Finding on a leaf: its gradient `given` by backward, against `right`, from `by_rules`.

    on_way  the Findings on the nodes between the leaf and the outputs
    """
    gravest = worst(on_way).verdict
    if gravest in FAILING:
        return Finding("AFFECTED", np.nan)
    if not np.all(np.isfinite(given)):
        return Finding("NONFINITE", np.inf, "its gradient is not finite")
    error = largest(given - right) / (largest(right) or 1.0)
    if not alike(right, given):
        index = np.unravel_index(np.argmax(abs(given - right)), given.shape)
        sides = f"backward gave {given[index]:.10g}, the rules give {right[index]:.10g}"
        return Finding("FAIL", error, f"{ENGINE} At entry {tuple(map(int, index))} {sides}.")
    if gravest == "KINK":
        return Finding("KINK", error, COMPOSED)
    if not np.any(given):
        return Finding("VACUOUS")
    if any(found.note == TOO_SMALL for found in on_way):
        return Finding("VACUOUS", note=UNTOLD)
    return Finding("OK", error)


@np.errstate(all="ignore")  # the report says what is not finite
def check_graph(loss: Tensor, seed=0) -> Report:
    """Checks the recorded graph of `loss`: each node's own rules, and each leaf's whole gradient.

    Returns a Report. Noise stays as drawn, and the graph does not change: a copy in float64 is
    checked. Each rule is compared with the complex step of its node's forward, along a random
    direction with a random cotangent, which `seed` chooses. Then the gradients that backward gives
    are compared with a plain walk back through the rules.

    Raises TypeError if `loss` is not a Tensor, RuntimeError for a freed graph, and for one without
    a leaf that requires a gradient.
    """
    steps = program("check_graph", loss)
    leaves = [node for node in steps if node.is_leaf and node.requires_grad]
    if not leaves:
        hint = "(was it recorded under no_grad()?)"
        raise RuntimeError(f"check_graph: no leaf of this graph has requires_grad=True {hint}.")
    names = {n.order: ".".join(filter(None, [path(n.scope), n.op.name])) for n in steps if n.args}
    names = {loss.order: loss.name or "parameter"} | numbered(names) | leaf_names(steps)
    found = check("check_graph", steps, [loss], leaves, Settings(np.random.default_rng(seed)))
    tensors, rows = {node.order: node for node in steps}, []
    for order, (verdict, error, note, rule, *_) in found.items():
        node = tensors[order]
        op = node.op.name if node.args else "leaf"
        rows.append(Row(names[order], op, node.shape, order, verdict, float(error), note, rule))
    return Report(rows)

"""The gradient check of a recorded graph. It needs no function, and noise stays as drawn.

Each node is checked alone. Then `compared` checks the gradients that backward adds up.
"""

import numpy as np

from ..derivatives import pulled
from ..engine import Tensor
from ..graph import copy, depending, nodes, program
from ..modes import path
from ..names import leaf_names, numbered
from .numeric import cotangent, largest
from .reports import Report, Row, progress
from .rules import alike, check_node
from .verdict import FAILING, TOO_SMALL, Finding, Settings, ruled, worst

COMPOSED = "A kink is on the way. Each rule gives a valid subgradient; together they may not."
UNTOLD = "A node on the way is too small to tell from rounding."
ENGINE = "Every rule on the way is right, so the engine's own work is wrong: sums or broadcasts."


def check(what, outputs, leaves, settings):
    """The Report on the graph of `outputs`, which does not change.

    A copy in float64 is checked, with the noise as it was drawn. `what`: the caller's name.
    """
    steps, findings = nodes([*outputs, *leaves]), {}
    copies = copy(steps)
    for x in copies.values():  # no rule may change what it is given
        x.data, x.args = read_only(x.data), tuple(map(read_only, x.args))
    for node in progress([x for x in steps if x.args and x.requires_grad], what, "nodes"):
        alone = copies[node.order]
        findings[node] = check_node(alone, settings)
        if findings[node].verdict in FAILING:  # it becomes a leaf: no wrong rule stops backward
            alone.op, alone.args = None, ()
    seeds = {copies[y.order]: cotangent(settings.rng, y.shape) for y in outputs}
    own = [copies[x.order] for x in leaves]
    given = pulled([*seeds], [*seeds.values()], own)
    right = by_rules([*copies.values()], seeds, own)
    for leaf, x, g in zip(leaves, own, given):
        on_way = [findings[y] for y in depending(steps, [leaf.order]) if y in findings]
        findings[leaf] = compared(g.data, right.get(x, np.zeros(x.shape)), on_way)
    names = {x.order: ".".join(filter(None, [path(x.scope), x.op.name])) for x in steps if x.args}
    names, rows = numbered(names) | leaf_names(steps), []
    for x, found in findings.items():
        name = names.get(x.order, x.name or "parameter")  # of a leaf that no op takes
        op = "leaf" if x.is_leaf else x.op.name
        rows.append(Row(name, op, x.shape, x.order, *found[:4]))
    return Report(rows)


def read_only(x):
    return np.broadcast_to(x, x.shape) if isinstance(x, np.ndarray) else x


def by_rules(steps, seeds, leaves):
    """{tensor: gradient}: what the rules give, added up one by one, back from the seeds.

    No sum begins with zeros, so that arrays have the same layout in memory as in backward. In
    another layout NumPy rounds sums in another way, and some gradients are nothing but rounding.
    """
    gradients, reached = dict(seeds), {*leaves, *depending(steps, [x.order for x in leaves])}
    for node in reversed(steps):
        for i, x in enumerate(node.args if node in gradients else ()):
            if isinstance(x, Tensor) and x in reached and node.op.rules[i]:
                g = ruled(node, i, gradients[node])
                gradients[x] = gradients[x] + g if x in gradients else g
    return gradients


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
    untold = UNTOLD if any(found.note == TOO_SMALL for found in on_way) else ""
    if untold or not np.any(given):
        return Finding("VACUOUS", note=untold)
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
    return check("check_graph", [loss], leaves, Settings(np.random.default_rng(seed)))

"""The gradient check of a recorded graph: no function needed, noise as drawn."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..array import data_of
from ..engine import Tensor, grad
from ..graph import copy, depending, evaluate, program
from ..modes import path
from ..names import leaf_names, numbered
from ..tables import aligned
from .diagnosis import diagnose, rates
from .slopes import (
    FAILING,
    SEVERITY,
    Finding,
    Map,
    between_ties,
    direction,
    in_directions,
    is_analytic,
    with_argument,
    worst,
)

DIRECTIONS = 3  # random ones, for each input


@dataclass
class Row:
    """One line of a report: a node whose rules were checked, or a leaf whose whole gradient was."""

    name: str  # as in a picture; equal names are numbered
    op: str
    module: str
    shape: tuple
    error: float
    verdict: str
    order: int  # of the Tensor in the checked graph
    note: str = ""  # what was seen, where it is not simply right

    severity = property(lambda self: SEVERITY.index(self.verdict))  # 0 is worst
    wrong = property(lambda self: self.verdict in FAILING)
    passed = property(lambda self: self.verdict in ("OK", "KINK"))


@dataclass
class Report:
    """What check_graph found. True if nothing failed; printed, a table."""

    rows: list

    def __bool__(self):
        tested = any(row.op == "leaf" and row.passed for row in self.rows)
        return tested and not any(row.wrong or row.verdict == "AFFECTED" for row in self.rows)

    @property
    def first_wrong(self):
        """The row of the first node whose own rule is wrong, or None."""
        return next((row for row in self.rows if row.wrong), None)

    def verdict(self):
        """One line."""
        if wrong := self.first_wrong:
            how = f", relative error {wrong.error:.2g}" if np.isfinite(wrong.error) else ""
            return f"gradient check FAILED: the first wrong node is {wrong.name}{how}"
        if not self:
            return "gradient check VACUOUS: every gradient is 0, or too small to tell from rounding: nothing was tested"
        tested = Counter(row.op == "leaf" for row in self.rows if row.passed)
        silent = len(self.rows) - tested.total()
        words = f"{tested[False]} nodes and {tested[True]} leaves" + f", {silent} VACUOUS" * bool(
            silent
        )
        return f"gradient check passed: {words}, largest relative error {max(row.error for row in self.rows):.1g}"

    def __str__(self):
        rows = [
            ("node or leaf", "shape", "error", "verdict"),
            *((r.name, str(r.shape), f"{r.error:.1e}", r.verdict) for r in self.rows),
        ]
        return "\n".join(
            [*aligned(rows), *(f"{r.name}: {r.note}" for r in self.rows if r.note), self.verdict()]
        )


@np.errstate(all="ignore")  # what is not finite is reported, once
def check_graph(loss, seed=0):
    """Checks the recorded graph of `loss`: each node's own rules, and the whole gradient of each leaf, noise as drawn.

    No function is needed, and nothing of the graph changes. Each rule is compared along random directions with random
    cotangents, against the node's forward; each leaf's gradient along random directions, against the loss run again. A random
    direction misses a wrong entry with probability zero, and its cost does not grow with the number of entries.
    """
    steps = program("check_graph", loss)
    leaves = [node for node in steps if node.is_leaf and node.requires_grad]
    if not leaves:
        raise RuntimeError(
            "check_graph: no leaf of this graph has requires_grad=True (was it recorded under no_grad()?)."
        )
    copies = copy(steps)
    rng, drop = np.random.default_rng(seed), rates(steps)
    names = numbered(
        {
            node.order: ".".join(filter(None, [path(node.scope), node.op.name]))
            for node in steps
            if node.args
        }
    )
    names = (
        {loss.order: loss.name or "parameter"} | names | leaf_names(steps)
    )  # if the loss is a leaf

    def row(node, finding):
        shown = finding.note if finding.verdict not in ("OK", "VACUOUS") else ""
        op, module = (node.op.name, path(node.scope)) if node.args else ("leaf", "")
        return Row(
            names[node.order],
            op,
            module,
            node.shape,
            float(finding.error),
            finding.verdict,
            node.order,
            shown,
        )

    rows = [
        row(node, _check_node(copies[node.order], rng, drop))
        for node in steps
        if node.args and node.requires_grad
    ]
    wrong = {r.order for r in rows if r.wrong}
    analytic = {node.order for node in copies.values() if node.args and is_analytic(node)}
    own, root, u = list(copies.values()), copies[loss.order], direction(rng, loss.shape)
    try:
        gradients = grad(
            root, [copies[leaf.order] for leaf in leaves], u, retain_graph=True, allow_unused=True
        )
    except Exception:
        if not wrong:
            raise
        return Report(
            [*rows, *(row(leaf, Finding("AFFECTED", np.inf)) for leaf in leaves)]
        )  # by a rule that the engine cannot take either
    for leaf, gradient in zip(leaves, gradients):
        gradient = np.zeros(leaf.shape) if gradient is None else gradient.data
        exact = all(node.order in analytic for node in depending(own, [copies[leaf.order].order]))
        finding = _check_leaf(own, root, u, copies[leaf.order], gradient, exact, rng, drop)
        if finding.verdict in FAILING and wrong & {
            node.order for node in depending(steps, [leaf.order])
        }:
            finding = finding._replace(verdict="AFFECTED", note="")
        rows.append(row(leaf, finding))
    return Report(rows)


def _check_node(node, rng, rates):
    """The rules of one node against its forward."""
    arrays = [data_of(a) for a in node.args]
    if not np.array_equal(node.op.forward(*arrays), node.data, equal_nan=True):
        return Finding(
            "STOCHASTIC",
            np.inf,
            "Its forward draws by itself. Give the op its noise as an input, a Noise leaf.",
        )
    maps = {}
    for i, x in enumerate(node.args):
        if isinstance(x, Tensor) and x.requires_grad:
            forward = partial(with_argument, node.op.forward, arrays, i)
            rule = node.op.rules[i] or (
                lambda *_, shape=x.shape: np.zeros(shape)
            )  # none: it claims that nothing comes of x
            maps[node.op.names[i]] = Map(
                x.data, forward, partial(_ruled, rule, node.data, arrays, x.shape), forward
            )

    def moved(replaced):
        return node.op.forward(*(replaced.get(node.op.names[i], a) for i, a in enumerate(arrays)))

    u = direction(rng, node.shape)
    given = (u, node.data, *arrays)
    saved = [np.array(a) for a in given]
    for name, m in maps.items():
        try:
            m.pull(u)
        except Exception as error:
            return Finding("FAIL", np.inf, f"The rule for {name}: {type(error).__name__}: {error}")
        if not all(
            np.array_equal(a, b, equal_nan=b.dtype.kind == "f") for a, b in zip(given, saved)
        ):
            return Finding(
                "FAIL", np.inf, f"The rule for {name} changes what it is given, in place."
            )
    findings = {
        name: worst(in_directions(partial(m.compare, u=u), m.x, rng, DIRECTIONS))
        for name, m in maps.items()
    }
    if wrong := between_ties(maps, findings, moved, u=u):
        return wrong[0]._replace(note=f"By {' and '.join(maps)}, moved alike: {wrong[0].note}.")
    found = worst(findings.values())
    if found.verdict not in FAILING and (
        crooked := [name for name, m in maps.items() if not m.is_linear(u, m.pull(u))]
    ):
        return Finding("FAIL", np.inf, f"The rule for {crooked[0]} is not linear in the cotangent.")
    if found.verdict != "FAIL":
        return found
    name = next(name for name, finding in findings.items() if finding == found)
    others = {n: m for n, m in maps.items() if n != name}
    return found._replace(
        note=f"By {name}: {found.note}. Diagnosis: {diagnose(maps[name], rates, others)}."
    )


def _ruled(rule, out, arrays, shape, u):
    """The rule's cotangent, summed over what was broadcast by NumPy's own rule: the engine's way is not trusted here."""
    g = rule(u, out, *arrays)
    if np.shape(g) == shape:
        return g
    lead = np.ndim(g) - len(shape)
    if (
        not isinstance(g, (np.ndarray, np.generic))
        or lead < 0
        or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:]))
    ):
        raise ValueError(
            f"it returned {f'shape {g.shape}' if hasattr(g, 'shape') else repr(g)}, the argument has shape {shape}"
        )
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1)
    return np.sum(g, axis=axes, keepdims=True).reshape(shape)


def _check_leaf(steps, root, u, leaf, gradient, exact, rng, rates):
    """The `gradient` of sum(u * root) by `leaf`, from the engine's backward, against the graph run again."""

    def forward(array):
        return np.sum(u * evaluate(steps, {leaf.order: array})[root.order])

    def pull(w):
        (found,) = grad(root, [leaf], u, retain_graph=True, allow_unused=True)
        return np.zeros(leaf.shape) if found is None else w * found.data

    def compare(v):
        """At a kink of several ops together the derivative need not lie between the one-sided slopes, though each op's does."""
        found = whole.compare(v, np.ones(()), gradient)
        return found._replace(verdict="KINK", error=0.0) if found.doubtful == "kink" else found

    if not np.isfinite(root.data).all():
        return Finding("NONFINITE", np.inf, "The root of the graph is not finite.")
    whole = Map(leaf.data, forward, pull, forward if exact else None)
    found = worst(in_directions(compare, leaf.data, rng, DIRECTIONS))
    if found.verdict != "FAIL":
        return found
    note = "Every rule on the way is right. So the engine's own work is wrong, adding up or undoing broadcasts, unless rounding hides the truth."
    return found._replace(note=f"{note} {found.note}. Diagnosis: {diagnose(whole, rates)}.")

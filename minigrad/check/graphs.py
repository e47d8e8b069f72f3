"""The gradient check of a recorded graph: no function needed, noise as drawn."""

import numpy as np

from ..engine import Tensor, grad
from ..graph import copy, depending, program
from ..modes import path
from ..names import leaf_names, numbered
from .diagnosis import diagnose, function_of, rates
from .part import Part, Settings
from .reports import Report, Row, progress
from .rules import check_node, ruled_nodes
from .verdict import FAILING, Finding, look

COMPOSED = "At a kink on the way: of valid subgradients the composition need not be one."
ENGINE = "Every rule on the way is right, so the engine's own work is wrong: sums or broadcasts."


class Checks:
    """The checks of a recorded graph: each node's own rules, and each leaf's whole gradient.

    A copy of the graph in float64 is checked, with the noise as it was drawn.

    steps, outputs  the graph, oldest first, and its results
    leaves          whose gradients are checked
    what            who asks, for the progress

    findings        {order in the given graph: Finding} of the nodes and of the leaves
    part            the copy of the graph as a Part, None if a wrong rule left no gradients
    """

    def __init__(self, what, steps, outputs, leaves, settings):
        self.copies, self.findings, self.part = copy(steps), {}, None
        self.rates = rates(steps)
        for node in progress(ruled_nodes(steps), what, "nodes"):
            finding = check_node(self.copies[node.order], self.rates, settings)
            self.findings[node.order] = finding
        wrong = {order for order, f in self.findings.items() if f.verdict in FAILING}
        own = [self.copies[leaf.order] for leaf in leaves]
        looked = {}
        try:
            ends = [self.copies[y.order] for y in outputs]
            self.part = Part([*self.copies.values()], ends, by_engine, settings)
            looked = look(self.part, own)
        except Exception:
            if not wrong:  # else a rule is to blame that the engine cannot take either
                raise
        for leaf, x in zip(leaves, own):
            finding = looked.get(x.order, Finding("AFFECTED", np.inf))
            if finding.verdict in FAILING:
                behind = {node.order for node in depending(steps, [leaf.order])}
                finding = self._explained(finding, x, bool(wrong & behind))
            self.findings[leaf.order] = finding

    def _explained(self, finding, x, affected):
        """The Finding on a leaf that fails, by a wrong node, a kink or the engine."""
        if affected:
            return finding._replace(verdict="AFFECTED")
        if finding.verdict != "FAIL":
            return finding
        if finding.kinked:
            return finding._replace(verdict="KINK", error=0.0, note=COMPOSED)
        text = diagnose(function_of(self.part, x), self.rates)
        return finding._replace(note=f"{ENGINE} {finding.note}. Diagnosis: {text}.")


def by_engine(outputs, cotangents, tensors):
    """The gradients that backward gives; 0 by what it does not reach."""
    recorded = [(y, u) for y, u in zip(outputs, cotangents) if y.requires_grad]
    found = [None] * len(tensors)
    if recorded and tensors:
        ys, us = zip(*recorded)
        found = grad(ys, tensors, us, retain_graph=True, allow_unused=True)
    return {x.order: np.zeros(x.shape) if g is None else g.data for x, g in zip(tensors, found)}


@np.errstate(all="ignore")  # what is not finite is reported, once
def check_graph(loss: Tensor, seed=0) -> Report:
    """Checks the recorded graph of `loss`: each node's own rules, and each leaf's whole gradient.

    Returns a Report. Noise stays as drawn, and nothing of the graph changes: a copy in float64 is
    checked. Each rule is compared with the complex step of its node's forward, along a random
    direction with a random cotangent. The gradients that backward gives are compared with the
    complex step of the whole graph, along a random direction of all leaves together. A random
    direction misses a wrong entry with probability zero. `seed` chooses the directions.

    Raises RuntimeError for a freed graph, and for one without a leaf that requires a gradient.
    """
    steps = program("check_graph", loss)
    leaves = [node for node in steps if node.is_leaf and node.requires_grad]
    if not leaves:
        hint = "(was it recorded under no_grad()?)"
        raise RuntimeError(f"check_graph: no leaf of this graph has requires_grad=True {hint}.")
    names = {n.order: ".".join(filter(None, [path(n.scope), n.op.name])) for n in steps if n.args}
    names = {loss.order: loss.name or "parameter"} | numbered(names) | leaf_names(steps)
    checks = Checks("check_graph", steps, [loss], leaves, Settings(np.random.default_rng(seed)))
    rows = []
    for node in [*ruled_nodes(steps), *leaves]:
        found = checks.findings[node.order]
        op, module = (node.op.name, path(node.scope)) if node.args else ("leaf", "")
        note = "" if found.verdict == "AFFECTED" else found.note
        what = names[node.order], op, module, node.shape, float(found.error), found.verdict
        rows.append(Row(*what, node.order, note, found.rule))
    return Report(rows)

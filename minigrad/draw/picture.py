"""Pictures of graphs: `draw(loss)`.

Three steps, each with one job. boxes.py decides what becomes one node; `read` here looks into the tensors and writes plain
records of nodes and edges; dot.py turns records into text, which a Graphviz program lays out (render.py). No tensor is
changed or kept, and nothing is computed anew but for `grads="run"` and `backward=True`.
"""

import inspect
import math
import os
import re
import textwrap
from collections import Counter, deque
from typing import NamedTuple

import numpy as np

from ..engine import Noise, Tensor, data_of, grad
from ..graph import nodes as nodes_of
from ..graph import program
from ..ledger import name_of, summands
from .boxes import boxes_of, fold, is_number, module_text, name
from .dot import BACKWARD, FORWARD, PENALTIES, WIDEST, Edge, Group, Node, Row, dot, short, text

LIMIT = 400  # nodes drawn at most
PARAMETERS = "parameter", "frozen"  # kinds
TERMS = 8  # of a loss shown at most
LEGEND_FROM = 6  # nodes
MANY = 6  # edges into penalties; more are shown as a chip that names the weights
CHIP_NAMES = 3  # of weights named in a chip
REASONS = 6  # lines of what is wrong
RULE_LINES = 16  # of the source of a rule shown at most

SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}
ORDERED = {"subtract", "divide", "power", "matmul", "where", "concatenate", "stack", "einsum"}  # their arguments cannot be swapped
GRAVEST = ["FAIL", "NONFINITE", "STOCHASTIC", "AFFECTED", "VACUOUS", "KINK", "OK"]  # verdicts, worst first
WRONG, PASSED = GRAVEST[:3], ("KINK", "OK")


class Picture(NamedTuple):
    """All that is drawn, as records."""

    nodes: list
    edges: list
    heading: Row
    title: str
    direction: str
    legend: bool
    compact: bool

    def dot(self):
        return dot(self.nodes, self.edges, self.direction, self.title, self.heading, self.legend, self.compact)

    def text(self):
        return text(self.nodes, self.edges, self.title, self.heading)


def read(
    root,
    *,
    direction="TB",
    depth="auto",
    detail="auto",
    max_nodes=60,
    values=True,
    grads=True,
    shapes=True,
    attributes=True,
    constants=False,
    noise=False,
    names=None,
    checks=None,
    legend="auto",
    backward=False,
    title=None,
    limit=LIMIT,
    chips=True,
):
    """The Picture of the graph of `root`. Options as for `draw`; `chips`: whether many edges into penalties become one."""
    roots = list(root) if isinstance(root, (list, tuple)) else [root]
    if not all(isinstance(r, Tensor) for r in roots):
        raise TypeError(f"draw: the root is a Tensor or a list of Tensors, not {type(root).__name__}.")
    if direction not in ("TB", "LR", "BT", "RL"):
        raise ValueError(f'draw: direction is "TB", "LR", "BT" or "RL", not {direction!r}.')
    if detail not in ("full", "compact", "auto"):
        raise ValueError(f'draw: detail is "full", "compact" or "auto", not {detail!r}.')
    if depth not in ("auto", None) and not (isinstance(depth, int) and depth >= 0):
        raise ValueError(f'draw: depth is "auto", None (all modules open) or a whole number from 0 on, not {depth!r}.')
    shown = {"values": values, "grads": grads, "shapes": shapes, "attributes": attributes, "constants": constants}
    reader = _Reader(roots, {what for what, wanted in shown.items() if wanted}, noise, names or {}, backward)
    reader.take_checks(checks)
    reader.take_gradients(grads == "run")
    nodes, edges, opened = reader.records(depth, max_nodes, limit, chips)
    _unbox(nodes)
    if not backward:  # Graphviz cannot always rank both (its error: trouble in init_rank)
        _stand_beside(nodes, edges)
    compact = detail == "compact" or (detail == "auto" and len(nodes) > max_nodes)
    legend = len(nodes) >= LEGEND_FROM if legend == "auto" else legend
    return Picture(nodes, edges, reader.heading(opened), title, direction, legend, compact)


def describe(root, *, depth=None, **options):
    """The graph of `root`, a Tensor or a list of them, as records: (nodes, edges), oldest first, each edge its own. Options as for `draw`."""
    picture = read(root, depth=depth, chips=False, **options)
    return picture.nodes, picture.edges


class _Reader:
    """Looks into the tensors of one graph, each once, and writes records. Lives only inside `read`."""

    def __init__(self, roots, shown, noise, names, backward):
        self.shown, self.noise, self.roots = shown, noise, roots
        leaves, gradients = [], []
        if backward:
            leaves, gradients = _backward_graph(roots)
        graph, forward = nodes_of([*roots, *gradients]), {t.order for t in nodes_of(roots)}
        self.boxes, self.home = boxes_of(graph, {r.order for r in [*roots, *gradients]}, "constants" in shown, noise)
        name(self.boxes, names)
        self.users = Counter(use.value.order for box in self.boxes.values() for use in box.uses if isinstance(use.value, Tensor))
        self.derivatives = {}  # key -> the leaf it is the gradient of
        for leaf, gradient in zip(leaves, gradients):
            self.derivatives[self.home[gradient.order]] = self.home[leaf.order]
        if backward:
            for box in self.boxes.values():
                is_forward = box.key in forward or not isinstance(box.last, Tensor)
                box.part = FORWARD if is_forward else BACKWARD
                box.random = box.random and is_forward
                if box.is_leaf and not is_forward:
                    box.name = "constant"  # of the rules
        self.terms = {self.home[r.order]: _terms(r, self.boxes, self.home) for r in roots}  # of each root
        self.checks, self.report, self.gradients = {}, None, {}
        self.groups, self.inner, self.rules, self.known, self.seen = {}, {}, {}, {}, set()

    def take_checks(self, report):
        """Takes the verdicts of a Report: {key of a box: its rows, gravest first}."""
        if report is None:
            return
        if not hasattr(report, "rows"):
            raise TypeError(f"draw: checks is what check_graph(loss) returns, not {type(report).__name__}.")
        for row in report.rows:
            if row.order in self.home:
                self.checks.setdefault(self.home[row.order], []).append(row)
        if not self.checks:
            raise ValueError("draw: checks is the report of another graph. Check and draw the same loss, with no forward pass between.")
        for rows in self.checks.values():
            rows.sort(key=lambda row: GRAVEST.index(row.verdict))
        self.report = report

    def take_gradients(self, run):
        """Takes the gradients there are; `run`: all of them, from a backward pass that leaves no trace."""
        graph = [t for box in self.boxes.values() for t in box.members if isinstance(t, Tensor)]
        self.gradients = {t.order: t.grad.data for t in graph if t.grad is not None}
        if run:
            wanted = [t for t in graph if t.requires_grad]
            _differentiable(self.roots, 'draw with grads="run"')
            found = grad(self.roots, wanted, retain_graph=True, allow_unused=True)
            self.gradients = {t.order: g.data for t, g in zip(wanted, found) if g is not None}
        results = [t for t in graph if t.requires_grad and not t.is_leaf]
        known = sum(t.order in self.gradients for t in results)
        self.all_known = known >= len(results) - len(self.roots)  # else thick lines among others would mislead

    # ---- records

    def records(self, depth, max_nodes, limit, chips):
        """(nodes, edges, how deep modules are opened)."""
        failed = {key for key, rows in self.checks.items() if rows[0].verdict in WRONG}
        starts = [self.home[r.order] for r in self.roots] + list(self.derivatives)
        boxes, opened = fold(self.boxes, depth, max_nodes, failed.union(starts), self.name_of)
        drawn = {box.key: key for key, card in boxes.items() for box in card.inside or [card]}
        kept = _nearest(boxes, [drawn[key] for key in starts], limit)
        ids = {key: f"n{i}" for i, key in enumerate(key for key in boxes if key in kept)}
        nodes = [self.node(id, boxes[key]) for key, id in ids.items()]
        edges = [edge for key in ids for edge in self.edges(boxes, key, ids)]
        if len(kept) < len(boxes):
            nodes.insert(0, Node("more", "more", f"{len(boxes) - len(kept):,} more", []))
        if chips and sum(edge.style == "penalty" for edge in edges) > MANY:
            nodes, edges = self.with_chips(nodes, edges, boxes, ids)
        return nodes, edges, opened

    def heading(self, opened):
        """The line above the picture."""
        boxes = [box for box in self.boxes.values() if box.kind in PARAMETERS]
        words = [_count(len(self.boxes), "node")]
        words += [_count(sum(box.last.size for box in boxes), "parameter")] * bool(boxes)
        words += [f"modules opened to depth {opened}" if opened else "modules folded"] * (opened is not None)
        failed = False
        if self.report is not None:
            passed, total = sum(row.verdict in PASSED for row in self.report.rows), len(self.report.rows)
            words.append(f"gradient check: {passed:,} of {total:,} passed")
            failed = any(row.verdict in (*WRONG, "AFFECTED") for row in self.report.rows)
            wrong = next((rows[0] for rows in self.checks.values() if rows[0].verdict in WRONG), None)
            words += [f"first wrong: {self.path(self.boxes[self.home[wrong.order]])}"] if wrong else []
        return Row(", ".join(words), "alarm" if failed else "caption")

    def node(self, id, box):
        is_root = any(inner.key in self.terms for inner in box.inside or [box])
        kind = "root" if is_root and box.kind in ("operation", "loss") else box.kind
        if box.key in self.derivatives:
            kind = "derivative"
        rows = self.card_rows(box) if box.inside else self.rows(box)
        if "values" in self.shown:
            for inner in [b for b in box.inside if b.key in self.terms] or [box]:
                rows += _term_rows(inner.key, self.boxes, self.terms)
        rows += self.verdict_rows(box)
        scope = self.scope(box.modules) or (PENALTIES,) * (kind == "penalty" and not is_root)
        scope = (box.part,) * (box.part is not None) + scope
        holds = tuple(getattr(x, "order", inner.key) for inner in box.inside or [box] for x in inner.members)
        return Node(id, kind, self.title(box), rows, scope, is_root, tooltip=self.tooltip(box), holds=holds)

    # ---- names and places

    def title(self, box):
        if box.owner is not None:
            return ": ".join(filter(None, [box.prefix, short(module_text(box.owner), 60)]))
        if box.times > 1:
            return f"{short(', '.join(box.pattern), 60)} x{box.times:,}"
        if box.inside:
            return f"{_count(len(box.inside), 'node')}: {short(', '.join(box.pattern), 60)}"
        if box.key in self.derivatives:
            return f"∂ {self.path(self.boxes[self.derivatives[box.key]])}"
        title = "loss" if self.terms.get(box.key) and not box.name else _title(box)
        return f"{box.prefix}: {title}" if box.prefix else title

    def path(self, box, below=0):
        """Where a box lies and what it is called, as in `encoder.fc1.weight`; without the outermost modules `below`."""
        modules = box.modules
        names = [self.name_of(modules[i - 1] if i else None, modules[i]) for i in range(below, len(modules))]
        return ".".join(filter(None, [*names, box.prefix, _title(box)]))

    def name_of(self, outer, inner):
        """What a module calls another inside it."""
        if outer is None:
            return ""
        if id(outer) not in self.inner:
            self.inner[id(outer)] = {id(module): short(name) for name, module in outer.named_modules()}
        return self.inner[id(outer)].get(id(inner), "")

    def scope(self, modules):
        """The Groups of nested modules."""
        path = ()
        for depth, module in enumerate(modules):
            key = tuple(map(id, modules[: depth + 1]))
            if key not in self.groups:
                label = self.name_of(modules[depth - 1] if depth else None, module)
                count = sum(p.size for p in module.parameters())
                self.groups[key] = Group(len(self.groups), label, short(module_text(module), 60), count)
            path += (self.groups[key],)
        return path

    # ---- rows

    def rows(self, box):
        """What stands in the node of a leaf or a result."""
        x = box.last
        if box.kind == "constant":
            return []
        data = data_of(x)
        rows = [Row(str(data.shape), "shape")] if data.shape and "shapes" in self.shown else []
        rows += [Row(line, "attribute") for line in _attributes(box, "constants" in self.shown)] if "attributes" in self.shown else []
        if isinstance(x, Tensor) and x.args is None:
            rows += [Row(line, "note") for line in ("graph freed by backward(): draw before it,", "or use backward(retain_graph=True)")]
        if "values" in self.shown:
            rows.append(_value_row(self.numbers(data)))
        if "grads" in self.shown and isinstance(x, Tensor) and x.requires_grad:
            if x.order in self.gradients:
                rows.append(_gradient_row(self.numbers(self.gradients[x.order])))
            elif x.is_leaf and box.part is None:
                rows.append(Row("∂ not computed", "missing"))
        return rows

    def card_rows(self, box):
        """What stands in the card of a module or a run: what is inside, what comes out, what is wrong."""
        inside, data = box.inside, data_of(box.last)
        parameters = [b for b in inside if b.kind in PARAMETERS]
        counts = [_count(len(inside), "node")] + [_count(sum(b.last.size for b in parameters), "parameter")] * bool(parameters)
        rows = [Row(", ".join(counts), "attribute")]
        if box.owner is not None and not parameters and id(box.owner) in self.seen:
            rows = [Row(f"{counts[0]}, the same parameters again", "attribute")]
        self.seen.add(id(box.owner))
        if box.labels:
            rows.insert(0, Row(f"{box.labels[0]} to {box.labels[-1]}", "attribute"))
        random = Counter(" ".join([_title(b), *_attributes(b, False)]) for b in inside if b.kind == "random")
        rows += [Row(short(line + f" x{n}" * (n > 1), 60), "attribute") for line, n in random.items()] if "attributes" in self.shown else []
        rows += [Row(f"out {data.shape}", "shape")] if "shapes" in self.shown else []
        if "values" in self.shown:
            rows.append(_value_row(self.numbers(data)))
            bad = [b for b in inside if b is not inside[-1] and not _all_finite(data_of(b.last))]
            rows += [Row(f"nan/inf in {_count(len(bad), 'node')}, first {short(self.path(bad[0], _below(box)))}", "band")] if bad else []
        trained = [b for b in parameters if b.kind == "parameter"]
        if "grads" in self.shown and trained:
            rows += self.gradient_range(box, trained)
        return rows

    def gradient_range(self, box, trained):
        found = {b.key: self.numbers(self.gradients[b.last.order]) for b in trained if b.last.order in self.gradients}
        if not found:
            return [Row("∂ not computed", "missing")]
        sizes = sorted(numbers.rms for numbers in found.values() if not numbers.bad)
        rows = []
        if sizes:
            same = f"{sizes[0]:.2g}" == f"{sizes[-1]:.2g}"
            rows.append(Row(f"∂ rms {sizes[0]:.2g}" if same else f"∂ rms {sizes[0]:.2g} to {sizes[-1]:.2g}", "gradient"))
        for words, wrong, role in (("∂ nan/inf", lambda n: n.bad, "band"), ("∂ all zero", lambda n: n.size and n.low == n.high == 0, "alarm")):
            names = [self.path(b, _below(box)) for b in trained if b.key in found and wrong(found[b.key])]
            rows += [Row(f"{words}: {short(', '.join(names[:2]))}" + f" and {len(names) - 2} more" * (len(names) > 2), role)] if names else []
        return rows

    def verdict_rows(self, box):
        """The gradient check of a node; of a card how many passed, and what did not."""
        if not box.inside:
            return _verdict_rows(self.checks[box.key][0]) if box.key in self.checks else []
        checked = [(b, self.checks[b.key][0]) for b in box.inside if b.key in self.checks]
        if not checked:
            return []
        rows = []
        for verdict in GRAVEST[:5]:
            found = [(b, row) for b, row in checked if row.verdict == verdict]
            if found and verdict in WRONG:
                words = {"FAIL": "FAILED", "NONFINITE": "NOT FINITE"}.get(verdict, verdict)
                rows.append(Row(f"{len(found)} GRAD CHECK {words}", "band"))
                rows += [Row(f"{short(self.path(b, _below(box)))}  {row.error:.2g}", "alarm") for b, row in found[:3]]
                rows += [Row(f"and {len(found) - 3} more", "alarm")] * (len(found) > 3)
            elif found:
                rows.append(Row(f"{len(found)} {verdict}", "alarm" if verdict == "AFFECTED" else "missing"))
        passed = sum(row.verdict in PASSED for _, row in checked)
        return [*rows, Row(f"grad ok: {passed:,} of {len(checked):,}", "ok")] if passed else rows

    def numbers(self, array):
        """The statistics of an array, computed once."""
        if id(array) not in self.known:
            self.known[id(array)] = array, _numbers(array)  # the array is kept, so that its id stays its own
        return self.known[id(array)][1]

    # ---- tooltips

    def tooltip(self, box):
        """Everything there is to know, in full precision."""
        if box.kind == "constant":
            return _text(box.last)
        x, data = box.last, data_of(box.last)
        lines = [self.path(box) if not box.inside else self.title(box)]
        lines.append(f"{'output' if box.inside else box.word if not box.is_leaf else box.kind} {data.shape} {data.dtype}")
        if box.inside:
            words = Counter(_title(b) for b in box.inside)
            lines += textwrap.wrap(", ".join(w + f" x{n:,}" * (n > 1) for w, n in list(words.items())[:30]), 80)
        else:
            lines += _attributes(box, False)
        if "values" in self.shown:
            lines.append(f"value: {self.numbers(data)}")
        if "grads" in self.shown and isinstance(x, Tensor) and x.requires_grad:
            known = x.order in self.gradients
            lines.append(f"gradient: {self.numbers(self.gradients[x.order]) if known else 'not kept' if not x.is_leaf else 'not computed'}")
        lines += [f"gradient check: {row.op} {row.verdict}, error {row.error:.3g}. {row.note}".strip() for row in self.checks.get(box.key, ())]
        if not box.inside:
            for op in dict.fromkeys(t.op for t in box.members if isinstance(t, Tensor) and not t.is_leaf):
                lines += self.rule(op)
        return "\n".join(lines)

    def rule(self, op):
        """The source of the backward rules of an op."""
        if op.name not in self.rules:
            sources = []
            for rule in filter(None, op.rules):
                try:
                    source = textwrap.dedent(inspect.getsource(rule)).rstrip().split("\n")
                except (OSError, TypeError):
                    continue
                sources += [source] if source not in sources else []
            lines = [line for source in sources for line in source]
            self.rules[op.name] = [f"backward of {op.name}:", *lines[:RULE_LINES], *["..."] * (len(lines) > RULE_LINES)] if lines else []
        return self.rules[op.name]

    # ---- edges

    def edges(self, boxes, key, ids):
        """The edges into a box. A tensor that enters it twice is one edge that says so."""
        box = boxes[key]
        uses = {}
        for use in box.uses:
            source = boxes[use.source]
            again = source.owner is not None and source.owner is box.owner and _is_leaf(use.value)
            if not again:  # the parameters of a module that is called twice are drawn in its first call
                uses.setdefault(use.source if use.source in ids else None, []).append(use)
        results = [s for s in uses if s is not None and not boxes[s].is_leaf and boxes[s].kind != "penalty"]
        trunk = max(results, key=lambda s: int(ids[s][1:]), default=None)
        for source, found in uses.items():
            if source is None:
                yield Edge("more", ids[key], style="none")
                continue
            flows = any(getattr(u.value, "requires_grad", False) and u.by.op.rule(u.place) for u in found)
            style = "none" if not flows else "penalty" if box.kind == "penalty" else "gradient"
            if (boxes[source].part, box.part) == (FORWARD, BACKWARD):
                style = "used"
            # labels on edges without rank are more than Graphviz can bear
            plain = box.call or box.kind == "penalty" or box.inside or boxes[source].inside or style == "used"
            label = "" if plain else _edge_label(boxes[source], found)
            value = found[0].value
            tooltip = f"{_title(self.boxes[self.home_of(found[0])])} {np.shape(data_of(value))}"
            rms = None
            if style == "gradient" and value.order in self.gradients:
                rms = self.numbers(self.gradients[value.order]).rms
                tooltip += f"\ngradient{' of all its uses' if self.users[value.order] > 1 else ''}: rms {rms:.3g}"
            yield Edge(ids[source], ids[key], label, style, 12 if source == trunk else 1, rms if self.all_known else None, tooltip)

    def home_of(self, use):
        """The key of the unfolded box a used value comes from."""
        return self.home.get(use.value.order, use.value.order) if isinstance(use.value, Tensor) else use.source

    def with_chips(self, nodes, edges, boxes, ids):
        """Instead of many edges into penalties, one chip before each that names its weights."""
        by_id, chips, links = {node.id: node for node in nodes}, {}, []
        for key, id in ids.items():
            weights = tuple(dict.fromkeys(self.home_of(use) for use in boxes[key].uses))
            if boxes[key].kind != "penalty" or not any(e.target == id and e.style == "penalty" for e in edges):
                continue
            if weights not in chips:
                names = [self.path(self.boxes[weight]) for weight in weights]
                rows = [Row(short(line), "attribute") for line in names[:CHIP_NAMES]]
                rows += [Row(f"and {len(names) - CHIP_NAMES:,} more", "attribute")] * (len(names) > CHIP_NAMES)
                chips[weights] = Node(f"{id}_weights", "chip", "", rows, by_id[id].scope, tooltip="\n".join(names))
            links.append(Edge(chips[weights].id, id, style="penalty"))
        return [*chips.values(), *nodes], [e for e in edges if e.style != "penalty"] + links


def _backward_graph(roots):
    """(leaves, their gradients as a recorded graph). Nothing of the graph changes."""
    leaves = [t for t in _differentiable(roots, "draw with backward=True") if t.is_leaf and t.requires_grad]
    gradients = grad(roots, leaves, create_graph=True, allow_unused=True)
    return zip(*[(leaf, gradient) for leaf, gradient in zip(leaves, gradients) if gradient is not None])


def _differentiable(roots, what):
    """The nodes of the graph, if backward could start from its roots."""
    for root in roots:
        if root.size != 1 or not root.requires_grad:
            raise RuntimeError(f"{what}: a root must be one number that requires a gradient; this one has shape {root.shape}.")
    return program(roots, what)


def _below(card):
    """How many modules the boxes in a card have in common."""
    return len(card.calls) + (card.owner is not None)


def _is_leaf(x):
    return not isinstance(x, Tensor) or x.is_leaf


def _count(n, what):
    return f"{n:,} {what}" + "s" * (n != 1)


def _unbox(nodes):
    """A module that is one node and has no parameters gets no box; its name goes before the node's title."""
    inside = Counter(group for node in nodes for group in node.scope)
    for node in nodes:
        while node.scope and node.scope[-1].number >= 0 and inside[node.scope[-1]] == 1 and not node.scope[-1].parameters:
            *scope, group = node.scope
            node.scope = tuple(scope)
            if group.name:
                node.title = f"{group.name}: {node.title}"


def _nearest(boxes, starts, limit):
    """The keys of the `limit` boxes with the shortest way to a root."""
    kept, queue = dict.fromkeys(starts), deque(starts)
    while queue and len(kept) < limit:
        for source, *_ in boxes[queue.popleft()].uses:
            if source not in kept and len(kept) < limit:
                kept[source] = None
                queue.append(source)
    return kept


def _stand_beside(nodes, edges):
    """A parameter stands next to the first op that uses it, if that has other inputs and lies in the same box: layers then form a straight line.

    One that other nodes use too, as penalties do, stands on the right, where its edges are out of the way.
    """
    by_id = {n.id: n for n in nodes}
    uses = Counter(e.source for e in edges)
    trunk = {e.target for e in edges if by_id[e.source].kind not in PARAMETERS}
    first = {e.source: e.target for e in reversed(edges)}
    free = {}  # id of an op -> the sides that are free
    for edge in sorted(edges, key=lambda e: uses[e.source]):
        source, target = by_id[edge.source], by_id[edge.target]
        fits = source.kind in PARAMETERS and source.scope == target.scope and edge.target in trunk and target.kind != "penalty"
        sides = free.setdefault(edge.target, ["left", "right"])
        if fits and sides and first[edge.source] == edge.target:
            source.beside, source.side = edge.target, sides.pop(-1 if uses[edge.source] > 1 else 0)


# ---- edges


def _edge_label(source, uses):
    (_, t, i, _), times = uses[0], len(uses)
    op, name = t.op, t.op.argument(i)
    words = [f"x{times}"] if times > 1 else []
    if op.name in ORDERED and times == 1 and name != source.name and sum(map(_is_array, t.args)) > 1:
        words.append(name)
    elementwise = isinstance(op.forward, np.ufunc) or op.name == "where"
    if elementwise and source.kind != "constant" and np.shape(data_of(source.last)) != t.shape:
        words.append("broadcast")
    return ", ".join(words)


def _is_array(x):
    return isinstance(x, (Tensor, np.ndarray)) and not is_number(x)


# ---- what the loss is a sum of


def _terms(root, boxes, home):
    """{key of a box, or name: part of the value} of a loss that is a sum with data losses or penalties in it, largest part first; else {}."""
    if root.size != 1 or not root.args:
        return {}
    terms = {}
    for part in summands(root):
        key = home[part.node.order] if part.node is not None else None
        key = key if key in boxes else name_of(part)
        terms[key] = terms.get(key, 0.0) + part.value
    if len(terms) < 2 or not any(boxes[key].kind in ("loss", "penalty") for key in terms if key in boxes):
        return {}
    return dict(sorted(terms.items(), key=lambda term: -term[1]))


def _term_rows(key, boxes, terms):
    """Of a loss its terms; of a penalty its share. Shares are of a loss without negative parts."""
    rows = []
    for root, parts in terms.items():
        total = float(boxes[root].last.data.item()) if parts else 0.0
        shares = 0 < total < math.inf and min(parts.values()) >= 0
        if key in parts and shares and boxes[key].kind == "penalty":
            rows.append(Row(f"{_percent(parts[key] / total)} of the loss", "attribute"))
        if key == root:
            for term, part in list(parts.items())[:TERMS]:
                share = f"  ({_percent(part / total)})" if shares else ""
                title = _title(boxes[term]) if term in boxes else term
                rows.append(Row(f"{title} {_number(part)}{share}", "attribute"))
    return rows


def _percent(share):
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


# ---- rows


def _title(box):
    x = box.last
    if not isinstance(x, Tensor) and not isinstance(x, np.ndarray):
        return _text(x)
    if box.is_leaf:
        return short(box.name or box.kind)
    made = box.word.replace("_", " ") if box.call or box.kind in ("loss", "penalty") else x.op.name
    return short(f"{box.name} = {made}" if box.name else made)


def _attributes(box, constants):
    """The arguments that are no nodes: settings that differ from the default, and numbers. Of a composition, the ops inside."""
    if isinstance(box.last, Noise):
        return [short(repr(box.last.distribution))]
    if box.call:
        return [short(", ".join(dict.fromkeys(m.op.name for m in box.members)))] if len(box.members) > 1 else []
    op, args = getattr(box.last, "op", None), getattr(box.last, "args", None) or ()
    if op is not None and op.name in SYMBOLS and any(map(is_number, args)):
        return [] if constants else [f" {SYMBOLS[op.name]} ".join(_text(a) if is_number(a) else "x" for a in args)]
    hidden = [(op.argument(i), a) for i, a in enumerate(args) if not _is_array(a)]
    shown = [f"{name}={_text(a)}" for name, a in hidden if name not in op.defaults or not _same(a, op.defaults[name])]
    return [short(", ".join(shown))] if shown else []


def _same(value, default):
    return value is default or (type(value) is type(default) and isinstance(default, (bool, int, float, str)) and value == default)


def _text(x):
    """An argument in short: 0.5, inverted, (1:3, ...)."""
    if isinstance(x, (Tensor, np.ndarray)):
        return _text(data_of(x).item()) if x.ndim == 0 else "array"
    if isinstance(x, (float, np.floating)):
        return f"{x:.4g}"
    if isinstance(x, slice):
        parts = [x.start, x.stop] + [x.step] * (x.step is not None)
        return ":".join("" if part is None else _text(part) for part in parts)
    if isinstance(x, (tuple, list)):
        return f"({', '.join(map(_text, x[:WIDEST]))}{',' * (len(x) == 1)})"
    return short("..." if x is ... else getattr(x, "__name__", x))


class _Numbers(NamedTuple):
    """The statistics of an array. `kind` is its dtype's."""

    kind: str
    shape: tuple
    size: int
    bad: int = 0  # entries that are not finite
    mean: float = 0.0
    std: float = 0.0
    low: float = 0.0
    high: float = 0.0
    zeros: int = 0

    rms = property(lambda self: math.nan if self.bad else math.hypot(self.mean, self.std))

    def __str__(self):
        if self.size == 0 or self.kind == "c":
            return "empty" if self.size == 0 else "complex"
        if self.bad:
            return f"{self.bad:,} of {self.size:,} are nan/inf"
        if self.size == 1:
            return f"{self.mean:.9g}"
        return f"mean {self.mean:.6g}, std {self.std:.6g}, min {self.low:.6g}, max {self.high:.6g}, {self.zeros / self.size:.0%} zero"


def _numbers(array):
    kind, size = array.dtype.kind, array.size
    if size == 0 or kind == "c":
        return _Numbers(kind, array.shape, size)
    bad = size - np.count_nonzero(np.isfinite(array)) if kind == "f" else 0
    if bad:
        return _Numbers(kind, array.shape, size, bad, low=array.flat[0], high=array.flat[0])
    with np.errstate(all="ignore"):
        mean, std = np.mean(array, dtype=float), np.std(array, dtype=float) if size > 1 else 0.0
    return _Numbers(kind, array.shape, size, 0, float(mean), float(std), array.min(), array.max(), size - np.count_nonzero(array))


def _all_finite(array):
    return getattr(array, "dtype", np.dtype(bool)).kind != "f" or np.isfinite(array).all()


def _value_row(x):
    """An array in a line: `= 2.76`, `-0.03 ± 0.32` (mean and standard deviation), `all 0`, `int 0..3`."""
    if x.size == 0 or x.kind == "c":
        return Row("empty" if x.size == 0 else "complex", "value")
    if x.kind == "b" and x.shape:
        return Row(f"{x.mean:.0%} true", "value")
    if x.kind in "iu" and x.shape:
        return Row(f"int {x.low}..{x.high}", "value")
    if x.bad:
        return Row(f"{x.bad:,} nan/inf" if x.size > 1 else str(x.low), "band")
    if x.size == 1:
        return Row(f"= {_number(x.low.item())}", "number")
    if x.low == x.high:
        return Row(f"all {_number(x.low)}", "value")
    return Row(_spread(x.mean, x.std), "value")


def _gradient_row(x):
    row = _value_row(x)
    if x.size and not x.bad and x.low == x.high == 0:
        return Row("∂ all zero" if x.shape else "∂ zero", "alarm")
    return Row("∂ " + row.text.removeprefix("= "), "band" if row.role == "band" else "gradient")


def _verdict_rows(row):
    """A verdict of check_graph, in words."""
    if row.verdict == "OK":
        return [Row(f"grad ok {row.error:.1e}" if row.error else "grad ok, exact", "ok")]
    if row.verdict == "KINK":
        return [Row("grad ok, at a KINK", "ok")]
    if row.verdict == "VACUOUS":
        return [Row("grad check VACUOUS: all zero", "missing")]
    if row.verdict == "AFFECTED":
        return [Row("AFFECTED by a wrong node", "alarm")]
    words = {"FAIL": "FAILED", "NONFINITE": "NOT FINITE"}.get(row.verdict, row.verdict)
    error = [Row(f"relative error {row.error:.2g}", "reason")] if math.isfinite(row.error) else []
    note = re.sub(r" \(its error about [^)]*\)", "", row.note)
    note = re.sub(r"-?\d+\.\d{3,}(e[-+]?\d+)?", lambda number: f"{float(number[0]):.3g}", note)
    lines = [line for part in note.split("Diagnosis: ") for line in textwrap.wrap(part, 38)]
    return [Row(f"GRAD CHECK {words}", "band"), *error, *(Row(line, "reason") for line in lines[:REASONS])]


def _number(x):
    return f"{x:.3g}" if isinstance(x, (float, np.floating)) else str(x)


def _spread(mean, std):
    """`mean ± std`, both to the second digit of the std."""
    if not 0 < std < math.inf:
        return f"{mean:.3g} ± {std:.2g}"
    power = math.floor(math.log10(float(f"{std:.1e}")))
    scale = 0 if -4 < power < 4 else power
    digits = max(0, 1 - power + scale)
    mean, std = round(mean / 10**scale, digits) + 0.0, std / 10**scale
    return f"({mean:.{digits}f} ± {std:.{digits}f})e{scale}" if scale else f"{mean:.{digits}f} ± {std:.{digits}f}"


# ------------------------------------------------------------------------------------------ the calls

SUFFIXES = (".svg", ".png", ".pdf", ".gv", ".dot", ".txt", ".html")


def _with_options(function):
    """Shows the options of `read` in the signature of a function that passes them on."""
    own = list(inspect.signature(function).parameters.values())[:-1]
    options = [p for p in inspect.signature(read).parameters.values() if p.name not in ("root", "limit", "chips")]
    function.__signature__ = inspect.Signature(own + [p for p in options if p.name not in [o.name for o in own]])
    return function


@_with_options
def draw(root, *, to_file=None, **options):
    """The graph of `root`, a Tensor or a list of them, as a picture that a notebook shows.

    direction  "TB" (downwards) or "LR", "BT", "RL"
    depth      levels of modules to open; "auto": the deepest that gives at most `max_nodes` nodes; None: all, and fold nothing
    detail     "full"; "compact": no numbers but in the tooltips; "auto": compact above `max_nodes` nodes
    values     each node's value, or mean ± standard deviation
    grads      gradients, where there are any; "run": of every node, from a backward pass that leaves no trace
    shapes, attributes   show them
    constants  numbers as nodes of their own, not as text
    noise      the noise of a random op as a node of its own
    names      {name: Tensor}, such as locals(); other values are ignored
    checks     what check_graph(root) returned: each node gets its verdict
    legend     says what shapes and lines mean; "auto": from six nodes on
    backward   also draws the graph of the backward pass
    title      stands above it
    to_file    also writes it there: .svg, .png, .pdf, .html (a page that steps through it), .txt, or the DOT text as .gv or .dot
    """
    suffix = os.path.splitext(to_file)[1] if to_file is not None else None
    if suffix is not None and suffix not in SUFFIXES:
        raise ValueError(f"draw: to_file ends in {', '.join(SUFFIXES)}; got {str(to_file)!r}.")
    picture = read(root, **options)
    try:
        from .render import Drawing  # graphviz is needed only now
    except ImportError:
        raise ImportError("draw needs the package graphviz: pip install graphviz graphviz-pure. to_dot and to_text do without.") from None
    drawing = Drawing(format="svg", body=picture.dot())
    drawing.text = picture.text()
    if suffix in (".gv", ".dot", ".txt"):
        with open(to_file, "w", encoding="utf-8") as file:
            file.write(drawing.text + "\n" if suffix == ".txt" else drawing.source)
    elif suffix == ".html":
        from .stepper import to_html

        to_html(root, to_file, **options)
    elif suffix is not None:
        drawing.render(outfile=to_file)
    return drawing


@_with_options
def to_dot(root, **options):
    """The DOT text of the picture, for any Graphviz; needs no package. Options as for `draw`."""
    return "digraph {\n" + "".join(read(root, **options).dot()) + "}\n"


@_with_options
def to_text(root, **options):
    """The picture as text, one line a node, for a terminal: `n5 relu (32, 16) <- n4 | 0.60 ± 0.90 | ∂ ...`. Options as for `draw`."""
    return read(root, **options).text()


def draw_dot(root, format="svg", rankdir="LR"):
    """micrograd's name and arguments for `draw`."""
    drawing = draw(root, direction=rankdir)
    drawing.format = format
    return drawing


def make_dot(var, params=None):
    """torchviz's name and arguments for `draw`; `params`: {name: Tensor}."""
    return draw(var, names=params)

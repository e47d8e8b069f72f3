"""What stands in a picture.

A picture takes three steps, each with one job. boxes.py decides what becomes one node; `read` here looks into the tensors and writes plain
records of nodes and edges; dot.py turns records into text, which a Graphviz program lays out (render.py). No tensor is
changed or kept, and nothing is computed anew but for `grads="run"` and `backward=True`.
"""

import math
import textwrap
from collections import Counter

import numpy as np

from ..array import as_list, data_of
from ..changes import changed_since
from ..engine import Tensor, grad
from ..graph import nodes as nodes_of
from ..graph import program
from ..loss import addends, name_of
from .boxes import boxes_of
from .dot import BACKWARD, FORWARD, PARAMETERS, PENALTIES, Edge, Node, Picture, Row, short
from .fold import fold
from .trace import trace
from .words import (
    VERDICTS,
    argument,
    count,
    is_operand,
    number,
    numbers,
    percent,
    rule_source,
    settings,
    span,
    times,
    verdict_rows,
)

TERMS = 8  # of a loss shown at most
LEGEND_FROM = 6  # nodes
MANY = 6  # edges into penalties, or from the forward pass to the backward; more are told in words, at their end
CHIP_NAMES = 3  # of weights named in a chip
RULE_LINES = 16  # of the source of rules shown at most
ORDERED = {
    "subtract",
    "divide",
    "power",
    "matmul",
    "where",
    "concatenate",
    "stack",
    "einsum",
}  # their arguments cannot be swapped


def read(root, *, direction="TB", depth="auto", detail="auto", max_nodes=60, values=True, grads=True, shapes=True, attributes=True, constants=False,
         noise=False, names=None, checks=None, legend="auto", backward=False, title=None, chips=True):  # fmt: skip
    """The Picture of the graph of `root`. Options as for `draw`; `chips`: whether words may stand for many edges."""
    roots = as_list(root)
    if not roots or not all(isinstance(r, Tensor) for r in roots):
        raise TypeError(
            f"draw: the root is the Tensor that a forward pass returned, or a list of them, not a {type(root).__name__}."
        )
    for option, value, known in (
        *(
            ("direction", direction, ("TB", "LR", "BT", "RL")),
            ("detail", detail, ("full", "compact", "auto")),
        ),
        ("grads", grads, (True, False, "run")),
    ):
        if value not in known:
            raise ValueError(
                f"draw: {option} is one of {', '.join(map(str, known))}, not {value!r}."
            )
    if depth not in ("auto", None) and not (isinstance(depth, int) and depth >= 0):
        raise ValueError(
            f'draw: depth is "auto", None (all modules open) or a whole number from 0 on, not {depth!r}.'
        )
    shown = {
        "value": values,
        "number": values,
        "term": values,
        "gradient": grads,
        "missing": grads,
        "shape": shapes,
        "attribute": attributes,
    }
    reader = _Reader(roots, shown, constants, noise, names or {}, backward)
    reader.take_checks(checks)
    reader.take_gradients(grads == "run")
    nodes, edges, opened = reader.records(depth, max_nodes, chips)
    compact = detail == "compact" or (
        detail == "auto" and sum(node.kind != "chip" for node in nodes) > max_nodes
    )
    legend = len(nodes) >= LEGEND_FROM if legend == "auto" else legend
    return Picture(nodes, edges, reader.heading(opened), title, direction, legend, compact)


def describe(root, *, depth=None, **options):
    """The graph of `root`, a Tensor or a list of them, as records: (nodes, edges), oldest first, each edge its own. Options as for `draw`."""
    return read(root, depth=depth, chips=False, **options)[:2]


class _Reader:
    """Looks into the tensors of one graph, and writes records. Lives only inside `read`."""

    def __init__(self, roots, shown, constants, noise, names, backward):
        self.roots, self.shown, self.constants = roots, shown, constants
        leaves, gradients = _backward_graph(roots) if backward else ((), ())
        graph, forward = nodes_of([*roots, *gradients]), {t.order for t in nodes_of(roots)}
        self.boxes, self.home = boxes_of(
            graph, {r.order for r in [*roots, *gradients]}, names, constants, noise
        )
        if backward:
            for box in self.boxes.values():
                is_forward = box.key in forward or not isinstance(box.last, Tensor)
                box.part = FORWARD if is_forward else BACKWARD
                box.random = box.random and is_forward
                if box.is_leaf and not is_forward:
                    box.name = "constant"  # of the rules
        self.terms = {
            self.home[r.order]: _terms(r, self.boxes, self.home) for r in roots
        }  # of each root
        self.checks, self.report, self.gradients, self.sent = {}, None, {}, {}
        self.seen, self.taken = set(), {}
        for leaf, gradient in zip(leaves, gradients):
            self.boxes[self.home[gradient.order]].leaf = self.boxes[self.home[leaf.order]].path()

    def take_checks(self, report):
        """Takes the verdicts of a Report: {key of a box: its rows, gravest first}."""
        if report is None:
            return
        if not hasattr(report, "rows"):
            raise TypeError(
                f"draw: checks is what check_graph(loss) returns, not {type(report).__name__}."
            )
        known = [row for row in report.rows if row.order in self.home]
        for row in sorted(known, key=lambda row: (row.severity, -row.error)):
            self.checks.setdefault(self.home[row.order], []).append(row)
        if not any(
            row.op != "leaf" or self.home[row.order] in self.terms for row in known
        ):  # graphs of one model share its leaves
            raise ValueError(
                "draw: checks is the report of another graph. Check and draw the same loss, with no forward pass between."
            )
        self.report = report

    def take_gradients(self, run):
        """Takes the gradients there are; `run`: all of them, and what flows along each edge, from a backward pass that leaves no trace."""
        if not run:
            graph = [t for box in self.boxes.values() for t in box.members if isinstance(t, Tensor)]
            self.gradients = {t.order: t.grad.data for t in graph if t.grad is not None}
            return
        _differentiable(self.roots, 'draw with grads="run"')
        self.gradients = {root.order: np.ones_like(root.data) for root in self.roots}
        for node, g, sent in trace(self.roots):
            self.gradients[node.order] = g
            for s in sent:
                self.sent[node.order, s.argument] = s.cotangent
                self.gradients[s.input.order] = s.total

    def numbers(self, box):
        """The statistics of the value of a box, taken once."""
        if id(box.last) not in self.taken:
            self.taken[id(box.last)] = numbers(box.last)
        return self.taken[id(box.last)]

    # ---- records

    def records(self, depth, max_nodes, chips):
        """(nodes, edges, how deep modules are opened)."""
        failed = {key for key, rows in self.checks.items() if rows[0].wrong}
        boxes, opened = fold(self.boxes, depth, max_nodes, failed | {*self.terms})
        ids = {key: f"n{i}" for i, key in enumerate(boxes)}
        nodes = [self.node(id, boxes[key]) for key, id in ids.items()]
        edges = [edge for key in ids for edge in self.edges(boxes, key, ids)]
        styles = Counter(edge.style for edge in edges)
        if chips and styles["used"] > MANY:
            nodes, edges = self.with_notes(nodes, edges, boxes)
        if chips and styles["penalty"] > MANY:
            nodes, edges = self.with_chips(nodes, edges, boxes, ids)
        return nodes, edges, opened

    def heading(self, opened):
        """The line above the picture."""
        words, wrong = [count(len(self.boxes), "node"), _parameters(self.boxes.values())], []
        if opened is not None:
            words.append(f"modules opened to depth {opened}" if opened else "modules folded")
        if changed := sum(
            box.is_leaf and changed_since(box.last, min(r.order for r in self.roots))
            for box in self.boxes.values()
        ):
            words.append(f"{count(changed, 'tensor')} changed since the forward pass")
        if self.report is not None:
            rows = [row for row in self.report.rows if row.order in self.home]
            wrong = [self.boxes[self.home[row.order]].path() for row in rows if row.wrong]
            words.append(
                f"gradient check: {sum(row.passed for row in rows):,} of {len(rows):,} passed"
            )
            words += (
                [f"{silent:,} VACUOUS"]
                if (silent := sum(row.verdict == "VACUOUS" for row in rows))
                else []
            )
            words += [f"first wrong: {name}" for name in wrong[:1]]
        trained = (
            box for box in self.boxes.values() if getattr(box.last, "requires_grad", False)
        )  # a mask of -inf is no trouble
        odd = (box.path() for box in trained if self.numbers(box).bad)
        if self.shown["value"] and (first := next(odd, None)):
            wrong.append(first)
            words.append(f"nan/inf, first: {first}")
        return Row(", ".join(filter(None, words)), "alarm" if wrong else "caption")

    def node(self, id, box):
        is_root = any(inner.key in self.terms for inner in box.parts)
        kind = "root" if is_root and box.kind in ("operation", "loss") else box.kind
        rows = (
            [row for row in self.rows(box) if row.text and self.shown.get(row.role, True)]
            if kind != "constant"
            else []
        )
        scope = box.scope + (PENALTIES,) * (kind == "penalty" and not is_root and not box.calls)
        holds = tuple(getattr(x, "order", inner.key) for inner in box.parts for x in inner.members)
        return Node(id, kind, self.title(box), rows, scope, is_root, self.tooltip(box), holds)

    # ---- names and places

    def title(self, box):
        title = box.title or ("loss" if self.terms.get(box.key) and not box.name else box.label)
        return f"{box.prefix}: {title}" if box.prefix else title

    # ---- rows; one without text is left out

    def rows(self, box):
        """What stands in a node: what it is, its value, its gradient, its part of the loss, its verdict."""
        x, alike = box.last, box.inside if box.is_leaf else []
        value = numbers(np.stack([data_of(b.last) for b in alike])) if alike else self.numbers(box)
        yield from (
            self.contents(box)
            if box.inside
            else (Row(_shape(x), "shape"), Row(settings(box, self.constants), "attribute"))
        )
        if isinstance(x, Tensor) and x.args is None:
            yield from (
                Row("graph freed by backward(): draw before it,", "note"),
                Row("or use backward(retain_graph=True)", "note"),
            )
        yield Row(str(value), "band" if value.bad else "number" if value.size == 1 else "value")
        yield from self.gradient_rows(box)
        yield from self.term_rows(box)
        yield from self.card_verdicts(box) if box.inside else verdict_rows(self.checks.get(box.key))

    def contents(self, box):
        """What is in a card."""
        nodes, parameters = (
            count(len(box.inside), "node") if box.kind == "module" else "",
            _parameters(box.inside),
        )
        again = (
            "the same parameters again"
            if box.owner is not None and not parameters and id(box.owner) in self.seen
            else ""
        )
        self.seen.add(id(box.owner))
        yield Row(short(box.note, 60), "about")
        yield Row(", ".join(filter(None, [nodes, parameters, again])), "about")
        random = Counter(" ".join([b.label, settings(b)]) for b in box.inside if b.kind == "random")
        yield from (Row(short(line + times(n), 60), "attribute") for line, n in random.items())
        yield Row(
            (_shape(box.last) and ("each " if box.is_leaf else "out ")) + _shape(box.last), "shape"
        )
        yield _listed("nan/inf", "band", box, [b for b in box.inside[:-1] if self.numbers(b).bad])

    def gradient(self, box):
        """The statistics of the gradient of a leaf or a result, if it is known."""
        wanted = getattr(box.last, "requires_grad", False) and box.last.order in self.gradients
        return numbers(self.gradients[box.last.order]) if wanted else None

    def gradient_rows(self, box):
        """Of a leaf or a result its gradient, if it is known; of a card the range of those of its parameters, and which are wrong."""
        trained = [b for b in box.parts if b.kind == "parameter"]
        found = [(b, x) for b in (trained if box.inside else [box]) if (x := self.gradient(b))]
        if not found:
            yield Row("∂ not computed" if trained and box.part is None else "", "missing")
        elif not box.inside:
            x = found[0][1]
            text = f"∂ {'all ' * bool(x.shape)}zero" if x.all_zero else f"∂ {x}".replace("= ", "")
            yield Row(text, "alarm" if x.all_zero else "band" if x.bad else "gradient")
        else:
            sizes = [number(size, 2) for size in sorted(x.rms for _, x in found if not x.bad)]
            yield Row(sizes and f"∂ rms {span(sizes)}", "gradient")
            yield _listed("∂ nan/inf", "band", box, [b for b, x in found if x.bad])
            yield _listed("∂ all zero", "alarm", box, [b for b, x in found if x.all_zero])

    def term_rows(self, box):
        """Of a loss its terms; of a penalty its share. Shares are of a loss without negative parts."""
        keys = [inner.key for inner in box.parts]
        for root, parts in self.terms.items():
            total, alike = sum(parts.values()), {}
            shares = 0 < total < math.inf and min(parts.values()) >= 0
            own = [parts[key] for key in keys if key in parts]
            if own and shares and box.kind == "penalty":
                weighted = not math.isclose(sum(own), np.sum(box.last.data), rel_tol=1e-6)
                share = percent(sum(own) / total)
                yield Row(
                    f"{number(sum(own))} ({share}) of the loss"
                    if weighted
                    else f"{share} of the loss",
                    "term",
                )
            for term, part in parts.items() if root in keys else ():
                title = self.boxes[term].label if term in self.boxes else term
                alike.setdefault((title, len(parts) <= TERMS and term), []).append(part)
            for (title, _), values in sorted(alike.items(), key=lambda term: -sum(term[1]))[:TERMS]:
                share = f"  ({percent(sum(values) / total)})" if shares else ""
                yield Row(f"{title}{times(len(values))} {number(sum(values))}{share}", "term")

    def card_verdicts(self, card):
        """What check_graph found of the nodes in a card."""
        found = [(b, self.checks[b.key][0]) for b in card.inside if b.key in self.checks]
        for v in sorted({row.verdict for _, row in found if not row.passed}, key=[*VERDICTS].index):
            yield _listed(*VERDICTS[v], card, [b for b, row in found if row.verdict == v])
        passed = sum(row.passed for _, row in found)
        yield Row(passed and f"grad ok: {passed:,} of {len(found):,}", "ok")

    # ---- tooltips

    def tooltip(self, box):
        """Everything there is to know, in full precision."""
        if box.kind == "constant":
            return argument(box.last)
        x, found, gradient = box.last, self.numbers(box), self.gradient(box)
        what = "output" if box.inside else box.kind if box.is_leaf else box.word
        lines = [
            self.title(box) if box.inside else box.path(),
            f"{what} {found.shape} {found.dtype}",
        ]
        if box.inside:
            words = Counter(b.label for b in box.inside)
            lines += textwrap.wrap(
                ", ".join(word + times(n) for word, n in list(words.items())[:30]), 80
            )
        else:
            lines += filter(None, [settings(box)])
        lines.append(f"value: {found.in_full()}")
        if getattr(x, "requires_grad", False):
            lines.append(
                f"gradient: {gradient.in_full() if gradient else 'not computed' if x.is_leaf else 'not kept'}"
            )
        lines += [
            f"gradient check: {row.op} {row.verdict}, error {row.error:.3g}. {row.note}".strip()
            for row in self.checks.get(box.key, ())
        ]
        return "\n".join(lines + ([] if box.inside or box.is_leaf else self.rules(box)))

    def rules(self, box):
        """The source of the backward rules of a box."""
        lines = []
        for op in dict.fromkeys(t.op for t in box.members):
            sources = dict.fromkeys(
                rule_source(op, i)[0] for i, rule in enumerate(op.rules) if rule is not None
            )
            lines += [f"backward of {op.name}:", *"\n".join(sources).split("\n")] if sources else []
        return lines[:RULE_LINES] + ["..."] * (len(lines) > RULE_LINES)

    # ---- edges

    def edges(self, boxes, key, ids):
        """The edges into a box. A tensor that enters it twice is one edge that says so."""
        box, uses = boxes[key], {}
        for use in box.uses:
            source = boxes[use.source]
            again = source.owner is not None and source.owner is box.owner and not use.of_result
            if (
                not again
            ):  # the parameters of a module that is called twice are drawn in its first call
                uses.setdefault(use.source, []).append(use)
        results = [
            source
            for source in uses
            if not boxes[source].is_leaf and boxes[source].kind != "penalty"
        ]
        trunk = max(results, key=lambda source: int(ids[source][1:]), default=None)
        for key_of_source, found in uses.items():
            source = boxes[key_of_source]
            flows = any(
                getattr(u.value, "requires_grad", False) and u.by.op.rules[u.place] for u in found
            )
            style = "none" if not flows else "penalty" if box.kind == "penalty" else "gradient"
            if (source.part, box.part) == (FORWARD, BACKWARD):
                style = "used"
            # labels on edges without rank are more than Graphviz can bear
            plain = (
                box.call or box.kind == "penalty" or box.inside or source.inside or style == "used"
            )
            rms = self.flow(found)
            tooltip = f"{self.boxes[found[0].home].label} {np.shape(data_of(found[0].value))}"
            tooltip += f"\ngradient that comes back: rms {rms:.3g}" if rms is not None else ""
            weight = 12 if key_of_source == trunk else 1
            yield Edge(
                ids[key_of_source],
                ids[key],
                "" if plain else _edge_label(source, found),
                style,
                weight,
                rms,
                tooltip,
            )

    def flow(self, uses):
        """The root mean square of the gradient that comes back along an edge, if known: what its source gets from this target alone."""
        sums = {}
        for use in uses:
            if (sent := self.sent.get((use.by.order, use.place))) is not None:
                sums[use.value.order] = sums.get(use.value.order, 0) + sent
        size = sum(total.size for total in sums.values())
        return (
            math.sqrt(
                sum(float(np.sum(np.square(total, dtype=float))) for total in sums.values()) / size
            )
            if size
            else None
        )

    def with_notes(self, nodes, edges, boxes):
        """Instead of many edges from the forward pass to the backward, a note in each node that says what it uses."""
        for node, box in zip(nodes, boxes.values()):
            if used := [
                self.boxes[use.home].path()
                for use in box.uses
                if (boxes[use.source].part, box.part) == (FORWARD, BACKWARD)
            ]:
                node.rows.insert(0, Row(short(f"uses {', '.join(dict.fromkeys(used))}"), "note"))
        return nodes, [edge for edge in edges if edge.style != "used"]

    def with_chips(self, nodes, edges, boxes, ids):
        """Instead of many edges into penalties, one chip before each that names its weights."""
        by_id, chips, links = {node.id: node for node in nodes}, {}, []
        for key, id in ids.items():
            weights = tuple(dict.fromkeys(use.home for use in boxes[key].uses))
            if boxes[key].kind != "penalty" or not any(
                e.target == id and e.style == "penalty" for e in edges
            ):
                continue
            if weights not in chips:
                names = [self.boxes[weight].path() for weight in weights]
                rows = [Row(short(line), "about") for line in names[:CHIP_NAMES]]
                rows += [Row(f"and {len(names) - CHIP_NAMES:,} more", "about")] * (
                    len(names) > CHIP_NAMES
                )
                chips[weights] = Node(
                    f"{id}_weights", "chip", "", rows, by_id[id].scope, tooltip="\n".join(names)
                )
            links.append(Edge(chips[weights].id, id, style="penalty"))
        return [*chips.values(), *nodes], [e for e in edges if e.style != "penalty"] + links


def _backward_graph(roots):
    """(leaves, their gradients as a recorded graph). Nothing of the graph changes."""
    leaves = [
        t
        for t in _differentiable(roots, "draw with backward=True")
        if t.is_leaf and t.requires_grad
    ]
    gradients = grad(roots, leaves, create_graph=True, allow_unused=True)
    return zip(
        *[(leaf, gradient) for leaf, gradient in zip(leaves, gradients) if gradient is not None]
    )


def _differentiable(roots, what):
    """The nodes of the graph, if backward could start from its roots."""
    for root in roots:
        if root.size != 1 or not root.requires_grad:
            raise RuntimeError(
                f"{what}: a root must be one number that requires a gradient; this one has shape {root.shape}."
            )
    return program(what, *roots)


def _listed(words, role, card, boxes):
    """A Row that says what is the matter with boxes in a card."""
    names = Counter(b.path(len(card.calls) + (card.owner is not None)) for b in boxes)
    names = [name + times(n) for name, n in names.items()]
    return Row(
        names
        and f"{words}: {short(', '.join(names[:2]))}"
        + f" and {len(names) - 2} more" * (len(names) > 2),
        role,
    )


def _parameters(boxes):
    """`53 parameters`: how many numbers they hold."""
    sizes = [box.last.size for box in boxes if box.kind in PARAMETERS]
    return count(sum(sizes), "parameter") if sizes else ""


def _shape(x):
    return str(np.shape(data_of(x))) if np.ndim(data_of(x)) else ""


def _edge_label(source, uses):
    t, i, times = uses[0].by, uses[0].place, len(uses)
    op, name = t.op, t.op.names[i]
    words = ["twice" if times == 2 else f"{times} times"] if times > 1 else []
    if (
        op.name in ORDERED
        and times == 1
        and name != source.name
        and sum(map(is_operand, t.args)) > 1
    ):
        words.append(name)
    elementwise = isinstance(op.forward, np.ufunc) or op.name in ("power", "where")
    if elementwise and source.kind != "constant" and np.shape(data_of(source.last)) != t.shape:
        words.append("broadcast")
    return ", ".join(words)


def _terms(root, boxes, home):
    """{key of a box, or name: part of the value} of a loss that is a sum with data losses or penalties in it; else {}."""
    if root.size != 1 or not root.args:
        return {}
    terms = {}
    for part in addends(root):
        key = home[part.node.order] if part.node is not None else None
        key = key if key in boxes else name_of(part)
        terms[key] = terms.get(key, 0.0) + part.value
    return (
        terms
        if len(terms) > 1
        and any(boxes[key].kind in ("loss", "penalty") for key in terms if key in boxes)
        else {}
    )

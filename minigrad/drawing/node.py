"""From the tensors of a graph to the nodes and edges of its picture.

A `Graph` decides which tensors become one node, and holds what all nodes share: the terms of the
loss, gradients, verdicts. A `Node` owns its tensors, and writes its title, rows and tooltip when
they are needed. The recorded graph does not change.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import NamedTuple

import numpy as np

from ..array import is_foreign
from ..changes import changed_since
from ..engine import Tensor, constant, grad, wants_gradient
from ..graph import nodes as tensors_of
from ..loss import addends, left_out, name_of
from ..modes import name_in
from ..names import holders, leaf_names, operands, role, split_scope
from ..nn import Parameter
from ..noise import Noise
from . import labels
from .labels import Numbers, Row, count, joined, short


@dataclass(eq=False)
class Group:
    """A module, drawn as a box around its nodes. `parameters`: how many numbers it holds."""

    name: str
    module: object
    full = cached_property(lambda self: repr(self.module))  # with all modules inside it
    type = cached_property(lambda self: short(module_text(self.module, self.full), 60))
    parameters = cached_property(lambda self: sum(p.size for p in self.module.parameters()))


class Call(NamedTuple):
    """A call of a module: the id of its scope, and the Group of the module."""

    scope: int
    group: Group


@dataclass(eq=False)
class Node:
    """One node of a picture.

    It is a leaf, a result, all results that one call of a composition recorded, or a card: several
    nodes folded into one.
    """

    graph: object  # the Graph it belongs to
    tensors: list  # oldest first
    calls: tuple = ()  # the Calls around it, outermost first
    name: str = None  # the name of its tensor, or in its module, or for its role
    maker: object = None  # of results: the op or the composition. Both have a name and a kind
    words: str = ""  # shown in place of the name of the maker
    prefix: str = ""  # the name of the module, if the node is all of a module
    inside: list = field(default_factory=list)  # the nodes folded into this card, oldest first
    owner: Group = None  # the module, if the card is a call of a module
    id: str = ""  # its name in the DOT text

    parts = property(lambda self: self.inside or [self])
    last = property(lambda self: self.tensors[-1])  # whose value a card shows
    is_leaf = property(lambda self: self.last.is_leaf)
    scope = property(lambda self: tuple(call.group for call in self.calls))  # the boxes around it
    orders = property(lambda self: [t.order for t in self.tensors])
    is_root = property(lambda self: not self.graph.roots.isdisjoint(self.orders))
    is_parameter = property(lambda self: self.kind in ("parameter", "frozen"))
    checks = property(lambda self: [*filter(None, map(self.graph.checks.get, self.orders))])
    told = property(lambda self: self.graph.told[self.last.order])
    title = property(lambda self: joined(": ", self.prefix, self.label))
    tooltip = property(lambda self: f"{self.path()}\n{self.last.shape} {self.last.dtype}")
    rows = cached_property(labels.rows)

    @property
    def label(self):
        """Its name, or what made it, or both; without the modules around it."""
        made = self.words or (self.maker and short(self.maker.name.replace("_", " ")))
        return joined(" = ", self.name and short(self.name), made) or self.kind

    @cached_property
    def uses(self):
        """(result, position, argument) for each operand of its results."""
        return [(t, i, x) for t in self.tensors for i, x in self.graph.inputs(t)]

    @cached_property
    def kind(self):
        """The kind of node: the key of its look."""
        if self.inside:
            kinds = {part.kind for part in self.inside}
            alone = self.owner is None and len(kinds) == 1 and kinds != {"operation"}
            return kinds.pop() if alone else "module"
        x = self.last
        if self.is_leaf:
            held = {Parameter: "frozen", Noise: "noise"}
            return "parameter" if x.requires_grad else held.get(type(x), "data")
        kind = self.maker.kind
        if kind == "operation":
            takes_noise = any(isinstance(a, Noise) for t in self.tensors for a in t.args or ())
            kind = "random" if takes_noise else "operation" if x.requires_grad else "quiet"
        return "root" if self.is_root and kind in ("operation", "loss", "quiet") else kind

    def path(self):
        """The modules around it, and its label: `fc1.weight`."""
        around = [call.group.name for call in self.calls]
        own = [self.title] if self.inside else [self.prefix, self.label]
        return joined(".", *around, *own)

    @cached_property
    def value(self):
        """The statistics of its value. For a card of leaves: of all leaves together."""
        return Numbers(*[t.data for t in (self.tensors if self.is_leaf else [self.last])])

    @cached_property
    def gradient(self):
        """The statistics of its gradient, or None. For a card: of all its parameters together."""
        leaves = [part for part in self.inside if part.kind == "parameter"] or [self]
        known = self.graph.gradients
        arrays = [known[leaf.last.order] for leaf in leaves if leaf.last.order in known]
        return Numbers(*arrays) if arrays else None


class Edge(NamedTuple):
    """An arrow between two nodes.

    source, target  the ids of the nodes
    label           "twice", the name of the argument where the order matters, "broadcast"
    style           "gradient", "none" (no gradient flows) or "penalty" (into a penalty)
    weight          how straight it should run
    """

    source: str
    target: str
    label: str = ""
    style: str = "gradient"
    weight: int = 1


class Graph:
    """What all nodes of a recorded graph share.

    options     the options of draw
    tensors     all Tensors of the graph, oldest first
    members     {order of the newest tensor of a node: the tensors of the node}
    home        {order of a tensor: the order of the newest tensor of its node}
    groups      {ids of a module and of the modules around it, outermost first: its Group}
    roots       the orders in `home` of the roots, which are in `outputs`
    constants   {id of an array among the arguments: the Tensor that stands for it}
    gradients   {order of a tensor: its gradient, an array}
    checked     the rows of a report that are on this graph
    checks      {order in `home`: the gravest of these rows on a node}
    told        {order in `home`: Rows on the terms of the loss}

    A Graph does not hold its Nodes. So the tensors are free as soon as the picture is dropped.
    """

    def __init__(self, roots, options):
        self.options, self.outputs, self.tensors = options, roots, tensors_of(roots)
        self.newest = self.tensors[-1].order
        together = {}  # the tensors of each call of a composition
        for t in self.tensors:
            together.setdefault(id(split_scope(t.scope)[1] or t), []).append(t)
        self.members = {ts[-1].order: ts for ts in together.values()}
        self.home = {t.order: newest for newest, ts in self.members.items() for t in ts}
        self.roots = {self.home[root.order] for root in roots}
        arrays = [x for t in self.tensors for _, x in operands(t) if not isinstance(x, Tensor)]
        self.constants = {id(x): constant(x) for x in arrays}
        self.groups, self.told = {}, defaultdict(list)
        self.checked = [] if options.checks is None else self._checked(options.checks)
        gravest = sorted(self.checked, key=lambda row: (row.severity, -row.error))
        self.checks = {self.home[row.order]: row for row in reversed(gravest)}
        self.gradients = self._gradients()

    def inputs(self, t):
        """(position, Tensor) of the operands of a result."""
        return [(i, self.constants.get(id(x), x)) for i, x in operands(t)]

    # ---- the nodes

    def nodes(self):
        """The Nodes before anything is folded, oldest first: {order of its newest tensor: Node}.

        There is one for each leaf, for each result, and for all results of a call of a composition.
        """
        nodes, held = {}, holders(self.tensors)

        def node(x, scope, maker=None):
            scope, name = held.get(x.order, (scope, None))
            tensors = self.members.get(x.order, [x])
            return Node(self, tensors, self._calls(scope), x.name or name, maker)

        for t in self.tensors:
            call = split_scope(t.scope)[1]
            maker = call[1] if call else t.op
            for i, x in self.inputs(t):
                is_noise = isinstance(x, Noise)
                if not x.is_leaf or (is_noise and not self.options.noise):
                    continue
                if x.order not in nodes:  # a leaf stands where it is used first
                    nodes[x.order] = node(x, t.scope if is_noise else None)
                leaf = nodes[x.order]
                is_target = (maker.kind, leaf.kind) == ("loss", "data") and i > 0
                if not is_noise:
                    leaf.name = leaf.name or ("target" if is_target else role(t.op, i))
            if t.order not in nodes and t.order in (self.roots if t.is_leaf else self.members):
                nodes[t.order] = node(t, t.scope, maker)
        self._unwrap(nodes.values())
        self._tell_terms(nodes)
        return nodes

    def _calls(self, scope):
        """The Calls of the modules around a scope, outermost first."""
        calls, path, outer = (), (), None
        for inner in split_scope(scope)[0]:
            path = *path, id(inner[1])
            if path not in self.groups:
                name = short(name_in(outer, inner[1])) if outer is not None else ""
                self.groups[path] = Group(name, inner[1])
            calls, outer = (*calls, Call(id(inner), self.groups[path])), inner
        return calls

    def _unwrap(self, nodes):
        """If a call of a module without parameters is a single node, the node gets its name."""
        inside = Counter(call for node in nodes for call in node.calls)
        for node in nodes:
            outer = [c for c in node.calls if inside[c] > 1 or c.group.parameters]
            whole = node.calls[len(outer) :]
            node.prefix = joined(".", *(call.group.name for call in whole))
            node.calls = tuple(outer)

    def _tell_terms(self, nodes):
        """Tells each root of one entry its terms and the penalties that it lacks.

        Only a sum with a loss or a penalty has terms. Each penalty in it is told its share. The
        values of a lazy graph are not known.
        """
        lacking = left_out(self.tensors, leaf_names(self.tensors)).items()
        notes = [Row(short(f"without {p} of {', '.join(of)}", 60), "note") for p, of in lacking]
        for root in [r for r in self.outputs if r.size == 1 and not is_foreign(r.data)]:
            node, alike = nodes[self.home[root.order]], {}  # {name: values of the terms}
            parts = addends(root)
            terms = [nodes.get(self.home.get(part.node.order)) for part in parts]
            total = sum(p.value for p in parts) or math.nan
            if len(parts) > 1 and {"loss", "penalty"} & {term.kind for term in terms if term}:
                node.words = "" if node.name else "loss"
                for part, term in zip(parts, terms):
                    alike.setdefault(term.label if term else name_of(part), []).append(part.value)
                    if term and term.kind == "penalty":
                        share = labels.percent(part.value / total)
                        term.told.append(Row(f"{share} of the loss", "term"))
            for name, values in alike.items():
                words = f"{name}{labels.times(len(values))} {labels.number(sum(values))}"
                share = labels.percent(sum(values) / total)
                node.told.append(Row(f"{words}  ({share})", "term"))
            node.told.extend(notes)

    # ---- what is known besides

    def _checked(self, report):
        """The rows of a report of check_graph that are on this graph."""
        if not hasattr(report, "rows"):
            given = type(report).__name__
            raise TypeError(f"draw: checks is what check_graph(loss) returns, not {given}.")
        known = [row for row in report.rows if row.order in self.home]
        # two graphs of one model share its leaves, so a leaf does not tell which graph was checked
        if not any(row.op != "leaf" or self.home[row.order] in self.roots for row in known):
            remedy = "Check and draw the same loss, with no forward pass between."
            raise ValueError(f"draw: checks is the report of another graph. {remedy}")
        return known

    def _gradients(self):
        """The gradients that tensors have; with grads="run", all from a backward pass.

        A gradient that is older than the graph belongs to another loss.
        """
        trained = [t for t in self.tensors if t.requires_grad]
        found = [t.grad for t in trained]
        if self.options.grads == "run":
            found = grad(self.outputs, trained, retain_graph=True, allow_unused=True)
        pairs = [(t, g) for t, g in zip(trained, found) if g is not None]
        return {t.order: g.data for t, g in pairs if g.order > self.newest}

    def heading(self, nodes, depth):
        """The Rows above the picture. `depth`: how many levels of modules are open, or None."""
        trained = [node for node in nodes if node.last.requires_grad]
        unknown = self.options.grads and not self.gradients and any(n.is_leaf for n in trained)
        changed = sum(node.is_leaf and changed_since(node.last, self.newest) for node in nodes)
        passed = sum(row.passed for row in self.checked)
        silent = sum(row.verdict == "VACUOUS" for row in self.checked)
        # other values need not be finite: a mask may hold -inf
        wrong = [row.text for row in labels.alarms(trained) if row.role == "band"]
        words = [
            count(len(nodes), "node"),
            labels.parameters(nodes),
            {None: "", 0: "modules folded"}.get(depth, f"modules opened to depth {depth}"),
            unknown and "gradients not computed",
            changed and f"{count(changed, 'tensor')} changed since the forward pass",
            self.checked and f"gradient check: {passed:,} of {len(self.checked):,} passed",
            silent and f"{silent:,} VACUOUS",
        ]
        line, title = joined(", ", *words, *wrong), self.options.title
        title = [Row(short(title, 80), "title")] if title else []
        return [*title, Row(line, "alarm" if wrong else "caption")]

    # ---- edges

    def edges(self, drawn):
        """The Edges between the Nodes that are drawn. A tensor that enters twice is one Edge."""
        edges = []
        for node, sources in links(drawn).items():
            results = [n for n in sources if not n.is_leaf and n.kind != "penalty"]
            trunk = max(results, key=lambda node: node.last.order, default=None)
            unnamed = _unnamed(sources)
            for source, uses in sources.items():
                flows = any(wants_gradient(x) and by.op.rules[i] for by, i, x in uses)
                style = "penalty" if node.kind == "penalty" else "gradient"
                weight = 12 if source is trunk else 1
                label = _label(node, source, uses, unnamed)
                edges.append(Edge(source.id, node.id, label, style if flows else "none", weight))
        return edges


def links(nodes):
    """{node: {another of the nodes that it uses: how, as in `uses`}}.

    The parameters of a module that is called twice belong to its first call alone.
    """
    home = {t.order: node for node in nodes for t in node.tensors}
    linked = {node: {} for node in nodes}
    for node in nodes:
        for use in node.uses:
            source = home.get(use[2].order, node)
            is_again = source.owner is node.owner is not None and use[2].is_leaf
            if source is not node and not is_again:
                linked[node].setdefault(source, []).append(use)
    return linked


def _unnamed(sources):
    """How many arguments have another name than the node that they come from."""
    named = [(source.label, uses) for source, uses in sources.items()]
    return sum(by.op.names[i] != label for label, uses in named for by, i, _ in uses)


def _label(node, source, uses, unnamed):
    """The label of an edge: `twice`, or the name of the argument, and `broadcast`.

    unnamed  the number of arguments of the node that need a name. One alone needs no name
    """
    op, words = node.last.op, []
    if node.maker is not op or source.inside or node.kind == "penalty":
        return ""
    name = op.names[uses[0][1]]
    if len(uses) > 1:
        words.append("twice" if len(uses) == 2 else f"{len(uses)} times")
    elif unnamed > 1 and op.name not in labels.COMMUTE and name != source.label:
        words.append(name)
    by_entry = isinstance(op.forward, np.ufunc) and not op.forward.signature
    if by_entry and source.last.shape != node.last.shape:
        words.append("broadcast")
    return ", ".join(words)


def module_text(module, text):
    """The `text` of a module, its repr, in short: Linear(64, 128, bias=False)."""
    if "\n" in text:
        return type(module).__name__
    arguments = signature(type(module)).parameters.values()
    for name in (p.name for p in arguments if p.default is p.empty):
        text = text.replace(f"{name}=", "")
    return text.removesuffix("()")

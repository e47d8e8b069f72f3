"""From the tensors of a graph to the nodes and edges of its picture.

`Graph` reads a recorded graph: it decides what becomes one node, names and places it, and collects
what is known besides: the terms of the loss, gradients, verdicts. A `Node` owns its tensors, and
writes its title, rows and tooltip when it is asked for them. Nothing of the graph is changed.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..changes import changed_since
from ..engine import Tensor, constant
from ..graph import nodes
from ..loss import addends, name_of
from ..modes import Composition
from ..names import holders, role, split_scope
from ..noise import Noise
from . import labels
from .labels import Numbers, Row, count, is_operand, short
from .trace import trace


@dataclass(eq=False)
class Group:
    """A module, drawn as a box around its nodes. `parameters`: how many numbers it holds."""

    name: str
    type: str = ""
    parameters: int = 0
    full: str = ""  # the module with all that is in it


PENALTIES = Group("penalties")  # the box around penalties that no module made


class Call(NamedTuple):
    """A call of a module: the id of the scope that it opened, and the Group of the module."""

    scope: int
    group: Group


class Use(NamedTuple):
    """Argument number `place` of the result `by` is `value`, which belongs to another node."""

    source: object  # the key of the other node
    by: Tensor
    place: int
    value: object


@dataclass
class Known:
    """What is known of a graph besides its tensors, for all its nodes.

    options     those of draw
    roots       the keys of the nodes of the roots
    parameters  the ids of the tensors that modules call their parameters
    terms       {key of a root that is a sum with a loss or a penalty in it:
                {key of a node, or a name: (label, what it adds to the root)}}
    gradients   {order of a tensor: array}
    checks      {key of a node: its rows in the report of check_graph, gravest first}
    """

    options: object
    roots: set = field(default_factory=set)
    parameters: set = field(default_factory=set)
    terms: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)
    checks: dict = field(default_factory=dict)


@dataclass(eq=False)
class Node:
    """One node of a picture.

    It is a leaf, a result, all results that one call of a composition recorded, or a card: several
    nodes folded into one.
    """

    known: Known
    key: object  # the `order` of its newest tensor or ("array", id)
    tensors: list = field(default_factory=list)  # oldest first, without those of `inside`
    composition: Composition = None
    calls: tuple = ()  # the Calls it lies in, outermost first
    name: str = None
    prefix: str = ""  # the name of the module that is this one node
    inputs: list = field(default_factory=list)  # Uses
    inside: list = field(default_factory=list)  # the nodes folded into this card, oldest first
    owner: Group = None  # the module that this card is
    words: str = ""  # the title of a card
    note: str = ""  # what a card says besides
    id: str = ""  # in a picture

    parts = property(lambda self: self.inside or [self])
    last = property(lambda self: self.parts[-1].tensors[-1])  # its shape, value and gradient count
    uses = property(lambda self: [use for part in self.parts for use in part.inputs])
    is_leaf = property(lambda self: self.last.is_leaf)
    is_root = property(lambda self: any(part.key in self.known.roots for part in self.parts))
    is_parameter = property(lambda self: self.kind in ("parameter", "frozen"))
    maker = property(lambda self: self.composition or self.last.op)  # it has a name and a kind
    tooltip = property(lambda self: labels.tooltip(self))

    @cached_property
    def kind(self):
        """The kind of node: the key of its look."""
        if self.inside:
            kinds = {part.kind for part in self.inside}
            alone = self.owner is None and len(kinds) == 1 and kinds != {"operation"}
            return kinds.pop() if alone else "module"
        x = self.last
        if self.is_leaf:
            if x.requires_grad:
                return "parameter"
            if id(x) in self.known.parameters:
                return "frozen"
            return "noise" if isinstance(x, Noise) else "data"
        kind = self.maker.kind
        arguments = (a for t in self.tensors for a in t.args or ())
        if kind == "operation" and any(isinstance(a, Noise) for a in arguments):
            kind = "random"
        if kind == "operation" and not x.requires_grad:
            kind = "quiet"
        return "root" if self.is_root and kind in ("operation", "loss", "quiet") else kind

    @property
    def label(self):
        """Its name, or what made it, or both; without the names of the modules around it."""
        if self.inside:
            return self.words
        if self.is_leaf:
            return short(self.name or self.kind)
        made = self.maker.name.replace("_", " ")
        if self.name:
            return f"{short(self.name)} = {made}"
        return "loss" if self.key in self.known.terms else short(made)

    @property
    def title(self):
        return f"{self.prefix}: {self.label}" if self.prefix else self.label

    def path(self, below=0):
        """Where it lies, below so many modules, and its label: `encoder.fc1.weight`."""
        around = [call.group.name for call in self.calls[below:]]
        own = [self.title] if self.inside else [self.prefix, self.label]
        return ".".join(filter(None, around + own))

    @property
    def scope(self):
        """The Groups it is drawn in, outermost first."""
        alone = self.kind == "penalty" and not self.is_root and not self.calls
        return (PENALTIES,) if alone else tuple(call.group for call in self.calls)

    @cached_property
    def value(self):
        """The statistics of its value; of a card of leaves, of all of them together."""
        if self.inside and self.is_leaf:
            return Numbers(np.stack([part.last.data for part in self.inside]))
        return self.parts[-1].value if self.inside else Numbers(self.last)

    @cached_property
    def rows(self):
        """Its Rows, from top to bottom."""
        return labels.rows(self)

    @cached_property
    def gradient(self):
        """The statistics of its gradient, or None if that is not known."""
        known = self.known.gradients.get(self.last.order)
        return Numbers(known) if known is not None and self.last.requires_grad else None

    @property
    def holds(self):
        """What it stands for: the `order` of each tensor, ("array", id) of an array."""
        parts = [part for part in self.parts if isinstance(part.key, tuple)]
        results = [t.order for part in self.parts for t in part.tensors if part not in parts]
        return (*results, *(part.key for part in parts))


class Edge(NamedTuple):
    """An arrow between two nodes.

    source, target  the ids of the nodes
    label           "twice", the name of the argument where the order matters, "broadcast"
    style           "gradient", "none" (no gradient flows) or "penalty" (into a penalty)
    weight          how straight it should run
    rms             the root mean square of the gradient that comes back along it, or None
    """

    source: str
    target: str
    label: str = ""
    style: str = "gradient"
    weight: int = 1
    rms: float = None


class Graph:
    """A recorded graph as Nodes, before anything is folded.

    nodes   {key: Node}, oldest first
    home    {order of a tensor: key of its node}
    known   what is Known of it
    groups  {ids of a module and of those around it, outermost first: its Group}
    sent    {(order of a result, place of an argument): the gradient that the result sends to it}
    """

    def __init__(self, roots, options):
        tensors = nodes(roots)
        self.roots, self.newest, self.report = roots, tensors[-1].order, None
        self.nodes, self.groups, self.sent, self.known = {}, {}, {}, Known(options)
        self._add(tensors, {root.order for root in roots})
        self.known.roots = {self.home[root.order] for root in roots}
        self._name(tensors, options.names or {})
        self._unwrap()
        terms = {self.home[root.order]: self._terms(root) for root in roots}
        self.known.terms = {key: of_root for key, of_root in terms.items() if of_root}

    # ---- what becomes one node

    def _add(self, tensors, roots):
        """Makes a node of each tensor, but of those of one call of a composition one node."""
        scopes = {t.order: split_scope(t.scope) for t in tensors if not t.is_leaf}
        newest = {id(call): order for order, (_, call) in scopes.items()}
        self.home = {t.order: t.order for t in tensors}
        self.home |= {order: newest[id(call)] for order, (_, call) in scopes.items() if call}
        hide, begun = not self.known.options.noise, {}
        for t in tensors:
            modules, call = scopes.get(t.order, ((), None))
            key = self.home[t.order]
            if key not in begun:
                made = call[1] if call else None
                begun[key] = Node(self.known, key, composition=made, calls=self._calls(modules))
            begun[key].tensors.append(t)
            for source, i, x in self._arguments(t):
                if source != key and not (hide and isinstance(x, Noise)):
                    if source not in self.home:
                        self.nodes.setdefault(source, Node(self.known, source, [x]))
                    begun[key].inputs.append(Use(source, t, i, x))
            # a node takes its place when its newest tensor comes: after all its inputs
            if key == t.order and not (hide and isinstance(t, Noise) and key not in roots):
                self.nodes[key] = begun[key]

    def _arguments(self, t):
        """(key, place, Tensor) of the arguments of a result that are nodes."""
        for i, given in enumerate(t.args or ()):
            index = isinstance(given, tuple)
            for x in given if index else (given,):
                if isinstance(x, Tensor):
                    yield self.home[x.order], i, x
                elif is_operand(x) and not (index and _counts(x)):
                    yield ("array", id(x)), i, constant(x)

    def _calls(self, scopes):
        """The Calls of these scopes, outermost first."""
        calls, path, outer = (), (), None
        for scope in scopes:
            module, path = scope[1], (*path, id(scope[1]))
            if path not in self.groups:
                parameters = list(module.parameters())
                self.known.parameters.update(map(id, parameters))
                name = short(outer.name_of(module)) if outer is not None else ""
                size, kind = sum(p.size for p in parameters), short(module_text(module), 60)
                self.groups[path] = Group(name, kind, size, repr(module))
            calls, outer = (*calls, Call(id(scope), self.groups[path])), module
        return calls

    # ---- names and places

    def _name(self, tensors, names):
        """Names nodes as the user does, else as a leaf calls itself, its module, or its role."""
        for name, x in names.items():
            key = x.order if isinstance(x, Tensor) else ("array", id(x))
            if key in self.nodes and self.nodes[key].name is None:
                self.nodes[key].name = str(name)
        held = holders(tensors)
        for key, node in self.nodes.items():
            if node.is_leaf:
                node.name = node.name or node.last.name
            if key in held:
                scope, attribute = held[key]
                node.calls, node.name = self._calls(split_scope(scope)[0]), node.name or attribute
        for node in self.nodes.values():
            for use in node.inputs:
                leaf = self.nodes[use.source]
                if leaf.kind == "noise":
                    leaf.calls = node.calls
                elif leaf.is_leaf and leaf.name is None:
                    is_target = node.maker.kind == "loss" and use.place > 0 and leaf.kind == "data"
                    leaf.name = "target" if is_target else role(use.by.op, use.place)

    def _unwrap(self):
        """A module without parameters that is one node becomes the prefix of its name."""
        inside = Counter(call for node in self.nodes.values() for call in node.calls)
        for node in self.nodes.values():
            while node.calls and inside[node.calls[-1]] == 1:
                group = node.calls[-1].group
                if group.parameters:
                    break
                node.prefix = ".".join(filter(None, [group.name, node.prefix]))
                node.calls = node.calls[:-1]

    # ---- what is known besides

    def _terms(self, root):
        """The terms of a root, if it is a sum of one entry with a loss or a penalty in it."""
        if root.size != 1 or not root.args:
            return {}
        terms, said = {}, []
        for term in addends(root):
            order = None if term.node is None else term.node.order
            node = self.nodes.get(self.home.get(order))
            key, label = (node.key, node.label) if node else (name_of(term), name_of(term))
            terms[key] = label, terms.get(key, (label, 0.0))[1] + term.value
            said.append(node and not node.is_leaf and node.maker.kind)
        return terms if len(terms) > 1 and {"loss", "penalty"} & {*said} else {}

    def take_checks(self, report):
        """Takes the verdicts of the report of check_graph.

        Raises TypeError for another object, ValueError for the report of another graph.
        """
        if report is None:
            return
        if not hasattr(report, "rows"):
            given = type(report).__name__
            raise TypeError(f"draw: checks is what check_graph(loss) returns, not {given}.")
        known = [row for row in report.rows if row.order in self.home]
        for row in sorted(known, key=lambda row: (row.severity, -row.error)):
            self.known.checks.setdefault(self.home[row.order], []).append(row)
        # two graphs of one model share its leaves, so a leaf does not tell which graph was checked
        if not any(row.op != "leaf" or self.home[row.order] in self.known.roots for row in known):
            raise ValueError(
                "draw: checks is the report of another graph. "
                "Check and draw the same loss, with no forward pass between."
            )
        self.report = report

    def take_gradients(self, run):
        """Takes the gradients that are there.

        With `run` it takes all gradients, and what flows along each edge, from a backward pass that
        leaves no trace; RuntimeError if backward could not start from a root.
        """
        if not run:
            tensors = (x for node in self.nodes.values() for x in node.tensors)
            self.known.gradients = {t.order: t.grad.data for t in tensors if t.grad is not None}
            return
        self.known.gradients = {root.order: np.ones_like(root.data) for root in self.roots}
        for node, g, sent in trace(self.roots):
            self.known.gradients[node.order] = g
            for s in sent:
                self.sent[node.order, s.argument] = s.cotangent
                self.known.gradients[s.input.order] = s.total

    def heading(self, depth):
        """The line above the picture, a Row. `depth`: how deep modules are opened, None: all."""
        nodes = self.nodes.values()
        words, wrong = [count(len(nodes), "node"), labels.parameters(nodes)], []
        if depth is not None:
            words.append(f"modules opened to depth {depth}" if depth else "modules folded")
        trained = [node for node in nodes if node.kind == "parameter"]
        if trained and not self.known.gradients and self.known.options.grads:
            words.append("gradients not computed")
        changed = sum(node.is_leaf and changed_since(node.last, self.newest) for node in nodes)
        if changed:
            words.append(f"{count(changed, 'tensor')} changed since the forward pass")
        if self.report is not None:
            rows = [row for row in self.report.rows if row.order in self.home]
            wrong = [self.nodes[self.home[row.order]].path() for row in rows if row.wrong]
            passed = sum(row.passed for row in rows)
            words.append(f"gradient check: {passed:,} of {len(rows):,} passed")
            silent = sum(row.verdict == "VACUOUS" for row in rows)
            words += [f"{silent:,} VACUOUS"] if silent else []
            words += [f"first wrong: {name}" for name in wrong[:1]]
        if self.known.options.values:  # a mask of -inf is data, and no trouble
            odd = (n.path() for n in nodes if n.last.requires_grad and n.value.bad)
            first = [f"nan/inf, first: {path}" for path in islice(odd, 1)]
            words += first
            wrong += first
        return Row(", ".join(filter(None, words)), "alarm" if wrong else "caption")

    # ---- edges

    def edges(self, drawn):
        """The Edges between the Nodes that are drawn. A tensor that enters twice is one Edge."""
        where = {part.key: node for node in drawn for part in node.parts}
        number = {node: i for i, node in enumerate(drawn)}
        edges = []
        for node in drawn:
            uses = {}
            for use in node.uses:
                source = where[use.source]
                # the parameters of a module that is called twice are drawn in its first call
                again = source.owner is not None and source.owner is node.owner
                if source is not node and not (again and use.value.is_leaf):
                    uses.setdefault(source, []).append(use)
            results = [n for n in uses if not n.is_leaf and n.kind != "penalty"]
            trunk = max(results, key=number.get, default=None)
            for source, same in uses.items():
                flows = any(use.value.requires_grad and use.by.op.rules[use.place] for use in same)
                style = "penalty" if node.kind == "penalty" else "gradient"
                label, weight = self._label(source, node, same), 12 if source is trunk else 1
                style = style if flows else "none"
                edges.append(Edge(source.id, node.id, label, style, weight, self._flow(same)))
        return edges

    def _label(self, source, target, uses):
        """How the result of an op takes a node: `twice`, or the argument it is, and `broadcast`."""
        if target.inside or source.inside or target.composition or target.kind == "penalty":
            return ""
        t, words, name = uses[0].by, [], uses[0].by.op.names[uses[0].place]
        taken = [(t.op.names[use.place], self.nodes[use.source].label) for use in target.inputs]
        unclear = sum(argument != label for argument, label in taken)
        if len(uses) > 1:
            words.append("twice" if len(uses) == 2 else f"{len(uses)} times")
        elif unclear > 1 and name != source.label and not labels.commutes(t.op):
            words.append(name)
        return ", ".join(words + ["broadcast"] * labels.is_broadcast(source.last, t))

    def _flow(self, uses):
        """The root mean square of the gradient that these uses send back, if known."""
        sums = {}  # what each tensor gets
        for use in uses:
            sent = self.sent.get((use.by.order, use.place))
            if sent is not None:
                sums[use.value.order] = sums.get(use.value.order, 0) + sent
        size = sum(total.size for total in sums.values())
        squares = sum(float(np.sum(np.square(total, dtype=float))) for total in sums.values())
        return math.sqrt(squares / size) if size else None


def _counts(index):
    """Whether an index only counts 0, 1, 2, ...: the rows beside the labels of a loss."""
    return index.ndim == 1 and np.array_equal(index, np.arange(len(index)))


def module_text(module):
    """The type and the arguments of a module, in short: Linear(64, 128, bias=False)."""
    text = repr(module)
    if "\n" in text:
        return type(module).__name__
    arguments = signature(type(module)).parameters.values()
    for name in (p.name for p in arguments if p.default is p.empty):
        text = text.replace(f"{name}=", "")
    return text.removesuffix("()")

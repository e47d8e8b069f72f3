"""Pictures of graphs: `draw(loss)`.

Three steps, each with one job. `describe` reads the tensors and writes plain records of nodes and edges; `dot` turns records
into the DOT text of Graphviz; render.py has a Graphviz program lay it out. Nothing is computed anew, changed or kept.

Every kind of node has a shape and a fill of its own, so that a picture can be read in grey as well.
"""

import html
import math
import os
import re
from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from .engine import Noise, Tensor, data_of
from .graph import nodes as nodes_of

LIMIT = 400  # nodes drawn at most
PARAMETERS = "parameter", "frozen"  # kinds
WIDEST = 40  # letters of a name or an attribute shown at most
TERMS = 8  # of a loss shown at most


class Look(NamedTuple):
    """How a kind of node is drawn."""

    shape: str
    style: str
    fill: str
    line: str
    ink: str


LOOKS = {
    "data": Look("note", "filled", "#DCEBF7", "#2F6DA8", "#10243A"),
    "constant": Look("ellipse", "filled,dashed", "#F0F0F0", "#8A8A8A", "#333333"),
    "parameter": Look("cylinder", "filled", "#F6D48A", "#9A6A00", "#2B1E00"),
    "frozen": Look("cylinder", "filled,dashed", "#F3EBDB", "#9A8A6A", "#2B1E00"),
    "noise": Look("circle", "filled", "#E6C3DA", "#8E3A72", "#3A0F2C"),
    "operation": Look("box", "filled,rounded", "#FFFFFF", "#5F6B76", "#111111"),
    "random": Look("hexagon", "filled", "#E6C3DA", "#8E3A72", "#3A0F2C"),
    "loss": Look("box", "filled,diagonals", "#9CCFE6", "#0B6088", "#04222F"),
    "penalty": Look("octagon", "filled", "#F0A988", "#A8410A", "#3A1300"),
    "root": Look("box", "filled", "#12364F", "#000000", "#FFFFFF"),
    "more": Look("box", "filled,rounded", "#E4E4E4", "#8A8A8A", "#333333"),
}
MODULE_TINTS, MODULE_LINE = ("#F4F7FA", "#E9EFF5", "#DEE7EF", "#D3DFE9"), "#93A3B1"
DIM, RED, BLUE, BROWN, GREY = "#3D4650", "#C1121F", "#0B5A8A", "#A8410A", "#8A8A8A"

# How a row of a node is set: size, HTML-like tag, colour (None: the ink of the kind).
ROWS = {
    "title": (11.5, "B", None),
    "shape": (9, None, None),
    "attribute": (9, None, None),
    "value": (9, None, None),
    "number": (10, "B", None),
    "gradient": (9, None, BLUE),
    "missing": (9, "I", None),
    "alarm": (9, "B", RED),
    "note": (9, "I", None),
}

ROOM = {"hexagon": (1.5, 1.15), "octagon": (1.1, 1.15), "cylinder": (1.05, 1.35), "circle": (1.1, 1.5)}  # times the text: the shape around it

EDGES = {
    "gradient": "",
    "none": f'style=dotted color="{GREY}"',
    "penalty": f'style=dashed color="{BROWN}"',
}

SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}
ORDERED = {"subtract", "divide", "power", "matmul", "where", "concatenate", "stack", "einsum"}  # their arguments cannot be swapped


# ----------------------------------------------------------------------------------------- records


class Row(NamedTuple):
    """A line of text in a node, and its role: a key of ROWS."""

    text: str
    role: str


@dataclass(frozen=True)
class Group:
    """A module, drawn as a box around its nodes."""

    number: int
    name: str
    type: str = ""
    parameters: int = 0

    id = property(lambda self: "cluster_penalties" if self is PENALTIES else f"cluster_{self.number}")


PENALTIES = Group(-1, "penalties")  # the box around penalties that no module made


@dataclass
class Node:
    """One drawn node. `scope`: the Groups it lies in, outermost first; `beside`: the id of the node it stands next to, on that `side`."""

    id: str
    kind: str
    title: str
    rows: list
    scope: tuple = ()
    is_root: bool = False
    beside: str = ""
    side: str = ""
    holds: tuple = ()  # what it stands for: the `order` of each tensor, ("array", its id) of an array


@dataclass
class Edge:
    """An arrow between two node ids. `style`: a key of EDGES; `weight`: how straight it should run."""

    source: str
    target: str
    label: str = ""
    style: str = "gradient"
    weight: int = 1


# ------------------------------------------------------------------------------- from tensors to records


@dataclass
class Box:
    """What becomes one node: a leaf, a result, or all that one call of a composition recorded. Lives only inside `describe`."""

    members: list  # oldest first; the last gives the shape, the value and the gradient
    call: str = None  # the name of the composition
    inputs: list = field(default_factory=list)  # (key of the box it comes from, member it goes to, place among its arguments)
    random: bool = False
    name: str = None
    modules: tuple = ()

    last = property(lambda self: self.members[-1])
    is_leaf = property(lambda self: not isinstance(self.last, Tensor) or self.last.is_leaf)

    @property
    def kind(self):
        x = self.last
        if not isinstance(x, Tensor):
            return "data" if isinstance(x, np.ndarray) else "constant"
        if self.is_leaf:
            if x.requires_grad:
                return "parameter"
            return "frozen" if type(x).__name__ == "Parameter" else "noise" if isinstance(x, Noise) else "data"
        word = self.call or x.op.name
        if word.endswith("_penalty"):
            return "penalty"
        if word.endswith("loss") or "cross_entropy" in word:
            return "loss"
        return "random" if self.random else "operation"


def describe(root, *, values=True, grads=True, constants=False, noise=False, names=None, limit=LIMIT):
    """The graph of `root`, a Tensor or a list of them, as records: (nodes, edges), oldest first. Options as for `draw`."""
    roots = list(root) if isinstance(root, (list, tuple)) else [root]
    if not all(isinstance(r, Tensor) for r in roots):
        raise TypeError(f"draw: the root is a Tensor or a list of Tensors, not {type(root).__name__}.")
    boxes, home = _boxes(nodes_of(roots), {r.order for r in roots}, constants, noise)
    _name(boxes, names or {})
    kept = _nearest(boxes, [home[r.order] for r in roots], limit)
    ids = {key: f"n{i}" for i, key in enumerate(key for key in boxes if key in kept)}
    terms = {home[r.order]: _terms(r, boxes, home) for r in roots}  # of each root
    groups = {}
    nodes = [_node(id, key, boxes, terms, groups, values, grads, constants) for key, id in ids.items()]
    edges = [edge for key in ids for edge in _edges(boxes, key, ids)]
    if len(kept) < len(boxes):
        nodes.insert(0, Node("more", "more", f"{len(boxes) - len(kept):,} more", []))
    _unbox(nodes)
    _stand_beside(nodes, edges)
    return nodes, edges


def _node(id, key, boxes, terms, groups, values, grads, constants):
    box, is_root = boxes[key], key in terms
    kind = "root" if is_root and box.kind in ("operation", "loss") else box.kind
    title = "loss" if is_root and terms[key] and not box.name else _title(box)
    rows = _rows(box, values, grads, constants) + (_term_rows(key, boxes, terms) if values else [])
    scope = _scope(box.modules, groups) or (PENALTIES,) * (kind == "penalty" and not is_root)
    holds = tuple(getattr(t, "order", key) for t in box.members)
    return Node(id, kind, title, rows, scope, is_root, holds=holds)


def _boxes(graph, roots, constants, noise):
    """({key: Box}, {order of a tensor: key of its box}), oldest first."""
    newest = {}  # call of a composition -> its newest result, whose order becomes the key of the box
    split = {t.order: _split(t.origin) for t in graph if not t.is_leaf}
    for order, (_, call) in split.items():
        newest[id(call)] = order
    home = {t.order: t.order for t in graph}
    home |= {order: newest[id(call)] for order, (_, call) in split.items() if call}
    boxes, calls = {}, {}  # a box takes its place when its newest member comes: after all its inputs
    for t in graph:
        modules, call = split.get(t.order, ((), None))
        key = home[t.order]
        box = calls.setdefault(key, Box([], call and call[1], modules=modules))
        box.members.append(t)
        for source, i, x in _inputs(t, home, constants):
            if isinstance(x, Noise):
                box.random = True
                if not noise:
                    continue
            if source != key:
                if source not in home:
                    boxes.setdefault(source, Box([x]))
                box.inputs.append((source, t, i))
        box.random |= t.op is not None and "noise" in t.op.names
        hidden = isinstance(t, Noise) and not noise and t.order not in roots
        if key == t.order and not hidden:
            boxes[key] = box
    return boxes, home


def _split(scope):
    """The scope of a result: (modules it lies in, outermost first; the scope of the outermost composition, or None)."""
    modules, call = [], None
    while scope is not None:
        outer, owner = scope
        if isinstance(owner, str):
            call, modules = scope, []  # a composition is one node, whatever modules it calls
        else:
            modules.append(owner)
        scope = outer
    return tuple(reversed(modules)), call


def _inputs(t, home, constants):
    """(key, place, value) of the arguments of a result that are nodes: Tensors, arrays, and numbers if `constants`."""
    for i, argument in enumerate(t.args or ()):
        index = isinstance(argument, tuple)
        for x in argument if index else (argument,):
            if isinstance(x, Tensor):
                yield home.get(x.order, x.order), i, x
            elif isinstance(x, np.ndarray) and x.ndim and not (index and _counts(x)):
                yield ("array", id(x)), i, x
            elif constants and not index and _is_number(x) and t.op.rule(i):
                yield ("constant", t.order, i), i, x.item() if isinstance(x, np.ndarray) else x


def _counts(index):
    """Whether an index only counts 0, 1, 2, ...: the rows beside the labels of a loss."""
    return index.ndim == 1 and np.array_equal(index, np.arange(len(index)))


def _is_number(x):
    return isinstance(x, (int, float, np.generic)) or (isinstance(x, np.ndarray) and x.ndim == 0)


# ---- names and places


def _name(boxes, names):
    """Names boxes: as the user does, else after the module attribute, the tensor's own name or, for data, the argument it is."""
    for name, x in names.items():
        if isinstance(x, (Tensor, np.ndarray)):
            key = x.order if isinstance(x, Tensor) else ("array", id(x))
            if key in boxes and boxes[key].name is None:
                boxes[key].name = str(name)
    members = {}  # module -> what it holds
    for box in boxes.values():
        for source, t, _ in box.inputs:
            if (leaf_box := boxes[source]).is_leaf and not leaf_box.modules and isinstance(leaf_box.last, Tensor):
                _own(leaf_box, box, t, members)
    for box in boxes.values():
        for source, t, i in box.inputs:
            if (leaf_box := boxes[source]).is_leaf and leaf_box.name is None:
                is_target = box.kind == "loss" and i > 0 and leaf_box.kind == "data"
                leaf_box.name = getattr(leaf_box.last, "name", None) or ("target" if is_target else t.op.argument(i))


def _own(leaf_box, box, t, members):
    """Finds the module around `t` that holds the leaf: the leaf is drawn in its box, under its attribute's name."""
    scope = t.origin
    while scope is not None:
        scope, owner = scope
        if not isinstance(owner, str):
            if id(owner) not in members:
                members[id(owner)] = _held(owner)
            if (name := members[id(owner)].get(id(leaf_box.last))) is not None:
                inside = [id(m) for m in box.modules]
                depth = inside.index(id(owner)) + 1 if id(owner) in inside else len(inside)
                leaf_box.modules = box.modules[:depth]
                leaf_box.name = leaf_box.name or name
                return


def _held(module):
    """{id of a Tensor: its name} of what hangs in the attributes of a module, and in their lists and dicts."""
    held = {}
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            held.setdefault(id(value), name)
        elif isinstance(value, (list, tuple, dict)):
            for k, v in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(v, Tensor):
                    held.setdefault(id(v), f"{name}.{k}")
    return held


def _scope(modules, groups):
    """The Groups of nested modules; `groups` remembers them by the modules' ids."""
    path = ()
    for depth in range(1, len(modules) + 1):
        module, key = modules[depth - 1], tuple(map(id, modules[:depth]))
        if key not in groups:
            text = repr(module)
            count = sum(p.size for p in module.parameters())
            text = type(module).__name__ if "\n" in text else re.sub(r"\b(in|out)_(features|channels)=", "", text)
            name = modules[depth - 2].name_of(module) if depth > 1 else ""
            groups[key] = Group(len(groups), _short(name), _short(text, 60), count)
        path += (groups[key],)
    return path


def _unbox(nodes):
    """A module that is one node and has no parameters gets no box; its name goes before the node's title."""
    inside = Counter(group for node in nodes for group in node.scope)
    for node in nodes:
        while node.scope and node.scope[-1] is not PENALTIES and inside[node.scope[-1]] == 1 and not node.scope[-1].parameters:
            *scope, group = node.scope
            node.scope = tuple(scope)
            if group.name:
                node.title = f"{group.name}: {node.title}"


def _nearest(boxes, starts, limit):
    """The keys of the `limit` boxes with the shortest way to a root."""
    kept, queue = dict.fromkeys(starts), deque(starts)
    while queue and len(kept) < limit:
        for source, _, _ in boxes[queue.popleft()].inputs:
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


def _edges(boxes, key, ids):
    """The edges into a box. A tensor that enters it twice is one edge that says so."""
    box, kind = boxes[key], boxes[key].kind
    uses = {}
    for source, t, i in box.inputs:
        uses.setdefault(source if source in ids else None, []).append((t, i))
    results = [s for s in uses if s is not None and not boxes[s].is_leaf and boxes[s].kind != "penalty"]
    trunk = max(results, key=lambda s: int(ids[s][1:]), default=None)
    for source, places in uses.items():
        if source is None:
            yield Edge("more", ids[key], style="none")
            continue
        wanted = getattr(boxes[source].last, "requires_grad", False)
        flows = wanted and any(t.op.rule(i) for t, i in places)
        style = "none" if not flows else "penalty" if kind == "penalty" else "gradient"
        label = "" if box.call or kind == "penalty" else _edge_label(boxes[source], places)
        yield Edge(ids[source], ids[key], label, style, 12 if source == trunk else 1)


def _edge_label(source, places):
    (t, i), times = places[0], len(places)
    op, name = t.op, t.op.argument(i)
    words = [f"x{times}"] if times > 1 else []
    if op.name in ORDERED and times == 1 and name != source.name and sum(map(_is_array, t.args)) > 1:
        words.append(name)
    elementwise = isinstance(op.forward, np.ufunc) or op.name == "where"
    if elementwise and source.kind != "constant" and np.shape(data_of(source.last)) != t.shape:
        words.append("broadcast")
    return ", ".join(words)


def _is_array(x):
    return isinstance(x, (Tensor, np.ndarray)) and not _is_number(x)


# ---- what the loss is a sum of


def _terms(root, boxes, home):
    """{key: part of the value} of a loss that is a sum with data losses or penalties in it, largest part first; else {}."""
    if root.size != 1 or not root.args:
        return {}
    heap, factors, terms = [(root.order, root)], {root.order: 1.0}, {}
    while heap:
        order, t = heappop(heap)  # the newest: whatever uses it has been seen
        factor, box = factors.pop(order), boxes.get(home[order])
        if box and box.call is None and (scale := _sum_or_multiple(t)) is not None:
            for a in t.args:
                if isinstance(a, Tensor):
                    if a.order not in factors:
                        heappush(heap, (a.order, a))
                    factors[a.order] = factors.get(a.order, 0.0) + scale * factor
        elif box:
            terms[home[order]] = terms.get(home[order], 0.0) + factor * float(t.data.item())
    if len(terms) < 2 or not any(boxes[key].kind in ("loss", "penalty") for key in terms):
        return {}
    return dict(sorted(terms.items(), key=lambda term: -term[1]))


def _sum_or_multiple(t):
    """1 for a sum of scalars, the number for a number times a scalar, None for all else."""
    if t.args and t.op.name in ("add", "multiply") and all(a.size == 1 for a in t.args if isinstance(a, Tensor)):
        numbers = [float(a) for a in t.args if _is_number(a)]
        return 1.0 if t.op.name == "add" else numbers[0] if numbers else None
    return None


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
                rows.append(Row(f"{_title(boxes[term])} {_number(part)}{share}", "attribute"))
    return rows


def _percent(share):
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


# ---- rows


def _title(box):
    x = box.last
    if not isinstance(x, Tensor) and not isinstance(x, np.ndarray):
        return _text(x)
    if box.is_leaf:
        return _short(box.name or box.kind)
    made = (box.call or x.op.name).replace("_", " ") if box.call or box.kind in ("loss", "penalty") else x.op.name
    return _short(f"{box.name} = {made}" if box.name else made)


def _rows(box, values, grads, constants):
    x = box.last
    if box.kind == "constant":
        return []
    data = data_of(x)
    rows = [Row(str(data.shape), "shape")] if data.shape else []
    rows += [Row(text, "attribute") for text in _attributes(box, constants)]
    if isinstance(x, Tensor) and x.args is None:
        rows += [Row(text, "note") for text in ("graph freed by backward(): draw before it,", "or use backward(retain_graph=True)")]
    if values:
        rows.append(_numbers(data))
    if grads and isinstance(x, Tensor) and x.requires_grad:
        if x.grad is not None:
            rows.append(_gradient(x.grad.data))
        elif x.is_leaf:
            rows.append(Row("∂ not computed", "missing"))
    return rows


def _attributes(box, constants):
    """The arguments that are no nodes: settings that differ from the default, and numbers. Of a composition, the ops inside."""
    if isinstance(box.last, Noise):
        return [_short(repr(box.last.distribution))]
    if box.call:
        return [_short(", ".join(dict.fromkeys(m.op.name for m in box.members)))] if len(box.members) > 1 else []
    op, args = getattr(box.last, "op", None), getattr(box.last, "args", None) or ()
    if op is not None and op.name in SYMBOLS and any(map(_is_number, args)):
        return [] if constants else [f" {SYMBOLS[op.name]} ".join(_text(a) if _is_number(a) else "x" for a in args)]
    hidden = [(op.argument(i), a) for i, a in enumerate(args) if not _is_array(a)]
    shown = [f"{name}={_text(a)}" for name, a in hidden if name not in op.defaults or not _same(a, op.defaults[name])]
    return [_short(", ".join(shown))] if shown else []


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
    return _short("..." if x is ... else getattr(x, "__name__", x))


def _short(text, widest=WIDEST):
    """One printable line of at most `widest` letters."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return line if len(line) <= widest else line[: widest - 3] + "..."


def _gradient(array):
    row = _numbers(array)
    if array.size and not np.any(array):
        return Row("∂ all zero" if array.ndim else "∂ zero", "alarm")
    return Row("∂ " + row.text.removeprefix("= "), "alarm" if row.role == "alarm" else "gradient")


def _numbers(array):
    """An array in a line: `= 2.76`, `-0.03 ± 0.32` (mean and standard deviation), `all 0`, `int 0..3`."""
    if array.size == 0:
        return Row("empty", "value")
    if array.dtype.kind == "b" and array.ndim:
        return Row(f"{np.mean(array):.0%} true", "value")
    if array.dtype.kind in "iu" and array.ndim:
        return Row(f"int {array.min()}..{array.max()}", "value")
    if array.dtype.kind == "c":
        return Row(str(array.dtype), "value")
    if bad := array.size - np.count_nonzero(np.isfinite(array)):
        return Row(f"{bad:,} nan/inf" if array.size > 1 else str(array.item()), "alarm")
    if array.size == 1:
        return Row(f"= {_number(array.item())}", "number")
    if np.all(array == array.flat[0]):
        return Row(f"all {_number(array.flat[0])}", "value")
    with np.errstate(all="ignore"):
        return Row(_spread(np.mean(array, dtype=float), np.std(array, dtype=float)), "value")


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


# ------------------------------------------------------------------------------------ from records to DOT


def dot(nodes, edges, direction="TB", title=None):
    """The body of a DOT digraph, as lines."""
    lines = [
        f'graph [rankdir={direction} fontname=Arial bgcolor="#FFFFFF" nodesep=0.3 ranksep=0.35 pad=0.2]',
        # remincross would reorder the insides of modules once more, and part parameters from their ops. Without nslimit
        # a leaf with edges to hundreds of ranks takes over a minute.
        "graph [remincross=false nslimit=5 nslimit1=5]",
        'node [fontname=Arial fontsize=9 margin="0.12,0.06" penwidth=1.1]',
        'edge [fontname=Arial fontsize=8 arrowsize=0.7 color="#39424B" fontcolor="#3D4650"]',
    ]
    if title:
        lines.append(f"graph [labelloc=t labeljust=l label={_label([Row(_short(title, 80), 'title')], LOOKS['operation'])}]")
    opened = ()
    for node in sorted(nodes, key=_by_module):
        shared = sum(a == b for a, b in zip(opened, node.scope))
        lines += ["}"] * (len(opened) - shared)
        for depth, group in enumerate(node.scope[shared:], shared):
            lines += [f"subgraph {group.id} {{", _group_line(group, depth)]
        opened = node.scope
        lines.append(_node_line(node))
        beside = [n.id for n in nodes if n.beside == node.id]
        if beside:
            lines.append(f"{{ rank=same; {'; '.join([*beside, node.id])} }}")
    lines += ["}"] * len(opened)
    on_right = {(n.id, n.beside) for n in nodes if n.side == "right"}
    lines += [_edge_line(edge, (edge.source, edge.target) in on_right) for edge in edges]
    return [line + "\n" for line in lines]


def _by_module(node):
    """Sorts nodes so that each module is opened once; penalties come first, which keeps them to the right of the modules."""
    return PENALTIES not in node.scope, [group.number for group in node.scope]


def _group_line(group, depth):
    words = [f"<B>{html.escape(group.name)}</B>"] if group.name else []
    if group.type:
        words.append(html.escape(group.type))
    if group.parameters:
        words.append(f'<FONT COLOR="{DIM}">{group.parameters:,} parameters</FONT>')
    style, fill, line = "rounded,filled", MODULE_TINTS[depth % len(MODULE_TINTS)], MODULE_LINE
    if group is PENALTIES:
        style, fill, line = "rounded,filled,dashed", "#FFF6F0", BROWN
    return f'graph [style="{style}" fillcolor="{fill}" color="{line}" labeljust=l fontsize=9 label=<{"  ".join(words)}>]'


def _node_line(node):
    look = LOOKS[node.kind]
    rows = [Row(node.title, "title"), *node.rows]
    colours = f'fillcolor="{look.fill}" color="{look.line}"'
    extent = (" peripheries=2" if node.is_root else "") + _size(rows, look.shape)
    return f'{node.id} [shape={look.shape} style="{look.style}" {colours}{extent} label={_label(rows, look)}]'


def _label(rows, look):
    lines = ['<TR><TD HEIGHT="8"></TD></TR>'] if look.shape == "cylinder" else []  # below its rim
    for text, role in rows:
        size, tag, colour = ROWS[role]
        if colour is None or (look.fill != "#FFFFFF" and (role == "gradient" or look is LOOKS["root"])):
            colour = look.ink
        text = html.escape(text) or " "
        text = f"<{tag}>{text}</{tag}>" if tag else text
        lines.append(f'<TR><TD><FONT POINT-SIZE="{size}" COLOR="{colour}">{text}</FONT></TD></TR>')
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{"".join(lines)}</TABLE>>'


def _size(rows, shape):
    """Width and height for a shape around which Graphviz leaves too much room; from estimated widths of letters."""
    if shape not in ROOM:
        return ""
    wide, high = ROOM[shape]
    width = max(ROWS[role][0] * sum(1.0 if c > "\u2e80" else 0.58 if role == "title" else 0.53 for c in text) for text, role in rows)
    height = sum(1.2 * ROWS[role][0] + 2 for _, role in rows)
    return f" fixedsize=true width={(width * wide + 12) / 72:.2f} height={(height * high + 8) / 72:.2f}"


def _edge_line(edge, reversed):
    """`reversed`: written from target to source, which puts the source on the right of a target of the same rank."""
    ends = (edge.target, edge.source) if reversed else (edge.source, edge.target)
    attributes = [f"weight={edge.weight}", EDGES[edge.style]] + ["dir=back"] * reversed
    if edge.label:
        attributes.append(f"label=<{html.escape(edge.label)}>")
    return f"{ends[0]} -> {ends[1]} [{' '.join(filter(None, attributes))}]"


SUFFIXES = (".svg", ".png", ".pdf", ".gv", ".dot")


def draw(root, *, direction="TB", values=True, grads=True, constants=False, noise=False, names=None, title=None, to_file=None):
    """The graph of `root`, a Tensor or a list of them, as a picture that a notebook shows.

    direction  "TB" (downwards) or "LR", "BT", "RL"
    values     each node's value, or mean ± standard deviation
    grads      gradients, where there are any
    constants  numbers as nodes of their own, not as text
    noise      the noise of a random op as a node of its own
    names      {name: Tensor}, such as locals(); other values are ignored
    to_file    also writes it there: .svg, .png, .pdf, or the DOT text as .gv or .dot
    """
    if direction not in ("TB", "LR", "BT", "RL"):
        raise ValueError(f'draw: direction is "TB", "LR", "BT" or "RL", not {direction!r}.')
    suffix = os.path.splitext(to_file)[1] if to_file is not None else ".gv"
    if suffix not in SUFFIXES:
        raise ValueError(f"draw: to_file ends in {', '.join(SUFFIXES)}; got {str(to_file)!r}.")
    records = describe(root, values=values, grads=grads, constants=constants, noise=noise, names=names)
    try:
        from .render import Drawing  # graphviz is needed only now
    except ImportError:
        raise ImportError("draw needs the package graphviz: pip install graphviz graphviz-pure") from None
    drawing = Drawing(format="svg", body=dot(*records, direction, title))
    if to_file is not None and suffix in (".gv", ".dot"):
        with open(to_file, "w", encoding="utf-8") as file:
            file.write(drawing.source)
    elif to_file is not None:
        drawing.render(outfile=to_file)
    return drawing

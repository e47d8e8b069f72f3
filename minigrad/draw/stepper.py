"""A page that steps through a recorded graph, forward and backward: `to_html(loss, "loss.html")`.

`trace` tells the backward pass as it happens: what arrives at each op, what its rules send to its inputs, and what has
come together there. `story` writes that down as plain records, and `to_html` puts them into one file beside the picture of
the graph. The file's template, stepper.html, holds all its style and script, and needs nothing from any network.
"""

import ast
import html
import json
import linecache
import re
import textwrap
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import Noise, Tensor, _is_fresh, _seed, _unbroadcast, data_of
from ..engine import path as dotted
from ..graph import program
from .dot import PENALTIES, short
from .picture import _text, read

LIMIT = 300  # steps and drawn nodes
CORNER = 3, 5  # rows and columns of an array that are shown
BINS = 24  # of a histogram
SIDE = 64  # rows and columns of noise that are shown


# ------------------------------------------------------------------------------------ the backward pass


class Sent(NamedTuple):
    """What an op sends to one of its arguments.

    returned   the shape of what the rule returned; the cotangent has the shape of `input`: broadcasting is undone
    count, of  this is contribution number `count` of all that `input` gets in this backward pass
    total      the sum so far. In a leaf's last contribution it is the leaf's `.grad`
    """

    input: Tensor
    argument: int
    returned: tuple
    cotangent: np.ndarray
    count: int
    of: int
    total: np.ndarray


class Frame(NamedTuple):
    """A step of the backward pass: `node` got the whole cotangent `g`, and its rules send some of it on."""

    node: Tensor
    g: np.ndarray
    sent: list


def trace(root, gradient=None):
    """The backward pass from `root` in the engine's order, newest op first: a Frame for each op.

    It computes what `root.backward(gradient)` computes, bit for bit, on arrays of its own: no `.grad`, no generator and
    no graph is touched, and noise is as it was drawn.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> for node, g, sent in trace(x * x + x):
    ...     print(node.op.name, g, [(float(s.cotangent), f"{s.count} of {s.of}", float(s.total)) for s in sent])
    add 1.0 [(1.0, '1 of 1', 1.0), (1.0, '1 of 3', 1.0)]
    multiply 1.0 [(3.0, '2 of 3', 4.0), (3.0, '3 of 3', 7.0)]
    """
    if not root.requires_grad:
        raise RuntimeError("trace: this tensor does not depend on any leaf with requires_grad=True (or was made under no_grad()).")
    if gradient is None and root.size != 1:
        raise RuntimeError(f"trace: the tensor has shape {root.shape}, not one entry. Trace its .mean() or .sum(), or pass gradient=.")
    reached, of = [], Counter([root.order])  # the ops that a cotangent comes to, newest first; order -> how many come
    for node in reversed(program(root, "trace")):
        if node.args and of[node.order]:
            reached.append(node)
            of.update(x.order for _, x in _receivers(node))
    arrived, count = {root.order: (_seed(root, gradient, False), False)}, Counter()  # order -> (the sum so far, whether it is added to in place)
    for node in reached:
        g, _ = arrived.pop(node.order)
        sent = []
        for (i, x), (_, cotangent) in zip(_receivers(node), node.op.pull(g, node)):
            returned = np.shape(cotangent)
            if returned != x.shape or not hasattr(cotangent, "shape"):
                cotangent = _unbroadcast(cotangent, x, node.op, node.args)
            if count[x.order] == 0:
                total, in_place = cotangent, x.is_leaf and _is_fresh(cotangent, g, node.args)
            else:
                total, in_place = arrived[x.order]
                if in_place:  # as in the engine, where this decides the dtype
                    total = total.copy()
                    total += cotangent
                else:
                    total, in_place = total + cotangent, True
            arrived[x.order] = total, in_place
            count[x.order] += 1
            if x.is_leaf and count[x.order] == of[x.order]:
                total = total.astype(x.dtype, copy=False)
            sent.append(Sent(x, i, returned, cotangent, count[x.order], of[x.order], total))
        yield Frame(node, g, sent)


def _receivers(node):
    """(place, tensor) of the arguments that the node's rules send something to."""
    return [(i, x) for i, x in enumerate(node.args) if isinstance(x, Tensor) and x.requires_grad and _rule(node.op, i)]


def _rule(op, i):
    return op.rules[min(i, len(op.rules) - 1)]  # the last one is of any number of arguments


# ------------------------------------------------------------------------------------ what the page tells


def rule_source(op, i):
    """The text of the rule of the i-th argument, of a lambda the lambda alone, and where it stands."""
    rule = _rule(op, i)
    code = getattr(rule, "__code__", None)
    text = "".join(linecache.getlines(code.co_filename)) if code else ""
    found = [(node, name) for node, name in _functions(text) if code.co_firstlineno == node.lineno]
    found = [node for node, name in found if name == op.names[min(i, len(op.names) - 1)]] or [node for node, _ in found]
    if not found:
        return f"{getattr(rule, '__name__', type(rule).__name__)}: its source is not at hand", ""
    source = ast.get_source_segment(text, found[0], padded=True) if len(found) == 1 else linecache.getline(code.co_filename, code.co_firstlineno)
    return textwrap.dedent(source).strip(), f"{rule.__module__}, line {code.co_firstlineno}"


@cache
def _functions(text):
    """(node, name) of all functions in a Python file; a lambda is named by the keyword it is passed as."""
    try:
        tree = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return []
    keywords = {n.value: n.arg for n in tree if isinstance(n, ast.keyword)}
    return [(n, keywords.get(n)) for n in tree if isinstance(n, (ast.Lambda, ast.FunctionDef))]


class Table:
    """Records that are told once and then go by their number."""

    def __init__(self):
        self.records, self.numbers = [], {}

    def number(self, key, make):
        if key not in self.numbers:
            record = make()
            self.numbers[key] = len(self.records)
            self.records.append(record)
        return self.numbers[key]


def story(root, gradient=None, drawn=()):
    """All that the page tells of the graph of `root`, as plain records; `drawn`: the Nodes of the picture."""
    home = {key: node.id for node in drawn for key in node.holds}
    names = {node.holds[0]: _full_name(node) for node in drawn if len(node.holds) == 1}
    tensors, arrays, rules = Table(), Table(), Table()

    def array(x):
        record = summary(x)
        return arrays.number(json.dumps(record), lambda: record)

    def tensor(x, otherwise=None):
        key = x.order if isinstance(x, Tensor) else ("array", id(x))

        def make():
            op = x.op.name if isinstance(x, Tensor) and not x.is_leaf else None
            name = names.get(key) or getattr(x, "name", None) or op or (_law(x) if isinstance(x, Noise) else otherwise)
            record = {"node": home.get(key), "name": name, "leaf": op is None, "value": array(data_of(x))}
            return record | ({"noise": noise(x)} if isinstance(x, Noise) else {})

        return tensors.number(key, make)

    forward, backward = [], []
    for node in program(root, "to_html"):
        if node.args:
            inputs = [{"argument": node.op.argument(i), "tensor": tensor(x, node.op.argument(i))} for i, x in _operands(node)]
            settings = [f"{node.op.argument(i)}={_text(a)}" for i, a in enumerate(node.args) if not _is_operand(a)]
            forward.append({"tensor": tensor(node), "op": node.op.name, "place": dotted(node.origin), "inputs": inputs, "settings": settings})
    for node, g, sent in trace(root, gradient):
        told = []
        for s in sent:
            rule = rule_source(node.op, s.argument)
            record = {"tensor": tensor(s.input), "argument": node.op.argument(s.argument), "rule": rules.number(rule, lambda r=rule: r)}
            record |= {"returned": str(s.returned), "array": array(s.cotangent), "count": s.count, "of": s.of, "total": array(s.total)}
            told.append(record)
        nothing = [node.op.argument(i) for i, x in _operands(node) if not any(s.argument == i for s in sent)]
        backward.append({"tensor": tensor(node), "op": node.op.name, "place": dotted(node.origin), "g": array(g), "sent": told, "nothing": nothing})
    return {"tensors": tensors.records, "arrays": arrays.records, "rules": rules.records, "forward": forward, "backward": backward}


def _full_name(node):
    return ".".join(filter(None, [*(group.name for group in node.scope if group is not PENALTIES), node.title]))


def _operands(node):
    """(place, value) of the arguments that are Tensors or arrays, also those within an index."""
    return [(i, x) for i, a in enumerate(node.args) for x in (a if isinstance(a, tuple) else (a,)) if _is_operand(x)]


def _is_operand(x):
    return isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.ndim > 0)


def summary(array):
    """Of an array its shape, statistics, a histogram of what is finite, and a corner with every digit."""
    array = np.asarray(array)
    told = {"shape": str(array.shape), "dtype": str(array.dtype), "size": array.size, "corner": _corner(array)}
    if array.dtype.kind == "c":
        return told
    numbers = array.astype(float).ravel()
    finite = numbers[np.isfinite(numbers)]
    told["odd"] = array.size - finite.size  # nan and inf
    if finite.size:
        low, high = finite.min(), finite.max()
        with np.errstate(all="ignore"):
            spread = finite.std() if low < high else low - low
            bins = np.clip((finite - low) / (high - low) * BINS, 0, BINS - 1) if low < high else np.zeros(1)
            told |= {"mean": _json(finite.mean() if low < high else low), "std": _json(spread), "min": _json(low), "max": _json(high)}
        told["bins"] = np.bincount(np.nan_to_num(bins).astype(int), minlength=BINS).tolist()
    return told


def _corner(array):
    """The first rows and columns of the last two axes, as lists."""
    if 0 in array.shape:
        return []
    rows = np.atleast_2d(array[(0,) * (array.ndim - 2)])[: CORNER[0], : CORNER[1]]
    return [[_json(x) for x in row] for row in rows]


def _json(x):
    """A number as JSON has it: a float by the fewest digits that give it back in its own dtype, nan and inf as text."""
    if isinstance(x, np.floating):
        return float(str(x)) if np.isfinite(x) else str(x)
    return str(x) if isinstance(x, np.complexfloating) else x.item()


def noise(tensor):
    """Noise as rows of grey levels, 0 (lowest) to f, and its law."""
    columns = tensor.shape[-1] if tensor.ndim else 1
    rows = tensor.data.reshape(tensor.size // max(columns, 1), columns)[:SIDE, :SIDE].astype(float)
    low, high = (rows.min(), rows.max()) if rows.size else (0, 0)
    levels = np.rint((rows - low) / (high - low or 1) * 15).astype(int)
    return {"law": _law(tensor), "rows": ["".join(f"{level:x}" for level in row) for row in levels]}


def _law(tensor):
    law = tensor.distribution
    return type(law).__name__ if type(law).__repr__ is object.__repr__ else short(law)  # a bare repr holds an address


# ------------------------------------------------------------------------------------------- the page


@np.errstate(all="ignore")  # what is not finite is on the page
def to_html(root, path=None, *, gradient=None, **options):
    """One self-contained page that steps through the graph of `root`, forward and backward; also written to `path`.

    A root that is no scalar needs its `gradient`, as in `backward`. Further options are those of `draw`, whose picture it
    shows, by default with all modules open. `.grad` stays as it is, and so does the noise; the page loads nothing. Step 6 of backward is `loss.html#b6`.
    """
    if not isinstance(root, Tensor):
        raise TypeError(f"to_html: the root is one Tensor, not {type(root).__name__}.")
    if not (steps := sum(bool(node.args) for node in program(root, "to_html"))):
        raise ValueError("to_html: the tensor is a leaf, so there is no step to show.")
    title = options.pop("title", None)
    picture = read(root, chips=False, **{"depth": None, "grads": False, "legend": False, **options})
    if (most := max(steps, len(picture.nodes))) > LIMIT:
        raise ValueError(
            f"to_html: the graph has {most:,} steps or nodes, more than {LIMIT}. Step through a smaller one: fewer layers, fewer steps in time, "
            "or a smaller batch if you loop over it."
        )
    title = title or f"{next(node.title for node in picture.nodes if node.is_root)}, step by step"
    told = json.dumps(story(root, gradient, picture.nodes), separators=(",", ":"), allow_nan=False)
    parts = {
        "title": html.escape(short(title, 80)),
        "picture": _drawn(picture),
        "story": told.replace("<", "\\u003c"),  # so that no text can end the script it stands in
    }
    template = (Path(__file__).parent / "stepper.html").read_text(encoding="utf-8")
    page = re.sub("<!--(title|picture|story)-->", lambda match: parts[match[1]], template)
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def _drawn(picture):
    """A Picture as SVG, less what a page does not need; if nothing can draw it, the reason and the picture as text."""
    try:
        from .render import render  # graphviz is needed only now

        svg = render("digraph {\n" + "".join(picture.dot()) + "}\n", "svg").decode()
    except (ImportError, RuntimeError) as error:
        lines = re.sub(r"^((n\d+) .*)$", r'<span class="node" data-id="\2">\1</span>', html.escape(picture.text()), flags=re.M)
        return f"<p>{html.escape(str(error))}</p>\n<pre>{lines}</pre>"
    unneeded = r'<!--.*?-->\n?| xmlns(:xlink)?="[^"]*"| xlink:title="[^"]*"| font-family="[^"]*"| xml:space="preserve"'
    return re.sub(unneeded, "", svg[svg.index("<svg") :], flags=re.S)

"""A recorded loss as lines: its forward pass and its backward pass.

The backward pass is recorded as a graph as well: the rules run on Tensors. So a program is a list
of nodes, and there is one way to write a node: its forward runs on Symbols. At the end, what is
used once is written where it is used.
"""

import ast
import re
from bisect import bisect
from collections import Counter
from operator import itemgetter

import numpy as np

from ..changes import tick
from ..engine import Tensor, backward_pass, seeds_of, wants_gradient
from ..graph import nodes as nodes_of
from ..graph import program
from ..noise import effect
from .naming import names_of
from .symbols import NAME, Page, Text, values
from .watching import Watch

WIDTH = 84  # of a line
MOST = 12  # lines of an op; one that needs more is called by its name


class Writer:
    """The lines of a loss and its gradients.

    what     the function that asks, for errors
    loss     a recorded result of one entry
    names    {name: Tensor} or None: names that the user gave
    watch    None, or the Watch of the forward pass

    page       the Page with the lines
    nodes      the tensors of the forward pass, oldest first
    symbols    {order of a tensor: its Symbol}
    gradients  {leaf: its gradient, a Symbol}

    Raises TypeError if the loss is not a Tensor or a rule does not run on Tensors, RuntimeError if
    the graph was freed, if the loss has more than one entry, or if nothing requires a gradient.
    """

    def __init__(self, what, loss, watch=None, names=None, reading=True):
        self.start = watch.start if watch else 0
        effects, drawn = (watch.effects, watch.drawn.values()) if watch else ((), ())
        self.page, self.nodes = Page(reading), program(what, loss)
        self.forward = {node.order for node in self.nodes}
        self.names, self.symbols = names_of(self.nodes, loss, names), {}
        self.named = set()  # symbols that have the name of a node
        cotangents = self._record_backward(what, loss)
        self._name_cotangents(cotangents)
        found = {x: g for x, g in cotangents.values() if x.is_leaf}
        every = nodes_of([loss, *drawn, *found.values()])
        steps = [(node.order, self._visit, (node,)) for node in every]
        steps += [(time, self._do, given) for time, *given in effects]
        for _, write, given in sorted(steps, key=itemgetter(0)):
            write(*given)
        self.gradients = {x: self._gradient(x, g) for x, g in found.items()}
        given = [loss, *(names or {}).values()]
        kept = [self.symbols.get(x.order) for x in given if isinstance(x, Tensor)]
        results = {x.name for x in [*kept, *self.gradients.values()] if x is not None}
        nested(self.page)
        first_of = accumulate(self.page, self.sums, results)
        nested(self.page)
        for symbol in self.symbols.values():
            symbol.name = first_of.get(symbol.name, symbol.name)
        results = {first_of.get(name, name) for name in results}
        for inside in (True, False):
            self.page.lines = merged(self.page, results, inside)

    # ---- the backward pass

    def _record_backward(self, what, loss):
        """Runs backward on Tensors. Returns {order of a tensor: (the tensor, its cotangent)}."""
        wanted = {node.order for node in self.nodes if node.requires_grad}
        (seed,) = seeds_of(what, [loss], [None], create_graph=True)
        cotangents, self.begun = {loss.order: seed}, []
        with Watch(0) as self.rules:
            for x, g, _ in backward_pass([seed], True, True, wanted):
                if not isinstance(g, Tensor):
                    place = f"on the way to {self.names[x.order]}"
                    raise TypeError(f"{what}: a rule {place} returned no Tensor for Tensors.")
                cotangents[x.order] = x, g
                self.begun.append((tick(), x))  # what comes now is made by the rules of x
        return cotangents

    def _name_cotangents(self, cotangents):
        """Names cotangents and finds their sums.

        self.sums  {order of a sum: whether it is the gradient of a leaf}
        """
        received = Counter()
        for node, _ in cotangents.values():
            pairs = zip(node.args, node.op.rules) if node.args else ()
            received.update(x.order for x, rule in pairs if rule and wants_gradient(x))
        self.sums = {}
        for order in sorted(cotangents, reverse=True):
            (x, g), name = cotangents[order], f"g_{self.names[order]}"
            if x.is_leaf:
                self.names[g.order] = name
            for _ in range(received[order]):
                self.names.setdefault(g.order, name)
                if g.is_leaf or g.op.name != "add":  # a sum of constants is a constant
                    break
                self.sums[g.order] = x.is_leaf
                g = g.args[0]

    def _gradient(self, leaf, g):
        """The gradient of a leaf as a Symbol."""
        if g.order in self.symbols:
            return self.symbols[g.order]
        out = self.page.write(f"g_{self.names[leaf.order]}", self.page.text(g.data), g.data)
        self.page.lines[-1].part = "backward"
        return out

    # ---- nodes

    def _visit(self, node):
        """Writes a node, or takes a leaf as an input."""
        start = len(self.page.lines)
        if not node.args and (node.flags or node.order < self.start):
            name = self.names.get(node.order, "unused")
            self.symbols[node.order] = leaf = self.page.input(name, node)
            self.named.add(leaf.name)
        elif node.args:
            self.symbols[node.order] = self._result(node)
        part = "forward" if node.order in self.forward else "backward"
        for line in self.page.lines[start:]:
            line.node, line.owner, line.part = node, self._owner(node), part
            line.owners = {line.owner}

    def _result(self, node):
        """Runs the forward of a node on Symbols."""
        page, start = self.page, len(self.page.lines)
        args = [self._argument(*given, node.op.kind) for given in zip(node.args, node.op.names)]
        try:
            out = self._forward_of(node)(*args)
            is_written = out.dtype == node.dtype and _is_close(out.value, node.data)
        except Exception:  # it reads values, or fills an array that is no Symbol
            is_written = False
        if not is_written or len(page.lines) - start > max(MOST, 4 * len(args)):
            page.forget(start)
            text = page.call(page.bound(node.op.name, node.op.forward), args, {})
            out = page.write(node.op.name, text, node.data)
        if node.order in self.names and out.name not in self.named:
            page.wishes[out.name] = self.names[node.order]
            self.named.add(out.name)
        return out

    def _forward_of(self, node):
        """The forward of a node, as it runs in eager mode."""
        if node.op.name == "matmul" and self._owner(node).op.name == "linear":
            return np.dot  # x.dot(y) of arrays is x @ y of Tensors
        return self._scatter if node.op.name == "scatter" else node.op.forward

    def _scatter(self, x, shape, *index):
        """The forward of the op scatter: zeros are no Symbol."""
        page, dtype = self.page, values(x).dtype
        text = f"np.zeros({shape if len(shape) != 1 else shape[0]}, np.{dtype})"
        out = page.write("zeros", text, np.zeros(shape, dtype), is_own=True)
        if any(getattr(i, "ndim", 0) and i.dtype != bool for i in index):
            page.do(page.call("np.add.at", (out, index, x), {}))  # an entry can be named twice
            np.add.at(out.value, *map(values, (index, x)))
        else:
            out[index] = x
        return out

    def _owner(self, node):
        """The node of the forward pass to which a node belongs: its rule made it."""
        if node.order in self.forward:
            return node
        i = bisect(self.begun, node.order, key=itemgetter(0))
        return self.begun[i - 1][1] if i else node

    def _argument(self, a, role="constant", kind=None):
        """An argument of a node: a Symbol for a Tensor that changes from run to run."""
        if isinstance(a, Tensor):
            return self.symbols.get(a.order, a.data)
        if isinstance(a, np.ndarray):
            self.page.bound("target" if kind == "loss" else role.partition("[")[0], a)
        return a

    def _do(self, function, args):
        """Writes an effect."""
        given = []
        for a in (function, *args):
            a = self._argument(a)
            if callable(a) or isinstance(a, np.ndarray):  # the array itself, which changes
                a = Text(self.page.bound(getattr(a, "__name__", "state"), a))
            given.append(a)
        self.page.do(self.page.call(self.page.bound("effect", effect), given, {}))


def _is_close(x, y):
    """Whether x and y are equal up to rounding: a dot may differ from a matmul in the last bit."""
    is_float = x.dtype.kind == "f"
    return np.allclose(x, y, 1e-3, 1e-5, True) if is_float else np.array_equal(x, y)


def accumulate(page, sums, results):
    """Writes sums of cotangents as `g += ...`, and a part within zeros as `g[:3] += ...`.

    It does so where nothing else uses the first cotangent.

    sums     {order of a sum: whether it is the gradient of a leaf, whose dtype is the first one's}
    results  names that are needed at the end

    Returns {name of a sum: name of the first cotangent, which becomes the sum}.
    """
    mentions, first_of, dropped = _mentions(page), {}, set()
    for line in [x for x in page.lines if x.node is not None and x.node.order in sums]:
        first, _, second = line.expression.partition(" + ")
        made, *others = mentions.get(first, [line])
        is_change = re.compile(rf"(np\.add\.at\()?{re.escape(first)}\b").match
        is_free = all(x is line or (not x.target and is_change(x.expression)) for x in others)
        is_own = first in first_of or (made.target == first and made.is_own)
        is_fit = sums[line.node.order] or line.node.args[0].dtype == line.node.dtype
        if not (is_free and is_own and is_fit) or first == second or first in results:
            continue
        root, place, added = first_of.get(first, first), "", second
        part = mentions.get(second, ())
        if len(part) == 3 and part[0].expression.startswith("np.zeros("):
            found = re.match(rf"{second}(\[[-\d:, ]+\]) = (.*)", part[1].expression)
            if found:
                place, added = found.groups()
                dropped |= set(part[:2])
                for used in NAME.findall(added):
                    mentions[used] = [line if x is part[1] else x for x in mentions[used]]
        first_of[line.target] = root
        page.wishes[root] = page.wishes[line.target]
        line.target, line.shape, line.expression = None, None, f"{root}{place} += {added}"
    page.lines = [line for line in page.lines if line not in dropped]
    for line in page.lines:
        line.expression = NAME.sub(lambda found: first_of.get(found[0], found[0]), line.expression)
    return first_of


def nested(page):
    """Writes into a part of zeros directly: x = zeros, x[0] = g, y[1:] = x become y[1] = g."""
    mentions = _mentions(page)
    for line in list(page.lines):
        found = re.fullmatch(rf"({NAME.pattern})({PLACE}) = ({NAME.pattern})", line.text)
        if not found:
            continue
        whole, place, part = found.groups()
        made, *changes, last = mentions[part]
        is_part = made.target == part and made.expression.startswith("np.zeros(")
        if not is_part or last is not line or any(x.target for x in changes):
            continue
        if not all(re.match(rf"{part}{PLACE} \+?= ", x.expression) for x in changes):
            continue
        zeros = mentions[whole][0]
        page.lines.remove(zeros)
        page.lines[page.lines.index(made)] = zeros
        page.lines.remove(line)
        for x in changes:
            x.expression = joined(x.expression.replace(part, whole + place, 1))
        mentions[whole] = [zeros, *changes, *mentions[whole][2:]]


PLACE = r"\[[-\d:, ]+\]"


def joined(text):
    """A text in which rows of rows are rows: x[2:][1] becomes x[3]."""

    def join(found):
        start, stop, first, colon, end = found.groups()
        start, first = int(start or 0), int(first or 0)
        end = start + int(end) if end else stop
        return f"[{start + first}{colon}{end if colon else ''}]"

    pair = re.compile(r"\[(\d*):(\d*)\]\[(\d*)(:?)(\d*)\]")
    while text != (text := pair.sub(join, text, 1)):
        pass
    return text


def _mentions(page):
    """{name: the line that makes it, and the lines that use it}"""
    mentions = {}
    for line in page.lines:
        for name in dict.fromkeys([line.target, *line.names]):
            mentions.setdefault(name, []).append(line)
    return mentions


def merged(page, results, inside):
    """The lines of a page, with a value that is used once written where it is used.

    results  names that are needed at the end
    inside   True: within the lines of a node only
    """
    lines, uses = dict(enumerate(page.lines)), {}
    for i, line in lines.items():
        for name in line.names:
            uses.setdefault(name, []).append(i)
    for i, line in list(lines.items()):
        found = uses.get(line.target, [])
        if line.target is None or line.target in results or len(found) > 1:
            continue
        if found:
            into = lines[found[0]]
            text = into.text.replace(line.target, f"({line.expression})")
            is_near = into.node is line.node if inside else into.part == line.part
            if not is_near or text.startswith("(") or not _fits(page.wished(text)):
                continue
            into.expression = text.removeprefix(f"{into.target} = ")
            into.owners |= line.owners
        del lines[i]  # nobody needs it any more
        for name in line.names:
            uses[name].remove(i)
            uses[name] += found
    return list(lines.values())


def _fits(text):
    """Whether a statement fits on a line, where needless parentheses do not count."""
    return len(text) <= WIDTH or (len(text) < 2 * WIDTH and len(tidy(text)) <= WIDTH)


def tidy(text):
    """The text of a statement without needless parentheses."""
    return ast.unparse(ast.parse(text))

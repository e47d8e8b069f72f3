"""A recorded loss as lines: its forward pass and its backward pass.

The backward pass is recorded as a graph as well: the rules run on Tensors. So a program is a list
of nodes, and there is one way to write a node: its forward runs on Symbols. At the end, a value
that is used once moves into the line that uses it.
"""

import ast
import re
from collections import Counter
from contextvars import copy_context
from operator import itemgetter

import numpy as np

from ..array import data_of, is_recorded
from ..engine import Tensor, backward_pass, seeds_of
from ..graph import nodes as nodes_of
from ..graph import program
from ..modes import scope
from ..noise import effect
from .naming import names_of
from .symbols import NAME, Page, Symbol, Text, is_alike, pattern, values
from .watching import Watch

WIDTH = 84  # of a line, without its comment
MOST = 12  # lines of an op; an op with more is called by its name


class Writer:
    """The lines of a loss and its gradients.

    what     the function that asks, for errors
    loss     a recorded result of one entry
    names    {name: Tensor} or None: names that the user gave
    watch    None, or the Watch of the forward pass
    reading  as for Page

    page       the Page with the lines
    nodes      the tensors of the forward pass, oldest first
    symbols    {order of a tensor: its Symbol}
    gradients  {leaf: the text of its gradient}

    Raises TypeError if the loss is not a Tensor or a rule does not run on Tensors, RuntimeError if
    the graph was freed, if the loss has more than one entry, or if nothing requires a gradient.
    """

    def __init__(self, what, loss, watch=None, names=None, reading=True):
        watch = watch or Watch(0)
        self.start = watch.start
        self.page, self.nodes = Page(reading), program(what, loss)
        self.forward = {node.order for node in self.nodes}
        self.names, self.symbols = names_of(self.nodes, loss, names), {}
        self.named = set()  # symbols that have the name of a node
        self.claims = Counter()  # name of a symbol -> how many arguments and results read it
        self.waiting = {}  # order of a scatter -> the node, written where it is needed
        cotangents = copy_context().run(self._record_backward, what, loss)
        self._name_cotangents(cotangents)
        found = {x: g for x, g in cotangents.values() if x.is_leaf}
        every = nodes_of([loss, *watch.drawn.values(), *found.values()])
        uses = [a.order for node in every for a in node.args if isinstance(a, Tensor)]
        self.uses = Counter([*uses, loss.order, *(g.order for g in found.values())])
        steps = [(node.order, self._visit, (node,)) for node in every]
        steps += [(time, self._do, given) for time, *given in watch.effects]
        for _, write, given in sorted(steps, key=itemgetter(0)):
            write(*given)
        self.page.part, self.page.owner = "backward", None
        self.gradients = {}
        for x, g in found.items():
            self.gradients[x] = self._gradient(x, g)
        orders = {getattr(x, "order", None) for x in (loss, *(names or {}).values())}
        results = [self.symbols[order].name for order in orders & self.symbols.keys()]
        results += NAME.findall(" ".join(self.gradients.values()))
        self.page.wishes[self.symbols[loss.order].name] = "loss"
        self.page.lines = merged(self.page, results)

    # ---- the backward pass

    def _record_backward(self, what, loss):
        """Runs backward on Tensors. Returns {order of a tensor: (the tensor, its cotangent)}."""
        wanted = {node.order for node in self.nodes if node.requires_grad}
        (seed,) = seeds_of(what, [loss], [None], create_graph=True)
        cotangents = {loss.order: seed}
        with Watch(0) as self.rules:
            for x, g, _ in backward_pass([seed], True, True, wanted):
                if not isinstance(g, Tensor):
                    place = f"on the way to {self.names[x.order]}"
                    raise TypeError(f"{what}: a rule {place} returned no Tensor for Tensors.")
                cotangents[x.order] = x, g
                scope.set((None, x, {}))  # of the nodes that the rules of x record
        return cotangents

    def _name_cotangents(self, cotangents):
        """Names cotangents and finds their sums.

        self.sums  {order of a sum: whether it is the gradient of a leaf}
        """
        args = [a for node in self.nodes for a in node.args if isinstance(a, Tensor)]
        received, self.sums = Counter(a.order for a in args), {}
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
        """The text of the gradient of a leaf. In a step the gradient has its own array."""
        out, known = self._argument(g), self.gradients.values()
        is_own = getattr(out, "is_own", False) and out.name not in known
        if not isinstance(out, Symbol):
            out = self.page.write(f"g_{self.names[leaf.order]}", self.page.text(out), out)
        is_fit = (is_own or self.page.reading) and out.dtype == leaf.dtype
        return out.name if is_fit else f"np.array({out.name}, np.{leaf.dtype})"

    # ---- nodes

    def _visit(self, node):
        """Writes a node, or takes a leaf as an input."""
        self.page.part = "forward" if node.order in self.forward else "backward"
        self.page.owner = self._owner(node)
        if not node.args and (is_recorded(node) or node.order < self.start):
            name = self.names.get(node.order, "unused")
            self.symbols[node.order] = leaf = self.page.input(name, node)
            self.named.add(leaf.name)
        elif node.op and node.op.name == "scatter" and _names_once(node.args[2:]):
            self.waiting[node.order] = node  # until it is an argument, see _accumulate
        elif node.args and not self._accumulate(node):
            self._write(node)

    def _write(self, node):
        """Runs the forward of a node on Symbols."""
        args = list(map(self._argument, node.args, node.op.names))
        page, start = self.page, len(self.page.lines)
        try:
            out = self._forward_of(node)(*args)
            # A dot may differ from a matmul in the last bits.
            is_close = np.allclose(out.value, node.data, 1e-3, 1e-5, equal_nan=True)
            is_written = out.dtype == node.dtype and is_close
        except Exception:  # it reads values, or fills an array that is no Symbol
            is_written = False
        if not is_written or len(page.lines) - start > max(MOST, 4 * len(args)):
            dropped = {line.target for line in page.lines[start:]}
            page.computed = {t: x for t, x in page.computed.items() if x.name not in dropped}
            del page.lines[start:]
            text = page.call(page.bound(node.op.name, node.op.forward), args, {})
            out = page.write(node.op.name, text, node.data)
        if node.order in self.names and out.name not in self.named:
            self.page.wishes[out.name] = self.names[node.order]
            self.named.add(out.name)
        self.symbols[node.order] = out
        passed = [a.name for a in args if isinstance(a, Symbol)].count(out.name)
        self.claims[out.name] += self.uses[node.order] - passed

    def _forward_of(self, node):
        """The forward of a node, as it runs in eager mode."""
        if node.op.name == "matmul" and self._owner(node).op.name == "linear":
            return np.dot  # on Tensors x.dot(y) records a matmul
        if node.op.name == "scatter" and (self.page.reading or _names_once(node.args[2:])):
            return self._scatter
        return node.op.forward

    def _scatter(self, x, shape, *index):
        """The forward of the op scatter."""
        zeros = np.zeros(shape, x.dtype)
        text = f"np.zeros({shape if len(shape) != 1 else shape[0]}, np.{zeros.dtype})"
        out = self.page.write("zeros", text, zeros)
        if _names_once(index):
            out[index] = x
        else:
            self.page.do(self.page.call("np.add.at", (out, index, x), {}))
            np.add.at(zeros, *map(values, (index, x)))
        return out

    def _accumulate(self, node):
        """Writes a sum of cotangents in place, if it can. Returns whether it did.

        The line is `g += ...` if nothing else uses the first cotangent, and `g[:3] += part` if the
        second is a scatter.
        """
        if node.order not in self.sums:
            return False
        first, second = node.args
        out = self._argument(first)
        is_free = getattr(out, "is_own", False) and self.claims[out.name] == 1
        if not is_free or not (self.sums[node.order] or is_alike(first.data, node.data)):
            return False
        target = out
        if second.order in self.waiting and self.uses[second.order] == 1 and out.ndim:
            second, _, *index = second.args
            target = out.part(tuple(map(self._argument, index)))
        self.page.do(f"{target.name} += {self.page.text(self._argument(second))}")
        self.page.wishes[out.name] = self.names[node.order]
        self.claims[out.name] = self.uses[node.order]
        self.symbols[node.order] = Symbol(self.page, out.name, node.data, is_own=True)
        return True

    def _owner(self, node):
        """The node of the forward pass whose rule made this node, or this node."""
        is_made = node.scope and isinstance(node.scope[1], Tensor)
        return node.scope[1] if is_made else node

    def _argument(self, a, role="constant"):
        """An argument of a node: a Symbol for a Tensor that changes from run to run."""
        if isinstance(a, Tensor) and a.order in self.waiting:
            self._write(self.waiting.pop(a.order))
        if isinstance(a, Tensor) and a.order in self.symbols:
            return self.symbols[a.order]
        a = data_of(a)
        if not self.page.reading or not isinstance(a, np.ndarray) or pattern(a):
            return a
        name = self.page.bound(role.partition("[")[0], a)
        return Symbol(self.page, name, a)  # operations on it are written too

    def _do(self, function, args):
        """Writes an effect."""
        function = Text(self.page.bound(function.__name__, function))
        args = function, *map(self._argument, args)
        self.page.do(self.page.call(self.page.bound("effect", effect), args, {}))


def _names_once(index):
    """Whether an index names no entry twice, as arrays of integers can."""
    return all(not getattr(i, "ndim", 0) or i.dtype == bool for i in index)


def merged(page, results):
    """The lines of a page. A value that is used once moves into the line that uses it.

    results  names that are needed at the end
    """
    kept, uses, waiting, changes = [], Counter(results), {}, {}
    for line in reversed(page.lines):
        if line.target is None or uses[line.target]:  # else no line needs it
            uses.update(line.names)
            kept.append(line)
    uses.update(results)  # a result has a line of its own
    lines = dict.fromkeys(reversed(kept))
    for i, line in enumerate([*lines]):
        for name in filter(waiting.__contains__, line.names):
            inner, made = waiting.pop(name)
            text = line.text.replace(name, f"({inner.expression})")
            wished = NAME.sub(lambda name: re.sub(r"\d+", "0", page.wishes[name[0]]), text)
            is_same = all(changes.get(name, 0) <= made for name in inner.names)
            is_short = len(wished) < 2 * WIDTH and len(tidy(wished)) <= WIDTH
            if is_same and is_short and not text.startswith("("):
                line.expression = text.removeprefix(f"{line.target} = ")
                line.owners |= inner.owners
                del lines[inner]
        if line.target is None:
            changes[line.names[0]] = i
        elif uses[line.target] == 1:
            waiting[line.target] = line, i
    return [*lines]


def tidy(text):
    """The text of a statement without needless parentheses."""
    return ast.unparse(ast.parse(text))

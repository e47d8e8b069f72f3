"""A recorded loss as lines: its forward pass and its backward pass.

The graph is copied: its copy holds Symbols in place of arrays. Then the engine runs backward on the
copy, as in eager mode. So the forwards, the rules and the sums of cotangents write themselves down,
in the order of eager mode, and with its bits. At the end, a value that is used once moves into the
line that uses it.
"""

import ast
import re
from collections import Counter
from operator import itemgetter

import numpy as np

from ..array import computed, data_of, is_recorded
from ..changes import require_unchanged
from ..engine import Tensor, backward_pass, result, seeds_of
from ..graph import nodes as nodes_of
from ..graph import program
from ..noise import effect
from .naming import names_of
from .symbols import NAME, Page, Symbol, Text, pattern
from .watching import Watch

WIDTH = 84  # of a line, without its comment


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
    copies     {order of a tensor: a Tensor that holds its Symbol}
    gradients  {leaf: the text of its gradient}

    Raises TypeError if the loss is not a Tensor or a rule reads values, RuntimeError if the graph
    was freed, if the loss has more than one entry, or if nothing requires a gradient.
    """

    def __init__(self, what, loss, watch=None, names=None, reading=True):
        watch = watch or Watch(0)
        self.start, self.page, self.nodes = watch.start, Page(reading), program(what, loss)
        ((_, seed),) = seeds_of(what, [loss], [None], create_graph=False)
        self.names, self.named = names_of(self.nodes, loss, names), set()
        self.symbols, self.copies = {}, {}
        every = nodes_of([loss, *watch.drawn.values()])
        steps = [(node.order, self._copy, (node,)) for node in every]
        steps += [(time, self._do, given) for time, *given in watch.effects]
        for _, write, given in sorted(steps, key=itemgetter(0)):
            write(*given)
        self._pull(loss, seed)
        orders = {getattr(x, "order", None) for x in (loss, *(names or {}).values())}
        self.page.kept += [self.symbols[order].name for order in orders & self.symbols.keys()]
        self.page.kept += NAME.findall(" ".join(self.gradients.values()))
        self.page.wishes[self.symbols[loss.order].name] = "loss"
        self.page.lines = merged(self.page)

    def _copy(self, node):
        """Makes the copy of a node. The forward of its op writes lines."""
        require_unchanged(node)
        page, name, op = self.page, self.names.get(node.order, "unused"), node.op
        page.part, page.owner = "forward", node
        is_input = is_recorded(node) or node.order < self.start
        if op:
            args = tuple(map(self._argument, node.args, op.names))
            data = computed(op, list(map(data_of, args)), ())
        else:
            args, data = (), page.input(name, node) if is_input else self._argument(node.data, name)
        self.copies[node.order] = copy = result(op, args, data, node.flags)
        copy.order = node.order
        if isinstance(data, Symbol):
            self.symbols[node.order] = data
            if node.order in self.names and data.name not in self.named:
                page.wishes[data.name] = name
                self.named.add(data.name)

    def _argument(self, a, role="constant"):
        """An argument of a copied node: a copy of a Tensor, or a constant."""
        if isinstance(a, Tensor):
            return self.copies.get(a.order, a.data)
        page, role = self.page, role.partition("[")[0]
        if not page.reading or not isinstance(a, np.ndarray):
            return a
        text = pattern(a)
        if text is None:  # operations on it are written too
            return Symbol(page, page.bound(role, a), a)
        if a.ndim < 2:
            return a
        constant = page.write(role, text, a)
        page.fixed.add(constant.name)
        return constant

    def _do(self, function, args):
        """Writes an effect."""
        function = Text(self.page.bound(function.__name__, function))
        args = function, *(data_of(self._argument(a)) for a in args)
        self.page.do(self.page.call(self.page.bound("effect", effect), args, {}))

    def _pull(self, loss, seed):
        """Runs backward on the copies. The rules write lines."""
        page, nodes, names = self.page, {node.order: node for node in self.nodes}, {}
        wanted = {order for order, node in nodes.items() if node.requires_grad}
        page.part, self.gradients = "backward", {}
        for x, g, is_own in backward_pass([(self.copies[loss.order], seed)], wanted=wanted):
            node, name = nodes[x.order], f"g_{self.names[x.order]}"
            page.owner = None if x.is_leaf else node
            if x.is_leaf:
                g = g if isinstance(g, Symbol) else page.write(name, page.text(g), g)
                is_fit = ((is_own and g.is_own) or page.reading) and g.dtype == x.dtype
                self.gradients[node] = g.name if is_fit else f"np.array({g.name}, np.{x.dtype})"
            if isinstance(g, Symbol):
                names[g.name] = name if x.is_leaf else names.get(g.name, name)
        page.wishes |= {name: wish for name, wish in names.items() if name not in self.named}


def merged(page):
    """The lines of a page. A value that is used once moves into the line that uses it."""
    kept, uses, waiting, changes = [], Counter(page.kept), {}, {}
    for line in reversed(page.lines):
        changed = line.target or line.names[0]
        if uses[changed] or changed in page.constants:  # else no line needs it
            uses.update(line.names)
            kept.append(line)
    uses.update(page.kept)  # a result has a line of its own
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

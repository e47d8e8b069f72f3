"""The names of tensors in a program: the names in pictures and reports, made valid for Python."""

import keyword
import re
from itertools import count

from ..engine import Tensor
from ..modes import around, path
from ..names import leaf_names, split_scope
from ..noise import Noise


def identifier(text):
    """A dotted name as a valid name of Python: fc1_weight, blocks0_norm1_weight."""
    text = re.sub(r"\W+", "_", re.sub(r"(?<=\D)\.(\d)", r"\1", text)).strip("_")
    text = text if text[:1].isalpha() else f"layer{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def versions(wish):
    """The names for a wish, the best one first: x, x2, x3, ..., but x1, x1_2, x1_3, ..."""
    yield wish
    yield from (f"{wish}{'_' * wish[-1].isdigit()}{n}" for n in count(2))


def names_of(nodes, root, names):
    """{order: name} of the tensors of a forward pass. Equal names of results are told apart later.

    names  {name: Tensor}: names that the user gave, such as locals()
    """
    named = {order: name.partition("#")[0] for order, name in leaf_names(nodes).items()}
    last = {id(scope): node.order for node in nodes for scope in around(node.scope)}
    for node in nodes:
        for i, a in enumerate(node.args):
            if isinstance(a, Tensor) and a.is_leaf:
                named.setdefault(a.order, a.name or _role(a, node, i))
        if node.args:
            named[node.order] = _name_of_result(node, last)
    named[root.order] = "loss"
    given = {x.order: name for name, x in (names or {}).items() if isinstance(x, Tensor)}
    found = {order: identifier(name) for order, name in (named | given).items()}
    taken = set()
    for order in [node.order for node in nodes if node.is_leaf]:  # g_w2 is the gradient of w2
        found[order] = next(name for name in versions(found[order]) if name not in taken)
        taken.add(found[order])
    return found


def _role(leaf, node, i):
    """A name for a leaf without one: its role in the op that uses it first."""
    if isinstance(leaf, Noise):
        modules, _ = split_scope(node.scope)
        place = path(modules[-1]) if modules else ""
        return f"{'mask' if leaf.dtype == bool else 'noise'}_{identifier(place or 'x')}"
    return node.op.names[i].partition("[")[0]


def _name_of_result(node, last):
    """The name of the module or composition that ends with this result, or else of its op.

    The digits of the modules around it follow: up_0 is the result of blocks.0.up.
    """
    modules, composed = split_scope(node.scope)
    dotted = path(modules[-1]).split(".") if modules else []
    name = node.op.name
    if modules and last[id(modules[-1])] == node.order:
        name = dotted.pop()
        outer = dotted.pop() if name.isdigit() and dotted else ""
        name = outer + "_" * outer.isdigit() + name
    elif composed and last[id(composed)] == node.order:
        name = composed[1].name
    return "_".join([name, *filter(str.isdigit, dotted)])

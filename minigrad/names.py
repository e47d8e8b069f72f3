"""The names and modules of the leaves and nodes of a recorded graph, for reports and pictures.

This file also divides the arguments of a result into operands and settings.
"""

from collections import Counter
from itertools import count

import numpy as np

from .engine import Tensor
from .modes import Composition, around, path


def split_scope(scope):
    """The scope of a result as (calls of modules, call of a composition or None).

    All of them are scopes. The modules are around the outermost composition, outermost first. A
    composition is one node of a picture, even if it calls modules.
    """
    modules, call = [], None
    for outer in around(scope):
        if isinstance(outer[1], Composition):
            call, modules = outer, []
        else:
            modules.append(outer)
    return tuple(reversed(modules)), call


def modules_of(nodes):
    """The modules in whose calls the nodes were made."""
    owners = {id(scope[1]): scope[1] for node in nodes for scope in around(node.scope)}
    return [owner for owner in owners.values() if not isinstance(owner, Composition)]


def holders(nodes):
    """{order of a leaf: (scope, name)} of the leaves that a module holds.

    A use of the leaf is inside calls of modules. `scope` is the innermost call of a module that
    holds the leaf, and `name` is the name of the leaf in this module.
    """
    holder_of, members = {}, {}  # id of a module -> {id of a leaf: its first name in the module}
    for module in modules_of(nodes):
        members[id(module)] = {id(v): name for name, v in reversed([*module.named_members()])}
    for node in nodes:
        leaves = [a for a in node.args or () if isinstance(a, Tensor) and a.is_leaf]
        for call in around(node.scope) if leaves else ():
            names = members.get(id(call[1]), {})
            for leaf in leaves:
                if id(leaf) in names:
                    holder_of.setdefault(leaf.order, (call, names[id(leaf)]))
    return holder_of


def is_operand(x):
    """Whether an argument is a Tensor or an array, and not a number or a setting."""
    return isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.ndim > 0)


def operands(node):
    """(position, value) of the arguments of a result that are Tensors or arrays."""
    return [(i, a) for i, a in enumerate(node.args or ()) if is_operand(a)]


def settings(node):
    """{name: value} of the other arguments of a result. index[0] and index[1] are one setting."""
    parts = {}
    for name, a in zip(node.op.names, node.args):
        parts.setdefault(name.partition("[")[0], []).append(a)
    return {n: tuple(p) if p[1:] else p[0] for n, p in parts.items() if not all(map(is_operand, p))}


def role(op, i):
    """The name of argument i of an op, or None for the letters x and y, which say nothing."""
    return None if op.names[:2] == ["x", "y"] else op.names[i]


def leaf_names(nodes):
    """{order: name} of the leaves that require a gradient.

    A leaf has its own name, or its name in a module (`fc1.weight`), or the name of the argument
    in its first use. Equal names get numbers. Pictures use these names without numbers.
    """
    names, holder_of = {}, holders(nodes)
    for node in nodes:
        for i, a in enumerate(node.args or ()):
            if isinstance(a, Tensor) and a.is_leaf and a.requires_grad and a.order not in names:
                scope, name = holder_of.get(a.order, (None, role(node.op, i) or "parameter"))
                names[a.order] = a.name or ".".join(filter(None, [path(scope), name]))
    return numbered(names)


def numbered(names):
    """The same dict of names, with numbers after equal names: `add#1`, `add#2`."""
    times = Counter(names.values())
    numbers = {name: count(1) for name in times}
    return {
        key: f"{name}#{next(numbers[name])}" if times[name] > 1 else name
        for key, name in names.items()
    }

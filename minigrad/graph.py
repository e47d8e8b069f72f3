"""What one can do with a recorded graph: put it in order, name what is in it, and run it again.

A graph is a program: ops, arguments and noise are all there. So it can be evaluated at other values of its leaves, with
the noise as it was or with fresh noise. Masks that were computed by comparisons (`x > 0`) are constants of the program.
"""

from collections import Counter
from itertools import count

import numpy as np

from .engine import Composition, Tensor, as_array, constant, data_of, path, result
from .noise import Noise


def nodes(root):
    """Every Tensor that `root` (a Tensor or several) was made from, and itself, oldest first: a topological order."""
    stack = list(root) if isinstance(root, (list, tuple)) else [root]
    found = {}
    while stack:
        node = stack.pop()
        if node.order not in found:
            found[node.order] = node
            stack.extend(a for a in node.args or () if isinstance(a, Tensor))
    return [found[order] for order in sorted(found, reverse=True)]


def evaluate(steps, values, fresh_noise=False):
    """Runs the nodes `steps` (as from `nodes`) again, on arrays of any dtype that the forwards take.

    `values` maps the `order` of a node to the array it shall have instead; returned is that map for all nodes. What does
    not depend on a changed node keeps the value it has.
    """
    values = dict(values)
    for node in steps:
        if node.order in values:
            continue
        if isinstance(node, Noise) and fresh_noise:
            values[node.order] = node.draw()
        elif node.args and any(isinstance(a, Tensor) and a.order in values for a in node.args):
            args = [values.get(a.order, a.data) if isinstance(a, Tensor) else a for a in node.args]
            values[node.order] = np.asarray(node.op.forward(*args))  # a reduction gives a scalar
    return values


def depending(steps, orders):
    """Those of the results among `steps` that depend on the tensors of these orders."""
    known, found = set(orders), []
    for node in steps:
        if node.args and any(isinstance(a, Tensor) and a.order in known for a in node.args):
            known.add(node.order)
            found.append(node)
    return found


def program(what, *roots):
    """`nodes(roots)`; anything that is not a Tensor is refused, and a graph that was freed."""
    for root in roots:
        if not isinstance(root, Tensor):
            raise TypeError(
                f"{what} reads a recorded graph: pass the Tensor that a forward pass returned, such as the loss, not a {type(root).__name__}."
            )
    found = nodes(roots)
    if freed := [n for n in found if n.args is None]:
        raise RuntimeError(
            f"{what}: the graph was freed by backward() (at {freed[0].op.name}). Do it before, or use backward(retain_graph=True)."
        )
    return found


def noise_leaves(root):
    """The Noise leaves that `root` was made from, in the order they were drawn. Each knows its `data`, `distribution` and `stream`.

    >>> import minigrad as mg
    >>> mg.manual_seed(0)
    >>> y = mg.functional.dropout(mg.Tensor([1.0, 2.0]), 0.25, training=True)
    >>> mg.noise_leaves(y)[0].distribution
    Bernoulli(keep=0.75)
    """
    return [node for node in program("noise_leaves", root) if isinstance(node, Noise)]


def copy(steps, dtype=np.float64, values=None):
    """The same graph on leaves of its own, floats in `dtype`: {order in `steps`: new Tensor}. Noise keeps its values.

    `values` maps the `order` of a leaf to the array that its copy shall have instead.
    """
    copies, values = {}, values or {}
    for node in steps:
        if node.args:
            args = tuple(
                copies[a.order] if isinstance(a, Tensor) else dtype if _is_float(a) else a
                for a in node.args
            )
            data = np.asarray(node.op.forward(*map(data_of, args)))
            new = result(node.op, args, data, node.track)
            new.origin = node.origin
        else:
            data = values.get(node.order, node.data)
            new = Tensor(
                data,
                node.requires_grad,
                dtype=dtype if node.dtype.kind == "f" else None,
                name=node.origin,
            )
        copies[node.order] = new
    return copies


def _is_float(x):
    return isinstance(x, np.dtype) and x.kind == "f"


def replay(root, values=None, fresh_noise=False):
    """The value of `root` with other `values` ({leaf: array or Tensor}) and the same noise, or fresh noise. Nothing is recorded.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> mg.replay(y, {x: [3.0, 4.0]})
    Tensor(25.)
    """
    steps = program("replay", root)
    known = {n.order for n in steps}
    replaced = {}
    for leaf, value in (values or {}).items():
        if getattr(leaf, "order", None) not in known or not leaf.is_leaf:
            raise ValueError(
                f"replay: values are {{leaf of this graph: array}}; {type(leaf).__name__} of shape {np.shape(leaf)} is none."
            )
        array = as_array(data_of(value), leaf.dtype)
        if array.shape != leaf.shape:
            raise ValueError(f"replay: a leaf has shape {leaf.shape}, its new value {array.shape}.")
        replaced[leaf.order] = array
    return constant(np.array(evaluate(steps, replaced, fresh_noise).get(root.order, root.data)))


def resample(root):
    """The value of `root` with all its noise drawn afresh: one Monte Carlo sample."""
    return replay(root, fresh_noise=True)


# ------------------------------------------------------------------------------------ names and places


def place(scope):
    """The scope of a result: (the calls of modules it lies in, outermost first; that of the outermost composition, or None). All are scopes."""
    modules, call = [], None
    while scope is not None:
        if isinstance(scope[1], Composition):
            call, modules = scope, []  # a composition is one node, whatever modules it calls
        else:
            modules.append(scope)
        scope = scope[0]
    return tuple(reversed(modules)), call


def holders(steps):
    """{order of a leaf: (scope, name)} of the leaves that a module around a use of them holds: the innermost, and what it calls the leaf."""
    found, held = {}, {}  # held: module -> what it holds
    for node in steps:
        for a in node.args or ():
            if (
                isinstance(a, Tensor)
                and a.is_leaf
                and a.order not in found
                and (holder := _holder(a, node.origin, held))
            ):
                found[a.order] = holder
    return found


def _holder(leaf, scope, held):
    while scope is not None:
        outer, module = scope
        if not isinstance(module, Composition):
            if id(module) not in held:
                tensors = [
                    (id(value), name)
                    for name, value in module.named_members()
                    if isinstance(value, Tensor)
                ]
                held[id(module)] = dict(reversed(tensors))  # by its first name
            if (name := held[id(module)].get(id(leaf))) is not None:
                return scope, name
        scope = outer
    return None


def role(op, i):
    """What the i-th argument of an op is, if its name says that: x and y are letters."""
    return None if op.names[:2] == ("x", "y") else op.argument(i)


def leaf_names(steps):
    """{order: name} of the leaves that want a gradient: a tensor's own name, `fc1.weight` where a module holds it, else the `role` it is first used in.

    Equal names are numbered. Reports and ledgers use these names, and pictures the same without numbers.
    """
    names, holder = {}, holders(steps)
    for node in steps:
        for i, a in enumerate(node.args or ()):
            if isinstance(a, Tensor) and a.is_leaf and a.requires_grad and a.order not in names:
                scope, held = holder.get(a.order, (None, role(node.op, i) or "parameter"))
                names[a.order] = a.name or ".".join(filter(None, [path(scope), held]))
    return numbered(names)


def numbered(names):
    """The names, equal ones with numbers."""
    alike = Counter(names.values())
    numbers = {name: count(1) for name in alike}
    return {
        order: f"{name}#{next(numbers[name])}" if alike[name] > 1 else name
        for order, name in names.items()
    }

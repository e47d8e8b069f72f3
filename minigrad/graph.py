"""A recorded graph as a program: put it in order, run it again, copy it.

Ops, arguments and noise are all in the graph. So it can run again with other values of its leaves,
and with the same noise or new noise.
"""

import numpy as np

from . import errors
from .array import FOREIGN, as_array, asanyarray, computed, copied, data_of
from .engine import Tensor, constant, result
from .noise import Noise

__all__ = ["nodes", "program", "depending", "evaluate", "copy", "replay", "resample"]
__all__ += ["noise_leaves"]


def nodes(root) -> list[Tensor]:
    """Each Tensor that `root`, a Tensor or several, depends on, and `root` itself, oldest first."""
    stack = list(root) if isinstance(root, (list, tuple)) else [root]
    by_order = {}
    while stack:
        node = stack.pop()
        if node.order not in by_order:
            by_order[node.order] = node
            stack.extend(a for a in node.args or () if isinstance(a, Tensor))
    return [by_order[order] for order in sorted(by_order)]


def program(what, *roots, reads_entries=True):
    """`nodes` of the roots. `what`: the name of the function that asks, for the errors.

    Raises TypeError if a root is not a Tensor, or if a node holds an array of another library and
    `reads_entries` is True; RuntimeError if the graph was freed.
    """
    for root in roots:
        if not isinstance(root, Tensor):
            raise TypeError(
                f"{what} reads a recorded graph: pass the Tensor that a forward pass returned, "
                f"such as the loss, not a {type(root).__name__}."
            )
    found = nodes(roots)
    for node in found:
        if reads_entries and node.flags & FOREIGN:
            raise errors.not_numpy(node.data, what)
        if node.args is None:
            raise RuntimeError(
                f"{what}: the graph was freed by backward() (at {node.op.name}). Do it before, "
                "or use backward(retain_graph=True)."
            )
    return found


def depending(nodes, orders):
    """The results among `nodes` (oldest first) that depend on the tensors of these orders."""
    known, results = set(orders), []
    for node in nodes:
        if node.args and any(isinstance(a, Tensor) and a.order in known for a in node.args):
            known.add(node.order)
            results.append(node)
    return results


def evaluate(nodes, values, fresh_noise=False):
    """Runs `nodes` (oldest first) again, on arrays of any dtype that the forwards take.

    values       {order of a tensor: the array that takes the place of its data}
    fresh_noise  draws new noise

    Returns `values` with the arrays of all nodes that depend on a replaced tensor. Other nodes keep
    their data.
    """
    values = dict(values)
    for node in nodes:
        if node.order in values:
            continue
        if isinstance(node, Noise) and fresh_noise:
            values[node.order] = node.draw()
        elif node.args and any(isinstance(a, Tensor) and a.order in values for a in node.args):
            args = [values.get(a.order, a.data) if isinstance(a, Tensor) else a for a in node.args]
            values[node.order] = asanyarray(_run(node.op, args))
    return values


def _run(op, arguments):
    """The forward of an op. It fails if other values of the leaves have shapes that do not fit."""
    try:
        return computed(op, arguments, tensors=())
    except Exception as error:
        raise errors.in_forward(op, arguments, error) from error


def noise_leaves(root: Tensor) -> list[Noise]:
    """The Noise leaves that `root` depends on, in the order in which they were drawn.

    Each has its `data`, its `distribution` and the name of its `stream`. Raises as `replay` does.

    >>> import minigrad as mg
    >>> mg.manual_seed(0)
    >>> y = mg.functional.dropout(mg.Tensor([1.0, 2.0]), 0.25, training=True)
    >>> mg.noise_leaves(y)[0].distribution
    Bernoulli(keep=0.75)
    """
    graph = program("noise_leaves", root, reads_entries=False)
    return [node for node in graph if isinstance(node, Noise)]


def copy(nodes, dtype=np.float64, values=None, known=()):
    """The same graph on new leaves, with floats in `dtype`: {order of a node: new Tensor}.

    values  {order of a leaf: the array that its copy gets}. Other leaves keep their values, and
            noise keeps its values.
    known   the copies of other nodes that `nodes` take
    """
    copies, values = dict(known), values or {}
    for node in nodes:
        if node.args:
            args = tuple(_copied(a, copies, dtype) for a in node.args)
            data = _run(node.op, list(map(data_of, args)))
            copies[node.order] = result(node.op, args, data, node.flags)
            copies[node.order].scope = node.scope
        else:
            is_float = node.dtype.kind == "f"
            copies[node.order] = Tensor(
                values.get(node.order, node.data),
                node.requires_grad,
                dtype=dtype if is_float else node.dtype,
                name=node.name,
            )
            copies[node.order].flags = node.flags
    return copies


def _copied(argument, copies, dtype):
    """An argument of a copied node. A Tensor becomes its copy, a float dtype becomes `dtype`."""
    if isinstance(argument, Tensor):
        return copies[argument.order]
    is_float = isinstance(argument, np.dtype) and argument.kind == "f"
    return dtype if is_float else argument


def replay(root: Tensor, values: dict | None = None, fresh_noise=False) -> Tensor:
    """The value of `root` when its graph runs again. Nothing is recorded.

    values       {leaf: array or Tensor of the leaf's shape}: other values for some leaves
    fresh_noise  draws new noise; otherwise the noise keeps its values

    Raises TypeError if `root` is not a Tensor, RuntimeError if its graph was freed, ValueError if a
    key of `values` is not a leaf of this graph or a shape differs.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> mg.replay(y, {x: [3.0, 4.0]})
    Tensor(25.)
    """
    graph = program("replay", root, reads_entries=False)
    known = {node.order for node in graph}
    replaced = {}
    for leaf, value in (values or {}).items():
        is_leaf = isinstance(leaf, Tensor) and leaf.order in known and leaf.is_leaf
        if not is_leaf or np.shape(value) != leaf.shape:
            pair = f"{type(leaf).__name__} {np.shape(leaf)}: an array {np.shape(value)}"
            needed = "values are {leaf of this graph: an array of its shape}"
            raise ValueError(f"replay: {needed}, not {pair}.")
        replaced[leaf.order] = as_array(data_of(value), leaf.dtype)
    value = evaluate(graph, replaced, fresh_noise).get(root.order, root.data)
    return constant(copied(value, value))


def resample(root: Tensor) -> Tensor:
    """The value of `root` with new noise: one Monte Carlo sample.

    Raises as `replay` does.
    """
    return replay(root, fresh_noise=True)

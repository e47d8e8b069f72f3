"""Derivatives of a recorded graph from its forwards alone, by the complex step: exact to rounding, and one-sided at kinks.

A leaf x gets the value x + i h v, and the recorded graph runs on it. The imaginary part of every result over h is its derivative
along v. Nothing is subtracted, so there is no step to choose (Squire & Trapp 1998; Martins, Sturdza & Alonso 2003, ACM TOMS 29(3)).

NumPy orders complex numbers by their real parts, and where these are equal by their imaginary parts. So at a kink `maximum`, `max`
and `clip` take the branch that v goes into. Hence D(v) and -D(-v) are the exact slopes on the two sides of a kink.

A node whose forward takes no complex numbers, or is no analytic function, is passed by a plain difference of that node alone.
"""

import warnings
from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import Tensor, constant, grad, result
from ..registry import ops

H = 2.0**-400  # H**3, the next power in an imaginary part, is 0 in float64, and H * v is not
STEP = (
    2.0**-17
)  # of a difference, relative to the numbers it moves: the cube root of their rounding
JUMP = 1e-6  # by so much of its size a value moves only where the function jumps
HASHES = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # odd, of no pattern
PACKAGE = frozenset(ops.values())  # a test proves that these are analytic; other ops are tried


class Walk(NamedTuple):
    """The derivatives of a graph along a direction, all by the `order` of a node."""

    tangents: dict
    doubts: dict  # how far the tangents of `differences` may be off
    differences: list  # the nodes that were passed by a difference


@np.errstate(all="ignore")
def along(steps, directions, step=STEP, analytic=None):
    """The Walk of the nodes `steps`, oldest first, along `directions` ({order: array}).

    `analytic` remembers from walk to walk which nodes of other packages are analytic.
    """
    analytic = {} if analytic is None else analytic
    values, walk = {}, Walk({}, {}, [])
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        for node in steps:
            if node.order in directions:
                walk.tangents[node.order] = directions[node.order]
                values[node.order] = lifted(node.data, directions[node.order])
            elif any(isinstance(a, Tensor) and a.order in values for a in node.args):
                args = [
                    values.get(a.order, a.data) if isinstance(a, Tensor) else a for a in node.args
                ]
                if has_no_rule(node):
                    values[node.order] = _piecewise_constant(node.op.forward, args)
                    continue
                tangent, doubt = _through(node, args, step, analytic)
                if doubt is not None:
                    walk.doubts[node.order] = doubt
                    walk.differences.append(node)
                walk.tangents[node.order] = tangent
                values[node.order] = lifted(node.data, tangent)
    return walk


def lifted(data, tangent):
    """data + i H tangent. The real part stays as it was recorded, so that numbers that tie go on tying."""
    value = np.empty(data.shape, complex)
    value.real = data
    value.imag = np.where(np.isfinite(data), H * tangent, 0) + 0.0  # no -0: the root takes its sign
    return value


def has_no_rule(node):
    """Whether a node is constant between jumps, as comparisons and rounding are."""
    return not any(node.op.rules[i] for i in range(len(node.args)))


def _piecewise_constant(forward, args):
    """Comparisons take complex numbers, and so the side that they go to; others take the real parts."""
    value = _complex(forward, args)
    return value if value is not None and value.dtype.kind in "biu" else forward(*map(_real, args))


def _complex(forward, args):
    """forward(*args) on complex numbers; None if it takes none."""
    try:
        return np.asarray(forward(*args))
    except Exception:  # whatever a forward that was not made for complex numbers raises
        return None


def is_complex(x):
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "c"


def largest(array):
    """The largest magnitude in an array."""
    return np.max(abs(array), initial=0.0, where=np.isfinite(array))


def _real(x):
    return np.real(x) if is_complex(x) else x


def _through(node, args, step, analytic):
    """(the tangent of a node, None), or (the tangent by a difference, how far it may be off)."""
    value = _complex(node.op.forward, args)
    moved = any(is_complex(a) for a in args)
    if value is None or is_complex(value) != moved or value.shape != node.shape:
        return difference(node, args, step)
    tangent = np.imag(value) / H
    if node.op not in PACKAGE and node.order not in analytic:
        analytic[node.order] = is_analytic(node)
    if not analytic.get(node.order, True):
        return difference(node, args, step)
    if node.op not in PACKAGE or any(
        isinstance(a, np.ndarray) and a.dtype.kind in "biu" for a in args
    ):
        size = max((largest(np.real(a)) for a in args if isinstance(a, np.ndarray)), default=0)
        jump = abs(np.real(value) - node.data) > JUMP * (abs(node.data) + size)
        tangent = np.where(jump, np.nan, tangent)
    lost = np.isfinite(node.data) & ~np.isfinite(value)  # as where exp(x) overflows
    if not np.any(lost):
        return tangent, None
    plain, doubt = difference(node, args, step)
    return np.where(lost, plain, tangent), np.where(lost, doubt, 0)


def difference(node, args, step=STEP):
    """(tangent, how far it may be off): the one-sided difference of second order of a node alone, over two steps."""
    tangents = [np.imag(a) / H if is_complex(a) else None for a in args]
    moved = [i for i, t in enumerate(tangents) if t is not None]
    args = [_real(a) for a in args]
    size = max(largest(args[i]) for i in moved) or 1.0
    h = step * size / (max(largest(tangents[i]) for i in moved) or 1.0)

    def f(t):
        moved_args = [a if t_i is None else a + t * t_i for a, t_i in zip(args, tangents)]
        return np.asarray(node.op.forward(*moved_args), np.float64)

    middle, half, one, two = node.data, f(h / 2), f(h), f(2 * h)
    long, short = (4 * one - two - 3 * middle) / (2 * h), (4 * half - one - 3 * middle) / h
    rounding = 2.0**-49 * np.maximum(abs(middle), abs(one)) / h
    return short, abs(short - long) + rounding


def is_analytic(node):
    """Whether the complex step of a node is what a difference gives: it is not for |x|, or where a part is taken real."""
    rng = np.random.default_rng(0)
    args = [
        lifted(a.data, rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1, 1], a.shape))
        if isinstance(a, Tensor) and a.dtype.kind == "f"
        else data_of(a)
        for a in node.args
    ]
    value = _complex(node.op.forward, args)
    if value is None or not is_complex(value):
        return False
    plain, doubt = difference(node, args)
    near = abs(np.imag(value) / H - plain) <= 4 * doubt + 1e-7 * abs(plain)
    return 2 * np.sum(near) >= near.size  # kinks nearby may upset the difference at some entries


# ---------------------------------------------------------------------------------------- gradients


class Part:
    """A part of a recorded graph, `steps` from some tensors to `outputs`, as the checks compare it.

    pull(outputs, cotangents, tensors) gives the gradients {order: array} that are in question. `cotangents` are given for the
    outputs; `gradients` are those of all steps that want one, and so the cotangents on the way.
    """

    def __init__(self, steps, outputs, cotangents, pull, step=STEP):
        self.steps, self.outputs, self.cotangents, self.pull = steps, outputs, cotangents, pull
        self.step, self.analytic = step, {}
        self.leaves = {node.order for node in steps if not node.args}
        self.gradients = pull(outputs, cotangents, [n for n in steps if n.requires_grad])

    def walk(self, directions):
        return along(self.steps, directions, self.step, self.analytic)

    def terms(self, walk):
        """Cotangent times derivative for each entry of the outputs: their sum is the derivative."""
        terms = [
            (u * walk.tangents.get(y.order, np.zeros(y.shape)))[u != 0]
            for y, u in zip(self.outputs, self.cotangents)
        ]
        return np.concatenate([np.ravel(t) for t in terms])

    def shaken(self, seed, way):
        """(the same part, its numbers moved by a rounding; {order: the order there})."""
        moved = shaken(self.steps, seed, way)
        outputs = [moved[y.order] for y in self.outputs]
        part = Part(list(moved.values()), outputs, self.cotangents, self.pull, self.step)
        return part, {old: new.order for old, new in moved.items()}


def shaken(steps, seed, way):
    """The graph run again, every number moved by a rounding, one `way` (1) or the other (-1): {order: new Tensor}.

    By what these two differ, rounding may change a result.
    """
    moved = {}
    for node in steps:
        if node.args:
            args = tuple(moved.get(a.order, a) if isinstance(a, Tensor) else a for a in node.args)
            given = [np.ravel(data_of(a)) for a in args if isinstance(a, (Tensor, np.ndarray))]
            data = np.asarray(node.op.forward(*map(data_of, args)))
            passed_on = np.isin(data, np.concatenate(given))  # as by max, whose rule asks for that
            data = np.where(passed_on, data, _moved(data, seed, way))
            moved[node.order] = result(node.op, args, data, node.flags)
        else:
            moved[node.order] = new = constant(_moved(node.data, seed, way))
            new.requires_grad = node.requires_grad
    return moved


def _moved(data, seed, way):
    """Every number one rounding up or down, as its own bits say: so what was equal stays equal."""
    if data.dtype != np.float64:
        return data
    bits = np.ascontiguousarray(abs(data)).view(np.uint64)
    up = (bits * np.uint64(HASHES[seed])) >> np.uint64(63)
    return data * (1 + way * 2.0**-52 * (1 - 2.0 * up.reshape(data.shape)))


def by_engine(outputs, cotangents, tensors):
    """The gradients that backward gives; 0 by what it does not reach."""
    recorded = [(y, u) for y, u in zip(outputs, cotangents) if y.requires_grad]
    found = [None] * len(tensors)
    if recorded and tensors:
        ys, us = zip(*recorded)
        found = grad(ys, tensors, us, retain_graph=True, allow_unused=True)
    return {x.order: np.zeros(x.shape) if g is None else g.data for x, g in zip(tensors, found)}

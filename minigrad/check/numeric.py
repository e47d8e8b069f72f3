"""Derivatives of a recorded graph from its forwards alone, by the complex step: exact to rounding.

A leaf x gets the value x + i h v, and the recorded graph runs on it. The imaginary part of every
result over h is its derivative along v. Nothing is subtracted, so there is no step to choose
(Squire & Trapp 1998; Martins, Sturdza & Alonso 2003, ACM TOMS 29(3)).

NumPy orders complex numbers by their real parts, and where these are equal by their imaginary
parts. So at a kink `maximum`, `max` and `clip` take the branch that v goes into. Hence D(v) and
-D(-v) are the exact slopes on the two sides of a kink.

A node whose forward takes no complex numbers, or is no analytic function, is passed by a plain
difference of that node alone.
"""

import warnings
from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..registry import ops

H = 2.0**-400  # H**3, the next power in an imaginary part, is 0 in float64, and H * v is not
# The step of a difference, relative to what it moves: the cube root of the rounding of a number.
STEP = 2.0**-17
JUMP = 1e-6  # by so much of its size a value moves only where the function jumps
PACKAGE = frozenset(ops.values())  # a test proves that these are analytic; other ops are tried


class Walk(NamedTuple):
    """The derivatives of a graph along a direction, all by the `order` of a node."""

    tangents: dict
    doubts: dict  # how far those tangents may be off that come from a difference


@np.errstate(all="ignore")
def along(steps, directions, step=STEP, plain=None):
    """The Walk of the nodes `steps`, oldest first, along `directions` ({order: array}).

    `plain` has the orders of the nodes that are passed by a difference; if not given, it is found.
    """
    values, walk = {}, Walk({}, {})
    plain = not_analytic(steps) if plain is None else plain
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        for node in steps:
            order = node.order
            args = [values.get(getattr(a, "order", None), data_of(a)) for a in node.args]
            if order in directions:
                walk.tangents[order] = directions[order]
            elif not any(isinstance(a, Tensor) and a.order in values for a in node.args):
                continue
            elif has_no_rule(node) or node.dtype.kind != "f":
                values[order] = _without_rule(node.op.forward, args)
                continue
            else:
                walk.tangents[order], doubt = _through(node, args, step, order in plain)
                if np.any(doubt):
                    walk.doubts[order] = doubt
            values[order] = lifted(node.data, walk.tangents[order])
    return walk


def lifted(data, tangent):
    """data + i H tangent. The real part stays as recorded, so that equal numbers stay equal."""
    value = np.empty(data.shape, complex)
    value.real = data
    value.imag = np.where(np.isfinite(data), H * tangent, 0)
    return value


def has_no_rule(node):
    """Whether a node is constant between jumps, as comparisons and rounding are."""
    return not any(node.op.rules[i] for i in range(len(node.args)))


def _without_rule(forward, args):
    """Comparisons take complex numbers, and so the side that they go to; others take real parts."""
    value = _complex(forward, args)
    return value if value is not None and value.dtype.kind in "biu" else forward(*map(_real, args))


def _complex(forward, args):
    """forward(*args) on complex numbers; None if it takes none."""
    try:
        return np.asarray(forward(*args))
    except Exception:  # whatever a forward that was not made for complex numbers raises
        return None


def is_array(x):
    return isinstance(x, (np.ndarray, np.generic))


def is_complex(x):
    return is_array(x) and x.dtype.kind == "c"


def _real(x):
    return np.real(x) if is_complex(x) else x


def largest(array):
    """The largest finite magnitude in an array."""
    return np.max(abs(array), initial=0.0, where=np.isfinite(array))


def _through(node, args, step, plain):
    """(the tangent of a node, how far it may be off): nan where the function jumps."""
    value = None if plain else _complex(node.op.forward, args)
    if value is None or is_complex(value) != any(map(is_complex, args)):
        return difference(node, args, step)
    tangent, data = np.imag(value) / H, node.data
    size = abs(data) + max(largest(np.real(a)) for a in args if is_array(a))
    tangent = np.where(abs(np.real(value) - data) > JUMP * size + H, np.nan, tangent)
    lost = np.isfinite(data) & ~np.isfinite(value)  # as where exp(x) overflows
    if not np.any(lost):
        return tangent, 0.0
    other, doubt = difference(node, args, step)
    return np.where(lost, other, tangent), np.where(lost, doubt, 0)


def difference(node, args, step=STEP):
    """(tangent, how far it may be off) of a node alone: one-sided differences of second order.

    The tangent is nan where the function jumps: a thousandth of the way takes it half as far.
    """
    tangents = [np.imag(a) / H if is_complex(a) else None for a in args]
    moved, args = [i for i, v in enumerate(tangents) if v is not None], [_real(a) for a in args]
    size, speed = (max(largest(a[i]) for i in moved) or 1.0 for a in (args, tangents))
    h, middle = step * size / speed, node.data

    def f(t):
        there = [a if v is None else a + t * v for a, v in zip(args, tangents)]
        return np.asarray(node.op.forward(*there), np.float64)

    half, one, two = f(h / 2), f(h), f(2 * h)
    long, short = (4 * one - two - 3 * middle) / (2 * h), (4 * half - one - 3 * middle) / h
    rounding = 2.0**-49 * np.maximum(abs(middle), abs(one)) / h
    farthest = np.max([abs(there - middle) for there in (half, one, two)], axis=0)
    jumps = abs(f(h / 1024) - middle) > farthest / 2 + 2**12 * rounding * h
    return np.where(jumps, np.nan, short), abs(short - long) + rounding


def not_analytic(steps):
    """The orders of the nodes of other packages' ops that the complex step says nothing of."""
    others = [n for n in steps if n.args and getattr(n.op, "family", n.op) not in PACKAGE]
    return {n.order for n in others if not has_no_rule(n) and not is_analytic(n)}


def is_analytic(node):
    """Whether the complex step of a node is what a difference gives: not of |x| or real(x).

    Each entry moves by a part of itself, so that the step is small beside it.
    """
    rng, args = np.random.default_rng(0), list(map(data_of, node.args))
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor) and a.dtype.kind == "f":
            sizes = np.where(a.data == 0, 1.0, abs(a.data))
            way = rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1, 1], a.shape)
            args[i] = lifted(a.data, sizes * way)
    value = _complex(node.op.forward, args)
    if value is None or not is_complex(value):
        return False
    plain, doubt = difference(node, args)
    near = abs(np.imag(value) / H - plain) <= 4 * doubt + 1e-7 * abs(plain)
    # Jumps nearby give nan, and kinks nearby may upset the difference at some entries.
    return 2 * np.sum(near) >= np.sum(~np.isnan(plain))

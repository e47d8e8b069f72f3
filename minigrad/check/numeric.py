"""Derivatives of a recorded graph from its forwards alone, by the complex step: exact to rounding.

A leaf x gets the value x + i h v, and the recorded graph runs on it. The imaginary part of every
result over h is its derivative along v. Nothing is subtracted, so there is no step to choose
(Squire & Trapp 1998; Martins, Sturdza & Alonso 2003, ACM TOMS 29(3)).

NumPy orders complex numbers by their real parts, and where these are equal by their imaginary
parts. So at a kink `maximum`, `max` and `clip` take the branch that v goes into. Hence D(v) and
-D(-v) are the exact slopes on the two sides of a kink.

Each node is passed alone, along tangents of size 1: so no scale is too small or too large. Beside
numbers below TINY the step H is not small. They move by steps of their own, and the tangents add
up. Where an imaginary part is too small for float64, a wider step is taken.

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
TINY = 2.0**-370  # H is small beside every number but 0 and those below TINY
WIDTH = 160  # those share a step that lie within so many powers of 2
NEAR = 2.0**-30  # a wide step, relative to what moves: its square is less than a rounding
FINEST = 2.0**-1074  # the smallest number
FAINT = 2.0**-1014  # a smaller imaginary part has lost digits
# The step of a difference, relative to what it moves: the cube root of the rounding of a number.
STEP = 2.0**-17
JUMP = 1e-6  # by so much of its size a value moves only where the function jumps
PACKAGE = frozenset(ops.values())  # a test proves that these are analytic; other ops are tried


class Walk(NamedTuple):
    """The derivatives of a graph along a direction, all by the `order` of a node."""

    tangents: dict
    doubts: dict  # how far those tangents may be off that are not exact
    grains: dict  # what a tangent is a multiple of


class Ways(NamedTuple):
    """How the nodes of a graph are passed."""

    plain: set  # the orders of the nodes that are passed by a difference
    depths: dict  # {order: depth(its data)}, where it is not 0


def ways(steps):
    """The Ways of these nodes. Those of other packages' ops are tried."""
    others = [n for n in steps if n.args and getattr(n.op, "family", n.op) not in PACKAGE]
    depths = {node.order: depth(node.data) for node in steps}
    return Ways(
        {n.order for n in others if not has_no_rule(n) and not is_analytic(n)},
        {order: d for order, d in depths.items() if np.any(d)},
    )


def depth(data):
    """For each entry, which range of numbers below TINY it is in, 0 if it is in none.

    An entry that is 0 has no size of its own, and moves with the smallest of the others.
    """
    size = abs(data)
    if not np.any((size < TINY) & (size > 0)):
        return 0
    below = np.frexp(TINY)[1] - np.frexp(size)[1]
    found = np.where(size > 0, np.maximum(-(-below // WIDTH), 0), 0)
    return np.where(size > 0, found, np.max(found))


@np.errstate(all="ignore")
def along(steps, directions, step=STEP, by=None):
    """The Walk of the nodes `steps`, oldest first, along `directions` ({order: array}).

    `by` are the Ways of the nodes; if not given, they are found.
    """
    walk, replaced = Walk({}, {}, {}), {}
    by = ways(steps) if by is None else by
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        for node in steps:
            order, orders = node.order, [getattr(a, "order", None) for a in node.args]
            if order in directions:
                walk.tangents[order] = directions[order]
                continue
            if not any(o in walk.tangents or o in replaced for o in orders):
                continue
            args = [replaced.get(o, data_of(a)) for o, a in zip(orders, node.args)]
            tangents = [walk.tangents.get(o) for o in orders]
            if has_no_rule(node):
                replaced[order] = _without_rule(node.op.forward, args, tangents)
                continue
            found = None if order in by.plain else through(node, args, tangents, by.depths, step)
            if found is None:
                found = *difference(node, args, tangents, step), 0.0
            walk.tangents[order], doubt, walk.grains[order] = found
            if np.any(doubt):
                walk.doubts[order] = doubt
    return walk


def has_no_rule(node):
    """Whether a node is constant between jumps, as comparisons and rounding are."""
    return not any(node.op.rules[i] for i in range(len(node.args)))


def _without_rule(forward, args, tangents):
    """Comparisons take complex numbers, and so the side that they go to; others take real ones."""
    value = _complex(forward, lifted(args, _unit(tangents)[1], H))
    return value if value is not None and value.dtype.kind in "biu" else forward(*args)


def _complex(forward, args):
    """forward(*args) on complex numbers; None if it takes none."""
    try:
        return np.asarray(forward(*args))
    except Exception:  # whatever a forward that was not made for complex numbers raises
        return None


def lifted(args, tangents, h):
    """args + i h tangents. The real parts stay as recorded, so that equal numbers stay equal."""
    values = list(args)
    for i, tangent in enumerate(tangents):
        if tangent is not None:
            values[i] = np.empty(tangent.shape, complex)
            values[i].real = args[i]
            values[i].imag = h * tangent
    return values


def _unit(tangents):
    """(the largest entry of these tangents, the tangents as multiples of it)."""
    speed = max((largest(t) for t in tangents if t is not None), default=0.0)
    return speed, [t if t is None else t / (speed or 1.0) for t in tangents]


def is_array(x):
    return isinstance(x, (np.ndarray, np.generic))


def largest(array):
    """The largest finite magnitude in an array."""
    size = np.max(abs(array), initial=0.0)
    if np.isfinite(size):
        return size
    return np.max(abs(array), initial=0.0, where=np.isfinite(array))


def through(node, args, tangents, depths, step=STEP):
    """(the tangent of a node, how far it may be off, what it is a multiple of), by complex steps.

    None if the forward takes no complex numbers.
    """
    tangent = doubt = grain = 0.0
    own, *depths = [depths.get(getattr(a, "order", None), 0) for a in (node, *node.args)]
    for d in sorted({0}.union(*(np.unique(of).tolist() for of in depths if is_array(of)))):
        here = [of == d for of in depths]
        part = [t if t is None or np.all(i) else np.where(i, t, 0) for i, t in zip(here, tangents)]
        speed, unit = _unit(part)
        slope, off, faint, h = 0.0, 0.0, True, H
        if d == 0:
            found = _slope(node, args, unit, H, step)
            if found is None:
                return None
            slope, off = found
            faint = abs(slope) * H < FAINT
        if speed and (np.all(faint) or np.any(faint & (own != 0))):
            wide = _wide_step(args, unit, here)
            other, lost = _slope(node, args, unit, wide, step)
            # What the op loses inside, below the smallest numbers, shows in another step.
            lost = lost + 2 * abs(other - _slope(node, args, unit, wide / 64, step)[0])
            used = (d > 0) | (faint & (abs(other) > lost))
            slope, off, h = (np.where(used, *ab) for ab in ((other, slope), (lost, off), (wide, H)))
        tangent, doubt = tangent + speed * slope, doubt + speed * off
        grain = grain + FINEST / h * speed
    return tangent, doubt, grain


def _wide_step(args, tangents, here):
    """The widest step that is small beside the entries `here` that move."""
    sizes = [abs(a)[i & (a != 0)] for a, t, i in zip(args, tangents, here) if t is not None]
    smallest = min(np.min(size, initial=np.inf) for size in sizes)
    power = np.frexp(smallest)[1] if np.isfinite(smallest) else 1
    return max(NEAR * np.ldexp(1.0, power - 1), FINEST / NEAR)  # powers of 2 scale exactly


def _slope(node, args, tangents, h, step):
    """(the slope of a node, how far it may be off): nan where the function jumps."""
    value, data = _complex(node.op.forward, lifted(args, tangents, h)), node.data
    moved = any(t is not None for t in tangents)
    if value is None or (value.dtype.kind == "c") != moved:
        return None
    slope, apart = np.imag(value) / h, abs(np.real(value) - data)
    if np.all(apart <= JUMP * abs(data)) and np.all(np.isfinite(slope)):
        return slope, 0.0
    size = abs(data) + max(largest(a) for a in args if is_array(a))
    slope = np.where(apart > JUMP * size + H, np.nan, slope)
    lost = np.isfinite(data) & ~np.isfinite(value)  # as where exp(x) overflows
    if not np.any(lost):
        return slope, 0.0
    other, doubt = difference(node, args, tangents, step)
    return np.where(lost, other, slope), np.where(lost, doubt, 0)


def difference(node, args, tangents, step=STEP):
    """(tangent, how far it may be off) of a node alone: one-sided differences of second order.

    The tangent is nan where the function jumps: a thousandth of the way takes it half as far.
    """
    moved, middle = [i for i, t in enumerate(tangents) if t is not None], node.data
    size, speed = (max(largest(a[i]) for i in moved) or 1.0 for a in (args, tangents))
    h = step * size / speed

    def f(t):
        there = [a if v is None else a + t * v for a, v in zip(args, tangents)]
        return np.asarray(node.op.forward(*there), np.float64)

    half, one, two = f(h / 2), f(h), f(2 * h)
    long, short = (4 * one - two - 3 * middle) / (2 * h), (4 * half - one - 3 * middle) / h
    rounding = 2.0**-49 * np.maximum(abs(middle), abs(one)) / h
    farthest = np.max([abs(there - middle) for there in (half, one, two)], axis=0)
    jumps = abs(f(h / 1024) - middle) > farthest / 2 + 2**12 * rounding * h
    return np.where(jumps, np.nan, short), abs(short - long) + rounding


def is_analytic(node):
    """Whether the complex step of a node is what a difference gives: not of |x| or real(x)."""
    rng, args = np.random.default_rng(0), list(map(data_of, node.args))
    tangents = [
        rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1, 1], a.shape)
        if isinstance(a, Tensor) and a.dtype.kind == "f"
        else None
        for a in node.args
    ]
    depths = {a.order: depth(a.data) for a in (node, *node.args) if isinstance(a, Tensor)}
    found = through(node, args, tangents, depths)
    if found is None:
        return False
    plain, doubt = difference(node, args, tangents)
    near = abs(found[0] - plain) <= 4 * doubt + 1e-7 * abs(plain)
    return 2 * np.sum(near) >= near.size  # kinks nearby may upset the difference at some entries

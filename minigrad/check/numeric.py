"""The derivative of one recorded node from its forward alone, by the complex step.

An argument x gets the value x + i h v, and the forward runs on it. The imaginary part of the result
over h is its derivative along v. Nothing is subtracted, so there is no step to choose, and it is
exact to rounding (Squire & Trapp 1998; Martins, Sturdza & Alonso 2003, ACM TOMS 29(3)).

NumPy orders complex numbers by their real parts, and where these are equal by their imaginary
parts. So at a kink `maximum`, `max` and `clip` take the branch that v goes into. Hence D(v) and
-D(-v) are the exact slopes on the two sides of a kink.

A node whose forward takes no complex numbers, or is no analytic function, is passed by a plain
difference.
"""

import contextlib
import inspect
import warnings

import numpy as np

from ..array import data_of
from ..engine import Tensor
from .analytic import Lifted

H = 2.0**-400  # H**3, the next power in an imaginary part, is 0 in float64, and H * v is not
BESIDE = 2.0**-30  # a step is small beside a number if it is less than this part of it
LARGER = 2.0**355  # so much larger, a step h x is not 0 for an x of 1e-300, and still small
# The step of a difference, relative to what it moves: the cube root of the rounding of a number.
STEP = 2.0**-17
FEW = 8  # one difference of so many may be upset by a kink
PRECISE = 2.0**-14  # a difference tells if it is known to this part of it
JUMP = 1e-6  # by so much of its size a value moves only where the function jumps


@np.errstate(all="ignore")
def tangent(node, directions, plain=False):
    """(derivative of a node along `directions` {position of an argument: array}, its doubt).

    The derivative is nan where the function jumps. The doubt says how far a difference may be off.
    With `plain` the node is passed by a difference.
    """
    data, arrays, value = node.data, [a.data for a in node.args if isinstance(a, Tensor)], np.nan
    moved = {i: lifted(node.args[i].data, v) for i, v in directions.items()}
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # complex numbers
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        value = np.nan if plain else again(node, moved)
    size = abs(data) + max(map(largest, arrays))
    found = np.where(abs(np.real(value) - data) > JUMP * size + H, np.nan, np.imag(value) / H)
    lost = np.isfinite(data) & ~np.isfinite(value)  # as where exp(x) overflows
    if not np.any(lost):
        return found, 0.0
    other, doubt = difference(node, directions)
    return np.where(lost, other, found), np.where(lost, doubt, 0)


def again(node, replaced):
    """The value of a node with other arrays in place of arguments, {position: array}."""
    args = [replaced.get(i, data_of(a)) for i, a in enumerate(node.args)]
    return np.asarray(node.op.forward(*args))


def lifted(data, v):
    """data + i H v. The real part stays as it is, so that equal numbers stay equal."""
    value = np.array(data, complex)
    value.imag = H * v
    return value.view(Lifted)


def largest(array):
    """The largest finite magnitude in an array."""
    return np.max(abs(array), initial=0.0, where=np.isfinite(array))


def difference(node, directions):
    """(derivative of a node, its doubt): one-sided differences of second order."""
    size = max(largest(node.args[i].data) for i in directions) or 1.0
    h = STEP * size / (max(map(largest, directions.values())) or 1.0)

    def f(t):
        return again(node, {i: node.args[i].data + t * v for i, v in directions.items()})

    half, one, two, middle = f(h / 2), f(h), f(2 * h), node.data
    long, short = (4 * one - two - 3 * middle) / (2 * h), (4 * half - one - 3 * middle) / h
    return short, 2 * abs(short - long) + 2.0**-49 * np.maximum(abs(middle), abs(one)) / h


def is_ours(op):
    """Whether an op has its rules from this package. A test proves that all such are analytic."""
    rules = map(inspect.unwrap, filter(None, op.rules))
    return all(str(rule.__module__).startswith("minigrad.") for rule in rules)


def is_analytic(node):
    """Whether the complex step of a node agrees with a difference. For x times its conjugate it
    does not.

    Each entry moves by a part of itself, so that the step is small beside it. Kinks nearby may
    upset a few of the differences.
    """
    rng, ways = np.random.default_rng(0), {}
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor) and a.dtype.kind == "f":
            ways[i] = cotangent(rng, a.shape) * np.where(a.data == 0, 1.0, abs(a.data))
    plain, doubt = difference(node, ways)
    found = tangent(node, {i: LARGER * v for i, v in ways.items()})[0] / LARGER
    # It tells nothing where the function jumps, or where both derivatives are 0.
    told = np.where(plain == 0, found != 0, doubt < PRECISE * abs(plain))
    differs = told & ~(abs(found - plain) <= 4 * doubt + 1e-7 * abs(plain))
    return FEW * np.sum(differs) <= np.sum(told)


def cotangent(rng, shape):
    """Random numbers of both signs. None is near 0, where rounding would hide its part."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)

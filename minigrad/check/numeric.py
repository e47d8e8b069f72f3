"""The derivative of one recorded node from its forward alone, by the complex step.

An argument x gets the value x + i h v, and the forward runs on it. The imaginary part of the
result, divided by h, is the derivative along v. Nothing is subtracted, so a tiny h costs no digits:
the derivative is exact up to rounding (Squire & Trapp 1998; Martins, Sturdza & Alonso 2003, ACM
TOMS 29(3)).

NumPy orders complex numbers by their real parts and, where these are equal, by their imaginary
parts. So at a kink `maximum`, `max` and `clip` take the branch to which v points. The derivative
D(v) along v and -D(-v) are then the exact slopes on the two sides.

If a forward takes no complex numbers, or is no analytic function, a plain difference takes the
place of the complex step.
"""

import contextlib
import inspect
import warnings

import numpy as np

from ..array import data_of
from ..engine import Tensor
from .analytic import Lifted

H = 2.0**-380  # the step: its error H**2 is 0 beside LEAST, and H * v is not 0
BESIDE = 2.0**-30  # the largest step, relative to its number: its square is less than a rounding
LEAST = 2.0**-630  # smaller derivatives lose digits: times H they near 2^-1074, the smallest float
# The step of a difference, relative to the arguments: about the cube root of a rounding, where the
# errors of rounding, 2^-52 / step, and of the formula, step**2, are equal.
STEP = 2.0**-17
PRECISE = 2.0**-14  # a difference counts if its relative doubt is smaller: four right digits
FEW = 8  # one of so many differences may be wrong, because of a kink nearby
DIRECTIONS = 3  # in which a difference is compared: one may be wrong, because of rounding
JUMP = 1e-6  # relative change of a real part that shows a jump: a step of H changes it far less


@np.errstate(all="ignore")
def tangent(node, directions):
    """(derivative of a node along `directions` {position of an argument: array}, its doubt).

    The derivative is nan where the function jumps. The doubt is the possible error of a plain
    difference, and 0 for the complex step.
    """
    data, arrays, value = node.data, [a.data for a in node.args if isinstance(a, Tensor)], np.nan
    moved = {i: lifted(node.args[i].data, v) for i, v in directions.items()}
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # it may refuse complex numbers
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        value = again(node, moved)
    size = abs(data) + max(map(largest, arrays))
    found = np.where(abs(np.real(value) - data) > JUMP * size + H, np.nan, np.imag(value) / H)
    lost = ~np.isfinite(value)  # as where exp(x) overflows
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


def shortened(v, x):
    """The direction v, shorter where a step H v would not be small beside its number in x.

    Zeros, and nan, move by a small part of the least other number. Steps are floats, also the
    tiniest.
    """
    least = np.min(abs(x), initial=1.0, where=abs(x) > 0)
    longest = BESIDE / H * np.where(abs(x) > 0, abs(x), least)
    return H * np.clip(v, -longest, longest) / H


def largest(array):
    """The largest finite magnitude in an array."""
    return np.max(abs(array), initial=0.0, where=np.isfinite(array))


def difference(node, directions):
    """(derivative along `directions`, its doubt): one-sided differences of second order."""
    size = max(largest(node.args[i].data) for i in directions) or 1.0
    h = STEP * size / (max(map(largest, directions.values())) or 1.0)

    def f(t):
        with contextlib.suppress(ValueError):  # outside of the domain there is no value
            return again(node, {i: node.args[i].data + t * v for i, v in directions.items()})
        return np.nan

    half, one, two, middle = f(h / 2), f(h), f(2 * h), node.data
    long, short = (4 * one - two - 3 * middle) / (2 * h), (4 * half - one - 3 * middle) / h
    # The values are rounded, and so are the arguments, which move by only STEP of their size.
    rounded = abs(middle) + abs(one - middle) / STEP
    return short, 2 * abs(short - long) + 2.0**-49 * rounded / h


def is_ours(op):
    """Whether all rules of an op are from this package. Tests prove that these ops are analytic."""
    rules = map(inspect.unwrap, filter(None, op.rules))
    return all(str(rule.__module__).startswith("minigrad.") for rule in rules)


def is_analytic(node):
    """Whether the complex step of a node agrees with a difference. For np.vdot(x, x), which takes a
    conjugate, it does not.

    It does if they agree along one of some directions: rounding and kinks spoil differences rarely.
    """
    rng = np.random.default_rng(0)
    return any(agrees(node, rng) for _ in range(DIRECTIONS))


def agrees(node, rng):
    """Whether they agree along a random direction, but for a few entries, because of kinks nearby.

    Each entry moves by a small part of its size.
    """
    ways = {}
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor) and a.dtype.kind == "f":
            ways[i] = cotangent(rng, a.shape) * shortened(np.full(a.shape, np.inf), a.data)
    found, (plain, doubt) = tangent(node, ways)[0], difference(node, ways)
    # An entry tells nothing if the function jumps there or has no value nearby, or if both are 0.
    told = np.where(plain == 0, found != 0, doubt < PRECISE * abs(plain))
    differs = told & ~(abs(found - plain) <= 4 * doubt)
    return FEW * np.sum(differs) <= np.sum(told)


def cotangent(rng, shape):
    """Random numbers of both signs. None is near 0: rounding would hide its part of a sum."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)

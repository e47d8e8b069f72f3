"""What is wrong with a wrong gradient: simple hypotheses, tried on both derivatives."""

from typing import NamedTuple

import numpy as np

from ..noise import Noise

SAMPLE = 64  # entries looked at
COTANGENTS = 3
EXACT = 1e-9  # of the largest: what differs by less is one number


class Map(NamedTuple):
    """A function of one array x.

    push(v) is its numeric derivative along v, pull(u) the analytic gradient of sum(u * value).
    """

    x: np.ndarray
    push: object
    pull: object


def function_of(part, x):
    """The Map from x to the output of a Part; several outputs are joined to one row."""
    shapes = [y.shape for y in part.outputs]
    ends = np.cumsum([y.size for y in part.outputs])[:-1]

    def joined(arrays):
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=None)

    def push(v):
        tangents = part.walk({x.order: v}).tangents
        return joined([tangents.get(y.order, np.zeros(y.shape)) for y in part.outputs])

    def pull(u):
        parts = [p.reshape(shape) for p, shape in zip(np.split(u.ravel(), ends), shapes)]
        return part.pull(part.outputs, parts, [x])[x.order]

    return Map(x.data, push, pull)


def diagnose(function, rates=(), others=None, turned=None, settings=None):
    """The simple hypotheses that explain the wrong gradients of a Map, in words.

    rates     the drop rates in play
    others    {name: Map} of the other operands
    turned    {name: push} of this function with another operand transposed
    settings  {name: number} of the op
    """
    found = list(_explanations(function, rates, others or {}, turned or {}, settings or {}))
    first = [text for rank, text in found if rank == min(r for r, _ in found)]
    return ", or ".join(first) or "no simple pattern"


def rates(steps):
    """The drop rates of the noise in a graph."""
    found = {n.distribution.drop_rate for n in steps if isinstance(n, Noise)}
    return sorted(p for p in found if p is not None and 0 < p < 1)


def _explanations(function, rates, others, turned, settings):
    """(rank, text) of those that fit several random cotangents at once; a low rank is likely."""
    rng, x = np.random.default_rng(0), function.x
    entries = np.sort(rng.choice(x.size, min(x.size, SAMPLE), replace=False))
    columns = _columns(function, entries)
    shape, known = columns.shape[1:], np.all(np.isfinite(columns), axis=0)
    cotangents = [rng.standard_normal(shape) * known for _ in range(COTANGENTS)]

    def numeric(columns, cotangents=cotangents):
        return np.array([np.tensordot(np.nan_to_num(columns), u, u.ndim) for u in cotangents])

    whole = np.array([np.reshape(function.pull(u.copy()), -1) for u in cotangents])
    analytic, right = whole[:, entries], numeric(columns)
    if not np.isfinite(analytic).all():
        yield 0, f"not finite at {np.sum(~np.isfinite(analytic[0]))} of {len(entries)} entries"
        return
    tolerance = EXACT * max(abs(right).max(initial=0), abs(analytic).max(initial=0))

    def fits(candidate, at=...):
        return np.all(abs(analytic - candidate)[at] <= tolerance)

    if fits(right):  # what is wrong shows elsewhere
        return
    if fits(0):
        yield 0, "zero everywhere: the way back is cut (detach, .data?), or the rule is empty"
        return
    sizes = {*shape, *x.shape, columns[0].size, x.size}
    for factor, text in _factors(rates, sizes, settings):
        if fits(factor * right):
            yield 1, text
    for axis in broadcast_axes(x.shape, shape) or ():
        for i in {0, shape[axis] - 1}:
            one = np.zeros([n if a == axis else 1 for a, n in enumerate(shape)])
            one[(0,) * axis + (i,)] = 1
            if fits(numeric(columns, [u * one for u in cotangents])):
                along = f"axis {axis} of the result, along which this input was broadcast"
                yield 1, f"not summed over {along}: only index {i} counts"
    if x.ndim == 2:
        back = [w.reshape(x.shape[::-1]).T.reshape(-1)[entries] for w in whole]
        if np.all(abs(np.array(back) - right) <= tolerance):
            yield 1, "transposed"
    for name, push in turned.items():
        other = _columns(function._replace(push=push), entries)
        if other.shape == columns.shape and fits(numeric(other)):
            yield 1, f"right, if {name} were transposed"
    silent, live, n = abs(analytic) <= tolerance, abs(right) > 2 * tolerance, len(entries)
    if np.any(silent & live) and fits(right, ~silent):
        many = np.sum(np.any(silent & live, axis=0))
        where = f"zero at {many} of {n} entries where the numeric gradient is not"
        yield 2, f"{where}, right elsewhere: a mask too many"
    if np.any(~silent & ~live) and fits(right, live) and np.any(live):
        many = np.sum(np.any(~silent & ~live, axis=0))
        where = f"right, but for {many} of {n} entries where it should be zero"
        yield 2, f"{where}: a mask is ignored"
    for name, other in others.items():
        if other.x.size == x.size and fits(numeric(_columns(other, entries))):
            yield 2, f"this is the gradient of another operand, {name}: wrong operand"
    factors = analytic[live] / right[live]
    if factors.size > COTANGENTS and fits(np.median(factors) * right):
        yield 3, f"{np.median(factors):.9g} times the numeric gradient at every entry"


def _columns(function, entries):
    """The numeric derivatives by these entries, an array like the value for each; nan at kinks."""
    columns = []
    for entry in entries:
        v = np.zeros(function.x.size)
        v[entry] = 1.0
        v = v.reshape(function.x.shape)
        right, left = function.push(v), -function.push(-v)
        columns.append(np.where(abs(right - left) <= EXACT * abs(right), right, np.nan))
    return np.array(columns)


def broadcast_axes(shape, to):
    """The axes of the shape `to` along which an array was broadcast to it; None if it was not."""
    lead = (1,) * (len(to) - len(shape)) + shape
    if len(lead) != len(to) or any(n not in (1, m) for n, m in zip(lead, to)):
        return None
    return tuple(
        axis for axis, n in enumerate(lead) if n != to[axis] or axis < len(to) - len(shape)
    )


def _factors(rates, sizes, settings):
    """(factor, what it means): the usual ones."""
    numeric = "the numeric gradient"
    yield 2, f"2 times {numeric}"
    yield 0.5, f"half {numeric}: a factor 2 is lost"
    yield -1, "the sign is wrong"
    for name, k in settings.items():
        if k not in (0, 1, -1):
            yield k, f"{name} times {numeric}, {name} = {k:g}: a factor {name} too many"
            yield 1 / k, f"1/{name} of {numeric}, {name} = {k:g}: a factor {name} is lost"
    for p in rates:
        keep = 1 - p
        yield keep, f"(1 - p) times {numeric}, p = {p:g}: the scale 1/(1 - p) is lost"
        yield 1 / keep, f"1/(1 - p) times {numeric}, p = {p:g}: scaled once too often"
        yield p, f"p times {numeric}, p = {p:g}"
        yield keep / p, f"(1 - p)/p times {numeric}, p = {p:g}: p and 1 - p are swapped"
    for n in sorted(sizes - {0, 1}):
        axis = f"and {n} is the size of an axis or of the whole"
        yield n, f"{n} times {numeric}, {axis}: a sum where a mean belongs"
        yield 1 / n, f"1/{n} of {numeric}, {axis}: a mean where a sum belongs"

"""What is wrong with a wrong gradient: simple hypotheses, tried one after the other on analytic and numeric derivatives."""

from typing import NamedTuple

import numpy as np

from ..noise import Noise

SAMPLE = 64  # entries looked at
COTANGENTS = 3
EXACT = 1e-9  # of the largest: what differs by less is one number


class Map(NamedTuple):
    """A function of one array x: push(v) is its numeric derivative along v, pull(u) the analytic gradient of sum(u * value)."""

    x: np.ndarray
    push: object
    pull: object


def function_of(part, x):
    """The Map from x to the outputs of a Part, all of them joined."""
    outputs, ends = part.outputs, np.cumsum([y.size for y in part.outputs])[:-1]

    def joined(arrays):
        return arrays[0] if len(arrays) == 1 else np.concatenate([np.ravel(a) for a in arrays])

    def push(v):
        tangents = part.walk({x.order: v}).tangents
        return joined([tangents.get(y.order, np.zeros(y.shape)) for y in outputs])

    def pull(u):
        parts = [p.reshape(y.shape) for p, y in zip(np.split(np.ravel(u), ends), outputs)]
        return part.pull(outputs, parts, [x])[x.order]

    return Map(x.data, push, pull)


def diagnose(function, rates=(), others=None, turned=None, broadcast=()):
    """The simple hypotheses that explain the wrong gradients of a Map, in words.

    rates      the drop rates in play
    others     {name: Map} of the other operands
    turned     {name: push} of this function with another operand transposed
    broadcast  the axes of the value along which x was broadcast
    """
    found = list(_explanations(function, rates, others or {}, turned or {}, broadcast))
    first = [text for rank, text in found if rank == min(r for r, _ in found)]
    return ", or ".join(first) or "no simple pattern"


def rates(steps):
    """The drop rates of the noise in a graph."""
    laws = [n.distribution for n in steps if isinstance(n, Noise)]
    found = {1 - law.keep for law in laws if hasattr(law, "keep")}
    return sorted(p for p in found if 0 < p < 1)


def _explanations(function, rates, others, turned, broadcast):
    """(rank, text) of those that fit, each tried with several random cotangents at once. Of one rank, none is likelier."""
    rng, size = np.random.default_rng(0), function.x.size
    entries = np.sort(rng.choice(size, min(size, SAMPLE), replace=False))
    columns = _columns(function, entries)
    shape = columns.shape[1:]
    known = np.all(np.isfinite(columns), axis=0)
    cotangents = [rng.standard_normal(shape) * known for _ in range(COTANGENTS)]
    columns = np.nan_to_num(columns)

    def numeric(cotangents, columns=columns):
        return np.array([np.tensordot(columns, u, u.ndim) for u in cotangents])

    whole = np.array([np.reshape(function.pull(u.copy()), -1) for u in cotangents])
    analytic, right = whole[:, entries], numeric(cotangents)
    finite = abs(analytic[np.isfinite(analytic)])
    tolerance = EXACT * max(abs(right).max(initial=0), finite.max(initial=0))

    def fits(candidate, at=...):
        return np.all(abs(analytic - candidate)[at] <= tolerance)

    if not np.isfinite(analytic).all():
        yield 0, f"not finite at {np.sum(~np.isfinite(analytic[0]))} of {len(entries)} entries"
        return
    if fits(right) or not entries.size:  # what is wrong shows elsewhere
        return
    if fits(0):
        yield 0, "zero everywhere: the way back is cut (detach, .data?), or the rule is empty"
        return
    sizes = {*shape, *function.x.shape, columns[0].size, size}
    for factor, text in _factors(rates, sizes):
        if fits(factor * right):
            yield 1, text
    for axis in broadcast:
        for i in {0, shape[axis] - 1}:
            one = np.zeros([n if a == axis else 1 for a, n in enumerate(shape)])
            one[(0,) * axis + (i,)] = 1
            if fits(numeric([u * one for u in cotangents])):
                yield (
                    1,
                    (
                        f"not summed over axis {axis} of the result, along which this input was broadcast: only index {i} counts"
                    ),
                )
    if function.x.ndim == 2:
        back = [w.reshape(function.x.shape[::-1]).T.reshape(-1)[entries] for w in whole]
        if np.all(abs(np.array(back) - right) <= tolerance):
            yield 1, "transposed"
    for name, push in turned.items():
        other = _columns(function._replace(push=push), entries)
        if other.shape == columns.shape and fits(numeric(cotangents, np.nan_to_num(other))):
            yield 1, f"right, if {name} were transposed"
    silent, live = abs(analytic) <= tolerance, abs(right) > 2 * tolerance
    count = np.sum(np.any(silent & live, axis=0))
    if count and fits(right, ~silent):
        yield (
            2,
            f"zero at {count} of {len(entries)} entries where the numeric gradient is not, right elsewhere: a mask too many",
        )
    count = np.sum(np.any(~silent & ~live, axis=0))
    if count and fits(right, live) and np.any(live):
        yield (
            2,
            f"right, but for {count} of {len(entries)} entries where it should be zero: a mask is ignored",
        )
    for name, other in others.items():
        if other.x.size == size and fits(
            numeric(cotangents, np.nan_to_num(_columns(other, entries)))
        ):
            yield 2, f"this is the gradient of another operand, {name}: wrong operand"
    factors = analytic[live] / right[live]
    if factors.size > COTANGENTS and fits(np.median(factors) * right):
        yield 3, f"{np.median(factors):.9g} times the numeric gradient at every entry"


def _columns(function, entries):
    """The numeric derivatives by these entries, one array like the value for each; nan at kinks."""
    columns = []
    for entry in entries:
        v = np.zeros(function.x.size)
        v[entry] = 1.0
        v = v.reshape(function.x.shape)
        right, left = function.push(v), -function.push(-v)
        columns.append(np.where(abs(right - left) <= EXACT * abs(right), right, np.nan))
    return np.array(columns)


def _factors(rates, sizes):
    """(factor, what it means): the usual ones."""
    yield 2, "2 times the numeric gradient"
    yield 0.5, "half the numeric gradient: a factor 2 is lost"
    yield -1, "the sign is wrong"
    for p in rates:
        keep = 1 - p
        yield keep, f"(1 - p) times the numeric gradient, p = {p:g}: the scale 1/(1 - p) is lost"
        yield 1 / keep, f"1/(1 - p) times the numeric gradient, p = {p:g}: scaled once too often"
        yield p, f"p times the numeric gradient, p = {p:g}"
        yield keep / p, f"(1 - p)/p times the numeric gradient, p = {p:g}: p and 1 - p are swapped"
    for n in sorted(sizes - {0, 1}):
        axis = f"and {n} is the size of an axis or of the whole"
        yield n, f"{n} times the numeric gradient, {axis}: a sum where a mean belongs"
        yield 1 / n, f"1/{n} of the numeric gradient, {axis}: a mean where a sum belongs"

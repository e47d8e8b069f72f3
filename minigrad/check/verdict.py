"""The rules of one node against its forward, and the verdict.

`judge` compares them along one direction, `look` at all entries of one argument. Both sides are
sums of products. If the products cancel, rounding may be all that is left. So a difference counts
only if it is larger than rounding explains. Rounding inside the op is measured: every number moves
by some roundings, and both sides are computed again.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import Tensor, unbroadcast, wants_gradient
from ..graph import copy
from .numeric import BESIDE, H, cotangent, is_analytic, is_ours, tangent

EPS = 2.0**-52  # of float64
# Allowed: right nodes were seen to need 20 at most. Numbers also move by so many roundings at most,
# to measure rounding inside an op. If they moved less, the mean of 30 equal numbers might not move.
ROUNDINGS = 64
MARGIN = 4  # times the measured rounding is allowed: TRIES may miss the largest change
TRIES = 12  # how often numbers move: in most tries both sides may stay the same by chance
FINEST = 2.0**-1074 / H  # the smallest positive float over H: derivatives are multiples of it
WHOLE = -2, -1, 1, 2  # numbers that stay, since rules may branch there; 0 always stays
HASH = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: odd, and no pattern in the bits of its powers
INFINITE = 2.0**180  # larger slopes count as infinite: sqrt at 0 gives about 2^200, sqrt(1 / H)
# A gradient that is 2^APART times smaller than the largest one is compared in another group. Each
# group costs time, and of a million random gradients only few are so small.
APART = 20
MANY = 64  # entries: in larger groups rounding may hide one; in smaller ones it is measured poorly
# How often a group with kinks or rounding is halved. Of a function, each of up to 2^10 entries is
# then alone. Of a graph, which may be large, so much would be slow.
FUNCTION_DEPTH, GRAPH_DEPTH = 10, 5

PAST = "By a plain difference: its forward takes no complex numbers here."
TOO_SMALL = "Both sides are too small to tell from rounding."


class Settings(NamedTuple):
    """How comparisons are made."""

    rng: np.random.Generator  # draws cotangents and directions
    rtol: float = 0.0  # allowed in addition to rounding, relative to the size
    atol: float = 0.0
    depth: int = GRAPH_DEPTH


class Finding(NamedTuple):
    """What a comparison found."""

    verdict: str
    error: float = 0.0  # relative to the sum of the absolute products
    note: str = ""  # what was seen, unless all is right
    rule: str = ""  # which rule is wrong: "tanh for x (minigrad/ops/elementwise.py:140)"
    entry: int = 0  # the first entry that was moved, as a flat index
    enough: float = np.inf  # the most entries that may be compared together


# Worst first. AFFECTED: a leaf whose gradient goes through a wrong node
SEVERITY = ["NONFINITE", "STOCHASTIC", "FAIL", "AFFECTED", "KINK", "OK", "VACUOUS"]
FAILING = SEVERITY[:3]


def worst(findings):
    """The gravest Finding, with the largest error among equal verdicts. VACUOUS only if all are."""
    gravity = lambda finding: (SEVERITY.index(finding.verdict), -finding.error)
    return min(findings, key=gravity, default=Finding("VACUOUS"))


def ruled(node, i, u):
    """The cotangent that the i-th rule of a node returns for the cotangent u of the result.

    It is summed over axes that were broadcast. An argument without a rule gets zeros.
    """
    x, rule = node.args[i], node.op.rules[i]
    g = rule(u, node.data, *map(data_of, node.args)) if rule else np.zeros(x.shape)
    return g if getattr(g, "shape", None) == x.shape else unbroadcast(g, x, node)


class Alone:
    """A recorded node alone: its forward and its rules.

    cotangent  a random one of the result, 0 where the result is not finite
    gradients  {position of an argument that requires a gradient: what its rule returns}
    plain      whether a plain difference takes the place of the complex step
    """

    def __init__(self, node, settings, u=None):
        self.node, self.settings, self.cotangent = node, settings, u
        if u is None:
            self.cotangent = cotangent(settings.rng, node.shape) * np.isfinite(node.data)
        wanted = [i for i, a in enumerate(node.args) if wants_gradient(a)]
        self.gradients = {i: ruled(node, i, self.cotangent) for i in wanted}
        self.plain = not is_ours(node.op) and not is_analytic(node)

    def push(self, directions):
        return tangent(self.node, directions, self.plain)

    def parts(self, directions):
        """The products that add up to each side, and the doubt about the numeric ones."""
        found, doubt = self.push(directions)
        analytic = [(self.gradients[i] * v)[v != 0] for i, v in directions.items()]
        live = self.cotangent != 0
        return np.concatenate(analytic), (self.cotangent * found)[live], self.cotangent * doubt

    def on(self, change):
        """The same node on other arrays: `change` maps each argument, and the result."""
        tensors = [a for a in self.node.args if isinstance(a, Tensor)]
        known = {a.order: Tensor(change(a.data), a.requires_grad) for a in tensors}
        node = copy([self.node], known=known)[self.node.order]
        node.data = change(node.data)
        return Alone(node, self.settings, self.cotangent)


def moved(array, number, still=()):
    """The array with each entry moved by less than ROUNDINGS. With `number` 0, no entry changes.

    The last bits change. They depend only on `number` and on the bits before them. So equal entries
    stay equal, and an entry that an op passes on, as max does, still equals its copy. Entries in
    `still` stay.
    """
    if array.dtype != np.float64:
        return array
    kept = np.array(abs(array), order="C").view(np.uint64) // ROUNDINGS
    last = kept * np.uint64(pow(HASH, number, 2**64)) // (2**64 // ROUNDINGS)
    found = np.copysign((kept * ROUNDINGS + last).view(np.float64), array)
    return np.where(np.isfinite(array) & ~np.isin(array, still) & (number > 0), found, array)


# ------------------------------------------------------------------------------- one direction


def judge(alone, directions):
    """The Finding on the derivative of a node along `directions` ({position: array}).

    At a kink the analytic value must lie between the slopes on the two sides.
    """
    u, settings = alone.cotangent, alone.settings
    products, forward, doubt = alone.parts(directions)
    backward = -alone.parts({i: -v for i, v in directions.items()})[1]
    low, high = np.sum(np.minimum(forward, backward)), np.sum(np.maximum(forward, backward))
    analytic, numeric = np.sum(products), np.sum(forward)
    size = max(np.sum(abs(products)), np.sum(abs(forward)))
    finite = [a[np.isfinite(a)] for a in (u, *(alone.gradients[i] for i in directions))]
    finest = FINEST * sum(np.sum(abs(a)) for a in finite)
    rounding = ROUNDINGS * EPS * size + np.sum(abs(doubt)) + finest
    sides = f"analytic {analytic:.10g}, numeric {numeric:.10g}"
    kinked = high - low > rounding
    if kinked:
        sides += f", and {np.sum(backward):.10g}, the slopes on the two sides of a kink"
    infinite = not np.isfinite(analytic) and abs(numeric) > INFINITE
    if infinite or not np.isfinite(low + high):
        return Finding("NONFINITE", np.inf, f"the derivative is not finite: {sides}", enough=1)
    apart, enough = np.max([low - analytic, analytic - high, 0.0]), np.inf
    tolerance = settings.atol + settings.rtol * size
    if not apart <= rounding + tolerance:
        rounding, enough = rounding + MARGIN * _spread(alone, directions), MANY
    if apart <= rounding + tolerance and kinked:
        return Finding("KINK", 0.0, sides, enough=1)
    if max(abs(analytic), abs(numeric)) <= rounding:
        return Finding("VACUOUS", note=TOO_SMALL if size > 0 else "")
    if apart <= rounding + tolerance:
        return Finding("OK", apart / size, PAST if np.any(doubt) else "", enough=enough)
    return Finding("FAIL", apart / size if np.isfinite(apart) else np.inf, sides, enough=1)


def _spread(alone, directions):
    """How far the products of both sides move, in sum, if every number moves by some roundings.

    If an entry looked at is in WHOLE, this number stays: a branch of a rule at 1 is no rounding.
    """
    given = [alone.node.args[i].data[v != 0] for i, v in directions.items()]
    still = np.intersect1d(WHOLE, np.concatenate(given))
    others = [alone.on(partial(moved, number=n, still=still)) for n in range(TRIES + 1)]
    sides = np.array([np.concatenate(a.parts(directions)[:2]) for a in others])
    return np.sum(np.ptp(np.where(np.isfinite(sides), sides, sides[0]), axis=0))


# ------------------------------------------------------------------------------ all directions


def look(alone, i):
    """The Finding on the gradient by the i-th argument of a node.

    Kinks are likely at zeros and at equal entries, so these are compared apart from the others.
    Gradients that are far smaller than the largest one are compared apart too: beside it they would
    be rounding.
    """
    x, sizes = alone.node.args[i].data.ravel(), np.frexp(alone.gradients[i].ravel())[1]
    _, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    unlikely = (counts[where] == 1) & (x != 0)
    kinds = unlikely + 2 * ((np.max(sizes, initial=0) - sizes) // APART)
    groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    return worst_of(alone, i, groups, alone.settings.depth)


def worst_of(alone, i, groups, depth):
    """The worst Finding on these groups of entries (flat indices).

    A random direction misses a wrong entry with probability zero, so a group that is OK is right at
    every entry. But kinks, and rounding inside the op, make the test less strict: then the group is
    halved, at most `depth` times. A wrong group is halved down to a single entry.
    """
    results = []
    for entries in groups:
        found = judge(alone, _direction(alone, i, entries))._replace(entry=entries[0])
        wrong, many = found.verdict in FAILING, len(entries) > found.enough
        if many and (wrong or depth > 0):
            halves = worst_of(alone, i, np.array_split(entries, 2), depth - 1)
            found = found if wrong and halves.verdict not in FAILING else halves
        elif many and found.verdict == "KINK":
            note = f"; {len(entries)} entries, most at kinks, were only compared together"
            found = found._replace(note=found.note + note)
        results.append(found)
        if wrong:
            break
    return worst(results)


def _direction(alone, i, entries):
    """{i: a random direction of these entries (flat indices)}.

    Entries with small gradients move farther, so that all count alike. But each step stays small
    beside its entry.
    """
    gradient, data = alone.gradients[i], alone.node.args[i].data
    values, chosen = np.ravel(data)[entries], np.ravel(gradient)[entries]
    sizes = np.where(np.isfinite(chosen), abs(chosen), 0)
    mean = np.mean(sizes[sizes > 0]) if np.any(sizes) else 1.0
    weights = mean / np.where(sizes > 0, sizes, mean)
    least = np.min(abs(data), initial=np.inf, where=data != 0)  # zeros move by a small part of it
    weights = np.fmin(weights, BESIDE / H * np.where(values == 0, least, abs(values)))
    weights *= alone.settings.rng.uniform(0.5, 1.5, len(entries))
    v = np.zeros(gradient.size)
    v[entries] = np.where(chosen < 0, -weights, weights)
    return {i: v.reshape(gradient.shape)}

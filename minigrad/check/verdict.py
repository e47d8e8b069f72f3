"""The rules of one node against its forward, and the verdict.

Let y = f(x) be a node, v a direction of x, and u a random cotangent of y. If the rule is right, the
two sides of this equation are equal:

    sum(rule(u) * v)  =  sum(u * Df)        Df: the derivative of f along v
        analytic           numeric

The analytic side uses the rule, the numeric side the forward alone (see numeric.py). `judge`
compares the sides for one direction. `look` chooses directions that test every entry of an
argument:

    >>> x = Tensor([0.5, 2.0], requires_grad=True, dtype=float)
    >>> alone = Alone(np.tanh(x), Settings(np.random.default_rng(0)))
    >>> judge(alone, {0: np.array([1.0, 0.0])}).verdict  # v moves the first entry of argument 0
    'OK'
    >>> look(alone, 0).verdict
    'OK'

Both sides are sums of products. If the products cancel, rounding may be all that is left. So a
difference counts only if it is larger than rounding explains. Rounding inside the op is measured:
every number moves by some roundings, and both sides are computed again.
"""

import contextlib
from functools import partial
from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import Tensor, unbroadcast, wants_gradient
from ..graph import copy
from .numeric import LEAST, cotangent, difference, is_analytic, is_ours, shortened, tangent

ROUNDING = 2.0**-46  # 64 roundings, relative to the sum: right nodes were seen to need 20 at most
TRIES = 12  # how often numbers move: in most tries both sides may stay the same by chance
MIX = 2.0**40  # a random number of this size times a number in [1/2, 1) has a random fraction
WHOLE = -2, -1, 1, 2  # numbers that stay, since rules may branch there; 0 always stays
# Gradients that are 2^APART times smaller than the largest one are compared in another group. Each
# group costs time. Among a million random gradients only a few are so small.
APART = 20
MANY = 64  # entries: in larger groups rounding may hide one; in smaller ones it is measured poorly
# How many groups with kinks or rounding are halved. In the check of a function, each of up to 1000
# entries ends up alone. A graph may be large, and so many comparisons would be slow.
FUNCTION_HALVINGS, GRAPH_HALVINGS = 1000, 30

BY_DIFFERENCE = "By a plain difference: its forward takes no complex numbers here."
TOO_SMALL = "Both sides are too small to tell from rounding."


class Settings(NamedTuple):
    """How comparisons are made."""

    rng: np.random.Generator  # draws cotangents and directions
    rtol: float = 0.0  # allowed errors of each entry of a gradient, in addition to rounding
    atol: float = 0.0
    halvings: int = GRAPH_HALVINGS


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

    cotangent  of the result: random numbers, 0 where the result is not finite
    gradients  {position of an argument that requires a gradient: what its rule returns}
    push       a function of directions: (the derivative of the forward along them, its doubt)

    Directions are a dict {position of an argument: array of its shape}.
    """

    def __init__(self, node, settings, u=None):
        self.node, self.settings, self.cotangent = node, settings, u
        if u is None:
            self.cotangent = cotangent(settings.rng, node.shape) * np.isfinite(node.data)
        wanted = [i for i, a in enumerate(node.args) if wants_gradient(a)]
        self.gradients = {i: ruled(node, i, self.cotangent) for i in wanted}
        by_complex_step = is_ours(node.op) or is_analytic(node)
        self.push = partial(tangent if by_complex_step else difference, node)

    def on(self, change):
        """The same node with change(array) in place of each argument.

        Entries of the result that are the same as before are changed too.
        """
        tensors = [a for a in self.node.args if isinstance(a, Tensor)]
        known = {a.order: Tensor(change(a.data), a.requires_grad) for a in tensors}
        node = copy([self.node], known=known)[self.node.order]
        node.data = np.where(node.data == self.node.data, change(node.data), node.data)
        return Alone(node, self.settings, self.cotangent)

    def products(self, directions):
        """The products that add up to each side, and the doubt about the numeric ones."""
        (found, doubt), live = self.push(directions), self.cotangent != 0
        analytic = [(self.gradients[i] * v)[v != 0] for i, v in directions.items()]
        numeric, doubts = self.cotangent * found, self.cotangent * doubt
        return np.concatenate(analytic), numeric[live], doubts[live]

    def noise(self, directions):
        """The sum of how far the two sides move, if every number moves by some roundings.

        Numbers of WHOLE stay if the directions move an entry with this number: a rule may branch at
        1, and this is no rounding.
        """
        given = [self.node.args[i].data[v != 0] for i, v in directions.items()]
        still = np.intersect1d(WHOLE, np.concatenate(given))
        sides = []
        for mix in [0, *self.settings.rng.uniform(MIX, 2 * MIX, TRIES)]:
            with contextlib.suppress(ValueError):  # as of inv: the moved matrix is singular
                other = self.on(partial(moved, mix=mix, still=still))
                sides.append([*map(np.sum, other.products(directions)[:2])])
        return np.sum(np.ptp([pair for pair in sides if np.all(np.isfinite(pair))], axis=0))


def moved(array, mix, still):
    """The array, each float moved by up to ROUNDING of its size. With a `mix` of 0, none moves.

    How far depends only on `mix` and on the digits of the number. So equal numbers stay equal, and
    an entry that an op passes on, as max does, still equals its copy. Entries in `still` stay.
    """
    if array.dtype.kind != "f":
        return array
    digits = mix * np.frexp(abs(array))[0]
    factors = 1 + 2 * ROUNDING * (digits - np.rint(digits))
    return np.where(np.isfinite(array) & ~np.isin(array, still), array * factors, array)


# ------------------------------------------------------------------------------- one direction


def judge(alone, directions):
    """The Finding on the derivative of a node along `directions`.

    At a kink the analytic value must lie between the slopes on the two sides.
    """
    products, right, doubts = alone.products(directions)
    left = -alone.products({i: -v for i, v in directions.items()})[1]
    low, high = np.sum(np.minimum(left, right)), np.sum(np.maximum(left, right))
    analytic, doubt = np.sum(products), np.sum(abs(doubts))
    size = max(np.sum(abs(products)), np.sum(abs(right)))
    rounding, enough = ROUNDING * max(size, LEAST) + doubt, np.inf
    apart, kinked = abs(analytic - np.clip(analytic, low, high)), high - low > rounding
    sides = f"analytic {analytic:.10g}, numeric {low:.10g}"
    if kinked:
        sides += f" to {high:.10g}, the slopes on the two sides of a kink"
    if np.isinf(analytic) or not np.isfinite(low + high):
        return Finding("NONFINITE", np.inf, f"the derivative is not finite: {sides}", enough=1)
    way = sum(np.sum(abs(v)) for v in directions.values())
    tolerance = alone.settings.atol * way + alone.settings.rtol * size
    if apart > rounding + tolerance:
        rounding, enough = rounding + alone.noise(directions), MANY
    if max(abs(analytic), abs(low), abs(high)) <= rounding:
        is_zero = not any(np.any(alone.gradients[i]) for i in directions)
        return Finding("VACUOUS", note="" if is_zero else TOO_SMALL)
    if not apart <= rounding + tolerance:
        return Finding("FAIL", apart / size if np.isfinite(apart) else np.inf, sides, enough=1)
    if kinked:
        return Finding("KINK", 0.0, sides, enough=1)
    return Finding("OK", apart / size, BY_DIFFERENCE if doubt else "", enough=enough)


# ------------------------------------------------------------------------------ all directions


def look(alone, i):
    """The Finding on the gradient by the i-th argument of a node, at every entry.

    A random direction misses a wrong entry with probability zero, so a group of entries that is OK
    is right at every entry. But kinks, and rounding inside the op, make the test less strict: then
    the group is halved, as often as the settings allow. A wrong group is halved down to one entry.

    Entries with small gradients move farther, so that all count alike. Kinks are likely at zeros,
    so zeros are compared apart from the others. Gradients that are far smaller than the largest one
    are compared apart too: beside it they would be rounding.
    """
    x, gradient = alone.node.args[i].data, alone.gradients[i]
    sizes = np.frexp(gradient)[1]
    below = np.max(sizes, initial=0) - sizes  # powers of two below the largest gradient
    weights = np.copysign(2.0 ** (below % APART), gradient)
    kinds = (2 * (below // APART) + (x == 0)).ravel()
    groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    halvings, failed, results = alone.settings.halvings, None, []
    while groups:
        entries = groups.pop(0)
        v = np.zeros(x.shape)
        v.flat[entries] = weights.flat[entries] * alone.settings.rng.uniform(0.5, 1.5, len(entries))
        found = judge(alone, {i: shortened(v, x)})._replace(entry=entries[0])
        halves = np.array_split(entries, 2) if len(entries) > found.enough else []
        if found.verdict in FAILING:
            failed, groups = found, halves
        elif halves and halvings > 0:
            halvings -= 1
            groups += halves
        else:
            if halves and found.verdict == "KINK":
                note = f"; {len(entries)} entries, most at kinks, were only compared together"
                found = found._replace(note=found.note + note)
            results.append(found)
    return failed or worst(results)

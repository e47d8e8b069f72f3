"""What a derivative by the rules and one by the forwards say of each other.

`judge` compares them along one direction, `look` at all entries of several tensors.
"""

from typing import NamedTuple

import numpy as np

from .numeric import H, largest
from .rounding import EPS, ROUNDINGS, at_most, inside_ops, of_sums, products, without_sign

# As which a root at 0 comes out: the root of 1 / H is 2^200.
INFINITE = 2.0**180
# Of the mean gradient: in a direction that gives all entries one weight, smaller ones count less.
FAINT = 2.0**-14
BESIDE = 2.0**-30  # a step is small beside a number if it is less than this part of it
SHORTEST = 2.0**-500  # a direction; H times a shorter one may be too small for float64
# Of a tensor's own part of a derivative: if rounding may be more, the tensor is looked at alone.
TOLD = 1e-7


class Finding(NamedTuple):
    """What a comparison found."""

    verdict: str
    error: float = 0.0  # relative to the sum of the parts, without signs
    note: str = ""  # what was seen, where it is not simply right
    rule: str = ""  # which rule is wrong: "tanh for x (minigrad/ops/elementwise.py:140)"
    kinked: bool = False  # some node on the way is at a kink
    rounding: float = 0.0  # what may be nothing but rounding
    entries: np.ndarray | None = None  # that were compared, as flat numbers


# AFFECTED: a leaf behind a wrong node
SEVERITY = ["NONFINITE", "STOCHASTIC", "FAIL", "AFFECTED", "KINK", "OK", "VACUOUS"]
FAILING = SEVERITY[:3]


def gravity(finding):
    """A key by which the gravest Finding comes first, of these the one of largest error."""
    return SEVERITY.index(finding.verdict), -finding.error


def worst(findings):
    """The gravest Finding. VACUOUS counts only if all are."""
    return min(findings, key=gravity, default=Finding("VACUOUS"))


# ------------------------------------------------------------------------------- one direction


def judge(part, directions):
    """The Finding on the derivative of a Part along `directions` ({order: array}).

    At a kink the analytic value must lie between the slopes of all entries, elsewhere at the slope.
    """
    right, left = (part.walk({o: way * v for o, v in directions.items()}) for way in (1, -1))
    forward, backward = part.terms(right), -part.terms(left)
    low, high = np.sum(np.minimum(forward, backward)), np.sum(np.maximum(forward, backward))
    analytic = sum(np.sum(product) for product in products(part.gradients, directions))
    numeric, size = np.sum(forward), without_sign(part.gradients, directions)
    size = max(size, abs(numeric))
    rounding = ROUNDINGS * EPS * size + without_sign(part.gradients, right.doubts)
    two_sided = high - low > rounding
    sides = f"analytic {analytic:.10g}, numeric {numeric:.10g}"
    if two_sided:
        sides += f", and {np.sum(backward):.10g}, the slopes on the two sides of a kink"
    infinite = not np.isfinite(analytic) and abs(numeric) > INFINITE
    if infinite or not np.isfinite(low + high):
        return Finding("NONFINITE", np.inf, f"the derivative is not finite: {sides}")
    apart = np.max([low - analytic, analytic - high, 0.0])
    tolerance = part.settings.atol + part.settings.rtol * size
    for allowance in (of_sums, inside_ops):
        if not apart <= rounding + tolerance:
            rounding += allowance(part, directions, right)
    told, differs = max(abs(analytic), abs(numeric)), not apart <= rounding + tolerance
    if not two_sided and (told <= rounding or (differs and told <= at_most(part, right))):
        return Finding("VACUOUS")
    if not differs:
        if two_sided:
            return Finding("KINK", 0.0, sides, kinked=True)
        return Finding("OK", apart / size, rounding=rounding)
    error = apart / size if np.isfinite(apart) else np.inf
    return Finding("FAIL", error, sides, kinked=two_sided or _at_kink(right, left))


def _at_kink(right, left):
    """Whether the tangents of some node differ on the two sides of a point."""
    for order, tangent in right.tangents.items():
        rounding = ROUNDINGS * EPS * largest(tangent) + 2 * largest(right.doubts.get(order, 0.0))
        if largest(tangent + left.tangents[order]) > rounding:
            return True
    return False


# ------------------------------------------------------------------------------ all directions


def look(part, tensors):
    """{order: Finding} on the gradients by `tensors`, along a random direction of them together.

    A random direction misses a wrong entry with probability zero, so what is OK is OK at every
    entry. Where it is not OK, parts are looked at: halves of the tensors, down to single ones. Then
    only a kink leaves a doubt, since it widens the verdict, and the entries are split.
    """
    findings, looks = {x.order: [] for x in tensors}, part.settings.looks
    every = [(x, np.argsort(np.ravel(x.data), kind="stable")) for x in tensors if x.size]
    groups = [every] if every else []
    for group in groups:  # it grows on the way
        found = judge(part, _directions(part, group))
        parts = _doubtful(part, group, found)
        if len(group) > 1 or looks > 0:
            groups += parts
            looks -= len(group) == 1 and len(parts) > 0
        elif parts:
            note = f"; {len(group[0][1])} entries, most at kinks, were only compared together"
            found, parts = found._replace(note=found.note + note), []
        for x, entries in group if not parts else []:
            findings[x.order].append(found._replace(entries=entries))
    return {order: worst(found) for order, found in findings.items()}


def _doubtful(part, group, found):
    """The parts of a group, [(tensor, entries)], of which its Finding does not tell enough."""
    if len(group) > 1:
        live = all(np.any(part.gradients[x.order]) for x, _ in group)
        if live and found.verdict == "OK" and found.rounding <= TOLD:
            return []
        return [group[: len(group) // 2], group[len(group) // 2 :]]
    ((x, entries),) = group
    if not found.kinked or len(entries) == 1:
        return []
    return [[(x, some)] for some in _split(x, entries)]


def _split(x, entries):
    """Two parts of the entries of x, which are sorted by value: where kinks are likely, and others.

    Kinks are likely at 0 and where values tie. Where that tells nothing, the entries are halved.
    """
    values = np.ravel(x.data)[entries]
    ties = np.diff(values) == 0
    likely = (values == 0) | np.append(ties, False) | np.append(False, ties)
    if np.any(likely) and not np.all(likely):
        return entries[likely], entries[~likely]
    return np.array_split(entries, 2)


def _directions(part, group):
    """A random direction of a group. If it has several tensors, each has the same part in it."""
    directions = {}
    for x, entries in group:
        v = direction(part.settings.rng, x.data, part.gradients[x.order], entries)
        own = without_sign(part.gradients, {x.order: v}) if len(group) > 1 else 1.0
        directions[x.order] = v / (own or 1.0)
    return directions


def direction(rng, data, gradient, entries):
    """A random direction of these entries (flat numbers). Each counts alike, however small.

    Where the gradient is large, the direction is small: so the complex step is small beside tiny
    entries of functions such as log. An entry does not move if the step is not small beside it.
    """
    values, chosen = np.ravel(data)[entries], np.ravel(gradient)[entries]
    sizes = np.where(np.isfinite(chosen), abs(chosen), 0)
    mean = np.mean(sizes[sizes > 0]) if np.any(sizes) else 1.0
    weights = mean / np.where(sizes > 0, np.maximum(sizes, FAINT * mean), mean)
    weights *= np.clip(1 / mean, SHORTEST, 1.0)
    least = np.min(abs(values), initial=np.inf, where=values != 0)  # beside it zeros move
    weights[H * weights > BESIDE * np.where(values == 0, least, abs(values))] = 0
    v = np.zeros(gradient.size)
    v[entries] = np.where(chosen < 0, -1.0, 1.0) * weights * rng.uniform(0.5, 1.5, len(entries))
    return v.reshape(gradient.shape)


def wrong_entry(part, x, found):
    """(index, Finding) of the first entry of x whose derivative is wrong, given that on x."""
    entries, half = np.sort(found.entries), None
    while half is None or len(entries) > 1:
        half = entries[: (len(entries) + 1) // 2]
        alone = judge(part, _directions(part, [(x, half)]))
        if alone.verdict in FAILING:
            entries, found = half, alone
        else:
            entries = entries[len(half) :]
    index = tuple(int(i) for i in np.unravel_index(entries[0], x.shape))
    return index, found

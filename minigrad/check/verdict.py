"""What a derivative by the rules and one by the forwards say of each other."""

from typing import NamedTuple

import numpy as np

from .numeric import largest
from .rounding import EPS, ROUNDINGS, inside_ops, of_sums, products, without_sign

# As which a root at 0 comes out: the root of 1 / H is 2^200.
INFINITE = 2.0**180
# Of the mean gradient: in a direction that gives all entries one weight, smaller ones count less.
FAINT = 2.0**-14
# Of a leaf's own part of a derivative: if rounding may be more, the leaf is looked at alone.
TOLD = 1e-7
LOOKS = 16  # at parts of the entries, where there are kinks


class Finding(NamedTuple):
    """What a comparison found."""

    verdict: str
    error: float = 0.0  # relative to the sum of the parts, without signs
    note: str = ""
    rule: str = ""  # which rule is wrong: "tanh for x (minigrad/ops/elementwise.py:140)"
    kinked: bool = False  # some node on the way is at a kink
    rounding: float = 0.0  # what may be nothing but rounding
    by_difference: bool = False  # some node on the way was passed by a difference
    entries: np.ndarray | None = None  # that were compared, as flat numbers


# AFFECTED: a leaf behind a wrong node
SEVERITY = ["NONFINITE", "STOCHASTIC", "FAIL", "AFFECTED", "KINK", "OK", "VACUOUS"]
FAILING = SEVERITY[:3]


def worst(findings):
    """The gravest Finding, of these the one of largest error. VACUOUS counts only if all are."""

    def gravity(finding):
        return SEVERITY.index(finding.verdict), -finding.error

    return min(findings, key=gravity, default=Finding("VACUOUS"))


# ------------------------------------------------------------------------------- one direction


def judge(part, directions, rtol=0.0, atol=0.0):
    """The Finding on the derivative of a Part along `directions` ({order: array})."""
    right = part.walk(directions)
    left = part.walk({order: -v for order, v in directions.items()})
    forward, backward = part.terms(right), -part.terms(left)
    low, high = np.sum(np.minimum(forward, backward)), np.sum(np.maximum(forward, backward))
    analytic = sum(np.sum(product) for product in products(part.gradients, directions))
    numeric, rounding = np.sum(forward), of_sums(part, right)
    sides = f"analytic {analytic:.10g}, numeric {numeric:.10g}"
    infinite = not np.isfinite(analytic) and abs(numeric) > INFINITE
    if infinite or not np.isfinite(low + high):
        return Finding("NONFINITE", np.inf, f"the derivative is not finite: {sides}")
    size = max(without_sign(part.gradients, directions), abs(numeric))
    allowed = rounding + atol + rtol * size
    if high - low > rounding:
        sides = f"analytic {analytic:.10g}, slopes {np.sum(backward):.6g} and {numeric:.6g}"
        sides += " on the two sides of a kink"
        if low - allowed <= analytic <= high + allowed:
            return Finding("KINK", 0.0, sides, kinked=True)
        return Finding("FAIL", np.inf, sides, kinked=True)
    difference = abs(analytic - numeric)
    if not difference <= allowed:
        lost = inside_ops(part, directions, right)
        rounding, allowed = rounding + lost, allowed + lost
    if max(abs(analytic), abs(numeric)) <= rounding:
        return Finding("VACUOUS")
    passed = bool(right.doubts)
    if difference <= allowed:
        return Finding("OK", difference / size, sides, rounding=rounding, by_difference=passed)
    kinked = any(_differs(right, left, order) for order in right.tangents)
    error = difference / size if np.isfinite(difference) else np.inf
    return Finding("FAIL", error, sides, kinked=kinked)


def _differs(right, left, order):
    """Whether a node is at a kink: whether its tangents on the two sides differ."""
    tangent, doubt = right.tangents[order], right.doubts.get(order, np.zeros(1))
    rounding = ROUNDINGS * EPS * largest(tangent) + 2 * largest(doubt)
    return largest(tangent + left.tangents[order]) > rounding


# ------------------------------------------------------------------------------ all directions


def direction(rng, gradient, entries):
    """A random direction of these entries (flat numbers). Each counts alike, however small."""
    chosen = np.ravel(gradient)[entries]
    sizes = np.where(np.isfinite(chosen), abs(chosen), 0)
    mean = np.mean(sizes[sizes > 0]) if np.any(sizes) else 1.0
    weights = mean / np.where(sizes > 0, np.maximum(sizes, FAINT * mean), mean)
    v = np.zeros(gradient.size)
    v[entries] = np.where(chosen < 0, -1.0, 1.0) * weights * rng.uniform(0.5, 1.5, len(entries))
    return v.reshape(gradient.shape)


def cotangent(rng, shape):
    """A random cotangent: no entry is near 0, where rounding hides its part."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)


def look(part, tensors, rng, rtol=0.0, atol=0.0, most=LOOKS):
    """{order: Finding} on the gradients by `tensors`, along a random direction of them together.

    A random direction misses a wrong entry with probability zero, so what is OK is OK at every
    entry. Where it is not OK, parts are looked at: first each tensor alone. Then only a kink leaves
    a doubt, since it widens the verdict, and up to `most` times the entries are split.
    """
    findings = {x.order: [] for x in tensors}
    every = [(x, np.argsort(np.ravel(x.data), kind="stable")) for x in tensors if x.size]
    queue = [every] if every else []
    while queue:
        group = queue.pop(0)
        directions = {x.order: direction(rng, part.gradients[x.order], e) for x, e in group}
        own = {order: without_sign(part.gradients, {order: v}) for order, v in directions.items()}
        if len(group) > 1:  # each tensor shall have the same part
            directions = {order: v / (own[order] or 1.0) for order, v in directions.items()}
        found, (x, entries) = judge(part, directions, rtol, atol), group[0]
        if len(group) > 1 and found.verdict == "OK" and found.rounding <= TOLD:
            for x, _ in group:
                if own[x.order]:
                    findings[x.order].append(found)
            queue += [[(x, entries)] for x, entries in group if not own[x.order]]
        elif len(group) > 1:
            queue += [group[: len(group) // 2], group[len(group) // 2 :]]
        elif found.kinked and len(entries) > 1 and most > 0:
            most -= 1
            queue += [[(x, half)] for half in _split(x, entries)]
        else:
            note = f"; {len(entries)} entries, most at kinks, were only compared together"
            if found.kinked and len(entries) > 1:
                found = found._replace(note=found.note + note)
            findings[x.order].append(found._replace(entries=entries))
    return {order: worst(found) for order, found in findings.items()}


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


def wrong_entry(part, x, rng, rtol, atol, found):
    """(index, Finding) of the first entry of x whose derivative is wrong, given that on x."""
    entries = np.sort(found.entries)

    def compared(entries):
        v = direction(rng, part.gradients[x.order], entries)
        return judge(part, {x.order: v}, rtol, atol)

    while len(entries) > 1:
        half = entries[: len(entries) // 2]
        entries = half if compared(half).verdict in FAILING else entries[len(half) :]
    alone = compared(entries)
    index = tuple(int(i) for i in np.unravel_index(entries[0], x.shape))
    return index, alone if alone.verdict in FAILING else found

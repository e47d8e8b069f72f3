"""What a derivative by the rules and one by the forwards say of each other.

Both are sums of many terms, and the terms may cancel: then rounding is all that is left. How much that can be is known. At every
node, cotangent times tangent, summed with signs, is the derivative itself; summed without signs it is the size of what was added
up there. Where an op loses digits inside (1 - tanh^2, x - mean), moving every number by one rounding shows what is lost.
"""

from typing import NamedTuple

import numpy as np

from .numeric import HASHES, largest

EPS = 2.0**-52  # of float64
ROUNDINGS = (
    64  # so many in a row are allowed at each node; right graphs were seen to need 20 at most
)
INFINITE = 2.0**180  # as which a root at 0 comes out, whose complex step is the root of 1 / H
FAINT = (
    2.0**-14
)  # of the mean: smaller gradients count less in a direction that gives all entries one weight
TOLD = (
    1e-7  # of a leaf's own part of a derivative: beyond such a rounding error it is looked at alone
)
LOOKS = 16  # at parts of the entries, where there are kinks


class Finding(NamedTuple):
    """What a comparison found."""

    verdict: str
    error: float = 0.0  # relative to the sum of the parts, without signs
    note: str = ""
    rule: str = ""  # which rule is wrong: "tanh for x (minigrad/ops/elementwise.py:140)"
    kinked: bool = False  # some node on the way is at a kink
    rounding: float = 0.0  # what may be nothing but rounding
    differences: tuple = ()  # the ops that were passed by a difference
    entries: np.ndarray | None = None  # that were compared, as flat numbers


# AFFECTED: a leaf behind a wrong node
SEVERITY = ["NONFINITE", "STOCHASTIC", "FAIL", "AFFECTED", "KINK", "OK", "VACUOUS"]
FAILING = SEVERITY[:3]


def worst(findings):
    """The finding that counts for all: the gravest verdict, of these the largest error. Zeros count only if all are zero."""
    return min(
        findings, key=lambda f: (SEVERITY.index(f.verdict), -f.error), default=Finding("VACUOUS")
    )


# ------------------------------------------------------------------------------------- one direction


def judge(part, directions, rtol=0.0, atol=0.0):
    """The Finding on the derivative of a Part along `directions` ({order: array})."""
    right = part.walk(directions)
    left = part.walk({order: -v for order, v in directions.items()})
    analytic = _analytic(part, directions)
    forward, backward = part.terms(right), -part.terms(left)
    low, high = np.sum(np.minimum(forward, backward)), np.sum(np.maximum(forward, backward))
    numeric, rounding = np.sum(forward), _rounding(part, right)
    size = max(abs(analytic), _summed(part.gradients, directions, abs), largest(forward))
    sides = f"analytic {analytic:.10g}, numeric {numeric:.10g}"
    infinite = not np.isfinite(analytic) and abs(numeric) > INFINITE
    if infinite or not np.isfinite(low + high):
        return Finding("NONFINITE", np.inf, f"the derivative is not finite: {sides}")
    if not np.isfinite(analytic):
        return Finding("FAIL", np.inf, sides)
    allowed = rounding + atol + rtol * size
    if high - low > rounding:
        sides = f"analytic {analytic:.10g}, slopes {np.sum(backward):.6g} and {numeric:.6g} on the two sides of a kink"
        between = low - allowed <= analytic <= high + allowed
        return Finding("KINK" if between else "FAIL", 0.0 if between else np.inf, sides, "", True)
    difference = abs(analytic - numeric)
    if not difference <= allowed:
        lost = ROUNDINGS * (_change(part, directions) + _absorbed(part, right))
        rounding, allowed = rounding + lost, allowed + lost
    if max(abs(analytic), abs(numeric)) <= rounding:
        return Finding("VACUOUS")
    if not difference <= allowed:
        kinked = any(
            largest(t + left.tangents[order])
            > ROUNDINGS * EPS * largest(t) + 2 * largest(right.doubts.get(order, np.zeros(1)))
            for order, t in right.tangents.items()
        )
        return Finding("FAIL", difference / size, sides, "", kinked)
    past = tuple(dict.fromkeys(node.op.name for node in right.differences))
    return Finding("OK", difference / size, sides, "", False, rounding, past)


def _analytic(part, directions):
    return _summed(part.gradients, directions, lambda x: x)


def _summed(gradients, directions, f):
    return sum(np.sum(f(_product(gradients[order], v))) for order, v in directions.items())


def _product(gradient, v):
    nothing = (v == 0) | (gradient == 0)  # also times inf: such an entry is not looked at
    return np.where(nothing, 0, gradient * v)


def _rounding(part, walk):
    """What rounding may make of a derivative: a few times that of every node on the way."""
    added_up = _summed(part.gradients, _wanted(part, walk.tangents), abs)
    return ROUNDINGS * EPS * added_up + _summed(part.gradients, _wanted(part, walk.doubts), abs)


def _wanted(part, tangents):
    return {order: t for order, t in tangents.items() if order in part.gradients}


def _change(part, directions):
    """How far the terms of both sides differ when every number moves by a rounding one way, and the other way."""
    changes = [0.0]
    for seed in range(len(HASHES)):
        (up, orders), (down, others) = (part.shaken(seed, way) for way in (1, -1))
        rules = sum(
            np.sum(abs(_product(up.gradients[orders[o]] - down.gradients[others[o]], v)))
            for o, v in directions.items()
        )
        forwards = [
            p.terms(p.walk({names[o]: v for o, v in directions.items()}))
            for p, names in ((up, orders), (down, others))
        ]
        changes.append(rules + np.sum(abs(np.subtract(*forwards))))
    return max(change for change in changes if np.isfinite(change))


def _absorbed(part, walk):
    """What numbers lose to others beside them, in an op that adds them up inside: a rounding of the largest at each node."""
    inner = _wanted(part, walk.tangents).items()
    norm = np.linalg.norm
    sizes = [
        norm(np.ravel(part.gradients[order])) * norm(np.ravel(t))
        for order, t in inner
        if order not in part.leaves
    ]
    return EPS * max(sizes, default=0.0)


# ------------------------------------------------------------------------------------ all directions


def direction(rng, gradient, entries):
    """A random direction of these entries (flat numbers), in which each counts alike, however small its gradient."""
    sizes = abs(np.nan_to_num(np.ravel(gradient)[entries], nan=0, posinf=0, neginf=0))
    mean = np.mean(sizes[sizes > 0]) if np.any(sizes) else 1.0
    weights = mean / np.where(sizes > 0, np.maximum(sizes, FAINT * mean), mean)
    signs = np.where(np.ravel(gradient)[entries] < 0, -1.0, 1.0)
    v = np.zeros(gradient.size)
    v[entries] = signs * weights * rng.uniform(0.5, 1.5, len(entries))
    return v.reshape(gradient.shape)


def cotangent(rng, shape):
    """A random cotangent: no entry is near 0, where rounding hides its part."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)


def look(part, tensors, rng, rtol=0.0, atol=0.0, most=LOOKS):
    """{order: Finding} for the gradients by `tensors`: along one random direction of them all, and where that is not OK, of parts.

    A random direction misses a wrong entry with probability zero, so what is OK is OK entry by entry. Only a kink widens the
    verdict. Then parts of the entries are looked at: sorted by value, those at a kink lie together, apart from most others.
    """
    findings = {x.order: [] for x in tensors}
    queue = [[(x, np.argsort(np.ravel(x.data), kind="stable")) for x in tensors if x.size]]
    queue = [group for group in queue if group]
    while queue:
        group = queue.pop(0)
        directions = {x.order: direction(rng, part.gradients[x.order], e) for x, e in group}
        if len(group) > 1:
            _balance(part.gradients, directions)
        found = judge(part, directions, rtol, atol)
        if len(group) > 1 and found.verdict != "OK":
            queue += [group[: len(group) // 2], group[len(group) // 2 :]]
        elif len(group) > 1:
            for x, entries in group:
                own = _summed(part.gradients, {x.order: directions[x.order]}, abs)
                if found.rounding <= TOLD * own:
                    findings[x.order].append(found)
                else:
                    queue.append([(x, entries)])
        elif found.kinked and len(entries := group[0][1]) > 1 and most > 0:
            most -= 1
            queue += [[(group[0][0], part)] for part in _split(group[0][0], entries)]
        else:
            if found.kinked and len(entries) > 1:
                note = f"{found.note}; {len(entries)} entries, most at kinks, were only compared together"
                found = found._replace(note=note)
            findings[group[0][0].order].append(found._replace(entries=group[0][1]))
    return {order: worst(found) for order, found in findings.items()}


def _split(x, entries):
    """Two parts of these entries of x, sorted by value: those that are 0 or tie, where kinks are likely, and others; or halves."""
    values = np.ravel(x.data)[entries]
    ties = np.diff(values) == 0
    likely = (values == 0) | np.append(ties, False) | np.append(False, ties)
    if np.any(likely) and not np.all(likely):
        return entries[likely], entries[~likely]
    return np.array_split(entries, 2)


def _balance(gradients, directions):
    """Gives each tensor of a direction the same part of the derivative."""
    for order, v in directions.items():
        own = _summed(gradients, {order: v}, abs)
        v *= 1 / own if own > 0 else 1


def wrong_entry(part, x, rng, rtol, atol, found):
    """(index, Finding) of the first entry of x whose derivative is wrong; `found` is the Finding on several."""
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

"""Numeric derivatives, from the forwards alone, and what they say of an analytic one."""

import math
import warnings
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..array import data_of
from ..engine import Tensor

RTOL, ATOL = 1e-7, 1e-10
STEP = (
    2.0**-6
)  # the largest step of a difference; halved down to 1/4096 of it. Powers of 2 add to large x without rounding
TINY = (
    2.0**-23
)  # a step so small that a kink within it is rare, though it leaves only half the digits
KINKS = 8  # outputs at a kink that are looked at, for each direction
LARGE = 1024  # times a cotangent
PARTS = 16  # of the entries, where kinks leave directions in doubt


@dataclass
class Slope:
    """The derivative of f(t) at t = 0, entry by entry."""

    value: np.ndarray  # the two-sided derivative
    error: np.ndarray  # an estimate of its error
    left: np.ndarray  # one-sided slopes
    right: np.ndarray
    kink: np.ndarray  # whether the one-sided slopes differ
    finite: np.ndarray  # whether f(0) itself is finite

    def contracted(self, u):
        """The slope of sum(u * f), for cotangents u that are 0 at all kinks or at all entries but one."""
        used = u != 0
        left, right, value, error = (
            np.sum(np.where(used, w * s, 0))
            for w, s in zip((u, u, u, abs(u)), (self.left, self.right, self.value, self.error))
        )
        return Slope(value, error, left, right, np.any(self.kink & used), True)


def slope(f, exact=None, step=STEP, size=1.0):
    """The derivative at 0 of f(t), an array: central differences at falling steps, extrapolated to step 0 (Ridders 1982).

    Kinks near 0 (of a relu, of |w|) upset the extrapolation, sometimes without a sign of it. So its result must agree with the
    plain difference over a tiny step. If not, that takes its place where f is straight over that step; elsewhere it is the error.

    `exact` is f for complex t, if there is such a thing. Where its complex step, exact to rounding for analytic functions,
    agrees with the differences in all the digits these have, it supplies the others. `size` is that of the numbers that f computes with:
    their rounding moves a slope by as much as a step of that length. (What an exp hides is not above 64.)
    """
    with np.errstate(all="ignore"):
        middle = np.asarray(f(0.0), np.float64)
        value, error, reach, moved, even, bend, jump = _extrapolated(
            f, middle, step, 2e-16 * np.maximum(abs(middle), min(size, 64))
        )
        plain, left, right, small_jump = tiny = _differences(f, middle, TINY)
        near = {
            k: _differences(f, middle, TINY * k)
            for k in (2, 1 / 2, 1 / 4, 65 / 64, 66 / 64, 67 / 64, 68 / 64)
        }
        scale = min(
            1.0, np.max(np.nan_to_num(np.maximum(abs(left), abs(right))), initial=0.0)
        )  # what is nothing beside 1 may be all there is
        # steps a hair longer are as good: what bends in the row of their differences is rounding (what rises evenly may be kinks)
        jitter = np.diff([plain, *(near[k / 64][0] for k in (65, 66, 67, 68))], 2, axis=0)
        rounding = 4e-15 * abs(middle) / TINY + 3.5 * np.median(abs(jitter), axis=0)
        unseen = np.maximum(
            abs(left - value), abs(right - value)
        )  # of f that moves over larger steps; rounding may hide it over this one
        rounding = np.where(
            even & (unseen * TINY <= 4e-15 * size), np.maximum(rounding, unseen), rounding
        )
        wider = np.max(
            [abs(near[k][0] - plain) for k in (2, 1 / 2, 1 / 4)], axis=0
        )  # more than what bends f away from the plain difference
        agree = abs(value - plain) <= 2 * rounding + 1e-5 * abs(plain) + 1e-9 * scale
        # where f is smooth the jump between the one-sided slopes shrinks with the step, in proportion; at a kink it stays, and with one
        # nearby it falls faster, so that never at both of these steps it is in proportion
        shrinks = np.logical_and(
            *(abs(near[k][3] / k - small_jump) <= small_jump / (8 * k) for k in (1 / 2, 1 / 4))
        )
        straight = shrinks | (small_jump <= 1e-3 * (abs(left) + abs(right)) + 2 * rounding)
        error = np.where(
            agree,
            error + rounding * TINY / reach,
            np.where(straight, rounding + wider + 1e-9 * abs(plain), abs(value - plain)),
        )
        value, error = (
            np.where(straight & ~agree, plain, value),
            np.where(moved | (plain != 0), error, 2e-16 * np.maximum(abs(middle), 1) / step),
        )
        jumps = small_jump > 1e-4 * (abs(left) + abs(right)) + 1e-8 * scale + 2 * rounding
        # what may be the rounding of f(0) alone, if it is small, must be there without f(0) too
        apart = [
            (2 * o[2] - i[2]) - (2 * o[1] - i[1]) for o, i in ((near[2], tiny), (tiny, near[1 / 2]))
        ]
        stays = np.all(
            [np.sign(right - left) * jump_apart >= small_jump / 2 for jump_apart in apart], axis=0
        )
        jumps &= stays | (small_jump * TINY > 1e-12 * size)
        kink = jumps & ((small_jump > 0.5 * jump) | (~agree & ~shrinks))
        # f itself jumps: it differs by as much over every step
        steady = [
            abs(k * s - t) <= abs(t) / 50
            for k, other in near.items()
            for s, t in ((other[0], plain), (other[3], small_jump))
        ]
        torn = np.all(steady, axis=0) & (abs(plain) * TINY > 1e-9 * (scale + abs(middle)))
        kink, error = kink & ~torn, np.where(torn, np.inf, error)
        if (
            exact is not None
            and (refined := _complex_step(exact)) is not None
            and np.shape(refined) == middle.shape
        ):
            better = (
                (abs(refined - value) <= 5 * error) & (5 * error <= 1e-3 * abs(refined)) & ~kink
            )
            value, error = (
                np.where(better, refined, value),
                np.where(better, 1e-13 * abs(refined), error),
            )
        error = error + np.where(moved, 2e-16 * (min(size, 64) / step + 2 * size * bend), 0)
    return Slope(
        np.where(np.isfinite(error), value, np.nan), error, left, right, kink, np.isfinite(middle)
    )


def _extrapolated(f, middle, step, grain):
    """What slope() begins with, entry by entry; f's values are known to `grain`.

    value, error  the differences extrapolated to step 0, and how sure that is
    reach         the step behind it
    moved         whether f moves at all
    even          whether at that step it moves by as much on both sides
    bend          its second difference over the largest step
    jump          between the one-sided differences over the smallest step
    """
    value, error, reach = (
        np.zeros_like(middle),
        np.full_like(middle, np.inf),
        np.full_like(middle, step),
    )
    row, moved, even, bend = [], False, False, None
    for h in (step / 2**k for k in range(13) if k < 2 or step / 2**k > STEP / 5000):
        first, _, _, jump = _differences(f, middle, h)
        moved, bend = moved | (first != 0), bend if row else jump / h
        previous, row = row, [first]
        for k, older in enumerate(previous):
            row.append(row[k] + (row[k] - older) / (4 ** (k + 1) - 1))
            doubt = np.maximum(abs(row[k + 1] - row[k]), abs(row[k + 1] - older)) + grain / h
            better = doubt < error
            value, error, reach = (
                np.where(better, row[k + 1], value),
                np.where(better, doubt, error),
                np.where(better, h, reach),
            )
            even = np.where(better, (first != 0) & (jump <= abs(first) / 4), even)
        if len(row) > 3 and np.all(error <= np.maximum(1e-12 * abs(value), 4 * grain / h)):
            break  # smaller steps say no more
    return value, error, reach, moved, even, bend, jump


def _differences(f, middle, h):
    """The two-sided difference over the step h, both one-sided ones, and the jump between these."""
    above, below = f(h), f(-h)
    left, right = (middle - below) / h, (above - middle) / h
    return (above - below) / (2 * h), left, right, abs(right - left)


def _complex_step(f, h=1e-20):
    """Im f(ih) / h, the derivative of an analytic f with no cancellation (Squire & Trapp 1998); None where f takes no complex t."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            y = np.asarray(f(h * 1j))
    except Exception:  # whatever a forward that was not made for complex numbers raises
        return None
    return y.imag / h if y.dtype.kind == "c" else None


def with_argument(forward, arrays, i, array):
    """forward(*arrays) with another array as its i-th argument."""
    return forward(*arrays[:i], array, *arrays[i + 1 :])


def direction(rng, shape):
    """A random direction. No entry is near 0, where rounding hides its part; none moves far in the largest step of a numeric derivative."""
    return (
        rng.choice([-1.0, 1.0], shape)
        * rng.uniform(0.5, 1.5, shape)
        / max(1.0, math.sqrt(math.prod(shape)) / 8)
    )


def is_analytic(node):
    """Whether the forward of a recorded node takes complex numbers as an analytic function does: |x| and the like do not."""
    if node.dtype.kind != "f":
        return True
    arrays = [data_of(a) for a in node.args]
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor) and a.dtype.kind == "f":
            v = np.cos(np.arange(a.size)).reshape(a.shape)

            def along(t, i=i, x=a.data, v=v):
                return with_argument(node.op.forward, arrays, i, x + t * v)

            refined, plain = _complex_step(along), _differences(along, node.data, 1e-5)[0]
            if refined is None or not np.allclose(
                refined, plain, rtol=1e-4, atol=1e-4 * abs(plain).max(initial=0)
            ):
                return False
    return True


# ------------------------------------------------------------------------------------- comparisons


class Finding(NamedTuple):
    """What a comparison found."""

    verdict: str
    error: float = 0.0  # relative to the larger side
    note: str = ""
    doubtful: str = ""  # why the numeric side tells little: "kink", "rough", or "domain" (it may have left that of the function)


SEVERITY = [
    "NONFINITE",
    "STOCHASTIC",
    "FAIL",
    "AFFECTED",
    "KINK",
    "OK",
    "VACUOUS",
]  # AFFECTED: a leaf behind a wrong node
FAILING = SEVERITY[:3]


def worst(findings):
    """The finding that counts for all: the gravest verdict, of these the largest error. Zeros count only if all are zero."""
    return min(
        findings, key=lambda f: (SEVERITY.index(f.verdict), -f.error), default=Finding("VACUOUS")
    )


class Map:
    """A function of one array, `forward`, and `pull`, which carries a cotangent of its value back to a gradient.

    `exact` is the forward on complex arrays, or None.
    """

    def __init__(self, x, forward, pull, exact=None):
        self.x, self.forward, self.pull, self.exact = x, forward, pull, exact

    def is_linear(self, u, gradient):
        """Whether `pull` gives as much more for as much more of u, as a derivative does; `gradient` is pull(u)."""
        return alike(LARGE * gradient, self.pull(LARGE * u))

    def slope(self, v, step=STEP):
        """The numeric derivative along v, an array like x."""
        exact = self.exact and (lambda t: self.exact(self.x + t * v))
        return slope(
            lambda t: self.forward(self.x + t * v),
            exact,
            step,
            max(1.0, np.max(abs(self.x), where=(v != 0) & np.isfinite(self.x), initial=0)),
        )

    def compare(self, v, u, gradient=None, rtol=RTOL, atol=ATOL, step=STEP):
        """The finding on the derivative along v: outputs together, contracted with the cotangent u; those at a kink one by one.

        `gradient` is pull(u), if that is known already.
        """
        numeric = self.slope(v, step)
        smooth = ~numeric.kink & numeric.finite
        findings = []
        if not np.any(numeric.finite) and smooth.size:
            return Finding("NONFINITE", np.inf, "the value is not finite")
        rough = smooth & (
            5 * numeric.error > 1e-3 * np.maximum(abs(numeric.value), 1e-3)
        )  # as next to a kink
        few = (
            0 < 2 * np.sum(rough) < np.sum(smooth)
        )  # apart, so that they do not blur the others; what they leave in doubt is not counted
        for i, group in enumerate([smooth & ~rough, rough] if few else [smooth]):
            part = u if np.all(group) else np.where(group, u, 0.0)
            found = judge(
                self.pull(part) if gradient is None or part is not u else gradient,
                v,
                numeric.contracted(part),
                rtol,
                atol,
            )
            if i == 0 or not found.doubtful or findings[0].verdict == "VACUOUS":
                findings.append(found)
        for index in np.argwhere(numeric.kink & numeric.finite)[:KINKS]:
            part = np.zeros(smooth.shape)
            part[tuple(index)] = 1.0
            findings.append(judge(self.pull(part), v, numeric.contracted(part), rtol, atol))
        if not np.all(numeric.finite) and any(f.verdict == "FAIL" for f in findings):
            return Finding("NONFINITE", np.inf, "the value is not finite at some entries")
        found = worst(findings)
        return (
            found if np.any(smooth) or found.verdict != "KINK" else found._replace(doubtful="kink")
        )  # then nothing else was compared


def in_directions(compare, x, rng, count):
    """Findings of compare(v) along `count` random directions v at x; where kinks leave these in doubt, on the entries apart.

    A random direction moves every entry, and so may meet many kinks: at several, the derivative need not lie between the one-sided
    slopes though it does at each, and kinks nearby make the numeric side rough.
    """
    findings = [clearest(compare, direction(rng, x.shape), x) for _ in range(count)]
    return (
        [*_apart(compare, x, rng), *along_ties(compare, x)]
        if any(f.doubtful for f in findings)
        else findings
    )


def clearest(compare, v, x):
    """The finding along v at x, or where the numeric side may be to blame, over a shorter or a longer way.

    What is wrong is as wrong over a shorter way; what is not was blurred by kinks nearby.
    """
    found = compare(v)
    if found.verdict not in FAILING and found.doubtful != "rough":
        return found
    shorter = compare(v / 8)
    if (
        found.verdict == "FAIL"
        and not found.doubtful
        and abs(shorter.error - found.error) > 0.1 * found.error
    ):
        found = found._replace(doubtful="rough")
    if not found.doubtful:
        return found
    ways = [v * size] if (size := np.max(abs(x))) > 1 else []
    if np.count_nonzero(v) == 1 and np.any(relative := v * abs(x) / 16):
        ways.append(relative)  # of more entries it would hide the small
    return next(
        (
            other
            for other in chain([shorter], map(compare, ways))
            if other.verdict not in FAILING and not other.doubtful
        ),
        found,
    )


def along_ties(compare, x):
    """What is wrong along the direction in which all entries move alike: those that tie, at a kink of max, go on tying, and there is none."""
    found = [
        compare(np.full(x.shape, length)) for length in (1.0, 1 / 8, 1 / 64)
    ]  # kinks nearby do not blur all three
    return found[:1] if all(f.verdict == "FAIL" and not f.doubtful for f in found) else []


def alike(a, b):
    """Whether two arrays are equal to rounding."""
    rounding = 1e4 * np.finfo(a.dtype).eps
    return np.allclose(
        a, b, rounding, rounding * np.max(abs(a), initial=0, where=np.isfinite(a)), equal_nan=True
    )


def between_ties(maps, findings, moved, **settings):
    """`along_ties` for several inputs at kinks, as those of maximum(x, y): all of them move alike, and so those that tie with each other.

    `maps` and `findings` have the same keys; moved({key: array}) is the value at these arrays.
    """
    kinks = [key for key, finding in findings.items() if finding.verdict == "KINK"]
    together = Map(
        np.zeros(()),
        lambda way: moved({key: maps[key].x + way for key in kinks}),
        lambda u: sum(np.sum(maps[key].pull(u)) for key in kinks),
    )
    return along_ties(partial(together.compare, **settings), together.x) if len(kinks) > 1 else []


def _apart(compare, x, rng):
    """Findings along ever smaller parts of the entries, until those with a kink are alone and all others are compared.

    Where most parts have kinks, only some of their entries go on. What stays too rough to tell counts only if everything does.
    """
    entries, findings = rng.permutation(x.size), []
    while entries.size:
        unclear = []
        for part in np.array_split(entries, min(PARTS, entries.size)):
            v = np.zeros(x.shape)
            v.flat[part] = direction(rng, part.shape)
            found = clearest(compare, v, x)
            if part.size > 1 and (
                found.doubtful or found.verdict == "FAIL"
            ):  # many kinks may look like a mistake, one does not
                unclear.append(part)
            else:
                findings.append(found if found.doubtful == "rough" else found._replace(doubtful=""))
        entries = np.concatenate([*unclear, entries[:0]])
        if 2 * len(unclear) > PARTS:
            entries = entries[::PARTS]
            findings.append(
                Finding(
                    "KINK",
                    0.0,
                    f"Kinks everywhere nearby: of {x.size} entries only some were compared",
                )
            )
    return [f for f in findings if not f.doubtful] or findings


def judge(gradient, v, numeric, rtol=RTOL, atol=ATOL):
    """A gradient along v against a numeric slope. The terms may cancel, so their norm is the scale; where all are tiny, so is atol."""
    terms, floor = np.where(v == 0, 0, gradient * v), atol / rtol if rtol else 0.0
    atol = atol * min(1.0, np.max(abs(gradient), initial=0))
    analytic, scale = np.sum(terms), np.sqrt(np.sum(terms * terms))
    if not np.isfinite(numeric.value):
        return Finding(
            "NONFINITE",
            np.inf,
            f"the derivative is not finite: analytic {analytic:.3g}, numeric {numeric.value:.3g}",
            "domain",
        )
    if not np.isfinite(analytic):
        return Finding("FAIL", np.inf, f"analytic {analytic:.3g}, numeric {numeric.value:.10g}")
    if numeric.kink:
        low, high = sorted((numeric.left, numeric.right))
        margin = atol + numeric.error + 1e-3 * (high - low)
        between = low - margin <= analytic <= high + margin
        sides = f"analytic {analytic:.10g}, slopes {numeric.left:.6g} and {numeric.right:.6g} on the two sides of a kink"
        return Finding("KINK", 0.0, sides) if between else Finding("FAIL", np.inf, sides, "kink")
    difference, size = abs(analytic - numeric.value), max(abs(analytic), abs(numeric.value), scale)
    sides = f"analytic {analytic:.10g}, numeric {numeric.value:.10g} (its error about {numeric.error:.1g})"
    if size == 0:
        return Finding("VACUOUS")
    if difference > atol + rtol * size + 5 * numeric.error:
        return Finding("FAIL", difference / size, sides)
    if (
        difference > 1e-5 * size and 5 * numeric.error > atol + 1e-3 * size
    ):  # near, but not by much more than chance; or nothing but rounding
        return Finding(
            "VACUOUS",
            0.0,
            f"{sides}, too rough to tell",
            "rough" if size > 5 * numeric.error else "",
        )
    return Finding("OK", difference / max(size, floor) if rtol else difference, sides)

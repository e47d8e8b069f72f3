"""Gradient checks of functions on Tensors."""

import contextlib
import warnings

import numpy as np

from ..array import as_list, data_of, entries_of
from ..derivatives import pulled
from ..engine import Tensor, wants_gradient
from ..graph import evaluate, nodes
from ..noise import frozen_noise
from .graphs import check
from .numeric import cotangent, largest
from .rules import alike
from .verdict import FAILING, FUNCTION_DEPTH, Finding, Settings, worst

# Relative distance from the inputs at which func runs again: so near, func is usually defined.
AWAY = 2.0**-10
RATIO = 2.0**6  # long way / short way from there: unrecorded changes grow as much, rounding not
SAME = 2.0**-46  # relative to the largest value: smaller differences are at most 64 roundings

UNRECORDED = "func depends on it in a way that is not recorded: detach, x.data, no_grad()?"
RANDOM = "by randomness that minigrad cannot hold fixed (np.random inside func?). Pass rng"
ZERO = (
    "the gradients are 0 at every entry, or too small to tell from rounding. Check at a random "
    "point, in training mode. If func depends on Tensors of its own, not on the inputs it is "
    "called with (copies of yours), use check_graph(loss): it checks every leaf."
)


class GradcheckError(RuntimeError):
    """An analytic derivative is wrong, or could not be checked."""


def gradcheck(
    func, inputs, *, eps=1e-6, atol=0, rtol=0, raise_exception=True, nondet_tol=0, fast_mode=False
) -> bool:
    """Whether the gradients of func(*inputs) are right, at every entry of every input.

    func        returns a Tensor or several, of any shape; its noise (active dropout) is held fixed
    inputs      a Tensor, or a tuple of any arguments. Tensors that require a gradient are copied
                to float64
    atol, rtol  allowed differences at each node, in addition to rounding
    eps         accepted as in PyTorch, without effect
    nondet_tol  how much func may change between two calls
    fast_mode   compares entries at kinks only together: faster, but may hide errors there

    The graph that func records is checked as by check_graph: each node's rules against the complex
    step of its forward, and the sums of backward. Then func runs again at a point nearby, to find
    dependences that it does not record.

    Raises GradcheckError, or returns False with raise_exception=False, if a gradient is wrong or
    cannot be checked. Raises ValueError if no input requires a gradient or if func changes an input
    in place, and TypeError if func is no function or returns no Tensor of floats. Warns if some
    gradients, but not all, are 0.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: np.log(x) * x, x)
    True
    """
    return _passed(examine(func, inputs, nondet_tol, fast_mode, rtol, atol), raise_exception)


def gradgradcheck(
    func, inputs, grad_outputs=None, *, eps: float = 1e-6, raise_exception: bool = True, **settings
) -> bool:
    """Checks second derivatives. Settings, result and errors are as for gradcheck.

    It checks the gradients that create_graph=True records, as functions of inputs and cotangents.
    `grad_outputs` are the cotangents, one for each output that requires a gradient. Without them
    the cotangents are random.
    """
    return _passed(examine_second(func, inputs, grad_outputs, **settings), raise_exception)


def _passed(finding, raise_exception):
    passed = finding.verdict in ("OK", "KINK")
    if raise_exception and not passed:
        raise GradcheckError(": ".join(filter(None, [finding.verdict, finding.rule, finding.note])))
    return passed


@np.errstate(all="ignore")  # the Finding reports inf and nan, so NumPy need not warn
def examine(func, inputs, nondet_tol=0, fast_mode=False, rtol=0, atol=0, zero_allowed=False):
    """The Finding of a gradient check; with `zero_allowed` gradients may be 0 at every entry."""
    own = _own(inputs)
    xs = {i: x for i, x in enumerate(own) if wants_gradient(x)}
    if not xs:
        raise ValueError("gradcheck: at least one input must be a Tensor with requires_grad=True.")
    outputs = _outputs(func, own)
    for i, y in enumerate(outputs):
        if not np.all(np.isfinite(y.data)):
            return Finding("NONFINITE", np.inf, f"output {i} is not finite.")
    settings = Settings(np.random.default_rng(0), rtol, atol, 0 if fast_mode else FUNCTION_DEPTH)
    report = check("gradcheck", outputs, xs.values(), settings)
    if wrong := report.first_wrong:
        note = wrong.note if wrong.rule else f"{wrong.name}: {wrong.note}"
        return Finding(wrong.verdict, wrong.error, note, wrong.rule)
    if not _apart(func, own, outputs, {}) <= nondet_tol:
        return Finding("STOCHASTIC", np.inf, f"func changed between two calls, {RANDOM}.")
    with contextlib.suppress(Exception):  # whatever func raises outside its domain
        for i in _unrecorded(func, own, xs, nondet_tol):
            return Finding("FAIL", np.inf, f"input {i}: {UNRECORDED}")
    rows = report.rows[-len(xs) :]
    silent = [i for i, row in zip(xs, rows) if xs[i].size and row.verdict == "VACUOUS"]
    if silent and not zero_allowed:
        if not report:
            return Finding("VACUOUS", note=ZERO)
        warnings.warn(f"gradcheck: VACUOUS for inputs {silent}: {ZERO}", stacklevel=4)
    found = worst(row for row in rows if row.passed)
    return Finding("OK" if found.verdict == "VACUOUS" else found.verdict, found.error)


def examine_second(func, inputs, grad_outputs=None, **settings):
    """The Finding of a check of second derivatives."""
    own, rng = _own(inputs), np.random.default_rng(1)
    if grad_outputs is None:
        outputs = filter(wants_gradient, _outputs(func, own))
        grad_outputs = [rng.standard_normal(y.shape) for y in outputs]
    cotangents = [Tensor(data_of(u), True, dtype=np.float64) for u in as_list(grad_outputs)]

    def gradients(*arguments, create_graph=True):
        given, us = arguments[: len(own)], arguments[len(own) :]
        outputs, xs = ([*filter(wants_gradient, t)] for t in (_outputs(func, given), given))
        return pulled(outputs, us, xs, create_graph)

    found = examine(gradients, own + cotangents, zero_allowed=True, **settings)
    plain, recorded = (gradients(*own, *cotangents, create_graph=on) for on in (False, True))
    for i, (a, b) in enumerate(zip(plain, recorded)):
        if found.verdict not in FAILING and not alike(a.data, b.data):
            note = f"gradient {i} differs under create_graph=True: "
            return Finding("FAIL", np.inf, note + "a rule returns other numbers for Tensors.")
    return found


def _own(inputs):
    """Copies of the Tensors among the inputs, in float64 if they require a gradient.

    They are read-only: func must not change them.
    """
    own = as_list(inputs)
    for i, x in enumerate(own):
        if isinstance(x, Tensor):
            kind = {"dtype": np.float64, "name": f"input {i}"} if x.requires_grad else {}
            own[i] = Tensor(entries_of(x, "gradcheck"), x.requires_grad, **kind)
            own[i].data.flags.writeable = False
    return own


def _outputs(func, arguments):
    """func's float outputs."""
    if not callable(func):
        raise TypeError(f"gradcheck: func must be a function, not {func!r:.60}.")
    with frozen_noise():
        outputs = as_list(func(*arguments))
    if others := [type(y).__name__ for y in outputs if not isinstance(y, Tensor)]:
        raise TypeError(f"gradcheck: func must return Tensors alone, not {others[0]}.")
    floats = [y for y in outputs if y.dtype.kind == "f"]
    if not floats:
        raise TypeError("gradcheck: func returned no Tensor of floats.")
    return floats


def _apart(func, arguments, recorded, moved):
    """The largest difference between func and its recorded graph, both at another point.

    recorded  the outputs of func at `arguments`
    moved     {position of an argument: the array that takes its place}
    """
    there = [Tensor(moved[i], True) if i in moved else x for i, x in enumerate(arguments)]
    values = evaluate(nodes(recorded), {arguments[i].order: moved[i] for i in moved})
    pairs = [(y.data, values.get(z.order, z.data)) for y, z in zip(_outputs(func, there), recorded)]
    return max(largest(y - z) if y.shape == z.shape else np.inf for y, z in pairs)


def _unrecorded(func, own, xs, nondet_tol):
    """The positions of inputs on which func depends in a way that it does not record, as by x.data.

    At a point nearby func is recorded once more. From there each input moves a long and a short
    way, and the values of func are compared with the values of the recorded graph. A dependence
    that is not recorded makes them differ, in proportion to the way.
    """
    rng, base, ways = np.random.default_rng(2), [*own], {}
    for i, x in xs.items():
        ways[i] = AWAY * cotangent(rng, x.shape) * np.where(x.data == 0, 1.0, x.data)
        base[i] = Tensor(x.data + ways[i], True)
    recorded = _outputs(func, base)
    least = max(nondet_tol, SAME * max(largest(y.data) for y in recorded))
    for i, way in ways.items():
        moves = (base[i].data + step for step in (way, way / RATIO))
        long, short = (_apart(func, base, recorded, {i: x}) for x in moves)
        if long > least and 1 / 4 < long / short / RATIO < 4:
            yield i

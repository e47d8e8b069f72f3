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
from .verdict import FAILING, FUNCTION_HALVINGS, Finding, Settings, worst

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
    func,
    inputs,
    *,
    eps=1e-6,
    atol=0.0,
    rtol=0.0,
    raise_exception=True,
    nondet_tol=0.0,
    fast_mode=False,
) -> bool:
    """Whether the gradients of func(*inputs) are right, at every entry of every input.

    func        returns a Tensor or several, of any shape; its noise (active dropout) is held fixed
    inputs      a Tensor, or a tuple of any arguments. Tensors that require a gradient are copied
                to float64. Errors call them by their names or positions
    atol, rtol  allowed errors of each entry of a node's gradient, in addition to rounding
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
    func, xs = _restricted(func, inputs)
    outputs = func(*xs)
    for i, y in enumerate(outputs):
        if not np.all(np.isfinite(y.data)):
            return Finding("NONFINITE", np.inf, f"output {i} is not finite.")
    settings = Settings(np.random.default_rng(0), rtol, atol, 0 if fast_mode else FUNCTION_HALVINGS)
    report = check("gradcheck", outputs, xs, settings)
    if wrong := report.first_wrong:
        note = wrong.note if wrong.rule else f"{wrong.name}: {wrong.note}"
        return Finding(wrong.verdict, wrong.error, note, wrong.rule)
    if not _apart(func, xs, outputs, {}) <= nondet_tol:
        return Finding("STOCHASTIC", np.inf, f"func changed between two calls, {RANDOM}.")
    with contextlib.suppress(Exception):  # whatever func raises outside its domain
        for x in _unrecorded(func, xs, nondet_tol):
            return Finding("FAIL", np.inf, f"{x.name}: {UNRECORDED}")
    leaves = report.rows[-len(xs) :]
    silent = [row.name for row in leaves if row.verdict == "VACUOUS" and 0 not in row.shape]
    if silent and not zero_allowed:
        if not report:
            return Finding("VACUOUS", note=ZERO)
        warnings.warn(f"gradcheck: VACUOUS for {', '.join(silent)}: {ZERO}", stacklevel=4)
    found = worst(leaves)
    return Finding("OK" if found.verdict == "VACUOUS" else found.verdict, found.error)


def examine_second(func, inputs, grad_outputs=None, **settings):
    """The Finding of a check of second derivatives."""
    func, xs = _restricted(func, inputs)
    if grad_outputs is None:
        rng, outputs = np.random.default_rng(1), filter(wants_gradient, func(*xs))
        grad_outputs = [rng.standard_normal(y.shape) for y in outputs]
    us = [Tensor(data_of(u), True, dtype=float, name="cotangent") for u in as_list(grad_outputs)]
    if not us:
        return Finding("VACUOUS", note=ZERO)

    def gradients(*tensors, create_graph=True):
        xs, us = tensors[:n], tensors[n:]
        return pulled([*filter(wants_gradient, func(*xs))], us, xs, create_graph)

    n, tensors = len(xs), xs + us
    found = examine(gradients, tensors, zero_allowed=True, **settings)
    plain, recorded = (gradients(*tensors, create_graph=on) for on in (False, True))
    for i, (a, b) in enumerate(zip(plain, recorded)):
        if found.verdict not in FAILING and not alike(a.data, b.data):
            note = f"gradient {i} differs under create_graph=True: "
            return Finding("FAIL", np.inf, note + "a rule returns other numbers for Tensors.")
    return found


def _restricted(func, inputs):
    """(func as a function of the inputs alone that require a gradient, copies of these inputs).

    The function returns the float outputs of func, with the noise held fixed. The copies are in
    float64, and a copy without a name is called by its position. func must not change its inputs:
    all arrays are read-only.
    """
    if not callable(func):
        raise TypeError(f"gradcheck: func must be a function, not {func!r:.60}.")
    own = as_list(inputs)
    for i, x in enumerate(own):
        if isinstance(x, Tensor):
            kind = {"dtype": np.float64, "name": x.name or f"input {i}"} if x.requires_grad else {}
            own[i] = Tensor(entries_of(x, "gradcheck"), x.requires_grad, **kind)
            own[i].data.flags.writeable = False
    xs = [*filter(wants_gradient, own)]
    if not xs:
        raise ValueError("gradcheck: at least one input must be a Tensor with requires_grad=True.")

    def outputs(*given):
        given = iter(given)
        with frozen_noise():
            found = as_list(func(*[next(given) if wants_gradient(x) else x for x in own]))
        floats = [y for y in found if isinstance(y, Tensor) and y.dtype.kind == "f"]
        if not floats or not all(isinstance(y, Tensor) for y in found):
            raise TypeError(f"gradcheck: func must return Tensors of floats, not {found!r:.60}.")
        return floats

    return outputs, xs


def _apart(func, xs, recorded, moved):
    """The largest difference between func and its recorded graph, both at another point.

    recorded  func(*xs)
    moved     {one of the xs: the Tensor that takes its place}
    """
    values = evaluate(nodes(recorded), {x.order: y.data for x, y in moved.items()})
    found = func(*[moved.get(x, x) for x in xs])
    pairs = [(y.data, values.get(z.order, z.data)) for y, z in zip(found, recorded)]
    apart = [abs(y - z)[np.isfinite(z)] if y.shape == z.shape else np.inf for y, z in pairs]
    return max(np.max(a, initial=0) for a in apart)


def _unrecorded(func, xs, nondet_tol):
    """The inputs on which func depends in a way that it does not record, as by x.data.

    At a point nearby func is recorded once more. From there each input moves a long and a short
    way, and the values of func are compared with the values of the recorded graph. A dependence
    that is not recorded makes them differ, in proportion to the way.
    """
    rng = np.random.default_rng(2)
    ways = [AWAY * cotangent(rng, x.shape) * np.where(x.data == 0, 1.0, x.data) for x in xs]
    base = [Tensor(x.data + way, True) for x, way in zip(xs, ways)]
    recorded = func(*base)
    least = max(nondet_tol, SAME * max(largest(y.data) for y in recorded))
    for x, near, way in zip(xs, base, ways):
        moves = ({near: Tensor(near.data + step, True)} for step in (way, way / RATIO))
        long, short = (_apart(func, base, recorded, moved) for moved in moves)
        if long > least and 1 / 4 < long / short / RATIO < 4:
            yield x

"""Gradient checks of functions on Tensors."""

import contextlib
import warnings

import numpy as np

from ..array import as_list, data_of, entries_of
from ..engine import Tensor, grad, wants_gradient
from ..graph import evaluate, nodes
from ..noise import frozen_noise
from .graphs import check
from .numeric import cotangent, largest
from .rules import alike, source
from .verdict import FAILING, FUNCTION_HALVINGS, Finding, Settings, worst

# Relative distance from the inputs at which func runs again: so near, func is usually defined.
AWAY = 2.0**-10
RATIO = 2.0**6  # long way / short way from there: unrecorded changes grow as much, rounding not
SAME = 2.0**-46  # relative to the largest value: smaller differences are at most 64 roundings

UNRECORDED = "func depends on it in a way that is not recorded: detach, x.data, no_grad()?"
OWN_RANDOMNESS = "by randomness that minigrad cannot hold fixed (np.random inside func?). Pass rng"
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
    eps: float = 1e-6,
    atol: float = 0,
    rtol: float = 0,
    raise_exception: bool = True,
    nondet_tol: float = 0,
    fast_mode: bool = False,
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
    finding = examine(func, inputs, nondet_tol, fast_mode, rtol=rtol, atol=atol)
    return _passed(finding, raise_exception)


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
    first, again = _outputs(func, own), _outputs(func, own)
    if not first:
        raise TypeError("gradcheck: func returned no Tensor of floats.")
    for i, (y, z) in enumerate(zip(first, again)):
        if y.shape != z.shape or not np.allclose(y.data, z.data, 0, nondet_tol, equal_nan=True):
            drawn = next(filter(None, map(source, nodes(first))), OWN_RANDOMNESS)
            return Finding("STOCHASTIC", np.inf, f"func changed between two calls, {drawn}.")
        if not np.all(np.isfinite(y.data)):
            return Finding("NONFINITE", np.inf, f"output {i} is not finite.")
    settings = Settings(np.random.default_rng(0), rtol, atol, 0 if fast_mode else FUNCTION_HALVINGS)
    findings = check("gradcheck", nodes([*first, *xs.values()]), first, xs.values(), settings)
    inputs_of = {x.order: f"input {i}" for i, x in xs.items()}
    for order, finding in findings.items():
        if finding.verdict in FAILING:
            return finding._replace(rule=finding.rule or inputs_of.get(order, ""))
    with contextlib.suppress(Exception):  # whatever func raises outside its domain
        for i in _unrecorded(func, own, xs, nondet_tol):
            return Finding("FAIL", np.inf, f"input {i}: {UNRECORDED}")
    found = worst(findings[x.order] for x in xs.values())
    silent = [i for i, x in xs.items() if x.size and findings[x.order].verdict == "VACUOUS"]
    if silent and not zero_allowed:
        if found.verdict == "VACUOUS":
            return found._replace(note=ZERO)
        warnings.warn(f"gradcheck: VACUOUS for inputs {silent}: {ZERO}", stacklevel=4)
    return found if found.verdict != "VACUOUS" else Finding("OK")


def examine_second(func, inputs, grad_outputs=None, **settings):
    """The Finding of a check of second derivatives."""
    inputs = _own(inputs)
    if grad_outputs is None:
        rng, outputs = np.random.default_rng(1), filter(wants_gradient, _outputs(func, inputs))
        grad_outputs = [rng.standard_normal(y.shape) for y in outputs]
    cotangents = [Tensor(data_of(u), True, dtype=np.float64) for u in as_list(grad_outputs)]

    def gradients(*arguments, create_graph=True):
        own, cotangents = arguments[: len(inputs)], arguments[len(inputs) :]
        outputs, trained = (list(filter(wants_gradient, t)) for t in (_outputs(func, own), own))
        found = grad(outputs, trained, cotangents, True, create_graph, allow_unused=True)
        return tuple(g for g in found if g is not None)

    found = examine(gradients, inputs + cotangents, zero_allowed=True, **settings)
    plain, recorded = (gradients(*inputs, *cotangents, create_graph=on) for on in (False, True))
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
            dtype = np.float64 if x.requires_grad else None
            own[i] = Tensor(entries_of(x, "gradcheck"), x.requires_grad, dtype=dtype)
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
    return [y for y in outputs if y.dtype.kind == "f"]


def _unrecorded(func, own, xs, nondet_tol):
    """The positions of inputs on which func depends in a way that it does not record, as by x.data.

    At a point nearby func is recorded once more. From there each input moves a long and a short
    way, and the values of func are compared with the values of the recorded graph. A dependence
    that is not recorded makes them differ, in proportion to the way.
    """
    rng, ways = np.random.default_rng(2), {}
    for i, x in xs.items():
        ways[i] = AWAY * cotangent(rng, x.shape) * np.where(x.data == 0, 1.0, x.data)
    base = [Tensor(x.data + ways[i], True) if i in xs else x for i, x in enumerate(own)]
    recorded = _outputs(func, base)
    steps, least = nodes(recorded), max(nondet_tol, SAME * max(largest(y.data) for y in recorded))

    def apart(i, step):
        there = base[i].data + step * ways[i]
        values = evaluate(steps, {base[i].order: there})
        found = _outputs(func, [*base[:i], Tensor(there, True), *base[i + 1 :]])
        return max(largest(y.data - values.get(z.order, z.data)) for y, z in zip(found, recorded))

    def depends(i):
        long, short = apart(i, 1.0), apart(i, 1 / RATIO)
        return long > least and 1 / 4 < long / short / RATIO < 4

    return filter(depends, xs)

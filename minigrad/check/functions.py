"""Gradient checks of functions on Tensors."""

import warnings

import numpy as np

from ..array import data_of, entries_of
from ..engine import Tensor, grad
from ..graph import evaluate, nodes
from ..noise import frozen_noise
from .graphs import check
from .numeric import cotangent, largest
from .rules import alike, same, source
from .verdict import FAILING, Finding, Settings, worst

DEPTH = 10  # times that entries are halved, where there are kinks
# How far from the inputs func is run again, relative to each entry: it is mostly defined there.
AWAY = 2.0**-10
STEPS = 2.0**-4, 2.0**-10  # how far from there once more, relative to that
SAME = 2.0**-46  # of the largest value: equal, if a constant was rounded in another way

UNRECORDED = (
    "func depends on it by a way that is not recorded: detach, x.data, x.numpy(), no_grad()?"
)
OWN_RANDOMNESS = (
    "by randomness that minigrad cannot hold fixed (np.random inside func?). "
    "Use minigrad's stochastic ops, or pass rng"
)
ZERO = (
    "the gradients are 0 at every entry, or too small to tell from rounding: nothing was tested. "
    "Check at a random point, in training mode. If func depends on Tensors of its own, not on the "
    "inputs it is called with (copies of yours), use check_graph(loss): it checks every leaf."
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
    """True if the gradients of func(*inputs) are right at every entry of all inputs that want one.

    func        returns a Tensor or several, of any shape; its noise (active dropout) is held fixed
    inputs      a Tensor, or a tuple of any arguments; lower precision is copied to float64
    atol, rtol  allowed at each node, beside what rounding explains
    eps         accepted as by PyTorch, and changes nothing: a complex step is exact at any size
    nondet_tol  how much func may change between two calls
    fast_mode   at kinks, looks at no part of the entries alone

    The graph that func records is checked as by check_graph: each node's rules against the complex
    step of its forward, and what backward adds up. Func itself is run again nearby, to find what it
    does not record.

    Raises GradcheckError, or returns False with raise_exception=False, if a gradient is wrong or
    cannot be checked. Raises ValueError if no input requires a gradient, and TypeError if func
    returns no Tensor of floats.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: np.log(x) * x, x)
    True
    """
    finding = examine(func, inputs, nondet_tol, fast_mode, rtol=rtol, atol=atol)
    return _passed(finding, raise_exception)


def gradgradcheck(
    func, inputs, grad_outputs=None, *, eps: float = 1e-6, raise_exception: bool = True, **settings
) -> bool:
    """As gradcheck, with the same settings, for second derivatives.

    It checks the gradients that create_graph=True records, as functions of inputs and cotangents.
    `grad_outputs`, one for each output that requires a gradient, are the cotangents: random ones if
    not given.
    """
    return _passed(examine_second(func, inputs, grad_outputs, **settings), raise_exception)


def _passed(finding, raise_exception):
    passed = finding.verdict in ("OK", "KINK")
    if raise_exception and not passed:
        raise GradcheckError(": ".join(filter(None, [finding.verdict, finding.rule, finding.note])))
    return passed


@np.errstate(all="ignore")  # what is not finite is reported, once
def examine(func, inputs, nondet_tol=0, fast_mode=False, rtol=0, atol=0, zero_allowed=False):
    """The Finding of a gradient check; with `zero_allowed` gradients may be 0 at every entry."""
    own = _own(inputs)
    xs = {i: x for i, x in enumerate(own) if isinstance(x, Tensor) and x.requires_grad}
    if not xs:
        raise ValueError("gradcheck: at least one input must be a Tensor with requires_grad=True.")
    before = [np.copy(data_of(x)) for x in own]
    first, again = _outputs(func, own), _outputs(func, own)
    if not first:
        raise TypeError("gradcheck: func returned no Tensor of floats.")
    if changed := [i for i, x in enumerate(own) if not same(data_of(x), before[i])]:
        return Finding("FAIL", np.inf, f"func changes its inputs {changed}.")
    if trouble := _trouble(first, again, nondet_tol):
        return trouble
    settings = Settings(np.random.default_rng(0), rtol, atol, depth=0 if fast_mode else DEPTH)
    findings = check("gradcheck", nodes([*first, *xs.values()]), first, xs.values(), settings)
    inputs_of = {x.order: f"input {i}" for i, x in xs.items()}
    for order, finding in findings.items():
        if finding.verdict in FAILING:
            return finding._replace(rule=finding.rule or inputs_of.get(order, ""))
    if hidden := _unrecorded(func, own, xs, nondet_tol):
        return Finding("FAIL", np.inf, f"input {hidden[0]}: {UNRECORDED}")
    found = worst(findings[x.order] for x in xs.values())
    silent = [i for i, x in xs.items() if x.size and findings[x.order].verdict == "VACUOUS"]
    if zero_allowed or not silent:
        return found if found.verdict != "VACUOUS" else Finding("OK")
    if found.verdict != "VACUOUS":
        warnings.warn(f"gradcheck: VACUOUS for inputs {silent}: {ZERO}", stacklevel=4)
    return found._replace(note=ZERO)


def examine_second(func, inputs, grad_outputs=None, **settings):
    """The Finding of a check of second derivatives."""
    inputs = _own(inputs)
    outputs = _outputs(func, inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        grad_outputs = [rng.standard_normal(y.shape) for y in outputs if y.requires_grad]
    given = [np.asarray(data_of(u), np.float64) for u in _tuple(grad_outputs)]
    cotangents = [Tensor(u, True) for u in given]
    plain, recorded = (_gradients(outputs, inputs, cotangents, on) for on in (False, True))
    for i, (a, b) in enumerate(zip(plain, recorded)):
        if not alike(a.data, b.data):
            note = f"gradient {i} is another one under create_graph=True: "
            return Finding("FAIL", np.inf, note + "a rule is not the same on Tensors.")

    def gradients(*arguments):
        own, cotangents = arguments[: len(inputs)], arguments[len(inputs) :]
        return _gradients(_outputs(func, own), own, cotangents, create_graph=True)

    return examine(gradients, inputs + cotangents, zero_allowed=True, **settings)


def _gradients(outputs, inputs, cotangents, create_graph):
    outputs = [y for y in outputs if y.requires_grad]
    trained = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    found = grad(outputs, trained, cotangents, True, create_graph, allow_unused=True)
    return tuple(g for g in found if g is not None)


def _own(inputs):
    """Copies of the Tensors among the inputs, in float64 if they require a gradient."""
    own = list(_tuple(inputs))
    for i, x in enumerate(own):
        if isinstance(x, Tensor):
            dtype = np.float64 if x.requires_grad else None
            own[i] = Tensor(entries_of(x, "gradcheck"), x.requires_grad, dtype=dtype)
    return own


def _outputs(func, arguments):
    """func's float outputs."""
    if not callable(func):
        raise TypeError(f"gradcheck: func must be a function, not {func!r:.60}.")
    with frozen_noise():
        outputs = _tuple(func(*arguments))
    if others := [type(y).__name__ for y in outputs if not isinstance(y, Tensor)]:
        given = f"not {others[0]}"
        raise TypeError(f"gradcheck: func must return a Tensor or a tuple of them, {given}.")
    return [y for y in outputs if y.dtype.kind == "f"]


def _trouble(first, again, nondet_tol):
    """Why the outputs of two calls cannot be checked, or None."""
    for i, (y, z) in enumerate(zip(first, again)):
        tolerance = {"rtol": 0, "atol": nondet_tol, "equal_nan": True}
        if y.shape != z.shape or not np.allclose(y.data, z.data, **tolerance):
            drawn = next(filter(None, map(source, nodes(first))), OWN_RANDOMNESS)
            return Finding("STOCHASTIC", np.inf, f"func changed between two calls, {drawn}.")
        for index in np.argwhere(~np.isfinite(y.data)).tolist():
            note = f"output {i} is {y.data[tuple(index)]} at entry {tuple(index)}."
            return Finding("NONFINITE", np.inf, note)
    return None


def _unrecorded(func, own, xs, nondet_tol):
    """The inputs on which func depends by a way that it does not record, such as x.data.

    At a point nearby func is recorded once more. From there each input moves a long and a short
    way, and func's values are compared with those of the recorded graph. What is not recorded sets
    them apart, in proportion to the way.
    """
    rng, ways = np.random.default_rng(2), {}
    for i, x in xs.items():
        ways[i] = cotangent(rng, x.shape) * np.where(x.data == 0, largest(x.data) or 1.0, x.data)
    base = [Tensor(x.data + AWAY * ways[i], True) if i in xs else x for i, x in enumerate(own)]
    if not (recorded := _tried(func, base)):
        return []

    def apart(i, step):
        there = base[i].data + step * AWAY * ways[i]
        values = evaluate(steps, {base[i].order: there})
        outputs = _tried(func, [*base[:i], Tensor(there, True), *base[i + 1 :]])
        pairs = [(y.data, values.get(z.order, z.data)) for y, z in zip(outputs, recorded)]
        return max((largest(y - z) for y, z in pairs if np.shape(y) == np.shape(z)), default=0.0)

    steps, least = nodes(recorded), max(nondet_tol, SAME * max(largest(y.data) for y in recorded))
    long, short = ({i: apart(i, step) for i in xs} for step in STEPS)
    ratio = STEPS[0] / STEPS[1]
    return [i for i in xs if long[i] > least and ratio / 4 < long[i] / short[i] < 4 * ratio]


def _tried(func, arguments):
    """func's outputs; none where it is not defined."""
    try:
        found = _outputs(func, arguments)
    except Exception:  # whatever func raises outside its domain
        return []
    return found if all(np.all(np.isfinite(y.data)) for y in found) else []


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)

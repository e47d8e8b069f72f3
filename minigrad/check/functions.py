"""Gradient checks of functions on Tensors."""

import warnings

import numpy as np

from ..array import data_of
from ..engine import Tensor, grad
from ..graph import evaluate, nodes
from ..modes import path, recording
from ..noise import Noise, frozen_noise
from .diagnosis import diagnose, function_of, rates
from .numeric import STEP, Part, by_engine, largest
from .reports import progress
from .rules import alike, check_node, ruled_nodes
from .verdict import FAILING, Finding, cotangent, look, worst, wrong_entry

ENTRIES = 2_000  # times that entries are split, where there are kinks
AWAY = 2.0**-4  # how far from the inputs func is run again, relative to each entry
STEPS = 2.0**-6, 2.0**-12  # how far from there once more, to compare with what was recorded there
SAME = 2.0**-46  # of the largest value: equal, if a constant was rounded in another way

UNRECORDED = (
    "func depends on it by a way that is not recorded, so that no gradient flows there: "
    "detach, x.data, x.numpy() or float(x)?"
)
ZERO = (
    "both gradients are 0 at every entry, or too small to tell from rounding, so nothing was "
    "tested. Check at a random point, in training mode, without what is a large constant."
)
NOT_ITS_INPUTS = (
    "func depends on Tensors of its own, not on the inputs it is called with (copies of yours). "
    "check_graph(loss) checks every leaf."
)


class GradcheckError(RuntimeError):
    """An analytic derivative is wrong, or could not be checked."""


def gradcheck(
    func, inputs, *, eps=STEP, atol=0, rtol=0, raise_exception=True, nondet_tol=0, fast_mode=False
):
    """True if the gradients of func(*inputs) are right at every entry of all inputs that want one.

    func        returns a Tensor or several, of any shape; its noise (active dropout) is held fixed
    inputs      a Tensor, or a tuple of any arguments; lower precision is copied to float64, and a
                warning says so
    atol, rtol  allowed beside what rounding explains
    eps         the relative step of the differences that pass ops that take no complex numbers
    nondet_tol  how much func may change between two calls
    fast_mode   at kinks, looks at no part of the entries alone

    The numeric side is the complex step of the graph that func records. The rules of every node are
    checked as by check_graph. Func itself is run again nearby, to find what it does not record.

    Raises GradcheckError, or returns False with raise_exception=False, if a gradient is wrong or
    cannot be checked. Raises ValueError if no input requires a gradient, and TypeError if func
    returns no Tensor of floats.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: np.log(x) * x, x)
    True
    """
    return _verdict(examine(func, inputs, eps, atol, rtol, nondet_tol, fast_mode), raise_exception)


def gradgradcheck(func, inputs, grad_outputs=None, *, raise_exception=True, **settings):
    """As gradcheck, with the same settings, for second derivatives.

    It checks the gradients that create_graph=True records, as functions of inputs and cotangents.
    `grad_outputs`, one for each output that requires a gradient, are the cotangents: random ones if
    not given.
    """
    inputs = _tuple(inputs)
    gradients, cotangents = gradient_function(func, inputs, grad_outputs)
    finding = differently_recorded(func, inputs, cotangents)
    finding = finding or examine(gradients, inputs + cotangents, zero_allowed=True, **settings)
    return _verdict(finding, raise_exception)


def gradient_function(func, inputs, grad_outputs=None):
    """(gradients, cotangents): the gradients as a recorded function of (*inputs, *cotangents)."""
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        with frozen_noise():
            outputs = [y for y in _tensors(func(*inputs)) if y.requires_grad]
        given = [rng.standard_normal(y.shape) for y in outputs]
    else:
        given = [np.asarray(data_of(u), np.float64) for u in _tuple(grad_outputs)]
    cotangents = tuple(Tensor(u, True) for u in given)

    def gradients(*arguments):
        own, cotangents = arguments[: len(inputs)], arguments[len(inputs) :]
        outputs = [y for y in _tensors(func(*own)) if y.requires_grad]
        trained = [x for x in own if isinstance(x, Tensor) and x.requires_grad]
        found = grad(outputs, trained, cotangents, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradients, cotangents


def differently_recorded(func, inputs, cotangents):
    """A Finding if the rules give other gradients when recorded than on arrays; else None."""
    trained = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    with frozen_noise():
        outputs = [y for y in _tensors(func(*inputs)) if y.requires_grad]
    plain, recorded = (
        grad(outputs, trained, cotangents, True, create_graph, allow_unused=True)
        for create_graph in (False, True)
    )
    for i, (a, b) in enumerate(zip(plain, recorded)):
        if a is not None and not alike(data_of(a), data_of(b)):
            note = f"the gradient by input {i} is another one under create_graph=True: "
            return Finding("FAIL", np.inf, note + "a rule is not the same on Tensors.")
    return None


def _verdict(finding, raise_exception):
    if finding.verdict not in (*FAILING, "VACUOUS"):
        return True
    if raise_exception:
        raise GradcheckError(f"{finding.verdict}: {finding.note}")
    return False


@np.errstate(all="ignore")  # what is not finite is reported, once
def examine(
    func, inputs, eps=STEP, atol=0, rtol=0, nondet_tol=0, fast_mode=False, zero_allowed=False
):
    """The Finding of a gradient check; with `zero_allowed` gradients may be 0 at every entry."""
    inputs, rng = _tuple(inputs), np.random.default_rng(0)
    trained = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not recording.get():
        raise RuntimeError("gradcheck: inside no_grad() nothing is recorded. Call it outside.")
    if not trained:
        raise ValueError("gradcheck: at least one input must be a Tensor with requires_grad=True.")
    if narrow := [i for i in trained if inputs[i].dtype != np.float64]:
        text = f"gradcheck: inputs {narrow} were copied to float64 to be checked."
        warnings.warn(text, stacklevel=4)
    own = [
        Tensor(x.data, i in trained, dtype=np.float64 if i in trained else None)
        if isinstance(x, Tensor)
        else x
        for i, x in enumerate(inputs)
    ]
    before = [np.copy(data_of(x)) for x in own]

    def changed():
        return [i for i, x in enumerate(own) if not _same(data_of(x), before[i])]

    def outputs(arguments):
        """func's float outputs."""
        with frozen_noise():
            return [y for y in _tensors(func(*arguments)) if y.dtype.kind == "f"]

    first, again = outputs(own), outputs(own)
    if not first:
        raise TypeError("gradcheck: func returned no Tensor of floats.")
    if trouble := _trouble(first, again, changed(), nondet_tol):
        return trouble
    steps, xs = nodes(first), [own[i] for i in trained]
    inner = ruled_nodes(steps)
    drop, wrong = rates(steps), None
    precise = [node for node in inner if node.dtype.itemsize >= 8]
    for node in progress(precise, "gradcheck", "nodes"):
        finding = check_node(node, rng, drop, eps, rtol, atol)
        if finding.verdict == "FAIL":
            wrong = finding
            break
    part = Part(steps, first, [cotangent(rng, y.shape) for y in first], by_engine, eps)
    if moved := changed():
        note = f"the backward pass changes the inputs {moved}: a rule writes to what it is given."
        return Finding("FAIL", np.inf, note)
    for x in xs:
        part.gradients.setdefault(x.order, np.zeros(x.shape))
    most = 0 if fast_mode else min(ENTRIES, 2 * max(x.size for x in xs))
    looked = look(part, xs, rng, rtol, atol, most)
    found = {i: looked[own[i].order] if own[i].size else Finding("OK") for i in trained}
    for i, finding in found.items():
        if finding.verdict == "FAIL" and finding.kinked and not wrong:
            found[i] = finding._replace(verdict="KINK")  # of right rules, composed
        elif finding.verdict in FAILING:
            return _explained(i, finding, wrong, part, own[i], (rng, rtol, atol))
    if wrong:
        return wrong._replace(note=f"{wrong.rule}: {wrong.note}")
    if hidden := _unrecorded(outputs, own, trained, nondet_tol):
        return Finding("FAIL", np.inf, f"input {hidden[0]}: {UNRECORDED}")
    silent = [i for i, f in found.items() if f.verdict == "VACUOUS"]
    if zero_allowed:
        return worst([f for f in found.values() if f.verdict != "VACUOUS"] or [Finding("OK")])
    used = {node.order for node in steps} & {own[i].order for i in silent}
    note = ZERO if used or not inner else NOT_ITS_INPUTS
    if len(silent) == sum(x.size > 0 for x in xs) > 0:
        return Finding("VACUOUS", 0.0, note)
    if silent:
        warnings.warn(f"gradcheck: VACUOUS for inputs {silent}: {note}", stacklevel=4)
    return worst(found.values())


def _trouble(first, again, changed, nondet_tol):
    """Why the outputs of two calls, which changed these inputs, cannot be checked, or None."""
    if changed:
        return Finding("FAIL", np.inf, f"func changes its inputs {changed}.")
    same = {"rtol": 0, "atol": nondet_tol, "equal_nan": True}
    for y, z in zip(first, again):
        if y.shape != z.shape or not np.allclose(y.data, z.data, **same):
            note = f"func changed between two calls{_source(first, again)}."
            return Finding("STOCHASTIC", np.inf, note)
    for i, y in enumerate(first):
        if len(bad := np.argwhere(~np.isfinite(y.data))):
            index = tuple(bad[0].tolist())
            return Finding("NONFINITE", np.inf, f"output {i} is {y.data[index]} at entry {index}.")
    return None


def _explained(i, found, wrong, part, x, settings):
    """The Finding on the i-th input x, with its likely cause: wrong rule, pattern, few digits."""
    entry, finding = wrong_entry(part, x, *settings, found)
    note = f"input {i}, entry {entry}: {finding.note}, relative difference {finding.error:.2g}."
    if wrong:
        note += f" The rule of {wrong.rule} is wrong. {wrong.note}"
        return wrong._replace(error=finding.error, note=note)
    if finding.verdict == "FAIL":
        note += f" Diagnosis: {diagnose(function_of(part, x), rates(part.steps))}."
    for node in part.steps:
        if node.args and node.dtype.kind == "f" and node.dtype.itemsize < 8:
            note += f" But {node.op.name} computes in {node.dtype}, which is coarse for numeric "
            note += "derivatives: keep float64 inside func."
            break
    return finding._replace(note=note)


def _unrecorded(outputs, own, trained, nondet_tol):
    """The inputs on which func depends by a way that it does not record, such as x.data.

    At a point nearby func is recorded once more. From there each input moves a long and a short
    way, and func's values are compared with those of the recorded graph. What is not recorded sets
    them apart, in proportion to the way.
    """
    rng, away, found = np.random.default_rng(2), AWAY, []
    ways = {i: cotangent(rng, own[i].shape) for i in trained}
    for _ in range(12):  # until func is defined there
        base = list(own)
        for i, way in ways.items():
            size = np.where(own[i].data == 0, largest(own[i].data) or 1.0, own[i].data)
            base[i] = Tensor(own[i].data + away * way * size, True)
        if recorded := _tried(outputs, base):
            break
        away /= 16
    else:
        return []
    steps, size = nodes(recorded), max(largest(y.data) for y in recorded)
    for i, way in ways.items():
        apart = []
        for step in STEPS:
            array = base[i].data * (1 + step * away * way)
            there = _tried(outputs, [*base[:i], Tensor(array, True), *base[i + 1 :]]) or []
            values = evaluate(steps, {base[i].order: array})
            pairs = [(y.data, values.get(z.order, z.data)) for y, z in zip(there, recorded)]
            if all(np.shape(y) == np.shape(z) for y, z in pairs):
                apart.append(max((largest(y - z) for y, z in pairs), default=0.0))
        long, short = (*apart, 0.0, 0.0)[:2]
        proportion = STEPS[0] / STEPS[1]
        if (
            long > max(SAME * size, nondet_tol)
            and 1 / 4 < long / (short * proportion or np.inf) < 4
        ):
            found.append(i)
    return found


def _tried(outputs, arguments):
    """func's outputs, or None where it is not defined."""
    try:
        found = outputs(arguments)
    except Exception:  # whatever func raises outside its domain
        return None
    return found if all(np.all(np.isfinite(y.data)) for y in found) else None


def _source(first, again):
    """Where the randomness comes from: the first nodes of two recorded graphs that differ."""
    for a, b in zip(nodes(first), nodes(again)):
        if _same(a.data, b.data):
            continue
        if isinstance(a, Noise):
            law = repr(a.distribution)
            return f", at the noise {law}, which does not draw from the generator it is given"
        if not a.is_leaf and a.op is b.op and all(map(_equal, a.args, b.args)):
            place = f" in {path(a.scope)}" if a.scope else ""
            remedy = "Give the op its noise as an input, a Noise leaf"
            return f", at {a.op.name}{place}: its forward draws by itself. {remedy}"
        break
    return (
        ", by randomness that minigrad cannot hold fixed (np.random inside func?). "
        "Use minigrad's stochastic ops, or pass rng"
    )


def _equal(x, y):
    """Whether two arguments of an op are equal, as far as they are no Tensors."""
    if isinstance(x, tuple) and isinstance(y, tuple):
        return len(x) == len(y) and all(map(_equal, x, y))
    return isinstance(x, Tensor) or np.array_equal(x, y)


def _same(a, b):
    """Whether two values are equal, entry by entry; nan equals nan."""
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _tensors(outputs):
    for y in _tuple(outputs):
        if not isinstance(y, Tensor):
            given = f"not {type(y).__name__}"
            raise TypeError(f"gradcheck: func must return a Tensor or a tuple of them, {given}.")
    return _tuple(outputs)

"""Gradient checks of functions on Tensors."""

import warnings

import numpy as np

from ..array import data_of
from ..engine import Tensor, grad
from ..graph import evaluate, nodes
from ..modes import path, recording
from ..noise import Noise, frozen_noise
from .diagnosis import diagnose, function_of, rates
from .numeric import STEP, Part, by_engine
from .reports import progress
from .rules import alike, check_node
from .verdict import FAILING, LOOKS, Finding, cotangent, look, worst, wrong_entry

AWAY = 2.0**-4  # how far from the inputs the function is run again, relative to each entry
STEPS = 2.0**-6, 2.0**-12  # and from there once more, to compare with what was recorded there
SAME = 2.0**-46  # relative to the largest value: equal, if a constant was rounded in another way


UNRECORDED = "func depends on it by a way that is not recorded, so that no gradient flows there: detach, x.data, x.numpy() or float(x)?"
ZERO = (
    "both gradients are 0 at every entry, or too small to tell from rounding, so nothing was tested. "
    "Check at a random point, in training mode, without what is a large constant."
)
NOT_ITS_INPUTS = "func depends on Tensors of its own, not on the inputs it is called with (copies of yours). check_graph(loss) checks every leaf."


class GradcheckError(RuntimeError):
    """An analytic derivative is wrong, or could not be checked."""


def gradcheck(
    func,
    inputs,
    *,
    eps=STEP,
    atol=0.0,
    rtol=0.0,
    raise_exception=True,
    nondet_tol=0.0,
    fast_mode=False,
):
    """True if the gradients of func(*inputs) agree with numeric ones at every entry of every input that requires one.

    `func` may return a Tensor or several, of any shape: they are contracted with a random cotangent. Its noise (active dropout)
    is the same in all calls, without a seed. Inputs of lower precision are copied to float64; a warning says so.

    The numeric side is the complex step of the graph that func records, exact to rounding. Func itself is run again nearby, so that
    a dependence that is not recorded is found. Rounding is allowed for; `atol` and `rtol` allow more. `eps` is the relative step of
    the differences that pass an op that takes no complex numbers, `nondet_tol` how much func may change between two calls.
    fast_mode=True looks at no part of the entries alone, as is done at kinks.

    Raises GradcheckError for a failure, or returns False with raise_exception=False. Raises ValueError if no input requires a
    gradient, TypeError if func returns no Tensor of floats.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: np.log(x) * x, x)
    True
    """
    return _verdict(examine(func, inputs, eps, atol, rtol, nondet_tol, fast_mode), raise_exception)


def gradgradcheck(
    func,
    inputs,
    grad_outputs=None,
    *,
    eps=STEP,
    atol=0.0,
    rtol=0.0,
    raise_exception=True,
    nondet_tol=0.0,
    fast_mode=False,
):
    """As gradcheck, for second derivatives: checks the gradients that create_graph=True records, as functions of inputs and cotangents.

    `grad_outputs`, one for each output that requires a gradient, are the cotangents: random ones if not given.
    """
    inputs = _tuple(inputs)
    gradients, cotangents = gradient_function(func, inputs, grad_outputs)
    finding = differently_recorded(func, inputs, cotangents)
    settings = eps, atol, rtol, nondet_tol, fast_mode
    return _verdict(
        finding or examine(gradients, inputs + cotangents, *settings, zero_allowed=True),
        raise_exception,
    )


def gradient_function(func, inputs, grad_outputs=None):
    """(gradients, cotangents): the gradients of func's outputs as a recorded function of (*inputs, *cotangents)."""
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
    """A Finding if the rules give other gradients on Tensors, recorded, than on arrays; else None."""
    trained = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    with frozen_noise():
        outputs = [y for y in _tensors(func(*inputs)) if y.requires_grad]
    plain, recorded = (
        grad(outputs, trained, cotangents, True, create_graph, allow_unused=True)
        for create_graph in (False, True)
    )
    for i, (a, b) in enumerate(zip(plain, recorded)):
        if a is not None and not alike(data_of(a), data_of(b)):
            note = f"the gradient by input {i} is another one under create_graph=True: a rule is not the same on Tensors."
            return Finding("FAIL", np.inf, note)
    return None


def _verdict(finding, raise_exception):
    if finding.verdict not in (*FAILING, "VACUOUS"):
        return True
    if raise_exception:
        raise GradcheckError(f"{finding.verdict}: {finding.note}")
    return False


@np.errstate(all="ignore")  # what is not finite is reported, once
def examine(
    func,
    inputs,
    eps=STEP,
    atol=0.0,
    rtol=0.0,
    nondet_tol=0.0,
    fast_mode=False,
    zero_allowed=False,
):
    """The Finding of a gradient check. `zero_allowed`: gradients that are 0 at every entry are no reason to doubt."""
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
    steps, xs = nodes(first), {i: own[i] for i in trained}
    inner = [node for node in steps if node.args and node.requires_grad]
    drop = rates(steps)
    findings = (
        check_node(node, rng, drop, eps, rtol, atol)
        for node in progress(inner, "gradcheck", "nodes")
    )
    wrong = next((f for f in findings if f.verdict == "FAIL"), None)
    part = Part(steps, first, [cotangent(rng, y.shape) for y in first], by_engine, eps)
    if moved := changed():
        note = f"the backward pass changes the inputs {moved}: a rule writes to what it is given."
        return Finding("FAIL", np.inf, note)
    for x in xs.values():
        part.gradients.setdefault(x.order, np.zeros(x.shape))
    most = 0 if fast_mode else LOOKS + 2 * max(x.size for x in xs.values())
    found = look(part, list(xs.values()), rng, rtol, atol, most)
    found = {i: Finding("OK") if not x.size else found[x.order] for i, x in xs.items()}
    for i, finding in found.items():
        if finding.verdict == "FAIL" and finding.kinked and not wrong:
            found[i] = finding._replace(verdict="KINK")
        elif finding.verdict in FAILING:
            entry, finding = wrong_entry(part, xs[i], rng, rtol, atol, finding)
            note = f"input {i}, entry {entry}: {finding.note}, relative difference {finding.error:.2g}."
            verdict = "FAIL" if wrong else finding.verdict
            return _explained(
                finding._replace(verdict=verdict, note=note), wrong, part, xs[i], steps
            )
    if wrong:
        return wrong._replace(note=f"{wrong.rule}: {wrong.note}")
    if hidden := _unrecorded(outputs, own, trained, nondet_tol):
        return Finding("FAIL", np.inf, f"input {hidden[0]}: {UNRECORDED}")
    silent, found = [i for i, f in found.items() if f.verdict == "VACUOUS"], [*found.values()]
    if zero_allowed or not silent:
        return worst([f for f in found if f.verdict != "VACUOUS"] or [Finding("OK")])
    note = ZERO
    if not {node.order for node in steps} & {own[i].order for i in silent} and inner:
        note = NOT_ITS_INPUTS
    if len(silent) < sum(x.size > 0 for x in xs.values()):
        warnings.warn(f"gradcheck: VACUOUS for inputs {silent}: {note}", stacklevel=4)
        return worst(found)
    return Finding("VACUOUS", 0.0, note)


def _trouble(first, again, changed, nondet_tol):
    """Why the outputs of two calls, which changed these inputs, cannot be checked: a Finding, or None."""
    if changed:
        return Finding("FAIL", np.inf, f"func changes its inputs {changed}.")
    if any(
        y.shape != z.shape
        or not np.allclose(y.data, z.data, rtol=0, atol=nondet_tol, equal_nan=True)
        for y, z in zip(first, again)
    ):
        note = f"func changed between two calls{_source(first, again)}."
        return Finding("STOCHASTIC", np.inf, note)
    for i, y in enumerate(first):
        if len(bad := np.argwhere(~np.isfinite(y.data))):
            index = tuple(bad[0].tolist())
            return Finding("NONFINITE", np.inf, f"output {i} is {y.data[index]} at entry {index}.")
    return None


def _explained(finding, wrong, part, x, steps):
    """The Finding with its likely cause: a wrong rule, or a simple pattern, or too few digits."""
    note = finding.note
    if wrong:
        note += f" The rule of {wrong.rule} is wrong. {wrong.note}"
    elif finding.verdict == "FAIL":
        note += f" Diagnosis: {diagnose(function_of(part, x), rates(steps))}."
    if coarse := [n for n in steps if n.args and n.dtype.kind == "f" and n.dtype.itemsize < 8]:
        note += f" But {coarse[0].op.name} computes in {coarse[0].dtype}, which is coarse for numeric derivatives: keep float64 inside func."
    return finding._replace(note=note, rule=wrong.rule if wrong else "")


def _unrecorded(outputs, own, trained, nondet_tol):
    """The numbers of the inputs on which func depends by a way that it does not record, such as x.data.

    At a point nearby func is recorded once more. From there each input moves a long and a short way, and func's values are
    compared with those of the recorded graph. What is not recorded makes them differ, in proportion to the way.
    """
    rng, away, found = np.random.default_rng(2), AWAY, []
    ways = {
        i: rng.uniform(0.5, 1.5, own[i].shape) * rng.choice([-1, 1], own[i].shape) for i in trained
    }
    for _ in range(12):  # until func is defined there
        base = list(own)
        for i, way in ways.items():
            x = own[i].data
            size = np.where(x == 0, np.mean(abs(x)) or 1.0, x) if x.size else x
            base[i] = Tensor(x + away * way * size, True)
        recorded = _tried(outputs, base)
        if recorded is not None:
            break
        away /= 16
    else:
        return []
    steps = nodes(recorded)
    for i, way in ways.items():
        distances = []
        for step in STEPS:
            array = base[i].data * (1 + step * away * way)
            there = _tried(outputs, [*base[:i], Tensor(array, True), *base[i + 1 :]])
            values = evaluate(steps, {base[i].order: array})
            expected = [values.get(y.order, y.data) for y in recorded]
            if there is None or [y.shape for y in there] != [np.shape(e) for e in expected]:
                break
            distances.append(
                max(np.max(abs(y.data - e), initial=0) for y, e in zip(there, expected))
            )
        size = max(np.max(abs(y.data), initial=0) for y in recorded)
        if len(distances) == 2 and distances[0] > max(SAME * size, nondet_tol):
            in_proportion = distances[0] / (distances[1] or np.inf) * STEPS[1] / STEPS[0]
            if 1 / 4 < in_proportion < 4:
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
            return f", at the noise {a.distribution!r}, which does not draw from the generator it is given"
        alike = not a.is_leaf and a.op is b.op
        if alike and all(_equal(x, y) for x, y in zip(a.args, b.args)):
            place = f" in {path(a.scope)}" if a.scope else ""
            return f", at {a.op.name}{place}: its forward draws by itself. Give the op its noise as an input, a Noise leaf"
        break
    return ", by randomness that minigrad cannot hold fixed (np.random inside func?). Use minigrad's stochastic ops, or pass rng"


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
            raise TypeError(
                f"gradcheck: func must return a Tensor or a tuple of them, not {type(y).__name__}."
            )
    return _tuple(outputs)

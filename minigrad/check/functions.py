"""Gradient checks of functions on Tensors."""

import warnings
from functools import partial

import numpy as np

from ..array import data_of
from ..engine import Tensor, grad
from ..graph import depending, evaluate, nodes
from ..modes import path, recording
from ..noise import Noise, frozen_noise
from .diagnosis import diagnose, rates
from .slopes import (
    ATOL,
    FAILING,
    RTOL,
    STEP,
    Finding,
    Map,
    alike,
    along_ties,
    between_ties,
    clearest,
    direction,
    in_directions,
    is_analytic,
    worst,
)

ENTRIES = 2_000  # of an input; beyond, random projections are checked
PROJECTIONS = 20


class GradcheckError(RuntimeError):
    """An analytic derivative is wrong, or could not be checked."""


def gradcheck(
    func,
    inputs,
    *,
    eps=STEP,
    atol=ATOL,
    rtol=RTOL,
    raise_exception=True,
    nondet_tol=0.0,
    fast_mode=False,
):
    """True if the gradients of func(*inputs) agree with numeric ones at every entry of every input that requires one.

    `func` may return a Tensor or several, of any shape: they are contracted with a random cotangent. Its noise (active
    dropout) is the same in all calls, without a seed. Inputs of lower precision are copied to float64; beyond 2,000 entries,
    or with fast_mode=True, an input is checked along 20 random projections instead of entry by entry. A warning says so.

    `eps` is the largest step of the numeric derivatives, which are extrapolated to step 0; `nondet_tol` how much func may change
    between two calls. A failure raises GradcheckError, or gives False with raise_exception=False.

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
    atol=ATOL,
    rtol=RTOL,
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
    return _verdict(
        finding
        or examine(
            gradients,
            inputs + cotangents,
            eps,
            atol,
            rtol,
            nondet_tol,
            fast_mode,
            zero_allowed=True,
        ),
        raise_exception,
    )


def gradient_function(func, inputs, grad_outputs=None):
    """(gradients, cotangents): the gradients of func's outputs as a recorded function of (*inputs, *cotangents)."""
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        with frozen_noise():
            cotangents = tuple(
                Tensor(rng.standard_normal(y.shape), True)
                for y in _tensors(func(*inputs))
                if y.requires_grad
            )
    else:
        cotangents = tuple(
            Tensor(np.asarray(data_of(u), np.float64), True) for u in _tuple(grad_outputs)
        )

    def gradients(*arguments):
        own, cotangents = arguments[: len(inputs)], arguments[len(inputs) :]
        outputs = [y for y in _tensors(func(*own)) if y.requires_grad]
        trained = [x for x in own if isinstance(x, Tensor) and x.requires_grad]
        return tuple(
            g
            for g in grad(outputs, trained, cotangents, create_graph=True, allow_unused=True)
            if g is not None
        )

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
            return Finding(
                "FAIL",
                np.inf,
                f"the gradient by input {i} is another one under create_graph=True: a rule is not the same on Tensors.",
            )
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
    atol=ATOL,
    rtol=RTOL,
    nondet_tol=0.0,
    fast_mode=False,
    zero_allowed=False,
):
    """The Finding of a gradient check. `zero_allowed`: gradients that are 0 at every entry are no reason to doubt."""
    inputs = _tuple(inputs)
    trained = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not recording.get():
        raise RuntimeError("gradcheck: inside no_grad() nothing is recorded. Call it outside.")
    if not trained:
        raise ValueError("gradcheck: at least one input must be a Tensor with requires_grad=True.")
    if narrow := [i for i in trained if inputs[i].dtype != np.float64]:
        warnings.warn(
            f"gradcheck: inputs {narrow} were copied to float64 to be checked.", stacklevel=4
        )
    own = [
        Tensor(x.data, i in trained, dtype=np.float64 if i in trained else None)
        if isinstance(x, Tensor)
        else x
        for i, x in enumerate(inputs)
    ]
    before = [np.copy(data_of(x)) for x in own]

    def changed():
        return [i for i, x in enumerate(own) if not _same(data_of(x), before[i])]

    def outputs(replaced=None):
        """func's float outputs, with the arrays `replaced` for inputs of these numbers."""
        arguments = [
            Tensor(replaced[i], True) if replaced and i in replaced else x
            for i, x in enumerate(own)
        ]
        with frozen_noise():
            return [y for y in _tensors(func(*arguments)) if y.dtype.kind == "f"]

    first, again = outputs(), outputs()
    if not first:
        raise TypeError("gradcheck: func returned no Tensor of floats.")
    if trouble := _trouble(first, again, changed(), nondet_tol):
        return trouble
    rng = np.random.default_rng(0)
    steps = nodes(first)
    analytic = {node.order for node in steps if node.args and is_analytic(node)}
    maps = {}
    for i in trained:
        exact = all(node.order in analytic for node in depending(steps, [own[i].order]))
        maps[i] = Map(
            own[i].data,
            lambda array, i=i: _moved(outputs, {i: array}),
            partial(_pulled, first, own[i]),
            partial(_replayed, steps, first, own[i]) if exact else None,
        )
    u = direction(rng, _joined([y.data for y in first]).shape)
    found = {}
    for i, map_i in maps.items():
        gradient = map_i.pull(u)
        if not _same(gradient, map_i.pull(u)):
            return Finding(
                "FAIL",
                np.inf,
                f"input {i}: the backward pass gives something else each time, as if it drew noise of its own.",
            )
        if moved := changed():
            return Finding(
                "FAIL",
                np.inf,
                f"the backward pass changes the inputs {moved}: a rule writes to what it is given.",
            )
        few = map_i.x.size <= ENTRIES and not fast_mode
        if not few and not fast_mode:
            warnings.warn(
                f"gradcheck: input {i} has {map_i.x.size} entries: {PROJECTIONS} random projections are checked, not each entry.",
                stacklevel=4,
            )
        findings = [Finding("VACUOUS")] if map_i.x.size else [Finding("OK")]
        for place, finding in _looks(
            partial(map_i.compare, u=u, gradient=gradient, rtol=rtol, atol=atol, step=eps),
            map_i.x,
            few,
            rng,
        ):
            if finding.verdict in FAILING:
                return _explained(finding, f"input {i}, {place}", i, maps, steps, eps)
            findings.append(finding)
        if not map_i.is_linear(u, gradient):
            return Finding(
                "FAIL", np.inf, f"input {i}: the gradient is not linear in the cotangent."
            )
        found[i] = worst(findings)
    if wrong := between_ties(
        maps, found, partial(_moved, outputs), u=u, rtol=rtol, atol=atol, step=eps
    ):
        return _explained(wrong[0], "inputs moved alike", next(iter(maps)), maps, steps, eps)
    silent, found = [i for i, f in found.items() if f.verdict == "VACUOUS"], [*found.values()]
    if zero_allowed or not silent:
        return worst([f for f in found if f.verdict != "VACUOUS"] or [Finding("OK")])
    note = (
        "both gradients are 0 at every entry, or too small to tell from rounding, so nothing was tested. "
        "Check at a random point, in training mode, without what is a large constant."
    )
    if not {node.order for node in steps} & {own[i].order for i in silent} and any(
        y.requires_grad for y in first
    ):
        note = "func depends on Tensors of its own, not on the inputs it is called with (copies of yours). check_graph(loss) checks every leaf."
    if len(silent) < sum(m.x.size > 0 for m in maps.values()):
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
        return Finding(
            "STOCHASTIC", np.inf, f"func changed between two calls{_source(first, again)}."
        )
    for i, y in enumerate(first):
        if len(bad := np.argwhere(~np.isfinite(y.data))):
            index = tuple(bad[0].tolist())
            return Finding("NONFINITE", np.inf, f"output {i} is {y.data[index]} at entry {index}.")
    return None


def _explained(finding, place, i, maps, steps, step):
    note = f"{place}: {finding.note}, relative difference {finding.error:.2g}."
    if finding.verdict == "FAIL":
        note += f" Diagnosis: {diagnose(maps[i], rates(steps), {f'input {j}': m for j, m in maps.items() if j != i}, step)}."
    if coarse := [n for n in steps if n.args and n.dtype.kind == "f" and n.dtype.itemsize < 8]:
        note += f" But {coarse[0].op.name} computes in {coarse[0].dtype}, which is coarse for numeric derivatives: keep float64 inside func."
    return Finding(finding.verdict, finding.error, note)


def _moved(outputs, replaced):
    return _joined([y.data for y in outputs(replaced)])


def _pulled(outputs, x, u):
    """The gradient by x of sum(u * outputs), all of them joined; outputs that are not recorded claim a gradient of zero."""
    parts, begin = [], 0
    for y in outputs:
        parts.append(u.reshape(-1)[begin : begin + y.size].reshape(y.shape))
        begin += y.size
    recorded = [(y, part) for y, part in zip(outputs, parts) if y.requires_grad]
    (gradient,) = (
        grad(
            [y for y, _ in recorded],
            [x],
            [p for _, p in recorded],
            retain_graph=True,
            allow_unused=True,
        )
        if recorded
        else [None]
    )
    return np.zeros(x.shape) if gradient is None else gradient.data


def _replayed(steps, outputs, x, array):
    """The joined outputs for another value of x, from the recorded graph: it runs on complex numbers, which func may not."""
    values = evaluate(steps, {x.order: array})
    return _joined([values.get(y.order, y.data) for y in outputs])


def _joined(arrays):
    """One array: the only one as it is, several flat and joined."""
    return arrays[0] if len(arrays) == 1 else np.concatenate([np.reshape(a, -1) for a in arrays])


def _looks(compare, x, few, rng):
    """(place, finding) at every entry of x if these are few, else along random projections."""
    if not few:
        yield from (
            ("along a random projection", finding)
            for finding in in_directions(compare, x, rng, PROJECTIONS)
        )
        return
    kinks = False
    for index in np.ndindex(x.shape):
        v = np.zeros(x.shape)
        v[index] = 1.0
        finding = clearest(compare, v, x)
        kinks = kinks or finding.verdict == "KINK"
        yield f"entry {index}", finding
    if kinks:
        yield from (("along all entries alike", finding) for finding in along_ties(compare, x))


def _source(first, again):
    """Where the randomness comes from: the first nodes of two recorded graphs that differ."""
    for a, b in zip(nodes(first), nodes(again)):
        if _same(a.data, b.data):
            continue
        if isinstance(a, Noise):
            return f", at the noise {a.distribution!r}, which does not draw from the generator it is given"
        if (
            not a.is_leaf
            and a.op is b.op
            and all(
                np.array_equal(x, y) for x, y in zip(a.args, b.args) if not isinstance(x, Tensor)
            )
        ):
            place = f" in {path(a.scope)}" if a.scope else ""
            return f", at {a.op.name}{place}: its forward draws by itself. Give the op its noise as an input, a Noise leaf"
        break
    return ", by randomness that minigrad cannot hold fixed (np.random inside func?). Use minigrad's stochastic ops, or pass rng"


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

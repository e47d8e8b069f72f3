"""Optimizers with PyTorch's arguments and update rules, a proximal one, learning-rate schedules, and bounds on norms.

Every update is one pass over pieces that fit the cache, in place.
"""

import math
import numbers

import numpy as np

from ..engine import Tensor, constant, grad, mark_changed
from ..graph import nodes, program
from ..loss import name_of, penalised, summands
from ..ops.penalties import PARTS, blocks, prox
from ..state import agree


class Optimizer:
    """Holds the parameters and their settings; `step` updates those that have a gradient.

    `parameters`: Tensors that require a gradient, or PyTorch's groups: [{"params": [...], "lr": 0.1}, ...]. `lr` is a number
    or a function of the step number 0, 1, 2, ...
    """

    counters = ("steps",)  # what a step changes besides the parameters and what is kept for each

    def __init__(self, parameters, **settings):
        if callable(parameters) or not hasattr(parameters, "__iter__"):
            raise TypeError(
                f"{type(self).__name__}: pass model.parameters(), not a {type(parameters).__name__}."
            )
        groups = list(parameters) if not isinstance(parameters, Tensor) else [parameters]
        self.steps, self.defaults, self.param_groups, self.state = 0, settings, [], {}
        for group in (
            groups if groups and all(isinstance(g, dict) for g in groups) else [{"params": groups}]
        ):
            self.add_param_group(group)
        if not self.state:
            raise ValueError(f"{type(self).__name__} got no parameters.")

    def add_param_group(self, group):
        """Trains more parameters, {"params": [...], ...}; settings that the group does not have are those of the constructor."""
        if "params" not in group:
            raise TypeError(
                f"{type(self).__name__}: a group needs its 'params'; got {sorted(group)}."
            )
        if unknown := group.keys() - self.defaults.keys() - {"params"}:
            raise TypeError(
                f"{type(self).__name__} has no setting {sorted(unknown)}; it has {', '.join(self.defaults)}."
            )
        members = (
            [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        )
        group = self.defaults | group | {"params": members}
        for name, value in group.items():
            if name != "params" and not _valid(name, value):
                raise ValueError(f"{type(self).__name__}: {name}={value!r} is out of range.")
        trained = [_Trained(p, i) for i, p in enumerate(members)]
        if len({*members, *self.state}) < len(members) + len(self.state):
            raise ValueError(f"{type(self).__name__}: a parameter was passed twice.")
        self.state.update(zip(members, trained))
        self.param_groups.append(group)

    def zero_grad(self):
        """Forgets the gradients: the next backward starts afresh."""
        for parameter in self.state:
            parameter.grad = None

    def step(self):
        """Updates every parameter that has a gradient."""
        parameters = [w for w in self.state if w.grad is not None]
        if not parameters:
            raise RuntimeError(
                f"{type(self).__name__}.step: no parameter has a gradient. Call loss.backward() first."
            )
        for w in parameters:  # before any is updated
            if not isinstance(w.data, np.ndarray):
                raise TypeError(
                    f"{type(self).__name__}.step: the .data of a parameter is a {type(w.data).__name__}, which no step can change. "
                    "Write its values to w.data[...], or make it an array with .numpy()."
                )
            if not isinstance(g := w.grad, Tensor) or g.data.shape != w.data.shape:
                raise ValueError(
                    f"{type(self).__name__}.step: the .grad of a parameter of shape {w.shape} is a {type(g).__name__} of shape {np.shape(g)}. "
                    "Make it a Tensor of the same shape."
                )
        for group, lr in [(group, self.rate(group)) for group in self.param_groups]:
            for w in group["params"]:
                if w.grad is not None:
                    trained = self.state[w]
                    trained.updates += 1
                    self.update(trained, lr, group)
                    mark_changed(w)
        self.steps += 1

    def rate(self, group):
        """The group's learning rate at this step."""
        if not callable(lr := group["lr"]):
            return lr
        if not _valid("lr", lr := lr(self.steps)) or callable(lr):
            raise ValueError(
                f"{type(self).__name__}: the schedule of lr gave {lr!r} at step {self.steps}; a number >= 0 is needed."
            )
        return lr

    def update(self, trained, lr, settings):
        raise NotImplementedError

    def decays(self):
        """(parameter, its weight_decay) where that is not 0."""
        return (
            (w, g["weight_decay"])
            for g in self.param_groups
            if g.get("weight_decay")
            for w in g["params"]
        )

    def state_dict(self):
        """The settings, the counters and what is kept for each parameter, as plain data; arrays are copies.

        Functions, such as a schedule for lr, are not in it: those of the constructor stay when it is loaded.
        """
        groups = [
            _plain(g) | {"params": [self.state[w].state_dict() for w in g["params"]]}
            for g in self.param_groups
        ]
        return {"optimizer": type(self).__name__, **_plain(vars(self)), "param_groups": groups}

    def load_state_dict(self, state_dict):
        """Goes on where that optimizer stood, with its settings. Another kind, other groups or shapes: an error, and nothing changes."""
        name = type(self).__name__
        agree(name, {"optimizer": name}, state_dict)
        agree(name, self._layout(self.state_dict()), self._layout(state_dict))
        vars(self).update({name: state_dict[name] for name in self.counters})
        for group, saved in zip(self.param_groups, state_dict["param_groups"]):
            group |= {
                n: tuple(v) if isinstance(v, list) else v
                for n, v in saved.items()
                if n != "params" and v != "function"
            }
            for w, kept in zip(group["params"], saved["params"]):
                self.state[w].load_state_dict(kept)

    def _layout(self, state_dict):
        """{name: value} of what a state_dict must share with one that is loaded into it."""
        groups = state_dict.get("param_groups", [])
        found = {name: value for name, value in state_dict.items() if name not in self.counters} | {
            "param_groups": len(groups)
        }
        for i, group in enumerate(groups):
            kinds = {
                name: "a function" if value == "function" else "a value"
                for name, value in group.items()
            }
            found |= {f"{name} of group {i}": kind for name, kind in kinds.items()} | {
                f"params of group {i}": len(group["params"])
            }
            found |= {
                f"shape of parameter {j} of group {i}": trained["shape"]
                for j, trained in enumerate(group["params"])
            }
        return found


class _Trained:
    """A parameter with what the optimizer keeps for it."""

    def __init__(self, parameter, i):
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"optimizer: parameter {i} is a {type(parameter).__name__}, not a Tensor. Pass model.parameters()."
            )
        if not parameter.is_leaf:
            raise ValueError(
                f"optimizer: parameter {i} is the result of {parameter.op.name}; only leaves can be trained."
            )
        if not parameter.requires_grad and type(parameter) is Tensor:
            raise ValueError(
                f"optimizer: parameter {i} (shape {parameter.shape}) does not require a gradient."
            )
        self.parameter, self.updates, self.buffers = parameter, 0, {}

    def pieces(self, *names):
        """Flat pieces of (data, gradient, buffers...), the buffers made of zeros when first asked for."""
        arrays = [self.parameter.data, self.parameter.grad.data]
        for name in names:
            if name not in self.buffers:
                self.buffers[name] = np.zeros_like(self.parameter.data)
            arrays.append(self.buffers[name])
        return blocks(arrays)

    def state_dict(self):
        buffers = {name: buffer.copy() for name, buffer in self.buffers.items()}
        return {"shape": list(self.parameter.shape), "updates": self.updates, "buffers": buffers}

    def load_state_dict(self, state_dict):
        self.updates = state_dict["updates"]
        self.buffers = {
            name: np.array(buffer, self.parameter.dtype)
            for name, buffer in state_dict["buffers"].items()
        }


def _plain(settings):
    """Settings as a file can hold them."""
    held = ("params", "param_groups", "state", "defaults")
    return {
        n: "function" if callable(v) else list(v) if isinstance(v, tuple) else v
        for n, v in settings.items()
        if n not in held
    }


def _valid(name, value):
    if name == "betas":
        return (
            isinstance(value, (tuple, list)) and len(value) == 2 and all(0 <= b < 1 for b in value)
        )
    if name == "nesterov":
        return isinstance(value, bool)
    if name == "lr" and callable(value):
        return True
    return isinstance(value, numbers.Real) and 0 <= value < math.inf


class SGD(Optimizer):
    """w -= lr v, where v = momentum v + (grad + weight_decay w); nesterov uses grad + momentum v for v (Sutskever et al. 2013)."""

    def __init__(self, parameters, lr=1e-3, momentum=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )

    def add_param_group(self, group):
        settings = self.defaults | group
        if settings["nesterov"] and not settings["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum > 0.")
        super().add_param_group(group)

    def update(self, trained, lr, settings):
        momentum, decay = settings["momentum"], settings["weight_decay"]
        if not momentum:
            for w, g in trained.pieces():
                w -= lr * (g + decay * w if decay else g)
            return
        for w, g, v in trained.pieces("velocity"):
            if decay:
                g = g + decay * w
            v *= momentum
            v += g
            w -= lr * (g + momentum * v if settings["nesterov"] else v)


class Adam(Optimizer):
    """Kingma & Ba 2015 (arXiv:1412.6980). Its weight_decay is added to the gradient, so it goes through the moments."""

    decoupled = False

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, trained, lr, settings):
        (beta1, beta2), eps, decay = settings["betas"], settings["eps"], settings["weight_decay"]
        correction1, correction2 = 1 - beta1**trained.updates, 1 - beta2**trained.updates
        for w, g, m, v in trained.pieces("mean", "mean of squares"):
            if decay and self.decoupled:
                w *= 1 - lr * decay
            elif decay:
                g = g + decay * w
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            w -= (lr / correction1) * m / (np.sqrt(v) / math.sqrt(correction2) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= lr weight_decay w (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    decoupled = True

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(parameters, lr, betas, eps, weight_decay)


# ------------------------------------------------------------------------------------- proximal steps

NONSMOOTH = PARTS.keys() - {
    "l2_penalty"
}  # the penalties that a proximal optimizer takes over; l2 has a gradient everywhere


class ProximalSGD(Optimizer):
    """w = prox(w - lr * gradient of the smooth part of the loss): L1, elastic-net and group-L2 penalties give exact zeros.

    `step(closure)`: closure() returns the recorded loss, penalties included, without backward; `step` returns it too. The loss is
    read as a sum: those penalties on parameters act by their proximal operators alone, all other terms by their gradient.

    >>> w = Tensor([3.0, 0.2], requires_grad=True)
    >>> optimizer = ProximalSGD([w], lr=0.5)
    >>> from minigrad.functional import l1_penalty
    >>> for _ in range(50):
    ...     loss = optimizer.step(lambda: 0.5 * ((w - [2.0, 0.3]) ** 2).sum() + l1_penalty(w, c=0.5))
    >>> w
    Tensor([1.5, 0. ], requires_grad=True)

    `accelerated`: FISTA (Beck & Teboulle 2009), for losses without noise. The closure then sees an extrapolated point, between
    the steps the parameters are at the proximal point, zeros and all. `restart`: drop the momentum when it points uphill
    (O'Donoghue & Candes 2015). lr at most 1 / L, L the largest curvature of the smooth part.
    """

    counters = ("steps", "t", "momentum")

    def __init__(self, parameters, lr=1e-3, accelerated=False, restart=False):
        super().__init__(parameters, lr=lr)
        if restart and not accelerated:
            raise ValueError("ProximalSGD: restart is for accelerated=True.")
        self.accelerated, self.restart, self.t, self.momentum = accelerated, restart, 1.0, 0.0

    def step(self, closure=None):
        """One step. `closure()` returns the recorded loss, which is returned; backward must not have been called."""
        if not callable(closure):
            raise TypeError(
                "ProximalSGD.step takes a function that returns the recorded loss, without backward: step(lambda: loss_of(model))."
            )
        rates = [(g, self.rate(g)) for g in self.param_groups]
        trained = [(self.state[w], lr) for g, lr in rates for w in g["params"] if w.requires_grad]
        before = [
            t.parameter.data.copy() if self.accelerated else t.parameter.data for t, _ in trained
        ]
        try:
            if self.momentum:
                for (t, _), x in zip(trained, before):
                    t.parameter.data += self.momentum * (x - t.buffers.get("before", x))
            loss = closure()
            _check_loss(loss, "ProximalSGD.step")
            _refuse_gradients([t.parameter for t, _ in trained])
            gradients, parts = _smooth_gradients(
                loss, [t.parameter for t, _ in trained], "ProximalSGD.step"
            )
        except BaseException:
            for (t, _), x in zip(trained, before):
                t.parameter.data[...] = x
            raise
        uphill = 0.0
        for (t, lr), x, gradient, part in zip(trained, before, gradients, parts):
            w = t.parameter.data
            new = (
                x
                if gradient is None and not part
                else prox(w - lr * (0 if gradient is None else gradient), lr, part)
            )
            if self.accelerated and lr:
                uphill += float(np.sum((w - new) * (new - x))) / lr
                t.buffers["before"] = x
            w[...] = new
            mark_changed(t.parameter)
        if self.accelerated:
            last, self.t = self.t, (1 + math.sqrt(1 + 4 * self.t**2)) / 2
            self.momentum = (last - 1) / self.t
            if self.restart and uphill > 0:
                self.t, self.momentum = 1.0, 0.0
        self.steps += 1
        return loss


def kkt_residual(loss, parameters=None):
    """How far a recorded loss is from its optimality conditions: the largest entry of |w - prox(w - gradient of the smooth part)| at step 1.

    0 if and only if `parameters` (default: all that the loss depends on) are optimal, zeros included, given a convex loss. For the
    lasso: gradient = -c sign(w) where w is not 0, |gradient| <= c where it is. Nothing is changed; use it before backward.
    """
    _check_loss(loss, "kkt_residual")
    if parameters is None:
        parameters = [n for n in nodes(loss) if n.is_leaf and n.requires_grad]
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients, parts = _smooth_gradients(loss, parameters, "kkt_residual", retain_graph=True)
    moves = [
        p.data - prox(p.data - (0 if g is None else g), 1.0, part)
        for p, g, part in zip(parameters, gradients, parts)
    ]
    return float(np.max([np.max(np.abs(move), initial=0.0) for move in moves], initial=0.0))


def _smooth_gradients(loss, parameters, what, retain_graph=False):
    """For each parameter the gradient (an array or None) of the loss without its nonsmooth penalties, and the parts ({kind: c}) of those."""
    taken, smooth = [], []
    for summand in summands(loss):
        if summand.node is not None and summand.node.requires_grad:
            (taken if summand.node.op.name in NONSMOOTH else smooth).append(summand)
    _refuse(taken, smooth, what)
    parts = {id(p): {} for p in parameters}
    for summand, leaf, coefficients in penalised(taken):
        own = parts.get(id(leaf), {})  # of a parameter that is not asked for: nothing comes of it
        for kind, c in coefficients.items():
            own[kind] = own.get(kind, 0.0) + summand.factor * c
        if len(own.keys() - {"l1", "l2"}) > 1:
            raise ValueError(
                f"{what}: groups along different axes of a parameter of shape {leaf.shape} overlap. Their proximal operator has no closed form."
            )
    gradients = [None] * len(parameters)
    if smooth:
        factors = [np.full(s.node.shape, s.factor) for s in smooth]
        gradients = grad(
            [s.node for s in smooth],
            parameters,
            factors,
            retain_graph=retain_graph,
            allow_unused=True,
        )
    if all(g is None and not parts[id(p)] for p, g in zip(parameters, gradients)):
        raise RuntimeError(f"{what}: the loss does not depend on any of the parameters.")
    return [g if g is None else g.data for g in gradients], [parts[id(p)] for p in parameters]


def _check_loss(loss, what):
    if not isinstance(loss, Tensor) or not loss.requires_grad or loss.size != 1:
        raise TypeError(
            f"{what} needs the recorded loss, a Tensor of one entry that depends on the parameters; got {loss!r}."
        )


def _refuse(taken, smooth, what):
    """Refuses penalties that no proximal step stands for, and a graph that was freed."""
    for summand in taken:
        program(what, summand.node)
        if summand.factor < 0:
            raise ValueError(
                f"{what}: the loss has {name_of(summand)}. A penalty that is subtracted has no proximal step."
            )
        if (
            result := next(
                (w for w in summand.node.args if isinstance(w, Tensor) and not w.is_leaf), None
            )
        ) is not None:
            raise ValueError(
                f"{what}: {name_of(summand)} is on the result of {result.op.name}, and a proximal step needs a parameter. "
                "Penalise the parameter itself; for activations write the penalty out, c * np.sum(np.abs(h))."
            )
    inside = program(what, *(s.node for s in smooth))
    if (
        hidden := next((n for n in inside if n.op is not None and n.op.name in NONSMOOTH), None)
    ) is not None:
        raise ValueError(
            f"{what}: {hidden.op.name} stands inside another term of the loss. A proximal step needs it as a term of its own: add it."
        )


def _refuse_gradients(parameters):
    for p in parameters:
        if p.grad is not None:
            raise RuntimeError(
                f"ProximalSGD.step: a parameter of shape {p.shape} has a .grad, so backward() was called, and put the subgradients of the penalties "
                "there. A penalty acts once, here by its proximal operator: leave out backward(), and zero_grad() what is left from before."
            )


# --------------------------------------------------------------------------- constraints and schedules


def clip_grad_norm_(parameters, max_norm):
    """Scales the gradients, before a step, so that their norm, all together, is at most `max_norm`; returns what it was (Pascanu et al. 2013)."""
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be > 0, got {max_norm}.")
    trained = [
        w
        for w in ([parameters] if isinstance(parameters, Tensor) else parameters)
        if w.grad is not None
    ]
    norm = math.hypot(
        *(float(np.linalg.norm(w.grad.data.astype(np.float64, copy=False))) for w in trained)
    )
    if not norm <= max_norm:
        for w in trained:
            w.grad = constant(w.grad.data * (max_norm / norm))
    return norm


def max_norm(weights, limit):
    """Projects, in place, each unit's incoming weights (a row of a Linear's weight) onto the ball of radius `limit`.

    Call it after each step (Srebro & Shraibman 2005; Srivastava et al. 2014, section 5.1).
    """
    if not limit > 0:
        raise ValueError(f"max_norm: the limit must be > 0, got {limit}.")
    for w in [weights] if isinstance(weights, Tensor) else weights:
        rows = w.data.reshape(len(w.data), -1)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        if (long := norms > limit).any():
            w.data[long] *= (limit / norms[long]).reshape(-1, *[1] * (w.ndim - 1))
            mark_changed(w)


def exponential(lr, factor):
    """The schedule lr * factor^step."""
    return lambda step: lr * factor**step


def step_decay(lr, every, factor=0.1):
    """The schedule lr * factor^(step // every)."""
    return lambda step: lr * factor ** (step // every)


def cosine(lr, steps, warmup=0, final=0.0):
    """Linear warm-up, then half a cosine from lr to `final` at `steps` (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    def schedule(step):
        if step < warmup:
            return lr * (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return final + (lr - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return schedule

"""Optimizers with PyTorch's arguments and update rules, a proximal one, learning-rate schedules, and bounds on norms.

Every update is one pass over pieces that fit the cache, in place.
"""

import math
import numbers

import numpy as np

from ..changes import mark_changed
from ..engine import Tensor
from ..ops.penalties import blocks
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

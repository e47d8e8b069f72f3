"""The base of all optimizers: groups of parameters with settings, checks, and a state to save.

A new optimizer is one class, a subclass of Optimizer with a method `update`:

    class Momentum(Optimizer):
        def __init__(self, parameters, lr=0.1, momentum=0.9):
            super().__init__(parameters, lr=lr, momentum=momentum)

        def update(self, trained, lr, settings):
            for w, g, v in trained.pieces("velocity"):
                v *= settings["momentum"]
                v += g
                w -= lr * v
"""

import math
import numbers
import warnings
from copy import copy

import numpy as np

from .. import errors
from ..array import FOREIGN, as_list
from ..changes import mark_changed, tick
from ..engine import Tensor
from ..ops.penalties import blocks
from ..state import require_same
from ..types import Params


class Optimizer:
    """Holds parameters and their settings; `step` updates the parameters that have a gradient.

    parameters  Tensors that require a gradient, such as model.parameters(), or groups as in
                PyTorch: [{"params": [...], "lr": 0.1}, ...], where each group may have its own
                settings
    settings    the settings of this kind of optimizer with their defaults. `lr` is a number >= 0 or
                a schedule: a function of the step number 0, 1, 2, ... All other settings are
                numbers >= 0, unless the method `valid` allows other values

    Raises TypeError for parameters that are not Tensors and for unknown settings; ValueError for
    settings out of range, for Tensors that cannot be trained (results and constants), for a
    parameter that is passed twice, and for no parameters.
    """

    counters = ("steps",)  # the attributes that a step changes: load_state_dict restores them

    def __init__(self, parameters: Params, **settings):
        self.steps, self.made = 0, tick()
        self.defaults = settings
        self.param_groups = []
        self.state = {}  # parameter -> Trained
        given = as_list(parameters)
        are_groups = all(isinstance(group, dict) for group in given)
        for group in given if are_groups else [{"params": given}]:
            self.add_param_group(group)
        if not self.state:
            raise ValueError(f"{type(self).__name__} got no parameters.")

    def add_param_group(self, group: dict) -> None:
        """Trains more parameters: {"params": [...], ...}.

        A setting that is not in the group has the constructor's value. Raises the same errors as
        the constructor. The optimizer is then unchanged.
        """
        kind = type(self).__name__
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f"{kind}: a group is a dict with its 'params'; got {group!r:.60}.")
        if unknown := group.keys() - self.defaults.keys() - {"params"}:
            known = ", ".join(self.defaults)
            raise TypeError(f"{kind} has no setting {sorted(unknown)}; it has {known}.")
        group = {**self.defaults, **group, "params": as_list(group["params"])}
        # A np.float64 would turn float32 into float64.
        group = {n: v.item() if isinstance(v, np.generic) else v for n, v in group.items()}
        for name in self.defaults:
            if not (name == "lr" and callable(group[name]) or self.valid(name, group[name])):
                raise ValueError(f"{kind}: {name}={group[name]!r} is out of range.")
        self.check_group(group)
        trained = {p: Trained(p, i, group) for i, p in enumerate(group["params"])}
        if len({**self.state, **trained}) < len(self.state) + len(group["params"]):
            raise ValueError(f"{kind}: a parameter was passed twice.")
        self.state.update(trained)
        self.param_groups.append(group)

    def valid(self, name, value):
        """Whether a setting can have this value. A subclass may allow other values.

        `betas` are two numbers in [0, 1), `nesterov`, `amsgrad` and `maximize` are True or False,
        and all other settings are numbers >= 0.
        """
        if name in ("nesterov", "amsgrad", "maximize"):
            return isinstance(value, bool)
        if name == "betas":
            is_pair = isinstance(value, (tuple, list)) and len(value) == 2
            return is_pair and all(self.valid("beta", b) and b < 1 for b in value)
        # A float is a Real too, but isinstance finds it faster by its own name.
        return isinstance(value, (float, numbers.Real)) and 0 <= value < math.inf

    def check_group(self, group):
        """Raises ValueError for settings that do not go together. A subclass may define it."""

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to None. The next backward then starts from zero."""
        for parameter in self.state:
            parameter.grad = None

    def step(self) -> None:
        """Updates every parameter that has a gradient, in place.

        Raises RuntimeError if no parameter has a gradient; ValueError for a gradient that is no
        Tensor of floats of the parameter's shape, for a parameter whose shape has changed, and for
        an lr that is no number >= 0; TypeError for data that are not an array or cannot be changed.
        No parameter is updated then. The optimizer does not know parameters that were made after
        it: `minigrad.terms(loss, optimizer)` warns of such parameters.
        """
        self.check_gradients()
        for group, lr in [(group, self.rate(group)) for group in self.param_groups]:
            for w in group["params"]:
                if w.grad is not None:
                    trained = self.state[w]
                    trained.updates += 1
                    mark_changed(w)  # first: an interrupt may stop the update halfway
                    self.update(trained, lr, group)
        self.steps += 1

    def check_gradients(self):
        """Raises the errors of `step` that concern the gradients. It changes nothing."""
        step = f"{type(self).__name__}.step"
        ready = [trained for w, trained in self.state.items() if w.grad is not None]
        for trained in ready:
            trained.check(step)
        if not ready:
            raise RuntimeError(
                f"{step}: no parameter has a gradient. Call loss.backward() first. If you did, the "
                "loss does not depend on these parameters: the optimizer belongs to another model, "
                "or it was made before layers were replaced."
            )

    def __repr__(self):
        groups = [{**group, "params": len(group["params"])} for group in self.param_groups]
        texts = [", ".join(f"{name}={value}" for name, value in group.items()) for group in groups]
        return f"{type(self).__name__}({'; '.join(texts)})"

    def update(self, trained, lr, settings):
        """Changes one parameter in place. Each subclass defines this method.

        trained   the parameter, a Trained: loop over `trained.pieces(...)` and write to `w`
        lr        the learning rate at this step, a number
        settings  {name: value} of the group of the parameter
        """
        raise NotImplementedError(f"{type(self).__name__} has no update method.")

    def rate(self, group):
        """The learning rate of a group at this step. Raises ValueError unless it is >= 0."""
        lr, given = group["lr"], "lr is"
        if callable(lr):
            lr, given = lr(self.steps), "the schedule of lr gave"
        if not self.valid("lr", lr):
            what = f"{given} {lr!r} at step {self.steps}, not a number >= 0"
            raise ValueError(f"{type(self).__name__}: {what}.")
        return float(lr)

    def state_dict(self) -> dict:
        """The settings, the counters and each parameter's buffers as plain data. Arrays are copies.

        A file cannot hold a schedule, which is a function. The state has the word "function"
        there, and `load_state_dict` keeps the schedule of the constructor.
        """
        groups = []
        for group in self.param_groups:
            kept = [self.state[w].state_dict() for w in group["params"]]
            groups.append({**_plain(group), "params": kept})
        own = {n: v for n, v in vars(self).items() if n not in ("defaults", "made", "state")}
        return {"optimizer": type(self).__name__, **_plain(own), "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes over the settings, counters and buffers of a state_dict.

        Raises TypeError if it is not a dict. Raises ValueError if it comes from another kind of
        optimizer, from other groups or from parameters of other shapes, for settings that the
        constructor refuses, and for counts that are no whole numbers >= 0. The optimizer is then
        unchanged.
        """
        kind, counters = type(self).__name__, {*self.counters, "updates", "buffers"}
        require_same(kind, self.state_dict(), state_dict, free=self.defaults, counters=counters)
        new = copy(self)  # it takes the state first: add_param_group checks the settings
        new.param_groups, new.state = [], {}
        for group, saved in zip(self.param_groups, state_dict["param_groups"]):
            settings = {n: group[n] if callable(group[n]) else saved[n] for n in self.defaults}
            new.add_param_group({**settings, "params": group["params"]})
            for name, value in group.items():
                new.param_groups[-1].setdefault(name, value)  # what a user has added to the group
            for w, kept in zip(group["params"], saved["params"]):
                new.state[w].load_state_dict(kept)
        loaded = {name: state_dict[name] for name in self.counters}
        vars(self).update(loaded, param_groups=new.param_groups, state=new.state)  # all at once


class Trained:
    """A parameter in an optimizer, with its settings, the number of its updates and its buffers.

    i  the number of the parameter in its group, for errors

    Raises TypeError or ValueError if the parameter cannot be trained.
    """

    def __init__(self, parameter, i, settings):
        what = f"optimizer: parameter {i}"
        if not isinstance(parameter, Tensor):
            kind = type(parameter).__name__
            raise TypeError(f"{what} is a {kind}, not a Tensor. Pass model.parameters().")
        is_frozen = not parameter.requires_grad and type(parameter) is Tensor
        if not parameter.is_leaf or is_frozen:
            needed = "cannot be trained: only leaves that require a gradient can"
            raise ValueError(f"{what} {parameter!r:.60} {needed}.")
        self.parameter, self.settings = parameter, settings
        self.updates, self.buffers, self.checked = 0, {}, None

    def check(self, step):
        """Raises an error unless data, gradient and buffers are arrays of one shape."""
        data, g = self.parameter.data, self.parameter.grad
        if data is not self.checked:
            self.check_data(step)
        if not isinstance(g, Tensor) or g.data.shape != data.shape or g.data.dtype.kind != "f":
            kind = f"{type(g).__name__} of {g.dtype}" if isinstance(g, Tensor) else type(g).__name__
            what = f"the .grad of a parameter of shape {data.shape} is a {kind}"
            needed = "a Tensor of floats of this shape"
            raise ValueError(f"{step}: {what} of shape {np.shape(g)}, not {needed}.")
        if g.flags & FOREIGN:
            raise errors.not_numpy(g.data, step)

    def check_data(self, step):
        """Raises an error unless the data are an array that can be changed and fits the buffers."""
        data, what = self.parameter.data, f"{step}: the .data of a parameter"
        if not isinstance(data, np.ndarray):
            remedy = "not an array. Write the values to w.data[...]"
            raise TypeError(f"{what} is a {type(data).__name__}, {remedy}.")
        if not data.flags.writeable:
            raise TypeError(f"{what} is read-only. Write w.data = w.data.copy() first.")
        for name, buffer in self.buffers.items():
            if buffer.shape not in (data.shape, ()):
                shapes = f"has shape {data.shape}, its buffer {name!r} {buffer.shape}"
                raise ValueError(f"{what} {shapes}. Make a new optimizer.")
        self.checked = data

    def pieces(self, *names):
        """Flat pieces (w, g, buffers...) of the data, the gradient and these buffers. Write to w.

        The pieces are views: (w, g, buffers...) fit into the cache together. A new buffer begins as
        zeros. If this happens after the first update, a RuntimeWarning says so. With maximize=True
        in the settings, g is the negative gradient.
        """
        w, g = self.parameter.data, self.parameter.grad.data
        arrays = [w, -g if self.settings.get("maximize") else g]
        for name in names:
            if name not in self.buffers:
                self.buffers[name] = np.zeros_like(w)
                if self.updates > 1:
                    what = f"the buffer {name!r} of a parameter begins with zeros at its update"
                    why = "The state that was loaded lacks it, or a setting was changed"
                    warnings.warn(f"{what} {self.updates}. {why}.", RuntimeWarning, stacklevel=4)
            arrays.append(self.buffers[name])
        return blocks(arrays)

    def state_dict(self):
        """The shape, the number of updates and copies of the buffers."""
        buffers = {name: buffer.copy() for name, buffer in self.buffers.items()}
        return {"shape": list(self.parameter.shape), "updates": self.updates, "buffers": buffers}

    def load_state_dict(self, state_dict):
        """Takes over the number of updates and the buffers, in the parameter's dtype.

        Raises ValueError unless each buffer has the parameter's shape or is one number.
        """
        self.updates, buffers = state_dict["updates"], state_dict["buffers"]
        w, number = self.parameter.data, np.zeros((), self.parameter.dtype)
        fitting = {name: w if np.ndim(buffer) else number for name, buffer in buffers.items()}
        require_same("an optimizer: the buffers of a parameter", fitting, buffers)
        self.buffers = {name: np.array(buffer, w.dtype) for name, buffer in buffers.items()}


def _plain(settings):
    """Settings as a file can hold them, with "function" for a function."""
    return {n: "function" if callable(v) else v for n, v in settings.items()}

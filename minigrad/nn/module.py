"""Modules: parameters with a forward. Names, arguments and state_dict keys are PyTorch's."""

from contextlib import contextmanager
from functools import cache
from inspect import signature
from itertools import chain
from reprlib import recursive_repr

import numpy as np

from .. import array
from ..array import data_of
from ..changes import mark_changed
from ..engine import Tensor
from ..modes import scope
from ..noise import stream
from ..state import agree


class Parameter(Tensor):
    """A leaf that a Module trains. With requires_grad=False it is frozen."""

    __slots__ = ()

    def __init__(self, data, requires_grad=True, *, dtype=None, name=None):
        super().__init__(data, requires_grad, dtype=dtype, name=name)


def _members(container, prefix=""):
    """(name, value) of what a dict, list or tuple holds, inside lists, tuples and dicts too, as `layers.0`."""
    for key, value in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(value, (list, tuple, dict)):
            yield from _members(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def _is_parameter(value):
    return isinstance(value, Parameter) or (
        isinstance(value, Tensor) and value.is_leaf and value.requires_grad
    )


class Module:
    """A function with parameters: subclass it, put Parameters and Modules in attributes, define `forward`.

    What hangs in lists and dicts counts too. Plain Tensors and arrays in attributes are buffers: saved, not trained.
    """

    training = True
    weight_penalty = bias_penalty = None

    def __call__(self, *args, **kwargs):
        token = scope.set((scope.get(), self))  # `scoped`, written out: a call less is felt here
        try:
            return self.forward(*args, **kwargs)
        finally:
            scope.reset(token)

    def forward(self, *args):
        raise NotImplementedError(f"{type(self).__name__} has no forward method.")

    def __setattr__(self, name, value):
        plain = isinstance(value, np.ndarray) or (
            isinstance(value, Tensor) and value.is_leaf and not _is_parameter(value)
        )
        if plain and isinstance(vars(self).get(name), Parameter):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter, and a {type(value).__name__} in its place would not be trained. "
                f"Assign nn.Parameter(...), or write to {name}.data[...]."
            )
        super().__setattr__(name, value)

    # ---- what is inside

    def named_members(self):
        """(name, value) of what hangs in its attributes, inside lists, tuples and dicts too, as `layers.0`."""
        return _members(vars(self))

    def named_children(self, by_kind=False):
        """(name, module) of each module right inside. `by_kind`: what has only a number is called `Dropout_0`, the first of its kind here."""
        counted = {}  # kind -> {id: number}
        for name, child in self.named_members():
            if isinstance(child, Module):
                place, _, last = name.rpartition(".")
                if by_kind and last.isdigit():
                    kind = _join(place, type(child).__name__)
                    numbers = counted.setdefault(kind, {})
                    name = f"{kind}_{numbers.setdefault(id(child), len(numbers))}"
                yield name, child

    def named_modules(self, prefix="", by_kind=False):
        """(dotted name, module) of this module and all inside it, each once."""
        seen, stack = set(), [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                stack.extend(
                    [(_join(name, child), m) for child, m in module.named_children(by_kind)][::-1]
                )

    def name_of(self, inner, by_kind=False):
        """The dotted name of a module inside this one."""
        nearest = chain(
            self.named_children(by_kind), self.named_modules(by_kind=by_kind)
        )  # a module is mostly called by the one right around it
        return next((name for name, module in nearest if module is inner), "")

    def modules(self):
        return (module for _, module in self.named_modules())

    def named_parameters(self):
        """(dotted name, parameter), each parameter once, however often it is used."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in module.named_members():
                if _is_parameter(value) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(prefix, name), value

    def parameters(self):
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self):
        for parameter in self.parameters():
            parameter.grad = None

    def penalty(self, step=None):
        """The sum of the penalties given to layers: one node a penalty, a shared weight in it once. 0.0 without any.

        A module's `weight_penalty` applies to its parameters with `weight` in their names, its `bias_penalty` likewise. `step` is
        for coefficients that depend on it.
        """
        weights = {}  # penalty -> {id: weight}
        for module in self.modules():
            for kind in ("weight", "bias"):
                if (penalty := getattr(module, f"{kind}_penalty")) is not None:
                    found = {
                        id(value): value
                        for name, value in module.named_members()
                        if kind in name and _is_parameter(value)
                    }
                    weights.setdefault(penalty, {}).update(found)
        nodes = [penalty(*found.values(), step=step) for penalty, found in weights.items()]
        return sum(nodes[1:], start=nodes[0]) if nodes else 0.0

    # ---- modes

    def train(self, mode=True):
        """Training mode for this module and all inside it: dropout drops."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Evaluation mode for this module and all inside it."""
        return self.train(False)

    @contextmanager
    def put_back(self):
        """On leaving, the attributes of this module and of all inside it, modes too, are what they were."""
        before = {module: dict(vars(module)) for module in self.modules()}
        try:
            yield
        finally:
            for module, attributes in before.items():
                vars(module).clear()
                vars(module).update(attributes)

    # ---- saving

    def _state(self):
        """{key: value} of parameters and buffers, under PyTorch's keys."""
        found, stack = {}, [("", self, ())]
        while stack:  # not named_modules: a shared module has a key for each place it stands in
            prefix, module, around = stack.pop()
            for name, value in module.named_members():
                if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and value.is_leaf):
                    found[_join(prefix, name)] = value
            around = (*around, id(module))  # a module that refers to one around it ends here
            stack.extend(
                [
                    (_join(prefix, name), m, around)
                    for name, m in module.named_children()
                    if id(m) not in around
                ][::-1]
            )
        return found

    def state_dict(self):
        """{key: array} of all parameters and buffers; the arrays are copies."""
        return {
            key: np.array(value.data if isinstance(value, Tensor) else value)
            for key, value in self._state().items()
        }

    def load_state_dict(self, state_dict, strict=True):
        """Takes over the values. Misshapen and, unless strict=False, missing or unexpected entries: an error, and nothing changes."""
        agree(type(self).__name__, {}, state_dict)
        own = self._state()
        new = {k: np.asarray(v.data if isinstance(v, Tensor) else v) for k, v in state_dict.items()}
        both = [k for k in own if k in new]
        wrong = [
            f"{k}: shape {new[k].shape}, needed {own[k].shape}"
            for k in both
            if new[k].shape != own[k].shape
        ]
        wrong += [
            f"{k}: dtype {new[k].dtype}, needed {own[k].dtype}"
            for k in both
            if not np.can_cast(new[k].dtype, own[k].dtype, "same_kind")
        ]
        missing, unexpected = [k for k in own if k not in new], [k for k in new if k not in own]
        problems = [f"misshapen: {'; '.join(wrong)}"] if wrong else []
        if strict:
            problems += [f"missing: {', '.join(missing)}"] if missing else []
            problems += [f"unexpected: {', '.join(unexpected)}"] if unexpected else []
        if problems:
            raise ValueError(
                f"load_state_dict into {type(self).__name__}: nothing was changed. "
                + ". ".join(problems)
                + "."
            )
        for key in both:
            if isinstance(own[key], Tensor) and not np.array_equal(own[key].data, new[key]):
                mark_changed(own[key])
            data_of(own[key])[...] = new[key]

    # ---- text

    def extra_repr(self):
        """What stands in the brackets of the repr."""
        return ""

    @recursive_repr("(...)")
    def __repr__(self):
        children = [
            f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()
        ]
        extra = self.extra_repr()
        if not children:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}(\n  " + "\n  ".join([extra] * bool(extra) + children) + "\n)"


class Layer(Module):
    """What the layers of this package have in common: their text is the call that made them, and they take penalties."""

    def extra_repr(self):
        """The arguments of the constructor, then of those above it, that are attributes and not as usual; a dropout's p always."""
        own, shown = vars(self) | {"penalty": self.weight_penalty}, []
        for name, usual in _arguments(type(self)).items():
            value = own.get(name)
            if isinstance(usual, bool):
                value = (
                    bool(value) if np.isscalar(value) else value is not None
                )  # a bias is a Parameter or None
            if (
                name in own
                and not isinstance(value, (Module, Tensor, np.ndarray))
                and (name == "p" or value != usual)
            ):
                shown.append(f"{name}={value}")
        return ", ".join(shown)

    def _penalise(self, penalty, bias_penalty, weight=True, bias=True):
        """Takes the penalties of the weights and the biases; one of what there is not is refused."""
        for name, given, what, there in (
            ("penalty", penalty, "weight", weight),
            ("bias_penalty", bias_penalty, "bias", bias),
        ):
            if given is not None and not there:
                raise ValueError(f"{type(self).__name__}: {name}={given}, but there is no {what}.")
            if given is not None and (not callable(given) or isinstance(given, type)):
                raise TypeError(
                    f"{type(self).__name__}: {name} must be e.g. L2(1e-3), not {given}."
                )
        self.weight_penalty, self.bias_penalty = penalty, bias_penalty


@cache
def _arguments(kind):
    """{name: default} of the arguments of a class's constructor, then of those above it."""
    arguments = {}
    for above in kind.__mro__:
        for parameter in signature(above.__init__).parameters.values():
            arguments.setdefault(parameter.name, parameter.default)
    return arguments


def drawn(init, rng, shape, fans, dtype):
    """A Parameter as the initialiser makes it; without `rng` from minigrad's own stream, without `dtype` in the default one."""
    values = init(stream("init") if rng is None else rng, shape, *fans)
    return Parameter(values, dtype=dtype or array.default_dtype)


def check_sizes(module, **sizes):
    """Refuses sizes that are no whole numbers of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(
                f"{type(module).__name__}: {name} must be a whole number >= 1, got {size!r}."
            )


def _join(prefix, name):
    return f"{prefix}.{name}" if prefix else name


class Sequential(Module):
    """Modules one after the other: Sequential(a, b) with PyTorch's keys 0, 1, or Sequential(first=a, second=b)."""

    _order = ()  # the names, from first to last

    def __init__(self, *modules, **named):
        for name, module in [*((str(i), m) for i, m in enumerate(modules)), *named.items()]:
            if not callable(module) or isinstance(module, type):
                what = (
                    f"the class {module.__name__}: make one"
                    if isinstance(module, type)
                    else type(module).__name__
                )
                raise TypeError(f"Sequential: {name} must be a module or a function, not {what}.")
            if hasattr(self, name):
                raise ValueError(
                    f"Sequential: {name} is what a Sequential has itself. Choose another name for the {type(module).__name__}."
                )
            setattr(self, name, module)
        self._order = (*map(str, range(len(modules))), *named)

    def forward(self, x):
        for name in self._order:
            x = vars(self)[name](x)
        return x

    def __len__(self):
        return len(self._order)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return Sequential(**{name: vars(self)[name] for name in self._order[i]})
        return vars(self)[self._order[i]]

    def __iter__(self):
        return (vars(self)[name] for name in self._order)

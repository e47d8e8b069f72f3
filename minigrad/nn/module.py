"""Modules: parameters with a forward. Names, arguments and state_dict keys are PyTorch's."""

from functools import cache
from inspect import signature
from itertools import chain
from reprlib import recursive_repr

import numpy as np

from .. import array
from ..array import data_of
from ..changes import mark_changed
from ..engine import Tensor
from ..modes import Block, scope
from ..noise import stream
from ..state import require_same
from .initialisers import fan_in_uniform

__all__ = ["Layer", "Module", "Parameter", "Sequential"]

_get_scope, _set_scope = scope.get, scope.set


class Parameter(Tensor):
    """A leaf that a Module trains. With requires_grad=False it is frozen.

    data  numbers of a float dtype, as Tensor takes them; `dtype` and `name` as for a Tensor

    Raises TypeError for data of another dtype.
    """

    __slots__ = ()

    def __init__(self, data, requires_grad=True, *, dtype=None, name=None):
        super().__init__(data, requires_grad, dtype=dtype, name=name)


def _members(container, prefix=""):
    """The pairs (name, value) in a dict, list or tuple, nested ones too, such as `layers.0`."""
    for key, value in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(value, (list, tuple, dict)):
            yield from _members(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def _is_saved(value):
    return isinstance(value, np.ndarray) or (isinstance(value, Tensor) and value.is_leaf)


def _is_parameter(value):
    is_trained = _is_saved(value) and getattr(value, "requires_grad", False)
    return is_trained or isinstance(value, Parameter)


def _join(prefix, name):
    return f"{prefix}.{name}" if prefix else name


class Module:
    """A function with parameters.

    Subclass it, put Parameters and Modules in attributes, and define `forward`. Attributes may also
    be lists and dicts of Parameters and Modules. Plain Tensors and arrays in attributes are
    buffers: saved, but not trained.

    A module's `weight_penalty`, such as L2(1e-3), acts on its own parameters with `weight` in their
    names. Its `bias_penalty` acts on its own parameters with `bias` in their names. `penalised`
    holds these two words; a subclass whose parameters have other names sets other words.

    Raises TypeError if plain data are assigned to the name of a Parameter.
    """

    training = True
    weight_penalty = bias_penalty = None
    penalised = {"weight_penalty": "weight", "bias_penalty": "bias"}  # {penalty: part of the names}

    def __call__(self, *args, **kwargs):
        outer = _get_scope()
        try:
            _set_scope((outer, self))  # as `scoped` does, but without its call: faster
            return self.forward(*args, **kwargs)
        finally:
            _set_scope(outer)

    def forward(self, *args):
        """The result of the module. Each subclass defines this method."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method.")

    def __setattr__(self, name, value):
        untrained = _is_saved(value) and not _is_parameter(value)
        if untrained and isinstance(vars(self).get(name), Parameter):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter; a {type(value).__name__} would not "
                f"be trained. Assign nn.Parameter(...), or write to {name}.data[...]."
            )
        super().__setattr__(name, value)

    # ---- parameters and modules inside

    def named_members(self):
        """The pairs (name, value) of attributes, and of entries in lists and dicts: `layers.0`."""
        return _members(vars(self))

    def named_children(self, by_kind=False):
        """The pairs (name, module) of the modules directly inside this one.

        by_kind  True: a module that has only a number, such as `layers.3`, is named by its kind
                 and its number among the modules of its kind, `layers.Dropout_0`
        """
        numbers = {}  # kind -> {id: number}
        for name, child in self.named_members():
            if isinstance(child, Module):
                holder, _, last = name.rpartition(".")
                if by_kind and last.isdigit():
                    kind = _join(holder, type(child).__name__)
                    alike = numbers.setdefault(kind, {})
                    name = f"{kind}_{alike.setdefault(id(child), len(alike))}"
                yield name, child

    def named_modules(self, prefix="", by_kind=False, seen=None):
        """The pairs (dotted name, module) of this module and all modules inside it, each once.

        It leaves out modules with an id in `seen`. See `named_children` for `by_kind`.
        """
        seen = set() if seen is None else seen
        if id(self) not in seen:
            seen.add(id(self))
            yield prefix, self
            for name, child in self.named_children(by_kind):
                yield from child.named_modules(_join(prefix, name), by_kind, seen)

    def name_of(self, inner, by_kind=False):
        """The dotted name of a module inside this one, or "". `by_kind`: see `named_children`."""
        # Children first: most modules are called by the module that holds them.
        named = chain(self.named_children(by_kind), self.named_modules(by_kind=by_kind))
        return next((name for name, module in named if module is inner), "")

    def modules(self):
        """This module and all modules inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self):
        """The pairs (dotted name, parameter), each parameter once, also if modules share it."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in module.named_members():
                if _is_parameter(value) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(prefix, name), value

    def parameters(self):
        """The parameters of this module and of all modules inside it, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self):
        """Sets the gradient of every parameter to None. The next backward then starts from zero."""
        for parameter in self.parameters():
            parameter.grad = None

    def penalty(self, step=None):
        """The sum of the penalties of all layers, 0.0 if there are none. Add it to the loss.

        Each penalty is one node. It counts a weight once, also if modules share it. `step` is the
        argument of coefficients that are functions of the step. Raises TypeError if a coefficient
        needs a step and there is none.
        """
        weights = {}  # penalty -> {id: weight}
        for module in self.modules():
            for kind, part in module.penalised.items():
                if (penalty := getattr(module, kind)) is not None:
                    own = weights.setdefault(penalty, {})
                    for name, value in module.named_members():
                        if part in name and _is_parameter(value):
                            own[id(value)] = value
        nodes = [penalty(*own.values(), step=step) for penalty, own in weights.items()]
        return sum(nodes[1:], start=nodes[0]) if nodes else 0.0

    # ---- modes

    def train(self, mode=True):
        """Puts this module and all inside it in training mode: dropout drops. Returns it."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Puts this module and all inside it in evaluation mode. Returns it."""
        return self.train(False)

    def put_back(self):
        """A block that ends with the attributes of all modules inside as they were before it."""
        return AttributesBlock(self)

    # ---- saving

    def _saved(self, prefix="", around=()):
        """The pairs (key, Tensor or array) of all parameters and buffers, once for each holder."""
        for name, value in self.named_members():
            if _is_saved(value):
                yield _join(prefix, name), value
        for name, child in self.named_children():
            if id(child) not in (*around, id(self)):  # a module that holds this one comes no more
                yield from child._saved(_join(prefix, name), (*around, id(self)))

    def state_dict(self):
        """{key: array} of all parameters and buffers, under PyTorch's keys. Arrays are copies."""
        return {key: np.array(data_of(value)) for key, value in self._saved()}

    def load_state_dict(self, state_dict, strict=True):
        """Copies the values of a state_dict into the parameters and buffers.

        strict  False: keys that only one of the two has are ignored

        Raises TypeError if state_dict is not a dict, ValueError for other keys, other shapes, and
        dtypes that cannot be cast. Nothing changes then.
        """
        own = dict(self._saved())
        arrays = {key: data_of(value) for key, value in own.items()}
        require_same(type(self).__name__, arrays, state_dict, strict=strict)
        for key in own.keys() & state_dict.keys():
            new = np.asarray(data_of(state_dict[key]))
            if isinstance(own[key], Tensor) and not np.array_equal(arrays[key], new):
                mark_changed(own[key])
            arrays[key][...] = new

    # ---- text

    def extra_repr(self):
        """The text in the brackets of the repr."""
        return ""

    @recursive_repr("(...)")
    def __repr__(self):
        lines = [f"({name}): {child!r}" for name, child in self.named_children()]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        inside = "\n".join([extra] * bool(extra) + lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {inside}\n)"


class AttributesBlock(Block):
    """A block that ends with the attributes of a module, and of all inside, as they were before."""

    def __init__(self, module):
        self.module, self.before = module, {}

    def enter(self, frame):
        self.before = {module: dict(vars(module)) for module in self.module.modules()}

    def leave(self):
        for module, attributes in self.before.items():
            vars(module).update(attributes)  # first: at no moment is a module without its own
            for name in vars(module).keys() - attributes.keys():
                del vars(module)[name]


# The settings that every layer with parameters takes as keywords, with their defaults: see Layer.
SETTINGS = dict.fromkeys(("penalty", "bias_penalty", "rng", "dtype"))
SETTINGS |= {"init": fan_in_uniform, "bias_init": fan_in_uniform}


class Layer(Module):
    """The base of this package's layers. Its repr is the call that makes the layer.

    A layer with parameters takes these settings, all keywords:

    penalty       a penalty of the weights, such as L2(1e-3); add model.penalty() to the loss
    bias_penalty  a penalty of the biases
    init          the initialiser of the weights: a function of `nn`, or your own function
    bias_init     the initialiser of the biases
    rng           the np.random.Generator of the initialisers; by default minigrad's own
    dtype         the dtype of the parameters; by default the default dtype

    A new layer is one class: its __init__(..., **settings) calls `add_parameters`, its `forward`
    uses the parameters. Raises TypeError for unknown settings and for a penalty that is not a
    function, ValueError for a penalty of a weight or bias that the layer does not have.
    """

    def add_parameters(self, fans, weights, biases, settings):
        """Makes the weights and biases, {name: shape}. A shape of None gives an attribute None.

        fans      (fan_in, fan_out) for the initialisers
        settings  {name: value}, as the constructor got them. A layer with its own defaults passes
                  them first: {"init": ones} | settings
        """
        kind = type(self).__name__
        if unknown := settings.keys() - SETTINGS.keys():
            raise TypeError(f"{kind} has no setting {sorted(unknown)}; see nn.Layer for all.")
        settings = SETTINGS | settings
        dtype = settings["dtype"] or array.default_dtype
        rng = stream("init") if settings["rng"] is None else settings["rng"]
        for what, prefix, shapes in ("weight", "", weights), ("bias", "bias_", biases):
            penalty, init = settings[f"{prefix}penalty"], settings[f"{prefix}init"]
            if penalty is not None and all(shape is None for shape in shapes.values()):
                raise ValueError(f"{kind}: {prefix}penalty={penalty}, but there is no {what}.")
            if penalty is not None and (not callable(penalty) or isinstance(penalty, type)):
                raise TypeError(f"{kind}: {prefix}penalty must be e.g. L2(1e-3), not {penalty}.")
            setattr(self, f"{what}_penalty", penalty)
            for name, shape in shapes.items():
                value = None if shape is None else Parameter(init(rng, shape, *fans), dtype=dtype)
                setattr(self, name, value)

    def hold_sizes(self, **sizes):
        """Makes attributes of the sizes. Raises ValueError unless they are whole numbers >= 1."""
        for name, size in sizes.items():
            if not isinstance(size, (int, np.integer)) or size < 1:
                needed = f"{name} must be a whole number >= 1"
                raise ValueError(f"{type(self).__name__}: {needed}, got {size!r}.")
            setattr(self, name, size)

    def extra_repr(self):
        """The constructor's arguments that differ from their defaults, and always the rate p."""
        own = vars(self) | {"penalty": self.weight_penalty, "bias_penalty": self.bias_penalty}
        shown = []
        for name, usual in _arguments(type(self)).items():
            value = own.get(name)
            if isinstance(usual, bool):  # the argument `bias` is a bool, the attribute a Parameter
                value = bool(value) if np.isscalar(value) else value is not None
            is_data = isinstance(value, (Module, Tensor, np.ndarray))
            if name in own and not is_data and (name == "p" or value != usual):
                shown.append(f"{name}={value}")
        return ", ".join(shown)


@cache
def _arguments(kind):
    """{name: default} of the arguments of a class's constructor, then of the classes above it."""
    arguments = {}
    for above in kind.__mro__:
        for parameter in signature(above.__init__).parameters.values():
            arguments.setdefault(parameter.name, parameter.default)
    return arguments | {"penalty": None, "bias_penalty": None}


class Sequential(Module):
    """Modules one after the other: Sequential(a, b), or with names Sequential(first=a, second=b).

    Without names the keys are PyTorch's, 0, 1, ... A module may be any function of one argument.
    A slice of a Sequential is a Sequential too. Raises TypeError for an argument that cannot be
    called, ValueError for a name that every Sequential has, such as `forward`.
    """

    _order = ()  # the names, from first to last

    def __init__(self, *modules, **named):
        names = [*map(str, range(len(modules))), *named]
        for name, module in zip(names, [*modules, *named.values()]):
            if isinstance(module, type) or not callable(module):
                kind = type(module).__name__
                if isinstance(module, type):
                    kind = f"the class {module.__name__}: make an instance"
                raise TypeError(f"Sequential: {name} must be a module or a function, not {kind}.")
            if hasattr(self, name):
                raise ValueError(f"Sequential: every Sequential has a {name!r}. Rename the module.")
            setattr(self, name, module)
        self._order = tuple(names)

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

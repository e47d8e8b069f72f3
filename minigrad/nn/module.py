"""Modules: functions with parameters. Names, arguments and state_dict keys are PyTorch's."""

import math
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import partial
from inspect import Signature, signature
from itertools import chain
from reprlib import recursive_repr
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from .. import array, later
from ..array import data_of, entries_of
from ..changes import mark_changed
from ..engine import Tensor, constant
from ..errors import WRONG_CALL, named
from ..functional.checks import require_whole
from ..modes import is_running, scope
from ..noise import stream
from ..state import require_same
from ..types import DType, Operand, P
from .initialisers import fan_in_uniform
from .penalties import require_penalty

__all__ = ["Layer", "Module", "Parameter", "Sequential"]
__all__ += ["ModuleDict", "ModuleList", "ParameterList"]

_get_scope, _set_scope = scope.get, scope.set

if TYPE_CHECKING:
    from typing_extensions import Self  # noqa: UP035 (Python 3.10 has none)

    R = TypeVar("R", covariant=True)

    class Forwards(Protocol[P, R]):
        """A module, which is called as its `forward` is."""

        def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Parameter(Tensor):
    """A leaf that a Module trains. With requires_grad=False it is frozen.

    data  numbers of a float dtype, as Tensor takes them; `dtype` and `name` as for a Tensor

    A copy, by copy.copy, copy.deepcopy or pickle, has the same values, name and `.grad`.

    Raises TypeError for data of another dtype, unless requires_grad=False.
    """

    __slots__ = ()

    def __init__(self, data: Operand, requires_grad=True, *, dtype: DType | None = None, name=None):
        super().__init__(data, requires_grad, dtype=dtype, name=name)


def _members(container, prefix=""):
    """The pairs (name, value) in a dict, list or tuple, also if nested, such as `layers.0`."""
    for key, value in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(value, (list, tuple, dict)) and not _is_own_kind(value):
            yield from _members(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def _is_own_kind(value):
    """Whether a list or dict is a module with a forward or with attributes of its own."""
    if type(value) in (ModuleList, ModuleDict):
        return not vars(value).keys() <= {"_buffers", "training"}
    return isinstance(value, Module)


def _is_data(value):
    """Whether a value is an array or a Tensor of plain data: what a buffer can be."""
    is_leaf = isinstance(value, Tensor) and value.is_leaf and not value.requires_grad
    return isinstance(value, np.ndarray) or (is_leaf and not isinstance(value, Parameter))


def _is_trained(value):
    """Whether a value is a plain Tensor that backward gives a gradient."""
    return type(value) is Tensor and value.is_leaf and value.requires_grad


def _join(prefix, name):
    return f"{prefix}.{name}" if prefix else name


class ModuleClass(ABCMeta):
    """The class of Module and its subclasses: tells a module when its __init__ has ended."""

    __instancecheck__ = type.__instancecheck__  # faster than ABCMeta's check

    @property
    def __signature__(cls):  # else inspect and help show *args, **kwargs
        makes = cls.__init__ is not object.__init__
        return signature(cls.__init__.__get__(cls)) if makes else Signature()

    def __call__(cls, *args, **kwargs):
        module = super().__call__(*args, **kwargs)
        module._take_over()
        return module


class Module(metaclass=ModuleClass):
    """A function with parameters.

    Subclass it, put Parameters and Modules in attributes, and define `forward`. Attributes may also
    be lists and dicts of Parameters and Modules.

    Arrays and plain Tensors that are attributes at the end of `__init__` are buffers: saved, but
    not trained. The module has copies of them. A Tensor that requires a gradient becomes a
    Parameter when you assign it to an attribute. In lists and dicts it becomes a Parameter at the
    end of `__init__`. What `forward` keeps, such as its input, is neither saved nor trained. Arrays
    in attributes that are new after `__init__` are not saved.

    A module's `weight_penalty`, such as L2(1e-3), acts on its own parameters with `weight` in their
    names. Its `bias_penalty` acts on its own parameters with `bias` in their names. `nn.penalty`
    acts on other names.

    Raises TypeError if anything but a Parameter or None replaces a Parameter, and for a penalty
    that is no Penalty; ValueError for an attribute with the name of a method of every Module.
    """

    training = True
    _buffers = None  # the names of the buffers; None until __init__ has ended
    _unsaved = _hooks = ()  # the names of buffers that are not saved; the functions after forward
    _order = ()  # of a Sequential: the names of its parts, from first to last
    weight_penalty = bias_penalty = None

    def __call__(self: "Forwards[P, R]", *args: "P.args", **kwargs: "P.kwargs") -> "R":
        outer = _get_scope()
        try:
            _set_scope((outer, self, {}))  # as `scoped` does, but faster
            out = self.forward(*args, **kwargs)
            for hook in self._hooks:
                changed = hook(self, args, out)
                out = out if changed is None else changed
            return out
        finally:
            _set_scope(outer)

    if not TYPE_CHECKING:  # editors should know which attributes exist

        def __getattr__(self, name):
            return later.attribute(type(self).__name__, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the module. Each subclass defines this method."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method.")

    def __setattr__(self, name, value):
        kind, old = type(self).__name__, vars(self).get(name)
        if name in METHODS and not (name == "forward" and callable(value)):
            remedy = "set weight_penalty" if name == "penalty" else "choose another name"
            raise ValueError(f"{kind}.{name} is a method of every Module: {remedy}.")
        if isinstance(old, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{kind}.{name} is a Parameter; a {type(value).__name__} would not be trained. "
                f"Assign nn.Parameter(...), write to {name}.data[...], or change {name} in place "
                f"inside `with no_grad():`. To assign the result of a graph, del {name} first."
            )
        if name in ("weight_penalty", "bias_penalty") and value is not None:
            require_penalty(f"{kind}: {name}", value)
        if _is_trained(value) and not is_running(self):
            value.__class__ = Parameter  # the same object, which others may hold
        if name in (self._buffers or ()) and value is not old and _is_data(value):
            value = copy(value)
        super().__setattr__(name, value)

    def _take_over(self):
        """Ends the construction: notes buffers, makes Parameters of trained Tensors in lists."""
        for _, value in self.named_members():
            if _is_trained(value):
                value.__class__ = Parameter
        buffers = {name: value for name, value in vars(self).items() if _is_data(value)}
        vars(self).update(deepcopy(buffers), _buffers=frozenset(buffers))

    # ---- parameters and modules inside

    def named_members(self):
        """The pairs (name, value) of attributes, and of entries in lists and dicts: `layers.0`."""
        return _members(vars(self))

    def own_parameters(self):
        """The pairs (name, parameter) of this module without the modules inside it."""
        return [(n, value) for n, value in self.named_members() if isinstance(value, Parameter)]

    def named_children(self, by_kind=False) -> "Iterator[tuple[str, Module]]":
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

    def named_modules(
        self, prefix="", by_kind=False, seen=(), remove_duplicate=True
    ) -> "Iterator[tuple[str, Module]]":
        """The pairs (dotted name, module) of this module and all modules inside it, each once.

        prefix            comes before each name
        by_kind           see `named_children`
        seen              the ids of modules to leave out
        remove_duplicate  False: a module comes once for each module that holds it
        """
        seen = seen if remove_duplicate and seen else {*seen}
        if id(self) not in seen:
            seen.add(id(self))
            yield prefix, self
            for name, child in self.named_children(by_kind):
                inner = _join(prefix, name)
                yield from child.named_modules(inner, by_kind, seen, remove_duplicate)

    def modules(self) -> "Iterator[Module]":
        """This module and all modules inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The pairs (dotted name, parameter), each parameter once, also if modules share it."""
        names = {}
        for name, value in self._held():
            if isinstance(value, Parameter):
                names.setdefault(value, name)
        return ((name, parameter) for parameter, name in names.items())

    def parameters(self) -> Iterator[Parameter]:
        """The parameters of this module and of all modules inside it, each once, as an iterator."""
        return (parameter for _, parameter in self.named_parameters())

    def children(self) -> "Iterator[Module]":
        """The modules directly inside this one."""
        return (child for _, child in self.named_children())

    def named_buffers(self):
        """The pairs (dotted name, array or Tensor) of the buffers of this module and all inside."""
        return ((name, value) for name, value in self._held() if not isinstance(value, Parameter))

    def buffers(self):
        """The buffers of this module and of all modules inside it."""
        return (value for _, value in self.named_buffers())

    def register_buffer(self, name, tensor, persistent=True):
        """Makes the attribute `name` a buffer: an array or a Tensor that is not trained.

        persistent  False: state_dict leaves the buffer out

        Raises TypeError for anything but an array, a Tensor of plain data, or None.
        """
        if not (tensor is None or _is_data(tensor)):
            raise TypeError(f"register_buffer: {name} is a {type(tensor).__name__}, not an array.")
        if self._buffers is not None:
            self._buffers |= {name}
        self._unsaved = self._unsaved if persistent else (*self._unsaved, name)
        setattr(self, name, tensor)

    def apply(self, function) -> "Self":
        """Calls function(module) for all modules inside, then for this module. Returns self."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def requires_grad_(self, value=True) -> "Self":
        """Sets requires_grad of every parameter: False freezes the module. Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = value
        return self

    def register_forward_hook(self, hook):
        """Calls hook(module, args, output) after each forward.

        If the hook returns a value other than None, this value replaces the output. Returns a
        handle: handle.remove() removes the hook.
        """
        hook = partial(hook)  # two hooks may be one function
        self._hooks = (*self._hooks, hook)

        def remove():
            self._hooks = tuple(h for h in self._hooks if h is not hook)

        return SimpleNamespace(remove=remove)

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to None. The next backward then starts from zero."""
        for parameter in self.parameters():
            parameter.grad = None

    def penalty(self, step: int | None = None) -> Tensor | float:
        """The sum of the penalties of all layers, or 0.0 without penalties. Add it to the loss.

        step  the argument of coefficients that are functions of the step

        Each penalty is one node. It counts a weight once, also if modules share the weight. Raises
        TypeError if a coefficient needs a step and there is none, ValueError if a module has no
        parameter for its penalty.
        """
        weights = {}  # penalty -> {weight: None}: each weight once, in order
        for module in self.modules():
            for penalty, own in module.own_penalties():
                if not own:
                    kind = type(module).__name__
                    raise ValueError(f"{kind}: no parameter for the penalty {penalty}.")
                weights.setdefault(penalty, {}).update(dict.fromkeys(own))
        nodes = [penalty(*own, step=step) for penalty, own in weights.items()]
        return sum(nodes[1:], start=nodes[0]) if nodes else 0.0

    def own_penalties(self):
        """The pairs (penalty of this module, the parameters on which the penalty acts)."""
        for part in "weight", "bias":
            if (penalty := getattr(self, f"{part}_penalty")) is not None:
                yield penalty, [w for name, w in self.own_parameters() if part in name]

    def is_weight(self, name, parameter):
        """Whether `nn.penalty` takes this parameter by default: it takes weights, but no biases."""
        return ("weight" in name or parameter.ndim >= 2) and "bias" not in name

    # ---- modes

    def train(self, mode=True) -> "Self":
        """Puts this module and all inside it in training mode: dropout drops. Returns self.

        mode  False: evaluation mode
        """
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> "Self":
        """Puts this module and all inside it in evaluation mode. Returns self."""
        return self.train(False)

    @contextmanager
    def put_back(self):
        """A block. At its end all modules inside get back the attributes that they had before."""
        before = {module: dict(vars(module)) for module in self.modules()}
        try:
            yield
        finally:
            for module, attributes in before.items():
                module.__dict__ = attributes  # in one step

    # ---- saving

    def _held(self, saved=False):
        """The pairs (key, Tensor or array) of all parameters and buffers, once for each holder."""
        for prefix, module in self.named_modules(remove_duplicate=False):
            for name, value in module.named_members():
                is_buffer = module._buffers is None or name in module._buffers
                is_held = is_buffer and _is_data(value) and not (saved and name in module._unsaved)
                if is_held or isinstance(value, Parameter):
                    yield _join(prefix, name), value

    def state_dict(self) -> dict[str, np.ndarray]:
        """{key: array} of all parameters and buffers, with PyTorch's keys. Arrays are copies."""
        return {key: entries_of(value, key).copy() for key, value in self._held(saved=True)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict=True) -> None:
        """Copies the values of a state_dict into the parameters and buffers.

        strict  False: keys that are missing in the module or in state_dict are ignored

        Raises TypeError if state_dict is not a dict, ValueError for other keys, other shapes, and
        dtypes that cannot be cast. The module is then unchanged.
        """
        arrays = {key: data_of(value) for key, value in self._held(saved=True)}
        require_same(type(self).__name__, arrays, state_dict, strict=strict)
        for key in arrays.keys() & state_dict.keys():
            mark_changed(constant(arrays[key]))  # before the first entry changes
            arrays[key][...] = data_of(state_dict[key])

    # ---- text

    def extra_repr(self) -> str:
        """The text in the brackets of the repr."""
        return ""

    @recursive_repr("(...)")
    def __repr__(self):
        members = self.named_members()
        parts = [(n, part) for n, part in members if n in self._order or isinstance(part, Module)]
        lines = [f"({name}): {getattr(part, '__name__', repr(part))}" for name, part in parts]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        inside = "\n".join([extra] * bool(extra) + lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {inside}\n)"


METHODS = {name for name, value in vars(Module).items() if callable(value)}

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

    A new layer is one class: its __init__(..., **settings) calls `add_parameters`, and its
    `forward` uses the parameters.

    Raises TypeError for unknown settings, a penalty that is no Penalty and an rng that is no
    Generator; ValueError for a penalty of a weight or bias that the layer does not have, and for an
    initialiser that returns another shape.
    """

    def add_parameters(self, fans, weights, biases, settings):
        """Makes the weights and biases, {name: shape}. A shape of None gives an attribute None.

        fans      (fan_in, fan_out) for the initialisers; None: from the shape of each weight, whose
                  first axis counts the units
        settings  {name: value}, as the constructor got them. A layer with its own defaults passes
                  them first: {"init": ones} | settings
        """
        kind = type(self).__name__
        if unknown := settings.keys() - SETTINGS.keys():
            raise TypeError(f"{kind} has no setting {sorted(unknown)}; see nn.Layer for all.")
        settings = SETTINGS | settings
        dtype = settings["dtype"] or array.default_dtype
        rng = stream("init") if settings["rng"] is None else settings["rng"]
        if not isinstance(rng, np.random.Generator):
            remedy = "pass a np.random.Generator, such as np.random.default_rng(0)"
            raise TypeError(f"{kind}: rng is {rng!r}; {remedy}.")
        by_shape = fans is None
        for what, prefix, shapes in ("weight", "", weights), ("bias", "bias_", biases):
            penalty, init = settings[f"{prefix}penalty"], settings[f"{prefix}init"]
            if penalty is not None and all(shape is None for shape in shapes.values()):
                raise ValueError(f"{kind}: {prefix}penalty={penalty}, but there is no {what}.")
            setattr(self, f"{what}_penalty", penalty)
            for name, shape in shapes.items():
                if shape is not None and what == "weight" and by_shape:
                    fans = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
                value = None if shape is None else Parameter(init(rng, shape, *fans), dtype=dtype)
                if shape is not None and value.shape != tuple(shape):
                    wrong = f"{prefix}init gave {name} the shape {value.shape}"
                    raise ValueError(f"{kind}: {wrong}, but it needs {tuple(shape)}.")
                setattr(self, name, value)

    def checked(self, check, *args, **kwargs):
        """Returns check(...). The name of the layer is put before the message of an error."""
        try:
            return check(*args, **kwargs)
        except WRONG_CALL as error:
            raise named(error, type(self).__name__) from None

    def hold_sizes(self, **sizes):
        """Makes attributes of the sizes. Raises ValueError unless they are whole numbers >= 1."""
        for name, size in sizes.items():
            require_whole(f"{type(self).__name__}: {name}", size, 1)
            setattr(self, name, size)

    def extra_repr(self):
        """The constructor's arguments that differ from their defaults. p is always there."""
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


def _arguments(kind):
    """{name: default} of the arguments of a class's constructor, then of the classes above it."""
    arguments = {}
    for above in kind.__mro__:
        for parameter in signature(above.__init__).parameters.values():
            arguments.setdefault(parameter.name, parameter.default)
    return arguments | {"penalty": None, "bias_penalty": None}


class Container(Module):
    """The base of ModuleList and ModuleDict: a list or dict of modules and parameters, `entries`.

    It is a module too, so it has parameters() and state_dict(). An attribute of a module may also
    be a plain list or dict. In all four cases the entries are children of the module that has the
    attribute. A ModuleList or ModuleDict with attributes, or of a subclass, is itself the child.
    """

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    def __init__(self, entries=()):
        super(Module, self).__init__(entries)

    def named_members(self):
        """The pairs (name, value) of attributes, and then the pairs (key, entry)."""
        return chain(_members(vars(self)), _members(self))


class ModuleList(Container, list):
    """A list of modules or parameters that is a module: see Container."""


class ModuleDict(Container, dict):
    """A dict of modules or parameters that is a module: see Container."""


ParameterList = ModuleList


class Sequential(Module):
    """Modules one after the other: Sequential(a, b), or with names Sequential(first=a, second=b).

    Without names the keys are PyTorch's, 0, 1, ... A module may be any function of one argument.
    A slice of a Sequential is a Sequential too. Raises TypeError for a class and for an argument
    that cannot be called, ValueError for a name that is taken, such as `forward`.
    """

    def __init__(self, *modules: Callable[..., Any], **named: Callable[..., Any]):
        for name, module in [*zip(map(str, range(len(modules))), modules), *named.items()]:
            self._add(name, module)

    def _add(self, name, module):
        if name in vars(self) or hasattr(type(self), name):
            raise ValueError(f"Sequential: the name {name!r} is taken. Rename the module.")
        self._put(name, module)
        self._order = (*self._order, name)

    def _put(self, name, module):
        if isinstance(module, type) or not callable(module):
            needed = "must be a module or a function, not a class"
            raise TypeError(f"Sequential: {name} {needed}; got {module!r:.60}.")
        setattr(self, name, module)

    def __delattr__(self, name):
        super().__delattr__(name)
        self._order = tuple(n for n in self._order if n != name)

    def forward(self, x: Any) -> Any:
        """x, through the first module, then the second one, and so on."""
        for name in self._order:
            x = vars(self)[name](x)
        return x

    def append(self, module) -> "Self":
        """Adds a module at the end. Returns the Sequential."""
        return self.insert(len(self), module)

    def insert(self, index, module) -> "Self":
        """Puts a module before the module at `index`. The modules after it get new numbers.

        Returns the Sequential. Raises ValueError if a module after it has a name that is no number.
        """
        parts = [*self]
        parts.insert(index, module)
        if not all(map(str.isdigit, self._order[index:])):
            raise ValueError(f"Sequential.insert: modules after {index} have names: {self._order}.")
        self._add(str(len(self)), module)
        for name, part in zip(self._order, parts):
            setattr(self, name, part)
        return self

    def __setitem__(self, i, module):
        self._put(self._order[i], module)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            return Sequential(**{name: vars(self)[name] for name in self._order[i]})
        return vars(self)[self._order[i]]

    def __iter__(self) -> Iterator[Any]:
        return (vars(self)[name] for name in self._order)

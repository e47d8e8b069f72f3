"""What a function can read beside its arguments: a program is right while this stays the same."""

import builtins
import gc
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import chain
from operator import is_
from types import CodeType, FunctionType, ModuleType

import numpy as np

from ..engine import Tensor
from ..registry import FILE

LARGEST = 1000  # larger containers and arrays count as data, which do not change
EQUAL = {int, float, bool, str, bytes}  # equal values of these types count as the same
FOREIGN = {"minigrad", "numpy", *sys.stdlib_module_names}  # these do not change
HIDDEN = Iterator, ContextVar, bytearray  # their state cannot be read
# Methods that Python calls by itself.
SPECIAL = {name for kind in (int, list, dict) for name in dir(kind) if name.startswith("__")}
SPECIAL |= {"__call__", "__getattr__", "__get__", "__enter__"}
SPECIAL -= {"__init__", "__doc__"}


class Surroundings:
    """All that is reachable from a function, its arguments and modules, the `roots`.

    Attributes of modules, of the user's classes and of their objects change for many reasons. So
    their names are compared, but values only if some code names them. The same holds for global
    variables. All else is compared as a whole.

    inputs  Tensors, whose values may change, but no shapes, dtypes and flags
    moving  arrays that the program itself changes

    Raises TypeError if there is an object whose state cannot be read, such as an iterator.
    """

    def __init__(self, roots, inputs, moving):
        self.inputs, self.names, size = inputs, {*SPECIAL}, 0
        while size < len(self.names):  # until no function adds a name
            size = len(self.names)
            self.wholes, self.arrays = [], []
            self.attributes = {}  # {id: dict of attributes}
            self.variables = {}  # {(id of a dict, name): dict}
            self._search({id(vars(builtins)), *map(id, moving)}, list(roots))
        self.then = self._now()

    def _search(self, known, stack):
        while stack:
            x = stack.pop()
            if id(x) in known or _is_known(x):
                continue
            known.add(id(x))
            if isinstance(x, HIDDEN):
                raise TypeError(f"the function reads an iterator or the like, {x!r:.60}")
            if isinstance(x, np.ndarray) and x.size <= LARGEST:
                self.arrays.append(x)
            if isinstance(x, FunctionType):
                known.add(id(x.__globals__))
            if isinstance(x, FunctionType) and x.__code__.co_filename != FILE:
                # The function that calls an op is of minigrad. It holds the op, which is searched.
                names = _names(x.__code__)
                self.names |= names
                stack += self._named(x.__globals__, names)
                stack += [sys.modules[name] for name in names & sys.modules.keys()]
            if isinstance(x, type):
                stack.append(x.__init__)
            named, whole = _read(x)
            for space in named:
                self.attributes[id(space)] = space
                stack += self._named(space, self.names & space.keys())
            small = [y for y in whole if len(gc.get_referents(y)) <= LARGEST]
            self.wholes += small
            stack += gc.get_referents(*small)

    def _named(self, space, names):
        """Notes variables. Returns their values."""
        self.variables |= {(id(space), name): space for name in names}
        return map(space.get, names)

    def _now(self):
        """(objects, shapes and the like)."""
        values = [space.get(name) for (_, name), space in self.variables.items()]
        attributes = chain.from_iterable(self.attributes.values())
        kinds = [(x.flags, x.data.shape, x.data.dtype) for x in self.inputs]
        entries = [(x.tobytes(), x.shape, x.dtype) for x in self.arrays]
        return [*gc.get_referents(*self.wholes), *values, *attributes], kinds + entries

    def are_same(self):
        """Whether all are the same objects as before, or equal numbers, texts and arrays."""
        (now, kinds), (then, old_kinds) = self._now(), self.then
        is_same = kinds == old_kinds and len(now) == len(then)
        return is_same and (all(map(is_, now, then)) or all(map(_is_same, now, then)))


def _is_same(a, b):
    return a is b or (type(a) is type(b) in EQUAL and repr(a) == repr(b))  # 0.0 is not -0.0


def _is_known(x):
    """Whether x is read elsewhere, or does not change."""
    if isinstance(x, (FunctionType, type, ModuleType)):
        home = x.__name__ if isinstance(x, ModuleType) else str(x.__module__)
        name = home.partition(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        return name in FOREIGN or "site-packages" in file  # an installed library
    return isinstance(x, (Tensor, CodeType, np.dtype, np.generic, str, int, float))


def _read(x):
    """(dicts of attributes that are read by name, objects that are read as a whole).

    An object is read by name if all its classes are the user's: other code names no attributes.
    """
    classes = (x if isinstance(x, type) else type(x)).__mro__
    own = [kind for kind in classes if not _is_known(kind)]
    others = {*classes} - {*own, object, ModuleType}
    spaces = gc.get_referents(*map(vars, own))
    own_dict = getattr(x, "__dict__", None)  # Python makes it now: later it looks like a change
    if others or own_dict is None or any("__slots__" in space for space in spaces):
        return [], [x, *spaces]
    return [own_dict, *spaces], []


def _names(code):
    """The names in the code of a function, and of functions inside: globals, attributes, texts."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    texts = [c for c in code.co_consts if isinstance(c, str)]
    return {*code.co_names, *texts}.union(*map(_names, inner))

"""What a function can read beside its arguments: a program is right while this stays the same."""

import gc
import sys
from collections.abc import Iterator
from operator import is_
from types import CodeType, FunctionType, ModuleType

import numpy as np

from ..engine import Tensor

LARGEST = 1000  # larger containers and arrays count as data, which do not change
EQUAL = {int, float, bool, str, bytes}  # equal values of these types count as the same
FOREIGN = {"minigrad", "numpy", *sys.stdlib_module_names}  # these do not change
# Methods that Python calls by itself.
SPECIAL = {name for kind in (int, list, dict) for name in dir(kind) if name.startswith("__")}
SPECIAL |= {"forward", "__call__", "__getattr__", "__get__", "__enter__"}
SPECIAL -= {"__init__", "__doc__"}


class Surroundings:
    """Variables of functions, attributes of objects, items, and the entries of small arrays.

    roots   a function, its arguments, modules: where the search begins
    moving  arrays that the program itself changes

    Raises TypeError if there is an iterator: its position cannot be read.
    """

    def __init__(self, roots, moving):
        self.names, size = {*SPECIAL}, 0
        while size < len(self.names):  # until no function adds a name
            size = len(self.names)
            self.holders, self.variables, self.arrays = [], [], []
            self._search(set(map(id, moving)), list(roots))
        self.then = self._now()

    def _search(self, known, stack):
        while stack:
            x = stack.pop()
            if id(x) in known or _is_known(x):
                continue
            known.add(id(x))
            if isinstance(x, np.ndarray) and x.size <= LARGEST:
                self.arrays.append(x)
            if isinstance(x, FunctionType):
                self.names |= _names(x.__code__)
            if isinstance(x, Iterator):
                raise TypeError(f"the function reads an iterator, {x!r:.60}")
            spaces, holder = _read(x)
            pairs = [(space, name) for space in spaces for name in self.names if name in space]
            self.variables += pairs
            held = gc.get_referents(holder)
            if 0 < len(held) <= LARGEST:
                self.holders.append(holder)
                stack += held
            stack += [space[name] for space, name in pairs]

    def _now(self):
        values = [space.get(name) for space, name in self.variables]
        entries = [x.tobytes() + repr((x.shape, x.dtype)).encode() for x in self.arrays]
        return gc.get_referents(*self.holders) + values + entries

    def are_same(self):
        """Whether all are the same objects as before, or equal numbers, texts and arrays."""
        now, then = self._now(), self.then
        is_same = all(map(is_, now, then)) or all(map(_is_same, now, then))
        return len(now) == len(then) and is_same


def _is_same(a, b):
    return a is b or (type(a) is type(b) in EQUAL and repr(a) == repr(b))  # 0.0 is not -0.0


def _is_known(x):
    """Whether x is read elsewhere, or does not change."""
    if isinstance(x, (FunctionType, type, ModuleType)):
        name = x.__name__ if isinstance(x, ModuleType) else x.__module__ or "minigrad"
        name = name.partition(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        return name in FOREIGN or "site-packages" in file  # an installed library
    return isinstance(x, (Tensor, CodeType, np.dtype, np.generic, str, int, float))


def _read(x):
    """(dicts whose items may be read by name, an object that is read as a whole)."""
    if isinstance(x, ModuleType):
        return [vars(x)], ()
    if isinstance(x, FunctionType):
        held = x.__kwdefaults__, *(x.__defaults__ or ()), *(x.__closure__ or ())
        return [x.__globals__, vars(x)], held
    classes = x.__mro__ if isinstance(x, type) else type(x).__mro__
    own = [vars(kind) for kind in classes if not _is_known(kind)]
    if isinstance(x, type):
        return own, [space["__init__"] for space in own if "__init__" in space]
    is_plain = len(own) == len(classes) - 1 and hasattr(x, "__dict__")  # but for `object`
    if is_plain and not any("__slots__" in space for space in own):
        return [vars(x), *own], ()
    getattr(x, "__dict__", None)  # Python makes the dict now: later it would look like a change
    return own, x


def _names(code):
    """The names in the code of a function, and of functions inside: globals, attributes, texts."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    texts = [c for c in code.co_consts if isinstance(c, str)]
    return {*code.co_names, *texts}.union(*map(_names, inner))

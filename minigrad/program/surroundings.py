"""What a function can read beside its arguments: a program is right while all of this stays."""

import gc
import sys
from operator import is_
from types import CodeType, FunctionType, ModuleType

import numpy as np

from ..engine import Tensor

LARGEST = 1000  # what holds more, or has more entries, is data that stays as they are
EQUAL = {int, float, bool, str, bytes}  # their equals stand for them
FOREIGN = {"minigrad", "numpy", *sys.stdlib_module_names}  # their functions and classes stay


class Surroundings:
    """Variables of functions, attributes of objects, items, and the entries of small arrays.

    roots   a function, modules: where the search begins
    moving  arrays that the program itself changes
    """

    def __init__(self, roots, moving):
        self.names, size = {"forward", "__call__", "__getattr__"}, 0
        while size < len(self.names):  # until no function is found that has another name
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
        entries = [x.tobytes() for x in self.arrays]
        return gc.get_referents(*self.holders) + values + entries

    def are_same(self):
        """Whether all are the same objects as before, or equal numbers and arrays."""
        now, then = self._now(), self.then
        is_same = all(map(is_, now, then)) or all(map(_is_same, now, then))
        return len(now) == len(then) and is_same


def _is_same(a, b):
    return a is b or (type(a) is type(b) in EQUAL and a == b)


def _is_known(x):
    """Whether x is read elsewhere, or does not change."""
    if isinstance(x, (FunctionType, type)):
        return (x.__module__ or "minigrad").partition(".")[0] in FOREIGN
    return isinstance(x, (Tensor, ModuleType, CodeType, np.dtype, np.generic, str, int, float))


def _read(x):
    """(dicts whose items may be read by name, an object that is read as a whole)."""
    if isinstance(x, FunctionType):
        held = x.__kwdefaults__, *(x.__defaults__ or ()), *(x.__closure__ or ())
        return [x.__globals__], held
    classes = x.__mro__ if isinstance(x, type) else type(x).__mro__
    own = [vars(kind) for kind in classes if not _is_known(kind)]
    if isinstance(x, type):
        return own, ()
    if len(own) == len(classes) - 1 and hasattr(x, "__dict__"):  # but for `object`
        return [vars(x), *own], ()
    getattr(x, "__dict__", None)  # Python makes the dict now: later it would look like a change
    return [], x


def _names(code):
    """The names of globals and attributes in the code of a function, and of functions inside."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*map(_names, inner))

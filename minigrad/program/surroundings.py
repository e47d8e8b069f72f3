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
        self.holders, self.variables, self.arrays = [], [], []
        known, stack = set(map(id, moving)), list(roots)
        while stack:
            x = stack.pop()
            if id(x) in known or _is_known(x):
                continue
            known.add(id(x))
            if isinstance(x, np.ndarray):
                self.arrays += [x] * (x.size <= LARGEST and x.dtype != object)
                continue
            if isinstance(x, FunctionType):
                space, names = x.__globals__, _names(x.__code__)
                self.variables += [(space, name) for name in names if name in space]
                stack += [space[name] for name in names if name in space]
                stack.append(x.__defaults__)
                x = x.__closure__
            getattr(x, "__dict__", None)  # from now on its attributes are in a dict
            held = gc.get_referents(x)
            if len(held) <= LARGEST:
                self.holders.append(x)
                stack += held
        self.then, self.entries = self._now(), [x.tobytes() for x in self.arrays]

    def _now(self):
        values = [space.get(name) for space, name in self.variables]
        return gc.get_referents(*self.holders) + values

    def are_same(self):
        """Whether all are the same objects as before, or equal numbers and arrays."""
        now, then = self._now(), self.then
        if len(now) != len(then) or [x.tobytes() for x in self.arrays] != self.entries:
            return False
        return all(map(is_, now, then)) or all(map(_is_same, now, then))


def _is_same(a, b):
    return a is b or (type(a) is type(b) in EQUAL and a == b)


def _is_known(x):
    """Whether x is read elsewhere, or does not change."""
    if isinstance(x, (FunctionType, type)):
        return (x.__module__ or "minigrad").partition(".")[0] in FOREIGN
    return isinstance(x, (Tensor, ModuleType, CodeType, np.dtype, np.generic, str, int, float))


def _names(code):
    """The names of globals in the code of a function, and of the functions inside it."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return dict.fromkeys([*code.co_names, *(name for c in inner for name in _names(c))])

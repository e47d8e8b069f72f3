"""The clock of the engine, and the times at which arrays were changed in place.

Backward refuses a node whose inputs were changed after the node was made: its rules would mix old
and new values.
"""

import weakref
from itertools import count

import numpy as np

from . import errors

tick = count(1).__next__  # the time now, as a number that rises
latest = 0  # the time of the last change of any array
changes = {}  # id of the array that owns the memory -> the time of its last change


def mark_changed(tensor):
    """Notes that the data of a leaf change in place. Call it before you write to `tensor.data`."""
    global latest
    owner = _owner(tensor.data)
    if id(owner) not in changes:
        weakref.finalize(owner, changes.pop, id(owner), None)
    changes[id(owner)] = latest = tick()


def changed_since(x, time):
    """Whether the memory of x, a Tensor or an array, was changed in place after `time`.

    Arguments of other types do not change.
    """
    array = x if isinstance(x, np.ndarray) else getattr(x, "data", None)
    return isinstance(array, np.ndarray) and changes.get(id(_owner(array)), 0) > time


def require_unchanged(node):
    """Raises RuntimeError if an argument of a node was changed after the node was made."""
    for i, x in enumerate(node.args):
        if changed_since(x, node.order):
            raise errors.changed(node, i)


def _owner(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array

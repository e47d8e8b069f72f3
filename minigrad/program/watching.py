"""Finds lines that take values out of the graph: a program could not see them change."""

import sys
import threading

import numpy as np

from ..array import Array, computed, data_of, entries_of
from ..engine import RECORDED, Tensor, backward_pass, record
from ..modes import no_grad, readers, reads, recording
from ..noise import Noise, effect, watching
from ..ops.comparisons import stop_gradient
from ..registry import FILE, _on_data
from .symbols import SHAPES, reading_line

# These may read the array of a Tensor: they compute nodes, draw noise or read shapes.
for function in record, backward_pass, effect, Noise.__init__, Noise.draw, Array.__len__:
    reads(function)
for name in "shape", "dtype", "ndim", "size":
    reads(vars(Array)[name].fget)
# These read for their callers, so the caller is noted.
WITHIN = {f.__code__ for f in (data_of, computed, entries_of)}
INNER = "<listcomp>", "<genexpr>"
# Functions of NumPy that read shapes and dtypes.
LIKE = *SHAPES, np.zeros_like, np.ones_like, np.empty_like
PACKAGE = __name__.partition(".")[0] + "."

opened, lock = set(), threading.Lock()  # the Watches of all threads


class Watch:
    """A block that watches a function, which is to become a program.

    A Tensor that is older than `start` is an input of the graph, whatever its flags. `detach` and
    operations under `no_grad()` are nodes without a gradient. Lines that read values are noted.

    found    None, or the line that read values first
    effects  the changes of state: (time, function, arguments)
    drawn    {order: noise} of all noise, also of noise that no result uses
    """

    def __init__(self, start):
        self.start, self.found, self.effects, self.drawn = start, None, [], {}

    def __enter__(self):
        self.token = watching.set(self)
        self._replace(opened.add)
        return self

    def __exit__(self, *error):
        watching.reset(self.token)
        self._replace(opened.discard)

    def _replace(self, change):
        """Replaces attributes in all threads, while any Watch is open."""
        with lock:
            change(self)
            for (kind, name), versions in REPLACED.items():
                setattr(kind, name, versions[bool(opened)])

    def note(self, x, frame):
        """Notes the line that reads the values of x, unless the code of `frame` may read them."""
        if isinstance(x, Noise):
            self.drawn[x.order] = x
        while frame.f_code in WITHIN or (frame.f_code.co_name in INNER and _is_own(frame)):
            frame = frame.f_back
        code = frame.f_code
        is_shape = code is _on_data.__code__ and frame.f_locals["function"] in LIKE
        if is_shape or self.found or code.co_filename == FILE or code in readers:
            return
        while _is_own(frame) and frame.f_back.f_code.co_name != "vjp":  # which calls a rule
            frame = frame.f_back
        self.found = reading_line(frame)


def _is_own(frame):
    """Whether the function of a frame is one of minigrad."""
    is_call = frame.f_code.co_filename == FILE
    return is_call or frame.f_globals.get("__name__", "").startswith(PACKAGE)


def _flags(x):
    """The flags of a Tensor while a Watch is open: see Watch."""
    own, watch = FLAGS.__get__(x), watching.get()
    if watch is None:
        return own
    if not own and x.order < watch.start:
        own = RECORDED
    return min(own, RECORDED) if recording.blocks() else own  # inside no_grad()


def _watched(slot):
    """A property in place of a slot of Tensor. It notes who reads or sets it."""

    def read(x):
        watch = watching.get()
        if watch is not None and x.flags:
            watch.note(x, sys._getframe(1))
        return slot.__get__(x)

    def write(x, value):
        watch = watching.get()
        if watch is not None and getattr(x, "order", watch.start) < watch.start:
            watch.note(x, sys._getframe(1))
        slot.__set__(x, value)

    return property(read, write)


FLAGS, DETACH = Tensor.flags, Tensor.detach
REPLACED = {  # (class, attribute): (as it is, as it is while a Watch is open)
    (Tensor, "data"): (Tensor.data, _watched(Tensor.data)),
    (Tensor, "grad"): (Tensor.grad, _watched(Tensor.grad)),
    (Tensor, "flags"): (FLAGS, property(_flags, FLAGS.__set__)),
    (Tensor, "detach"): (DETACH, lambda x: (stop_gradient if watching.get() else DETACH)(x)),
    (no_grad, "value"): (False, property(lambda block: watching.get() is not None)),
}

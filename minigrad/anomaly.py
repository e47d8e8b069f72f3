"""Finds the first value of a graph that is not finite, its op, and the line that called the op.

The engine does not take part. While a block of `detect_anomaly` is open, Python reports each call
to the function that sys.setprofile was given. This function checks each result of an op or a rule.
"""

import os
import sys
from linecache import getline

import numpy as np

from .array import entries_of, is_array
from .engine import Tensor
from .modes import Block, Mode, path
from .registry import FILE

detecting = Mode("detecting", default=False)
PACKAGE = os.path.join(os.path.dirname(__file__), "")
MOST = 2**18  # so many nodes at most keep their lines


class detect_anomaly(Block):
    """A block, or decorator, that raises RuntimeError where a nan or an infinity arises.

    The error names the op, the module, and the line of the forward that called the op. In the
    forward, this is an op whose result has a nan or an infinity that its arguments do not have, or
    an op that gets a nan from the data. An infinity in the data, such as a mask of -inf, is not an
    anomaly, and the values inside an op are not checked. In the backward pass, this is an op whose
    rule gets a finite cotangent and returns one that is not finite.

    Use it only to search, since each op takes many times as long inside. PyTorch has the same name
    for a mode that checks only the backward pass. Also raises RuntimeError if a profiler
    (sys.setprofile) runs in this thread.

    >>> import minigrad as mg
    >>> x = mg.Tensor([0.0, 1.0], requires_grad=True)
    >>> with detect_anomaly(), np.errstate(divide="ignore"):
    ...     loss = np.log(x).sum()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    RuntimeError: detect_anomaly: log made -inf at entry (0,)...
    """

    mode, value = detecting, True

    def __init__(self):
        self.lines = {}  # the order of a node: (file, line) of the call that made it
        self.steps = 0  # how many backward steps are running: with create_graph they call ops

    def __enter__(self):
        if sys.getprofile() is not None and not detecting.get():
            raise RuntimeError("detect_anomaly: a profiler runs in this thread. End it first.")
        super().__enter__()
        sys.setprofile(self.look)
        return self

    def __exit__(self, *error):
        super().__exit__()
        sys.setprofile(detecting.blocks()[0].look if detecting.get() else None)

    def look(self, frame, event, value):
        """Python calls this at each call and each return of a function."""
        code, is_return = frame.f_code, event == "return"
        is_vjp = code.co_name == "vjp" and "on_tensors" in code.co_varnames
        if is_vjp and event in ("call", "return"):
            self.steps += -1 if is_return else 1
            if is_return and value is not None:
                names = {name.strip("_"): x for name, x in frame.f_locals.items()}
                self.look_at_cotangents(names["g"], names["node"], value)
        elif code.co_filename == FILE and is_return and isinstance(value, Tensor) and value.args:
            self.lines[value.order] = _line_of_call(frame)
            if len(self.lines) > MOST:
                del self.lines[next(iter(self.lines))]
            if not self.steps:
                self.look_at_result(value)

    def look_at_result(self, node):
        """Raises the error of a forward."""
        for is_bad in np.isnan, np.isinf:
            entry, pairs = _first(is_bad, node.data), zip(node.op.names, node.args)
            given = [name for name, x in pairs if entry and _first(is_bad, x)]
            if entry and not given:
                raise self.error(f"{node.op.name} made {entry}", node)
            if given and is_bad is np.isnan:
                raise self.error(f"{node.op.name} was given a nan in its argument {given[0]}", node)

    def look_at_cotangents(self, g, node, pairs):
        """Raises the error of a step of the backward pass."""
        names = {id(x): f"of {name}" for name, x in zip(node.op.names, node.args)}
        for x, cotangent in [(node, g), *pairs]:
            if found := _first(np.isnan, cotangent) or _first(np.isinf, cotangent):
                name = names.get(id(x), "that arrives")
                raise self.error(f"the cotangent {name} is {found}", node)

    def error(self, what, node):
        """The error, with the place where the forward made the node."""
        module = path(node.scope)
        place = "was outside the block, or too long ago to know its line."
        if node.order in self.lines:
            file, line = self.lines[node.order]
            place = f"is at {file}:{line}: {getline(file, line).strip()}"
        what += f", in {module}" if module else ""
        return RuntimeError(f"detect_anomaly: {what}. The forward {place}")


def _first(is_bad, x):
    """The first entry of x that is bad, in words; None if there is none."""
    has_entries = is_array(x) or isinstance(x, float)
    array = entries_of(x, "detect_anomaly") if has_entries else None
    if array is None or array.dtype.kind != "f":
        return None
    bad = is_bad(array)
    if not bad.any():
        return None
    index = tuple(np.argwhere(bad)[0].tolist())
    return f"{array[index]} at entry {index}" if index else f"{array[()]}"


def _line_of_call(frame):
    """(file, line) of the innermost call outside this package."""
    while frame.f_back and frame.f_code.co_filename.startswith((PACKAGE, FILE)):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno

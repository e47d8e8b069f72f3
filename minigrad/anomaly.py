"""The first value of a graph that is not finite: which op made it, and which line called the op.

The engine has no part in this. While a block of `detect_anomaly` is open, Python itself reports
each call to `sys.setprofile`, and the results of ops and of rules are looked at as they come.
"""

import inspect
import numbers
import os
import sys
from linecache import getline

import numpy as np

from .array import data_of
from .engine import Tensor
from .modes import Block, Mode, path
from .registry import FILE, Family

detecting = Mode("detecting", default=False)
PACKAGE = os.path.join(os.path.dirname(__file__), "")
FILES = {FILE, inspect.getfile(Tensor), inspect.getfile(Family)}  # of calls, and where vjp is
MOST = 2**18  # nodes whose lines are kept


class detect_anomaly(Block):
    """A block that raises RuntimeError where a nan or an infinity arises, in forward or backward.

    The error names the op, the module, and the line of the forward that called the op. In the
    forward it is an op whose result has a nan or an infinity that its arguments do not have, or an
    op that gets a nan from the data. An infinity in the data, such as a mask of -inf, is no
    anomaly; neither is a value inside an op that its result does not show. In the backward pass it
    is a rule whose cotangent is not finite though it was given a finite one.

    It is for a search: inside, an op takes many times as long. The name is that of
    torch.autograd.detect_anomaly, which looks at the backward pass alone. It is a decorator too.
    Raises RuntimeError if a profiler (sys.setprofile) runs in this thread.

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
        code = frame.f_code
        if event not in ("call", "return") or code.co_filename not in FILES:
            return
        if code.co_name == "vjp":
            self.steps += 1 if event == "call" else -1
            if event == "return" and value is not None:
                self.look_at_cotangents(frame.f_locals, value)
        elif event == "return" and code.co_filename == FILE:
            if not isinstance(value, Tensor) or not value.args:
                return
            self.lines[value.order] = _line_of_call(frame)
            if len(self.lines) > MOST:
                del self.lines[next(iter(self.lines))]
            if not self.steps:
                self.look_at_result(value)

    def look_at_result(self, node):
        """Raises the error of a forward."""
        for is_bad in np.isnan, np.isinf:
            if not (found := _first(is_bad, node.data)):
                continue
            given = [i for i, x in enumerate(node.args) if _first(is_bad, x)]
            if not given:
                raise RuntimeError(f"detect_anomaly: {node.op.name} made {found}{self.place(node)}")
            if is_bad is np.isnan:
                i = given[0]
                name = f"{node.op.names[i]}, {_first(is_bad, node.args[i])}"
                what = f"{node.op.name} was given a nan in its argument {name}"
                raise RuntimeError(f"detect_anomaly: {what}{self.place(node)}")

    def look_at_cotangents(self, names, pairs):
        """Raises the error of a step of the backward pass, from the variables of `vjp`."""
        g, node = (names[f"_{name}" if "_g" in names else name] for name in ("g", "node"))
        if found := _first(_is_not_finite, g):
            what = f"the cotangent that arrives is {found}"
            raise RuntimeError(f"detect_anomaly: {what}{self.place(node)}")
        for x, cotangent in pairs:
            if found := _first(_is_not_finite, cotangent):
                name = next(n for n, a in zip(node.op.names, node.args) if a is x)
                what = f"the cotangent of {name} is {found}"
                raise RuntimeError(f"detect_anomaly: {what}{self.place(node)}")

    def place(self, node):
        """Where the forward made a node, as the end of a sentence."""
        module = path(node.scope)
        text = f", in {module}" if module else ""
        if node.order not in self.lines:
            return f"{text}. The forward was outside the block, or too long ago to know its line."
        file, number = self.lines[node.order]
        return f"{text}. The forward is at {file}:{number}: {getline(file, number).strip()}"


def _is_not_finite(array):
    return ~np.isfinite(array)


def _first(is_bad, x):
    """The first entry of x that is bad, in words; None if there is none."""
    array = np.asarray(data_of(x)) if isinstance(x, (Tensor, np.ndarray, numbers.Number)) else None
    if array is None or array.dtype.kind not in "fc":
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

"""What the functions of this package share: their scope and first argument, and the refusal of shapes that do not fit."""

import numbers
from functools import partial, wraps

import numpy as np

from ..array import as_array
from ..engine import Tensor
from ..modes import Composition, scoped


def composition(function=None, *, kind="operation"):
    """Decorates a function of several ops: pictures and reports show its nodes as one, under its name.

    `kind` is "operation", "loss", "penalty" or "random", as for ops: it says how ledgers and pictures treat the result.
    If the first argument is a number or a list, it becomes an array, as for ops.
    """
    if function is None:
        return partial(composition, kind=kind)
    owner = Composition(function.__name__, kind)

    @wraps(function)
    def call(*args, **kwargs):
        if args and not isinstance(args[0], (Tensor, np.ndarray)):
            args = (_array(function.__name__, args[0]), *args[1:])
        return scoped(owner, function, *args, **kwargs)

    return call


def _array(name, data):
    try:
        return as_array(data)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def each(name, what, value, rank, least, kind=numbers.Integral):
    """A setting that is one number, or one for each of `rank` axes, as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, kind) and v >= least for v in values):
        noun = "a whole number" if kind is numbers.Integral else "a number"
        raise ValueError(
            f"{name}: {what} must be {noun} >= {least}, or {rank} of them, one an axis; got {value!r}."
        )
    return values


def check_axes(name, x, axes):
    wanted, shape = axes.count(",") + 1, np.shape(x)
    if len(shape) != wanted:
        remedy = " For one sample write x[None]." if len(shape) == wanted - 1 else ""
        raise ValueError(f"{name}: x must be {axes}, got shape {shape}.{remedy}")


def check_fits(name, what, shape, of, needed):
    """Refuses a shape that does not broadcast to the one that is needed."""
    try:
        fits = np.broadcast_shapes(shape, needed) == needed
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name}: {what} of shape {shape} does not broadcast to {of} of shape {needed}."
        )

"""What the functions of this package share: their scope and first argument, and the refusal of shapes that do not fit."""

import numbers

import numpy as np


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

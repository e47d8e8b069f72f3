"""Checks of arguments, with the same words in all functions and layers.

A `composition` puts its name before the message of an error. If the constructor of a module raises
an error, the module puts the name of its class before the message.
"""

import numbers
from functools import partial
from math import inf

import numpy as np

from .. import later
from ..array import Array, asanyarray, data_of, entries_of, is_foreign
from ..modes import reads


@reads
def whole_numbers(what, values, low=None, high=None):
    """`values` as whole numbers: a Tensor stays a Tensor, anything else becomes an array.

    Raises TypeError for another dtype, IndexError for a value outside low..high - 1.
    """
    given = values if isinstance(values, Array) else asanyarray(values)
    values = data_of(given)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{what} must be of an integer dtype, not {values.dtype}.")
    return given if low is None else checked(given, partial(_check_range, what, low, high))


def _check_range(what, low, high, values):
    if values.size and not low <= values.min() <= values.max() < high:
        wrong = f"{values.min()}..{values.max()}" if values.size > 1 else values.item()
        raise IndexError(f"{what} must be from {low} to {high - 1}, got {wrong}.")


@reads
def checked(values, check):
    """Returns `values`, an array or a Tensor, if check(array) raises no error.

    A lazy array of another library is checked when it is computed.
    """
    if not is_foreign(data_of(values)):
        check(data_of(values))
        return values
    if not isinstance(values, Array):
        return later.foreign().checked(values, check)
    same = values.reshape(values.shape)  # a Tensor of the same graph
    same.data = later.foreign().checked(same.data, check)
    return same


def mask_values(what, mask, meaning):
    """Returns `mask`: a Tensor stays a Tensor, anything else becomes an array.

    meaning  what True means, for the error

    Raises TypeError unless the mask has floats or bools.
    """
    values = mask if isinstance(mask, Array) else entries_of(mask, what)
    if values.dtype.kind not in "bf":
        kinds = f"boolean, {meaning}, or floats that are added to the scores"
        raise TypeError(f"{what} must be {kinds}; not {values.dtype}.")
    return values


def check_shapes(shape, **arrays):
    """Raises ValueError for an array of another shape. An array may be None."""
    for what, array in arrays.items():
        if array is not None and np.shape(array) != shape:
            raise ValueError(f"{what} must have shape {shape}, got {np.shape(array)}.")


def by_channel(weight, x):
    """weight (C,) along the channels of x (N, C, ...). Raises ValueError for another size."""
    axis = min(1, np.ndim(x) - 1)
    if np.shape(weight) != np.shape(x)[axis : axis + 1]:
        given = f"{np.shape(x)} needs one for each entry of axis {axis}"
        raise ValueError(f"weight or bias {np.shape(weight)}: x {given}.")
    after = np.ndim(x) - 1 - axis
    return np.reshape(weight, (-1, *[1] * after)) if after else weight


def check_channels(x, least=2):
    """How many axes of x follow (N, C). Raises ValueError unless x has `least` axes or more."""
    if np.ndim(x) < least:
        given = f"got shape {np.shape(x)}. For one sample write x[None]."
        raise ValueError(f"x must be (N, C, ...), {given}")
    return np.ndim(x) - 2


def check_divides(what, parts, **wholes):
    """Raises ValueError unless `parts` divides each of the `wholes`. `what` names the parts."""
    for whole, n in wholes.items():
        if parts < 1 or n % parts:
            raise ValueError(f"{what}={parts} does not divide {whole}={n}.")


def require_whole(what, value, least):
    """Raises ValueError unless a value is a whole number >= `least`. A bool does not count."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{what} must be a whole number >= {least}, got {value!r}.")


def each(what, value, rank, least, kind=numbers.Integral):
    """The setting `value` as a tuple of `rank` numbers. One number stands for all axes.

    Raises ValueError unless each number is of this kind, finite and at least `least`.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, kind) and least <= v < inf for v in values):
        noun = "a whole number" if kind is numbers.Integral else "a number"
        needed = f"{noun} >= {least}, or {rank} of them, one for each axis"
        raise ValueError(f"{what} must be {needed}; got {value!r}.")
    return values


def check_fits(what, shape, needed):
    """Raises ValueError unless an array of this shape broadcasts to the shape `needed`."""
    if np.broadcast_shapes(shape, needed) != needed:
        raise ValueError(f"{what} of shape {shape} does not broadcast to {needed}.")


def check_axes(x, *layouts, channels=None, what="x"):
    """Raises ValueError unless x has the axes of a layout, such as "(N, C, L)", and C channels."""
    shape, ranks = np.shape(x), [layout.count(",") + 1 for layout in layouts]
    if len(shape) not in ranks or channels not in (None, shape[1]):
        needed = " or ".join(layouts) + (f" with C = {channels}" if channels else "")
        remedy = " For one sample write x[None]." if len(shape) == min(ranks) - 1 else ""
        raise ValueError(f"{what} must be {needed}, got shape {shape}.{remedy}")

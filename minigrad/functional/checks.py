"""What functions and layers refuse, in the same words everywhere.

`name` is the function or the layer, for the message.
"""

import numbers

import numpy as np

from ..array import data_of


def whole_numbers(name, what, values, low=None, high=None):
    """`values` as an array. Raises TypeError for other dtypes, IndexError outside low..high - 1."""
    values = np.asarray(data_of(values))
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name}: {what} must be of an integer dtype, not {values.dtype}.")
    if low is not None and values.size and not low <= values.min() <= values.max() < high:
        given = f"{values.min()}..{values.max()}" if values.size > 1 else values.item()
        raise IndexError(f"{name}: {what} must be from {low} to {high - 1}, got {given}.")
    return values


def mask_values(name, what, mask, meaning):
    """`mask` as an array. Raises TypeError unless it is boolean, with this `meaning`, or floats."""
    values = np.asarray(data_of(mask))
    if values.dtype.kind not in "bf":
        kinds = f"boolean, {meaning}, or floats that are added to the scores"
        raise TypeError(f"{name}: {what} must be {kinds}; not {values.dtype}.")
    return values


def check_shapes(name, shape, **arrays):
    """Raises ValueError for arrays of another shape; None is no array."""
    for what, array in arrays.items():
        if array is not None and np.shape(array) != shape:
            raise ValueError(f"{name}: {what} must have shape {shape}, got {np.shape(array)}.")


def check_divides(name, what, parts, **wholes):
    """Raises ValueError for a number of parts, called `what`, that does not divide the `wholes`."""
    for whole, n in wholes.items():
        if parts < 1 or n % parts:
            raise ValueError(f"{name}: {what}={parts} does not divide {whole}={n}.")


def each(name, what, value, rank, least, kind=numbers.Integral):
    """The setting `value`, one number or one for each of `rank` axes, as a tuple.

    Raises ValueError unless each number is of this kind and at least `least`.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, kind) and v >= least for v in values):
        noun = "a whole number" if kind is numbers.Integral else "a number"
        raise ValueError(
            f"{name}: {what} must be {noun} >= {least}, or {rank} of them, one an axis; "
            f"got {value!r}."
        )
    return values


def check_axes(name, x, axes):
    """Raises ValueError unless x has as many axes as `axes` names, such as "(N, C, L)"."""
    wanted, shape = axes.count(",") + 1, np.shape(x)
    if len(shape) != wanted:
        remedy = " For one sample write x[None]." if len(shape) == wanted - 1 else ""
        raise ValueError(f"{name}: x must be {axes}, got shape {shape}.{remedy}")


def check_fits(name, what, shape, of, needed):
    """Raises ValueError unless `shape`, the shape of `what`, broadcasts to `needed`."""
    try:
        fits = np.broadcast_shapes(shape, needed) == needed
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name}: {what} of shape {shape} does not broadcast to {of} of shape {needed}."
        )

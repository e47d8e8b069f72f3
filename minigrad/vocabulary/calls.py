"""Calls of NumPy's functions that are not simply calls of an op or a composition.

On Tensors that are not recorded every function of NumPy works: NumPy itself computes on their data.
Ufuncs have methods, such as np.add.reduce.
"""

from functools import partial

import numpy as np

from .. import errors, later
from ..array import FOREIGN, data_of, is_recorded, numpy_functions
from ..changes import mark_changed
from ..engine import Tensor, constant, wants_gradient
from ..modes import recording
from ..ops import logsumexp

IN_PLACE = np.copyto, np.fill_diagonal, np.put, np.put_along_axis, np.putmask, np.place


def otherwise(function, args, keywords, error):
    """The NumPy function on arguments for which its op or composition raised `error`."""
    if function is np.where and len(args) == 1:
        return np.nonzero(*args)
    own = numpy_functions.get(function)
    if own and (not isinstance(error, TypeError) or joins((args, keywords), is_recorded)):
        raise errors.named(error, function.__name__)
    if joins((args, keywords)):
        raise errors.in_place(f"np.{function.__name__}") if function in IN_PLACE else error
    return on_plain_data(function, args, keywords, args[:1] if function in IN_PLACE else ())


def on_plain_data(call, args, keywords, changed=()):
    """NumPy's result for the data of the Tensors. `changed`: Tensors that it changes in place."""
    out = keywords.get("out")
    for tensor in tensors((out, changed)):
        mark_changed(tensor)
    has_foreign = any(t.flags & FOREIGN for t in tensors((args, keywords)))
    run = partial(later.foreign().run, call) if has_foreign else call
    try:
        result = run(*mapped(data_of, args), **mapped(data_of, keywords))
    except Exception as error:
        raise errors.same_kind(error, f"np.{call.__name__}: {error}") from error
    if out is None:
        return mapped(_wrapped, result)
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def mapped(f, x):
    """x with f(value) for each value in it, also in lists, tuples and dicts."""
    if isinstance(x, dict):
        return {name: mapped(f, part) for name, part in x.items()}
    if not isinstance(x, (list, tuple)):
        return f(x)
    parts = [mapped(f, part) for part in x]
    return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)


def tensors(x):
    """The Tensors in x, also in lists, tuples and dicts."""
    found = []
    mapped(lambda t: found.append(t) if isinstance(t, Tensor) else None, x)
    return found


def joins(x, kind=wants_gradient):
    """Whether results are recorded and kind(t) is true for a Tensor t in x."""
    return recording.get() and any(map(kind, tensors(x)))


def _wrapped(x):
    """A Tensor of real numbers of NumPy. Other values, complex numbers too, do not change."""
    is_real = isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "fiub"
    return constant(x) if is_real else x


# ------------------------------------------------------------------------------- methods of ufuncs

# np.add.reduce(x, axis) is np.sum(x, axis)
REDUCED = {np.add: np.sum, np.multiply: np.prod, np.logaddexp: logsumexp}
REDUCED |= {np.maximum: np.max, np.minimum: np.min, np.logical_and: np.all, np.logical_or: np.any}


def ufunc(function, method, inputs, keywords):
    """function.method(*inputs, **keywords). The method "__call__" calls the function itself."""
    if method == "__call__" and not keywords and function in numpy_functions:
        return numpy_functions[function](*inputs)
    if joins((inputs, keywords), is_recorded):
        if method == "reduce" and function in REDUCED and "out" not in keywords:
            return REDUCED[function](*inputs, **{"axis": 0} | keywords)
        if method == "accumulate" and function in REDUCED and not keywords.keys() - {"axis"}:
            return accumulate(function, *inputs, **keywords)
        if method == "outer" and not keywords:
            return outer(function, *inputs)
    if not joins((inputs, keywords)):
        changed = inputs[:1] if method == "at" else ()
        return on_plain_data(getattr(function, method), inputs, keywords, changed)
    if method == "__call__" and not keywords:
        raise errors.no_numpy_rule(function)
    raise errors.unsupported_ufunc(function, method, keywords)


def accumulate(function, x, axis=0):
    """The results of `function`, which is associative, on the first 1, 2, ... entries along `axis`.

    Each step combines entries twice as far apart as the step before (Hillis & Steele 1986).
    """
    dtype = function.reduce(np.ones(1, x.dtype)).dtype  # of int8, np.add makes int64
    x = np.moveaxis(x.astype(dtype) if dtype != x.dtype else x, axis, 0)
    step = 1
    while step < len(x):
        x = np.concatenate([x[:step], function(x[step:], x[:-step])])
        step *= 2
    return np.moveaxis(x, 0, axis)


def outer(function, x, y):
    """`function` of each entry of x and each entry of y, in the shape (*x.shape, *y.shape)."""
    return function(np.reshape(x, np.shape(x) + (1,) * np.ndim(y)), y)

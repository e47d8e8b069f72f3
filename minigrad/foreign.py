"""Arrays of other libraries as data of Tensors, if NumPy's functions accept them: Dask, CuPy.

Most ops are NumPy functions, and NumPy hands foreign arrays to their own library. So a graph of
Dask arrays is lazy, forward and backward, and nothing is computed before you ask. Here are, for
the ops that do more than NumPy's protocols promise, the same forwards in functions of NumPy alone,
and the names of the ops that need a NumPy array. They refuse others: nothing becomes a NumPy array
in silence.
"""

import numbers
import warnings
from importlib import import_module

import numpy as np

from . import errors
from .array import FOREIGN, is_foreign
from .engine import Tensor
from .ops import losses
from .ops.dropout import _scale

NUMPY_ONLY = {"convolve", "convolve_input", "convolve_weight", "erf", "erfc", "prod"}
NUMPY_ONLY |= {"solve_matrices", "inv", "det", "logabsdet", "sign_of_det", "pinv", "matrix_rank"}
NUMPY_ONLY |= {"lower_cholesky", "eigh_in_one", "svd_in_one"}


def forward_of(op):
    """The forward of an op for foreign arrays.

    Raises TypeError before anything is computed for an op of NUMPY_ONLY, and for an op of a user
    that turns foreign arrays into a NumPy array.
    """
    name = getattr(op, "family", op).name
    if name in NUMPY_ONLY:
        raise errors.needs_numpy()
    forward = elsewhere.get(name, op.forward)

    def run(*arguments):
        with warnings.catch_warnings():  # Dask warns before it converts itself to NumPy
            warnings.simplefilter("error", FutureWarning)
            result = forward(*arguments)
        if not is_foreign(result):
            raise errors.left_library(arguments)
        if result.size != result.size:  # nan
            raise errors.unknown_shape(result)
        return result

    return run


def compute(*tensors):
    """Computes lazy data of Tensors, all in one go, and puts NumPy arrays in their place.

    For a training step: compute(loss, *(w.grad for w in model.parameters())). Data that are NumPy
    arrays stay as they are. Arrays of libraries without `compute`, such as CuPy's, come by their
    method `get`. Raises TypeError for what is no Tensor.
    """
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"compute: pass Tensors, not a {type(t).__name__}.")
    lazy = [t for t in tensors if t.flags & FOREIGN]
    if not lazy:
        return
    if hasattr(lazy[0].data, "dask"):
        arrays = import_module("dask").compute(*[t.data for t in lazy])
    else:
        arrays = [t.data.get() for t in lazy]
    for t, array in zip(lazy, arrays):
        t.data, t.flags = np.asarray(array), t.flags & ~FOREIGN


def drawn(law, rng, shape, dtype, like):
    """An array of noise of the library of `like`, which broadcasts to its shape.

    The chunks are those of `like`, and each has a generator of its own, seeded by one number of
    `rng` and the place of the chunk. So the noise depends on the chunks, not on the workers.
    """
    if not hasattr(like, "map_blocks"):
        return np.asarray(np.asarray(law.draw(rng, shape, dtype), dtype), like=like)
    seed = int(rng.integers(2**63))
    chunks = tuple((1,) if n == 1 else sizes for n, sizes in zip(shape, like.chunks))
    arguments = {"law": law, "seed": seed, "dtype": dtype, "chunks": chunks}
    return import_module("dask.array").map_blocks(
        _chunk, meta=np.empty((0,) * len(shape), dtype), **arguments
    )


def _chunk(law, seed, block_info):
    made = block_info[None]
    rng = np.random.default_rng([seed, *made["chunk-location"]])
    return np.asarray(law.draw(rng, made["chunk-shape"], made["dtype"]), made["dtype"])


def checked(array, check):
    """The array. check(chunk) runs on each chunk of a lazy array when it is computed."""
    if not hasattr(array, "map_blocks"):
        check(array)
        return array
    return array.map_blocks(_checked, check, meta=np.empty((0,) * array.ndim, array.dtype))


def _checked(chunk, check):
    check(chunk)
    return chunk


# ------------------------------------------------------------------------------------- reductions


def logsumexp(x, axis, keepdims):
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    out = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


def log_softmax(x, axis):
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


# --------------------------------------------------------------------------------------- indexing


def scatter(x, shape, *index):
    """Without entries that are named twice: each axis reads its entries of x, or a zero."""
    ellipses = [i for i, part in enumerate(index) if part is ...]
    for i in ellipses:
        named = sum(part is not None for part in index) - 1
        index = (*index[:i], *[slice(None)] * (len(shape) - named), *index[i + 1 :])
    arrays = [part for part in index if hasattr(part, "shape")]
    if any(map(is_foreign, arrays)) or (arrays and any(isinstance(part, int) for part in index)):
        raise errors.needs_numpy()
    axis = 0
    for part in index:
        if part is None:
            x = np.squeeze(x, axis)
            continue
        places = np.arange(shape[axis])[part]
        if isinstance(part, numbers.Integral):
            x, places = np.expand_dims(x, axis), places.reshape(1)
        if np.unique(places).size < places.size:
            raise errors.needs_numpy()
        sources = np.full(shape[axis], places.size)
        sources[places] = np.arange(places.size)
        x = np.take(np.pad(x, [(0, i == axis) for i in range(x.ndim)]), sources, axis)
        axis += 1
    return x


# ----------------------------------------------------------------------------------------- losses


def _shares(x, target, reduction, ignore_index, smoothing):
    """(the axis of the classes, the derivative of each loss by the scores x, the divisor)."""
    axis, count = losses.class_axis(x), target.size
    classes = np.arange(x.shape[axis]).reshape(-1, *[1] * (x.ndim - axis - 1))
    shares = (smoothing - 1) * (np.expand_dims(target, axis) == classes)
    shares = (shares - smoothing / x.shape[axis]).astype(x.dtype)
    if ignore_index is not None:
        kept = target != ignore_index
        shares, count = np.where(np.expand_dims(kept, axis), shares, 0), np.sum(kept, dtype=x.dtype)
    return axis, shares, count if reduction == "mean" else 1


def nll_loss(x, target, reduction, *settings):
    axis, shares, count = _shares(x, target, reduction, *settings)
    terms = shares * np.where(shares, x, 0)  # x may be -inf
    return np.sum(terms, axis=axis if reduction == "none" else None) / count


def put_back(g, like, target, reduction, *settings):
    axis, shares, count = _shares(like, target, reduction, *settings)
    return shares * (np.expand_dims(g, axis) if reduction == "none" else g / count)


elsewhere = {
    "sum": lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
    "mean": lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims),
    "logsumexp": logsumexp,
    "log_softmax": log_softmax,
    "softmax": lambda x, axis: np.exp(log_softmax(x, axis)),
    "scatter": scatter,
    "nll_loss": nll_loss,
    "put_back": put_back,
    "clip": np.clip,
    "einsum": np.einsum,
    "linear": lambda x, weight, bias: np.matmul(x, weight.T) + (0 if bias is None else bias),
    "dropout": lambda x, noise, p, scaling: x * (noise * _scale(p, scaling)),
}

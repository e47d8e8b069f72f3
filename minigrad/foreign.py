"""Arrays of other libraries as data of Tensors, if NumPy's functions accept them: Dask, CuPy.

Most ops are NumPy functions, and NumPy hands foreign arrays to their own library. So a graph of
Dask arrays is lazy, forward and backward, and nothing is computed before you ask. Some ops use more
than NumPy's protocols: this file writes their forwards with functions of NumPy alone. Other ops
need a NumPy array: this file lists their names. They refuse foreign arrays, so nothing becomes a
NumPy array silently. `python -m tests.foreign.table` prints which ops work with which library.
"""

import numbers
import warnings
from importlib import import_module

import numpy as np

from . import errors
from .array import FOREIGN, as_list, is_array, is_foreign, known
from .engine import Tensor
from .modes import scope
from .ops import losses

NUMPY_ONLY = {"convolve", "convolve_input", "convolve_weight", "erf", "erfc", "prod"}
NUMPY_ONLY |= {"solve_matrices", "inv", "det", "logabsdet", "sign_of_det", "pinv"}
NUMPY_ONLY |= {"lower_cholesky", "eigh_in_one", "svd_in_one", "qr_in_one", "searchsorted"}

# {name of an op: how many of its first arguments become arrays of the library}
ALIKE = {"linear": 1, "getitem": 1, "dropout": 2, "nll_loss": 2, "put_back": 3}


def forward(op, arguments):
    """The forward of an op for arguments with foreign arrays among them.

    Raises TypeError for an op of NUMPY_ONLY and for libraries that do not mix, before anything is
    computed, and for a forward that returns a NumPy array; ValueError for an unknown shape.
    """
    arrays = [*filter(is_array, arguments)]
    libraries = set(map(errors.library_of, arrays))
    like, n = next(filter(is_foreign, arrays)), ALIKE.get(op.name, 0)
    if hasattr(like, "page"):  # a Symbol of program/symbols.py: its page writes the op down
        return like.page.run(op, arguments)
    if op.name in NUMPY_ONLY:
        raise errors.not_numpy(like)
    if len(libraries - {"numpy"}) > 1:
        raise errors.mixed(libraries)
    arguments = [*(np.asarray(a, like=like) for a in arguments[:n]), *arguments[n:]]
    try:
        result = run(elsewhere.get(op.name, op.forward), *map(known, arguments))
    except TypeError as error:
        if len(libraries) == 1:
            raise
        raise errors.mixed(libraries, error) from error
    if not is_foreign(result):
        raise errors.left_library(like)
    return known(result)


def run(function, *arguments, **keywords):
    """function(...) of foreign arrays. Raises TypeError where Dask would make a NumPy array."""
    with warnings.catch_warnings():  # Dask warns before it converts an array
        warnings.simplefilter("error", FutureWarning)
        try:
            return function(*arguments, **keywords)
        except FutureWarning as warning:
            raise errors.not_there(warning) from None


def compute(*tensors):
    """Computes lazy data of Tensors, all together, and puts NumPy arrays in their place.

    For a training step: compute(loss, *(w.grad for w in model.parameters())). Data that are NumPy
    arrays stay as they are. Arrays with a method `get`, such as CuPy's, are fetched with it. Raises
    TypeError for an argument that is not a Tensor, and Dask's errors. Then nothing has changed.
    """
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"compute: pass Tensors, not a {type(t).__name__}.")
    arrays = [t.data for t in tensors]
    if any(hasattr(a, "dask") for a in arrays):
        arrays = import_module("dask").compute(*arrays)
    for t, array in zip(tensors, arrays):
        t.data, t.flags = _entries(array), t.flags & ~FOREIGN


def _entries(array):
    """A computed array as an ndarray: CuPy's arrays have a method for this."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def drawn(law, rng, shape, dtype, like):
    """An array of noise in the library of `like`. It broadcasts to the shape of `like`.

    It has the chunks of `like`. Each chunk has its own generator, seeded by one number of `rng` and
    the place of the chunk. So the noise depends on the chunks, not on the workers.
    """
    if not hasattr(like, "map_blocks"):
        return np.asarray(np.asarray(law.draw(rng, shape, dtype), dtype), like=like)
    seed = int(rng.integers(2**63))

    def chunk(block_info):
        made = block_info[None]
        own = np.random.default_rng([seed, *made["chunk-location"]])
        return np.asarray(law.draw(own, made["chunk-shape"], dtype), dtype)

    chunks = tuple((1,) if n == 1 else sizes for n, sizes in zip(shape, like.chunks))
    meta = np.empty((0,) * len(shape), dtype)
    return import_module("dask.array").map_blocks(chunk, chunks=chunks, meta=meta)


def checked(array, check):
    """The array. check(chunk) runs on each chunk of a lazy array when it is computed.

    Its errors get the name of the composition that runs now.
    """
    _, caller, _ = scope.get() or (None, None, None)

    def run(chunk):
        try:
            check(_entries(chunk))
        except errors.WRONG_CALL as error:
            raise errors.named(error, getattr(caller, "name", "")) from None
        return chunk

    is_lazy = hasattr(array, "map_blocks")
    return array.map_blocks(run, meta=array._meta) if is_lazy else run(array)


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
    """The op scatter, if no entry is named twice: each place reads its entry of x, or 0."""
    ellipses = [i for i, part in enumerate(index) if part is ...]
    for i in ellipses:
        named = sum(part is not None for part in index) - 1
        index = (*index[:i], *[slice(None)] * (len(shape) - named), *index[i + 1 :])
    arrays = [part for part in index if hasattr(part, "shape")]
    if any(map(is_foreign, arrays)) or (arrays and any(isinstance(part, int) for part in index)):
        raise errors.not_numpy(x)
    axis = 0
    for part in index:
        if part is None:
            x = np.squeeze(x, axis)
            continue
        places = np.arange(shape[axis])[part]
        if isinstance(part, numbers.Integral):
            x, places = np.expand_dims(x, axis), places.reshape(1)
        if np.unique(places).size < places.size:
            raise errors.not_numpy(x)
        sources = np.full(shape[axis], places.size)
        sources[places] = np.arange(places.size)
        x = np.take(np.pad(x, [(0, i == axis) for i in range(x.ndim)]), sources, axis)
        axis += 1
    return x


# ----------------------------------------------------------------------------------------- losses


def _shares(x, target, reduction, ignore_index, smoothing, weight=None):
    """(the axis of the classes, the derivative of each loss by the scores x, the divisor)."""
    axis, weight = losses.class_axis(x), 1 if weight is None else weight
    classes = np.arange(x.shape[axis], like=target).reshape((-1, *[1] * (x.ndim - axis - 1)))
    chosen = np.where(np.expand_dims(target, axis) == classes, weight, 0)
    shares = (smoothing - 1) * chosen - (smoothing / x.shape[axis] * weight if smoothing else 0)
    if ignore_index is not None:
        kept = np.expand_dims(target != ignore_index, axis)
        chosen, shares = np.where(kept, chosen, 0), np.where(kept, shares, 0)
    count = np.sum(chosen, dtype=x.dtype) if reduction == "mean" else 1
    return axis, shares.astype(x.dtype), count


def nll_loss(x, target, reduction, *settings):
    axis, shares, count = _shares(x, target, reduction, *settings)
    terms = shares * np.where(shares, x, 0)  # x may be -inf
    return np.sum(terms, axis=axis if reduction == "none" else None) / count


def put_back(g, like, target, reduction, *settings):
    axis, shares, count = _shares(like, target, reduction, *settings)
    return shares * (np.expand_dims(g, axis) if reduction == "none" else g / (count + (count == 0)))


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
    "l1_penalty": lambda c, *ws: c * sum(np.sum(np.abs(w)) for w in ws),
    "l2_penalty": lambda c, *ws: c * sum(np.sum(w * w) for w in ws),
    "elastic_net": lambda l1, l2, *ws: sum(np.sum(l1 * np.abs(w) + l2 * w * w) for w in ws),
    "relu": lambda x: np.maximum(x, 0),
    "reshape": lambda x, shape: np.reshape(x, tuple(as_list(shape))),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, tuple(as_list(shape))),
}

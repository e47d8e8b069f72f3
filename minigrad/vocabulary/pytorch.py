"""PyTorch's names for functions, methods and the making of tensors, and advice where none exists.

A name is spelled as in PyTorch and means what it means there: mg.max(x, 1) and x.max(dim=1) give
values and indices. The functions themselves are NumPy's. `dim=` and `keepdim=` are `axis=` and
`keepdims=`. Methods that Tensor has from NumPy, such as t.max(1), keep NumPy's meaning. A name with
two meanings is refused, and so is one that does not exist: the error says what to write.
"""

from collections import namedtuple

import numpy as np

from .. import array, errors
from ..array import data_of
from ..changes import mark_changed
from ..engine import Tensor
from ..modes import recording
from ..noise import stream
from ..ops import erf, log_softmax, logsumexp, relu, sigmoid, softmax, softplus
from .elementwise import erfc
from .keywords import BY_DIM, SAME
from .reductions import picked

# ------------------------------------------------------------------------------------- NumPy's own

SAME_NAME = """
    abs add all any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin atleast_1d
    atleast_2d atleast_3d broadcast_to ceil clip copysign corrcoef cos cosh count_nonzero cov cross
    cumprod cumsum deg2rad diag diagflat diagonal diff divide dot exp exp2 expm1 fix flip
    fliplr flipud float_power floor floor_divide fmax fmin fmod greater greater_equal hypot inner
    isclose isfinite isinf isnan isreal kron less less_equal log log10 log1p log2 logaddexp
    logaddexp2 logical_and logical_not logical_or logical_xor matmul maximum mean minimum moveaxis
    multiply nan_to_num nanmean nanquantile nansum negative not_equal outer positive prod quantile
    rad2deg ravel real reciprocal remainder reshape roll rot90 round sign signbit sin sinc sinh
    sqrt square squeeze subtract sum swapaxes take tan tanh tile trace trapezoid tril triu trunc
    vdot where"""
OTHER_NAME = """
    absolute abs  acos arccos  acosh arccosh  asin arcsin  asinh arcsinh  atan arctan  atan2 arctan2
    atanh arctanh  sub subtract  mul multiply  div divide  true_divide divide  neg negative
    pow power  mm matmul  bmm matmul  mv matmul  ger outer  clamp clip  amax max  amin min
    eq equal  ne not_equal  lt less  le less_equal  gt greater  ge greater_equal  sgn sign
    swapdims swapaxes  movedim moveaxis  unsqueeze expand_dims  trapz trapezoid
    adjoint matrix_transpose"""
OF_LISTS = """
    broadcast_tensors broadcast_arrays  cat concatenate  concat concatenate
    column_stack column_stack  dstack dstack  einsum einsum  hstack hstack  stack stack
    tensordot tensordot  vstack vstack  allclose allclose"""


def spelled(function):
    """A NumPy function as PyTorch calls it. An op knows PyTorch's keywords by itself."""
    own = array.numpy_functions.get(function)
    if hasattr(own, "op") and (own.op.defaults or isinstance(function, np.ufunc)):
        return own

    def call(*args, **keywords):
        return function(*args, **{SAME.get(name, name): v for name, v in keywords.items()})

    call.__name__ = function.__name__
    call.__doc__ = f"np.{function.__name__}, with PyTorch's keywords dim= and keepdim=."
    return call


def _table(text):
    words = text.split()
    return {name: spelled(getattr(np, numpys)) for name, numpys in zip(words[::2], words[1::2])}


# --------------------------------------------------------------------- functions that NumPy has not

Extreme = namedtuple("Extreme", "values indices")


def permute(x, *dims):
    """x with its axes in the order dims: x.permute(2, 0, 1) or x.permute((2, 0, 1))."""
    return np.transpose(x, _sizes(dims))


def expand(x, *sizes):
    """x broadcast to these sizes; -1 keeps the size of an axis."""
    sizes = _sizes(sizes)
    own = (1,) * (len(sizes) - x.ndim) + x.shape
    return np.broadcast_to(x, tuple(n if size == -1 else size for n, size in zip(own, sizes)))


def t(x):
    """The transpose of a matrix; a vector as it is. Raises ValueError for more axes."""
    if x.ndim > 2:
        raise ValueError(f"t of {x.shape}: a matrix is needed. Use x.mT, or x.permute(...).")
    return np.transpose(x)


def mT(x):
    """The transposes of matrices."""
    return np.swapaxes(x, -1, -2)


def norm(x, p=2, dim=None, keepdim=False):
    """The p-norm of vectors along `dim`, by default of all entries. 0 has the gradient 0."""
    return np.linalg.vector_norm(x, ord=2 if p == "fro" else p, axis=dim, keepdims=keepdim)


def masked_fill(x, mask, value):
    """x with `value` where the mask is true."""
    return np.where(mask, value, x)


def masked_select(x, mask):
    """The entries of x where the mask is true, as a vector."""
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape))[data_of(mask)]


def gather(x, dim, index):
    """The entries of x at `index` along `dim`, one for each index."""
    dim = dim % x.ndim
    rest = tuple(slice(None if i == dim else n) for i, n in enumerate(np.shape(index)))
    return np.take_along_axis(x[rest], index, dim)


def index_select(x, dim, index):
    """The slices of x along `dim` with these indices."""
    return np.take(x, index, dim)


def argsort(x, dim=-1, descending=False, stable=False):
    """The positions that sort x along `dim`."""
    return np.argsort(-x if descending else x, axis=dim, kind="stable" if stable else None)


def sort(x, dim=-1, descending=False, stable=False):
    """(values, indices) of x sorted along `dim`."""
    indices = argsort(x, dim, descending, stable)
    return Extreme(picked(x, indices, dim), indices)


def topk(x, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the k largest entries along `dim`, the largest first."""
    values, indices = sort(x, dim, descending=largest)
    first = (slice(None),) * (dim % x.ndim) + (slice(k),)
    return Extreme(values[first], indices[first])


def _extreme(arg, reduce):
    def extreme(x, dim=None, keepdim=False):
        """(values, indices) along `dim`; without dim, the value. Ties: the first one is taken."""
        if isinstance(dim, Tensor):
            return (np.maximum if reduce is np.max else np.minimum)(x, dim)
        if dim is None:
            return reduce(x)
        indices = arg(x, axis=dim, keepdims=True)
        values = picked(x, indices, dim)
        return Extreme(*(a if keepdim else np.squeeze(a, dim) for a in (values, indices)))

    return extreme


def _spread(reduce):
    def spread(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
        """The variance or the standard deviation, with the divisor n - correction.

        Raises TypeError without `correction`: PyTorch's default is 1, NumPy's is 0.
        """
        ddof = unbiased if correction is None else correction
        if ddof is None:
            raise TypeError(f"{reduce.__name__}: PyTorch divides by n - 1, NumPy by n. Write correction=1 or 0.")
        return reduce(x, axis=dim, ddof=int(ddof), keepdims=keepdim)

    return spread


def split(x, split_size_or_sections, dim=0):
    """Parts of x along `dim` of this size, the last one perhaps smaller, or of these sizes."""
    size = split_size_or_sections
    n = x.shape[dim]
    sizes = size if not isinstance(size, int) else [min(size, n - i) for i in range(0, n, size)]
    if sum(sizes) != n:
        raise ValueError(f"split of {x.shape}: sizes {sizes} do not add up to {n}.")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], dim))


def chunk(x, chunks, dim=0):
    """At most `chunks` parts of x along `dim`, all of one size but the last."""
    return split(x, max(1, -(-x.shape[dim] // chunks)), dim)


def unbind(x, dim=0):
    """The slices of x along `dim`."""
    return tuple(np.moveaxis(x, dim, 0))


def repeat_interleave(x, repeats, dim=None):
    """Each entry along `dim`, `repeats` times."""
    return np.repeat(x, data_of(repeats), dim)


def meshgrid(*tensors, indexing="ij"):
    """The coordinates of a grid."""
    return np.meshgrid(*tensors, indexing=indexing)


def addmm(x, a, b):
    """x + a @ b."""
    return x + a @ b


def lerp(x, end, weight):
    """x + weight (end - x)."""
    return x + weight * (end - x)


def _cast(dtype):
    return lambda x: x.astype(dtype)


FUNCTIONS = {  # of a tensor and settings: mg.f(x, ...) and x.f(...)
    **_table(" ".join(f"{name} {name}" for name in SAME_NAME.split())),
    **_table(OTHER_NAME),
    **{f.__name__: f for f in (erf, erfc, log_softmax, logsumexp, relu, sigmoid, softmax, softplus)},
    **{f.__name__: f for f in (permute, t, norm, masked_fill, masked_select, gather, index_select)},
    **{f.__name__: f for f in (argsort, sort, topk, split, chunk, unbind, repeat_interleave)},
    **{f.__name__: f for f in (addmm, lerp)},
    **{name: getattr(np.linalg, name) for name in ("det", "slogdet", "matrix_power")},
    "inverse": np.linalg.inv,
    "pinverse": np.linalg.pinv,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "frac": lambda x: x - np.trunc(x),
    "clone": lambda x: +x,
    "equal": lambda x, y: np.array_equal(x, y),
    "numel": lambda x: x.size,
    "max": _extreme(np.argmax, np.max),
    "min": _extreme(np.argmin, np.min),
    "var": _spread(np.var),
    "std": _spread(np.std),
}
ONLY_METHODS = {
    "view": lambda x, *shape: x.reshape(*shape),
    "view_as": lambda x, other: np.reshape(x, other.shape),
    "reshape_as": lambda x, other: np.reshape(x, other.shape),
    "expand": expand,
    "expand_as": lambda x, other: np.broadcast_to(x, other.shape),
    "contiguous": lambda x: x,
    "cpu": lambda x: x,
    "copy": lambda x: +x,
    "dim": lambda x: x.ndim,
    "nelement": lambda x: x.size,
    "type_as": lambda x, other: x.astype(other.dtype),
    "is_floating_point": lambda x: x.dtype.kind == "f",
    "new_zeros": lambda x, *size: Tensor(np.zeros(_sizes(size), x.dtype)),
    "new_ones": lambda x, *size: Tensor(np.ones(_sizes(size), x.dtype)),
    "float": _cast(np.float32),
    "double": _cast(np.float64),
    "half": _cast(np.float16),
    "long": _cast(np.int64),
    "int": _cast(np.int32),
    "bool": _cast(np.bool_),
}
PROPERTIES = {"mT": mT, "H": t}

# -------------------------------------------------------------------------------------- in place

NEW_VALUES = {  # t.zero_() takes the values of "zero"
    "zero": lambda x: np.zeros_like(x),
    "fill": lambda x, value: np.full_like(x, value),
    "copy": lambda x, source: source,
    "normal": lambda x, mean=0.0, std=1.0: stream("tensors").normal(mean, std, x.shape),
    "uniform": lambda x, low=0.0, high=1.0: stream("tensors").uniform(low, high, x.shape),
}


def _in_place(tensor, name):
    """The method t.f_(...): t with the values of t.f(...). `name`: f_."""
    function = NEW_VALUES.get(name[:-1]) or getattr(Tensor, name[:-1])

    def update(*args, **keywords):
        if not tensor.is_leaf:
            made = f"is the result of {tensor.op.name} and belongs to a graph"
            raise RuntimeError(f"t.{name} in place: t {made}. Write t = t.{name[:-1]}(...).")
        if recording.get() and tensor.requires_grad:
            raise errors.update_of_leaf(tensor, f".{name}")
        value = function(tensor.detach(), *args, **keywords)
        if getattr(value, "requires_grad", False) and recording.get():
            raise RuntimeError(f"t.{name}: t would join a graph. Write t = t.{name[:-1]}(...).")
        if np.shape(value) not in ((), tensor.shape):
            raise ValueError(f"t.{name}: the result of shape {np.shape(value)} is not {tensor.shape}.")
        mark_changed(tensor)
        np.copyto(tensor.data, data_of(value), casting="same_kind")
        return tensor

    return update


# ------------------------------------------------------------------------------- making of tensors


def _sizes(sizes):
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes


def _maker(function, takes_sizes=False):
    """A function that makes a tensor of what `function` returns, in the default dtype if float64."""

    def make(*args, dtype=None, requires_grad=False, **keywords):
        given = (_sizes(args),) if takes_sizes else map(data_of, args)
        made = np.asarray(function(*given, **keywords))
        if dtype is None and made.dtype == np.float64:
            dtype = array.default_dtype
        return Tensor(made, requires_grad, dtype=dtype)

    return make


def _alike(function):
    """A function that makes a tensor with the shape and the dtype of another one."""

    def make(x, *args, dtype=None, requires_grad=False):
        made = np.asarray(function(x.shape, *args))
        return Tensor(made, requires_grad, dtype=dtype or x.dtype)

    return make


def _normal(sizes):
    return stream("tensors").standard_normal(sizes)


def _uniform(sizes):
    return stream("tensors").random(sizes)


def _whole(low, high, size=None):
    return stream("tensors").integers(low, high, size) if size is not None else _whole(0, low, high)


ONLY_MODULE = {
    **_table(OF_LISTS),
    "meshgrid": meshgrid,
    "zeros": _maker(np.zeros, True),
    "ones": _maker(np.ones, True),
    "empty": _maker(np.zeros, True),
    "rand": _maker(_uniform, True),
    "randn": _maker(_normal, True),
    "randint": _maker(_whole),
    "randperm": _maker(lambda n: stream("tensors").permutation(n)),
    "full": _maker(lambda size, fill_value: np.full(size, fill_value)),
    "arange": _maker(np.arange),
    "linspace": _maker(lambda start, end, steps: np.linspace(start, end, steps)),
    "logspace": _maker(lambda start, end, steps, base=10.0: np.logspace(start, end, steps, base=base)),
    "eye": _maker(np.eye),
    "zeros_like": _alike(np.zeros),
    "ones_like": _alike(np.ones),
    "empty_like": _alike(np.zeros),
    "full_like": _alike(np.full),
    "rand_like": _alike(_uniform),
    "randn_like": _alike(_normal),
    "from_numpy": lambda ndarray: Tensor(ndarray),
    "as_tensor": lambda data, dtype=None: data if isinstance(data, Tensor) else Tensor(data, dtype=dtype),
    "is_tensor": lambda x: isinstance(x, Tensor),
    "linalg": np.linalg,
    **{name: getattr(np, name) for name in ("float16", "float32", "float64", "int8", "int16")},
    **{name: getattr(np, name) for name in ("int32", "int64", "uint8", "pi", "inf", "nan")},
    **{"float": np.float32, "double": np.float64, "half": np.float16},
    **{"long": np.int64, "int": np.int32, "bool": np.bool_},
}

# ------------------------------------------------------------------------------------ what to write

NO_DEVICE = "minigrad computes on the CPU: leave devices out. t.astype(dtype) casts"
RUNS_HERE = "the program runs as it is written: leave this out"
ADVICE = {  # what a name that does not exist, or that means two things, should be
    "Tensor": {
        **dict.fromkeys(("to", "cuda", "device", "is_cuda", "pin_memory"), NO_DEVICE),
        "repeat": "PyTorch's repeat is np.tile(t, times), NumPy's is np.repeat(t, times)",
        "nonzero": "PyTorch's nonzero is np.argwhere(t), NumPy's is np.nonzero(t)",
        "median": "np.median(t) takes the mean of the two in the middle, PyTorch takes the lower "
        'one: np.quantile(t, 0.5, method="lower")',
        "register_hook": "call mg.grad(loss, t), or t.retain_grad() before backward",
        "scatter": "minigrad.ops.scatter(x, index, shape) adds entries into zeros",
        "unique": "write np.unique(t.numpy()): no gradient flows through it",
        "item_": "write t.item()",
    },
    "minigrad": {
        **dict.fromkeys(("device", "cuda", "backends", "mps", "amp", "autocast"), NO_DEVICE),
        **dict.fromkeys(("compile", "jit", "fx", "set_num_threads"), RUNS_HERE),
        "DataLoader": "write mg.data.Batches(x, y, batch_size=32)",
        "utils": "for utils.data.DataLoader write mg.data.Batches(x, y, batch_size=32)",
        "autograd": "mg.grad(outputs, inputs), mg.gradcheck(f, inputs)",
        "transpose": "write np.swapaxes(x, 0, 1), or np.transpose(x, axes)",
        "median": 'write np.median(x), or np.quantile(x, 0.5, method="lower") as in PyTorch',
        "nonzero": "write np.argwhere(x) as in PyTorch, or np.nonzero(x)",
        "inference_mode": "write mg.no_grad()",
        "enable_grad": "leave mg.no_grad() instead",
        "use_deterministic_algorithms": RUNS_HERE,
        "get_default_dtype": "write minigrad.array.default_dtype",
        "optim": "import it: from minigrad import optim",
    },
    "minigrad.functional": {
        "pad": "write np.pad(x, pad_width): one (before, after) for each axis, the first axis first",
        "one_hot": "write np.eye(classes)[labels]",
        "interpolate": "write np.repeat along each axis, or a transposed convolution",
    },
    "minigrad.nn": {
        "DataParallel": NO_DEVICE,
        "functional": "import minigrad.functional as F",
        "utils": "optim.clip_grad_norm_(parameters, max_norm) limits gradients",
        "init": "nn.init is minigrad.nn.initialisers",
    },
    "minigrad.optim": {
        "lr_scheduler": "schedules are functions: optim.step_decay, optim.exponential, optim.cosine",
    },
}


def attribute(owner, name, tensor=None):
    """What `owner` has under a name of PyTorch, or AttributeError with the advice for it."""
    if tensor is not None and hasattr(Tensor, name):
        return getattr(tensor, name)  # the import of this file has attached it
    if tensor is not None and name.endswith("_"):
        if name[:-1] in NEW_VALUES or hasattr(Tensor, name[:-1]):
            return _in_place(tensor, name)
    if owner == "minigrad" and name in MODULE:
        return MODULE[name]
    advice = ADVICE.get(owner, {}).get(name)
    raise AttributeError(f"{owner} has no attribute {name!r}" + (f": {advice}." if advice else "."))


MODULE = FUNCTIONS | ONLY_MODULE
BY_DIM["max"] = lambda given, others: FUNCTIONS["max"](given["x"], given["axis"], given["keepdims"])
BY_DIM["min"] = lambda given, others: FUNCTIONS["min"](given["x"], given["axis"], given["keepdims"])


def _spread_by_dim(name):
    def spread(given, others):
        correction = others.get("correction", others.get("unbiased"))
        settings = {"keepdim": given["keepdims"], "correction": correction}
        return FUNCTIONS[name](given["x"], given["axis"], **settings)

    return spread


BY_DIM["var"], BY_DIM["std"] = _spread_by_dim("var"), _spread_by_dim("std")
for name, method in (FUNCTIONS | ONLY_METHODS).items():
    if not hasattr(Tensor, name):
        setattr(Tensor, name, method)
for name, getter in PROPERTIES.items():
    setattr(Tensor, name, property(getter))

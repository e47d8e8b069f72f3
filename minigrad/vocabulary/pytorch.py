"""PyTorch's names for functions, methods, keywords and the making of tensors, and advice.

Such a name has PyTorch's meaning: mg.max(x, 1) and x.max(dim=1) give values and indices. The
functions are NumPy's: `dim=` and `keepdim=` are their `axis=` and `keepdims=`. Methods that Tensor
has from NumPy keep NumPy's meaning: x.max(1) gives values. A name with two meanings and an unknown
name raise an error, which often says what to write.
"""

from collections import namedtuple

import numpy as np

from .. import array, errors, later
from ..array import entries_of, is_recorded
from ..changes import mark_changed
from ..engine import Tensor, record
from ..modes import recording
from ..noise import stream
from ..ops import erf, log_softmax, logsumexp, relu, sigmoid, softmax, softplus
from ..ops.elementwise import floats
from ..ops.indexing import plain
from ..ops.methods import several
from ..registry import OTHER_NAMES
from .elementwise import erfc
from .linalg import vector_norm
from .reductions import picked

# ---------------------------------------------------------------------------- NumPy's own functions

OTHER_MEANING = """gradient median nanmedian nonzero repeat resize select size std transpose unique
    unstack var"""
RENAMED = """abs absolute  acos arccos  acosh arccosh  asin arcsin  asinh arcsinh  atan arctan
    atan2 arctan2  atanh arctanh  sub subtract  mul multiply  div divide  true_divide divide
    neg negative  pow power  mm matmul  bmm matmul  mv matmul  ger outer  clamp clip  eq equal
    ne not_equal  lt less  le less_equal  gt greater  ge greater_equal  sgn sign  swapdims swapaxes
    movedim moveaxis  unsqueeze expand_dims  cat concatenate  broadcast_tensors broadcast_arrays"""

# PyTorch's keyword, or a newer one of NumPy -> the setting
SAME = {name: setting for setting, name in OTHER_NAMES.items()}
SAME |= {"dims": "axis", "dim0": "axis1", "dim1": "axis2"}


def in_numpys_words(keywords):
    """The keywords with NumPy's names. A list of axes becomes a tuple."""
    return {
        SAME.get(name, name): tuple(value) if name == "dim" and type(value) is list else value
        for name, value in keywords.items()
    }


def spelled(function):
    """A NumPy function with PyTorch's keywords."""

    def call(*args, **keywords):
        return function(*args, **in_numpys_words(keywords))

    call.__name__, call.__doc__ = function.__name__, f"np.{function.__name__}."
    return call


words = RENAMED.split()
NUMPYS = {f.__name__: f for f in array.numpy_functions if hasattr(np, f.__name__)}
NUMPYS |= {name: getattr(np, numpys) for name, numpys in zip(words[::2], words[1::2])}
NUMPYS = {name: spelled(f) for name, f in NUMPYS.items() if name not in OTHER_MEANING.split()}

# ------------------------------------------------------------------- functions of PyTorch's meaning

ValuesAndIndices = namedtuple("ValuesAndIndices", "values indices")


def expand(x, *sizes):
    """x broadcast to these sizes; -1 keeps the size of an axis."""
    sizes = several(sizes)
    own = (1,) * (len(sizes) - x.ndim) + x.shape
    return np.broadcast_to(x, tuple(n if size == -1 else size for n, size in zip(own, sizes)))


def t(x):
    """The transpose of a matrix; a vector as it is. Raises ValueError for more axes."""
    if x.ndim > 2:
        raise ValueError(f"t of {x.shape}: a matrix is needed. Use x.mT, or x.permute(...).")
    return np.transpose(x)


def norm(x, p=2, dim=None, keepdim=False):
    """The p-norm of vectors along `dim`, by default of all entries. At 0 its gradient is 0."""
    return vector_norm(floats(x), 2 if p == "fro" else p, dim, keepdim)


def gather(x, dim, index):
    """The entries of x at `index` along `dim`, one for each index."""
    sizes = np.shape(index)
    rest = tuple(slice(None if i == dim % x.ndim else n) for i, n in enumerate(sizes))
    return np.take_along_axis(x[rest], index, dim)


def argsort(x, dim=-1, descending=False, stable=False):
    """The positions that sort x along `dim`."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable" if stable else None)
    last = np.shape(x)[dim] - 1  # from the end, so that nan comes first and ties keep their order
    return last - np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)


def sort(x, dim=-1, descending=False, stable=False):
    """(values, indices) of x sorted along `dim`."""
    indices = argsort(x, dim, descending, stable)
    return ValuesAndIndices(picked(x, indices, dim), indices)


def topk(x, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the k largest (or smallest) entries along `dim`, always sorted."""
    return ValuesAndIndices(*(np.take(a, range(k), dim) for a in sort(x, dim, largest)))


def _extreme(position, reduce, of_two):
    def extreme(x, dim=None, keepdim=False):
        """(values, indices) along `dim`, the first of ties; without dim, the value alone."""
        if isinstance(dim, Tensor):
            return of_two(x, dim)
        if dim is None:
            return reduce(x)
        indices = position(x, axis=dim, keepdims=True)
        both = picked(x, indices, dim), indices
        return ValuesAndIndices(*(a if keepdim else np.squeeze(a, dim) for a in both))

    return extreme


def split(x, split_size_or_sections, dim=0):
    """Parts of x of this size, the last one perhaps smaller, or of these sizes.

    Raises ValueError if these sizes do not add up to the size of the axis.
    """
    sizes, n = split_size_or_sections, x.shape[dim]
    sizes = [min(sizes, n - i) for i in range(0, n, sizes)] if isinstance(sizes, int) else sizes
    if sum(sizes) != n:
        raise ValueError(f"split of {x.shape}: sizes {sizes} do not add up to {n}.")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], dim))


OPS = erf, erfc, log_softmax, logsumexp, relu, sigmoid, softmax, softplus
FUNCTIONS = {f.__name__: f for f in (*OPS, norm, t, gather, argsort, sort, topk, split)} | {
    "permute": lambda x, *dims: np.transpose(x, several(dims)),
    **dict.fromkeys(("clone", "copy"), lambda x: np.copy(x) if x.dtype == bool else +x),
    "equal": np.array_equal,
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "index_select": lambda x, dim, index: np.take(x, index, dim),
    "max": _extreme(np.argmax, np.max, np.maximum),
    "min": _extreme(np.argmin, np.min, np.minimum),
    "chunk": lambda x, chunks, dim=0: split(x, -(-x.shape[dim] // chunks) or 1, dim),
    "unbind": lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
    "det": np.linalg.det,
    "inverse": np.linalg.inv,
    "numel": lambda x: x.size,
    "reshape": Tensor.reshape,
}

# ---------------------------------------------------------------------------- other keywords of ops

CAST = "sum", "prod", "mean", "var", "std", "cumsum"  # the ops with NumPy's dtype=


def by_keywords(op, args, others):
    """op(*args) with more keywords, of NumPy or PyTorch, in their meaning there.

    Raises TypeError for other keywords, and for std and var with dim= but no correction=.
    """
    others = {name: value for name, value in others.items() if value is not None}
    given, renamed, dtype = dict(zip(op.names, args)), in_numpys_words(others), None
    for name in renamed:
        if given.get(name) is not op.defaults.get(name):
            raise TypeError(f"{op.name}() got multiple values for argument {name!r}")
    given |= renamed
    if "dtype" in given and op.name in CAST:
        dtype = np.dtype(given.pop("dtype"))
        if dtype.kind != "f" and op.name in ("mean", "var", "std"):
            raise TypeError(f"{op.name}: a float dtype is needed, not {dtype}.")
        given["x"] = given["x"].astype(dtype)
    if unknown := given.keys() - {*op.names}:
        raise TypeError(f"{op.name}() got an unexpected keyword argument {min(unknown)!r}")
    if "dim" in others or "keepdim" in others:
        if op.name in ("max", "min"):
            return FUNCTIONS[op.name](given["x"], given["axis"], given["keepdims"])
        if "ddof" in given and "correction" not in others:
            raise TypeError(f"{op.name}: say correction=1, PyTorch's default, or 0, NumPy's.")
    out = record(op, tuple(given[name] for name in op.names))
    return out if dtype is None or dtype == out.dtype else out.astype(dtype)


# ------------------------------------------------------------------------------- making of tensors


def _maker(function, takes_sizes=False):
    """A function that makes a Tensor of the result of `function`: floats get the default dtype."""

    def make(*args, dtype=None, requires_grad=False):
        args = [plain("the arguments", a) for a in args]
        made = np.asarray(function(several(args)) if takes_sizes else function(*args))
        own = array.default_dtype if made.dtype == np.float64 else made.dtype
        return Tensor(made, requires_grad, dtype=dtype or own)

    return make


def _alike(make):
    """The function that makes a tensor with the shape and the dtype of its first argument."""
    return lambda x, *args, dtype=None, **others: make(
        x.shape, *args, dtype=dtype or x.dtype, **others
    )


DTYPES = {"float": np.float32, "double": np.float64, "half": np.float16}
DTYPES |= {"long": np.int64, "int": np.int32, "bool": np.bool_}
OF_SHAPE = {"zeros": np.zeros, "ones": np.ones, "empty": np.zeros}
OF_SHAPE |= {"rand": lambda size: stream("tensors").random(size)}
OF_SHAPE |= {"randn": lambda size: stream("tensors").standard_normal(size)}
MAKERS = {name: _maker(f, True) for name, f in OF_SHAPE.items()} | {"full": _maker(np.full)}
MODULE = {
    **NUMPYS,
    **FUNCTIONS,
    **MAKERS,
    **{f"{name}_like": _alike(make) for name, make in MAKERS.items()},
    "randint": _maker(lambda low, high, size: stream("tensors").integers(low, high, size)),
    "randperm": _maker(lambda n: stream("tensors").permutation(n)),
    "arange": _maker(np.arange),
    "linspace": _maker(np.linspace),
    "eye": _maker(np.eye),
    "from_numpy": Tensor,
    "as_tensor": lambda x, dtype=None: x if isinstance(x, Tensor) else Tensor(x, dtype=dtype),
    "is_tensor": lambda x: isinstance(x, Tensor),
    "meshgrid": lambda *tensors, indexing="ij": np.meshgrid(*tensors, indexing=indexing),
    "linalg": np.linalg,
    **{f.__name__: f for f in (np.float16, np.float32, np.float64, np.int32, np.int64)},
    **DTYPES,
}

# ------------------------------------------------------------------------------------------ methods

ONLY_METHODS = {name: lambda x, dtype=dtype: x.astype(dtype) for name, dtype in DTYPES.items()} | {
    "view": Tensor.reshape,
    "expand": expand,
    "where": lambda x, condition, y: np.where(condition, x, y),
    **dict.fromkeys(("contiguous", "cpu"), lambda x: x),
    "view_as": lambda x, other: np.reshape(x, other.shape),
    "expand_as": lambda x, other: np.broadcast_to(x, other.shape),
    "dim": lambda x: x.ndim,
    "mT": property(lambda x: np.swapaxes(x, -1, -2)),
}
METHODS = {name: f for name, f in (MODULE | ONLY_METHODS).items() if name in later.METHODS}
for name, method in METHODS.items():
    setattr(Tensor, name, method)

known = {function.__name__: form for function, form in array.numpy_functions.items()}
for name, function in (known | MODULE | ONLY_METHODS).items():
    if "<" in getattr(function, "__qualname__", ""):  # of a lambda: Python's errors show it
        function.__qualname__ = name

# -------------------------------------------------------------------------------------- in place

NEW_VALUES = {  # t.zero_() takes the values of "zero"
    "zero": np.zeros_like,
    "fill": np.full_like,
    "copy": lambda x, source: source,
    "normal": lambda x, mean=0.0, std=1.0: stream("tensors").normal(mean, std, x.shape),
    "uniform": lambda x, low=0.0, high=1.0: stream("tensors").uniform(low, high, x.shape),
}


def _in_place(tensor, name):
    """The method t.f_(...), which gives t the values of t.f(...). `name`: "f_"."""
    function = NEW_VALUES.get(name[:-1]) or getattr(Tensor, name[:-1])
    remedy = f"Write t = t.{name[:-1]}(...)"

    def update(*args, **keywords):
        if not tensor.is_leaf:
            raise RuntimeError(f"t.{name}: t is the result of {tensor.op.name}. {remedy}.")
        if recording.get() and tensor.requires_grad:
            raise errors.update_of_leaf(tensor, f".{name}")
        value = function(tensor.detach(), *args, **keywords)
        if is_recorded(value) and recording.get():
            raise RuntimeError(f"t.{name}: t would join a graph. {remedy}.")
        if np.shape(value) not in ((), tensor.shape):
            raise ValueError(f"t.{name}: {tensor.shape} cannot hold {np.shape(value)}. {remedy}.")
        value = entries_of(value, f"t.{name}")
        mark_changed(tensor)
        np.copyto(entries_of(tensor, f"t.{name}"), value, casting="same_kind")
        return tensor

    return update


# ------------------------------------------------------------------------------------------ advice

DIVISOR = "write x.std(dim=0, correction=1) as PyTorch means it, np.std(x, axis=0) for NumPy's"
BATCHES = "write mg.data.Batches(x, y, batch_size=32)"
NO_DEVICE = "minigrad computes on the CPU: leave devices out; t.astype(dtype) casts"
ADVICE = dict.fromkeys(("to", "cuda", "device", "backends", "DataParallel"), NO_DEVICE) | {
    **dict.fromkeys(("DataLoader", "TensorDataset", "utils"), BATCHES),
    "add_module": "write setattr(module, name, layer)",
    "register_parameter": "write module.name = nn.Parameter(...)",
    "double": "pass dtype=np.float64 to the layers",
    "grad_fn": "t.op made this tensor, from t.args",
    "register_hook": "t.retain_grad() keeps a gradient; a module has register_forward_hook",
    "init": "pass init= to the layer, or write to layer.weight.data[...]",
    "one_hot": "write mg.Tensor(np.eye(classes))[labels]",
    **dict.fromkeys(("swish", "Swish"), "silu and SiLU are its names here"),
    "Dense": "write nn.Linear(in_features, out_features)",
    "L1L2": "write nn.ElasticNet(l1=..., l2=...)",
    "gelu_new": 'write F.gelu(x, approximate="tanh")',
    **dict.fromkeys(("inference_mode", "set_grad_enabled"), "write mg.no_grad()"),
    "OneCycleLR": "pass a function of the step as lr, such as optim.cosine(lr, steps, warmup)",
    "nn.utils": "write optim.clip_grad_norm_(parameters, max_norm)",
    "nn.functional": "import minigrad.functional as F",
    "autograd": "write mg.grad, mg.jacobian, mg.hessian, mg.hvp, mg.vjp or mg.jvp",
    "functional.pad": "write np.pad(x, ((before, after), ...)), the first axis first",
    # names with two meanings
    **dict.fromkeys(("std", "var"), DIVISOR),
    "median": 'write np.median(t), or np.quantile(t, 0.5, method="lower") as PyTorch means it',
    "nonzero": "write np.argwhere(t) as PyTorch means it, or np.nonzero(t)",
    "transpose": "write np.swapaxes(t, 0, 1) as PyTorch means it, or np.transpose(t, axes)",
    "repeat": "write np.tile(t, times) as PyTorch means it, or np.repeat(t, times)",
    "unique": "write np.unique(t.numpy()): no gradient flows through it",
}


def attribute(owner, name, tensor=None):
    """The attribute of `owner` for a name of PyTorch, or AttributeError, perhaps with advice."""
    if owner == "minigrad" and name in MODULE:
        return MODULE[name]
    if owner == "Tensor" and name in METHODS:
        return getattr(Tensor if tensor is None else tensor, name)  # this file has attached it
    if tensor is not None and name.endswith("_"):
        return _in_place(tensor, name)
    advice = ADVICE.get(f"{owner}.{name}".removeprefix("minigrad."), ADVICE.get(name, ""))
    raise AttributeError(f"{owner} has no attribute {name!r}{advice and ': '}{advice}")

"""The part of Tensor that is an array: its values, the protocols of Python and NumPy, its text.

ops/methods.py attaches the operators and methods.
"""

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors, later
from .changes import mark_changed
from .modes import recording

if TYPE_CHECKING:  # a base class for editors; at run time ops/methods.py attaches its methods
    from .engine import Tensor
    from .ops.methods import Methods
    from .types import DType, Operand
else:
    Methods = object

default_dtype = np.dtype(np.float32)
FOREIGN = 1  # the flag of a Tensor whose data are an array of another library
numpy_functions = {}  # NumPy function -> the op or composition that it calls on Tensors

# ---------------------------------------------------------------------------- from data to an array


def set_default_dtype(dtype: "DType") -> None:
    """Sets the float dtype of Tensors that are made of Python floats and lists (float32 at first).

    Raises TypeError if `dtype` is not a float dtype.
    """
    global default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"set_default_dtype: a float dtype, not {np.dtype(dtype)}.")
    default_dtype = np.dtype(dtype)


def as_array(data, dtype=None):
    """A new contiguous array of `data`. Python floats, also in lists, take the default dtype.

    Raises TypeError if `data` are not real numbers or are a Tensor that requires a gradient;
    ValueError for rows of unequal length; OverflowError for a number that the dtype cannot hold.
    """
    if isinstance(data, Array):
        data._leave("Tensor(t)", "t.detach() leaves the graph")
        data = data.data
    try:
        array = unmasked(data) if is_array(data) else np.asarray(data)
        if not {array.dtype.kind, np.dtype(dtype or array.dtype).kind} <= {*"fiub"}:
            given = f"{type(data).__name__} of dtype {array.dtype}"
            raise TypeError(f"Tensor: real numbers are needed, got {given}.")
        is_typed = dtype is not None or is_array(data) or isinstance(data, np.generic)
        if not is_typed and array.dtype == np.float64:
            dtype = default_dtype
        if is_foreign(array):
            return known(array) if dtype is None else array.astype(dtype)
        # NumPy refuses the number 300 as an int8, but it casts an array of such numbers.
        source = data if is_typed and not is_array(data) else array
        return np.array(source, dtype, order="C")
    except (ValueError, OverflowError) as error:  # rows of different lengths, numbers out of range
        raise errors.named(error, "Tensor") from None


# ------------------------------------------------------------------------------- Tensors and arrays


def is_array(x):
    """Whether x is a Tensor or an array."""
    return isinstance(x, (Array, np.ndarray)) or is_foreign(x)


def unmasked(x):
    """x. Raises TypeError for a masked array: results would have no mask."""
    if type(x) is not np.ndarray and isinstance(x, np.ndarray) and hasattr(x, "mask"):
        raise TypeError("a masked array would lose its mask. Pass x.filled(value), or x.data.")
    return x


def data_of(x):
    """The array of a Tensor; any other x itself."""
    return x.data if isinstance(x, Array) else x


def is_recorded(x):
    """Whether x is a Tensor whose results are recorded: a part of a graph."""
    return isinstance(x, Array) and x.flags > FOREIGN


def as_list(x):
    """A Tensor, an array or a number as a list of one; any other sequence as a list."""
    is_one = is_array(x) or not hasattr(x, "__iter__")
    return [x] if is_one else list(x)


# -------------------------------------------------------------------------------- the call of an op


def operand(x, rule, args):
    """x, one of the arguments of an op, as its forward takes it. `rule`: the rule of this argument.

    A number of NumPy beside a Tensor of floats becomes a number of Python, which does not widen the
    dtype of the Tensor, as in PyTorch: float32 times np.float64(2) is float32. Beside Tensors of
    whole numbers it keeps its dtype, as in NumPy: uint8 plus np.int64(300) is int64. A list with a
    rule becomes an array, and so does a number without Tensors or arrays beside it.
    """
    if isinstance(x, np.generic):
        return x.item() if any(isinstance(a, Array) and a.dtype.kind == "f" for a in args) else x
    if not rule or x is None or is_array(x):
        return unmasked(x)
    stays = isinstance(x, (int, float)) and any(map(is_array, args))
    return x if stays else as_array(x)


def computed(op, args, tensors):
    """The result of the forward of an op for these arguments. `tensors`: the Tensors among them.

    Arrays of other libraries have other forwards, in foreign.py.

    Raises TypeError for a result of Python objects, such as None, and for complex numbers that
    would enter a Tensor.
    """
    arrays = [data_of(a) for a in args]
    is_plain = not any(map(is_foreign, arrays))
    result = op.forward(*arrays) if is_plain else later.foreign().forward(op, arrays)
    kind = getattr(result, "dtype", default_dtype).kind
    if kind == "O":
        raise TypeError("an argument is not a number")
    if kind == "c" and tensors:
        raise errors.is_complex()
    return result


# ------------------------------------------------------------------------ arrays of other libraries


def is_foreign(x):
    """Whether x is an array of another library that NumPy's functions accept, such as Dask's."""
    return not isinstance(x, (Array, np.ndarray)) and hasattr(x, "__array_function__")


def known(x):
    """x. Raises ValueError for a lazy array whose shape is not known."""
    if is_foreign(x) and x.size != x.size:  # nan
        raise errors.unknown_shape(x)
    return x


def asanyarray(x):
    """x as an ndarray. An array of another library stays as it is: see `known` for its error."""
    return known(x) if is_foreign(x) else np.asarray(unmasked(x))


def entries_of(x, action):
    """x, a Tensor or an array, as an ndarray.

    action  the reader of the entries, for the error

    Raises TypeError for an array of another library, since reading would compute it in silence.
    """
    x = data_of(x)
    if is_foreign(x):
        raise errors.not_numpy(x, action)
    return np.asarray(unmasked(x))


def held(data, flags):
    """(the array that a Tensor holds, its flags): `flags`, with FOREIGN if the array is foreign."""
    return (data, flags | FOREIGN) if is_foreign(data) else (np.asarray(data), flags)


def ones_or(values, like):
    """`values`, or ones if they are None, as an array of the library, dtype, shape of `like`."""
    values = 1 if values is None else unmasked(values)
    library = values if is_foreign(values) else like
    return np.asarray(values, like.dtype, like=library).reshape(like.shape)


def copied(array, like):
    """A copy of an array in the dtype of `like`. Raises TypeError if it has left its library."""
    if is_foreign(like) and not is_foreign(array):
        raise errors.not_foreign(like)
    return asanyarray(array).astype(like.dtype)


# ------------------------------------------------------------------------------- the base of Tensor


class Array(Methods):
    """The part of Tensor that needs only its `data`."""

    __slots__ = ()
    data: np.ndarray  # Tensor has the slots for these three
    grad: "Tensor | None"
    name: str | None

    shape: tuple[int, ...] = property(lambda self: self.data.shape, doc="The size of each axis.")
    dtype: np.dtype = property(lambda self: self.data.dtype, doc="The dtype of the entries.")
    ndim: int = property(lambda self: self.data.ndim, doc="The number of axes.")
    size: int = property(lambda self: self.data.size, doc="The number of entries.")

    def requires_grad_(self, value: bool = True) -> "Tensor":
        """Sets requires_grad and returns the tensor."""
        self.requires_grad = value
        return self

    # ---- leaving the graph

    def item(self) -> Any:
        """The only entry as a Python number. Raises ValueError if there are more or none."""
        if self.size != 1:
            raise errors.not_one_number(self)
        return entries_of(self, "t.item()").item()

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array, without the graph. It shares memory with this tensor.

        Raises TypeError if the data are an array of another library.
        """
        return entries_of(self, "t.numpy()")

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return entries_of(self, "t.tolist()").tolist()

    def __array__(self, dtype=None, copy=None) -> "np.ndarray[Any, np.dtype[np.object_]]":
        # np.object_, or type checkers would think that array * tensor is an array
        remedy = (
            "np.stack([...]) and other functions of NumPy keep the graph; t.numpy() leaves it. "
        )
        remedy += "If t is in a tuple, such as nn.LSTM returns, take one part of the tuple"
        self._leave("np.asarray(t)", remedy)
        return np.array(entries_of(self, "np.asarray(t)"), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        self._leave("float(t)", "t.item() reads the value")
        return float(self.item())

    def __int__(self) -> int:
        self._leave("int(t)", "t.item() reads the value")
        return int(self.item())

    def _leave(self, action, remedy):
        if self.requires_grad:
            raise errors.drops_gradient(self, action, remedy)

    def __index__(self) -> int:
        return entries_of(self, "t as an index").__index__()

    def __bool__(self) -> bool:
        return bool(self.item())

    # ---- Python's protocols

    def __len__(self) -> int:
        if not self.ndim:
            raise errors.no_length()
        return len(self.data)

    def __iter__(self) -> "Iterator[Tensor]":
        return _rows(self, len(self))

    __hash__ = object.__hash__  # `==` compares entries, so hash(t) uses the identity

    def __repr__(self):
        values = repr(self.data)
        if not self.flags & FOREIGN:
            values = np.array2string(
                self.data, separator=", ", prefix="Tensor(", threshold=100, edgeitems=3
            )
        notes = ""
        if self.dtype.kind == "f" and self.dtype != default_dtype:
            notes += f", dtype={self.dtype}"
        if self.op is not None:
            notes += f", op={self.op.name}"
        elif self.requires_grad:
            notes += ", requires_grad=True"
        return f"{type(self).__name__}({values}{notes})"

    def __format__(self, spec):
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self):  # copy and pickle make a leaf of the same values and the same `.grad`
        if not self.is_leaf:
            raise errors.not_a_copy(self)
        made = partial(type(self), name=self.name), (self.data, self.requires_grad)
        if self.grad is None:
            return made
        grad = self.grad.detach() if isinstance(self.grad, Array) else self.grad
        return *made, (None, {"grad": copy(grad)})

    # ---- changes in place

    def __setitem__(self, index, value):
        raise errors.in_place(f"t[...] = u, t of shape {self.shape},")

    def _in_place(ufunc, symbol) -> "Callable[[Any, Operand], Tensor]":
        def update(self, other):
            joins = recording.get() and not self.requires_grad and is_recorded(other)
            if not self.is_leaf or joins:
                return NotImplemented  # so that `t += u` is `t = t + u` for tensors of a graph
            if recording.get() and self.requires_grad:
                raise errors.update_of_leaf(self, symbol)
            if is_foreign(self.data):  # not all libraries change arrays in place
                new = ufunc(self.detach(), other).data
                self.data = np.broadcast_to(new, self.shape).astype(self.dtype)
                return self
            if is_foreign(data_of(other)):
                raise errors.not_numpy(data_of(other), f"t {symbol} ...")
            mark_changed(self)  # before the update, which may be interrupted
            ufunc(self.data, unmasked(data_of(other)), out=self.data, casting="same_kind")
            return self

        return update

    __iadd__ = _in_place(np.add, "+=")
    __isub__ = _in_place(np.subtract, "-=")
    __imul__ = _in_place(np.multiply, "*=")
    __itruediv__ = _in_place(np.divide, "/=")
    __ipow__ = _in_place(np.power, "**=")
    del _in_place

    # ---- NumPy's functions

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        if method == "__call__" and not keywords and ufunc in numpy_functions:
            return numpy_functions[ufunc](*inputs)
        return later.calls().ufunc(ufunc, method, inputs, keywords)

    def __array_function__(self, function, types, args, keywords):
        try:
            return implementation(function)(*args, **keywords)
        except errors.WRONG_CALL as error:
            return later.calls().otherwise(function, args, keywords, error)


def _rows(x, n):
    """The n rows of x. Many rows are cut by halves, so that backward adds to fewer zeros."""
    if n > 8:
        yield from _rows(x[: n // 2], n // 2)
        yield from _rows(x[n // 2 :], n - n // 2)
    else:
        yield from (x[i] for i in range(n))


def implementation(function):
    """The op or composition that a NumPy function calls on Tensors; TypeError if there is none."""
    if function not in numpy_functions:
        later.vocabulary()
    try:
        return numpy_functions[function]
    except KeyError:
        raise errors.no_numpy_rule(function) from None


def implements(function):
    """Decorates a composition: the NumPy `function` calls it on Tensors."""

    def register(composition):
        numpy_functions[function] = composition
        return composition

    return register

"""Symbols: arrays that write down the operations on them, as lines of a program.

A Symbol has a name and the array that it stands for in the recorded run. An operation on Symbols
does three things: it computes its result on these arrays, writes a line on the Page, and returns a
Symbol for the result. The engine runs on Symbols as on arrays of another library. Python decides
each `if` on a shape, a dtype or a setting on the way, so the lines have no `if`:

    >>> from minigrad.ops import linear
    >>> page = Page()
    >>> x, w = (page.input(name, np.ones((3, 3))) for name in "xw")
    >>> y = linear(x, w, None)
    >>> y, y.shape
    (_3_, (3, 3))
    >>> for line in page.lines:
    ...     print(line.text)
    _2_ = _1_.T
    _3_ = _0_ @ _2_
    >>> final = page.final()  # puts readable names in place of the numbers
    >>> for line in page.lines:
    ...     print(final(line.text))
    out = w.T
    dot = x @ out

Python calls these methods of Symbol, and all of them end in `Page.write`, or in `Page.do`:

    x + y, np.exp(x)      __array_ufunc__
    np.where(c, x, y)     __array_function__
    x.sum(axis=0), x.T    __getattr__, which gives _method
    x[0], x[0] = y        __getitem__, __setitem__

Some forwards read values, for example by an `if` on an entry. A line calls such an op by its name.
"""

import builtins
import keyword
import linecache
import re
import sys

import numpy as np

from ..array import data_of
from .naming import identifier, versions

UFUNCS = {"negative": "-{}", "invert": "~{}", "absolute": "np.abs({})"}  # {ufunc: its text}
BINARY = "add subtract multiply divide matmul power remainder floor_divide bitwise_and bitwise_or "
BINARY += "bitwise_xor equal not_equal less less_equal greater greater_equal"
SIGNS = "+ - * / @ ** % // & | ^ == != < <= > >="
UFUNCS |= {n: f"{{}} {sign} {{}}" for n, sign in zip(BINARY.split(), SIGNS.split())}
NEUTRAL = {"add": 0, "multiply": 1}  # operands that change nothing
REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}
# Functions that are written as methods: x.reshape(3) for np.reshape(x, 3).
METHODS = "reshape transpose swapaxes dot max min prod var any all argmax argmin cumsum"
# Attributes that depend on no entry.
KNOWN = "shape", "dtype", "ndim", "size", "flags", "strides", "base"
IN_PLACE = "sort", "fill", "put", "partition", "resize"  # methods that return nothing
SHAPES = np.shape, np.ndim, np.size, np.result_type  # their results depend on no entry
# Defaults, which a call leaves out.
USUAL = ("keepdims", False), ("dtype", None), ("ddof", 0), ("axis", None), ("initial", -np.inf)
# Lines of an op; an op with more is called by its name. With many arguments, it may have more.
MOST, MOST_PER_ARGUMENT = 12, 4
RESERVED = {"np", "Path", "data", "gradients", *dir(builtins), *keyword.kwlist}
NAME = re.compile(r"\b_\d+_\b")


class Text(str):
    """Text that is already an expression."""

    __repr__ = str.__str__


NUMBERS = np.generic, bool, int, float  # kinds of numbers, which have a dtype
# The repr of these types is an expression.
LITERAL = {Text, str, bytes, bool, int, float, complex, slice, type(...), type(None)}


class Line:
    """A line of a program: `target = text`, or the statement `text` without a target.

    shape    the shape of the value
    part     "forward" or "backward"
    owners   the results of the forward pass to which it belongs, also by lines written into it
    around   the results whose modules give the heading above the line: [the first owner], in a
             loop the first owners in its first two steps; [] for no heading, None for the heading
             of the line before
    """

    def __init__(self, page, text, target=None, shape=None):
        self.expression, self.target, self.shape = text, target, shape
        self.part, self.owners, self.around = page.part, {page.owner}, [page.owner]

    text = property(lambda self: (f"{self.target} = " if self.target else "") + self.expression)
    names = property(lambda self: NAME.findall(self.expression))


class Page:
    """The lines that Symbols write. A name is a number at first, such as _12_.

    reading    True: for people. False: constant arrays are made once, which is faster
    wishes     {name: the name that it should get at the end}
    inputs     {name: leaf}
    constants  {name: array or function}
    kept       names that are needed at the end
    fixed      names of values that lines make of constants alone: they are the same in every run
    """

    def __init__(self, reading=True):
        self.reading = reading
        self.lines, self.wishes, self.inputs, self.constants, self.kept = [], {}, {}, {}, []
        self.fixed = set()
        self.part, self.owner = "forward", None  # of the lines that are written now
        self.ids = {}  # id of a constant -> its name
        self.known = {}  # {expression, or view: its Symbol}. For a view see `view_of`
        self.changed = set()  # the names of arrays that a line changed
        self.places = {}  # for `_rename`: {line of source: (the last name it made, its old wish)}
        self.errors, self.is_quiet = np.geterr(), False  # whether a forward ignores overflow
        self.is_in_op = False

    def name(self, wish):
        name = f"_{len(self.wishes)}_"
        self.wishes[name] = wish
        return name

    def input(self, wish, leaf):
        """The Symbol of a leaf."""
        name = self.name(wish)
        self.inputs[name] = leaf
        symbol = Symbol(self, name, data_of(leaf))
        return self.known.setdefault(view_of(symbol.value), symbol)

    def bound(self, wish, value):
        """The name of a constant, an array or a function."""
        if id(value) not in self.ids:
            self.ids[id(value)] = self.name(identifier(wish))
        name = self.ids[id(value)]
        self.constants[name] = value
        return name

    def write(self, wish, text, value):
        """Writes `name = text`. Returns the Symbol of the name.

        A view that has a name needs no line. An expression that has a name needs no second line.
        """
        for key in view_of(value), text:
            known = self.known.get(key)
            if known is not None and self.changed.isdisjoint(NAME.findall(f"{known.name} {text}")):
                return known.alias()
        self.is_quiet |= np.geterr() != self.errors
        name = self.name(wish)
        self._rename(name)
        self.lines.append(Line(self, text, name, np.shape(value)))
        self.fixed |= {name} if NAME.search(text) and self.is_fixed(text) else set()
        self.known[text] = symbol = Symbol(self, name, value, is_own=value.base is None)
        self.known[view_of(value)] = symbol
        return symbol

    def _rename(self, name):
        """Gives a name the wish of the running line `wish = ...` of an op or a rule.

        The last value that the line makes has it. The values before get their wishes back.
        """
        frame, line = running()
        found = re.match(r"\s*(\w+) \S?= ", line)
        if found and frame.f_globals["__package__"] != __package__:
            place = frame, frame.f_lineno
            before, wish = self.places.get(place, (name, found[1]))
            if self.wishes[before] == found[1]:
                self.wishes[before] = wish
            self.places[place] = name, self.wishes[name]
            self.wishes[name] = found[1]

    def do(self, text):
        """Writes a statement without a value."""
        self.lines.append(Line(self, text))
        self.changed.update(NAME.findall(text)[:1])
        self.fixed -= self.changed

    def is_fixed(self, text):
        """Whether an expression has only constants in it."""
        return all(name in self.fixed or name in self.constants for name in NAME.findall(text))

    def run(self, op, args):
        """The result of an op: its forward runs on Symbols, or a line calls the op by its name.

        The line calls it if the forward reads values, takes many lines, or gives other numbers.
        """
        start, right = len(self.lines), op.forward(*values(args))
        outer, self.is_in_op = self.is_in_op, True
        try:
            out = (self.scatter if op.name == "scatter" else op.forward)(*args)
            # A dot may differ from a matmul in the last bits.
            is_close = np.allclose(out.value, right, 1e-3, 1e-5, equal_nan=True)
            is_written = out.dtype == right.dtype and is_close
        except Exception:  # it reads values, or fills an array that is no Symbol
            is_written = False
        self.is_in_op = outer
        if is_written and len(self.lines) - start <= max(MOST, MOST_PER_ARGUMENT * len(args)):
            return out
        dropped = {line.target for line in self.lines[start:]}
        self.known = {key: x for key, x in self.known.items() if x.name not in dropped}
        del self.lines[start:]
        text = self.call(self.bound(op.name, op.forward), args)
        return self.write(op.name, text, right)

    def scatter(self, x, shape, *index):
        """The forward of the op scatter."""
        zeros = np.zeros(shape, x.dtype)
        shape = shape[0] if len(shape) == 1 else shape
        out = self.write("zeros", f"np.zeros({shape}, np.{x.dtype})", zeros)
        if all(not getattr(i, "ndim", 0) or i.dtype == bool for i in index):  # no entry twice
            out[index] = x
            out.placed = x, index
        elif self.reading:
            self.kept += NAME.findall(self.text(x))
            self.do(self.call("np.add.at", (out, index, x)))
            np.add.at(zeros, *map(values, (index, x)))
        else:
            refuse()  # the op itself is faster
        return out

    def final(self, taken=(), hidden=()):
        """A function that puts final names into a text. No two are equal, and none is `taken`.

        In a program to read, functions keep their names. The names `hidden` are in no text.
        """
        text = "\n".join(line.text for line in self.lines)
        functions = {name: f for name, f in self.constants.items() if self.reading and callable(f)}
        known = {name: f.__name__ for name, f in functions.items()}
        taken = RESERVED.union(known.values(), taken)
        left = {}  # wish -> the versions that are left
        for name in dict.fromkeys([*self.inputs, *NAME.findall(text), *self.constants]):
            if name in known or name in hidden:
                continue
            wish = self.wishes[name]
            more = left.setdefault(wish, versions(wish))
            known[name] = next(x for x in more if x not in taken)
            taken.add(known[name])
        return lambda text: NAME.sub(lambda match: known.get(match[0], match[0]), text)

    # ---- expressions

    def text(self, x):
        """The expression of x, a Symbol or a constant."""
        if isinstance(x, Symbol):
            return x.name
        if isinstance(x, (tuple, list, range)):
            items = [Text(self.text(item)) for item in x]
            return repr(items if isinstance(x, list) else tuple(items))
        if isinstance(x, dict):
            return f"{{{', '.join(f'{self.text(key)}: {self.text(x[key])}' for key in x)}}}"
        if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, NUMBERS)):
            return f"np.{np.dtype(x)}"
        if isinstance(x, np.ndarray) and (x.ndim or not self.reading):
            return (self.reading and pattern(x)) or self.bound("constant", x)
        x = x[()] if isinstance(x, np.ndarray) else x
        if not isinstance(x, np.generic) and type(x) not in LITERAL:
            if self.reading and not callable(x):
                kind = type(x).__name__
                raise TypeError(f"write_out: {x!r:.60} is a {kind}, which cannot be written.")
            return self.bound(getattr(x, "__name__", "constant"), x)
        is_float = isinstance(x, (float, np.floating))
        return re.sub("inf|nan", r"np.\g<0>", repr(x)) if is_float else repr(x)

    def index(self, x):
        """The text of x in square brackets, where a slice is `start:stop`."""
        if isinstance(x, tuple) and x:
            return ", ".join(map(self.index, x))
        if not isinstance(x, slice):
            return "..." if x is ... else self.text(x)
        ends = [x.start or None, x.stop] + [x.step] * (x.step not in (None, 1))
        return ":".join("" if end is None else self.text(end) for end in ends)

    def call(self, function, args, keywords=()):
        """The text of a call."""
        given = [f"{k}={self.text(v)}" for k, v in dict(keywords).items() if (k, v) not in USUAL]
        return f"{function}({', '.join([*map(self.text, args), *given])})"


def common(x):
    """The entry of an array whose entries are all equal and finite, or None."""
    if not isinstance(x, (np.ndarray, np.generic)) or not x.size or not np.all(np.isfinite(x)):
        return None
    entries = np.ravel(x)
    return entries[0] if np.all(entries == entries[0]) else None


def _number(x, inputs, value):
    """x, or one entry of x if all are equal, and the ufunc gives the same shape and dtype with it.

    Only a program to read does so: in a step, some ufuncs are faster with arrays.
    """
    entry, others = common(x), [other for other in inputs if isinstance(other, Symbol)]
    if entry is None:
        return x
    shape = np.broadcast_shapes(*(other.shape for other in others))
    is_fit = shape == np.shape(value) and all(other.dtype == x.dtype for other in others)
    return Text(str(entry).removesuffix(".0")) if is_fit else x


def pattern(x):
    """The text of an array that follows a simple pattern, or None."""
    if x.ndim == 1 and x.dtype == int and np.array_equal(x, np.arange(x.size)):
        return f"np.arange({x.size})"
    if common(x) is None:
        return None
    if x.size > 1 and not any(x.strides):  # products of such an array round in another way
        return f"np.broadcast_to(np.{x.dtype}({common(x)}), {x.shape})"
    return f"np.full({x.size if x.ndim == 1 else x.shape}, {common(x)}, np.{x.dtype})"


def running():
    """The frame that runs outside this file, and its line."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] in (__name__, np.lib.mixins.__name__):
        frame = frame.f_back
    return frame, line_of(frame)


def line_of(frame):
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


def reading_line(frame):
    """The words for a frame whose line reads values, with its file: the end of an error."""
    place = f"`{line_of(frame).strip()}` ({frame.f_code.co_filename}:{frame.f_lineno})"
    return f"{place}, which reads or changes values of a Tensor"


def refuse(*args, **keywords):
    """Raises TypeError: an op is called by its name then, and a rule cannot be written."""
    frame, _ = running()
    raise TypeError(f"a rule has {reading_line(frame)}")


def values(x):
    """x with arrays in place of Symbols."""
    if isinstance(x, (tuple, list)):
        return type(x)(map(values, x))
    return x.value if isinstance(x, Symbol) else x


def has_layout_of(x, y):
    """Whether x and y have one shape, strides and dtype. In other strides, sums round otherwise."""
    return (x.shape, x.strides, x.dtype) == (np.shape(y), y.strides, y.dtype)


def view_of(x):
    """A key that is equal for equal views of the same memory. A number has a key of its own."""
    is_view = isinstance(x, np.ndarray) and x.size
    return (x.ctypes.data, x.shape, x.strides, x.dtype) if is_view else object()


READERS = "__float__", "__int__", "__index__", "__array__", "item", "tolist"


def reader(name):
    """A method that reads values. Only a Symbol that is made of constants has it."""

    def read(x, *args, **keywords):
        is_fixed = x.page.is_fixed(x.name)
        return getattr(x.value, name)(*args, **keywords) if is_fixed else refuse()

    return read


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """An array with a name on a Page. Operations on it are written there.

    value   the array in the recorded run: it tells shapes and dtypes
    rows    None, or (a Symbol, the range of its rows) if the value is a slice of it
    is_own  nothing else uses the memory of the value, so `+=` may change it
    placed  None, or (x, index) if the value is zeros everywhere but at the index, where it is x
    """

    def __init__(self, page, name, value, rows=None, is_own=False):
        self.page, self.name, self.value = page, name, value
        self.rows, self.is_own, self.placed = rows, is_own, None

    T = property(lambda self: self.transpose())
    __float__, __int__, __index__, __array__, item, tolist = map(reader, READERS)
    # x *= y makes a new array, as on Tensors: Python then runs x = x * y.
    __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __ipow__ = lambda x, y: NotImplemented
    __imod__ = __imatmul__ = __iand__ = __ior__ = __ixor__ = __isub__

    def __repr__(self):
        return self.name

    def __len__(self):
        return len(self.value)

    def __bool__(self):
        """A rule in a program to read may decide by values, as it does on Tensors."""
        return bool(self.value) if self.page.reading and not self.page.is_in_op else refuse()

    def alias(self):
        """A Symbol for the same array. From now on no `+=` changes the array."""
        self.is_own = False
        return Symbol(self.page, self.name, self.value, self.rows)

    # ---- entries, and sums in place

    def __getitem__(self, index):
        part = self.entries(index)
        if self.page.reading and np.may_share_memory(self.value, part.value):
            # Short enough without a name.
            return self.page.known.get(view_of(part.value), part).alias()
        return self.page.write("getitem", part.name, part.value)

    def entries(self, index):
        """self[index] as a Symbol whose name is its text. x[2:8][1:3] becomes x[3:5]."""
        value = self.value[values(index)]
        x, rows = self, None
        index = index[0] if type(index) is tuple and len(index) == 1 else index
        if type(index) is slice and index.step is None:
            x, rows = self.rows or (self, range(len(self)))
            rows = x, rows[index]
            index = slice(rows[1].start, rows[1].stop)
        elif type(index) is int and self.rows:
            x, index = self.rows[0], self.rows[1][index]
        return Symbol(self.page, f"{x.name}[{self.page.index(index)}]", value, rows)

    def __setitem__(self, index, value):
        if not self.is_own:
            refuse()
        self.page.do(f"{self.entries(index).name} = {self.page.text(value)}")
        self.value[values(index)] = values(value)

    def __iadd__(self, other):
        if not self.is_own:
            return self + other
        target, x = self, other
        if getattr(other, "placed", None) and self.ndim:
            x, index = other.placed
            target = self.entries(index)
        self.page.do(f"{target.name} += {self.page.text(x)}")
        self.value += values(other)
        self.placed = None
        return self

    # ---- NumPy's functions

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        page, name = self.page, ufunc.__name__
        if method == "reduce" and name in REDUCTIONS:
            return inputs[0]._method(REDUCTIONS[name], (), {"axis": 0} | keywords)
        # For an array x, `x += y` gives out=(x,) and takes the result. Another out= would change an
        # array of the recorded run. In a forward it may: `run` compares the result.
        is_filled = out and (out[0] is not inputs[0] or isinstance(out[0], Symbol))
        if method == "at" or (is_filled and not page.is_in_op):
            refuse()
        value = getattr(ufunc, method)(*values(inputs), **keywords)
        if method != "__call__":
            return page.write(name, page.call(f"np.{name}.{method}", inputs, keywords), value)
        if name == "add" and getattr(inputs[1], "placed", None):
            total = inputs[0].copy()
            if isinstance(total, Symbol) and has_layout_of(total, value):
                total += inputs[1]
                return total
        for x, y in (inputs, inputs[::-1]) if name in NEUTRAL else ():
            is_fixed = not isinstance(y, Symbol) or page.is_fixed(y.name)
            is_neutral = is_fixed and np.all(np.equal(values(y), NEUTRAL[name]))
            if is_neutral and isinstance(x, Symbol) and x.dtype == value.dtype:
                return x.alias() if has_layout_of(x, value) else np.broadcast_to(x, value.shape)
        if page.reading and name != "matmul":
            inputs = [_number(x, inputs, value) for x in inputs]
        operands = [f"({s})" if (s := page.text(x)).startswith("-") else s for x in inputs]
        is_number = np.ndim(value) == 0  # NumPy's ** of numbers gives other bits than np.power
        if name in UFUNCS and not keywords and not (is_number and name == "power"):
            text = UFUNCS[name].format(*operands)
        else:
            text = page.call(f"np.{name}", map(Text, operands), keywords)
        return page.write(name, text, value)

    def __array_function__(self, function, types, args, keywords):
        name = function.__name__
        if function in SHAPES:
            return function(*values(args), **keywords)
        if name in METHODS.split() and args[0] is self:
            return self._method(name, args[1:], keywords)
        value = function(*values(args), **keywords)
        module = function.__module__.replace("numpy", "np", 1)
        text = self.page.call(f"{module}.{name}", args, keywords)
        return self.page.write(name, text, value)

    def copy(self):
        if self.placed:
            x, index = self.placed
            return self.page.scatter(x, self.shape, *index)
        return self._method("copy", (), {})

    def __getattr__(self, name):
        """An attribute that depends on no entry, or a method that writes its call."""
        if name in KNOWN:
            return getattr(self.value, name)
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **keywords: self._method(name, args, keywords)

    def _method(self, name, args, keywords):
        """Writes the call of a method of arrays."""
        x, axis = self, keywords.get("axis")
        if type(axis) is tuple and len(axis) == 1:
            keywords = keywords | {"axis": axis[0]}
        if name in IN_PLACE:  # it would change the array of the recorded run
            refuse()
        value = getattr(x.value, name)(*values(args), **keywords)
        base = self.page.known.get(view_of(x.base), x)
        if name == "reshape" and base.size == x.size:
            is_direct = view_of(base.value.reshape(*args)) == view_of(value)
            x = base if is_direct else x
        text = self.page.call(f"{x.name}.{name}", args, keywords)
        if name == "transpose" and args in ((), (None,)):
            text = f"{x.name}.T"
        if name == "dot":  # The last bits of @ differ for strides of 0, and for a row that is cast.
            is_cast = x.dtype != args[0].dtype and len(x) == 1
            if all(x.strides + args[0].strides) and not is_cast:
                text = f"{x.name} @ {self.page.text(args[0])}"
        return self.page.write(name, text, value)

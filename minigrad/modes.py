"""The blocks, modules and functions inside which the program runs now.

A mode, such as "results are recorded", is a `Mode`. A `with` block that sets it is a `Block`. Each
thread and each asyncio task has its own modes, and a new thread begins outside all blocks.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self  # noqa: UP035 (Python 3.10 has none)

    F = TypeVar("F", bound=Callable[..., Any])

# The tests for functions whose body runs after their call has returned: the block is closed then.
SUSPENDED = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction


class Mode:
    """A setting that `with` blocks change. mode.get() is its value now.

    mode.blocks()  the open blocks, the innermost first
    """

    def __init__(self, name, default):
        self.default = default
        self._value = ContextVar(name, default=default)  # so that `get` is fast
        self._blocks = ContextVar(f"{name}: blocks", default=())
        self.get, self.blocks = self._value.get, self._blocks.get

    def set_blocks(self, blocks):
        """Replaces the open blocks."""
        self._blocks.set(blocks)
        self._value.set(blocks[0].value if blocks else self.default)


class Block:
    """A `with` block in which `mode` has this `value`, or a decorator. Blocks can end in any order.

    Raises RuntimeError for a block that is entered while it is open, and TypeError if a class, a
    generator function or a coroutine function is decorated.
    """

    mode = value = None  # of a subclass

    def __new__(cls, function: Any = None) -> "Self":
        block = super().__new__(cls)
        return block if function is None else block(function)  # the decorator without brackets

    def __enter__(self) -> "Self":
        if self in self.mode.blocks():
            raise RuntimeError(f"this {self!r} block is open already. Make a new one: {self!r}.")
        self.mode.set_blocks((self, *self.mode.blocks()))
        return self

    def __exit__(self, *error) -> None:
        self.mode.set_blocks(tuple([block for block in self.mode.blocks() if block is not self]))

    def __repr__(self):
        return f"{type(self).__name__}()"

    def __call__(self, function: "F") -> "F":
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"{self!r} decorates a function, not {function!r}.")
        if any(is_suspended(function) for is_suspended in SUSPENDED):
            raise TypeError(f"{self!r}: open the block inside {function!r} instead.")

        @wraps(function)
        def inside(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return inside


recording = Mode("recording", default=True)


class no_grad(Block):
    """Inside this block nothing is recorded, so no graph takes memory. Also a decorator.

    The block affects only its own thread, as in PyTorch. For a pool of threads use the decorator:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> predict = no_grad()(lambda x: (x * 2).requires_grad)
    >>> import minigrad as mg
    >>> with ThreadPoolExecutor() as pool:
    ...     list(pool.map(predict, [mg.Tensor(1.0, requires_grad=True)]))
    [False]

    As in PyTorch, a generator that opens the block and yields inside leaves it open for its caller.
    """

    mode, value = recording, False


readers = set()  # the code of the functions marked with `reads`


def reads(function):
    """Marks a function that reads values of Tensors only to check them.

    No result depends on these values, so `compile` allows the function to read them.
    """
    readers.add(function.__code__)
    return function


# ----------------------------------------------------------------------------------------- scopes

# (outer scope, the module or Composition that runs, names: see `name_in`)
scope = ContextVar("scope", default=None)


class Composition(NamedTuple):
    """A named function of several ops, as a scope. Pictures show its nodes as one node.

    kind  as for ops
    """

    name: str
    kind: str = "operation"


def scoped(owner, function, *args, **kwargs):
    """Calls function(*args, **kwargs) in the scope of `owner`: a module, a Composition or a name.

    Each result remembers the scope in which it was recorded.
    """
    owner = Composition(owner) if isinstance(owner, str) else owner
    outer = scope.get()
    try:
        scope.set((outer, owner, {}))
        return function(*args, **kwargs)
    finally:
        scope.set(outer)


def around(scope):
    """A scope and the scopes around it, innermost first."""
    while scope is not None:
        yield scope
        scope = scope[0]


def is_running(owner):
    """Whether the program is inside a call of this module."""
    return any(call[1] is owner for call in around(scope.get()))


def path(scope, by_kind=False):
    """The dotted name of a scope, such as `encoder.drop1`.

    A module has its name in the module around it. With `by_kind`, a module whose name is a number
    is called by its kind and its count among this kind, such as `Dropout_0`. So layers of other
    kinds do not change the name.
    """
    names, outer = [], None
    for call in reversed([*around(scope)]):
        if isinstance(call[1], Composition):
            names.append(call[1].name)
        else:
            names.append("" if outer is None else name_in(outer, call[1], by_kind))
            outer = call
    return ".".join(filter(None, names))


def name_in(call, inner, by_kind=False):
    """The name of a module in the module of a scope around it, or "".

    The names are looked up once for each call of the outer module: first its children, since most
    modules are called by the module that holds them, then all modules inside.
    """
    _, module, names = call
    known = names.setdefault(by_kind, {})
    for look_up in (module.named_children, module.named_modules):
        if id(inner) not in known:
            for name, other in look_up(by_kind=by_kind):
                known.setdefault(id(other), name)
    return known.setdefault(id(inner), "")

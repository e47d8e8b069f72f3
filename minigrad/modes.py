"""Where the program is: the modes that blocks set, and the modules and functions that are running.

Each thread and each asyncio task has modes of its own. A new thread begins outside all blocks.

Ctrl-C may raise KeyboardInterrupt before or after any call, and at the start of any function of
Python. Nothing may be left behind then: a function sets a ContextVar inside `try`, with its old
value at hand, and a block is a `Block`, which ends even if its end is interrupted.
"""

import contextlib
import inspect
import sys
import weakref
from contextvars import ContextVar
from functools import partial, wraps

# ----------------------------------------------------------------------------------------- blocks


class Block:
    """A `with` block that always ends. A subclass has two methods:

    enter(frame)  makes the changes; `frame` is the frame of the with statement
    leave()       puts everything back. It may run several times, also after half an `enter`

    Raises RuntimeError for a block that is entered while it is open.
    """

    is_open = False
    watch = None

    def __enter__(self):
        if self.is_open:
            raise RuntimeError(f"this {self!r} block is open already. Make a new one: {self!r}.")
        try:
            self.is_open = True
            self.enter(sys._getframe(1))
        except BaseException:
            self.close()
            raise
        return self

    def close(self, *error):
        """Ends the block, once. The arguments are those that a with statement gives."""
        if self.is_open:
            self.leave()
            self.is_open, self.watch = False, None

    def __repr__(self):
        return f"{type(self).__name__}()"


class Exit:
    """The attribute __exit__ of blocks. A with statement asks for it, enters, and calls it.

    An interrupt at the start of `close` keeps `close` from running. Then the with statement drops
    what it called, and nothing else holds that: partial is written in C, so no frame and no
    traceback does. The weak reference sees it die, and closes the block.
    """

    def __get__(self, block, kind):
        if block is None:
            return kind.close
        if block.is_open:
            return block.close
        end = partial(block.close)
        block.watch = weakref.ref(end, block.close)
        return end


Block.__exit__ = Exit()


# ------------------------------------------------------------------------------------------ modes


class Mode:
    """A setting that blocks change. mode.get() is true or false: its value here."""

    def __init__(self, name, default):
        self.default = default
        self._value = ContextVar(name, default=default)  # so that `get` is as fast as can be
        self._blocks = ContextVar(f"{name}: blocks", default=())
        self.get = self._value.get

    def blocks(self):
        """The open blocks around, the innermost first."""
        return self._blocks.get()

    def set_blocks(self, blocks):
        """Replaces the open blocks around."""
        self._blocks.set(blocks)
        value = blocks[0].value if blocks else self.default
        for block in blocks:
            if block.generator is not None:
                value = self  # __bool__ finds out when it is asked
        self._value.set(value)

    def __bool__(self):
        for block in self.blocks():
            if block.is_running():
                return block.value
        return self.default


class ModeBlock(Block):
    """A block in which `mode` has this `value`, also a decorator. Blocks may end in any order.

    In a generator the block holds while the generator runs, and not in its caller. (A generator
    that contextlib.contextmanager decorates opens the block for its caller, as it should.) A
    decorated function, generator or coroutine is inside the block whenever it runs.

    Raises TypeError if a class or an asynchronous generator is decorated.
    """

    mode = value = None  # of a subclass
    generator = None  # the frame of the generator that opened the block, if one did

    def __new__(cls, function=None):
        block = super().__new__(cls)
        return block if function is None else block(function)  # the decorator without brackets

    def enter(self, frame):
        self.generator = _generator_of(frame)
        self.mode.set_blocks((self, *self.mode.blocks()))

    def leave(self):
        self.mode.set_blocks(tuple([block for block in self.mode.blocks() if block is not self]))
        self.generator = self.generator and ENDED

    def is_running(self):
        """Whether the program is inside, and not in the caller of a generator that is suspended."""
        return self.generator is None or self.generator.f_back is not None

    def __call__(self, function):
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"{self!r} decorates a function, not {function!r}.")
        if inspect.isasyncgenfunction(function):
            raise TypeError(f"{self!r}: open the block inside the asynchronous generator instead.")
        if inspect.isgeneratorfunction(function):

            def inside(*args, **kwargs):
                with type(self)():
                    return (yield from function(*args, **kwargs))

        elif inspect.iscoroutinefunction(function):

            async def inside(*args, **kwargs):
                with type(self)():
                    return await function(*args, **kwargs)

        else:

            def inside(*args, **kwargs):
                with type(self)():
                    return function(*args, **kwargs)

        return wraps(function)(inside)


class ENDED:
    """Takes the place of the frame of a generator whose block has ended."""

    f_back = None


def _generator_of(frame):
    """The frame of the generator that opens a block in `frame`, or None in a plain function."""
    while True:
        is_generator = frame.f_code.co_flags & GENERATOR
        runs = frame.f_back if is_generator else frame
        if runs is None or runs.f_globals is not CONTEXTLIB:
            return frame if is_generator else None
        frame = runs.f_back


GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
CONTEXTLIB = vars(contextlib)


recording = Mode("recording", default=True)


class no_grad(ModeBlock):
    """Inside this block nothing is recorded, so results need no memory. Also a decorator.

    The block holds in its own thread, as in PyTorch. For a pool of threads decorate the function:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> predict = no_grad()(lambda x: (x * 2).requires_grad)
    >>> import minigrad as mg
    >>> with ThreadPoolExecutor() as pool:
    ...     list(pool.map(predict, [mg.Tensor(1.0, requires_grad=True)]))
    [False]

    A decorated generator function records nothing while it runs, and its caller records.
    """

    mode, value = recording, False


# ----------------------------------------------------------------------------------------- scopes

scope = ContextVar("scope", default=None)  # (outer scope, the module or Composition that runs)


class Composition:
    """A named function of several ops, as a scope. Pictures show its nodes as one node.

    kind  as for ops: "operation", "loss", "penalty" or "random"
    """

    __slots__ = ("kind", "name")

    def __init__(self, name, kind="operation"):
        self.name, self.kind = name, kind

    def __repr__(self):
        return f"Composition({self.name!r}, {self.kind!r})"


def scoped(owner, function, *args, **kwargs):
    """Calls function(*args, **kwargs) in the scope of `owner`: a module, a Composition or a name.

    Each result remembers the scope in which it was recorded.
    """
    owner = Composition(owner) if isinstance(owner, str) else owner
    outer = scope.get()
    try:
        scope.set((outer, owner))
        return function(*args, **kwargs)
    finally:
        scope.set(outer)


def path(scope, by_kind=False):
    """The dotted name of a scope, such as `encoder.drop1`.

    A module has the name that the module around it gives it. With `by_kind`, a module that has only
    a number there is called by its kind and its count among that kind, such as `Dropout_0`. So
    layers of other kinds do not change the name.
    """
    owners = []
    while scope is not None:
        scope, owner = scope
        owners.append(owner)
    names, around = [], None
    for owner in reversed(owners):
        if isinstance(owner, Composition):
            names.append(owner.name)
        else:
            names.append("" if around is None else around.name_of(owner, by_kind))
            around = owner
    return ".".join(filter(None, names))

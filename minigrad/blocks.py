"""Blocks: what a `with` statement sets, ends with it, at whatever moment Ctrl-C comes.

Ctrl-C may raise KeyboardInterrupt before or after any call, and at the start of any function of
Python. A block is a `Block`, which ends even if its end is interrupted. A mode, such as "nothing is
recorded", is a `Mode`, and a block that sets it a `ModeBlock`. Each thread and each asyncio task
has modes of its own. A new thread begins outside all blocks.
"""

import contextlib
import inspect
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self  # noqa: UP035 (Python 3.10 has none)

    F = TypeVar("F", bound=Callable[..., Any])


class Block:
    """A `with` block that always ends. A subclass has two methods:

    enter(frame)  makes the changes; `frame` is the frame of the with statement
    leave()       puts everything back. It may run several times, also after half an `enter`

    Raises RuntimeError for a block that is entered while it is open.
    """

    is_open = False
    watch = None
    __exit__: Callable[..., None]  # see Exit

    def __enter__(self) -> "Self":
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

    def __new__(cls, function: Any = None) -> "Self":
        block = super().__new__(cls)
        return block if function is None else block(function)  # the decorator without brackets

    def enter(self, frame):
        """Sets the mode."""
        self.generator = _generator_of(frame)
        self.mode.set_blocks((self, *self.mode.blocks()))

    def leave(self):
        """Ends the block: the mode is as it is around the block."""
        self.mode.set_blocks(tuple([block for block in self.mode.blocks() if block is not self]))
        self.generator = self.generator and ENDED

    def is_running(self):
        """Whether the program is inside, and not in the caller of a generator that is suspended."""
        return self.generator is None or self.generator.f_back is not None

    def __call__(self, function: "F") -> "F":
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

"""Types of arguments, for the signatures that editors and type checkers read."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias

import numpy as np

from .engine import Tensor

Operand = Tensor | np.ndarray | np.generic | float | list[Any]
Axis = int | tuple[int, ...] | None
Ints = int | Sequence[int]  # one number, or a number for each axis
DType = np.dtype | type | str
Rng: TypeAlias = "np.random.Generator | str | None"  # a string: its import would take a while
Params = Iterable[Tensor] | Iterable[dict[str, Any]]

P = ParamSpec("P")  # the arguments of a function


class Declares(Protocol):
    """Makes an op or a composition, which has the arguments of a function, of this function."""

    def __call__(self, function: Callable[P, Any], /) -> Callable[P, Tensor]: ...


class Schedule(Protocol):
    """A function of the step number 0, 1, 2, ..., such as `optim.cosine(0.1, steps=100)`."""

    def __call__(self, step: int, /) -> float: ...


Rate = float | Schedule

"""Types of arguments, for the signatures that editors and type checkers read."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias

import numpy as np

from .engine import Tensor

Operand = Tensor | np.ndarray | np.generic | float | list[Any]
Axis = int | tuple[int, ...] | None
Ints = int | Sequence[int]  # one number, or a number for each axis
DType = np.dtype | type | str
Rng: TypeAlias = "np.random.Generator | str | None"  # a string, since importing np.random is slow
Params = Iterable[Tensor] | Iterable[dict[str, Any]]

P = ParamSpec("P")  # the arguments of a function


class Declares(Protocol):
    """Makes an op or a composition of a function. It takes the arguments of the function."""

    def __call__(self, function: Callable[P, Any], /) -> Callable[P, Tensor]: ...


class Schedule(Protocol):
    """A function of the step number 0, 1, 2, ..., such as `optim.cosine(0.1, steps=100)`."""

    def __call__(self, step: int, /) -> float: ...


Rate = float | Schedule

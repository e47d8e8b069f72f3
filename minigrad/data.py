"""Batches of arrays. A checkpoint can store their order and position."""

from collections.abc import Iterator

import numpy as np

from . import later
from .array import entries_of
from .functional.checks import require_whole
from .noise import stream
from .state import require_same
from .types import Operand

__all__ = ["Batches"]

later.offer_names(__name__)


class Batches:
    """Batches of rows of arrays, as tuples of arrays. An epoch has every row once, in a new order.

    >>> batches = Batches(np.arange(5), np.arange(5) ** 2, batch_size=2, shuffle=False)
    >>> for x, y in batches:
    ...     print(x, y)
    [0 1] [0 1]
    [2 3] [4 9]
    [4] [16]

    arrays      one or more, all with the same number of rows
    batch_size  rows in a batch; the last batch of an epoch may be smaller
    shuffle     False: the rows keep their order
    rng         a seed or a generator, from which the seed of all orders is drawn; without it
                minigrad's own
    drop_last   leaves out the last batch of an epoch if it is smaller

    Like a file, it has one position: `epoch` counts the completed epochs, and `batch` the batches
    since then. A loop ends with the epoch. If a loop stops early, the next loop continues there.

    Raises ValueError for arrays of different lengths and for settings out of range; TypeError for
    an rng that is neither a seed nor a generator.
    """

    def __init__(self, *arrays: Operand, batch_size=32, shuffle=True, rng=None, drop_last=False):
        self.arrays = [entries_of(a, "Batches") for a in arrays]
        shapes = [a.shape for a in self.arrays]
        if not arrays or () in shapes or len({rows for rows, *_ in shapes}) > 1:
            raise ValueError(
                f"Batches takes arrays with equally many rows, not of shapes {shapes}."
            )
        require_whole("Batches: batch_size", batch_size, 1)
        self.rows = shapes[0][0]
        self.batch_size = int(batch_size)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        generator = stream("batches") if rng is None else np.random.default_rng(rng)
        self.seed = int(generator.integers(2**63))
        self.epoch = self.batch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.rows // self.batch_size if self.drop_last else -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        begun = None  # the seed and the epoch of `order`
        while self.batch < len(self):
            if begun and (self.epoch, self.batch) == (begun[1] + 1, 0):
                return  # a loop inside this one has ended the epoch
            if begun != (self.seed, self.epoch):  # at the start, and after a load inside the loop
                begun = self.seed, self.epoch
                rng = np.random.default_rng(begun)
                order = rng.permutation(self.rows) if self.shuffle else np.arange(self.rows)
            start = self.batch * self.batch_size
            rows = order[start : start + self.batch_size]
            self.batch += 1
            yield tuple(a[rows] for a in self.arrays)
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict:
        """The settings and the position, without the arrays."""
        return {name: value for name, value in vars(self).items() if name != "arrays"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Continues at the position of a state_dict, in its order.

        Raises TypeError if it is not a dict, ValueError for another number of rows, other settings,
        and a seed, epoch or batch that is not a whole number >= 0. Then nothing changes.
        """
        names = "seed", "epoch", "batch"
        require_same("Batches", self.state_dict(), state_dict, counters=names)
        vars(self).update({name: int(state_dict[name]) for name in names})

    def __repr__(self):
        size = f"{self.rows} rows, batch_size={self.batch_size}"
        order = f"shuffle={self.shuffle}, drop_last={self.drop_last}"
        where = f"epoch {self.epoch}, batch {self.batch} of {len(self)}"
        return f"Batches({size}, {order}: {where})"

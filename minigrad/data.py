"""Data: batches of arrays, in an order that a checkpoint can go on with."""

import numpy as np

from .array import data_of
from .noise import stream
from .state import agree


class Batches:
    """Batches of the rows of equally long arrays, as tuples. An epoch has every row once, in an order of its own.

    >>> batches = Batches(np.arange(5), np.arange(5) ** 2, batch_size=2, shuffle=False)
    >>> for x, y in batches:
    ...     print(x, y)
    [0 1] [0 1]
    [2 3] [4 9]
    [4] [16]

    Like a file it has one position: a loop ends with the epoch, and what a loop left early is where the next one begins. `epoch` counts
    the epochs completed, `batch` the batches given since. The order depends on a seed and the epoch alone; the seed is drawn from `rng`, a
    seed or a generator, or from minigrad's own. `drop_last`: without the last batch if it is smaller.
    """

    def __init__(self, *arrays, batch_size=32, shuffle=True, rng=None, drop_last=False):
        self.arrays = [np.asarray(data_of(a)) for a in arrays]
        shapes = [a.shape for a in self.arrays]
        if not arrays or () in shapes or len({rows for rows, *_ in shapes}) > 1:
            raise ValueError(
                f"Batches takes arrays with equally many rows, not of shapes {shapes}."
            )
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(
                f"Batches: batch_size must be a whole number of at least 1, not {batch_size!r}."
            )
        self.rows, self.batch_size, self.shuffle, self.drop_last = (
            shapes[0][0],
            int(batch_size),
            bool(shuffle),
            bool(drop_last),
        )
        if not len(self):
            raise ValueError(
                f"Batches: {self.rows} rows make no batch"
                + f" of {batch_size}, and drop_last leaves out smaller ones." * self.drop_last
            )
        self.seed = int(
            (stream("batches") if rng is None else np.random.default_rng(rng)).integers(2**63)
        )
        self.epoch = self.batch = 0

    def __len__(self):
        """Batches an epoch."""
        return self.rows // self.batch_size if self.drop_last else -(-self.rows // self.batch_size)

    def __iter__(self):
        known = None
        while self.batch < len(self):
            if known and (self.epoch, self.batch) == (known[1] + 1, 0):
                return  # a loop inside this one has ended the epoch
            if known != (
                self.seed,
                self.epoch,
            ):  # at the beginning, and if a state was loaded meanwhile
                known = self.seed, self.epoch
                order = (
                    np.random.default_rng(known).permutation(self.rows)
                    if self.shuffle
                    else np.arange(self.rows)
                )
            start = self.batch * self.batch_size
            chosen = order[start : start + self.batch_size]
            self.batch += 1
            yield tuple(a[chosen] for a in self.arrays)
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self):
        """The settings and the position; not the arrays."""
        return {name: value for name, value in vars(self).items() if name != "arrays"}

    def load_state_dict(self, state_dict):
        """Goes on at that position, in that order. Another number of rows or other settings: an error, and nothing changes."""
        agree(
            "Batches",
            {name: getattr(self, name) for name in ("rows", "batch_size", "shuffle", "drop_last")},
            state_dict,
        )
        self.seed, self.epoch, self.batch = (
            int(state_dict[name]) for name in ("seed", "epoch", "batch")
        )

"""Randomness: the noise leaves of a graph, their laws, and the generators that draw them.

For an op, a noise leaf is data like all other data. It knows its law and its generator, so a
recorded graph can run again with the same noise, with new noise, or with every possible noise.

A new law is a subclass of `Law`, and a function that uses its noise:

    >>> class Exponential(Law):
    ...     def __init__(self, mean):
    ...         self.mean = mean
    ...
    ...     def draw(self, rng, shape, dtype):
    ...         return rng.exponential(self.mean, shape)
    ...
    ...     def cdf(self, x):
    ...         return 1 - np.exp(-np.maximum(x, 0) / self.mean)
    >>> def exponential_noise(x, training):
    ...     return x * Noise(Exponential(1.0), x.shape, x.dtype) if training else x
"""

import math
import numbers
import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from . import later
from .array import data_of, is_foreign
from .changes import tick
from .engine import RECORDED, Tensor
from .modes import Block, Mode, path, scope

__all__ = ["Noise", "Law", "Bernoulli", "Normal", "Uniform", "manual_seed", "stream"]
__all__ += ["get_rng_state", "set_rng_state", "frozen_noise", "sampling", "effect"]


class Noise(Tensor):
    """A leaf of this shape and dtype whose entries are drawn independently from a `Law`.

    distribution  The law.
    rng           A np.random.Generator, or the name of a stream. Without it, the stream has the
                  name of the module that draws. So a change of one layer leaves the noise of the
                  others alone.
    like          An array of another library: the noise becomes such an array. The workers of Dask
                  draw it, chunk by chunk.

    The attribute `stream` is the name of the stream, and `rng` is the generator that draws. Each
    thread has its own streams: `draw` uses the stream of the thread that calls it.

    Raises TypeError if `distribution` is not a Law or `rng` has another type, ValueError if the law
    draws another shape.
    """

    __slots__ = ("_rng", "distribution", "stream")

    def __init__(self, distribution, shape, dtype, rng=None, like=None):
        if not isinstance(distribution, Law):
            raise TypeError(f"Noise: {distribution!r} is no Law, such as Bernoulli(0.5).")
        if not (rng is None or isinstance(rng, (np.random.Generator, str))):
            raise TypeError(f"Noise: rng is a np.random.Generator or a name, not {rng!r}.")
        self.distribution = distribution
        self.stream = rng if isinstance(rng, str) else path(scope.get(), by_kind=True)
        self._rng = None if isinstance(rng, str) else rng
        self._fill(self._drawn(tuple(shape), np.dtype(dtype), data_of(like)), flags=RECORDED)

    def __reduce__(self):  # a copy is plain data
        return Tensor, (self.data, self.requires_grad)

    @property
    def rng(self):
        """The generator that draws."""
        return seeded().stream(self.stream) if self._rng is None else self._rng

    def draw(self) -> np.ndarray:
        """New values from the same law and the same generator, as an array."""
        return self._drawn(self.data.shape, self.data.dtype, self.data)

    def _drawn(self, shape, dtype, like):
        rng = self.rng
        if frozen.get():
            frozen.blocks()[0].note(rng)
        if is_foreign(like):
            return later.foreign().drawn(self.distribution, rng, shape, dtype, like)
        drawn = np.asarray(self.distribution.draw(rng, shape, dtype), dtype)
        if drawn.shape != shape:
            raise ValueError(f"Noise: {self.distribution!r} drew shape {drawn.shape}, not {shape}.")
        return drawn


# ----------------------------------------------------------------------------------------- laws


class Law:
    """The law of one entry of noise. A subclass defines `draw`, and the others if it can.

    draw(rng, shape, dtype)  an array of independent entries, from the np.random.Generator `rng`
    cdf(x)                   P(entry <= x) for each entry of the array x. If x itself has a
                             probability, cdf(x) includes it
    outcomes(order)          (values, probabilities) of an entry, two arrays: all its values, or
                             `order` nodes and weights of a quadrature for its law

    `check_noise` compares the drawn entries with the cdf. `expectation` runs over the outcomes,
    which also give the mean and the variance. Without a cdf, check_noise is VACUOUS; without
    outcomes, expectation raises TypeError. The repr is the call that makes the law, if its
    arguments are attributes.
    """

    cdf = outcomes = None

    def __repr__(self):
        settings = [
            f"{name}={value:g}" if isinstance(value, numbers.Real) else f"{name}={value!r}"
            for name, value in vars(self).items()
        ]
        return f"{type(self).__name__}({', '.join(settings)})"


class Bernoulli(Law):
    """True with probability `keep`, else False. `keep` is exact to double precision.

    Raises ValueError for a probability outside [0, 1].
    """

    def __init__(self, keep):
        if not 0 <= keep <= 1:
            raise ValueError(f"Bernoulli: keep is a probability, in [0, 1]; got {keep}.")
        self.keep = keep

    def draw(self, rng, shape, dtype):
        """Compares 8 random bits for each entry with `keep`, then corrects a few entries.

        8 bits give the rate whole / 256, below or above `keep`. Then some entries are set to True,
        or to False, with the probability that makes the rate exact. A `keep` of 1/2 takes one bit.
        """
        size = math.prod(shape)
        if self.keep == 0.5:
            return np.unpackbits(_bytes(rng, -(-size // 8)), count=size).view(bool).reshape(shape)
        whole, rest = divmod(self.keep * 256, 1)
        up = rest / (256 - whole) if rest else 0.0  # P(set to True), if 8 bits give whole / 256
        down = (1 - rest) / (whole + 1)  # P(set to False), if 8 bits give (whole + 1) / 256
        bound = int(whole) + (up > down)  # bytes are compared faster with an int than with a float
        drawn = np.empty(size, bool)
        for start in range(0, size, CHUNK):
            part = drawn[start : start + CHUNK]
            np.less(_bytes(rng, part.size), bound, out=part)
        drawn[_successes(rng, min(up, down), size)] = up <= down
        return drawn.reshape(shape)

    def cdf(self, x):
        """P(entry <= x) for an array x."""
        return (x >= 0) * (1 - self.keep) + (x >= 1) * self.keep

    def outcomes(self, order=None):
        """(values, probabilities) of an entry: False and True, without the impossible one."""
        possible = np.array([self.keep < 1, self.keep > 0])
        return np.array([False, True])[possible], np.array([1 - self.keep, self.keep])[possible]


CHUNK = 2**17  # entries drawn at a time: their random bytes stay in the cache


def _bytes(rng, count):
    """Random bytes, faster than rng.bytes."""
    return rng.integers(0, 1 << 64, -(-count // 8), np.uint64).view(np.uint8)[:count]


def _successes(rng, p, count):
    """The successes among `count` trials of a small probability p. Their gaps are geometric."""
    parts = [np.array([-1])]
    while p and parts[-1][-1] < count:
        gaps = rng.geometric(p, int(1.1 * p * count) + 16)
        parts.append(parts[-1][-1] + np.cumsum(np.minimum(gaps, count + 1)))  # no sum overflows
    trials = np.concatenate(parts)
    return trials[1 : np.searchsorted(trials, count)]


class Normal(Law):
    """Gaussian. The outcomes are nodes of Gauss-Hermite quadrature.

    The quadrature is exact for polynomials of degree 2 order - 1. Raises ValueError for a negative
    standard deviation.
    """

    def __init__(self, mean=0.0, std=1.0):
        if not std >= 0:
            raise ValueError(f"Normal: std is a number >= 0; got {std}.")
        self.mean, self.std = mean, std

    def draw(self, rng, shape, dtype):
        """Draws in float32 if `dtype` is float32, else in float64."""
        kind = dtype if dtype in (np.float32, np.float64) else np.float64
        return self.mean + self.std * rng.standard_normal(shape, kind)

    def cdf(self, x):
        """P(entry <= x) for an array x."""
        if self.std == 0:
            return (x >= self.mean) * 1.0
        return _erfc((self.mean - x) / (self.std * math.sqrt(2))) / 2

    def outcomes(self, order=8):
        """(nodes, weights) of the quadrature with `order` nodes."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(order)
        return self.mean + self.std * nodes, weights / weights.sum()


_erfc = np.vectorize(math.erfc, otypes=[float])


class Uniform(Law):
    """Uniform on [low, high]. The outcomes are nodes of Gauss-Legendre quadrature.

    The quadrature is exact for polynomials of degree 2 order - 1. Raises ValueError unless low is
    below high.
    """

    def __init__(self, low=0.0, high=1.0):
        if not low < high:
            raise ValueError(f"Uniform: low is a number below high; got {low} and {high}.")
        self.low, self.high = low, high

    def draw(self, rng, shape, dtype):
        """Draws in float64."""
        return rng.uniform(self.low, self.high, shape)

    def cdf(self, x):
        """P(entry <= x) for an array x."""
        return np.clip((x - self.low) / (self.high - self.low), 0, 1)

    def outcomes(self, order=8):
        """(nodes, weights) of the quadrature with `order` nodes."""
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return self.low + (self.high - self.low) * (nodes + 1) / 2, weights / 2


# ----------------------------------------------------------------------------------- generators


class Seeded:
    """A seed, and the generators that come from it: streams by name.

    entropy   a whole number >= 0; None takes one from the system
    streams   {name: np.random.Generator} of the streams that were used
    children  how many threads and processes have derived a seed of their own
    """

    def __init__(self, entropy=None, children=0):
        # not by np.random.SeedSequence, whose import would double the time of `import minigrad`
        self.entropy = int.from_bytes(os.urandom(16), "little") if entropy is None else entropy
        self.streams, self.children, self.counting = {}, children, threading.Lock()

    def stream(self, name):
        if name not in self.streams:
            sequence = np.random.SeedSequence(self.entropy, spawn_key=tuple(name.encode()))
            self.streams[name] = np.random.Generator(np.random.PCG64(sequence))
        return self.streams[name]

    def child(self):
        """Another Seeded, independent of this one and of its other children."""
        with self.counting:
            key = 256, self.children  # no name has a byte of 256
            self.children += 1
        sequence = np.random.SeedSequence(self.entropy, spawn_key=key)
        return Seeded(int.from_bytes(sequence.generate_state(4).tobytes(), "little"))


class State(threading.local):
    """The seed of each thread but the main one, and the seed for the next forked process."""

    seeded = parent = child = None  # parent: the main thread's seed, if it made `seeded`


state = State()
main = Seeded()  # of the main thread


def _is_main():
    return threading.current_thread() is threading.main_thread()


def seeded():
    """The seed of this thread with its streams: its own, or a child of the main thread's."""
    if _is_main():
        return main
    if state.seeded is None or state.parent not in (None, main):
        state.seeded, state.parent = main.child(), main
    return state.seeded


def _seed(new):
    """Replaces the seed of this thread and its streams, all at once."""
    global main
    if _is_main():
        main = new
    else:
        state.seeded, state.parent = new, None


def _before_fork():
    """Makes a seed for the new process, which must not repeat the noise of this one."""
    state.child = seeded().child()


if hasattr(os, "register_at_fork"):  # the forking thread is the main thread of the new process
    os.register_at_fork(before=_before_fork, after_in_child=lambda: _seed(state.child))


def manual_seed(seed) -> None:
    """Restarts all noise and initialisations from `seed`, a whole number >= 0 or several.

    With several numbers, such as (seed, step, chunk), each part of a computation has its own noise,
    wherever it runs.

    In the main thread it seeds all threads. Each other thread draws its own noise: the first one
    that draws gets the first seed derived from the main thread's seed, and so on. In another thread
    it seeds only this thread. A forked process also gets a derived seed. Any other new process has
    a random seed until it calls manual_seed.

    Raises ValueError for any other seed.
    """
    _seed(Seeded(_entropy(seed)))


@contextmanager
def seeded_with(seed):
    """Inside, noise and initialisations of this thread come from `seed`, as after manual_seed."""
    before = seeded()
    manual_seed(seed)
    try:
        yield
    finally:
        _seed(before)


def _entropy(seed):
    """A seed as one number, another for each seed. Raises ValueError for anything else."""
    numbers = seed if isinstance(seed, (list, tuple)) and seed else [seed]
    for n in numbers:
        if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 0:
            raise ValueError(f"manual_seed: a whole number >= 0 or several, not {seed!r}.")
    first, *others = map(int, numbers)
    # For np.random.SeedSequence (1, 0) is 1, and (0, 1) is 2**32. Their texts differ.
    return int.from_bytes(repr([first, *others]).encode(), "big") if others else first


def stream(name: str) -> "np.random.Generator":
    """This thread's generator of that name.

    Streams are independent: a draw from one does not change the others.
    """
    return seeded().stream(name)


def get_rng_state() -> dict:
    """The state of all noise and initialisations of this thread, plain data for `set_rng_state`."""
    own = seeded()
    streams = {name: rng.bit_generator.state for name, rng in own.streams.items()}
    return {"entropy": own.entropy, "streams": streams, "children": own.children}


def set_rng_state(rng_state: dict) -> None:
    """Continues noise and initialisations of this thread from a state of `get_rng_state`.

    Like manual_seed, it restarts the threads whose seeds come from this thread. Raises ValueError
    for any other state, and then changes nothing.
    """
    try:
        new = Seeded(_entropy(rng_state["entropy"]), _entropy(rng_state.get("children", 0)))
        for name, saved in rng_state["streams"].items():
            new.stream(name).bit_generator.state = saved
    except Exception as error:
        raise ValueError(
            f"set_rng_state: not what get_rng_state returns: {rng_state!r:.60}."
        ) from error
    _seed(new)


# ---------------------------------------------------------------------------------------- modes

frozen = Mode("frozen", default=False)  # whether a frozen_noise block is open


class frozen_noise(Block):
    """All such blocks draw the same noise: at the end, each generator goes back to its old state.

    Running statistics of batch norm do not change inside. The block affects only its own thread. It
    is also a decorator.
    """

    mode, value = frozen, True

    def __init__(self):
        self.drawn = {}  # generator: its state when the block first drew from it

    def note(self, rng):
        """Keeps the state of a generator, before its first draw in this block."""
        if rng not in self.drawn:
            self.drawn[rng] = rng.bit_generator.state

    def __exit__(self, *error):
        while self.drawn:
            rng, state = self.drawn.popitem()
            rng.bit_generator.state = state
        super().__exit__()


def effect(function, *args):
    """Calls a function that changes running statistics, with arrays in place of Tensors.

    It does nothing inside `frozen_noise()`. A Watch of this thread notes the call.
    """
    if frozen.get():
        return
    function(*map(data_of, args))
    if watch := watching.get():
        watch.effects.append((tick(), function, args))


watching = ContextVar("watching", default=None)  # the Watch of program/watching.py that is open
sampling_mode = Mode("sampling", default=False)


class sampling(Block):
    """Inside, noise is drawn in evaluation mode too. No module's mode changes. Also a decorator.

    This is Monte Carlo dropout (Gal & Ghahramani 2016, arXiv:1506.02142). The block affects only
    its own thread; for a pool of threads, decorate the function that the threads run.
    """

    mode, value = sampling_mode, True

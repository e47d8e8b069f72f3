"""Randomness: leaves of the graph that are drawn, and the generators that they are drawn from.

A noise leaf is data like any other to the ops that use it; because it knows how it was drawn, a recorded graph can be run again
with its noise as it was, with fresh noise, or with every value that the noise can take.
"""

import contextlib
import math
import threading
from contextvars import ContextVar

import numpy as np

from .engine import RECORDED, Tensor
from .modes import path, scope


class Noise(Tensor):
    """A leaf drawn at random. It knows its distribution and its generator, so it can be drawn again.

    `distribution` has `draw(rng, shape, dtype) -> array`. `rng` is a generator, or the name of one of this thread's streams;
    without it the stream is named after the module that draws, so that changing one layer leaves the noise of others alone.
    """

    __slots__ = ("distribution", "rng", "stream")

    def __init__(self, distribution, shape, dtype, rng=None):
        self.stream = rng if isinstance(rng, str) else path(scope.get(), by_kind=True)
        self.distribution = distribution
        self.rng = rng if isinstance(rng, np.random.Generator) else stream(self.stream)
        self._fill(np.empty(shape, dtype), flags=RECORDED)
        self.data = self.draw()

    def __reduce__(self):  # a copy is plain data
        return Tensor, (self.data, self.requires_grad)

    def draw(self):
        """Fresh values of the same law, from the same generator."""
        if state.drawn is not None and self.rng not in state.drawn:
            state.drawn[self.rng] = self.rng.bit_generator.state
        return self.distribution.draw(self.rng, self.shape, self.dtype)


# ---------------------------------------------------------------------------------------- laws

BLOCK = 2**17  # entries drawn at a time: their bits stay in the cache

# A distribution draws arrays of independent entries, knows their mean and variance, and lists its outcomes: the values an
# entry can take, with their probabilities.


def _bytes(rng, count):
    """Random bytes, faster than rng.bytes."""
    return rng.integers(0, 1 << 64, -(-count // 8), np.uint64).view(np.uint8)[:count]


def _successes(rng, p, count):
    """Where `count` trials of a small probability p succeed: the gaps between successes are geometric."""
    found = [np.array([-1])]
    while p and found[-1][-1] < count:
        gaps = np.minimum(
            rng.geometric(p, int(1.1 * p * count) + 16), count + 1
        )  # no sum overflows
        found.append(found[-1][-1] + np.cumsum(gaps))
    places = np.concatenate(found)
    return places[1 : np.searchsorted(places, count)]


class Bernoulli:
    """True with probability `keep`: exact to double precision, however few random bits an entry takes."""

    def __init__(self, keep):
        self.keep = self.mean = keep
        self.variance = keep * (1 - keep)

    def __repr__(self):
        return f"Bernoulli(keep={self.keep:g})"

    def draw(self, rng, shape, dtype):
        """Compares 8 random bits an entry with `keep`; a few entries drawn anew make up for what 8 bits cannot say. For 1/2 a bit will do."""
        size = math.prod(shape)
        if self.keep == 0.5:
            return np.unpackbits(_bytes(rng, -(-size // 8)), count=size).view(bool).reshape(shape)
        whole, rest = divmod(self.keep * 256, 1)
        up, down = (
            rest / (256 - whole) if rest else 0.0,
            (1 - rest) / (whole + 1),
        )  # from whole/256 up, or from (whole+1)/256 down
        drawn, bound = np.empty(size, bool), int(whole) + (up > down)
        for start in range(0, size, BLOCK):
            part = drawn[start : start + BLOCK]
            np.less(
                _bytes(rng, part.size), bound, out=part
            )  # bits are compared faster with an int than with a float
        drawn[_successes(rng, min(up, down), size)] = up <= down
        return drawn.reshape(shape)

    def outcomes(self, order=None):
        possible = np.array([self.keep < 1, self.keep > 0])
        return np.array([False, True])[possible], np.array([1 - self.keep, self.keep])[possible]


class Normal:
    """Gaussian. Its outcomes are the `order` nodes of Gauss-Hermite quadrature: exact for polynomials of degree 2 order - 1."""

    def __init__(self, mean=0.0, std=1.0):
        self.mean, self.std, self.variance = mean, std, std**2

    def __repr__(self):
        return f"Normal(mean={self.mean:g}, std={self.std:g})"

    def draw(self, rng, shape, dtype):
        kind = dtype if dtype in (np.float32, np.float64) else np.float64
        return (self.mean + self.std * rng.standard_normal(shape, kind)).astype(dtype, copy=False)

    def outcomes(self, order=8):
        nodes, weights = np.polynomial.hermite_e.hermegauss(order)
        return self.mean + self.std * nodes, weights / weights.sum()


# ---------------------------------------------------------------------------------------- generators


class State(threading.local):
    """What each thread has for itself: the generators of its noise."""

    drawn = None  # inside frozen_noise(): {generator: its state when the block first drew from it}
    entropy = None  # what manual_seed was given; drawn from the system when first needed

    def __init__(self):
        self.streams = {}  # name -> generator


state = State()


def manual_seed(seed):
    """Restarts all of this thread's noise and initialisations from `seed`."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"manual_seed: a whole number >= 0, not {seed!r}.")
    state.entropy, state.streams = int(seed), {}


def stream(name):
    """This thread's generator of that name. Streams are independent: drawing from one never moves another."""
    if name not in state.streams:
        if state.entropy is None:
            state.entropy = np.random.SeedSequence().entropy
        sequence = np.random.SeedSequence(state.entropy, spawn_key=tuple(name.encode()))
        state.streams[name] = np.random.Generator(np.random.PCG64(sequence))
    return state.streams[name]


@contextlib.contextmanager
def frozen_noise():
    """Every such block draws the same noise: on leaving, each generator drawn from is put back as it was. Running statistics stay too."""
    before, state.drawn = state.drawn, {}
    try:
        yield
    finally:
        for rng, saved in state.drawn.items():
            rng.bit_generator.state = saved
        state.drawn = before


def is_frozen():
    """Whether this thread is inside frozen_noise()."""
    return state.drawn is not None


# -------------------------------------------------------------------------------------------- modes


sampling_mode = ContextVar("sampling_mode", default=False)  # True inside sampling()


@contextlib.contextmanager
def sampling():
    """Inside, noise is drawn in evaluation mode too: Monte Carlo dropout (Gal & Ghahramani 2016). No module's mode changes."""
    token = sampling_mode.set(True)
    try:
        yield
    finally:
        sampling_mode.reset(token)


# ------------------------------------------------------------------------------------- random numbers


def get_rng_state():
    """The state of all of this thread's noise and initialisations, as plain data for `set_rng_state`."""
    if state.entropy is None:  # nothing was drawn yet: from now on what will be is settled
        state.entropy = np.random.SeedSequence().entropy
    return {
        "entropy": state.entropy,
        "streams": {name: rng.bit_generator.state for name, rng in state.streams.items()},
    }


def set_rng_state(rng_state):
    """Goes on with this thread's noise and initialisations where `get_rng_state` stood."""
    try:
        entropy, streams = int(rng_state["entropy"]), {}
        for name, saved in rng_state["streams"].items():
            streams[name] = np.random.Generator(np.random.PCG64(0))
            streams[name].bit_generator.state = saved
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"set_rng_state: not what get_rng_state returns: {rng_state!r:.60}."
        ) from error
    state.entropy, state.streams = entropy, streams

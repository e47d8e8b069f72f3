"""Randomness: leaves of the graph that are drawn, and the generators that they are drawn from.

A noise leaf is data like any other to the ops that use it; because it knows how it was drawn, a recorded graph can be run again
with its noise as it was, with fresh noise, or with every value that the noise can take.
"""

import contextlib
import threading
from contextvars import ContextVar

import numpy as np

from .engine import RECORDED, Tensor, path, scope, tick


class Noise(Tensor):
    """A leaf drawn at random. It knows its distribution and its generator, so it can be drawn again.

    `distribution` has `draw(rng, shape, dtype) -> array`. `rng` is a generator, or the name of one of this thread's streams;
    without it the stream is named after the module that draws, so that changing one layer leaves the noise of others alone.
    """

    __slots__ = ("distribution", "rng", "stream")

    def __init__(self, distribution, shape, dtype, rng=None):
        self.stream = rng if isinstance(rng, str) else path(scope.get(), by_kind=True)
        self.distribution, self.rng = (
            distribution,
            stream(self.stream) if rng is None or isinstance(rng, str) else rng,
        )
        self.data = np.empty(shape, dtype)
        self.grad, self.op, self.args, self.order, self.origin, self.track = (
            None,
            None,
            (),
            tick(),
            None,
            RECORDED,
        )
        self.data = self.draw()

    def __reduce__(self):  # a copy is plain data
        return Tensor, (self.data, self.requires_grad)

    def draw(self):
        """Fresh values of the same law, from the same generator."""
        if state.drawn is not None and self.rng not in state.drawn:
            state.drawn[self.rng] = self.rng.bit_generator.state
        return self.distribution.draw(self.rng, self.shape, self.dtype)


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

"""A noise law, and a function that draws from it. `python -m minigrad.check examples/my_noise.py` proves both."""

import numpy as np

from minigrad.check.samples.dropout import Noisy
from minigrad.noise import Law, Noise


class Uniform(Law):
    """Uniform on [1 - width, 1 + width]."""

    def __init__(self, width):
        self.width = width

    def draw(self, rng, shape, dtype):
        return rng.uniform(1 - self.width, 1 + self.width, shape)

    def cdf(self, x):
        return np.clip((x - 1 + self.width) / (2 * self.width), 0, 1)

    def outcomes(self, order=8):
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return 1 + self.width * nodes, weights / 2


def uniform_noise(x, width, training):
    """x times noise that is uniform around 1."""
    return x * Noise(Uniform(width), x.shape, x.dtype) if training else x


half = lambda x, training: uniform_noise(x, 0.5, training)
noisy = {"uniform_noise": [Noisy("width=0.5", half, lambda x: x * x * 0.25 / 3, small=(3,))]}

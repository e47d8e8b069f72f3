"""A noise law, and a function that draws from it. `python -m minigrad.check examples/my_noise.py` proves both."""

import numpy as np

from minigrad.check.samples.dropout import Noisy
from minigrad.noise import Law, Noise


class Laplace(Law):
    """The law of the difference of two exponential numbers with mean `scale`."""

    def __init__(self, scale):
        self.scale = scale

    def draw(self, rng, shape, dtype):
        return rng.laplace(0, self.scale, shape)

    def cdf(self, x):
        tail = np.exp(-np.abs(x) / self.scale) / 2
        return np.where(x < 0, tail, 1 - tail)

    def outcomes(self, order=8):
        nodes, weights = np.polynomial.laguerre.laggauss(order)
        return self.scale * np.append(-nodes, nodes), np.append(weights, weights) / 2


def laplace_noise(x, scale, training):
    """x plus Laplace noise, as differential privacy adds it (Dwork et al. 2006)."""
    return x + Noise(Laplace(scale), x.shape, x.dtype) if training else x


half = lambda x, training: laplace_noise(x, 0.5, training)
variance = lambda x: 2 * 0.5**2 + 0 * x  # 2 scale^2, for each entry of x
noisy = {"laplace_noise": [Noisy("scale=0.5", half, variance, small=(2,))]}

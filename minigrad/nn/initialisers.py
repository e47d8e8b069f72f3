"""Initialisers of weights. Each is a function init(rng, shape, fan_in, fan_out) -> array.

rng      the np.random.Generator to draw from
shape    the shape of the weight
fan_in   the number of inputs of each unit
fan_out  the number of units that each input enters
"""

import numpy as np

__all__ = ["zeros", "ones", "normal", "fan_in_uniform"]
__all__ += ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"]


def zeros(rng, shape, fan_in, fan_out):
    """All 0: the usual start of a bias."""
    return np.zeros(shape)


def ones(rng, shape, fan_in, fan_out):
    """All 1: the usual start of the weight of a norm."""
    return np.ones(shape)


def normal(rng, shape, fan_in, fan_out):
    """N(0, 1): PyTorch's default for Embedding."""
    return rng.normal(0, 1, shape)


def fan_in_uniform(rng, shape, fan_in, fan_out):
    """U(-a, a), a = 1 / sqrt(fan_in): PyTorch's default for Linear."""
    bound = 1 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


def glorot_uniform(rng, shape, fan_in, fan_out):
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010): Keras's default."""
    bound = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(rng, shape, fan_in, fan_out):
    """N(0, 2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return rng.normal(0, np.sqrt(2 / (fan_in + fan_out)), shape)


def he_uniform(rng, shape, fan_in, fan_out):
    """U(-a, a), a = sqrt(6 / fan_in) (He et al. 2015, arXiv:1502.01852): use it before a relu."""
    bound = np.sqrt(6 / fan_in)
    return rng.uniform(-bound, bound, shape)


def he_normal(rng, shape, fan_in, fan_out):
    """N(0, 2 / fan_in) (He et al. 2015, arXiv:1502.01852): use it before a relu."""
    return rng.normal(0, np.sqrt(2 / fan_in), shape)

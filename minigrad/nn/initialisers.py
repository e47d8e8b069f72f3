"""How weights begin. Each is called as init(rng, shape, fan_in, fan_out) -> array."""

import numpy as np


def zeros(rng, shape, fan_in, fan_out):
    return np.zeros(shape)


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
    """U(-a, a), a = sqrt(6 / fan_in) (He et al. 2015, arXiv:1502.01852): made for relu."""
    bound = np.sqrt(6 / fan_in)
    return rng.uniform(-bound, bound, shape)


def he_normal(rng, shape, fan_in, fan_out):
    """N(0, 2 / fan_in) (He et al. 2015, arXiv:1502.01852): made for relu."""
    return rng.normal(0, np.sqrt(2 / fan_in), shape)

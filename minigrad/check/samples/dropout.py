"""Samples of ops/dropout.py, and of every function that draws noise."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from ... import functional as F
from ..proofs import law_and_moments
from .case import Sample, cases

SETTINGS = [(p, scaling) for p in (0, 0.2, 0.7) for scaling in ("inverted", "classic")]
NOTHING = [(1, "inverted"), (1, "classic"), (0.2,)]

samples = [
    cases("dropout: dropout(x, Tensor(mask), *s) | (2, 3)", s=SETTINGS),
    cases("dropout(x, Tensor(np.zeros_like(mask)), *s) | (2, 3)", s=NOTHING),
    "dropout(x, Tensor(np.array(True)), 0.2) | (); (2, 3)",
    "dropout(x.T, Tensor(mask), 0.2) | (3, 2)",
    "dropout(x, Tensor(np.zeros((0, 2), bool)), 0.2) | (0, 2)",
]


@dataclass(eq=False, repr=False)
class Noisy(Sample):
    """A function of x and `training` that draws noise, and its variance and mean, functions of x.

    Both are over the noise, for each entry of the result. Without `mean`, the mean is the function
    in evaluation. The first proof is the gradient with the noise held fixed.
    """

    name: str  # its settings, as failures print them
    function: object
    variance: object
    mean: object = None
    small: tuple = (8,)  # the shape of x where all outcomes are enumerated
    large: tuple = (256, 256)  # where the law of the noise is tested
    shared: tuple = ()  # the axes along which the noise is the same
    label, second = "", law_and_moments

    def __post_init__(self):
        self.mean = self.mean or partial(self.function, training=False)

    def inputs(self):
        return [np.random.default_rng(0).standard_normal((100, *self.small[1:]))]

    def call(self, x):
        return self.function(x, training=True)


def noise(function, settings, variance, **rest):
    """The Noisy of a function with these settings."""
    name = ", ".join(f"{setting}={value}" for setting, value in settings.items())
    return Noisy(name, partial(function, **settings), variance, **rest)


def dropping(function, **rest):
    """Both scalings of a function that sets entries to 0. At the rate 0.5, kept and dropped entries
    would look the same.
    """
    return [
        noise(function, {"p": 0.3, "scaling": "inverted"}, lambda x: 0.3 / 0.7 * x * x, **rest),
        noise(function, {"p": 0.8, "scaling": "classic"}, lambda x: 0.8 * 0.2 * x * x, **rest),
    ]


def alpha(p, low=-1.7580993408473766):  # low: the limit of SELU at -inf
    a = (1 - p + low**2 * p * (1 - p)) ** -0.5
    variance = lambda x: a**2 * p * (1 - p) * (x - low) ** 2
    return noise(F.alpha_dropout, {"p": p}, variance, mean=lambda x: a * (1 - p) * x)


def gaussian(p):
    return noise(F.gaussian_dropout, {"p": p}, lambda x: p / (1 - p) * x * x, small=(4,))


def added(std):
    return noise(F.gaussian_noise, {"std": std}, lambda x: std**2 + 0 * x, small=(4,))


SHARED = {"p": 0.3, "share": -1}

noisy = {
    "dropout": [
        *dropping(F.dropout, large=(512, 512)),  # more entries than are drawn at a time
        noise(F.dropout, {"p": 0.5}, lambda x: x * x),  # drawn in a way of its own
        noise(F.dropout, SHARED, lambda x: 0.3 / 0.7 * x * x, small=(8, 2), shared=(1,)),
    ],
    "dropout1d": dropping(F.dropout1d, small=(2, 3, 2), large=(64, 64, 8), shared=(2,)),
    "dropout2d": dropping(F.dropout2d, small=(2, 3, 2, 1), large=(64, 64, 4, 2), shared=(2, 3)),
    "drop_path": dropping(F.drop_path, small=(6, 2), large=(4096, 8), shared=(1,)),
    "drop_connect": dropping(F.drop_connect),
    "alpha_dropout": [alpha(0.1), alpha(0.8)],
    "gaussian_dropout": [gaussian(0.1), gaussian(0.8)],
    "gaussian_noise": [added(0.2), added(1.5)],
}

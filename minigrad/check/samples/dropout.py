"""Samples of ops/dropout.py, and of every function that draws noise."""

from dataclasses import dataclass

from ... import functional as F
from .case import case, each, zero

SETTINGS = [(p, scaling) for p in (0, 0.2, 0.7) for scaling in ("inverted", "classic")]

samples = {
    "dropout": [
        *each("dropout(x, Tensor(mask), *s)", (2, 3), s=SETTINGS),
        case("dropout(x, Tensor(np.ones((2, 3), bool)), 0)", (2, 3)),
        *each(
            "dropout(x, Tensor(np.zeros_like(mask)), 1, s)",
            (2, 3),
            s=["inverted", "classic"],
            zero=True,
        ),
        zero("dropout(x, Tensor(np.zeros_like(mask)), 0.2)", (2, 3)),
        case("dropout(x, Tensor(np.array(True)), 0.2)", ()),
        case("dropout(x.T, Tensor(mask), 0.2)", (3, 2)),
        zero("dropout(x, Tensor(np.zeros((0, 2), bool)), 0.2)", (0, 2)),
    ],
}


@dataclass
class Noisy:
    """A function of x and training that draws noise, and its variance and mean, functions of x.

    These are over the noise, for each entry of the result. Without a mean, it is the function in
    evaluation.
    """

    settings: str
    function: object
    variance: object
    mean: object = None
    small: tuple = (8,)  # the shape of x where all outcomes are enumerated
    large: tuple = (64, 1024)  # where the law of the noise is tested
    shared: tuple = ()  # the axes along which the noise is the same

    def __post_init__(self):
        self.mean = self.mean or (lambda x: self.function(x, False))

    def call(self, x):
        return self.function(x, True)


def dropping(function, p, scaling, **shapes):
    """A Noisy of a function that sets entries to 0."""
    scale = 1 / (1 - p) if scaling == "inverted" else 1
    call = lambda x, training: function(x, p, training, scaling=scaling)
    variance = lambda x: scale**2 * p * (1 - p) * x * x
    return Noisy(f"p={p:g}, {scaling}", call, variance, **shapes)


def twice(function, **shapes):
    """Both scalings. No rate is 0.5, where keep and drop look the same."""
    inverted = dropping(function, 0.3, "inverted", **shapes)
    return [inverted, dropping(function, 0.8, "classic", **shapes)]


def alpha(p, low=-1.7580993408473766):
    a = (1 - p + low**2 * p * (1 - p)) ** -0.5
    call = lambda x, training: F.alpha_dropout(x, p, training)
    variance = lambda x: a**2 * p * (1 - p) * (x - low) ** 2
    return Noisy(f"p={p:g}", call, variance, lambda x: a * (1 - p) * x)


def gaussian(function, setting, value, variance):
    call = lambda x, training: function(x, value, training)
    return Noisy(f"{setting}={value:g}", call, variance, small=(4,))


ALL = [(p, scaling) for p in (0.1, 0.3, 0.8) for scaling in ("inverted", "classic")]
share = lambda x, training: F.dropout(x, 0.3, training, share=-1)
images = {"small": (2, 3, 2, 1), "large": (64, 64, 4, 2)}

# Every function of `functional` that draws noise.
noisy = {
    "dropout": [
        *[dropping(F.dropout, p, scaling) for p, scaling in ALL],
        Noisy("p=0.3, share=-1", share, lambda x: 3 / 7 * x * x, small=(8, 2), shared=(1,)),
    ],
    "dropout1d": twice(F.dropout1d, small=(2, 3, 2), large=(64, 64, 8), shared=(2,)),
    "dropout2d": twice(F.dropout2d, **images, shared=(2, 3)),
    "drop_path": twice(F.drop_path, small=(6, 2), large=(4096, 8), shared=(1,)),
    "drop_connect": twice(F.drop_connect),
    "alpha_dropout": [alpha(0.1), alpha(0.8)],
    "gaussian_dropout": [
        gaussian(F.gaussian_dropout, "p", 0.1, lambda x: x * x / 9),
        gaussian(F.gaussian_dropout, "p", 0.8, lambda x: 4 * x * x),
    ],
    "gaussian_noise": [
        gaussian(F.gaussian_noise, "std", 0.2, lambda x: 0.04 + 0 * x),
        gaussian(F.gaussian_noise, "std", 1.5, lambda x: 2.25 + 0 * x),
    ],
}

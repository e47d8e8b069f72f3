"""Samples of ops/dropout.py, and of every function that draws noise."""

from dataclasses import dataclass

from ... import functional as F
from .case import case, cases

SETTINGS = [(p, scaling) for p in (0, 0.2, 0.7) for scaling in ("inverted", "classic")]
NOTHING = "dropout(x, Tensor(np.zeros_like(mask)), *s)"

samples = {
    "dropout": [
        cases("dropout(x, Tensor(mask), *s)", (2, 3), s=SETTINGS),
        case("dropout(x, Tensor(np.ones((2, 3), bool)), 0)", (2, 3)),
        cases(NOTHING, (2, 3), s=[(1, "inverted"), (1, "classic"), (0.2,)], zero=True),
        case("dropout(x, Tensor(np.array(True)), 0.2)", ()),
        case("dropout(x.T, Tensor(mask), 0.2)", (3, 2)),
        case("dropout(x, Tensor(np.zeros((0, 2), bool)), 0.2)", (0, 2)),
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


def of(function, settings, variance, **rest):
    """The Noisy of a function with these settings."""
    shown = ", ".join(v if isinstance(v, str) else f"{k}={v:g}" for k, v in settings.items())
    call = lambda x, training: function(x, training=training, **settings)
    return Noisy(shown, call, variance, **rest)


def dropping(function, rates=((0.3, "inverted"), (0.8, "classic")), **shapes):
    """The Noisy of a function that sets entries to 0. No rate is 0.5: keep and drop look alike."""
    rows = []
    for p, scaling in rates:
        factor = p / (1 - p) if scaling == "inverted" else p * (1 - p)
        variance = lambda x, factor=factor: factor * x * x
        rows.append(of(function, {"p": p, "scaling": scaling}, variance, **shapes))
    return rows


def alpha(p, low=-1.7580993408473766):
    a = (1 - p + low**2 * p * (1 - p)) ** -0.5
    variance = lambda x: a**2 * p * (1 - p) * (x - low) ** 2
    return of(F.alpha_dropout, {"p": p}, variance, mean=lambda x: a * (1 - p) * x)


ALL = [(p, scaling) for p in (0.1, 0.3, 0.8) for scaling in ("inverted", "classic")]
SHARED = {"small": (8, 2), "shared": (1,)}
IMAGES = {"small": (2, 3, 2, 1), "large": (64, 64, 4, 2), "shared": (2, 3)}

# Every function of `functional` that draws noise.
noisy = {
    "dropout": [
        *dropping(F.dropout, ALL),
        of(F.dropout, {"p": 0.3, "share": -1}, lambda x: 3 / 7 * x * x, **SHARED),
    ],
    "dropout1d": dropping(F.dropout1d, small=(2, 3, 2), large=(64, 64, 8), shared=(2,)),
    "dropout2d": dropping(F.dropout2d, **IMAGES),
    "drop_path": dropping(F.drop_path, small=(6, 2), large=(4096, 8), shared=(1,)),
    "drop_connect": dropping(F.drop_connect),
    "alpha_dropout": [alpha(0.1), alpha(0.8)],
    "gaussian_dropout": [
        of(F.gaussian_dropout, {"p": 0.1}, lambda x: x * x / 9, small=(4,)),
        of(F.gaussian_dropout, {"p": 0.8}, lambda x: 4 * x * x, small=(4,)),
    ],
    "gaussian_noise": [
        of(F.gaussian_noise, {"std": 0.2}, lambda x: 0.04 + 0 * x, small=(4,)),
        of(F.gaussian_noise, {"std": 1.5}, lambda x: 2.25 + 0 * x, small=(4,)),
    ],
}

"""Samples of ops/reductions.py."""

from .case import along, apart, cases, reduction, single


def extremes(name):
    """Samples of np.max and np.min."""
    return [
        *reduction(f"np.{name}", apart),
        *single(f"np.{name}", apart),
        f"np.a{name}(x, 0) | apart(3)",
        f"x.{name}(1) | apart(2, 2)",
        f"np.{name}(x, axis=0) | apart()",  # NumPy allows it
    ]


def spread(name):
    """Samples of np.var and np.std."""
    return [
        *reduction(f"np.{name}"),
        f"np.{name}(x, ddof=1); np.{name}(x, axis=-1, ddof=2) | (2, 3)",
        f"np.{name}(x, axis=(0, 2), ddof=1, keepdims=True) | (2, 2, 2)",
        f"x.{name}(0, ddof=1) | (3,)",
    ]


def soft(name):
    """Samples of softmax and log_softmax."""
    return [
        *along(name),
        f"{name}(x) | large",
        f"{name}(x, axis=(0, 1)) | (2, 2)",
        f"{name}(x) | (3, 1) | zero",
    ]


samples = {
    "sum": [
        *[reduction("np.sum"), single("np.sum")],
        "np.sum(x, axis=0) | ()",  # NumPy allows it
        "np.sum(x); np.sum(x, axis=()) | (0, 2); (2,)",
    ],
    "mean": [reduction("np.mean"), single("np.mean"), "np.mean(x, axis=()) | (2, 2)"],
    "max": extremes("max"),
    "min": extremes("min"),
    "var": [
        *[spread("var"), single("np.var", zero=True)],
        "np.var(x, ddof=0.5) | (3,)",
        "np.var(x) | 1e6 + offsets",  # a large mean must not cost the digits
    ],
    "std": spread("std"),
    "standardize": [
        cases("standardize(x, axis, 0.1) | (2, 3)", axis=[0, 1, -2, (0, 1), (-1, 0), None]),
        cases("standardize(x, axis, 1e-5) | (2, 3, 2)", axis=[1, (0, 2), (-1, 1)]),
        "standardize(x, 0, 0.0) | (4,)",
        "standardize(x.T[::-1], 0, 0.1) | (3, 2)",
        "standardize(x.transpose(1, 0, 2), (0, 2), 0.1) | (3, 2, 2)",
        "standardize(x, -1, 0.1) | 1e5 + offsets",  # a large mean must not cost the digits
        "standardize(x, 0, 1.0) | [1.0, 1.0, 1.0]",  # the variance is 0
        "standardize(x, None, 0.1) | () | zero",
        "standardize(x, 1, 0.1) | (3, 1); (0, 3) | zero",
    ],
    "prod": [
        *[reduction("np.prod"), single("np.prod")],
        "np.prod(x, axis=0) | (); np.array(0.0)",  # NumPy allows it
        "np.prod(x) | [2.0, 0.0, -3.0]",
        "np.prod(x, axis=1) | [[2.0, 0.0, 3.0], [1.0, 4.0, -2.0], [0.0, 0.0, 5.0]]",
        "np.prod(x, axis=0, keepdims=True) | [[2.0, 0.0], [0.0, 3.0]]",
        "np.prod(x, axis=(0, -1)) | [[[2.0, 0.0], [1.0, 3.0]], [[4.0, 5.0], [-1.0, 2.0]]]",
        "np.prod(x, axis=()) | [0.0, 2.0]",
        "np.prod(x) | [0.0, 0.0, 0.0] | zero",
        "np.prod(x) | [[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]] | zero",  # first ones only
    ],
    "cumsum": [
        along("np.cumsum"),  # without an axis too
        "np.cumsum(x); np.cumsum(x, 0) | ()",
        "x.cumsum(axis=-1) | (2, 3)",
        "np.cumsum(x.T[::-1], axis=0) | (3, 2)",
        "np.cumsum(x, axis=1) | (2, 0)",
    ],
    "logsumexp": [reduction("logsumexp"), single("logsumexp"), "logsumexp(x, -1) | large"],
    "softmax": soft("softmax"),
    "log_softmax": soft("log_softmax"),
}

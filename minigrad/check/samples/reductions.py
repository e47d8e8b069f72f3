"""Samples of ops/reductions.py."""

import numpy as np

from .case import along, apart, case, cases, reduction, single

offsets = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])
large = [[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]]
ZEROS = [  # prod by these axes: no, one or several zeros in a product
    ("axis=1", [[2.0, 0.0, 3.0], [1.0, 4.0, -2.0], [0.0, 0.0, 5.0]]),
    ("axis=0, keepdims=True", [[2.0, 0.0], [0.0, 3.0]]),
    ("axis=(0, -1)", [[[2.0, 0.0], [1.0, 3.0]], [[4.0, 5.0], [-1.0, 2.0]]]),
    ("axis=()", [0.0, 2.0]),
    ("axis=0", np.array(0.0)),
]


def extremes(name):
    """Samples of np.max and np.min."""
    return [
        *reduction(f"np.{name}", apart),
        *single(f"np.{name}", apart),
        case(f"np.a{name}(x, 0)", apart(3)),
        case(f"x.{name}(1)", apart(2, 2)),
        case(f"np.{name}(x, axis=0)", apart()),  # NumPy allows it
    ]


def spread(name):
    """Samples of np.var and np.std."""
    return [
        *reduction(f"np.{name}"),
        *cases([f"np.{name}(x, ddof=1)", f"np.{name}(x, axis=-1, ddof=2)"], (2, 3)),
        case(f"np.{name}(x, axis=(0, 2), ddof=1, keepdims=True)", (2, 2, 2)),
        case(f"x.{name}(0, ddof=1)", (3,)),
    ]


def soft(name):
    """Samples of softmax and log_softmax."""
    return [
        *along(name),
        case(f"{name}(x)", large),
        case(f"{name}(x, axis=(0, 1))", (2, 2)),
        case(f"{name}(x)", (3, 1), zero=True),
    ]


samples = {
    "sum": [
        *[reduction("np.sum"), single("np.sum")],
        case("np.sum(x, axis=0)", ()),  # NumPy allows it
        cases(["np.sum(x)", "np.sum(x, axis=())"], (0, 2), (2,)),
    ],
    "mean": [reduction("np.mean"), single("np.mean"), case("np.mean(x, axis=())", (2, 2))],
    "max": extremes("max"),
    "min": extremes("min"),
    "var": [
        *[spread("var"), single("np.var", zero=True)],
        case("np.var(x, ddof=0.5)", (3,)),
        case("np.var(x)", 1e6 + offsets),  # a large mean must not cost the digits
    ],
    "std": spread("std"),
    "standardize": [
        cases("standardize(x, axis, 0.1)", (2, 3), axis=[0, 1, -2, (0, 1), (-1, 0), None]),
        cases("standardize(x, axis, 1e-5)", (2, 3, 2), axis=[1, (0, 2), (-1, 1)]),
        case("standardize(x, 0, 0.0)", (4,)),
        case("standardize(x.T[::-1], 0, 0.1)", (3, 2)),
        case("standardize(x.transpose(1, 0, 2), (0, 2), 0.1)", (3, 2, 2)),
        case("standardize(x, -1, 0.1)", 1e5 + offsets),  # a large mean must not cost the digits
        case("standardize(x, 0, 1.0)", [1.0, 1.0, 1.0]),  # the variance is 0
        case("standardize(x, None, 0.1)", (), zero=True),
        cases("standardize(x, 1, 0.1)", (3, 1), (0, 3), zero=True),
    ],
    "prod": [
        *[reduction("np.prod"), single("np.prod")],
        case("np.prod(x, axis=0)", ()),  # NumPy allows it
        case("np.prod(x)", [2.0, 0.0, -3.0]),
        *[case(f"np.prod(x, {axis})", x) for axis, x in ZEROS],
        case("np.prod(x)", [0.0, 0.0, 0.0], zero=True),
        case("np.prod(x)", [[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]], zero=True),  # first ones only
    ],
    "cumsum": [
        along("np.cumsum"),  # without an axis too
        cases(["np.cumsum(x)", "np.cumsum(x, 0)"], ()),
        case("x.cumsum(axis=-1)", (2, 3)),
        case("np.cumsum(x.T[::-1], axis=0)", (3, 2)),
        case("np.cumsum(x, axis=1)", (2, 0)),
    ],
    "logsumexp": [reduction("logsumexp"), single("logsumexp"), case("logsumexp(x, -1)", large)],
    "softmax": soft("softmax"),
    "log_softmax": soft("log_softmax"),
}

"""Samples of ops/reductions.py."""

import numpy as np

from .case import along, apart, case, each, on, reduction, single, zero

offsets = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])
large = [[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]]

samples = {
    "sum": [
        *reduction("np.sum"),
        *single("np.sum"),
        case("np.sum(x, axis=0)", ()),  # NumPy allows it
        zero("np.sum(x)", (0, 2)),
        case("np.sum(x, axis=())", (2,)),
    ],
    "mean": [*reduction("np.mean"), *single("np.mean"), case("np.mean(x, axis=())", (2, 2))],
    "max": [
        *reduction("np.max", apart),
        *single("np.max", apart),
        case("np.max(x, axis=0)", apart()),  # NumPy allows it
        case("np.amax(x, 0)", apart(3)),
        case("x.max(1)", apart(2, 2)),
    ],
    "min": [
        *reduction("np.min", apart),
        *single("np.min", apart),
        case("np.amin(x, 0)", apart(3)),
        case("x.min(1)", apart(2, 2)),
    ],
    "var": [
        *reduction("np.var"),
        *single("np.var", zero=True),
        *on((2, 3), "np.var(x, ddof=1)", "np.var(x, axis=-1, ddof=2)"),
        case("np.var(x, axis=(0, 2), ddof=1, keepdims=True)", (2, 2, 2)),
        case("np.var(x, ddof=0.5)", (3,)),
        case("np.var(x)", 1e6 + offsets),  # a large mean must not cost the digits
    ],
    "std": [
        *reduction("np.std"),
        *on((2, 3), "np.std(x, ddof=1)", "np.std(x, axis=-1, ddof=2)"),
        case("np.std(x, axis=(0, 2), ddof=1, keepdims=True)", (2, 2, 2)),
        case("x.std(0, ddof=1)", (3,)),
    ],
    "standardize": [
        *each("standardize(x, axis, 0.1)", (2, 3), axis=[0, 1, -2, (0, 1), (-1, 0), None]),
        *each("standardize(x, axis, 1e-5)", (2, 3, 2), axis=[1, (0, 2), (-1, 1)]),
        case("standardize(x, 0, 0.0)", (4,)),
        case("standardize(x.T[::-1], 0, 0.1)", (3, 2)),
        case("standardize(x.transpose(1, 0, 2), (0, 2), 0.1)", (3, 2, 2)),
        case("standardize(x, -1, 0.1)", 1e5 + offsets),  # a large mean must not cost the digits
        case("standardize(x, 0, 1.0)", [1.0, 1.0, 1.0]),  # the variance is 0
        zero("standardize(x, None, 0.1)", ()),
        zero("standardize(x, 1, 0.1)", (3, 1)),
        zero("standardize(x, 1, 0.1)", (0, 3)),
    ],
    "prod": [
        *reduction("np.prod"),
        *single("np.prod"),
        case("np.prod(x, axis=0)", ()),  # NumPy allows it
        case("np.prod(x, axis=0)", np.array(0.0)),
        case("np.prod(x)", [2.0, 0.0, -3.0]),
        zero("np.prod(x)", [[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]]),  # the second ones are not 0
        case("np.prod(x, axis=1)", [[2.0, 0.0, 3.0], [1.0, 4.0, -2.0], [0.0, 0.0, 5.0]]),
        case("np.prod(x, axis=0, keepdims=True)", [[2.0, 0.0], [0.0, 3.0]]),
        case("np.prod(x, axis=(0, -1))", [[[2.0, 0.0], [1.0, 3.0]], [[4.0, 5.0], [-1.0, 2.0]]]),
        case("np.prod(x, axis=())", [0.0, 2.0]),
        zero("np.prod(x)", [0.0, 0.0, 0.0]),
    ],
    "cumsum": [
        *along("np.cumsum"),  # without an axis too
        *on((), "np.cumsum(x)", "np.cumsum(x, 0)"),
        case("x.cumsum(axis=-1)", (2, 3)),
        case("np.cumsum(x.T[::-1], axis=0)", (3, 2)),
        zero("np.cumsum(x, axis=1)", (2, 0)),
    ],
    "logsumexp": [
        *reduction("logsumexp"),
        *single("logsumexp"),
        case("logsumexp(x, axis=-1)", large),
    ],
    "softmax": [
        *along("softmax"),
        case("softmax(x)", large),
        case("softmax(x, axis=(0, 1))", (2, 2)),
        zero("softmax(x)", (3, 1)),
    ],
    "log_softmax": [
        *along("log_softmax"),
        case("log_softmax(x)", large),
        case("log_softmax(x, axis=(0, 1))", (2, 2)),
        zero("log_softmax(x)", (3, 1)),
    ],
}

"""Samples of ops/reductions.py."""

from .case import along, cases, reduction, several

samples = [
    [[reduction(f), f"{f}(x) | [2.0, 2.0, 2.0, 0.0, 0.0, 0.0]"] for f in ("np.max", "np.min")],
    several("np.std"),
    "np.std(x, ddof=1); np.std(x, (-1, 0), ddof=2, keepdims=True) | (2, 3); np.full((2, 3), 2.0)",
    reduction("np.var"),
    "np.var(x, ddof=1); np.var(x, (-1, 0), ddof=2, keepdims=True); x.var(0, ddof=0.5) | (2, 3)",
    "np.var(x) | 1e6 + offsets",  # a large mean must not cost digits
    [
        [along(f), f"{f}(x) | large; (3, 1)", f"{f}(x, axis=(0, 1)) | (2, 2)"]
        for f in ("softmax", "log_softmax")
    ],
    reduction("np.sum"),
    "np.sum(x, axis=0); np.sum(x, axis=()) | (); (2,); (0, 2)",  # axis 0 of a number too
    reduction("np.mean"),
    "np.mean(x, axis=()) | (2, 2)",
    cases("standardize: standardize(x, k, 0.1) | (2, 3)", k=[0, 1, -2, (0, 1), (-1, 0), None]),
    cases("standardize(x, k, 1e-5) | (2, 3, 2); (2, 3, 2, 2)", k=[1, (0, 2), (-1, 1)]),
    "standardize(x.transpose(1, 0, 2)[::-1], (0, 2), 0.1) | (3, 2, 2)",
    "standardize(x, -1, 0.1) | 1e5 + offsets",  # a large mean must not cost digits
    "standardize(x, None, 0.1) | ()",
    "standardize(x, 1, 0.1) | (3, 1); (0, 3)",
    reduction("np.prod"),
    "np.prod(x, axis=0) | (); np.array(0.0); [2.0, 0.0, -3.0]",
    "np.prod(x, axis=1); np.prod(x, axis=0, keepdims=True) | [[2.0, 0.0, 3], [1, 4, 0]]",
    "np.prod(x, axis=()) | [0.0, 2.0]",
    along("np.cumsum"),  # without an axis too
    "np.cumsum(x); np.cumsum(x, 0) | ()",
    reduction("logsumexp"),
    "logsumexp(x, -1) | large",
]

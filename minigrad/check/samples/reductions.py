"""Samples of ops/reductions.py."""

from .case import along, cases, reduction, several, single

samples = [
    reduction("np.max"),
    "x.max(0); np.amax(x, 0); np.max(x, axis=0) | apart(3); apart()",  # axis 0 of a number too
    reduction("np.min"),
    "x.min(0); np.amin(x, 0); np.min(x, axis=0) | apart(3); apart()",
    [
        [
            several(f"np.{f}"),
            f"np.{f}(x, ddof=1); np.{f}(x, axis=-1, ddof=2); x.{f}(0, ddof=1) | (2, 3)",
            f"np.{f}(x, axis=(0, 2), ddof=1, keepdims=True) | (2, 2, 2)",
        ]
        for f in ("std", "var")
    ],
    single("np.var", zero=True),
    "np.var(x, ddof=0.5) | (3,)",
    "np.var(x) | 1e6 + offsets",  # a large mean must not cost the digits
    [
        [along(f), f"{f}(x) | large", f"{f}(x, axis=(0, 1)) | (2, 2)", f"{f}(x) | (3, 1) | zero"]
        for f in ("softmax", "log_softmax")
    ],
    reduction("np.sum"),
    "np.sum(x, axis=0) | ()",
    "np.sum(x); np.sum(x, axis=()) | (0, 2); (2,)",
    reduction("np.mean"),
    "np.mean(x, axis=()) | (2, 2)",
    cases("standardize: standardize(x, k, 0.1) | (2, 3)", k=[0, 1, -2, (0, 1), (-1, 0), None]),
    cases("standardize(x, k, 1e-5) | (2, 3, 2)", k=[1, (0, 2), (-1, 1)]),
    "standardize(x, 0, 0.0) | (4,)",
    "standardize(x.transpose(1, 0, 2)[::-1], (0, 2), 0.1) | (3, 2, 2)",
    "standardize(x, -1, 0.1) | 1e5 + offsets",  # a large mean must not cost the digits
    "standardize(x, 0, 1.0) | [1.0, 1.0, 1.0]",  # the variance is 0
    "standardize(x, None, 0.1) | () | zero",
    "standardize(x, 1, 0.1) | (3, 1); (0, 3) | zero",
    reduction("np.prod"),
    "np.prod(x, axis=0) | (); np.array(0.0); [2.0, 0.0, -3.0]",
    "np.prod(x, axis=1); np.prod(x, axis=0, keepdims=True) | [[2.0, 0.0, 3], [1, 4, 0]]",
    "np.prod(x, axis=(0, -1)) | [[[2.0, 0.0], [1.0, 3.0]], [[4.0, 5.0], [-1.0, 2.0]]]",
    "np.prod(x, axis=()) | [0.0, 2.0]",
    # two zeros: first derivatives are 0
    "np.prod(x) | [0.0, 0.0, 0.0]; [[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]] | zero",
    along("np.cumsum"),  # without an axis too
    "np.cumsum(x); np.cumsum(x, 0) | ()",
    "x.cumsum(axis=-1); np.cumsum(x.T[::-1], axis=0) | (2, 3); (2, 0)",
    reduction("logsumexp"),
    "logsumexp(x, -1) | large",
]

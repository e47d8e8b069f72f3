"""Samples of ops/reductions.py."""

from .case import along, apart, cases, normal, reduction, single


def swept(f, draw=normal):
    """Samples of every axis, keepdims, and few entries."""
    return reduction(f, draw) + single(f, draw)


samples = {
    **{
        # NumPy allows axis 0 of a number
        name: [swept(f"np.{name}", apart), f"x.{name}(0); np.a{name}(x, 0) | apart(3); apart()"]
        for name in ("max", "min")
    },
    **{
        name: [
            reduction(f"np.{name}"),
            f"np.{name}(x, ddof=1); np.{name}(x, axis=-1, ddof=2); x.{name}(0, ddof=1) | (2, 3)",
            f"np.{name}(x, axis=(0, 2), ddof=1, keepdims=True) | (2, 2, 2)",
        ]
        for name in ("var", "std")
    },
    **{
        name: [
            along(name),
            f"{name}(x) | large",
            f"{name}(x, axis=(0, 1)) | (2, 2)",
            f"{name}(x) | (3, 1) | zero",
        ]
        for name in ("softmax", "log_softmax")
    },
    "sum": [
        swept("np.sum"),
        "np.sum(x, axis=0) | ()",
        "np.sum(x, axis=()); x.sum() | (0, 2); (2,)",
    ],
    "mean": [swept("np.mean"), "np.mean(x, axis=()) | (2, 2)"],
    "standardize": [
        cases("standardize(x, axis, 0.1) | (2, 3)", axis=[0, 1, -2, (0, 1), (-1, 0), None]),
        cases("standardize(x, axis, 1e-5) | (2, 3, 2)", axis=[1, (0, 2), (-1, 1)]),
        "standardize(x, 0, 0.0) | (4,)",
        "standardize(x.transpose(1, 0, 2)[::-1], (0, 2), 0.1) | (3, 2, 2)",
        "standardize(x, -1, 0.1) | 1e5 + offsets",  # a large mean must not cost the digits
        "standardize(x, 0, 1.0) | [1.0, 1.0, 1.0]",  # the variance is 0
        "standardize(x, None, 0.1) | () | zero",
        "standardize(x, 1, 0.1) | (3, 1); (0, 3) | zero",
    ],
    "prod": [
        swept("np.prod"),
        "np.prod(x, axis=0) | (); np.array(0.0); [2.0, 0.0, -3.0]",
        "np.prod(x, axis=1); np.prod(x, axis=0, keepdims=True) | [[2.0, 0.0, 3], [1, 4, 0]]",
        "np.prod(x, axis=(0, -1)) | [[[2.0, 0.0], [1.0, 3.0]], [[4.0, 5.0], [-1.0, 2.0]]]",
        "np.prod(x, axis=()) | [0.0, 2.0]",
        # two zeros: first derivatives are 0
        "np.prod(x) | [0.0, 0.0, 0.0]; [[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]] | zero",
    ],
    "cumsum": [
        along("np.cumsum"),  # without an axis too
        "np.cumsum(x); np.cumsum(x, 0) | ()",
        "x.cumsum(axis=-1); np.cumsum(x.T[::-1], axis=0) | (2, 3); (2, 0)",
    ],
    "logsumexp": [swept("logsumexp"), "logsumexp(x, -1) | large"],
}
samples["var"] += [
    single("np.var", zero=True),
    "np.var(x, ddof=0.5) | (3,)",
    "np.var(x) | 1e6 + offsets",  # a large mean must not cost the digits
]

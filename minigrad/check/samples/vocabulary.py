"""Samples of the ops in minigrad/vocabulary/."""

import numpy as np

from ...vocabulary.elementwise import erfc
from ...vocabulary.linalg import svd_in_one
from .case import apart, binary, case, cases, drawn, positive, shifted, small, unary, within

regular = drawn("regular", lambda rng, shape: rng.standard_normal(shape) + 3 * np.eye(*shape[-2:]))


def square(call):
    """Samples of a call for square matrices."""
    return cases(f"{call} | (3, 3); (2, 3, 3); (1, 1); (0, 2, 2)", [regular])


samples = {
    "arcsinh": unary("np.arcsinh"),
    "arccosh": unary("np.arccosh", within(1.2, 3.0)),
    "arctanh": unary("np.arctanh", small),
    "cbrt": [unary("np.cbrt", apart), "np.cbrt(x) | [8.0, -1e-6]"],
    "erfc": [
        unary(erfc, positive),
        case(erfc, np.array([-3.0, -0.2, 0.1, 0.6, 2.0, 3.9, 4.1, 8.0])),
    ],
    **{
        name: [
            binary(f"np.{name}", apart, shifted),
            f"np.{name}(x, x * x) | apart(3)",
            f"np.{name}(x, y) | [1.0, 1, -1, -1, 3, -3], [2.0, -2, 2, -2, 0, 0]",
        ]
        for name in ("arctan2", "hypot")
    },
    "length": [
        "np.linalg.norm(x); np.linalg.norm(x, axis=0); np.linalg.norm(x, axis=-1) | (2, 3); (1, 2)",
        "np.linalg.norm(x, axis=(0, 1)); np.linalg.norm(x, axis=1, keepdims=True) | (2, 3, 2)",
        "np.linalg.norm(x); np.linalg.norm(x, keepdims=True) | (3,); np.array(-0.7)",
        "np.linalg.norm(x, keepdims=True); np.linalg.norm(x.T[::-1]) | (2, 3)",
        "np.linalg.norm(x, axis=1) | (0, 2)",
    ],
    "solve_matrices": [
        cases(
            "np.linalg.solve(x, y) | (3, 3), (3,); (3, 3), (3, 3); (2, 3, 3), (2, 3, 2)", [regular]
        ),
        cases(
            "np.linalg.solve(x, y) | (2, 3, 3), (3, 2); (3, 3), (2, 3, 1); (1, 1), (1,)", [regular]
        ),
        cases("np.linalg.solve(x.T[::-1], y[::2]) | (2, 2), (4,)", [regular]),
        cases("np.linalg.solve(x, x.T) | (3, 3)", [regular]),
    ],
    "inv": [square("np.linalg.inv(x)"), cases("np.linalg.inv(x.T[::-1]) | (2, 2)", [regular])],
    "det": square("np.linalg.det(x)"),
    "logabsdet": [
        square("np.linalg.slogdet(x)[1]"),
        "np.linalg.slogdet(x)[1] | [[1.0, 2.0], [3.0, -400.0]]",
    ],
    "pinv": cases("np.linalg.pinv(x) | (3, 2); (2, 3); (2, 2, 2)", [regular]),
    "lower_cholesky": [
        square("np.linalg.cholesky(x @ x.swapaxes(-1, -2))"),
        cases("np.linalg.cholesky(x @ x.T, upper=True) | (3, 3)", [regular]),
    ],
    "eigh_in_one": [
        cases("np.linalg.eigh(x + x.swapaxes(-1, -2))[1] | (3, 3); (2, 2, 2)", [regular]),
        cases("np.linalg.eigvalsh(x @ x.T) | (3, 3)", [regular]),
    ],
    "qr_in_one": cases("np.linalg.qr(x)[0]; np.linalg.qr(x, 'r') | (3, 3); (4, 2)", [regular]),
    "svd_in_one": [
        [case(svd_in_one, shape) for shape in [(3, 2), (2, 3), (2, 2, 2)]],
        "np.linalg.svdvals(x) | (2, 3)",
    ],
}

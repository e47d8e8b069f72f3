"""Samples of the ops in minigrad/vocabulary/."""

import numpy as np

from ...vocabulary.elementwise import erfc
from ...vocabulary.linalg import svd_in_one
from .case import apart, binary, case, positive, shifted, small, unary, within

SQUARE = " | regular(3, 3); regular(2, 3, 3); regular(1, 1); regular(0, 2, 2)"

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
        "np.linalg.solve(x, y) | regular(3, 3), (3,); regular(3, 3), (3, 3); regular(1, 1), (1,)",
        "np.linalg.solve(x, y) | regular(2, 3, 3), (2, 3, 2); regular(2, 3, 3), (3, 2)",
        "np.linalg.solve(x, y) | regular(3, 3), (2, 3, 1)",
        "np.linalg.solve(x.T[::-1], y[::2]) | regular(2, 2), (4,)",
        "np.linalg.solve(x, x.T) | regular(3, 3)",
    ],
    "inv": [f"np.linalg.inv(x){SQUARE}", "np.linalg.inv(x.T[::-1]) | regular(2, 2)"],
    "det": [f"np.linalg.det(x){SQUARE}"],
    "logabsdet": [f"np.linalg.slogdet(x)[1]{SQUARE}; [[1.0, 2.0], [3.0, -400.0]]"],
    "pinv": ["np.linalg.pinv(x) | regular(3, 2); regular(2, 3); regular(2, 2, 2)"],
    "lower_cholesky": [
        f"np.linalg.cholesky(x @ x.swapaxes(-1, -2)){SQUARE}",
        "np.linalg.cholesky(x @ x.T, upper=True) | regular(3, 3)",
    ],
    "eigh_in_one": [
        "np.linalg.eigh(x + x.swapaxes(-1, -2))[1] | regular(3, 3); regular(2, 2, 2)",
        "np.linalg.eigvalsh(x @ x.T) | regular(3, 3)",
    ],
    "svd_in_one": [
        [case(svd_in_one, shape) for shape in [(3, 2), (2, 3), (2, 2, 2)]],
        "np.linalg.svdvals(x) | (2, 3)",
    ],
}

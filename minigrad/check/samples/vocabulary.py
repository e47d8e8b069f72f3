"""Samples of the ops in minigrad/vocabulary/."""

import numpy as np

from ...vocabulary.elementwise import erfc
from ...vocabulary.linalg import svd_in_one
from .case import apart, case, cases, drawn, positive, shifted, small, within

regular = drawn("regular", lambda rng, shape: rng.standard_normal(shape) + 3 * np.eye(*shape[-2:]))
above_1 = within(1.2, 3.0)
SQUARE = "(3, 3); (2, 3, 3); (1, 1); (0, 2, 2)"
RECTANGLES = "(3, 2); (2, 3); (2, 2, 2)"
PAIRS = "(2, 3), (2, 3); (2, 1), (1, 3); (3,), (); (0,), (1,); (2, 1, 2), (2, 2)"


def of_matrices(call, shapes=SQUARE, draw=regular):
    """Samples of a call for matrices of these shapes, drawn by `draw`."""
    return [case(call, draw(*eval(shape))) for shape in shapes.split("; ")]


samples = {
    "arcsinh": ["np.arcsinh(x) | (2, 3); (); (0,)", "np.arcsinh(x.T[::-1]) | (3, 2)"],
    "arccosh": cases("np.arccosh(x) | (2, 3); (); (0,)", [above_1]),
    "arctanh": cases("np.arctanh(x) | (2, 3); (); (0,)", [small]),
    "cbrt": ["np.cbrt(x) | apart(2, 3); apart(); (0,)", "np.cbrt(x) | [8.0, -1e-6]"],
    "erfc": [
        [case(erfc, positive(*shape)) for shape in [(2, 3), (), (0,)]],
        case("f(x)", np.array([-3.0, -0.2, 0.1, 0.6, 2.0, 3.9, 4.1, 8.0]), f=erfc),
    ],
    "arctan2": [
        cases(f"np.arctan2(x, y) | {PAIRS}", [apart, shifted]),
        "np.arctan2(x, y) | [1.0, 1.0, -1.0, -1.0, 3.0, -3.0], [2.0, -2.0, 2.0, -2.0, 0.0, 0.0]",
        "np.arctan2(x, x * x) | apart(3)",
    ],
    "hypot": [
        cases(f"np.hypot(x, y) | {PAIRS}", [apart, shifted]),
        "np.hypot(x, y) | [0.0, 3.0], [1.0, 0.0]",
        "np.hypot(x, x * x) | apart(3)",
    ],
    "length": [
        "np.linalg.norm(x); np.linalg.norm(x, axis=0); np.linalg.norm(x, axis=-1) | (2, 3); (1, 2)",
        "np.linalg.norm(x, axis=(0, 1)); np.linalg.norm(x, axis=1, keepdims=True) | (2, 3, 2)",
        "np.linalg.norm(x, keepdims=True); np.linalg.norm(x.T[::-1]) | (2, 3)",
        "np.linalg.norm(x); np.linalg.norm(x, keepdims=True) | (3,); ()",
        "np.linalg.norm(x, axis=1) | (0, 2)",
    ],
    "solve_matrices": [
        [
            case("np.linalg.solve(x, y)", regular(*a), b)
            for a, b in [
                ((3, 3), (3,)),
                ((3, 3), (3, 2)),
                ((3, 3), (3, 3)),
                ((2, 3, 3), (2, 3, 2)),
                ((2, 3, 3), (3, 2)),
                ((3, 3), (2, 3, 1)),
                ((1, 1), (1,)),
            ]
        ],
        case("np.linalg.solve(x, x.T)", regular(3, 3)),
        case("np.linalg.solve(x.T[::-1], y[::2])", regular(2, 2), (4,)),
    ],
    "inv": [of_matrices("np.linalg.inv(x)"), case("np.linalg.inv(x.T[::-1])", regular(2, 2))],
    "det": [
        of_matrices("np.linalg.det(x)"),
    ],
    "logabsdet": [
        of_matrices("np.linalg.slogdet(x)[1]"),
        "np.linalg.slogdet(x)[1] | [[1.0, 2.0], [3.0, -400.0]]",
    ],
    "pinv": of_matrices("np.linalg.pinv(x)", RECTANGLES),
    "lower_cholesky": [
        of_matrices("np.linalg.cholesky(x @ x.swapaxes(-1, -2))"),
        case("np.linalg.cholesky(x @ x.T, upper=True)", regular(3, 3)),
    ],
    "eigh_in_one": [
        of_matrices("np.linalg.eigh(x + x.swapaxes(-1, -2))[1]", "(3, 3); (2, 2, 2)"),
        case("np.linalg.eigvalsh(x @ x.T)", regular(3, 3)),
    ],
    "svd_in_one": [
        [case(svd_in_one, shape) for shape in [(3, 2), (2, 3), (2, 2, 2)]],
        case("np.linalg.svdvals(x)", (2, 3)),
    ],
}

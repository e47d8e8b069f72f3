"""Samples of the ops in minigrad/vocabulary/."""

from .case import binary, unary

SQUARE = " | regular(3, 3); regular(2, 3, 3); regular(1, 1); regular(0, 2, 2)"
QUADRANTS = "[1.0, 1, -1, -1, 3, -3, 0], [2.0, -2, 2, -2, 0, 0, 1]"

samples = [
    unary("np.arcsinh"),
    unary("np.arccosh", "within(1.2, 3.0)"),
    unary("np.arctanh", "small"),
    unary("np.cbrt", "apart"),
    "np.cbrt(x) | [8.0, 1.0, -1e-6]",
    unary("erfc"),
    "erfc(x) | [-3.0, -0.2, 0.1, 0.6, 2.0, 3.9, 4.1, 8.0]",
    binary("np.arctan2", "apart", "positive"),
    f"np.arctan2(x, y) | {QUADRANTS}",
    "np.arctan2(x, x * x) | apart(3)",
    binary("np.hypot"),
    f"np.hypot(x, y) | {QUADRANTS}",
    "np.hypot(x, x * x) | (3,)",
    "length: np.linalg.norm(x, axis=0); np.linalg.norm(x, axis=-1) | (2, 3); (1, 2)",
    "np.linalg.norm(x); np.linalg.norm(x.T[::-1]) | (2, 3); (1, 2)",
    "np.linalg.norm(x, axis=(0, 1)); np.linalg.norm(x, axis=1, keepdims=True) | (2, 3, 2)",
    "np.linalg.norm(x, keepdims=True) | (2, 3); (3,); np.array(-0.7)",
    "np.linalg.norm(x) | (3,); np.array(-0.7)",
    "np.linalg.norm(x, axis=1) | (0, 2)",
    "solve_matrices: np.linalg.solve(x, y) | regular(3, 3), (3,); regular(3, 3), (3, 3)",
    "np.linalg.solve(x, y) | regular(2, 3, 3), (2, 3, 2); regular(2, 3, 3), (3, 2)",
    "np.linalg.solve(x, y) | regular(3, 3), (2, 3, 1); regular(1, 1), (1,)",
    "np.linalg.solve(x.T[::-1], y[::2]) | regular(2, 2), (4,)",
    "np.linalg.solve(x, x.T) | regular(3, 3)",
    f"inv: np.linalg.inv(x){SQUARE}",
    "np.linalg.inv(x.T[::-1]) | regular(2, 2)",
    f"det: np.linalg.det(x){SQUARE}",
    f"logabsdet: np.linalg.slogdet(x)[1]{SQUARE}; [[1.0, 2.0], [3.0, -400.0]]",
    "pinv: np.linalg.pinv(x) | regular(3, 2); regular(2, 3); regular(2, 2, 2)",
    f"lower_cholesky: np.linalg.cholesky(x @ x.swapaxes(-1, -2)){SQUARE}; [[1.0, 0.0], [0.0, 2.0]]",
    "np.linalg.cholesky(x @ x.T, upper=True) | regular(3, 3)",
    "eigh_in_one: np.linalg.eigh(x + x.swapaxes(-1, -2))[1] | regular(3, 3); regular(2, 2, 2)",
    "np.linalg.eigvalsh(x @ x.T) | regular(3, 3)",
    "qr_in_one: np.linalg.qr(x)[0]; np.linalg.qr(x, 'r') | regular(3, 3); regular(4, 2)",
    "svd_in_one: svd_in_one(x) | (3, 2); (2, 3); (2, 2, 2)",
    "np.linalg.svdvals(x) | (2, 3)",
]

"""Samples of the ops in minigrad/vocabulary/."""

from .case import binary, unary

SQUARE = "regular(3, 3); regular(2, 4, 4); regular(2, 1, 1, 1); regular(0, 2, 2); np.eye(2)[::-1]"

samples = [
    [[unary(f), f"{f}(x) | far"] for f in ("np.arcsinh", "erfc")],
    unary("np.arccosh", "within(1.2, 3.0)"),
    unary("np.arctanh", "small"),
    unary("np.exp2"),
    binary("np.logaddexp2"),
    unary("np.cbrt", "apart"),
    "np.cbrt(x) | [8.0, 1.0, -1e-6]; far",
    binary("np.arctan2", "apart", "positive"),
    "np.arctan2(x, y) | [1.0, 1, -1, -1, 3, -3, 0], [2.0, -2, 2, -2, 0, 0, 1]",
    binary("np.hypot"),
    "length: np.linalg.norm(x, axis=0); np.linalg.norm(x, axis=-1) | (2, 3); (1, 2); (0, 2)",
    "np.linalg.norm(x); np.linalg.norm(x.T[::-1]) | (2, 3); (1, 2)",
    "np.linalg.norm(x, axis=(0, 1)); np.linalg.norm(x, axis=1, keepdims=True) | (2, 3, 2)",
    "np.linalg.norm(x, keepdims=True) | (2, 3); (3,); np.array(-0.7); [0.0, 0.0]",
    "solve_matrices: np.linalg.solve(x, y) | regular(3, 3), (3,); regular(3, 3), (3, 3)",
    "np.linalg.solve(x, y) | regular(2, 3, 3), (2, 3, 2); regular(2, 3, 3), (3, 2)",
    "np.linalg.solve(x, y) | regular(3, 3), (2, 3, 1); regular(1, 1), (1,)",
    "np.linalg.solve(x.T[::-1], y[::2]) | regular(2, 2), (4,)",
    f"inv: np.linalg.inv(x) | {SQUARE}",
    "np.linalg.inv(x.T[::-1]) | regular(2, 2)",
    f"det: np.linalg.det(x) | {SQUARE}",
    f"logabsdet: np.linalg.slogdet(x)[1] | {SQUARE}; [[1.0, 2.0], [3.0, -400.0]]",
    "pinv: np.linalg.pinv(x) | regular(3, 2); regular(2, 3); regular(2, 2, 2)",
    f"lower_cholesky: np.linalg.cholesky(x @ x.swapaxes(-1, -2)) | {SQUARE}",
    "np.linalg.cholesky(x @ x.T, upper=True) | regular(3, 3)",
    "eigh_in_one: np.linalg.eigh(x + x.swapaxes(-1, -2))[1] | regular(3, 3); regular(2, 2, 2)",
    "np.linalg.eigvalsh(x @ x.T) | regular(3, 3)",
    "qr_in_one: np.linalg.qr(x)[0]; np.linalg.qr(x, 'r') | regular(2, 3, 3); regular(4, 2)",
    "svd_in_one: svd_in_one(x) | (3, 2); (2, 3); (2, 2, 2)",
    "np.linalg.svdvals(x) | (2, 3)",
]

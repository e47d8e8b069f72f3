"""Samples of ops/elementwise.py."""

from .case import binary, unary

SMOOTH = "negative positive square exp expm1 sin cos arctan sinh cosh tan tanh"
BENT = "sigmoid softplus erf relu np.absolute"
POSITIVE = "log1p reciprocal log log2 log10 sqrt"
NAMES = [("", SMOOTH), ("small", "arcsin arccos"), ("positive", POSITIVE)]

samples = [
    [unary(f"np.{name}", draw) for draw, names in NAMES for name in names.split()],
    [f"{name}: np.{name}(x) | far" for name in SMOOTH.split()],
    [f"{name}: np.{name}(x) | abs(far)" for name in POSITIVE.split()],
    "log1p: np.log1p(x) | [0.0, 1e-9, -0.5]",
    # ---- arithmetic
    [binary(f"np.{f}") for f in ("add", "subtract", "multiply")],
    "multiply: x * x; x * x.T | (2, 2)",
    binary("np.divide", "positive", "positive"),
    "x / y | (3,), [-0.5, -1.0, 2.0]; [0.0, 0.6], [0.7, -0.4]",
    binary("np.remainder", "within(2.2, 2.8)", "within(0.95, 1.05)"),  # x / y is between jumps
    "x % y | [-2.5, 2.5, -2.5, 1.0], [1.5, -1.5, -1.5, 3.0]",
    "7 % x | [2.0, -3.0, 4.0]",
    binary("np.power", x="positive"),
    "x**1; x**2; x**3; x**4; x**5; x**-1; x**-2; x**-3; x**2.0 | [-1.5, 0.7, 2.0]",
    "x**0.5; x**-0.5; x**1.5; x ** np.int8(3); x**x; 2**x | positive(2, 2)",
    "x**0; x ** np.arange(4, dtype=np.int8) | [0.0, 0.0, 0.0, -1.5]",
    "x**y | positive(3), [0.0, 1.0, 2.0]; [0.0, 0.0, 0.5], [2.5, 3.0, -1.0]",
    binary("np.logaddexp"),
    "np.logaddexp(x, y) | [900.0, -900.0, 0.0], [901.0, -900.5, 0.0]",
    # ---- activations and |x|
    [[unary(f), f"{f}(x) | far; near"] for f in BENT.split()],
    # ---- choices
    [binary(f, number=0) for f in ("np.maximum", "np.minimum")],
    "where: np.where(mask, x, y); np.where(mask.T, x.T, y.T).T | (2, 3), (2, 3); (2, 1), (1, 3)",
    "np.where(mask, x, y) | (), (1, 3); (2, 1), (3,); (2, 2, 3), (3,)",
    "np.where(mask, x, 0); np.where(mask, 2.5, x) | (2, 3); (3,)",
    "np.where(x > 0, x, y) | apart(2, 3), (3,)",
    "np.where(np.zeros((0, 2), bool), x, 1) | (2,)",
    "clip: np.clip(x, 0, 1); np.clip(x, None, 1); x.clip(0, 1) | (2, 3); np.array(0.6)",
    "np.clip(x, a_min=0, a_max=None); np.clip(x.T, 0, 9); np.clip(x, 5, 6) | (2, 3); (0, 2)",
    "np.clip(x, np.int8(-2) * mask, whole[:, :1]) | (2, 3)",
    "x.clip(y, None); x.clip(None, y); np.clip(x, y, y + 0.5) | (2, 3), (2, 3)",
    "np.clip(x, y, None); np.clip(x, None, y) | [[-2.0, -1.0, 3.0, 2.0]], [[0.1]]",
    "np.clip(2 * x, y, z) | (2, 3), [-0.1, 0.1, 0.45], [[0.42], [0.47]]",
    "astype: x.astype(float); x.T.astype('f8'); x.astype(np.longdouble) | (2, 3); (); (0, 2)",
]

"""Samples of ops/elementwise.py."""

from .case import apart, binary, normal, positive, shifted, small, unary, within

UNARY = {
    normal: "negative positive square exp expm1 sin cos arctan sinh cosh tanh",
    small: "tan arcsin arccos",
    positive: "reciprocal log log1p log2 log10 sqrt",
    apart: "absolute",
}
samples = {
    name: unary(f"np.{name}", draw) for draw, names in UNARY.items() for name in names.split()
}
for name in f"{UNARY[normal]} {UNARY[small]} log1p".split():
    samples[name] = [samples[name], f"np.{name}(x) | [0.0, 0.6]; [0.0, 1e-9, -0.5]"]
samples["absolute"] = [samples["absolute"], "abs(x) | near"]
AT_0 = " | [0.0, 0.6], [0.7, -0.4]; [0.7, -0.4], [0.0, 0.6]"
samples |= {
    # ---- arithmetic
    "add": [binary("np.add"), f"np.add(x, y){AT_0}", "x + x | (3,)"],
    "subtract": [binary("np.subtract"), f"np.subtract(x, y){AT_0}", "x - x | (3,) | zero"],
    "multiply": [binary("np.multiply"), f"np.multiply(x, y){AT_0}", "x * x; x * x.T | (2, 2)"],
    "divide": [
        binary("np.divide", y=positive),
        "x / y | (3,), [-0.5, -1.0, 2.0]; [0.0, 0.6], [0.7, -0.4]",
    ],
    "remainder": [
        binary("np.remainder", within(2.2, 2.8), within(0.95, 1.05)),  # x / y is between jumps
        "x % y | [-2.5, 2.5, -2.5, 0.5], [1.5, -1.5, -1.5, 3.0]",
        "7 % x | [2.0, -3.0, 4.0]",
    ],
    "power": [
        binary("np.power", x=positive),
        "x**1; x**2; x**3; x**4; x**5; x**-1; x**-2; x**-3; x**2.0 | [-1.5, 0.7, 2.0]",
        "x**0.5; x**-0.5; x**1.5; x ** np.int8(3); x**x; 2**x | positive(2, 2)",
        "x**2; x**3 | [0.0, 1.0]",  # at 0 itself
        "x**0 | [-1.5, 0.0, 2.0] | zero",
        "x ** np.arange(4, dtype=np.int8) | [0.0, 0.0, 0.0, -1.5]",
        "x**y | positive(3), [0.0, 1.0, 2.0]",
    ],
    "logaddexp": [
        binary("np.logaddexp"),
        f"np.logaddexp(x, y){AT_0}; [900.0, -900.0, 0.0], [901.0, -900.5, 0.0]",
    ],
    # ---- activations
    "sigmoid": [unary("sigmoid"), "sigmoid(x) | [-12.0, 0.0, 12.0]"],
    "relu": [unary("relu", apart), "relu(x) | near"],
    "softplus": [unary("softplus"), "softplus(x) | [-12.0, 0.0, 900.0]"],
    "erf": [unary("erf"), "erf(x) | [0.0, 0.6]"],
    # ---- choices
    **{
        name: [
            binary(f"np.{name}", apart, shifted, number=0),
            f"np.{name}(x, y) | near, near[::-1]",
        ]
        for name in ("maximum", "minimum")
    },
    "where": [
        "np.where(mask, x, y); np.where(mask.T, x.T, y.T).T | (2, 3), (2, 3); (2, 1), (1, 3)",
        "np.where(mask, x, y) | (), (1, 3); (2, 1), (3,)",
        "np.where(x > 0, x, y) | apart(2, 3), (3,)",
        "np.where(mask, x, 0); np.where(mask, 2.5, x) | (2, 3); (3,)",
        "np.where(True, x, x * x) | (2,)",
        "np.where(np.zeros((0, 2), bool), x, 1) | (2,) | zero",
    ],
    "clip": [
        "np.clip(x, -0.4, 0.4); np.clip(x, None, 0.4); x.clip(-0.4, 0.4) | apart(2, 3); apart()",
        "np.clip(x, a_min=-0.4, a_max=None); np.clip(x.T, 0, 9) | apart(2, 3); apart(0, 2)",
        "np.clip(x, np.int8(-2) * mask, whole[:, :1]) | apart(2, 3)",
        "np.clip(x, -1e-3, 2e-3) | near",
        "x.clip(y, None); x.clip(None, y); np.clip(x, y, y + 0.5) | apart(2, 3), shifted(2, 3)",
        "np.clip(x, y, None); np.clip(x, None, y) | [[-2.0, -1.0, 3.0, 2.0]], [[0.1]]",
        "np.clip(2 * x, y, z) | apart(2, 3), shifted(3), [[0.42], [0.47]]",
        "np.clip(x, y, z) | apart(2, 3), shifted(2, 3), [[0.33, 0.44, 0.66], [0.11, 0.22, 0.99]]",
        "np.clip(x, 5, 6) | apart(3) | zero",
    ],
    "astype": ["x.astype(float); x.T.astype('f8'); x.astype(np.longdouble) | (2, 3); (); (0, 2)"],
}

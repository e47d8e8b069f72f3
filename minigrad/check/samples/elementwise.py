"""Samples of ops/elementwise.py."""

from .case import apart, binary, case, each, near, on, positive, shifted, small, unary, within, zero

samples = {
    # ---- arithmetic
    "add": [*binary("np.add"), case("x + x", (3,))],
    "subtract": [*binary("np.subtract"), zero("x - x", (3,))],
    "multiply": [*binary("np.multiply"), case("x * x", (3,)), case("x * x.T", (2, 2))],
    "divide": [*binary("np.divide", y=positive), case("x / y", (3,), [-0.5, -1.0, 2.0])],
    "remainder": [
        *binary("np.remainder", within(2.2, 2.8), within(0.95, 1.05)),  # x / y is between jumps
        case("x % y", [-2.5, 2.5, -2.5, 0.5], [1.5, -1.5, -1.5, 3.0]),
        case("7 % x", [2.0, -3.0, 4.0]),
    ],
    "negative": unary("np.negative"),
    "positive": unary("np.positive"),
    "power": [
        *binary("np.power", x=positive),
        *each("x**n", [-1.5, 0.7, 2.0], n=[1, 2, 3, 4, 5, -1, -2, -3, 2.0]),
        *each("x**n", positive(2, 2), n=[0.5, -0.5, 1.5]),
        case("x ** np.int8(3)", positive(2, 2)),
        *on([0.0, 1.0], "x**2", "x**3"),  # at 0 itself
        zero("x**0", [-1.5, 0.0, 2.0]),
        case("x ** np.arange(4, dtype=np.int8)", [0.0, 0.0, 0.0, -1.5]),
        case("x**y", positive(3), [0.0, 1.0, 2.0]),
        case("x**x", positive(3)),
        case("2**x", (3,)),
    ],
    "square": unary("np.square"),
    "reciprocal": unary("np.reciprocal", positive),
    # ---- exponentials and logarithms
    "exp": unary("np.exp"),
    "expm1": [*unary("np.expm1"), case("np.expm1(x)", [0.0, 1e-9])],
    "log": unary("np.log", positive),
    "log1p": [*unary("np.log1p", positive), case("np.log1p(x)", [0.0, 1e-9, -0.5])],
    "log2": unary("np.log2", positive),
    "log10": unary("np.log10", positive),
    "sqrt": unary("np.sqrt", positive),
    "logaddexp": [
        *binary("np.logaddexp"),
        case("np.logaddexp(x, y)", [900.0, -900.0, 0.0], [901.0, -900.5, 0.0]),
    ],
    # ---- trigonometry
    "sin": unary("np.sin"),
    "cos": unary("np.cos"),
    "tan": unary("np.tan", small),
    "arcsin": unary("np.arcsin", small),
    "arccos": unary("np.arccos", small),
    "arctan": unary("np.arctan"),
    "sinh": unary("np.sinh"),
    "cosh": unary("np.cosh"),
    "tanh": unary("np.tanh"),
    # ---- activations
    "sigmoid": [*unary("sigmoid"), case("sigmoid(x)", [-12.0, 0.0, 12.0])],
    "relu": [*unary("relu", apart), case("relu(x)", near)],
    "softplus": [*unary("softplus"), case("softplus(x)", [-12.0, 0.0, 900.0])],
    "erf": unary("erf"),
    # ---- kinks and choices
    "absolute": [*unary("np.absolute", apart), case("abs(x)", near)],
    "maximum": [
        *binary("np.maximum", apart, shifted, number=0),
        case("np.maximum(x, y)", near, near[::-1]),
    ],
    "minimum": [
        *binary("np.minimum", apart, shifted, number=0),
        case("np.minimum(x, y)", near, near[::-1]),
    ],
    "where": [
        case("np.where(mask, x, y)", (2, 3), (2, 3)),
        case("np.where([True, False, True], x, y)", (2, 1), (3,)),
        case("np.where(mask, x, y)", (), (1, 3)),
        case("np.where(x > 0, x, y)", apart(2, 3), (3,)),
        case("np.where(mask, x, 0)", (2, 3)),
        case("np.where(mask, 2.5, x)", (3,)),
        case("np.where(True, x, x * x)", (2,)),
        case("np.where(mask.T, x.T, y)", (2, 3), (2,)),
        zero("np.where(np.zeros((0, 2), bool), x, 1)", (2,)),
    ],
    "clip": [
        *on(apart(2, 3), "np.clip(x, -0.4, 0.4)", "np.clip(x, None, 0.4)", "x.clip(-0.4, 0.4)"),
        *on(apart(2, 3), "np.clip(x, -0.4, None)", "np.clip(x, a_min=-0.4, a_max=None)"),
        case("np.clip(x, np.int8(-2) * mask, whole[:, :1])", apart(2, 3)),
        case("np.clip(x, -1e-3, 2e-3)", near),
        case("np.clip(x, -9, 9)", apart()),
        case("np.clip(x.T, 0, 9)", apart(3, 2)),
        zero("np.clip(x, 5, 6)", apart(3)),
        zero("np.clip(x, 0, 1)", apart(0, 2)),
    ],
    "astype": [
        case("x.astype(np.float64)", (2, 3)),
        case("x.astype(np.longdouble)", ()),
        case("x.T.astype('f8')", (2, 1)),
        zero("x.astype(float)", (0, 2)),
    ],
}

"""One table: for every op of the registry, sample calls. What is new in the registry and not here fails the tests.

It is part of the package, not of the tests, so that `python -m minigrad.check` proves the ops wherever they are installed, and a
file of new ops can use the same shapes: samples = {"cube": unary(cube)}.

A sample is a function on Tensors and its float inputs. The inputs are drawn afresh from a seed that belongs to the sample
(its op and its number), away from kinks and inside the domains.
"""

import zlib
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from .. import functional as F
from ..engine import Tensor
from ..ops import dropout as dropout_ops
from ..ops import (
    erf,
    linear,
    log_softmax,
    logsumexp,
    losses,
    relu,
    scatter,
    sigmoid,
    softmax,
    softplus,
    standardize,
    windows,
)

penalties = SimpleNamespace(
    l1_penalty=lambda c, *w: F.l1_penalty(*w, c=c),
    l2_penalty=lambda c, *w: F.l2_penalty(*w, c=c),
    elastic_net=lambda a, b, *w: F.elastic_net(*w, l1=a, l2=b),
    group_l2=lambda c, axis, *w: F.group_l2(*w, c=c, axis=axis),
)


@dataclass
class Sample:
    call: object  # a function on Tensors; where NumPy has the function, on arrays too
    draws: tuple  # for each input an array, or a function of a generator that draws one
    zero: bool = False  # whether its gradients are exactly 0, by intention

    def inputs(self, seed=0):
        """The float64 inputs, the same at each call."""
        rng = np.random.default_rng(seed)
        return [np.array(d(rng) if callable(d) else d, np.float64) for d in self.draws]


def s(call, *draws):
    return Sample(call, draws)


def zero(call, *draws):
    return Sample(call, draws, zero=True)


# ---- how inputs are drawn


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


def within(low, high):
    """within(low, high)(*shape) draws uniformly."""
    return lambda *shape: lambda rng: rng.uniform(low, high, shape)


def apart(*shape, shift=0.0):
    """Entries at least 0.1 from each other and from 0, and at least 0.04 from those of another `shift` (0 or 0.05)."""
    n = int(np.prod(shape))
    return lambda rng: (0.1 * (rng.permutation(n) - n // 2 + 0.5) * 2 + shift).reshape(shape)


def shifted(*shape):
    return apart(*shape, shift=0.05)


near = np.array(
    [1e-3, -2e-3, 3e-3, -0.7]
)  # to 0 and to each other: rules that are wrong close to a kink
positive = within(0.3, 2.0)
small = within(-0.9, 0.9)


def integers(high, *shape):
    """Fixed whole numbers below `high`: labels and indices."""
    return np.random.default_rng(high).integers(0, high, shape)


# ---- the shapes that go wrong


def unary(f, draw=normal):
    return [
        s(f, draw(2, 3)),
        s(f, draw()),
        s(f, draw(1)),
        s(f, draw(2, 1, 2)),
        zero(f, draw(0, 3)),
        s(
            lambda x: f(x.T[::-1, ::2]), draw(5, 2)
        ),  # more than half, so that `apart` has entries of both signs among them
        s(lambda x: f(np.broadcast_to(x, (2, 3))), draw(3)),
    ]


def binary(f, x=normal, y=normal, number=1.5):
    shapes = [
        *(((2, 3), (2, 3)), ((), ()), ((2, 3), ()), ((), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3))),
        *(
            ((2, 1), (1, 3)),
            ((1, 1), (3,)),
            ((2, 1, 2), (3, 1)),
            ((1,), (2, 1, 1)),
            ((1, 2), (1, 2)),
        ),
    ]
    empty = [((0,), (0,)), ((0, 3), (3,)), ((1,), (0,))]
    return [
        *(s(f, x(*a), y(*b)) for a, b in shapes),
        *(zero(f, x(*a), y(*b)) for a, b in empty),
        s(lambda x, y: f(x.T[::-1], y[::2]), x(2, 3), y(4)),
        s(lambda x: f(x, number), x(2, 2)),
        s(lambda y: f(number, y), y(2, 2)),
    ]


def reduction(f, draw=normal):
    """Every axis and keepdims."""
    return [
        s(f, draw(2, 3)),
        s(f, draw()),
        s(f, draw(1)),
        s(lambda x: f(x, axis=0), draw(2, 3)),
        s(lambda x: f(x, axis=-1), draw(2, 3)),
        s(lambda x: f(x, axis=1, keepdims=True), draw(2, 3)),
        s(lambda x: f(x, keepdims=True), draw(2, 3)),
        s(lambda x: f(x, axis=(0, 2)), draw(2, 3, 2)),
        s(lambda x: f(x, axis=(-1, 0), keepdims=True), draw(2, 3, 2)),
        s(lambda x: f(x, axis=(0, 1, 2)), draw(2, 1, 2)),
        s(lambda x: f(x, axis=1), draw(2, 2, 2)),
        s(lambda x: f(x.T[::-1], axis=0), draw(3, 2)),
    ]


def along(f, draw=normal):
    """As `reduction`, for functions along one axis that keep the shape."""
    return [
        s(f, draw(2, 3)),
        s(lambda x: f(x, axis=0), draw(2, 3)),
        s(lambda x: f(x, axis=1), draw(2, 3, 2)),
        s(lambda x: f(x, axis=-2), draw(2, 3, 2)),
        s(f, draw(3)),
        s(lambda x: f(x.T[::-1]), draw(3, 2)),
        zero(f, draw(0, 3)),
    ]


mask = np.array([[True, False, True], [False, True, True]])
whole = np.array([[1, 2], [3, 4]], np.int8)  # of a dtype that leaves float32 what it is
condition = np.array([True, False, True])
inputs = None
identity_like = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7]])


convolutions = [  # (shape of x, of w, (stride, dilation, groups))
    ((2, 1, 4), (2, 1, 3), ((1,), (1,), 1)),
    ((1, 2, 7), (1, 2, 2), ((2,), (3,), 1)),
    ((2, 2, 3), (4, 1, 1), ((2,), (1,), 2)),
    ((2, 1, 2, 3), (3, 1, 2, 2), ((1, 1), (1, 1), 1)),
    ((1, 2, 5, 3), (2, 1, 2, 2), ((2, 1), (1, 2), 2)),
    ((1, 1, 2, 2), (1, 1, 2, 2), ((1, 1), (1, 1), 1)),  # x and w of one shape, w and y, x and y
    ((2, 2, 3), (2, 2, 2), ((1,), (1,), 1)),
    ((2, 2, 2), (2, 2, 1), ((1,), (1,), 1)),
]


def _places(x, w, settings):
    """The shape of what a convolution gives."""
    return x[0], w[0], *windows.places(x[2:], w[2:], *settings[:2])


def dropped(p, scaling, kept=mask):
    return lambda x: dropout_ops.dropout(x, Tensor(kept), p, scaling)


samples = {
    # ------------------------------------------------------------------------------------ arithmetic
    "add": [*binary(np.add), s(lambda x: x + x, normal(3))],
    "subtract": [*binary(np.subtract), zero(lambda x: x - x, normal(3))],
    "multiply": [
        *binary(np.multiply),
        s(lambda x: x * x, normal(3)),
        s(lambda x: x * x.T, normal(2, 2)),
    ],
    "divide": [
        *binary(np.divide, normal, positive),
        s(lambda x, y: x / y, normal(3), [-0.5, -1.0, 2.0]),
    ],
    "remainder": [
        *binary(np.remainder, within(2.2, 2.8), within(0.95, 1.05)),  # x / y is between jumps
        s(lambda x, y: x % y, [-2.5, 2.5, -2.5, 0.5], [1.5, -1.5, -1.5, 3.0]),
        s(lambda x: 7 % x, [2.0, -3.0, 4.0]),
    ],
    "negative": unary(np.negative),
    "positive": unary(np.positive),
    "power": [
        *binary(np.power, positive, normal),
        *(s(lambda x, n=n: x**n, [-1.5, 0.7, 2.0]) for n in (1, 2, 3, 4, 5, -1, -2, -3, 2.0)),
        *(s(lambda x, n=n: x**n, positive(2, 2)) for n in (0.5, -0.5, 1.5, np.int8(3))),
        s(lambda x: x**2, [0.0, 1.0]),  # at 0 itself
        s(lambda x: x**3, [0.0, 1.0]),
        zero(lambda x: x**0, [-1.5, 0.0, 2.0]),
        s(lambda x: x ** np.arange(4, dtype=np.int8), [0.0, 0.0, 0.0, -1.5]),
        s(lambda x, y: x**y, positive(3), [0.0, 1.0, 2.0]),
        s(lambda x: x**x, positive(3)),
        s(lambda y: 2**y, normal(3)),
    ],
    "square": unary(np.square),
    "reciprocal": unary(np.reciprocal, positive),
    # ------------------------------------------------------------------- exponentials and logarithms
    "exp": unary(np.exp),
    "expm1": [*unary(np.expm1), s(np.expm1, [0.0, 1e-9])],
    "log": unary(np.log, positive),
    "log1p": [*unary(np.log1p, positive), s(np.log1p, [0.0, 1e-9, -0.5])],
    "log2": unary(np.log2, positive),
    "log10": unary(np.log10, positive),
    "sqrt": unary(np.sqrt, positive),
    "logaddexp": [
        *binary(np.logaddexp),
        s(np.logaddexp, [900.0, -900.0, 0.0], [901.0, -900.5, 0.0]),
    ],
    # --------------------------------------------------------------------------------- trigonometry
    "sin": unary(np.sin),
    "cos": unary(np.cos),
    "tan": unary(np.tan, small),
    "arcsin": unary(np.arcsin, small),
    "arccos": unary(np.arccos, small),
    "arctan": unary(np.arctan),
    "sinh": unary(np.sinh),
    "cosh": unary(np.cosh),
    "tanh": unary(np.tanh),
    # ---------------------------------------------------------------------------------- activations
    "sigmoid": [*unary(sigmoid), s(sigmoid, [-12.0, 0.0, 12.0])],
    "relu": [*unary(relu, apart), s(relu, near)],
    "softplus": [*unary(softplus), s(softplus, [-12.0, 0.0, 900.0])],
    "erf": unary(erf),
    # ----------------------------------------------------------------------------- kinks and choice
    "absolute": [*unary(np.absolute, apart), s(abs, near)],
    "maximum": [*binary(np.maximum, apart, shifted, number=0), s(np.maximum, near, near[::-1])],
    "minimum": [*binary(np.minimum, apart, shifted, number=0), s(np.minimum, near, near[::-1])],
    "where": [
        s(lambda x, y: np.where(mask, x, y), normal(2, 3), normal(2, 3)),
        s(lambda x, y: np.where(condition, x, y), normal(2, 1), normal(3)),
        s(lambda x, y: np.where(mask, x, y), normal(), normal(1, 3)),
        s(lambda x, y: np.where(x > 0, x, y), apart(2, 3), normal(3)),
        s(lambda x: np.where(mask, x, 0), normal(2, 3)),
        s(lambda x: np.where(mask, 2.5, x), normal(3)),
        s(lambda x: np.where(True, x, x * x), normal(2)),
        s(lambda x, y: np.where(mask.T, x.T, y), normal(2, 3), normal(2)),
        zero(lambda x: np.where(np.zeros((0, 2), bool), x, 1), normal(2)),
    ],
    "clip": [
        s(lambda x: np.clip(x, -0.4, 0.4), apart(2, 3)),
        s(lambda x: np.clip(x, -1e-3, 2e-3), near),
        s(lambda x: np.clip(x, None, 0.4), apart(2, 3)),
        s(lambda x: np.clip(x, -0.4, None), apart(2, 3)),
        s(lambda x: np.clip(x, a_min=-0.4, a_max=None), apart(2, 3)),
        s(lambda x: x.clip(-0.4, 0.4), apart(2, 3)),
        s(lambda x: np.clip(x, np.int8(-2) * mask, whole[:, :1]), apart(2, 3)),
        s(lambda x: np.clip(x, -9, 9), apart()),
        s(lambda x: np.clip(x.T, 0, 9), apart(3, 2)),
        zero(lambda x: np.clip(x, 5, 6), apart(3)),
        zero(lambda x: np.clip(x, 0, 1), apart(0, 2)),
    ],
    "astype": [
        s(lambda x: x.astype(np.float64), normal(2, 3)),
        s(lambda x: x.astype(np.longdouble), normal()),
        s(lambda x: x.T.astype("f8"), normal(2, 1)),
        zero(lambda x: x.astype(float), normal(0, 2)),
    ],
    # ------------------------------------------------------------------------------------- indexing
    "getitem": [
        *(
            s(lambda x, index=index: x[index], normal(3, 4))
            for index in (
                *(
                    1,
                    -1,
                    np.int64(2),
                    (1, 2),
                    (-1, -2),
                    slice(1, None),
                    slice(None, None, -1),
                    slice(2, 0, -1),
                ),
                *(
                    (slice(None), 1),
                    (slice(None, None, 2), slice(1, None, 2)),
                    (slice(0, 2), slice(None, None, -2)),
                ),
                *(
                    None,
                    (None, 1),
                    (slice(None), None, 2),
                    ...,
                    (..., 1),
                    (..., None),
                    (1, ...),
                    (),
                ),
                *(
                    [0, 2],
                    [0, 0, 2, 0],
                    ([0, 0, 1], [1, 1, 3]),
                    ([0, 0], slice(1, 3)),
                    (slice(1, 3), [2, 2, -1]),
                ),
                *(
                    ([0, 0, -3], 1),
                    ([[0, 1], [0, 1]],),
                    (np.array([[0], [0]]), [1, 1]),
                    (None, [0, 0], ..., None),
                    (..., [-1, 3]),
                ),
                *(
                    np.arange(12).reshape(3, 4) % 3 == 0,
                    [True, False, True],
                    ([True, False, True], [1, 1]),
                    (slice(None), np.arange(4) > 1),
                ),
                *(
                    np.array([1, 1, 0], np.uint8),
                    np.int64([[1, 1], [0, 1]]),
                    (np.array(1), slice(None)),
                    True,
                    np.array(1),
                    ((0, 0, 1),),
                ),
            )
        ),
        s(lambda x: x[[0, 0], :, [1, 1]], normal(2, 2, 3)),
        s(lambda x: x[:, [0, 0], None, [1, 1]], normal(2, 2, 3)),
        s(lambda x: x[0, ..., [1, 1]], normal(2, 2, 3)),
        s(lambda x: x[[[True, False], [True, True]]], normal(2, 2, 2)),
        s(lambda x: x[()], normal()),
        s(lambda x: x[None, ...], normal()),
        s(lambda x: x[x > 0], apart(2, 3)),
        s(lambda x: x.T[[1, 1], ::-1], normal(2, 3)),
        s(lambda x: x[np.argmax(x, axis=1)], apart(2, 2)),
        zero(lambda x: x[np.zeros(0, int)], normal(3)),
        zero(lambda x: x[1:1], normal(3, 2)),
        zero(lambda x: x[x > 100], normal(3)),
    ],
    "scatter": [
        s(lambda x: scatter(x, [0, 0, 2], (4,)), normal(3)),
        s(lambda x: scatter(x, 1, (3,)), normal()),
        s(lambda x: scatter(x, ([0, 0], [1, 1]), (2, 3)), normal(2)),
        s(lambda x: scatter(x, (slice(None, None, 2), -1), (3, 2)), normal(2)),
        s(lambda x: scatter(x, (..., None, [1, 1, 0]), (2, 2)), normal(2, 1, 3)),
        s(lambda x: scatter(x.T, [1, 1], (3, 2)), normal(2, 2)),
        s(lambda x: scatter(x, mask, (2, 3)), normal(4)),
        zero(lambda x: scatter(x, np.zeros(0, int), (3,)), normal(0)),
    ],
    # --------------------------------------------------------------------------------------- products
    "matmul": [
        *(
            s(np.matmul, normal(*x), normal(*y))
            for x, y in (
                *(
                    ((3,), (3,)),
                    ((3,), (3, 2)),
                    ((2, 3), (3,)),
                    ((2, 3), (3, 2)),
                    ((1, 3), (3, 1)),
                    ((1,), (1,)),
                    ((1, 1), (1, 1)),
                ),
                *(
                    ((2, 2, 3), (3, 2)),
                    ((2, 3), (2, 3, 2)),
                    ((2, 2, 3), (2, 3, 2)),
                    ((3,), (2, 3, 2)),
                    ((2, 2, 3), (3,)),
                ),
                *(
                    ((1, 2, 3), (2, 3, 1)),
                    ((2, 2, 3), (1, 3, 1)),
                    ((2, 1, 2, 2), (3, 2, 1)),
                    ((2, 2), (1, 2, 2, 1)),
                    ((2, 1, 1, 2), (2,)),
                ),
            )
        ),
        *(
            zero(np.matmul, normal(*x), normal(*y))
            for x, y in (
                ((0, 3), (3, 2)),
                ((2, 0), (0, 3)),
                ((0,), (0,)),
                ((0, 2, 3), (3, 1)),
                ((3,), (3, 0)),
            )
        ),
        s(lambda x: x @ x, normal(2, 2)),
        s(lambda x: x @ x.T, normal(2, 3)),
        s(lambda x: x.T @ x, normal(3)),
        s(lambda x, y: x[::-1, ::2] @ y.T, normal(2, 4), normal(3, 2)),
        s(lambda x: x @ whole, normal(3, 2)),
        s(lambda y: whole @ y, normal(2)),
    ],
    "linear": [
        s(linear, normal(2, 3), normal(4, 3), normal(4)),
        s(linear, normal(2, 3), normal(4, 3)),
        s(lambda x, w: linear(x, w, bias=None), normal(3), normal(2, 3)),
        s(linear, normal(3), normal(2, 3), normal(2)),
        s(linear, normal(2, 2, 3), normal(2, 3), normal(2)),
        s(linear, normal(2, 2, 3), normal(2, 3)),
        s(linear, normal(1, 1), normal(1, 1), normal(1)),
        s(lambda x, w, b: linear(x.T[::-1], w.T, b[::2]), normal(3, 2), normal(3, 2), normal(4)),
        s(lambda w: linear(w, w), normal(2, 2)),
        s(lambda w, b: linear(whole[:1, [0, 1, 1]], w, b), normal(2, 3), normal(2)),
        zero(linear, normal(0, 3), normal(2, 3), normal(2)),
        zero(linear, normal(2, 3), normal(0, 3), normal(0)),
        s(linear, normal(2, 0), normal(3, 0), normal(3)),
    ],
    "einsum": [
        *(
            s(
                lambda *xs, subscripts=subscripts: np.einsum(subscripts, *xs),
                *(normal(*shape) for shape in shapes),
            )
            for subscripts, *shapes in (
                *(
                    ("ij,jk", (2, 3), (3, 2)),
                    ("ij,jk->ik", (2, 3), (3, 2)),
                    ("ij, jk -> ki", (2, 3), (3, 2)),
                    ("ba", (2, 3)),
                ),  # implicit, explicit
                *(
                    ("i,i", (3,), (3,)),
                    ("i,j->ij", (2,), (3,)),
                    ("i,j->ji", (2,), (3,)),
                    ("ij,ij->ij", (2, 3), (2, 3)),
                    ("ij->ji", (2, 3)),
                ),
                *(
                    ("ij->", (2, 3)),
                    ("ij->i", (2, 3)),
                    ("ij,kj->i", (2, 3), (4, 3)),
                    ("ij,kl->", (2, 1), (1, 3)),
                    ("i,j->", (2,), (3,)),
                ),  # summed away
                *(
                    ("ii", (3, 3)),
                    ("ii->", (3, 3)),
                    ("ii->i", (3, 3)),
                    ("iij->j", (2, 2, 3)),
                    ("iji->j", (2, 3, 2)),
                    ("iii", (2, 2, 2)),
                ),  # diagonals
                *(
                    ("ii,ij->j", (2, 2), (2, 3)),
                    ("ii,ii->i", (2, 2), (2, 2)),
                    ("iijj->ij", (2, 2, 3, 3)),
                    ("ii,jj", (2, 2), (3, 3)),
                ),
                *(
                    ("...", (2, 3)),
                    ("...i->...", (2, 3)),
                    ("i...->...", (2, 3)),
                    ("...ij->...ji", (2, 2, 3)),
                    ("...ii->...i", (2, 2, 2)),
                ),  # ellipses
                *(
                    ("...ij,jk->...ik", (2, 2, 3), (3, 2)),
                    ("...ij,...jk", (2, 2, 3), (3, 2)),
                    ("...,...", (2, 3), (3,)),
                    ("i...,i...", (2, 3), (2,)),
                ),
                *(
                    ("...i,...i->...", (2, 1, 3), (2, 3)),
                    ("...i,i", (2, 3), (3,)),
                    ("...a,...b->...ab", (1, 2), (3, 2)),
                    ("i,...", (2,), (3,)),
                ),
                *(
                    ("i,i,i", (3,), (3,), (3,)),
                    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)),
                    ("i,ij,j", (2,), (2, 3), (3,)),
                    ("i,j,k->ik", (2,), (3,), (2,)),
                ),
                *(
                    ("...i,i,...j->j...", (2, 3), (3,), (2, 2)),
                    (",i->i", (), (3,)),
                    (",", (), ()),
                    ("->", ()),
                    ("i,i,i,i->", (2,), (2,), (2,), (2,)),
                ),
                *(
                    ("...i,...i,...->...", (2, 1, 2), (1, 3, 2), (3,)),
                    ("ij,ij->ij", (1, 3), (2, 3)),
                    ("ij,ij->j", (1, 3), (2, 3)),
                ),  # size 1 broadcasts
            )
        ),
        s(lambda x: np.einsum("ij,ij", x, x), normal(2, 3)),
        s(lambda x, y: np.einsum("ij,jk->ki", x.T[::-1], y[::2]), normal(3, 2), normal(6, 2)),
        s(lambda x: np.einsum("ij,j->i", whole, x), normal(2)),
        zero(lambda x, y: np.einsum("ij,jk", x, y), normal(2, 0), normal(0, 3)),
    ],
    # --------------------------------------------------------------------------- penalties and losses
    "l1_penalty": [
        s(
            lambda *ws: penalties.l1_penalty(0.3, *ws), [-0.5, 0.7, -0.9], near[:3], -0.5, -0.1
        ),  # two of one shape and of opposite signs, negative numbers
        s(lambda w: penalties.l1_penalty(0.3, w), apart(2, 3)),
        s(lambda w: penalties.l1_penalty(0.3, w), near),
        s(
            lambda *ws: penalties.l1_penalty(0.3, *ws),
            apart(2, 3),
            apart(3),
            apart(),
            apart(1, 1, 2),
        ),
        s(lambda w: penalties.l1_penalty(2, w.T[::-1], w), apart(3, 2)),
        s(lambda w, u: penalties.l1_penalty(1.0, w, u), apart(3), apart(0, 2)),
        zero(lambda w: penalties.l1_penalty(0.0, w), apart(3)),
    ],
    "l2_penalty": [
        s(lambda *ws: penalties.l2_penalty(0.3, *ws), [-0.5, 0.7, -0.9], near[:3], -0.5, -0.1),
        s(lambda w: penalties.l2_penalty(0.3, w), normal(2, 3)),
        s(
            lambda *ws: penalties.l2_penalty(0.3, *ws),
            normal(2, 3),
            normal(3),
            normal(),
            normal(1, 1, 2),
        ),
        s(lambda w: penalties.l2_penalty(2, w.T[::-1], w), normal(3, 2)),
        s(lambda w, u: penalties.l2_penalty(1.0, w, u), normal(3), normal(0, 2)),
        zero(lambda w: penalties.l2_penalty(0.0, w), normal(3)),
    ],
    "elastic_net": [
        s(
            lambda *ws: penalties.elastic_net(0.3, 0.2, *ws),
            [-0.5, 0.7, -0.9],
            near[:3],
            -0.5,
            -0.1,
        ),
        *(
            s(lambda w, l1=l1, l2=l2: penalties.elastic_net(l1, l2, w), apart(2, 3))
            for l1, l2 in ((0.3, 0.2), (0.3, 0.0), (0.0, 0.2), (2, 5))
        ),
        s(lambda w: penalties.elastic_net(0.3, 0.2, w), near),
        s(
            lambda *ws: penalties.elastic_net(0.3, 0.2, *ws),
            apart(2, 3),
            apart(3),
            apart(),
            apart(1, 1, 2),
        ),
        s(lambda w: penalties.elastic_net(2, 0.5, w.T[::-1], w), apart(3, 2)),
        s(lambda w, u: penalties.elastic_net(1.0, 0.2, w, u), apart(3), apart(0, 2)),
        zero(lambda w: penalties.elastic_net(0.0, 0.0, w), apart(3)),
    ],
    "group_l2": [
        s(
            lambda *ws: penalties.group_l2(0.3, inputs, *ws),
            [-0.5, 0.7, -0.9],
            near[:3],
            -0.5,
            -0.1,
        ),
        *(
            s(lambda w, axis=axis: penalties.group_l2(0.3, axis, w), normal(2, 3))
            for axis in (inputs, 0, 1, -1, (0, 1), (-1, 0))
        ),
        *(
            s(lambda w, axis=axis: penalties.group_l2(0.3, axis, w), normal(2, 3, 2))
            for axis in (inputs, 1, (0, 2), (2, 0, 1))
        ),
        *(s(lambda w, c=c: penalties.group_l2(c, inputs, w), normal(2, 2)) for c in (1, 2.5)),
        *(
            s(lambda w: penalties.group_l2(0.3, inputs, w), draw)
            for draw in (apart(3), apart(), near, near.reshape(2, 2), apart(1, 1, 2))
        ),
        s(
            lambda *ws: penalties.group_l2(0.3, inputs, *ws),
            normal(2, 3),
            apart(3),
            apart(),
            normal(1, 2, 1, 2),
        ),
        s(lambda w: penalties.group_l2(2, 0, w.T[::-1], w), normal(3, 2)),
        s(lambda w, u: penalties.group_l2(1.0, inputs, w, u), normal(2, 2), normal(0, 2)),
        zero(lambda w: penalties.group_l2(0.0, inputs, w), normal(3, 2)),
        zero(lambda w: penalties.group_l2(0.3, inputs, w), normal(3, 0)),
    ],
    "nll_loss": [
        *(
            s(lambda x, r=r: losses.nll_loss(x, integers(3, 4), r), normal(4, 3))
            for r in ("mean", "sum", "none")
        ),
        *(
            s(lambda x, r=r: losses.nll_loss(x, integers(3, 2, 2), r), normal(2, 3, 2))
            for r in ("mean", "sum", "none")
        ),
        *(s(lambda x, r=r: losses.nll_loss(x, 1, r), normal(3)) for r in ("mean", "sum", "none")),
        s(lambda x: losses.nll_loss(x, integers(2, 2, 1, 2), "mean"), normal(2, 2, 1, 2)),
        s(lambda x: losses.nll_loss(x.T[::-1], Tensor([0, 0]), "mean"), normal(3, 2)),
        s(lambda x: losses.nll_loss(x, np.zeros(2, np.uint8), "mean"), normal(2, 1)),
        zero(lambda x: losses.nll_loss(x, np.zeros(0, int), "sum"), normal(0, 3)),
    ],
    # ------------------------------------------------------------------------------------- reductions
    "sum": [
        *reduction(np.sum),
        s(lambda x: np.sum(x, axis=0), normal()),  # NumPy allows it
        zero(np.sum, normal(0, 2)),
        zero(lambda x: np.sum(x, axis=1), normal(0, 2)),
        s(lambda x: np.sum(x, axis=()), normal(2)),
    ],
    "mean": [
        *reduction(np.mean),
        zero(lambda x: np.mean(x, axis=1), normal(0, 2)),
        s(lambda x: np.mean(x, axis=()), normal(2, 2)),
    ],
    "max": [
        *reduction(np.max, apart),
        s(lambda x: np.max(x, axis=0), apart()),  # NumPy allows it
        zero(lambda x: np.max(x, axis=1), normal(0, 2)),
        s(lambda x: np.amax(x, 0), apart(3)),
        s(lambda x: x.max(1), apart(2, 2)),
    ],
    "min": [
        *reduction(np.min, apart),
        zero(lambda x: np.min(x, axis=1), normal(0, 2)),
        s(lambda x: np.amin(x, 0), apart(3)),
        s(lambda x: x.min(1), apart(2, 2)),
    ],
    "var": [
        *(v for v in reduction(np.var) if v.draws[0](np.random.default_rng(0)).size > 1),
        *(zero(np.var, normal(*shape)) for shape in ((), (1,))),
        zero(lambda x: np.var(x, axis=1), normal(0, 2)),
        s(lambda x: np.var(x, ddof=1), normal(2, 3)),
        s(lambda x: np.var(x, axis=-1, ddof=2), normal(2, 3)),
        s(lambda x: np.var(x, axis=(0, 2), ddof=1, keepdims=True), normal(2, 2, 2)),
        s(lambda x: np.var(x, ddof=0.5), normal(3)),
        s(lambda x: np.var(x), 1e6 + identity_like),  # a large mean must not cost the digits
    ],
    "std": [
        *(v for v in reduction(np.std) if v.draws[0](np.random.default_rng(0)).size > 1),
        s(lambda x: np.std(x, ddof=1), normal(2, 3)),
        s(lambda x: np.std(x, axis=-1, ddof=2), normal(2, 3)),
        s(lambda x: np.std(x, axis=(0, 2), ddof=1, keepdims=True), normal(2, 2, 2)),
        s(lambda x: x.std(0, ddof=1), normal(3)),
    ],
    "standardize": [
        *(
            s(lambda x, axis=axis: standardize(x, axis, 0.1), normal(2, 3))
            for axis in (0, 1, -2, (0, 1), (-1, 0), None)
        ),
        *(
            s(lambda x, axis=axis: standardize(x, axis, 1e-5), normal(2, 3, 2))
            for axis in (1, (0, 2), (-1, 1))
        ),
        s(lambda x: standardize(x, 0, 0.0), normal(4)),
        s(lambda x: standardize(x.T[::-1], 0, 0.1), normal(3, 2)),
        s(lambda x: standardize(x.transpose(1, 0, 2), (0, 2), 0.1), normal(3, 2, 2)),
        s(
            lambda x: standardize(x, -1, 0.1), 1e5 + identity_like
        ),  # a large mean must not cost the digits
        s(lambda x: standardize(x, 0, 1.0), np.ones(3)),  # the variance is 0
        *(
            zero(lambda x, axis=axis: standardize(x, axis, 0.1), normal(*shape))
            for shape, axis in (((), None), ((3, 1), 1), ((0, 3), 1))
        ),
    ],
    "prod": [
        *reduction(np.prod),
        s(lambda x: np.prod(x, axis=0), normal()),  # NumPy allows it
        s(lambda x: np.prod(x, axis=0), 0.0),
        s(np.prod, [2.0, 0.0, -3.0]),
        zero(
            np.prod, [[2.0, 0.0], [0.0, 3.0], [1.0, -1.0]]
        ),  # the first derivatives; the second are not
        s(lambda x: np.prod(x, axis=1), [[2.0, 0.0, 3.0], [1.0, 4.0, -2.0], [0.0, 0.0, 5.0]]),
        s(lambda x: np.prod(x, axis=0, keepdims=True), [[2.0, 0.0], [0.0, 3.0]]),
        s(
            lambda x: np.prod(x, axis=(0, -1)),
            [[[2.0, 0.0], [1.0, 3.0]], [[4.0, 5.0], [-1.0, 2.0]]],
        ),
        s(lambda x: np.prod(x, axis=()), [0.0, 2.0]),
        zero(lambda x: np.prod(x, axis=0), normal(0, 2)),
        zero(np.prod, [0.0, 0.0, 0.0]),
    ],
    "cumsum": [
        *along(np.cumsum),  # without an axis too
        s(np.cumsum, normal()),
        s(lambda x: np.cumsum(x, 0), normal()),
        s(lambda x: x.cumsum(axis=-1), normal(2, 3)),
        s(lambda x: np.cumsum(x.T[::-1], axis=0), normal(3, 2)),
        zero(lambda x: np.cumsum(x, axis=1), normal(2, 0)),
    ],
    "logsumexp": [
        *reduction(logsumexp),
        zero(lambda x: logsumexp(x, axis=1), normal(0, 2)),
        s(lambda x: logsumexp(x, axis=-1), [[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]]),
    ],
    "softmax": [
        *along(softmax),
        s(softmax, [[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]]),
        s(lambda x: softmax(x, axis=(0, 1)), normal(2, 2)),
        zero(softmax, normal(3, 1)),
    ],
    "log_softmax": [
        *along(log_softmax),
        s(log_softmax, [[900.0, 901.0, 899.5], [-900.0, -901.0, -900.5]]),
        s(lambda x: log_softmax(x, axis=(0, 1)), normal(2, 2)),
        zero(log_softmax, normal(3, 1)),
    ],
    # ---------------------------------------------------------------------------------------- shaping
    "reshape": [
        *(
            s(lambda x, shape=shape: np.reshape(x, shape), normal(2, 3))
            for shape in ((3, 2), 6, -1, (1, -1, 2), (6,))
        ),
        s(lambda x: x.reshape(3, 2), normal(2, 3)),
        s(lambda x: x.T.reshape((6,)), normal(2, 3)),
        s(lambda x: np.reshape(x, (1, 1)), normal()),
        s(lambda x: np.reshape(x, ()), normal(1)),
        zero(lambda x: np.reshape(x, (3, 0)), normal(0, 2)),
    ],
    "transpose": [
        s(np.transpose, normal(2, 3, 2)),
        *(
            s(lambda x, axes=axes: np.transpose(x, axes), normal(2, 3, 1))
            for axes in ((1, 2, 0), (2, 0, 1), (0, 2, 1), (-1, 0, -2), None, [1, 0, 2])
        ),
        s(lambda x: x.transpose(2, 0, 1), normal(2, 3, 1)),
        s(lambda x: x.T, normal(3)),
        s(np.transpose, normal()),
        zero(np.transpose, normal(0, 2)),
    ],
    "swapaxes": [
        s(lambda x, a=a, b=b: np.swapaxes(x, a, b), normal(2, 3, 1))
        for a, b in ((0, 1), (-1, 0), (2, -2), (1, 1))
    ],
    "moveaxis": [
        s(lambda x, a=a, b=b: np.moveaxis(x, a, b), normal(2, 3, 1))
        for a, b in ((0, 2), (-1, 0), (1, -1), ((0, 1), (2, 0)), ([0, 1, 2], [-1, 0, 1]), (1, 1))
    ],
    "expand_dims": [
        *(
            s(lambda x, axis=axis: np.expand_dims(x, axis), normal(2, 3))
            for axis in (0, 1, -1, (0, 3), (-1, 0), ())
        ),
        s(lambda x: np.expand_dims(x, 0), normal()),
    ],
    "squeeze": [
        *(
            s(lambda x, axis=axis: np.squeeze(x, axis), normal(1, 3, 1))
            for axis in (None, 0, -1, (0, 2), ())
        ),
        s(np.squeeze, normal(1, 1)),
        s(np.squeeze, normal(2, 2)),
        zero(np.squeeze, normal(1, 0)),
    ],
    "broadcast_to": [
        *(
            s(lambda x, shape=shape: np.broadcast_to(x, shape), normal(1, 3))
            for shape in ((1, 3), (2, 3), (2, 2, 3))
        ),
        s(lambda x: np.broadcast_to(x, (2, 3)), normal()),
        s(lambda x: np.broadcast_to(x, (2, 3, 2)), normal(3, 1)),
        s(lambda x: np.broadcast_to(x, 4), normal(1)),
        zero(lambda x: np.broadcast_to(x, (0, 3)), normal(3)),
    ],
    "flip": [
        s(lambda x, axis=axis: np.flip(x, axis), normal(2, 3)) for axis in (None, 0, -1, (0, 1))
    ]
    + [s(np.flip, normal())],
    "roll": [
        *(s(lambda x, shift=shift: np.roll(x, shift), normal(2, 3)) for shift in (0, 1, -2, 7)),
        *(
            s(lambda x, k=k, a=a: np.roll(x, k, a), normal(2, 3))
            for k, a in ((1, 0), (-1, 1), (2, -1), ((1, 2), (0, 1)), ((1, 1), 1))
        ),
        s(lambda x: np.roll(x, 1, axis=0), normal(3)),
        zero(lambda x: np.roll(x, 1, axis=1), normal(0, 2)),
    ],
    "pad": [
        *(
            s(lambda x, width=width: np.pad(x, width), normal(2, 3))
            for width in (
                1,
                0,
                (1, 2),
                ((1, 2),),
                ((0, 1), (2, 0)),
                [[1, 0], [0, 0]],
                np.array([1, 2]),
                (1,),
            )
        ),
        s(lambda x: np.pad(x, 1, constant_values=5), normal(3)),
        s(
            lambda x: np.pad(x, ((1, 2), (0, 1)), "constant", constant_values=((1, 2), (3, 4))),
            normal(1, 2),
        ),
        s(lambda x: np.pad(x.T, (1, 0)), normal(2, 3)),
        s(lambda x: np.pad(x, 1), normal(2, 1, 2)),
        s(lambda x: np.pad(x, 1), normal()),
        zero(lambda x: np.pad(x, 1), normal(0)),
    ],
    "concatenate": [
        *(
            s(lambda x, y, axis=axis: np.concatenate([x, y], axis), normal(2, 3), normal(2, 3))
            for axis in (0, 1, -1, -2)
        ),
        s(lambda *xs: np.concatenate(xs, axis=1), normal(2, 1), normal(2, 3), normal(2, 2)),
        s(lambda *xs: np.concatenate(xs), normal(1), normal(0), normal(3)),
        s(lambda x: np.concatenate([x]), normal(2, 2)),
        s(lambda x: np.concatenate([x, x.T, x[::-1]], axis=-1), normal(2, 2)),
        s(lambda x: np.concatenate([whole[:1], x, whole[1:]]), normal(1, 2)),
        s(lambda x, y: np.concatenate((x, y), axis=None), normal(2, 2), normal(3)),
    ],
    "stack": [
        *(
            s(lambda x, y, axis=axis: np.stack([x, y], axis), normal(2, 3), normal(2, 3))
            for axis in (0, 1, 2, -1, -3)
        ),
        s(lambda x, y, z: np.stack((x, y, z)), normal(), normal(), normal()),
        s(lambda x: np.stack([x, x.T], axis=1), normal(2, 2)),
        s(lambda x: np.stack([whole[0], x]), normal(2)),
        zero(lambda x: np.stack([x]), normal(0)),
    ],
    # ------------------------------------------------------------------------------------- stochastic
    "dropout": [
        *(
            s(dropped(p, scaling), normal(2, 3))
            for p in (0, 0.2, 0.7)
            for scaling in ("inverted", "classic")
        ),
        s(dropped(0, "inverted", np.ones((2, 3), bool)), normal(2, 3)),
        zero(dropped(1, "inverted", np.zeros((2, 3), bool)), normal(2, 3)),
        zero(dropped(1, "classic", np.zeros((2, 3), bool)), normal(2, 3)),
        zero(dropped(0.2, "inverted", np.zeros((2, 3), bool)), normal(2, 3)),
        s(dropped(0.2, "inverted", np.array(True)), normal()),
        s(lambda x: dropped(0.2, "inverted")(x.T), normal(3, 2)),
        zero(dropped(0.2, "inverted", np.zeros((0, 2), bool)), normal(0, 2)),
    ],
    # ---------------------------------------------------------------------------------------- windows
    "unfold": [
        s(lambda x: windows.unfold(x, (2,), (1,), (1,)), normal(2, 4)),
        s(lambda x: windows.unfold(x, (2,), (2,), (3,)), normal(1, 2, 8)),
        s(lambda x: windows.unfold(x, (3,), (1,), (1,)), normal(3)),
        s(lambda x: windows.unfold(x, (2, 1), (1, 2), (1, 3)), normal(2, 3, 4)),
        s(lambda x: windows.unfold(x.T, (2, 3), (3, 1), (1, 2)), normal(6, 5, 2)),
    ],
    "fold": [
        s(lambda y: windows.fold(y, (4,), (1,), (1,)), normal(2, 3, 2)),
        s(lambda y: windows.fold(y, (8,), (2,), (3,)), normal(1, 2, 3, 2)),
        s(lambda y: windows.fold(y, (5, 4), (2, 1), (1, 3)), normal(2, 2, 1, 2, 2)),
    ],
    "convolve": [
        *(
            s(
                lambda x, w, b, a=a: windows.convolve(x, w, b, *a),
                normal(*x),
                normal(*w),
                normal(w[0]),
            )
            for x, w, a in convolutions[4:6]
        ),
        *(
            s(lambda x, w, a=a: windows.convolve(x, w, None, *a), normal(*x), normal(*w))
            for x, w, a in convolutions
        ),
        s(
            lambda w: windows.convolve(whole.reshape(1, 1, 4), w, None, (1,), (1,), 1),
            normal(2, 1, 2),
        ),
        s(
            lambda x, w: windows.convolve(x.T, w[::-1], None, (1,), (1,), 1),
            normal(4, 1, 2),
            normal(3, 1, 2),
        ),
        zero(
            lambda x, w: windows.convolve(x, w, None, (1,), (1,), 1),
            normal(0, 1, 3),
            normal(2, 1, 2),
        ),
    ],
    "convolve_input": [
        *(
            s(
                lambda y, w, a=a, n=x[2:]: windows.convolve_input(y, w, n, *a),
                normal(*_places(x, w, a)),
                normal(*w),
            )
            for x, w, a in convolutions
        ),
        s(
            lambda y, w: windows.convolve_input(y, w, (4, 5), (1, 2), (2, 3), 1),
            normal(1, 1, 1, 1),
            normal(1, 2, 2, 2),
        ),  # room for more places
        zero(
            lambda y, w: windows.convolve_input(y, w, (3,), (1,), (1,), 1),
            normal(0, 2, 2),
            normal(2, 1, 2),
        ),
    ],
    "convolve_weight": [
        *(
            s(
                lambda x, y, a=a, n=w[2:]: windows.convolve_weight(x, y, n, *a),
                normal(*x),
                normal(*_places(x, w, a)),
            )
            for x, w, a in convolutions
        ),
        zero(
            lambda x, y: windows.convolve_weight(x, y, (2,), (1,), (1,), 1),
            normal(0, 1, 3),
            normal(0, 2, 2),
        ),
    ],
}


@dataclass
class Noisy:
    """A stochastic function of x, with the mean and the variance, over its noise, of each entry of the result: functions of x."""

    settings: str
    call: object
    mean: object
    variance: object
    small: tuple = (8,)  # the shape of x where all outcomes are enumerated
    large: tuple = (64, 1024)  # where the law of the noise is tested
    shared: tuple = ()  # the axes along which it is the same


def _noisy(settings, call, variance, **shapes):
    """With what it gives in evaluation as the mean. `call` is a function of x and training."""
    return Noisy(settings, lambda x: call(x, True), lambda x: call(x, False), variance, **shapes)


def _dropping(function, p, scaling, **shapes):
    scale = 1 / (1 - p) if scaling == "inverted" else 1.0
    call = lambda x, training: function(x, p, training, scaling=scaling)
    return _noisy(f"p={p:g}, {scaling}", call, lambda x: scale**2 * p * (1 - p) * x * x, **shapes)


def _both(function, **shapes):
    return [
        _dropping(function, 0.3, "inverted", **shapes),
        _dropping(function, 0.8, "classic", **shapes),
    ]


def _alpha(p, low=-1.7580993408473766):
    a = (1 - p + low**2 * p * (1 - p)) ** -0.5
    call = lambda x: F.alpha_dropout(x, p, training=True)
    return Noisy(
        f"p={p:g}", call, lambda x: a * (1 - p) * x, lambda x: a**2 * p * (1 - p) * (x - low) ** 2
    )


# Every function that draws noise; at rates that can tell keep from drop.
noisy = {
    "dropout": [
        *(
            _dropping(F.dropout, p, scaling)
            for p in (0.1, 0.3, 0.8)
            for scaling in ("inverted", "classic")
        ),
        _noisy(
            "p=0.3, share=-1",
            lambda x, training: F.dropout(x, 0.3, training, share=-1),
            lambda x: 3 / 7 * x * x,
            small=(8, 2),
            shared=(1,),
        ),
    ],
    "dropout1d": _both(F.dropout1d, small=(2, 3, 2), large=(64, 64, 8), shared=(2,)),
    "dropout2d": _both(F.dropout2d, small=(2, 3, 2, 1), large=(64, 64, 4, 2), shared=(2, 3)),
    "drop_path": _both(F.drop_path, small=(6, 2), large=(4096, 8), shared=(1,)),
    "drop_connect": _both(F.drop_connect),
    "alpha_dropout": [_alpha(p) for p in (0.1, 0.8)],
    "gaussian_dropout": [
        _noisy(
            f"p={p:g}",
            lambda x, training, p=p: F.gaussian_dropout(x, p, training),
            lambda x, p=p: p / (1 - p) * x * x,
            small=(4,),
        )
        for p in (0.1, 0.8)
    ],
    "gaussian_noise": [
        _noisy(
            f"std={std:g}",
            lambda x, training, std=std: F.gaussian_noise(x, std, training),
            lambda x, std=std: std**2 + 0 * x,
            small=(4,),
        )
        for std in (0.2, 1.5)
    ],
}


def seed_of(name, i):
    return [zlib.crc32(name.encode()), i]


def table():
    """(id, op name, sample, inputs) of every sample: `matmul-3 (2,3) (3,2)`."""
    for name, calls in samples.items():
        for i, sample in enumerate(calls):
            inputs = sample.inputs(seed_of(name, i))
            shapes = " ".join(str(x.shape).replace(" ", "").replace(",)", ")") for x in inputs)
            yield f"{name}-{i} {shapes}", name, sample, inputs


def tensors(inputs, dtype=np.float64):
    return [Tensor(x, True, dtype=dtype) for x in inputs]

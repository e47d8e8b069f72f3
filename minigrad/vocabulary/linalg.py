"""Products of arrays, and np.linalg. Matrices are the last two axes; other axes are batches.

Results and errors are NumPy's, with two exceptions. A matrix that must be symmetric and is not
raises ValueError: NumPy would read only half of it. Functions with complex results (eig) are
refused.

Where a derivative does not exist, the conventions are PyTorch's. A norm has the gradient 0 at 0.
Eigenvectors of equal eigenvalues have no derivative: a loss that depends on them has the gradient
nan. So have singular vectors of equal singular values. A loss of the values alone has a gradient.
"""

import numpy as np

from ..array import entries_of, implements, numpy_functions
from ..ops.elementwise import floats
from ..ops.reductions import _product_of_others, restored
from ..registry import on_data, op

# -------------------------------------------------------------------------------------- products


@implements(np.tensordot)
def tensordot(x, y, axes=2):
    """The sums of products over axes of x and of y.

    axes  the last n axes of x and the first n of y, or (axes of x, axes of y)

    Raises ValueError if the sizes of these axes differ.
    """
    if np.ndim(axes) == 0:
        axes = range(-axes, 0), range(axes)
    labels = [*range(np.ndim(x))], [*range(26, 26 + np.ndim(y))]
    for i, j in zip(*map(np.atleast_1d, axes)):
        if np.shape(x)[i] != np.shape(y)[j]:
            shapes = f"{np.shape(x)} and {np.shape(y)}"
            raise ValueError(f"tensordot of {shapes}: axes {i} and {j} differ in size.")
        labels[1][j] = labels[0][i]
    return np.einsum(x, labels[0], y, labels[1], sorted({*labels[0]} ^ {*labels[1]}))


@implements(np.kron)
def kron(x, y):
    """The Kronecker product: each entry of x times all of y, block by block."""
    rank = max(np.ndim(x), np.ndim(y))
    x, y = (np.reshape(a, (1,) * (rank - np.ndim(a)) + np.shape(a)) for a in (x, y))
    pairs = np.moveaxis(np.multiply.outer(x, y), range(rank), range(0, 2 * rank, 2))
    return np.reshape(pairs, [m * n for m, n in zip(x.shape, y.shape)])


@implements(np.cross)
@implements(np.linalg.cross)
def cross(x, y, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """The vector product of vectors of size 3. Raises ValueError for other sizes."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x, y = np.moveaxis(x, axisa, -1), np.moveaxis(y, axisb, -1)
    if {x.shape[-1], y.shape[-1]} != {3}:
        raise ValueError(f"cross of {x.shape} and {y.shape}: vectors of size 3 are needed.")
    turned = [a[..., [1, 2, 0]] * b[..., [2, 0, 1]] for a, b in ((x, y), (y, x))]
    return np.moveaxis(turned[0] - turned[1], -1, axisc)


numpy_functions |= {
    np.inner: lambda x, y: x * y if 0 in (np.ndim(x), np.ndim(y)) else np.tensordot(x, y, (-1, -1)),
    np.vdot: lambda x, y: np.ravel(x) @ np.ravel(y),
}

# ------------------------------------------------------------------------- systems and determinants


def T(x):
    """The transposes of matrices."""
    return np.swapaxes(x, -1, -2)


def eye_like(x):
    """The identity for square matrices x."""
    return np.eye(x.shape[-1], dtype=x.dtype)


@op(
    a=lambda g, out, a, b: -np.linalg.solve(T(a), g) @ T(out),
    b=lambda g, out, a, b: np.linalg.solve(T(a), g),
)
def solve_matrices(a, b):
    """The x with a @ x = b, for matrices a (..., n, n) and b (..., n, k)."""
    return np.linalg.solve(a, b)


@implements(np.linalg.solve)
def solve(a, b):
    """The x with a @ x = b: a (..., n, n), and b (n,) or (..., n, k)."""
    if np.ndim(b) == 1:
        return np.squeeze(solve_matrices(a, np.expand_dims(b, -1)), -1)
    return solve_matrices(a, b)


op(np.linalg.inv, a=lambda g, out, a: -T(out) @ g @ T(out))


def _cofactors(a, out):
    """The derivative of det: det(a) inv(a).T, or by the singular values if a is singular."""
    if np.all(out != 0):
        return np.expand_dims(out, (-1, -2)) * T(np.linalg.inv(a))
    u, s, vh = np.linalg.svd(a)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    others = np.expand_dims(sign, -1) * _product_of_others(s, -1)
    return u * np.expand_dims(others, -2) @ vh


op(np.linalg.det, a=lambda g, out, a: np.expand_dims(g, (-1, -2)) * _cofactors(a, out))


@op(a=lambda g, out, a: np.expand_dims(g, (-1, -2)) * T(np.linalg.inv(a)))
def logabsdet(a):
    """log |det(a)| of matrices (..., n, n), without overflow."""
    return np.linalg.slogdet(a)[1]


@op(a=None)
def sign_of_det(a):
    """The sign of det(a), without overflow."""
    return np.linalg.slogdet(a)[0]


@implements(np.linalg.matrix_power)
def matrix_power(a, n):
    """The matrix product of n copies of a; for negative n, of its inverse."""
    if np.ndim(a) < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"matrix_power of {np.shape(a)}: square matrices are needed.")
    if n < 0:
        return np.linalg.matrix_power(np.linalg.inv(a), -n)
    if n < 2:
        return +a if n else np.ones_like(a) * eye_like(a)
    half = np.linalg.matrix_power(a, n // 2)
    return half @ half @ a if n % 2 else half @ half


def _pinv_rule(g, out, a, rcond):
    p = T(out)
    left, right = eye_like(T(a)) - a @ out, eye_like(a) - out @ a
    return left @ T(g) @ out @ p + p @ out @ T(g) @ right - p @ g @ p


@op(numpy=np.linalg.pinv, a=_pinv_rule)
def pinv(a, rcond=None):
    """The pseudo-inverses of matrices (Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, eq. 4.12).

    The rank must stay the same nearby, or there is no derivative.
    """
    return np.linalg.pinv(a, rcond)


# ------------------------------------------------------------------------------ factors of matrices
# An op has one result. So the factors of a matrix lie in one array, below one another.


def parts(x, *rows):
    """The parts of x that begin at row 0 and at these rows."""
    return [x[..., i:j, :] for i, j in zip((0, *rows), (*rows, None))]


def symmetric(name, a):
    """a. Raises ValueError unless it is square, and symmetric up to rounding."""
    x = entries_of(a, name)
    is_square = x.ndim > 1 and x.shape[-1] == x.shape[-2]
    limit = np.sqrt(np.finfo(x.dtype).eps) * np.max(abs(x), initial=0)
    if not is_square or np.any(abs(x - T(x)) > limit):
        remedy = f"Write {name}((a + a.T) / 2)"
        raise ValueError(f"{name} of {x.shape}: symmetric matrices are needed. {remedy}.")
    return a


def _both(x):
    """The symmetric part of x, which is the derivative by a symmetric matrix."""
    return (x + T(x)) / 2


def _over_gap(numerator, x, y):
    """numerator / (x - y). Where x equals y up to rounding: nan, but 0 for a numerator of 0."""
    size = np.max(np.absolute(x), axis=(-1, -2), keepdims=True)
    same = np.absolute(x - y) <= 8 * np.finfo(x.dtype).eps * size
    quotient = numerator / np.where(same, 1, x - y)
    return np.where(same, np.where(numerator == 0, 0, np.nan), quotient)


def _cholesky_rule(g, out, a):
    half = np.tri(a.shape[-1], dtype=a.dtype) - eye_like(a) / 2
    inner = np.linalg.solve(T(out), T(out) @ g * half)
    return _both(np.linalg.solve(T(out), T(inner)))


@op(a=_cholesky_rule)
def lower_cholesky(a):
    """The lower triangular matrices l with l @ l.T = a, the symmetric part of each matrix."""
    return np.linalg.cholesky(_both(a))


@implements(np.linalg.cholesky)
def cholesky(a, /, *, upper=False):
    """The Cholesky factors of symmetric matrices (Murray 2016, arXiv:1602.07527)."""
    lower = lower_cholesky(symmetric("cholesky", a))
    return T(lower) if upper else lower


def _eigh_rule(g, out, a):
    (w, v), (gw, gv) = parts(out, 1), parts(g, 1)
    inner = _over_gap(T(v) @ gv * (1 - eye_like(a)), w, T(w)) + gw * eye_like(a)
    return _both(v @ inner @ T(v))


@op(a=_eigh_rule)
def eigh_in_one(a):
    """The eigenvalues, rising, as one row, and below them the eigenvectors as columns."""
    w, v = np.linalg.eigh(_both(a))
    return np.concatenate([np.expand_dims(w, -2), v], axis=-2)


@implements(np.linalg.eigh)
def eigh(a, UPLO="L"):
    """(eigenvalues, eigenvectors) of symmetric matrices (Giles 2008, section 3.1)."""
    both = eigh_in_one(symmetric("eigh", a))
    return EighResult(both[..., 0, :], both[..., 1:, :])


def _svd_rule(g, out, a):
    m = a.shape[-2]
    (u, s, v), (gu, gs, gv) = parts(out, m, m + 1), parts(g, m, m + 1)
    left, right = T(u) @ gu, T(v) @ gv
    inner = _over_gap(left - T(left), s * s, T(s * s)) * s
    inner = inner + T(s) * _over_gap(right - T(right), s * s, T(s * s))
    both = u @ (inner + gs * eye_like(inner)) @ T(v)
    if m > s.shape[-1]:
        both = both + _over_gap(gu - u @ left, s, 0 * s) @ T(v)
    if a.shape[-1] > s.shape[-1]:
        both = both + u @ T(_over_gap(gv - v @ right, s, 0 * s))
    return both


@op(a=_svd_rule)
def svd_in_one(a):
    """The thin singular value decomposition in one array: u, below it the row s, below it v."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, np.expand_dims(s, -2), T(vh)], axis=-2)


@implements(np.linalg.svd)
def svd(a, full_matrices=True, compute_uv=True):
    """(u, s, vh) with a = u * s @ vh, or s alone (Townsend 2016; Giles 2008, section 3.2).

    Raises ValueError for full_matrices=True if a is not square: the added vectors are arbitrary.
    """
    m, n = a.shape[-2:]
    if compute_uv and full_matrices and m != n:
        raise ValueError(f"svd of {a.shape}: write full_matrices=False for a gradient.")
    u, s, v = parts(svd_in_one(a), m, m + 1)
    return SVDResult(u, s[..., 0, :], T(v)) if compute_uv else s[..., 0, :]


def _qr_rule(g, out, a):
    (q, r), (gq, gr) = (parts(x, a.shape[-2]) for x in (out, g))
    inner = np.tril(r @ T(gr) - T(gq) @ q)
    inner = inner + T(inner) - inner * eye_like(inner)
    return T(np.linalg.solve(r, T(gq + q @ inner)))


@op(a=_qr_rule)
def qr_in_one(a):
    """q and below it r, for a with at least as many rows as columns."""
    return np.concatenate(np.linalg.qr(a), axis=-2)


@implements(np.linalg.qr)
def qr(a, mode="reduced"):
    """(q, r) with a = q @ r, or r alone for mode="r" (Walter & Lehmann 2013, arXiv:1001.1654).

    Raises ValueError for another mode.
    """
    if mode not in ("reduced", "r"):
        raise ValueError(f'qr: mode is "reduced" or "r", not {mode!r}.')
    m, n = a.shape[-2:]
    q, r = parts(qr_in_one(a[..., :m]), m)
    r = np.concatenate([r, T(q) @ a[..., m:]], axis=-1) if m < n else r
    return QRResult(q, r) if mode == "reduced" else r


_one = np.eye(1)
SlogdetResult, EighResult = type(np.linalg.slogdet(_one)), type(np.linalg.eigh(_one))
SVDResult, QRResult = type(np.linalg.svd(_one)), type(np.linalg.qr(_one))

# -------------------------------------------------------------------------------------------- norms


@op(x=lambda g, out, x, axis, keepdims: x * restored(g / (out + (out == 0)), x, axis, keepdims))
def length(x, axis=None, keepdims=False):
    """sqrt(sum(x * x)). At 0 its gradient is 0."""
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def vector_norm(x, ord, axis, keepdims):
    """The norm of vectors along an axis or several."""
    settings = {"axis": axis, "keepdims": keepdims}
    if ord == 2:
        return length(x, **settings)
    if abs(ord) == np.inf:
        return (np.max if ord > 0 else np.min)(np.absolute(x), **settings)
    if ord == 0:
        return np.sum((x != 0).astype(x.dtype), **settings)
    total = np.sum(np.absolute(x) ** ord, **settings)
    is_edge = (total == 0) & (ord > 0)  # the root has no finite slope there
    return np.where(is_edge, 0, np.where(is_edge, 1, total) ** (1 / ord))


@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """The norm of vectors along one axis, or of matrices over two; without an axis, of all entries.

    ord  of vectors: any number, inf or -inf, by default 2; of matrices: "fro" by default, 1, 2, inf

    The gradient is 0 where the norm is 0. Raises ValueError for another order.
    """
    x = floats(x, np.float64)
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    if ord is None or (len(axes) == 2 and ord == "fro"):
        return length(x, axis, keepdims)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(x, ord, axis, keepdims)
    if len(axes) != 2 or ord not in (1, 2, np.inf):
        raise ValueError(f"norm of {x.shape}: there is no order {ord!r} over the axes {axes}.")
    if ord == 2:
        largest = np.max(np.linalg.svdvals(np.moveaxis(x, axes, (-2, -1))), axis=-1)
        return np.expand_dims(largest, axes) if keepdims else largest
    sums = np.sum(np.absolute(x), axis=axes[0 if ord == 1 else 1], keepdims=True)
    return np.max(sums, axis=axes, keepdims=keepdims)


numpy_functions |= {
    np.linalg.slogdet: lambda a: SlogdetResult(sign_of_det(a), logabsdet(a)),
    np.linalg.eigvalsh: lambda a, UPLO="L": np.linalg.eigh(a)[0],
    np.linalg.svdvals: lambda x, /: np.linalg.svd(x, compute_uv=False),
}
on_data(np.linalg.matrix_rank)

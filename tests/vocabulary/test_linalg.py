"""Matrices and special functions: gradients beside PyTorch's, degenerate cases, refusals."""

import math

import numpy as np
import pytest
from helpers import close, gradient, leaf, normal, pulled

import minigrad as mg
from minigrad.vocabulary.elementwise import erfc

regular = normal(3, 3) + 3 * np.eye(3)
PAIRS = {  # the function here, PyTorch's, the input
    "solve": (lambda x: np.linalg.solve(x, x[0]), lambda t, x: t.linalg.solve(x, x[0]), regular),
    "inv": (np.linalg.inv, lambda t, x: t.linalg.inv(x), regular),
    "det": (np.linalg.det, lambda t, x: t.linalg.det(x), regular),
    "slogdet": (lambda x: np.linalg.slogdet(x)[1], lambda t, x: t.linalg.slogdet(x)[1], -regular),
    "cholesky": (
        lambda x: np.linalg.cholesky(x @ x.T),
        lambda t, x: t.linalg.cholesky(x @ x.T),
        regular,
    ),
    "eigenvalues": (
        lambda x: np.linalg.eigh(x + x.T)[0],
        lambda t, x: t.linalg.eigh(x + x.T)[0],
        regular,
    ),
    "eigenvectors": (
        lambda x: np.linalg.eigh(x + x.T)[1] ** 2,
        lambda t, x: t.linalg.eigh(x + x.T)[1] ** 2,
        regular,
    ),
    "q": (lambda x: np.linalg.qr(x)[0], lambda t, x: t.linalg.qr(x)[0], normal(4, 3)),
    "r": (lambda x: np.linalg.qr(x, "r"), lambda t, x: t.linalg.qr(x)[1], regular),
    "r of more columns": (
        lambda x: np.linalg.qr(x)[1],
        lambda t, x: t.linalg.qr(x)[1],
        np.hstack([regular, normal(3, 2)]),
    ),
    "singular values": (np.linalg.svdvals, lambda t, x: t.linalg.svdvals(x), normal(2, 4)),
    "left singular vectors": (
        lambda x: np.linalg.svd(x, full_matrices=False)[0] ** 2,
        lambda t, x: t.linalg.svd(x, full_matrices=False)[0] ** 2,
        normal(4, 3),
    ),
    "right singular vectors": (
        lambda x: np.linalg.svd(x, full_matrices=False)[2] ** 2,
        lambda t, x: t.linalg.svd(x, full_matrices=False)[2] ** 2,
        normal(2, 3),
    ),
    "pinv": (np.linalg.pinv, lambda t, x: t.linalg.pinv(x), normal(4, 2)),
    "matrix power": (
        lambda x: np.linalg.matrix_power(x, -3),
        lambda t, x: t.linalg.matrix_power(x, -3),
        regular,
    ),
    "spectral norm": (
        lambda x: np.linalg.norm(x, 2),
        lambda t, x: t.linalg.norm(x, 2),
        normal(3, 2),
    ),
    "norm 3": (
        lambda x: np.linalg.norm(x, 3, axis=1),
        lambda t, x: t.linalg.norm(x, 3, dim=1),
        np.array([[0.0, 0.0], [0.0, -2.0], [1.0, 2.0]]),
    ),
    "norm 2": (
        lambda x: np.linalg.norm(x, axis=1),
        lambda t, x: t.linalg.norm(x, dim=1),
        np.array([[0.0, 0.0], [3.0, -4.0]]),
    ),
    "median": (
        lambda x: np.quantile(x, 0.5, method="lower"),
        lambda t, x: t.median(x),
        normal(4),
    ),
    "quantile": (
        lambda x: np.quantile(x, [0.2, 0.7], axis=1),
        lambda t, x: t.quantile(x, t.tensor([0.2, 0.7], dtype=t.float64), dim=1),
        normal(2, 5),
    ),
    "sort": (lambda x: np.sort(x, axis=0), lambda t, x: t.sort(x, dim=0)[0], normal(4, 2)),
    "equal entries": (
        lambda x: np.sort(x, kind="stable") * np.arange(4.0),
        lambda t, x: t.sort(x, stable=True)[0] * t.arange(4.0),
        np.array([2.0, 1.0, 2.0, 1.0]),
    ),
    "cumprod": (np.cumprod, lambda t, x: t.cumprod(x, 0), np.array([2.0, 0.0, 3.0, 0.0, 5.0])),
    "sinc": (np.sinc, lambda t, x: t.sinc(x), np.array([0.0, 1e-3, 0.3, -2.5])),
    "erfc": (
        lambda x: x.erfc(),
        lambda t, x: t.erfc(x),
        np.array([-2.0, 0.1, 0.5, 3.0, 6.0, 20.0]),
    ),
    "hypot": (lambda x: np.hypot(x, 2 * x), lambda t, x: t.hypot(x, 2 * x), normal(3)),
    "arctan2": (lambda x: np.arctan2(x, x[::-1]), lambda t, x: t.atan2(x, x.flip(0)), normal(4)),
    "gradient": (
        lambda x: np.gradient(x, 0.5, axis=1),
        lambda t, x: t.gradient(x, spacing=0.5, dim=1)[0],
        normal(2, 4),
    ),
    "reflection": (
        lambda x: np.pad(x, ((0, 0), (2, 1)), "reflect"),
        lambda t, x: t.nn.functional.pad(x, (2, 1), mode="reflect"),
        normal(2, 4),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    here, there, x = PAIRS[name]
    twin = torch.tensor(x, requires_grad=True)
    expected = there(torch, twin)
    u = normal(*expected.shape, seed=5)
    value, (found,) = pulled(here, x, cotangent=u)
    close(value, expected.detach().numpy(), rtol=1e-9, atol=1e-11)
    close(found, torch.autograd.grad(expected, twin, torch.tensor(u))[0], rtol=1e-8, atol=1e-9)


# ------------------------------------------------------------------------------- degenerate cases


@pytest.mark.parametrize("ord", [None, 1, 2, 3, 1.5, np.inf, -np.inf])
def test_the_gradient_of_a_norm_is_0_at_0(ord):
    x = leaf(np.zeros(3))
    assert gradient(np.linalg.norm(x, ord), x).tolist() == [0, 0, 0]


def test_the_gradient_of_the_matrix_norms_is_0_at_0():
    for ord in (None, "fro", 2, 1, np.inf):
        x = leaf(np.zeros((2, 3)))
        assert not np.isnan(gradient(np.linalg.norm(x, ord), x)).any()


def test_the_determinant_of_a_singular_matrix_has_its_cofactors():
    x = leaf([[1.0, 2.0], [2.0, 4.0]])
    (first,) = mg.grad(np.linalg.det(x), x, create_graph=True)
    close(first, [[4, -2], [-2, 1]], atol=1e-14)
    close(gradient(first[0, 0], x), [[0, 0], [0, 1]], atol=1e-14)
    assert gradient(np.linalg.det(x := leaf(np.zeros((3, 3)))), x).tolist() == [[0] * 3] * 3


@pytest.mark.parametrize("matrix", [np.eye(3), np.diag([2.0, 1.0, 2.0]), np.zeros((2, 2))])
def test_equal_eigenvalues_have_a_gradient_and_their_vectors_have_none(matrix):
    x = leaf(matrix)
    close(gradient(np.sum(np.linalg.eigh(x)[0] ** 3), x), 3 * matrix @ matrix, atol=1e-14)
    v = np.linalg.eigh(x)[1]
    assert np.isnan(gradient(np.sum(v * np.arange(1.0, len(v) + 1)), x)).any()


def test_equal_singular_values_have_a_gradient_and_their_vectors_have_none():
    x = leaf(np.eye(3))
    close(gradient(np.sum(np.linalg.svdvals(x)), x), np.eye(3))
    u, s, vh = np.linalg.svd(x)
    assert np.isnan(gradient((u * s @ vh)[0, 1], x)).any()


def test_svd_of_a_matrix_without_full_rank():
    x = leaf(np.outer([1.0, 2.0, 3.0], [1.0, -1.0]))
    assert np.isfinite(gradient(np.sum(np.linalg.svdvals(x)), x)).all()
    u = np.linalg.svd(x, full_matrices=False)[0]
    assert np.isnan(gradient(np.sum(u[:, 1] ** 3), x)).any()


def test_sinc_is_right_at_0_to_the_fourth_derivative():
    x, found = leaf(0.0), []
    y = np.sinc(x)
    for _ in range(4):
        (y,) = mg.grad(y, x, create_graph=True)
        found.append(y.item())
    close(found, [0, -(math.pi**2) / 3, 0, math.pi**4 / 5], rtol=1e-12)


SINGULAR = [[1.0, 2.0], [2.0, 4.0]]


@pytest.mark.parametrize("matrices", [SINGULAR, [SINGULAR, [[1.0, 2.0], [3.0, 4.0]]]], ids=len)
def test_derivatives_of_det_are_right_at_singular_matrices(matrices):
    """Those of a * d - b * c, by hand: no difference of an svd is right where a value is 0."""
    x = leaf(matrices)
    weights, further = normal(*x.shape[:-2]), normal(*x.shape)

    def turned(a, weight):
        a, weight = np.asarray(a), np.asarray(weight)[..., None, None]
        rows = [[a[..., 1, 1], -a[..., 1, 0]], [-a[..., 0, 1], a[..., 0, 0]]]
        return weight * np.moveaxis(np.array(rows), (0, 1), (-2, -1))

    (first,) = mg.grad(np.sum(weights * np.linalg.det(x)), x, create_graph=True)
    close(first, turned(x.data, weights), atol=1e-14)
    (second,) = mg.grad(np.sum(first * further), x)
    close(second, turned(further, weights), atol=1e-13)


def test_erfc_keeps_its_digits_where_it_is_small():
    for x in (-5.0, 0.0, 0.46, 0.47, 1.0, 3.99, 4.01, 10.0, 26.0, 26.54):
        close(erfc(np.array(x)), math.erfc(x), rtol=4e-15 if x <= 26 else 1e-13, atol=0)
    x = np.arange(0, 26.5, 1 / 1024)  # its squares are exact
    close(erfc(x), np.vectorize(math.erfc)(x), rtol=4e-15, atol=0)
    assert np.isnan(erfc(np.array(np.nan))) and erfc(np.array([-np.inf, np.inf])).tolist() == [2, 0]


# ---------------------------------------------------------------------------------------- refusals

REFUSED = {
    r"cholesky of \(2, 2\): symmetric matrices are needed. Write cholesky\(": lambda x: (
        np.linalg.cholesky(x)
    ),
    r"eigh of \(2, 2\): symmetric matrices": lambda x: np.linalg.eigh(x),
    r"eigh of \(2,\): symmetric matrices": lambda x: np.linalg.eigh(x[0]),
    r"matrix_power of \(1, 2\): square matrices": lambda x: np.linalg.matrix_power(x[:1], 1),
    "cov: einsum of .*more dimensions": lambda x: np.cov(x[None]),
    "einsum of .*'ij' does not have one label": lambda x: np.einsum("ij->j", x[0, :0]),
    "einsum of .*'i' does not have one label": lambda x: np.einsum("i->i", x[:0]),
    r"flatten of \(2, 2\): axis 1 comes after axis 0": lambda x: x.flatten(1, 0),
    "full_like: broadcast_to": lambda x: np.full_like(x[0], x),
    r"svd of \(1, 2\): write full_matrices=False": lambda x: np.linalg.svd(x[:1]),
    r'qr: mode is "reduced" or "r", not \'complete\'': lambda x: np.linalg.qr(x, "complete"),
    r"norm of \(2,\): there is no order 'fro'": lambda x: np.linalg.norm(x[0], "fro"),
    r"norm of \(2, 2\): there is no order 3": lambda x: np.linalg.norm(x, 3),
    r"norm of \(2, 2\): there is no order 'nuc'": lambda x: np.linalg.norm(x, "nuc"),
    r"norm of \(1, 2, 2\): there is no order 1 over the axes": lambda x: np.linalg.norm(x[None], 1),
    r"cross of \(2, 2\) and \(2, 2\): vectors of size 3": lambda x: np.cross(x, x),
    r"tensordot of \(2, 2\) and \(1, 2\): axes 0 and 0 differ": lambda x: np.tensordot(
        x, x[:1], (0, 0)
    ),
    r"inv of \(1, 2\)": lambda x: np.linalg.inv(x[:1]),
    r"solve_matrices of \(2, 2\) and \(1, 2\)": lambda x: np.linalg.solve(x, x[:1]),
    "inv.*[Ss]ingular": lambda x: np.linalg.inv(0 * x),
    r"quantile of \(0, 2\): there are no entries": lambda x: np.median(x[:0]),
    "pad.*: mode 'maximum' has no rule": lambda x: np.pad(x, 1, "maximum"),
    "pad.*: mode 'mean' has no rule": lambda x: np.pad(x, 1, "mean"),
    r"gradient of \(1, 2\): axis 0 needs two entries": lambda x: np.gradient(x[:1]),
    "gradient: one spacing for all axes": lambda x: np.gradient(x, 1.0, 2.0, 3.0),
    "gradient: .* all of them numbers": lambda x: np.gradient(x, [0.0, 1.0], axis=0),
    r"average: weights must have shape \(2, 2\), got \(2,\)": lambda x: np.average(
        x, weights=[1.0, 2.0]
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message](leaf([[1.0, 2.0], [3.0, 4.0]]))

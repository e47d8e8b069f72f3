"""Jacobians, Hessians and products with them: closed forms, PyTorch's shapes, further derivatives."""

import numpy as np
import pytest
from helpers import close, leaf, normal

import minigrad as mg

A, x, y = normal(3, 3), mg.Tensor(normal(3, seed=1)), mg.Tensor(normal(2, 2, seed=2))


def cubic(x):
    return (x * (A @ x) * x).sum()


def cubic_hessian(v):
    """Of sum a_ij x_i^2 x_j, by hand."""
    v = v.data
    return 2 * np.diag(A @ v) + 2 * v[:, None] * A + 2 * (v[:, None] * A).T


def test_closed_forms():
    f = lambda x: np.sin(A @ x)
    J = np.cos(A @ x.data)[:, None] * A
    v, u = normal(3, seed=3), normal(3, seed=4)
    close(mg.jacobian(f, x), J)
    close(mg.jvp(f, x, v)[1], J @ v)
    close(mg.vjp(f, x, u)[1], u @ J)
    close(mg.hessian(cubic, x), cubic_hessian(x))
    close(mg.hvp(cubic, x, v)[1], cubic_hessian(x) @ v)
    close(mg.hvp(cubic, x, v)[0], cubic(x))
    close(mg.vjp(cubic, x)[1], mg.jacobian(cubic, x))
    assert not x.requires_grad and x.grad is None
    for found in (mg.jvp(f, x, v), mg.vjp(f, x, u), mg.hvp(cubic, x, v)):
        assert not any(t.requires_grad for t in found)


def test_several_inputs_and_outputs():
    f = lambda x, y: (x * y.sum(), y @ y)
    J = mg.jacobian(f, (x, y))
    assert [[t.shape for t in row] for row in J] == [[(3, 3), (3, 2, 2)], [(2, 2, 3), (2, 2, 2, 2)]]
    close(J[0][0], np.eye(3) * y.data.sum())
    assert not J[1][0].data.any()  # y @ y does not depend on x
    out, (a, b) = mg.jvp(f, (x, y), (x.data, 0 * y.data))
    close(a, x.data * y.data.sum())
    assert not b.data.any() and len(out) == 2
    H = mg.hessian(lambda x, y: (x.sum() * y * y).sum(), (x, y))
    close(H[0][1], np.broadcast_to(2 * y.data, (3, 2, 2)))
    close(H[1][1].reshape(4, 4), np.eye(4) * 2 * x.data.sum())
    assert mg.jacobian(lambda x: (x, x[:0], 3 * x[0]), x)[1].shape == (0, 3)
    assert mg.jacobian(lambda x: mg.Tensor(2.0), x).tolist() == [0, 0, 0]
    assert not mg.hessian(lambda x: x.sum(), x).data.any()


def test_results_are_recorded_with_create_graph():
    w = leaf(x.data)
    for f in (
        lambda w: (mg.jacobian(lambda w: w**3, w, create_graph=True) ** 2).sum(),
        lambda w: (mg.hessian(cubic, w, create_graph=True) ** 2).sum(),
        lambda w: (mg.hvp(cubic, w, A[0], create_graph=True)[1] ** 2).sum(),
        lambda w: (mg.jvp(lambda w: w**3, w, A[0], create_graph=True)[1] ** 2).sum(),
        lambda w: (mg.vjp(lambda w: w**3, w, A[0], create_graph=True)[1] ** 2).sum(),
    ):
        assert mg.gradcheck(f, w)
    (g,) = mg.grad(mg.vjp(lambda w: w**3, w, np.ones(3), create_graph=True)[1].sum(), w)
    close(g, 6 * x.data)
    assert not mg.jacobian(lambda w: w**3, w).requires_grad


def test_pytorchs_values():
    torch = pytest.importorskip("torch")
    functional = torch.autograd.functional
    f = lambda x, y: (x[:2] @ y, (y * y).sum() * x)
    given = torch.tensor(x.data), torch.tensor(y.data)
    for a, b in zip(mg.jacobian(f, (x, y)), functional.jacobian(f, given)):
        for p, q in zip(a, b):
            close(p, q.numpy())
    g = lambda x, y: (x[:2] @ y @ x[1:] * y).sum()
    for a, b in zip(mg.hessian(g, (x, y)), functional.hessian(g, given)):
        for p, q in zip(a, b):
            close(p, q.numpy())
    v = normal(3, seed=5), normal(2, 2, seed=6)
    twins = tuple(map(torch.tensor, v))
    for name in ("hvp", "vjp", "jvp"):
        use, vs = (g, v) if name != "jvp" else (f, v)
        if name == "vjp":
            use, vs = (lambda x, y: (x[:2] @ y, x)), (v[1][0], v[0])
            twins = tuple(map(torch.tensor, vs))
        out, found = getattr(mg, name)(use, (x, y), vs)
        expected = getattr(functional, name)(use, given, twins)[1]
        twins = tuple(map(torch.tensor, v))
        for p, q in zip(found, expected):
            close(p, q.numpy())


def test_errors():
    assert mg.jacobian(lambda x: x, np.ones(2)).tolist() == [[1, 0], [0, 1]]  # an array will do
    with pytest.raises(TypeError, match="the outputs must be Tensors, not 3"):
        mg.jacobian(lambda x: 3, x)
    with pytest.raises(ValueError, match=r"the gradient has shape \(2,\), the tensor \(3,\)"):
        mg.vjp(lambda x: x, x, np.ones(2))
    with pytest.raises(ValueError, match="2 outputs but 1 grad_outputs"):
        mg.jvp(lambda x, y: x, (x, y), np.ones(3))
    with pytest.raises(RuntimeError, match="not one entry"):
        mg.hessian(lambda x: x, x)
    with pytest.raises(TypeError, match="gradients need a float dtype"):
        mg.jacobian(lambda x: x, mg.Tensor([1, 2]))

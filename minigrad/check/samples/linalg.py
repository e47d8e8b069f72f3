"""Samples of ops/linalg.py."""

from .case import LETTERS, case, over, zero


def einsums(*rows):
    """Samples of np.einsum for operands of these shapes, the tuples, and all these subscripts."""
    shapes = [row for row in rows if isinstance(row, tuple)]
    operands = ", ".join(LETTERS[: len(shapes)])
    texts = [f"np.einsum('{row}', {operands})" for row in rows if isinstance(row, str)]
    return [case(text, *shapes) for text in texts]


samples = {
    "matmul": [
        *over("x @ y", ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 2))),
        *over("x @ y", ((1, 3), (3, 1)), ((1,), (1,)), ((1, 1), (1, 1)), ((2, 2, 3), (3, 2))),
        *over("x @ y", ((2, 3), (2, 3, 2)), ((2, 2, 3), (2, 3, 2)), ((3,), (2, 3, 2))),
        *over("x @ y", ((2, 2, 3), (3,)), ((1, 2, 3), (2, 3, 1)), ((2, 2, 3), (1, 3, 1))),
        *over("x @ y", ((2, 1, 2, 2), (3, 2, 1)), ((2, 2), (1, 2, 2, 1)), ((2, 1, 1, 2), (2,))),
        *over("x @ y", ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0,), (0,)), zero=True),
        *over("x @ y", ((0, 2, 3), (3, 1)), ((3,), (3, 0)), zero=True),
        case("x @ x", (2, 2)),
        case("x @ x.T", (2, 3)),
        case("x.T @ x", (3,)),
        case("np.matmul(x[::-1, ::2], y.T)", (2, 4), (3, 2)),
        case("x @ whole", (3, 2)),
        case("whole @ x", (2,)),
    ],
    "linear": [
        *over("linear(x, y, z)", ((2, 3), (4, 3), (4,)), ((3,), (2, 3), (2,))),
        *over("linear(x, y, z)", ((2, 2, 3), (2, 3), (2,)), ((1, 1), (1, 1), (1,))),
        *over("linear(x, y, z)", ((2, 0), (3, 0), (3,))),
        *over("linear(x, y, z)", ((0, 3), (2, 3), (2,)), ((2, 3), (0, 3), (0,)), zero=True),
        *over("linear(x, y)", ((2, 3), (4, 3)), ((2, 2, 3), (2, 3))),
        case("linear(x, y, bias=None)", (3,), (2, 3)),
        case("linear(x.T[::-1], y.T, z[::2])", (3, 2), (3, 2), (4,)),
        case("linear(x, x)", (2, 2)),
        case("linear(whole[:1, [0, 1, 1]], x, y)", (2, 3), (2,)),
    ],
    "einsum": [
        # implicit and explicit results
        *einsums((2, 3), (3, 2), "ij,jk", "ij,jk->ik", "ij, jk -> ki"),
        *einsums((2, 3), "ba", "ij->ji", "ij->", "ij->i"),
        *einsums((2,), (3,), "i,j->ij", "i,j->ji", "i,j->", "i,..."),
        *einsums((3,), (3,), "i,i"),
        *einsums((2, 3), (2, 3), "ij,ij->ij"),
        *einsums((2, 3), (4, 3), "ij,kj->i"),
        *einsums((2, 1), (1, 3), "ij,kl->"),
        # diagonals
        *einsums((3, 3), "ii", "ii->", "ii->i"),
        *einsums((2, 2, 3), "iij->j"),
        *einsums((2, 3, 2), "iji->j"),
        *einsums((2, 2, 2), "iii", "...ii->...i"),
        *einsums((2, 2), (2, 3), "ii,ij->j"),
        *einsums((2, 2), (2, 2), "ii,ii->i"),
        *einsums((2, 2, 3, 3), "iijj->ij"),
        *einsums((2, 2), (3, 3), "ii,jj"),
        # ellipses, and axes of size 1 that broadcast
        *einsums((2, 3), "...", "...i->...", "i...->..."),
        *einsums((2, 2, 3), "...ij->...ji"),
        *einsums((2, 2, 3), (3, 2), "...ij,jk->...ik", "...ij,...jk"),
        *einsums((2, 3), (3,), "...,...", "...i,i"),
        *einsums((2, 3), (2,), "i...,i..."),
        *einsums((2, 1, 3), (2, 3), "...i,...i->..."),
        *einsums((1, 2), (3, 2), "...a,...b->...ab"),
        *einsums((1, 3), (2, 3), "ij,ij->ij", "ij,ij->j"),
        # numbers, and more than two operands
        *einsums((), "->"),
        *einsums((), (), ","),
        *einsums((), (3,), ",i->i"),
        *einsums((3,), (3,), (3,), "i,i,i"),
        *einsums((2, 3), (3, 2), (2, 2), "ij,jk,kl->il"),
        *einsums((2,), (2, 3), (3,), "i,ij,j"),
        *einsums((2,), (3,), (2,), "i,j,k->ik"),
        *einsums((2, 3), (3,), (2, 2), "...i,i,...j->j..."),
        *einsums((2, 1, 2), (1, 3, 2), (3,), "...i,...i,...->..."),
        *einsums((2,), (2,), (2,), (2,), "i,i,i,i->"),
        case("np.einsum('ij,ij', x, x)", (2, 3)),
        case("np.einsum('ij,jk->ki', x.T[::-1], y[::2])", (3, 2), (6, 2)),
        case("np.einsum('ij,j->i', whole, x)", (2,)),
        zero("np.einsum('ij,jk', x, y)", (2, 0), (0, 3)),
    ],
}

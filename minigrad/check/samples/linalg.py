"""Samples of ops/linalg.py."""

SIZES = {"i": 2, "j": 3, "k": 4, "l": 2, "a": 2, "b": 3}
PLAIN = "ij,jk ij,jk->ik ba ij->ji ij-> ij->i i,j->ij i,j->ji i,j-> i,... i,i ij,ij->ij ij,kj->i"
DIAGONALS = "ii ii-> ii->i iij->j iji->j iii ...ii->...i ii,ij->j ii,ii->i iijj->ij ii,jj"
ELLIPSES = "... ...i->... i...->... ...ij->...ji ...ij,jk->...ik ...ij,...jk ...i,i i...,i..."
SEVERAL = "-> , ,i->i i,i,i ij,jk,kl->il i,ij,j i,j,k->ik i,i,i,i->"  # of numbers, or several
SUBSCRIPTS = f"{PLAIN} {DIAGONALS} {ELLIPSES} {SEVERAL}".split()


def einsum(subscripts):
    """A row of np.einsum, where each letter has its size in SIZES, and an ellipsis stands for l."""
    operands = subscripts.split("->")[0].replace("...", "l").split(",")
    shapes = [str(tuple(SIZES[letter] for letter in operand)) for operand in operands]
    return f"np.einsum('{subscripts}', *xs) | {', '.join(shapes)}"


samples = [
    "matmul: x @ y | (3,), (3,); (3,), (3, 2); (2, 3), (3,); (2, 3), (3, 2); (1, 3), (3, 1)",
    "x @ y | (1,), (1,); (1, 1), (1, 1); (2, 2, 3), (3, 2); (2, 3), (2, 3, 2); (2,), (3, 2, 1)",
    "x @ y | (2, 1, 2, 2), (3, 2, 1); (2, 2), (1, 2, 2, 1); (2, 1, 1, 2), (2,)",
    "x @ y | (0, 3), (3, 2); (2, 0), (0, 3); (0,), (0,); (0, 2, 3), (3, 1); (3,), (3, 0)",
    "x @ x; x @ x.T; x @ whole; whole @ x | (2, 2)",
    "np.matmul(x[::-1, ::2], y.T) | (2, 4), (3, 2)",
    "linear: linear(x, y, z) | (2, 3), (4, 3), (4,); (3,), (2, 3), (2,); (2, 2, 3), (2, 3), (2,)",
    "linear(x, y, z) | (1, 1), (2, 1), [0.0, 0.0]; (0, 3), (2, 3), (2,); (2, 3), (0, 3), (0,)",
    "linear(x.T[::-1], y.T, z[::2]) | (3, 2), (3, 2), (4,); (2, 1, 3, 2), (2, 2), (4,)",
    "linear(x, x) | (2, 2)",
    "linear(whole[:1, [0, 1, 1]], x, y) | (2, 3), (2,)",
    "einsum: np.einsum('ij,ij', x, x); np.einsum('ij,jk->ki', x.T[::-1], x[::2]) | (2, 2)",
    [einsum(subscripts) for subscripts in SUBSCRIPTS],
    "np.einsum('ij,j->i', whole, x) | (2,)",
    "np.einsum('ij, jk -> ki', x, y) | (2, 3), (3, 4); (2, 0), (0, 3)",
    # ellipses of several axes, and axes of size 1 that broadcast
    "np.einsum('ij,kl->', x, y) | (2, 1), (1, 3)",
    "np.einsum('ij,ij->ij', x, y); np.einsum('ij,ij->j', x, y) | (1, 3), (2, 3)",
    "np.einsum('...i,...i->...', x, y) | (2, 1, 3), (2, 3)",
    "np.einsum('...i,i,...j->j...', x, y, z) | (2, 3), (3,), (2, 2)",
    "np.einsum('...i,...i,...->...', x, y, z) | (2, 1, 2), (1, 3, 2), (3,)",
]

"""Exercise 5: the matrix product, with batches.

    out = x @ y        x (..., n, k), y (..., k, m), out (..., n, m)

The dots are axes of a batch: each index along them has its own matrix product. Write both rules.

Hint: first take one product of matrices, out_ij = sum over k of x_ik * y_kj. The slope by x_ik is
the sum over j of g_ij * y_kj. Write this sum as a matrix product of g and a transpose. Its shape
must be (n, k). Then think of batches: `y.T` reverses all axes. `np.swapaxes(y, -1, -2)` swaps only
the last two.

x and y may have batches of different shapes. NumPy then copies matrices, and the engine adds the
slopes of the copies (exercise 1).

    python -m minigrad.check examples/exercises/05_matmul.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.registry import op


@op(
    x=lambda g, out, x, y: ...,
    y=lambda g, out, x, y: ...,
)
def my_matmul(x, y):
    return x @ y


# ---- What the grader tries. Leave it as it is.

samples = {
    "my_matmul": [
        case(my_matmul, (3, 3), (3, 3)),
        case(my_matmul, (2, 3), (3, 4)),
        case(my_matmul, (5, 2, 3), (5, 3, 4)),
        case(my_matmul, (5, 2, 3), (3, 4)),
    ],
}

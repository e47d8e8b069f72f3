"""Exercise 3: softmax.

    out_i = exp(x_i) / (exp(x_1) + ... + exp(x_n))

x holds scores, and `out` holds probabilities: each row of `out` has the sum 1. A row lies along
`axis`. Write the rule of x.

Hint: one score x_i moves all probabilities out_j of its row. The slope of out_j by x_i is
out_j * (1 - out_i) for j = i, and -out_j * out_i for every other j. (Check this by the quotient
rule.) The slope of the loss by x_i is the sum over all j of g_j * (slope of out_j by x_i). Simplify
it: one sum for each row is enough, and no loop. `np.sum(a, axis=axis, keepdims=True)` keeps the
axis, so that the sum fits beside x.

    python -m minigrad.check examples/exercises/03_softmax.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.registry import op


def rule(g, out, x, axis):
    return ...


@op(x=rule)
def my_softmax(x, axis=-1):
    e = np.exp(x)
    return e / np.sum(e, axis=axis, keepdims=True)


# ---- What the grader tries. Leave it as it is.

samples = {
    "my_softmax": [
        case(my_softmax, (4,)),
        case(my_softmax, (2, 3)),
        case(my_softmax, (2, 3, 2), axis=1),
    ],
}

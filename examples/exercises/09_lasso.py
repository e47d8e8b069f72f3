"""Exercise 9: penalties that make zeros. The lasso, and the group lasso.

    l1(w) = c * (|w_1| + ... + |w_n|)
    group(w) = c * (|row_1| + ... + |row_n|)        |row| = sqrt(sum of the squares of a row)

A gradient step jumps over 0. A *proximal* step reaches it (step 7 of examples/from_scratch): it
replaces v by prox(v, t), the w that makes (sum of (w - v)^2) / 2 + t * (penalty without its c)
smallest. The number t contains c already. But `group_rule` is given c.

1. Write `l1_prox`. Each entry is alone: look for the best number w for a number v. For w > 0 the
   slope of (w - v)^2 / 2 + t * |w| is w - v + t. For which w is it 0? For which v is this w > 0?
   For w < 0 all is mirrored. For all other v, the best w is 0.
2. Write `group_rule`, the slope of the loss by each entry of w (n, k). The number g is the slope of
   the loss by the penalty. In a row of zeros, the slope is 0.
3. Write `group_prox` for v (n, k). Each row is alone. The best row w has the direction of the row
   of v, so only its length is unknown. For the length, it is task 1 again.

Hint: `lengths(w)` has the shape (n, 1), and it is never 0, so you may divide by it. For arrays,
np.sign, np.abs and np.maximum take the place of "if".

    python -m minigrad.check examples/exercises/09_lasso.py
"""

import numpy as np

from minigrad.check.samples.case import case
from minigrad.ops.penalties import penalty


def lengths(w):
    """The length of each row (n, 1). Of a row of zeros it is 1 here."""
    squares = np.sum(w * w, axis=-1, keepdims=True)
    return np.sqrt(np.where(squares == 0, 1, squares))


def l1_prox(v, t):
    return ...


def group_rule(g, c, w):
    return ...


def group_prox(v, t):
    return ...


# A penalty takes any number of weights, so its rule returns a list. Leave all below as it is.
@penalty(prox={"c": l1_prox}, w=lambda g, out, c, *w: [g * c * np.sign(each) for each in w])
def my_l1(c, *w):
    return c * sum(np.sum(np.sqrt(each * each)) for each in w)


@penalty(prox={"c": group_prox}, w=lambda g, out, c, *w: [group_rule(g, c, each) for each in w])
def my_group(c, *w):
    return c * sum(np.sum(np.sqrt(np.sum(each * each, axis=-1))) for each in w)


# ---- What the grader tries. Leave it as it is.


def l1(x):
    return my_l1(x, c=0.3)


def group(x):
    return my_group(x, c=0.3)


samples = {
    "my_l1": [case(l1, (2, 3))],
    "my_group": [case(group, (4, 3)), case(group, [[0.0, 0.0], [1.0, -2.0]])],
}

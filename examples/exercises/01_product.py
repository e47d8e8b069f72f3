"""Exercise 1: the product rule.

    out = x * y

x and y are arrays. Each entry of `out` is the product of an entry of x and an entry of y.

An op is a function and, for each argument, a rule. A rule gets g, the slope of the loss by `out`.
(The loss is computed later, from `out`. No rule needs to know how.) It also gets `out` and all
arguments. It returns the slope of the loss by its own argument. Write both rules: replace each
`...`.

Hint: let an entry of x grow by a little d. By how much does `out` grow? And by how much the loss?

x and y may have different shapes. NumPy then copies entries (step 5 of examples/from_scratch). The
engine adds the slopes of the copies. Your rules need not do it.

    python -m minigrad.check examples/exercises/01_product.py
"""

from minigrad.check.samples.case import case
from minigrad.registry import op


@op(
    x=lambda g, out, x, y: ...,
    y=lambda g, out, x, y: ...,
)
def my_product(x, y):
    return x * y


# ---- What the grader tries. Leave it as it is.


def square(x):
    return my_product(x, x)


samples = {
    "my_product": [
        case(my_product, (2, 3), (2, 3)),
        case(my_product, (3,), (2, 3)),
        case(square, (3,)),
    ],
}

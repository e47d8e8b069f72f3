"""Products: matmul in every rank combination, the affine map of a layer, einsum."""

import math
import string

import numpy as np

from ..engine import op


def flat(x):
    """x of shape (..., n) as (rows, n)."""
    return x if x.ndim == 2 else np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matrices(x, y, g=None):
    """x as rows and y as columns: a vector becomes a matrix by one more axis, in `g` likewise."""
    if g is not None:
        g = np.expand_dims(g, -1) if y.ndim == 1 else g
        g = np.expand_dims(g, -2) if x.ndim == 1 else g
    return np.expand_dims(x, 0) if x.ndim == 1 else x, np.expand_dims(y, 1) if y.ndim == 1 else y, g


def _matmul_x(g, out, x, y):
    _, columns, g = _matrices(x, y, g)
    product = np.matmul(g, np.swapaxes(columns, -1, -2))
    return np.squeeze(product, -2) if x.ndim == 1 else product


def _matmul_y(g, out, x, y):
    rows, _, g = _matrices(x, y, g)
    if y.ndim == 2:  # one matrix for the whole batch: one product, not one a batch entry
        rows, g = flat(rows), flat(g)
    product = np.matmul(np.swapaxes(rows, -1, -2), g)
    return np.squeeze(product, -1) if y.ndim == 1 else product


@op(numpy=np.matmul, x=_matmul_x, y=_matmul_y)
def matmul(x, y):
    """x @ y: vectors, matrices, and batches of matrices that broadcast."""
    try:
        return np.matmul(x, y)
    except ValueError:
        x, y = np.asarray(x), np.asarray(y)
        shapes = f"{x.shape} @ {y.shape}"
        if 0 in (x.ndim, y.ndim):
            raise ValueError(f"{shapes}: a scalar has no inner axis. Use * instead.") from None
        inner = x.shape[-1], y.shape[-2 if y.ndim > 1 else 0]
        if inner[0] != inner[1]:
            raise ValueError(f"{shapes}: inner sizes {inner[0]} and {inner[1]} differ") from None
        raise ValueError(f"{shapes}: batch axes {x.shape[:-2]} and {y.shape[:-2]} do not broadcast") from None


def _rows_dot(x, matrix):
    """x @ matrix for x (..., n): all rows in one product, by `dot`, which starts sooner than matmul."""
    return x.dot(matrix) if x.ndim == 2 else np.reshape(flat(x).dot(matrix), (*x.shape[:-1], matrix.shape[1]))


@op(
    x=lambda g, out, x, weight, bias: _rows_dot(g, weight),
    weight=lambda g, out, x, weight, bias: flat(g).T.dot(flat(x)),
    bias=lambda g, out, x, weight, bias: flat(g).sum(axis=0),
)
def linear(x, weight, bias=None):
    """The affine map x @ weight.T + bias: x (..., n_in), weight (n_out, n_in), bias (n_out,), result (..., n_out)."""
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x {x.shape} and weight {weight.shape}: the last axis of x and the last of weight (n_out, n_in) must agree")
    out = _rows_dot(x, weight.T)
    if bias is not None:
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"bias {bias.shape} and weight {weight.shape}: the bias must have shape {weight.shape[:1]}")
        return np.add(out, bias, out=out if out.dtype == bias.dtype else None)
    return out


def _explicit(subscripts, operands):
    """([labels of each operand], labels of the result): no spaces, no ellipsis, nothing implied."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"{subscripts!r} names {len(terms)} operands, got {len(operands)}")
    free = [c for c in string.ascii_letters if c not in subscripts]
    extra = [np.ndim(x) - len(t.replace("...", "")) for t, x in zip(terms, operands)]
    widest = "".join(free[: max((n for t, n in zip(terms, extra) if "..." in t), default=0)])
    if not arrow:
        letters = inputs.replace("...", "").replace(",", "")
        output = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    terms = [t.replace("...", widest[len(widest) - n :]) for t, n in zip(terms, extra)]
    return terms, output.replace("...", widest)


def _einsum_rule(g, out, i, subscripts, *operands):
    """Also an einsum: the cotangent takes the place of operand i, whose labels become the result's.

    A label that operand i alone has (or has at full size) was summed away: a vector of ones brings it back. A label that it has
    twice took a diagonal: an identity matrix puts it back.
    """
    terms, output = _explicit(subscripts, operands)
    x = operands[i]
    inputs = [output, *terms[:i], *terms[i + 1 :]]
    factors = [g, *operands[:i], *operands[i + 1 :]]
    sizes = {label: n for term, factor in zip(inputs, factors) for label, n in zip(term, np.shape(factor)) if n != 1}
    free = (c for c in string.ascii_letters if c not in "".join(terms) + output)
    wanted = ""
    for axis, label in enumerate(terms[i]):
        if label in terms[i][:axis]:
            twin = next(free)
            inputs.append(label + twin)
            factors.append(np.eye(x.shape[axis], dtype=x.dtype))
            label = twin
        elif sizes.get(label) != x.shape[axis]:
            inputs.append(label)
            factors.append(np.ones(x.shape[axis], x.dtype))
        wanted += label
    return np.einsum(",".join(inputs) + "->" + wanted, *factors)


@op(numpy=np.einsum, operands=_einsum_rule)
def einsum(subscripts, *operands):
    """np.einsum with subscripts as a string: implicit or explicit, with ellipses and repeated labels."""
    if not isinstance(subscripts, str):
        raise TypeError("the subscripts must be a string")
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)

"""Products: matmul of vectors, matrices and batches, the affine map of a layer, einsum."""

import math
from functools import lru_cache

import numpy as np

from ..registry import Each, op
from ..types import Operand

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # for the axes of einsum


def flat(x):
    """x of shape (..., n) as (rows, n)."""
    return x if x.ndim == 2 else np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matrices(x, y, g):
    """x as rows, y as columns, and g with the same axes: each vector gets one more axis."""
    if y.ndim == 1:
        y, g = np.expand_dims(y, 1), np.expand_dims(g, -1)
    if x.ndim == 1:
        x, g = np.expand_dims(x, 0), np.expand_dims(g, -2)
    return x, y, g


def _matmul_x(g, out, x, y):
    _, columns, g = _matrices(x, y, g)
    product = np.matmul(g, np.swapaxes(columns, -1, -2))
    return np.squeeze(product, -2) if x.ndim == 1 else product


def _matmul_y(g, out, x, y):
    rows, _, g = _matrices(x, y, g)
    if y.ndim == 2:  # one matrix for the whole batch: one product is enough
        rows, g = flat(rows), flat(g)
    product = np.matmul(np.swapaxes(rows, -1, -2), g)
    return np.squeeze(product, -1) if y.ndim == 1 else product


@op(numpy=np.matmul, x=_matmul_x, y=_matmul_y)
def matmul(x, y: Operand):
    """x @ y: vectors, matrices, and batches of matrices that broadcast."""
    try:
        return np.matmul(x, y)
    except ValueError as error:
        shapes = f"{np.shape(x)} @ {np.shape(y)}"
        if 0 in (np.ndim(x), np.ndim(y)):
            raise ValueError(f"{shapes}: a scalar has no inner axis. Use * instead.") from None
        inner = np.shape(x)[-1], np.shape(y)[-2:][0]
        differ = f"inner sizes {inner[0]} and {inner[1]} differ" if inner[0] != inner[1] else error
        raise ValueError(f"{shapes}: {differ}") from None


def _rows_dot(x, matrix):
    """x @ matrix for x (..., n), as one product of all rows. `dot` starts faster than matmul."""
    if x.ndim == 2:
        return np.dot(x, matrix)
    return np.reshape(np.dot(flat(x), matrix), (*x.shape[:-1], matrix.shape[1]))


@op(
    x=lambda g, out, x, weight, bias: _rows_dot(g, weight),
    weight=lambda g, out, x, weight, bias: np.dot(flat(g).T, flat(x)),
    bias=lambda g, out, x, weight, bias: flat(g).sum(axis=0),
)
def linear(x: Operand, weight: Operand, bias: Operand | None = None):
    """The affine map x @ weight.T + bias.

    x (..., n_in), weight (n_out, n_in), bias (n_out,) or None; the result is (..., n_out). Raises
    ValueError if these shapes do not agree.
    """
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        shapes = f"x {x.shape} and weight {weight.shape}"
        raise ValueError(f"{shapes}: the last axis of x and weight (n_out, n_in) must agree")
    out = _rows_dot(x, weight.T)
    if bias is None:
        return out
    if bias.ndim > 1:
        raise ValueError(f"weight {weight.shape} needs a bias {weight.shape[:1]}, not {bias.shape}")
    return np.add(out, bias, out=out if out.dtype == bias.dtype else None)


@lru_cache
def _explicit(subscripts, *ndims):
    """(labels of each operand, labels of the result) for operands with these numbers of axes.

    The labels have no spaces and no ellipsis, and the result is always given.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    free = [c for c in LETTERS if c not in subscripts]
    extra = [n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True)]
    for labels, n in zip(terms, extra):
        if n < 0 or n and "..." not in labels:
            raise ValueError(f"{labels!r} does not have one label for each axis")
    widest = "".join(free[: max((n for t, n in zip(terms, extra) if "..." in t), default=0)])
    if not arrow:
        letters = inputs.replace("...", "").replace(",", "")
        output = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    terms = [t.replace("...", widest[len(widest) - n :]) for t, n in zip(terms, extra)]
    return terms, output.replace("...", widest)


def _sizes(terms, operands):
    """{label: size} of the labels whose size is not 1. Raises ValueError if two sizes differ."""
    sizes = {}
    for labels, x in zip(terms, operands):
        for label, n in zip(labels, np.shape(x)):
            if n != 1 and sizes.setdefault(label, n) != n:
                raise ValueError(f"label {label!r} has the sizes {sizes[label]} and {n}")
    return sizes


def _einsum_cotangent(i, g, subscripts, operands):
    """The cotangent of operand i. It is an einsum too, in which g replaces the operand.

    The labels of the operand become the labels of the result. If no other factor has a label, or
    only at size 1, then einsum sums over it: ones spread the cotangent along its axis. If the
    operand has a label twice, then einsum takes a diagonal: the identity puts the cotangent on it.
    """
    terms, output = _explicit(subscripts, *map(np.ndim, operands))
    x, others = operands[i], range(len(operands))
    inputs = [output, *(terms[k] for k in others if k != i)]
    factors = [g, *(operands[k] for k in others if k != i)]
    sizes, free = _sizes(inputs, factors), (c for c in LETTERS if c not in "".join(terms))
    labels = ""
    for label, n in zip(terms[i], x.shape):
        if label in labels:
            same, label = label, next(free)
            inputs.append(same + label)
            factors.append(np.eye(n, dtype=g.dtype))
        elif sizes.get(label) != n:
            inputs.append(label)
            factors.append(np.ones(n, g.dtype))
        labels += label
    return einsum(",".join(inputs) + "->" + labels, *factors)


def _einsum_rule(g, out, subscripts, *operands):
    return Each(lambda i: _einsum_cotangent(i, g, subscripts, operands), range(len(operands)))


@op(operands=_einsum_rule)
def einsum(subscripts, *operands):
    """np.einsum with a string of subscripts: implicit or explicit, ellipses, repeated labels."""
    if not isinstance(subscripts, str):
        raise TypeError("the subscripts must be a string")
    products = math.prod(map(np.size, operands))
    if products == 0:  # np.einsum can write beyond the end of an empty result
        terms, output = _explicit(subscripts, *map(np.ndim, operands))
        sizes = _sizes(terms, operands)
        return np.zeros([sizes.get(label, 1) for label in output], np.result_type(*operands))
    is_large = products > 2**20  # then a plan and BLAS save time
    return np.einsum(subscripts, *operands, optimize=is_large)

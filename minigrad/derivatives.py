"""Derivatives of functions, as torch.autograd.functional has them. They are readers of `grad`.

func          takes Tensors, and returns a Tensor or a tuple of them
inputs        a Tensor or a tuple of them, of float dtypes
v             a vector: arrays or Tensors of the shapes of the inputs or of the outputs. It may be
              left out where there is one number
create_graph  True: the results are recorded as functions of the inputs, for further derivatives

For a tuple of inputs or outputs the results are tuples too. An output that does not depend on an
input has the derivative 0. All functions raise TypeError for inputs and outputs that are no
Tensors, and ValueError for vectors of other shapes.
"""

import numpy as np

from .array import data_of
from .engine import Tensor, grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vjp"]


def _several(name, what, x):
    """x as a tuple of Tensors."""
    xs = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    for t in xs:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: the {what} must be Tensors, not {t!r:.60}.")
    return xs


def _called(name, func, inputs, create_graph):
    """(leaves for the inputs, the outputs). With create_graph, the inputs stay in their graphs."""
    xs = _several(name, "inputs", inputs)
    xs = [+x if create_graph and x.requires_grad else Tensor(x.data, True) for x in xs]
    out = func(*xs)
    return xs, out, _several(name, "outputs", out)


def _vectors(name, v, like):
    """v as a list of arrays or Tensors of these shapes. Without v, 1 for one number."""
    if v is None and [x.size for x in like] == [1]:
        return [np.ones(like[0].shape, like[0].dtype)]
    vs = list(v) if isinstance(v, (tuple, list)) else [v]
    if [np.shape(data_of(u)) for u in vs] != [x.shape for x in like]:
        given = [u if u is None else np.shape(data_of(u)) for u in vs]
        raise ValueError(f"{name}: v needs the shapes {[x.shape for x in like]}, got {given}.")
    return vs


def _pulled(ys, vectors, xs, create_graph):
    """The sum over the outputs of vector times Jacobian, for each input."""
    pairs = [(y, v) for y, v in zip(ys, vectors) if y.requires_grad]
    found = [None] * len(xs)
    if pairs:
        outputs, weights = map(list, zip(*pairs))
        found = grad(outputs, xs, weights, True, create_graph, allow_unused=True)
    return tuple(Tensor(np.zeros_like(x.data)) if g is None else g for x, g in zip(xs, found))


def _like(given, results, create_graph=True):
    """The results as `given` was: one Tensor or a tuple."""
    results = tuple(results if create_graph else (t.detach() for t in results))
    return results if isinstance(given, (tuple, list)) else results[0]


def vjp(func, inputs, v=None, create_graph=False):
    """(outputs, v times the Jacobian): one pass back.

    >>> x = Tensor([1.0, 2.0])
    >>> vjp(lambda x: x * x, x, [1.0, 10.0])
    (Tensor([1., 4.]), Tensor([ 2., 40.]))
    """
    xs, out, ys = _called("vjp", func, inputs, create_graph)
    products = _pulled(ys, _vectors("vjp", v, ys), xs, create_graph)
    return _like(out, ys, create_graph), _like(inputs, products)


def jvp(func, inputs, v=None, create_graph=False):
    """(outputs, the Jacobian times v): the derivative along v.

    u times the Jacobian is linear in u. Its derivative by u along v is the Jacobian times v
    (Townsend 2017).
    """
    xs, out, ys = _called("jvp", func, inputs, create_graph)
    vs = _vectors("jvp", v, xs)
    us = [Tensor(np.zeros_like(y.data), True) for y in ys]
    products = _pulled(_pulled(ys, us, xs, True), vs, us, create_graph)
    return _like(out, ys, create_graph), _like(out, products)


def hvp(func, inputs, v=None, create_graph=False):
    """(output, the Hessian times v) of a func that returns one number (Pearlmutter 1994)."""
    xs, out, ys = _called("hvp", func, inputs, create_graph)
    slopes = _pulled(ys, _vectors("hvp", None, ys), xs, True)
    products = _pulled(slopes, _vectors("hvp", v, xs), xs, create_graph)
    return _like(out, ys, create_graph), _like(inputs, products)


def jacobian(func, inputs, create_graph=False):
    """The derivative of each output by each input: (*output.shape, *input.shape).

    It takes one pass back for each entry of the outputs.
    """
    xs, out, ys = _called("jacobian", func, inputs, create_graph)
    rows = []
    for y in ys:
        unit = np.eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape)
        slopes = [_pulled([y], [u], xs, create_graph) for u in unit]
        columns = zip(*slopes) if slopes else [[np.zeros((0, *x.shape), x.dtype)] for x in xs]
        shapes = [(*y.shape, *x.shape) for x in xs]
        rows.append(_like(inputs, [np.reshape(np.stack(c), s) for c, s in zip(columns, shapes)]))
    return _like(out, rows)


def hessian(func, inputs, create_graph=False):
    """The second derivatives of a func that returns one number: (*input.shape, *input.shape).

    For a tuple of inputs it is a tuple of tuples, one for each pair of inputs.

    >>> hessian(lambda x: (x**3).sum(), Tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
           [ 0., 12.]])
    """

    def slope(*xs):
        ys = _several("hessian", "outputs", func(*xs))
        return _like(inputs, _pulled(ys, _vectors("hessian", None, ys), xs, True))

    return jacobian(slope, inputs, create_graph)

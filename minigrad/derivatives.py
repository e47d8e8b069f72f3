"""Derivatives of functions, as in torch.autograd.functional. They call `grad`.

func          takes Tensors, and returns a Tensor or a tuple of them
inputs        a Tensor or an array of floats, or a tuple of them
v             a vector: an array or Tensor of the shape of the input or of the output, or a tuple of
              them. It may be None if this input or output is one number
create_graph  True: the results are recorded as functions of the inputs, for further derivatives

For a tuple of inputs or outputs the results are tuples too. An output that does not depend on an
input has the derivative 0. All functions raise TypeError for inputs that are not floats and outputs
that are not Tensors, ValueError for vectors of other shapes, and RuntimeError for a missing vector.
"""

import numpy as np

from . import errors
from .array import data_of
from .engine import Tensor, grad, wants_gradient

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vjp"]


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _like(given, results):
    """The results as a tuple if `given` is one, else the only result."""
    return tuple(results) if isinstance(given, (tuple, list)) else results[0]


def _values(out, create_graph):
    """The outputs, with their graph only if create_graph is True."""
    return out if create_graph else _like(out, [y.detach() for y in _tuple(out)])


def _called(func, inputs, create_graph):
    """(leaves for the inputs, the outputs). With create_graph the inputs keep their graphs."""
    joined = [create_graph and wants_gradient(x) for x in _tuple(inputs)]
    xs = [+x if j else Tensor(data_of(x), True) for x, j in zip(_tuple(inputs), joined)]
    out = func(*xs)
    if others := [y for y in _tuple(out) if not isinstance(y, Tensor)]:
        raise TypeError(f"derivatives: the outputs must be Tensors, not {others[0]!r:.60}.")
    return xs, out


def pulled(ys, vectors, xs, create_graph=False):
    """The sum over the outputs of vector times Jacobian, for each input."""
    ys, vectors, found = _tuple(ys), _tuple(vectors), [None] * len(xs)
    if len(ys) != len(vectors):
        raise errors.wrong_count(ys, vectors)
    pairs = [(y, v) for y, v in zip(ys, vectors) if y.requires_grad]
    if xs and pairs:
        outputs, vectors = zip(*pairs)
        found = grad(list(outputs), xs, list(vectors), True, create_graph, allow_unused=True)
    return tuple(Tensor(np.zeros_like(x.data)) if g is None else g for x, g in zip(xs, found))


def vjp(func, inputs, v=None, create_graph=False):
    """(outputs, v times the Jacobian), by one backward pass. Arguments: see `minigrad.derivatives`.

    >>> x = Tensor([1.0, 2.0])
    >>> vjp(lambda x: x * x, x, np.array([1.0, 10.0]))[1]
    Tensor([ 2., 40.])
    """
    xs, out = _called(func, inputs, create_graph)
    return _values(out, create_graph), _like(inputs, pulled(out, v, xs, create_graph))


def jvp(func, inputs, v=None, create_graph=False):
    """(outputs, the Jacobian times v): the derivative along v.

    Arguments: see `minigrad.derivatives`. u times the Jacobian is linear in u. Its derivative by u
    along v is the Jacobian times v.
    """
    xs, out = _called(func, inputs, create_graph)
    us = [Tensor(np.zeros_like(y.data), True) for y in _tuple(out)]
    slopes = pulled(out, us, xs, True)
    return _values(out, create_graph), _like(out, pulled(slopes, v, us, create_graph))


def hvp(func, inputs, v=None, create_graph=False):
    """(output, the Hessian times v) of a func that returns one number (Pearlmutter 1994).

    Arguments: see `minigrad.derivatives`.
    """
    xs, out = _called(func, inputs, create_graph)
    slopes = pulled(out, None, xs, True)
    return _values(out, create_graph), _like(inputs, pulled(slopes, v, xs, create_graph))


def jacobian(func, inputs, create_graph=False):
    """The derivative of each output by each input: (*output.shape, *input.shape).

    It takes one backward pass for each entry of the outputs. Arguments: see `minigrad.derivatives`.
    """
    xs, out = _called(func, inputs, create_graph)
    rows = []
    for y in _tuple(out):
        units = np.eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape)
        slopes = [pulled(y, unit, xs, create_graph) for unit in units]
        columns = [np.stack(c) for c in zip(*slopes)] or [Tensor(np.zeros(0))] * len(xs)
        shapes = [(*y.shape, *x.shape) for x in xs]
        rows.append(_like(inputs, [np.reshape(c, shape) for c, shape in zip(columns, shapes)]))
    return _like(out, rows)


def hessian(func, inputs, create_graph=False):
    """The second derivatives of a func that returns one number: (*input.shape, *input.shape).

    For a tuple of inputs it is a tuple of tuples. Arguments: see `minigrad.derivatives`.

    >>> hessian(lambda x: (x**3).sum(), Tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def slope(*xs):
        return _like(inputs, pulled(func(*xs), None, xs, True))

    return jacobian(slope, inputs, create_graph)

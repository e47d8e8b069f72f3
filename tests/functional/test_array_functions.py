"""Picking, splitting, and the dtypes of linear maps: as in NumPy."""

import math

import numpy as np
import pytest
from helpers import leaf, normal, pulled

import minigrad as mg
from minigrad import functional as F
from minigrad.graph import nodes


@pytest.mark.parametrize(
    "f, indices, settings",
    [
        (np.take, (0, 0), {"axis": 0}),
        (np.take, [[1, 0], [1, 1]], {"axis": -1}),
        (np.take, (5, 0, 0), {}),
        (np.take_along_axis, np.array([[1], [0], [1]]), {"axis": 1}),
        (np.take_along_axis, np.array([[2, 2]]), {"axis": 0}),
        (np.take_along_axis, np.array([[2]]), {"axis": 0}),  # broadcasts over the columns
        (np.take_along_axis, np.array([5, 5, 1]), {"axis": None}),
    ],
)
def test_picking_is_numpys(f, indices, settings):
    x, numbered = normal(3, 2), np.arange(6).reshape(3, 2)
    chosen = f(numbered, indices, **settings)
    y = f(leaf(x), indices, **settings)
    np.testing.assert_array_equal(y.data, x.ravel()[chosen])
    _, (gradient,) = pulled(lambda x: f(x, indices, **settings), x, cotangent=np.ones(y.shape))
    np.testing.assert_array_equal(gradient, np.bincount(chosen.ravel(), minlength=6).reshape(3, 2))


@pytest.mark.parametrize(
    "error, text, call",
    [
        (ValueError, "take: axis 2 is out of bounds", lambda x: np.take(x, [0], axis=2)),
        (ValueError, "take: axis 0 is out of bounds", lambda x: np.take(x[0, 0], [0], axis=0)),
        (
            TypeError,
            "take: indices .* must be of an integer dtype, not bool",
            lambda x: np.take(x, [True, False]),
        ),
        (
            TypeError,
            "take_along_axis: indices .* must be of an integer dtype",
            lambda x: np.take_along_axis(x, np.ones((3, 2)), 0),
        ),
        (
            ValueError,
            "take_along_axis: x .* equal numbers of axes",
            lambda x: np.take_along_axis(x, np.array([0]), 0),
        ),
        (
            ValueError,
            "take_along_axis: axis 2 is out of bounds",
            lambda x: np.take_along_axis(x, np.array([[0]]), 2),
        ),
        (ValueError, "split: axis -3 is out of bounds", lambda x: np.split(x, 1, axis=-3)),
        (
            ValueError,
            "split: 0 equal parts do not divide an axis of size 3",
            lambda x: np.split(x, 0),
        ),
        (
            ValueError,
            "split: -1 equal parts do not divide an axis of size 3",
            lambda x: np.split(x, -1),
        ),
    ],
)
def test_picking_and_splitting_refuse_shapes_that_do_not_fit(error, text, call):
    with pytest.raises(error, match=text):
        call(leaf(normal(3, 2)))


@pytest.mark.parametrize(
    "shape, parts",
    [((0, 2), 2), ((4,), np.int64(2)), ((4,), [1, 3]), ((4,), np.array([2, 9]))],
    ids=str,
)
def test_splitting_is_numpys(shape, parts):
    x = normal(*shape)
    for ours, numpys in zip(np.split(leaf(x), parts), np.split(x, parts), strict=True):
        np.testing.assert_array_equal(ours.data, numpys)


@pytest.mark.parametrize("values", [[1, 2, 3], [True, False, True]])
def test_whole_numbers_are_computed_as_floats(values):
    x = np.array(values)
    np.testing.assert_array_equal(
        F.dropout(mg.Tensor(x), 0.5, True, mask=[1, 0, 1]).data, 2.0 * x * [1, 0, 1]
    )
    np.testing.assert_allclose(
        F.logsumexp(mg.Tensor(x.astype(int)), 0).data, np.log(np.sum(np.exp(1.0 * x)))
    )


def test_a_linear_map_takes_the_widest_dtype():
    x, weight, bias = np.ones((1, 2), int), np.ones((3, 2), int), np.array([0.5, 1.5, 2.5])
    for a, w, b in ((x, weight, bias), (x.astype(np.float32), weight.astype(np.float32), bias)):
        out = F.linear(mg.Tensor(a), w, b)
        assert out.dtype == np.float64 and out.tolist() == [[2.5, 3.5, 4.5]]


@pytest.mark.parametrize("parts", [1, 8, 9, 17, 64, 500])
def test_a_split_into_many_parts_is_cut_by_halves(parts):
    """All slices together, and so backward, take parts * log(parts) entries, not parts^2."""
    x = leaf(normal(2, 3 * parts))
    pieces = np.split(x, parts, axis=1)
    for mine, theirs in zip(pieces, np.split(x.data, parts, axis=1), strict=True):
        np.testing.assert_array_equal(mine.data, theirs)
    (gradient,) = mg.grad(sum(i * np.sum(p) for i, p in enumerate(pieces)), x, retain_graph=True)
    np.testing.assert_array_equal(gradient.data[1], np.repeat(np.arange(parts), 3))
    slices = [node for node in nodes(pieces) if node.args]
    given = sum(node.args[0].size for node in slices)  # what backward fills with zeros
    assert given <= x.size * (8 + 2 * math.log2(parts))


@pytest.mark.parametrize("f", [np.tril, np.triu])
def test_a_number_has_no_triangle(f):
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        f(leaf(3.0))

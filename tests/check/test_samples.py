"""The rows of the sample tables: the function that they call, their names, the inputs that they
draw.
"""

import numpy as np
import pytest

from minigrad.check.samples import samples
from minigrad.check.samples.case import binary, case, cases, flat, unary


def test_a_text_is_called_with_its_inputs_and_settings():
    sample = case("np.roll(x, k) + y", (2, 3), [1.0], k=1)
    x, y = sample.inputs()
    assert x.shape == (2, 3) and y.tolist() == [1.0]
    assert np.array_equal(sample.call(x, y), np.roll(x, 1) + 1)
    assert str(sample) == sample.name == "np.roll(x, k) + y | (2, 3), [1.0] | k=1"
    (values,) = case("x", np.array([[0.5, -1.0]])).inputs()
    assert values.tolist() == [[0.5, -1.0]]


def test_a_function_is_called_with_its_inputs_and_settings():
    def scaled(x, y, c):
        return c * x - y

    sample = case(scaled, (2,), (2,), c=3.0)
    x, y = sample.inputs()
    assert np.array_equal(sample.call(x, y), 3 * x - y)
    assert sample.name == "scaled(*xs, c=c) | (2,), (2,) | c=3.0"
    assert case(lambda x: x + 1, (2,)).call(1) == 2
    assert case(lambda v, *, k: v * k, (2,), k=3).name == "f(*xs, k=k) | (2,) | k=3"
    several = case(lambda *v: v[0] - v[1], (), ())
    assert several.name == "f(*xs) | (), ()" and several.call(3, 1) == 2


@pytest.mark.parametrize("f, call", [("np.exp", "np.exp"), (np.exp, "exp"), (lambda x: x, "f")])
def test_sweeps_take_a_function_or_its_text(f, call):
    names = [sample.name for sample in unary(f)]
    assert names[0] == f"{call}(x) | (2, 3)" and f"{call}(x.T[::-1, ::2]) | (5, 2)" in names
    assert all(np.all(np.isfinite(sample.call(*sample.inputs()))) for sample in unary(f))
    assert len(binary("np.add")) == len({sample.name for sample in binary("np.add")}) == 17


def test_one_row_of_several_samples():
    def names(row, **settings):
        return [sample.name for sample in cases(row, **settings)]

    assert names("x; -x | (3,)") == ["x | (3,)", "-x | (3,)"]
    assert names("x + c | ()", c=[1, 2]) == ["x + c | () | c=1", "x + c | () | c=2"]
    assert names("x | (2, 3); [1.0]; apart(2)") == ["x | (2, 3)", "x | [1.0]", "x | apart(2)"]
    assert names("x @ y | (3,), (3, 1); (), ()") == ["x @ y | (3,), (3, 1)", "x @ y | (), ()"]
    assert len(names("x; -x | (3,); ()", a=[1, 2], b=[1, 2, 3])) == 24
    assert [s.op for s in cases("neg: x; -x | (2, 3)")] == ["neg", None]


def test_sweeps_draw_their_inputs_where_they_are_told_to():
    drawn = binary("np.add", "apart", "within(1.2, 1.8)", number=7)
    assert drawn[0].op == "add" and drawn[0].given == "apart(2, 3), within(1.2, 1.8)(2, 3)"
    assert all(1.2 <= y <= 1.8 for y in drawn[0].inputs()[1].flat)
    assert drawn[-1].name == "np.add(7, x) | apart(2, 2)"


def test_a_table_may_nest_its_rows():
    rows = ["x | (3,)", [case("-x", (3,)), ["x; y | (), ()"]], unary("np.exp")]
    calls = [sample.name.split(" | ")[0] for sample in flat(rows)]
    assert calls[:5] == ["x", "-x", "x", "y", "np.exp(x)"]
    assert len(flat(rows)) == 4 + 7


def test_inputs_depend_on_the_name_and_lie_where_the_row_says():
    first, again, other = case("x", (50,)), case("x", (50,)), case("x + 0", (50,))
    assert np.array_equal(first.inputs(), again.inputs())
    assert not np.array_equal(first.inputs(), other.inputs())
    near, far = case("x", "positive(100)").inputs()[0], case("x", "apart(4, 5)").inputs()[0]
    assert near.min() >= 0.3 and near.max() <= 2.0
    entries = np.append(far, 0.0)
    gaps = abs(entries[:, None] - entries) + np.eye(len(entries))
    assert gaps.min() > 0.09


def test_drawn_inputs_have_whole_entries_where_rules_may_branch():
    def wholes(draw):
        (x,) = case("x", draw).inputs()
        return sorted(x[x == np.round(x)].tolist())

    assert wholes((6,)) == wholes("within(-1, 1)(9)") == [0, 1, 1]
    assert wholes("small(6)") == [0] and wholes("positive(3)") == [1, 1]
    assert len(wholes((2,))) == 1 and wholes((1,)) == wholes((0,)) == wholes("apart(6)") == []


def test_a_row_that_is_no_expression_is_refused_where_it_is_written():
    with pytest.raises(SyntaxError):
        case("x +", (2,))


def test_no_op_has_two_samples_of_one_name():
    for name, rows in samples.items():
        assert len({sample.name for sample in rows}) == len(rows), name

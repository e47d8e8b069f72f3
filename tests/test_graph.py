"""A recorded graph as a program: order, replay, resampling, copies."""

import numpy as np
import pytest
from helpers import all_random_states, assert_linear, leaf, positive_leaf
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import functional as F
from minigrad import registry
from minigrad.graph import copy, evaluate, nodes


@pytest.fixture
def forwards(monkeypatch):
    """The names of the ops whose forwards ran, in order."""
    ran = []
    for op in registry.ops.values():
        monkeypatch.setattr(
            op, "forward", lambda *args, f=op.forward, name=op.name: (ran.append(name), f(*args))[1]
        )
    return ran


# -------------------------------------------------------------------------------------------- nodes

BINARY = [np.add, np.multiply, np.subtract, np.maximum]
UNARY = [np.sin, np.tanh, np.negative]


@st.composite
def graphs(draw):
    """(leaves, recipe). A line of the recipe has a function and the numbers of earlier tensors."""
    leaves = draw(st.integers(1, 3))
    recipe = []
    for made in range(leaves, leaves + draw(st.integers(1, 25))):
        earlier = st.integers(0, made - 1)
        recipe.append(
            draw(
                st.one_of(
                    st.tuples(st.sampled_from(BINARY), earlier, earlier),
                    st.tuples(st.sampled_from(UNARY), earlier),
                )
            )
        )
    return leaves, recipe


def built(leaves, recipe):
    made = list(leaves)
    for function, *inputs in recipe:
        made.append(function(*(made[i] for i in inputs)))
    return made


def reachable(root):
    found, stack = {}, [root]
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack += [a for a in node.args if isinstance(a, mg.Tensor)]
    return found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_nodes_is_a_topological_order_of_all_reachable_nodes(graph):
    n, recipe = graph
    root = built([positive_leaf(2, seed=i) for i in range(n)], recipe)[-1]
    order = nodes(root)
    place = {id(node): i for i, node in enumerate(order)}
    assert place.keys() == reachable(root).keys() and len(order) == len(place)
    assert order[-1] is root
    assert all(
        place[id(a)] < place[id(node)]
        for node in order
        for a in node.args
        if isinstance(a, mg.Tensor)
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_replay_at_other_values_equals_building_the_graph_there(graph):
    n, recipe = graph
    leaves, others = (
        [positive_leaf(2, seed=i) for i in range(n)],
        [positive_leaf(2, seed=i + 50) for i in range(n)],
    )
    root, expected = built(leaves, recipe)[-1], built(others, recipe)[-1]
    used = {id(node) for node in nodes(root)}
    values = {x: y.data for x, y in zip(leaves, others) if id(x) in used}
    assert np.array_equal(mg.replay(root, values).data, expected.data)


def test_nodes_of_a_leaf_is_the_leaf():
    x = positive_leaf(2)
    assert len(nodes(x)) == 1 and nodes(x)[0] is x


def test_nodes_takes_several_roots():
    x = positive_leaf(2)
    y, z = np.sin(x), np.cos(x)
    assert [n.order for n in nodes([y, z])] == [x.order, y.order, z.order]


def test_nodes_has_the_noise_and_the_constants_too():
    y = F.dropout(positive_leaf(3), 0.5, training=True) * mg.Tensor([1.0, 2.0, 3.0])
    assert sum(isinstance(n, mg.Noise) for n in nodes(y)) == 1
    assert len(nodes(y)) == 5  # x, noise, dropout, the constant, the product


def chain(length):
    """(x, y): y is x after so many pairs of ops."""
    x = y = leaf(0.5)
    for _ in range(length):
        y = -(y + 0.0)
    return x, y


def test_a_chain_of_40_000_ops_is_walked_without_recursion():
    x, y = chain(20_000)
    assert len(nodes(y)) == 40_001
    assert mg.replay(y, {x: 0.25}).item() == 0.25
    assert copy(nodes(y))[y.order].item() == 0.5


def test_the_cost_of_a_walk_grows_with_the_nodes_and_not_with_their_square():
    def walks(length):
        x, y = chain(length)
        return lambda: (nodes(y), mg.replay(y, {x: 0.25}), copy(nodes(y)))

    assert_linear(walks, 1000)


# ------------------------------------------------------------------------------------------- replay


def model(x, w, b):
    return np.sum(np.tanh(x @ w + b) ** 2) + F.l2_penalty(w, c=0.1)


def test_replay_equals_recomputation():
    x, w, b = positive_leaf(4, 3), positive_leaf(3, 2, seed=1), positive_leaf(2, seed=2)
    loss = model(x, w, b)
    other = positive_leaf(3, 2, seed=9)
    assert mg.replay(loss, {w: other.data}).item() == model(x, other, b).item()
    assert mg.replay(loss, {w: other}).item() == model(x, other, b).item()  # a Tensor will do
    assert mg.replay(loss, {x: np.zeros((4, 3)), w: np.zeros((3, 2)), b: [0.0, 0.0]}).item() == 0.0


def test_replay_without_values_is_the_value_itself():
    loss = model(positive_leaf(4, 3), positive_leaf(3, 2), positive_leaf(2))
    assert mg.replay(loss).item() == loss.item()


def test_the_result_of_replay_is_plain_data_of_its_own():
    y = positive_leaf(3) * 2
    before = y.data.copy()
    again = mg.replay(y)
    assert not again.requires_grad and again.is_leaf
    again.data[...] = 7
    assert np.array_equal(y.data, before)


def test_replay_holds_the_noise():
    x = positive_leaf(50)
    y = F.dropout(x, 0.5, training=True)
    kept = y.data != 0
    assert 0 < kept.sum() < 50
    assert np.array_equal(mg.replay(y, {x: np.ones(50)}).data, 2.0 * kept)
    assert np.array_equal(mg.replay(y, {x: np.ones(50)}).data, 2.0 * kept)


def test_replay_takes_a_mask_for_the_noise():
    y = F.dropout(positive_leaf(3) * 0 + 1, 0.75, training=True)
    (noise,) = [n for n in nodes(y) if isinstance(n, mg.Noise)]
    assert mg.replay(y, {noise: [True, False, True]}).tolist() == [4.0, 0.0, 4.0]


def test_replay_keeps_the_dtype_of_the_leaf():
    x = positive_leaf(3, dtype=np.float32)
    assert mg.replay(np.exp(x), {x: np.ones(3)}).dtype == np.float32


def test_replay_records_nothing_and_changes_nothing():
    x, w = positive_leaf(4, 3), positive_leaf(3, 2, seed=1)
    y = F.dropout(x @ w, 0.5, training=True)
    (np.sum(y) * 1).backward(retain_graph=True)
    before = [(n, n.data, n.data.copy(), n.grad, n.args, n.order, n.op) for n in nodes(y)]
    gradients = x.grad.data.copy(), w.grad.data.copy()
    states, given_ = all_random_states(), np.ones((4, 3))
    mg.replay(y, {x: given_, w: np.zeros((3, 2))})
    assert np.array_equal(given_, np.ones((4, 3)))
    assert all_random_states() == states
    assert np.array_equal(x.grad.data, gradients[0]) and np.array_equal(w.grad.data, gradients[1])
    assert len(nodes(y)) == len(before)
    for n, data, values, grad, args, order, op in before:
        assert n.data is data and np.array_equal(data, values)
        assert n.grad is grad and n.args is args and n.order == order and n.op is op


def test_replay_of_a_freed_graph_is_an_error_with_a_remedy():
    x = positive_leaf(3)
    loss = np.sum(np.exp(x))
    loss.backward()
    with pytest.raises(
        RuntimeError, match=r"replay: the graph was freed by backward\(\) \(at .*retain_graph=True"
    ):
        mg.replay(loss, {x: np.ones(3)})
    with pytest.raises(RuntimeError, match="freed"):
        mg.resample(loss)


@pytest.mark.parametrize(
    "read",
    [
        mg.check_graph,
        mg.terms,
        mg.replay,
        mg.resample,
        mg.noise_leaves,
        mg.expectation,
        mg.to_text,
        mg.draw,
    ],
)
@pytest.mark.parametrize(
    "root", [mg.nn.Linear(3, 2), np.ones(3), 1.0, None, []], ids=lambda root: type(root).__name__
)
def test_roots_that_are_no_graph_are_refused(read, root):
    with pytest.raises(
        TypeError, match=f"the Tensor that a forward pass returned, .*not a {type(root).__name__}"
    ):
        read(root)


def test_replay_refuses_values_of_other_tensors_than_leaves_of_the_graph():
    x = positive_leaf(3)
    y = np.exp(x)
    with pytest.raises(ValueError, match=r"replay: values are .*, not Tensor \(3,\)"):
        mg.replay(np.sum(y), {y: np.ones(3)})
    with pytest.raises(ValueError, match=r"replay: values are .*, not Tensor \(2,\)"):
        mg.replay(np.sum(y), {positive_leaf(2): np.ones(2)})
    with pytest.raises(ValueError, match="replay: values are .*, not str"):
        mg.replay(np.sum(y), {"x": 1})


@pytest.mark.parametrize(
    "value", [1.0, np.ones(4), np.ones((3, 1))], ids=["number", "longer", "broadcastable"]
)
def test_replay_refuses_a_value_of_another_shape(value):
    x = positive_leaf(3)
    with pytest.raises(ValueError, match=r"replay: values are .*, not Tensor \(3,\): "):
        mg.replay(np.sum(np.exp(x)), {x: value})


# ----------------------------------------------------------------------------------------- resample


def noisy(x):
    return np.sum(F.dropout(np.sin(F.dropout(x, 0.3, training=True)), 0.6, training=True) * x)


def test_resample_equals_a_forward_pass_with_the_same_generators():
    x = positive_leaf(40)
    mg.manual_seed(5)
    first = noisy(x)
    second, third = noisy(x).item(), noisy(x).item()
    mg.manual_seed(5)
    again = noisy(x)
    assert again.item() == first.item()
    assert mg.resample(again).item() == second
    assert mg.resample(again).item() == third


def test_resample_draws_from_the_generator_that_was_passed():
    x, rng = positive_leaf(40), np.random.default_rng(3)
    y = F.dropout(x, 0.5, training=True, rng=rng)
    twin = np.random.default_rng(3)
    F.dropout(x, 0.5, training=True, rng=twin)
    assert np.array_equal(mg.resample(y).data, F.dropout(x, 0.5, training=True, rng=twin).data)


def test_resample_changes_only_the_noise():
    x = positive_leaf(40)
    before = np.random.get_state()
    plain, dropped = np.exp(x), F.dropout(x, 0.5, training=True)
    masks = [mg.resample(dropped).data for _ in range(3)]
    for mask in [*masks, dropped.data]:
        assert np.all((mask == 0) | (mask == 2 * x.data))
    assert not np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[1], masks[2])
    assert np.array_equal(mg.resample(plain).data, plain.data)
    assert str(np.random.get_state()) == str(before)


def test_resample_leaves_the_recorded_mask():
    y = F.dropout(positive_leaf(40), 0.5, training=True)
    before = [n.data.copy() for n in nodes(y)]
    mg.resample(y)
    assert all(np.array_equal(n.data, values) for n, values in zip(nodes(y), before))


def test_the_mean_of_samples_is_the_expectation():
    mg.manual_seed(0)
    x = mg.Tensor(np.ones(1000), True)
    y = np.mean(F.dropout(x, 0.25, training=True))
    mean = np.mean([mg.resample(y).item() for _ in range(40)])
    assert abs(mean - 1) < 6.5 * np.sqrt(
        0.25 / 0.75 / 40_000
    )  # seeded; by chance less than once in 1e10 seeds


# ------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_is_an_equal_graph_in_float64(dtype):
    mg.manual_seed(1)
    x, w = positive_leaf(4, 3, dtype=dtype), positive_leaf(3, 2, seed=1, dtype=dtype)
    labels = mg.Tensor(np.array([0, 1, 1, 0]))
    loss = F.cross_entropy(F.dropout(np.tanh(x @ w), 0.3, training=True), labels) + F.l1_penalty(
        w, c=0.1
    )
    steps = nodes(loss)
    copies = copy(steps)
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    assert copies.keys() == {n.order for n in steps}
    for n in steps:
        twin = copies[n.order]
        assert twin is not n and not np.shares_memory(twin.data, n.data)
        assert (twin.op is n.op or isinstance(n, mg.Noise)) and twin.scope == n.scope
        assert twin.dtype == (np.float64 if n.dtype.kind == "f" else n.dtype)
        np.testing.assert_allclose(twin.data, n.data, rtol=tolerance, atol=tolerance)
    loss.backward()
    copies[loss.order].backward()
    for t in (x, w):
        assert copies[t.order].grad.dtype == np.float64
        np.testing.assert_allclose(
            copies[t.order].grad.data, t.grad.data, rtol=tolerance, atol=tolerance
        )


def test_a_copy_is_independent():
    x = positive_leaf(3)
    y = np.sum(x * x)
    copies = copy(nodes(y))
    copies[x.order].data[...] = 100
    copies[y.order].backward()
    assert x.data.max() < 2 and x.grad is None
    y.backward()  # not freed by the other
    assert np.array_equal(x.grad.data, 2 * x.data)


def test_a_copy_keeps_names():
    w = mg.Tensor([1.0], True, name="w")
    assert copy(nodes(w * 2))[w.order].name == "w"


# ----------------------------------------------------------------------------------------- evaluate


def test_evaluate_runs_only_nodes_that_depend_on_a_changed_leaf(forwards):
    x, y = positive_leaf(3), positive_leaf(3, seed=1)
    root = np.sum(np.exp(np.sin(x)) + np.cos(np.tanh(y)))
    steps = nodes(root)
    forwards.clear()
    values = evaluate(steps, {x.order: x.data * 2})
    assert forwards == ["sin", "exp", "add", "sum"]
    assert values[root.order] == np.sum(np.exp(np.sin(x.data * 2)) + np.cos(np.tanh(y.data)))
    forwards.clear()
    evaluate(steps, {y.order: y.data * 2})
    assert forwards == ["tanh", "cos", "add", "sum"]
    forwards.clear()
    assert evaluate(steps, {}) == {} and forwards == []


def test_evaluate_runs_each_node_once(forwards):
    x = positive_leaf(3)
    y = np.sin(x)
    for _ in range(30):
        y = y + y  # 2^30 paths
    forwards.clear()
    evaluate(nodes(y), {x.order: x.data * 2})
    assert len(forwards) == 31


def test_evaluate_takes_the_value_of_an_inner_node(forwards):
    x = positive_leaf(3)
    y = np.sin(x)
    z = np.exp(y)
    forwards.clear()
    values = evaluate(nodes(z), {x.order: x.data * 2, y.order: np.zeros(3)})
    assert values[z.order].tolist() == [1.0, 1.0, 1.0] and forwards == ["exp"]


def test_evaluate_runs_on_other_dtypes():
    x = positive_leaf(3)
    z = np.sum(np.exp(x) * x)
    turned = evaluate(nodes(z), {x.order: x.data + 1e-20j})[z.order]
    assert abs(turned.imag / 1e-20 - np.sum(np.exp(x.data) * (x.data + 1))) < 1e-13 * abs(
        turned
    )  # the complex step


def test_resampling_a_freed_graph_says_so():
    loss = F.dropout(leaf([1.0, 2.0]), 0.5, training=True).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="replay: the graph was freed"):
        mg.resample(loss)

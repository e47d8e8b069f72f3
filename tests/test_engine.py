"""The engine: backward and its errors, size, time and memory, higher derivatives, grad."""

import ast
import contextlib
import inspect
import io
import math
import tokenize
import weakref

import numpy as np
import pytest
from helpers import assert_linear, leaf

import minigrad as mg
from minigrad import engine
from minigrad import functional as F
from minigrad.engine import Tensor, grad
from minigrad.graph import nodes
from minigrad.modes import no_grad
from minigrad.registry import op

pytestmark = pytest.mark.usefixtures("as_before")


def counting_op():
    """The identity as an op `counted`, and the list to which its rule appends at each call."""
    calls = []

    def rule(g, out, x):
        calls.append(1)
        return g

    @op(x=rule)
    def counted(x):
        return +x

    return counted, calls


# ----------------------------------------------------------------------------------------- backward


def test_backward_fills_the_grad_of_every_leaf():
    x, y, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), Tensor([5.0, 6.0])
    result = (x * y * c).sum()
    assert result.backward() is None
    assert x.grad.tolist() == [15, 24]
    assert y.grad.tolist() == [5, 12]
    assert c.grad is None
    assert result.grad is None
    assert isinstance(x.grad, Tensor)
    assert not x.grad.requires_grad


def test_a_tensor_used_twice_gets_both_parts():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.item() == 6


def test_a_diamond_waits_for_both_sides():
    x = leaf(0.7)
    a = np.sin(x)
    b, c = np.exp(a), a * a * a
    (b * c).backward()
    s = math.sin(0.7)
    assert x.grad.item() == pytest.approx(
        (math.exp(s) * s**3 + math.exp(s) * 3 * s * s) * math.cos(0.7), rel=1e-14
    )


def test_a_diamond_with_sides_of_unequal_length():
    x = leaf(0.5)
    short = x * 2
    long = x
    for _ in range(10):
        long = long * 1.5
    late = short + long  # the node of `short` is older than all of `long`
    (late * short).backward()
    k = 1.5**10
    assert x.grad.item() == pytest.approx(2 * 2 * 0.5 * (2 + k), rel=1e-14)


def test_backward_twice_is_an_error():
    for make in (
        lambda x: (x * x).sum(),
        lambda x: (x + x).sum(),
        lambda x: np.exp(x),
        lambda x: x + 1,
    ):  # also where no value is needed
        x = leaf([2.0])
        y = make(x)
        y.backward()
        first = x.grad.tolist()
        with pytest.raises(
            RuntimeError,
            match=r"this graph was already freed \(at \w+, shape \(1?,?\)\)\. Run the forward pass again, or pass retain_graph=True",
        ):
            y.backward()
        assert x.grad.tolist() == first


def test_a_graph_that_shares_a_freed_part_is_an_error_and_changes_no_grad():
    x, z = leaf([2.0]), leaf([3.0])
    shared = np.exp(x)
    (shared * 2).sum().backward()
    before = x.grad.tolist()
    with pytest.raises(RuntimeError, match=r"already freed \(at exp, shape \(1,\)\)"):
        (shared * z).sum().backward()
    assert x.grad.tolist() == before
    assert z.grad is None


def test_retain_graph_allows_another_backward():
    x = leaf([2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8]
    with pytest.raises(RuntimeError, match="already freed"):
        y.backward()


def test_gradients_accumulate_until_set_to_none():
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * 3).sum().backward()
        assert x.grad.tolist() == [3 * times] * 2
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_an_earlier_grad_is_not_changed_by_a_later_backward():
    x = leaf([1.0])
    (x * 3).sum().backward()
    held = x.grad
    (x * 3).sum().backward()
    assert held.tolist() == [3]


def aliases():
    def both(a, b, u):
        (a + b).backward(u)

    def root(a, b, u):
        a.backward(u)
        b.backward(u)

    def through_views(a, b, u):
        np.reshape(a.T, (2,)).backward(u)
        np.flip(np.flip(b)).backward(u)

    def positive(a, b, u):
        (+a + (+b)).backward(u)

    def scalars(a, b, u):
        (a.sum() + b.sum()).backward()

    def stacked(a, b, u):
        np.sum(np.concatenate([a, b])).backward()

    def twice(a, b, u):
        (a + b).backward(u)
        (a + b).backward(u)

    def linear_bias(a, b, u):
        F.linear(Tensor(np.ones((1, 2))), Tensor(np.eye(2)), a).sum().backward()
        (b * 1).sum().backward()

    return [both, root, through_views, positive, scalars, stacked, twice, linear_bias]


@pytest.mark.parametrize("way", aliases(), ids=lambda f: f.__name__)
def test_a_grad_never_shares_memory(way):
    a, b, u = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.array([5.0, 6.0])
    way(a, b, u)
    arrays = [a.data, b.data, a.grad.data, b.grad.data, u]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(arrays) for y in arrays[:i])
    assert all(g.flags.writeable for g in (a.grad.data, b.grad.data))
    assert u.tolist() == [5, 6]


def test_a_rule_that_returns_an_array_it_was_given_does_not_get_it_changed():
    @op(x=lambda g, out, x, y: y if g == 1 else g * y, y=None)
    def inner(x, y):
        return np.sum(x * y)

    x, y = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    (inner(x, y) + inner(x, y)).backward()
    assert x.grad.tolist() == [6, 8]
    assert y.tolist() == [3, 4]
    x.grad = None
    inner(x, y).backward()
    assert not np.shares_memory(x.grad.data, y)


def test_the_grad_has_the_dtype_of_its_leaf():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * np.array([1.0, 2.0])).sum().backward()
    assert x.grad.dtype == np.float32
    (x * np.array([1.0, 2.0])).sum().backward()
    assert x.grad.dtype == np.float32
    x.grad = None
    x.backward(np.ones(2))
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_of_another_dtype_takes_the_dtype_of_its_leaf(create_graph):
    x = Tensor([1.0], requires_grad=True)
    for _ in range(2):
        (x * np.array([2.0])).sum().backward(create_graph=create_graph)
    assert (
        x.grad.dtype
        == grad((x * np.array([2.0])).sum(), x, create_graph=create_graph)[0].dtype
        == np.float32
    )


def test_backward_of_several_entries_needs_a_gradient():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(
        RuntimeError,
        match=r"shape \(2,\), not one entry\. Call \.mean\(\) or \.sum\(\), or pass a gradient of that shape",
    ):
        y.backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), the tensor \(2,\)"):
        y.backward(np.ones(3))
    with pytest.raises(ValueError, match=r"gradient has shape \(\), the tensor \(2,\)"):
        y.backward(1.0)


@pytest.mark.parametrize(
    "u",
    [np.array([1.0, 10.0]), [1.0, 10.0], Tensor([1.0, 10.0]), np.array([1, 10])],
    ids=["array", "list", "Tensor", "integers"],
)
def test_backward_takes_a_gradient(u):
    x = leaf([1.0, 2.0])
    (x * x).backward(u)
    assert x.grad.tolist() == [2, 40]


def test_backward_of_one_entry_of_any_rank():
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * x).backward()
        assert x.grad.shape == shape
        assert x.grad.item() == 6


def test_backward_without_a_leaf_is_an_error():
    with no_grad():
        unrecorded = leaf([1.0]) * 2
    for t in (Tensor([1.0]), Tensor([1.0]) * 2, leaf([1.0]).detach(), unrecorded):
        with pytest.raises(
            RuntimeError, match="does not depend on any leaf with requires_grad=True"
        ):
            t.backward()


def test_a_result_keeps_its_gradient_when_asked():
    x = leaf([1.0, 2.0])
    y = x * 3
    z = y * y
    y.retain_grad()
    z.sum().backward()
    assert y.grad.tolist() == [6, 12]
    assert x.grad.tolist() == [18, 36]
    assert z.grad is None


def test_a_retained_gradient_is_the_whole_one():
    x = leaf([1.0])
    y = x * 3
    y.retain_grad()
    (y * y + np.exp(y) + y).sum().backward()
    assert y.grad.item() == pytest.approx(6 + math.exp(3) + 1)
    assert not np.shares_memory(y.grad.data, x.grad.data)


@pytest.mark.parametrize(
    "func",
    [lambda x, y: x * y, lambda x, y: np.sin(x) + y, lambda x, y: np.where([True, False], x, y)],
    ids=["*", "sin", "where"],
)
def test_a_leaf_that_no_longer_wants_a_gradient_gets_none(func):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    out = np.sum(func(x, y) * 2)
    x.requires_grad = False
    out.backward()
    assert x.grad is None and y.grad is not None


# ------------------------------------------------------------------------------- size, time, memory


def test_sixty_doublings_are_two_to_the_sixty_and_sixty_rule_calls():
    counted, calls = counting_op()
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = counted(y)
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60
    assert len(calls) == 60


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_each_node_is_visited_once_however_the_graph_is_linked(n):
    counted, calls = counting_op()
    x = leaf(0.5)
    made = [counted(x)]
    for i in range(1, n):  # each from several earlier ones
        made.append(counted(0.5 * made[i // 2] + 0.3 * made[i - 1] + 0.1 * made[max(0, i - 7)]))
    made[-1].backward()
    assert len(calls) == n


def test_only_nodes_that_the_loss_depends_on_are_visited():
    counted, calls = counting_op()
    x = leaf(0.5)
    y = counted(x)
    for _ in range(5):
        counted(y)
    counted(y).backward()
    assert len(calls) == 2


def test_a_chain_of_a_million_ops(no_collector):
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1e-6
    middle = weakref.ref(y.args[0].args[0].data)
    y.backward()
    assert x.grad.item() == 1
    assert y.item() == pytest.approx(2)
    assert middle() is None


def test_a_long_chain_of_ops_dies_without_recursion(no_collector):
    y = leaf(1.0)
    x = weakref.ref(y.data)
    for _ in range(200_000):
        y = -y
    del y
    assert x() is None


def test_a_long_chain_of_second_order_dies_without_recursion(no_collector):
    x = leaf(0.5)
    y = x
    for _ in range(20_000):
        y = y * 1.0001
    (first,) = grad(y * y, x, create_graph=True)
    (second,) = grad(first, x)
    assert second.item() == pytest.approx(2 * 1.0001**40_000)
    held = weakref.ref(y.data)
    del first, second, y
    assert held() is None


def test_a_graph_dies_with_its_last_result(no_collector):
    x = leaf([1.0, 2.0])
    a = np.exp(x)
    b = a * a
    loss = (b @ b) + np.einsum("i,i->", a, b) + F.softmax(b)[0] + np.concatenate([a, b]).sum()
    held = [weakref.ref(t.data) for t in nodes(loss) if not t.is_leaf]
    assert len(held) > 8
    del a, b, loss
    assert [r for r in held if r() is not None] == []


def test_a_graph_dies_with_its_last_result_after_backward(no_collector):
    x = leaf([1.0, 2.0])
    for options in ({}, {"retain_graph": True}):
        loss = np.sum(np.exp(x) * x)
        held = [weakref.ref(t.data) for t in nodes(loss) if not t.is_leaf]
        loss.backward(**options)
        del loss
        assert [r for r in held if r() is not None] == []


def test_backward_frees_the_graph_though_the_loss_lives(no_collector):
    loss = np.sum(np.exp(leaf([1.0, 2.0])))
    inner = weakref.ref(loss.args[0].data)
    loss.backward()
    assert inner() is None


def test_memory_is_freed_on_the_way(no_collector):
    alive = []

    def rule(g, out, x):
        alive.append(sum(r() is not None for r in newer))
        return g

    @op(x=rule)
    def probe(x):
        return +x

    y = probe(leaf([1.0, 2.0]))
    newer = []
    for _ in range(10):
        y = np.exp(-y)
        newer += [weakref.ref(y.data), weakref.ref(y.args[0].data)]
    loss = y.sum()
    del y
    assert sum(r() is not None for r in newer) == 20
    loss.backward()
    assert alive[0] <= 1  # at most the node the probe's cotangent came from


def test_an_error_in_a_forward_leaves_no_cycle(no_collector):
    x = leaf(np.ones(3))
    held = weakref.ref(x.data)
    with contextlib.suppress(ValueError):
        x @ np.ones(4)
    del x
    assert held() is None


def test_only_rules_of_inputs_that_need_a_gradient_run():
    def fail(*args):
        raise AssertionError("this rule is not needed")

    @op(x=lambda g, out, x, y: g, y=fail)
    def two(x, y):
        return x + y

    @op(x=fail, y=lambda g, out, x, y, z: g, z=fail)
    def three(x, y, z=None):
        return x + y

    class Lazy:
        def __init__(self, g):
            self.g = g

        def __getitem__(self, i):
            return self.g if i == 1 else fail()

    @op(xs=lambda g, out, *xs: Lazy(g))
    def many(*xs):
        return xs[0] + xs[1]

    for constant_ in (Tensor([1.0]), np.ones(1), 1.0):
        for f in (
            lambda x, c: two(x, c),
            lambda x, c: three(c, x),
            lambda x, c: three(c, x, c),
            lambda x, c: many(c, x),
        ):
            for recorded in (False, True):
                x = leaf([1.0])
                assert grad(f(x, constant_), x, create_graph=recorded)[0].tolist() == [1]


# ------------------------------------------------------------------------------- higher derivatives


def test_a_hessian():
    a, x = np.array([[2.0, 1.0], [0.0, 3.0]]), leaf([0.5, -1.0])

    def f(x):
        return x @ (a @ x) + np.sum(x**3) + np.exp(x[0] * x[1])

    (first,) = grad(f(x), x, create_graph=True)
    hessian = np.array([grad(entry, x, retain_graph=True)[0].data for entry in first])
    p, q = x.data
    e = math.exp(p * q)
    expected = (
        a + a.T + np.diag([6 * p, 6 * q]) + e * np.array([[q * q, 1 + p * q], [1 + p * q, p * p]])
    )
    np.testing.assert_allclose(hessian, expected, rtol=1e-14)


def test_derivatives_of_any_order():
    x = leaf(0.3)
    y = np.sin(x) * np.exp(x)  # the n-th derivative is 2^(n/2) exp(x) sin(x + n pi/4)
    for n in range(1, 7):
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(
            2 ** (n / 2) * math.exp(0.3) * math.sin(0.3 + n * math.pi / 4), rel=1e-12
        )


@pytest.mark.parametrize("outer", ["grad", "backward"])
@pytest.mark.parametrize("inner", ["grad", "backward"])
def test_second_derivatives_by_every_mixture_of_grad_and_backward(inner, outer):
    x = leaf([0.5, 2.0])
    y = np.sum(x**3)
    if inner == "grad":
        (first,) = grad(y, x, create_graph=True)
    else:
        y.backward(create_graph=True)
        first, x.grad = x.grad, None
    assert first.requires_grad
    np.testing.assert_allclose(first.data, 3 * x.data**2)
    penalty = np.sum(first * first)
    if outer == "grad":
        (second,) = grad(penalty, x)
    else:
        penalty.backward()
        second = x.grad
    np.testing.assert_allclose(second.data, 36 * x.data**3)


def test_a_gradient_penalty_added_to_the_loss():
    x, w = leaf([1.0, 2.0]), leaf([0.5, -0.3])
    y = np.tanh(x @ w)
    (gx,) = grad(y, x, create_graph=True)
    (y + np.sum(gx * gx)).backward()
    t = math.tanh(0.5 - 0.6)
    s = 1 - t * t
    expected = s * x.data + 2 * s * s * w.data + np.sum(w.data**2) * 2 * s * (-2 * t * s) * x.data
    np.testing.assert_allclose(w.grad.data, expected, rtol=1e-13)


def test_a_directional_derivative_by_two_backward_passes():
    x = leaf([0.5, -1.0, 2.0])
    v = np.array([1.0, 2.0, -1.0])
    u = Tensor(np.ones(3), requires_grad=True)
    (pulled,) = grad(np.sin(x) * x[::-1], x, u, create_graph=True)
    (pushed,) = grad(pulled, u, v)
    p = x.data
    np.testing.assert_allclose(
        pushed.data, np.cos(p) * v * p[::-1] + np.sin(p) * v[::-1], rtol=1e-14
    )


def test_backward_accumulates_recorded_gradients_too():
    x = leaf(2.0)
    for _ in range(2):
        (x**3).backward(create_graph=True)
    assert x.grad.item() == 24
    assert grad(x.grad, x)[0].item() == 24


def test_without_create_graph_gradients_are_plain_data():
    x = leaf(2.0)
    (g,) = grad(x**3, x)
    assert not g.requires_grad


def test_create_graph_keeps_the_graph():
    x = leaf(2.0)
    y = x**3
    grad(y, x, create_graph=True)
    assert grad(y, x)[0].item() == 12
    with pytest.raises(RuntimeError, match="already freed"):
        grad(y, x)


# --------------------------------------------------------------------------------------------- grad


def test_grad_leaves_every_grad_untouched():
    x, w = leaf([2.0]), leaf([3.0])
    (x * w).sum().backward()
    before = x.grad
    for recorded in (False, True):
        assert grad((x * x * w).sum(), x, create_graph=recorded)[0].tolist() == [12]
        assert x.grad is before
        assert before.tolist() == [3]
        assert w.grad.tolist() == [2]


def test_grad_returns_a_tuple_in_the_order_asked():
    x, y = leaf(2.0), leaf(3.0)
    assert [g.item() for g in grad(x * x * y, [y, x])] == [4, 12]
    assert [g.item() for g in grad(x * x * y, (x, x))] == [12, 12]
    assert isinstance(grad(x * y, x), tuple)


def test_grad_by_a_result():
    x = leaf(2.0)
    y = x * x
    z = np.sin(y)
    assert grad(z, [y, x])[0].item() == pytest.approx(math.cos(4))
    w = x * x
    assert grad(w, w)[0].item() == 1


def test_grad_by_a_result_does_not_run_the_nodes_before_it():
    counted, calls = counting_op()
    x = leaf(2.0)
    y = counted(x)
    z = counted(y)
    assert grad(z * z, y)[0].item() == 4
    assert len(calls) == 1


def test_grad_sums_over_outputs():
    x = leaf([1.0, 2.0])
    (g,) = grad([x.sum(), x * x], x, [None, np.array([1.0, 10.0])])
    assert g.tolist() == [3, 41]
    y = x.sum()
    assert grad([y, y], x)[0].tolist() == [2, 2]


def test_unused_inputs_are_an_error_unless_allowed():
    x, unused = leaf(2.0), leaf(1.0)
    with pytest.raises(
        RuntimeError, match=r"do not depend on inputs \[1\]\. Pass allow_unused=True"
    ):
        grad(x * x, [x, unused])
    g, none = grad(x * x, [x, unused], allow_unused=True)
    assert g.item() == 4
    assert none is None


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: grad(Tensor(1.0), x),
            "grad: this tensor does not depend on any leaf with requires_grad=True",
        ),
        (
            lambda x: grad(x.sum(), Tensor(1.0)),
            "the inputs must be Tensors that require a gradient",
        ),
        (lambda x: grad(x.sum(), 1.0), "the inputs must be Tensors that require a gradient"),
        (
            lambda x: grad(x * 2, x),
            r"grad: the tensor has shape \(2,\), not one entry\. Call \.mean\(\) .* or pass a gradient of that shape",
        ),
        (lambda x: grad(x.sum(), x, [None, None]), "1 outputs but 2 grad_outputs"),
        (
            lambda x: grad(x * 2, x, np.ones(3)),
            r"grad: the gradient has shape \(3,\), the tensor \(2,\)",
        ),
    ],
)
def test_wrong_calls_of_grad(call, message):
    with pytest.raises((RuntimeError, ValueError), match=message):
        call(leaf([1.0, 2.0]))


def test_gradients_of_grad_share_no_memory():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    u = np.ones(2)
    gx, gy = grad(x + y, [x, y], u)
    assert not np.shares_memory(gx.data, gy.data)
    assert not np.shares_memory(gx.data, u)


# -------------------------------------------------------------- what is recorded without a gradient


def test_named_data_are_an_input_of_the_graph():
    x, w = Tensor([1.0, 2.0], name="x"), leaf([3.0, 4.0])
    y = np.sum((x - 1) / 2 * w)
    assert [n.op.name for n in nodes(y) if n.args] == ["subtract", "divide", "multiply", "sum"]
    assert mg.replay(y, {x: [3.0, 5.0]}).item() == 3 + 8
    assert not (x - 1).requires_grad and not x.requires_grad
    with mg.no_grad():
        assert (x * 2).is_leaf
    assert mg.check_graph(y)
    y.backward()
    assert x.grad is None and w.grad.tolist() == [0, 0.5]
    with pytest.raises(RuntimeError, match="does not depend on any leaf"):
        np.sum(x * 2).backward()
    assert (Tensor([1.0]) * 2).is_leaf  # and without a name, plain data


def test_a_frozen_leaf_with_a_name_stays_an_input():
    x = Tensor([1.0], True, name="x")
    x.requires_grad = False
    assert not (y := x * 2).requires_grad and not y.is_leaf
    x.requires_grad = True
    assert (x * 2).requires_grad


def test_grad_takes_the_parameters_of_a_model():
    model = mg.nn.Linear(2, 1)
    found = grad(np.sum(model(np.ones((3, 2)))), model.parameters())
    assert [g.tolist() for g in found] == [[[3, 3]], [3]]


def test_the_engine_is_one_page():
    code = [line for line in inspect.getsource(engine).splitlines() if line.strip()]
    assert max(map(len, code)) <= 100
    assert len(code_lines(engine)) <= 160


def code_lines(module):
    """The numbers of the lines of a module without blanks, comments and docstrings."""
    text = inspect.getsource(module)
    docs = set()
    for node in ast.walk(ast.parse(text)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node):
            docs |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {t.start[0] for t in tokens if t.type not in skipped and t.type != tokenize.ENDMARKER}
    return lines - docs


@pytest.mark.parametrize(
    "join",
    [
        lambda parts: np.concatenate(parts).sum(),
        lambda parts: np.stack(parts).sum(),
        lambda parts: F.l1_penalty(*parts, c=1.0),
        lambda parts: F.l2_penalty(*parts, c=1.0),
        lambda parts: F.group_l2(*parts, c=1.0, axis=0),
    ],
    ids=["concatenate", "stack", "l1_penalty", "l2_penalty", "group_l2"],
)
def test_backward_is_linear_in_the_number_of_operands(join):
    def backward(n):
        loss = join([leaf([1.0, 2.0]) for _ in range(n)])
        return loss.backward

    assert_linear(backward, 500, times=5)


def test_a_retained_gradient_is_none_before_backward_and_off_the_path():
    x = leaf([1.0, 2.0])
    y, aside = x * x, x * 3
    for t in (y, aside):
        t.retain_grad()
        assert t.grad is None and t.retains_grad
    (y * 2).sum().backward()
    assert y.grad.tolist() == [2, 2] and aside.grad is None
    x.retain_grad()  # a leaf keeps its gradient anyway
    assert not x.retains_grad


def test_comparisons_are_recorded_without_a_gradient():
    x = leaf([-1.0, 2.0])
    for y in (x > 0, np.sign(x), np.floor(x), np.argmax(x), x == x, np.any(x > 0), x.astype(int)):
        assert y.op is not None and not y.requires_grad and x in nodes(y)
    loss = np.where(x > 0, x * x, -x).sum()
    assert mg.replay(loss, {x: [3.0, -2.0]}).item() == 11
    (g,) = grad(loss, x)
    assert g.tolist() == [-1, 4]
    with no_grad():
        assert (x > 0).op is None
    assert (Tensor([1.0]) > 0).op is None


def test_wrong_calls_are_named():
    x = leaf([1.0])
    with pytest.raises(TypeError, match="grad: the outputs must be Tensors, not 3"):
        grad(3, x)
    with pytest.raises(TypeError, match="gradcheck: func must be a function, not 3"):
        mg.gradcheck(3, x)
    with pytest.raises(TypeError, match="sparsity: a module or {name: Tensor}, not 3"):
        mg.sparsity(3)

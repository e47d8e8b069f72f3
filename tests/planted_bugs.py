"""Bugs, most of them reported once for a library or a course, and the checks that find them.

Each bug is planted in minigrad, and the check named for it fails.

    python tests/planted_bugs.py      prints the table

A bug is a change to the text of a function, or to a rule of an op. A check is a function that
raises an error where something is wrong, and passes on minigrad as it is.
"""

import contextlib
import importlib
import inspect
import sys
import textwrap
import warnings
from collections import deque
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from helpers import close, positive_leaf

import minigrad as mg
import minigrad.functional as F
from minigrad import engine, nn, optim
from minigrad import loss as ledgers
from minigrad import noise as randomness
from minigrad.check import (
    GradcheckError,
    check_graph,
    functions,
    gradcheck,
    numeric,
    samples,
    verdict,
)
from minigrad.check.__main__ import prove
from minigrad.check.noise import check_noise
from minigrad.engine import Tensor
from minigrad.noise import Noise
from minigrad.ops import dropout as stochastic
from minigrad.ops import penalties
from minigrad.registry import op, ops

P = 0.3  # never 0.5, where keep and drop cannot be told apart

penalty_objects = importlib.import_module("minigrad.nn.penalties")  # nn.penalty is the function
dropping = importlib.import_module("minigrad.functional.dropout")  # F.dropout is the function


# ------------------------------------------------------------------------------------------- checks


def pathwise():
    """The gradient of dropout with the noise held fixed."""
    mg.manual_seed(0)
    for scaling in ("inverted", "classic"):
        assert gradcheck(
            lambda x, s=scaling: np.tanh(F.dropout(x, P, training=True, scaling=s)) * x,
            positive_leaf(4, 5),
        )


def expected_value():
    """The expectation of dropout(x) equals dropout(x) in evaluation: value and gradient, by all
    masks.
    """
    for scaling in ("inverted", "classic"):
        x, w = positive_leaf(6), np.arange(1.0, 7)
        found = mg.expectation(F.dropout(x, P, training=True, scaling=scaling) @ w)
        calm = F.dropout(x, P, training=False, scaling=scaling) @ w
        close(found.value.data, calm.data)
        close(found.gradients[x].data, mg.grad(calm, x)[0].data)


def ridge():
    """Dropout on a linear model is ridge regression: E|y - (M*X)w|^2 = |y - Xw|^2 + p/(1-p) sum_j
    w_j^2 |X_j|^2.
    """
    X, w, y = positive_leaf(3, 4).detach(), positive_leaf(4, seed=1), np.arange(3.0)
    residual = F.dropout(X, P, training=True) @ w - y
    found = mg.expectation(np.sum(residual * residual))
    penalty = P / (1 - P) * np.sum(X.data**2, axis=0)
    close(found.value.data, np.sum((X.data @ w.data - y) ** 2) + penalty @ w.data**2)
    close(found.gradients[w].data, 2 * X.data.T @ (X.data @ w.data - y) + 2 * penalty * w.data)


def evaluation():
    """Inverted dropout in evaluation is the identity, and the classic one multiplies by 1-p."""
    x = positive_leaf(3, 4)
    for scaling, factor in (("inverted", 1), ("classic", 1 - P)):
        layer = nn.Sequential(nn.Dropout(P, scaling=scaling)).eval()
        close(layer(x).data, factor * x.data)


def edge_rates():
    """p = 0 is the identity; p = 1 gives zeros with zero gradient, no NaN."""
    for p, factor in ((0, 1), (1, 0)):
        x = positive_leaf(3, 4)
        y = F.dropout(x, p, training=True)
        close(y.data, factor * x.data)
        close(mg.grad(np.sum(y), x)[0].data, np.full((3, 4), factor))


def law():
    """The law of the noise: rate, variance, independence of entries, calls and layers."""
    mg.manual_seed(0)
    passes(check_noise(nn.Sequential(drop1=nn.Dropout(P), drop2=nn.Dropout(P))))


def law_of_channels():
    """Whole channels are dropped."""
    mg.manual_seed(0)
    passes(check_noise(lambda x: F.dropout1d(x, P, training=True), (64, 64, 16), shared=(2,)))
    passes(check_noise(lambda x: F.dropout2d(x, P, training=True), (64, 64, 8, 4), shared=(2, 3)))


def law_of_samples():
    """Whole samples are dropped."""
    mg.manual_seed(0)
    passes(check_noise(lambda x: F.drop_path(x, P, training=True), (4096, 8), shared=(1,)))


def law_of_shared():
    """One mask for all time steps."""
    mg.manual_seed(0)
    passes(check_noise(nn.Dropout(P, share=1), (64, 16, 64), shared=(1,)))


def law_of_gaussian():
    """Gaussian dropout multiplies by N(1, p/(1-p)), in training only."""
    mg.manual_seed(0)
    passes(check_noise(nn.GaussianDropout(P), p=P))


def added_noise():
    """Gaussian noise has the variance std^2: E|x + e|^2 = |x|^2 + n std^2."""
    x = positive_leaf(3)
    found = mg.expectation(np.sum(F.gaussian_noise(x, 0.3, training=True) ** 2))
    close(found.value.data, np.sum(x.data**2) + 3 * 0.3**2)


def keeps_moments():
    """Alpha dropout of entries of mean 0 and variance 1 has mean 0 and variance 1, over all masks."""
    x = Tensor(np.array([-1.5, 0.0, 0.0, 1.5]) / 1.125**0.5, True)
    y = F.alpha_dropout(x, P, training=True)
    close(mg.expectation(np.mean(y)).value.data, 0)
    close(mg.expectation(np.mean(y * y)).value.data, 1)


def noisy_weights():
    """DropConnect drops weights, the same for all rows x_r: E|sum_r W x_r|^2 = |W s|^2 + p/(1-p)
    sum_ij w_ij^2 s_j^2, s = sum_r x_r.
    """
    layer, x = (
        nn.DropConnect(nn.Linear(3, 2, bias=False, dtype=np.float64), P),
        positive_leaf(4, 3).detach(),
    )
    found = mg.expectation(np.sum(np.sum(layer(x), axis=0) ** 2))
    w, s = layer.module.weight.data, x.data.sum(axis=0)
    close(found.value.data, np.sum((w @ s) ** 2) + P / (1 - P) * np.sum((w * s) ** 2))


def monte_carlo():
    """sampling() draws in evaluation mode, and leaves the mode alone."""
    model, x = nn.Sequential(nn.Dropout(P)).eval(), positive_leaf(40)
    with mg.sampling():
        assert not np.array_equal(model(x).data, model(x).data)
    close(model(x).data, x.data)
    assert not model[0].training


def streams():
    """A further dropout layer leaves the noise of the others as it was."""

    def masks(**layers):
        mg.manual_seed(0)
        model = nn.Sequential(**{name: nn.Dropout(P) for name in layers})
        return [n.data for n in mg.noise_leaves(model(positive_leaf(40)))]

    assert np.array_equal(masks(a=1, b=1)[1], masks(b=1)[0])


def numbered_streams():
    """A further layer of another kind leaves it too, where layers have numbers, not names."""

    def mask(*layers):
        mg.manual_seed(0)
        return mg.noise_leaves(nn.Sequential(*layers, nn.Dropout(P))(positive_leaf(40)))[-1].data

    assert np.array_equal(mask(nn.Linear(40, 40), nn.ReLU(), nn.GaussianDropout(P)), mask())


def passes(report):
    assert report, str(report)


PENALTIES = [
    (lambda *ws: F.l1_penalty(*ws, c=0.3), lambda w: 0.3 * sum(abs(x) for x in w.flat)),
    (lambda *ws: F.l2_penalty(*ws, c=0.3), lambda w: 0.3 * sum(x * x for x in w.flat)),
    (
        lambda *ws: F.elastic_net(*ws, l1=0.3, l2=0.2),
        lambda w: sum(0.3 * abs(x) + 0.2 * x * x for x in w.flat),
    ),
    (
        lambda *ws: F.group_l2(*ws, c=0.3),
        lambda w: 0.3 * sum(sum(x * x for x in np.ravel(row)) ** 0.5 for row in w),
    ),
]


def penalty_gradients():
    """The rule of each penalty."""
    for penalty, _ in PENALTIES:
        assert gradcheck(penalty, (positive_leaf(2, 3), positive_leaf(4, seed=1)))


def penalty_values():
    """c sum|w|, c sum w^2, both, and c times the norms of the rows: sums, by hand."""
    v, w = positive_leaf(2, 3), positive_leaf(4, seed=1)
    for penalty, by_hand in PENALTIES:
        close(penalty(v, w).data, by_hand(v.data) + by_hand(w.data))


def penalised():
    """The penalty of a model: the weights of its layers, each once, no bias, at any call."""
    shared = nn.Linear(3, 3, penalty=nn.L2(0.1), dtype=np.float64)
    model = nn.Sequential(
        shared, nn.Tanh(), shared, nn.Linear(3, 2, penalty=nn.L1(0.2), dtype=np.float64)
    )
    for _ in range(2):
        model(positive_leaf(2, 3))
        close(
            model.penalty().data,
            0.1 * np.sum(shared.weight.data**2) + 0.2 * np.sum(abs(model[3].weight.data)),
        )


def weight_decay():
    """Under plain SGD an l2 penalty of c is weight decay of 2c."""
    penalised, decayed = positive_leaf(3), positive_leaf(3)
    F.l2_penalty(penalised, c=0.05).backward()
    mg.optim.SGD([penalised], lr=0.1).step()
    decayed.grad = Tensor(np.zeros(3))
    mg.optim.SGD([decayed], lr=0.1, weight_decay=0.1).step()
    close(penalised.data, decayed.data)


def zero_weights():
    """At w = 0 the subgradient is 0, and no NaN, in the second derivatives either."""
    for penalty in (F.l1_penalty, F.l2_penalty, F.group_l2):
        w = Tensor(np.zeros((2, 3)), True)
        (first,) = mg.grad(penalty(w, c=0.3), w, create_graph=True)
        close(first.data, np.zeros((2, 3)))
        assert np.isfinite(mg.grad(np.sum(first * first + first * w), w)[0].data).all()


def proximal_step():
    """A step on a quadratic with its minimum at b, by hand: the gradient, the soft threshold, the
    shrinking and the block threshold, each once and times lr.
    """
    b, lr = np.array([[2.0, -0.1], [0.3, 0.4]]), 0.25
    for penalty, by_hand in (
        (lambda w: F.l1_penalty(w, c=0.8), lambda v: soft(v, 0.8 * lr)),
        (
            lambda w: F.elastic_net(w, l1=0.8, l2=0.4),
            lambda v: soft(v, 0.8 * lr) / (1 + 2 * lr * 0.4),
        ),
        (
            lambda w: F.group_l2(w, c=0.8),
            lambda v: v * np.maximum(1 - lr * 0.8 / np.linalg.norm(v, axis=1, keepdims=True), 0),
        ),
    ):
        w = positive_leaf(2, 2)
        expected = by_hand(w.data - lr * (w.data - b))
        mg.optim.ProximalSGD([w], lr=lr).step(
            lambda w=w, penalty=penalty: 0.5 * np.sum((w - b) ** 2) + penalty(w)
        )
        close(w.data, expected)


def soft(v, t):
    return np.sign(v) * np.maximum(abs(v) - t, 0)


def lasso():
    """FISTA on a lasso with X'X = I: the closed form, and its zeros exactly."""
    x, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 4)))
    y, w = x @ [2.0, -1.0, 0.2, 0.1], positive_leaf(4)
    optimizer = mg.optim.ProximalSGD([w], lr=0.3, accelerated=True)
    for _ in range(300):
        optimizer.step(lambda: 0.5 * np.sum((x @ w - y) ** 2) + F.l1_penalty(w, c=0.5))
        assert np.all(np.isfinite(w.data))
    np.testing.assert_allclose(w.data, [1.5, -0.5, 0, 0], atol=1e-9)
    assert np.array_equal(w.data == 0, [False, False, True, True])


def proximal_or_backward():
    """A proximal step after a backward is refused."""
    w = positive_leaf(2)

    def closure():
        loss = F.l1_penalty(w, c=0.1) + np.sum(w * w)
        loss.backward(retain_graph=True)
        return loss

    try:
        mg.optim.ProximalSGD([w]).step(closure)
    except RuntimeError:
        return
    raise AssertionError("the penalty's subgradient and its proximal operator are both there")


def ledger():
    """The terms of a loss: each once, with its sign and factor; they add up."""
    w = positive_leaf(2, 3)
    data, l1, l2 = F.mse_loss(w, np.zeros((2, 3))), F.l1_penalty(w, c=0.1), F.l2_penalty(w, c=0.2)
    loss = (data + l1) * 3 - (l2 - l1) / 2
    found = {t.name.split("* ")[-1]: t.value for t in mg.terms(loss)}
    close(
        [found["mse_loss"], found["l1_penalty(c=0.1)"], found["l2_penalty(c=0.2)"]],
        [3 * data.item(), 3.5 * l1.item(), -0.5 * l2.item()],
    )
    close(sum(t.value for t in mg.terms(loss)), loss.data)


def doubled():
    """A warning comes for a parameter that two penalties act on, or a penalty and the decay of an
    optimizer, and for no other.
    """
    w, data = positive_leaf(2), np.sum(positive_leaf(2, seed=1))
    penalised = data + F.l2_penalty(w, c=0.1)
    for loss, decay, messages in (
        (penalised, 0.1, 1),
        (penalised, 0.0, 0),
        (data + F.l1_penalty(w, c=0.1), 0.1, 0),
        (penalised + F.l2_penalty(w, c=0.1), 0.0, 1),
        (penalised + F.l1_penalty(w, c=0.1), 0.0, 0),
        (penalised + (penalised - data), 0.0, 1),
        (np.stack([data, F.l2_penalty(w, c=0.1)]).sum(), 0.0, 1),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mg.terms(loss, mg.optim.SGD([w], weight_decay=decay))
        assert len(caught) == messages, [str(c.message) for c in caught]


def diamond():
    """A node used twice: every path counts, and none twice."""

    def func(x):
        y = np.tanh(x)
        z = np.sin(y * y + x)
        return np.sin(z) * y + np.exp(y) * z

    x = positive_leaf(3)
    assert gradcheck(func, x)
    passes(check_graph(np.sum(func(x))))
    y = np.sum(func(x))
    (expected,) = mg.grad(y, x, retain_graph=True)
    y.backward()
    close(x.grad.data, expected.data)


def broadcasts():
    """Operands broadcast in every way: leading axes, size-1 axes, both."""
    for shape in ((3,), (2, 1), (1, 3), (1, 1), (), (1,), (4, 1, 1), (4, 2, 1)):
        assert gradcheck(
            lambda x, y: np.sin(x) * y, (positive_leaf(2, 3), positive_leaf(*shape, seed=1))
        )


def accumulation():
    """A second backward adds to .grad; a second one through a freed graph is refused."""
    x = positive_leaf(3)
    for times in (1, 2):
        y = np.sum(x * x)
        y.backward()
        close(x.grad.data, times * 2 * x.data)
    try:
        y.backward()
    except RuntimeError:
        return
    raise AssertionError("a second backward through a freed graph gives a gradient")


def retained():
    """Two backward passes through one graph that is retained."""
    x = positive_leaf(3)
    y = np.sum(np.exp(x) * x)
    y.backward(retain_graph=True)
    once = x.grad.data.copy()
    y.backward()
    close(x.grad.data, 2 * once)


def changed_leaves():
    """A graph is refused after an optimizer has changed its leaves: the rules would mix old and new
    values.
    """
    w = positive_leaf(3)
    y, newer = np.sum(w * w), np.sum(w * w)
    newer.backward()
    mg.optim.SGD([w]).step()
    try:
        y.backward()
    except RuntimeError:
        return
    raise AssertionError("a graph from before the step gives a gradient")


def own_memory():
    """No two .grads share memory, nor with data or a cotangent."""
    x, y, u = positive_leaf(3), positive_leaf(3, seed=1), np.ones(3)
    (x + y).backward(u)
    arrays = [x.grad.data, y.grad.data, u, x.data, y.data]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def forwards_are_pure():
    """No op changes its operands."""
    for function in (
        F.relu,
        F.sigmoid,
        F.softmax,
        lambda x: F.dropout(x, P, training=True),
        lambda x: x[::2],
        np.exp,
    ):
        x = Tensor(np.linspace(-1, 1, 6), True)
        before = x.data.copy()
        function(x)
        assert np.array_equal(x.data, before)


def finds_wrong_rules():
    """The checker: an error of 0.1 % at any one entry is found, by gradcheck and by check_graph."""
    for entry in range(4):
        scale = np.ones(4)
        scale[entry] = 1.001
        wrong = planted(lambda x: x * x * x, lambda g, out, x, scale=scale: 3 * g * x * x * scale)
        assert not gradcheck(wrong, positive_leaf(4), raise_exception=False), (
            f"an error at entry {entry} passes"
        )
        assert not check_graph(np.sum(np.sin(wrong(positive_leaf(4)))))


def finds_what_ones_hide():
    """The checker: a softmax with a gradient of zero, and a rule that mixes its cotangents."""
    for forward, rule in (
        (lambda x: np.exp(x) / np.sum(np.exp(x)), lambda g, out, x: 0 * g),
        (lambda x: x * x, lambda g, out, x: 2 * x * np.mean(g)),
    ):
        assert not gradcheck(planted(forward, rule), positive_leaf(4), raise_exception=False)


def refuses_empty_proofs():
    """The checker: a gradient of zero on both sides is no proof; nor is a function that changes."""
    assert not gradcheck(lambda x: F.relu(-x), positive_leaf(3), raise_exception=False)
    rng = np.random.default_rng(0)
    try:
        gradcheck(lambda x: x * rng.random(), positive_leaf(3))
    except GradcheckError as error:
        assert "STOCHASTIC" in str(error)
    else:
        raise AssertionError("a function that changes from call to call passes")


def leaves_inputs_alone():
    """The checker: after it, inputs, noise and generators are as before."""
    x = positive_leaf(3)
    np.random.random()  # so that a generator seeded by an earlier check shows
    before, state = x.data.copy(), str(np.random.get_state())
    rng = np.random.default_rng(7)
    drawn = str(rng.bit_generator.state)
    gradcheck(lambda x: F.dropout(x, P, training=True, rng=rng) * x, x, raise_exception=False)
    assert (
        np.array_equal(x.data, before)
        and str(np.random.get_state()) == state
        and str(rng.bit_generator.state) == drawn
    )


def judges_kinks():
    """The checker: a valid subgradient passes, a value outside the slopes fails, and a steep tanh
    is no kink.
    """
    at = Tensor(np.array([0.0, 0.5]), True)
    assert gradcheck(F.relu, at)
    assert not gradcheck(
        planted(lambda x: np.maximum(x, 0), lambda g, out, x: g * np.where(x == 0, 1.5, x > 0)),
        at,
        raise_exception=False,
    )
    steep = planted(lambda x: np.tanh(1e3 * x), lambda g, out, x: 5e2 * g * (1 - out * out))
    assert not gradcheck(steep, Tensor(np.array([0.0]), True), raise_exception=False)


def samples_bite():
    """The checker: an error of 1 % in a rule is found at the points of the sample table."""
    for name in ("multiply", "matmul", "square", "tanh", "power"):
        with rule(name, lambda right: lambda *a: 1.01 * right(*a))():
            assert prove(name, samples.samples[name][:3]).verdict == "FAIL", (
                f"a wrong {name} passes"
            )
    for name in ("absolute", "relu", "exp"):
        at_0 = lambda right: lambda g, out, x: right(g, out, x) + 5 * g * (x == 0)
        with rule(name, at_0)():
            assert prove(name, samples.samples[name]).verdict == "FAIL"


def planted(forward, rule):
    """An op with this rule that is not in the registry."""
    before = dict(ops)
    call = op(forward, x=rule)
    ops.clear()
    ops.update(before)
    return call


CHECKS = [
    *(
        pathwise,
        expected_value,
        ridge,
        evaluation,
        edge_rates,
        law,
        streams,
        numbered_streams,
        monte_carlo,
    ),
    *(
        law_of_channels,
        law_of_samples,
        law_of_shared,
        law_of_gaussian,
        added_noise,
        keeps_moments,
        noisy_weights,
    ),
    *(penalty_gradients, penalty_values, penalised, weight_decay, zero_weights),
    *(proximal_step, lasso, proximal_or_backward, ledger, doubled),
    *(diamond, broadcasts, accumulation, retained, changed_leaves, own_memory, forwards_are_pure),
    *(
        finds_wrong_rules,
        finds_what_ones_hide,
        refuses_empty_proofs,
        leaves_inputs_alone,
        judges_kinks,
        samples_bite,
    ),
]

# --------------------------------------------------------------------------------------------- bugs


class Bug(NamedTuple):
    name: str
    plant: object  # makes a context manager
    killer: object  # the check that must fail
    seen: str = ""  # a thread about it, or a library that has it; a bug may also be easy to make


def text(function, *changes):
    """The bug of a function with parts of its text replaced: text(f, old, new, ...). Raises an
    error if the function no longer has a part.
    """

    @contextlib.contextmanager
    def plant():
        plain = inspect.unwrap(function)
        source = textwrap.dedent(inspect.getsource(plain))
        for old, new in zip(changes[::2], changes[1::2]):
            assert old in source, (
                f"{plain.__qualname__} no longer has the text {old!r}: write the planted bug anew"
            )
            source = source.replace(old, new)
        found = deque([compile(source, f"<bug in {plain.__name__}>", "exec")])
        while (code := found.popleft()).co_name != plain.__name__:
            found.extend(c for c in code.co_consts if inspect.iscode(c))
        right, plain.__code__ = plain.__code__, code
        try:
            yield
        finally:
            plain.__code__ = right

    return plant


def rule(name, wrong):
    """The bug of the op `name` with wrong(right rule) in place of its last rule."""

    @contextlib.contextmanager
    def plant():
        rules = ops[name].rules
        i = max(i for i, r in enumerate(rules) if r is not None)
        right = rules[i]
        rules[i] = wrong(right)
        try:
            yield
        finally:
            rules[i] = right

    return plant


def value(owner, name, wrong):
    """The bug of another value of owner.name."""

    @contextlib.contextmanager
    def plant():
        right = getattr(owner, name)
        setattr(owner, name, wrong)
        try:
            yield
        finally:
            setattr(owner, name, right)

    return plant


def redrawn(right):
    rng = np.random.default_rng(0)
    return lambda g, out, x, noise, p, scaling: right(
        g, out, x, rng.random(noise.shape) < 1 - p, p, scaling
    )


def group_rule_without_care(right):
    def norms(w, axis):
        return np.sqrt(np.sum(w * w, axis=penalties.axes_inside(w, axis), keepdims=True))

    return lambda g, out, c, axis, *ws: [c * g * w / norms(w, axis) for w in ws]


def rule_of_dropout(scale, mask=True):
    return lambda right: (
        lambda g, out, x, noise, p, scaling: (
            g * (noise if mask else 1) * (stochastic._scale(p, scaling) if scale else 1)
        )
    )


BUGS = [
    # ---- dropout
    Bug(
        "backward without the mask",
        rule("dropout", rule_of_dropout(scale=True, mask=False)),
        pathwise,
        "ddbourgin/numpy-ml#94",
    ),
    Bug("backward without the scale", rule("dropout", rule_of_dropout(scale=False)), pathwise),
    Bug(
        "mask redrawn in backward",
        rule("dropout", redrawn),
        pathwise,
        "openai/guided-diffusion#167",
    ),
    Bug(
        "no scale",
        text(stochastic._scale, "1 / (1 - p)", "1.0"),
        expected_value,
        "minitorch's tests let it pass",
    ),
    Bug("scale 1/p", text(stochastic._scale, "1 / (1 - p)", "1 / p"), expected_value),
    Bug(
        "scaled twice",
        text(stochastic._scale, "1 / (1 - p)", "1 / (1 - p) ** 2"),
        ridge,
        "clab/dynet#186",
    ),
    Bug(
        "classic dropout scaled in training too",
        text(stochastic._scale, 'scaling == "classic"', "False"),
        expected_value,
    ),
    Bug(
        "keep and drop swapped",
        text(dropping._mask, "Bernoulli(1 - p)", "Bernoulli(p)"),
        law,
        "TensorFlow-Examples#205",
    ),
    Bug(
        "scaled in evaluation as well",
        text(dropping._dropped, "else x\n", "else x * (1 - p)\n"),
        evaluation,
        "mdenil/dropout#16",
    ),
    Bug(
        "evaluation scaled by p for 1-p",
        text(dropping._dropped, "(x, 1 - p)", "(x, p)"),
        evaluation,
        "karpathy/convnetjs#106",
    ),
    Bug(
        "evaluation mode ignored",
        text(nn.Stochastic.forward, "self.training", "True"),
        evaluation,
        "pytorch#26338",
    ),
    Bug(
        "never on",
        text(nn.Stochastic.forward, "self.training", "False"),
        law,
        "vision_transformer#19",
    ),
    Bug(
        "p = 1 gives NaN",
        text(stochastic._scale, "0.0 if p == 1 else 1 / (1 - p)", "np.divide(1.0, 1 - p)"),
        edge_rates,
        "google/flax#2055",
    ),
    Bug(
        "the same mask every step",
        text(Noise._drawn, "draw(rng", "draw(np.random.default_rng(0)"),
        law,
        "elixir-nx/axon#423, PaddlePaddle/Paddle#7796",
    ),
    Bug(
        "all layers draw the same",
        text(randomness.Seeded.stream, "tuple(name.encode())", "()"),
        law,
    ),
    Bug(
        "one stream for all layers",
        text(Noise.__init__, "path(scope.get(), by_kind=True)", '""'),
        streams,
    ),
    Bug(
        "neighbours share their noise",
        text(
            randomness.Bernoulli.draw,
            "return drawn",
            "drawn[1::2] = drawn[: len(drawn) // 2 * 2 : 2]; return drawn",
        ),
        law,
    ),
    Bug(
        "a number, not a kind, names the noise",
        text(Noise.__init__, "by_kind=True", "by_kind=False"),
        numbered_streams,
    ),
    Bug(
        "elements for channels",
        text(dropping._dropout, "range(2, 2 + rank)", "()"),
        law_of_channels,
        "pytorch#69801",
    ),
    Bug(
        "the wrong axis shared",
        text(dropping._dropout, "range(2, 2 + rank)", "1"),
        law_of_channels,
        "PyTorch-NLP#71",
    ),
    Bug(
        "share ignored",
        text(dropping._mask, "if axis in shared", "if False"),
        law_of_shared,
        "pytorch#20058 asks for it",
    ),
    Bug("elements for samples", text(F.drop_path, "range(1, np.ndim(x))", "()"), law_of_samples),
    Bug(
        "Gaussian noise added",
        text(F.gaussian_dropout, "return x * ", "return x + "),
        law_of_gaussian,
        "keras#5665",
    ),
    Bug(
        "variance for standard deviation",
        text(F.gaussian_dropout, "math.sqrt(p / (1 - p))", "p / (1 - p)"),
        law_of_gaussian,
        "j-min/Dropouts#2",
    ),
    Bug(
        "standard deviation for variance",
        text(F.gaussian_noise, "Normal(0.0, std)", "Normal(0.0, std**0.5)"),
        added_noise,
    ),
    Bug(
        "no scale and shift after alpha dropout",
        text(F.alpha_dropout, "a = ((1 - p)", "a = 1 or ((1 - p)"),
        keeps_moments,
    ),
    Bug("alpha dropout drops to 0", text(F.alpha_dropout, "x, low)", "x, 0.0)"), keeps_moments),
    Bug(
        "noise on the input, not on the weight",
        text(
            *(
                nn.DropConnect._without,
                "= Stochastic.forward(self, self.module.weight)",
                "= self.module.weight",
            ),
            *("forward(*args", "forward(F.dropout(args[0], self.p, self.training)"),
        ),
        noisy_weights,
    ),
    Bug(
        "sampling() ignored",
        text(dropping._draws, "training or sampling_mode.get()", "training"),
        monte_carlo,
        "SalsaNext#40",
    ),
    # ---- penalties
    Bug(
        "factor 2 lost",
        rule("l2_penalty", lambda right: lambda g, out, c, *ws: [c * g * w for w in ws]),
        penalty_gradients,
        "keras#4712",
    ),
    Bug(
        "wrong sign",
        rule("l2_penalty", lambda right: lambda *a: [-x for x in right(*a)]),
        penalty_gradients,
        "andersbll/nnet#4",
    ),
    Bug(
        "NaN at zero",
        rule("l1_penalty", lambda right: lambda g, out, c, *ws: [c * g * w / abs(w) for w in ws]),
        zero_weights,
        "HIPS/autograd#151",
    ),
    Bug(
        "coefficient applied twice",
        text(penalties.coefficient, "return float(value)", "return float(value) ** 2"),
        penalty_values,
        "nitrain#42",
    ),
    Bug(
        "another convention, c/2",
        text(penalties.coefficient, "return float(value)", "return float(value) / 2"),
        weight_decay,
        "cs231n.github.io#89",
    ),
    Bug(
        "a mean, not a sum",
        text(penalties._sum_of_squares, "w.reshape(-1))", "w.reshape(-1)) / w.size"),
        penalty_values,
        "paiml/aprender#2133",
    ),
    Bug(
        "L1 and L2 swapped",
        value(penalty_objects, "F", SimpleNamespace(l1_penalty=F.l2_penalty)),
        penalised,
        "FluxML/Flux.jl#160",
    ),
    Bug(
        "biases included",
        text(nn.Module.own_penalties, " if part in name", ""),
        penalised,
        "JWarmenhoven/Coursera-Machine-Learning#3",
    ),
    Bug(
        "counted per use",
        text(
            nn.Module.penalty,
            "nodes = [",
            "weights = {p: {**w, **{-k: v for k, v in w.items()}} for p, w in weights.items()}\n    nodes = [",
        ),
        penalised,
        "keras#8807",
    ),
    Bug(
        "added again at each call",
        text(
            *(
                nn.Module.penalty,
                "nodes = [",
                "self.again = [*getattr(self, 'again', []), *weights.items()]\n    nodes = [",
            ),
            *("for penalty, own in weights.items()", "for penalty, own in self.again"),
        ),
        penalised,
        "keras#8700",
    ),
    Bug(
        "never added",
        text(nn.Module.penalty, "if nodes else 0.0", "if not nodes else 0.0"),
        penalised,
        "hunglc007/tensorflow-yolov4-tflite#369",
    ),
    Bug(
        "the norm of a group is NaN at zero",
        rule("group_l2", group_rule_without_care),
        zero_weights,
        "pytorch#2421",
    ),
    Bug("squared norms of groups", text(penalties.group_l2, "np.sqrt(", "("), penalty_values),
    Bug(
        "groups the wrong way round",
        text(penalties.axes_inside, "range(1, w.ndim)", "range(0, 1)"),
        penalty_values,
    ),
    # ---- proximal steps
    Bug(
        "proximal operator and subgradient both",
        text(
            ledgers.split,
            "smooth = [p for p in parts if not is_proximal(p.node)]",
            "smooth = parts",
        ),
        proximal_step,
    ),
    Bug(
        "a proximal step after a backward",
        text(optim.ProximalSGD.step, "w.grad is not None", "False"),
        proximal_or_backward,
    ),
    Bug(
        "threshold without the lr",
        text(optim.proximal.moved, "prox(new, lr)", "prox(new, 1.0)"),
        proximal_step,
    ),
    Bug(
        "threshold of the gradient, not of the step",
        text(optim.proximal.moved, "prox(new, lr)", "w - prox(w - new, lr)"),
        proximal_step,
    ),
    Bug(
        "elastic net without the shrinking",
        text(
            penalties.prox_of_sum,
            "moved = operator(v",
            "moved = v if operator is shrink else operator(v",
        ),
        proximal_step,
    ),
    Bug("shrinks by c, not 2c", text(penalties.shrink, "2 * t", "t"), proximal_step),
    Bug(
        "a hard threshold",
        text(penalties.soft_threshold, "v - np.clip(v, -t, t)", "v * (abs(v) > t)"),
        proximal_step,
    ),
    Bug(
        "momentum after the threshold",
        text(
            optim.ProximalSGD.step, "data[...] = new", "data[...] = new + self.momentum * (new - x)"
        ),
        lasso,
    ),
    # ---- the ledger of a loss
    Bug(
        "a term counted twice",
        text(ledgers.addends, "parts.reverse()", "parts = parts[::-1] + parts[:1]"),
        ledger,
        "keras#8700",
    ),
    Bug(
        "a term reached twice counted once",
        text(ledgers.addends, "before + own", "own"),
        ledger,
    ),
    Bug(
        "a difference read as a sum",
        text(
            ledgers.addends,
            "own = node.op.rules[i](factor",
            "own = abs(factor) * node.op.rules[i](1.0",
        ),
        ledger,
    ),
    Bug(
        "factors forgotten",
        text(ledgers.addends, "own = np.asarray(own)", "own = np.sign(own)"),
        ledger,
    ),
    Bug(
        "L2 and weight decay together go unseen",
        text(ledgers._decayed_twice, "> 0", "> np.inf"),
        doubled,
    ),
    Bug(
        "a penalty twice goes unseen",
        text(ledgers._penalised_twice, "times > 1", "times > 9"),
        doubled,
    ),
    Bug(
        "a penalty that is added twice counts once",
        text(ledgers.addends, "others + times", "1"),
        doubled,
    ),
    Bug(
        "a penalty inside another term is not seen",
        text(ledgers._hidden, "if is_penalty(node)", "if not mixed"),
        doubled,
    ),
    Bug(
        "a decay of 0 reported",
        text(ledgers._decayed_twice, "if decay and", "if decay is not None and"),
        doubled,
    ),
    # ---- engine
    Bug(
        "overwritten, not added",
        text(engine.backward_pass, "entry[1:] = entry[1] + cotangent", "entry[1:] = cotangent"),
        diamond,
        "karpathy/nn-zero-to-hero#52",
    ),
    Bug(
        "depth first, not in order",
        text(engine.backward_pass, "heappop(heap)", "heap.pop()"),
        diamond,
        "karpathy/micrograd#2",
    ),
    Bug(
        "broadcast undone along one axis only",
        text(engine.unbroadcast, "(*range(lead), *axes)", "(*range(lead), *axes)[:1]"),
        broadcasts,
        "harvard-edge/cs249r_book#1867",
    ),
    Bug(
        "broadcast averaged, not summed", text(engine.unbroadcast, "g.sum(", "g.mean("), broadcasts
    ),
    Bug(
        "second backward through a stale graph",
        text(engine.backward_pass, "node.args = None", "pass"),
        accumulation,
        "karpathy/micrograd#102",
    ),
    Bug(".grad replaced, not added to", text(Tensor.backward, "x.grad + g", "g"), accumulation),
    Bug(
        "a step between forward and backward unnoticed",
        text(mg.optim.Optimizer.step, "mark_changed(w)", "pass"),
        changed_leaves,
    ),
    Bug(
        "graph freed although retained",
        text(engine.backward_pass, "not retain_graph", "True"),
        retained,
        "TrenTorch#182",
    ),
    Bug(".grad shares memory", text(engine._as_gradient, "is_own and ", ""), own_memory),
    Bug(
        "added to in place what is not its own",
        text(engine.backward_pass, "is_new and id(cotangent) not in given]", "True]"),
        own_memory,
    ),
    # ---- ops
    Bug("a forward in place", text(F.relu, "x.dtype)", "x.dtype), out=x"), forwards_are_pure),
    # ---- checker
    Bug(
        "compares nothing",
        text(verdict.judge, "if not apart <= rounding + tolerance:", "if False:"),
        finds_wrong_rules,
        "SmallPebble",
    ),
    Bug(
        "a tolerance of 1e-2",
        text(verdict.judge, "alone.settings.rtol * size", "1e-2 * max(size, 1)"),
        finds_wrong_rules,
        "minitorch; Odyssey#2018",
    ),
    Bug(
        "one entry only",
        text(verdict.look, "v.flat[entries] = ", "v.flat[entries] = (entries == 0) * "),
        finds_wrong_rules,
        "minitorch",
    ),
    Bug(
        "a cotangent of ones",
        text(verdict.Alone.__init__, "cotangent(settings.rng, node.shape)", "np.ones(node.shape)"),
        finds_what_ones_hide,
        "DeZero, minitorch, needle",
    ),
    Bug(
        "zero equals zero",
        text(functions.examine, "if silent and not zero_allowed:", "if False:"),
        refuses_empty_proofs,
        "Burton2000/CS231n-2017#9, cs231n.github.io#11",
    ),
    Bug(
        "randomness not looked for",
        text(functions.examine, "if not _apart(func, xs, outputs, {}) <= nondet_tol", "if False"),
        refuses_empty_proofs,
        "torch/tutorials#25",
    ),
    Bug(
        "inputs moved and not put back",
        text(numeric.lifted, "np.array(data, complex)", "data"),
        finds_wrong_rules,
        "HomericIntelligence/Odyssey#2090",
    ),
    Bug(
        "NumPy's global generator seeded",
        text(functions.examine, "outputs = ", "np.random.seed(0); outputs = "),
        leaves_inputs_alone,
        "DeZero's tests",
    ),
    Bug(
        "noise not held fixed",
        text(randomness.frozen_noise.note, "self.drawn[rng] = rng.bit_generator.state", "pass"),
        pathwise,
        "chainer#4010",
    ),
    Bug(
        "a kink is a failure",
        text(verdict.judge, 'Finding("KINK"', 'Finding("FAIL"'),
        judges_kinks,
        "HIPS/autograd; BVLC/caffe#1334",
    ),
    Bug(
        "a kink excuses all",
        text(verdict.judge, 'Finding("FAIL"', 'Finding("KINK"'),
        judges_kinks,
        "deeplearning4j#1280 left relu out",
    ),
    Bug(
        "only where the derivative is zero",
        text(samples.case.Sample.inputs, '[known["normal"](*v)', '[0 * known["normal"](*v)'),
        samples_bite,
        "minitorch's log(a + 100000)",
    ),
    Bug(
        "never at 0, where rules may branch",
        text(samples.case.ways, "] = whole", "] = whole + 0.3"),
        samples_bite,
    ),
]


# -------------------------------------------------------------------------------------------- table


def fails(check):
    """The error that a check raises, or None if it passes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            check()
        except Exception as error:
            return error
    return None


def main():
    print(f"{'bug':42} {'killed by':22} others seen in")
    alive = [check.__name__ for check in CHECKS if fails(check)]
    for bug in BUGS:
        with bug.plant():
            killers = [check for check in CHECKS if fails(check)]
        others = len(killers) - (bug.killer in killers)
        print(
            f"{bug.name:42} {bug.killer.__name__ if bug.killer in killers else 'NOT KILLED':22} {others:4}   {bug.seen}",
            flush=True,
        )
        alive += [] if bug.killer in killers else [bug.name]
    print(
        f"{len(BUGS)} bugs, {len(CHECKS)} checks. "
        + (
            f"NOT IN ORDER: {', '.join(alive)}"
            if alive
            else "Each bug is killed; without bugs every check passes."
        )
    )
    return bool(alive)


if __name__ == "__main__":
    sys.exit(main())

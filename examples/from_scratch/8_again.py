# %% [markdown]
# # Step 8 of 8: again
# This engine has all seven steps, more ops, and one more idea: see the lines marked "new".

# %%
import sys
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from runpy import run_path

import numpy as np

import minigrad as mg

clock = count()
data_of = lambda x: x.data if isinstance(x, Tensor) else x


class Op:
    """A function on arrays and, for its first arguments, the rules: rule(g, out, *args)."""

    def __init__(self, forward, **rules):
        self.forward, self.rules = forward, list(rules.values())

    def __call__(self, *args):
        if not any(isinstance(x, Tensor) for x in args):  # new: on arrays, an op just computes
            return self.forward(*args)
        return Tensor(self.forward(*map(data_of, args)), self, args)

    def vjp(self, g, node, on_tensors):
        """The pairs (argument, its slope) of a result. (vjp: vector-Jacobian product.)"""
        given = (node, *node.args) if on_tensors else (node.data, *map(data_of, node.args))  # new
        pairs = zip(node.args, self.rules)
        return [(x, rule(g, *given)) for x, rule in pairs if isinstance(x, Tensor)]


class Tensor:
    """An array that remembers the op that made it and the arguments of that op."""

    __array_ufunc__ = None  # so that `array * tensor` calls Tensor.__rmul__

    def __init__(self, data, op=None, args=()):
        self.data, self.op, self.args = np.asarray(data, float), op, args
        self.order, self.grad = next(clock), None

    shape = property(lambda self: self.data.shape)
    T = property(lambda self: transpose(self))

    def backward(self, create_graph=False):
        """Gives each tensor of the graph its `.grad`: an array; a Tensor with `create_graph`."""
        g = Tensor(np.ones(self.shape)) if create_graph else np.ones(self.shape)  # new
        sums, heap = {self.order: [self, g]}, [-self.order]
        while heap:
            node, g = sums.pop(-heappop(heap))
            node.grad = g
            for x, slope in node.op.vjp(g, node, create_graph) if node.op else ():
                if x.order not in sums:
                    sums[x.order] = [x, 0.0]
                    heappush(heap, -x.order)
                sums[x.order][1] = sums[x.order][1] + unbroadcast(slope, x.shape)


def unbroadcast(g, shape):
    """Sums g over the axes along which an argument of this shape was copied."""
    if g.shape == shape:
        return g
    lead = len(g.shape) - len(shape)
    copied = [lead + i for i, n in enumerate(shape) if n == 1]
    return reshape(sum(g, (*range(lead), *copied)), shape)


# New: the rules use ops and operators alone, so they run on arrays and on tensors.
add = Op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
subtract = Op(np.subtract, x=lambda g, out, x, y: g, y=lambda g, out, x, y: -g)
multiply = Op(np.multiply, x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: g * x)
divide = Op(np.divide, x=lambda g, out, x, y: g / y, y=lambda g, out, x, y: -g * out / y)
exp = Op(np.exp, x=lambda g, out, x: g * out)
log = Op(np.log, x=lambda g, out, x: g / x)
tanh = Op(np.tanh, x=lambda g, out, x: g * (1 - out * out))
is_positive = Op(lambda x: x > 0)  # it has no rule: its slope is 0
relu = Op(lambda x: np.maximum(x, 0), x=lambda g, out, x: g * is_positive(x))
l2_penalty = Op(lambda w, c: c * np.sum(w * w), w=lambda g, out, w, c: 2 * c * g * w)
# The rule of a linear op is its transpose.
sum = Op(
    lambda x, axis=None: np.sum(x, axis=axis, keepdims=axis is not None),  # axes stay, of size 1
    x=lambda g, out, x, axis=None: copy(g, x.shape),
)
copy = Op(np.broadcast_to, x=lambda g, out, x, shape: unbroadcast(g, x.shape))
reshape = Op(np.reshape, x=lambda g, out, x, shape: reshape(g, x.shape))
transpose = Op(np.transpose, x=lambda g, out, x: transpose(g))
matmul = Op(np.matmul, x=lambda g, out, x, y: g @ y.T, y=lambda g, out, x, y: x.T @ g)
dropout = Op(lambda x, m, p: x * m / (1 - p), x=lambda g, out, x, m, p: dropout(g, m, p))
operators = {"add": add, "sub": subtract, "mul": multiply, "truediv": divide, "matmul": matmul}
for name, op in operators.items():
    setattr(Tensor, f"__{name}__", lambda x, y, op=op: op(x, y))
    setattr(Tensor, f"__r{name}__", lambda x, y, op=op: op(y, x))  # 1 - x calls x.__rsub__(1)
Tensor.__neg__ = lambda x: multiply(-1, x)

# %% [markdown]
# ## It fails
# Without `create_graph`, this is the engine of step 7. Its gradients are plain arrays.

# %%
x = Tensor(2.0)
(x * x * x).backward()
try:
    x.grad.backward()
except AttributeError as error:
    print(f"FAILURE: the slope of x^3 at 2 is {x.grad}. The slope of the slope: {error}.")

# %% [markdown]
# ## The idea: rules on tensors
# A rule is a formula of g, `out` and the arguments. If these are tensors, the same formula records
# a graph: the graph of the slope. So the slope has a backward pass too, and its slope has one too.

# %%
print("\nderivatives of tanh at 0.5      here  in minigrad")
here, there = Tensor(0.5), mg.Tensor(0.5, requires_grad=True, dtype=float)
slope, their_slope = tanh(here), np.tanh(there)
for k in (1, 2, 3, 4):
    slope.backward(create_graph=True)
    slope = here.grad
    (their_slope,) = mg.grad(their_slope, there, create_graph=True)
    print(f"{k:26}{slope.data:10.6f}  {their_slope.item():11.6f}")
    np.testing.assert_allclose(slope.data, their_slope.data, rtol=1e-12)

# %% [markdown]
# ## The digits
# This is the main job, examples/regularization.py, with one seed, and with plain gradient steps in
# place of Adam. It has 500 digits, a fifth of them with wrong labels. A network without dropout and
# L2 learns them by heart, the wrong labels too. `--quick` takes 200 steps in place of 3,000.
# A digit's probability is exp(its score) / sum(exp(scores)).

# %%
folder = Path(globals().get("__file__", "8_again")).resolve().parent  # a notebook runs in it
digits = run_path(str(folder.parent / "digits.py"))
(images, labels), _, (new_images, new_labels) = digits["noisy_split"](seed=0)  # _: for validation


def scores_of(x, weights, masks, p):
    """The scores (n, 10) of the digits for images x (n, 64). Two hidden layers have dropout."""
    for k, mask in enumerate(masks):
        x = dropout(relu(x @ weights[2 * k] + weights[2 * k + 1]), mask, p)
    return x @ weights[4] + weights[5]


def loss_of(x, labels, weights, masks, p, c):
    """Cross-entropy, the mean of -log(probability of the label), and L2 on the hidden layers."""
    scores = scores_of(x, weights, masks, p)
    losses = log(sum(exp(scores), 1)) - sum(scores * np.eye(10)[labels], 1)
    return sum(losses) / len(x) + l2_penalty(weights[0], c) + l2_penalty(weights[2], c)


def train(p, c, steps):
    """The accuracy on new digits in per cent, and the arguments of the last loss."""
    rng, weights = np.random.default_rng(0), []
    for n_in, n_out in ((64, 128), (128, 64), (64, 10)):
        bound = np.sqrt(6 / (n_in + n_out))  # the start: Glorot & Bengio 2010
        weights += [Tensor(rng.uniform(-bound, bound, (n_in, n_out))), Tensor(np.zeros(n_out))]
    for _ in range(steps):
        batch = rng.choice(500, size=32, replace=False)
        masks = [Tensor(rng.random((32, width)) >= p) for width in (128, 64)]  # noise: leaves
        last = images[batch], labels[batch], weights, masks, p, c
        loss_of(*last).backward()
        for w in weights:
            w.data = w.data - 0.1 * w.grad
    scores = scores_of(new_images, weights, masks=(1, 1), p=0)  # no dropout for new digits
    return 100 * np.mean(scores.data.argmax(axis=1) == new_labels), last


steps = 200 if "--quick" in sys.argv else 3000
plain, _ = train(p=0.0, c=0.0, steps=steps)
regular, last = train(p=0.5, c=3e-3, steps=steps)
print(f"\nright of 1,097 new digits  here, {steps:5,} steps  main job: mean ± spread of 5 seeds")
print(f"without regularization               {plain:.1f}%           81.7% ± 1.7%")
print(f"dropout + L2                         {regular:.1f}%           91.9% ± 1.5%")
assert steps < 3000 or regular > 91.9 - 2 * 1.5 > plain

loss_of(*last).backward()
x, labels, weights, masks, p, c = last
# An op that gets no Tensor of ours just computes. So minigrad's tensors record their own graph.
theirs = [mg.Tensor(w.data, requires_grad=True) for w in weights]
loss_of(x, labels, theirs, [mask.data for mask in masks], p, c).backward()
assert all(np.allclose(w.grad, t.grad.data, 1e-9, 1e-12) for w, t in zip(weights, theirs))
print("The gradients of the last loss are equal to minigrad's.")

# %% [markdown]
# ## There, here
# Each line of this file has its place in minigrad. There it does a little more. To write rules
# yourself, go on with the exercises: examples/exercises/README.md.
#
# | here | there, in `minigrad/` | and what for |
# |---|---|---|
# | `Tensor`, `backward`, `unbroadcast` | `engine.py` | the same walk; it frees the graph |
# | `Op`, its `__call__` and `vjp` | `engine.py`, `fast.py` | `Op`, `record`; the same, faster |
# | `add = Op(np.add, x=..., y=...)` | `registry.py` | `op`: any number of arguments, by name |
# | `Tensor.__add__ = ...` | `ops/methods.py`, `array.py` | NumPy's functions take tensors too |
# | `add` to `relu` | `ops/elementwise.py` | functions of one entry at a time |
# | `sum`; `copy` to `matmul` | `ops/reductions.py`, `shaping.py`, `linalg.py` | linear ops |
# | `masks`, `dropout` | `noise.py`, `ops/dropout.py` | laws, and streams of random numbers |
# | `l2_penalty`, `prox` (step 7) | `ops/penalties.py`, `optim/proximal.py` | exact zeros |
# | `scores_of`, `loss_of` | `nn/`, `functional/` | layers; an exp that does not overflow |
# | `train` | `optim/rules.py`, `data.py` | Adam and others, batches |
# | `evaluate` (step 7) | `graph.py`, `check/expectations.py` | a graph is a program |
# | `check` (step 6) | `check/graphs.py`, `check/diagnosis.py` | says what is wrong with a rule |
# | the listing (step 4) | `drawing/` | `mg.draw(loss)`, `mg.to_text(loss)` |

# %% [markdown]
# # Step 7 of 8: noise and penalties
# This is the engine of step 6, without broadcasting. New: the last arguments of an op may be plain
# numbers, without a rule. `evaluate(nodes, {tensor: array})` runs the graph again on other data.

# %%
from heapq import heappop, heappush
from itertools import count

import numpy as np

import minigrad as mg
import minigrad.functional as F

clock, rng = count(), np.random.default_rng(0)
data_of = lambda x: x.data if isinstance(x, Tensor) else x


class Op:
    def __init__(self, forward, **rules):
        self.forward, self.rules = forward, list(rules.values())

    def __call__(self, *args):
        return Tensor(self.forward(*map(data_of, args)), self, args)


class Tensor:
    def __init__(self, data, op=None, args=()):
        self.data, self.op, self.args, self.order = np.asarray(data, float), op, args, next(clock)

    def backward(self):
        nodes, sums, heap = [], {self.order: [self, np.ones_like(self.data)]}, [-self.order]
        while heap:
            node, g = sums.pop(-heappop(heap))
            node.grad = g
            nodes.append(node)
            given = node.data, *map(data_of, node.args)
            for x, rule in zip(node.args, node.op.rules if node.op else ()):
                if x.order not in sums:
                    sums[x.order] = [x, 0.0]
                    heappush(heap, -x.order)
                sums[x.order][1] = sums[x.order][1] + rule(g, *given)
        return nodes[::-1]  # now the oldest is the first


def evaluate(nodes, values):
    results = dict(values)
    for node in nodes:
        args = [results.get(x, data_of(x)) for x in node.args]  # other data, or its own
        results.setdefault(node, node.op.forward(*args) if node.op else node.data)
    return results[nodes[-1]]


add = Op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
subtract = Op(np.subtract, x=lambda g, out, x, y: g, y=lambda g, out, x, y: -g)
square = Op(np.square, x=lambda g, out, x: 2 * g * x)
sum = Op(np.sum, x=lambda g, out, x: np.broadcast_to(g, x.shape))

# %% [markdown]
# ## It fails: dropout cannot be checked
# *Dropout* helps against learning by heart. It sets each entry to 0 with probability p. To keep the
# mean, it divides the others by 1 - p. This op draws its noise itself, and its rule is right.

# %%
w, p, h, v = Tensor([1.0, -2.0, 3.0, 0.5]), 0.3, 2.0**-100, rng.normal(size=4)
drop = lambda x: x * (rng.random(x.shape) > p) / (1 - p)
careless_dropout = Op(drop, x=lambda g, out, x: g * (out != 0) / (1 - p))
nodes = square(sum(careless_dropout(w))).backward()
numeric = evaluate(nodes, {w: w.data + 1j * h * v}).imag / h
print(f"FAILURE: by the right rules {np.sum(v * w.grad):.6f}, by the complex step {numeric:.6f}.")

# %% [markdown]
# ## The idea: noise is a leaf of the graph
# The second run drew other noise. So draw the mask m first (1: an entry stays, 0: it is dropped),
# and give it to the op as an argument. It is *frozen*: the graph runs again with the same mask. Or
# it runs with each mask: the sum of the losses, each times its probability, is the *expectation*.

# %%
dropout = Op(lambda x, m, p: x * m / (1 - p), x=lambda g, out, x, m, p: g * m / (1 - p))
l2_penalty = Op(lambda w, c: c * np.sum(w * w), w=lambda g, out, w, c: g * c * 2 * w)
l1_penalty = Op(lambda w, c: c * np.sum(np.abs(w)), w=lambda g, out, w, c: g * c * np.sign(w))

noise = Tensor(rng.choice(2, size=4, p=[p, 1 - p]))
noise.law = np.array([p, 1 - p])  # the leaf knows its law: the probabilities of 0 and of 1
nodes = square(sum(dropout(w, noise, p))).backward()
numeric = evaluate(nodes, {w: w.data + 1j * h * v}).imag / h
print(f"Noise as a leaf: by the rules {np.sum(v * w.grad):.6f}, by the complex step {numeric:.6f}.")
masks = np.array(list(np.ndindex(2, 2, 2, 2)))  # 0000, 0001, ..., 1111
probabilities = np.prod(noise.law[masks], axis=1)  # p for each 0 of a mask, 1 - p for each 1
expected = probabilities @ [evaluate(nodes, {noise: mask}) for mask in masks]
# The mean of s^2 is (mean of s)^2 + variance of s. Here s is the sum of all w m / (1 - p). Each m
# has the variance p (1 - p), so s has the variance p / (1 - p) * sum w^2: an L2 penalty.
penalised = add(square(sum(w)), l2_penalty(w, p / (1 - p))).data
print(f"Mean loss of 16 masks {expected:.6f}; with L2 in place of dropout {penalised:.6f}.")
there = F.dropout(mg.Tensor(w.data, requires_grad=True), p, training=True).sum() ** 2
np.testing.assert_allclose([expected, penalised], mg.expectation(there).value.data, rtol=1e-12)

# %% [markdown]
# ## It fails again: L1 gives no zeros
# A *penalty* is a loss on the weights: L2 is c * sum w^2, L1 is c * sum |w|. L1 should make weights
# 0, but gradient steps jump over 0: the slope of c |w| is c or -c, however small w is. A *proximal*
# step is a gradient step without L1. Then *prox* moves w by rate * c towards 0, and stops at 0.

# %%
l1_penalty.prox = lambda v, t: v - np.clip(v, -t, t)  # the w with least |w - v|^2 / 2 + t |w|
target, rate, c = Tensor([2.0, -1.0, 0.3, 0.1]), 0.1, 1.0  # best: target, each moved c / 2 to 0
a, b, there = Tensor(np.ones(4)), Tensor(np.ones(4)), mg.Tensor(np.ones(4), requires_grad=True)
optimizer = mg.optim.ProximalSGD([there], lr=rate)
for _ in range(100):
    add(sum(square(subtract(a, target))), l1_penalty(a, c)).backward()  # a: gradient steps
    a = Tensor(a.data - rate * a.grad)
    sum(square(subtract(b, target))).backward()  # b: proximal steps
    b = Tensor(l1_penalty.prox(b.data - rate * b.grad, rate * c))
    optimizer.step(lambda: ((there - target.data) ** 2).sum() + F.l1_penalty(there, c=c))
print(f"FAILURE: gradient steps give {a.data.round(3)}: {np.sum(a.data == 0)} zeros.")
print(f"proximal steps, here  {b.data.round(3)}\nthe same, in minigrad {there.data.round(3)}")
np.testing.assert_allclose(b.data, there.data, rtol=1e-12)

# %% [markdown]
# A gradient is a plain array, without a graph. **What is the slope of a slope?** See 8_again.py.

# %% [markdown]
# # Step 6 of 8: proof
# This is the engine of step 5, and a new op, subtract. One of the ten rules is wrong. Which one?

# %%
from heapq import heappop, heappush
from itertools import count

import numpy as np

import minigrad as mg

clock, rng = count(), np.random.default_rng(0)


class Op:
    def __init__(self, forward, **rules):
        self.name, self.forward, self.rules = forward.__name__, forward, list(rules.values())

    def __call__(self, *args):
        return Tensor(self.forward(*[x.data for x in args]), self, args)


class Tensor:
    def __init__(self, data, op=None, args=()):
        self.data, self.op, self.args = np.asarray(data, float), op, args
        self.order, self.grad = next(clock), None

    def backward(self):
        visited, sums, heap = [], {self.order: [self, np.ones_like(self.data)]}, [-self.order]
        while heap:
            node, g = sums.pop(-heappop(heap))
            node.grad = g
            visited.append(node)
            given = node.data, *[x.data for x in node.args]
            for x, rule in zip(node.args, node.op.rules if node.op else ()):
                if x.order not in sums:
                    sums[x.order] = [x, 0.0]
                    heappush(heap, -x.order)
                sums[x.order][1] = sums[x.order][1] + unbroadcast(rule(g, *given), x)
        return visited  # as in step 4


def unbroadcast(g, x):
    lead = g.ndim - x.data.ndim
    copied = [lead + i for i, n in enumerate(x.data.shape) if n == 1]
    return g.sum(axis=(*range(lead), *copied)).reshape(x.data.shape)


add = Op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
subtract = Op(np.subtract, x=lambda g, out, x, y: g, y=lambda g, out, x, y: -g)
multiply = Op(np.multiply, x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: g * x)
matmul = Op(np.matmul, x=lambda g, out, x, y: g @ y.T, y=lambda g, out, x, y: x.T @ g)
tanh = Op(np.tanh, x=lambda g, out, x: g * (1 - out))
sum = Op(np.sum, x=lambda g, out, x: np.broadcast_to(g, x.shape))
Tensor.__add__, Tensor.__sub__ = (lambda x, y: add(x, y)), (lambda x, y: subtract(x, y))
Tensor.__mul__, Tensor.__matmul__ = (lambda x, y: multiply(x, y)), (lambda x, y: matmul(x, y))
Tensor.tanh, Tensor.sum = (lambda x: tanh(x)), (lambda x: sum(x))

# %% [markdown]
# ## It fails: a network learns with the wrong rule, and Python raises no error


# %%
def loss_of(x, y, w1, b1, w2):
    error = (x @ w1 + b1).tanh() @ w2 - y
    return (error * error).sum()


shapes = {"x": (20, 3), "y": (20, 1), "w1": (3, 4), "b1": (4,), "w2": (4, 1)}
tensors = {name: Tensor(rng.normal(size=shape)) for name, shape in shapes.items()}
losses = []
for _ in range(100):
    losses.append(loss_of(**tensors))
    losses[-1].backward()
    for name in ("w1", "b1", "w2"):  # a small move against the gradient
        tensors[name] = Tensor(tensors[name].data - 0.002 * tensors[name].grad)
print(f"FAILURE: a wrong rule, but the loss falls: {losses[0].data:.1f} to {losses[-1].data:.1f}.")

# %% [markdown]
# ## The idea: compare each rule with its own function
# The complex step needs no rule. Take an op of the graph, one argument x, random numbers v, and
# random slopes g of a loss by the result. If each x[j] grows by d v[j], the loss grows by d times
# its *slope along v*. By the rule this is the sum of v * rule(g, ...). By the complex step it is
# the sum of g * (slope of the result along v): move x by i h v. The two must be equal.


# %%
def check(loss, h=2.0**-100):
    """Yields for each rule of the graph: op, argument, two slopes, and whether they are equal."""
    for node in reversed(loss.backward()):
        data, g = [x.data for x in node.args], rng.normal(size=node.data.shape)
        for i, (x, rule) in enumerate(zip(node.args, node.op.rules if node.op else ())):
            v = rng.normal(size=x.data.shape)
            by_rule = np.sum(v * unbroadcast(rule(g, node.data, *data), x))
            moved = node.op.forward(*data[:i], x.data + 1j * h * v, *data[i + 1 :])
            numeric = np.sum(g * moved.imag / h)
            is_right = abs(by_rule - numeric) <= 1e-9 * abs(numeric)
            yield node.op.name, i, by_rule, numeric, is_right


# %% [markdown]
# ## The table, and the same numbers from minigrad

# %%
print("\nop        argument    by rule    numeric  verdict")
for name, i, by_rule, numeric, is_right in check(losses[-1]):
    print(f"{name:8}  {i:8}  {by_rule:9.5f}  {numeric:9.5f}  {'OK' if is_right else 'FAIL'}")

tanh.rules[0] = lambda g, out, x: g * (1 - out * out)  # the repair
there = {name: mg.Tensor(x.data, requires_grad=True) for name, x in tensors.items()}
loss, their_loss = loss_of(**tensors), loss_of(**there)
assert all(is_right for *_, is_right in check(loss)) and mg.check_graph(their_loss)
their_loss.backward()
for name, x in tensors.items():
    np.testing.assert_allclose(x.grad, there[name].grad.data, rtol=1e-12)
print("After the repair all rules are OK, and all gradients are equal to minigrad's.")

# %% [markdown]
# **How can we check dropout, which is random?** Go on with 7_noise.py.

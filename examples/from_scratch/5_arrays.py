# %% [markdown]
# # Step 5 of 8: arrays
# This is the engine of step 4, but its data are arrays. So the *gradient* of a tensor is an array
# too: it has one slope for each entry. `fit` is new, too.

# %%
from heapq import heappop, heappush
from itertools import count

import numpy as np

import minigrad as mg

clock = count()
fit = lambda g, x: g  # does nothing yet


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
        """Gives each tensor its `.grad`. The loss is the sum of self: each entry has slope 1."""
        sums, heap = {self.order: [self, np.ones_like(self.data)]}, [-self.order]
        while heap:
            node, g = sums.pop(-heappop(heap))
            node.grad = g
            given = node.data, *[x.data for x in node.args]
            for x, rule in zip(node.args, node.op.rules if node.op else ()):
                if x.order not in sums:
                    sums[x.order] = [x, 0.0]
                    heappush(heap, -x.order)
                # No += here: it would change an array in place that others may hold.
                sums[x.order][1] = sums[x.order][1] + fit(rule(g, *given), x)


add = Op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
multiply = Op(np.multiply, x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: g * x)
tanh = Op(np.tanh, x=lambda g, out, x: g * (1 - out * out))
Tensor.__add__, Tensor.__mul__ = (lambda x, y: add(x, y)), (lambda x, y: multiply(x, y))
Tensor.tanh = lambda x: tanh(x)

# %% [markdown]
# ## It fails
# NumPy adds arrays of different shapes by *broadcasting*: here it adds the row to each matrix row.

# %%
row, matrix = Tensor([1.0, 2.0, 3.0]), Tensor([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]])
(row + matrix).backward()
print(f"FAILURE: the row has shape {row.data.shape}, but its gradient has {row.grad.shape}.")

# %% [markdown]
# ## The idea: copy forward, sum backward
# Broadcasting *copies* the row, once for each row of the matrix, and each copy gets slopes. In step
# 3 we added the slopes of a tensor that is used twice. In the same way we add the slopes of all
# copies. No rule needs to know about it: we do it where a gradient arrives at its tensor.


# %%
def unbroadcast(g, x):
    """Sums g over the axes along which x was copied. If there are none, axis=() sums nothing."""
    lead = g.ndim - x.data.ndim  # the result may have more axes than x, all in front
    copied = [lead + i for i, n in enumerate(x.data.shape) if n == 1]
    return g.sum(axis=(*range(lead), *copied)).reshape(x.data.shape)


fit = unbroadcast
(row + matrix).backward()
print(f"Now it is {row.grad}: two copies, each with slope 1.")

# %% [markdown]
# Copying is a *linear* op: out = C x with a matrix C, here from 3 entries to 6. If x[j] grows by d,
# each out[i] grows by C[i, j] d. So the slope by x[j] is the sum of g[i] C[i, j], which is C.T g.
# The rule of each linear op is this *transpose*. So summing is the rule of copying, and copying is
# the rule of `sum`. The rules of a matrix product have the transpose of the other factor.

# %%
C = np.tile(np.eye(3), (2, 1))  # C @ x is x, and x again
g = np.arange(6.0)
print(f"C =\n{C.astype(int)}\nC.T @ g = {C.T @ g}, unbroadcast {fit(g.reshape(2, 3), row)}")

sum = Op(np.sum, x=lambda g, out, x: np.broadcast_to(g, x.shape))
matmul = Op(np.matmul, x=lambda g, out, x, y: g @ y.T, y=lambda g, out, x, y: x.T @ g)
Tensor.sum, Tensor.__matmul__ = (lambda x: sum(x)), (lambda x, y: matmul(x, y))

# %% [markdown]
# ## The table: a small network, and the same numbers from minigrad

# %%
rng = np.random.default_rng(0)
shapes = {"x": (5, 4), "w1": (4, 3), "b1": (3,), "w2": (3, 1), "b2": ()}
values = {name: rng.normal(size=shape) for name, shape in shapes.items()}


def loss_of(x, w1, b1, w2, b2):
    error = (x @ w1 + b1).tanh() @ w2 + b2
    return (error * error).sum()


here = {name: Tensor(value) for name, value in values.items()}
there = {name: mg.Tensor(value, requires_grad=True) for name, value in values.items()}
loss_of(**here).backward()
loss_of(**there).backward()
print("\ntensor  shape    sum |gradient|   in minigrad")
for name, x in here.items():
    sizes = np.abs(x.grad).sum(), np.abs(there[name].grad.data).sum()
    print(f"{name:7} {x.data.shape!s:8} {sizes[0]:14.6f}  {sizes[1]:12.6f}")
    np.testing.assert_allclose(x.grad, there[name].grad.data, rtol=1e-12)

# %% [markdown]
# These five ops have eight rules. **Who would notice if one were wrong?** Go on with 6_proof.py.

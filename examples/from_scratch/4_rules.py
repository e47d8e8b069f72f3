# %% [markdown]
# # Step 4 of 8: rules are data
# In the engine of step 3 each result holds a rule of its own. This is the part that matters:

# %%
import gc
import weakref
from heapq import heappop, heappush
from itertools import count

import numpy as np

import minigrad as mg
from minigrad import graph


class TensorOfStep3:
    def __init__(self, data, args=(), rule=lambda g: ()):
        self.data, self.args, self.rule = data, args, rule

    def exp(self):
        out = TensorOfStep3(np.exp(self.data), (self,), lambda g: (g * out.data,))
        return out


# %% [markdown]
# ## It fails
# Python frees an object when nothing refers to it any more. Is a loss freed when we drop it?
# `weakref.ref(loss)` does not count as a reference. Called, it gives None if the loss is freed.

# %%
gc.disable()  # no garbage collector for a moment: see below
loss = TensorOfStep3(0.5).exp()
print(f"FAILURE: printed, its rule is {loss.rule.__qualname__!r}. This tells us nothing.")
reference = weakref.ref(loss)
del loss
print(f"FAILURE: the loss was dropped. Is it freed? {reference() is None}.")
gc.enable()

# %% [markdown]
# The result holds its rule, and the rule holds `out`, which is the result. Such a circle stays in
# memory until Python's *garbage collector*, which looks for circles now and then, finds it.
# A function that holds variables from the place where it was made is a *closure*. It does not show
# what it does, so we cannot print a graph.
#
# ## The idea: a tensor says which op made it, from which arguments
# An *op* is a function, and for each of its arguments a rule(g, out, *args). It returns the slope
# of the loss by this argument. g is the slope of the loss by the result, as before, `out` is the
# result, and `args` are all arguments. A rule gets all that it needs, so it holds nothing.


# %%
class Op:
    """A function, and the rules of its arguments in their order: rule(g, out, *args)."""

    def __init__(self, forward, **rules):
        self.name, self.forward, self.rules = forward.__name__, forward, list(rules.values())

    def __call__(self, *args):
        return Tensor(self.forward(*[x.data for x in args]), self, args)


clock = count()


class Tensor:
    """A number that remembers the op that made it and the arguments of that op."""

    def __init__(self, data, op=None, args=()):
        self.data, self.op, self.args, self.order, self.grad = data, op, args, next(clock), None

    def backward(self):
        """Gives each tensor of the graph its `.grad`. Returns the tensors, the newest first."""
        visited, sums, heap = [], {self.order: [self, 1.0]}, [-self.order]
        while heap:
            node, g = sums.pop(-heappop(heap))
            node.grad = g
            visited.append(node)
            given = node.data, *[x.data for x in node.args]  # `out` and `args` of each rule
            for x, rule in zip(node.args, node.op.rules if node.op else ()):
                if x.order not in sums:
                    sums[x.order] = [x, 0.0]
                    heappush(heap, -x.order)
                sums[x.order][1] += rule(g, *given)
        return visited


add = Op(np.add, x=lambda g, out, x, y: g, y=lambda g, out, x, y: g)
multiply = Op(np.multiply, x=lambda g, out, x, y: g * y, y=lambda g, out, x, y: g * x)
exp = Op(np.exp, x=lambda g, out, x: g * out)  # a new op is one line
Tensor.__add__ = lambda x, y: add(x, y)  # Python gives x and y to a function, to an Op only y
Tensor.__mul__ = lambda x, y: multiply(x, y)
Tensor.exp = lambda x: exp(x)

# %% [markdown]
# ## The picture: the graph as a program, and the same numbers from minigrad

# %%
x, w = Tensor(0.5), Tensor(1.5)
their_x, their_w = (mg.Tensor(leaf.data, requires_grad=True, dtype=float) for leaf in (x, w))
y, their_y = x * w, their_x * their_w
loss, their_loss = y + y.exp(), their_y + their_y.exp()
program, their_program = reversed(loss.backward()), graph.nodes(their_loss)  # oldest first
their_loss.backward()

names = {}
print("\nprogram                  data     grad  op in minigrad")
for node, theirs in zip(program, their_program, strict=True):
    names[node] = f"t{len(names)}"
    made = f"{node.op.name}({', '.join(names[a] for a in node.args)})" if node.op else "leaf"
    their_op = theirs.op.name if theirs.op else "leaf"
    print(f"{names[node]} = {made:17} {node.data:.4f}   {node.grad:.4f}  {their_op}")
    assert made.startswith(their_op) and np.isclose(node.data, theirs.data, rtol=1e-12, atol=0)
np.testing.assert_allclose([x.grad, w.grad], [their_x.grad, their_w.grad], rtol=1e-12)
arrows = [f"{names[a]} -> {names[node]}" for node in names for a in node.args]
print(f"For Graphviz, which draws it: digraph {{ {'; '.join(arrows)} }}")
print(f"A loss was dropped. Is it freed? {weakref.ref(exp(x))() is None}.")

# %% [markdown]
# **What changes if the numbers become arrays, and their shapes differ?** Go on with 5_arrays.py.

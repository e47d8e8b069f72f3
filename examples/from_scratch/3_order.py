# %% [markdown]
# # Step 3 of 8: the right order
# This is the engine of step 2. It is right if each tensor is used once. `order` is new, see below.

# %%
import math
from heapq import heappop, heappush
from itertools import count

import minigrad as mg

clock = count()  # next(clock) gives 0, then 1, then 2, ...


class Tensor:
    def __init__(self, data, args=(), rule=lambda g: ()):
        self.data, self.args, self.rule, self.grad = data, args, rule, None
        self.order = next(clock)

    def __add__(self, other):
        return Tensor(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        rule = lambda g: (g * other.data, g * self.data)
        return Tensor(self.data * other.data, (self, other), rule)

    def exp(self):
        out = Tensor(math.exp(self.data), (self,), lambda g: (g * out.data,))
        return out


def backward_of_step_2(node, g=1.0):
    """As in step 2. It also counts how often it visits a tensor, and returns this number."""
    node.grad = g
    return 1 + sum(backward_of_step_2(x, slope) for x, slope in zip(node.args, node.rule(g)))


# %% [markdown]
# ## It fails, in three ways


# %%
def doubled(x, times):
    for _ in range(times):
        x = x + x
    return x


x = Tensor(3.0)
backward_of_step_2(x * x)
print(f"FAILURE: the slope of x * x at 3 is {x.grad}, not 6.0: half of it is lost.")
visits = backward_of_step_2(doubled(x, 16))
print(f"FAILURE: x = x + x, 16 times, makes 17 tensors, but backward makes {visits:,} visits.")
try:
    backward_of_step_2(sum([x] * 9_999, x))  # x + x + ... + x
except RecursionError:
    print("FAILURE: a sum of 10,000 terms ends in a RecursionError.")

# %% [markdown]
# x is visited once for each factor of x * x, and the second visit overwrites the first slope. We
# must *add* the two: when x grows, both factors grow. Each x + x visits x twice, so 16 of them make
# 1 + 2 + 4 + ... + 2^16 visits. And `backward` calls itself for each tensor on its way. Python does
# not allow more than about 1,000 calls inside each other.
#
# ## The idea: visit each tensor once, the newest first
#     order 0         order 1            order 2              order 3
#        x  <---  y = x * x  <---  z = exp(y)  <---  loss = y + z
#                     `--------------------------------'
#
# y gets a slope from the loss and one from z. It must wait for both before it passes on their sum.
# An order in which each tensor waits for all that use it is called *topological*. We need not
# search for it: a result is made after its arguments. So we number the tensors as they are made,
# and visit the largest number first. A *heap* gives back its smallest entry quickly, so we put the
# negative numbers into it. All this is a loop. It needs no calls inside each other.


# %%
def backward(loss):
    """Gives each tensor of the graph its `.grad`. Returns the number of visits."""
    sums = {loss.order: [loss, 1.0]}  # order -> [tensor, the sum of its slopes so far]
    heap, visits = [-loss.order], 0
    while heap:
        node, g = sums.pop(-heappop(heap))  # the newest: all its slopes have arrived
        node.grad = g
        visits += 1
        for x, slope in zip(node.args, node.rule(g)):
            if x.order not in sums:
                sums[x.order] = [x, 0.0]
                heappush(heap, -x.order)
            sums[x.order][1] += slope
    return visits


# %% [markdown]
# ## The table, and the same numbers from minigrad


# %%
def diamond(x):
    y = x * x
    return y + y.exp()


graphs = {
    "x * x": lambda x: x * x,
    "y + exp(y), y = x * x": diamond,
    "x = x + x, 16 times": lambda x: doubled(x, 16),
    "a sum of 10,000 terms": lambda x: sum([x] * 9_999, x),
}
print("\nloss                   visits        slope  in minigrad")
for name, f in graphs.items():
    here, there = Tensor(1.5), mg.Tensor(1.5, requires_grad=True, dtype=float)
    visits = backward(f(here))
    f(there).backward()
    print(f"{name:23}{visits:6,}  {here.grad:11,.4f}  {there.grad.item():11,.4f}")
    assert math.isclose(here.grad, there.grad.item(), rel_tol=1e-12)

# %% [markdown]
# All numbers are right. But look at `exp`: its rule uses `out`, and `out` holds the rule. **When
# are the two freed? And what do we see if we print such a graph?** Go on with 4_rules.py.

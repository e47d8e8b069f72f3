# %% [markdown]
# # Step 2 of 8: numbers that remember
# One backward pass gives all slopes of a function. In step 1 we wrote that pass by hand.
#
# ## It fails
# Here are a loss and its backward pass, written by hand.

# %%
import math


def loss_of(a, b, c):
    return a * b + c  # it was a * b * c, then somebody changed it


def backward_by_hand(a, b, c):
    """The slopes of a * b * c by a, b and c."""
    return b * c, a * c, a * b


def by_complex_step(f, x, h=2.0**-100):
    return f(x + 1j * h).imag / h


by_hand = backward_by_hand(2.0, 3.0, 4.0)[0]
right = by_complex_step(lambda a: loss_of(a, 3.0, 4.0), 2.0)
print(f"FAILURE: the slope by a is {by_hand} by hand, and {right} in truth.")

# %% [markdown]
# Nothing told us that the backward pass is out of date. We want to write the loss alone, and get
# its backward pass for free.
#
# ## The idea: each number remembers how it was made
# A `Tensor` holds a number. (From step 5 on it holds an array; hence the name.) If it was computed,
# it also knows its *arguments*, the tensors that it was computed from. So each result points back
# to its arguments, and they to theirs. This is the *graph* of another loss, exp(a * b + c):
#
#     a  <---  product = a * b  <---  total = product + c  <---  loss = exp(total)
#     b  <-----'                c  <--'
#
# Each result also has a *rule*. It takes g, the slope of the loss by the result, and returns the
# slopes of the loss by the arguments. Let `out = a * b`. If a grows by a little d, then `out` grows
# by b * d, and so the loss grows by g * b * d. Thus the slope by a is g * b. We multiply the slopes
# on the way: this is the *chain rule*.


# %%
class Tensor:
    """A number that remembers how it was made."""

    def __init__(self, data, args=(), rule=lambda g: ()):
        self.data = data  # the number
        self.args = args  # the tensors that it was computed from
        self.rule = rule  # takes g, returns the slopes of the loss by `args`
        self.grad = None  # the slope of the loss by this tensor, once backward has run

    def __add__(self, other):
        def rule(g):
            return g, g

        return Tensor(self.data + other.data, (self, other), rule)

    def __mul__(self, other):
        def rule(g):
            return g * other.data, g * self.data

        return Tensor(self.data * other.data, (self, other), rule)

    def exp(self):
        def rule(g):  # it runs later, when `out` is there
            return (g * out.data,)  # the slope of exp is exp itself

        out = Tensor(math.exp(self.data), (self,), rule)
        return out

    def backward(self, g=1.0):
        """Gives each tensor of the graph its `.grad`. The slope of the loss by itself is 1."""
        self.grad = g
        for x, slope in zip(self.args, self.rule(g)):
            x.backward(slope)


# %% [markdown]
# That is a complete engine. `backward` starts at the loss and follows the arguments back to the
# *leaves*, the tensors that we made ourselves: they have no arguments, and their rule is empty.

# %%
import minigrad as mg


def values_of(a, b, c):
    """All tensors of the loss exp(a * b + c), by name."""
    product = a * b
    total = product + c
    return {"a": a, "b": b, "c": c, "product": product, "total": total, "loss": total.exp()}


here = values_of(Tensor(0.5), Tensor(-2.0), Tensor(1.5))
here["loss"].backward()

# %% [markdown]
# ## The table, and the same numbers from minigrad
# minigrad gives `.grad` to leaves with `requires_grad=True`, and to results after `retain_grad()`.

# %%
there = values_of(*(mg.Tensor(x, requires_grad=True, dtype=float) for x in (0.5, -2.0, 1.5)))
for tensor in there.values():
    tensor.retain_grad()
there["loss"].backward()

print("\ntensor      data     grad  grad in minigrad")
for name, tensor in here.items():
    expected = there[name].grad.item()
    print(f"{name:8}{tensor.data:8.4f} {tensor.grad:8.4f} {expected:17.4f}")
    assert math.isclose(tensor.grad, expected, rel_tol=1e-12)

# %% [markdown]
# Here each tensor was used once. **What is the slope of x * x, where x is used twice?** Go on with
# 3_order.py.

# %% [markdown]
# # Step 1 of 8: slopes
# A *network* is a function with many numbers in it, its *weights*. Its *loss* is one number: how
# wrong its answers are. To learn, we need the *slope* of the loss by each weight (other words:
# derivative, gradient): if the weight grows by a little d, the loss grows by slope * d. Then we
# move each weight against its slope, and the loss falls.
# Eight steps build an *engine*, a program that finds slopes. Each step is one file, a script and a
# notebook. It repeats what it needs, adds one idea, and compares its numbers with minigrad's.

# %%
import numpy as np

import minigrad as mg


def f(x):
    return np.exp(x) * np.sin(x)


x = 1.0
right = np.exp(x) * (np.sin(x) + np.cos(x))  # by the product rule, on paper

# %% [markdown]
# ## It fails
# The first idea is the *difference*: take a small step h, and look how much f grows.


# %%
def by_difference(f, x, h):
    return (f(x + h) - f(x)) / h


print("      h   by difference         error")
for h in (1e-1, 1e-4, 1e-8, 1e-12, 1e-16):
    slope = by_difference(f, x, h)
    print(f"{h:7.0e}   {slope:<18.15f}  {abs(slope - right):8.0e}")
print(f"FAILURE: with h = 1e-16 the slope is {by_difference(f, x, 1e-16)}, not {right:.3f}.")

# %% [markdown]
# A large h is bad because f is curved. A small h is bad because the two values of f agree in most
# digits. The subtraction removes these digits, and few are left. With h = 1e-16 none is left: the
# computer rounds 1 + 1e-16 to 1. The best h gives 8 right digits of 16.
#
# ## The idea: a step that needs no subtraction
# Step along the imaginary unit i. By Taylor's series f(x + i h) is f(x) + i h f'(x) - h^2 f''(x)/2
# - i h^3 f'''(x)/6 + ... Its imaginary part divided by h is f'(x) - h^2 f'''(x)/6 + ... We subtract
# no values of f, so h may be tiny, such as 2^-100. This is the *complex step*.


# %%
def by_complex_step(f, x, h=2.0**-100):
    return f(x + 1j * h).imag / h


print(f"complex step {by_complex_step(f, x):.15f}, error {abs(by_complex_step(f, x) - right):.0e}")

# %% [markdown]
# ## One backward pass beats n forward passes
# This loss is the product of n inputs. One complex step gives the slope by one input, so n slopes
# take n passes through the function. The *backward pass* finds all slopes together. It goes from
# the end to the beginning and carries one number, g: the slope of the loss by `products[k]`, below.

# %%
count = 0


def times(a, b):
    global count
    count += 1
    return a * b


def forward(inputs):
    """products[k] is the product of inputs[0], ..., inputs[k]. The last one is the loss."""
    products = [inputs[0]]
    for x in inputs[1:]:
        products.append(times(products[-1], x))
    return products


def by_n_passes(inputs, h=2.0**-100):
    slopes = []
    for i in range(len(inputs)):
        moved = list(inputs)
        moved[i] += 1j * h
        slopes.append(forward(moved)[-1].imag / h)
    return slopes


def by_one_backward_pass(inputs):
    products = forward(inputs)
    slopes, g = [0.0] * len(inputs), 1.0  # the last product is the loss: its slope by itself is 1
    for k in range(len(inputs) - 1, 0, -1):  # here products[k] = products[k - 1] * inputs[k]
        slopes[k] = times(g, products[k - 1])
        g = times(g, inputs[k])
    slopes[0] = g  # products[0] is inputs[0]
    return slopes


# %% [markdown]
# ## The table. All slopes are equal to minigrad's
# `requires_grad=True` asks for the slope by a tensor. `dtype=float` is for 16 digits, not 7.

# %%
print("\ninputs  n forward passes: n (n - 1) multiplications  one backward pass: 3 (n - 1)")
for n in (10, 100, 500):
    inputs = [1 + k / n**2 for k in range(n)]  # close to 1, so that the product stays small
    counts, slopes = [], []
    for method in (by_n_passes, by_one_backward_pass):
        count = 0
        slopes.append(method(inputs))
        counts.append(count)
    tensors = [mg.Tensor(x, requires_grad=True, dtype=float) for x in inputs]
    forward(tensors)[-1].backward()  # the same function, on minigrad's numbers
    assert np.allclose(slopes, [x.grad.item() for x in tensors], rtol=1e-12, atol=0)
    print(f"{n:6}  {counts[0]:43,}  {counts[1]:28,}")

# %% [markdown]
# A network may have a million weights, so we need the backward pass. But we wrote this one by hand,
# for one function. **What happens if somebody changes the function?** Go on with 2_scalars.py.

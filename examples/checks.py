"""Three proofs of dropout, and a broken rule that is found and named."""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.registry import ops

mg.manual_seed(0)
x = mg.Tensor(np.linspace(-1, 2, 6))
w = mg.Tensor(np.linspace(1, 2, 6), requires_grad=True, name="w")


def noisy(w):
    return np.tanh(F.dropout(w, 0.3, training=True))


print("1. The gradient, with the noise held fixed:", mg.gradcheck(noisy, w))

print(
    "\n2. The expectation over all masks. On a linear model dropout is ridge regression, exactly:"
)
expected = mg.expectation((1 - F.dropout(x, 0.3, training=True) @ w) ** 2)
ridge = (1 - x.data @ w.data) ** 2 + 0.3 / 0.7 * np.sum((x.data * w.data) ** 2)
print(
    f"E[loss] = {expected.value.item():.12f} over {expected.outcomes} masks, in closed form {ridge:.12f}"
)

print("\n3. The law of the noise:")
print(mg.check_noise(nn.Dropout(0.3)))

print("\nA rule that forgets to scale the gradient by 1/(1-p):")
ops["dropout"].rules[0] = lambda g, out, x, noise, p, scaling: g * noise
print(mg.check_graph(np.sum(noisy(w) ** 2)))

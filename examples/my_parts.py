"""A layer, an optimizer and a kind of node in pictures, each in one place."""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.drawing.dot import LOOKS
from minigrad.registry import composition


class Scale(nn.Layer):
    """x times a weight for each feature."""

    def __init__(self, features, **settings):
        self.features = features
        fans, weights, biases = (1, 1), {"weight": (features,)}, {}  # names and shapes
        self.add_parameters(fans, weights, biases, {"init": nn.ones} | settings)

    def forward(self, x):
        return x * self.weight


class Signum(optim.Optimizer):
    """w -= lr * sign(m), where m is a running mean of gradients (Bernstein et al. 2018, ICML)."""

    def __init__(self, parameters, lr=1e-3):
        super().__init__(parameters, lr=lr)

    def update(self, trained, lr, settings):
        for w, g, m in trained.pieces("mean"):  # a buffer of zeros at first, kept for w
            m += 0.1 * (g - m)  # in place: these are views
            w -= lr * np.sign(m)


@composition(kind="gate")
def gated(x):
    return x * F.sigmoid(x)


LOOKS["gate"] = LOOKS["random"]._replace(shape="trapezium", fill="#B8E0B0", meaning="gate")

model = Scale(3, penalty=nn.L1(0.01))
optimizer = Signum(model.parameters(), lr=0.1)
loss = gated(model(mg.Tensor([[1.0, -2.0, 3.0]]))).sum() + model.penalty()
picture = mg.to_dot(loss)
loss.backward()
optimizer.step()
print(model, model.weight.numpy(), "trapezium" in picture)

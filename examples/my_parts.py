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


class SignSGD(optim.Optimizer):
    """w -= lr * sign(gradient)."""

    def __init__(self, parameters, lr=1e-3):
        super().__init__(parameters, lr=lr)

    def update(self, trained, lr, settings):
        for w, g, v in trained.pieces("velocity"):  # a buffer of zeros at first, kept for w
            v += np.sign(g)
            w -= lr * v  # in place: these are views


@composition(kind="gate")
def gated(x):
    return x * F.sigmoid(x)


LOOKS["gate"] = LOOKS["random"]._replace(shape="trapezium", fill="#B8E0B0", meaning="gate")

model = Scale(3, penalty=nn.L1(0.01))
optimizer = SignSGD(model.parameters(), lr=0.1)
loss = gated(model(mg.Tensor([[1.0, -2.0, 3.0]]))).sum() + model.penalty()
picture = mg.to_dot(loss)
loss.backward()
optimizer.step()
print(model, model.weight.numpy(), "trapezium" in picture)

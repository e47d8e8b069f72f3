"""The README's example: one training loss, checked, differentiated and drawn."""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn

mg.manual_seed(0)
model = nn.Sequential(
    nn.Linear(4, 8, penalty=nn.L2(0.01)),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(8, 3, penalty=nn.L1(0.001)),
)
x = mg.Tensor(np.random.default_rng(0).normal(size=(5, 4)), name="x")
loss = F.cross_entropy(model(x), np.array([0, 2, 1, 0, 2])) + model.penalty()

report = mg.check_graph(loss)  # every rule, with the dropout active
print(report.verdict())  # print(report) has a line for each node and leaf
loss.backward(retain_graph=True)
print(f"loss {loss:.4f}, |dloss/dbias| {abs(model[3].bias.grad).sum():.4f}")
mg.draw(loss, checks=report, to_file="loss.svg")

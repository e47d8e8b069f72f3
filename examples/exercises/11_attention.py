"""Exercise 11: a bug hunt in a layer, attention.

    Q, K, V = x A, x B, x C                        x (n, d); A, B, C are weights (d, d)
    out = softmax(Q K^T / sqrt(d)) V               softmax of each row

Each of n words asks a question (a row of Q). Each word has a key (a row of K) and a value (a row of
V). A row of `out` is a mean of the values. The values whose keys fit the question count most. Each
weight has an L2 penalty, which is a term of the loss.

The layer below trains, and all its gradients are right. But one line is wrong: the layer computes
another function. Do not read the class yet. This prints a gradient check, the ledger of the loss
(its terms, and the weights that each term depends on), and the graph:

    python examples/exercises/11_attention.py

Say what is wrong. Then read the class and mend it.

Hint: which weights should each term of the loss depend on? Look at the last column of the ledger.

    python -m minigrad.check examples/exercises/11_attention.py
"""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.check.samples.case import case
from minigrad.graph import nodes


class Attention(nn.Module):
    def __init__(self, d):
        settings = {"bias": False, "penalty": nn.L2(0.01), "dtype": np.float64}
        self.query = nn.Linear(d, d, **settings)
        self.key = nn.Linear(d, d, **settings)
        self.value = nn.Linear(d, d, **settings)

    def forward(self, x):
        questions, keys, values = self.query(x), self.query(x), self.value(x)
        scores = questions @ keys.T / np.sqrt(x.shape[-1])
        return F.softmax(scores, axis=-1) @ values


# ---- What the grader tries. Leave it as it is.

mg.manual_seed(0)
layer = Attention(4)
for name, weight in zip("ABC", layer.parameters()):
    weight.name = name


def my_attention(x):
    out = layer(x)
    a, b, c = (weight.data.T for weight in layer.parameters())
    e = np.exp(x.data @ a @ (x.data @ b).T / np.sqrt(4))
    apart = np.max(np.abs(e / e.sum(axis=1, keepdims=True) @ (x.data @ c) - out.data))
    if apart > 1e-12:
        graph = {id(node) for node in nodes(out)}
        used = [weight.name for weight in layer.parameters() if id(weight) in graph]
        told = f"out differs by up to {apart:.2g} from the formula, which uses A, B and C"
        raise ValueError(f"{told}. Your forward uses {', '.join(used)}")
    return out


samples = {"my_attention": [case(my_attention, (3, 4))]}

if __name__ == "__main__":
    x = np.random.default_rng(0).normal(size=(3, 4))
    loss = F.mse_loss(layer(mg.Tensor(x, name="x")), np.ones((3, 4))) + layer.penalty()
    for view in (mg.check_graph(loss), mg.terms(loss), mg.to_text(loss)):
        print(view, "\n")

"""L1 makes weights exactly zero: by proximal steps, not by gradient steps."""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

mg.manual_seed(0)
rng = np.random.default_rng(0)
x = rng.standard_normal((100, 20))
y = x[:, :3] @ [2.0, -3.0, 1.5] + 0.1 * rng.standard_normal(100)  # 17 of 20 inputs are noise
model = nn.Linear(20, 1, penalty=nn.L1(0.2), dtype=np.float64)


def loss():
    return F.mse_loss(model(mg.Tensor(x)).ravel(), y) + model.penalty()


print(mg.terms(loss()), "\n")

for optimizer in (
    optim.Adam(model.parameters(), lr=0.01),
    optim.ProximalSGD(model.parameters(), lr=0.1),
):
    for _ in range(1000):
        if isinstance(optimizer, optim.ProximalSGD):
            optimizer.step(loss)
        else:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    optimizer.zero_grad()
    print(f"{type(optimizer).__name__}, {optim.kkt_residual(loss()):.0e} from optimal")
    print(mg.sparsity(model), "\n")

"""A right program, as a user writes it: it runs, and type checkers find nothing wrong with it."""

from typing import assert_type

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn, optim
from minigrad.registry import composition, op


@op(x=lambda g, out, x, k: g * k * np.cosh(k * x))
def sinh_of(x: Tensor, k: float = 1.0):
    """sinh(k x), elementwise."""
    return np.sinh(k * x)


@composition(kind="loss")
def margin_loss(scores: Tensor, target: np.ndarray) -> Tensor:
    """The squares of the margins that are missing."""
    return (F.relu(1 - scores * target) ** 2).mean()


class Net(nn.Module):
    def __init__(self, inputs: int, hidden: int) -> None:
        self.first = nn.Linear(inputs, hidden, penalty=nn.L2(1e-3))
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(hidden, 1, bias=False, init=nn.he_normal)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        h = assert_type(self.drop(F.tanh(self.first(x))), Tensor)
        return scale * self.last(h).reshape(-1)


w, a = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="w"), np.ones((2, 2))
for t in (w + 1, 1 + w, 2.5 / w, w @ a, np.float32(2) * w, -w, abs(w), w**2, w > 1, w == w):
    assert_type(t, Tensor)
both: Tensor = a @ w - a * w
z = assert_type(w[0, :] * w.T[..., None] + w.sum(axis=0, keepdims=True) / w.std(ddof=1), Tensor)
total = z.exp().log().mean() + np.mean(both) + F.l1_penalty(w, c=0.1) + np.sum(np.tanh(w))
total.backward()
if w.grad is not None:
    first: float = assert_type(w.grad.numpy(), np.ndarray)[0, 0].item()
shape, whole = assert_type(w.shape, tuple[int, ...]), assert_type(int(w.argmax().item()), int)
assert_type(w.view(4).unsqueeze(0).permute(1, 0).sin(), Tensor)
(slope,) = assert_type(mg.grad(sinh_of(w, k=0.5).sum(), [w]), tuple[Tensor, ...])
halves: list[Tensor] = [F.dropout(w, p=0.5, training=True).sum() for _ in range(2)]
print(len(w), float(halves[0].detach()), np.stack(halves).shape, mg.zeros(2, 3).shape, slope)

rng = np.random.default_rng(0)
model, vote = Net(4, 8), nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(0.1), nn.Flatten())
optimizer = optim.Adam([*model.parameters(), *vote.parameters()], lr=optim.cosine(0.1, steps=8))
batches = mg.data.Batches(rng.normal(size=(32, 4)), rng.integers(3, size=32), batch_size=16)
for x, labels in batches:
    optimizer.zero_grad()
    scores = assert_type(model(Tensor(x), scale=2.0), Tensor)
    loss = margin_loss(scores, labels - 1) + F.cross_entropy(vote(x), labels) + model.penalty()
    print(mg.terms(loss, optimizer), mg.check_graph(loss).verdict(), mg.draw(loss, depth=1).source)
    loss.backward()
    optim.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
with mg.no_grad():
    best = assert_type(model.eval()(Tensor(rng.normal(size=(3, 4)))).relu().max(), Tensor)
right: bool = mg.gradcheck(sinh_of, Tensor(rng.normal(size=3), requires_grad=True), atol=1e-9)
convolved = nn.Conv2d(1, 2, (3, 3), padding="same")(nn.MaxPool2d(2)(np.ones((1, 1, 8, 8))))
model.load_state_dict(model.state_dict())
output, (h, c) = nn.LSTM(4, 5, num_layers=2)(rng.normal(size=(7, 1, 4)))
print(right, assert_type(convolved, Tensor).shape, output.shape, best, model)

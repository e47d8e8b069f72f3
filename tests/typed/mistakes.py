"""Mistakes that type checkers find: each line that ends in `# wrong` is one, and no other line."""

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor, nn, optim


class Net(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


t, net = Tensor([[1.0, 2.0]], requires_grad=True), Net()
t.sum(axes=0)  # wrong: the name of an argument
t.mean(axis="rows")  # wrong: the type of an argument
F.dropout(t, p="half", training=True)  # wrong: the type of an argument
F.dropout(t, 0.5)  # wrong: an argument is missing
net()  # wrong: an argument of forward is missing
t(0)  # wrong: a Tensor is no function
t.no_such_method()  # wrong: no such attribute
F.no_such_function(t)  # wrong: no such function
nn.LeakyReLU(slope=0.1)  # wrong: the name of a setting
nn.Linear("4", 3)  # wrong: the type of a size
F.relu(net)  # wrong: net is not called
optim.SGD("parameters", lr=0.1)  # wrong: parameters are Tensors
optim.SGD(net.parameters(), learning_rate=0.1)  # wrong: the name of an argument
number: int = F.mse_loss(t, t)  # wrong: a loss is a Tensor
t.grad.numpy()  # wrong: there may be no gradient
mg.terms(2.0)  # wrong: the ledger of a Tensor
(t + 1).backward().item()  # wrong: backward returns nothing

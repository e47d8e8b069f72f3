# %% [markdown]
# # minigrad in ten minutes
# minigrad finds the derivatives of NumPy programs. This file is a notebook (Jupytext and VS Code
# open its cells) and a script, `python examples/tour.py`, which prints lists in place of pictures.

# %%
import sys
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
from digits import noisy_split

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.registry import op, ops

try:
    display  # noqa: B018 (a notebook has this function)
except NameError:  # a script
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()

    def display(thing, **_):
        """Prints a thing below the heading of its section."""
        above = lines[: sys._getframe(1).f_lineno]
        heading = [line for line in above if line.startswith("# ## ")][-1]
        print(f"{heading[2:]}\n\n{thing!r}\n")


mg.manual_seed(0)

# %% [markdown]
# ## A graph and its gradients
# A Tensor remembers how it was made. So each result is the end of a graph, and `backward` goes
# through the graph from its end: the newest node first. NumPy's functions work on Tensors.

# %%
x = mg.Tensor([1.0, -2.0, 3.0], requires_grad=True, name="x")
loss = (x * np.tanh(x)).sum()
loss.backward(retain_graph=True)  # without retain_graph, backward frees the graph on its way
display(x.grad)

# %% [markdown]
# ## The picture
# Each node shows its value and its gradient, ∂. An array shows mean ± standard deviation. Two nodes
# use x, so its gradient is a sum of two parts. `grads="run"` finds the gradients of all nodes.

# %%
display(mg.draw(loss, grads="run"))

# %% [markdown]
# `mg.to_html` makes a page that steps through this graph, forward and backward, op by op, with the
# source of each rule and the numbers that it returns. `mg.to_html(loss, "loss.html")` writes it.

# %%
display(mg.to_html(loss))

# %% [markdown]
# ## Derivatives of derivatives
# A rule is plain NumPy, so it also runs on Tensors and is recorded itself. That gives derivatives
# of every order. For x t with t = tanh(x), the second one is 2 (1 - t^2) (1 - x t).

# %%
(slope,) = mg.grad(loss, [x], create_graph=True)
(curvature,) = mg.grad(slope.sum(), [x])
t = np.tanh(x.data)
np.testing.assert_allclose(curvature.data, 2 * (1 - t**2) * (1 - x.data * t), rtol=1e-5)  # float32
display(curvature)

# %% [markdown]
# ## Dropout is an op of the graph, and its noise is a leaf
# The mask was drawn once, and it stays in the graph. So the same graph can run again with the same
# mask, with a fresh one, or with all of them. The *law* of the noise is its distribution.

# %%
w = mg.Tensor([1.0, -2.0, 3.0, 0.5], requires_grad=True, dtype=float, name="w")
loss = (5 - F.dropout(w, 0.3, training=True).sum()) ** 2
(noise,) = mg.noise_leaves(loss)
print("the mask", noise.numpy(), "of the law", noise.distribution)
print("the same mask again:", *(f"{mg.replay(loss):.3f}" for _ in range(5)))
print("fresh masks:", *(f"{mg.resample(loss):.3f}" for _ in range(5)))

# %% [markdown]
# `mg.expectation` goes through all 16 masks: the exact mean of the loss, and of its gradient. On a
# linear model this mean is the loss with L2 in place of dropout (Srivastava et al. 2014, section
# 9.1), with the coefficient p / (1 - p). So we can compare.

# %%
expected = mg.expectation(loss)
with_l2 = (5 - w.data.sum()) ** 2 + 0.3 / 0.7 * np.sum(w.data**2)
np.testing.assert_allclose(expected.value.item(), with_l2, rtol=1e-12)
display(expected)

# %% [markdown]
# Is the noise drawn as its law says? Is it independent in each call, and along each axis? Then a
# share of 0.3 * 0.3 of all pairs of entries is dropped twice: see the rows `calls` and `repeats`.

# %%
display(mg.check_noise(nn.Dropout(0.3)))

# %% [markdown]
# ## A network, and penalties that are nodes of its loss
# The data are 500 digits of 8 x 8 pixels. A fifth of them have a wrong label, which a network can
# only learn by heart. The first layer declares L2 for its weights, the last one L1.

# %%
training, validation, _ = noisy_split(seed=0)
model = nn.Sequential(
    nn.Linear(64, 64, penalty=nn.L2(2e-3)),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(64, 10, penalty=nn.L1(2e-4)),
)
display(mg.summary(model, 64))

# %% [markdown]
# The *ledger* of a loss tells what each term adds to it, and how large its gradient is.

# %%
images, labels = training[0][:20], training[1][:20]
inputs = mg.Tensor(images, name="images")
loss = F.cross_entropy(model(inputs), labels) + model.penalty()
display(mg.terms(loss))

# %% [markdown]
# ## Proofs
# `check_graph` compares each rule, and the whole gradient of each leaf, with the complex step. This
# needs the forward functions alone. Dropout is active: its noise is held fixed.

# %%
report = mg.check_graph(loss)
assert report
display(report)

# %%
display(mg.draw(loss, checks=report))

# %% [markdown]
# At a kink, such as 0 for |w|, there are two slopes, one on each side. Any number between them is a
# valid *subgradient*. The verdict is KINK.

# %%
kink = mg.Tensor([0.0, 1.0, -1.0], requires_grad=True, name="w")
display(mg.check_graph(abs(kink).sum()))

# %% [markdown]
# Now we plant a wrong rule: dropout forgets the scale 1 / (1 - p) on the way back. The report names
# the first wrong node and its rule, with file and line, and says what the mistake may be. AFFECTED
# are the leaves whose gradient goes through this rule.

# %%
right = ops["dropout"].rules[0]
ops["dropout"].rules[0] = lambda g, out, x, noise, p, scaling: g * noise
wrong = mg.check_graph(loss)
ops["dropout"].rules[0] = right
assert not wrong and "scale" in str(wrong)
display(wrong)

# %% [markdown]
# ## Training, with a curve that grows
# `Batches` shuffles the data again in each epoch. A checkpoint holds all that the training changes:
# parameters, the state of the optimizer, the place in the data, and the random state.

# %%
optimizer = optim.Adam(model.parameters(), lr=3e-3)
batches = mg.data.Batches(*training, batch_size=32)


def train(epochs):
    """Trains until there were so many epochs. Yields after each of them."""
    while batches.epoch < epochs:
        for images, labels in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels) + model.penalty()
            loss.backward()
            optimizer.step()
        yield batches.epoch


def accuracy(images, labels):
    model.eval()  # no dropout
    with mg.no_grad():
        right = model(images).numpy().argmax(axis=1) == labels
    model.train()
    return right.mean()


folder, points = Path(mkdtemp()), []
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
plt.close(figure)  # else the notebook shows it once more at the end of this cell
curve = display(figure, display_id=True)
for epoch in train(30):
    points.append((epoch, accuracy(*training), accuracy(*validation)))
    epochs, *accuracies = np.transpose(points)
    axis.clear()
    axis.plot(epochs, accuracies[0], "--", label="training digits, a fifth with wrong labels")
    axis.plot(epochs, accuracies[1], label="new digits")
    axis.set(xlabel="epoch", ylabel="share of right labels", xlim=(0, 30), ylim=(0, 1))
    axis.legend(loc="lower right")
    if curve:  # in a notebook
        curve.update(figure)
    if epoch == 15:
        parts = {"model": model, "optimizer": optimizer, "batches": batches}
        mg.save(parts | {"rng": mg.get_rng_state()}, folder / "tour.npz")
print(f"right labels for new digits: {points[-1][2]:.1%}")

# %% [markdown]
# We load the checkpoint of epoch 15 and train on. At the end the weights have the same bits.

# %%
before, saved = model[0].weight.numpy().copy(), mg.load(folder / "tour.npz")
for name, part in parts.items():
    part.load_state_dict(saved[name])
mg.set_rng_state(saved["rng"])
assert list(train(30)) == list(range(16, 31))
np.testing.assert_array_equal(model[0].weight.numpy(), before)

# %% [markdown]
# ## Zeros that are zeros
# Gradient steps jump over 0, so Adam leaves no weight at exactly 0. A *proximal* step is a gradient
# step without L1. Then it moves each weight by a fixed amount towards 0, and stops at 0.

# %%
display(mg.sparsity(model))

# %%
optimizer.zero_grad()
proximal = optim.ProximalSGD(model[3].parameters(), lr=0.1)
for _ in range(300):
    proximal.step(lambda: F.cross_entropy(model(training[0]), training[1]) + model.penalty())
assert sum(mg.sparsity(model).zeros.values()) > 0
display(mg.sparsity(model))

# %% [markdown]
# ## The program behind a loss
# `write_out` writes a loss and its gradients as plain NumPy, to read; `to_file=` makes a file that
# runs without minigrad. `compile` runs such lines as a training step. It is faster than the *eager*
# step, which runs the loss op by op, and gives the same bits.

# %%
w = mg.Tensor([0.5, -1.0], requires_grad=True, name="w")
display(mg.write_out(np.sum(np.tanh(w) * w)))

# %% [markdown]
# Seven or more of these layers become a loop: the program of twelve layers is as long as this one.

# %%
layers = [nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(8)]
deep = nn.Sequential(*layers)(mg.Tensor([[1.0, 2.0, 3.0]], name="x"))
display(mg.write_out(np.sum(deep)))


# %%
def loss_of(images, labels):
    return F.cross_entropy(model(images), labels) + model.penalty()


def five(step):
    """The loss and a gradient of the fifth step."""
    mg.manual_seed(1)  # the same masks
    for _ in range(5):  # the first steps of a program are also compared with eager ones
        optimizer.zero_grad()
        loss = step(images, labels)
    return loss.item(), model[0].weight.grad.numpy()


def eager(images, labels):
    loss = loss_of(images, labels)
    loss.backward()
    return loss


(here, gradient), (there, same) = five(eager), five(mg.compile(loss_of))
assert here == there and np.array_equal(gradient, same)
print(f"eager {here:.9f}, compiled {there:.9f}, the gradients have the same bits")

# %% [markdown]
# ## A new op
# An op is a function on arrays and a rule for each argument. The rule gets g, the gradient of the
# loss by the result `out`, and returns the gradient by the argument. If the op stands in a file of
# its own, `python -m minigrad.check FILE` proves it.


# %%
@op(x=lambda g, out, x: -2 * x * out * g)
def bell(x):
    """exp(-x^2)."""
    return np.exp(-x * x)


point = mg.Tensor(np.linspace(-2, 2, 5), requires_grad=True, name="x")
assert mg.gradcheck(bell, point) and mg.gradgradcheck(bell, point)
display(mg.check_graph(bell(point).sum()))

# %% [markdown]
# ## Where to go on
# - `examples/from_scratch/` builds such an engine in eight small steps.
# - `examples/README.md` lists the studies: each asks one question of real data.
# - `minigrad/engine.py` is the engine, on one page. Read it before the other files of minigrad.

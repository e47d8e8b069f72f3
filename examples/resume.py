"""A training that goes on from a checkpoint, to the same bits."""

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.data import Batches

rng = np.random.default_rng(0)
x, y = rng.standard_normal((100, 4)), rng.integers(3, size=100)


def start(seed):
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    return {
        "model": model,
        "optimizer": optim.Adam(model.parameters()),
        "batches": Batches(x, y, batch_size=32),
    }


def train(model, optimizer, batches):
    while batches.epoch < 10:
        for inputs, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            if optimizer.steps == 18:  # amid the fifth epoch
                mg.save(
                    {
                        "model": model,
                        "optimizer": optimizer,
                        "batches": batches,
                        "rng": mg.get_rng_state(),
                    },
                    "run.npz",
                )
    return model[0].weight.data


whole = train(**start(seed=0))

saved, parts = mg.load("run.npz"), start(seed=1)  # as in another process
for name, part in parts.items():
    part.load_state_dict(saved[name])
mg.set_rng_state(saved["rng"])
print("the same bits:", np.array_equal(train(**parts), whole))

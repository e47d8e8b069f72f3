"""What the tests of the checks share: leaves, functions whose rules tests break, random states."""

import numpy as np

import minigrad as mg
from minigrad import noise as randomness
from minigrad.array import data_of

OWN_RNG = np.random.default_rng(0)  # that minigrad knows nothing of


def leaf(*shape, seed=0, dtype=np.float64):
    return mg.Tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), True, dtype=dtype)


def rows_of(report, verdict):
    return [(row.name, row.op) for row in report.rows if row.verdict == verdict]


def all_random_states():
    """Everything random that a check could move, in a form that compares."""
    return {
        name: str(rng.bit_generator.state) for name, rng in randomness.state.streams.items()
    }, str(np.random.get_state())


def cube(x):
    return x * x * x


def product(x, y):
    return x * y


def affine(x, y):  # y broadcasts over the rows of x
    return x * x + y


def matrices(x, y):
    return x @ y


def one_off(x):
    wrong = np.ones_like(data_of(x))
    wrong.flat[-1] = 1.01
    return wrong


right_x = {"x": lambda g, out, x, y: g * y}
right_affine = {"x": lambda g, out, x, y: 2 * g * x}

"""What several test files use."""

import math
import time

import numpy as np

import minigrad as mg
from minigrad import noise as randomness
from minigrad.array import data_of

# --------------------------------------------------------------------------- leaves and comparisons


def leaf(data=2.0, dtype=np.float64, name=None):
    """A Tensor of `data` that requires a gradient."""
    return mg.Tensor(data, True, dtype=dtype, name=name)


def normal(*shape, seed=0):
    """An array of standard normal entries."""
    return np.random.default_rng(seed).standard_normal(shape)


def normal_leaf(*shape, seed=0, dtype=np.float64, name=None):
    """A leaf of standard normal entries."""
    return leaf(normal(*shape, seed=seed), dtype, name)


def positive_leaf(*shape, seed=0, dtype=np.float64, name=None):
    """A leaf of entries from 0.5 to 1.5: away from the kinks and poles at 0."""
    return leaf(np.random.default_rng(seed).uniform(0.5, 1.5, shape), dtype, name)


def gradient(y, *xs):
    """The gradient of y by x, as an array; by several xs, a list."""
    gradients = [g.data for g in mg.grad(y, list(xs))]
    return gradients[0] if len(xs) == 1 else gradients


def pulled(f, *arrays, cotangent=None):
    """The value of f(*arrays) and its gradients, as arrays. The cotangent is 1 at each entry."""
    inputs = [leaf(a) for a in arrays]
    out = f(*inputs)
    u = np.ones(out.shape) if cotangent is None else cotangent
    gradients = mg.grad(out, inputs, u, allow_unused=True)
    return out.data, [np.zeros(x.shape) if g is None else g.data for x, g in zip(inputs, gradients)]


def close(found, expected, rtol=1e-12, atol=1e-13):
    """Asserts that two arrays or Tensors are equal up to rounding."""
    __tracebackhide__ = True
    np.testing.assert_allclose(data_of(found), data_of(expected), rtol=rtol, atol=atol)


# ---------------------------------------------------------------------------------- what work costs


def cpu_time(prepare, times=3):
    """The least CPU time of a few runs of prepare(): other processes only add to it.

    `prepare` is a function that returns the function to be measured, so that each run has a graph of
    its own.
    """
    least = math.inf
    for _ in range(times):
        work = prepare()
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


def assert_linear(prepare, n, times=3):
    """Asserts that the work of prepare(8 * n) costs about 8 times as much as that of prepare(n).

    Work that is quadratic costs 64 times as much.
    """
    __tracebackhide__ = True
    small = cpu_time(lambda: prepare(n), times)
    ratios = []
    while not ratios or ratios[-1] >= 24:  # one run that is fast enough will do
        assert len(ratios) < times, f"8 times the size costs {min(ratios):.0f} times as much"
        ratios.append(cpu_time(lambda: prepare(8 * n), 1) / small)


# ------------------------------------------------------------------- the state of the whole process


def all_random_states():
    """The states of all generators that a call could move, in a form that compares."""
    streams = randomness.main.streams.items()
    states = {name: str(rng.bit_generator.state) for name, rng in streams}
    return states, str(np.random.get_state())


# ------------------------------------------------------------ functions whose rules the tests break

OWN_RNG = np.random.default_rng(0)  # minigrad does not know this generator


def cube(x):
    return x * x * x


def product(x, y):
    return x * y


def affine(x, y):  # y broadcasts over the rows of x
    return x * x + y


def matrices(x, y):
    return x @ y


def one_off(x):
    """Ones, but the last entry is 1.01: a factor that makes one entry of a gradient wrong."""
    wrong = np.ones_like(data_of(x))
    wrong.flat[-1] = 1.01
    return wrong


right_x = {"x": lambda g, out, x, y: g * y}  # the rule of product
right_affine = {"x": lambda g, out, x, y: 2 * g * x}


def rows_of(report, verdict):
    """(name, op) of the rows of a report that have this verdict."""
    return [(row.name, row.op) for row in report.rows if row.verdict == verdict]

"""Options and fixtures of the tests, and why tests are skipped.

`pytest --seed 7` runs the same tests on other random numbers: a test that passes only by the luck of
its seed fails. `pytest --golden` writes the DOT texts in tests/drawing/golden anew.
"""

import functools
import gc
import os
import warnings
from collections import Counter

# Before NumPy is imported, here and in the programs that tests run: two threads of BLAS for each of
# two processes wait for one another most of the time.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import hypothesis
import numpy as np
import pytest

import minigrad as mg
import minigrad.vocabulary
from minigrad import array, registry
from minigrad import noise as randomness

# no tests: PyTorch may be missing, and one program is full of mistakes
collect_ignore = ["fuzz/pytorch.py", "typed/user.py", "typed/mistakes.py"]


def pytest_addoption(parser):
    parser.addoption(
        "--seed",
        type=int,
        metavar="N",
        help="mix N into the seed of every generator (default: the seeds as they are written)",
    )
    parser.addoption(
        "--golden",
        action="store_true",
        help="write the DOT texts in tests/drawing/golden anew",
    )


def pytest_configure(config):
    """Replaces the generators before the tests are imported, since some tests draw numbers then."""
    n = config.getoption("seed")
    if n is None:
        return
    default_rng, manual_seed = np.random.default_rng, randomness.manual_seed
    whole = (int, np.integer)

    def other_rng(seed=None):
        return default_rng(
            [*np.atleast_1d(seed).tolist(), n] if isinstance(seed, (*whole, list)) else seed
        )

    @functools.wraps(manual_seed)
    def other_manual_seed(seed):
        is_seed = isinstance(seed, whole) and not isinstance(seed, bool) and seed >= 0
        manual_seed(int(seed) + (n << 64) if is_seed else seed)

    patch = pytest.MonkeyPatch()
    patch.setattr(np.random, "default_rng", other_rng)
    for module in (mg, randomness):
        patch.setattr(module, "manual_seed", other_manual_seed)
    config.add_cleanup(patch.undo)


def pytest_collection_modifyitems(config, items):
    if config.getoption("seed") is None:
        return
    for item in items:
        if getattr(item.obj, "is_hypothesis_test", False):
            hypothesis.seed(config.getoption("seed"))(
                item.obj
            )  # overrides derandomize, and saves no examples
        if item.get_closest_marker("fixed_seeds"):
            item.add_marker(
                pytest.mark.skip("compares with what the seeds as they are written gave elsewhere")
            )


def pytest_collection_finish():
    """The tests themselves are never garbage: the collector need not walk through all of them."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Says why tests were skipped, one line a reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")


@pytest.fixture
def own_registry():
    """After a test, the ops that it defined are gone, and all others have their rules again."""
    tables = [(table, dict(table)) for table in (registry.ops, array.numpy_functions)]
    rules = {name: list(op.rules) for name, op in registry.ops.items()}
    yield
    for table, before in tables:
        table.clear()
        table.update(before)
    for name, before in rules.items():
        registry.ops[name].rules[:] = before


@pytest.fixture
def seeded():
    """Each test begins with the same seed."""
    mg.manual_seed(0)


@pytest.fixture
def as_before(own_registry):
    """After a test, the ops, the default dtype and the main thread's generators are as before."""
    dtype, seeded = array.default_dtype, randomness.main
    yield
    mg.set_default_dtype(dtype)
    randomness.main = seeded


@pytest.fixture
def warnings_are_errors():
    """A warning that a test does not expect is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.fixture
def no_collector():
    """Without the garbage collector, objects die by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def break_rule():
    """A function: break_rule("tanh", rule) replaces a rule of an op of the package until the test
    ends.
    """
    undo = []

    def replace(name, rule, i=0):
        rules = registry.ops[name].rules
        undo.append((rules, i, rules[i]))
        rules[i] = rule

    yield replace
    for rules, i, rule in reversed(undo):
        rules[i] = rule

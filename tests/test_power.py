"""The power table in small: hard right graphs pass, wrong rules are found."""

import numpy as np
import power
import pytest


@pytest.mark.parametrize("kind", power.RIGHT, ids=lambda kind: kind.__name__)
def test_random_right_graphs_pass(kind, monkeypatch):
    monkeypatch.setattr(power, "RIGHT", [kind])
    count = 4 if kind is power.chains else 12  # a chain has as many nodes as all others together
    ((graphs, alarms, _),) = power.false_alarms(count).values()
    assert graphs and alarms == 0


@pytest.mark.parametrize("error", power.ERRORS)
@pytest.mark.parametrize("number", range(len(power.faults(0))))
def test_wrong_rules_are_found(number, error):
    fault = power.faults(error)[number]
    for seed in range(2):
        found = power.found(fault, np.random.default_rng(seed))
        second = fault.name == "in the second derivative"
        assert found == {"check_graph": not second, "gradcheck": not second, "gradgradcheck": True}


def test_one_wrong_entry_of_thousands_is_found_every_time():
    fault = power.faults(1e-9)[1]
    for seed in 3, 13, 16, 18, 28, 29:  # here rounding inside the op hides it at first
        assert all(power.found(fault, np.random.default_rng(seed)).values())

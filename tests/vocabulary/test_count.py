"""The counts of names, and what has to be seen at a glance: nothing asked for is missing."""

from count import counts


def test_every_name_that_was_asked_for_works():
    found = counts()
    everything, _ = found.pop("NumPy, all")
    assert len(everything) >= 230
    assert all(names == every for names, every in found.values())

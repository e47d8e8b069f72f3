"""With a planted bug the check named for it fails. Without bugs all checks pass."""

import pytest
from planted_bugs import BUGS, CHECKS, fails


def test_each_bug_has_one_of_the_checks_for_its_killer():
    assert {bug.killer for bug in BUGS} <= set(CHECKS)


def passes(check):
    if error := fails(check):
        raise error


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_bug_is_killed_by_the_check_named_for_it(check):
    passes(check)
    for bug in BUGS:
        if bug.killer is check:
            with bug.plant():
                assert fails(check), f"it passes with the bug: {bug.name}"
    passes(check)  # none of them is left behind

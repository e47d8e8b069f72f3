"""With a planted bug the check named for it fails. Without bugs all checks pass."""

import pytest
from planted_bugs import BUGS, CHECKS, fails


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_without_bugs_every_check_passes(check):
    if error := fails(check):
        raise error


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_killed_by_the_check_named_for_it(bug):
    with bug.plant():
        assert fails(bug.killer), f"{bug.killer.__name__} passes with the bug: {bug.name}"
    assert fails(bug.killer) is None

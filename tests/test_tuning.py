"""The settings of the whole process that make graphs faster."""

import pytest
from processes import python


@pytest.mark.parametrize(
    "given, collected", [("0", "unchanged"), ("1", "raised"), (None, "raised")]
)
def test_the_process_is_tuned_unless_the_user_says_no(given, collected):
    program = "import gc; before = gc.get_threshold()[0]; import minigrad\n"
    program += "print('unchanged' if gc.get_threshold()[0] == before else 'raised')"
    assert python("-c", program, MINIGRAD_TUNING=given).stdout.decode().strip() == collected

"""How long dumps are kept."""

import pytest

from ops.commands.dump import retention
from user_errors import UserError


def test_the_settings_are_read() -> None:
    assert retention({"DUMPS_KEEP": "30", "DUMPS_KEEP_DAILY": "0"}) == (30, 0)


@pytest.mark.parametrize(("keep", "daily"), [("0", "14"), ("", "14"), ("seven", "14"), ("7", "-1"), ("7", "")])
def test_a_retention_that_keeps_nothing_or_is_no_number_is_refused(keep: str, daily: str) -> None:
    with pytest.raises(UserError, match="DUMPS_KEEP"):
        retention({"DUMPS_KEEP": keep, "DUMPS_KEEP_DAILY": daily})

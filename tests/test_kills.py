"""A server that is killed: what it answered is there, whole, with all that is derived from it."""

from pathlib import Path

import pytest

from .support.killing import Killing

pytestmark = pytest.mark.slow


def test_kills_lose_nothing_that_was_answered_and_leave_nothing_in_half(tmp_path: Path) -> None:
    killing = Killing(tmp_path / "a.db", seed=1)
    for _ in range(5):
        killing.kill()
    tally = killing.tally
    assert tally.kills == 5
    # There was much to lose, and there were summaries to be wrong.
    assert tally.answered > 100
    assert tally.sealed

"""The database whose summaries are tried."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.storage.database import Database

from ..conftest import SetClock


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(
        Database(tmp_path / "a.db", clock=SetClock(), synchronous="off", busy_seconds=0)
    ) as opened:
        yield opened

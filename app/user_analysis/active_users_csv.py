"""The response of `GetActiveUsers` as rows of CSV, the names of the columns first."""

import json
from collections.abc import Iterator, Sequence

from .schemas import ActiveUserData


def active_users_rows(text: str, _: object) -> Iterator[Sequence[object]]:
    """Yield the CSV rows of `ActiveUsers`, which is given as JSON text."""
    yield tuple(ActiveUserData().fields)
    yield from (tuple(row.values()) for row in json.loads(text)["data"])

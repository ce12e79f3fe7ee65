"""Tables: what every number on a page is in, shown as HTML, behind a chart, or as CSV."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..days import format_day, format_month
from ..web.csv_format import csv_text

ROWS = 50
"""The most rows that a page shows at once."""

MOST_LISTED = 1000
"""The most rows that are put in order, of which a page shows a part; CSV has all."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


class Change(NamedTuple):
    """A number and what it was in the period before."""

    now: int
    before: int

    @property
    def ratio(self) -> float | None:
        """By what part it changed; None where there was nothing before."""
        return (self.now - self.before) / self.before if self.before else None


def change_of(now: int | None, before: int | None) -> Change | None:
    """Return a change; None where one of the numbers is not known or not wanted."""
    return None if now is None or before is None else Change(now, before)


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    """In CSV, and in the URL to sort by."""
    title: str
    kind: str = "text"
    """How its cells are shown: see the macro of this name in `tables.html`."""
    link: Callable[[Any], str] | None = None
    """Returns where a cell leads."""

    @property
    def is_number(self) -> bool:
        """Whether the largest is wanted first."""
        return self.kind in ("change", "count", "last_day", "share")

    def raw(self, cell: Any) -> object:
        """Return a cell for a machine."""
        if isinstance(cell, Change):
            return cell.before
        if self.kind in ("day", "last_day") and cell is not None:
            return format_day(cell)
        if self.kind == "month":
            return format_month(cell)
        if isinstance(cell, str) and cell.startswith(FORMULA):
            return f"'{cell}"
        return cell


@dataclass(frozen=True)
class Table:
    """Rows of cells by columns."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    chart: str | None = None
    """The kind of its chart: line, bar or stack."""
    sort: str | None = None
    """The name of the column that it is sorted by, after a minus if the largest comes first."""
    start: int = 0
    """The row that a page shows first."""
    total: int | None = None
    """How many rows there are, where `rows` are only those that a page shows."""
    empty: str = ""
    """The text that a table without rows shows."""
    note: str = ""
    """The text below the table, such as how many rows it leaves out."""

    @property
    def is_flat(self) -> bool:
        """Whether a chart of it would show nothing."""
        return not any(any(row[1:]) for row in self.rows)

    @property
    def shown(self) -> Sequence[Sequence[Any]]:
        """The rows that a page shows."""
        if self.chart or self.total is not None:
            return self.rows
        return self.rows[self.start : self.start + ROWS]

    @property
    def length(self) -> int:
        """How many rows there are."""
        return len(self.rows) if self.total is None else self.total

    @property
    def start_before(self) -> int:
        """The row that the part of the table before this one begins with."""
        return max(self.start - ROWS, 0)

    def csv(self) -> str:
        """Return all rows as CSV. Text that a spreadsheet would compute gets a ' before it."""
        header = [column.name for column in self.columns]
        cells = (
            [column.raw(cell) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        )
        return csv_text([header, *cells])


def sorted_rows(
    columns: Sequence[Column], rows: Iterable[Sequence[Any]], sort: str
) -> list[Sequence[Any]]:
    """Return rows by a column, the largest first if its name has a minus before it.

    Rows that are equal there keep their order; empty cells come last. Raises KeyError.
    """
    name = sort.removeprefix("-")
    index = {column.name: index for index, column in enumerate(columns)}[name]
    backwards = sort.startswith("-")

    def key(row: Sequence[Any]) -> Any:
        cell = row[index]
        if isinstance(cell, Change):
            return cell.ratio if cell.ratio is not None else float("inf") if cell.now else 0.0
        return cell.casefold() if isinstance(cell, str) else cell

    filled = [row for row in rows if row[index] is not None]
    rest = [row for row in rows if row[index] is None]
    return [*sorted(filled, key=key, reverse=backwards), *rest]


class Card(NamedTuple):
    """A number, and how it changed."""

    title: str
    number: int | None
    """None: it is not known."""
    change: Change | None
    note: str = ""


def card_of(title: str, number: int | None, before: int | None, note: str = "") -> Card:
    """Return a card, with its change if both numbers are known."""
    return Card(title, number, change_of(number, before), note)

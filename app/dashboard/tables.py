"""Tables: they hold the numbers of a page and are shown as HTML, as a chart or as CSV."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..days import format_day, format_month
from ..web.csv_format import csv_text

ROWS = 50
"""The most rows that a page shows at once."""

MOST_LISTED = 1000
"""The most rows that a list sorts and pages through; CSV has all rows."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""The prefixes that make a spreadsheet treat a cell as a formula."""


class Change(NamedTuple):
    """A number, and the same number in the period before."""

    now: int
    before: int

    @property
    def ratio(self) -> float | None:
        """The relative change; None if the number before was 0."""
        return (self.now - self.before) / self.before if self.before else None


def change_of(now: int | None, before: int | None) -> Change | None:
    """Return a change; None if either number is None."""
    return None if now is None or before is None else Change(now, before)


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    """Its name in CSV, and in the URL for sorting."""
    title: str
    kind: str = "text"
    """How its cells are shown: see the macro `cell` in `parts.html`."""
    link: Callable[[Any], str] | None = None
    """Returns the URL that a cell links to."""

    @property
    def is_number(self) -> bool:
        """Whether the largest value comes first by default."""
        return self.kind in ("change", "count", "last_day", "share")

    def raw(self, cell: Any) -> object:
        """Return a cell as CSV has it."""
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
    """A table: columns, rows of cells, and how they are shown."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    chart: str | None = None
    """The kind of its chart: line, bar or stack."""
    sort: str | None = None
    """The name of the column that it is sorted by, with a leading minus if it is descending."""
    start: int = 0
    """The index of the first row that the page shows."""
    total: int | None = None
    """How many rows there are in all, if `rows` has only those that the page shows."""
    empty: str = ""
    """The text that is shown if the table has no rows."""
    note: str = ""
    """The text below the table, such as that it does not have all rows."""

    @property
    def is_flat(self) -> bool:
        """Whether its chart would be empty: all numbers are 0 or missing."""
        return not any(any(row[1:]) for row in self.rows)

    @property
    def shown(self) -> Sequence[Sequence[Any]]:
        """The rows that the page shows."""
        if self.chart or self.total is not None:
            return self.rows
        return self.rows[self.start : self.start + ROWS]

    @property
    def length(self) -> int:
        """How many rows there are in all."""
        return len(self.rows) if self.total is None else self.total

    @property
    def start_before(self) -> int:
        """The index of the first row of the previous page of the table."""
        return max(self.start - ROWS, 0)

    def csv(self) -> str:
        """Return all rows as CSV; a leading ' keeps text from being computed as a formula."""
        header = [column.name for column in self.columns]
        cells = (
            [column.raw(cell) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        )
        return csv_text([header, *cells])


def sorted_rows(
    columns: Sequence[Column], rows: Iterable[Sequence[Any]], sort: str
) -> list[Sequence[Any]]:
    """Return rows sorted by a column, in descending order if its name has a leading minus.

    Rows with equal cells keep their order; empty cells come last. Raises KeyError if there is no
    such column.
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
    """A number that a page shows large, and how it changed."""

    title: str
    number: int | None
    """None: the number is not known."""
    change: Change | None
    note: str = ""


def card_of(title: str, number: int | None, before: int | None, note: str = "") -> Card:
    """Return a card, with its change if both numbers are known."""
    return Card(title, number, change_of(number, before), note)

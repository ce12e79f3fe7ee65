"""Time series: tables with a row for each day, or for each month if the period is long."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from flask_babel import gettext as _

from ..analytics.selection import Days
from ..days import month_of
from .controls import Controls
from .tables import Column, Table

MOST_DAYS = 186
"""The longest period, in days, that a chart shows by day."""

Numbers = Mapping[int, int]
"""Numbers by day."""


@dataclass(frozen=True)
class Line:
    """A series of numbers that a chart shows as a line or as bars."""

    name: str
    title: str
    numbers: Numbers


def table_over_time(
    controls: Controls, name: str, caption: str, lines: Sequence[Line], chart: str
) -> Table:
    """Return a table of numbers by day or month.

    A single line shown by day has the numbers of the period before beside it, unless the controls
    compare with nothing.
    """
    by_month = is_by_month(controls.days)
    titles = [Column("month", _("Month"), "month") if by_month else Column("day", _("Day"), "day")]
    titles += [Column(line.name, line.title, "count") for line in lines]
    columns = [_column(line.numbers, controls.days, by_month) for line in lines]
    if len(lines) == 1 and controls.before and not by_month:
        titles.append(Column(f"{lines[0].name}_before", _("Period before"), "count"))
        columns.append(_column(lines[0].numbers, controls.before, by_month))
    periods = _periods(controls.days, by_month)
    rows = list(zip_longest(periods, *columns))
    return Table(name, caption, titles, rows, chart=chart)


def is_by_month(days: Days) -> bool:
    """Return whether numbers of these days are shown by month."""
    return len(days) > MOST_DAYS


def total(numbers: Numbers, days: Days | None) -> int:
    """Return the sum of the numbers over a period; 0 if the period is None."""
    if days is None:
        return 0
    return sum(number for day, number in numbers.items() if days.first <= day <= days.last)


def _periods(days: Days, by_month: bool) -> list[int]:
    if by_month:
        return list(range(month_of(days.first), month_of(days.last) + 1))
    return list(range(days.first, days.last + 1))


def _column(numbers: Numbers, days: Days, by_month: bool) -> list[int]:
    if not by_month:
        return [numbers.get(day, 0) for day in range(days.first, days.last + 1)]
    sums: Counter[int] = Counter()
    for day, number in numbers.items():
        if days.first <= day <= days.last:
            sums[month_of(day)] += number
    return [sums[month] for month in _periods(days, by_month)]

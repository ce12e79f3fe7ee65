"""Localization of the dashboard: its texts, and the format of numbers, days and times."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from babel.dates import format_date, format_skeleton, format_time
from flask import Flask, request
from flask_babel import Babel, format_decimal, format_percent, get_locale

from ..days import date_of, first_day_of
from ..web.context import current_database
from .controls import LANGUAGES

TRANSLATIONS = Path(__file__).with_name("translations")

_preparing = Lock()


def prepare(app: Flask) -> None:
    """Set up localization; called with the first page, so that the server starts faster."""
    with _preparing:
        if "babel" in app.extensions:
            return
        app.jinja_env.filters.update({write.__name__: write for write in WRITERS})
        Babel(
            app,
            locale_selector=choose_language,
            default_translation_directories=str(TRANSLATIONS),
        )


def choose_language() -> str:
    """Return the language that the URL names, or else the one that the browser prefers."""
    given = request.args.get("lang")
    return given if given in LANGUAGES else request.accept_languages.best_match(LANGUAGES, "en")


def count(number: int) -> str:
    """Return a whole number in the format of the language."""
    return str(format_decimal(number))


def percent(ratio: float) -> str:
    """Return a ratio as a percentage with one decimal."""
    return str(format_percent(ratio, "#,##0.0%"))


def change(ratio: float) -> str:
    """Return a relative change as a percentage with its sign."""
    pattern = "+#,##0.0%;-#,##0.0%" if abs(ratio) < 0.1 else "+#,##0%;-#,##0%"
    return str(format_percent(ratio, pattern))


def day(number: int) -> str:
    """Return a day with its year: 23 Nov 2026."""
    return format_date(date_of(number), "medium", locale=get_locale())


def short_day(number: int) -> str:
    """Return a day without its year, for the axis of a chart."""
    return format_skeleton("MMMd", _noon(number), locale=get_locale())


def weekday(number: int) -> str:
    """Return a day with its weekday and year."""
    return format_date(date_of(number), "full", locale=get_locale())


def month(number: int) -> str:
    """Return a month with its year."""
    return format_skeleton("yMMMM", _noon(first_day_of(number)), locale=get_locale())


def short_month(number: int) -> str:
    """Return a month in its short form, for the axis of a chart."""
    return format_skeleton("yMMM", _noon(first_day_of(number)), locale=get_locale())


def time(timestamp: int) -> str:
    """Return the time of day, to the second, in the deployment's time zone."""
    local = current_database().calendar.local_time(timestamp)
    return format_time(local.replace(tzinfo=None), "medium", locale=get_locale())


def moment(timestamp: int) -> str:
    """Return a day with the time of day."""
    calendar = current_database().calendar
    return f"{day(calendar.day_of(timestamp))} {time(timestamp)}"


def iso(timestamp: int) -> str:
    """Return a time in ISO 8601, in the deployment's time zone."""
    return current_database().calendar.local_time(timestamp).isoformat()


def _noon(number: int) -> datetime:
    of = date_of(number)
    return datetime(of.year, of.month, of.day, 12)


WRITERS: list[Callable[[Any], str]] = [
    change,
    count,
    day,
    iso,
    moment,
    month,
    percent,
    short_day,
    short_month,
    time,
    weekday,
]
"""The filters of templates."""

"""Shared parts of the commands for keys and links: names, expiry, and how they are shown."""

import errno
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from ..auth import expiry
from ..days import Clock
from ..errors import StartError
from .exit_codes import drop_output
from .options import load

Names = Callable[[sqlite3.Connection], list[str]]
"""Returns the names that the shell can complete."""


def _check_new_name(_: click.Context, __: click.Parameter, name: str) -> str:
    try:
        return expiry.check_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _check_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not name.isprintable():
        raise click.BadParameter("must be printable characters")
    return name


def _read_expiry(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else expiry.read_expiry(text, Clock().now())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


new_name = click.argument("name", callback=_check_new_name)


def known_name(names: Names) -> Callable[..., Any]:
    """Return an argument that takes a name from a database, with shell completion."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        """Return the names with this prefix; none if the database cannot be read."""
        # This takes 14 ms, and only completion needs it.
        from ..maintenance.backup import existing

        with suppress(StartError, sqlite3.Error):
            path = load(database=context.params.get("database")).database
            with existing(path) as (connection, _):
                return [name for name in names(connection) if name.startswith(incomplete)]
        return []

    return click.argument("name", callback=_check_name, shell_complete=complete)


def expires_option(**options: Any) -> Callable[..., Any]:
    """Return the option that says when a key or link expires."""
    return click.option(
        "--expires",
        "expires_at",
        metavar="DATE|DAYS",
        callback=_read_expiry,
        help="A date such as 2027-01-31 (UTC), or a number of days from now.",
        **options,
    )


def show_once(what: str, lines: str) -> None:
    """Print a secret that cannot be shown again, and say so on standard error.

    Raises ClickException, which says what to do, if it cannot be printed.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        click.echo(lines)
    except OSError as error:
        drop_output()
        raise click.ClickException(
            f"{what} was made but cannot be shown: {error.strerror}; revoke it and make another one"
        ) from None
    click.echo("This is shown only once; keep it safe.", err=True)


def state(row: Mapping[str, Any], now: int) -> str:
    """Return the state of a key or link as text, with a date if it has one."""
    word, at = expiry.state_of(row, now)
    return word if at is None else f"{word} {datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def last_use(row: Mapping[str, Any]) -> str:
    """Return when a key or link was last used, to the minute in UTC."""
    if row["last_used_at"] is None:
        return "never"
    return f"{datetime.fromtimestamp(row['last_used_at'], UTC):%Y-%m-%d %H:%M} UTC"

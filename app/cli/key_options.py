"""What the commands for keys and links share: names, when something ends, and how that is shown."""

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
"""Returns the names that can be completed."""


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
    """Return an argument that is one of the names in a database."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        """Return the names that begin so; none where the database cannot be read as it is."""
        # Only completion needs it, and no other command should wait for it.
        from ..maintenance.backup import existing

        with suppress(StartError, sqlite3.Error):
            path = load(database=context.params.get("database")).database
            with existing(path) as (connection, _):
                return [name for name in names(connection) if name.startswith(incomplete)]
        return []

    return click.argument("name", callback=_check_name, shell_complete=complete)


def expires_option(**options: Any) -> Callable[..., Any]:
    """Return an option that says when something ends."""
    return click.option(
        "--expires",
        "expires_at",
        metavar="DATE|DAYS",
        callback=_read_expiry,
        help="2027-01-31 (UTC), or 90 for days from now.",
        **options,
    )


def show_once(what: str, lines: str) -> None:
    """Print what cannot be shown again, and say so where only people look.

    If it cannot be printed, what was made is of no use to anybody, and it is said what to do.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        click.echo(lines)
    except OSError as error:
        drop_output()
        raise click.ClickException(
            f"{what} was made, but cannot be shown: {error.strerror}; revoke it and make another"
        ) from None
    click.echo("This is shown once; keep it safe.", err=True)


def state(row: Mapping[str, Any], now: int) -> str:
    """Return in words how a key or link stands."""
    word, at = expiry.state_of(row, now)
    return word if at is None else f"{word} {datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def last_use(row: Mapping[str, Any]) -> str:
    """Return when a key or link was last used, to the minute in UTC."""
    if row["last_used_at"] is None:
        return "never"
    return f"{datetime.fromtimestamp(row['last_used_at'], UTC):%Y-%m-%d %H:%M} UTC"

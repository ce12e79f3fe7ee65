"""How a failed command ends: with one line on standard error, and an exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .signals import raise_if_ended

FAILED = 1
"""The command failed, or a check found errors. click uses 2 for a wrong command line."""

BUSY = 75
"""Another process holds the database; try again later. This is EX_TEMPFAIL of sysexits.h."""


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Show errors of the user or the machine as one line, and exit with their exit code.

    All other exceptions are bugs; they are raised and end with a stack trace.
    """
    try:
        yield
    except Exception as error:
        raise_if_ended()
        # Imported only for errors: they take 50 ms, which help and completion save.
        from ..errors import ServiceUnavailable, StartError

        if isinstance(error, OSError):
            drop_output()
            message = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        elif isinstance(error, ServiceUnavailable):
            message = str(error.description)
        elif isinstance(error, StartError):
            message = str(error)
        else:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(BUSY if _is_busy(error.__cause__) else FAILED)


def drop_output() -> None:
    """Discard output that could not be written, so that Python does not try again at exit."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_busy(cause: BaseException | None) -> bool:
    import sqlite3

    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return isinstance(cause, BlockingIOError) or code in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )

"""How a command ends that went wrong: with one line, and an exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .signals import raise_if_ended

FAILED = 1
"""What was asked for could not be done, or was found wrong. click has 2 for a wrong call."""

BUSY = 75
"""Another process holds the database: the same can work later. The EX_TEMPFAIL of sysexits.h."""


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Show what a user or the machine did wrong as one line, and exit with the code for it.

    Anything else is a bug, and goes on with its stack trace.
    """
    try:
        yield
    except Exception as error:
        raise_if_ended()
        # Whoever asks for help or completion should not wait for what only errors need.
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
    """Throw away what could not be written, so that Python does not try again when it ends."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_busy(cause: BaseException | None) -> bool:
    import sqlite3

    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return isinstance(cause, BlockingIOError) or code in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )

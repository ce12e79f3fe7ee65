"""Output of the commands: JSON on standard output, and files."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO

import click

from .. import __version__
from .exit_codes import drop_output


def print_json(value: object) -> None:
    """Print a line of JSON to standard output, in ASCII for any terminal and locale."""
    click.echo(json.dumps(value))


def print_ready(url: str, **more: object) -> None:
    """Print a line of JSON that says at which URL this process serves."""
    print_json({"url": url} | more | {"pid": os.getpid(), "version": __version__})


@contextmanager
def output(path: Path | None) -> Iterator[IO[bytes]]:
    """Yield a stream to write: standard output, or a file that gets its path when it is complete.

    Only the owner can read the file, as with a database. Raises ClickException with one line if the
    file cannot be written.
    """
    try:
        if path is None:
            with _standard_output() as stream:
                yield stream
        elif path.exists() and not path.is_file():  # such as /dev/null
            with path.open("wb") as stream:
                yield stream
        else:
            with _replacing(path.resolve()) as stream:
                yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{path or 'standard output'} cannot be written: {error.strerror}"
        raise click.ClickException(message) from error


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    if sys.stdout is None:
        raise click.ClickException("standard output is closed")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except OSError:
        drop_output()
        raise


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    # The name is chosen first, so that the file is removed even if a signal comes right after open.
    part = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

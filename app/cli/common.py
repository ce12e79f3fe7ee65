"""What the commands share: options, settings and the database."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import click

from ..config import Settings, load_settings
from ..database import Database

database_option = click.option(
    "--database", type=click.Path(path_type=Path), help="The SQLite file.  [ANALYSIS_DATABASE]"
)

host_option = click.option("--host", help="The address to listen on.  [ANALYSIS_HOST, 127.0.0.1]")
port_option = click.option(
    "--port", type=int, help="The port; 0 takes a free one.  [ANALYSIS_PORT, 8000]"
)


json_option = click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")


def given(**options: object) -> dict[str, object]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def load(**options: object) -> Settings:
    """Return the settings from options and, for those not given, the environment."""
    return load_settings(given(**options), os.environ)


@contextmanager
def open_database(path: Path | None) -> Iterator[Database]:
    """Give the database of an option or the environment."""
    settings = load(database=path)
    with closing(Database.open(settings)) as database:
        yield database


@contextmanager
def output(path: Path | None) -> Iterator[IO[bytes]]:
    """Give a file to write: standard output, or one that is put at its path when it is whole.

    Readable by its owner alone, as a database is. Shows what keeps it from being written as one
    line.
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
    stream = sys.stdout.buffer
    try:
        yield stream
        stream.flush()
    except OSError:
        # What is left in the buffer must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file.file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise

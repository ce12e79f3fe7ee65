"""What the commands share: options, settings and the database."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

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

"""Shared parts of the commands: options, settings, opening the database."""

import os
from collections.abc import Callable, Iterator, Sized
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from ..config import Settings, load_settings, variable
from ..days import parse_day
from ..storage.database import Database

# click does not check whether paths are readable: the code that opens them reports errors better.
PATH = click.Path(path_type=Path, readable=False)
FILE = click.Path(path_type=Path, readable=False, dir_okay=False)

SETTINGS = {setting.name: setting for setting in fields(Settings)}


def setting_option(flag: str, name: str, help: str, **options: Any) -> Callable[..., Any]:
    """Return an option for a setting: it is checked like the setting, and its help names it."""
    setting = SETTINGS[name]

    def check(_: click.Context, __: click.Parameter, value: object) -> Any:
        if name == "time_zone":
            return value  # an unknown zone is not a wrong command line; `load` reports it
        try:
            return None if value in (None, ()) else setting.metadata["parse"](value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    default = "" if setting.default is None else f"; default: {setting.default}"
    told = f"{help}  [env var: {variable(name)}{default}]"
    return click.option(flag, callback=check, help=told, **options)


database_option = setting_option("--database", "database", "The SQLite file.", type=PATH)
host_option = setting_option("--host", "host", "The address to listen on.", metavar="ADDRESS")
cors_option = setting_option(
    "--cors-origin",
    "cors_origins",
    "An origin whose pages may call this server; can be given more than once.",
    metavar="ORIGIN",
    multiple=True,
)
port_option = setting_option("--port", "port", "The port; 0 takes a free one.", metavar="NUMBER")
time_zone_option = setting_option(
    "--time-zone",
    "time_zone",
    "The time zone of days and months; it is fixed when the database is made.",
    metavar="ZONE",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON, for other programs."
)


MOST_LISTED = 1000
"""The most rows that a command lists without --all."""

all_option = click.option(
    "--all", "list_all", is_flag=True, help=f"List all rows, not only {MOST_LISTED}."
)


def limit_of(list_all: bool) -> int | None:
    """Return the most rows to list; None for all."""
    return None if list_all else MOST_LISTED


def say_if_limited(rows: Sized, list_all: bool) -> None:
    """Say on standard error that rows may be missing, if the limit is reached."""
    if len(rows) == limit_of(list_all):
        click.echo(f"only {MOST_LISTED} rows are listed; --all lists all", err=True)


def parse_date(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the day for the value of an option; None if it is not given."""
    try:
        return None if text is None else parse_day(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def given(**options: object) -> dict[str, object]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def load(**options: object) -> Settings:
    """Return the settings from the options, and from the environment for options not given."""
    return load_settings(given(**options), os.environ)


@contextmanager
def open_database(
    path: Path | None, *, create: bool = False, migrate: bool = False, **options: object
) -> Iterator[Database]:
    """Open the database that an option or the environment names, and yield it.

    Raises StartError if it does not exist and `create` is not set.
    """
    settings = load(database=path, **options)
    with closing(Database.open(settings, create=create, migrate=migrate)) as database:
        yield database

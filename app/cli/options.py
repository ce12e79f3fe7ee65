"""What the commands share: options, settings, the database, and what they print."""

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

# Whether a path can be used is told by what uses it.
PATH = click.Path(path_type=Path, readable=False)
FILE = click.Path(path_type=Path, readable=False, dir_okay=False)

SETTINGS = {setting.name: setting for setting in fields(Settings)}


def setting_option(flag: str, name: str, help: str, **options: Any) -> Callable[..., Any]:
    """Return an option in the place of a setting: checked like it, and with it in the help."""
    setting = SETTINGS[name]

    def check(_: click.Context, __: click.Parameter, value: object) -> Any:
        if name == "time_zone":
            return value  # what this machine does not know is no wrong call: `load` tells of it
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
    "An origin whose pages may call this server; may be given more than once.",
    metavar="ORIGIN",
    multiple=True,
)
port_option = setting_option("--port", "port", "The port; 0 takes a free one.", metavar="NUMBER")
time_zone_option = setting_option(
    "--time-zone",
    "time_zone",
    "The zone of days and months, fixed for ever when the database is made.",
    metavar="ZONE",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON, for a machine."
)


MOST_LISTED = 1000
"""The most rows that a command lists unless it is told to list all."""

all_option = click.option(
    "--all", "list_all", is_flag=True, help=f"List all, and not at most {MOST_LISTED}."
)


def limit_of(list_all: bool) -> int | None:
    """Return how many rows to list at most."""
    return None if list_all else MOST_LISTED


def say_if_limited(rows: Sized, list_all: bool) -> None:
    """Say on standard error that rows may be missing, if as many are listed as there can be."""
    if len(rows) == limit_of(list_all):
        click.echo(f"at most {MOST_LISTED} are listed; --all lists all", err=True)


def parse_date(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the day of an option that is a date."""
    try:
        return None if text is None else parse_day(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def given(**options: object) -> dict[str, object]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def load(**options: object) -> Settings:
    """Return the settings from options and, for those not given, the environment."""
    return load_settings(given(**options), os.environ)


@contextmanager
def open_database(
    path: Path | None, *, create: bool = False, migrate: bool = False, **options: object
) -> Iterator[Database]:
    """Give the database of an option or the environment, which must be there unless it is made."""
    settings = load(database=path, **options)
    with closing(Database.open(settings, create=create, migrate=migrate)) as database:
        yield database

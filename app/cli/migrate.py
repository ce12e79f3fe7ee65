"""`migrate`."""

from pathlib import Path

import click

from ..maintenance.backup import existing
from ..storage.migrations import NEWEST, copy_before
from .command import Command
from .options import database_option, json_option, load, open_database
from .output import print_json


@click.command(
    cls=Command,
    examples=["saasus-analysis migrate", "saasus-analysis migrate --database analysis.db --json"],
)
@json_option
@database_option
def migrate(as_json: bool, database: Path | None) -> None:
    """Migrate an older database to the schema of this version.

    A copy is made beside it first. Stop servers of the older version: they can no longer use the
    database. `serve` migrates at its start, too.
    """
    path = load(database=database).database
    with existing(path) as (_, before):
        pass
    with open_database(database, migrate=True):
        pass
    copy = None if before == NEWEST else copy_before(path, before)
    if as_json:
        told = {"database": str(path), "schema_before": before, "schema": NEWEST}
        print_json(told | {"copy": str(copy) if copy else None})
    elif copy:
        click.echo(f"{path}: migrated from schema {before} to {NEWEST}; the old one is {copy}")
    else:
        click.echo(f"{path} is up to date, schema {NEWEST}")

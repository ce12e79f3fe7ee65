"""`backup`, `restore` and `check`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from ..backup import Progress, back_up, back_up_dated, existing, note_backup
from ..backup import restore as put_back
from ..check import checks_for, find_wrong
from ..days import Clock
from ..migrations import NEWEST
from .common import database_option, json_option, load
from .progress import progress_bar

TICK = 1_000_000
"""The steps of SQLite between two looks at the clock."""


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="TARGET is a folder: make a dated backup in it, and delete all but the newest N.",
)
@json_option
@database_option
def backup(target: Path, keep: int | None, as_json: bool, database: Path | None) -> None:
    """Copy the database to a file, and check the copy; a server may write meanwhile."""
    source = load(database=database).database
    deleted: list[Path] = []
    with _copying() as progress:
        if keep is None:
            made = back_up(source, target, progress)
        else:
            made, deleted = back_up_dated(source, target, keep, Clock().now(), progress)
    note_backup(source, made, Clock().now())
    if as_json:
        told = {"database": str(source), "backup": str(made.path), "bytes": made.bytes}
        told |= {"schema": made.schema, "deleted": [str(path) for path in deleted]}
        click.echo(json.dumps(told))
        return
    click.echo(f"{made.path}: {made.bytes} bytes, schema {made.schema}, checked")
    for path in deleted:
        click.echo(f"deleted {path}")


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a database that is there, and keep it beside.")
@json_option
@database_option
def restore(source: Path, force: bool, as_json: bool, database: Path | None) -> None:
    """Put a backup in the place of the database, after checking it; stop the server before."""
    target = load(database=database).database
    with _copying() as progress:
        made, kept = put_back(source, target, force, progress)
    if as_json:
        told = {"source": str(source), "database": str(made.path), "bytes": made.bytes}
        told |= {"schema": made.schema, "kept": str(kept) if kept else None}
        click.echo(json.dumps(told))
        return
    click.echo(f"{made.path}: {made.bytes} bytes, schema {made.schema}, checked")
    if kept:
        click.echo(f"the one that was there is {kept}")


@click.command("check")
@json_option
@database_option
def check(as_json: bool, database: Path | None) -> None:
    """Check the database and all that is derived in it; tell what is wrong, and exit with 1."""
    path = load(database=database).database
    run: list[str] = []
    with existing(path) as (connection, schema):
        bar = progress_bar(checks_for(schema, NEWEST), unit="check")

        def show_the_time() -> None:
            bar.refresh()

        connection.set_progress_handler(show_the_time, TICK)
        with bar:
            wrong = list(find_wrong(connection, bar, run))
    if as_json:
        told = {"database": str(path), "schema": schema, "checked": run}
        click.echo(json.dumps(told | {"wrong": [asdict(one) for one in wrong]}))
        sys.exit(1 if wrong else 0)
    for one in wrong:
        click.echo(f"{one.check}: {one.count} wrong")
        for example in one.examples:
            click.echo(f"  {example}")
        if one.count > len(one.examples):
            click.echo(f"  and {one.count - len(one.examples)} more")
        click.echo(f"  what to do: {one.remedy}")
    checked = ", ".join(run)
    if wrong:
        raise click.ClickException(f"{path} is wrong; checked: {checked}")
    click.echo(f"{path} is right, schema {schema}; checked: {checked}")
    if schema < NEWEST:
        click.echo(f"the rest can be checked when a start has brought it to schema {NEWEST}")


@contextmanager
def _copying() -> Iterator[Progress]:
    with progress_bar(unit="B", unit_scale=True, desc="copied") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show

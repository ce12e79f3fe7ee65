"""`backup`, `restore` and `check`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from ..days import Clock
from ..maintenance.backup import Progress, back_up, back_up_dated, existing, note_backup
from ..maintenance.backup import restore as put_back
from ..maintenance.integrity import Wrong, checks_for, find_wrong
from ..storage.migrations import NEWEST
from .command import Command
from .options import PATH, database_option, json_option, load
from .output import print_json
from .progress import progress_bar
from .signals import raise_if_ended

TICK = 1_000_000
"""How many instructions of SQLite pass between two updates of the progress bar."""


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis backup analysis-backup.db",
        "saasus-analysis backup backups --keep 7 --json",
    ],
)
@click.argument("target", type=PATH)
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Treat TARGET as a folder: make a dated backup in it and keep only the newest N.",
)
@json_option
@database_option
def backup(target: Path, keep: int | None, as_json: bool, database: Path | None) -> None:
    """Copy the database to a file; a server may be running.

    The copy is checked before it gets its name, and only its owner can read it.
    """
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
        print_json(told | {"schema": made.schema, "deleted": [str(path) for path in deleted]})
        return
    click.echo(f"{made.path}: {made.bytes} bytes, schema {made.schema}, checked")
    for path in deleted:
        click.echo(f"deleted {path}")


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis restore analysis-backup.db --database trial.db",
        "saasus-analysis restore analysis-backup.db --force",
    ],
)
@click.argument("source", type=PATH)
@click.option(
    "--force", is_flag=True, help="Replace an existing database; keep it under a new name."
)
@json_option
@database_option
def restore(source: Path, force: bool, as_json: bool, database: Path | None) -> None:
    """Restore the database from a backup.

    The backup is checked first. Stop the server before, and all others that use the database.
    """
    target = load(database=database).database
    with _copying() as progress:
        made, kept = put_back(source, target, force, progress)
    if kept is None:
        click.echo(f"made a new database at {made.path}", err=True)
    if as_json:
        told = {"source": str(source), "database": str(made.path), "bytes": made.bytes}
        print_json(told | {"schema": made.schema, "kept": str(kept) if kept else None})
        return
    click.echo(f"{made.path}: {made.bytes} bytes, schema {made.schema}, checked")
    if kept:
        click.echo(f"the previous database is kept as {kept}")


@click.command(
    cls=Command,
    examples=["saasus-analysis check", "saasus-analysis check --database analysis-backup.db"],
)
@json_option
@database_option
def check(as_json: bool, database: Path | None) -> None:
    """Check the database and all data derived in it.

    Changes nothing. Shows errors with examples and what to do, and exits with 1 if there are any.
    """
    path = load(database=database).database
    run: list[str] = []
    wrong: list[Wrong] = []
    with existing(path) as (connection, schema):
        bar = progress_bar(checks_for(schema, NEWEST), unit="check")

        def show_the_time() -> None:
            bar.refresh()

        connection.set_progress_handler(show_the_time, TICK)
        with bar:
            for one in find_wrong(connection, bar, run):
                raise_if_ended()  # otherwise, a check that was interrupted would count as failed
                wrong.append(one)
    if as_json:
        told = {"database": str(path), "schema": schema, "checked": run}
        print_json(told | {"wrong": [asdict(one) for one in wrong]})
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
        raise click.ClickException(f"{path} has errors; checked: {checked}")
    click.echo(f"{path} has no errors, schema {schema}; checked: {checked}")
    if schema < NEWEST:
        click.echo(f"the other checks need schema {NEWEST}: run saasus-analysis migrate first")


@contextmanager
def _copying() -> Iterator[Progress]:
    with progress_bar(unit="B", unit_scale=True, desc="copied") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show

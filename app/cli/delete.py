"""`delete`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..maintenance import deletion
from .command import Command
from .erase import dry_run_option, yes_option
from .options import database_option, json_option, open_database, parse_date
from .output import print_json


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis delete --from 2030-01-01 --dry-run",
        "saasus-analysis delete --user u-1 --from 2026-05-01 --to 2026-05-07 --yes",
        "saasus-analysis delete --page /invoices/secret --yes",
        "saasus-analysis delete --tenant acme --to 2019-12-31 --yes --json",
    ],
)
@click.option("--user", "user_id", metavar="ID", help="Only the data of this user.")
@click.option("--tenant", "tenant_id", metavar="ID", help="Only the counts of this tenant.")
@click.option("--page", "page_url", metavar="URL", help="Only views of this page.")
@click.option("--from", "date_from", metavar="YYYY-MM-DD", callback=parse_date, help="First day.")
@click.option(
    "--to", "date_to", metavar="YYYY-MM-DD", callback=parse_date, help="Last day, inclusive."
)
@dry_run_option
@yes_option
@json_option
@database_option
def delete(yes: bool, as_json: bool, dry_run: bool, database: Path | None, **selected: Any) -> None:
    """Delete the data of a user, a page, a tenant or some days.

    Deletes the data that match all given options, and subtracts them from all counts. Shows which
    matching data cannot be separated and are kept. Days are in the time zone of the database. A
    server may be running. Backups, replicas and exports are not covered.
    """
    if not any(value is not None for value in selected.values()):
        raise click.UsageError("one of --user, --tenant, --page, --from and --to must be given")
    first, last = selected["date_from"], selected["date_to"]
    if first is not None and last is not None and first > last:
        raise click.UsageError("--from must not be after --to")
    if selected["tenant_id"] is not None and selected["page_url"] is not None:
        raise click.UsageError("--page must not be given with --tenant: views have no tenant")
    with open_database(database) as opened:
        if not (dry_run or yes):
            would = deletion.delete(opened, **selected, dry_run=True)
            click.echo(f"would be deleted: {_told(would)}", err=True)
            click.confirm("Delete these for ever?", abort=True, err=True)
        deleted = deletion.delete(opened, **selected, dry_run=dry_run)
        emptied = dry_run or opened.empty_wal()
    if as_json:
        print_json(asdict(deleted) | {"dry_run": dry_run, "emptied_wal": emptied})
        return
    click.echo(f"{'would be deleted' if dry_run else 'deleted'}: {_told(deleted)}")
    for text in deleted.stays:
        click.echo(f"not deleted: {text}")


def _told(deleted: deletion.Deleted) -> str:
    counts = (
        ("history entries", deleted.histories),
        ("calls", deleted.calls),
        ("active users", deleted.active_users),
        ("numbers", deleted.numbers),
        ("event ids", deleted.event_ids),
    )
    return ", ".join(f"{name} {count}" for name, count in counts)

"""`prune`, `erase-user`, `erase-tenant` and `audit`."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from .. import audit as actions
from ..backup import copies_beside
from ..days import format_day
from ..dictionary import NO_TENANT
from ..kept import limits
from ..retention import erasing, pruning
from .command import Command
from .common import (
    database_option,
    json_option,
    load,
    open_database,
    print_json,
    setting_option,
)
from .progress import progress_bar

dry_run_option = click.option("--dry-run", is_flag=True, help="Tell what would go; change nothing.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis prune --keep-histories 90 --dry-run",
        "saasus-analysis prune --keep-histories 90 --keep-event-ids 30",
    ],
)
@dry_run_option
@setting_option(
    "--keep-histories", "keep_histories", "How long histories are kept.", metavar="DAYS"
)
@setting_option(
    "--keep-page-statistics",
    "keep_page_statistics",
    "How long page statistics are, where histories are not.",
    metavar="DAYS",
)
@setting_option("--keep-counts", "keep_counts", "How long counts are kept.", metavar="DAYS")
@setting_option(
    "--keep-event-ids", "keep_event_ids", "How long ids of events are kept.", metavar="DAYS"
)
@json_option
@database_option
def prune(dry_run: bool, as_json: bool, database: Path | None, **days: int | None) -> None:
    """Delete what is older than settings keep.

    A time is in days before today; what none is given for is kept for ever. A server may write
    meanwhile.
    """
    settings = load(database=database, **days)
    with open_database(database) as opened:
        since = limits(settings, opened)
        if not since:
            raise click.UsageError("nothing says how long data are kept, such as --keep-histories")
        if dry_run:
            deleted = pruning.count_old(opened, since)
        else:
            deleted = Counter(dict.fromkeys(since, 0))
            for data, count in progress_bar(pruning.prune(opened, since), unit="step"):
                deleted[data] += count
        days_of = opened.calendar.day_of
        told = [
            {"data": data, "since": format_day(days_of(since[data])), "deleted": deleted[data]}
            for data in since
        ]
    names = None if dry_run else deleted["names"]
    if as_json:
        print_json({"dry_run": dry_run, "pruned": told, "names": names})
        return
    for one in told:
        verb = "would be deleted" if dry_run else "deleted"
        click.echo(f"{one['data']} before {one['since']}: {one['deleted']} {verb}")
    if names:
        click.echo(f"names that nothing refers to: {names} deleted")


@click.command(
    cls=Command,
    examples=["saasus-analysis erase-user u-1 --dry-run", "saasus-analysis erase-user u-1 --yes"],
)
@click.argument("user_id")
@dry_run_option
@yes_option
@json_option
@database_option
def erase_user(
    user_id: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    """Erase a user: histories, summaries, counts, name.

    A server may write meanwhile. Backups, replicas and exports are not covered.
    """
    _erase("user", user_id, dry_run, yes, as_json, database)


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis erase-tenant acme --dry-run",
        "saasus-analysis erase-tenant acme --yes --json",
    ],
)
@click.argument("tenant_id")
@dry_run_option
@yes_option
@json_option
@database_option
def erase_tenant(
    tenant_id: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    """Erase a tenant, and the users who are in no other.

    A server may write meanwhile. Backups, replicas and exports are not covered.
    """
    if tenant_id == NO_TENANT:
        raise click.BadParameter("is what calls without a tenant are counted under")
    _erase("tenant", tenant_id, dry_run, yes, as_json, database)


ERASE = {"user": erasing.erase_user, "tenant": erasing.erase_tenant}


def _erase(
    kind: str, id_: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    if not (dry_run or yes):
        click.confirm(f"Erase the {kind} {id_!r} for ever?", abort=True, err=True)
    with open_database(database) as opened:
        erased = ERASE[kind](opened, id_, dry_run=dry_run)
        if erased is None:
            raise click.ClickException(f"nothing is stored of a {kind} {id_!r}")
        emptied = dry_run or opened.empty_wal()
        copies = copies_beside(opened.path)
    if as_json:
        told = asdict(erased) | {"dry_run": dry_run, "emptied_wal": emptied}
        print_json(told | {"not_covered": [str(path) for path in copies]})
        return
    verb = "would be erased" if dry_run else "erased"
    click.echo(
        f"{verb}: users {erased.users}, history entries {erased.histories}, calls {erased.calls}"
    )
    if erased.links:
        click.echo(f"links to the dashboard of the tenant: {erased.links}")
    if erased.shared_users:
        click.echo(f"users who are in other tenants too, and stay: {erased.shared_users}")
    if erased.unknown_days:
        click.echo(
            f"days whose calls cannot be told by user, and stay counted: {erased.unknown_days}"
        )
    if not emptied:
        click.echo("others read the database: what was erased is in its -wal until that is reused")
    click.echo("not covered: backups, replicas and exports that were made before")
    for path in copies:
        click.echo(f"  {path}")


@click.command(cls=Command, examples=["saasus-analysis audit", "saasus-analysis audit --json"])
@json_option
@database_option
def audit(as_json: bool, database: Path | None) -> None:
    """List when the database was backed up, pruned and erased from."""
    with open_database(database) as opened:
        listed = actions.list_actions(opened)
    if as_json:
        print_json(listed)
        return
    for action in listed:
        at = datetime.fromtimestamp(action["at"], UTC)
        details = ", ".join(f"{name} {number}" for name, number in action["details"].items())
        click.echo(f"{at:%Y-%m-%dT%H:%M:%SZ}  {action['action']}  {details}")

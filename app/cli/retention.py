"""`prune`, `erase-user`, `erase-tenant` and `audit`."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from ..config import Settings
from ..days import format_day
from ..errors import ServiceUnavailable
from ..maintenance import deletion, erasure, future_cutoffs, pruning
from ..maintenance.backup import copies_beside
from ..maintenance.pruning_schedule import Late, find_late, newest_day
from ..storage import audit_log as actions
from ..storage.cutoffs import limits
from ..storage.database import Database
from ..storage.dictionary import NO_TENANT
from .command import Command
from .common import (
    all_option,
    database_option,
    json_option,
    limit_of,
    load,
    open_database,
    parse_date,
    print_json,
    say_if_limited,
    setting_option,
)
from .ending import BUSY
from .progress import progress_bar

dry_run_option = click.option("--dry-run", is_flag=True, help="Tell what would go; change nothing.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis prune --keep-histories 90 --dry-run",
        "saasus-analysis prune --keep-histories 90 --keep-event-ids 30 --yes",
        "saasus-analysis prune --reset-cutoffs",
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
@click.option(
    "--reset-cutoffs",
    is_flag=True,
    help="Delete nothing; set cutoffs that a wrong clock left in the future back to where the "
    "data end.",
)
@yes_option
@json_option
@database_option
def prune(
    dry_run: bool,
    reset_cutoffs: bool,
    yes: bool,
    as_json: bool,
    database: Path | None,
    **days: int | None,
) -> None:
    """Delete what is older than settings keep.

    A time is in days before today; what none is given for is kept for ever. Asks whether it is
    meant where that is more than `serve` would delete in a day, or where the clock is far ahead of
    what is stored. A server may write meanwhile.
    """
    settings = load(database=database, **days)
    with open_database(database) as opened:
        if reset_cutoffs:
            _reset_cutoffs(opened, dry_run, yes, as_json)
            return
        since = limits(settings, opened)
        if not since:
            raise click.UsageError("nothing says how long data are kept, such as --keep-histories")
        if dry_run:
            deleted = pruning.count_old(opened, since)
        else:
            late = find_late(opened, settings)
            if not yes:
                _confirm_pruning(opened, settings, late)
            deleted = Counter(dict.fromkeys(since, 0))
            to_delete = {data: since[data] for data in late}
            try:
                for data, count in progress_bar(pruning.prune(opened, to_delete), unit="step"):
                    deleted[data] += count
            except ServiceUnavailable as error:
                told = ", ".join(f"{data} {count}" for data, count in deleted.items())
                message = f"{error.description} (until there: {told} deleted); run it again to end"
                raise ServiceUnavailable(message) from error.__cause__
        days_of = opened.calendar.day_of
        pruned = [
            {"data": data, "since": format_day(days_of(since[data])), "deleted": deleted[data]}
            for data in since
        ]
    names = None if dry_run else deleted["names"]
    if as_json:
        print_json({"dry_run": dry_run, "pruned": pruned, "names": names})
        return
    for one in pruned:
        verb = "would be deleted" if dry_run else "deleted"
        click.echo(f"{one['data']} before {one['since']}: {one['deleted']} {verb}")
    if names:
        click.echo(f"names that nothing refers to: {names} deleted")


def _confirm_pruning(database: Database, settings: Settings, late: Mapping[str, Late]) -> None:
    """Ask whether much is to be deleted, or by a clock that nothing bears out."""
    today, newest = database.calendar.day_of(database.clock.now()), newest_day(database)
    is_far_ahead = newest is None or newest < today - settings.prune_days
    most = max((each.days for each in late.values()), default=0)
    if not late or not (is_far_ahead or most > settings.prune_days):
        return
    for data, (oldest, kept) in late.items():
        click.echo(f"{data} from {format_day(oldest)} to {format_day(kept - 1)}", err=True)
    if is_far_ahead:
        last = "nothing" if newest is None else f"nothing after {format_day(newest)}"
        click.echo(f"The clock says {format_day(today)}, and {last} is stored.", err=True)
    click.confirm("Delete these for ever?", abort=True, err=True)


def _reset_cutoffs(database: Database, dry_run: bool, yes: bool, as_json: bool) -> None:
    now = database.clock.now()
    reset = future_cutoffs.reset_cutoffs(database, dry_run=True)
    if reset and not (dry_run or yes):
        click.echo(f"The clock says {_utc(now)}.", err=True)
        click.confirm("Is that right, and the cutoffs are not?", abort=True, err=True)
    if not dry_run:
        reset = future_cutoffs.reset_cutoffs(database)
    if as_json:
        print_json({"dry_run": dry_run, "cutoffs": reset})
        return
    verb = "would be" if dry_run else "are"
    for data, since in reset.items():
        kept = f"kept from {_utc(since)} on" if since else "taken in of any time"
        click.echo(f"{data} {verb} {kept}")
    if not reset:
        click.echo("no cutoff is in the future")


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


ERASE = {"user": erasure.erase_user, "tenant": erasure.erase_tenant}


def _erase(
    kind: str, id_: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    if not (dry_run or yes):
        click.confirm(f"Erase the {kind} {id_!r} for ever?", abort=True, err=True)
    with open_database(database) as opened:
        erased = ERASE[kind](opened, id_, dry_run=dry_run)
        # Also where nothing is stored any more: an erasure before may not have come to its end.
        pending = None if dry_run else _overwrite(opened)
        copies = copies_beside(opened.path)
    if erased is None:
        message = f"nothing is stored of a {kind} {id_!r}"
        if pending:
            _exit_pending(f"{message}, but what was erased before", pending)
        raise click.ClickException(message)
    if as_json:
        told = asdict(erased) | {"dry_run": dry_run, "emptied_wal": not pending}
        print_json(told | {"not_covered": [str(path) for path in copies]})
    else:
        _tell(erased, copies, dry_run)
    if pending:
        _exit_pending(f"the {kind} {id_!r} is erased for all who ask, but what was stored", pending)


def _overwrite(database: Database) -> str | None:
    """Let what was erased be overwritten in the file at once; return what keeps it from that."""
    try:
        return None if database.empty_wal() else "others read the database"
    except ServiceUnavailable as error:
        return str(error.description)


def _exit_pending(what: str, reason: str) -> NoReturn:
    message = f"{what} is in the files until they are overwritten: {reason}; run it again to end"
    click.echo(f"Error: {message}", err=True)
    sys.exit(BUSY)


def _tell(erased: erasure.Erased, copies: list[Path], dry_run: bool) -> None:
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
    click.echo("not covered: backups, replicas and exports that were made before")
    for path in copies:
        click.echo(f"  {path}")


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis delete --from 2030-01-01 --dry-run",
        "saasus-analysis delete --user u-1 --from 2026-05-01 --to 2026-05-07 --yes",
        "saasus-analysis delete --page /invoices/secret --yes",
        "saasus-analysis delete --tenant acme --to 2019-12-31 --yes --json",
    ],
)
@click.option("--user", "user_id", metavar="ID", help="What one user did.")
@click.option("--tenant", "tenant_id", metavar="ID", help="What is counted for a tenant.")
@click.option("--page", "page_url", metavar="URL", help="Views of a page.")
@click.option("--from", "date_from", metavar="YYYY-MM-DD", callback=parse_date, help="First day.")
@click.option(
    "--to", "date_to", metavar="YYYY-MM-DD", callback=parse_date, help="Last day, inclusive."
)
@dry_run_option
@yes_option
@json_option
@database_option
def delete(yes: bool, as_json: bool, dry_run: bool, database: Path | None, **selected: Any) -> None:
    """Delete what is of a user, a page, a tenant or some days.

    What is deleted is what all that is given says of it, with its part of all counts. Tells what
    stays since the data do not tell it apart. Days are those of the database's time zone. A server
    may write meanwhile. Backups, replicas and exports are not covered.
    """
    if not any(value is not None for value in selected.values()):
        raise click.UsageError("one of --user, --tenant, --page, --from and --to must be given")
    first, last = selected["date_from"], selected["date_to"]
    if first is not None and last is not None and first > last:
        raise click.UsageError("--from must not be after --to")
    if selected["tenant_id"] is not None and selected["page_url"] is not None:
        raise click.UsageError("--page must not be beside --tenant: histories tell no tenant")
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
        click.echo(f"stays: {text}")


def _told(deleted: deletion.Deleted) -> str:
    counts = (
        ("history entries", deleted.histories),
        ("calls", deleted.calls),
        ("active users", deleted.active_users),
        ("numbers", deleted.numbers),
        ("event ids", deleted.event_ids),
    )
    return ", ".join(f"{name} {count}" for name, count in counts)


@click.command(cls=Command, examples=["saasus-analysis audit", "saasus-analysis audit --json"])
@all_option
@json_option
@database_option
def audit(list_all: bool, as_json: bool, database: Path | None) -> None:
    """List when the database was backed up, pruned and erased from."""
    with open_database(database) as opened:
        listed = actions.list_actions(opened, limit_of(list_all))
    say_if_limited(listed, list_all)
    if as_json:
        print_json(listed)
        return
    for action in listed:
        details = ", ".join(f"{name} {number}" for name, number in action["details"].items())
        click.echo(f"{_utc(action['at'])}  {action['action']}  {details}")


def _utc(timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%SZ}"

"""`prune`, `erase-user`, `erase-tenant` and `audit`."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from .. import audit as actions
from ..backup import copies_beside
from ..days import format_day
from ..dictionary import NO_TENANT
from ..retention import erasing, pruning
from .common import database_option, json_option, load, open_database
from .progress import progress_bar

dry_run_option = click.option("--dry-run", is_flag=True, help="Tell what would go; change nothing.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


def _days_option(data: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    return click.option(
        f"--keep-{data}",
        type=int,
        metavar="DAYS",
        help=f"[ANALYSIS_KEEP_{data.upper().replace('-', '_')}]",
    )


@click.command("prune")
@dry_run_option
@_days_option("histories")
@_days_option("page-statistics")
@_days_option("counts")
@_days_option("event-ids")
@json_option
@database_option
def prune(dry_run: bool, as_json: bool, database: Path | None, **days: int | None) -> None:
    """Delete what is older than the settings keep; a server may write meanwhile."""
    settings = load(database=database, **days)
    with open_database(database) as opened:
        since = pruning.limits(settings, opened)
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
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "pruned": told}))
        return
    for one in told:
        verb = "would be deleted" if dry_run else "deleted"
        click.echo(f"{one['data']} before {one['since']}: {one['deleted']} {verb}")


@click.command("erase-user")
@click.argument("user_id")
@dry_run_option
@yes_option
@json_option
@database_option
def erase_user(
    user_id: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    """Erase a user from histories, summaries, counts and names; a server may write meanwhile."""
    _erase("user", user_id, dry_run, yes, as_json, database)


@click.command("erase-tenant")
@click.argument("tenant_id")
@dry_run_option
@yes_option
@json_option
@database_option
def erase_tenant(
    tenant_id: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    """Erase a tenant, and the users who are in no other; a server may write meanwhile."""
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
        click.echo(json.dumps(told | {"not_covered": [str(path) for path in copies]}))
        return
    verb = "would be erased" if dry_run else "erased"
    click.echo(
        f"{verb}: users {erased.users}, history entries {erased.histories}, calls {erased.calls}"
    )
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


@click.command("audit")
@json_option
@database_option
def audit(as_json: bool, database: Path | None) -> None:
    """List when the data were backed up, pruned and erased from."""
    with open_database(database) as opened:
        listed = actions.list_actions(opened)
    if as_json:
        click.echo(json.dumps(listed))
        return
    for action in listed:
        at = datetime.fromtimestamp(action["at"], UTC)
        details = ", ".join(f"{name} {number}" for name, number in action["details"].items())
        click.echo(f"{at:%Y-%m-%dT%H:%M:%SZ}  {action['action']}  {details}")

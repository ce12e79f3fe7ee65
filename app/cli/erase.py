"""`erase-user` and `erase-tenant`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from ..errors import ServiceUnavailable
from ..maintenance import erasure
from ..maintenance.backup import copies_beside
from ..storage.database import Database
from ..storage.dictionary import NO_TENANT
from .command import Command
from .exit_codes import BUSY
from .options import (
    database_option,
    json_option,
    open_database,
)
from .output import print_json

dry_run_option = click.option("--dry-run", is_flag=True, help="Only count; change nothing.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


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
    """Erase a user: histories, summaries, counts and name.

    A server may be running. Backups, replicas and exports are not covered.
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
    """Erase a tenant, and its users who are in no other tenant.

    A server may be running. Backups, replicas and exports are not covered.
    """
    if tenant_id == NO_TENANT:
        raise click.BadParameter("is not a tenant: calls without a tenant are counted under it")
    _erase("tenant", tenant_id, dry_run, yes, as_json, database)


ERASE = {"user": erasure.erase_user, "tenant": erasure.erase_tenant}


def _erase(
    kind: str, id_: str, dry_run: bool, yes: bool, as_json: bool, database: Path | None
) -> None:
    if not (dry_run or yes):
        click.confirm(f"Erase the {kind} {id_!r} for ever?", abort=True, err=True)
    with open_database(database) as opened:
        erased = ERASE[kind](opened, id_, dry_run=dry_run)
        # Even if nothing is stored: an earlier erasure may not have overwritten its data yet.
        pending = None if dry_run else _overwrite(opened)
        copies = copies_beside(opened.path)
    if erased is None:
        message = f"no data are stored for a {kind} {id_!r}"
        if pending:
            _exit_pending(f"{message}, but data that were erased before", pending)
        raise click.ClickException(message)
    if as_json:
        told = asdict(erased) | {"dry_run": dry_run, "emptied_wal": not pending}
        print_json(told | {"not_covered": [str(path) for path in copies]})
    else:
        _tell(erased, copies, dry_run)
    if pending:
        _exit_pending(f"the {kind} {id_!r} is erased from all responses, but the data", pending)


def _overwrite(database: Database) -> str | None:
    """Overwrite the erased data in the files now; return the reason if that is not possible."""
    try:
        return None if database.empty_wal() else "others read the database"
    except ServiceUnavailable as error:
        return str(error.description)


def _exit_pending(what: str, reason: str) -> NoReturn:
    message = (
        f"{what} remain in the files until they are overwritten: {reason}; run it again to finish"
    )
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
        click.echo(f"users kept because they are in other tenants too: {erased.shared_users}")
    if erased.unknown_days:
        click.echo(
            f"days whose calls stay counted because their users are unknown: {erased.unknown_days}"
        )
    click.echo("not covered: earlier backups, replicas and exports")
    for path in copies:
        click.echo(f"  {path}")

"""`audit`."""

from datetime import UTC, datetime
from pathlib import Path

import click

from ..storage import audit_log as actions
from .command import Command
from .options import (
    all_option,
    database_option,
    json_option,
    limit_of,
    open_database,
    say_if_limited,
)
from .output import print_json


@click.command(cls=Command, examples=["saasus-analysis audit", "saasus-analysis audit --json"])
@all_option
@json_option
@database_option
def audit(list_all: bool, as_json: bool, database: Path | None) -> None:
    """List backups, prunings, deletions and erasures."""
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

"""`doctor`."""

import json
import sys
from pathlib import Path

import click

from ..doctor import PROBLEM, examine
from .common import database_option, load


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@database_option
def doctor(as_json: bool, database: Path | None) -> None:
    r"""Look over settings, file, disk, clock, time zone and keys, and say what to do.

    Exits with 1 if something keeps the service from working or leaves data open. It opens the
    database as a start does, which brings an older one up to date.

    \b
    Example:  saasus-analysis doctor --database /var/lib/saasus-analysis/analysis.db
    """
    findings = list(examine(load(database=database)))
    if as_json:
        click.echo(json.dumps([finding.document() for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(f"{finding.state:8} {finding.subject}: {finding.message}")
            if finding.advice:
                click.echo(f"{'':8} -> {finding.advice}")
    if any(finding.state == PROBLEM for finding in findings):
        sys.exit(1)

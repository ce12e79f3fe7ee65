"""`doctor`."""

import sys
from pathlib import Path

import click

from ..maintenance.doctor import PROBLEM, examine
from .command import Command
from .options import database_option, json_option, load
from .output import print_json


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis doctor",
        "saasus-analysis doctor --database analysis.db --json",
    ],
)
@json_option
@database_option
def doctor(as_json: bool, database: Path | None) -> None:
    """Look for problems in a setup, and say how to solve them.

    Examines settings, file, disk, servers, clock, time zone, retention and keys. Exits with 1 if a
    problem keeps the service from working or exposes data.
    """
    findings = list(examine(load(database=database)))
    if as_json:
        print_json([finding.document() for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.state:8} {finding.subject}: {finding.message}")
            if finding.advice:
                click.echo(f"{'':8} -> {finding.advice}")
    if any(finding.state == PROBLEM for finding in findings):
        sys.exit(1)

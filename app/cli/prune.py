"""`prune`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from ..config import Settings
from ..days import format_day
from ..errors import ServiceUnavailable
from ..maintenance import future_cutoffs, pruning
from ..maintenance.pruning_schedule import Late, find_late, newest_day
from ..storage.cutoffs import limits
from ..storage.database import Database
from .audit import _utc
from .command import Command
from .erase import dry_run_option, yes_option
from .options import database_option, json_option, load, open_database, setting_option
from .output import print_json
from .progress import progress_bar


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis prune --keep-histories 90 --dry-run",
        "saasus-analysis prune --keep-histories 90 --keep-event-ids 30 --yes",
        "saasus-analysis prune --reset-cutoffs",
    ],
)
@dry_run_option
@setting_option("--keep-histories", "keep_histories", "How long to keep histories.", metavar="DAYS")
@setting_option(
    "--keep-page-statistics",
    "keep_page_statistics",
    "How long to keep page statistics after their histories are deleted.",
    metavar="DAYS",
)
@setting_option("--keep-counts", "keep_counts", "How long to keep counts.", metavar="DAYS")
@setting_option("--keep-event-ids", "keep_event_ids", "How long to keep event ids.", metavar="DAYS")
@click.option(
    "--reset-cutoffs",
    is_flag=True,
    help="Delete nothing; reset retention cutoffs that a wrong clock set in the future to the end "
    "of the stored data.",
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
    """Delete data that are older than the settings keep.

    DAYS are counted back from today; data without such a setting are kept for ever. Asks for
    confirmation if more would be deleted than `serve` deletes in a day, or if the clock is far
    ahead of the stored data. A server may be running.
    """
    settings = load(database=database, **days)
    with open_database(database) as opened:
        if reset_cutoffs:
            _reset_cutoffs(opened, dry_run, yes, as_json)
            return
        since = limits(settings, opened)
        if not since:
            raise click.UsageError("say how long to keep data, for example with --keep-histories")
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
                message = f"{error.description} (deleted so far: {told}); run it again to continue"
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
        click.echo(f"unused names: {names} deleted")


def _confirm_pruning(database: Database, settings: Settings, late: Mapping[str, Late]) -> None:
    """Ask for confirmation if much would be deleted, or if stored data do not confirm the clock."""
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
        click.confirm("Is that right, and are the cutoffs wrong?", abort=True, err=True)
    if not dry_run:
        reset = future_cutoffs.reset_cutoffs(database)
    if as_json:
        print_json({"dry_run": dry_run, "cutoffs": reset})
        return
    verb = "would be" if dry_run else "are"
    for data, since in reset.items():
        kept = f"kept from {_utc(since)} on" if since else "accepted for any time"
        click.echo(f"{data} {verb} {kept}")
    if not reset:
        click.echo("no cutoff is in the future")

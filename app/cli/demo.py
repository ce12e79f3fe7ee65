"""`demo`."""

import json
import os
import sys
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import click

from .. import dashboard
from ..analytics.event_reader import event_reader
from ..analytics.recording import has_events
from ..days import Calendar, Clock, format_day
from ..demo import make_events
from ..ingest.files import import_records
from ..maintenance.backup import refuse_older
from ..storage.fixed_settings import FIXED
from ..web.openapi import BASE_PATH
from .command import Command
from .options import (
    FILE,
    PATH,
    cors_option,
    host_option,
    json_option,
    load,
    port_option,
    time_zone_option,
)
from .output import output, print_ready
from .progress import progress_bar
from .serve import _listening, _server


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis demo",
        "saasus-analysis demo --events 5000 --days 30 --database demo.db",
        "saasus-analysis demo --events 5000 --write events.ndjson",
    ],
)
@click.option(
    "--events",
    metavar="NUMBER",
    default=200_000,
    type=click.IntRange(0),
    show_default=True,
    help="How many events to make; the size of the SaaS follows from it.",
)
@click.option(
    "--days",
    metavar="NUMBER",
    default=90,
    type=click.IntRange(1, 3650),
    show_default=True,
    help="The number of days, up to today, over which the events are spread.",
)
@click.option(
    "--seed",
    metavar="NUMBER",
    default=1,
    show_default=True,
    help="The seed for random values; each seed makes another SaaS.",
)
@click.option(
    "--write",
    type=FILE,
    help="Write the events to this file as NDJSON and do not serve; - is standard output.",
)
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Whether to open a browser; by default, only if it is started from a terminal with a "
    "screen.",
)
@host_option
@port_option
@click.option("--database", type=PATH, help="Keep the data in this file.")
@time_zone_option
@cors_option
@json_option
def demo(
    events: int,
    days: int,
    seed: int,
    write: Path | None,
    opens: bool | None,
    host: str | None,
    port: int | None,
    database: Path | None,
    time_zone: str | None,
    cors_origin: tuple[str, ...] | None,
    as_json: bool,
) -> None:
    """Serve a made-up SaaS, or write its events to a file.

    Needs no key, opens the dashboard in a browser, and prints URLs to try. A database that already
    has data is served unchanged; without --database, the data are deleted at the end.
    """
    if write:
        calendar = Calendar(load(time_zone=time_zone).time_zone or FIXED["time_zone"])
        new = make_events(calendar, Clock().now(), events=events, days=days, seed=seed)
        with output(None if write == Path("-") else write) as stream:
            for event in progress_bar(new, total=events, unit="event"):
                stream.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        return
    with ExitStack() as stack:
        if database is None:
            try:
                folder = stack.enter_context(TemporaryDirectory(prefix="saasus-analysis-demo-"))
            except OSError as error:
                message = f"{error.strerror}: name a file with --database, or set TMPDIR"
                raise click.ClickException(message) from error
            database = Path(folder, "demo.db")
            database.touch()  # an existing file, so that no message says that one was made
        elif database.exists() and database.stat().st_size:
            refuse_older(database)
        server, settings, opened = stack.enter_context(
            _server(
                host=host,
                port=port,
                database=database,
                time_zone=time_zone,
                auth=False,
                synchronous="off",
                cors_origins=cors_origin,
            )
        )
        now = opened.clock.now()
        if not has_events(opened):
            new = make_events(opened.calendar, now, events=events, days=days, seed=seed)
            bar = progress_bar(new, total=events, unit="event")
            for _ in import_records(opened, iter(bar), event_reader(opened.clock.now)):
                pass
        urls = _demo_urls(server.url + BASE_PATH, opened.calendar, now, days)
        with server.stopped_by_signals():
            if as_json:
                print_ready(server.url, examples=urls, time_zone=opened.calendar.zone)
            else:
                click.echo("\n".join([*urls, _listening(server, settings)]))
            if settings.dashboard and (_has_onlooker() if opens is None else opens):
                _open_browser(server.url + dashboard.PATH)
            server.run()


def _open_browser(url: str) -> None:
    """Open a URL in a browser, in a thread, because some browsers block until the server runs."""
    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_onlooker() -> bool:
    """Return whether a person at a screen started this, and not a program or a remote shell."""
    has_screen = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return has_screen and sys.stdout.isatty()


def _demo_urls(base: str, calendar: Calendar, now: int, days: int) -> list[str]:
    today = calendar.day_of(now)
    first, last = format_day(today - days + 1), format_day(today)
    timestamps = f"start_timestamp={calendar.day_start(today - days + 1)}&end_timestamp={now}"
    return [
        f"{base}/metrics/page-statistics?{timestamps}&limit=10",
        f"{base}/active-users?type=monthly&date_from={first[:7]}",
        f"{base}/metrics/aggregated?metrics_type=create_tenant&start_date={first}&end_date={last}",
        f"{base}/userinfo/aggregated?start_date={last}&end_date={last}",
    ]

"""`serve` and `demo`."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import click

from .. import create_app, dashboard
from ..analytics.event_reader import event_reader
from ..analytics.recording import has_events
from ..auth import keys
from ..config import Settings
from ..days import Calendar, Clock, format_day
from ..demo import make_events
from ..ingest.files import import_records
from ..maintenance.backup import refuse_older
from ..maintenance.pruning_thread import pruning_daily
from ..maintenance.wal_thread import emptying_wal
from ..server import Server, listen
from ..server.systemd import Supervisor
from ..storage.database import Database
from ..storage.migrations import FIXED
from ..web import log_format
from ..web.openapi import BASE_PATH
from .command import Command
from .common import (
    FILE,
    PATH,
    cors_option,
    database_option,
    given,
    host_option,
    json_option,
    load,
    output,
    port_option,
    print_ready,
    time_zone_option,
)
from .progress import progress_bar

SWITCH_SECONDS = 0.0002


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis serve",
        "saasus-analysis serve --port 0 --database trial.db --json",
        "saasus-analysis serve --database tokyo.db --time-zone Asia/Tokyo",
    ],
)
@host_option
@port_option
@database_option
@time_zone_option
@click.option(
    "--no-auth",
    is_flag=True,
    help="Ask for no key, as ANALYSIS_AUTH=off does; on a loopback address only.",
)
@cors_option
@json_option
def serve(
    host: str | None,
    port: int | None,
    database: Path | None,
    time_zone: str | None,
    no_auth: bool,
    cors_origin: tuple[str, ...] | None,
    as_json: bool,
) -> None:
    """Serve the API until SIGTERM or SIGINT.

    Makes a key where there is none, and shows it once. Tells when it listens, and where.
    """
    auth = False if no_auth else None
    token = None
    options = {"host": host, "port": port, "database": database, "time_zone": time_zone}
    with _server(**options, auth=auth, cors_origins=cors_origin) as (server, settings, opened):
        if settings.auth and not settings.saasus_secret_key and not keys.has_keys(opened):
            token = keys.create_bearer_key(opened, name="first", scopes=keys.SCOPES)
            if not as_json:
                click.echo(f"Key made, shown this once:  Authorization: Bearer {token}")
        with server.stopped_by_signals():
            if as_json:
                print_ready(server.url, token=token, time_zone=opened.calendar.zone)
            else:
                click.echo(_listening(server, settings))
            supervisor = Supervisor(os.environ)
            supervisor.tell("READY=1")
            with pruning_daily(opened, settings), emptying_wal(opened):
                server.run(supervisor.watch, partial(supervisor.tell, "STOPPING=1"))


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
    help="How many events to make; the SaaS is as large as they need.",
)
@click.option(
    "--days",
    metavar="NUMBER",
    default=90,
    type=click.IntRange(1, 3650),
    show_default=True,
    help="Over how many days until now.",
)
@click.option(
    "--seed",
    metavar="NUMBER",
    default=1,
    show_default=True,
    help="Another seed makes another SaaS.",
)
@click.option(
    "--write",
    type=FILE,
    help="Write NDJSON to this file, whole or not at all, and do not serve; - is standard output.",
)
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Whether to open a browser; without either, where somebody is there to look.",
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
    """Serve a made-up SaaS, or write its events out.

    It asks for no key, opens on the dashboard, and prints URLs worth opening. A database that holds
    data is served as it is; without one, the data are gone at the end.
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
            database.touch()  # so that nobody is told of a file that is gone at the end
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


def _listening(server: Server, settings: Settings) -> str:
    places = {"dashboard": dashboard.PATH} if settings.dashboard else {}
    places["description"] = "/docs"
    shown = ", ".join(f"{name}: {server.url}{path}" for name, path in places.items())
    return f"Listening on {server.url}  ({shown})"


def _open_browser(url: str) -> None:
    """Open a page of a server that listens, and is about to run: some browsers wait for it here."""
    import webbrowser  # which `serve` need not load

    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _has_onlooker() -> bool:
    """Return whether this was started by a person at a screen, and not by a program or far away."""
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


@contextmanager
def _server(**options: object) -> Iterator[tuple[Server, Settings, Database]]:
    """Give a server that listens, and is not running yet, with its settings and database."""
    # A thread that has a small answer to make waits this long for one that makes a large one, each
    # time that it comes back from a file or a socket.
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = load(**options)
    # Before the database is opened, which may have to say something.
    log_format.configure(settings)
    listeners = listen(settings.host, settings.port, None if settings.auth else "without keys")
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(closing(listener))
        app = create_app(given(**options))
        database = stack.enter_context(closing(app.extensions["database"]))
        yield Server(app, listeners, settings, database.group_commit), settings, database

"""`serve`, and the server that it shares with `demo`."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import click

from .. import create_app, dashboard
from ..auth import keys
from ..config import Settings
from ..maintenance.pruning_thread import pruning_daily
from ..maintenance.wal_thread import emptying_wal
from ..server import Server, listen
from ..server.systemd import Supervisor
from ..storage.database import Database
from ..web import log_format
from ..web.context import DATABASE
from .command import Command
from .options import (
    cors_option,
    database_option,
    given,
    host_option,
    json_option,
    load,
    port_option,
    time_zone_option,
)
from .output import print_ready

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
    help="Require no key, like ANALYSIS_AUTH=off; only on a loopback address.",
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

    Makes a key if there is none, and shows it once. Prints its URL when it listens.
    """
    auth = False if no_auth else None
    token = None
    options = {"host": host, "port": port, "database": database, "time_zone": time_zone}
    with _server(**options, auth=auth, cors_origins=cors_origin) as (server, settings, opened):
        if settings.auth and not settings.saasus_secret_key and not keys.has_keys(opened):
            token = keys.create_bearer_key(opened, name="first", scopes=keys.SCOPES)
            if not as_json:
                click.echo(f"Key made, shown only once:  Authorization: Bearer {token}")
        with server.stopped_by_signals():
            if as_json:
                print_ready(server.url, token=token, time_zone=opened.calendar.zone)
            else:
                click.echo(_listening(server, settings))
            supervisor = Supervisor(os.environ)
            supervisor.tell("READY=1")
            with pruning_daily(opened, settings), emptying_wal(opened):
                server.run(supervisor.watch, partial(supervisor.tell, "STOPPING=1"))


def _listening(server: Server, settings: Settings) -> str:
    places = {"dashboard": dashboard.PATH} if settings.dashboard else {}
    places["description"] = "/docs"
    shown = ", ".join(f"{name}: {server.url}{path}" for name, path in places.items())
    return f"Listening on {server.url}  ({shown})"


@contextmanager
def _server(**options: object) -> Iterator[tuple[Server, Settings, Database]]:
    """Yield a server that listens but does not run yet, with its settings and database."""
    # Each time a thread with a short request returns from I/O, it waits up to this long for a
    # thread with a long request to release the GIL.
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = load(**options)
    # Logging comes first, because opening the database may log messages.
    log_format.configure(settings)
    listeners = listen(settings.host, settings.port, None if settings.auth else "without keys")
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(closing(listener))
        app = create_app(given(**options))
        database = stack.enter_context(closing(DATABASE.of(app)))
        yield Server(app, listeners, settings, database.group_commit), settings, database

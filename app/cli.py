"""The command `saasus-analysis`."""

import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import click
from tqdm import tqdm

from . import create_app, summaries
from .api import BASE_PATH, package_version
from .auth import keys
from .config import Settings, load_settings
from .database import FIXED, Database
from .days import Calendar, Clock, format_day
from .demo import make_events
from .dictionary import PageRule, read_page_rule
from .errors import StartError
from .ingest.apilog import logs_of, read_apilog
from .ingest.eventbridge import read_eventbridge
from .ingest.files import Format, UnreadableFile, import_records, import_stream
from .ingest.queries import has_events
from .ingest.schemas import event_reader
from .server import Server

SHOWN_REFUSALS = 20
SWITCH = click.Choice(["on", "off"])
DEFAULT_SCOPES = ("read", "write", "ingest")

FORMATS: dict[str, Callable[[Database], Format]] = {
    "events": lambda database: Format(event_reader(database.clock.now)),
    "eventbridge": lambda _: Format(read_eventbridge),
    "apilog": lambda _: Format(read_apilog, path="api_logs.item", inside=logs_of),
}


class Command(click.Group):
    """Shows what keeps the program from starting as one line, and exits with 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except StartError as error:
            raise click.ClickException(str(error)) from error


database_option = click.option(
    "--database", type=click.Path(path_type=Path), help="The SQLite file.  [ANALYSIS_DATABASE]"
)

host_option = click.option("--host", help="The address to listen on.  [ANALYSIS_HOST, 127.0.0.1]")
port_option = click.option(
    "--port", type=int, help="The port; 0 takes a free one.  [ANALYSIS_PORT, 8000]"
)


@click.group(cls=Command)
@click.version_option(package_version(), prog_name="saasus-analysis")
def main() -> None:
    """A self-hosted server for the SaaSus Analysis API.

    Settings are options or environment variables; an option wins.
    """
    # What is loaded by now stays; batches of records make many objects and no cycles.
    gc.freeze()
    gc.set_threshold(50_000)


@main.command()
@host_option
@port_option
@database_option
@click.option("--no-auth", is_flag=True, help="Ask for no key; on a loopback address only.")
def serve(host: str | None, port: int | None, database: Path | None, no_auth: bool) -> None:
    """Serve the API until SIGTERM or SIGINT."""
    auth = False if no_auth else None
    with _server(host=host, port=port, database=database, auth=auth) as (server, settings, opened):
        if settings.auth and not settings.saasus_secret_key and not keys.has_keys(opened):
            token = keys.create_bearer_key(opened, name="first", scopes=keys.SCOPES)
            click.echo(f"Key made, shown this once:  Authorization: Bearer {token}")
        click.echo(f"Listening on {server.url}  (description: {server.url}/docs)")
        server.run()


@main.command()
@click.option("--events", default=200_000, type=click.IntRange(0), show_default=True)
@click.option("--days", default=90, type=click.IntRange(1, 3650), show_default=True)
@click.option("--seed", default=1, show_default=True, help="Another seed makes another SaaS.")
@click.option("--write", type=click.File("w", atomic=True), help="Write NDJSON and do not serve.")
@host_option
@port_option
@click.option("--database", type=click.Path(path_type=Path), help="Keep the data in this file.")
def demo(
    events: int,
    days: int,
    seed: int,
    write: TextIO | None,
    host: str | None,
    port: int | None,
    database: Path | None,
) -> None:
    """Serve a SaaS that looks alive, without a key, or write its events out.

    A database that holds data is served as it is.
    """
    if write:
        calendar = Calendar(_settings().time_zone or FIXED["time_zone"])
        made = make_events(calendar, Clock().now(), events=events, days=days, seed=seed)
        for event in tqdm(made, total=events, unit="event", disable=None):
            write.write(json.dumps(event, ensure_ascii=False) + "\n")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folder is removed
    with ExitStack() as stack:
        if database is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="saasus-analysis-demo-"))
            database = Path(folder, "demo.db")
        server, _, opened = stack.enter_context(
            _server(host=host, port=port, database=database, auth=False, synchronous="off")
        )
        now = opened.clock.now()
        if not has_events(opened):
            made = make_events(opened.calendar, now, events=events, days=days, seed=seed)
            bar = tqdm(made, total=events, unit="event", disable=None)
            for _ in import_records(opened, iter(bar), event_reader(opened.clock.now)):
                pass
        for url in _demo_urls(server.url + BASE_PATH, opened.calendar, now, days):
            click.echo(url)
        click.echo(f"Listening on {server.url}  (description: {server.url}/docs)")
        server.run()


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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    app = create_app(_given(**options))
    with closing(app.extensions["database"]) as database:
        settings = app.extensions["settings"]
        yield Server(app, settings), settings, database


@main.group("keys")
def keys_group() -> None:
    """Make, list and revoke keys."""


@keys_group.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(keys.SCOPES),
    multiple=True,
    default=DEFAULT_SCOPES,
    help="What the key may do; may be given more than once.",
    show_default=True,
)
@click.option("--signature", is_flag=True, help="For a client that signs, as the SDKs do.")
@click.option("--expires", metavar="DATE|DAYS", help="2027-01-31 (UTC), or 90 for days from now.")
@database_option
def create_key(
    name: str, scopes: tuple[str, ...], signature: bool, expires: str | None, database: Path | None
) -> None:
    """Make a key and show it once."""
    if not name.isprintable() or not 1 <= len(name) <= 64 or " " in name:
        raise click.BadParameter(
            "must be 1 to 64 printable characters, no spaces", param_hint="NAME"
        )
    with _database(database) as opened:
        expires_at = _expiry(expires, opened.clock.now()) if expires else None
        try:
            if signature:
                made = keys.create_signature_key(
                    opened, name=name, scopes=scopes, expires_at=expires_at
                )
                for variable, value in made.items():
                    click.echo(f"{variable}={value}")
            else:
                click.echo(
                    keys.create_bearer_key(opened, name=name, scopes=scopes, expires_at=expires_at)
                )
        except keys.NameTaken:
            raise click.ClickException(f"there is a key named {name}; revoke it first") from None
    click.echo("This is shown once; keep it safe.", err=True)


@keys_group.command("list")
@database_option
def list_keys(database: Path | None) -> None:
    """List the keys, without what is secret."""
    with _database(database) as opened:
        now = opened.clock.now()
        line = "{:<20} {:<10} {:<40} {:<24} {}"
        click.echo(line.format("NAME", "KIND", "PREFIX OR API KEY", "SCOPES", "STATE"))
        for key in keys.list_keys(opened):
            kind = "signature" if key["saas_id"] else "bearer"
            state = _state(key, now)
            click.echo(line.format(key["name"], kind, key["prefix"], key["scopes"], state))


@keys_group.command("revoke")
@click.argument("name")
@database_option
def revoke_key(name: str, database: Path | None) -> None:
    """Revoke a key; requests with it are refused from now on."""
    with _database(database) as opened:
        if not keys.revoke_key(opened, name):
            raise click.ClickException(f"there is no key named {name}")
    click.echo(f"revoked {name}")


@main.command("import")
@click.argument("kind", metavar="events|eventbridge|apilog", type=click.Choice(list(FORMATS)))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@database_option
def import_files(kind: str, files: tuple[Any, ...], database: Path | None) -> None:
    """Store the records of files; - is standard input.

    NDJSON or JSON of any length. Records that were stored before change nothing, if they have ids.
    """
    totals = dict.fromkeys(("accepted", "duplicates", "ignored", "refused"), 0)
    with _database(database) as opened:
        for stream in files:
            _import(opened, FORMATS[kind](opened), stream, totals)
    click.echo(", ".join(f"{count} {what}" for what, count in totals.items()))
    if totals["refused"]:
        sys.exit(1)


@main.group("summaries")
def summaries_group() -> None:
    """Check, rebuild or drop the page summaries that make page statistics fast."""


@summaries_group.command("check")
@database_option
def check_summaries(database: Path | None) -> None:
    """Compare every summary with the rows; list those that are wrong and exit with 1."""
    wrong = 0
    with _database(database) as opened:
        for level, span, reason in summaries.check(opened, _bar("checked")):
            hours = summaries.LENGTHS[level]
            begin = datetime.fromtimestamp(span * hours * 3600, UTC)
            tqdm.write(f"{begin:%Y-%m-%dT%H:%MZ}, {hours} hours: {reason}")
            wrong += 1
    if wrong:
        raise click.ClickException(
            f"{wrong} summaries are wrong; `saasus-analysis summaries rebuild` mends them"
        )
    click.echo("all summaries are right")


@summaries_group.command("rebuild")
@click.option("--keep-query", type=SWITCH, help="From now on, pages with their query?")
@click.option("--collapse-ids", type=SWITCH, help="From now on, numbers and UUIDs as {id}?")
@database_option
def rebuild_summaries(
    keep_query: str | None, collapse_ids: str | None, database: Path | None
) -> None:
    """Make all summaries anew, and the pages by other settings if some are given."""
    wanted = _settings(database=database, keep_query=keep_query, collapse_ids=collapse_ids)
    with closing(Database.open(replace(wanted, keep_query=None, collapse_ids=None))) as opened:
        summaries.rebuild(opened, _rule(opened, wanted), _bar("sealed"))


@summaries_group.command("drop")
@database_option
def drop_summaries(database: Path | None) -> None:
    """Drop all summaries; questions make those that they need again."""
    with _database(database) as opened, opened.writing() as connection:
        summaries.drop_all(connection)


def _rule(database: Database, wanted: Settings) -> PageRule:
    """Return the page rule of a database, changed where settings are given."""
    with database.reading() as connection:
        rule = read_page_rule(connection)
    if wanted.keep_query is not None:
        rule = replace(rule, keep_query=wanted.keep_query)
    if wanted.collapse_ids is not None:
        rule = replace(rule, collapse_ids=wanted.collapse_ids)
    return rule


def _bar(what: str) -> summaries.Progress:
    return lambda spans: tqdm(spans, desc=what, unit="span", disable=None)


def _import(database: Database, format_: Format, stream: Any, totals: dict[str, int]) -> None:
    path = Path(stream.name)
    size = path.stat().st_size if path.is_file() else None
    with tqdm(total=size, unit="B", unit_scale=True, desc=stream.name, disable=None) as bar:
        try:
            for report in import_stream(database, stream, format_, bar.update):
                for refusal in report.refused:
                    totals["refused"] += 1
                    if totals["refused"] <= SHOWN_REFUSALS:
                        bar.write(f"{stream.name}: record {refusal['index']}: {refusal['message']}")
                for what in ("accepted", "duplicates", "ignored"):
                    totals[what] += getattr(report, what)
        except UnreadableFile as error:
            stored = ", ".join(f"{count} {what}" for what, count in totals.items())
            raise click.ClickException(
                f"{stream.name} is not JSON from some place on: {error} (until there: {stored})"
            ) from None


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _settings(**options: object) -> Settings:
    return load_settings(_given(**options), os.environ)


@contextmanager
def _database(path: Path | None) -> Iterator[Database]:
    settings = _settings(database=path)
    with closing(Database.open(settings)) as database:
        yield database


def _expiry(text: str, now: int) -> int:
    try:
        if text.isdecimal() and int(text) > 0:
            return int((datetime.fromtimestamp(now, UTC) + timedelta(days=int(text))).timestamp())
        at = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        at = 0
    if at <= now:
        raise click.BadParameter(
            "must be a date to come, as YYYY-MM-DD, or a number of days", param_hint="--expires"
        )
    return at


def _state(key: dict[str, Any], now: int) -> str:
    def day(timestamp: int) -> str:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")

    if key["revoked_at"]:
        return f"revoked {day(key['revoked_at'])}"
    if key["expires_at"] is None:
        return "valid"
    return f"{'expired' if key['expires_at'] <= now else 'valid until'} {day(key['expires_at'])}"

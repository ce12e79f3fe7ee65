"""`keys create|list|revoke|rotate`."""

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ..auth import keys
from ..days import Clock
from ..errors import StartError
from .command import Group
from .common import database_option, json_option, load, open_database, print_json

DEFAULT_SCOPES = ("read", "write", "ingest")


def _check_new_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not name.isprintable() or not 1 <= len(name) <= 64 or " " in name:
        raise click.BadParameter("must be 1 to 64 printable characters, no spaces")
    return name


def _check_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not name.isprintable():
        raise click.BadParameter("must be printable characters")
    return name


def _read_expiry(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    now = Clock().now()
    try:
        if text.isdecimal() and int(text) > 0:
            at = int((datetime.fromtimestamp(now, UTC) + timedelta(days=int(text))).timestamp())
        else:
            at = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        at = 0
    if at <= now:
        raise click.BadParameter("must be a date to come, as YYYY-MM-DD, or a number of days")
    return at


def _complete_name(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the names of keys that begin so; none where the database cannot be read as it is."""
    # Only completion needs it, and no other command for keys should wait for it.
    from ..backup import existing

    with suppress(StartError, sqlite3.Error):
        path = load(database=context.params.get("database")).database
        with existing(path) as (connection, _):
            return [name for name in keys.names(connection) if name.startswith(incomplete)]
    return []


new_name = click.argument("name", callback=_check_new_name)
known_name = click.argument("name", callback=_check_name, shell_complete=_complete_name)


@click.group(
    cls=Group,
    examples=["saasus-analysis keys create reporting", "saasus-analysis keys list"],
)
def group() -> None:
    """Make, list, rotate and revoke keys."""


@group.command(
    "create",
    examples=[
        "saasus-analysis keys create feeder --scope ingest --expires 90",
        "saasus-analysis keys create sdk --signature --json",
    ],
)
@new_name
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(keys.SCOPES),
    multiple=True,
    default=DEFAULT_SCOPES,
    help="What the key may do; can be given more than once.",
    show_default=True,
)
@click.option("--signature", is_flag=True, help="For a client that signs, as the SDKs do.")
@click.option(
    "--expires",
    "expires_at",
    metavar="DATE|DAYS",
    callback=_read_expiry,
    help="2027-01-31 (UTC), or 90 for days from now.",
)
@json_option
@database_option
def create_key(
    name: str,
    scopes: tuple[str, ...],
    signature: bool,
    expires_at: int | None,
    as_json: bool,
    database: Path | None,
) -> None:
    """Make a key and show it once.

    NAME is 1 to 64 printable characters without spaces; that of a revoked key can be used again.
    """
    with open_database(database) as opened:
        create = keys.create_signature_key if signature else keys.create_bearer_key
        try:
            made = create(opened, name=name, scopes=scopes, expires_at=expires_at)
        except keys.NameTaken:
            raise click.ClickException(f"there is a key named {name}; revoke it first") from None
    _show(made, as_json)


@group.command(
    "rotate",
    examples=["saasus-analysis keys rotate web", "saasus-analysis keys rotate web --overlap 48"],
)
@known_name
@click.option(
    "--overlap",
    metavar="HOURS",
    type=click.IntRange(0, 8760),
    default=24,
    show_default=True,
    help="How many hours the old key goes on, as NAME.old.",
)
@json_option
@database_option
def rotate_key(name: str, overlap: int, as_json: bool, database: Path | None) -> None:
    """Replace a key; the old one goes on for a while.

    The new key is of the same kind and scopes, and is shown once.
    """
    with open_database(database) as opened:
        try:
            made = keys.rotate_key(opened, name, overlap * 3600)
        except keys.NameTaken:
            raise click.ClickException(
                f"there is a key named {name}.old, from a rotation before; revoke it first"
            ) from None
    if made is None:
        raise click.ClickException(f"there is no key named {name} that is valid")
    _show(made, as_json)


@group.command("list", examples=["saasus-analysis keys list", "saasus-analysis keys list --json"])
@json_option
@database_option
def list_keys(as_json: bool, database: Path | None) -> None:
    """List the keys, without what is secret."""
    with open_database(database) as opened:
        now = opened.clock.now()
        listed = keys.list_keys(opened)
    for key in listed:
        key["kind"] = "signature" if key.pop("saas_id") else "bearer"
    if as_json:
        print_json([key | {"scopes": key["scopes"].split()} for key in listed])
        return
    line = "{:<20} {:<10} {:<40} {:<24} {:<22} {}"
    click.echo(line.format("NAME", "KIND", "PREFIX OR API KEY", "SCOPES", "STATE", "LAST USED"))
    for key in listed:
        used = _minute(key["last_used_at"]) if key["last_used_at"] else "never"
        shown = (key[name] for name in ("name", "kind", "prefix", "scopes"))
        click.echo(line.format(*shown, _state(key, now), used))


@group.command("revoke", examples=["saasus-analysis keys revoke web"])
@known_name
@database_option
def revoke_key(name: str, database: Path | None) -> None:
    """Revoke a key: requests with it are refused from now on."""
    with open_database(database) as opened:
        if not keys.revoke_key(opened, name):
            raise click.ClickException(f"there is no key named {name}")
    click.echo(f"revoked {name}")


def _show(made: str | dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({"token": made} if isinstance(made, str) else made)
    else:
        lines = [made] if isinstance(made, str) else [f"{name}={made[name]}" for name in made]
        click.echo("\n".join(lines))
    click.echo("This is shown once; keep it safe.", err=True)


def _minute(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _state(key: dict[str, Any], now: int) -> str:
    def day(timestamp: int) -> str:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")

    if key["revoked_at"]:
        return f"revoked {day(key['revoked_at'])}"
    if key["expires_at"] is None:
        return "valid"
    return f"{'expired' if key['expires_at'] <= now else 'valid until'} {day(key['expires_at'])}"

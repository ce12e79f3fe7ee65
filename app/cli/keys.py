"""`keys create|list|revoke`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ..auth import keys
from .common import database_option, open_database

DEFAULT_SCOPES = ("read", "write", "ingest")


@click.group("keys")
def group() -> None:
    """Make, list and revoke keys."""


@group.command("create")
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
    with open_database(database) as opened:
        expires_at = _expiry(expires, opened.clock.now()) if expires else None
        try:
            if signature:
                _show(
                    keys.create_signature_key(
                        opened, name=name, scopes=scopes, expires_at=expires_at
                    )
                )
            else:
                _show(
                    keys.create_bearer_key(opened, name=name, scopes=scopes, expires_at=expires_at)
                )
        except keys.NameTaken:
            raise click.ClickException(f"there is a key named {name}; revoke it first") from None


@group.command("rotate")
@click.argument("name")
@click.option(
    "--overlap",
    metavar="HOURS",
    type=click.IntRange(0, 8760),
    default=24,
    show_default=True,
    help="How long the old key goes on, as NAME.old.",
)
@database_option
def rotate_key(name: str, overlap: int, database: Path | None) -> None:
    """Make another key of the same kind and scopes, and let the old one run out."""
    with open_database(database) as opened:
        try:
            made = keys.rotate_key(opened, name, overlap * 3600)
        except keys.NameTaken:
            raise click.ClickException(
                f"there is a key named {name}.old, from a rotation before; revoke it first"
            ) from None
    if made is None:
        raise click.ClickException(f"there is no key named {name} that is valid")
    _show(made)


@group.command("list")
@database_option
def list_keys(database: Path | None) -> None:
    """List the keys, without what is secret."""
    with open_database(database) as opened:
        now = opened.clock.now()
        line = "{:<20} {:<10} {:<40} {:<24} {:<22} {}"
        click.echo(line.format("NAME", "KIND", "PREFIX OR API KEY", "SCOPES", "STATE", "LAST USED"))
        for key in keys.list_keys(opened):
            kind = "signature" if key["saas_id"] else "bearer"
            state = _state(key, now)
            used = _minute(key["last_used_at"]) if key["last_used_at"] else "never"
            click.echo(line.format(key["name"], kind, key["prefix"], key["scopes"], state, used))


@group.command("revoke")
@click.argument("name")
@database_option
def revoke_key(name: str, database: Path | None) -> None:
    """Revoke a key; requests with it are refused from now on."""
    with open_database(database) as opened:
        if not keys.revoke_key(opened, name):
            raise click.ClickException(f"there is no key named {name}")
    click.echo(f"revoked {name}")


def _show(made: str | dict[str, str]) -> None:
    lines = [made] if isinstance(made, str) else [f"{name}={made[name]}" for name in made]
    click.echo("\n".join(lines))
    click.echo("This is shown once; keep it safe.", err=True)


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

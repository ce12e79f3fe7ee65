"""`keys create|list|revoke|rotate`."""

import json
from pathlib import Path

import click

from ..auth import keys
from ..storage.keys import key_names
from .command import Group
from .key_options import expires_option, known_name, last_use, new_name, show_once, state
from .options import (
    all_option,
    database_option,
    json_option,
    limit_of,
    open_database,
    say_if_limited,
)
from .output import print_json

DEFAULT_SCOPES = ("read", "write", "ingest")


key_name = known_name(key_names)


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
@click.option("--signature", is_flag=True, help="For a client that signs requests, like the SDKs.")
@expires_option()
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

    NAME has 1 to 64 printable characters without spaces; the name of a revoked key can be used
    again.
    """
    with open_database(database) as opened:
        create = keys.create_signature_key if signature else keys.create_bearer_key
        try:
            made = create(opened, name=name, scopes=scopes, expires_at=expires_at)
        except keys.NameTaken:
            raise click.ClickException(f"there is a key named {name}; revoke it first") from None
    _show(name, made, as_json)


@group.command(
    "rotate",
    examples=["saasus-analysis keys rotate web", "saasus-analysis keys rotate web --overlap 48"],
)
@key_name
@click.option(
    "--overlap",
    metavar="HOURS",
    type=click.IntRange(0, 8760),
    default=24,
    show_default=True,
    help="How many hours the old key stays valid, as NAME.old.",
)
@json_option
@database_option
def rotate_key(name: str, overlap: int, as_json: bool, database: Path | None) -> None:
    """Replace a key; the old one stays valid for a while.

    The new key has the same kind and scopes, and is shown once.
    """
    with open_database(database) as opened:
        try:
            made = keys.rotate_key(opened, name, overlap * 3600)
        except keys.NameTaken:
            raise click.ClickException(
                f"there is a key named {name}.old from an earlier rotation; revoke it first"
            ) from None
    if made is None:
        raise click.ClickException(f"there is no valid key named {name}")
    _show(name, made, as_json)


@group.command("list", examples=["saasus-analysis keys list", "saasus-analysis keys list --json"])
@all_option
@json_option
@database_option
def list_keys(list_all: bool, as_json: bool, database: Path | None) -> None:
    """List the keys, without their secrets."""
    with open_database(database) as opened:
        now = opened.clock.now()
        listed = keys.list_keys(opened, limit_of(list_all))
    say_if_limited(listed, list_all)
    for key in listed:
        key["kind"] = "signature" if key.pop("saas_id") else "bearer"
    if as_json:
        print_json([key | {"scopes": key["scopes"].split()} for key in listed])
        return
    line = "{:<20} {:<10} {:<40} {:<24} {:<22} {}"
    click.echo(line.format("NAME", "KIND", "PREFIX OR API KEY", "SCOPES", "STATE", "LAST USED"))
    for key in listed:
        shown = (key[name] for name in ("name", "kind", "prefix", "scopes"))
        click.echo(line.format(*shown, state(key, now), last_use(key)))


@group.command("revoke", examples=["saasus-analysis keys revoke web"])
@key_name
@database_option
def revoke_key(name: str, database: Path | None) -> None:
    """Revoke a key: requests with it are refused from now on."""
    with open_database(database) as opened:
        if not keys.revoke_key(opened, name):
            raise click.ClickException(f"there is no key named {name}")
    click.echo(f"revoked {name}")


def _show(name: str, made: str | dict[str, str], as_json: bool) -> None:
    what = f"the key {name}"
    if as_json:
        show_once(what, json.dumps({"token": made} if isinstance(made, str) else made))
    elif isinstance(made, str):
        show_once(what, made)
    else:
        show_once(what, "\n".join(f"{name}={value}" for name, value in made.items()))

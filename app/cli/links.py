"""`links create|list|revoke`."""

import json
from pathlib import Path

import click

from ..auth import keys, links
from ..storage.links import link_names
from ..web.request_target import SHARED_PATH
from .command import Group
from .key_options import expires_option, known_name, last_use, new_name, show_once, state
from .options import (
    all_option,
    database_option,
    json_option,
    limit_of,
    load,
    open_database,
    say_if_limited,
)
from .output import print_json

link_name = known_name(link_names)


@click.group(
    cls=Group,
    examples=["saasus-analysis links create board", "saasus-analysis links list"],
)
def group() -> None:
    """Make, list and revoke links to the dashboard."""


@group.command(
    "create",
    examples=[
        "saasus-analysis links create board --url https://analysis.example.com",
        "saasus-analysis links create acme --tenant acme --expires 90 --json",
    ],
)
@new_name
@click.option("--tenant", "tenant_id", metavar="ID", help="Show only the data of this tenant.")
@expires_option(default=str(links.DEFAULT_DAYS), show_default=True)
@click.option(
    "--url",
    "base",
    metavar="URL",
    default="",
    help="The URL of the server for browsers; ANALYSIS_PREFIX is added if it is missing.",
)
@json_option
@database_option
def create_link(
    name: str,
    tenant_id: str | None,
    expires_at: int,
    base: str,
    as_json: bool,
    database: Path | None,
) -> None:
    """Make a link and show it once.

    Anybody who has the URL can see the dashboard without a key. Without --url, only the path is
    shown. NAME has 1 to 64 printable characters without spaces; the name of a revoked link can be
    used again.
    """
    with open_database(database) as opened:
        try:
            token = links.create_link(opened, name=name, tenant_id=tenant_id, expires_at=expires_at)
        except keys.NameTaken:
            raise click.ClickException(f"there is a link named {name}; revoke it first") from None
        except links.UnknownTenant:
            raise click.ClickException(f"no data are stored for a tenant {tenant_id!r}") from None
    base = base.rstrip("/")
    prefix = load().prefix or ""
    if not base.endswith(prefix):
        base += prefix
    url = f"{base}{SHARED_PATH}/{token}"
    shown = json.dumps({"url": url, "expires_at": expires_at}) if as_json else url
    show_once(f"the link {name}", shown)


@group.command("list", examples=["saasus-analysis links list", "saasus-analysis links list --json"])
@all_option
@json_option
@database_option
def list_links(list_all: bool, as_json: bool, database: Path | None) -> None:
    """List the links, without their secrets."""
    with open_database(database) as opened:
        now = opened.clock.now()
        listed = links.list_links(opened, limit_of(list_all))
    say_if_limited(listed, list_all)
    if as_json:
        print_json(listed)
        return
    line = "{:<20} {:<40} {:<22} {}"
    click.echo(line.format("NAME", "TENANT", "STATE", "LAST USED"))
    for link in listed:
        tenant = link["tenant_id"] or "all"
        click.echo(line.format(link["name"], tenant, state(link, now), last_use(link)))


@group.command("revoke", examples=["saasus-analysis links revoke wall"])
@link_name
@database_option
def revoke_link(name: str, database: Path | None) -> None:
    """Revoke a link: it shows nothing from now on."""
    with open_database(database) as opened:
        if not links.revoke_link(opened, name):
            raise click.ClickException(f"there is no link named {name}")
    click.echo(f"revoked {name}")

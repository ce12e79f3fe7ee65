"""The tree of commands, and the files that their examples name."""

import json
from collections.abc import Iterator

import click

from app.cli import main

from .records import api_log, eventbridge, page

EVENT = json.dumps({"type": "create_tenant", "tenant_id": "t"})
FILES = {
    "january.ndjson": EVENT,
    "february.ndjson": EVENT,
    "page-1.json": json.dumps(page(api_log())),
    "page-2.json": json.dumps(page(api_log(id="2"))),
    "archive.json": json.dumps([eventbridge("create_tenant")]),
    "acme.json": f"[{EVENT}]",
    "u-1.json": json.dumps(
        [
            {"type": "create_tenant", "tenant_id": "acme"},
            {"type": "userinfo", "user_id": "u-1", "tenant_id": "acme"},
        ]
    ),
}
"""Files by the names that documents and help give them."""


def _walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _walk(found, f"{name} {inner}")


TREE = dict(_walk(main, "saasus-analysis"))
"""All commands and groups by their whole names."""

COMMANDS = {name: each for name, each in TREE.items() if not isinstance(each, click.Group)}

"""The command `saasus-analysis`."""

import gc
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import ServiceUnavailable, StartError

COMMANDS = {
    "audit": "retention:audit",
    "backup": "backup:backup",
    "check": "backup:check",
    "demo": "serving:demo",
    "doctor": "doctor:doctor",
    "double": "double:double",
    "erase-tenant": "retention:erase_tenant",
    "erase-user": "retention:erase_user",
    "export": "exporting:export",
    "import": "importing:import_files",
    "keys": "keys:group",
    "prune": "retention:prune",
    "restore": "backup:restore",
    "serve": "serving:serve",
    "summaries": "summaries:group",
}
"""Where each command is: what one command does not need is not loaded for it."""


class Command(click.Group):
    """Loads the command that was asked for.

    Shows what keeps the program from starting, or a database from answering, as one line, and exits
    with 1.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except StartError as error:
            raise click.ClickException(str(error)) from error
        except ServiceUnavailable as error:
            raise click.ClickException(str(error.description)) from error


@click.group(cls=Command)
@click.version_option(__version__, prog_name="saasus-analysis")
def main() -> None:
    """A self-hosted server for the SaaSus Analysis API.

    Settings are options or environment variables; an option wins.
    """
    # What is loaded by now stays; batches of records make many objects and no cycles.
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()

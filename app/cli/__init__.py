"""The command `saasus-analysis`."""

import gc
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from .. import __version__
from .command import Group
from .exit_codes import errors_in_a_line

COMMANDS = {
    "audit": ("audit:audit", "List when the database was backed up, pruned and erased from."),
    "backup": ("backup:backup", "Copy the database to a file, also beside a running server."),
    "check": ("backup:check", "Check the database and everything that is derived in it."),
    "delete": (
        "delete:delete",
        "Delete what is of a user, a page, a tenant or some days.",
    ),
    "demo": ("demo:demo", "Serve a made-up SaaS, or write its events out."),
    "doctor": ("doctor:doctor", "Look a setup over, and say what to do about what is not well."),
    "double": ("double:double", "Serve a test double: the API in memory, with a control API."),
    "erase-tenant": (
        "erase:erase_tenant",
        "Erase a tenant, and the users who are in no other.",
    ),
    "erase-user": ("erase:erase_user", "Erase a user: histories, summaries, counts, name."),
    "export": ("export:export", "Write out everything but the keys, or one table."),
    "import": ("import_:import_files", "Store the records of files."),
    "keys": ("keys:group", "Make, list, rotate and revoke keys."),
    "links": ("links:group", "Make, list and revoke links to the dashboard."),
    "migrate": ("migrate:migrate", "Bring an older database up to date."),
    "prune": ("prune:prune", "Delete what is older than settings keep."),
    "restore": ("backup:restore", "Put a backup in the place of the database."),
    "serve": ("serve:serve", "Serve the API until SIGTERM or SIGINT."),
    "summaries": (
        "summaries:group",
        "Check, rebuild or drop the summaries behind the answers.",
    ),
}
"""Where each command is, and the first sentence of its help.

What one command does not need is not loaded for it, and none is loaded to list or complete them.
"""


class Program(Group):
    """Loads the command that was asked for, and shows errors of users as one line."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        with errors_in_a_line():
            return super().main(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        finally:
            if sys.stdout:
                sys.stdout.flush()  # here, where it is noticed if that does not work

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ] + click.Command.shell_complete(self, context, incomplete)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "saasus-analysis serve --database analysis.db",
        "saasus-analysis keys create --help",
        "ANALYSIS_DATABASE=analysis.db saasus-analysis doctor",
    ],
)
@click.version_option(__version__, prog_name="saasus-analysis")
def main() -> None:
    """A self-hosted server for the SaaSus Analysis API.

    Settings are options or environment variables; an option wins.
    """
    # What is loaded by now stays; batches of records make many objects and no cycles.
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()

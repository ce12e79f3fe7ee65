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
    "audit": ("audit:audit", "List backups, prunings, deletions and erasures."),
    "backup": ("backup:backup", "Copy the database to a file; a server may be running."),
    "check": ("backup:check", "Check the database and all data derived in it."),
    "delete": (
        "delete:delete",
        "Delete the data of a user, a page, a tenant or some days.",
    ),
    "demo": ("demo:demo", "Serve a made-up SaaS, or write its events to a file."),
    "doctor": ("doctor:doctor", "Look for problems in a setup, and say how to solve them."),
    "double": ("double:double", "Serve a test double: the API in memory, with a control API."),
    "erase-tenant": (
        "erase:erase_tenant",
        "Erase a tenant, and its users who are in no other tenant.",
    ),
    "erase-user": ("erase:erase_user", "Erase a user: histories, summaries, counts and name."),
    "export": ("export:export", "Export everything except keys, or one table."),
    "import": ("import_:import_files", "Store the records from files."),
    "keys": ("keys:group", "Make, list, rotate and revoke keys."),
    "links": ("links:group", "Make, list and revoke links to the dashboard."),
    "migrate": ("migrate:migrate", "Migrate an older database to the schema of this version."),
    "prune": ("prune:prune", "Delete data that are older than the settings keep."),
    "restore": ("backup:restore", "Restore the database from a backup."),
    "serve": ("serve:serve", "Serve the API until SIGTERM or SIGINT."),
    "summaries": (
        "summaries:group",
        "Check, rebuild or drop the summaries of stored data.",
    ),
}
"""The module and function of each command, and the first sentence of its help.

A command imports only what it needs; listing and completing commands imports none of them.
"""


class Program(Group):
    """The top-level group: imports commands lazily, and shows expected errors as one line."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        with errors_in_a_line():
            return super().main(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        finally:
            if sys.stdout:
                sys.stdout.flush()  # here, an error is still reported

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

    Settings are options or environment variables; options take precedence.
    """
    # Imported objects stay until the end, and batches of records create many objects but no
    # cycles, so frequent garbage collection would only cost time.
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()

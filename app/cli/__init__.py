"""The command `saasus-analysis`."""

import gc
from typing import Any

import click

from ..api import package_version
from ..errors import StartError
from . import importing, keys, serving, summaries


class Command(click.Group):
    """Shows what keeps the program from starting as one line, and exits with 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except StartError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Command)
@click.version_option(package_version(), prog_name="saasus-analysis")
def main() -> None:
    """A self-hosted server for the SaaSus Analysis API.

    Settings are options or environment variables; an option wins.
    """
    # What is loaded by now stays; batches of records make many objects and no cycles.
    gc.freeze()
    gc.set_threshold(50_000)


for command in (
    serving.serve,
    serving.demo,
    keys.group,
    importing.import_files,
    summaries.group,
):
    main.add_command(command)

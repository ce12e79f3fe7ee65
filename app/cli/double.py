"""`double`."""

import json
import logging
import os
from pathlib import Path

import click

from .. import __version__, logs
from ..double import application
from ..double.front import CONTROL
from .common import host_option, load


@click.command()
@host_option
@click.option("--port", default=0, show_default=True, help="The port; 0 takes a free one.")
@click.option(
    "--auth",
    type=click.Choice(["any", "required", "strict"]),
    help="Whether a key may be left out, must be sent, or is checked.  [ANALYSIS_DOUBLE_AUTH, any]",
)
@click.option(
    "--seed",
    metavar="FILE|JSON",
    help="What it begins with and is reset to: a state or events.  [ANALYSIS_DOUBLE_SEED]",
)
@click.option(
    "--remote",
    is_flag=True,
    help="Answer clients on other machines: they can read and change everything.",
)
@click.option(
    "--port-file", type=click.Path(path_type=Path), help="Write the port here when it answers."
)
@click.option("--exit-with-parent", is_flag=True, help="End when the process ends that ran this.")
@click.option("--verbose", is_flag=True, help="Log each request to standard error.")
def double(
    host: str | None,
    port: int,
    auth: str | None,
    seed: str | None,
    remote: bool,
    port_file: Path | None,
    exit_with_parent: bool,
    verbose: bool,
) -> None:
    """Serve a test double: the API in memory, and a control API beside it.

    Prints one line of JSON when it answers: url, control, pid and version.
    """
    parent = os.getppid()
    settings = load(
        host=host, port=port, double_auth=auth, double_seed=seed, double_remote=remote or None
    )
    logs.configure(settings, logging.INFO if verbose else logging.ERROR)
    app = application.make_double(settings)
    try:
        server = application.serve(app)
        port_of_server = server.url.rpartition(":")[2]
        part = _write_beside(port_file, port_of_server) if port_file else None
        ready = {
            "url": server.url,
            "control": server.url + CONTROL,
            "pid": os.getpid(),
            "version": __version__,
        }
        with server.stopped_by_signals():
            click.echo(json.dumps(ready))
            if part and port_file:
                part.replace(port_file)
            server.run(lambda: exit_with_parent and os.getppid() != parent)
    finally:
        application.close(app)


def _write_beside(path: Path, text: str) -> Path:
    """Write a file that takes the place of a path at once, so that nobody reads a part of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        part.write_text(text)
        return part
    except OSError as error:
        raise click.ClickException(f"--port-file {path}: {error.strerror}") from None

"""`double`."""

import logging
import os
from pathlib import Path

import click

from ..config import variable
from ..double import application
from ..double.middleware import CONTROL
from ..web import log_format
from .command import Command
from .options import FILE, cors_option, host_option, load, setting_option
from .output import print_ready


@click.command(
    cls=Command,
    examples=[
        "saasus-analysis double",
        "saasus-analysis double --seed acme.json --port-file port",
        "saasus-analysis double --auth strict --exit-with-parent",
    ],
)
@host_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="NUMBER",
    help="The port; 0 takes a free one.  [env var: ANALYSIS_PORT; default: 0]",
)
@setting_option(
    "--auth",
    "double_auth",
    "Whether a key may be left out, must be sent, or is checked.",
    type=click.Choice(["any", "required", "strict"]),
)
@setting_option(
    "--seed",
    "double_seed",
    "The initial data, to which a reset returns: a state or events.",
    metavar="FILE|JSON",
)
@click.option(
    "--remote",
    is_flag=True,
    help="Accept clients on other machines; they can read and change everything.  "
    "[env var: ANALYSIS_DOUBLE_REMOTE]",
)
@cors_option
@click.option(
    "--port-file",
    type=FILE,
    help="Write the port to this file when the double listens.",
)
@click.option("--exit-with-parent", is_flag=True, help="End when the parent process ends.")
@click.option("--verbose", is_flag=True, help="Log each request to standard error.")
def double(
    host: str | None,
    port: int | None,
    auth: str | None,
    seed: str | None,
    remote: bool,
    cors_origin: tuple[str, ...] | None,
    port_file: Path | None,
    exit_with_parent: bool,
    verbose: bool,
) -> None:
    """Serve a test double: the API in memory, with a control API.

    Prints one line of JSON when it listens: url, control, pid and version.
    """
    parent = os.getppid()
    if port is None and variable("port") not in os.environ:
        port = 0
    settings = load(
        host=host,
        port=port,
        double_auth=auth,
        double_seed=seed,
        double_remote=remote or None,
        cors_origins=cors_origin,
    )
    log_format.configure(settings, logging.INFO if verbose else logging.ERROR)
    app = application.make_double(settings)
    try:
        server = application.serve(app)
        port_of_server = server.url.rpartition(":")[2]
        part = _write_beside(port_file, port_of_server) if port_file else None
        with server.stopped_by_signals():
            print_ready(server.url, control=server.url + CONTROL)
            if part and port_file:
                part.replace(port_file)
            server.run(lambda: exit_with_parent and os.getppid() != parent)
    finally:
        application.close(app)


def _write_beside(path: Path, text: str) -> Path:
    """Write a temporary file beside a path; renamed to it later, it is never read half-written."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        part.write_text(text)
        return part
    except OSError as error:
        raise click.ClickException(f"--port-file {path}: {error.strerror}") from None

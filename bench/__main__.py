"""The benchmarks: each command compares us with peers and writes its table into RESULTS.md."""

from importlib import import_module
from typing import Any

import click

TABLES = (
    "pages",
    "growth",
    "active",
    "bulk",
    "crowd",
    "rates",
    "many",
    "double",
    "kills",
    "load",
    "backup",
    "dashboard",
    "million",
    "fuzz",
)


@click.command()
@click.argument("tables", metavar="|".join(TABLES), nargs=-1, type=click.Choice(TABLES))
@click.option("--seconds", default=1200, show_default=True, help="fuzz: how long in total.")
@click.option("--seed", default=2026, show_default=True, help="fuzz: the seed of the first round.")
@click.option(
    "--engine",
    default="hypothesis",
    show_default=True,
    type=click.Choice(["hypothesis", "atheris"]),
    help="fuzz: the engine that makes the inputs.",
)
def main(tables: tuple[str, ...], **options: Any) -> None:
    """Measure the given tables, or all."""
    for table in tables or TABLES:
        run = import_module(f".{table}", __package__).run
        run(**(options if table == "fuzz" else {}))


if __name__ == "__main__":
    main(prog_name="python -m bench")

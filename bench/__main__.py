"""The benchmarks: each command measures us beside peers and writes its table into RESULTS.md."""

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
@click.option("--seconds", default=1200, show_default=True, help="fuzz: how long in all.")
@click.option("--seed", default=2026, show_default=True, help="fuzz: of the first round.")
@click.option(
    "--engine",
    default="hypothesis",
    show_default=True,
    type=click.Choice(["hypothesis", "atheris"]),
    help="fuzz: what makes the inputs.",
)
def main(tables: tuple[str, ...], **options: Any) -> None:
    """Measure the tables that are named, or all."""
    for table in tables or TABLES:
        run = import_module(f".{table}", __package__).run
        run(**(options if table == "fuzz" else {}))


if __name__ == "__main__":
    main(prog_name="python -m bench")

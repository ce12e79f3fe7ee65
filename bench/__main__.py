"""The benchmarks: each command measures us beside peers and writes its table into RESULTS.md."""

from importlib import import_module

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
)


@click.command()
@click.argument("tables", metavar="|".join(TABLES), nargs=-1, type=click.Choice(TABLES))
def main(tables: tuple[str, ...]) -> None:
    """Measure the tables that are named, or all."""
    for table in tables or TABLES:
        import_module(f".{table}", __package__).run()


if __name__ == "__main__":
    main(prog_name="python -m bench")

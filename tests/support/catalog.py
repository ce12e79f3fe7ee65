"""The catalog of the dashboard's Japanese, kept beside the texts of templates and code.

`python -m tests.support.catalog` takes new texts into `messages.po`, drops what is gone,
and compiles what is translated.
"""

from datetime import UTC, datetime

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from ..conftest import ROOT

DASHBOARD = ROOT / "app" / "dashboard"
FOLDER = DASHBOARD / "translations" / "ja" / "LC_MESSAGES"
WRITTEN = datetime(2026, 11, 24, tzinfo=UTC)
"""One date for all: the history of the file is in the repository."""


def texts() -> Catalog:
    """Return the texts that templates and code have now, in the order of the files."""
    catalog = Catalog(
        locale="ja",
        project="saasus-analysis",
        header_comment="# The texts of the dashboard in Japanese.",
        creation_date=WRITTEN,
        revision_date=WRITTEN,
        fuzzy=False,
    )
    methods = [("**.py", "python"), ("templates/**.html", "jinja2")]
    for file, _line, text, comments, context in extract_from_dir(DASHBOARD, methods):
        catalog.add(text, locations=[(file, 0)], auto_comments=comments, context=context)
    return catalog


def stored() -> Catalog:
    """Return the catalog as it is in the file."""
    with (FOLDER / "messages.po").open("rb") as file:
        return read_po(file, locale="ja")


def update() -> None:
    """Bring the files up to date."""
    catalog = texts()
    if (FOLDER / "messages.po").exists():
        known = stored()
        for message in catalog:
            if message.id and message.id in known:
                message.string = known[message.id].string
    with (FOLDER / "messages.po").open("wb") as file:
        write_po(file, catalog, width=100)
    with (FOLDER / "messages.mo").open("wb") as file:
        write_mo(file, stored())
    for message in catalog:
        if message.id and not message.string:
            print(f"to translate: {message.id}")


if __name__ == "__main__":
    update()

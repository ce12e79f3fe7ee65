"""CSV as in RFC 4180 (commas, CRLF, quotes where needed), and content negotiation for it."""

import csv
import io
from collections.abc import Iterable, Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

JSON, CSV = "application/json", "text/csv"

CONTENT_TYPE = "text/csv; charset=utf-8; header=present"

_NO_WISH = (None, "*/*", JSON)
"""Accept headers that most clients send. They mean JSON, so parsing them is skipped."""


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV. Cells are not changed, even if a spreadsheet would read a formula."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def wants_csv(accept: str | None) -> bool:
    """Return whether an Accept header prefers CSV to JSON (RFC 9110, 12.5.1).

    JSON is preferred if there is no header, or it accepts neither. Media type parameters are
    ignored.
    """
    if accept in _NO_WISH:
        return False
    wishes = parse_accept_header(accept, MIMEAccept)
    bare = MIMEAccept((type_.partition(";")[0].strip(), quality) for type_, quality in wishes)
    return bare.best_match((JSON, CSV)) == CSV

"""CSV as RFC 4180 has it: commas, CRLF, quotes where they are needed; and who asks for it."""

import csv
import io
from collections.abc import Iterable, Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

JSON, CSV = "application/json", "text/csv"

CONTENT_TYPE = "text/csv; charset=utf-8; header=present"

_NO_WISH = (None, "*/*", JSON)
"""What most clients send: the headers that are not worth reading closely."""


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV. A cell is written as it is, also one that a spreadsheet would compute."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def wants_csv(accept: str | None) -> bool:
    """Return whether an Accept header prefers CSV to JSON (RFC 9110, 12.5.1).

    JSON it is without a wish, and for one that neither can fulfil. Parameters are not looked at.
    """
    if accept in _NO_WISH:
        return False
    wishes = parse_accept_header(accept, MIMEAccept)
    bare = MIMEAccept((type_.partition(";")[0].strip(), quality) for type_, quality in wishes)
    return bare.best_match((JSON, CSV)) == CSV

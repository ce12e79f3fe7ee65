"""The response of a page: HTML, or one of its tables as CSV."""

import re
from dataclasses import replace
from typing import Any

from flask import Response, render_template

from ..errors import InvalidRequest
from ..web.csv_format import CONTENT_TYPE
from .controls import Controls
from .tables import Table, sorted_rows

BYTE_ORDER_MARK = "\ufeff"
"""Lets spreadsheets recognize that a file is UTF-8."""


def render(template: str, controls: Controls, *tables: Table, **values: Any) -> Response:
    """Return a page with its tables, or one table as CSV if the URL asks for it.

    Raises InvalidRequest if the page has no such table.
    """
    by_name = {table.name: table for table in tables}
    wanted = controls.get("csv")
    if wanted is None:
        page = render_template(template, controls=controls, tables=by_name, **values)
        return Response(page, content_type="text/html; charset=utf-8")
    if wanted not in by_name:
        raise InvalidRequest(f"csv: must be one of {', '.join(by_name)}")
    response = Response(BYTE_ORDER_MARK + by_name[wanted].csv(), content_type=CONTENT_TYPE)
    first, last = controls.dates
    filename = re.sub("[^a-z0-9-]", "-", f"{wanted}-{first}-{last}")
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}.csv"'
    return response


def arrange(controls: Controls, table: Table, default: str) -> Table:
    """Return a table sorted by the column, and starting at the row, that the URL names.

    Raises InvalidRequest, naming the query parameter, if there is no such column.
    """
    sort = controls.get("sort") or default
    try:
        rows = sorted_rows(table.columns, table.rows, sort)
    except KeyError:
        names = ", ".join(column.name for column in table.columns)
        raise InvalidRequest(f"sort: must be one of {names}, or with a - before it") from None
    start = controls.get("start") or 0
    return replace(table, rows=rows, sort=sort, start=start if start < len(rows) else 0)

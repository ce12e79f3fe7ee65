"""The URL of the requested page."""

from collections.abc import Iterable
from urllib.parse import urlencode

from flask import request, url_for


def this_page(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the URL of this page with these query parameters instead of its own.

    The query is built here, because `url_for` gives a special meaning to some parameter names that
    a client may send.
    """
    path = url_for(str(request.endpoint), **(request.view_args or {}))
    query = urlencode(list(parameters))
    return f"{path}?{query}" if query else path

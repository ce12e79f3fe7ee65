"""The URL of the page that is asked for."""

from collections.abc import Iterable
from urllib.parse import urlencode

from flask import request, url_for


def this_page(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the URL of this page with other parameters.

    They are whatever somebody has sent, and some names mean something else to `url_for`.
    """
    path = url_for(str(request.endpoint), **(request.view_args or {}))
    query = urlencode(list(parameters))
    return f"{path}?{query}" if query else path

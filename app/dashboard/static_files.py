"""The static files of pages: scripts and styles, compressed once and cached by browsers."""

import gzip
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any
from zlib import crc32

from flask import Flask, Response, current_app, request, url_for

from ..auth import public

KEEP_SECONDS = 30 * 86400

View = Callable[..., Any]


def init_app(app: Flask, *endpoints: str) -> None:
    """Serve the files of these endpoints to everybody, with compression and caching."""
    for endpoint in endpoints:
        app.view_functions[endpoint] = public(_packed(app.view_functions[endpoint]))
    app.add_template_global(file_url)


def file_url(endpoint: str, filename: str) -> str:
    """Return the URL of a file; it changes when the content of the file changes."""
    folder = current_app.blueprints[endpoint.partition(".")[0]].static_folder
    return url_for(endpoint, filename=filename, v=_content_hash(f"{folder}/{filename}"))


@lru_cache
def _content_hash(path: str) -> str:
    return f"{crc32(Path(path).read_bytes()):08x}"


def _packed(view: View) -> View:
    """Return a view of a file that responds with gzip to clients that accept it.

    Chart.js has 950 kB, and 170 kB compressed. Libraries that compress responses are not used,
    because they compress every response on every request.
    """

    @lru_cache
    def pack(content: bytes) -> bytes:
        return gzip.compress(content, mtime=0)

    @wraps(view)
    def answer(filename: str) -> Response:
        response: Response = view(filename)
        etag, _ = response.get_etag()
        response.headers["Cache-Control"] = f"public, max-age={KEEP_SECONDS}"
        response.headers["Vary"] = "Accept-Encoding"
        if response.status_code == 200 and request.accept_encodings.quality("gzip"):
            response.direct_passthrough = False
            response.set_data(pack(response.get_data()))
            response.headers["Content-Encoding"] = "gzip"
            response.set_etag(f"{etag}-gzip")
        return response

    return answer

"""What browsers are told with each page: what it may load, and who may show it in a frame."""

from flask import Response

from ..web.context import current_settings
from .access import is_shared

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
)


def add_headers(response: Response) -> Response:
    """Add to a page the headers that differ from those of other answers."""
    if response.mimetype == "text/html":
        response.headers["Content-Security-Policy"] = POLICY + _frames()
        if not is_shared():
            # Without it, browsers do not tell where a form comes from. The URL of a link is
            # told to nobody.
            response.headers["Referrer-Policy"] = "same-origin"
    return response


def _frames() -> str:
    """Return the sites that may show a page in a frame: none where somebody is signed in."""
    settings = current_settings()
    if settings.frame_origins and (is_shared() or not settings.auth):
        return " ".join(settings.frame_origins)
    return "'none'"

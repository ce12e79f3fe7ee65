"""Security headers of pages: what a page may load, and which sites may frame it."""

from flask import Response

from ..web.context import current_settings
from .access import is_shared

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
)


def add_headers(response: Response) -> Response:
    """Add the headers in which pages differ from other responses."""
    if response.mimetype == "text/html":
        response.headers["Content-Security-Policy"] = POLICY + _frames()
        if not is_shared():
            # Without this header, browsers send `Origin: null` with a form. Pages of shared links
            # have no forms, and their URL is secret: the stricter default stays.
            response.headers["Referrer-Policy"] = "same-origin"
    return response


def _frames() -> str:
    """Return the sites that may frame a page; none if the visitor has to sign in."""
    settings = current_settings()
    if settings.frame_origins and (is_shared() or not settings.auth):
        return " ".join(settings.frame_origins)
    return "'none'"

"""The cookies of the dashboard: one for the session, one for the secret behind forms.

Browsers send neither cookie with cross-site requests, and scripts cannot read them. Browsers send
the cookies of a host to all of its ports, so the names of the cookies contain the port, if the URL
has one: signing in to one server on a machine does not sign out of another. Servers on the same
port differ by their prefix, which is in the path of the cookies.
"""

import re

from flask import Response, request, url_for

from ..web.client_address import is_tls

SESSION = "analysis_session"
FORM = "analysis_form"


def cookie_name(name: str) -> str:
    """Return the name of a cookie for the port of this request."""
    port = re.search(":([0-9]+)$", request.host)
    return f"{name}_{port[1]}" if port else name


def get_cookie(name: str) -> str:
    """Return the value of a cookie, or an empty string if the browser sent none."""
    return request.cookies.get(cookie_name(name), "")


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Set a cookie for some seconds, or until the browser is closed if None."""
    response.set_cookie(
        cookie_name(name),
        value,
        max_age=seconds,
        path=_path(),
        secure=is_tls(),
        httponly=True,
        samesite="Strict",
    )


def delete_cookie(response: Response, name: str) -> None:
    """Delete a cookie from the browser."""
    response.delete_cookie(
        cookie_name(name), path=_path(), secure=is_tls(), httponly=True, samesite="Strict"
    )


def _path() -> str:
    """Return the path of the dashboard as browsers see it: a proxy may add a prefix."""
    return url_for("dashboard.overview")

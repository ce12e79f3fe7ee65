"""The cookies of the dashboard: which session a browser is in, and what its forms are known by.

Neither is sent with what other sites let a browser ask for, nor told to scripts. Browsers send the
cookies of a host to all of its ports, so their names have the port where a URL has one: servers on
one machine are signed in to and out of apart. Servers at one port differ by their prefix, and that
is in the path of the cookies.
"""

import re

from flask import Response, request, url_for

from ..web.client_address import is_tls

SESSION = "analysis_session"
FORM = "analysis_form"


def cookie_name(name: str) -> str:
    """Return the name that a cookie has at the port of this request."""
    port = re.search(":([0-9]+)$", request.host)
    return f"{name}_{port[1]}" if port else name


def get_cookie(name: str) -> str:
    """Return the value that a browser keeps, or nothing."""
    return request.cookies.get(cookie_name(name), "")


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Let a browser keep a value for so long, or until it is closed."""
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
    """Let a browser forget a value."""
    response.delete_cookie(
        cookie_name(name), path=_path(), secure=is_tls(), httponly=True, samesite="Strict"
    )


def _path() -> str:
    """Return the path of the dashboard as browsers see it: a proxy may have put one before it."""
    return url_for("dashboard.overview")

"""The cookies of the dashboard: which session a browser is in, and what its forms are known by.

Neither is sent with what other sites let a browser ask for, nor told to scripts.
"""

from flask import Response, url_for

from ..security import is_tls

SESSION = "analysis_session"
FORM = "analysis_form"


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Let a browser keep a value for so long, or until it is closed."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=_path(),
        secure=is_tls(),
        httponly=True,
        samesite="Strict",
    )


def delete_cookie(response: Response, name: str) -> None:
    """Let a browser forget a value."""
    response.delete_cookie(name, path=_path(), secure=is_tls(), httponly=True, samesite="Strict")


def _path() -> str:
    """Return the path of the dashboard as browsers see it: a proxy may have put one before it."""
    return url_for("dashboard.overview")

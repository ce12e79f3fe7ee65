"""Error pages: they say what happened and what to do."""

from http import HTTPStatus
from typing import NoReturn

from flask import Response, current_app, g, make_response, render_template
from werkzeug.exceptions import HTTPException, NotFound

from ..errors import CHALLENGE, ApiError, InvalidRequest, PermissionDenied, known_status


class Refusal(ApiError):
    """An error of the dashboard itself, with texts in the visitor's language."""

    def __init__(self, status: int, happened: str, advice: str) -> None:
        super().__init__(happened)
        self.code = status
        self.advice = advice
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = CHALLENGE


def nothing(path: str) -> NoReturn:
    """Raise NotFound for a path that has no page."""
    raise NotFound


def show_error(error: HTTPException) -> Response:
    """Return the error page for an exception."""
    # The exception may have come before `before_request` prepared rendering.
    from .localization import prepare

    prepare(current_app)
    status = known_status(error.code or 500)
    if isinstance(error, Refusal):
        happened, advice = str(error.description), error.advice
    else:
        happened, advice = _words(status)
    page = render_template(
        "error.html",
        happened=happened,
        advice=advice,
        # These descriptions say what is wrong with the URL, or why access is denied.
        detail=error.description if isinstance(error, InvalidRequest | PermissionDenied) else None,
        status=status,
        trace_id=g.get("trace_id"),
    )
    response = make_response(page, status)
    if isinstance(error, ApiError):
        response.headers.update(error.headers)
    return response


def _words(status: int) -> tuple[str, str]:
    """Return the texts for a status: what happened, and what to do."""
    from flask_babel import gettext

    match status:
        case 403:
            return (
                gettext("You do not have access to this page."),
                gettext("Ask the administrator of this server."),
            )
        case 404:
            return (
                gettext("There is no page at this address."),
                gettext("Check the address, or go to the overview."),
            )
        case 429:
            return (
                gettext("Too many wrong keys or links came from your address."),
                gettext("Wait a minute, then try again."),
            )
        case 503:
            return (
                gettext("The database is not available at the moment."),
                gettext("Try again in a moment."),
            )
        case status if status < 500:
            return (
                gettext("The request is not valid."),
                gettext("Go back, change it, and try again."),
            )
        case _:
            return (
                gettext("An error occurred on the server."),
                gettext(
                    "Try again. If that does not help, give the trace id to the administrator."
                ),
            )

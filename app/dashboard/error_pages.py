"""What a page says when there is none to show: what happened, and what to do."""

from http import HTTPStatus
from typing import NoReturn

from flask import Response, current_app, g, make_response, render_template
from werkzeug.exceptions import HTTPException, NotFound

from ..errors import CHALLENGE, ApiError, InvalidRequest, PermissionDenied, known_status


class Refusal(ApiError):
    """What the dashboard itself refuses, in the language of who asks."""

    def __init__(self, status: int, happened: str, advice: str) -> None:
        super().__init__(happened)
        self.code = status
        self.advice = advice
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = CHALLENGE


def nothing(path: str) -> NoReturn:
    """Tell that there is no such page."""
    raise NotFound


def show_error(error: HTTPException) -> Response:
    """Return the page for whatever was raised."""
    # It may have been raised before the page was begun.
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
        # It names what is wrong in the URL, or why who asks is not answered.
        detail=error.description if isinstance(error, InvalidRequest | PermissionDenied) else None,
        status=status,
        trace_id=g.get("trace_id"),
    )
    response = make_response(page, status)
    if isinstance(error, ApiError):
        response.headers.update(error.headers)
    return response


def _words(status: int) -> tuple[str, str]:
    """Return what happened and what to do, by the status."""
    from flask_babel import gettext

    match status:
        case 403:
            return (
                gettext("This server does not let you see that."),
                gettext("Ask whoever runs it."),
            )
        case 404:
            return (
                gettext("There is nothing at this address."),
                gettext("Look whether it is written as it should be, or go to the overview."),
            )
        case 429:
            return (
                gettext("Too many wrong keys or links came from your address."),
                gettext("Wait a minute, then try again."),
            )
        case 503:
            return (
                gettext("The database cannot be used now."),
                gettext("Try again in a moment."),
            )
        case status if status < 500:
            return (
                gettext("What was asked for cannot be understood."),
                gettext("Go back and try it another way."),
            )
        case _:
            return (
                gettext("The server failed to answer."),
                gettext("Try again. If that does not help, give the trace id to whoever runs it."),
            )

"""The errors that a client can be answered with, each with its status and `type`."""

from http import HTTPStatus

from werkzeug.exceptions import HTTPException

TYPES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    409: "verification_failed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal_server_error",
    503: "service_unavailable",
}
"""The `type` of an `Error` by HTTP status (contract B.8; 409 is the test double's own)."""

CHALLENGE = 'Bearer realm="saasus-analysis", SAASUSSIGV1'
"""The `WWW-Authenticate` of a 401."""

MESSAGES = 10
"""How many violations the message of an error names."""


class StartError(Exception):
    """The application cannot start as it is set up; the message tells the operator why."""


class ApiError(HTTPException):
    """Base of what the API refuses; answered as `Error` with `TYPES[code]`."""

    code: int
    type: str | None = None
    """The `type` if it is not the usual one of the status."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers: dict[str, str] = {}


class InvalidRequest(ApiError):
    """400: each violation names the field and what was expected.

    The message holds the first few, behind an introduction; `more` is how many there are beside
    the violations that are given.
    """

    code = 400

    def __init__(self, *violations: str, introduction: str = "", more: int = 0) -> None:
        shown = list(violations[:MESSAGES])
        if len(violations) > MESSAGES:
            shown.append(f"and {len(violations) - MESSAGES + more} more")
        super().__init__(introduction + "; ".join(shown))
        self.violations = list(violations)


class Unauthorized(ApiError):
    """401: no key that is valid now came with the request."""

    code = 401

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers["WWW-Authenticate"] = CHALLENGE


class PermissionDenied(ApiError):
    """403: the key lacks the scope; or without keys, another machine or site asks."""

    code = 403


class IpRestricted(PermissionDenied):
    """403: clients at this address are not answered."""

    type = "ip_restricted"


class NotFound(ApiError):
    """404: there is nothing of the name that the path has."""

    code = 404


class VerificationFailed(ApiError):
    """409: a double was not sent what was expected."""

    code = 409


class PayloadTooLarge(ApiError):
    """413: the body, or what it unpacks to, is over the limit."""

    code = 413


class UnsupportedMediaType(ApiError):
    """415: the body's type or encoding is not one that this operation reads."""

    code = 415


class AlwaysFails(ApiError):
    """500: asked for, so that a client can be tested against it."""

    code = 500


class AskAgain(ApiError):
    """Base of what can be answered later: after so many seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.headers["Retry-After"] = str(retry_after)


class TooManyRequests(AskAgain):
    """429: a key or an address has asked too often."""

    code = 429


class ServiceUnavailable(AskAgain):
    """503: the database cannot take this now; asking again later can help."""

    code = 503


def error_body(status: int, message: str, type_: str | None = None) -> dict[str, str]:
    """Return the `Error` object for an HTTP status, of its usual type unless one is given."""
    return {"type": type_ or TYPES[status], "message": message}


def known_status(status: int) -> int:
    """Return the status among `TYPES` that stands for any HTTP status of 400 and above."""
    if status in TYPES:
        return status
    # 501 is what waitress says to a transfer coding that it does not know.
    asked_wrong = status < 500 or status == HTTPStatus.NOT_IMPLEMENTED
    return HTTPStatus.BAD_REQUEST if asked_wrong else HTTPStatus.INTERNAL_SERVER_ERROR

"""The errors that a client can receive, each with its status and `type`."""

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
"""The `type` of an `Error` by HTTP status (contract B.8; only the test double answers with 409)."""

CHALLENGE = 'Bearer realm="saasus-analysis", SAASUSSIGV1'
"""The `WWW-Authenticate` header of a 401."""

MESSAGES = 10
"""How many violations an error message lists."""


class StartError(Exception):
    """The application cannot start with this configuration; the message tells the operator why."""


class ApiError(HTTPException):
    """Base of the errors of the API; answered as `Error` with `TYPES[code]`."""

    code: int
    type: str | None = None
    """The `type`, if it differs from the usual one of the status."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers: dict[str, str] = {}


class InvalidRequest(ApiError):
    """400: each violation names the field and what was expected.

    The message is an introduction followed by the first `MESSAGES` violations. `more` is the number
    of further violations that are not passed in.
    """

    code = 400

    def __init__(self, *violations: str, introduction: str = "", more: int = 0) -> None:
        shown = list(violations[:MESSAGES])
        if len(violations) > MESSAGES:
            shown.append(f"and {len(violations) - MESSAGES + more} more")
        super().__init__(introduction + "; ".join(shown))
        self.violations = list(violations)


class Unauthorized(ApiError):
    """401: the request has no key that is valid now."""

    code = 401

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers["WWW-Authenticate"] = CHALLENGE


class PermissionDenied(ApiError):
    """403: the key lacks the scope; or, without keys, another machine or site sent the request."""

    code = 403


class IpRestricted(PermissionDenied):
    """403: clients at this address are not answered."""

    type = "ip_restricted"


class NotFound(ApiError):
    """404: nothing has the name that is in the path."""

    code = 404


class VerificationFailed(ApiError):
    """409: a double did not receive the requests that were expected."""

    code = 409


class PayloadTooLarge(ApiError):
    """413: the body is over the limit, as sent or unpacked."""

    code = 413


class UnsupportedMediaType(ApiError):
    """415: this operation does not read the body's type or encoding."""

    code = 415


class AlwaysFails(ApiError):
    """500: requested by a client, to test how it handles this error."""

    code = 500


class AskAgain(ApiError):
    """Base of errors after which a client should retry, after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.headers["Retry-After"] = str(retry_after)


class TooManyRequests(AskAgain):
    """429: too many requests came with a key or from an address."""

    code = 429


class ServiceUnavailable(AskAgain):
    """503: the server cannot do this now, but a retry may succeed."""

    code = 503


def error_body(status: int, message: str, type_: str | None = None) -> dict[str, str]:
    """Return the `Error` object for an HTTP status; without `type_`, it has the usual type."""
    return {"type": type_ or TYPES[status], "message": message}


def known_status(status: int) -> int:
    """Return an HTTP status if it is in `TYPES`, else the general one of its class: 400 or 500."""
    if status in TYPES:
        return status
    # waitress answers with 501 to an unknown transfer coding, which is the client's error.
    asked_wrong = status < 500 or status == HTTPStatus.NOT_IMPLEMENTED
    return HTTPStatus.BAD_REQUEST if asked_wrong else HTTPStatus.INTERNAL_SERVER_ERROR

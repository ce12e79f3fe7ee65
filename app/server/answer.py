"""Requests on a connection, parsed by waitress's parser, and the tasks that answer them."""

import json
import logging
import re
import socket
import struct
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, Error

from ..errors import error_body, known_status
from ..web.browser_security import SECURITY_HEADERS
from ..web.request_body import BODY_PENDING
from ..web.trace_id import TRACE_HEADER, make_trace_id

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("saasus_analysis.server")

WAITING = "saasus_analysis.waiting"
"""Key of the WSGI environment: a function that returns a context manager. While a request waits
in that context, another thread takes its place, so that it holds up no other request."""

SMALL_BODY = 2**14
"""How many bytes of a body are received without asking the application first."""

CHUNK_FRAMES = 2**14
"""Bytes of chunk framing that a body may have, in addition to a quarter of its own length."""

MAX_HEADERS = 200
"""Headers of a request, `Host` included: each costs time, and of one name, the square of it."""

MESSAGES = {
    400: "the request is not valid HTTP",
    413: "the body must not be over {max_body} bytes",
    431: "the request line and headers must not be over {max_header} bytes",
    500: "the server failed to answer; its log has details",
    501: "Transfer-Encoding must be chunked or left out",
    503: "there are too many requests at once; ask again later",
}
"""The messages for requests that are refused before the application sees them, by status."""

OWN_REASONS = (
    BARE_LINE_FEED := "a line ends in a bare LF",
    SMALL_CHUNKS := "the chunks of the body are too small",
    NO_HOST := "HTTP/1.1 needs a Host",
    HOSTS := "Host must be given once",
    OLD_CODING := "Transfer-Encoding needs HTTP/1.1",
    MANY_HEADERS := "there are too many headers",
)
"""Reasons that are added to `MESSAGES[400]`. Those of waitress are not, since they may quote the
request."""

_bare_line_feed = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True)
class Limits:
    """The attributes that waitress's parser and tasks read from their `adj`."""

    max_request_body_size: int
    max_request_header_size: int
    inbuf_overflow: int
    url_scheme: str = "http"
    url_prefix: str = ""
    ident: None = None


class Failure(Error):
    """Why the server itself refuses a request: an HTTP status and a message for the client.

    Without a message, the client gets the one in `MESSAGES` for the status.
    """

    def __init__(self, status: HTTPStatus, message: str | None = None) -> None:
        super().__init__("")
        self.code = status
        self.reason = status.phrase
        self.message = message


class Request(HTTPRequestParser):
    """A request while it arrives; if it violates HTTP, its `error` is set."""

    command = path = ""
    is_decided = False
    """Whether the application has accepted the body after seeing the headers."""

    @property
    def body_length(self) -> int:
        """How many bytes of the body are in memory."""
        return self.body_rcv.__len__() if self.body_rcv is not None else 0

    @property
    def size(self) -> int:
        """How many bytes are held, of the head and of the body."""
        return int(self.header_bytes_received) + self.body_length

    @property
    def missing(self) -> int | None:
        """How many bytes of the body are still to come; None where that is not told."""
        return self.content_length - self.body_length if self.content_length else None

    @property
    def is_undecided(self) -> bool:
        """Whether the application should decide by the headers before more of the body is read."""
        return (
            self.headers_finished
            and not self.completed
            and not self.is_decided
            and (
                self.expect_continue
                or self.content_length > SMALL_BODY
                or self.body_bytes_received > SMALL_BODY
            )
        )

    def received(self, data: bytes) -> int:
        """Parse the data that belong to this request; return how many bytes they are."""
        used: int = super().received(data)
        if self.headers_finished:
            self.header_plus = b""  # `headers` has them: they need not be held twice
        if self.empty:  # it has only spaces
            self._fail("there is no request line")
        elif not self.headers_finished and not self.completed:
            # waitress waits for an empty line that ends in CRLF, which such a client never sends.
            if _bare_line_feed.search(self.header_plus, len(self.header_plus) - used):
                self._fail(BARE_LINE_FEED)
        elif self.chunked and not self.completed:
            frames = self.body_bytes_received - self.body_length
            if frames > CHUNK_FRAMES + self.body_length // 4:
                self._fail(SMALL_CHUNKS)
            # As in a head: the line that has begun, of a chunk or of the trailers.
            elif _bare_line_feed.search(self.body_rcv.control_line + self.body_rcv.trailer):
                self._fail(BARE_LINE_FEED)
        return used

    def parse_header(self, header_plus: bytes) -> None:
        if header_plus.count(b"\r\n") > MAX_HEADERS + 2:  # the request line, and an empty one
            raise ParsingError(MANY_HEADERS)
        try:
            super().parse_header(header_plus)
        except ValueError:  # `int` does not parse thousands of digits
            raise ParsingError("Content-Length is invalid") from None
        options = [name.strip().lower() for name in self.headers.get("CONNECTION", "").split(",")]
        for option in ("close", "keep-alive"):
            if option in options:
                # waitress compares the whole header with a single option.
                self.headers["CONNECTION"] = option
                break
        if self.version == "1.1" and not self.headers.get("HOST"):
            raise ParsingError(NO_HOST)
        if "," in self.headers.get("HOST", ""):
            raise ParsingError(HOSTS)
        if "TRANSFER_ENCODING" in self.headers:  # waitress removes it from HTTP/1.1 requests only
            raise ParsingError(OLD_CODING)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            self.headers["CONNECTION"] = "close"  # RFC 9112, 6.1

    def _fail(self, reason: str) -> None:
        self.error = BadRequest(reason)
        self.completed = True


class Answer(WSGITask):
    """The application's response to a request, made piece by piece.

    `advance` makes one piece. It may run in any thread, but always uses the context of its request.
    If `is_early`, the application is called with the headers alone, and either gives the final
    response or accepts the body (`takes_body`).
    """

    is_done = False
    takes_body = False

    status: str
    response_headers: list[tuple[str, str]]
    content_length: int | None
    complete: bool

    def __init__(self, connection: "Connection", request: Request, *, is_early: bool) -> None:
        super().__init__(connection, request)
        self.is_early = is_early
        self._context = copy_context()
        self._pieces = self._make()

    def advance(self) -> None:
        """Write the next piece to the connection. The last one sets `is_done`."""
        try:
            self._context.run(next, self._pieces)
        except StopIteration:
            self.is_done = True
        except ConnectionError as error:
            # With this exception, the application (a double) asks to close or reset the connection.
            self.is_done = self.close_on_finish = True
            self.channel.is_aborted = True
            if isinstance(error, ConnectionResetError):
                linger = struct.pack("ii", 1, 0)  # makes closing the socket send a reset
                self.channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except Exception:
            logger.exception("a request was not answered")
            self.is_done = self.close_on_finish = True
            if not self.wrote_header:
                Refusal(
                    self.channel, self.request, Failure(HTTPStatus.INTERNAL_SERVER_ERROR)
                ).advance()

    def close(self) -> None:
        """Close the application's iterator, which may hold resources if the client has gone."""
        self._context.run(self._pieces.close)

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[WAITING] = self.channel.server.waiting
        # Without this, waitress would send files itself, and not piece by piece.
        del environ["wsgi.file_wrapper"]
        if self.is_early:
            environ[BODY_PENDING] = True
            environ["wsgi.input"] = BytesIO()
        return environ

    def _make(self) -> Generator[None]:
        self.start()
        application: Callable[..., Iterable[bytes]] = self.channel.server.application
        pieces = application(self.get_environment(), self._start_response)
        try:
            if self.is_early:
                self.takes_body = self.status.startswith("100")
                if self.takes_body:
                    return
                self.set_close_on_finish()  # the unread body comes next on the connection
            for piece in pieces:
                if piece:
                    self.write(piece)
                    yield
            if self.content_length is None and not self.wrote_header:
                self.content_length = 0
            self.finish()
            promised = self.content_length
            if promised is not None and self.content_bytes_written < promised:
                # The client would wait for the rest of the body. HEAD responses have none.
                self.close_on_finish |= self.request.command != "HEAD"
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Store status and headers, as specified by PEP 3333."""
        if exc_info and self.wrote_header:
            raise exc_info[1]
        if self.complete and not exc_info:
            raise AssertionError("start_response was called twice")
        for text in (status, *(part for header in headers for part in header)):
            if "\r" in text or "\n" in text:
                raise ValueError(f"a header contains a line break: {text!r}")
        self.complete = True
        self.status = status
        self.response_headers = list(headers)
        for name, value in headers:
            if name.lower() == "content-length":
                self.content_length = int(value)
        write: Callable[[bytes], object] = self.write
        return write


class Refusal(ErrorTask):
    """An error response of the server itself, after which the connection is closed."""

    is_done = False
    is_early = False

    def __init__(self, connection: "Connection", request: Request, failure: Error) -> None:
        super().__init__(connection, request)
        self._failure = failure

    def advance(self) -> None:
        """Write the whole response to the connection."""
        limits = self.channel.server.adj
        code = self._failure.code
        status = known_status(code)
        own = self._failure.message if isinstance(self._failure, Failure) else None
        message = own or MESSAGES.get(code, MESSAGES[status]).format(
            max_body=limits.max_request_body_size - 1,
            max_header=limits.max_request_header_size - 1,
        )
        if self._failure.body in OWN_REASONS:
            message += f": {self._failure.body}"
        trace_id = make_trace_id(None)
        body = json.dumps(error_body(status, message)).encode()
        self.start()
        self.status = f"{status} {self._failure.reason}"
        self.response_headers += [("Content-Type", "application/json"), (TRACE_HEADER, trace_id)]
        self.response_headers += SECURITY_HEADERS.items()
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        self.content_length = len(body)
        logger.info("%s refused: %s (%s)", self.channel.addr[0], self.status, trace_id)
        self.write(body)
        self.finish()
        self.is_done = True

    def close(self) -> None:
        """Do nothing, because there is no application iterator to close."""

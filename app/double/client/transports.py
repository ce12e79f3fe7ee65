"""Transports that connect `httpx` and `requests` to a double without a socket.

Requests go to the double whatever host their URL names. Each function imports its library only when
it is called, since neither library is a dependency of this program.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from .wsgi_call import Answer, WSGIApplication, call

if TYPE_CHECKING:
    import httpx
    from requests.adapters import BaseAdapter


def make_httpx_transport(app: WSGIApplication) -> Any:
    """Return a transport for `httpx.Client` and `httpx.AsyncClient`."""
    import anyio.to_thread
    import httpx

    class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return self._answer(request, request.read())

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            body = await request.aread()
            return await anyio.to_thread.run_sync(
                self._answer, request, body, abandon_on_cancel=True
            )

        def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
            timeout = request.extensions.get("timeout", {}).get("read")
            headers = request.headers.multi_items()
            try:
                answer = call(app, request.method, str(request.url), headers, body, timeout)
            except TimeoutError as error:
                raise httpx.ReadTimeout(str(error), request=request) from None
            except ConnectionAbortedError as error:
                raise httpx.RemoteProtocolError(str(error), request=request) from None
            except ConnectionError as error:
                raise httpx.ReadError(str(error), request=request) from None
            return httpx.Response(
                answer.status, headers=answer.headers, content=answer.body, request=request
            )

    return Transport()


def make_requests_adapter(app: WSGIApplication) -> BaseAdapter:
    """Return an adapter to mount in a `requests.Session`."""
    import requests
    from requests.adapters import BaseAdapter, HTTPAdapter
    from requests.exceptions import ChunkedEncodingError
    from urllib3 import HTTPHeaderDict, HTTPResponse, Timeout

    class Adapter(BaseAdapter):
        def send(
            self, request: requests.PreparedRequest, *_: Any, **options: Any
        ) -> requests.Response:
            timeout = options.get("timeout")
            if isinstance(timeout, tuple):
                timeout = timeout[1]
            elif isinstance(timeout, Timeout):
                timer = timeout.clone()
                timer.start_connect()
                timeout = timer.read_timeout
            body = request.body or b""
            try:
                answer = call(
                    app,
                    str(request.method),
                    str(request.url),
                    [(_text(name), _text(value)) for name, value in request.headers.items()],
                    body.encode() if isinstance(body, str) else _whole(body),
                    timeout,
                )
            except TimeoutError as error:
                raise requests.ReadTimeout(str(error), request=request) from None
            except ConnectionAbortedError as error:
                raise ChunkedEncodingError(str(error), request=request) from None
            except ConnectionError as error:
                raise requests.ConnectionError(str(error), request=request) from None
            return HTTPAdapter().build_response(request, _response(answer))

        def close(self) -> None:
            """Do nothing, since there is no connection."""

    def _response(answer: Answer) -> HTTPResponse:
        return HTTPResponse(
            body=io.BytesIO(answer.body),
            headers=HTTPHeaderDict(answer.headers),
            status=answer.status,
            reason=answer.reason,
            preload_content=False,
        )

    return Adapter()


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _whole(body: Any) -> bytes:
    """Return the complete body, which may be given as bytes, as a file, or in chunks."""
    if isinstance(body, bytes):
        return body
    read = getattr(body, "read", None)
    return bytes(read() if read else b"".join(body))

"""The processing around the views of a double: namespace, faults, lock and journal."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from ..auth import Guard, is_well_formed, require_key, require_loopback
from ..config import Settings
from ..errors import PermissionDenied, Unauthorized
from ..server import WAITING
from ..web.browser_security import is_preflight, refuse_other_sites
from ..web.context import Extension
from ..web.early_refusal import await_body
from ..web.request_body import is_pending, read_body
from .clock import SettableClock
from .faults import Effect
from .journal import VIOLATIONS, parameters_of
from .namespaces import DEFAULT, Namespace, Namespaces, name_in

NAMESPACES = Extension[Namespaces]("namespaces")

CONTROL = "/__double"
HEADER = "X-Double-Namespace"

# Keys of the WSGI environment.
NAMESPACE = "saasus_analysis.namespace"
FAILURE = "saasus_analysis.failure"
"""The exception with which the connection of this request ends."""
TIMEOUT = "saasus_analysis.timeout"
"""The timeout, in seconds, of a caller without a socket."""

View = TypeVar("View", bound=Callable[..., object])


class NamespaceMiddleware:
    """WSGI middleware: moves `/ns/NAME` out of the path, and makes connections fail for faults.

    Raises ConnectionResetError for a connection to reset, ConnectionAbortedError in the middle of a
    body to cut, and TimeoutError if the timeout of the caller has passed. The calling server or
    transport acts on these exceptions.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/ns/"):
            name, slash, rest = path.removeprefix("/ns/").partition("/")
            environ[NAMESPACE] = name
            environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}/ns/{name}"
            environ["PATH_INFO"] = slash + rest
        body = self._app(environ, start_response)
        failure = environ.get(FAILURE)
        if isinstance(failure, ConnectionAbortedError):
            return _until(body, failure)
        if failure:
            raise failure
        return body


class CurrentClock(SettableClock):
    """The clock of the namespace of the current request."""

    def now(self) -> int:
        namespace: Namespace = g.namespace
        return namespace.database.clock.now()


def _until(body: Iterable[bytes], failure: Exception) -> Iterator[bytes]:
    """Yield a body, then raise the exception."""
    yield from body
    raise failure


def of_all(view: View) -> View:
    """Mark a view of the control API that concerns the whole process, not one namespace."""
    view.of_all = True  # type: ignore[attr-defined]
    return view


def make_guard(settings: Settings) -> Guard:
    """Return the guard of a double: it enters the namespace, and checks keys as configured."""

    def guard() -> Response | None:
        if settings.double_remote:
            refuse_other_sites()
        else:
            require_loopback()
        if not _is_of_a_namespace():
            return None
        if is_pending():
            # Faults and the journal process a request once, when its body is complete.
            current_namespaces().check(_name())
            return await_body() if _view() or _is_noted() else None
        if early := _enter():
            return early
        if settings.double_auth == "strict":
            require_key()
            return None
        authorization = request.headers.get("Authorization")
        if getattr(_view(), "scope", None) is None:
            return None
        if authorization is None and settings.double_auth == "any":
            return None
        if not is_well_formed(authorization or ""):
            raise Unauthorized("Authorization must be Bearer TOKEN or a SAASUSSIGV1 signature")
        return None

    return guard


def init_app(app: Flask, namespaces: Namespaces) -> None:
    """Install the middleware in an application."""
    NAMESPACES.put(app, namespaces)
    app.wsgi_app = NamespaceMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    app.after_request(_leave)
    app.teardown_request(_end_turn)


def current_namespaces() -> Namespaces:
    """Return the namespaces of the application that is handling this request."""
    return NAMESPACES.current()


def _enter() -> Response | None:
    """Apply a fault and take the lock of the namespace; return a response if no view is to run.

    Raises ApiError if the fault has a status.
    """
    namespace = _find()
    g.body = _read_body()
    effect = _draw(namespace) if _is_noted() else None
    if effect and effect.seconds:
        life = namespace.life
        _wait(effect.seconds)
        if namespace.life != life:
            g.is_over = True
            reason = "the namespace was reset or deleted while this request waited"
            return _fail(ConnectionResetError(reason))
    _take_turn(namespace)
    if effect:
        g.effect = effect
        if failure := effect.apply_before():
            return _fail(failure)
    return None


def _fail(failure: Exception) -> Response:
    """Return an empty response, and have the middleware raise an exception after it."""
    request.environ.setdefault(FAILURE, failure)
    return Response()


def _name() -> str:
    """Return the name of the namespace that the request names, or of the default one."""
    named = (
        request.environ.get(NAMESPACE),
        request.headers.get(HEADER),
        name_in(request.headers.get("Authorization", "")),
    )
    return next((name for name in named if name is not None), DEFAULT)


def _find() -> Namespace:
    """Return the namespace of the request; create it if it does not exist."""
    return current_namespaces().get(_name())


def _view() -> object:
    return current_app.view_functions.get(request.endpoint or "")


def _is_of_a_namespace() -> bool:
    """Return whether the request concerns a namespace, and not the whole process."""
    if hasattr(_view(), "of_all"):
        return False
    return _is_noted() or request.path.startswith(f"{CONTROL}/")


def _is_noted() -> bool:
    """Return whether the journal records the request: to an operation or to an unknown path."""
    if is_preflight():
        return False
    view = _view()
    if view is None:
        is_redirected = isinstance(request.routing_exception, RequestRedirect)
        return not is_redirected and not request.path.startswith(f"{CONTROL}/")
    return getattr(view, "scope", None) is not None


def _operation() -> str | None:
    return getattr(_view(), "operation_id", None)


def _draw(namespace: Namespace) -> Effect | None:
    with namespace.turn:
        return namespace.faults.draw(_operation(), request.path)


def _wait(seconds: float) -> None:
    """Wait, but not longer than the timeout of a caller without a socket."""
    patience = request.environ.get(TIMEOUT)
    if patience is not None and patience < seconds:
        request.environ[FAILURE] = TimeoutError(f"no response within {patience} seconds")
        seconds = patience
    if seconds:
        with request.environ.get(WAITING, nullcontext)():
            time.sleep(seconds)


def _take_turn(namespace: Namespace) -> None:
    namespace.turn.acquire()
    while namespace.life is None:  # deleted while we waited: find the new one with its name
        namespace.turn.release()
        namespace = _find()
        namespace.turn.acquire()
    g.namespace, g.database = namespace, namespace.database


def _end_turn(_: BaseException | None) -> None:
    if "namespace" in g:
        g.namespace.turn.release()


def _leave(response: Response) -> Response:
    """Apply a fault to the response, and record the request in the journal."""
    if not _is_noted() or "is_over" in g or is_pending():
        return response
    effect: Effect | None = g.get("effect")
    if effect and (failure := effect.apply_after(response, request.method)):
        request.environ.setdefault(FAILURE, failure)
    _note(response, effect)
    return response


def _note(response: Response, effect: Effect | None) -> None:
    if "namespace" not in g:  # refused before it entered its namespace
        is_foreign = response.status_code == PermissionDenied.code
        if is_foreign or not (_name() == DEFAULT or current_namespaces().has(_name())):
            return
        _take_turn(_find())
    is_reset = isinstance(request.environ.get(FAILURE), ConnectionResetError)
    g.namespace.journal.add(
        at=g.database.clock.now(),
        method=request.method,
        path=request.path,
        operation=_operation(),
        parameters=parameters_of(request.view_args or {}, request.args.to_dict(flat=False)),
        body=g.get("body", b""),
        status=None if is_reset else response.status_code,
        error=g.get("message"),
        violations=g.get("violations", [])[:VIOLATIONS],
        fault=effect.fault if effect else None,
    )


def _read_body() -> bytes:
    """Return the body for the journal; empty if the body is refused."""
    try:
        return read_body()
    except HTTPException:
        return b""

"""The guard in front of every view: it finds the key of a request and checks its scope.

No key can reach a view that neither names a scope nor is marked public.
"""

import hmac
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from flask import Flask, Response, current_app, g, request

from ..config import Settings
from ..errors import PermissionDenied, TooManyRequests, Unauthorized
from ..storage.database import Database
from ..web import browser_security, client_address
from ..web.context import DATABASE, Extension, current_settings
from ..web.request_body import is_pending
from ..web.request_target import signed_hosts, signed_targets
from . import keys, signature
from .brute_force import BRUTE_FORCE_GUARD, BruteForceGuard, watch
from .keys import Key

RATE = Extension["Rate | None"]("rate")

if TYPE_CHECKING:
    from .rate_limit import Rate

View = TypeVar("View", bound=Callable[..., object])

Guard = Callable[[], Response | None]
"""Called before each view. Returns None to let the request through, or a response, or raises
ApiError."""

ENVIRONMENT_KEY = Key("environment", frozenset(keys.SCOPES) - {"admin"})
"""The key that SAASUS_SAAS_ID, SAASUS_API_KEY and SAASUS_SECRET_KEY define."""

UNNAMED = "unnamed"
"""The scope of a view that names no scope; no key has it."""

REFUSED = "a valid key is needed: Authorization: Bearer TOKEN, or a SAASUSSIGV1 signature"


def public(view: View) -> View:
    """Mark a view as one that needs no key."""
    view.scope = None  # type: ignore[attr-defined]
    return view


def page(view: View) -> View:
    """Mark a view as a page for people, which other sites may link to."""
    view.is_page = True  # type: ignore[attr-defined]
    return view


def init_app(app: Flask, settings: Settings, guard: Guard) -> None:
    """Put a guard in front of an application's views."""
    BRUTE_FORCE_GUARD.put(
        app, BruteForceGuard(settings.failed_keys) if settings.failed_keys else None
    )
    RATE.put(app, _make_rate(settings.rate_limit) if settings.rate_limit else None)
    app.before_request(guard)
    app.after_request(_count_early)


def require_key() -> None:
    """Let a request through if its key has the scope of the operation, or it needs no key.

    Raises Unauthorized, PermissionDenied, or TooManyRequests if the address has sent too many wrong
    keys, or the key too many requests.
    """
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None:
        return  # no such path or method: Flask answers with 404 or 405 next
    scope = getattr(view, "scope", UNNAMED)
    if scope is None:
        return
    key = watch(request.headers.get("Authorization"), _find_key)
    if key is None:
        raise Unauthorized(REFUSED)
    if "is_unverified" not in g:
        g.key_name = key.name
        _count(key.name)
        keys.note_use(DATABASE.current(), key)
    if scope not in key.scopes:
        raise PermissionDenied(f"the key lacks the scope {scope}, which this operation needs")


def is_well_formed(authorization: str) -> bool:
    """Return whether an Authorization header has one of the two forms; its key is not checked."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.upper() == signature.SCHEME:
        given = signature.Credentials.parse(rest)
        return given is not None and re.fullmatch("[0-9a-f]{64}", given.signature) is not None
    return scheme.lower() == "bearer" and bool(rest.strip())


def require_loopback() -> None:
    """Let a request through if it comes from this machine, within the rate of its address.

    A request that a page of another site made a browser send does not count as coming from here.
    Raises PermissionDenied or TooManyRequests.
    """
    browser_security.require_loopback(
        "without keys, this server answers clients on its own machine only"
    )
    _count(client_address.client_network())


def _make_rate(notation: str) -> "Rate":
    # This takes 22 ms, which a start without rates saves.
    from .rate_limit import Rate

    return Rate(notation)


def _count(name: str | None) -> None:
    """Count a request to an operation by its key or address, unless that is None.

    Raises TooManyRequests if the request is over the rate.
    """
    rate = RATE.current()
    view = current_app.view_functions.get(request.endpoint or "")
    if rate and name and hasattr(view, "operation_id"):
        seconds = rate.wait(name) if is_pending() else rate.take(name)
        if seconds:
            raise TooManyRequests("there are too many requests; ask again later", seconds)
        g.counted_as = name


def _count_early(response: Response) -> Response:
    """Count a request that is answered before its body came, since there is no second call."""
    if is_pending() and "counted_as" in g and response.status_code != HTTPStatus.CONTINUE:
        rate = RATE.current()
        if rate:
            rate.take(g.counted_as)
    return response


def _find_key() -> Key | None:
    database = DATABASE.current()
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return keys.find_bearer_key(database, rest.strip())
    if scheme.upper() == signature.SCHEME:
        return _find_signer(database, rest)
    return None


def _find_signer(database: Database, parameters: str) -> Key | None:
    given = signature.Credentials.parse(parameters)
    if given is None:
        return None
    key, secret = keys.find_signature_key(database, given.saas_id, given.api_key)
    settings = current_settings()
    if settings.saasus_secret_key and _same(
        (given.saas_id, given.api_key), (settings.saasus_saas_id, settings.saasus_api_key)
    ):
        key, secret = ENVIRONMENT_KEY, settings.saasus_secret_key
    if is_pending():
        # The signature covers the body, so it is verified once the body has arrived.
        g.is_unverified = True
        return key if is_well_formed(request.headers["Authorization"]) else None
    body, now = request.get_data(cache=True), database.clock.now()
    holds = [
        signature.verify(
            signature.SignedRequest(request.method, host, target.encode("latin-1"), body),
            given,
            secret,
            now,
        )
        for host in signed_hosts()
        for target in signed_targets()
    ]
    return key if any(holds) else None


def _same(given: tuple[str, ...], expected: tuple[str | None, ...]) -> bool:
    matches = [
        hmac.compare_digest(one.encode("utf-8", "replace"), (other or "").encode())
        for one, other in zip(given, expected, strict=True)
    ]
    return all(matches)

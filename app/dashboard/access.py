"""Access to pages: for visitors with a key or a shared link, or for all if no key is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar

from flask import g, redirect, render_template, request, url_for
from werkzeug import Response
from werkzeug.exceptions import NotFound

from ..auth import keys, links, sessions
from ..auth.brute_force import watch
from ..web.context import current_database, current_settings
from ..web.request_body import is_pending
from ..web.request_target import without_tokens
from . import cookies
from .csrf import check_form
from .error_pages import Refusal
from .urls import this_page

View = TypeVar("View", bound=Callable[..., Any])

SIGNING_IN = ("dashboard.sign_in", "dashboard.begin")
"""The endpoints that visitors can use before they sign in."""


@dataclass(frozen=True)
class Access:
    """Who sees a page, and which data they may see."""

    kind: Literal["key", "link", "open"]
    name: str = ""
    """The name of the key or link."""
    tenant_id: str | None = None
    """The only tenant whose data are shown, whatever the URL says; None: all tenants."""
    may_manage: bool = False
    """Whether links can be made and revoked."""


def not_shared(view: View) -> View:
    """Hide a view from visitors with a shared link, such as one that shows what a user did."""

    @wraps(view)
    def answer(**values: Any) -> Any:
        if is_shared():
            raise NotFound
        return view(**values)

    return answer  # type: ignore[return-value]


def for_managers(view: View) -> View:
    """Restrict a view to those who may manage links."""

    @wraps(view)
    def answer(**values: Any) -> Any:
        if not g.access.may_manage:
            from flask_babel import gettext

            raise Refusal(
                403,
                gettext("Your key does not let you manage links."),
                gettext("Sign in with a key of scope admin."),
            )
        return view(**values)

    return not_shared(answer)  # type: ignore[return-value]


def is_shared() -> bool:
    """Return whether a page was requested with a shared link."""
    return request.blueprint == "shared"


def check() -> Response | str | None:
    """Set `g.access`, check the form of a POST, or return a response that leads to the sign-in.

    Raises Refusal, NotFound or TooManyRequests.
    """
    settings = current_settings()
    if is_shared():
        g.access = _by_link()
    elif not settings.auth:
        g.access = Access("open", may_manage=True)
    elif request.endpoint not in SIGNING_IN:
        access = by_session()
        if access is None:
            return _let_sign_in()
        g.access = access
    if request.method == "POST" and not is_pending():
        check_form()
    return None


def by_session() -> Access | None:
    """Return the access of the signed-in visitor, or None if nobody is signed in."""
    database = current_database()
    token = cookies.get_cookie(cookies.SESSION)
    key = sessions.find_key(database, token) if token else None
    if key is None:
        return None
    g.session_token, g.key_name = token, key.name
    keys.note_use(database, key)
    return Access("key", key.name, may_manage="admin" in key.scopes)


def _by_link() -> Access:
    database, token = current_database(), g.link_token
    link = watch(f"link {token}", lambda: links.find_link(database, token))
    if link is None:
        from flask_babel import gettext

        raise Refusal(
            404,
            gettext("This link is not valid any more."),
            gettext("Ask the person who gave it to you for a new one."),
        )
    g.key_name = f"link:{link.name}"
    if request.method == "POST":
        raise NotFound  # a shared link is read-only
    links.note_use(database, link)
    return Access("link", link.name, link.tenant_id)


def _let_sign_in() -> Response | str:
    """Return a response that leads to the sign-in form, and from there back to this page."""
    if request.method == "POST":
        from flask_babel import gettext

        raise Refusal(
            401, gettext("You are not signed in any more."), gettext("Sign in, and try again.")
        )
    if without_tokens(request.path) != request.path:
        raise NotFound  # a malformed shared link: the sign-in page must not show its token
    page = this_page(request.args.items(multi=True))
    sign_in = url_for("dashboard.sign_in", next=page, lang=request.args.get("lang"))
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link on another site led here, so the browser sent no SameSite=Strict cookie. It does
        # send the cookie with the request that this page of ours makes.
        return render_template("arrival.html", sign_in=sign_in)
    return redirect(sign_in, 303)

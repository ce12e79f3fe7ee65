"""Who sees a page: somebody with a key, somebody with a link, or anybody where no key is needed."""

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
"""The endpoints that nobody needs to be signed in for."""


@dataclass(frozen=True)
class Access:
    """Who sees a page, and what of it."""

    kind: Literal["key", "link", "open"]
    name: str = ""
    """Of the key or link."""
    tenant_id: str | None = None
    """Whose data alone are shown, whatever the URL says; None: those of all."""
    may_manage: bool = False
    """Whether links can be made and revoked."""


def not_shared(view: View) -> View:
    """Keep a view from those who come by a link, as one that tells what single users did."""

    @wraps(view)
    def answer(**values: Any) -> Any:
        if is_shared():
            raise NotFound
        return view(**values)

    return answer  # type: ignore[return-value]


def for_managers(view: View) -> View:
    """Keep a view for those who may manage links."""

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
    """Return whether a page is asked for by a link."""
    return request.blueprint == "shared"


def check() -> Response | str | None:
    """Find who asks, and whether a form was sent by them; let those sign in who have to.

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
    """Return what somebody who is signed in may see, or None if nobody is."""
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
            gettext("Ask whoever gave it to you for another one."),
        )
    g.key_name = f"link:{link.name}"
    if request.method == "POST":
        raise NotFound  # a link changes nothing
    links.note_use(database, link)
    return Access("link", link.name, link.tenant_id)


def _let_sign_in() -> Response | str:
    """Return the way to a form for a key, and from there back to this page."""
    if request.method == "POST":
        from flask_babel import gettext

        raise Refusal(
            401, gettext("You are not signed in any more."), gettext("Sign in, and try again.")
        )
    if without_tokens(request.path) != request.path:
        raise NotFound  # a link that is not written as it should be: no form shows its token
    page = this_page(request.args.items(multi=True))
    sign_in = url_for("dashboard.sign_in", next=page, lang=request.args.get("lang"))
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # The browser has left out the cookie, since a page of another site led here. What this
        # page leads to, it asks for with the cookie.
        return render_template("arrival.html", sign_in=sign_in)
    return redirect(sign_in, 303)

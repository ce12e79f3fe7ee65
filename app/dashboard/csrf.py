"""Protection against CSRF: forms send back a token that pages of other sites cannot know.

The token is derived from a secret in a cookie: the session cookie, or a cookie of the browser if
nobody is signed in.
"""

import hmac

from flask import Response, g, request

from ..auth.tokens import make_token
from ..web.browser_security import is_from_here
from . import cookies
from .error_pages import Refusal

FIELD = "csrf_token"


def csrf_token() -> str:
    """Return the token that the forms of this page send back."""
    if not _secret():
        g.form_secret = make_token()
    return _token_of(_secret())


def keep_secret(response: Response) -> Response:
    """Set a cookie with the secret behind the forms of this page, if the secret is new."""
    if "form_secret" in g:
        cookies.set_cookie(response, cookies.FORM, g.form_secret)
    return response


def check_form() -> None:
    """Raise Refusal unless the form comes from a page that was made for this browser."""
    from flask_babel import gettext

    secret, given = _secret(), request.form.get(FIELD, "")
    if not secret:
        raise Refusal(
            403,
            gettext("Your browser did not keep the cookie that came with this form."),
            gettext(
                "Allow cookies, reload the page, and send the form again. Behind a proxy, "
                "X-Forwarded-Proto must say whether browsers connect by https."
            ),
        )
    if not hmac.compare_digest(_token_of(secret).encode(), given.encode("utf-8", "replace")):
        raise Refusal(
            403,
            gettext("This form was not sent from a page of this server, or the page is too old."),
            gettext("Go back, reload the page, and send the form again."),
        )
    if not is_from_here():
        raise Refusal(
            403,
            gettext("This form was not sent from a page of this server."),
            gettext(
                "Your browser says that the page belongs to %(origin)s, but the request was sent "
                "to %(host)s. If both are this server, a proxy in between changes the Host "
                "header: let it pass that header on, or let it set X-Forwarded-Host and set "
                "ANALYSIS_PROXIES.",
                origin=request.headers.get("Origin", "?"),
                host=request.host,
            ),
        )


def _secret() -> str:
    secret: str = g.get("session_token") or cookies.get_cookie(cookies.FORM)
    return secret or str(g.get("form_secret", ""))


def _token_of(secret: str) -> str:
    return hmac.new(secret.encode("utf-8", "replace"), b"form", "sha256").hexdigest()

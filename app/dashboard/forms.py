"""Forms that change something: they send back a token that the pages of others do not know.

It is made of a secret in a cookie: of the session, or where nobody is signed in, of the browser.
"""

import hmac

from flask import Response, g, request

from ..auth.tokens import make_token
from ..security import is_from_here
from . import cookies
from .errors import Refusal

FIELD = "csrf_token"


def csrf_token() -> str:
    """Return what the forms of this page send back."""
    if not _secret():
        g.form_secret = make_token()
    return _token_of(_secret())


def keep_secret(response: Response) -> Response:
    """Let a browser keep the secret that the forms of this page are made with, if it is new."""
    if "form_secret" in g:
        cookies.set_cookie(response, cookies.FORM, g.form_secret)
    return response


def check_form() -> None:
    """Raise Refusal if a form was not sent by a page that was made for this browser."""
    secret, given = _secret(), request.form.get(FIELD, "")
    same = hmac.compare_digest(_token_of(secret).encode(), given.encode("utf-8", "replace"))
    if not (secret and same and is_from_here()):
        from flask_babel import gettext

        raise Refusal(
            403,
            gettext("This form was not sent from a page of this server, or the page is too old."),
            gettext("Go back, load the page anew, and send the form again."),
        )


def _secret() -> str:
    secret: str = g.get("session_token") or request.cookies.get(cookies.FORM, "")
    return secret or str(g.get("form_secret", ""))


def _token_of(secret: str) -> str:
    return hmac.new(secret.encode("utf-8", "replace"), b"form", "sha256").hexdigest()

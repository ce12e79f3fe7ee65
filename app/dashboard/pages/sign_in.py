"""Sign in with a key, and sign out."""

import re
from http import HTTPStatus
from urllib.parse import unquote

from flask import (
    Response,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from werkzeug import Response as AnyResponse

from ...auth import keys, sessions
from ...auth.brute_force import watch
from ...errors import CHALLENGE
from ...web.context import current_database, current_settings
from .. import cookies
from ..access import by_session, not_shared


@not_shared
def sign_in() -> AnyResponse:
    """Show the form that asks for a key, unless the visitor needs none."""
    if "access" in g or by_session():
        return redirect(_wanted(request.args.get("next")), 303)
    return _form()


@not_shared
def begin() -> AnyResponse:
    """Sign in with the key that was sent, and redirect to the page that was requested."""
    database = current_database()
    # People may paste the whole header, as the server shows it with the first key.
    token = (request.form.get("key", "").split() or [""])[-1]
    key = watch(token and f"Bearer {token}", lambda: keys.find_bearer_key(database, token))
    if key is None:
        return _form(
            _(
                "You cannot sign in with this key. Use a Bearer key, which begins with saa_ and "
                "has the scope read; a key for signatures does not work."
            ),
            401,
        )
    g.key_name = key.name
    keys.note_use(database, key)
    if sessions.SCOPE not in key.scopes:
        return _form(_("This key lacks the scope read, which the dashboard needs."), 403)
    seconds = current_settings().session_hours * 3600
    before = cookies.get_cookie(cookies.SESSION)
    session = sessions.begin_session(database, key, seconds, before=before)
    response = make_response(redirect(_wanted(request.form.get("next")), 303))
    cookies.set_cookie(response, cookies.SESSION, session, seconds)
    return response


@not_shared
def sign_out() -> AnyResponse:
    """End the session, so that its cookie is no longer valid, and delete the cookie."""
    sessions.end_session(current_database(), g.get("session_token", ""))
    response = make_response(redirect(url_for(".sign_in", lang=request.args.get("lang")), 303))
    cookies.delete_cookie(response, cookies.SESSION)
    return response


def _form(error: str | None = None, status: int = 200) -> Response:
    wanted = _wanted(request.values.get("next"))
    response = make_response(render_template("sign_in.html", error=error, wanted=wanted), status)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def _wanted(page: str | None) -> str:
    """Return the requested page if it belongs to the dashboard; otherwise, the overview."""
    home = url_for("dashboard.overview")
    if not page or not re.fullmatch(rf"{re.escape(home)}([/?#][!-\[\]-~]*)?", page):
        return url_for("dashboard.overview", lang=request.args.get("lang"))
    path = unquote(re.split("[?#]", page)[0])
    return home if ".." in path.split("/") else page

"""People in front of the dashboard: what their browsers send."""

import re
from html import unescape

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.dashboard.cookies import FORM, SESSION

SIGN_IN = "/dashboard/sign-in"
SIGN_OUT = "/dashboard/sign-out"
LINKS = "/dashboard/links"


def field(page: TestResponse, name: str) -> str:
    """Return what a page has in a field of its form; of several of this name, the last."""
    *_, value = re.findall(rf'name="{name}" value="([^"]*)"', page.text)
    return unescape(value)


def submit(client: FlaskClient, path: str, on: str, **fields: str) -> TestResponse:
    """Send a form as a browser does that has loaded the page that it is on."""
    page = client.get(on)
    assert page.status_code == 200, page.text
    return client.post(path, data={"csrf_token": field(page, "csrf_token")} | fields)


def sign_in(client: FlaskClient, key: str, **fields: str) -> TestResponse:
    return submit(client, SIGN_IN, on=SIGN_IN, key=key, **fields)


def is_signed_in(client: FlaskClient) -> bool:
    answer = client.get(f"{LINKS}?lang=en")
    assert answer.status_code in (200, 303, 403), answer.text
    return answer.status_code != 303


def cookie(answer: TestResponse, name: str = SESSION) -> dict[str, str]:
    """Return what an answer sets a cookie to: `value`, and its attributes in small letters."""
    (line,) = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith(f"{name}=")]
    first, *rest = line.split("; ")
    attributes = {part.partition("=")[0].lower(): part.partition("=")[2] for part in rest}
    return {"value": first.partition("=")[2]} | attributes


def message(answer: TestResponse) -> str:
    """Return the heading of a page."""
    found = re.search("<h1>(.*?)</h1>", answer.text)
    assert found, answer.text
    return unescape(found[1])


__all__ = ["FORM", "SESSION"]

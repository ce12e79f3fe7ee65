"""The routes of the dashboard; the module of a page is imported on its first request.

Of the modules that a start loads, those that need flask_babel (12 ms) or the layout (45 ms) import
them in functions, so that a start need not wait for them.
"""

from importlib import import_module
from typing import Any

from flask import Blueprint, current_app, g, redirect, request
from werkzeug import Response
from werkzeug.exceptions import HTTPException

from . import access, csrf
from .error_pages import show_error
from .page_headers import add_headers
from .urls import this_page

PAGES = {
    "": "pages.overview:overview",
    "/pages": "pages.page_views:pages",
    "/pages/page": "pages.page_views:page",
    "/tenants": "pages.tenants:tenants",
    "/tenants/tenant": "pages.tenants:tenant",
    "/users": "pages.users:users",
    "/users/user": "pages.users:user",
    "/links": "pages.links:links",
    "/sign-in": "pages.sign_in:sign_in",
    "/<path:path>": "error_pages:nothing",
}
"""The function that renders each page, by path."""

FORMS = {
    "/links": "pages.links:create",
    "/links/revoke": "pages.links:revoke",
    "/sign-in": "pages.sign_in:begin",
    "/sign-out": "pages.sign_in:sign_out",
}
"""The function that handles each form, by path."""

blueprint = Blueprint("dashboard", __name__, template_folder="templates", static_folder="static")


def _register(method: str, path: str, maker: str) -> None:
    module, _, name = maker.partition(":")

    def view(**values: Any) -> Any:
        return getattr(import_module(f".{module}", __package__), name)(**values)

    blueprint.add_url_rule(path, name, view, methods=[method], strict_slashes=False)


for _path, _maker in PAGES.items():
    _register("GET", _path, _maker)
for _path, _maker in FORMS.items():
    _register("POST", _path, _maker)

blueprint.after_request(csrf.keep_secret)
blueprint.after_request(add_headers)
blueprint.register_error_handler(HTTPException, show_error)


@blueprint.before_request
def _begin() -> Response | str | None:
    """Prepare rendering and check access.

    Redirects to a URL without empty query parameters, which empty fields of a form leave.
    """
    from .localization import prepare

    if (request.endpoint or "").endswith(".static"):
        return None
    prepare(current_app)
    answer = access.check()
    if answer is not None:
        return answer
    if request.method == "GET" and "" in request.args.values():
        return redirect(this_page(each for each in request.args.items(multi=True) if each[1]))
    return None


@blueprint.url_value_preprocessor
def _take_token(_: str | None, values: dict[str, Any] | None) -> None:
    """Move the token of a shared link from the arguments of the view to `g.link_token`."""
    g.link_token = values.pop("token", None) if values else None


@blueprint.url_defaults
def _add_token(endpoint: str, values: dict[str, Any]) -> None:
    """Add the token to the URLs on a page that was requested with a shared link."""
    if endpoint.startswith("shared."):
        values.setdefault("token", g.link_token)


@blueprint.context_processor
def _add_layout() -> dict[str, Any]:
    from .layout import context

    return context()

"""The pages of the dashboard, by path; what a page needs is loaded when it is first asked for."""

from importlib import import_module
from typing import Any

from flask import Blueprint, current_app, g, redirect, request, url_for
from werkzeug import Response

PAGES = {
    "": "overview:overview",
    "/pages": "pages:pages",
    "/pages/page": "pages:page",
    "/tenants": "tenants:tenants",
    "/tenants/tenant": "tenants:tenant",
    "/users": "users:users",
    "/users/user": "users:user",
}
"""The function that makes each page."""

blueprint = Blueprint("dashboard", __name__, template_folder="templates", static_folder="static")


def _register(path: str, maker: str) -> None:
    module, _, name = maker.partition(":")

    def view(**values: Any) -> Any:
        return getattr(import_module(f".{module}", __package__), name)(**values)

    blueprint.add_url_rule(path, name, view, strict_slashes=False)


for _path, _maker in PAGES.items():
    _register(_path, _maker)


@blueprint.before_request
def _begin() -> Response | None:
    """Make ready to render; empty fields of a form say nothing, and go from the URL."""
    from .languages import prepare
    from .access import Access; g.access = Access()

    prepare(current_app)
    if request.method == "GET" and "" in request.args.values():
        filled: dict[str, Any] = {name: given for name, given in request.args.lists() if any(given)}
        return redirect(url_for(str(request.endpoint), **filled))
    return None


@blueprint.url_value_preprocessor
def _take_token(_: str | None, values: dict[str, Any] | None) -> None:
    """Keep the token of a link for those who look at it, and from the views."""
    g.link_token = values.pop("token", None) if values else None


@blueprint.url_defaults
def _add_token(endpoint: str, values: dict[str, Any]) -> None:
    """Let the links on a page that is seen by a link lead to such pages."""
    if endpoint.startswith("shared."):
        values.setdefault("token", g.link_token)


@blueprint.context_processor
def _add_layout() -> dict[str, Any]:
    from .layout import context

    return context()

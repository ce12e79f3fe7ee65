"""The pages of the dashboard."""

from typing import Any

from flask import Blueprint, g, render_template

blueprint = Blueprint("dashboard", __name__, template_folder="templates", static_folder="static")


@blueprint.url_value_preprocessor
def _take_token(_: str | None, values: dict[str, Any] | None) -> None:
    """Keep the token of a link for those who look at it, and from the views."""
    g.link_token = values.pop("token", None) if values else None


@blueprint.url_defaults
def _add_token(endpoint: str, values: dict[str, Any]) -> None:
    """Let the links on a page that is seen by a link lead to such pages."""
    if endpoint.startswith("shared."):
        values.setdefault("token", g.link_token)


@blueprint.get("", strict_slashes=False)
def overview() -> str:
    """Show how the SaaS does."""
    return render_template("overview.html")

"""The pages of the dashboard."""

from flask import Blueprint, render_template

blueprint = Blueprint("dashboard", __name__, template_folder="templates", static_folder="static")


@blueprint.get("/")
def overview() -> str:
    """Show how the SaaS does."""
    return render_template("overview.html")

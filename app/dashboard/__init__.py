"""The dashboard: web pages that show the same data as the API."""

from chartkick.flask import chartkick_blueprint
from flask import Flask, redirect, url_for
from werkzeug import Response

from ..auth import page, public
from ..web.request_target import SHARED_PATH
from . import csrf, static_files
from .routes import blueprint

PATH = "/dashboard"


def init_app(app: Flask) -> None:
    """Serve the pages under `/dashboard`, and shared links under `/dashboard/shared/TOKEN`."""
    app.register_blueprint(chartkick_blueprint, url_prefix=PATH)
    app.register_blueprint(blueprint, url_prefix=PATH)
    app.register_blueprint(blueprint, url_prefix=f"{SHARED_PATH}/<token>", name="shared")
    static_files.init_app(app, "chartkick.static", "dashboard.static", "shared.static")
    app.add_template_global(csrf.csrf_token)
    # The blueprint checks access itself: people sign in once and send no key with each request.
    for endpoint, view in app.view_functions.items():
        if endpoint.startswith(("dashboard.", "shared.")):
            page(public(view))

    @app.get("/")
    @page
    @public
    def home() -> Response:
        return redirect(url_for("dashboard.overview"))

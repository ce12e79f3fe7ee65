"""The dashboard: pages for people, of the same data that the API answers from."""

from chartkick.flask import chartkick_blueprint
from flask import Flask, redirect, url_for
from werkzeug import Response

from ..auth import page, public
from ..web.request_target import SHARED_PATH
from . import csrf, static_files
from .routes import blueprint

PATH = "/dashboard"


def init_app(app: Flask) -> None:
    """Serve the pages under `/dashboard`, and by links under `/dashboard/shared/TOKEN`."""
    app.register_blueprint(chartkick_blueprint, url_prefix=PATH)
    app.register_blueprint(blueprint, url_prefix=PATH)
    app.register_blueprint(blueprint, url_prefix=f"{SHARED_PATH}/<token>", name="shared")
    static_files.init_app(app, "chartkick.static", "dashboard.static", "shared.static")
    app.add_template_global(csrf.csrf_token)
    # Who may see a page is asked by the blueprint: people sign in, and send no key each time.
    for endpoint, view in app.view_functions.items():
        if endpoint.startswith(("dashboard.", "shared.")):
            page(public(view))

    @app.get("/")
    @page
    @public
    def home() -> Response:
        return redirect(url_for("dashboard.overview"))

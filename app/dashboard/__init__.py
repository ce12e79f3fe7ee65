"""The dashboard: pages for people, of the same data that the API answers from."""

from chartkick.flask import chartkick_blueprint
from flask import Flask, Response, redirect, url_for

from ..auth import public
from .routes import blueprint

PATH = "/dashboard"


def init_app(app: Flask) -> None:
    """Serve the pages under `/dashboard`, and under `/dashboard/shared/TOKEN` for who has a link."""
    app.register_blueprint(chartkick_blueprint, url_prefix=PATH)
    app.register_blueprint(blueprint, url_prefix=PATH)
    app.register_blueprint(blueprint, url_prefix=f"{PATH}/shared/<token>", name="shared")
    # Who may see them is asked by the blueprint: people sign in, and send no key with each request.
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(PATH):
            public(app.view_functions[rule.endpoint])

    @app.get("/")
    @public
    def home() -> Response:
        return redirect(url_for("dashboard.overview"))

"""The API description at `/openapi.json`, and Swagger UI for it at `/docs`."""

from flask import Flask, Response
from flask_swagger_ui import get_swaggerui_blueprint

from .api import Api, make_answer
from .auth import page, public
from .description import TITLE


def init_app(app: Flask, api: Api) -> None:
    """Serve the description and its page."""

    @app.get("/openapi.json")
    @public
    def openapi() -> Response:
        return make_answer(api.describe())

    # A validator badge would be fetched from another host.
    options = {"app_name": TITLE, "validatorUrl": None}
    blueprint = get_swaggerui_blueprint("/docs", "/openapi.json", config=options)
    blueprint.after_request(_let_the_page_work)
    app.register_blueprint(blueprint)
    page(public(app.view_functions["swagger_ui.show"]))


def _let_the_page_work(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    )
    return response

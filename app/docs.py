"""The API description at `/openapi.json`, and Swagger UI for it at `/docs`."""

from flask import Flask, Response
from flask_swagger_ui import get_swaggerui_blueprint

from .api import Api, make_answer
from .auth import public
from .description import TITLE


def init_app(app: Flask, api: Api) -> None:
    """Serve the description and its page."""

    @app.get("/openapi.json")
    @public
    def openapi() -> Response:
        return make_answer(api.describe())

    # A validator badge would be fetched from another host.
    page = {"app_name": TITLE, "validatorUrl": None}
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config=page))
    public(app.view_functions["swagger_ui.show"])

"""The API description at `/openapi.json`, and Swagger UI for it at `/docs`."""

from flask import Flask, Response
from flask_swagger_ui import get_swaggerui_blueprint

from .api import Api, make_answer
from .auth import public


def init_app(app: Flask, api: Api) -> None:
    """Serve the description and its page; register the operations before."""
    description = api.spec.to_dict()

    @app.get("/openapi.json")
    @public
    def openapi() -> Response:
        return make_answer(description)

    # A validator badge would be fetched from another host.
    page = {"app_name": description["info"]["title"], "validatorUrl": None}
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config=page))
    public(app.view_functions["swagger_ui.show"])

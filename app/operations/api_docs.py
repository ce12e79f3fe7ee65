"""The API description at `/openapi.json`, and Swagger UI for it at `/docs`."""

import json

from flask import Flask, Response, make_response, render_template, request, url_for
from flask_swagger_ui import get_swaggerui_blueprint

from ..auth import page, public
from ..web.api import Api, make_answer
from ..web.openapi import TITLE

PAGE = {
    "dom_id": "#swagger-ui",
    "layout": "StandaloneLayout",
    "deepLinking": True,
    "validatorUrl": None,  # the validator's badge would come from another host
}


def init_app(app: Flask, api: Api) -> None:
    """Serve the API description and Swagger UI."""

    @app.get("/openapi.json")
    @public
    def openapi() -> Response:
        return make_answer(api.describe())

    # Render the page here, because the library's own view does not support a path prefix.
    @app.get("/docs/")
    @page
    @public
    def docs() -> Response:
        html = render_template(
            "index.template.html",
            base_url=f"{request.script_root}/docs",
            app_name=TITLE,
            config_json=json.dumps(PAGE | {"url": url_for("openapi")}),
        )
        return _let_the_page_work(make_response(html))

    blueprint = get_swaggerui_blueprint("/docs", "")
    blueprint.after_request(_let_the_page_work)
    app.register_blueprint(blueprint)
    page(public(app.view_functions["swagger_ui.show"]))


def _let_the_page_work(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    )
    return response

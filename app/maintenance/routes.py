"""The operation of the tag `retention`."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from flask import Flask

from ..errors import ServiceUnavailable
from ..web.api import Api, Blueprint
from ..web.context import current_database
from ..web.openapi import BASE_PATH
from . import schemas

blueprint = Blueprint("retention", __name__, description="Deletion of wrong or unwanted data")


def init_app(_app: Flask, api: Api) -> None:
    """Register the operation of the tag `retention`."""
    api.register_blueprint(blueprint, url_prefix=BASE_PATH)


@blueprint.operation("POST", "/retention/delete", "DeleteData", scope="admin")
@blueprint.arguments(schemas.DeleteParam)
@blueprint.response(200, schemas.Deletion)
def delete_data(body: dict[str, Any]) -> dict[str, Any]:
    """Delete the data of a user, a page, a tenant, some days, or a combination of these"""
    # This takes 8 ms, mostly for bitmaps, which the start need not wait for.
    from .deletion import delete

    database = current_database()
    deleted = delete(database, **body)
    if not body.get("dry_run"):
        # What was deleted is in the -wal, too. Where others hold it, it is emptied later.
        with suppress(ServiceUnavailable):
            database.empty_wal()
    return asdict(deleted)

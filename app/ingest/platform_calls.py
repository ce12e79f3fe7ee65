"""Calls of the platform's Auth API, as its logs record them, and the events made from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from marshmallow import ValidationError

from ..analytics.events import Place
from ..errors import InvalidRequest
from ..validation.fields import Field, Id, Referer, Uuid
from ..validation.strict_json import parse_json

TENANT_USERS = re.compile(r"/v1/auth/tenants/([^/]+)/users/?")

TYPES = (
    ("GET", re.compile(r"/v1/auth/userinfo/?"), "userinfo"),
    ("POST", re.compile(r"/v1/auth/tenants/?"), "create_tenant"),
    ("POST", re.compile(r"/v1/auth/users/?"), "create_saas_user"),
    ("POST", TENANT_USERS, "create_tenant_user"),
)


@dataclass(frozen=True)
class Call:
    """A call in a log; `place` is the path, in the record, of the object that holds its fields."""

    place: str
    uri: str
    response_body: object
    referer: object


def type_of(method: object, uri: str) -> str | None:
    """Return the event type of a call, or None if it is not counted."""
    path = _path(uri)
    for wanted, pattern, type_ in TYPES:
        if method == wanted and pattern.fullmatch(path):
            return type_
    return None


def succeeded(status: object) -> bool:
    """Return whether an HTTP status, as a number or text, means that a call succeeded."""
    return isinstance(status, int | str) and re.fullmatch("2[0-9][0-9]", str(status)) is not None


def content_of(type_: str, call: Call) -> dict[str, Any]:
    """Return the user, places and referer of the event of a call.

    Raises ValidationError, naming the field, if one of them cannot be read from the call.
    """
    if type_ == "create_tenant_user":
        match = TENANT_USERS.fullmatch(_path(call.uri))
        if match is None:
            raise ValidationError("must be /v1/auth/tenants/{tenant_id}/users", f"{call.place}uri")
        tenant = checked(Uuid(), unquote(match[1]), f"{call.place}uri")
        return {"user_id": _created(call), "places": (Place(tenant),)}
    if type_ == "create_saas_user":
        return {"user_id": _created(call)}
    body = f"{call.place}response_body"
    answer = embedded(call.response_body, body)
    id_ = checked(Uuid(), answer.get("id"), f"{body}.id")
    if type_ == "create_tenant":
        return {"places": (Place(id_),)}
    referer = call.referer or None
    if referer is not None:
        referer = checked(Referer(), referer, f"{call.place}referer")
    tenants = answer.get("tenants") or []
    places = tuple(
        _place(tenant, f"{body}.tenants") for tenant in as_list(tenants, f"{body}.tenants")
    )
    return {"user_id": id_, "places": places or (Place(),), "referer": referer}


def _created(call: Call) -> str | None:
    """Return the user that a call created, or None if the response lacks it; both are counted."""
    try:
        user: str = Uuid().check(embedded(call.response_body, "response_body").get("id"))
    except ValidationError:
        return None
    return user


def _path(uri: str) -> str:
    """Return the path of a URI, which may begin with a scheme and host."""
    return re.sub(r"^https?://[^/?#]*", "", re.split(r"[?#]", uri, maxsplit=1)[0])


def _place(tenant: object, name: str) -> Place:
    tenant = as_object(tenant, name)
    envs = as_list(tenant.get("envs") or [], f"{name}.envs")
    ids = (as_object(env, f"{name}.envs").get("id") for env in envs)
    return Place(
        checked(Uuid(), tenant.get("id"), f"{name}.id"),
        tuple(checked(Id(), id_, f"{name}.envs.id") for id_ in ids),
    )


def checked(field: Field, value: object, name: str) -> Any:
    """Return a value as its field loads it. Raises ValidationError for the field `name`."""
    try:
        return field.check(value)
    except ValidationError as error:
        raise ValidationError(error.messages, name) from None


def as_text(value: object) -> str:
    """Return a text unchanged, and an empty text for any other value."""
    return value if isinstance(value, str) else ""


def as_object(value: object, name: str) -> Mapping[str, Any]:
    """Return the value if it is a JSON object. Raises ValidationError otherwise."""
    if not isinstance(value, dict):
        raise ValidationError("must be an object", name)
    return value


def as_list(value: object, name: str) -> list[Any]:
    """Return the value if it is a JSON list. Raises ValidationError otherwise."""
    if not isinstance(value, list):
        raise ValidationError("must be a list", name)
    return value


def embedded(value: object, name: str) -> Mapping[str, Any]:
    """Return the object in a field, which holds it as JSON text or as an object.

    Raises ValidationError if it holds neither.
    """
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except InvalidRequest:
            raise ValidationError("must be JSON text", name) from None
    return as_object(value, name)

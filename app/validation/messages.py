"""Describing the errors of a record: one line for each field."""

from typing import Any

from marshmallow import ValidationError

from .fields import MAX_ID_LENGTH

Messages = dict[str | int, Any]


def describe(error: ValidationError, place: str = "") -> list[str]:
    """Return an error as lines such as `histories[3].timestamp: must be …`."""
    of_all = error.field_name == "_schema"
    return describe_messages(
        error.messages if of_all else {error.field_name: error.messages}, place
    )


def describe_messages(messages: Any, path: str = "") -> list[str]:
    """Return marshmallow's messages as lines."""
    if isinstance(messages, dict):
        lines = []
        for name, inner in messages.items():
            if isinstance(name, int):
                place = f"{path}[{name}]"
            elif name == "_schema":
                place = path
            else:
                place = f"{path}.{shown(name)}" if path else shown(name)
            lines += describe_messages(inner, place)
        return lines
    if isinstance(messages, list):
        return [line for inner in messages for line in describe_messages(inner, path)]
    return [f"{path}: {messages}" if path else str(messages)]


def shown(name: str) -> str:
    """Return a name that a client sent, made safe for one line of a message."""
    return (name if name.isprintable() else ascii(name)[1:-1])[:MAX_ID_LENGTH]

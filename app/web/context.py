"""Objects of an application, such as its settings, and of the current request."""

from typing import Generic, TypeVar

from flask import Flask, current_app, g

from ..config import Settings
from ..storage.database import Database

Value = TypeVar("Value")


class Extension(Generic[Value]):
    """A value that each application has, stored in `Flask.extensions` under a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def put(self, app: Flask, value: Value) -> None:
        """Set the value of an application."""
        app.extensions[self._name] = value

    def of(self, app: Flask) -> Value:
        """Return the value of an application."""
        value: Value = app.extensions[self._name]
        return value

    def current(self) -> Value:
        """Return the value of the application of the current request."""
        return self.of(current_app)


SETTINGS = Extension[Settings]("settings")
DATABASE = Extension[Database]("database")


def current_settings() -> Settings:
    """Return the settings of the current application."""
    return SETTINGS.current()


def current_database() -> Database:
    """Return the database of the request: its namespace's, or else its application's."""
    database: Database = g.get("database") or DATABASE.current()
    return database

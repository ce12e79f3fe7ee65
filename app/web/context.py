"""What belongs to the current request."""

from flask import current_app, g

from ..storage.database import Database


def current_database() -> Database:
    """Return the database of this request: that of its application, or of its namespace."""
    database: Database = g.get("database") or current_app.extensions["database"]
    return database

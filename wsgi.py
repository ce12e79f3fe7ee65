"""The application for any WSGI server: `granian --interface wsgi wsgi:app`, for example."""

from app import create_app

app = create_app()

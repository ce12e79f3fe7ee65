"""The application as `serve` runs it, on waitress as it comes: `python -m bench.plain PORT`."""

import sys

import waitress

from app import create_app, logs

if __name__ == "__main__":
    app = create_app()
    logs.configure(app.extensions["settings"])
    waitress.serve(
        app,
        listen=f"127.0.0.1:{sys.argv[1]}",
        threads=8,
        connection_limit=1000,
        asyncore_use_poll=True,
    )

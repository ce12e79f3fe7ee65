"""The application on waitress in its default form: `python -m bench.plain PORT THREADS`."""

import logging
import sys

import waitress

from app import create_app
from app.web import log_format

if __name__ == "__main__":
    app = create_app()
    log_format.configure(app.extensions["settings"])
    # The comparison does not include a log line for each request that waits for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        app,
        listen=f"127.0.0.1:{sys.argv[1]}",
        threads=int(sys.argv[2]),
        connection_limit=1000,
        asyncore_use_poll=True,
    )

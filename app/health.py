"""Check whether the server is up: `python -m saasus_analysis.health`.

The image's health check runs this, with the same environment as the server. If no server answers,
it exits with 1 and a line that says why.
"""

import http.client
import os
import sys
from contextlib import closing

from .config import load_settings
from .errors import StartError

SECONDS = 2

ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (none of them is listened on)
"""The address to connect to when the server listens on all addresses."""


def run() -> None:
    """Exit with 0 if the server is up at the host and port of this environment, else with 1."""
    try:
        settings = load_settings({}, os.environ)
        address = ANY.get(settings.host, settings.host)
        with closing(http.client.HTTPConnection(address, settings.port, SECONDS)) as connection:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
    except (StartError, OSError, http.client.HTTPException) as error:
        sys.exit(f"no server answers: {error}")
    if status != http.client.OK:
        sys.exit(f"the server answers with {status}")


if __name__ == "__main__":
    run()

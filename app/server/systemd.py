"""Notifying systemd, if it started this process, that it is ready, alive, or about to stop.

The protocol is that of sd_notify(3): datagrams to a socket that an environment variable names.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Supervisor:
    """The service manager that the environment names; without one, notifying does nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # the notation of an abstract socket address
            self._address = f"\0{self._address[1:]}"
        is_watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._seconds = int(environment.get("WATCHDOG_USEC", 0)) / 1e6 if is_watched else 0
        self._told = time.monotonic()

    def tell(self, state: str) -> None:
        """Send a state, such as READY=1. Errors are ignored."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
                teller.setblocking(False)
                teller.sendto(state.encode(), self._address)

    def watch(self) -> bool:
        """Notify the watchdog that the caller's loop still runs, twice in each watchdog interval.

        Always returns False, so that it can be the `is_over` of a server.
        """
        if self._seconds and time.monotonic() - self._told >= self._seconds / 2:
            self._told = time.monotonic()
            self.tell("WATCHDOG=1")
        return False

"""What systemd is told, if it started this process: that it is ready, works, or is about to end.

The protocol is that of sd_notify(3): a datagram to the socket that the environment names.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Supervisor:
    """The service manager that an environment names; without one, nobody is told anything."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # how an abstract address is written
            self._address = f"\0{self._address[1:]}"
        is_watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._seconds = int(environment.get("WATCHDOG_USEC", 0)) / 1e6 if is_watched else 0
        self._told = time.monotonic()

    def tell(self, state: str) -> None:
        """Tell a state, such as READY=1. Whoever does not listen misses it."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
                teller.setblocking(False)
                teller.sendto(state.encode(), self._address)

    def watch(self) -> bool:
        """Tell that the caller still goes round, twice in the time that is granted.

        Returns False, as what a server asks in its loop to know whether it is over.
        """
        if self._seconds and time.monotonic() - self._told >= self._seconds / 2:
            self._told = time.monotonic()
            self.tell("WATCHDOG=1")
        return False

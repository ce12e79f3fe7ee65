"""How many servers have a database open.

Each locks a byte of the file, far behind those that SQLite locks. The lock belongs to the open
file: it is gone with the process, whatever ends that, and SQLite's own locks do not touch it.
"""

import fcntl
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

FIRST_BYTE = 2**62
MOST = 16
"""How many servers are told apart."""

FLOCK = "hhqqi"
"""A `struct flock` of Linux: type, whence, start, length, process."""


def enter(path: Path) -> int | None:
    """Count as a server that has a database open, until the descriptor that is returned is closed.

    Returns None where the system has no such locks. To be closed after all connections: closing a
    file gives up the locks that SQLite holds on it.
    """
    if sys.platform != "linux":
        return None
    file = os.open(path, os.O_RDWR)
    for number in range(MOST):
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(number))
            break
        except BlockingIOError:
            continue
        except OSError:  # a file system without such locks
            break
    return file


def count_others(file: int) -> int:
    """Return how many servers have a database open, but for the one whose descriptor this is."""
    if sys.platform != "linux":
        return 0
    found = 0
    with suppress(OSError):
        for number in range(MOST):
            told = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _lock(number))
            found += struct.unpack(FLOCK, told)[0] != fcntl.F_UNLCK
    return found


def count_servers(path: Path) -> int:
    """Return how many servers have a database open.

    To be called while this process has no connection to it, as `header.holds_database`.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        return count_others(file)
    finally:
        os.close(file)


def _lock(number: int) -> bytes:
    return struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, FIRST_BYTE + number, 1, 0)
